"""The panel Look: the samples of a dataset, filtered and sorted, with their labels and what a network says of them."""

import asyncio
from functools import partial
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from nicegui import ui
from numpy.typing import NDArray

from qumade.data.dataset import SampleDataset
from qumade.data.opening import open_dataset
from qumade.errors import QumadeError
from qumade.io.pictures import printable
from qumade.studio.look_detail import OVERLAYS, ask, limits_of, picture_of_sample, show_sample, title_of
from qumade.studio.looking import (
    GRID,
    NUMBERS,
    ORDERS,
    Filter,
    Table,
    bounds,
    choices_of,
    heat_map,
    load_table,
    ordered,
    selected,
    with_scores,
)
from qumade.studio.opened import shown_name
from qumade.studio.parts import announce, choose_file, hint, move_by_keys, picture_button, section
from qumade.studio.pictures import Overlay, Picture, fitted, thumbnail
from qumade.studio.state import Draft, Studio

__all__ = ["look_panel"]

PAGE = 24
_THUMBNAIL, _MAP_PX = 320, 480


def look_panel(studio: Studio, draft: Draft) -> None:
    """Build the panel in the current container."""
    _Panel(studio).build()


class _Panel:
    """Widgets of one tab of the browser, the dataset that it shows and its filter."""

    def __init__(self, studio: Studio) -> None:
        self.studio = studio
        self.dataset: SampleDataset | None = None
        self.table: Table | None = None
        self.choices: dict[str, list[str]] = {}
        self.ranges: dict[str, tuple[float, float]] = {}
        self.text = ""
        self.cell: tuple[int, int] | None = None
        self.cursor: tuple[int, int] | None = None  # the cell at which the arrow keys are
        self.counts: NDArray[np.int64] | None = None  # of the cells
        self.by, self.descending, self.page = "position", False, 0
        self.overlay: Overlay = "image"
        self.positions = np.zeros(0, np.int64)
        self.chosen: int | None = None
        self.networks: dict[str, Path] = {}  # by letter
        self.network_buttons: dict[str, ui.button] = {}
        self.loaded = 0

    def build(self) -> None:
        with ui.row().classes("qs-toolbar"):
            ui.button("Open dataset", icon="folder_open", on_click=self.open).props("flat dense")
            self.name = ui.label("No dataset is open").classes("qs-path")
            ui.space()
            toggle = ui.toggle(OVERLAYS, value=self.overlay, on_change=self.change_overlay)
            toggle.props("dense unelevated")
        with ui.element("div").classes("qs-split"):
            self.form = ui.element("div").classes("qs-form")
            with ui.element("div").classes("qs-main"):
                with ui.row().classes("qs-toolbar"):
                    self.status = ui.label().classes("qs-status").props('role="status"')
                    ui.space()
                    previous = ui.button(icon="chevron_left", on_click=lambda: self.turn(-1))
                    previous.props("flat dense aria-label='Previous page'")
                    ui.button(icon="chevron_right", on_click=lambda: self.turn(1)).props(
                        "flat dense aria-label='Next page'"
                    )
                self.banner = ui.label().classes("qs-banner").props('role="alert"')
                self.banner.set_visibility(False)
                self.detail = ui.element("div").classes("qs-detail")
                self.grid = ui.element("div").classes("qs-grid")
        start = self.studio.start
        if self.studio.kind != "dataset" or start is None:
            found = self.studio.opened.found("dataset", most=1)
            start = found[0] if found else None
        if start is not None:
            ui.timer(0, partial(self.load, start), once=True)
        else:
            self.status.set_text("Open a dataset, or make one in Run")

    async def open(self) -> None:
        path = await choose_file(self.studio, "dataset", "Open a dataset")
        if path is not None:
            await self.load(path)

    async def load(self, path: Path) -> None:
        try:
            path = self.studio.opened.inside(path)
            dataset = await asyncio.to_thread(open_dataset, path)
            self.table = await asyncio.to_thread(load_table, dataset)
            self.dataset = dataset
        except QumadeError as error:
            self.say(error)
            return
        self.say(None)
        self.name.set_text(printable(path))
        self.choices, self.ranges, self.text, self.cell, self.page, self.chosen = {}, {}, "", None, 0, None
        self.cursor = None
        self.by, self.descending = "position", False
        self.build_form()
        await self.refresh()

    def say(self, error: QumadeError | None) -> None:
        self.banner.set_text("" if error is None else str(error))
        self.banner.set_visibility(error is not None)

    def build_form(self) -> None:
        table = self.table
        self.form.clear()
        if table is None:
            return
        with self.form:
            with section("Order", opened=True):
                orders = ["position", *(n for n in ORDERS[1:] if n in table.numbers or n == "objects"), *table.scores]
                titles = {name: title_of(name) for name in orders}
                by = ui.select(titles, value=self.by, label="Sort by").props("dense outlined").classes("qs-field")
                by.on_value_change(lambda event: self.change(by=event.value))
                down = ui.switch("Largest first", value=self.descending).props("dense").classes("qs-field")
                down.on_value_change(lambda event: self.change(descending=event.value))
            with section("Filter", opened=True):
                stem = (
                    ui.input("Part of the name", value=self.text)
                    .props("dense outlined debounce=250 clearable")
                    .classes("qs-field")
                )
                stem.on_value_change(lambda event: self.change(text=event.value or ""))
                for column, words in choices_of(table).items():
                    shown = {word: shown_name(word) for word in words}
                    select = ui.select(
                        shown,
                        label=column,
                        multiple=True,
                        clearable=True,
                        with_input=len(words) > 12,
                        value=self.choices.get(column, []),
                    )
                    select.props("dense outlined options-dense use-chips").classes("qs-field")
                    select.on_value_change(lambda event, column=column: self.choose_words(column, event.value or []))
                for column, title in NUMBERS.items():
                    ends = bounds(table, column)
                    if ends is not None and ends[0] < ends[1]:
                        self.range_filter(column, title, table.unit(column), ends)
            if heat_map(table, self.positions[:0]) is not None:
                with section("Where objects stand", opened=True):
                    hint("Click a cell, or go there with the arrow keys and press Enter, to see only its samples")
                    hint("The same again shows all")
                    self.map = ui.interactive_image(size=(_MAP_PX, _MAP_PX), on_mouse=self.click_map, events=["click"])
                    self.map.classes("qs-map").props("data-map")
                    move_by_keys(
                        self.map, "Arrow keys go to a cell of the map, Enter shows its samples", self.move_cursor
                    )
                    self.map.on("keydown.enter.prevent", self.pick_cursor, args=[])
                    self.at_cursor = ui.label().classes("qs-text").props('role="status"')
            with section("Scores and networks", opened=bool(self.networks or table.scores)):
                hint("scores.parquet of qumade evaluate on this dataset: worst first, or where A is better than B")
                ui.button("Scores of A", on_click=partial(self.open_scores, "")).props("flat dense")
                ui.button("Scores of B", on_click=partial(self.open_scores, "B ")).props("flat dense")
                if "difference" in table.scores:
                    with ui.row().classes("qs-row"):
                        for letter in "AB":
                            ui.button(f"Where {letter} wins", on_click=partial(self.order_by_winner, letter)).props(
                                "outline dense"
                            )
                hint("A network, to see its prediction beside the truth; two, to see which is right where")
                for letter in "AB":
                    button = ui.button(self.network_title(letter), on_click=partial(self.open_network, letter))
                    self.network_buttons[letter] = button.props("flat dense")

    def range_filter(self, column: str, title: str, unit: str, ends: tuple[float, float]) -> None:
        step = (ends[1] - ends[0]) / 100
        low, high = np.clip(self.ranges.get(column, ends), *ends).tolist()
        text = f"{title}: {low:.3g} to {high:.3g}{unit}" if column in self.ranges else f"{title}: all"
        label = ui.label(text).classes("qs-text")
        slider = ui.range(min=ends[0], max=ends[1], step=step, value={"min": low, "max": high})
        slider.props(f'dense aria-label="{title}"').classes("qs-slider")

        async def changed(event: Any) -> None:
            low, high = event.value["min"], event.value["max"]
            # Sliders go in steps: at an end of theirs, nothing is left out.
            low = -np.inf if low <= ends[0] + step / 2 else low
            high = np.inf if high >= ends[1] - step / 2 else high
            if np.isinf(low) and np.isinf(high):
                self.ranges.pop(column, None)
                label.set_text(f"{title}: all")
            else:
                self.ranges[column] = (low, high)
                label.set_text(f"{title}: {event.value['min']:.3g} to {event.value['max']:.3g}{unit}")
            await self.change()

        slider.on_value_change(changed)

    async def choose_words(self, column: str, words: list[str]) -> None:
        self.choices[column] = words
        await self.change()

    async def change(self, **values: Any) -> None:
        for name, value in values.items():
            setattr(self, name, value)
        self.page, self.chosen = 0, None
        await self.refresh()

    async def change_overlay(self, event: Any) -> None:
        if event.value in OVERLAYS:
            self.overlay = event.value
            await self.refresh()

    async def order_by_winner(self, letter: str) -> None:
        self.by, self.descending = "difference", letter == "A"
        self.build_form()
        await self.change()

    async def turn(self, pages: int) -> None:
        last = max(0, (len(self.positions) - 1) // PAGE)
        self.page = min(max(self.page + pages, 0), last)
        self.chosen = None
        await self.refresh()

    async def click_map(self, event: Any) -> None:
        row, column = (int(min(max(at / _MAP_PX * GRID, 0), GRID - 1)) for at in (event.image_y, event.image_x))
        self.cursor = None
        await self.pick((row, column))

    async def pick(self, cell: tuple[int, int]) -> None:
        await self.change(cell=None if self.cell == cell else cell)

    def move_cursor(self, right: int, down: int) -> None:
        row, column = self.cursor or self.cell or (GRID // 2, GRID // 2)
        self.cursor = min(max(row + down, 0), GRID - 1), min(max(column + right, 0), GRID - 1)
        self.show_marks()

    async def pick_cursor(self) -> None:
        if self.cursor is not None:
            await self.pick(self.cursor)

    def show_marks(self) -> None:
        """Mark the chosen cell and the one at which the keys are, and say how many objects stand there."""
        self.map.set_content(_cell_mark(self.cell) + _cell_mark(self.cursor, dashed=True))
        text = ""
        if self.cursor is not None and self.counts is not None:
            row, column = self.cursor
            text = f"Row {row + 1}, column {column + 1}: {int(self.counts[row, column]):,} objects"
        self.at_cursor.set_text(text)

    async def refresh(self) -> None:
        table, dataset = self.table, self.dataset
        if table is None or dataset is None:
            return
        self.loaded += 1
        number = self.loaded
        without_cell = Filter(self.choices, self.ranges, self.text)
        wanted = Filter(self.choices, self.ranges, self.text, self.cell)
        positions = ordered(table, selected(table, wanted), self.by, descending=self.descending)
        counts = heat_map(table, selected(table, without_cell))
        if counts is not None:
            self.map.set_source(self.studio.pictures.add(map_picture(counts)))
            self.counts = counts
            self.show_marks()
        self.positions = positions
        shown = positions[self.page * PAGE : (self.page + 1) * PAGE]
        try:
            urls = await asyncio.to_thread(self.thumbnails, dataset, shown)
        except QumadeError as error:
            if number == self.loaded:
                self.say(error)
            return
        if number != self.loaded:
            return
        self.say(None)
        pages = max(1, -(-len(positions) // PAGE))
        count = f"{len(positions):,} of {len(table):,} samples, page {self.page + 1:,} of {pages:,}"
        self.status.set_text(f"{count}, by {title_of(self.by)}, {'largest' if self.descending else 'smallest'} first")
        self.grid.clear()
        with self.grid:
            for position, url in zip(shown.tolist(), urls, strict=True):
                button, images, caption = picture_button(1, partial(self.choose, position))
                images[0].props["src"] = url
                score = table.scores.get(self.by)
                more = "" if score is None else f" · {score[position]:.3f}"
                caption.set_text(f"{shown_name(str(table.stems[position]))}{more}")
                button.props["aria-label"] = shown_name(str(table.stems[position]))
        await self.show_detail()

    def thumbnails(self, dataset: SampleDataset, positions: Any) -> list[str]:
        limits = limits_of(dataset)
        pictures = []
        for sample in dataset.read_many(positions.tolist()):
            picture = picture_of_sample(sample, self.overlay, limits)
            picture = sample.image if picture is None else picture
            pictures.append(self.studio.pictures.add(thumbnail(picture, _THUMBNAIL)))
        return pictures

    async def choose(self, position: int) -> None:
        self.chosen = None if self.chosen == position else position
        await self.show_detail()

    async def show_detail(self) -> None:
        self.detail.clear()
        table, dataset, chosen = self.table, self.dataset, self.chosen
        if table is None or dataset is None or chosen is None:
            return
        try:
            sample = await asyncio.to_thread(dataset.read, chosen)
            said = [
                await asyncio.to_thread(ask, self.studio.networks, network, dataset, sample)
                for network in self.networks.values()
            ]
        except QumadeError as error:
            announce(error)
            return
        if chosen == self.chosen:
            self.detail.clear()
            with self.detail:
                show_sample(self.studio.pictures, dataset, table, chosen, sample, said)

    async def open_scores(self, prefix: str) -> None:
        path = await choose_file(self.studio, "evaluation", "Open an evaluation of this dataset")
        if path is None or self.table is None:
            return
        try:
            path = self.studio.opened.inside(path)
            file = path / "scores.parquet" if path.is_dir() else path
            table = await asyncio.to_thread(with_scores, self.table, file, prefix)
        except QumadeError as error:
            announce(error)
            return
        scores = table.scores
        if "mask_iou" in scores and "B mask_iou" in scores:
            table = table.scored("difference", scores["mask_iou"] - scores["B mask_iou"])
        self.table = table
        self.by, self.descending = f"{prefix}mask_iou" if f"{prefix}mask_iou" in scores else self.by, False
        if "difference" in table.scores:
            self.by, self.descending = "difference", True
        self.build_form()
        await self.refresh()

    async def open_network(self, letter: str) -> None:
        path = await choose_file(self.studio, "run", f"Choose network {letter}")
        try:
            if path is None:
                self.networks.pop(letter, None)
            else:
                self.networks[letter] = self.studio.opened.inside(path)
        except QumadeError as error:
            announce(error)
            return
        self.networks = dict(sorted(self.networks.items()))
        self.network_buttons[letter].set_text(self.network_title(letter))
        await self.show_detail()

    def network_title(self, letter: str) -> str:
        network = self.networks.get(letter)
        return f"Choose network {letter}" if network is None else f"{letter}: {shown_name(network.name)}"


def map_picture(counts: np.ndarray[Any, Any]) -> Picture:
    """Return counts [GRID, GRID] in colours that colour-blind people can order, uint8 [480, 480, 3]."""
    share = counts / max(1, counts.max())
    colours = matplotlib.colormaps["viridis"](np.sqrt(share), bytes=True)[:, :, :3]
    return fitted(np.ascontiguousarray(colours), (_MAP_PX, _MAP_PX))


def _cell_mark(cell: tuple[int, int] | None, *, dashed: bool = False) -> str:
    if cell is None:
        return ""
    side = _MAP_PX / GRID
    shape = f'<rect x="{cell[1] * side}" y="{cell[0] * side}" width="{side}" height="{side}" fill="none" '
    mark = f'{shape}stroke="white" stroke-width="3"/>'
    return mark + f'{shape}stroke="black" stroke-width="3" stroke-dasharray="5 5"/>' if dashed else mark
