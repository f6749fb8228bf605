from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from qumade.errors import QumadeError
from qumade.training.config import TrainConfig
from qumade.training.data_setup import open_setup
from qumade.training.gradient import MicroBatches, WholeBatch
from qumade.training.optimizers import Muon
from qumade.training.trainer import Trainer, new_trainer

CPU = torch.device("cpu")


def test_a_step_uses_the_given_rate(make_trainer, make_batches):
    trainer, (batch,) = make_trainer(), make_batches(1)
    before = [parameter.detach().clone() for parameter in trainer.network.parameters()]
    trainer.step(batch, 0.0)
    assert all(torch.equal(a, b) for a, b in zip(before, trainer.network.parameters(), strict=True))
    trainer.step(batch, 0.1)
    assert not any(torch.equal(a, b) for a, b in zip(before, trainer.network.parameters(), strict=True))


def test_the_gradient_is_clipped_and_its_norm_before_that_returned(make_trainer, make_batches):
    trainer, (batch,) = make_trainer(clip=1e-3), make_batches(1)
    norm = float(trainer.step(batch, 0.1)["gradient"])
    gradients = [parameter.grad for group in trainer.optimizer.param_groups for parameter in group["params"]]
    assert norm > 0.01
    assert float(torch.nn.utils.get_total_norm(gradients)) == pytest.approx(1e-3, rel=1e-3)


def test_l1_pulls_weights_towards_zero(make_trainer, make_batches):
    sums = []
    for l1 in (0.0, 0.1):
        trainer = make_trainer(l1=l1)
        for batch in make_batches(20):
            losses = trainer.step(batch, 0.01)
        sums.append(sum(float(p.detach().abs().sum()) for p in trainer.network.parameters() if p.ndim > 1))
        assert "loss" in losses
    assert sums[1] < 0.7 * sums[0]


def test_bf16_learns_the_same_to_its_precision(make_trainer, make_batches):
    losses = [float(make_trainer(bf16=bf16).step(make_batches(1)[0], 0.0)["loss"]) for bf16 in (False, True)]
    assert losses[0] != losses[1] and losses[0] == pytest.approx(losses[1], rel=0.02)


def _advance(trainer, batches):
    for batch in batches:
        trainer.step(batch, 0.01)


def test_resuming_from_a_state_is_the_same_to_the_bit(make_trainer, make_batches):
    one, other = make_trainer(), make_trainer(seed=9)
    batches = make_batches(6)
    _advance(one, batches[:3])
    taken = one.state_dict()
    _advance(one, batches[3:])
    other.load_state_dict(taken)
    _advance(other, batches[3:])
    expected, got = one.state_dict(), other.state_dict()
    assert expected.keys() == got.keys()
    assert any(name.startswith("optimizer.") and name.endswith("exp_avg_sq") for name in got)
    assert "objective.log_variances" in got and "average.body.1.running_mean" in got
    for name in expected:
        assert torch.equal(expected[name], got[name]), name


def test_moments_are_laid_out_like_their_parameters(make_trainer, make_batches):
    one, other = make_trainer(), make_trainer(seed=9)
    for trainer in (one, other):
        trainer.network.to(memory_format=torch.channels_last)
    batches = make_batches(4)
    _advance(one, batches[:2])
    other.load_state_dict(one.state_dict())
    weight = other.network.body[0].weight
    assert other.optimizer.state[weight]["exp_avg"].stride() == weight.stride() != weight.contiguous().stride()
    for trainer in (one, other):
        torch.manual_seed(0)
        _advance(trainer, batches[2:])
    assert torch.equal(one.network.body[0].weight, weight)


def test_the_state_is_a_copy(make_trainer, make_batches):
    trainer = make_trainer()
    taken = trainer.state_dict()
    before = {name: value.clone() for name, value in taken.items()}
    _advance(trainer, make_batches(1))
    assert all(torch.equal(taken[name], before[name]) for name in before)


