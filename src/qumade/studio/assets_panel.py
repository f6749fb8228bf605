"""The panel Assets: photos and cut-outs of the recipe with what the check found, and the ground of a photo."""

import asyncio
from functools import partial
from pathlib import Path
from typing import Any

from nicegui import ui

from qumade.assets.scan import Finding
from qumade.errors import QumadeError
from qumade.io.pictures import SUFFIXES, printable
from qumade.recipe import Recipe, for_file, is_named
from qumade.studio.access import MOST_UPLOADED
from qumade.studio.assets import (
    Ground,
    add_file,
    asset_name,
    asset_paths,
    by_file,
    cutout_picture,
    ground_pictures,
    height_px,
    label_picture,
    photo_ground,
    photo_picture,
    staged,
)
from qumade.studio.controls import parse_recipe, with_value
from qumade.studio.marks import horizon_line, standing
from qumade.studio.opened import shown_name
from qumade.studio.parts import announce, choose_class_folder, hint, move_by_keys, picture_button, section
from qumade.studio.state import Draft, Studio
from qumade.synth.check import check_assets

__all__ = ["assets_panel"]

PAGE, _THUMBNAIL = 36, 220
_STEPS = 60  # of an arrow key, from the left edge of a photo to the right
KINDS = {"backgrounds": "Photos", "foregrounds": "Cut-outs"}


def assets_panel(studio: Studio, draft: Draft) -> None:
    """Build the panel in the current container."""
    _Panel(studio, draft).build()


