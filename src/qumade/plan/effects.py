"""Draw the parameters of a sample's effects, as a pure function of the plan and a variant.

Variants of one plan have the same objects and cut-outs of other things in the same places, so their labels are equal.
All else differs: edges, shadows, patches of the photo, haze and camera.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from qumade.assets.catalog import Background, Catalog, Foreground
from qumade.effects import Blend, Effects
from qumade.jit import compiled
from qumade.plan.planner import Plan
from qumade.plan.random_numbers import Stream, uniforms
from qumade.recipe import Recipe

__all__ = [
    "Camera", "Distractor", "EffectTables", "Haze", "Look", "SampleEffects", "Shadow", "effect_tables", "plan_effects",
]  # fmt: skip

_LOOKS = 1 << 20  # items of the stream DISTRACTOR from here on are for looks
_TRIES = 16  # draws of a place on the ground for a distractor, which is left out after that
_HEIGHTS = (0.3, 1.2)  # of a distractor on known ground, in heights of the camera
_UNKNOWN_TILT = 0.3  # of ground whose horizon is unknown; tan of the angle at which the camera looks down on it
_LEAST_TILT = 0.04
_LEAST_AWAY = 0.15  # a shadow exactly to the side would be a line
_TO_HORIZON = 0.6  # a shadow covers at most this share of the way to the horizon
_LONGEST = 2.5  # length of a shadow, in heights of the object
_FOCAL = 1.0  # assumed focal length, as a share of the longer side of the photo

_Four = tuple[float, float, float, float]


class Shadow(NamedTuple):
    """The shadow of an upright object on the ground.

    A point of the object at height t px falls on the ground at `along` t px to the right and `away` t px away from the
    camera, where the ground is drawn `tilt` times as high as it is long. `strength` is the share of the light that it
    takes; 0 for no shadow. The edge is `softness` times the object's size wide.
    """

    strength: float
    along: float = 0.0
    away: float = 1.0
    tilt: float = _UNKNOWN_TILT
    softness: float = 0.1


class Look(NamedTuple):
    """How one thing is pasted: `blend` with an edge of `edge_px`, `harmonise` in [0, 1], and its shadow."""

    blend: Blend
    edge_px: float
    harmonise: float
    shadow: Shadow


_PLAIN = Look("alpha", 0.0, 0.0, Shadow(0.0))


class Distractor(NamedTuple):
    """A thing that is not the object. Geometry as in OBJECT_ROW.

    kind "patch": the photo, moved by `shift` (right, down) pixels, in the silhouette of foreground `asset`; "shadow":
    the shadow alone of foreground `asset`; "thing": cut-out `asset` of the catalog's `distractors`.
    """

    kind: str
    asset: int
    left: float
    top: float
    width: float
    height: float
    contact_u: float
    contact_v: float
    inverse_depth: float
    shift: tuple[int, int]
    look: Look


class Haze(NamedTuple):
    """Haze of a `density` per distance of the lower edge, up to the distance `far`; `light` is sRGB, 0 to 255."""

    density: float
    far: float
    light: tuple[float, float, float]


class Camera(NamedTuple):
    """How the whole picture is taken; see Effects. `noise_key` below 2^53 chooses the noise."""

    blur_px: float
    vignette: float
    exposure: float
    gamma: float
    noise: float
    noise_key: int
    jpeg_quality: int | None


class SampleEffects(NamedTuple):
    """The effects of one sample: a look per object, distractors in the order of drawing, haze and camera."""

    objects: tuple[Look, ...]
    distractors: tuple[Distractor, ...]
    haze: Haze
    camera: Camera


class EffectTables(NamedTuple):
    """What drawing effects needs of recipe and catalog. `*_of` has the numbers of the assets in each split."""

    effects: Effects
    size: tuple[int, int]
    catalog: Catalog
    foregrounds_of: dict[str | None, NDArray[np.int64]]
    distractors_of: dict[str | None, NDArray[np.int64]]


class _Scene(NamedTuple):
    """What all things of one variant of a sample share: the sun is (direction, height), both in radians."""

    tables: EffectTables
    plan: Plan
    variant: int
    sample: int
    background: Background
    scale_y: float
    sun: tuple[float, float] = (0.0, 0.0)

    @property
    def focal_px(self) -> float:
        return _FOCAL * max(self.background.width, self.background.height) * self.scale_y

    def draw_many(self, stream: Stream, first: int, count: int) -> NDArray[np.float64]:
        """Return four numbers in [0, 1) for each of the items from `first`, float64 [count, 4]."""
        key = self.plan.seed, int(stream), self.sample, first, count, self.variant << 32
        numbers: NDArray[np.float64] = _draw_items(*key)
        return numbers

    def draw(self, stream: Stream, item: int, *, shared: bool = False, attempt: int = 0) -> _Four:
        """Return four numbers in [0, 1), the same for all variants if `shared`."""
        variant = 0 if shared else self.variant
        four: _Four = uniforms(self.plan.seed, int(stream), self.sample, item, (variant << 32) + attempt)
        return four


@compiled()
def _draw_items(seed, stream, index, first, count, attempt):  # type: ignore[no-untyped-def]
    numbers = np.empty((count, 4))
    for n in range(count):
        numbers[n] = uniforms(seed, stream, index, first + n, attempt)
    return numbers


def effect_tables(recipe: Recipe, catalog: Catalog) -> EffectTables:
    """Return what `plan_effects` needs for all samples of a recipe."""
    return EffectTables(
        recipe.effects, recipe.size, catalog, _by_split(catalog.foregrounds), _by_split(catalog.distractors)
    )


def plan_effects(tables: EffectTables, plan: Plan, variant: int = 0) -> SampleEffects:
    """Return the effects of a planned sample; each variant has others."""
    effects, row = tables.effects, plan.sample
    background = tables.catalog.backgrounds[int(row["background"])]
    scene = _Scene(tables, plan, variant, int(row["index"]), background, float(row["scale_y"]))
    numbers = scene.draw_many(Stream.EFFECT_SAMPLE, 0, 5).tolist()
    azimuth, height, haze, light = numbers[0]
    scene = scene._replace(sun=(2 * math.pi * azimuth, math.radians(_between(effects.sun_deg, height))))
    objects, looks = [], scene.draw_many(Stream.EFFECT_OBJECT, 0, 2 * len(plan.objects)).tolist()
    for number, thing in enumerate(plan.objects):
        point = float(thing["contact_background_u"]), float(thing["contact_background_v"])
        height_px = float(thing["contact_v"]) - float(thing["top"])
        objects.append(_look(scene, looks[2 * number : 2 * number + 2], point, height_px))
    brightness = 255 * _between(effects.haze_light, light)
    colour = 0.96 * brightness, 0.985 * brightness, brightness  # scattered light is a little blue
    return SampleEffects(
        tuple(objects),
        tuple(_distractors(scene)),
        Haze(_between(effects.haze, haze) * (numbers[3][0] < effects.often), effects.haze_far, colour),
        _camera(effects, numbers),
    )


def _by_split(assets: Sequence[Foreground]) -> dict[str | None, NDArray[np.int64]]:
    splits = {asset.split for asset in assets}
    return {split: np.array([n for n, asset in enumerate(assets) if asset.split == split]) for split in splits}


def _between(ends: tuple[float, float], draw: float) -> float:
    return ends[0] + (ends[1] - ends[0]) * draw


def _whole(ends: tuple[int, int], draw: float) -> int:
    return ends[0] + int(draw * (ends[1] - ends[0] + 1))


def _look(
    scene: _Scene,
    numbers: Sequence[Sequence[float]],
    point: tuple[float, float],
    height_px: float,
    *,
    certain: bool = False,
) -> Look:
    """Draw the look of a thing `height_px` high whose contact is at a point of the photo.

    Each part has its own random numbers: switching one on leaves the others as they are. A `certain` shadow is always
    cast.
    """
    effects = scene.tables.effects
    (blend, width, harmonise, there), (strength, softness, fitted, _) = numbers
    kind = effects.blend[int(blend * len(effects.blend))]
    edges = {"feather": effects.feather_px, "soften": effects.soften_px}
    edge_px = _between(edges[kind], width) if kind in edges else 0.0
    shadow = _PLAIN.shadow
    if certain or there < effects.shadow:
        shadow = Shadow(
            _between(effects.shadow_strength, strength),
            *_fall(scene, height_px),
            tilt=_tilt(scene, point),
            softness=_between(effects.shadow_softness, softness),
        )
    return Look(kind, edge_px, _between(effects.harmonise, harmonise) * (fitted < effects.often), shadow)


def _fall(scene: _Scene, height_px: float) -> tuple[float, float]:
    """Return where the shadow of a point of an object falls: to the right and away, per height of the point."""
    azimuth, elevation = scene.sun
    length = min(math.cos(elevation) / math.sin(elevation), _LONGEST)
    along, away = length * math.cos(azimuth), length * math.sin(azimuth)
    if abs(away) < _LEAST_AWAY:
        away = math.copysign(_LEAST_AWAY, away)
    # The horizon is tilt x focal length above the contact, the end of the shadow tilt x away x height.
    return along, min(away, _TO_HORIZON * scene.focal_px / max(height_px, 1.0))


def _tilt(scene: _Scene, point: tuple[float, float]) -> float:
    """Return how high a stretch of ground away from the camera is drawn, per length."""
    below_px = _below_horizon(scene, point)
    return _UNKNOWN_TILT if below_px is None else max(below_px / scene.focal_px, _LEAST_TILT)


def _distractors(scene: _Scene) -> list[Distractor]:
    """Draw the distractors: patches first, then shadows, then things from far to near."""
    tables, effects = scene.tables, scene.tables.effects
    split = tables.catalog.foregrounds[int(scene.plan.sample["foreground"])].split
    things = tables.distractors_of.get(split, np.zeros(0, np.int64))
    kinds = ["patch"] + ["shadow"] * (effects.shadow > 0) + ["thing"] * (len(things) > 0)
    made = []
    # The number of things is shared, for they have labels, which may not depend on the variant.
    for number in range(1, 1 + _whole(effects.distractors, scene.draw(Stream.DISTRACTOR, 0, shared=True)[0])):
        choice, _, _, _ = scene.draw(Stream.DISTRACTOR, 4 * number, shared=True)
        kind = kinds[int(choice * len(kinds))]
        member, _, _, _ = scene.draw(Stream.DISTRACTOR, 4 * number + 1, shared=kind == "thing")
        numbers = things if kind == "thing" else tables.foregrounds_of[split]
        asset = int(numbers[int(member * len(numbers))])
        placed = _patch(scene, number, asset) if kind == "patch" else _standing(scene, number, kind, asset)
        if placed is not None:
            point = _to_photo(scene, placed.contact_u, placed.contact_v)
            height_px = placed.contact_v - placed.top
            look = _look(
                scene, scene.draw_many(Stream.DISTRACTOR, _LOOKS + 2 * number, 2).tolist(), point, height_px,
                certain=kind == "shadow",
            )  # fmt: skip
            made.append(placed._replace(look=look))
    order = {"patch": 0, "shadow": 1, "thing": 2}
    return sorted(made, key=lambda one: (order[one.kind], one.inverse_depth))


def _patch(scene: _Scene, number: int, asset: int) -> Distractor:
    """Draw the place of a patch and, anywhere in the crop, the place where its pixels come from."""
    columns, rows = scene.tables.size
    size, x, y, _ = scene.draw(Stream.DISTRACTOR, 4 * number + 2)
    from_x, from_y, _, _ = scene.draw(Stream.DISTRACTOR, 4 * number + 3)
    foreground = scene.tables.catalog.foregrounds[asset]
    width, height = _drawn_size(scene, foreground, _between(scene.tables.effects.distractor_scale, size))
    left, top = x * columns - width / 2, y * rows - height / 2
    shift = round(from_x * max(0.0, columns - width) - left), round(from_y * max(0.0, rows - height) - top)
    contact = left + width / 2, top + height
    return Distractor("patch", asset, left, top, width, height, *contact, math.nan, shift, _PLAIN)


def _standing(scene: _Scene, number: int, kind: str, asset: int) -> Distractor | None:
    """Draw the place of a thing or a shadow on the ground, at a size that fits the place if the horizon is known."""
    thing, background, catalog = kind == "thing", scene.background, scene.tables.catalog
    foreground = (catalog.distractors if thing else catalog.foregrounds)[asset]
    low, high = scene.tables.effects.distractor_scale
    for attempt in range(_TRIES):
        x, y, size, _ = scene.draw(Stream.DISTRACTOR, 4 * number + 2, shared=thing, attempt=attempt)
        u, v = x * scene.tables.size[0], y * scene.tables.size[1]
        point = _to_photo(scene, u, v)
        inverse_depth = float(np.float32(_ground(background, *point)))
        level = background.horizon_level
        below_px = _below_horizon(scene, point)
        if not (inverse_depth == inverse_depth if math.isnan(level) else inverse_depth > level):
            continue
        scale = _between((low, high), size)
        if below_px is not None:
            scale = below_px * _between(_HEIGHTS, size) / _drawn_size(scene, foreground, 1.0)[1]
        if not low <= scale <= high:
            continue
        width, height = _drawn_size(scene, foreground, scale)
        left = u - foreground.contact[0] / foreground.width * width
        top = v - foreground.contact[1] / foreground.height * height
        made = Distractor(kind, asset, left, top, width, height, u, v, inverse_depth, (0, 0), _PLAIN)
        if not thing or not _covers_farther(scene.plan, made):
            return made
    return None


def _covers_farther(plan: Plan, thing: Distractor) -> bool:
    """Whether a thing is in front of an object: it would have to cover it, but objects are drawn over things."""
    boxes = plan.objects
    over = (boxes["left"] < thing.left + thing.width) & (thing.left < boxes["left"] + boxes["width"])
    over &= (boxes["top"] < thing.top + thing.height) & (thing.top < boxes["top"] + boxes["height"])
    return bool((over & (boxes["inverse_depth"] < thing.inverse_depth)).any())


def _camera(effects: Effects, numbers: Sequence[Sequence[float]]) -> Camera:
    _, (blur, vignette, exposure, gamma), (noise, key, quality, _), *whether = numbers
    (_, blurs, darkens, exposes), (adds_noise, compresses, _, _) = [
        [n < effects.often for n in four] for four in whether
    ]
    return Camera(
        blur_px=_between(effects.blur_px, blur) * blurs,
        vignette=_between(effects.vignette, vignette) * darkens,
        exposure=_between(effects.exposure, exposure) * exposes,
        gamma=_between(effects.gamma, gamma) * exposes,
        noise=_between(effects.noise, noise) * adds_noise,
        noise_key=int(key * 2.0**53),
        jpeg_quality=_whole(effects.jpeg_quality, quality) if effects.jpeg_quality and compresses else None,
    )


def _drawn_size(scene: _Scene, foreground: Foreground, scale: float) -> tuple[float, float]:
    width, height = scene.tables.size
    factor = scale * math.sqrt(width * height / (foreground.width * foreground.height))
    return foreground.width * factor, foreground.height * factor


def _to_photo(scene: _Scene, u: float, v: float) -> tuple[float, float]:
    """Convert a point in sample pixels to pixels of the original photo; see `coordinates.to_background`."""
    row = scene.plan.sample
    u = scene.tables.size[0] - u if row["flip"] else u
    return (u + int(row["crop_x"])) / float(row["scale_x"]), (v + int(row["crop_y"])) / float(row["scale_y"])


def _below_horizon(scene: _Scene, point: tuple[float, float]) -> float | None:
    """Return how far a point of the photo lies below the horizon, in sample pixels; None if the horizon is unknown."""
    plane, level = scene.background.plane, scene.background.horizon_level
    if plane is None or math.isnan(level):
        return None
    horizon_v = plane.horizon_row(point[0]) + level / plane.b
    return (point[1] - horizon_v) * scene.scale_y


def _ground(background: Background, u: float, v: float) -> float:
    """Return the inverse depth of the ground at a point of the photo, as for an object; NaN where unknown."""
    if background.plane is not None:
        return float(background.plane.inverse_depth(u, v))
    grid = background.coarse_depth
    if grid is None or not (0 <= u <= background.width and 0 <= v <= background.height):
        return math.nan
    rows, columns = grid.shape
    x = min(max(u / background.width * columns - 0.5, 0.0), columns - 1.0)
    y = min(max(v / background.height * rows - 0.5, 0.0), rows - 1.0)
    x0, y0 = int(x), int(y)
    x1, y1 = min(x0 + 1, columns - 1), min(y0 + 1, rows - 1)
    x, y = x - x0, y - y0
    upper = float(grid[y0, x0]) * (1 - x) + float(grid[y0, x1]) * x
    lower = float(grid[y1, x0]) * (1 - x) + float(grid[y1, x1]) * x
    return float(upper * (1 - y) + lower * y)
