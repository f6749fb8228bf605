import io

import pytest
from PIL import Image

from fixtures.studio_page import unfold
from qumade.assets.classes import cutout_names

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
    photo = page.get_by_role("application", name="Arrow keys move an object over the ground of the photo")
    box = photo.bounding_box()
    page.wait_for_function("document.querySelector('.qs-large img').naturalWidth > 0")
    assert photo.bounding_box() == box, "nothing moves when the photo is there"
    photo.hover(position={"x": box["width"] / 2, "y": box["height"] * 0.9})
    page.wait_for_selector("text=pixels of the photo high here")
    photo.hover(position={"x": box["width"] / 2, "y": 5})
    page.wait_for_selector("text=Above the horizon")
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
    unfold(page, "Add pictures")
    page.set_input_files("input[type=file]", {"name": "x.png", "mimeType": "image/png", "buffer": b"<svg/>"})
    page.wait_for_selector("text=Invalid picture")
    assert not (world / "samples" / "backgrounds" / "x.png").exists()


def test_cut_outs_of_classes_are_shown_excluded_and_added_by_class(open_page, world_classes, classes_address):
    cutouts = world_classes.parent / "cutouts"
    names = cutout_names(cutouts)
    page = open_page("assets", at=classes_address)
    page.get_by_role("button", name="Cut-outs").click()
    page.wait_for_selector(f".qs-cell[aria-label='{names[0]}'] img[src]")
    assert page.locator(".qs-cell .qs-caption").all_inner_texts() == names
    page.locator(f".qs-cell[aria-label='{names[0]}']").click()
    page.get_by_role("button", name="Exclude it from the recipe").click()
    page.wait_for_selector("text=excluded")
    page.locator(f".qs-cell[aria-label='{names[0]}']").click()
    page.get_by_role("button", name="Use it again").click()
    page.wait_for_selector("text=excluded", state="detached")
    unfold(page, "Add pictures")
    with Image.open(cutouts / names[0]) as image:
        data = io.BytesIO()
        image.rotate(5).save(data, "png")
    page.set_input_files("input[type=file]", {"name": "new.png", "mimeType": "image/png", "buffer": data.getvalue()})
    copy = page.get_by_role("button", name="Copy 1 file into")
    assert copy.bounding_box()["y"] < page.locator(".q-uploader").bounding_box()["y"], "where the list cannot move it"
    copy.click()
    page.locator(".qs-list").get_by_role("button", name="van").click()
    page.get_by_role("button", name="OK").click()
    page.wait_for_selector(".qs-cell[aria-label='van/new.png']")
    page.wait_for_selector(".q-uploader__file", state="detached")
    assert (cutouts / "van" / "new.png").read_bytes() == data.getvalue()
    assert cutout_names(cutouts) == sorted([*names, "van/new.png"]), (
        "no picture beside the classes, which would hide them"
    )
    (cutouts / "van" / "new.png").unlink()
