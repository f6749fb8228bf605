"""The verb that converts datasets: convert."""

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from qumade.cli.common import Json, finish, require_workers
from qumade.convert.exporters import FormatName
from qumade.errors import ConfigError
from qumade.io.listing import counted

__all__ = ["convert"]


def convert(
    data_path: str,
    /,
    *,
    to: FormatName | Literal["shards", "folder"],
    out: str,
    shard_samples: int | None = None,
    polygons: Annotated[bool, Parameter(negative="")] = False,
    workers: int | None = None,
    json: Json = False,
) -> None:
    """Converts a dataset to tar shards and back, or to the format of another tool. Splits are kept. After an
    interruption, the same command resumes.

    Example: `qumade convert DATA_PATH --to coco --out coco`

    Parameters
    ----------
    data_path
        The folder or the URL of a dataset, generated or imported, in a folder or in shards.
    to
        coco: instances; yolo: segmentation, yolo-detect: boxes; voc: segmentation and boxes; hf: Hugging Face datasets;
        kitti-depth: 16-bit PNG of metres x 256; ultralytics-depth: .npy of metres; shards: tar files of many samples;
        folder: shards become one file for each image, mask and depth map again.
    out
        Folder to write: new, empty, or started by the same command; for shards also a URL such as s3://bucket/name.
    shard_samples
        For shards: samples in a shard (default: about 256 MiB).
    polygons
        For coco: outlines along the edges of the pixels instead of run lengths.
    workers
        Processes; all cores by default. Shards are packed and unpacked by one.
    json
        Print one JSON object as the last line on stdout.
    """
    from qumade.convert.exporters.conversion import convert as run
    from qumade.io.storage import is_url

    require_workers(workers)
    if to != "shards" and is_url(out):
        raise ConfigError(f"Invalid --out: got {out} for {to}; must be a local folder")
    if to != "shards" and shard_samples is not None:
        raise ConfigError(f"Invalid --shard-samples: got {shard_samples} for {to}; must be left out, it is for shards")
    if to == "shards" or to == "folder":
        if workers is not None:
            raise ConfigError(f"Invalid --workers: got {workers} for {to}; must be left out, one process repacks")
        _repack(data_path, to, out, shard_samples, polygons, json)
        return
    summary = run(data_path, to, out, polygons=polygons, workers=workers)
    splits = ", ".join(f"{count:,} {split}" for split, count in summary.splits.items())
    text = counted(sum(summary.splits.values()), "sample", "samples")
    text += f" in {summary.root} as {summary.format}: {splits}"
    if summary.classes:
        text += f"\nClasses: {', '.join(summary.classes)}"
    if summary.parts:
        text += "\nThe dataset has no instances/: each connected part of a mask counts as one object"
    if summary.complete:
        text = f"{summary.root} is already complete; nothing was written"
    finish(json, summary, text)


def _repack(
    data_path: str, to: Literal["shards", "folder"], out: str, shard_samples: int | None, polygons: bool, json: bool
) -> None:
    """Convert a folder to shards, or shards to a folder."""
    from qumade.convert.shards import folder_to_shards, shards_to_folder
    from qumade.io.pictures import one_line
    from qumade.io.storage import absolute

    if polygons:
        raise ConfigError(f"Invalid --polygons: got it with {to!r}; must be left out unless the format is coco")
    if to == "folder":
        samples = shards_to_folder(data_path, Path(out))
    else:
        samples = folder_to_shards(data_path, out, samples_per_shard=shard_samples)
    where = one_line(absolute(out))
    text = f"{counted(samples, 'sample', 'samples')} in {where}"
    finish(json, {"root": where, "samples": samples, "format": to}, text)
