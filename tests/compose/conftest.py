from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest

from qumade.compose.kernel import paste
from qumade.compose.pyramid import build_pyramid


class Canvas(NamedTuple):
    """The arrays that `paste` writes to, for up to `objects` objects."""

    image: np.ndarray
    mask: np.ndarray
    inverse_depth: np.ndarray
    owner: np.ndarray
    visible: np.ndarray

    def paste(
        self, rgba: np.ndarray, box: tuple[float, float, float, float], *, number: int = 1, depth: float = 0.5,
        occluder: np.ndarray | None = None, horizon_level: float = 0.0, relief: np.ndarray | None = None,
        largest_px: float | None = None,
    ) -> int:  # fmt: skip
        """Pastes a cut-out into the box (left, top, width, height)."""
        pyramid = build_pyramid(rgba, largest_px or max(box[2:]), relief)
        if occluder is None:
            occluder = np.zeros((0, 0), np.float32)
        return paste(
            *self, occluder, horizon_level, pyramid.pixels, pyramid.levels, pyramid.relief, number,
            *map(float, box), np.float32(depth),
        )  # fmt: skip


def _canvas(image: Any, width: int = 0, height: int = 0, objects: int = 1) -> Canvas:
    if not isinstance(image, np.ndarray):
        image = np.broadcast_to(np.uint8(image), (height, width, 3))
    shape = image.shape[:2]
    return Canvas(
        image.copy(), np.zeros(shape, np.uint8), np.zeros(shape, np.float32), np.zeros(shape, np.uint8),
        np.zeros(objects + 1, np.int64),
    )  # fmt: skip


@pytest.fixture(scope="session")
def canvas() -> Callable[..., Canvas]:
    """A canvas on an image uint8 [H, W, 3], or of one colour and a width and height."""
    return _canvas
