"""STS."""

from __future__ import annotations

from typing import Any

from check import case, lives, refused
from fake import Fake
from sdk import (
    ACCOUNT, GUEST, NOBODY, OTHER_ACCOUNT, PARTNER, PROVIDER, PULLER, Key, assume_role,
    assume_role_with_oidc, enterprise_token,
)


@case
def role_of_another_account(fake: Fake) -> None:
    session = assume_role(fake, PULLER, duration_seconds=3600)
    assert session.id.startswith("STS.") and session.token and session.expiration.endswith("Z")


@case
def unknown_role(fake: Fake) -> None:
    refused("EntityNotExist.Role", 404, lambda: assume_role(fake, PULLER, f"acs:ram::{OTHER_ACCOUNT}:role/gone"))


@case
def role_that_is_deleted_meanwhile(fake: Fake) -> None:
    session = assume_role(fake, PULLER)
    fake.patch({"accounts": {OTHER_ACCOUNT: {"roles": {"guest": None}}}})
    refused("EntityNotExist.Role", 404, lambda: assume_role(fake, PULLER))
    refused("NoPermission", 403, lambda: enterprise_token(fake, session, "cri-other"))


@case
def role_that_does_not_trust_the_caller(fake: Fake) -> None:
    refused("NoPermission", 403, lambda: assume_role(fake, PULLER, f"acs:ram::{ACCOUNT}:role/worker"))


@case
def caller_without_the_right_to_assume_roles(fake: Fake) -> None:
    error = refused("NoPermission", 403, lambda: assume_role(fake, NOBODY))
    assert error.access_denied_detail["AuthAction"] == "sts:AssumeRole"


@case
def root_account_assumes_no_role(fake: Fake) -> None:
    refused("NoPermission", 403, lambda: assume_role(fake, Key.of("root1"), PARTNER))


@case
def external_id(fake: Fake) -> None:
    assert assume_role(fake, PULLER, PARTNER, external_id="example-external-id").token
    refused("NoPermission", 403, lambda: assume_role(fake, PULLER, PARTNER, external_id="another-id"))
    refused("NoPermission", 403, lambda: assume_role(fake, PULLER, PARTNER))


@case
def parameters_of_assume_role(fake: Fake) -> None:
    def check(parameter: str, **more: Any) -> None:
        refused(f"InvalidParameter.{parameter}", 400, lambda: assume_role(fake, PULLER, **more))

    check("DurationSeconds", duration_seconds=899)
    check("DurationSeconds", duration_seconds=3601)
    check("RoleArn", role="guest")
    check("RoleSessionName", session="x")
    check("RoleSessionName", session="not allowed")
    check("RoleSessionName", session="x" * 65)
    check("PolicyGrammar", policy="{}")
    check("PolicySize", policy=" " * 2049)


@case
def oidc_token_for_a_session(fake: Fake) -> None:
    body = assume_role_with_oidc(fake, fake.oidc_token(), duration_seconds=43200)
    assert body.assumed_role_user.arn.endswith(":assumed-role/rrsa/conformance")
    assert body.oidctoken_info.subject == "system:serviceaccount:kube-system:acr-credential-sidecar"
    found = body.credentials
    session = Key(found.access_key_id, found.access_key_secret, found.security_token)
    lives(enterprise_token(fake, session).expire_time, 43200)


@case
def chain_from_an_oidc_token_to_another_account(fake: Fake) -> None:
    found = assume_role_with_oidc(fake, fake.oidc_token()).credentials
    own = Key(found.access_key_id, found.access_key_secret, found.security_token)
    assert enterprise_token(fake, assume_role(fake, own, GUEST), "cri-other").is_success


@case
def oidc_tokens_that_are_refused(fake: Fake) -> None:
    def check(code: str, token: str) -> None:
        refused(f"AuthenticationFail.OIDCToken.{code}", 400, lambda: assume_role_with_oidc(fake, token))

    check("Expired", fake.oidc_token(expiresIn=-1))
    check("AudienceNotMatch", fake.oidc_token(audience="kubernetes"))
    check("IssuerNotMatch", fake.oidc_token(issuer="https://oidc.example.test/another"))
    check("Invalid", fake.oidc_token(signedBy="stranger"))
    check("Invalid", "not a token")


@case
def oidc_trust_that_is_refused(fake: Fake) -> None:
    code = "AuthenticationFail.NoPermission"
    another = fake.oidc_token(subject="system:serviceaccount:default:default")
    refused(code, 403, lambda: assume_role_with_oidc(fake, another))
    refused(code, 404, lambda: assume_role_with_oidc(fake, fake.oidc_token(), provider=PROVIDER + "-gone"))
    refused(code, 403, lambda: assume_role_with_oidc(fake, fake.oidc_token(), role=GUEST))
    gone = f"acs:ram::{ACCOUNT}:role/gone"
    refused("EntityNotExist.Role", 404, lambda: assume_role_with_oidc(fake, fake.oidc_token(), role=gone))
