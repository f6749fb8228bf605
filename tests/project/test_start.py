import json
import shlex
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fixtures.project import start_without_networks
from qumade.assets.classes import class_names, cutout_names
from qumade.data.synthetic import SyntheticDataset
from qumade.errors import QumadeError
from qumade.io.files import only_one
from qumade.project.start import start_project
from qumade.recipe import load_recipe


def test_a_project_of_two_folders(project_folders: tuple[Path, Path], tmp_path: Path) -> None:
    project = start_without_networks(project_folders, tmp_path / "project")
    recipe = load_recipe(project.recipe)
    assert (recipe.backgrounds, recipe.foregrounds) == (project_folders[0], project.root / "cutouts")
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


def test_the_same_call_brings_a_project_up_to_date(project_folders: tuple[Path, Path], tmp_path: Path) -> None:
    first = start_without_networks(project_folders, tmp_path / "project")
    cutouts = first.root / "cutouts"
    before = (cutouts / "paper.png").read_bytes()
    (project_folders[1] / "wedge.png").unlink()
    again = start_without_networks(project_folders, tmp_path / "project")
    assert (cutouts / "paper.png").read_bytes() == before and not (cutouts / "wedge.png").exists()
    assert again.notes[0] == first.notes[0].replace(" of 7 ", f" of {len(list(project_folders[1].iterdir()))} ")
    assert not any("by hand" in note for note in again.notes)
    shutil.copy(project_folders[1] / "disc.png", project_folders[1] / "paper.png")  # another picture of this name
    start_without_networks(project_folders, tmp_path / "project")
    assert (cutouts / "paper.png").read_bytes() == (cutouts / "disc.png").read_bytes() != before
    assert json.loads((cutouts / ".sources.json").read_text())["paper.png"][1] == "alpha"


def test_an_edited_recipe_stays_and_the_difference_is_said(project_folders: tuple[Path, Path], tmp_path: Path) -> None:
    first = start_without_networks(project_folders, tmp_path / "my project")
    made, sheet = first.recipe.read_bytes(), first.sheet.read_bytes()
    beside = first.root / "recipe.new.yaml"
    edited = made.replace(b"seed: 0", b"seed: 7")
    assert edited != made
    first.recipe.write_bytes(edited)
    again = start_without_networks(project_folders, tmp_path / "my project")
    assert first.recipe.read_bytes() == edited and beside.read_bytes() == made
    (note,) = [note for note in again.notes if "recipe.new.yaml" in note]
    assert "seed is 7 there and 0 here" in note
    diff = shlex.split(note.rpartition("differences: ")[2])
    shown = subprocess.run(diff, capture_output=True, text=True, check=False).stdout
    assert [line for line in shown.splitlines() if line[0] in "<>"] == ["< seed: 7", "> seed: 0"]
    assert again.sheet.read_bytes() != sheet, "the samples are those of the recipe that holds"
    beside.replace(first.recipe)  # a person takes it over: nobody has edited it
    (project_folders[1] / "wedge.png").unlink()
    third = start_without_networks(project_folders, tmp_path / "my project")
    assert not beside.exists() and not any("recipe.new.yaml" in note for note in third.notes)


def test_a_recipe_that_nobody_edited_follows_the_folders(project_folders: tuple[Path, Path], tmp_path: Path) -> None:
    first = start_without_networks(project_folders, tmp_path / "project")
    few = load_recipe(first.recipe).per_pair
    for number in range(30):  # more photos: each pair makes fewer samples
        image = np.random.default_rng(number).integers(0, 256, (60, 80, 3), np.uint8)
        Image.fromarray(image).save(project_folders[0] / f"more{number}.png")
    again = start_without_networks(project_folders, tmp_path / "project")
    assert load_recipe(again.recipe).per_pair < few and not (again.root / "recipe.new.yaml").exists()
    text = again.recipe.read_text()
    again.recipe.write_text(f"# my notes\n{text}")  # says the same
    third = start_without_networks(project_folders, tmp_path / "project")
    assert third.recipe.read_text().startswith("# my notes") and not (again.root / "recipe.new.yaml").exists()
    again.recipe.write_text("seed: [")
    with pytest.raises(QumadeError, match=r"recipe\.yaml"):
        start_without_networks(project_folders, tmp_path / "project")
    assert again.recipe.read_text() == "seed: [" and (again.root / "recipe.new.yaml").read_text() == text


