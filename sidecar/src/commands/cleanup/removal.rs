//! Removes the objects that were found, each only in the state in which it was found.

use futures::StreamExt as _;
use futures::stream;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Secret, ServiceAccount};
use kube::Client;
use kube::api::{GetParams, ObjectMeta};

use super::super::Exit;
use super::super::cluster::{self, FoundSecret, get, unexpected};
use super::super::report::{self, Line, Mark};
use super::super::setup::CommandError;
use super::deadline::{Deadline, pause};
use super::leftovers::{Leftovers, ListingAccount, list_too_long, place};
use crate::cluster::apply::{Writer, delete};
use crate::cluster::observed::{self, PullSecret};
use crate::cluster::plan::AccountAction;
use crate::kubernetes::{ApiError, Metadata, at};
use crate::progress;

/// Number of objects that are written at the same time.
const CONCURRENT: usize = 8;

/// Where no progress is shown, a line is written after this many objects.
const LOGGED: usize = 500;

/// How often a list is read again when another writer writes it at the same time.
const ATTEMPTS: usize = 5;

/// One object to remove.
enum Task {
    Entry(ListingAccount),
    Secret(FoundSecret),
    Lease(Box<ObjectMeta>),
}

/// The result of a removal.
enum Removal {
    Done,
    /// The object has changed: another writer writes it.
    Conflict,
    /// The API server does not answer, or has too much to do.
    Unanswered(CommandError),
    /// The object stays, for this reason.
    Held(String),
}

impl Leftovers {
    /// Removes all of it, and reports what could not be removed. If tenants hold up a removal, it is retried until the end of the
    /// deadline; after that it is a warning, so that tenants cannot keep others from uninstalling.
    pub(super) async fn remove(
        self,
        client: &Client,
        pull_secret: &str,
        deadline: Deadline,
    ) -> Result<Exit, CommandError> {
        let summary = self.summary();
        let Self { secrets, accounts, lease, left_alone: mut warnings } = self;
        // The references go first: a Pod that starts in between must not ask for a Secret that is gone.
        let entries = accounts.into_iter().map(Task::Entry);
        let lease = lease.map(|lease| Task::Lease(Box::new(lease)));
        let mut tasks: Vec<_> = entries.chain(secrets.into_iter().map(Task::Secret)).chain(lease).collect();
        let all = tasks.len();
        let (mut removed, mut failed) = (0, 0);
        while !tasks.is_empty() {
            let mut again = Vec::new();
            let mut removals = stream::iter(tasks)
                .map(async |task| {
                    let removal = task.perform(client, pull_secret).await;
                    (task, removal)
                })
                .buffered(CONCURRENT);
            while let Some((task, removal)) = removals.next().await {
                let why = match removal {
                    Ok(Removal::Done) => {
                        removed += 1;
                        let text = || format!("{removed} of {all} removed");
                        if !progress::show(text) && removed % LOGGED == 0 {
                            report::to_stderr(text());
                        }
                        continue;
                    }
                    Ok(Removal::Conflict | Removal::Unanswered(_)) if !deadline.is_over() => {
                        again.push(task);
                        continue;
                    }
                    Ok(Removal::Conflict) => "left alone: other writers keep changing it".to_owned(),
                    Ok(Removal::Held(why)) => why,
                    Ok(Removal::Unanswered(error)) | Err(error) => {
                        failed += 1;
                        report::line_to_stderr(&Line::new(Mark::Error, task.place(), error));
                        continue;
                    }
                };
                warnings.push(Line::new(Mark::Warning, task.place(), why));
            }
            tasks = again;
            if !tasks.is_empty() {
                pause().await;
            }
        }
        warnings.iter().for_each(report::line_to_stderr);
        if failed > 0 {
            report::to_stdout(format_args!("{failed} of {all} could not be removed; run it again."))?;
            return Ok(Exit::Findings);
        }
        if removed < all {
            report::to_stdout(format_args!("Removed {removed} of {all}; the warnings name the others."))?;
        } else {
            report::to_stdout(format_args!("Removed {summary}."))?;
        }
        Ok(Exit::Success)
    }
}

impl Task {
    fn place(&self) -> String {
        match self {
            Self::Entry(ListingAccount { namespace, name }) => format!("ServiceAccount {namespace}/{name}"),
            Self::Secret(FoundSecret { namespace, name, .. }) => format!("Secret {namespace}/{name}"),
            Self::Lease(lease) => format!("Lease {}", place(lease)),
        }
    }

