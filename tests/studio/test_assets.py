import io
import shutil

import numpy as np
import pytest
from PIL import Image

from qumade.assets.classes import cutout_names
from qumade.assets.scan import Finding
from qumade.errors import QumadeError
from qumade.geometry import flat_ground_prior
from qumade.recipe import load_recipe
from qumade.studio.assets import (
    add_file,
    asset_name,
    asset_paths,
    by_file,
    cutout_picture,
    ground_pictures,
    height_px,
    label_picture,
    photo_ground,
    photo_picture,
    staged,
)


@pytest.fixture(scope="module")
def recipe(world):
    return load_recipe(world / "samples" / "recipe.yaml")


def test_cut_outs_in_sub_folders_have_the_names_that_the_recipe_gives_them(recipe, tmp_path):
    names = [asset_name(recipe, path) for path in asset_paths(recipe, "foregrounds")]
    assert names == cutout_names(recipe.foregrounds) == sorted(path.name for path in recipe.foregrounds.iterdir())
    classes = recipe.model_copy(update={"foregrounds": tmp_path})
    for part in ("car", "van"):
        (tmp_path / part).mkdir()
        shutil.copy(sorted(recipe.foregrounds.iterdir())[0], tmp_path / part / "a.png")
    paths = asset_paths(classes, "foregrounds")
    assert [asset_name(classes, path) for path in paths] == cutout_names(tmp_path) == ["car/a.png", "van/a.png"]
    assert [asset_name(classes, path) for path in asset_paths(classes, "backgrounds")] == [
        path.name for path in sorted(recipe.backgrounds.iterdir())
    ]
    cut = cutout_picture(classes, paths[1], 64)
    assert np.array_equal(cut, cutout_picture(recipe, sorted(recipe.foregrounds.iterdir())[0], 64))


def test_findings_by_file_have_errors_first():
    found = [Finding(severity, "background", "/a", severity, "") for severity in ("info", "error", "warning")]
    assert [one.severity for one in by_file([*found, found[0]])["/a"]] == ["error", "warning", "info", "info"]


def test_the_maps_of_a_photo(recipe):
    path = sorted(recipe.backgrounds.iterdir())[0]
    ground = photo_ground(recipe, path)
    pictures = ground_pictures(recipe, ground)
    titles = ["Photo", "Labels", "Inverse depth", "Fit of the ground plane", "Where objects may stand"]
    assert [title.partition(":")[0] for title in pictures] == titles
    assert {picture.shape for picture in pictures.values()} == {pictures["Photo"].shape}
    assert pictures["Photo"].shape[1] == 720 or pictures["Photo"].shape[0] == 540
    labels, legend = label_picture(recipe, ground.row)
    assert ("road", (128, 64, 128)) in legend
    assert (labels == (128, 64, 128)).all(axis=2).mean() > 0.05
    assert ground.plane is not None and ground.camera_height_m == 1.5


def test_what_is_no_photo_is_named(recipe, tmp_path):
    torn = tmp_path / "torn.jpg"
    torn.write_bytes(b"\xff\xd8\xff no")
    with pytest.raises(QumadeError, match=r"Invalid background: .*torn.jpg"):
        photo_ground(recipe, torn)


@pytest.mark.parametrize(("v", "expected"), [(100, 30), (60, 10), (40, None), (10, None)])
def test_the_size_at_a_point_grows_from_the_horizon_in_proportion(v, expected):
    plane = flat_ground_prior(40, 100)
    assert height_px(plane, (50, v), 0.5) == expected


def test_pictures_are_small_and_cut_outs_keep_alpha(recipe):
    assert max(photo_picture(sorted(recipe.backgrounds.iterdir())[0], 64).shape) == 64
    cut = cutout_picture(recipe, sorted(recipe.foregrounds.iterdir())[0], 64)
    assert max(cut.shape) == 64 and cut.shape[2] == 4 and cut[..., 3].min() < 255


def png() -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(buffer, "png")
    return buffer.getvalue()


@pytest.mark.parametrize(
    "name", ["../up.png", "/etc/x.png", ".hidden.png", "x.exe", "x.svg", "a/b.png", "x\x00.png", ""]
)
def test_hostile_names_are_refused(tmp_path, name):
    with pytest.raises(QumadeError, match="Invalid file name"):
        staged(tmp_path / "uploads", name, png())
    assert not (tmp_path / "uploads").exists()


def test_what_is_no_picture_is_not_kept(tmp_path):
    for data in (b"<svg onload=alert(1)>", b"", png()[:40]):
        with pytest.raises(QumadeError, match="Invalid picture"):
            staged(tmp_path / "uploads", "x.png", data)
    assert list((tmp_path / "uploads").iterdir()) == []


def test_an_upload_is_copied_only_then_and_never_over_another(tmp_path):
    (tmp_path / "photos").mkdir()
    upload = staged(tmp_path / "uploads", "<b>x.png", png())
    assert list((tmp_path / "photos").iterdir()) == []
    path = add_file(upload, tmp_path / "photos")
    assert path.read_bytes() == png() and not upload.exists()
    with pytest.raises(QumadeError, match="has already"):
        add_file(staged(tmp_path / "uploads", "<b>x.png", png()), tmp_path / "photos")
