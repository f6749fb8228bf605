"""The verbs for datasets: generate, preview, audit, stats."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import CycloptsError, Parameter

from qumade.cli.common import (
    Json,
    finish,
    model,
    recipe_fields,
    refuse_all_but_png,
    report_findings,
    require_workers,
    say,
    show,
)
from qumade.cli.model_flags import flag_of, flag_values, flags_of
from qumade.cli.teachers import ComposingTeacherFlags, labels_of_teachers
from qumade.errors import ConfigError, QumadeError
from qumade.io.listing import counted
from qumade.recipe import Recipe

__all__ = ["audit", "generate", "preview", "stats"]

if TYPE_CHECKING:
    from qumade.data.folder import FolderDataset
    from qumade.synth.synthesizer import Synthesizer

    RecipeFlags = Any
else:
    RecipeFlags = flags_of(Recipe, "Recipe fields", without={"depth_teacher"})
_SMALL = 2000  # samples, which are soon written
_MEASURED = 256  # samples that --estimate draws
_NO_TEACHERS, _NO_FIELDS = ComposingTeacherFlags(), RecipeFlags()


def generate(
    *,
    out: str | None = None,
    recipe: Path | None = None,
    limit: int | None = None,
    format_: Annotated[Literal["folders", "shards"] | None, Parameter(name="--format")] = None,
    shard_samples: int | None = None,
    workers: int | None = None,
    executor: Literal["processes", "ray"] = "processes",
    address: str | None = None,
    estimate: Annotated[bool, Parameter(negative="")] = False,
    strict: Annotated[bool, Parameter(negative="")] = False,
    json: Json = False,
    teachers: ComposingTeacherFlags = _NO_TEACHERS,
    fields: RecipeFlags = _NO_FIELDS,
) -> None:
    """Composes a dataset of images, masks and depth. After an interruption, the same command resumes.

    Example: `qumade generate --backgrounds samples/backgrounds --foregrounds samples/foregrounds --out DATA_PATH`

    Parameters
    ----------
    out
        DATA_PATH, the folder of the dataset, or a URL such as s3://bucket/name: new, empty, or started with the same
        recipe. Required, except with --estimate.
    recipe
        YAML file with any of the recipe fields below; `qumade samples` writes one. Flags override it.
    limit
        Draw only that many samples: train, val and test in proportion to `split`, distributed over all assets.
    format_
        folders: one file for each image, mask and depth map; shards: tar files of many samples, for large datasets and
        for object stores (default: folders, shards for a URL).
    shard_samples
        Samples in a shard (default: about 256 MiB, fewer in a small dataset).
    workers
        Processes; all cores by default.
    executor
        ray: draws shards with Ray, on the machines of a cluster.
    address
        For ray: address of a running cluster, as auto or HOST:6379 (default: an embedded one on this machine).
    estimate
        Only draw some samples, and say how many samples, shards, bytes and core-hours the dataset will take.
    strict
        Stop at the first asset that cannot be used instead of leaving it out.
    json
        Print one JSON object as the last line on stdout.
    """
    from qumade.depth.words import prior_note
    from qumade.generation.engine import generate as run
    from qumade.generation.ray_executor import ray_tasks
    from qumade.generation.shard_engine import generate_shards, refuse_composite
    from qumade.io.pictures import one_line
    from qumade.io.storage import absolute, is_url, open_storage
    from qumade.plan.splits import few_samples
    from qumade.recipe import recipe_from_dict
    from qumade.synth.synthesizer import Synthesizer

    require_workers(workers)
    flags = flag_values(fields, Recipe)
    if out is None and not estimate:
        raise CycloptsError(msg="qumade generate needs a value for --out")  # an example follows
    out = out or ""
    sharded = format_ == "shards" or (format_ is None and is_url(out))
    if is_url(out) and not sharded:
        raise ConfigError(f"Invalid --format: got folders for {out}; must be shards in an object store")
    if shard_samples is not None and not sharded:
        raise ConfigError(f"Invalid --shard-samples: got {shard_samples}; must be left out without --format shards")
    if executor == "ray" and (not sharded or out.startswith("memory://")):
        raise ConfigError(
            "Invalid --executor: got ray; must be processes unless shards are written to disk or to a URL"
        )
    if address is not None and (executor != "ray" or workers is not None):
        raise ConfigError(f"Invalid --address: got {address}; must come with --executor ray, and without --workers")
    if out:
        open_storage(out)  # an unknown scheme is named before assets are read
    given = recipe_fields("generate", recipe, flags)
    if given.get("depth") == "composite" and teachers.depth_teacher is not None:
        given = given | {"depth_teacher": model(teachers.depth_teacher)}
    run_on = partial(ray_tasks, address=address, workers=workers) if executor == "ray" else None
    run_teachers = None if run_on is None else partial(run_on, gpu=True)
    given = given | labels_of_teachers("generate", given, flags, teachers, run_teachers)
    full_recipe = recipe_from_dict(given, "the command line", Path.cwd(), name_field=flag_of)
    if sharded and not estimate:
        refuse_composite(full_recipe, absolute(out))
    predictor = None
    if full_recipe.depth == "composite":
        from qumade.teachers.predict_depth import teacher_depth

        predictor = teacher_depth(full_recipe, download=teachers.download)
    synthesizer = Synthesizer.from_recipe(full_recipe, strict=strict, progress=True)
    report_findings(synthesizer)
    if estimate:
        _say_what_it_takes(synthesizer, limit, shard_samples, workers, sharded, json)
        return
    where = one_line(absolute(out))
    _say_what_is_coming(synthesizer, out, limit, workers, sharded=sharded)
    if sharded:
        summary = generate_shards(
            synthesizer, out, limit=limit, samples_per_shard=shard_samples, workers=workers, executor=run_on
        )
    else:
        summary = run(synthesizer, out, limit=limit, workers=workers, depth_predictor=predictor)
    if summary is None:
        finish(json, {"root": where, "drawn": 0}, f"{where} is already complete; nothing was drawn")
        return
    kind = synthesizer.catalog.depth_kind if predictor is None else predictor.encoding.kind
    source = f"the prior {full_recipe.prior!r}" if full_recipe.depths is None else "depth maps"
    source = source if predictor is None else f"the composites by {full_recipe.depth_teacher}"
    note = prior_note(synthesizer.depth_encoding if predictor is None else predictor.encoding)
    if 2 * summary.fallbacks > summary.samples:
        say(
            f"warning: {counted(summary.fallbacks, 'object', 'objects')} found no place by the recipe's rules and used "
            "the fallback; look at depth and label maps with `qumade check`, or widen scale"
        )
    text = f"{counted(summary.samples, 'sample', 'samples')} in {where}, {summary.drawn:,} of them new\n"
    clipped = counted(summary.depth_clipped_px, "pixel", "pixels")
    text += f"Depth: kind {kind}, from {source}; {clipped} nearer than the range\n"
    text += f"Splits: {', '.join(f'{n:,} {name}' for name, n in summary.splits.items())}\n"
    text += f"Rejected draws: {', '.join(f'{n:,} {reason}' for reason, n in summary.rejected.items())}; "
    text += f"{counted(summary.fallbacks, 'object', 'objects')} used the fallback, "
    text += f"{counted(summary.left_out, 'extra object', 'extra objects')} could not be placed"
    finish(json, summary, "\n".join(filter(None, [text, note, few_samples(summary.splits)])))


def _say_what_is_coming(
    synthesizer: "Synthesizer", out: str, limit: int | None, workers: int | None, *, sharded: bool
) -> None:
    """Say what a new dataset will take, unless it is small."""
    import os

    from qumade.generation.estimate import estimate
    from qumade.io.pictures import one_line
    from qumade.io.storage import absolute, is_url

    count = min(len(synthesizer), limit or len(synthesizer))
    if count < _SMALL or (not is_url(out) and Path(out).exists()):
        return
    processes = workers or os.cpu_count() or 1
    found = estimate(synthesizer, count, processes)
    later = "" if sharded else ", and a larger limit later adds to them"
    hint = "" if limit is not None else f" (--limit N writes fewer{later})"
    say(f"Writing {found} with {counted(processes, 'process', 'processes')}, into {one_line(absolute(out))}{hint}")


def _say_what_it_takes(
    synthesizer: "Synthesizer",
    limit: int | None,
    shard_samples: int | None,
    workers: int | None,
    sharded: bool,
    json: bool,
) -> None:
    """Say what a dataset will take, in detail."""
    import os

    from qumade.generation.estimate import estimate
    from qumade.generation.shards import default_samples, quadrants_of
    from qumade.plan.shards import ShardPlan

    quadrants = quadrants_of(synthesizer, limit)
    count, processes = sum(quadrants.counts().values()), workers or os.cpu_count() or 1
    found = estimate(synthesizer, count, processes, drawn=_MEASURED, in_shards=sharded)
    hours = found.seconds * processes / 3600
    text = f"{found} with {counted(processes, 'process', 'processes')}: {hours:,.2g} core-hours on this machine\n"
    result = {"samples": count, "bytes": found.bytes, "core_hours": hours, "workers": processes}
    if sharded:
        samples = shard_samples or default_samples(synthesizer, count)
        shards = len(ShardPlan(quadrants, samples, synthesizer.recipe.seed))
        size = found.bytes / count * min(samples, count) / 1e6
        text += f"In {counted(shards, 'shard', 'shards')} of at most {counted(samples, 'sample', 'samples')}, "
        text += f"{size:,.0f} MB\n"
        result |= {"shards": shards, "shard_samples": samples}
    text += f"Measured on {counted(min(_MEASURED, len(synthesizer)), 'sample', 'samples')}"
    finish(json, result, text)


def preview(
    path: str,
    /,
    *,
    out: Path = Path("preview.png"),
    count: int = 24,
    boxes: Annotated[bool, Parameter(negative="")] = False,
    side: int = 192,
    plain: Annotated[bool, Parameter(negative="")] = False,
    zoom: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Draws a contact sheet of images, masks and depth, from a recipe before generating it or from a dataset.

    Example: `qumade preview samples/recipe.yaml --out sheet.png`

    Parameters
    ----------
    path
        A recipe file, or the folder or the URL of a dataset.
    out
        PNG file to write.
    count
        Number of samples.
    boxes
        Draw the box of what is visible of each object; a dataset needs instances/ for it.
    side
        Longer side of each picture, in pixels.
    plain
        Leave out the outlines of the objects.
    zoom
        Also show two details of each picture, enlarged four times: the seam at the object's top and at its foot.
    """
    from qumade.io.pictures import printable
    from qumade.io.storage import is_url
    from qumade.viz.sheets import SheetStyle, save_sheet

    style = SheetStyle(side=side, outline=not plain, zoom=zoom)
    refuse_all_but_png("--out", out)
    if not is_url(path) and not Path(path).exists():
        raise ConfigError(f"Invalid path: got nothing at {Path(path).absolute()}; must be a recipe file or a dataset")
    if is_url(path) or Path(path).is_dir():
        from qumade.data.opening import open_files
        from qumade.viz.sheets import preview_dataset

        sheet = preview_dataset(open_files(path), count, boxes=boxes, style=style)
    else:
        from qumade.synth.synthesizer import Synthesizer
        from qumade.viz.recipe_sheet import preview_recipe

        synthesizer = Synthesizer.from_recipe(Path(path), progress=True)
        report_findings(synthesizer)
        sheet = preview_recipe(synthesizer, count, boxes=boxes, style=style)
    save_sheet(sheet, out)
    show(printable(out))


