import pytest

from fixtures.studio_page import unfold
from qumade.studio.opened import Opened
from qumade.studio.page import PANELS, first_panel
from qumade.studio.state import Studio


@pytest.mark.parametrize(
    ("kind", "panel"),
    [("recipe", "compose"), ("dataset", "look"), ("run", "try"), ("folder", "assets"), (None, "compose")],
)
def test_the_first_panel_shows_what_was_opened(tmp_path, kind, panel):
    assert first_panel(Studio(Opened(tmp_path), None, kind)) == panel
    assert list(PANELS) == ["assets", "compose", "run", "look", "try"]


@pytest.mark.slow
def test_two_tabs_do_not_disturb_each_other_and_a_reload_keeps_the_recipe(open_page):
    one, other = open_page("compose"), open_page("compose")
    for page in (one, other):
        page.wait_for_selector(".qs-cell img[src]")
    seed = 'input[data-field="seed"]'
    one.locator(seed).first.fill("77")
    unfold(one, "Recipe as YAML")
    one.wait_for_selector(".qs-yaml >> text=77")
    other.reload()
    other.wait_for_selector(".qs-cell img[src]")
    assert other.locator(seed).first.input_value() == "0"
    one.reload()
    one.wait_for_selector(".qs-cell img[src]")
    assert one.locator(seed).first.input_value() == "77"


@pytest.mark.slow
def test_narrow_and_dark(open_page):
    page = open_page("compose", color_scheme="dark")
    page.set_viewport_size({"width": 420, "height": 800})
    page.wait_for_selector(".qs-cell img[src]")
    assert page.evaluate("document.documentElement.scrollWidth") <= 420, "nothing is cut off at the side"
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(22, 24, 27)"
    colour = page.get_by_role("button", name="Save as").evaluate("button => getComputedStyle(button).color")
    assert colour == "rgb(76, 194, 154)", "a dark green could not be read on it"
    box = page.get_by_role("button", name="Dark or light").bounding_box()
    assert box["x"] + box["width"] <= 420
