//! A cloud at a fixed time, and requests that are signed well or badly.

use std::sync::atomic::{AtomicU32, Ordering};

use acr_fake_cloud::{Answer, Authorization, Cloud, Request, State};
use jiff::Timestamp;
use ring::{digest, hmac};
use serde_json::Value;

pub(crate) const EXAMPLE: &str = include_str!("../../examples/two-accounts.yaml");
pub(crate) const REGION: &str = "cn-hangzhou";
pub(crate) const GUEST: &str = "acs:ram::2000000000000002:role/guest";
pub(crate) const RRSA: &str = "acs:ram::1000000000000001:role/rrsa";
pub(crate) const PROVIDER: &str = "acs:ram::1000000000000001:oidc-provider/ack-rrsa-example";
pub(crate) const SUBJECT: &str = "system:serviceaccount:kube-system:acr-credential-sidecar";

/// An access key or a session.
#[derive(Clone)]
pub(crate) struct Key {
    pub(crate) id: String,
    pub(crate) secret: String,
    pub(crate) token: Option<String>,
}

impl Key {
    pub(crate) fn of(name: &str) -> Self {
        Self { id: format!("LTAI5tEXAMPLE{name}"), secret: format!("EXAMPLE-secret-of-{name}"), token: None }
    }

    pub(crate) fn of_session(body: &Value) -> Self {
        let credentials = body.get("Credentials").unwrap_or(body);
        let field = |name: &str| credentials[name].as_str().unwrap().to_owned();
        Self {
            id: field("AccessKeyId"),
            secret: field("AccessKeySecret"),
            token: Some(field("SecurityToken")),
        }
    }
}

pub(crate) fn start() -> Timestamp {
    "2026-01-01T00:00:00Z".parse().unwrap()
}

/// The example, at a time that stands still.
pub(crate) fn example() -> Cloud {
    let mut cloud = Cloud::new(State::from_yaml(EXAMPLE).unwrap());
    cloud.clock.freeze(true);
    cloud.clock.set(start());
    cloud
}

/// A call that only lacks its signature.
pub(crate) fn unsigned(version: &str, action: &str, query: &str, date: Timestamp) -> Request {
    static NONCE: AtomicU32 = AtomicU32::new(0);
    let nonce = NONCE.fetch_add(1, Ordering::Relaxed);
    let personal = version == "2016-06-07";
    let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    Request {
        method: if personal { "GET" } else { "POST" }.into(),
        path: if personal { "/tokens" } else { "/" }.into(),
        query: query.into(),
        headers: vec![
            header("host", "cr.cn-hangzhou.aliyuncs.com"),
            header("accept", "application/json"),
            header("x-acs-action", action),
            header("x-acs-version", version),
            header("x-acs-date", &date.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()),
            header("x-acs-signature-nonce", &format!("nonce-{nonce}")),
        ],
        body: Vec::new(),
    }
}

/// Signs it, by the description of the vendor's that the verifier follows too; the vendor's vectors and SDKs vouch for both.
pub(crate) fn sign(mut request: Request, key: &Key) -> Request {
    if let Some(token) = &key.token {
        request.headers.push(("x-acs-security-token".into(), token.clone()));
    }
    let hash = hex(digest::digest(&digest::SHA256, &request.body).as_ref());
    request.headers.push(("x-acs-content-sha256".into(), hash));
    let mut signed_headers: Vec<String> = request
        .headers
        .iter()
        .map(|(name, _)| name.clone())
        .filter(|name| name == "host" || name == "content-type" || name.starts_with("x-acs-"))
        .collect();
    signed_headers.sort();
    let authorization =
        Authorization { access_key_id: key.id.clone(), signed_headers, signature: String::new() };
    let secret = hmac::Key::new(hmac::HMAC_SHA256, key.secret.as_bytes());
    let text = authorization.string_to_sign(&request).unwrap();
    let signature = hex(hmac::sign(&secret, text.as_bytes()).as_ref());
    let header = format!(
        "ACS3-HMAC-SHA256 Credential={},SignedHeaders={},Signature={signature}",
        key.id,
        authorization.signed_headers.join(";")
    );
    request.headers.push(("authorization".into(), header));
    request
}

pub(crate) fn token_request(key: &Key) -> Request {
    sign(unsigned("2018-12-01", "GetAuthorizationToken", "InstanceId=cri-example", start()), key)
}

pub(crate) fn assume_role_request(key: &Key, query: &str) -> Request {
    let query = format!("RoleArn={GUEST}&RoleSessionName=test&{query}");
    sign(unsigned("2015-04-01", "AssumeRole", &query, start()), key)
}

/// `AssumeRoleWithOIDC`, its parameters in the body.
pub(crate) fn oidc_request(token: &str) -> Request {
    let mut body = form_urlencoded::Serializer::new(String::new());
    body.append_pair("RoleArn", RRSA).append_pair("OIDCProviderArn", PROVIDER);
    body.append_pair("OIDCToken", token).append_pair("RoleSessionName", "test");
    Request {
        method: "POST".into(),
        path: "/".into(),
        query: "Action=AssumeRoleWithOIDC&Version=2015-04-01&Format=JSON".into(),
        headers: vec![("content-type".into(), "application/x-www-form-urlencoded".into())],
        body: body.finish().into_bytes(),
    }
}

pub(crate) fn set_header(request: &mut Request, name: &str, value: &str) {
    request.headers.retain(|(present, _)| present != name);
    request.headers.push((name.into(), value.into()));
}

pub(crate) fn json(answer: &Answer) -> Value {
    serde_json::from_slice(&answer.body).unwrap()
}

/// Status and code, or the whole answer where it is no error.
pub(crate) fn verdict(answer: &Answer) -> String {
    if answer.code.is_empty() {
        answer.status.to_string()
    } else {
        format!("{} {}", answer.status, answer.code)
    }
}

#[track_caller]
pub(crate) fn check(cloud: &mut Cloud, request: &Request, expected: &str) -> Answer {
    let answer = cloud.respond(REGION, request);
    assert_eq!(verdict(&answer), expected, "{}", String::from_utf8_lossy(&answer.body));
    answer
}

fn hex(bytes: &[u8]) -> String {
    let digits: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    digits.concat()
}
