import os
import platform
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from qumade.errors import AssetError, DatasetError, QumadeError
from qumade.generation import ray_executor
from qumade.generation.ray_executor import ray_tasks, versions
from qumade.generation.shard_engine import generate_shards
from qumade.generation.shards import DrawShards
from qumade.synth.synthesizer import Synthesizer
from qumade.teachers.label_backgrounds import label_backgrounds

# A driver whose shards take a moment each, so that it can be interrupted between two of them.
_SLOW_DRIVER = """
import sys, time
from qumade.generation.ray_executor import ray_tasks
from qumade.generation.shard_engine import generate_shards

class Slow:
    def __init__(self, work):
        self.work = work
    def open(self):
        self.work.open()
    def close(self):
        self.work.close()
    def __call__(self, unit, stopped):
        time.sleep(2.0)  # so that a busy machine too ends the driver before its last unit
        return self.work(unit, stopped)

generate_shards(
    sys.argv[1], sys.argv[2], executor=lambda work, units: ray_tasks(Slow(work), units, address=sys.argv[3]), **OPTIONS
)
"""
OPTIONS = {"limit": 160, "samples_per_shard": 20, "progress": False}


def _ports() -> dict[str, int]:
    """Free ports. With given ones, a node does not wait for its agents, which a busy machine starts slowly."""
    names = ("metrics_agent_port", "metrics_export_port", "dashboard_agent_listen_port", "runtime_env_agent_port")
    sockets = [socket.socket() for _ in names]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = dict(zip(names, (each.getsockname()[1] for each in sockets), strict=True))
    for each in sockets:
        each.close()
    return ports


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A cluster of a head without cores; tests add nodes."""
    pytest.importorskip("ray", reason="the extra `cluster` is not installed")
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    from ray.cluster_utils import Cluster

    cluster = Cluster()
    try:
        _add_node(cluster, 0, include_dashboard=False, no_monitor=True, include_log_monitor=False)
    except Exception as error:
        cluster.shutdown()
        pytest.skip(f"Ray does not start on this machine: {error}")
    yield cluster
    cluster.shutdown()


def _add_node(cluster: Any, cores: int, **options: Any) -> Any:
    def add() -> Any:
        return cluster.add_node(num_cpus=cores, object_store_memory=100 << 20, **_ports(), **options)

    try:
        return add()
    except Exception:  # Ray gives its own processes 15 s, which is too short for a busy machine
        return add()


@pytest.fixture(scope="module")
def expected(works: Any, read_tree: Any) -> dict[str, bytes]:
    """The files that one process writes."""
    out = works.out()
    generate_shards(Synthesizer(works.recipe, works.catalog), out, workers=1, **OPTIONS)
    tree: dict[str, bytes] = read_tree(out)
    return tree


class DyingOnce:
    """Work whose worker process is killed at its second unit, once in all processes."""

    def __init__(self, work: Any, marker: Path) -> None:
        self.work, self.marker = work, marker

    def open(self) -> None:
        self.work.open()

    def close(self) -> None:
        self.work.close()

    def __call__(self, unit: Any, stopped: Callable[[], bool]) -> Any:
        if unit.number == 1:
            try:
                self.marker.touch(exist_ok=False)
            except FileExistsError:
                pass
            else:
                os.kill(os.getpid(), signal.SIGKILL)
        return self.work(unit, stopped)

    def shared_parts(self) -> tuple[int, int]:
        found: tuple[int, int] = self.work.shared_parts()
        assert found[0] == 4
        return found

    def make_part(self, number: int) -> Any:
        return self.work.make_part(number)

    def take_parts(self, get: Callable[[int], Any]) -> None:
        self.work.take_parts(get)


class Compiling:
    """Work that draws a sample and returns for how many functions the process had no machine code."""

    def __init__(self, work: Any) -> None:
        self.work = work

    def open(self) -> None:
        self.work.open()

    def close(self) -> None:
        self.work.close()

    def __call__(self, unit: Any, stopped: Callable[[], bool]) -> int:
        self.work(unit, stopped)
        from qumade import jit

        return sum(sum(made.stats.cache_misses.values()) for made in jit._functions.values())


class Endless:
    """Work of which only unit 0 ends. For the others, a file is named after the process that does them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def open(self) -> None:
        """Nothing to prepare."""

    def close(self) -> None:
        """Nothing to end."""

    def __call__(self, unit: int, stopped: Callable[[], bool]) -> int:
        if unit > 0:
            (self.folder / f"{os.getpid()}").touch()
            time.sleep(600)
        return unit


