"""The bundled files match their README; everything is measured on the files."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from qumade.assets.bundled import bundled_folder, write_samples
from qumade.data.opening import open_dataset
from qumade.errors import QumadeError
from qumade.recipe import Recipe
from qumade.synth.check import check_assets

FOLDER = bundled_folder()
BACKGROUNDS = [f"road_{k:02d}" for k in range(1, 25)]
REFERENCE = [f"img{k:06d}" for k in range(1, 65)]
PAIRS = [f"pair_{k}" for k in range(1, 9)]
ROAD, SIDEWALK, SKY = 0, 1, 10
LABELS = {0, 1, 2, 3, 4, 5, 7, 8, 9, 10}
FAR = 65535


def read(*parts: str) -> np.ndarray:
    return np.asarray(Image.open(FOLDER.joinpath(*parts)))


def facts(name: str) -> dict[str, Any]:
    return json.loads((FOLDER / name).read_text())


CAMERAS = facts("cameras.json")
FOREGROUNDS = facts("foregrounds.json")


def fitted_plane(codes: np.ndarray, ground: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """a, b, c of 1/Z = a u + b v + c by least squares, and the relative residuals of the ground's pixels."""
    row, column = np.nonzero(ground & (codes < FAR))
    inverse = 256.0 / codes[row, column]
    design = np.stack([column + 0.5, row + 0.5, np.ones(len(row))], axis=-1)
    plane, *_ = np.linalg.lstsq(design, inverse, rcond=None)
    return plane, np.abs(design @ plane - inverse) / inverse


