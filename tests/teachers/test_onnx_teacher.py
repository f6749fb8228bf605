from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from qumade.errors import QumadeError

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from onnx import TensorProto, helper  # noqa: E402

from qumade.teachers import onnx_teacher  # noqa: E402
from qumade.teachers.depth import depth_teacher, label_depth  # noqa: E402
from qumade.teachers.segmentation import label_segments, segmentation_teacher  # noqa: E402

MEAN, STD = 0.4, 0.25
BASE = {"input_size": [48, 32], "mean": [MEAN] * 3, "std": [STD] * 3}


def save_network(file: Path, nodes: list[Any], output: str, batch: int | str, kind: int = TensorProto.FLOAT) -> None:
    """A network from `seen`, its input's red channel as 0..1 [N, 1, H, W], to an output."""
    constants = {"mean": np.float32(MEAN), "std": np.float32(STD), "0": np.array([0]), "1": np.array([1])}
    initial = [
        helper.make_tensor(
            name, TensorProto.FLOAT if value.dtype == np.float32 else TensorProto.INT64, value.shape, value.ravel()
        )
        for name, value in constants.items()
    ]
    head = [
        helper.make_node("Slice", ["x", "0", "1", "1"], ["red"]),
        helper.make_node("Mul", ["red", "std"], ["scaled"]),
        helper.make_node("Add", ["scaled", "mean"], ["seen"]),
    ]
    graph = helper.make_graph(
        head + nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, 3, 32, 48])],
        [helper.make_tensor_value_info(output, kind, None)],
        initial,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, file)


def brightness_network(folder: Path, batch: int | str = "n", **settings: Any) -> Path:
    """A network that calls the brightness of a picture its depth."""
    file = folder / "net.onnx"
    save_network(file, [helper.make_node("Squeeze", ["seen", "1"], ["depth"])], "depth", batch)
    file.with_suffix(".yaml").write_text(yaml.safe_dump({**BASE, **settings}))
    return file


