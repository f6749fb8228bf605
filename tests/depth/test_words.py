from qumade.depth.encoding import METRES_16_BIT, UNDESCRIBED_DEPTH, DepthEncoding
from qumade.depth.words import depth_in_words, learned_from, prior_note, truth_note

PRIOR = DepthEncoding(kind="scaled", source="prior", code="inverse", bits=8, range=(0.0, 1.5))


def test_a_prior_is_called_one_with_what_mends_it():
    assert prior_note(PRIOR).startswith("Depth is a prior") and "--depth-teacher auto --download" in prior_note(PRIOR)
    assert truth_note(PRIOR).startswith("The true depth of this dataset is a prior")
    assert truth_note(METRES_16_BIT) == truth_note(None) == ""
    assert prior_note(METRES_16_BIT) == prior_note(UNDESCRIBED_DEPTH) == prior_note(None) == ""


def test_kind_and_source_in_words():
    assert depth_in_words(PRIOR).startswith("scaled (true up to one factor), from a prior")
    assert depth_in_words(METRES_16_BIT) == "metric, from the imported dataset"
    assert depth_in_words(UNDESCRIBED_DEPTH) == "of unknown kind, from a source that is not stated"
    renderer = METRES_16_BIT.model_copy(update={"source": "renderer"})
    assert depth_in_words(renderer) == "metric, from renderer"


def test_what_a_network_learned_from():
    assert learned_from(["dataset", "prior"]) == (
        "learned from the imported dataset and from a prior from the horizon "
        "(and label maps, if there are any), not measured"
    )
    assert learned_from([]) == learned_from(["renderer"]) == ""