def test_loading_a_state_without_steps_clears_the_optimizer(make_trainer, make_batches):
    trainer = make_trainer()
    taken = trainer.state_dict()
    _advance(trainer, make_batches(2))
    trainer.load_state_dict(taken)
    assert not trainer.optimizer.state
    assert trainer.state_dict().keys() == taken.keys()


@pytest.mark.parametrize("part", ["network", "average"])
def test_another_network_s_state_is_refused(make_trainer, part):
    taken = make_trainer().state_dict()
    other = replace(make_trainer(), **{part: nn.Conv2d(3, 2, 1)})
    with pytest.raises(QumadeError, match=f"got another {part} in FILE"):
        other.load_state_dict(taken, "FILE")


def test_another_optimizer_s_state_is_refused(make_trainer, make_batches):
    trainer = make_trainer()
    _advance(trainer, make_batches(1))
    taken = trainer.state_dict()
    taken["optimizer.0.exp_avg"] = torch.zeros(1, 2, 3)
    with pytest.raises(QumadeError, match="got another optimizer in FILE"):
        trainer.load_state_dict(taken, "FILE")


@pytest.fixture(scope="module")
def config(tmp_path_factory, toy_dataset):
    data = toy_dataset(tmp_path_factory.mktemp("data") / "toy")
    return TrainConfig(data=data, size=(32, 32), batch_size=4, steps=8, val_limit=5)


def trainer_of(config, processes=1):
    return new_trainer(open_setup(config, _accelerator(processes), workers=0))


def _accelerator(processes):
    return SimpleNamespace(
        device=CPU,
        num_processes=processes,
        process_index=0,
        prepare_model=lambda network: network,
        reduce=lambda tensor, reduction: tensor,
    )


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_the_seed_decides_the_weights(config):
    weights = trainer_of(config).network.state_dict()
    torch.rand(3)  # earlier random numbers do not
    assert same(weights, trainer_of(config).network.state_dict())
    assert not same(weights, trainer_of(config.model_copy(update={"seed": 1})).network.state_dict())


def test_the_average_starts_as_a_copy_of_the_network(config):
    trainer = trainer_of(config)
    network, average = trainer.network, trainer.average
    assert same(network.state_dict(), average.state_dict())
    assert not {p.data_ptr() for p in network.parameters()} & {p.data_ptr() for p in average.parameters()}


def test_settings_reach_the_trainer(config):
    update = {"clip": None, "l1": 1e-6, "weight_decay": 0.125, "mask_loss": "ms_ssim_l1", "task_weights": "uncertainty"}
    trainer = trainer_of(config.model_copy(update=update))
    assert isinstance(trainer, Trainer) and (trainer.clip, trainer.l1) == (None, 1e-6)
    assert {group["weight_decay"] for group in trainer.optimizer.param_groups} == {0.125, 0.0}
    assert trainer.objective.mask == "ms_ssim_l1"
    assert len(list(trainer.objective.parameters())) > 0


@pytest.mark.parametrize(
    ("given", "units", "found"),
    [("auto", False, "fp32"), ("auto", True, "bf16"), ("fp32", True, "fp32"), ("bf16", False, "bf16")],
)
def test_a_step_computes_in_the_precision_of_the_config(config, monkeypatch, given, units, found):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"amx_bf16": units})
    setup = open_setup(config.model_copy(update={"precision": given}), _accelerator(1), workers=0)
    assert setup.config.precision == found
    batch = next(iter(setup.batches(0, 1)))
    trainers = [new_trainer(setup), *(trainer_of(config.model_copy(update={"precision": p})) for p in ("fp32", "bf16"))]
    loss, full, half = (trainer.step(batch, 0.0)["loss"] for trainer in trainers)
    assert full != half and loss == (full if found == "fp32" else half)


@pytest.mark.parametrize(
    ("optimizer", "lr", "found"),
    [(None, None, ("muon", 0.024)), ("adamw", None, ("adamw", 0.008)), ("adamw", 0.5, ("adamw", 0.5))],
)
def test_the_optimizer_and_its_rate_are_found(config, optimizer, lr, found):
    setup = open_setup(config.model_copy(update={"optimizer": optimizer, "lr": lr}))
    assert (setup.config.optimizer, setup.config.lr) == found
    assert isinstance(new_trainer(setup).optimizer, Muon) == (found[0] == "muon")