class Failing:
    """Work that fails."""

    def open(self) -> None:
        """Nothing to prepare."""

    def close(self) -> None:
        """Nothing to end."""

    def __call__(self, unit: int, stopped: Callable[[], bool]) -> int:
        if unit == 3:
            raise DatasetError("Invalid unit: got 3; must be another")
        return unit


class Succeeding(Failing):
    """Work that returns its units."""

    def __call__(self, unit: int, stopped: Callable[[], bool]) -> int:
        return unit


class FakeRay:
    """Ray in this process, for what needs no other one."""

    class Reference:
        def __init__(self, value: Any) -> None:
            self.value = value

        def hex(self) -> str:
            return hex(id(self))

    exceptions = SimpleNamespace(RayError=ConnectionError)
    store_bytes = 1e8

    def __init__(self, **resources: float) -> None:
        self.resources, self.options, self.most = {"CPU": 1.0, **resources}, {}, 0

    def is_initialized(self) -> bool:
        return False

    def init(self, **options: Any) -> None:
        """There is nothing to connect to."""

    def shutdown(self) -> None:
        """There is nothing to end."""

    def cluster_resources(self) -> dict[str, float]:
        return self.resources

    def put(self, value: Any) -> Any:
        return self.Reference(value)

    def get(self, reference: Any) -> Any:
        return reference.value

    def nodes(self) -> list[dict[str, Any]]:
        return [{"Alive": True, "Resources": {"CPU": 1.0, "object_store_memory": self.store_bytes}}]

    def remote(self, **options: Any) -> Any:
        self.options = options

        def call(function: Callable[..., Any], *given: Any) -> Any:
            found = function(*given)
            return list(map(self.Reference, found)) if options.get("num_returns", 1) > 1 else self.Reference(found)

        return lambda function: SimpleNamespace(remote=partial(call, function))

    def wait(self, running: list[Any], timeout: float) -> tuple[list[Any], list[Any]]:
        self.most = max(self.most, len(running))
        return running[:1], running[1:]


@pytest.mark.slow
def test_a_killed_worker_and_a_lost_node_change_no_byte(
    works: Any, read_tree: Any, expected: Any, cluster: Any, tmp_path: Path
) -> None:
    from ray import cloudpickle

    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    kept, lost = _add_node(cluster, 1), _add_node(cluster, 1)
    marker, out = tmp_path / "died", works.out()

    def executor(work: Any, units: Any) -> Iterator[Any]:
        for number, entry in enumerate(ray_tasks(DyingOnce(work, marker), units, address=cluster.address)):
            if number == 2:
                cluster.remove_node(lost, allow_graceful=False)
            yield entry

    # No room for two cut-outs in a process: Ray's object store holds them.
    generate_shards(Synthesizer(works.recipe, works.catalog, cache_bytes=1), out, executor=executor, **OPTIONS)
    assert marker.exists() and read_tree(out) == expected
    # An error of the work is raised as it is, and the connection ends.
    with pytest.raises(QumadeError, match=r"^Invalid unit: got 3; must be another$"):
        list(ray_tasks(Failing(), range(9), address=cluster.address))
    import ray

    assert not ray.is_initialized()
    cluster.remove_node(kept)


