import pytest

pytest.importorskip("nicegui", reason="the extra `studio` is not installed")

from qumade.recipe import Recipe
from qumade.studio.controls import controls_of
from qumade.studio.fields import _from_slider, _on_slider

CONTROLS = {control.name: control for control in controls_of(Recipe)}


@pytest.mark.parametrize(
    ("name", "value", "position"),
    [
        ("crop", [0.2, 0.7], {"min": 0.2, "max": 0.7}),
        ("crop", "wrong", {"min": 0, "max": 1}),
        ("scale", {"default": [0.1, 9], "x": [1, 2]}, {"min": 0.1, "max": 4}),
        ("scale", None, {"min": 0, "max": 4}),
        ("min_visible", 0.3, 0.3),
        ("min_visible", [1], 1),
        ("min_visible", True, 0),
    ],
)
def test_sliders_follow_values(name, value, position):
    assert _on_slider(CONTROLS[name], value) == position


def test_a_slider_of_a_table_moves_what_holds_for_all_files():
    new = _from_slider(CONTROLS["scale"], {"min": 0.2, "max": 0.3}, {"default": [0, 1], "car*": [0.5, 0.6]})
    assert new == {"default": [0.2, 0.3], "car*": [0.5, 0.6]}
    assert _from_slider(CONTROLS["min_visible"], 0.4, 0.7) == 0.4


@pytest.mark.slow
def test_the_keyboard_moves_a_slider_and_its_text(open_page):
    page = open_page("compose")
    page.wait_for_selector(".qs-cell img[src]")
    before = page.locator('input[data-field="min_visible"]').first.input_value()
    page.locator('.q-slider[aria-label="min visible"] [tabindex="0"]').press("ArrowLeft")
    page.wait_for_function(f"document.querySelector('input[data-field=\"min_visible\"]').value != '{before}'")