def test_sub_folders_are_classes(project_folders: tuple[Path, Path], tmp_path: Path) -> None:
    objects, rng = tmp_path / "objects", np.random.default_rng(0)
    for name in (f"{part}/{number}.png" for part in ("car", "sign") for number in range(3)):
        (objects / name).parent.mkdir(parents=True, exist_ok=True)
        rgba = np.zeros((48, 48, 4), np.uint8)
        rgba[8:40, 8:40, :3] = rng.integers(0, 256, (4, 4, 3)).repeat(8, axis=0).repeat(8, axis=1)
        rgba[8:40, 8:40, 3] = 255
        Image.fromarray(rgba).save(objects / name)
    shutil.copy(project_folders[1] / "paper.png", objects / "sign" / "paper.png")
    project = start_without_networks((project_folders[0], objects), tmp_path / "project")
    names = cutout_names(objects)
    assert cutout_names(project.root / "cutouts") == names and len(names) == 7
    assert class_names(load_recipe(project.recipe)) == ("car", "sign")
    assert not any("by hand" in note for note in project.notes)
    shutil.copy(objects / "sign" / "1.png", project.root / "cutouts" / "sign" / "mine.png")
    (objects / "sign" / "paper.png").unlink()
    project = start_without_networks((project_folders[0], objects), tmp_path / "project")
    assert cutout_names(project.root / "cutouts") == sorted({*names, "sign/mine.png"} - {"sign/paper.png"})
    (note,) = [note for note in project.notes if "by hand" in note]
    assert "stay as they are: sign/mine.png. " in note


def test_only_one_start_at_a_time(project_folders: tuple[Path, Path], tmp_path: Path) -> None:
    root = tmp_path / "project"
    with only_one(root, "making a project"), pytest.raises(QumadeError, match="another process is making a project"):
        start_without_networks(project_folders, root)
    start_without_networks(project_folders, root)


def test_printed_commands_can_be_pasted(project_folders: tuple[Path, Path], tmp_path: Path) -> None:
    photos = project_folders[0].rename(tmp_path / "Bob's photos; $(rm) *")
    root = tmp_path / "my & project"
    project = start_without_networks((photos, project_folders[1]), root)
    words = [shlex.split(command) for command in project.next_commands]
    assert [word[1] for word in words] == ["generate", "train", "evaluate", "predict"]
    assert words[0][2:6] == ["--recipe", str(root / "recipe.yaml"), "--out", str(root / "dataset")]
    assert words[3][2:] == [str(root / "run"), str(photos), "--out", str(root / "predictions")]


def test_a_teacher_that_is_missing_is_said_with_the_command_that_mends_it(
    project_folders: tuple[Path, Path], tmp_path: Path
) -> None:
    options = {"depth_teacher": tmp_path / "gone.onnx", "label_teacher": "some/network", "progress": False}
    project = start_project(*project_folders, tmp_path / "project", **options)
    (note,) = [note for note in project.notes if note.startswith("No depth maps: ")]
    assert "gone.onnx" in note and "flat-ground prior" in note
    (note,) = [note for note in project.notes if note.startswith("No label maps: ")]
    assert "got some/network, which is not on disk; fetch it with --download" in note
    assert load_recipe(project.recipe).depths is None


def test_folders_that_do_not_fit_are_refused(project_folders: tuple[Path, Path], tmp_path: Path) -> None:
    photos, objects = project_folders
    with pytest.raises(QumadeError, match="the folder of the photos"):
        start_without_networks((photos, photos), tmp_path / "project")
    for inside in (photos, photos / "project", objects / "project", objects.parent):
        with pytest.raises(QumadeError, match=r"neither may lie in the other$"):
            start_without_networks(project_folders, inside)
    (tmp_path / "link").symlink_to(photos)
    with pytest.raises(QumadeError, match="with PHOTOS in"):
        start_without_networks(project_folders, tmp_path / "link" / "project")
    assert not (photos / "project").exists()
    for gone in ((tmp_path / "gone", objects), (photos, tmp_path / "gone")):
        with pytest.raises(QumadeError, match=r"got nothing at .*gone"):
            start_without_networks(gone, tmp_path / "new")
    assert not (tmp_path / "new").exists()
    other = tmp_path / "other"
    (other / "cutouts").mkdir(parents=True)
    (other / "cutouts" / "mine.png").write_bytes((objects / "disc.png").read_bytes())
    with pytest.raises(QumadeError, match="which holds something else"):
        start_without_networks(project_folders, other)
    assert [path.name for path in other.rglob("*")] == ["cutouts", "mine.png"]
    for path in objects.iterdir():
        if path.name != "street.png":
            path.unlink()
    with pytest.raises(QumadeError, match=r"got no cut-out from .*street\.png: its edge has several colours"):
        start_without_networks(project_folders, tmp_path / "project")


def test_folders_at_urls(project_folders: tuple[Path, Path], tmp_path: Path, uploaded: Callable[[Path], str]) -> None:
    for path in project_folders[1].iterdir():  # of a class
        (project_folders[1] / "thing").mkdir(exist_ok=True)
        if path.is_file():
            path.rename(project_folders[1] / "thing" / path.name)
    urls = uploaded(project_folders[0]), uploaded(project_folders[1])
    project = start_without_networks(urls, tmp_path / "project")
    recipe = load_recipe(project.recipe)
    assert (recipe.backgrounds, recipe.foregrounds) == (urls[0], project.root / "cutouts")
    assert any("street.png" in note and urls[1] in note for note in project.notes)
    assert not any("/assets/folders/" in note for note in project.notes)
    with pytest.raises(QumadeError, match=rf"^Invalid OBJECTS: got {urls[0]}, the folder of the photos"):
        start_without_networks((urls[0], urls[0]), tmp_path / "other")
