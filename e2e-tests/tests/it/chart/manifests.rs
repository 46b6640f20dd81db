//! What the chart renders, as the API server, Kubewarden and the sidecar read it.

use acr_e2e_tests::cluster::named_namespace;
use acr_e2e_tests::manifests::Manifests;
use acr_e2e_tests::paths;
use acr_e2e_tests::sidecar::Sidecar;
use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use super::bed::{Turn, VALUES, succeeded};

/// The values that the chart's own tests render: the least, the most, and those of `deploy/`.
const CASES: [&str; 3] = ["minimal", "everything", "manifests"];

fn case(name: &str) -> Result<String> {
    let path = paths::chart().join(format!("ci/{name}-values.yaml"));
    std::fs::read_to_string(&path).with_context(|| format!("failed to read {}", path.display()))
}

#[tokio::test]
async fn the_api_server_knows_every_field() -> Result<()> {
    let turn = Turn::with_kubewarden().await?;
    // Where monitors and dashboards are to go.
    named_namespace(&turn.client, "monitoring", &[]).await?;
    for name in CASES {
        // A Pod needs its account even for this. That of the test is created below, in another namespace.
        let values = format!("{}helmTest: {{enabled: false}}\n", case(name)?);
        let rendered = succeeded(&turn.helm("template", &values).await?)?;
        let applied =
            turn.kubectl(&["create", "--dry-run=server", "--validate=strict", "-f", "-"], &rendered).await?;
        assert!(applied.success, "{name}: {}", applied.stderr);
        assert_eq!(applied.stderr, "", "{name} is taken with a warning");
        let objects = Manifests::parse(&rendered)?;
        let all = objects.objects.len() + objects.policies.len();
        assert_eq!(applied.stdout.lines().count(), all, "{}", applied.stdout);
    }
    Ok(())
}

#[tokio::test]
async fn kubewarden_and_the_sidecar_know_everything_that_they_are_told() -> Result<()> {
    let turn = Turn::with_kubewarden().await?;
    for name in CASES {
        let rendered = succeeded(&turn.helm("template", &case(name)?).await?)?;
        // It refuses fields that Kubewarden's definition does not have.
        let objects = Manifests::parse(&rendered).context(name)?;
        assert!(objects.policies.len() >= 2);
        let sidecar = Sidecar::new(turn.cloud)?;
        let commands: Vec<_> = objects.objects.iter().filter_map(arguments).collect();
        // The Deployment and the Pod of `helm test`; and the Job, but for plain manifests.
        assert_eq!(commands.len(), if name == "manifests" { 2 } else { 3 });
        for mut command in commands {
            // Wrong flags before it are refused all the same.
            command.push("--help");
            let ended = sidecar.run(&command).await?;
            assert_eq!(ended.code, Some(0), "{command:?}: {}", ended.stderr);
        }
        let config_map =
            objects.objects.iter().find(|object| object["data"]["acr-registry-info"].is_string());
        sidecar.file("config.yaml", &config_map.context("there is no ConfigMap")?.to_string())?;
        let ended = sidecar.run(&["check", "--config", "config.yaml"]).await?;
        assert_eq!(ended.code, Some(0), "{name}: {}{}", ended.stdout, ended.stderr);
    }
    Ok(())
}

/// The arguments of the container in a Pod template or a Pod.
fn arguments(object: &Value) -> Option<Vec<&str>> {
    let arguments = pod(object)?.pointer("/spec/containers/0/args")?.as_array()?;
    arguments.iter().map(Value::as_str).collect()
}

/// The Pod template of an object, or the Pod.
fn pod(object: &Value) -> Option<&Value> {
    if object["kind"] == "Pod" { Some(object) } else { object.pointer("/spec/template") }
}

#[tokio::test]
async fn every_pod_of_the_chart_is_admitted_where_pod_security_is_restricted() -> Result<()> {
    let turn = Turn::with_kubewarden().await?;
    let enforced = [("pod-security.kubernetes.io/enforce", "restricted")];
    let namespace = named_namespace(&turn.client, "chart-restricted", &enforced).await?;
    let admitted = async |pod: &Value| {
        let create = ["create", "--dry-run=server", "--namespace", &namespace, "-f", "-"];
        turn.kubectl(&create, &pod.to_string()).await
    };
    let cases = [
        case("minimal")?,
        case("everything")?,
        format!("{VALUES}podSecurityContext: {{runAsUser: null, runAsGroup: null, fsGroup: null}}\n"),
    ];
    for values in cases {
        let rendered = succeeded(&turn.helm("template", &values).await?)?;
        let objects = Manifests::parse(&rendered)?.objects;
        let pods: Vec<_> = objects.iter().filter_map(pod).collect();
        assert_eq!(pods.len(), 3, "those of the Deployment, the cleanup and the test");
        for pod in pods {
            let mut spec = pod["spec"].clone();
            // Which account it has is no matter of Pod security.
            spec["serviceAccountName"] = "default".into();
            let mut pod =
                json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "pod" }, "spec": spec });
            succeeded(&admitted(&pod).await?).context(values.clone())?;
            pod["spec"]["containers"][0]["securityContext"]["allowPrivilegeEscalation"] = true.into();
            let refused = admitted(&pod).await?;
            assert!(
                !refused.success && refused.stderr.contains("violates PodSecurity"),
                "{}",
                refused.stderr
            );
        }
    }
    Ok(())
}
