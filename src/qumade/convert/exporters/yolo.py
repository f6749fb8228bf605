"""YOLO segmentation and detection: images/SPLIT, labels/SPLIT/STEM.txt and data.yaml, as ultralytics reads them."""

import functools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import yaml

from qumade.convert.exporters.files import copy_image, write_missing
from qumade.convert.exporters.outlines import outline
from qumade.convert.exporters.samples import Chunk
from qumade.io.files import write_bytes

__all__ = ["Yolo", "write_data_yaml"]


@dataclass(frozen=True)
class Yolo:
    """Writes a line per visible object: its class, then its outline ("segment") or the centre and size of the box of
    its visible pixels ("detect"), as shares of the image's width and height."""

    out: Path
    classes: tuple[str, ...]
    task: Literal["segment", "detect"] = "segment"

    def folders(self, splits: Iterable[str]) -> list[str]:
        """Return the folders to make."""
        return [f"{part}/{split}" for split in splits for part in ("images", "labels")]

    def export(self, chunk: Chunk) -> None:
        """Write images and labels of a chunk."""
        for n in range(len(chunk)):
            label = self.out / "labels" / chunk.split / f"{chunk.dataset.stems[n]}.txt"
            if not label.exists():
                write_missing(label, self._lines(chunk, n).encode())
            copy_image(chunk, n, self.out / "images" / chunk.split)

    def collect(self, split: str, chunks: Iterable[None]) -> None:
        """Wait for the samples of a split."""
        for _ in chunks:
            pass

    def finish(self, splits: Sequence[str]) -> None:
        """Write data.yaml."""
        write_data_yaml(self.out, splits, self.classes)

    def _lines(self, chunk: Chunk, n: int) -> str:
        instances = chunk.instances(n)
        height, width = instances.numbers.shape
        lines = []
        for number in instances.visible:
            left, top, box_width, box_height = instances.visible_box[number].tolist()
            if self.task == "detect":
                centre = (left + box_width / 2) / width, (top + box_height / 2) / height
                texts = [f"{share:.6f}" for share in (*centre, box_width / width, box_height / height)]
            else:
                across, down = _shares(width), _shares(height)
                corners = outline(instances.pixels(number)).tolist()
                texts = [f"{across[x + left]} {down[y + top]}" for x, y in corners]
            numbers = " ".join(texts)
            lines.append(f"{instances.class_number[number]} {numbers}\n")
        return "".join(lines)


@functools.cache
def _shares(length: int) -> list[str]:
    """Return the text of each edge of a pixel as a share of a side: outlines have hundreds of corners."""
    return [f"{edge / length:.6f}" for edge in range(length + 1)]


def write_data_yaml(out: Path, splits: Sequence[str], classes: Sequence[str]) -> None:
    """Write data.yaml with the folders of the splits, relative to itself, and the names of the classes."""
    values = {split: f"images/{split}" for split in splits}
    content = values | {"nc": len(classes), "names": dict(enumerate(classes))}
    write_bytes(out / "data.yaml", yaml.safe_dump(content, sort_keys=False, allow_unicode=True).encode())
