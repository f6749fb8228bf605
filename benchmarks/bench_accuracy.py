"""Measure accuracy after ten minutes of training: the tiny network, from random weights, on cars pasted on roads.

    python benchmarks/bench_accuracy.py --data DATA --out DIR [--minutes 10] [--size 128] [--placement P] [--train ...]

DATA holds bgImages, fgImages and bgLabels. The evaluation uses 300 samples of the test quadrant, restricted to those in
which the object is at least 1 % of the image, and as many of the train quadrant. The label maps of the road photos are
noisy. Where they do not determine the horizon, road_horizons.yaml gives it; with `--horizons labels` these photos are
left out. `--train --pretrained required` starts from an encoder pretrained on ImageNet instead.
"""

import argparse
import subprocess
import sys
from pathlib import Path

import yaml

HORIZONS = Path(__file__).with_name("road_horizons.yaml")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of bgImages, fgImages and bgLabels")
    parser.add_argument("--out", type=Path, required=True, help="new folder for recipe, run and reports")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--size", type=int, default=128, help="side of the samples, a multiple of 32")
    parser.add_argument("--placement", choices=("perspective", "semantic", "random"), default="perspective")
    parser.add_argument("--horizons", choices=("given", "labels"), default="given")
    parser.add_argument("--train", nargs=argparse.REMAINDER, default=[], help="more flags of qumade train, at the end")
    options = parser.parse_args()
    options.out.mkdir(parents=True)
    recipe, run = options.out / "recipe.yaml", options.out / "run"
    recipe.write_text(yaml.safe_dump(recipe_of(options), sort_keys=False))
    qumade("train", recipe, "--out", run, *train_flags(options))
    for split in ("test", "train"):
        flags = ["--split", split, "--limit", "300", "--min-object-share", "0.01"]
        qumade("evaluate", run, recipe, *flags, "--out", options.out / split)


def train_flags(options: argparse.Namespace) -> list[str]:
    """Return the flags of qumade train. A flag of `--train` takes the place of the one that is set here."""
    given = {flag.partition("=")[0] for flag in options.train}
    flags = ["--size", str(options.size)]
    if not given & {"--steps", "--epochs", "--minutes"}:
        flags += ["--minutes", str(options.minutes)]
    if "--pretrained" not in given:  # the figures of docs/performance.md are of random weights
        flags += ["--pretrained", "none"]
    return flags + options.train


def recipe_of(options: argparse.Namespace) -> dict[str, object]:
    """Return the recipe as a mapping for YAML."""
    data = options.data.resolve()
    return {
        "backgrounds": str(data / "bgImages"),
        "foregrounds": str(data / "fgImages"),
        "labels": str(data / "bgLabels"),
        "label_names": "cityscapes",
        "placement": options.placement,
        # One car in view over flat ground, as in the figures of docs/performance.md; transfer.py measures streets.
        "objects": [1, 1],
        "scale": [0.1, 0.5],
        "min_visible": 0.7,
        "crop": [1.0, 1.0],
        "contact_sampling": "picture",
        "prior": "flat",
        "horizon": yaml.safe_load(HORIZONS.read_text()) if options.horizons == "given" else "labels",
        "size": [options.size, options.size],
    }


def qumade(*arguments: object) -> None:
    """Run the qumade command of this installation."""
    subprocess.run([sys.executable, "-m", "qumade", *map(str, arguments)], check=True)


if __name__ == "__main__":
    main()
