//! `status`: reports the state of the cluster's pull secrets, read only from metadata, and the problems that the sidecar reports.

mod warnings;

use super::arguments::{ClusterArgs, Output};
use clap::Args;
use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Namespace;
use serde::Serialize;

use self::warnings::Warning;
use super::Exit;
use super::cluster::{self, FoundSecret, Leader};
use super::report;
use super::setup::{self, CommandError};
use crate::cluster::observed::{self as observed, PullSecret};
use crate::configuration::{Configuration, Finding, Mistakes};
use crate::kubernetes::{Collection, Metadata};

/// The number of names of a kind that are shown to people.
const SHOWN: usize = 10;

/// Arguments of `status`.
#[derive(Debug, Args)]
#[command(after_help = STATUS_HELP)]
pub struct StatusArgs {
    /// What to write.
    #[arg(long, short, value_enum, default_value_t = Output::Text)]
    pub output: Output,
    /// The cluster.
    #[command(flatten)]
    pub cluster: ClusterArgs,
}

const STATUS_HELP: &str = "\
Reads only metadata, never the contents of a Secret. Needs the rights to list namespaces and, by its name, the pull secret, \
and to get the ConfigMap. With the right to list Events in the sidecar's namespace, it also \
shows the problems that the sidecar reports.

Exit codes: 0 all is well, 1 a managed namespace has no good pull secret, 2 wrong usage, or the cluster did not answer.";

pub(super) fn run(args: StatusArgs) -> Result<Exit, CommandError> {
    let StatusArgs { output, cluster } = args;
    let now = Timestamp::now();
    let status = setup::runtime()?.block_on(async {
        let client = cluster::connect(&cluster)?;
        let configuration = cluster::configuration(&client, &cluster).await?;
        let usable = configuration.as_ref().and_then(|configuration| configuration.as_ref().ok());
        let namespaces = Collection::metadata::<Namespace>(None);
        let namespaces = cluster::list(&client, &namespaces, "list the namespaces", |object| {
            Metadata::parse(object).map(|metadata| known(&metadata, usable))
        });
        let namespaces = namespaces.await?;
        let secrets = cluster::pull_secrets(&client, &cluster.pull_secret).await?;
        // The leader and the warnings are less important than the rest, so a missing right to read them is not an error.
        let leader = cluster::leader(&client, &cluster, now).await.map_err(|error| error.to_string());
        let warnings = warnings::read(&client, &cluster, now).await;
        let status = Status::new(configuration.as_ref(), &namespaces, secrets, leader, now);
        Ok::<_, CommandError>(status.with(warnings.map_err(|error| error.to_string())))
    })?;
    let text = |status: &Status| report::to_stdout(status.text(now).trim_end());
    Ok(report::finish(output, status.ok, &status, text)?)
}

/// A namespace, and whether it is managed, as far as that is known.
type Known = (String, Option<bool>);

/// The state of the cluster.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    ok: bool,
    configuration: Vec<String>,
    leader: String,
    registries: Vec<Registry>,
    namespaces: Namespaces,
    /// The sidecar's recent warnings.
    warnings: Vec<Warning>,
    /// The reason why the warnings are not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    warnings_unknown: Option<String>,
}

/// A registry, with facts from the pull secrets that contain it.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Registry {
    name: String,
    namespaces: usize,
    /// The first and the last expiry of the pull secrets that contain it.
    first_expiry: Option<Timestamp>,
    last_expiry: Option<Timestamp>,
}

/// The namespaces, grouped by the state of their pull secrets.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Namespaces {
    /// `None` while the configuration cannot be used, because the number is then not known.
    managed: Option<usize>,
    fresh: usize,
    /// Expired, or without any credential.
    stale: Vec<String>,
    missing: Vec<String>,
    foreign: Vec<String>,
    /// Ours, but changed by another manager.
    contested: Vec<String>,
    /// The other manager, by namespace.
    contested_by: BTreeMap<String, String>,
    /// No longer managed.
    leftover: Vec<String>,
}

