import pytest

from qumade.training.enough import undertrained


def test_few_steps_are_called_few_with_what_is_enough():
    text = undertrained(34, 102.0, pretrained=True)  # 3 seconds a step
    assert text.startswith("Undertrained: 34 steps are too few") and "--steps 300" in text and "--minutes 15 " in text
    assert "--steps 1500" in undertrained(300, 60.0, pretrained=False)


@pytest.mark.parametrize(("steps", "pretrained"), [(300, True), (1500, False), (10**6, False), (0, True)])
def test_enough_steps_need_no_word(steps, pretrained):
    assert undertrained(steps, 60.0, pretrained=pretrained) == ""


def test_an_unknown_time_gives_no_minutes():
    assert "minutes" not in undertrained(10, 0.0, pretrained=True)
