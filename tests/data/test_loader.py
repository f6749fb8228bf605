import importlib.util
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from qumade.data.augmentation import Augmentation
from qumade.data.dataset import LabeledSample
from qumade.data.folder import FolderDataset
from qumade.data.loader import PRELOADED, Batches, place_in_whole, read_ahead, to_batch, training_batches
from qumade.data.mixture import Ingredient, Mixture
from qumade.data.photos import PhotoFolder
from qumade.data.synthetic import SyntheticDataset
from qumade.errors import QumadeError
from qumade.recipe import Recipe

SIZE = (12, 9)


def bits(batches: Any) -> list[bytes]:
    """Return the bits of batches, which compare equal also for NaN."""
    return [b"".join(part.numpy().tobytes() for part in batch) for batch in batches]


@pytest.fixture
def mix(make_dataset: Callable[..., Path]) -> Mixture:
    masks = FolderDataset(make_dataset(9, size=(16, 12), folders=("images", "masks", "ignore"), seed=1))
    described = {"depth": {"kind": "scaled", "code": "inverse", "bits": 8, "range": [0.0, 1.5]}}
    depth = FolderDataset(make_dataset(5, size=(14, 13), folders=("images", "depth"), seed=2, meta=described))
    return Mixture([Ingredient(masks, np.arange(9), 0.7), Ingredient(depth, np.arange(5), 0.3)])


def batches(mix: Mixture, **given: Any) -> Batches:
    basic: dict[str, Any] = {"size": SIZE, "batch_size": 6, "seed": 3, "stop": 8, "augmentation": Augmentation()}
    return training_batches(mix, **(basic | given))


# To tensors


def test_images_and_masks_are_scaled_to_0_to_1_and_labels_keep_their_positions() -> None:
    image = np.arange(5 * 7 * 3, dtype=np.uint8).reshape(5, 7, 3)
    mask = np.linspace(0, 255, 35).astype(np.uint8).reshape(5, 7)
    depth = np.linspace(0, 1, 35, dtype=np.float32).reshape(5, 7)
    depth[2, 3] = np.nan
    ignore = np.zeros((5, 7), bool)
    ignore[0, 1] = True
    batch = to_batch([LabeledSample(image, mask, depth, ignore), LabeledSample(image, mask, depth, None)], (7, 5))
    assert [tuple(part.shape) for part in batch[:3]] == [(2, 3, 5, 7), (2, 1, 5, 7), (2, 1, 5, 7)]
    assert {part.dtype for part in batch[:3]} == {torch.float32}
    np.testing.assert_array_equal(batch.image[1].permute(1, 2, 0), image / np.float32(255))
    np.testing.assert_array_equal(batch.mask[1, 0], mask / np.float32(255))
    np.testing.assert_array_equal(batch.inverse_depth[1, 0], depth)
    np.testing.assert_array_equal(batch.mask[0, 0], np.where(ignore, np.nan, mask / np.float32(255)))
    np.testing.assert_array_equal(batch.inverse_depth[0, 0], np.where(ignore, np.nan, depth))
    assert float(batch.mask[1].max()) == 1 and float(batch.mask[1].min()) == 0


@pytest.mark.parametrize("missing", ["mask", "inverse_depth"])
def test_missing_labels_are_nan(missing: str) -> None:
    labels: dict[str, Any] = {"mask": np.full((4, 4), 9, np.uint8), "inverse_depth": np.ones((4, 4), np.float32)}
    batch = to_batch([LabeledSample(np.zeros((4, 4, 3), np.uint8), **(labels | {missing: None}), ignore=None)], (4, 4))
    for name in labels:
        assert bool(getattr(batch, name).isnan().all()) == (name == missing)


def test_samples_of_any_size_fit_one_batch() -> None:
    sizes = [(4, 4), (9, 30), (16, 12), (40, 40)]
    samples = [
        LabeledSample(
            np.full((h, w, 3), 7, np.uint8), np.full((h, w), 255, np.uint8), np.full((h, w), 0.5, np.float32), None
        )
        for h, w in sizes
    ]
    batch = to_batch(samples, (16, 12))
    assert batch.image.shape == (4, 3, 12, 16)
    assert (batch.image.numpy() == np.float32(7) / np.float32(255)).all() and (batch.mask == 1).all()
    assert (batch.inverse_depth == 0.5).all()


# Training


