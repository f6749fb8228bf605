"""Measure the speed of `qumade generate` next to two baselines measured at the same time.

    python benchmarks/bench_generate.py --backgrounds D --foregrounds D --out SCRATCH

The floor: the same number of processes encode prepared arrays with the same encoder and settings and write the same
files. The Pillow loop: the steps of a typical notebook for one sample (mirror, resize to twice the size, crop, paste,
resize, save image and mask) on one core. Disks and other processes are noisy, so generate and the baselines alternate
and medians are printed. CPU time, which other processes affect less, is printed beside wall-clock time. These runs use
only a few of the backgrounds, so each is used as often as in the full dataset. `--out` in memory (/dev/shm) excludes
the disk. All written files are removed.

--profile shows how one core spends its time, --threads compares two threads with two processes; --long N
makes one run of N samples over all backgrounds (0: the full dataset) and reports its time and peak memory.
"""

import argparse
import multiprocessing
import os
import random
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from qumade.compose.sample import Sample
from qumade.data.encode import encode_sample, folder_settings
from qumade.depth.encoding import DepthEncoding
from qumade.generation.worker import DrawSamples
from qumade.generation.writers import FolderWriter
from qumade.io.files import sync_filesystem
from qumade.plan.indices import stem
from qumade.recipe import Recipe
from qumade.synth.synthesizer import Synthesizer

CHUNK = 128
READY_SAMPLES = 32
FEW_BACKGROUNDS = 6
START_SAMPLES = 4000  # a run after which every worker has read every asset


class Run(NamedTuple):
    """One measurement. `cpu_s`: CPU seconds over all cores, which other processes hardly affect."""

    seconds: float
    cpu_s: float
    peak_bytes: int = 0


class Job(NamedTuple):
    """One configuration of generate, with the assets already read."""

    synthesizer: Synthesizer
    scratch: Path

    @property
    def recipe(self) -> Recipe:
        return self.synthesizer.recipe

    def command(self, out: Path, limit: int | None, workers: int) -> list[str]:
        width, height = self.recipe.size
        command = [sys.executable, "-c", "from qumade.cli import main; main()", "generate", "--out", str(out)]
        command += ["--backgrounds", str(self.recipe.backgrounds), "--foregrounds", str(self.recipe.foregrounds)]
        command += ["--size", f"{width}x{height}", "--encoding", self.recipe.encoding, "--workers", str(workers)]
        return command + (["--limit", str(limit)] if limit else [])


@contextmanager
def scratch_folder(parent: Path) -> Iterator[Path]:
    """Make a new folder after the disk has finished pending writes, so no run pays for earlier ones."""
    folder = Path(tempfile.mkdtemp(prefix="bench-", dir=parent))
    os.sync()
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def wait_for_disk(folder: Path) -> None:
    file = os.open(folder, os.O_RDONLY)
    sync_filesystem(file)
    os.close(file)


# Measurements


def run_generate(job: Job, limit: int | None, workers: int) -> Run:
    """Time the whole process from start to exit, and measure the peak memory of it and its workers together."""
    with scratch_folder(job.scratch) as folder:
        begin, cpu_before_s = time.perf_counter(), children_cpu_s()
        process = subprocess.Popen(
            job.command(folder / "data", limit, workers), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        peak = [0]
        ended = threading.Event()

        def watch() -> None:
            while not ended.wait(0.2):
                peak[0] = max(peak[0], resident_bytes(process.pid))

        watcher = threading.Thread(target=watch)
        watcher.start()
        _, errors = process.communicate()
        seconds = time.perf_counter() - begin
        ended.set()
        watcher.join()
        if process.returncode:
            raise SystemExit(errors.decode())
        return Run(seconds, children_cpu_s() - cpu_before_s, peak[0])


def children_cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def resident_bytes(pid: int) -> int:
    """Return the proportional set size of a process and its children: shared pages count once."""
    total = 0
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                total += 1024 * int(line.split()[1])
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            total += resident_bytes(int(child))
    except OSError:  # the process has ended
        pass
    return total


def run_floor(job: Job, ready: list[Sample], depth: DepthEncoding, samples: int, workers: int) -> Run:
    """Time the floor, from started processes with prepared arrays to the last synced file."""
    suffixes = {folder: code["suffix"] for folder, code in folder_settings(job.recipe).items()}
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(workers + 1)
    cpu_s = context.Array("d", workers)
    with scratch_folder(job.scratch) as root:
        for folder in suffixes:
            (root / folder).mkdir()
        arguments = (barrier, cpu_s, root, suffixes, ready, depth, job.recipe.encoding, samples, workers)
        processes = [context.Process(target=floor_worker, args=(n, *arguments)) for n in range(workers)]
        for process in processes:
            process.start()
        barrier.wait()
        begin = time.perf_counter()
        barrier.wait()
        wait_for_disk(root)
        seconds = time.perf_counter() - begin
        for process in processes:
            process.join()
    return Run(seconds, sum(cpu_s[:]))


def floor_worker(
    number: int,
    barrier: Any,
    cpu_s: Any,
    root: Path,
    suffixes: dict[str, str],
    ready: list[Sample],
    depth: DepthEncoding,
    encoding: str,
    samples: int,
    workers: int,
) -> None:
    """Encode prepared samples in turn and write their files under plain names."""
    folders = {folder: os.open(root / folder, os.O_RDONLY) for folder in suffixes}
    encode_sample(ready[0], depth, encoding)
    barrier.wait()
    begin_s = time.process_time()
    for start in range(number * CHUNK, samples, workers * CHUNK):
        for index in range(start, min(start + CHUNK, samples)):
            encoded = encode_sample(ready[index % len(ready)], depth, encoding)
            for folder, content in encoded.files.items():
                name = stem(index, samples) + suffixes[folder]
                file = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666, dir_fd=folders[folder])
                os.write(file, content)
                os.close(file)
    cpu_s[number] = time.process_time() - begin_s
    barrier.wait()


