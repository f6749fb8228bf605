import hashlib
import json
import shlex
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from qumade.assets.classes import class_names, cutout_names
from qumade.data.synthetic import SyntheticDataset
from qumade.errors import QumadeError, RunError
from qumade.io.files import only_one, write_bytes
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
    before = (cutouts / "paper.png").read_bytes()
    (folders[1] / "wedge.png").unlink()
    again = start(folders, tmp_path / "project")
    assert (cutouts / "paper.png").read_bytes() == before and not (cutouts / "wedge.png").exists()
    assert again.notes[0] == first.notes[0].replace(" of 7 ", f" of {len(list(folders[1].iterdir()))} ")
    assert not any("by hand" in note for note in again.notes)
    shutil.copy(folders[1] / "disc.png", folders[1] / "paper.png")  # another picture of this name
    start(folders, tmp_path / "project")
    assert (cutouts / "paper.png").read_bytes() == (cutouts / "disc.png").read_bytes() != before
    assert json.loads((cutouts / ".sources.json").read_text())["paper.png"][1] == "alpha"


def test_cut_outs_made_by_hand_stay_and_are_named(folders: tuple[Path, Path], tmp_path: Path) -> None:
    cutouts = start(folders, tmp_path / "project").root / "cutouts"
    by_hand = (cutouts / "disc.png").read_bytes()
    names = ("added.png", "paper.png", "street.png", "wedge.png")
    for name in names:  # of no picture; of one whose picture changes; of one that was not cut out; of one that goes
        (cutouts / name).write_bytes(by_hand)
    shutil.copy(folders[1] / "disc.png", folders[1] / "paper.png")
    (folders[1] / "wedge.png").write_bytes(b"")  # a picture that cannot be used any more
    for removed in (None, folders[1] / "wedge.png", folders[1] / "street.png"):
        if removed is not None:
            removed.unlink()
        project = start(folders, tmp_path / "project")
        for name in names[:1] + names[2:]:
            assert (cutouts / name).read_bytes() == by_hand, name
        (note,) = [note for note in project.notes if "by hand" in note]
        # paper.png holds what the command itself makes of its picture now.
        assert note.startswith(f"Cut-outs that were changed or added by hand in {cutouts} ")
        assert ": added.png, street.png, wedge.png. One that" in note
        assert not any("not cut out" in note for note in project.notes)
    (cutouts / "added.png").write_bytes(b"torn")
    start(folders, tmp_path / "project")
    assert (cutouts / "added.png").read_bytes() == b"torn"


@pytest.mark.parametrize("content", ["{", "[]", '{"paper.png": 3}', '{"../../victim.png": ["", "", "HASH"]}'])
def test_a_damaged_or_hostile_record_costs_no_file(folders: tuple[Path, Path], tmp_path: Path, content: str) -> None:
    cutouts = start(folders, tmp_path / "project").root / "cutouts"
    victim, mine = tmp_path / "victim.png", cutouts / "mine.png"
    for path in (victim, mine):
        shutil.copy(cutouts / "disc.png", path)
    digest = hashlib.sha256(victim.read_bytes()).hexdigest()
    (cutouts / ".sources.json").write_text(content.replace("HASH", digest))
    project = start(folders, tmp_path / "project")
    assert victim.is_file() and mine.is_file()
    assert any("stay as they are: mine.png. " in note for note in project.notes), "the others are as it makes them"


