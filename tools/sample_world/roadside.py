"""Objects along a road: lamps, signs, fences, walls, rails and posts."""

from __future__ import annotations

import math

import bpy
import numpy as np

from sample_world import surfaces
from sample_world.meshes import Part, add_mesh, box, lathe, merge
from sample_world.path import Path
from sample_world.shading import plain
from sample_world.world import CROSS_HALF_M, KERB_M, World

__all__ = [
    "delineators",
    "fence",
    "garden_wall",
    "guard_rail",
    "is_free",
    "lamps",
    "signs",
    "spot",
    "turned_to_road",
]


def is_free(world: World, s: float, margin: float) -> bool:
    """Whether a place along the road lies off the crossing street."""
    return world.junction_m is None or abs(s - world.junction_m) > CROSS_HALF_M + margin


def turned_to_road(path: Path, s: float, side: int) -> float:
    """Return the rotation that turns a front towards the road: the local x axis runs along it."""
    along = math.pi / 2 - float(path.direction(s))
    return along if side < 0 else along + math.pi


def spot(path: Path, s: float, o: float) -> tuple[float, float]:
    x, y = path.at(s, o)
    return float(x), float(y)


def _tube(radius: float, height: float, foot: float = 0.0) -> Part:
    verts, faces = lathe(
        [(radius * 1.25, 0.0), (radius, foot or height * 0.1), (radius * 0.7, height), (0.0, height)], 10
    )
    return verts[:, [0, 2, 1]], faces


def _stand(
    path: Path, s: float, o: float, side: int, parts: list[Part], material: bpy.types.Material, z: float
) -> None:
    obj = add_mesh("post", *merge(parts), material)
    obj.location = (*spot(path, s, o), z)
    obj.rotation_euler = (0.0, 0.0, turned_to_road(path, s, side))


def lamps(world: World, path: Path, rng: np.random.Generator, o: float, every: float, height: float) -> None:
    """Street lamps whose arm reaches over the road."""
    steel = plain("lamp post", surfaces.POLE, (0.20, 0.21, 0.21), 0.45, Metallic=0.5)
    sides = (-1, 1) if world.lanes > 2 else (int(rng.choice([-1, 1])),)
    for side in sides:
        for s in np.arange(float(rng.uniform(6, 16)), 330, every):
            if not is_free(world, s, 5):
                continue
            arm = box((0.07, 1.7, 0.07), (0.0, -0.75, height - 0.05))
            head = box((0.20, 0.62, 0.10), (0.0, -1.7, height - 0.06))
            _stand(path, s, side * o, side, [_tube(0.085, height, 1.2), arm, head], steel, KERB_M)


def signs(world: World, path: Path, rng: np.random.Generator) -> None:
    """Traffic signs at the right of their lane, facing the camera's way."""
    steel = plain("sign post", surfaces.POLE, (0.35, 0.36, 0.36), 0.4, Metallic=0.6)
    colours = {
        "red": plain("sign red", surfaces.SIGN, (0.45, 0.01, 0.012), 0.4),
        "white": plain("sign white", surfaces.SIGN, (0.75, 0.75, 0.75), 0.4),
        "blue": plain("sign blue", surfaces.SIGN, (0.01, 0.08, 0.38), 0.4),
        "black": plain("sign black", surfaces.SIGN, (0.02, 0.02, 0.02), 0.5),
        "yellow": plain("sign yellow", surfaces.SIGN, (0.75, 0.45, 0.01), 0.4),
    }
    o = world.half_m + (1.4 if world.kind == "country" else 0.45)
    for s in rng.uniform(14, 75, int(rng.integers(1, 4))):
        if not is_free(world, s, 3):
            continue
        kind = rng.choice(["limit", "warning", "priority", "info"])
        z = KERB_M if world.kind != "country" else 0.0
        _stand(path, float(s), o, 1, [_tube(0.035, 2.9)], steel, z)

        def plate(
            sides: int, radius: float, turn: float, colour: str, deep: float, where: float = float(s), foot: float = z
        ) -> None:
            angles = np.arange(sides) * 2 * np.pi / sides + turn
            ring = np.stack([np.cos(angles) * radius, np.full(sides, -deep), np.sin(angles) * radius + 2.55], axis=-1)
            obj = add_mesh("plate", ring, [tuple(range(sides))], colours[colour])
            obj.location = (*spot(path, where, o), foot)
            obj.rotation_euler = (0.0, 0.0, -float(path.direction(where)))

        if kind == "limit":
            plate(28, 0.34, 0, "red", 0.05)
            plate(28, 0.26, 0, "white", 0.055)
            plate(4, 0.10, math.pi / 4, "black", 0.06)
        elif kind == "warning":
            plate(3, 0.46, math.pi / 2, "red", 0.05)
            plate(3, 0.31, math.pi / 2, "white", 0.055)
            plate(4, 0.07, 0, "black", 0.06)
        elif kind == "priority":
            plate(4, 0.42, 0, "white", 0.05)
            plate(4, 0.33, 0, "yellow", 0.055)
        else:
            plate(4, 0.44, math.pi / 4, "blue", 0.05)
            plate(4, 0.20, math.pi / 4, "white", 0.055)


