"""Plans and draws samples of a dataset again, and holds them against its rows and files."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from qumade.compose.boxes import visible_boxes
from qumade.data.encode import encode_sample
from qumade.data.manifest import manifest_table, plans_from_manifest, visible_boxes_of, visible_fractions
from qumade.errors import DatasetError
from qumade.generation.files_check import Problem
from qumade.io.decode import decode_grey, decode_rgb
from qumade.io.pictures import UnusablePicture, printable
from qumade.synth.synthesizer import Synthesizer

__all__ = ["Files", "plan_again", "redraw"]


class Files(Protocol):
    """The files of a dataset's samples, by folder and key. `content` raises DatasetError or UnusablePicture."""

    def path(self, folder: str, key: Any) -> Path: ...
    def content(self, folder: str, key: Any) -> bytes: ...


def plan_again(synthesizer: Synthesizer, rows: pa.Table, manifest: str) -> Iterator[Problem]:
    """Yields the samples that the recipe plans otherwise than their row says; what only drawing shows is taken over.
    `manifest` names the file of the rows."""
    most = synthesizer.recipe.objects[1]
    visible, boxes = visible_fractions(rows, most), visible_boxes_of(rows, most)
    yield from _other_rows(synthesizer, rows, manifest, visible, rows["depth_clipped_px"].to_numpy(), boxes)


def redraw(
    synthesizer: Synthesizer,
    rows: pa.Table,
    codecs: Mapping[str, int | None],
    files: Files,
    keys: Sequence[int | str],
    manifest: str,
) -> Iterator[Problem]:
    """Draws the samples of these rows, whose files have these keys, and yields what differs in files and rows.
    `codecs` says by how many levels the pixels of a folder may differ, None for equal bytes."""
    recipe, depth = synthesizer.recipe, synthesizer.depth_encoding
    plans = plans_from_manifest(synthesizer, rows)
    stems, clipped = rows["stem"].to_pylist(), rows["depth_clipped_px"].to_pylist()
    visible = np.full((len(rows), recipe.objects[1]), np.nan, np.float32)
    instances, boxes = synthesizer.writes_instances, np.zeros((len(rows), recipe.objects[1], 4), np.int32)
    for n, stem in enumerate(stems):
        sample = synthesizer.render(plans[n])
        encoded = encode_sample(sample, depth, recipe.encoding, instances=instances)
        for folder, redrawn in encoded.files.items():
            path = files.path(folder, keys[n])
            try:
                problem = _difference(path, files.content(folder, keys[n]), folder, redrawn, codecs[folder])
            except (DatasetError, UnusablePicture) as error:
                problem = f"cannot be compared: {error}"
            if problem is not None:
                yield Problem(stem, printable(path), problem)
        visible[n, : len(sample.visible_fraction)] = sample.visible_fraction
        if instances:
            boxes[n, : len(sample.visible_fraction)] = visible_boxes(sample.owner, len(sample.visible_fraction))
        if depth is not None:
            clipped[n] = encoded.depth_clipped_px
    yield from _other_rows(synthesizer, rows, manifest, visible, np.array(clipped, np.int32), boxes)


def _other_rows(
    synthesizer: Synthesizer,
    rows: pa.Table,
    manifest: str,
    visible: NDArray[np.float32],
    clipped: NDArray[np.int32],
    boxes: NDArray[np.int32],
) -> Iterator[Problem]:
    """Yields the rows that differ from those that the recipe gives, with these results of drawing."""
    plans = synthesizer.plan(rows["index"].to_numpy())
    again = manifest_table(synthesizer, plans, visible, clipped, boxes if synthesizer.writes_instances else None)
    if again.equals(rows.combine_chunks()):
        return
    for row, expected in zip(rows.to_pylist(), again.to_pylist(), strict=True):
        if row != expected:
            yield Problem(row["stem"], manifest, "its row differs from the sample drawn again")


def _difference(path: Path, stored: bytes, folder: str, redrawn: bytes, levels: int | None) -> str | None:
    """Returns how a file differs from the one drawn again. With `levels`, decoded pixels may differ by so many."""
    if stored == redrawn:
        return None
    if levels is None:
        return "differs from the sample drawn again"
    decode = decode_rgb if folder == "images" else decode_grey
    ours, theirs = decode(redrawn, path).astype(np.int64), decode(stored, path).astype(np.int64)
    if ours.shape != theirs.shape:
        return f"has {theirs.shape[1]}x{theirs.shape[0]} pixels; must have {ours.shape[1]}x{ours.shape[0]}"
    furthest = int(np.abs(ours - theirs).max())
    if furthest <= levels:
        return None
    return f"differs by {furthest} levels from the sample drawn again; must be at most {levels}"
