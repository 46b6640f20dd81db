//! ECS metadata, with and without the security hardening mode.

use acr_fake_cloud::{Cloud, Request};
use jiff::SignedDuration;
use serde_json::json;

use crate::support::{Key, REGION, check, example, json, sign, unsigned, verdict};

const CREDENTIALS: &str = "/latest/meta-data/ram/security-credentials/worker";

fn request(method: &str, path: &str, headers: &[(&str, &str)]) -> Request {
    Request {
        method: method.into(),
        path: path.into(),
        query: String::new(),
        headers: headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        body: Vec::new(),
    }
}

fn get(path: &str) -> Request {
    request("GET", path, &[])
}

fn token(cloud: &mut Cloud, life: &str) -> String {
    let header = ("x-aliyun-ecs-metadata-token-ttl-seconds", life);
    let answer = check(cloud, &request("PUT", "/latest/api/token", &[header]), "200");
    String::from_utf8(answer.body).unwrap()
}

#[track_caller]
fn text(path: &str, expected: &str) {
    let answer = check(&mut example(), &get(path), "200");
    assert_eq!(String::from_utf8(answer.body).unwrap(), expected);
}

#[test]
fn it_tells_where_it_is_and_whose_it_is() {
    text("/latest/meta-data/region-id", "cn-hangzhou");
    text("/latest/meta-data/zone-id", "cn-hangzhou-a");
    text("/latest/meta-data/owner-account-id", "1000000000000001");
    text("/latest/meta-data/ram/security-credentials/", "worker");
    check(&mut example(), &get("/latest/meta-data/unknown"), "404 NotFound");
}

#[test]
fn hardened_it_answers_only_with_a_valid_token() {
    let mut cloud = example();
    cloud.patch(&json!({"metadata": {"hardened": true}})).unwrap();
    check(&mut cloud, &get(CREDENTIALS), "403 Forbidden");
    let token = token(&mut cloud, "60");
    let with = |token: &str| request("GET", CREDENTIALS, &[("x-aliyun-ecs-metadata-token", token)]);
    check(&mut cloud, &with("EXAMPLE-forged"), "403 Forbidden");
    check(&mut cloud, &with(&token), "200");
    cloud.clock.advance(SignedDuration::from_secs(60));
    check(&mut cloud, &with(&token), "403 Forbidden");
}

#[test]
fn a_token_lives_six_hours_at_most() {
    let ask = |life: &str| {
        request("PUT", "/latest/api/token", &[("x-aliyun-ecs-metadata-token-ttl-seconds", life)])
    };
    check(&mut example(), &ask("21600"), "200");
    check(&mut example(), &ask("21601"), "400 BadRequest");
    check(&mut example(), &ask("0"), "400 BadRequest");
    check(&mut example(), &request("PUT", "/latest/api/token", &[]), "400 BadRequest");
    check(&mut example(), &get("/latest/api/token"), "405 MethodNotAllowed");
}

#[test]
fn credentials_stay_the_same_until_they_are_rotated() {
    let mut cloud = example();
    let mut ask = |minutes: i64| {
        cloud.clock.advance(SignedDuration::from_mins(minutes));
        json(&check(&mut cloud, &get(CREDENTIALS), "200"))
    };
    let first = ask(0);
    assert_eq!(first["Expiration"], json!("2026-01-01T06:00:00Z"));
    assert_eq!(first["LastUpdated"], json!("2026-01-01T00:00:00Z"));
    assert_eq!(ask(5 * 60 + 29), first);
    let second = ask(1);
    assert_eq!(second["Expiration"], json!("2026-01-01T11:30:00Z"));
    assert_ne!(second["AccessKeyId"], first["AccessKeyId"]);
}

#[test]
fn its_credentials_are_good_for_what_the_role_may_do() {
    let mut cloud = example();
    let key = Key::of_session(&json(&check(&mut cloud, &get(CREDENTIALS), "200")));
    let now = cloud.clock.now();
    let ask = sign(unsigned("2018-12-01", "GetAuthorizationToken", "InstanceId=cri-example", now), &key);
    let body = json(&check(&mut cloud, &ask, "200"));
    assert_eq!(body["ExpireTime"], json!((now + SignedDuration::from_hours(6)).as_millisecond()));
}

#[test]
fn a_role_that_is_not_attached_or_does_not_trust_ecs_is_not_there() {
    let mut cloud = example();
    check(&mut cloud, &get("/latest/meta-data/ram/security-credentials/rrsa"), "404 NotFound");
    cloud.patch(&json!({"metadata": {"role": "rrsa"}})).unwrap();
    check(&mut cloud, &get("/latest/meta-data/ram/security-credentials/"), "404 NotFound");
    cloud.patch(&json!({"metadata": null})).unwrap();
    let answer = cloud.respond(REGION, &get("/latest/meta-data/region-id"));
    assert_eq!(verdict(&answer), "404 NotFound");
}
