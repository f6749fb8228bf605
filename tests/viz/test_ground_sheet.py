from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fixtures.pictures import count
from qumade.assets.backgrounds import match_maps, survey_photo
from qumade.assets.label_scheme import label_scheme
from qumade.assets.scan import scan_backgrounds
from qumade.errors import QumadeError
from qumade.geometry import GroundPlane
from qumade.recipe import Recipe
from qumade.synth.check import check_assets
from qumade.viz.ground_sheet import (
    CELL,
    FARTHER,
    HORIZON,
    MOST_ROWS,
    NEARER,
    ON_PLANE,
    STANDABLE,
    UNUSABLE_PAPER,
    VERDICT_INK,
    GroundRow,
    ground_row,
    ground_sheet,
)

WIDTH, HEIGHT = CELL  # one pixel of the photo is one pixel of the sheet
ROAD, BUILDING, SKY, CAR = 0, 2, 10, 13
PLANE = GroundPlane(0.0002, 0.004, -0.004 * 60.0)  # metric, rolled: horizon at row 60 on the left, 50.4 on the right
COLOUR_OF = {ROAD: (128, 64, 128), BUILDING: (70, 70, 70), SKY: (70, 130, 180), CAR: (0, 0, 142)}


def world() -> tuple[np.ndarray, np.ndarray]:
    """Labels and metric inverse depth of a road below a horizon with a wall, a car, a hump and a ditch."""
    v, u = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    ground = PLANE.inverse_depth(u, v)
    labels = np.where(ground > 0.02, ROAD, SKY)
    depth = np.where(labels == ROAD, ground, 0.0)
    labels[20:70, 150:180], depth[20:70, 150:180] = BUILDING, 0.05
    labels[80:100, 40:70], depth[80:100, 40:70] = CAR, 0.2
    depth[110:120, 20:40] *= 1.2
    depth[110:120, 100:130] *= 0.8
    return labels, depth


