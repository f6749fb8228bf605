import pytest

from qumade.studio.run_panel import _free, curves_of


def test_curves_come_from_the_table_of_a_run(tmp_path):
    assert curves_of(tmp_path) == {}
    (tmp_path / "results.csv").write_text("epoch,step,loss,val_iou\n1,10,0.5,\n2,20,0.4,0.7\n")
    assert curves_of(tmp_path) == {"loss": [(10, 0.5), (20, 0.4)], "val_iou": [(20, 0.7)]}
    (tmp_path / "results.csv").write_text("epoch,step,loss\n1,ten,x\n")
    assert curves_of(tmp_path) == {}


def test_outputs_get_names_that_are_free(tmp_path):
    assert _free(tmp_path / "run") == tmp_path / "run"
    assert _free(tmp_path / "run", after=tmp_path / "run") == tmp_path / "run-2"
    (tmp_path / "run").mkdir()
    (tmp_path / "run-2").mkdir()
    assert _free(tmp_path / "run") == tmp_path / "run-3"


@pytest.mark.slow
def test_a_job_is_queued_stopped_continued_and_survives_a_reload(open_page, world):
    page = open_page("run")
    part = page.locator('input[data-part="generate.samples"]')
    part.wait_for()
    part.fill("many")
    page.get_by_role("button", name="Add to the queue").first.click()
    page.wait_for_selector("text=Invalid samples: got 'many'")
    folder = page.locator('input[data-part="generate.out"]')
    own = folder.input_value()
    folder.fill("/tmp/elsewhere")
    part.fill("60")
    page.get_by_role("button", name="Add to the queue").first.click()
    page.wait_for_selector("text=Invalid path: got /tmp/elsewhere")
    folder.fill(own)
    page.get_by_role("button", name="Add to the queue").first.click()
    page.wait_for_selector("[data-job='1'] >> text=running")
    page.locator("[data-job='1']").get_by_role("button", name="Stop").click()
    page.wait_for_selector("[data-job='1'] >> text=stopped", timeout=120_000)
    page.reload()
    page.wait_for_selector("[data-job='1'] >> text=stopped")
    page.locator("[data-job='1']").get_by_role("button", name="Go on").click()
    page.wait_for_selector("[data-job='1'] >> text=done", timeout=300_000)
    page.locator("[data-job='1']").get_by_role("button", name="Show").click()
    page.wait_for_selector("text=60 samples in")
    assert len(list((world / "studio" / "dataset" / "images").iterdir())) == 60
