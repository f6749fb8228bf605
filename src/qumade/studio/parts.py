"""Small parts that several panels use."""

import re
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from nicegui import ui

from qumade.assets.classes import class_folders
from qumade.errors import ConfigError, QumadeError
from qumade.io.pictures import printable
from qumade.recipe import CLASS_NAME
from qumade.studio.opened import Kind, is_reserved
from qumade.studio.state import Studio

__all__ = [
    "announce",
    "choose_class_folder",
    "choose_file",
    "confirm",
    "hint",
    "move_by_keys",
    "picture_button",
    "section",
    "wipe",
]


@contextmanager
def section(title: str, *, opened: bool = False) -> Iterator[ui.expansion]:
    """A part of a page that can be folded."""
    with ui.expansion(title, value=opened).classes("qs-section").props("dense") as expansion:
        yield expansion


def hint(text: str) -> ui.label:
    """A line that explains something."""
    return ui.label(text).classes("qs-hint")


def announce(error: QumadeError | OSError) -> None:
    """Show an error in the corner of the page, until it is closed."""
    text = str(error) if isinstance(error, QumadeError) else f"{error.strerror}: {error.filename}"
    ui.notify(text, type="negative", multi_line=True, timeout=0, close_button="Close")


def picture_button(
    pictures: int, pressed: Callable[[], Awaitable[None] | None]
) -> tuple[ui.element, list[ui.element], ui.label]:
    """A button of pictures with a caption below, and its parts: the button, the pictures and the caption."""
    button = ui.element("button").classes("qs-cell").on("click", pressed)
    button.props["type"] = "button"
    with button:
        with ui.element("div").classes("qs-pictures"):
            images = [ui.element("img").props('alt=""') for _ in range(pictures)]
        caption = ui.label().classes("qs-caption")
    return button, images, caption


_ARROWS = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}


def move_by_keys(
    image: ui.interactive_image, label: str, moved: Callable[[int, int], Awaitable[None] | None]
) -> ui.interactive_image:
    """Let an image have the focus, with a ring around it, and call `moved` with the step (right, down) of an arrow key.

    `label` says what the keys do, to those who cannot see it.
    """
    image.classes("qs-keys").props("tabindex=0 role=application")
    image.props["aria-label"] = label
    for key, step in _ARROWS.items():
        image.on(f"keydown.{key}.prevent", partial(moved, *step), args=[])
    return image


def wipe(left: str, right: str) -> None:
    """Two pictures in one place, with a slider that moves the border between them. It works in the browser alone."""
    with ui.element("div").classes("qs-wipe") as frame:
        for address in (left, right):
            ui.element("img").props["src"] = address
    slider = ui.slider(min=0, max=100, step=1, value=50).props('dense aria-label="Border between the two pictures"')
    slider.on(
        "update:model-value",
        js_handler=f"(value) => document.getElementById('{frame.html_id}').style.setProperty('--wipe', value + '%')",
    )


async def choose_file(studio: Studio, kind: Kind, title: str, *, name: str | None = None) -> Path | None:
    """Ask for one of the files or folders of a kind below the opened folders, or for a path; None if cancelled.

    `name` is a path to start from where a new file is to be written.
    """
    found = [str(path) for path in studio.opened.found(kind) if name is None or not is_reserved(path)]
    about = "" if found else f"No {kind} was found below the opened folders"
    answer = await _choose_or_type(title, about, "Path", found, name or (found[0] if found else ""))
    return Path(answer) if answer else None


async def _choose_or_type(title: str, about: str, label: str, choices: Sequence[str], start: str) -> str | None:
    """Ask for one of some names, or for another that is typed; None if cancelled."""
    with ui.dialog(value=True) as dialog, ui.card().classes("qs-dialog"):
        ui.label(title).classes("qs-title")
        if about:
            hint(about)
        names = ui.element("div").classes("qs-list")
        typed = ui.input(label, value=start).props("dense outlined").classes("qs-wide")
        typed.on("keydown.enter", lambda: dialog.submit(typed.value), args=[])
        with names:
            for choice in choices:
                button = ui.button(printable(Path(choice)), on_click=partial(typed.set_value, choice))
                button.props("flat dense no-caps align=left")
        with ui.row():
            ui.button("OK", on_click=lambda: dialog.submit(typed.value))
            ui.button("Cancel", on_click=lambda: dialog.submit(None)).props("flat")
    answer = await dialog
    dialog.delete()
    return None if answer is None else str(answer)


async def confirm(question: str, answer: str) -> bool:
    """Ask before something is lost; the dialog begins at Cancel."""
    with ui.dialog(value=True) as dialog, ui.card().classes("qs-dialog"):
        ui.label(question).classes("qs-text")
        with ui.row():
            ui.button(answer, color="negative", on_click=lambda: dialog.submit(True))
            ui.button("Cancel", on_click=lambda: dialog.submit(False)).props("flat autofocus")
    said = await dialog
    dialog.delete()
    return bool(said)


async def choose_class_folder(folder: Path) -> Path | None:
    """Return where a cut-out goes: into the folder of the cut-outs itself, or, where its sub-folders are classes, into
    the one that the user chooses or names. None if cancelled.

    Raises QumadeError for a folder that cannot be listed, and for a name that cannot be that of a class.
    """
    classes = class_folders(folder)
    if not classes:
        return folder
    about = "Sub-folders of the cut-outs are their classes. Choose one, or type the name of a new one."
    answer = await _choose_or_type("Class of the cut-outs", about, "Class", classes, classes[0])
    if answer is None:
        return None
    if not re.fullmatch(CLASS_NAME, answer):
        raise ConfigError(f"Invalid class: got {answer[:60]!r}; must have letters, digits, spaces and _ . - only")
    return folder / answer
