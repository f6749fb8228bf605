import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qumade.metrics.scores import mask_scores

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def _load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, BENCHMARKS / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look there
    spec.loader.exec_module(module)
    return module


transfer, page = _load("transfer"), _load("transfer_page")


@given(st.integers(1, 500), st.integers(1, 500))
def test_evenly_chosen_items_lie_in_equal_stretches(size, count):
    count = min(size, count)
    chosen = transfer.evenly(range(size), count)
    assert len(set(chosen)) == count
    assert all(n * size / count - 1 < item < (n + 1) * size / count for n, item in enumerate(chosen))


def test_car_iou_is_that_of_evaluate_and_that_of_all_pixels():
    rng = np.random.default_rng(0)
    truths = [
        np.where(rng.random((8, 9)) < 0.2, np.nan, rng.random((8, 9)) < 0.3).astype(np.float32) for _ in range(20)
    ]
    predicted = [rng.random((8, 9)).astype(np.float32) for _ in truths]
    exam = [(np.full((8, 9, 3), n, np.uint8), truth) for n, truth in enumerate(truths)]
    scores = transfer.car_iou(lambda images: [SimpleNamespace(mask=predicted[i[0, 0, 0]]) for i in images], exam)
    assert scores["iou"] == pytest.approx(
        np.mean([mask_scores(p, t)["iou"] for p, t in zip(predicted, truths, strict=True)])
    )
    together = mask_scores(np.concatenate(predicted), np.concatenate(truths))
    assert scores["pooled_iou"] == pytest.approx(together["iou"])


def test_images_correctly_predicted_as_empty_are_left_out():
    exam = [(np.full((4, 4, 3), n, np.uint8), np.full((4, 4), float(n), np.float32)) for n in (0, 1)]
    assert transfer.car_iou(lambda images: [SimpleNamespace(mask=i[..., 0]) for i in images], exam)["iou"] == 1
    assert transfer.car_iou(lambda images: [SimpleNamespace(mask=0 * i[..., 0]) for i in images], exam[:1]) == {
        "iou": 0.0,
        "pooled_iou": 0.0,
    }


def test_a_training_run_uses_one_core_and_twenty_evaluations(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "8")
    monkeypatch.setenv("KEPT", "as it was")
    environment = transfer.one_thread()
    assert (
        environment["OMP_NUM_THREADS"] == environment["MKL_NUM_THREADS"] == "1" and environment["KEPT"] == "as it was"
    )
    assert transfer.every_of(SimpleNamespace(every=None, steps=401)) == 21
    assert transfer.every_of(SimpleNamespace(every=7, steps=401)) == 7


@pytest.mark.parametrize(
    ("values", "text"),
    [([0.5], "0.500"), ([0.5, 0.25, 0.75], "0.500 (0.250 - 0.750)"), ([], "-"), ([None], "-"), ([None, 0.1], "0.100")],
)
def test_mean_and_range(values, text):
    assert page.mean_and_range(values) == text


def _results() -> dict[str, Any]:
    scores = {"depth_delta1": 0.5, "depth_abs_rel": 0.25, "mask_iou": 0.125}
    curve = [{"step": s, "loss": 1 / s, "iou": i, "pooled_iou": i / 2} for s, i in ((10, 0.4), (20, 0.3))]

    def run(**judged: dict[str, float]) -> dict[str, Any]:
        baselines = {name: dict.fromkeys(columns, 0.75) for name, columns in judged.items()}
        return {
            "seed": 0,
            "minutes": 3.0,
            "curve": curve,
            "last": curve[1],
            "best": curve[0],
            "recall": {"from 0": 0.5, "from 0.03": 0.75},
            **judged,
        } | {"baselines": baselines}

    masks_only, both = run(kitti={}, reference={"mask_iou": 0.125}), run(kitti=scores, reference=scores)
    names = (
        "camvid_train",
        "camvid_tenth",
        "camvid_val",
        "kitti",
        "reference",
        "backgrounds",
        "foregrounds",
        "cutouts",
    )
    settings = {"model": "tiny", "size": [256, 192], "batch_size": 16, "steps": 20, "every": 10, "seeds": 1, "cores": 2}
    return {
        "settings": settings | {"real_share": 0.5},
        "sources": {name: n for n, name in enumerate(names)},
        "arms": {
            "c": {"title": "CamVid train", "runs": [masks_only]},
            "b": {"title": "composites", "runs": [both]},
        },
    }


def test_tables_have_the_last_step_then_the_best_and_no_depth_where_none_was_learned():
    lines = [*page.mask_table(_results()).splitlines(), *page.other_tables(_results()).splitlines()]
    assert "| (c) | CamVid train | 0.300 | 0.150 | 0.400 | 0.200 | 10 |" in lines
    assert "| (c) | - | - | 0.125 | - | - |" in lines
    assert "| (b) | 0.500 | 0.250 | 0.125 | 0.500 | 0.250 |" in lines
    assert "| trivial baseline | 0.750 | 0.750 | 0.750 | 0.750 | 0.750 |" in lines


def test_the_page_is_rewritten_except_for_what_is_written_by_hand(tmp_path):
    target = tmp_path / "transfer.md"
    page.write_page(_results(), target)
    first = target.read_text()
    assert (tmp_path / "images" / "transfer_scores.png").is_file() and "](images/transfer_scores.png)" in first
    heading, after = page.KEPT
    before, rest = first.split(after)
    by_hand = f"{before}{heading}\n\nSeams.\n\n{after}{rest}"
    target.write_text(by_hand.replace("0.300", "0.999"))
    page.write_page(_results(), target)
    assert target.read_text() == by_hand


def test_only_arms_with_results_are_explained(tmp_path):
    results = _results()
    entry = next(iter(results["arms"].values()))
    for arms in ("p", "bspxun", "cd", "".join(transfer.ARMS)):
        results["arms"] = {arm: {"title": "trained on something", "runs": entry["runs"]} for arm in arms}
        page.write_page(results, tmp_path / "transfer.md")
        setup = (tmp_path / "transfer.md").read_text().split("## Setup")[1]
        assert set(re.findall(r"\((\w)\)", setup)) <= set(arms)
    assert set(re.findall(r"\((\w)\)", setup)) >= set("abspxtunfmrRwWeh")
