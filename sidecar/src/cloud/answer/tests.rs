use std::fmt::Write;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use zeroize::Zeroizing;

use super::*;

/// The moment at which the answers of these tests come in.
const NOW: &str = "2026-11-23T12:00:00Z";

pub(in crate::cloud) fn answer(status: u16, headers: &[(&str, &str)], body: &str) -> Answer {
    let header = |&(name, value): &(&str, &str)| {
        (HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_str(value).unwrap())
    };
    let headers: HeaderMap = headers.iter().map(header).collect();
    Answer { status, headers, body: Zeroizing::new(body.as_bytes().to_vec()) }
}

pub(in crate::cloud) fn call(action: &'static str) -> Call {
    let product = if action.starts_with("AssumeRole") { "sts" } else { "cr" };
    let principal = Some("the RAM user of the access key in the environment".to_owned());
    Call { principal, ..Call::new(action, format!("{product}.cn-hangzhou.aliyuncs.com")) }
}

fn personal() -> Call {
    Call { personal: true, ..call("GetAuthorizationToken") }
}

fn error_of(call: &Call, answer: &Answer) -> CloudError {
    match read(call, answer, NOW.parse().unwrap()) {
        Ok(_) => panic!("the answer was taken for a success"),
        Err(error) => error,
    }
}

/// One line for each answer: its reason, and the message.
fn table(answers: &[(Call, Answer)]) -> String {
    let mut lines = String::new();
    for (call, answer) in answers {
        let error = error_of(call, answer);
        let transient = if error.is_transient() { " (transient)" } else { "" };
        writeln!(lines, "{}{transient}: {error}", error.reason.name()).unwrap();
    }
    assert!(!lines.contains("MARKER"), "{lines}");
    lines
}

/// An RPC-style error as documented, with a message that holds what APIs put there.
fn rpc(action: &'static str, status: u16, code: &str) -> (Call, Answer) {
    let body = format!(
        r#"{{"RequestId":"7B2C-01","HostId":"h.example","Code":"{code}","Message":"MARKER server string to sign is:MARKER","Recommend":"https://MARKER.example"}}"#
    );
    (call(action), answer(status, &[], &body))
}

