//! What a Pod, or what makes Pods, says about its images and pull secrets.

use std::collections::BTreeMap;

use acr_credential_core::policy::Shape;
use k8s_openapi::api::core::v1::{PodSpec, Secret};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Value, json};

use super::policy::Account;

pub(super) type Labels = BTreeMap<String, String>;

/// A Pod, there or to come.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Subject {
    /// What it is, for people.
    pub(super) title: String,
    pub(super) namespace: String,
    pub(super) service_account: String,
    /// Names of the entries of its list, `""` for one without: Kubernetes copies nothing to a list with such an entry.
    pub(super) pull_secrets: Vec<String>,
    /// Its images, each once, in order; `""` for a container that names none.
    pub(super) images: Vec<String>,
    pub(super) kind: Kind,
    /// The labels of its Pods.
    pub(super) labels: Labels,
    /// Whether it stands for a static Pod.
    pub(super) is_mirror: bool,
    /// The object as a whole, as the policy for workloads sees it.
    pub(super) object: Value,
    /// A Pod of it, as the policy for Pods sees it.
    pub(super) pod: Value,
}

/// What it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    /// A Pod that is there: its list never changes.
    Pod,
    /// A Pod in a manifest.
    PodToCome,
    /// What makes Pods.
    Workload {
        /// Its kind.
        name: String,
        /// Where the policy for workloads looks for the template; none of a kind that it never sees.
        shape: Option<Shape>,
        /// How its Pods are recreated.
        renew: String,
        /// Its own labels, which are not those of its Pods.
        labels: Labels,
        /// Whether it is there already, not in a manifest.
        exists: bool,
    },
}

/// The label with which a Pod or a namespace keeps the policies away, when its value is `false`.
pub(super) const OPT_OUT: &str = "acr-credential-helper.io/inject";

/// The workloads, by kind, API version and plural.
pub(super) const WORKLOADS: [(&str, &str, &str); 7] = [
    ("Deployment", "apps/v1", "deployments"),
    ("StatefulSet", "apps/v1", "statefulsets"),
    ("DaemonSet", "apps/v1", "daemonsets"),
    ("ReplicaSet", "apps/v1", "replicasets"),
    ("ReplicationController", "v1", "replicationcontrollers"),
    ("Job", "batch/v1", "jobs"),
    ("CronJob", "batch/v1", "cronjobs"),
];

impl Subject {
    /// Whether its own list has this entry.
    pub(super) fn lists(&self, pull_secret: &str) -> bool {
        self.pull_secrets.iter().any(|listed| listed == pull_secret)
    }

    /// Its Pod when the policies see it: where its list is empty, Kubernetes has copied that of the service account.
    pub(super) fn pod_at_admission(&self, account: &Account) -> Value {
        let mut pod = self.pod.clone();
        if let (Account::Found { pull_secrets, .. }, true, Some(spec)) =
            (account, self.pull_secrets.is_empty(), pod.get_mut("spec").and_then(Value::as_object_mut))
        {
            let copied = pull_secrets.iter().map(|name| json!({ "name": name })).collect();
            spec.insert("imagePullSecrets".to_owned(), copied);
        }
        pod
    }
}

/// The service account of a Pod.
pub(super) fn service_account(spec: &PodSpec) -> &str {
    // The older name of the field still counts.
    let account = [&spec.service_account_name, &spec.service_account];
    account.into_iter().flatten().find(|name| !name.is_empty()).map_or("default", String::as_str)
}

/// The names in a Pod's list, `""` for an entry without one.
pub(super) fn pull_secrets(spec: &PodSpec) -> Vec<String> {
    spec.image_pull_secrets.iter().flatten().map(|entry| entry.name.clone()).collect()
}

/// Whether these labels keep the policies away.
pub(super) fn opts_out(labels: &Labels) -> bool {
    labels.get(OPT_OUT).is_some_and(|value| value == "false")
}

/// The images of containers of each kind, and of image volumes.
pub(super) fn images(spec: &PodSpec) -> Vec<String> {
    let containers = spec.init_containers.iter().flatten().chain(&spec.containers);
    let containers = containers.map(|container| &container.image);
    let ephemeral = spec.ephemeral_containers.iter().flatten().map(|container| &container.image);
    let volumes = spec.volumes.iter().flatten().filter_map(|volume| volume.image.as_ref());
    let volumes = volumes.map(|image| &image.reference);
    let mut images: Vec<String> = Vec::new();
    for image in containers.chain(ephemeral).chain(volumes) {
        let image = image.clone().unwrap_or_default();
        if !images.contains(&image) {
            images.push(image);
        }
    }
    images
}
/// The hosts in a pull secret. Nothing else of its data is looked at.
pub(super) fn hosts_in(secret: &Secret) -> Vec<String> {
    #[derive(Deserialize)]
    struct Document {
        #[expect(clippy::zero_sized_map_values, reason = "the passwords below the keys are not kept")]
        auths: BTreeMap<String, IgnoredAny>,
    }
    let data = secret.data.as_ref().and_then(|data| data.get(".dockerconfigjson"));
    let document = data.and_then(|data| serde_json::from_slice::<Document>(&data.0).ok());
    document.map(|document| document.auths.into_keys().collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use k8s_openapi::ByteString;

    use super::*;

    #[test]
    fn of_a_pull_secret_the_hosts_alone_are_read() {
        let text = br#"{"auths":{"b.example.com":{"password":"x"},"a.example.com":{}}}"#;
        let data = [(".dockerconfigjson".to_owned(), ByteString(text.to_vec()))].into();
        let secret = Secret { data: Some(data), ..Secret::default() };
        assert_eq!(hosts_in(&secret), ["a.example.com", "b.example.com"]);
        assert!(hosts_in(&Secret::default()).is_empty());
    }
}
