//! What a Pod, or a manifest that makes Pods, says about its images and pull secrets.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{LocalObjectReference, PodSpec, Secret};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

type Labels = BTreeMap<String, String>;

/// A Pod, there or to come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Subject {
    /// What it is, for people.
    pub(super) title: String,
    pub(super) namespace: String,
    pub(super) service_account: String,
    /// Names of the pull secrets in its list, without nameless ones.
    pub(super) pull_secrets: Vec<String>,
    /// Its images, each once, in order.
    pub(super) images: Vec<String>,
    pub(super) kind: Kind,
    /// Whether its Pods keep the policies away by a label.
    pub(super) opts_out: bool,
}

/// What it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    /// A Pod that is there: its list never changes.
    Pod,
    /// A Pod in a manifest.
    PodToCome,
    /// What makes Pods, there or in a manifest.
    Workload {
        /// How its Pods are made anew.
        renew: String,
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
    pub(super) fn of_pod(namespace: &str, name: &str, labels: Option<&Labels>, spec: &PodSpec) -> Self {
        Self::new(format!("Pod {namespace}/{name}"), namespace, Kind::Pod, labels, spec)
    }

    fn new(title: String, namespace: &str, kind: Kind, labels: Option<&Labels>, spec: &PodSpec) -> Self {
        // The older name of the field still counts.
        let account = [&spec.service_account_name, &spec.service_account];
        let account = account.into_iter().flatten().find(|name| !name.is_empty());
        Self {
            title,
            namespace: namespace.to_owned(),
            service_account: account.map_or("default", String::as_str).to_owned(),
            pull_secrets: pull_secrets(spec),
            images: images(spec),
            kind,
            opts_out: opts_out(labels),
        }
    }
}

/// The names in a Pod's list, without nameless ones.
pub(super) fn pull_secrets(spec: &PodSpec) -> Vec<String> {
    let entries = spec.image_pull_secrets.iter().flatten();
    let entries = entries.filter(|LocalObjectReference { name }| !name.is_empty());
    entries.map(|entry| entry.name.clone()).collect()
}

/// Whether these labels keep the policies away.
pub(super) fn opts_out(labels: Option<&Labels>) -> bool {
    labels.and_then(|labels| labels.get(OPT_OUT)).is_some_and(|value| value == "false")
}

/// The images of containers of each kind, and of image volumes.
fn images(spec: &PodSpec) -> Vec<String> {
    let containers = spec.init_containers.iter().flatten().chain(&spec.containers);
    let containers = containers.map(|container| container.image.as_ref());
    let ephemeral = spec.ephemeral_containers.iter().flatten().map(|container| container.image.as_ref());
    let volumes = spec.volumes.iter().flatten();
    let volumes = volumes.map(|volume| volume.image.as_ref().and_then(|image| image.reference.as_ref()));
    let mut images: Vec<String> = Vec::new();
    for image in containers.chain(ephemeral).chain(volumes).flatten() {
        if !images.contains(image) {
            images.push(image.clone());
        }
    }
    images
}

/// Reads all Pods and workloads of a file, as `kubectl` reads it: documents of YAML or JSON, lists included. The
/// namespace that was asked for counts where a manifest names none.
pub(super) fn read_manifests(text: &[u8], namespace: Option<&str>) -> Result<Vec<Subject>, String> {
    let text = std::str::from_utf8(text).map_err(|_| "is not UTF-8 text: save it as UTF-8".to_owned())?;
    let documents: Vec<Value> =
        serde_saphyr::from_multiple(text).map_err(|error| format!("is no YAML: {error}"))?;
    let mut subjects = Vec::new();
    for document in &documents {
        read_object(document, namespace, &mut subjects)?;
    }
    Ok(subjects)
}