#[test]
fn every_documented_code_of_signature_and_session_has_its_message() {
    let date = ("date", "Mon, 23 Nov 2026 11:43:00 GMT");
    let token = |status, code| rpc("GetAuthorizationToken", status, code);
    let mut skewed = token(400, "InvalidTimeStamp.Expired");
    skewed.1 = answer(400, &[date], std::str::from_utf8(&skewed.1.body).unwrap());
    let answers = [
        token(400, "SignatureDoesNotMatch"),
        token(400, "IncompleteSignature"),
        token(404, "InvalidAccessKeyId.NotFound"),
        token(400, "InvalidAccessKeyId.Inactive"),
        token(400, "MissingSecurityToken"),
        token(400, "InvalidSecurityToken.Expired"),
        token(400, "InvalidSecurityToken.MismatchWithAccessKey"),
        token(400, "SignatureNonceUsed"),
        token(400, "InvalidTimeStamp.Expired"),
        skewed,
    ];
    insta::assert_snapshot!(table(&answers), @r#"
    KeyRejected: GetAuthorizationToken at cr.cn-hangzhou.aliyuncs.com: the secret of the access key does not match its id (HTTP 400, SignatureDoesNotMatch, request 7B2C-01): correct the secret; blanks and line ends count
    KeyRejected: GetAuthorizationToken at cr.cn-hangzhou.aliyuncs.com: the secret of the access key does not match its id (HTTP 400, IncompleteSignature, request 7B2C-01): correct the secret; blanks and line ends count
    KeyRejected: GetAuthorizationToken at cr.cn-hangzhou.aliyuncs.com: the access key does not exist (HTTP 404, InvalidAccessKeyId.NotFound, request 7B2C-01): correct its id, or use another access key
    KeyRejected: GetAuthorizationToken at cr.cn-hangzhou.aliyuncs.com: the access key is disabled (HTTP 400, InvalidAccessKeyId.Inactive, request 7B2C-01): enable it in the RAM console, or use another one
    KeyRejected: GetAuthorizationToken at cr.cn-hangzhou.aliyuncs.com: the keys are those of a session and need its token (HTTP 400, MissingSecurityToken, request 7B2C-01): set ALIBABA_CLOUD_SECURITY_TOKEN as well, or use the access key of a RAM user
    SessionExpired: GetAuthorizationToken at cr.cn-hangzhou.aliyuncs.com: the session has expired or is not valid (HTTP 400, InvalidSecurityToken.Expired, request 7B2C-01): correct this machine's clock, or set a new ALIBABA_CLOUD_SECURITY_TOKEN if the environment has one; other sessions are renewed automatically
    SessionExpired: GetAuthorizationToken at cr.cn-hangzhou.aliyuncs.com: the session has expired or is not valid (HTTP 400, InvalidSecurityToken.MismatchWithAccessKey, request 7B2C-01): correct this machine's clock, or set a new ALIBABA_CLOUD_SECURITY_TOKEN if the environment has one; other sessions are renewed automatically
    ServiceUnavailable (transient): GetAuthorizationToken at cr.cn-hangzhou.aliyuncs.com: the request arrived twice (HTTP 400, SignatureNonceUsed, request 7B2C-01): this is usually temporary; if it persists, look for a proxy that repeats requests
    ClockSkew: GetAuthorizationToken at cr.cn-hangzhou.aliyuncs.com: this machine's clock is off by more than 15 minutes (HTTP 400, InvalidTimeStamp.Expired, request 7B2C-01): set the clock of this machine (NTP)
    ClockSkew: GetAuthorizationToken at cr.cn-hangzhou.aliyuncs.com: this machine's clock is 17 min ahead of the API's (HTTP 400, InvalidTimeStamp.Expired, request 7B2C-01): set the clock of this machine (NTP)
    "#);
}

#[test]
fn every_documented_refusal_of_rights_has_its_message() {
    let denied = r#"{"RequestId":"7B2C-02","Code":"NoPermission","Message":"MARKER","AccessDeniedDetail":{"AuthAction":"cr:ListInstanceEndpoint","AuthPrincipalDisplayName":"MARKER","AuthPrincipalType":"SubUser","PolicyType":"AccountLevelIdentityBasedPolicy","NoPermissionType":"ImplicitDeny"}}"#;
    let lower = r#"{"requestId":"7B2C-03","code":"Forbidden.RAM","message":"MARKER","accessDeniedDetail":{"authAction":"cr:GetAuthorizationToken"}}"#;
    let answers = [
        (call("ListInstanceEndpoint"), answer(403, &[], denied)),
        (personal(), answer(403, &[], lower)),
        rpc("GetAuthorizationToken", 403, "StatusForbidden"),
        rpc("ListInstanceEndpoint", 403, "NoPermission"),
        rpc("AssumeRole", 403, "NoPermission"),
        rpc("AssumeRoleWithOIDC", 403, "AuthenticationFail.NoPermission"),
    ];
    insta::assert_snapshot!(table(&answers), @r#"
    NotAuthorized: ListInstanceEndpoint at cr.cn-hangzhou.aliyuncs.com: not authorized (HTTP 403, NoPermission, request 7B2C-02): grant cr:ListInstanceEndpoint to the RAM user of the access key in the environment
    NotAuthorized: GetAuthorizationToken at cr.cn-hangzhou.aliyuncs.com: not authorized (HTTP 403, Forbidden.RAM, request 7B2C-03): grant cr:GetAuthorizationToken to the RAM user of the access key in the environment
    NotAuthorized: GetAuthorizationToken at cr.cn-hangzhou.aliyuncs.com: not authorized (HTTP 403, StatusForbidden, request 7B2C-01): grant cr:GetAuthorizationToken to the RAM user of the access key in the environment
    NotAuthorized: ListInstanceEndpoint at cr.cn-hangzhou.aliyuncs.com: not authorized (HTTP 403, NoPermission, request 7B2C-01): grant cr:ListInstanceEndpoint to the RAM user of the access key in the environment
    NotAuthorized: AssumeRole at sts.cn-hangzhou.aliyuncs.com: not allowed to assume the role (HTTP 403, NoPermission, request 7B2C-01): grant sts:AssumeRole (AliyunSTSAssumeRoleAccess) to the RAM user of the access key in the environment, and let the role's trust policy name it, with the entry's externalId if there is one; a root account cannot assume roles
    NotAuthorized: AssumeRoleWithOIDC at sts.cn-hangzhou.aliyuncs.com: the OIDC provider is not registered, or the role does not trust it (HTTP 403, AuthenticationFail.NoPermission, request 7B2C-01): register the cluster's OIDC provider in the RAM console, and let the role's trust policy name it with oidc:aud sts.aliyuncs.com and oidc:sub system:serviceaccount:NAMESPACE:NAME of the sidecar
    "#);
}

#[test]
fn every_documented_refusal_of_an_oidc_token_or_a_role_has_its_message() {
    let oidc = |code| rpc("AssumeRoleWithOIDC", 400, code);
    let answers = [
        oidc("AuthenticationFail.OIDCToken.Expired"),
        oidc("AuthenticationFail.OIDCToken.Invalid"),
        oidc("AuthenticationFail.OIDCToken.AudienceNotMatch"),
        oidc("AuthenticationFail.OIDCToken.IssuerNotMatch"),
        oidc("AuthenticationFail.OIDCToken.IssuerConfigurationBroken"),
        oidc("AuthenticationFail.OIDCToken.PublicKeyFingerprintMismatch"),
        rpc("AssumeRoleWithOIDC", 404, "EntityNotExist.Role"),
        rpc("AssumeRole", 404, "EntityNotExist.Role"),
        rpc("AssumeRole", 400, "InvalidParameter.DurationSeconds"),
    ];
    insta::assert_snapshot!(table(&answers), @r#"
    OidcTokenRejected: AssumeRoleWithOIDC at sts.cn-hangzhou.aliyuncs.com: the OIDC token has expired (HTTP 400, AuthenticationFail.OIDCToken.Expired, request 7B2C-01): check that the token file is a projected volume, which the kubelet renews, and this machine's clock
    OidcTokenRejected: AssumeRoleWithOIDC at sts.cn-hangzhou.aliyuncs.com: the OIDC token is not valid (HTTP 400, AuthenticationFail.OIDCToken.Invalid, request 7B2C-01): check that the token file contains the cluster's own token
    OidcTokenRejected: AssumeRoleWithOIDC at sts.cn-hangzhou.aliyuncs.com: the OIDC token is for another audience (HTTP 400, AuthenticationFail.OIDCToken.AudienceNotMatch, request 7B2C-01): project the token with the audience sts.aliyuncs.com, and list that client id in the OIDC provider
    OidcTokenRejected: AssumeRoleWithOIDC at sts.cn-hangzhou.aliyuncs.com: the OIDC token is of another issuer (HTTP 400, AuthenticationFail.OIDCToken.IssuerNotMatch, request 7B2C-01): correct the ARN of the OIDC provider: it must be this cluster's own
    OidcTokenRejected: AssumeRoleWithOIDC at sts.cn-hangzhou.aliyuncs.com: STS cannot read the configuration of the token's issuer (HTTP 400, AuthenticationFail.OIDCToken.IssuerConfigurationBroken, request 7B2C-01): make the cluster's issuer URL reachable from the internet
    OidcTokenRejected: AssumeRoleWithOIDC at sts.cn-hangzhou.aliyuncs.com: the certificate of the token's issuer is not the registered one (HTTP 400, AuthenticationFail.OIDCToken.PublicKeyFingerprintMismatch, request 7B2C-01): update the fingerprint of the OIDC provider in the RAM console
    RoleNotFound: AssumeRoleWithOIDC at sts.cn-hangzhou.aliyuncs.com: the role does not exist (HTTP 404, EntityNotExist.Role, request 7B2C-01): correct the role's ARN, or create the role in the RAM console
    RoleNotFound: AssumeRole at sts.cn-hangzhou.aliyuncs.com: the role does not exist (HTTP 404, EntityNotExist.Role, request 7B2C-01): correct the role's ARN, or create the role in the RAM console
    Refused: AssumeRole at sts.cn-hangzhou.aliyuncs.com: the session would live longer than the role allows (HTTP 400, InvalidParameter.DurationSeconds, request 7B2C-01): lower expireDuration, or raise the maximum session duration of the role
    "#);
}

#[test]
fn every_documented_failure_of_a_registry_has_its_message() {
    let business = |code: &str| {
        format!(r#"{{"RequestId":"7B2C-04","Code":"{code}","IsSuccess":false,"Message":"MARKER"}}"#)
    };
    let token = call("GetAuthorizationToken");
    let unopened = r#"{"code":"USER_NOT_EXIST","message":"user is not exist. MARKER","requestId":"7B2C-05"}"#;
    let answers = [
        (personal(), answer(404, &[], unopened)),
        (token.clone(), answer(200, &[], &business("INSTANCE_NOT_EXIST"))),
        (token.clone(), answer(200, &[], &business("USER_NOT_EXIST"))),
        (token.clone(), answer(400, &[], &business("VSWITCH_NOT_EXIST"))),
        (token.clone(), answer(200, &[], &business("success"))),
        (token, answer(200, &[], r#"{"Code":"SOMETHING_ELSE","AuthorizationToken":"MARKER"}"#)),
    ];
    insta::assert_snapshot!(table(&answers), @r#"
    PersonalEditionNotOpened: GetAuthorizationToken at cr.cn-hangzhou.aliyuncs.com: the account has not opened Personal Edition in this region (HTTP 404, USER_NOT_EXIST, request 7B2C-05): open Personal Edition in the console of this region and set a password there for the RAM user of the access key in the environment, or name an Enterprise Edition instance by instanceId
    InstanceNotFound: GetAuthorizationToken at cr.cn-hangzhou.aliyuncs.com: no such instance in this region and account (HTTP 200, INSTANCE_NOT_EXIST, request 7B2C-04): correct instanceId or regionId, or use an identity of the instance's account; this was the RAM user of the access key in the environment
    Refused: GetAuthorizationToken at cr.cn-hangzhou.aliyuncs.com: refused (HTTP 200, USER_NOT_EXIST, request 7B2C-04): look up the code in the API's documentation
    Refused: GetAuthorizationToken at cr.cn-hangzhou.aliyuncs.com: refused (HTTP 400, VSWITCH_NOT_EXIST, request 7B2C-04): look up the code in the API's documentation
    Refused: GetAuthorizationToken at cr.cn-hangzhou.aliyuncs.com: refused (HTTP 200, success, request 7B2C-04): look up the code in the API's documentation
    Refused: GetAuthorizationToken at cr.cn-hangzhou.aliyuncs.com: refused (HTTP 200, SOMETHING_ELSE): look up the code in the API's documentation
    "#);
}

#[test]
fn every_way_to_throttle_or_to_fail_has_its_message() {
    let throttled = |headers: &[(&str, &str)]| {
        (call("AssumeRole"), answer(400, headers, r#"{"Code":"Throttling.User","RequestId":"7B2C-06"}"#))
    };
    let limit = |left| format!("Limit:1,Remain:0,TimeLeft:{left},Reset:1234");
    let (user, api) = (limit(800), limit(2000));
    let answers = [
        rpc("AssumeRole", 400, "Throttling"),
        rpc("AssumeRole", 400, "Throttling.Api"),
        throttled(&[]),
        throttled(&[("x-ratelimit-user", &user)]),
        throttled(&[("x-ratelimit-user", &user), ("x-ratelimit-user-api", &api)]),
        throttled(&[("x-ratelimit-user", "nonsense")]),
        (call("AssumeRole"), answer(429, &[("retry-after", "7")], "")),
        (call("AssumeRole"), answer(429, &[("retry-after", "Mon, 23 Nov 2026 12:05:00 GMT")], "<html>")),
        rpc("AssumeRole", 503, "ServiceUnavailable"),
        rpc("AssumeRole", 500, "InternalError"),
        rpc("AssumeRole", 503, "SomethingNew"),
        (call("AssumeRole"), answer(502, &[("x-acs-request-id", "7B2C-07")], "<html>MARKER</html>")),
    ];
    insta::assert_snapshot!(table(&answers), @r#"
    Throttled (transient): AssumeRole at sts.cn-hangzhou.aliyuncs.com: too many calls (HTTP 400, Throttling, request 7B2C-01): this is usually temporary; if it persists, look for other callers of the account
    Throttled (transient): AssumeRole at sts.cn-hangzhou.aliyuncs.com: too many calls (HTTP 400, Throttling.Api, request 7B2C-01): this is usually temporary; if it persists, look for other callers of the account
    Throttled (transient): AssumeRole at sts.cn-hangzhou.aliyuncs.com: too many calls (HTTP 400, Throttling.User, request 7B2C-06): this is usually temporary; if it persists, look for other callers of the account
    Throttled (transient): AssumeRole at sts.cn-hangzhou.aliyuncs.com: too many calls, the API asks to wait 800 ms (HTTP 400, Throttling.User, request 7B2C-06): this is usually temporary; if it persists, look for other callers of the account
    Throttled (transient): AssumeRole at sts.cn-hangzhou.aliyuncs.com: too many calls, the API asks to wait 2 s (HTTP 400, Throttling.User, request 7B2C-06): this is usually temporary; if it persists, look for other callers of the account
    Throttled (transient): AssumeRole at sts.cn-hangzhou.aliyuncs.com: too many calls (HTTP 400, Throttling.User, request 7B2C-06): this is usually temporary; if it persists, look for other callers of the account
    Throttled (transient): AssumeRole at sts.cn-hangzhou.aliyuncs.com: too many calls, the API asks to wait 7 s (HTTP 429): this is usually temporary; if it persists, look for other callers of the account
    Throttled (transient): AssumeRole at sts.cn-hangzhou.aliyuncs.com: too many calls, the API asks to wait 5 min (HTTP 429): this is usually temporary; if it persists, look for other callers of the account
    ServiceUnavailable (transient): AssumeRole at sts.cn-hangzhou.aliyuncs.com: the API returned a server error (HTTP 503, ServiceUnavailable, request 7B2C-01): this is usually temporary; if it persists, contact Alibaba Cloud with the request's id
    ServiceUnavailable (transient): AssumeRole at sts.cn-hangzhou.aliyuncs.com: the API returned a server error (HTTP 500, InternalError, request 7B2C-01): this is usually temporary; if it persists, contact Alibaba Cloud with the request's id
    ServiceUnavailable (transient): AssumeRole at sts.cn-hangzhou.aliyuncs.com: the API returned a server error (HTTP 503, SomethingNew, request 7B2C-01): this is usually temporary; if it persists, contact Alibaba Cloud with the request's id
    ServiceUnavailable (transient): AssumeRole at sts.cn-hangzhou.aliyuncs.com: the API returned a server error (HTTP 502, request 7B2C-07): this is usually temporary; if it persists, contact Alibaba Cloud with the request's id
    "#);
}

#[test]
fn an_answer_that_is_none_of_the_apis_has_its_message() {
    let token = || call("GetAuthorizationToken");
    let answers = [
        (token(), answer(200, &[], "")),
        (token(), answer(200, &[], "<html>MARKER login</html>")),
        (token(), answer(200, &[], r#"{"AuthorizationToken":"MARKER"#)),
        (token(), answer(200, &[], r#"["MARKER"]"#)),
        (token(), answer(403, &[], "MARKER blocked by a firewall")),
        (token(), answer(302, &[("location", "https://MARKER.example")], "")),
        (token(), answer(400, &[], r#"{"Code":"MARKER with blanks","RequestId":"<MARKER>"}"#)),
    ];
    insta::assert_snapshot!(table(&answers), @r#"
    MalformedAnswer: GetAuthorizationToken at cr.cn-hangzhou.aliyuncs.com: the answer is not JSON of the API (HTTP 200): check that the endpoint is Alibaba Cloud's and that no proxy answers in its place
    MalformedAnswer: GetAuthorizationToken at cr.cn-hangzhou.aliyuncs.com: the answer is not JSON of the API (HTTP 200): check that the endpoint is Alibaba Cloud's and that no proxy answers in its place
    MalformedAnswer: GetAuthorizationToken at cr.cn-hangzhou.aliyuncs.com: the answer is not JSON of the API (HTTP 200): check that the endpoint is Alibaba Cloud's and that no proxy answers in its place
    MalformedAnswer: GetAuthorizationToken at cr.cn-hangzhou.aliyuncs.com: the answer is not JSON of the API (HTTP 200): check that the endpoint is Alibaba Cloud's and that no proxy answers in its place
    MalformedAnswer: GetAuthorizationToken at cr.cn-hangzhou.aliyuncs.com: the answer is not JSON of the API (HTTP 403): check that the endpoint is Alibaba Cloud's and that no proxy answers in its place
    MalformedAnswer: GetAuthorizationToken at cr.cn-hangzhou.aliyuncs.com: the answer is a redirect, which is not followed (HTTP 302): check that the endpoint is Alibaba Cloud's and that no proxy answers in its place
    Refused: GetAuthorizationToken at cr.cn-hangzhou.aliyuncs.com: refused (HTTP 400): look up the code in the API's documentation
    "#);
}

#[test]
fn an_error_in_xml_is_read_like_one_in_json() {
    let xml = r#"<?xml version="1.0" encoding="UTF-8"?>
        <Error><RequestId>7B2C-08</RequestId><HostId>h.example</HostId><Code>InvalidAccessKeyId.NotFound</Code>
        <Message>MARKER</Message></Error>"#;
    let answers = [
        (call("AssumeRole"), answer(404, &[("content-type", "text/xml;charset=utf-8")], xml)),
        (call("AssumeRole"), answer(400, &[], "<Error><Code>Throttling.User</Code>")),
        (call("AssumeRole"), answer(400, &[], "<Error><Code>MARKER")),
    ];
    insta::assert_snapshot!(table(&answers), @r#"
    KeyRejected: AssumeRole at sts.cn-hangzhou.aliyuncs.com: the access key does not exist (HTTP 404, InvalidAccessKeyId.NotFound, request 7B2C-08): correct its id, or use another access key
    Throttled (transient): AssumeRole at sts.cn-hangzhou.aliyuncs.com: too many calls (HTTP 400, Throttling.User): this is usually temporary; if it persists, look for other callers of the account
    MalformedAnswer: AssumeRole at sts.cn-hangzhou.aliyuncs.com: the answer is not JSON of the API (HTTP 400): check that the endpoint is Alibaba Cloud's and that no proxy answers in its place
    "#);
}

#[test]
fn fields_are_read_in_any_case_and_as_string_or_number() {
    let text = r#"{"isSuccess":"true","CODE":"Success","Number":"1571242083000","Other":1571242083000,"Null":null,"Empty":""}"#;
    let body = read(&call("GetAuthorizationToken"), &answer(200, &[], text), NOW.parse().unwrap());
    let Ok(body) = body else { panic!("refused") };
    let fields = body.fields();
    assert_eq!(fields.truth("IsSuccess"), Some(true));
    assert_eq!(fields.integer("number"), Some(1_571_242_083_000));
    assert_eq!(fields.integer("Other"), Some(1_571_242_083_000));
    assert_eq!(fields.text("other").as_deref(), Some("1571242083000"));
    assert_eq!((fields.text("Null"), fields.text("Empty"), fields.text("Absent")), (None, None, None));
}

proptest::proptest! {
    #[test]
    fn no_body_makes_it_panic_or_is_shown(status in 200u16..600, body: String) {
        let marked = format!("MARKER{body}");
        if let Err(error) = read(&call("AssumeRole"), &answer(status, &[], &marked), NOW.parse().unwrap()) {
            let shown = format!("{error} {error:?}");
            proptest::prop_assert!(!shown.contains("MARKER"), "{}", shown);
        }
    }
}
