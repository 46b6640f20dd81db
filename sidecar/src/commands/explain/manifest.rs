//! Manifests: from a file, or from an object of the cluster, to what is to be explained.
//!
//! A file may hold Secrets beside the Deployment, so no message quotes it.

use std::path::Path;

use k8s_openapi::api::core::v1::PodSpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::super::report;
use super::super::setup::{self, CommandError};
use super::subject::{self, Kind, Labels, Subject, WORKLOADS};

/// Largest file: many times the largest object that a cluster takes, and little to hold in memory.
const MAX_BYTES: usize = 16 << 20;

/// Reads the manifests of a file, `-` being standard input.
///
/// # Errors
/// When it cannot be read, or holds nothing that can be explained.
pub(super) fn read_file(path: &Path, namespace: Option<&str>) -> Result<Vec<Subject>, CommandError> {
    let failed = |source| CommandError::ReadManifest { path: path.to_owned(), source };
    let text = setup::read_just_beyond(MAX_BYTES, path).map_err(failed)?;
    let refused = |problem| CommandError::Refused(format!("{}: {problem}", path.display()));
    let subjects = read(&text, namespace).map_err(refused)?;
    if subjects.is_empty() {
        return Err(refused("holds no Pod, and nothing that makes Pods".to_owned()));
    }
    Ok(subjects)
}

/// Reads all Pods and workloads of a file, as `kubectl` reads it: documents of YAML or JSON, lists included. The
/// namespace that was asked for counts where a manifest names none.
fn read(text: &[u8], namespace: Option<&str>) -> Result<Vec<Subject>, String> {
    const TOO_MUCH: &str = "explain its parts, one after the other";
    if text.len() > MAX_BYTES {
        return Err(format!("has more than {} MiB: {TOO_MUCH}", MAX_BYTES >> 20));
    }
    let text = std::str::from_utf8(text).map_err(|_| "is not UTF-8 text: save it as UTF-8".to_owned())?;
    let options = serde_saphyr::options! { with_snippet: false };
    let documents: Vec<Value> =
        serde_saphyr::from_multiple_with_options(text, options).map_err(|error| match error {
            serde_saphyr::Error::Budget { .. } => format!("holds too many values at once: {TOO_MUCH}"),
            error => format!("is no YAML{}", report::place_in(&error)),
        })?;
    let mut subjects = Vec::new();
    for document in &documents {
        read_object(document, namespace, false, &mut subjects)?;
    }
    Ok(subjects)
}

/// Reads one Pod, workload or list of them; other kinds are passed over. `exists` says whether it is in the cluster.
///
/// # Errors
/// When it has no spec of a Pod where one belongs.
pub(super) fn read_object(
    object: &Value,
    namespace: Option<&str>,
    exists: bool,
    subjects: &mut Vec<Subject>,
) -> Result<(), String> {
    let text = |pointer| object.pointer(pointer).and_then(Value::as_str);
    let kind = text("/kind").unwrap_or_default();
    let pod = match kind {
        "List" => {
            let items = object.get("items").and_then(Value::as_array).into_iter().flatten();
            return items.into_iter().try_for_each(|item| read_object(item, namespace, exists, subjects));
        }
        "Pod" => "",
        "CronJob" => "/spec/jobTemplate/spec/template",
        _ if WORKLOADS.iter().any(|(workload, ..)| *workload == kind) => "/spec/template",
        _ => return Ok(()),
    };
    let name = text("/metadata/name").or_else(|| text("/metadata/generateName")).unwrap_or("without a name");
    let place = text("/metadata/namespace").or(namespace).unwrap_or("default");
    let wrong = |problem: String| format!("{kind} {name}: {problem}");
    let spec: PodSpec = below(object, &format!("{pod}/spec"))
        .map_err(wrong)?
        .ok_or_else(|| format!("{kind} {name} has no {pod}/spec"))?;
    let labels: Option<Labels> = below(object, &format!("{pod}/metadata/labels")).map_err(wrong)?;
    let own_labels: Option<Labels> = below(object, "/metadata/labels").map_err(wrong)?;
    let owners: Option<Vec<OwnerReference>> = below(object, "/metadata/ownerReferences").map_err(wrong)?;
    let title = format!("{kind} {place}/{name}");
    let kind = match (kind, exists) {
        ("Pod", true) => Kind::Pod,
        ("Pod", false) => Kind::PodToCome,
        (workload, _) => Kind::Workload {
            renew: renew(workload, place, name),
            labels: own_labels.unwrap_or_default(),
            exists,
        },
    };
    subjects.push(Subject {
        labels: labels.unwrap_or_default(),
        is_owned: subject::is_owned(&owners.unwrap_or_default()),
        ..Subject::new(title, place, kind, &spec)
    });
    Ok(())
}

