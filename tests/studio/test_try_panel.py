import pytest

pytestmark = pytest.mark.slow


def test_a_dropped_photo_is_predicted(open_page, world, world_run):
    page = open_page("try")
    page.wait_for_selector("text=/^Network: ./")  # the newest one, of whichever tests came before
    photo = sorted((world / "samples" / "reference" / "images").iterdir())[0]
    page.set_input_files("input[type=file]", str(photo))
    page.wait_for_selector("text=Depth: inverse depth in 1/m")
    page.wait_for_selector(f".qs-title:has-text('{photo.name}')")
    page.wait_for_selector("text=The depth in space")
    assert (world / "studio" / "uploads" / photo.name).read_bytes() == photo.read_bytes()


def test_what_is_no_photo_is_named(open_page, world_run):
    page = open_page("try")
    page.set_input_files("input[type=file]", {"name": "torn.jpg", "mimeType": "image/jpeg", "buffer": b"\xff\xd8\xff"})
    page.wait_for_selector("text=Invalid picture")
