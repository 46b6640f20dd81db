//! The way from a configuration to an image that can be pulled, and where it breaks. Pure.

mod image;
mod list;

use std::collections::BTreeMap;

use jiff::Timestamp;
use kube::api::ObjectMeta;
use kube::core::SelectorExt as _;

use super::super::report::{self, Line, Mark};
use super::policy::{Account, Policies};
use super::subject::{Kind, Subject};
use crate::cluster::observed::PullSecret;
use crate::configuration::{Attach, Configuration};

/// All that decides.
#[derive(Debug, Clone, Copy)]
pub(super) struct Surroundings<'a> {
    pub(super) configuration: &'a Configuration,
    pub(super) pull_secret: &'a str,
    pub(super) policies: &'a Policies,
    /// Who creates what is in a manifest; empty for a person.
    pub(super) user: &'a str,
    /// None where no cluster is asked.
    pub(super) cluster: Option<&'a Cluster>,
    pub(super) now: Timestamp,
}

/// What the cluster has.
#[derive(Debug, Clone)]
pub(super) struct Cluster {
    pub(super) namespace: Option<ObjectMeta>,
    pub(super) account: Account,
    /// The Secret of the pull secret's name in that namespace.
    pub(super) secret: Option<PullSecret>,
    /// What the sidecar last reported about it, where there is none.
    pub(super) report: Option<String>,
    /// The hosts in it, where they were read.
    pub(super) hosts: Option<Vec<String>>,
    /// The lists of the Pods that a workload has made, as far as they have not finished.
    pub(super) lists_of_pods: Vec<Vec<String>>,
}

/// Judges every step; a step that fails does not hide what else is wrong. Where no image needs the pull secret, nothing else
/// matters but what the policies say of the list all the same.
pub(super) fn judge(subject: &Subject, around: &Surroundings<'_>) -> Vec<Line> {
    let mut lines = assumptions(subject, around);
    let images: Vec<_> = subject.images.iter().map(|name| image::judge(name, subject, around)).collect();
    let needs_login = images.iter().any(|image| image.needs_login);
    let images = images.into_iter().map(|image| image.line);
    match (needs_login, subject.is_mirror) {
        (false, _) => {
            lines.extend(images);
            lines.extend(list::verdicts(subject, around));
        }
        (true, true) => {
            let problem = "is the mirror of a static Pod, which can use no Secret: its node needs the login, by a \
                           credential provider of the kubelet for example";
            lines.push(Line::new(Mark::Error, "Pod", problem));
            lines.extend(images);
        }
        (true, false) => {
            lines.extend([namespace(subject, around), service_account(subject, around)]);
            lines.extend(list::policies(subject, around));
            lines.extend(list::list(subject, around));
            lines.push(secret(around));
            lines.extend(images);
            lines.extend(list::pods(subject, around));
        }
    }
    lines
}

/// What was not looked at, and is taken for granted.
fn assumptions(subject: &Subject, around: &Surroundings<'_>) -> Vec<Line> {
    let mut lines = Vec::new();
    if let Policies::Known { assumed: Some(assumed), .. } = around.policies {
        lines.push(Line::new(Mark::Skipped, "policies", assumed));
    }
    if matches!(subject.kind, Kind::PodToCome | Kind::Workload { exists: false, .. }) {
        let user = if around.user.is_empty() { "a person" } else { around.user };
        lines.push(Line::new(
            Mark::Ok,
            "user",
            format_args!("judged as created by {user} (change it with --as)"),
        ));
    }
    lines
}

/// Whether nothing of this stands in the way.
pub(super) fn passes(lines: &[Line]) -> bool {
    lines.iter().all(|line| line.mark != Mark::Error)
}

fn namespace(subject: &Subject, around: &Surroundings<'_>) -> Line {
    let name = &subject.namespace;
    let Surroundings { configuration, cluster, .. } = around;
    let say = |mark, message: String| Line::new(mark, format_args!("namespace {name}"), message);
    let names = &configuration.namespaces;
    if !names.contains(name) {
        let is_excluded = names.include.iter().any(|pattern| pattern.matches(name));
        return say(
            Mark::Error,
            if is_excluded {
                format!("is taken out by exclude-namespace: name {name} exactly in watch-namespace")
            } else {
                format!("is not managed: add {name} to watch-namespace")
            },
        );
    }
    match (&configuration.namespace_selector, cluster) {
        (Some(selector), None) => {
            say(Mark::Warning, format!("is managed if its labels match watch-namespace-selector: {selector}"))
        }
        (_, Some(Cluster { namespace: None, .. })) => {
            say(Mark::Error, "does not exist: create it".to_owned())
        }
        (_, Some(Cluster { namespace: Some(metadata), .. })) if metadata.deletion_timestamp.is_some() => {
            say(Mark::Error, "is being deleted: nothing new can start in it".to_owned())
        }
        (Some(selector), Some(Cluster { namespace: Some(metadata), .. }))
            if !selector.matches(metadata.labels.as_ref().unwrap_or(&BTreeMap::new())) =>
        {
            say(Mark::Error, format!("has no labels that watch-namespace-selector wants: {selector}"))
        }
        (None, None) | (_, Some(_)) => say(Mark::Ok, "is managed".to_owned()),
    }
}

