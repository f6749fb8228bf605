from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from torch import nn

from qumade.data.dataset import LabeledSample
from qumade.depth.encoding import METRES_16_BIT, DepthEncoding
from qumade.evaluation.evaluation import evaluate
from qumade.evaluation.summary import summarise
from qumade.metrics.classes import class_ious
from qumade.models.config import NetworkConfig
from qumade.models.network import Output
from qumade.prediction.predictor import torch_predictor
from qumade.training.config import TrainConfig, load_config
from qumade.training.data_setup import open_setup
from qumade.training.losses import Objective
from qumade.training.run_folder import load_network, read_results
from qumade.training.trainer import new_trainer
from qumade.training.validation import Scores, groups_of, validate, validation_sums

NAN = float("nan")
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def setup(tmp_path_factory, toy_dataset):
    data = toy_dataset(tmp_path_factory.mktemp("data") / "toy")
    return open_setup(TrainConfig(data=data, size=(32, 32), batch_size=4, steps=8, val_limit=5), workers=0)


@pytest.fixture
def trainer(setup):
    return new_trainer(setup)


def of_process(setup, rank, count, reduce=lambda sums: sums):
    """The same setup in process number `rank` of several."""
    fields = {"device": CPU, "process_index": rank, "num_processes": count, "reduce": reduce}
    return replace(setup, accelerator=SimpleNamespace(**fields))


def ignore_some(root):
    """Mark the left columns of all samples of a dataset as ignored."""
    (root / "ignore").mkdir()
    for path in (root / "images").iterdir():
        with Image.open(path) as image:
            ignored = np.zeros(image.size[::-1], bool)
        ignored[:, :9] = True
        Image.fromarray(ignored).save(root / "ignore" / path.name)


def in_metres(root):
    """Encode the depth of a dataset in 16-bit metres, with sky above the middle."""
    for path in (root / "depth").iterdir():
        with Image.open(path) as levels:
            inverse_depth = np.asarray(levels) / 255.0
        metres = np.where(inverse_depth > 0.4, 20 * (1.1 - inverse_depth), 0)
        levels = np.where(metres > 0, metres * 256, 65535).astype(np.uint16)
        Image.fromarray(levels).save(path)
    described = yaml.safe_load((root / "dataset.yaml").read_text())
    described["depth"] = METRES_16_BIT.model_dump(exclude_none=True)
    (root / "dataset.yaml").write_text(yaml.safe_dump(described))


@pytest.mark.parametrize(
    ("kind", "size", "change"),
    [
        ("scaled", (64, 64), None),
        ("scaled", (32, 32), ignore_some),
        ("affine", (32, 32), None),
        (None, (64, 32), None),  # another shape than the samples'
        ("scaled", (64, 64), in_metres),
    ],
)
@pytest.mark.filterwarnings("ignore:no dataset.yaml")
def test_validation_scores_are_those_of_evaluate(tmp_path, toy_dataset, kind, size, change):
    data = toy_dataset(tmp_path / "data", val=9, size=(64, 64) if size == (64, 64) else (48, 40), kind=kind)
    if change is not None:
        change(data)
    setup = open_setup(TrainConfig(data=data, size=size, batch_size=4, steps=1), workers=0)
    trainer = new_trainer(setup)
    trainer.average.mask_decoder.head.bias.zero_()  # random masks of about half a picture
    scores = validate(setup, trainer)
    config = setup.network_config()
    predictor = torch_predictor(trainer.average, "cpu")
    evaluation = evaluate(
        predictor, setup.main, predicted_kind=config.depth_kind, trained_tasks=config.trained_tasks,
        positions=setup.validation,
    )  # fmt: skip
    means = summarise(evaluation)[0].means
    assert 0 < scores.iou < 1 and 0 < scores.delta1 < 1
    assert scores.iou == pytest.approx(means["mask_iou"], abs=1e-6)
    assert scores.delta1 == pytest.approx(means["depth_delta1"], abs=1e-6)


