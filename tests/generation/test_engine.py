import errno
import os
import random
import shutil
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

from qumade.errors import QumadeError
from qumade.generation import engine as engine_module
from qumade.generation import journal as journal_module
from qumade.generation.engine import generate
from qumade.generation.executors import this_process
from qumade.generation.journal import Results, read_journal
from qumade.generation.worker import Work
from qumade.synth.build_catalog import build_catalog
from qumade.synth.synthesizer import Synthesizer

Tree = dict[str, bytes]
ReadTree = Callable[[Path], Tree]
Wait = Callable[..., None]
SAMPLES = 3 * 4 * 100


def stamps(root: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in [root, *root.rglob("*")]}


def journaled(out: Path) -> NDArray[np.int64]:
    parts = read_journal(out / ".qumade" / "journal", 2)
    return np.concatenate([np.zeros(0, np.int64), *(part.indices for part in parts)])


def written_since(moment_ns: int, out: Path) -> int:
    folder = out / "images"
    if not folder.is_dir():
        return 0
    with os.scandir(folder) as entries, suppress(FileNotFoundError):  # a temporary file may have been removed
        return sum(entry.stat().st_mtime_ns >= moment_ns for entry in entries)
    return 0


# Output of a run


def test_a_finished_folder_holds_only_samples_manifest_and_metadata(works: Any) -> None:
    stems = [f"img{index + 1:06d}" for index in Synthesizer(works.recipe, works.catalog).indices(300)]
    expected = {f"{folder}/{stem}.jpg" for folder in ("images", "masks", "depth") for stem in stems}
    expected |= {"images/", "masks/", "depth/", "dataset.yaml", "manifest.parquet"}
    tree = works.reference(300)
    assert tree.keys() == expected
    assert all(content for name, content in tree.items() if not name.endswith("/"))


@pytest.mark.slow
@pytest.mark.parametrize("workers", [2, 3])
def test_bytes_do_not_depend_on_the_number_of_workers(works: Any, read_tree: ReadTree, workers: int) -> None:
    out = works.out()
    works.generate(out, limit=450, workers=workers)
    assert read_tree(out) == works.reference(450)


def test_bytes_do_not_depend_on_the_order_of_work(works: Any, read_tree: ReadTree) -> None:
    def backwards(work: Work, chunks: Iterable[NDArray[np.int64]]) -> Iterator[Results]:
        yield from list(this_process(work, [chunk[::-1] for chunk in chunks][::-1]))[::-1]

    out = works.out()
    works.generate(out, limit=300, executor=backwards)
    assert read_tree(out) == works.reference(300)


def test_samples_that_an_earlier_version_chose_are_not_lost(works: Any, read_tree: ReadTree) -> None:
    class EarlierChoice(Synthesizer):
        def indices(self, limit: int | None = None) -> NDArray[np.int64]:
            return np.arange(1200 if limit is None else limit)

    out = works.out()
    generate(EarlierChoice(works.recipe, works.catalog), out, limit=20, workers=1, progress=False)
    before = read_tree(out)
    with pytest.raises(QumadeError, match=r"got 40 .* holds other samples .* must be left out"):
        works.generate(out, limit=40)
    assert read_tree(out) == before
    works.generate(out)
    assert read_tree(out) == works.reference()


@pytest.mark.parametrize("most_objects", [1, 2])
def test_the_summary_adds_up_what_the_manifest_records(works: Any, most_objects: int) -> None:
    out = works.out()
    change = {"objects": (1, most_objects), "depth_near": 0.5, "min_visible": 0.9, "retries": 1}
    recipe = works.recipe.model_copy(update=change)
    summary = generate(Synthesizer(recipe, works.catalog), out, limit=300, workers=1, progress=False)
    assert summary is not None
    rows = pq.read_table(out / "manifest.parquet").to_pylist()
    things = [thing for row in rows for thing in row["objects"]]
    assert [row["index"] for row in rows] == Synthesizer(works.recipe, works.catalog).indices(300).tolist()
    assert summary.splits == dict(Counter(row["split"] for row in rows))
    assert all(0 <= thing["visible_fraction"] <= 1 for thing in things)
    assert (summary.root, summary.samples, summary.drawn) == (out, 300, 300)
    assert summary.depth_clipped_px == sum(row["depth_clipped_px"] for row in rows) > 0
    assert summary.fallbacks == sum(thing["fallback"] for thing in things) > 0
    assert summary.left_out == sum(row["objects_wanted"] - len(row["objects"]) for row in rows)
    assert (summary.left_out > 0) == (most_objects > 1)
    assert summary.rejected["crop"] == sum(row["crops_rejected"] for row in rows)
    assert summary.rejected["hidden"] > 0
    for reason in things[0]["rejected"]:
        recorded = sum(thing["rejected"][reason] for thing in things)
        # The summary also counts draws for objects that were left out, which have no row.
        assert summary.rejected[reason] == recorded if most_objects == 1 else summary.rejected[reason] >= recorded


