import json

import numpy as np
import pytest
import torch
from PIL import Image

import qumade.training.adapt as adapt_module
from qumade.errors import QumadeError, RunError
from qumade.evaluation.cards import training_note
from qumade.models.config import NetworkConfig
from qumade.models.network import build_network
from qumade.prediction.predictor import load_predictor
from qumade.training.adapt import (
    ALPHAS,
    adapt,
    agreement,
    chosen_alpha,
    moved_towards,
    statistics_of,
)  # fmt: skip
from qumade.training.config import TrainConfig, load_config
from qumade.training.loop import train
from qumade.training.run_folder import RunFolder, load_network, read_weights_note, write_weights


@pytest.fixture
def run(tmp_path):
    """A run of an untrained network with a config."""
    torch.manual_seed(0)
    network = build_network(NetworkConfig(size=(64, 32)))
    folder = RunFolder(tmp_path / "run")
    folder.root.mkdir()
    folder.config.write_text("data: somewhere\n")
    for which in ("best", "last"):
        write_weights(folder, which, network, network.config, {"step": 7, "epoch": 1, "metrics": {}})
    return folder.root


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(5):
        size = (48, 96, 3) if number < 4 else (96, 96, 3)
        Image.fromarray(rng.integers(0, 120, size, np.uint8)).save(folder / f"{number}.png")
    return folder


def first_norm(network):
    return network.encoder.bn1


def norms(network):
    return [module for module in network.modules() if isinstance(module, torch.nn.BatchNorm2d)]


def test_the_statistics_are_those_of_the_photos():
    """The input of the first normalisation is a convolution of the image alone: its moments are known."""
    torch.manual_seed(1)
    network = build_network(NetworkConfig(encoder="resnet10t")).eval()
    batches = [torch.rand(4, 3, 32, 64) for _ in range(3)]
    norm, seen = network.encoder.conv1[1], []
    hook = norm.register_forward_pre_hook(lambda _, given: seen.append(given[0].detach()))
    with torch.no_grad():
        for batch in batches:
            network(batch)
    hook.remove()
    mean, variance = statistics_of(network, batches)[norms(network).index(norm)]
    torch.testing.assert_close(mean, torch.cat(seen).mean((0, 2, 3)))
    torch.testing.assert_close(variance, torch.cat(seen).var((0, 2, 3)))


def test_photos_without_statistics_are_refused():
    network = build_network(NetworkConfig())
    side = network.stride
    with pytest.raises(RunError, match=rf"got one of each of the sizes {side}x{side} .* larger than {side}x{side}"):
        statistics_of(network, [torch.rand(1, 3, side, side)])
    statistics_of(network, [torch.rand(2, 3, side, side)])


@pytest.mark.parametrize("alpha", [0.0, 0.25, 1.0])
def test_statistics_move_by_alpha_and_weights_stay(alpha):
    torch.manual_seed(1)
    network = build_network(NetworkConfig())
    measured = statistics_of(network, [torch.rand(4, 3, 32, 64)])
    before = {name: value.clone() for name, value in network.state_dict().items()}
    moved = moved_towards(network, measured, alpha)
    others = iter([each for pair in measured for each in pair])
    for name, value in moved.state_dict().items():
        if name.endswith(("running_mean", "running_var")):
            torch.testing.assert_close(value, (1 - alpha) * before[name] + alpha * next(others))
        else:
            assert torch.equal(value, before[name])
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert not moved.training


def test_the_smallest_alpha_with_half_of_the_gain_is_chosen():
    assert chosen_alpha([0.5, 0.56, 0.58, *[0.6] * 8]) == ALPHAS[1]
    assert chosen_alpha([0.5, 0.54, 0.55, 0.6, *[0.4] * 7]) == ALPHAS[2]
    assert chosen_alpha([0.5] * 11) == 0.0 and chosen_alpha([0.9, *[0.1] * 10]) == 0.0