/// The value there; none where there is nothing, or `null`.
fn below<T: DeserializeOwned>(object: &Value, pointer: &str) -> Result<Option<T>, String> {
    let value = object.pointer(pointer).filter(|value| !value.is_null());
    value.map(T::deserialize).transpose().map_err(|error| {
        // The whole message quotes the value, which may be a password in an environment variable.
        let expected = error.to_string().rsplit_once(", expected ").map(|(_, expected)| expected.to_owned());
        match expected {
            Some(expected) => format!("something below {pointer} is of a wrong type: {expected} is expected"),
            None => format!("something below {pointer} is not as Kubernetes wants it"),
        }
    })
}

fn renew(kind: &str, namespace: &str, name: &str) -> String {
    match kind {
        "Deployment" | "StatefulSet" | "DaemonSet" => {
            format!("`kubectl rollout restart {}/{name} -n {namespace}`", kind.to_lowercase())
        }
        _ => "delete them".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_pod_and_workload_of_a_file_is_read() {
        let text = b"
apiVersion: v1
kind: Pod
metadata: { name: one, namespace: team-a, labels: { app: one } }
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
    metadata:
      name: nightly
      labels: { team: a }
      ownerReferences: [{ apiVersion: v1, kind: Operator, name: o, uid: u, controller: true }]
    spec: { jobTemplate: { spec: { template: { spec: { containers: [{ name: c, image: c.example.com/n }] } } } } }
";
        let subjects = read(text, Some("team-b")).unwrap();
        let labels = |key: &str, value: &str| Labels::from([(key.to_owned(), value.to_owned())]);
        assert_eq!(
            subjects,
            [
                Subject {
                    title: "Pod team-a/one".to_owned(),
                    namespace: "team-a".to_owned(),
                    service_account: "builder".to_owned(),
                    pull_secrets: vec!["regcred".to_owned(), String::new()],
                    images: ["a.example.com/i", "a.example.com/c", "b.example.com/v"]
                        .map(String::from)
                        .into(),
                    kind: Kind::PodToCome,
                    labels: labels("app", "one"),
                    is_owned: false,
                },
                Subject {
                    title: "CronJob team-b/nightly".to_owned(),
                    namespace: "team-b".to_owned(),
                    service_account: "default".to_owned(),
                    pull_secrets: Vec::new(),
                    images: vec!["c.example.com/n".to_owned()],
                    kind: Kind::Workload {
                        renew: "delete them".to_owned(),
                        labels: labels("team", "a"),
                        exists: false
                    },
                    labels: Labels::new(),
                    is_owned: true,
                },
            ]
        );
    }

    #[test]
    fn a_manifest_without_its_spec_is_said_to_be_wrong() {
        let error = read(b"kind: Deployment\nmetadata: { name: web }\n", None).unwrap_err();
        assert_eq!(error, "Deployment web has no /spec/template/spec");
    }

    #[test]
    fn what_is_wrong_with_a_file_is_told_without_a_word_of_it() {
        let secret = "kind: Secret\nstringData:\n  password: MARKER\n";
        for text in [
            &format!("{secret}---\nkind: [Pod\n"),
            &format!("{secret}  broken\n"),
            &format!("{secret}  \"MARKER\n"),
            "kind: Secret\nMARKER: 1\nMARKER: 2\n",
            "kind: Secret\ndata: *MARKER\n",
            "kind: Secret\ndata: !!int MARKER\n",
        ] {
            let error = read(text.as_bytes(), None).unwrap_err();
            assert!(error.starts_with("is no YAML: line ") && !error.contains("MARKER"), "{error}\n{text}");
        }
        let check = |text: &str, expected: &str| {
            assert_eq!(read(text.as_bytes(), None).unwrap_err(), expected);
        };
        check(
            "kind: Pod\nmetadata: { name: web }\nspec: { containers: [{ env: [{ name: a, value: 4711 }] }] }\n",
            "Pod web: something below /spec is of a wrong type: a string is expected",
        );
        check(
            "kind: Pod\nmetadata: { name: web }\nspec: MARKER\n",
            "Pod web: something below /spec is of a wrong type: PodSpec is expected",
        );
    }

    #[test]
    fn a_file_that_is_too_large_is_refused_as_such() {
        let error = read(&vec![b' '; MAX_BYTES + 1], None).unwrap_err();
        assert_eq!(error, "has more than 16 MiB: explain its parts, one after the other");
        let many = "- a\n".repeat(300_000);
        let error = read(many.as_bytes(), None).unwrap_err();
        assert_eq!(error, "holds too many values at once: explain its parts, one after the other");
    }

    #[test]
    fn a_file_that_is_not_there_is_called_a_manifest() {
        let error = read_file(Path::new("/there/is/none.yaml"), None).unwrap_err();
        assert_eq!(error.to_string(), "failed to read the manifest /there/is/none.yaml");
    }
}
