"""Whole cars: shell, wheels, lamps, plates and mirrors, in one paint."""

from __future__ import annotations

from dataclasses import dataclass

import bpy
import numpy as np

from sample_world.car_body import build_shell
from sample_world.car_shapes import BODY_SHAPES, CarShape, varied
from sample_world.meshes import add_mesh, box, merge
from sample_world.shading import Graph, plain
from sample_world.wheels import SINK, build_wheel

__all__ = ["CAR_LABEL", "PAINTS", "Car", "build_car", "car_size"]

CAR_LABEL = 13

# linear colour and metallic share
PAINTS: dict[str, tuple[tuple[float, float, float], float]] = {
    "white": ((0.72, 0.72, 0.70), 0.0),
    "silver": ((0.42, 0.43, 0.45), 0.75),
    "grey": ((0.10, 0.105, 0.115), 0.6),
    "black": ((0.008, 0.008, 0.009), 0.2),
    "red": ((0.42, 0.012, 0.012), 0.1),
    "wine": ((0.13, 0.006, 0.014), 0.45),
    "blue": ((0.015, 0.065, 0.32), 0.45),
    "navy": ((0.008, 0.018, 0.075), 0.35),
    "sky blue": ((0.16, 0.36, 0.55), 0.3),
    "green": ((0.012, 0.085, 0.04), 0.3),
    "yellow": ((0.75, 0.42, 0.01), 0.0),
    "orange": ((0.65, 0.13, 0.008), 0.15),
    "sand": ((0.40, 0.32, 0.22), 0.55),
    "brown": ((0.085, 0.042, 0.022), 0.5),
}


@dataclass(frozen=True)
class Car:
    """A car to build: the seed fixes its proportions, wheels and plate."""

    shape: str
    paint: str
    seed: int

    @property
    def identity(self) -> str:
        return f"{self.shape}-{self.paint.replace(' ', '_')}-{self.seed}"


def build_car(car: Car, at: tuple[float, float], heading: float, index: int) -> tuple[list[bpy.types.Object], float]:
    """Build a car that stands on z = 0 with its middle `at` (x, y) and its front towards `heading` (radians from +x).

    Its object index pass is `index`. Returns its objects and its height in metres.
    """
    rng = np.random.default_rng([car.seed, 7])
    shape = varied(BODY_SHAPES[car.shape], rng)
    materials = _materials(car, rng)
    objects = [build_shell(shape, materials["paint"])]
    objects += _wheels(shape, materials, rng)
    objects += _fittings(shape, materials, rng)
    if shape.cargo:
        objects += _cargo(shape, materials)
    height = 0.0
    for obj in objects:
        verts = np.empty((len(obj.data.vertices), 3), dtype=np.float32)
        obj.data.vertices.foreach_get("co", verts.ravel())
        world = verts.astype(float) @ np.asarray(obj.matrix_world)[:3, :3].T + np.asarray(obj.matrix_world)[:3, 3]
        height = max(height, float(world[:, 2].max()))
        obj.pass_index = index
    root = bpy.data.objects.new("car", None)
    bpy.context.scene.collection.objects.link(root)
    for obj in objects:
        obj.parent = root
    root.location = (*at, 0.0)
    root.rotation_euler = (0.0, 0.0, heading)
    return objects, height


def car_size(car: Car) -> tuple[float, float]:
    """Return length and width of the built car in metres."""
    shape = varied(BODY_SHAPES[car.shape], np.random.default_rng([car.seed, 7]))
    return (shape.cargo[1] if shape.cargo else shape.length), shape.width


def _materials(car: Car, rng: np.random.Generator) -> dict[str, bpy.types.Material]:
    bright = rng.uniform(0.35, 0.75)
    return {
        "paint": _paint(*PAINTS[car.paint]),
        "rubber": plain("rubber", CAR_LABEL, (0.012, 0.012, 0.013), 0.75),
        "rim": plain("rim", CAR_LABEL, (bright, bright, bright * 1.01), 0.28, Metallic=0.9),
        "dark": plain("dark", CAR_LABEL, (0.012, 0.012, 0.012), 0.6),
        "black": plain("black plastic", CAR_LABEL, (0.015, 0.015, 0.016), 0.45),
        "plate": plain("plate", CAR_LABEL, (0.75, 0.75, 0.72), 0.4),
        "chrome": plain("chrome", CAR_LABEL, (0.7, 0.7, 0.7), 0.12, Metallic=1.0),
        "lens": plain("lens", CAR_LABEL, (0.8, 0.8, 0.82), 0.08, Metallic=0.6, Coat_Weight=1.0),
        "amber": plain("amber", CAR_LABEL, (0.7, 0.18, 0.01), 0.2, Coat_Weight=1.0),
        "mirror": plain("mirror", CAR_LABEL, (0.02, 0.02, 0.022), 0.3),
        "box": plain("load box", CAR_LABEL, (0.62, 0.62, 0.60), 0.45, Coat_Weight=0.3),
        "body": plain(
            "body paint", CAR_LABEL, PAINTS[car.paint][0], 0.35, Metallic=PAINTS[car.paint][1], Coat_Weight=1.0
        ),
    }


