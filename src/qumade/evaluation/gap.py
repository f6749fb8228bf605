"""How the pictures that a network was trained on differ from those that it is evaluated on, in words.

Where a network fails on photos, the gap that dominates says what to change in the recipe first.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage, stats

from qumade.assets.scene_layout import LEAST_SHARE
from qumade.data.dataset import LabeledSample, SampleDataset
from qumade.data.learn_layout import OBJECT_CODE, picture_objects
from qumade.plan.indices import stratified_indices

__all__ = ["Gap", "RunGaps", "Values", "format_gaps", "gap_sentence", "measure", "transfer_gaps"]

PICTURES = 200  # of each dataset, spread evenly over it
SIDE = 256  # pixels of the longer side at which light and sharpness are measured
LARGE = 0.5  # standard deviations; a smaller gap is within what single pictures differ by
_EIGHT = np.ones((3, 3), np.bool_)

Values = Mapping[str, NDArray[np.float64]]


@dataclass(frozen=True)
class _Attribute:
    title: str
    more: str  # what the training pictures are if their values are larger
    less: str
    fields: str  # of the recipe, which move it


_ATTRIBUTES = {
    "number": _Attribute("number of objects where there are any", "more objects", "fewer objects", "objects"),
    "size": _Attribute(
        "size of objects, sqrt(box area / picture)", "larger objects", "smaller objects", "scale, crop, layout"
    ),
    "row": _Attribute(
        "lower edge of objects, share of height",
        "objects lower down",
        "objects higher up",
        "contact_rows, crop, layout",
    ),
    "object_light": _Attribute("brightness of objects", "brighter objects", "darker objects", "effects.harmonise"),
    "object_sharpness": _Attribute("sharpness of objects", "sharper objects", "blurrier objects", "effects.harmonise"),
    "light": _Attribute("brightness of pictures", "brighter pictures", "darker pictures", "effects.exposure"),
    "contrast": _Attribute("contrast of pictures", "more contrast", "less contrast", "effects.gamma, effects.haze"),
    "colour": _Attribute("colourfulness of pictures", "stronger colours", "paler colours", "backgrounds"),
    "sharpness": _Attribute("sharpness of pictures", "sharper pictures", "blurrier pictures", "effects.blur_px"),
}


@dataclass(frozen=True)
class Gap:
    """One attribute of the training pictures and of the others: medians of both, and `distance`, the 1-Wasserstein
    distance of their distributions in standard deviations (the root of the mean of both variances)."""

    name: str
    training: float
    others: float
    distance: float

    @property
    def title(self) -> str:
        return _ATTRIBUTES[self.name].title


@dataclass(frozen=True)
class RunGaps:
    """The gaps between the pictures that the run `letter` was trained on and those of a dataset. `about` names these
    pictures, or says why they cannot be measured; then there are no gaps."""

    letter: str
    about: str
    gaps: tuple[Gap, ...] = ()

    @property
    def sentence(self) -> str:
        """The gap that dominates, in words."""
        return gap_sentence(self.gaps) if self.gaps else "The gap cannot be measured."


def measure(dataset: SampleDataset, count: int = PICTURES, positions: NDArray[np.integer] | None = None) -> Values:
    """Return the values of all attributes over at most `count` of the pictures at these positions (all): one for each
    picture, or one for each object, that is each connected part of the mask that does not border mostly on ignored
    pixels."""
    positions = np.arange(len(dataset)) if positions is None else positions
    found: dict[str, list[float]] = {name: [] for name in _ATTRIBUTES}
    for position in positions[stratified_indices(len(positions), count)].tolist():
        for name, values in _of_sample(dataset[position]).items():
            found[name] += values
    return {name: np.array(values, np.float64) for name, values in found.items()}


def transfer_gaps(training: Values, others: Values) -> tuple[Gap, ...]:
    """Return the gaps between two measurements, largest first. Attributes that one of the two does not have are left
    out."""
    gaps = []
    for name in _ATTRIBUTES:
        one, other = training[name], others[name]
        if not (len(one) and len(other)):
            continue
        spread = float(np.sqrt((one.var() + other.var()) / 2))
        way = float(stats.wasserstein_distance(one, other))
        distance = way / spread if spread > 1e-9 else float(way > 1e-9) * 10.0
        gaps.append(Gap(name, float(np.median(one)), float(np.median(other)), distance))
    return tuple(sorted(gaps, key=lambda gap: -gap.distance))


def gap_sentence(gaps: tuple[Gap, ...]) -> str:
    """Return the gap that dominates in words, and the fields of a recipe that move it."""
    if not gaps or gaps[0].distance < LARGE:
        return "No gap stands out: in all that was measured, the training pictures are like these."
    gap = gaps[0]
    attribute = _ATTRIBUTES[gap.name]
    what = attribute.more if gap.training > gap.others else attribute.less
    if gap.training == gap.others:
        what = "a different spread"
    others = [f"{other.title} ({other.distance:.1f})" for other in gaps[1:3] if other.distance >= LARGE]
    further = f" Then come {' and '.join(others)}." if others else ""
    medians = f"median {gap.training:.2f} there, {gap.others:.2f} here"
    return (
        f"The largest gap: the training pictures have {what}. {attribute.title.capitalize()}: {medians}, "
        f"{gap.distance:.1f} standard deviations apart.{further} Fields of the recipe that move it: {attribute.fields}."
    )


def format_gaps(gaps: tuple[Gap, ...]) -> list[str]:
    """Return the gaps as lines of text, largest first."""
    lines = [f"  {'':46}{'training':>9}{'here':>9}{'gap':>7}"]
    lines += [f"  {gap.title:46}{gap.training:9.3f}{gap.others:9.3f}{gap.distance:7.2f}" for gap in gaps]
    return lines


def _of_sample(sample: LabeledSample) -> dict[str, list[float]]:
    image = _small(sample.image)
    grey = image @ np.array([0.299, 0.587, 0.114])
    edges = _edges(grey)
    values = {
        "light": [float(grey.mean())],
        "contrast": [float(grey.std())],
        "colour": [float((image.max(2) - image.min(2)).mean())],
        "sharpness": [float(edges.mean() / max(grey.std(), 1e-3))],
    }
    if sample.mask is None:
        return values
    mask = sample.mask >= OBJECT_CODE
    ignore = np.zeros_like(mask) if sample.ignore is None else sample.ignore
    owners = np.zeros(mask.shape, np.int32)
    ndimage.label(mask & ~ignore, _EIGHT, owners)
    boxes, unknown = picture_objects(owners, ignore, LEAST_SHARE * mask.size)
    sides = boxes[:, 2:] - boxes[:, :2]
    values["number"] = [float(len(boxes) + unknown)] if len(boxes) + unknown else []
    values["size"] = np.sqrt(sides.prod(1) / mask.size).tolist()
    values["row"] = (boxes[:, 3] / len(mask)).tolist()
    size = grey.shape[1], grey.shape[0]
    inside = np.asarray(Image.fromarray(mask & ~ignore).resize(size, Image.Resampling.NEAREST))
    if inside.any():
        values["object_light"] = [float(grey[inside].mean())]
        values["object_sharpness"] = [float(edges[inside].mean() / max(grey[inside].std(), 1e-3))]
    return values


def _small(image: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return an image in [0, 1] at one size for all datasets, for a photo of more pixels is not a sharper one."""
    height, width = image.shape[:2]
    scale = SIDE / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BOX), np.float64) / 255


def _edges(grey: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the length of the gradient at every pixel."""
    edges: NDArray[np.float64] = np.hypot(ndimage.sobel(grey, 0), ndimage.sobel(grey, 1)) / 8
    return edges