def audit(data_path: str, /, *, fraction: float = 0.01, json: Json = False) -> int:
    """Finds missing, truncated and unexpected files; redraws and compares samples. Exits with 1 on any problem.

    Example: `qumade audit DATA_PATH --fraction 0.05`

    Parameters
    ----------
    data_path
        The folder or the URL of a finished dataset that `qumade generate` wrote. Of shards, every byte is read.
    fraction
        Share of the samples to redraw.
    json
        Print one JSON object as the last line on stdout.
    """
    from qumade.generation.audit import audit as run
    from qumade.io.pictures import one_line

    result = run(data_path, fraction=fraction)
    how = "compared byte by byte" if result.same_codecs else "compared within 2 levels, with codecs of another version"
    lines = [
        *map(str, result.problems),
        f"{one_line(str(result.root))}: {counted(result.files, 'file', 'files')} of "
        f"{counted(result.samples, 'sample', 'samples')} checked, "
        f"{counted(result.redrawn, 'sample', 'samples')} redrawn and {how}: "
        f"{counted(len(result.problems), 'problem', 'problems')}",
    ]
    if not result.depth_compared:
        lines.append("depth/ was not compared: a network predicted it from the composites")
    finish(json, result, "\n".join(lines))
    return int(bool(result.problems))


def stats(
    data_path: str,
    /,
    *,
    fraction: float = 1.0,
    workers: int | None = None,
    layout: Path | None = None,
    like: Path | None = None,
    json: Json = False,
) -> None:
    """Measures mean and standard deviation of images, masks and depth exactly, and plots the placements.

    Writes statistics.json and placements.png into the dataset, for a URL into its cache folder. Works on any folder
    with images/ and masks/ or depth/.

    Example: `qumade stats DATA_PATH --json`

    Parameters
    ----------
    data_path
        The folder or the URL of a dataset.
    fraction
        Share of the samples to read, a stratified selection.
    workers
        Processes; all cores by default.
    layout
        Layout file of real pictures: measures how far the dataset's layout is from it, and writes layout.png.
    like
        Folder of another dataset to compare the layout with, instead of --layout. It cannot be one of shards.
    json
        Print one JSON object as the last line on stdout.
    """
    from qumade.data.opening import open_files
    from qumade.data.statistics import format_statistics, statistics, write_statistics
    from qumade.extras import needs
    from qumade.io.pictures import printable

    require_workers(workers)
    dataset = open_files(data_path)
    result = statistics(dataset, fraction=fraction, workers=workers)
    text = format_statistics(result)
    try:
        text += f"\n{printable(write_statistics(dataset, result))}"
        with needs("train", "the plot of the placements"):
            from qumade.viz.placements import has_placements, write_placements
        if has_placements(dataset):
            figure = dataset.root / "placements.png"
            write_placements(dataset, figure)
            text += f"\n{printable(figure)}"
    except QumadeError as error:  # a dataset that may only be read, no plotting library: the figures are told anyway
        say(f"warning: {error}")
    values = result.as_json()
    if layout is not None or like is not None:
        distances, compared = _compare_layouts(dataset, layout, like)
        values, text = values | {"layout": distances}, f"{text}\n{compared}"
    finish(json, values, text)


