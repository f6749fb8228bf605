"""Parameters of a road scene and the line of its road. This module builds no geometry."""

from __future__ import annotations

from dataclasses import dataclass, field

from sample_world.path import Path
from sample_world.sky import Light

__all__ = ["CROSS_HALF_M", "KERB_M", "World", "road_path"]

KERB_M = 0.12  # the height of a pavement
CROSS_HALF_M = 3.4  # half the width of a crossing street


@dataclass(frozen=True)
class World:
    """The parameters of a road scene. `kind`: country, suburb, city or industry."""

    kind: str
    seed: int
    light: Light = field(default_factory=lambda: Light(40, 130))
    lanes: int = 2
    lane_m: float = 3.3
    bend_at_m: float = 0.0
    bend_radius_m: float = 0.0  # positive bends right; 0 is straight
    junction_m: float | None = None
    marking: str = "dashed"  # dashed, solid, edges or none
    hills_m: float = 20.0
    conifers: float = 0.2
    season: str = "green"  # green, dry or autumn
    asphalt: float = 0.075
    clouds: int | None = None  # the seed of the sky; the world's own where None

    @property
    def half_m(self) -> float:
        """Return half the width of the road."""
        return self.lanes * self.lane_m / 2 + (0.4 if self.kind == "country" else 0.25)

    @property
    def pavement_m(self) -> float:
        return {"country": 0.0, "suburb": 2.0, "city": 3.4, "industry": 1.8}[self.kind]


def road_path(world: World) -> Path:
    """Return the line of the main road; the camera stands at its s = 0."""
    return Path(bend_at=world.bend_at_m, radius=world.bend_radius_m)