@pytest.mark.slow
def test_closing_ends_what_still_runs(cluster: Any, wait_until: Any, tmp_path: Path) -> None:
    from ray import cloudpickle

    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    node = _add_node(cluster, 1)
    tasks = ray_tasks(Endless(tmp_path), range(3), address=cluster.address)
    assert next(tasks) == 0
    wait_until(lambda: any(tmp_path.iterdir()), 120)
    (process,) = (int(path.name) for path in tmp_path.iterdir())
    assert _runs(process)
    tasks.close()
    wait_until(lambda: not _runs(process), 60)
    assert len(list(tmp_path.iterdir())) == 1, "nothing else has begun"
    cluster.remove_node(node)


@pytest.mark.slow
def test_a_new_node_takes_the_machine_code_of_the_driver(works: Any, cluster: Any, tmp_path: Path) -> None:
    from ray import cloudpickle

    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    node = _add_node(cluster, 1, env_vars={"NUMBA_CACHE_DIR": str(tmp_path)})
    missed: list[int] = []

    def executor(work: Any, units: Any) -> Iterator[Any]:
        units = list(units)
        missed.extend(ray_tasks(Compiling(work), units[:1], address=cluster.address))
        yield from (work(unit, lambda: False) for unit in units)

    generate_shards(Synthesizer(works.recipe, works.catalog), works.out(), executor=executor, **OPTIONS)
    cluster.remove_node(node)
    assert missed == [0] and list(tmp_path.rglob("*.nbi"))


@pytest.mark.slow
def test_ctrl_c_and_a_killed_driver_leave_a_state_that_the_same_command_finishes(
    works: Any, read_tree: Any, expected: Any, cluster: Any, wait_until: Any, tmp_path: Path
) -> None:
    node, out = _add_node(cluster, 1), works.out()
    script = _SLOW_DRIVER.replace("OPTIONS", repr(OPTIONS))
    command = [sys.executable, "-c", script, str(works.root / "recipe.yaml"), str(out), cluster.address]
    total = sum(name.endswith(".sha256") for name in expected)
    for number in (signal.SIGINT, signal.SIGKILL):
        before = len(_shards(out))
        said = tmp_path / f"stderr-{number}"
        with said.open("wb") as stderr:
            driver = subprocess.Popen(command, stderr=stderr)
        wait_until(lambda: len(_shards(out)) > before or driver.poll() is not None, 120)  # noqa: B023
        driver.send_signal(number)
        assert driver.wait(60) == -number, said.read_text()
        assert before < len(_shards(out)) < total
    cluster.remove_node(node)
    generate_shards(Synthesizer(works.recipe, works.catalog), out, workers=1, **OPTIONS)
    assert read_tree(out) == expected


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def _shards(out: Path) -> list[Path]:
    return list(out.glob("shards/*.sha256"))


