from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from accelerate.state import AcceleratorState

from qumade.data.loader import to_batch
from qumade.errors import QumadeError
from qumade.models.config import NetworkConfig
from qumade.models.network import build_network
from qumade.train import training as module
from qumade.train.config import TrainConfig
from qumade.train.gradient import MicroBatches, WholeBatch
from qumade.train.learning_rate import find_learning_rate
from qumade.train.optimizers import Muon
from qumade.train.state import Learner, snapshot
from qumade.train.step import Stepper
from qumade.train.training import default_workers, new_accelerator, new_training
from qumade.train.validation import Scores, validation_sums

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def config(tmp_path_factory, toy_dataset):
    data = toy_dataset(tmp_path_factory.mktemp("data") / "toy")
    return TrainConfig(data=data, size=(32, 32), batch_size=4, steps=8, val_limit=5)


@pytest.fixture
def training(config):
    return new_training(config, workers=0)


def of_process(training, rank, count, reduce=lambda sums: sums):
    """The same training as process number `rank` of several has it."""
    fields = {"device": CPU, "process_index": rank, "num_processes": count, "reduce": reduce}
    return replace(training, accelerator=SimpleNamespace(**fields))


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_the_seed_decides_the_weights(config, training):
    weights = training.learner.network.state_dict()
    torch.rand(3)  # what was drawn before does not
    assert same(weights, new_training(config).learner.network.state_dict())
    assert not same(weights, new_training(config.model_copy(update={"seed": 1})).learner.network.state_dict())


def test_the_average_begins_as_the_network_and_is_another(training):
    network, average = training.learner.network, training.average
    assert same(network.state_dict(), average.state_dict())
    assert not {p.data_ptr() for p in network.parameters()} & {p.data_ptr() for p in average.parameters()}


def test_a_learner_without_average_cannot_be_trained(training):
    learner = training.learner
    bare = Learner(learner.network, learner.objective, learner.optimizer)
    with pytest.raises(QumadeError, match="got no averaged weights"):
        _ = replace(training, stepper=replace(training.stepper, learner=bare)).average


def test_settings_reach_the_step(config):
    update = {"clip": None, "l1": 1e-6, "weight_decay": 0.125, "mask_loss": "ms_ssim_l1", "task_weights": "uncertainty"}
    stepper = new_training(config.model_copy(update=update)).stepper
    assert isinstance(stepper, Stepper) and (stepper.clip, stepper.l1) == (None, 1e-6)
    assert {group["weight_decay"] for group in stepper.learner.optimizer.param_groups} == {0.125, 0.0}
    assert stepper.learner.objective.mask == "ms_ssim_l1"
    assert len(list(stepper.learner.objective.parameters())) > 0


@pytest.mark.parametrize(
    ("given", "units", "found"),
    [("auto", False, "fp32"), ("auto", True, "bf16"), ("fp32", True, "fp32"), ("bf16", False, "bf16")],
)
def test_precision_on_a_cpu(config, monkeypatch, given, units, found):
    monkeypatch.setattr(module, "new_accelerator", lambda: _accelerator(1))
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"amx_bf16": units})
    training = new_training(config.model_copy(update={"precision": given}))
    assert training.setup.config.precision == found
    losses = [new_training(config.model_copy(update={"precision": p})).stepper for p in ("fp32", "bf16")]
    batch = next(iter(training.batches(0, 1)))
    loss, full, half = (stepper(batch, 0.0)["loss"] for stepper in (training.stepper, *losses))
    assert full != half and loss == (full if found == "fp32" else half)


@pytest.mark.parametrize(
    ("optimizer", "lr", "found"),
    [(None, None, ("muon", 0.024)), ("adamw", None, ("adamw", 0.008)), ("adamw", 0.5, ("adamw", 0.5))],
)
def test_the_optimizer_and_its_rate_are_found(config, optimizer, lr, found):
    training = new_training(config.model_copy(update={"optimizer": optimizer, "lr": lr}))
    assert (training.setup.config.optimizer, training.setup.config.lr) == found
    assert isinstance(training.learner.optimizer, Muon) == (found[0] == "muon")


