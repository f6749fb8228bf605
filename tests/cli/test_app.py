import inspect
import re
import subprocess
import sys

import pytest

from qumade.cli.app import VERBS, make_app


@pytest.mark.parametrize("verb", VERBS)
def test_the_line_of_each_verb_agrees_with_its_docstring(verb: str) -> None:
    """`qumade --help` has its own lines, so it need not import any verb. They shorten the docstrings."""
    line = VERBS[verb][1]
    first = inspect.cleandoc(make_app([verb])[verb].help or "").split("\n\n")[0]
    words, known = (re.findall(r"[\w.]*\w", text) for text in (line, first))
    assert words[0] == known[0] and set(words) <= set(known)
    assert len(line) <= 80


def test_verbs_that_are_not_loaded_import_nothing() -> None:
    code = "import sys; from qumade.cli.app import make_app; make_app([]); print('qumade.cli.training' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_all_verbs_can_be_loaded() -> None:
    app = make_app()
    assert [name for name in app if not name.startswith("-")] == list(VERBS)