def test_the_summary_counts_no_fallback_of_an_object_that_found_no_place(works: Any) -> None:
    out = works.out()
    change = {"objects": (1, 4), "min_visible": 0.95, "retries": 1, "scale": {"default": (0.6, 0.9)}}
    recipe = works.recipe.model_copy(update=change)
    summary = generate(Synthesizer(recipe, works.catalog), out, limit=100, workers=1, progress=False)
    rows = pq.read_table(out / "manifest.parquet").to_pylist()
    assert summary is not None and summary.left_out > 0
    assert summary.fallbacks == sum(thing["fallback"] for row in rows for thing in row["objects"])


@pytest.mark.slow
def test_memory_does_not_grow_with_the_samples(works: Any) -> None:
    resident_bytes = []

    def watched(work: Work, chunks: Iterable[NDArray[np.int64]]) -> Iterator[Results]:
        for results in this_process(work, chunks):
            pages = int(Path("/proc/self/statm").read_text().split()[1])
            resident_bytes.append(pages * os.sysconf("SC_PAGE_SIZE"))
            yield results

    recipe = works.recipe.model_copy(update={"per_pair": 250})
    generate(Synthesizer(recipe, works.catalog), works.out(), workers=1, executor=watched, progress=False)
    assert len(resident_bytes) == 24
    # After 2600 samples of 9 kB each (pixels and files), keeping every third sample would show.
    assert resident_bytes[-1] - resident_bytes[3] < 8 * 2**20


# Resuming


def test_a_larger_limit_extends_a_smaller_one(works: Any, read_tree: ReadTree) -> None:
    out = works.out()
    drawn = []
    for limit in (1, 130, 300):
        drawn.append(works.generate(out, limit=limit).drawn)
        assert read_tree(out) == works.reference(limit)
    assert drawn == [1, 129, 170]


@pytest.mark.parametrize("limit", [300, 299, 1])
def test_a_finished_dataset_is_not_touched(works: Any, read_tree: ReadTree, limit: int) -> None:
    out = works.out()
    works.generate(out, limit=300)
    before = stamps(out)
    assert works.generate(out, limit=limit) is None
    assert stamps(out) == before


def spoiled(out: Path, index: int) -> None:
    """Does one kind of damage to a file of each folder, of samples `index`, index + 1 and so on."""
    for number, folder in enumerate(("images", "masks", "depth")):
        gone, empty, torn = sorted((out / folder).iterdir())[index + 10 * number :][:3]
        gone.unlink()
        empty.write_bytes(b"")
        torn.write_bytes(torn.read_bytes()[:-7])


@pytest.mark.parametrize("limit", [300, 299, 1])
def test_a_finished_dataset_that_lost_files_is_repaired(works: Any, read_tree: ReadTree, limit: int) -> None:
    out = works.out()
    works.generate(out, limit=300)
    spoiled(out, 60)
    assert works.generate(out, limit=limit).drawn == 9
    assert read_tree(out) == works.reference(300)
    (out / "manifest.parquet").unlink()
    shutil.rmtree(out / "masks")
    assert works.generate(out, limit=limit).drawn == 300
    assert read_tree(out) == works.reference(300)


def test_files_that_are_lost_after_the_journals_word_are_drawn_again(
    works: Any, wait_until: Wait, read_tree: ReadTree
) -> None:
    out = interrupted(works, wait_until)
    spoiled(out, 0)
    before = len(journaled(out))
    assert works.generate(out).drawn == SAMPLES - before + 9
    assert read_tree(out) == works.reference()


def test_a_larger_limit_repairs_the_samples_of_a_smaller_one(works: Any, read_tree: ReadTree) -> None:
    out = works.out()
    works.generate(out, limit=130)
    spoiled(out, 5)
    assert works.generate(out, limit=300).drawn == 170 + 9
    assert read_tree(out) == works.reference(300)


