//! `explain`: why a Pod can or cannot pull its images, step by step.
//!
//! `subject` reads what a Pod or a manifest says, `policy` what the policies' settings say, `chain` judges it (both pure),
//! and this file asks the cluster.

mod chain;
mod policy;
mod subject;

use std::path::Path;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Namespace, Pod, Secret, ServiceAccount};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::api::{ApiResource, DynamicObject, ListParams};
use kube::core::{GroupVersionKind, Selector};
use kube::{Api, Client, ResourceExt as _};
use serde::{Deserialize as _, Serialize};
use serde_json::{Value, json};

use self::chain::{Account, Cluster, Surroundings};
use self::policy::Policies;
use self::subject::{Subject, WORKLOADS};
use super::Exit;
use super::cluster::{self, PullSecret, call};
use super::report::{self, Line, Mark};
use super::setup::{self, CommandError};
use crate::args::{ClusterArgs, ExplainArgs, Output};
use crate::cluster::types::ENFORCE_MOUNTABLE;
use crate::configuration::{self, Configuration, Mistakes};
use crate::operations::policies;

/// What was found about one Pod or workload.
#[derive(Serialize)]
struct Explained {
    subject: String,
    ok: bool,
    findings: Vec<Line>,
}

pub(super) fn run(args: ExplainArgs) -> Result<Exit, CommandError> {
    let ExplainArgs { object, file, namespace, config, read_secret, output, cluster } = args;
    let written = match &config {
        Some(path) => Some(configuration::examine(&setup::read_configuration(path)?).outcome),
        None => None,
    };
    let explained = setup::runtime()?.block_on(async {
        let needs_cluster = file.is_none() || written.is_none();
        let client = if needs_cluster { Some(cluster::connect(&cluster).await?) } else { None };
        let configuration = configured(written, client.as_ref(), &cluster).await?;
        let subjects = match (&file, &client) {
            (Some(path), _) => from_file(path, namespace.as_deref())?,
            (None, Some(client)) => {
                let namespace = namespace.as_deref().unwrap_or("default");
                vec![from_cluster(client, namespace, named(&object)?).await?]
            }
            // Without a file there is a client.
            (None, None) => Vec::new(),
        };
        let policies = match (&client, &configuration) {
            (Some(client), Ok(configuration)) => policies(client, configuration, &cluster.pull_secret).await,
            _ => Policies::Unknown("there is no configuration to compare them with".to_owned()),
        };
        let mut explained = Vec::new();
        for (subject, lists_of_pods) in subjects {
            let found = match &client {
                Some(client) => {
                    let policies = policies.clone();
                    Some(look(client, &subject, &cluster, read_secret, policies, lists_of_pods).await?)
                }
                None => None,
            };
            explained.push(explain(&subject, configuration.as_ref(), found.as_ref(), &cluster.pull_secret));
        }
        Ok::<_, CommandError>(explained)
    })?;
    show(&explained, output)?;
    Ok(if explained.iter().all(|explained| explained.ok) { Exit::Success } else { Exit::Findings })
}

/// The configuration of the file, or else the cluster's; its mistakes are findings, not a wrong usage.
async fn configured(
    written: Option<Result<Configuration, Mistakes>>,
    client: Option<&Client>,
    args: &ClusterArgs,
) -> Result<Result<Configuration, Vec<Line>>, CommandError> {
    let outcome = match (written, client) {
        (Some(outcome), _) => Some(outcome),
        (None, Some(client)) => cluster::configuration(client, args).await?,
        (None, None) => None,
    };
    Ok(match outcome {
        Some(Ok(configuration)) => Ok(configuration),
        Some(Err(mistakes)) => {
            Err(mistakes.0.iter().map(|mistake| Line::finding(Mark::Error, mistake)).collect())
        }
        None => {
            let ClusterArgs { sidecar_namespace, config_map, .. } = args;
            let problem = format!("there is no ConfigMap {config_map} in {sidecar_namespace}: create it");
            Err(vec![Line::new(Mark::Error, "configuration", problem)])
        }
    })
}

