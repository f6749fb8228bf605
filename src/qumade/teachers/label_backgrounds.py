"""Label every background once, before planning, into folders of maps that a recipe can name.

In the cache, under the folder of each teacher:

    HASH.npy                   the map of a picture, by the hash of its content: no picture is labelled twice
    backgrounds-HASH/STEM.npy  the same files by the stems of one set of backgrounds, by the hash of that set

A set's folder appears when it is complete and never changes, so datasets made from it can be audited and resumed.
"""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from qumade.assets.fetched import local_folder
from qumade.assets.label_names import LABEL_TABLES, LabelTable
from qumade.assets.scan import scan_backgrounds
from qumade.errors import AssetError
from qumade.generation.executors import Executor
from qumade.io.pictures import UnusablePicture, content_hash, list_pictures, printable
from qumade.teachers.cache import Run, cached_maps
from qumade.teachers.depth import DepthTeacher, depth_teacher
from qumade.teachers.label_pictures import LabelPictures, label_elsewhere
from qumade.teachers.segmentation import SegmentationTeacher, segmentation_teacher

__all__ = ["label_backgrounds"]

_NAMES = "names.yaml"


def label_backgrounds(
    folder: Path | str,
    *,
    depth: str | Path | None = None,
    labels: str | Path | None = None,
    cache: Path,
    download: bool = False,
    executor: Executor | None = None,
) -> dict[str, Any]:
    """Labels the backgrounds in `folder` and returns the fields of a recipe that take the labels from the cache.

    `folder` is a path or a URL. `depth` and `labels` are models, see `depth_teacher` and `segmentation_teacher`. They
    give `depths` and `depths_kind`, `labels` and `label_names`. Files that are no usable picture are left out: the
    audit of the assets names them. The networks run where `executor` says, by default in this process. Raises
    QumadeError for a model that cannot be used, and for two backgrounds of one stem.
    """
    cache = Path(os.path.abspath(cache))
    local, names = local_folder(folder, progress=True)
    with names:
        backgrounds = _one_a_stem(list_pictures(local))
        depths = None if depth is None else depth_teacher(depth, download=download)
        segments = None if labels is None else segmentation_teacher(labels, download=download)
        fields: dict[str, Any] = {}
        if depth is not None and depths is not None:
            make: Any = partial(depth_teacher, download=download)
            run = _elsewhere(executor, LabelPictures(make, depth, depths.fingerprint))
            fields |= {"depths": _labelled(backgrounds, local, depths, cache, run), "depths_kind": depths.kind}
        if labels is not None and segments is not None:
            make = partial(segmentation_teacher, download=download)
            run = _elsewhere(executor, LabelPictures(make, labels, segments.fingerprint))
            labelled = _labelled(backgrounds, local, segments, cache, run)
            fields |= {"labels": labelled, "label_names": _built_in_table(segments.names) or labelled / _NAMES}
        return fields


def _elsewhere(executor: Executor | None, work: LabelPictures) -> Run | None:
    return None if executor is None else partial(label_elsewhere, executor, work)


def _one_a_stem(backgrounds: Sequence[Path]) -> Sequence[Path]:
    by_stem: dict[str, Path] = {}
    for path in backgrounds:
        other = by_stem.setdefault(path.stem, path)
        if other != path:
            raise AssetError(
                f"Invalid backgrounds: got both {printable(other)} and {path.name}; stems must be unique, for "
                "maps belong to pictures by their stem"
            )
    return backgrounds


def _labelled(
    backgrounds: Sequence[Path],
    folder: Path,
    teacher: DepthTeacher | SegmentationTeacher,
    cache: Path,
    run: Run | None,
) -> Path:
    """The folder with the map of each background by its stem, and the names of a segmentation teacher's ids."""
    maps = cache / teacher.cache_name
    # Hashing names and contents gives equal commands the same folder, and other commands another one.
    content = "".join(f"{_hash(path)} {path.stem}\n" for path in backgrounds)
    labelled = maps / f"backgrounds-{hashlib.sha256(os.fsencode(content)).hexdigest()[:32]}"
    if labelled.is_dir():
        return labelled
    usable = [scanned.path for scanned in scan_backgrounds(folder, progress=True)[0]]
    size = teacher.batch_size
    files = cached_maps(
        usable, maps, lambda some: list(teacher.predict(some, size)), batch_size=size, what=teacher.labels, run=run
    )
    temporary = Path(tempfile.mkdtemp(prefix=".backgrounds-", dir=maps))
    try:
        for path, file in zip(usable, files, strict=True):
            _link_or_copy(file, temporary / f"{path.stem}.npy")
        if isinstance(teacher, SegmentationTeacher):
            (temporary / _NAMES).write_text(_names_yaml(teacher.names), "utf-8")
        temporary.chmod(0o755)  # private while it was a temporary folder
        temporary.rename(labelled)
    except OSError:
        if not labelled.is_dir():  # else another process was quicker
            raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return labelled


def _hash(path: Path) -> str:
    try:
        return content_hash(path)
    except UnusablePicture:  # a broken link, named by the audit of the assets
        return "-"


def _link_or_copy(file: Path, name: Path) -> None:
    try:
        name.hardlink_to(file)
    except OSError:  # not on every file system
        shutil.copyfile(file, name)


def _built_in_table(names: LabelTable) -> str | None:
    """The built-in table with exactly these names for these ids: it also knows what others call them."""
    for built_in, table in LABEL_TABLES.items():
        ids = {i for name, some in table.items() if name != "unlabelled" for i in some}
        agree = all(i in table.get(name.strip().lower(), ()) for name, some in names.items() for i in some)
        if agree and ids == {i for some in names.values() for i in some}:
            return built_in
    return None


def _names_yaml(names: LabelTable) -> str:
    by_id = {i: name for name, some in names.items() for i in some}
    return yaml.safe_dump(dict(sorted(by_id.items())), allow_unicode=True)
