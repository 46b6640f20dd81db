//! No secret leaves the sidecar but in a docker config: not in a log at its highest level, a message, or another output.

use acr_e2e_tests::sidecar::{Ended, Sidecar};
use acr_fake_cloud::{Action, FakeCloud, Fault, FaultKind, TokenRequest};
use anyhow::{Result, anyhow};
use serde_json::Value;

use crate::mint::{cloud, configuration, mint, puller};

const KEYS: [&str; 3] = ["EXAMPLE-secret-of-puller", "EXAMPLE-secret-of-nobody", "EXAMPLE-wrong"];

/// Everything secret that went over the wire: session tokens, OIDC tokens, and whole bodies of forms.
fn secrets_on_the_wire(cloud: &FakeCloud) -> Vec<String> {
    let mut secrets: Vec<String> = KEYS.map(str::to_owned).to_vec();
    for request in cloud.requests() {
        let headers = ["x-acs-security-token", "x-aliyun-ecs-metadata-token"];
        secrets.extend(headers.iter().filter_map(|name| request.headers.get(*name).cloned()));
        let tokens = request.body.split('&').filter_map(|pair| pair.strip_prefix("OIDCToken="));
        // The signature of the token: the rest of it is no secret, and neither is short.
        secrets.extend(tokens.filter_map(|token| token.rsplit('.').next()).map(str::to_owned));
    }
    secrets
}

fn holds_none(ended: &Ended, secrets: &[String], what: &str) {
    for secret in secrets.iter().filter(|secret| !secret.is_empty()) {
        let shown = ended.stdout.contains(secret.as_str()) || ended.stderr.contains(secret.as_str());
        assert!(!shown, "{what}: a secret of {} characters is shown", secret.len());
    }
    // What the fake hands out begins like this: passwords, secrets of sessions, and tokens.
    assert!(
        !ended.stdout.contains("EXAMPLE-") && !ended.stderr.contains("EXAMPLE-"),
        "{what}: a secret is shown"
    );
}

fn noisy(format: &str) -> [&str; 6] {
    ["--log-level", "trace", "--log-format", format, "--output", "json"]
}

#[tokio::test]
async fn a_log_at_its_highest_level_holds_calls_but_no_secret() -> Result<()> {
    let cloud = cloud().await?;
    let entries = "- instanceId: cri-example\n- instanceId: cri-other\n  assumeRoleARN: acs:ram::2000000000000002:role/guest\n- instanceId: ''";
    for format in ["text", "json"] {
        let ended = mint(&puller(&cloud)?, entries, &noisy(format)).await?;
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        assert!(ended.stderr.contains("GetAuthorizationToken"), "the log is there: {}", ended.stderr);
        holds_none(&ended, &secrets_on_the_wire(&cloud), format);
    }
    let table = mint(&puller(&cloud)?, entries, &["--output", "table"]).await?;
    holds_none(&table, &secrets_on_the_wire(&cloud), "table");
    Ok(())
}

#[tokio::test]
async fn tokens_of_pods_and_nodes_are_not_shown_either() -> Result<()> {
    let cloud = cloud().await?;
    let wanted = TokenRequest::of("system:serviceaccount:kube-system:acr-credential-sidecar");
    let token = cloud.mint_oidc_token(&wanted).map_err(|error| anyhow!(error))?;
    let sidecar = Sidecar::new(&cloud)?;
    let file = sidecar.file("token", &token)?;
    let rrsa = sidecar
        .with("ALIBABA_CLOUD_OIDC_TOKEN_FILE", file.to_string_lossy())
        .with("ALIBABA_CLOUD_ROLE_ARN", "acs:ram::1000000000000001:role/rrsa")
        .with("ALIBABA_CLOUD_OIDC_PROVIDER_ARN", "acs:ram::1000000000000001:oidc-provider/ack-rrsa-example");
    for (sidecar, action) in
        [(rrsa, Action::AssumeRoleWithOIDC), (Sidecar::new(&cloud)?, Action::MetadataCredentials)]
    {
        let ended = mint(&sidecar, "- instanceId: cri-example", &noisy("text")).await?;
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        assert_eq!(cloud.calls(action), 1);
        holds_none(&ended, &secrets_on_the_wire(&cloud), action.name());
    }
    Ok(())
}

#[tokio::test]
async fn no_fault_of_the_cloud_brings_a_secret_to_light() -> Result<()> {
    let cloud = cloud().await?;
    let kinds = [
        FaultKind::Throttle { status: None, time_left_ms: None, acs_retry_after_ms: None, retry_after: None },
        FaultKind::Error { status: None, code: None, xml: true },
        FaultKind::Error { status: Some(400), code: Some("SignatureDoesNotMatch".to_owned()), xml: false },
        FaultKind::Reset,
        FaultKind::Truncate { bytes: 200 },
        FaultKind::NonJson,
        FaultKind::Unsuccessful { code: "EXAMPLE_REFUSAL".to_owned() },
        FaultKind::Life { seconds: -5 },
    ];
    let entries = "- instanceId: cri-other\n  assumeRoleARN: acs:ram::2000000000000002:role/guest";
    for action in [Action::AssumeRole, Action::GetAuthorizationToken, Action::ListInstanceEndpoint] {
        for kind in &kinds {
            cloud.add_fault(Fault { action: Some(action), instance: None, times: None, kind: kind.clone() });
            let before = cloud.calls(action);
            let ended = mint(&puller(&cloud)?, entries, &noisy("text")).await?;
            assert!(cloud.calls(action) > before, "{action:?} was not called");
            holds_none(&ended, &secrets_on_the_wire(&cloud), &format!("{action:?} {kind:?}"));
            cloud.clear_faults();
        }
    }
    Ok(())
}

#[tokio::test]
async fn mistakes_do_not_quote_keys() -> Result<()> {
    let cloud = cloud().await?;
    let sidecar = Sidecar::new(&cloud)?;
    let entries = [
        "- customAccessKey: LTAI5tEXAMPLEpuller\n  customAccessKeySecret: [EXAMPLE-secret-of-puller]",
        "- customAccessKeySecret: EXAMPLE-secret-of-puller",
        "- EXAMPLE-secret-of-puller",
        "- instanceId: EXAMPLE-secret-of-puller\n  regionId: EXAMPLE-secret-of-puller",
        "- customAccessKey: \"EXAMPLE-secret-of-puller\",\"EXAMPLE-wrong\"",
        "- EXAMPLE-secret-of-puller: yes",
    ];
    for entry in entries {
        sidecar.file("config.yaml", &configuration(entry))?;
        let ended = sidecar.run(&["check", "--config", "config.yaml", "--log-level", "trace"]).await?;
        assert_eq!(ended.code, Some(1), "{entry}");
        holds_none(&ended, &KEYS.map(str::to_owned), entry);
    }
    Ok(())
}

#[tokio::test]
async fn the_docker_config_is_where_the_password_is() -> Result<()> {
    let cloud = cloud().await?;
    let ended = mint(&puller(&cloud)?, "- instanceId: cri-example", &[]).await?;
    let document: Value = serde_json::from_str(&ended.stdout)?;
    let password = &document["auths"]["images.example.test"]["password"];
    assert!(
        password.as_str().is_some_and(|password| password.starts_with("EXAMPLE-")),
        "the marker is a marker"
    );
    Ok(())
}