/// What was asked for, as `kubectl` writes it: `pod NAME` or `pod/NAME`, in any of the kind's names.
fn named(object: &[String]) -> Result<(Named, &str), CommandError> {
    let found = match object {
        [kind, name] => kind_of(kind).map(|kind| (kind, name.as_str())),
        [one] => one.split_once('/').and_then(|(kind, name)| Some((kind_of(kind)?, name))),
        _ => None,
    };
    found.filter(|(_, name)| !name.is_empty()).ok_or_else(|| {
        let kinds = WORKLOADS.map(|(kind, ..)| kind.to_lowercase()).join(", ");
        CommandError::Refused(format!(
            "name one of pod, {kinds}, such as `explain deployment NAME`, or give a manifest with -f"
        ))
    })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Named {
    Pod,
    /// Kind, API version and plural.
    Workload(&'static str, &'static str, &'static str),
}

fn kind_of(word: &str) -> Option<Named> {
    let word = word.to_lowercase();
    // `deployments.apps` is what kubectl prints.
    let word = word.split('.').next().unwrap_or_default();
    let short = match word {
        "po" | "pod" | "pods" => return Some(Named::Pod),
        "deploy" => "deployments",
        "sts" => "statefulsets",
        "ds" => "daemonsets",
        "rs" => "replicasets",
        "rc" => "replicationcontrollers",
        "cj" => "cronjobs",
        other => other,
    };
    let is_meant = |kind: &str, plural: &str| plural == short || kind.eq_ignore_ascii_case(short);
    let found = WORKLOADS.iter().find(|(kind, _, plural)| is_meant(kind, plural));
    found.map(|&(kind, version, plural)| Named::Workload(kind, version, plural))
}

/// What is to be explained, and the lists of the Pods that it has made.
type Found = (Subject, Vec<Vec<String>>);

fn from_file(path: &Path, namespace: Option<&str>) -> Result<Vec<Found>, CommandError> {
    let text = setup::read_configuration(path)?;
    let refused = |problem| CommandError::Refused(format!("{}: {problem}", path.display()));
    let subjects = subject::read_manifests(&text, namespace).map_err(refused)?;
    if subjects.is_empty() {
        return Err(refused("holds no Pod, and nothing that makes Pods".to_owned()));
    }
    Ok(subjects.into_iter().map(|subject| (subject, Vec::new())).collect())
}

async fn from_cluster(
    client: &Client,
    namespace: &str,
    (named, name): (Named, &str),
) -> Result<Found, CommandError> {
    match named {
        Named::Pod => {
            let api: Api<Pod> = Api::namespaced(client.clone(), namespace);
            let Pod { metadata, spec, .. } =
                call(format!("read the Pod {namespace}/{name}"), api.get(name)).await?;
            let spec = spec.unwrap_or_default();
            Ok((Subject::of_pod(namespace, name, metadata.labels.as_ref(), &spec), Vec::new()))
        }
        Named::Workload(kind, version, plural) => {
            let (group, version) = version.split_once('/').unwrap_or(("", version));
            let gvk = GroupVersionKind::gvk(group, version, kind);
            let resource = ApiResource::from_gvk_with_plural(&gvk, plural);
            let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &resource);
            let object = call(format!("read the {kind} {namespace}/{name}"), api.get(name)).await?;
            let lists = lists_of_pods(client, namespace, &object.data).await?;
            let metadata = json!({ "name": name, "namespace": namespace });
            let object = json!({ "kind": kind, "metadata": metadata, "spec": object.data.get("spec") });
            let mut subjects = Vec::new();
            subject::read_object(&object, None, &mut subjects).map_err(CommandError::Refused)?;
            let subject =
                subjects.pop().ok_or_else(|| CommandError::Refused(format!("{kind} makes no Pods")))?;
            Ok((subject, lists))
        }
    }
}

/// The lists of the Pods that a workload's selector finds; of one without a selector, none.
async fn lists_of_pods(
    client: &Client,
    namespace: &str,
    workload: &Value,
) -> Result<Vec<Vec<String>>, CommandError> {
    const MOST: u32 = 500;
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
    let api: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let params = ListParams::default().labels_from(&selector).limit(MOST);
    let pods = call("list its Pods", api.list(&params)).await?;
    let specs = pods.items.into_iter().filter(|pod| pod.metadata.deletion_timestamp.is_none());
    Ok(specs.map(|pod| subject::pull_secrets(&pod.spec.unwrap_or_default())).collect())
}

/// The policies; that they may not be read spoils nothing else.
async fn policies(client: &Client, configuration: &Configuration, pull_secret: &str) -> Policies {
    match call("read the policies", policies::read(client)).await {
        Ok(read) => {
            let present = read.iter().filter_map(|(name, spec)| Some((name, spec.as_ref()?)));
            let differences = present
                .flat_map(|(name, spec)| policies::compare(name, spec, configuration, pull_secret))
                .collect();
            Policies::known(&read, differences)
        }
        Err(error) => Policies::Unknown(error.to_string()),
    }
}

async fn look(
    client: &Client,
    subject: &Subject,
    args: &ClusterArgs,
    read_secret: bool,
    policies: Policies,
    lists_of_pods: Vec<Vec<String>>,
) -> Result<Cluster, CommandError> {
    let name = &args.pull_secret;
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let namespace = call("read the namespace", namespaces.get_metadata_opt(&subject.namespace)).await?;
    let secrets: Api<Secret> = Api::namespaced(client.clone(), &subject.namespace);
    let secret = call("read the metadata of the pull secret", secrets.get_metadata_opt(name)).await?;
    let hosts = if read_secret && secret.is_some() {
        let secret = call("read the pull secret", secrets.get_opt(name)).await?;
        secret.as_ref().map(subject::hosts_in)
    } else {
        None
    };
    Ok(Cluster {
        namespace: namespace.map(|namespace| namespace.metadata),
        account: account(client, subject).await,
        secret: secret.map(|secret| PullSecret::of(secret.metadata)),
        hosts,
        policies,
        lists_of_pods,
    })
}

/// The service account; that it may not be read spoils nothing else.
async fn account(client: &Client, subject: &Subject) -> Account {
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), &subject.namespace);
    match call("read the service account", accounts.get_opt(&subject.service_account)).await {
        Err(_) => Account::Unknown,
        Ok(None) => Account::Absent,
        Ok(Some(account)) => {
            let enforces = account.annotations().get(ENFORCE_MOUNTABLE).is_some_and(|value| value == "true");
            let entries = account.image_pull_secrets.into_iter().flatten();
            Account::Found {
                pull_secrets: entries.map(|entry| entry.name).collect(),
                enforces_mountable: enforces,
            }
        }
    }
}

