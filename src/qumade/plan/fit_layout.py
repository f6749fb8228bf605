"""Fit the planner to a layout: which share of the placements of each size and row to accept.

Rejection sampling: placements with density q, accepted with a probability in proportion to p / q, have density p
(J. von Neumann, "Various techniques used in connection with random digits", 1951). The density q of the recipe's own
placements is counted on some thousand samples. Two things make the result differ from p: the probability is clamped so
that the retries suffice, and every object takes what its background offers. So the shares are corrected in a few rounds
by what the planner then does.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from qumade.assets.catalog import Catalog, FittedLayout
from qumade.assets.scene_layout import ROWS, SIZES, SceneLayout, count_boxes
from qumade.plan.indices import sample_count, stratified_indices
from qumade.plan.planner import Plans, plan_possible
from qumade.plan.random_numbers import resampled_seed
from qumade.plan.tables import REJECTIONS, PlanTables, plan_tables
from qumade.recipe import Recipe

__all__ = ["count_placements", "fit_layout", "number_shares", "target_shares"]

_SAMPLES = 1500  # planned in each round
_ROUNDS = 3
_MOST_CORRECTION = 3.0  # in one round
_ACCEPTED = 4.0  # draws that the layout accepts in all retries: e**-4 of the objects are left without any
_FEW_OBJECTS = 500  # fewer are smoothed: most bins would be empty by chance

Floats = NDArray[np.float64]


def fit_layout(recipe: Recipe, catalog: Catalog, layout: SceneLayout, sha256: str) -> FittedLayout:
    """Return what planning needs to know of a layout. Pure: it plans the same samples every time."""
    target = target_shares(layout)
    fitted = FittedLayout(sha256, np.cumsum(number_shares(layout, recipe.objects)), np.ones((ROWS, SIZES)), 0.0)
    tables = plan_tables(recipe, replace(catalog, layout=fitted))
    proposal, possible = _planned_shares(recipe, catalog, tables)
    unreachable = float(target[proposal == 0].sum())
    with np.errstate(divide="ignore", invalid="ignore"):
        # A wanted placement that never came up is accepted should it come up after all.
        ratio = np.where(target > 0, np.where(proposal > 0, target / proposal, 1.0), 0.0)
    least = min(1.0, _ACCEPTED / (possible * recipe.retries))
    acceptance = _acceptance(ratio, proposal, least)
    for _ in range(_ROUNDS):
        planned, _ = _planned_shares(recipe, catalog, tables._replace(layout=acceptance))
        with np.errstate(divide="ignore", invalid="ignore"):
            wrong = np.where(planned > 0, target / planned, _MOST_CORRECTION)
        ratio *= np.clip(wrong, 1 / _MOST_CORRECTION, _MOST_CORRECTION)
        acceptance = _acceptance(ratio, proposal, least)
    return replace(fitted, acceptance=acceptance, unreachable=unreachable)


def target_shares(layout: SceneLayout) -> Floats:
    """Return the share of the objects in each bin, float64 [20, 14]; smoothed if there are few."""
    table = layout.table
    if table.sum() < _FEW_OBJECTS:
        for axis in (0, 1):
            padded = np.pad(table, [(1, 1) if axis == along else (0, 0) for along in (0, 1)], "edge")
            before, after = (np.take(padded, np.arange(table.shape[axis]) + step, axis) for step in (0, 2))
            table = (before + 2 * table + after) / 4
    shares: Floats = table / table.sum()
    return shares


def number_shares(layout: SceneLayout, objects: tuple[int, int]) -> Floats:
    """Return the share of the samples with each number of objects in the recipe's range; empty if unknown.

    Pictures with another number do not count.
    """
    numbers = layout.numbers[objects[0] : objects[1] + 1]
    total = float(numbers.sum())
    return numbers / total if total > 0 else np.zeros(0)


def count_placements(plans: Plans, size: tuple[int, int]) -> NDArray[np.int64]:
    """Return how many planned objects have each row and size, int64 [20, 14]: of their box inside the image."""
    holds = np.arange(plans.objects.shape[1]) < plans.samples["count"][:, None]
    things = plans.objects[holds]
    left, top = np.maximum(things["left"], 0), np.maximum(things["top"], 0)
    right = np.minimum(things["left"] + things["width"], size[0])
    bottom = np.minimum(things["top"] + things["height"], size[1])
    return count_boxes(np.stack([left, top, right, bottom], axis=1), *size)


def _planned_shares(recipe: Recipe, catalog: Catalog, tables: PlanTables) -> tuple[Floats, float]:
    """Return the share of the objects in each bin, and the share of an object's draws that are possible placements: of
    the median object, for a few that fit nowhere are drawn until the retries are used up."""
    total = sample_count(len(catalog.backgrounds), len(catalog.foregrounds), recipe.per_pair)
    indices = stratified_indices(total, _SAMPLES)
    counts, draws = np.zeros((ROWS, SIZES), np.int64), []
    for draw in range(-(-_SAMPLES // len(indices))):  # a small dataset several times, with other placements
        drawn = tables._replace(seed=resampled_seed(recipe.seed, draw))
        plans = plan_possible(drawn, indices)
        counts += count_placements(plans, recipe.size)
        placed = np.arange(plans.objects.shape[1]) < plans.samples["count"][:, None]
        things = plans.objects[placed & ~plans.objects["fallback"]]
        draws.append(1 + sum(things[f"rejected_{reason}"] for reason in REJECTIONS))
    tried = np.concatenate(draws)
    return counts / max(1, int(counts.sum())), 1 / float(np.median(tried)) if len(tried) else 1.0


def _acceptance(ratio: Floats, proposal: Floats, least: float) -> Floats:
    """Return the shares to accept: in proportion to `ratio`, but at least `least` of the proposal where that can be."""
    highest = float(ratio[proposal > 0].max(initial=0.0))
    if highest == 0.0:  # nothing that is wanted can be had
        return np.ones_like(ratio)
    factor = 1 / highest
    if _mean(proposal, factor * ratio) < least:
        low, high = factor, 1e6 * factor
        for _ in range(60):
            factor = (low + high) / 2
            low, high = (factor, high) if _mean(proposal, factor * ratio) < least else (low, factor)
        factor = high
    return np.minimum(1.0, factor * ratio)


def _mean(proposal: Floats, acceptance: Floats) -> float:
    return float((proposal * np.minimum(1.0, acceptance)).sum())