def _compare_layouts(dataset: "FolderDataset", layout: Path | None, like: Path | None) -> tuple[dict[str, Any], str]:
    """Return the distances of a dataset's layout from its target's, for JSON and as text."""
    from qumade.assets.scene_layout import load_layout
    from qumade.data.folder import FolderDataset
    from qumade.data.layout_distance import format_distances, layout_distances
    from qumade.data.learn_layout import learn_layout
    from qumade.viz.layout_plot import write_layouts

    if layout is not None and like is not None:
        raise ConfigError(f"Invalid --like: got {like.absolute()} beside --layout; must be one of the two")
    target = learn_layout(FolderDataset(like), progress=True) if like is not None else load_layout(layout or Path())
    # Told apart in the same way, if the dataset can: parts of a mask are not the same as boxes.
    told_apart: Any = "components" if target.told_apart == "components" else None
    own = learn_layout(dataset, told_apart=told_apart, least_share=target.least_share, progress=True)
    distances = layout_distances(own, target)
    figure = dataset.root / "layout.png"
    write_layouts(own, target, figure)
    values = distances.as_json() | {"told_apart": [own.told_apart, target.told_apart], "plot": str(figure)}
    how = f"Distance of the layout ({own.told_apart}) from the target's ({target.told_apart})"
    return values, f"{how}\n{format_distances(distances)}\n{figure}"
