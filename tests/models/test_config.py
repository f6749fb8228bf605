import subprocess
import sys

import pytest
from pydantic import ValidationError

from qumade.models.config import TASKS, NetworkConfig


@pytest.mark.parametrize(
    "change",
    [
        {"model": "huge"},
        {"depth_range": (1.0, 1.0)},
        {"std": (0.0, 1.0, 1.0)},
        {"mean": (1.5, 0.0, 0.0)},
        {"colour": 1},
        {"learnt": ()},
        {"learnt": ("masks",)},
    ],
)
def test_wrong_configs_are_refused(change):
    with pytest.raises(ValidationError):
        NetworkConfig(**change)


def test_a_config_survives_json():
    config = NetworkConfig(model="small", depth_range=(0.0, 1.5), depth_kind="scaled", size=(320, 192))
    assert NetworkConfig.model_validate_json(config.model_dump_json()) == config


def test_a_config_without_what_was_learnt_learnt_both():
    written = NetworkConfig(learnt=("mask",)).model_dump(mode="json")
    assert NetworkConfig.model_validate(written).learnt == ("mask",)
    del written["learnt"]
    assert NetworkConfig.model_validate(written).learnt == TASKS == ("mask", "depth")


def test_reading_a_config_needs_no_torch():
    code = "import sys, qumade.models.config; assert 'torch' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
