"""A dataset in a folder, as training and judging read it: samples by position, with the split of each."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from qumade.data.layout import LabeledSample, open_dataset
from qumade.data.metadata import DepthCode
from qumade.errors import QumadeError
from qumade.plan.splits import SAMPLE_SPLITS

__all__ = ["SPLIT_NAMES", "FolderDataset", "positions_of"]

SPLIT_NAMES = ("", *(name for name in SAMPLE_SPLITS if name is not None))
"""What `splits` of a dataset holds: "train", "val", "test", "seen background", "seen foreground", "mixed", or "" where
nobody knows."""


class FolderDataset:
    """The samples of a DATA_PATH, decoded when asked for. Splits are those of its manifest.parquet, where it has one.

    Holds no open file and pickles cheaply, so that worker processes may read through it.
    """

    def __init__(self, path: Path | str) -> None:
        self.files = open_dataset(path)
        self.name = self.files.root.name
        self._split_codes = _read_splits(self.files.manifest_path, self.files.stems)

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, position: int) -> LabeledSample:
        return self.files.read(position)

    @property
    def stems(self) -> NDArray[np.str_]:
        """The file stem of each sample, in the order of the positions."""
        return self.files.stems

    @property
    def splits(self) -> NDArray[np.str_]:
        """The split of each sample, one of SPLIT_NAMES."""
        return np.array(SPLIT_NAMES)[self._split_codes]

    @property
    def has_masks(self) -> bool:
        return self.files.has_masks

    @property
    def has_depth(self) -> bool:
        return self.files.has_depth

    @property
    def depth_code(self) -> DepthCode | None:
        """What inverse depth means; None where there is none."""
        return self.files.depth_code if self.files.has_depth else None

    def positions(self, *names: str) -> NDArray[np.int64]:
        """The positions of the samples of these splits, ascending; see SPLIT_NAMES."""
        return positions_of(self._split_codes, names)

    def read(self, position: int, draw: int = 0) -> LabeledSample:
        """The sample at a position; the same whatever `draw`."""
        return self[position]

    def read_many(self, positions: Sequence[int], draws: Sequence[int] | None = None) -> list[LabeledSample]:
        """The samples at these positions; the same whatever `draws`."""
        return [self[position] for position in positions]


def positions_of(split_codes: NDArray[np.int8], names: Sequence[str]) -> NDArray[np.int64]:
    """Where an array of numbers into SPLIT_NAMES holds one of these names; QumadeError for a name that is none."""
    for name in names:
        if name not in SPLIT_NAMES:
            known = ", ".join(repr(known) for known in SPLIT_NAMES)
            raise QumadeError(f"Invalid split: got {name!r}; must be one of {known}")
    if not names:
        raise QumadeError("Invalid split: got no name; must be at least one")
    return np.flatnonzero(np.isin(split_codes, [SPLIT_NAMES.index(name) for name in names]))


def _read_splits(manifest: Path | None, stems: NDArray[np.str_]) -> NDArray[np.int8]:
    """The number in SPLIT_NAMES of each stem's split: 0 where the manifest has no row or no split for it."""
    codes = np.zeros(len(stems), np.int8)
    if manifest is None:
        return codes
    try:
        with pq.ParquetFile(manifest) as file:
            missing = [name for name in ("stem", "split") if name not in file.schema_arrow.names]
            if missing:
                raise QumadeError(f"Invalid manifest: got no column {missing[0]!r} in {manifest}; must have it")
            rows = file.read(columns=["stem", "split"])
        splits = rows["split"].cast(pa.string()).fill_null("")
        row_stems = rows["stem"].cast(pa.string()).to_numpy().astype(np.str_)
    except (OSError, pa.ArrowException) as error:
        raise QumadeError(f"Invalid manifest: cannot read {manifest}: {' '.join(str(error).split())}") from None
    encoded = splits.combine_chunks().dictionary_encode()
    numbers = []
    for name in encoded.dictionary.to_pylist():
        if name not in SPLIT_NAMES:
            raise QumadeError(f"Invalid split: got {name!r} in {manifest}; must be one of {', '.join(SPLIT_NAMES[1:])}")
        numbers.append(SPLIT_NAMES.index(name))
    row_codes = np.array(numbers, np.int8)[encoded.indices.to_numpy()]
    order = np.argsort(row_stems, kind="stable")
    sorted_stems = row_stems[order]
    at = np.minimum(np.searchsorted(sorted_stems, stems), len(sorted_stems) - 1)
    if len(sorted_stems):
        known = sorted_stems[at] == stems
        codes[known] = row_codes[order][at[known]]
    return codes