    async fn perform(&self, client: &Client, pull_secret: &str) -> Result<Removal, CommandError> {
        match self {
            Self::Entry(account) => take_off(client, account, pull_secret).await,
            Self::Secret(secret) => remove(client, secret).await,
            Self::Lease(lease) => match delete_lease(client, lease).await? {
                Removal::Conflict => Err(CommandError::Refused(
                    "a sidecar has started to write it: stop that sidecar".to_owned(),
                )),
                removal => Ok(removal),
            },
        }
    }
}

/// Removes our entry from a list. The write is guarded by the version of the list, so entries that others add meanwhile are never
/// lost. The result is a conflict if others were faster every time.
async fn take_off(
    client: &Client,
    ListingAccount { namespace, name }: &ListingAccount,
    pull_secret: &str,
) -> Result<Removal, CommandError> {
    let writer = Writer::new(client.clone(), pull_secret.into());
    for _ in 0..ATTEMPTS {
        let read = at::<ServiceAccount>(Some(namespace)).get(name, &GetParams::default());
        let Some(found) = get(client, "read it", read).await? else { return Ok(Removal::Done) };
        let facts = Metadata::parse(&found)
            .and_then(|metadata| observed::ServiceAccount::from_object(&found, &metadata, pull_secret))
            .map_err(|error| unexpected("read it", &error))?;
        if !facts.lists(pull_secret) {
            return Ok(Removal::Done);
        }
        if facts.is_too_long {
            return Ok(Removal::Held(list_too_long(pull_secret)));
        }
        match writer.account(namespace, &AccountAction::detach(&facts, pull_secret)).await {
            // An account that is gone has no list.
            Ok(_) | Err(ApiError::Gone) => return Ok(Removal::Done),
            Err(ApiError::Conflict) => {}
            Err(failure) => return failed("write it", &failure),
        }
    }
    Ok(Removal::Conflict)
}

/// Deletes a Secret in the version that was found. If it is written all the time, it is deleted in any version, as long as it is
/// the same Secret and still ours.
async fn remove(client: &Client, secret: &FoundSecret) -> Result<Removal, CommandError> {
    let FoundSecret { name, namespace, facts: PullSecret { uid, resource_version, .. } } = secret;
    let mut deleted = delete::<Secret>(client, namespace, name, uid, Some(resource_version)).await;
    if matches!(deleted, Err(ApiError::Conflict)) {
        match cluster::secret(client, namespace, name).await? {
            None => return Ok(Removal::Done),
            Some(now) if now.facts.uid == *uid && now.facts.surely_ours => {
                deleted = delete::<Secret>(client, namespace, name, uid, None).await;
            }
            Some(_) => {
                return Ok(Removal::Held("left alone: another manager has taken it over".to_owned()));
            }
        }
    }
    removal(deleted)
}

async fn delete_lease(client: &Client, lease: &ObjectMeta) -> Result<Removal, CommandError> {
    let ObjectMeta { name, namespace, uid, resource_version, .. } = lease;
    let [name, namespace, uid] = [name, namespace, uid].map(|text| text.as_deref().unwrap_or_default());
    removal(delete::<Lease>(client, namespace, name, uid, resource_version.as_deref()).await)
}

fn removal(deleted: Result<Vec<String>, ApiError>) -> Result<Removal, CommandError> {
    let finalizers = match deleted {
        Ok(finalizers) => finalizers,
        Err(failure) => return failed("delete it", &failure),
    };
    let noun = match finalizers.len() {
        0 => return Ok(Removal::Done),
        1 => "finalizer",
        _ => "finalizers",
    };
    Ok(Removal::Held(format!("is being deleted, held by the {noun} {}", finalizers.join(", "))))
}

/// A conflict, or an API server that cannot answer now, may pass: the write is tried again.
fn failed(action: &str, failure: &ApiError) -> Result<Removal, CommandError> {
    let error = CommandError::Cluster { action: action.to_owned(), problem: failure.to_string() };
    match failure {
        ApiError::Conflict => Ok(Removal::Conflict),
        ApiError::Busy { .. } | ApiError::Unreachable(_) => Ok(Removal::Unanswered(error)),
        _ => Err(error),
    }
}

#[cfg(test)]
mod tests;
