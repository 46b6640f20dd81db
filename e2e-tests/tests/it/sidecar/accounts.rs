//! Service accounts, where the configuration asks for entries in their lists.

use std::time::{Duration, Instant};

use acr_e2e_tests::cluster::{PATIENCE, apply};
use acr_e2e_tests::wait::wait_until;
use anyhow::Result;
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use super::stage::{INSTANCE, Stage, metric, until_page};

/// The account `default` with an entry that a person wrote.
pub fn with_a_list_of_its_own(namespace: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": { "name": "default", "namespace": namespace },
        "imagePullSecrets": [{ "name": "mine" }],
    })
}

/// The names in the list of the account `default`.
pub async fn list(accounts: &Api<ServiceAccount>) -> Result<Vec<String>> {
    let entries = accounts.get("default").await?.image_pull_secrets.unwrap_or_default();
    Ok(entries.into_iter().map(|entry| entry.name).collect())
}

#[tokio::test]
async fn an_entry_is_appended_and_taken_out_again_and_others_stay() -> Result<()> {
    let stage = Stage::that_attaches("attach-").await?;
    let namespace = stage.namespace("a").await?;
    apply(&stage.client, &with_a_list_of_its_own(&namespace)).await?;
    let accounts: Api<ServiceAccount> = Api::namespaced(stage.client.clone(), &namespace);
    stage.configure(INSTANCE, &[("attach", "both")]).await?;
    let _sidecar = stage.started(&[]).await?;
    let both = ["mine", stage.name.as_str()];
    wait_until("the entry is there", PATIENCE, async || Ok((list(&accounts).await? == both).then_some(())))
        .await?;
    assert!(stage.pull_secret(&namespace).await?.is_some(), "the Secret comes before the entry");

    stage.configure(INSTANCE, &[("attach", "both"), ("watch-namespace", "nowhere")]).await?;
    wait_until(
        "the entry is gone",
        PATIENCE,
        async || Ok((list(&accounts).await? == ["mine"]).then_some(())),
    )
    .await?;
    assert!(stage.pull_secret(&namespace).await?.is_some(), "the Secret stays until it expires");
    Ok(())
}

#[tokio::test]
async fn an_account_that_is_no_longer_selected_loses_our_entry_alone() -> Result<()> {
    let stage = Stage::that_attaches("unselected-").await?;
    let namespace = stage.namespace("a").await?;
    // As Kubernetes makes it, with not one field set.
    let accounts: Api<ServiceAccount> = Api::namespaced(stage.client.clone(), &namespace);
    stage.configure(INSTANCE, &[("attach", "both")]).await?;
    let _sidecar = stage.started(&[]).await?;
    wait_until("the entry is there", PATIENCE, async || {
        Ok((list(&accounts).await? == [stage.name.as_str()]).then_some(()))
    })
    .await?;
    stage.configure(INSTANCE, &[("attach", "both"), ("service-account", "web")]).await?;
    wait_until("the entry is gone", PATIENCE, async || Ok(list(&accounts).await?.is_empty().then_some(())))
        .await?;
    assert!(stage.pull_secret(&namespace).await?.is_some());
    // And is in nobody's way: an apply without force meets no owner.
    let applied = json!({
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": { "name": "default" },
        "imagePullSecrets": [{ "name": "mine" }],
    });
    accounts.patch("default", &PatchParams::apply("gitops"), &Patch::Apply(&applied)).await?;
    assert_eq!(list(&accounts).await?, ["mine"]);
    Ok(())
}