fn service_account(subject: &Subject, around: &Surroundings<'_>) -> Line {
    let name = &subject.service_account;
    let Surroundings { configuration, pull_secret, cluster, .. } = around;
    let say = |mark, message: String| Line::new(mark, format_args!("service account {name}"), message);
    let lists = |names: &[String]| names.iter().any(|listed| listed == pull_secret);
    let by_policy = configuration.attach == Attach::Pod;
    let account = cluster.map_or(&Account::Unknown, |cluster| &cluster.account);
    match account {
        Account::Absent => {
            return say(Mark::Error, "does not exist, so no Pod of it is created: create it".to_owned());
        }
        Account::Found { pull_secrets, enforces_mountable: true } if by_policy && !lists(pull_secrets) => {
            return say(
                Mark::Error,
                format!(
                    "enforces mountable secrets and does not list {pull_secret}, so its Pods are refused: set attach \
                     to both"
                ),
            );
        }
        Account::Unknown | Account::Found { .. } => {}
    }
    if !configuration.service_accounts.contains(name) {
        return if subject.lists(pull_secret) {
            say(Mark::Ok, "is not selected, but the list below has the pull secret anyway".to_owned())
        } else if list::is_copied(subject, around) {
            say(Mark::Ok, format!("is not selected, but lists {pull_secret} anyway"))
        } else if list::is_added(subject, around) {
            say(
                Mark::Warning,
                format!("is not selected, but the policies select it: add {name} to service-account"),
            )
        } else {
            say(
                Mark::Error,
                format!("is not selected: add {name} to service-account, here and in the policies"),
            )
        };
    }
    match account {
        Account::Found { pull_secrets, .. } if !by_policy && !lists(pull_secrets) => say(
            Mark::Error,
            format!(
                "is selected, but does not list {pull_secret}: the Events of it say what the sidecar waits for"
            ),
        ),
        Account::Found { .. } if !by_policy => say(Mark::Ok, format!("is selected, and lists {pull_secret}")),
        Account::Unknown | Account::Absent | Account::Found { .. } => say(Mark::Ok, "is selected".to_owned()),
    }
}

fn secret(around: &Surroundings<'_>) -> Line {
    let Surroundings { pull_secret, cluster, now, .. } = around;
    let say = |mark, message: String| Line::new(mark, format_args!("Secret {pull_secret}"), message);
    let Some(cluster) = cluster else {
        return say(Mark::Skipped, "not looked at: no cluster was asked".to_owned());
    };
    if let Some(by) = cluster.secret.as_ref().and_then(PullSecret::contested_by) {
        return say(
            Mark::Error,
            format!(
                "was changed by {by}, so what it holds is unknown: the sidecar writes it again; let {by} use another name"
            ),
        );
    }
    match &cluster.secret {
        None => match &cluster.report {
            Some(report) => say(Mark::Error, format!("is missing; the sidecar reported: {report}")),
            None => say(
                Mark::Error,
                "is missing: `status` and the log of the sidecar say what it waits for".to_owned(),
            ),
        },
        Some(secret) if !secret.ours => say(
            Mark::Error,
            "another manager created it, so it is left alone: delete it, or run the sidecar with --adopt"
                .to_owned(),
        ),
        Some(PullSecret { expires_at: None, .. }) => {
            say(Mark::Error, "holds no credential: `check --online` says why none can be had".to_owned())
        }
        Some(PullSecret { expires_at: Some(at), .. }) if at <= now => {
            say(Mark::Error, format!("expired at {at}: `status` and the log of the sidecar say why"))
        }
        Some(PullSecret { expires_at: Some(at), registries, .. }) => say(
            Mark::Ok,
            format!(
                "is valid for {}, and holds {}",
                report::time_left(*now, *at),
                registries.replace(',', ", ")
            ),
        ),
    }
}

#[cfg(test)]
mod tests;
