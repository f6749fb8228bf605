"""The panel Compose: samples of a recipe, drawn again whenever one of its fields changes."""

import asyncio
from functools import partial
from pathlib import Path
from typing import Any, get_args

from nicegui import ui

from qumade.errors import QumadeError
from qumade.io.files import write_bytes
from qumade.io.pictures import printable
from qumade.recipe import Recipe
from qumade.studio.composing import REASONS, Drawn, Explained, explained, parse_indices, picture_of
from qumade.studio.controls import Problem, controls_of, given_of, grouped, parse_recipe, value_of, with_value, yaml_of
from qumade.studio.fields import Field, make_field
from qumade.studio.marks import boxes
from qumade.studio.opened import shown_name
from qumade.studio.parts import announce, choose_file, confirm, hint, picture_button, section
from qumade.studio.pictures import OBJECT_COLOURS, Overlay, thumbnail
from qumade.studio.state import Draft, Studio
from qumade.synth.synthesizer import Synthesizer

__all__ = ["compose_panel"]

_THUMBNAIL = 448
OVERLAYS = {"image": "Image", "mask": "Mask", "instances": "Objects", "depth": "Depth"}


def compose_panel(studio: Studio, draft: Draft) -> None:
    """Build the panel in the current container."""
    _Panel(studio, draft).build()


