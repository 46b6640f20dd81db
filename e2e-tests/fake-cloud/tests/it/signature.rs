//! The vendor's vector, and two for the calls that matter here, computed once by an independent implementation.

use acr_fake_cloud::{Authorization, Rejection, Request};

const DATE: &str = "2023-10-26T10:22:32Z";
const NONCE: &str = "3156853299f313e23d1673dc12e1703d";
const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
const SECRET: &str = "YourAccessKeySecret";

struct Vector {
    method: &'static str,
    path: &'static str,
    host: &'static str,
    query: &'static str,
    action: &'static str,
    version: &'static str,
    token: Option<&'static str>,
    hash: &'static str,
    signature: &'static str,
}

const OFFICIAL: Vector = Vector {
    method: "POST",
    path: "/",
    host: "ecs.cn-shanghai.aliyuncs.com",
    query: "ImageId=win2019_1809_x64_dtc_zh-cn_40G_alibase_20230811.vhd&RegionId=cn-shanghai",
    action: "RunInstances",
    version: "2014-05-26",
    token: None,
    hash: "7ea06492da5221eba5297e897ce16e55f964061054b7695beedaac1145b1e259",
    signature: "06563a9e1b43f5dfe96b81484da74bceab24a1d853912eee15083a6f0f3283c0",
};

const ENTERPRISE: Vector = Vector {
    method: "POST",
    path: "/",
    host: "cr.cn-hangzhou.aliyuncs.com",
    query: "InstanceId=cri-kmsiwlxxdcvaduwb",
    action: "GetAuthorizationToken",
    version: "2018-12-01",
    token: Some("sts-token"),
    hash: "77d38809f2b3bd9072b3ea93fee074d4b822622cdddfab6b50074e066fcfd0f5",
    signature: "c7e383ee00c71147ec99ce9dd8a23451f49632ba3785f682de3cbfc03f218978",
};

const PERSONAL: Vector = Vector {
    method: "GET",
    path: "/tokens",
    host: "cr.cn-hangzhou.aliyuncs.com",
    query: "",
    action: "GetAuthorizationToken",
    version: "2016-06-07",
    token: None,
    hash: "aa049b540a004fbd5fb780c728b5363873f82718e1f922472f379deb82672ab0",
    signature: "f6ea4783ae0ef2245e7bbed06c5eace6feb24c9599f13c7abed9bdb36c5302dd",
};

fn request(vector: &Vector) -> Request {
    let mut headers = vec![
        ("host", vector.host),
        ("x-acs-action", vector.action),
        ("x-acs-content-sha256", EMPTY),
        ("x-acs-date", DATE),
    ];
    headers.extend(vector.token.map(|token| ("x-acs-security-token", token)));
    headers.extend([("x-acs-signature-nonce", NONCE), ("x-acs-version", vector.version)]);
    let names: Vec<&str> = headers.iter().map(|(name, _)| *name).collect();
    let authorization = format!(
        "ACS3-HMAC-SHA256 Credential=YourAccessKeyId,SignedHeaders={},Signature={}",
        names.join(";"),
        vector.signature
    );
    headers.push(("authorization", &authorization));
    Request {
        method: vector.method.into(),
        path: vector.path.into(),
        query: vector.query.into(),
        headers: headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        body: Vec::new(),
    }
}

#[track_caller]
fn check(vector: &Vector) {
    let request = request(vector);
    let authorization = Authorization::of(&request).unwrap();
    assert_eq!(authorization.string_to_sign(&request).unwrap(), format!("ACS3-HMAC-SHA256\n{}", vector.hash));
    assert_eq!(authorization.verify(&request, SECRET), Ok(()));
    assert!(matches!(authorization.verify(&request, "another"), Err(Rejection::Mismatch { .. })));
}

#[test]
fn the_vendors_vector_verifies() {
    check(&OFFICIAL);
}

#[test]
fn the_vectors_of_both_editions_verify() {
    check(&ENTERPRISE);
    check(&PERSONAL);
}

#[test]
fn a_query_is_encoded_by_rfc_3986_and_sorted() {
    let spelled = |query: &str| {
        let request = Request { query: query.into(), ..request(&OFFICIAL) };
        Authorization::of(&request).unwrap().string_to_sign(&request).unwrap()
    };
    assert_eq!(spelled("b=x%20y&a=%2A~%3A&empty"), spelled("empty=&a=*%7E:&b=x+y"));
    assert_ne!(spelled("a=1"), spelled("a=2"));
}

#[test]
fn a_body_that_was_not_signed_is_told_apart() {
    let request = Request { body: b"another".to_vec(), ..request(&OFFICIAL) };
    assert_eq!(Authorization::of(&request).unwrap().verify(&request, SECRET), Err(Rejection::Body));
}
