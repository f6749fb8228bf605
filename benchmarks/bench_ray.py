"""Measure `qumade generate --executor ray`: the start of a node, next to local processes, and two nodes next to one.

    python benchmarks/bench_ray.py start|local|nodes|cutouts --backgrounds D --foregrounds D --out SCRATCH

`start`: a node whose cache of machine code is empty joins a cluster. Seconds until its first sample is drawn, with and
without the machine code of this process.
`local`: a cluster of one node of `--workers` cores, and as many local processes.
`nodes`: clusters of two and of one node of one core each, all on this machine, which needs two free cores.
`cutouts`: a process has room for `--room` bytes of cut-outs; it decodes the others again, or takes them from Ray.

Runs alternate, each in a process of its own, and medians are printed. Speed is that between the first quarter of the
shards and the last ones, so starting and ending do not count. Where other processes take the cores, look at the seconds
of processor time for each sample, of all processes of a run together. Written files are removed.
"""

import argparse
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from qumade.data.encode import encode_sample
from qumade.generation import ray_executor
from qumade.generation.executors import local_processes
from qumade.generation.shard_engine import generate_shards
from qumade.recipe import Recipe
from qumade.synth.synthesizer import Synthesizer

ARMS = {
    "start": ("without", "with"),
    "local": ("processes", "ray"),
    "nodes": ("one", "two"),
    "cutouts": ("decoded", "shared"),
}


class FirstSample:
    """Work that draws one sample in each unit, and tells the times of its steps in its process."""

    def __init__(self, synthesizer: Synthesizer) -> None:
        self.synthesizer = synthesizer
        self.times: dict[str, float] = {}

    def open(self) -> None:
        self.times = {"process": process_start(), "open": time.time()}

    def close(self) -> None:
        """Nothing to end."""

    def __call__(self, unit: int, stopped: Callable[[], bool]) -> dict[str, float]:
        times = self.times | {"call": time.time()}
        sample = self.synthesizer[unit]
        encode_sample(sample, self.synthesizer.depth_encoding, self.synthesizer.recipe.encoding)
        return times | {"sample": time.time(), "processor": time.process_time()}


def process_start() -> float:
    """Return when this process began, in seconds since 1970."""
    ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
    up = float(Path("/proc/uptime").read_text().split()[0])
    return time.time() - up + ticks / os.sysconf("SC_CLK_TCK")


def processor_seconds() -> float:
    """Return the processor time of this process and of all that descend from it."""
    fields = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            rest = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        fields[int(stat.parent.name)] = int(rest[1]), sum(map(int, rest[11:15]))  # parent; its own and waited-for ticks

    def mine(pid: int) -> bool:
        while pid not in (0, os.getpid()):
            pid = fields[pid][0] if pid in fields else 0
        return pid != 0

    return sum(ticks for pid, (_, ticks) in fields.items() if mine(pid)) / os.sysconf("SC_CLK_TCK")


def free_ports() -> dict[str, int]:
    """Return free ports for a node's agents, for which it need not wait then."""
    names = ("metrics_agent_port", "metrics_export_port", "dashboard_agent_listen_port", "runtime_env_agent_port")
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in names]
    ports = dict(zip(names, (each.getsockname()[1] for each in sockets), strict=True))
    for each in sockets:
        each.close()
    return ports


@contextmanager
def cluster(cores: int = 0) -> Iterator[Any]:
    """A head; tasks run on its cores and on the nodes that are added."""
    from ray.cluster_utils import Cluster

    made = Cluster()
    head = {"include_dashboard": False, "include_log_monitor": False}
    try:
        made.add_node(num_cpus=cores, object_store_memory=200 << 20, **free_ports(), **head)
        yield made
    finally:
        made.shutdown()


def start(synthesizer: Synthesizer, arm: str, out: Path) -> dict[str, float]:
    synthesizer[0]  # compiles
    if arm == "without":
        ray_executor.compiled_code = dict
    with cluster() as made:
        begin = time.time()
        node = made.add_node(
            num_cpus=1,
            object_store_memory=200 << 20,
            **free_ports(),
            env_vars={"NUMBA_CACHE_DIR": str(out / "compiled")},
        )
        joined = time.time()
        times = next(ray_executor.ray_tasks(FirstSample(synthesizer), [0], address=made.address))
        del node
    return {
        "node": joined - begin,
        "worker": times["process"] - joined,
        "imports and machine code": times["open"] - times["process"],
        "sample": times["sample"] - times["call"],
        "processor seconds of the worker": times["processor"],
        "from the start of the node": times["sample"] - begin,
        "from the start of the worker": times["sample"] - times["process"],
    }


