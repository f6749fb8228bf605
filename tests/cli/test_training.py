import json
import sys
from pathlib import Path

import pytest

from qumade import cli
from qumade.training.config import load_config
from qumade.training.report import Report

TINY = ("--size=64", "--batch-size=4", "--steps=2", "--val-limit=4", "--workers=0", "--threads=1")


@pytest.fixture
def run(monkeypatch, capsys):
    """Calls the command in this process; returns exit code, stdout and stderr."""
    monkeypatch.setattr(Report, "_draw", lambda *_: None)
    monkeypatch.setattr("signal.signal", lambda *_: None)

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["qumade", *map(str, arguments)])
        with pytest.raises(SystemExit) as exit_info:
            cli.main()
        return exit_info.value.code, *capsys.readouterr()

    return call


@pytest.fixture
def recipe(asset_folders) -> Path:
    path = asset_folders / "recipe.yaml"
    fields = "backgrounds: backgrounds\nforegrounds: foregrounds\nsize: [64, 64]\nper_pair: 2\nsplit: [0.5, 0.25, 0.25]"
    path.write_text(fields)
    return path


def test_training_on_a_recipe_leaves_a_finished_run_untouched(run, recipe, tmp_path):
    out = tmp_path / "run"
    code, text, err = run("train", recipe, "--out", out, *TINY, "--json")
    assert code == 0
    result = json.loads(text)
    assert result["run"] == str(out) and result["step"] in (1, 2) and 0 <= result["val_iou"] <= 1
    assert "tiny at 64x64 on cpu: 2 steps of 4" in err and "epoch 2/2   loss" in err and "samples/s" in err
    before = (out / "results.csv").stat().st_mtime_ns
    code, text, _ = run("train", recipe, "--out", out, *TINY)
    assert code == 0 and "Best after epoch" in text and str(out / "curves.png") in text
    assert (out / "results.csv").stat().st_mtime_ns == before


def test_flags_become_the_config(run, recipe, tmp_path):
    out = tmp_path / "run"
    flags = (
        "--loss=ms_ssim_l1",
        "--no-augment",
        "--lr=0.002",
        "--clip=none",
        "--seed=3",
        "--l1=1e-6",
        "--inverse-depth-limits=0,2",
    )
    code, _, _ = run("train", recipe, "--out", out, f"--with={recipe}:0.25:mask", *flags, *TINY)
    assert code == 0
    config = load_config(out / "config.yaml")
    assert (config.mask_loss, config.depth_loss, config.mask_weight) == ("ms_ssim_l1", "ms_ssim_l1", 2.0)
    assert config.augmentation.mirror == 0 and config.lr == 0.002 and config.clip is None and config.seed == 3
    assert config.l1 == 1e-6 and config.inverse_depth_limits == (0.0, 2.0)
    assert [(part.data, part.share, part.parts) for part in config.extra_datasets] == [(recipe, 0.25, "mask")]
    code, _, err = run("train", "--config", out / "config.yaml", "--out", out, "--lr=0.1")
    assert code == 1 and err.count("\n") == 1 and "lr 0.1 instead of 0.002" in err
    assert run("train", "--config", out / "config.yaml", "--out", out)[0] == 0


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ((), 2, "needs a dataset or a recipe"),
        (("nothing-there",), 1, "nothing-there; must be a folder or a recipe file"),
        (("x", "--epochs=1", "--minutes=2"), 2, "one of --epochs, --minutes and --steps"),
        (
            ("x", "--size=100"),
            1,
            "Invalid --size: got [100, 100] in the command line; must be width and height that are",
        ),
        (("x", "--lr=fast"), 1, "Invalid --lr: got 'fast' in the command line; must be a number above 0, or find"),
        (("x", "--with=b"), 1, "Invalid share: got 'b'"),
        (("x", "--epochs=0"), 1, "Invalid --epochs: got 0"),
    ],
)
def test_invalid_settings_are_reported_in_one_line(run, tmp_path, arguments, code, message):
    got, text, err = run("train", *arguments, "--out", tmp_path / "run")
    assert got == code and not text and message in err and err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--threads=0",), "Invalid --threads: got 0; must be at least 1"),
        (("--workers=-1",), "Invalid --workers: got -1; must be at least 0"),
        (("--lr=0",), "Invalid --lr: got 0 in the command line; must be a number above 0, or find"),
        (
            ("--inverse-depth-limits=1,0",),
            "Invalid --inverse-depth-limits: got [1, 0] in the command line; must be far and near inverse depth, far "
            "below near",
        ),
        (
            ("--inverse-depth-limits=0.5",),
            "Invalid --inverse-depth-limits: got [0.5, 0.5] in the command line; must be far and near inverse depth, "
            "far below near",
        ),
    ],
)
def test_the_whole_line_of_a_wrong_value(run, tmp_path, arguments, message):
    assert run("train", "x", *arguments, "--out", tmp_path / "run") == (1, "", f"Error: {message}\n")
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_settings_found_for_other_values_are_determined_again(run, recipe, tmp_path):
    flags = [flag for flag in TINY if not flag.startswith(("--batch-size", "--steps"))]
    assert run("train", recipe, "--out", tmp_path / "a", "--epochs=1", "--batch-size=4", *flags)[0] == 0
    path = tmp_path / "a" / "config.yaml"
    first = load_config(path)
    changed = ("--config", path, "--out", tmp_path / "b", "--optimizer=adamw", "--batch-size=2", *flags)
    code, _, err = run("train", *changed)
    assert code == 0
    fields = "lr, micro_batch, steps, epoch_steps, ema_decay"
    assert f"Note: determined again, since {path} has them for other settings: {fields}\n" in err
    second = load_config(tmp_path / "b" / "config.yaml")
    assert (first.optimizer, first.lr, first.micro_batch) == ("muon", 0.024, 4)
    assert (second.optimizer, second.lr, second.micro_batch) == ("adamw", 0.008, 2)
    assert (first.steps, second.steps, second.epoch_steps) == (2, 3, 3) and second.mean == first.mean
    assert run("train", *changed)[0] == 0  # like any finished run, it is not touched


