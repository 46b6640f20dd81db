//! Stops the sidecar, so that it writes nothing while everything is removed.

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{Deployment, DeploymentSpec};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Patch, PatchParams};
use kube::core::Selector;
use kube::{Api, Client};
use serde_json::json;

use super::super::arguments::ClusterArgs;
use super::super::cluster::{self, call};
use super::super::report;
use super::super::setup::CommandError;
use super::deadline::Deadline;
use crate::kubernetes::{Collection, Place};

/// A Pod that failed or was evicted no longer works, and it may stay after scaling to 0.
const UNFINISHED: &str = "status.phase!=Failed,status.phase!=Succeeded";

/// Scales the Deployment to 0, and returns when none of its Pods works and no replica leads. A missing Deployment is reported,
/// but it is not an error: otherwise an uninstallation that was cut off could not be repeated.
pub(super) async fn stop(
    client: &Client,
    args: &ClusterArgs,
    deployment: &str,
    deadline: Deadline,
) -> Result<(), CommandError> {
    let namespace = &args.sidecar_namespace;
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), namespace);
    let found = call(format!("read the Deployment {deployment}"), deployments.get_opt(deployment)).await?;
    let is_there = found.is_some();
    match found.and_then(|found| found.spec) {
        Some(spec) => {
            let pods = Collection::metadata::<Pod>(Some(namespace))
                .with_labels(&selector_of(spec, deployment)?)
                .with_fields(UNFINISHED);
            let none = Patch::Merge(json!({ "spec": { "replicas": 0 } }));
            let parameters = PatchParams::default();
            let scaled = deployments.patch_scale(deployment, &parameters, &none);
            call(format!("scale the Deployment {deployment} to 0"), scaled).await?;
            let left = async || {
                let names = cluster::list(client, &pods, "list the Pods of the sidecar", |pod| {
                    Ok(Some(Place::parse(pod).name))
                });
                Ok(names.await?.first().map(|name| at_work(&format!("the Pod {name}"))))
            };
            deadline.wait(left).await?;
        }
        None => report::to_stdout(format_args!("There is no Deployment {namespace}/{deployment}."))?,
    }
    let leader = async || {
        let leader = cluster::leader(client, args, Timestamp::now()).await?;
        let leader = leader.filter(|leader| leader.is_alive);
        Ok(leader.map(|leader| at_work(&format!("the sidecar {}", leader.name))))
    };
    deadline.wait(leader).await?;
    if is_there {
        report::to_stdout(format_args!("Stopped the Deployment {deployment}."))?;
    }
    Ok(())
}

/// Returns the selector of a Deployment. The API server accepts no Deployment with an empty selector, so it never selects every
/// Pod of the namespace.
fn selector_of(spec: DeploymentSpec, deployment: &str) -> Result<String, CommandError> {
    let selector = Selector::try_from(spec.selector).map_err(|error| {
        CommandError::Refused(format!(
            "the selector of the Deployment {deployment} is not understood: {error}"
        ))
    })?;
    Ok(selector.to_string())
}

