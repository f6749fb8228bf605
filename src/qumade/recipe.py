"""The recipe: everything that a dataset is made of, in one frozen object; YAML in and out.

What changes a pixel or a label is a field here. Where the dataset lies, how many workers draw it and how many of its
samples are drawn is not.
"""

import fnmatch
import math
import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from qumade.depth.encoding import DepthKind
from qumade.effects import Effects, EffectsField
from qumade.io.config import (
    DATASET_BYTES,
    Ascending,
    DatasetLocation,
    RelativePath,
    parse_model,
    plain_values,
    read_yaml,
    write_yaml,
    wrong_field,
)
from qumade.io.storage import is_url

__all__ = [
    "CLASS_NAME",
    "DEFAULT",
    "MOST_CLASSES",
    "Recipe",
    "for_file",
    "holds_dataset",
    "is_named",
    "load_recipe",
    "match_pattern",
    "place_fields",
    "recipe_from_dict",
    "recipe_to_dict",
    "save_recipe",
]

CLASS_NAME = r"\w[\w .-]{0,62}"
"""What the name of a class must match: it becomes a file name, and a word in the files of other tools."""
MOST_CLASSES = 254
"""The most classes: 8-bit label maps have two more values, for the background and for ignored pixels."""
DEFAULT = "default"  # the key of a per-file table that holds for files that no other key names
_DEFAULT_SCALE = (0.1, 0.5)
# Scenes like those of a street: several objects, many of them small and far, cut off by the frame or behind others, and
# most with a shadow. Networks trained on them do better on real streets (docs/transfer.md).
_PERSPECTIVE_DEFAULTS: Mapping[str, Any] = {
    "objects": (1, 6),
    "scale": (0.03, 0.7),
    "min_visible": 0.35,
    "crop": (0.5, 1.0),
    "contact_sampling": "distance",
    "effects": Effects(shadow=0.7),
}
# Wide, for a layout can only choose among the placements that the recipe would make without it.
_LAYOUT_DEFAULTS: Mapping[str, Any] = {
    "objects": (1, 16),
    "scale": (0.02, 1.0),
    "min_visible": 0.35,
    "contact_sampling": "log_distance",
}

_HUB_NAME = re.compile(r"auto|[A-Za-z0-9][\w.-]*/[\w.-]+")


def _as_table(value: Any) -> Any:
    """A bare value stands for a table with a default only."""
    return value if isinstance(value, Mapping) else {DEFAULT: value}


def _is_hub_name(value: str | os.PathLike[str]) -> bool:
    """Whether this is the name of a network, and no path."""
    return isinstance(value, str) and not value.lower().endswith(".onnx") and bool(_HUB_NAME.fullmatch(value))


def _hub_name(value: str) -> str:
    if not _is_hub_name(value):
        raise ValueError("auto or ORG/NAME")
    return value


def _class_name(value: str) -> str:
    if not re.fullmatch(CLASS_NAME, value):
        raise ValueError("a name of letters, digits, spaces and _ . - only")
    return value


Folder = DatasetLocation
HubName = Annotated[str, AfterValidator(_hub_name)]
Share = Annotated[float, Field(ge=0.0, le=1.0)]
PositiveShare = Annotated[float, Field(gt=0.0, le=1.0)]
Scale = Annotated[float, Field(gt=0.0, le=4.0)]
ScaleRange = Annotated[tuple[Scale, Scale], Ascending]
Ends = Annotated[tuple[Share, Share], Ascending]
LabelNames = Literal["cityscapes", "cityscapes_ids", "ade20k", "ade20k_from_1", "camvid", "camvid_32"]
Policy = Literal["random", "semantic", "perspective"]
Prior = Literal["flat", "upright"]
Horizon = Annotated[float, Field(ge=-1.0, lt=1.0)] | Literal["labels"]
Objects = Annotated[int, Field(ge=1, le=16)]
Metres = Annotated[float, Field(gt=0.0, le=1000.0)]
Names = tuple[str, ...]
ClassName = Annotated[str, AfterValidator(_class_name)]


