import logging
import os
import subprocess
import sys
from types import ModuleType, SimpleNamespace

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from qumade.errors import ConfigError
from qumade.training.tracking import Trackers, parse_trackers


@pytest.fixture
def services(monkeypatch):
    """The interfaces of MLflow, Weights & Biases and trackio that accelerate calls; what they were told."""
    told = []

    def service(name, **functions):
        module = ModuleType(name)
        for key, value in functions.items():
            setattr(module, key, value)
        monkeypatch.setitem(sys.modules, name, module)
        return module

    def note(name):
        return lambda *args, **values: told.append((name, args, values))

    def begun(name):
        def init(**values):
            told.append((f"{name}.init", (), values))
            return SimpleNamespace(log=note(f"{name}.log"), finish=note(f"{name}.finish"))

        return init

    limits = SimpleNamespace(MAX_PARAM_VAL_LENGTH=500, MAX_PARAMS_TAGS_PER_BATCH=2)
    service(
        "mlflow",
        utils=SimpleNamespace(validation=limits),
        search_experiments=lambda **_: [],
        create_experiment=lambda **_: "1",
        start_run=note("mlflow.start"),
        log_params=note("mlflow.params"),
        log_metrics=note("mlflow.log"),
        end_run=note("mlflow.finish"),
    )
    for name in ("wandb", "trackio"):
        service(
            name, init=begun(name), config=SimpleNamespace(update=note(f"{name}.config")), Image=lambda image: image
        )
    return told


def test_every_service_gets_settings_and_figures(services, tmp_path):
    folder = tmp_path / "my run"
    trackers = Trackers(("mlflow", "wandb", "trackio"), folder, 0, {"lr": 0.1, "model": "tiny", "steps": 5})
    trackers.scalars({"epoch/val_iou_größe": 0.5, "step/loss": 1.0}, 7)
    picture = torch.randint(0, 255, (3, 4, 6), dtype=torch.uint8)
    trackers.image("val/labels", picture, 7)
    trackers.flush()
    trackers.close()
    names = [name for name, *_ in services]
    for service in ("mlflow", "wandb", "trackio"):
        own = [name for name in names if name.startswith(service)]
        assert own[-1] == f"{service}.finish" and own.count(f"{service}.finish") == 1
    of = {name: (args, values) for name, args, values in services}
    assert of["mlflow.start"][1]["run_name"] == of["wandb.init"][1]["name"] == of["trackio.init"][1]["name"] == "my run"
    assert of["wandb.init"][1]["project"] == of["trackio.init"][1]["project"] == "qumade"
    params = {name: value for call, args, _ in services if call == "mlflow.params" for name, value in args[0].items()}
    assert params == {"lr": 0.1, "model": "tiny", "steps": 5} == of["wandb.config"][0][0]
    assert of["mlflow.log"] == (({"epoch/val_iou_gr__e": 0.5, "step/loss": 1.0},), {"step": 7})
    (image,) = next(
        args[0]["val/labels"] for name, args, _ in services if name == "wandb.log" and "val/labels" in args[0]
    )
    assert (image == picture.permute(1, 2, 0).numpy()).all()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("broken", ["init", "log"])
def test_a_service_that_fails_is_left_out_and_the_others_go_on(services, tmp_path, monkeypatch, caplog, broken):
    def fail(*_, **__):
        raise OSError("no route\nto host")

    run = SimpleNamespace(log=fail, finish=fail)
    monkeypatch.setattr(sys.modules["wandb"], "init", fail if broken == "init" else lambda **_: run)
    with caplog.at_level(logging.WARNING):
        trackers = Trackers(("wandb", "trackio"), tmp_path / "run", 0, {})
        for step in range(3):
            trackers.scalars({"loss": 1.0}, step)
        trackers.close()
    lines = [record.message for record in caplog.records if record.name == "qumade.training.tracking"]
    assert lines == ["wandb gets no more of this training, which goes on: no route to host"]
    assert [name for name, *_ in services].count("trackio.log") == 3


def test_tensorboard_hides_the_events_of_steps_that_are_done_again(tmp_path):
    picture = torch.randint(0, 255, (3, 4, 6), dtype=torch.uint8)
    for start, value in ((0, 1.0), (4, 2.0)):
        trackers = Trackers(("tensorboard",), tmp_path, start, {"lr": 0.1})
        for step in range(start + 1, 9):
            trackers.scalars({"epoch/größe": value}, step)
        trackers.image("val", picture, 0)
        trackers.close()
    events = EventAccumulator(str(tmp_path)).Reload()
    assert [(event.step, event.value) for event in events.Scalars("epoch/größe")] == [
        *((step, 1.0) for step in range(1, 5)), *((step, 2.0) for step in range(5, 9)),
    ]  # fmt: skip
    assert events.Images("val")[0].width == 6
    assert all(path.name.startswith("events.out") for path in tmp_path.iterdir())  # no settings beside them


def test_names_are_read_once_each(services, monkeypatch):
    for name in ("mlflow", "wandb"):
        monkeypatch.setattr(sys.modules[name], "__spec__", SimpleNamespace())
    assert parse_trackers("tensorboard") == ("tensorboard",)
    assert parse_trackers("wandb,mlflow,wandb") == ("wandb", "mlflow")


@pytest.mark.parametrize("text", ["", "tensorboard,", "comet", "Tensorboard", "mlflow;wandb"])
def test_other_names_are_refused(text):
    with pytest.raises(ConfigError, match="must be some of tensorboard,mlflow,wandb,trackio"):
        parse_trackers(text)


def test_the_package_of_a_tracker_that_is_missing_is_named(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(
        ConfigError, match="got wandb, whose package is not installed; install it with: pip install wandb"
    ):
        parse_trackers("wandb")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mlflow", "wandb", "trackio"])
def test_the_real_packages_work_without_a_network(name, tmp_path):
    """In a process of its own: these packages start threads and processes."""
    pytest.importorskip(name, reason=f"{name} is not installed")
    code = f"""
import logging, torch
from pathlib import Path
from qumade.training.tracking import Trackers, parse_trackers

logging.basicConfig()
trackers = Trackers(parse_trackers({name!r}), Path("run").absolute(), 0, {{"lr": 0.1, "model": "tiny"}})
for step in range(3):
    trackers.scalars({{"step/loss": 1.0 / (step + 1), "epoch/val_iou_größe": 0.5}}, step)
trackers.image("val", torch.zeros(3, 4, 6, dtype=torch.uint8), 2)
trackers.close()
"""
    offline = {
        "WANDB_MODE": "offline", "WANDB_SILENT": "true", "TRACKIO_DIR": str(tmp_path / "trackio"),
        "MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path / 'mlflow.db'}", "HF_HUB_OFFLINE": "1", "HOME": str(tmp_path),
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=os.environ | offline,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert "which goes on" not in done.stderr, done.stderr
    written = {path for path in tmp_path.rglob("*") if path.is_file() and path.stat().st_size}
    assert any(path.suffix in (".wandb", ".db") for path in written), written
