"""COCO instances: images/SPLIT and annotations/instances_SPLIT.json.

Format: T.-Y. Lin et al., "Microsoft COCO: common objects in context", ECCV 2014. FiftyOne reads
it as COCODetectionDataset.
"""

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from qumade.convert.exporters.files import copy_image
from qumade.convert.exporters.outlines import outline
from qumade.convert.exporters.samples import Chunk, Instances
from qumade.extras import needs
from qumade.io.files import new_file

__all__ = ["Coco"]


@dataclass(frozen=True)
class Coco:
    """Writes each object with the run lengths of its visible pixels, or with `polygons` their outline.

    Each also has `amodal_bbox` (the box of the whole object), `visible_fraction` and `inverse_depth` where they are
    known. Ignored pixels are one annotation with `iscrowd` 1 per class, as COCO marks what no metric counts.
    """

    out: Path
    classes: tuple[str, ...]
    polygons: bool = False

    def folders(self, splits: Iterable[str]) -> list[str]:
        """Return the folders to make."""
        with needs("imports", "COCO"):
            import pycocotools.mask  # noqa: F401 - fails now, not after hours of work
        return ["annotations", *(f"images/{split}" for split in splits)]

    def export(self, chunk: Chunk) -> list[tuple[str, list[str]]]:
        """Write the images of a chunk; return for each its entry in `images`, and its annotations without their ids."""
        return [self._sample(chunk, n) for n in range(len(chunk))]

    def collect(self, split: str, chunks: Iterable[list[tuple[str, list[str]]]]) -> None:
        """Write the annotations of a split."""
        images, written = [], 0
        path = self.out / "annotations" / f"instances_{split}.json"
        with new_file(path) as file:
            file.write(b'{"info": {"description": "made by QuMaDe"}, "licenses": [], "categories": ')
            categories = [{"id": number, "name": name} for number, name in enumerate(self.classes, 1)]
            file.write(json.dumps(categories).encode() + b', "annotations": [')
            for chunk in chunks:
                for image, annotations in chunk:
                    images.append(image)
                    for annotation in annotations:
                        written += 1
                        text = f'{"," if written > 1 else ""}\n{{"id": {written}, {annotation}'
                        file.write(text.encode())
            file.write(b'\n], "images": [\n' + ",\n".join(images).encode() + b"\n]}\n")

    def finish(self, splits: Iterable[str]) -> None:
        """Write nothing more: every split has a file of its own."""

    def _sample(self, chunk: Chunk, n: int) -> tuple[str, list[str]]:
        name = copy_image(chunk, n, self.out / "images" / chunk.split)
        number = int(chunk.positions[n]) + 1
        instances, ignore = chunk.instances(n), chunk.ignore(n)
        height, width = instances.numbers.shape
        image = {"id": number, "file_name": name, "width": width, "height": height}
        annotations = self._objects(number, instances)
        if ignore is not None:
            runs = _runs(ignore[..., None])[0]
            annotations += [_annotation(number, category, runs) for category in range(1, len(self.classes) + 1)]
        return json.dumps(image), annotations

    def _objects(self, image: int, instances: Instances) -> list[str]:
        visible = instances.visible
        if not visible:
            return []
        found = []
        stack = np.equal(instances.numbers.T, np.array(visible)[:, None, None] + 1, order="C").T
        for number, runs in zip(visible, _runs(stack), strict=True):
            segmentation = [_polygon(instances, number)] if self.polygons else None
            more: dict[str, Any] = {}
            if not np.isnan(instances.box[number]).any():
                more["amodal_bbox"] = [round(float(side), 3) for side in instances.box[number]]
            for name in ("visible_fraction", "inverse_depth"):
                value = float(getattr(instances, name)[number])
                if math.isfinite(value):
                    more[name] = round(value, 6)
            found.append(_annotation(image, int(instances.class_number[number]) + 1, runs, segmentation, more))
        return found


def _runs(stack: np.ndarray) -> list[dict[str, Any]]:
    """Return the compressed run lengths of masks, bool [H, W, n]: without a copy where columns are contiguous."""
    import pycocotools.mask

    found: list[dict[str, Any]] = pycocotools.mask.encode(np.asfortranarray(stack).view(np.uint8))
    return found


def _polygon(instances: Instances, number: int) -> list[int]:
    left, top = instances.visible_box[number, :2]
    corners: list[int] = (outline(instances.pixels(number)) + np.array([left, top], np.int32)).ravel().tolist()
    return corners


def _annotation(
    image: int,
    category: int,
    runs: dict[str, Any],
    segmentation: list[list[int]] | None = None,
    more: dict[str, Any] | None = None,
) -> str:
    """Return an annotation as JSON without its id and without the opening brace; a crowd if it has no `more`."""
    import pycocotools.mask

    values = {
        "image_id": image,
        "category_id": category,
        "bbox": pycocotools.mask.toBbox(runs).tolist(),
        "area": int(pycocotools.mask.area(runs)),
        "iscrowd": int(more is None),
        "segmentation": segmentation or {"size": runs["size"], "counts": runs["counts"].decode("ascii")},
        **(more or {}),
    }
    return json.dumps(values)[1:]
