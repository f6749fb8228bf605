import errno
import os
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qumade.generation import journal as journal_module
from qumade.generation.journal import Journal, Results, concatenate, read_journal
from qumade.io.files import sync_filesystem


def results_of(*indices: int, objects: int = 2) -> Results:
    """Returns results whose values follow from the index."""
    numbers = np.array(indices, np.int64)
    visible = (numbers[:, None] / 7 + np.arange(objects)).astype(np.float32)
    visible[numbers % 2 == 1, 1:] = np.nan
    boxes = (numbers[:, None, None] + np.arange(4 * objects).reshape(objects, 4)).astype(np.int32)
    return Results(numbers, visible, (numbers * 3).astype(np.int32), boxes)


def assert_equal(found: Results, expected: Results) -> None:
    np.testing.assert_array_equal(found.indices, expected.indices)
    np.testing.assert_array_equal(found.visible_fraction, expected.visible_fraction)
    np.testing.assert_array_equal(found.depth_clipped_px, expected.depth_clipped_px)
    np.testing.assert_array_equal(found.visible_box, expected.visible_box)


@pytest.fixture
def written(tmp_path: Path) -> Path:
    """Returns the path of a journal with three records of 3, 1 and 2 samples."""
    path = tmp_path / "state" / "journal"
    journal = Journal(path, 2, 1000.0)
    for part in (results_of(0, 1, 5), results_of(4), results_of(2, 7)):
        journal.add(part)
    journal.close(sync=True)
    return path


def record_bytes(samples: int, objects: int = 2) -> int:
    return 16 + samples * (8 + 4 * objects + 4 + 16 * objects)


def test_records_are_read_back(written: Path) -> None:
    found = read_journal(written, 2)
    assert [part.indices.tolist() for part in found] == [[0, 1, 5], [4], [2, 7]]
    assert_equal(concatenate(found, 2), results_of(0, 1, 2, 4, 5, 7))


def test_no_journal_has_no_records(tmp_path: Path) -> None:
    assert read_journal(tmp_path / "journal", 1) == []
    assert_equal(concatenate([], 3), Results.empty(0, 3))


def test_a_sample_drawn_twice_counts_once() -> None:
    first, again = results_of(3, 1), results_of(2, 3)
    again.depth_clipped_px[1] = 99
    assert_equal(concatenate([first, again], 2), results_of(1, 2, 3))


def test_a_torn_last_record_is_skipped(written: Path) -> None:
    data = written.read_bytes()
    ends = np.cumsum([record_bytes(3), record_bytes(1), record_bytes(2)])
    assert ends[-1] == len(data)
    for length in range(len(data) + 1):
        written.write_bytes(data[:length])
        assert len(read_journal(written, 2)) == int((ends <= length).sum())


@given(at=st.integers(0, record_bytes(3) + record_bytes(1) + record_bytes(2) - 1), bit=st.integers(0, 7))
def test_a_flipped_bit_ends_the_journal_at_its_record(
    tmp_path_factory: pytest.TempPathFactory, at: int, bit: int
) -> None:
    path = tmp_path_factory.mktemp("journal") / "journal"
    parts = [results_of(0, 1, 5), results_of(4), results_of(2, 7)]
    journal = Journal(path, 2, 1000.0)
    for part in parts:
        journal.add(part)
    journal.close(sync=True)
    data = bytearray(path.read_bytes())
    data[at] ^= 1 << bit
    path.write_bytes(data)
    ends = np.cumsum([record_bytes(3), record_bytes(1), record_bytes(2)])
    found = read_journal(path, 2)
    assert len(found) == int((ends <= at).sum())
    for part, expected in zip(found, parts, strict=False):
        assert_equal(part, expected)


@pytest.mark.parametrize("tail", [b"\0" * 40, struct.pack("<4sIII", b"QMJ1", 2**32 - 1, 2, 0), b"QMJ1"])
def test_data_after_a_torn_record_is_truncated_before_appending(written: Path, tail: bytes) -> None:
    whole = written.read_bytes()
    written.write_bytes(whole + tail)
    journal = Journal(written, 2, 1000.0)
    assert written.read_bytes() == whole
    journal.add(results_of(9))
    journal.close(sync=True)
    assert [part.indices.tolist() for part in read_journal(written, 2)] == [[0, 1, 5], [4], [2, 7], [9]]


def test_records_of_another_number_of_objects_are_not_read(written: Path) -> None:
    assert read_journal(written, 1) == []


def test_a_sync_records_only_results_added_before_it_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wait_until: Callable[..., None]
) -> None:
    path = tmp_path / "journal"
    seen: list[tuple[list[int], list[int]]] = []  # results added before each sync, results recorded at its end
    taken: list[int] = []

    def sync(file: int) -> None:
        before = [index for part in read_journal(path, 2) for index in part.indices.tolist()]
        assert os.fstat(file).st_ino == path.stat().st_ino
        seen.append((list(taken), before))
        if len(taken) < 4:  # more results are added during the sync
            taken.append(len(taken))
            journal.add(results_of(taken[-1]))

    monkeypatch.setattr(journal_module, "sync_filesystem", sync)
    journal = Journal(path, 2, 0.001)
    taken.append(0)
    journal.add(results_of(0))
    wait_until(lambda: len(seen) >= 4)
    journal.close(sync=True)
    # At each sync, the journal holds exactly the results that were added before the previous sync.
    assert [before for _, before in seen] == [[], *(taken for taken, _ in seen[:-1])]
    assert [part.indices.tolist() for part in read_journal(path, 2)] == [[0], [1], [2], [3]]


def test_without_a_sync_nothing_is_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_module, "sync_filesystem", lambda file: pytest.fail("synced"))
    journal = Journal(tmp_path / "journal", 2, 1000.0)
    journal.add(results_of(1))
    journal.close(sync=False)
    assert read_journal(tmp_path / "journal", 2) == []


def test_a_failed_sync_records_nothing_and_is_raised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def sync(file: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(journal_module, "sync_filesystem", sync)
    journal = Journal(tmp_path / "journal", 2, 0.001)
    journal.add(results_of(1))
    journal._thread.join(10)
    with pytest.raises(OSError, match=os.strerror(errno.EIO)):
        journal.add(results_of(2))
    with pytest.raises(OSError, match=os.strerror(errno.EIO)):
        journal.close(sync=True)
    assert read_journal(tmp_path / "journal", 2) == []


def test_a_failed_sync_at_the_end_is_raised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def sync(file: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(journal_module, "sync_filesystem", sync)
    journal = Journal(tmp_path / "journal", 2, 1000.0)
    journal.add(results_of(1))
    with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
        journal.close(sync=True)
    assert read_journal(tmp_path / "journal", 2) == []


def test_a_full_disk_is_raised_when_recording(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal", 2, 1000.0)
    with Path("/dev/full").open("wb", buffering=0) as full:
        journal._file = full  # type: ignore[assignment]
        journal.add(results_of(1))
        with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
            journal.close(sync=True)


def test_syncing_an_open_file_works_and_a_closed_one_is_an_error(tmp_path: Path) -> None:
    file = os.open(tmp_path, os.O_RDONLY)
    sync_filesystem(file)
    os.close(file)
    with pytest.raises(OSError, match=os.strerror(errno.EBADF)):
        sync_filesystem(file)
