"""The page: a header with the panels' tabs, and the panel that is chosen. A panel is built when it is first shown."""

from collections.abc import Callable
from pathlib import Path

from nicegui import app, ui

from qumade.studio.assets_panel import assets_panel
from qumade.studio.compose_panel import compose_panel
from qumade.studio.look_panel import look_panel
from qumade.studio.run_panel import run_panel
from qumade.studio.state import Draft, Studio
from qumade.studio.try_panel import try_panel

__all__ = ["PANELS", "first_panel", "studio_page"]

Build = Callable[[Studio, Draft], None]

PANELS: dict[str, tuple[str, Build]] = {
    "assets": ("Assets", assets_panel),
    "compose": ("Compose", compose_panel),
    "run": ("Run", run_panel),
    "look": ("Look", look_panel),
    "try": ("Try", try_panel),
}
"""The name of each panel in the address, its title, and the function that builds it."""

_STYLE = (Path(__file__).parent / "style.css").read_text("utf-8")


def first_panel(studio: Studio) -> str:
    """Return the panel that shows what `qumade studio` was called with."""
    wanted = {"dataset": "look", "run": "try", "folder": "assets"}.get(studio.kind or "", "compose")
    return wanted if wanted in PANELS else "compose"


async def studio_page(studio: Studio, panel: str | None = None) -> None:
    """Build the page for one tab of the browser."""
    ui.add_css(_STYLE)
    ui.button.default_props("no-caps")
    ui.toggle.default_props("no-caps")
    ui.colors(primary="#0b6e4f", negative="#b3261e")
    dark = ui.dark_mode(None)
    chosen = panel if panel in PANELS else first_panel(studio)

    async def other_colours() -> None:
        now = await ui.run_javascript("document.body.classList.contains('body--dark')")
        dark.value = app.storage.tab["dark"] = not now

    with ui.header().classes("qs-header"):
        with ui.label("QuMaDe").classes("qs-brand"):
            ui.element("span")
        with ui.tabs().props("dense no-caps inline-label outside-arrows mobile-arrows") as tabs:
            for name, (title, _) in PANELS.items():
                ui.tab(name, title)
        ui.space()
        button = ui.button(icon="contrast", on_click=other_colours)
        button.props("flat dense round color=grey aria-label='Dark or light'").tooltip("Dark or light")
    client = ui.context.client
    await client.connected()
    if client.is_deleted:  # the browser went away while the page was built
        return
    draft = studio.draft(str(app.storage.tab.setdefault("id", f"{id(object())}-{len(studio.drafts)}")))
    dark.value = app.storage.tab.get("dark")
    built: set[str] = set()
    with ui.element("main").classes("qs-page"), ui.tab_panels(tabs, value=chosen, animated=False, keep_alive=True):
        places = {}
        for name in PANELS:
            with ui.tab_panel(name):
                places[name] = ui.element("div").classes("qs-panel")

    def show(name: str) -> None:
        if name in PANELS and name not in built:
            built.add(name)
            with places[name]:
                PANELS[name][1](studio, draft)
        ui.run_javascript(f"history.replaceState(null, '', '?panel={name}')")

    tabs.on_value_change(lambda event: show(str(event.value)))
    show(chosen)
