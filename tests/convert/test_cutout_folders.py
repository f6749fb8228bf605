import dataclasses
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from qumade.assets.cut_sides import cut_side
from qumade.assets.scan import scan_backgrounds, scan_foregrounds
from qumade.convert.cutout_folders import records_of_dataset, write_cutouts
from qumade.convert.cutouts import Rules
from qumade.convert.importers import read_dataset
from qumade.convert.importers.camvid import read_camvid
from qumade.convert.importers.records import Source
from qumade.convert.importers.writer import write_import
from qumade.data.folder import FolderDataset
from qumade.errors import QumadeError

SavePicture = Callable[[Path, np.ndarray], None]


@pytest.fixture
def camvid(tmp_path: Path, save_picture: SavePicture) -> Source:
    """Writes three photos of train (two cars, one at the edge; no car; all unlabelled) and one of val (one car)."""
    rng = np.random.default_rng(1)
    cars = {"two": [10, 140], "free": [], "void": [], "other": [60]}
    for stem, lefts in cars.items():
        split = "val" if stem == "other" else "train"
        ids = np.full((90, 200), 11 if stem == "void" else 3, np.uint8)
        for left in lefts:
            ids[30:70, left : left + 60] = 8
        save_picture(tmp_path / "camvid" / split / f"{stem}.png", rng.integers(0, 256, (90, 200, 3), np.uint8))
        save_picture(tmp_path / "camvid" / f"{split}annot" / f"{stem}.png", ids)
    return read_camvid(tmp_path / "camvid")


def test_cutouts_are_named_after_their_photo_and_pass_the_check(camvid: Source, tmp_path: Path) -> None:
    summary = write_cutouts(camvid.records, tmp_path / "fg", tmp_path / "bg", progress=False, workers=2)
    assert sorted(path.name for path in (tmp_path / "fg").iterdir()) == ["two-01.png", "two-02_cut_right.png"]
    assert sorted(path.name for path in (tmp_path / "bg").iterdir()) == ["free.png"]
    assert (tmp_path / "bg" / "free.png").read_bytes() == (tmp_path / "camvid" / "train" / "free.png").read_bytes()
    assert (summary.frames, summary.splits, summary.kept, summary.backgrounds) == (3, ("train",), 2, 1)
    assert (summary.parts, summary.rejected) == (1, {"tiny": 0, "truncated": 0, "occluded": 0, "merged": 0})
    usable, findings = scan_foregrounds(tmp_path / "fg")
    assert len(usable) == 2 and not findings
    assert not scan_backgrounds(tmp_path / "bg")[1]


def test_only_complete_objects_are_kept_on_request(camvid: Source, tmp_path: Path) -> None:
    summary = write_cutouts(camvid.records, tmp_path / "fg", rules=Rules(parts=False), progress=False)
    assert (summary.kept, summary.parts, summary.rejected["truncated"]) == (1, 0, 1)


def test_splits_and_stems_select_the_photos(camvid: Source, tmp_path: Path) -> None:
    assert write_cutouts(camvid.records, tmp_path / "a", splits=["val"], progress=False).kept == 1
    assert write_cutouts(camvid.records, tmp_path / "b", stems=["two"], progress=False).frames == 1
    with pytest.raises(QumadeError, match=r"Invalid --split: got 'test'; must be one of 'train', 'val'"):
        write_cutouts(camvid.records, tmp_path / "c", splits=["test"], progress=False)
    with pytest.raises(QumadeError, match="Invalid stems: got 'nine'"):
        write_cutouts(camvid.records, tmp_path / "c", stems=["nine"], progress=False)
    assert not (tmp_path / "c").exists()


def test_max_share_allows_some_of_the_class_in_backgrounds(camvid: Source, tmp_path: Path) -> None:
    summary = write_cutouts(camvid.records, tmp_path / "a", tmp_path / "b", max_share=0.9, progress=False)
    assert sorted(path.stem for path in (tmp_path / "b").iterdir()) == ["free", "two"] and summary.backgrounds == 2