#[tokio::test]
async fn a_concurrent_writer_loses_nothing() -> Result<()> {
    let stage = Stage::that_attaches("concurrent-").await?;
    let namespace = stage.namespace("a").await?;
    let accounts: Api<ServiceAccount> = Api::namespaced(stage.client.clone(), &namespace);
    stage.configure(INSTANCE, &[("attach", "both")]).await?;
    let _sidecar = stage.started(&[]).await?;
    let parameters = PatchParams { field_manager: Some("another".to_owned()), ..PatchParams::default() };
    let mut expected = vec![];
    for number in 0..40 {
        let name = format!("other-{number}");
        // Now and then it takes our entry out, so that both write at the same time.
        let takes_out = number % 12 == 0;
        if takes_out {
            wait_until("our entry is there", PATIENCE, async || {
                Ok(list(&accounts).await?.contains(&stage.name).then_some(()))
            })
            .await?;
        }
        wait_until("the other writer has its turn", PATIENCE, async || {
            let found = accounts.get("default").await?;
            let entries = found.image_pull_secrets.unwrap_or_default();
            let mut names: Vec<String> = entries.into_iter().map(|entry| entry.name).collect();
            if takes_out {
                names.retain(|name| *name != stage.name);
            }
            names.push(name.clone());
            let entries: Vec<Value> = names.iter().map(|name| json!({ "name": name })).collect();
            let change = json!({
                "metadata": { "resourceVersion": found.metadata.resource_version },
                "imagePullSecrets": entries,
            });
            match accounts.patch("default", &parameters, &Patch::Merge(&change)).await {
                Ok(_) => Ok(Some(())),
                Err(kube::Error::Api(status)) if status.code == 409 => Ok(None),
                Err(error) => Err(error.into()),
            }
        })
        .await?;
        expected.push(name);
        let found = list(&accounts).await?;
        let others: Vec<_> = found.into_iter().filter(|name| *name != stage.name).collect();
        assert_eq!(others, expected);
    }
    Ok(())
}

#[tokio::test]
async fn who_keeps_taking_our_entry_out_is_named_and_given_pauses() -> Result<()> {
    let stage = Stage::that_attaches("contested-").await?;
    let namespace = stage.namespace("a").await?;
    let accounts: Api<ServiceAccount> = Api::namespaced(stage.client.clone(), &namespace);
    stage.configure(INSTANCE, &[("attach", "service-account")]).await?;
    let mut sidecar = stage.started(&[]).await?;
    let gitops = PatchParams { field_manager: Some("gitops".to_owned()), ..PatchParams::default() };
    // Writes a list of its own, as those do that know what it should be.
    let take_out = async || {
        let change = json!({ "imagePullSecrets": [{ "name": "theirs" }] });
        accounts.patch("default", &gitops, &Patch::Merge(change)).await
    };
    let until_listed = async || {
        wait_until("our entry is there", PATIENCE, async || {
            Ok(list(&accounts).await?.contains(&stage.name).then_some(()))
        })
        .await
    };
    let mut pauses = Vec::new();
    until_listed().await?;
    for _ in 0..3 {
        let start = Instant::now();
        take_out().await?;
        until_listed().await?;
        pauses.push(start.elapsed());
    }
    // One, two and four seconds: each is twice the one before, however slow the machine is.
    for (pause, least) in pauses.iter().zip([1, 2, 4]) {
        assert!(*pause >= Duration::from_millis(least * 1000 - 100), "{pauses:?}");
    }

    let note = stage.until_event(&namespace, "PullSecretListContested", PATIENCE).await?;
    assert!(
        note.starts_with(&format!("gitops keeps removing {} from imagePullSecrets", stage.name)),
        "{note}"
    );
    let events = stage.events(&namespace).await?;
    let event = events.iter().find(|event| event.reason.as_deref() == Some("PullSecretListContested"));
    let about = event.and_then(|event| event.regarding.clone()).unwrap_or_default();
    assert_eq!((about.kind.as_deref(), about.name.as_deref()), (Some("ServiceAccount"), Some("default")));
    assert_eq!(event.and_then(|event| event.type_.as_deref()), Some("Warning"));

    // While it is taken out, the list is counted.
    take_out().await?;
    until_page(&mut sidecar, "/metrics", "the list is counted", |_, body| {
        metric(body, "contested", &[]) == 1
    })
    .await?;
    Ok(())
}
