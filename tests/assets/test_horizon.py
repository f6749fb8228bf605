import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from qumade.assets.bundled import bundled_folder
from qumade.assets.horizon import HorizonEstimate, estimate_horizon
from qumade.assets.label_scheme import label_scheme
from qumade.recipe import Recipe

ROAD, SIDEWALK, BUILDING, SKY, UNLABELLED = 0, 1, 2, 10, 19


def horizon_of(labels: np.ndarray, names: str = "cityscapes") -> HorizonEstimate | None:
    recipe = Recipe(backgrounds="b", foregrounds="f", labels="l", label_names=names, ground=("road", "sidewalk"))
    scheme = label_scheme(recipe)
    assert scheme is not None
    return estimate_horizon(labels, scheme)


def street(horizon: float, *, half: float = 1.2, end: float = 4) -> np.ndarray:
    """Sky, buildings, and a straight road whose edges meet at the horizon, seen up to `end` rows below it."""
    v, u = np.mgrid[:200, :300] + 0.5
    labels = np.full((200, 300), BUILDING, np.int32)
    labels[: int(horizon) - 15] = SKY
    labels[(v > horizon + end) & (np.abs(u - 150) < half * (v - horizon))] = ROAD
    return labels


@pytest.mark.parametrize("horizon", [70.0, 95.4, 130.0])
def test_edges_of_a_road_meet_at_the_horizon(horizon: float) -> None:
    estimate = horizon_of(street(horizon))
    assert estimate is not None and estimate.converges
    assert estimate.row == pytest.approx(horizon, abs=1)


def test_a_square_gives_only_the_row_where_it_ends() -> None:
    labels = street(80)
    labels[labels == ROAD] = BUILDING
    labels[120:] = ROAD
    assert horizon_of(labels) == (120.0, False)


def test_specks_of_road_in_the_sky_do_not_count() -> None:
    labels = street(80)
    labels[labels == ROAD] = BUILDING
    labels[120:] = ROAD
    labels[5:30, 40:90] = ROAD
    labels[70:74, 10:14] = ROAD
    assert horizon_of(labels) == (120.0, False)


def test_pavements_also_show_where_the_ground_ends() -> None:
    labels = street(80)
    labels[labels == ROAD] = BUILDING
    labels[120:, :150], labels[100:, 150:] = ROAD, SIDEWALK
    assert horizon_of(labels) == (100.0, False)


@pytest.mark.parametrize(("top", "converges"), [(85, False), (95, True)])
def test_flat_ground_far_above_the_meeting_row_contradicts_it(top: int, converges: bool) -> None:
    labels = street(100)
    beside = labels[top:, 150:]
    beside[beside == BUILDING] = SIDEWALK
    assert horizon_of(labels) == (pytest.approx(100 if converges else top, abs=1), converges)


@pytest.mark.parametrize(("share", "estimated"), [(0.4, False), (0.6, True)])
def test_no_horizon_if_most_pixels_below_are_not_ground(share: float, estimated: bool) -> None:
    labels = street(80)
    labels[labels == ROAD] = BUILDING
    labels[120:, : round(share * 300)] = ROAD
    assert horizon_of(labels) == ((120.0, False) if estimated else None)


@pytest.mark.parametrize(("share", "estimated"), [(0.5, True), (0.7, False)])
@pytest.mark.parametrize("unknown", [UNLABELLED, 200])
def test_no_horizon_if_the_ground_borders_on_unknown_labels(share: float, estimated: bool, unknown: int) -> None:
    labels = street(80)
    labels[labels == ROAD] = BUILDING
    labels[120:] = ROAD
    labels[110:120, : round(share * 300)] = unknown
    assert horizon_of(labels) == ((120.0, False) if estimated else None)


@pytest.mark.parametrize("what", ["nothing", "speck", "cloud", "fog", "strip"])
def test_no_horizon_without_a_road(what: str) -> None:
    labels = street(80)
    labels[labels == ROAD] = BUILDING
    if what == "speck":
        labels[150:155, 100:105] = ROAD
    if what == "fog":
        labels[:40], labels[40:] = BUILDING, ROAD
    if what == "strip":
        labels[-len(labels) // 10 :] = ROAD
    if what == "cloud":
        labels[:50] = ROAD
    assert horizon_of(labels) is None


def test_bundled_horizons() -> None:
    """The bound that the docstring states."""
    folder = bundled_folder()
    cameras = json.loads((folder / "cameras.json").read_text())["backgrounds"]
    errors = []
    for name, camera in cameras.items():
        labels = np.asarray(Image.open(folder / "labels" / f"{name}.png")).astype(np.int32)
        estimate = horizon_of(labels)
        assert estimate is not None and estimate.converges, name
        errors.append(abs(estimate.row - np.mean([row for _, row in camera["horizon"]])))
    print(f"error of the horizon: median {np.median(errors):.2f} px, worst {max(errors):.2f} px")
    assert np.median(errors) < 0.0003 * 384 and max(errors) < 0.0012 * 384


@pytest.mark.slow
def test_camvid_horizons_agree_within_a_drive(real_data: Path) -> None:
    """Frames of one drive agree on the horizon where edges meet, and roads end below it elsewhere."""
    drives: dict[str, list[tuple[float, bool]]] = {}
    frames = estimated = 0
    for file in sorted((real_data / "camvid").glob("*/labels/*.png"))[::3]:
        labels = np.asarray(Image.open(file)).astype(np.int32)
        estimate = horizon_of(labels, "camvid")
        frames, estimated = frames + 1, estimated + (estimate is not None)
        if estimate is not None:
            drives.setdefault(file.name[:6], []).append((estimate.row / labels.shape[0], estimate.converges))
    if not drives:
        pytest.skip("no hand-labelled frames")
    meeting, ending = [], []
    for rows in drives.values():
        meet = np.array([row for row, converges in rows if converges])
        ends = np.array([row for row, converges in rows if not converges])
        meeting += (meet - np.median(meet)).tolist()
        ending += (ends - np.median(meet)).tolist()
    assert len(meeting) > len(ending)
    assert np.median(np.abs(meeting)) < 0.02
    assert 0.005 < np.median(ending) < 0.03
    assert estimated > 0.95 * frames
