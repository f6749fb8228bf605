import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from qumade.errors import QumadeError
from qumade.models import network as networks
from qumade.models.config import NetworkConfig
from qumade.prediction.predictor import (
    ONNX_CONFIG_KEY,
    Predictor,
    load_predictor,
    onnx_predictor,
    torch_predictor,
)

CONFIG = NetworkConfig(size=(64, 32), inverse_depth_limits=(0.0, 2.0), depth_kind="scaled")


def red_and_green(batch: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A network of which everything is known: red is the mask, twice green the inverse depth."""
    return batch[:, :1], 2 * batch[:, 1:2]


def picture(width: int, height: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def write_onnx(file: Path, **changes: Any) -> Path:
    """`red_and_green` as an .onnx, as `qumade export` describes one, with something changed."""
    floats: Any = TensorProto.FLOAT
    shape = ["n", 3, "h", "w"]
    names = changes.get("outputs", ["mask", "inverse_depth"])
    start, end, axes = (numpy_helper.from_array(np.array([v]), name) for v, name in ((0, "zero"), (1, "one"), (1, "c")))
    nodes = [
        helper.make_node("Slice", ["image", "zero", "one", "c"], [names[0]]),
        helper.make_node("Slice", ["image", "one", "two", "c"], ["green"]),
        helper.make_node("Add", ["green", "green"], [names[1]]),
    ]
    if changes.get("pooled"):
        nodes[2] = helper.make_node("ReduceMean", ["green"], [names[1]], keepdims=1)
    graph = helper.make_graph(
        nodes,
        "red_and_green",
        [helper.make_tensor_value_info("image", changes.get("type", floats), changes.get("shape", shape))],
        [helper.make_tensor_value_info(name, changes.get("type", floats), None) for name in names],
        [start, end, axes, numpy_helper.from_array(np.array([2]), "two")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    metadata = changes.get("metadata", CONFIG.model_dump_json())
    if metadata is not None:
        helper.set_model_props(model, {ONNX_CONFIG_KEY: metadata})
    onnx.save(model, file)
    return file


def test_a_picture_of_the_trained_size_is_seen_as_it_is() -> None:
    image = picture(64, 32)
    (prediction,) = Predictor(CONFIG, red_and_green)([image])
    assert prediction.mask.dtype == prediction.inverse_depth.dtype == np.float32
    np.testing.assert_allclose(prediction.mask, image[..., 0] / 255, atol=1e-6)
    np.testing.assert_allclose(prediction.inverse_depth, image[..., 1] / 127.5, atol=1e-6)


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (700, 1), (33, 31), (640, 480), (2000, 100)])
def test_pictures_of_any_size_come_back_at_their_own(size: tuple[int, int]) -> None:
    image = np.empty((size[1], size[0], 3), np.uint8)
    image[:] = (51, 102, 7)
    (prediction,) = Predictor(CONFIG, red_and_green)([image])
    assert prediction.mask.shape == prediction.inverse_depth.shape == (size[1], size[0])
    np.testing.assert_allclose(prediction.mask, 0.2, atol=1e-6)
    np.testing.assert_allclose(prediction.inverse_depth, 0.8, atol=1e-6)


def test_predictions_lie_where_the_picture_has_them() -> None:
    image = np.zeros((480, 640, 3), np.uint8)
    image[240:, 320:, 0] = 255
    (prediction,) = Predictor(CONFIG.model_copy(update={"size": (160, 128)}), red_and_green)([image])
    assert np.array_equal(prediction.mask[250:, 330:] > 0.5, np.ones((230, 310), bool))
    assert not (prediction.mask[:230] > 0.5).any() and not (prediction.mask[:, :310] > 0.5).any()


def test_pictures_of_one_size_share_batches_and_keep_their_order() -> None:
    seen: list[tuple[int, ...]] = []

    def forward(batch: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        seen.append(batch.shape)
        assert batch.flags.c_contiguous and batch.dtype == np.float32
        return red_and_green(batch)

    images = [np.full((64, 32, 3) if n % 3 == 1 else (32, 64, 3), n, np.uint8) for n in range(9)]
    predictions = Predictor(CONFIG, forward, batch_size=4)(images)
    assert sorted(seen) == [(2, 3, 32, 64), (3, 3, 64, 32), (4, 3, 32, 64)]
    for number, prediction in enumerate(predictions):
        np.testing.assert_allclose(prediction.mask, number / 255, atol=1e-6)
    assert Predictor(CONFIG, forward)([]) == []


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((4, 4, 3)),
        np.zeros((0, 4, 3), np.uint8),
    ],
)
def test_what_is_no_picture_is_refused(image: np.ndarray) -> None:
    with pytest.raises(QumadeError, match=r"Invalid picture: .*uint8 \[H, W, 3\]"):
        Predictor(CONFIG, red_and_green)([picture(4, 4), image])


def test_a_non_finite_prediction_is_refused() -> None:
    predictor = Predictor(CONFIG, lambda batch: (batch[:, :1], batch[:, :1] * np.nan))
    with pytest.raises(QumadeError, match="NaN or infinity as prediction; must be trained again"):
        predictor([picture(4, 4)])
    with pytest.raises(QumadeError, match="NaN or infinity as prediction from /runs/run_1; must be trained again"):
        replace(predictor, path=Path("/runs/run_1"))([picture(4, 4)])


def test_an_onnx_file_predicts_what_its_graph_says(tmp_path: Path) -> None:
    predictor = load_predictor(write_onnx(tmp_path / "model.ONNX"), "cpu")
    assert predictor.config == CONFIG and predictor.path == tmp_path / "model.ONNX"
    images = [picture(64, 32), picture(200, 100, 1), picture(31, 77, 2)]
    for got, expected in zip(predictor(images), Predictor(CONFIG, red_and_green)(images), strict=True):
        np.testing.assert_allclose(got.mask, expected.mask, atol=1e-6)
        np.testing.assert_allclose(got.inverse_depth, expected.inverse_depth, atol=1e-6)


NO_TORCH = """
import sys
class Blocked:
    def find_spec(self, name, *rest):
        if name.split(".")[0] in ("torch", "torchvision", "timm"):
            raise AssertionError(name)
sys.meta_path.insert(0, Blocked())
from qumade.cli import main
sys.argv = ["qumade", "predict", *sys.argv[1:]]
main()
"""


@pytest.mark.slow
def test_an_onnx_file_needs_no_torch(tmp_path: Path, asset_folders: Path) -> None:
    file = write_onnx(tmp_path / "model.onnx")
    command = [sys.executable, "-c", NO_TORCH, str(file), str(asset_folders / "backgrounds")]
    command += ["--out", str(tmp_path / "out"), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["predicted"] == 3


def content(**fields: Any) -> str:
    return json.dumps(CONFIG.model_dump() | fields)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"metadata": None}, "no qumade.network in its metadata"),
        ({"metadata": "{"}, "wrong qumade.network"),
        ({"metadata": content(model="huge")}, "wrong model"),
        ({"metadata": content(inverse_depth_limits=[1, 0])}, "inverse_depth_limits"),
        ({"metadata": content(inverse_depth_limits=[0, float("nan")])}, "wrong inverse_depth_limits"),
        ({"metadata": content(size=[16384, 16384])}, "size of 16384x16384 pixels"),
        ({"metadata": content(more=1)}, "wrong more"),
        ({"shape": [3, "h", "w"]}, "must be an .onnx file"),
        ({"shape": [1, 3, 17, 17]}, "must be an .onnx file"),
        ({"type": TensorProto.DOUBLE}, r"inputs \[\('image', 'tensor\(double\)', 4\)\]"),
        ({"outputs": ["mask", "depth"]}, r"outputs \[\('mask'"),
        ({"pooled": True}, "outputs of shape"),
    ],
)
def test_an_onnx_file_of_something_else_is_refused_in_one_line(
    tmp_path: Path, changes: dict[str, Any], expected: str
) -> None:
    file = write_onnx(tmp_path / "model.onnx", **changes)
    with pytest.raises(QumadeError, match=expected) as error:
        load_predictor(file)
    assert str(file) in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("garbage", [b"", b"no network", b"\x08\x0a" * 100])
def test_a_damaged_onnx_file_is_refused_by_name(tmp_path: Path, garbage: bytes) -> None:
    file = tmp_path / "model.onnx"
    file.write_bytes(garbage)
    with pytest.raises(QumadeError, match=r"Invalid network: .*model\.onnx; must be"):
        load_predictor(file)


@pytest.mark.parametrize(
    ("make", "device", "expected"),
    [
        (lambda path: None, None, "got nothing at"),
        (lambda path: path.write_text("a"), None, "got a file at"),
        (lambda path: path.mkdir(), "tpu", "Invalid device: got 'tpu'"),
        (lambda path: (path / "weights").mkdir(parents=True), None, "Invalid run"),
    ],
)
def test_what_is_no_network_is_refused(
    tmp_path: Path, make: Callable[[Path], object], device: str | None, expected: str
) -> None:
    make(tmp_path / "run")
    with pytest.raises(QumadeError, match=expected):
        load_predictor(tmp_path / "run", device)


def test_a_network_in_memory_predicts_what_it_says() -> None:
    import torch

    torch.manual_seed(0)
    network = networks.build_network(NetworkConfig(size=(64, 32), inverse_depth_limits=(0.5, 1.5)))
    image = picture(64, 32)
    (prediction,) = torch_predictor(network.train(), "cpu")([image])
    with torch.inference_mode():
        output = network.eval()(torch.from_numpy(image).permute(2, 0, 1)[None] / 255)
    np.testing.assert_allclose(prediction.mask, output.mask_logits.sigmoid()[0, 0].numpy(), atol=1e-5)
    np.testing.assert_allclose(prediction.inverse_depth, output.inverse_depth[0, 0].numpy(), atol=1e-5)


def test_content_is_told_by_the_name_it_will_have(tmp_path: Path) -> None:
    file = write_onnx(tmp_path / "model.onnx")
    later = tmp_path / "later.onnx"
    assert onnx_predictor(later, "cpu", file.read_bytes()).config == CONFIG
    with pytest.raises(QumadeError, match=r"later\.onnx"):
        onnx_predictor(later, "cpu", b"no network")


@pytest.mark.parametrize(("holds", "found"), [("dataset.yaml", "a dataset"), ("photo.jpg", "no config.yaml")])
def test_folders_that_are_no_run_are_told(tmp_path: Path, holds: str, found: str) -> None:
    (tmp_path / holds).touch()
    with pytest.raises(QumadeError, match=f"got {found} in {tmp_path}; must be the folder of a run, as `qumade train"):
        load_predictor(tmp_path)
