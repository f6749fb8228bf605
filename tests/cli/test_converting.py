import json


def test_a_dataset_is_converted_and_only_once(run, two_class_dataset, tmp_path):
    command = "convert", two_class_dataset, "--to", "voc", "--out", tmp_path / "voc", "--workers", 1, "--json"
    result = run(*command)
    assert result.code == 0 and result.last_line["classes"] == ["car", "person"]
    assert "60 samples in" in result.err and "each connected part" not in result.err
    assert (tmp_path / "voc" / "labelmap.txt").exists()
    again = run(*command)
    assert again.last_line["complete"] and "nothing was written" in again.err


def test_a_dataset_without_instances_is_named_as_such(run, make_dataset, tmp_path):
    root = make_dataset(folders=("images", "masks"))
    result = run("convert", root, "--to", "coco", "--out", tmp_path / "coco", "--workers", 1)
    assert result.code == 0 and "each connected part of a mask counts as one object" in result.out
    assert json.loads((tmp_path / "coco" / "annotations" / "instances_all.json").read_text())["images"]


def test_an_unknown_format_is_refused(run, make_dataset, tmp_path):
    result = run("convert", make_dataset(), "--to", "excel", "--out", tmp_path / "x")
    assert result.code == 2 and "coco" in result.err + result.out
