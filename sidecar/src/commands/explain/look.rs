//! What the cluster has: the object that is asked for, and all that decides about it.

use k8s_openapi::api::core::v1::{Namespace, Pod, Secret, ServiceAccount};
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::api::{ApiResource, DynamicObject, GetParams};
use kube::core::{GroupVersionKind, PartialObjectMeta, Request, Selector};
use kube::{Client, Resource as _, ResourceExt as _};
use serde::Deserialize as _;
use serde_json::Value;

use super::super::arguments::ClusterArgs;
use super::super::cluster::{self, call, unexpected};
use super::super::setup::CommandError;
use super::chain::Cluster;
use super::manifest::Manifest;
use super::policy::{Account, Policies};
use super::subject::Subject;
use super::{Named, subject};
use crate::cluster::observed::ENFORCE_MOUNTABLE;
use crate::configuration::Configuration;
use crate::kubernetes::FIELD_MANAGER;
use crate::kubernetes::{Collection, at, decode, request};
use crate::telemetry::policies;

/// What is to be explained, and the lists of the Pods that it has made.
pub(super) type Found = (Subject, Vec<Vec<String>>);

/// Reads the object that was asked for, and the Pods that it has made.
pub(super) async fn from_cluster(
    client: &Client,
    namespace: &str,
    (named, name): (Named, &str),
) -> Result<Found, CommandError> {
    match named {
        Named::Pod => {
            let pods = at::<Pod>(Some(namespace));
            let pod = read(client, &format!("read the Pod {namespace}/{name}"), &pods, name).await?;
            Ok((subject_of("Pod", pod)?, Vec::new()))
        }
        Named::Workload(kind, version, plural) => {
            let (group, version) = version.split_once('/').unwrap_or(("", version));
            let gvk = GroupVersionKind::gvk(group, version, kind);
            let resource = ApiResource::from_gvk_with_plural(&gvk, plural);
            let objects = Request::new(DynamicObject::url_path(&resource, Some(namespace)));
            let object = read(client, &format!("read the {kind} {namespace}/{name}"), &objects, name).await?;
            let lists = lists_of_pods(client, namespace, &object).await?;
            Ok((subject_of(kind, object)?, lists))
        }
    }
}

/// An object of the cluster.
async fn read(client: &Client, action: &str, objects: &Request, name: &str) -> Result<Value, CommandError> {
    let object = call(action, request(client, objects.get(name, &GetParams::default()))).await?;
    decode(&object).map_err(|error| unexpected(action, &error))
}

/// What an object of the cluster says.
fn subject_of(kind: &str, mut object: Value) -> Result<Subject, CommandError> {
    // An answer need not say its kind.
    if let Some(object) = object.as_object_mut() {
        object.insert("kind".to_owned(), kind.into());
    }
    let mut found = Manifest::default();
    found.read(&object, "default", true).map_err(CommandError::Refused)?;
    found.subjects.pop().ok_or_else(|| CommandError::Refused(format!("{kind} makes no Pods")))
}

/// The lists of the Pods that a workload's selector finds, all pages; of one without a selector, none.
async fn lists_of_pods(
    client: &Client,
    namespace: &str,
    workload: &Value,
) -> Result<Vec<Vec<String>>, CommandError> {
    let selector = match workload.pointer("/spec/selector") {
        None => return Ok(Vec::new()),
        Some(selector) if selector.get("matchLabels").or(selector.get("matchExpressions")).is_some() => {
            LabelSelector::deserialize(selector)
        }
        // Of a ReplicationController.
        Some(labels) => Option::deserialize(labels)
            .map(|match_labels| LabelSelector { match_labels, ..LabelSelector::default() }),
    };
    let selector = selector.map_err(|error| CommandError::Refused(format!("selector: {error}")))?;
    let selector =
        Selector::try_from(selector).map_err(|error| CommandError::Refused(format!("selector: {error}")))?;
    let pods = Collection::whole::<Pod>(Some(namespace)).with_labels(&selector.to_string());
    cluster::list(client, &pods, "list its Pods", |pod| decode(pod).map(list_that_matters)).await
}

/// The list of a Pod; none of one that has finished, or is about to go: it pulls nothing any more.
fn list_that_matters(pod: Pod) -> Option<Vec<String>> {
    let phase = pod.status.and_then(|status| status.phase);
    let has_finished = matches!(phase.as_deref(), Some("Succeeded" | "Failed"));
    let is_over = has_finished || pod.metadata.deletion_timestamp.is_some();
    (!is_over).then(|| subject::pull_secrets(&pod.spec.unwrap_or_default()))
}

/// The policies; that they may not be read spoils nothing else.
pub(super) async fn policies(client: &Client, configuration: &Configuration, pull_secret: &str) -> Policies {
    match call("read the policies", policies::read(client)).await {
        Ok(read) => Policies::known(&read, configuration, pull_secret, None),
        Err(error) => Policies::Unknown(error.to_string()),
    }
}

