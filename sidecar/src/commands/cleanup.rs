//! `cleanup`: takes everything out of the cluster that the sidecar ever put there.

use std::io::{BufRead as _, IsTerminal as _, Write as _};

use futures::StreamExt as _;
use futures::stream;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{LocalObjectReference, Secret, ServiceAccount};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, Preconditions};
use kube::{Api, Client, ResourceExt as _};
use serde_json::json;

use super::Exit;
use super::cluster::{self, Leader, PullSecret, call};
use super::report::{self, Line, Mark};
use super::setup::{self, CommandError};
use crate::args::{CleanupArgs, ClusterArgs};
use crate::cluster::state::STATE_SECRET;
use crate::cluster::types::FIELD_MANAGER;
use crate::operations::api_error::{describe, is_status};

/// Objects written at the same time.
const CONCURRENT: usize = 8;

/// Progress is told after so many objects.
const PROGRESS: usize = 500;

/// How often a list is read anew when somebody else writes it at the same time.
const ATTEMPTS: usize = 5;

pub(super) fn run(args: CleanupArgs) -> Result<Exit, CommandError> {
    let CleanupArgs { dry_run, yes, cluster } = args;
    let can_ask = std::io::stdin().is_terminal();
    if !dry_run && !yes && !can_ask {
        let advice =
            "nobody can be asked here: add --yes to remove everything, or --dry-run to see what that is";
        return Err(CommandError::Refused(advice.to_owned()));
    }
    setup::runtime()?.block_on(async {
        let client = cluster::connect(&cluster).await?;
        if !dry_run {
            refuse_while_led(cluster::leader(&client, &cluster, Timestamp::now()).await?.as_ref())?;
        }
        let found = Found::look(&client, &cluster).await?;
        if dry_run {
            return found.describe(&cluster.pull_secret);
        }
        if found.is_empty() {
            report::to_stdout("There is nothing to remove.")?;
            return Ok(Exit::Success);
        }
        if !yes && !confirmed(&found)? {
            report::to_stdout("Nothing was removed.")?;
            return Ok(Exit::Success);
        }
        found.remove(&client, &cluster.pull_secret).await
    })
}

fn refuse_while_led(leader: Option<&Leader>) -> Result<(), CommandError> {
    match leader {
        Some(leader) if leader.is_alive => Err(CommandError::Refused(format!(
            "the sidecar {} is at work and would write everything again: scale its Deployment to 0, and wait until \
             its Pods are gone",
            leader.name
        ))),
        _ => Ok(()),
    }
}

fn confirmed(found: &Found) -> Result<bool, CommandError> {
    let mut stderr = std::io::stderr();
    write!(stderr, "Remove {}? [y/N] ", found.summary())?;
    stderr.flush()?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

/// What is to be removed.
struct Found {
    secrets: Vec<PullSecret>,
    accounts: Vec<Account>,
}

/// A service account that lists the pull secret.
struct Account {
    namespace: String,
    name: String,
}

/// One thing to remove.
enum Task {
    Entry(Account),
    Secret(PullSecret),
}

impl Found {
    async fn look(client: &Client, args: &ClusterArgs) -> Result<Self, CommandError> {
        let ClusterArgs { sidecar_namespace, pull_secret, .. } = args;
        let mut secrets = cluster::pull_secrets(client, pull_secret).await?;
        let own: Api<Secret> = Api::namespaced(client.clone(), sidecar_namespace);
        let state = call("read the metadata of the state", own.get_metadata_opt(STATE_SECRET)).await?;
        secrets.extend(state.map(|state| PullSecret::of(state.metadata)));
        secrets.retain(|secret| secret.ours);
        let api: Api<ServiceAccount> = Api::all(client.clone());
        let mut parameters = ListParams::default().limit(500);
        let mut accounts = Vec::new();
        loop {
            let page = call("list the service accounts", api.list(&parameters)).await?;
            let listing = page.items.into_iter().filter(|account| lists(account, pull_secret));
            accounts.extend(listing.map(|account| Account {
                namespace: account.namespace().unwrap_or_default(),
                name: account.name_any(),
            }));
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => parameters.continue_token = Some(token),
                None => return Ok(Self { secrets, accounts }),
            }
        }
    }

    fn is_empty(&self) -> bool {
        self.secrets.is_empty() && self.accounts.is_empty()
    }

    fn summary(&self) -> String {
        format!(
            "{} and {}",
            report::counted(self.secrets.len(), "Secret"),
            report::counted_as(
                self.accounts.len(),
                "entry of a service account",
                "entries of service accounts"
            ),
        )
    }

    fn describe(&self, pull_secret: &str) -> Result<Exit, CommandError> {
        for Account { namespace, name } in &self.accounts {
            report::to_stdout(format_args!(
                "would take {pull_secret} off the ServiceAccount {namespace}/{name}"
            ))?;
        }
        for secret in &self.secrets {
            report::to_stdout(format_args!("would delete the Secret {}/{}", secret.namespace, secret.name))?;
        }
        report::to_stdout(format_args!("Would remove {}.", self.summary()))?;
        Ok(Exit::Success)
    }

    async fn remove(self, client: &Client, pull_secret: &str) -> Result<Exit, CommandError> {
        let summary = self.summary();
        let Self { secrets, accounts } = self;
        // The references first: a Pod that starts in between does not ask for a Secret that is gone.
        let tasks: Vec<_> =
            accounts.into_iter().map(Task::Entry).chain(secrets.into_iter().map(Task::Secret)).collect();
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
                let place = format!("Secret {}/{}", secret.namespace, secret.name);
                let removed = delete(client, secret).await;
                removed.map_err(|problem| Line::new(Mark::Error, place, problem))
            }
        }
    }
}

