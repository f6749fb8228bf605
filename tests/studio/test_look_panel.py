import numpy as np
import pytest

from qumade.studio.look_panel import describe, map_picture
from qumade.studio.looking import GRID, Table


def test_the_map_is_dark_where_nothing_stands():
    counts = np.zeros((GRID, GRID), np.int64)
    counts[3, 4] = 9
    picture = map_picture(counts)
    assert picture.shape == (480, 480, 3)
    assert picture[3 * 20 + 10, 4 * 20 + 10].sum() > 2 * picture[0, 0].sum()
    assert map_picture(counts * 0).std(axis=(0, 1)).max() == 0


def test_a_sample_is_described_object_by_object():
    table = Table(
        np.array(["a", "b"]), np.array([1, 1]), {"split": np.array([0, 1]), "foreground": np.array([0, 1])},
        {"split": ("", "train"), "foreground": ("x\ny.png", "van")}, {"scale": np.array([0.25, 0.5], np.float32)}, None,
        {"mask_iou": np.array([np.nan, 0.5])},
    )  # fmt: skip
    assert describe(table, 1) == ["split: train, mask IoU: 0.500", "x\\ny.png, size 0.25", "van, size 0.5"]


@pytest.mark.slow
def test_filters_the_map_and_a_network(open_page, world_run):
    page = open_page("look")
    page.wait_for_selector(".qs-cell img[src]")
    assert page.locator(".qs-cell").count() == 24
    page.wait_for_selector("text=40 of 40 samples, page 1 of 2")
    page.get_by_label("Part of the name").fill("000001")
    page.wait_for_selector("text=1 of 40 samples")
    page.get_by_label("Part of the name").fill("")
    page.wait_for_selector("text=40 of 40 samples")
    page.locator("[data-map]").click(position={"x": 5, "y": 5})
    page.wait_for_selector("text=0 of 40 samples")  # no car stands in the sky
    page.locator("[data-map]").click(position={"x": 5, "y": 5})
    page.wait_for_selector("text=40 of 40 samples")
    page.get_by_text("Scores and networks").click()
    page.get_by_role("button", name="Choose a network").click()
    page.get_by_label("Path", exact=True).fill(str(world_run))
    page.get_by_role("button", name="OK").click()
    page.wait_for_selector("text=Network: run")
    page.locator(".qs-cell").first.click()
    page.wait_for_selector(".qs-wipe")
    wipe = "document.querySelector('.qs-wipe').style.getPropertyValue('--wipe').trim()"
    before = page.evaluate(wipe)
    page.locator('[aria-label="Border between the two pictures"] [tabindex="0"]').first.press("ArrowLeft")
    page.wait_for_function(f"{wipe} != '{before}'")
