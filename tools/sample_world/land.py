"""The land beside and behind the road: flat near it, hills far from it, fields of several crops."""

from __future__ import annotations

import bpy
import numpy as np

from sample_world import surfaces
from sample_world.meshes import Array, add_mesh
from sample_world.path import Path
from sample_world.world import World

__all__ = ["Land", "grass"]


class Land:
    """Return the height of the land in metres, slightly below the road so the road's surface stays visible."""

    def __init__(self, world: World, path: Path, rng: np.random.Generator) -> None:
        self.world, self.path = world, path
        self.phases = rng.uniform(0, 2 * np.pi, (8, 3))
        self.crop_of = rng.integers(0, 4, size=(12, 9))

    def height(self, points: Array) -> Array:
        """Return the height of world points [N, 2]."""
        r, angle = np.hypot(*points.T), np.arctan2(points[:, 0], points[:, 1])
        waves = np.zeros(len(points))
        for k, phase in enumerate(self.phases, start=1):
            size = 1.0 / k**1.05
            waves += size * np.sin(k * angle + phase[0]) * np.cos(r / (1300 / k) + phase[1])
            waves += 0.5 * size * np.sin(3 * k * angle + phase[2])
        rise = np.clip((self.path.distance(points) - 70) / 420, 0, 1) ** 1.6
        height = self.world.hills_m * rise * (0.9 + 0.55 * waves) * (0.35 + np.clip(r / 2200, 0, 1.8))
        return np.maximum(height, 0.0) - 0.004 - np.clip(r - 4000, 0, None) * 0.02

    def build(self, near: bpy.types.Material) -> None:
        """Build the land around the camera out to the horizon; `near` covers the land by the road."""
        radii = np.concatenate([np.linspace(0, 60, 13), np.geomspace(66, 6000, 60)])
        angles = np.linspace(0, 2 * np.pi, 361)[:-1]
        r, angle = np.meshgrid(radii, angles, indexing="ij")
        points = np.stack([r * np.sin(angle), r * np.cos(angle)], axis=-1).reshape(-1, 2)
        verts = np.column_stack([points, self.height(points)])
        n, m = r.shape
        i, j = np.meshgrid(np.arange(n - 1), np.arange(m), indexing="ij")
        k = (j + 1) % m
        faces = np.stack([i * m + j, i * m + k, (i + 1) * m + k, (i + 1) * m + j], axis=-1)[..., ::-1]
        crops = [
            near,
            surfaces.ground("crop", (0.12, 0.11, 0.025), (0.26, 0.22, 0.07), 1.3),
            surfaces.ground("soil", (0.07, 0.045, 0.028), (0.15, 0.10, 0.065), 0.9),
            surfaces.ground("meadow", (0.03, 0.06, 0.012), (0.075, 0.11, 0.025)),
        ]
        away = self.path.distance(points).reshape(r.shape)
        slot = self.crop_of[(np.log2(r[:-1] + 30) * 1.7).astype(int) % 12, (j // 23) % 9]
        built_up = self.world.kind in ("city", "suburb")
        slot = np.where((away[:-1] < 14) | (r[:-1] < 24) | built_up, 0, slot)
        add_mesh("terrain", verts, faces.reshape(-1, 4), crops, slots=slot.ravel(), smooth=True)


def grass(world: World) -> bpy.types.Material:
    """Return the grass of the season."""
    low, high = {
        "green": ((0.035, 0.075, 0.014), (0.11, 0.16, 0.035)),
        "dry": ((0.13, 0.11, 0.04), (0.27, 0.23, 0.10)),
        "autumn": ((0.06, 0.07, 0.018), (0.15, 0.14, 0.045)),
    }[world.season]
    return surfaces.ground("grass", low, high)
