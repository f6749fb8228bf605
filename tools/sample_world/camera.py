"""The pinhole camera: set it in the scene and compute the exact ground plane in its image.

Image coordinates are continuous: (0, 0) is the top-left corner, the pixel of column x and row y has its centre at
(x + 0.5, y + 0.5). Camera axes: x right, y down, z forward.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import bpy
import numpy as np
from mathutils import Matrix

from sample_world.meshes import Array

__all__ = ["Camera", "set_camera"]


@dataclass(frozen=True)
class Camera:
    """A camera at `height_m` above the ground z = 0.

    Pitch is positive when it looks down, roll when its right side sinks; yaw is clockwise from the world's +y.
    """

    width: int
    height: int
    focal_px: float
    height_m: float
    pitch_deg: float = 0.0
    roll_deg: float = 0.0
    yaw_deg: float = 0.0
    x_m: float = 0.0
    y_m: float = 0.0

    @property
    def axes(self) -> Array:
        """Return the camera axes as rows: right, down and forward in world coordinates."""
        pitch, roll, yaw = (math.radians(v) for v in (self.pitch_deg, self.roll_deg, self.yaw_deg))
        forward = np.array([math.sin(yaw) * math.cos(pitch), math.cos(yaw) * math.cos(pitch), -math.sin(pitch)])
        level = np.array([math.cos(yaw), -math.sin(yaw), 0.0])
        down = np.cross(forward, level)
        right = math.cos(roll) * level + math.sin(roll) * down
        return np.stack([right, math.cos(roll) * down - math.sin(roll) * level, forward])

    @property
    def plane(self) -> tuple[float, float, float]:
        """Return a, b, c of the ground's inverse depth 1/Z = a u + b v + c (1/m; Z along the view axis)."""
        n = self.axes @ np.array([0.0, 0.0, -1.0])
        a, b = (float(k / (self.focal_px * self.height_m)) for k in n[:2])
        return a, b, float(n[2] / self.height_m) - a * self.width / 2 - b * self.height / 2

    @property
    def horizon(self) -> list[list[float]]:
        """Return the points (u, v) where the horizon meets the left and the right edge of the image."""
        a, b, c = self.plane
        return [[float(u), -(a * u + c) / b] for u in (0, self.width)]

    def project(self, points: Array) -> Array:
        """Project world points [N, 3] to (u, v, Z) [N, 3]."""
        seen = (points - np.array([self.x_m, self.y_m, self.height_m])) @ self.axes.T
        scale = self.focal_px / seen[:, 2]
        return np.stack(
            [seen[:, 0] * scale + self.width / 2, seen[:, 1] * scale + self.height / 2, seen[:, 2]], axis=-1
        )

    def describe(self) -> dict[str, object]:
        """Return the camera parameters as plain numbers for a JSON file."""
        return {
            "width": self.width,
            "height": self.height,
            "focal_px": round(self.focal_px, 6),
            "cx": self.width / 2,
            "cy": self.height / 2,
            "height_m": round(self.height_m, 6),
            "pitch_deg": round(self.pitch_deg, 6),
            "roll_deg": round(self.roll_deg, 6),
            "horizon": [[round(u, 6), round(v, 6)] for u, v in self.horizon],
            "plane": list(self.plane),
        }


def set_camera(camera: Camera) -> None:
    """Make `camera` the scene's camera and set the image's size."""
    scene = bpy.context.scene
    data = bpy.data.cameras.new("camera")
    data.sensor_fit, data.sensor_width = "HORIZONTAL", 36.0
    data.lens = camera.focal_px * 36.0 / camera.width
    data.clip_start, data.clip_end = 0.05, 20000.0
    obj = bpy.data.objects.new("camera", data)
    right, down, forward = camera.axes
    turn = Matrix([list(row) for row in np.stack([right, -down, -forward], axis=1)]).to_4x4()
    obj.matrix_world = Matrix.Translation((camera.x_m, camera.y_m, camera.height_m)) @ turn
    scene.collection.objects.link(obj)
    scene.camera = obj
    scene.render.resolution_x, scene.render.resolution_y = camera.width, camera.height
    scene.render.resolution_percentage = 100
