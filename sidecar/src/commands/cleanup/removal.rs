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
use super::super::cluster::{FoundSecret, call, get, unexpected};
use super::super::report::{self, Line, Mark};
use super::super::setup::CommandError;
use super::found::{Account, Found, place};
use crate::cluster::types::FIELD_MANAGER;
use crate::kubernetes::{at, decode, request};
use crate::operations::api_error::{describe, is_status};

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

impl Found {
    /// Removes all of it, and says what could not be removed.
    pub(super) async fn remove(self, client: &Client, pull_secret: &str) -> Result<Exit, CommandError> {
        let summary = self.summary();
        let Self { secrets, accounts, lease } = self;
        // The references first: a Pod that starts in between does not ask for a Secret that is gone.
        let entries = accounts.into_iter().map(Task::Entry);
        let lease = lease.map(|lease| Task::Lease(Box::new(lease)));
        let tasks: Vec<_> = entries.chain(secrets.into_iter().map(Task::Secret)).chain(lease).collect();
        let all = tasks.len();
        let mut removals =
            stream::iter(tasks).map(|task| task.perform(client, pull_secret)).buffered(CONCURRENT);
        let (mut done, mut failed) = (0, 0);
        while let Some(outcome) = removals.next().await {
            done += 1;
            if let Err(line) = outcome {
                failed += 1;
                report::to_stderr(line);
            }
            if done % PROGRESS == 0 {
                report::to_stderr(format_args!("{done} of {all} done"));
            }
        }
        if failed > 0 {
            report::to_stdout(format_args!("{failed} of {all} could not be removed; run it again."))?;
            return Ok(Exit::Findings);
        }
        report::to_stdout(format_args!("Removed {summary}."))?;
        Ok(Exit::Success)
    }
}

impl Task {
    async fn perform(self, client: &Client, pull_secret: &str) -> Result<(), Line> {
        match self {
            Self::Entry(account) => {
                let place = format!("ServiceAccount {}/{}", account.namespace, account.name);
                let removed = take_off(client, &account, pull_secret).await;
                removed.map_err(|error| Line::new(Mark::Error, place, error))
            }
            Self::Secret(secret) => {
                let FoundSecret { name, namespace, facts } = secret;
                let place = format!("Secret {namespace}/{name}");
                let (uid, version) = (facts.uid.into_string(), facts.resource_version.into_string());
                let exactly = Preconditions { uid: Some(uid), resource_version: Some(version) };
                let removed = delete::<Secret>(client, &namespace, &name, exactly).await;
                removed.map_err(|problem| Line::new(Mark::Error, place, problem))
            }
            Self::Lease(lease) => {
                let place = format!("Lease {}", place(&lease));
                let ObjectMeta { name, namespace, uid, resource_version, .. } = *lease;
                let (name, namespace) = (name.unwrap_or_default(), namespace.unwrap_or_default());
                let exactly = Preconditions { uid, resource_version };
                let removed = delete::<Lease>(client, &namespace, &name, exactly).await;
                removed.map_err(|problem| Line::new(Mark::Error, place, problem))
            }
        }
    }
}

/// The list without our entry, guarded by its version: what others add meanwhile is never lost.
async fn take_off(client: &Client, account: &Account, pull_secret: &str) -> Result<(), CommandError> {
    let Account { namespace, name } = account;
    let accounts = at::<ServiceAccount>(Some(namespace));
    let mut forgets_managers = false;
    for _ in 0..ATTEMPTS {
        let read = accounts.get(name, &GetParams::default());
        let Some(found) = get(client, "read it", read).await? else { return Ok(()) };
        let found: ServiceAccount = decode(&found).map_err(|error| unexpected("read it", &error))?;
        let is_listed = found.image_pull_secrets.iter().flatten().any(|entry| entry.name == pull_secret);
        if !is_listed {
            return Ok(());
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
            return Ok(());
        }
    }
    Err(CommandError::Refused("somebody else keeps writing it: stop that, and run this again".to_owned()))
}

/// Deletes exactly the object that was looked at: one that was made or changed since is left alone.
async fn delete<K>(client: &Client, namespace: &str, name: &str, exactly: Preconditions) -> Result<(), String>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
{
    let parameters = DeleteParams::default().preconditions(exactly);
    let deleted = call("delete it", async {
        match request(client, at::<K>(Some(namespace)).delete(name, &parameters)).await {
            Ok(_) => Ok(Ok(())),
            Err(error) if is_status(&error, 404) => Ok(Ok(())),
            Err(error) if is_status(&error, 409) => Ok(Err(format!(
                "left alone, since it was changed meanwhile ({}): run this again",
                describe(&error)
            ))),
            Err(error) => Err(error),
        }
    });
    deleted.await.map_err(|error| error.to_string())?
}

#[cfg(test)]
mod tests;
