//! Credentials as time goes by. Two mints of one credential are a minute apart at least, so some of these tests take a
//! little longer than that.

use acr_e2e_tests::cluster::PATIENCE;
use anyhow::Result;
use serde_json::json;

use super::stage::{INSTANCE, LONG, Stage, annotation, logins, metric, until_page, version};

#[tokio::test]
async fn a_rotation_is_one_mint_and_one_write_for_each_namespace() -> Result<()> {
    let stage = Stage::new("rotation-").await?;
    stage.cloud().patch(&json!({ "credentialSeconds": 120 }))?;
    let namespaces = [stage.namespace("a").await?, stage.namespace("b").await?, stage.namespace("c").await?];
    stage.configure(INSTANCE, &[]).await?;
    let mut sidecar = stage.started(&[]).await?;
    let mut before = Vec::new();
    for namespace in &namespaces {
        before.push(stage.until_filled(namespace).await?);
    }
    for (namespace, before) in namespaces.iter().zip(&before) {
        let is_new = |secret: &_| annotation(secret, "hash") != annotation(before, "hash");
        let after = stage.until(namespace, "is renewed", LONG, is_new).await?;
        assert_eq!(after.metadata.uid, before.metadata.uid, "it is renewed in place");
        assert_ne!(logins(&after), logins(before));
        let expiry: jiff::Timestamp = annotation(before, "expires-at").parse()?;
        assert!(jiff::Timestamp::now() < expiry, "it was renewed after its credential had expired");
    }
    assert_eq!(stage.mints(), 2);
    let page = until_page(&mut sidecar, "/metrics", "the writes are counted", |_, body| {
        metric(body, "writes_total", &["update"]) >= 3
    })
    .await?;
    assert_eq!(metric(&page, "writes_total", &["create", "success"]), 3);
    assert_eq!(metric(&page, "writes_total", &[]), 6);
    Ok(())
}

#[tokio::test]
async fn a_revoked_identity_keeps_the_last_credential_while_it_is_good() -> Result<()> {
    let stage = Stage::new("revoked-").await?;
    stage.cloud().patch(&json!({ "credentialSeconds": 80 }))?;
    let namespace = stage.namespace("a").await?;
    stage.configure(INSTANCE, &[]).await?;
    let mut sidecar = stage.started(&[]).await?;
    let before = stage.until_filled(&namespace).await?;
    let key = json!({ "LTAI5tEXAMPLEpuller": { "active": false } });
    stage.cloud().patch(
        &json!({ "accounts": { "1000000000000001": { "users": { "puller": { "accessKeys": key } } } } }),
    )?;
    let note = stage.until_event(&stage.name, "CredentialNotRenewed", LONG).await?;
    assert!(note.contains("InvalidAccessKeyId.Inactive"), "{note}");
    let expiry: jiff::Timestamp = annotation(&before, "expires-at").parse()?;
    let now = stage.pull_secret(&namespace).await?;
    if jiff::Timestamp::now() < expiry {
        assert_eq!(now.as_ref().map(version), Some(version(&before)));
    }

    // A dead entry would keep public images of its host out, too.
    stage.until(&namespace, "holds no dead credential", LONG, |secret| logins(secret).is_empty()).await?;
    assert!(jiff::Timestamp::now() >= expiry, "it was taken out while it was good");
    until_page(&mut sidecar, "/readyz", "the registry is missed", |status, body| {
        status == 503 && body.contains("✗ registries: 1 of 1 cannot be pulled from: KeyRejected (1)\n")
    })
    .await?;
    let note = stage.until_event(&stage.name, "CredentialUnavailable", PATIENCE).await?;
    assert!(note.starts_with("acr-registry-info[0]: the credential expired at"), "{note}");
    stage.until_told(&sidecar, &["acr-registry-info[0]", "InvalidAccessKeyId.Inactive"]).await?;
    Ok(())
}

#[tokio::test]
async fn a_restart_costs_no_mint_and_no_write() -> Result<()> {
    let stage = Stage::new("restart-").await?;
    let namespaces = [stage.namespace("a").await?, stage.namespace("b").await?];
    stage.configure(INSTANCE, &[]).await?;
    let mut sidecar = stage.started(&[]).await?;
    let mut before = Vec::new();
    for namespace in &namespaces {
        before.push(version(&stage.until_filled(namespace).await?));
    }
    let own_secrets = stage.secrets(&stage.name);
    acr_e2e_tests::wait::wait_until("the state is written down", PATIENCE, async || {
        Ok(own_secrets.get_opt("acr-credential-sidecar-state").await?)
    })
    .await?;
    assert_eq!(sidecar.stop().await?, Some(0));
    let state_before = version(&own_secrets.get("acr-credential-sidecar-state").await?);

    let mut sidecar = stage.started(&[]).await?;
    let page = until_page(&mut sidecar, "/metrics", "everything has been looked at", |_, body| {
        metric(body, "last_sync_timestamp_seconds", &[]) > 0 && metric(body, "managed_namespaces", &[]) == 2
    })
    .await?;
    assert_eq!(metric(&page, "writes_total", &[]), 0);
    for (namespace, before) in namespaces.iter().zip(before) {
        assert_eq!(stage.pull_secret(namespace).await?.as_ref().map(version), Some(before));
    }
    assert_eq!(version(&own_secrets.get("acr-credential-sidecar-state").await?), state_before);
    assert_eq!(stage.mints(), 1);
    Ok(())
}

#[tokio::test]
async fn no_secret_is_shown_anywhere() -> Result<()> {
    let stage = Stage::new("silence-").await?;
    let namespace = stage.namespace("a").await?;
    stage.configure(INSTANCE, &[]).await?;
    let mut sidecar = stage.started(&[]).await?;
    let secret = stage.until_filled(&namespace).await?;
    stage.tamper(&namespace, &json!({ "data": { ".dockerconfigjson": "e30=" } })).await?;
    stage.until_event(&namespace, "PullSecretRepaired", PATIENCE).await?;
    let mut shown = vec![
        serde_json::to_string(&stage.events(&namespace).await?)?,
        serde_json::to_string(&stage.events(&stage.name).await?)?,
        until_page(&mut sidecar, "/metrics", "there is a page", |status, _| status == 200).await?,
        until_page(&mut sidecar, "/readyz", "there is a page", |status, _| status == 200).await?,
    ];
    for arguments in [&["status"][..], &["status", "--output=json"], &["explain", "pod", "none"]] {
        let ended = stage.run_as_admin(arguments).await?;
        shown.extend([ended.stdout, ended.stderr]);
    }
    assert_eq!(sidecar.stop().await?, Some(0));
    shown.push(sidecar.log()?);
    assert!(shown.iter().any(|text| text.contains("TRACE") || text.contains("DEBUG")), "{shown:?}");
    let token = std::fs::read_to_string(stage.sidecar.directory().join("kubeconfig"))?;
    let token: serde_json::Value = serde_json::from_str(&token)?;
    let token = token["users"][0]["user"]["token"].as_str().unwrap_or_default().to_owned();
    let passwords = logins(&secret).into_values();
    for marker in passwords.chain([token, "EXAMPLE-secret-of-puller".to_owned()]) {
        assert!(marker.len() > 8, "too short to be looked for");
        assert!(!shown.iter().any(|text| text.contains(&marker)), "a secret is shown");
    }
    Ok(())
}
