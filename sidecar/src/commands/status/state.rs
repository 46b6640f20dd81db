//! The state of the pull secrets, judged from what was gathered. This module is pure.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;

use super::gather::Known;
use super::warnings::Warning;
use crate::cluster::observed::PullSecret;
use crate::commands::cluster::{Leader, Seen};
use crate::commands::report::Line;
use crate::configuration::{Configuration, Finding, Mistakes};

/// The state of the cluster, or of one namespace.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Status {
    pub(super) ok: bool,
    pub(super) configuration: Vec<String>,
    /// `None` if it is not known.
    pub(super) leader: Option<String>,
    pub(super) registries: Vec<Registry>,
    pub(super) namespaces: Namespaces,
    /// Each pull secret, if they were asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) pull_secrets: Vec<Row>,
    /// The sidecar's recent warnings.
    pub(super) warnings: Vec<Warning>,
    /// What could not be read, and why.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) not_checked: Vec<Line>,
    /// Whether it is about one namespace, so that there is nothing to count.
    #[serde(skip)]
    pub(super) is_single: bool,
}

/// The state of a pull secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, strum::IntoStaticStr)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub(super) enum State {
    Fresh,
    Stale,
    Missing,
    Foreign,
    Contested,
    Leftover,
    /// It does not exist, and it is not known whether it should.
    Absent,
    /// The namespace is not managed and has no pull secret of the sidecar.
    Unmanaged,
    /// It could not be read.
    Unknown,
}

/// The pull secret of one namespace.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Row {
    pub(super) namespace: String,
    pub(super) state: State,
    pub(super) expires_at: Option<Timestamp>,
    pub(super) registries: Vec<String>,
    /// Pull secrets with the same hash have the same content.
    pub(super) hash: String,
    /// The manager that created or changed it instead of the sidecar.
    pub(super) other_manager: Option<String>,
}

/// A registry, with facts from the pull secrets that contain it.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Registry {
    pub(super) name: String,
    pub(super) namespaces: usize,
    /// The first and the last expiry of the pull secrets that contain it.
    pub(super) first_expiry: Option<Timestamp>,
    pub(super) last_expiry: Option<Timestamp>,
}

/// The namespaces, grouped by the state of their pull secrets.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Namespaces {
    /// `None` while the configuration cannot be used, because the number is then not known.
    pub(super) managed: Option<usize>,
    pub(super) fresh: usize,
    /// Expired, or without any credential.
    pub(super) stale: Vec<String>,
    pub(super) missing: Vec<String>,
    pub(super) foreign: Vec<String>,
    /// Ours, but changed by another manager.
    pub(super) contested: Vec<String>,
    /// The other manager, by namespace.
    pub(super) contested_by: BTreeMap<String, String>,
    /// No longer managed.
    pub(super) leftover: Vec<String>,
}

impl Status {
    pub(super) fn new(
        configuration: &Seen<Result<Configuration, Mistakes>>,
        namespaces: &[Known],
        leader: Seen<Leader>,
        is_single: bool,
        now: Timestamp,
    ) -> Self {
        let mistakes = match configuration {
            Seen::Found(Ok(_)) | Seen::Unknown(_) => Vec::new(),
            Seen::Found(Err(mistakes)) => mistakes.0.iter().map(Finding::to_string).collect(),
            Seen::Absent => vec!["there is no such ConfigMap".to_owned()],
        };
        let is_usable = matches!(configuration, Seen::Found(Ok(_)));
        let pull_secrets: Vec<_> = namespaces.iter().map(|namespace| Row::new(namespace, now)).collect();
        let managed = namespaces.iter().filter(|namespace| namespace.is_managed == Some(true)).count();
        let grouped = Namespaces::new(is_usable.then_some(managed), &pull_secrets);
        let Namespaces { stale, missing, foreign, contested, .. } = &grouped;
        let is_fine = [stale, missing, foreign, contested].iter().all(|names| names.is_empty());
        let concerns = |row: &Row| !matches!(row.state, State::Absent | State::Unmanaged);
        Self {
            ok: mistakes.is_empty() && is_fine,
            configuration: mistakes,
            leader: match leader {
                Seen::Found(Leader { name, is_alive: true }) => Some(name),
                Seen::Found(_) | Seen::Absent => Some("none; no sidecar is running".to_owned()),
                Seen::Unknown(_) => None,
            },
            registries: registries(namespaces),
            namespaces: grouped,
            pull_secrets: pull_secrets.into_iter().filter(|row| is_single || concerns(row)).collect(),
            warnings: Vec::new(),
            not_checked: Vec::new(),
            is_single,
        }
    }
}

impl Row {
    fn new(Known { name, is_managed, secret }: &Known, now: Timestamp) -> Self {
        let state = match (secret, *is_managed) {
            (Seen::Unknown(_), _) => State::Unknown,
            (Seen::Absent, Some(true)) => State::Missing,
            (Seen::Absent, None) => State::Absent,
            (Seen::Found(secret), Some(false)) if secret.ours => State::Leftover,
            (Seen::Absent | Seen::Found(_), Some(false)) => State::Unmanaged,
            (Seen::Found(secret), _) if !secret.ours => State::Foreign,
            (Seen::Found(secret), _) if secret.contested_by().is_some() => State::Contested,
            (Seen::Found(secret), _) if secret.expires_at.is_some_and(|at| at > now) => State::Fresh,
            (Seen::Found(_), _) => State::Stale,
        };
        // Nothing that the annotations promise counts once another manager has changed them.
        let believed = secret.found().filter(|secret| is_believed(secret));
        let other = secret.found().and_then(|secret| match state {
            State::Contested => secret.contested_by(),
            State::Foreign => secret.other_manager.as_deref(),
            _ => None,
        });
        Self {
            namespace: name.clone(),
            state,
            expires_at: believed.and_then(|secret| secret.expires_at),
            registries: believed.map(names).into_iter().flatten().map(str::to_owned).collect(),
            hash: believed.map(|secret| secret.hash.to_string()).unwrap_or_default(),
            other_manager: other.map(str::to_owned),
        }
    }
}

impl Namespaces {
    fn new(managed: Option<usize>, rows: &[Row]) -> Self {
        let mut sorted = Self { managed, ..Self::default() };
        for Row { namespace, state, other_manager, .. } in rows {
            let group = match state {
                State::Fresh => {
                    sorted.fresh += 1;
                    continue;
                }
                State::Absent | State::Unmanaged | State::Unknown => continue,
                State::Stale => &mut sorted.stale,
                State::Missing => &mut sorted.missing,
                State::Foreign => &mut sorted.foreign,
                State::Leftover => &mut sorted.leftover,
                State::Contested => {
                    let by = other_manager.clone().unwrap_or_default();
                    sorted.contested_by.insert(namespace.clone(), by);
                    &mut sorted.contested
                }
            };
            group.push(namespace.clone());
        }
        sorted
    }
}

fn is_believed(secret: &PullSecret) -> bool {
    secret.ours && secret.intact
}

fn names(secret: &PullSecret) -> impl Iterator<Item = &str> {
    secret.registries.split(',').filter(|name| !name.is_empty())
}

fn registries(namespaces: &[Known]) -> Vec<Registry> {
    let mut found: BTreeMap<&str, Registry> = BTreeMap::new();
    let secrets = namespaces.iter().filter_map(|namespace| namespace.secret.found());
    for facts in secrets.filter(|secret| is_believed(secret)) {
        for name in names(facts) {
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
