"""The exceptions that users meet. Each says what is wrong, in which file, and what must be there instead."""

__all__ = ["AssetError", "ConfigError", "DatasetError", "MissingPackage", "QumadeError", "RunError"]


class QumadeError(Exception):
    """The work could not be done for a reason that the user can mend.

    The message is one line in the form "Invalid X: got V in FILE; must be ...", with absolute paths. Raised itself
    where no subclass fits, as for a disk that is full. The command line prints it without a traceback.
    """


class AssetError(QumadeError):
    """Photos, cut-outs and their maps: a folder without them, two that cannot be told apart, ground without a plane."""


class ConfigError(QumadeError):
    """Settings: a field of a recipe, of a training, of a YAML file or of a call with a value that is not allowed."""


class DatasetError(QumadeError):
    """A dataset: files that are missing, torn or do not fit together, or a folder that holds something else."""


class MissingPackage(QumadeError):
    """An optional package is not installed."""


class RunError(QumadeError):
    """A training, a network or a prediction: a run folder that is not whole, a loss that is infinite, lost workers."""