@pytest.mark.slow
def test_other_versions_of_packages_are_refused(cluster: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    node = _add_node(cluster, 1)
    monkeypatch.setattr(ray_executor, "versions", lambda: versions() | {"numpy": "1.2.3", "numba": "0.1"})
    with pytest.raises(QumadeError, match=r"^Invalid cluster: got different versions on node .*: numba .* and 0\.1, "):
        list(ray_tasks(Failing(), range(2), address=cluster.address))
    cluster.remove_node(node)


@pytest.mark.parametrize(
    ("resources", "gpu", "asked", "ahead"),
    [({"CPU": 3.0}, False, 0, 6), ({"CPU": 3.0}, True, 0, 6), ({"CPU": 9.0, "GPU": 2.0}, True, 1, 4)],
)
def test_units_wait_for_a_core_or_a_gpu_each_twice_as_many_at_once(
    monkeypatch: pytest.MonkeyPatch, resources: dict[str, float], gpu: bool, asked: int, ahead: int
) -> None:
    ray = FakeRay(**resources)
    monkeypatch.setitem(sys.modules, "ray", ray)
    assert sorted(ray_tasks(Succeeding(), iter(range(20)), gpu=gpu)) == list(range(20))
    assert (ray.options["num_gpus"], ray.most) == (asked, ahead)


@pytest.mark.slow
def test_teachers_label_on_the_nodes_with_the_same_bytes(
    saved_model: Any, cluster: Any, tmp_path: Path, read_tree: Any
) -> None:
    """The GPU is one in name: the network runs on the CPU, but on this node alone."""
    model, photos = saved_model("depth_anything"), tmp_path / "photos"
    node = _add_node(cluster, 1, num_gpus=1)
    run = partial(ray_tasks, address=cluster.address, gpu=True)
    photos.mkdir()
    for n, shape in enumerate([(60, 90, 3), (96, 64, 3), (60, 90, 3)]):
        Image.fromarray(np.random.default_rng(n).integers(0, 256, shape, np.uint8)).save(photos / f"{n}.png")
    for cache, executor in (("here", None), ("there", run)):
        label_backgrounds(photos, depth=model, cache=tmp_path / cache, executor=executor)
    cluster.remove_node(node)
    assert read_tree(tmp_path / "there") == read_tree(tmp_path / "here")


@pytest.mark.parametrize(("room", "store", "builds"), [(1, 1e8, 4), (None, 1e8, 0), (1, 1e3, 0)])
def test_cut_outs_that_a_process_cannot_hold_are_decoded_once_if_the_store_can(
    works: Any,
    read_tree: Any,
    expected: Any,
    monkeypatch: pytest.MonkeyPatch,
    room: int | None,
    store: float,
    builds: int,
) -> None:
    ray = FakeRay()
    ray.store_bytes = store
    monkeypatch.setitem(sys.modules, "ray", ray)
    made: list[int] = []
    part = DrawShards.make_part
    monkeypatch.setattr(DrawShards, "make_part", lambda work, number: made.append(number) or part(work, number))
    out = works.out()
    synthesizer = Synthesizer(works.recipe, works.catalog, cache_bytes=room)
    generate_shards(synthesizer, out, executor=ray_tasks, **OPTIONS)
    assert made == list(range(builds)) and read_tree(out) == expected


def test_an_error_of_a_shared_part_is_raised_as_it_is(works: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def changed(work: Any, number: int) -> None:
        raise AssetError("Invalid asset: thing.png has changed; must stay unchanged")

    monkeypatch.setitem(sys.modules, "ray", FakeRay())
    monkeypatch.setattr(DrawShards, "make_part", changed)
    synthesizer = Synthesizer(works.recipe, works.catalog, cache_bytes=1)
    with pytest.raises(AssetError, match=r"^Invalid asset: thing\.png has changed; must stay unchanged$"):
        generate_shards(synthesizer, works.out(), executor=ray_tasks, **OPTIONS)


def test_a_node_with_another_cpu_is_named_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "ray", FakeRay())
    monkeypatch.setattr(ray_executor, "take_code", lambda code: False)
    assert sorted(ray_tasks(Succeeding(), iter(range(3)))) == [0, 1, 2]
    assert [record.message for record in caplog.records] == [
        f"node {platform.node()} has another CPU than the machine of this command: it compiles for a minute"
    ]


def test_versions_are_those_that_decide_the_bytes() -> None:
    assert {"python", "qumade", "numba", "numpy", "pillow", "simplejpeg"} == versions().keys()
    ray_executor._require_versions(versions())


def test_a_cluster_that_cannot_be_reached_is_named() -> None:
    def refused(**options: Any) -> None:
        raise ConnectionError("Could not find any\nrunning Ray instance")

    ray = SimpleNamespace(is_initialized=lambda: False, init=refused)
    for address, what in (
        ("here:1", "--address: cannot reach Ray at here:1"),
        (None, "--executor: cannot start Ray here"),
    ):
        with pytest.raises(QumadeError, match=f"^Invalid {what}: ConnectionError: Could not find any running") as e:
            ray_executor._connect(ray, address, None)
        assert "\n" not in str(e.value)
    with pytest.raises(QumadeError, match="connected to a cluster"):
        ray_executor._connect(SimpleNamespace(is_initialized=lambda: True), None, None)
