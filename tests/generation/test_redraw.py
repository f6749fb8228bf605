from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from qumade.data.folder import FolderDataset
from qumade.data.manifest import read_manifest
from qumade.errors import DatasetError
from qumade.generation.redraw import plan_again, redraw

EQUAL = {"images": None, "masks": None, "depth": None}


@pytest.fixture(scope="module")
def drawn(works: Any) -> tuple[FolderDataset, pa.Table]:
    """A dataset of six samples, and its rows."""
    out = works.out()
    works.generate(out, limit=6)
    return FolderDataset(out), next(read_manifest(out / "manifest.parquet")).combine_chunks()


def redrawn(synthesizer: Any, files: Any, rows: pa.Table, codecs: dict[str, int | None] = EQUAL) -> list[str]:
    found = redraw(synthesizer, rows, codecs, files, rows["stem"].to_pylist(), "/here/manifest.parquet")
    return [f"{problem.stem} {Path(problem.path).name} {problem.problem}" for problem in found]


class Changed:
    """The files of a dataset, of which one is another."""

    def __init__(self, files: FolderDataset, folder: str, stem: str, content: bytes | None) -> None:
        self._files, self._which, self._content = files, (folder, stem), content

    def path(self, folder: str, key: str) -> Path:
        return self._files.path(folder, key)

    def content(self, folder: str, key: str) -> bytes:
        if (folder, key) != self._which:
            return self._files.content(folder, key)
        if self._content is None:
            raise DatasetError("gone")
        return self._content


def test_what_was_drawn_is_drawn_again(synthesizer: Any, drawn: tuple[FolderDataset, pa.Table]) -> None:
    files, rows = drawn
    assert redrawn(synthesizer, files, rows) == [] == list(plan_again(synthesizer, rows, "here"))


def test_a_file_that_differs_or_cannot_be_read_is_named(
    synthesizer: Any, drawn: tuple[FolderDataset, pa.Table]
) -> None:
    files, rows = drawn
    stem, other = rows["stem"].to_pylist()[:2]
    swapped = Changed(files, "masks", stem, files.content("masks", other))
    assert redrawn(synthesizer, swapped, rows) == [f"{stem} {stem}.jpg differs from the sample drawn again"]
    assert "levels from the sample" in redrawn(synthesizer, swapped, rows, EQUAL | {"masks": 2})[0]
    assert redrawn(synthesizer, Changed(files, "depth", stem, None), rows) == [
        f"{stem} {stem}.jpg cannot be compared: gone"
    ]


def test_a_row_that_differs_is_named(synthesizer: Any, drawn: tuple[FolderDataset, pa.Table]) -> None:
    files, rows = drawn
    at = rows.schema.get_field_index("crop_x")
    changed = rows.set_column(
        at, rows.schema.field(at), pa.array(np.array([*rows["crop_x"].to_numpy()]) + 1, pa.int32())
    )
    (problem, *_) = plan_again(synthesizer, changed.slice(2, 1), "/here/manifest.parquet")
    assert problem.stem == rows["stem"][2].as_py() and problem.path == "/here/manifest.parquet"
    assert problem.problem == "its row differs from the sample drawn again"
    assert redrawn(synthesizer, files, rows.take([3])) == []
