"""Labels that networks make of the backgrounds, for the verbs that take them."""

from pathlib import Path
from typing import Any

from qumade.cli.common import model, say

__all__ = ["labels_of_teachers"]


def labels_of_teachers(
    verb: str,
    given: dict[str, Any],
    flags: dict[str, Any],
    depth_teacher: str | None,
    label_teacher: str | None,
    cache: Path | None,
    download: bool,
) -> dict[str, Any]:
    """The recipe fields that the teachers' labels of the backgrounds are; none without teachers. `given`: fields so
    far; `flags`: what the command line gave, which may not name the same labels. Leaves with 2 where it does."""
    if not (depth_teacher or label_teacher):
        return {}
    _refuse_two_sources(verb, flags, depth_teacher, label_teacher)
    from qumade.recipe import recipe_from_dict
    from qumade.teachers.label_backgrounds import default_cache, label_backgrounds

    cache = cache or default_cache()
    # Wrong settings are told before the networks run.
    soon = ({"depths": cache} if depth_teacher else {}) | ({"labels": cache} if label_teacher else {})
    plan = recipe_from_dict(given | soon, "the command line", Path.cwd())
    return soon | label_backgrounds(
        plan.backgrounds,
        depth=depth_teacher and model(depth_teacher),
        labels=label_teacher and model(label_teacher),
        cache=cache,
        download=download,
    )


def _refuse_two_sources(verb: str, flags: dict[str, Any], depth_teacher: str | None, label_teacher: str | None) -> None:
    for teacher, name, given in (
        (depth_teacher, "--depth-teacher", ("depths", "depths_kind")),
        (label_teacher, "--label-teacher", ("labels", "label_names")),
    ):
        for other in given:
            if teacher and flags[other] is not None:
                say(f"Error: qumade {verb} takes {name} or --{other.replace('_', '-')}, not both")
                raise SystemExit(2)
