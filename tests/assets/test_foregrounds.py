from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from qumade.assets.catalog import Foreground
from qumade.assets.foregrounds import catalog_foregrounds
from qumade.assets.label_scheme import label_scheme
from qumade.assets.scan import Finding, scan_foregrounds
from qumade.io.pictures import content_hash
from qumade.recipe import Recipe


def catalog_of(folder: Path, **fields: Any) -> tuple[list[Foreground], list[Finding]]:
    recipe = Recipe(backgrounds=folder / "backgrounds", foregrounds=folder / "foregrounds", **fields)
    scanned, _ = scan_foregrounds(recipe.foregrounds, None, workers=1)
    findings: list[Finding] = []
    return catalog_foregrounds(recipe, scanned, label_scheme(recipe), findings), findings


@pytest.fixture
def reliefs(asset_folders: Path) -> Path:
    """The asset folders with reliefs/ of every cut-out."""
    (asset_folders / "reliefs").mkdir()
    for path in (asset_folders / "foregrounds").iterdir():
        with Image.open(path) as picture:
            codes = np.full(picture.size[::-1], 32768 + 512, np.uint16)
        Image.fromarray(codes).save(asset_folders / "reliefs" / f"{path.stem}.png")
    return asset_folders


def test_cutouts_have_their_settings_from_the_recipe(asset_folders: Path) -> None:
    made, findings = catalog_of(
        asset_folders, labels="labels", label_names="cityscapes",
        scale={"block.png": (0.2, 0.3)}, height_m={"*l*.png": 1.5, "disc.png": 2.0},
        place={"d*": ("road",), "ell.png": ("sidewalk",)},
    )  # fmt: skip
    assert findings == []
    by_name = {foreground.name: foreground for foreground in made}
    assert list(by_name) == [f"{name}.png" for name in ("block", "disc", "ell", "tall", "wedge")]
    assert {n: f.scale for n, f in by_name.items() if f.scale != (0.1, 0.5)} == {"block.png": (0.2, 0.3)}
    assert [f.height_m for f in made] == [1.5, 2.0, 1.5, 1.5, None]
    assert [f.place for f in made] == [0, 1, 2, 0, 0]
    assert all(f.relief_name is None and not f.flip for f in made)


def test_contact_is_the_middle_of_the_lowest_row(asset_folders: Path, alphas: dict[str, np.ndarray]) -> None:
    by_name = {foreground.name: foreground for foreground in catalog_of(asset_folders)[0]}
    assert by_name["block.png"].contact == (32.0, 48.0)
    assert by_name["disc.png"].contact == (32.0, 48.0)
    rows, columns = (np.flatnonzero(alphas["wedge"].any(axis=axis)) for axis in (1, 0))
    lowest = np.flatnonzero(alphas["wedge"][rows[-1]])
    middle = (lowest[0] + lowest[-1] + 1) / 2 - columns[0]
    assert by_name["wedge.png"].contact == (middle, rows[-1] + 1 - rows[0])


def test_flip_adds_mirror_images_after_all_others(asset_folders: Path) -> None:
    plain, _ = catalog_of(asset_folders)
    made, _ = catalog_of(asset_folders, flip=True)
    assert [f.name for f in made] == [f.name for f in plain] * 2
    mirrors = {f.name: f for f in made[len(plain) :]}
    assert all(f.flip for f in mirrors.values())
    for foreground in plain:
        mirror = mirrors[foreground.name]
        assert mirror.identity == foreground.identity
        assert mirror.sha256 == foreground.sha256
        assert mirror.contact == (foreground.width - foreground.contact[0], foreground.contact[1])
        np.testing.assert_array_equal(mirror.silhouette, foreground.silhouette[:, ::-1])
        assert mirror.silhouette.flags.c_contiguous


def test_flip_leaves_out_existing_mirror_images(asset_folders: Path) -> None:
    with Image.open(asset_folders / "foregrounds" / "ell.png") as picture:
        picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(asset_folders / "foregrounds" / "lle.png")
    made, _ = catalog_of(asset_folders, flip=True)
    ell, lle = (next(f for f in made if f.name == name) for name in ("ell.png", "lle.png"))
    assert ell.identity == lle.identity
    assert not {"ell.png", "lle.png"} & {f.name for f in made if f.flip}
    assert len({f.identity for f in made}) == 5


def test_reliefs_are_found_by_stem(reliefs: Path) -> None:
    (reliefs / "reliefs" / "disc.png").unlink()
    made, findings = catalog_of(reliefs, reliefs=reliefs / "reliefs")
    assert findings == []
    assert {f.name: f.relief_name for f in made} == {
        "block.png": "block.png", "disc.png": None, "ell.png": "ell.png", "tall.png": "tall.png",
        "wedge.png": "wedge.png",
    }  # fmt: skip
    assert made[0].relief_sha256 == content_hash(reliefs / "reliefs" / "block.png")


def test_an_unusable_relief_is_a_finding_and_the_object_is_flat(reliefs: Path) -> None:
    Image.fromarray(np.full((10, 10), 32768, np.uint16)).save(reliefs / "reliefs" / "disc.png")
    (reliefs / "reliefs" / "ell.png").write_bytes(b"torn")
    made, findings = catalog_of(reliefs, reliefs=reliefs / "reliefs")
    assert [f.name for f in made if f.relief_name is None] == ["disc.png", "ell.png"]
    assert [(f.severity, f.reason, Path(f.path).name) for f in findings] == [
        ("error", "relief", "disc.png"),
        ("error", "relief", "ell.png"),
    ]
    assert "10x10" in findings[0].detail and "the object is drawn flat" in findings[0].detail