def test_files_that_vanish_before_the_end_are_drawn_again(works: Any, read_tree: ReadTree) -> None:
    out = works.out()
    rounds = []

    def losing(work: Work, chunks: Iterable[NDArray[np.int64]]) -> Iterator[Results]:
        yield from this_process(work, chunks)
        rounds.append(1)
        if len(rounds) < 3:
            (out / "masks" / "img000001.jpg").unlink()

    works.generate(out, limit=40, executor=losing)
    assert len(rounds) == 3 and read_tree(out) == works.reference(40)
    rounds.clear()
    out = works.out()

    def always(work: Work, chunks: Iterable[NDArray[np.int64]]) -> Iterator[Results]:
        yield from this_process(work, chunks)
        (out / "masks" / "img000001.jpg").write_bytes(b"")

    with pytest.raises(QumadeError, match="files were gone"):
        works.generate(out, limit=40, executor=always)
    assert "complete: false" in (out / "dataset.yaml").read_text()


@pytest.mark.parametrize(
    "content", ["complete: 1\nsamples: 3", "complete: true\nsamples: x", "complete: true\nsamples: -1", "[complete]"]
)
def test_a_wrong_state_is_refused_by_name(works: Any, content: str) -> None:
    out = works.out()
    out.mkdir()
    (out / "dataset.yaml").write_text(content)
    with pytest.raises(QumadeError, match=str(out / "dataset.yaml")):
        works.generate(out, limit=3)


def interrupted(works: Any, wait_until: Wait, limit: int | None = None) -> Path:
    """Returns a dataset that was interrupted after five chunks, at least three of them in the journal."""
    out: Path = works.out()

    def breaking(work: Work, chunks: Iterable[NDArray[np.int64]]) -> Iterator[Results]:
        for number, results in enumerate(this_process(work, chunks)):
            yield results
            if number == 2:
                wait_until(lambda: len(journaled(out)) == 3 * 128)
            if number == 4:
                raise OSError(errno.EIO, os.strerror(errno.EIO))

    with pytest.raises(OSError, match=os.strerror(errno.EIO)):
        works.generate(out, limit=limit, executor=breaking)
    return out


@pytest.mark.slow
def test_after_a_power_cut_only_what_was_synced_is_trusted(works: Any, wait_until: Wait, read_tree: ReadTree) -> None:
    out = interrupted(works, wait_until)
    safe = {f"img{index + 1:06d}.jpg" for index in journaled(out).tolist()}
    lost = [path for folder in ("images", "masks", "depth") for path in (out / folder).iterdir()]
    lost = [path for path in lost if path.name not in safe]
    assert lost
    for number, path in enumerate(lost):  # a name may reach the disk before its content does
        if number % 2:
            path.unlink()
        else:
            path.write_bytes(b"")
    summary = works.generate(out)
    assert summary.drawn == SAMPLES - len(safe)
    assert read_tree(out) == works.reference()


