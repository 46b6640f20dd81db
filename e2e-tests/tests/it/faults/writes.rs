//! Writes that are refused, late, or done without the writer's knowing.

use std::time::Duration;

use acr_e2e_tests::api_proxy::{ApiProxy, Calls, Fault, Rule};
use acr_e2e_tests::cluster::PATIENCE;
use acr_e2e_tests::wait::wait_until;
use anyhow::Result;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use serde_json::json;

use crate::sidecar::stage::{INSTANCE, LONG, STATE, Stage, metric, until_leads, until_page};

/// Writes of the pull secret of a namespace.
fn writes(stage: &Stage, namespace: &str) -> Calls {
    Calls::writes().of(&format!("/namespaces/{namespace}/secrets/{}?", stage.name))
}

fn went_well(proxy: &ApiProxy, calls: &Calls) -> usize {
    proxy.calls(calls).iter().filter(|call| matches!(call.status, Some(200..=299))).count()
}

#[tokio::test]
async fn a_refused_write_is_repeated_until_it_goes_through_and_people_are_told() -> Result<()> {
    let stage = Stage::new("refused-").await?;
    stage.configure(INSTANCE, &[]).await?;
    let proxy = stage.proxy().await?;
    let mut sidecar = stage.started_through_proxy(&[]).await?;
    // A conflict is a race, which is nobody's business.
    for (status, is_told) in [(409, false), (429, true), (500, true), (503, true)] {
        let namespace = format!("{}-{status}", stage.name);
        let calls = writes(&stage, &namespace);
        let refused =
            proxy.set(Rule::new(calls.clone(), Fault::Refuse { status, retry_after: None }).times(2));
        stage.namespace(&status.to_string()).await?;
        stage.until_filled(&namespace).await?;
        assert_eq!((refused.met(), went_well(&proxy, &calls)), (2, 1), "with {status}");
        if is_told {
            stage.until_event(&namespace, "WriteFailed", PATIENCE).await?;
        } else {
            assert_eq!(stage.events(&namespace).await?, []);
        }
    }
    let page = until_page(&mut sidecar, "/metrics", "everything is written", |_, body| {
        metric(body, "writes_total", &["create", "success"]) == 4
    })
    .await?;
    assert_eq!(metric(&page, "writes_total", &["Busy"]), 6, "{page}");
    assert_eq!(metric(&page, "writes_total", &["Conflict"]), 2, "{page}");
    assert_eq!(stage.mints(), 1);
    Ok(())
}

/// The alert on failed writes leaves out what such writes are counted as.
#[tokio::test]
async fn writes_to_a_namespace_that_is_deleted_are_races() -> Result<()> {
    let stage = Stage::new("deleted-").await?;
    stage.configure(INSTANCE, &[]).await?;
    let proxy = stage.proxy().await?;
    let mut sidecar = stage.started_through_proxy(&[]).await?;
    let namespace = stage.namespace("a").await?;
    stage.until_filled(&namespace).await?;

    // The sidecar sees that its Secret goes, and not why.
    let unseen = proxy.set(Rule::new(Calls::watches().of("/api/v1/namespaces?"), Fault::Hold));
    proxy.cut_watches();
    unseen.until_met(1, PATIENCE).await?;
    let config_maps: Api<ConfigMap> = Api::namespaced(stage.client.clone(), &namespace);
    let lasting = json!({ "metadata": { "name": "lasting", "finalizers": ["example.test/lasts"] } });
    config_maps.create(&PostParams::default(), &serde_json::from_value(lasting)?).await?;
    let namespaces: Api<Namespace> = Api::all(stage.client.clone());
    namespaces.delete(&namespace, &DeleteParams::default()).await?;
    until_page(&mut sidecar, "/metrics", "a write meets the namespace at its end", |_, body| {
        metric(body, "writes_total", &["Terminating"]) > 0
    })
    .await?;
    let done = json!({ "metadata": { "finalizers": null } });
    config_maps.patch("lasting", &PatchParams::default(), &Patch::Merge(&done)).await?;
    let page = until_page(&mut sidecar, "/metrics", "a write finds the namespace gone", |_, body| {
        metric(body, "writes_total", &["Gone"]) > 0
    })
    .await?;
    let counted = |result| metric(&page, "writes_total", &[result]);
    let failed = metric(&page, "writes_total", &[]) - counted("success");
    assert_eq!(failed, counted("Terminating") + counted("Gone"), "{page}");
    assert!(!sidecar.log()?.contains("WriteForbidden"), "people are told of what is no failure");
    Ok(())
}

