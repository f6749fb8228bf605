"""Metric depth for other tools: KITTI's 16-bit PNG, and the .npy files of the depth task of ultralytics."""

import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from qumade.convert.exporters.files import copy_image, write_missing
from qumade.convert.exporters.samples import Chunk
from qumade.convert.exporters.yolo import write_data_yaml
from qumade.depth.encoding import KITTI_SCALE
from qumade.io.encode import png_bytes

__all__ = ["DepthMaps"]


@dataclass(frozen=True)
class DepthMaps:
    """Writes images and depth in metres, 0 where it is unknown or out of the format's range.

    "kitti": SPLIT/rgb and SPLIT/depth, 16-bit PNG of metres x 256 (J. Uhrig et al., "Sparsity invariant CNNs", 3DV
    2017).
    "ultralytics": images/SPLIT and depth/SPLIT, .npy of float32 [H, W], and data.yaml.
    """

    out: Path
    layout: Literal["kitti", "ultralytics"]

    def folders(self, splits: Iterable[str]) -> list[str]:
        """Return the folders to make."""
        return [folder for split in splits for folder in self._folders(split)]

    def export(self, chunk: Chunk) -> None:
        """Write images and depth of a chunk."""
        images, depths = self._folders(chunk.split)
        for n in range(len(chunk)):
            suffix = ".png" if self.layout == "kitti" else ".npy"
            path = self.out / depths / f"{chunk.dataset.stems[n]}{suffix}"
            if not path.exists():
                inverse_depth = chunk.dataset.read_inverse_depth(n)
                width, height = chunk.size(n)
                chunk.dataset.require_equal_size(n, (height, width), "depth", inverse_depth.shape)
                write_missing(path, self._encoded(inverse_depth))
            copy_image(chunk, n, self.out / images)

    def collect(self, split: str, chunks: Iterable[None]) -> None:
        """Wait for the samples of a split."""
        for _ in chunks:
            pass

    def finish(self, splits: Sequence[str]) -> None:
        """Write data.yaml for ultralytics."""
        if self.layout == "ultralytics":
            write_data_yaml(self.out, splits, ("depth",))

    def _folders(self, split: str) -> tuple[str, str]:
        return (f"{split}/rgb", f"{split}/depth") if self.layout == "kitti" else (f"images/{split}", f"depth/{split}")

    def _encoded(self, inverse_depth: NDArray[np.float32]) -> bytes:
        known = inverse_depth > 0  # false for NaN
        metres = np.where(known, 1 / np.where(known, inverse_depth, 1), 0).astype(np.float32)
        if self.layout == "kitti":
            levels = np.rint(metres * KITTI_SCALE)
            return png_bytes(np.where(levels < 65535, levels, 0).astype(np.uint16), 1)
        buffer = io.BytesIO()
        np.save(buffer, metres, allow_pickle=False)
        return buffer.getvalue()
