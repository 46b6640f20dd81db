use std::collections::BTreeMap;

use proptest::prelude::*;
use reqwest::Method;

use super::*;

/// Date, nonce and keys of the vector in the documentation.
fn attempt() -> Attempt {
    Attempt {
        date: "2023-10-26T10:22:32Z".parse().unwrap(),
        nonce: "3156853299f313e23d1673dc12e1703d".to_owned(),
    }
}

fn keys(token: Option<&str>) -> Keys {
    Keys::new("YourAccessKeyId", "YourAccessKeySecret", token).unwrap()
}

#[track_caller]
fn check(request: ToSign<'_>, token: Option<&str>, hash: &str, signature: &str) {
    let keys = keys(token);
    let canonical = canonical_request(&request, &headers(&request, &keys, &attempt()));
    assert_eq!(hex(digest::digest(&digest::SHA256, canonical.as_bytes()).as_ref()), hash);
    let signed = sign(&request, &keys, &attempt());
    let (_, authorization) = signed.headers.iter().find(|(name, _)| *name == "authorization").unwrap();
    assert!(authorization.ends_with(&format!(",Signature={signature}")), "{}", **authorization);
}

static RUN: Operation = Operation::rpc("RunInstances", "2014-05-26");

const RUN_INSTANCES: ToSign<'_> = ToSign {
    operation: &RUN,
    host: "ecs.cn-shanghai.aliyuncs.com",
    query: "ImageId=win2019_1809_x64_dtc_zh-cn_40G_alibase_20230811.vhd&RegionId=cn-shanghai",
};

#[test]
fn the_vector_of_the_documentation_is_met() {
    check(
        RUN_INSTANCES,
        None,
        "7ea06492da5221eba5297e897ce16e55f964061054b7695beedaac1145b1e259",
        "06563a9e1b43f5dfe96b81484da74bceab24a1d853912eee15083a6f0f3283c0",
    );
    let signed = sign(&RUN_INSTANCES, &keys(None), &attempt());
    let (_, authorization) = signed.headers.last().unwrap();
    assert_eq!(
        **authorization,
        "ACS3-HMAC-SHA256 Credential=YourAccessKeyId,SignedHeaders=host;x-acs-action;x-acs-content-sha256;\
         x-acs-date;x-acs-signature-nonce;x-acs-version,\
         Signature=06563a9e1b43f5dfe96b81484da74bceab24a1d853912eee15083a6f0f3283c0"
    );
}

#[test]
fn the_vector_of_enterprise_edition_with_a_session_is_met() {
    check(
        ToSign {
            operation: &Operation::rpc("GetAuthorizationToken", "2018-12-01"),
            host: "cr.cn-hangzhou.aliyuncs.com",
            query: "InstanceId=cri-kmsiwlxxdcvaduwb",
        },
        Some("sts-token"),
        "77d38809f2b3bd9072b3ea93fee074d4b822622cdddfab6b50074e066fcfd0f5",
        "c7e383ee00c71147ec99ce9dd8a23451f49632ba3785f682de3cbfc03f218978",
    );
}

#[test]
fn the_vector_of_personal_edition_is_met() {
    check(
        ToSign {
            operation: &Operation {
                action: "GetAuthorizationToken",
                version: "2016-06-07",
                method: Method::GET,
                path: "/tokens",
            },
            host: "cr.cn-hangzhou.aliyuncs.com",
            query: "",
        },
        None,
        "aa049b540a004fbd5fb780c728b5363873f82718e1f922472f379deb82672ab0",
        "f6ea4783ae0ef2245e7bbed06c5eace6feb24c9599f13c7abed9bdb36c5302dd",
    );
}

#[test]
fn a_query_is_sorted_and_encoded_by_rfc_3986() {
    assert_eq!(canonical_query(&[]), "");
    assert_eq!(canonical_query(&[("b", "1 2"), ("a", "*~/:")]), "a=%2A~%2F%3A&b=1%202");
    assert_eq!(canonical_query(&[("Empty", ""), ("Policy", "{\"é\"}")]), "Empty=&Policy=%7B%22%C3%A9%22%7D");
}

#[test]
fn a_date_has_whole_seconds() {
    assert_eq!(date("2023-10-26T10:22:32.987654321Z".parse().unwrap()), "2023-10-26T10:22:32Z");
}

#[test]
fn debug_shows_no_value() {
    let shown = format!("{:?}", sign(&RUN_INSTANCES, &keys(Some("MARKER")), &attempt()));
    assert!(shown.contains("x-acs-security-token"), "{shown}");
    assert!(!shown.contains("MARKER") && !shown.contains("Signature="), "{shown}");
}

proptest! {
    #[test]
    fn a_query_is_read_back_as_it_was(parameters: BTreeMap<String, String>) {
        let pairs: Vec<_> = parameters.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let query = canonical_query(&pairs);
        let read: BTreeMap<String, String> = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        prop_assert_eq!(read, parameters);
    }

    #[test]
    fn a_query_has_unreserved_characters_only(name: String, value: String) {
        let query = canonical_query(&[(&name, &value)]);
        prop_assert!(query.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.~%=&".contains(&b)), "{}", query);
    }

    #[test]
    fn a_url_keeps_the_query_as_it_was_signed(name: String, value: String) {
        let query = canonical_query(&[(&name, &value)]);
        let url = url::Url::parse(&format!("https://host.example/?{query}")).unwrap();
        prop_assert_eq!(url.query(), Some(query.as_str()));
    }

    #[test]
    fn another_secret_nonce_or_query_makes_another_signature(secret in "[a-z]{8,30}", nonce in "[0-9a-f]{32}") {
        let signature = |keys: &Keys, attempt: &Attempt| {
            sign(&RUN_INSTANCES, keys, attempt).headers.pop().map(|(_, value)| value)
        };
        let other_keys = Keys::new("YourAccessKeyId", &secret, None).unwrap();
        let other_attempt = Attempt { nonce, ..attempt() };
        prop_assert_ne!(signature(&other_keys, &attempt()), signature(&keys(None), &attempt()));
        prop_assert_ne!(signature(&keys(None), &other_attempt), signature(&keys(None), &attempt()));
    }
}
