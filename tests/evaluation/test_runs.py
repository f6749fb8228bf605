import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from qumade.data.folder import FolderDataset
from qumade.errors import QumadeError
from qumade.evaluation.runs import _training_pictures, compare, evaluate
from qumade.evaluation.targets import choose
from qumade.models.config import NetworkConfig
from qumade.prediction.predictor import Prediction, load_predictor
from qumade.training.config import ExtraDataset, TrainConfig, save_config


class Bright:
    """A network that takes what is brighter than its threshold for the object."""

    config = NetworkConfig(trained_tasks=("mask",))

    def __init__(self, path: Path) -> None:
        self.path, self.threshold = path, 128 if path.name == "good" else 30

    def __call__(self, images: Any) -> list[Prediction]:
        return [
            Prediction((image[..., 0] > self.threshold).astype(np.float32), np.zeros(image.shape[:2], np.float32))
            for image in images
        ]


@pytest.fixture(autouse=True)
def runs_are_fake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qumade.evaluation.runs.load_predictor", lambda path, device=None: Bright(Path(path)))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Four images of a bright square on dim noise, and their masks."""
    root, rng = tmp_path / "data", np.random.default_rng(0)
    for folder in ("images", "masks"):
        (root / folder).mkdir(parents=True)
    for number in range(4):
        image = rng.integers(0, 60, (32, 32, 3), np.uint8)
        mask = np.zeros((32, 32), np.uint8)
        mask[8:24, 4 + number : 20 + number] = 255
        image[mask > 0] = 200
        Image.fromarray(image).save(root / "images" / f"{number}.png")
        Image.fromarray(mask).save(root / "masks" / f"{number}.png")
    return root


def test_a_run_is_evaluated_on_a_folder_or_an_open_dataset(data: Path, tmp_path: Path) -> None:
    for dataset in (data, str(data), FolderDataset(data)):
        found = evaluate(tmp_path / "good", dataset, tmp_path / "report", progress=False)
        assert found.report == tmp_path / "report" / "report.html" and found.report.is_file()
        assert found.evaluation.scores["mask_iou"].to_pylist() == [1.0] * 4
    few = evaluate(str(tmp_path / "bad"), data, tmp_path / "report", limit=2, progress=False)
    assert len(few.evaluation.scores) == 2 and max(few.evaluation.scores["mask_iou"].to_pylist()) < 1


def test_runs_are_compared_on_every_dataset(data: Path, tmp_path: Path) -> None:
    found = compare([tmp_path / "good", tmp_path / "bad"], [data, data], tmp_path / "out", progress=False)
    assert found.report.is_file() and [run.name for run in found.runs] == ["good", "bad"]
    assert len(found.comparisons) == 2
    for comparison in found.comparisons:
        assert abs(comparison.differences[0]["mask_iou"].value) > 0.05
    assert all("does not name" in gap.about and not gap.gaps for gaps in found.gaps for gap in gaps)


def test_the_pictures_of_the_training_are_compared_with_those_of_the_dataset(data: Path, tmp_path: Path) -> None:
    for name, trained_on in (("good", data), ("bad", tmp_path / "gone")):
        (tmp_path / name).mkdir()
        save_config(TrainConfig(data=trained_on), tmp_path / name / "config.yaml")
    found = compare([tmp_path / "good", tmp_path / "bad"], [data], tmp_path / "out", progress=False)
    ((same, gone),) = found.gaps
    assert "cannot be read" in gone.about and str(tmp_path / "gone") in gone.about and not gone.gaps
    assert same.letter == "A" and same.about == f"trained on {data.name}"
    assert same.gaps and all(gap.distance == 0 for gap in same.gaps)


