//! The compiled policy answers byte for byte what the same code answers natively, so that what the policy's own tests
//! show holds for the module that is shipped; and it never traps.

use std::path::Path;
use std::sync::Arc;

use acr_credential_helper_policy::{LookupError, ServiceAccounts, validate_settings, validate_with};
use acr_e2e_tests::host_calls::{HostCalls, KubewardenHost};
use acr_e2e_tests::paths;
use acr_e2e_tests::wasm::{Limits, PolicyModule, Runtime};
use anyhow::{Context as _, Result};
use serde_json::{Value, json};

/// Every look-up is refused by the host; natively the same.
struct NotGranted;

impl ServiceAccounts for NotGranted {
    fn pull_secrets(&self, _: &str, _: &str) -> Result<Vec<String>, LookupError> {
        Err(LookupError::NotGranted)
    }
}

fn module() -> Result<PolicyModule> {
    Runtime::new(Limits::default())?.compile_file(&paths::policy_wasm()?)
}

fn closed() -> Arc<dyn HostCalls> {
    Arc::new(KubewardenHost::closed())
}

#[track_caller]
fn same(module: &PolicyModule, payload: &[u8]) {
    let native = validate_with(payload, &NotGranted).unwrap();
    let wasm = module.evaluate("validate", payload, closed()).unwrap();
    assert_eq!(String::from_utf8_lossy(&wasm), String::from_utf8_lossy(&native));
}

fn fixtures() -> Result<Vec<Value>> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures");
    let mut requests = Vec::new();
    for file in std::fs::read_dir(&dir).with_context(|| format!("failed to list {}", dir.display()))? {
        requests.push(serde_json::from_str(&std::fs::read_to_string(file?.path())?)?);
    }
    Ok(requests)
}

#[test]
fn every_fixture_with_every_mode_is_answered_as_by_the_native_build() -> Result<()> {
    let module = module()?;
    let fixtures = fixtures()?;
    assert!(fixtures.len() > 20);
    for request in &fixtures {
        for mode in ["reject", "merge", "warn", "ignore"] {
            let workloads = if mode == "merge" { "reject" } else { mode };
            for read_service_accounts in [true, false] {
                let settings = json!({
                    "serviceAccounts": "*",
                    "manualPullSecrets": { "pods": mode, "ownedPods": mode, "workloads": workloads },
                    "readServiceAccounts": read_service_accounts,
                });
                same(&module, json!({ "request": request, "settings": settings }).to_string().as_bytes());
            }
        }
        same(
            &module,
            json!({ "request": request, "settings": { "namespaces": ["elsewhere"] } }).to_string().as_bytes(),
        );
        same(
            &module,
            json!({ "request": request, "settings": { "registries": ["*.aliyuncs.com"] } })
                .to_string()
                .as_bytes(),
        );
    }
    Ok(())
}

fn pod_request(object: &str) -> Vec<u8> {
    format!(
        r#"{{"request":{{"kind":{{"group":"","version":"v1","kind":"Pod"}},"namespace":"default","operation":"CREATE","object":{object}}},"settings":{{}}}}"#
    )
    .into_bytes()
}

#[test]
fn bad_input_never_traps() -> Result<()> {
    let module = module()?;
    let megabyte = "x".repeat(1 << 20);
    let names: Vec<Value> = (0..10_000).map(|at| json!({ "name": format!("secret-{at}") })).collect();
    let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
    for object in [
        "null".to_owned(),
        "{}".to_owned(),
        "[]".to_owned(),
        r#"{"spec":null}"#.to_owned(),
        r#"{"spec":[]}"#.to_owned(),
        r#"{"spec":{"imagePullSecrets":{}}}"#.to_owned(),
        r#"{"spec":{"imagePullSecrets":[null,{},{"name":null},{"name":"a"}]}}"#.to_owned(),
        r#"{"spec":{"imagePullSecrets":[7]}}"#.to_owned(),
        r#"{"sp\u0065c":{"imagePullSecrets":[ ]},"x":"\ud83d\ude00","n":1e999999}"#.to_owned(),
        r#"{"spec":{},"spec":{}}"#.to_owned(),
        r#"{"spec":{"imagePullSecrets":[{"name":"\ud800"}]}}"#.to_owned(),
        json!({ "metadata": { "annotations": { "x": megabyte } }, "spec": { "containers": [] } }).to_string(),
        json!({ "spec": { "imagePullSecrets": names } }).to_string(),
        format!(r#"{{"deep":{deep},"spec":{{"containers":[]}}}}"#),
        format!(r#"{{"spec":{deep}}}"#),
    ] {
        same(&module, &pod_request(&object));
    }
    for payload in
        [&b""[..], b"{}", b"[]", b"\xff\xfe", br#"{"request":5}"#, br#"{"request":{"kind":{}}}"#, b"{{{{"]
    {
        same(&module, payload);
    }
    Ok(())
}

#[test]
fn a_request_cut_anywhere_never_traps() -> Result<()> {
    let module = module()?;
    let payload = pod_request(
        r#"{"metadata":{"name":"a"},"spec":{"containers":[{"name":"a"}],"imagePullSecrets":[{"name":"b"}]}}"#,
    );
    for end in 0..payload.len() {
        same(&module, &payload[..end]);
    }
    Ok(())
}

#[test]
fn settings_are_checked_as_by_the_native_build() -> Result<()> {
    let module = module()?;
    for settings in [
        json!({}),
        json!(null),
        json!([]),
        json!({ "namespace": ["a"], "serviceAccounts": ["B"], "manualPullSecrets": { "pods": "x" } }),
        json!({ "namespaces": ["team-*"], "excludedNamespaces": ["team-*"] }),
    ] {
        let payload = settings.to_string();
        let native = validate_settings(payload.as_bytes()).unwrap();
        let wasm = module.evaluate("validate_settings", payload.as_bytes(), closed())?;
        assert_eq!(String::from_utf8_lossy(&wasm), String::from_utf8_lossy(&native));
    }
    Ok(())
}
