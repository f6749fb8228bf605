import html
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from qumade.errors import QumadeError
from qumade.evaluation.evaluation import evaluate
from qumade.evaluation.folder import evaluate_into, trained_elsewhere
from qumade.evaluation.summary import summarise
from qumade.models.config import NetworkConfig
from qumade.models.network import MaskDepthNetwork, build_network
from qumade.plan.indices import stratified_indices
from qumade.training.config import ExtraDataset, TrainConfig, save_config

FILES = ["report.html", "scores.parquet", "worst.png"]
SPLITS = np.array(["train", "test"] * 4)


@pytest.fixture
def samples(make_samples: Callable[..., Any]) -> Any:
    """Eight scenes of two splits, the first two without an object."""
    return make_samples(8, empty=2, splits=SPLITS)


@pytest.fixture
def predict(samples: Any, oracle: Any, tmp_path: Path) -> Any:
    """Predicts the ground truth moved sideways by some pixels, and metric depth."""
    predictor = oracle(samples, shift=3)
    predictor.config, predictor.path = NetworkConfig(depth_kind="metric"), tmp_path / "run"
    return predictor


@pytest.fixture(scope="module")
def network() -> MaskDepthNetwork:
    torch.manual_seed(0)
    return build_network(NetworkConfig(size=(64, 64), depth_kind="metric")).eval()


def test_everything_is_in_one_folder(predict: Any, samples: Any, tmp_path: Path) -> None:
    out = tmp_path / "not" / "there"
    predict.path = tmp_path / "run_7"
    found = evaluate_into(predict, samples, out)
    assert found.report == out / "report.html" and sorted(path.name for path in out.iterdir()) == FILES
    wanted = evaluate(predict, samples, predicted_kind="metric")
    assert found.evaluation.alignment == wanted.alignment == "none"
    table = pq.read_table(out / "scores.parquet")
    assert table["sample"].to_pylist() == list(range(8)) and table["split"].to_pylist() == SPLITS.tolist()
    for column in ("mask_iou", "depth_delta1"):
        assert table[column].to_pylist() == wanted.scores[column].to_pylist()
    assert [group.means for group in found.groups] == [group.means for group in summarise(wanted)]
    page = found.report.read_text()
    assert "run_7 on samples" in page and f"{found.groups[0].means['mask_iou']:.3f}" in page
    with Image.open(out / "worst.png") as worst:
        assert worst.format == "PNG"


@pytest.mark.slow
def test_a_second_time_takes_the_place_of_the_first(predict: Any, samples: Any, tmp_path: Path) -> None:
    evaluate_into(predict, samples, tmp_path)
    evaluate_into(predict, samples, tmp_path, limit=3)
    assert sorted(path.name for path in tmp_path.iterdir()) == FILES
    assert pq.read_table(tmp_path / "scores.parquet")["sample"].to_pylist() == stratified_indices(8, 3).tolist()


@pytest.mark.parametrize(
    ("options", "positions"),
    [
        ({"splits": ["test"]}, [1, 3, 5, 7]),
        ({"limit": 2}, stratified_indices(8, 2).tolist()),
        ({"splits": ["train"], "limit": 2}, (2 * stratified_indices(4, 2)).tolist()),
    ],
)
def test_some_samples(
    predict: Any, samples: Any, tmp_path: Path, options: dict[str, Any], positions: list[int]
) -> None:
    found = evaluate_into(predict, samples, tmp_path, **options)
    assert found.evaluation.scores["sample"].to_pylist() == positions
    assert found.groups[0].pictures == len(positions)


def test_small_objects_are_left_out_of_means_and_pictures(predict: Any, samples: Any, tmp_path: Path) -> None:
    found = evaluate_into(predict, samples, tmp_path, min_object_share=0.01)
    assert found.groups[0].pictures == 6 and len(found.evaluation.scores) == 8
    page = found.report.read_text()
    assert "Only pictures count in which the object covers at least 1 %." in page and "The 6 worst pictures" in page


@pytest.mark.slow
def test_legacy_metrics_are_computed_on_request(predict: Any, samples: Any, tmp_path: Path) -> None:
    assert evaluate_into(predict, samples, tmp_path).legacy is None
    assert "Metrics of the legacy notebook" not in (tmp_path / "report.html").read_text()
    before = predict.pictures
    assert evaluate_into(predict, samples, tmp_path, legacy=True).legacy is not None
    assert predict.pictures == 2 * before  # nothing is predicted once more
    found = evaluate_into(predict, samples, tmp_path, legacy=True, min_object_share=0.01)
    shown = np.array([share >= 0.01 for share in found.evaluation.scores["object_share"].to_pylist()])
    kept = evaluate_into(predict, samples, tmp_path, legacy=True, splits=["train", "test"])
    assert found.legacy is not None and kept.legacy is not None and 0 < shown.sum() < 8
    assert (found.legacy["mask"]["rmse"] or 0) > (kept.legacy["mask"]["rmse"] or 0)
    assert "Metrics of the legacy notebook" in (tmp_path / "report.html").read_text()


