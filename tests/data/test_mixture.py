from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qumade.data.dataset import LabeledSample
from qumade.data.mixture import Ingredient, Key, Mixture, Share, parse_share
from qumade.depth.encoding import DepthEncoding
from qumade.errors import ConfigError, QumadeError


class Numbered:
    """Samples that encode their own position and draw."""

    classes: tuple[str, ...] = ()
    has_instances = False

    def __init__(self, name: str, samples: int, masks: bool = True, code: DepthEncoding | None = None) -> None:
        self.name, self._samples, self.has_masks, self.depth_encoding = name, samples, masks, code
        self.has_depth = code is not None

    def __len__(self) -> int:
        return self._samples

    def read_many(self, positions: Any, draws: Any = None) -> list[LabeledSample]:
        return [self._read(position, draw) for position, draw in zip(positions, draws, strict=True)]

    def _read(self, position: int, draw: int) -> LabeledSample:
        image = np.full((2, 2, 3), position, np.uint8)
        mask = np.full((2, 2), draw, np.uint8) if self.has_masks else None
        return LabeledSample(image, mask, np.ones((2, 2), np.float32) if self.has_depth else None, None)


def code(kind: Any, span: Any = (0.0, 1.0)) -> DepthEncoding:
    return DepthEncoding(kind=kind, code="inverse", bits=8, range=span)


SCALED = code("scaled")


def mix_of(*shares: float, samples: int = 50) -> Mixture:
    return Mixture(
        [Ingredient(Numbered(f"set {n}", samples), np.arange(samples), share) for n, share in enumerate(shares)]  # type: ignore[arg-type]
    )


@st.composite
def shares(draw: st.DrawFn) -> list[float]:
    weights = draw(st.lists(st.floats(0.01, 1), min_size=1, max_size=5))
    return [weight / sum(weights) for weight in weights]


@given(shares=shares(), batch_size=st.integers(1, 40), batch=st.integers(0, 10_000))
def test_shares_hold_over_all_batches_and_every_batch_is_full(shares: list[float], batch_size: int, batch: int) -> None:
    mix = mix_of(*shares)
    here, after = mix._shown(batch * batch_size), mix._shown((batch + 1) * batch_size)
    assert sum(here) == batch * batch_size
    assert all(a <= b for a, b in zip(here, after, strict=True))
    for count, share in zip(here, shares, strict=True):
        assert abs(count - share * batch * batch_size) < 1.5
    assert len(mix.keys(batch, batch_size, 0)) == batch_size


def test_a_tenth_of_each_batch() -> None:
    mix = mix_of(0.9, 0.1)
    of_second = [sum(key.ingredient == 1 for key in mix.keys(batch, 16, seed=3)) for batch in range(50)]
    assert set(of_second) == {1, 2}
    assert sum(of_second) == 80


