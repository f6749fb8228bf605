import inspect
import subprocess
import sys

import pytest

from qumade.cli.app import VERBS, make_app


@pytest.mark.parametrize("verb", VERBS)
def test_the_line_of_each_verb_agrees_with_its_docstring(verb: str) -> None:
    """`qumade --help` has its own lines, so it need not import any verb."""
    line = VERBS[verb][1].rstrip(".")
    first = inspect.cleandoc(make_app([verb])[verb].help or "").split("\n\n")[0].replace("\n", " ")
    assert line.split()[0] == first.split()[0] and len(line) < 80


def test_verbs_that_are_not_loaded_import_nothing() -> None:
    code = "import sys; from qumade.cli.app import make_app; make_app([]); print('qumade.cli.training' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_all_verbs_can_be_loaded() -> None:
    app = make_app()
    assert [name for name in app if not name.startswith("-")] == list(VERBS)
