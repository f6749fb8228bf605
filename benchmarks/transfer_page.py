"""Write the results of `transfer.py` as curves, tables and a page."""

import io
import textwrap
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from qumade.io.files import write_bytes

__all__ = ["KEPT_FROM", "ablation", "draw_curves", "mean_and_range", "tables", "write_page"]

Results = dict[str, Any]

KEPT_FROM = "## What the failures show"
COLOURS = ("#e69f00", "#56b4e9", "#009e73", "#f0e442", "#0072b2", "#d55e00", "#cc79a7", "#000000")  # Okabe and Ito 2008


def draw_curves(results: Results, path: Path) -> None:
    """Write an image of IoU on CamVid val and of the training loss over the steps: means, and ranges over seeds."""
    figure = Figure(figsize=(12, 4.8), layout="constrained")
    panels = {
        "iou": "car IoU on CamVid val, mean of images",
        "pooled_iou": "the same, pooled",
        "loss": "training loss",
    }
    for axes, (key, title) in zip(figure.subplots(1, len(panels)), panels.items(), strict=True):
        shown = {arm: entry for arm, entry in results["arms"].items() if not arm.isdigit()}
        for number, (arm, entry) in enumerate(shown.items()):
            steps = [point["step"] for point in entry["runs"][0]["curve"]]
            values = np.array([[point[key] for point in run["curve"]] for run in entry["runs"]])
            colour = COLOURS[number % len(COLOURS)]
            axes.plot(steps, values.mean(0), color=colour, label=f"({arm}) {entry['title']}", marker=".", markersize=4)
            axes.fill_between(steps, values.min(0), values.max(0), color=colour, alpha=0.2, linewidth=0)
        axes.set_title(title)
        axes.set_xlabel("step")
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.3)
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2, frameon=False)
    FigureCanvasAgg(figure)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100)
    write_bytes(path, buffer.getvalue())


def mean_and_range(values: Sequence[float | None], digits: int = 3) -> str:
    """Return the mean over seeds, with the range if there are several; "-" without values."""
    known = [value for value in values if value is not None]
    if not known:
        return "-"
    mean = f"{sum(known) / len(known):.{digits}f}"
    return mean if min(known) == max(known) else f"{mean} ({min(known):.{digits}f} - {max(known):.{digits}f})"


def tables(results: Results) -> str:
    """Return the tables as Markdown: masks of real photos, the other datasets, and found cars by size."""
    masks = [
        "| | trained on | IoU, mean of images | IoU, pooled | *best on val: mean* | *pooled* | *step* |",
        "|---|---|---|---|---|---|---|",
    ]
    others = [
        "| | KITTI delta < 1.25 | KITTI AbsRel | scenes: mask IoU | scenes: delta < 1.25 | scenes: AbsRel |",
        "|---|---|---|---|---|---|",
    ]
    arms = {arm: entry for arm, entry in results["arms"].items() if not arm.isdigit()}
    for arm, entry in arms.items():
        runs = entry["runs"]
        cells = [
            mean_and_range([run[which][key] for run in runs])
            for which in ("last", "best")
            for key in ("iou", "pooled_iou")
        ]
        steps = ", ".join(str(run["best"]["step"]) for run in runs)
        masks.append(f"| ({arm}) | {entry['title']} | {' | '.join(cells)} | {steps} |")
        others.append(f"| ({arm}) | {' | '.join(_others(runs, lambda run: run))} |")
    runs = [run for entry in arms.values() for run in entry["runs"]]  # arms without depth have no depth scores
    others.append(f"| trivial baseline | {' | '.join(_others(runs, lambda run: run['baselines']))} |")
    return "\n".join([*masks, "", *others, "", *_recall(arms), ""])


def ablation(results: Results) -> str:
    """Return the table of the arms that are (p) without one field or with one effect; empty without them."""
    rows = {arm: entry for arm, entry in results["arms"].items() if arm.isdigit()}
    if not rows or "p" not in results["arms"]:
        return ""
    lines = ["| | IoU, mean of images | IoU, pooled | against (p) |", "|---|---|---|---|"]
    means = {arm: _means(results["arms"][arm]["runs"]) for arm in (*rows, "p")}
    for arm, entry in {"p": results["arms"]["p"], **rows}.items():
        cells = [mean_and_range([run["last"][key] for run in entry["runs"]]) for key in ("iou", "pooled_iou")]
        against = "/".join(f"{own - of_p:+.3f}" for own, of_p in zip(means[arm], means["p"], strict=True))
        lines.append(f"| {entry['title'] if arm != 'p' else '(p)'} | {' | '.join(cells)} | {against} |")
    return "\n".join(lines)


def _means(runs: Sequence[Results]) -> tuple[float, float]:
    iou, pooled = np.mean([[run["last"]["iou"], run["last"]["pooled_iou"]] for run in runs], axis=0).tolist()
    return iou, pooled


