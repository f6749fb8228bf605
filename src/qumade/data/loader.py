"""Batches of tensors: batch k is a pure function of (what is mixed, seed, k), whatever reads it."""

import math
import multiprocessing
import signal
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from multiprocessing.context import BaseContext
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from qumade.data.augment import Layers, augment, fitted
from qumade.data.augmentation import Augmentation
from qumade.data.dataset import LabeledSample
from qumade.data.mixture import Key, Mixture
from qumade.errors import QumadeError
from qumade.plan.random_numbers import Stream

__all__ = ["Batch", "Batches", "read_ahead", "to_batch", "training_batches"]

# Imported once by the server that reader processes are forked from; a name that is no module would be ignored silently.
PRELOADED = (__name__, "qumade.data.synthetic")
Item = TypeVar("Item")
Result = TypeVar("Result")

_AHEAD = 4  # batches that each worker, or the thread, reads ahead


class Batch(NamedTuple):
    """`image` float32 [N, 3, H, W] in [0, 1]; `mask` float32 [N, 1, H, W], coverage in [0, 1]; `inverse_depth` float32
    [N, 1, H, W]. NaN in mask or depth takes no part: missing, unknown or ignored."""

    image: Tensor
    mask: Tensor
    inverse_depth: Tensor

    def to(self, device: torch.device | str) -> "Batch":
        """The same on another device."""
        return Batch(*(part.to(device, non_blocking=True) for part in self))


class _Packed(NamedTuple):
    """A batch as workers send it, in less than half the bytes: see Layers."""

    pixels: Tensor
    unknown: Tensor
    inverse_depth: Tensor


def to_batch(triples: Sequence[LabeledSample], size: tuple[int, int], *, crop: bool = True) -> Batch:
    """Samples of any size as one batch of `size` (width, height), not augmented.

    Of a sample of another shape the largest middle part of that shape is taken; without `crop` all of it. Image and
    coverage are resized by the same antialiased filter, coverage by that of the known pixels; inverse depth by nearest
    neighbour, never blended.
    """
    return _unpacked(_packed([fitted(triple, size, crop=crop) for triple in triples]), torch.device("cpu"))


def training_batches(
    mixture: Mixture,
    *,
    size: tuple[int, int],
    batch_size: int,
    seed: int,
    stop: int,
    start: int = 0,
    augmentation: Augmentation | None = None,
    workers: int = 0,
    device: torch.device | str = "cpu",
    rank: int = 0,
    world_size: int = 1,
) -> "Batches":
    """Batches number `start` to `stop - 1` for training, of `size` (width, height); by default not augmented.

    Each is the same whatever `start` and `workers`, so training goes on exactly where it was left. Of every batch, rank
    r of `world_size` gets its share, batch_size / world_size samples.
    """
    if batch_size < 1 or batch_size % world_size:
        raise QumadeError(f"Invalid batch size: got {batch_size}; must be a multiple of the {world_size} processes")
    reader = _Reader(mixture, size, augmentation, seed)

    def keys(batch: int) -> list[Key]:
        return mixture.keys(batch, batch_size, seed)[rank::world_size]

    return Batches(reader, keys, start, stop, workers, torch.device(device))


