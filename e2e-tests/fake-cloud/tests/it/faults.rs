//! Faults, as values. How they travel is in `server`.

use acr_fake_cloud::{Action, Answer, Cloud, Delivery, Fault, FaultKind};
use jiff::SignedDuration;
use serde_json::{Value, json};

use crate::support::{
    Key, assume_role_request, check, example, json as body_of, sign, start, token_request, unsigned,
};

fn fault(description: Value) -> Fault {
    serde_json::from_value(description).unwrap()
}

fn with(description: Value) -> Cloud {
    let mut cloud = example();
    cloud.faults.add(fault(description));
    cloud
}

fn header<'a>(answer: &'a Answer, name: &str) -> Option<&'a str> {
    answer.headers.iter().find_map(|(present, value)| (present == name).then_some(value.as_str()))
}

#[track_caller]
fn meets(description: Value, expected: &str) -> Answer {
    let mut cloud = with(description);
    let answer = check(&mut cloud, &token_request(&Key::of("puller")), expected);
    assert_eq!(cloud.calls(Action::GetAuthorizationToken).calls, 1);
    answer
}

#[test]
fn a_fault_meets_its_action_so_many_times() {
    let mut cloud = with(json!({"action": "AssumeRole", "times": 2, "kind": "error", "status": 500}));
    let puller = Key::of("puller");
    check(&mut cloud, &token_request(&puller), "200");
    check(&mut cloud, &assume_role_request(&puller, ""), "500 ServiceUnavailable");
    check(&mut cloud, &assume_role_request(&puller, ""), "500 ServiceUnavailable");
    check(&mut cloud, &assume_role_request(&puller, ""), "200");
    assert!(cloud.faults.list().is_empty());
}

#[test]
fn a_credential_can_come_without_its_password() {
    let mut cloud = with(json!({"kind": "emptyPassword", "times": 1}));
    for is_empty in [true, false] {
        let answer = body_of(&check(&mut cloud, &token_request(&Key::of("puller")), "200"));
        assert_eq!(answer["TempUsername"], "cr_temp_user");
        assert_eq!(answer["AuthorizationToken"] == "", is_empty);
    }
}

#[test]
fn a_fault_without_a_number_stays_until_it_is_cleared() {
    let mut cloud = with(json!({"kind": "error"}));
    for _ in 0..3 {
        check(&mut cloud, &token_request(&Key::of("puller")), "503 ServiceUnavailable");
    }
    cloud.faults.clear();
    check(&mut cloud, &token_request(&Key::of("puller")), "200");
}

#[test]
fn a_fault_can_meet_one_instance_only() {
    let mut cloud = with(json!({"instance": "cri-example", "kind": "error"}));
    let other = unsigned("2018-12-01", "GetAuthorizationToken", "InstanceId=cri-another", start());
    check(&mut cloud, &sign(other, &Key::of("puller")), "404 INSTANCE_NOT_EXIST");
    check(&mut cloud, &token_request(&Key::of("puller")), "503 ServiceUnavailable");
}

#[test]
fn throttling_hints_when_to_come_again() {
    let plain = meets(json!({"kind": "throttle"}), "400 Throttling.User");
    assert_eq!(header(&plain, "retry-after"), None);
    let hinted = json!({"kind": "throttle", "status": 429, "timeLeftMs": 2000, "acsRetryAfterMs": 1500, "retryAfter": 3});
    let hinted = meets(hinted, "429 Throttling.User");
    let limit = format!("Limit:1,Remain:0,TimeLeft:2000,Reset:{}", start().as_second());
    assert_eq!(header(&hinted, "x-ratelimit-user-api"), Some(limit.as_str()));
    assert_eq!(header(&hinted, "x-acs-retry-after"), Some("1500"));
    assert_eq!(header(&hinted, "retry-after"), Some("3"));
}

#[test]
fn an_error_can_be_written_in_xml() {
    let answer =
        meets(json!({"kind": "error", "status": 502, "code": "Bad.Gateway", "xml": true}), "502 Bad.Gateway");
    let text = String::from_utf8(answer.body).unwrap();
    assert!(text.contains("<Error>") && text.contains("<Code>Bad.Gateway</Code>"), "{text}");
}

#[test]
fn an_answer_can_be_of_another_world() {
    assert!(meets(json!({"kind": "nonJson"}), "200 NonJson").body.starts_with(b"<html>"));
}

#[test]
fn an_answer_can_say_with_http_200_that_it_failed() {
    let body =
        body_of(&meets(json!({"kind": "unsuccessful", "code": "USER_NOT_EXIST"}), "200 USER_NOT_EXIST"));
    assert_eq!((&body["IsSuccess"], &body["Code"]), (&json!(false), &json!("USER_NOT_EXIST")));
}

#[test]
fn a_credential_can_be_handed_out_expired() {
    let body = body_of(&meets(json!({"kind": "life", "seconds": -60}), "200"));
    assert_eq!(body["ExpireTime"], json!((start() - SignedDuration::from_secs(60)).as_millisecond()));
}

#[test]
fn a_session_can_be_short() {
    let mut cloud = with(json!({"action": "AssumeRole", "kind": "life", "seconds": 5}));
    let body = body_of(&check(&mut cloud, &assume_role_request(&Key::of("puller"), ""), "200"));
    assert_eq!(body["Credentials"]["Expiration"], json!("2026-01-01T00:00:05Z"));
}

#[test]
fn the_clock_of_the_server_can_be_wrong() {
    meets(json!({"kind": "clockSkew", "seconds": 901}), "400 InvalidTimeStamp.Expired");
    meets(json!({"kind": "clockSkew", "seconds": -901}), "400 InvalidTimeStamp.Expired");
    meets(json!({"kind": "clockSkew", "seconds": 900}), "200");
}

#[test]
fn an_answer_can_travel_badly() {
    assert_eq!(meets(json!({"kind": "truncate", "bytes": 7}), "200").delivery, Delivery::Truncated(7));
    assert_eq!(meets(json!({"kind": "reset"}), "503 Reset").delivery, Delivery::Reset);
    assert_eq!(meets(json!({"kind": "stall"}), "503 Stall").delivery, Delivery::Stall);
    let late = meets(json!({"kind": "delay", "ms": 3}), "200").delivery;
    assert_eq!(late, Delivery::Late(std::time::Duration::from_millis(3)));
    let slow = meets(json!({"kind": "slow", "pauseMs": 3}), "200").delivery;
    assert_eq!(slow, Delivery::Slow(std::time::Duration::from_millis(3)));
}

#[test]
fn a_fault_is_written_as_it_is_read() {
    let kind = FaultKind::Throttle {
        status: None,
        time_left_ms: Some(5),
        acs_retry_after_ms: None,
        retry_after: None,
    };
    let written = serde_json::to_value(Fault {
        action: Some(Action::AssumeRole),
        instance: None,
        times: Some(1),
        kind,
    })
    .unwrap();
    assert_eq!(
        fault(written.clone()),
        fault(json!({"action": "AssumeRole", "times": 1, "kind": "throttle", "timeLeftMs": 5}))
    );
    assert_eq!(written["action"], json!("AssumeRole"));
}
