"""Samples of a recipe that changes: drawn again at once, and why each object stands where it does."""

from collections.abc import Sequence
from dataclasses import dataclass
from threading import Lock

import numpy as np

from qumade.compose.sample import Sample
from qumade.depth.encoding import DepthKind
from qumade.plan.planner import Plan
from qumade.plan.tables import POLICIES, REJECTIONS
from qumade.recipe import Recipe
from qumade.studio.controls import Problem
from qumade.studio.opened import shown_name
from qumade.studio.pictures import Overlay, Picture, overlaid
from qumade.synth.synthesizer import Synthesizer

__all__ = ["Composer", "Drawn", "Explained", "distance_text", "explained", "parse_indices", "picture_of"]

_KEPT = 2  # synthesizers: two recipes side by side
REASONS = {
    "horizon": "the contact would be on or above the horizon",
    "hidden": "too little of an object would be visible",
    "size": "the size that perspective gives is outside of scale",
    "layout": "the layout has few objects of this size here",
    "row": "the next place in the row is not where it may stand",
}


@dataclass(frozen=True, eq=False)
class Drawn:
    """One sample of a recipe: its index and stem, its plan, and what was drawn."""

    index: int
    stem: str
    plan: Plan
    sample: Sample


@dataclass(frozen=True)
class Explained:
    """Why one object is where it is. `box`: left, top, width and height in sample pixels; `contact` in sample pixels;
    `distance` in words, with its unit; `rejected`: how many draws were rejected before, by reason."""

    name: str
    policy: str
    fallback: bool
    box: tuple[float, float, float, float]
    contact: tuple[float, float]
    contact_in_photo: tuple[float, float]
    distance: str
    scale: float
    visible: float
    rejected: dict[str, int]


class Composer:
    """Draws samples of recipes; what two similar recipes share is read and decoded once. May be used by threads."""

    def __init__(self) -> None:
        self._made: list[Synthesizer] = []
        self._lock = Lock()

    def synthesizer(self, recipe: Recipe) -> Synthesizer:
        """Return the synthesizer of a recipe. Raises QumadeError where the recipe does not work on its assets."""
        with self._lock:
            made = next((one for one in self._made if one.recipe == recipe), None)
            if made is None:
                made = Synthesizer.from_recipe(recipe, like=self._made[0] if self._made else None)
            self._made = [made, *(one for one in self._made if one.recipe != recipe)][:_KEPT]
            return made

    def forget(self) -> None:
        """Read the assets again when the next sample is drawn: files have changed."""
        with self._lock:
            self._made = []

    def draw(self, recipe: Recipe, indices: Sequence[int] = (), count: int = 12) -> list[Drawn]:
        """Return the samples with these indices, or those that a limit of `count` selects if there are none.

        Raises Problem about "indices" for an index that the recipe does not have, and QumadeError as `synthesizer`.
        """
        made = self.synthesizer(recipe)
        with self._lock:
            chosen = list(indices) or made.indices(min(count, len(made))).tolist()
            for index in chosen:
                if not 0 <= index < len(made):
                    raise Problem(f"Invalid indices: got {index}; must be from 0 to {len(made) - 1}", "indices")
            plans = made.plan(chosen)
            return [Drawn(index, made.stem(index), plans[n], made.render(plans[n])) for n, index in enumerate(chosen)]


def picture_of(drawn: Drawn, overlay: Overlay, limits: tuple[float, float] | None) -> Picture:
    """Return the picture of a sample with an overlay, uint8 [H, W, 3]."""
    sample = drawn.sample
    return overlaid(
        overlay,
        sample.image,
        mask=sample.mask,
        owner=sample.owner,
        inverse_depth=sample.inverse_depth,
        limits=limits,
        ignore=sample.ignore,
    )


def parse_indices(text: str) -> list[int]:
    """Return the indices of typed text: numbers, and ranges such as 100-111. Raises Problem about "indices"."""
    found: list[int] = []
    for part in text.replace(",", " ").split():
        ends = part.split("-")
        if not all(end.isdecimal() for end in ends) or len(ends) > 2 or len(part) > 30:
            raise Problem(f"Invalid indices: got {part[:40]!r}; must be numbers, or ranges such as 100-111", "indices")
        first, last = int(ends[0]), int(ends[-1])
        if last < first or last - first >= 48 or len(found) + last - first >= 48:
            raise Problem(f"Invalid indices: got {part!r}; must be at most 48 samples, in ascending order", "indices")
        found += range(first, last + 1)
    return list(dict.fromkeys(found))


def explained(synthesizer: Synthesizer, drawn: Drawn) -> list[Explained]:
    """Return why the objects of a sample stand where they do, far to near, as the manifest records it."""
    catalog = synthesizer.catalog
    background = catalog.backgrounds[int(drawn.plan.sample["background"])]
    found = []
    for number, thing in enumerate(drawn.plan.objects):
        foreground = catalog.foregrounds[int(thing["foreground"])]
        found.append(
            Explained(
                name=shown_name(foreground.name) + (" (mirrored)" if foreground.flip else ""),
                policy=POLICIES[int(thing["policy"])],
                fallback=bool(thing["fallback"]),
                box=(float(thing["left"]), float(thing["top"]), float(thing["width"]), float(thing["height"])),
                contact=(float(thing["contact_u"]), float(thing["contact_v"])),
                contact_in_photo=(float(thing["contact_background_u"]), float(thing["contact_background_v"])),
                distance=distance_text(float(thing["inverse_depth"]), background.horizon_level, catalog.depth_kind),
                scale=float(thing["scale"]),
                visible=float(drawn.sample.visible_fraction[number]),
                rejected={why: int(thing[f"rejected_{why}"]) for why in REJECTIONS if thing[f"rejected_{why}"]},
            )
        )
    return found


def distance_text(inverse_depth: float, horizon_level: float, kind: DepthKind) -> str:
    """Return a distance in words: in metres only for metric depth, otherwise in the unit that the depth has."""
    above = inverse_depth - horizon_level
    if np.isnan(above):
        return "unknown: this depth has no known horizon"
    if above <= 0:
        return "infinitely far"
    if kind == "metric":
        return f"{1 / above:.1f} m"
    return f"{1 / above:.2f} in the depth's own unit, no metres ({kind})"
