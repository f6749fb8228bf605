import reprlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qumade.data.augmentation import Augmentation
from qumade.errors import QumadeError
from qumade.training.config import (
    FOUND_FOR,
    ExtraDataset,
    TrainConfig,
    config_from_dict,
    differences,
    left_open,
    load_config,
    save_config,
    with_changes,
)

DATA = Path("/data/cars")


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "data": st.sampled_from(["/data/cars", "/data/~cars", "/elsewhere/recipe.yaml"]),
            "extra_datasets": st.lists(
                st.builds(
                    ExtraDataset,
                    data=st.just("/b"),
                    share=st.floats(0.01, 0.2),
                    parts=st.sampled_from(["both", "mask"]),
                ),
                max_size=3,
            ).map(tuple),
            "augmentation": st.sampled_from([Augmentation(), Augmentation.none()]),
            "size": st.tuples(st.integers(1, 8), st.integers(1, 8)).map(lambda s: (32 * s[0], 32 * s[1])),
            "lr": st.one_of(st.just("find"), st.floats(1e-9, 1.0)),
            "clip": st.one_of(st.none(), st.floats(0.1, 10)),
            "steps": st.integers(1, 10**9),
            "minutes": st.floats(0.1, 1e4),
            "inverse_depth_limits": st.tuples(st.floats(-1, 1, exclude_max=True), st.floats(1, 2)),
            "found": st.just({"lr": "find", "steps": None}),
        },
    )
)
def test_what_is_saved_loads_unchanged(tmp_path_factory, values):
    config = TrainConfig(**{"data": DATA, **values})
    path = tmp_path_factory.mktemp("config") / "config.yaml"
    save_config(config, path)
    assert load_config(path) == config


def test_paths_are_relative_to_the_file(tmp_path):
    (tmp_path / "config.yaml").write_text("data: ../cars\nextra_datasets: [{data: b, share: 0.1}]\n")
    config = load_config(tmp_path / "config.yaml")
    assert config.data == tmp_path.parent / "cars" and config.extra_datasets[0].data == tmp_path / "b"
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
        ({}, {"found": {"lr": None}}, []),
    ],
)
def test_only_what_was_left_open_may_have_been_found(given_fields, found, unlike):
    config = TrainConfig(data=DATA, **given_fields)
    assert differences(config, config.model_copy(update=found)) == unlike


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([], "Invalid config: got [] in FILE; must be a mapping"),
        ({"data": "d", "epoch": 3}, "Invalid config field: got 'epoch' in FILE; did you mean 'epochs'?"),
        ({}, "Invalid data: got nothing in FILE; must be given"),
        (
            {"data": "d", "size": [100, 96]},
            "Invalid size: got [100, 96] in FILE; must be width and height that are mult",
        ),
        (
            {"data": "d", "epochs": 3, "minutes": 2},
            "Invalid minutes: got 2 in FILE; must be left out where epochs are given",
        ),
        ({"data": "d", "mean": [0, 0, 0]}, "Invalid std: got nothing in FILE; must be given too: mean and std"),
        (
            {"data": "d", "extra_datasets": [{"data": "e", "share": 0.6}] * 2},
            "must be datasets whose shares, with that of unlabelled photos, add up to less than 1",
        ),
        (
            {"data": "d", "extra_datasets": [{"data": "e", "share": 1.5}]},
            "Invalid extra_datasets.0.share: got 1.5 in FILE",
        ),
        ({"data": "d", "model": "huge"}, "Invalid model: got 'huge' in FILE; must be 'tiny', 'small' or 'base'"),
    ],
)
def test_a_wrong_config_is_refused_in_one_line(values, message):
    with pytest.raises(QumadeError) as error:
        config_from_dict(values, "FILE", Path("/"))
    assert message in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"lr": 0}, "Invalid lr: got 0 in FILE; must be a number above 0, or find"),
        ({"lr": "fast"}, "Invalid lr: got 'fast' in FILE; must be a number above 0, or find"),
        ({"lr": float("nan")}, "Invalid lr: got nan in FILE; must be a number above 0, or find"),
        ({"lr": 10**400}, f"Invalid lr: got {reprlib.repr(10**400)} in FILE; must be a number above 0, or find"),
        (
            {"inverse_depth_limits": [1, 0]},
            "Invalid inverse_depth_limits: got [1, 0] in FILE; must be far and near inverse depth, far below near",
        ),
        (
            {"inverse_depth_limits": [0.5, 0.5]},
            "Invalid inverse_depth_limits: got [0.5, 0.5] in FILE; must be far and near inverse depth, far below near",
        ),
        (
            {"inverse_depth_limits": [0, float("inf")]},
            "Invalid inverse_depth_limits.1: got inf in FILE; must be a finite number",
        ),
        (
            {"mean": [0, 0, 2], "std": [1, 1, 1]},
            "Invalid mean.2: got 2 in FILE; must be at least 0 and at most 1",
        ),
        ({"mean": [0, 0, 0], "std": [1, 0, 1]}, "Invalid std.1: got 0 in FILE; must be above 0 and at most 1"),
        ({"pretrained": True}, "Invalid pretrained: got True in FILE; must be 'auto', 'required' or 'none'"),
        (
            {"pretrained": "none", "encoder_weights": "w.pth"},
            "Invalid encoder_weights: got 'w.pth' in FILE; must be left out where pretrained is none",
        ),
        ({"found": {"lr": 3}}, "Invalid found.lr: got 3 in FILE; must be 'find' or 'auto'"),
    ],
)
def test_what_is_allowed_is_said_of_the_field(values, message):
    with pytest.raises(QumadeError) as error:
        config_from_dict({"data": "d", **values}, "FILE", Path("/"))
    assert str(error.value) == message