class Recipe(BaseModel):
    """What a dataset is made of. Frozen; equal recipes over equal assets give equal datasets.

    Ranges are (low, high), both ends included. `centre_row` is a share of the height of the sample; `horizon` and
    `contact_rows` are shares of the height of the whole background photo.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)

    backgrounds: Folder
    """Folder of background photos. Folders of assets may be URLs, such as s3://bucket/photos."""
    foregrounds: Folder
    """Folder of cut-outs: RGBA, or RGB with masks in `masks`. If it holds sub-folders only, each is a class."""
    masks: Folder | None = None
    """Folder of masks for cut-outs without alpha, matched by stem or number."""
    exclude: Names = ()
    """File names or patterns of backgrounds and cut-outs to leave out."""
    premultiplied: Names = ()
    """File names or patterns of cut-outs whose colours are multiplied by their alpha: they are divided by it. `check`
    names such cut-outs."""
    depths: Folder | None = None
    """Folder of depth maps of the backgrounds, matched by stem: 16-bit PNG (metres x depths_scale), or .npy of inverse
    depth."""
    depths_scale: Annotated[float, Field(gt=0.0, le=65535.0)] = 256.0
    """PNG depth maps: the value of one metre; 1000 for millimetres, 100 for centimetres."""
    depths_kind: DepthKind = "affine"
    """Kind of .npy depth maps: metric (1/m), scaled (up to a factor) or affine (up to a factor and a shift). PNG is
    always metric."""

    labels: Folder | None = None
    """Folder of label maps of the backgrounds, matched by stem: PNG of ids, or .npy."""
    label_names: LabelNames | RelativePath | None = None
    """Class names of the ids, which label maps need: cityscapes (train ids), cityscapes_ids (label ids), ade20k (from
    0), ade20k_from_1, camvid (11 classes), camvid_32, or a YAML file of ids and names."""
    reliefs: Folder | None = None
    """Folder of relief maps of the cut-outs, matched by stem: 16-bit PNG, 32768 + 1024 x metres behind the contact."""

    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    """Seed of all random choices."""
    size: tuple[Annotated[int, Field(ge=16, le=8192)], Annotated[int, Field(ge=16, le=8192)]] = (224, 224)
    """Width and height of a sample in pixels."""
    per_pair: Annotated[int, Field(ge=1, le=1_000_000)] = 20
    """Number of placements of each cut-out on each background."""

    classes: Annotated[Mapping[str, ClassName], BeforeValidator(_as_table)] = {}
    """Class of a cut-out, by file name or pattern of the cut-out, instead of the name of its sub-folder; `default` for
    the rest."""
    instances: bool = False
    """Write which object each pixel shows to instances/. Datasets of several classes always have it."""

    flip: bool = False
    """Add the mirror image of every cut-out unless the folder already contains it."""
    mirror_backgrounds: bool = True
    """Mirror half of the background crops."""
    crop: Annotated[tuple[PositiveShare, PositiveShare], Ascending] = (1.0, 1.0)
    """Size of the background crop, as a share of the largest crop with the aspect ratio of the sample."""

    objects: Annotated[tuple[Objects, Objects], Ascending] = (1, 1)
    """Number of cut-outs per sample, as a range."""
    scale: Annotated[Mapping[str, ScaleRange], BeforeValidator(_as_table)] = {DEFAULT: _DEFAULT_SCALE}
    """Square root of (box area of the object / image area), as a range, by file name or pattern of the cut-out;
    `default` for the rest."""
    placement: Policy = "random"
    """random: anywhere; semantic: on pixels of the right classes; perspective: also at the right size for the place.
    With perspective for all samples the defaults are those of a street: objects 1,6, scale 0.03,0.7, min_visible 0.35,
    crop 0.5,1, contact_sampling distance and effects with shadow 0.7."""
    policy_weights: Mapping[Policy, Annotated[float, Field(ge=0.0)]] | None = None
    """Share of samples per placement policy, instead of one policy for all."""
    ground: Names = ("road", "sidewalk", "terrain")
    """Classes of the ground: a plane is fitted to their pixels, and objects may stand on them."""
    place: Mapping[str, Names] = {}
    """Classes that a cut-out may stand on instead of `ground`, by file name or pattern of the cut-out."""
    contact_rows: Ends = (0.0, 1.0)
    """Range of rows of the photo for contacts under semantic and perspective placement."""
    contact_distance: Annotated[tuple[Metres, Metres], Ascending] | None = None
    """Range of distances for contacts under semantic and perspective placement: in metres for metric depth, otherwise
    in multiples of the distance at the lower edge."""
    contact_sampling: Literal["picture", "distance", "log_distance"] = "picture"
    """picture: contacts are uniform over the pixels where an object may stand; distance: over the distance of these
    pixels; log_distance: over its logarithm, so that all orders of size are equally frequent."""
    no_ground: Literal["skip", "random"] = "skip"
    """Treatment of backgrounds without ground, or without the horizon that perspective needs. skip: leave them out;
    random: use random placement."""
    height_ratio: Annotated[float, Field(gt=0.0, le=100.0)] = 1.0
    """Height of an object divided by the height of the camera, used if one of the two heights is unknown."""
    height_m: Mapping[str, Metres] = {}
    """Height of the object in metres, by file name or pattern of the cut-out."""
    camera_height_m: Annotated[Mapping[str, Metres], BeforeValidator(_as_table)] = {}
    """Height of the camera above the ground in metres, by file name or pattern of the background."""
    size_jitter: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.1
    """Sizes under perspective placement are multiplied by a random factor between 1 - this and 1 + this."""
    rows: Share = 0.0
    """Share of the samples whose objects stand in a row along the view, such as parked cars."""
    layout: RelativePath | None = None
    """Layout file that `qumade layout` learns from real pictures: number, size and height of the objects in the image
    follow it, within `objects` and `scale`. With it the defaults are objects 1,16, scale 0.02,1, min_visible 0.35 and
    contact_sampling log_distance."""
    target: Names = ("car",)
    """Classes of the label map that count as the object; an empty list for none. Classes of cut-outs that the label
    maps know by the same name count too."""
    present: Literal["ignore", "mask", "skip"] = "ignore"
    """Treatment of objects that a background already shows. ignore: ignore their pixels; mask: add them to the mask;
    skip: leave the background out. Pixels without a label may show one, so they are always ignored."""

    centre_row: Annotated[tuple[Share, Share], Ascending] = (0.5, 1.0)
    """Range of rows for the centre of an object under random placement."""
    min_visible: PositiveShare = 0.7
    """Smallest share of an object that must be visible: inside the image, and occluded neither by other objects nor by
    the background."""
    retries: Annotated[int, Field(ge=1, le=1000)] = 100
    """Number of attempts at a placement before it falls back to random placement, and then to the lower edge of the
    image."""
    horizon: Annotated[Mapping[str, Horizon], BeforeValidator(_as_table)] = {}
    """Row of the horizon, or `labels` to estimate it from the label map, by file name or pattern of the background.
    Used by the flat-ground prior for backgrounds without a depth map, and for affine depth. Default: labels for
    perspective placement without depth maps, otherwise 0.45."""

    prior: Prior = "flat"
    """Depth of backgrounds without a depth map. flat: flat ground below the horizon, infinitely far above it; upright:
    what the label map calls neither ground nor sky stands upright where it meets the ground. With label maps and
    without depth maps the default is upright."""

    depth: Literal["layered", "composite"] = "layered"
    """layered: combine the depth of background and objects exactly; composite: predict it with a teacher from each
    composed image, which does not guarantee equal bytes."""
    depth_teacher: HubName | RelativePath | None = None
    """Network that predicts composite depth: auto, ORG/NAME on the hub, or the path of a folder or an .onnx file. A
    relative path of two parts must start with ./"""
    mask: Literal["soft", "binary"] = "soft"
    """soft: masks store coverage; binary: masks are 0 or 255, with the edge at half coverage."""
    encoding: Literal["jpeg", "lossless"] = "jpeg"
    """jpeg: images, masks and depth are JPEG; lossless: all folders are PNG."""
    depth_near: Annotated[float, Field(gt=0.0)] | None = None
    """Inverse depth of the nearest code. Default: 0.5 / m for metric depth, 1.5 for scaled, 1 for affine."""
    depth_quantization: Literal["dataset", "image"] = "dataset"
    """dataset: 8-bit codes span one range for all images; image: they span the range of each image."""
    split: tuple[Share, Share, Share] = (0.8, 0.1, 0.1)
    """Shares of background identities and of foreground identities in train, val and test."""
    effects: EffectsField = Effects()
    """Shadows, distractors, haze, camera and other effects: `all`, `none`, or a mapping of fields. Default: with
    perspective placement for all samples shadows, with probability 0.7; otherwise none."""
    distractor_foregrounds: Folder | None = None
    """Folder of cut-outs with alpha of other things than the object, which `effects.distractors` pastes with mask 0."""

    @model_validator(mode="after")
    def _fill_in(self) -> Self:
        """Set the fields that are left out and whose default depends on other fields. They do not count as given."""
        defaults: dict[str, Any] = {"scale": _DEFAULT_SCALE}
        if self.labels is not None and self.depths is None:
            defaults["prior"] = "upright"
            if "perspective" in self.policies:
                # One horizon for all photos would give most objects a wrong size.
                defaults["horizon"] = {DEFAULT: "labels"}
        if set(self.policies) == {"perspective"}:
            defaults |= _PERSPECTIVE_DEFAULTS
        if self.layout is not None:
            defaults |= _LAYOUT_DEFAULTS
        # A table that names some cut-outs only leaves the default for the others open.
        defaults["scale"] = {DEFAULT: defaults["scale"]}
        if "scale" in self.model_fields_set and DEFAULT not in self.scale:
            object.__setattr__(self, "scale", {**self.scale, **defaults["scale"]})
        for name, value in defaults.items():
            if name not in self.model_fields_set:
                object.__setattr__(self, name, value)
        return self

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if abs(sum(self.split) - 1.0) > 1e-9:
            raise wrong_field("split", "shares that add up to 1")
        if self.policy_weights is not None and not 0 < sum(self.policy_weights.values()) < math.inf:
            raise wrong_field("policy_weights", "shares that add up to more than 0 and to a finite number")
        grounded = " and ".join(sorted(set(self.policies) - {"random"}))
        if grounded and self.labels is None:
            raise wrong_field("labels", f"a folder of label maps, which {grounded} placement needs")
        if self.labels is None and "labels" in self.horizon.values():
            raise wrong_field("labels", "a folder of label maps, which horizon 'labels' needs")
        if self.labels is None and self.prior == "upright":
            raise wrong_field("labels", "a folder of label maps, which prior 'upright' needs")
        if self.labels is None and self.present != "ignore":
            raise wrong_field("labels", f"a folder of label maps, which present {self.present!r} needs")
        if self.depth == "composite" and self.depth_teacher is None:
            raise wrong_field("depth_teacher", "the network that predicts the depth, which depth 'composite' needs")
        if self.depth == "layered" and self.depth_teacher is not None:
            raise wrong_field(
                "depth_teacher",
                "left out where depth is not 'composite'; for layered depth `qumade generate --depth-teacher` labels "
                "the backgrounds, and depths is the folder that it writes",
            )
        if self.instances and self.labels is not None and self.present == "mask":
            raise wrong_field(
                "present", "'ignore' or 'skip' where instances are written: what a photo already shows is no instance"
            )
        if self.depth_quantization == "image" and self.encoding == "lossless":
            raise wrong_field(
                "depth_quantization", "'dataset' where encoding is 'lossless': 'image' is for 8-bit codes"
            )
        return self

    @classmethod
    def load(cls, path: Path | str) -> "Recipe":
        """Reads a recipe file, or the recipe in a dataset.yaml. Raises QumadeError naming the file and the field."""
        return load_recipe(Path(path))

    def save(self, path: Path | str) -> None:
        """Writes the recipe so that `Recipe.load(path)` gives an equal one."""
        save_recipe(self, Path(path))

    @property
    def knows_present(self) -> bool:
        """Whether label maps tell where the backgrounds already show the object. Samples then have `ignore`."""
        return self.labels is not None and bool(self.target)

    @property
    def policies(self) -> dict[str, float]:
        """The share of samples of each placement policy that is used; they add up to 1."""
        policy_weights: Mapping[Policy, float] = (
            {self.placement: 1.0} if self.policy_weights is None else self.policy_weights
        )
        total = sum(policy_weights.values())
        return {name: share / total for name, share in policy_weights.items() if share > 0}


