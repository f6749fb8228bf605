"""Objects beside a road: buildings, trees, lamps, signs and fences, by the kind of place."""

from __future__ import annotations

import bpy
import numpy as np

from sample_world import surfaces
from sample_world.buildings import Palette, build_block, build_house, build_shed, make_palette
from sample_world.land import Land
from sample_world.meshes import add_mesh, box, lathe
from sample_world.path import Path
from sample_world.plants import broadleaf, conifer, copy_at, hedge, tuft
from sample_world.roadside import (
    delineators,
    fence,
    garden_wall,
    guard_rail,
    is_free,
    lamps,
    signs,
    spot,
    turned_to_road,
)
from sample_world.shading import plain
from sample_world.world import KERB_M, World

__all__ = ["furnish"]


def furnish(world: World, path: Path, land: Land, rng: np.random.Generator) -> None:
    """Place everything beside the road that the kind of place needs."""
    trees = _tree_patterns(world, rng)
    palette = make_palette(rng)
    kerb = world.half_m + world.pavement_m
    if world.kind == "city":
        for side in (-1, 1):
            _row(world, path, rng, palette, side, kerb + 0.2)
        _street_trees(world, path, rng, trees, world.half_m + 0.9, 14.0, 0.55)
        lamps(world, path, rng, world.half_m + 0.5, 26.0, 8.0)
    elif world.kind == "suburb":
        for side in (-1, 1):
            _houses(world, path, rng, palette, side, kerb)
        _gardens(world, path, rng, trees, kerb)
        lamps(world, path, rng, world.half_m + 0.4, 32.0, 6.5)
    elif world.kind == "industry":
        for side in (-1, 1):
            _sheds(world, path, rng, palette, side, kerb)
        _street_trees(world, path, rng, trees, kerb + 2.0, 24.0, 0.5)
        lamps(world, path, rng, world.half_m + 0.5, 34.0, 9.0)
    else:
        _country(world, path, rng, trees, palette)
    signs(world, path, rng)
    _far_trees(world, path, land, rng, trees)


def _tree_patterns(world: World, rng: np.random.Generator) -> list[bpy.types.Object]:
    bark = surfaces.mottled("bark", surfaces.VEGETATION, (0.085, 0.065, 0.05), 6.0, 0.5)
    shades = {
        "green": [((0.03, 0.085, 0.011), (0.12, 0.21, 0.03)), ((0.05, 0.09, 0.02), (0.16, 0.22, 0.05))],
        "dry": [((0.05, 0.065, 0.02), (0.14, 0.15, 0.05)), ((0.03, 0.05, 0.015), (0.09, 0.11, 0.035))],
        "autumn": [((0.15, 0.06, 0.008), (0.38, 0.19, 0.025)), ((0.09, 0.07, 0.012), (0.25, 0.19, 0.035))],
    }[world.season]
    patterns = []
    for k in range(4):
        low, high = shades[k % 2]
        if world.kind != "city" and rng.random() < world.conifers:
            needles = surfaces.foliage("needles", (0.008, 0.025, 0.008), (0.03, 0.06, 0.02))
            patterns.append(conifer(rng, float(rng.uniform(9, 16)), 16000, bark, needles))
        else:
            leaf = surfaces.foliage("leaves", low, high)
            patterns.append(broadleaf(rng, float(rng.uniform(6.5, 11)), 15000, bark, leaf))
    return patterns


def _tree(
    rng: np.random.Generator, trees: list[bpy.types.Object], at: tuple[float, float], scale: float, z: float = 0.0
) -> None:
    pattern = trees[int(rng.integers(len(trees)))]
    copy_at(pattern, *at, float(rng.uniform(0, 6.28)), scale * float(rng.uniform(0.8, 1.2)), z)


