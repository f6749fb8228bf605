import csv
import json
import sys
from types import SimpleNamespace

import pytest
import torch
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from qumade.data.loader import Batch
from qumade.models.config import NetworkConfig
from qumade.models.network import Output
from qumade.training import report as module
from qumade.training.report import Report, epoch_line
from qumade.training.run_folder import RunFolder

CONFIG = NetworkConfig(size=(64, 32), depth_kind="scaled", inverse_depth_limits=(0.0, 1.0))
ROW = {
    "epoch": 1, "step": 4, "samples": 16, "lr": 0.004, "loss": 1.25, "mask": 0.5, "depth": 0.75, "gradient": 2.0,
    "val_loss": 1.5, "val_iou": 0.5, "val_delta1": 0.25, "score": 0.375, "best": 1, "samples_per_s": 31.26,
    "wait_share": 0.128, "seconds": 9.0,
}  # fmt: skip


class Told:
    """A network that says the same of every picture; how often it was asked."""

    asked = 0

    def __call__(self, image):
        self.asked += 1
        return Output(torch.zeros_like(image[:, :1]), torch.zeros_like(image[:, :1]))


@pytest.fixture
def folder(tmp_path):
    return RunFolder(tmp_path)


@pytest.fixture
def make(folder):
    """Reports on one run, closed at the end."""
    made = []

    def report(**options):
        fields = {"steps": 8, "step": 0, "rows": [], "progress": False, "after_epoch": None, **options}
        made.append(Report(folder, CONFIG, **fields))
        return made[-1]

    yield report
    for each in made:
        each.close()


@pytest.fixture
def clock(monkeypatch):
    """Seconds that pass by being set."""
    now = SimpleNamespace(s=100.0)
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: now.s))
    return now


def batch():
    return Batch(torch.rand(2, 3, 32, 64), torch.rand(2, 1, 32, 64), torch.rand(2, 1, 32, 64))


def events_of(folder):
    return EventAccumulator(str(folder.root)).Reload()


@pytest.mark.parametrize(
    ("update", "line"),
    [
        (
            {},
            "epoch 1/5   loss 1.2500   val loss 1.500   val IoU 0.500   val delta1 0.250   lr 4.0e-03   31.3 samples/s"
            "   13% waiting for data   best",
        ),
        (
            {"val_loss": None, "val_iou": None, "val_delta1": None, "best": 0},
            "epoch 1/5   loss 1.2500   lr 4.0e-03   31.3 samples/s   13% waiting for data",
        ),
        (
            {"val_iou": 0.0, "val_delta1": None, "wait_share": 0.0},
            "epoch 1/5   loss 1.2500   val loss 1.500   val IoU 0.000   lr 4.0e-03   31.3 samples/s"
            "   0% waiting for data   best",
        ),
    ],
)
def test_the_line_of_an_epoch(update, line):
    assert epoch_line(ROW | update, 5) == line


def test_results_are_those_of_the_rows_and_nothing_beyond(folder, make):
    folder.results.write_text("what a kill left\n")
    make(step=4, rows=[ROW]).epoch([ROW, {**ROW, "epoch": 2, "step": 8, "val_iou": None}], 2, Told(), final=False)
    with folder.results.open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["epoch"], row["step"], row["val_iou"]) for row in rows] == [("1", "4", "0.5"), ("2", "8", "")]
    make()
    assert folder.results.read_text() == "epoch\n"


def test_every_start_is_added_to_the_environment(folder, make):
    make().environment({"threads": 1})
    make().environment({"threads": 2})
    assert json.loads(folder.environment.read_text()) == {"starts": [{"threads": 1}, {"threads": 2}]}


@pytest.mark.parametrize("text", ["", "{", "[]", '{"begun": 1}', "\xff"])
def test_a_damaged_environment_is_no_reason_not_to_train(folder, make, text):
    folder.environment.write_text(text, "latin-1")
    make().environment({"threads": 3})
    assert json.loads(folder.environment.read_text()) == {"starts": [{"threads": 3}]}


def test_pictures_of_batches(folder, make):
    report = make()
    report.training_batch(batch())
    report.validation_batch(batch())
    for path in (folder.train_batch, folder.val_labels):
        with Image.open(path) as picture:
            assert picture.width > 64
    report.close()
    assert set(events_of(folder).Tags()["images"]) == {"train/batch", "val/labels"}


@pytest.mark.slow
def test_losses_are_noted_where_they_are_looked_at(folder, make):
    report = make()
    report.step(1, None, 0.1)
    report.step(2, {"loss": torch.tensor(3.0), "mask": torch.tensor(1.0)}, 0.2)
    report.epoch([{**ROW, "val_iou": None}], 2, Told(), final=False)
    report.close()
    events = events_of(folder)
    told = {name: [(event.step, event.value) for event in events.Scalars(name)] for name in events.Tags()["scalars"]}
    assert told["step/loss"] == [(2, 3.0)] and told["step/mask"] == [(2, 1.0)]
    assert told["step/lr"] == [(2, pytest.approx(0.2))]
    assert told["epoch/loss"] == [(4, 1.25)]
    assert not {"epoch/val_iou", "epoch/step", "epoch/epoch", "epoch/samples"} & told.keys()


def test_pictures_are_drawn_at_first_now_and_then_and_at_last(folder, make, clock):
    report, network = make(), Told()
    report.validation_batch(batch())
    for seconds, final, asked in ((0, False, 1), (14, False, 1), (2, False, 2), (1, False, 2), (0, True, 3)):
        clock.s += seconds
        report.epoch([ROW], 3, network, final=final)
        assert network.asked == asked
    assert folder.curves.is_file() and folder.val_pred.is_file()


def test_without_validation_samples_only_curves_are_drawn(folder, make):
    network = Told()
    make().epoch([ROW], 1, network, final=True)
    assert network.asked == 0 and folder.curves.is_file() and not folder.val_pred.exists()


def test_who_wants_to_know_is_called_when_everything_is_written(folder, make):
    called = []

    def after_epoch(root, rows):
        called.append((root, list(rows), folder.curves.is_file()))

    make(after_epoch=after_epoch).epoch([ROW], 1, Told(), final=True)
    assert called == [(folder.root, [ROW], True)]


@pytest.mark.parametrize("progress", [False, True])
def test_bar_and_lines_are_on_stderr_or_nowhere(make, capsys, progress):
    report = make(progress=progress, step=3)
    report.step(4, {"loss": torch.tensor(3.0)}, 0.1)
    report.epoch([ROW], 2, Told(), final=False)
    report.close()
    out, err = capsys.readouterr()
    assert out == ""
    assert err == (f"{epoch_line(ROW, 2)}\n" if progress else "")


def test_the_bar_shows_the_loss_in_a_terminal(make, monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    report = make(progress=True, step=3)
    report.step(4, {"loss": torch.tensor(3.0)}, 0.1)
    report.close()
    err = capsys.readouterr().err
    assert "4/8" in err and "loss=3.000" in err


def test_the_line_is_on_stdout_in_a_notebook(make, monkeypatch, capsys):
    shell = SimpleNamespace(config={"IPKernelApp": {}})
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    make(progress=True).epoch([ROW], 2, Told(), final=False)
    out, err = capsys.readouterr()
    assert out == epoch_line(ROW, 2) + "\n" and "epoch 1/2" not in err
