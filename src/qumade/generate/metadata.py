"""dataset.yaml of a dataset that this package writes: what it is made of and how its files are encoded."""

from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml

from qumade.assets.catalog import Catalog
from qumade.data.encode import depth_code, folder_codes
from qumade.data.metadata import DepthCode
from qumade.errors import QumadeError
from qumade.io.files import is_temporary, write_bytes
from qumade.io.pictures import content_hash
from qumade.recipe import Recipe, recipe_to_dict

__all__ = ["DESCRIPTION", "describe", "describe_assets", "read_own_description", "write_description"]

DESCRIPTION = "dataset.yaml"

# Equal versions of these give equal bytes.
_PACKAGES = ("qumade", "numba", "numpy", "pillow", "simplejpeg")
_MAY_GROW = ("complete", "samples")


def describe(
    recipe: Recipe, catalog: Catalog, out: Path, samples: int, composite: DepthCode | None = None
) -> dict[str, Any]:
    """The content of dataset.yaml for a finished dataset of that many samples in `out`; `composite` is the code of
    depth that is predicted from the composites."""
    return {
        "format": "qumade-dataset/1",
        "complete": True,
        "samples": samples,
        "size": list(recipe.size),
        "package": {name: version(name) for name in _PACKAGES},
        "depth": (composite or depth_code(recipe, catalog)).model_dump(mode="json", exclude_none=True),
        "folders": folder_codes(recipe),
        "recipe": recipe_to_dict(recipe, out),
        "assets": describe_assets(recipe, catalog),
    }


def describe_assets(recipe: Recipe, catalog: Catalog) -> dict[str, Any]:
    """Every file that a sample is made of, by name and hash, with identities and splits; folders are not told."""
    backgrounds = [
        _present(
            name=b.name,
            sha256=b.sha256,
            depth=b.depth_name,
            depth_sha256=b.depth_sha256,
            labels=b.labels_name,
            labels_sha256=b.labels_sha256,
        )
        | {"identity": b.identity, "split": b.split}
        for b in catalog.backgrounds
    ]
    foregrounds = [
        _present(
            name=f.name,
            sha256=f.sha256,
            mask=f.mask_name,
            mask_sha256=f.mask_sha256,
            relief=f.relief_name,
            relief_sha256=f.relief_sha256,
        )
        | {"flip": f.flip, "identity": f.identity, "split": f.split}
        for f in catalog.foregrounds
    ]
    # A file of class names decides where things stand, as the pictures do.
    names = {"label_names_sha256": content_hash(recipe.label_names)} if isinstance(recipe.label_names, Path) else {}
    return {"backgrounds": backgrounds, "foregrounds": foregrounds} | names


def _present(**values: str | None) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value is not None}


def write_description(out: Path, description: dict[str, Any]) -> None:
    """Writes dataset.yaml, whole or not at all, and safe on the disk."""
    text: str = yaml.dump(
        description, Dumper=yaml.CSafeDumper, sort_keys=False, allow_unicode=True, default_flow_style=None
    )
    write_bytes(out / DESCRIPTION, text.encode(), durable=True)


def read_own_description(out: Path, expected: dict[str, Any]) -> dict[str, Any] | None:
    """The dataset.yaml in `out`, None in an empty folder.

    Raises QumadeError where the folder holds something else, or a dataset made of something else than `expected`.
    """
    path = out / DESCRIPTION
    if not path.exists():
        strange = sorted(entry.name for entry in out.iterdir() if not is_temporary(entry.name))
        if strange:
            raise QumadeError(
                f"Invalid --out: {out} is not empty and holds no {DESCRIPTION} (but {strange[0]!r}); must be a new or "
                "empty folder, or one that `qumade generate` has begun"
            )
        return None
    try:
        found = yaml.load(path.read_text("utf-8"), yaml.CSafeLoader)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise QumadeError(f"Invalid {DESCRIPTION}: cannot read {path}: {' '.join(str(error).split())}") from None
    if not isinstance(found, dict) or not all(key in found for key in _MAY_GROW):
        raise QumadeError(f"Invalid {DESCRIPTION}: {path} is none of a dataset; must have {', '.join(_MAY_GROW)}")
    for key in expected:
        if key not in _MAY_GROW and found.get(key) != expected[key]:
            where, there, here = _first_difference(key, found.get(key), expected[key])
            raise QumadeError(
                f"Invalid --out: {out} holds a dataset with {where} {there!r}, this one has {here!r}; must be made of "
                "the same, or go to another folder"
            )
    return found


def _first_difference(where: str, there: Any, here: Any) -> tuple[str, Any, Any]:
    """The innermost place at which two parsed values differ, and what is there in each."""
    if isinstance(there, dict) and isinstance(here, dict):
        keys: Any = [*here, *(key for key in there if key not in here)]
        pairs = [(f"{where}.{key}", there.get(key), here.get(key)) for key in keys]
    elif isinstance(there, list) and isinstance(here, list) and len(there) == len(here):
        pairs = [(f"{where}[{_name(b, n)}]", a, b) for n, (a, b) in enumerate(zip(there, here, strict=True))]
    else:
        return where, _short(there), _short(here)
    return next(_first_difference(*pair) for pair in pairs if pair[1] != pair[2])


def _name(value: Any, number: int) -> Any:
    """An asset is told by its name, anything else by its number."""
    return value.get("name", number) if isinstance(value, dict) else number


def _short(value: Any) -> Any:
    return f"{len(value)} of them" if isinstance(value, list | dict) and len(value) > 4 else value
