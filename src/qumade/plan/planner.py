"""Plan samples: crop, objects and placement of sample i, as a pure function. See `place_sample` for the method."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qumade.assets.catalog import Catalog
from qumade.errors import ConfigError
from qumade.jit import compiled
from qumade.plan.placement import place_sample
from qumade.plan.tables import OBJECT_ROW, SAMPLE_ROW, PlanTables

__all__ = ["Plan", "Plans", "backgrounds_without_ground", "plan_possible", "plan_samples"]

Rows = NDArray[Any]


@dataclass(frozen=True, eq=False, slots=True)
class Plan:
    """One planned sample: a SAMPLE_ROW, and one OBJECT_ROW per object, far to near. Effects are drawn from `seed`."""

    sample: np.void
    objects: Rows
    seed: int = 0


@dataclass(frozen=True, eq=False)
class Plans:
    """Planned samples: SAMPLE_ROWs [N], and OBJECT_ROWs [N, most objects] of which the first `count` are valid.

    `seed` is the seed that they were drawn from, for the random numbers of effects.
    """

    samples: Rows
    objects: Rows
    seed: int

    def __getitem__(self, position: int) -> Plan:
        sample = self.samples[position]
        return Plan(sample, self.objects[position, : sample["count"]], self.seed)

    def __len__(self) -> int:
        return len(self.samples)


def plan_samples(tables: PlanTables, catalog: Catalog, indices: Sequence[int] | NDArray[np.int64]) -> Plans:
    """Plan the samples with these indices. Raises QumadeError naming a background on which nothing can stand."""
    indices = np.asarray(indices, np.int64)
    shape = len(indices), tables.objects[1]
    plans = Plans(np.zeros(len(indices), SAMPLE_ROW), np.zeros(shape, OBJECT_ROW), tables.seed)
    failed = _plan_many(tables, indices, plans.samples, plans.objects)
    if failed >= 0:
        background = catalog.backgrounds[plans.samples[failed]["background"]]
        raise ConfigError(
            f"Invalid background: got no crop with ground of known depth in {tables.retries} draws from "
            f"{background.name}; must show ground of known depth, or be left out"
        )
    return plans


def plan_possible(tables: PlanTables, indices: NDArray[np.int64]) -> Plans:
    """Plan those of the samples with these indices that can be planned."""
    shape = len(indices), tables.objects[1]
    plans = Plans(np.zeros(len(indices), SAMPLE_ROW), np.zeros(shape, OBJECT_ROW), tables.seed)
    good, begun = np.ones(len(indices), np.bool_), 0
    while begun < len(indices):
        failed = _plan_many(tables, indices[begun:], plans.samples[begun:], plans.objects[begun:])
        if failed < 0:
            break
        good[begun + failed] = False
        begun += failed + 1
    return Plans(plans.samples[good], plans.objects[good], tables.seed)


def backgrounds_without_ground(tables: PlanTables, indices: NDArray[np.int64]) -> list[int]:
    """Return the numbers of the backgrounds on which one of these samples cannot be planned, ascending.

    None of the crops drawn for such a sample shows ground of known depth.
    """
    found = []
    of_background = indices // (tables.per_pair * len(tables.foreground_size))
    for background in np.unique(of_background).tolist():
        chosen = indices[of_background == background]
        scratch = np.zeros(len(chosen), SAMPLE_ROW), np.zeros((len(chosen), tables.objects[1]), OBJECT_ROW)
        if _plan_many(tables, chosen, *scratch) >= 0:
            found.append(background)
    return found


@compiled()
def _plan_many(tables, indices, samples, objects):  # type: ignore[no-untyped-def]
    for n in range(len(indices)):
        if not place_sample(tables, indices[n], samples[n], objects[n]):
            return n
    return -1
