"""Houses, blocks of flats and sheds with real window openings."""

from __future__ import annotations

from dataclasses import dataclass

import bpy
import numpy as np

from sample_world.meshes import Array, add_mesh, box
from sample_world.shading import plain
from sample_world.surfaces import BUILDING, brick, glass, mottled

__all__ = ["Palette", "build_block", "build_house", "build_shed", "make_palette"]

WALL, PANE, FRAME, ROOF, DOOR, TRIM = range(6)


@dataclass(frozen=True)
class Palette:
    walls: list[bpy.types.Material]
    roofs: list[bpy.types.Material]
    doors: list[bpy.types.Material]
    pane: bpy.types.Material
    frame: bpy.types.Material
    trim: bpy.types.Material


def make_palette(rng: np.random.Generator) -> Palette:
    """Choose the wall, roof and door colours of one street."""
    plasters = [
        (0.60, 0.54, 0.42),
        (0.62, 0.60, 0.55),
        (0.50, 0.36, 0.24),
        (0.44, 0.47, 0.48),
        (0.55, 0.42, 0.34),
        (0.68, 0.66, 0.62),
    ]
    bricks = [(0.26, 0.10, 0.065), (0.34, 0.16, 0.09), (0.22, 0.13, 0.10), (0.40, 0.28, 0.18)]
    tiles = [(0.22, 0.07, 0.04), (0.09, 0.085, 0.085), (0.15, 0.08, 0.06)]
    walls = [mottled("plaster", BUILDING, plasters[k], 0.6, 0.16) for k in rng.permutation(len(plasters))[:4]]
    walls += [brick(bricks[k]) for k in rng.permutation(len(bricks))[:2]]
    colours = [(0.16, 0.03, 0.02), (0.03, 0.08, 0.05), (0.03, 0.05, 0.10), (0.16, 0.10, 0.05)]
    return Palette(
        walls=walls,
        roofs=[mottled("tiles", BUILDING, colour, 3.0, 0.4) for colour in tiles],
        doors=[plain("door", BUILDING, colour, 0.5) for colour in colours],
        pane=glass(),
        frame=plain("frame", BUILDING, (0.65, 0.65, 0.62) if rng.random() < 0.7 else (0.07, 0.06, 0.055), 0.5),
        trim=mottled("trim", BUILDING, (0.5, 0.48, 0.44), 1.0, 0.2),
    )


class _Mesh:
    """Quads gathered under material slots."""

    def __init__(self) -> None:
        self.verts: list[tuple[float, float, float]] = []
        self.faces: list[tuple[int, ...]] = []
        self.slots: list[int] = []

    def quad(self, slot: int, *corners: tuple[float, float, float]) -> None:
        start = len(self.verts)
        self.verts.extend(corners)
        self.faces.append(tuple(range(start, start + len(corners))))
        self.slots.append(slot)

    def solid(self, slot: int, size: tuple[float, float, float], centre: tuple[float, float, float]) -> None:
        verts, faces = box(size, centre)
        start = len(self.verts)
        self.verts.extend(map(tuple, verts))
        self.faces.extend(tuple(i + start for i in face) for face in faces)
        self.slots.extend([slot] * len(faces))

    def finish(
        self, name: str, materials: list[bpy.types.Material], at: tuple[float, float], heading: float, z: float
    ) -> bpy.types.Object:
        obj = add_mesh(name, np.asarray(self.verts), self.faces, materials, slots=self.slots)
        obj.location, obj.rotation_euler = (*at, z), (0.0, 0.0, heading)
        return obj


