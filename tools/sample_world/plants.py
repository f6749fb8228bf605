"""Trees, hedges and grass as clouds of single leaves."""

from __future__ import annotations

import bpy
import numpy as np

from sample_world.meshes import Array, Part, add_mesh, merge

__all__ = ["broadleaf", "conifer", "copy_at", "hedge", "tuft"]


def _leaves(rng: np.random.Generator, centres: Array, size_m: float) -> Part:
    """Turn points into small tilted rhombs."""
    n = len(centres)
    first = rng.normal(size=(n, 3))
    first /= np.linalg.norm(first, axis=1, keepdims=True)
    second = np.cross(first, rng.normal(size=(n, 3)))
    second /= np.linalg.norm(second, axis=1, keepdims=True)
    size = size_m * rng.uniform(0.6, 1.3, (n, 1))
    corners = [
        centres + first * size,
        centres + second * size * 0.6,
        centres - first * size,
        centres - second * size * 0.6,
    ]
    verts = np.stack(corners, axis=1).reshape(-1, 3)
    return verts, [(4 * i, 4 * i + 1, 4 * i + 2, 4 * i + 3) for i in range(n)]


def _limb(start: Array, end: Array, thick: float, thin: float) -> Part:
    """A tapered branch of six sides."""
    axis = (end - start) / np.linalg.norm(end - start)
    side = np.cross(axis, [0.31, 0.94, 0.12])
    side /= np.linalg.norm(side)
    other = np.cross(axis, side)
    angles = np.arange(6) * np.pi / 3
    ring = np.cos(angles)[:, None] * side + np.sin(angles)[:, None] * other
    verts = np.concatenate([start + ring * thick, end + ring * thin])
    return verts, [(i, (i + 1) % 6, 6 + (i + 1) % 6, 6 + i) for i in range(6)]


def broadleaf(
    rng: np.random.Generator, height: float, leaves: int, bark: bpy.types.Material, foliage: bpy.types.Material
) -> bpy.types.Object:
    """A tree with a crown of several billows, its foot at the origin."""
    crown = height * rng.uniform(0.62, 0.75)
    wide = height * rng.uniform(0.26, 0.40)
    fork = np.array([0.0, 0.0, height - crown])
    limbs = [_limb(np.array([0.0, 0.0, -0.1]), fork, 0.026 * height, 0.018 * height)]
    billows = []
    for _ in range(rng.integers(15, 24)):
        angle, up = rng.uniform(0, 2 * np.pi), rng.uniform(0.12, 0.88)
        reach = wide * np.sqrt(1 - (2 * up - 0.9) ** 2 * 0.8) * rng.uniform(0.35, 0.85)
        centre = fork + np.array([np.cos(angle) * reach, np.sin(angle) * reach, crown * up])
        billows.append((centre, wide * rng.uniform(0.24, 0.44)))
        limbs.append(_limb(fork - [0, 0, rng.uniform(0, 0.1 * height)], centre, 0.011 * height, 0.003 * height))
    limbs.append(_limb(fork, fork + np.array([0.0, 0.0, crown * 0.8]), 0.017 * height, 0.004 * height))
    each = leaves // len(billows)
    points = []
    for centre, radius in billows:
        direction = rng.normal(size=(each, 3))
        direction /= np.linalg.norm(direction, axis=1, keepdims=True)
        points.append(centre + direction * radius * rng.uniform(0.45, 1.05, (each, 1)) * [1, 1, 0.8])
    return _plant(limbs, _leaves(rng, np.concatenate(points), 0.011 * height + 0.03), bark, foliage)


def conifer(
    rng: np.random.Generator, height: float, leaves: int, bark: bpy.types.Material, foliage: bpy.types.Material
) -> bpy.types.Object:
    """A spruce: whorls of drooping branches."""
    up = 1 - np.sqrt(rng.uniform(0, 1, leaves))
    whorl = (up * 14) % 1
    angle = rng.uniform(0, 2 * np.pi, leaves)
    reach = height * 0.21 * (1 - up) ** 0.85 * np.sqrt(rng.uniform(0.05, 1, leaves)) * (0.72 + 0.35 * (1 - whorl))
    z = height * (0.07 + 0.93 * up) - 0.22 * reach
    points = np.stack([np.cos(angle) * reach, np.sin(angle) * reach, z], axis=-1)
    trunk = _limb(np.array([0.0, 0.0, -0.1]), np.array([0.0, 0.0, height * 0.95]), 0.016 * height, 0.002 * height)
    return _plant([trunk], _leaves(rng, points, 0.009 * height + 0.03), bark, foliage)


def hedge(rng: np.random.Generator, size: tuple[float, float, float], foliage: bpy.types.Material) -> bpy.types.Object:
    """A clipped hedge along x, its middle at the origin."""
    count = int(260 * (size[0] * size[2] * 2 + size[0] * size[1]))
    points = rng.uniform(-0.5, 0.5, (count, 3))
    axis = rng.choice([1, 2, 2, 1, 0], size=count)
    points[np.arange(count), axis] = np.sign(points[np.arange(count), axis]) * rng.uniform(0.40, 0.52, count)
    points[:, 2] += 0.5
    core = np.array([[x, y, z] for x in (-0.46, 0.46) for y in (-0.4, 0.4) for z in (0, 0.92)]) * size
    faces = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
    leaves = _leaves(rng, points * size, 0.055)
    return add_mesh("hedge", *merge([leaves, (core, [tuple(f) for f in faces])]), foliage)


def tuft(rng: np.random.Generator, blades: int, height: float, foliage: bpy.types.Material) -> bpy.types.Object:
    """A patch of grass blades of 1 x 1 m about the origin."""
    foot = np.concatenate([rng.uniform(-0.5, 0.5, (blades, 2)), np.zeros((blades, 1))], axis=1)
    lean = np.concatenate([rng.normal(0, 0.35, (blades, 2)), np.ones((blades, 1))], axis=1)
    tip = foot + lean * height * rng.uniform(0.5, 1.2, (blades, 1))
    angle = rng.uniform(0, np.pi, blades)
    side = np.stack([np.cos(angle), np.sin(angle), np.zeros(blades)], axis=-1) * 0.012
    verts = np.stack([foot - side, foot + side, tip], axis=1).reshape(-1, 3)
    return add_mesh("tuft", verts, [(3 * i, 3 * i + 1, 3 * i + 2) for i in range(blades)], foliage)


def copy_at(obj: bpy.types.Object, x: float, y: float, turn: float, scale: float, z: float = 0.0) -> bpy.types.Object:
    """Place another copy of an object; the mesh is shared."""
    twin = bpy.data.objects.new(obj.name, obj.data)
    twin.location, twin.rotation_euler, twin.scale = (x, y, z), (0.0, 0.0, turn), (scale, scale, scale)
    bpy.context.scene.collection.objects.link(twin)
    return twin


def _plant(limbs: list[Part], leaves: Part, bark: bpy.types.Material, foliage: bpy.types.Material) -> bpy.types.Object:
    wood = merge(limbs)
    verts, faces = merge([wood, leaves])
    slots = [0] * len(wood[1]) + [1] * len(leaves[1])
    obj = add_mesh("tree", verts, faces, [bark, foliage], slots=slots)
    obj.location = (0.0, 0.0, -500.0)  # the pattern itself lies under the ground; only its copies are visible
    obj.hide_render = True
    return obj
