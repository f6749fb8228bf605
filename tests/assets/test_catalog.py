import pickle
from collections.abc import Callable
from dataclasses import FrozenInstanceError, fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from qumade.assets.catalog import SILHOUETTE_PX, Background, Catalog
from qumade.assets.cutouts import silhouette
from qumade.recipe import Recipe
from qumade.synth.build_catalog import build_catalog

MakeRecipe = Callable[..., Recipe]


def same(one: Any, other: Any) -> bool:
    """Whether two catalogs, or parts of them, are equal, including NaN and arrays."""
    if is_dataclass(one):
        return type(one) is type(other) and all(same(getattr(one, f.name), getattr(other, f.name)) for f in fields(one))
    if isinstance(one, tuple):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, np.ndarray):
        return one.dtype == other.dtype and np.array_equal(one, other, equal_nan=True)
    return bool(one == other)


@pytest.fixture
def catalog(asset_folders: Path, make_recipe: MakeRecipe) -> Catalog:
    """A catalog of photos with label maps and affine depth, which has every kind of table."""
    for folder in ("depths", "labels"):
        (asset_folders / folder).mkdir()
    for number, (width, height) in enumerate([(60, 45), (80, 50), (45, 60)]):
        rows = np.mgrid[:height, :width][0]
        np.save(asset_folders / "depths" / f"photo_{number}.npy", (rows / height).astype(np.float32) ** 2)
        Image.fromarray(np.where(rows < height // 2, 10, 0).astype(np.uint8)).save(
            asset_folders / "labels" / f"photo_{number}.png"
        )
    folders = {name: asset_folders / name for name in ("backgrounds", "foregrounds", "depths", "labels")}
    return build_catalog(make_recipe(**folders, depths_kind="affine", policy_weights={"semantic": 1, "random": 1}))[0]


def test_silhouettes_have_the_catalog_s_size(catalog: Catalog, alphas: dict[str, np.ndarray]) -> None:
    assert silhouette(alphas["wedge"]).shape == (SILHOUETTE_PX, SILHOUETTE_PX)
    for foreground in catalog.foregrounds:
        assert foreground.silhouette.shape == (SILHOUETTE_PX, SILHOUETTE_PX)
        assert foreground.silhouette.dtype == np.float32


def test_catalog_survives_pickling(catalog: Catalog) -> None:
    assert all(b.standing is not None and b.coarse_depth is not None for b in catalog.backgrounds)
    again = pickle.loads(pickle.dumps(catalog))
    assert same(catalog, again)
    assert not same(catalog.backgrounds[0], again.backgrounds[1])


def test_catalog_contains_no_pixels(tmp_path: Path, make_recipe: MakeRecipe) -> None:
    """A photo and a cut-out of several megabytes take kilobytes in a catalog."""
    rng = np.random.default_rng(0)
    for folder, channels in (("backgrounds", 3), ("foregrounds", 4)):
        (tmp_path / folder).mkdir()
        pixels = rng.integers(0, 256, (900, 1200, channels), np.uint8)
        pixels[..., 3:] = np.where(np.arange(1200) < 1000, 255, 0)[None, :, None]
        Image.fromarray(pixels).save(tmp_path / folder / "large.png", compress_level=0)
    recipe = make_recipe(backgrounds=tmp_path / "backgrounds", foregrounds=tmp_path / "foregrounds")
    catalog, _ = build_catalog(recipe)
    assert len(pickle.dumps(catalog)) < 10_000


def test_catalog_parts_are_immutable(catalog: Catalog) -> None:
    for part, field in ((catalog, "depth_kind"), (catalog.backgrounds[0], "width"), (catalog.foregrounds[0], "flip")):
        with pytest.raises(FrozenInstanceError):
            setattr(part, field, None)


def test_defaults_of_a_background() -> None:
    background = Background("a.png", "", 8, 6, identity=0, split=None, plane=None)
    assert background.horizon_level == 0  # the level at infinity, for all kinds except affine depth
    unknown = ("coarse_depth", "coarse_occluder", "standing", "camera_height_m", "depth_name", "labels_name")
    assert [getattr(background, name) for name in unknown] == [None] * 6
