import sys

import numpy as np
import pytest
import torch
from torch import Tensor

from qumade.errors import QumadeError
from qumade.evaluation.explain import explain_depth, explain_mask, heat_overlay
from qumade.models.config import NetworkConfig
from qumade.models.network import MaskDepthNetwork, build_network
from qumade.models.resizing import resized


@pytest.fixture(scope="module")
def network() -> MaskDepthNetwork:
    torch.manual_seed(0)
    return build_network(NetworkConfig(size=(96, 64))).eval()


IMAGE = np.random.default_rng(0).integers(0, 256, (64, 96, 3), np.uint8)


def by_hand(network: MaskDepthNetwork, level: int, point: tuple[int, int] | None) -> np.ndarray:
    """Grad-CAM from its definition, on the size that the network works at: features of a level, their gradient."""
    kept: list[Tensor] = []
    hook = network.encoder.register_forward_hook(lambda module, given, features: kept.append(features[level]))
    output = network(torch.from_numpy(IMAGE).permute(2, 0, 1)[None] / 255)
    hook.remove()
    if point is not None:
        score = output.inverse_depth[0, 0, point[1], point[0]]
    else:
        inside = output.mask_logits > 0
        score = output.mask_logits[inside].sum() if inside.any() else output.mask_logits.sum()
    (gradient,) = torch.autograd.grad(score, kept)
    cam = (gradient.mean((2, 3), keepdim=True) * kept[0]).sum(1)[0].relu().detach().numpy()
    return cam / cam.max() if cam.max() > 0 else cam


@pytest.mark.parametrize("level", [-1, -2, 1])
@pytest.mark.parametrize("point", [None, (40, 50), (0, 0), (95, 63)])
def test_it_is_grad_cam(network: MaskDepthNetwork, level: int, point: tuple[int, int] | None) -> None:
    heat = (
        explain_mask(network, IMAGE, level=level)
        if point is None
        else explain_depth(network, IMAGE, point, level=level)
    )
    expected = by_hand(network, level, point)
    assert heat.shape == (64, 96) and heat.dtype == np.float32 and heat.min() >= 0 and heat.max() <= 1
    np.testing.assert_allclose(heat, resized(expected, (96, 64)), atol=1e-4)


@pytest.mark.parametrize("shape", [(1, 1), (37, 501), (300, 20)])
def test_pictures_of_any_size(network: MaskDepthNetwork, shape: tuple[int, int]) -> None:
    image = np.random.default_rng(1).integers(0, 256, (*shape, 3), np.uint8)
    assert explain_mask(network, image).shape == shape
    assert explain_depth(network, image, (shape[1] - 1, shape[0] - 1)).shape == shape


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("frozen", [True, False])
def test_the_network_is_left_as_it_was(training: bool, frozen: bool) -> None:
    network = build_network(NetworkConfig(size=(64, 64))).train(training).requires_grad_(not frozen)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    random = torch.get_rng_state()
    with torch.no_grad():
        explain_mask(network, IMAGE)
    assert network.training is training and not network.encoder._forward_hooks
    assert all(parameter.grad is None for parameter in network.parameters())
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    assert torch.equal(random, torch.get_rng_state())


@pytest.mark.parametrize("point", [(-1, 0), (96, 0), (0, 64), (3, -2)])
def test_a_point_outside_the_picture_is_refused(network: MaskDepthNetwork, point: tuple[int, int]) -> None:
    with pytest.raises(QumadeError, match=r"Invalid point: got .* in a picture of 96x64"):
        explain_depth(network, IMAGE, point)


@pytest.mark.parametrize("level", [-6, 5])
def test_a_level_that_is_not_there_is_refused(network: MaskDepthNetwork, level: int) -> None:
    with pytest.raises(QumadeError, match="Invalid level"):
        explain_mask(network, IMAGE, level=level)


@pytest.mark.parametrize("image", [IMAGE[..., 0], IMAGE.astype(np.float32), IMAGE[:0]])
def test_what_is_no_picture_is_refused(network: MaskDepthNetwork, image: np.ndarray) -> None:
    with pytest.raises(QumadeError, match="Invalid picture"):
        explain_mask(network, image)


def test_without_the_extra_the_line_that_installs_it(
    network: MaskDepthNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "captum.attr", None)
    with pytest.raises(QumadeError, match=r"pip install 'qumade\[explain\]'"):
        explain_mask(network, IMAGE)


def test_an_overlay_is_red_where_much_speaks_and_blue_where_nothing_does() -> None:
    heat = np.zeros((64, 96), np.float32)
    heat[:, 48:] = 0.9
    overlay = heat_overlay(IMAGE, heat).astype(int)
    assert overlay.shape == IMAGE.shape
    assert (overlay[:, 48:, 0] > overlay[:, 48:, 2]).all() and (overlay[:, :48, 2] >= overlay[:, :48, 0]).all()
    with pytest.raises(QumadeError, match="Invalid map"):
        heat_overlay(IMAGE, heat[:5])