@pytest.mark.slow
def test_an_unchanged_config_keeps_its_settings(run, recipe, tmp_path):
    assert run("train", recipe, "--out", tmp_path / "a", *TINY)[0] == 0
    path = tmp_path / "a" / "config.yaml"
    code, _, err = run("train", recipe, "--config", path, "--out", tmp_path / "b", "--seed=3", *TINY)
    assert code == 0 and "determined again" not in err
    again = load_config(tmp_path / "b" / "config.yaml")
    assert again == load_config(path).model_copy(update={"seed": 3, "found": again.found})
    assert again.found.keys() == load_config(path).found.keys() - {"size", "steps"}


def test_settings_written_by_hand_stay(run, recipe, tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(f"data: {recipe}\nlr: 0.003\nbatch_size: 4\nmicro_batch: 2\nsize: [64, 64]\nval_limit: 4\n")
    flags = ("--optimizer=adamw", "--batch-size=2", "--steps=1", "--workers=0", "--threads=1")
    code, _, err = run("train", "--config", path, "--out", tmp_path / "run", *flags)
    assert code == 0 and "determined again" not in err
    config = load_config(tmp_path / "run" / "config.yaml")
    assert (config.lr, config.optimizer, config.micro_batch, config.size) == (0.003, "adamw", 2, (64, 64))


@pytest.mark.parametrize(("suffix", "share"), [("", 0.5), (":0.25", 0.25)])
def test_unlabelled_photos_and_their_share_become_the_config(run, recipe, tmp_path, suffix, share):
    photos = recipe.parent / "backgrounds"
    code, _, _ = run("train", recipe, "--out", tmp_path / "run", *TINY, "--unlabelled", f"{photos}{suffix}")
    assert code == 0
    unlabelled = load_config(tmp_path / "run" / "config.yaml").unlabelled
    assert unlabelled is not None and unlabelled.photos == photos and unlabelled.share == share


@pytest.mark.parametrize("share", ["much", "1.5", "0"])
def test_a_share_of_unlabelled_photos_that_cannot_be_is_refused(run, recipe, tmp_path, share):
    photos = recipe.parent / "backgrounds"
    code, _, err = run("train", recipe, "--out", tmp_path / "run", *TINY, f"--unlabelled={photos}:{share}")
    assert code == 1 and f"Invalid share of --unlabelled: got '{share}'" in err and not (tmp_path / "run").exists()