def _wall(
    mesh: _Mesh,
    start: Array,
    end: Array,
    levels: list[tuple[float, float]],
    columns: int,
    opening: list[tuple[float, float, float]],
    shop: int,
) -> None:
    """A wall from `start` to `end` (x, y), outside on the right, with one opening a column and level.

    `opening` gives for each level the share of the column's width and the sill and head above the level's floor.
    """
    length = float(np.linalg.norm(end - start))
    along = (end - start) / length
    inward = np.array([-along[1], along[0]])

    def at(u: float, z: float, deep: float = 0.0) -> tuple[float, float, float]:
        x, y = start + along * u + inward * deep
        return float(x), float(y), z

    def rect(slot: int, u0: float, u1: float, z0: float, z1: float, deep: float = 0.0) -> None:
        mesh.quad(slot, at(u0, z0, deep), at(u1, z0, deep), at(u1, z1, deep), at(u0, z1, deep))

    step = length / max(columns, 1)
    for level, (floor, ceiling) in enumerate(levels):
        if columns == 0:
            rect(WALL, 0.0, length, floor, ceiling)
            continue
        share, sill, head = opening[level]
        wide, low, high = share * step, floor + sill, floor + head
        plain_wall = TRIM if level == 0 and shop else WALL
        rect(plain_wall, 0.0, length, floor, low)
        rect(plain_wall, 0.0, length, high, ceiling)
        deep, bar = 0.16, 0.045
        for k in range(columns):
            left = k * step + (step - wide) / 2
            right = left + wide
            rect(plain_wall, k * step, left, low, high)
            rect(plain_wall, right, (k + 1) * step, low, high)
            mesh.quad(plain_wall, at(left, low), at(left, low, deep), at(left, high, deep), at(left, high))
            mesh.quad(plain_wall, at(right, low, deep), at(right, low), at(right, high), at(right, high, deep))
            mesh.quad(
                FRAME,
                at(left - 0.05, low, -0.05),
                at(right + 0.05, low, -0.05),
                at(right, low, deep),
                at(left, low, deep),
            )
            mesh.quad(plain_wall, at(left, high, deep), at(right, high, deep), at(right, high), at(left, high))
            rect(PANE, left, right, low, high, deep)
            middle = (left + right) / 2
            for u0, u1, z0, z1 in (
                (left, left + bar, low, high),
                (right - bar, right, low, high),
                (middle - bar / 2, middle + bar / 2, low, high),
                (left, right, low, low + bar),
                (left, right, high - bar, high),
                (left, right, high - 0.35 * (high - low), high - 0.35 * (high - low) + bar),
            ):
                rect(FRAME, u0, u1, z0, z1, deep - 0.03)


def _materials(palette: Palette, rng: np.random.Generator) -> list[bpy.types.Material]:
    wall, roof, door = (group[int(rng.integers(len(group)))] for group in (palette.walls, palette.roofs, palette.doors))
    return [wall, palette.pane, palette.frame, roof, door, palette.trim]


def _corners(length: float, depth: float) -> list[Array]:
    """Corners counter-clockwise from the front's left end; the front looks towards -y."""
    return [np.array(p) for p in ((-length / 2, 0.0), (length / 2, 0.0), (length / 2, depth), (-length / 2, depth))]


def build_block(
    rng: np.random.Generator,
    palette: Palette,
    length: float,
    depth: float,
    floors: int,
    at: tuple[float, float],
    heading: float,
    z: float,
) -> None:
    """A block of flats or offices, perhaps with shops below; its front's middle stands `at`."""
    mesh = _Mesh()
    ground, storey = rng.uniform(3.4, 4.2), rng.uniform(2.9, 3.3)
    levels = [(0.0, ground)] + [(ground + k * storey, ground + (k + 1) * storey) for k in range(floors - 1)]
    shop = int(rng.random() < 0.6)
    share, head = rng.uniform(0.35, 0.62), rng.uniform(2.2, 2.55)
    opening = [(0.78, 0.45, ground - 0.8) if shop else (share, 1.0, 2.6)] + [(share, rng.choice([0.3, 0.85]), head)] * (
        floors - 1
    )
    corners = _corners(length, depth)
    pitch = rng.uniform(2.3, 3.4)
    for k in range(4):
        start, end = corners[k], corners[(k + 1) % 4]
        columns = max(1, round(float(np.linalg.norm(end - start)) / pitch)) if k != 2 else 0
        _wall(mesh, start, end, levels, columns, opening, shop)
    top = levels[-1][1]
    mesh.solid(TRIM, (length + 0.3, depth + 0.3, 0.35), (0.0, depth / 2, top + 0.1))
    if shop:
        mesh.solid(DOOR, (length * 0.96, 0.14, 0.55), (0.0, -0.06, ground - 0.42))
        mesh.solid(TRIM, (length + 0.1, 0.2, 0.16), (0.0, 0.0, ground + 0.02))
    for k in range(1, floors - 1):
        if shop == 0 or floors > 4:
            mesh.solid(TRIM, (length + 0.06, 0.10, 0.10), (0.0, -0.02, levels[k][1]))
    if rng.random() < 0.45 and floors < 6:
        _gable(mesh, length, depth, top + 0.27, rng.uniform(2.0, 3.2))
    else:
        for _ in range(3):
            size = (rng.uniform(1.2, 3), rng.uniform(1.2, 3), rng.uniform(0.8, 2.2))
            mesh.solid(
                TRIM,
                size,
                (rng.uniform(-0.35, 0.35) * length, depth * rng.uniform(0.35, 0.7), top + 0.25 + size[2] / 2),
            )
    mesh.finish("block", _materials(palette, rng), at, heading, z)


