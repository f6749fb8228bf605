import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from qumade.errors import QumadeError
from qumade.project import Project, start_project
from qumade.recipe import load_recipe


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


def start(folders: tuple[Path, Path], root: Path) -> Project:
    return start_project(*folders, root, depth_teacher=None, progress=False)


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
    for note, part in zip(project.notes, ("plain background", "street.png", "No depth maps", "No label"), strict=True):
        assert part in note
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


def test_a_teacher_that_is_missing_is_said_with_the_command_that_mends_it(
    folders: tuple[Path, Path], tmp_path: Path
) -> None:
    project = start_project(*folders, tmp_path / "project", depth_teacher=tmp_path / "gone.onnx", progress=False)
    (note,) = [note for note in project.notes if note.startswith("No depth maps (")]
    assert "gone.onnx" in note and "flat-ground prior" in note and "--download" in note
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