impl Status {
    fn new(
        configuration: Option<&Result<Configuration, Mistakes>>,
        namespaces: &[Known],
        secrets: Vec<FoundSecret>,
        leader: Result<Option<Leader>, String>,
        now: Timestamp,
    ) -> Self {
        let (configuration, mistakes) = match configuration {
            Some(Ok(configuration)) => (Some(configuration), Vec::new()),
            Some(Err(mistakes)) => (None, mistakes.0.iter().map(Finding::to_string).collect()),
            None => (None, vec!["there is no such ConfigMap".to_owned()]),
        };
        let registries = registries(&secrets);
        let namespaces = Namespaces::new(configuration.is_some(), namespaces, secrets, now);
        let Namespaces { stale, missing, foreign, contested, .. } = &namespaces;
        let is_fine = [stale, missing, foreign, contested].iter().all(|names| names.is_empty());
        Self {
            ok: mistakes.is_empty() && is_fine,
            configuration: mistakes,
            leader: match leader {
                Ok(Some(Leader { name, is_alive: true, .. })) => name,
                Ok(_) => "none; no sidecar is running".to_owned(),
                Err(problem) => format!("unknown, {problem}"),
            },
            registries,
            namespaces,
            warnings: Vec::new(),
            warnings_unknown: None,
        }
    }

    fn with(self, warnings: Result<Vec<Warning>, String>) -> Self {
        match warnings {
            Ok(warnings) => Self { warnings, ..self },
            Err(problem) => Self { warnings_unknown: Some(problem), ..self },
        }
    }

    fn text(&self, now: Timestamp) -> String {
        let Self { ok: _, configuration, leader, registries, namespaces, warnings, warnings_unknown } = self;
        let mut text = String::new();
        // Writing to a String cannot fail.
        for mistake in configuration {
            let _ = writeln!(text, "configuration: {mistake}");
        }
        let _ = writeln!(text, "leader: {leader}\n");
        let mut table = report::table(["REGISTRY", "NAMESPACES", "FIRST EXPIRES IN"]);
        for Registry { name, namespaces, first_expiry, last_expiry: _ } in registries {
            let left = match first_expiry {
                Some(expiry) if *expiry > now => report::time_left(now, *expiry),
                Some(_) | None => "expired".to_owned(),
            };
            table.add_row([report::one_line(name).into_owned(), namespaces.to_string(), left]);
        }
        text.push_str(&table.trim_fmt());
        text.push_str("\n\n");
        text.push_str(&namespaces.table());
        let mut table = report::table(["WARNINGS", ""]);
        for Warning { at, reason, message } in warnings {
            table.add_row([format!("{} ago", report::time_left(*at, now)), format!("{reason}: {message}")]);
        }
        if let Some(problem) = warnings_unknown {
            table.add_row(["unknown", problem]);
        }
        if !table.is_empty() {
            text.push_str("\n\n");
            text.push_str(&table.trim_fmt());
        }
        text
    }
}

impl Namespaces {
    fn new(is_configured: bool, namespaces: &[Known], secrets: Vec<FoundSecret>, now: Timestamp) -> Self {
        let secrets: HashMap<String, PullSecret> =
            secrets.into_iter().map(|secret| (secret.namespace, secret.facts)).collect();
        let managed = namespaces.iter().filter(|(_, managed)| *managed == Some(true)).count();
        let mut sorted = Self { managed: is_configured.then_some(managed), ..Self::default() };
        for (name, managed) in namespaces {
            match (secrets.get(name), *managed) {
                (None, Some(true)) => sorted.missing.push(name.clone()),
                (Some(secret), Some(false)) if secret.ours => sorted.leftover.push(name.clone()),
                (None, _) | (Some(_), Some(false)) => {}
                (Some(secret), _) if !secret.ours => sorted.foreign.push(name.clone()),
                (Some(secret), _) => match secret.contested_by() {
                    Some(by) => {
                        sorted.contested.push(name.clone());
                        sorted.contested_by.insert(name.clone(), by.to_owned());
                    }
                    None if secret.expires_at.is_some_and(|at| at > now) => sorted.fresh += 1,
                    None => sorted.stale.push(name.clone()),
                },
            }
        }
        sorted
    }

