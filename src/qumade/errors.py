"""The one exception that users meet."""

__all__ = ["QumadeError"]


class QumadeError(Exception):
    """The work could not be done for a reason the user can mend.

    The message is one line in the form "Invalid X: got V in FILE; must be ...", with absolute paths.
    """