class Constant(torch.nn.Module):
    """Predicts an object on the left half of every image, whatever it shows."""

    config = NetworkConfig()

    def __init__(self, mirrored):
        super().__init__()
        self.mirrored = mirrored

    def forward(self, image):
        logits = torch.full((len(image), 1, *image.shape[2:]), -20.0)
        if self.mirrored:
            logits[image[:, :1] > 0.4] = 20.0
        else:
            logits[..., : image.shape[3] // 2] = 20.0
        return build_output(logits)


def build_output(logits):
    from qumade.models.network import Output

    return Output(logits, torch.zeros_like(logits))


def test_agreement_is_half_where_mirrored_predictions_do_not_overlap():
    assert agreement(Constant(mirrored=False), [torch.rand(3, 3, 8, 8)]) == pytest.approx(0.5, abs=1e-4)
    images = torch.where(torch.rand(3, 1, 8, 8) > 0.5, 1.0, 0.0).expand(3, 3, 8, 8)
    assert agreement(Constant(mirrored=True), [images]) > 0.6


def test_an_adapted_run_predicts_evaluates_and_says_what_was_done(run, photos, tmp_path):
    adapted = adapt(run, photos, tmp_path / "out")
    assert adapted.photos == 5 and len(adapted.agreement) == 11 and adapted.alpha in ALPHAS
    note = json.loads((tmp_path / "out" / "adapted.json").read_text())
    assert note["alpha"] == adapted.alpha and list(note["agreement"]) == [f"{alpha:g}" for alpha in ALPHAS]
    best = json.loads((tmp_path / "out" / "weights" / "best.json").read_text())
    assert best["step"] == 7 and best["adapted"] == note
    data = load_config(tmp_path / "out" / "config.yaml").data
    assert data == tmp_path / "run" / "somewhere"  # although the folder is another one
    assert Image.open(adapted.sheet).width > 500
    load_predictor(tmp_path / "out")([np.zeros((40, 60, 3), np.uint8)])
    given = adapt(run, photos, tmp_path / "whole", alpha=1.0)
    assert given.agreement == () and given.alpha == 1.0
    before, after = (first_norm(load_network(folder)).running_mean for folder in (run, given.run))
    assert (before - after).abs().max() > 1e-3
    same = adapt(run, photos, tmp_path / "same", alpha=0.0)
    assert torch.equal(first_norm(load_network(same.run)).running_mean, before)


def test_what_cannot_be_adapted_is_refused(run, photos, tmp_path):
    for alpha in (-0.1, 1.5):
        with pytest.raises(QumadeError, match=f"Invalid alpha: got {alpha:g}; must be at least 0 and at most 1"):
            adapt(run, photos, tmp_path / "out", alpha=alpha)
    with pytest.raises(QumadeError, match=r"got .*photos, which is not empty; must be a new or empty folder"):
        adapt(run, photos, photos)
    (tmp_path / "empty").mkdir()
    with pytest.raises(QumadeError, match=r"Invalid photos: got no usable photo in .*empty"):
        adapt(run, tmp_path / "empty", tmp_path / "out")
    assert not (tmp_path / "out").exists()
    adapt(run, photos, tmp_path / "out", alpha=0.5)
    with pytest.raises(QumadeError, match="a run that `qumade adapt` wrote; must be another folder"):
        train(TrainConfig(data=tmp_path / "data"), tmp_path / "out")


def test_variances_of_batches_add_up_to_that_of_all_photos():
    """The law of total variance: batches of 16 dark photos and one bright one have a variance between them."""
    torch.manual_seed(2)
    network = build_network(NetworkConfig()).eval()
    photos = 0.2 * torch.rand(17, 3, 32, 64)
    photos[16:] += 0.7
    whole = statistics_of(network, [photos])[0]  # the input of the first one is of the photos alone
    for cut in ([16, 1], [9, 8], [5, 4, 4, 4], [1, 16]):
        for one, other in zip(statistics_of(network, photos.split(cut))[0], whole, strict=True):
            torch.testing.assert_close(one, other)


def test_photos_of_another_shape_count_by_their_share():
    torch.manual_seed(3)
    network = build_network(NetworkConfig()).eval()
    wide, tall = torch.rand(6, 3, 32, 64), 0.3 * torch.rand(2, 3, 64, 64)
    (mean, variance), *each = (statistics_of(network, given)[0] for given in ([wide, tall], [wide], [tall]))
    wanted = 0.75 * each[0][0] + 0.25 * each[1][0]
    torch.testing.assert_close(mean, wanted)
    within = 0.75 * each[0][1] + 0.25 * each[1][1]
    between = 0.75 * (each[0][0] - wanted) ** 2 + 0.25 * (each[1][0] - wanted) ** 2
    torch.testing.assert_close(variance, within + between, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize(("number", "sizes"), [(1, [1]), (16, [16]), (17, [9, 8]), (40, [14, 13, 13])])
def test_batches_are_cut_evenly(number, sizes):
    images = [np.full((4, 8, 3), n / number, np.float32) for n in range(number)]
    batches = adapt_module._batched(images)
    assert [len(batch) for batch in batches] == sizes
    torch.testing.assert_close(torch.cat(batches)[:, 0, 0, 0], torch.arange(number) / number)
    assert [len(batch) for batch in adapt_module._batched(images, 1 << 22)] == [number]
    parts = -(-number // 20)
    dealt = [(batch[:, 0, 0, 0] * number).round().int().tolist() for batch in adapt_module._batched(images, 20 * 32)]
    assert dealt == [list(range(first, number, parts)) for first in range(parts)]


def test_neither_the_number_nor_the_order_of_photos_decides_which_ones_count(run, photos, tmp_path):
    """The 17th photo counts as the others do, at every level, wherever it stands in the folder."""
    for place in ("first", "last"):
        folder = tmp_path / place
        folder.mkdir()
        for number in range(17):
            light = 180 if number == 16 else 0
            name = f"{(number + 1) % 17 if place == 'first' else number:02}.png"
            Image.fromarray(
                np.random.default_rng(number).integers(0, 60, (64, 64, 3), np.uint8) + np.uint8(light)
            ).save(folder / name)
        adapt(run, folder, tmp_path / f"{place}_run", alpha=1.0)
    one, other = (load_network(tmp_path / f"{place}_run").state_dict() for place in ("first", "last"))
    for name, values in one.items():
        torch.testing.assert_close(values, other[name], rtol=1e-3, atol=1e-4)


def test_an_adapted_run_keeps_no_scores_of_the_network_before(run, photos, tmp_path):
    folder = RunFolder(run)
    for which in ("best", "last"):
        network = load_network(run, which)
        write_weights(folder, which, network, network.config, {"step": 7, "epoch": 1, "metrics": {"val_iou": 0.9}})
    folder.results.write_text("epoch,step,best,seconds\n1,7,1,2.0\n2,9,0,3.0\n")
    folder.start.write_text(json.dumps({"run": "/earlier", "step": 400}))
    adapt(run, photos, tmp_path / "out", alpha=0.5)
    adapt(tmp_path / "out", photos, tmp_path / "twice", alpha=0.5)
    for adapted in (tmp_path / "out", tmp_path / "twice"):
        note = read_weights_note(adapted)
        assert "metrics" not in note and note["step"] == 7
        assert note["before_adapting"] == {"metrics": {"val_iou": 0.9}, "steps": 9, "seconds": 3.0}
        assert RunFolder(adapted).start.read_text() == folder.start.read_text()
        assert training_note(adapted) == training_note(run) and "9 steps are too few" in training_note(run)
