import contextlib
import csv
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from qumade.convert.shards import folder_to_shards
from qumade.data.shard_store import write
from qumade.errors import QumadeError
from qumade.io.storage import open_storage
from qumade.training import best, loop
from qumade.training.checkpoint import latest_checkpoint, read_checkpoint, read_tensors
from qumade.training.config import TrainConfig, UnlabelledPhotos, load_config, save_config
from qumade.training.loop import train
from qumade.training.report import Report
from qumade.training.run_folder import RunFolder, load_network, read_results
from qumade.training.trainer import Trainer
from qumade.training.validation import Scores

QUIET = {"threads": 1, "workers": 0, "progress": False}

# Imports once, then forks a process for each attempt, and kills it sooner or later until one of them is done.
KILLER = """
import os, random, signal, sys, time
from pathlib import Path
from qumade.training.config import load_config
from qumade.training.loop import train
from qumade.training.report import Report

Report._draw = lambda *_: None  # would take most of the time
config, out, draw, kills = load_config(Path(sys.argv[1])), sys.argv[2], random.Random(int(sys.argv[3])), 0
while True:
    child = os.fork()
    if not child:
        train(config, out, threads=1, workers=0, checkpoint_s=0.05, progress=False)
        os._exit(0)
    until = time.monotonic() + draw.uniform(0.1, 0.8 + 0.4 * kills)
    while (done := os.waitpid(child, os.WNOHANG)) == (0, 0) and time.monotonic() < until:
        time.sleep(0.01)
    if done == (0, 0):
        os.kill(child, signal.SIGKILL)
        done = os.waitpid(child, 0)
    if os.waitstatus_to_exitcode(done[1]) != -signal.SIGKILL:
        sys.exit(str(done) if done[1] else None if print(kills) is None else 0)
    kills += 1
"""


@pytest.fixture(scope="module")
def config(tmp_path_factory, toy_dataset):
    """Three epochs of four steps on a small dataset, and two steps more."""
    data = toy_dataset(tmp_path_factory.mktemp("data") / "toy")
    return TrainConfig(
        data=data, size=(32, 32), batch_size=4, steps=14, epoch_steps=4, lr=0.01, val_limit=4, pretrained="none"
    )


@pytest.fixture(scope="module")
def whole(config, tmp_path_factory):
    """A run that nothing disturbed."""
    return train(config, tmp_path_factory.mktemp("runs") / "whole", **QUIET)


@pytest.fixture
def plain(monkeypatch):
    """No pictures, which take longer than the training."""
    monkeypatch.setattr(Report, "_draw", lambda *_: None)


def same_state(one: Path, other: Path) -> bool:
    """Whether two runs ended with the same weights, averages, optimiser, random numbers and measured rows."""
    (tensors, state), (others, other_state) = (
        read_checkpoint(latest_checkpoint(RunFolder(run).checkpoints)) for run in (one, other)
    )
    clocks = ("seconds", "samples_per_s", "wait_share")
    rows, other_rows = (
        [{key: value for key, value in row.items() if key not in clocks} for row in s["rows"]]
        for s in (state, other_state)
    )
    equal = tensors.keys() == others.keys() and all(torch.equal(tensors[name], others[name]) for name in tensors)
    return equal and rows == other_rows


