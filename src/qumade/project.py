"""From a folder of photos and a folder of pictures of an object to a project: cut-outs, labels, recipe, and a page.

    PROJECT/cutouts/     cut-outs of pictures without alpha; the others are copied
    PROJECT/recipe.yaml  what `qumade generate`, `preview` and `train` take
    PROJECT/sheet.png    samples of the recipe
    PROJECT/index.html   what was understood, and the next commands

Everything is written again by the same call, but for cut-outs: those that are there, perhaps improved by hand, are kept
as long as the picture that they were made of does not change.
"""

import html
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from qumade.assets.fetched import local_folder
from qumade.assets.label_names import label_table
from qumade.assets.local_recipe import shown_asset
from qumade.convert.plain_background import NotPlain, plain_background_alpha
from qumade.errors import AssetError, ConfigError, DatasetError, MissingPackage, RunError
from qumade.io.decode import read_rgba
from qumade.io.encode import png_bytes
from qumade.io.files import cache_folder, read_bytes, remove_temporary_files, write_bytes
from qumade.io.pictures import UnusablePicture, content_hash, list_pictures, printable
from qumade.io.progress import progress_bar
from qumade.io.storage import is_url
from qumade.plan.splits import FEW
from qumade.recipe import Recipe, save_recipe
from qumade.synth.check import AssetReport, check_assets, format_report
from qumade.synth.synthesizer import Synthesizer
from qumade.viz.recipe_sheet import preview_recipe
from qumade.viz.sheets import save_sheet

if TYPE_CHECKING:
    from qumade.teachers.cutout import CutoutTeacher

__all__ = ["Project", "start_project"]

_SOURCES = ".sources.json"  # in cutouts/: the hash of the picture that each cut-out was made of, and how
_ALPHA, _PLAIN = "alpha", "plain background"
_MOST_BYTES = 1 << 26
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
    """Make a project of a folder of photos and a folder of pictures of the object, or bring it up to date. The folders
    may be URLs.

    Pictures without alpha are cut out by the `cutout_teacher` if it can be loaded, and else by colour if their
    background is plain. Teachers predict depth and label maps of the
    photos, if they can be loaded; nothing is fetched without `download`. Raises QumadeError if no cut-out or no photo
    can be used, or if the folder holds something else.
    """
    photos, objects = (folder if is_url(folder) else Path(folder).absolute() for folder in (photos, objects))
    root = root.absolute()
    local_photos, _ = local_folder(photos, progress=progress)
    local_objects, shown = local_folder(objects, progress=progress)
    if local_photos.resolve() == local_objects.resolve():
        raise AssetError(f"Invalid OBJECTS: got {shown_asset(objects)}, the folder of the photos; must be another one")
    _refuse_strangers(root)
    with shown:
        cutouts, notes = _cut_out(local_objects, root / "cutouts", _Cutter(cutout_teacher, download), progress)
    notes = [shown.text(note) for note in notes]
    fields, more = _labels(photos, depth_teacher, label_teacher, download)
    recipe = Recipe(backgrounds=photos, foregrounds=cutouts, **fields)
    synthesizer = Synthesizer.from_recipe(recipe, progress=progress)
    if (per_pair := _enough_per_pair(synthesizer)) > recipe.per_pair:
        recipe = recipe.model_copy(update={"per_pair": per_pair})
        synthesizer = Synthesizer.from_recipe(recipe, like=synthesizer)
        more.append(f"Few photos and cut-outs: each pair makes {per_pair} samples, so that val and test have {FEW}")
    report = check_assets(recipe, progress=progress)
    notes += more
    recipe_path, sheet, page = root / "recipe.yaml", root / "sheet.png", root / "index.html"
    save_recipe(recipe, recipe_path)
    save_sheet(preview_recipe(synthesizer), sheet)
    commands = (
        f"qumade generate --recipe {recipe_path} --out {root / 'dataset'} --limit 2000",
        f"qumade train {root / 'dataset'} --out {root / 'run'} --minutes 10",
        f"qumade evaluate {root / 'run'} {root / 'dataset'} --split test --out {root / 'report'}",
        f"qumade predict {root / 'run'} {local_photos} --out {root / 'predictions'}",
    )
    write_bytes(page, _page(root, report, notes, commands).encode())
    return Project(root, recipe_path, sheet, page, report, tuple(notes), commands)


