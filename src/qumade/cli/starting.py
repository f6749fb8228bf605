"""The verb for a first project: start."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from qumade.cli.common import Json, finish, model
from qumade.io.listing import counted

__all__ = ["start"]


def start(
    photos: str,
    objects: str,
    /,
    *,
    out: Path,
    cutout_teacher: str = "auto",
    depth_teacher: str = "auto",
    label_teacher: str = "auto",
    download: Annotated[bool, Parameter(negative="")] = False,
    json: Json = False,
) -> None:
    """Makes a project from a folder of photos and a folder of objects: cut-outs, depth and labels of the photos, a
    recipe, a contact sheet and a page. After an interruption or a change of the folders, the same command brings it up
    to date.

    Example: `qumade start PHOTOS OBJECTS --out PROJECT`

    Parameters
    ----------
    photos
        Folder of photos of the place, at a path or a URL, without the object or with few of them.
    objects
        Folder of pictures of the object, at a path or a URL: cut-outs with alpha, or photos of it.
    out
        PROJECT, the folder to write into: new, empty, or a project.
    cutout_teacher
        Network that cuts the object out of pictures without alpha: auto, FILE.onnx, ORG/NAME on the hub, a folder, or
        none. Without one, objects before a plain background are cut out by its colour.
    depth_teacher
        Network that predicts the depth of each photo: auto, ORG/NAME on the hub, a folder, FILE.onnx, or none.
    label_teacher
        Network that predicts the label map of each photo: auto, ORG/NAME on the hub, a folder, FILE.onnx, or none.
    download
        Download networks from the hub if they are not on disk.
    json
        Print one JSON object as the last line on stdout.
    """
    from qumade.project.start import start_project

    project = start_project(
        photos,
        objects,
        out,
        cutout_teacher=None if cutout_teacher == "none" else model(cutout_teacher),
        depth_teacher=None if depth_teacher == "none" else model(depth_teacher),
        label_teacher=None if label_teacher == "none" else model(label_teacher),
        download=download,
    )
    report = project.report
    lines = [
        f"{counted(report.backgrounds.usable, 'photo', 'photos')} and "
        f"{counted(report.foregrounds.usable, 'cut-out', 'cut-outs')}: up to "
        f"{counted(report.samples, 'sample', 'samples')}",
        *(f"Note: {note}" for note in project.notes),
        f"Look at\n  {project.page}\n  {project.sheet}",
        "Next\n  " + "\n  ".join(project.next_commands),
    ]
    finish(json, project, "\n".join(lines))
