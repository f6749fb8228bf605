"""Labels of the backgrounds from teacher networks, for the verbs that use them."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from qumade.cli.common import model, say
from qumade.cli.model_flags import flag_of

if TYPE_CHECKING:
    from qumade.generation.executors import Executor

__all__ = ["ComposingTeacherFlags", "LabelTeacherFlags", "TeacherFlags", "labels_of_photos", "labels_of_teachers"]


@Parameter(name="*", group="Teachers")
@dataclass(frozen=True, kw_only=True)
class LabelTeacherFlags:
    """The network that labels what the photos show.

    Parameters
    ----------
    label_teacher
        Network that predicts the label map of each photo once: auto, ORG/NAME on the hub, a folder, or FILE.onnx.
    download
        Download networks from the hub if they are not on disk.
    teacher_cache
        Folder that stores the labels of teachers (~/.cache/qumade).
    """

    label_teacher: str | None = None
    download: Annotated[bool, Parameter(negative="")] = False
    teacher_cache: Path | None = None


@Parameter(name="*", group="Teachers")
@dataclass(frozen=True, kw_only=True)
class TeacherFlags(LabelTeacherFlags):
    """The networks that label the photos.

    Parameters
    ----------
    depth_teacher
        Network that predicts the depth of each photo once: auto, ORG/NAME on the hub, a folder, or FILE.onnx.
    """

    depth_teacher: str | None = None


@Parameter(name="*", group="Teachers")
@dataclass(frozen=True, kw_only=True)
class ComposingTeacherFlags(TeacherFlags):
    """The networks that label the photos, or the images composed of them.

    Parameters
    ----------
    depth_teacher
        Network that predicts the depth of each photo once: auto, ORG/NAME on the hub, a folder, or FILE.onnx.
        With `--depth composite` it predicts the depth of every composed image instead.
    """

    depth_teacher: str | None = None


def labels_of_teachers(
    verb: str,
    given: Mapping[str, Any],
    on_command_line: Mapping[str, Any],
    teachers: TeacherFlags,
    executor: "Executor | None" = None,
) -> dict[str, Any]:
    """Return the recipe fields for the labels that the teachers predict; empty without teachers.

    `given` are the recipe's fields so far; `on_command_line` are those given as flags. The networks run where
    `executor` says, by default here. Exits with 2 if a flag names labels that a teacher predicts.
    """
    depth_teacher = None if given.get("depth") == "composite" else teachers.depth_teacher
    label_teacher = teachers.label_teacher
    if not (depth_teacher or label_teacher):
        return {}
    _refuse_two_sources(verb, on_command_line, depth_teacher, label_teacher)
    from qumade.io.files import cache_folder
    from qumade.recipe import recipe_from_dict

    cache = teachers.teacher_cache or cache_folder()
    # Wrong settings are reported before the networks run.
    soon = ({"depths": cache} if depth_teacher else {}) | ({"labels": cache} if label_teacher else {})
    recipe = recipe_from_dict({**given, **soon}, "the command line", Path.cwd(), name_field=flag_of)
    return soon | labels_of_photos(recipe.backgrounds, replace(teachers, depth_teacher=depth_teacher), executor)


def labels_of_photos(photos: Path | str, teachers: TeacherFlags, executor: "Executor | None" = None) -> dict[str, Any]:
    """Return the folders of labels that the teachers predict for a folder of photos, at a path or a URL, and what they
    mean, as the fields of a recipe: `depths`, `depths_kind`, `labels`, `label_names`."""
    from qumade.io.files import cache_folder
    from qumade.teachers.label_backgrounds import label_backgrounds

    return label_backgrounds(
        photos,
        depth=teachers.depth_teacher and model(teachers.depth_teacher),
        labels=teachers.label_teacher and model(teachers.label_teacher),
        cache=teachers.teacher_cache or cache_folder(),
        download=teachers.download,
        executor=executor,
    )


def _refuse_two_sources(
    verb: str, on_command_line: Mapping[str, Any], depth_teacher: str | None, label_teacher: str | None
) -> None:
    for teacher, flag, fields in (
        (depth_teacher, "--depth-teacher", ("depths", "depths_kind")),
        (label_teacher, "--label-teacher", ("labels", "label_names")),
    ):
        for other in fields:
            if teacher and other in on_command_line:
                say(f"Error: qumade {verb} takes {flag} or {flag_of(other)}, not both")
                raise SystemExit(2)
