import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from qumade.errors import QumadeError
from qumade.generation.executors import local_processes
from qumade.generation.journal import concatenate
from qumade.generation.worker import DrawSamples
from qumade.generation.writers import FolderWriter
from qumade.synth.synthesizer import Synthesizer

Tree = dict[str, bytes]
SUFFIXES = dict.fromkeys(("images", "masks", "depth"), ".jpg")


def chunks_of(samples: int, length: int) -> Iterator[NDArray[np.int64]]:
    return (np.arange(at, min(at + length, samples)) for at in range(0, samples, length))


def drawing(works: Any, root: Path, recipe: Any = None) -> DrawSamples:
    return DrawSamples(Synthesizer(recipe or works.recipe, works.catalog), FolderWriter(root, SUFFIXES))


@pytest.fixture
def work(works: Any, tmp_path: Path) -> DrawSamples:
    return drawing(works, tmp_path)


@pytest.mark.slow
def test_results_do_not_depend_on_the_number_of_processes_and_their_files_exist(
    works: Any, tmp_path: Path, read_tree: Callable[[Path], Tree]
) -> None:
    trees, joined = [], []
    for workers in (1, 2):
        root = tmp_path / str(workers)
        root.mkdir()
        parts = []
        for results in local_processes(drawing(works, root), chunks_of(90, 8), workers=workers):
            parts.append(results)
            for index in results.indices.tolist():
                assert all((root / folder / f"img{index + 1:06d}.jpg").stat().st_size for folder in SUFFIXES)
        joined.append(concatenate(parts, 2))
        trees.append(read_tree(root))
    assert trees[0] == trees[1]
    assert len(trees[0]) == 3 + 3 * 90
    np.testing.assert_array_equal(joined[0].indices, np.arange(90))
    np.testing.assert_array_equal(joined[0].indices, joined[1].indices)
    np.testing.assert_array_equal(joined[0].visible_fraction, joined[1].visible_fraction)
    np.testing.assert_array_equal(joined[0].depth_clipped_px, joined[1].depth_clipped_px)


@pytest.mark.slow
def test_chunks_are_taken_on_demand_and_no_process_outlives_a_closed_iterator(
    work: DrawSamples, workers_of: Callable[[int], list[int]], is_alive: Callable[[int], bool]
) -> None:
    taken = []

    def chunks() -> Iterator[NDArray[np.int64]]:
        for chunk in chunks_of(1200, 5):
            taken.append(chunk)
            yield chunk

    running = local_processes(work, chunks(), workers=2)
    next(running)
    assert len(taken) == 6
    workers = workers_of(os.getpid())
    assert len(workers) == 2
    running.close()  # type: ignore[attr-defined]
    assert not any(is_alive(pid) for pid in workers)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_in_a_worker_is_raised_unchanged(works: Any, tmp_path: Path, workers: int) -> None:
    elsewhere = works.recipe.model_copy(update={"foregrounds": tmp_path / "gone"})
    running = local_processes(drawing(works, tmp_path, elsewhere), chunks_of(60, 10), workers=workers)
    with pytest.raises(QumadeError, match=rf"^Invalid picture: got no file in {tmp_path}/gone/thing_0\.png"):
        list(running)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_folder_that_cannot_be_written_is_named(works: Any, tmp_path: Path, workers: int) -> None:
    (tmp_path / "masks").write_text("a file where the folder should be")
    running = local_processes(drawing(works, tmp_path), chunks_of(60, 10), workers=workers)
    with pytest.raises(OSError, match=str(tmp_path / "masks")):
        list(running)


@pytest.mark.slow
def test_a_killed_worker_ends_the_work_in_one_clear_line(
    work: DrawSamples, workers_of: Callable[[int], list[int]], is_alive: Callable[[int], bool]
) -> None:
    running = local_processes(work, chunks_of(1200, 50), workers=2)
    next(running)
    workers = workers_of(os.getpid())
    os.kill(workers[0], signal.SIGKILL)
    with pytest.raises(QumadeError, match=r"^A worker process ended unexpectedly .*; the same command resumes"):
        list(running)
    assert not any(is_alive(pid) for pid in workers)
