import pickle

from qumade.errors import QumadeError


def test_an_error_crosses_processes_with_its_message():
    error = pickle.loads(pickle.dumps(QumadeError("Invalid size: got 0 in /a/b.yaml; must be at least 1")))
    assert type(error) is QumadeError and str(error) == "Invalid size: got 0 in /a/b.yaml; must be at least 1"


def test_it_is_no_error_that_libraries_take_for_their_own():
    """A validator that raises ValueError or TypeError is wrapped by pydantic, and OSError retried by others."""
    assert QumadeError.__mro__[1] is Exception
