import json
import shutil
from pathlib import Path

import pytest
import torch

from fixtures.studio_page import unfold
from qumade.models.config import NetworkConfig
from qumade.models.network import build_network
from qumade.studio.commands import COMMANDS
from qumade.studio.run_panel import _free, curves_of
from qumade.training.run_folder import RunFolder, load_network, write_weights


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


@pytest.fixture(scope="module")
def two_runs(world):
    """Two networks that were not trained, as finished runs in first/ and second/."""
    config = NetworkConfig(depth_kind="metric", size=(64, 64))
    runs = [RunFolder(world / name) for name in ("first", "second")]
    for seed, run in enumerate(runs):
        torch.manual_seed(seed)
        network = build_network(config)
        for which in ("best", "last"):
            write_weights(run, which, network, config, {"step": 1, "epoch": 1, "metrics": {}})
        run.config.write_text("data: ../dataset\n")
    return [run.root for run in runs]


@pytest.mark.slow
def test_networks_are_compared_and_adapted(open_page, world, world_dataset, two_runs):
    page = open_page("run")
    typed = {
        "compare": {"run A": two_runs[0], "run B": two_runs[1], "dataset": world_dataset, "samples": 4},
        "adapt": {"run": two_runs[0]},  # the photos are those of the recipe already
    }
    outs = {}
    for verb, values in typed.items():
        unfold(page, COMMANDS[verb].title)
        form = page.locator(".qs-section", has_text=COMMANDS[verb].title)
        for part, value in values.items():
            page.locator(f'input[data-part="{verb}.{part}"]').fill(str(value))
        outs[verb] = Path(page.locator(f'input[data-part="{verb}.out"]').input_value())
        form.get_by_role("button", name="Add to the queue").click()
        page.locator("[data-job]", has_text=f"{verb} →").wait_for()
    for verb, out in outs.items():
        job = page.locator("[data-job]", has_text=f"{verb} →")
        job.get_by_text("done", exact=True).wait_for(timeout=300_000)
        assert out.parent == world / "studio" and any(out.iterdir())
    photos = len(list((world / "samples" / "backgrounds").iterdir()))
    assert json.loads(RunFolder(outs["adapt"]).adapted.read_text())["count"] == photos
    load_network(outs["adapt"])
    page.locator("[data-job]", has_text="compare →").get_by_role("button", name="Show").click()
    page.wait_for_selector(".qs-log >> text=comparison.html")
    last = page.locator("[data-job]").first.get_attribute("data-job")
    shutil.rmtree(world / "studio" / "jobs" / f"{int(last):06d}")
    page.locator(f"[data-job='{last}']").wait_for(state="detached")
    assert page.locator("[data-job]", has_text="compare →").is_visible()