def _row(world: World, path: Path, rng: np.random.Generator, palette: Palette, side: int, o: float) -> None:
    """Buildings shoulder to shoulder."""
    s = -50.0 + float(rng.uniform(0, 10))
    while s < min(path.end - 30, 330):
        length = float(rng.uniform(11, 24))
        middle = s + length / 2
        if not is_free(world, middle, length / 2 + 3.5):
            s += 2.0
            continue
        bent = world.bend_radius_m and abs(float(path.direction(s + length) - path.direction(s))) > 0.02
        depth = 9.0 if bent else float(rng.uniform(10, 15))
        floors = int(rng.integers(3, 7)) if s < 200 else int(rng.integers(3, 6))
        sag = length**2 / (8 * abs(world.bend_radius_m)) if bent else 0.0
        build_block(
            rng,
            palette,
            length - 0.05,
            depth,
            floors,
            spot(path, middle, side * (o + sag)),
            turned_to_road(path, middle, side),
            KERB_M,
        )
        s += length + (float(rng.uniform(3, 8)) if rng.random() < 0.18 else 0.25 * bool(bent))


def _houses(world: World, path: Path, rng: np.random.Generator, palette: Palette, side: int, kerb: float) -> None:
    s = -40.0 + float(rng.uniform(0, 12))
    setback = float(rng.uniform(4.5, 8.5))
    while s < min(path.end - 40, 260):
        if is_free(world, s, 11):
            build_house(
                rng,
                palette,
                spot(path, s, side * (kerb + setback + float(rng.uniform(0, 2)))),
                turned_to_road(path, s, side),
                KERB_M,
            )
        s += float(rng.uniform(17, 25))


def _sheds(world: World, path: Path, rng: np.random.Generator, palette: Palette, side: int, kerb: float) -> None:
    s = -30.0 + float(rng.uniform(0, 25))
    while s < min(path.end - 60, 300):
        if is_free(world, s, 24):
            build_shed(
                rng,
                palette,
                spot(path, s, side * (kerb + float(rng.uniform(9, 16)))),
                turned_to_road(path, s, side),
                KERB_M,
            )
        s += float(rng.uniform(46, 62))
    if rng.random() < 0.7:
        fence(world, path, rng, side, kerb + 3.5, mesh=True)
    else:
        garden_wall(world, path, rng, side, kerb + 3.5)


def _gardens(world: World, path: Path, rng: np.random.Generator, trees: list[bpy.types.Object], kerb: float) -> None:
    """Hedges and walls along the pavement, trees behind them."""
    leaf = surfaces.foliage("hedge", (0.015, 0.045, 0.008), (0.05, 0.10, 0.02))
    for side in (-1, 1):
        style = rng.choice(["hedge", "wall", "fence", "open"])
        if style == "hedge":
            tall = float(rng.uniform(0.9, 1.5))
            pattern = hedge(rng, (6.0, 0.8, tall), leaf)
            for s in np.arange(-12, 110, 6.1):
                if is_free(world, s, 6) and rng.random() < 0.86:
                    copy_at(pattern, *spot(path, s, side * (kerb + 0.6)), turned_to_road(path, s, side), 1.0, KERB_M)
            pattern.hide_render = True
        elif style == "wall":
            garden_wall(world, path, rng, side, kerb + 0.3)
        elif style == "fence":
            fence(world, path, rng, side, kerb + 0.3, mesh=False)
        for s in np.arange(-25, 230, float(rng.uniform(9, 15))):
            if is_free(world, s, 7) and rng.random() < 0.75:
                far = kerb + float(rng.choice([2.6, 15.0, 20.0]))
                _tree(rng, trees, spot(path, s + float(rng.uniform(-2, 2)), side * far), 0.75, KERB_M)


def _street_trees(
    world: World,
    path: Path,
    rng: np.random.Generator,
    trees: list[bpy.types.Object],
    o: float,
    every: float,
    share: float,
) -> None:
    for side in (-1, 1):
        if rng.random() < 0.25:
            continue
        for s in np.arange(-18 + float(rng.uniform(0, 8)), 300, every):
            if is_free(world, s, 6) and rng.random() < 0.4 + share and not 0 <= s < 5:
                _tree(rng, trees, spot(path, s, side * o), 0.8, KERB_M)


