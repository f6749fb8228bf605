"""Converts plans and the results of drawing to the rows of manifest.parquet, and back."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from io import FileIO
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from qumade.assets.catalog import Catalog
from qumade.data.manifest_check import require_values, text_bytes
from qumade.errors import DatasetError
from qumade.io.files import open_regular
from qumade.plan.placement import CROP_STEPS, crop_share, resized_size
from qumade.plan.planner import Plans
from qumade.plan.splits import SAMPLE_SPLITS, sample_split
from qumade.plan.tables import OBJECT_ROW, POLICIES, REJECTIONS, SAMPLE_ROW
from qumade.recipe import Recipe
from qumade.synth.synthesizer import Synthesizer

__all__ = [
    "IMPORT_SCHEMA",
    "INSTANCE_SCHEMA",
    "MANIFEST",
    "MANIFEST_SCHEMA",
    "OBJECT_SCHEMA",
    "manifest_schema",
    "manifest_table",
    "plans_from_manifest",
    "read_manifest",
    "read_rows",
    "read_visible_boxes",
    "visible_boxes_of",
    "visible_fractions",
]

MANIFEST = "manifest.parquet"

_MOST_BYTES = 1 << 30  # of a row group in memory; those of this package take some megabytes
_MOST_ROWS = 1 << 22  # of a row group: run lengths make a gigabyte of a kilobyte
_NAMES = pa.dictionary(pa.int32(), pa.string())
_BOX = ("left", "top", "width", "height")
_CONTACT = ("contact_u", "contact_v", "contact_background_u", "contact_background_v")
_OBJECT_FIELDS = [
    ("foreground", _NAMES),
    ("flip", pa.bool_()),
    *((name, pa.float64()) for name in (*_BOX, "scale", *_CONTACT)),
    ("inverse_depth", pa.float32()),
    ("blending", _NAMES),
    ("visible_fraction", pa.float32()),
    ("policy", _NAMES),
    ("fallback", pa.bool_()),
    ("rejected", pa.struct([(reason, pa.int32()) for reason in REJECTIONS])),
]
_VISIBLE_BOX = ("visible_left", "visible_top", "visible_width", "visible_height")
_INSTANCE_FIELDS = [("class", _NAMES), *((name, pa.int32()) for name in _VISIBLE_BOX)]
_EVERY = [("index", pa.int64()), ("stem", pa.string()), ("split", _NAMES)]  # the columns of every manifest
IMPORT_SCHEMA = pa.schema([*_EVERY, ("source", pa.string()), ("uncertain", pa.bool_())])
"""Columns of an imported dataset, one row per sample in the order of the stems. `source` is the path of the image
relative to the root of the original dataset. `uncertain`: an ignored pixel may be of the class, as in a crowd."""
OBJECT_SCHEMA = pa.schema([*IMPORT_SCHEMA, ("objects", pa.list_(pa.struct(_INSTANCE_FIELDS)))])
"""Columns of an imported dataset with instances/."""
MANIFEST_SCHEMA = pa.schema(
    [
        *_EVERY,
        ("background_split", _NAMES),
        ("foreground_split", _NAMES),
        ("background", _NAMES),
        ("crop_left", pa.float64()),
        ("crop_top", pa.float64()),
        ("crop_width", pa.float64()),
        ("crop_height", pa.float64()),
        ("flip", pa.bool_()),
        ("crop_step", pa.int32()),
        ("crop_x", pa.int32()),
        ("crop_y", pa.int32()),
        ("crops_rejected", pa.int32()),
        ("objects_wanted", pa.int32()),
        ("depth_clipped_px", pa.int32()),
        ("objects", pa.list_(pa.struct(_OBJECT_FIELDS))),
    ]
)
"""Columns of a generated dataset, one row per sample. `crop_*`: in pixels of the original background; `crop_step`,
`crop_x`, `crop_y`: the same crop as the planner stores it, a window of the resized background. Objects are sorted from
far to near, their boxes are in sample pixels. `blending` is "alpha": source over destination. `rejected` counts
repeated draws, see REJECTIONS."""
INSTANCE_SCHEMA = pa.schema(
    [*list(MANIFEST_SCHEMA)[:-1], ("objects", pa.list_(pa.struct([*_OBJECT_FIELDS, *_INSTANCE_FIELDS])))]
)
"""Columns of a generated dataset with instances/. Objects also have their `class`, null if the recipe gives none, and
the box of their pixels in the instance map (`visible_*`), zeros if there are none."""


def manifest_schema(synthesizer: Synthesizer) -> pa.Schema:
    """Returns the columns of the manifest of a recipe's dataset."""
    return INSTANCE_SCHEMA if synthesizer.writes_instances else MANIFEST_SCHEMA


