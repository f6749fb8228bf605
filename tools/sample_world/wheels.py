"""Wheels: a lathed tyre, a rim with spokes and a brake disc behind them."""

from __future__ import annotations

import bpy
import numpy as np

from sample_world.meshes import add_mesh, lathe

__all__ = ["SINK", "build_wheel"]

SINK = 0.045  # how far a tyre is flattened by the weight on it, as a share of its radius


def build_wheel(
    radius: float, width: float, spokes: int, materials: dict[str, bpy.types.Material], *, plain_disc: bool
) -> list[bpy.types.Object]:
    """Build a wheel about the origin with its axle along y and its outer side towards +y.

    The tyre is flattened below, as under load, so its lowest point in an image is where it meets the ground.
    """
    rim, half = radius * 0.68, width / 2
    tyre = [
        (rim * 0.96, -half * 0.8),
        (rim + 0.02, -half * 0.95),
        (radius * 0.9, -half),
        (radius * 0.97, -half * 0.92),
        (radius, -half * 0.7),
        (radius, half * 0.7),
        (radius * 0.97, half * 0.92),
        (radius * 0.9, half),
        (rim + 0.02, half * 0.95),
        (rim * 1.0, half * 0.86),
        (rim * 0.97, half * 0.70),
    ]
    barrel = [(rim * 1.01, half * 0.90), (rim * 0.96, half * 0.86), (rim * 0.93, half * 0.5), (rim * 0.90, -half * 0.8)]
    back = [(0.0, half * 0.1), (rim * 0.94, half * 0.1)]
    verts, faces = lathe(tyre, 80)
    verts[:, 2] = np.maximum(verts[:, 2], -radius * (1 - SINK))
    return [
        add_mesh("tyre", verts, faces, materials["rubber"], smooth=True),
        add_mesh("barrel", *lathe(barrel, 40), materials["rim"], smooth=True),
        add_mesh("brake", *lathe(back, 32), materials["dark"]),
        _spokes(rim, half, spokes, materials, plain_disc=plain_disc),
    ]


def _spokes(
    rim: float, half: float, spokes: int, materials: dict[str, bpy.types.Material], *, plain_disc: bool
) -> bpy.types.Object:
    """A dished disc whose gaps between the spokes fall back to the brake."""
    rings, steps = 14, 20 * spokes if spokes > 5 else 120
    radii = np.linspace(0.0, rim * 0.97, rings)
    angles = np.arange(steps) * 2 * np.pi / steps
    r, angle = np.meshgrid(radii, angles, indexing="ij")
    share = r / rim
    dish = half * (0.62 + 0.22 * share**2) + 0.02 * np.exp(-((share / 0.16) ** 2))
    period = 2 * np.pi / spokes
    across = np.abs((angle + period / 2) % period - period / 2) * r  # arc length from the middle of a spoke
    thick = (0.10 + 0.05 * (1 - share)) * rim if not plain_disc else 0.27 * rim
    gap = np.clip((across - thick) / 0.01, -1, 1) * ((share > 0.24) & (share < 0.9))
    gap = np.where((share <= 0.24) | (share >= 0.9), -1.0, gap)
    y = np.where(gap > 0, half * 0.2, dish)
    verts = np.stack([r * np.cos(angle), y, r * np.sin(angle)], axis=-1).reshape(-1, 3)
    faces, slots = [], []
    for i in range(rings - 1):
        for j in range(steps):
            k = (j + 1) % steps
            faces.append((i * steps + j, (i + 1) * steps + j, (i + 1) * steps + k, i * steps + k)[::-1])
            slots.append(int(min(gap[i, j], gap[i + 1, j], gap[i, k]) > 0))
    return add_mesh("spokes", verts, faces, [materials["rim"], materials["dark"]], slots=slots, smooth=False)
