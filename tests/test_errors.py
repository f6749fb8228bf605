import ast
import pickle
from pathlib import Path

import pytest

import qumade
from qumade.errors import AssetError, ConfigError, DatasetError, MissingPackage, QumadeError, RunError

SOURCES = Path(qumade.__file__).parent
CLASSES = (QumadeError, AssetError, ConfigError, DatasetError, MissingPackage, RunError)


@pytest.mark.parametrize("kind", CLASSES)
def test_an_error_crosses_processes_with_its_message(kind: type[QumadeError]) -> None:
    error = pickle.loads(pickle.dumps(kind("Invalid size: got 0 in /a/b.yaml; must be at least 1")))
    assert type(error) is kind and str(error) == "Invalid size: got 0 in /a/b.yaml; must be at least 1"


@pytest.mark.parametrize("kind", CLASSES)
def test_it_is_no_error_that_libraries_take_for_their_own(kind: type[QumadeError]) -> None:
    """A validator that raises ValueError or TypeError is wrapped by pydantic, and OSError retried by others."""
    assert set(kind.__mro__) <= {*CLASSES, Exception, BaseException, object}


def test_only_interfaces_for_people_catch_the_base_class() -> None:
    """And those that hand an error of a worker process over to the process that asked for the work, and the note of
    `compare` on gaps, which must not cost the comparison."""
    catching = set()
    for path in SOURCES.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ExceptHandler) and node.type is not None:
                names = {one.id for one in ast.walk(node.type) if isinstance(one, ast.Name)}
                if "QumadeError" in names:
                    catching.add(path.relative_to(SOURCES).as_posix())
    catching = {path for path in catching if not path.startswith("studio/")}  # the other interface for people
    assert catching == {
        "cli/__init__.py",
        "cli/datasets.py",
        "data/loader.py",
        "evaluation/runs.py",
        "generation/ray_executor.py",
    }
