import json
import re

import numpy as np
import pytest
import torch
import yaml

from qumade.errors import QumadeError
from qumade.io.pictures import content_hash
from qumade.training.config import TrainConfig, load_config
from qumade.training.data_setup import open_setup
from qumade.training.fine_tuning import RATE_SHARE, read_earlier_run
from qumade.training.loop import train
from qumade.training.run_folder import RunFolder, load_network
from qumade.training.start import default_rate
from qumade.training.trainer import new_trainer

QUIET = {"threads": 1, "workers": 0, "progress": False}
SHORT = {"batch_size": 4, "steps": 2, "val_limit": 2}


@pytest.fixture(scope="module")
def data(tmp_path_factory, toy_dataset):
    return toy_dataset(tmp_path_factory.mktemp("data") / "toy")


@pytest.fixture(scope="module")
def run(tmp_path_factory, data):
    """A finished run at another size than the default, with another mean and range of depth."""
    config = TrainConfig(
        data=data, size=(64, 32), mean=(0.1, 0.2, 0.3), std=(0.4, 0.5, 0.6), inverse_depth_limits=(0.0, 2.0),
        pretrained="none", **SHORT,
    )  # fmt: skip
    return train(config, tmp_path_factory.mktemp("run") / "first", **QUIET)


def test_the_network_starts_from_the_weights_and_their_settings(run, data):
    setup = open_setup(TrainConfig(data=data, start_from=run, **SHORT), workers=0)
    config = setup.config
    assert (config.size, config.mean, config.inverse_depth_limits) == ((64, 32), (0.1, 0.2, 0.3), (0.0, 2.0))
    assert (config.pretrained, config.encoder_frozen) == ("none", 0)
    assert config.lr == pytest.approx(RATE_SHARE * default_rate(config, config.optimizer))
    assert any(f"Weights: those of {run} after its step" in note for note in setup.notes)
    network, expected = new_trainer(setup).network.state_dict(), load_network(run).state_dict()
    assert all(torch.equal(network[name], value) for name, value in expected.items())


def test_depth_beyond_the_range_of_the_earlier_run_is_said(run, toy_dataset, tmp_path):
    data = toy_dataset(tmp_path / "near", kind="metric")
    content = yaml.safe_load((data / "dataset.yaml").read_text())
    content["depth"]["range"] = [0.0, 6.0]
    (data / "dataset.yaml").write_text(yaml.safe_dump(content))
    setup = open_setup(TrainConfig(data=data, start_from=run, **SHORT), workers=0)
    assert setup.config.inverse_depth_limits == (0.0, 2.0)
    assert any("of the depth of near is nearer than the range of the network, which ends at inverse depth 2," in note
               for note in setup.notes)  # fmt: skip


def test_settings_can_be_changed(run, data):
    config = open_setup(TrainConfig(data=data, start_from=run, size=(32, 32), lr=0.5, **SHORT), workers=0).config
    assert (config.size, config.lr) == ((32, 32), 0.5)


def test_a_fine_tuned_run_records_its_start_and_resumes(run, data, tmp_path):
    encoder = RunFolder(run).encoder
    before = encoder.read_text()
    encoder.write_text('{"encoder": "slim_resnet18d", "pretrained": {"licence": "of the weights"}}')
    try:
        out = train(TrainConfig(data=data, start_from=run, seed=5, **SHORT), tmp_path / "second", **QUIET)
        assert (out / "encoder.json").read_bytes() == encoder.read_bytes()  # the licence is still that of the weights
    finally:
        encoder.write_text(before)
    note = json.loads((out / "start.json").read_text())
    assert note["run"] == str(run) and note["weights_sha256"] == content_hash(RunFolder(run).weights("best"))
    assert note["changed"]["seed"] == [0, 5] and "lr" in note["changed"] and "size" not in note["changed"]
    assert load_config(out / "config.yaml").start_from == run
    written = (out / "results.csv").read_bytes()
    train(TrainConfig(data=data, start_from=run, seed=5, **SHORT), out, **QUIET)
    assert (out / "results.csv").read_bytes() == written
    with pytest.raises(QumadeError, match="start_from"):
        train(TrainConfig(data=data, seed=5, **SHORT), out, **QUIET)


def test_no_state_is_taken_over(run, data):
    setup = open_setup(TrainConfig(data=data, start_from=run, **SHORT), workers=0)
    trainer = new_trainer(setup)
    assert not any(name.startswith("optimizer") and value.any() for name, value in trainer.state_dict().items())


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"model": "small"}, "Invalid model: got small for weights of .*; must be tiny"),
        ({"encoder": "resnet34d"}, "Invalid encoder: got resnet34d for weights of .*; must be slim_resnet18d"),
    ],
)
def test_another_network_is_refused(run, data, fields, message):
    with pytest.raises(QumadeError, match=message):
        read_earlier_run(TrainConfig(data=data, start_from=run, **fields))


def test_what_is_no_run_is_refused(data, tmp_path):
    with pytest.raises(QumadeError, match="must be the folder of a training that has finished an epoch"):
        read_earlier_run(TrainConfig(data=data, start_from=tmp_path))
    assert read_earlier_run(TrainConfig(data=data)) is None
    with pytest.raises(ValueError, match="which has all weights"):
        TrainConfig(data=data, start_from=tmp_path, pretrained="required")


def test_depth_of_another_kind_is_said(run, toy_dataset, tmp_path):
    metric = toy_dataset(tmp_path / "metric", kind="metric")
    notes = open_setup(TrainConfig(data=metric, start_from=run, **SHORT), workers=0).notes
    assert any("is metric" in note and "was scaled: it is learned anew" in note for note in notes)


def test_a_longer_run_is_refused_with_the_way_to_go_on(run, data):
    stored = load_config(RunFolder(run).config)
    longer = stored.model_copy(update={"steps": 4, "found": {}})
    with pytest.raises(QumadeError, match=f"steps 4 instead of 2.* cannot be made longer.*--from {run} --out OTHER"):
        train(longer, run, **QUIET)
    assert np.isfinite(load_network(run).state_dict()["encoder.conv1.0.weight"].numpy()).all()


def test_other_classes_are_refused(two_class_run, run, data):
    recipe = load_config(two_class_run / "config.yaml").data
    got = rf"got {re.escape(str(two_class_run))} with classes car, person, for toy with one class; must have the same"
    with pytest.raises(QumadeError, match=f"Invalid start_from: {got}"):
        open_setup(TrainConfig(data=data, start_from=two_class_run, **SHORT), workers=0)
    with pytest.raises(QumadeError, match="with one class, for recipe with classes car, person"):
        open_setup(TrainConfig(data=recipe, start_from=run, **SHORT), workers=0)
    setup = open_setup(TrainConfig(data=recipe, start_from=two_class_run, **SHORT), workers=0)
    assert setup.network_config().classes == ("car", "person")
