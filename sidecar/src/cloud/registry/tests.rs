use secrecy::ExposeSecret;

use super::super::answer::tests::{answer, call};
use super::super::answer::{self, Body};
use super::*;
use crate::configuration::Region;

const NOW: &str = "2026-11-23T12:00:00Z";
/// Two hours after [`NOW`].
const LATER: i64 = 1_795_442_400_000;

fn body(text: &str) -> Body {
    match answer::read(&call("GetAuthorizationToken"), &answer(200, &[], text), NOW.parse().unwrap()) {
        Ok(body) => body,
        Err(error) => panic!("{error}"),
    }
}

fn enterprise() -> Instance {
    Instance::Enterprise(InstanceId::parse("cri-kmsiwlxxdcvaduwb").unwrap())
}

fn parse(text: &str, instance: &Instance) -> Result<Credential, CloudError> {
    read_credential(body(text).fields(), instance, NOW.parse().unwrap())
}

#[track_caller]
fn check(text: &str, instance: &Instance) {
    let credential = parse(text, instance).unwrap();
    assert_eq!(credential.user, "cr_temp_user");
    assert_eq!(credential.password.expose_secret(), "MARKER");
    assert_eq!(credential.expires_at, Timestamp::from_millisecond(LATER).unwrap());
}

#[track_caller]
fn check_malformed(text: &str, instance: &Instance, problem: &str) {
    let error = parse(text, instance).unwrap_err();
    assert_eq!(error.reason, crate::cloud::Reason::MalformedAnswer);
    assert_eq!(error.details.problem.as_deref(), Some(problem));
}

#[test]
fn a_credential_of_either_edition_is_read_leniently() {
    check(
        r#"{"RequestId":"1","ExpireTime":1795442400000,"Code":"success","IsSuccess":true,"TempUsername":"cr_temp_user","AuthorizationToken":"MARKER"}"#,
        &enterprise(),
    );
    check(
        r#"{"Code":"Success","expireTime":"1795442400000","tempUserName":"cr_temp_user","authorizationToken":"MARKER"}"#,
        &enterprise(),
    );
    check(
        r#"{"data":{"authorizationToken":"MARKER","tempUserName":"cr_temp_user","expireDate":1795442400000},"requestId":"1"}"#,
        &Instance::Personal,
    );
}

#[test]
fn a_partial_or_absurd_credential_is_none() {
    let enterprise = enterprise();
    let ee = |user: &str, token: &str, expiry: &str| {
        format!(
            r#"{{"IsSuccess":true,"TempUsername":{user},"AuthorizationToken":{token},"ExpireTime":{expiry}}}"#
        )
    };
    let later = LATER.to_string();
    let cases = [
        (ee("\"\"", "\"t\"", &later), "the answer has no TempUsername"),
        (ee("\"u\"", "\"\"", &later), "the answer has no AuthorizationToken"),
        (ee("\"u\"", "null", &later), "the answer has no AuthorizationToken"),
        (ee("\"u\"", "\"t\"", "\"soon\""), "the answer has no ExpireTime"),
        (ee("\"u\"", "\"t\"", "1895442400000"), "ExpireTime is too far in the future"),
        (ee("\"u\"", "\"t\"", "9223372036854775807"), "ExpireTime is too far in the future"),
    ];
    for (text, problem) in cases {
        check_malformed(&text, &enterprise, problem);
    }
    check_malformed(r#"{"requestId":"1"}"#, &Instance::Personal, "the answer has no data");
}

#[test]
fn enabled_domains_of_every_kind_are_hosts_once_each_and_sorted() {
    let text = r#"{"Code":"success","IsSuccess":true,"Endpoints":[
        {"EndpointType":"vpc","Enable":true,"Status":"RUNNING","Domains":[
            {"Domain":"demo-registry-vpc.cn-hangzhou.cr.aliyuncs.com","Type":"SYSTEM"},{"Domain":"images.example.com","Type":"USER"}]},
        {"EndpointType":"internet","Enable":"true","Domains":[
            {"Domain":"demo-registry.cn-hangzhou.cr.aliyuncs.com","Type":"SYSTEM"},{"Domain":"images.example.com","Type":"USER"},{}]},
        {"EndpointType":"other","Enable":false,"Domains":[{"Domain":"off.example.com","Type":"USER"}]},
        {"EndpointType":"empty","Enable":true}]}"#;
    let hosts: Vec<_> = read_hosts(body(text).fields()).iter().map(ToString::to_string).collect();
    assert_eq!(
        hosts,
        [
            "demo-registry-vpc.cn-hangzhou.cr.aliyuncs.com",
            "demo-registry.cn-hangzhou.cr.aliyuncs.com",
            "images.example.com"
        ]
    );
    assert_eq!(read_hosts(body(r#"{"Code":"success"}"#).fields()), []);
}

#[test]
fn a_domain_that_cannot_be_of_the_instance_is_left_out() {
    for domain in [
        "docker.io",
        "Registry-1.docker.io",
        "ghcr.io",
        "quay.io:443",
        "eu.gcr.io",
        "public.ecr.aws",
        "10.0.0.1",
    ] {
        let domains = format!(r#"{{"Domain":"{domain}"}},{{"Domain":"own.example.com"}}"#);
        let body = body(&format!(r#"{{"Endpoints":[{{"Enable":true,"Domains":[{domains}]}}]}}"#));
        let hosts: Vec<_> = read_hosts(body.fields()).iter().map(ToString::to_string).collect();
        assert_eq!(hosts, ["own.example.com"], "{domain}");
    }
    for domain in ["notdocker.io", "docker.io.example.com", "1.2.3.4.example.com"] {
        assert!(!Host::parse(domain).unwrap().is_elsewhere(), "{domain}");
    }
}

#[test]
fn personal_edition_has_six_hosts_in_a_region() {
    let hosts = Host::of_personal_edition(&Region::parse("cn-hangzhou").unwrap());
    let hosts: Vec<_> = hosts.iter().map(Host::as_str).collect();
    assert_eq!(
        hosts,
        [
            "registry-internal.cn-hangzhou.aliyuncs.com",
            "registry-intl-internal.cn-hangzhou.aliyuncs.com",
            "registry-intl-vpc.cn-hangzhou.aliyuncs.com",
            "registry-intl.cn-hangzhou.aliyuncs.com",
            "registry-vpc.cn-hangzhou.aliyuncs.com",
            "registry.cn-hangzhou.aliyuncs.com",
        ]
    );
}
