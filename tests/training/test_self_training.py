import math

import pytest
import torch
from torch import nn

from qumade.data.loader import Batch
from qumade.models.network import Output
from qumade.training.self_training import SelfTraining, unlabelled_in


class Teacher(nn.Module):
    """Predicts the red channel as probability and the green one as inverse depth."""

    def forward(self, image):
        return Output(torch.logit(image[:, :1].clamp(1e-4, 1 - 1e-4)), image[:, 1:2])


@pytest.fixture
def batch():
    """Four labelled samples, whose object is the left half, and four photos without labels."""
    image = torch.rand(8, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    mask = torch.zeros(8, 1, 8, 8)
    mask[..., :4] = 1
    depth = torch.full((8, 1, 8, 8), 0.5)
    mask[4:] = depth[4:] = math.nan
    return Batch(image, mask, depth, photos_from(4))


def photos_from(start, samples=8):
    """The pixels of a batch whose samples from `start` on are photos."""
    photos = torch.zeros(samples, 1, 8, 8, dtype=torch.bool)
    photos[start:] = True
    return photos


def test_photos_are_unlabelled_and_samples_that_are_all_ignored_are_not(batch):
    assert unlabelled_in(batch).tolist() == [4, 5, 6, 7]
    batch.mask[1] = batch.inverse_depth[1] = math.nan
    assert unlabelled_in(batch).tolist() == [4, 5, 6, 7]
    assert not len(unlabelled_in(Batch(*batch[:3])))
    labelled = SelfTraining(Teacher(), Teacher(), 0.6)(batch, 1.0)
    for layer, before in zip(labelled[:3], batch[:3], strict=True):
        torch.testing.assert_close(layer[:4], before[:4], rtol=0, atol=0, equal_nan=True)


def test_what_lies_beyond_the_edges_of_a_photo_gets_no_label(batch):
    batch.photos[4:, :, :, 6:] = False
    for step in range(4):
        labelled = SelfTraining(Teacher(), Teacher(), 0.5)(batch, 1.0, step)
        assert labelled.mask[4:, ..., 6:].isnan().all() and labelled.inverse_depth[4:, ..., 6:].isnan().all()
        assert labelled.mask[4:, ..., :6].isfinite().all() and labelled.inverse_depth[4:, ..., 4:6].isfinite().all()


def test_random_numbers_are_those_of_seed_step_and_place_in_the_whole_batch(batch):
    """Whatever came before: a process that saw more photos than another draws the same numbers as before."""
    torch.manual_seed(3)
    whole = SelfTraining(Teacher(), Teacher(), 0.6, paste=False)(batch, 1.0, 7)
    for rank in (0, 1):
        part = Batch(*(layer[rank::2] for layer in batch))
        training = SelfTraining(Teacher(), Teacher(), 0.6, paste=False, rank=rank, processes=2)
        before = torch.get_rng_state()
        assert torch.equal(training(part, 1.0, 7).image, whole.image[rank::2])
        assert torch.equal(torch.get_rng_state(), before)
        torch.rand(1)
    for other in (SelfTraining(Teacher(), Teacher(), 0.6, paste=False, seed=1)(batch, 1.0, 7), whole):
        images = [other.image[4:], SelfTraining(Teacher(), Teacher(), 0.6, paste=False)(batch, 1.0, 8).image[4:]]
        assert not any(torch.equal(*pair) for pair in zip(*images, strict=True))


def test_labels_are_what_the_teacher_is_sure_of(batch):
    labelled = SelfTraining(Teacher(), Teacher(), 0.8, paste=False)(batch, 1.0)
    for layer, before in zip(labelled[:3], batch[:3], strict=True):
        assert torch.equal(layer[:4], before[:4])
    red = batch.image[4:, :1]
    mask = labelled.mask[4:]
    assert torch.equal(mask.isnan(), (red > 0.2) & (red < 0.8))
    assert torch.equal(mask == 1, red >= 0.8) and torch.equal(mask == 0, red <= 0.2)
    torch.testing.assert_close(labelled.inverse_depth[4:], batch.image[4:, 1:2])
    assert not torch.equal(labelled.image[4:], batch.image[4:])  # the student sees other colours
    assert ((labelled.image >= 0) & (labelled.image <= 1)).all()


def test_pasted_objects_bring_their_mask_and_no_depth(batch):
    training = SelfTraining(Teacher(), Teacher(), 0.999, depth=True)
    counts = {True: 0, False: 0}
    for step in range(20):
        labelled = training(batch, 1.0, step)
        for mask, depth in zip(labelled.mask[4:], labelled.inverse_depth[4:], strict=True):
            pasted = bool((mask[..., :4] == 1).all())
            counts[pasted] += 1
            assert bool(depth[..., :4].isnan().all()) == pasted and depth[..., 4:].isfinite().all()
    assert 20 < counts[True] < 60  # half of 80


def test_before_the_first_round_no_photo_counts(batch):
    training = SelfTraining(Teacher(), Teacher())
    assert training(batch, 0.39) is batch
    assert not len(unlabelled_in(training(batch, 0.4)))
    assert training(Batch(*(layer[:4] for layer in batch)), 1.0).image.shape[0] == 4


def test_the_teacher_becomes_the_average_when_a_round_begins():
    average, teacher = nn.BatchNorm2d(1), nn.BatchNorm2d(1)
    training = SelfTraining(average, teacher)
    taken = []
    for step in range(10):
        average.running_mean.fill_(step + 1)
        training.begin_round(step / 10, (step + 1) / 10)
        taken.append(int(teacher.running_mean))
    assert taken == [0, 0, 0, 4, 4, 6, 6, 8, 8, 8]


def test_depth_is_left_out_where_it_is_not_trained(batch):
    assert SelfTraining(Teacher(), Teacher(), depth=False)(batch, 1.0).inverse_depth[4:].isnan().all()


def test_masks_are_left_out_and_nothing_is_pasted_where_masks_are_not_trained(batch):
    for step in range(8):
        labelled = SelfTraining(Teacher(), Teacher(), 0.8, mask=False)(batch, 1.0, step)
        assert labelled.mask[4:].isnan().all() and labelled.inverse_depth[4:].isfinite().all()
        torch.testing.assert_close(labelled.inverse_depth[4:], batch.image[4:, 1:2])


@pytest.mark.parametrize("threads", [1, 3])
def test_labels_are_equal_whatever_the_threads(batch, threads):
    expected = SelfTraining(Teacher(), Teacher(), 0.8)(batch, 0.7)
    again = SelfTraining(Teacher(), Teacher(), 0.8, threads=threads)(batch, 0.7)
    for one, other in zip(expected, again, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0, equal_nan=True)


class ClassTeacher(nn.Module):
    """Gives class 1 the red and class 2 the green channel as probability."""

    def forward(self, image):
        classes, background = image[:, :2], 1 - image[:, :2].sum(1, keepdim=True)
        return Output(torch.log(classes / background), image[:, 2:])


def test_photos_get_the_numbers_of_certain_classes_and_pasted_ones():
    shown = torch.tensor([[0.96, 0.02], [0.02, 0.96], [0.02, 0.02], [0.5, 0.4]])  # class 1, class 2, none, uncertain
    image = torch.rand(6, 3, 8, 8)
    image[2:, :2] = shown[:, :, None, None]
    mask = torch.zeros(6, 1, 8, 8)
    mask[:2, :, :4] = 2
    mask[2:] = math.nan
    depth = torch.full((6, 1, 8, 8), math.nan)
    depth[:2] = 0.5
    labelled = SelfTraining(ClassTeacher(), ClassTeacher(), paste=True)(
        Batch(image, mask, depth, photos_from(2, 6)), 0.5
    )
    assert torch.equal(labelled.mask[:2], mask[:2])
    for photo, expected in zip(labelled.mask[2:, 0], (1.0, 2.0, 0.0, math.nan), strict=True):
        assert torch.equal(photo[4:].nan_to_num(9), torch.full((4, 8), expected).nan_to_num(9))
        top = photo[:4].nan_to_num(9).unique().tolist()
        assert top in ([2.0], [9.0 if math.isnan(expected) else expected])
