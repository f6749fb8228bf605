"""The line of a road and shapes laid out along it in (s, o): metres along the line, metres to its right."""

from __future__ import annotations

import numpy as np

from sample_world.meshes import Array, Part

__all__ = ["Path", "kerbed_block", "ribbon"]


class Path:
    """A line that leads along `heading` (radians clockwise from +y), then bends with a radius (positive: right)."""

    def __init__(
        self,
        *,
        start: tuple[float, float] = (0.0, 0.0),
        heading: float = 0.0,
        bend_at: float = 0.0,
        radius: float = 0.0,
        turn: float = 1.2,
        before: float = 60.0,
        after: float = 520.0,
    ) -> None:
        self.s = np.arange(-before, after + 0.5, 1.0)
        ahead = np.clip(self.s - bend_at, 0.0, None)
        eased = np.where(ahead < 30, ahead**2 / 60, ahead - 15)  # the bend sets in over 30 m, as on real roads
        self.heading = heading + (np.sign(radius) * np.minimum(eased / abs(radius), turn) if radius else 0.0 * self.s)
        steps = np.stack([np.sin(self.heading), np.cos(self.heading)], axis=-1)
        points = np.concatenate([np.zeros((1, 2)), np.cumsum((steps[1:] + steps[:-1]) / 2, axis=0)])
        self.points = points - points[int(before)] + np.asarray(start)

    def direction(self, s: Array | float) -> Array:
        """Heading in radians clockwise from +y."""
        return np.interp(s, self.s, self.heading)

    def at(self, s: Array | float, o: Array | float) -> Array:
        """World (x, y) of points along and beside the line, [..., 2]."""
        heading = self.direction(s)
        x = np.interp(s, self.s, self.points[:, 0]) + o * np.cos(heading)
        y = np.interp(s, self.s, self.points[:, 1]) - o * np.sin(heading)
        return np.stack([x, y], axis=-1)

    def distance(self, points: Array) -> Array:
        """Distance in metres of world points [N, 2] from the line."""
        coarse = self.points[::4]
        return np.sqrt(np.min(((points[:, None] - coarse[None]) ** 2).sum(-1), axis=1))

    @property
    def end(self) -> float:
        return float(self.s[-1])


def ribbon(path: Path, s0: float, s1: float, o0: float, o1: float, z: float, step: float = 2.0) -> Part:
    """A flat strip from s0 to s1 between two offsets."""
    along = np.linspace(s0, s1, max(2, int(np.ceil((s1 - s0) / step)) + 1))
    left, right = path.at(along, o0), path.at(along, o1)
    rows = np.stack([left, right], axis=1)
    verts = np.concatenate([rows, np.full((*rows.shape[:2], 1), z)], axis=2).reshape(-1, 3)
    return verts, [(2 * i, 2 * i + 1, 2 * i + 3, 2 * i + 2) for i in range(len(along) - 1)]


def kerbed_block(
    path: Path, s0: float, s1: float, near: float, far: float, z: float, round_start: float, round_end: float
) -> tuple[Part, Part]:
    """A raised block beside the road with rounded corners towards it: its kerb (face and stone) and its top."""
    side = np.sign(near)
    near, far = abs(near), abs(far)

    def outline(inset: float) -> Array:
        points: list[tuple[float, float]] = []
        for corner, radius, begin in ((s0, round_start, np.pi), (s1, round_end, np.pi / 2)):
            away = 1 if corner == s0 else -1
            radius = max(radius, inset + 0.05)
            for angle in np.linspace(begin, begin - np.pi / 2, 9):
                s = corner + away * radius + (radius - inset) * np.cos(angle)
                points.append((s, near + radius - (radius - inset) * np.sin(angle)))
            if corner == s0:
                first, last = s0 + radius, s1 - max(round_end, inset + 0.05)
                # The number of points is independent of the inset because rings are joined point by point.
                count = max(2, int((s1 - s0 - round_start - round_end) / 2))
                points += [(s, near + inset) for s in np.linspace(first, last, count)[1:-1]]
        back = np.linspace(s1 - inset, s0 + inset, max(2, int((s1 - s0) / 2)))
        points += [(float(s), far) for s in back]  # the far side follows the bend too
        flat = np.asarray(points)
        return path.at(flat[:, 0], side * flat[:, 1])

    outer, inner = outline(0.0), outline(0.16)
    n = len(outer)
    rings = [np.column_stack([outer, np.full(n, -0.05)]), np.column_stack([outer, np.full(n, z)])]
    rings.append(np.column_stack([inner, np.full(n, z)]))
    kerb = [
        (k * n + i, k * n + (i + 1) % n, (k + 1) * n + (i + 1) % n, (k + 1) * n + i) for k in range(2) for i in range(n)
    ]
    top = np.column_stack([inner, np.full(n, z)])
    return (np.concatenate(rings), kerb), (top, [tuple(range(n))])