def test_a_run_folder_explains_itself(whole):
    folder = RunFolder(whole)
    assert {path.name for path in whole.iterdir() if not path.name.startswith("events.out.tfevents")} == {
        "config.yaml", "results.csv", "curves.png", "train_batch.png", "val_labels.png", "val_pred.png", "weights",
        "checkpoint", "environment.json", "encoder.json",
    }  # fmt: skip
    rows = read_results(folder.results)
    assert [row["step"] for row in rows] == [4, 8, 12, 14] and [row["epoch"] for row in rows] == [1, 2, 3, 4]
    assert all(row["val_iou"] is not None and 0 <= row["wait_share"] <= 1 for row in rows)
    stored = load_config(folder.config)
    assert stored.inverse_depth_limits == (0.0, 1.5) and stored.depth_loss == "silog_ssi"
    assert stored.precision == ("bf16" if torch.cpu.get_capabilities().get("amx_bf16") else "fp32")
    assert None not in (stored.mean, stored.std, stored.ema_decay)
    (start,) = json.loads(folder.environment.read_text())["starts"]
    assert start["versions"]["torch"] == torch.__version__.split("+")[0] and start["threads"] == 1
    last, best = (json.loads(folder.weights(which).with_suffix(".json").read_text()) for which in ("last", "best"))
    assert last["step"] == 14 and last["network"]["depth_kind"] == "scaled"
    scores = [row["score"] for row in rows]
    assert best["epoch"] == scores.index(max(scores)) + 1
    assert json.loads(folder.encoder.read_text()) == {"encoder": "slim_resnet18d", "pretrained": None}
    network = load_network(whole, "last")
    averaged, _ = read_tensors(folder.weights("last"))
    assert not network.training and all(torch.equal(network.state_dict()[name], averaged[name]) for name in averaged)


def test_the_page_on_training_has_every_column_of_the_results(whole):
    page = (Path(__file__).parents[2] / "docs" / "training.md").read_text()
    _, _, table = page.partition("Columns of `results.csv`:")
    names = [re.findall(r"`(\w+)`", row.split("|")[1]) for row in table.split("\n\n")[1].splitlines()[2:]]
    columns = {name for row in names for name in row if not name.endswith("_CLASS")}  # of several classes
    assert columns == read_results(RunFolder(whole).results)[0].keys()


@pytest.mark.slow
def test_training_learns(tmp_path, toy_dataset, plain):
    config = TrainConfig(
        data=toy_dataset(tmp_path / "data"), size=(32, 32), batch_size=8, steps=60, epoch_steps=60, lr=0.01
    )
    rows = read_results(RunFolder(train(config, tmp_path / "run", **QUIET)).results)
    assert rows[-1]["val_iou"] > 0.7 and rows[-1]["val_delta1"] > 0.7


def test_the_events_hold_scalars_and_pictures(whole):
    events = EventAccumulator(str(whole)).Reload()
    assert [event.step for event in events.Scalars("epoch/val_iou")] == [4, 8, 12, 14]
    assert set(events.Tags()["images"]) == {"train/batch", "val/labels", "val/predictions"}


@pytest.mark.slow
def test_two_runs_are_the_same_to_the_bit_and_another_seed_is_not(config, whole, tmp_path, plain):
    again = train(config, tmp_path / "again", **QUIET)
    other = train(config.model_copy(update={"seed": 1}), tmp_path / "other", **QUIET)
    assert same_state(whole, again) and not same_state(whole, other)


@pytest.mark.slow
def test_killed_at_any_moment_a_run_ends_the_same_to_the_bit(config, whole, tmp_path):
    save_config(config, tmp_path / "config.yaml")
    arguments = [str(tmp_path / "config.yaml"), str(tmp_path / "killed"), "0"]
    result = subprocess.run([sys.executable, "-c", KILLER, *arguments], capture_output=True, text=True, check=True)
    assert int(result.stdout.split()[-1]) >= 2
    assert same_state(whole, tmp_path / "killed")
    for which in ("best", "last"):
        one, other = (RunFolder(run).weights(which).read_bytes() for run in (whole, tmp_path / "killed"))
        assert one == other
    with RunFolder(tmp_path / "killed").results.open() as file:
        assert [row["step"] for row in csv.DictReader(file)] == ["4", "8", "12", "14"]


@pytest.fixture(scope="module")
def sharded(config, tmp_path_factory):
    """The same dataset in shards of three samples."""
    shards = tmp_path_factory.mktemp("shards") / "toy"
    folder_to_shards(config.data, shards, samples_per_shard=3, progress=False)
    return config.model_copy(update={"data": shards})


