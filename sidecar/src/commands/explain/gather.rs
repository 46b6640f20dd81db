//! What is to be explained, and all that is known about it: from a manifest or from the cluster.

pub(super) mod cluster;
pub(super) mod manifest;

use std::collections::BTreeMap;

use acr_credential_core::policy::Shape;
use k8s_openapi::api::core::v1::PodSpec;
use kube::api::ObjectMeta;
use serde_json::Value;

use crate::cluster::observed::{PullSecret, ServiceAccount};

pub(super) type Labels = BTreeMap<String, String>;

/// A Pod, there or to come, or what makes Pods.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Subject {
    /// What it is, for people.
    pub(super) title: String,
    pub(super) kind: String,
    pub(super) name: String,
    pub(super) namespace: String,
    /// What it is to the policies; none of a kind that they never see.
    pub(super) shape: Option<Shape>,
    /// Whether it is in the cluster, not in a manifest.
    pub(super) exists: bool,
    pub(super) service_account: String,
    /// Names of the entries of its list, `""` for one without: Kubernetes copies nothing to a list with such an entry.
    pub(super) pull_secrets: Vec<String>,
    /// Its images, each once, in order; `""` for a container that names none.
    pub(super) images: Vec<String>,
    /// Its own labels, which are not those of the Pods that it makes.
    pub(super) own_labels: Labels,
    /// The labels of its Pods.
    pub(super) labels: Labels,
    /// Whether it stands for a static Pod.
    pub(super) is_mirror: bool,
    /// The object as a whole, as the policy for workloads sees it.
    pub(super) object: Value,
    /// A Pod of it, as the policy for Pods sees it.
    pub(super) pod: Value,
    /// The lists of the Pods that it has made, as far as they have not finished.
    pub(super) lists_of_pods: Vec<Vec<String>>,
}

/// What the cluster has around a subject.
#[derive(Debug, Clone)]
pub(super) struct Cluster {
    pub(super) namespace: Option<ObjectMeta>,
    pub(super) account: Account,
    /// The Secret of the pull secret's name in that namespace.
    pub(super) secret: Option<PullSecret>,
    /// What the sidecar last reported about it, where there is none.
    pub(super) report: Option<String>,
    /// The hosts in it, where they were read.
    pub(super) hosts: Option<Vec<String>>,
}

/// The service account of a subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Account {
    /// It may not be read, or no cluster is asked.
    Unknown,
    Absent,
    Found(ServiceAccount),
}

/// A kind that can be named, and what it is to the policies.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Kind {
    pub(super) name: &'static str,
    pub(super) group: &'static str,
    pub(super) version: &'static str,
    /// What kubectl takes instead of the name.
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

    /// Whether its own list has this entry.
    pub(super) fn lists(&self, pull_secret: &str) -> bool {
        self.pull_secrets.iter().any(|listed| listed == pull_secret)
    }

    /// How its Pods are recreated.
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

/// The service account of a Pod.
fn service_account(spec: &PodSpec) -> &str {
    // The older name of the field still counts.
    let account = [&spec.service_account_name, &spec.service_account];
    account.into_iter().flatten().find(|name| !name.is_empty()).map_or("default", String::as_str)
}

/// The names in a Pod's list, `""` for an entry without one.
fn pull_secrets(spec: &PodSpec) -> Vec<String> {
    spec.image_pull_secrets.iter().flatten().map(|entry| entry.name.clone()).collect()
}

/// The images of containers of each kind, and of image volumes.
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
