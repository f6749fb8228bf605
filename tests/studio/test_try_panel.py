import pytest
import torch

from fixtures.studio_page import answer
from qumade.assets.classes import cutout_names
from qumade.training.run_folder import RunFolder, load_network, write_weights

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


@pytest.fixture(scope="module")
def sure_run(world, world_run):
    """A network that takes every pixel for the object, in run-sure/."""
    network, folder = load_network(world_run), RunFolder(world / "run-sure")
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
        for name, parameter in network.named_parameters():
            if name.endswith("bias"):
                parameter.fill_(3.0)
    write_weights(folder, "best", network, network.config, {"step": 1, "epoch": 1, "metrics": {}})
    folder.config.write_text("data: ../dataset\n")
    return folder.root


def test_a_cut_out_goes_into_the_class_that_is_chosen(open_page, world, world_classes, sure_run, classes_address):
    cutouts = world_classes.parent / "cutouts"
    before = cutout_names(cutouts)
    page = open_page("try", at=classes_address)
    page.get_by_role("button", name="Network:").click()
    answer(page, sure_run)
    page.wait_for_selector("text=Network: run-sure")
    photo = sorted((world / "samples" / "backgrounds").iterdir())[0]
    page.set_input_files("input[type=file]", str(photo))
    for word in (None, "van", "lorry", "no/class"):
        page.get_by_role("button", name="Add to the foregrounds").click()
        page.get_by_label("Class", exact=True).fill(word or "van")
        page.get_by_role("button", name="Cancel" if word is None else "OK").click()
        page.wait_for_selector(".qs-dialog", state="detached")
        if word is not None:
            page.wait_for_selector("text=Invalid class: got 'no/class'" if "/" in word else f"text=/Added .*{word}/")
    names = {f"{word}/{photo.stem}_cutout.png" for word in ("van", "lorry")}
    assert set(cutout_names(cutouts)) == {*before, *names}
    for name in names:
        (cutouts / name).unlink()
    (cutouts / "lorry").rmdir()