def _gable(mesh: _Mesh, length: float, depth: float, eaves: float, rise: float) -> None:
    half, over = length / 2 + 0.3, 0.4
    low = eaves - over * rise / (depth / 2)
    ridge = eaves + rise
    mesh.quad(ROOF, (-half, -over, low), (half, -over, low), (half, depth / 2, ridge), (-half, depth / 2, ridge))
    mesh.quad(
        ROOF, (half, depth + over, low), (-half, depth + over, low), (-half, depth / 2, ridge), (half, depth / 2, ridge)
    )
    for x in (-length / 2, length / 2):
        mesh.quad(WALL, (x, 0.0, eaves), (x, depth, eaves), (x, depth / 2, ridge - 0.05))
    mesh.quad(FRAME, (-half, -over, low - 0.12), (half, -over, low - 0.12), (half, -over, low), (-half, -over, low))


def build_house(rng: np.random.Generator, palette: Palette, at: tuple[float, float], heading: float, z: float) -> None:
    """A detached house with a gabled roof, a door and a chimney."""
    mesh = _Mesh()
    length, depth = rng.uniform(8.0, 12.5), rng.uniform(7.5, 9.5)
    floors = int(rng.choice([1, 2, 2]))
    levels = [(0.15 + 2.8 * k, 0.15 + 2.8 * (k + 1)) for k in range(floors)]
    opening = [(rng.uniform(0.40, 0.58), 0.85, 2.25)] * floors
    corners = _corners(length, depth)
    for k in range(4):
        columns = (int(rng.integers(3, 5)), 2, 0, 2)[k]
        _wall(mesh, corners[k], corners[(k + 1) % 4], levels, columns, opening, 0)
    mesh.solid(TRIM, (length + 0.1, depth + 0.1, 0.4), (0.0, depth / 2, 0.0))
    _gable(mesh, length, depth, levels[-1][1], rng.uniform(2.4, 3.6))
    door = rng.uniform(-0.25, 0.25) * length
    mesh.solid(FRAME, (1.25, 0.10, 2.3), (door, -0.03, 1.30))
    mesh.solid(DOOR, (1.0, 0.12, 2.1), (door, -0.06, 1.2))
    mesh.solid(TRIM, (0.6, 0.6, 1.6), (length * 0.3, depth * 0.5, levels[-1][1] + 3.2))
    if rng.random() < 0.5:
        mesh.solid(WALL, (3.4, 6.0, 2.6), (length / 2 + 1.75, 3.4, 1.3))
        mesh.solid(DOOR, (2.6, 0.08, 2.1), (length / 2 + 1.75, 0.40, 1.1))
        mesh.solid(TRIM, (3.6, 6.2, 0.15), (length / 2 + 1.75, 3.4, 2.65))
    mesh.finish("house", _materials(palette, rng), at, heading, z)


def build_shed(rng: np.random.Generator, palette: Palette, at: tuple[float, float], heading: float, z: float) -> None:
    """An industrial shed with ribbed walls, loading doors and an office strip."""
    mesh = _Mesh()
    length, depth, height = rng.uniform(24, 40), rng.uniform(16, 26), rng.uniform(6, 9.5)
    corners = _corners(length, depth)
    _wall(mesh, corners[0], corners[1], [(0.0, 3.4), (3.4, height)], 8, [(0.5, 0.9, 2.4), (0.6, 0.8, 2.0)], 0)
    for k in (1, 2, 3):
        _wall(mesh, corners[k], corners[(k + 1) % 4], [(0.0, height)], 0, [], 0)
    for u in np.arange(-length / 2 + 0.5, length / 2, 1.0):
        mesh.solid(WALL, (0.08, 0.10, height), (float(u), -0.02, height / 2))
    mesh.solid(TRIM, (length + 0.3, depth + 0.3, 0.4), (0.0, depth / 2, height + 0.1))
    mesh.solid(DOOR, (length, 0.12, 0.7), (0.0, -0.08, height - 0.5))
    for k in (-1, 1):
        mesh.solid(DOOR, (3.6, 0.2, 4.0), (k * length * 0.27, -0.06, 2.0))
    colour = [(0.42, 0.45, 0.47), (0.52, 0.52, 0.50), (0.20, 0.27, 0.33), (0.46, 0.40, 0.32)][int(rng.integers(4))]
    materials = _materials(palette, rng)
    materials[WALL] = mottled("cladding", BUILDING, colour, 0.4, 0.12, 0.5)
    mesh.finish("shed", materials, at, heading, z)