def _recall(arms: Results) -> list[str]:
    """Return the table of found car pixels by the size of the car."""
    classes = list(next(iter(arms.values()))["runs"][0]["recall"])
    lines = [f"| | {' | '.join(f'cars {name} of the image' for name in classes)} |", "|---" * (1 + len(classes)) + "|"]
    for arm, entry in arms.items():
        cells = [mean_and_range([run["recall"][name] for run in entry["runs"]], 2) for name in classes]
        lines.append(f"| ({arm}) | {' | '.join(cells)} |")
    return lines


def _others(runs: Sequence[Results], scores: Callable[[Results], Results]) -> list[str]:
    columns = [
        ("kitti", "depth_delta1"), ("kitti", "depth_abs_rel"),
        ("reference", "mask_iou"), ("reference", "depth_delta1"), ("reference", "depth_abs_rel"),
    ]  # fmt: skip
    return [mean_and_range([scores(run)[name].get(column) for run in runs]) for name, column in columns]


def write_page(results: Results, page: Path) -> None:
    """Write the page, and its curves into images/ beside it. The existing section on failures is preserved."""
    image = page.parent / "images" / f"{page.stem}_curves.png"
    image.parent.mkdir(parents=True, exist_ok=True)
    draw_curves(results, image)
    before = page.read_text() if page.is_file() else ""
    kept = KEPT_FROM + before.split(KEPT_FROM, 1)[1] if KEPT_FROM in before else ""
    write_bytes(page, (_page(results, f"images/{image.name}") + kept).encode())


def _page(results: Results, image: str) -> str:
    settings, sources, arms = results["settings"], results["sources"], results["arms"]
    seeds, size = settings["seeds"], "x".join(map(str, settings["size"]))
    command = (
        f"--arms {''.join(arms)} --seeds {seeds} --steps {settings['steps']} --every {settings['every']} --size {size}"
    )
    minutes = [round(run["minutes"]) for entry in arms.values() for run in entry["runs"]]
    took = " to ".join(str(number) for number in sorted({min(minutes), max(minutes)}))
    numbers = f"Numbers are means of {seeds} seeds, with their range." if seeds > 1 else "Numbers are of one seed."
    pretrained = settings.get("pretrained", "none") == "required"
    encoder = " with an encoder pretrained on ImageNet that stays as it is" if pretrained else ""
    blocks = [
        "# Composites against real photos",
        f"""Does training on composites help on real photos? The same network, `{settings["model"]}`{encoder}, was
        trained on composites, on real photos and on both. It was evaluated on real photos that no training used: the
        {sources["camvid_val"]} frames of CamVid val. {numbers}""",
        f"    python benchmarks/transfer.py {command}",
        tables(results).strip(),
        """The first table is car IoU on CamVid val at 480x360, without unlabelled pixels. *Mean of images* is what
        `qumade evaluate` reports. *Pooled* is the IoU of the pixels of all images together, in which large cars count
        for more. Columns in italics were chosen on val and are therefore too optimistic. All other columns are the
        averaged weights after the last step.""",
        f"""KITTI is {sources["kitti"]} frames with laser depth: a spot check, not a result. Scenes are the
        {sources["reference"]} bundled reference scenes, which no training uses. Depth is evaluated after fitting scale
        and shift to each image. `-` was trained without depth. The trivial baseline predicts background everywhere, and
        flat ground below a horizon at 45 % of the height, fitted in the same way.""",
        f"![IoU and loss over the steps]({image})",
        "Lines are means over seeds, bands their range.",
        *_ablation_blocks(results),
        "## Setup",
        f"""All trainings use {size}, batches of {settings["batch_size"]}, {settings["steps"]:,} steps, one CPU core,
        the depth loss `silog`, and otherwise the defaults of `qumade train`. A training took {took} minutes, including
        an evaluation on val every {settings["every"]:,} steps. Where real frames are mixed in, with labels or without,
        they are {settings["real_share"]:.0%} of every batch.""",
    ]
    return "\n".join(map(_folded, blocks)) + "\n" + "".join(map(_folded, _points(results))) + "\n"


