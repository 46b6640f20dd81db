//! The commands' access to a cluster: a client, and functions that read objects. They list only the metadata of Secrets.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::api::GetParams;
use kube::{Api, Client};
use tokio::time::timeout;

mod connection;
mod kubeconfig;
mod proxy;

pub(super) use self::connection::{connect, connect_without_retries, namespace_of_context};
use super::arguments::ClusterArgs;
use super::report::{self, Line, Mark};
use super::setup::CommandError;
use crate::cluster::observed::PullSecret;
use crate::configuration::{self, Configuration, Mistakes};
use crate::kubernetes::FIELD_MANAGER;
use crate::kubernetes::api_error::{describe, is_status};
use crate::kubernetes::{Collection, Metadata, Place, at, request};

/// The time limit of a call. kube itself would wait forever.
pub(super) const CALL_LIMIT: Duration = Duration::from_secs(30);

/// A Secret with the name of the pull secret, or with our state, by its metadata.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FoundSecret {
    pub(super) name: String,
    pub(super) namespace: String,
    pub(super) facts: PullSecret,
}

/// What is known about something in the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Seen<T> {
    Found(T),
    Absent,
    /// Nothing is known, for this reason.
    Unknown(String),
}

/// The replica that holds the Lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Leader {
    pub(super) name: String,
    /// Whether it has renewed the Lease recently enough to be alive.
    pub(super) is_alive: bool,
}

/// No cluster was queried.
impl<T> Default for Seen<T> {
    fn default() -> Self {
        Self::Unknown("no cluster was queried".to_owned())
    }
}

impl<T> Seen<T> {
    /// Converts the result of a read. A missing right is not an error: the other facts are still worth knowing.
    pub(super) fn of(read: Result<Option<T>, CommandError>) -> Result<Self, CommandError> {
        match read {
            Ok(found) => Ok(found.map_or(Self::Absent, Self::Found)),
            Err(CommandError::Forbidden { action, .. }) => Ok(Self::Unknown(format!("you may not {action}"))),
            Err(error) => Err(error),
        }
    }

    /// Returns what was found.
    pub(super) fn found(&self) -> Option<&T> {
        match self {
            Self::Found(found) => Some(found),
            Self::Absent | Self::Unknown(_) => None,
        }
    }

    /// Converts what was found.
    pub(super) fn map<U>(self, convert: impl FnOnce(T) -> U) -> Seen<U> {
        match self {
            Self::Found(found) => Seen::Found(convert(found)),
            Self::Absent => Seen::Absent,
            Self::Unknown(why) => Seen::Unknown(why),
        }
    }
}

impl FoundSecret {
    pub(super) fn parse(object: &str) -> Result<Self, serde_json::Error> {
        let metadata = Metadata::parse(object)?;
        Ok(Self {
            facts: PullSecret::from_metadata(&metadata),
            name: metadata.name.into_owned(),
            namespace: metadata.namespace.into_owned(),
        })
    }
}

/// Waits for an answer of the API server, for at most [`CALL_LIMIT`].
pub(super) async fn call<T>(
    action: impl Into<String>,
    answer: impl Future<Output = Result<T, kube::Error>>,
) -> Result<T, CommandError> {
    let Ok(answer) = timeout(CALL_LIMIT, answer).await else {
        let problem = format!("the API server did not answer within {} s", CALL_LIMIT.as_secs());
        return Err(CommandError::Cluster { action: action.into(), problem });
    };
    answer.map_err(|error| failed(action, &error))
}

fn failed(action: impl Into<String>, error: &kube::Error) -> CommandError {
    let (action, problem) = (action.into(), describe(error));
    if is_status(error, 403) {
        CommandError::Forbidden { action, problem }
    } else {
        CommandError::Cluster { action, problem }
    }
}

/// Lists the objects of a collection that `reduce` keeps. An object that cannot be read is reported by name and left out.
pub(super) async fn list<T>(
    client: &Client,
    collection: &Collection,
    action: &str,
    reduce: impl FnMut(&str) -> Result<Option<T>, serde_json::Error>,
) -> Result<Vec<T>, CommandError> {
    let (all, unreadable) = read_all(client, collection, action, reduce).await?;
    unreadable.iter().for_each(report::line_to_stderr);
    Ok(all)
}

