import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from qumade.assets.backgrounds import catalog_backgrounds, depth_kind, match_maps, survey_photo
from qumade.assets.catalog import Background
from qumade.assets.label_scheme import label_scheme
from qumade.assets.scan import Finding, scan_backgrounds
from qumade.depth.encoding import DepthKind
from qumade.geometry import GroundPlane, inverse_depth_map
from qumade.io.pictures import content_hash
from qumade.recipe import Recipe

ROAD, BUILDING, SKY, CAR = 0, 2, 10, 13
PLANE = GroundPlane(0.0, 1 / 150, -30 / 150)
SIZES = [(100, 80), (120, 75), (70, 90)]


def street(width: int, height: int) -> np.ndarray:
    labels = np.full((height, width), BUILDING, np.uint8)
    labels[:25] = SKY
    labels[36:] = ROAD
    return labels


def metres(width: int, height: int) -> np.ndarray:
    """The street's depth as 16-bit metres x 256."""
    inverse_depth = inverse_depth_map(PLANE, width, height)
    inverse_depth[25:36] = PLANE.inverse_depth(0.0, 36.0)
    codes = np.full((height, width), 65535.0)
    np.divide(256.0, inverse_depth, out=codes, where=inverse_depth > 0)
    codes[:25] = 65535
    return np.minimum(np.rint(codes), 65535).astype(np.uint16)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three different photos a, b, c with label maps and metric depth maps."""
    rng = np.random.default_rng(5)
    for name in ("backgrounds", "foregrounds", "labels", "depths"):
        (tmp_path / name).mkdir()
    for name, size in zip("abc", SIZES, strict=True):
        blots = Image.fromarray(rng.integers(0, 256, (5, 6, 3), np.uint8))
        blots.resize(size, Image.Resampling.BICUBIC).save(tmp_path / "backgrounds" / f"{name}.png")
        Image.fromarray(street(*size)).save(tmp_path / "labels" / f"{name}.png")
        Image.fromarray(metres(*size)).save(tmp_path / "depths" / f"{name}.png")
    return tmp_path


def recipe_of(folder: Path, **fields: Any) -> Recipe:
    given = {"labels": folder / "labels", "label_names": "cityscapes", "depths": folder / "depths", **fields}
    return Recipe(backgrounds=folder / "backgrounds", foregrounds=folder / "foregrounds", **given)


def catalog_of(recipe: Recipe) -> tuple[list[Background], DepthKind, list[Finding]]:
    scanned, findings = scan_backgrounds(recipe.backgrounds, workers=1)
    return *catalog_backgrounds(recipe, scanned, label_scheme(recipe), findings), findings


def change(folder: Path, what: str, name: str, *, top: int, bottom: int, value: int, right: int | None = None) -> None:
    """Paints rows of a map, from the left edge to column `right`."""
    path = folder / what / f"{name}.png"
    pixels = np.asarray(Image.open(path)).copy()
    pixels[top:bottom, :right] = value
    Image.fromarray(pixels).save(path)


def test_backgrounds_have_the_facts_of_their_maps(folder: Path) -> None:
    recipe = recipe_of(folder, camera_height_m={"b.png": 1.7})
    backgrounds, kind, findings = catalog_of(recipe)
    assert kind == "metric" and [(found.severity, found.reason) for found in findings] == [("info", "depth")] * 3
    assert findings[0].detail.startswith(
        "near 3.0 m, far infinitely far; from the middle down, inverse depth changes by +"
    )
    assert [(b.name, (b.width, b.height)) for b in backgrounds] == list(
        zip(("a.png", "b.png", "c.png"), SIZES, strict=True)
    )
    assert [b.identity for b in backgrounds] == [0, 1, 2]
    assert [b.camera_height_m for b in backgrounds] == [None, 1.7, None]
    for background in backgrounds:
        assert background.plane is not None and background.standing is not None
        assert background.plane.horizon_row(3.0) == pytest.approx(30, abs=0.2)
        assert background.standing[0].pixels.min() // background.width == 36
        assert (background.depth_name, background.labels_name) == (background.name, background.name)
        assert background.sha256 == content_hash(folder / "backgrounds" / background.name)
        assert background.depth_sha256 == content_hash(folder / "depths" / background.name)
        assert background.labels_sha256 == content_hash(folder / "labels" / background.name)


def test_backgrounds_without_maps_get_the_prior(folder: Path) -> None:
    backgrounds, kind, findings = catalog_of(recipe_of(folder, labels=None, depths=None, horizon=0.5))
    assert (kind, findings) == ("scaled", [])
    for background in backgrounds:
        assert background.plane is not None and background.standing is None
        assert background.plane.horizon_row(0.0) == background.height / 2
        assert background.depth_name is background.labels_name is background.coarse_depth is None


@pytest.mark.parametrize(
    ("suffix", "said", "kind"),
    [(".png", "affine", "metric"), (".npy", "affine", "affine"), (".npy", "scaled", "scaled")],
)
def test_kind_of_depth(folder: Path, suffix: str, said: str, kind: str) -> None:
    recipe = recipe_of(folder, depths_kind=said)
    assert depth_kind(recipe, {Path("a.png"): Path(f"a{suffix}")}) == kind
    assert depth_kind(recipe_of(folder, depths=None), {}) == "scaled"


def test_maps_are_matched_by_stem(folder: Path) -> None:
    recipe = recipe_of(folder)
    (folder / "labels" / "b.png").unlink()
    scanned, _ = scan_backgrounds(recipe.backgrounds, workers=1)
    maps = match_maps(recipe, scanned)
    assert [path.name for path in maps.depths] == ["a.png", "b.png", "c.png"]
    assert {p.name: q for p, q in maps.labels.items()} == {n: folder / "labels" / n for n in ("a.png", "c.png")}
    assert maps.kind == "metric"


class TestUnusable:
    """Each bad map leaves out only its own background, by name."""

    def only_b_is_out(self, recipe: Recipe, reason: str, words: str) -> None:
        backgrounds, _, findings = catalog_of(recipe)
        assert [b.name for b in backgrounds] == ["a.png", "c.png"]
        errors = [finding for finding in findings if finding.severity == "error"]
        assert [(finding.reason, finding.path) for finding in errors] == [(reason, str(recipe.backgrounds / "b.png"))]
        assert words in errors[0].detail and "\n" not in str(errors[0])

    def test_missing_label_map(self, folder: Path) -> None:
        (folder / "labels" / "b.png").unlink()
        self.only_b_is_out(recipe_of(folder), "no-labels", str(folder / "labels"))

    def test_missing_depth_map(self, folder: Path) -> None:
        (folder / "depths" / "b.png").unlink()
        self.only_b_is_out(recipe_of(folder), "no-depth", str(folder / "depths"))

    def test_label_map_of_another_size(self, folder: Path) -> None:
        Image.fromarray(street(50, 50)).save(folder / "labels" / "b.png")
        self.only_b_is_out(recipe_of(folder), "labels", "got 50x50")

    def test_torn_depth_map(self, folder: Path) -> None:
        path = folder / "depths" / "b.png"
        path.write_bytes(path.read_bytes()[:80])
        self.only_b_is_out(recipe_of(folder), "depth", str(path))

    def test_no_ground(self, folder: Path) -> None:
        change(folder, "labels", "b", top=36, bottom=75, value=BUILDING)
        recipe = recipe_of(folder, placement="semantic")
        self.only_b_is_out(recipe, "no-ground", "no clean patch of road, sidewalk, terrain")

    def test_no_horizon_for_perspective(self, folder: Path) -> None:
        for name, size in zip("abc", SIZES, strict=True):
            codes = np.asarray(Image.open(folder / "depths" / f"{name}.png")).astype(np.float32)
            (folder / "depths" / f"{name}.png").unlink()
            np.save(folder / "depths" / f"{name}.npy", np.where(codes == 65535, 0, 256 / codes).astype(np.float32))
            assert codes.shape == size[::-1]
        change(folder, "labels", "b", top=0, bottom=25, value=BUILDING)  # affine depth, and no sky
        self.only_b_is_out(recipe_of(folder, placement="perspective"), "no-horizon", "no known horizon")
        backgrounds, kind, _ = catalog_of(recipe_of(folder, placement="semantic"))
        assert (len(backgrounds), kind) == (3, "affine")

    def test_a_label_map_without_a_horizon(self, folder: Path) -> None:
        shutil.rmtree(folder / "depths")
        fields: dict[str, Any] = {"horizon": {"default": "labels", "a.*": 0.4, "c.*": 0.4}, "depths": None}
        change(folder, "labels", "b", top=0, bottom=60, value=255)
        recipe = recipe_of(folder, placement="perspective", **fields)
        self.only_b_is_out(recipe, "no-horizon", "give it one, such as horizon: {b.png: 0.5, default: labels}")
        assert len(catalog_of(recipe)[2]) == 1  # a photo that is left out has no other findings
        for placement in ("semantic", "random"):
            backgrounds, _, findings = catalog_of(recipe_of(folder, placement=placement, **fields))
            assert len(backgrounds) == 3
            assert any("does not determine a horizon" in finding.detail for finding in findings)

    def test_perspective_without_depth_takes_the_horizon_of_the_labels(self, folder: Path) -> None:
        fields: dict[str, Any] = {"depths": None, "placement": "perspective"}
        change(folder, "labels", "b", top=0, bottom=60, value=255)
        self.only_b_is_out(recipe_of(folder, **fields), "no-horizon", "does not determine the horizon")
        assert len(catalog_of(recipe_of(folder, **fields, horizon=0.45))[0]) == 3

    def test_a_photo_that_shows_the_target(self, folder: Path) -> None:
        change(folder, "labels", "b", top=40, bottom=50, right=12, value=CAR)
        self.only_b_is_out(recipe_of(folder, present="skip"), "present", "shows car on 1.3% of its pixels")
        for present in ("ignore", "mask"):
            assert len(catalog_of(recipe_of(folder, present=present))[0]) == 3


def test_a_photo_without_ground_may_be_used_at_random(folder: Path) -> None:
    change(folder, "labels", "b", top=36, bottom=75, value=BUILDING)
    backgrounds, _, findings = catalog_of(recipe_of(folder, placement="semantic", no_ground="random"))
    assert [b.standing is None for b in backgrounds] == [False, True, False]
    assert [(f.severity, f.reason) for f in findings if f.reason == "no-ground"] == [("warning", "no-ground")]


def test_random_placement_needs_no_ground(folder: Path) -> None:
    change(folder, "labels", "b", top=36, bottom=75, value=BUILDING)
    backgrounds, _, findings = catalog_of(recipe_of(folder))
    assert len(backgrounds) == 3
    assert all(finding.severity != "error" for finding in findings)


@pytest.mark.parametrize("encoding", ["jpeg", "lossless"])
def test_unknown_depth_needs_a_lossless_encoding(folder: Path, encoding: str) -> None:
    change(folder, "depths", "b", top=70, bottom=75, value=0)
    recipe = recipe_of(folder, encoding=encoding)
    if encoding == "lossless":
        assert len(catalog_of(recipe)[0]) == 3
    else:
        backgrounds, _, findings = catalog_of(recipe)
        (error,) = [finding for finding in findings if finding.severity == "error"]
        assert error.reason == "unknown-depth" and "6.7% unknown pixels" in error.detail
        assert error.path.endswith("b.png") and [b.name for b in backgrounds] == ["a.png", "c.png"]


def test_a_survey_keeps_its_maps(folder: Path) -> None:
    recipe = recipe_of(folder)
    scanned, _ = scan_backgrounds(recipe.backgrounds, workers=1)
    surveyed = survey_photo(recipe, scanned[0], label_scheme(recipe), match_maps(recipe, scanned))
    assert surveyed.usable and surveyed.survey is not None and surveyed.inverse_depth is not None
    np.testing.assert_array_equal(surveyed.labels, street(*SIZES[0]))
    assert surveyed.inverse_depth[60, 5] == pytest.approx(PLANE.inverse_depth(5.5, 60.5), rel=2e-3)
    (folder / "labels" / "a.png").write_bytes(b"")
    broken = survey_photo(recipe, scanned[0], label_scheme(recipe), match_maps(recipe, scanned))
    assert not broken.usable and broken.survey is None


def test_ids_that_the_table_does_not_name_are_an_error_that_names_the_table_that_fits(folder: Path) -> None:
    change(folder, "labels", "b", top=0, bottom=30, value=23)
    backgrounds, _, findings = catalog_of(recipe_of(folder))
    (error,) = [found for found in findings if found.severity == "error"]
    assert len(backgrounds) == 2 and error.reason == "label-ids" and error.path.endswith("b.png")
    assert "ids 23 (" in error.detail and str(folder / "labels" / "b.png") in error.detail
    assert "cityscapes_ids" in error.detail


def test_a_depth_map_that_is_upside_down_is_an_error_that_says_so(folder: Path) -> None:
    path = folder / "depths" / "b.png"
    codes = np.asarray(Image.open(path)).astype(np.float64)
    inverse = np.where(codes == 65535, 1, np.rint(65535 * codes.min() / np.maximum(codes, 1)))
    Image.fromarray(np.maximum(inverse, 1).astype(np.uint16)).save(path)
    backgrounds, _, findings = catalog_of(recipe_of(folder))
    (error,) = [found for found in findings if found.severity == "error"]
    assert len(backgrounds) == 2 and error.reason == "upside-down"
    assert "depth grows towards the lower edge (near" in error.detail and str(path) in error.detail