def run_pillow(job: Job, seconds: float) -> float:
    """Return the CPU seconds per sample of the Pillow loop, with assets decoded in advance."""
    draw = random.Random(0)
    names = [background.name for background in job.synthesizer.catalog.backgrounds]
    photos = [
        Image.open(job.recipe.backgrounds / name).convert("RGB") for name in draw.sample(names, min(8, len(names)))
    ]
    names = sorted({foreground.name for foreground in job.synthesizer.catalog.foregrounds})
    cutouts = [
        Image.open(job.recipe.foregrounds / name).convert("RGBA") for name in draw.sample(names, min(16, len(names)))
    ]
    width, height = job.recipe.size
    double = 2 * width, 2 * height
    with scratch_folder(job.scratch) as root:
        begin, done = time.process_time(), 0
        while time.process_time() - begin < seconds:
            photo, cutout = draw.choice(photos), draw.choice(cutouts)
            if draw.random() < 0.5:
                photo = ImageOps.mirror(photo)
            factor = max(double[0] / photo.width, double[1] / photo.height)
            photo = photo.resize(
                (max(double[0], round(photo.width * factor)), max(double[1], round(photo.height * factor)))
            )
            left, top = draw.randint(0, photo.width - double[0]), draw.randint(0, photo.height - double[1])
            photo = photo.crop((left, top, left + double[0], top + double[1]))
            scale = draw.uniform(0.1, 0.5) * (double[0] * double[1] / (cutout.width * cutout.height)) ** 0.5
            cutout = cutout.resize((max(1, round(cutout.width * scale)), max(1, round(cutout.height * scale))))
            corner = (
                draw.randint(0, double[0] - 1) - cutout.width // 2,
                draw.randint(height, double[1]) - cutout.height // 2,
            )
            mask = Image.new("L", double)
            photo.paste(cutout, corner, cutout)
            mask.paste(cutout.getchannel("A"), corner)
            photo.resize((width, height)).save(root / f"image{done}.jpg")
            mask.resize((width, height)).save(root / f"mask{done}.jpg")
            done += 1
        return (time.process_time() - begin) / done


# Output


