//! Reads facts from the cluster: the object to explain, and everything that decides about it.

use std::collections::BTreeMap;

use acr_credential_core::policy::Shape;
use k8s_openapi::api::core::v1::{self as core, Namespace, Pod, Secret};
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::api::{ApiResource, DynamicObject, GetParams};
use kube::core::{GroupVersionKind, PartialObjectMeta, Request, Selector};
use kube::{Client, Resource as _};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

use super::manifest::Manifest;
use super::{Cluster, Kind, Subject, pull_secrets};
use crate::cluster::observed::ServiceAccount;
use crate::commands::arguments::ClusterArgs;
use crate::commands::cluster::{self, Seen, call, read, unexpected};
use crate::commands::setup::CommandError;
use crate::kubernetes::{Collection, FIELD_MANAGER, Metadata, at, decode, request};

/// Reads the object to explain, and the lists of the Pods that it has created.
pub(crate) async fn subject(
    client: &Client,
    namespace: &str,
    (kind, name): (&Kind, &str),
) -> Result<Subject, CommandError> {
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(kind.group, kind.version, kind.name));
    let objects = Request::new(DynamicObject::url_path(&resource, Some(namespace)));
    let action = format!("read the {} {namespace}/{name}", kind.name);
    let object = call(&action, request(client, objects.get(name, &GetParams::default()))).await?;
    let object: Value = decode(&object).map_err(|error| unexpected(&action, &error))?;
    let lists_of_pods = match kind.shape {
        Shape::Pod => Seen::Absent,
        _ => Seen::of(lists_of_pods(client, namespace, &object).await)?,
    };
    Ok(Subject { lists_of_pods, ..subject_of(kind.name, object)? })
}

/// Converts an object of the cluster to a subject.
fn subject_of(kind: &str, mut object: Value) -> Result<Subject, CommandError> {
    // The response may omit the kind.
    if let Some(object) = object.as_object_mut() {
        object.insert("kind".to_owned(), kind.into());
    }
    let mut found = Manifest::default();
    found.read(&object, "default", true).map_err(CommandError::Refused)?;
    found.subjects.pop().ok_or_else(|| CommandError::Refused(format!("{kind} creates no Pods")))
}

/// Reads the lists of the Pods that a workload's selector finds, from all pages; returns `None` without a selector.
async fn lists_of_pods(
    client: &Client,
    namespace: &str,
    workload: &Value,
) -> Result<Option<Vec<Vec<String>>>, CommandError> {
    let selector = match workload.pointer("/spec/selector") {
        None => return Ok(None),
        Some(selector) if selector.get("matchLabels").or(selector.get("matchExpressions")).is_some() => {
            LabelSelector::deserialize(selector)
        }
        // The selector of a ReplicationController.
        Some(labels) => Option::deserialize(labels)
            .map(|match_labels| LabelSelector { match_labels, ..LabelSelector::default() }),
    };
    let selector = selector.map_err(|error| CommandError::Refused(format!("selector: {error}")))?;
    let selector =
        Selector::try_from(selector).map_err(|error| CommandError::Refused(format!("selector: {error}")))?;
    let pods = Collection::whole::<Pod>(Some(namespace)).with_labels(&selector.to_string());
    let action = format!("list pods in {namespace}");
    cluster::list(client, &pods, &action, |pod| decode(pod).map(list_that_matters)).await.map(Some)
}

/// Returns the list of a Pod; `None` if the Pod has finished or is being deleted, because it does not pull any more.
fn list_that_matters(pod: Pod) -> Option<Vec<String>> {
    let phase = pod.status.and_then(|status| status.phase);
    let has_finished = matches!(phase.as_deref(), Some("Succeeded" | "Failed"));
    let is_over = has_finished || pod.metadata.deletion_timestamp.is_some();
    (!is_over).then(|| pull_secrets(&pod.spec.unwrap_or_default()))
}

/// Reads the surroundings of a subject: its namespace, service account and pull secret, as far as the user may.
pub(crate) async fn surroundings(
    client: &Client,
    subject: &Subject,
    ClusterArgs { pull_secret, .. }: &ClusterArgs,
    read_secret: bool,
) -> Result<Cluster, CommandError> {
    let (place, parameters) = (subject.namespace.as_str(), GetParams::default());
    let namespace = at::<Namespace>(None).get_metadata(place, &parameters);
    let action = format!("get namespaces named {place}");
    let namespace = read(client, &action, namespace, decode::<PartialObjectMeta<Namespace>>).await;
    let secret = Seen::of(cluster::secret(client, place, pull_secret).await)?;
    let hosts = if read_secret && secret.found().is_some() {
        let secret = at::<Secret>(Some(place)).get(pull_secret, &parameters);
        let hosts = |secret: &str| decode(secret).map(|secret| hosts_in(&secret));
        read(client, "read the pull secret", secret, hosts).await?
    } else {
        None
    };
    let report = match &secret {
        Seen::Absent => Seen::of(last_warning(client, place, pull_secret).await)?,
        Seen::Found(_) | Seen::Unknown(_) => Seen::Absent,
    };
    Ok(Cluster {
        is_queried: true,
        namespace: Seen::of(namespace)?.map(|namespace| namespace.metadata),
        account: Seen::of(account(client, subject).await)?,
        secret: secret.map(|secret| secret.facts),
        report,
        hosts,
    })
}

