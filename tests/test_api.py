"""The public API: `from qumade import ...`."""

import subprocess
import sys

import pytest

import qumade


@pytest.mark.slow
def test_every_name_can_be_imported() -> None:
    for name in qumade.__all__:
        assert callable(getattr(qumade, name)), name
        assert name in dir(qumade)


def test_a_name_is_never_that_of_a_room() -> None:
    """`qumade.generate` would be a package as soon as somebody imports a module of it."""
    code = (
        "import pkgutil, qumade\n"
        "rooms = {module.name for module in pkgutil.iter_modules(qumade.__path__)}\n"
        "print(sorted(rooms & set(qumade.__all__)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_importing_the_package_imports_no_library() -> None:
    code = "import sys, qumade; print(sorted({'torch', 'numpy', 'numba', 'pydantic', 'PIL'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.slow
def test_generating_needs_no_torch() -> None:
    code = "import sys; from qumade import Synthesizer, audit, generate, open_dataset; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'generator'"):
        qumade.generator  # noqa: B018
