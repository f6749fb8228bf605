from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from qumade.effects import Effects
from qumade.geometry import GroundPlane
from qumade.recipe import Recipe
from qumade.synth.build_catalog import build_catalog
from qumade.synth.idle_fields import idle_fields

LABELS = {"labels": Path("labels"), "label_names": "cityscapes"}
DEPTHS = {"depths": Path("depths")}


def idle(kind: str = "scaled", plane: GroundPlane | None = None, **fields: Any) -> dict[str, str]:
    recipe = Recipe(backgrounds=Path("b"), foregrounds=Path("f"), **fields)
    mapped = recipe.depths is not None
    background = SimpleNamespace(depth_name="a.png" if mapped else None, plane=plane)
    catalog: Any = SimpleNamespace(backgrounds=(background,), depth_kind=kind)
    return dict(idle_fields(recipe, catalog))


@pytest.mark.parametrize(
    ("field", "fields", "kind", "why"),
    [
        ("target", {"target": ("person",)}, "scaled", "label maps"),
        ("contact_rows", {"contact_rows": (0.5, 1.0)}, "scaled", "label maps"),
        ("place", {"place": {"*": ("road",)}, **LABELS}, "scaled", "perspective placement"),
        ("height_m", {"height_m": {"*": 1.5}, **LABELS, "placement": "semantic"}, "scaled", "perspective placement"),
        ("horizon", {"horizon": 0.4, **DEPTHS}, "metric", "which are metric"),
        ("horizon", {"horizon": 0.4, **DEPTHS}, "affine", "label maps"),
        ("prior", {"prior": "upright", **LABELS, **DEPTHS}, "metric", "have depth maps"),
        ("rows", {"rows": 0.5}, "scaled", "more than one object"),
        ("rows", {"rows": 0.5, "objects": (1, 3)}, "scaled", "ground plane"),
        ("distractor_foregrounds", {"distractor_foregrounds": Path("d")}, "scaled", "distractors"),
        ("depths_kind", {"depths_kind": "metric"}, "scaled", "depth maps"),
    ],
)
def test_a_field_without_effect_is_named(field: str, fields: dict[str, Any], kind: str, why: str) -> None:
    found = idle(kind, **fields)
    assert list(found) == [field] and why in found[field]


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        ({}, "scaled"),
        ({"horizon": 0.4}, "scaled"),
        ({"horizon": 0.4, **LABELS, **DEPTHS}, "affine"),
        ({**LABELS, "placement": "perspective", "rows": 0.3, "height_m": {"*": 1.5}, "target": ("bus",)}, "scaled"),
        ({"distractor_foregrounds": Path("d"), "effects": Effects(distractors=(1, 2))}, "scaled"),
        ({**DEPTHS, "depths_kind": "metric"}, "metric"),
    ],
)
def test_fields_with_an_effect_are_not(fields: dict[str, Any], kind: str) -> None:
    assert idle(kind, GroundPlane(0.0, 0.01, -0.4), **fields) == {}


def test_the_check_says_so(asset_folders: Path) -> None:
    folders = {"backgrounds": asset_folders / "backgrounds", "foregrounds": asset_folders / "foregrounds"}
    findings = [found for found in build_catalog(Recipe(**folders, rows=0.5))[1] if found.reason == "idle-field"]
    assert [found.detail.split(" has no effect: ")[0] for found in findings] == ["rows of the recipe"]