fn at_work(who: &str) -> String {
    format!("{who} is still running and would write everything again: stop it, then run this again")
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use clap::Parser as _;
    use serde_json::Value;
    use url::Url;

    use super::*;
    use crate::commands::cleanup::CleanupArgs;
    use crate::commands::{Args, Command};
    use crate::telemetry::testing::{api_server, refusal};

    const DEPLOYMENT: &str = "acr-credential-sidecar";

    fn args() -> ClusterArgs {
        match Args::parse_from(["acr-credential-sidecar", "cleanup"]).command {
            Command::Cleanup(CleanupArgs { cluster, .. }) => cluster,
            _ => unreachable!(),
        }
    }

    /// Creates a cluster in which the sidecar's last Pod is seen this often after scaling, and the paths of the requests for it.
    fn sidecar_that_ends_after(rounds: usize, selector: Value) -> (Client, Arc<Mutex<Vec<String>>>) {
        let looks = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&looks);
        let mut scaled = false;
        let client = api_server(move |method, path, body| {
            if path.contains("/leases/") {
                refusal(404)
            } else if method == "PATCH" {
                assert!(path.contains("/deployments/acr-credential-sidecar/scale"), "{path}");
                assert_eq!(body["spec"]["replicas"], 0);
                scaled = true;
                (200, json!({ "metadata": {} }))
            } else if path.contains("/pods") {
                assert!(scaled, "{path}");
                let mut seen = seen.lock().unwrap();
                let left = usize::from(seen.len() < rounds);
                seen.push(path.to_owned());
                let items = vec![json!({ "metadata": { "name": "s-0" } }); left];
                (200, json!({ "metadata": {}, "items": items }))
            } else {
                (200, json!({ "metadata": {}, "spec": { "selector": selector, "template": {} } }))
            }
        });
        (client, looks)
    }

    fn by_label() -> Value {
        json!({ "matchLabels": { "app": "sidecar" } })
    }

    #[tokio::test(start_paused = true)]
    async fn the_last_pod_is_waited_for() {
        let (client, looks) = sidecar_that_ends_after(3, by_label());
        stop(&client, &args(), DEPLOYMENT, Deadline::start()).await.unwrap();
        assert_eq!(looks.lock().unwrap().len(), 4);
    }

    /// Checks a request. The API server selects: the request contains the Deployment's whole selector, and asks for Pods that
    /// have not finished.
    #[track_caller]
    fn check_look(look: &str, labels: &str) {
        let look = Url::parse("http://localhost").unwrap().join(look).unwrap();
        let get = |key| look.query_pairs().find(|(name, _)| name == key).map(|(_, value)| value.into_owned());
        assert_eq!(get("labelSelector").as_deref(), Some(labels));
        assert_eq!(get("fieldSelector").as_deref(), Some("status.phase!=Failed,status.phase!=Succeeded"));
    }

    #[tokio::test]
    async fn a_pod_that_failed_is_not_waited_for_nor_are_those_of_others() {
        let expressions = json!([
            { "key": "tier", "operator": "In", "values": ["a", "b"] },
            { "key": "canary", "operator": "DoesNotExist" },
        ]);
        for (selector, labels) in [
            (by_label(), "app=sidecar"),
            (json!({ "matchExpressions": expressions }), "tier in (a,b),!canary"),
            (
                json!({ "matchLabels": { "app": "sidecar" }, "matchExpressions": expressions }),
                "app=sidecar,tier in (a,b),!canary",
            ),
        ] {
            let (client, looks) = sidecar_that_ends_after(0, selector);
            stop(&client, &args(), DEPLOYMENT, Deadline::start()).await.unwrap();
            let looks = looks.lock().unwrap();
            assert_eq!(looks.len(), 1);
            check_look(&looks[0], labels);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_pod_that_does_not_end_is_named() {
        let (client, _) = sidecar_that_ends_after(usize::MAX, by_label());
        let error = stop(&client, &args(), DEPLOYMENT, Deadline::start()).await.unwrap_err().to_string();
        assert!(error.starts_with("the Pod s-0 is still running"), "{error}");
    }

    #[tokio::test]
    async fn a_deployment_that_is_gone_has_stopped() {
        stop(&api_server(|_, _, _| refusal(404)), &args(), DEPLOYMENT, Deadline::start()).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_wrong_name_does_not_hide_a_sidecar_that_is_at_work() {
        let client = api_server(|_, path, _| {
            if !path.contains("/leases/") {
                return refusal(404);
            }
            let spec = json!({
                "holderIdentity": "s-0", "leaseDurationSeconds": 15, "renewTime": "2999-01-01T00:00:00.000000Z",
            });
            (200, json!({ "metadata": {}, "spec": spec }))
        });
        let error = stop(&client, &args(), "a-typo", Deadline::start()).await.unwrap_err().to_string();
        assert!(error.starts_with("the sidecar s-0 is still running"), "{error}");
    }
}