def read_manifest(path: Path, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
    """Yields the rows of a manifest.parquet, one row group at a time; only `columns` if they are given. For a folder
    of shards, the rows of its parts, ordered by their names.

    Raises QumadeError naming the file if it is torn or damaged, lacks a column, or needs more memory than a row group
    of this package.
    """
    parts = sorted(path.glob("*.parquet")) if path.is_dir() else []
    for part in parts:
        yield from read_manifest(part, columns)
    if parts:
        return
    try:
        with open_regular(path) as opened:
            yield from read_rows(opened, str(path.absolute()), columns)
    except OSError as error:
        raise _unreadable(str(path.absolute()), error) from None


def read_rows(opened: BinaryIO | FileIO, where: str, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
    """Yields the rows of an open manifest; see `read_manifest`. `where` names it in messages."""
    try:
        schema, leaves = pq.read_schema(opened), pq.read_metadata(opened).schema
        # Text is read as a dictionary, as it is stored: a name of a megabyte in a million rows is a megabyte.
        text = [leaf.path for leaf in map(leaves.column, range(len(leaves))) if leaf.physical_type == "BYTE_ARRAY"]
        for name in columns or ():
            if name not in schema.names:
                raise DatasetError(f"Invalid manifest: got no column {name!r} in {where}; must have it")
        with pq.ParquetFile(opened, page_checksum_verification=True, read_dictionary=text) as file:
            for group in range(file.num_row_groups):
                _require_moderate(file.metadata.row_group(group), where)
                rows = file.read_row_group(group, columns=None if columns is None else list(columns))
                rows.validate(full=True)  # text that is not UTF-8, for example
                size = sum(text_bytes(chunk) for column in rows.columns for chunk in column.chunks)
                if size > _MOST_BYTES:
                    raise _too_large(f"{size} bytes of text", where, _MOST_BYTES)
                yield rows.cast(pa.schema([schema.field(name) for name in rows.column_names]))
    except (OSError, pa.ArrowException, ValueError, KeyError, OverflowError) as error:
        raise _unreadable(where, error) from None


def _require_moderate(group: pq.RowGroupMetaData, where: str) -> None:
    if group.total_byte_size > _MOST_BYTES:
        raise _too_large(f"{group.total_byte_size} bytes", where, _MOST_BYTES)
    # Its columns are not asked: for a crafted file, RowGroupMetaData.column ends the process.
    if not 0 <= group.num_rows <= _MOST_ROWS:
        raise _too_large(f"{group.num_rows} rows", where, _MOST_ROWS)


def _too_large(got: str, where: str, most: int) -> DatasetError:
    return DatasetError(f"Invalid manifest: got a row group of {got} in {where}; must be at most {most}")


def _unreadable(where: str, error: Exception) -> DatasetError:
    return DatasetError(f"Invalid manifest: cannot read {where}: {' '.join(str(error).split())[:200]}")


def manifest_table(
    synthesizer: Synthesizer,
    plans: Plans,
    visible_fraction: NDArray[np.float32],
    depth_clipped_px: NDArray[np.int32],
    visible_box: NDArray[np.int32] | None = None,
) -> pa.Table:
    """Returns the rows of planned and drawn samples. `visible_box` int32 [N, most objects, 4] is needed with
    instances/."""
    samples = plans.samples
    recipe, catalog = synthesizer.recipe, synthesizer.catalog
    background_split = [b.split for b in catalog.backgrounds]
    foreground_split = [f.split for f in catalog.foregrounds]
    pairs = zip(samples["background"].tolist(), samples["foreground"].tolist(), strict=True)
    splits = [sample_split(background_split[b], foreground_split[f]) for b, f in pairs]
    columns = {
        "index": samples["index"],
        "stem": [synthesizer.stem(index) for index in samples["index"].tolist()],
        "split": _chosen(SAMPLE_SPLITS, np.array([SAMPLE_SPLITS.index(split) for split in splits], np.int64)),
        "background_split": _chosen(background_split, samples["background"]),
        "foreground_split": _chosen(foreground_split, samples["foreground"]),
        "background": _chosen([b.name for b in catalog.backgrounds], samples["background"]),
        "crop_left": samples["crop_x"] / samples["scale_x"],
        "crop_top": samples["crop_y"] / samples["scale_y"],
        "crop_width": recipe.size[0] / samples["scale_x"],
        "crop_height": recipe.size[1] / samples["scale_y"],
        "objects_wanted": samples["wanted"],
        "depth_clipped_px": depth_clipped_px,
        "objects": _objects(synthesizer, plans, visible_fraction, visible_box),
    }
    for name in ("flip", "crop_step", "crop_x", "crop_y", "crops_rejected"):
        columns[name] = samples[name]
    schema = manifest_schema(synthesizer)
    return pa.table([pa.array(columns[f.name], f.type) for f in schema], schema=schema)


def visible_fractions(rows: pa.Table, most_objects: int) -> NDArray[np.float32]:
    """Returns the visible fractions of checked rows, float32 [N, most objects], NaN where a sample has fewer.

    Raises DatasetError if a sample has more.
    """
    objects, holds = _held(rows, most_objects)
    visible = np.full(holds.shape, np.nan, np.float32)
    visible[holds] = objects.field("visible_fraction").to_numpy()
    return visible


def visible_boxes_of(rows: pa.Table, most_objects: int) -> NDArray[np.int32]:
    """Returns the visible boxes of checked rows, int32 [N, most objects, 4]; 0 where a sample has fewer objects or the
    manifest has no boxes. Raises DatasetError if a sample has more."""
    objects, holds = _held(rows, most_objects)
    boxes = np.zeros((*holds.shape, 4), np.int32)
    boxes[holds] = read_visible_boxes(objects)
    return boxes


def _held(rows: pa.Table, most_objects: int) -> tuple[pa.Array, NDArray[np.bool_]]:
    """Returns all objects of the rows, and which of the places for them each row fills, bool [N, most objects]."""
    objects = rows["objects"].combine_chunks()
    counts = np.diff(np.asarray(objects.offsets))
    if counts.max(initial=0) > most_objects:
        raise DatasetError(f"Invalid manifest: got {counts.max()} objects in a sample; must be at most {most_objects}")
    return objects.flatten(), np.arange(most_objects) < counts[:, None]


def _objects(
    synthesizer: Synthesizer,
    plans: Plans,
    visible_fraction: NDArray[np.float32],
    visible_box: NDArray[np.int32] | None,
) -> pa.Array:
    catalog = synthesizer.catalog
    counts = plans.samples["count"]
    holds = np.arange(plans.objects.shape[1]) < counts[:, None]
    rows = plans.objects[holds]
    nothing = np.zeros(len(rows), np.int64)
    columns = {
        "foreground": _chosen([f.name for f in catalog.foregrounds], rows["foreground"]),
        "flip": np.array([f.flip for f in catalog.foregrounds])[rows["foreground"]],
        "blending": _chosen(["alpha"], nothing),
        "visible_fraction": visible_fraction[holds],
        "policy": _chosen(list(POLICIES), rows["policy"]),
        "rejected": pa.StructArray.from_arrays(
            [pa.array(rows[f"rejected_{reason}"]) for reason in REJECTIONS], list(REJECTIONS)
        ),
    }
    if visible_box is not None:
        columns["class"] = _chosen(
            [catalog.classes[f.class_number] if catalog.classes else None for f in catalog.foregrounds],
            rows["foreground"],
        )
        columns |= {name: visible_box[holds][:, side] for side, name in enumerate(_VISIBLE_BOX)}
    fields = list(manifest_schema(synthesizer).field("objects").type.value_type)
    arrays = [pa.array(columns[f.name] if f.name in columns else rows[f.name], f.type) for f in fields]
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), pa.StructArray.from_arrays(arrays, fields=fields))