@pytest.mark.parametrize(("processes", "given", "found"), [(1, None, 4), (1, 3, 3), (2, None, 2), (2, 2, 2)])
def test_micro_batches_are_found(config, monkeypatch, processes, given, found):
    monkeypatch.setattr(module, "new_accelerator", lambda: _accelerator(processes))
    training = new_training(config.model_copy(update={"micro_batch": given}))
    assert training.setup.config.micro_batch == found
    assert isinstance(training.stepper.gradient, MicroBatches if processes == 1 else WholeBatch)


@pytest.mark.parametrize(("given", "found"), [(None, 4), (3, None)])
def test_a_gpu_takes_the_batch_at_once_or_in_the_micro_batches_of_a_config(config, given, found):
    gpu = SimpleNamespace(device=torch.device("cuda"), num_processes=1)
    settings = config.model_copy(update={"micro_batch": given, "precision": "fp32"})
    assert module._found(settings, gpu).get("micro_batch") == found


def test_micro_batches_of_several_processes_are_their_shares(config, monkeypatch):
    monkeypatch.setattr(module, "new_accelerator", lambda: _accelerator(2))
    with pytest.raises(QumadeError, match="micro_batch: got 3; must be 2, a process's share, with 2 processes"):
        new_training(config.model_copy(update={"micro_batch": 3}))


def _accelerator(processes):
    return SimpleNamespace(
        device=CPU,
        num_processes=processes,
        process_index=0,
        prepare_model=lambda network: network,
        reduce=lambda tensor, reduction: tensor,
    )


ALONE = "must leave at least 2 in each part"


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
    config, monkeypatch, model, batch_size, micro_batch, size, processes, parts
):
    monkeypatch.setattr(module, "new_accelerator", lambda: _accelerator(processes))
    update = {"model": model, "batch_size": batch_size, "micro_batch": micro_batch, "size": size}
    if parts:
        with pytest.raises(QumadeError, match=f"got {batch_size} in parts of {parts} at size 32x32.*{ALONE}"):
            new_training(config.model_copy(update=update))
    else:
        training = new_training(config.model_copy(update=update))
        if processes == 1:
            assert training.stepper(next(iter(training.batches(0, 1))), 0.0)["loss"].isfinite()


@pytest.mark.parametrize(("pretrained", "resumed"), [(False, False), (True, False), (True, True)])
def test_weights_are_fetched_for_a_beginning_only(config, monkeypatch, pretrained, resumed):
    asked = []

    def build(network: NetworkConfig, *, pretrained: bool):
        asked.append(pretrained)
        return build_network(network)

    monkeypatch.setattr(module, "build_network", build)
    new_training(config.model_copy(update={"pretrained": pretrained}), resumed=resumed)
    assert asked == [pretrained and not resumed]


@pytest.mark.parametrize(("processes", "fits"), [(1, True), (2, True), (3, False), (8, False)])
def test_a_batch_is_shared_out_evenly(config, monkeypatch, processes, fits):
    monkeypatch.setattr(module, "new_accelerator", lambda: _accelerator(processes))
    if fits:
        new_training(config)
    else:
        with pytest.raises(QumadeError, match=f"batch_size: got 4; must be a multiple of {processes} processes"):
            new_training(config)


def test_data_that_is_not_there_is_refused(config, tmp_path):
    with pytest.raises(QumadeError, match=f"got nothing at {tmp_path / 'gone'}"):
        new_training(config.model_copy(update={"data": tmp_path / "gone"}))


def test_processes_have_the_parts_of_one_batch(training):
    (_, whole, _) = training.batches(0, 3)
    parts = [next(iter(of_process(training, rank, 2).batches(1, 2))) for rank in (0, 1)]
    for rank, part in enumerate(parts):
        assert part.image.shape == (2, 3, 32, 32)
        assert torch.equal(part.image, whole.image[rank::2]) and torch.equal(part.mask, whole.mask[rank::2])


