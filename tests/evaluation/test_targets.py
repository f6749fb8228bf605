import numpy as np
import pytest

from qumade.errors import QumadeError
from qumade.evaluation.targets import choose, predict_each

SPLITS = np.array(["train", "test", "train", "seen background", "test", ""])


@pytest.mark.parametrize(
    ("splits", "limit", "wanted"),
    [
        ((), None, [0, 1, 2, 3, 4, 5]),
        ((), 3, [0, 2, 4]),
        ((), 99, [0, 1, 2, 3, 4, 5]),
        (("test",), None, [1, 4]),
        (("test", "train"), None, [0, 1, 2, 4]),
        (("test", "train"), 2, [0, 2]),
    ],
)
def test_pictures_are_chosen_by_split_and_spread(make_samples, splits, limit, wanted):
    assert choose(make_samples(splits=SPLITS), splits, limit).tolist() == wanted


@pytest.mark.parametrize(
    ("splits", "limit", "words"),
    [
        (("val",), None, "got val of samples; must be one it has: seen background, test, train$"),
        (("test", "tset"), None, "split: got tset of samples"),
        (("tset", "val", "train"), None, "split: got tset, val of samples"),
        (("",), None, "split: got "),
        ((), 0, "limit: got 0"),
    ],
)
def test_choices_that_leave_nothing(make_samples, splits, limit, words):
    with pytest.raises(QumadeError, match=words):
        choose(make_samples(splits=SPLITS), splits, limit)


def test_a_split_of_a_dataset_without_splits_is_refused(make_samples):
    with pytest.raises(QumadeError, match=r"got test of samples; must be left out, it has no splits$"):
        choose(make_samples(splits=("", "")), ("test",))


@pytest.mark.parametrize("batch_size", [1, 2, 4, 9])
def test_each_prediction_goes_with_its_picture(make_samples, oracle, batch_size):
    samples = make_samples(5)
    predict = oracle(samples)
    seen = []
    for position, triple, predicted in predict_each(predict, samples, np.array([4, 0, 2]), batch_size):
        seen.append(position)
        np.testing.assert_array_equal(predicted.inverse_depth, triple.inverse_depth)
        assert triple is samples.triples[position]
    assert seen == [4, 0, 2] and predict.pictures == 3


def test_a_network_must_predict_each_picture(make_samples):
    with pytest.raises(QumadeError, match="got 0 of 2 pictures"):
        list(predict_each(lambda images: [], make_samples(2), np.arange(2)))
