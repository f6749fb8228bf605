"""Write the results of `transfer.py` as a figure, tables and a page."""

import io
import textwrap
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from qumade.io.files import write_bytes

__all__ = ["KEPT", "ablation", "draw_scores", "mask_table", "mean_and_range", "other_tables", "write_page"]

Results = dict[str, Any]

KEPT = "## Conclusions", "## Depth, scenes and sizes"
"""Between these two headings the page is written by hand."""
WITH_LABELS = "cdDefg"
REAL, COMPOSITES = "#0072b2", "#d55e00"  # Okabe and Ito 2008


def draw_scores(results: Results, path: Path) -> None:
    """Write an image of IoU on CamVid val by arm: a dot for each seed, a line for the mean, the best arms on top."""
    arms = {arm: entry for arm, entry in results["arms"].items() if not arm.isdigit()}
    order = sorted(arms, key=lambda arm: _means(arms[arm]["runs"])[0])
    figure = Figure(figsize=(12, 1.4 + 0.3 * len(order)), layout="constrained")
    panels = {"iou": "car IoU on CamVid val, mean of images", "pooled_iou": "the same, pooled"}
    for axes, (key, title) in zip(figure.subplots(1, len(panels), sharey=True), panels.items(), strict=True):
        for row, arm in enumerate(order):
            values = [run["last"][key] for run in arms[arm]["runs"]]
            colour = REAL if arm in WITH_LABELS else COMPOSITES
            axes.plot([np.mean(values)] * 2, [row - 0.35, row + 0.35], color=colour, linewidth=2)
            axes.plot(values, [row] * len(values), "o", color=colour, markersize=6, alpha=0.7)
        axes.set_yticks(range(len(order)), [f"{arms[arm]['title']} ({arm})" for arm in order])
        axes.set_title(title)
        axes.grid(alpha=0.3)
    for colour, label in ((REAL, "with labelled frames of CamVid"), (COMPOSITES, "without")):
        axes.plot([], [], "o", color=colour, label=label)
    figure.legend(loc="outside lower center", ncols=2, frameon=False)
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


def mask_table(results: Results) -> str:
    """Return the table of masks of real photos, as Markdown."""
    lines = [
        "| | trained on | IoU, mean of images | IoU, pooled | *best on val: mean* | *pooled* | *step* |",
        "|---|---|---|---|---|---|---|",
    ]
    for arm, entry in results["arms"].items():
        if arm.isdigit():
            continue
        runs = entry["runs"]
        cells = [
            mean_and_range([run[which][key] for run in runs])
            for which in ("last", "best")
            for key in ("iou", "pooled_iou")
        ]
        steps = ", ".join(str(run["best"]["step"]) for run in runs)
        lines.append(f"| ({arm}) | {entry['title']} | {' | '.join(cells)} | {steps} |")
    return "\n".join(lines)


def other_tables(results: Results) -> str:
    """Return the tables of the other datasets, and of found cars by size, as Markdown."""
    lines = [
        "| | KITTI delta < 1.25 | KITTI AbsRel | scenes: mask IoU | scenes: delta < 1.25 | scenes: AbsRel |",
        "|---|---|---|---|---|---|",
    ]
    arms = {arm: entry for arm, entry in results["arms"].items() if not arm.isdigit()}
    for arm, entry in arms.items():
        lines.append(f"| ({arm}) | {' | '.join(_others(entry['runs'], lambda run: run))} |")
    runs = [run for entry in arms.values() for run in entry["runs"]]  # arms without depth have no depth scores
    lines.append(f"| trivial baseline | {' | '.join(_others(runs, lambda run: run['baselines']))} |")
    return "\n".join([*lines, "", *_recall(arms)])


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
    """Write the page, and its figure into images/ beside it. What is written by hand stays."""
    image = page.parent / "images" / f"{page.stem}_scores.png"
    image.parent.mkdir(parents=True, exist_ok=True)
    draw_scores(results, image)
    first, after = KEPT
    before = page.read_text() if page.is_file() else ""
    kept = first + before.split(first, 1)[1].split(after, 1)[0] if first in before else ""
    write_bytes(page, (_opening(results, f"images/{image.name}") + kept + _rest(results)).encode())


