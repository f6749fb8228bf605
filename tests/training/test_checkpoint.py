import os
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from qumade.errors import QumadeError
from qumade.io.files import write_bytes
from qumade.training import checkpoint
from qumade.training.checkpoint import latest_checkpoint, read_checkpoint, write_checkpoint

TENSORS = {"a": torch.arange(6.0).view(2, 3), "b": torch.tensor(3, dtype=torch.int64), "c": torch.zeros(0)}


def test_what_is_written_is_read_and_only_the_latest_is_kept(tmp_path):
    folder = tmp_path / "checkpoint"
    assert latest_checkpoint(folder) is None
    write_checkpoint(folder, 5, TENSORS, {"rows": [{"loss": 0.1}]})
    path = write_checkpoint(folder, 12, TENSORS, {"rows": [], "step": 3})
    assert latest_checkpoint(folder) == path and [entry.name for entry in folder.iterdir()] == [path.name]
    tensors, state = read_checkpoint(path)
    assert state["rows"] == [] and state["step"] == 12
    assert tensors.keys() == TENSORS.keys()
    assert all(torch.equal(tensors[name], TENSORS[name]) for name in TENSORS)


@given(st.floats(allow_nan=False, allow_infinity=False))
@settings(max_examples=20)
def test_numbers_come_back_exactly(tmp_path_factory, number):
    path = write_checkpoint(tmp_path_factory.mktemp("c"), 1, TENSORS, {"sum": number})
    assert read_checkpoint(path)[1]["sum"] == number


def test_layout_in_memory_does_not_matter(tmp_path):
    strided = torch.arange(24.0).view(1, 2, 3, 4).to(memory_format=torch.channels_last)
    path = write_checkpoint(tmp_path, 1, {"w": strided}, {})
    assert torch.equal(read_checkpoint(path)[0]["w"], strided)


@pytest.mark.parametrize("cut", [0, 4, 40, -1])
def test_a_torn_file_is_refused_by_name(tmp_path, cut):
    path = write_checkpoint(tmp_path, 1, TENSORS, {})
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(QumadeError, match=f"torn or damaged file {path}"):
        read_checkpoint(path)


def test_other_weights_are_no_checkpoint(tmp_path):
    path = tmp_path / "weights.safetensors"
    write_bytes(path, checkpoint.tensor_bytes(TENSORS, {"format": "qumade-weights/1"}))
    with pytest.raises(QumadeError, match="got format 'qumade-weights/1'"):
        read_checkpoint(path)


@pytest.mark.parametrize("broken", ["fsync", "replace"])
def test_the_one_before_stays_until_the_new_one_is_whole(tmp_path, monkeypatch, broken):
    first = write_checkpoint(tmp_path, 1, TENSORS, {})

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os if broken == "fsync" else Path, broken, fail)
    with pytest.raises(QumadeError, match=r"cannot write .*step_000000002.safetensors: No space left"):
        write_checkpoint(tmp_path, 2, TENSORS, {})
    monkeypatch.undo()
    assert latest_checkpoint(tmp_path) == first and len(list(tmp_path.iterdir())) == 1


def test_leftovers_of_a_kill_are_passed_over_and_removed(tmp_path):
    (tmp_path / ".tmp-123-step_000000009.safetensors").write_bytes(b"half")
    assert latest_checkpoint(tmp_path) is None
    path = write_checkpoint(tmp_path, 1, TENSORS, {})
    assert list(tmp_path.iterdir()) == [path]
