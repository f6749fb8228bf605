"""Write the files of each rendered scene."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import bpy
import numpy as np
import yaml
from mathutils import Vector
from numpy.typing import NDArray
from PIL import Image

from sample_world import develop, render, truth
from sample_world.build_world import build_world
from sample_world.camera import set_camera
from sample_world.cars import build_car
from sample_world.render import Array
from sample_world.scenes import Scene
from sample_world.sky import set_sky

__all__ = [
    "write_background",
    "write_dataset_yaml",
    "write_foreground",
    "write_json",
    "write_pair",
    "write_reference",
    "write_scene",
]

SKY_LABEL = 10


class _Stage:
    """A scene that is ready to be rendered."""

    def __init__(self, scene: Scene) -> None:
        render.fresh_scene()
        self.scene, self.light = scene, scene.world.light
        self.haze = set_sky(self.light, scene.world.seed if scene.world.clouds is None else scene.world.clouds)
        build_world(scene.world)
        self.surroundings = [o for o in bpy.context.scene.objects if o.type == "MESH"]
        self.heights = []
        self.cars: list[bpy.types.Object] = []
        for index, standing in enumerate(scene.cars, start=1):
            objects, height = build_car(standing.car, standing.at, standing.heading, index)
            self.cars += objects
            self.heights.append(height)
        set_camera(scene.camera)

    def whole(self, samples: int, fine_depth: Array) -> Array:
        """Render the whole scene in haze: linear RGB."""
        colour = render.light(samples)[..., :3]
        return develop.add_haze(colour, fine_depth, self.scene.camera, self.light.haze_per_m, self.haze)

    def car_alone(self, samples: int) -> tuple[Array, Array]:
        """Render the cars in the light of invisible surroundings: premultiplied RGBA, and fine depth."""
        for obj in self.surroundings:
            obj.visible_camera = False
        with render.only_within(*self._cars_box()):
            rgba = render.light(samples, transparent=True)
            depth, _, index = render.geometry()
        for obj in self.surroundings:
            obj.visible_camera = True
        return rgba, np.where(index > 0, depth, np.float32(np.inf))

    def car_coverage(self) -> NDArray[np.uint8]:
        """Render the alpha of the parts of the cars that nothing hides."""
        if not self.cars:
            return np.zeros((self.scene.camera.height, self.scene.camera.width), dtype=np.uint8)
        for obj in self.surroundings:
            obj.is_holdout = True
        with render.only_within(*self._cars_box()):
            alpha = render.coverage()
        for obj in self.surroundings:
            obj.is_holdout = False
        return np.rint(np.clip(alpha, 0, 1) * 255).astype(np.uint8)

    def _cars_box(self) -> tuple[float, float, float, float]:
        """Left, top, right, bottom of the cars in the image with room to spare, as shares of its size."""
        bpy.context.view_layer.update()
        corners = np.array([tuple(obj.matrix_world @ Vector(c)) for obj in self.cars for c in obj.bound_box])
        camera = self.scene.camera
        seen = camera.project(corners)[:, :2] / (camera.width, camera.height)
        margin = 12 / camera.width
        left, top = seen.min(axis=0) - margin
        right, bottom = seen.max(axis=0) + margin
        return float(left), float(top), float(right), float(bottom)

    def describe(self) -> dict[str, Any]:
        light, world = self.light, self.scene.world
        return self.scene.camera.describe() | {
            "scene": world.kind,
            "sun_elevation_deg": light.sun_elevation_deg,
            "sun_azimuth_deg": light.sun_azimuth_deg,
            "cloud": light.cloud,
            "wet": light.wet,
            "haze_per_m": light.haze_per_m,
        }


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write sorted, indented JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def _save(path: Path, pixels: NDArray[Any], **options: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **({"optimize": True} if path.suffix == ".png" else {}) | options)


def _labels(material: NDArray[np.int32]) -> NDArray[np.uint8]:
    return np.where(material > 0, material - 1, SKY_LABEL).astype(np.uint8)


def write_background(scene: Scene, folder: Path, samples: int) -> dict[str, Any]:
    """Write image, depth and labels of a road; return its camera."""
    stage = _Stage(scene)
    depth, material, _ = render.geometry(1)
    colour = stage.whole(samples, depth)
    exposure = develop.exposure_for(colour, stage.light.key)
    _save(folder / "backgrounds" / f"{scene.name}.jpg", develop.picture(colour, exposure), quality=90, subsampling=0)
    _save(folder / "depths" / f"{scene.name}.png", truth.encode_depth(depth))
    _save(folder / "labels" / f"{scene.name}.png", _labels(material))
    return stage.describe()


def write_foreground(scene: Scene, folder: Path, samples: int) -> dict[str, Any]:
    """Write a cut-out and its relief, cropped to the object; return its metadata."""
    stage = _Stage(scene)
    for obj in stage.surroundings:  # no twigs' shadows on a car that will stand elsewhere
        if obj.name.startswith(("tree", "tuft")) or (np.hypot(*obj.location[:2]) < 25 and obj.name.startswith("plate")):
            obj.hide_render = True
    exposure = develop.exposure_for(render.bare(8, 25), stage.light.key * 1.15)
    rgba, fine_depth = stage.car_alone(samples)
    pixels = develop.cutout(rgba, exposure)
    relief, stand = truth.relief_of(pixels[..., 3], fine_depth)
    box = _object_box(pixels[..., 3])
    crop = np.s_[box[1] : box[3], box[0] : box[2]]
    _save(folder / "foregrounds" / f"{scene.name}.png", pixels[crop])
    _save(folder / "reliefs" / f"{scene.name}.png", truth.encode_relief(relief[crop]))
    standing = scene.cars[0]
    u, v = _contact_point(pixels[..., 3])
    _check_contact(scene, (u, v), stand)
    return {
        "height_m": round(stage.heights[0], 4),
        "shape": standing.car.shape,
        "paint": standing.car.paint,
        "identity": standing.car.identity,
        "heading_deg": round(float(np.degrees(standing.heading)), 3),
        "box": [int(n) for n in box],
        "contact": [u - int(box[0]), v - int(box[1])],
        "contact_depth_m": round(stand, 4),
        "camera": stage.describe(),
    }


def _object_box(alpha: NDArray[np.uint8], margin: int = 2) -> tuple[int, int, int, int]:
    """Return left, top, right, bottom of the object with its margin."""
    rows, columns = np.flatnonzero((alpha > 0).any(axis=1)), np.flatnonzero((alpha > 0).any(axis=0))
    left, top, right, bottom = columns[0] - margin, rows[0] - margin, columns[-1] + 1 + margin, rows[-1] + 1 + margin
    if left < 0 or top < 0 or right > alpha.shape[1] or bottom > alpha.shape[0]:
        raise ValueError(
            f"Invalid camera: the object's box is {(left, top, right, bottom)}; it must lie in the picture."
        )
    return int(left), int(top), int(right), int(bottom)


def _check_contact(scene: Scene, contact: tuple[float, float], depth_m: float) -> None:
    """Reject a view in which the lowest point in the image is not a tyre on the ground."""
    a, b, c = scene.camera.plane
    ground = 1 / (a * contact[0] + b * contact[1] + c)
    if abs(ground / depth_m - 1) > 0.014:
        raise ValueError(f"Invalid view: contact at {depth_m:.3f} m in {scene.name}; must be near {ground:.3f} m.")


def _contact_point(alpha: NDArray[np.uint8]) -> tuple[float, float]:
    """Return the contact in continuous coordinates: the middle of the lowest row's extent, at that row's lower edge."""
    _, row = truth.contact_of(alpha)
    columns = np.flatnonzero(alpha[row] >= 128)
    return float(columns[0] + columns[-1] + 1) / 2, float(row + 1)


def write_reference(scene: Scene, folder: Path, samples: int) -> dict[str, Any]:
    """Write image, mask, depth and instances of a road with cars to `folder`/reference; return its camera and cars."""
    return write_scene(scene, folder / "reference", samples)


def write_scene(scene: Scene, folder: Path, samples: int) -> dict[str, Any]:
    """Write image, mask, depth and instances of a road with cars; return its camera and cars."""
    stage = _Stage(scene)
    fine_depth, _, fine_index = render.geometry()
    mask = stage.car_coverage()
    depth, instances = truth.settle(mask, fine_depth, fine_index)
    colour = stage.whole(samples, fine_depth)
    exposure = develop.exposure_for(colour, stage.light.key)
    for kind, pixels in (
        ("images", develop.picture(colour, exposure)),
        ("masks", mask),
        ("depth", truth.encode_depth(depth)),
        ("instances", instances),
    ):
        _save(folder / kind / f"{scene.name}.png", pixels)
    cars = [
        {
            "instance": k,
            "shape": standing.car.shape,
            "paint": standing.car.paint,
            "identity": standing.car.identity,
            "height_m": round(height, 4),
        }
        for k, (standing, height) in enumerate(zip(scene.cars, stage.heights, strict=True), start=1)
    ]
    return stage.describe() | {"cars": cars}


def write_pair(scene: Scene, folder: Path, samples: int) -> dict[str, Any]:
    """Write a road with and without a car, and the car alone; return camera and placement."""
    stage = _Stage(scene)
    home = folder / "pairs" / scene.name
    fine_depth, _, fine_index = render.geometry()
    mask = stage.car_coverage()
    depth, instances = truth.settle(mask, fine_depth, fine_index)
    with_car = stage.whole(samples, fine_depth)
    rgba, car_depth = stage.car_alone(samples)
    for obj in stage.cars:
        obj.hide_render = True
    bare_depth, bare_material, _ = render.geometry(1)
    without = stage.whole(samples, bare_depth)
    exposure = develop.exposure_for(without, stage.light.key)
    pixels = develop.cutout(rgba, exposure)
    if (instances > 0).sum() < 10_000:
        raise ValueError(
            f"Invalid pair: {(instances > 0).sum()} pixels of car in {scene.name}; must be at least 10000."
        )
    box = _object_box(pixels[..., 3])
    crop = np.s_[box[1] : box[3], box[0] : box[2]]
    relief, stand = truth.relief_of(pixels[..., 3], car_depth)
    _check_contact(scene, _contact_point(pixels[..., 3]), stand)
    _save(home / "without.png", develop.picture(without, exposure))
    _save(home / "with.png", develop.picture(with_car, exposure))
    _save(home / "without_depth.png", truth.encode_depth(bare_depth))
    _save(home / "with_depth.png", truth.encode_depth(depth))
    _save(home / "with_mask.png", mask)
    _save(home / "without_labels.png", _labels(bare_material))
    _save(home / "car.png", pixels[crop])
    _save(home / "car_relief.png", truth.encode_relief(relief[crop]))
    facts = {
        "box": [int(n) for n in box],
        "contact": list(_contact_point(pixels[..., 3])),
        "contact_depth_m": round(stand, 4),
        "height_m": round(stage.heights[0], 4),
        "shape": scene.cars[0].car.shape,
        "identity": scene.cars[0].car.identity,
        "camera": stage.describe(),
    }
    write_json(home / "pair.json", facts)
    return stage.describe()


def write_dataset_yaml(folder: Path) -> None:
    """Describe the reference scenes as a finished dataset."""
    content = {
        "format": "qumade-dataset/1",
        "complete": True,
        "depth": {
            "kind": "metric",
            "source": "renderer",
            "code": "metres",
            "bits": 16,
            "depth_scale": truth.DEPTH_SCALE,
        },
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "dataset.yaml").write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
