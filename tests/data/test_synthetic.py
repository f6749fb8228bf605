import pickle
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from qumade.data.dataset import LabeledSample
from qumade.data.folder import FolderDataset
from qumade.data.synthetic import SyntheticDataset
from qumade.errors import QumadeError
from qumade.generation.engine import generate
from qumade.recipe import Recipe
from qumade.synth.synthesizer import Synthesizer

SIZE = (32, 24)


def recipe_of(root: Path, **given: Any) -> Recipe:
    basic: dict[str, Any] = {"size": SIZE, "per_pair": 3, "encoding": "lossless", "split": (0.4, 0.3, 0.3)}
    return Recipe(backgrounds=root / "backgrounds", foregrounds=root / "foregrounds", **(basic | given))


def add_depths(root: Path) -> dict[str, Any]:
    """Metric depth of a street that rises from 1.5 m to 25 m, with unknown pixels."""
    (root / "depths").mkdir()
    rng = np.random.default_rng(5)
    for path in sorted((root / "backgrounds").iterdir()):
        width, height = Image.open(path).size
        rows = np.linspace(0.04, 0.7, height)[:, None] * np.ones((1, width))
        metres = np.where(rng.random((height, width)) < 0.1, 0, 256 / rows)
        Image.fromarray(metres.astype(np.uint16)).save(root / "depths" / path.name)
    return {"depths": root / "depths", "depths_kind": "metric"}


