"""Verbs of datasets: generate, preview, audit, stats."""

from pathlib import Path
from typing import Literal

from qumade.cli.common import Json, Switch, app, finish, given_fields, model, range_of, report_findings, size_of
from qumade.cli.teachers import labels_of_teachers
from qumade.errors import QumadeError

__all__: list[str] = []


@app.command
def generate(
    *,
    out: Path,
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
    reliefs: Path | None = None,
    recipe: Path | None = None,
    placement: Literal["random", "semantic", "perspective"] | None = None,
    height_ratio: float | None = None,
    present: Literal["ignore", "mask", "skip"] | None = None,
    no_ground: Literal["skip", "random"] | None = None,
    per_pair: int | None = None,
    size: str | None = None,
    seed: int | None = None,
    flip: Switch = None,
    mirror_backgrounds: Switch = None,
    crop: str | None = None,
    objects: str | None = None,
    scale: str | None = None,
    centre_row: str | None = None,
    min_visible: float | None = None,
    horizon: str | None = None,
    depth: Literal["layered", "composite"] | None = None,
    mask: Literal["soft", "binary"] | None = None,
    encoding: Literal["jpeg", "lossless"] | None = None,
    depth_near: float | None = None,
    depth_quantization: Literal["dataset", "image"] | None = None,
    limit: int | None = None,
    workers: int | None = None,
    strict: bool = False,
    json: Json = False,
) -> None:
    """Composes a dataset of images, masks and depth. The same command finishes one that was interrupted.

    Example: `qumade generate --backgrounds samples/backgrounds --foregrounds samples/foregrounds --out DATA_PATH`

    Parameters
    ----------
    out
        DATA_PATH, the folder of the dataset: new, empty, or begun with the same recipe.
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
    reliefs
        Folder of relief maps of the cut-outs, by equal stem.
    recipe
        YAML file with any of these settings and more: `qumade samples` writes one. Flags win over it.
    placement
        random: anywhere; semantic: on the ground of the label maps; perspective: there, as large as there (random).
    height_ratio
        Height of the objects over that of the camera, for perspective without known heights (1).
    present
        Objects that backgrounds show already: ignored, part of the mask, or left out with the background (ignore).
    no_ground
        Backgrounds with nowhere to stand: left out, or used with random placement (skip).
    per_pair
        Placements of each cut-out on each background (20).
    size
        Size of a sample in pixels: a side, or WIDTHxHEIGHT (224).
    seed
        Another seed gives another dataset of the same kind (0).
    flip
        Add mirror images of cut-outs where the folder does not hold them.
    mirror_backgrounds
        Mirror half of the backgrounds (yes).
    crop
        Crop of the background as a share of the largest: a number, or LOW,HIGH (1).
    objects
        Cut-outs in a sample: a number, or LOW,HIGH (1).
    scale
        sqrt(box of the object / picture): LOW,HIGH (0.1,0.5).
    centre_row
        Rows for the centre of an object as shares of the height: LOW,HIGH (0.5,1).
    min_visible
        Least visible share of an object (0.7).
    horizon
        Row of the horizon as a share of the photo's height (0.45), or `labels` to estimate it from the label maps.
    depth
        layered: put together exactly; composite: predicted by the depth teacher from every finished image (layered).
    mask
        Masks of soft coverage, or of 0 and 255 only (soft).
    encoding
        JPEG, or PNG in all folders (jpeg).
    depth_near
        Inverse depth that the nearest code stands for.
    depth_quantization
        8-bit depth over one range for the dataset, or over each image's own (dataset).
    limit
        Draw only that many samples, spread over all assets.
    workers
        Processes; all cores by default.
    strict
        Refuse at the first asset that cannot be used, instead of leaving it out.
    json
        One JSON object as the last line on stdout.
    """
    from qumade.generate.engine import generate as run
    from qumade.recipe import recipe_from_dict
    from qumade.synth.synthesizer import Synthesizer

    flags = {
        "backgrounds": backgrounds,
        "foregrounds": foregrounds,
        "masks": masks,
        "depths": depths,
        "depths_kind": depths_kind,
        "labels": labels,
        "label_names": label_names,
        "reliefs": reliefs,
        "placement": placement,
        "height_ratio": height_ratio,
        "present": present,
        "no_ground": no_ground,
        "per_pair": per_pair,
        "size": size and size_of(size),
        "seed": seed,
        "flip": flip,
        "mirror_backgrounds": mirror_backgrounds,
        "crop": crop and range_of("--crop", crop),
        "objects": objects and range_of("--objects", objects, int),
        "scale": scale and range_of("--scale", scale),
        "centre_row": centre_row and range_of("--centre-row", centre_row),
        "min_visible": min_visible,
        "horizon": horizon if horizon in (None, "labels") else range_of("--horizon", horizon)[0],
        "depth": depth,
        "mask": mask,
        "encoding": encoding,
        "depth_near": depth_near,
        "depth_quantization": depth_quantization,
    }
    given = given_fields("generate", recipe, flags)
    predictor = None
    if given.get("depth") == "composite":
        given |= {} if depth_teacher is None else {"depth_teacher": model(depth_teacher)}
        depth_teacher = None
    given |= labels_of_teachers("generate", given, flags, depth_teacher, label_teacher, teacher_cache, download)
    full_recipe = recipe_from_dict(given, "the command line", Path.cwd())
    if full_recipe.depth == "composite":
        from qumade.teachers.predict_depth import teacher_depth

        predictor = teacher_depth(full_recipe, download=download)
    synthesizer = Synthesizer.from_recipe(full_recipe, strict=strict, progress=True)
    report_findings(synthesizer.findings)
    summary = run(synthesizer, out, limit=limit, workers=workers, depth_predictor=predictor)
    where = out.absolute()
    if summary is None:
        finish(json, {"root": where, "drawn": 0}, f"{where} is finished already; nothing was drawn")
        return
    kind = synthesizer.catalog.depth_kind if predictor is None else predictor.encoding.kind
    source = "flat-ground prior" if synthesizer.catalog.depth_source == "prior" else "depth maps"
    source = source if predictor is None else f"the composites by {full_recipe.depth_teacher}"
    text = f"{summary.samples:,} samples in {where}, {summary.drawn:,} of them drawn now\n"
    text += f"Depth: kind {kind}, from {source}; {summary.depth_clipped_px:,} pixels nearer than the range\n"
    text += f"Placements repeated: {', '.join(f'{n:,} {reason}' for reason, n in summary.rejected.items())}; "
    text += f"{summary.fallbacks:,} fell back, {summary.left_out:,} further objects found no room"
    finish(json, summary, text)


