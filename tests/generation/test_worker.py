import pickle
from typing import Any

import numpy as np
import pytest

from qumade.data.encode import Encoded, encode_sample
from qumade.generation.journal import Results
from qumade.generation.worker import DrawSamples, Stopped
from qumade.synth.synthesizer import Synthesizer


class Kept:
    """A writer that keeps samples in memory."""

    def __init__(self) -> None:
        self.samples: dict[str, Encoded] = {}
        self.calls: list[str] = []

    def open(self) -> None:
        self.calls.append("open")

    def write(self, stem: str, encoded: Encoded) -> None:
        self.samples[stem] = encoded

    def close(self) -> None:
        self.calls.append("close")


def never() -> bool:
    return False


def draw(synthesizer: Synthesizer, indices: Any) -> tuple[dict[str, Encoded], Results]:
    kept = Kept()
    results = DrawSamples(synthesizer, kept)(np.asarray(indices, np.int64), never)
    return kept.samples, results


def test_drawn_samples_are_written_under_their_stems(synthesizer: Synthesizer) -> None:
    indices = [0, 7, 1199]
    written, results = draw(synthesizer, indices)
    assert list(written) == ["img000001", "img000008", "img001200"]
    for row, (index, encoded) in enumerate(zip(indices, written.values(), strict=True)):
        sample = synthesizer[index]
        assert encoded == encode_sample(sample, synthesizer.depth_encoding, synthesizer.recipe.encoding)
        objects = len(sample.visible_fraction)
        np.testing.assert_array_equal(results.visible_fraction[row, :objects], sample.visible_fraction)
        assert np.isnan(results.visible_fraction[row, objects:]).all()
    np.testing.assert_array_equal(results.indices, indices)
    assert results.visible_fraction.shape == (3, 2)


def test_a_sample_does_not_depend_on_earlier_samples(works: Any, synthesizer: Synthesizer) -> None:
    indices = np.arange(0, 1200, 37)
    forward, _ = draw(synthesizer, indices)
    backward, _ = draw(Synthesizer(works.recipe, works.catalog), indices[::-1])
    assert forward == backward
    for index in indices[:5]:
        alone, _ = draw(Synthesizer(works.recipe, works.catalog), [index])
        assert alone.items() <= forward.items()


def test_drawing_does_not_change_assets(synthesizer: Synthesizer) -> None:
    assert draw(synthesizer, np.arange(30))[0] == draw(synthesizer, np.arange(30))[0]


def test_clipped_depth_is_counted_for_each_sample(works: Any) -> None:
    near = Synthesizer(works.recipe.model_copy(update={"depth_near": 0.4}), works.catalog)
    indices = np.arange(0, 1200, 100)
    _, results = draw(near, indices)
    for index, clipped in zip(indices.tolist(), results.depth_clipped_px.tolist(), strict=True):
        inverse_depth = near[index].inverse_depth.astype(np.float64)
        # The nearest level is 0.4 and covers half a step beyond.
        assert clipped == int((inverse_depth >= 0.4 * (255.5 / 255)).sum())
    assert results.depth_clipped_px.min() > 0


def test_work_stops_between_two_samples(synthesizer: Synthesizer) -> None:
    kept = Kept()
    with pytest.raises(Stopped):
        DrawSamples(synthesizer, kept)(np.arange(10), lambda: len(kept.samples) == 4)
    assert len(kept.samples) == 4


def test_pickled_work_opens_its_writer_in_another_process(synthesizer: Synthesizer) -> None:
    arrived = pickle.loads(pickle.dumps(DrawSamples(synthesizer, Kept())))
    arrived.open()
    arrived(np.arange(3), never)
    arrived.close()
    assert arrived.writer.samples == draw(synthesizer, np.arange(3))[0]
    assert arrived.writer.calls == ["open", "close"] and arrived.objects == 2