def test_an_imported_dataset_gives_the_same_cutouts(camvid: Source, tmp_path: Path) -> None:
    write_import(camvid, tmp_path / "out", workers=1, progress=False)
    records = records_of_dataset(FolderDataset(tmp_path / "out"), ["car"])
    write_cutouts(records, tmp_path / "a", progress=False)
    write_cutouts(camvid.records, tmp_path / "b", progress=False)
    assert [path.read_bytes() for path in sorted((tmp_path / "a").iterdir())] == [
        path.read_bytes() for path in sorted((tmp_path / "b").iterdir())
    ]
    with pytest.raises(QumadeError, match=r"Invalid --class: got bus for .*; must be car, which its masks show"):
        records_of_dataset(FolderDataset(tmp_path / "out"), ["bus"])


def test_nothing_to_cut_out_leaves_no_folder(camvid: Source, tmp_path: Path) -> None:
    with pytest.raises(QumadeError, match=r"got no usable object in 3 \(2 tiny, 0 truncated"):
        write_cutouts(camvid.records, tmp_path / "fg", rules=Rules(min_area_px=10**6), progress=False)
    assert not (tmp_path / "fg").exists()


def test_folders_must_be_empty_and_different(camvid: Source, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "a.txt").write_text("x")
    with pytest.raises(QumadeError, match=r"got .*full, which is not empty"):
        write_cutouts(camvid.records, tmp_path / "full", progress=False)
    with pytest.raises(QumadeError, match="must differ from --out"):
        write_cutouts(camvid.records, tmp_path / "x", tmp_path / "x", progress=False)
    with pytest.raises(QumadeError, match="Invalid --max-share: got 1"):
        write_cutouts(camvid.records, tmp_path / "x", max_share=1, progress=False)


def test_leftovers_of_a_kill_are_removed(camvid: Source, tmp_path: Path) -> None:
    (tmp_path / "fg" / ".partial").mkdir(parents=True)
    (tmp_path / "fg" / ".partial" / "old.png").write_bytes(b"torn")
    write_cutouts(camvid.records, tmp_path / "fg", progress=False)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["camvid", "fg"]
    assert len(list((tmp_path / "fg").iterdir())) == 2


def test_long_names_are_cut_and_stay_different(camvid: Source, tmp_path: Path) -> None:
    record = camvid.records[1]
    stems = ["ü" * 125 + end for end in "xy"]
    write_cutouts([dataclasses.replace(record, stem=stem) for stem in stems], tmp_path / "fg", progress=False)
    names = sorted(path.name for path in (tmp_path / "fg").iterdir())
    assert len(names) == 2 and all(name.startswith("ü" * 110) and len(name.encode()) <= 255 for name in names)


def test_a_dataset_without_masks_is_refused(tmp_path: Path, save_picture: SavePicture) -> None:
    save_picture(tmp_path / "images" / "a.png", np.zeros((9, 9, 3), np.uint8))
    save_picture(tmp_path / "depth" / "a.png", np.zeros((9, 9), np.uint8))
    with pytest.raises(QumadeError, match="got no masks in"):
        records_of_dataset(FolderDataset(tmp_path))


def test_real_cars_are_cut_out(real_data: Path, tmp_path: Path) -> None:
    records = read_dataset("camvid", real_data / "camvid").records
    stems = [record.stem for record in records if record.split == "train"][::8]
    summary = write_cutouts(records, tmp_path / "fg", stems=stems, progress=False)
    assert summary.frames == 46 and summary.kept > 8
    for path in (tmp_path / "fg").iterdir():
        with Image.open(path) as picture:
            alpha = np.asarray(picture)[:, :, 3]
        sides = {"left": alpha[:, 0], "right": alpha[:, -1], "top": alpha[0], "bottom": alpha[-1]}
        sides.pop(cut_side(path.name) or "", None)  # there the photo may have ended
        edges = np.concatenate(list(sides.values()))
        assert re.sub(r"-\d\d(_cut_(left|right))?$", "", path.stem) in stems and edges.max() == 0 and alpha.max() == 255
