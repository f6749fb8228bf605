"""From a folder of photos and a folder of pictures of an object to a project: cut-outs, labels, recipe, and a page.

    PROJECT/cutouts/     cut-outs of pictures without alpha; the others are copied; sub-folders are classes
    PROJECT/recipe.yaml  what `qumade generate`, `preview` and `train` take
    PROJECT/sheet.png    samples of the recipe
    PROJECT/index.html   what was understood, and the next commands

The same call brings all of it up to date. It replaces or removes a cut-out or the recipe only if the file is still as
it was written, by its hash: what a person changed or added stays, and is named.
"""

import hashlib
import html
import json
import shlex
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from qumade.assets.classes import class_folders, cutout_names
from qumade.assets.fetched import local_folder
from qumade.assets.label_names import label_table
from qumade.convert.plain_background import NotPlain, plain_background_alpha
from qumade.errors import AssetError, ConfigError, DatasetError, MissingPackage, RunError
from qumade.io.decode import read_rgba
from qumade.io.encode import png_bytes
from qumade.io.files import cache_folder, only_one, read_bytes, remove_temporary_files, write_bytes
from qumade.io.listing import named
from qumade.io.pictures import UnusablePicture, content_hash, list_pictures, printable
from qumade.io.progress import progress_bar
from qumade.io.storage import is_url
from qumade.plan.splits import FEW
from qumade.recipe import Recipe, load_recipe, recipe_to_dict, save_recipe
from qumade.synth.check import AssetReport, check_assets, format_report
from qumade.synth.synthesizer import Synthesizer
from qumade.viz.recipe_sheet import preview_recipe
from qumade.viz.sheets import save_sheet

if TYPE_CHECKING:
    from qumade.teachers.cutout import CutoutTeacher

__all__ = ["Project", "start_project"]

_SOURCES = ".sources.json"  # in cutouts/: of each cut-out the hash of its picture, how it was made, and its own hash
_WRITTEN = ".recipe.sha256"  # in PROJECT: the hash of recipe.yaml as it was written
_ALPHA, _PLAIN = "alpha", "plain background"
_MOST_BYTES = 1 << 26
_MOST_PICTURE_BYTES = 1 << 29
_MOST_DIFFERENCES = 5
_MOST_PER_PAIR = 50
_OBJECT = 0.005, 0.95  # share of a picture that the object covers; a network that says other is not believed


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
        _refuse_strangers(root)
        cutouts, notes = _cut_out(local_objects, root / "cutouts", _Cutter(cutout_teacher, download), progress)
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
    wanted, there = _hash(beside), _hash(path)
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


def _hash(path: Path) -> str | None:
    """Return the SHA-256 of a file as hexadecimal digits; None where there is none."""
    return hashlib.sha256(read_bytes(path, _MOST_PICTURE_BYTES)).hexdigest() if path.is_file() else None


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
        if folder.is_relative_to(project) or project.is_relative_to(folder):
            raise AssetError(
                f"Invalid --out: got {printable(root)} with {name} in {printable(folder)}; neither may lie in the other"
            )


def _refuse_strangers(root: Path) -> None:
    """Begin a project in an empty folder. Raises DatasetError for a folder that holds something else."""
    sources = root / "cutouts" / _SOURCES
    if not sources.is_file():
        if any(root.iterdir()):
            raise DatasetError(
                f"Invalid --out: got {printable(root)}, which holds something else; must be a new or empty folder, or "
                "a project that `qumade start` has begun"
            )
        sources.parent.mkdir()
        write_bytes(sources, b"{}\n")


class _Cutter:
    """Cuts objects out of pictures: by a network, which is loaded when the first picture needs it, or else by colour.
    `missing` says why there is no network, "" as long as none was missed."""

    def __init__(self, model: str | Path | None, download: bool) -> None:
        self.missing = ""
        self._model, self._download, self._loaded = model, download, False
        self._teacher: CutoutTeacher | None = None

    @property
    def teacher(self) -> "CutoutTeacher | None":
        if not self._loaded and self._model is not None:
            from qumade.teachers.cutout import cutout_teacher

            try:
                self._teacher = cutout_teacher(self._model, download=self._download)
            except (ConfigError, MissingPackage, RunError) as error:
                self.missing = str(error)
        self._loaded = True
        return self._teacher

    def alpha(self, rgb: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], str]:
        """Return the alpha of the object in a picture, and how it was found. Raises NotPlain where it was not."""
        if self.teacher is not None:
            alpha = self.teacher.predict(rgb)
            if _OBJECT[0] <= (alpha >= 128).mean() <= _OBJECT[1]:
                return alpha, self.teacher.name
        return plain_background_alpha(rgb), _PLAIN


class _Source(NamedTuple):
    """What is recorded of a cut-out: the hash of its picture, how it was made, and its own hash as it was written."""

    picture: str
    how: str
    cutout: str


