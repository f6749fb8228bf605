"""Runs work as tasks of Ray Core, on a cluster or on an embedded one of this machine: one task for each unit.

Work is pure, so Ray may run a task again after a worker or a node is lost: the bytes are the same. To Ray's object
store go, once: the work (recipe, catalog and tables), which each worker process opens once; the machine code of this
process, which takes a new node more than a minute to compile; and decoded cut-outs, if a process can't hold them all
and would decode nearly one for every sample. Assets are read where the recipe says, by each worker, and checked against
their content hashes: every node must reach them.
"""

import logging
import os
import platform
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.metadata import version
from itertools import islice
from typing import Any, TypeVar

from qumade.errors import QumadeError, RunError
from qumade.extras import needs
from qumade.generation.describe import PACKAGES
from qumade.generation.worker import SharesParts, Task
from qumade.jit import compiled_code, take_code

__all__ = ["ray_tasks"]

_log = logging.getLogger(__name__)

Unit = TypeVar("Unit")
Result = TypeVar("Result")

_RETRIES = 5  # of a task whose worker or node was lost
_AHEAD = 2  # units that wait or run, for each core or GPU of the cluster
_PARTS = 16  # that one task makes
_STORE_SHARE = 0.5  # of the object store of the smallest node, at most, for parts
_LOOKED_S = 5.0  # between two looks at how many of them the cluster has now

_opened: dict[str, tuple[Any, str | None]] = {}  # in a worker process: the work and a remark, by the work's reference