fn lists(account: &ServiceAccount, pull_secret: &str) -> bool {
    account.image_pull_secrets.iter().flatten().any(|entry| entry.name == pull_secret)
}

/// The list without our entry, guarded by its version: what others add meanwhile is never lost.
async fn take_off(client: &Client, account: &Account, pull_secret: &str) -> Result<(), CommandError> {
    let Account { namespace, name } = account;
    let api: Api<ServiceAccount> = Api::namespaced(client.clone(), namespace);
    for _ in 0..ATTEMPTS {
        let Some(found) = call("read it", api.get_opt(name)).await? else { return Ok(()) };
        if !lists(&found, pull_secret) {
            return Ok(());
        }
        let version = found.resource_version();
        let others = found.image_pull_secrets.into_iter().flatten().filter(|entry| entry.name != pull_secret);
        let others: Vec<LocalObjectReference> = others.collect();
        let change = json!({
            "metadata": { "resourceVersion": version },
            "imagePullSecrets": if others.is_empty() { None } else { Some(others) },
        });
        let parameters =
            PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
        let written = call("write it", async {
            match api.patch_metadata(name, &parameters, &Patch::Merge(&change)).await {
                Ok(_) => Ok(true),
                // It is gone, and its list with it.
                Err(error) if is_status(&error, 404) => Ok(true),
                Err(error) if is_status(&error, 409) => Ok(false),
                Err(error) => Err(error),
            }
        });
        if written.await? {
            return Ok(());
        }
    }
    Err(CommandError::Refused("somebody else keeps writing it: stop that, and run this again".to_owned()))
}

/// Deletes exactly the Secret that was looked at: one that was made or changed since is left alone.
async fn delete(client: &Client, secret: PullSecret) -> Result<(), String> {
    let PullSecret { name, namespace, uid, resource_version, .. } = secret;
    let api: Api<Secret> = Api::namespaced(client.clone(), &namespace);
    let parameters = DeleteParams::default().preconditions(Preconditions { uid, resource_version });
    let deleted = call("delete it", async {
        match api.delete(&name, &parameters).await {
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
mod tests {
    use std::sync::{Arc, Mutex};

    use kube::api::ObjectMeta;

    use super::*;
    use crate::operations::testing::{api_server, refusal};

    const OURS: &str = "acr-credential-secret-aggregation";

    #[test]
    fn a_sidecar_at_work_is_named_and_one_that_is_gone_does_not_matter() {
        let leader = |is_alive| Leader { name: "sidecar-0".to_owned(), renewed: None, is_alive };
        let error = refuse_while_led(Some(&leader(true))).unwrap_err().to_string();
        assert!(
            error.starts_with("the sidecar sidecar-0 is at work and would write everything again: scale")
        );
        assert!(refuse_while_led(Some(&leader(false))).is_ok());
        assert!(refuse_while_led(None).is_ok());
    }

    #[tokio::test]
    async fn an_entry_that_somebody_adds_meanwhile_is_never_lost() {
        let list = Arc::new(Mutex::new(vec!["mine", OURS, "b"]));
        let stored = Arc::clone(&list);
        let mut version = 1;
        let client = api_server(move |method, _, body| {
            let mut list = stored.lock().unwrap();
            if method == "GET" {
                let entries: Vec<_> = list.iter().map(|name| json!({ "name": name })).collect();
                let metadata = json!({ "name": "default", "resourceVersion": version.to_string() });
                return (200, json!({ "metadata": metadata, "imagePullSecrets": entries }));
            }
            // Right before our first write.
            if version == 1 {
                list.push("theirs");
                version = 2;
            }
            let current = version.to_string();
            if body["metadata"]["resourceVersion"].as_str() != Some(&*current) {
                return refusal(409);
            }
            let names: Vec<_> = body["imagePullSecrets"].as_array().unwrap().iter().collect();
            list.retain(|name| names.iter().any(|entry| entry["name"] == *name));
            (200, json!({ "metadata": { "name": "default" } }))
        });
        let account = Account { namespace: "team-a".to_owned(), name: "default".to_owned() };
        take_off(&client, &account, OURS).await.unwrap();
        assert_eq!(*list.lock().unwrap(), ["mine", "b", "theirs"]);
    }

    #[tokio::test]
    async fn a_secret_that_changed_since_it_was_looked_at_is_left_alone() {
        let client = api_server(|method, _, body| {
            assert_eq!(method, "DELETE");
            assert_eq!(body["preconditions"], json!({ "uid": "u-1", "resourceVersion": "7" }));
            refusal(409)
        });
        let secret = PullSecret::of(ObjectMeta {
            name: Some(OURS.to_owned()),
            namespace: Some("team-a".to_owned()),
            uid: Some("u-1".to_owned()),
            resource_version: Some("7".to_owned()),
            ..ObjectMeta::default()
        });
        let problem = delete(&client, secret).await.unwrap_err();
        assert!(problem.starts_with("left alone, since it was changed meanwhile"), "{problem}");
    }

    #[test]
    fn the_summary_counts_in_words() {
        let account = || Account { namespace: "team-a".to_owned(), name: "default".to_owned() };
        let summary = |accounts| Found { secrets: Vec::new(), accounts }.summary();
        assert_eq!(summary(vec![account()]), "0 Secrets and 1 entry of a service account");
        assert_eq!(summary(vec![]), "0 Secrets and 0 entries of service accounts");
    }
}
