"""The materials of the road world, each under its Cityscapes train id."""

from __future__ import annotations

import bpy
import numpy as np

from sample_world.shading import Colour, Graph

__all__ = [
    "BUILDING",
    "FENCE",
    "POLE",
    "ROAD",
    "SIDEWALK",
    "SIGN",
    "TERRAIN",
    "VEGETATION",
    "WALL",
    "asphalt",
    "brick",
    "foliage",
    "glass",
    "ground",
    "lane_paint",
    "mottled",
    "paving",
]

ROAD, SIDEWALK, BUILDING, WALL, FENCE, POLE, SIGN, VEGETATION, TERRAIN = 0, 1, 2, 3, 4, 5, 7, 8, 9

Material = bpy.types.Material


def _dimmed(colour: Colour, share: float) -> Colour:
    return colour[0] * share, colour[1] * share, colour[2] * share


def mottled(
    name: str, label: int, colour: Colour, scale: float = 1.5, depth: float = 0.35, roughness: float = 0.85
) -> Material:
    """One colour with large and small stains."""
    material, g = Graph.material(name, label)
    stains = g.math("MULTIPLY", g.noise(scale, 6.0), g.ramp(g.noise(scale * 0.13, 3.0), 0.2, 0.8, 0.75, 1.2))
    tone = g.mix(g.ramp(stains, 0.25, 0.75), _dimmed(colour, 1 - depth), _dimmed(colour, 1 + depth * 0.6))
    g.surface(Base_Color=tone, Roughness=roughness)
    return material


def asphalt(tone: float, wet: float, lane_m: float) -> Material:
    """Asphalt with stone grain, worn tracks, patches and cracks; where wet, puddles that mirror."""
    material, g = Graph.material("asphalt", ROAD)
    grain = g.noise(90.0, 3.0)
    stains = g.noise(0.35, 6.0)
    across = g.attribute("across_m")
    track = g.math("COSINE", g.math("MULTIPLY", across, 4 * np.pi / lane_m))
    along = g.noise(0.6, 3.0, at=g.stretch((1.0, 0.06, 1.0)))
    worn = g.math("MULTIPLY", g.ramp(track, -0.6, 0.9), g.ramp(along, 0.3, 0.7, 0.3, 1.0))
    shade = g.math("ADD", g.ramp(stains, 0.3, 0.7, tone * 0.78, tone * 1.2), g.math("MULTIPLY", worn, -0.22 * tone))
    shade = g.math("ADD", shade, g.ramp(grain, 0.3, 0.75, -0.28 * tone, 0.34 * tone))
    shade = g.math("ADD", shade, g.ramp(g.noise(11.0, 4.0), 0.3, 0.7, -0.16 * tone, 0.16 * tone))
    cells = g.node("ShaderNodeTexVoronoi", {"Vector": g.where(), "Scale": 0.22}, feature="DISTANCE_TO_EDGE").outputs[0]
    crack = g.math("ADD", cells, g.math("MULTIPLY", g.math("SUBTRACT", g.noise(1.6, 5.0), 0.5), 0.22))
    seam = g.math("MULTIPLY", g.below(g.math("ABSOLUTE", crack), 0.004), g.ramp(g.noise(0.08, 2.0), 0.45, 0.6))
    shade = g.math("MULTIPLY", shade, g.math("SUBTRACT", 1.0, g.math("MULTIPLY", seam, 0.6)))
    puddle = g.ramp(g.noise(0.22, 4.0, at=g.stretch((1.0, 0.45, 1.0))), 0.60 - 0.22 * wet, 0.72 - 0.16 * wet)
    puddle = g.math("MULTIPLY", puddle, wet)
    shade = g.math("MULTIPLY", shade, g.math("SUBTRACT", 1.0 - 0.45 * wet, g.math("MULTIPLY", puddle, 0.3)))
    tint = g.node("ShaderNodeCombineColor", {0: shade, 1: shade, 2: g.math("MULTIPLY", shade, 1.03)}).outputs[0]
    rough = g.blend(puddle, 0.88 - 0.42 * wet, 0.03)
    g.surface(Base_Color=tint, Roughness=rough)
    if wet < 0.5:  # water lies smooth over the grain
        g.surface(Normal=g.bump(grain, 0.35, 0.004))
    return material


def lane_paint(asphalt_tone: float, colour: Colour = (0.62, 0.62, 0.60), wear: float = 0.4) -> Material:
    """Road paint, worn through to the asphalt in places."""
    material, g = Graph.material("lane paint", ROAD)
    worn = g.ramp(
        g.math("ADD", g.noise(14.0, 5.0), g.math("MULTIPLY", g.noise(0.9, 3.0), 0.5)),
        0.95 - wear * 0.4,
        1.05 - wear * 0.3,
    )
    g.surface(Base_Color=g.mix(worn, colour, (asphalt_tone,) * 3), Roughness=0.6)
    return material