def _paint(colour: tuple[float, float, float], metallic: float) -> bpy.types.Material:
    """Paint, glass, lamps and trim in one surface, chosen by the signed distances of the shell."""
    material, g = Graph.material("paint", CAR_LABEL)
    stripes = g.math(
        "SINE", g.math("MULTIPLY", g.node("ShaderNodeSeparateXYZ", {0: g.where("object")}).outputs[2], 220.0)
    )
    mesh = g.ramp(stripes, 0.0, 0.6, 0.008, 0.03)
    facets = g.node("ShaderNodeTexVoronoi", {"Vector": g.where("object"), "Scale": 26.0}).outputs["Distance"]
    head = g.attribute("head")
    tail = g.attribute("tail")
    lens = g.mix(g.ramp(facets, 0.1, 0.6), (0.72, 0.74, 0.76), (0.20, 0.21, 0.22))
    red = g.mix(g.ramp(facets, 0.2, 0.7), (0.55, 0.012, 0.012), (0.22, 0.004, 0.006))
    tone, rough, metal, coat = colour, 0.42, metallic, 1.0
    gaps: list = [g.attribute(key) for key in ("door0", "door1", "lid")]
    layers = [(g.below(g.math("ABSOLUTE", gap), 0.0045), (0.004, 0.004, 0.004), 0.8, 0.0, 0.0) for gap in gaps]
    layers += [
        (
            g.below(g.attribute("trim"), 0.0),
            g.node("ShaderNodeCombineColor", {0: mesh, 1: mesh, 2: mesh}).outputs[0],
            0.45,
            0.0,
            0.0,
        ),
        (g.below(g.attribute("arch"), 0.0), (0.006, 0.006, 0.006), 0.9, 0.0, 0.0),
        (g.below(head, 0.006), (0.012, 0.012, 0.012), 0.3, 0.0, 1.0),
        (g.below(head, 0.0), lens, 0.15, 0.5, 1.0),
        (g.below(tail, 0.004), (0.012, 0.012, 0.012), 0.3, 0.0, 1.0),
        (g.below(tail, 0.0), red, 0.2, 0.0, 1.0),
        (g.below(g.attribute("frame"), 0.0), (0.006, 0.006, 0.007), 0.35, 0.0, 0.0),
        (g.below(g.attribute("glass"), 0.0), (0.012, 0.016, 0.018), 0.02, 0.0, 1.0),
    ]
    for factor, layer_tone, layer_rough, layer_metal, layer_coat in layers:
        tone = g.mix(factor, tone, layer_tone)
        rough = g.blend(factor, rough, layer_rough)
        metal = g.blend(factor, metal, layer_metal)
        coat = g.blend(factor, coat, layer_coat)
    g.surface(
        Base_Color=tone,
        Roughness=rough,
        Metallic=metal,
        Coat_Weight=coat,
        Coat_Roughness=0.02,
        Specular_IOR_Level=g.math("MULTIPLY", coat, 0.5),
    )
    return material


def _wheels(
    shape: CarShape, materials: dict[str, bpy.types.Material], rng: np.random.Generator
) -> list[bpy.types.Object]:
    heavy = shape.name in ("truck", "bus", "van")
    spokes = int(rng.choice((5, 5, 6, 7, 9, 10))) if not heavy else 8
    objects = []
    for axle in shape.axles:
        for side in (1, -1):
            share = float(np.interp(shape.wheel_radius, *np.asarray(shape.side).T))
            y = side * (shape.width / 2 * share - shape.tyre_width / 2 - 0.008)
            turn = float(rng.uniform(0, 0.3))
            for part in build_wheel(shape.wheel_radius, shape.tyre_width, spokes, materials, plain_disc=heavy):
                spin = 0.0 if part.name.startswith("tyre") else turn
                part.location = (shape.length / 2 - axle, y, shape.wheel_radius * (1 - SINK))
                part.rotation_euler = (0.0, spin, 0.0 if side > 0 else np.pi)
                objects.append(part)
    bpy.context.view_layer.update()
    return objects


