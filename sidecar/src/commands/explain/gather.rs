//! The objects to explain, and all known facts about them, from a manifest or from the cluster.

pub(super) mod cluster;
pub(super) mod manifest;

use std::collections::BTreeMap;

use acr_credential_core::policy::Shape;
use k8s_openapi::api::core::v1::PodSpec;
use kube::api::ObjectMeta;
use serde_json::Value;

use crate::cluster::observed::{PullSecret, ServiceAccount};
use crate::commands::cluster::Seen;

pub(super) type Labels = BTreeMap<String, String>;

/// An existing or future Pod, or an object that creates Pods.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Subject {
    /// Its title, for people.
    pub(super) title: String,
    pub(super) kind: String,
    pub(super) name: String,
    pub(super) namespace: String,
    /// Its shape for the policies; `None` for a kind that they never see.
    pub(super) shape: Option<Shape>,
    /// Whether it is in the cluster, not in a manifest.
    pub(super) exists: bool,
    pub(super) service_account: String,
    /// The names of the entries of its list; `""` for an entry without a name. Kubernetes copies nothing to a list with
    /// such an entry.
    pub(super) pull_secrets: Vec<String>,
    /// Its images, each only once, in their order; `""` for a container that names no image.
    pub(super) images: Vec<String>,
    /// Its own labels. They are not the labels of the Pods that it creates.
    pub(super) own_labels: Labels,
    /// The labels of its Pods.
    pub(super) labels: Labels,
    /// Whether it is the mirror of a static Pod.
    pub(super) is_mirror: bool,
    /// The object as a whole, as the policy for workloads sees it.
    pub(super) object: Value,
    /// One of its Pods, as the policy for Pods sees it.
    pub(super) pod: Value,
    /// The lists of the Pods that it has created and that have not finished.
    pub(super) lists_of_pods: Seen<Vec<Vec<String>>>,
}

/// The facts about a subject's surroundings in the cluster.
#[derive(Debug, Clone, Default)]
pub(super) struct Cluster {
    /// Whether a cluster was queried at all.
    pub(super) is_queried: bool,
    pub(super) namespace: Seen<ObjectMeta>,
    pub(super) account: Seen<ServiceAccount>,
    /// The Secret with the pull secret's name in the namespace.
    pub(super) secret: Seen<PullSecret>,
    /// The sidecar's last report about the pull secret, if there is no such Secret.
    pub(super) report: Seen<String>,
    /// The hosts in the pull secret, if they were read.
    pub(super) hosts: Option<Vec<String>>,
}

/// A kind that users can name, and its shape for the policies.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Kind {
    pub(super) name: &'static str,
    pub(super) group: &'static str,
    pub(super) version: &'static str,
    /// The short name that kubectl accepts.
    pub(super) short: &'static str,
    pub(super) shape: Shape,
}

pub(super) const KINDS: [Kind; 8] = [
    Kind { name: "Pod", group: "", version: "v1", short: "po", shape: Shape::Pod },
    Kind { name: "Deployment", group: "apps", version: "v1", short: "deploy", shape: Shape::Template },
    Kind { name: "StatefulSet", group: "apps", version: "v1", short: "sts", shape: Shape::Template },
    Kind { name: "DaemonSet", group: "apps", version: "v1", short: "ds", shape: Shape::Template },
    Kind { name: "ReplicaSet", group: "apps", version: "v1", short: "rs", shape: Shape::Template },
    Kind { name: "ReplicationController", group: "", version: "v1", short: "rc", shape: Shape::Template },
    Kind { name: "Job", group: "batch", version: "v1", short: "job", shape: Shape::Template },
    Kind { name: "CronJob", group: "batch", version: "v1", short: "cj", shape: Shape::JobTemplate },
];

impl Subject {
    pub(super) fn is_pod(&self) -> bool {
        self.shape == Some(Shape::Pod)
    }

    /// Returns whether its own list has this entry.
    pub(super) fn lists(&self, pull_secret: &str) -> bool {
        self.pull_secrets.iter().any(|listed| listed == pull_secret)
    }

    /// Returns how to recreate its Pods.
    pub(super) fn recreation(&self) -> String {
        let Self { kind, name, namespace, .. } = self;
        match kind.as_str() {
            "Deployment" | "StatefulSet" | "DaemonSet" => {
                format!("`kubectl rollout restart {}/{name} -n {namespace}`", kind.to_lowercase())
            }
            _ => "delete them".to_owned(),
        }
    }
}

/// Returns the service account of a Pod.
fn service_account(spec: &PodSpec) -> &str {
    // The older name of the field is still valid.
    let account = [&spec.service_account_name, &spec.service_account];
    account.into_iter().flatten().find(|name| !name.is_empty()).map_or("default", String::as_str)
}

/// Returns the names in a Pod's list; `""` for an entry without a name.
fn pull_secrets(spec: &PodSpec) -> Vec<String> {
    spec.image_pull_secrets.iter().flatten().map(|entry| entry.name.clone()).collect()
}

/// Returns the images of containers of all kinds, and of image volumes.
fn images(spec: &PodSpec) -> Vec<String> {
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
