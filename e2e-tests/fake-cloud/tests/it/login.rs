//! Logins at a registry: which credential opens what, and until when.

use acr_fake_cloud::{Cloud, Request};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::SignedDuration;

use crate::support::{Key, REGION, check, example, json, set_header, sign, start, token_request, unsigned};

const INSTANCE: &str = "example-registry.cn-hangzhou.cr.aliyuncs.com";

/// Mints a credential for the instance `cri-example`. It lives for an hour.
fn of_the_instance(cloud: &mut Cloud) -> String {
    let answer = check(cloud, &token_request(&Key::of("puller")), "200");
    let body = json(&answer);
    format!("{}:{}", body["TempUsername"].as_str().unwrap(), body["AuthorizationToken"].as_str().unwrap())
}

/// Mints a credential for Personal Edition in Hangzhou.
fn personal(cloud: &mut Cloud) -> String {
    let request = sign(unsigned("2016-06-07", "GetAuthorizationToken", "", start()), &Key::of("puller"));
    let data = json(&check(cloud, &request, "200"))["data"].clone();
    format!("{}:{}", data["tempUserName"].as_str().unwrap(), data["authorizationToken"].as_str().unwrap())
}

fn login(host: &str, user_and_password: &str) -> Request {
    let mut request = Request {
        method: "GET".into(),
        path: "/auth".into(),
        query: "service=registry&scope=repository:team/web:pull".into(),
        headers: Vec::new(),
        body: Vec::new(),
    };
    set_header(&mut request, "host", host);
    if !user_and_password.is_empty() {
        set_header(&mut request, "authorization", &format!("Basic {}", STANDARD.encode(user_and_password)));
    }
    request
}

#[test]
fn a_credential_opens_its_own_instance_only() {
    let cloud = &mut example();
    let credential = of_the_instance(cloud);
    let mut expect = |host: &str, expected: &str| check(cloud, &login(host, &credential), expected);
    expect(INSTANCE, "200");
    expect("example-registry-vpc.cn-hangzhou.cr.aliyuncs.com", "200");
    expect("images.example.test", "200");
    expect("127.0.0.1:5000", "200");
    expect("other-registry.cn-hangzhou.cr.aliyuncs.com", "401 OtherRegistry");
    expect("registry.cn-hangzhou.aliyuncs.com", "401 OtherRegistry");
}

#[test]
fn a_personal_credential_opens_its_own_region_only() {
    let cloud = &mut example();
    let credential = personal(cloud);
    let mut expect = |host: &str, expected: &str| check(cloud, &login(host, &credential), expected);
    expect("registry.cn-hangzhou.aliyuncs.com", "200");
    expect("registry-vpc.cn-hangzhou.aliyuncs.com", "200");
    expect("registry.cn-beijing.aliyuncs.com", "401 OtherRegistry");
    expect(INSTANCE, "401 OtherRegistry");
}

#[test]
fn what_was_not_handed_out_opens_nothing() {
    let cloud = &mut example();
    let credential = of_the_instance(cloud);
    let (_, password) = credential.split_once(':').unwrap();
    check(cloud, &login(INSTANCE, "cr_temp_user:EXAMPLE-other"), "401 Unknown");
    check(cloud, &login(INSTANCE, &format!("somebody:{password}")), "401 Unknown");
    check(cloud, &login(INSTANCE, ""), "401 Missing");
}

#[test]
fn a_credential_is_good_until_the_second_of_its_expiry() {
    let cloud = &mut example();
    let request = login(INSTANCE, &of_the_instance(cloud));
    cloud.clock.advance(SignedDuration::from_secs(3599));
    check(cloud, &request, "200");
    cloud.clock.advance(SignedDuration::from_secs(1));
    check(cloud, &request, "401 Expired");
}

#[test]
fn a_key_that_is_revoked_leaves_its_credentials_good() {
    let cloud = &mut example();
    let request = login(INSTANCE, &of_the_instance(cloud));
    let revoked = serde_json::json!({"accounts": {"1000000000000001": {"users": {"puller": null}}}});
    cloud.patch(&revoked).unwrap();
    check(cloud, &request, "200");
}

#[test]
fn a_reset_forgets_what_was_handed_out() {
    let cloud = &mut example();
    let request = login(INSTANCE, &of_the_instance(cloud));
    cloud.reset();
    assert_eq!(cloud.respond(REGION, &request).code, "Unknown");
}

#[test]
fn passwords_are_shown_by_no_debug() {
    let cloud = &mut example();
    let credential = of_the_instance(cloud);
    let (_, password) = credential.split_once(':').unwrap();
    assert!(!format!("{cloud:?}").contains(password));
}
