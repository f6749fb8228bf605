from pathlib import Path

import pytest

from qumade.training.config import TrainConfig
from qumade.training.enough import undertrained

PRETRAINED = TrainConfig(data=Path("data"), pretrained="required")
RANDOM = TrainConfig(data=Path("data"), pretrained="none")


def test_few_steps_are_called_few_with_what_is_enough():
    text = undertrained(PRETRAINED, 34, 102.0)  # 3 seconds a step
    assert text.startswith("Undertrained: 34 steps are too few") and "--steps 300" in text and "--minutes 15 " in text
    assert "--steps 1500" in undertrained(RANDOM, 300, 60.0)


@pytest.mark.parametrize(("config", "steps"), [(PRETRAINED, 300), (RANDOM, 1500), (RANDOM, 10**6), (PRETRAINED, 0)])
def test_enough_steps_need_no_word(config, steps):
    assert undertrained(config, steps, 60.0) == ""


def test_a_fine_tuning_may_be_short():
    assert undertrained(TrainConfig(data=Path("data"), start_from=Path("run")), 5, 60.0) == ""


def test_an_unknown_time_gives_no_minutes():
    assert "minutes" not in undertrained(PRETRAINED, 10, 0.0)
