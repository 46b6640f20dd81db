mod faults;
mod identities;
mod secrets;
mod server;

use std::time::Duration;

use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};

use self::server::{Received, Server, answer};
use super::call::Operation;
use super::endpoints::Flags;
use super::keys::Keys;
use super::*;
use crate::configuration::{
    AccessKeyId, AssumeRole, ExternalId, InstanceId, KeyPair, OidcProviderArn, RoleArn,
};

const NOW: &str = "2026-11-23T12:00:00Z";
/// Two hours after [`NOW`].
const LATER: &str = "1795442400000";

#[derive(Debug)]
struct Still;

impl Clock for Still {
    fn wall(&self) -> Timestamp {
        NOW.parse().unwrap()
    }
}

/// A client of which every endpoint is the server, with the ring provider installed.
fn cloud_with(server: &Server, change: impl FnOnce(&mut CloudSettings)) -> Cloud {
    // Another test may have been first.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let url = [server.url()];
    let flags = Flags { acr: &url, sts: &url, metadata: Some(&url[0]), vpc: false };
    let mut settings = CloudSettings {
        endpoints: Endpoints::parse(flags).unwrap(),
        limits: Limits {
            first_delay: Duration::from_millis(1),
            longest_delay: Duration::from_millis(20),
            ..Limits::default()
        },
        ..CloudSettings::default()
    };
    change(&mut settings);
    Cloud::new(settings, Arc::new(Still)).unwrap()
}

fn cloud(server: &Server) -> Cloud {
    cloud_with(server, |_| {})
}

fn region() -> Region {
    Region::parse("cn-hangzhou").unwrap()
}

fn key_pair() -> IdentitySource {
    let secret = SecretString::from("MARKER-static-secret");
    IdentitySource::KeyPair(KeyPair { id: AccessKeyId::parse("LTAI5tEXAMPLE").unwrap(), secret })
}

fn rrsa() -> IdentitySource {
    IdentitySource::Rrsa {
        role: RoleArn::parse("acs:ram::1000000000000001:role/pull").unwrap(),
        provider: OidcProviderArn::parse("acs:ram::1000000000000001:oidc-provider/ack-rrsa-example").unwrap(),
        duration: Duration::from_hours(1),
    }
}

fn alone(source: IdentitySource) -> Identity {
    Identity { source, assume_role: None }
}

fn assuming(source: IdentitySource) -> Identity {
    let role = AssumeRole {
        role: RoleArn::parse("acs:ram::1000000000000002:role/registry").unwrap(),
        duration: Duration::from_hours(2),
        external_id: Some(ExternalId::parse("example-external-id").unwrap()),
    };
    Identity { source, assume_role: Some(role) }
}

fn enterprise(identity: Identity) -> CredentialKey {
    numbered(identity, 0)
}

fn numbered(identity: Identity, number: usize) -> CredentialKey {
    let id = InstanceId::parse(&format!("cri-kmsiwlxxdcva{number:04}")).unwrap();
    CredentialKey { identity, region: region(), instance: Instance::Enterprise(id) }
}

/// What the real APIs would say.
fn good(request: &Received) -> String {
    let session = |id: &str| {
        format!(
            r#"{{"RequestId":"1","Credentials":{{"AccessKeyId":"STS.{id}","AccessKeySecret":"MARKER-secret-{id}","SecurityToken":"MARKER-token-{id}","Expiration":"2026-11-23T13:00:00Z"}}}}"#
        )
    };
    let path = request.line.split(['?', ' ']).nth(1).unwrap_or_default();
    match (path, request.action()) {
        ("/tokens", "GetAuthorizationToken") => answer(
            200,
            "",
            &format!(
                r#"{{"data":{{"authorizationToken":"MARKER-password","tempUserName":"cr_temp_user","expireDate":{LATER}}},"requestId":"1"}}"#
            ),
        ),
        (_, "GetAuthorizationToken") => answer(
            200,
            "",
            &format!(
                r#"{{"RequestId":"1","ExpireTime":{LATER},"Code":"success","IsSuccess":true,"TempUsername":"cr_temp_user","AuthorizationToken":"MARKER-password"}}"#
            ),
        ),
        (_, "ListInstanceEndpoint") => answer(
            200,
            "",
            r#"{"Code":"success","IsSuccess":true,"Endpoints":[{"Enable":true,"Domains":[{"Domain":"demo-registry.cn-hangzhou.cr.aliyuncs.com","Type":"SYSTEM"}]}]}"#,
        ),
        (_, "AssumeRole") => answer(200, "", &session("role")),
        (_, "AssumeRoleWithOIDC") => answer(200, "", &session("oidc")),
        ("/latest/api/token", _) => answer(200, "", "MARKER-metadata-token"),
        ("/latest/meta-data/region-id", _) => answer(200, "", "cn-beijing"),
        ("/latest/meta-data/ram/security-credentials/", _) => answer(200, "", "KubernetesWorkerRole\n"),
        ("/latest/meta-data/ram/security-credentials/KubernetesWorkerRole", _) => answer(
            200,
            "",
            r#"{"AccessKeyId":"STS.node","AccessKeySecret":"MARKER-node-secret","Expiration":"2026-11-23T18:00:00Z","SecurityToken":"MARKER-node-token","LastUpdated":"2026-11-23T12:00:00Z","Code":"Success"}"#,
        ),
        _ => answer(404, "", ""),
    }
}