@pytest.mark.parametrize("lr", ["1e-3", 0.001, "find"])
def test_rates_are_numbers_or_find(lr):
    """YAML reads 1e-3 as text."""
    assert config_from_dict({"data": "d", "lr": lr}, "FILE", Path("/")).lr == ("find" if lr == "find" else 0.001)


def test_what_can_be_found_is_every_field_that_can_be_left_open():
    never_found = {
        "unlabelled",
        "limit",
        "epochs",
        "minutes",
        "patience",
        "clip",
        "encoder_weights",
        "start_from",
    }  # None is a value of theirs
    assert set(left_open(TrainConfig(data=DATA))) == set(FOUND_FOR)
    assert set(FOUND_FOR) == {
        name
        for name, field in TrainConfig.model_fields.items()
        if name not in never_found and (field.default is None or field.default == "auto")
    }
    assert set().union(*FOUND_FOR.values()) <= set(TrainConfig.model_fields)


FOUND = {
    "size": (64, 64), "pretrained": "none", "encoder": "slim_resnet18d", "encoder_frozen": 0, "mean": (0.1, 0.2, 0.3),
    "std": (1.0, 1.0, 1.0), "inverse_depth_limits": (0.0, 1.5),
    "depth_loss": "silog_ssi", "optimizer": "muon", "lr": 0.024, "micro_batch": 16, "steps": 100, "epoch_steps": 5,
    "ema_decay": 0.8, "precision": "fp32",
}  # fmt: skip
STEPS = ["ema_decay", "epoch_steps", "steps"]
ENCODER = ["encoder", "encoder_frozen", "pretrained", "mean", "std"]


def of_a_run():
    asked = TrainConfig(data=DATA, lr="find")
    return asked.model_copy(update={**FOUND, "found": left_open(asked)})


def changed(stored, **changes):
    return with_changes(stored, changes, "the command line", Path("/"))


