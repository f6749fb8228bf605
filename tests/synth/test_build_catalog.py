import shutil

import numpy as np
import pytest
from PIL import Image, ImageOps

from qumade.errors import QumadeError
from qumade.geometry import flat_ground_prior
from qumade.recipe import Recipe
from qumade.synth.build_catalog import build_catalog

SIZES = {"photo_0": (60, 45), "photo_1": (80, 50), "photo_2": (45, 60)}


@pytest.fixture
def make(asset_folders):
    """The catalog and findings of a recipe over the asset folders."""

    def build(strict=False, **fields):
        folders = {name: asset_folders / name for name in ("backgrounds", "foregrounds")}
        return build_catalog(Recipe(**{**folders, **fields}), strict=strict)

    return build


@pytest.fixture
def depths(asset_folders):
    """A folder of one .npy of inverse depth for each background, 1 at the bottom and 0.1 at the top."""
    folder = asset_folders / "depths"
    folder.mkdir()
    for stem, (width, height) in SIZES.items():
        np.save(folder / f"{stem}.npy", np.linspace(0.1, 1, height, dtype=np.float32)[:, None] * np.ones(width))
    return folder


def errors(findings):
    return [finding for finding in findings if finding.severity == "error"]


def test_assets_are_listed_by_name_with_their_sizes(make):
    catalog, findings = make()
    assert {b.name.removesuffix(".png"): (b.width, b.height) for b in catalog.backgrounds} == SIZES
    assert [f.name for f in catalog.foregrounds] == ["block.png", "disc.png", "ell.png", "tall.png", "wedge.png"]
    assert [(f.width, f.height) for f in catalog.foregrounds[:2]] == [(64, 48), (64, 48)]
    assert catalog.foregrounds[0].contact == (32.0, 48.0) and (catalog.foregrounds[0].silhouette == 1).all()
    assert not errors(findings) and not any(f.flip for f in catalog.foregrounds)
    assert len({b.identity for b in catalog.backgrounds}) == 3 and len({f.identity for f in catalog.foregrounds}) == 5


def test_without_depth_maps_the_ground_is_the_flat_prior(make):
    catalog, _ = make(horizon=0.25)
    assert catalog.depth_kind == "scaled"
    for background in catalog.backgrounds:
        assert background.plane == flat_ground_prior(background.height * 0.25, background.height)
        assert background.coarse_depth is None
    catalog, _ = make(horizon={"photo_1*": 0.3})
    rows = [background.plane.horizon_row(0.0) / background.height for background in catalog.backgrounds]
    assert rows == pytest.approx([0.45, 0.3, 0.45])


def test_damaged_files_are_skipped_and_named(make, asset_folders, damaged_folder, damaged):
    (asset_folders / "backgrounds" / "torn.jpg").write_bytes(b"\xff\xd8\xff\xe0")
    catalog, findings = make(foregrounds=damaged_folder)
    assert [f.name for f in catalog.foregrounds] == ["good.png"]
    assert len(catalog.backgrounds) == 3
    found = {(finding.kind, finding.path.rpartition("/")[2]): finding.reason for finding in errors(findings)}
    assert found.pop(("background", "torn.jpg"))
    assert {name.replace("\\n", "\n"): reason for (_, name), reason in found.items()} == damaged


def test_strict_raises_for_the_first_error(make, asset_folders):
    (asset_folders / "backgrounds" / "zero.png").touch()
    (asset_folders / "foregrounds" / "zero.png").touch()
    with pytest.raises(QumadeError, match=r"^Invalid background: .*backgrounds/zero\.png: got 0 bytes"):
        make(strict=True)
    (asset_folders / "backgrounds" / "zero.png").unlink()
    with pytest.raises(QumadeError, match=r"foregrounds/zero\.png"):
        make(strict=True)
    (asset_folders / "foregrounds" / "zero.png").unlink()
    make(strict=True)


