"""What is judged: samples of a dataset with what is true of them, and what a network says of their images."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from tqdm.auto import tqdm

from qumade.data.dataset import LabeledSample
from qumade.depth.encoding import DepthEncoding
from qumade.errors import QumadeError
from qumade.evaluate.alignment import judged_truth
from qumade.plan.indices import stratified_indices

__all__ = ["Predict", "Predicted", "Samples", "Truth", "as_text", "choose", "predict_each", "truth_of"]


class Predicted(Protocol):
    """What a network says of one picture: mask, probability float [H, W]; inverse depth float [H, W]."""

    @property
    def mask(self) -> NDArray[np.float32]: ...

    @property
    def inverse_depth(self) -> NDArray[np.float32]: ...


Predict = Callable[[Sequence[NDArray[np.uint8]]], Sequence[Predicted]]


class Samples(Protocol):
    """A dataset to judge on: `splits` are the part of each sample, "" where unknown."""

    def __len__(self) -> int: ...

    def read(self, position: int, /) -> LabeledSample: ...

    @property
    def name(self) -> str: ...

    @property
    def splits(self) -> NDArray[np.str_]: ...

    @property
    def depth_encoding(self) -> DepthEncoding | None: ...


@dataclass(frozen=True, eq=False)
class Truth:
    """What a picture is judged by: coverage float [H, W] in [0, 1], inverse depth float [H, W]; NaN takes no part."""

    mask: NDArray[np.float32] | None
    inverse_depth: NDArray[np.float64] | None


def choose(dataset: Samples, splits: Sequence[str] = (), limit: int | None = None) -> NDArray[np.int64]:
    """Return the positions of the samples in these splits (all where none is named), at most `limit` of them, spread
    evenly. QumadeError where there is none, and where the dataset lacks one of the splits."""
    positions = np.arange(len(dataset))
    if len(positions) == 0:
        raise QumadeError(f"Invalid dataset: got no sample in {dataset.name}; must have some to judge")
    if splits:
        of_each = dataset.splits
        present = [str(name) for name in np.unique(of_each) if name]
        if missing := [name for name in splits if name not in present]:
            found = ", ".join(present) or "none"
            raise QumadeError(f"Invalid split: got {', '.join(missing)} of {dataset.name}; must be one it has: {found}")
        positions = np.flatnonzero(np.isin(of_each, list(splits)))
    if limit is not None:
        if limit < 1:
            raise QumadeError(f"Invalid limit: got {limit}; must be at least 1")
        positions = positions[stratified_indices(len(positions), limit)]
    return positions


def predict_each(
    predict: Predict,
    dataset: Samples,
    positions: NDArray[np.integer],
    batch_size: int = 8,
    progress: bool = False,
) -> Iterator[tuple[int, LabeledSample, Predicted]]:
    """Yield position, sample and prediction of each of these samples; so many pictures are predicted at once."""
    with tqdm(total=len(positions), unit="pictures", disable=not progress) as bar:
        for start in range(0, len(positions), batch_size):
            batch = [int(position) for position in positions[start : start + batch_size]]
            triples = [dataset.read(position) for position in batch]
            predictions = predict([triple.image for triple in triples])
            if len(predictions) != len(batch):
                raise QumadeError(
                    f"Invalid prediction: got {len(predictions)} of {len(batch)} pictures; must be of each"
                )
            yield from zip(batch, triples, predictions, strict=True)
            bar.update(len(batch))


def as_text(name: str) -> str:
    """Return the name of a file, which may be no text, as text that any file or page can hold."""
    return name.encode("utf-8", "replace").decode("utf-8")


def truth_of(triple: LabeledSample, code: DepthEncoding | None) -> Truth:
    """Return what a sample is judged by: ignored pixels unknown, affine depth over its range."""
    mask = None if triple.mask is None else triple.mask.astype(np.float32) / np.float32(255)
    depth = None if triple.inverse_depth is None or code is None else judged_truth(triple.inverse_depth, code)
    if triple.ignore is not None:
        for values in (mask, depth):
            if values is not None:
                values[triple.ignore] = np.nan
    return Truth(mask, depth)