fn is_send<T: Send>(value: T) -> T {
    value
}

#[tokio::test]
async fn a_static_key_pair_mints_a_credential_of_either_edition() {
    let server = Server::start(good).await;
    let cloud = cloud(&server);
    let credential = is_send(cloud.credential(&enterprise(alone(key_pair())))).await.unwrap();
    assert_eq!(credential.user, "cr_temp_user");
    assert_eq!(credential.password.expose_secret(), "MARKER-password");
    assert_eq!(credential.expires_at.to_string(), "2026-11-23T14:00:00Z");
    let personal = CredentialKey { instance: Instance::Personal, ..enterprise(alone(key_pair())) };
    cloud.credential(&personal).await.unwrap();
    assert_eq!(server.lines(), ["POST /?InstanceId=cri-kmsiwlxxdcva0000", "GET /tokens"]);
    assert_eq!(server.received()[1].header("x-acs-version"), Some("2016-06-07"));
}

#[tokio::test]
async fn a_request_is_signed_over_what_is_sent_and_says_who_asks() {
    let server = Server::start(good).await;
    cloud(&server).credential(&enterprise(assuming(key_pair()))).await.unwrap();
    for request in server.received() {
        let (operation, keys) = match request.action() {
            "AssumeRole" => (
                Operation::rpc("AssumeRole", "2015-04-01"),
                Keys::new("LTAI5tEXAMPLE", "MARKER-static-secret", None),
            ),
            _ => (
                Operation::rpc("GetAuthorizationToken", "2018-12-01"),
                Keys::new("STS.role", "MARKER-secret-role", Some("MARKER-token-role")),
            ),
        };
        assert_eq!(request.action(), operation.action);
        let to_sign = signature::ToSign {
            operation: &operation,
            host: &format!("127.0.0.1:{}", server.port),
            query: request.line.split_once('?').unwrap().1,
        };
        let nonce = request.header("x-acs-signature-nonce").unwrap().to_owned();
        let attempt = signature::Attempt { date: NOW.parse().unwrap(), nonce };
        for (name, value) in signature::sign(&to_sign, &keys.unwrap(), &attempt).headers {
            assert_eq!(request.header(name), Some(value.as_str()), "{name}");
        }
        assert_eq!(request.header("host"), Some(to_sign.host));
        assert_eq!(request.header("accept"), Some("application/json"));
        assert_eq!(request.header("content-length"), Some("0"), "gateways refuse a POST without");
        let agent = request.header("user-agent").unwrap();
        assert_eq!(agent, concat!("acr-credential-sidecar/", env!("CARGO_PKG_VERSION")));
    }
}

#[tokio::test]
async fn a_registry_is_asked_for_its_challenge_without_any_key() {
    let challenge = "www-authenticate: Bearer realm=\"https://auth.example\",service=\"registry.aliyuncs.com:cn-hangzhou:china:cri-kmsiwlxxdcvaduwb\"\r\n";
    let server = Server::start(move |_| answer(401, challenge, "")).await;
    let host = Host::parse(&format!("127.0.0.1:{}", server.port)).unwrap();
    let challenge = cloud(&server).challenge(&host).await.unwrap();
    let id = InstanceId::parse("cri-kmsiwlxxdcvaduwb").unwrap();
    assert_eq!(challenge, Some((region(), Instance::Enterprise(id))));
    assert_eq!(server.lines(), ["GET /v2/"]);
    assert_eq!(server.received()[0].header("authorization"), None);

    let open = Server::start(|_| answer(200, "", "{}")).await;
    let host = Host::parse(&format!("127.0.0.1:{}", open.port)).unwrap();
    let error = cloud(&open).challenge(&host).await.unwrap_err();
    assert_eq!(error.details.problem.as_deref(), Some("the answer is HTTP 200, not a challenge"));
}

#[tokio::test]
async fn the_hosts_of_an_instance_are_listed_and_those_of_personal_edition_are_known() {
    let server = Server::start(good).await;
    let cloud = cloud(&server);
    let key = enterprise(alone(key_pair()));
    let hosts = cloud.hosts(&key).await.unwrap();
    assert_eq!(
        hosts.iter().map(Host::as_str).collect::<Vec<_>>(),
        ["demo-registry.cn-hangzhou.cr.aliyuncs.com"]
    );
    let personal = CredentialKey { instance: Instance::Personal, ..key };
    assert_eq!(cloud.hosts(&personal).await.unwrap().len(), 6);
    assert_eq!(server.lines(), ["POST /?InstanceId=cri-kmsiwlxxdcva0000&ModuleName=Registry"]);
}
