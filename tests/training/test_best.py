import pytest

from qumade.training.best import is_best, is_stale


@pytest.mark.parametrize(
    ("scores", "best"),
    [
        ([0.1, 0.3, 0.3, 0.2, 0.4], [1, 1, 0, 0, 1]),
        ([None, None], [1, 1]),
        ([None, 0.0, None], [1, 0, 1]),
        ([0.0, None, 0.0], [1, 1, 0]),
    ],
    ids=["scores", "no validation", "no object", "false alarms first"],
)
def test_false_alarms_are_no_better_than_nothing_found_where_nothing_is(scores, best):
    assert [int(is_best(score, scores[:place])) for place, score in enumerate(scores)] == best


def test_a_training_is_stale_after_validations_that_were_no_better():
    rows = [{"best": best} for best in (1, 1, 0, 0)]
    assert [is_stale(rows, patience) for patience in (None, 1, 2, 3)] == [False, True, True, False]
