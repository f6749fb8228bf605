"""Reads and writes dataset.yaml, which describes the files of a dataset. Its values are untrusted and validated."""

from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictStr

from qumade.depth.encoding import DepthEncoding
from qumade.errors import DatasetError
from qumade.io.config import DATASET_BYTES, parse_model, read_yaml, shown
from qumade.io.files import is_temporary, write_bytes
from qumade.io.pictures import printable

__all__ = [
    "METADATA",
    "FolderSettings",
    "Metadata",
    "ShardSettings",
    "begun_metadata",
    "metadata_text",
    "read_metadata",
    "refuse_other",
    "write_metadata",
]

METADATA = "dataset.yaml"
_MAY_GROW = ("complete", "samples")

Count = Annotated[int, Field(strict=True, ge=0)]
Side = Annotated[int, Field(strict=True, ge=1)]


class FolderSettings(BaseModel):
    """How the files of one folder are encoded. Further codec settings depend on the writer."""

    model_config = ConfigDict(frozen=True, extra="allow")

    suffix: Literal[".jpg", ".jpeg", ".png"]
    format: Literal["jpeg", "png"]


class ShardSettings(BaseModel):
    """How a dataset is divided into shards: the most `samples` that one holds. See `qumade.plan.shards`."""

    model_config = ConfigDict(frozen=True)

    samples: Annotated[int, Field(strict=True, ge=1)]


class Metadata(BaseModel):
    """The content of dataset.yaml. `recipe`, `assets`, `package` and `import` are not validated here."""

    model_config = ConfigDict(frozen=True)

    format: Literal["qumade-dataset/1"]
    complete: StrictBool
    samples: Count | None = None
    size: tuple[Side, Side] | None = None  # width, height
    depth: DepthEncoding | None = None
    folders: dict[StrictStr, FolderSettings] | None = None
    classes: tuple[StrictStr, ...] = ()
    """The classes of the objects in instances/; none if they are of one class without a name."""
    shards: ShardSettings | None = None
    package: dict[StrictStr, Any] = {}
    recipe: dict[StrictStr, Any] = {}
    assets: dict[StrictStr, Any] = {}
    source: dict[StrictStr, Any] = Field({}, alias="import")
    """Where an imported dataset comes from."""


def read_metadata(path: Path) -> Metadata:
    """Return the validated content of a dataset.yaml. Raises QumadeError naming the file and the first wrong key."""
    return parse_model(Metadata, read_yaml(path, METADATA, at_most=DATASET_BYTES), str(path), what=METADATA)


def write_metadata(root: Path, content: dict[str, Any]) -> None:
    """Write dataset.yaml atomically and sync it to disk."""
    write_bytes(root / METADATA, metadata_text(content), durable=True)


def metadata_text(content: dict[str, Any]) -> bytes:
    """Return the text of a dataset.yaml."""
    text = yaml.dump(content, Dumper=yaml.CSafeDumper, sort_keys=False, allow_unicode=True, default_flow_style=None)
    return text.encode()


def begun_metadata(root: Path, expected: dict[str, Any], command: str) -> dict[str, Any] | None:
    """Return the content of the dataset.yaml in `root`, or None if the folder is empty or missing.

    Raises QumadeError if `root` holds anything else, or a dataset that differs from `expected` in more than `complete`
    and `samples`. `command`, which writes such datasets, is named in the message.
    """
    path = root / METADATA
    if not path.exists():
        if root.exists() and not root.is_dir():
            raise DatasetError(f"Invalid --out: got the file {printable(root)}; must be a folder")
        strange = [entry.name for entry in root.iterdir() if not is_temporary(entry.name)] if root.is_dir() else []
        if strange:
            raise DatasetError(
                f"Invalid --out: {printable(root)} is not empty and holds no {METADATA} (but {min(strange)!r}); must "
                f"be a new or empty folder, or one that `{command}` has begun"
            )
        return None
    return refuse_other(read_yaml(path, METADATA, at_most=DATASET_BYTES), expected, str(path), printable(root))


def refuse_other(found: Any, expected: dict[str, Any], source: str, root: str) -> dict[str, Any]:
    """Return the content of a dataset.yaml, read from `source`. Raises QumadeError if it differs from `expected` in
    more than `complete` and `samples`, naming the dataset's folder `root`."""
    if not isinstance(found, dict) or not all(key in found for key in _MAY_GROW):
        raise DatasetError(f"Invalid {METADATA}: {source} describes no dataset; must have {', '.join(_MAY_GROW)}")
    complete, samples = found["complete"], found["samples"]
    if not isinstance(complete, bool) or isinstance(samples, bool) or not isinstance(samples, int) or samples < 0:
        got = f"complete {shown(complete)} and samples {shown(samples)}"
        raise DatasetError(f"Invalid {METADATA}: got {got} in {source}; must be true or false, and a number")
    for key in (*expected, "shards"):  # a folder of files has none
        if key not in _MAY_GROW and found.get(key) != expected.get(key):
            where, there, here = _first_difference(key, found.get(key), expected.get(key))
            raise DatasetError(
                f"Invalid --out: {root} holds a dataset with {where} {there!r}, this one has {here!r}; must "
                "be equal, or use another folder"
            )
    return found


def _first_difference(where: str, there: Any, here: Any) -> tuple[str, Any, Any]:
    """Return the innermost key at which two parsed values differ, and both values there."""
    if isinstance(there, dict) and isinstance(here, dict):
        keys: Any = [*here, *(key for key in there if key not in here)]
        pairs = [(f"{where}.{key}", there.get(key), here.get(key)) for key in keys]
    elif isinstance(there, list) and isinstance(here, list) and len(there) == len(here):
        pairs = [(f"{where}[{_name(b, n)}]", a, b) for n, (a, b) in enumerate(zip(there, here, strict=True))]
    else:
        return where, _counted(there), _counted(here)
    return next(_first_difference(*pair) for pair in pairs if pair[1] != pair[2])


def _name(value: Any, number: int) -> Any:
    """Return the file name of an asset, or the number of any other entry."""
    return value.get("name", number) if isinstance(value, dict) else number


def _counted(value: Any) -> Any:
    return f"{len(value)} entries" if isinstance(value, list | dict) and len(value) > 4 else value
