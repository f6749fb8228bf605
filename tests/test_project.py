import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from qumade.data.synthetic import SyntheticDataset
from qumade.errors import QumadeError, RunError
from qumade.project import Project, start_project
from qumade.recipe import load_recipe
from qumade.teachers.cutout import CutoutTeacher


@pytest.fixture
def folders(asset_folders: Path) -> tuple[Path, Path]:
    """Photos, and pictures of objects: cut-outs, one on white paper, and one in front of a street."""
    photos, objects = asset_folders / "backgrounds", asset_folders / "foregrounds"
    with Image.open(objects / "disc.png") as cutout:
        paper = Image.new("RGBA", (cutout.width + 40, cutout.height + 40), "white")
        colour = Image.new("RGBA", cutout.size, (200, 30, 40))
        paper.paste(colour, (20, 20), cutout.getchannel("A"))
    paper.convert("RGB").save(objects / "paper.png")
    noise = np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8)
    Image.fromarray(noise).resize((80, 60), Image.Resampling.NEAREST).save(objects / "street.png")
    return photos, objects


def start(folders: tuple[Path | str, Path | str], root: Path) -> Project:
    return start_project(*folders, root, cutout_teacher=None, depth_teacher=None, label_teacher=None, progress=False)


def test_a_project_of_two_folders(folders: tuple[Path, Path], tmp_path: Path) -> None:
    project = start(folders, tmp_path / "project")
    recipe = load_recipe(project.recipe)
    assert (recipe.backgrounds, recipe.foregrounds) == (folders[0], project.root / "cutouts")
    names = {path.name for path in recipe.foregrounds.glob("*.png")}
    assert "paper.png" in names and "disc.png" in names and "street.png" not in names
    with Image.open(recipe.foregrounds / "paper.png") as cutout:
        alpha = np.asarray(cutout.getchannel("A"))
    assert alpha[0, 0] == 0 and alpha[alpha.shape[0] // 2, alpha.shape[1] // 2] == 255
    text = project.page.read_text()
    parts = ("plain background", "street.png", "No depth maps", "No label", "Few photos")
    for note, part in zip(project.notes, parts, strict=True):
        assert part in note
    splits = SyntheticDataset(recipe).splits.tolist()
    assert min(splits.count("val"), splits.count("test")) >= 50
    assert "flat-ground prior" in text and "street.png" in text and "qumade generate --recipe" in text
    assert Image.open(project.sheet).width > 300
    assert all(str(project.root) in command for command in project.next_commands)


def test_the_same_call_brings_a_project_up_to_date(folders: tuple[Path, Path], tmp_path: Path) -> None:
    first = start(folders, tmp_path / "project")
    cutouts = first.root / "cutouts"
    improved = (cutouts / "disc.png").read_bytes()
    shutil.copy(cutouts / "disc.png", cutouts / "paper.png")  # by hand
    (folders[1] / "wedge.png").unlink()
    again = start(folders, tmp_path / "project")
    assert (cutouts / "paper.png").read_bytes() == improved and not (cutouts / "wedge.png").exists()
    assert again.notes[0] == first.notes[0].replace(" of 7 ", f" of {len(list(folders[1].iterdir()))} ")
    shutil.copy(folders[1] / "disc.png", folders[1] / "paper.png")  # another picture of this name
    start(folders, tmp_path / "project")
    assert json.loads((cutouts / ".sources.json").read_text())["paper.png"][1] == "alpha"
    (cutouts / ".sources.json").write_text("{")
    assert start(folders, tmp_path / "project").recipe.is_file()


def test_a_network_cuts_out_what_colour_did_before_and_nobody_improved(
    folders: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def half(rgb: np.ndarray) -> np.ndarray:
        alpha = np.zeros(rgb.shape[:2], np.uint8)
        alpha[:, : alpha.shape[1] // 2] = 255
        return alpha

    wanted: list[object] = []

    def load(model: object, download: bool) -> CutoutTeacher:
        wanted.append(model)
        if download:
            return CutoutTeacher("halves", half)
        raise RunError("Invalid model: not on disk")

    monkeypatch.setattr("qumade.teachers.cutout.cutout_teacher", load)
    shutil.copy(folders[1] / "paper.png", folders[1] / "mine.png")
    root, cutouts = tmp_path / "project", tmp_path / "project" / "cutouts"
    options = {"depth_teacher": None, "label_teacher": None, "progress": False}
    project = start_project(*folders, root, **options)
    assert any("No network cuts out objects. Invalid model: not on disk" in note for note in project.notes)
    assert any("2 of 8 pictures had no alpha" in note and "without a network" in note for note in project.notes)
    improved = (cutouts / "disc.png").read_bytes()
    (cutouts / "mine.png").write_bytes(improved)  # by hand
    project = start_project(*folders, root, download=True, **options)
    with Image.open(cutouts / "paper.png") as cutout:
        np.testing.assert_array_equal(np.asarray(cutout)[..., 3], half(np.asarray(cutout)))
    assert (cutouts / "mine.png").read_bytes() == improved
    assert any("2 of 8 pictures had no alpha" in note and "by the network halves" in note for note in project.notes)
    assert (cutouts / "street.png").is_file() and not any("No network" in note for note in project.notes)
    before = (cutouts / "paper.png").stat().st_mtime_ns
    start_project(*folders, root, **options)
    assert (cutouts / "paper.png").stat().st_mtime_ns == before and wanted == ["auto"] * 2


def test_a_network_that_finds_nothing_is_not_believed(
    folders: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nothing = CutoutTeacher("blind", lambda rgb: np.zeros(rgb.shape[:2], np.uint8))
    monkeypatch.setattr("qumade.teachers.cutout.cutout_teacher", lambda model, download: nothing)
    project = start_project(*folders, tmp_path / "project", depth_teacher=None, label_teacher=None, progress=False)
    assert any("1 of 7 pictures had no alpha" in note and "plain background" in note for note in project.notes)
    assert any("street.png" in note for note in project.notes)


def test_a_teacher_that_is_missing_is_said_with_the_command_that_mends_it(
    folders: tuple[Path, Path], tmp_path: Path
) -> None:
    options = {"depth_teacher": tmp_path / "gone.onnx", "label_teacher": "some/network", "progress": False}
    project = start_project(*folders, tmp_path / "project", **options)
    (note,) = [note for note in project.notes if note.startswith("No depth maps: ")]
    assert "gone.onnx" in note and "flat-ground prior" in note
    (note,) = [note for note in project.notes if note.startswith("No label maps: ")]
    assert "got some/network, which is not on disk; fetch it with --download" in note
    assert load_recipe(project.recipe).depths is None


def test_folders_that_do_not_fit_are_refused(folders: tuple[Path, Path], tmp_path: Path) -> None:
    photos, objects = folders
    with pytest.raises(QumadeError, match="the folder of the photos"):
        start((photos, photos), tmp_path / "project")
    with pytest.raises(QumadeError, match="which holds something else"):
        start(folders, photos)
    for path in objects.iterdir():
        if path.name != "street.png":
            path.unlink()
    with pytest.raises(QumadeError, match=r"got no cut-out from .*street\.png: its edge has several colours"):
        start(folders, tmp_path / "project")


def test_folders_at_urls(folders: tuple[Path, Path], tmp_path: Path, uploaded: Callable[[Path], str]) -> None:
    urls = uploaded(folders[0]), uploaded(folders[1])
    project = start(urls, tmp_path / "project")
    recipe = load_recipe(project.recipe)
    assert (recipe.backgrounds, recipe.foregrounds) == (urls[0], project.root / "cutouts")
    assert any("street.png" in note and urls[1] in note for note in project.notes)
    assert not any("/assets/folders/" in note for note in project.notes)
    with pytest.raises(QumadeError, match=rf"^Invalid OBJECTS: got {urls[0]}, the folder of the photos"):
        start((urls[0], urls[0]), tmp_path / "other")