/// Returns the hosts in a pull secret. No other part of its data is read.
fn hosts_in(secret: &Secret) -> Vec<String> {
    #[derive(Deserialize)]
    struct Document {
        #[expect(clippy::zero_sized_map_values, reason = "the passwords below the keys are not kept")]
        auths: BTreeMap<String, IgnoredAny>,
    }
    let data = secret.data.as_ref().and_then(|data| data.get(".dockerconfigjson"));
    let document = data.and_then(|data| serde_json::from_slice::<Document>(&data.0).ok());
    document.map(|document| document.auths.into_keys().collect()).unwrap_or_default()
}

/// Returns the sidecar's last warning about the pull secret, for example that a quota leaves no room for it.
async fn last_warning(
    client: &Client,
    namespace: &str,
    pull_secret: &str,
) -> Result<Option<String>, CommandError> {
    let selector = format!("regarding.name={pull_secret},reportingController={FIELD_MANAGER},type=Warning");
    let events = Collection::whole::<Event>(Some(namespace)).with_fields(&selector);
    let action = format!("list events.events.k8s.io in {namespace}");
    let all = cluster::list(client, &events, &action, |event| {
        decode::<Event>(event).map(|event| Some((event.event_time.map(|time| time.0), event.note)))
    });
    let last = all.await?.into_iter().max().and_then(|(_, note)| note);
    // Tenants can write Events, too.
    Ok(last.map(|note| note.chars().filter(|c| !c.is_control()).collect()))
}

/// Reads the service account.
async fn account(client: &Client, subject: &Subject) -> Result<Option<ServiceAccount>, CommandError> {
    let Subject { namespace, service_account: name, .. } = subject;
    let account = at::<core::ServiceAccount>(Some(namespace)).get(name, &GetParams::default());
    let whole = |object: &str| {
        let entries = decode::<core::ServiceAccount>(object)?.image_pull_secrets.into_iter().flatten();
        let names = entries.map(|entry| entry.name.into()).collect();
        Ok(ServiceAccount::written(&Metadata::parse(object)?, names))
    };
    read(client, &format!("get serviceaccounts named {name} in {namespace}"), account, whole).await
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use k8s_openapi::ByteString;

    use super::*;
    use crate::telemetry::testing::api_server;

    #[test]
    fn pods_that_pull_nothing_any_more_do_not_count() {
        let check = |metadata: Value, phase: &str, expected: Option<&[&str]>| {
            let pod = json!({
                "metadata": metadata,
                "spec": { "containers": [], "imagePullSecrets": [{ "name": "a" }] },
                "status": { "phase": phase },
            });
            let list = list_that_matters(serde_json::from_value(pod).unwrap());
            let expected = expected.map(|names| names.iter().map(|name| (*name).to_owned()).collect());
            assert_eq!(list, expected, "{phase}");
        };
        check(json!({}), "Running", Some(&["a"]));
        check(json!({}), "Pending", Some(&["a"]));
        check(json!({}), "Succeeded", None);
        check(json!({}), "Failed", None);
        check(json!({ "deletionTimestamp": "2030-01-01T00:00:00Z" }), "Running", None);
    }

    #[test]
    fn an_object_of_the_cluster_is_known_to_be_there_with_its_labels_and_owner() {
        let owner = json!({ "apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "uid": "u", "controller": true });
        let object = json!({
            "metadata": { "name": "web-1", "namespace": "team-a", "labels": { "own": "x" }, "ownerReferences": [owner] },
            "spec": { "template": { "metadata": { "labels": { "app": "web" } }, "spec": { "containers": [] } } },
        });
        let subject = subject_of("ReplicaSet", object.clone()).unwrap();
        assert!(subject.labels.contains_key("app"));
        assert!(subject.exists && !subject.is_pod() && subject.own_labels.contains_key("own"));
        let pod = json!({ "metadata": object["metadata"], "spec": { "containers": [] } });
        let subject = subject_of("Pod", pod).unwrap();
        assert_eq!(
            (subject.is_pod(), subject.exists, subject.title.as_str()),
            (true, true, "Pod team-a/web-1")
        );
        assert!(subject.labels.contains_key("own"));
    }

    #[tokio::test]
    async fn the_pods_of_all_pages_are_read() {
        let pod = |name: &str, list: &Value| {
            let spec = json!({ "containers": [], "imagePullSecrets": list });
            json!({ "metadata": { "name": name }, "spec": spec })
        };
        let client = api_server(move |_, path, _| {
            assert!(path.contains("labelSelector=app%3Dweb") && path.contains("limit=250"), "{path}");
            let page = if path.contains("continue=more") {
                json!({ "metadata": {}, "items": [pod("b", &json!([]))] })
            } else {
                json!({ "metadata": { "continue": "more" }, "items": [pod("a", &json!([{ "name": "ours" }]))] })
            };
            (200, page)
        });
        let workload = json!({ "spec": { "selector": { "matchLabels": { "app": "web" } } } });
        let lists = lists_of_pods(&client, "team-a", &workload).await.unwrap();
        assert_eq!(lists, Some(vec![vec!["ours".to_owned()], Vec::new()]));
    }

    #[tokio::test]
    async fn the_last_warning_about_a_missing_pull_secret_is_read_on_one_line() {
        let client = api_server(|_, path, _| {
            assert!(path.contains("/apis/events.k8s.io/v1/namespaces/team-a/events"), "{path}");
            let event = |time: &str, note: &str| json!({ "metadata": {}, "eventTime": time, "note": note });
            let events = [
                event("2030-01-01T00:00:02.000000Z", "no\u{1b}[31m room"),
                event("2030-01-01T00:00:01.000000Z", "older"),
            ];
            (200, json!({ "metadata": {}, "items": events }))
        });
        let found = last_warning(&client, "team-a", "ours").await.unwrap();
        assert_eq!(found.as_deref(), Some("no[31m room"));
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
