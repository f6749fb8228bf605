"""The verbs for assets: demo, samples, check."""

from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any

from qumade.cli.common import Json, finish, recipe_fields, refuse_all_but_png, require_workers, show
from qumade.cli.model_flags import flag_of, flag_values, flags_of
from qumade.cli.teachers import TeacherFlags, labels_of_teachers
from qumade.recipe import Recipe

__all__ = ["check", "demo", "samples"]

if TYPE_CHECKING:
    RecipeFlags = Any
else:
    RecipeFlags = flags_of(Recipe, "Recipe fields", without={"depth_teacher"})
_NO_TEACHERS, _NO_FIELDS = TeacherFlags(), RecipeFlags()


def demo(*, out: Path = Path("out/demo"), workers: int | None = None) -> None:
    """Runs the whole pipeline on the bundled samples and writes its images into a folder.

    Example: `qumade demo --out demo`

    Parameters
    ----------
    out
        Folder for the samples, the dataset composed of them, the trained network and the images.
    workers
        Processes; all cores by default.
    """
    from qumade.demo import run_demo

    require_workers(workers)
    run_demo(out, workers)


def samples(folder: Path, /) -> None:
    """Writes the bundled samples: backgrounds, cut-outs, their labels and depth, reference scenes, and a recipe.yaml.

    Example: `qumade samples samples`

    Parameters
    ----------
    folder
        A new or empty folder, or one with these samples and nothing else. They are written again, except for a
        recipe.yaml that you have changed.
    """
    from qumade.assets.bundled import write_samples

    write_samples(folder)
    recipe = quote(str(folder / "recipe.yaml"))
    show(f"Samples in {folder.absolute()}; next: qumade generate --recipe {recipe} --out DATA_PATH")


def check(
    *,
    recipe: Path | None = None,
    sheet: Path | None = None,
    json: Json = False,
    teachers: TeacherFlags = _NO_TEACHERS,
    fields: RecipeFlags = _NO_FIELDS,
) -> int:
    """Audits assets: names every file that cannot be used or looks wrong. Exits with 1 if a file cannot be used.

    With `--sheet` and label or depth maps it also draws the backgrounds, unusable ones first: the photo, its maps, the
    ground plane with its horizon, and where objects may stand.

    Example: `qumade check --recipe samples/recipe.yaml`

    Parameters
    ----------
    recipe
        YAML file with any of the recipe fields below. Flags override it.
    sheet
        PNG file of a sheet of the backgrounds (none is drawn by default).
    json
        Print one JSON object as the last line on stdout.
    """
    from qumade.io.pictures import printable
    from qumade.recipe import recipe_from_dict
    from qumade.synth.check import check_assets, format_report
    from qumade.viz.ground_sheet import GroundRow, ground_row, ground_sheet
    from qumade.viz.sheets import save_sheet

    if sheet is not None:
        refuse_all_but_png("--sheet", sheet)
    flags = flag_values(fields, Recipe)
    given = recipe_fields("check", recipe, flags)
    given = given | labels_of_teachers("check", given, flags, teachers)
    full_recipe = recipe_from_dict(given, "the command line", Path.cwd(), name_field=flag_of)
    rows: list[GroundRow] = []
    look = None if sheet is None else lambda surveyed: rows.append(ground_row(full_recipe, surveyed))
    report = check_assets(full_recipe, progress=True, look=look)
    text = format_report(report)
    if rows and sheet is not None:
        save_sheet(ground_sheet(full_recipe, rows), sheet)
        text += f"\n\n{printable(sheet)}"
    elif sheet is not None:
        text += "\n\nNo sheet is drawn: without label maps and depth maps there is nothing to lay over the photos"
    finish(json, report, text)
    return int(any(finding.severity == "error" for finding in report.findings))
