"""Batches of tensors. Batch k is a pure function of (mixture, seed, k); the number of workers does not matter."""

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
from qumade.errors import ConfigError, DatasetError, QumadeError
from qumade.plan.random_numbers import Stream

__all__ = ["Batch", "Batches", "place_in_whole", "read_ahead", "to_batch", "training_batches"]

# The server that reader processes are forked from imports these once. It would silently ignore a name of no module.
PRELOADED = (__name__, "qumade.data.synthetic")
Item = TypeVar("Item")
Result = TypeVar("Result")

_AHEAD = 4  # batches that each worker, or the reader thread, prepares in advance
_NO_PHOTOS = torch.zeros(0, 1, 1, 1, dtype=torch.bool)


class Batch(NamedTuple):
    """A batch: `image` float32 [N, 3, H, W] in [0, 1]; `mask` float32 [N, 1, H, W], coverage in [0, 1], or with several
    classes the number of the class, 0 for no object; `inverse_depth` float32 [N, 1, H, W]. Mask and depth are NaN where
    they are missing, unknown or ignored. `photos` bool [N, 1, H, W] is True for the pixels of photos without labels,
    but not for what lies beyond their edges; it is empty in a batch without such photos."""

    image: Tensor
    mask: Tensor
    inverse_depth: Tensor
    photos: Tensor = _NO_PHOTOS

    def to(self, device: torch.device | str) -> "Batch":
        """Return the batch on another device."""
        return Batch(*(part.to(device, non_blocking=True) for part in self))


class _Packed(NamedTuple):
    """A batch in the compact form that workers send, less than half the bytes; see Layers. `full` is the value of its
    fourth channel that stands for 1."""

    pixels: Tensor
    unknown: Tensor
    inverse_depth: Tensor
    photos: Tensor
    full: int


def to_batch(samples: Sequence[LabeledSample], size: tuple[int, int], *, crop: bool = True) -> Batch:
    """Return samples of any size as one batch of `size` (width, height), without augmentation.

    A sample with another aspect ratio is cropped to the largest central part that fits; without `crop` it is squeezed.
    Image and coverage are resized with the same antialiased filter, coverage over the known pixels; inverse depth takes
    the nearest neighbour.
    """
    return _unpacked(_packed([fitted(sample, size, crop=crop) for sample in samples]), torch.device("cpu"))


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
    """Return the training batches `start` to `stop - 1`, of `size` (width, height); by default not augmented.

    A batch depends neither on `start` nor on `workers`, so training resumes exactly where it stopped. Rank r of
    `world_size` gets its part of every batch, batch_size / world_size samples. Twins stay together.
    """
    together = mixture.slots
    if batch_size < 1 or batch_size % (world_size * together):
        twice = "twice " if together == 2 else ""
        raise ConfigError(
            f"Invalid batch size: got {batch_size}; must be a multiple of {twice}the {world_size} processes"
        )
    reader = _Reader(mixture, size, augmentation, seed)

    def keys(batch: int) -> list[Key]:
        whole = mixture.keys(batch, batch_size, seed)
        return [key for place, key in enumerate(whole) if place // together % world_size == rank]

    return Batches(reader, keys, start, stop, workers, torch.device(device))


def place_in_whole(place: int, rank: int, world_size: int, together: int = 1) -> int:
    """Return the place in the whole batch of the sample at `place` in the part of a rank; `together` samples that
    follow each other are in the same part."""
    return (place // together * world_size + rank) * together + place % together


def read_ahead(read: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """Yield `read(item)` of each item, in order; a thread reads a few items in advance."""
    # One thread computes, as in the workers: steps are small, and sums must not depend on the number of threads.
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
    """Batches `start` to `stop - 1` of a plan, on a device. Each iteration starts at `start` again.

    `workers` processes read ahead and stay alive for the next iteration; with 0 workers a thread of this process reads
    ahead. `waited_s` is the total time in seconds that the consumer waited for batches. Torch's random state is not
    used. An error in a worker is raised here unchanged.
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
            raise DatasetError(f"Invalid batches: got {start} to {stop}; must be ascending numbers from 0")
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
        """Stop the workers."""
        self._loader, self._numbers = None, range(0)


class _Reader:
    """Reads, augments and packs the samples of a batch. Each worker process holds one."""

    def __init__(self, mixture: Mixture, size: tuple[int, int], augmentation: Augmentation | None, seed: int) -> None:
        self.mixture, self.size, self.augmentation, self.seed = mixture, size, augmentation, seed

    def __getitems__(self, keys: list[Key]) -> _Packed | QumadeError:
        """Return a whole batch; torch calls this. An error is returned, since torch would wrap it in a traceback."""
        try:
            samples = self.mixture.read_many(keys)
        except QumadeError as error:  # the process that reads the batches raises it again
            return error
        photos = [self.mixture.ingredients[key.ingredient].is_unlabelled for key in keys]
        return _packed([self._varied(sample, key) for sample, key in zip(samples, keys, strict=True)], photos)

    def _varied(self, sample: LabeledSample, key: Key) -> Layers:
        if self.augmentation is None:
            return fitted(sample, self.size)
        random = np.random.Philox(
            key=self.seed + (int(Stream.AUGMENTATION) << 64),
            counter=(key.position << 64) + (key.epoch << 128) + (key.ingredient << 192),
        )
        return augment(sample, self.size, self.augmentation, random)


class _KeyBatches:
    """The keys of each batch, computed only when the batch is requested."""

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
        generator=torch.Generator(),  # otherwise each iteration would draw from torch's global generator
    )


def _context() -> BaseContext:
    """Return a context that forks workers from a server process, which imports their modules once.

    A fork of this process would inherit its threads and its GPU.
    """
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(PRELOADED))
    return context


def _ignore_interrupts(worker: int) -> None:
    """Ignore Ctrl-C in a worker: the terminal sends it to all processes, and the consumer decides what to do."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _same(packed: Any) -> Any:
    return packed


def _packed(samples: Sequence[Layers], photos: Sequence[bool] = ()) -> _Packed:
    """Pack samples; `photos` says which of them are photos without labels."""
    shown = []
    if any(photos):
        for sample, photo in zip(samples, photos, strict=True):
            inside = True if sample.outside is None else ~sample.outside
            shown.append(np.full(sample.unknown.shape, photo) & inside)
    return _Packed(
        torch.stack([sample.pixels for sample in samples]),
        torch.from_numpy(np.stack([sample.unknown for sample in samples])[:, None]),
        torch.from_numpy(np.stack([sample.inverse_depth for sample in samples])[:, None]),
        torch.from_numpy(np.stack(shown)[:, None]) if shown else _NO_PHOTOS,
        1 if any(sample.numbered for sample in samples) else 255,
    )


def _unpacked(packed: _Packed, device: torch.device) -> Batch:
    pixels, unknown, inverse_depth, photos = (part.to(device, non_blocking=True) for part in packed[:4])
    # True division: 255 becomes exactly 1, and every level equals that of numpy.
    image = pixels[:, :3].float().div_(255)
    mask = pixels[:, 3:].float().div_(packed.full).masked_fill_(unknown, math.nan)
    return Batch(image, mask, inverse_depth, photos)
