"""The output of a reader of a standard dataset: records in the order of their stems, with labels read on demand."""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qumade.assets.label_names import unnamed_ids, unnamed_text
from qumade.assets.labels import read_labels as read_label_map
from qumade.depth.codec import decode_depth
from qumade.depth.encoding import METRES_16_BIT, DepthEncoding
from qumade.errors import ConfigError, DatasetError
from qumade.io.decode import decode_grey
from qumade.io.files import open_regular
from qumade.io.listing import counted, is_leftover, name_key, named, others
from qumade.io.pictures import SUFFIXES, printable, read_picture

__all__ = [
    "IMAGE_SUFFIXES",
    "ClassIds",
    "Labels",
    "Record",
    "Source",
    "choose_classes",
    "labels_of_ids",
    "left_out",
    "metric_depth",
    "pictures_by_stem",
    "read_ids",
    "require_distinct",
    "require_records",
    "require_size",
    "unique_stems",
]

IMAGE_SUFFIXES = (*SUFFIXES, ".bmp", ".ppm")  # all but JPEG and PNG become PNG

Table = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True, eq=False)
class Labels:
    """The labels of one image. A label that the dataset does not have is None.

    `mask` uint8 [H, W] coverage (255 is the object), `inverse_depth` float32 [H, W] (0 infinitely far, NaN unknown),
    `ignore` bool [H, W] (unlabelled). For cut-outs: `instances` int32 [H, W], a number above 0 for each object of the
    mask, 0 for no object or objects without instances; `in_front` int32 [H, W], a number above 0 for each kind of thing
    that may occlude an object (pole, sign, person). `object_classes` is the number in `Source.classes` of each number
    in `instances`, if the reader tells them apart.
    """

    mask: NDArray[np.uint8] | None = None
    inverse_depth: NDArray[np.float32] | None = None
    ignore: NDArray[np.bool_] | None = None
    instances: NDArray[np.int32] | None = None
    in_front: NDArray[np.int32] | None = None
    object_classes: Mapping[int, int] | None = None


@dataclass(frozen=True, eq=False)
class Record:
    """One sample: its file stem in the imported dataset, its split ("train", "val", "test", or "" where unknown), the
    image as a file or as a function that gives uint8 [H, W, 3], `source` (the image's name below the dataset's root),
    and a function that reads the labels of an image of (H, W) pixels.

    `uncertain`: an object of the class may be where the labels say "ignore". `inputs`: the files of the labels.
    """

    stem: str
    split: str
    image: Path | Callable[[], NDArray[np.uint8]]
    source: str
    read_labels: Callable[[tuple[int, int]], Labels]
    uncertain: bool = False
    inputs: tuple[Path, ...] = ()

    @cached_property
    def suffix(self) -> str:
        """The suffix of the imported image: that of its content if the file is copied, otherwise .png."""
        if not isinstance(self.image, Path):
            return ".png"
        own, content = self.image.suffix.lower(), copied_suffix(self.image)
        return own if content == ".jpg" and own in (".jpg", ".jpeg") else content


@dataclass(frozen=True, eq=False)
class Source:
    """A dataset found under `root`. `folders`: which of masks, depth, ignore and instances it has; `classes`: the
    classes of the mask; `depth`: the code to write depth in; `options`: further settings, for dataset.yaml; `notes`: a
    line for each kind of thing that was left out or is unknown; `inputs`: files that all labels share."""

    name: str
    root: Path
    records: tuple[Record, ...]
    folders: tuple[str, ...]
    classes: tuple[str, ...] = ()
    depth: DepthEncoding | None = None
    options: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    inputs: tuple[Path, ...] = ()


def refuse_notes(source: Source) -> None:
    """Raise DatasetError for the first note of a source: with --strict nothing is left out."""
    if source.notes:
        raise DatasetError(f"Invalid dataset: {source.notes[0]}; must be none with --strict")


@dataclass(frozen=True)
class ClassIds:
    """Ids of a label map: of the mask, of unlabelled pixels, of things that may occlude an object, and all that the
    dataset's table, called `table`, names (None: any)."""

    chosen: frozenset[int]
    unlabelled: frozenset[int]
    in_front: frozenset[int] = frozenset()
    named: frozenset[int] | None = None
    table: str = ""


def copied_suffix(image: Path) -> str:
    """Return .jpg for a JPEG, whatever its name says, and .png for anything else: it is a PNG or becomes one."""
    try:
        with open_regular(image) as file:
            return ".jpg" if file.read(3) == b"\xff\xd8\xff" else ".png"
    except OSError:
        return ".png"  # reading it says what is wrong


def choose_classes(table: Table, names: Collection[str], where: Path) -> frozenset[int]:
    """Return the ids of these classes. Raises QumadeError for an unknown name or none, naming the known classes, and
    for a name that is given twice."""
    known = [name for name, ids in table.items() if ids]
    wanted = f"must be one of {', '.join(known)}"
    for name in names:
        if name not in known:
            raise ConfigError(f"Invalid --class: got {name!r} for {printable(where)}; {wanted}")
    if not names:
        raise ConfigError(f"Invalid --class: got none for {printable(where)}; {wanted}")
    require_distinct(names)
    return frozenset(number for name in names for number in table[name])