def test_strict_raises_for_a_relief(make, asset_folders):
    (asset_folders / "reliefs").mkdir()
    (asset_folders / "reliefs" / "disc.png").write_bytes(b"torn")
    folder = {"reliefs": asset_folders / "reliefs"}
    catalog, findings = make(**folder)
    assert len(catalog.foregrounds) == 5 and [finding.kind for finding in errors(findings)] == ["relief"]
    with pytest.raises(QumadeError, match=r"^Invalid relief: .*reliefs/disc\.png"):
        make(strict=True, **folder)


@pytest.mark.parametrize("folder", ["backgrounds", "foregrounds"])
def test_a_folder_without_usable_assets_is_rejected_with_the_reason(make, asset_folders, folder):
    for path in (asset_folders / folder).iterdir():
        path.write_bytes(b"")
    with pytest.raises(QumadeError) as error:
        make()
    assert f"no usable image in {asset_folders / folder}" in str(error.value)
    first = sorted((asset_folders / folder).iterdir())[0]
    assert str(first) in str(error.value)
    shutil.rmtree(asset_folders / folder)
    with pytest.raises(QumadeError, match=folder):
        make()


def test_flip_adds_only_missing_mirror_images(make, asset_folders):
    with Image.open(asset_folders / "foregrounds" / "ell.png") as picture:
        ImageOps.mirror(picture).save(asset_folders / "foregrounds" / "ell_left.png")
    plain, _ = make()
    catalog, _ = make(flip=True)
    assert len(plain.foregrounds) == 6
    assert [f.name for f in catalog.foregrounds] == [f.name for f in plain.foregrounds] + [
        "block.png", "disc.png", "tall.png", "wedge.png",
    ]  # fmt: skip
    assert [f.flip for f in catalog.foregrounds] == [False] * 6 + [True] * 4
    by_name = {f.name: f for f in catalog.foregrounds[:6]}
    assert by_name["ell.png"].identity == by_name["ell_left.png"].identity
    assert by_name["wedge.png"].contact[0] != by_name["wedge.png"].width / 2
    for mirrored in catalog.foregrounds[6:]:
        original = by_name[mirrored.name]
        assert (mirrored.identity, mirrored.split, mirrored.scale) == (
            original.identity, original.split, original.scale,
        )  # fmt: skip
        assert mirrored.contact == (original.width - original.contact[0], original.contact[1])
        np.testing.assert_array_equal(mirrored.silhouette, original.silhouette[:, ::-1])


def test_scale_by_file_and_pattern(make):
    catalog, _ = make(scale={"disc.png": (0.05, 0.06), "*l*": (0.3, 0.4), "default": (0.1, 0.2)})
    assert {f.name: f.scale for f in catalog.foregrounds} == {
        "block.png": (0.3, 0.4),
        "disc.png": (0.05, 0.06),
        "ell.png": (0.3, 0.4),
        "tall.png": (0.3, 0.4),
        "wedge.png": (0.1, 0.2),
    }


@pytest.mark.parametrize(
    ("scale", "said"),
    [
        ({"disk.png": (0.1, 0.2)}, r"got 'disk\.png'.*did you mean 'disc\.png'"),
        ({"truck_*": (0.1, 0.2)}, r"got 'truck_\*', which matches no image in .*foregrounds"),
        (
            {"d*": (0.1, 0.2), "disc.png": (0.1, 0.2)},
            r"got 'd\*', which matches no image .* that 'disc\.png' does not",
        ),
    ],
)
def test_a_scale_that_matches_no_cut_out_is_rejected(make, scale, said):
    with pytest.raises(QumadeError, match=said):
        make(scale=scale)


def test_a_damaged_cut_out_may_be_named(make, asset_folders):
    (asset_folders / "foregrounds" / "disc.png").write_bytes(b"")
    catalog, findings = make(scale={"disc.png": (0.05, 0.06), "default": (0.1, 0.2)})
    assert {f.scale for f in catalog.foregrounds} == {(0.1, 0.2)}
    assert [finding.path.rpartition("/")[2] for finding in errors(findings)] == ["disc.png"]