@pytest.mark.parametrize(("processes", "given", "found"), [(1, None, 4), (1, 3, 3), (2, None, 2), (2, 2, 2)])
def test_micro_batches_are_found(config, processes, given, found):
    setup = open_setup(config.model_copy(update={"micro_batch": given}), _accelerator(processes))
    assert setup.config.micro_batch == found
    assert isinstance(new_trainer(setup).gradient, MicroBatches if processes == 1 else WholeBatch)


def test_micro_batches_of_several_processes_are_their_shares(config):
    with pytest.raises(QumadeError, match="micro_batch: got 3; must be 2, a process's share, with 2 processes"):
        trainer_of(config.model_copy(update={"micro_batch": 3}), 2)


ALONE = "must leave at least 2 in each part"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "batch_size", "micro_batch", "size", "processes", "parts"),
    [
        ("tiny", 1, None, (32, 32), 1, 1),
        ("tiny", 4, 1, (32, 32), 1, 1),
        ("tiny", 3, 2, (32, 32), 1, 2),
        ("tiny", 2, None, (32, 32), 2, 1),
        ("tiny", 2, None, (32, 32), 1, None),
        ("tiny", 5, 3, (32, 32), 1, None),
        ("tiny", 4, None, (32, 32), 2, None),
        ("tiny", 1, None, (64, 32), 1, None),
        ("base", 1, None, (32, 32), 1, None),  # its encoder normalises over channels
    ],
)
def test_a_sample_that_is_normalised_alone_has_more_than_a_pixel(
    config, model, batch_size, micro_batch, size, processes, parts
):
    update = {"model": model, "batch_size": batch_size, "micro_batch": micro_batch, "size": size}
    if parts:
        with pytest.raises(QumadeError, match=f"got {batch_size} in parts of {parts} at size 32x32.*{ALONE}"):
            trainer_of(config.model_copy(update=update), processes)
    else:
        setup = open_setup(config.model_copy(update=update), _accelerator(processes), workers=0)
        trainer = new_trainer(setup)
        if processes == 1:
            assert trainer.step(next(iter(setup.batches(0, 1))), 0.0)["loss"].isfinite()


def test_a_pretrained_encoder_has_its_own_rate_and_frozen_levels(config, pretrained_package):
    fields = {"encoder_lr": 0.25, "encoder_frozen": 2, "weight_decay": 0.0, "optimizer": "adamw"}
    setup = open_setup(config.model_copy(update=fields), workers=0)
    trainer = new_trainer(setup)
    before = {name: value.clone() for name, value in trainer.network.named_parameters()}
    trainer.step(next(iter(setup.batches(0, 1))), 1e-3)
    moved = {name: (p - before[name]).abs().max().item() for name, p in trainer.network.named_parameters()}
    frozen = ("encoder.conv_stem", "encoder.bn1", "encoder.blocks.0.", "encoder.blocks.1.")
    assert all(moved[name] == 0 for name in moved if name.startswith(frozen))
    # Adam's first step moves every weight by the learning rate, whatever its gradient.
    rest = {name: value for name, value in moved.items() if name.startswith("encoder.") and not name.startswith(frozen)}
    assert min(rest.values()) > 0 and max(rest.values()) == pytest.approx(2.5e-4, rel=0.02)
    assert max(moved.values()) == pytest.approx(1e-3, rel=0.02)


@pytest.mark.parametrize(("processes", "fits"), [(1, True), (2, True), (3, False), (8, False)])
def test_a_batch_is_shared_evenly(config, processes, fits):
    if fits:
        trainer_of(config, processes)
    else:
        with pytest.raises(QumadeError, match=f"batch_size: got 4; must be a multiple of {processes} processes"):
            trainer_of(config, processes)
