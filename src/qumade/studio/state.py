"""What the studio keeps: shared by all tabs of the browser, and for each tab."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from qumade.recipe import Recipe, holds_dataset, load_recipe
from qumade.studio.composing import Composer
from qumade.studio.controls import given_of
from qumade.studio.jobs import Jobs
from qumade.studio.opened import Kind, Opened
from qumade.studio.pictures import Overlay, PictureStore
from qumade.studio.predicting import Networks

__all__ = ["Draft", "Studio"]


@dataclass
class Draft:
    """The recipe that a tab works on. `given` are its plain values, with paths relative to `folder`; `recipe` is the
    last valid one; `file` is where it was read from or saved, None for one that no file of its own holds, as the recipe
    of a `dataset`; `other` is the recipe to compare with."""

    folder: Path
    given: dict[str, Any] = field(default_factory=dict)
    recipe: Recipe | None = None
    file: Path | None = None
    dataset: Path | None = None
    other: Recipe | None = None
    overlay: Overlay = "image"
    indices: str = ""
    count: int = 12

    def load(self, path: Path, opened: Opened) -> None:
        """Take over a recipe file, or the recipe of a dataset.yaml. Raises QumadeError, also for folders that were not
        opened; the draft then stays as it is."""
        recipe = opened.check(load_recipe(opened.inside(path)))
        path = path.absolute()
        of_dataset = holds_dataset(path)
        self.folder = path.parent
        self.given, self.recipe = given_of(recipe, self.folder), recipe
        self.file, self.dataset = (None, path.parent) if of_dataset else (path, None)


@dataclass
class Studio:
    """Shared by all tabs. `start` is the argument of `qumade studio` and `kind` what it is."""

    opened: Opened
    start: Path | None = None
    kind: Kind | None = None
    composer: Composer = field(default_factory=Composer)
    pictures: PictureStore = field(default_factory=PictureStore)
    networks: Networks = field(default_factory=Networks)
    jobs: Jobs = field(init=False)
    drafts: dict[str, Draft] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.jobs = Jobs(self.opened.own / "jobs")

    def draft(self, tab: str) -> Draft:
        """Return the draft of a tab; a new one holds the recipe that was opened."""
        if tab not in self.drafts:
            draft = Draft(self.opened.others[0] if self.opened.others else self.opened.own)
            if self.kind == "recipe" and self.start is not None:
                draft.load(self.start, self.opened)
            self.drafts[tab] = draft
        return self.drafts[tab]
