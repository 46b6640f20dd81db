//! What both editions of ACR refuse, and how they say so.

use acr_fake_cloud::{Answer, Request};
use jiff::SignedDuration;
use serde_json::json;

use crate::support::{
    Key, REGION, assume_role_request, check, example, json, set_header, sign, start, token_request, unsigned,
    verdict,
};

/// A well-signed call, changed before or after it is signed.
fn call(change: impl FnOnce(&mut Request)) -> Request {
    let mut request = unsigned("2018-12-01", "GetAuthorizationToken", "InstanceId=cri-example", start());
    change(&mut request);
    sign(request, &Key::of("puller"))
}

#[track_caller]
fn refused(request: &Request, expected: &str) -> Answer {
    check(&mut example(), request, expected)
}

#[test]
fn a_well_signed_call_gets_a_token_that_lives_an_hour() {
    let body = json(&refused(&call(|_| {}), "200"));
    assert_eq!(body["ExpireTime"], json!((start() + SignedDuration::from_hours(1)).as_millisecond()));
    assert_eq!(body["IsSuccess"], json!(true));
}

#[test]
fn a_call_without_a_signature_is_refused() {
    refused(
        &unsigned("2018-12-01", "GetAuthorizationToken", "InstanceId=x", start()),
        "400 MissingAccessKeyId",
    );
}

#[test]
fn everything_that_must_be_signed_must_be_signed() {
    for name in ["host", "x-acs-action", "x-acs-date", "x-acs-signature-nonce", "x-acs-version"] {
        let mut request = token_request(&Key::of("puller"));
        let authorization = request.header("authorization").unwrap();
        let unsigned = authorization.replace(&format!("{name};"), "").replace(&format!(";{name},"), ",");
        assert_ne!(unsigned, authorization);
        set_header(&mut request, "authorization", &unsigned);
        refused(&request, "400 IncompleteSignature");
    }
}

#[test]
fn a_header_that_is_added_later_must_be_signed_too() {
    let mut request = token_request(&Key::of("puller"));
    set_header(&mut request, "x-acs-security-token", "EXAMPLE");
    refused(&request, "400 IncompleteSignature");
    let mut request = token_request(&Key::of("puller"));
    set_header(&mut request, "content-type", "application/json");
    refused(&request, "400 IncompleteSignature");
}

#[test]
fn anything_that_changes_after_it_was_signed_is_refused() {
    let changes: [fn(&mut Request); 6] = [
        |request| request.method = "GET".into(),
        |request| request.query = "InstanceId=cri-beijing".into(),
        |request| request.body = b"x".to_vec(),
        |request| set_header(request, "host", "another.example.test"),
        |request| set_header(request, "x-acs-signature-nonce", "another"),
        |request| set_header(request, "x-acs-date", "2026-01-01T00:00:01Z"),
    ];
    for change in changes {
        let mut request = token_request(&Key::of("puller"));
        change(&mut request);
        refused(&request, "400 SignatureDoesNotMatch");
    }
}

#[test]
fn dates_may_be_15_minutes_off() {
    let at = |seconds: i64| {
        let date = start() + SignedDuration::from_secs(seconds);
        sign(
            unsigned("2018-12-01", "GetAuthorizationToken", "InstanceId=cri-example", date),
            &Key::of("puller"),
        )
    };
    refused(&at(900), "200");
    refused(&at(-900), "200");
    refused(&at(901), "400 InvalidTimeStamp.Expired");
    refused(&at(-901), "400 InvalidTimeStamp.Expired");
    refused(&call(|request| set_header(request, "x-acs-date", "yesterday")), "400 InvalidTimeStamp.Format");
}

#[test]
fn a_nonce_is_good_for_one_call() {
    let mut cloud = example();
    let request = token_request(&Key::of("puller"));
    check(&mut cloud, &request, "200");
    check(&mut cloud, &request, "400 SignatureNonceUsed");
    cloud.clock.advance(SignedDuration::from_mins(31));
    check(&mut cloud, &request, "400 InvalidTimeStamp.Expired");
}

#[test]
fn a_nonce_is_not_used_up_by_somebody_without_the_secret() {
    let mut cloud = example();
    let nonce = |request: &mut Request| set_header(request, "x-acs-signature-nonce", "the-same");
    let mut forged = unsigned("2018-12-01", "GetAuthorizationToken", "InstanceId=cri-example", start());
    nonce(&mut forged);
    let key = Key { secret: "EXAMPLE-guessed".into(), ..Key::of("puller") };
    check(&mut cloud, &sign(forged, &key), "400 SignatureDoesNotMatch");
    check(&mut cloud, &call(nonce), "200");
}

#[test]
fn an_unknown_version_or_action_is_refused() {
    let ask = |version: &str, action: &str| sign(unsigned(version, action, "", start()), &Key::of("puller"));
    refused(&ask("2018-12-01", "DeleteInstance"), "404 InvalidAction.NotFound");
    refused(&ask("2018-12-02", "GetAuthorizationToken"), "400 InvalidVersion");
    // Each action belongs to its version.
    refused(&ask("2015-04-01", "GetAuthorizationToken"), "404 InvalidAction.NotFound");
}

#[test]
fn a_region_knows_its_own_instances_only() {
    let ask = |id: &str| {
        let query = format!("InstanceId={id}");
        sign(unsigned("2018-12-01", "GetAuthorizationToken", &query, start()), &Key::of("puller"))
    };
    refused(&ask("cri-beijing"), "404 INSTANCE_NOT_EXIST");
    let answer = example().respond("cn-beijing", &ask("cri-beijing"));
    assert_eq!(verdict(&answer), "200");
}

