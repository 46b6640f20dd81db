"""ACR, both editions."""

from __future__ import annotations

import json
from unittest import mock

from alibabacloud_tea_openapi.utils import Utils

from check import case, lives, refused
from fake import Fake
from sdk import ACCOUNT, NOBODY, PULLER, Key, assume_role, endpoints, enterprise_token, personal_token


@case
def enterprise_token_for_an_access_key(fake: Fake) -> None:
    body = enterprise_token(fake, PULLER)
    assert body.is_success and body.code == "success" and body.request_id
    assert body.temp_username == "cr_temp_user" and body.authorization_token
    lives(body.expire_time, 3600)


@case
def enterprise_token_for_a_session_lives_as_long_as_the_session(fake: Fake) -> None:
    session = assume_role(fake, PULLER, duration_seconds=900)
    lives(enterprise_token(fake, session, "cri-other").expire_time, 900)


@case
def enterprise_token_in_another_region(fake: Fake) -> None:
    assert enterprise_token(fake, PULLER, "cri-beijing", "cn-beijing").is_success


@case
def endpoints_with_their_domains(fake: Fake) -> None:
    body = endpoints(fake, PULLER)
    found = {e.endpoint_type: [(d.domain, d.type) for d in e.domains] for e in body.endpoints}
    assert found == {
        "internet": [("example-registry.cn-hangzhou.cr.aliyuncs.com", "SYSTEM"), ("images.example.test", "USER")],
        "vpc": [("example-registry-vpc.cn-hangzhou.cr.aliyuncs.com", "SYSTEM")],
    }
    assert all(e.enable and e.status == "RUNNING" for e in body.endpoints)


@case
def endpoints_that_are_closed(fake: Fake) -> None:
    fake.patch({"accounts": {ACCOUNT: {"instances": {"cri-example": {"endpoints": {"vpc": {"enabled": False}}}}}}})
    assert [e.enable for e in endpoints(fake, PULLER).endpoints] == [True, False]


@case
def wrong_secret(fake: Fake) -> None:
    refused("SignatureDoesNotMatch", 400, lambda: enterprise_token(fake, Key(PULLER.id, "EXAMPLE-wrong")))


@case
def unknown_access_key(fake: Fake) -> None:
    refused("InvalidAccessKeyId.NotFound", 404, lambda: enterprise_token(fake, Key("LTAI5tEXAMPLEgone", "EXAMPLE")))


@case
def disabled_access_key(fake: Fake) -> None:
    refused("InvalidAccessKeyId.Inactive", 400, lambda: enterprise_token(fake, Key.of("revoked")))


@case
def access_key_that_is_disabled_meanwhile(fake: Fake) -> None:
    enterprise_token(fake, PULLER)
    fake.patch({"accounts": {ACCOUNT: {"users": {"puller": {"accessKeys": {PULLER.id: {"active": False}}}}}}})
    refused("InvalidAccessKeyId.Inactive", 400, lambda: enterprise_token(fake, PULLER))


@case
def session_without_its_token(fake: Fake) -> None:
    session = assume_role(fake, PULLER)
    refused("MissingSecurityToken", 400, lambda: enterprise_token(fake, Key(session.id, session.secret), "cri-other"))


@case
def session_with_the_token_of_another(fake: Fake) -> None:
    one, other = assume_role(fake, PULLER), assume_role(fake, PULLER)
    mixed = Key(one.id, one.secret, other.token)
    refused("InvalidSecurityToken.MismatchWithAccessKey", 400, lambda: enterprise_token(fake, mixed, "cri-other"))


@case
def access_key_with_a_session_token(fake: Fake) -> None:
    key = Key(PULLER.id, PULLER.secret, "EXAMPLE-token")
    refused("InvalidSecurityToken.MismatchWithAccessKey", 400, lambda: enterprise_token(fake, key))


@case
def expired_session(fake: Fake) -> None:
    fake.fault("life", "AssumeRole", seconds=-1)
    session = assume_role(fake, PULLER)
    refused("InvalidSecurityToken.Expired", 400, lambda: enterprise_token(fake, session, "cri-other"))


