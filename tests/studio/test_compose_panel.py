"""The panel Compose in a browser, against the library's own pictures."""

import io
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fixtures.studio_page import answer, unfold
from qumade.recipe import Recipe, load_recipe
from qumade.studio.controls import given_of, parse_recipe
from qumade.synth.synthesizer import Synthesizer

pytestmark = pytest.mark.slow


def entry(page: Any, name: str) -> Any:
    """The text of a field of the form."""
    return page.locator(f'input[data-field="{name}"], textarea[data-field="{name}"]').first


def shown(page: Any, number: int = 0) -> np.ndarray:
    """The pixels of one picture of the grid, as the browser got them."""
    address = page.locator(".qs-cell img").nth(number).get_attribute("src")
    answer = page.request.get(re.match(r"https?://[^/]+", page.url)[0] + address)
    return np.asarray(Image.open(io.BytesIO(answer.body())).convert("RGB")).astype(int)


def changed(world: Path, **values: Any) -> Recipe:
    folder = world / "samples"
    return parse_recipe(given_of(load_recipe(folder / "recipe.yaml"), folder) | values, folder)


def test_the_pictures_are_those_of_the_library_and_change_with_a_field(open_page, world):
    page = open_page("compose")
    page.wait_for_selector(".qs-cell img[src]")
    assert page.locator(".qs-cell").count() == 12
    before = page.locator(".qs-cell img").first.get_attribute("src")
    for values, field, text in (({}, None, None), ({"seed": 11}, "seed", "11")):
        if field is not None:
            entry(page, field).fill(text)
            page.wait_for_function(
                "(old) => document.querySelector('.qs-cell img').getAttribute('src') != old", arg=before
            )
        made = Synthesizer.from_recipe(changed(world, **values))
        index = int(made.indices(12)[0])
        assert np.abs(shown(page) - made[index].image).max() <= 40  # JPEG at its worst pixel
        assert np.abs(shown(page) - made[index].image).mean() < 2


def test_the_page_answers_while_it_draws(open_page):
    page = open_page("compose")
    page.wait_for_selector(".qs-cell img[src]")
    # Twelve pictures may be there before the page was told that they are drawn.
    page.get_by_label("Samples", exact=True).fill("0-47")
    page.wait_for_function("document.querySelectorAll('.qs-cell').length == 48")
    page.wait_for_selector(".qs-busy", state="hidden")
    before = page.locator(".qs-cell img").first.get_attribute("src")
    # What the page showed is noted as it happens: a fast machine may have drawn before a look from outside.
    page.evaluate(
        """() => { window.seen = []; new MutationObserver(() => window.seen.push(
            [document.querySelector('.qs-busy').offsetParent !== null, document.querySelectorAll('.qs-cell img').length]
        )).observe(document.body, {subtree: true, childList: true, attributes: true}); }"""
    )
    entry(page, "seed").fill("12")
    page.wait_for_function("(old) => document.querySelector('.qs-cell img').getAttribute('src') != old", arg=before)
    page.wait_for_selector(".qs-busy", state="hidden")
    assert [True, 48] in page.evaluate("window.seen"), "it says that it draws, and the old pictures stay"


def test_a_wrong_value_is_shown_where_it_was_typed_and_the_pictures_stay(open_page):
    page = open_page("compose")
    page.wait_for_selector(".qs-cell img[src]")
    entry(page, "min_visible").fill("7")
    page.wait_for_selector("text=must be above 0 and at most 1")
    box = page.locator(".qs-field", has=page.locator('[data-field="min_visible"]')).first
    assert "got 7" in box.inner_text() or "got 7" in page.locator(".q-field__messages").first.inner_text()
    assert page.locator(".qs-cell").count() == 12
    entry(page, "min_visible").fill("0.5")
    page.wait_for_selector("text=must be above 0 and at most 1", state="hidden")


def test_a_default_that_depends_on_another_field_is_shown(open_page):
    page = open_page("compose")
    page.wait_for_selector(".qs-cell img[src]")
    assert entry(page, "objects").input_value() == "1, 1"
    entry(page, "policy_weights").fill("perspective: 1")
    page.wait_for_function("document.querySelector('input[data-field=objects]').value == '1, 6'")
    assert entry(page, "policy_weights").input_value() == "perspective: 1"