@app.command
def preview(path: Path, /, *, out: Path = Path("preview.png"), count: int = 24) -> None:
    """Draws a contact sheet of image, mask and depth: of a recipe before anything is generated, or of a dataset.

    Example: `qumade preview samples/recipe.yaml --out sheet.png`

    Parameters
    ----------
    path
        A recipe file, or the folder of a dataset.
    out
        PNG file to write.
    count
        Number of samples.
    """
    if not path.exists():
        raise QumadeError(f"Invalid path: got nothing at {path.absolute()}; must be a recipe file or a dataset")
    if path.is_dir():
        from qumade.data.folder import FolderDataset
        from qumade.viz.sheets import preview_dataset

        sheet = preview_dataset(FolderDataset(path), count)
    else:
        from qumade.synth.synthesizer import Synthesizer
        from qumade.viz.recipe_sheet import preview_recipe

        synthesizer = Synthesizer.from_recipe(path, progress=True)
        report_findings(synthesizer.findings)
        sheet = preview_recipe(synthesizer, count)
    sheet.save(out, "png")
    print(out.absolute())


@app.command
def audit(data_path: Path, /, *, fraction: float = 0.01, json: Json = False) -> int:
    """Looks for missing, torn and strange files, and redraws samples and compares. Exit 1 where anything differs.

    Example: `qumade audit DATA_PATH --fraction 0.05`

    Parameters
    ----------
    data_path
        The folder of a finished dataset.
    fraction
        Share of the samples to draw again.
    json
        One JSON object as the last line on stdout.
    """
    from qumade.generate.audit import audit as run

    result = run(data_path, fraction=fraction)
    how = "compared byte by byte" if result.same_codecs else "compared within 2 levels, the codec being another version"
    lines = [
        *map(str, result.problems),
        f"{result.root}: {result.files:,} files of {result.samples:,} samples looked at, ",
    ]
    lines[-1] += f"{result.redrawn:,} samples drawn again and {how}: {len(result.problems):,} problems"
    if not result.depth_compared:
        lines.append("depth/ was not compared: a network predicted it from the composites, not the recipe alone")
    finish(json, result, "\n".join(lines))
    return int(bool(result.problems))


@app.command
def stats(data_path: Path, /, *, fraction: float = 1.0, workers: int | None = None, json: Json = False) -> None:
    """Mean and standard deviation of images, masks and depth, exact; and a picture of how the placements came out.

    Writes statistics.json and placements.png into the dataset. Works on any folder with images/ and masks/ or depth/.

    Example: `qumade stats DATA_PATH --json`

    Parameters
    ----------
    data_path
        The folder of a dataset.
    fraction
        Share of the samples to take, spread evenly.
    workers
        Processes; all cores by default.
    json
        One JSON object as the last line on stdout.
    """
    from qumade.data.folder import FolderDataset
    from qumade.data.statistics import format_statistics, statistics, write_statistics
    from qumade.viz.placements import has_placements, write_placements

    dataset = FolderDataset(data_path)
    result = statistics(dataset, fraction=fraction, workers=workers)
    written = write_statistics(dataset, result)
    text = f"{format_statistics(result)}\n{written}"
    if has_placements(dataset):
        picture = dataset.root / "placements.png"
        write_placements(dataset, picture)
        text += f"\n{picture}"
    finish(json, result.as_json(), text)