def test_metric_png_depth(make, depths):
    for path in depths.iterdir():
        metres = 256 / np.load(path)
        Image.fromarray(np.rint(metres).astype(np.uint16)).save(path.with_suffix(".png"))
        path.unlink()
    catalog, findings = make(depths=depths)
    assert catalog.depth_kind == "metric" and not errors(findings)
    for background in catalog.backgrounds:
        assert background.depth_name == background.name and background.plane is None
        height = background.coarse_depth.shape[0]
        np.testing.assert_allclose(background.coarse_depth[:, 0], np.linspace(0.1, 1, height), rtol=0.01)


@pytest.mark.parametrize(("kind", "top"), [("metric", 0.1), ("scaled", 0.1), ("affine", 0.0)])
def test_npy_depth_has_the_kind_of_the_recipe(make, depths, kind, top):
    catalog, _ = make(depths=depths, depths_kind=kind)
    assert catalog.depth_kind == kind
    assert catalog.backgrounds[0].coarse_depth[0, 0] == pytest.approx(top)
    assert np.isnan(catalog.backgrounds[0].horizon_level) == (kind == "affine")


def test_backgrounds_without_a_usable_depth_map_are_left_out_by_name(make, depths):
    (depths / "photo_0.npy").unlink()
    np.save(depths / "photo_2.npy", np.ones((9, 9)))
    catalog, findings = make(depths=depths)
    assert [background.name for background in catalog.backgrounds] == ["photo_1.png"]
    first, second = errors(findings)
    assert "photo_0.png" in first.path and first.reason == "no-depth"
    assert "photo_2.png" in second.path and "photo_2.npy" in second.detail and "9x9" in second.detail
    with pytest.raises(QumadeError, match=r"photo_0\.png"):
        make(strict=True, depths=depths)
    (depths / "photo_1.npy").unlink()
    with pytest.raises(QumadeError, match=r"no usable image .*photo_0\.png"):
        make(depths=depths)


def test_unknown_depth_needs_an_encoding_that_stores_it(make, depths):
    known = np.load(depths / "photo_1.npy")
    known[0, 0] = np.nan
    np.save(depths / "photo_1.npy", known)
    for fields in ({"depths_kind": "metric"}, {"depths_kind": "scaled", "encoding": "lossless"}):
        catalog, findings = make(depths=depths, **fields)
        assert [b.name for b in catalog.backgrounds] == ["photo_0.png", "photo_2.png"]
        (error,) = errors(findings)
        assert error.path.endswith("photo_1.png") and "unknown pixels" in error.detail
        with pytest.raises(QumadeError, match=r"photo_1\.png"):
            make(depths=depths, strict=True, **fields)
    catalog, _ = make(depths=depths, depths_kind="metric", encoding="lossless")
    assert len(catalog.backgrounds) == 3


def test_splits_are_by_identity(make, asset_folders):
    with Image.open(asset_folders / "foregrounds" / "wedge.png") as picture:
        ImageOps.mirror(picture).save(asset_folders / "foregrounds" / "wedge_left.png")
    shutil.copy(asset_folders / "backgrounds" / "photo_0.png", asset_folders / "backgrounds" / "photo_9.png")
    for seed in range(6):
        catalog, findings = make(seed=seed, flip=True)
        for assets in (catalog.backgrounds, catalog.foregrounds):
            part_of = {}
            for asset in assets:
                assert part_of.setdefault(asset.identity, asset.split) == asset.split
            assert set(part_of.values()) == {"train", "val", "test"}
        assert not any(finding.reason == "split" for finding in findings)


def test_a_folder_of_folders_names_them(asset_folders):
    with pytest.raises(
        QumadeError, match=r"no usable image in \S+, which holds the folders backgrounds, foregrounds; must"
    ):
        build_catalog(Recipe(backgrounds=asset_folders, foregrounds=asset_folders / "foregrounds"))


