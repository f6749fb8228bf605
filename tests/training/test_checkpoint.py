import os
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save

from qumade.errors import QumadeError
from qumade.io.files import write_bytes
from qumade.training import checkpoint
from qumade.training.checkpoint import latest_checkpoint, read_checkpoint, read_latest, read_tensors, write_checkpoint

TENSORS = {"a": torch.arange(6.0).view(2, 3), "b": torch.tensor(3, dtype=torch.int64), "c": torch.zeros(0)}


def test_what_is_written_is_read_and_the_latest_two_are_kept(tmp_path):
    folder = tmp_path / "checkpoint"
    assert latest_checkpoint(folder) is None
    write_checkpoint(folder, 3, TENSORS, {})
    before = write_checkpoint(folder, 5, TENSORS, {"rows": [{"loss": 0.1}]})
    path = write_checkpoint(folder, 12, TENSORS, {"rows": [], "step": 3})
    assert latest_checkpoint(folder) == path and set(folder.iterdir()) == {before, path}
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


@pytest.mark.parametrize("damage", ["cut", "empty", "weights", "state"])
def test_a_damaged_checkpoint_gives_way_to_the_one_before(tmp_path, caplog, damage):
    assert read_latest(tmp_path) is None
    before = write_checkpoint(tmp_path, 5, TENSORS, {"loss": 0.5})
    last = write_checkpoint(tmp_path, 12, TENSORS, {"loss": 0.25})
    assert read_latest(tmp_path)[0] == last and not caplog.records
    whole = last.read_bytes()
    changed = {
        "cut": whole[:-3],
        "empty": b"",
        "weights": whole[:-1] + bytes([whole[-1] ^ 1]),
        "state": whole.replace(b"0.25", b"0.75"),
    }
    assert changed[damage] != whole
    last.write_bytes(changed[damage])
    path, _, state = read_latest(tmp_path)
    assert (path, state["loss"]) == (before, 0.5)
    assert str(last) in caplog.text and str(before) in caplog.text
    after = write_checkpoint(tmp_path, 8, TENSORS, {})  # the way to step 12 is gone again
    assert set(tmp_path.iterdir()) == {before, after}
    before.write_bytes(b"")
    after.write_bytes(b"")
    with pytest.raises(QumadeError, match=str(after)):
        read_latest(tmp_path)


@given(st.data())
@settings(max_examples=60)
def test_no_changed_byte_goes_unnoticed(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("c") / "w.safetensors"
    tensors = {**TENSORS, "d": torch.tensor([True, False]), "e": torch.ones(2, dtype=torch.bfloat16)}
    whole = checkpoint.tensor_bytes(tensors, {"loss": 0.1})
    at = data.draw(st.integers(0, len(whole) - 1))
    path.write_bytes(whole[:at] + bytes([whole[at] ^ data.draw(st.integers(1, 255))]) + whole[at + 1 :])
    try:
        read, state = read_tensors(path)
    except QumadeError as error:
        assert str(path) in str(error)
    else:  # the change lies in what means nothing: padding, or the name of the key of the SHA-256
        assert state in ({"loss": 0.1}, {}) and all(torch.equal(read[name], tensors[name]) for name in tensors)


def test_files_of_earlier_versions_are_read(tmp_path):
    path = tmp_path / "w.safetensors"
    path.write_bytes(save(TENSORS, {"state": '{"step": 3}'}))
    tensors, state = read_tensors(path)
    assert state == {"step": 3} and all(torch.equal(tensors[name], TENSORS[name]) for name in TENSORS)


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
