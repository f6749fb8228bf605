"""Holds dataset.yaml against what its recipe and assets say now."""

import os
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from qumade.assets.local_recipe import shown_asset
from qumade.data.metadata import METADATA, Metadata
from qumade.errors import DatasetError
from qumade.generation.describe import describe
from qumade.generation.files_check import Problem
from qumade.io.config import parse_yaml, shown
from qumade.io.pictures import one_line
from qumade.io.storage import LocalFiles, Storage, open_storage
from qumade.recipe import Recipe, recipe_from_dict
from qumade.synth.synthesizer import Synthesizer

__all__ = ["described_problems"]

_FILE_KEYS = (
    "sha256", "depth", "depth_sha256", "labels", "labels_sha256", "mask", "mask_sha256", "relief", "relief_sha256",
)  # fmt: skip
_LEVELS = {"jpeg": 2, "png": 0}  # how far decoded pixels may differ between two versions of a codec


def described_problems(storage: Storage, meta: Metadata) -> tuple[Synthesizer, dict[str, int | None], list[Problem]]:
    """Returns the synthesizer of a dataset's recipe; by folder, None if its codec is the one that wrote it and
    otherwise by how many levels the pixels may differ; and what dataset.yaml says wrongly.

    Raises DatasetError naming an asset that is missing or has changed.
    """
    path = storage.where(METADATA)
    root = storage.root if isinstance(storage, LocalFiles) else None
    recipe = recipe_from_dict(dict(meta.recipe), path, root or Path("/"))
    _require_assets(recipe, meta.assets, path)
    synthesizer = Synthesizer.from_recipe(recipe)
    depth = synthesizer.depth_encoding or meta.depth
    if depth is None:
        raise DatasetError(f"Invalid dataset.yaml: key depth is missing in {path}; must be given")
    expected = describe(synthesizer, root, meta.samples or 0, depth)
    if meta.shards is not None:
        expected["shards"] = meta.shards.model_dump()
    found = parse_yaml(storage.read(METADATA), METADATA, path)
    if not isinstance(found, dict):
        raise DatasetError(f"Invalid {METADATA}: got no mapping in {path}; must be one")
    _require_same_assets(recipe, found.get("assets"), expected["assets"], path)
    codecs: dict[str, int | None] = {}
    wrong = [f"has the unknown key {shown(key)}" for key in found if key not in expected]
    wrong += [f"lacks the key {key}" for key in expected if key not in found]
    for key in expected.keys() & found.keys() - {"package", "samples", "folders"}:
        wrong += _differences(key, found[key], expected[key])
    wrong += _codec_differences(found.get("folders"), expected["folders"], found.get("package"), codecs)
    return synthesizer, codecs, [Problem("-", one_line(path), each) for each in sorted(wrong)]


def _require_assets(recipe: Recipe, assets: Mapping[str, Any], path: str) -> None:
    """Names the first asset that is not there any more, before anything is read."""

    @cache
    def listed(folder: str, part: str) -> set[str]:
        return set(open_storage(folder).sizes(part))

    def exists(folder: Path | str, name: str) -> bool:
        if isinstance(folder, Path):
            return os.path.lexists(folder / name)
        part, _, last = name.rpartition("/")
        return last in listed(folder, part)

    folders = {
        "backgrounds": {"name": recipe.backgrounds, "depth": recipe.depths, "labels": recipe.labels},
        "foregrounds": {"name": recipe.foregrounds, "mask": recipe.masks, "relief": recipe.reliefs},
        "distractor_foregrounds": {"name": recipe.distractor_foregrounds},
    }
    for kind, places in folders.items():
        entries = assets.get(kind, [])
        for entry in entries if isinstance(entries, list) else ():
            for key, folder in places.items():
                name = entry.get(key) if isinstance(entry, dict) else None
                if folder is not None and isinstance(name, str) and not exists(folder, name):
                    raise DatasetError(
                        f"Invalid assets: got no file {shown_asset(folder, name)}; must be there, for the dataset of "
                        f"{path} was made of it"
                    )