def ray_tasks(
    work: Task[Unit, Result],
    units: Iterable[Unit],
    *,
    address: str | None = None,
    workers: int | None = None,
    gpu: bool = False,
) -> Iterator[Result]:
    """Yields the result of each unit, in any order; an Executor, but for the last arguments.

    `address` is that of a running cluster, as `ray.init` takes it. Without one, an embedded cluster of `workers`
    processes (default: all cores) runs as long as the iterator. With `gpu`, each unit has a GPU of its own where the
    cluster has some. Closing the iterator ends what runs. Raises RunError if the cluster can't be reached or loses a
    task again and again, or if a node has other versions of the packages that decide the bytes.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    with needs("cluster", "--executor ray"):
        import ray
    _connect(ray, address, workers)
    running: dict[Any, None] = {}
    try:
        gpu = gpu and _count(ray, "GPU") > 0
        draw = ray.remote(max_retries=_RETRIES, num_cpus=1, num_gpus=int(gpu))(_draw)
        expected = versions()
        references = [ray.put(work), ray.put(compiled_code())]
        references += _shared_parts(ray, work, references, expected)
        remarks: set[str] = set()
        waiting = iter(units)
        while True:
            places = max(1, _count(ray, "GPU" if gpu else "CPU"))  # a cluster without nodes may get some
            for unit in islice(waiting, max(0, _AHEAD * places - len(running))):
                running[draw.remote(references, unit, expected)] = None
            if not running:
                return
            done, _ = ray.wait(list(running), timeout=_LOOKED_S)
            for one in done:
                del running[one]
                found, remark = _result(ray, one)
                if remark is not None and remark not in remarks:
                    remarks.add(remark)
                    _log.warning(remark)
                yield found
    finally:
        # This ends the processes of what still runs. To cancel it first would race with what is just done: Ray then
        # aborts this process (ray-project/ray#54846).
        ray.shutdown()


def versions() -> dict[str, str]:
    """Returns the versions of everything that decides the bytes."""
    return {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}}


def _connect(ray: Any, address: str | None, workers: int | None) -> None:
    if ray.is_initialized():
        raise RunError("Invalid use of Ray: got a process that is connected to a cluster; must not be connected yet")
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR", "configure_logging": True}
    if address is None:
        options |= {"address": "local", "num_cpus": workers, "include_dashboard": False}
        options["_node_ip_address"] = "127.0.0.1"  # by default its servers listen on the network
    else:
        options["address"] = address
    try:
        ray.init(**options)
    except Exception as error:  # ConnectionError, RuntimeError, ValueError, by what the address is like
        what = "--executor: cannot start Ray here" if address is None else f"--address: cannot reach Ray at {address}"
        raise RunError(f"Invalid {what}: {_line(error)}") from error


def _shared_parts(ray: Any, work: Any, references: list[Any], expected: Mapping[str, str]) -> list[Any]:
    """Has the cluster make the parts that the work's processes share, if its nodes can hold them. Returns a reference
    to their references, or nothing."""
    count, size = work.shared_parts() if isinstance(work, SharesParts) else (0, 0)
    if not count or size > _STORE_SHARE * min(map(_store_bytes, filter(_draws, ray.nodes())), default=0):
        return []
    parts: list[Any] = []
    for start in range(0, count, _PARTS):
        numbers = range(start, min(count, start + _PARTS))
        make = ray.remote(max_retries=_RETRIES, num_cpus=1, num_returns=len(numbers))(_make)
        made = make.remote(references, numbers, expected)
        parts += made if len(numbers) > 1 else [made]
    return [ray.put(parts)]


def _draws(node: Mapping[str, Any]) -> bool:
    return bool(node["Alive"] and node["Resources"].get("CPU", 0))


def _store_bytes(node: Mapping[str, Any]) -> float:
    return float(node["Resources"].get("object_store_memory", 0))


def _count(ray: Any, kind: str) -> int:
    """Returns how many cores or GPUs the cluster has now."""
    return int(ray.cluster_resources().get(kind, 0))


def _result(ray: Any, reference: Any) -> tuple[Any, str | None]:
    try:
        found, remark = ray.get(reference)
    except ray.exceptions.RayError as error:
        raise RunError(
            f"A task of Ray failed ({_line(error)}); the same command resumes from here, with fewer workers on a node "
            "if it ran out of memory"
        ) from error
    if isinstance(found, Exception):
        raise found
    return found, remark


def _draw(references: list[Any], unit: Any, expected: Mapping[str, str]) -> tuple[Any, str | None]:
    """Runs in a worker process of Ray. Returns the result and what the user should know about the node. An error is
    returned: Ray would wrap it in a traceback of many lines."""
    try:
        work, remark = _work(references, expected)
        return work(unit, lambda: False), remark
    except (QumadeError, OSError) as error:
        return error, None


def _make(references: list[Any], numbers: Sequence[int], expected: Mapping[str, str]) -> Any:
    """Runs in a worker process of Ray. Returns parts, or the error in place of each."""
    try:
        work = _work(references, expected)[0]
        parts: list[Any] = [work.make_part(number) for number in numbers]
    except (QumadeError, OSError) as error:
        parts = [error] * len(numbers)
    return parts if len(parts) > 1 else parts[0]


def _work(references: list[Any], expected: Mapping[str, str]) -> tuple[Any, str | None]:
    """Returns the work, which this process opens once, and a remark. `references`: see `_open`."""
    _require_versions(expected)
    key = "".join(reference.hex() for reference in references)
    if key not in _opened:
        _opened.clear()
        _opened[key] = _open(*references)
    return _opened[key]


def _open(work: Any, code: Any, shared: Any = None) -> tuple[Any, str | None]:
    import ray

    remark = None
    if not take_code(ray.get(code)):
        remark = f"node {platform.node()} has another CPU than the machine of this command: it compiles for a minute"
    opened = ray.get(work)
    opened.open()
    if shared is not None:
        parts = ray.get(shared)

        def get(number: int) -> Any:
            part = ray.get(parts[number])
            if isinstance(part, Exception):
                raise part
            return part

        opened.take_parts(get)
    return opened, remark


def _require_versions(expected: Mapping[str, str]) -> None:
    here = versions()
    wrong = [f"{name} {here[name]} and {wanted}" for name, wanted in expected.items() if here[name] != wanted]
    if wrong:
        raise RunError(
            f"Invalid cluster: got different versions on node {platform.node()} and where the command runs: "
            f"{', '.join(wrong)}; must be equal, for only equal versions give equal bytes"
        )


def _line(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