def _country(
    world: World, path: Path, rng: np.random.Generator, trees: list[bpy.types.Object], palette: Palette
) -> None:
    verge = world.half_m
    blade = (
        surfaces.ground("blades", (0.05, 0.09, 0.02), (0.16, 0.19, 0.06))
        if world.season != "dry"
        else surfaces.ground("blades", (0.16, 0.13, 0.05), (0.33, 0.28, 0.13))
    )
    patterns = [tuft(rng, 420, float(rng.uniform(0.10, 0.22)), blade) for _ in range(3)]
    for side in (-1, 1):
        for s in np.arange(1.0, 60.0, 1.0):
            for o in np.arange(0.55, 9.0 if s < 30 else 4.0, 1.0):
                x, y = spot(path, s, side * (verge + o))
                copy_at(
                    patterns[int(rng.integers(3))],
                    x,
                    y,
                    float(rng.uniform(0, 6.28)),
                    float(rng.uniform(0.8, 1.2)) * (0.7 if o < 1 else 1.0),
                )
        style = rng.choice(["rail", "fence", "delineators", "delineators"])
        if style == "rail":
            guard_rail(path, side, verge + 0.9)
        elif style == "fence":
            fence(world, path, rng, side, verge + float(rng.uniform(3, 6)), mesh=False)
        if style != "fence":
            delineators(path, side, verge + 0.6)
        if rng.random() < 0.7:
            near = verge + float(rng.uniform(3.5, 8))
            for s in np.arange(float(rng.uniform(6, 20)), 380, float(rng.uniform(11, 26))):
                if rng.random() < 0.75:
                    _tree(
                        rng,
                        trees,
                        spot(path, s + float(rng.uniform(-3, 3)), side * (near + float(rng.uniform(0, 3)))),
                        1.0,
                    )
    for pattern in patterns:
        pattern.hide_render = True
    for _ in range(int(rng.integers(0, 4))):
        side, s, o = int(rng.choice([-1, 1])), float(rng.uniform(45, 180)), verge + float(rng.uniform(14, 40))
        if world.bend_radius_m == 0 or side * world.bend_radius_m < 0:
            build_house(rng, palette, spot(path, s, side * o), turned_to_road(path, s, side), 0.0)
    wood = plain("pole", surfaces.POLE, (0.12, 0.09, 0.065), 0.9)
    if rng.random() < 0.6:
        side = int(rng.choice([-1, 1]))
        for s in np.arange(float(rng.uniform(12, 40)), 400, 42):
            x, y = spot(path, s, side * (verge + 4.5))
            verts, faces = lathe([(0.15, -0.2), (0.11, 8.6), (0.0, 8.62)], 10)
            add_mesh("pole", verts[:, [0, 2, 1]] + [x, y, 0.0], faces, wood)
            add_mesh("arm", *box((1.8, 0.1, 0.1), (x, y, 8.1)), wood)


def _far_trees(world: World, path: Path, land: Land, rng: np.random.Generator, trees: list[bpy.types.Object]) -> None:
    """Woods and single trees out to the hills."""
    count = {"country": 300, "suburb": 160, "city": 60, "industry": 90}[world.kind]
    groups = rng.uniform(0, 2 * np.pi, 7)
    angles = np.where(
        np.arange(count) % 3, groups[np.arange(count) % 7] + rng.normal(0, 0.12, count), rng.uniform(-1, 1, count)
    )
    far = rng.uniform(110, 620, count)
    points = np.stack([far * np.sin(angles), far * np.cos(angles)], axis=-1)
    points = points[path.distance(points) > (28 if world.kind == "country" else 75)]
    for (x, y), z in zip(points, land.height(points), strict=True):
        _tree(rng, trees, (float(x), float(y)), 1.15, float(z) - 0.2)
    if world.bend_radius_m == 0 and world.kind != "country":
        x0, y0 = spot(path, path.end - 20, 0.0)
        for across, beyond in zip(rng.normal(0, 40, 40), rng.uniform(30, 90, 40), strict=True):
            _tree(rng, trees, (x0 + float(across), y0 + float(beyond)), 1.3)
