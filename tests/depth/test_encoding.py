from typing import Any

import pytest
from pydantic import ValidationError

from qumade.depth.encoding import DEPTH_KINDS, METRES_16_BIT, UNDESCRIBED_DEPTH, DepthEncoding


def test_kinds_are_listed_from_the_one_that_says_most() -> None:
    assert DEPTH_KINDS == ("metric", "scaled", "affine")


@pytest.mark.parametrize(
    "wrong",
    [
        {"code": "metres", "bits": 16, "kind": "scaled", "depth_scale": 256.0},
        {"code": "metres", "bits": 8, "kind": "metric", "depth_scale": 256.0},
        {"code": "metres", "bits": 16, "kind": "metric"},
        {"code": "metres", "bits": 16, "kind": "metric", "depth_scale": 0.0},
        {"code": "inverse", "bits": 8, "kind": "scaled"},
        {"code": "inverse", "bits": 8, "kind": "scaled", "range": (1.0, 0.5)},
        {"code": "inverse", "bits": 8, "kind": "scaled", "range": (-0.5, 0.5)},
        {"code": "inverse", "bits": 8, "kind": "scaled", "range": (0.0, float("inf"))},
        {"code": "inverse", "bits": 12, "kind": "scaled", "range": (0.0, 1.0)},
        {"code": "log", "bits": 8},
    ],
)
def test_an_encoding_that_contradicts_itself_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        DepthEncoding(**wrong)


def test_limits_are_those_of_a_range_that_holds_for_all_pictures() -> None:
    assert DepthEncoding(code="inverse", bits=8, kind="affine", range=(-0.5, 1.5)).limits == (-0.5, 1.5)
    assert METRES_16_BIT.limits is None and UNDESCRIBED_DEPTH.limits is None


@pytest.mark.parametrize("encoding", [METRES_16_BIT, UNDESCRIBED_DEPTH])
def test_it_survives_yaml(encoding: DepthEncoding) -> None:
    assert DepthEncoding.model_validate(encoding.model_dump(mode="json", exclude_none=True)) == encoding
