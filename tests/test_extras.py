import pytest

from qumade.errors import QumadeError
from qumade.extras import needs


def test_a_missing_package_is_named_with_the_command_that_installs_it():
    message = r"no package nowhere_at_all, which the reader needs; .*'qumade\[imports\]'"
    with pytest.raises(QumadeError, match=message), needs("imports", "the reader"):
        import nowhere_at_all  # noqa: F401


def test_other_errors_stay_what_they_are():
    with pytest.raises(ZeroDivisionError), needs("onnx"):
        1 / 0  # noqa: B018
    with needs("explain"):
        import json  # noqa: F401
