//! The document, its defaults, its mistakes and its changes.

use acr_fake_cloud::{Action, Cloud, Request, State};
use serde_json::{Value, json};

use crate::support::{EXAMPLE, Key, check, example, token_request};

#[track_caller]
fn mistake(yaml: &str, expected: &[&str]) {
    let message = State::from_yaml(yaml).unwrap_err().to_string();
    for part in expected {
        assert!(message.contains(part), "{message}");
    }
}

#[test]
fn the_examples_are_right() {
    State::from_yaml(EXAMPLE).unwrap();
    let minimal = State::from_yaml(include_str!("../../examples/minimal.yaml")).unwrap();
    let instance = &minimal.accounts["1000000000000001"].instances["cri-example"];
    assert_eq!(instance.system_domain("vpc"), "example-registry-vpc.cn-hangzhou.cr.aliyuncs.com");
    assert!(instance.endpoints.internet.enabled && instance.endpoints.vpc.enabled);
}

#[test]
fn all_mistakes_are_told_at_once_each_with_its_place() {
    let yaml = r#"
region: hangzhou
accounts:
  "1":
    users:
      a: { policies: [NoSuchPolicy] }
    roles:
      b: { maxSessionSeconds: 60, trust: { Statement: [{ Principal: { RAM: someone } }] } }
    oidcProviders:
      c: { issuer: "http://example.test" }
    instances:
      d: { name: "" }
metadata: { role: e }
"#;
    mistake(
        yaml,
        &[
            "region: \"hangzhou\" is no region: write one such as cn-hangzhou",
            "accounts.1.users.a.policies: NoSuchPolicy is not known here: write the policy document out",
            "accounts.1.roles.b.maxSessionSeconds: must be 3600 to 43200",
            "accounts.1.roles.b.trust: someone is no ARN: write acs:ram::ACCOUNT:…",
            "accounts.1.oidcProviders.c.issuer: must begin with https://",
            "accounts.1.instances.d: an instance's id begins with cri-",
            "accounts.1.instances.d.name: must not be empty",
            "metadata.role: the account has no role e: add it to its roles",
        ],
    );
}

#[test]
fn an_unknown_member_is_a_mistake_and_its_line_is_told() {
    mistake("accounts:\n  \"1\":\n    user: {}\n", &["unknown field `user`", "line 3"]);
    mistake("region: cn-hangzhou\n", &["missing field `accounts`"]);
}

#[test]
fn an_id_is_there_once() {
    let yaml = r#"
accounts:
  "1": { instances: { cri-a: { name: a } }, accessKeys: { LTAI5tEXAMPLE: { secret: EXAMPLE } } }
  "2": { instances: { cri-a: { name: a } }, accessKeys: { LTAI5tEXAMPLE: { secret: EXAMPLE } } }
"#;
    mistake(yaml, &["the access key LTAI5tEXAMPLE is there twice", "the instance cri-a is there twice"]);
}

#[test]
fn a_secret_is_not_shown() {
    let text = format!("{:?}", example());
    assert!(!text.contains("EXAMPLE-secret-of-puller"), "a secret is shown");
}

fn admin(method: &str, path: &str, body: &Value) -> Request {
    Request {
        method: method.into(),
        path: format!("/_admin{path}"),
        query: String::new(),
        headers: Vec::new(),
        body: if body.is_null() { Vec::new() } else { body.to_string().into_bytes() },
    }
}

#[track_caller]
fn ask(cloud: &mut Cloud, method: &str, path: &str, body: &Value) -> Value {
    serde_json::from_slice(&check(cloud, &admin(method, path, body), "200").body).unwrap()
}

#[test]
fn a_patch_changes_what_it_names_and_nothing_else() {
    let mut cloud = example();
    let revoke = json!({"accounts": {"1000000000000001": {"users": {"puller": {
        "accessKeys": {"LTAI5tEXAMPLEpuller": {"active": false}},
    }}}}});
    ask(&mut cloud, "PATCH", "/state", &revoke);
    check(&mut cloud, &token_request(&Key::of("puller")), "400 InvalidAccessKeyId.Inactive");
    let state = ask(&mut cloud, "GET", "/state", &Value::Null);
    assert_eq!(
        state["accounts"]["1000000000000001"]["users"]["puller"]["policies"].as_array().unwrap().len(),
        2
    );
    ask(&mut cloud, "POST", "/reset", &Value::Null);
    assert_eq!(cloud.state(), &State::from_yaml(EXAMPLE).unwrap());
}

#[test]
fn a_patch_that_would_be_wrong_changes_nothing() {
    let mut cloud = example();
    let wrong = json!({"region": "nowhere", "credentialSeconds": 0});
    let answer = cloud.respond("cn-hangzhou", &admin("PATCH", "/state", &wrong));
    assert_eq!(answer.status, 400);
    let message = String::from_utf8(answer.body).unwrap();
    assert!(message.contains("credentialSeconds: must be 1 to 43200 seconds"), "{message}");
    assert_eq!(cloud.state(), example().state());
}

#[test]
fn calls_are_counted_by_action_and_verdict() {
    let mut cloud = example();
    check(&mut cloud, &token_request(&Key::of("puller")), "200");
    check(&mut cloud, &token_request(&Key::of("nobody")), "403 NoPermission");
    let calls = ask(&mut cloud, "GET", "/calls", &Value::Null);
    assert_eq!(calls, json!({"GetAuthorizationToken": {"calls": 2, "refused": 1}}));
    assert_eq!(cloud.calls(Action::AssumeRole).calls, 0);
    ask(&mut cloud, "DELETE", "/calls", &Value::Null);
    assert_eq!(cloud.calls(Action::GetAuthorizationToken).calls, 0);
}

#[test]
fn the_clock_is_set_moved_and_stopped() {
    let mut cloud = example();
    let moved =
        ask(&mut cloud, "POST", "/clock", &json!({"set": "2030-01-01T00:00:00Z", "advanceSeconds": 90}));
    assert_eq!(moved, json!({"now": "2030-01-01T00:01:30Z"}));
    ask(&mut cloud, "POST", "/clock", &json!({"frozen": false}));
    assert!(cloud.clock.now() >= "2030-01-01T00:01:30Z".parse().unwrap());
    let answer = cloud.respond("cn-hangzhou", &admin("POST", "/clock", &json!({"forward": 1})));
    assert_eq!(answer.status, 400);
}

#[test]
fn a_clock_given_by_the_state_starts_there() {
    let cloud = Cloud::new(State::from_yaml(&format!("clock: 2024-02-29T12:00:00Z\n{EXAMPLE}")).unwrap());
    let start = "2024-02-29T12:00:00Z".parse().unwrap();
    assert!(cloud.clock.now().duration_since(start).as_secs() < 3600);
}
