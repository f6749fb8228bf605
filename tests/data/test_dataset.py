import numpy as np
import pytest

from qumade.data.dataset import SPLIT_NAMES, positions_of
from qumade.errors import QumadeError
from qumade.plan.splits import SAMPLE_SPLITS

CODES = np.array([SPLIT_NAMES.index(name) for name in ("train", "", "val", "train", "test")], np.int8)


def test_split_names_are_those_of_the_planner_and_one_for_unknown() -> None:
    assert set(SPLIT_NAMES) == {name or "" for name in SAMPLE_SPLITS}


def test_positions_ascend_over_all_named_splits() -> None:
    assert positions_of(CODES, ["train"]).tolist() == [0, 3]
    assert positions_of(CODES, ["test", "train", ""]).tolist() == [0, 1, 3, 4]
    assert positions_of(CODES, ["mixed"]).tolist() == []


@pytest.mark.parametrize("names", [("training",), ("train", "Val"), ()])
def test_unknown_splits_are_refused(names: tuple[str, ...]) -> None:
    with pytest.raises(QumadeError, match="Invalid split"):
        positions_of(CODES, names)
