"""From a folder of photos and a folder of pictures of an object to a project: cut-outs, labels, recipe, and a page.

    PROJECT/cutouts/     cut-outs of pictures without alpha; the others are copied; sub-folders are classes
    PROJECT/recipe.yaml  what `qumade generate`, `preview` and `train` take
    PROJECT/sheet.png    samples of the recipe
    PROJECT/index.html   what was understood, and the next commands

The same call brings all of it up to date. It replaces or removes a cut-out or the recipe only if the file is still as
it was written, by its hash: what a person changed or added stays, and is named.
"""

import html
import json
import shlex
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qumade.assets.fetched import local_folder
from qumade.assets.label_names import label_table
from qumade.errors import AssetError, ConfigError, MissingPackage, RunError
from qumade.io.files import cache_folder, only_one, read_bytes, write_bytes
from qumade.io.listing import counted
from qumade.io.pictures import UnusablePicture, list_pictures, printable
from qumade.io.storage import is_url
from qumade.plan.splits import FEW
from qumade.project.cutouts import begin_cutouts, cut_out, file_hash
from qumade.recipe import Recipe, load_recipe, recipe_to_dict, save_recipe
from qumade.synth.check import AssetReport, check_assets, format_report
from qumade.synth.synthesizer import Synthesizer
from qumade.viz.recipe_sheet import preview_recipe
from qumade.viz.sheets import save_sheet

if TYPE_CHECKING:
    pass

__all__ = ["Project", "start_project"]

_WRITTEN = ".recipe.sha256"  # in PROJECT: the hash of recipe.yaml as it was written
_MOST_DIFFERENCES = 5
_MOST_PER_PAIR = 50


@dataclass(frozen=True)
class Project:
    """What `start_project` made. `notes` say which steps could not be done, what stands in their place, and the command
    that mends it; `next_commands` are what to do now."""

    root: Path
    recipe: Path
    sheet: Path
    page: Path
    report: AssetReport
    notes: tuple[str, ...]
    next_commands: tuple[str, ...]


def start_project(
    photos: Path | str,
    objects: Path | str,
    root: Path,
    *,
    cutout_teacher: str | Path | None = "auto",
    depth_teacher: str | Path | None = "auto",
    label_teacher: str | Path | None = "auto",
    download: bool = False,
    progress: bool = True,
) -> Project:
    """Make a project of a folder of photos and a folder of pictures of the object, or bring it up to date.

    The folders may be URLs. Pictures without alpha are cut out by the `cutout_teacher` if it can be loaded, and else by
    colour if their background is plain. Teachers predict depth and label maps of the photos, if they can be loaded; no
    network is fetched without `download`. Raises QumadeError if no cut-out or no photo can be used, or if the folder
    holds something else.
    """
    photos, objects = (folder if is_url(folder) else Path(folder).absolute() for folder in (photos, objects))
    root = root.absolute()
    local_photos, photo_names = local_folder(photos, progress=progress)
    local_objects, object_names = (
        (local_photos, photo_names) if objects == photos else local_folder(objects, sub_folders=True, progress=progress)
    )
    with photo_names, object_names:
        _refuse_folders(local_photos, local_objects, root)
    with object_names, only_one(root, "making a project"):
        cutouts = root / "cutouts"
        begin_cutouts(root, cutouts)
        notes = cut_out(local_objects, cutouts, cutout_teacher, download=download, progress=progress)
        notes = [object_names.text(note) for note in notes]
        fields, more = _labels(photos, depth_teacher, label_teacher, download)
        made = Recipe(backgrounds=photos, foregrounds=cutouts, **fields)
        synthesizer = Synthesizer.from_recipe(made, progress=progress)
        few = (per_pair := _enough_per_pair(synthesizer)) > made.per_pair
        if few:
            made = made.model_copy(update={"per_pair": per_pair})
        recipe_path, sheet, page = root / "recipe.yaml", root / "sheet.png", root / "index.html"
        notes += [*more, *_keep_recipe(made, recipe_path)]
        recipe = load_recipe(recipe_path)
        if few and recipe.per_pair == per_pair:
            notes.append(f"Few photos and cut-outs: a pair makes {per_pair} samples, so that val and test have {FEW}")
        synthesizer = Synthesizer.from_recipe(recipe, like=synthesizer)
        report = check_assets(recipe, progress=progress)
        save_sheet(preview_recipe(synthesizer), sheet)
        commands = _commands(root, local_photos)
        write_bytes(page, _page(root, report, notes, commands).encode())
    return Project(root, recipe_path, sheet, page, report, tuple(notes), commands)


def _commands(root: Path, photos: Path) -> tuple[str, ...]:
    recipe, dataset, run, report, predictions = (
        shlex.quote(str(root / name)) for name in ("recipe.yaml", "dataset", "run", "report", "predictions")
    )
    return (
        f"qumade generate --recipe {recipe} --out {dataset} --limit 2000",
        f"qumade train {dataset} --out {run} --minutes 10",
        f"qumade evaluate {run} {dataset} --split test --out {report}",
        f"qumade predict {run} {shlex.quote(str(photos))} --out {predictions}",
    )