def test_a_torn_journal_is_trusted_up_to_the_tear(works: Any, wait_until: Wait, read_tree: ReadTree) -> None:
    out = interrupted(works, wait_until)
    path = out / ".qumade" / "journal"
    record = 16 + 128 * (8 + 4 * 2 + 4 + 16 * 2)
    path.write_bytes(path.read_bytes()[: 2 * record + record // 2])
    assert works.generate(out).drawn == SAMPLES - 2 * 128
    assert read_tree(out) == works.reference()


def test_leftovers_of_killed_writers_are_removed(works: Any, wait_until: Wait, read_tree: ReadTree) -> None:
    out = interrupted(works, wait_until)
    (out / "images" / ".tmp-4711-img000001.jpg").write_bytes(b"torn")
    (out / "depth" / ".tmp-4711-img999999.jpg").write_bytes(b"")
    (out / ".tmp-4711-dataset.yaml").write_text("torn")
    (out / ".tmp-4711-manifest.parquet").write_bytes(b"torn")
    works.generate(out)
    assert read_tree(out) == works.reference()


def test_a_smaller_limit_does_not_abandon_samples_of_a_larger_one(works: Any, wait_until: Wait) -> None:
    out = interrupted(works, wait_until)
    before = stamps(out)
    with pytest.raises(QumadeError, match=rf"^Invalid limit: got 100 .*{out}.* {SAMPLES}"):
        works.generate(out, limit=100)
    assert stamps(out) == before


@pytest.mark.parametrize("step", ["_write_manifest", "rmtree", "write_metadata"])
def test_a_power_cut_at_any_final_step_can_be_resumed(
    works: Any, read_tree: ReadTree, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    out = works.out()
    works.generate(out, limit=130)

    def cut(*args: Any, **kwargs: Any) -> None:
        raise OSError(errno.EIO, "cut")

    with monkeypatch.context() as patch:
        if step == "write_metadata":  # the second call: the first one writes `complete: false`
            really_write = engine_module.write_metadata
            writes = iter([really_write, cut])
            patch.setattr(engine_module, step, lambda *args: next(writes)(*args))
        else:
            patch.setattr(shutil if step == "rmtree" else engine_module, step, cut)
        with pytest.raises(OSError, match="cut"):
            works.generate(out, limit=300)
    assert works.generate(out, limit=300).drawn == 0
    assert read_tree(out) == works.reference(300)


# Refusals


def test_another_recipe_is_refused_before_anything_is_touched(works: Any, read_tree: ReadTree) -> None:
    out = works.out()
    works.generate(out, limit=10)
    before = stamps(out)
    other = works.recipe.model_copy(update={"seed": 9})
    with pytest.raises(
        QumadeError, match=rf"^Invalid --out: {out} holds a dataset with recipe\.seed 0, this one has 9"
    ):
        generate(Synthesizer(other, works.catalog), out, limit=20, workers=1, progress=False)
    assert stamps(out) == before


@pytest.fixture
def changing_assets(works: Any, tmp_path: Path) -> Any:
    """Returns a recipe with separate assets, which a test may change."""
    for folder in ("backgrounds", "foregrounds"):
        shutil.copytree(works.root / folder, tmp_path / folder)
    folders = {folder: tmp_path / folder for folder in ("backgrounds", "foregrounds")}
    return works.recipe.model_copy(update=folders)


def test_a_changed_asset_is_refused(changing_assets: Any, tmp_path: Path) -> None:
    recipe = changing_assets
    generate(Synthesizer.from_recipe(recipe), tmp_path / "out", limit=10, workers=1, progress=False)
    shutil.copy(recipe.foregrounds / "thing_1.png", recipe.foregrounds / "thing_2.png")
    with pytest.raises(QumadeError, match=r"holds a dataset with assets\.foregrounds\[.*\.png\]\.sha256"):
        generate(Synthesizer.from_recipe(recipe), tmp_path / "out", limit=10, workers=1, progress=False)


def test_an_asset_that_changes_during_a_run_is_refused_by_name(changing_assets: Any, tmp_path: Path) -> None:
    recipe = changing_assets
    catalog = build_catalog(recipe)[0]
    path = recipe.backgrounds / "photo_1.png"
    shutil.copy(recipe.backgrounds / "photo_2.png", path)
    with pytest.raises(QumadeError, match=rf"^Invalid asset: {path} has changed"):
        generate(Synthesizer(recipe, catalog), tmp_path / "out", limit=10, workers=1, progress=False)


def test_a_foreign_folder_is_refused_untouched(works: Any) -> None:
    out = works.out()
    out.mkdir()
    (out / "thesis.txt").write_text("mine")
    before = stamps(out)
    with pytest.raises(QumadeError, match=rf"^Invalid --out: {out} is not empty and holds no dataset\.yaml"):
        works.generate(out)
    assert stamps(out) == before


# Disk failures


@pytest.mark.parametrize("writes", [0, 1, 200])
def test_a_full_disk_is_reported_and_the_run_can_be_resumed(
    works: Any, read_tree: ReadTree, full_disk: Callable[[int], None], monkeypatch: pytest.MonkeyPatch, writes: int
) -> None:
    out = works.out()
    full_disk(writes)
    with pytest.raises(OSError) as caught:
        works.generate(out, limit=130)
    monkeypatch.undo()
    assert caught.value.errno == errno.ENOSPC
    assert str(caught.value.filename).startswith(str(out))
    assert not [name for name in read_tree(out) if ".tmp" in name]
    works.generate(out, limit=130)
    assert read_tree(out) == works.reference(130)


def test_a_sync_that_fails_ends_the_work(works: Any, read_tree: ReadTree, monkeypatch: pytest.MonkeyPatch) -> None:
    out = works.out()

    def fail(file: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patch:
        patch.setattr(journal_module, "sync_filesystem", fail)
        with pytest.raises(OSError, match=os.strerror(errno.EIO)):
            works.generate(out, limit=130)
    assert len(journaled(out)) == 0
    assert works.generate(out, limit=130).drawn == 130
    assert read_tree(out) == works.reference(130)


@pytest.mark.slow
def test_a_really_full_disk(works: Any, read_tree: ReadTree) -> None:
    out = works.out()
    out.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "qumade-test", str(out)]
    try:
        if subprocess.run(mount, capture_output=True).returncode != 0:
            pytest.skip("mounting a small file system is not allowed here")
    except FileNotFoundError:
        pytest.skip("there is no mount command here")
    try:
        _, stderr = (process := works.start(out)).communicate(timeout=120)
        assert process.returncode == 1
        assert stderr.startswith(f"OSError {errno.ENOSPC}: ")
        assert str(out) in stderr
        assert "Traceback" not in stderr
        subprocess.run(["mount", "-o", "remount,size=64m", str(out)], check=True)
        works.generate(out)
        assert read_tree(out) == works.reference()
    finally:
        subprocess.run(["umount", str(out)], check=True)


# Kills


@pytest.mark.slow
def test_runs_killed_at_random_moments_resume_to_the_same_bytes(
    works: Any,
    read_tree: ReadTree,
    wait_until: Wait,
    workers_of: Callable[[int], list[int]],
    is_alive: Callable[[int], bool],
) -> None:
    moments = random.Random(5)
    out = works.out()
    victims = "all", "worker", "all", "alone"
    left_to_kill = list(victims)
    while left_to_kill:
        victim = left_to_kill[0]
        begin_ns, goal = time.time_ns(), moments.randrange(1, 150)
        process = works.start(out, workers=1 if victim == "alone" else 2)
        wait_until(
            lambda out=out, begin_ns=begin_ns, goal=goal, process=process: (
                written_since(begin_ns, out) >= goal or process.poll() is not None
            )
        )
        workers = workers_of(process.pid)
        with suppress(ProcessLookupError, IndexError):
            os.kill(moments.choice(workers) if victim == "worker" else process.pid, signal.SIGKILL)
        _, stderr = process.communicate(timeout=60)
        if process.returncode == 0 or len(journaled(out)) == SAMPLES:
            # This process was not run for so long that the other one came to its end: from the beginning.
            wait_until(lambda workers=workers: not any(is_alive(pid) for pid in workers))
            out, left_to_kill = works.out(), list(victims)
            continue
        if victim == "worker":
            assert process.returncode == 1
            assert stderr.startswith("QumadeError: A worker process ended unexpectedly")
        else:
            assert process.returncode == -signal.SIGKILL
        # No process is left that could write into the next run.
        wait_until(lambda workers=workers: not any(is_alive(pid) for pid in workers))
        left_to_kill.pop(0)
    assert "complete: false" in (out / "dataset.yaml").read_text()
    left = SAMPLES - len(journaled(out))
    summary = works.generate(out)
    assert summary.drawn == left
    assert read_tree(out) == works.reference()


@pytest.mark.slow
def test_an_interrupted_run_stops_and_resumes_to_the_same_bytes(
    works: Any, read_tree: ReadTree, wait_until: Wait, is_alive: Callable[[int], bool], workers_of: Any
) -> None:
    workers: list[int] = []
    while len(workers) < 2:  # again, where this process was not run for so long that the other one came to its end
        out = works.out()
        process = works.start(out)
        wait_until(lambda out=out: written_since(0, out) >= 40)
        os.killpg(process.pid, signal.SIGSTOP)
        workers = workers_of(process.pid)
        if len(workers) < 2:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate(timeout=60)
    with pytest.raises(QumadeError, match=rf"^Invalid --out: another process is generating into {out}"):
        works.generate(out)
    os.killpg(process.pid, signal.SIGCONT)
    os.killpg(process.pid, signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert not any(is_alive(pid) for pid in workers)
    assert stderr.rstrip().endswith("KeyboardInterrupt")
    assert stderr.count("Traceback") == 1, stderr  # one traceback of the caller, none of the workers
    assert "complete: false" in (out / "dataset.yaml").read_text()
    assert not [name for name in read_tree(out) if "/.tmp" in name]
    works.generate(out)
    assert read_tree(out) == works.reference()


@pytest.mark.slow
def test_an_interrupt_while_workers_start_is_reported_only_by_the_caller(
    works: Any, wait_until: Wait, is_alive: Callable[[int], bool], workers_of: Any
) -> None:
    process = works.start(works.out())
    wait_until(lambda: len(workers_of(process.pid)) == 2)
    workers = workers_of(process.pid)
    time.sleep(0.1)
    os.killpg(process.pid, signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert not any(is_alive(pid) for pid in workers)
    assert stderr.rstrip().endswith("KeyboardInterrupt")
    assert stderr.count("Traceback") == 1, stderr