def test_a_batch_does_not_depend_on_the_start(mix: Mixture) -> None:
    whole = bits(batches(mix))
    assert len(set(whole)) == 8
    for start in (1, 5, 8):
        assert bits(batches(mix, start=start)) == whole[start:]
    assert bits(batches(mix, stop=3)) == whole[:3]
    again = batches(mix, stop=3)
    assert bits(again) == bits(again) == whole[:3]
    assert len(batches(mix, start=2)) == 6


def test_seeds_and_epochs_differ(mix: Mixture) -> None:
    assert not set(bits(batches(mix))) & set(bits(batches(mix, seed=4)))
    one = Mixture([Ingredient(mix.ingredients[0].dataset, np.array([4]))])
    shown = bits(batches(one, batch_size=1))
    assert len(set(shown)) == 8
    assert len(set(bits(batches(one, batch_size=1, augmentation=None)))) == 1


@pytest.mark.slow
def test_workers_change_nothing(mix: Mixture) -> None:
    here = bits(batches(mix))
    with_workers = batches(mix, workers=2)
    assert bits(with_workers) == here
    assert bits(with_workers) == here  # again, with the same workers
    with_workers.close()
    assert list(with_workers) == []


def test_every_batch_is_divided_among_processes(mix: Mixture) -> None:
    whole = [batch.image for batch in batches(mix)]
    shares = [[batch.image for batch in batches(mix, rank=rank, world_size=3)] for rank in range(3)]
    for number, image in enumerate(whole):
        parts = [share[number] for share in shares]
        assert [len(part) for part in parts] == [2, 2, 2]
        assert torch.equal(torch.stack(parts, dim=1).flatten(0, 1), image)


def test_missing_labels_of_a_mixture_are_nan(mix: Mixture) -> None:
    for batch in batches(mix, augmentation=None):
        masks = ~batch.mask.isnan().flatten(1).all(1)
        depth = ~batch.inverse_depth.isnan().flatten(1).all(1)
        assert (masks ^ depth).all()
        assert int(depth.sum()) in (1, 2)


@pytest.mark.slow
def test_torchs_random_state_and_threads_do_not_change(mix: Mixture) -> None:
    before, threads = torch.get_rng_state(), torch.get_num_threads()
    for workers in (0, 1):
        made = batches(mix, workers=workers, stop=2)
        for _ in made:
            assert torch.get_num_threads() == threads
        made.close()
    assert torch.equal(torch.get_rng_state(), before)


def test_placements_are_resampled_in_every_epoch(asset_folders: Path) -> None:
    recipe = Recipe(
        backgrounds=asset_folders / "backgrounds", foregrounds=asset_folders / "foregrounds", size=(16, 16), per_pair=1
    )
    epochs = {}
    for resample in (False, True):
        mix = Mixture([Ingredient(SyntheticDataset(recipe, resample_placements=resample), np.arange(15))])
        masks = [
            batch.mask.numpy().tobytes()
            for batch in training_batches(mix, size=(16, 16), batch_size=1, seed=0, stop=30)
        ]
        epochs[resample] = set(masks[:15]), set(masks[15:])
    assert epochs[False][0] == epochs[False][1] == epochs[True][0]
    assert len(epochs[True][0] & epochs[True][1]) < 4


class Slow:
    """A dataset with slow reads."""

    name, has_masks, has_depth, depth_encoding = "slow", True, False, None
    classes, has_instances = (), False

    def __len__(self) -> int:
        return 4

    def read_many(self, positions: Any, draws: Any = None) -> list[LabeledSample]:
        time.sleep(0.02)
        return [LabeledSample(np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4), np.uint8), None, None) for _ in positions]


def slow_batches() -> Batches:
    mix = Mixture([Ingredient(Slow(), np.arange(4))])  # type: ignore[arg-type]
    return training_batches(mix, size=(4, 4), batch_size=2, seed=0, stop=5)


def test_waited_s_measures_only_the_wait_of_the_consumer() -> None:
    made = slow_batches()
    assert made.waited_s == 0
    assert len(list(made)) == 5 and made.waited_s >= 5 * 0.02 - 1e-3
    made, began_s = slow_batches(), time.perf_counter()
    for _ in made:
        time.sleep(0.1)
    assert 0 < made.waited_s <= time.perf_counter() - began_s - 5 * 0.1


