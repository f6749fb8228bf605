"""Does training on composites hold up on real photos? The same small network on composites, on CamVid, and on both.

    python benchmarks/transfer.py [--arms abckspxundef] [--seeds 3] [--steps 1000] [--size 256x192] [--out out/transfer]
    python benchmarks/transfer.py ... --report docs/transfer.md

Every arm (see ARMS) trains `tiny` with the same pretrained encoder (which --pretrained none leaves out), size, batches
and number of steps. It is evaluated by car IoU on CamVid val at the photos' own 480x360, without unlabelled pixels: the
averaged weights after the last step, and after every --every steps. Depth is evaluated on three KITTI frames, mask and
depth on the bundled scenes. --cores training runs are active at once, each on one core: a network as small as this one
gains little from a second.

Arms (w) and (W) need --rendered, a dataset that `tools/render_samples.py --training N --out DIR` has rendered.

--pictures is a folder with qumade/{bgImages,fgImages,bgLabels}, camvid/ and kitti_demo/: $QUMADE_TEST_DATA, or
../shared/data. After an interruption, run the same command again: finished runs are kept, and an interrupted run
resumes. Output in --out: runs/ARM-SEED (a run folder each), results.json, table.md, scores.png, and pictures/ for
inspection, which are made from the photos and must not be redistributed. On the page that --report writes, the sections
"Conclusions" and "What the failures show" are preserved.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import yaml
from numpy.typing import NDArray
from scipy import ndimage

if TYPE_CHECKING:
    from qumade.recipe import Recipe
    from qumade.training.config import TrainConfig

BATCH = 16
TENTH = 0.1
REAL_SHARE = 0.5  # share of every batch in arms with real frames
DEPTH_SHARE = 0.4  # share of every batch in arms with rendered scenes
THRESHOLD = 0.5
SIZES = (0.0, 0.005, 0.03)  # of a car as a share of the image: the least of each class of sizes
SHOWN = 24  # images on a sheet
SCORES = "scores.json"
PLAIN: dict[str, Any] = {
    "objects": (1, 1),
    "scale": (0.1, 0.5),
    "min_visible": 0.7,
    "crop": (1.0, 1.0),
    "contact_sampling": "picture",
    "prior": "flat",
}
"""One car in each composite, well in view: the values of those fields without perspective placement."""


@dataclass(frozen=True)
class Arm:
    """The training data of an arm: `data`, `real` mixed with it, `unlabelled` photos, a recipe or dataset `depth_from`
    that teaches depth alone, and `rendered` samples that teach depth and mask, all relative to --out. `of` is the arm
    whose runs this one adapts to the unlabelled photos instead of training. With `twins`, each composite is shown twice
    in a batch."""

    title: str
    data: str
    real: str | None = None
    unlabelled: str | None = None
    of: str | None = None
    depth_from: str | None = None
    rendered: str | None = None
    twins: bool = False


UNLABELLED = "data/camvid_train/images"
ARMS = {
    "a": Arm("composites, random placement", "recipes/random.yaml"),
    "b": Arm("composites, perspective, one car in view, depth of flat ground", "recipes/perspective.yaml"),
    "c": Arm("CamVid train", "data/camvid_train"),
    "k": Arm("composites, perspective with its defaults: like a street", "recipes/street.yaml"),
    "s": Arm("as k, without shadows", "recipes/s.yaml"),
    "p": Arm("as s, but depth of flat ground", "recipes/p.yaml"),
    "x": Arm("as p, with all effects", "recipes/effects.yaml"),
    "t": Arm("as x, on twins", "recipes/effects.yaml", twins=True),
    "u": Arm("as p + CamVid train without its labels", "recipes/p.yaml", unlabelled=UNLABELLED),
    "n": Arm("p adapted to CamVid train without labels", "recipes/p.yaml", unlabelled=UNLABELLED, of="p"),
    "d": Arm("composites of p + 10 % of CamVid train", "recipes/p.yaml", "data/camvid_tenth"),
    "D": Arm("as d, with shadows", "recipes/6.yaml", "data/camvid_tenth"),
    "e": Arm("composites made of 10 % of CamVid train + that 10 %", "recipes/camvid.yaml", "data/camvid_tenth"),
    "f": Arm("composites of p + CamVid train", "recipes/p.yaml", "data/camvid_train"),
    "m": Arm("as p, cars in the photos' predicted label maps are cars", "recipes/present.yaml"),
    "r": Arm("as p + depth of rendered scenes", "recipes/p.yaml", depth_from="recipes/rendered.yaml"),
    "R": Arm("as s + depth of rendered scenes", "recipes/s.yaml", depth_from="recipes/rendered.yaml"),
    "w": Arm("as p + depth of rendered roads with cars", "recipes/p.yaml", depth_from="data/rendered"),
    "W": Arm("as p + rendered roads with cars", "recipes/p.yaml", rendered="data/rendered"),
    "l": Arm("as p, laid out like CamVid train by a layout file", "recipes/l.yaml"),
    "o": Arm("as p, cars in a row in half of the composites", "recipes/o.yaml"),
    "y": Arm("as x, cars in a row in half of the composites", "recipes/y.yaml"),
    # Controls: (d) without composites, and (a) without labelling the photos' own cars as background.
    "g": Arm("10 % of CamVid train alone", "data/camvid_tenth"),
    "h": Arm("as a, cars that photos show already ignored", "recipes/random_ignoring.yaml"),
}
WITHOUT = {
    "1": ("as p, one car", {"objects": PLAIN["objects"]}),
    "2": ("as p, sizes 0.1 to 0.5", {"scale": PLAIN["scale"]}),
    "3": ("as p, cars at least 0.7 visible", {"min_visible": PLAIN["min_visible"]}),
    "4": ("as p, whole photos instead of crops", {"crop": PLAIN["crop"]}),
    "5": ("as p, contacts uniform over the pixels of the ground", {"contact_sampling": PLAIN["contact_sampling"]}),
}
"""Ablation: arm p without one of its fields."""
WITH = {
    "6": ("as p, with shadows", ("shadow",)),
    "7": ("as p, with distractors", ("distractors",)),
    "8": ("as p, with several kinds of edges", ("blend",)),
    "9": ("as p, harmonised", ("harmonise", "often")),
    "0": (
        "as p, with haze and camera",
        ("haze", "blur_px", "vignette", "exposure", "gamma", "noise", "jpeg_quality", "often"),
    ),
}
"""Ablation: arm p with one kind of effect, with the ranges of the preset `all`."""
ARMS |= {arm: Arm(title, f"recipes/{arm}.yaml") for arm, (title, _) in [*WITHOUT.items(), *WITH.items()]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--arms",
        default="abckspxundef",
        help=f"any of {''.join(ARMS)}; g and h are controls, 1 to 0 an ablation of p, which needs p (abckspxundef)",
    )
    parser.add_argument("--pretrained", choices=("required", "none"), default="required")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument(
        "--every", type=int, help="steps between two evaluations on CamVid val (a twentieth of --steps)"
    )
    parser.add_argument("--size", type=sides, default=(256, 192), help="input size of the network: WIDTHxHEIGHT")
    parser.add_argument("--cores", type=int, default=2, help="concurrent training runs, one core each")
    parser.add_argument("--pictures", type=Path, default=Path(os.environ.get("QUMADE_TEST_DATA", "../shared/data")))
    parser.add_argument("--rendered", type=Path, help="dataset of rendered roads with cars, for arms w and W")
    parser.add_argument("--out", type=Path, default=Path("out/transfer"))
    parser.add_argument("--report", type=Path, help="write the page of the results there")
    parser.add_argument(
        "--run", help=argparse.SUPPRESS
    )  # ARM-SEED: the parent process requests one training run on existing data
    options = parser.parse_args()
    if not options.arms or set(options.arms) - set(ARMS) or len(set(options.arms)) < len(options.arms):
        parser.error(f"--arms must be different ones of {''.join(ARMS)}, got {options.arms!r}")
    if min(options.seeds, options.steps, options.cores, options.every or 1) < 1:
        parser.error("--seeds, --steps, --every and --cores must be at least 1")
    if set("wW") & set(options.arms) and options.rendered is None:
        parser.error("arms w and W need --rendered DIR")
    from qumade.errors import QumadeError

    try:
        if options.run is None:
            run_all(options)
        else:
            run_one(options)
    except QumadeError as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        print("Stopped. The same command resumes from here.", file=sys.stderr)
        sys.exit(130)


def sides(text: str) -> tuple[int, int]:
    """Width and height as in 256x192, multiples of 32."""
    width, height = (int(side) for side in text.split("x"))
    if min(width, height) < 32 or width % 32 or height % 32:
        raise ValueError(text)
    return width, height


def run_all(options: argparse.Namespace) -> None:
    """Make missing data, run missing training and evaluation, and write the results."""
    from qumade.io.files import write_bytes
    from transfer_page import ablation, draw_scores, mask_table, other_tables, write_page

    out: Path = options.out.absolute()
    sources = prepare(options.pictures.absolute(), out, options.size)
    if options.rendered is not None and not (out / "data" / "rendered").exists():
        (out / "data" / "rendered").symlink_to(options.rendered.absolute())
    # Every arm gets a first result early. Runs are adapted when they are there.
    plan = [(arm, seed) for seed in range(options.seeds) for arm in options.arms if ARMS[arm].of is None]
    run_plan(plan, options)
    run_plan(
        [(arm, seed) for seed in range(options.seeds) for arm in options.arms if ARMS[arm].of is not None], options
    )
    scores = {
        arm: [json.loads((out / "runs" / f"{arm}-{seed}" / SCORES).read_text()) for seed in range(options.seeds)]
        for arm in options.arms
    }
    results = {
        "format": "qumade-transfer/1",
        "settings": {
            "model": "tiny", "size": options.size, "batch_size": BATCH, "steps": options.steps,
            "every": every_of(options),
            "seeds": options.seeds, "cores": options.cores, "real_share": REAL_SHARE,
            "pretrained": options.pretrained,
        },
        "sources": sources,
        "arms": {arm: {"title": ARMS[arm].title, "runs": runs} for arm, runs in scores.items()},
    }  # fmt: skip
    write_bytes(out / "results.json", (json.dumps(results, indent=1, allow_nan=False) + "\n").encode())
    draw_scores(results, out / "scores.png")
    tables = "\n\n".join(filter(None, [mask_table(results), other_tables(results), ablation(results)]))
    write_bytes(out / "table.md", f"{tables}\n".encode())
    print(tables)
    print(f"{out / 'results.json'}\n{out / 'scores.png'}\nLook at {out / 'pictures'} (not to be given away)")
    if options.report is not None:
        write_page(results, options.report.absolute())
        print(options.report.absolute())


def run_plan(plan: Sequence[tuple[str, int]], options: argparse.Namespace) -> None:
    """Train and evaluate these arms from these seeds, a process each."""
    from qumade.errors import QumadeError

    begun = time.monotonic()
    with ThreadPoolExecutor(options.cores) as pool:
        command = [sys.executable, *sys.argv, "--run"]
        running = {
            pool.submit(subprocess.run, [*command, f"{arm}-{seed}"], env=one_thread()): arm for arm, seed in plan
        }
        try:
            for done, training in enumerate(as_completed(running), 1):
                if training.result().returncode:
                    raise QumadeError(f"A training of arm {running[training]} failed; what it said stands above")
                left_min = round((time.monotonic() - begun) / done * (len(plan) - done) / 60)
                print(f"{done} of {len(plan)} trainings, {left_min // 60} h {left_min % 60:02d} min left", flush=True)
        finally:
            pool.shutdown(cancel_futures=True)


def prepare(pictures: Path, out: Path, size: tuple[int, int]) -> dict[str, int]:
    """Write the datasets and recipes of all arms below `out`, unless they exist; return their contents."""
    from qumade.assets.bundled import bundled_folder
    from qumade.assets.scene_layout import save_layout
    from qumade.convert.cutout_folders import write_cutouts
    from qumade.convert.importers import read_dataset
    from qumade.convert.importers.writer import write_import
    from qumade.data.folder import FolderDataset
    from qumade.data.learn_layout import learn_layout
    from qumade.effects import Effects
    from qumade.recipe import Recipe, save_recipe

    camvid = read_dataset("camvid", pictures / "camvid")
    train = [record for record in camvid.records if record.split == "train"]
    parts = {
        "camvid_train": train,
        "camvid_tenth": evenly(train, round(TENTH * len(train))),
        "camvid_val": [record for record in camvid.records if record.split == "val"],
    }
    counts = {name: len(records) for name, records in parts.items()}
    data, recipes = out / "data", out / "recipes"
    for name, records in parts.items():
        write_import(replace(camvid, records=tuple(records)), data / name, progress=False)
    kitti = read_dataset("kitti", pictures / "kitti_demo")
    write_import(kitti, data / "kitti", progress=False)
    if not (data / "cutouts").is_dir():
        write_cutouts(parts["camvid_tenth"], data / "cutouts", progress=False)
    original = pictures / "qumade"
    common: dict[str, Any] = {
        "size": size,
        "per_pair": 1,  # each epoch places every pair again
        "split": (1.0, 0.0, 0.0),  # composites are not used for evaluation here, so all of them train
        "backgrounds": original / "bgImages",
        "foregrounds": original / "fgImages",
    }
    horizons = yaml.safe_load(Path(__file__).with_name("road_horizons.yaml").read_text())
    labelled = common | {"labels": original / "bgLabels", "label_names": "cityscapes", "horizon": horizons}
    own: dict[str, Any] = {
        "backgrounds": data / "camvid_tenth" / "images",
        "foregrounds": data / "cutouts",
        "labels": pictures / "camvid" / "train" / "labels",
        "label_names": "camvid",
        "horizon": "labels",
        "flip": True,  # because the original folder contains the mirror image of every car
        "present": "mask",  # these labels are right, and nearly every frame shows cars
    }
    recipes.mkdir(parents=True, exist_ok=True)
    save_recipe(Recipe(**common), recipes / "random.yaml")
    save_recipe(Recipe(**labelled), recipes / "random_ignoring.yaml")
    save_recipe(Recipe(**labelled | {"placement": "perspective"}), recipes / "street.yaml")
    street = labelled | {"placement": "perspective", "effects": Effects()}
    save_recipe(Recipe(**street | PLAIN), recipes / "perspective.yaml")
    save_recipe(Recipe(**street), recipes / "s.yaml")
    flat = street | {"prior": "flat"}
    save_recipe(Recipe(**flat), recipes / "p.yaml")
    save_recipe(Recipe(**flat | {"present": "mask"}), recipes / "present.yaml")
    save_recipe(rendered(out / "data" / "samples", size), recipes / "rendered.yaml")
    save_recipe(Recipe(**flat | {"effects": Effects.all()}), recipes / "effects.yaml")
    save_layout(learn_layout(FolderDataset(data / "camvid_train")), data / "layout.yaml")
    save_recipe(Recipe(**flat, layout=data / "layout.yaml"), recipes / "l.yaml")
    save_recipe(Recipe(**flat, rows=0.5), recipes / "o.yaml")
    save_recipe(Recipe(**flat | {"rows": 0.5, "effects": Effects.all()}), recipes / "y.yaml")
    save_recipe(Recipe(**street | own), recipes / "camvid.yaml")
    for arm, (_, fields) in WITHOUT.items():
        save_recipe(Recipe(**flat | fields), recipes / f"{arm}.yaml")
    for arm, (_, names) in WITH.items():
        effects = Effects(**{name: getattr(Effects.all(), name) for name in names})
        save_recipe(Recipe(**flat | {"effects": effects}), recipes / f"{arm}.yaml")
    return counts | {
        "kitti": len(kitti.records),
        "reference": len(list((bundled_folder() / "reference" / "images").iterdir())),
        "backgrounds": len(list((original / "bgImages").iterdir())),
        "foregrounds": len(list((original / "fgImages").iterdir())),
        "cutouts": len(list((data / "cutouts").iterdir())),
    }


def rendered(samples: Path, size: tuple[int, int]) -> "Recipe":
    """Return the recipe of the bundled scenes, laid out like a street, whose depth is exact."""
    from qumade.assets.bundled import write_samples
    from qumade.recipe import load_recipe

    if not samples.is_dir():
        write_samples(samples)
    fields = {"size": size, "split": (1.0, 0.0, 0.0), "per_pair": 1, "crop": (0.5, 1.0), "objects": (1, 6)}
    fields["scale"] = {"*": (0.03, 0.7)}
    return load_recipe(samples / "recipe.yaml").model_copy(update=fields)


def evenly(items: Sequence[Any], count: int) -> list[Any]:
    """Return `count` of the items, each from the middle of one of `count` equal intervals."""
    return [items[(2 * n + 1) * len(items) // (2 * count)] for n in range(count)]


Picture = tuple[NDArray[np.uint8], NDArray[np.float32]]


def read_exam(folder: Path) -> list[Picture]:
    """Return image uint8 [H, W, 3] and coverage float32 [H, W], NaN where unlabelled, of all samples of a dataset."""
    from qumade.data.folder import FolderDataset
    from qumade.metrics.ground_truth import ground_truth_of

    dataset = FolderDataset(folder)
    exam = []
    for position in range(len(dataset)):
        triple = dataset.read(position)
        truth = ground_truth_of(triple, None).mask
        if truth is not None:
            exam.append((triple.image, truth))
    return exam


def car_iou(predict: Callable[[list[NDArray[np.uint8]]], Sequence[Any]], exam: Sequence[Picture]) -> dict[str, float]:
    """Return `iou`, the mean over images that show a car or in which one is predicted, and `pooled_iou`, over the
    pixels of all images together."""
    counts = []
    for start in range(0, len(exam), BATCH):
        some = exam[start : start + BATCH]
        for predicted, (_, truth) in zip(predict([image for image, _ in some]), some, strict=True):
            known = ~np.isnan(truth)
            seen, true = known & (predicted.mask >= THRESHOLD), known & (truth >= THRESHOLD)
            counts.append((np.count_nonzero(seen & true), np.count_nonzero(seen | true)))
    common, union = np.array(counts, np.float64).T
    some_car = union > 0
    if not some_car.any():
        return {"iou": 0.0, "pooled_iou": 0.0}
    iou = (common[some_car] / union[some_car]).mean()
    return {"iou": float(iou), "pooled_iou": float(common.sum() / union.sum())}


def recall_by_size(
    predict: Callable[[list[NDArray[np.uint8]]], Sequence[Any]], exam: Sequence[Picture]
) -> dict[str, float]:
    """Return the share of car pixels that were found, by the size of the car: connected pixels, as a share of the
    image."""
    found, all_pixels = np.zeros(len(SIZES)), np.zeros(len(SIZES))
    for image, truth in exam:
        seen = predict([image])[0].mask >= THRESHOLD
        parts, count = ndimage.label(truth >= THRESHOLD)
        areas = np.bincount(parts.ravel(), minlength=count + 1)[1:]
        hits = np.bincount(parts.ravel(), weights=seen.ravel(), minlength=count + 1)[1:]
        kind = np.digitize(areas / truth.size, SIZES[1:])
        all_pixels += np.bincount(kind, areas, len(SIZES))
        found += np.bincount(kind, hits, len(SIZES))
    return {f"from {least:g}": float(share) for least, share in zip(SIZES, found / all_pixels, strict=True)}


def arm_config(
    arm: str, seed: int, out: Path, size: tuple[int, int], steps: int, every: int, pretrained: Any
) -> "TrainConfig":
    """Return the settings of an arm's training; only the data and the seed differ between arms."""
    from qumade.training.config import ExtraDataset, TrainConfig, UnlabelledPhotos

    source = ARMS[arm]
    unlabelled = None if source.unlabelled is None else UnlabelledPhotos(photos=out / source.unlabelled)
    extra_datasets = () if source.real is None else (ExtraDataset(data=out / source.real, share=REAL_SHARE),)
    if source.depth_from is not None:
        extra_datasets = (ExtraDataset(data=out / source.depth_from, share=DEPTH_SHARE, parts="depth"),)
    if source.rendered is not None:
        extra_datasets = (ExtraDataset(data=out / source.rendered, share=DEPTH_SHARE),)
    return TrainConfig(
        data=out / source.data, extra_datasets=extra_datasets, model="tiny", size=size, batch_size=BATCH,
        steps=steps, epoch_steps=every,
        depth_loss="silog", seed=seed, pretrained=pretrained, unlabelled=unlabelled, twins=source.twins,
    )  # fmt: skip


