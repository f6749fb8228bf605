import json

import pytest

from qumade.data.folder import FolderDataset
from qumade.evaluation.cards import dataset_card, run_card, training_note
from qumade.models.config import NetworkConfig
from qumade.training.config import ExtraDataset, TrainConfig, save_config


def texts(card):
    return dict(card.rows)


MADE = {
    "depth": {"kind": "scaled", "source": "prior", "code": "inverse", "bits": 8, "range": [0.0, 1.5]},
    "folders": {name: {"suffix": ".png", "format": "png"} for name in ("images", "masks", "depth")},
    "package": {"qumade": "1.2"},
    "recipe": {"placement": "random", "objects": [1, 1], "layout": None, "seed": 3},
    "assets": {"backgrounds": [{"name": "a"}] * 7, "foregrounds": [{"name": "b"}] * 3},
}


def test_the_card_of_a_generated_dataset_says_how_it_was_made(make_dataset):
    root = make_dataset(meta=MADE)
    rows = texts(dataset_card(FolderDataset(root), root))
    assert rows["How it was made"] == "composites of 7 backgrounds and 3 cut-outs, composed by qumade 1.2"
    assert rows["Recipe"] == "placement random, objects [1, 1], seed 3" and rows["Samples"] == "5, 12x9 px"
    assert "a prior from the horizon" in rows["Depth"] and rows["Labels"] == "masks, depth"
    assert str(root) in rows["Dataset"]


def test_the_card_of_an_imported_dataset_names_it(make_dataset):
    root = make_dataset(folders=("images", "masks"), meta={"import": {"dataset": "camvid"}})
    rows = texts(dataset_card(FolderDataset(root), root))
    assert rows["How it was made"] == "imported: camvid" and "Depth" not in rows


def test_a_dataset_without_description_is_not_guessed_at(make_samples):
    rows = texts(dataset_card(make_samples(3), None))
    assert rows["How it was made"] == "not stated: there is no dataset.yaml" and rows["Splits"] == "none"
    assert rows["Samples"] == "3, 40x32 px, the first" and rows["Depth"].startswith("metric")


@pytest.fixture
def run(tmp_path):
    """A run folder of 34 steps, without weights, which the card does not need."""
    data, more = tmp_path / "data", ExtraDataset(data=tmp_path / "more", share=0.1)
    config = TrainConfig(data=data, extra_datasets=(more,), steps=34, pretrained="required", lr=0.02)
    folder = tmp_path / "run"
    folder.mkdir()
    save_config(config, folder / "config.yaml")
    weights = {"source": "a package", "sha256": "0" * 64, "licence": "Apache-2.0"}
    (folder / "encoder.json").write_text(json.dumps({"encoder": "lite", "pretrained": weights}))
    (folder / "results.csv").write_text("step,loss,score,best,seconds\n17,2.0,0.5,1,30\n34,1.0,0.4,0,60\n")
    started = {"started": "2026-01-02T03:04:05+00:00", "device": "cpu", "cpu": "a chip", "gpu": None, "threads": 2}
    (folder / "environment.json").write_text(json.dumps({"starts": [started | {"versions": {"qumade": "1"}}]}))
    return folder


def test_the_card_of_a_run_has_settings_licence_date_and_curves(run):
    card = run_card(NetworkConfig(depth_kind="scaled", depth_sources=("prior",)), run)
    rows = texts(card)
    assert "learned from a prior" in rows["Its depth"] and "licence: Apache-2.0" in rows["Pretrained weights"]
    assert rows["Trained on"] == f"{run.parent / 'data'} and {run.parent / 'more'} (10 % of every batch)"
    assert rows["Trained"] == "2026-01-02 on cpu (a chip, threads: 2)" and "steps 34" in rows["Settings"]
    assert rows["Length"] == "34 steps in 1.0 minutes, best weights after step 17" and len(card.plots) == 1


def test_too_few_steps_are_noted(run):
    assert training_note(run).startswith("Undertrained: 34 steps")
    (run / "results.csv").write_text("step,loss,score,seconds\n300,1.0,0.4,60\n")
    assert training_note(run) == training_note(None) == training_note(run / "model.onnx") == ""


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b'{"starts": [3]}', b'{"pretrained": 3}', b"\xff", b"[" * 9999])
def test_damaged_notes_leave_their_rows_out(run, content):
    for name in ("encoder.json", "environment.json", "start.json", "adapted.json", "results.csv", "config.yaml"):
        (run / name).write_bytes(content)
    rows = texts(run_card(NetworkConfig(), run))
    assert rows["Network"] and not rows.keys() & {"Fine-tuned from", "Trained", "Settings", "Length"}
    assert training_note(run) == ""


def test_the_history_of_a_run_is_told(run):
    (run / "start.json").write_text(json.dumps({"run": "/earlier", "step": 400}))
    (run / "adapted.json").write_text(json.dumps({"photos": "yard", "alpha": 0.3, "agreement": {}}))
    rows = texts(run_card(NetworkConfig(), run))
    assert rows["Fine-tuned from"] == "/earlier, its step 400" and rows["Adapted"] == "photos yard, alpha 0.3"


def test_an_exported_network_has_no_history(tmp_path):
    card = run_card(NetworkConfig(), tmp_path / "model.onnx")
    assert "not known" in texts(card)["Training"] and card.plots == ()


def test_the_best_weights_are_those_of_the_last_row_that_is_marked(run):
    (run / "results.csv").write_text("step,score,best,seconds\n10,,1,1\n20,,1,2\n30,,1,3\n40,0.9,0,4\n")
    assert texts(run_card(NetworkConfig(), run))["Length"] == "40 steps in 4 seconds, best weights after step 30"
    (run / "results.csv").write_text("step,score,seconds\n10,0.9,1\n20,0.1,2\n")
    assert texts(run_card(NetworkConfig(), run))["Length"] == "20 steps in 2 seconds"
    (run / "weights").mkdir()
    (run / "weights" / "best.json").write_text(json.dumps({"step": 20}))
    assert texts(run_card(NetworkConfig(), run))["Length"] == "20 steps in 2 seconds, best weights after step 20"


def test_an_adapted_run_is_as_long_as_its_training_was(run):
    (run / "results.csv").unlink()
    (run / "weights").mkdir()
    note = {"step": 17, "before_adapting": {"metrics": {}, "steps": 34, "seconds": 60.0}}
    (run / "weights" / "best.json").write_text(json.dumps(note))
    assert training_note(run).startswith("Undertrained: 34 steps")
    assert texts(run_card(NetworkConfig(), run))["Length"] == "34 steps in 1.0 minutes, best weights after step 17"
    for damaged in (
        {"before_adapting": 3},
        {"before_adapting": {"steps": "many"}},
        {"before_adapting": {"steps": None}},
    ):
        (run / "weights" / "best.json").write_text(json.dumps(damaged))
        assert training_note(run) == "" and "Length" not in texts(run_card(NetworkConfig(), run))
