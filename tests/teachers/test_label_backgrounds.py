import dataclasses
import shutil
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from qumade.assets.depths import match_depths, read_inverse_depth
from qumade.assets.label_names import LABEL_TABLES, label_table, table_of_names
from qumade.assets.labels import read_labels
from qumade.errors import QumadeError
from qumade.generation.executors import this_process
from qumade.teachers import label_backgrounds as module
from qumade.teachers.depth import DepthTeacher
from qumade.teachers.label_backgrounds import label_backgrounds
from qumade.teachers.segmentation import SegmentationTeacher


class Teachers:
    """Teachers that call the red of a picture its depth and its class, and remember how often they were asked."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked: list[tuple[int, ...]] = []
        self.depth = DepthTeacher("metric", "a" * 64, 2, self._depth)
        self.segmentation = SegmentationTeacher(
            table_of_names({0: "road", 7: "no", 200: "sky"}), "b" * 64, 2, self._ids
        )
        monkeypatch.setattr(module, "depth_teacher", lambda model, download: self.depth)
        monkeypatch.setattr(module, "segmentation_teacher", lambda model, download: self.segmentation)

    def _depth(self, pictures: Sequence[np.ndarray], batch_size: int) -> list[np.ndarray]:
        self.asked += [picture.shape for picture in pictures]
        return [picture[..., 0].astype(np.float32) / 255 for picture in pictures]

    def _ids(self, pictures: Sequence[np.ndarray], batch_size: int) -> list[np.ndarray]:
        self.asked += [picture.shape for picture in pictures]
        return [picture[..., 0].astype(np.uint16) for picture in pictures]


@pytest.fixture
def teachers(monkeypatch: pytest.MonkeyPatch) -> Teachers:
    return Teachers(monkeypatch)


@pytest.fixture
def backgrounds(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for n in range(3):
        pixels = np.random.default_rng(n).integers(0, 256, (20 + n, 30, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"photo {n}.png")
    return folder


def red(folder: Path, name: str) -> np.ndarray:
    return np.asarray(Image.open(folder / name))[..., 0]


def test_each_background_gets_its_maps_in_folders_that_a_recipe_can_name(
    teachers: Teachers, backgrounds: Path, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    fields = label_backgrounds(backgrounds, depth="x", labels="y", cache=cache)
    assert fields.keys() == {"depths", "depths_kind", "labels", "label_names"}
    assert fields["depths_kind"] == "metric"
    paths = sorted(backgrounds.iterdir())
    found = match_depths(paths, fields["depths"])
    assert list(found) == paths and sorted(fields["depths"].iterdir()) == sorted(found.values())
    for path in paths:
        wanted = red(backgrounds, path.name)
        size = wanted.shape[1], wanted.shape[0]
        np.testing.assert_array_equal(read_inverse_depth(found[path], size, "metric"), wanted.astype(np.float32) / 255)
        np.testing.assert_array_equal(read_labels(fields["labels"] / f"{path.stem}.npy", size), wanted)
    assert label_table(fields["label_names"]) == teachers.segmentation.names
    assert cache in fields["depths"].parents and cache in fields["labels"].parents


def test_a_second_run_finds_the_same_folders_and_asks_nobody(
    teachers: Teachers, backgrounds: Path, tmp_path: Path
) -> None:
    first = label_backgrounds(backgrounds, depth="x", labels="y", cache=tmp_path / "cache")
    assert len(teachers.asked) == 6
    elsewhere = shutil.copytree(backgrounds, tmp_path / "copy")
    assert label_backgrounds(elsewhere, depth="x", labels="y", cache=tmp_path / "cache") == first
    assert len(teachers.asked) == 6


def test_a_folder_of_maps_never_changes(teachers: Teachers, backgrounds: Path, tmp_path: Path) -> None:
    first = label_backgrounds(backgrounds, depth="x", cache=tmp_path / "cache")["depths"]
    before = {path.name: path.read_bytes() for path in first.iterdir()}
    Image.new("RGB", (8, 6), (40, 0, 0)).save(backgrounds / "photo 1.png")
    Image.new("RGB", (9, 6), (50, 0, 0)).save(backgrounds / "photo 3.png")
    second = label_backgrounds(backgrounds, depth="x", cache=tmp_path / "cache")["depths"]
    assert teachers.asked[3:] == [(6, 8, 3), (6, 9, 3)]  # the others were known
    assert first != second and len(list(second.iterdir())) == 4
    assert {path.name: path.read_bytes() for path in first.iterdir()} == before
    assert np.load(second / "photo 1.npy").shape == (6, 8)


def test_an_executor_makes_the_same_folders(teachers: Teachers, backgrounds: Path, tmp_path: Path) -> None:
    ran: list[object] = []

    def executor(work: Any, chunks: Iterable[Any]) -> Iterator[Any]:
        ran.append(work)
        yield from reversed(list(this_process(work, chunks)))

    for n in range(20):
        Image.new("RGB", (8, 6 + n), (n, 0, 0)).save(backgrounds / f"more {n:02d}.png")
    options: dict[str, Any] = {"depth": "x", "labels": "y"}
    here = label_backgrounds(backgrounds, **options, cache=tmp_path / "here")
    there = label_backgrounds(backgrounds, **options, cache=tmp_path / "there", executor=executor)
    assert len(ran) == 2 and len(teachers.asked) == 2 * 2 * 23
    for name in ("depths", "labels"):
        found = {path.name: path.read_bytes() for path in there[name].iterdir()}
        assert found == {path.name: path.read_bytes() for path in here[name].iterdir()} and len(found) >= 23
        assert there[name].relative_to(tmp_path / "there") == here[name].relative_to(tmp_path / "here")
    label_backgrounds(backgrounds, **options, cache=tmp_path / "there", executor=executor)
    assert len(ran) == 2  # nothing was missing


def test_other_weights_have_other_folders(teachers: Teachers, backgrounds: Path, tmp_path: Path) -> None:
    first = label_backgrounds(backgrounds, depth="x", cache=tmp_path)["depths"]
    teachers.depth = dataclasses.replace(teachers.depth, fingerprint="c" * 64)
    assert label_backgrounds(backgrounds, depth="x", cache=tmp_path)["depths"].parent != first.parent
    assert len(teachers.asked) == 6


def test_interrupted_labelling_resumes(
    teachers: Teachers, backgrounds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Path, other: Path) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Path, "hardlink_to", full)
        with pytest.raises(KeyboardInterrupt):
            label_backgrounds(backgrounds, depth="x", cache=tmp_path / "cache")
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_dir() and "backgrounds" in path.name]
    fields = label_backgrounds(backgrounds, depth="x", cache=tmp_path / "cache")
    assert len(list(fields["depths"].iterdir())) == len(teachers.asked) == 3


def test_a_file_system_without_links_gets_copies(
    teachers: Teachers, backgrounds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Path, other: Path) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    depths = label_backgrounds(backgrounds, depth="x", cache=tmp_path / "cache")["depths"]
    np.testing.assert_array_equal(np.load(depths / "photo 2.npy"), red(backgrounds, "photo 2.png") / np.float32(255))


def test_unusable_pictures_are_left_to_the_audit(teachers: Teachers, backgrounds: Path, tmp_path: Path) -> None:
    (backgrounds / "torn.jpg").write_bytes(b"\xff\xd8\xff")
    (backgrounds / "gone.png").symlink_to(tmp_path / "nowhere")
    depths = label_backgrounds(backgrounds, depth="x", cache=tmp_path / "cache")["depths"]
    assert sorted(path.stem for path in depths.iterdir()) == ["photo 0", "photo 1", "photo 2"]


def test_two_pictures_of_one_stem_are_refused(teachers: Teachers, backgrounds: Path, tmp_path: Path) -> None:
    shutil.copy(backgrounds / "photo 1.png", backgrounds / "photo 1.PNG")
    with pytest.raises(QumadeError, match=r"got both .*photo 1\.PNG and photo 1\.png; stems must be unique"):
        label_backgrounds(backgrounds, depth="x", cache=tmp_path / "cache")
    assert not teachers.asked


@pytest.mark.parametrize("table", ["ade20k", "cityscapes"])
def test_a_network_with_the_classes_of_a_built_in_table_is_read_by_it(
    teachers: Teachers, backgrounds: Path, tmp_path: Path, table: str
) -> None:
    """Only that knows what the classes of ADE20K are to one who asks for terrain."""
    count = {"ade20k": 150, "cityscapes": 19}[table]
    by_id = {i: name for name, ids in reversed(LABEL_TABLES[table].items()) for i in ids if i < count}
    teachers.segmentation = dataclasses.replace(teachers.segmentation, names=table_of_names(by_id))
    assert label_backgrounds(backgrounds, labels="y", cache=tmp_path)["label_names"] == table
    swapped = {**by_id, 0: by_id[1], 1: by_id[0]}
    for names in (swapped, {i: by_id[i] for i in range(count - 1)}):
        teachers.segmentation = dataclasses.replace(teachers.segmentation, names=table_of_names(names))
        shutil.rmtree(tmp_path / teachers.segmentation.cache_name)
        fields = label_backgrounds(backgrounds, labels="y", cache=tmp_path)
        assert label_table(fields["label_names"]) == table_of_names(names)


def test_a_missing_package_is_reported_with_the_command_that_installs_it(
    backgrounds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "qumade.teachers.onnx_teacher", None)
    monkeypatch.setitem(sys.modules, "qumade.teachers.network", None)
    monkeypatch.delattr("qumade.teachers.onnx_teacher", raising=False)
    monkeypatch.delattr("qumade.teachers.network", raising=False)
    with pytest.raises(QumadeError, match=r"pip install 'qumade\[onnx\]'"):
        label_backgrounds(backgrounds, depth=tmp_path / "x.onnx", cache=tmp_path)
    with pytest.raises(QumadeError, match=r"pip install 'qumade\[teachers\]'"):
        label_backgrounds(backgrounds, labels="a/b", cache=tmp_path)


def test_photos_at_a_url_are_labelled_as_local_ones(
    teachers: Teachers, backgrounds: Path, tmp_path: Path, uploaded: Any
) -> None:
    url = uploaded(backgrounds)
    there = label_backgrounds(url, depth="a", labels="b", cache=tmp_path / "maps")
    assert len(teachers.asked) == 6
    assert label_backgrounds(backgrounds, depth="a", labels="b", cache=tmp_path / "maps") == there
    assert len(teachers.asked) == 6 and (there["depths"] / "photo 0.npy").is_file()
    shutil.copy(backgrounds / "photo 0.png", backgrounds / "photo 0.jpg")
    with pytest.raises(QumadeError, match=r"^Invalid backgrounds: got both memory://\S+/photos/photo 0\.jpg and photo"):
        label_backgrounds(uploaded(backgrounds), depth="a", cache=tmp_path / "maps")
