from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from qumade.assets.labels import read_labels
from qumade.errors import QumadeError
from qumade.teachers.segmentation import label_segments, segmentation_teacher

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

FAMILIES = [
    ("segformer", "SegformerForSemanticSegmentation"),
    ("mobilenet_v2", "MobileNetV2ForSemanticSegmentation"),
    ("mask2former", "Mask2FormerForUniversalSegmentation"),
]


@pytest.mark.parametrize(("family", "network"), FAMILIES)
def test_tiny_network_labels_at_the_pictures_sizes(
    family: str, network: str, saved_model: Any, pictures: list[np.ndarray]
) -> None:
    teacher = segmentation_teacher(saved_model(family))
    assert dict(teacher.names) == {"road": (0,), "sky": (1,), "car": (2,)}
    for picture, ids in zip(pictures, teacher.predict(pictures, 2), strict=True):
        assert ids.shape == picture.shape[:2] and ids.dtype == np.uint16 and ids.max() < 3


@pytest.mark.parametrize(("family", "network"), FAMILIES)
def test_classes_come_out_in_their_place(
    family: str, network: str, saved_model: Any, pictures: list[np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = saved_model(family)
    processor = transformers.AutoImageProcessor.from_pretrained(folder)
    mean, std = (processor.image_mean[0], processor.image_std[0]) if processor.do_normalize else (0.0, 1.0)

    def forward(self: Any, pixel_values: Any, **_: Any) -> Any:
        """Road where dark, sky where middling, car where bright."""
        seen = pixel_values[:, 0] * std + mean
        scores = torch.stack([0.4 - seen, torch.full_like(seen, 0.0), seen - 0.6], 1) * 30
        if family == "mask2former":
            classes = torch.eye(3, 4).expand(len(seen), 3, 4) * 30
            return transformers.utils.ModelOutput(class_queries_logits=classes, masks_queries_logits=scores)
        return transformers.utils.ModelOutput(logits=scores)

    monkeypatch.setattr(getattr(transformers, network), "forward", forward)
    for picture, ids in zip(pictures, segmentation_teacher(folder).predict(pictures, 8), strict=True):
        said = picture[..., 0] / 255
        truth = np.where(said < 0.4, 0, np.where(said > 0.6, 2, 1))
        assert np.mean(ids == truth) > 0.95
        assert set(np.unique(ids)) == {0, 1, 2}


def test_labels_are_computed_once_and_read_back(
    saved_model: Any, picture_files: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = saved_model("segformer")
    first = label_segments(picture_files, folder, cache=tmp_path / "cache")
    assert read_labels(first.files[1], (64, 96)).shape == (96, 64)
    monkeypatch.setattr(transformers.SegformerForSemanticSegmentation, "forward", SimpleNamespace())
    again = label_segments(picture_files, folder, cache=tmp_path / "cache")
    assert again.files == first.files and again.names == first.names


def test_a_network_for_something_else_is_refused(saved_model: Any, tmp_path: Path) -> None:
    with pytest.raises(QumadeError, match="family 'depth_anything'"):
        segmentation_teacher(saved_model("depth_anything"))
    with pytest.raises(QumadeError, match="batch size"):
        label_segments([], saved_model("segformer"), cache=tmp_path, batch_size=0)


def test_weights_of_something_else_are_refused(saved_model: Any) -> None:
    """A DPT for depth passes for one for segmentation by its configuration; its head would be made up."""
    teacher = segmentation_teacher(saved_model("dpt"))
    with pytest.raises(QumadeError, match=r"got no weights for \w*head\."):
        teacher.predict([np.zeros((32, 32, 3), np.uint8)], 1)


def test_auto_is_the_default_network(saved_model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from qumade.teachers import network, segmentation

    folder, asked = Path(saved_model("segformer")), []
    monkeypatch.setattr(network, "find_model", lambda model, download: asked.append(model) or folder)
    assert dict(segmentation_teacher("auto").names) == {"road": (0,), "sky": (1,), "car": (2,)}
    assert asked == [segmentation.DEFAULT_MODEL]
