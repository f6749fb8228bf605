import pytest
from PIL import Image

pytestmark = pytest.mark.slow


def test_a_photo_with_a_hostile_name_its_ground_and_exclusion(open_page, world):
    name = "<img src=x onerror=document.title='hacked'>.png"
    hostile = world / "samples" / "foregrounds" / name
    Image.new("RGBA", (20, 20), (200, 30, 30, 255)).save(hostile)
    try:
        page = open_page("assets")
        page.wait_for_selector(".qs-cell img[src]")
        page.get_by_role("button", name="Cut-outs").click()
        page.wait_for_selector("text=onerror=document.title")
        assert page.title() != "hacked" and page.locator(".qs-cell img[src='x']").count() == 0
    finally:
        hostile.unlink()
    page.get_by_role("button", name="Photos").click()
    page.locator(".qs-cell[aria-label='road_01.jpg']").click()
    page.wait_for_selector("text=Where objects may stand")
    box = page.locator(".qs-large").first.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] * 0.9)
    page.wait_for_selector("text=pixels of the photo high here")
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 5)
    page.wait_for_selector("text=Above the horizon")
    photo = page.get_by_role("application", name="Arrow keys move an object over the ground of the photo")
    for _ in range(40):
        photo.press("ArrowDown")
    page.wait_for_selector("text=pixels of the photo high here")
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.get_by_role("button", name="Exclude it from the recipe").click()
    page.wait_for_selector("text=excluded")
    page.get_by_role("tab", name="Compose").click()
    page.wait_for_selector("text=12 of 400 samples")  # five of the six photos are left


def test_an_upload_that_is_no_picture_is_named(open_page, world):
    page = open_page("assets")
    page.get_by_text("Add pictures").click()
    page.set_input_files("input[type=file]", {"name": "x.png", "mimeType": "image/png", "buffer": b"<svg/>"})
    page.wait_for_selector("text=Invalid picture")
    assert not (world / "samples" / "backgrounds" / "x.png").exists()
