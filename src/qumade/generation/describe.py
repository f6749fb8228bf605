"""Builds the content of dataset.yaml for a generated dataset."""

from importlib.metadata import version
from pathlib import Path
from typing import Any

from qumade.data.encode import folder_settings
from qumade.depth.encoding import DepthEncoding
from qumade.io.pictures import content_hash
from qumade.recipe import recipe_to_dict
from qumade.synth.synthesizer import Synthesizer

__all__ = ["PACKAGES", "describe", "describe_assets"]

PACKAGES = ("qumade", "numba", "numpy", "pillow", "simplejpeg")
"""Equal versions of these give equal bytes."""


def describe(synthesizer: Synthesizer, out: Path | None, samples: int, depth: DepthEncoding) -> dict[str, Any]:
    """Returns the content of dataset.yaml for a finished dataset of `samples` samples in the local folder
    `out`, or with absolute paths of the assets if that is None."""
    recipe = synthesizer.recipe
    classes = {"classes": list(synthesizer.catalog.classes)} if synthesizer.catalog.classes else {}
    return {
        "format": "qumade-dataset/1",
        "complete": True,
        "samples": samples,
        "size": list(recipe.size),
        "package": {name: version(name) for name in PACKAGES},
        "depth": depth.model_dump(mode="json", exclude_none=True),
        "folders": folder_settings(recipe, instances=synthesizer.writes_instances),
        **classes,
        "recipe": recipe_to_dict(recipe, out),
        "assets": describe_assets(synthesizer),
    }


def describe_assets(synthesizer: Synthesizer) -> dict[str, Any]:
    """Returns the name and hash of every asset file, with identities and splits.

    Folders are left out: a dataset stays the same if its assets are moved.
    """
    recipe, catalog = synthesizer.recipe, synthesizer.catalog
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
    # A file of class names affects where objects stand, just like the label maps.
    names = {"label_names_sha256": content_hash(recipe.label_names)} if isinstance(recipe.label_names, Path) else {}
    layout = {} if catalog.layout is None else {"layout_sha256": catalog.layout.sha256}
    others = [_present(name=d.name, sha256=d.sha256) | {"split": d.split} for d in catalog.distractors]
    distractors = {"distractor_foregrounds": others} if others else {}
    return {"backgrounds": backgrounds, "foregrounds": foregrounds} | distractors | names | layout


def _present(**values: str | None) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value is not None}
