//! What the chart renders, as the API server, Kubewarden and the sidecar read it.

use acr_e2e_tests::manifests::Manifests;
use acr_e2e_tests::paths;
use acr_e2e_tests::sidecar::Sidecar;
use anyhow::{Context as _, Result};
use serde_json::Value;

use super::bed::{Turn, succeeded};

/// The values that the chart's own tests render: the least, the most, and those of `deploy/`.
const CASES: [&str; 3] = ["minimal", "everything", "manifests"];

fn case(name: &str) -> Result<String> {
    let path = paths::chart().join(format!("ci/{name}-values.yaml"));
    std::fs::read_to_string(&path).with_context(|| format!("failed to read {}", path.display()))
}

#[tokio::test]
async fn the_api_server_knows_every_field() -> Result<()> {
    let turn = Turn::with_kubewarden().await?;
    for name in CASES {
        let rendered = succeeded(&turn.helm("template", &case(name)?).await?)?;
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
        // The Deployment; and the Job, but for plain manifests.
        assert_eq!(commands.len(), if name == "manifests" { 1 } else { 2 });
        for mut command in commands {
            // Wrong flags before it are refused all the same.
            command.push("--help");
            let ended = sidecar.run(&command).await?;
            assert_eq!(ended.code, Some(0), "{command:?}: {}", ended.stderr);
        }
        let config_map = objects.objects.iter().find(|object| object["kind"] == "ConfigMap");
        sidecar.file("config.yaml", &config_map.context("there is no ConfigMap")?.to_string())?;
        let ended = sidecar.run(&["check", "--config", "config.yaml"]).await?;
        assert_eq!(ended.code, Some(0), "{name}: {}{}", ended.stdout, ended.stderr);
    }
    Ok(())
}

/// The arguments of the container in a Pod template.
fn arguments(object: &Value) -> Option<Vec<&str>> {
    let arguments = object.pointer("/spec/template/spec/containers/0/args")?.as_array()?;
    arguments.iter().map(Value::as_str).collect()
}
