"""Layered composition against ground truth: scenes rendered with and without a car from the same camera."""

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from qumade.assets.bundled import bundled_folder
from qumade.assets.cutouts import contact, read_cutout
from qumade.assets.depths import read_inverse_depth
from qumade.assets.ground import occluding, survey_background
from qumade.assets.label_scheme import label_scheme
from qumade.assets.labels import read_labels
from qumade.assets.reliefs import read_relief
from qumade.compose.pyramid import Pyramid, build_pyramid
from qumade.compose.sample import PreparedBackground, Sample, draw_sample
from qumade.geometry import GroundPlane, inverse_depth_map
from qumade.plan.planner import Plan
from qumade.plan.tables import OBJECT_ROW, SAMPLE_ROW
from qumade.recipe import Recipe

PAIRS = [f"pair_{k}" for k in range(1, 9)]
RECIPE = Recipe(
    backgrounds="backgrounds", foregrounds="foregrounds", labels="labels", label_names="cityscapes", depths="depths"
)


def make_plan(boxes: list[tuple[float, float, float, float]], depths: list[float], crop: tuple[int, int] = (0, 0),
              flip: bool = False) -> Plan:  # fmt: skip
    """A plan of cut-outs 0, 1, ... in boxes (left, top, width, height), at non-decreasing inverse depths."""
    sample, objects = np.zeros(1, SAMPLE_ROW), np.zeros(len(boxes), OBJECT_ROW)
    sample["scale_x"] = sample["scale_y"] = 1.0
    sample["crop_x"], sample["crop_y"], sample["flip"] = *crop, flip
    for number, (row, box) in enumerate(zip(objects, boxes, strict=True)):
        row["foreground"] = number
        row["left"], row["top"], row["width"], row["height"] = box
        row["inverse_depth"] = depths[number]
    return Plan(sample[0], objects)


def draw(plan: Plan, prepared: PreparedBackground, cutouts: list[Pyramid], **options: Any) -> Sample:
    height, width = prepared.image.shape[:2]
    size = options.pop("size", (width, height))
    return draw_sample(plan, size, lambda *_: prepared, cutouts.__getitem__, **options)


class Composed(NamedTuple):
    """A pair composed with and without relief, and the ground truth."""

    solid: Sample
    flat: Sample
    true_mask: np.ndarray
    true_depth: np.ndarray
    plane: GroundPlane
    opaque: np.ndarray


def _compose(folder: Path) -> Composed:
    facts = json.loads((folder / "pair.json").read_text())
    image = np.asarray(Image.open(folder / "without.png").convert("RGB"))
    size = image.shape[1], image.shape[0]
    inverse_depth = read_inverse_depth(folder / "without_depth.png", size, "metric")
    labels = read_labels(folder / "without_labels.png", size)
    scheme = label_scheme(RECIPE)
    survey = survey_background(RECIPE, "without.png", size, labels, scheme, inverse_depth, "metric")
    assert survey.plane is not None
    occluder = occluding(inverse_depth, survey.horizon_level, labels, scheme)
    prepared = PreparedBackground(image, inverse_depth, occluder)

    car = read_cutout(folder / "car.png")
    height, width = car.rgba.shape[:2]
    relief = read_relief(folder / "car_relief.png", (car.file_width, car.file_height))
    relief = relief[car.top : car.top + height, car.left : car.left + width]
    left, top = facts["box"][0] + car.left, facts["box"][1] + car.top
    u, v = contact(car.rgba[..., 3])
    stands = survey.plane.inverse_depth(left + u, top + v)
    plan = make_plan([(left, top, width, height)], [stands])
    solid, flat = (draw(plan, prepared, [build_pyramid(car.rgba, max(width, height), r)]) for r in (relief, None))
    opaque = np.zeros(size[::-1], bool)
    opaque[top : top + height, left : left + width] = car.rgba[..., 3] >= 128
    return Composed(
        solid=solid,
        flat=flat,
        true_mask=np.asarray(Image.open(folder / "with_mask.png")),
        true_depth=read_inverse_depth(folder / "with_depth.png", size, "metric"),
        plane=survey.plane,
        opaque=opaque,
    )


@pytest.fixture(scope="module", params=PAIRS)
def composed(request: pytest.FixtureRequest) -> Composed:
    return _compose(bundled_folder() / "pairs" / request.param)