def stands_at(alpha: np.ndarray) -> tuple[int, int]:
    """Row and column of the contact's pixel."""
    row = np.flatnonzero((alpha >= 128).any(axis=1))[-1]
    columns = np.flatnonzero(alpha[row] >= 128)
    return int(row), int((columns[0] + columns[-1] + 1) // 2)


def test_bundled_files_are_complete_and_small() -> None:
    assert sum(path.stat().st_size for path in FOLDER.rglob("*") if path.is_file()) <= 12_000_000
    for kind, suffix in (("backgrounds", "jpg"), ("depths", "png"), ("labels", "png")):
        assert sorted(path.name for path in (FOLDER / kind).iterdir()) == [f"{name}.{suffix}" for name in BACKGROUNDS]
    cutouts = sorted(f"{name}.png" for name in FOREGROUNDS)
    assert len(cutouts) == 24
    for kind in ("foregrounds", "reliefs"):
        assert sorted(path.name for path in (FOLDER / kind).iterdir()) == cutouts
    for kind in ("images", "masks", "depth", "instances"):
        assert sorted(path.stem for path in (FOLDER / "reference" / kind).iterdir()) == REFERENCE
    assert sorted(CAMERAS["backgrounds"]) == BACKGROUNDS
    assert sorted(CAMERAS["reference"]) == REFERENCE
    assert sorted(CAMERAS["pairs"]) == PAIRS


@pytest.mark.parametrize("name", BACKGROUNDS)
class TestBackground:
    def test_background_has_its_size_and_kinds(self, name: str) -> None:
        photo, depth, labels = (
            read("backgrounds", f"{name}.jpg"),
            read("depths", f"{name}.png"),
            read("labels", f"{name}.png"),
        )
        assert photo.shape == (384, 512, 3)
        assert (depth.dtype, depth.shape) == (np.uint16, (384, 512))
        assert (labels.dtype, labels.shape) == (np.uint8, (384, 512))
        assert set(np.unique(labels)) <= LABELS
        assert depth.min() > 0

    def test_background_is_well_exposed(self, name: str) -> None:
        photo = read("backgrounds", f"{name}.jpg").astype(float)
        assert 70 < photo.mean() < 190
        assert (photo.min(axis=-1) >= 253).mean() < 0.12
        assert (photo.max(axis=-1) <= 8).mean() < 0.05

    def test_road_is_one_plane(self, name: str) -> None:
        depth, labels = read("depths", f"{name}.png"), read("labels", f"{name}.png")
        assert (labels == ROAD).mean() > 0.12
        plane, residual = fitted_plane(depth, labels == ROAD)
        assert np.median(residual) < 0.01
        camera = CAMERAS["backgrounds"][name]
        for u, v in camera["horizon"]:
            assert -(plane[0] * u + plane[2]) / plane[1] == pytest.approx(v, abs=2.0)

    def test_plane_and_horizon_follow_from_the_camera(self, name: str) -> None:
        camera = CAMERAS["backgrounds"][name]
        pitch, roll = np.radians([camera["pitch_deg"], camera["roll_deg"]])
        # down, in camera axes (x right, y down, z forward): pitched down, then rolled clockwise
        x, y, z = np.sin(roll) * np.cos(pitch), np.cos(roll) * np.cos(pitch), np.sin(pitch)
        a, b = x / camera["focal_px"] / camera["height_m"], y / camera["focal_px"] / camera["height_m"]
        c = z / camera["height_m"] - a * camera["cx"] - b * camera["cy"]
        assert camera["plane"] == pytest.approx([a, b, c], rel=1e-4, abs=1e-9)
        for u, v in camera["horizon"]:
            assert a * u + b * v + c == pytest.approx(0.0, abs=1e-7)
        assert 1.2 <= camera["height_m"] <= 2.2

    def test_road_pixels_lie_on_the_camera_s_plane(self, name: str) -> None:
        depth, labels = read("depths", f"{name}.png"), read("labels", f"{name}.png")
        row, column = np.nonzero((labels == ROAD) & (depth < 60 * 256))
        a, b, c = CAMERAS["backgrounds"][name]["plane"]
        truth = 1 / (a * (column + 0.5) + b * (row + 0.5) + c)
        assert np.abs(depth[row, column] / 256 / truth - 1).max() < 0.004  # paint is up to 3 mm thick

    def test_sky_is_far_and_the_ground_is_known(self, name: str) -> None:
        depth, labels = read("depths", f"{name}.png"), read("labels", f"{name}.png")
        assert (depth[labels == SKY] == FAR).all()
        assert (depth[np.isin(labels, (ROAD, SIDEWALK))] > 0).all()

    def test_road_grows_farther_towards_the_horizon(self, name: str) -> None:
        depth, labels = read("depths", f"{name}.png").astype(float), read("labels", f"{name}.png")
        nearest = np.array([depth[row][labels[row] == ROAD].min(initial=np.inf) for row in range(384)])
        assert (np.diff(nearest[np.isfinite(nearest)]) <= 0).mean() > 0.97


@pytest.mark.parametrize("name", sorted(FOREGROUNDS))
class TestForeground:
    def test_cutout_is_clean(self, name: str) -> None:
        pixels = read("foregrounds", f"{name}.png")
        height, width, channels = pixels.shape
        alpha = pixels[..., 3]
        assert channels == 4
        assert 130 <= width <= 345
        for margin in (alpha[:2], alpha[-2:], alpha[:, :2], alpha[:, -2:]):
            assert not margin.any()
        assert alpha[2].any() and alpha[-3].any() and alpha[:, 2].any() and alpha[:, -3].any()
        assert (alpha == 255).sum() > 0.35 * height * width
        soft = (alpha > 0) & (alpha < 255)
        assert 0 < soft.sum() < 0.2 * (alpha > 0).sum()
        # soft alpha is boundary only: everything well inside is opaque
        solid = alpha == 255
        inner = solid[1:-1, 1:-1] & solid[:-2, 1:-1] & solid[2:, 1:-1] & solid[1:-1, :-2] & solid[1:-1, 2:]
        assert inner.sum() > 0.7 * (alpha > 0).sum()

    def test_relief_starts_at_the_contact(self, name: str) -> None:
        alpha, codes = read("foregrounds", f"{name}.png")[..., 3], read("reliefs", f"{name}.png")
        assert codes.dtype == np.uint16
        assert codes.shape == alpha.shape
        assert ((codes == 0) == (alpha == 0)).all()
        assert abs(int(codes[stands_at(alpha)]) - 32768) <= 1
        relief = (codes[alpha > 0].astype(float) - 32768) / 1024
        assert relief.min() > -4.0
        assert 0.3 < relief.max() - relief.min() < 13.0

    def test_cutout_stands_on_the_ground(self, name: str) -> None:
        entry = FOREGROUNDS[name]
        alpha = read("foregrounds", f"{name}.png")[..., 3]
        row, _ = stands_at(alpha)
        columns = np.flatnonzero(alpha[row] >= 128)
        assert entry["contact"] == [(columns[0] + columns[-1] + 1) / 2, row + 1]
        left, top, *_ = entry["box"]
        a, b, c = entry["camera"]["plane"]
        ground = 1 / (a * (entry["contact"][0] + left) + b * (entry["contact"][1] + top) + c)
        assert entry["contact_depth_m"] == pytest.approx(ground, rel=0.02)

    def test_cutout_has_its_stated_height(self, name: str) -> None:
        """The highest point over the ground, from alpha, relief and the camera alone."""
        entry = FOREGROUNDS[name]
        alpha, codes = read("foregrounds", f"{name}.png")[..., 3], read("reliefs", f"{name}.png")
        camera = entry["camera"]
        row, column = np.nonzero(alpha >= 128)
        depth = entry["contact_depth_m"] + (codes[row, column].astype(float) - 32768) / 1024
        left, top, *_ = entry["box"]
        a, b, c = camera["plane"]
        # on the ground Z (a u + b v + c) is 1, at the camera's height it is 0, and between them it is linear
        above = camera["height_m"] * (1 - depth * (a * (column + left + 0.5) + b * (row + top + 0.5) + c))
        assert above.max() == pytest.approx(entry["height_m"], abs=0.06)
        assert above.min() > -0.08
        low, high = {"truck": (2.8, 3.4), "bus": (2.8, 3.4), "van": (1.8, 2.2)}.get(entry["shape"], (1.35, 1.9))
        assert low < entry["height_m"] < high


def test_samples_pass_the_audit() -> None:
    report = check_assets(Recipe(backgrounds=FOLDER / "backgrounds", foregrounds=FOLDER / "foregrounds"), workers=1)
    assert report.findings == ()
    assert report.backgrounds.usable == report.foregrounds.usable == 24
    assert report.backgrounds.identities == report.foregrounds.identities == 24


@pytest.mark.parametrize("name", REFERENCE)
def test_reference_scene_agrees_with_itself(name: str) -> None:
    image, mask = read("reference", "images", f"{name}.png"), read("reference", "masks", f"{name}.png")
    depth, instances = read("reference", "depth", f"{name}.png"), read("reference", "instances", f"{name}.png")
    assert image.shape == (168, 224, 3)
    assert image.dtype == mask.dtype == instances.dtype == np.uint8
    assert depth.dtype == np.uint16
    assert mask.shape == depth.shape == instances.shape == (168, 224)
    assert ((mask >= 128) == (instances != 0)).all()
    cars = CAMERAS["reference"][name]["cars"]
    assert 0 <= len(cars) <= 4
    assert set(np.unique(instances)) <= {0, *(car["instance"] for car in cars)}
    assert depth.min() > 0
    assert (depth[instances != 0] < 80 * 256).all()
    # a car hides the ground: along its pixels depth is never beyond the ground's own
    a, b, c = CAMERAS["reference"][name]["plane"]
    row, column = np.nonzero(instances)
    ground = a * (column + 0.5) + b * (row + 0.5) + c
    assert (256 / depth[row, column] > ground * 0.93).all()


def test_reference_scenes_hold_other_cars_and_roads() -> None:
    bundled = {entry["identity"] for entry in FOREGROUNDS.values()}
    assert len(bundled) == 24
    cars = [car["identity"] for entry in CAMERAS["reference"].values() for car in entry["cars"]]
    assert len(cars) == len(set(cars)) > 90
    assert not bundled & set(cars)
    paired = {facts(f"pairs/{name}/pair.json")["identity"] for name in PAIRS}
    assert not paired & (bundled | set(cars))
    counts = {len(entry["cars"]) for entry in CAMERAS["reference"].values()}
    assert counts == {0, 1, 2, 3, 4}


def test_the_reference_is_a_dataset() -> None:
    dataset = open_dataset(FOLDER / "reference")
    assert dataset.stems.tolist() == REFERENCE
    assert dataset.has_masks and dataset.has_depth and dataset.depth_encoding.kind == "metric"
    triple = dataset.read(0)
    assert triple.mask is not None and triple.inverse_depth is not None
    metres = read("reference", "depth", f"{REFERENCE[0]}.png") / 256.0
    near = metres < 200
    np.testing.assert_allclose(triple.inverse_depth[near], 1 / metres[near], rtol=1e-6)


@pytest.mark.parametrize("name", PAIRS)
class TestPair:
    def test_car_lies_in_its_box(self, name: str) -> None:
        entry = facts(f"pairs/{name}/pair.json")
        mask, car = read("pairs", name, "with_mask.png"), read("pairs", name, "car.png")
        left, top, right, bottom = entry["box"]
        assert car.shape == (bottom - top, right - left, 4)
        assert (mask >= 128).sum() >= 10_000
        whole = np.zeros(mask.shape)
        whole[top:bottom, left:right] = car[..., 3]
        assert np.abs(whole - mask).max() <= 80  # the same silhouette, sampled twice
        assert np.abs(whole - mask).mean() < 0.5

    def test_composed_parts_match_the_rendered_scene(self, name: str) -> None:
        """Over the car, composing the parts with straight alpha gives the rendered scene except for haze and noise."""
        entry = facts(f"pairs/{name}/pair.json")
        left, top, right, bottom = entry["box"]
        with_car, without = (read("pairs", name, f"{k}.png").astype(float) for k in ("with", "without"))
        car = read("pairs", name, "car.png").astype(float)
        alpha = car[..., 3:] / 255
        box = np.s_[top:bottom, left:right]
        composed = car[..., :3] * alpha + without[box] * (1 - alpha)
        opaque = car[..., 3] == 255
        assert np.abs(composed - with_car[box])[opaque].mean() < 8

    def test_depth_follows_from_plane_and_relief(self, name: str) -> None:
        entry = facts(f"pairs/{name}/pair.json")
        left, top, right, bottom = entry["box"]
        a, b, c = entry["camera"]["plane"]
        u, v = entry["contact"]
        stand = 1 / (a * u + b * v + c)
        assert entry["contact_depth_m"] == pytest.approx(stand, rel=0.015)
        codes = read("pairs", name, "car_relief.png").astype(float)
        depth = read("pairs", name, "with_depth.png")[top:bottom, left:right] / 256
        mask = read("pairs", name, "with_mask.png")[top:bottom, left:right]
        on = (mask >= 128) & (codes > 0)
        error = np.abs(stand + (codes - 32768) / 1024 - depth)[on] / depth[on]
        assert np.median(error) < 0.015
        assert np.percentile(error, 98) < 0.03

    def test_background_is_unchanged_where_there_is_no_car(self, name: str) -> None:
        mask = read("pairs", name, "with_mask.png")
        before, after = read("pairs", name, "without_depth.png"), read("pairs", name, "with_depth.png")
        far_off = mask == 0
        far_off[1:-1, 1:-1] &= (mask[:-2, 1:-1] == 0) & (mask[2:, 1:-1] == 0)
        assert (np.abs(before[far_off] / 1.0 - after[far_off]) <= 1).mean() > 0.97
        labels = read("pairs", name, "without_labels.png")
        plane, residual = fitted_plane(before, labels == ROAD)
        assert np.median(residual) < 0.01
        for u, v in facts(f"pairs/{name}/pair.json")["camera"]["horizon"]:
            assert -(plane[0] * u + plane[2]) / plane[1] == pytest.approx(v, abs=2.0)


class TestWriteSamples:
    def test_write_samples_copies_all_and_adds_a_recipe(self, tmp_path: Path) -> None:
        write_samples(tmp_path / "new" / "samples")
        written = {p.relative_to(tmp_path / "new" / "samples"): p for p in (tmp_path / "new").rglob("*") if p.is_file()}
        source = {p.relative_to(FOLDER): p for p in FOLDER.rglob("*") if p.is_file()}
        assert set(written) == {*source, Path("recipe.yaml")}
        assert all(written[name].read_bytes() == path.read_bytes() for name, path in source.items())
        recipe = yaml.safe_load(written[Path("recipe.yaml")].read_text())
        assert recipe["size"] == [224, 224]
        for key in ("backgrounds", "foregrounds", "depths"):
            assert (tmp_path / "new" / "samples" / recipe[key]).is_dir()

    def test_second_run_completes_an_interrupted_copy(self, tmp_path: Path) -> None:
        write_samples(tmp_path)
        (tmp_path / "backgrounds" / "road_01.jpg").write_bytes(b"torn")
        (tmp_path / "cameras.json").unlink()
        (tmp_path / ".tmp-123-cameras.json").write_bytes(b"half")
        write_samples(tmp_path)
        for name in ("backgrounds/road_01.jpg", "cameras.json"):
            assert (tmp_path / name).read_bytes() == (FOLDER / name).read_bytes()
        assert not list(tmp_path.rglob(".tmp-*"))

    def test_an_edited_recipe_is_kept(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        write_samples(tmp_path)
        recipe = tmp_path / "recipe.yaml"
        edited = recipe.read_text().replace("per_pair: 20", "per_pair: 3")
        recipe.write_text(edited)
        (tmp_path / "backgrounds" / "road_01.jpg").unlink()
        write_samples(tmp_path)
        assert recipe.read_text() == edited and (tmp_path / "backgrounds" / "road_01.jpg").is_file()
        assert caplog.messages == [f"{recipe} differs from the samples' own and is kept"]

    def test_folder_with_other_content_is_rejected(self, tmp_path: Path) -> None:
        (tmp_path / "thesis.txt").write_text("years of work")
        with pytest.raises(QumadeError, match=r"thesis\.txt"):
            write_samples(tmp_path)
        assert [p.name for p in tmp_path.iterdir()] == ["thesis.txt"]

    def test_a_file_is_rejected(self, tmp_path: Path) -> None:
        (tmp_path / "taken").write_text("")
        with pytest.raises(QumadeError, match="folder"):
            write_samples(tmp_path / "taken")
