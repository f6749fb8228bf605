import pytest

pytestmark = pytest.mark.slow


def test_a_dialog_lists_what_was_found_and_can_be_cancelled(open_page, world):
    page = open_page("compose")
    page.wait_for_selector(".qs-cell img[src]")
    page.get_by_role("button", name="Open").first.click()
    page.wait_for_selector(f'.qs-dialog >> text="{world / "samples" / "recipe.yaml"}"')
    page.get_by_role("button", name="Cancel").click()
    page.wait_for_selector(".qs-dialog", state="detached")