class _Panel:
    """Widgets of one tab of the browser, and the drawing that they wait for."""

    def __init__(self, studio: Studio, draft: Draft) -> None:
        self.studio, self.draft = studio, draft
        self.fields: dict[str, Field] = {}
        self.latest = 0
        self.chosen: int | None = None
        self.drawn: list[Drawn] = []
        self.others: list[Drawn] = []
        # Those that drew them. To ask the composer instead would wait for what it draws now, and the page with it.
        self.made: Synthesizer | None = None
        self.other_made: Synthesizer | None = None
        self.cells: list[tuple[ui.element, list[ui.element], ui.label]] = []

    def build(self) -> None:
        with ui.row().classes("qs-toolbar"):
            ui.button("Open", icon="folder_open", on_click=self.open).props("flat dense")
            ui.button("Save as", icon="save", on_click=self.save).props("flat dense")
            self.name = ui.label().classes("qs-path")
            ui.space()
            ui.toggle(OVERLAYS, value=self.draft.overlay, on_change=self.change_overlay).props(
                "dense unelevated no-caps"
            )
            self.compare = ui.button("Compare", icon="compare", on_click=self.keep).props("flat dense")
            self.compare.tooltip("Keep this recipe as A and go on changing B, on the same samples")
            reread = ui.button(icon="refresh", on_click=self.read_again).props(
                "flat dense aria-label='Read the files again'"
            )
            reread.tooltip("Read the files of the recipe again")
        with ui.element("div").classes("qs-split"):
            with ui.element("div").classes("qs-form"):
                self.form = ui.element("div")
            with ui.element("div").classes("qs-main"):
                with ui.row().classes("qs-toolbar"):
                    self.indices = ui.input("Samples", value=self.draft.indices, placeholder="spread over all assets")
                    self.indices.props("dense outlined debounce=250").classes("qs-indices").without_auto_validation()
                    self.indices.tooltip("Numbers such as 0, 17, 100-105. They stay the same while the recipe changes.")
                    self.indices.on_value_change(self.change_indices)
                    self.status = ui.label().classes("qs-status").props('role="status"')
                    with ui.row().classes("qs-busy") as self.busy:
                        ui.spinner(size="20px")
                        ui.label("Drawing").classes("qs-status")
                    self.busy.set_visibility(False)
                self.banner = ui.label().classes("qs-banner").props('role="alert"')
                self.banner.set_visibility(False)
                self.grid = ui.element("div").classes("qs-grid qs-samples")
                self.detail = ui.element("div").classes("qs-detail")
                with section("Recipe as YAML"):
                    hint("Exactly this is used by: qumade generate --recipe FILE")
                    self.yaml = ui.label().classes("qs-log qs-yaml")
        self.build_form()
        self.redraw()

    def build_form(self) -> None:
        self.form.clear()
        self.fields.clear()
        unsaved = "A new recipe" if self.draft.dataset is None else f"The recipe of {self.draft.dataset}"
        self.name.set_text(shown_name(str(self.draft.file)) if self.draft.file else f"{shown_name(unsaved)}, not saved")
        with self.form:
            for number, (title, controls) in enumerate(grouped(controls_of(Recipe))):
                with section(title, opened=number < 3 or (self.draft.recipe is None and title == "Folders")):
                    for control in controls:
                        recipe = self.draft.recipe
                        value = control.default if recipe is None else value_of(recipe, control.name)
                        if "." not in control.name and control.name in self.draft.given:
                            value = value if control.kind != "text" else self.draft.given[control.name]
                        self.fields[control.name] = make_field(control, value, self.change, self.fail)

    def change(self, name: str, value: Any) -> None:
        draft = self.draft
        before = draft.recipe
        try:
            base = before if before is not None else Recipe(backgrounds=Path(), foregrounds=Path())
            draft.given = with_value(draft.given, base, name, value)
            recipe = self.studio.opened.check(parse_recipe(draft.given, draft.folder))
        except QumadeError as error:
            self.fail(error)
            return
        draft.recipe = recipe
        # The default of a field may depend on other fields: with perspective placement, say, it is that of a street.
        for other, field in self.fields.items():
            if other.split(".")[0] not in draft.given and value_of(base, other) != (new := value_of(recipe, other)):
                field.show(new)
        self.redraw()

    def change_overlay(self, event: Any) -> None:
        if event.value in get_args(Overlay):
            self.draft.overlay = event.value
            self.show_pictures()

    def change_indices(self, event: Any) -> None:
        self.draft.indices = event.value or ""
        self.redraw()

    def fail(self, error: QumadeError) -> None:
        """Show an error at the field that it is about, and elsewhere if that is not known."""
        name = _field_of(error, self.fields)
        self.clear_errors()
        if name == "indices":
            self.indices.error = str(error)
        elif name is not None:
            self.fields[name].fail(str(error))
        self.banner.set_text(str(error))
        self.banner.set_visibility(name is None)
        self.status.set_text("These samples are of the last recipe that works" if self.drawn else "")

    def clear_errors(self) -> None:
        self.banner.set_visibility(False)
        self.indices.error = None
        for field in self.fields.values():
            field.fail(None)

    def redraw(self) -> None:
        recipe = self.draft.recipe
        if recipe is None:
            self.status.set_text("Give the two folders of photos and cut-outs, or open a recipe")
            return
        self.latest += 1
        ui.timer(0, partial(self.draw, recipe, self.latest), once=True)

    async def draw(self, recipe: Recipe, number: int) -> None:
        if number != self.latest:
            return
        self.busy.set_visibility(True)
        try:
            await asyncio.to_thread(self.work, recipe, number)
        except QumadeError as error:
            if number == self.latest:
                self.fail(error)
            return
        finally:
            if number == self.latest:
                self.busy.set_visibility(False)
        if number != self.latest:
            return
        self.clear_errors()
        made = self.made
        assert made is not None  # it has just drawn
        text = f"{len(self.drawn)} of {len(made):,} samples"
        left_out = sum(finding.severity == "error" for finding in made.findings)
        self.status.set_text(text + (f"; {left_out} files cannot be used, see Assets" if left_out else ""))
        self.yaml.set_text(yaml_of(recipe, self.draft.folder))
        self.show_pictures()

    def work(self, recipe: Recipe, number: int) -> None:
        """Draw in a thread: what is no longer the latest is not drawn."""
        if number != self.latest:
            return
        indices = parse_indices(self.draft.indices)
        composer, other = self.studio.composer, self.draft.other
        others: list[Drawn] = []
        drawn = composer.draw(recipe, indices, self.draft.count)
        made, other_made = composer.synthesizer(recipe), None if other is None else composer.synthesizer(other)
        if other is not None and other_made is not None:
            same = [one.index for one in drawn if one.index < len(other_made)]
            others = composer.draw(other, same) if same else []
        if number == self.latest:
            self.drawn, self.others, self.made, self.other_made = drawn, others, made, other_made

    def addresses(self, drawn: Drawn, made: Synthesizer) -> str:
        limits = None if made.depth_encoding is None else made.depth_encoding.limits
        return self.studio.pictures.add(thumbnail(picture_of(drawn, self.draft.overlay, limits), _THUMBNAIL))

    def show_pictures(self) -> None:
        made, other = self.made, self.other_made
        if made is None or not self.drawn:
            return
        by_index = {one.index: one for one in self.others} if other is not None else {}
        wanted = [(len(self.drawn), other is not None)]
        if [(len(self.cells), bool(self.cells) and len(self.cells[0][1]) == 2)] != wanted:
            self.make_cells(len(self.drawn), 1 if other is None else 2)
        for (button, images, caption), drawn in zip(self.cells, self.drawn, strict=True):
            pictures = [self.addresses(drawn, made)]
            if other is not None:
                before = by_index.get(drawn.index)
                pictures.insert(0, self.addresses(before, other) if before else pictures[0])
            for image, address in zip(images, pictures, strict=True):
                image.props["src"] = address
            names = ", ".join(thing.name for thing in explained(made, drawn))
            button.props["aria-label"] = f"Sample {drawn.index}: {names}"
            caption.set_text(f"{drawn.index:,}")
        self.show_detail()

    def make_cells(self, count: int, pictures: int) -> None:
        self.grid.clear()
        self.cells = []
        self.grid.classes(remove="qs-pairs")
        if pictures == 2:
            self.grid.classes("qs-pairs")
        with self.grid:
            for number in range(count):
                self.cells.append(picture_button(pictures, partial(self.choose, number)))

    def choose(self, number: int) -> None:
        self.chosen = None if self.chosen == number else number
        self.show_detail()

    def show_detail(self) -> None:
        self.detail.clear()
        made = self.made
        for number, (button, _, _) in enumerate(self.cells):
            button.classes(add="qs-chosen") if number == self.chosen else button.classes(remove="qs-chosen")
        if made is None or self.chosen is None or self.chosen >= len(self.drawn):
            return
        drawn = self.drawn[self.chosen]
        things = explained(made, drawn)
        row = drawn.plan.sample
        background = made.catalog.backgrounds[int(row["background"])]
        limits = None if made.depth_encoding is None else made.depth_encoding.limits
        with self.detail, ui.element("div").classes("qs-why"):
            with ui.element("div"):
                picture = self.studio.pictures.add(picture_of(drawn, self.draft.overlay, limits))
                shown = ui.interactive_image(picture, content=boxes(things, made.recipe.size)).classes("qs-large")
                shown.style("aspect-ratio: {} / {}".format(*made.recipe.size))  # nothing moves when it is there
            with ui.element("div"):
                ui.label(f"Sample {drawn.index:,} · {drawn.stem}").classes("qs-title")
                crop = ", mirrored" if row["flip"] else ""
                ui.label(
                    f"Photo {shown_name(background.name)}{crop}; {int(row['crops_rejected'])} crops rejected"
                ).classes("qs-text")
                wanted, count = int(row["wanted"]), int(row["count"])
                if count < wanted:
                    ui.label(f"{wanted - count} of {wanted} objects found no place").classes("qs-text")
                for number, thing in enumerate(things):
                    _explain(number, thing)

    async def open(self) -> None:
        path = await choose_file(self.studio, "recipe", "Open a recipe")
        if path is None:
            return
        try:
            self.draft.load(path, self.studio.opened)
        except QumadeError as error:
            announce(error)
            return
        self.chosen = None
        self.build_form()
        self.redraw()

    async def save(self) -> None:
        recipe = self.draft.recipe
        if recipe is None:
            announce(QumadeError("Invalid recipe: must have the two folders before it can be saved"))
            return
        start = self.draft.file or self.studio.opened.own / "recipe.yaml"
        path = await choose_file(self.studio, "recipe", "Save the recipe as", name=str(start))
        if path is None:
            return
        try:
            path = self.studio.opened.writable(path)
            if path.exists() and not await confirm(f"{printable(path)} exists. Replace it?", "Replace"):
                return
            path.parent.mkdir(parents=True, exist_ok=True)
            write_bytes(path, yaml_of(recipe, path.parent).encode())
        except (QumadeError, OSError) as error:
            announce(error)
            return
        self.draft.file, self.draft.dataset, self.draft.folder = path, None, path.parent
        self.draft.given = given_of(recipe, path.parent)
        self.build_form()
        self.yaml.set_text(yaml_of(recipe, path.parent))
        ui.notify(f"Saved {path}")

    def keep(self) -> None:
        self.draft.other = self.draft.recipe if self.draft.other is None else None
        self.compare.set_text("Compare" if self.draft.other is None else "Stop comparing (left: A, right: B)")
        self.redraw()

    def read_again(self) -> None:
        self.studio.composer.forget()
        self.redraw()