#[tokio::test]
async fn the_api_server_is_left_alone_for_as_long_as_it_asks() -> Result<()> {
    let stage = Stage::new("limited-").await?;
    stage.configure(INSTANCE, &[]).await?;
    let proxy = stage.proxy().await?;
    let _sidecar = stage.started_through_proxy(&[]).await?;
    let calls = writes(&stage, &format!("{}-a", stage.name));
    let limit = Fault::Refuse { status: 429, retry_after: Some(5) };
    proxy.set(Rule::new(calls.clone(), limit).times(1));
    let namespace = stage.namespace("a").await?;
    stage.until_filled(&namespace).await?;
    let calls = proxy.calls(&calls);
    assert_eq!(calls.len(), 2, "{calls:?}");
    assert!(calls[1].at - calls[0].at >= Duration::from_secs(5), "{calls:?}");
    Ok(())
}

#[tokio::test]
async fn a_write_whose_answer_is_lost_is_not_done_twice() -> Result<()> {
    let stage = Stage::new("lost-").await?;
    stage.configure(INSTANCE, &[]).await?;
    let proxy = stage.proxy().await?;
    // From the first one on: the Lease, the state, the pull secrets.
    let lost = [
        proxy.set(Rule::new(Calls::writes().of("/leases/"), Fault::LoseAnswer).times(2)),
        proxy.set(Rule::new(Calls::writes().of(STATE), Fault::LoseAnswer).times(1)),
        proxy.set(Rule::new(Calls::writes().of("-a/secrets/"), Fault::LoseAnswer).times(1)),
        proxy.set(Rule::new(Calls::writes().of("-b/secrets/"), Fault::LoseAnswer).times(1)),
    ];
    let namespaces = [stage.namespace("a").await?, stage.namespace("b").await?];
    let mut sidecar = stage.started_through_proxy(&["--replica=one"]).await?;
    for namespace in &namespaces {
        stage.until_filled(namespace).await?;
    }
    for rule in &lost {
        rule.until_met(1, PATIENCE).await?;
    }
    wait_until("everything is known to be written", PATIENCE, async || {
        Ok((went_well(&proxy, &Calls::writes().of(STATE)) >= 2).then_some(()))
    })
    .await?;
    for namespace in &namespaces {
        assert_eq!(
            went_well(&proxy, &writes(&stage, namespace)),
            1,
            "{:?}",
            proxy.calls(&writes(&stage, namespace))
        );
    }
    until_leads(&mut sidecar).await?;
    assert_eq!(sidecar.stop().await?, Some(0));

    let mut sidecar = stage.started_through_proxy(&["--replica=one"]).await?;
    let page = until_page(&mut sidecar, "/metrics", "everything has been looked at", |_, body| {
        metric(body, "last_sync_timestamp_seconds", &[]) > 0 && metric(body, "managed_namespaces", &[]) == 2
    })
    .await?;
    assert_eq!(metric(&page, "writes_total", &[]), 0, "{page}");
    assert_eq!(stage.mints(), 1);
    Ok(())
}

/// What a slow etcd is to the sidecar: each call takes its time.
#[tokio::test]
async fn a_slow_api_server_is_waited_for() -> Result<()> {
    let stage = Stage::new("slow-").await?;
    let namespaces = [stage.namespace("a").await?, stage.namespace("b").await?];
    stage.configure(INSTANCE, &[]).await?;
    let proxy = stage.proxy().await?;
    proxy.set(Rule::new(Calls::all(), Fault::Delay(Duration::from_secs(2))));
    let mut sidecar = stage.started_through_proxy(&[]).await?;
    for namespace in &namespaces {
        stage.until_filled(namespace).await?;
    }
    wait_until("the Lease has been renewed several times", LONG, async || {
        Ok((went_well(&proxy, &Calls::writes().of("/leases/")) >= 4).then_some(()))
    })
    .await?;
    until_leads(&mut sidecar).await?;
    let page = until_page(&mut sidecar, "/metrics", "there is a page", |status, _| status == 200).await?;
    assert_eq!(metric(&page, "writes_total", &[]), 2, "{page}");
    assert_eq!(stage.mints(), 1);
    Ok(())
}
