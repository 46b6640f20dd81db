//! What a kubelet does beyond the node of the test bed, which runs nothing: it runs the sidecar's own Pods, with their command,
//! environment and service account, as a process of the binary that is to be in their image.

use acr_e2e_tests::cluster::PATIENCE;
use acr_e2e_tests::kubeconfig;
use acr_e2e_tests::sidecar::{Ended, Running, Sidecar};
use acr_e2e_tests::wait::wait_until;
use anyhow::{Context as _, Result};
use k8s_openapi::api::core::v1::{Container, Pod};
use kube::api::{ListParams, Patch, PatchParams};
use kube::{Api, ResourceExt as _};
use serde_json::json;

use super::bed::{NAMESPACE, Turn};
use crate::mint;

/// A Pod, with a place to run its container in.
pub struct Started<'a> {
    turn: &'a Turn,
    pub pod: Pod,
    sidecar: Sidecar,
}

impl<'a> Started<'a> {
    /// Waits for a Pod of this application that the node has started.
    pub async fn wait(turn: &'a Turn, application: &str) -> Result<Self> {
        let selector = ListParams::default().labels(&format!("app.kubernetes.io/name={application}"));
        let pods = pods(turn);
        let runs = |pod: &Pod| {
            let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
            pod.metadata.deletion_timestamp.is_none() && phase == Some("Running")
        };
        let pod = wait_until(&format!("a Pod of {application} runs"), PATIENCE, async || {
            Ok(pods.list(&selector).await?.items.into_iter().find(runs))
        })
        .await?;
        let account = pod.spec.as_ref().and_then(|spec| spec.service_account_name.clone());
        let account = account.context("the Pod has no service account")?;
        let mut sidecar = mint::puller(turn.cloud)?;
        for (name, value) in environment(&pod)? {
            sidecar = sidecar.with(&name, value);
        }
        sidecar.file("kubeconfig", &kubeconfig::of_account(turn.cluster, NAMESPACE, &account).await?)?;
        Ok(Self { turn, pod, sidecar })
    }

    /// Runs the controller.
    pub fn controller(&self) -> Result<Running> {
        let arguments = arguments(&self.pod)?;
        let (command, flags) = arguments.split_first().context("the container has no command")?;
        assert_eq!(command, "run");
        let flags = flags.iter().map(String::as_str).chain(["--kubeconfig=kubeconfig"]);
        self.sidecar.start(&flags.collect::<Vec<_>>())
    }

    /// Runs the container to its end, and reports that.
    pub async fn job(&self) -> Result<Ended> {
        let arguments = arguments(&self.pod)?;
        let arguments = arguments.iter().map(String::as_str).chain(["--kubeconfig=kubeconfig"]);
        let ended = self.sidecar.run(&arguments.collect::<Vec<_>>()).await?;
        let phase = if ended.code == Some(0) { "Succeeded" } else { "Failed" };
        let status = json!({ "status": { "phase": phase } });
        let name = self.pod.name_any();
        pods(self.turn).patch_status(&name, &PatchParams::default(), &Patch::Merge(status)).await?;
        Ok(ended)
    }

    /// Ends the process when the Pod is deleted, as a kubelet does.
    pub async fn end(&self, mut running: Running) -> Result<Option<i32>> {
        let name = self.pod.name_any();
        wait_until("the Pod of the sidecar is deleted", PATIENCE, async || {
            Ok(pods(self.turn).get_opt(&name).await?.is_none().then_some(()))
        })
        .await?;
        running.stop().await
    }
}

fn pods(turn: &Turn) -> Api<Pod> {
    Api::namespaced(turn.client.clone(), NAMESPACE)
}

fn container(pod: &Pod) -> Result<&Container> {
    pod.spec.as_ref().and_then(|spec| spec.containers.first()).context("the Pod has no container")
}

fn arguments(pod: &Pod) -> Result<Vec<String>> {
    Ok(container(pod)?.args.clone().unwrap_or_default())
}

fn environment(pod: &Pod) -> Result<Vec<(String, String)>> {
    let variables = container(pod)?.env.iter().flatten();
    variables
        .map(|variable| {
            let field = variable.value_from.as_ref().and_then(|from| from.field_ref.as_ref());
            let value = match field.map(|field| field.field_path.as_str()) {
                Some("metadata.name") => pod.name_any(),
                Some("metadata.namespace") => NAMESPACE.to_owned(),
                Some(other) => anyhow::bail!("no kubelet knows {other}"),
                None => variable.value.clone().unwrap_or_default(),
            };
            Ok((variable.name.clone(), value))
        })
        .collect()
}