#[test]
fn an_instance_that_does_not_run_hands_out_no_token() {
    let mut cloud = example();
    cloud
        .patch(
            &json!({"accounts": {"1000000000000001": {"instances": {"cri-example": {"status": "STOPPED"}}}}}),
        )
        .unwrap();
    check(&mut cloud, &token_request(&Key::of("puller")), "400 INSTANCE_STATUS_NOT_SUPPORT");
}

#[test]
fn rights_on_one_instance_do_not_open_another() {
    let mut cloud = example();
    let own = json!([{"Statement": [{
        "Effect": "Allow",
        "Action": "cr:List*",
        "Resource": "acs:cr:*:1000000000000001:instance/cri-ex*",
    }]}]);
    cloud
        .patch(&json!({"accounts": {"1000000000000001": {
            "users": {"nobody": {"policies": own}},
            "instances": {"cri-another": {"name": "another"}},
        }}}))
        .unwrap();
    let ask = |id: &str| {
        let query = format!("InstanceId={id}");
        sign(unsigned("2018-12-01", "ListInstanceEndpoint", &query, start()), &Key::of("nobody"))
    };
    check(&mut cloud, &ask("cri-example"), "200");
    check(&mut cloud, &ask("cri-another"), "403 NoPermission");
    check(&mut cloud, &token_request(&Key::of("nobody")), "403 NoPermission");
}

#[test]
fn a_refusal_names_the_action_that_was_lacking() {
    let body = json(&refused(&token_request(&Key::of("nobody")), "403 NoPermission"));
    assert_eq!(
        body["AccessDeniedDetail"],
        json!({
            "AuthAction": "cr:GetAuthorizationToken",
            "AuthPrincipalDisplayName": "nobody",
            "AuthPrincipalOwnerId": "1000000000000001",
            "AuthPrincipalType": "SubUser",
            "NoPermissionType": "ImplicitDeny",
            "PolicyType": "AccountLevelIdentityBasedPolicy",
        })
    );
    for member in ["RequestId", "HostId", "Code", "Message", "Recommend"] {
        assert!(body[member].is_string(), "{member}");
    }
}

#[test]
fn the_personal_edition_writes_its_errors_in_lower_case() {
    let request = sign(unsigned("2016-06-07", "GetAuthorizationToken", "", start()), &Key::of("nobody"));
    let body = json(&refused(&request, "403 NoPermission"));
    assert_eq!(body["code"], json!("NoPermission"));
    assert_eq!(body["accessDeniedDetail"]["AuthAction"], json!("cr:GetAuthorizationToken"));
    assert!(body["requestId"].is_string() && body["Code"].is_null());
}

#[test]
fn the_personal_edition_is_opened_region_by_region() {
    let ask = || sign(unsigned("2016-06-07", "GetAuthorizationToken", "", start()), &Key::of("puller"));
    let body = json(&refused(&ask(), "200"));
    assert_eq!(body["data"]["expireDate"], json!((start() + SignedDuration::from_hours(1)).as_millisecond()));
    assert_eq!(verdict(&example().respond("cn-beijing", &ask())), "404 USER_NOT_EXIST");
}

#[test]
fn errors_are_written_in_xml_where_that_is_asked_for() {
    let answer = refused(
        &call(|request| request.query = "InstanceId=cri-gone&Format=XML".into()),
        "404 INSTANCE_NOT_EXIST",
    );
    let body = String::from_utf8(answer.body).unwrap();
    assert!(body.starts_with("<?xml version='1.0' encoding='UTF-8'?><Error>"), "{body}");
    assert!(body.contains("<Code>INSTANCE_NOT_EXIST</Code>"), "{body}");
    assert!(answer.headers.contains(&("content-type".into(), "text/xml;charset=utf-8".into())));
}

#[test]
fn a_session_is_good_for_its_time_only() {
    let mut cloud = example();
    let session =
        json(&check(&mut cloud, &assume_role_request(&Key::of("puller"), "DurationSeconds=900"), "200"));
    let session = Key::of_session(&session);
    let ask = |cloud: &acr_fake_cloud::Cloud| {
        let now = cloud.clock.now();
        sign(unsigned("2018-12-01", "GetAuthorizationToken", "InstanceId=cri-other", now), &session)
    };
    cloud.clock.advance(SignedDuration::from_secs(899));
    let request = ask(&cloud);
    let body = json(&check(&mut cloud, &request, "200"));
    assert_eq!(body["ExpireTime"], json!((start() + SignedDuration::from_secs(900)).as_millisecond()));
    cloud.clock.advance(SignedDuration::from_secs(1));
    let request = ask(&cloud);
    check(&mut cloud, &request, "400 InvalidSecurityToken.Expired");
}

#[test]
fn a_registry_tells_region_and_instance() {
    let ask = |host: &str| {
        let mut request = unsigned("", "", "", start());
        request.method = "GET".into();
        request.path = "/v2/".into();
        set_header(&mut request, "host", host);
        let answer = example().respond(REGION, &request);
        assert_eq!(answer.status, 401);
        let challenge = answer.headers.into_iter().find(|(name, _)| name == "www-authenticate").unwrap().1;
        challenge.split_once("service=").unwrap().1.to_owned()
    };
    assert_eq!(ask("images.example.test"), "\"registry.aliyuncs.com:cn-hangzhou:china:cri-example\"");
    assert_eq!(
        ask("beijing-registry-vpc.cn-beijing.cr.aliyuncs.com"),
        "\"registry.aliyuncs.com:cn-beijing:china:cri-beijing\""
    );
    assert_eq!(
        ask("registry-vpc.cn-beijing.aliyuncs.com"),
        "\"registry.aliyuncs.com:cn-beijing:china:26842\""
    );
    assert_eq!(ask("127.0.0.1:8080"), "\"registry.aliyuncs.com:cn-hangzhou:china:cri-example\"");
}