def read_ahead(read: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """Yield `read(item)` of each item, in order; a thread reads a few items ahead."""
    # As in the workers one thread computes: many small steps, and sums that do not depend on the number of threads.
    with ThreadPoolExecutor(1, "read", torch.set_num_threads, (1,)) as pool:
        reading = deque[Future[Result]]()
        try:
            for item in items:
                reading.append(pool.submit(read, item))
                if len(reading) > _AHEAD:
                    yield reading.popleft().result()
            while reading:
                yield reading.popleft().result()
        finally:
            for unread in reading:
                unread.cancel()


class Batches:
    """Batches `start` to `stop - 1` of a plan, on a device; each iteration begins at `start` again.

    `workers` processes read ahead and stay for the next iteration; with none, a thread of this process does.
    `waited_s` adds up the seconds that the consumer waited for batches. Draws nothing from torch's random state. An
    error while reading is raised here, as it was raised there.
    """

    def __init__(
        self,
        reader: "_Reader",
        keys: Callable[[int], list[Key]],
        start: int,
        stop: int,
        workers: int,
        device: torch.device,
    ) -> None:
        if not 0 <= start <= stop:
            raise QumadeError(f"Invalid batches: got {start} to {stop}; must be ascending numbers from 0")
        self.waited_s = 0.0
        self._reader, self._keys, self._numbers = reader, keys, range(start, stop)
        self._device = device
        self._loader = _start(reader, _KeyBatches(keys, self._numbers), workers, device) if workers else None

    def __len__(self) -> int:
        return len(self._numbers)

    def __iter__(self) -> Iterator[Batch]:
        began_s = time.perf_counter()
        for batch in (
            read_ahead(self._read, self._numbers) if self._loader is None else map(self._delivered, self._loader)
        ):
            self.waited_s += time.perf_counter() - began_s
            yield batch
            began_s = time.perf_counter()

    def _read(self, number: int) -> Batch:
        return self._delivered(self._reader.__getitems__(self._keys(number)))

    def _delivered(self, packed: _Packed | QumadeError) -> Batch:
        if isinstance(packed, QumadeError):
            raise packed
        return _unpacked(packed, self._device)

    def close(self) -> None:
        """Ends the workers."""
        self._loader, self._numbers = None, range(0)


class _Reader:
    """Reads, augments and packs the samples of a batch; what a worker process holds."""

    def __init__(self, mixture: Mixture, size: tuple[int, int], augmentation: Augmentation | None, seed: int) -> None:
        self.mixture, self.size, self.augmentation, self.seed = mixture, size, augmentation, seed

    def __getitems__(self, keys: list[Key]) -> _Packed | QumadeError:
        """A whole batch, as torch asks for it. An error is handed over as it is: torch would wrap it in a traceback."""
        try:
            triples = self.mixture.read_many(keys)
        except QumadeError as error:
            return error
        return _packed([self._varied(triple, key) for triple, key in zip(triples, keys, strict=True)])

    def _varied(self, triple: LabeledSample, key: Key) -> Layers:
        if self.augmentation is None:
            return fitted(triple, self.size)
        random = np.random.Philox(
            key=self.seed + (int(Stream.AUGMENTATION) << 64),
            counter=(key.position << 64) + (key.epoch << 128) + (key.ingredient << 192),
        )
        return augment(triple, self.size, self.augmentation, random)


class _KeyBatches:
    """The samples of each batch, told as late as they are wanted."""

    def __init__(self, keys: Callable[[int], list[Key]], numbers: range) -> None:
        self._keys, self._numbers = keys, numbers

    def __len__(self) -> int:
        return len(self._numbers)

    def __iter__(self) -> Iterator[list[Key]]:
        return map(self._keys, self._numbers)


def _start(reader: _Reader, keys: _KeyBatches, workers: int, device: torch.device) -> DataLoader[Any]:
    return DataLoader(
        reader,  # type: ignore[arg-type]
        batch_sampler=keys,
        num_workers=workers,
        collate_fn=_same,
        worker_init_fn=_ignore_interrupts,
        prefetch_factor=_AHEAD,
        persistent_workers=True,
        pin_memory=device.type == "cuda",
        multiprocessing_context=_context(),
        generator=torch.Generator(),  # else each iteration would draw from torch's own
    )


def _context() -> BaseContext:
    """Workers are no forks of this process, whose threads and GPU they would inherit, but of one that only imports what
    they need: none but the first of all has to wait for that."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(PRELOADED))
    return context


def _ignore_interrupts(worker: int) -> None:
    """Ctrl-C goes to all processes of a terminal; what to do then is for the one that consumes to say."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _same(packed: Any) -> Any:
    return packed


def _packed(samples: Sequence[Layers]) -> _Packed:
    return _Packed(
        torch.stack([sample.pixels for sample in samples]),
        torch.from_numpy(np.stack([sample.unknown for sample in samples])[:, None]),
        torch.from_numpy(np.stack([sample.inverse_depth for sample in samples])[:, None]),
    )


def _unpacked(packed: _Packed, device: torch.device) -> Batch:
    pixels, unknown, inverse_depth = (part.to(device, non_blocking=True) for part in packed)
    # True division, so that 255 is 1 and every level what it is in numpy.
    image = pixels[:, :3].float().div_(255)
    mask = pixels[:, 3:].float().div_(255).masked_fill_(unknown, math.nan)
    return Batch(image, mask, inverse_depth)