def _points(results: Results) -> list[str]:
    """Return what the arms were trained on, for arms with results alone."""
    sources, size = results["sources"], "x".join(map(str, results["settings"]["size"]))
    arms = results["arms"].keys()
    streets, flat = "spxundfmrRwWlo", "bpxundfmrwWlo"
    points = [
        (
            arms,
            f"""Composites are rendered at {size} straight from recipes: every pair of background and cut-out in turn,
            with new placements in each epoch. All identities are used for training, since composites are not used for
            evaluation here.""",
        ),
        (
            arms,
            f"""Backgrounds are {sources["backgrounds"]} road photos, cut-outs {sources["foregrounds"]} cars of the
            original notebooks.""",
        ),
        (
            "a",
            """(a) has the defaults of random placement and no label maps. Cars that the photos already show count as
            background.""",
        ),
        (
            "h",
            """(h) has the defaults of random placement and predicted label maps: cars that the photos already show are
            ignored.""",
        ),
        (
            "b" + streets,
            f"""{_listed("b" + streets, arms)} perspective placement on label maps that a network predicted. Cars that
            the maps show are ignored, and photos without ground are left out. The horizon comes from the label map
            where it can, otherwise from a value set by eye (`benchmarks/road_horizons.yaml`).""",
        ),
        ("b", "(b) has one car in each sample, well in view."),
        (
            streets,
            f"""{_listed(streets, arms)} its defaults: scenes laid out like a street, with 1 to 6 cars, sizes from 0.03
            to 0.7, a third of a car visible at least, crops from half of the photo on, contacts uniform over the
            distance.""",
        ),
        ("sR", f"{_listed('sR', arms)} depth from the label maps (`prior: upright`)."),
        (flat, f"{_listed(flat, arms)} depth of flat ground."),
        (
            "x",
            """(x) has the effects of `--effects all`: distractors, shadows, kinds of edges, harmonising, haze and a
            camera.""",
        ),
        (
            "u",
            """(u) has the frames of CamVid train without their labels beside the composites (`qumade train
            --unlabelled`).""",
        ),
        (
            "n",
            """(n) is (p) after `qumade adapt` with the frames of CamVid train: nothing was trained, and the strength
            was found without labels.""",
        ),
        (
            "m",
            """(m) takes the cars that the photos' predicted label maps show for cars, instead of ignoring them
            (`present: mask`).""",
        ),
        (
            "l",
            """(l) has number, size and place of the cars from the masks of CamVid train (`qumade layout`), whose
            pictures it does not see.""",
        ),
        ("o", "(o) has the cars of half of the composites in a row along the view (`rows: 0.5`)."),
        *(
            (
                arm,
                f"""({arm}) takes 40 % of every batch from composites on the 24 bundled backgrounds, and learns depth
                alone from them: it is exact. The reference scenes are of the same rendered world.""",
            )
            for arm in "rR"
        ),
        *(
            (
                arm,
                f"""({arm}) takes 40 % of every batch from roads with cars that `tools/render_samples.py --training` has
                rendered, and learns {learns} from them.""",
            )
            for arm, learns in (("w", "depth alone"), ("W", "depth and masks"))
        ),
        (
            "deg",
            f"""10 % of CamVid train is {sources["camvid_tenth"]} of {sources["camvid_train"]} frames, spread evenly
            over the sequences.""",
        ),
        (
            "e",
            f"""(e) uses the {sources["cutouts"]} cars that `qumade cutouts` takes from these frames, and their mirror
            images, in perspective on these frames with their own label maps. Frames whose map gives no horizon are
            left out. Cars that the frames already show are part of the mask.""",
        ),
        ("cg", "CamVid has no depth: on CamVid alone the whole network learns masks."),
        (
            arms,
            """CamVid val is one stretch of one drive, every second frame from 0016E5_07959 to 08159. CamVid train has
            frames of that drive up to a second before and after it. So val holds far fewer independent images than
            frames, and it favours networks trained on CamVid. Ranges over seeds do not cover this.""",
        ),
    ]
    return [f"- {text}" for of, text in points if set(of) & arms]


def _listed(of: str, arms: Iterable[str]) -> str:
    """Return those of the arms that have results, with the verb "have" for them."""
    names = [f"({arm})" for arm in of if arm in arms]
    return f"{' and '.join(filter(None, [', '.join(names[:-1]), *names[-1:]]))} {'have' if len(names) > 1 else 'has'}"


def _ablation_blocks(results: Results) -> list[str]:
    found = ablation(results)
    if not found:
        return []
    runs = {len(entry["runs"]) for arm, entry in results["arms"].items() if arm.isdigit()}
    text = f"""Each row is (p) with one field at its value for random placement, or with one kind of effects of
    `--effects all`; seeds: {" or ".join(map(str, sorted(runs)))}. Two seeds of (p) differ by more than most rows do:
    what is smaller than that is no finding."""
    return ["## One by one", found, text]


def _folded(block: str) -> str:
    """Return a paragraph or a point in lines of equal width; headings, tables, images and code as they are."""
    if block.startswith(("#", "|", "!", "    ")):
        return f"{block}\n"
    text = " ".join(block.split())
    inner = "  " if text.startswith("- ") else ""
    return textwrap.fill(text, 128, subsequent_indent=inner, break_long_words=False, break_on_hyphens=False) + "\n"
