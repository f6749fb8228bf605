import hashlib
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fixtures.project import start_without_networks
from qumade.errors import QumadeError, RunError
from qumade.io.files import write_bytes
from qumade.project.cutouts import begin_cutouts
from qumade.project.start import start_project
from qumade.teachers.cutout import CutoutTeacher


def test_cut_outs_made_by_hand_stay_and_are_named(project_folders: tuple[Path, Path], tmp_path: Path) -> None:
    cutouts = start_without_networks(project_folders, tmp_path / "project").root / "cutouts"
    by_hand = (cutouts / "disc.png").read_bytes()
    names = ("added.png", "paper.png", "street.png", "wedge.png")
    for name in names:  # of no picture; of one whose picture changes; of one that was not cut out; of one that goes
        (cutouts / name).write_bytes(by_hand)
    shutil.copy(project_folders[1] / "disc.png", project_folders[1] / "paper.png")
    (project_folders[1] / "wedge.png").write_bytes(b"")  # a picture that cannot be used any more
    for removed in (None, project_folders[1] / "wedge.png", project_folders[1] / "street.png"):
        if removed is not None:
            removed.unlink()
        project = start_without_networks(project_folders, tmp_path / "project")
        for name in names[:1] + names[2:]:
            assert (cutouts / name).read_bytes() == by_hand, name
        (note,) = [note for note in project.notes if "by hand" in note]
        # paper.png holds what the command itself makes of its picture now.
        assert note.startswith(f"Cut-outs that were changed or added by hand in {cutouts} ")
        assert ": added.png, street.png, wedge.png. One that" in note
        assert not any("not cut out" in note for note in project.notes)
    (cutouts / "added.png").write_bytes(b"torn")
    start_without_networks(project_folders, tmp_path / "project")
    assert (cutouts / "added.png").read_bytes() == b"torn"


@pytest.mark.parametrize("content", ["{", "[]", '{"paper.png": 3}', '{"../../victim.png": ["", "", "HASH"]}'])
def test_a_damaged_or_hostile_record_costs_no_file(
    project_folders: tuple[Path, Path], tmp_path: Path, content: str
) -> None:
    cutouts = start_without_networks(project_folders, tmp_path / "project").root / "cutouts"
    victim, mine = tmp_path / "victim.png", cutouts / "mine.png"
    for path in (victim, mine):
        shutil.copy(cutouts / "disc.png", path)
    digest = hashlib.sha256(victim.read_bytes()).hexdigest()
    (cutouts / ".sources.json").write_text(content.replace("HASH", digest))
    project = start_without_networks(project_folders, tmp_path / "project")
    assert victim.is_file() and mine.is_file()
    assert any("stay as they are: mine.png. " in note for note in project.notes), "the others are as it makes them"


def test_a_killed_start_is_taken_up_again(
    project_folders: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[Path] = []

    def interrupted(path: Path, data: bytes) -> None:
        write_bytes(path, data)
        written.append(path)
        if len(written) == 4:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("qumade.project.cutouts.write_bytes", interrupted)
        start_without_networks(project_folders, tmp_path / "project")
    cutouts = tmp_path / "project" / "cutouts"
    assert len(list(cutouts.glob("*.png"))) == 3
    (cutouts / ".sources.json").write_text("{}")  # as a kill would leave it
    project = start_without_networks(project_folders, tmp_path / "project")
    assert not any("by hand" in note for note in project.notes) and len(list(cutouts.glob("*.png"))) == 6


def test_a_network_cuts_out_what_colour_did_before_and_nobody_improved(
    project_folders: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
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
    shutil.copy(project_folders[1] / "paper.png", project_folders[1] / "mine.png")
    root, cutouts = tmp_path / "project", tmp_path / "project" / "cutouts"
    options = {"depth_teacher": None, "label_teacher": None, "progress": False}
    project = start_project(*project_folders, root, **options)
    assert any("No network cuts out objects. Invalid model: not on disk" in note for note in project.notes)
    assert any("2 of 8 pictures had no alpha" in note and "without a network" in note for note in project.notes)
    improved = (cutouts / "disc.png").read_bytes()
    (cutouts / "mine.png").write_bytes(improved)  # by hand
    project = start_project(*project_folders, root, download=True, **options)
    with Image.open(cutouts / "paper.png") as cutout:
        np.testing.assert_array_equal(np.asarray(cutout)[..., 3], half(np.asarray(cutout)))
    assert (cutouts / "mine.png").read_bytes() == improved
    assert any("2 of 8 pictures had no alpha" in note and "by the network halves" in note for note in project.notes)
    assert (cutouts / "street.png").is_file() and not any("No network" in note for note in project.notes)
    before = (cutouts / "paper.png").stat().st_mtime_ns
    start_project(*project_folders, root, **options)
    assert (cutouts / "paper.png").stat().st_mtime_ns == before and wanted == ["auto"] * 2


def test_a_network_that_finds_nothing_is_not_believed(
    project_folders: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nothing = CutoutTeacher("blind", lambda rgb: np.zeros(rgb.shape[:2], np.uint8))
    monkeypatch.setattr("qumade.teachers.cutout.cutout_teacher", lambda model, download: nothing)
    project = start_project(
        *project_folders, tmp_path / "project", depth_teacher=None, label_teacher=None, progress=False
    )
    assert any("1 of 7 pictures had no alpha" in note and "plain background" in note for note in project.notes)
    assert any("street.png" in note for note in project.notes)


def test_a_folder_of_empty_folders_and_unfinished_files_can_be_begun(tmp_path: Path) -> None:
    root = tmp_path / "project"
    (root / "cutouts").mkdir(parents=True)
    (root / ".tmp-4711-left").write_bytes(b"by a kill")
    begin_cutouts(root, root / "cutouts")
    begin_cutouts(root, root / "cutouts")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "mine.txt").write_text("mine")
    with pytest.raises(QumadeError, match="which holds something else"):
        begin_cutouts(tmp_path / "other", tmp_path / "other" / "cutouts")