@case
def no_permission_names_the_action(fake: Fake) -> None:
    error = refused("NoPermission", 403, lambda: enterprise_token(fake, NOBODY))
    detail = error.access_denied_detail
    assert detail["AuthAction"] == "cr:GetAuthorizationToken" and detail["NoPermissionType"] == "ImplicitDeny"


@case
def no_permission_to_list_endpoints(fake: Fake) -> None:
    error = refused("NoPermission", 403, lambda: endpoints(fake, NOBODY))
    assert error.access_denied_detail["AuthAction"] == "cr:ListInstanceEndpoint"


@case
def permission_that_a_statement_denies(fake: Fake) -> None:
    denied = {"Statement": [{"Effect": "Deny", "Action": "cr:Get*", "Resource": "*"}]}
    grants = ["AliyunContainerRegistryReadOnlyAccess", denied]
    fake.patch({"accounts": {ACCOUNT: {"users": {"puller": {"policies": grants}}}}})
    error = refused("NoPermission", 403, lambda: enterprise_token(fake, PULLER))
    assert error.access_denied_detail["NoPermissionType"] == "ExplicitDeny"


@case
def session_policy_narrows_the_role(fake: Fake) -> None:
    allowed = {"Effect": "Allow", "Action": ["cr:ListInstanceEndpoint"], "Resource": "*"}
    session = assume_role(fake, PULLER, policy=json.dumps({"Version": "1", "Statement": [allowed]}))
    assert endpoints(fake, session, "cri-other").is_success
    error = refused("NoPermission", 403, lambda: enterprise_token(fake, session, "cri-other"))
    assert error.access_denied_detail["PolicyType"] == "SessionPolicy"


@case
def unknown_instance(fake: Fake) -> None:
    refused("INSTANCE_NOT_EXIST", 404, lambda: enterprise_token(fake, PULLER, "cri-gone"))
    refused("INSTANCE_NOT_EXIST", 404, lambda: endpoints(fake, PULLER, "cri-gone"))


@case
def instance_of_another_account(fake: Fake) -> None:
    refused("INSTANCE_NOT_EXIST", 404, lambda: enterprise_token(fake, PULLER, "cri-other"))


@case
def instance_of_another_region(fake: Fake) -> None:
    refused("INSTANCE_NOT_EXIST", 404, lambda: enterprise_token(fake, PULLER, "cri-beijing"))


@case
def missing_instance_id(fake: Fake) -> None:
    refused("MissingInstanceId", 400, lambda: enterprise_token(fake, PULLER, None))


@case
def clocks_more_than_15_minutes_apart(fake: Fake) -> None:
    fake.fault("clockSkew", seconds=16 * 60)
    refused("InvalidTimeStamp.Expired", 400, lambda: enterprise_token(fake, PULLER))
    fake.fault("clockSkew", seconds=14 * 60)
    assert enterprise_token(fake, PULLER).is_success


@case
def nonce_that_is_used_again(fake: Fake) -> None:
    with mock.patch.object(Utils, "get_nonce", staticmethod(lambda: "example-nonce")):
        assert enterprise_token(fake, PULLER).is_success
        refused("SignatureNonceUsed", 400, lambda: enterprise_token(fake, PULLER))


# Personal Edition.


@case
def personal_token_for_an_access_key(fake: Fake) -> None:
    data = personal_token(fake, PULLER)["data"]
    assert data["tempUserName"] == "cr_temp_user" and data["authorizationToken"]
    lives(data["expireDate"], 3600)


@case
def personal_edition_that_was_never_opened(fake: Fake) -> None:
    refused("USER_NOT_EXIST", 404, lambda: personal_token(fake, PULLER, "cn-beijing"))


@case
def personal_token_refused(fake: Fake) -> None:
    refused("SignatureDoesNotMatch", 400, lambda: personal_token(fake, Key(PULLER.id, "EXAMPLE-wrong")))
    refused("NoPermission", 403, lambda: personal_token(fake, NOBODY))
    session = assume_role(fake, PULLER)
    refused("MissingSecurityToken", 400, lambda: personal_token(fake, Key(session.id, session.secret)))
