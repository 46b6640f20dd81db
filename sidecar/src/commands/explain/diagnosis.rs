//! Judges all steps from a configuration to an image that can be pulled. This module is pure.

mod image;
mod list;
pub(super) mod policy;

use std::collections::BTreeMap;

use jiff::Timestamp;
use kube::core::SelectorExt as _;

use self::policy::Policies;
use super::gather::{AccountLookup, Cluster, Subject};
use crate::commands::report::remark::{Remark, error, ok, skipped, warning};
use crate::commands::report::{self, Line, Mark};
use crate::configuration::{Attach, Configuration};

/// A subject, and everything that decides about it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Case<'a> {
    pub(super) subject: &'a Subject,
    pub(super) configuration: &'a Configuration,
    pub(super) pull_secret: &'a str,
    pub(super) policies: &'a Policies,
    /// The user who creates the objects of a manifest; empty for a person.
    pub(super) user: &'a str,
    /// `None` if no cluster is asked.
    pub(super) cluster: Option<&'a Cluster>,
    pub(super) now: Timestamp,
}

/// Returns whether no line is an error.
pub(super) fn passes(lines: &[Line]) -> bool {
    lines.iter().all(|line| line.mark != Mark::Error)
}

impl Case<'_> {
    /// Judges every step, so that a failed step does not hide other problems. If no image needs the pull secret, the
    /// only other findings are the verdicts of the policies on the list.
    pub(super) fn diagnose(&self) -> Vec<Line> {
        let Self { subject, pull_secret, .. } = self;
        let mut lines = self.assumptions();
        let (mut images, mut needs_login) = (Vec::new(), false);
        for image in &subject.images {
            let (needs, remark) = self.image(image);
            needs_login |= needs;
            images.push(Line::at(
                format_args!("image {}", if image.is_empty() { "\"\"" } else { image }),
                remark,
            ));
        }
        if !needs_login {
            lines.extend(images);
            lines.extend(self.verdicts());
        } else if subject.is_mirror {
            let problem = "is the mirror of a static Pod, which cannot use Secrets: give its node the login, for example \
                           by a credential provider of the kubelet";
            lines.push(Line::at("Pod", error(problem)));
            lines.extend(images);
        } else {
            lines.push(Line::at(format_args!("namespace {}", subject.namespace), self.namespace()));
            lines.push(Line::at(format_args!("service account {}", subject.service_account), self.account()));
            lines.extend(self.policies());
            lines.extend(self.list().map(|list| Line::at("imagePullSecrets", list)));
            lines.push(Line::at(format_args!("Secret {pull_secret}"), self.secret()));
            lines.extend(images);
            lines.extend(self.pods().map(|pods| Line::at("Pods", pods)));
        }
        lines
    }

    /// Returns what was not checked and is assumed instead.
    fn assumptions(&self) -> Vec<Line> {
        let assumed = self.policies.as_ref().ok().and_then(|installed| installed.assumed.as_deref());
        let mut lines: Vec<_> =
            assumed.map(|assumed| Line::at("policies", skipped(assumed))).into_iter().collect();
        if !self.subject.exists {
            let user = if self.user.is_empty() { "a person" } else { self.user };
            lines.push(Line::at("user", ok(format!("judged as created by {user} (change it with --as)"))));
        }
        lines
    }

    fn namespace(&self) -> Remark {
        let name = &self.subject.namespace;
        let Configuration { namespaces, namespace_selector: selector, .. } = self.configuration;
        if !namespaces.contains(name) {
            let is_excluded = namespaces.include.iter().any(|pattern| pattern.matches(name));
            return error(if is_excluded {
                format!("is excluded by exclude-namespace: name {name} exactly in watch-namespace")
            } else {
                format!("is not managed: add {name} to watch-namespace")
            });
        }
        let metadata = match (self.cluster, selector) {
            (None, None) => return ok("is managed"),
            (None, Some(selector)) => {
                return warning(format!(
                    "is managed if its labels match watch-namespace-selector: {selector}"
                ));
            }
            (Some(cluster), _) => &cluster.namespace,
        };
        match (metadata, selector) {
            (None, _) => error("does not exist: create it"),
            (Some(metadata), _) if metadata.deletion_timestamp.is_some() => {
                error("is being deleted: nothing new can start in it")
            }
            (Some(metadata), Some(selector))
                if !selector.matches(metadata.labels.as_ref().unwrap_or(&BTreeMap::new())) =>
            {
                error(format!("has no labels that match watch-namespace-selector: {selector}"))
            }
            (Some(_), _) => ok("is managed"),
        }
    }

    fn account(&self) -> Remark {
        let Self { configuration, pull_secret, .. } = self;
        let name = &self.subject.service_account;
        let by_policy = configuration.attach == Attach::Pod;
        let account = match self.cluster.map(|cluster| &cluster.account) {
            Some(AccountLookup::Absent) => {
                return error("does not exist, so no Pod of it is created: create it");
            }
            Some(AccountLookup::Found(account)) => Some(account),
            Some(AccountLookup::Unknown) | None => None,
        };
        let lists = account.map(|account| account.lists(pull_secret));
        if by_policy && lists == Some(false) && account.is_some_and(|account| account.enforces_mountable) {
            return error(format!(
                "enforces mountable secrets and does not list {pull_secret}, so its Pods are refused: set attach to both"
            ));
        }
        if !configuration.service_accounts.contains(name) {
            return if self.subject.lists(pull_secret) {
                ok("is not selected, but the list below has the pull secret anyway")
            } else if self.is_copied() {
                ok(format!("is not selected, but lists {pull_secret} anyway"))
            } else if self.is_added() {
                warning(format!("is not selected, but the policies select it: add {name} to service-account"))
            } else {
                error(format!("is not selected: add {name} to service-account, here and in the policies"))
            };
        }
        match lists {
            Some(false) if !by_policy => error(format!(
                "is selected, but does not list {pull_secret}: its Events show what the sidecar waits for"
            )),
            Some(true) if !by_policy => ok(format!("is selected, and lists {pull_secret}")),
            _ => ok("is selected"),
        }
    }

    fn secret(&self) -> Remark {
        let Some(Cluster { secret, report, .. }) = self.cluster else {
            return skipped("not checked: no cluster was queried");
        };
        let secret = match (secret, report) {
            (Some(secret), _) => secret,
            (None, Some(report)) => return error(format!("is missing; the sidecar reported: {report}")),
            (None, None) => {
                return error("is missing: `status` and the log of the sidecar show what it waits for");
            }
        };
        match (secret.contested_by(), secret.expires_at) {
            (Some(by), _) => error(format!(
                "was changed by {by}, so its contents are unknown: the sidecar writes it again; let {by} use another name"
            )),
            _ if !secret.ours => error(
                "another manager created it, so it is left alone: delete it, or run the sidecar with --adopt",
            ),
            (None, None) => error("contains no credential: `check --online` shows why"),
            (None, Some(at)) if at <= self.now => {
                error(format!("expired at {at}: `status` and the log of the sidecar show why"))
            }
            (None, Some(at)) => ok(format!(
                "is valid for {}, and contains {}",
                report::time_left(self.now, at),
                secret.registries.replace(',', ", ")
            )),
        }
    }
}

#[cfg(test)]
mod tests;