/// Reads one Pod, workload or list of them; other kinds are passed over.
pub(super) fn read_object(
    object: &Value,
    namespace: Option<&str>,
    subjects: &mut Vec<Subject>,
) -> Result<(), String> {
    let text = |pointer| object.pointer(pointer).and_then(Value::as_str);
    let kind = text("/kind").unwrap_or_default();
    let pod = match kind {
        "List" => {
            let items = object.get("items").and_then(Value::as_array);
            return items.into_iter().flatten().try_for_each(|item| read_object(item, namespace, subjects));
        }
        "Pod" => "",
        "CronJob" => "/spec/jobTemplate/spec/template",
        _ if WORKLOADS.iter().any(|(workload, ..)| *workload == kind) => "/spec/template",
        _ => return Ok(()),
    };
    let name = text("/metadata/name").or_else(|| text("/metadata/generateName")).unwrap_or("without a name");
    let place = text("/metadata/namespace").or(namespace).unwrap_or("default");
    let wrong = |error| format!("{kind} {name}: {error}");
    let spec =
        object.pointer(&format!("{pod}/spec")).ok_or_else(|| format!("{kind} {name} has no {pod}/spec"))?;
    let spec = PodSpec::deserialize(spec).map_err(wrong)?;
    let labels = object.pointer(&format!("{pod}/metadata/labels"));
    let labels = labels.map(Option::<Labels>::deserialize).transpose().map_err(wrong)?.flatten();
    let title = format!("{kind} {place}/{name}");
    let kind =
        if kind == "Pod" { Kind::PodToCome } else { Kind::Workload { renew: renew(kind, place, name) } };
    subjects.push(Subject::new(title, place, kind, labels.as_ref(), &spec));
    Ok(())
}

fn renew(kind: &str, namespace: &str, name: &str) -> String {
    match kind {
        "Deployment" | "StatefulSet" | "DaemonSet" => {
            format!("`kubectl rollout restart {}/{name} -n {namespace}`", kind.to_lowercase())
        }
        _ => "delete them".to_owned(),
    }
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
    fn each_pod_and_workload_of_a_file_is_read() {
        let text = b"
apiVersion: v1
kind: Pod
metadata: { name: one, namespace: team-a }
spec:
  serviceAccount: builder
  imagePullSecrets: [{ name: regcred }, {}]
  initContainers: [{ name: i, image: a.example.com/i }]
  containers: [{ name: c, image: a.example.com/c }, { name: d, image: a.example.com/i }]
  volumes: [{ name: v, image: { reference: b.example.com/v } }]
---
apiVersion: v1
kind: Service
metadata: { name: web }
---
apiVersion: v1
kind: List
items:
  - apiVersion: batch/v1
    kind: CronJob
    metadata: { name: nightly }
    spec: { jobTemplate: { spec: { template: { spec: { containers: [{ name: c, image: c.example.com/n }] } } } } }
";
        let subjects = read_manifests(text, Some("team-b")).unwrap();
        assert_eq!(
            subjects,
            [
                Subject {
                    title: "Pod team-a/one".to_owned(),
                    namespace: "team-a".to_owned(),
                    service_account: "builder".to_owned(),
                    pull_secrets: vec!["regcred".to_owned()],
                    images: ["a.example.com/i", "a.example.com/c", "b.example.com/v"]
                        .map(String::from)
                        .into(),
                    kind: Kind::PodToCome,
                    opts_out: false,
                },
                Subject {
                    title: "CronJob team-b/nightly".to_owned(),
                    namespace: "team-b".to_owned(),
                    service_account: "default".to_owned(),
                    pull_secrets: Vec::new(),
                    images: vec!["c.example.com/n".to_owned()],
                    kind: Kind::Workload { renew: "delete them".to_owned() },
                    opts_out: false,
                },
            ]
        );
    }

    #[test]
    fn a_manifest_without_its_spec_is_said_to_be_wrong() {
        let error = read_manifests(b"kind: Deployment\nmetadata: { name: web }\n", None).unwrap_err();
        assert_eq!(error, "Deployment web has no /spec/template/spec");
    }

    #[test]
    fn of_a_pull_secret_the_hosts_alone_are_read() {
        let text = br#"{"auths":{"b.example.com":{"password":"x"},"a.example.com":{}}}"#;
        let data = [(".dockerconfigjson".to_owned(), ByteString(text.to_vec()))].into();
        let secret = Secret { data: Some(data), ..Secret::default() };
        assert_eq!(hosts_in(&secret), ["a.example.com", "b.example.com"]);
        assert!(hosts_in(&Secret::default()).is_empty());
    }
}
