import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from qumade.errors import QumadeError
from qumade.evaluate.evaluation import evaluate
from qumade.evaluate.folder import evaluate_into
from qumade.evaluate.summary import summarise
from qumade.models.config import NetworkConfig
from qumade.models.network import MaskDepthNetwork, build_network

FILES = ["report.html", "scores.parquet", "worst.png"]
SPLITS = np.array(["train", "test"] * 4)


@pytest.fixture
def samples(make_samples: Callable[..., Any]) -> Any:
    """Eight scenes of two splits, the first two without an object."""
    return make_samples(8, empty=2, splits=SPLITS)


@pytest.fixture
def predict(samples: Any, oracle: Any) -> Any:
    """Predicts the truth moved sideways by some pixels, and says that it is in metres."""
    predictor = oracle(samples, shift=3)
    predictor.config = NetworkConfig(depth_kind="metric")
    return predictor


@pytest.fixture(scope="module")
def network() -> MaskDepthNetwork:
    torch.manual_seed(0)
    return build_network(NetworkConfig(size=(64, 64), depth_kind="metric")).eval()


def test_everything_is_in_one_folder(predict: Any, samples: Any, tmp_path: Path) -> None:
    out = tmp_path / "not" / "there"
    judged = evaluate_into(predict, tmp_path / "run_7", samples, out)
    assert judged.report == out / "report.html" and sorted(path.name for path in out.iterdir()) == FILES
    wanted = evaluate(predict, samples, predicted_kind="metric")
    assert judged.evaluation.alignment == wanted.alignment == "none"
    table = pq.read_table(out / "scores.parquet")
    assert table["sample"].to_pylist() == list(range(8)) and table["split"].to_pylist() == SPLITS.tolist()
    for column in ("mask_iou", "depth_delta1"):
        assert table[column].to_pylist() == wanted.scores[column].to_pylist()
    assert [group.means for group in judged.groups] == [group.means for group in summarise(wanted)]
    page = judged.report.read_text()
    assert "run_7 on samples" in page and f"{judged.groups[0].means['mask_iou']:.3f}" in page
    with Image.open(out / "worst.png") as worst:
        assert worst.format == "PNG"


def test_a_second_time_takes_the_place_of_the_first(predict: Any, samples: Any, tmp_path: Path) -> None:
    evaluate_into(predict, tmp_path / "run", samples, tmp_path)
    evaluate_into(predict, tmp_path / "run", samples, tmp_path, limit=3)
    assert sorted(path.name for path in tmp_path.iterdir()) == FILES
    assert pq.read_table(tmp_path / "scores.parquet")["sample"].to_pylist() == [0, 2, 5]


@pytest.mark.parametrize(
    ("options", "positions"),
    [({"splits": ["test"]}, [1, 3, 5, 7]), ({"limit": 2}, [0, 4]), ({"splits": ["train"], "limit": 2}, [0, 4])],
)
def test_some_samples(
    predict: Any, samples: Any, tmp_path: Path, options: dict[str, Any], positions: list[int]
) -> None:
    judged = evaluate_into(predict, tmp_path / "run", samples, tmp_path, **options)
    assert judged.evaluation.scores["sample"].to_pylist() == positions
    assert judged.groups[0].pictures == len(positions)


def test_small_objects_are_left_out_of_means_and_pictures(predict: Any, samples: Any, tmp_path: Path) -> None:
    judged = evaluate_into(predict, tmp_path / "run", samples, tmp_path, min_object_share=0.01)
    assert judged.groups[0].pictures == 6 and len(judged.evaluation.scores) == 8
    page = judged.report.read_text()
    assert "Only pictures count of which the object is at least 1 %." in page and "The 6 worst pictures" in page


def test_the_numbers_of_the_original_are_taken_where_asked(predict: Any, samples: Any, tmp_path: Path) -> None:
    assert evaluate_into(predict, tmp_path / "run", samples, tmp_path).evaluation.original is None
    assert "As the original reported" not in (tmp_path / "report.html").read_text()
    assert evaluate_into(predict, tmp_path / "run", samples, tmp_path, original=True).evaluation.original is not None
    assert "As the original reported" in (tmp_path / "report.html").read_text()


def test_the_alignment_goes_by_the_network_s_depth(predict: Any, samples: Any, tmp_path: Path) -> None:
    predict.config = NetworkConfig(depth_kind="affine")
    judged = evaluate_into(predict, tmp_path / "run", samples, tmp_path, limit=2)
    assert judged.evaluation.alignment == "scale and shift"
    stated = pq.read_table(tmp_path / "scores.parquet").schema.metadata[b"qumade"]
    assert json.loads(stated)["alignment"] == "scale and shift"


def test_the_report_shows_what_a_network_looks_at(
    predict: Any, samples: Any, network: MaskDepthNetwork, tmp_path: Path
) -> None:
    judged = evaluate_into(predict, tmp_path / "run", samples, tmp_path, limit=2, explain=network)
    assert "What it looks at" in judged.report.read_text()
    assert sorted(path.name for path in tmp_path.iterdir()) == FILES
    judged = evaluate_into(predict, tmp_path / "run", samples, tmp_path, limit=2)
    assert "What it looks at" not in judged.report.read_text()


def test_a_name_that_is_no_text_can_be_written(predict: Any, samples: Any, tmp_path: Path) -> None:
    judged = evaluate_into(predict, tmp_path / "run\udcff", samples, tmp_path, limit=1)
    assert "run? on samples" in judged.report.read_text()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"splits": ["mixed"]}, "Invalid split: got mixed"),
        ({"limit": 0}, "Invalid limit: got 0"),
        ({"min_object_share": 0.5}, "got 0.5; must be at most"),
    ],
)
def test_what_cannot_be_judged_leaves_no_folder(
    predict: Any, samples: Any, tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(QumadeError, match=message):
        evaluate_into(predict, tmp_path / "run", samples, tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()