def test_the_alignment_goes_by_the_network_s_depth(predict: Any, samples: Any, tmp_path: Path) -> None:
    predict.config = NetworkConfig(depth_kind="affine")
    found = evaluate_into(predict, samples, tmp_path, limit=2)
    assert found.evaluation.alignment == "scale and shift"
    stated = pq.read_table(tmp_path / "scores.parquet").schema.metadata[b"qumade"]
    assert json.loads(stated)["alignment"] == "scale and shift"


@pytest.mark.slow
def test_the_report_shows_what_a_network_looks_at(
    predict: Any, samples: Any, network: MaskDepthNetwork, tmp_path: Path
) -> None:
    found = evaluate_into(predict, samples, tmp_path, limit=2, explain=network)
    assert "What the network looks at" in found.report.read_text()
    assert sorted(path.name for path in tmp_path.iterdir()) == FILES
    found = evaluate_into(predict, samples, tmp_path, limit=2)
    assert "What the network looks at" not in found.report.read_text()


def test_a_name_that_is_no_text_can_be_written(predict: Any, samples: Any, tmp_path: Path) -> None:
    predict.path = tmp_path / "run\udcff"
    found = evaluate_into(predict, samples, tmp_path, limit=1)
    assert "run? on samples" in found.report.read_text()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"splits": ["mixed"]}, "Invalid split: got mixed"),
        ({"limit": 0}, "Invalid limit: got 0"),
        ({"min_object_share": 0.5}, "got 0.5; must be at most"),
    ],
)
def test_a_refused_evaluation_leaves_no_folder(
    predict: Any, samples: Any, tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(QumadeError, match=message):
        evaluate_into(predict, samples, tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"min_object_share": 5}, "got 5; must be from 0 to 1"),
        ({"min_object_share": float("nan")}, "got nan; must be from 0 to 1"),
        ({"out": "file"}, "got .*file, and .*file is no folder"),
        ({"out": "file/deeper"}, "got .*deeper, and .*file is no folder"),
        ({"out": "link"}, "link is no folder"),
        ({"explain": True}, r"pip install 'qumade\[explain\]'"),
    ],
)
def test_what_cannot_be_finished_is_refused_before_predicting(
    predict: Any,
    samples: Any,
    network: MaskDepthNetwork,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: dict[str, Any],
    message: str,
) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("missing")
    monkeypatch.setitem(sys.modules, "captum", None)
    monkeypatch.setitem(sys.modules, "captum.attr", None)
    explain = network if options.pop("explain", False) else None
    out = tmp_path / options.pop("out", "new/folder")
    with pytest.raises(QumadeError, match=message):
        evaluate_into(predict, samples, out, explain=explain, **options)
    assert predict.pictures == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "link"]


def test_what_fails_late_leaves_the_last_files_alone(
    predict: Any, samples: Any, network: MaskDepthNetwork, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluate_into(predict, samples, tmp_path / "out")
    before = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}

    def explained(*arguments: Any) -> None:
        raise QumadeError("out of memory")

    monkeypatch.setattr("qumade.evaluation.explained.explained", explained)
    with pytest.raises(QumadeError, match="out of memory"):
        evaluate_into(predict, samples, tmp_path / "out", limit=2, explain=network)
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """The folder of a run that was trained on the folder `data` beside it, and on `more`."""
    for name in ("run", "data", "more", "other"):
        (tmp_path / name).mkdir()
    more = ExtraDataset(data=tmp_path / "more", share=0.5)
    save_config(TrainConfig(data=tmp_path / "data", extra_datasets=(more,)), tmp_path / "run" / "config.yaml")
    return tmp_path / "run"


def test_a_dataset_that_was_not_trained_on_is_stated(predict: Any, samples: Any, run: Path) -> None:
    for name in ("data", "more", "run/../data"):
        assert trained_elsewhere(run, run.parent / name) == ""
    other, out = run.parent / "other", run.parent / "out"
    told = f"The network was trained on {run.parent / 'data'} and {run.parent / 'more'}, not on {other}: "
    assert trained_elsewhere(run, other).startswith(told)
    found = evaluate_into(predict, samples, out, limit=2, data_path=other)
    assert found.trained.startswith(told) and found.trained in html.unescape(found.report.read_text())
    samples.splits = np.full(8, "")
    found = evaluate_into(predict, samples, out, limit=2, data_path=other)
    assert found.trained == "" and told not in found.report.read_text()  # nothing is claimed without splits


def test_what_a_run_was_trained_on_is_not_guessed(run: Path) -> None:
    other = run.parent / "other"
    assert trained_elsewhere(run / "model.onnx", other) == ""
    (run.parent / "data").rename(run.parent / "moved")  # perhaps to where the evaluated dataset is
    assert trained_elsewhere(run, other) == ""
    (run / "config.yaml").write_text("data: [")
    assert trained_elsewhere(run, other) == ""
