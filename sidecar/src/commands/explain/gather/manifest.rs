//! Converts manifests, from a file or from an object of the cluster, to subjects.
//!
//! A file may contain Secrets beside the Deployment, so no message quotes the file.

use std::path::Path;

use acr_credential_core::policy::Shape;
use k8s_openapi::api::core::v1::PodSpec;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::{KINDS, Kind, Labels, Subject, images, pull_secrets, service_account};
use crate::commands::cluster::Seen;
use crate::commands::report;
use crate::commands::setup::{self, CommandError};
use crate::telemetry::policies::{POLICIES, Policy};

/// The size limit of a file: many times the size of the largest object that a cluster accepts, and easy to hold in memory.
const MAX_BYTES: usize = 16 << 20;

/// The content of a file.
#[derive(Debug, Default)]
pub(crate) struct Manifest {
    pub(crate) subjects: Vec<Subject>,
    /// Objects without a pod template, by kind and name.
    pub(crate) passed_over: Vec<String>,
}

/// Reads the objects of a file; those without a namespace are in this one.
pub(crate) fn read_objects(
    path: &Path,
    objects: &[Value],
    namespace: &str,
) -> Result<Manifest, CommandError> {
    let refused = |problem| CommandError::Refused(format!("{}: {problem}", path.display()));
    let mut manifest = Manifest::default();
    for object in objects {
        manifest.read(object, namespace, false).map_err(refused)?;
    }
    let Manifest { subjects, passed_over } = &manifest;
    if subjects.is_empty() {
        let those =
            if passed_over.is_empty() { String::new() } else { format!(": {}", passed_over.join(", ")) };
        return Err(refused(format!("contains no Pod, and nothing with the template of a Pod{those}")));
    }
    Ok(manifest)
}

/// Reads all objects of a file, including those in lists; `-` is standard input.
pub(crate) fn objects_of(path: &Path) -> Result<Vec<Value>, CommandError> {
    let failed = |source| CommandError::ReadManifest { path: path.to_owned(), source };
    let text = setup::read_just_beyond(MAX_BYTES, path).map_err(failed)?;
    objects(&text).map_err(|problem| CommandError::Refused(format!("{}: {problem}", path.display())))
}

/// Returns the policies among these objects, on the assumption that they are in force.
pub(crate) fn policies_in(objects: &[Value]) -> Vec<(&'static str, Option<Policy>)> {
    let named = |wanted: &str| {
        let is_meant = |object: &&Value| {
            text(object, "/kind") == Some("ClusterAdmissionPolicy")
                && text(object, "/metadata/name") == Some(wanted)
        };
        let spec = objects.iter().find(is_meant)?.get("spec")?.clone();
        Some(Policy { spec, status: Some("active".to_owned()) })
    };
    POLICIES.map(|name| (name, named(name))).into()
}

/// Reads all objects of a text as `kubectl` does: documents of YAML, or JSON documents one after the other, including
/// those in lists. Of equal keys, the last one counts.
pub(crate) fn objects(text: &[u8]) -> Result<Vec<Value>, String> {
    const TOO_MUCH: &str = "explain its parts, one after the other";
    if text.len() > MAX_BYTES {
        return Err(format!("is larger than {} MiB: {TOO_MUCH}", MAX_BYTES >> 20));
    }
    let text = std::str::from_utf8(text).map_err(|_| "is not UTF-8 text: save it as UTF-8".to_owned())?;
    let (mut documents, read) = json_documents(text);
    // Empty lines replace the lines that were already read, so that line numbers are those of the file.
    let (before, rest) = text.split_at_checked(read).unwrap_or((text, ""));
    let rest = "\n".repeat(before.matches('\n').count()) + rest;
    let options = serde_saphyr::options! {
        with_snippet: false,
        duplicate_keys: serde_saphyr::options::DuplicateKeyPolicy::LastWins,
    };
    documents.extend(serde_saphyr::from_multiple_with_options::<Value>(&rest, options).map_err(|error| {
        match error {
            serde_saphyr::Error::Budget { .. } => format!("contains too many values: {TOO_MUCH}"),
            error => format!("is not valid YAML{}", report::place_in(&error)),
        }
    })?);
    let mut objects = Vec::new();
    for document in documents {
        flatten(document, &mut objects);
    }
    Ok(objects)
}