def one_thread() -> dict[str, str]:
    """Return the environment of a training run that shares the machine with others."""
    return os.environ | dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")


def run_one(options: argparse.Namespace) -> None:
    """Train one arm from one seed, or resume it, and evaluate it."""
    out: Path = options.out.absolute()
    arm, seed = options.run.split("-")
    run = out / "runs" / options.run
    exam = read_exam(out / "data" / "camvid_val")
    source = ARMS[arm].of
    if source is None:
        settings = int(seed), out, options.size, options.steps, every_of(options), options.pretrained
        train_one(arm_config(arm, *settings), run, exam)
    else:
        adapt_one(out / "runs" / f"{source}-{seed}", out / str(ARMS[arm].unlabelled), run, exam)
    judge_once(arm, int(seed), run, out)


def every_of(options: argparse.Namespace) -> int:
    """Return the number of steps between two evaluations."""
    every: int = options.every or -(-options.steps // 20)
    return every


def train_one(config: "TrainConfig", run: Path, exam: Sequence[Picture]) -> None:
    """Train or resume a run. RUN/camvid.json holds its scores on CamVid val, RUN/camvid_best/ the best weights."""
    from qumade.io.files import write_bytes
    from qumade.prediction.predictor import torch_predictor
    from qumade.training.loop import train
    from qumade.training.run_folder import RunFolder, load_network

    def evaluate_epoch(root: Path, rows: Sequence[dict[str, Any]]) -> None:
        row = rows[-1]
        curve = [point for point in read_curve(root) if point["step"] < row["step"]]
        point = {"step": row["step"], "loss": row["loss"], **car_iou(torch_predictor(load_network(root, "last")), exam)}
        if point["iou"] > max((earlier["iou"] for earlier in curve), default=-1.0):
            for suffix in (".safetensors", ".json"):
                best = RunFolder(root / "camvid_best").weights("best").with_suffix(suffix)
                best.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(RunFolder(root).weights("last").with_suffix(suffix), best)
        write_bytes(root / "camvid.json", (json.dumps([*curve, point], indent=1) + "\n").encode())
        scores = f"loss {row['loss']:.3f}   IoU {point['iou']:.3f}, pooled {point['pooled_iou']:.3f}"
        print(f"{root.name}   step {row['step']}/{config.steps}   {scores}", flush=True)

    train(config, run, threads=1, progress=False, after_epoch=evaluate_epoch)


def adapt_one(trained: Path, photos: Path, run: Path, exam: Sequence[Picture]) -> None:
    """Adapt a run to photos, unless it was done. RUN/camvid.json holds its one score."""
    from qumade.io.files import write_bytes
    from qumade.prediction.predictor import torch_predictor
    from qumade.training.adapt import adapt
    from qumade.training.run_folder import load_network

    if (run / "camvid.json").is_file():
        return
    shutil.rmtree(run, ignore_errors=True)
    adapt(trained, photos, run)
    shutil.copyfile(trained / "results.csv", run / "results.csv")
    last = read_curve(trained)[-1]
    point = {"step": last["step"], "loss": last["loss"], **car_iou(torch_predictor(load_network(run, "last")), exam)}
    write_bytes(run / "camvid.json", (json.dumps([point]) + "\n").encode())


def read_curve(run: Path) -> list[dict[str, Any]]:
    """Return the scores of a run on CamVid val so far, one point per evaluation."""
    path = run / "camvid.json"
    curve: list[dict[str, Any]] = json.loads(path.read_text()) if path.is_file() else []
    return curve


def judge_once(arm: str, seed: int, run: Path, out: Path) -> None:
    """Save the evaluation of a finished run in RUN/scores.json; draw images for the first seed."""
    from qumade.io.files import write_bytes

    if not (run / SCORES).is_file():
        write_bytes(
            run / SCORES, (json.dumps(evaluate_run(arm, seed, run, out), indent=1, allow_nan=False) + "\n").encode()
        )


def evaluate_run(arm: str, seed: int, run: Path, out: Path) -> dict[str, Any]:
    """Evaluate the averaged weights after the last step."""
    from qumade.assets.bundled import bundled_folder
    from qumade.data.folder import FolderDataset
    from qumade.evaluation.evaluation import evaluate
    from qumade.evaluation.panels import draw_rows, sheet, worst
    from qumade.evaluation.summary import score_names, summarise
    from qumade.io.encode import png_bytes
    from qumade.io.files import write_bytes
    from qumade.metrics.alignment import Alignment
    from qumade.prediction.predictor import torch_predictor
    from qumade.training.run_folder import load_network, read_results

    curve, rows = read_curve(run), read_results(run / "results.csv")
    predict = torch_predictor(load_network(run, "last"))
    scores: dict[str, Any] = {
        "seed": seed,
        "minutes": (rows[-1]["seconds"] or 0.0) / 60,
        "curve": curve,
        "last": curve[-1],
        "best": max(curve, key=lambda point: point["iou"]),
        "recall": recall_by_size(predict, read_exam(out / "data" / "camvid_val")),
        "baselines": {},
    }
    folders = {
        "camvid": out / "data" / "camvid_val",
        "kitti": out / "data" / "kitti",
        "reference": bundled_folder() / "reference",
    }
    for name, folder in folders.items():
        dataset = FolderDataset(folder)
        # The same for all arms, because two of the three kinds of labels give depth only up to scale and shift.
        alignment: Alignment | None = "scale and shift" if dataset.has_depth else None
        config = predict.config
        labels = {"mask": dataset.has_masks, "depth": dataset.has_depth}
        if not any(labels[task] for task in config.trained_tasks):
            scores[name], scores["baselines"][name] = {}, {}
            continue
        evaluation = evaluate(
            predict, dataset, predicted_kind=config.depth_kind, trained_tasks=config.trained_tasks, alignment=alignment
        )
        group, columns = summarise(evaluation)[0], [score.column for score in score_names(evaluation)]
        scores[name] = {column: group.means[column] for column in columns}
        scores["baselines"][name] = {column: group.baselines[column] for column in columns}
        if seed == 0 and columns:
            typical = evenly(range(len(dataset)), min(SHOWN, len(dataset)))
            for what, chosen in (("worst", worst(evaluation, SHOWN)), ("typical", typical)):
                (out / "pictures").mkdir(exist_ok=True)
                drawn = sheet(draw_rows(evaluation, predict, dataset, chosen), f"({arm}) on {name}: {what}")
                write_bytes(out / "pictures" / f"{name}-{arm}-{what}.png", png_bytes(drawn))
    return scores


if __name__ == "__main__":
    main()
