"""Predictions of networks for the page: the last few networks are kept, and depth becomes points in space."""

from collections import OrderedDict
from pathlib import Path
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from qumade.prediction.predictor import Prediction, Predictor, load_predictor
from qumade.studio.pictures import Picture

__all__ = ["Networks", "cutout", "point_cloud"]

_KEPT = 2
MOST_POINTS = 20_000


class Networks:
    """Loads networks when they are first asked for, and keeps the last two. May be used by threads."""

    def __init__(self) -> None:
        self._loaded: OrderedDict[tuple[Path, float], Predictor] = OrderedDict()
        self._lock = Lock()

    def get(self, network: Path) -> Predictor:
        """Return the predictor of a run or an .onnx file. Raises QumadeError where it is none."""
        weights = network / "weights"
        key = network, max((path.stat().st_mtime for path in weights.glob("*")), default=0.0)
        with self._lock:
            if key not in self._loaded:
                self._loaded[key] = load_predictor(network)
            self._loaded.move_to_end(key)
            while len(self._loaded) > _KEPT:
                self._loaded.popitem(last=False)
            return self._loaded[key]

    def predict(self, network: Path, image: Picture) -> Prediction:
        """Return what a network says of an image uint8 [H, W, 3]."""
        return self.get(network)([image])[0]


def cutout(image: Picture, mask: NDArray[np.floating]) -> Picture | None:
    """Return the object of an image uint8 [H, W, 3], cropped, with the probability [H, W] as alpha: uint8 [h, w, 4].

    None where no pixel is more likely object than not.
    """
    inside = mask >= 0.5
    if not inside.any():
        return None
    rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    window = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    alpha = np.round(255 * np.clip(mask[window], 0, 1)).astype(np.uint8)
    return np.dstack([image[window], alpha])


def point_cloud(
    image: Picture, inverse_depth: NDArray[np.floating], *, most: int = MOST_POINTS
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return points float32 [N, 3] (right, away, up) and their colours in 0..1 float32 [N, 3], at most `most`.

    The camera is at the origin, and its focal length is assumed to be the longer side of the image. Distances are in
    multiples of the median distance; pixels that are more than ten times as far as that are left out.
    """
    height, width = inverse_depth.shape
    step = max(1, int(np.ceil(np.sqrt(width * height / most))))
    v, u = np.mgrid[step // 2 : height : step, step // 2 : width : step]
    inverse = inverse_depth[v, u].astype(np.float64)
    known = np.isfinite(inverse) & (inverse > 0)
    if not known.any():
        return np.zeros((0, 3), np.float32), np.zeros((0, 3), np.float32)
    distance = np.full(inverse.shape, np.inf)
    distance[known] = np.median(inverse[known]) / inverse[known]
    kept = distance <= 10
    focal = max(width, height)
    right = (u + 0.5 - width / 2) / focal * distance
    up = (height / 2 - v - 0.5) / focal * distance
    points = np.stack([right, distance, up], axis=-1)[kept]
    return points.astype(np.float32), (image[v, u][kept] / 255).astype(np.float32)
