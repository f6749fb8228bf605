"""Pascal VOC segmentation: palette maps of classes and objects, XML with boxes, lists of the splits.

Format: M. Everingham et al., "The Pascal visual object classes challenge", IJCV 2010. Boxes in XML count pixels from
1, both ends included.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

import numpy as np

from qumade.convert.exporters.files import copy_image, write_missing
from qumade.convert.exporters.samples import Chunk, Instances
from qumade.errors import DatasetError
from qumade.io.files import write_bytes
from qumade.io.palette import palette_png, voc_palette

__all__ = ["VOID", "Voc"]

VOID = 255
"""The value of ignored pixels in both maps."""
MOST = 254


@dataclass(frozen=True)
class Voc:
    """Writes JPEGImages/ (the dataset's own files), SegmentationClass/ and SegmentationObject/ (0 background, 255
    ignored), Annotations/, ImageSets/ and labelmap.txt with the colours of the classes."""

    out: Path
    classes: tuple[str, ...]

    def folders(self, splits: Iterable[str]) -> list[str]:
        """Return the folders to make."""
        maps = ["JPEGImages", "SegmentationClass", "SegmentationObject", "Annotations"]
        return [*maps, "ImageSets/Segmentation", "ImageSets/Main"]

    def export(self, chunk: Chunk) -> list[str]:
        """Write the files of a chunk; return the stems."""
        return [self._sample(chunk, n) for n in range(len(chunk))]

    def collect(self, split: str, chunks: Iterable[list[str]]) -> None:
        """Write the lists of a split."""
        names = "".join(f"{stem}\n" for stems in chunks for stem in stems).encode()
        for part in ("Segmentation", "Main"):
            write_bytes(self.out / "ImageSets" / part / f"{split}.txt", names)

    def finish(self, splits: Iterable[str]) -> None:
        """Write labelmap.txt: name, colour as r,g,b, and two empty columns (parts, actions)."""
        lines = ["# label:color_rgb:parts:actions"]
        for name, colour in zip(("background", *self.classes), voc_palette().tolist(), strict=False):
            lines.append(f"{name}:{','.join(map(str, colour))}::")
        write_bytes(self.out / "labelmap.txt", ("\n".join(lines) + "\n").encode())

    def _sample(self, chunk: Chunk, n: int) -> str:
        stem = str(chunk.dataset.stems[n])
        paths = [self.out / folder / f"{stem}.png" for folder in ("SegmentationClass", "SegmentationObject")]
        annotation = self.out / "Annotations" / f"{stem}.xml"
        if not all(path.exists() for path in (*paths, annotation)):
            instances, ignore = chunk.instances(n), chunk.ignore(n)
            if len(instances.class_number) > MOST:
                raise DatasetError(
                    f"Invalid dataset: got {len(instances.class_number)} objects in {chunk.dataset.path('images', n)}; "
                    f"must be at most {MOST} for voc"
                )
            classes = np.concatenate([[0], instances.class_number + 1]).astype(np.uint8)[instances.numbers]
            objects = instances.numbers.astype(np.uint8)
            if ignore is not None:
                classes[ignore & (objects == 0)] = VOID
                objects[ignore & (objects == 0)] = VOID
            for path, values in zip(paths, (classes, objects), strict=True):
                write_missing(path, palette_png(values))
            image = chunk.dataset.file_name("images", n)
            write_missing(annotation, self._xml(image, instances).encode())
        copy_image(chunk, n, self.out / "JPEGImages")
        return stem

    def _xml(self, image: str, instances: Instances) -> str:
        height, width = instances.numbers.shape
        lines = [
            "<annotation>",
            "  <folder>JPEGImages</folder>",
            f"  <filename>{escape(image)}</filename>",
            f"  <size><width>{width}</width><height>{height}</height><depth>3</depth></size>",
            "  <segmented>1</segmented>",
        ]
        for number in instances.visible:
            left, top, box_width, box_height = instances.visible_box[number].tolist()
            whole = instances.box[number]
            reaches = bool(
                whole[0] < 0 or whole[1] < 0 or whole[0] + whole[2] > width or whole[1] + whole[3] > height
            )  # False where unknown: NaN
            hidden = bool(instances.visible_fraction[number] < 0.95)
            lines += [
                "  <object>",
                f"    <name>{escape(self.classes[instances.class_number[number]])}</name>",
                "    <pose>Unspecified</pose>",
                f"    <truncated>{int(reaches)}</truncated>",
                f"    <occluded>{int(hidden)}</occluded>",
                "    <difficult>0</difficult>",
                f"    <bndbox><xmin>{left + 1}</xmin><ymin>{top + 1}</ymin>"
                f"<xmax>{left + box_width}</xmax><ymax>{top + box_height}</ymax></bndbox>",
                "  </object>",
            ]
        return "\n".join([*lines, "</annotation>", ""])
