"""The vendor's SDKs, pointed at the fake."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from alibabacloud_cr20160607.client import Client as PersonalClient
from alibabacloud_cr20181201.client import Client as EnterpriseClient
from alibabacloud_cr20181201.models import GetAuthorizationTokenRequest, ListInstanceEndpointRequest
from alibabacloud_credentials.provider import (
    EcsRamRoleCredentialsProvider,
    OIDCRoleArnCredentialsProvider,
    RamRoleArnCredentialsProvider,
    StaticAKCredentialsProvider,
)
from alibabacloud_sts20150401.client import Client as StsClient
from alibabacloud_sts20150401.models import AssumeRoleRequest, AssumeRoleWithOIDCRequest
from alibabacloud_tea_openapi.models import Config, OpenApiRequest, Params
from alibabacloud_tea_util.models import RuntimeOptions
from darabonba.policy.retry import RetryOptions
from Tea.core import TeaCore
from Tea.request import TeaRequest

from fake import Fake

ACCOUNT, OTHER_ACCOUNT = "1000000000000001", "2000000000000002"
PROVIDER = f"acs:ram::{ACCOUNT}:oidc-provider/ack-rrsa-example"
RRSA = f"acs:ram::{ACCOUNT}:role/rrsa"
GUEST = f"acs:ram::{OTHER_ACCOUNT}:role/guest"
PARTNER = f"acs:ram::{OTHER_ACCOUNT}:role/partner"


@dataclass(frozen=True)
class Key:
    """An access key or a session, as the SDKs take it."""

    id: str
    secret: str
    token: str | None = None
    expiration: str = ""

    @classmethod
    def of(cls, name: str) -> Key:
        """The example's key of that name."""
        return cls(f"LTAI5tEXAMPLE{name}", f"EXAMPLE-secret-of-{name}")


PULLER, NOBODY = Key.of("puller"), Key.of("nobody")


def config(endpoint: str, key: Key | None, retries: int = 0) -> Config:
    """The SDKs' configuration for an endpoint on loopback."""
    options = RetryOptions({"retryable": True, "retryCondition": [{
        "maxAttempts": retries, "exception": ["ThrottlingException"], "errorCode": ["Throttling.User"],
        "maxDelay": 5000, "backoff": {"policy": "Fixed", "period": 10},
    }]}) if retries else None
    # No key at all, for the one call that is not signed.
    signed = {} if key is None else {
        "access_key_id": key.id, "access_key_secret": key.secret, "security_token": key.token
    }
    return Config(endpoint=endpoint, protocol="http", retry_options=options, read_timeout=1000, **signed)


def enterprise_token(
    fake: Fake, key: Key, instance: str | None = "cri-example", region: str = "cn-hangzhou", retries: int = 0
) -> Any:
    """`GetAuthorizationToken` of Enterprise Edition."""
    client = EnterpriseClient(config(fake.endpoint(region), key, retries))
    return client.get_authorization_token(GetAuthorizationTokenRequest(instance_id=instance)).body


def endpoints(fake: Fake, key: Key, instance: str = "cri-example") -> Any:
    """`ListInstanceEndpoint`."""
    client = EnterpriseClient(config(fake.endpoint(), key))
    request = ListInstanceEndpointRequest(instance_id=instance, module_name="Registry")
    return client.list_instance_endpoint(request).body


def personal_token(fake: Fake, key: Key, region: str = "cn-hangzhou") -> Any:
    """`GetAuthorizationToken` of Personal Edition."""
    # `client.get_authorization_token()` sends just this, but its model of the answer has no body.
    client = PersonalClient(config(fake.endpoint(region), key))
    parameters = Params(
        action="GetAuthorizationToken", version="2016-06-07", protocol="HTTPS", pathname="/tokens", method="GET",
        auth_type="AK", style="ROA", req_body_type="json", body_type="json",
    )
    return client.call_api(parameters, OpenApiRequest(headers={}), RuntimeOptions())["body"]


def assume_role(fake: Fake, key: Key, role: str = GUEST, session: str = "conformance", **more: Any) -> Key:
    """`AssumeRole`."""
    client = StsClient(config(fake.endpoint(), key))
    request = AssumeRoleRequest(role_arn=role, role_session_name=session, **more)
    found = client.assume_role(request).body.credentials
    return Key(found.access_key_id, found.access_key_secret, found.security_token, found.expiration)


def assume_role_with_oidc(fake: Fake, token: str, role: str = RRSA, provider: str = PROVIDER, **more: Any) -> Any:
    """`AssumeRoleWithOIDC`."""
    client = StsClient(config(fake.endpoint(), None))
    request = AssumeRoleWithOIDCRequest(
        role_arn=role, oidcprovider_arn=provider, oidctoken=token, role_session_name="conformance", **more
    )
    return client.assume_role_with_oidc(request).body


def metadata_provider(fake: Fake, **more: Any) -> EcsRamRoleCredentialsProvider:
    """Credentials of the ECS instance's role."""
    provider = EcsRamRoleCredentialsProvider(async_update_enabled=False, **more)
    # The address of ECS metadata is a constant of the SDK.
    provider._EcsRamRoleCredentialsProvider__metadata_service_host = fake.endpoint()
    return provider


def oidc_provider(fake: Fake, token_file: str) -> OIDCRoleArnCredentialsProvider:
    """Credentials for a token file."""
    return OIDCRoleArnCredentialsProvider(
        role_arn=RRSA, oidc_provider_arn=PROVIDER, oidc_token_file_path=token_file,
        role_session_name="conformance", sts_endpoint=fake.endpoint(),
    )


def role_provider(fake: Fake, key: Key, **more: Any) -> RamRoleArnCredentialsProvider:
    """Credentials of another role."""
    base = StaticAKCredentialsProvider(access_key_id=key.id, access_key_secret=key.secret)
    return RamRoleArnCredentialsProvider(
        credentials_provider=base, role_arn=GUEST, role_session_name="conformance", duration_seconds=3600,
        sts_endpoint=fake.endpoint(), **more,
    )


def speak_http() -> None:
    """The credentials library calls STS by HTTPS whatever it is told; the fake speaks HTTP only."""
    compose = TeaCore.compose_url

    def compose_http(request: TeaRequest) -> str:
        request.protocol = "http"
        return compose(request)

    TeaCore.compose_url = staticmethod(compose_http)