def _enough_per_pair(synthesizer: Synthesizer) -> int:
    """Return how many samples each pair must make for val and test of FEW samples each, at most _MOST_PER_PAIR."""
    catalog = synthesizer.catalog
    sides = [Counter(asset.split for asset in assets) for assets in (catalog.backgrounds, catalog.foregrounds)]
    pairs = [count for name in ("val", "test") if (count := sides[0][name] * sides[1][name])]
    return min(-(-FEW // min(pairs)), _MOST_PER_PAIR) if pairs else 0


def _refuse_strangers(root: Path) -> None:
    if root.exists() and not (root / "cutouts").is_dir() and (not root.is_dir() or any(root.iterdir())):
        raise DatasetError(
            f"Invalid --out: got {printable(root)}, which holds something else; must be a new or empty folder, or a "
            "project that `qumade start` has begun"
        )
    (root / "cutouts").mkdir(parents=True, exist_ok=True)
    for folder in (root, root / "cutouts"):
        remove_temporary_files(folder)


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


def _cut_out(objects: Path, folder: Path, cutter: _Cutter, progress: bool) -> tuple[Path, list[str]]:
    """Write a cut-out of each picture into a folder. Return the folder, and what a person should know."""
    known = _read_sources(folder)
    sources: dict[str, list[str]] = {}
    failed = []
    pictures = list_pictures(objects)
    for path in progress_bar(pictures, "cut-outs", unit="picture", disable=not progress, leave=False):
        out = folder / f"{path.stem}.png"
        if out.name in sources:
            raise AssetError(f"Invalid OBJECTS: got two pictures of the stem {path.stem} in {printable(objects)}")
        try:
            sha256 = content_hash(path)
            before = known.get(out.name, ["", ""])
            # What colour cut out, and nobody has improved, a network may cut out better.
            improvable = before[1] == _PLAIN and before[2:] == [content_hash(out)] if out.is_file() else False
            if before[0] == sha256 and out.is_file() and not (improvable and cutter.teacher is not None):
                sources[out.name] = before
                continue
            (rgb, alpha), how = read_rgba(path), _ALPHA
            if alpha is None or alpha.min() == 255:
                alpha, how = cutter.alpha(rgb)
            write_bytes(out, png_bytes(Image.fromarray(np.dstack([rgb, alpha]))))
            sources[out.name] = [sha256, how, content_hash(out)]
        except (UnusablePicture, NotPlain) as error:
            failed.append(f"{path.name}: {error.detail if isinstance(error, UnusablePicture) else error}")
            out.unlink(missing_ok=True)
    for name in known.keys() - sources.keys():
        (folder / name).unlink(missing_ok=True)  # its picture is gone
    write_bytes(folder / _SOURCES, (json.dumps(sources, indent=2) + "\n").encode())
    notes = []
    made = Counter(how for _, how, *_ in sources.values() if how != _ALPHA)
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
    if failed:
        shown = "; ".join(failed[:3]) + (f"; and {len(failed) - 3:,} more" if len(failed) > 3 else "")
        notes.append(
            f"{len(failed):,} of {len(pictures):,} pictures were not cut out ({shown}). Save them as PNG with a "
            f"transparent background into {objects}, and run the same command again"
        )
    if not sources:
        raise AssetError(f"Invalid OBJECTS: got no cut-out from {printable(objects)}. {notes[-1] if notes else ''}")
    return folder, notes


def _read_sources(folder: Path) -> dict[str, list[str]]:
    path = folder / _SOURCES
    if not path.is_file():
        return {}
    try:
        content = json.loads(read_bytes(path, _MOST_BYTES))
    except ValueError:
        return {}
    whole = isinstance(content, dict) and all(isinstance(v, list) and len(v) in (2, 3) for v in content.values())
    return content if whole else {}


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
