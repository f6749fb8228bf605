from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from qumade.errors import QumadeError
from qumade.teachers import cutout
from qumade.teachers.cutout import cutout_teacher

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from onnx import TensorProto, helper  # noqa: E402

SETTINGS: dict[str, Any] = {"input_size": [48, 32], "mean": [0, 0, 0], "std": [1, 1, 1], "output": "probability"}


def red_network(file: Path, **settings: Any) -> Path:
    """A network whose output is the red channel of its input, as 0..1, [N, 1, H, W]."""
    ends = [helper.make_tensor(name, TensorProto.INT64, [1], [value]) for name, value in (("from", 0), ("to", 1))]
    graph = helper.make_graph(
        [helper.make_node("Slice", ["x", "from", "to", "to"], ["red"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, 32, 48])],
        [helper.make_tensor_value_info("red", TensorProto.FLOAT, None)],
        ends,
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), file)
    file.with_suffix(".yaml").write_text(yaml.safe_dump(SETTINGS | settings))
    return file


def picture(height: int = 90, width: int = 120) -> np.ndarray:
    """A red object before blue."""
    found = np.zeros((height, width, 3), np.uint8)
    found[..., 2] = 255
    found[height // 4 : -height // 4, width // 4 : -width // 4] = 255, 0, 0
    return found


def test_the_probability_becomes_alpha_at_the_size_of_the_picture(tmp_path: Path) -> None:
    teacher = cutout_teacher(red_network(tmp_path / "red.onnx"))
    alpha = teacher.predict(picture())
    assert teacher.name == "red.onnx" and alpha.shape == (90, 120) and alpha.dtype == np.uint8
    assert alpha[45, 60] == 255 and alpha[5, 5] == 0
    assert np.mean((alpha >= 128) != (picture()[..., 0] == 255)) < 0.05


def test_logits_are_told_from_probabilities_by_the_settings(tmp_path: Path) -> None:
    settings = {"std": [0.05, 1, 1], "mean": [0.5, 0, 0]}  # red 1 becomes 10, red 0 becomes -10
    file = red_network(tmp_path / "logits.onnx", output="logits", **settings)
    alpha = cutout_teacher(file).predict(picture())
    assert alpha[45, 60] == 255 and alpha[5, 5] == 0
    wrong = red_network(tmp_path / "wrong.onnx", **settings)
    with pytest.raises(QumadeError, match=r"values from -10 to 10 in .*wrong\.onnx; must be from 0 to 1"):
        cutout_teacher(wrong).predict(picture())


def test_settings_that_are_missing_or_wrong_are_refused(tmp_path: Path) -> None:
    file = red_network(tmp_path / "red.onnx", output="depth")
    with pytest.raises(QumadeError, match="output"):
        cutout_teacher(file)
    file.with_suffix(".yaml").unlink()
    with pytest.raises(QumadeError, match=r"got no file .*red.yaml; must be YAML with input_size, mean, std, output"):
        cutout_teacher(file)


def test_auto_takes_the_default_network_from_the_disk_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def download(name: str, file: str, *, local_files_only: bool) -> str:
        asked.append((name, local_files_only))
        if local_files_only:
            raise OSError("not there")
        return str(red_network(tmp_path / "default.onnx"))

    monkeypatch.setattr("huggingface_hub.hf_hub_download", download)
    monkeypatch.setattr(cutout, "_DEFAULT_SETTINGS", SETTINGS)
    with pytest.raises(QumadeError, match="which is not on disk; fetch it with --download, or with: hf download"):
        cutout_teacher("auto")
    assert cutout_teacher("auto", download=True).predict(picture())[45, 60] == 255
    assert asked == [(cutout.DEFAULT_MODEL, True), (cutout.DEFAULT_MODEL, False)]


def test_a_network_for_segments_cuts_out_all_but_the_background(monkeypatch: pytest.MonkeyPatch) -> None:
    class Teacher:
        names: dict[str, tuple[int, ...]]
        predict = staticmethod(lambda pictures, size: [(one[..., 0] > 100).astype(np.uint16) * 2 for one in pictures])

    monkeypatch.setattr(cutout, "segmentation_teacher", lambda model, download: Teacher)
    Teacher.names = {"Background": (0, 1), "shoe": (2,)}
    np.testing.assert_array_equal(cutout_teacher("org/shoes").predict(picture()), picture()[..., 0])
    Teacher.names = {"road": (0,), "sky": (1,)}
    with pytest.raises(QumadeError, match="got classes road, sky in org/streets; must have one that is called backgr"):
        cutout_teacher("org/streets")
