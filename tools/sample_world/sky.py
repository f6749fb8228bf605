"""The sky: a physical clear sky with its sun, and clouds drawn over it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import bpy
import numpy as np

from sample_world.render import Array, bare
from sample_world.shading import Graph

__all__ = ["Light", "set_sky"]

PANORAMA_WIDTH = 1024
PANORAMA_TURN = -math.pi / 2  # an environment texture's middle looks along +x


@dataclass(frozen=True)
class Light:
    """An hour and a weather. The azimuth is measured clockwise from the world's +y, the way the road leads."""

    sun_elevation_deg: float
    sun_azimuth_deg: float
    cloud: float = 0.3  # share of the sky; 1 is overcast and hides the sun
    haze_per_m: float = 0.0004
    wet: float = 0.0
    key: float = 0.36  # mean brightness of the exposed image


def set_sky(light: Light, seed: int) -> Array:
    """Light a scene that is still empty: its sky is drawn once into a panorama, and its sun becomes a lamp.

    A panorama is many times quicker to look up than the sky's own noise, and a lamp samples without fireflies. The seed
    moves the clouds. Returns the light of the haze, the mean of the sky above the horizon ahead: linear RGB [3].
    """
    overcast = light.cloud >= 1
    veiled = _panorama(light, seed)
    scene = bpy.context.scene
    if not overcast:
        colour, irradiance = _sun(light)
        lamp = bpy.data.lights.new("sun", "SUN")
        lamp.angle, lamp.color, lamp.energy = math.radians(0.8), colour, irradiance * (1.0 - 0.25 * light.cloud)
        obj = bpy.data.objects.new("sun", lamp)
        obj.rotation_euler = (
            math.radians(90.0 - light.sun_elevation_deg),
            0.0,
            math.radians(180.0 - light.sun_azimuth_deg),
        )
        scene.collection.objects.link(obj)
    world = bpy.data.worlds.new("panorama")
    world.use_nodes = True
    world.cycles.sampling_method, world.cycles.sample_map_resolution = "MANUAL", 256
    scene.world = world
    image = bpy.data.images.new("sky", veiled.shape[1], veiled.shape[0], float_buffer=True, is_data=True)
    image.pixels.foreach_set(np.ascontiguousarray(veiled[::-1]).ravel())
    image.pack()
    g = Graph(world)
    lookup = g.node("ShaderNodeTexEnvironment", image=image).outputs[0]
    g.feed(next(n for n in g.tree.nodes if n.type == "BACKGROUND").inputs["Color"], lookup)
    rows, columns = veiled.shape[:2]
    ahead = veiled[rows * 45 // 100 : rows // 2 - 2, columns // 2 - columns // 6 : columns // 2 + columns // 6, :3]
    return ahead.mean(axis=(0, 1))


@lru_cache(maxsize=64)
def _panorama(light: Light, seed: int) -> Array:
    """Draw the sky with its clouds and without its sun: linear RGBA [H, W, 4], latitude by longitude."""
    _clouded_world(light, seed)
    return _look_around(PANORAMA_WIDTH)


def _look_around(width: int) -> Array:
    scene = bpy.context.scene
    data = bpy.data.cameras.new("panorama")
    data.type, data.panorama_type = "PANO", "EQUIRECTANGULAR"
    obj = bpy.data.objects.new("panorama", data)
    obj.rotation_euler = (math.pi / 2, 0.0, PANORAMA_TURN)
    scene.collection.objects.link(obj)
    scene.camera = obj
    scene.render.resolution_x, scene.render.resolution_y = width, width // 2
    picture = bare(1)
    bpy.data.objects.remove(obj)
    return picture


@lru_cache(maxsize=64)
def _sun(light: Light) -> tuple[tuple[float, float, float], float]:
    """Return colour (greatest channel 1) and irradiance of the sun, from drawing the clear sky with and without it."""
    width = 360
    views = []
    for disc in (True, False):
        sky = _clear_world(light, disc)
        views.append(_look_around(width)[..., :3].astype(float))
        bpy.data.worlds.remove(sky)
    latitude = (0.5 - (np.arange(width // 2) + 0.5) / (width // 2)) * math.pi
    solid_angle = np.cos(latitude) * (2 * math.pi / width) ** 2
    power = ((views[0] - views[1]).clip(0) * solid_angle[:, None, None]).sum(axis=(0, 1))
    strongest = float(power.max())
    return (float(power[0] / strongest), float(power[1] / strongest), float(power[2] / strongest)), strongest


def _clear_world(light: Light, disc: bool) -> bpy.types.World:
    world = bpy.data.worlds.new("clear")
    world.use_nodes = True
    bpy.context.scene.world = world
    g = Graph(world)
    g.feed(next(n for n in g.tree.nodes if n.type == "BACKGROUND").inputs["Color"], _clear(g, light, disc))
    return world


def _clear(g: Graph, light: Light, disc: bool) -> Any:
    sky = g.node(
        "ShaderNodeTexSky",
        sky_type="MULTIPLE_SCATTERING",
        sun_disc=disc,
        sun_size=math.radians(4.0),  # wide enough to be measured on a coarse panorama; its power does not depend on it
        sun_elevation=math.radians(light.sun_elevation_deg),
        sun_rotation=math.radians(light.sun_azimuth_deg),
        aerosol_density=1.0 + 2.0 * light.cloud,
    )
    return sky.outputs[0]


def _clouded_world(light: Light, seed: int) -> None:
    world = bpy.data.worlds.new("clouded")
    world.use_nodes = True
    bpy.context.scene.world = world
    g = Graph(world)
    sky = _clear(g, light, disc=False)
    direction = g.node("ShaderNodeTexCoord").outputs["Generated"]
    x, y, z = g.node("ShaderNodeSeparateXYZ", {0: direction}).outputs
    up = g.math("ADD", g.math("MAXIMUM", z, 0.03), 0.12)
    dome = {0: g.math("DIVIDE", x, up), 1: g.math("DIVIDE", y, up), 2: seed * 7.31}
    flat = g.node("ShaderNodeCombineXYZ", dome).outputs[0]
    billow = g.noise(1.1, 8.0, at=flat, roughness=0.58)
    grey = g.ramp(g.noise(1.7, 3.0, at=flat), 0.3, 0.75)
    low = math.sin(math.radians(max(light.sun_elevation_deg, 2.0)))
    white = 1.6 + 9.0 * low**0.8  # a sunlit cloud beside the clear sky's own radiance
    bright = (white, white * (0.93 + 0.07 * low), white * (0.86 + 0.16 * low))
    if light.cloud >= 1:
        shade = g.mix(grey, _dimmed(bright, 0.62), _dimmed(bright, 0.36))
        cover = 0.97
    else:
        threshold = 0.66 - 0.34 * light.cloud
        shade = g.mix(grey, _dimmed(bright, 1.25), _dimmed(bright, 0.62))
        cover = g.math("MULTIPLY", g.ramp(billow, threshold, threshold + 0.16), 0.93)
    colour = g.mix(g.below(z, -0.02), g.mix(cover, sky, shade), _dimmed(bright, 0.12))
    g.feed(next(n for n in g.tree.nodes if n.type == "BACKGROUND").inputs["Color"], colour)


def _dimmed(colour: tuple[float, float, float], share: float) -> tuple[float, float, float]:
    return colour[0] * share, colour[1] * share, colour[2] * share
