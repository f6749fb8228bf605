"""Fixed hashes of plans and samples of the bundled assets: whoever moves code must not move a pixel.

A hash may change with a reason only, which the commit and CHANGELOG.md state: datasets that people have begun cannot be
continued afterwards. Lengths are rounded, for the last bit of a sum depends on the processor.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qumade.assets.bundled import write_samples
from qumade.data.encode import encode_sample
from qumade.io.decode import decode_grey, decode_rgb
from qumade.recipe import Recipe
from qumade.synth.synthesizer import Synthesizer

_DECIMALS = 6
# Columns that came after the hashes; the variants do not use what they count.
_ADDED = ("rejected_layout", "rejected_row")
# What perspective placement sets by default came after the hashes, too.
_PLAIN = {
    "objects": (1, 1), "scale": (0.1, 0.5), "min_visible": 0.7, "crop": (1.0, 1.0), "contact_sampling": "picture",
    "effects": "none",
}  # fmt: skip
_VARIANTS: dict[str, dict[str, Any]] = {
    "random": {"placement": "random"},
    "semantic": {"placement": "semantic", "contact_rows": (0.4, 0.9)},
    "perspective": _PLAIN | {"placement": "perspective", "contact_sampling": "distance"},
    "several": _PLAIN | {"placement": "perspective", "objects": (2, 5), "min_visible": 0.3, "scale": (0.05, 0.6)},
    "cropped": {
        "policy_weights": {"random": 1.0, "semantic": 1.0, "perspective": 2.0}, "crop": (0.5, 1.0), "flip": True,
        "objects": (1, 3), "size": (160, 96),
    },
    "street": {"placement": "perspective", "effects": "none"},
    "upright": {
        "placement": "perspective", "depths": None, "reliefs": None, "horizon": "labels", "effects": "none",
    },
    "shadowed": {"placement": "perspective"},
}  # fmt: skip
_PLANS = {
    "random": "8c79fb5181a2acce",
    "semantic": "4cf7794888944004",
    "perspective": "ee5c4cb80fb0a850",
    "several": "3809b86de47a3317",
    "cropped": "b76f694f78bf57db",
    "street": "6ba325812a52a778",
    "upright": "7b313028cb9ec8af",
    "shadowed": "6ba325812a52a778",
}
_SAMPLES = {
    "random": "6421d1a81fc672c4",
    "semantic": "acb1462ac49b983d",
    "perspective": "2ea8c6ce40da74b2",
    "several": "60486acd62e9ca59",
    "cropped": "9fc99a0f2eab0eb3",
    "street": "c7bcd328fb8a9536",
    "upright": "6285bf8810d236e4",
    "shadowed": "7a73c002c80fc787",
}


@pytest.fixture(scope="module")
def synthesizer_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Synthesizer]:
    folder = tmp_path_factory.mktemp("samples")
    write_samples(folder)
    kept: dict[str, Synthesizer] = {}

    def make(variant: str) -> Synthesizer:
        if variant not in kept:
            fields = {
                f"{name}": folder / name for name in ("backgrounds", "foregrounds", "labels", "depths", "reliefs")
            }
            fields |= {"label_names": "cityscapes", "seed": 7, "encoding": "lossless"}
            recipe = Recipe(**{**fields, **_VARIANTS[variant]})
            kept[variant] = Synthesizer.from_recipe(recipe)
        return kept[variant]

    return make


def _plan_hash(plans: Any) -> str:
    digest = hashlib.sha256()
    for rows in (plans.samples, plans.objects):
        for name in rows.dtype.names:
            values = rows[name]
            if name in _ADDED:
                assert not values.any()
                continue
            if values.dtype.kind == "f":
                values = np.round(values.astype(np.float64), _DECIMALS) + 0.0
            digest.update(name.encode() + np.ascontiguousarray(values).tobytes())
    return digest.hexdigest()[:16]


def _sample_hash(synthesizer: Synthesizer, plan: Any) -> str:
    encoded = encode_sample(synthesizer.render(plan), synthesizer.depth_encoding, synthesizer.recipe.encoding)
    digest = hashlib.sha256()
    for folder in ("images", "masks", "depth"):
        decode = decode_rgb if folder == "images" else decode_grey
        digest.update(decode(encoded.files[folder], Path(folder)).tobytes())
    return digest.hexdigest()[:16]


@pytest.mark.parametrize("variant", _VARIANTS)
def test_plans_and_a_sample_are_pinned(synthesizer_of: Callable[[str], Synthesizer], variant: str) -> None:
    synthesizer = synthesizer_of(variant)
    indices = np.linspace(0, len(synthesizer) - 1, 20).astype(np.int64)
    assert _plan_hash(synthesizer.plan(indices)) == _PLANS[variant]
    assert _sample_hash(synthesizer, synthesizer.plan([len(synthesizer) // 3])[0]) == _SAMPLES[variant]
