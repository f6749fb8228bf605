"""The verb for other tools: convert."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from qumade.cli.common import Json, finish
from qumade.convert.exporters import FormatName

__all__ = ["convert"]


def convert(
    data_path: Path,
    /,
    *,
    to: FormatName,
    out: Path,
    polygons: Annotated[bool, Parameter(negative="")] = False,
    workers: int | None = None,
    json: Json = False,
) -> None:
    """Converts a dataset to the format of another tool, splits kept. After an interruption, the same command resumes.

    Example: `qumade convert DATA_PATH --to coco --out coco`

    Parameters
    ----------
    data_path
        The folder of a dataset, generated or imported.
    to
        coco: instances; yolo: segmentation, yolo-detect: boxes; voc: segmentation and boxes; hf: Hugging Face datasets;
        kitti-depth: 16-bit PNG of metres x 256; ultralytics-depth: .npy of metres.
    out
        Folder to write: new, empty, or started by the same command.
    polygons
        For coco: outlines along the edges of the pixels instead of run lengths.
    workers
        Processes; all cores by default.
    json
        Print one JSON object as the last line on stdout.
    """
    from qumade.convert.exporters.conversion import convert as run

    summary = run(data_path, to, out, polygons=polygons, workers=workers)
    splits = ", ".join(f"{count:,} {split}" for split, count in summary.splits.items())
    text = f"{sum(summary.splits.values()):,} samples in {summary.root} as {summary.format}: {splits}"
    if summary.classes:
        text += f"\nClasses: {', '.join(summary.classes)}"
    if summary.parts:
        text += "\nThe dataset has no instances/: each connected part of a mask counts as one object"
    if summary.complete:
        text = f"{summary.root} is already complete; nothing was written"
    finish(json, summary, text)
