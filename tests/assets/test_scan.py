import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from qumade.assets.cutouts import contact, silhouette
from qumade.assets.identities import signature
from qumade.assets.scan import scan_backgrounds, scan_foregrounds
from qumade.errors import QumadeError
from qumade.io.pictures import content_hash


def test_facts_of_a_background(tmp_path: Path, photo: np.ndarray) -> None:
    for name in ("b.png", "a.png"):
        Image.fromarray(photo).save(tmp_path / name)
    scanned, findings = scan_backgrounds(tmp_path)
    assert findings == [] and [each.name for each in scanned] == ["a.png", "b.png"]
    first = scanned[0]
    assert (first.path, first.width, first.height) == (tmp_path / "a.png", 200, 150)
    assert first.sha256 == content_hash(tmp_path / "a.png")
    np.testing.assert_array_equal(first.signature, signature(photo))


def test_facts_of_a_cutout(tmp_path: Path, disc: np.ndarray) -> None:
    """A disc of radius 15 around (30, 20), soft by one pixel, in a file of 60x40."""
    Image.fromarray(disc).save(tmp_path / "disc.png")
    (scanned,), findings = scan_foregrounds(tmp_path)
    assert findings == []
    assert (scanned.width, scanned.height) == (30, 30)
    assert (scanned.file_width, scanned.file_height) == (60, 40)
    assert (scanned.mask, scanned.mask_sha256) == (None, None)
    assert scanned.contact == contact(disc[5:35, 15:45, 3]) == (15, 30)
    np.testing.assert_array_equal(scanned.silhouette, silhouette(disc[5:35, 15:45, 3]))
    np.testing.assert_array_equal(scanned.signature, signature(disc[5:35, 15:45]))


def test_masks(tmp_path: Path, photo: np.ndarray) -> None:
    foregrounds, masks = tmp_path / "fg", tmp_path / "masks"
    foregrounds.mkdir()
    masks.mkdir()
    mask = np.zeros(photo.shape[:2], np.uint8)
    mask[50:100, 60:160] = 255
    for number in (1, 2):
        Image.fromarray(photo).save(foregrounds / f"fg_{number}.jpg")
    Image.fromarray(mask).save(masks / "mask_001.png")
    Image.fromarray(mask).save(masks / "mask_003.png")
    (masks / "notes.txt").touch()
    (scanned,), findings = scan_foregrounds(foregrounds, masks)
    assert (scanned.name, scanned.mask) == ("fg_1.jpg", masks / "mask_001.png")
    assert scanned.mask_sha256 == content_hash(masks / "mask_001.png")
    assert (scanned.width, scanned.height) == (100, 50)
    assert [(f.severity, f.kind, Path(f.path).name, f.reason) for f in findings] == [
        ("error", "foreground", "fg_2.jpg", "no-alpha"),
        ("info", "mask", "masks", "by-number"),
        ("info", "mask", "mask_003.png", "unmatched"),
        ("info", "mask", "masks", "left-out"),
    ]


def test_damaged_cutouts_are_named_and_the_good_one_is_used(damaged_folder: Path, damaged: dict[str, str]) -> None:
    scanned, findings = scan_foregrounds(damaged_folder)
    assert [each.name for each in scanned] == ["good.png"]
    errors = {Path(f.path).name: f.reason for f in findings if f.severity == "error"}
    assert errors == {name.replace("\n", "\\n"): reason for name, reason in damaged.items()}
    others = [(f.severity, Path(f.path).name, f.reason) for f in findings if f.severity != "error"]
    assert others == [("info", "damaged", "left-out")]
    assert "2 entries are left out, not named as pictures: folder.png/, readme.txt; sub-f" in str(findings[-1])
    for finding in findings:
        assert Path(finding.path).is_absolute() and "\n" not in str(finding) and finding.path in str(finding)


def test_damaged_backgrounds(damaged_folder: Path, damaged: dict[str, str]) -> None:
    """Requirements of cut-outs do not apply to backgrounds, but transparency is suspicious."""
    scanned, findings = scan_backgrounds(damaged_folder)
    only_cutouts = {name for name, reason in damaged.items() if reason in {"no-alpha", "clear", "full", "small"}}
    assert {each.name for each in scanned} == only_cutouts | {"good.png"}
    assert len([f for f in findings if f.severity == "error"]) == len(damaged) - len(only_cutouts)
    transparent = {Path(f.path).name for f in findings if f.reason == "transparent"}
    assert transparent == {"clear.png", "good.png", "small.png"}


def test_results_do_not_depend_on_the_number_of_workers(damaged_folder: Path) -> None:
    alone, alone_findings = scan_foregrounds(damaged_folder, workers=1)
    many, many_findings = scan_foregrounds(damaged_folder, workers=8, progress=True)
    assert alone_findings == many_findings
    assert [each.sha256 for each in alone] == [each.sha256 for each in many]


def test_progress_goes_to_stderr(
    tmp_path: Path, photo: np.ndarray, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("qumade.io.progress.EVERY_S", 0.0)
    Image.fromarray(photo).save(tmp_path / "a.png")
    scan_backgrounds(tmp_path)
    assert capsys.readouterr() == ("", "")
    scan_backgrounds(tmp_path, progress=True)
    captured = capsys.readouterr()
    assert captured.out == "" and "backgrounds" in captured.err


def test_missing_folder(tmp_path: Path) -> None:
    for scan in (scan_backgrounds, scan_foregrounds):
        with pytest.raises(QumadeError, match="missing"):
            scan(tmp_path / "missing")


def test_sub_folders_are_scanned_with_their_masks_where_the_folder_has_no_pictures(tmp_path, disc, photo):
    foregrounds, masks = tmp_path / "foregrounds", tmp_path / "masks"
    for part in ("car", "van"):
        (foregrounds / part).mkdir(parents=True)
    (masks / "van").mkdir(parents=True)
    Image.fromarray(disc).save(foregrounds / "car" / "1.png")
    Image.fromarray(photo[:40, :60]).save(foregrounds / "van" / "1.png")
    Image.fromarray(disc[..., 3]).save(masks / "van" / "1.png")
    scanned, findings = scan_foregrounds(foregrounds, masks, workers=1)
    assert [(each.name, each.mask) for each in scanned] == [("car/1.png", None), ("van/1.png", masks / "van" / "1.png")]
    assert findings == []


def test_sub_folders_beside_pictures_are_reported(tmp_path, disc):
    (tmp_path / "car").mkdir()
    Image.fromarray(disc).save(tmp_path / "car" / "1.png")
    Image.fromarray(disc).save(tmp_path / "2.png")
    scanned, findings = scan_foregrounds(tmp_path, workers=1)
    assert [each.name for each in scanned] == ["2.png"]
    warning = next(finding for finding in findings if finding.severity == "warning")
    assert (warning.path, warning.reason) == (str(tmp_path / "car"), "ignored")


def test_a_name_that_is_not_utf_8_cannot_be_used(tmp_path: Path, photo: np.ndarray) -> None:
    for name in (b"good.png", b"bad\xff.png"):
        Image.fromarray(photo).save(tmp_path / os.fsdecode(name))
    usable, findings = scan_backgrounds(tmp_path)
    assert [each.path.name for each in usable] == ["good.png"]
    assert [(found.severity, found.reason) for found in findings] == [("error", "name")] and findings[
        0
    ].path.isprintable()