def compare(job: Job, samples: int, workers: int, rounds: int, pillow_s: float) -> None:
    """Alternate start-up runs, generate, the floor and the Pillow loop, and print medians."""
    ready, code = ready_samples(job)
    more = samples - START_SAMPLES
    rows = []
    for number in range(rounds):
        start, whole = run_generate(job, START_SAMPLES, workers), run_generate(job, samples, workers)
        floor = run_floor(job, ready, code, samples, workers)
        row = {
            "whole": samples / whole.seconds,
            "steady": more / (whole.seconds - start.seconds),
            "floor": samples / floor.seconds,
            "cpu": (whole.cpu_s - start.cpu_s) / more,
            "floor_cpu": floor.cpu_s / samples,
            "peak": whole.peak_bytes / 2**20,
        }
        if pillow_s:
            start, whole = run_generate(job, START_SAMPLES, 1), run_generate(job, samples, 1)
            row["one_core"] = more / (whole.seconds - start.seconds)
            row["one_core_cpu"] = (whole.cpu_s - start.cpu_s) / more
            row["pillow_cpu"] = run_pillow(job, pillow_s)
        rows.append(row)
        print(f"  round {number + 1}: " + ", ".join(f"{name} {value:.4g}" for name, value in row.items()), flush=True)
    middle = {name: statistics.median(row[name] for row in rows) for name in rows[0]}
    start_s = statistics.median(samples / row["whole"] - samples / row["steady"] for row in rows)
    width, height = job.recipe.size
    cpu_us, floor_us = 1e6 * middle["cpu"], 1e6 * middle["floor_cpu"]
    print(f"{width}x{height} {job.recipe.encoding}, {workers} workers, medians of {rounds} rounds, {samples:,} samples")
    print(f"  generate, start to exit    {middle['whole']:8,.0f} samples/s, {start_s:.1f} s of it to start and to end")
    print(f"  generate, once it runs     {middle['steady']:8,.0f} samples/s, {cpu_us:,.0f} us of a core each")
    print(f"  floor                      {middle['floor']:8,.0f} samples/s, {floor_us:,.0f} us each")
    time_share = statistics.median(row["steady"] / row["floor"] for row in rows)
    cpu_share = statistics.median(row["floor_cpu"] / row["cpu"] for row in rows)
    print(f"  generate / floor           {time_share:8.2f} by the clock, {cpu_share:.2f} by the cores' time")
    print(f"  peak memory of all         {middle['peak']:8,.0f} MiB")
    if pillow_s:
        one, pillow = middle["one_core_cpu"], middle["pillow_cpu"]
        times = statistics.median(row["pillow_cpu"] / row["one_core_cpu"] for row in rows)
        print(f"  generate with one worker   {middle['one_core']:8,.0f} samples/s, {1e6 * one:,.0f} us of a core each")
        print(f"  Pillow loop on one core    {1 / pillow:8,.0f} samples/s of core time, {1e6 * pillow:,.0f} us each")
        print(f"  one worker / Pillow loop   {times:8.0f} by the core's time")


def run_long(job: Job, limit: int | None, workers: int) -> None:
    """Compare one long run with its floor, and with the memory of a short run."""
    ready, code = ready_samples(job)
    samples = len(all_indices(job, limit))
    short, run = run_generate(job, 4000, workers), run_generate(job, limit, workers)
    floor = run_floor(job, ready, code, samples, workers)
    print(f"One run of {samples:,} samples: {run.seconds:.1f} s, {samples / run.seconds:,.0f} samples/s start to exit")
    print(f"  floor {samples / floor.seconds:,.0f} samples/s; generate / floor {floor.seconds / run.seconds:.2f}")
    print(f"  peak memory {run.peak_bytes / 2**20:,.0f} MiB; of 4,000 samples {short.peak_bytes / 2**20:,.0f} MiB")


