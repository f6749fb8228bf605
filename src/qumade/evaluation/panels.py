"""Panels side by side: a picture, its ground truth and what a network predicts."""

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from qumade.data.dataset import LabeledSample, SampleDataset
from qumade.depth.encoding import DepthEncoding
from qumade.evaluation.evaluation import Evaluation
from qumade.evaluation.summary import left_out, selected
from qumade.evaluation.targets import Predict, Predicted, predict_each
from qumade.metrics.alignment import Alignment, Clamp, align
from qumade.metrics.ground_truth import GroundTruth, ground_truth_of
from qumade.metrics.scores import THRESHOLD
from qumade.models.resizing import resized
from qumade.viz.overlay import mask_overlay
from qumade.viz.sheets import coloured_depth, fitted_text

__all__ = [
    "MASK_COLOURS",
    "Panel",
    "Row",
    "best",
    "draw_rows",
    "headline_scores",
    "jpeg",
    "row_of",
    "sheet",
    "typical",
    "worst",
]

CELL = 224  # the longer side of a panel
MASK_COLOURS = {
    "found": (0, 158, 115),
    "missed": (213, 94, 0),
    "false alarm": (0, 114, 178),
    "not evaluated": (90, 90, 96),
}
"""Colours of the parts of a mask, which colour-blind people can distinguish too (Okabe and Ito 2008)."""
PAPER, INK = (250, 250, 248), (32, 32, 36)


@dataclass(frozen=True, eq=False)
class Panel:
    """One picture of a row and what it shows."""

    title: str
    image: Image.Image


@dataclass(frozen=True, eq=False)
class Row:
    """The panels of one sample and a line of text."""

    caption: str
    panels: tuple[Panel, ...]


def worst(evaluation: Evaluation, count: int = 32, min_object_share: float = 0.0) -> list[int]:
    """Return the rows of the pictures with the lowest of the first of `headline_scores`, lowest first, among those in
    which the object covers at least that share."""
    return _ranked(evaluation, min_object_share)[:count]


def best(evaluation: Evaluation, count: int = 4, min_object_share: float = 0.0) -> list[int]:
    """Return the rows of the pictures with the highest of this score, highest first. Where there are masks, only
    pictures with an object."""
    return _ranked(evaluation, min_object_share, with_object=True)[::-1][:count]


