"""Name the fields of a recipe that change nothing, because another field or the assets leave them without effect."""

from collections.abc import Iterator

from qumade.assets.catalog import Catalog
from qumade.recipe import Recipe

__all__ = ["idle_fields"]

_NEED_LABELS = ("target", "place", "contact_rows", "contact_distance", "contact_sampling", "label_names")
_NEED_PERSPECTIVE = ("height_m", "camera_height_m")


def idle_fields(recipe: Recipe, catalog: Catalog) -> Iterator[tuple[str, str]]:
    """Yield the name of each field that is set and has no effect on these assets, and why."""
    mapped = all(background.depth_name is not None for background in catalog.backgrounds)
    if recipe.labels is None:
        for name in filter(lambda name: _is_set(recipe, name), _NEED_LABELS):
            yield name, "it needs label maps (labels)"
    elif set(recipe.policies) == {"random"} and recipe.place:
        yield "place", "it is for semantic and perspective placement"
    if "perspective" not in recipe.policies:
        for name in filter(lambda name: _is_set(recipe, name), _NEED_PERSPECTIVE):
            yield name, "it is for perspective placement"
    if any(isinstance(row, float) for row in recipe.horizon.values()) and mapped:
        if catalog.depth_kind != "affine":
            yield "horizon", f"all backgrounds have depth maps, which are {catalog.depth_kind}"
        elif recipe.labels is None:
            yield "horizon", "for affine depth maps it needs label maps too (labels)"
    if recipe.prior == "upright" and mapped:
        yield "prior", "all backgrounds have depth maps"
    if recipe.rows > 0 and recipe.objects[1] == 1:
        yield "rows", "no sample has more than one object (objects)"
    elif recipe.rows > 0 and all(background.plane is None for background in catalog.backgrounds):
        yield "rows", "no background has a known ground plane, along which a row would stand"
    if recipe.distractor_foregrounds is not None and recipe.effects.distractors[1] == 0:
        yield "distractor_foregrounds", "the effects have no distractors (effects.distractors)"
    if recipe.depths is None and _is_set(recipe, "depths_kind"):
        yield "depths_kind", "it is for depth maps (depths)"


def _is_set(recipe: Recipe, name: str) -> bool:
    return bool(getattr(recipe, name) != Recipe.model_fields[name].default)
