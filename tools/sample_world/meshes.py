"""Meshes from arrays: the few shapes that make up the road world."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import bpy
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

__all__ = ["add_mesh", "box", "cube_surface", "lathe", "merge", "place", "relax"]

Part = tuple[Array, list[tuple[int, ...]]]


def add_mesh(
    name: str,
    verts: Array,
    faces: Sequence[Sequence[int]] | NDArray[np.int64],
    material: bpy.types.Material | Sequence[bpy.types.Material],
    *,
    slots: Sequence[int] | None = None,
    smooth: bool = False,
    attributes: Mapping[str, Array] | None = None,
) -> bpy.types.Object:
    """Make an object of vertices [N, 3] in metres and faces; attributes are floats per vertex, slots per face."""
    mesh = bpy.data.meshes.new(name)
    mesh.from_pydata(np.asarray(verts, dtype=float).tolist(), [], [list(map(int, face)) for face in faces])
    for entry in material if isinstance(material, (list, tuple)) else [material]:
        mesh.materials.append(entry)
    if slots is not None:
        mesh.polygons.foreach_set("material_index", np.asarray(slots, dtype=np.int32))
    if smooth:
        mesh.polygons.foreach_set("use_smooth", np.ones(len(mesh.polygons), dtype=bool))
    for key, values in (attributes or {}).items():
        mesh.attributes.new(key, "FLOAT", "POINT").data.foreach_set("value", np.asarray(values, dtype=np.float32))
    mesh.update()
    obj = bpy.data.objects.new(name, mesh)
    bpy.context.scene.collection.objects.link(obj)
    return obj


def box(size: Sequence[float], centre: Sequence[float], bevel: float = 0.0) -> Part:
    """Return the vertices and faces of a box; a bevel cuts its corners (24 vertices)."""
    half = np.asarray(size, dtype=float) / 2
    bevel = min(bevel, float(half.min()) * 0.9)
    if bevel <= 0:
        corners = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], dtype=float) * half
        faces = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
        return corners + np.asarray(centre, dtype=float), [tuple(f) for f in faces]
    points, grid = cube_surface(3, 3, 3)
    extreme = np.isin(points, (0.0, 1.0))
    cut = np.choose(extreme.sum(axis=1), [0.0, 0.0, 0.3, 0.42])[:, None]
    snapped = np.sign(points - 0.5) * (half - bevel * np.where(extreme, cut, 1.0))
    return snapped + np.asarray(centre, dtype=float), [tuple(map(int, f)) for f in grid]


def merge(parts: Sequence[Part]) -> Part:
    """Put several parts into one."""
    verts, faces, start = [], [], 0
    for points, polygons in parts:
        verts.append(points)
        faces.extend(tuple(i + start for i in polygon) for polygon in polygons)
        start += len(points)
    return np.concatenate(verts), faces


def place(points: Array, at: Sequence[float], heading: float = 0.0) -> Array:
    """Turn points about the vertical by `heading` (radians, counter-clockwise) and move them."""
    c, s = np.cos(heading), np.sin(heading)
    turned = points @ np.array([[c, s, 0.0], [-s, c, 0.0], [0.0, 0.0, 1.0]])
    return turned + np.asarray(at, dtype=float)


def lathe(profile: Sequence[tuple[float, float]], steps: int) -> Part:
    """Revolve a profile of (radius, y) about the y axis."""
    rings = np.asarray(profile, dtype=float)
    angles = np.arange(steps) * 2 * np.pi / steps
    verts = np.stack(
        [
            np.outer(np.cos(angles), rings[:, 0]),
            np.broadcast_to(rings[:, 1], (steps, len(rings))),
            np.outer(np.sin(angles), rings[:, 0]),
        ],
        axis=-1,
    ).reshape(-1, 3)
    n = len(rings)
    faces = [
        (i * n + j, i * n + j + 1, (i + 1) % steps * n + j + 1, (i + 1) % steps * n + j)
        for i in range(steps)
        for j in range(n - 1)
    ]
    return verts, faces


def cube_surface(nx: int, ny: int, nz: int) -> tuple[Array, NDArray[np.int64]]:
    """Return the surface of the unit cube as a welded grid of nx x ny x nz cells: vertices in [0, 1] and quads."""
    size = np.array([nx, ny, nz])
    quads = []
    for axis in range(3):
        p, q = [k for k in range(3) if k != axis]
        i, j = np.meshgrid(np.arange(size[p]), np.arange(size[q]), indexing="ij")
        for side in (0, size[axis]):
            ring = []
            for di, dj in ((0, 0), (1, 0), (1, 1), (0, 1)):
                corner = np.zeros((*i.shape, 3), dtype=np.int64)
                corner[..., axis], corner[..., p], corner[..., q] = side, i + di, j + dj
                ring.append(corner)
            quad = np.stack(ring, axis=2).reshape(-1, 4, 3)
            outward = (side > 0) == (axis != 1)  # x and z keep the right-handed order of (p, q), y turns it
            quads.append(quad if outward else quad[:, ::-1])
    corners = np.concatenate(quads)
    keys = corners @ np.array([(ny + 1) * (nz + 1), nz + 1, 1])
    unique, inverse = np.unique(keys, return_inverse=True)
    verts = np.stack([unique // ((ny + 1) * (nz + 1)), unique // (nz + 1) % (ny + 1), unique % (nz + 1)], axis=-1)
    return verts / size, inverse.reshape(-1, 4)


def relax(verts: Array, faces: NDArray[np.int64], rounds: int) -> Array:
    """Round off edges: move every vertex half the way to the mean of its neighbours, `rounds` times."""
    edges = np.concatenate([faces[:, [k, (k + 1) % 4]] for k in range(4)])
    edges = np.unique(np.sort(edges, axis=1), axis=0)
    degree = np.bincount(edges.ravel(), minlength=len(verts))[:, None]
    for _ in range(rounds):
        total = np.zeros_like(verts)
        np.add.at(total, edges[:, 0], verts[edges[:, 1]])
        np.add.at(total, edges[:, 1], verts[edges[:, 0]])
        verts = 0.5 * verts + 0.5 * total / degree
    return verts