def test_what_is_judged_is_the_average_on_the_validation_samples(training):
    setup, learner = training.setup, training.learner
    before = training.validate()
    batch = to_batch(setup.main.read_many(setup.validation.tolist()), (32, 32))
    assert set(setup.main.splits[setup.validation]) == {"val"} and len(batch.image) == 5
    sums = validation_sums(training.average, learner.objective, [batch], kind="scaled", span=(0.0, 1.5))
    assert before.iou == pytest.approx(Scores.of(sums).iou) and before.delta1 == pytest.approx(Scores.of(sums).delta1)
    with torch.no_grad():
        for weights in learner.network.parameters():
            weights.zero_()
    assert training.validate() == before
    training.average.load_state_dict(learner.network.state_dict())
    assert training.validate() != before


def test_processes_share_out_the_validation_samples(training):
    sums = []
    for rank in range(6):  # one more than there are samples
        of_process(training, rank, 6, reduce=lambda own: sums.append(own) or own).validate()
    assert Scores.of(torch.stack(sums).sum(0)).iou == pytest.approx(training.validate().iou)
    assert sums[5].tolist() == [0] * 6 and all(own[1] == 1 for own in sums[:5])


def test_without_validation_samples_there_are_no_scores(tmp_path, toy_dataset):
    config = TrainConfig(data=toy_dataset(tmp_path / "data", val=0), size=(32, 32), steps=1)
    training = new_training(config)
    assert training.validate() == Scores(None, None, None)
    # Apple's GPU has no numbers of 64 bits: sums stay on the CPU.
    apples = SimpleNamespace(device=torch.device("mps"), process_index=0, num_processes=1)
    assert replace(training, accelerator=apples).validate() == Scores(None, None, None)


def test_the_finder_tries_the_first_batches_and_leaves_no_trace(config, training):
    before = snapshot(training.learner)
    found = training.find_learning_rate(12)
    assert same(before, snapshot(training.learner))
    other = new_training(config)
    wanted = find_learning_rate(other.stepper, other.batches(0, 12), steps=12)
    assert found.suggestion == wanted.suggestion and found.losses.tolist() == wanted.losses.tolist()


@pytest.mark.parametrize(
    ("device", "cores", "workers"),
    [("cpu", 1, 0), ("cpu", 4, 0), ("cpu", 5, 1), ("cpu", 64, 1), ("cuda", 1, 0), ("cuda", 4, 3), ("cuda", 64, 8)],
)
def test_workers_leave_the_cores_to_what_computes(monkeypatch, device, cores, workers):
    monkeypatch.setattr(module.os, "sched_getaffinity", lambda _: set(range(cores)), raising=False)
    assert default_workers(torch.device(device)) == workers


def test_workers_may_be_given(config, training):
    assert training.workers == 0 and new_training(config, workers=3).workers == 3


@pytest.mark.parametrize(("cuda", "mps"), [(False, False), (True, False), (False, True)])
def test_the_cpu_is_asked_for_where_there_is_no_gpu(monkeypatch, cuda, mps):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    monkeypatch.setattr(module, "Accelerator", lambda cpu, mixed_precision: {"cpu": cpu})
    assert new_accelerator() == {"cpu": not (cuda or mps)}


def test_the_environment_does_not_choose_the_precision(monkeypatch):
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "bf16")
    AcceleratorState._reset_state(reset_partial_state=True)
    try:
        assert new_accelerator().mixed_precision == "no"
    finally:
        AcceleratorState._reset_state(reset_partial_state=True)


@pytest.mark.parametrize("units", [False, True])
def test_a_gpu_that_only_emulates_bf16_has_no_units_for_it(monkeypatch, units):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: including_emulation or units)
    assert module._has_bf16_units(torch.device("cuda")) == units