def require_distinct(names: Collection[str]) -> None:
    """Raise QumadeError for a class that is given twice: its objects would be those of the second one."""
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise ConfigError(f"Invalid --class: got {twice[0]!r} twice; must be given once")


def labels_of_ids(ids: NDArray[np.integer], classes: ClassIds, path: Path) -> Labels:
    """Return mask, ignore and the things that may occlude an object, from a label map [H, W] in the file `path`.

    Raises QumadeError if the dataset's table does not name its ids.
    """
    unnamed = {} if classes.named is None else unnamed_ids(ids, classes.named)
    if unnamed:
        got = unnamed_text(unnamed, ids)
        raise DatasetError(
            f"Invalid label map: got {got[0]} in {printable(path)}; must be ids that {classes.table} names{got[1]}"
        )
    chosen = np.isin(ids, list(classes.chosen))
    mask = np.where(chosen, np.uint8(255), np.uint8(0))
    # an id may be 0, which means "nothing" in `in_front`
    in_front = np.where(np.isin(ids, list(classes.in_front - classes.chosen)), ids.astype(np.int32) + 1, np.int32(0))
    ignore = np.isin(ids, list(classes.unlabelled))
    if classes.named is not None:
        ignore |= ~np.isin(ids, list(classes.named))  # few, as checked above: noise, which shows nothing known
    return Labels(mask=mask, ignore=ignore, in_front=in_front)


def read_ids(path: Path, shape: tuple[int, int]) -> NDArray[np.int32]:
    """Return a label map as `qumade.assets.labels` reads it, int32 [H, W]; it must have the size of its image."""
    return read_label_map(path, (shape[1], shape[0]))


def metric_depth(path: Path, shape: tuple[int, int], scale: float) -> NDArray[np.float32]:
    """Return inverse depth in 1/m, float32 [H, W], of a 16-bit PNG of metres x `scale`: NaN where the PNG is 0, and 0
    where it is 65535, which means farther than the range."""
    codes = decode_grey(read_picture(path), path)
    require_size(codes.shape, shape, path)
    if codes.dtype != np.uint16:
        raise DatasetError(
            f"Invalid depth: got 8 bits in {printable(path)}; must be a 16-bit PNG of metres x {scale:g}"
        )
    return decode_depth(codes, METRES_16_BIT.model_copy(update={"depth_scale": scale}))


def require_size(found: tuple[int, ...], shape: tuple[int, int], path: Path) -> None:
    """Raise QumadeError if a label differs from its image in height or width."""
    if found[:2] != shape:
        got = f"{found[1]}x{found[0]} pixels in {printable(path)}"
        raise DatasetError(f"Invalid size: got {got}; must be {shape[1]}x{shape[0]} as its image")


def pictures_by_stem(folder: Path, suffixes: tuple[str, ...] = IMAGE_SUFFIXES) -> dict[str, Path]:
    """Return the image files in a folder by stem (see `name_key`), sorted; empty if the folder does not exist."""
    if not folder.is_dir():
        return {}
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() not in suffixes or is_leftover(path.name) or not path.is_file():
            continue
        other = found.setdefault(name_key(path.stem), path)
        if other != path:
            raise DatasetError(
                f"Invalid dataset: got both {printable(other)} and {path.name}; must be one file per stem"
            )
    return found


def left_out(folder: Path, used: Iterable[Path], why: str) -> list[str]:
    """Return a line that counts the entries of a folder that are not used and names the first; none if all are."""
    names = others(folder, used) if folder.is_dir() else []
    of = f"of {printable(folder)}"
    count = counted(len(names), f"entry {of} is", f"entries {of} are")
    return [f"{count} left out, {why}: {named(names)}"] if names else []


def require_records(records: Iterable[Record], root: Path, layout: str) -> tuple[Record, ...]:
    """Return the records in the order of their stems. Raises QumadeError naming the expected layout if none exist."""
    found = tuple(sorted(unique_stems(records), key=lambda record: record.stem))
    if not found:
        raise DatasetError(f"Invalid dataset: found no labelled image in {printable(root)}; must have {layout}")
    return found


def unique_stems(records: Iterable[Record]) -> list[Record]:
    """Return the records; if two splits share a stem, every stem is prefixed with its split.

    Raises QumadeError if two stems are still equal, and for an image in two splits: the test would be trained on.
    """
    found = list(records)
    split_of: dict[str, str] = {}
    for each in found:
        other = split_of.setdefault(each.source, each.split)
        if other != each.split:
            both = " and ".join(split or "without a name" for split in (other, each.split))
            raise DatasetError(f"Invalid dataset: got the image {each.source} in the splits {both}; must be in one")
        if not _is_text(each.stem + each.source):
            got = ascii(each.source)[1:-1]
            raise DatasetError(f"Invalid dataset: got the name {got}, which is not UTF-8; must be renamed")
    if _repeated(found) is not None:
        found = [replace(each, stem=f"{each.split}_{each.stem}" if each.split else each.stem) for each in found]
    twice = _repeated(found)
    if twice is not None:
        both = " and ".join(each.source for each in found if each.stem == twice)
        raise DatasetError(f"Invalid dataset: got {both} of the stem {twice!r}; must be one image per stem")
    return found


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _repeated(records: list[Record]) -> str | None:
    counts = Counter(record.stem for record in records)
    return next((stem for stem, count in counts.items() if count > 1), None)
