import numpy as np
from PIL import Image

from qumade.viz.curves import draw_curves, draw_learning_rates

ROW = {"epoch": 1, "step": 5, "loss": 1.0, "val_loss": None, "val_iou": 0.5, "val_delta1": None, "score": 0.5,
       "lr": 0.01, "samples_per_s": 30.0}  # fmt: skip


def test_curves_are_drawn_also_of_one_row_and_without_validation(tmp_path):
    draw_curves([ROW, {**ROW, "epoch": 2, "step": 10, "loss": 0.5}], tmp_path / "two.png")
    draw_curves([{**ROW, "val_iou": None, "score": None}], tmp_path / "one.png")
    pictures = [np.asarray(Image.open(tmp_path / name)) for name in ("one.png", "two.png")]
    assert pictures[0].shape == pictures[1].shape and not np.array_equal(*pictures)


def test_the_suggestion_is_marked(tmp_path):
    draw_learning_rates(np.geomspace(1e-6, 1, 20), np.linspace(1, 0, 20), 1e-3, tmp_path / "rates.png")
    pixels = np.asarray(Image.open(tmp_path / "rates.png").convert("RGB")).astype(int)
    assert ((pixels[..., 0] > 180) & (pixels[..., 1] < 80) & (pixels[..., 2] < 80)).sum() > 100
