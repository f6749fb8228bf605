"""Rendering with Cycles: the image's linear light, and exact geometry without anti-aliasing."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import bpy
import numpy as np
import OpenEXR
from numpy.typing import NDArray

__all__ = ["FINE", "Array", "bare", "coverage", "fresh_scene", "geometry", "light", "only_within"]

Array = NDArray[np.float32]
FINE = 3  # geometry is rendered this many times finer; odd, so that the middle sample lies on the pixel's centre


def fresh_scene(threads: int = 2) -> None:
    """Start an empty scene that renders with Cycles on the CPU."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    scene = bpy.context.scene
    scene.render.engine = "CYCLES"
    scene.cycles.device = "CPU"
    scene.cycles.seed = 0
    scene.render.threads_mode, scene.render.threads = "FIXED", threads
    scene.cycles.max_bounces, scene.cycles.diffuse_bounces, scene.cycles.glossy_bounces = 3, 2, 3
    scene.cycles.caustics_reflective = scene.cycles.caustics_refractive = False
    scene.cycles.sample_clamp_indirect = 6.0
    scene.render.image_settings.media_type = "MULTI_LAYER_IMAGE"
    scene.render.image_settings.file_format = "OPEN_EXR_MULTILAYER"
    scene.render.image_settings.color_depth = "32"
    scene.render.image_settings.exr_codec = "NONE"
    scene.render.use_persistent_data = True


def light(samples: int, *, transparent: bool = False) -> Array:
    """Render linear premultiplied RGBA [H, W, 4], denoised."""
    scene = bpy.context.scene
    scene.render.film_transparent = transparent
    scene.cycles.samples, scene.cycles.use_denoising = samples, True
    scene.cycles.use_adaptive_sampling, scene.cycles.adaptive_threshold = True, 0.03
    scene.cycles.denoiser = "OPENIMAGEDENOISE"
    layer = scene.view_layers[0]
    layer.use_pass_z = layer.use_pass_object_index = layer.use_pass_material_index = False
    return _render()["Combined"]


def bare(samples: int, percent: int = 100) -> Array:
    """Render linear RGBA [H, W, 4] at a share of the size, without denoising."""
    scene = bpy.context.scene
    scene.render.film_transparent = False
    scene.render.resolution_percentage = percent
    scene.cycles.samples, scene.cycles.use_denoising = samples, False
    pixels = _render()["Combined"]
    scene.render.resolution_percentage = 100
    return pixels


@contextmanager
def only_within(left: float, top: float, right: float, bottom: float) -> Iterator[None]:
    """Render a part of the image alone (shares of its size from the top-left corner); the rest stays empty."""
    render = bpy.context.scene.render
    render.border_min_x, render.border_max_x = max(left, 0.0), min(right, 1.0)
    render.border_min_y, render.border_max_y = max(1.0 - bottom, 0.0), min(1.0 - top, 1.0)
    render.use_border = True
    try:
        yield
    finally:
        render.use_border = False


def coverage(samples: int = 32) -> Array:
    """Render alpha alone [H, W]: the coverage of each pixel by objects that are not held out."""
    scene = bpy.context.scene
    scene.render.film_transparent = True
    scene.cycles.samples, scene.cycles.use_denoising = samples, False
    scene.cycles.use_adaptive_sampling = False
    bounces = scene.cycles.max_bounces
    scene.cycles.max_bounces = 0
    alpha = _render()["Combined"][..., 3]
    scene.cycles.max_bounces = bounces
    return alpha


def geometry(fine: int = FINE) -> tuple[Array, NDArray[np.int32], NDArray[np.int32]]:
    """Render depth along the view axis (metres, inf: nothing), material and object index at `fine` times the size."""
    scene = bpy.context.scene
    layer = scene.view_layers[0]
    layer.use_pass_z = layer.use_pass_object_index = layer.use_pass_material_index = True
    scene.cycles.samples, scene.cycles.use_denoising = 1, False
    bounces = scene.cycles.max_bounces
    scene.cycles.max_bounces = 0
    scene.render.film_transparent = False
    scene.render.resolution_percentage = 100 * fine
    passes = _render()
    scene.render.resolution_percentage = 100
    scene.cycles.max_bounces = bounces
    depth = passes["Depth"]
    material, index = (np.rint(passes[key]).astype(np.int32) for key in ("Material Index", "Object Index"))
    return np.where(depth > 1e5, np.float32(np.inf), depth), material, index


def _render() -> dict[str, Array]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "render.exr"
        bpy.context.scene.render.filepath = str(path)
        bpy.ops.render.render(write_still=True)
        with OpenEXR.File(str(path), separate_channels=True) as file:
            channels = {k: v.pixels.astype(np.float32) for part in file.parts for k, v in part.channels.items()}
    passes: dict[str, Array] = {}
    for key in {name.rsplit(".", 1)[0] for name in channels}:
        letters = [c for c in "RGBA" if f"{key}.{c}" in channels] or [
            n.rsplit(".", 1)[1] for n in channels if n.startswith(key + ".")
        ]
        values = [channels[f"{key}.{c}"] for c in letters]
        passes[key.split(".", 1)[-1]] = np.stack(values, axis=-1) if len(values) > 1 else values[0]
    return passes
