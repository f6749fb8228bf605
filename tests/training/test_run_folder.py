import json

import pytest
import torch

from qumade.errors import QumadeError
from qumade.models.config import NetworkConfig
from qumade.models.network import build_network
from qumade.training.run_folder import (
    RunFolder,
    environment,
    load_network,
    read_network_config,
    read_results,
    write_results,
    write_weights,
)

CONFIG = NetworkConfig(size=(64, 32), depth_kind="scaled", inverse_depth_limits=(0.0, 1.5))


@pytest.fixture
def run(tmp_path):
    torch.manual_seed(0)
    folder = RunFolder(tmp_path / "run")
    write_weights(folder, "best", build_network(CONFIG), CONFIG, {"step": 3, "metrics": {"val_iou": None}})
    return folder


def test_the_network_comes_back_and_nothing_is_downloaded(run, monkeypatch):
    monkeypatch.setattr("socket.socket.connect", lambda *_: pytest.fail("a download"))
    torch.manual_seed(0)
    expected = build_network(CONFIG).eval()
    image = torch.rand(1, 3, 32, 64)
    network = load_network(run.root)
    assert network.config == CONFIG == read_network_config(run.root) and not network.training
    for one, other in zip(network(image), expected(image), strict=True):
        assert torch.equal(one, other)


def test_a_folder_without_weights_is_refused(tmp_path, run):
    with pytest.raises(QumadeError, match=r"got no file .*/nothing/weights/best.json"):
        load_network(tmp_path / "nothing")
    with pytest.raises(QumadeError, match=r"weights/last.json"):
        load_network(run.root, "last")


@pytest.mark.parametrize(
    ("text", "message"),
    [("{", "is not JSON"), ("[1]", "another format"), ('{"format": "x"}', "another format"),
     ('{"format": "qumade-weights/1", "network": {"model": "vast"}}',
      "Invalid network.model: got 'vast' in .*; must be 'tiny'"),
     ('{"format": "qumade-weights/1"}', "Invalid network")],
)  # fmt: skip
def test_damaged_notes_are_refused_by_name(run, text, message):
    path = run.weights("best").with_suffix(".json")
    path.write_text(text)
    with pytest.raises(QumadeError, match=message) as error:
        load_network(run.root)
    assert str(path) in str(error.value)


def test_a_note_of_other_weights_is_refused(run):
    path = run.weights("best").with_suffix(".json")
    content = json.loads(path.read_text())
    content["epoch"] = 99
    path.write_text(json.dumps(content))
    with pytest.raises(QumadeError, match=r"best.json does not describe .*best.safetensors"):
        load_network(run.root)


def test_weights_of_another_network_are_refused(run):
    path = run.weights("best").with_suffix(".json")
    content = json.loads(path.read_text())
    content["network"]["model"] = "small"
    path.write_text(json.dumps(content))
    with pytest.raises(QumadeError, match=r"those of another network in .*best.safetensors; .*small: train a network"):
        load_network(run.root)


def test_results_come_back(tmp_path):
    rows = [{"epoch": 1, "loss": 0.1 + 0.2, "val_iou": None}, {"epoch": 2, "loss": 1e-9, "val_iou": 0.5}]
    write_results(tmp_path / "results.csv", rows)
    assert read_results(tmp_path / "results.csv") == rows


def test_the_environment_is_plain_json():
    content = json.loads(json.dumps(environment(torch.device("cpu"), threads=2)))
    assert content["threads"] == 2 and content["versions"]["qumade"] and content["gpu"] is None
