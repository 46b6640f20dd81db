//! `manifests`: the policies for a configuration.

use acr_e2e_tests::manifests::Manifests;
use acr_e2e_tests::sidecar::{Ended, Sidecar};
use anyhow::Result;
use serde_json::Value;

use crate::mint::cloud;

async fn manifests(configuration: &str, more: &[&str]) -> Result<Ended> {
    let sidecar = Sidecar::new(&cloud().await?)?;
    sidecar.file("config.yaml", configuration)?;
    let arguments = ["manifests", "--config", "config.yaml"];
    sidecar.run(&arguments.iter().chain(more).copied().collect::<Vec<_>>()).await
}

#[tokio::test]
async fn the_policies_for_a_configuration_are_printed_whole() -> Result<()> {
    let configuration = "watch-namespace: team-a, team-b\nservice-account: builder\n";
    let ended = manifests(configuration, &["--serviceaccounts"]).await?;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let printed = Manifests::parse(&ended.stdout)?;
    for name in ["inject", "guard", "serviceaccounts"] {
        let settings = &printed.policy(&format!("acr-credential-helper-{name}"))?.spec.settings;
        assert_eq!(settings["namespaces"], serde_json::json!(["team-a", "team-b"]), "{name}");
        assert_eq!(settings["serviceAccounts"], serde_json::json!(["builder"]), "{name}");
    }
    let ended = manifests(configuration, &["--output", "json"]).await?;
    let list: Value = serde_json::from_str(&ended.stdout)?;
    let kinds: Vec<_> = list["items"].as_array().into_iter().flatten().map(|item| &item["kind"]).collect();
    assert_eq!(
        kinds,
        ["ClusterRole", "ClusterRoleBinding", "ClusterAdmissionPolicy", "ClusterAdmissionPolicy"]
    );
    Ok(())
}

#[tokio::test]
async fn the_policy_server_gets_its_right_where_kubewarden_is_installed() -> Result<()> {
    let subject = async |more: &[&str]| -> Result<Value> {
        let ended = manifests("watch-namespace: team-a\n", more).await?;
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        let objects = Manifests::parse(&ended.stdout)?.objects;
        let binding = objects.iter().find(|object| object["kind"] == "ClusterRoleBinding");
        Ok(binding.map(|binding| binding["subjects"][0]["namespace"].clone()).unwrap_or_default())
    };
    assert_eq!(subject(&[]).await?, "kubewarden");
    let rancher = ["--kubewarden-namespace", "cattle-kubewarden-system"];
    assert_eq!(subject(&rancher).await?, "cattle-kubewarden-system");
    Ok(())
}

#[tokio::test]
async fn nothing_is_printed_for_a_configuration_with_a_mistake() -> Result<()> {
    let ended = manifests("watch-namespace: Team_A\n", &[]).await?;
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""));
    assert!(ended.stderr.contains("watch-namespace: "), "{}", ended.stderr);
    Ok(())
}