def speed(synthesizer: Synthesizer, executor: Any, out: Path, shards: int, samples: int) -> dict[str, float]:
    marks: list[tuple[float, float, int]] = []

    def timed(work: Any, units: Any) -> Iterator[Any]:
        for entry in executor(work, units):
            marks.append((time.perf_counter(), processor_seconds(), entry.samples))
            yield entry

    begin = time.perf_counter()
    generate_shards(synthesizer, out, limit=shards * samples, samples_per_shard=samples, executor=timed, progress=False)
    total = time.perf_counter() - begin
    first, last = len(marks) // 4, len(marks) - 5
    drawn = sum(count for *_, count in marks[first + 1 : last + 1])
    return {
        "samples/s": drawn / (marks[last][0] - marks[first][0]),
        "processor us a sample": 1e6 * (marks[last][1] - marks[first][1]) / drawn,
        "seconds before the first shard": marks[0][0] - begin,
        "seconds in all": total,
    }


def run(args: argparse.Namespace, arm: str, out: Path) -> dict[str, float]:
    recipe = Recipe(backgrounds=args.backgrounds, foregrounds=args.foregrounds, per_pair=args.shards)
    room = args.room if args.what == "cutouts" else None
    synthesizer = Synthesizer.from_recipe(recipe, cache_bytes=room)
    measured = partial(speed, synthesizer, out=out / "data", shards=args.shards, samples=args.samples)
    if args.what == "start":
        return start(synthesizer, arm, out)
    if arm == "processes":
        return measured(executor=partial(local_processes, workers=args.workers))
    with cluster(args.workers if arm == "ray" else 0) as made:
        if arm == "decoded":
            ray_executor._STORE_SHARE = 0.0
        for _ in range({"ray": 0, "two": 2}.get(arm, 1)):
            made.add_node(num_cpus=1, object_store_memory=200 << 20, **free_ports())
        return measured(executor=partial(ray_executor.ray_tasks, address=made.address))


def measured_apart(out: Path, arm: str) -> dict[str, float]:
    """Return what a process of its own measures. Tried again: on a busy machine, Ray gives up waiting for itself."""
    for _ in range(5):
        folder = tempfile.mkdtemp(prefix="bench-", dir=out)
        command = [sys.executable, *sys.argv, "--out", folder, "--arm", arm]
        try:
            done = subprocess.run(command, capture_output=True, text=True)
        finally:
            shutil.rmtree(folder)
        if not done.returncode:
            return dict(json.loads(done.stdout.splitlines()[-1]))
    sys.exit(done.stderr)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=ARMS)
    parser.add_argument("--backgrounds", type=Path, required=True)
    parser.add_argument("--foregrounds", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True, help="scratch folder")
    parser.add_argument("--shards", type=int, default=48)
    parser.add_argument("--samples", type=int, default=250, help="samples in a shard")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--room", type=int, default=5 << 20)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--arm", help=argparse.SUPPRESS)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    if args.arm:
        print(json.dumps(run(args, args.arm, args.out)))
        return
    found: dict[str, list[dict[str, float]]] = {arm: [] for arm in ARMS[args.what]}
    for _ in range(args.rounds):
        for arm, results in found.items():
            done = measured_apart(args.out, arm)
            results.append(done)
            print(f"{arm}: {', '.join(f'{name} {value:,.2f}' for name, value in results[-1].items())}", flush=True)
    first, second = found
    for name in found[first][0]:
        middle = [statistics.median(one[name] for one in found[arm]) for arm in found]
        ratios = statistics.median(b[name] / a[name] for a, b in zip(found[first], found[second], strict=True))
        print(f"{name}: {first} {middle[0]:,.2f}, {second} {middle[1]:,.2f}; {second} / {first} {ratios:.3f}")


if __name__ == "__main__":
    main()
