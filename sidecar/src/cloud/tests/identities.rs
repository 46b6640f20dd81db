//! Where keys come from, end to end.

use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

#[tokio::test]
async fn only_the_last_role_is_narrowed_and_gets_the_external_id() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("token");
    fs::write(&file, "eyJ.MARKER-oidc.sig\n").unwrap();
    let server = Server::start(good).await;
    let cloud = cloud_with(&server, |settings| {
        settings.environment =
            [("ALIBABA_CLOUD_OIDC_TOKEN_FILE", file.to_str().unwrap())].into_iter().collect();
    });
    let session = cloud.session(&assuming(rrsa()), &region()).await.unwrap();
    assert!(session.origin.narrowed);
    assert_eq!(
        session.origin.to_string(),
        "the role acs:ram::1000000000000002:role/registry, assumed with the cluster's OIDC token by way of \
         acs:ram::1000000000000001:role/pull"
    );
    let requests = server.received();
    assert_eq!(server.actions(), ["AssumeRoleWithOIDC", "AssumeRole"]);
    assert!(!requests[0].body.contains("Policy="));
    assert!(requests[0].body.contains("RoleSessionName=acr-credential-sidecar"));
    let query = &requests[1].line;
    assert!(
        query.contains("Policy=%7B%22Version%22") && query.contains("ExternalId=example-external-id"),
        "{query}"
    );
    assert!(query.contains("DurationSeconds=7200"), "{query}");
    assert_eq!(requests[1].header("x-acs-security-token"), Some("MARKER-token-oidc"));

    let session = cloud.session(&alone(rrsa()), &region()).await.unwrap();
    assert!(session.origin.narrowed);
    assert!(server.received()[2].body.contains("Policy=%7B%22Version%22"));
}

#[tokio::test]
async fn the_oidc_token_goes_into_the_body_only_and_is_read_at_each_use() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("token");
    let server = Server::start(good).await;
    for token in ["MARKER-first", "MARKER-second"] {
        fs::write(&file, token).unwrap();
        let cloud = cloud_with(&server, |settings| {
            settings.environment =
                [("ALIBABA_CLOUD_OIDC_TOKEN_FILE", file.to_str().unwrap())].into_iter().collect();
        });
        cloud.session(&alone(rrsa()), &region()).await.unwrap();
        let request = server.received().pop().unwrap();
        assert!(request.body.contains(&format!("OIDCToken={token}&")), "{}", request.body);
        assert!(!request.line.contains("MARKER"));
        assert!(request.headers.iter().all(|(_, value)| !value.contains("MARKER")));
        assert_eq!(request.header("authorization"), None);
        assert_eq!(request.header("content-type"), Some("application/x-www-form-urlencoded"));
    }
}

#[tokio::test]
async fn fifty_registries_of_one_identity_share_one_session() {
    let server = Server::start(good).await;
    let cloud = Arc::new(cloud(&server));
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..50 {
        let cloud = cloud.clone();
        tasks.spawn(async move {
            cloud.credential(&numbered(assuming(IdentitySource::DefaultChain), number)).await
        });
    }
    assert!(tasks.join_all().await.iter().all(Result::is_ok));
    let count = |action: &str| server.actions().iter().filter(|called| *called == action).count();
    assert_eq!((count("AssumeRole"), count("GetAuthorizationToken")), (1, 50));
    let node = server.lines().iter().filter(|line| line.ends_with("/KubernetesWorkerRole")).count();
    assert_eq!(node, 1, "keys of the node were read once");
}

#[tokio::test]
async fn ecs_metadata_is_asked_with_a_session_token() {
    let server = Server::start(good).await;
    let session = cloud(&server).session(&alone(IdentitySource::DefaultChain), &region()).await.unwrap();
    assert_eq!(session.origin.to_string(), "the node's RAM role KubernetesWorkerRole");
    let requests = server.received();
    assert_eq!(requests[0].line, "PUT /latest/api/token");
    assert_eq!(requests[0].header("x-aliyun-ecs-metadata-token-ttl-seconds"), Some("300"));
    for request in requests.iter().filter(|request| request.line.starts_with("GET")) {
        assert_eq!(
            request.header("x-aliyun-ecs-metadata-token"),
            Some("MARKER-metadata-token"),
            "{}",
            request.line
        );
    }
}

/// A machine without the hardened mode.
fn plain_metadata(request: &Received) -> String {
    if request.line.starts_with("PUT") { answer(404, "", "") } else { good(request) }
}

#[tokio::test]
async fn ecs_metadata_without_tokens_is_asked_plainly_unless_that_is_forbidden() {
    let server = Server::start(plain_metadata).await;
    let identity = alone(IdentitySource::DefaultChain);
    let role = [("ALIBABA_CLOUD_ECS_METADATA", "KubernetesWorkerRole")];
    let named = cloud_with(&server, |settings| settings.environment = role.into_iter().collect());
    named.session(&identity, &region()).await.unwrap();
    assert_eq!(
        server.lines(),
        ["PUT /latest/api/token", "GET /latest/meta-data/ram/security-credentials/KubernetesWorkerRole"]
    );
    let strict = [("ALIBABA_CLOUD_IMDSV1_DISABLED", "true")];
    let strict = cloud_with(&server, |settings| settings.environment = strict.into_iter().collect());
    let error = strict.session(&identity, &region()).await.unwrap_err();
    assert_eq!(error.reason, Reason::IdentityUnavailable);
    assert_eq!(server.lines().len(), 3, "nothing was asked without a token");
}