def _abs_rel(inverse_depth: np.ndarray, truth: np.ndarray, where: np.ndarray) -> float:
    """Mean of |Z - Z true| / Z true over pixels of known, finite depth."""
    where = where & (truth > 0) & (inverse_depth > 0)
    return float(np.mean(np.abs(truth[where] / inverse_depth[where] - 1)))


def test_masks_agree_with_the_rendered_scene(composed: Composed) -> None:
    drawn, truth = composed.solid.mask >= 128, composed.true_mask >= 128
    assert (drawn & truth).sum() / (drawn | truth).sum() > 0.99
    assert np.abs(composed.solid.mask.astype(int) - composed.true_mask).mean() < 0.5


def test_depth_with_relief_agrees_with_the_ground_truth(composed: Composed) -> None:
    both = (composed.solid.owner == 1) & (composed.true_mask >= 128)
    assert both.sum() > 10_000
    solid, flat = (_abs_rel(s.inverse_depth, composed.true_depth, both) for s in (composed.solid, composed.flat))
    print(f"AbsRel on the object: {solid:.4f} with relief, {flat:.4f} without")
    assert solid < 0.02
    assert solid < flat / 3


def test_depth_below_the_horizon_agrees_with_the_ground_truth(composed: Composed) -> None:
    height, width = composed.true_depth.shape
    below = inverse_depth_map(composed.plane, width, height) > 0
    error = _abs_rel(composed.solid.inverse_depth, composed.true_depth, below)
    print(f"AbsRel below the horizon: {error:.5f}")
    assert error < 0.005


def test_ground_never_hides_objects_standing_on_it(composed: Composed) -> None:
    assert ((composed.solid.owner == 1) == composed.opaque).all()
    assert composed.solid.visible_fraction == pytest.approx([1.0])


def test_depth_edges_stay_hard(composed: Composed) -> None:
    """Depth equals the background's exactly beside the object, and the relief's on the object."""
    outside = composed.solid.owner == 0
    np.testing.assert_array_equal(composed.solid.inverse_depth[outside], composed.flat.inverse_depth[outside])
    on = composed.flat.inverse_depth[composed.flat.owner == 1]
    assert np.unique(on).size == 1


def street(occluder_at: float, *, width: int = 60, height: int = 40) -> PreparedBackground:
    """Ground 1/Z = (v - 10) / 60 below row 10, and a pole in columns 28 to 31 at an inverse depth; grey."""
    inverse_depth = inverse_depth_map(GroundPlane(0.0, 1 / 60, -1 / 6), width, height)
    occluder = np.zeros_like(inverse_depth)
    inverse_depth[:36, 28:32] = occluder[:36, 28:32] = occluder_at
    return PreparedBackground(np.full((height, width, 3), 90, np.uint8), inverse_depth, occluder)


def block(width: int, height: int, colour: int, relief: np.ndarray | None = None) -> Pyramid:
    rgba = np.full((height, width, 4), colour, np.uint8)
    rgba[..., 3] = 255
    return build_pyramid(rgba, max(width, height), relief)


def test_a_pole_in_front_stays_in_front() -> None:
    prepared = street(0.4)
    sample = draw(make_plan([(20, 10, 20, 20)], [1 / 3]), prepared, [block(20, 20, 200)])
    pole = np.zeros((40, 60), bool)
    pole[:36, 28:32] = True
    box = np.zeros((40, 60), bool)
    box[10:30, 20:40] = True
    np.testing.assert_array_equal(sample.owner == 1, box & ~pole)
    np.testing.assert_array_equal(sample.mask, np.where(box & ~pole, 255, 0))
    assert (sample.image[pole] == 90).all()
    np.testing.assert_array_equal(sample.inverse_depth[pole], np.float32(0.4))
    assert sample.visible_fraction == pytest.approx([16 / 20])


@pytest.mark.parametrize(("nearer_by", "hides"), [(0.5, False), (1.0, False), (1.029, False), (1.031, True)])
def test_a_tie_never_hides(nearer_by: float, hides: bool) -> None:
    depth = 0.25
    sample = draw(make_plan([(20, 5, 20, 20)], [depth]), street(depth * nearer_by), [block(20, 20, 200)])
    assert (sample.owner[15, 30] == 0) == hides


