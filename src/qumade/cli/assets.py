"""Verbs of what goes in: demo, samples, check."""

from pathlib import Path
from typing import Literal

from qumade.cli.common import Json, Switch, app, finish, given_fields, range_of, size_of
from qumade.cli.teachers import labels_of_teachers

__all__: list[str] = []


@app.command
def demo(*, out: Path = Path("out/demo"), workers: int | None = None) -> None:
    """The whole way on the bundled samples: pictures to look at end up in a folder.

    Example: `qumade demo --out demo`

    Parameters
    ----------
    out
        Folder for the samples, the dataset made of them, and the pictures.
    workers
        Processes; all cores by default.
    """
    from qumade.demo import run_demo

    run_demo(out, workers)


@app.command
def samples(folder: Path, /) -> None:
    """Writes the bundled samples: backgrounds, cut-outs, their labels and depth, true scenes, and a recipe.yaml.

    Example: `qumade samples samples`

    Parameters
    ----------
    folder
        A new or empty folder.
    """
    from qumade.assets.bundled import write_samples

    write_samples(folder)
    print(f"Samples in {folder.absolute()}; next: qumade generate --recipe {folder / 'recipe.yaml'} --out DATA_PATH")


@app.command
def check(
    *,
    backgrounds: Path | None = None,
    foregrounds: Path | None = None,
    masks: Path | None = None,
    depths: Path | None = None,
    depths_kind: Literal["metric", "scaled", "affine"] | None = None,
    labels: Path | None = None,
    label_names: str | None = None,
    depth_teacher: str | None = None,
    label_teacher: str | None = None,
    download: bool = False,
    teacher_cache: Path | None = None,
    recipe: Path | None = None,
    placement: Literal["random", "semantic", "perspective"] | None = None,
    horizon: str | None = None,
    per_pair: int | None = None,
    size: str | None = None,
    flip: Switch = None,
    crop: str | None = None,
    sheet: Path = Path("check.png"),
    json: Json = False,
) -> int:
    """Audits assets: names every file that cannot be used or looks wrong. Exit 1 where a file cannot be used.

    With label or depth maps it also draws a sheet of the backgrounds, unusable ones first: the photo, its maps, the
    ground plane with its horizon, and where objects may stand.

    Example: `qumade check --backgrounds samples/backgrounds --foregrounds samples/foregrounds --labels samples/labels`

    Parameters
    ----------
    backgrounds
        Folder of background photos.
    foregrounds
        Folder of cut-outs: RGBA, or RGB with `--masks`.
    masks
        Folder of masks, by equal stem or equal number.
    depths
        Folder of depth maps of the backgrounds: 16-bit PNG (metres x 256) or .npy of inverse depth.
    depths_kind
        What .npy depth maps mean.
    labels
        Folder of label maps of the backgrounds, by equal stem: PNG of ids, or .npy.
    label_names
        What the ids mean: cityscapes, ade20k, camvid, or a YAML file of ids and names (cityscapes).
    depth_teacher
        Network that labels the depth of the backgrounds, once: auto, ORG/NAME on the hub, a folder, or FILE.onnx.
    label_teacher
        Network that makes their label maps, in the same way: ORG/NAME, a folder, or FILE.onnx.
    download
        Fetch the networks from the hub where they are not on disk.
    teacher_cache
        Folder where labels of teachers are kept (~/.cache/qumade).
    recipe
        YAML file with any of these settings and more. Flags win over it.
    placement
        What the ground must be good for (the recipe's; without one perspective where there are labels, else random).
    horizon
        Row of the horizon as a share of the photo's height (0.45), or `labels` to estimate it from the label maps.
    per_pair
        Placements of each cut-out on each background, to count how often each asset will be used (20).
    size
        Size of a sample in pixels: a side, or WIDTHxHEIGHT (224).
    flip
        Count mirror images of cut-outs too, where the folder does not hold them.
    crop
        Crop of the backgrounds as a share of the largest: a number, or LOW,HIGH (1).
    sheet
        PNG file of the sheet.
    json
        One JSON object as the last line on stdout.
    """
    from qumade.recipe import recipe_from_dict
    from qumade.synth.check import check_assets, format_report
    from qumade.viz.ground_sheet import GroundRow, ground_row, ground_sheet

    flags = {
        "backgrounds": backgrounds,
        "foregrounds": foregrounds,
        "masks": masks,
        "depths": depths,
        "depths_kind": depths_kind,
        "labels": labels,
        "label_names": label_names,
        "placement": placement,
        "horizon": horizon if horizon in (None, "labels") else range_of("--horizon", horizon)[0],
        "per_pair": per_pair,
        "size": size and size_of(size),
        "flip": flip,
        "crop": crop and range_of("--crop", crop),
    }
    given = given_fields("check", recipe, flags)
    if recipe is None:  # lossless, for only it has a code for unknown depth
        labelled = labels is not None or label_teacher is not None
        given = {"placement": "perspective" if labelled else "random", "encoding": "lossless"} | given
    given |= labels_of_teachers("check", given, flags, depth_teacher, label_teacher, teacher_cache, download)
    plan = recipe_from_dict(given, "the command line", Path.cwd())
    rows: list[GroundRow] = []
    report = check_assets(plan, progress=True, look=lambda surveyed: rows.append(ground_row(plan, surveyed)))
    text = format_report(report)
    if rows:
        ground_sheet(plan, rows).save(sheet, "png")
        text += f"\n\n{sheet.absolute()}"
    finish(json, report, text)
    return int(any(finding.severity == "error" for finding in report.findings))
