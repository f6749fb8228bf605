import shutil

import pytest
import yaml

from qumade.convert.exporters import conversion
from qumade.convert.exporters.conversion import convert
from qumade.errors import ConfigError, DatasetError, QumadeError


@pytest.mark.parametrize("to", ["coco", "yolo", "yolo-detect", "voc", "hf"])
def test_an_interrupted_conversion_is_finished_by_the_same_call(
    two_class_dataset, tmp_path, read_tree, monkeypatch, to
):
    monkeypatch.setattr(conversion, "CHUNK", 7)
    convert(two_class_dataset, to, tmp_path / "whole", workers=1, progress=False)
    expected = read_tree(tmp_path / "whole")
    calls = []

    def stop(update, chunk, result):
        calls.append(chunk)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return result

    with monkeypatch.context() as patch:
        patch.setattr(conversion, "_advance", stop)
        with pytest.raises(KeyboardInterrupt):
            convert(two_class_dataset, to, tmp_path / "part", workers=1, progress=False)
    assert yaml.safe_load((tmp_path / "part" / "conversion.yaml").read_text())["complete"] is False
    summary = convert(two_class_dataset, to, tmp_path / "part", workers=1, progress=False)
    assert not summary.complete and read_tree(tmp_path / "part") == expected
    assert convert(two_class_dataset, to, tmp_path / "part", workers=1, progress=False).complete


@pytest.mark.slow
def test_the_number_of_workers_makes_no_difference(two_class_dataset, tmp_path, read_tree, monkeypatch):
    monkeypatch.setattr(conversion, "CHUNK", 7)
    for workers in (1, 2):
        convert(two_class_dataset, "coco", tmp_path / str(workers), workers=workers, progress=False)
    assert read_tree(tmp_path / "1") == read_tree(tmp_path / "2")


def test_a_folder_of_something_else_is_refused(two_class_dataset, tmp_path):
    (tmp_path / "mine.txt").touch()
    with pytest.raises(DatasetError, match=r"is not empty and holds no conversion\.yaml \(but 'mine\.txt'\)"):
        convert(two_class_dataset, "coco", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_another_conversion_in_the_folder_is_refused(exported, two_class_dataset):
    out, _ = exported("voc")
    with pytest.raises(DatasetError, match="holds a conversion with format 'voc', this one has 'coco'"):
        convert(two_class_dataset, "coco", out)


def test_polygons_are_of_coco(two_class_dataset, tmp_path):
    with pytest.raises(ConfigError, match="got it with 'voc'; must be left out unless the format is coco"):
        convert(two_class_dataset, "voc", tmp_path / "out", polygons=True)


def test_depth_alone_has_no_objects(metric_dataset, tmp_path):
    shutil.rmtree(metric_dataset / "masks")
    with pytest.raises(DatasetError, match=r"got no masks in .*; must have them for voc"):
        convert(metric_dataset, "voc", tmp_path / "out")


def test_a_damaged_file_is_named(two_class_dataset, tmp_path):
    root = tmp_path / "dataset"
    shutil.copytree(two_class_dataset, root)
    path = sorted((root / "instances").iterdir())[5]
    path.write_bytes(path.read_bytes()[:30])
    with pytest.raises(QumadeError, match=str(path)):
        convert(root, "coco", tmp_path / "out", workers=1, progress=False)
