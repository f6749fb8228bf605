"""Photos without labels, which a training shows to its network beside labelled samples."""

from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from qumade.assets.scan import LEFT_OUT, Finding, scan_backgrounds
from qumade.data.dataset import SPLIT_NAMES, LabeledSample, positions_of
from qumade.depth.encoding import DepthEncoding
from qumade.errors import DatasetError
from qumade.io.decode import read_rgb
from qumade.io.pictures import printable

__all__ = ["PhotoFolder"]

CACHE_BYTES = 2**29


class PhotoFolder:
    """The photos of a folder as samples without labels, of no split. Opening it decodes each photo once.

    A photo larger than needed for crops of `size` (width, height) is shrunk by a whole factor, and the photos that were
    read last are kept in memory. `sha256` holds the hash of each file, `findings` names those that were left out.
    Raises QumadeError where no photo is usable. It can be pickled.
    """

    has_masks = False
    has_depth = False
    has_instances = False
    classes: tuple[str, ...] = ()
    depth_encoding: DepthEncoding | None = None

    def __init__(self, root: Path, size: tuple[int, int], *, workers: int | None = None) -> None:
        self.name, self.root, self.size = root.name, root, size
        photos, findings = scan_backgrounds(root, workers=workers)
        self.findings: list[Finding] = [
            finding for finding in findings if finding.severity == "error" or finding.reason == LEFT_OUT
        ]
        if not photos:
            first = f"; the first: {self.findings[0]}" if self.findings else ""
            raise DatasetError(f"Invalid unlabelled: got no usable photo in {printable(root)}; must have one{first}")
        self.sha256 = tuple(photo.sha256 for photo in photos)
        self._paths = tuple(photo.path for photo in photos)
        self._cache: OrderedDict[int, NDArray[np.uint8]] = OrderedDict()
        self._cached_bytes = 0

    def __getstate__(self) -> dict[str, object]:
        return self.__dict__ | {"_cache": OrderedDict(), "_cached_bytes": 0}

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, position: int) -> LabeledSample:
        return self.read(position)

    @property
    def stems(self) -> NDArray[np.str_]:
        """The file stem of each photo, in the order of the positions."""
        return np.array([path.stem for path in self._paths])

    @property
    def splits(self) -> NDArray[np.str_]:
        return np.full(len(self), "")

    def positions(self, *names: str) -> NDArray[np.int64]:
        """Return the positions of the photos in these splits: all for "", none for others."""
        return positions_of(np.full(len(self), SPLIT_NAMES.index(""), np.int8), names)

    def read(self, position: int, draw: int = 0) -> LabeledSample:
        """Return a photo without labels. Raises QumadeError where the file has gone or changed into something else."""
        image = self._cache.get(position)
        if image is None:
            image = self._cache[position] = _shrunk(read_rgb(self._paths[position]), self.size)
            self._cached_bytes += image.nbytes
            while self._cached_bytes > CACHE_BYTES and len(self._cache) > 1:
                self._cached_bytes -= self._cache.popitem(last=False)[1].nbytes
        self._cache.move_to_end(position)
        return LabeledSample(image, None, None, None)

    def read_many(
        self, positions: Sequence[int], draws: Sequence[int] | None = None, variants: Sequence[int] | None = None
    ) -> list[LabeledSample]:
        return [self.read(position) for position in positions]


def _shrunk(image: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Return a photo shrunk by the largest whole factor that leaves twice `size` for crops."""
    factor = min(image.shape[1] // (2 * size[0]), image.shape[0] // (2 * size[1]))
    return image if factor < 2 else np.asarray(Image.fromarray(image).reduce(factor))
