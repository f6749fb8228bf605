import numpy as np
import pytest
import torch

from fixtures.studio_page import answer, unfold
from qumade.data.opening import open_dataset
from qumade.evaluation.runs import evaluate
from qumade.models.network import build_network
from qumade.studio.look_panel import map_picture
from qumade.studio.looking import GRID
from qumade.training.run_folder import RunFolder, load_network, write_weights


@pytest.fixture(scope="session")
def other_run(world, world_run, world_dataset):
    """A second network in run-other/, and what both scored on the dataset in eval-a/ and eval-b/. It calls every pixel
    an object, so that the difference of the two is not the same in all samples."""
    config, folder = load_network(world_run).config, RunFolder(world / "run-other")
    network = build_network(config)
    bias = dict(network.named_parameters())["mask_decoder.head.bias"]
    torch.nn.init.constant_(bias, 100.0)
    write_weights(folder, "best", network, config, {"step": 1, "epoch": 1, "metrics": {}})
    folder.config.write_text("data: ../dataset\n")
    for run, name in ((world_run, "eval-a"), (folder.root, "eval-b")):
        evaluate(run, world_dataset, world / name, limit=12, progress=False)
    return folder.root


def test_the_map_is_dark_where_nothing_stands():
    counts = np.zeros((GRID, GRID), np.int64)
    counts[3, 4] = 9
    picture = map_picture(counts)
    assert picture.shape == (480, 480, 3)
    assert picture[3 * 20 + 10, 4 * 20 + 10].sum() > 2 * picture[0, 0].sum()
    assert map_picture(counts * 0).std(axis=(0, 1)).max() == 0


def look_at(open_page, path):
    """Open a dataset, and wait until its pictures have replaced those of the one that was found first."""
    page = open_page("look")
    page.wait_for_selector(".qs-cell img[src]")
    page.evaluate("document.querySelector('.qs-cell').id = 'before'")
    page.get_by_role("button", name="Open dataset").click()
    answer(page, path)
    page.wait_for_selector("#before", state="detached")
    page.wait_for_selector(".qs-dialog", state="detached")
    return page


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["world_dataset", "world_shards"])
def test_filters_the_map_and_a_network(request, open_page, world_run, kind):
    path = request.getfixturevalue(kind)
    page = look_at(open_page, path)
    page.wait_for_selector(f".qs-path:has-text('{path}')")
    page.get_by_role("combobox", name="split").wait_for()
    stems = open_dataset(path).stems[:24].tolist()
    page.wait_for_function(
        "(stems) => [...document.querySelectorAll('.qs-cell .qs-caption')].map(e => e.innerText).join() == stems",
        arg=",".join(stems),
    )
    assert page.locator(".qs-cell").count() == 24
    page.wait_for_selector("text=40 of 40 samples, page 1 of 2")
    page.get_by_label("Part of the name").fill("000001")
    page.wait_for_selector("text=/^1 of 40 samples/")
    page.get_by_label("Part of the name").fill("")
    page.wait_for_selector("text=/^40 of 40 samples/")
    page.locator("[data-map]").click(position={"x": 5, "y": 5})
    page.wait_for_selector("text=/^0 of 40 samples/")  # no car stands in the sky
    page.locator("[data-map]").click(position={"x": 5, "y": 5})
    page.wait_for_selector("text=/^40 of 40 samples/")
    unfold(page, "Scores and networks")
    page.get_by_role("button", name="Choose network A").click()
    answer(page, world_run)
    page.wait_for_selector("text=A: run")
    page.locator(".qs-cell").first.click()
    page.wait_for_selector(".qs-wipe")
    wipe = "document.querySelector('.qs-wipe').style.getPropertyValue('--wipe').trim()"
    before = page.evaluate(wipe)
    page.locator('[aria-label="Border between the two pictures"] [tabindex="0"]').first.press("ArrowLeft")
    page.wait_for_function(f"{wipe} != '{before}'")


@pytest.mark.slow
def test_the_map_by_keys(open_page, world_dataset):
    page = look_at(open_page, world_dataset)
    page.wait_for_selector("text=/^40 of 40 samples/")
    plot = page.locator("[data-map]")
    assert plot.evaluate("map => map.tabIndex") == 0, "the key Tab leads there"
    page.keyboard.press("Tab")  # a browser marks the focus of those who use keys
    plot.focus()
    assert plot.evaluate("map => getComputedStyle(map).outlineStyle") == "solid", "the focus can be seen"
    plot.press("ArrowDown")
    page.wait_for_selector("text=Row 14, column 13:")
    for _ in range(14):
        plot.press("ArrowUp")
    page.wait_for_selector("text=Row 1, column 13: 0 objects")
    plot.press("Enter")
    page.wait_for_selector("text=/^0 of 40 samples/")
    plot.press("Enter")
    page.wait_for_selector("text=/^40 of 40 samples/")


@pytest.mark.slow
def test_two_networks_side_by_side(open_page, world, world_dataset, world_run, other_run):
    page = look_at(open_page, world_dataset)
    unfold(page, "Scores and networks")
    # Each text comes together with what is drawn anew: a click after it meets nothing that is about to go.
    for button, path, then in (
        ("Scores of A", world / "eval-a", "by mask IoU, smallest first"),
        ("Scores of B", world / "eval-b", "by mask IoU, A minus B, largest first"),
        ("Choose network A", world_run, "A: run"),
        ("Choose network B", other_run, "B: run-other"),
    ):
        page.get_by_role("button", name=button).click()
        answer(page, path)
        page.wait_for_selector(f"text={then}")
        page.wait_for_selector(".qs-dialog", state="detached")
    first = page.locator(".qs-grid .qs-cell >> nth=0 >> .qs-caption")
    better = float(first.inner_text().split("·")[1])
    page.get_by_role("button", name="Where B wins").click()
    page.wait_for_selector("text=by mask IoU, A minus B, smallest first")
    assert float(first.inner_text().split("·")[1]) < better
    page.locator(".qs-cell").first.click()
    page.wait_for_selector("text=Blue: only A is right. Orange: only B is right")
    assert page.locator(".qs-beside img").count() == 4 + 3  # masks and where they differ, and depths
    assert (
        page.get_by_text("Mask: A (run), IoU").count() == 1
        and page.get_by_text("Mask: B (run-other), IoU").count() == 1
    )
