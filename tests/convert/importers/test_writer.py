import itertools
import os
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml
from PIL import Image

from qumade.convert.importers.records import Labels, Record, Source
from qumade.convert.importers.writer import write_import
from qumade.data.folder import FolderDataset
from qumade.data.opening import open_dataset
from qumade.data.statistics import statistics
from qumade.depth.encoding import METRES_16_BIT
from qumade.errors import QumadeError
from qumade.viz.placements import has_placements, write_placements
from qumade.viz.sheets import preview_dataset

RNG = np.random.default_rng(5)


def labels_of(shape: tuple[int, int]) -> Labels:
    where = np.mgrid[: shape[0], : shape[1]].sum(0)
    inverse = np.where(where % 5 == 0, np.nan, 1 / (1 + where)).astype(np.float32)
    mask = np.where(where > 4, np.uint8(255), np.uint8(0))
    return Labels(mask=mask, inverse_depth=inverse, ignore=where % 3 == 0)


def make_source(root: Path, names: tuple[str, ...] = ("a.jpg", "b.png", "c.bmp"), **fields: Any) -> Source:
    """Returns a source of images in different sizes and formats."""
    root.mkdir(exist_ok=True)
    records = []
    for number, name in enumerate(names):
        pixels = RNG.integers(0, 256, (8 + number, 10, 3), np.uint8)
        Image.fromarray(pixels).save(root / name)
        split = ("train", "val", "")[number % 3]
        records.append(Record(Path(name).stem, split, root / name, name, labels_of))
    defaults = {"folders": ("masks", "depth", "ignore"), "classes": ("car",), "depth": METRES_16_BIT}
    return Source("some", root, tuple(records), **(defaults | fields))


def write(source: Source, out: Path) -> Any:
    return write_import(source, out, workers=2, progress=False)


def test_everything_is_read_back(tmp_path: Path) -> None:
    source = make_source(tmp_path / "in")
    summary = write(source, tmp_path / "out")
    assert (summary.samples, summary.written, summary.splits) == (3, 3, {"train": 1, "val": 1, "": 1})
    dataset = open_dataset(tmp_path / "out")
    assert dataset.metadata is not None and dataset.metadata.size is None and dataset.metadata.samples == 3
    for number, record in enumerate(source.records):
        sample, truth = dataset.read(number), labels_of((8 + number, 10))
        np.testing.assert_array_equal(sample.mask, truth.mask)
        np.testing.assert_array_equal(sample.ignore, truth.ignore)
        np.testing.assert_allclose(sample.inverse_depth, truth.inverse_depth, rtol=0.04, atol=0)
        assert isinstance(record.image, Path)
        with Image.open(record.image) as picture:
            np.testing.assert_array_equal(sample.image, np.asarray(picture)) if number else None
    for name in ("a.jpg", "b.png"):
        assert (tmp_path / "out" / "images" / name).read_bytes() == (tmp_path / "in" / name).read_bytes()
    assert (tmp_path / "out" / "images" / "c.png").is_file()


@pytest.mark.parametrize("name", ["a.bmp", "a.ppm", "a.webp", "a.tiff"])
def test_an_image_of_another_format_becomes_png(tmp_path: Path, name: str) -> None:
    source = make_source(tmp_path / "in", (name,))
    write(source, tmp_path / "out")
    dataset = open_dataset(tmp_path / "out")
    assert dataset.path("images", 0).name == "a.png"
    with Image.open(tmp_path / "in" / name) as picture:
        np.testing.assert_array_equal(dataset.read_image(0), np.asarray(picture.convert("RGB")))


def test_a_turned_image_is_refused(tmp_path: Path) -> None:
    source = make_source(tmp_path / "in", ("a.webp",))
    turned = Image.Exif()
    turned[0x0112] = 6
    Image.new("RGB", (10, 8)).save(tmp_path / "in" / "a.webp", exif=turned)
    with pytest.raises(QumadeError, match=r"a\.webp.*upright"):
        write(source, tmp_path / "out")


def test_the_manifest_has_one_row_per_sample_and_keeps_splits(tmp_path: Path) -> None:
    write(make_source(tmp_path / "in"), tmp_path / "out")
    rows = pq.read_table(tmp_path / "out" / "manifest.parquet").to_pydict()
    assert rows == {
        "index": [0, 1, 2],
        "stem": ["a", "b", "c"],
        "split": ["train", "val", ""],
        "source": ["a.jpg", "b.png", "c.bmp"],
        "uncertain": [False, False, False],
    }
    assert FolderDataset(tmp_path / "out").splits.tolist() == ["train", "val", ""]


