"""The credentials library."""

from __future__ import annotations

import tempfile

from check import case, lives, unavailable
from fake import Fake
from sdk import NOBODY, PULLER, Key, enterprise_token, metadata_provider, oidc_provider, role_provider


@case
def library_reads_metadata_with_a_token(fake: Fake) -> None:
    fake.patch({"metadata": {"hardened": True}})
    found = metadata_provider(fake, disable_imds_v1=True).get_credentials()
    session = Key(found.get_access_key_id(), found.get_access_key_secret(), found.get_security_token())
    lives(enterprise_token(fake, session).expire_time, 6 * 3600)


@case
def library_reads_metadata_without_a_token(fake: Fake) -> None:
    fake.fault("error", "MetadataToken", times=None, status=404)
    assert metadata_provider(fake).get_credentials().get_security_token()


@case
def library_is_refused_by_hardened_metadata_without_a_token(fake: Fake) -> None:
    fake.patch({"metadata": {"hardened": True}})
    fake.fault("error", "MetadataToken", times=None, status=404)
    unavailable("HttpCode=403", metadata_provider(fake).get_credentials)


@case
def library_finds_no_role_in_metadata(fake: Fake) -> None:
    fake.patch({"metadata": {"role": None}})
    unavailable("HttpCode=404", metadata_provider(fake).get_credentials)


@case
def library_trades_a_token_file_for_a_session(fake: Fake) -> None:
    with tempfile.NamedTemporaryFile("w", suffix=".token") as file:
        file.write(fake.oidc_token())
        file.flush()
        found = oidc_provider(fake, file.name).get_credentials()
    session = Key(found.get_access_key_id(), found.get_access_key_secret(), found.get_security_token())
    assert enterprise_token(fake, session).is_success


@case
def library_is_refused_with_an_expired_token_file(fake: Fake) -> None:
    with tempfile.NamedTemporaryFile("w", suffix=".token") as file:
        file.write(fake.oidc_token(expiresIn=-1))
        file.flush()
        unavailable("AuthenticationFail.OIDCToken.Expired", oidc_provider(fake, file.name).get_credentials)


@case
def library_assumes_a_role_with_the_older_signature(fake: Fake) -> None:
    found = role_provider(fake, PULLER).get_credentials()
    session = Key(found.get_access_key_id(), found.get_access_key_secret(), found.get_security_token())
    assert enterprise_token(fake, session, "cri-other").is_success


@case
def library_is_refused_with_the_older_signature(fake: Fake) -> None:
    unavailable("SignatureDoesNotMatch", role_provider(fake, Key(PULLER.id, "EXAMPLE-wrong")).get_credentials)
    unavailable("NoPermission", role_provider(fake, NOBODY).get_credentials)
