"""The order in which training reads shards: a pure function of (seed, epoch), shuffled, and read sequentially.

The shards of an epoch are put one after the other in a random order, and that row of samples is cut into 64 lanes of
equal length. Consecutive samples come from consecutive lanes, so the neighbours of a sample come from other shards.
Each lane runs through its part of the row in windows of 256 samples, which are shuffled in themselves. So a lane reads
one shard after the other, from its start to its end, and shards store their samples in a random order already.

The order knows nothing of processes: process r of n takes every n-th sample. Where n divides 64, it reads the lanes of
its own only.
"""

import functools

import numpy as np
from numpy.typing import NDArray

from qumade.plan.random_numbers import Stream

__all__ = ["LANES", "WINDOW", "stream_order"]

LANES = 64
WINDOW = 256


def stream_order(
    sizes: NDArray[np.int64], start: int, stop: int, *, seed: int, ingredient: int = 0, epoch: int = 0
) -> NDArray[np.int64]:
    """Return numbers `start` to `stop` - 1 of an epoch's order of all samples, int64 [stop - start].

    `sizes` are the samples of each shard, int64 [shards]; samples are numbered from 0, shard by shard. Pure.
    """
    shards, firsts = _shards(sizes.tobytes(), seed, ingredient, epoch)
    total = int(firsts[-1])
    numbers = np.arange(start, min(stop, total))
    lanes, places = numbers % LANES, numbers // LANES
    rows = np.empty(len(numbers), np.int64)
    length, longer = divmod(total, LANES)
    for n, (lane, place) in enumerate(zip(lanes.tolist(), places.tolist(), strict=True)):
        window, within = divmod(place, WINDOW)
        lane_length = length + (lane < longer)
        window_length = min(WINDOW, lane_length - window * WINDOW)
        before = lane * length + min(lane, longer) + window * WINDOW
        rows[n] = before + _window(seed, ingredient, epoch, lane, window, window_length)[within]
    at = np.searchsorted(firsts, rows, "right") - 1
    starts = np.cumsum(sizes) - sizes
    found: NDArray[np.int64] = starts[shards[at]] + rows - firsts[at]
    return found


@functools.lru_cache(maxsize=64)
def _shards(sizes: bytes, seed: int, ingredient: int, epoch: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the shards in an epoch's order, and the number of samples before each of them and after the last."""
    counts = np.frombuffer(sizes, np.int64)
    order = np.argsort(_random(seed, ingredient, epoch, 0, 0).random_raw(len(counts)), kind="stable")
    return order, np.concatenate([[0], np.cumsum(counts[order])])


@functools.lru_cache(maxsize=4096)
def _window(seed: int, ingredient: int, epoch: int, lane: int, window: int, length: int) -> list[int]:
    random = _random(seed, ingredient, epoch, 1 + lane, window)
    order: list[int] = np.argsort(random.random_raw(length), kind="stable").tolist()
    return order


def _random(seed: int, ingredient: int, epoch: int, lane: int, window: int) -> np.random.Philox:
    key = seed + (int(Stream.STREAMING) << 64) + (ingredient << 96)
    return np.random.Philox(key=key, counter=(epoch << 64) + (window << 128) + (lane << 192))