def test_common_size_and_suffix_are_recorded(tmp_path: Path) -> None:
    source = make_source(tmp_path / "in", ("a.jpg",))
    write(source, tmp_path / "out")
    text = (tmp_path / "out" / "dataset.yaml").read_text()
    content = yaml.safe_load(text)
    assert "&" not in text
    assert content["size"] == [10, 8] and content["complete"] is True
    assert content["folders"]["images"] == {"suffix": ".jpg", "format": "jpeg"}
    assert re.fullmatch("[0-9a-f]{64}", content["import"].pop("inputs_sha256"))
    assert content["import"] == {"dataset": "some", "root": "../in", "classes": ["car"], "samples": 1}


@pytest.mark.parametrize("folders", [("masks",), ("depth",), ("masks", "ignore"), ("masks", "depth")])
def test_missing_labels_of_a_dataset_have_no_folder(tmp_path: Path, folders: tuple[str, ...]) -> None:
    depth = METRES_16_BIT if "depth" in folders else None
    write(make_source(tmp_path / "in", folders=folders, depth=depth), tmp_path / "out")
    dataset = open_dataset(tmp_path / "out")
    assert set(dataset.suffixes) == {"images", *folders}
    assert statistics(dataset, workers=1, progress=False).samples == 3
    preview_dataset(dataset, 2)
    assert has_placements(dataset) == ("masks" in folders)
    if has_placements(dataset):
        write_placements(dataset, tmp_path / "placements.png")


def test_missing_labels_of_one_sample_are_unknown(tmp_path: Path) -> None:
    source = make_source(tmp_path / "in", ("a.jpg",))
    source = replace(source, records=(replace(source.records[0], read_labels=lambda shape: Labels()),))
    write(source, tmp_path / "out")
    sample = open_dataset(tmp_path / "out").read(0)
    assert sample.inverse_depth is not None and np.isnan(sample.inverse_depth).all()


def test_an_interrupted_import_is_refused_and_finished_by_the_same_call(tmp_path: Path) -> None:
    source = make_source(tmp_path / "in")
    out = tmp_path / "out"
    calls = itertools.count()

    def broken(shape: tuple[int, int]) -> Labels:
        if next(calls) == 1:
            raise KeyboardInterrupt
        return labels_of(shape)

    failing = replace(source, records=tuple(replace(each, read_labels=broken) for each in source.records))
    with pytest.raises(KeyboardInterrupt):
        write_import(failing, out, workers=1, progress=False)
    with pytest.raises(QumadeError, match=r"complete: false .*run the same command with --out .*out again"):
        open_dataset(out)
    (out / "masks" / ".tmp-123-b.png").write_bytes(b"torn")
    before = {path: path.stat().st_mtime_ns for path in out.glob("*/*.*")}
    summary = write(source, out)
    assert 0 < summary.written < 3
    write(source, tmp_path / "whole")
    for path in sorted((tmp_path / "whole").rglob("*")):
        same = out / path.relative_to(tmp_path / "whole")
        assert path.is_dir() or same.read_bytes() == path.read_bytes()
    assert len(list(out.rglob("*"))) == len(list((tmp_path / "whole").rglob("*")))
    kept = [path for path, time in before.items() if path.exists() and path.stat().st_mtime_ns == time]
    assert kept
    assert write(source, out).written == 0