def _keep_recipe(made: Recipe, path: Path) -> list[str]:
    """Write a recipe, or beside one that a person has edited, and return what they should know then."""
    beside, record = path.with_name("recipe.new.yaml"), path.with_name(_WRITTEN)
    save_recipe(made, beside)
    wanted, there = file_hash(beside), file_hash(path)
    if there is None or there == wanted or (record.is_file() and there == read_bytes(record, 100).decode("latin-1")):
        beside.replace(path)
        write_bytes(record, str(wanted).encode())
        return []
    theirs, ours = recipe_to_dict(load_recipe(path), None), recipe_to_dict(made, None)
    differ = [
        f"{name} is {_short(theirs[name])} there and {_short(ours[name])} here"
        for name in ours
        if theirs[name] != ours[name]
    ]
    if not differ:
        beside.unlink()
        return []
    more = f"; and {len(differ) - _MOST_DIFFERENCES} more" if len(differ) > _MOST_DIFFERENCES else ""
    return [
        f"{path} was edited, so it stays, and is what the samples show. What this command would write now is in "
        f"{beside}: {'; '.join(differ[:_MOST_DIFFERENCES])}{more}. To see all differences: "
        f"diff {shlex.quote(str(path))} {shlex.quote(str(beside))}"
    ]


def _short(value: Any) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _enough_per_pair(synthesizer: Synthesizer) -> int:
    """Return how many samples each pair must make for val and test of FEW samples each, at most _MOST_PER_PAIR."""
    catalog = synthesizer.catalog
    sides = [Counter(asset.split for asset in assets) for assets in (catalog.backgrounds, catalog.foregrounds)]
    pairs = [count for name in ("val", "test") if (count := sides[0][name] * sides[1][name])]
    return min(-(-FEW // min(pairs)), _MOST_PER_PAIR) if pairs else 0


def _refuse_folders(photos: Path, objects: Path, root: Path) -> None:
    if photos.resolve() == objects.resolve():
        raise AssetError(f"Invalid OBJECTS: got {printable(objects)}, the folder of the photos; must be another one")
    project = root.resolve()
    for name, folder in (("PHOTOS", photos.resolve()), ("OBJECTS", objects.resolve())):
        if not folder.is_dir():
            list_pictures(folder)  # says what is there instead, before a project is begun
        if folder.is_relative_to(project) or project.is_relative_to(folder):
            raise AssetError(
                f"Invalid --out: got {printable(root)} with {name} in {printable(folder)}; neither may lie in the other"
            )


def _labels(
    photos: Path | str, depth: str | Path | None, labels: str | Path | None, download: bool
) -> tuple[dict[str, Any], list[str]]:
    """Return the fields of a recipe that hold what the teachers predicted, and what they could not."""
    fields: dict[str, Any] = {}
    notes = []
    for flag, given, prior in (
        ("depth", depth, "depth is the flat-ground prior: a plane below one horizon, correct up to a factor at best"),
        ("label", labels, "objects are placed at random, and objects that the photos already show are not known"),
    ):
        if given is None:
            notes.append(f"No {flag} maps: {prior}. --{flag}-teacher auto --download makes them")
            continue
        try:
            from qumade.teachers.label_backgrounds import label_backgrounds

            wish: dict[str, Any] = {"depth" if flag == "depth" else "labels": given}
            fields |= label_backgrounds(photos, **wish, cache=cache_folder(), download=download)
        except (AssetError, ConfigError, MissingPackage, RunError, UnusablePicture) as error:
            notes.append(f"No {flag} maps: {prior}. {error}")
    if "labels" in fields and "road" in label_table(fields["label_names"]):
        fields["placement"] = "perspective"
        fields["no_ground"] = "random"
    return fields, notes


def _page(root: Path, report: AssetReport, notes: Sequence[str], commands: Sequence[str]) -> str:
    items = "".join(f"<li>{html.escape(note)}</li>" for note in notes)
    lines = html.escape("\n".join(commands))
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src 'self'; style-src 'unsafe-inline'">
<title>{html.escape(root.name)}</title><style>
body {{ margin: 0 auto; max-width: 1160px; padding: 16px; font: 16px/1.5 system-ui, sans-serif; color: #202024; }}
img {{ max-width: 100%; height: auto; }}
pre {{ overflow-x: auto; background: #f1f1ee; padding: 12px; font-size: 13px; }}
</style></head><body>
<h1>{html.escape(root.name)}</h1>
<p>{counted(report.backgrounds.usable, "photo", "photos")} and
{counted(report.foregrounds.usable, "cut-out", "cut-outs")}: up to {counted(report.samples, "sample", "samples")}.</p>
<h2>What was assumed</h2><ul>{items or "<li>Nothing.</li>"}</ul>
<h2>What to do next</h2><pre>{lines}</pre>
<h2>Samples</h2><p><img src="sheet.png" alt="Samples of the recipe: image, mask and depth"></p>
<h2>The folders</h2><pre>{html.escape(format_report(report))}</pre>
</body></html>
"""