def add_labels(root: Path) -> dict[str, Any]:
    """Sky above road, with a car on it."""
    (root / "labels").mkdir()
    for path in sorted((root / "backgrounds").iterdir()):
        width, height = Image.open(path).size
        labels = np.where(np.arange(height)[:, None] < height // 3, 10, 0) * np.ones((1, width), int)
        labels[height // 2 : -4, 5:15] = 13
        Image.fromarray(labels.astype(np.uint8)).save(root / "labels" / path.name)
    return {"labels": root / "labels", "label_names": "cityscapes"}


def assert_equal(a: LabeledSample, b: LabeledSample) -> None:
    for field in fields(LabeledSample):
        one, other = getattr(a, field.name), getattr(b, field.name)
        assert (one is None) == (other is None), field.name
        if one is not None:
            assert one.dtype == other.dtype
            np.testing.assert_array_equal(one, other, field.name)


@pytest.mark.parametrize("kind", ["plain", "several", "metric", "labels"])
@pytest.mark.parametrize("limit", [None, 11])
def test_samples_equal_the_lossless_dataset_of_the_same_recipe(
    asset_folders: Path, kind: str, limit: int | None
) -> None:
    given: dict[str, Any] = {"plain": {}, "several": {"objects": (1, 3), "flip": True, "crop": (0.7, 1.0)}}.get(
        kind, {}
    )
    given |= add_depths(asset_folders) if kind == "metric" else {}
    given |= add_labels(asset_folders) if kind == "labels" else {}
    recipe = recipe_of(asset_folders, **given)
    out = asset_folders / "out"
    generate(Synthesizer.from_recipe(recipe), out, limit=limit, workers=1, progress=False)
    written, drawn = FolderDataset(out), SyntheticDataset(recipe, limit=limit)
    assert len(drawn) == len(written) == (limit or len(drawn.synthesizer))
    np.testing.assert_array_equal(drawn.stems, written.stems)
    np.testing.assert_array_equal(drawn.splits, written.splits)
    assert set(drawn.splits) - {""}
    assert drawn.depth_encoding == written.depth_encoding
    assert (drawn.has_masks, drawn.has_depth) == (written.has_masks, written.has_depth)
    for split in ("train", "test", "seen foreground"):
        np.testing.assert_array_equal(drawn.positions(split), written.positions(split))
    together = drawn.read_many(range(len(drawn)))
    for position in range(0, len(drawn), 1 if limit else 7):
        assert_equal(together[position], written[position])
        assert_equal(drawn[position], written[position])
    if kind == "metric":
        assert any(np.isnan(triple.inverse_depth).any() for triple in together if triple.inverse_depth is not None)
    assert (together[0].ignore is not None) == (kind == "labels")


def test_jpeg_recipes_give_exact_image_and_mask_and_depth_within_half_a_level(asset_folders: Path) -> None:
    recipe = recipe_of(asset_folders, encoding="jpeg")
    dataset = SyntheticDataset(recipe)
    for index in (0, 13, 44):
        sample, got = dataset.synthesizer[index], dataset[index]
        np.testing.assert_array_equal(got.image, sample.image)
        np.testing.assert_array_equal(got.mask, sample.mask)
        assert got.inverse_depth is not None
        inside = np.clip(sample.inverse_depth, 0, 1.5)
        assert np.abs(got.inverse_depth - inside).max() <= 1.5 / 255 / 2 * 1.001
        assert len(np.unique(got.inverse_depth)) <= 256


def test_a_sample_does_not_depend_on_earlier_reads(asset_folders: Path) -> None:
    recipe = recipe_of(asset_folders)
    one, other = SyntheticDataset(recipe, resample_placements=True), SyntheticDataset(recipe, resample_placements=True)
    forward = one.read_many([3, 7, 30], [0, 2, 1])
    other.read(11, 4)
    for triple, (position, draw) in reversed(list(zip(forward, [(3, 0), (7, 2), (30, 1)], strict=True))):
        assert_equal(other.read(position, draw), triple)


def test_negative_positions_count_from_the_end_and_others_are_refused(asset_folders: Path) -> None:
    dataset = SyntheticDataset(recipe_of(asset_folders), limit=10)
    assert_equal(dataset[-1], dataset[9])
    for position in (10, -11):
        with pytest.raises(IndexError):
            dataset[position]
    assert dataset.read_many([]) == []


@pytest.fixture
def flat_folders(tmp_path: Path) -> Path:
    """Writes photos and cut-outs of one colour each, so a sample shows which assets it is made of."""
    (tmp_path / "backgrounds").mkdir()
    (tmp_path / "foregrounds").mkdir()
    for n in range(4):
        Image.new("RGB", (60, 45), (10, 20 * n, 0)).save(tmp_path / "backgrounds" / f"photo_{n}.png")
    for n in range(3):
        cutout = Image.new("RGBA", (40, 30), (0, 60 * n, 200, 0))
        cutout.paste((0, 60 * n, 200, 255), (4, 4, 36, 26 - 2 * n))
        cutout.save(tmp_path / "foregrounds" / f"thing_{n}.png")
    return tmp_path


def made_of(triple: LabeledSample) -> tuple[int, int]:
    assert triple.mask is not None
    background, foreground = triple.image[triple.mask == 0], triple.image[triple.mask == 255]
    assert (background == background[0]).all() and (foreground == foreground[0]).all()
    return int(background[0, 1]) // 20, int(foreground[0, 1]) // 60


def test_further_draws_place_the_same_pair_again(flat_folders: Path) -> None:
    recipe = recipe_of(flat_folders, seed=4)
    plain, resampled = SyntheticDataset(recipe), SyntheticDataset(recipe, resample_placements=True)
    np.testing.assert_array_equal(plain.splits, resampled.splits)
    for position in range(0, len(resampled), 5):
        draws = [resampled.read(position, draw) for draw in range(4)]
        assert_equal(draws[0], plain[position])
        assert_equal(plain.read(position, 3), plain[position])
        assert len({made_of(triple) for triple in draws}) == 1
        assert len({triple.mask.tobytes() for triple in draws if triple.mask is not None}) == 4


def test_splits_follow_the_identities_of_background_and_foreground(flat_folders: Path) -> None:
    dataset = SyntheticDataset(recipe_of(flat_folders))
    train = {made_of(dataset[position]) for position in dataset.positions("train")}
    test = {made_of(dataset[position]) for position in dataset.positions("test")}
    assert train and test
    for side in (0, 1):
        assert not {pair[side] for pair in train} & {pair[side] for pair in test}


def test_too_few_identities_have_no_test_and_a_finding_reports_it(flat_folders: Path) -> None:
    (flat_folders / "foregrounds" / "thing_2.png").unlink()
    dataset = SyntheticDataset(recipe_of(flat_folders))
    assert set(dataset.splits) == {"train", "val", "seen background", "seen foreground", "mixed"}
    assert any(finding.reason == "split" for finding in dataset.synthesizer.findings)


def test_depth_of_a_teacher_is_missing(flat_folders: Path) -> None:
    dataset = SyntheticDataset(recipe_of(flat_folders, depth="composite", depth_teacher="auto"))
    assert not dataset.has_depth and dataset.depth_encoding is None and dataset[0].inverse_depth is None


def test_a_pickled_dataset_holds_no_decoded_assets(asset_folders: Path) -> None:
    dataset = SyntheticDataset(recipe_of(asset_folders), resample_placements=True, limit=20)
    before = len(pickle.dumps(dataset))
    triples = dataset.read_many(range(20), range(20))
    data = pickle.dumps(dataset)
    assert len(data) == before
    for one, other in zip(triples, pickle.loads(data).read_many(range(20), range(20)), strict=True):
        assert_equal(one, other)


def test_a_recipe_that_never_shows_its_object_is_refused(asset_folders: Path) -> None:
    with pytest.raises(QumadeError, match="Invalid scale"):
        SyntheticDataset(recipe_of(asset_folders, scale=(3.0, 3.5), min_visible=1.0))


def test_reading_needs_no_torch() -> None:
    code = "import sys, qumade.data.synthetic, qumade.data.mixture; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
