"""Faults, as the SDKs see them."""

from __future__ import annotations

from typing import Any

from alibabacloud_tea_openapi.exceptions import AlibabaCloudException
from Tea.exceptions import UnretryableException

from check import case, lives, refused
from fake import Fake
from sdk import PULLER, enterprise_token


@case
def throttled_with_a_hint(fake: Fake) -> None:
    fake.fault("throttle", acsRetryAfterMs=2000)
    error = refused("Throttling.User", 400, lambda: enterprise_token(fake, PULLER))
    assert error.retry_after == 2000, error.retry_after


@case
def throttled_and_tried_again(fake: Fake) -> None:
    fake.fault("throttle", "GetAuthorizationToken", times=2, acsRetryAfterMs=20)
    assert enterprise_token(fake, PULLER, retries=3).is_success


@case
def unavailable_for_a_moment(fake: Fake) -> None:
    fake.fault("error")
    refused("ServiceUnavailable", 503, lambda: enterprise_token(fake, PULLER))


@case
def unsuccessful_with_http_200(fake: Fake) -> None:
    fake.fault("unsuccessful", code="INTERNAL_ERROR")
    body = enterprise_token(fake, PULLER)
    assert body.is_success is False and body.code == "INTERNAL_ERROR"


@case
def answers_that_are_none(fake: Fake) -> None:
    kinds: list[tuple[str, dict[str, Any]]] = [("nonJson", {}), ("reset", {}), ("truncate", {"bytes": 20}), ("stall", {})]
    for kind, parameters in kinds:
        fake.fault(kind, **parameters)
        try:
            enterprise_token(fake, PULLER)
        except AlibabaCloudException as error:
            raise AssertionError(f"{kind}: must not look like an answer of the API") from error
        except UnretryableException:
            continue
        raise AssertionError(f"{kind}: must fail")


@case
def credential_that_is_handed_out_expired(fake: Fake) -> None:
    fake.fault("life", "GetAuthorizationToken", seconds=-60)
    lives(enterprise_token(fake, PULLER).expire_time, -60)
