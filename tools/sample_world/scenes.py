"""The scenes: 24 backgrounds and 24 cut-outs by hand, reference scenes and pairs by their seeds."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from sample_world.camera import Camera
from sample_world.cars import PAINTS, Car, car_size
from sample_world.sky import Light
from sample_world.world import World, road_path

__all__ = [
    "Scene",
    "Standing",
    "background_scenes",
    "foreground_scenes",
    "pair_scenes",
    "reference_scenes",
    "training_scenes",
]

BACKGROUND_SIZE = (512, 384)
REFERENCE_SIZE = (224, 168)


@dataclass(frozen=True)
class Standing:
    """A car and its position."""

    car: Car
    at: tuple[float, float]
    heading: float  # radians from +x


@dataclass(frozen=True)
class Scene:
    name: str
    world: World
    camera: Camera
    cars: tuple[Standing, ...] = ()


NOON, CLEAR, MORNING = Light(58, 215, 0.25), Light(42, 130, 0.1), Light(24, 70, 0.35)
EVENING, LOW_AHEAD, BEHIND = Light(14, 285, 0.3), Light(17, 12, 0.25), Light(33, 178, 0.2)
OVERCAST, DULL = Light(40, 90, 1.0), Light(25, 200, 1.0, key=0.40)
RAIN, WET_SUN = Light(35, 40, 1.0, wet=0.9), Light(22, 25, 0.6, wet=0.75)
FOG, MIST = Light(30, 100, 1.0, haze_per_m=0.022, key=0.5), Light(28, 150, 1.0, haze_per_m=0.008, key=0.42)
BROKEN, HAZY = Light(47, 300, 0.75), Light(36, 240, 0.5, haze_per_m=0.0022)

# world, then focal_px, height_m, pitch_deg, roll_deg, yaw_deg, offset from the road's middle in lanes
_BACKGROUNDS: list[tuple[World, float, float, float, float, float, float]] = [
    (World("city", 101, CLEAR, junction_m=30), 470, 1.45, 2.5, 0.4, 0.0, 0.5),
    (World("country", 102, BROKEN, bend_at_m=14, bend_radius_m=130, hills_m=60), 430, 1.35, 1.5, -0.5, 1.0, 0.5),
    (World("suburb", 103, BEHIND, marking="none"), 500, 1.60, 3.5, 0.0, -2.0, 0.4),
    (World("industry", 104, RAIN, lanes=4), 450, 2.00, 4.5, 0.3, 1.5, 0.5),
    (World("country", 105, NOON, hills_m=35, season="dry"), 520, 1.50, 2.0, 0.8, 0.0, 0.5),
    (World("city", 106, OVERCAST, lanes=4), 430, 1.80, 4.0, -0.3, 0.0, 0.5),
    (World("suburb", 107, MORNING, bend_at_m=10, bend_radius_m=-90, season="autumn"), 440, 1.40, 2.0, 0.0, -3.0, 0.5),
    (World("country", 108, FOG, bend_at_m=40, bend_radius_m=200), 480, 1.30, 1.0, 0.0, 0.0, 0.5),
    (World("city", 109, EVENING, bend_at_m=30, bend_radius_m=160, marking="solid"), 460, 1.50, 2.0, 0.6, 2.0, 0.5),
    (World("country", 110, LOW_AHEAD, hills_m=45), 560, 1.25, 0.5, -0.4, 0.0, 0.5),
    (World("suburb", 111, NOON, junction_m=26, marking="dashed"), 420, 1.70, 4.0, 0.0, 3.0, 0.5),
    (World("industry", 112, HAZY, bend_at_m=35, bend_radius_m=-180), 500, 2.20, 5.0, 0.0, 0.0, 0.5),
    (
        World("country", 113, WET_SUN, bend_at_m=20, bend_radius_m=-150, conifers=0.9, hills_m=110),
        450,
        1.40,
        2.0,
        0.9,
        -2.0,
        0.5,
    ),
    (World("city", 114, BEHIND, lanes=4, junction_m=40), 540, 1.55, 2.5, -0.6, -1.0, 0.5),
    (World("suburb", 115, DULL, season="autumn", conifers=0.5), 480, 1.30, 1.0, 0.0, 2.0, 0.5),
    (World("country", 116, EVENING, hills_m=25, season="autumn", marking="solid"), 470, 1.60, 3.0, 0.0, 1.0, 0.5),
    (World("city", 117, MIST), 480, 1.65, 3.0, 0.5, 0.0, 0.5),
    (
        World("country", 118, CLEAR, bend_at_m=25, bend_radius_m=100, hills_m=150, conifers=0.8),
        410,
        1.45,
        2.0,
        0.0,
        4.0,
        0.5,
    ),
    (
        World("suburb", 119, BROKEN, lanes=2, lane_m=2.8, marking="none", bend_at_m=18, bend_radius_m=140),
        520,
        1.20,
        0.5,
        -0.9,
        0.0,
        0.5,
    ),
    (World("industry", 120, MORNING, junction_m=34, lanes=2), 440, 1.90, 5.0, 0.0, -2.0, 0.5),
    (World("country", 121, OVERCAST, hills_m=70, asphalt=0.11), 500, 1.75, 3.5, -0.2, -1.0, 0.5),
    (World("city", 122, NOON, lanes=2, bend_at_m=45, bend_radius_m=-140, asphalt=0.06), 450, 1.40, 1.5, 0.0, -2.0, 0.5),
    (World("suburb", 123, LOW_AHEAD, junction_m=38, asphalt=0.10), 490, 1.50, 2.5, 0.7, 0.0, 0.5),
    (
        World("country", 124, HAZY, bend_at_m=8, bend_radius_m=-110, season="dry", hills_m=90),
        430,
        2.10,
        4.5,
        0.0,
        -4.0,
        0.5,
    ),
]

# shape, paint, heading of the front against the direction to the right of the image, how wide it shows in pixels
_FOREGROUNDS: list[tuple[str, str, float, int]] = [
    ("hatchback", "red", -62, 210),
    ("hatchback", "white", 135, 240),
    ("hatchback", "sky blue", -155, 280),
    ("hatchback", "yellow", 82, 170),
    ("hatchback", "grey", -20, 300),
    ("saloon", "silver", 140, 280),
    ("saloon", "navy", -50, 260),
    ("saloon", "black", 5, 320),
    ("saloon", "wine", -105, 190),
    ("saloon", "white", 128, 200),
    ("estate", "grey", 40, 280),
    ("estate", "green", -135, 270),
    ("estate", "blue", 172, 310),
    ("suv", "orange", -40, 270),
    ("suv", "black", 124, 220),
    ("suv", "silver", -75, 190),
    ("suv", "blue", 160, 300),
    ("van", "white", -48, 260),
    ("van", "red", 130, 270),
    ("van", "sky blue", -170, 310),
    ("pickup", "sand", 30, 300),
    ("pickup", "red", -58, 220),
    ("truck", "blue", -45, 270),
    ("bus", "yellow", -52, 300),
]


def background_scenes() -> list[Scene]:
    """Roads without cars."""
    scenes = []
    for k, (world, focal, height, pitch, roll, yaw, lane) in enumerate(_BACKGROUNDS, start=1):
        x = lane * world.lane_m * (1 if world.lanes == 2 else 2)
        camera = Camera(*BACKGROUND_SIZE, focal, height, pitch, roll, yaw, x_m=x)
        scenes.append(Scene(f"road_{k:02d}", world, camera))
    return scenes


def foreground_scenes() -> list[Scene]:
    """One car each, on open roads that light it and mirror in it."""
    scenes, count = [], {}
    lights = (CLEAR, NOON, Light(45, 225, 0.4), BEHIND, OVERCAST, Light(38, 155, 0.5))
    for k, (shape, paint, heading, wide) in enumerate(_FOREGROUNDS):
        rng = np.random.default_rng([k, 31])
        count[shape] = count.get(shape, 0) + 1
        car = Car(shape, paint, 300 + k)
        length, width = car_size(car)
        turn = math.radians(heading)
        seen = abs(length * math.cos(turn)) + abs(width * math.sin(turn))
        focal = float(rng.uniform(440, 560))
        near = abs(length * math.sin(turn)) / 2
        away = float(np.clip(focal * seen / wide + 0.5 * near, 6.0 + near / 2, 22.0))
        height = float(rng.uniform(1.25, 2.0))
        pitch = math.degrees(math.atan((height - 0.9) / away)) + float(rng.uniform(-1.0, 2.0))
        camera = Camera(*BACKGROUND_SIZE, focal, height, pitch, x_m=0.0)
        kind = ("country", "suburb", "industry")[k % 3]
        world = World(kind, 400 + k, lights[k % len(lights)], lanes=4, marking="dashed", hills_m=30, clouds=40)
        at = (float(rng.uniform(-0.08, 0.08)) * away, away)
        scenes.append(Scene(f"{shape}_{count[shape]:02d}", world, camera, (Standing(car, at, turn),)))
    return scenes


def reference_scenes() -> list[Scene]:
    """64 roads of other worlds with 0 to 4 cars of other identities."""
    return _roads_with_cars(0, 64)


def training_scenes(count: int) -> list[Scene]:
    """As the reference scenes, but no world and no car of theirs; the first are the same for any count."""
    return _roads_with_cars(1000, count)


def _roads_with_cars(first: int, count: int) -> list[Scene]:
    scenes = []
    for k in range(first, first + count):
        rng = np.random.default_rng([k, 57])
        world = _random_world(rng, 700 + k)
        camera = _random_camera(rng, world, REFERENCE_SIZE)
        cars = int(rng.choice([0, 1, 2, 3, 4], p=[0.06, 0.26, 0.28, 0.24, 0.16]))
        standing = _stand_cars(rng, world, camera, cars, 5000 + 10 * k)
        scenes.append(Scene(f"img{k - first + 1:06d}", world, camera, standing))
    return scenes


_PAIRS = [
    (World("country", 901, CLEAR, hills_m=40), "hatchback", "blue", 130, 0.4),
    (World("city", 902, OVERCAST), "saloon", "red", 60, -0.2),
    (World("suburb", 903, BEHIND), "suv", "white", -118, -0.3),
    (World("industry", 904, NOON, lanes=4), "van", "silver", 120, -0.6),
    (World("country", 905, BROKEN, season="dry"), "pickup", "black", -118, 0.3),
    (World("suburb", 906, MORNING, season="autumn"), "estate", "wine", 50, 0.0),
    (World("city", 907, NOON, lanes=4), "hatchback", "orange", -62, -0.5),
    (World("country", 908, RAIN, bend_at_m=40, bend_radius_m=200), "saloon", "grey", 140, 0.2),
]


def pair_scenes() -> list[Scene]:
    """One large car each; rendered with and without it."""
    scenes = []
    for k, (world, shape, paint, heading, across) in enumerate(_PAIRS, start=1):
        rng = np.random.default_rng([k, 83])
        car = Car(shape, paint, 800 + k)
        turn = math.radians(heading)
        length, width = car_size(car)
        seen = abs(length * math.cos(turn)) + abs(width * math.sin(turn))
        height, focal = float(rng.uniform(1.35, 1.75)), float(rng.uniform(330, 380))
        x = world.lane_m / 2 * (1 if world.lanes == 2 else 2)
        away = max(focal * seen / 245 + abs(length * math.sin(turn)) / 3, 4.4)
        camera = Camera(
            384, 288, focal, height, 5.0 + float(rng.uniform(-1, 2)), float(rng.uniform(-0.6, 0.6)), 0.0, x_m=x
        )
        scenes.append(Scene(f"pair_{k}", world, camera, (Standing(car, (x + across, away), turn),)))
    return scenes


def _random_world(rng: np.random.Generator, seed: int) -> World:
    kind = str(rng.choice(["city", "suburb", "country", "industry"], p=[0.3, 0.3, 0.25, 0.15]))
    lights = (NOON, CLEAR, MORNING, EVENING, LOW_AHEAD, BEHIND, OVERCAST, DULL, RAIN, WET_SUN, MIST, BROKEN, HAZY)
    hour = int(rng.integers(len(lights)))
    bent = rng.random() < 0.35
    junction = float(rng.uniform(20, 40)) if kind != "country" and rng.random() < 0.4 else None
    radius = float(rng.uniform(90, 220)) * (1 if rng.random() < 0.5 else -1)
    return World(
        kind,
        seed,
        lights[hour],
        lanes=4 if kind in ("city", "industry") and rng.random() < 0.5 else 2,
        lane_m=float(rng.uniform(3.0, 3.5)),
        bend_at_m=float(rng.uniform(10, 35)) + (junction or 0.0),
        bend_radius_m=radius if bent else 0.0,
        junction_m=junction,
        marking=str(rng.choice(["dashed", "solid", "edges", "none"], p=[0.5, 0.2, 0.15, 0.15])),
        hills_m=float(rng.uniform(5, 120)),
        conifers=float(rng.uniform(0, 1)),
        season=str(rng.choice(["green", "dry", "autumn"], p=[0.6, 0.2, 0.2])),
        asphalt=float(rng.uniform(0.055, 0.115)),
        clouds=6000 + 2 * hour + seed % 2,  # two skies an hour, so that each is drawn once
    )


def _random_camera(rng: np.random.Generator, world: World, size: tuple[int, int]) -> Camera:
    x = world.lane_m / 2 * (1 if world.lanes == 2 or rng.random() < 0.5 else 3)
    return Camera(
        *size,
        focal_px=float(rng.uniform(0.82, 1.1)) * size[0],
        height_m=float(rng.uniform(1.2, 2.2)),
        pitch_deg=float(rng.uniform(0.0, 5.0)),
        roll_deg=float(rng.uniform(-1.0, 1.0)),
        yaw_deg=float(rng.uniform(-4.0, 4.0)),
        x_m=x,
    )


def _corners(car: Car, at: tuple[float, float], heading: float, margin: float = 0.35) -> np.ndarray:
    length, width = car_size(car)
    along = np.array([math.cos(heading), math.sin(heading)]) * (length / 2 + margin)
    across = np.array([-math.sin(heading), math.cos(heading)]) * (width / 2 + margin)
    if car.shape == "truck":  # its load box reaches behind the cab that it is centred on
        at = (at[0] - math.cos(heading) * length * 0.34, at[1] - math.sin(heading) * length * 0.34)
    return np.asarray(at) + np.array([along + across, along - across, -along - across, -along + across])


def _apart(first: np.ndarray, second: np.ndarray) -> bool:
    """Whether two rectangles are separated along one of their sides (separating axis theorem)."""
    for shape in (first, second):
        for edge in (shape[1] - shape[0], shape[2] - shape[1]):
            p, q = first @ edge, second @ edge
            if p.max() < q.min() or q.max() < p.min():
                return True
    return False


def _stand_cars(rng: np.random.Generator, world: World, camera: Camera, count: int, seed: int) -> tuple[Standing, ...]:
    """Place cars in lanes, at the kerb and in the crossing street, apart from each other and in the image."""
    path, lane = road_path(world), world.lane_m
    shapes = ["hatchback", "saloon", "estate", "suv", "van", "pickup", "truck", "bus"]
    standing: list[Standing] = []
    for attempt in range(200):
        if len(standing) == count:
            break
        shape = str(rng.choice(shapes, p=[0.24, 0.2, 0.12, 0.16, 0.1, 0.07, 0.06, 0.05]))
        car = Car(shape, str(rng.choice(list(PAINTS))), seed + attempt)
        length, _ = car_size(car)
        spot = rng.random()
        s = float(rng.uniform(5.0, 42.0) if len(standing) else rng.uniform(5.0, 20.0)) + length / 2
        if world.junction_m and spot < 0.22:
            side = int(rng.choice([-1, 1]))
            s, o = world.junction_m + side * 1.65, float(rng.uniform(-9, 9))
            turn = 0.0 if side < 0 else math.pi
        else:
            own = spot < 0.65
            lanes = world.lanes // 2
            o = (int(rng.integers(lanes)) + 0.5) * lane
            if spot > 0.85 and world.kind != "country":
                o = world.half_m - 1.1
            o, turn = (o, math.pi / 2) if own else (-o, -math.pi / 2)
            o += float(rng.normal(0, 0.12))
        heading = turn - float(path.direction(s)) + float(rng.normal(0, 0.02))
        at = (float(path.at(s, o)[0]), float(path.at(s, o)[1]))
        box = _corners(car, at, heading)
        _, v, z = camera.project(np.column_stack([box, np.zeros(4)])).T
        middle = camera.project(np.array([[*at, 0.6]]))[0]
        ahead = (
            z.min() > 3.2 and 0.06 * camera.width < middle[0] < 0.94 * camera.width and v.max() < camera.height * 1.05
        )
        if ahead and all(_apart(box, _corners(other.car, other.at, other.heading)) for other in standing):
            standing.append(Standing(car, at, heading))
    return tuple(standing)