def test_batches_are_read_while_the_consumer_works() -> None:
    asked: list[int] = []

    class Noted(Slow):
        def read_many(self, positions: Any, draws: Any = None) -> list[LabeledSample]:
            asked.extend(positions)
            return super().read_many(positions)

    mix = Mixture([Ingredient(Noted(), np.arange(4))])  # type: ignore[arg-type]
    batches = iter(training_batches(mix, size=(4, 4), batch_size=2, seed=0, stop=100))
    next(batches)
    deadline_s = time.monotonic() + 30
    while len(asked) < 6 and time.monotonic() < deadline_s:
        time.sleep(0.01)
    assert 6 <= len(asked) <= 12  # some batches ahead, but not all
    batches.close()  # type: ignore[attr-defined]
    read = len(asked)
    time.sleep(0.1)
    assert len(asked) == read


INTERRUPTED = """
import signal, time
import numpy as np
from qumade.data.loader import training_batches
from qumade.data.dataset import LabeledSample
from qumade.data.mixture import Ingredient, Mixture

class Slow:
    name, has_masks, has_depth, depth_encoding = "slow", True, False, None
    classes, has_instances = (), False

    def __len__(self):
        return 1

    def read_many(self, positions, draws=None):
        time.sleep(0.05)
        return [LabeledSample(np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4), np.uint8), None, None) for _ in positions]

if __name__ == "__main__":
    signal.signal(signal.SIGINT, lambda *_: None)  # noted, as while training
    mix = Mixture([Ingredient(Slow(), np.arange(1))])
    made = training_batches(mix, size=(4, 4), batch_size=1, seed=0, stop=20, workers=1)
    for number, _ in enumerate(made):
        print(number, flush=True)
    made.close()
"""


@pytest.mark.slow
def test_workers_ignore_ctrl_c_in_a_terminal(tmp_path: Path) -> None:
    (tmp_path / "interrupted.py").write_text(INTERRUPTED)
    command = [sys.executable, str(tmp_path / "interrupted.py")]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, start_new_session=True) as process:
        try:
            assert process.stdout is not None and process.stdout.readline() == "0\n"
            os.killpg(process.pid, signal.SIGINT)  # as a terminal does
            out, err = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 0, err
    assert out.split() == [str(number) for number in range(1, 20)]


