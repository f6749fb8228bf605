"""The verdict on a damaged input: an error that names the file, or the right result. Anything else is a failure."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from qumade.errors import QumadeError


def seeds(share: float) -> range:
    """The seeds of a target that takes this share of all inputs: about 300, or as many as QUMADE_FUZZ says."""
    return range(max(1, round(share * int(os.environ.get("QUMADE_FUZZ", "300")))))


def judge(read: Callable[[], Any], named: Path, truth: Any = None) -> bool:
    """Call `read`, and return whether it refused. A refusal must be a QumadeError of one line that names `named`, the
    damaged file or its folder; a result must equal `truth` if there is one."""
    try:
        result = read()
    except QumadeError as error:
        message = str(error)
        assert message.isprintable(), f"not one printable line: {message!r}"
        assert str(named) in message or named.name in message, f"{named} is not named: {message}"
        return True
    if truth is not None:
        require_equal(result, truth, "result")
    return False


def require_equal(found: Any, truth: Any, where: str) -> None:
    if isinstance(truth, dict):
        assert found.keys() == truth.keys(), where
        for key, value in truth.items():
            require_equal(found[key], value, f"{where}.{key}")
    elif isinstance(truth, tuple | list):
        assert len(found) == len(truth), where
        for number, value in enumerate(truth):
            require_equal(found[number], value, f"{where}[{number}]")
    elif isinstance(truth, np.ndarray):
        np.testing.assert_array_equal(found, truth, err_msg=f"silently wrong: {where}")
    else:
        assert found == truth, f"silently wrong: {where}"