@pytest.mark.parametrize("batch_size", [1, 7, 16])
def test_every_epoch_shows_every_sample_once_in_another_order(batch_size: int) -> None:
    positions = np.array([2, 3, 5, 7, 11, 13, 17])
    mix = Mixture([Ingredient(Numbered("set", 20), positions)])  # type: ignore[arg-type]
    keys = [key for batch in range(70) for key in mix.keys(batch, batch_size, seed=9)]
    orders = [[key.position for key in keys[n : n + 7]] for n in range(0, 63, 7)]
    assert all(sorted(order) == positions.tolist() for order in orders)
    assert len({tuple(order) for order in orders}) > 7
    assert [key.epoch for key in keys[:63]] == np.repeat(np.arange(9), 7).tolist()
    assert mix.epoch_batches(batch_size) == -(-7 // batch_size)


def test_each_ingredient_has_its_own_epochs() -> None:
    sizes = (40, 3)
    mix = Mixture(
        [
            Ingredient(Numbered("many", sizes[0]), np.arange(sizes[0]), 0.75),  # type: ignore[arg-type]
            Ingredient(Numbered("few", sizes[1]), np.arange(sizes[1]), 0.25),  # type: ignore[arg-type]
        ]
    )
    keys = [key for batch in range(mix.epoch_batches(8)) for key in mix.keys(batch, 8, seed=0)]
    for number, size in enumerate(sizes):
        own = [key for key in keys if key.ingredient == number]
        for epoch in range(len(own) // size):
            assert {key.position for key in own if key.epoch == epoch} == set(range(size))
    assert max(key.epoch for key in keys) == 4
    assert mix.epoch_batches(8) == 7


def test_keys_are_a_pure_function_of_seed_and_batch() -> None:
    one, other = mix_of(0.6, 0.4), mix_of(0.6, 0.4)
    backward = [other.keys(batch, 10, 5) for batch in reversed(range(20))]
    assert [one.keys(batch, 10, 5) for batch in range(20)] == backward[::-1]
    assert one.keys(0, 10, 6) != one.keys(0, 10, 5)
    positions = [{key.position for key in one.keys(0, 50, 5) if key.ingredient == n} for n in (0, 1)]
    assert positions[0] != positions[1]


def test_samples_come_in_the_order_of_their_keys_with_their_epoch_as_draw() -> None:
    keys = [Key(1, 4, 2), Key(0, 3, 0), Key(1, 0, 1), Key(0, 9, 7)]
    samples = mix_of(0.5, 0.5).read_many(keys)
    assert [int(sample.image[0, 0, 0]) for sample in samples] == [4, 3, 0, 9]
    assert [int(sample.mask[0, 0]) for sample in samples if sample.mask is not None] == [2, 0, 1, 7]


def test_parts_select_masks_of_one_dataset_and_depth_of_another() -> None:
    sets = [Numbered("a", 5, code=SCALED), Numbered("b", 5, code=SCALED)]
    mix = Mixture(
        [Ingredient(sets[0], np.arange(5), 0.5, "mask"), Ingredient(sets[1], np.arange(5), 0.5, "depth")]  # type: ignore[arg-type]
    )
    masks, depth = mix.read_many([Key(0, 1, 0), Key(1, 1, 0)])
    assert masks.mask is not None and masks.inverse_depth is None
    assert depth.mask is None and depth.inverse_depth is not None
    assert mix.has_masks and mix.has_depth
    only = Mixture([Ingredient(sets[0], np.arange(5), 1.0, "depth")])  # type: ignore[arg-type]
    assert not only.has_masks and only.has_depth


@pytest.mark.parametrize(
    ("codes", "parts", "kind"),
    [
        ([None], ["both"], None),
        ([code("metric")], ["both"], "metric"),
        ([code("metric"), code("scaled")], ["both", "both"], "scaled"),
        ([code("metric"), code("affine")], ["both", "both"], "affine"),
        ([code("metric"), code("affine")], ["both", "mask"], "metric"),
        ([code("scaled", "image")], ["both"], "affine"),
        ([DepthEncoding(code="inverse", bits=8, range="image"), None], ["both", "both"], "affine"),
    ],
)
def test_the_depth_kind_is_that_of_the_weakest_ingredient(codes: list[Any], parts: list[Any], kind: str | None) -> None:
    given = [
        Ingredient(Numbered("set", 3, code=each), np.arange(3), 1 / len(codes), part)  # type: ignore[arg-type]
        for each, part in zip(codes, parts, strict=True)
    ]
    assert Mixture(given).depth_kind == kind


@pytest.mark.parametrize(
    ("ingredients", "words"),
    [
        ([], "Invalid shares"),
        ([(3, 0.5, "both")], "Invalid shares"),
        ([(3, 0.5, "both"), (3, 0.6, "both")], "Invalid shares"),
        ([(3, 1.2, "both"), (3, -0.2, "both")], "Invalid shares"),
        ([(3, float("nan"), "both")], "Invalid shares"),
        ([(0, 1.0, "both")], "got no sample of set"),
        ([(3, 1.0, "depth")], "Invalid parts: got 'depth' for set"),
    ],
)
def test_invalid_mixtures_are_refused(ingredients: list[tuple[int, float, Any]], words: str) -> None:
    with pytest.raises(QumadeError, match=words):
        Mixture([Ingredient(Numbered("set", 9), np.arange(n), share, part) for n, share, part in ingredients])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "share"),
    [
        ("B:0.1", Share(Path("B"), 0.1, "both")),
        ("a b/c.yaml:1e-2", Share(Path("a b/c.yaml"), 0.01, "both")),
        ("C:/data:x:0.25:depth", Share(Path("C:/data:x"), 0.25, "depth")),
        ("../B:.5:mask", Share(Path("../B"), 0.5, "mask")),
        ("B:0.5:both", Share(Path("B"), 0.5, "both")),
    ],
)
def test_shares_are_parsed(text: str, share: Share) -> None:
    assert parse_share(text) == share


@pytest.mark.parametrize(
    "text", ["", "B", "B:", ":0.1", "B:0", "B:1", "B:1.5", "B:-0.1", "B:x", "B:0.1:masks", "B:nan", "B:1e", "B:+-1"]
)
def test_invalid_shares_are_refused(text: str) -> None:
    with pytest.raises(QumadeError, match="Invalid share: got"):
        parse_share(text)


