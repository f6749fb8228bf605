"""What the errors of fsspec's backends mean to a user, in a few words on one line."""

import errno
import re
import time
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from typing import Any

from qumade.io.listing import counted

__all__ = ["PACKAGES", "explained", "is_final", "one_line_of"]

PACKAGES = {
    "s3": "'qumade[cluster]'", "s3a": "'qumade[cluster]'", "gs": "gcsfs", "gcs": "gcsfs",
    "az": "adlfs", "abfs": "adlfs", "abfss": "adlfs",
}  # fmt: skip
"""What pip installs for the schemes of the usual object stores."""

# Another attempt cannot change these.
_FINAL = (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError, ValueError, NotImplementedError)
_FINAL_NAMES = ("NoCredentialsError", "PartialCredentialsError", "ProfileNotFound", "ParamValidationError")
_NO_CREDENTIALS = ("NoCredentialsError", "PartialCredentialsError", "ProfileNotFound", "DefaultCredentialsError")
_FULL = (errno.ENOSPC, errno.EDQUOT)
_FULL_CODES = ("XMinioStorageFull", "XMinioAdminBucketQuotaExceeded", "QuotaExceeded", "InsufficientStorage", "507")
_SKEWED = "RequestTimeTooSkewed"
_MOST_SKEW_S = 300.0  # S3 allows a quarter of an hour; a date in a header may be some seconds old
_CREDENTIALS = {
    "'qumade[cluster]'": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE",
    "gcsfs": "GOOGLE_APPLICATION_CREDENTIALS", "adlfs": "AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY",
}  # fmt: skip


def is_final(error: BaseException) -> bool:
    """Return whether another attempt cannot succeed."""
    return isinstance(error, _FINAL) or type(error).__name__ in _FINAL_NAMES or _is_full(error)


def explained(error: BaseException, url: str) -> str:
    """Return why a request failed and what must be done, as the end of a message that names the URL."""
    line = one_line_of(error)
    if _is_full(error):
        return f"{line}: the store is full; make room, and the same command goes on from here"
    gap_s = _clock_gap_s(error)
    if _code(error) == _SKEWED or (isinstance(error, PermissionError) and abs(gap_s) > _MOST_SKEW_S):
        by = f" by {counted(round(abs(gap_s) / 60), 'minute', 'minutes')}" if gap_s else ""
        return f"{line}: the clock of this machine differs from the store's{by}; set the clock right"
    package = PACKAGES.get(url.partition("://")[0])
    where = "" if package is None else f" ({_CREDENTIALS[package]})"
    if type(error).__name__ in _NO_CREDENTIALS:
        return f"{line}: there must be credentials of the store{where}"
    if isinstance(error, PermissionError):
        return f"{line}: access is refused; must be credentials that are valid and may do this{where}"
    return line


def one_line_of(error: BaseException) -> str:
    """Return an error's type and message on one line."""
    text = " ".join(str(error).split())[:300]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _is_full(error: BaseException) -> bool:
    return (isinstance(error, OSError) and error.errno in _FULL) or _code(error) in _FULL_CODES


def _responses(error: BaseException | None) -> Iterator[dict[str, Any]]:
    """Yield what the store answered, as botocore keeps it in an error or its cause."""
    while error is not None:
        response = getattr(error, "response", None)
        if isinstance(response, dict):
            yield response
        error = error.__cause__


def _code(error: BaseException) -> str:
    """Return the store's code of an error, "" without one."""
    for response in _responses(error):
        code = str(response.get("Error", {}).get("Code", ""))
        status = str(response.get("ResponseMetadata", {}).get("HTTPStatusCode", ""))
        return status if status in _FULL_CODES else code
    found = re.search(r"\((\w+)\)", str(error))  # "An error occurred (CODE) when calling ..."
    return found[1] if found else ""


def _clock_gap_s(error: BaseException) -> float:
    """Return by how much this machine's clock is ahead of the store's, by the date of its answer; 0 if that is unknown.

    An answer to a HEAD request has no code that would tell.
    """
    for response in _responses(error):
        date = response.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date")
        if date:
            try:
                return time.time() - parsedate_to_datetime(date).timestamp()
            except ValueError:
                return 0.0
    return 0.0
