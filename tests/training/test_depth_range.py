import numpy as np
import pytest
import yaml
from PIL import Image

from qumade.training.config import ExtraDataset, TrainConfig
from qumade.training.data_setup import open_setup


@pytest.fixture
def make(tmp_path, toy_dataset):
    """Write a dataset whose inverse depth grows from 0.12 to 1.47, or to 0.98 of the near end of a range."""

    def write(name, kind, near=1.5):
        root = toy_dataset(tmp_path / name, kind=kind)
        content = yaml.safe_load((root / "dataset.yaml").read_text())
        content["depth"]["range"] = [0.0, near]
        (root / "dataset.yaml").write_text(yaml.safe_dump(content))
        return root

    return write


def opened(main, *others, **fields):
    extra = tuple(ExtraDataset(data=other, share=0.3) for other in others)
    return open_setup(TrainConfig(data=main, extra_datasets=extra, size=(32, 32), **fields))


def on_units(setup):
    return [note for note in setup.notes if "in units of their own" in note]


def on_range(setup):
    return [note for note in setup.notes if "nearer than the range" in note]


@pytest.mark.parametrize(
    ("kinds", "loss", "kind", "own"),
    [
        (("scaled",), "silog_ssi", "scaled", False),
        (("metric", "metric"), "silog_ssi", "metric", False),
        (("scaled", "scaled"), "ssi", "affine", True),
        (("metric", "scaled"), "ssi", "affine", True),
        (("scaled", "metric"), "ssi", "affine", True),
    ],
)
def test_depth_in_units_of_their_own_is_compared_after_each_picture_s_scale(make, kinds, loss, kind, own):
    setup = opened(*(make(f"set{number}", each) for number, each in enumerate(kinds)))
    assert setup.config.depth_loss == loss and setup.objective().depth == loss
    assert setup.network_config().depth_kind == kind
    said = "The depth of set0, set1 is in units of their own: the depth loss is ssi"
    assert [note.startswith(said) for note in on_units(setup)] == [True] * own


def test_masks_alone_have_no_unit(make):
    data, other = make("data", "scaled"), make("other", "metric")
    config = TrainConfig(data=data, extra_datasets=(ExtraDataset(data=other, share=0.3, parts="mask"),), size=(32, 32))
    setup = open_setup(config)
    assert setup.config.depth_loss == "silog_ssi" and not on_units(setup)


def test_a_loss_that_was_given_stays_and_is_said(make):
    data, other = make("data", "scaled"), make("other", "metric", near=1.0)
    setup = opened(data, other, depth_loss="silog")
    assert setup.config.depth_loss == "silog" and setup.network_config().depth_kind == "scaled"
    (note,) = on_units(setup)
    assert "data, other" in note and "silog compares them as if it were one: --depth-loss ssi" in note
    assert not on_units(opened(data, other, depth_loss="ssi"))


def test_the_range_is_that_of_all_datasets_in_one_unit(make):
    data, wider, scaled = make("data", "metric"), make("wider", "metric", near=6.0), make("scaled", "scaled", near=9.0)
    for order in ((data, wider), (wider, data), (data, scaled, wider)):
        setup = opened(*order)
        assert setup.config.inverse_depth_limits == (0.0, 6.0) and not on_range(setup)
    assert opened(scaled, wider).config.inverse_depth_limits == (0.0, 9.0)


def test_depth_beyond_the_range_in_use_is_said(make):
    data, near = make("data", "scaled", near=1.0), make("near", "scaled", near=6.0)
    shares = {"depth_loss": "silog_ssi"}
    (note,) = on_range(opened(data, near, **shares))
    levels = np.asarray(Image.open(next((near / "depth").iterdir())))
    share = 100 * (levels / 255 * 6 > 1).mean()
    assert note.startswith(f"{share:.2g} % of the depth of near is nearer than the range of the network")
    assert "ends at inverse depth 1, and" in note and "99.9 % of it is below 5.88" in note
    (note,) = on_range(opened(near, inverse_depth_limits=(0.0, 3.0)))
    assert "of near" in note and "inverse depth 3," in note
    assert not on_range(opened(near, inverse_depth_limits=(0.0, 5.9)))  # nearer than all that is there
    assert not on_range(opened(data, near))  # ssi fits each picture's scale
    again = open_setup(opened(data, near, **shares).config, resumed=True)
    assert not on_range(again)
