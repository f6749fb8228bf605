"""The verbs for labelled data from elsewhere: import, cutouts."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from qumade.cli.common import Json, finish, require_workers, say
from qumade.cli.teachers import LabelTeacherFlags, TeacherFlags, labels_of_photos
from qumade.convert.importers import DatasetName
from qumade.depth.encoding import DepthKind
from qumade.io.listing import counted

if TYPE_CHECKING:
    from qumade.convert.importers.records import Source

__all__: list[str] = []

_NO_TEACHERS, _NO_TEACHER = TeacherFlags(), LabelTeacherFlags()

Classes = Annotated[list[str] | None, Parameter(name="--class")]


def import_(
    dataset: DatasetName | Literal["pairs"],
    root: Path,
    /,
    *,
    out: Path,
    classes: Classes = None,
    images: Path | None = None,
    masks: Path | None = None,
    depth: Path | None = None,
    label_names: str | None = None,
    depth_kind: DepthKind | None = None,
    depth_scale: float | None = None,
    strict: Annotated[bool, Parameter(negative="")] = False,
    teachers: TeacherFlags = _NO_TEACHERS,
    workers: int | None = None,
    json: Json = False,
) -> None:
    """Converts a standard dataset into a QuMaDe dataset. After an interruption, the same command resumes.

    Photos without labels become a dataset too, with the labels that teachers predict.

    Example: `qumade import camvid CamVid --out DATA_PATH --class car`

    Parameters
    ----------
    dataset
        Name of the dataset; `pairs` for any folders of images, masks and depth with equal file stems.
    root
        The folder of the dataset as downloaded; for nyu also the .mat file.
    out
        DATA_PATH, the folder to write: new, empty, or started by the same command.
    classes
        Class of the mask; may be repeated (default: car; for nyu no mask).
    images
        For pairs: folder of the images, relative to the root (images; with a teacher the root itself, if it has no
        such folder).
    masks
        For pairs: folder of masks, 255 is the object; with `--class`, folder of label maps.
    depth
        For pairs: folder of depth maps.
    label_names
        For pairs: names of the ids in label maps: cityscapes, cityscapes_ids, ade20k, ade20k_from_1, camvid,
        camvid_32, or a YAML file of ids and names.
    depth_kind
        For pairs: metric is 16-bit PNG of metres x scale, 0 unknown; the others are inverse depth (metric).
    depth_scale
        For pairs: PNG value of one metre (256).
    strict
        Stop at the first file or label that cannot be used, instead of leaving it out or unknown and saying so.
    workers
        Threads; all cores by default.
    json
        Print one JSON object as the last line on stdout.
    """
    from qumade.convert.importers import read_dataset
    from qumade.convert.importers.writer import write_import
    from qumade.io.pictures import one_line, printable

    require_workers(workers)
    pairs = {
        "label_teacher": teachers.label_teacher,
        "depth_teacher": teachers.depth_teacher,
        "images": images,
        "masks": masks,
        "depth": depth,
        "label_names": label_names,
        "depth_kind": depth_kind,
        "depth_scale": depth_scale,
    }
    if dataset == "pairs":
        folders = images, masks, depth
        source = _pairs(root.absolute(), folders, classes or [], label_names, depth_kind, depth_scale, teachers)
    else:
        for name, value in pairs.items():
            if value is not None:
                say(f"Error: qumade import {dataset} takes no --{name.replace('_', '-')}; only pairs does")
                raise SystemExit(2)
        source = read_dataset(dataset, root, classes)
    for note in source.notes:
        say(f"warning: {note}")
    summary = write_import(source, out, strict=strict, workers=workers)
    splits = ", ".join(f"{count:,} {split or 'without a split'}" for split, count in sorted(summary.splits.items()))
    text = (
        f"{counted(summary.samples, 'sample', 'samples')} in {printable(Path(summary.root))}, "
        f"{summary.written:,} of them new: {splits}\n"
    )
    text += f"Folders: {', '.join(summary.folders)}"
    text += f"; the mask shows {', '.join(map(one_line, source.classes))}" if source.classes else ""
    finish(json, summary, text)


def _pairs(
    root: Path,
    folders: tuple[Path | None, Path | None, Path | None],
    classes: list[str],
    label_names: str | Path | None,
    depth_kind: DepthKind | None,
    depth_scale: float | None,
    teachers: TeacherFlags,
) -> "Source":
    """Return the photos of the first of `folders` with the labels of the other two, or of the teachers."""
    from qumade.convert.importers.pairs import read_pairs

    images, masks, depth = folders
    if teachers.label_teacher or teachers.depth_teacher:
        for flag, teacher, given in (
            ("--masks", teachers.label_teacher, masks),
            ("--label-names", teachers.label_teacher, label_names),
            ("--depth", teachers.depth_teacher, depth),
            ("--depth-kind", teachers.depth_teacher, depth_kind),
        ):
            if teacher and given is not None:
                say(f"Error: qumade import takes {flag} or the teacher {teacher}, not both")
                raise SystemExit(2)
        if images is None and not (root / "images").is_dir():
            images = Path()
        found = labels_of_photos(root / (images or "images"), teachers)
        masks, label_names = found.get("labels", masks), found.get("label_names", label_names)
        depth, depth_kind = found.get("depths", depth), found.get("depths_kind", depth_kind)
        classes = classes or (["car"] if teachers.label_teacher else [])
    return read_pairs(
        root,
        images or Path("images"),
        masks,
        depth,
        classes,
        label_names=label_names,
        depth_kind=depth_kind or "metric",
        depth_scale=256.0 if depth_scale is None else depth_scale,
    )


def cutouts(
    path: Path,
    /,
    *,
    out: Path,
    backgrounds: Path | None = None,
    dataset: DatasetName | None = None,
    classes: Classes = None,
    split: list[str] | None = None,
    max_share: float = 0.0,
    min_side: int = 24,
    any_shape: Annotated[bool, Parameter(negative="")] = False,
    whole: Annotated[bool, Parameter(negative="")] = False,
    teacher: LabelTeacherFlags = _NO_TEACHER,
    strict: Annotated[bool, Parameter(negative="")] = False,
    workers: int | None = None,
    json: Json = False,
) -> None:
    """Cuts complete objects out of labelled photos, as RGBA cut-outs; photos without objects become backgrounds.

    Objects are left out if they are tiny, truncated by the edge of the photo, occluded, or several labelled as one.
    What is truncated or occluded on its left or right side only is kept as NAME_cut_left or NAME_cut_right: a recipe
    places it with that side outside the image or behind another object. The label maps of a standard dataset contain
    more information than its masks: use them with `--dataset`.

    For photos without labels, `--label-teacher` names a network that predicts the label maps.

    Example: `qumade cutouts CamVid --dataset camvid --class car --out foregrounds --backgrounds backgrounds`

    Parameters
    ----------
    path
        DATA_PATH with masks, in a folder and not in shards; with `--dataset` the folder of a standard dataset as
        downloaded; with `--label-teacher` a folder of photos.
    out
        Folder for the cut-outs: new or empty. Each cut-out is named after its photo.
    backgrounds
        Folder for the photos without the class: new or empty.
    dataset
        Name of the standard dataset in the path; leave it out for a DATA_PATH.
    classes
        Class to cut out; may be repeated (default: car; for a DATA_PATH the classes of its masks). Several classes go
        into sub-folders, if the labels tell the classes of objects apart.
    split
        Only photos of this split; may be repeated (default: train if it exists, otherwise all).
    max_share
        Largest share of pixels of the class in a background.
    min_side
        Smallest width and height of an object in pixels.
    any_shape
        Keep objects without instance labels whatever their shape: by default they must be shaped like cars.
    whole
        Leave out what is truncated or occluded on one side, too.
    strict
        Stop at the first file or label that cannot be used, instead of leaving it out and saying so.
    workers
        Threads; all cores by default.
    json
        Print one JSON object as the last line on stdout.
    """
    from dataclasses import replace

    from qumade.convert.cutout_folders import records_of_dataset, write_cutouts
    from qumade.convert.cutouts import Rules
    from qumade.convert.exporters.samples import class_names_of
    from qumade.convert.importers import read_dataset
    from qumade.convert.importers.records import refuse_notes
    from qumade.data.folder import FolderDataset
    from qumade.io.pictures import printable

    require_workers(workers)
    rules = Rules(min_side_px=min_side, parts=not whole)
    rules = replace(rules, aspect=None) if any_shape else rules
    if teacher.label_teacher is not None and dataset is not None:
        say("Error: qumade cutouts takes --label-teacher or --dataset, not both")
        raise SystemExit(2)
    if dataset is not None or teacher.label_teacher is not None:
        if dataset is not None:
            source = read_dataset(dataset, path, classes)
        else:
            teachers = TeacherFlags(**vars(teacher))
            source = _pairs(path.absolute(), (None, None, None), classes or [], None, None, None, teachers)
        if strict:
            refuse_notes(source)
        for note in source.notes:
            say(f"warning: {note}")
        records, names = list(source.records), source.classes if "instances" in source.folders else ()
    else:
        own = FolderDataset(path)
        records = records_of_dataset(own, classes or ())
        names = tuple(classes or class_names_of(own)) if own.has_instances else ()
    summary = write_cutouts(
        records, out, backgrounds, splits=split, rules=rules, max_share=max_share, workers=workers, classes=names
    )
    left_out = ", ".join(f"{count:,} {reason}" for reason, count in summary.rejected.items())
    of = f" of {', '.join(summary.splits)}" if any(summary.splits) else ""
    parts = f" ({summary.parts:,} of them cut on one side)" if summary.parts else ""
    kept, photos = counted(summary.kept, "cut-out", "cut-outs"), counted(summary.frames, "photo", "photos")
    text = f"{kept}{parts} from {photos}{of} in "
    text += f"{printable(Path(summary.foregrounds))}; left out: {left_out}"
    text += "".join(f"\n{count:,} of {name}" for name, count in summary.classes.items())
    if summary.backgrounds_folder is not None:
        without = counted(summary.backgrounds, "photo", "photos")
        text += f"\n{without} without objects in {printable(Path(summary.backgrounds_folder))}"
    finish(json, summary, text)