def test_a_killed_start_is_taken_up_again(
    folders: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[Path] = []

    def interrupted(path: Path, data: bytes) -> None:
        write_bytes(path, data)
        written.append(path)
        if len(written) == 4:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("qumade.project.write_bytes", interrupted)
        start(folders, tmp_path / "project")
    cutouts = tmp_path / "project" / "cutouts"
    assert len(list(cutouts.glob("*.png"))) == 3
    (cutouts / ".sources.json").write_text("{}")  # as a kill would leave it
    project = start(folders, tmp_path / "project")
    assert not any("by hand" in note for note in project.notes) and len(list(cutouts.glob("*.png"))) == 6


def test_an_edited_recipe_stays_and_the_difference_is_said(folders: tuple[Path, Path], tmp_path: Path) -> None:
    first = start(folders, tmp_path / "my project")
    made, sheet = first.recipe.read_bytes(), first.sheet.read_bytes()
    beside = first.root / "recipe.new.yaml"
    edited = made.replace(b"seed: 0", b"seed: 7")
    assert edited != made
    first.recipe.write_bytes(edited)
    again = start(folders, tmp_path / "my project")
    assert first.recipe.read_bytes() == edited and beside.read_bytes() == made
    (note,) = [note for note in again.notes if "recipe.new.yaml" in note]
    assert "seed is 7 there and 0 here" in note
    diff = shlex.split(note.rpartition("differences: ")[2])
    shown = subprocess.run(diff, capture_output=True, text=True, check=False).stdout
    assert [line for line in shown.splitlines() if line[0] in "<>"] == ["< seed: 7", "> seed: 0"]
    assert again.sheet.read_bytes() != sheet, "the samples are those of the recipe that holds"
    beside.replace(first.recipe)  # a person takes it over: nobody has edited it
    (folders[1] / "wedge.png").unlink()
    third = start(folders, tmp_path / "my project")
    assert not beside.exists() and not any("recipe.new.yaml" in note for note in third.notes)


def test_a_recipe_that_nobody_edited_follows_the_folders(folders: tuple[Path, Path], tmp_path: Path) -> None:
    first = start(folders, tmp_path / "project")
    few = load_recipe(first.recipe).per_pair
    for number in range(30):  # more photos: each pair makes fewer samples
        image = np.random.default_rng(number).integers(0, 256, (60, 80, 3), np.uint8)
        Image.fromarray(image).save(folders[0] / f"more{number}.png")
    again = start(folders, tmp_path / "project")
    assert load_recipe(again.recipe).per_pair < few and not (again.root / "recipe.new.yaml").exists()
    text = again.recipe.read_text()
    again.recipe.write_text(f"# my notes\n{text}")  # says the same
    third = start(folders, tmp_path / "project")
    assert third.recipe.read_text().startswith("# my notes") and not (again.root / "recipe.new.yaml").exists()
    again.recipe.write_text("seed: [")
    with pytest.raises(QumadeError, match=r"recipe\.yaml"):
        start(folders, tmp_path / "project")
    assert again.recipe.read_text() == "seed: [" and (again.root / "recipe.new.yaml").read_text() == text


def test_sub_folders_are_classes(folders: tuple[Path, Path], tmp_path: Path) -> None:
    objects, rng = tmp_path / "objects", np.random.default_rng(0)
    for name in (f"{part}/{number}.png" for part in ("car", "sign") for number in range(3)):
        (objects / name).parent.mkdir(parents=True, exist_ok=True)
        rgba = np.zeros((48, 48, 4), np.uint8)
        rgba[8:40, 8:40, :3] = rng.integers(0, 256, (4, 4, 3)).repeat(8, axis=0).repeat(8, axis=1)
        rgba[8:40, 8:40, 3] = 255
        Image.fromarray(rgba).save(objects / name)
    shutil.copy(folders[1] / "paper.png", objects / "sign" / "paper.png")
    project = start((folders[0], objects), tmp_path / "project")
    names = cutout_names(objects)
    assert cutout_names(project.root / "cutouts") == names and len(names) == 7
    assert class_names(load_recipe(project.recipe)) == ("car", "sign")
    assert not any("by hand" in note for note in project.notes)
    shutil.copy(objects / "sign" / "1.png", project.root / "cutouts" / "sign" / "mine.png")
    (objects / "sign" / "paper.png").unlink()
    project = start((folders[0], objects), tmp_path / "project")
    assert cutout_names(project.root / "cutouts") == sorted({*names, "sign/mine.png"} - {"sign/paper.png"})
    (note,) = [note for note in project.notes if "by hand" in note]
    assert "stay as they are: sign/mine.png. " in note


def test_only_one_start_at_a_time(folders: tuple[Path, Path], tmp_path: Path) -> None:
    root = tmp_path / "project"
    with only_one(root, "making a project"), pytest.raises(QumadeError, match="another process is making a project"):
        start(folders, root)
    start(folders, root)


def test_printed_commands_can_be_pasted(folders: tuple[Path, Path], tmp_path: Path) -> None:
    photos = folders[0].rename(tmp_path / "Bob's photos; $(rm) *")
    root = tmp_path / "my & project"
    project = start((photos, folders[1]), root)
    words = [shlex.split(command) for command in project.next_commands]
    assert [word[1] for word in words] == ["generate", "train", "evaluate", "predict"]
    assert words[0][2:6] == ["--recipe", str(root / "recipe.yaml"), "--out", str(root / "dataset")]
    assert words[3][2:] == [str(root / "run"), str(photos), "--out", str(root / "predictions")]


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
    for inside in (photos, photos / "project", objects / "project", objects.parent):
        with pytest.raises(QumadeError, match=r"neither may lie in the other$"):
            start(folders, inside)
    (tmp_path / "link").symlink_to(photos)
    with pytest.raises(QumadeError, match="with PHOTOS in"):
        start(folders, tmp_path / "link" / "project")
    assert not (photos / "project").exists()
    other = tmp_path / "other"
    (other / "cutouts").mkdir(parents=True)
    (other / "cutouts" / "mine.png").write_bytes((objects / "disc.png").read_bytes())
    with pytest.raises(QumadeError, match="which holds something else"):
        start(folders, other)
    assert [path.name for path in other.rglob("*")] == ["cutouts", "mine.png"]
    for path in objects.iterdir():
        if path.name != "street.png":
            path.unlink()
    with pytest.raises(QumadeError, match=r"got no cut-out from .*street\.png: its edge has several colours"):
        start(folders, tmp_path / "project")


def test_folders_at_urls(folders: tuple[Path, Path], tmp_path: Path, uploaded: Callable[[Path], str]) -> None:
    for path in folders[1].iterdir():  # of a class
        (folders[1] / "thing").mkdir(exist_ok=True)
        if path.is_file():
            path.rename(folders[1] / "thing" / path.name)
    urls = uploaded(folders[0]), uploaded(folders[1])
    project = start(urls, tmp_path / "project")
    recipe = load_recipe(project.recipe)
    assert (recipe.backgrounds, recipe.foregrounds) == (urls[0], project.root / "cutouts")
    assert any("street.png" in note and urls[1] in note for note in project.notes)
    assert not any("/assets/folders/" in note for note in project.notes)
    with pytest.raises(QumadeError, match=rf"^Invalid OBJECTS: got {urls[0]}, the folder of the photos"):
        start((urls[0], urls[0]), tmp_path / "other")