def _chosen(names: Sequence[str | None], which: NDArray[np.integer]) -> pa.DictionaryArray:
    """Returns names by number, as a dictionary array of all names: the file does not depend on which of them occur in a
    row group."""
    known = {name: n for n, name in enumerate(sorted({name for name in names if name is not None}))}
    codes = np.array([-1 if name is None else known[name] for name in names], np.int32)[which]
    return pa.DictionaryArray.from_arrays(pa.array(codes, mask=codes < 0), pa.array(list(known), pa.string()))


def plans_from_manifest(synthesizer: Synthesizer, rows: pa.Table) -> Plans:
    """Returns the plans that the rows of a manifest record. They are enough to draw the samples again.

    Raises QumadeError if a row does not belong to this recipe and catalog.
    """
    recipe, catalog = synthesizer.recipe, synthesizer.catalog
    if not rows.schema.equals(manifest_schema(synthesizer)):
        raise DatasetError("Invalid manifest: its columns are not those of this version")
    require_values(rows, len(synthesizer), MANIFEST)
    most = recipe.objects[1]
    lists = rows["objects"].combine_chunks()
    counts = np.diff(np.asarray(lists.offsets))
    if counts.max(initial=0) > most:
        raise DatasetError(f"Invalid manifest: got {counts.max()} objects in a sample; must be at most {most}")
    samples = np.zeros(len(rows), SAMPLE_ROW)
    for name in ("index", "flip", "crop_step", "crop_x", "crop_y", "crops_rejected"):
        samples[name] = rows[name].to_numpy()
    samples["wanted"], samples["count"] = rows["objects_wanted"].to_numpy(), counts
    samples["foreground"] = samples["index"] // recipe.per_pair % len(catalog.foregrounds)
    backgrounds = {b.name: n for n, b in enumerate(catalog.backgrounds)}
    samples["background"] = _numbers(rows["background"].to_pylist(), backgrounds, "background")
    for sample in samples:
        _set_crop_scale(recipe, catalog, sample)
    flat = lists.flatten()
    things = np.zeros(len(flat), OBJECT_ROW)
    for name in ("fallback", "inverse_depth", "scale", *_BOX, *_CONTACT):
        things[name] = flat.field(name).to_numpy(zero_copy_only=False)
    foregrounds = {(f.name, f.flip): n for n, f in enumerate(catalog.foregrounds)}
    keys = zip(flat.field("foreground").to_pylist(), flat.field("flip").to_pylist(), strict=True)
    things["foreground"] = _numbers(keys, foregrounds, "foreground")
    policies = {name: n for n, name in enumerate(POLICIES)}
    things["policy"] = _numbers(flat.field("policy").to_pylist(), policies, "policy")
    for reason in REJECTIONS:
        things[f"rejected_{reason}"] = flat.field("rejected").field(reason).to_numpy()
    _refuse_other_boxes(recipe, catalog, things)
    objects = np.zeros((len(rows), most), OBJECT_ROW)
    objects[np.arange(most) < counts[:, None]] = things
    return Plans(samples, objects, recipe.seed)