def _opening(results: Results, image: str) -> str:
    settings, sources = results["settings"], results["sources"]
    seeds = settings["seeds"]
    numbers = f"Numbers are means of {seeds} seeds, with their range." if seeds > 1 else "Numbers are of one seed."
    pretrained = settings.get("pretrained", "none") == "required"
    encoder = " with an encoder pretrained on ImageNet that stays as it is" if pretrained else ""
    blocks = [
        "# Composites against real photos",
        f"""Does training on composites help on real photos? The same network, `{settings["model"]}`{encoder}, was
        trained on composites, on real photos and on both. It was evaluated on real photos that no training used: the
        {sources["camvid_val"]} frames of CamVid val. {numbers}""",
        f"![Car IoU on CamVid val by training data]({image})",
        mask_table(results),
        """*Mean of images* is what `qumade evaluate` reports. *Pooled* is the IoU of the pixels of all images together,
        in which large cars count for more. Columns in italics were chosen on val and are therefore too optimistic. All
        other columns, and the figure, are of the averaged weights after the last step.""",
    ]
    return "\n".join(map(_folded, blocks)) + "\n"


def _rest(results: Results) -> str:
    settings, sources, arms = results["settings"], results["sources"], results["arms"]
    size = "x".join(map(str, settings["size"]))
    command = (
        f"--arms {''.join(arms)} --seeds {settings['seeds']} --steps {settings['steps']} --every {settings['every']} "
        f"--size {size}{' --rendered DIR' if set('wW') & set(arms) else ''}"
    )
    minutes = round(np.median([run["minutes"] for entry in arms.values() for run in entry["runs"]]))
    blocks = [
        KEPT[1],
        other_tables(results),
        f"""KITTI is {sources["kitti"]} frames with laser depth: a spot check, not a result. Scenes are the
        {sources["reference"]} bundled reference scenes, which no training uses. Depth is evaluated after fitting scale
        and shift to each image. `-` was trained without depth. The trivial baseline predicts background everywhere, and
        flat ground below a horizon at 45 % of the height, fitted in the same way. Cars of the last table are those of
        CamVid val, connected pixels each: the share of their pixels that was found.""",
        *_ablation_blocks(results),
        "## Setup",
        f"    python benchmarks/transfer.py {command}",
        f"""All trainings use {size}, batches of {settings["batch_size"]}, {settings["steps"]:,} steps, one CPU core,
        the depth loss `silog`, and otherwise the defaults of `qumade train`. A training took {minutes} minutes in
        the median, with an evaluation on val every {settings["every"]:,} steps. Where real frames are mixed in, with
        labels or without, they are {settings["real_share"]:.0%} of every batch. Masks are evaluated at 480x360,
        without unlabelled pixels.""",
    ]
    return "\n".join(map(_folded, blocks)) + "\n" + "".join(map(_folded, _points(results)))


def _points(results: Results) -> list[str]:
    """Return what the arms were trained on, for arms with results alone."""
    sources, size = results["sources"], "x".join(map(str, results["settings"]["size"]))
    arms = results["arms"].keys()
    streets, flat = "kspxtundDfmrRwWloy", "bpxtundDfmrwWloy"
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
        (
            "kD",
            f"""{_listed("kD", arms)} shadows under 70 % of the cars, as the arms with all effects have; the others have
            none.""",
        ),
        ("ksR", f"{_listed('ksR', arms)} depth from the label maps (`prior: upright`)."),
        (flat, f"{_listed(flat, arms)} depth of flat ground."),
        (
            "x",
            """(x) has the effects of `--effects all`: distractors, shadows, kinds of edges, harmonising, haze and a
            camera.""",
        ),
        ("t", "(t) is (x) with `--twins`: every composite is shown twice in a batch, with different effects."),
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
        ("y", "(y) has both: all effects, and the cars of half of the composites in a row."),
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
            "dDeg",
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