def _fittings(
    shape: CarShape, materials: dict[str, bpy.types.Material], rng: np.random.Generator
) -> list[bpy.types.Object]:
    """Mirrors, door handles, number plates, exhaust and the dark underside."""
    half, front = shape.width / 2, shape.length / 2
    objects = []

    def add(name: str, parts: list, material: str) -> None:
        objects.append(add_mesh(name, *merge(parts), materials[material], smooth=False))

    belt = float(np.interp(shape.windows[0] + 0.3, *np.asarray(shape.belt).T))
    if shape.windscreen[1] > 0:
        mirror_x = front - shape.windows[0] - 0.42
        share = float(np.interp(belt, *np.asarray(shape.side).T))
        mirrors = [box((0.13, 0.21, 0.15), (mirror_x, s * (half * share + 0.10), belt + 0.09), 0.055) for s in (1, -1)]
        objects.append(add_mesh("mirrors", *merge(mirrors), materials["body"], smooth=True))
        feet = [box((0.07, 0.12, 0.04), (mirror_x, s * (half * share + 0.01), belt + 0.03)) for s in (1, -1)]
        add("mirror feet", feet, "black")
    else:
        mirrors = [box((0.12, 0.16, 0.36), (front - 0.12, s * (half + 0.14), belt + 0.45), 0.05) for s in (1, -1)]
        objects.append(add_mesh("mirrors", *merge(mirrors), materials["mirror"], smooth=True))
        add("arms", [box((0.04, 0.22, 0.04), (front - 0.14, s * half, belt + 0.62)) for s in (1, -1)], "black")
    if shape.name not in ("bus", "truck"):
        handles = []
        for _, end in shape.doors:
            z = belt - 0.075
            share = float(np.interp(z, *np.asarray(shape.side).T))
            handles += [
                box((0.19, 0.03, 0.03), (front - end + 0.20, s * (half * share + 0.008), z), 0.012) for s in (1, -1)
            ]
        add("handles", handles, "chrome" if rng.random() < 0.3 else "body")
    plate_z = shape.intake[1] + 0.035
    add("front plate", [box((0.02, 0.50, 0.11), (front - 0.0, 0.0, plate_z))], "plate")
    add("front letters", _letters(rng, front + 0.012, plate_z), "black")
    if shape.cargo is None:
        rear_z = shape.rear[2][0] + 0.135
        rear_x = -front + float(np.interp(rear_z, *np.asarray(shape.rear).T)) - 0.005
        add("rear plate", [box((0.02, 0.50, 0.11), (rear_x, 0.0, rear_z))], "plate")
        add("rear letters", _letters(rng, rear_x - 0.012, rear_z), "black")
    if shape.grille[1] > 0 and shape.name != "truck":
        badge = (shape.grille[0] + shape.grille[1]) / 2
        add("badge", [box((0.03, 0.11, 0.07), (front - 0.035, 0.0, badge), 0.02)], "chrome")
    return objects


def _letters(rng: np.random.Generator, x: float, z: float) -> list:
    """Seven dark strokes that read as letters from afar."""
    parts = []
    for k in range(7):
        y = (k - 3) * 0.062 + (0.012 if k > 2 else -0.012)
        parts.append(box((0.004, 0.012, 0.066), (x, y - 0.014, z)))
        for level in rng.choice((-0.027, 0.0, 0.027), size=2, replace=False):
            parts.append(box((0.004, 0.032, 0.011), (x, y, z + level)))
        if rng.random() < 0.6:
            parts.append(box((0.004, 0.012, 0.066), (x, y + 0.014, z)))
    return parts


def _cargo(shape: CarShape, materials: dict[str, bpy.types.Material]) -> list[bpy.types.Object]:
    """The load box of a truck with its frame, bumper and lamps."""
    start, end, floor, top = shape.cargo
    front = shape.length / 2
    middle, length = front - (start + end) / 2, end - start
    wide = shape.width * 1.03
    rear = front - end
    frame = [box((length + 0.5, 0.9, 0.26), (middle + 0.3, 0.0, floor - 0.2))]
    frame += [box((0.08, wide * 0.9, 0.12), (rear + 0.12, 0.0, 0.52))]
    guards = [box((1.3, 0.05, 0.28), (front - 2.9, s * wide * 0.46, 0.68)) for s in (1, -1)]
    mud = [box((0.9, 0.30, 0.04), (front - shape.axles[1], s * (wide / 2 - 0.16), 0.90)) for s in (1, -1)]
    ribs = [
        box((0.05, wide + 0.03, 0.10), (middle + k * length / 2, 0.0, z))
        for k in (-0.99, 0.99)
        for z in (floor + 0.04, top - 0.04)
    ]
    ribs += [
        box((0.06, 0.06, top - floor), (middle + k * length * 0.497, s * wide * 0.497, (floor + top) / 2))
        for k in (-1, 1)
        for s in (1, -1)
    ]
    ribs += [box((length, wide + 0.02, 0.07), (middle, 0.0, floor + 0.03))]
    doors = [
        box((0.02, 0.03, top - floor - 0.2), (rear - 0.01, s * 0.5, (floor + top) / 2)) for s in (-1, -0.04, 0.04, 1)
    ]
    lamps = [box((0.05, 0.34, 0.11), (rear + 0.08, s * (wide / 2 - 0.25), 0.66)) for s in (1, -1)]
    return [
        add_mesh(
            "load box", *box((length, wide, top - floor), (middle, 0.0, (floor + top) / 2), 0.03), materials["box"]
        ),
        add_mesh("frame", *merge(frame + guards + mud), materials["black"]),
        add_mesh("ribs", *merge(ribs + doors), materials["chrome"]),
        add_mesh("rear lamps", *merge(lamps), plain("red lamp", CAR_LABEL, (0.4, 0.01, 0.01), 0.2, Coat_Weight=1.0)),
        add_mesh("rear plate", *box((0.02, 0.5, 0.11), (rear + 0.05, 0.0, 0.52)), materials["plate"]),
    ]
