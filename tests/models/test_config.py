import subprocess
import sys

import pytest
from pydantic import ValidationError

from qumade.models.config import TASKS, NetworkConfig


@pytest.mark.parametrize(
    "change",
    [
        {"model": "huge"},
        {"inverse_depth_limits": (1.0, 1.0)},
        {"std": (0.0, 1.0, 1.0)},
        {"mean": (1.5, 0.0, 0.0)},
        {"trained_tasks": ()},
        {"trained_tasks": ("masks",)},
        {"classes": ("car",)},
        {"classes": ("car", "car")},
        {"classes": ("car", "")},
        {"classes": tuple(map(str, range(255)))},
    ],
)
def test_wrong_values_are_refused(change):
    with pytest.raises(ValidationError) as caught:
        NetworkConfig(**change)
    first, (name,) = caught.value.errors()[0], change
    assert name in NetworkConfig.model_fields
    assert name in (*first["loc"], first.get("ctx", {}).get("field"))


def test_an_unknown_field_is_refused():
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        NetworkConfig(colour=1)


def test_a_config_survives_json():
    config = NetworkConfig(model="small", inverse_depth_limits=(0.0, 1.5), depth_kind="scaled", size=(320, 192))
    assert NetworkConfig.model_validate_json(config.model_dump_json()) == config


def test_the_default_tasks_are_both():
    written = NetworkConfig(trained_tasks=("mask",)).model_dump(mode="json")
    assert NetworkConfig.model_validate(written).trained_tasks == ("mask",)
    del written["trained_tasks"]
    assert NetworkConfig.model_validate(written).trained_tasks == TASKS == ("mask", "depth")


def test_reading_a_config_needs_no_torch():
    code = "import sys, qumade.models.config; assert 'torch' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_one_class_is_written_as_before_there_were_several():
    """Weights and .onnx files of one class have the bytes that they had, and earlier versions read them."""
    written = NetworkConfig(size=(64, 32)).model_dump_json()
    assert written == (
        '{"model":"tiny","encoder":"slim_resnet18d","mean":[0.485,0.456,0.406],"std":[0.229,0.224,0.225],'
        '"inverse_depth_limits":[0.0,1.0],"depth_kind":null,"size":[64,32],"trained_tasks":["mask","depth"]}'
    )
    assert NetworkConfig().mask_channels == 1


def test_several_classes_survive_json():
    config = NetworkConfig(classes=("car", "person", "truck"))
    again = NetworkConfig.model_validate_json(config.model_dump_json())
    assert again == config and again.classes == ("car", "person", "truck") and again.mask_channels == 3
    assert config.model_dump(mode="json")["classes"] == ["car", "person", "truck"]