def inner(values: np.ndarray) -> np.ndarray:
    """Without the rim and the blurred edge of the band."""
    height, width = values.shape
    return values[height // 8 : 2 * height // 3, width // 8 : -width // 8]


@pytest.mark.parametrize("batch", ["n", 1, 2])
@pytest.mark.parametrize(
    ("kind", "direction"),
    [("metric", "distance"), ("scaled", "distance"), ("metric", "inverse"), ("affine", "inverse")],
)
def test_near_comes_out_larger_and_in_its_place(
    tmp_path: Path, pictures: list[np.ndarray], batch: int | str, kind: str, direction: str
) -> None:
    teacher = depth_teacher(brightness_network(tmp_path, batch, kind=kind, direction=direction))
    assert teacher.kind == kind
    maps = teacher.predict(pictures, 8)
    for picture, inverse_depth in zip(pictures, maps, strict=True):
        assert inverse_depth.shape == picture.shape[:2] and inverse_depth.dtype == np.float32
        said = picture[..., 0] / 255
        truth = said if direction == "inverse" else 1 / said
        np.testing.assert_allclose(inner(inverse_depth), inner(truth), rtol=0.03)


def test_output_with_a_channel_is_read_as_well(tmp_path: Path, pictures: list[np.ndarray]) -> None:
    file = brightness_network(tmp_path, kind="affine", direction="inverse")
    flat = depth_teacher(file).predict(pictures, 2)
    save_network(file, [helper.make_node("Identity", ["seen"], ["depth"])], "depth", "n")
    for a, b in zip(flat, depth_teacher(file).predict(pictures, 2), strict=True):
        np.testing.assert_array_equal(a, b)
    save_network(file, [helper.make_node("Concat", ["seen", "seen"], ["depth"], axis=1)], "depth", "n")
    with pytest.raises(QumadeError, match=r"output of shape \(2, 32, 48\)"):
        depth_teacher(file).predict(pictures, 2)


@pytest.mark.parametrize("output", ["scores", "ids"])
def test_classes_come_out_in_their_place(tmp_path: Path, pictures: list[np.ndarray], output: str) -> None:
    file = tmp_path / "net.onnx"
    nodes = [
        helper.make_node("Sub", ["1.0", "seen"], ["dark"]),
        helper.make_node("Concat", ["dark", "seen"], ["scores"], axis=1),
    ]
    nodes = [helper.make_node("Constant", [], ["1.0"], value_float=1.0), *nodes]
    if output == "ids":
        nodes.append(helper.make_node("ArgMax", ["scores"], ["ids"], axis=1, keepdims=0))
    kind = TensorProto.INT64 if output == "ids" else TensorProto.FLOAT
    save_network(file, nodes, output, "n", kind)
    file.with_suffix(".yaml").write_text(yaml.safe_dump({**BASE, "names": ["dark", "bright"]}))
    teacher = segmentation_teacher(file)
    assert dict(teacher.names) == {"dark": (0,), "bright": (1,)}
    for picture, ids in zip(pictures, teacher.predict(pictures, 2), strict=True):
        assert ids.shape == picture.shape[:2] and ids.dtype == np.uint16
        assert np.mean(ids == (picture[..., 0] > 127.5)) > 0.95


def test_labels_are_computed_once(tmp_path: Path, picture_files: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    file = brightness_network(tmp_path, kind="metric", direction="inverse")
    first = label_depth(picture_files, str(file), cache=tmp_path / "cache")
    assert first.kind == "metric" and len(set(first.files)) == 3
    monkeypatch.setattr(onnx_teacher, "open_session", None)
    assert label_depth(picture_files, file, cache=tmp_path / "cache") == first
    file.with_suffix(".yaml").write_text(yaml.safe_dump({**BASE, "kind": "scaled", "direction": "inverse"}))
    with pytest.raises(TypeError):  # other settings are another teacher: it would have to run
        label_depth(picture_files, file, cache=tmp_path / "cache")


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "relative"},
        {"direction": None},
        {"kind": "affine", "direction": "distance"},
        {"input_size": [0, 32]},
        {"input_size": 518},
        {"std": [0.2, 0.2, 0.0]},
        {"mean": [0.1]},
        {"colour": "rgb"},
    ],
)
def test_wrong_settings_are_refused_by_name(tmp_path: Path, change: dict[str, Any]) -> None:
    file = brightness_network(tmp_path, **{"kind": "metric", "direction": "distance", **change})
    with pytest.raises(QumadeError, match=r"net\.yaml") as caught:
        depth_teacher(file)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"[1]", b"{a: ", b"!!python/name:os.system", b"[" * 20_000, b"\xff\xfe"])
def test_invalid_settings_files_are_refused(tmp_path: Path, content: bytes) -> None:
    file = brightness_network(tmp_path)
    file.with_suffix(".yaml").write_bytes(content)
    with pytest.raises(QumadeError, match=r"net\.yaml"):
        segmentation_teacher(file)


def test_missing_files_are_refused(tmp_path: Path) -> None:
    file = brightness_network(tmp_path, kind="metric", direction="distance")
    file.with_suffix(".yaml").unlink()
    with pytest.raises(QumadeError, match=r"net\.yaml.*must be YAML with input_size"):
        depth_teacher(file)
    with pytest.raises(QumadeError, match=r"other\.onnx"):
        label_segments([], tmp_path / "other.onnx", cache=tmp_path)


def test_a_network_that_does_not_fit_its_settings_is_refused(tmp_path: Path, pictures: list[np.ndarray]) -> None:
    file = brightness_network(tmp_path, kind="metric", direction="distance", input_size=[32, 48])
    with pytest.raises(QumadeError, match=r"one float32 input \[N, 3, 48, 32\]"):
        depth_teacher(file).predict(pictures, 1)
    file = brightness_network(tmp_path, kind="metric", direction="distance")
    file.write_bytes(file.read_bytes()[:50])
    with pytest.raises(QumadeError, match=r"net\.onnx; must be an ONNX network"):
        depth_teacher(file).predict(pictures, 1)


def test_output_that_is_no_label_map_is_refused(tmp_path: Path, pictures: list[np.ndarray]) -> None:
    file = brightness_network(tmp_path, names=["a", "b"])
    with pytest.raises(QumadeError, match="must be scores"):
        segmentation_teacher(file).predict(pictures, 1)
