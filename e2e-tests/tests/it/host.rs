//! The policy host itself: does it do to a policy what policy-server does? Set `POLICY_SERVER` and most of these run
//! against the real one, too.

use std::path::PathBuf;
use std::time::Duration;

use acr_e2e_tests::client::HttpClient;
use acr_e2e_tests::environment::{HostConfig, PolicyConfig};
use acr_e2e_tests::paths;
use acr_e2e_tests::review::{AdmissionResponse, Mode};
use acr_e2e_tests::server::PolicyHost;
use acr_e2e_tests::wasm::Limits;
use anyhow::{Context as _, Result};
use serde_json::{Map, Value, json};
use tempfile::TempDir;

fn settings() -> Map<String, Value> {
    Map::from_iter([("pullSecret".to_owned(), json!("acr"))])
}

fn accept_everything() -> Result<PolicyConfig> {
    Ok(PolicyConfig::mutating(paths::accept_everything_wasm()?, Map::new()))
}

fn typed_mutator() -> Result<PolicyConfig> {
    Ok(PolicyConfig::mutating(paths::typed_mutator_wasm()?, settings()))
}

fn serving<const N: usize>(policies: [(&str, PolicyConfig); N]) -> HostConfig {
    let policies = policies.into_iter().map(|(name, policy)| (name.to_owned(), policy)).collect();
    HostConfig { policies, ..HostConfig::default() }
}

fn pod() -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web", "namespace": "team-a"},
        "spec": {"containers": [{"name": "web", "image": "nginx"}]}
    })
}

fn review(object: &Value) -> Value {
    json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": {
            "uid": "a-uid", "operation": "CREATE", "namespace": "team-a", "name": "web", "dryRun": false,
            "kind": {"group": "", "version": "v1", "kind": "Pod"},
            "resource": {"group": "", "version": "v1", "resource": "pods"},
            "requestKind": {"group": "", "version": "v1", "kind": "Pod"},
            "requestResource": {"group": "", "version": "v1", "resource": "pods"},
            "userInfo": {"username": "alice", "groups": ["system:authenticated"]},
            "object": object, "oldObject": null, "options": {"kind": "CreateOptions"}
        }
    })
}

async fn post(host: &PolicyHost, policy: &str, body: String) -> Result<(u16, Value)> {
    let client = HttpClient::trusting(host.ca_pem())?;
    let (status, body) = client.post(&host.url(policy), body.into()).await?;
    let body = serde_json::from_slice(&body).with_context(|| String::from_utf8_lossy(&body).into_owned())?;
    Ok((status, body))
}

async fn ask(host: &PolicyHost, policy: &str, object: &Value) -> Result<AdmissionResponse> {
    let (status, mut answer) = post(host, policy, review(object).to_string()).await?;
    assert_eq!((status, &answer["kind"]), (200, &json!("AdmissionReview")), "{answer}");
    Ok(serde_json::from_value(answer["response"].take())?)
}

/// The least a waPC guest can be: settings are always good, and `validate` does what is given.
fn guest(validate: &str) -> Result<(TempDir, PolicyConfig)> {
    const VALIDATE_SETTINGS: usize = "validate_settings".len();
    let module = format!(
        r#"(module
            (import "wapc" "__guest_response" (func $respond (param i32 i32)))
            (memory (export "memory") 1)
            (data (i32.const 0) "{{\22valid\22:true}}")
            (func (export "__guest_call") (param $operation_length i32) (param i32) (result i32)
                (if (i32.eq (local.get $operation_length) (i32.const {VALIDATE_SETTINGS}))
                    (then (call $respond (i32.const 0) (i32.const 14)) (return (i32.const 1))))
                {validate}))"#
    );
    let dir = TempDir::new()?;
    let file: PathBuf = dir.path().join("guest.wat");
    std::fs::write(&file, module)?;
    Ok((dir, PolicyConfig::mutating(file, Map::new())))
}