def test_ground_in_front_of_a_contact_beyond_the_edge_never_hides() -> None:
    labels = np.full((40, 60), 10, np.int32)
    labels[10:] = 0
    inverse_depth = inverse_depth_map(GroundPlane(0.0, 1 / 60, -1 / 6), 60, 40)
    occluder = occluding(inverse_depth, 0.0, labels, label_scheme(RECIPE))
    prepared = PreparedBackground(np.zeros((40, 60, 3), np.uint8), inverse_depth, occluder)
    sample = draw(make_plan([(20, 20, 10, 15)], [0.1]), prepared, [block(10, 15, 200)])
    assert sample.visible_fraction == pytest.approx([1.0])


def test_half_of_a_long_object_lies_behind_a_pole_in_its_middle() -> None:
    """The contact is nearer than the pole but the right half is farther: the pole hides that half only."""
    relief = np.zeros((20, 20), np.float32)
    relief[:, 10:] = 3.0
    sample = draw(make_plan([(20, 10, 20, 20)], [1 / 3]), street(1 / 4), [block(20, 20, 200, relief)])
    assert (sample.owner[12, 20:30] == 1).all()
    np.testing.assert_array_equal(sample.owner[12, 30:40] == 1, np.arange(30, 40) >= 32)
    assert sample.inverse_depth[12, 25] == np.float32(1 / 3)
    assert sample.inverse_depth[12, 35] == pytest.approx(1 / 6)


def test_the_nearer_of_two_objects_is_in_front() -> None:
    plain = street(0.0)
    sample = draw(make_plan([(10, 5, 20, 20), (20, 15, 20, 20)], [0.2, 0.4]), plain, [block(20, 20, 200)] * 2)
    assert (sample.owner[20, 15], sample.owner[20, 25], sample.owner[30, 35]) == (1, 2, 2)
    assert sample.inverse_depth[20, 25] == np.float32(0.4)
    assert sample.visible_fraction == pytest.approx([0.75, 1.0])


@pytest.mark.parametrize("flip", [False, True])
def test_visible_target_pixels_of_the_background_are_ignored(flip: bool) -> None:
    present = np.zeros((40, 60), bool)
    present[10:25, 30:50] = True
    prepared = street(0.0)._replace(present=present)
    plan = make_plan([(10, 5, 20, 20)], [0.2], crop=(12, 4), flip=flip)
    first = 60 - 40 - 12 if flip else 12  # the window of the mirrored photo
    window = present[4:34, first : first + 40]
    sample = draw(plan, prepared, [block(20, 20, 200)], size=(40, 30))
    box = np.zeros((30, 40), bool)
    box[5:25, 10:30] = True
    assert sample.ignore is not None
    np.testing.assert_array_equal(sample.ignore, window & ~box)
    np.testing.assert_array_equal(sample.mask, np.where(box, 255, 0))

    counted = draw(plan, prepared, [block(20, 20, 200)], size=(40, 30), present_in_mask=True)
    assert counted.ignore is not None and not counted.ignore.any()
    np.testing.assert_array_equal(counted.mask, np.where(box | window, 255, 0))
    np.testing.assert_array_equal(counted.owner, sample.owner)
    np.testing.assert_array_equal(counted.inverse_depth, sample.inverse_depth)


def test_soft_boundaries_keep_the_background_depth() -> None:
    """A disc with a wide soft edge: depth changes exactly where alpha reaches one half, and is one of two values."""
    v, u = np.mgrid[:40, :40] + 0.5
    distance = np.hypot(u - 20, v - 20)
    rgba = np.full((40, 40, 4), 250, np.uint8)
    rgba[..., 3] = np.rint(255 * np.clip((18 - distance) / 8, 0, 1))
    prepared = street(0.0, height=50)
    sample = draw(make_plan([(10, 5, 40, 40)], [0.9]), prepared, [build_pyramid(rgba, 40)])
    changed = sample.inverse_depth != prepared.inverse_depth
    drawn = np.zeros(changed.shape, bool)
    drawn[5:45, 10:50] = rgba[..., 3] >= 128
    np.testing.assert_array_equal(changed, drawn)
    assert (sample.inverse_depth[changed] == np.float32(0.9)).all()
    assert ndimage.label(drawn)[1] == 1 and (sample.mask > 0).sum() > drawn.sum() * 1.5
