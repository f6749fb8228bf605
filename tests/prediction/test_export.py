import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch

from qumade.errors import QumadeError
from qumade.models.config import NetworkConfig
from qumade.models.network import MaskDepthNetwork, build_network
from qumade.prediction import export as exporting
from qumade.prediction.export import TOLERANCE, Export, export_onnx
from qumade.prediction.onnx_digest import ONNX_DIGEST_KEY
from qumade.prediction.predictor import ONNX_CONFIG_KEY, Predictor, onnx_predictor, torch_predictor

CONFIG = NetworkConfig(size=(96, 64), inverse_depth_limits=(0.25, 4.0), depth_kind="metric", mean=(0.4, 0.5, 0.6))


@pytest.fixture(scope="module")
def network() -> MaskDepthNetwork:
    """A network of random weights whose normalisation layers do something."""
    torch.manual_seed(0)
    network = build_network(CONFIG)
    with torch.no_grad():
        for name, tensor in network.state_dict().items():
            if name.endswith(("running_mean", "running_var")):
                tensor.add_(torch.rand_like(tensor))
    return network.eval()


@pytest.fixture(scope="module")
def exported(network: MaskDepthNetwork, tmp_path_factory: pytest.TempPathFactory) -> Export:
    return export_onnx(network, tmp_path_factory.mktemp("export") / "model.onnx")


@pytest.mark.slow
def test_the_file_lies_alone_under_its_name(exported: Export) -> None:
    assert [path.name for path in exported.file.parent.iterdir()] == ["model.onnx"]
    assert exported.file.stat().st_size == exported.size_bytes
    onnx.checker.check_model(exported.file, full_check=True)


@pytest.mark.slow
def test_it_was_compared_in_several_sizes_and_batches(exported: Export) -> None:
    assert (1, 64, 96) in exported.shapes
    assert len({shape[0] for shape in exported.shapes}) >= 3 and len({shape[1:] for shape in exported.shapes}) >= 4
    assert 0 <= exported.max_mask_difference < TOLERANCE and 0 <= exported.max_depth_difference < TOLERANCE


@pytest.mark.slow
def test_the_config_stands_in_the_metadata(exported: Export) -> None:
    metadata = {entry.key: entry.value for entry in onnx.load(exported.file).metadata_props}
    assert NetworkConfig.model_validate_json(metadata[ONNX_CONFIG_KEY]) == CONFIG


@pytest.mark.slow
@pytest.mark.parametrize("shape", [(1, 32, 32), (5, 32, 160), (2, 128, 32), (1, 256, 320)])
def test_any_batch_of_any_size_agrees_with_torch(
    network: MaskDepthNetwork, exported: Export, shape: tuple[int, int, int]
) -> None:
    batch = np.random.default_rng(1).random((shape[0], 3, *shape[1:]), np.float32)
    with torch.inference_mode():
        output = network(torch.from_numpy(batch))
    mask, depth = onnx_predictor(exported.file, "cpu").forward(batch)
    np.testing.assert_allclose(mask, output.mask_logits.sigmoid().numpy(), atol=1e-4)
    np.testing.assert_allclose(depth, output.inverse_depth.numpy(), atol=1e-4 * (4.0 - 0.25))


@pytest.mark.slow
def test_photos_of_any_size_come_out_alike(network: MaskDepthNetwork, exported: Export) -> None:
    rng = np.random.default_rng(2)
    photos = [rng.integers(0, 256, (*shape, 3), np.uint8) for shape in ((1, 1), (50, 300), (64, 96), (64, 96))]
    ours, theirs = torch_predictor(network, "cpu")(photos), onnx_predictor(exported.file, "cpu")(photos)
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a.mask, b.mask, atol=1e-4)
        np.testing.assert_allclose(a.inverse_depth, b.inverse_depth, atol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("off_by", "expected"), [((2e-3, 0.0), "0.002"), ((0.0, 3.75 * 2e-3), "0.002"), ((np.nan, 0.0), "inf")]
)
def test_a_file_that_differs_is_not_written(
    network: MaskDepthNetwork,
    exported: Export,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    off_by: tuple[float, float],
    expected: str,
) -> None:
    def off(*arguments: Any) -> Predictor:
        right = onnx_predictor(*arguments)

        def forward(batch: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            mask, depth = right.forward(batch)
            mask[-1, 0, 3, 4] += off_by[0]
            depth[-1, 0, 3, 4] += off_by[1]
            return mask, depth

        return Predictor(right.config, forward)

    monkeypatch.setattr(exporting, "onnx_predictor", off)
    monkeypatch.setattr(exporting, "_onnx_bytes", lambda network: exported.file.read_bytes())
    with pytest.raises(QumadeError, match=f"a difference of {expected}.*must be at most 0.001"):
        export_onnx(network, tmp_path / "model.onnx")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["model.pt", "model", "nowhere/model.onnx", "folder.onnx"])
def test_a_name_that_cannot_be_written_is_refused_before_the_work(
    network: MaskDepthNetwork, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    (tmp_path / "folder.onnx").mkdir()
    monkeypatch.setattr(exporting, "_onnx_bytes", lambda network: pytest.fail("exported"))
    with pytest.raises(QumadeError, match=r"Invalid --out: .*must be a file that ends in \.onnx"):
        export_onnx(network, tmp_path / name)


def test_without_the_extra_the_line_that_installs_it(
    network: MaskDepthNetwork, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "onnxscript", None)
    with pytest.raises(QumadeError, match=r"pip install 'qumade\[onnx\]'"):
        export_onnx(network, tmp_path / "model.onnx")


@pytest.mark.slow
def test_several_classes_keep_their_names_and_their_predictions(tmp_path: Path) -> None:
    torch.manual_seed(1)
    config = CONFIG.model_copy(update={"classes": ("car", "person", 'Größe, "x"')})
    classed = build_network(config).eval()
    with torch.no_grad():
        classed.mask_decoder.head.bias.zero_()
    file = export_onnx(classed, tmp_path / "model.onnx").file
    metadata = {entry.key: entry.value for entry in onnx.load(file).metadata_props}
    assert json.loads(metadata["classes"]) == list(config.classes)
    predictor = onnx_predictor(file, "cpu")
    assert predictor.config == config
    photos = [np.random.default_rng(3).integers(0, 256, (70, 90, 3), np.uint8)]
    (ours,), (theirs,) = torch_predictor(classed, "cpu")(photos), predictor(photos)
    assert ours.class_map is not None and theirs.class_map is not None
    assert (ours.class_map == theirs.class_map).mean() > 0.999 and len(np.unique(ours.class_map)) > 1
    np.testing.assert_allclose(ours.mask, theirs.mask, atol=1e-4)


@pytest.mark.slow
def test_one_class_has_the_metadata_it_always_had(exported: Export) -> None:
    assert {entry.key for entry in onnx.load(exported.file).metadata_props} == {ONNX_CONFIG_KEY, ONNX_DIGEST_KEY}