def _explain(number: int, thing: Explained) -> None:
    colour = OBJECT_COLOURS[number % len(OBJECT_COLOURS)]
    with ui.element("div").classes("qs-object").style(f"border-color: rgb{colour}"):
        ui.label(f"{number + 1}. {thing.name}").classes("qs-name")
        how = f"{thing.policy} placement" + (", used as the fallback" if thing.fallback else "")
        ui.label(f"{how}; {thing.visible:.0%} visible; scale {thing.scale:.3f}").classes("qs-text")
        at, photo = thing.contact, thing.contact_in_photo
        where = f"Stands at ({at[0]:.0f}, {at[1]:.0f}), in the photo at ({photo[0]:.0f}, {photo[1]:.0f})"
        ui.label(f"{where}; distance {thing.distance}").classes("qs-text")
        for reason, count in thing.rejected.items():
            times = "Once" if count == 1 else f"{count} times"
            ui.label(f"{times} rejected: {REASONS.get(reason, reason)}").classes("qs-text")
        if not thing.rejected:
            ui.label("The first draw was accepted").classes("qs-text")


def _field_of(error: QumadeError, fields: dict[str, Field]) -> str | None:
    """Return the name of the control that an error is about, None if there is none."""
    name = (
        error.field if isinstance(error, Problem) else str(error).removeprefix("Invalid ").split(":")[0].split(" ")[0]
    )
    while name:
        if name in fields or name == "indices":
            return name
        name = name.rpartition(".")[0]
    return None