def test_the_average_is_evaluated(setup, trainer):
    before = validate(setup, trainer)
    assert set(setup.main.splits[setup.validation]) == {"val"} and len(setup.validation) == 5
    with torch.no_grad():
        for weights in trainer.network.parameters():
            weights.zero_()
    assert validate(setup, trainer) == before
    trainer.average.load_state_dict(trainer.network.state_dict())
    assert validate(setup, trainer) != before


def test_processes_share_the_validation_samples(setup, trainer):
    sums = []
    for rank in range(6):  # one more than there are samples
        validate(of_process(setup, rank, 6, reduce=lambda own: sums.append(own) or own), trainer)
    assert Scores.of(torch.stack(sums).sum(0)).iou == pytest.approx(validate(setup, trainer).iou)
    assert sums[5].tolist() == [0] * 6 and all(own[1] == 1 for own in sums[:5])


def test_without_validation_samples_there_are_no_scores(tmp_path, toy_dataset):
    config = TrainConfig(data=toy_dataset(tmp_path / "data", val=0), size=(32, 32), steps=1)
    setup = open_setup(config)
    trainer = new_trainer(setup)
    assert validate(setup, trainer) == Scores(None, None, None)
    # Apple's GPU has no 64-bit floats: sums stay on the CPU.
    apples = SimpleNamespace(device=torch.device("mps"), process_index=0, num_processes=1)
    assert validate(replace(setup, accelerator=apples), trainer) == Scores(None, None, None)


class Fixed(nn.Module):
    """Predicts the channels of the picture: red as the mask, green as inverse depth; blue above one half is NaN."""

    def forward(self, image):
        depth = torch.where(image[:, 2:] > 0.5, NAN, image[:, 1:2])
        return Output((image[:, :1] - 0.5) * 20, depth)


METRIC = DepthEncoding(kind="metric", code="inverse", bits=8, range=(0.0, 1.0))


def _sums(samples, chunks=None, **config):
    network = NetworkConfig(size=(32, 32), depth_kind="metric", **config)
    groups = [group for chunk in chunks or [samples] for group in groups_of(chunk, network.size)]
    return validation_sums(Fixed(), Objective(), groups, config=network, encoding=METRIC)


def _samples(count, *, size=32, seed=0):
    rng = np.random.default_rng(seed)
    samples = []
    for _ in range(count):
        image = rng.integers(0, 256, (size, size, 3), np.uint8)
        image[..., 2] = 0
        mask = np.where(image[..., 0] > 60, 255, 0).astype(np.uint8)
        depth = (image[..., 1] / 255 * rng.uniform(0.7, 1.4, (size, size))).astype(np.float32)
        samples.append(LabeledSample(image, mask, depth, None))
    return samples


def test_pictures_count_alike_whatever_the_batches():
    samples = _samples(5)
    samples[4] = LabeledSample(samples[4].image, samples[4].mask, np.full((32, 32), np.nan, np.float32), None)
    whole, parts = _sums(samples), _sums(samples, [samples[:2], samples[2:]])
    assert torch.allclose(whole[2:], parts[2:])
    assert whole[[1, 3, 5]].tolist() == [5, 5, 4]
    scores = Scores.of(whole)
    assert scores.score == pytest.approx((scores.iou + scores.delta1) / 2)


def test_scores_in_closed_form():
    (sample,) = _samples(1)
    red, green = sample.image[..., 0] / 255, sample.image[..., 1] / 255
    predicted, actual = red >= 0.5, sample.mask >= 128
    far = sample.inverse_depth >= 1 / 80
    ratio = np.clip(green, 1 / 80, 1)[far] / np.clip(sample.inverse_depth, 1 / 80, 1)[far]
    scores = Scores.of(_sums([sample]))
    assert scores.iou == pytest.approx((predicted & actual).sum() / (predicted | actual).sum())
    assert scores.delta1 == pytest.approx(np.mean(np.maximum(ratio, 1 / ratio) < 1.25))


