import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from qumade.cli.app import make_app
from qumade.data.folder import FolderDataset
from qumade.errors import QumadeError


def call(*arguments: object) -> None:
    make_app()([str(each) for each in arguments], exit_on_error=False, result_action="return_value")


@pytest.fixture
def camvid(tmp_path: Path) -> Path:
    root = tmp_path / "camvid"
    for split, left in (("train", 20), ("val", 40)):
        ids = np.full((90, 120), 3, np.uint8)
        ids[30:70, left : left + 60] = 8
        for folder, pixels in ((split, np.zeros((90, 120, 3), np.uint8)), (f"{split}annot", ids)):
            (root / folder).mkdir(parents=True)
            Image.fromarray(pixels).save(root / folder / f"{split}.png")
    return root


def test_import_stats_and_cutouts(camvid: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    call("import", "camvid", camvid, "--out", out, "--class", "car", "--class", "road", "--json")
    summary = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert summary["samples"] == 2 and summary["splits"] == {"train": 1, "val": 1}
    assert summary["folders"] == ["images", "masks", "ignore"]
    call("stats", out, "--workers", "1", "--json")
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["masks"]["object_share"] == 1

    call("cutouts", camvid, "--dataset", "camvid", "--out", tmp_path / "fg", "--json")
    summary = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (summary["kept"], summary["frames"], summary["splits"]) == (1, 1, ["train"])
    call("cutouts", camvid, "--dataset", "camvid", "--split", "val", "--out", tmp_path / "fg2", "--any-shape")
    assert "1 cut-out from 1 photo of val" in capsys.readouterr().out
    with pytest.raises(QumadeError, match=r"must be car, road, which its masks show"):
        call("cutouts", out, "--class", "car", "--out", tmp_path / "fg3")


@pytest.fixture
def red_photos(tmp_path: Path) -> Path:
    """Photos of a red box on black, and beside them networks for which red is a car, and near."""
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    from onnx import TensorProto, helper

    nodes = [
        helper.make_node("Slice", ["x", "0", "1", "1"], ["red"]),
        helper.make_node("Sub", ["half", "red"], ["road"]),
        helper.make_node("Sub", ["red", "half"], ["car"]),
        helper.make_node("Concat", ["road", "car"], ["logits"], axis=1),
        helper.make_node("Squeeze", ["red", "1"], ["depth"]),
    ]
    constants = [
        helper.make_tensor("0", TensorProto.INT64, [1], [0]),
        helper.make_tensor("1", TensorProto.INT64, [1], [1]),
        helper.make_tensor("half", TensorProto.FLOAT, [], [0.5]),
    ]
    settings = "input_size: [120, 90]\nmean: [0, 0, 0]\nstd: [1, 1, 1]\n"
    for output, more in (
        ("logits", "names: [road, car]\n"),
        ("depth", "kind: scaled\ndirection: inverse\n"),
    ):
        values = helper.make_tensor_value_info(output, TensorProto.FLOAT, None)
        image = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 90, 120])
        graph = helper.make_graph(nodes, "g", [image], [values], constants)
        onnx.save(
            helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9),
            tmp_path / f"{output}.onnx",
        )
        (tmp_path / f"{output}.yaml").write_text(settings + more)
    (tmp_path / "photos").mkdir()
    for stem, left in (("a", 20), ("b", 40)):
        pixels = np.zeros((90, 120, 3), np.uint8)
        pixels[30:70, left : left + 60, 0] = 250
        pixels[0, 0, 0] = 125
        Image.fromarray(pixels).save(tmp_path / "photos" / f"{stem}.png")
    return tmp_path / "photos"


