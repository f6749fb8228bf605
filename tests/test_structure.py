"""The rules of CONTRIBUTING.md that a test can check.

Imports run one way: from the rooms that users enter down to those that know of no other.
"""

import ast
import re
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "qumade"

LAYERS = (
    ("__init__", "__main__"),
    ("cli",),
    ("studio",),
    ("demo", "notebook", "project"),
    ("evaluation",),
    ("prediction",),
    ("training",),
    ("teachers",),
    ("convert", "generation"),
    ("viz",),
    ("metrics",),
    ("data",),
    ("synth",),
    ("compose",),
    ("plan",),
    ("assets",),
    ("models", "recipe"),
    ("depth", "effects", "geometry"),
    ("io",),
    ("extras", "jit"),
    ("errors",),
)
"""Top to bottom. A room imports only from rooms further down; imports inside functions and for types count too."""

LEVEL = {room: level for level, rooms in enumerate(LAYERS) for room in rooms}


@cache
def _imported(path: Path, package: str) -> list[tuple[int, str]]:
    """The line and the dotted name, without the package's, of everything that a module imports from the package."""
    found = []
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        for name in names:
            if name.startswith(f"{package}.") and name != f"{package}.__version__":
                found.append((node.lineno, name.removeprefix(f"{package}.")))
    return found


def _room(dotted: str, package: Path) -> str:
    first = dotted.split(".")[0]
    is_room = (package / first).is_dir() or (package / f"{first}.py").is_file()
    return first if is_room else "__init__"  # a name of the package itself


def _upward(package: Path) -> list[tuple[str, str, str]]:
    """The importing room, the imported room and a line for each import that runs up or sideways."""
    found = []
    for path in sorted(package.rglob("*.py")):
        importer = path.relative_to(package).parts[0].removesuffix(".py")
        for line, dotted in _imported(path, package.name):
            imported = _room(dotted, package)
            if imported != importer and LEVEL[imported] <= LEVEL[importer]:
                where = f"{path.relative_to(package.parent)}:{line}"
                found.append((importer, imported, f"{where}: {importer} imports {dotted}"))
    return found


def test_every_room_has_a_place():
    rooms = {path.relative_to(PACKAGE).parts[0].removesuffix(".py") for path in PACKAGE.rglob("*.py")}
    assert not rooms - LEVEL.keys(), "add these rooms to LAYERS, and to the map in CONTRIBUTING.md"


def test_imports_run_down():
    wrong = [line for *_, line in _upward(PACKAGE)]
    assert not wrong, "\n" + "\n".join(wrong)


def test_the_table_of_rooms_is_that_of_the_layers():
    rows = re.findall(r"^\| (`[^|]*`) \|", (ROOT / "CONTRIBUTING.md").read_text("utf-8"), re.MULTILINE)
    rooms = [re.sub(r"/|\.py", "", name) for row in rows for name in re.findall(r"`([^`]+)`", row)]
    assert sorted([*rooms, "__main__"]) == sorted(LEVEL)
    levels = [LEVEL[room] for room in rooms]
    assert levels == sorted(levels), "a room must stand below the rooms that may import it"


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("from qumade.cli import app", "qumade/plan/bad.py:1: plan imports cli.app"),
        ("import qumade.io, qumade.data.layout", "qumade/plan/bad.py:1: plan imports data.layout"),
        ("def f():\n    from qumade import viz", "qumade/plan/bad.py:2: plan imports viz"),
        ("from qumade import Recipe", "qumade/plan/bad.py:1: plan imports Recipe"),
        ("from qumade import __version__, io\nfrom qumade.plan.indices import x\nimport numpy", None),
    ],
)
def test_an_import_that_runs_up_is_found_with_file_and_line(tmp_path, source, expected):
    package = tmp_path / "qumade"
    for room in ("cli", "data", "io", "plan", "viz"):
        (package / room).mkdir(parents=True)
    (package / "plan" / "bad.py").write_text(source)
    assert [line for *_, line in _upward(package)] == ([expected] if expected else [])


@pytest.mark.parametrize("package", [PACKAGE, ROOT / "tools" / "sample_world"], ids=lambda path: path.name)
def test_no_modules_import_each_other_in_a_circle(package):
    graph = {}
    for path in package.rglob("*.py"):
        name = ".".join(path.relative_to(package).with_suffix("").parts)
        graph[name] = {_module(dotted, package) for _, dotted in _imported(path, package.name)} - {name}
    list(TopologicalSorter(graph).static_order())  # raises CycleError, which names the circle


def _module(dotted: str, package: Path) -> str:
    """The module that holds a dotted name."""
    parts = dotted.split(".")
    for end in range(len(parts), 0, -1):
        if (package.joinpath(*parts[:end]).with_suffix(".py")).is_file():
            return ".".join(parts[:end])
        if package.joinpath(*parts[:end], "__init__.py").is_file():
            return ".".join([*parts[:end], "__init__"])
    return "__init__"


def test_modules_stay_under_400_lines():
    lines = {str(path.relative_to(PACKAGE)): path.read_text("utf-8").count("\n") for path in PACKAGE.rglob("*.py")}
    assert not {name: count for name, count in lines.items() if count >= 400}


def test_every_module_has_all():
    """Packages and entry points apart."""
    modules = [path for path in PACKAGE.rglob("*.py") if path.stem not in ("__init__", "__main__")]
    assert not [str(path) for path in modules if "\n__all__" not in path.read_text("utf-8")]


NOT_OF_A_MODULE = {
    "compose/test_layers.py", "plan/test_standing.py",  # of several modules of the room together
    "test_api.py", "test_docs.py", "test_install.py", "test_pins.py", "test_structure.py",  # of the whole package
}  # fmt: skip
"""Tests without a module of the same path; the folders of `OUTSIDE` test what is not part of the package."""
OUTSIDE = {"benchmarks", "cases", "fuzz", "notebooks", "tools"}


def test_tests_mirror_the_package():
    modules = {path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py")}
    expected = {str(path.parent / f"test_{path.stem.strip('_')}.py"): path for path in modules}
    found = {str(path.relative_to(ROOT / "tests")) for path in (ROOT / "tests").rglob("test_*.py")}
    found = {path for path in found if path.split("/")[0] not in OUTSIDE}
    assert found - expected.keys() == NOT_OF_A_MODULE
    untested = {path for name, path in expected.items() if name not in found}
    assert {path.name for path in untested} <= {"__init__.py", "__main__.py"}