/// Reads the JSON documents at the beginning of a text, and returns them with the place where they end.
fn json_documents(text: &str) -> (Vec<Value>, usize) {
    let (mut documents, mut read) = (Vec::new(), 0);
    loop {
        let rest = text.get(read..).unwrap_or_default().trim_start();
        let rest = rest.strip_prefix("---").unwrap_or(rest).trim_start();
        let mut stream = serde_json::Deserializer::from_str(rest).into_iter::<Value>();
        let known = documents.len();
        if rest.starts_with('{') {
            documents.extend(stream.by_ref().map_while(Result::ok));
        }
        if documents.len() == known {
            return (documents, read);
        }
        read = text.len() - rest.len() + stream.byte_offset();
    }
}

/// Adds the document, or the objects in it if it is a list. Objects in a list may omit their kind and version. An empty
/// document adds nothing.
fn flatten(document: Value, objects: &mut Vec<Value>) {
    let kind = text(&document, "/kind").and_then(|kind| kind.strip_suffix("List"));
    let (Some(kind), Some(items)) = (kind, document.get("items").and_then(Value::as_array)) else {
        objects.extend(Some(document).filter(|document| !document.is_null()));
        return;
    };
    for mut item in items.iter().cloned() {
        if let (Some(fields), false) = (item.as_object_mut(), kind.is_empty()) {
            fields.entry("kind").or_insert_with(|| kind.into());
            fields.entry("apiVersion").or_insert_with(|| document.get("apiVersion").cloned().into());
        }
        flatten(item, objects);
    }
}

impl Manifest {
    /// Reads one Pod, workload, or object of any kind that contains templates of Pods. `exists` states whether the
    /// object is in the cluster.
    pub(crate) fn read(&mut self, object: &Value, namespace: &str, exists: bool) -> Result<(), String> {
        let kind = text(object, "/kind").unwrap_or("an object without a kind");
        let group = text(object, "/apiVersion")
            .map(|version| version.rsplit_once('/').map_or("", |(group, _)| group));
        let is_it = |known: &&Kind| known.name == kind && group.is_none_or(|group| group == known.group);
        let shape = KINDS.iter().find(is_it).map(|known| known.shape);
        let templates = match shape {
            None => templates_in(object),
            Some(Shape::Pod) => vec![String::new()],
            Some(Shape::JobTemplate) => vec!["/spec/jobTemplate/spec/template".to_owned()],
            Some(_) => vec!["/spec/template".to_owned()],
        };
        let name = text(object, "/metadata/name").or_else(|| text(object, "/metadata/generateName"));
        let name = name.unwrap_or("without a name");
        if templates.is_empty() {
            self.passed_over.push(format!("{kind} {name}"));
            return Ok(());
        }
        let namespace = text(object, "/metadata/namespace").unwrap_or(namespace);
        let wrong = |problem: String| format!("{kind} {name}: {problem}");
        for template in &templates {
            let spec_at = format!("{template}/spec");
            let spec: PodSpec = below(object, &spec_at)
                .map_err(wrong)?
                .ok_or_else(|| wrong(format!("has no {}", dotted(&spec_at))))?;
            let labels: Option<Labels> =
                below(object, &format!("{template}/metadata/labels")).map_err(wrong)?;
            let own_labels: Option<Labels> = below(object, "/metadata/labels").map_err(wrong)?;
            let of_many =
                if templates.len() > 1 { format!(" ({})", dotted(template)) } else { String::new() };
            let is_pod = template.is_empty();
            let pod = if is_pod {
                object.clone()
            } else {
                let owner = json!({ "kind": kind, "name": name, "controller": true });
                let metadata = json!({ "generateName": format!("{name}-"), "ownerReferences": [owner] });
                json!({ "metadata": metadata, "spec": object.pointer(&spec_at) })
            };
            let mirror = object.pointer("/metadata/annotations/kubernetes.io~1config.mirror");
            self.subjects.push(Subject {
                title: format!("{kind} {namespace}/{name}{of_many}"),
                kind: kind.to_owned(),
                name: name.to_owned(),
                namespace: namespace.to_owned(),
                shape,
                exists,
                service_account: service_account(&spec).to_owned(),
                pull_secrets: pull_secrets(&spec),
                images: images(&spec),
                own_labels: own_labels.unwrap_or_default(),
                labels: labels.unwrap_or_default(),
                is_mirror: is_pod && mirror.is_some(),
                object: object.clone(),
                pod,
                lists_of_pods: Seen::Absent,
            });
        }
        Ok(())
    }
}

