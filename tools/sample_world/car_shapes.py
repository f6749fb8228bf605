"""Dimensions of each car body shape: profile curves and the positions of windows, doors and lamps.

All lengths are metres. X runs from the foremost point (0) to the back, z from the ground up.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

__all__ = ["BODY_SHAPES", "CarShape", "varied"]

Curve = tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class CarShape:
    """One body shape.

    `top` is the upper outline (X, z); `front` and `rear` are the outlines of the end faces as (z, inset from the end);
    `side` is the half width as a share of the greatest by height; `belt` the lower edge of the windows.
    """

    name: str
    length: float
    width: float
    top: Curve
    front: Curve
    rear: Curve
    side: Curve
    belt: Curve
    axles: tuple[float, ...]
    wheel_radius: float
    windscreen: tuple[float, float]  # X of its lower and upper edge
    backlight: tuple[float, float] | None  # the same for a rear window in the top outline; None: it is in the rear face
    windows: tuple[float, float]  # X of the foremost and hindmost end of the side windows
    pillars: tuple[float, ...]  # X of the pillars between the side windows
    doors: tuple[tuple[float, float], ...]  # X ranges
    headlamp: tuple[float, float, float, float]  # z low, z high, inner |y|, reach along the side
    taillamp: tuple[float, float, float, float]
    grille: tuple[float, float, float]  # z low, z high, half width
    intake: tuple[float, float, float]
    clearance: float = 0.18
    sweep: float = 0.20  # how far the corners of the front lie behind its middle
    crown: float = 0.05
    cladding: float = 0.26  # below this height the sides are bare black plastic
    rear_glass: tuple[float, float] | None = None  # z range of a window in the rear face
    bed: tuple[float, float, float] | None = None  # X range and floor height of an open load bed
    cargo: tuple[float, float, float, float] | None = None  # X range, floor and top of a separate load box
    tyre_width: float = 0.20


CAR_SIDE: Curve = ((0.15, 0.88), (0.27, 0.955), (0.48, 0.99), (0.62, 1.0), (0.80, 0.985), (0.93, 0.95), (1.45, 0.70))
TALL_SIDE: Curve = ((0.15, 0.90), (0.3, 0.965), (0.55, 0.995), (0.8, 1.0), (1.05, 0.975), (1.7, 0.80), (1.95, 0.74))

BODY_SHAPES: dict[str, CarShape] = {
    shape.name: shape
    for shape in (
        CarShape(
            name="hatchback",
            length=4.05,
            width=1.76,
            top=(
                (0.06, 0.66),
                (0.16, 0.735),
                (0.5, 0.835),
                (1.02, 0.955),
                (1.10, 0.985),
                (1.75, 1.385),
                (1.95, 1.45),
                (2.5, 1.49),
                (3.2, 1.46),
                (3.72, 1.385),
            ),
            front=((0.18, 0.10), (0.3, 0.0), (0.48, 0.0), (0.58, 0.05), (0.70, 0.10)),
            rear=((0.22, 0.10), (0.35, 0.0), (0.58, 0.0), (0.68, 0.07), (0.98, 0.10), (1.38, 0.36)),
            side=CAR_SIDE,
            belt=((0.6, 0.90), (2.0, 0.935), (4.0, 1.02)),
            axles=(0.80, 3.36),
            wheel_radius=0.315,
            windscreen=(1.09, 1.86),
            backlight=None,
            windows=(1.12, 3.52),
            pillars=(2.28, 3.13),
            doors=((1.30, 2.28), (2.28, 3.10)),
            headlamp=(0.60, 0.735, 0.46, 0.62),
            taillamp=(0.72, 0.96, 0.50, 0.32),
            grille=(0.50, 0.585, 0.48),
            intake=(0.235, 0.37, 0.60),
            rear_glass=(1.00, 1.33),
        ),
        CarShape(
            name="saloon",
            length=4.65,
            width=1.82,
            top=(
                (0.06, 0.65),
                (0.18, 0.72),
                (0.6, 0.82),
                (1.22, 0.925),
                (1.32, 0.955),
                (2.05, 1.36),
                (2.25, 1.415),
                (2.7, 1.45),
                (3.2, 1.42),
                (3.45, 1.37),
                (4.02, 1.06),
                (4.12, 1.035),
                (4.5, 1.02),
            ),
            front=((0.18, 0.10), (0.3, 0.0), (0.48, 0.0), (0.58, 0.05), (0.70, 0.10)),
            rear=((0.22, 0.12), (0.36, 0.0), (0.60, 0.0), (0.70, 0.05), (1.02, 0.06)),
            side=CAR_SIDE,
            belt=((0.6, 0.885), (2.2, 0.915), (4.2, 0.985)),
            axles=(0.90, 3.62),
            wheel_radius=0.325,
            windscreen=(1.31, 2.13),
            backlight=(3.40, 4.00),
            windows=(1.36, 3.74),
            pillars=(2.52, 3.36),
            doors=((1.50, 2.52), (2.52, 3.36)),
            headlamp=(0.59, 0.715, 0.48, 0.58),
            taillamp=(0.72, 0.90, 0.46, 0.30),
            grille=(0.50, 0.66, 0.40),
            intake=(0.225, 0.34, 0.62),
        ),
        CarShape(
            name="estate",
            length=4.70,
            width=1.82,
            top=(
                (0.06, 0.65),
                (0.18, 0.73),
                (0.6, 0.83),
                (1.2, 0.935),
                (1.3, 0.965),
                (2.03, 1.37),
                (2.25, 1.43),
                (2.8, 1.47),
                (3.6, 1.46),
                (4.35, 1.40),
            ),
            front=((0.18, 0.10), (0.3, 0.0), (0.48, 0.0), (0.58, 0.05), (0.70, 0.10)),
            rear=((0.22, 0.10), (0.35, 0.0), (0.58, 0.0), (0.68, 0.06), (0.98, 0.09), (1.40, 0.37)),
            side=CAR_SIDE,
            belt=((0.6, 0.89), (2.2, 0.925), (4.5, 1.0)),
            axles=(0.90, 3.65),
            wheel_radius=0.325,
            windscreen=(1.29, 2.12),
            backlight=None,
            windows=(1.34, 4.28),
            pillars=(2.50, 3.42),
            doors=((1.48, 2.50), (2.50, 3.38)),
            headlamp=(0.60, 0.725, 0.48, 0.58),
            taillamp=(0.70, 1.00, 0.56, 0.34),
            grille=(0.48, 0.65, 0.42),
            intake=(0.225, 0.34, 0.62),
            rear_glass=(1.00, 1.345),
        ),
        CarShape(
            name="suv",
            length=4.45,
            width=1.86,
            top=(
                (0.06, 0.84),
                (0.16, 0.92),
                (0.5, 1.0),
                (1.1, 1.08),
                (1.2, 1.11),
                (1.82, 1.55),
                (2.05, 1.625),
                (2.6, 1.66),
                (3.5, 1.63),
                (4.12, 1.55),
            ),
            front=((0.22, 0.14), (0.36, 0.0), (0.62, 0.0), (0.8, 0.04), (0.9, 0.09)),
            rear=((0.26, 0.12), (0.42, 0.0), (0.66, 0.0), (0.78, 0.06), (1.10, 0.09), (1.55, 0.33)),
            side=(
                (0.20, 0.88),
                (0.34, 0.955),
                (0.60, 0.99),
                (0.76, 1.0),
                (0.95, 0.985),
                (1.08, 0.955),
                (1.65, 0.73),
            ),
            belt=((0.6, 1.04), (2.2, 1.075), (4.2, 1.15)),
            axles=(0.86, 3.52),
            wheel_radius=0.355,
            windscreen=(1.19, 1.93),
            backlight=None,
            windows=(1.24, 4.02),
            pillars=(2.36, 3.26),
            doors=((1.40, 2.36), (2.36, 3.22)),
            headlamp=(0.76, 0.885, 0.50, 0.55),
            taillamp=(0.84, 1.10, 0.52, 0.32),
            grille=(0.62, 0.83, 0.46),
            intake=(0.29, 0.46, 0.62),
            clearance=0.22,
            cladding=0.40,
            rear_glass=(1.15, 1.50),
            tyre_width=0.225,
        ),
        CarShape(
            name="van",
            length=5.0,
            width=1.94,
            top=(
                (0.06, 0.86),
                (0.15, 0.95),
                (0.45, 1.04),
                (0.85, 1.16),
                (0.93, 1.20),
                (1.60, 1.80),
                (1.82, 1.90),
                (2.3, 1.955),
                (3.6, 1.965),
                (4.84, 1.93),
            ),
            front=((0.2, 0.10), (0.34, 0.0), (0.58, 0.0), (0.75, 0.05), (0.9, 0.11)),
            rear=((0.22, 0.08), (0.4, 0.0), (0.58, 0.0), (0.66, 0.06), (1.2, 0.07), (1.95, 0.17)),
            side=TALL_SIDE,
            belt=((0.5, 1.09), (1.6, 1.11), (4.8, 1.16)),
            axles=(0.94, 3.92),
            wheel_radius=0.335,
            windscreen=(0.92, 1.70),
            backlight=None,
            windows=(1.0, 2.32),
            pillars=(),
            doors=((1.22, 2.36), (2.36, 3.5)),
            headlamp=(0.76, 0.95, 0.58, 0.55),
            taillamp=(0.78, 1.22, 0.74, 0.16),
            grille=(0.60, 0.82, 0.48),
            intake=(0.27, 0.45, 0.64),
            sweep=0.26,
            clearance=0.2,
            rear_glass=(1.22, 1.72),
            tyre_width=0.215,
        ),
        CarShape(
            name="pickup",
            length=5.3,
            width=1.9,
            top=(
                (0.05, 0.92),
                (0.14, 0.99),
                (0.5, 1.06),
                (1.35, 1.13),
                (1.45, 1.16),
                (2.05, 1.63),
                (2.25, 1.73),
                (2.7, 1.77),
                (3.2, 1.74),
                (3.38, 1.68),
                (3.62, 1.13),
                (3.72, 1.10),
                (5.25, 1.10),
            ),
            front=((0.24, 0.14), (0.38, 0.0), (0.64, 0.0), (0.8, 0.03), (0.97, 0.07)),
            rear=((0.3, 0.12), (0.42, 0.0), (0.58, 0.0), (0.64, 0.05), (1.10, 0.05)),
            side=(
                (0.22, 0.88),
                (0.36, 0.955),
                (0.62, 0.99),
                (0.8, 1.0),
                (1.0, 0.99),
                (1.13, 0.965),
                (1.75, 0.75),
            ),
            belt=((0.6, 1.10), (2.2, 1.12), (5.2, 1.16)),
            axles=(0.95, 4.15),
            wheel_radius=0.385,
            windscreen=(1.44, 2.14),
            backlight=(3.37, 3.58),
            windows=(1.5, 3.38),
            pillars=(2.48,),
            doors=((1.62, 2.48), (2.48, 3.3)),
            headlamp=(0.80, 0.965, 0.54, 0.42),
            taillamp=(0.70, 1.06, 0.76, 0.14),
            grille=(0.62, 0.93, 0.50),
            intake=(0.32, 0.48, 0.66),
            clearance=0.26,
            cladding=0.34,
            bed=(3.74, 5.14, 0.72),
            tyre_width=0.24,
        ),
        CarShape(
            name="truck",
            length=2.0,
            width=2.2,
            top=((0.12, 2.28), (0.3, 2.40), (0.8, 2.47), (1.9, 2.44)),
            front=((0.3, 0.06), (0.42, 0.0), (0.7, 0.0), (0.95, 0.02), (1.30, 0.05), (2.28, 0.30)),
            rear=((0.4, 0.0), (0.8, 0.0), (1.2, 0.0), (2.4, 0.02)),
            side=((0.3, 0.94), (0.5, 0.985), (0.9, 1.0), (1.3, 0.985), (2.3, 0.89), (2.5, 0.86)),
            belt=((0.0, 1.36), (0.8, 1.36), (1.0, 1.40), (2.0, 1.40)),
            axles=(0.92, 4.65),
            wheel_radius=0.42,
            windscreen=(0.0, 0.0),
            backlight=None,
            windows=(0.42, 1.42),
            pillars=(),
            doors=((0.36, 1.5),),
            headlamp=(0.60, 0.78, 0.66, 0.20),
            taillamp=(0.0, 0.0, 9.0, 0.0),
            grille=(0.92, 1.20, 0.72),
            intake=(0.36, 0.52, 0.75),
            clearance=0.34,
            sweep=0.16,
            crown=0.06,
            cladding=0.5,
            cargo=(2.12, 6.3, 0.95, 3.05),
            tyre_width=0.26,
        ),
        CarShape(
            name="bus",
            length=11.2,
            width=2.5,
            top=((0.10, 2.86), (0.35, 2.98), (1.0, 3.02), (10.4, 3.02), (11.1, 2.94)),
            front=((0.26, 0.08), (0.4, 0.0), (0.75, 0.0), (1.1, 0.01), (2.86, 0.16)),
            rear=((0.3, 0.06), (0.45, 0.0), (1.2, 0.0), (2.9, 0.10)),
            side=((0.26, 0.96), (0.4, 0.99), (0.8, 1.0), (1.3, 1.0), (2.7, 0.965), (3.0, 0.94)),
            belt=((0.0, 1.22), (11.2, 1.22)),
            axles=(2.6, 8.3),
            wheel_radius=0.48,
            windscreen=(0.0, 0.0),
            backlight=None,
            windows=(0.55, 10.75),
            pillars=(1.75, 3.25, 4.75, 6.25, 7.75, 9.25),
            doors=((0.50, 1.65), (5.0, 6.2)),
            headlamp=(0.62, 0.86, 0.72, 0.24),
            taillamp=(0.80, 1.30, 0.98, 0.10),
            grille=(0.0, 0.0, 0.0),
            intake=(0.38, 0.50, 0.8),
            clearance=0.30,
            sweep=0.22,
            crown=0.08,
            cladding=0.36,
            rear_glass=(1.55, 2.65),
            tyre_width=0.28,
        ),
    )
}


def varied(shape: CarShape, rng: np.random.Generator) -> CarShape:
    """Return a shape with slightly different proportions: another model of the same kind."""
    along, up, across = rng.uniform(0.96, 1.05), rng.uniform(0.97, 1.04), rng.uniform(0.98, 1.02)

    def stretch(curve: Curve, first: float, second: float) -> Curve:
        return tuple((p * first, q * second) for p, q in curve)

    def each(values: tuple[float, ...], factors: tuple[float, ...]) -> tuple[float, ...]:
        return tuple(v * f for v, f in zip(values, factors, strict=True))

    grille = (up, up, across)
    return replace(
        shape,
        length=shape.length * along,
        width=shape.width * across,
        top=stretch(shape.top, along, up),
        front=stretch(shape.front, up, along),
        rear=stretch(shape.rear, up, along),
        side=stretch(shape.side, up, 1.0),
        belt=stretch(shape.belt, along, up),
        axles=tuple(x * along for x in shape.axles),
        windscreen=each(shape.windscreen, (along, along)),
        backlight=None if shape.backlight is None else each(shape.backlight, (along, along)),
        windows=each(shape.windows, (along, along)),
        pillars=tuple(x * along for x in shape.pillars),
        doors=tuple((p * along, q * along) for p, q in shape.doors),
        headlamp=each(shape.headlamp, (up, up, across * rng.uniform(0.9, 1.15), along)),
        taillamp=each(shape.taillamp, (up, up, across * rng.uniform(0.9, 1.15), along)),
        grille=each(shape.grille, grille),
        intake=each(shape.intake, grille),
        rear_glass=None if shape.rear_glass is None else each(shape.rear_glass, (up, up)),
        bed=None if shape.bed is None else each(shape.bed, (along, along, up)),
        cargo=None if shape.cargo is None else each(shape.cargo, (along, along, up, up)),
        sweep=shape.sweep * rng.uniform(0.8, 1.3),
    )
