"""Widgets of a form: one for each control, with its help, its limits, and the error of its value beside it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from nicegui import ui

from qumade.recipe import DEFAULT
from qumade.studio.controls import Control, Problem, as_text, from_text

__all__ = ["Field", "make_field"]

_WIDEST_SLIDER = 100


@dataclass(frozen=True)
class Field:
    """A widget: `show` sets its value without telling anybody, `fail` shows an error at it, or none."""

    control: Control
    show: Callable[[Any], None]
    fail: Callable[[str | None], None]


def make_field(
    control: Control, value: Any, changed: Callable[[str, Any], None], failed: Callable[[Problem], None]
) -> Field:
    """Make the widget of a control. `changed` gets name and plain value when a person changes it, `failed` the problem
    of text that is no value."""
    if control.kind == "switch":
        return _switch(control, value, changed)
    if control.kind == "choice" or (control.kind == "names" and control.choices):
        return _select(control, value, changed)
    return _text(control, value, changed, failed)


def _switch(control: Control, value: Any, changed: Callable[[str, Any], None]) -> Field:
    quiet = _Quiet()
    switch = ui.switch(control.title, value=bool(value)).classes("qs-field").props("dense")
    switch.on_value_change(lambda event: quiet.tell(lambda: changed(control.name, event.value)))
    _mark(switch, control)
    with switch:
        _help(control)
    return Field(control, lambda new: quiet.during(lambda: switch.set_value(bool(new))), lambda message: None)


def _select(control: Control, value: Any, changed: Callable[[str, Any], None]) -> Field:
    quiet = _Quiet()
    several = control.kind == "names"
    select = ui.select(
        list(control.choices), label=control.title, value=value, multiple=several, clearable=control.optional
    )
    select.classes("qs-field").props("dense outlined options-dense hide-bottom-space")
    select.on_value_change(lambda event: quiet.tell(lambda: changed(control.name, event.value)))
    select.without_auto_validation()
    _mark(select, control)
    with select.add_slot("append"):
        _help(control)

    def fail(message: str | None) -> None:
        select.error = message

    return Field(control, lambda new: quiet.during(lambda: select.set_value(new)), fail)


def _text(
    control: Control, value: Any, changed: Callable[[str, Any], None], failed: Callable[[Problem], None]
) -> Field:
    quiet = _Quiet()
    long = control.kind in ("table", "shares")
    entry = (ui.textarea if long else ui.input)(label=control.title, value=as_text(control, value))
    entry.classes("qs-field").props("dense outlined hide-bottom-space debounce=60" + (" autogrow" if long else ""))
    entry.without_auto_validation()
    _mark(entry, control)
    with entry.add_slot("append"):
        _help(control)
    slider = _slider(control, value)

    def typed(text: str) -> None:
        try:
            new = from_text(control, text or "")
        except Problem as problem:
            failed(problem)
            return
        if slider is not None:
            quiet.during(lambda: slider.set_value(_on_slider(control, new)))
        changed(control.name, new)

    def slid(position: Any) -> None:
        new = _from_slider(control, position, from_text(control, entry.value or ""))
        quiet.during(lambda: entry.set_value(as_text(control, new)))
        changed(control.name, new)

    entry.on_value_change(lambda event: quiet.tell(lambda: typed(event.value)))
    if slider is not None:
        slider.on_value_change(lambda event: quiet.tell(lambda: slid(event.value)))

    def show(new: Any) -> None:
        def both() -> None:
            entry.set_value(as_text(control, new))
            if slider is not None:
                slider.set_value(_on_slider(control, new))

        quiet.during(both)

    def fail(message: str | None) -> None:
        entry.error = message

    return Field(control, show, fail)


def _slider(control: Control, value: Any) -> ui.slider | ui.range | None:
    """Return a slider for numbers of a limited range; for a table, it moves what holds for all files."""
    inner = control.of if control.kind == "table" and control.of is not None else control
    if inner.kind not in ("number", "whole", "range") or inner.low is None or inner.high is None:
        return None
    if inner.high - inner.low > _WIDEST_SLIDER:
        return None
    step = 1 if inner.whole else 0.01 if inner.high - inner.low <= 10 else 0.1
    position = _on_slider(control, value)
    if inner.kind == "range":
        slider: ui.slider | ui.range = ui.range(min=inner.low, max=inner.high, step=step, value=position)
    else:
        slider = ui.slider(min=inner.low, max=inner.high, step=step, value=position)
    slider.props(f'dense aria-label="{control.title}"').classes("qs-slider")
    return slider


def _on_slider(control: Control, value: Any) -> Any:
    """Return the position of a slider for a plain value; the ends for a value that is unset or wrong."""
    inner = control
    if control.kind == "table" and control.of is not None:
        inner, value = control.of, value.get(DEFAULT) if isinstance(value, Mapping) else value
    low, high = inner.low or 0, inner.high or 0
    numbers = value if isinstance(value, list) else [value]
    good = all(isinstance(number, int | float) and not isinstance(number, bool) for number in numbers)
    if inner.kind == "range":
        ends = numbers if good and len(numbers) == 2 else [low, high]
        return {"min": min(max(ends[0], low), high), "max": min(max(ends[1], low), high)}
    return min(max(numbers[0], low), high) if good else low


def _from_slider(control: Control, position: Any, before: Any) -> Any:
    new = [position["min"], position["max"]] if isinstance(position, Mapping) else position
    if control.kind == "table":
        return {**(before if isinstance(before, Mapping) else {}), DEFAULT: new}
    return new


def _mark(element: ui.element, control: Control) -> None:
    element.props["data-field"] = control.name


def _help(control: Control) -> None:
    # The text is a tooltip for the mouse and a label for those who do not see it.
    icon = ui.icon("help_outline", size="16px").classes("qs-help")
    icon.props["aria-label"] = control.help
    icon.tooltip(control.help).classes("qs-tooltip")


class _Quiet:
    """Tells changes that a person makes from those that the program makes."""

    def __init__(self) -> None:
        self._quiet = False

    def during(self, change: Callable[[], Any]) -> None:
        self._quiet = True
        try:
            change()
        finally:
            self._quiet = False

    def tell(self, what: Callable[[], Any]) -> None:
        if not self._quiet:
            what()
