//! Reads the namespaces and their pull secrets, as far as the user may.

use std::collections::HashMap;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Namespace;
use kube::Client;
use kube::api::GetParams;

use super::state::Status;
use super::warnings;
use crate::cluster::observed::{self, PullSecret};
use crate::commands::arguments::ClusterArgs;
use crate::commands::cluster::{self, FoundSecret, Seen};
use crate::commands::report::Line;
use crate::commands::report::remark::not_checked;
use crate::commands::setup::CommandError;
use crate::configuration::Configuration;
use crate::kubernetes::{Collection, Metadata, at};

/// A namespace: its name, whether it is managed, as far as that is known, and its pull secret.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) name: String,
    pub(super) is_managed: Option<bool>,
    pub(super) secret: Seen<PullSecret>,
}

impl Status {
    /// Reads the state of one namespace, or of all namespaces.
    pub(super) async fn read(
        client: &Client,
        args: &ClusterArgs,
        namespace: Option<&str>,
        is_wide: bool,
        now: Timestamp,
    ) -> Result<Self, CommandError> {
        let configuration = Seen::of(cluster::configuration(client, args).await)?;
        let usable = configuration.found().and_then(|configuration| configuration.as_ref().ok());
        let (namespaces, mut not_checked) = match namespace {
            Some(name) => one(client, name, &args.pull_secret, usable).await?,
            None => all(client, &args.pull_secret, usable).await?,
        };
        let leader = Seen::of(cluster::leader(client, args, now).await)?;
        let warnings = Seen::of(warnings::read(client, args, now).await.map(Some))?;
        not_checked.extend(unknown("configuration", &configuration));
        not_checked.extend(unknown("leader", &leader));
        not_checked.extend(unknown("warnings", &warnings));
        let is_single = namespace.is_some();
        let status = Self::new(&configuration, &namespaces, leader, is_single, now);
        let pull_secrets = if is_wide || is_single { status.pull_secrets } else { Vec::new() };
        let warnings = warnings.found().cloned().unwrap_or_default();
        Ok(Self { pull_secrets, warnings, not_checked, ..status })
    }
}

/// Reads one namespace, as far as the user may, and returns what could not be read, too.
async fn one(
    client: &Client,
    name: &str,
    pull_secret: &str,
    configuration: Option<&Configuration>,
) -> Result<(Vec<Known>, Vec<Line>), CommandError> {
    let namespace = at::<Namespace>(None).get_metadata(name, &GetParams::default());
    let whether = |object: &str| Metadata::parse(object).map(|metadata| known(&metadata, configuration));
    let action = format!("get namespaces named {name}");
    let namespace = Seen::of(cluster::read(client, &action, namespace, whether).await)?;
    let secret = Seen::of(cluster::secret(client, name, pull_secret).await)?;
    let not_checked =
        unknown("namespace", &namespace).into_iter().chain(unknown("pull secret", &secret)).collect();
    let is_managed = match namespace {
        Seen::Found(Some((_, is_managed))) => is_managed,
        Seen::Unknown(_) => None,
        Seen::Found(None) | Seen::Absent => {
            let problem = format!("the namespace {name} does not exist, or is being deleted");
            return Err(CommandError::Refused(problem));
        }
    };
    let name = name.to_owned();
    Ok((vec![Known { name, is_managed, secret: secret.map(|secret| secret.facts) }], not_checked))
}

/// Lists all namespaces and their pull secrets, and returns a line for each object that cannot be read.
pub(super) async fn all(
    client: &Client,
    pull_secret: &str,
    configuration: Option<&Configuration>,
) -> Result<(Vec<Known>, Vec<Line>), CommandError> {
    let namespaces = Collection::metadata::<Namespace>(None);
    let namespaces = cluster::read_all(client, &namespaces, "list namespaces", |object| {
        Metadata::parse(object).map(|metadata| known(&metadata, configuration))
    });
    let (namespaces, mut unreadable) = namespaces.await.map_err(|error| match error {
        CommandError::Forbidden { action, problem } => {
            let problem = format!("{problem} (status -n NAMESPACE needs no right outside of that namespace)");
            CommandError::Forbidden { action, problem }
        }
        error => error,
    })?;
    let (secrets, unreadable_secrets) = cluster::pull_secrets(client, pull_secret).await?;
    unreadable.extend(unreadable_secrets);
    Ok((with_secrets(namespaces, secrets), unreadable))
}

pub(super) fn with_secrets(namespaces: Vec<(String, Option<bool>)>, secrets: Vec<FoundSecret>) -> Vec<Known> {
    let mut secrets: HashMap<String, PullSecret> =
        secrets.into_iter().map(|secret| (secret.namespace, secret.facts)).collect();
    let with = |(name, is_managed): (String, _)| {
        let secret = secrets.remove(&name).map_or(Seen::Absent, Seen::Found);
        Known { name, is_managed, secret }
    };
    namespaces.into_iter().map(with).collect()
}

/// Returns a line for something that could not be read.
pub(super) fn unknown<T>(what: &str, seen: &Seen<T>) -> Option<Line> {
    match seen {
        Seen::Unknown(why) => Some(Line::at(what, not_checked(why))),
        Seen::Found(_) | Seen::Absent => None,
    }
}

/// Returns the name of a namespace, and whether it is managed, as far as that is known. A namespace that is being deleted is
/// left out, because nothing can be written there.
pub(super) fn known(
    metadata: &Metadata<'_>,
    configuration: Option<&Configuration>,
) -> Option<(String, Option<bool>)> {
    let selector = configuration.and_then(|configuration| configuration.namespace_selector.as_ref());
    let facts = observed::Namespace::from_metadata(metadata, selector);
    let is_managed = configuration.map(|configuration| facts.is_managed(&metadata.name, configuration));
    (!facts.terminating).then(|| (metadata.name.clone().into_owned(), is_managed))
}