@pytest.mark.slow
def test_training_streams_from_an_object_store_and_ends_the_same_to_the_bit(
    sharded, tmp_path, monkeypatch, plain, object_store
):
    """The same weights from shards on disk, and from an object store after a kill in the middle of an epoch."""
    storage = open_storage("s3://bucket/toy")
    for path in sharded.data.rglob("*.*"):
        write(storage, path.relative_to(sharded.data).as_posix(), [path.read_bytes()])
    whole = train(sharded, tmp_path / "whole", **QUIET)
    streaming, step, steps = sharded.model_copy(update={"data": "s3://bucket/toy"}), Trainer.step, []

    def killed(*arguments):
        steps.append(1)
        if len(steps) == 7:
            raise Kill
        return step(*arguments)

    with monkeypatch.context() as patch, pytest.raises(Kill):
        patch.setattr(Trainer, "step", killed)
        train(streaming, tmp_path / "run", checkpoint_s=0, **QUIET)
    assert latest_checkpoint(tmp_path / "run" / "checkpoint").name == "step_000000006.safetensors"
    assert same_state(whole, train(streaming, tmp_path / "run", **QUIET | {"workers": 1}))
    assert load_config(tmp_path / "run" / "config.yaml").data == "s3://bucket/toy"


class Kill(Exception):
    """Stands for a kill at a chosen moment of this process."""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("place", "count"), [("_save", 1), ("_save", 2), ("write_weights", 2), ("write_best", 2), ("save_config", 1)]
)
def test_unwritten_work_is_done_again(config, whole, tmp_path, monkeypatch, plain, place, count):
    calls = []
    true = getattr(loop, place)

    def killed(*arguments, **options):
        calls.append(1)
        if len(calls) == count:
            raise Kill
        return true(*arguments, **options)

    with monkeypatch.context() as patch, pytest.raises(Kill):
        patch.setattr(loop, place, killed)
        train(config, tmp_path / "run", **QUIET)
    assert same_state(whole, train(config, tmp_path / "run", **QUIET))
    assert [row["epoch"] for row in read_results(tmp_path / "run" / "results.csv")] == [1, 2, 3, 4]
    one, other = (RunFolder(run).weights("best").read_bytes() for run in (whole, tmp_path / "run"))
    assert one == other


def test_the_best_weights_of_a_finished_run_that_a_kill_held_up_are_written(config, tmp_path, monkeypatch, plain):
    config, true = config.model_copy(update={"steps": 1, "epoch_steps": 1}), best.write_weights
    with monkeypatch.context() as patch, pytest.raises(Kill):
        killed = lambda folder, which, *given: _raise(Kill) if which == "best" else true(folder, which, *given)  # noqa: E731
        patch.setattr(best, "write_weights", killed)
        train(config, tmp_path / "run", **QUIET)
    folder = RunFolder(train(config, tmp_path / "run", **QUIET))
    assert folder.weights("best").read_bytes() == folder.weights("last").read_bytes()
    load_network(folder.root)


def test_the_best_weights_are_those_of_no_epoch_that_a_kill_undid(config, tmp_path, monkeypatch, plain):
    """As on a GPU, where the epoch has another score when it is done again."""
    config, save = config.model_copy(update={"steps": 3, "epoch_steps": 1}), loop._save
    scores = iter([0.5, 0.4, 0.9, 0.3])
    monkeypatch.setattr(loop, "validate", lambda *_: Scores(1.0, next(scores), None))
    with monkeypatch.context() as patch, pytest.raises(Kill):
        patch.setattr(loop, "_save", lambda *given: _raise(Kill) if given[2].step == 3 else save(*given))
        train(config, tmp_path / "run", **QUIET)
    folder = RunFolder(train(config, tmp_path / "run", **QUIET))
    assert [(row["score"], row["best"]) for row in read_results(folder.results)] == [(0.5, 1), (0.4, 0), (0.3, 0)]
    assert json.loads(folder.weights("best").with_suffix(".json").read_text())["epoch"] == 1
    load_network(folder.root)


