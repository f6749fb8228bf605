import math

import numpy as np
import torch

from qumade.data.loader import Batch
from qumade.models.config import NetworkConfig
from qumade.models.network import build_network
from qumade.viz.batch_sheet import batch_sheet, predicted, sheet_tensor
from qumade.viz.sheets import class_colour

CONFIG = NetworkConfig(size=(64, 32), depth_kind="metric", inverse_depth_limits=(0.0, 0.5))


def _batch(samples=3):
    batch = Batch(torch.rand(samples, 3, 32, 64), torch.rand(samples, 1, 32, 64), torch.rand(samples, 1, 32, 64))
    batch.mask[0, :, :8] = float("nan")
    batch.inverse_depth[1] = float("nan")
    return batch


def test_a_sheet_shows_pictures_and_labels():
    batch = _batch()
    batch.image[0] = torch.tensor([1.0, 0.0, 0.0])[:, None, None]
    sheet = batch_sheet(batch, CONFIG, "title")
    pixels = np.asarray(sheet)
    assert (pixels == [255, 0, 0]).all(2).sum() == 32 * 64 * 9  # enlarged three times
    assert (pixels == [96, 96, 96]).all(2).sum() >= 8 * 64 * 9  # unknown in the mask
    assert torch.equal(sheet_tensor(sheet).permute(1, 2, 0), torch.from_numpy(pixels.copy()))


def test_only_so_many_samples_are_shown():
    assert batch_sheet(_batch(20), CONFIG, "", count=2).height < batch_sheet(_batch(20), CONFIG, "").height


def test_predictions_take_the_place_of_labels():
    batch = _batch()
    shown = predicted(build_network(CONFIG).eval(), batch, ("mask", "depth"))
    assert torch.equal(shown.image, batch.image)
    assert shown.mask.min() >= 0 and shown.mask.max() <= 1 and shown.inverse_depth.isfinite().all()


def test_untrained_tasks_are_not_shown():
    batch, network = _batch(), build_network(CONFIG).eval()
    assert predicted(network, batch, ("mask",)).inverse_depth.isnan().all()
    masks = predicted(network, batch, ("depth",)).mask
    assert masks.isnan().all() and predicted(network, batch, ("mask",)).mask.isfinite().all()


def test_classes_have_their_colours_and_predictions_too():
    config = NetworkConfig(size=(64, 32), classes=("a", "b", "c"))
    batch = Batch(*(layer[:1] for layer in _batch()))
    batch.mask[0, 0] = torch.tensor([math.nan, 0, 1, 3]).repeat_interleave(16)
    pixels = np.asarray(batch_sheet(batch, config, ""))
    for colour in ((96, 96, 96), class_colour(0), class_colour(2)):
        assert (pixels == colour).all(2).sum() >= 16 * 32 * 9
    assert not (pixels == class_colour(1)).all(2).sum() > 16 * 16  # only in the legend
    shown = predicted(build_network(config).eval(), batch, ("mask", "depth"))
    assert shown.mask.shape == (1, 1, 32, 64) and set(shown.mask.unique().tolist()) <= {0.0, 1.0, 2.0, 3.0}
