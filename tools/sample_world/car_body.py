"""The painted shell of a car: a dense grid drawn onto the profile curves of its shape.

Windows, lamps, door gaps and trim are not separate pieces: each is a signed distance (metres, negative inside) at the
vertices, and the paint's shader draws it where the interpolated distance changes sign: edges far finer than the grid.
"""

from __future__ import annotations

import bpy
import numpy as np
from numpy.typing import NDArray

from sample_world.car_shapes import CarShape, Curve
from sample_world.meshes import Array, add_mesh, cube_surface, relax

__all__ = ["build_shell"]

FAR = 0.05  # the distance given where a feature does not apply


def build_shell(shape: CarShape, material: bpy.types.Material) -> bpy.types.Object:
    """Build the shell with the middle of its length at x = 0, front towards +x, the ground at z = 0."""
    cell = 0.024 if shape.length < 6 else 0.05
    shares, faces = cube_surface(
        *(round(extent / cell) for extent in (shape.length, shape.width, shape.top[len(shape.top) // 2][1] - 0.2))
    )
    verts = relax(_shell(shape, shares), faces, rounds=5)
    distances = _features(shape, shares, verts)
    verts = _carve(shape, shares, verts, distances)
    verts[:, 0] = shape.length / 2 - verts[:, 0]
    # the grid was drawn with X to the back: turning it round mirrors it, so the faces turn too
    return add_mesh("shell", verts, faces[:, ::-1], material, smooth=True, attributes=distances)


def _at(curve: Curve, x: Array | float) -> Array:
    points = np.asarray(curve)
    return np.interp(x, points[:, 0], points[:, 1])


def _smooth_at(curve: Curve, x: Array, radius: float) -> Array:
    """Interpolate and round off the corners of a curve."""
    taps = np.linspace(-1.0, 1.0, 9)
    weights = 1.0 - np.abs(taps) * 0.8
    return sum(w * _at(curve, x + radius * t) for t, w in zip(taps, weights, strict=True)) / weights.sum()


def _shell(shape: CarShape, shares: Array) -> Array:
    """Map the unit cube's surface onto the car: X to the back, y to the left, z up."""
    a, b, c = shares[:, 0], 2 * shares[:, 1] - 1, shares[:, 2]
    front_top = _at(shape.front, 99.0)
    rear_top = shape.length - _at(shape.rear, 99.0)
    x_top = front_top + a * (rear_top - front_top)
    bow = 0.10 * b**2 * np.clip((shape.length / 2 - x_top) / 0.5, -1, 1)
    top = _smooth_at(shape.top, np.clip(x_top - bow, shape.top[0][0], None), 0.05) - shape.crown * b**2
    z = shape.clearance + c * (top - shape.clearance)
    x_front = _smooth_at(shape.front, z, 0.04)
    x_rear = shape.length - _smooth_at(shape.rear, z, 0.04)
    x = x_front + a * (x_rear - x_front)
    x = np.where(c == 1, x_top, x)
    corner = np.abs(b) ** 3.0
    x = x + shape.sweep * corner * np.clip(1 - x / 0.9, 0, 1) ** 2
    x = x - 0.6 * shape.sweep * corner * np.clip(1 - (shape.length - x) / 0.7, 0, 1) ** 2
    narrow = 1 - 0.10 * np.clip(1 - x / 1.0, 0, 1) ** 2 - 0.07 * np.clip(1 - (shape.length - x) / 1.0, 0, 1) ** 2
    y = b * shape.width / 2 * narrow * _smooth_at(shape.side, z, 0.05)
    return np.stack([x, y, z], axis=-1)


def _smallest(*distances: Array | float) -> Array:
    return np.minimum.reduce(np.broadcast_arrays(*distances))


def _largest(*distances: Array | float) -> Array:
    """Return the distance to the intersection of several shapes."""
    return np.maximum.reduce(np.broadcast_arrays(*distances))


def _between(value: Array, low: Array | float, high: Array | float) -> Array:
    return _largest(low - value, value - high)


def _features(shape: CarShape, shares: Array, verts: Array) -> dict[str, Array]:
    x, y, z = verts.T
    wide = np.abs(y)
    on_front, on_rear, on_top = shares[:, 0] == 0, shares[:, 0] == 1, shares[:, 2] == 1
    on_side = (shares[:, 1] == 0) | (shares[:, 1] == 1)
    belt = _at(shape.belt, x)
    half = shape.width / 2

    def only(where: NDArray[np.bool_], distance: Array) -> Array:
        return np.where(where, distance, FAR)

    # side windows: between the belt and the roof line, drawn in from the windscreen and from the back
    roof = _smallest(_at(shape.top, x - 0.11), _at(shape.top, x + 0.06), _at(shape.top, x)) - shape.crown - 0.085
    first, last = shape.windows
    lean = 0.28 * (z - belt)
    side_glass = _largest(belt + 0.03 - z, (z - roof) * 0.8, first - x, x - (last - lean))
    frame = only(on_side, side_glass - 0.022)
    for pillar in shape.pillars:
        side_glass = _largest(side_glass, 0.045 - np.abs(x - pillar))
    glass = only(on_side, side_glass)

    foot, head = shape.windscreen
    if head > 0:
        screen = _largest(
            _between(x - 0.08 * (y / half) ** 2, foot + 0.05, head), wide - half * 0.86 + (z - 0.9) * 0.30
        )
        glass = np.where(on_top, _smallest(glass, screen), glass)
        frame = np.where(on_top, _smallest(frame, screen - 0.03), frame)
    else:
        top = _at(shape.top, 0.4)
        screen = _largest(_between(z, _at(shape.belt, 0.0) - 0.02, top - 0.36), wide - half * 0.88)
        glass = np.where(on_front, screen, glass)
        frame = np.where(on_front, screen - 0.04, frame)
    if shape.backlight:
        pane = _largest(_between(x + 0.08 * (y / half) ** 2, *shape.backlight), wide - half * 0.80 + (z - 0.9) * 0.25)
        glass = np.where(on_top, _smallest(glass, pane), glass)
        frame = np.where(on_top, _smallest(frame, pane - 0.02), frame)
    if shape.rear_glass:
        low, high = shape.rear_glass
        pane = _largest(_between(z, low, high), wide - half * 0.78 + (z - low) * 0.25)
        glass = np.where(on_rear, pane, glass)
        frame = np.where(on_rear, pane - 0.02, frame)

    low, high, inner, reach = shape.headlamp
    slope = 0.10 * (wide - inner)
    head_front = _largest(_between(z, low + slope * 0.6, high + slope * 0.3), inner - wide + 0.35 * (high - z))
    head_side = _largest(_between(z, low + 0.16 * x, high + 0.02), x - reach)
    head_top = _largest(inner + 0.03 - wide, x - 0.12 - 0.7 * (wide - inner), x - reach)
    lamps = _smallest(only(on_front, head_front), only(on_side, head_side), only(on_top & (head > 0), head_top))
    low, high, inner, reach = shape.taillamp
    back = shape.length - x
    tail = _smallest(
        only(on_rear, _largest(_between(z, low, high), inner - wide)),
        only(on_side, _largest(_between(z, low + 0.25 * back, high + 0.02), back - reach)),
    )
    if shape.backlight and not shape.bed:
        tail = np.where(on_top, FAR, tail)

    def slot(z_range: tuple[float, float, float], taper: float) -> Array:
        return _largest(_between(z, z_range[0], z_range[1]), wide - z_range[2] + taper * (z_range[1] - z))

    trim = only(on_front, _smallest(slot(shape.grille, 0.4), slot(shape.intake, -0.25)))
    plate_bay = _largest(_between(z, shape.rear[2][0] + 0.05, shape.rear[2][0] + 0.22), wide - 0.30)
    low_rear = only(on_rear, z - shape.cladding - 0.10)
    trim = _smallest(trim, only(on_side | on_front, z - shape.cladding), low_rear, only(on_rear, plate_bay))
    trim = _smallest(trim, np.where(shares[:, 2] == 0, -FAR, FAR))
    arches = np.full_like(x, FAR)
    for axle in shape.axles[:1] if shape.cargo else shape.axles:
        radius = shape.wheel_radius + 0.055
        circle = np.hypot(x - axle, z - shape.wheel_radius) - radius
        arches = _smallest(arches, np.where(wide > half * 0.6, circle, FAR))

    features = {"glass": glass, "frame": frame, "head": lamps, "tail": tail, "trim": trim, "arch": arches}
    for k in range(2):
        door = np.full_like(x, FAR)
        if k < len(shape.doors):
            start, end = shape.doors[k]
            bottom = shape.cladding + 0.05
            door = _largest(start + 0.12 * (belt - z).clip(0) - x, x - end, bottom - z, z - roof - 0.04)
            door = only(on_side, _largest(door, 0.03 - arches))
        features[f"door{k}"] = door
    if foot > 0:
        bonnet = _largest(_between(x, 0.10, foot - 0.02), wide - half * 0.80)
        lid = only(on_top, bonnet)
        if shape.backlight and not shape.bed:
            boot = _largest(shape.backlight[1] + 0.06 - x, wide - half * 0.72)
            lid = np.where(on_top & (x > shape.length / 2), boot, lid)
        hatch = _largest(_between(z, shape.rear[2][0] + 0.02, 9.0), wide - half * 0.80 - 0.0)
        features["lid"] = np.where(on_rear & ~on_top, hatch, lid)
    else:
        features["lid"] = np.full_like(x, FAR)
    return features


def _carve(shape: CarShape, shares: Array, verts: Array, features: dict[str, Array]) -> Array:
    """Press in the wheel arches and the load bed, and set the windows back a little."""
    verts = verts.copy()
    arch, cell = features["arch"], 0.024 if shape.length < 6 else 0.05
    for axle in shape.axles[:1] if shape.cargo else shape.axles:
        dx, dz = verts[:, 0] - axle, verts[:, 2] - shape.wheel_radius
        distance = np.hypot(dx, dz)
        radius = shape.wheel_radius + 0.055
        rim = (np.abs(distance - radius) < 0.62 * cell) & (np.abs(verts[:, 1]) > shape.width * 0.3) & (shares[:, 2] > 0)
        grow = np.where(rim, radius / np.maximum(distance, 1e-6), 1.0)
        verts[:, 0] = axle + dx * grow
        verts[:, 2] = shape.wheel_radius + dz * grow
        arch[rim] = np.minimum(arch[rim], 0.0)
        inside = (distance < radius - 0.62 * cell) & (np.abs(verts[:, 1]) > shape.width * 0.3)
        limit = shape.width / 2 - shape.tyre_width - 0.12
        verts[inside, 1] = np.clip(verts[inside, 1], -limit, limit)
        flare = np.where(arch > 0, 0.014 * np.exp(-((arch / 0.05) ** 2)), 0.0) * (arch < FAR)
        verts[:, 1] += np.sign(verts[:, 1]) * flare * (np.abs(dx) < 2 * radius)
    inward = np.where((shares[:, 1] == 0) | (shares[:, 1] == 1), np.sign(verts[:, 1]), 0.0)
    verts[:, 1] -= inward * np.where(features["frame"] < 0, 0.012, 0.0)
    if shape.bed:
        start, end, floor = shape.bed
        x, y, _ = verts.T
        bed = (shares[:, 2] == 1) & (x > start) & (x < end) & (np.abs(y) < shape.width / 2 * 0.86)
        verts[bed, 2] = floor
        features["trim"][bed] = -FAR
    return verts
