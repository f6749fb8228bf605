"""The panel Try: what a network says of a photo: mask, depth, cut-out, and the depth in space."""

import asyncio
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from nicegui import ui

from qumade.errors import QumadeError
from qumade.io.decode import read_rgb
from qumade.io.encode import png_bytes
from qumade.io.files import write_bytes
from qumade.io.pictures import SUFFIXES, list_pictures, printable
from qumade.prediction.predictor import Prediction
from qumade.studio.access import MOST_UPLOADED
from qumade.studio.assets import staged
from qumade.studio.opened import shown_name
from qumade.studio.parts import announce, choose_class_folder, choose_file, hint, picture_button
from qumade.studio.pictures import Picture, overlaid, thumbnail
from qumade.studio.predicting import cutout, point_cloud
from qumade.studio.state import Draft, Studio
from qumade.viz.sheets import coloured_depth, depth_legend

__all__ = ["try_panel"]

_VIEW, _THUMBNAIL, _MOST = 1024, 160, 24


def try_panel(studio: Studio, draft: Draft) -> None:
    """Build the panel in the current container."""
    _Panel(studio, draft).build()


class _Panel:
    """Widgets of one tab of the browser, the network and the photo that it shows."""

    def __init__(self, studio: Studio, draft: Draft) -> None:
        self.studio, self.draft = studio, draft
        self.network: Path | None = None
        self.photo: Path | None = None
        self.threshold = 0.5

    def build(self) -> None:
        with ui.row().classes("qs-toolbar"):
            self.choice = ui.button("Choose a network", icon="hub", on_click=self.choose_network).props("flat dense")
            ui.button("Photos of a folder", icon="folder_open", on_click=self.choose_folder).props("flat dense")
            self.status = ui.label().classes("qs-status").props('role="status"')
        self.banner = ui.label().classes("qs-banner").props('role="alert"')
        self.banner.set_visibility(False)
        upload = ui.upload(
            label="Drop a photo here", on_upload=self.uploaded, max_file_size=MOST_UPLOADED, auto_upload=True
        )
        upload.props(f'accept="{",".join(SUFFIXES)}" flat bordered no-thumbnails').classes("qs-wide")
        self.list = ui.element("div").classes("qs-grid")
        self.result = ui.element("div").classes("qs-detail")
        start = self.studio.start if self.studio.kind == "run" else None
        found = [start] if start is not None else self.studio.opened.found("run", most=1)
        if found:
            self.set_network(found[0])
        else:
            self.status.set_text("No network was found: train one in Run")

    def set_network(self, path: Path) -> None:
        self.network = path
        self.choice.set_text(f"Network: {shown_name(path.name)}")

    async def choose_network(self) -> None:
        path = await choose_file(self.studio, "run", "Choose a network")
        if path is None:
            return
        try:
            self.set_network(self.studio.opened.inside(path))
        except QumadeError as error:
            announce(error)
            return
        await self.predict()

    async def choose_folder(self) -> None:
        path = await choose_file(self.studio, "folder", "Photos of a folder", name=self.folder())
        if path is None:
            return
        try:
            paths = list_pictures(self.studio.opened.inside(path))[:_MOST]
        except QumadeError as error:
            announce(error)
            return
        addresses = await asyncio.to_thread(self.thumbnails, paths)
        self.list.clear()
        with self.list:
            for one, address in zip(paths, addresses, strict=True):
                if address is None:
                    continue
                button, (image,), caption = picture_button(1, partial(self.open, one))
                image.props["src"] = address
                caption.set_text(shown_name(one.name))
                button.props["aria-label"] = shown_name(one.name)

    async def open(self, photo: Path) -> None:
        self.photo = photo
        await self.predict()

    def folder(self) -> str:
        recipe = self.draft.recipe
        return str(self.studio.opened.own if recipe is None else recipe.backgrounds)

    def thumbnails(self, paths: list[Path]) -> list[str | None]:
        found: list[str | None] = []
        for path in paths:
            try:
                found.append(self.studio.pictures.add(thumbnail(read_rgb(path), _THUMBNAIL)))
            except QumadeError:
                found.append(None)
        return found

    async def uploaded(self, event: Any) -> None:
        try:
            data = await event.file.read()
            event.sender.reset()
            self.photo = await asyncio.to_thread(staged, self.studio.opened.own / "uploads", event.file.name, data)
        except QumadeError as error:
            self.say(error)
            return
        await self.predict()

    def say(self, error: QumadeError | None) -> None:
        self.banner.set_text("" if error is None else str(error))
        self.banner.set_visibility(error is not None)

    async def predict(self) -> None:
        network, photo = self.network, self.photo
        if network is None or photo is None:
            return
        self.status.set_text("Predicting ...")
        try:
            image = await asyncio.to_thread(read_rgb, photo)
            image = await asyncio.to_thread(thumbnail, image, _VIEW)
            said = await asyncio.to_thread(self.studio.networks.predict, network, image)
        except QumadeError as error:
            self.say(error)
            return
        finally:
            self.status.set_text("")
        self.say(None)
        self.show(photo, image, said, network)

    def show(self, photo: Path, image: Picture, said: Prediction, network: Path) -> None:
        config = self.studio.networks.get(network).config
        add = self.studio.pictures.add
        mask = np.round(255 * said.mask).astype(np.uint8)
        pictures = {"Photo": image}
        if "mask" in config.trained_tasks:
            pictures["Mask"] = overlaid("mask", image, mask=mask)
        if "depth" in config.trained_tasks:
            pictures[f"Depth: {depth_legend(config.depth_kind)}"] = coloured_depth(said.inverse_depth, None)
        thing = cutout(image, said.mask) if "mask" in config.trained_tasks else None
        self.result.clear()
        with self.result, ui.element("div").classes("qs-card"):
            ui.label(shown_name(photo.name)).classes("qs-title")
            with ui.element("div").classes("qs-grid qs-beside"):
                for title, picture in pictures.items():
                    with ui.element("div").classes("qs-pictures-titled"):
                        with ui.element("div").classes("qs-pictures"):
                            ui.element("img").props["src"] = add(picture)
                        ui.label(title).classes("qs-caption qs-wrap")
                if thing is not None:
                    with ui.element("div"):
                        with ui.element("div").classes("qs-pictures qs-checker"):
                            ui.element("img").props["src"] = add(thing)
                        ui.label("Cut-out").classes("qs-caption")
                        ui.button("Add to the foregrounds", icon="add", on_click=lambda: self.keep(photo, thing)).props(
                            "flat dense"
                        )
                elif "mask" in config.trained_tasks:
                    hint("The network finds no object in this photo")
            if "depth" in config.trained_tasks:
                points, colours = point_cloud(image, said.inverse_depth)
                hint("The depth in space; drag to turn it. Focal length: assumed to be the photo's longer side.")
                with ui.scene(width=900, height=380, grid=False, background_color="#1b1e22").classes(
                    "qs-wide"
                ) as scene:
                    scene.point_cloud(points.tolist(), colours.tolist(), point_size=0.02)
                scene.move_camera(x=0, y=-0.15, z=0.12, look_at_x=0, look_at_y=1.5, look_at_z=0, duration=0)

    async def keep(self, photo: Path, thing: Picture) -> None:
        recipe = self.draft.recipe
        if recipe is None:
            announce(QumadeError("Invalid recipe: must have a folder of cut-outs; open one in Compose"))
            return
        try:
            folder = await choose_class_folder(self.studio.opened.inside(recipe.foregrounds))
            if folder is None:
                return
            folder = self.studio.opened.inside(folder)
            folder.mkdir(exist_ok=True)
            number, path = 1, folder / f"{photo.stem}_cutout.png"
            while path.exists():
                number += 1
                path = folder / f"{photo.stem}_cutout_{number}.png"
            write_bytes(path, png_bytes(thing))
        except (QumadeError, OSError) as error:
            announce(error)
            return
        self.studio.composer.forget()
        ui.notify(f"Added {printable(path)}")