@pytest.mark.slow
def test_events_of_steps_that_a_kill_undid_are_hidden(config, tmp_path, monkeypatch, plain):
    save = loop._save
    with monkeypatch.context() as patch, pytest.raises(Kill):
        patch.setattr(loop, "_save", lambda *given: _raise(Kill) if given[2].step == 8 else save(*given))
        train(config, tmp_path / "run", checkpoint_s=1000, **QUIET)
    assert latest_checkpoint(tmp_path / "run" / "checkpoint").name == "step_000000004.safetensors"
    time.sleep(1.1)  # files of events are told apart by the second
    events = EventAccumulator(str(train(config, tmp_path / "run", **QUIET))).Reload()
    assert [event.step for event in events.Scalars("epoch/val_iou")] == [4, 8, 12, 14]
    assert len(json.loads((tmp_path / "run" / "environment.json").read_text())["starts"]) == 2


def _raise(error):
    raise error


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_comes_between_two_steps_and_the_same_call_resumes(config, whole, tmp_path, monkeypatch, plain, number):
    step, taken = Trainer.step, []

    def stopped(self, batch, lr, progress, at):
        taken.append(1)
        if len(taken) == 7:
            os.kill(os.getpid(), number)
        return step(self, batch, lr, progress, at)

    monkeypatch.setattr(Trainer, "step", stopped)
    before = signal.getsignal(number)
    with pytest.raises(KeyboardInterrupt):
        train(config, tmp_path / "run", **QUIET)
    assert signal.getsignal(number) is before
    assert latest_checkpoint(tmp_path / "run" / "checkpoint").name == "step_000000007.safetensors"
    assert same_state(train(config, tmp_path / "run", **QUIET), whole)
    assert len(taken) == 14


@pytest.mark.slow
def test_a_non_finite_loss_names_the_last_good_checkpoint(config, whole, tmp_path, monkeypatch, plain):
    step, taken = Trainer.step, []

    def broken(self, batch, lr, progress, at):
        taken.append(1)
        if len(taken) == 6:
            with torch.no_grad():
                next(self.network.parameters()).fill_(float("nan"))
        return step(self, batch, lr, progress, at)

    good = tmp_path / "run" / "checkpoint" / "step_000000004.safetensors"
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "step", broken)
        with pytest.raises(QumadeError, match=f"got nan .* at step 6, .* last good checkpoint {good}") as error:
            train(config, tmp_path / "run", **QUIET)
    assert "\n" not in str(error.value)
    assert same_state(train(config, tmp_path / "run", **QUIET), whole)


@pytest.mark.slow
def test_non_finite_weights_are_never_saved(config, tmp_path, monkeypatch, plain):
    step, taken = Trainer.step, []

    def broken(self, batch, lr, progress, at):
        losses = step(self, batch, lr, progress, at)
        taken.append(1)
        if len(taken) == 8:  # the last before a checkpoint
            with torch.no_grad():
                next(self.network.parameters()).fill_(float("inf"))
        return losses

    monkeypatch.setattr(Trainer, "step", broken)
    with pytest.raises(QumadeError, match=r"step_000000004\.safetensors"):
        train(config, tmp_path / "run", **QUIET)


def test_a_finished_run_is_left_alone(config, whole):
    before = {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in whole.rglob("*")}
    train(config, whole, **QUIET)
    train(load_config(whole / "config.yaml"), whole, **QUIET)
    assert before == {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in whole.rglob("*")}


@pytest.mark.parametrize("update", [{"lr": 0.02}, {"seed": 5}, {"size": (64, 32)}, {"limit": 3}, {"l1": 1e-6}])
def test_another_config_is_refused(config, whole, update):
    with pytest.raises(QumadeError, match=f"got {next(iter(update))} .* instead of .* in {whole / 'config.yaml'}"):
        train(config.model_copy(update=update), whole, **QUIET)