class _Panel:
    """Widgets of one tab of the browser."""

    def __init__(self, studio: Studio, draft: Draft) -> None:
        self.studio, self.draft = studio, draft
        self.kind, self.page = "backgrounds", 0
        self.findings: dict[str, list[Finding]] | None = None
        self.recipe: Recipe | None = None
        self.paths: list[Path] = []
        self.uploads: list[Path] = []
        self.ground: Ground | None = None
        self.object: Path | None = None
        self.shown = 0

    def build(self) -> None:
        with ui.row().classes("qs-toolbar"):
            ui.toggle(KINDS, value=self.kind, on_change=self.change_kind).props("dense unelevated")
            ui.button("Check", icon="fact_check", on_click=self.check).props("flat dense")
            self.status = ui.label().classes("qs-status").props('role="status"')
            ui.space()
            for icon, pages, label in (("chevron_left", -1, "Previous page"), ("chevron_right", 1, "Next page")):
                button = ui.button(icon=icon, on_click=partial(self.turn, pages)).props("flat dense")
                button.props["aria-label"] = label
        self.banner = ui.label().classes("qs-banner").props('role="alert"')
        self.banner.set_visibility(False)
        self.detail = ui.element("div").classes("qs-detail")
        self.grid = ui.element("div").classes("qs-grid qs-checker")
        with section("Add pictures"):
            hint("Drop files here. They are copied into the folder of the recipe only when you say so.")
            # Above the list of files, which grows while they are uploaded: below it, the button would move.
            self.copy = ui.button("Copy", on_click=self.copy_uploads)
            self.copy.set_visibility(False)
            self.upload = ui.upload(
                multiple=True, on_upload=self.uploaded, max_file_size=MOST_UPLOADED, auto_upload=True
            )
            self.upload.props(f'accept="{",".join(SUFFIXES)}" flat bordered no-thumbnails').classes("qs-wide")
        ui.timer(1.0, self.follow)
        ui.timer(0, self.follow, once=True)

    async def follow(self) -> None:
        """Show the assets of the recipe that the tab works on, also after it was changed in another panel."""
        recipe = self.draft.recipe
        if recipe is self.recipe:
            return
        before, self.recipe = self.recipe, recipe
        if recipe is not None and before is not None:
            folders = ("backgrounds", "foregrounds", "masks", "exclude")
            if all(getattr(recipe, name) == getattr(before, name) for name in folders):
                return
        self.findings = None if recipe is None else by_file(())
        await self.refresh()

    async def change_kind(self, event: Any) -> None:
        if event.value in KINDS:
            self.kind, self.page = event.value, 0
            self.detail.clear()
            await self.refresh()

    async def turn(self, pages: int) -> None:
        self.page = min(max(self.page + pages, 0), max(0, (len(self.paths) - 1) // PAGE))
        await self.refresh()

    async def check(self) -> None:
        recipe = self.draft.recipe
        if recipe is None:
            return
        self.status.set_text("Reading every file ...")
        try:
            report = await asyncio.to_thread(check_assets, recipe)
        except QumadeError as error:
            self.say(error)
            return
        self.findings = by_file(report.findings)
        await self.refresh()

    def say(self, error: QumadeError | None) -> None:
        self.banner.set_text("" if error is None else str(error))
        self.banner.set_visibility(error is not None)

    async def refresh(self) -> None:
        recipe = self.draft.recipe
        self.grid.clear()
        if recipe is None:
            self.status.set_text("Give the two folders of photos and cut-outs in Compose, or open a recipe there")
            return
        self.shown += 1
        number = self.shown
        try:
            self.paths = asset_paths(recipe, self.kind)
        except QumadeError as error:
            self.say(error)
            return
        self.say(None)
        start = self.page * PAGE
        here = self.paths[start : start + PAGE]
        addresses = await asyncio.to_thread(self.thumbnails, recipe, here)
        if number != self.shown:
            return
        self.grid.clear()
        with self.grid:
            for path, address in zip(here, addresses, strict=True):
                self.cell(recipe, path, address)
        findings = self.findings or {}
        counts = f"{len(self.paths):,} files, {start + 1:,} to {start + len(here):,}"
        wrong = sum(any(one.severity == "error" for one in found) for found in findings.values())
        self.status.set_text(counts + (f"; {wrong} cannot be used" if wrong else ""))

    def cell(self, recipe: Recipe, path: Path, address: str | None) -> None:
        button, (image,), caption = picture_button(1, partial(self.open, path))
        if address is not None:
            image.props["src"] = address
        else:
            image.set_visibility(False)
        name = asset_name(recipe, path)
        caption.set_text(shown_name(name))
        button.props["aria-label"] = shown_name(name)
        with button:
            if is_named(name, recipe.exclude):
                ui.label("excluded").classes("qs-caption qs-warning")
            for finding in (self.findings or {}).get(printable(path), []):
                style = {"error": "qs-error", "warning": "qs-warning"}.get(finding.severity, "")
                ui.label(finding.detail).classes(f"qs-caption qs-wrap {style}")
            if address is None and not (self.findings or {}).get(printable(path)):
                ui.label("cannot be read; Check says why").classes("qs-caption qs-error")

    def thumbnails(self, recipe: Recipe, paths: list[Path]) -> list[str | None]:
        found: list[str | None] = []
        for path in paths:
            try:
                photo = self.kind == "backgrounds"
                pixels = photo_picture(path, _THUMBNAIL) if photo else cutout_picture(recipe, path, _THUMBNAIL)
                found.append(self.studio.pictures.add(pixels))
            except QumadeError:
                found.append(None)
        return found

    async def open(self, path: Path) -> None:
        recipe = self.draft.recipe
        if recipe is None:
            return
        self.detail.clear()
        if self.kind == "foregrounds":
            self.object = path
            with self.detail, ui.element("div").classes("qs-card"):
                ui.label(shown_name(asset_name(recipe, path))).classes("qs-title")
                hint("It stands at the pointer in the photo that you open next")
                self.exclusion(recipe, path)
            return
        try:
            self.ground = await asyncio.to_thread(photo_ground, recipe, path)
        except QumadeError as error:
            with self.detail, ui.element("div").classes("qs-card"):
                ui.label(str(error)).classes("qs-error")
                self.exclusion(recipe, path)
            return
        self.show_ground(recipe, path, self.ground)

    def show_ground(self, recipe: Recipe, path: Path, ground: Ground) -> None:
        add = self.studio.pictures.add
        height, width = ground.row.photo.shape[:2]
        line = "" if ground.row.horizon is None else horizon_line(ground.row.horizon, (width, height))
        self.detail.clear()
        with self.detail, ui.element("div").classes("qs-card"):
            ui.label(shown_name(path.name)).classes("qs-title")
            for text in (ground.row.verdict, ground.row.figures):
                if text:
                    ui.label(text).classes("qs-text")
            with ui.element("div").classes("qs-why"):
                with ui.element("div"):
                    image = ui.interactive_image(
                        add(ground.row.photo), content=line, events=["mousemove", "mousedown"]
                    ).classes("qs-large")
                    image.style(f"aspect-ratio: {width} / {height}")  # nothing moves when the photo is there
                    at = [width / 2, 0.8 * height]

                    def point(x: float, y: float) -> None:
                        at[:] = min(max(x, 0), width - 1), min(max(y, 0), height - 1)
                        self.follow_pointer(recipe, ground, image, line, (at[0], at[1]))

                    def step(right: int, down: int) -> None:
                        point(at[0] + right * width / _STEPS, at[1] + down * width / _STEPS)

                    image.on_mouse(lambda event: point(event.image_x, event.image_y))
                    move_by_keys(image, "Arrow keys move an object over the ground of the photo", step)
                    self.pointer = ui.label("Move over the ground, or use the arrow keys: an object stands there")
                    self.pointer.classes("qs-text").props('role="status"')
                with ui.element("div"):
                    self.horizon_slider(recipe, path, ground)
                    self.exclusion(recipe, path)
            with ui.element("div").classes("qs-grid"):
                for title, picture in ground_pictures(recipe, ground).items():
                    if title != "Photo":
                        with ui.element("div"):
                            ui.element("img").props["src"] = add(picture)
                            ui.label(title).classes("qs-caption qs-wrap")
            labels = label_picture(recipe, ground.row)
            if labels is not None:
                with ui.element("div").classes("qs-row"):
                    for name, colour in labels[1]:
                        ui.label(name).classes("qs-chip").style(f"border-left: 12px solid rgb{colour}")

    def horizon_slider(self, recipe: Recipe, path: Path, ground: Ground) -> None:
        given = for_file(path.name, recipe.horizon)
        found = ground.row.horizon
        start = given if isinstance(given, float) else sum(found) / 2 if found is not None else 0.45
        if recipe.depths is not None and ground.row.depth is not None and found is not None and given is None:
            hint("This horizon comes from the depth map. A horizon that you give is used for affine depth alone.")
        label = ui.label(f"Horizon at {start:.3f} of the height").classes("qs-text")
        slider = ui.slider(min=0, max=0.95, step=0.005, value=start).props('dense aria-label="Horizon"')
        slider.on_value_change(lambda event: label.set_text(f"Horizon at {event.value:.3f} of the height"))

        async def keep() -> None:
            table = {**dict(recipe.horizon), path.name: round(float(slider.value), 4)}
            if self.change("horizon", table):
                await self.open(path)

        ui.button("Keep this horizon in the recipe", on_click=keep).props("flat dense")

    def exclusion(self, recipe: Recipe, path: Path) -> None:
        own = asset_name(recipe, path)
        excluded = is_named(own, recipe.exclude)
        left = [pattern for pattern in recipe.exclude if pattern != own]
        if excluded and is_named(own, left):
            by = next(pattern for pattern in left if is_named(own, [pattern]))
            hint(f"The recipe excludes it by the pattern {shown_name(by)}; change `exclude` in Compose to use it again")
            return

        async def turn() -> None:
            names = left if excluded else [*left, own]
            if self.change("exclude", names):
                self.detail.clear()
                await self.refresh()

        title = "Use it again" if excluded else "Exclude it from the recipe"
        ui.button(title, icon="block", on_click=turn).props("flat dense")

    def change(self, name: str, value: Any) -> bool:
        """Change a field of the recipe; return whether the recipe accepts it."""
        draft = self.draft
        if draft.recipe is None:
            return False
        given = with_value(draft.given, draft.recipe, name, value)
        try:
            recipe = parse_recipe(given, draft.folder)
        except QumadeError as error:
            announce(error)
            return False
        draft.given, draft.recipe, self.recipe = given, recipe, recipe
        return True

    def follow_pointer(
        self, recipe: Recipe, ground: Ground, image: ui.interactive_image, line: str, at: tuple[float, float]
    ) -> None:
        if ground.plane is None:
            self.pointer.set_text("The horizon of this photo is not known: no size follows from a place")
            return
        width = ground.row.photo.shape[1]
        factor = ground.size[0] / width
        point = at[0] * factor, at[1] * factor
        name = None if self.object is None else asset_name(recipe, self.object)
        own = None if name is None else for_file(name, recipe.height_m)
        ratio = own / ground.camera_height_m if own and ground.camera_height_m else recipe.height_ratio
        high = height_px(ground.plane, point, ratio)
        if high is None:
            image.set_content(line)
            self.pointer.set_text("Above the horizon: nothing stands here")
            return
        what = f"{own:g} m high" if own and ground.camera_height_m else f"{ratio:g} times as high as the camera"
        self.pointer.set_text(f"An object that is {what} is {high:.0f} pixels of the photo high here")
        picture, aspect = None, 1.0
        if self.object is not None:
            try:
                pixels = cutout_picture(recipe, self.object, 400)
                picture, aspect = self.studio.pictures.add(pixels), pixels.shape[1] / pixels.shape[0]
            except QumadeError:
                self.object = None
        image.set_content(line + standing(at, high / factor, aspect, picture))

    async def uploaded(self, event: Any) -> None:
        try:
            path = await asyncio.to_thread(
                staged, self.studio.opened.own / "uploads", event.file.name, await event.file.read()
            )
        except QumadeError as error:
            announce(error)
            return
        self.uploads.append(path)
        files = "1 file" if len(self.uploads) == 1 else f"{len(self.uploads)} files"
        self.copy.set_text(f"Copy {files} into the folder of {KINDS[self.kind].lower()}")
        self.copy.set_visibility(True)

    async def copy_uploads(self) -> None:
        recipe = self.draft.recipe
        if recipe is None:
            announce(QumadeError("Invalid recipe: must have the folders that the files are copied into"))
            return
        try:
            folder = recipe.backgrounds
            if self.kind == "foregrounds":
                chosen = await choose_class_folder(self.studio.opened.inside(recipe.foregrounds))
                if chosen is None:
                    return
                folder = chosen
            folder = self.studio.opened.inside(folder)
        except QumadeError as error:
            announce(error)
            return
        for path in self.uploads:
            try:
                add_file(path, folder)
            except (QumadeError, OSError) as error:
                announce(error)
        self.uploads = []
        self.upload.reset()
        self.copy.set_visibility(False)
        self.studio.composer.forget()
        await self.refresh()
