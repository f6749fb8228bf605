"""Measure how well the difference to the empty background predicts the mask, without any network.

    python benchmarks/bench_difference.py RECIPE [--limit 300]

A pixel belongs to the object if most of the 5x5 pixels around it differ by more than a threshold in some channel. The
threshold is the best one on the train quadrant, and the score is measured on the test quadrant. Both are means over
images in which the object covers at least 1 %: as drawn, and with both images saved as JPEG, at the quality of a
dataset (90) and of most programs (75).
"""

import argparse
import dataclasses
from pathlib import Path

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from scipy.ndimage import median_filter
from tqdm.auto import tqdm

from qumade.data.synthetic import SyntheticDataset
from qumade.evaluation.targets import choose
from qumade.metrics.ground_truth import ground_truth_of

THRESHOLDS = range(4, 52, 4)
QUALITIES = (None, 90, 75)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--limit", type=int, default=300, help="images per quadrant")
    options = parser.parse_args()
    dataset = SyntheticDataset(options.recipe)
    train, test = (mean_iou(dataset, split, options.limit) for split in ("train", "test"))
    for row, quality in enumerate(QUALITIES):
        best = int(train[row].argmax())
        kept = "as drawn" if quality is None else f"JPEG of quality {quality}"
        print(f"{kept}: mask IoU {test[row, best]:.3f}, over {THRESHOLDS[best]} of 255 (train {train[row, best]:.3f})")


def mean_iou(dataset: SyntheticDataset, split: str, limit: int) -> NDArray[np.float64]:
    """Return the mean IoU of each of QUALITIES (rows) at each of THRESHOLDS (columns)."""
    synthesizer = dataset.synthesizer
    scores = []
    for position in tqdm(choose(dataset, [split], limit), unit="pictures", desc=split):
        plan = synthesizer.plan(dataset.indices[[position]])[0]
        empty = synthesizer.render(dataclasses.replace(plan, objects=plan.objects[:0])).image
        triple = dataset.read(int(position))
        truth = ground_truth_of(triple, None).mask
        assert truth is not None
        if np.nanmean(truth >= 0.5) >= 0.01:
            scores.append([ious(kept(triple.image, q), kept(empty, q), truth) for q in QUALITIES])
    means: NDArray[np.float64] = np.mean(scores, axis=0)
    return means


def ious(image: NDArray[np.uint8], empty: NDArray[np.uint8], truth: NDArray[np.float32]) -> list[float]:
    """Return the IoU of the thresholded difference with the ground truth, at each of THRESHOLDS."""
    difference = np.abs(image.astype(np.int16) - empty).max(axis=2)
    known, true = np.isfinite(truth), truth >= 0.5
    masks = (median_filter(difference > threshold, 5) & known for threshold in THRESHOLDS)
    return [float((mask & true).sum() / (mask | true).sum()) for mask in masks]


def kept(image: NDArray[np.uint8], quality: int | None) -> NDArray[np.uint8]:
    """Return the image after saving and reading it: unchanged if `quality` is None."""
    if quality is None:
        return image
    coded: NDArray[np.uint8] = simplejpeg.decode_jpeg(simplejpeg.encode_jpeg(image, quality, "RGB", "420"), "RGB")
    return coded


if __name__ == "__main__":
    main()