    fn table(&self) -> String {
        let Self { managed, fresh, stale, missing, foreign, contested, contested_by, leftover } = self;
        let by = |name: &String| match contested_by.get(name) {
            Some(by) => format!("{name} (by {by})"),
            None => name.clone(),
        };
        let contested = &contested.iter().map(by).collect();
        let managed = managed.map_or_else(|| "unknown".to_owned(), |count| count.to_string());
        let mut table = report::table(["NAMESPACES", "", ""]);
        table.add_row(["managed", &managed, ""]);
        table.add_row(["fresh", &fresh.to_string(), ""]);
        for (kind, names) in [
            ("stale", stale),
            ("missing", missing),
            ("foreign", foreign),
            ("contested", contested),
            ("leftover", leftover),
        ] {
            table.add_row([kind, &names.len().to_string(), &shown(names)]);
        }
        table.trim_fmt()
    }
}

fn shown(names: &[String]) -> String {
    let some: Vec<_> = names.iter().take(SHOWN).map(|name| report::one_line(name)).collect();
    match names.len().saturating_sub(SHOWN) {
        0 => some.join(", "),
        more => format!("{} and {more} more", some.join(", ")),
    }
}

/// Returns what is known about a namespace. A namespace that is being deleted is left out, because nothing can be written there.
fn known(metadata: &Metadata<'_>, configuration: Option<&Configuration>) -> Option<Known> {
    let selector = configuration.and_then(|configuration| configuration.namespace_selector.as_ref());
    let facts = observed::Namespace::from_metadata(metadata, selector);
    let is_managed = configuration.map(|configuration| facts.is_managed(&metadata.name, configuration));
    (!facts.terminating).then(|| (metadata.name.clone().into_owned(), is_managed))
}

