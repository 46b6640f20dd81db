//! A cloud that is away, throttles, or lies, while the controller runs.

use std::collections::BTreeSet;

use acr_e2e_tests::cluster::PATIENCE;
use acr_fake_cloud::{Action, Fault, FaultKind, Record};
use anyhow::Result;
use jiff::SignedDuration;
use k8s_openapi::api::core::v1::Secret;
use serde_json::{Value, json};

use super::guard::Guard;
use crate::sidecar::stage::{INSTANCE, LONG, Stage, annotation, logins, metric, until_page, version};

/// How long the cloud asks to be left alone, in seconds. More than a call waits by itself.
const LIMIT: u64 = 20;

/// What goes wrong with each instance, and what is said about it.
fn faults() -> Vec<(&'static str, FaultKind, &'static str)> {
    let limit = FaultKind::Throttle {
        status: None,
        time_left_ms: None,
        acs_retry_after_ms: None,
        retry_after: Some(LIMIT),
    };
    vec![
        ("cri-broken", FaultKind::Error { status: None, code: None, xml: false }, "ServiceUnavailable"),
        ("cri-reset", FaultKind::Reset, "no answer, "),
        ("cri-throttled", limit, "Throttling.User"),
        ("cri-page", FaultKind::NonJson, "the answer is not JSON"),
        ("cri-cut", FaultKind::Truncate { bytes: 60 }, "in the middle of the answer"),
        ("cri-refusing", FaultKind::Unsuccessful { code: "EXAMPLE_REFUSAL".to_owned() }, "EXAMPLE_REFUSAL"),
        ("cri-expired", FaultKind::Life { seconds: -5 }, "that expired at"),
        ("cri-empty", FaultKind::EmptyPassword, "the answer has no AuthorizationToken"),
    ]
}

fn hosts(secret: &Secret) -> BTreeSet<String> {
    logins(secret).into_keys().collect()
}

/// The calls for a credential of this instance.
fn asked(stage: &Stage, instance: &str) -> Vec<Record> {
    let mut all = stage.cloud().requests();
    all.retain(|call| {
        call.action == Some(Action::GetAuthorizationToken)
            && (call.query.contains(instance) || call.body.contains(instance))
    });
    all
}

#[tokio::test]
async fn a_cloud_that_fails_and_lies_spoils_nothing_and_is_asked_again() -> Result<()> {
    let stage = Stage::new("lying-").await?;
    let instances: serde_json::Map<String, Value> = faults()
        .iter()
        .map(|(id, ..)| ((*id).to_owned(), json!({ "name": id.trim_start_matches("cri-") })))
        .collect();
    stage.cloud().patch(&json!({
        "credentialSeconds": 150,
        "accounts": { "1000000000000001": { "instances": instances } },
    }))?;
    let mut registries = INSTANCE.to_owned();
    for (id, kind, _) in faults() {
        let action = Some(Action::GetAuthorizationToken);
        stage.cloud().add_fault(Fault { action, instance: Some(id.to_owned()), times: None, kind });
        registries.extend(["- instanceId: ", id, "\n  regionId: cn-hangzhou\n"]);
    }
    let namespace = stage.namespace("a").await?;
    stage.configure(&registries, &[]).await?;
    let mut sidecar = stage.start(&[])?;
    let first = stage.until_filled(&namespace).await?;
    let guard = Guard::over(&stage).await?;
    let good = hosts(&first);
    assert!(
        good.iter().all(|host| host.starts_with("example-") || host == "images.example.test"),
        "{good:?}"
    );
    let missed =
        format!("✗ registries: {0} of {1} cannot be pulled from: ", faults().len(), faults().len() + 1);
    let page = until_page(&mut sidecar, "/readyz", "each is missed", |status, body| {
        status == 503 && body.contains(&missed)
    })
    .await?;
    assert!(page.contains("Throttled (1)") && page.contains("ExpiredOnArrival (1)"), "{page}");
    assert!(!page.contains("cri-") && !page.contains("acr-registry-info"), "{page}");
    for (.., reason) in faults() {
        stage.until_told(&sidecar, &["acr-registry-info[", reason]).await?;
    }
    stage.until_event(&stage.name, "CredentialUnavailable", PATIENCE).await?;

    // Now the good one as well. It is due a minute after it came.
    let before = stage.until_filled(&namespace).await?;
    let action = Some(Action::GetAuthorizationToken);
    stage.cloud().add_fault(Fault {
        action,
        instance: Some("cri-example".to_owned()),
        times: None,
        kind: FaultKind::Reset,
    });
    stage.until_event(&stage.name, "CredentialNotRenewed", LONG).await?;
    let after = stage.pull_secret(&namespace).await?;
    assert_eq!(after.as_ref().map(version), Some(version(&before)), "the last good one stays");
    for (id, ..) in faults() {
        let calls = asked(&stage, id);
        assert!((1..=40).contains(&calls.len()), "{id} was asked {} times", calls.len());
    }
    let throttled = asked(&stage, "cri-throttled");
    let limit = SignedDuration::from_secs(LIMIT.try_into()?);
    assert!(throttled.windows(2).all(|pair| pair[1].at.duration_since(pair[0].at) >= limit), "{throttled:?}");

    stage.cloud().clear_faults();
    let all = good.len() + 2 * faults().len();
    let healed = stage.until(&namespace, "holds all", LONG, |secret| hosts(secret).len() == all).await?;
    assert!(hosts(&healed).is_superset(&good));
    stage
        .until(&namespace, "is renewed", LONG, |secret| {
            logins(secret)["images.example.test"] != logins(&before)["images.example.test"]
        })
        .await?;
    until_page(&mut sidecar, "/readyz", "it is ready", |status, _| status == 200).await?;
    stage.until_event(&stage.name, "CredentialRestored", PATIENCE).await?;
    guard.end().await?;
    Ok(())
}