def _cut_out(objects: Path, folder: Path, cutter: _Cutter, progress: bool) -> tuple[Path, list[str]]:
    """Write a cut-out of each picture into a folder. Return the folder, and what a person should know."""
    known = _read_sources(folder)
    pictures = _pictures(objects)
    for part in {Path(name).parent for name in pictures}:
        (folder / part).mkdir(exist_ok=True)
        remove_temporary_files(folder / part)
    sources: dict[str, _Source] = {}
    failed = []
    try:
        for name, path in progress_bar(
            pictures.items(), "cut-outs", len(pictures), unit="picture", disable=not progress, leave=False
        ):
            out = folder / name
            try:
                source = _keep_or_cut(path, out, known.get(name), cutter)
                if source is not None:
                    sources[name] = source
            except (UnusablePicture, NotPlain) as error:
                if _is_as_written(out, known.get(name)):
                    out.unlink()
                if not out.exists():
                    failed.append(f"{path.relative_to(objects)}: {getattr(error, 'detail', error)}")
        for name in known.keys() - sources.keys():
            if _is_as_written(folder / name, known[name]):
                (folder / name).unlink()  # its picture is gone
        known = {}
    finally:  # also what an interruption leaves is known to be from here
        write_bytes(folder / _SOURCES, (json.dumps(known | sources, indent=2) + "\n").encode())
    by_hand = [name for name in cutout_names(folder) if not _is_as_written(folder / name, sources.get(name))]
    notes = []
    made = Counter(source.how for source in sources.values() if source.how != _ALPHA)
    for how, count in made.items():
        by = f"by the network {how}"
        if how == _PLAIN:
            by = "by its colour, from a plain background, without a network"
        notes.append(
            f"{count:,} of {len(pictures):,} pictures had no alpha: the object of each was cut out {by}. Look at "
            f"{folder}: cut-outs that you improve there are kept"
        )
    if cutter.missing:
        notes.append(f"No network cuts out objects. {cutter.missing}")
    if by_hand:
        notes.append(
            f"Cut-outs that were changed or added by hand in {folder} stay as they are: {named(by_hand)}. One that you "
            "remove is made again from its picture"
        )
    if failed:
        shown = "; ".join(failed[:3]) + (f"; and {len(failed) - 3:,} more" if len(failed) > 3 else "")
        notes.append(
            f"{len(failed):,} of {len(pictures):,} pictures were not cut out ({shown}). Save them as PNG with a "
            f"transparent background into {objects}, and run the same command again"
        )
    if not sources and not by_hand:
        raise AssetError(f"Invalid OBJECTS: got no cut-out from {printable(objects)}. {notes[-1] if notes else ''}")
    return folder, notes


def _pictures(objects: Path) -> dict[str, Path]:
    """Return the pictures of a folder by the name of their cut-out, with the sub-folder of its class if there are some.

    Raises AssetError for two pictures of the same stem.
    """
    found: dict[str, Path] = {}
    for part in class_folders(objects) or ("",):
        for path in list_pictures(objects / part):
            name = f"{part}/{path.stem}.png" if part else f"{path.stem}.png"
            if name in found:
                where = printable(path.parent)
                raise AssetError(f"Invalid OBJECTS: got two pictures of the stem {path.stem} in {where}")
            found[name] = path
    return found


def _keep_or_cut(path: Path, out: Path, before: _Source | None, cutter: _Cutter) -> _Source | None:
    """Write the cut-out of a picture unless it is there, or a person has put another there. Return what is recorded of
    it; None for one that a person made. Raises UnusablePicture or NotPlain where it cannot be cut out."""
    picture = content_hash(path)
    ours = _is_as_written(out, before)
    if before is not None and before.picture == picture and out.is_file():
        improvable = ours and before.how == _PLAIN  # a network may do better than colour, but not than a person
        if not improvable or cutter.teacher is None:
            return before
    (rgb, alpha), how = read_rgba(path), _ALPHA
    if alpha is None or alpha.min() == 255:
        alpha, how = cutter.alpha(rgb)
    data = png_bytes(Image.fromarray(np.dstack([rgb, alpha])))
    made = _Source(picture, how, hashlib.sha256(data).hexdigest())
    if out.exists() and not ours:  # a person's, or written by a process that was killed before it was recorded
        return made if _hash(out) == made.cutout else None
    write_bytes(out, data)
    return made


def _is_as_written(out: Path, source: _Source | None) -> bool:
    return source is not None and _hash(out) == source.cutout


def _read_sources(folder: Path) -> dict[str, _Source]:
    """Return what is recorded of each cut-out; of a damaged file nothing, so that every cut-out is a person's."""
    try:
        content = json.loads(read_bytes(folder / _SOURCES, _MOST_BYTES))
        return {name: _Source(*map(str, values)) for name, values in content.items() if _is_below(name)}
    except (ValueError, TypeError, AttributeError):
        return {}


def _is_below(name: str) -> bool:
    """Return whether this can be the name of a cut-out: the file may come from a stranger."""
    parts = name.split("/")
    return len(parts) <= 2 and name.endswith(".png") and not any(part in ("", ".", "..") for part in parts)


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
<p>{report.backgrounds.usable:,} photos and {report.foregrounds.usable:,} cut-outs:
up to {report.samples:,} samples.</p>
<h2>What was assumed</h2><ul>{items or "<li>Nothing.</li>"}</ul>
<h2>What to do next</h2><pre>{lines}</pre>
<h2>Samples</h2><p><img src="sheet.png" alt="Samples of the recipe: image, mask and depth"></p>
<h2>The folders</h2><pre>{html.escape(format_report(report))}</pre>
</body></html>
"""
