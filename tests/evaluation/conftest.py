from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest

from qumade.data.dataset import LabeledSample
from qumade.depth.encoding import DepthEncoding
from qumade.prediction.predictor import Prediction

METRIC = DepthEncoding(kind="metric", code="metres", bits=16, depth_scale=256.0)


@dataclass
class Samples:
    """A dataset in memory."""

    triples: list[LabeledSample]
    depth_encoding: DepthEncoding | None = METRIC
    name: str = "samples"
    splits: np.ndarray = field(default_factory=lambda: np.array([], np.str_))
    has_masks: bool = True

    def __post_init__(self) -> None:
        if len(self.splits) == 0:
            self.splits = np.full(len(self), "", np.str_)
        self.stems = np.full(len(self), "", np.str_)

    def __len__(self) -> int:
        return len(self.triples)

    def read(self, position: int) -> LabeledSample:
        return self.triples[position]


def _scene(number: int, size: tuple[int, int] = (40, 32), objects: bool = True) -> LabeledSample:
    """A road under a sky with one box on it, in metres; the number is written into the first pixel."""
    rng = np.random.default_rng(number)
    width, height = size
    rows = np.arange(height, dtype=np.float32)[:, None].repeat(width, 1)
    inverse_depth = np.clip((rows - height // 3) / height * 0.4, 0, None).astype(np.float32)
    mask = np.zeros((height, width), np.uint8)
    if objects:
        top, left = int(rng.integers(height // 3, height - 9)), int(rng.integers(1, width - 12))
        mask[top : top + 8, left : left + 10] = 255
        inverse_depth[mask > 0] = inverse_depth[top + 8, 0]
    image = rng.integers(0, 256, (height, width, 3), np.uint8)
    image[0, 0] = number // 65536, number // 256 % 256, number % 256
    return LabeledSample(image, mask, inverse_depth, None)


@pytest.fixture(scope="session")
def scene() -> Callable[..., LabeledSample]:
    return _scene


@pytest.fixture(scope="session")
def make_samples() -> Callable[..., Samples]:
    """Scenes as a dataset; `empty` of them, the first ones, show no object."""

    def make(count: int = 6, *, empty: int = 0, **fields: object) -> Samples:
        return Samples([_scene(n, objects=n >= empty) for n in range(count)], **fields)

    return make


class Oracle:
    """Predicts the ground truth of the samples of a dataset, moved sideways by one to three times `shift` pixels, depth
    times a factor."""

    def __init__(self, samples: Samples, shift: int = 0, factor: float = 1.0) -> None:
        self.truth = {triple.image.tobytes(): triple for triple in samples.triples}
        self.shift, self.factor, self.pictures = shift, factor, 0

    def __call__(self, images: Sequence[np.ndarray]) -> list[Prediction]:
        self.pictures += len(images)
        found = [self.truth[image.tobytes()] for image in images]
        return [self._predict(triple) for triple in found]

    def _predict(self, triple: LabeledSample) -> Prediction:
        shape = triple.image.shape[:2]
        mask = np.zeros(shape, np.float32) if triple.mask is None else triple.mask / np.float32(255)
        depth = np.zeros(shape, np.float32) if triple.inverse_depth is None else np.nan_to_num(triple.inverse_depth)
        return Prediction(
            np.roll(mask, self.shift * (1 + int(triple.image[0, 0, 2]) % 3), axis=1), np.float32(self.factor) * depth
        )


@pytest.fixture(scope="session")
def oracle() -> type[Oracle]:
    return Oracle