/// The cloud's clock moves here, since that of this machine cannot. The sidecar's side of it is tested on clocks of its
/// own, in `broker`, `lease` and `plan`.
#[tokio::test]
async fn clocks_that_are_two_hours_apart_are_said_and_spoil_nothing() -> Result<()> {
    let stage = Stage::new("skewed-").await?;
    stage.cloud().patch(
        &json!({ "accounts": { "1000000000000001": { "instances": { "cri-late": { "name": "late" } } } } }),
    )?;
    let namespace = stage.namespace("a").await?;
    stage.configure(INSTANCE, &[]).await?;
    let mut sidecar = stage.started(&[]).await?;
    let before = stage.until_filled(&namespace).await?;
    let guard = Guard::over(&stage).await?;

    stage.cloud().advance_clock(SignedDuration::from_hours(2));
    stage.configure(&format!("{INSTANCE}- instanceId: cri-late\n  regionId: cn-hangzhou\n"), &[]).await?;
    until_page(&mut sidecar, "/readyz", "the clock is wrong", |status, body| {
        status == 503 && body.contains("✗ registries: 1 of 2 cannot be pulled from: ClockSkew (1)\n")
    })
    .await?;
    stage.until_told(&sidecar, &["acr-registry-info[1]", "clock", "behind"]).await?;
    stage.cloud().advance_clock(SignedDuration::from_hours(-4));
    stage.until_told(&sidecar, &["acr-registry-info[1]", "clock", "ahead"]).await?;
    let still = stage.until_filled(&namespace).await?;
    assert_eq!(logins(&still), logins(&before));
    assert_eq!(annotation(&still, "expires-at"), annotation(&before, "expires-at"));

    stage.cloud().advance_clock(SignedDuration::from_hours(2));
    let healed = stage
        .until(&namespace, "holds both", LONG, |secret| hosts(secret).len() > logins(&before).len())
        .await?;
    assert!(logins(&before).iter().all(|(host, password)| logins(&healed).get(host) == Some(password)));
    until_page(&mut sidecar, "/readyz", "it is ready", |status, _| status == 200).await?;
    let page = until_page(&mut sidecar, "/metrics", "there is a page", |status, _| status == 200).await?;
    assert_eq!(metric(&page, "mints_total", &["success"]), 2, "{page}");
    guard.end().await?;
    assert!(asked(&stage, "cri-late").len() < 100, "the cloud is asked again and again");
    Ok(())
}
