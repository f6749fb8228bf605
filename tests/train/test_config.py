from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qumade.data.augment import Augmentation
from qumade.errors import QumadeError
from qumade.train.config import Further, TrainConfig, config_from_dict, differences, load_config, save_config

DATA = Path("/data/cars")


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "data": st.sampled_from(["/data/cars", "/data/~cars", "/elsewhere/recipe.yaml"]),
            "mix": st.lists(
                st.builds(
                    Further, data=st.just("/b"), share=st.floats(0.01, 0.2), parts=st.sampled_from(["both", "mask"])
                ),
                max_size=3,
            ).map(tuple),
            "augmentation": st.sampled_from([Augmentation(), Augmentation.none()]),
            "size": st.tuples(st.integers(1, 8), st.integers(1, 8)).map(lambda s: (32 * s[0], 32 * s[1])),
            "lr": st.one_of(st.just("find"), st.floats(1e-9, 1.0)),
            "clip": st.one_of(st.none(), st.floats(0.1, 10)),
            "steps": st.integers(1, 10**9),
            "minutes": st.floats(0.1, 1e4),
            "depth_range": st.tuples(st.floats(0, 1), st.floats(1, 2)),
        },
    )
)
def test_what_is_saved_loads_unchanged(tmp_path_factory, values):
    config = TrainConfig(**{"data": DATA, **values})
    path = tmp_path_factory.mktemp("config") / "config.yaml"
    save_config(config, path)
    assert load_config(path) == config


def test_paths_are_relative_to_the_file(tmp_path):
    (tmp_path / "config.yaml").write_text("data: ../cars\nmix: [{data: b, share: 0.1}]\n")
    config = load_config(tmp_path / "config.yaml")
    assert config.data == tmp_path.parent / "cars" and config.mix[0].data == tmp_path / "b"
    save_config(config, tmp_path / "config.yaml")
    assert "data: ../cars" in (tmp_path / "config.yaml").read_text()


def test_without_a_budget_there_are_twenty_epochs():
    assert TrainConfig(data=DATA).epochs == 20
    assert TrainConfig(data=DATA, minutes=1.0).epochs is None
    assert TrainConfig(data=DATA, steps=5).epochs is None


@pytest.mark.parametrize(
    ("given_fields", "found", "unlike"),
    [
        ({}, {"size": (64, 64), "lr": 0.1, "steps": 9, "precision": "bf16", "mean": (0, 0, 0), "std": (1, 1, 1)}, []),
        ({"lr": "find", "minutes": 3}, {"lr": 0.1, "steps": 9, "epoch_steps": 2}, []),
        ({"lr": 0.2}, {"lr": 0.1}, ["lr 0.2 instead of 0.1"]),
        ({"precision": "fp32"}, {"precision": "bf16"}, ["precision 'fp32' instead of 'bf16'"]),
        ({}, {"limit": 5}, ["limit None instead of 5"]),
        ({}, {"patience": 2}, ["patience None instead of 2"]),
        ({"clip": None}, {"clip": 1.0}, ["clip None instead of 1.0"]),
        ({"steps": 10}, {"steps": 20}, ["steps 10 instead of 20"]),
        ({"minutes": 3}, {"minutes": 4}, ["minutes 3.0 instead of 4"]),
    ],
)
def test_only_what_was_left_open_may_have_been_found(given_fields, found, unlike):
    config = TrainConfig(data=DATA, **given_fields)
    assert differences(config, config.model_copy(update=found)) == unlike


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([], "Invalid config: got [] in FILE; must be a mapping"),
        ({"data": "d", "epoch": 3}, "Invalid config field: got 'epoch' in FILE; did you mean epochs?"),
        ({}, "Invalid data: got {'epochs': 20} in FILE; must be Field required"),
        (
            {"data": "d", "size": [100, 96]},
            "Invalid size: got [100, 96] in FILE; must be width and height that are mult",
        ),
        (
            {"data": "d", "epochs": 3, "minutes": 2},
            "Invalid config: got other values in FILE; must be epochs or minutes",
        ),
        ({"data": "d", "mean": [0, 0, 0]}, "must be mean and std given both or neither"),
        ({"data": "d", "mix": [{"data": "e", "share": 0.6}] * 2}, "must be shares in mix that leave something"),
        ({"data": "d", "mix": [{"data": "e", "share": 1.5}]}, "Invalid mix.0.share: got 1.5 in FILE"),
        ({"data": "d", "lr": 0}, "got 0 in FILE"),
        ({"data": "d", "model": "huge"}, "Invalid model: got 'huge' in FILE; must be 'tiny', 'small' or 'base'"),
    ],
)
def test_a_wrong_config_is_refused_in_one_line(values, message):
    with pytest.raises(QumadeError) as error:
        config_from_dict(values, "FILE", Path("/"))
    assert message in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("text", ["data: [", "data: d\nfirst: 2020-99-99", "\x00"])
def test_a_file_that_is_no_yaml_is_named(tmp_path, text):
    (tmp_path / "c.yaml").write_text(text)
    with pytest.raises(QumadeError, match=str(tmp_path / "c.yaml")):
        load_config(tmp_path / "c.yaml")
