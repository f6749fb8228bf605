"""Layouts of pictures that were drawn by hand, against the count by hand."""

from pathlib import Path

import numpy as np
from PIL import Image

from qumade.assets.scene_layout import ROWS, SIZE_EDGES, load_layout, save_layout
from qumade.data.folder import FolderDataset
from qumade.data.learn_layout import learn_layout

WIDTH, HEIGHT = 128, 100
Box = tuple[int, int, int, int]  # left, top, right, bottom


def write(root: Path, pictures: list[list[Box]], ignored: dict[int, Box] | None = None) -> FolderDataset:
    for folder in ("images", "masks", *(["ignore"] if ignored is not None else [])):
        (root / folder).mkdir(parents=True)
    for number, boxes in enumerate(pictures):
        mask, ignore = np.zeros((HEIGHT, WIDTH), np.uint8), np.zeros((HEIGHT, WIDTH), np.uint8)
        for left, top, right, bottom in boxes:
            mask[top:bottom, left:right] = 255
        if ignored is not None:
            if number in ignored:
                left, top, right, bottom = ignored[number]
                ignore[top:bottom, left:right] = 255
            ignore[mask > 0] = 0
            Image.fromarray(ignore).convert("1").save(root / "ignore" / f"p{number}.png")
        Image.fromarray(mask).save(root / "masks" / f"p{number}.png")
        Image.new("RGB", (WIDTH, HEIGHT)).save(root / "images" / f"p{number}.png")
    return FolderDataset(root)


def bins(box: Box) -> tuple[int, int]:
    left, top, right, bottom = box
    size = np.sqrt((right - left) * (bottom - top) / (WIDTH * HEIGHT))
    return min(bottom * ROWS // HEIGHT, ROWS - 1), int(np.searchsorted(SIZE_EDGES[1:-1], size, side="right"))


def test_objects_are_counted_as_by_hand(tmp_path: Path) -> None:
    pictures: list[list[Box]] = [[(10, 40, 20, 50), (60, 52, 100, 92)], [], [(0, 80, 30, 100)], [(5, 5, 6, 6)]]
    layout = learn_layout(write(tmp_path, pictures))  # one pixel of 12 800 is less than 0.01 %
    assert (layout.told_apart, layout.pictures) == ("components", 4)
    assert layout.number[:4] == (2, 1, 1, 0)
    expected = np.zeros_like(layout.table)
    for box in (*pictures[0], *pictures[2]):
        expected[bins(box)] += 1
    assert (layout.table == expected).all()
    save_layout(layout, tmp_path / "layout.yaml")
    assert load_layout(tmp_path / "layout.yaml") == layout


def test_what_is_unlabelled_does_not_count_as_absence(tmp_path: Path) -> None:
    """An object inside an ignored region has no known extent; beside a large region the number is unknown."""
    inside, free = (20, 40, 30, 50), (60, 40, 70, 50)
    dataset = write(tmp_path, [[inside, free], [free]], {0: (15, 35, 35, 55), 1: (0, 60, 128, 100)})
    layout = learn_layout(dataset)
    assert layout.table.sum() == 2 and layout.table[bins(free)] == 2
    assert layout.number[:4] == (0, 0, 1, 0)  # the second picture, four tenths ignored, counts for none


def test_instances_tell_touching_objects_apart(tmp_path: Path) -> None:
    dataset = write(tmp_path, [[(10, 40, 30, 60)]])
    (tmp_path / "instances").mkdir()
    owners = np.zeros((HEIGHT, WIDTH), np.uint16)
    owners[40:60, 10:20], owners[40:60, 20:30] = 7, 300
    Image.fromarray(owners).save(tmp_path / "instances" / "p0.png")
    layout = learn_layout(dataset)
    assert layout.told_apart == "instances" and layout.number[2] == 1
    assert layout.table[bins((10, 40, 20, 60))] == 2
