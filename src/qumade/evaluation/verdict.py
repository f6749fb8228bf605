"""Plain sentences on scores: how good they are beside the trivial baseline, what fails most, which network wins."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from qumade.evaluation.class_scores import MEAN, class_groups
from qumade.evaluation.compare import Comparison, letter
from qumade.evaluation.evaluation import Evaluation
from qumade.evaluation.panels import headline_scores
from qumade.evaluation.summary import Group, format_number, swapped_depth, told_pictures
from qumade.io.listing import counted
from qumade.metrics.bootstrap import Interval
from qumade.plan.splits import FEW

__all__ = ["how_good", "how_they_differ", "weakness"]

HARDLY = 0.1  # mask IoU, below which an object counts as not found
GAP = 0.05  # between two groups of pictures, below which none is worth a word
FEWEST = 12  # pictures that are split into thirds
FITTED = {"none": "as it is", "scale": "with its scale fitted", "scale and shift": "with scale and shift fitted"}


def how_good(evaluation: Evaluation, groups: Sequence[Group], keep: NDArray[np.bool_]) -> str:
    """Return a sentence with the headline scores beside those of the trivial baseline: of the split test, or of all
    pictures where few or none of it have such scores. `keep`, bool [pictures], marks those that count. A second
    sentence says in how many pictures depth is inside out.

    Flat ground is fitted to each picture by scale and shift. So the network is compared with it after the same fit.
    """
    group = next((group for group in groups if group.name == "test" and told_pictures(group) >= FEW), groups[0])
    iou, depth, flat = group.means["mask_iou"], group.means["depth_delta1"], group.baselines["depth_delta1"]
    parts = []
    first = "depth_delta1" if iou is None else "mask_iou"  # the score whose pictures the sentence names
    number = group.counts[first]
    if iou is not None:
        parts.append(f"masks overlap the true ones by {_percent(iou)} (mask IoU; an empty mask: {_percent(0)})")
    for of_classes in class_groups(evaluation, [group], keep):
        if (mean := of_classes.ious[MEAN]) is not None:
            known = sum(of_classes.ious[name] is not None for name in of_classes.classes)
            classes = f"its {known} classes" if known == len(of_classes.classes) else f"the {known} classes shown"
            parts.append(f"those of {classes} by {_percent(mean)} (mean class IoU)")
    if depth is not None:
        alignment = evaluation.alignment or "none"
        pictures = group.counts["depth_delta1"]
        of = "of the depth" if pictures == number else f"of the depth in {counted(pictures, 'picture', 'pictures')}"
        words = f"{_percent(depth)} {of} is within a factor of 1.25 {FITTED[alignment]}"
        of_split = np.asarray(evaluation.scores["split"].to_pylist(), np.str_) == group.name
        rows = keep if group.name == "all" else keep & of_split
        fitted = evaluation.scores["fitted_delta1"].to_numpy()[rows]
        if flat is not None and not np.isnan(fitted).all():
            own = float(np.nanmean(fitted))
            words += "" if alignment == "scale and shift" else f", {_percent(own)} {FITTED['scale and shift']}"
            words += (
                f", against {_percent(flat)} of flat ground"
                if own > flat
                else f"; flat ground reaches {_percent(flat)}"
            )
        parts.append(words)
    number = number if parts else group.pictures
    splits = [one.name for one in groups if one.name != "all"]
    split = group.name if group.name != "all" else splits[0] if len(splits) == 1 else ""
    where = counted(number, "picture", "pictures") + (f" of the split {split}" if split else "")
    if not split and (seen := next((one.counts[first] for one in groups if one.name == "train"), 0)):
        where += f", {seen:,} of them of the split train"
    sentence = f"On {where}, {'; '.join(parts)}." if parts else f"On {where}, no score is defined."
    return " ".join(filter(None, [sentence, swapped_depth(group)]))


def weakness(evaluation: Evaluation, keep: NDArray[np.bool_]) -> str:
    """Return a sentence on the largest weaknesses in the pictures to `keep`, bool [pictures]: at most two."""
    scores = {name: evaluation.scores[name].to_numpy()[keep].astype(float) for name in ("mask_iou", "object_share")}
    places = [*_of_masks(scores["mask_iou"], scores["object_share"]), *_of_object_depth(evaluation, keep)]
    classes = _of_classes(evaluation, keep)
    found = sorted([*places, *classes], key=lambda one: -one[0])[:2]
    if found:
        fails = " and at ".join(words for size, words in found if (size, words) in places)
        sentences = [f"It {words}." for size, words in found if (size, words) in classes]
        sentences += [f"It fails most at {fails}."] if fails else []
        return " ".join(sentences if found[0] in classes else sentences[::-1])
    title, values = headline_scores(evaluation)[0]
    values = values[keep & ~np.isnan(values)]
    if not values.size:
        return "What it fails at cannot be told without scores."
    return f"No weakness stands out: in nine of ten pictures the {title} is above {np.percentile(values, 10):.2f}."


def how_they_differ(comparison: Comparison) -> str:
    """Return a sentence for each run after the first and each headline score: which of the two is better, if any."""
    sentences = []
    first, *others = comparison.groups
    for number, (group, found) in enumerate(zip(others, comparison.differences, strict=True), 1):
        told: list[tuple[str, float | None, float | None, Interval]] = []
        if comparison.class_differences:
            of_first, of_other = comparison.classes[0].ious[MEAN], comparison.classes[number].ious[MEAN]
            told.append(("mean class IoU", of_first, of_other, comparison.class_differences[number - 1][-1]))
        for column, title in (("mask_iou", "mask IoU"), ("depth_delta1", "delta < 1.25")):
            told.append((title, first.means[column], group.means[column], found[column]))
        for title, a, b, interval in told:
            if a is None or b is None:
                continue
            pair, values = (letter(0), letter(number)), [format_number(a), format_number(b)]
            scores = f"{values[0]} against {values[1]}"
            if interval.low is None or interval.high is None:
                sentences.append(f"Too few pictures tell {pair[0]} and {pair[1]} apart in {title} ({scores}).")
            elif interval.low <= 0 <= interval.high:
                sentences.append(f"{pair[0]} and {pair[1]} cannot be told apart in {title} ({scores}).")
            else:
                best, other = pair if interval.low > 0 else pair[::-1]
                scores = scores if interval.low > 0 else f"{values[1]} against {values[0]}"
                sentences.append(f"{best} is better than {other} in {title} ({scores}).")
    return " ".join(sentences)


def _of_masks(iou: NDArray[np.float64], share: NDArray[np.float64]) -> list[tuple[float, str]]:
    """Return the size of each weakness of masks, between 0 and 1, with its words."""
    found = []
    there = (share > 0) & ~np.isnan(iou)
    if (count := int(there.sum())) >= FEWEST:
        order = np.argsort(share[there], kind="stable")
        small, large = order[: count // 3], order[-(count // 3) :]
        low, high = float(iou[there][small].mean()), float(iou[there][large].mean())
        limit = 100 * float(share[there][small].max())
        if abs(high - low) >= GAP:
            words = "small" if high > low else "large"
            thirds = (
                f"mask IoU {low:.2f} where they cover at most {limit:.2g} %, {high:.2f} in the third with the largest"
            )
            found.append((abs(high - low), f"{words} objects ({thirds})"))
    if missed := int((iou[there] < HARDLY).sum()):
        found.append((missed / count, f"objects that it does not see ({missed:,} of {count:,}: IoU below {HARDLY})"))
    empty = share == 0
    if wrong := int((empty & (iou == 0)).sum()):
        found.append(
            (wrong / int(empty.sum()), f"pictures without an object ({wrong:,} of {int(empty.sum()):,}: it sees one)")
        )
    return found


def _of_classes(evaluation: Evaluation, keep: NDArray[np.bool_]) -> list[tuple[float, str]]:
    """Return which class is taken most for what: the share of its true pixels, and the words. Pixels of objects that
    are taken for background are a weakness of the masks where all classes lose as many: only what a class loses beyond
    that counts here."""
    if evaluation.confusions is None:
        return []
    confusion = evaluation.confusions[keep].sum(0)[1:]
    pixels = confusion.sum(1)
    if len(confusion) < 2 or not pixels.any():
        return []
    shares = confusion / np.maximum(pixels, 1)[:, None]
    sizes = shares.copy()
    sizes[:, 0] -= confusion[:, 0].sum() / pixels.sum()
    sizes[np.arange(len(sizes)), np.arange(len(sizes)) + 1] = 0
    true, taken = np.unravel_index(int(sizes.argmax()), sizes.shape)
    name, other = evaluation.classes[true], ("background", *evaluation.classes)[taken]
    words = f"takes {name} for {other} ({_percent(float(shares[true, taken]))} of its pixels)"
    return [(float(sizes[true, taken]), words)] if sizes[true, taken] >= GAP else []


def _of_object_depth(evaluation: Evaluation, keep: NDArray[np.bool_]) -> list[tuple[float, str]]:
    overall, objects = (evaluation.scores[f"{name}_delta1"].to_numpy()[keep] for name in ("depth", "object_depth"))
    both = ~np.isnan(overall) & ~np.isnan(objects)
    if both.sum() < FEWEST:
        return []
    everywhere, there = float(overall[both].mean()), float(objects[both].mean())
    words = f"the depth of objects ({_percent(there)} within a factor of 1.25)"
    return [(everywhere - there, words)] if everywhere - there >= GAP else []


def _percent(share: float) -> str:
    """Return a share as whole percent; one that is not wholly 0 or 1 never reads so."""
    rounded = math.floor(100 * share + 0.5)
    return f"{min(max(rounded, 1), 99) if 0 < share < 1 else rounded} %"