#[tokio::test]
async fn what_a_policy_accepts_is_allowed_untouched() -> Result<()> {
    let host = PolicyHost::start(serving([("accept", accept_everything()?)])).await?;
    let expected = AdmissionResponse { uid: "a-uid".to_owned(), allowed: true, ..Default::default() };
    assert_eq!(ask(&host, "accept", &pod()).await?, expected);
    Ok(())
}

#[tokio::test]
async fn a_mutated_object_comes_back_as_a_patch() -> Result<()> {
    let host = PolicyHost::start(serving([("typed", typed_mutator()?)])).await?;
    let response = ask(&host, "typed", &pod()).await?;
    assert!(response.allowed);
    assert_eq!(response.patch_type.as_deref(), Some("JSONPatch"));
    assert_eq!(
        response.decoded_patch()?,
        Some(json!([{"op": "add", "path": "/spec/imagePullSecrets", "value": [{"name": "acr"}]}]))
    );
    Ok(())
}

#[tokio::test]
async fn a_typed_policy_loses_the_fields_that_its_types_do_not_know() -> Result<()> {
    let host = PolicyHost::start(serving([("typed", typed_mutator()?)])).await?;
    let mut pod = pod();
    pod["spec"]["futureField"] = json!(true);
    let patch = ask(&host, "typed", &pod).await?.decoded_patch()?.unwrap_or_default();
    assert!(patch.to_string().contains(r#"{"op":"remove","path":"/spec/futureField"}"#), "{patch}");
    Ok(())
}

#[tokio::test]
async fn a_policy_that_may_not_mutate_is_refused() -> Result<()> {
    let policy = PolicyConfig { mutating: false, ..typed_mutator()? };
    let host = PolicyHost::start(serving([("typed", policy)])).await?;
    let response = ask(&host, "typed", &pod()).await?;
    assert!(!response.allowed);
    assert_eq!(response.patch, None);
    assert_eq!(
        response.message(),
        "Request rejected by policy typed. The policy attempted to mutate the request, but it is currently configured to not allow mutations."
    );
    Ok(())
}

#[tokio::test]
async fn in_monitor_mode_nothing_is_changed() -> Result<()> {
    let policy = PolicyConfig { mode: Mode::Monitor, ..typed_mutator()? };
    let host = PolicyHost::start(serving([("typed", policy)])).await?;
    let response = ask(&host, "typed", &pod()).await?;
    assert!(response.allowed);
    assert_eq!(response.patch, None);
    Ok(())
}

#[tokio::test]
async fn one_module_serves_policies_with_different_settings() -> Result<()> {
    let mut other = typed_mutator()?;
    other.settings = Map::from_iter([("pullSecret".to_owned(), json!("other"))]);
    let host = PolicyHost::start(serving([("typed", typed_mutator()?), ("other", other)])).await?;
    let added = async |policy: &str| -> Result<Value> {
        let patch = ask(&host, policy, &pod()).await?.decoded_patch()?.unwrap_or_default();
        Ok(patch[0]["value"][0]["name"].clone())
    };
    assert_eq!(added("typed").await?, "acr");
    assert_eq!(added("other").await?, "other");
    Ok(())
}

#[tokio::test]
async fn settings_that_a_policy_refuses_keep_the_host_from_starting() -> Result<()> {
    let policy = PolicyConfig { settings: Map::new(), ..typed_mutator()? };
    let Err(error) = PolicyHost::start(serving([("typed", policy)])).await else {
        anyhow::bail!("the host started")
    };
    let error = format!("{error:#}");
    assert!(error.contains("typed") && error.contains("pullSecret is missing"), "{error}");
    Ok(())
}

#[tokio::test]
async fn an_unknown_policy_is_not_found() -> Result<()> {
    let host = PolicyHost::start(serving([("accept", accept_everything()?)])).await?;
    assert_eq!(
        post(&host, "nobody", review(&pod()).to_string()).await?,
        (404, json!({"message": "unknown policy: nobody", "status": 404}))
    );
    Ok(())
}

#[tokio::test]
async fn a_body_that_is_no_review_is_refused() -> Result<()> {
    let host = PolicyHost::start(serving([("accept", accept_everything()?)])).await?;
    assert_eq!(post(&host, "accept", "{".to_owned()).await?.0, 400);
    assert_eq!(post(&host, "accept", json!({"request": {"uid": "u"}}).to_string()).await?.0, 422);
    Ok(())
}

#[tokio::test]
async fn an_error_of_the_policy_is_an_internal_error() -> Result<()> {
    let host = PolicyHost::start(serving([("typed", typed_mutator()?)])).await?;
    let mut review = review(&pod());
    // The SDK wants a map here; policy-server passes on whatever it is given.
    review["request"]["options"] = json!("not an object");
    let (status, answer) = post(&host, "typed", review.to_string()).await?;
    let response = &answer["response"]["status"];
    assert_eq!((status, &response["code"]), (200, &json!(500)), "{answer}");
    let message = response["message"].as_str().unwrap_or_default();
    assert!(message.starts_with("internal server error: Guest call failure: "), "{message}");
    Ok(())
}

#[tokio::test]
async fn a_trap_is_an_internal_error_and_the_next_request_gets_a_new_instance() -> Result<()> {
    let (_dir, trapping) = guest("unreachable")?;
    let host =
        PolicyHost::start_in_process(serving([("trap", trapping), ("accept", accept_everything()?)])).await?;
    for _ in 0..2 {
        let response = ask(&host, "trap", &pod()).await?;
        assert!(!response.allowed);
        assert_eq!(response.status.as_ref().and_then(|status| status.code), Some(500));
        assert!(response.message().starts_with("internal server error: Guest call failure"), "{response:?}");
    }
    assert!(ask(&host, "accept", &pod()).await?.allowed);
    Ok(())
}

#[tokio::test]
async fn a_policy_that_takes_too_long_is_interrupted() -> Result<()> {
    let (_dir, looping) = guest("(loop $forever (br $forever)) (i32.const 1)")?;
    let limits = Limits { tick: Duration::from_millis(20), ..Limits::default() };
    let host = PolicyHost::start_in_process(HostConfig { limits, ..serving([("loop", looping)]) }).await?;
    let response = ask(&host, "loop", &pod()).await?;
    assert_eq!(
        response.message(),
        "Policy execution interrupted because it exceeded the allowed execution time"
    );
    Ok(())
}

#[tokio::test]
async fn a_host_can_be_stopped_and_resumed_on_the_same_port() -> Result<()> {
    let mut host = PolicyHost::start(serving([("accept", accept_everything()?)])).await?;
    let url = host.url("accept");
    host.stop().await?;
    assert!(ask(&host, "accept", &pod()).await.is_err());
    host.resume().await?;
    assert_eq!(host.url("accept"), url);
    assert!(ask(&host, "accept", &pod()).await?.allowed);
    Ok(())
}

#[tokio::test]
async fn reviews_are_logged_to_the_letter() -> Result<()> {
    let host = PolicyHost::start(serving([("accept", accept_everything()?)])).await?;
    // Key order, white space and escapes would not survive a round trip.
    let body = review(&pod()).to_string().replacen('{', "{ \n", 1).replace("alice", "\\u0061lice");
    post(&host, "accept", body.clone()).await?;
    let [exchange] = &host.log().of("accept")[..] else { anyhow::bail!("not one review was logged") };
    assert_eq!(exchange.request, body);
    assert_eq!(exchange.admission_request()?["userInfo"]["username"], "alice");
    assert!(exchange.admission_response()?.allowed);
    assert_eq!(host.log().count("accept"), 1);
    host.log().clear();
    assert_eq!(host.log().count("accept"), 0);
    Ok(())
}