@pytest.mark.slow
@pytest.mark.parametrize("finished", [False, True])
def test_other_data_is_refused(config, tmp_path, monkeypatch, plain, toy_dataset, finished):
    config = config.model_copy(update={"data": toy_dataset(tmp_path / "data"), "steps": 4})
    with monkeypatch.context() as patch, contextlib.nullcontext() if finished else pytest.raises(Kill):
        if not finished:
            patch.setattr(loop, "_end_epoch", lambda *_: _raise(Kill))
        train(config, tmp_path / "run", **QUIET)
    (tmp_path / "data").rename(tmp_path / "before")
    toy_dataset(tmp_path / "data", train=21)
    with pytest.raises(QumadeError, match="got other data than"):
        train(config, tmp_path / "run", **QUIET)


def test_a_folder_of_something_else_is_refused(config, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("the only copy")
    with pytest.raises(QumadeError, match=r"got .*thesis.txt; must be a new or empty folder"):
        train(config, tmp_path / "mine", **QUIET)


def test_a_training_that_cannot_start_leaves_no_folder(config, tmp_path):
    with pytest.raises(QumadeError, match="missing"):
        train(config.model_copy(update={"data": tmp_path / "missing"}), tmp_path / "run", **QUIET)
    assert not (tmp_path / "run").exists()


def test_a_folder_that_is_trained_into_is_refused(config, tmp_path, plain):
    refused = []

    def second(run, rows):
        def try_it():
            try:
                train(config, run, **QUIET)
            except QumadeError as error:
                refused.append(str(error))

        other = threading.Thread(target=try_it)
        other.start()
        other.join()

    train(config.model_copy(update={"steps": 2, "epoch_steps": 2}), tmp_path / "run", after_epoch=second, **QUIET)
    assert len(refused) == 1 and "another process is training into" in refused[0]


@pytest.mark.slow
def test_training_stops_early_when_validation_gets_no_better(config, tmp_path, plain):
    config = config.model_copy(update={"patience": 2, "steps": 50, "lr": 1e-9})
    out = train(config, tmp_path / "run", **QUIET)
    rows = read_results(out / "results.csv")
    best = max(row["epoch"] for row in rows if row["best"])
    assert len(rows) == best + 2 < 10
    train(config, out, **QUIET)
    assert len(read_results(out / "results.csv")) == len(rows)


@pytest.mark.slow
def test_the_pictures_of_a_training_that_stops_early_are_of_its_last_epoch(config, tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(Report, "_draw", lambda _, rows, network: drawn.append(rows[-1]["epoch"]))
    config = config.model_copy(update={"patience": 2, "steps": 50, "lr": 1e-9})
    rows = read_results(train(config, tmp_path / "run", **QUIET) / "results.csv")
    assert len(rows) < 10 and drawn[-1] == len(rows)


@pytest.mark.slow
def test_a_run_from_pretrained_weights_resumes_without_them(config, tmp_path, monkeypatch, plain, pretrained_package):
    config = config.model_copy(update={"pretrained": "auto", "steps": 4, "epoch_steps": 2, "encoder_frozen": 3})
    whole = train(config, tmp_path / "whole", **QUIET)
    with monkeypatch.context() as patch, pytest.raises(Kill):
        patch.setattr(loop, "_end_epoch", lambda *_: _raise(Kill))
        train(config, tmp_path / "run", **QUIET)
    monkeypatch.setattr("qumade.models.encoders._PACKAGES", {})
    assert same_state(train(config, tmp_path / "run", **QUIET), whole)
    noted = json.loads(RunFolder(tmp_path / "run").encoder.read_text())
    assert noted["encoder"] == pretrained_package and noted["pretrained"]["licence"] == "Apache-2.0"
    assert load_network(tmp_path / "run").config.encoder == pretrained_package


@pytest.mark.slow
def test_a_run_with_unlabelled_photos_resumes_to_the_same_bits(config, tmp_path, monkeypatch, plain):
    """The kill comes between two rounds: the teacher is of neither the first step nor the last."""
    photos = UnlabelledPhotos(photos=config.data / "images", share=0.5, confidence=0.51)
    config = config.model_copy(update={"unlabelled": photos, "steps": 10, "epoch_steps": 5})
    whole = train(config, tmp_path / "whole", **QUIET)
    step, taken = Trainer.step, []

    def stopped(self, batch, lr, progress, at):
        taken.append(progress)
        if len(taken) == 7:
            os.kill(os.getpid(), signal.SIGINT)
        return step(self, batch, lr, progress, at)

    monkeypatch.setattr(Trainer, "step", stopped)
    with pytest.raises(KeyboardInterrupt):
        train(config, tmp_path / "run", **QUIET)
    assert same_state(train(config, tmp_path / "run", **QUIET), whole)
    assert taken == [number / 10 for number in range(10)]
    supervised = train(config.model_copy(update={"unlabelled": None}), tmp_path / "supervised", **QUIET)
    assert not same_state(supervised, whole)


@pytest.mark.parametrize(("device", "kept"), [("cpu", "cpu"), ("mps", "cpu")])
def test_64_bit_sums_are_kept_where_the_device_has_them(device, kept):
    sums = loop._Sums({"loss": 0.1}, torch.device(device))
    sums.add({"loss": torch.tensor(0.25)})
    assert sums.device.type == kept and sums.values() == {"loss": 0.1 + 0.25}


@pytest.mark.slow
def test_without_validation_samples_the_best_is_the_last(tmp_path, toy_dataset, plain, caplog):
    config = TrainConfig(data=toy_dataset(tmp_path / "data", val=0), size=(32, 32), batch_size=4, steps=4, patience=1)
    out = train(config, tmp_path / "run", threads=1, workers=0)
    rows = read_results(out / "results.csv")
    assert [row["val_iou"] for row in rows] == [None] * 4 and all(row["best"] for row in rows)
    folder = RunFolder(out)
    assert folder.weights("best").read_bytes() == folder.weights("last").read_bytes()
    assert caplog.text.count("no validation samples") == 1
    assert not folder.val_pred.exists()


@pytest.mark.slow
@pytest.mark.parametrize("missing", ["masks", "depth"])
def test_a_missing_label_has_no_scores(tmp_path, toy_dataset, plain, missing):
    data = toy_dataset(tmp_path / "data", kind=None)
    for path in (data / missing).iterdir():
        path.unlink()
    (data / missing).rmdir()
    config = TrainConfig(data=data, size=(32, 32), batch_size=4, steps=2)
    (row, _) = read_results(train(config, tmp_path / "run", **QUIET) / "results.csv")
    here, gone = ("val_delta1", "val_iou") if missing == "masks" else ("val_iou", "val_delta1")
    assert row[here] is not None and row[gone] is None
    assert row["mask" if missing == "masks" else "depth"] == 0


@pytest.mark.slow
def test_minutes_become_a_fixed_number_of_steps(tmp_path, toy_dataset, monkeypatch, plain):
    monkeypatch.setattr(loop, "FINDER_STEPS", 10)
    data = toy_dataset(tmp_path / "data")
    config = TrainConfig(data=data, size=(32, 32), batch_size=4, minutes=0.05, lr="find")
    began = time.monotonic()
    out = train(config, tmp_path / "run", **QUIET)
    assert time.monotonic() - began < 60
    stored = load_config(out / "config.yaml")
    assert stored.steps is not None and stored.minutes == 0.05 and isinstance(stored.lr, float)
    assert (out / "learning_rate.png").is_file()
    assert train(config, out, **QUIET) == out


@pytest.mark.slow
def test_the_search_for_a_rate_leaves_no_trace(config, tmp_path, monkeypatch, plain):
    monkeypatch.setattr(loop, "FINDER_STEPS", 10)
    config = config.model_copy(update={"steps": 2, "epoch_steps": 2})
    found = train(config.model_copy(update={"lr": "find"}), tmp_path / "found", **QUIET)
    rate = load_config(found / "config.yaml").lr
    given = train(config.model_copy(update={"lr": rate}), tmp_path / "given", **QUIET)
    assert same_state(found, given)
    names, others = ({path.relative_to(run) for path in _files_of(run)} for run in (found, given))
    assert names - others == {Path("learning_rate.png")} and not others - names


def _files_of(run):
    return [path for path in run.rglob("*") if path.is_file() and "tfevents" not in path.name]


def test_global_settings_are_restored(config, tmp_path, plain):
    before = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    train(config.model_copy(update={"steps": 1}), tmp_path / "run", **QUIET)
    assert before == (torch.get_num_threads(), torch.are_deterministic_algorithms_enabled())


LAUNCHED = """
import hashlib, os, sys, time
from pathlib import Path
from types import SimpleNamespace
from qumade.training import budget, lr_finder, loop
from qumade.training.config import load_config
from qumade.training.report import Report
from qumade.training.trainer import Trainer

# Left alone, no two processes would have enough at the same step.
if os.environ["RANK"] == "1":
    budget.time = SimpleNamespace(monotonic=lambda: time.monotonic() / 1000)
lr_finder.DIVERGED = 1.1
new_trainer, made = loop.new_trainer, []
loop.new_trainer = lambda *given, **options: made.append(new_trainer(*given, **options)) or made[-1]
folder = Path(sys.argv[1])


def trained(name):
    config = load_config(folder / f"{name.split('_')[0]}.yaml")
    loop.train(config, folder / name, threads=1, workers=0, progress=False)
    groups = made[-1].optimizer.param_groups
    tensors = [weight.detach() for group in groups for weight in group["params"]]
    for part in sorted(made[-1].modules.keys() & {"average", "teacher"}):
        tensors += made[-1].modules[part].state_dict().values()
    digest = hashlib.sha256(b"".join(tensor.contiguous().numpy().tobytes() for tensor in tensors)).hexdigest()
    (folder / f"{name}.{os.environ['RANK']}").write_text(digest)


def killed(self, batch, lr, progress, at):
    if at == 7:
        raise KeyboardInterrupt
    return step(self, batch, lr, progress, at)


trained("run")
Report._draw = lambda *_: None  # would take most of the time
trained("photos")
step, Trainer.step = Trainer.step, killed
try:
    trained("photos_again")
except KeyboardInterrupt:
    Trainer.step = step
    trained("photos_again")
"""


@pytest.mark.slow
def test_processes_launched_together_train_one_network(config, tmp_path):
    """And so where they see photos, unlike numbers of them, and are interrupted: one launch for both."""
    photos = UnlabelledPhotos(photos=config.data / "images", share=0.3, confidence=0.51)
    with_photos = config.model_copy(update={"unlabelled": photos, "steps": 10, "epoch_steps": 5})
    save_config(with_photos, tmp_path / "photos.yaml")
    update = {"task_weights": "uncertainty", "steps": None, "epoch_steps": None, "minutes": 0.03, "lr": "find"}
    config = config.model_copy(update=update)
    save_config(config, tmp_path / "run.yaml")
    (tmp_path / "launched.py").write_text(LAUNCHED)
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2", "--standalone"]
    arguments = [tmp_path / "launched.py", tmp_path]
    with subprocess.Popen([*launch, *map(str, arguments)], stderr=subprocess.PIPE, text=True) as process:
        try:
            _, err = process.communicate(timeout=240)
        finally:
            process.terminate()  # and so what it launched, in sessions of their own
    assert process.returncode == 0, err
    (start,) = json.loads((tmp_path / "run" / "environment.json").read_text())["starts"]
    assert start["processes"] == 2
    row = read_results(tmp_path / "run" / "results.csv")[-1]
    assert row["step"] == load_config(tmp_path / "run" / "config.yaml").steps and row["val_iou"] is not None
    assert (tmp_path / "run.0").read_text() == (tmp_path / "run.1").read_text()
    load_network(tmp_path / "run", "last")
    ends = {(tmp_path / f"{name}.{rank}").read_text() for name in ("photos", "photos_again") for rank in (0, 1)}
    assert len(ends) == 1 and same_state(tmp_path / "photos", tmp_path / "photos_again")
    starts = json.loads((tmp_path / "photos_again" / "environment.json").read_text())["starts"]
    assert len(starts) == 2