def typical(evaluation: Evaluation, count: int = 4, min_object_share: float = 0.0) -> list[int]:
    """Return the rows of the pictures around the median of this score, lowest first. Where there are masks, only
    pictures with an object."""
    ranked = _ranked(evaluation, min_object_share, with_object=True)
    start = max(0, (len(ranked) - count) // 2)
    return ranked[start : start + count]


def _ranked(evaluation: Evaluation, min_object_share: float, *, with_object: bool = False) -> list[int]:
    keep = selected(evaluation, min_object_share)
    if with_object and evaluation.has_masks:
        keep = keep & (evaluation.scores["object_share"].to_numpy() > 0)
    scores = np.where(keep, headline_scores(evaluation)[0][1], np.nan)
    return [int(row) for row in np.argsort(scores, kind="stable") if not np.isnan(scores[row])]


def headline_scores(evaluation: Evaluation) -> list[tuple[str, NDArray[np.float64]]]:
    """Return title and values, float64 [pictures], of the scores that rank pictures: class IoU with several classes,
    mask IoU, then delta < 1.25, where the dataset has such labels. A picture without an object, correctly predicted as
    such, has an IoU of 1 here."""
    found = []
    if evaluation.has_masks and evaluation.confusions is not None:
        found.append(("class IoU", np.array([_class_iou(confusion) for confusion in evaluation.confusions])))
    if evaluation.has_masks or not evaluation.has_depth:
        iou = evaluation.scores["mask_iou"].to_numpy().copy()
        iou[left_out(evaluation)] = 1.0
        found.append(("mask IoU", iou))
    if evaluation.has_depth:
        found.append(("delta < 1.25", evaluation.scores["depth_delta1"].to_numpy()))
    return found


def _class_iou(confusion: NDArray[np.int64]) -> float:
    """Return the mean IoU of the classes that a picture or its prediction shows: a class that is seen where there is
    none counts as 0. NaN for a picture without a known pixel."""
    common = np.diag(confusion)[1:]
    union = (confusion.sum(0) + confusion.sum(1))[1:] - common
    if not confusion.any():
        return float("nan")
    return float((common[union > 0] / union[union > 0]).mean()) if union.any() else 1.0


def draw_rows(evaluation: Evaluation, predict: Predict, dataset: SampleDataset, rows: Sequence[int]) -> list[Row]:
    """Predict these rows of an evaluation again and return their panels, with scores in the captions."""
    positions = evaluation.scores["sample"].to_numpy()[list(rows)]
    drawn = []
    for row, (_, sample, predicted) in zip(rows, predict_each(predict, dataset, positions), strict=True):
        drawn.append(row_of(evaluation, row, sample, [("predicted", predicted)], dataset.depth_encoding))
    return drawn


def row_of(
    evaluation: Evaluation,
    row: int,
    sample: LabeledSample,
    predictions: Sequence[tuple[str, Predicted]],
    encoding: DepthEncoding | None,
    caption: str | None = None,
) -> Row:
    """Return the panels of one sample: image, the mask over it where there is one prediction, true mask, each predicted
    mask, true depth, each predicted depth. Tasks that the network was not trained on are left out."""
    truth = ground_truth_of(sample, encoding)
    panels = [Panel("image", _fitted(Image.fromarray(sample.image)))]
    if len(predictions) == 1 and "mask" in evaluation.trained_tasks:
        panels.append(Panel("overlay", _overlaid(sample.image, predictions[0][1].mask)))
    if truth.mask is not None:
        panels.append(Panel("true mask", _outcome(sample.image, truth.mask, truth.mask)))
    for name, predicted in predictions if "mask" in evaluation.trained_tasks else ():
        drawn = _fitted(Image.fromarray(_grey(predicted.mask)))
        if truth.mask is not None:
            drawn = _outcome(sample.image, predicted.mask, truth.mask)
        panels.append(Panel(f"{name} mask", drawn))
    if "depth" in evaluation.trained_tasks:
        panels += _depth_panels(truth, predictions, evaluation.alignment, evaluation.clamp)
    return Row(_caption(evaluation, row) if caption is None else caption, tuple(panels))


def sheet(rows: Sequence[Row], title: str, *, columns: int = 2) -> Image.Image:
    """Return an RGB sheet of rows, `columns` side by side: panels over their caption, and a legend of the colours."""
    strips = [_strip(row) for row in rows]
    width = max((strip.width for strip in strips), default=640)
    columns = max(1, min(columns, len(strips)))
    lines = -(-len(strips) // columns)
    heights = [max(s.height for s in strips[line * columns : (line + 1) * columns]) for line in range(lines)]
    gap, head = 16, 56
    page = Image.new("RGB", (max(gap + columns * (width + gap), 860), head + sum(heights) + lines * gap), PAPER)
    draw = ImageDraw.Draw(page)
    big, small = ImageFont.load_default(18), ImageFont.load_default(14)
    draw.text((gap, 18), fitted_text(title, page.width - 2 * gap, big), INK, big, anchor="lm")
    left = float(gap)
    for name, colour in MASK_COLOURS.items():
        draw.rectangle((left, 34, left + 12, 46), colour)
        draw.text((left + 18, 40), name, INK, small, anchor="lm")
        left += 36 + draw.textlength(name, small)
    top = head
    for line in range(lines):
        for column, strip in enumerate(strips[line * columns : (line + 1) * columns]):
            page.paste(strip, (gap + column * (width + gap), top))
        top += heights[line] + gap
    return page


def jpeg(image: Image.Image) -> bytes:
    """Return a picture as the bytes of a JPEG file."""
    buffer = io.BytesIO()
    image.save(buffer, "jpeg", quality=88, subsampling=0)
    return buffer.getvalue()


def _caption(evaluation: Evaluation, row: int) -> str:
    sample = evaluation.scores["sample"][row].as_py()
    parts = [evaluation.scores["stem"][row].as_py() or f"sample {sample}"]
    if split := evaluation.scores["split"][row].as_py():
        parts.append(split)
    parts += [f"{name} {scores[row]:.3f}" for name, scores in headline_scores(evaluation) if not np.isnan(scores[row])]
    return " · ".join(parts)


def _outcome(image: NDArray[np.uint8], probability: NDArray[np.floating], truth: NDArray[np.floating]) -> Image.Image:
    """Return the photo in grey, with hits, misses and false alarms in MASK_COLOURS."""
    grey = np.asarray(Image.fromarray(image).convert("L"), np.float32)
    colours = np.repeat((90 + 0.6 * grey)[:, :, None], 3, axis=2)
    predicted, actual, unknown = probability >= THRESHOLD, truth >= THRESHOLD, np.isnan(truth)
    parts = (actual & predicted, actual & ~predicted, predicted & ~actual & ~unknown, unknown)
    for part, colour in zip(parts, MASK_COLOURS.values(), strict=True):
        colours[part] = 0.25 * colours[part] + 0.75 * np.array(colour, np.float32)
    return _fitted(Image.fromarray(np.clip(colours, 0, 255).astype(np.uint8)))


def _overlaid(image: NDArray[np.uint8], mask: NDArray[np.float32]) -> Image.Image:
    """Return the photo under the predicted mask, outlined at the size at which it is shown."""
    photo = _fitted(Image.fromarray(image))
    return Image.fromarray(mask_overlay(np.asarray(photo), resized(mask, photo.size)))


def _depth_panels(
    truth: GroundTruth, predictions: Sequence[tuple[str, Predicted]], alignment: Alignment | None, clamp: Clamp | None
) -> list[Panel]:
    """Return true and predicted depth in the same colours, predictions after alignment."""
    panels = []
    near = None
    if truth.inverse_depth is not None and clamp is not None:
        known = truth.inverse_depth[~np.isnan(truth.inverse_depth)]
        near = min(clamp.near, float(np.percentile(known, 99.5))) if known.size else None
        near = near if near is None or near > 0 else clamp.near
        panels.append(Panel("true depth", _depth(truth.inverse_depth, near)))
    for name, predicted in predictions:
        depth: NDArray[np.floating] = predicted.inverse_depth
        if truth.inverse_depth is not None and clamp is not None and alignment is not None:
            depth = align(depth, truth.inverse_depth, alignment, clamp).inverse_depth
        panels.append(Panel(f"{name} depth", _depth(depth, near)))
    return panels


def _depth(inverse_depth: NDArray[np.floating], near: float | None) -> Image.Image:
    colours = coloured_depth(inverse_depth.astype(np.float32), None if near is None else (0.0, near))
    return _fitted(Image.fromarray(colours), Image.Resampling.NEAREST)


def _grey(probability: NDArray[np.floating]) -> NDArray[np.uint8]:
    return np.round(255 * probability).astype(np.uint8)


def _fitted(image: Image.Image, resampling: Image.Resampling = Image.Resampling.LANCZOS) -> Image.Image:
    factor = CELL / max(image.size)
    if factor > 1:
        factor, resampling = float(int(factor)), Image.Resampling.NEAREST  # whole pixels stay whole
    return image.resize((max(1, round(image.width * factor)), max(1, round(image.height * factor))), resampling)


def _strip(row: Row) -> Image.Image:
    gap, line = 4, 22
    font = ImageFont.load_default(14)
    width = sum(panel.image.width + gap for panel in row.panels) - gap
    height = max(panel.image.height for panel in row.panels)
    strip = Image.new("RGB", (width, height + line), PAPER)
    left = 0
    for panel in row.panels:
        strip.paste(panel.image, (left, 0))
        left += panel.image.width + gap
    ImageDraw.Draw(strip).text((0, height + 4), fitted_text(row.caption, width, font), INK, font)
    return strip