def _require_same_assets(recipe: Recipe, found: Any, expected: dict[str, Any], path: str) -> None:
    """Names the asset that differs from the one that the dataset was made of."""
    found = found if isinstance(found, dict) else {}
    places = {
        "backgrounds": recipe.backgrounds,
        "foregrounds": recipe.foregrounds,
        "distractor_foregrounds": recipe.distractor_foregrounds,
    }
    for kind, folder in places.items():
        before, now = _files_by_name(found.get(kind)), _files_by_name(expected.get(kind))
        for name in sorted(before.keys() | now.keys()):
            if before.get(name) != now.get(name):
                changed = sorted(
                    key for key in _FILE_KEYS if before.get(name, {}).get(key) != now.get(name, {}).get(key)
                )
                how = f"has changed ({', '.join(changed)})"
                how = "is not usable any more" if name not in now else "is new" if name not in before else how
                asset = shown_asset(folder or Path(), name)
                raise DatasetError(f"Invalid assets: got {asset}, which {how}; must be as when {path} was written")
    keys = sorted(
        key for key in found.keys() | expected.keys() if key not in places and found.get(key) != expected.get(key)
    )
    if keys:
        raise DatasetError(f"Invalid assets: got other {', '.join(map(str, keys))} than {path} says; must be equal")


def _files_by_name(entries: Any) -> dict[str, dict[str, Any]]:
    """Returns the names and hashes of the files of each asset; the rest of an entry follows from the recipe."""
    found = [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []
    return {str(entry.get("name")): {key: entry[key] for key in _FILE_KEYS if key in entry} for entry in found}


def _differences(where: str, found: Any, expected: Any) -> Iterator[str]:
    """Yields each innermost value that differs, in words."""
    if isinstance(found, dict) and isinstance(expected, dict):
        for key in sorted(found.keys() | expected.keys(), key=str):
            if key not in found:
                yield f"lacks the key {where}.{key}"
            elif key not in expected:
                yield f"has the unknown key {where}.{shown(key)}"
            else:
                yield from _differences(f"{where}.{key}", found[key], expected[key])
    elif found != expected:
        yield f"has {where} {shown(found)}; must be {shown(expected)}"


def _codec_differences(
    found: Any, expected: Mapping[str, Any], package: Any, codecs: dict[str, int | None]
) -> list[str]:
    """Returns the settings of codecs that differ in more than a version, and fills in `codecs`."""
    found = found if isinstance(found, dict) else {}
    package = package if isinstance(package, dict) else {}
    wrong: list[str] = []
    for folder in sorted(found.keys() | expected.keys(), key=str):
        before, now = found.get(folder), expected.get(folder)
        codecs[folder] = None
        if not isinstance(before, dict) or now is None or "encoder" not in before:
            wrong += _differences(f"folders.{folder if folder in expected else shown(folder)}", before, now)
            continue
        wrong += _differences(f"folders.{folder}", {**before, "encoder": ""}, {**now, "encoder": ""})
        ours, theirs = _versions(now["encoder"]), _versions(before["encoder"])
        if ours.keys() != theirs.keys():
            wrong += _differences(f"folders.{folder}.encoder", before["encoder"], now["encoder"])
        elif ours != theirs:
            codecs[folder] = _LEVELS[now["format"]]
        for name in theirs.keys() & package.keys():
            if package[name] != theirs[name]:
                wrong.append(
                    f"has folders.{folder}.encoder {shown(before['encoder'])} but package.{name} "
                    f"{shown(package[name])}; must agree"
                )
    return wrong


def _versions(encoder: Any) -> dict[str, str]:
    """Returns the versions in "pillow 12.0.0, zlib 1.3.1" by name."""
    return dict(re.findall(r"(\S+) ([^\s,]+)", encoder)) if isinstance(encoder, str) else {}
