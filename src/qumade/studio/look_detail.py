"""One sample of the panel Look at full size: its labels, and what one or two networks say of it."""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from nicegui import ui
from numpy.typing import NDArray

from qumade.data.dataset import LabeledSample, SampleDataset
from qumade.metrics.scores import mask_iou
from qumade.studio.looking import NUMBERS, Table
from qumade.studio.opened import shown_name
from qumade.studio.parts import wipe
from qumade.studio.pictures import Overlay, Picture, PictureStore, overlaid
from qumade.studio.predicting import Networks
from qumade.viz.sheets import coloured_depth

__all__ = ["OVERLAYS", "Said", "ask", "describe", "limits_of", "picture_of_sample", "show_sample", "title_of", "wins"]

OVERLAYS: dict[Overlay, str] = {"image": "Image", "mask": "Mask", "depth": "Depth"}
TITLES = {
    "position": "position", "objects": "number of objects", "scale": "size", "distance": "distance",
    "visible_fraction": "visible fraction", "mask_iou": "mask IoU", "depth_delta1": "delta < 1.25",
    "difference": "mask IoU, A minus B",
}  # fmt: skip
A_WINS, B_WINS = (0, 114, 178), (230, 159, 0)  # blue and orange of Okabe and Ito 2008


@dataclass(frozen=True, eq=False)
class Said:
    """What a network says of a sample, as labels; `metric` if both its depth and the labels are inverse depth in 1/m,
    and so have the same colours."""

    network: Path
    labels: LabeledSample
    metric: bool


def ask(networks: Networks, network: Path, dataset: SampleDataset, sample: LabeledSample) -> Said:
    """Return what a network says of a sample: mask where it was trained on masks, and inverse depth where on depth."""
    said = networks.predict(network, sample.image)
    config = networks.get(network).config
    mask = np.round(255 * said.mask).astype(np.uint8) if "mask" in config.trained_tasks else None
    depth = said.inverse_depth if "depth" in config.trained_tasks else None
    kind = None if dataset.depth_encoding is None else dataset.depth_encoding.kind
    labels = LabeledSample(sample.image, mask, depth, sample.ignore)
    return Said(network, labels, kind == config.depth_kind == "metric")


def show_sample(
    pictures: PictureStore, dataset: SampleDataset, table: Table, position: int, sample: LabeledSample,
    said: list[Said],
) -> None:  # fmt: skip
    """Build the card of a sample: with one network each label has a slider between truth and prediction, with two it
    stands beside both, and a map shows where which of them is right."""
    limits = limits_of(dataset)
    with ui.element("div").classes("qs-card"):
        ui.label(shown_name(str(table.stems[position]))).classes("qs-title")
        for line in describe(table, position):
            ui.label(line).classes("qs-text")
        if len(said) == 2:
            _two_networks(pictures, sample, said, limits)
            return
        with ui.element("div").classes("qs-grid"):
            for overlay, title in OVERLAYS.items():
                truth = picture_of_sample(sample, overlay, limits)
                if truth is None:
                    continue
                other = None
                if said and overlay != "image":
                    other = picture_of_sample(said[0].labels, overlay, limits if said[0].metric else None)
                if other is None:
                    _titled(pictures, truth, title)
                else:
                    with ui.element("div"):
                        wipe(pictures.add(truth), pictures.add(other))
                        text = f"{title}: left the truth, right the prediction{_iou(overlay, sample, said[0])}"
                        ui.label(text).classes("qs-caption qs-wrap")


def wins(sample: LabeledSample, a: Picture, b: Picture) -> Picture | None:
    """Return where only A is right about the object (blue) and where only B is (orange), over the grey image, uint8
    [H, W, 3]. `a` and `b` are masks uint8 [H, W]; ignored pixels stay grey. None without a mask."""
    if sample.mask is None:
        return None
    truth = sample.mask >= 128
    right_a, right_b = ((said >= 128) == truth for said in (a, b))
    if sample.ignore is not None:
        right_a, right_b = right_a | sample.ignore, right_b | sample.ignore
    grey = 0.5 * sample.image.mean(axis=2, keepdims=True).repeat(3, axis=2) + 64
    for where, colour in ((right_a & ~right_b, A_WINS), (right_b & ~right_a, B_WINS)):
        grey[where] = 0.15 * grey[where] + 0.85 * np.array(colour, np.float64)
    picture: Picture = np.round(grey).astype(np.uint8)
    return picture