/// Returns where an object of another kind contains templates of Pods: every part with containers in its spec, except
/// for the object itself.
fn templates_in(object: &Value) -> Vec<String> {
    fn look(value: &Value, pointer: &str, found: &mut Vec<String>) {
        let is_template = value.pointer("/spec/containers").is_some_and(Value::is_array);
        match value {
            Value::Object(_) if is_template && !pointer.is_empty() => found.push(pointer.to_owned()),
            Value::Object(fields) => {
                for (key, value) in fields {
                    look(value, &format!("{pointer}/{}", key.replace('~', "~0").replace('/', "~1")), found);
                }
            }
            Value::Array(items) => {
                for (at, item) in items.iter().enumerate() {
                    look(item, &format!("{pointer}/{at}"), found);
                }
            }
            _ => {}
        }
    }
    let mut found = Vec::new();
    look(object, "", &mut found);
    found
}

fn text<'a>(object: &'a Value, pointer: &str) -> Option<&'a str> {
    object.pointer(pointer).and_then(Value::as_str).filter(|text| !text.is_empty())
}

/// Formats a pointer as people write it: `spec.template`.
fn dotted(pointer: &str) -> String {
    pointer.trim_start_matches('/').replace('/', ".").replace("~1", "/")
}

/// Returns the value at the pointer; `None` if it is absent or `null`.
fn below<T: DeserializeOwned>(object: &Value, pointer: &str) -> Result<Option<T>, String> {
    let Some(value) = object.pointer(pointer).filter(|value| !value.is_null()) else { return Ok(None) };
    serde_path_to_error::deserialize(value).map(Some).map_err(|error| {
        let place = match (dotted(pointer), error.path().to_string().as_str()) {
            (place, ".") => place,
            (place, path) if path.starts_with('[') => place + path,
            (place, path) => format!("{place}.{path}"),
        };
        // The whole message quotes the value, which may be a password in an environment variable.
        let error = error.inner().to_string();
        let expected = match error.rsplit_once(", expected ").map(|(_, expected)| expected) {
            Some("a string") => "a string is expected",
            Some("a boolean") => "true or false is expected",
            Some("a sequence") => "a list is expected",
            Some("i32" | "i64") => "a whole number is expected",
            Some("a map") => "an object is expected",
            Some(name) if name.starts_with(|c: char| c.is_ascii_uppercase()) => "an object is expected",
            _ => "is not in the form that Kubernetes expects",
        };
        format!("{place}: {expected}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Manifest, String> {
        let mut manifest = Manifest::default();
        for object in objects(text.as_bytes())? {
            manifest.read(&object, "team-b", false)?;
        }
        Ok(manifest)
    }

    #[track_caller]
    fn check_titles(text: &str, subjects: &[&str], passed_over: &[&str]) {
        let manifest = read(text).unwrap();
        let titles: Vec<_> = manifest.subjects.iter().map(|subject| subject.title.as_str()).collect();
        assert_eq!(titles, subjects);
        assert_eq!(manifest.passed_over, passed_over);
    }

    #[test]
    fn each_pod_and_workload_of_a_file_is_read() {
        let text = "
apiVersion: v1
kind: Pod
metadata: { name: one, namespace: team-a, labels: { app: one } }
spec:
  serviceAccount: builder
  imagePullSecrets: [{ name: regcred }, {}]
  initContainers: [{ name: i, image: a.example.com/i }]
  containers: [{ name: c, image: a.example.com/c }, { name: d, image: a.example.com/i }, { name: e }]
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
    metadata: { name: nightly, labels: { team: a } }
    spec: { jobTemplate: { spec: { template: { spec: { containers: [{ name: c, image: c.example.com/n }] } } } } }
";
        let Manifest { subjects, passed_over } = read(text).unwrap();
        assert_eq!(passed_over, ["Service web"]);
        let labels = |key: &str, value: &str| Labels::from([(key.to_owned(), value.to_owned())]);
        let [pod, job] = <[Subject; 2]>::try_from(subjects).unwrap();
        assert_eq!((pod.title.as_str(), pod.namespace.as_str()), ("Pod team-a/one", "team-a"));
        assert_eq!(pod.service_account, "builder");
        assert!(pod.is_pod() && !pod.exists);
        assert_eq!(pod.pull_secrets, ["regcred", ""]);
        assert_eq!(pod.images, ["a.example.com/i", "a.example.com/c", "", "b.example.com/v"]);
        assert_eq!(pod.labels, labels("app", "one"));
        assert_eq!((job.title.as_str(), job.service_account.as_str()), ("CronJob team-b/nightly", "default"));
        assert_eq!(job.images, ["c.example.com/n"]);
        assert_eq!((job.kind.as_str(), job.shape), ("CronJob", Some(Shape::JobTemplate)));
        assert_eq!((job.recreation().as_str(), job.own_labels), ("delete them", labels("team", "a")));
        assert!(!job.exists);
    }

    #[test]
    fn kinds_with_a_pod_template_are_explained_by_it_and_others_are_named() {
        let template = "{ spec: { containers: [{ name: c, image: a.example.com/c }] } }";
        let one = |version: &str, kind: &str, spec: &str| {
            let spec = spec.replace("TEMPLATE", template);
            format!("---\napiVersion: {version}\nkind: {kind}\nmetadata: {{ name: x }}\nspec: {spec}\n")
        };
        let text = [
            one("apps.kruise.io/v1alpha1", "CloneSet", "{ template: TEMPLATE }"),
            one("argoproj.io/v1alpha1", "Rollout", "{ template: TEMPLATE }"),
            one("serving.knative.dev/v1", "Service", "{ template: TEMPLATE }"),
            one("batch.volcano.sh/v1alpha1", "Job", "{ tasks: [{ template: TEMPLATE }] }"),
            one(
                "kubeflow.org/v1",
                "PyTorchJob",
                "{ specs: { Master: { template: TEMPLATE }, Worker: { template: TEMPLATE } } }",
            ),
            one("argoproj.io/v1alpha1", "Workflow", "{ templates: [{ container: { image: a } }] }"),
            one("apps.kruise.io/v1alpha1", "SidecarSet", "{ containers: [{ image: a }] }"),
            "---\nmetadata: { generateName: y- }\n---\n".to_owned(),
        ];
        let subjects = [
            "CloneSet team-b/x",
            "Rollout team-b/x",
            "Service team-b/x",
            "Job team-b/x",
            "PyTorchJob team-b/x (spec.specs.Master.template)",
            "PyTorchJob team-b/x (spec.specs.Worker.template)",
        ];
        check_titles(
            &text.concat(),
            &subjects,
            &["Workflow x", "SidecarSet x", "an object without a kind y-"],
        );
        let manifest = read(&text.concat()).unwrap();
        assert!(manifest.subjects.iter().all(|subject| subject.shape.is_none()));
    }

    #[test]
    fn documents_are_read_as_kubectl_reads_them() {
        let pod = |name: &str| format!(r#"{{"kind":"Pod","metadata":{{"name":"{name}"}},"spec":{{}}}}"#);
        let (a, b) = (pod("a"), pod("b"));
        let both: &[&str] = &["Pod team-b/a", "Pod team-b/b"];
        check_titles(&format!("{a}{b}"), both, &[]);
        check_titles(&format!("\n{a}\n{b}\n"), both, &[]);
        check_titles(&format!("{a}\n---\n{b}\n"), both, &[]);
        check_titles(&format!("---\n{a}\n---\nkind: Pod\nmetadata: {{ name: b }}\nspec: {{}}\n"), both, &[]);
        check_titles(&format!("# c\n---\n---\n{a}\n...\n---\n{b}"), both, &[]);
        check_titles("{kind: Pod, metadata: {name: a}, spec: {}}\n", &both[..1], &[]);
        check_titles("kind: PodList\nitems: [{ metadata: { name: a }, spec: {} }]\n", &both[..1], &[]);
        check_titles(
            "kind: List\nitems: [{ kind: Pod, metadata: { name: a }, spec: {} }]\n",
            &both[..1],
            &[],
        );
        // If a key occurs twice, the last one counts.
        check_titles("kind: Pod\nmetadata: { name: x, name: a }\nspec: {}\n", &both[..1], &[]);
        check_titles(r#"{"kind":"Service","kind":"Pod","metadata":{"name":"a"},"spec":{}}"#, &both[..1], &[]);
        let error = read(&format!("{a}\n---\nkind: [\n")).unwrap_err();
        assert!(error.starts_with("is not valid YAML: line 3"), "{error}");
    }

    #[test]
    fn a_manifest_without_its_spec_is_said_to_be_wrong() {
        let error = read("kind: Deployment\nmetadata: { name: web }\n").unwrap_err();
        assert_eq!(error, "Deployment web: has no spec.template.spec");
    }

    #[test]
    fn what_is_wrong_with_a_file_is_told_without_a_word_of_it() {
        let secret = "kind: Secret\nstringData:\n  password: MARKER\n";
        for text in [
            &format!("{secret}---\nkind: [Pod\n"),
            &format!("{secret}  broken\n"),
            &format!("{secret}  \"MARKER\n"),
            "kind: Secret\ndata: *MARKER\n",
            "kind: Secret\ndata: !!int MARKER\n",
            "{\"kind\": \"Secret\", \"MARKER\n",
        ] {
            let error = read(text).unwrap_err();
            assert!(
                error.starts_with("is not valid YAML: line ") && !error.contains("MARKER"),
                "{error}\n{text}"
            );
        }
        let check = |spec: &str, expected: &str| {
            let error = read(&format!("kind: Pod\nmetadata: {{ name: web }}\nspec: {spec}\n")).unwrap_err();
            assert_eq!(error, format!("Pod web: {expected}"));
        };
        check(
            "{ containers: [{ env: [{ name: a, value: 4711 }] }] }",
            "spec.containers[0].env[0].value: a string is expected",
        );
        check("MARKER", "spec: an object is expected");
        check("[]", "spec: an object is expected");
        check("{ containers: { name: MARKER } }", "spec.containers: a list is expected");
        check("{ containers: [], hostNetwork: MARKER }", "spec.hostNetwork: true or false is expected");
        check("{ containers: [], priority: MARKER }", "spec.priority: a whole number is expected");
        check("{ containers: [], nodeSelector: MARKER }", "spec.nodeSelector: an object is expected");
        let error = read(
            "kind: Job\nmetadata: { name: x }\nspec: { template: { metadata: { labels: { a: 1 } }, spec: {} } }\n",
        );
        assert_eq!(error.unwrap_err(), "Job x: spec.template.metadata.labels.a: a string is expected");
    }

    #[test]
    fn a_file_that_is_too_large_is_refused_as_such() {
        let error = objects(&vec![b' '; MAX_BYTES + 1]).unwrap_err();
        assert_eq!(error, "is larger than 16 MiB: explain its parts, one after the other");
        let many = "- a\n".repeat(300_000);
        let error = objects(many.as_bytes()).unwrap_err();
        assert_eq!(error, "contains too many values: explain its parts, one after the other");
    }

    #[test]
    fn a_file_that_is_not_there_is_called_a_manifest() {
        let error = objects_of(Path::new("/there/is/none.yaml")).unwrap_err();
        assert_eq!(error.to_string(), "failed to read the manifest /there/is/none.yaml");
    }

    #[test]
    fn a_file_in_which_nothing_can_be_explained_is_refused_and_its_objects_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("m.yaml");
        std::fs::write(&path, "kind: Workflow\nmetadata: { generateName: hello- }\n").unwrap();
        let error = read_objects(&path, &objects_of(&path).unwrap(), "default").unwrap_err().to_string();
        assert!(
            error.ends_with("contains no Pod, and nothing with the template of a Pod: Workflow hello-"),
            "{error}"
        );
    }
}