/// Reads all that decides about the subject.
pub(super) async fn look(
    client: &Client,
    subject: &Subject,
    args: &ClusterArgs,
    read_secret: bool,
    lists_of_pods: Vec<Vec<String>>,
) -> Result<Cluster, CommandError> {
    let name = &args.pull_secret;
    let parameters = GetParams::default();
    let namespaces = at::<Namespace>(None);
    let action = "read the namespace";
    let namespace =
        cluster::get(client, action, namespaces.get_metadata(&subject.namespace, &parameters)).await?;
    let namespace: Option<PartialObjectMeta<Namespace>> =
        namespace.map(|object| decode(&object)).transpose().map_err(|error| unexpected(action, &error))?;
    let secret =
        cluster::secret(client, &subject.namespace, name, "read the metadata of the pull secret").await?;
    let hosts = if read_secret && secret.is_some() {
        let (action, secrets) = ("read the pull secret", at::<Secret>(Some(&subject.namespace)));
        let secret = cluster::get(client, action, secrets.get(name, &parameters)).await?;
        let secret: Option<Secret> =
            secret.map(|object| decode(&object)).transpose().map_err(|error| unexpected(action, &error))?;
        secret.as_ref().map(subject::hosts_in)
    } else {
        None
    };
    let report = match &secret {
        Some(_) => None,
        None => last_warning(client, &subject.namespace, name).await,
    };
    Ok(Cluster {
        namespace: namespace.map(|namespace| namespace.metadata),
        account: account(client, subject).await,
        secret: secret.map(|secret| secret.facts),
        report,
        hosts,
        lists_of_pods,
    })
}

/// The last Event in which the sidecar warned of the pull secret: that a quota leaves no room for it, for example. That Events
/// may not be read spoils nothing else.
async fn last_warning(client: &Client, namespace: &str, pull_secret: &str) -> Option<String> {
    let selector = format!("regarding.name={pull_secret},reportingController={FIELD_MANAGER},type=Warning");
    let events = Collection::whole::<Event>(Some(namespace)).with_fields(&selector);
    let all = cluster::list(client, &events, "list the Events of the pull secret", |event| {
        decode::<Event>(event).map(|event| Some((event.event_time.map(|time| time.0), event.note)))
    });
    let (_, note) = all.await.ok()?.into_iter().max()?;
    // Tenants can write Events, too.
    note.map(|note| note.chars().filter(|c| !c.is_control()).collect())
}

/// The service account; that it may not be read spoils nothing else.
async fn account(client: &Client, subject: &Subject) -> Account {
    let accounts = at::<ServiceAccount>(Some(&subject.namespace));
    let account = accounts.get(&subject.service_account, &GetParams::default());
    let account = cluster::get(client, "read the service account", account).await;
    match account.map(|found| found.map(|object| decode::<ServiceAccount>(&object))) {
        Err(_) | Ok(Some(Err(_))) => Account::Unknown,
        Ok(None) => Account::Absent,
        Ok(Some(Ok(account))) => {
            let enforces = account.annotations().get(ENFORCE_MOUNTABLE).is_some_and(|value| value == "true");
            let entries = account.image_pull_secrets.into_iter().flatten();
            Account::Found {
                pull_secrets: entries.map(|entry| entry.name).collect(),
                enforces_mountable: enforces,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::policy::Answer;
    use super::super::subject::Kind;
    use super::*;
    use crate::configuration;
    use crate::telemetry::testing::{api_server, refusal};

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
        assert!(
            matches!(&subject.kind, Kind::Workload { exists: true, labels, .. } if labels.contains_key("own"))
        );
        let pod = json!({ "metadata": object["metadata"], "spec": { "containers": [] } });
        let subject = subject_of("Pod", pod).unwrap();
        assert_eq!((subject.kind, subject.title.as_str()), (Kind::Pod, "Pod team-a/web-1"));
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
        assert_eq!(lists, [vec!["ours".to_owned()], Vec::new()]);
    }

    #[tokio::test]
    async fn policies_are_read_with_their_status() {
        let configuration = configuration::parse(b"acr-registry-info: ''\n").unwrap().configuration;
        let pod = json!({ "metadata": { "name": "web" }, "spec": { "containers": [] } });
        let subject = subject_of("Pod", pod).unwrap();
        for (status, is_asked) in [("active", true), ("pending", false)] {
            let client = api_server(move |_, path, _| {
                if !path.contains("inject") {
                    return refusal(404);
                }
                let policy =
                    json!({ "metadata": { "name": "p" }, "spec": {}, "status": { "policyStatus": status } });
                (200, policy)
            });
            let read = policies(&client, &configuration, "acr-credential-secret-aggregation").await;
            let Policies::Known { inject: Some(inject), guard: None, differences, .. } = read else {
                panic!("one was read: {read:?}");
            };
            let answer = inject.inject(&subject, None, &Account::Unknown, "");
            assert_eq!(answer == Answer::Added(Vec::new()), is_asked, "{status}");
            assert_eq!(differences, Vec::<String>::new());
        }
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
        let found = last_warning(&client, "team-a", "ours").await;
        assert_eq!(found.as_deref(), Some("no[31m room"));
        let forbidden = api_server(|_, _, _| refusal(403));
        assert_eq!(last_warning(&forbidden, "team-a", "ours").await, None);
    }
}