def test_photos_without_labels_become_a_dataset_with_those_of_teachers(
    red_photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labels, depth = ("--label-teacher", tmp_path / "logits.onnx"), ("--depth-teacher", tmp_path / "depth.onnx")
    where = ("--teacher-cache", tmp_path / "cache")
    call("import", "pairs", red_photos, "--out", tmp_path / "out", *labels, *depth, *where)
    assert "the mask shows car" in capsys.readouterr().out
    dataset = FolderDataset(tmp_path / "out")
    assert dataset.depth_encoding.kind == "scaled"
    for stem, left in (("a", 20), ("b", 40)):
        car = np.zeros((90, 120), bool)
        car[30:70, left : left + 60] = True
        np.testing.assert_array_equal(dataset.read_mask(stem), np.where(car, 255, 0))
        near = dataset.read_depth_levels(stem) / 65535
        np.testing.assert_allclose(near[car], 1.0)
        assert near[0, 0] == pytest.approx(0.5, abs=0.01) and near[-1, -1] == 0

    call("cutouts", red_photos, "--out", tmp_path / "fg", "--min-side", "24", *labels, *where)
    assert "2 cut-outs from 2 photos" in capsys.readouterr().out
    with Image.open(tmp_path / "fg" / "a-01.png") as cutout:
        assert cutout.getpixel((cutout.width // 2, cutout.height // 2)) == (250, 0, 0, 255)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("import", "pairs", "photos", "--label-teacher", "n.onnx", "--masks", "m"), "takes --masks or the teacher n"),
        (("import", "pairs", "photos", "--depth-teacher", "n.onnx", "--depth", "m"), "takes --depth or the teacher n"),
        (("import", "coco", "photos", "--label-teacher", "n.onnx"), "takes no --label-teacher; only pairs does"),
        (("cutouts", "photos", "--label-teacher", "n.onnx", "--dataset", "coco"), "takes --label-teacher or --dataset"),
    ],
)
def test_labels_have_one_source(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], message: str
) -> None:
    with pytest.raises(SystemExit) as end:
        call(*arguments, "--out", tmp_path / "out")
    assert end.value.code == 2 and message in capsys.readouterr().err


def test_strict_refuses_what_is_left_out_of_cutouts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = tmp_path / "coco"
    for folder in ("annotations", "train2017"):
        (root / folder).mkdir(parents=True)
    outline = [[10, 10, 60, 10, 60, 50, 10, 50]]
    car = {"image_id": 1, "category_id": 1, "iscrowd": 0}
    annotations = [
        {"id": 1, "segmentation": outline, "bbox": [10, 10, 50, 40], "area": 2000, **car},
        {"id": 2, "segmentation": [], "bbox": [70, 10, 30, 40], "area": 1200, **car},
    ]
    images = [{"id": 1, "file_name": "a.png", "width": 120, "height": 90}]
    content = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "car"}]}
    (root / "annotations" / "instances_train2017.json").write_text(json.dumps(content))
    Image.new("RGB", (120, 90)).save(root / "train2017" / "a.png")
    flags = ("--dataset", "coco", "--out", tmp_path / "fg", "--any-shape")
    with pytest.raises(QumadeError, match=r"annotation 2 .*; must be none with --strict"):
        call("cutouts", root, *flags, "--strict")
    assert not (tmp_path / "fg").exists()
    call("cutouts", root, *flags)
    captured = capsys.readouterr()
    assert "annotation 2 " in captured.err and "1 cut-out" in captured.out


def test_depth_alone_has_statistics(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for folder, pixels in (("rgb", np.zeros((2, 3, 3), np.uint8)), ("depth", np.full((2, 3), 512, np.uint16))):
        (tmp_path / folder).mkdir()
        Image.fromarray(pixels).save(tmp_path / folder / "a.png")
    call("import", "kitti", tmp_path, "--out", tmp_path / "out")
    assert "1 sample in" in capsys.readouterr().out
    call("stats", tmp_path / "out", "--workers", "1", "--json")
    captured = capsys.readouterr()
    assert json.loads(captured.out.splitlines()[-1])["depth"]["mean"] == pytest.approx(0.5)
    assert "placements.png" not in captured.err
    call(
        "import",
        "pairs",
        tmp_path,
        "--images",
        "rgb",
        "--depth",
        "depth",
        "--depth-scale",
        512,
        "--out",
        tmp_path / "b",
    )
    call("stats", tmp_path / "b", "--workers", "1", "--json")
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["depth"]["mean"] == pytest.approx(1)


def test_an_unknown_class_is_refused_naming_those_that_exist(camvid: Path, tmp_path: Path) -> None:
    with pytest.raises(QumadeError, match=r"got 'lorry' .*must be one of sky"):
        call("import", "camvid", camvid, "--out", tmp_path / "out", "--class", "lorry")


def test_flags_of_pairs_are_refused_for_other_datasets(
    camvid: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as exit_info:
        call("import", "camvid", camvid, "--out", tmp_path / "out", "--depth-scale", "100")
    assert exit_info.value.code == 2
    assert "takes no --depth-scale; only pairs does" in capsys.readouterr().err