def paving(colour: Colour, slab_m: float, wet: float) -> Material:
    """Paving slabs with joints."""
    material, g = Graph.material("paving", SIDEWALK)
    joints = {
        "Vector": g.where(),
        "Scale": 1.0,
        "Mortar Size": 0.012,
        "Brick Width": slab_m * 1.5,
        "Row Height": slab_m,
    }
    joints |= {"Color1": _dimmed(colour, 0.9), "Color2": _dimmed(colour, 1.1), "Mortar": _dimmed(colour, 0.45)}
    slabs = g.node("ShaderNodeTexBrick", joints).outputs[0]
    dirt = g.ramp(g.noise(0.7, 6.0), 0.3, 0.7)
    dirty = g.mix(0.45, slabs, g.mix(dirt, _dimmed(colour, 0.5), _dimmed(colour, 1.15)))
    g.surface(Base_Color=dirty, Roughness=0.85 - 0.5 * wet)
    return material


def ground(name: str, low: Colour, high: Colour, furrow_m: float = 0.0) -> Material:
    """Grass, crop or bare soil; furrows run along the world's y."""
    material, g = Graph.material(name, TERRAIN)
    large, small = g.noise(0.06, 4.0), g.noise(7.0, 6.0, at=g.stretch((1.0, 1.0, 0.3)))
    shade = g.math("ADD", g.math("MULTIPLY", large, 0.55), g.math("MULTIPLY", small, 0.5))
    if furrow_m:
        x = g.node("ShaderNodeSeparateXYZ", {0: g.where()}).outputs[0]
        wave = g.math("SINE", g.math("MULTIPLY", x, 2 * np.pi / furrow_m))
        shade = g.math("ADD", shade, g.math("MULTIPLY", wave, 0.10))
    tone = g.mix(g.ramp(shade, 0.33, 0.72), low, high)
    g.surface(Base_Color=tone, Roughness=0.95, Normal=g.bump(small, 0.7, 0.06), Specular_IOR_Level=0.15)
    return material


def foliage(name: str, low: Colour, high: Colour) -> Material:
    """Leaves: another shade at every place, and light that shines through."""
    material, g = Graph.material(name, VEGETATION)
    tone = g.mix(g.ramp(g.noise(2.2, 3.0), 0.3, 0.7), low, high)
    g.surface(Base_Color=tone, Roughness=0.6, Specular_IOR_Level=0.25)
    translucent = g.node("ShaderNodeBsdfTranslucent", {"Color": tone}).outputs[0]
    principled = next(n for n in g.tree.nodes if n.type == "BSDF_PRINCIPLED")
    both = g.node("ShaderNodeMixShader", {0: 0.35, 1: principled.outputs[0], 2: translucent}).outputs[0]
    output = next(n for n in g.tree.nodes if n.type == "OUTPUT_MATERIAL")
    g.tree.links.new(both, output.inputs["Surface"])
    return material


def brick(colour: Colour) -> Material:
    """Brickwork, drawn in the object's own upright planes."""
    material, g = Graph.material("brick", BUILDING)
    x, y, z = g.node("ShaderNodeSeparateXYZ", {0: g.where("object")}).outputs
    upright = g.node("ShaderNodeCombineXYZ", {0: g.math("ADD", x, y), 1: z, 2: 0.0}).outputs[0]
    courses = {"Vector": upright, "Scale": 1.0, "Mortar Size": 0.008, "Brick Width": 0.25, "Row Height": 0.08}
    courses |= {"Color1": _dimmed(colour, 0.8), "Color2": _dimmed(colour, 1.2), "Mortar": (0.35, 0.33, 0.30)}
    bricks = g.node("ShaderNodeTexBrick", courses).outputs[0]
    stains = g.ramp(g.noise(0.5, 5.0), 0.3, 0.75)
    g.surface(Base_Color=g.mix(0.35, bricks, g.mix(stains, _dimmed(colour, 0.6), _dimmed(colour, 1.2))), Roughness=0.9)
    return material


def glass(tint: Colour = (0.02, 0.025, 0.03)) -> Material:
    """Window panes: dark rooms, some with curtains, behind a mirror-like surface."""
    material, g = Graph.material("window glass", BUILDING)
    room = g.ramp(g.noise(0.8, 1.0), 0.52, 0.60)
    g.surface(Base_Color=g.mix(room, tint, (0.16, 0.15, 0.13)), Roughness=0.03, IOR=1.6, Coat_Weight=0.6)
    return material