@pytest.mark.parametrize(
    ("changes", "open_again"),
    [
        ({}, []),
        ({"seed": 4}, []),
        ({"model": "tiny", "batch_size": 32, "data": "/data/cars"}, []),
        (
            {"data": "/data/bikes"},
            ["depth_loss", "inverse_depth_limits", *STEPS[:2], "lr", "mean", "size", "std", STEPS[2]],
        ),
        (
            {"extra_datasets": [{"data": "b", "share": 0.1}]},
            ["depth_loss", "inverse_depth_limits", *STEPS[:2], "lr", "steps"],
        ),
        ({"limit": 8}, ["inverse_depth_limits", *STEPS[:2], "lr", "mean", "std", "steps"]),
        ({"model": "small"}, [*ENCODER, *STEPS[:2], "lr", "optimizer", "size", "steps"]),
        ({"model": "small", "size": (64, 64), "lr": 0.1}, [*ENCODER, *STEPS[:2], "optimizer", "steps"]),
        ({"encoder": "resnet18d"}, ["pretrained", "encoder_frozen", "mean", "std", "optimizer", "lr"]),
        ({"pretrained": "required"}, ["encoder", "encoder_frozen", "mean", "std", "optimizer", "lr"]),
        ({"batch_size": 8}, [*STEPS[:2], "lr", "micro_batch", "steps"]),
        ({"optimizer": "adamw"}, ["lr"]),
        ({"epochs": 3}, STEPS),
        ({"minutes": 3}, STEPS),
        ({"steps": 70}, STEPS[:2]),
        ({"steps": 70, "epoch_steps": 7}, ["ema_decay"]),
    ],
)
def test_what_was_found_for_other_values_is_left_open_again(changes, open_again):
    config = changed(of_a_run(), **changes)
    assert set(left_open(config)) == set(open_again)
    assert config.lr == changes.get("lr", "find" if "lr" in open_again else 0.024)
    assert config.found.keys() == FOUND.keys() - set(open_again) - changes.keys()


def test_without_other_values_the_config_of_a_run_is_unchanged():
    stored = of_a_run()
    assert changed(stored) == stored == changed(stored, batch_size=32, data="/data/cars", model="tiny")
    assert changed(stored, seed=4) == stored.model_copy(update={"seed": 4})


def test_what_a_user_wrote_stays():
    written = {name: value for name, value in FOUND.items() if name not in ("steps", "epoch_steps")}
    stored = TrainConfig(data=DATA, epochs=20, epoch_steps=7, **written)
    config = changed(stored, data="/data/bikes", model="small", batch_size=8, optimizer="adamw", epochs=3)
    assert {name: getattr(config, name) for name in written} == {**written, "optimizer": "adamw"}
    assert (config.epochs, config.steps, config.epoch_steps) == (3, None, 7)


def test_what_is_given_belongs_to_the_user_from_then_on():
    stored = TrainConfig(data=DATA, found={"lr": None}, lr=0.024, optimizer="muon")
    config = changed(stored, lr=0.024)
    assert config.found == {} and changed(config, optimizer="adamw").lr == 0.024


@pytest.mark.parametrize("text", ["data: [", "data: d\nfirst: 2020-99-99", "\x00"])
def test_a_file_that_is_no_yaml_is_named(tmp_path, text):
    (tmp_path / "c.yaml").write_text(text)
    with pytest.raises(QumadeError, match=str(tmp_path / "c.yaml")):
        load_config(tmp_path / "c.yaml")


@pytest.mark.parametrize(
    "changes",
    [
        {"encoder": "resnet50"},
        {"encoder_frozen": 3},
        {"precision": "bf16"},
        {"micro_batch": 4},
        {"optimizer": "adamw"},
        {"val_limit": 5000},
        {"pretrained": "required"},
        {"start_from": "/earlier"},
        {"mask_loss": "ms_ssim_l1"},
        {"depth_loss": "ssi"},
        {"augmentation": {"blur": 0.5}},
    ],
    ids=str,
)
def test_minutes_are_counted_again_where_the_speed_is_another(changes):
    asked = TrainConfig(data=DATA, minutes=10)
    timed = asked.model_copy(update={**FOUND, "found": left_open(asked)})
    assert set(STEPS) <= set(left_open(changed(timed, **changes)))
    assert not set(STEPS) & set(left_open(changed(timed, seed=4)))
    if "start_from" not in changes:  # which has a size of its own
        assert not set(STEPS) & set(left_open(changed(of_a_run(), **changes)))  # epochs take what they take
