"""What a case is, and what it can check."""

from __future__ import annotations

import time
from collections.abc import Callable

from alibabacloud_credentials.exceptions import CredentialException
from alibabacloud_tea_openapi.exceptions import AlibabaCloudException

from fake import Fake

CASES: list[Callable[[Fake], None]] = []


def case(function: Callable[[Fake], None]) -> Callable[[Fake], None]:
    """Adds a case; its name says what it shows."""
    CASES.append(function)
    return function


def refused(code: str, status: int, call: Callable[[], object]) -> AlibabaCloudException:
    """The error that the SDK must raise."""
    try:
        call()
    except AlibabaCloudException as error:
        assert (error.code, error.status_code) == (code, status), f"got {error.code}, HTTP {error.status_code}"
        return error
    raise AssertionError(f"must be refused with {code}, but was accepted")


def unavailable(text: str, call: Callable[[], object]) -> None:
    """The credentials library has one error, with the answer in its text."""
    try:
        call()
    except CredentialException as error:
        assert text in str(error), f"must name {text}: {error}"
        return
    raise AssertionError(f"must fail with {text}, but did not")


def lives(milliseconds: int, seconds: int) -> None:
    """Checks an expiry of the API's, give or take the time that a test takes."""
    left = milliseconds / 1000 - time.time()
    assert abs(left - seconds) < 30, f"must live {seconds} s, but lives {left} s"