def _two_networks(
    pictures: PictureStore, sample: LabeledSample, said: list[Said], limits: tuple[float, float] | None
) -> None:
    names = [f"{letter} ({shown_name(one.network.name)})" for letter, one in zip("AB", said, strict=True)]
    for overlay, title in OVERLAYS.items():
        truth = picture_of_sample(sample, overlay, limits)
        shown = [picture_of_sample(one.labels, overlay, limits if one.metric else None) for one in said]
        if overlay == "image" or (truth is None and not any(picture is not None for picture in shown)):
            continue
        with ui.element("div").classes("qs-grid qs-beside"):
            if truth is not None:
                _titled(pictures, truth, f"{title}: truth")
            for name, one, picture in zip(names, said, shown, strict=True):
                if picture is not None:
                    _titled(pictures, picture, f"{title}: {name}{_iou(overlay, sample, one)}")
            masks = [one.labels.mask for one in said]
            if overlay == "mask" and masks[0] is not None and masks[1] is not None:
                map_ = wins(sample, masks[0], masks[1])
                if map_ is not None:
                    _titled(pictures, map_, "Blue: only A is right. Orange: only B is right")


def _titled(pictures: PictureStore, picture: Picture, title: str) -> None:
    with ui.element("div"):
        with ui.element("div").classes("qs-pictures"):
            ui.element("img").props["src"] = pictures.add(picture)
        ui.label(title).classes("qs-caption qs-wrap")


def _iou(overlay: Overlay, sample: LabeledSample, said: Said) -> str:
    if overlay != "mask" or sample.mask is None or said.labels.mask is None:
        return ""
    truth: NDArray[np.float64] = sample.mask / 255
    if sample.ignore is not None:
        truth[sample.ignore] = np.nan
    iou = mask_iou(said.labels.mask / 255, truth)
    return "" if math.isnan(iou) else f", IoU {iou:.3f}"


def describe(table: Table, position: int) -> list[str]:
    """Return what the manifest says of a sample, a line each: the sample, then its objects far to near."""
    codes = {name: int(table.names[name][position]) for name in ("split", "background") if name in table.names}
    about = [f"{name}: {shown_name(table.words[name][code])}" for name, code in codes.items()
             if code >= 0 and table.words[name][code]]  # fmt: skip
    about += [f"{title_of(name)}: {values[position]:.3f}" for name, values in table.scores.items()]
    lines = [", ".join(about)] if about else []
    first, last = np.searchsorted(table.sample, [position, position + 1])
    for thing in range(int(first), int(last)):
        words = [
            shown_name(table.words[name][table.names[name][thing]])
            for name in ("foreground", "class", "policy")
            if name in table.names and table.names[name][thing] >= 0
        ]
        numbers = [
            f"{title} {table.numbers[name][thing]:.3g}{table.unit(name)}"
            for name, title in NUMBERS.items()
            if name in table.numbers
        ]
        lines.append(", ".join([*words, *numbers]))
    return lines


def title_of(name: str) -> str:
    """Return the title of a column: that of a score of B says so."""
    other = name.removeprefix("B ")
    return TITLES.get(other, other) + (" of B" if other != name else "")


def picture_of_sample(sample: LabeledSample, overlay: Overlay, limits: tuple[float, float] | None) -> Picture | None:
    """Return a sample with one of its labels; None where it has no such label."""
    if overlay == "depth":
        return None if sample.inverse_depth is None else coloured_depth(sample.inverse_depth, limits)
    if overlay == "mask" and sample.mask is None:
        return None
    return overlaid(overlay, sample.image, mask=sample.mask, ignore=sample.ignore)


def limits_of(dataset: SampleDataset) -> tuple[float, float] | None:
    """Return (far, near) inverse depth of a dataset's colours, None where each picture has its own."""
    encoding = dataset.depth_encoding
    return None if encoding is None or encoding.code == "metres" else encoding.limits