def test_pictures_that_cannot_be_measured_cost_the_note_and_not_the_comparison(
    data: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shutil.copytree(data, tmp_path / "torn")
    (evaluated,) = choose(FolderDataset(data), limit=1)
    for number in {*range(4)} - {int(evaluated)}:
        torn = tmp_path / "torn" / "images" / f"{number}.png"
        torn.write_bytes(torn.read_bytes()[:200])
    for name, trained_on in (("good", data), ("bad", tmp_path / "torn")):
        (tmp_path / name).mkdir()
        save_config(TrainConfig(data=trained_on), tmp_path / name / "config.yaml")
    found = compare(
        [tmp_path / "good", tmp_path / "bad"], [data, tmp_path / "torn"], tmp_path / "out", limit=1, progress=False
    )
    assert found.report.is_file() and len(found.comparisons) == 2
    (good, bad), others = found.gaps
    assert good.gaps and not bad.gaps and "torn/images" in bad.about
    assert all(not gap.gaps and "torn/images" in gap.about for gap in others)
    assert [record.getMessage().split(":")[0] for record in caplog.records if record.levelname == "WARNING"] == [
        "No gap to the training pictures of bad", "No gap to the pictures of torn",
    ]  # fmt: skip


def test_what_cannot_be_read_is_refused_before_the_first_prediction(data: Path, tmp_path: Path) -> None:
    with pytest.raises(QumadeError, match="got nothing at"):
        compare([tmp_path / "good", tmp_path / "bad"], [data, tmp_path / "gone"], tmp_path / "out")
    with pytest.raises(QumadeError, match="at least 2"):
        compare([tmp_path / "good"], [data], tmp_path / "out")
    with pytest.raises(QumadeError, match="Invalid least share of an object: got 2"):
        compare([tmp_path / "good", tmp_path / "bad"], [data], tmp_path / "out", min_object_share=2)
    assert not (tmp_path / "out").exists()


def test_a_run_of_several_classes_is_evaluated_and_compared_with_its_page(
    two_class_run: Path, two_class_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("qumade.evaluation.runs.load_predictor", load_predictor)
    found = evaluate(two_class_run, two_class_dataset, tmp_path / "report", progress=False)
    page = found.report.read_text()
    assert [group.name for group in found.classes] == [group.name for group in found.groups]
    assert "<h2>Classes</h2>" in page and "<td>person</td>" in page and "mean of the classes" in page
    compared = compare([two_class_run, two_class_run], [two_class_dataset], tmp_path / "both", limit=8, progress=False)
    assert "IoU of a class" in compared.report.read_text()
    only = {"trained_tasks": ("mask",), "classes": ()}
    with pytest.raises(QumadeError, match="must be the same classes"):
        monkeypatch.setattr(
            "qumade.evaluation.runs.load_predictor",
            lambda path, device=None: SimpleNamespace(
                config=SimpleNamespace(
                    depth_kind=None, **(only if path == tmp_path else only | {"classes": ("a", "b")})
                )
            ),
        )
        compare([two_class_run, tmp_path], [two_class_dataset], tmp_path / "both", progress=False)


def test_the_training_split_is_measured_and_other_data_is_named(
    two_class_dataset: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured: list[list[int]] = []

    def positions_of(dataset: Any, count: int = 200, positions: Any = None) -> dict[str, Any]:
        measured.append([] if positions is None else positions.tolist())
        return {}

    monkeypatch.setattr("qumade.evaluation.runs.measure", positions_of)
    training = FolderDataset(two_class_dataset).positions("train").tolist()
    assert 2 < len(training) < len(FolderDataset(two_class_dataset))
    further = ExtraDataset(data=data, share=0.25)
    whole = TrainConfig(data=two_class_dataset)
    mixed = whole.model_copy(update={"limit": 2, "extra_datasets": (further,)})
    for name, config in (("good", whole), ("bad", mixed)):
        (tmp_path / name).mkdir()
        save_config(config, tmp_path / name / "config.yaml")
    about = [_training_pictures(tmp_path / name)[0] for name in ("good", "bad")]
    assert measured[0] == training and len(measured[1]) == 2 and set(measured[1]) < set(training)
    start = f"trained on {two_class_dataset.name}, whose split train is measured"
    assert about == [start, f"{start}; also trained on {data} (25 % of every batch), not measured"]
