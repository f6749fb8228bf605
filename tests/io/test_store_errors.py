import errno
import os
import time
from email.utils import formatdate

import pytest

from qumade.io.store_errors import explained, is_final, one_line_of


class ClientError(Exception):
    """An error of botocore: it keeps what the server answered."""

    def __init__(self, code, status=403, ahead_s=0.0):
        super().__init__(f"An error occurred ({code}) when calling the PutObject operation: said\nwhy")
        self.code, self.status, self.ahead_s = code, status, ahead_s

    @property
    def response(self):
        date = formatdate(time.time() + self.ahead_s, usegmt=True)  # tests are collected long before they run
        return {
            "Error": {"Code": self.code},
            "ResponseMetadata": {"HTTPStatusCode": self.status, "HTTPHeaders": {"date": date}},
        }


class NoCredentialsError(Exception):
    pass


def caused(error, cause):
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "url", "said"),
    [
        (PermissionError("Forbidden"), "s3://b/a", "access is refused; must be credentials .* (AWS_ACCESS_KEY_ID and"),
        (PermissionError("Forbidden"), "gs://b/a", "access is refused; must be .* (GOOGLE_APPLICATION_CREDENTIALS)"),
        (PermissionError("Forbidden"), "memory://b/a", "access is refused; must be credentials that are valid and may"),
        (caused(PermissionError("No"), ClientError("InvalidAccessKeyId")), "s3://b", "PermissionError: No: access is"),
        (
            NoCredentialsError("Unable to locate credentials"),
            "s3://b/a",
            "there must be credentials of the store (AWS_",
        ),
        (
            OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
            "s3://b/a",
            "the store is full; make room, and the same com",
        ),
        (caused(OSError(errno.EIO, "said"), ClientError("XMinioStorageFull", 507)), "s3://b/a", "the store is full"),
        (caused(OSError(errno.EIO, "said"), ClientError("Other", 507)), "s3://b/a", "the store is full; make room"),
        (caused(PermissionError("x"), ClientError("QuotaExceeded")), "s3://b/a", "the store is full; make room"),
        (
            caused(PermissionError("too large"), ClientError("RequestTimeTooSkewed", ahead_s=-3600)),
            "s3://b/a",
            "the clock of this machine differs from the store's by 60 minutes; set the clock right",
        ),
        (
            caused(PermissionError("Forbidden"), ClientError("403", ahead_s=7200)),  # HEAD: no code
            "s3://b/a",
            "the clock of this machine differs from the store's by 120 minutes; set the clock right",
        ),
        (caused(PermissionError("Forbidden"), ClientError("403", ahead_s=20)), "s3://b/a", "access is refused"),
        (RuntimeError("a\nb"), "s3://b/a", "RuntimeError: a b"),
    ],
)
def test_the_reason_and_the_way_out_are_one_line(error, url, said):
    text = explained(error, url)
    assert "\n" not in text and text.startswith(type(error).__name__)
    position = 0
    for part in said.split(".* "):
        position = text.index(part, position)


@pytest.mark.parametrize(
    ("error", "final"),
    [
        (PermissionError(), True),
        (FileNotFoundError(), True),
        (ValueError(), True),
        (NoCredentialsError(), True),
        (OSError(errno.ENOSPC, ""), True),
        (caused(OSError(errno.EIO, ""), ClientError("XMinioStorageFull", 507)), True),
        (caused(OSError(errno.EIO, ""), ClientError("SlowDown", 503)), False),
        (ConnectionError(), False),
        (TimeoutError(), False),
        (OSError(errno.EIO, ""), False),
    ],
)
def test_only_what_may_pass_is_tried_again(error, final):
    assert is_final(error) is final


def test_a_long_text_is_cut():
    assert one_line_of(KeyError()) == "KeyError" and len(one_line_of(KeyError("x" * 1000))) < 330
