"""The result of generating a dataset: how many samples, and counts of their placements."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from qumade.plan.planner import Plans
from qumade.plan.splits import SAMPLE_SPLITS
from qumade.plan.tables import REJECTIONS

__all__ = ["Summary", "placement_counts", "summarized"]

_REASONS = ("crop", *REJECTIONS)


@dataclass(frozen=True)
class Summary:
    """The result of `generate`: samples in the dataset, how many of them this call drew, and counts of the placements.

    `fallbacks`: objects that found no place by the recipe's rules; `left_out`: further objects that found no place at
    all; `rejected`: repeated draws, by reason; `depth_clipped_px`: depth pixels nearer than the nearest code;
    `splits`: samples of each split. `root` is a URL where the dataset lies in an object store.
    """

    root: Path | str
    samples: int
    drawn: int
    fallbacks: int
    left_out: int
    rejected: dict[str, int]
    depth_clipped_px: int
    splits: dict[str, int]


def placement_counts(plans: Plans) -> dict[str, int]:
    """Returns the counts of a summary that plans tell; counts of several plans add up."""
    placed = np.arange(plans.objects.shape[1]) < plans.samples["count"][:, None]
    counts = {
        "fallbacks": int(plans.objects["fallback"][placed].sum()),
        "left_out": int((plans.samples["wanted"] - plans.samples["count"]).sum()),
        "rejected_crop": int(plans.samples["crops_rejected"].sum()),
    }
    # also of objects that found no place
    return counts | {f"rejected_{reason}": int(plans.objects[f"rejected_{reason}"].sum()) for reason in REJECTIONS}


def summarized(
    root: Path | str, samples: int, drawn: int, counts: Mapping[str, int], splits: Mapping[str | None, int]
) -> Summary:
    """Returns a summary from the sums of `placement_counts` and of `depth_clipped_px`, and the samples by split."""
    rejected = {reason: counts.get(f"rejected_{reason}", 0) for reason in _REASONS}
    fallbacks, left_out, clipped = (counts.get(name, 0) for name in ("fallbacks", "left_out", "depth_clipped_px"))
    of_each = {name or "no split": splits[name] for name in SAMPLE_SPLITS if splits.get(name)}
    return Summary(root, samples, drawn, fallbacks, left_out, rejected, clipped, of_each)
