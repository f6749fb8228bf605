import sys

import pytest

import qumade
from qumade.errors import QumadeError
from qumade.extras import missing, needs


def test_a_missing_package_is_named_with_the_command_that_installs_it():
    message = r"no package nowhere_at_all, which the reader needs; .*'qumade\[imports\]'"
    with pytest.raises(QumadeError, match=message), needs("imports", "the reader"):
        import nowhere_at_all  # noqa: F401


def test_other_errors_stay_what_they_are():
    with pytest.raises(ZeroDivisionError), needs("onnx"):
        1 / 0  # noqa: B018
    with needs("explain"):
        import json  # noqa: F401


def test_a_missing_package_for_training_names_its_extra():
    message = str(missing(ModuleNotFoundError("No module", name="torch.nn"), "qumade train"))
    assert "which qumade train needs" in message and "pip install 'qumade[train]'" in message
    assert missing(ModuleNotFoundError("No module", name="torchless"), "qumade train") is None


def test_the_package_names_the_extra_that_a_function_needs(monkeypatch):
    monkeypatch.delitem(sys.modules, "qumade.training.loop", raising=False)
    monkeypatch.setitem(sys.modules, "accelerate.utils", None)
    with pytest.raises(QumadeError, match=r"which qumade.train needs; .*'qumade\[train\]'"):
        qumade.train  # noqa: B018