class Folders:
    """Folders of backgrounds and their maps, filled one background at a time."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for name in ("backgrounds", "labels", "depths"):
            (root / name).mkdir()

    def add(self, name: str, labels: np.ndarray | None, depth: np.ndarray | None = None) -> None:
        grey = np.full((HEIGHT, WIDTH, 3), 100, np.uint8)
        Image.fromarray(grey).save(self.root / "backgrounds" / f"{name}.png")
        if labels is not None:
            Image.fromarray(labels.astype(np.uint8)).save(self.root / "labels" / f"{name}.png")
        if depth is not None:
            np.save(self.root / "depths" / f"{name}.npy", depth.astype(np.float32))

    def recipe(self, *maps: str, **fields: Any) -> Recipe:
        fields |= {name: self.root / name for name in maps}
        fields = {"placement": "perspective" if "labels" in maps else "random", **fields}
        return Recipe(
            backgrounds=self.root / "backgrounds",
            foregrounds=self.root / "foregrounds",
            **{"label_names": "cityscapes", **fields},
        )

    def rows(self, recipe: Recipe) -> list[GroundRow]:
        scanned, _ = scan_backgrounds(recipe.backgrounds)
        scheme, maps = label_scheme(recipe), match_maps(recipe, scanned)
        return [ground_row(recipe, survey_photo(recipe, scan, scheme, maps)) for scan in scanned]


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    return Folders(tmp_path)


def paint(colour: tuple[int, int, int], strength: float) -> tuple[int, int, int]:
    """Returns the colour blended over the grey photos."""
    red, green, blue = (int(0.0 + (1 - strength) * 100 + strength * c) for c in colour)
    return red, green, blue


def test_a_row_shows_the_maps(folders: Folders) -> None:
    labels, depth = world()
    folders.add("street", labels, depth)
    recipe = folders.recipe("labels", "depths", depths_kind="metric")
    (row,) = folders.rows(recipe)
    assert (row.name, row.severity, row.verdict) == ("street.png", "info", "usable")
    assert row.photo.shape == (HEIGHT, WIDTH, 3)
    assert row.labels is not None and row.agreement is not None and row.standable is not None
    np.testing.assert_array_equal(row.labels, labels)
    expected = np.where(labels == ROAD, 1, 0)
    expected[110:120, 20:40], expected[110:120, 100:130] = 2, 3
    np.testing.assert_array_equal(row.agreement, expected)
    np.testing.assert_array_equal(row.standable, labels == ROAD)
    assert row.standable_share == (labels == ROAD).mean()
    assert row.horizon == pytest.approx((60 / HEIGHT, (60 - 0.05 * WIDTH) / HEIGHT), abs=0.1 / HEIGHT)
    inliers = 1 - 500 / (labels == ROAD).sum()
    assert f"inliers {inliers:.0%}, median residual 0.0%" in row.figures
    assert f"shows car on {(labels == CAR).mean():.1%}" in row.figures
    assert "horizon at 0.38 of the height" in row.figures


def test_affine_depth_is_measured_from_its_sky(folders: Folders) -> None:
    labels, depth = world()
    folders.add("street", labels, 3.0 * depth + 7.0)
    (row,) = folders.rows(folders.recipe("labels", "depths"))
    assert row.agreement is not None
    np.testing.assert_array_equal(row.agreement == 1, folders_agreement(labels))
    assert row.horizon == pytest.approx((60 / HEIGHT, (60 - 0.05 * WIDTH) / HEIGHT), abs=0.5 / HEIGHT)


def folders_agreement(labels: np.ndarray) -> np.ndarray:
    on_plane = labels == ROAD
    on_plane[110:120, 20:40] = on_plane[110:120, 100:130] = False
    return on_plane


def test_ground_without_a_plane_has_no_horizon(folders: Folders) -> None:
    labels, depth = world()
    noise = np.random.default_rng(5).uniform(0.3, 3.0, depth.shape)
    folders.add("rough", labels, depth * noise)
    (row,) = folders.rows(folders.recipe("labels", "depths", depths_kind="metric"))
    assert row.severity == "error" and "no known horizon" in row.verdict
    assert row.horizon is None
    assert row.agreement is not None and set(np.unique(row.agreement)) == {0, 1, 2, 3}
    ground_sheet(folders.recipe("labels", "depths"), [row])


def test_the_horizon_of_the_prior_is_labelled_as_assumed(folders: Folders) -> None:
    labels, _ = world()
    folders.add("street", labels)
    (assumed,) = folders.rows(folders.recipe("labels", horizon={}))
    (given,) = folders.rows(folders.recipe("labels", horizon=0.4))
    assert "horizon assumed at 0.45 of the height" in assumed.figures
    assert "horizon at 0.40 of the height" in given.figures
    assert given.horizon == pytest.approx((0.4, 0.4))


@pytest.mark.parametrize(
    ("labels", "wanted"),
    [
        (None, "no label map"),
        (np.full((HEIGHT, WIDTH), BUILDING), "nowhere to stand"),
        (np.full((10, 10), ROAD), "10x10"),
    ],
)
def test_unusable_backgrounds_show_the_reason(folders: Folders, labels: np.ndarray | None, wanted: str) -> None:
    folders.add("bad", labels)
    recipe = folders.recipe("labels")
    (row,) = folders.rows(recipe)
    assert row.severity == "error" and wanted in row.verdict
    assert count(ground_sheet(recipe, [row]), UNUSABLE_PAPER) > 1000


def test_backgrounds_with_warnings_are_shown(folders: Folders) -> None:
    folders.add("bad", np.full((HEIGHT, WIDTH), BUILDING))
    (row,) = folders.rows(folders.recipe("labels", no_ground="random"))
    assert row.severity == "warning" and "nowhere to stand" in row.verdict


def test_every_pixel_is_on_the_sheet(folders: Folders) -> None:
    labels, depth = world()
    folders.add("street", labels, depth)
    recipe = folders.recipe("labels", "depths", depths_kind="metric")
    sheet = ground_sheet(recipe, folders.rows(recipe))
    assert sheet.mode == "RGB"
    for code, colour in COLOUR_OF.items():
        # The swatch of the legend has 12x12 pixels inside its outline.
        assert count(sheet, colour) == (labels == code).sum() + 144
    assert count(sheet, (100, 100, 100)) >= HEIGHT * WIDTH
    on_line = count(sheet, HORIZON) - 144
    assert (
        2 * 2 * WIDTH <= on_line <= 2 * 3 * WIDTH
    )  # two cells; the line is two pixels thick, three where it meets pixel centres
    hidden = on_line // 2  # at most the ground
    on_plane = int(folders_agreement(labels).sum())
    assert on_plane - hidden <= count(sheet, paint(ON_PLANE, 0.75)) <= on_plane
    assert count(sheet, paint(NEARER, 0.75)) == 200
    assert count(sheet, paint(FARTHER, 0.75)) == 300
    standing = int((labels == ROAD).sum())
    assert standing - hidden <= count(sheet, paint(STANDABLE, 0.5)) <= standing


def test_rows_are_sorted_by_severity_and_standable_area(folders: Folders) -> None:
    labels, _ = world()
    little = np.where(np.mgrid[:HEIGHT, :WIDTH][0] < 120, SKY, labels)
    folders.add("a_much", labels)
    folders.add("b_little", little)
    folders.add("c_none", np.full((HEIGHT, WIDTH), SKY))
    recipe = folders.recipe("labels", horizon={})
    pixels = np.asarray(ground_sheet(recipe, folders.rows(recipe)))
    sky = (pixels == COLOUR_OF[SKY]).all(2)[:, 16:800].sum(1)
    stripes = [(pixels[:, 16] == VERDICT_INK[severity]).all(1) for severity in ("error", "info")]
    assert stripes[0].any() and np.flatnonzero(stripes[0]).max() < np.flatnonzero(stripes[1]).min()
    rows = np.flatnonzero(sky[100:] == WIDTH) + 100  # rows of sky only: all of the first photo, most of the second, ...
    lengths = [len(part) for part in np.split(rows, np.flatnonzero(np.diff(rows) > 1) + 1)]
    assert lengths[0] == HEIGHT and lengths[1] > lengths[2]


def test_images_without_maps_are_left_out(folders: Folders) -> None:
    labels, depth = world()
    folders.add("street", labels, depth)
    widths = [
        ground_sheet(recipe, folders.rows(recipe)).width
        for recipe in (
            folders.recipe("depths", depths_kind="metric"),
            folders.recipe("labels"),
            folders.recipe("labels", "depths", depths_kind="metric"),
        )
    ]
    assert widths == sorted(widths) and widths[2] > widths[1] >= 800


@pytest.mark.slow
def test_size_is_bounded(folders: Folders) -> None:
    folders.add("street", world()[0])
    recipe = folders.recipe("labels")
    rows = folders.rows(recipe)
    assert ground_sheet(recipe, rows * 1000).size == ground_sheet(recipe, rows * MOST_ROWS).size


def test_zero_backgrounds_are_refused(folders: Folders) -> None:
    with pytest.raises(QumadeError, match="at least one"):
        ground_sheet(folders.recipe("labels"), [])


def test_portraits_panoramas_and_unknown_ids_are_drawn(folders: Folders) -> None:
    rng = np.random.default_rng(1)
    recipe = folders.recipe("labels")
    for name, size in {"tall": (30, 900), "wide": (900, 30), "dot": (1, 1)}.items():
        Image.fromarray(np.zeros((size[1], size[0], 3), np.uint8)).save(recipe.backgrounds / f"{name}.png")
        ids = rng.integers(0, 60000, (size[1], size[0])).astype(np.uint16)
        Image.fromarray(ids).save(folders.root / "labels" / f"{name}.png")
    rows = folders.rows(recipe)
    assert [row.severity for row in rows] == ["error"] * 3
    assert all(row.photo.shape[0] <= HEIGHT and row.photo.shape[1] <= WIDTH for row in rows)
    assert ground_sheet(recipe, rows).height < 3000


def test_check_shows_each_background_once(folders: Folders, alphas: dict[str, np.ndarray]) -> None:
    folders.add("street", *world())
    folders.add("wall", np.full((HEIGHT, WIDTH), BUILDING), np.full((HEIGHT, WIDTH), 0.1))
    recipe = folders.recipe("labels", "depths", depths_kind="metric")
    recipe.foregrounds.mkdir()
    Image.fromarray(np.dstack([alphas["disc"]] * 4)).save(recipe.foregrounds / "disc.png")
    seen: list[str] = []
    look: Callable[[Any], None] = lambda surveyed: seen.append(surveyed.scan.name)  # noqa: E731
    report = check_assets(recipe, look=look)
    assert seen == ["street.png", "wall.png"]
    assert (report.backgrounds.files, report.backgrounds.usable, report.samples) == (2, 1, 20)
    assert [(f.reason, Path(f.path).name) for f in report.findings if f.severity == "error"] == [
        ("no-ground", "wall.png")
    ]