@pytest.mark.parametrize("complete", [True, False])
@pytest.mark.parametrize("folder", ["images", "masks", "depth", "ignore"])
@pytest.mark.parametrize("damage", ["missing", "empty", "short", "zeros", "pipe"])
def test_a_torn_import_is_repaired(tmp_path: Path, folder: str, damage: str, complete: bool) -> None:
    source = make_source(tmp_path / "in", depth=METRES_16_BIT, folders=("masks", "depth", "ignore"))
    write(source, tmp_path / "whole")
    write(source, tmp_path / "out")
    for path in sorted((tmp_path / "out" / folder).iterdir())[:2]:
        whole = path.read_bytes()
        middle = len(whole) // 2
        path.unlink()
        if damage == "empty":
            path.touch()
        elif damage == "short":
            path.write_bytes(whole[:middle])
        elif damage == "zeros" and not complete:
            path.write_bytes(whole[:middle] + bytes(9) + whole[middle + 9 :])
        elif damage == "pipe":
            os.mkfifo(path)
    described = tmp_path / "out" / "dataset.yaml"
    if not complete:
        described.write_text(described.read_text().replace("complete: true", "complete: false"))
    assert write(source, tmp_path / "out").written == 2
    for path in (tmp_path / "whole").rglob("*.*"):
        assert path.read_bytes() == (tmp_path / "out" / path.relative_to(tmp_path / "whole")).read_bytes()
    assert write(source, tmp_path / "out").written == 0


@pytest.mark.parametrize("workers", [1, 3])
def test_the_bytes_do_not_depend_on_the_number_of_workers(tmp_path: Path, workers: int) -> None:
    source = make_source(tmp_path / "in")
    write_import(source, tmp_path / "one", workers=1, progress=False)
    write_import(source, tmp_path / "more", workers=workers, progress=False)
    for path in (tmp_path / "one").rglob("*.*"):
        assert path.read_bytes() == (tmp_path / "more" / path.relative_to(tmp_path / "one")).read_bytes()


@pytest.mark.parametrize("changed", ["b.png", "labels.json", "shared.json"])
@pytest.mark.parametrize("complete", [True, False])
def test_a_dataset_made_of_other_files_is_not_taken_for_this_one(tmp_path: Path, changed: str, complete: bool) -> None:
    source = make_source(tmp_path / "in")
    for name in ("labels.json", "shared.json"):
        (tmp_path / "in" / name).write_text("old")
    first = replace(source.records[0], inputs=(tmp_path / "in" / "labels.json",))
    source = replace(
        source, records=(first, *source.records[1:]), inputs=(tmp_path / "in" / "shared.json",), notes=("1 is unknown",)
    )
    assert write(source, tmp_path / "out").notes == ("1 is unknown",)
    assert write(source, tmp_path / "out").written == 0
    if not complete:
        path = tmp_path / "out" / "dataset.yaml"
        path.write_text(path.read_text().replace("complete: true", "complete: false"))
    Image.new("RGB", (10, 9)).save(tmp_path / "in" / changed) if changed == "b.png" else (
        tmp_path / "in" / changed
    ).write_text("new")
    with pytest.raises(QumadeError, match=r"got .*out, made of other images or labels than .*in holds now; must be"):
        write(source, tmp_path / "out")


@pytest.mark.parametrize(
    ("name", "kind", "suffix"), [("a.jpg", "WEBP", ".png"), ("a.png", "JPEG", ".jpg"), ("a.jpg", "PNG", ".png")]
)
def test_an_image_is_what_it_holds_not_what_its_name_says(tmp_path: Path, name: str, kind: str, suffix: str) -> None:
    source = make_source(tmp_path / "in", (name,))
    Image.linear_gradient("L").resize((10, 8)).convert("RGB").save(tmp_path / "in" / name, kind)
    write(source, tmp_path / "out")
    dataset = open_dataset(tmp_path / "out")
    assert dataset.path("images", 0).name == f"a{suffix}"
    with Image.open(tmp_path / "in" / name) as picture:
        assert np.abs(dataset.read_image(0).astype(int) - np.asarray(picture)).max() <= 4


def test_another_dataset_is_not_overwritten(tmp_path: Path) -> None:
    source = make_source(tmp_path / "in")
    write(source, tmp_path / "out")
    with pytest.raises(QumadeError, match=r"Invalid --out: .*out holds a dataset with"):
        write(replace(source, classes=("bus",)), tmp_path / "out")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letter.txt").write_text("x")
    with pytest.raises(QumadeError, match=r"holds no dataset.yaml \(but 'letter.txt'\); must be a new"):
        write(source, tmp_path / "full")


@pytest.mark.parametrize("name", ["a.jpg", "b.png", "c.bmp"])
def test_a_torn_image_is_named(tmp_path: Path, name: str) -> None:
    source = make_source(tmp_path / "in")
    path = tmp_path / "in" / name
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(QumadeError, match=rf"Invalid picture: got .*{name}"):
        write(source, tmp_path / "out")
