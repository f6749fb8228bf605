"""Build a road and everything along it. The ground at z = 0 is exactly flat wherever it is road."""

from __future__ import annotations

import math
from itertools import pairwise

import bpy
import numpy as np

from sample_world import surfaces
from sample_world.land import Land, grass
from sample_world.meshes import Array, Part, add_mesh, merge
from sample_world.path import Path, kerbed_block, ribbon
from sample_world.shading import plain
from sample_world.surroundings import furnish
from sample_world.world import CROSS_HALF_M, KERB_M, World, road_path

__all__ = ["build_world"]


def build_world(world: World) -> None:
    """Build everything but the sky, the camera and the cars."""
    rng = np.random.default_rng([world.seed, 11])
    path = road_path(world)
    _roads(world, path, rng)
    if world.pavement_m:
        _blocks(world, path, rng)
    land = Land(world, path, rng)
    land.build(grass(world))
    furnish(world, path, land, rng)


def _flat(name: str, parts: list[Part], material: bpy.types.Material, across: Array | None = None) -> None:
    verts, faces = merge(parts)
    values = {"across_m": np.zeros(len(verts)) if across is None else across}
    add_mesh(name, verts, faces, material, attributes=values)


def _cross(world: World, path: Path, side: int) -> Path:
    at = path.at(world.junction_m, 0.0)
    heading = float(path.direction(world.junction_m)) + side * math.pi / 2
    return Path(start=(float(at[0]), float(at[1])), heading=heading, before=1.0, after=160.0)


def _roads(world: World, path: Path, rng: np.random.Generator) -> None:
    half, lane = world.half_m, world.lane_m
    asphalt = surfaces.asphalt(world.asphalt, world.light.wet, lane)
    edges = np.linspace(-half, half, 9)
    strips = [ribbon(path, -60, path.end, a, b, 0.0) for a, b in pairwise(edges)]
    across = np.concatenate(
        [np.tile([a, b], len(p[0]) // 2) for p, a, b in zip(strips, edges[:-1], edges[1:], strict=True)]
    )
    _flat("road", strips, asphalt, across)
    paint = surfaces.lane_paint(world.asphalt, wear=float(rng.uniform(0.2, 0.6)))
    gap = (world.junction_m - CROSS_HALF_M - 1, world.junction_m + CROSS_HALF_M + 1) if world.junction_m else (1e9, 1e9)

    def line(o: float, width: float, dash: float = 0.0, space: float = 0.0) -> list[Part]:
        pieces, s = [], -59.0
        while s < path.end - 2:
            stop = min(s + dash if dash else path.end - 1, path.end - 1)
            for begin, finish in ((s, min(stop, gap[0])), (max(s, gap[1]), stop)):
                if finish - begin > 0.3:
                    pieces.append(ribbon(path, begin, finish, o - width / 2, o + width / 2, 0.002))
            s = stop + (space if dash else 1.0)
        return pieces

    marks: list[Part] = []
    if world.marking != "none":
        dividers = [(k - world.lanes / 2) * lane for k in range(1, world.lanes)]
        for o in dividers:
            middle = abs(o) < 0.1
            if middle and (world.marking == "solid" or world.lanes > 2):
                for shift in (-0.12, 0.12):
                    marks += line(o + shift, 0.11)
            else:
                marks += line(o, 0.12, 3.0, 4.5 if world.kind != "country" else 6.0)
        if world.kind == "country" or world.marking == "edges":
            for side in (-1, 1):
                marks += line(side * (half - 0.32), 0.13)
    if world.junction_m:
        for side in (-1, 1):
            cross = _cross(world, path, side)
            _flat("street", [ribbon(cross, half, 160, -CROSS_HALF_M, CROSS_HALF_M, 0.0)], asphalt)
            marks.append(ribbon(cross, half + 3.2, half + 3.6, *sorted((0.0, side * -3.2 + 0.2 * side)), 0.002))
            corner = [
                ribbon(
                    path,
                    *sorted((world.junction_m + e * CROSS_HALF_M, world.junction_m + e * (CROSS_HALF_M + 6))),
                    *sorted((side * half, side * (half + 6))),
                    0.0,
                )
                for e in (-1, 1)
            ]
            _flat("corner", corner, asphalt)
        if world.kind == "city":
            for end in (-1, 1):
                s = world.junction_m + end * (CROSS_HALF_M + 3.2)
                for o in np.arange(-half + 0.5, half - 0.4, 1.0):
                    marks.append(ribbon(path, s - 1.5, s + 1.5, float(o), float(o) + 0.5, 0.0022))
            s = world.junction_m - CROSS_HALF_M - 6.2
            marks.append(ribbon(path, s - 0.4, s, 0.1, half - 0.2, 0.0022))
    if marks:
        _flat("marks", marks, paint)
    patches = [
        ribbon(path, s, s + float(rng.uniform(1.5, 9)), o, o + float(rng.uniform(0.6, 1.6)), 0.0006 + 0.0003 * k)
        for k, (s, o) in enumerate(zip(rng.uniform(4, 60, 4), rng.uniform(-half, half - 1.7, 4), strict=True))
    ]
    _flat("patches", patches, surfaces.asphalt(world.asphalt * 0.72, world.light.wet, lane))
    if world.kind != "country":
        angles = np.arange(20) * np.pi / 10
        for s, o in zip(rng.uniform(5, 50, 3), rng.uniform(-half * 0.7, half * 0.7, 3), strict=True):
            disc = np.column_stack(
                [path.at(s, o) + 0.33 * np.stack([np.cos(angles), np.sin(angles)], axis=-1), np.full(20, 0.003)]
            )
            add_mesh(
                "manhole",
                disc,
                [tuple(range(20))],
                plain("iron", surfaces.ROAD, (0.05, 0.045, 0.04), 0.5, Metallic=0.4),
            )


def _blocks(world: World, path: Path, rng: np.random.Generator) -> None:
    """Pavements with kerbs, and behind them lawn or a paved yard."""
    half, wide = world.half_m, world.pavement_m
    tone = float(rng.uniform(0.16, 0.30))
    slabs = surfaces.paving((tone, tone * 0.97, tone * 0.92), float(rng.choice([0.2, 0.3, 0.5])), world.light.wet)
    stone = surfaces.mottled("kerb", surfaces.SIDEWALK, (0.30, 0.295, 0.28), 2.0, 0.25)
    behind = grass(world) if world.kind != "city" else slabs
    cut = world.junction_m
    pieces = [(-60.0, path.end, 0.0, 0.0)]
    if cut:
        pieces = [(-60.0, cut - CROSS_HALF_M, 0.0, 5.0), (cut + CROSS_HALF_M, path.end, 5.0, 0.0)]
    reach = min(60.0, abs(world.bend_radius_m) * 0.7 if world.bend_radius_m else 60.0)
    for side in (-1, 1):
        for s0, s1, r0, r1 in pieces:
            kerb, top = kerbed_block(path, s0, s1, side * half, side * (half + reach), KERB_M, r0, r1)
            add_mesh("kerb", *kerb, stone)
            add_mesh("pavement", *top, slabs)
            inner = (s0 + (wide if r0 else 0), s1 - (wide if r1 else 0))
            lawn = ribbon(path, *inner, *sorted((side * (half + wide), side * (half + reach - 0.2))), KERB_M + 0.004)
            add_mesh("yard", *lawn, behind)