fn registries(secrets: &[FoundSecret]) -> Vec<Registry> {
    let mut found: BTreeMap<&str, Registry> = BTreeMap::new();
    let believed = |facts: &&PullSecret| facts.ours && facts.intact;
    for facts in secrets.iter().map(|secret| &secret.facts).filter(believed) {
        for name in facts.registries.split(',').filter(|name| !name.is_empty()) {
            let new = || Registry { name: name.to_owned(), ..Registry::default() };
            let registry = found.entry(name).or_insert_with(new);
            registry.namespaces += 1;
            let expiry = facts.expires_at;
            registry.first_expiry = [registry.first_expiry, expiry].into_iter().flatten().min();
            registry.last_expiry = registry.last_expiry.max(expiry);
        }
    }
    found.into_values().collect()
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;
    use crate::configuration;

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    fn namespace(name: &str, labels: &[(&str, &str)], configuration: Option<&Configuration>) -> Known {
        let labels: BTreeMap<_, _> = labels.iter().copied().collect();
        let metadata =
            serde_json::json!({ "name": name, "uid": "u", "resourceVersion": "1", "labels": labels });
        let object = serde_json::json!({ "metadata": metadata }).to_string();
        known(&Metadata::parse(&object).unwrap(), configuration).unwrap()
    }

    fn secret(namespace: &str, ours: bool, minutes: i64, registries: &[&str]) -> FoundSecret {
        let facts = PullSecret {
            uid: "u".into(),
            resource_version: "1".into(),
            ours,
            surely_ours: ours,
            intact: ours,
            other_manager: None,
            terminating: false,
            hash: Box::default(),
            inputs: Box::default(),
            expires_at: Some(NOW + SignedDuration::from_mins(minutes)),
            registries: registries.join(",").into(),
        };
        let name = "acr-credential-secret-aggregation".to_owned();
        FoundSecret { name, namespace: namespace.to_owned(), facts }
    }

    fn changed(mut secret: FoundSecret, by: &str) -> FoundSecret {
        secret.facts.intact = false;
        secret.facts.other_manager = Some(by.into());
        secret
    }

    fn example() -> Status {
        let configuration = configuration::parse(
            b"watch-namespace: team-*\nwatch-namespace-selector: '!legacy'\nacr-registry-info: ''\n",
        );
        let configuration = configuration.map(|parsed| parsed.configuration);
        let namespace = |name, labels| namespace(name, labels, configuration.as_ref().ok());
        let namespaces = [
            namespace("team-a", &[]),
            namespace("team-b", &[]),
            namespace("team-c", &[]),
            namespace("team-d", &[]),
            namespace("team-e", &[("legacy", "yes")]),
            namespace("team-f", &[]),
            namespace("other", &[]),
        ];
        let hangzhou = "cn-hangzhou/cri-demo";
        let secrets = vec![
            secret("team-a", true, 50, &[hangzhou, "cn-beijing/personal"]),
            secret("team-b", true, -5, &[hangzhou]),
            secret("team-c", false, 50, &[]),
            secret("team-e", true, 50, &[hangzhou]),
            changed(secret("team-f", true, 50, &[hangzhou]), "kubectl-edit"),
            secret("other", false, 50, &[]),
        ];
        let leader = Leader { name: "sidecar-0".to_owned(), is_alive: true };
        Status::new(Some(&configuration), &namespaces, secrets, Ok(Some(leader)), NOW)
    }

    #[test]
    fn each_namespace_is_counted_once_and_named_where_something_is_wrong() {
        insta::assert_snapshot!(example().text(NOW), @r"
        leader: sidecar-0

         REGISTRY              NAMESPACES  FIRST EXPIRES IN
         cn-beijing/personal   1           50 min
         cn-hangzhou/cri-demo  3           expired

         NAMESPACES
         managed     5
         fresh       1
         stale       1  team-b
         missing     1  team-d
         foreign     1  team-c
         contested   1  team-f (by kubectl-edit)
         leftover    1  team-e
        ");
    }

    #[test]
    fn what_the_sidecar_said_comes_last() {
        let warning = Warning {
            at: NOW - SignedDuration::from_mins(2),
            reason: "CredentialUnavailable".to_owned(),
            message: "acr-registry-info[1]: GetAuthorizationToken: not authorized".to_owned(),
        };
        let text = example().with(Ok(vec![warning])).text(NOW);
        assert!(
            text.ends_with(
                " leftover    1  team-e\n\n WARNINGS\n 2 min ago  CredentialUnavailable: acr-registry-info[1]: \
                 GetAuthorizationToken: not authorized"
            ),
            "{text}"
        );
        let text = example().with(Err("failed to list the Events in a: no".to_owned())).text(NOW);
        assert!(text.ends_with(" WARNINGS\n unknown   failed to list the Events in a: no"), "{text}");
    }

    #[test]
    fn scripts_get_all_names() {
        let status = example();
        assert!(!status.ok);
        let document = serde_json::to_value(&status).unwrap();
        assert_eq!(
            document["namespaces"],
            serde_json::json!({
                "managed": 5, "fresh": 1, "stale": ["team-b"], "missing": ["team-d"], "foreign": ["team-c"],
                "contested": ["team-f"], "contestedBy": { "team-f": "kubectl-edit" }, "leftover": ["team-e"],
            })
        );
    }

    #[test]
    fn without_a_configuration_nothing_is_missing_but_it() {
        let status = Status::new(None, &[namespace("team-a", &[], None)], Vec::new(), Ok(None), NOW);
        assert!(!status.ok);
        assert_eq!(status.namespaces.managed, None);
        assert!(status.text(NOW).starts_with("configuration: there is no such ConfigMap\nleader: none"));
    }
}
