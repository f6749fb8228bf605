from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qumade.assets.scene_layout import (
    ROW_EDGES,
    ROWS,
    SIZE_EDGES,
    SIZES,
    SceneLayout,
    count_boxes,
    hashed_layout,
    load_layout,
    save_layout,
)  # fmt: skip
from qumade.errors import QumadeError


@given(st.integers(0, 2**32 - 1))
def test_boxes_are_counted_as_by_numpy(seed: int) -> None:
    rng = np.random.default_rng(seed)
    corners = rng.uniform(0, 1, (50, 2, 2)) * (640, 480)
    boxes = np.concatenate([corners.min(1), corners.max(1)], axis=1)
    sizes = np.sqrt(np.prod(boxes[:, 2:] - boxes[:, :2], axis=1) / (640 * 480))
    sizes = np.clip(sizes, SIZE_EDGES[0], None)  # smaller ones are in the first bin
    expected, _, _ = np.histogram2d(boxes[:, 3] / 480, sizes, (ROW_EDGES, SIZE_EDGES))
    np.testing.assert_array_equal(count_boxes(boxes, 640, 480), expected)


def test_the_whole_picture_is_in_the_last_bin() -> None:
    counts = count_boxes(np.array([[0.0, 0, 64, 48]]), 64, 48)
    assert counts[ROWS - 1, SIZES - 1] == 1 and counts.sum() == 1


def test_a_layout_is_read_back_with_its_hash(tmp_path: Path) -> None:
    table = np.arange(ROWS * SIZES).reshape(ROWS, SIZES) / 2
    layout = SceneLayout(
        format="qumade-layout/1", pictures=9, number=(1, 2.5), size_and_row=tuple(map(tuple, table.tolist()))
    )
    save_layout(layout, tmp_path / "a.yaml")
    assert load_layout(tmp_path / "a.yaml") == layout
    assert (layout.table == table).all() and layout.numbers.tolist() == [1, 2.5, *[0] * 15]
    again, sha256 = hashed_layout(tmp_path / "a.yaml")
    save_layout(again, tmp_path / "b.yaml")
    assert hashed_layout(tmp_path / "b.yaml")[1] == sha256


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[]", "must be a mapping"),
        ("{format: other, size_and_row: [[1]]}", "format"),
        ("{format: qumade-layout/1, size_and_row: [[1, .nan]]}", "nan"),
        ("{format: qumade-layout/1, size_and_row: [[1, -2]]}", "-2"),
        ("{format: qumade-layout/1, size_and_row: [[1, 1e300]]}", "1e300"),
        ("{format: qumade-layout/1, size_and_row: [[1, car]]}", "car"),
        ("{format: qumade-layout/1, size_and_row: [" + f"{[1.7e308] * 14}," * 20 + "]}", "size_and_row"),
        ("{format: qumade-layout/1, size_and_row: [[1, 2]]}", "20 lists of 14 numbers"),
        (
            "{format: qumade-layout/1, number: [3], size_and_row: [" + f"{[1] * 14}," * 20 + "]}",
            "number",
        ),
        ("{a: [", "YAML"),
    ],
)
def test_wrong_layout_files_are_refused_in_one_line(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "layout.yaml"
    path.write_text(text)
    with pytest.raises(QumadeError, match=words) as caught:
        load_layout(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)