/// Like [`list`], but returns the lines about objects that cannot be read.
pub(super) async fn read_all<T>(
    client: &Client,
    collection: &Collection,
    action: &str,
    mut reduce: impl FnMut(&str) -> Result<Option<T>, serde_json::Error>,
) -> Result<(Vec<T>, Vec<Line>), CommandError> {
    let mut listing = collection.list(client);
    let (mut all, mut unreadable) = (Vec::new(), Vec::new());
    while let Some(object) = listing.next().await.map_err(|error| failed(action, &error))? {
        match reduce(object) {
            Ok(kept) => all.extend(kept),
            Err(error) => {
                let Place { namespace, name } = Place::parse(object);
                let problem = format!("cannot be read, and is left out: {error}");
                let place = format_args!("{namespace}/{name}");
                unreadable.push(Line::new(Mark::Warning, place, problem));
            }
        }
    }
    Ok((all, unreadable))
}

/// Returns one object as text; `None` if it does not exist.
pub(super) async fn get(
    client: &Client,
    action: impl Into<String>,
    get: Result<http::Request<Vec<u8>>, kube::core::request::Error>,
) -> Result<Option<String>, CommandError> {
    call(action, async {
        match request(client, get).await {
            Ok(object) => Ok(Some(object)),
            Err(error) if is_status(&error, 404) => Ok(None),
            Err(error) => Err(error),
        }
    })
    .await
}

/// Returns one object, as `reduce` reads it; `None` if it does not exist.
pub(super) async fn read<T>(
    client: &Client,
    action: &str,
    request: Result<http::Request<Vec<u8>>, kube::core::request::Error>,
    reduce: impl FnOnce(&str) -> Result<T, serde_json::Error>,
) -> Result<Option<T>, CommandError> {
    let object = get(client, action, request).await?;
    object.map(|object| reduce(&object)).transpose().map_err(|error| unexpected(action, &error))
}

/// Returns the metadata of a Secret; `None` if it does not exist.
pub(super) async fn secret(
    client: &Client,
    namespace: &str,
    name: &str,
) -> Result<Option<FoundSecret>, CommandError> {
    let found = at::<Secret>(Some(namespace)).get_metadata(name, &GetParams::default());
    read(client, &format!("get secrets named {name} in {namespace}"), found, FoundSecret::parse).await
}

/// Returns the error for a response that is not what was requested.
pub(super) fn unexpected(action: &str, error: &serde_json::Error) -> CommandError {
    CommandError::Cluster { action: action.to_owned(), problem: format!("unexpected response: {error}") }
}

/// Lists all Secrets with the pull secret's name, and returns a line for each one that cannot be read. Because of the field
/// selector, a right to only this name is enough.
pub(super) async fn pull_secrets(
    client: &Client,
    name: &str,
) -> Result<(Vec<FoundSecret>, Vec<Line>), CommandError> {
    let by_name = Collection::metadata::<Secret>(None).named(name);
    read_all(client, &by_name, &format!("list secrets named {name} in all namespaces"), |object| {
        FoundSecret::parse(object).map(Some)
    })
    .await
}

/// Reads the configuration in the cluster; returns `None` if there is no ConfigMap.
pub(super) async fn configuration(
    client: &Client,
    args: &ClusterArgs,
) -> Result<Option<Result<Configuration, Mistakes>>, CommandError> {
    let ClusterArgs { sidecar_namespace, config_map, .. } = args;
    let api: Api<ConfigMap> = Api::namespaced(client.clone(), sidecar_namespace);
    let action = format!("get configmaps named {config_map} in {sidecar_namespace}");
    let found = call(action, api.get_opt(config_map)).await?;
    Ok(found.map(|found| {
        let parsed = configuration::from_data(&found.data.unwrap_or_default());
        parsed.map(|parsed| parsed.configuration)
    }))
}

/// Returns the replica that writes; `None` if no replica holds the Lease.
pub(super) async fn leader(
    client: &Client,
    args: &ClusterArgs,
    now: Timestamp,
) -> Result<Option<Leader>, CommandError> {
    let api: Api<Lease> = Api::namespaced(client.clone(), &args.sidecar_namespace);
    let action = format!("get leases named {FIELD_MANAGER} in {}", args.sidecar_namespace);
    let lease = call(action, api.get_opt(FIELD_MANAGER)).await?;
    Ok(lease.and_then(|lease| lease.spec).and_then(|spec| {
        let name = spec.holder_identity.filter(|holder| !holder.is_empty())?;
        let renewed = spec.renew_time.map(|time| time.0);
        let duration = i64::from(spec.lease_duration_seconds.unwrap_or_default());
        let is_alive = renewed.is_some_and(|renewed| now.duration_since(renewed).as_secs() <= duration);
        Some(Leader { name, is_alive })
    }))
}