Value = TypeVar("Value")


def is_named(name: str, patterns: Sequence[str]) -> bool:
    """Whether one of the file names or patterns is that of file `name`."""
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def match_pattern(name: str, table: Mapping[str, Any]) -> str:
    """The key of `table` that holds for file `name`: the name itself, else the first fitting pattern, else default."""
    if name in table:
        return name
    patterns = (key for key in table if key != DEFAULT and fnmatch.fnmatchcase(name, key))
    return next(patterns, DEFAULT)


def for_file(name: str, table: Mapping[str, Value]) -> Value | None:
    """What a per-file table of the recipe says of file `name`; None where it says nothing."""
    return table.get(match_pattern(name, table))


def place_fields(recipe: Recipe) -> set[str]:
    """The fields that only say where files lie: paths and URLs. Files count by name and content."""
    return {name for name, value in recipe if isinstance(value, Path) or (isinstance(value, str) and is_url(value))}


def recipe_from_dict(values: object, source: str, folder: Path, *, name_field: Callable[[str], str] = str) -> Recipe:
    """A recipe from plain values. For `source`, `folder` and `name_field` see `parse_model`."""
    return parse_model(Recipe, values, source, what="recipe", folder=folder, name_field=name_field)


def load_recipe(path: Path) -> Recipe:
    """Reads a recipe file, or the recipe in a dataset's dataset.yaml. Raises QumadeError naming the file and field."""
    path = Path(os.path.abspath(os.path.expanduser(path)))  # noqa: PTH111
    values = read_yaml(path, "recipe", at_most=DATASET_BYTES)
    if isinstance(values, dict) and _is_of_dataset(values):
        values = values["recipe"]
    return recipe_from_dict(values, str(path), path.parent)


def holds_dataset(path: Path) -> bool:
    """Whether a YAML file describes a dataset, with its recipe in it, and is no recipe itself. Raises QumadeError."""
    return _is_of_dataset(read_yaml(path, "recipe", at_most=DATASET_BYTES))


def _is_of_dataset(values: object) -> bool:
    return isinstance(values, dict) and "recipe" in values and "format" in values


def recipe_to_dict(recipe: Recipe, folder: Path | None) -> dict[str, Any]:
    """Plain values for YAML, every field spelled out; paths relative to `folder`, where the file will lie, or absolute
    where it is no local folder."""
    values = plain_values(recipe, folder)
    if isinstance(recipe.depth_teacher, Path) and _is_hub_name(values["depth_teacher"]):
        values["depth_teacher"] = f"./{values['depth_teacher']}"
    return values


def save_recipe(recipe: Recipe, path: Path) -> None:
    """Writes a recipe file that `load_recipe` reads back unchanged. Raises QumadeError."""
    path = Path(os.path.abspath(os.path.expanduser(path)))  # noqa: PTH111
    write_yaml(recipe_to_dict(recipe, path.parent), path)