def profile(job: Job, samples: int) -> None:
    """Profile one core in the middle of a long run: all cut-outs are cached, and samples are in index order."""
    synthesizer = job.synthesizer
    begin = time.process_time()
    for indices in np.array_split(np.arange(len(job.synthesizer.catalog.foregrounds)) * job.recipe.per_pair, 8):
        plans = synthesizer.plan(indices)
        for n in range(len(plans)):
            encode_sample(synthesizer.render(plans[n]), synthesizer.depth_encoding, job.recipe.encoding)
    seconds = time.process_time() - begin
    width, height = job.recipe.size
    print(f"One core, {width}x{height} {job.recipe.encoding}, microseconds of the core's time a sample")
    print(f"  (and {seconds:.2f} s once, until all {len(job.synthesizer.catalog.foregrounds)} cut-outs have been met)")
    spent = dict.fromkeys(("plan", "draw", "encode", "write"), 0.0)
    clock = time.thread_time
    suffixes = {folder: code["suffix"] for folder, code in folder_settings(job.recipe).items()}
    with scratch_folder(job.scratch) as root:
        writer = FolderWriter(root, suffixes)
        writer.open()
        whole = clock()
        for indices in np.array_split(np.arange(min(samples, len(synthesizer))), max(1, samples // CHUNK)):
            t0 = clock()
            plans = synthesizer.plan(indices)
            spent["plan"] += clock() - t0
            for n, index in enumerate(indices.tolist()):
                t0 = clock()
                sample = synthesizer.render(plans[n])
                t1 = clock()
                encoded = encode_sample(sample, synthesizer.depth_encoding, job.recipe.encoding)
                t2 = clock()
                writer.write(synthesizer.stem(index), encoded)
                t3 = clock()
                spent["draw"] += t1 - t0
                spent["encode"] += t2 - t1
                spent["write"] += t3 - t2
        whole = clock() - whole
        writer.close()
    for name, seconds in spent.items():
        print(f"  {name:8} {1e6 * seconds / samples:7.1f}")
    print(f"  all      {1e6 * whole / samples:7.1f}, {samples / whole:,.0f} samples/s")
    print(f"  Pillow   {1e6 * run_pillow(job, 5.0):7.1f}")


def threads_or_processes(job: Job, samples: int) -> None:
    """Compare two threads of one process with two processes, each with its own Synthesizer and writer."""
    halves = np.array_split(all_indices(job, samples), 2)
    suffixes = {folder: code["suffix"] for folder, code in folder_settings(job.recipe).items()}
    for kind in ("threads", "processes", "threads", "processes", "threads", "processes"):
        context: Any = threading if kind == "threads" else multiprocessing.get_context("spawn")
        barrier = context.Barrier(3)
        start = threading.Thread if kind == "threads" else context.Process
        with scratch_folder(job.scratch) as root:
            roots = [root / str(n) for n in range(2)]
            for part in roots:
                part.mkdir()
            arguments = [(job, half, part, suffixes, barrier) for half, part in zip(halves, roots, strict=True)]
            started = [start(target=draw_all, args=given) for given in arguments]
            for one in started:
                one.start()
            barrier.wait()
            begin = time.perf_counter()
            barrier.wait()
            seconds = time.perf_counter() - begin
            for one in started:
                one.join()
        print(f"2 {kind:10} {samples / seconds:8,.0f} samples/s")


def draw_all(job: Job, indices: NDArray[np.int64], root: Path, suffixes: dict[str, str], barrier: Any) -> None:
    synthesizer = Synthesizer(job.recipe, job.synthesizer.catalog)
    work = DrawSamples(synthesizer, FolderWriter(root, suffixes))
    work.open()
    work(indices[::17], lambda: False)
    barrier.wait()
    for at in range(0, len(indices), CHUNK):
        work(indices[at : at + CHUNK], lambda: False)
    barrier.wait()
    work.close()


def all_indices(job: Job, limit: int | None) -> NDArray[np.int64]:
    return job.synthesizer.indices(limit)


def ready_samples(job: Job) -> tuple[list[Sample], DepthEncoding]:
    """Return drawn samples of several assets for the floor to encode."""
    synthesizer = job.synthesizer
    plans = synthesizer.plan(all_indices(job, READY_SAMPLES))
    if synthesizer.depth_encoding is None:
        raise ValueError("a recipe without depth")
    return [synthesizer.render(plans[n]) for n in range(len(plans))], synthesizer.depth_encoding


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backgrounds", type=Path, required=True)
    parser.add_argument("--foregrounds", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True, help="working folder; its disk affects the result")
    parser.add_argument("--limit", type=int, default=24_000, help="samples per run (24000)")
    parser.add_argument("--rounds", type=int, default=5, help="runs of each kind (5)")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--encoding", choices=["jpeg", "lossless"], default="jpeg")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--variants", action="store_true", help="also 512x512, and lossless, in shorter runs")
    parser.add_argument("--long", type=int, metavar="N", help="only this: one run of N samples, 0: the full dataset")
    parser.add_argument("--profile", action="store_true", help="only this: profile one core")
    parser.add_argument("--threads", action="store_true", help="only this: two threads against two processes")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    folders = {"backgrounds": given.backgrounds, "foregrounds": given.foregrounds}
    recipe = Recipe(**folders, size=(given.size, given.size), encoding=given.encoding)
    job = Job(Synthesizer.from_recipe(recipe), given.out)
    if given.long is not None:
        run_long(job, given.long or None, given.workers)
        return
    with scratch_folder(given.out) as folder:
        for background in job.synthesizer.catalog.backgrounds[:FEW_BACKGROUNDS]:
            shutil.copy(recipe.backgrounds / background.name, folder)
        few = recipe.model_copy(update={"backgrounds": folder})
        measure(Job(Synthesizer.from_recipe(few), given.out), given)


def measure(job: Job, given: argparse.Namespace) -> None:
    if given.profile:
        profile(job, given.limit)
    if given.threads:
        threads_or_processes(job, given.limit)
    if given.profile or given.threads:
        return
    compare(job, given.limit, given.workers, given.rounds, pillow_s=5.0)
    if given.variants:
        for change in ({"size": (512, 512)}, {"encoding": "lossless"}):
            other = job.recipe.model_copy(update=change)
            compare(
                Job(Synthesizer(other, job.synthesizer.catalog), job.scratch),
                given.limit // 2,
                given.workers,
                max(1, given.rounds // 2),
                pillow_s=0.0,
            )


if __name__ == "__main__":
    main()