@pytest.mark.parametrize("workers", [0, 1])
def test_a_torn_image_is_named_in_one_line(make_dataset: Callable[..., Path], workers: int) -> None:
    root = make_dataset(3, folders=("images", "masks"))
    torn = root / "masks" / "img000002.png"
    torn.write_bytes(torn.read_bytes()[:50])
    made = batches(Mixture([Ingredient(FolderDataset(root), np.arange(3))]), workers=workers)
    with pytest.raises(QumadeError) as caught:
        list(made)
    made.close()
    assert str(torn) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"batch_size": 0}, "Invalid batch size: got 0"),
        ({"batch_size": 7, "world_size": 2}, "Invalid batch size: got 7"),
        ({"start": 9}, "Invalid batches: got 9 to 8"),
        ({"start": -1}, "Invalid batches: got -1"),
    ],
)
def test_invalid_arguments_are_refused(mix: Mixture, wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(QumadeError, match=words):
        batches(mix, **wrong)


# In order


def test_reading_ahead_keeps_the_order_and_stops_with_the_consumer() -> None:
    read: list[int] = []

    def square(number: int) -> int:
        read.append(number)
        return number * number

    assert list(read_ahead(square, range(9))) == [number * number for number in range(9)]
    read.clear()
    ahead = read_ahead(square, range(1000))
    assert next(ahead) == 0
    ahead.close()  # type: ignore[attr-defined]
    assert read == list(range(len(read))) and len(read) <= 6


def test_an_error_while_reading_ahead_is_raised_in_its_turn() -> None:
    ahead = read_ahead(lambda number: 1 // number, [1, 0])
    assert next(ahead) == 1
    with pytest.raises(ZeroDivisionError):
        next(ahead)


def test_whole_samples_are_squeezed_instead_of_cropped() -> None:
    image = np.zeros((4, 8, 3), np.uint8)
    image[:, :2] = 255
    depth = np.tile(np.arange(8, dtype=np.float32), (4, 1))
    sample = LabeledSample(image, image[..., 0], depth, None)
    whole, cut = to_batch([sample], (4, 4), crop=False), to_batch([sample], (4, 4))
    np.testing.assert_array_equal(whole.inverse_depth[0, 0], depth[:, 1::2])
    np.testing.assert_array_equal(cut.inverse_depth[0, 0], depth[:, 2:6])
    for layer in ("image", "mask"):
        assert float(getattr(whole, layer)[0, 0, 0, 0]) > 0.7 and not getattr(cut, layer).any()


@pytest.fixture(autouse=True)
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def test_modules_to_preload_exist():
    assert all(importlib.util.find_spec(name) for name in PRELOADED)


# Twins


@pytest.fixture
def twins(asset_folders: Path) -> Mixture:
    recipe = Recipe(
        backgrounds=asset_folders / "backgrounds", foregrounds=asset_folders / "foregrounds", size=(32, 24),
        per_pair=4, effects={"noise": (0.1, 0.1), "distractors": (1, 2)},
    )  # fmt: skip
    dataset = SyntheticDataset(recipe, resample_placements=True)
    return Mixture([Ingredient(dataset, np.arange(len(dataset)), twins=True)])


def test_twins_have_equal_labels_and_other_pictures(twins: Mixture) -> None:
    moved = Augmentation.none().model_copy(update={"crop": (0.6, 0.9), "mirror": 0.5, "rotate": 1.0})
    for batch in batches(twins, size=(32, 24), augmentation=moved, stop=3):
        for part in (batch.mask, batch.inverse_depth):
            np.testing.assert_array_equal(part[::2], part[1::2])
        assert ((batch.image[::2] - batch.image[1::2]).abs().mean((1, 2, 3)) > 0.03).all()
        assert len({part.numpy().tobytes() for part in batch.inverse_depth}) == 3


def test_processes_share_a_batch_without_parting_twins(twins: Mixture) -> None:
    whole = list(batches(twins, batch_size=8, stop=2))
    parts = [list(batches(twins, batch_size=8, stop=2, rank=rank, world_size=2)) for rank in (0, 1)]
    for n, batch in enumerate(whole):
        for rank in (0, 1):
            slots = [2 * rank, 2 * rank + 1, 4 + 2 * rank, 5 + 2 * rank]
            assert [place_in_whole(place, rank, 2, 2) for place in range(4)] == slots
            np.testing.assert_array_equal(parts[rank][n].image, batch.image[slots])
    with pytest.raises(QumadeError, match="must be a multiple of twice the 2 processes"):
        batches(twins, batch_size=6, world_size=2)


@pytest.mark.parametrize("turned", [False, True])
def test_a_batch_says_which_pixels_are_those_of_photos(make_dataset: Callable[..., Path], turned: bool) -> None:
    """By ingredient: a labelled sample whose pixels are all ignored is no photo."""
    root = make_dataset(4, size=(16, 12), folders=("images", "masks", "ignore"), seed=1)
    for path in (root / "ignore").iterdir():
        Image.new("L", (16, 12), 255).save(path)
    ignored, photos = FolderDataset(root), PhotoFolder(root / "images", SIZE, workers=1)
    mix = Mixture([Ingredient(ignored, np.arange(4), 0.5), Ingredient(photos, np.arange(4), 0.5)])
    turn = Augmentation.none().model_copy(update={"rotate": 1.0, "rotate_deg": 40.0})
    for batch in batches(mix, augmentation=turn if turned else Augmentation.none(), stop=3):
        assert batch.mask.isnan().all() and batch.photos.shape == batch.mask.shape
        assert not batch.photos[:3].any() and bool(batch.photos[3:].all()) != turned and batch.photos[3:].any()
    alone = Mixture([Ingredient(ignored, np.arange(4))])
    assert not len(next(iter(batches(alone))).photos)


def test_a_batch_of_several_classes_holds_their_numbers():
    image, class_map = np.zeros((4, 6, 3), np.uint8), np.arange(24, dtype=np.uint8).reshape(4, 6) % 5
    ignore = class_map == 4
    mask = np.where(class_map > 0, np.uint8(255), np.uint8(0))
    unlabelled = LabeledSample(image, None, None, None)
    batch = to_batch([LabeledSample(image, mask, None, ignore, class_map), unlabelled], (6, 4))
    expected = np.where(ignore, np.nan, class_map).astype(np.float32)
    np.testing.assert_array_equal(batch.mask[0, 0].numpy(), expected)
    assert batch.mask[1].isnan().all()


@pytest.mark.slow
def test_workers_deliver_the_classes_of_a_dataset(two_class_dataset):
    dataset = FolderDataset(two_class_dataset)
    positions = np.arange(8)
    mix = Mixture([Ingredient(dataset, positions)])
    alone, workers = (
        list(training_batches(mix, size=(48, 36), batch_size=4, seed=1, stop=2, workers=number)) for number in (0, 1)
    )
    seen = torch.cat([batch.mask.flatten() for batch in alone]).unique().tolist()
    assert seen == [0.0, 1.0, 2.0]
    assert all(torch.equal(a.mask, b.mask) for a, b in zip(alone, workers, strict=True))
