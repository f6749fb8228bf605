import subprocess
import sys

import pytest
from pydantic import ValidationError

from qumade.data.augmentation import Augmentation


@pytest.mark.parametrize(
    "wrong",
    [
        {"mirror": 1.2},
        {"crop": (0.9, 0.8)},
        {"crop": (0.0, 1.0)},
        {"rotate_deg": -1},
        {"brightness": 1.0},
        {"blur_px": (0.0, 1.0)},
        {"jpeg_quality": (90, 30)},
        {"noise": float("nan")},
    ],
)
def test_wrong_values_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError) as caught:
        Augmentation(**wrong)
    ((name,), (first,)) = wrong, caught.value.errors()
    assert name in Augmentation.model_fields and first["loc"][0] == name


def test_an_unknown_setting_is_refused() -> None:
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        Augmentation(flip=0.5)


def test_none_sets_every_probability_to_zero() -> None:
    none = Augmentation.none()
    assert none.crop == (1.0, 1.0)
    assert not any((none.mirror, none.rotate, none.colour, none.grey, none.blur, none.noise, none.jpeg))


def test_the_settings_need_no_torch() -> None:
    code = "import sys, qumade.data.augmentation; sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
