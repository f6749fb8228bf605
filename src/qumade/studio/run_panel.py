"""The panel Run: generate, train, evaluate, compare and adapt as jobs of their own, with their logs and curves."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from nicegui import ui

from qumade.errors import QumadeError
from qumade.recipe import load_recipe
from qumade.studio.commands import COMMANDS, arguments_of
from qumade.studio.controls import Problem
from qumade.studio.jobs import FINISHED, Job, read_log, shown_command
from qumade.studio.opened import shown_name
from qumade.studio.parts import announce, hint, section
from qumade.studio.state import Draft, Studio

__all__ = ["curves_of", "run_panel"]

_EVERY_S = 1.0
NONE_YET = "No jobs yet. They run one after another, and go on when this page is closed."
LINES = {"loss": "training loss", "val_loss": "validation loss", "val_iou": "mask IoU", "val_delta1": "delta < 1.25"}
COLOURS = ("#0072b2", "#56b4e9", "#d55e00", "#009e73")  # Okabe and Ito 2008


def run_panel(studio: Studio, draft: Draft) -> None:
    """Build the panel in the current container."""
    _Panel(studio, draft).build()


class _Panel:
    """Widgets of one tab of the browser. All tabs see the same jobs."""

    def __init__(self, studio: Studio, draft: Draft) -> None:
        self.studio, self.draft = studio, draft
        self.rows: dict[int, tuple[ui.element, Callable[[Job], None]]] = {}  # of a job, and what shows its state there
        self.chosen: int | None = None
        self.detail_of: tuple[int, bool] | None = None
        self.log: ui.label | None = None
        self.chart: ui.echart | None = None

    def build(self) -> None:
        with ui.element("div").classes("qs-split"):
            with ui.element("div").classes("qs-form"):
                for number, verb in enumerate(COMMANDS):
                    with section(COMMANDS[verb].title, opened=number == 0):
                        self.command(verb)
            with ui.element("div").classes("qs-main"):
                self.status = ui.label().classes("qs-status").props('role="status"')
                self.list = ui.element("div").classes("qs-panel")
                self.detail = ui.element("div").classes("qs-panel")
        self.follow()
        ui.timer(_EVERY_S, self.follow)

    def command(self, verb: str) -> None:
        entries: dict[str, ui.input] = {}
        own = self.studio.opened.own
        runs = [part.name for part in COMMANDS[verb].parts if part.opens == "run"]  # two runs are two of them
        for part in COMMANDS[verb].parts:
            value = part.default
            if part.kind == "out":
                value = str(_free(own / part.default))
            elif part.opens is not None:
                found = self.studio.opened.found(part.opens, most=40)
                value = str(found[runs.index(part.name) % len(found) if part.name in runs else 0]) if found else ""
                if part.opens == "recipe" and self.draft.file is not None:
                    value = str(self.draft.file)
                if part.opens == "folder" and self.draft.recipe is not None:
                    value = str(self.draft.recipe.backgrounds)
            entry = ui.input(part.name, value=value).props("dense outlined hide-bottom-space").classes("qs-field")
            if part.opens is not None:
                entry.set_autocomplete([str(path) for path in self.studio.opened.found(part.opens, most=40)])
            entry.without_auto_validation().tooltip(part.help)
            entry.props["data-part"] = f"{verb}.{part.name}"
            entries[part.name] = entry

        def add() -> None:
            for entry in entries.values():
                entry.error = None
            try:
                values = {name: entry.value or "" for name, entry in entries.items()}
                arguments, out = arguments_of(verb, values, own)
                for part in COMMANDS[verb].parts:
                    if part.kind in ("path", "out"):
                        self.require_opened(part.name, own / Path(values[part.name].strip()).expanduser())
                if verb == "generate":
                    opened = self.studio.opened
                    opened.check(load_recipe(opened.inside(own / Path(entries["recipe"].value).expanduser())))
                job = self.studio.jobs.add(arguments, out)
            except Problem as problem:
                entries[problem.field].error = str(problem)
                return
            except (QumadeError, OSError) as error:
                announce(error)
                return
            self.chosen = job.number
            entries["out"].set_value(str(_free(out, after=out)))
            self.follow()

        ui.button("Add to the queue", icon="playlist_add", on_click=add).props("dense unelevated").classes("qs-add")

    def require_opened(self, part: str, path: Path) -> None:
        try:
            self.studio.opened.inside(path)
        except QumadeError as error:
            raise Problem(str(error), part) from None

    def follow(self) -> None:
        """Show the jobs as they are on disk, so that nothing depends on this page being open."""
        jobs = {job.number: job for job in self.studio.jobs.all()}
        for number in self.rows.keys() - jobs.keys():  # somebody deleted its folder
            self.rows.pop(number)[0].delete()
        for number, job in jobs.items():
            if number not in self.rows:
                self.rows[number] = self.add_row(job)
            self.rows[number][1](job)
        active = sum(job.state not in FINISHED for job in jobs.values())
        self.status.set_text(f"Jobs: {len(jobs)}, of them waiting or running: {active}" if jobs else NONE_YET)
        if self.chosen in jobs:
            self.show_detail(jobs[self.chosen])

    def add_row(self, job: Job) -> tuple[ui.element, Callable[[Job], None]]:
        """Add a row above the others. It stays: a button that is drawn anew can swallow a click."""
        with self.list:
            card = ui.element("div").classes("qs-card").props(f'data-job="{job.number}"')
        with card, ui.row().classes("qs-row"):
            ui.label(f"{job.number}").classes("qs-name")
            state = ui.label().classes("qs-chip")
            ui.label(f"{job.verb} → {shown_name(job.out)}").classes("qs-text")
            error = ui.label().classes("qs-text qs-error").props('role="alert"')
            ui.space()
            ui.button("Show", on_click=partial(self.choose, job.number)).props("flat dense")
            stop = ui.button("Stop", on_click=partial(self.act, self.studio.jobs.stop, job)).props("flat dense")
            go_on = ui.button("Go on", on_click=partial(self.act, self.studio.jobs.go_on, job)).props("flat dense")
        card.move(target_index=0)

        def update(job: Job) -> None:
            state.set_text(job.state)
            state.classes(**{"add" if job.state == "failed" else "remove": "qs-error"})
            error.set_text(job.error)
            error.set_visibility(bool(job.error))
            stop.set_text("Kill" if job.state == "stopping" else "Stop")
            stop.set_visibility(job.state not in FINISHED)
            go_on.set_visibility(job.can_go_on)

        return card, update

    def choose(self, number: int) -> None:
        self.chosen = number
        self.follow()

    def act(self, what: Any, job: Job) -> None:
        try:
            what(job.number)
        except (QumadeError, OSError) as error:
            announce(error)
        self.follow()

    def show_detail(self, job: Job) -> None:
        log = read_log(self.studio.jobs.log(job.number))
        curves = curves_of(Path(job.out)) if job.verb == "train" else {}
        if self.log is not None and self.detail_of == (job.number, bool(curves)):
            self.log.set_text(log)
            if self.chart is not None:
                self.chart.options["series"] = _series(curves)
                self.chart.update()
            return
        self.detail_of, self.chart = (job.number, bool(curves)), None
        self.detail.clear()
        with self.detail, ui.element("div").classes("qs-card"):
            ui.label(f"Job {job.number}").classes("qs-title")
            hint(shown_command(job.arguments))
            if curves:
                self.chart = ui.echart(_chart(curves)).style("height: 320px; width: 100%")
            self.log = ui.label(log).classes("qs-log")


def curves_of(run: Path) -> dict[str, list[tuple[float, float]]]:
    """Return the curves of a training, (step, value) by name, from its results.csv; empty before the first epoch."""
    from qumade.training.run_folder import RunFolder, read_results  # needs torch, which the page can start without

    path = RunFolder(run).results
    if not path.is_file():
        return {}
    try:
        rows = read_results(path)
    except (QumadeError, ValueError):
        return {}
    curves = {}
    for name in LINES:
        points = [
            (step, value)
            for row in rows
            if (step := row.get("step")) is not None and (value := row.get(name)) is not None
        ]
        if points:
            curves[name] = points
    return curves


def _series(curves: dict[str, list[tuple[float, float]]]) -> list[dict[str, Any]]:
    names = list(LINES)
    return [
        {
            "name": LINES[name],
            "type": "line",
            "data": [list(point) for point in points],
            "yAxisIndex": int("loss" not in name),
            "color": COLOURS[names.index(name)],
            "symbolSize": 5,
        }
        for name, points in curves.items()
    ]


def _chart(curves: dict[str, list[tuple[float, float]]]) -> dict[str, Any]:
    grey = {"color": "#808489"}
    return {
        "animation": False,
        "legend": {"top": 0, "textStyle": grey},
        "tooltip": {"trigger": "axis"},
        "grid": {"left": 50, "right": 50, "bottom": 40},
        "xAxis": {"type": "value", "name": "step", "nameLocation": "middle", "nameGap": 26, "axisLabel": grey},
        "yAxis": [
            {"type": "value", "name": "loss", "axisLabel": grey, "nameTextStyle": grey},
            {"type": "value", "name": "score", "min": 0, "max": 1, "axisLabel": grey, "nameTextStyle": grey},
        ],
        "series": _series(curves),
    }


def _free(path: Path, after: Path | None = None) -> Path:
    """Return a path at which nothing lies: with a number, if need be."""
    number, free = 1, path
    while free.exists() or free == after:
        number += 1
        free = path.with_name(f"{path.name}-{number}")
    return free
