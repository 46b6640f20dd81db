//! Removes what was found, each thing only as it was looked at.

use futures::StreamExt as _;
use futures::stream;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{LocalObjectReference, Secret, ServiceAccount};
use kube::api::{DeleteParams, GetParams, ObjectMeta, Patch, PatchParams, Preconditions};
use kube::{Client, Resource, ResourceExt as _};
use serde_json::json;

use super::super::Exit;
use super::super::cluster::{self, FoundSecret, call, get, unexpected};
use super::super::report::{self, Line, Mark};
use super::super::setup::CommandError;
use super::deadline::{Deadline, pause};
use super::leftovers::{Account, Leftovers, place};
use crate::cluster::observed::FIELD_MANAGER;
use crate::kubernetes::api_error::is_status;
use crate::kubernetes::{Metadata, as_metadata, at, decode, request};

/// Objects written at the same time.
const CONCURRENT: usize = 8;

/// Progress is told after so many objects.
const PROGRESS: usize = 500;

/// How often a list is read anew when somebody else writes it at the same time.
const ATTEMPTS: usize = 5;

/// One thing to remove.
enum Task {
    Entry(Account),
    Secret(FoundSecret),
    Lease(Box<ObjectMeta>),
}

/// What became of it.
enum Removal {
    Done,
    /// It is not what it was: somebody else writes it.
    Conflict,
    /// It stays, and why.
    Held(String),
}

impl Leftovers {
    /// Removes all of it, and says what could not be removed. What tenants hold up is tried again until the end of the deadline;
    /// after that it is a warning, since nobody else is to be kept from uninstalling.
    pub(super) async fn remove(
        self,
        client: &Client,
        pull_secret: &str,
        deadline: Deadline,
    ) -> Result<Exit, CommandError> {
        let summary = self.summary();
        let Self { secrets, accounts, lease, left_alone: mut warnings } = self;
        // The references first: a Pod that starts in between does not ask for a Secret that is gone.
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
                        if removed % PROGRESS == 0 {
                            report::to_stderr(format_args!("{removed} of {all} done"));
                        }
                        continue;
                    }
                    Ok(Removal::Conflict) if !deadline.is_over() => {
                        again.push(task);
                        continue;
                    }
                    Ok(Removal::Conflict) => "left alone: other writers keep changing it".to_owned(),
                    Ok(Removal::Held(why)) => why,
                    Err(error) => {
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
            Self::Entry(Account { namespace, name }) => format!("ServiceAccount {namespace}/{name}"),
            Self::Secret(FoundSecret { namespace, name, .. }) => format!("Secret {namespace}/{name}"),
            Self::Lease(lease) => format!("Lease {}", place(lease)),
        }
    }

    async fn perform(&self, client: &Client, pull_secret: &str) -> Result<Removal, CommandError> {
        match self {
            Self::Entry(account) => take_off(client, account, pull_secret).await,
            Self::Secret(secret) => remove(client, secret).await,
            Self::Lease(lease) => {
                let ObjectMeta { name, namespace, uid, resource_version, .. } = &**lease;
                let exactly = Preconditions { uid: uid.clone(), resource_version: resource_version.clone() };
                let (name, namespace) = (name.as_deref().unwrap_or_default(), namespace.as_deref());
                match delete::<Lease>(client, namespace.unwrap_or_default(), name, exactly).await? {
                    Removal::Conflict => {
                        Err(CommandError::Refused("a sidecar has begun to write it: stop that".to_owned()))
                    }
                    removal => Ok(removal),
                }
            }
        }
    }
}

