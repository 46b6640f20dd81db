use std::sync::Arc;

use super::super::minter::Counted;
use super::*;
use crate::broker::testing::{FakeCloud, HOUR, TestClock, error, registry};
use crate::broker::{ResolvedRegistry, mint_once};
use crate::clock::Clock as _;
use crate::cloud::Reason;

/// The page without what differs from run to run.
fn page(metrics: &Metrics) -> String {
    let page = metrics.render().unwrap();
    page.lines().filter(|line| !line.contains("process_")).collect::<Vec<_>>().join("\n")
}

fn lines(metrics: &Metrics, about: &str) -> Vec<String> {
    let page = page(metrics);
    let values = page.lines().filter(|line| !line.starts_with('#') && line.contains(about));
    let values = values.map(|line| line.strip_prefix("acr_credential_sidecar_").unwrap_or(line).to_owned());
    // A family has no order.
    let mut values: Vec<String> = values.collect();
    values.sort();
    values
}

async fn snapshot(cloud: &Arc<FakeCloud>, registries: &[ResolvedRegistry]) -> Arc<Snapshot> {
    mint_once(Arc::clone(cloud), Arc::new(TestClock::new()), registries.into()).await
}

#[tokio::test(start_paused = true)]
async fn a_registry_shows_its_expiry_and_why_it_fails() {
    let metrics = Metrics::new();
    let cloud = Arc::new(FakeCloud::new());
    cloud.script().refusals.insert("cri-b", error(Reason::NotAuthorized));
    let registries = [registry("cri-a", &["a.example.com"]), registry("cri-b", &["b.example.com"])];
    let snapshot = snapshot(&cloud, &registries).await;
    metrics.show_registries(&snapshot, TestClock::new().now());
    let expiry = snapshot.entries[0].issued.as_ref().unwrap().credential.expires_at.as_second();
    assert_eq!(
        lines(&metrics, "registry="),
        [
            format!("credential_expiry_timestamp_seconds{{registry=\"registry of cri-a\"}} {expiry}"),
            "credential_valid{registry=\"registry of cri-a\"} 1".to_owned(),
            "credential_valid{registry=\"registry of cri-b\"} 0".to_owned(),
            "registry_failing{registry=\"registry of cri-b\",reason=\"NotAuthorized\"} 1".to_owned(),
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_registry_that_is_no_longer_configured_is_taken_off() {
    let metrics = Metrics::new();
    let cloud = Arc::new(FakeCloud::new());
    let clock = TestClock::new();
    let before = snapshot(&cloud, &[registry("cri-a", &["a.example.com"])]).await;
    metrics.show_registries(&before, clock.now());
    let after = snapshot(&cloud, &[registry("cri-b", &["b.example.com"])]).await;
    metrics.show_registries(&after, clock.now());
    assert!(lines(&metrics, "cri-a").is_empty());
    assert_eq!(lines(&metrics, "credential_valid").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_expired_credential_has_no_expiry_even_before_the_broker_says_so() {
    let metrics = Metrics::new();
    let clock = TestClock::new();
    let snapshot = snapshot(&Arc::new(FakeCloud::new()), &[registry("cri-a", &["a.example.com"])]).await;
    metrics.show_registries(&snapshot, clock.now());
    tokio::time::advance(2 * HOUR).await;
    metrics.show_registries(&snapshot, clock.now());
    assert!(lines(&metrics, "credential_expiry").is_empty());
    assert_eq!(lines(&metrics, "credential_valid"), ["credential_valid{registry=\"registry of cri-a\"} 0"]);
}

#[tokio::test(start_paused = true)]
async fn each_call_for_a_credential_is_counted_with_its_reason() {
    let metrics = Arc::new(Metrics::new());
    let cloud = Arc::new(FakeCloud::new());
    cloud.script().refusals.insert("cri-b", error(Reason::Unreachable));
    let counted = Arc::new(Counted::new(Arc::clone(&cloud), Arc::clone(&metrics)));
    let registries = [registry("cri-a", &["a.example.com"]), registry("cri-b", &["b.example.com"])];
    mint_once(counted, Arc::new(TestClock::new()), registries.into()).await;
    assert_eq!(
        lines(&metrics, "mints_total"),
        [
            "mints_total{result=\"failure\",reason=\"Unreachable\"} 1",
            "mints_total{result=\"success\",reason=\"\"} 1",
        ]
    );
}

#[test]
fn the_page_is_open_metrics() {
    let metrics = Metrics::new();
    metrics.wrote("create", Ok(()), Duration::from_millis(3));
    metrics.wrote("update", Err("Conflict"), Duration::from_millis(20));
    metrics.watch_failed("namespaces");
    metrics.event(EventOutcome::Dropped);
    metrics.leader.set(1);
    let page = page(&metrics);
    assert!(page.ends_with("# EOF"), "{page}");
    for line in [
        "acr_credential_sidecar_build_info{version=\"0.1.0\"} 1",
        "acr_credential_sidecar_leader 1",
        "acr_credential_sidecar_writes_total{write=\"create\",result=\"success\"} 1",
        "acr_credential_sidecar_writes_total{write=\"update\",result=\"Conflict\"} 1",
        "acr_credential_sidecar_watch_failures_total{objects=\"namespaces\"} 1",
        "acr_credential_sidecar_events_total{result=\"dropped\"} 1",
        "acr_credential_sidecar_write_duration_seconds_bucket{le=\"0.004\",write=\"create\"} 1",
    ] {
        assert!(page.lines().any(|found| found == line), "{line}\n{page}");
    }
}

#[test]
fn the_process_is_measured() {
    let page = Metrics::new().render().unwrap();
    for name in
        ["process_start_time_seconds ", "process_resident_memory_bytes ", "process_cpu_seconds_total "]
    {
        assert!(page.lines().any(|line| line.starts_with(name)), "{name}\n{page}");
    }
}
