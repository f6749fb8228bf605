import dataclasses
from typing import Any

import pytest

from qumade.depth.encoding import DepthEncoding
from qumade.synth.choose_encoding import layered_encoding, predicted_encoding


@pytest.mark.parametrize(
    ("kind", "encoding", "changes", "expected"),
    [
        ("scaled", "jpeg", {}, {"code": "inverse", "bits": 8, "range": (0.0, 1.5)}),
        ("metric", "jpeg", {}, {"code": "inverse", "bits": 8, "range": (0.0, 0.5)}),
        ("affine", "jpeg", {}, {"code": "inverse", "bits": 8, "range": (0.0, 1.0)}),
        ("affine", "jpeg", {"depth_near": 3.0}, {"code": "inverse", "bits": 8, "range": (0.0, 3.0)}),
        ("scaled", "jpeg", {"depth_quantization": "image"}, {"code": "inverse", "bits": 8, "range": "image"}),
        ("scaled", "lossless", {}, {"code": "inverse", "bits": 16, "range": (0.0, 1.5)}),
        ("metric", "lossless", {}, {"code": "metres", "bits": 16, "depth_scale": 256.0}),
    ],
)
def test_a_dataset_has_one_depth_encoding(
    works: Any, kind: Any, encoding: str, changes: dict[str, Any], expected: dict[str, Any]
) -> None:
    recipe = works.recipe.model_copy(update={"encoding": encoding, **changes})
    code = layered_encoding(recipe, dataclasses.replace(works.catalog, depth_kind=kind))
    assert code == DepthEncoding(kind=kind, source="prior", **expected)


@pytest.mark.parametrize(
    ("kind", "encoding", "changes", "expected"),
    [
        ("affine", "jpeg", {}, {"code": "inverse", "bits": 8, "range": "image"}),
        ("affine", "jpeg", {"depth_near": 3.0}, {"code": "inverse", "bits": 8, "range": "image"}),
        ("affine", "lossless", {}, {"code": "inverse", "bits": 16, "range": "image"}),
        ("scaled", "jpeg", {}, {"code": "inverse", "bits": 8, "range": (0.0, 1.5)}),
        ("metric", "jpeg", {"depth_near": 0.2}, {"code": "inverse", "bits": 8, "range": (0.0, 0.2)}),
        ("metric", "lossless", {}, {"code": "metres", "bits": 16, "depth_scale": 256.0}),
    ],
)
def test_predicted_affine_depth_has_a_range_per_image(
    works: Any, kind: Any, encoding: str, changes: dict[str, Any], expected: dict[str, Any]
) -> None:
    recipe = works.recipe.model_copy(update={"encoding": encoding, **changes})
    code = predicted_encoding(recipe, kind, "f" * 64)
    assert DepthEncoding.model_validate(code.model_dump()) == code
    assert code == DepthEncoding(kind=kind, source="composite", teacher_sha256="f" * 64, **expected)
