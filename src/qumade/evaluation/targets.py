"""Samples to evaluate on: which ones of a dataset, each with the prediction of a network."""

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from qumade.data.dataset import LabeledSample, SampleDataset
from qumade.errors import ConfigError, DatasetError, RunError
from qumade.io.progress import progress_bar
from qumade.plan.indices import stratified_indices

__all__ = ["Predict", "Predicted", "as_text", "choose", "predict_each"]


class Predicted(Protocol):
    """The prediction for one picture: mask, probability float32 [H, W] in [0, 1]; inverse depth float32 [H, W]; class
    map uint8 [H, W] of a network with several classes."""

    @property
    def mask(self) -> NDArray[np.float32]: ...

    @property
    def inverse_depth(self) -> NDArray[np.float32]: ...

    @property
    def class_map(self) -> NDArray[np.uint8] | None: ...


Predict = Callable[[Sequence[NDArray[np.uint8]]], Sequence[Predicted]]


def choose(dataset: SampleDataset, splits: Sequence[str] = (), limit: int | None = None) -> NDArray[np.int64]:
    """Return the positions of the samples in these splits (all where none is named), at most `limit` of them, spread
    evenly. QumadeError where the dataset has no sample, or lacks one of the splits."""
    positions = np.arange(len(dataset))
    if len(positions) == 0:
        raise DatasetError(f"Invalid dataset: got no sample in {dataset.name}; must have at least one")
    if splits:
        of_each = dataset.splits
        present = [str(name) for name in np.unique(of_each) if name]
        if missing := [name for name in splits if name not in present]:
            allowed = f"one it has: {', '.join(present)}" if present else "left out, it has no splits"
            raise DatasetError(f"Invalid split: got {', '.join(missing)} of {dataset.name}; must be {allowed}")
        positions = np.flatnonzero(np.isin(of_each, list(splits)))
    if limit is not None:
        if limit < 1:
            raise ConfigError(f"Invalid limit: got {limit}; must be at least 1")
        positions = positions[stratified_indices(len(positions), limit)]
    return positions


def predict_each(
    predict: Predict,
    dataset: SampleDataset,
    positions: NDArray[np.integer],
    batch_size: int = 8,
    progress: bool = False,
) -> Iterator[tuple[int, LabeledSample, Predicted]]:
    """Yield position, sample and prediction of each of these samples; `batch_size` pictures are predicted at once."""
    with progress_bar(total=len(positions), unit="pictures", disable=not progress) as bar:
        for start in range(0, len(positions), batch_size):
            batch = [int(position) for position in positions[start : start + batch_size]]
            samples = [dataset.read(position) for position in batch]
            predictions = predict([sample.image for sample in samples])
            if len(predictions) != len(batch):
                raise RunError(
                    f"Invalid prediction: got {len(predictions)} of {len(batch)} pictures; must be one for each"
                )
            yield from zip(batch, samples, predictions, strict=True)
            bar.update(len(batch))


def as_text(name: str) -> str:
    """Return a file name, which may hold undecodable bytes, as text that any file or page can hold."""
    return name.encode("utf-8", "replace").decode("utf-8")