def fence(world: World, path: Path, rng: np.random.Generator, side: int, o: float, *, mesh: bool) -> None:
    tone = (0.16, 0.12, 0.08) if not mesh else (0.30, 0.31, 0.31)
    wood = plain("fence", surfaces.FENCE, tone, 0.8, Metallic=0.4 if mesh else 0.0)
    height, every = (1.9, 2.6) if mesh else (float(rng.uniform(0.9, 1.2)), 2.0)
    z = KERB_M if world.kind != "country" else 0.0
    parts = []
    for s in np.arange(-8, 130, every):
        if not is_free(world, s, 6):
            continue
        (x0, y0), (x1, y1) = spot(path, s, side * o), spot(path, s + every, side * o)
        parts.append(box((0.09, 0.09, height), (x0, y0, z + height / 2)))
        levels = np.linspace(0.15, height, 12) if mesh else (height * 0.5, height * 0.88)
        thick = 0.012 if mesh else 0.09
        for level in levels:
            parts.append(_bar((x0, y0), (x1, y1), z + float(level), thick))
    if parts:
        add_mesh("fence", *merge(parts), wood)


def _bar(start: tuple[float, float], end: tuple[float, float], z: float, height: float) -> Part:
    length = math.dist(start, end)
    verts, faces = box((length, 0.03, height), (length / 2, 0.0, z))
    c, s = (end[0] - start[0]) / length, (end[1] - start[1]) / length
    turned = np.stack(
        [verts[:, 0] * c - verts[:, 1] * s + start[0], verts[:, 0] * s + verts[:, 1] * c + start[1], verts[:, 2]],
        axis=-1,
    )
    return turned, faces


def garden_wall(world: World, path: Path, rng: np.random.Generator, side: int, o: float) -> None:
    stone = surfaces.mottled(
        "garden wall",
        surfaces.WALL,
        [(0.42, 0.38, 0.32), (0.30, 0.15, 0.10), (0.5, 0.49, 0.46)][int(rng.integers(3))],
        3.0,
    )
    height = float(rng.uniform(0.7, 1.3))
    parts = []
    for s in np.arange(-8, 110, 2.0):
        if is_free(world, s, 6) and (s // 16) % 4 != 3:
            parts.append(_wide_bar(path, s, 2.0, side * o, KERB_M + height / 2, height, 0.28))
            parts.append(_wide_bar(path, s, 2.0, side * o, KERB_M + height + 0.03, 0.07, 0.36))
    add_mesh("wall", *merge(parts), stone)


def _wide_bar(path: Path, s: float, length: float, o: float, z: float, height: float, width: float) -> Part:
    (x0, y0), (x1, y1) = spot(path, s, o), spot(path, s + length, o)
    span = math.dist((x0, y0), (x1, y1))
    verts, faces = box((span, width, height), (span / 2, 0.0, z))
    c, d = (x1 - x0) / span, (y1 - y0) / span
    return np.stack(
        [verts[:, 0] * c - verts[:, 1] * d + x0, verts[:, 0] * d + verts[:, 1] * c + y0, verts[:, 2]], axis=-1
    ), faces


def guard_rail(path: Path, side: int, o: float) -> None:
    steel = plain("guard rail", surfaces.FENCE, (0.42, 0.43, 0.43), 0.4, Metallic=0.8)
    parts = []
    for s in np.arange(-10, 260, 2.0):
        x, y = spot(path, s, side * (o + 0.12))
        parts.append(box((0.09, 0.09, 0.75), (x, y, 0.37)))
        for z, out in ((0.50, 0.0), (0.58, 0.04), (0.66, 0.0), (0.74, 0.04)):
            parts.append(_wide_bar(path, s, 2.0, side * (o - out), z, 0.09, 0.03))
    add_mesh("guard rail", *merge(parts), steel)


def delineators(path: Path, side: int, o: float) -> None:
    white = plain("delineator", surfaces.POLE, (0.72, 0.72, 0.70), 0.6)
    dark = plain("delineator band", surfaces.POLE, (0.03, 0.03, 0.03), 0.6)
    for s in np.arange(8, 300, 25):
        x, y = spot(path, s, side * o)
        add_mesh("delineator", *box((0.11, 0.11, 0.95), (x, y, 0.475)), white)
        add_mesh("band", *box((0.115, 0.115, 0.2), (x, y, 0.78)), dark)