def test_samples_of_several_sizes_are_predicted_in_groups():
    samples = [*_samples(2), *_samples(1, size=48), *_samples(1, seed=3)]
    samples[3] = LabeledSample(
        *(layer[:6] for layer in (samples[3].image, samples[3].mask, samples[3].inverse_depth)), None
    )
    groups = groups_of(samples, (64, 64))
    assert [(len(group.samples), tuple(group.batch.image.shape)) for group in groups] == [
        (3, (3, 3, 64, 64)),
        (1, (1, 3, 32, 128)),
    ]
    assert groups[1].samples == [samples[3]]


def test_non_finite_predictions_count_as_infinitely_far():
    (sample,) = _samples(1)
    sample.image[..., 2] = 255
    scores, depth = Scores.of(_sums([sample])), sample.inverse_depth[sample.inverse_depth >= 1 / 80]
    assert scores.loss is None and scores.iou is not None
    assert scores.delta1 == pytest.approx(np.mean(depth < 1.25 / 80))


@pytest.mark.parametrize(("task", "missing"), [("mask", "delta1"), ("depth", "iou")])
def test_untrained_tasks_are_not_scored(task, missing):
    scores = Scores.of(_sums(_samples(2), trained_tasks=(task,)))
    assert getattr(scores, missing) is None and scores.score is not None


def test_nothing_known_is_no_score():
    assert Scores.of(torch.zeros(6)) == Scores(None, None, None) and Scores.of(torch.zeros(6)).score is None
    assert Scores.of(torch.tensor([NAN, 2, 1, 2, 0, 0])) == Scores(None, 0.5, None)


class Classes(nn.Module):
    """Predicts the class whose number the red channel holds, in tenths."""

    def forward(self, image):
        number = (image[:, :1] * 10).round()
        logits = torch.cat([torch.where(number == k, 20.0, -20.0) for k in (1, 2, 3)], 1)
        return Output(logits, image[:, 1:2])


def test_with_classes_iou_is_the_mean_over_those_that_a_picture_shows():
    shown = np.zeros((32, 32), np.uint8)
    shown[4:12], shown[20:28, :16] = 1, 2
    predicted = shown.copy()
    predicted[4:8] = 3  # half of class 1
    image = np.zeros((32, 32, 3), np.uint8)
    image[..., 0] = np.round(predicted * 25.5)
    mask = np.where(shown > 0, np.uint8(255), np.uint8(0))
    ignore = np.zeros((32, 32), bool)
    ignore[20:28, :16] = np.arange(8)[:, None] < 4
    sample = LabeledSample(image, mask, None, ignore, shown)
    network = NetworkConfig(size=(32, 32), classes=("a", "b", "c"))
    sums = validation_sums(Classes(), Objective(), groups_of([sample], network.size), config=network, encoding=None)
    found = Scores.of(sums)
    assert found.class_ious == (0.5, 1.0, None) and found.iou == 0.75 and found.score == 0.75
    assert Scores.of(sums + sums).class_ious == found.class_ious  # sums of processes add up


def test_classes_that_no_picture_shows_are_unknown():
    found = Scores.of(torch.cat([torch.zeros(6), torch.zeros(9)]).double())
    assert found == Scores(None, None, None, (None, None))


def test_validation_of_a_run_is_what_evaluation_says(two_class_run):
    rows = read_results(two_class_run / "results.csv")
    assert list(rows[0]) == [
        "epoch", "step", "samples", "lr", "loss", "mask", "depth", "gradient", "val_loss", "val_iou", "val_delta1",
        "score", "val_iou_car", "val_iou_person", "best", "samples_per_s", "wait_share", "seconds",
    ]  # fmt: skip
    config = load_config(two_class_run / "config.yaml")
    setup = open_setup(config, workers=0)
    which = "best" if rows[-1]["best"] else "last"
    predictor = torch_predictor(load_network(two_class_run, which))
    found = evaluate(
        predictor, setup.main, predicted_kind=predictor.config.depth_kind, classes=predictor.config.classes,
        positions=setup.validation,
    )  # fmt: skip
    ious = class_ious(found.confusions.sum(0))
    np.testing.assert_allclose(ious, [rows[-1]["val_iou_car"], rows[-1]["val_iou_person"]], atol=1e-9)
    assert rows[-1]["val_iou"] == pytest.approx(ious.mean())