/// The list without our entry, guarded by its version: what others add meanwhile is never lost. It is a conflict where others
/// were faster every time.
async fn take_off(client: &Client, account: &Account, pull_secret: &str) -> Result<Removal, CommandError> {
    let Account { namespace, name } = account;
    let accounts = at::<ServiceAccount>(Some(namespace));
    let mut forgets_managers = false;
    for _ in 0..ATTEMPTS {
        let read = accounts.get(name, &GetParams::default());
        let Some(found) = get(client, "read it", read).await? else { return Ok(Removal::Done) };
        let found: ServiceAccount = decode(&found).map_err(|error| unexpected("read it", &error))?;
        let is_listed = found.image_pull_secrets.iter().flatten().any(|entry| entry.name == pull_secret);
        if !is_listed {
            return Ok(Removal::Done);
        }
        let version = found.resource_version();
        let others = found.image_pull_secrets.into_iter().flatten().filter(|entry| entry.name != pull_secret);
        let others: Vec<LocalObjectReference> = others.collect();
        let metadata = if forgets_managers {
            json!({ "resourceVersion": version, "managedFields": [{}] })
        } else {
            json!({ "resourceVersion": version })
        };
        let change = json!({
            "metadata": metadata,
            "imagePullSecrets": if others.is_empty() { None } else { Some(others) },
        });
        let parameters =
            PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
        let patch = accounts.patch_metadata(name, &parameters, &Patch::Merge(&change));
        let written = call("write it", async {
            match request(client, patch).await {
                Ok(_) => Ok(true),
                // It is gone, and its list with it.
                Err(error) if is_status(&error, 404) => Ok(true),
                Err(error) if is_status(&error, 409) => Ok(false),
                // The API server keeps dates in managedFields that it cannot read itself, so it takes no patch of such an
                // object. This empties them
                // (<https://kubernetes.io/docs/reference/using-api/server-side-apply/#clearing-managedfields>).
                Err(error) if is_status(&error, 422) && !forgets_managers => {
                    forgets_managers = true;
                    Ok(false)
                }
                Err(error) => Err(error),
            }
        });
        if written.await? {
            return Ok(Removal::Done);
        }
    }
    Ok(Removal::Conflict)
}

/// Deletes a Secret as it was looked at. One that is written to all the time is deleted in any version, as long as it is the same
/// and still ours.
async fn remove(client: &Client, secret: &FoundSecret) -> Result<Removal, CommandError> {
    let FoundSecret { name, namespace, facts } = secret;
    let uid = Some(facts.uid.to_string());
    let exactly =
        Preconditions { uid: uid.clone(), resource_version: Some(facts.resource_version.to_string()) };
    let removal = delete::<Secret>(client, namespace, name, exactly).await?;
    if !matches!(removal, Removal::Conflict) {
        return Ok(removal);
    }
    match cluster::secret(client, namespace, name, "read its metadata").await? {
        None => Ok(Removal::Done),
        Some(now) if now.facts.uid == facts.uid && now.facts.surely_ours => {
            delete::<Secret>(client, namespace, name, Preconditions { uid, resource_version: None }).await
        }
        Some(_) => Ok(Removal::Held("left alone: another manager has taken it over".to_owned())),
    }
}

/// Deletes the object that was looked at: one that was made since is left alone.
async fn delete<K>(
    client: &Client,
    namespace: &str,
    name: &str,
    exactly: Preconditions,
) -> Result<Removal, CommandError>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
{
    let parameters = DeleteParams::default().preconditions(exactly);
    call("delete it", async {
        match request(client, as_metadata(at::<K>(Some(namespace)).delete(name, &parameters))).await {
            Ok(answer) => Ok(held(&answer).map_or(Removal::Done, Removal::Held)),
            Err(error) if is_status(&error, 404) => Ok(Removal::Done),
            Err(error) if is_status(&error, 409) => Ok(Removal::Conflict),
            Err(error) => Err(error),
        }
    })
    .await
}

/// What is gone is answered with a status, and what waits for a finalizer with the object.
fn held(answer: &str) -> Option<String> {
    let finalizers = Metadata::of(answer).ok()?.finalizers();
    let names = finalizers.join(", ");
    let noun = if finalizers.len() == 1 { "finalizer" } else { "finalizers" };
    (!finalizers.is_empty()).then(|| format!("is being deleted, held by the {noun} {names}"))
}

#[cfg(test)]
mod tests;