#[tokio::test]
async fn a_node_without_a_role_says_so() {
    let server = Server::start(|request| {
        if request.line.starts_with("GET") { answer(404, "", "<html>") } else { good(request) }
    })
    .await;
    let error = cloud(&server).session(&alone(IdentitySource::DefaultChain), &region()).await.unwrap_err();
    assert_eq!(error.reason, Reason::IdentityUnavailable);
    assert!(error.to_string().contains("the node has no RAM role: attach one to the node"), "{error}");
}

#[tokio::test]
async fn the_region_is_the_flags_or_that_of_the_machine_which_is_asked_once() {
    let server = Server::start(good).await;
    let cloud = cloud(&server);
    for _ in 0..2 {
        assert_eq!(cloud.region().await.unwrap().as_str(), "cn-beijing");
    }
    assert_eq!(server.lines(), ["PUT /latest/api/token", "GET /latest/meta-data/region-id"]);
    let flag = cloud_with(&server, |settings| settings.region = Some(region()));
    assert_eq!(flag.region().await.unwrap(), region());
    let off = [("ALIBABA_CLOUD_ECS_METADATA_DISABLED", "true")];
    let off = cloud_with(&server, |settings| settings.environment = off.into_iter().collect());
    assert_eq!(off.region().await.unwrap_err().reason, Reason::IdentityUnavailable);
    assert_eq!(server.lines().len(), 2);
}

#[tokio::test]
async fn a_session_that_is_refused_as_expired_is_renewed_once() {
    let calls = AtomicUsize::new(0);
    let server = Server::start(move |request| match request.action() {
        "GetAuthorizationToken" if calls.fetch_add(1, Ordering::Relaxed) == 0 => {
            answer(400, "", r#"{"Code":"InvalidSecurityToken.Expired"}"#)
        }
        _ => good(request),
    })
    .await;
    cloud(&server).credential(&enterprise(assuming(key_pair()))).await.unwrap();
    assert_eq!(
        server.actions(),
        ["AssumeRole", "GetAuthorizationToken", "AssumeRole", "GetAuthorizationToken"]
    );
}

#[tokio::test]
async fn a_machine_without_ecs_metadata_says_what_was_looked_for() {
    let nobody = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let server = Server::start(good).await;
    let url = format!("http://{nobody}");
    let cloud = cloud_with(&server, |settings| {
        settings.endpoints = Endpoints::parse(Flags { metadata: Some(&url), ..Flags::default() }).unwrap();
    });
    let error = cloud.session(&alone(IdentitySource::DefaultChain), &region()).await.unwrap_err();
    assert_eq!(error.reason, Reason::IdentityUnavailable);
    assert_eq!(
        error.to_string(),
        format!(
            "reading keys from ECS metadata at {nobody}: no access key and no OIDC token in the environment, no Secret \
             alibaba-addon-secret, and ECS metadata: no answer, Connection refused (os error 111): give the sidecar an \
             access key, use RRSA, or run it on an ECS instance with a RAM role"
        )
    );
    let error = cloud.region().await.unwrap_err();
    assert_eq!(error.reason, Reason::Unreachable);
    assert!(error.to_string().ends_with(": set --region, or regionId on the registry's entry"), "{error}");
}

#[tokio::test]
async fn metadata_that_is_closed_to_pods_says_so() {
    let server = Server::start(|request| {
        if request.line.starts_with("GET") { answer(403, "", "<html>") } else { good(request) }
    })
    .await;
    let error = cloud(&server).session(&alone(IdentitySource::DefaultChain), &region()).await.unwrap_err();
    assert_eq!(error.reason, Reason::IdentityUnavailable);
    assert!(error.to_string().contains("ECS metadata returned HTTP 403: allow Pods to read it"), "{error}");
}

/// The host of STS for a registry in cn-hangzhou, of a cluster in cn-beijing by ECS metadata.
async fn check_sts(flag: Option<&str>, variables: &[(&str, &str)], vpc: bool, oidc: bool, expected: &str) {
    let server = Server::start(good).await;
    let url = server.url();
    let cloud = cloud_with(&server, |settings| {
        settings.endpoints =
            Endpoints::parse(Flags { metadata: Some(&url), vpc, ..Flags::default() }).unwrap();
        settings.region = flag.map(|flag| Region::parse(flag).unwrap());
        settings.environment = variables.iter().copied().collect();
    });
    assert_eq!(cloud.sts(&region(), oidc).await.unwrap().authority(), expected);
}

#[tokio::test]
async fn sts_is_asked_near_the_cluster() {
    let of_environment = [("ALIBABA_CLOUD_STS_REGION", "cn-shanghai")];
    let vpc_of_environment = [("ALIBABA_CLOUD_VPC_ENDPOINT_ENABLED", "true")];
    check_sts(None, &[], false, false, "sts.cn-hangzhou.aliyuncs.com").await;
    check_sts(None, &of_environment, false, false, "sts.cn-shanghai.aliyuncs.com").await;
    check_sts(Some("cn-shenzhen"), &of_environment, false, false, "sts.cn-shenzhen.aliyuncs.com").await;
    check_sts(None, &[], true, false, "sts-vpc.cn-beijing.aliyuncs.com").await;
    check_sts(None, &of_environment, true, false, "sts-vpc.cn-shanghai.aliyuncs.com").await;
    check_sts(None, &vpc_of_environment, false, true, "sts-vpc.cn-beijing.aliyuncs.com").await;
    check_sts(None, &vpc_of_environment, false, false, "sts.cn-hangzhou.aliyuncs.com").await;
}
