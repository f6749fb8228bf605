from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qumade.errors import QumadeError
from qumade.teachers.depth import DEFAULT_MODEL, depth_teacher, label_depth

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

# Family, network class, kind, and whether its number is larger where it is nearer.
FAMILIES = [
    ("depth_anything", "DepthAnythingForDepthEstimation", "affine", True),
    ("depth_anything_metric", "DepthAnythingForDepthEstimation", "metric", False),
    ("dpt", "DPTForDepthEstimation", "affine", True),
    ("dpt_dinov2", "DPTForDepthEstimation", "metric", False),
    ("zoedepth", "ZoeDepthForDepthEstimation", "metric", False),
    ("depth_pro", "DepthProForDepthEstimation", "metric", True),
    ("depth_pro_without_view", "DepthProForDepthEstimation", "scaled", True),
]
FIELD_OF_VIEW = 50.0


def brightness(processor_mean: float, processor_std: float) -> Callable[..., Any]:
    """A network that calls the brightness (0..1) of its input `predicted_depth`."""

    def forward(self: Any, pixel_values: Any, **_: Any) -> Any:
        from transformers.models.depth_pro.modeling_depth_pro import DepthProDepthEstimatorOutput

        seen = pixel_values[:, 0] * processor_std + processor_mean
        view = torch.full((len(seen),), FIELD_OF_VIEW) if getattr(self.config, "use_fov_model", False) else None
        return DepthProDepthEstimatorOutput(predicted_depth=seen, field_of_view=view)

    return forward


@pytest.mark.slow
@pytest.mark.parametrize(("family", "network", "kind", "near_is_larger"), FAMILIES)
def test_tiny_network_is_loaded_and_labels_at_the_pictures_sizes(
    family: str, network: str, kind: str, near_is_larger: bool, saved_model: Any, pictures: list[np.ndarray]
) -> None:
    teacher = depth_teacher(saved_model(family))
    assert teacher.kind == kind
    maps = teacher.predict(pictures, 2)
    for picture, inverse_depth in zip(pictures, maps, strict=True):
        assert inverse_depth.shape == picture.shape[:2] and inverse_depth.dtype == np.float32
        assert np.isfinite(inverse_depth).all()
        assert kind == "affine" or inverse_depth.min() >= 0
    alone = [teacher.predict([picture], 1)[0] for picture in pictures]
    for one, together in zip(alone, maps, strict=True):
        np.testing.assert_allclose(one, together, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(("family", "network", "kind", "near_is_larger"), FAMILIES)
def test_what_the_family_calls_near_comes_out_larger_and_in_its_place(
    family: str,
    network: str,
    kind: str,
    near_is_larger: bool,
    saved_model: Any,
    pictures: list[np.ndarray],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = saved_model(family)
    processor = transformers.AutoImageProcessor.from_pretrained(folder)
    forward = brightness(processor.image_mean[0], processor.image_std[0])
    monkeypatch.setattr(getattr(transformers, network), "forward", forward)
    maps = depth_teacher(folder).predict(pictures, 8)
    for picture, inverse_depth in zip(pictures, maps, strict=True):
        said = picture[..., 0] / 255
        truth = said if near_is_larger else 1 / said
        if family == "depth_pro":  # it says inverse depth times focal length over width
            truth = said * 2 * np.tan(np.radians(FIELD_OF_VIEW) / 2)
        error = np.abs(inverse_depth - truth) / truth
        height, width = said.shape
        inner = np.zeros(said.shape, bool)
        inner[height // 8 : -height // 8, width // 8 : -width // 8] = True
        inner[3 * height // 4 - height // 12 : 3 * height // 4 + height // 12] = False  # the band's blurred edge
        assert error[inner].max() < 0.06
        assert abs(np.mean((inverse_depth / truth)[inner]) - 1) < 0.02


def test_four_metres_become_an_inverse_depth_of_a_quarter(
    saved_model: Any, pictures: list[np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers.modeling_outputs import DepthEstimatorOutput

    def forward(self: Any, pixel_values: Any, **_: Any) -> Any:
        return DepthEstimatorOutput(predicted_depth=torch.full_like(pixel_values[:, 0], 4.0))

    monkeypatch.setattr(transformers.ZoeDepthForDepthEstimation, "forward", forward)
    for inverse_depth in depth_teacher(saved_model("zoedepth")).predict(pictures, 2):
        np.testing.assert_allclose(inverse_depth, 0.25, rtol=1e-5)


def test_labels_are_computed_once(
    saved_model: Any, picture_files: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = saved_model("depth_anything")
    first = label_depth(picture_files, folder, cache=tmp_path / "cache", batch_size=2)
    assert first.kind == "affine" and [file.suffix for file in first.files] == [".npy"] * 3
    shapes = [np.load(file, allow_pickle=False).shape for file in first.files]
    assert shapes == [(60, 90), (96, 64), (60, 90)]

    def forward(*_: Any, **__: Any) -> None:
        raise AssertionError("computed again")

    monkeypatch.setattr(transformers.DepthAnythingForDepthEstimation, "forward", forward)
    assert label_depth(picture_files[::-1], folder, cache=tmp_path / "cache").files == first.files[::-1]


def test_other_weights_are_another_teacher(saved_model: Any) -> None:
    assert depth_teacher(saved_model("dpt")).fingerprint == depth_teacher(saved_model("dpt")).fingerprint
    assert depth_teacher(saved_model("dpt")).fingerprint != depth_teacher(saved_model("zoedepth")).fingerprint


@pytest.mark.parametrize("batch_size", [0, -1])
def test_batch_size_must_be_positive(saved_model: Any, tmp_path: Path, batch_size: int) -> None:
    with pytest.raises(QumadeError, match="batch size"):
        label_depth([], saved_model("dpt"), cache=tmp_path, batch_size=batch_size)


def test_a_network_for_something_else_is_refused(saved_model: Any) -> None:
    with pytest.raises(QumadeError, match="family 'segformer'"):
        depth_teacher(saved_model("segformer"))


def test_the_default_is_not_fetched_unasked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(
        QumadeError, match=f"not on disk; fetch it with --download, or with: hf download {DEFAULT_MODEL}"
    ):
        depth_teacher("auto")