# Twins


class Varied(Numbered):
    """Samples that encode position, draw and variant."""

    def read_many(self, positions: Any, draws: Any = None, variants: Any = None) -> list[LabeledSample]:
        read = super().read_many(positions, draws)
        for sample, variant in zip(read, variants, strict=True):
            sample.image[0, 0, 1] = variant
        return read


def twins_of(*shares: float, samples: int = 13) -> Mixture:
    sets = [Varied(f"set {n}", samples) if n == 0 else Numbered(f"set {n}", samples) for n in range(len(shares))]
    parts = [Ingredient(one, np.arange(samples), share) for one, share in zip(sets, shares, strict=True)]  # type: ignore[arg-type]
    return Mixture([replace(parts[0], twins=True), *parts[1:]])


@given(shares=shares(), batch_size=st.integers(1, 20), batch=st.integers(0, 1000))
def test_twins_fill_consecutive_slots_of_every_batch(shares: list[float], batch_size: int, batch: int) -> None:
    mix = twins_of(*shares)
    keys = mix.keys(batch, 2 * batch_size, 3)
    assert len(keys) == 2 * batch_size
    for one, other in zip(keys[::2], keys[1::2], strict=True):
        assert one.ingredient == other.ingredient and (one.variant, other.variant) in ((0, 1), (0, 0))
        if one.ingredient == 0:
            assert other == one._replace(variant=1)


def test_an_epoch_of_twins_shows_each_sample_twice() -> None:
    mix = twins_of(1.0)
    count = mix.epoch_batches(4)
    assert count == 7 and mix_of(1.0, samples=13).epoch_batches(4) == 4
    keys = [key for batch in range(count) for key in mix.keys(batch, 4, 5)][: 2 * 13]
    assert sorted((key.position, key.variant) for key in keys) == [(p, v) for p in range(13) for v in (0, 1)]
    samples = mix.read_many(keys)
    assert [sample.image[0, 0, 1] for sample in samples] == [0, 1] * 13
    assert [sample.image[1, 1, 1] for sample in samples] == [key.position for key in keys]


def test_an_odd_batch_cannot_hold_twins() -> None:
    with pytest.raises(QumadeError, match="Invalid batch size: got 5; must be even for twins"):
        twins_of(1.0).keys(0, 5, 0)


class Classed(Numbered):
    """Samples of several classes, whose first pixel shows the first class and so on."""

    has_instances = True

    def __init__(self, name: str, classes: tuple[str, ...]) -> None:
        super().__init__(name, 4, code=SCALED)
        self.classes = classes

    def _read(self, position: int, draw: int) -> LabeledSample:
        class_map = np.array([[0, 1], [2, 3]], np.uint8)
        return replace(super()._read(position, draw), class_map=class_map)


def classed_mix(*datasets: Any, parts: Any = "both") -> Mixture:
    shares = [0.5] + [0.5 / (len(datasets) - 1)] * (len(datasets) - 1) if len(datasets) > 1 else [1.0]
    return Mixture(
        [
            Ingredient(dataset, np.arange(4), share, parts if number else "both")
            for number, (dataset, share) in enumerate(zip(datasets, shares, strict=True))
        ]
    )


def test_other_datasets_get_the_numbers_of_the_first():
    mix = classed_mix(Classed("main", ("a", "b", "c")), Classed("extra", ("c", "a", "b")))
    assert mix.classes == ("a", "b", "c")
    own, other = (mix.read_many([Key(number, 0, 0)])[0].class_map for number in (0, 1))
    assert own is not None and other is not None
    assert own.tolist() == [[0, 1], [2, 3]] and other.tolist() == [[0, 3], [1, 2]]


@pytest.mark.parametrize("extra", [Classed("extra", ("a", "b", "d")), Classed("extra", ("a", "b")), Numbered("one", 4)])
def test_masks_of_other_classes_are_refused_and_their_depth_is_not(extra):
    main = Classed("main", ("a", "b", "c"))
    with pytest.raises(
        ConfigError, match=rf"got .* in {extra.name}; must have the classes of main, a, b, c, or give its"
    ):
        classed_mix(main, extra)
    if extra.has_depth:
        mix = classed_mix(main, extra, parts="depth")
        assert mix.read_many([Key(1, 0, 0)])[0].mask is None


def test_one_class_takes_the_mask_of_several():
    mix = classed_mix(Numbered("main", 4), Classed("extra", ("a", "b", "c")))
    assert mix.classes == () and mix.read_many([Key(1, 0, 0)])[0].class_map is None