fn explain(
    subject: &Subject,
    configuration: Result<&Configuration, &Vec<Line>>,
    cluster: Option<&Cluster>,
    pull_secret: &str,
) -> Explained {
    let findings = match configuration {
        Ok(configuration) => {
            let now = Timestamp::now();
            chain::judge(subject, &Surroundings { configuration, pull_secret, cluster, now })
        }
        Err(mistakes) => {
            let mut lines = mistakes.clone();
            lines.push(Line::new(Mark::Skipped, "the rest", "not looked at without a configuration"));
            lines
        }
    };
    let ok = findings.iter().all(|line| line.mark != Mark::Error);
    Explained { subject: subject.title.clone(), ok, findings }
}

fn show(explained: &[Explained], output: Output) -> Result<(), CommandError> {
    #[derive(Serialize)]
    struct Document<'a> {
        ok: bool,
        subjects: &'a [Explained],
    }
    if output == Output::Json {
        let ok = explained.iter().all(|explained| explained.ok);
        report::to_stdout(serde_json::to_string_pretty(&Document { ok, subjects: explained })?)?;
        return Ok(());
    }
    for (at, Explained { subject, ok, findings }) in explained.iter().enumerate() {
        let gap = if at == 0 { "" } else { "\n" };
        report::to_stdout(format_args!("{gap}{subject}"))?;
        for line in findings {
            report::to_stdout(format_args!("  {line}"))?;
        }
        let verdict = if *ok { "Nothing stands in the way." } else { "It cannot pull its images." };
        report::to_stdout(verdict)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_named_as_kubectl_names_them() {
        let check = |words: &[&str], expected: Option<(&str, &str)>| {
            let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
            let found = named(&words).ok().map(|(named, name)| match named {
                Named::Pod => ("Pod", name),
                Named::Workload(kind, ..) => (kind, name),
            });
            assert_eq!(found, expected, "{words:?}");
        };
        check(&["pod", "web-1"], Some(("Pod", "web-1")));
        check(&["pod/web-1"], Some(("Pod", "web-1")));
        check(&["deployment", "web"], Some(("Deployment", "web")));
        check(&["deploy/web"], Some(("Deployment", "web")));
        check(&["deployments.apps/web"], Some(("Deployment", "web")));
        check(&["cronjob", "nightly"], Some(("CronJob", "nightly")));
        check(&["web-1"], None);
        check(&["node", "web"], None);
        check(&["pod/"], None);
    }
}