def test_indices_are_pinned_and_one_that_does_not_exist_is_named(open_page):
    page = open_page("compose")
    page.wait_for_selector(".qs-cell img[src]")
    page.get_by_label("Samples", exact=True).fill("5, 7-9")
    page.wait_for_function("document.querySelectorAll('.qs-cell').length == 4")
    assert page.locator(".qs-cell .qs-caption").all_inner_texts() == ["5", "7", "8", "9"]
    page.get_by_label("Samples", exact=True).fill("99999")
    page.wait_for_selector("text=Invalid indices: got 99999; must be from 0 to 479")


def test_a_sample_explains_itself_and_the_yaml_is_the_recipe(open_page, world, tmp_path):
    page = open_page("compose")
    page.wait_for_selector(".qs-cell img[src]")
    page.locator(".qs-cell").first.focus()
    page.keyboard.press("Enter")
    page.wait_for_selector(".qs-object")
    assert re.search(r"Stands at \(\d+, \d+\).* distance [\d.]+ m", page.locator(".qs-object").first.inner_text())
    unfold(page, "Recipe as YAML")
    text = page.locator(".qs-yaml").first.inner_text()
    path = world / "samples" / "copied.yaml"
    path.write_text(text)
    assert load_recipe(path) == load_recipe(world / "samples" / "recipe.yaml")
    path.unlink()


def test_two_recipes_side_by_side(open_page):
    page = open_page("compose")
    page.wait_for_selector(".qs-cell img[src]")
    page.get_by_role("button", name="Compare").click()
    page.wait_for_function("document.querySelectorAll('.qs-cell img[src]').length == 24")
    entry(page, "seed").fill("3")
    page.wait_for_function(
        "(() => { const i = document.querySelectorAll('.qs-cell img'); return i[0].src != i[1].src; })()"
    )


def test_saving_outside_of_the_opened_folders_is_refused(open_page, world):
    page = open_page("compose")
    page.wait_for_selector(".qs-cell img[src]")
    for path, message in (("/etc/recipe.yaml", "must be below a folder that was opened"), (None, "Saved")):
        page.get_by_role("button", name="Save as").click()
        answer(page, path or world / "samples" / "saved.yaml")
        page.wait_for_selector(f"text={message}")
    assert load_recipe(world / "samples" / "saved.yaml") == load_recipe(world / "samples" / "recipe.yaml")
    (world / "samples" / "saved.yaml").unlink()


def save_as(page, path):
    page.get_by_role("button", name="Save as").click()
    answer(page, path)


def test_the_recipe_of_a_dataset_is_not_saved_over_it(open_page, world, world_dataset):
    file = world_dataset / "dataset.yaml"
    before = file.read_bytes()
    page = open_page("compose")
    page.wait_for_selector(".qs-cell img[src]")
    page.get_by_role("button", name="Open", exact=True).click()
    answer(page, file)
    page.wait_for_selector(f"text=The recipe of {world_dataset}, not saved")
    page.get_by_role("button", name="Save as").click()
    assert page.get_by_label("Path", exact=True).input_value() == str(world / "studio" / "recipe.yaml")
    assert page.locator(".qs-list").get_by_text("dataset.yaml").count() == 0
    page.get_by_role("button", name="Cancel").click()
    page.wait_for_selector(".qs-dialog", state="detached")
    for name in ("dataset.yaml", "config.yaml"):
        save_as(page, world_dataset / name)
        page.wait_for_selector(f"text=/got .*{name}; must not be named/")
    assert file.read_bytes() == before and not (world_dataset / "config.yaml").exists()


def test_a_file_is_replaced_only_after_a_question(open_page, world):
    file = world / "samples" / "mine.yaml"
    file.write_text("# mine\n")
    page = open_page("compose")
    page.wait_for_selector(".qs-cell img[src]")
    save_as(page, file)
    page.wait_for_selector("text=mine.yaml exists. Replace it?")
    page.get_by_role("button", name="Cancel").click()
    page.wait_for_selector(".qs-dialog", state="detached")
    assert file.read_text() == "# mine\n"
    save_as(page, file)
    page.get_by_role("button", name="Replace").click()
    page.wait_for_selector("text=/Saved .*mine.yaml/")
    assert load_recipe(file) == load_recipe(world / "samples" / "recipe.yaml")
    file.unlink()