def test_swapped_and_equal_folders_are_told(asset_folders):
    photos, cutouts = asset_folders / "backgrounds", asset_folders / "foregrounds"
    with pytest.raises(QumadeError, match=r"no usable image .* are backgrounds and foregrounds swapped\?"):
        build_catalog(Recipe(backgrounds=cutouts, foregrounds=photos))
    with pytest.raises(QumadeError, match=r"got .*backgrounds, the folder of the backgrounds"):
        build_catalog(Recipe(backgrounds=photos, foregrounds=photos))
    copy = shutil.copytree(cutouts, asset_folders / "copy")
    with pytest.raises(QumadeError, match=r"got cut-outs in .*copy, all of which are foregrounds; must be photos"):
        build_catalog(Recipe(backgrounds=copy, foregrounds=cutouts))
    for path in cutouts.iterdir():
        path.unlink()
    Image.new("RGB", (40, 40)).save(cutouts / "no_alpha.png")
    with pytest.raises(QumadeError) as raised:
        build_catalog(Recipe(backgrounds=photos, foregrounds=cutouts))
    assert "swapped?" not in str(raised.value)


def test_too_few_identities_leave_splits_empty_with_advice(make, asset_folders):
    (asset_folders / "backgrounds" / "photo_0.png").unlink()
    catalog, findings = make()
    assert {background.split for background in catalog.backgrounds} == {"train", "val"}
    assert {foreground.split for foreground in catalog.foregrounds} == {"train", "val", "test"}
    (warning,) = [finding for finding in findings if finding.reason == "split"]
    assert warning.severity == "warning"
    assert warning.detail.startswith("has 2 different backgrounds for 3 splits, none for test: add 1 or more")
    catalog, findings = make(split=(0.5, 0.0, 0.5))
    assert {background.split for background in catalog.backgrounds} == {"train", "test"}


def test_the_same_assets_give_the_same_catalog(make):
    def facts(catalog):
        assets = (*catalog.backgrounds, *catalog.foregrounds)
        return [(a.name, a.sha256, a.identity, a.split, a.width, a.height) for a in assets]

    assert facts(make()[0]) == facts(make()[0])


def test_excluded_files_are_left_out_with_their_findings(asset_folders):
    (asset_folders / "backgrounds" / "torn.jpg").write_bytes(b"\xff\xd8\xff no")
    fields = {"backgrounds": asset_folders / "backgrounds", "foregrounds": asset_folders / "foregrounds"}
    everything, findings = build_catalog(Recipe(**fields))
    assert any(finding.path.endswith("torn.jpg") for finding in findings)
    names = [background.name for background in everything.backgrounds]
    cut = everything.foregrounds[0].name
    catalog, findings = build_catalog(Recipe(**fields, exclude=(names[0], "torn*", cut)))
    assert [background.name for background in catalog.backgrounds] == names[1:]
    assert [f.name for f in catalog.foregrounds] == [f.name for f in everything.foregrounds if f.name != cut]
    assert not any("torn" in finding.path for finding in findings)


def test_an_exclusion_of_nothing_is_refused(asset_folders):
    recipe = Recipe(
        backgrounds=asset_folders / "backgrounds", foregrounds=asset_folders / "foregrounds", exclude=("gone.png",)
    )
    with pytest.raises(QumadeError, match=r"Invalid exclude: got 'gone.png'; must match a picture in .*backgrounds or"):
        build_catalog(recipe)


def test_premultiplied_cut_outs_are_named_and_divided_on_request(asset_folders):
    v, u = np.mgrid[:64, :64] - 31.5
    alpha = np.clip(255 * (28 - np.hypot(u, v)) / 8, 0, 255).astype(np.uint8)
    dark = np.rint(200 * (alpha[..., None] / 255) * np.ones(3)).astype(np.uint8)
    Image.fromarray(np.dstack([dark, alpha])).save(asset_folders / "foregrounds" / "dark.png")
    fields = {"backgrounds": asset_folders / "backgrounds", "foregrounds": asset_folders / "foregrounds"}

    def named(recipe):
        _, findings = build_catalog(recipe)
        return [found.path.rpartition("/")[2] for found in findings if found.reason == "premultiplied"]

    assert named(Recipe(**fields)) == ["dark.png"]
    assert named(Recipe(**fields, premultiplied=("dark*",))) == []
    with pytest.raises(QumadeError, match=r"Invalid premultiplied: got 'gone\.png'; must match a usable cut-out in"):
        build_catalog(Recipe(**fields, premultiplied=("gone.png",)))