def read_visible_boxes(objects: pa.StructArray) -> NDArray[np.int32]:
    """Returns the visible boxes of a manifest's objects, int32 [objects, 4]; zeros if it has none."""
    if objects.type.get_field_index(_VISIBLE_BOX[0]) < 0:
        return np.zeros((len(objects), 4), np.int32)
    return np.stack([objects.field(name).to_numpy() for name in _VISIBLE_BOX], 1)


def _set_crop_scale(recipe: Recipe, catalog: Catalog, sample: np.void) -> None:
    """Completes a sample. Refuses a crop that the planner cannot have made: drawing expects it inside the photo."""
    background, step = catalog.backgrounds[sample["background"]], int(sample["crop_step"])
    if 0 <= step < CROP_STEPS:
        share = crop_share(*recipe.crop, step)
        width, height = resized_size(background.width, background.height, *recipe.size, share)
        sample["scale_x"], sample["scale_y"] = width / background.width, height / background.height
        if 0 <= sample["crop_x"] <= width - recipe.size[0] and 0 <= sample["crop_y"] <= height - recipe.size[1]:
            return
    crop = step, int(sample["crop_x"]), int(sample["crop_y"])
    raise DatasetError(f"Invalid manifest: got crop {crop} in sample {sample['index']}; must lie in {background.name}")


def _refuse_other_boxes(recipe: Recipe, catalog: Catalog, things: NDArray[Any]) -> None:
    """Refuses boxes that the planner cannot have made: drawing them could take unlimited time and memory."""
    width, height = recipe.size
    sizes = np.array([(f.width, f.height) for f in catalog.foregrounds], np.float64)[things["foreground"]]
    low, high = np.array([f.scale for f in catalog.foregrounds], np.float64)[things["foreground"]].T
    factor = things["scale"] * np.sqrt(width * height / sizes.prod(axis=1))
    good = (low <= things["scale"]) & (things["scale"] <= high)
    good &= np.isclose(things["width"], sizes[:, 0] * factor) & np.isclose(things["height"], sizes[:, 1] * factor)
    good &= (things["left"] < width) & (things["left"] + things["width"] > 0)
    good &= (things["top"] < height) & (things["top"] + things["height"] > 0)
    if not good.all():
        thing = things[np.argmin(good)]
        box = [float(thing[name]) for name in _BOX]
        name = catalog.foregrounds[thing["foreground"]].name
        raise DatasetError(f"Invalid manifest: got box {box} of {name}; must be of its shape and scale, in the image")


def _numbers(keys: Iterable[Any], known: Mapping[Any, int], what: str) -> list[int]:
    try:
        return [known[key] for key in keys]
    except KeyError as error:
        raise DatasetError(
            f"Invalid manifest: got {what} {error.args[0]!r}; must be one of the recipe's {len(known)}"
        ) from None
