//! Judges all steps from a configuration to an image that can be pulled. This module is pure.

mod image;
mod list;
pub(super) mod policy;

use std::collections::BTreeMap;

use jiff::Timestamp;
use kube::core::SelectorExt as _;

use self::policy::Policies;
use super::gather::{Cluster, Subject};
use crate::commands::cluster::Seen;
use crate::commands::report::remark::{Remark, error, not_checked, ok, skipped, warning};
use crate::commands::report::{self, Line, Mark};
use crate::configuration::{Attach, Configuration};

/// A subject, and everything that decides about it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Case<'a> {
    pub(super) subject: &'a Subject,
    /// The configuration, or the reason why it is not known.
    pub(super) configuration: Result<&'a Configuration, &'a str>,
    pub(super) pull_secret: &'a str,
    pub(super) policies: &'a Policies,
    /// The user who creates the objects of a manifest; empty for a person.
    pub(super) user: &'a str,
    pub(super) cluster: &'a Cluster,
    pub(super) now: Timestamp,
}

/// Whether an image needs the pull secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Need {
    No,
    /// It is not known which registries there are.
    Maybe,
    Yes,
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
        let (mut images, mut need) = (Vec::new(), Need::No);
        for image in &subject.images {
            let (needs, remark) = self.image(image);
            need = need.max(needs);
            images.push(Line::at(
                format_args!("image {}", if image.is_empty() { "\"\"" } else { image }),
                remark,
            ));
        }
        // If an image may be public, a problem of the pull secret may not matter.
        let weighed = |line: Line| match (need, line.mark) {
            (Need::Maybe, Mark::Error) => Line { mark: Mark::Warning, ..line },
            _ => line,
        };
        if need == Need::No {
            lines.extend(images);
            lines.extend(self.verdicts());
        } else if subject.is_mirror {
            let problem = "is the mirror of a static Pod, which cannot use Secrets: give its node the login, for example \
                           by a credential provider of the kubelet";
            lines.push(weighed(Line::at("Pod", error(problem))));
            lines.extend(images);
        } else {
            let Subject { namespace, service_account, .. } = subject;
            let remark = self.if_read(&self.cluster.namespace, self.namespace());
            lines.push(Line::at(format_args!("namespace {namespace}"), remark));
            let remark = self.if_read(&self.cluster.account, self.account());
            lines.push(Line::at(format_args!("service account {service_account}"), remark));
            lines.extend(self.policies().into_iter().map(weighed));
            lines.extend(self.verdicts());
            lines.extend(self.later());
            lines.extend(self.list().map(|list| weighed(Line::at("imagePullSecrets", list))));
            lines.push(weighed(Line::at(format_args!("Secret {pull_secret}"), self.secret())));
            lines.extend(images);
            lines.extend(self.pods().map(|pods| weighed(Line::at("Pods", pods))));
        }
        lines
    }

    /// Returns what was not checked and is assumed instead.
    fn assumptions(&self) -> Vec<Line> {
        let assumed = self.policies.as_ref().ok().and_then(|installed| installed.assumed.as_deref());
        let unknown = self.configuration.err().map(|why| Line::at("configuration", not_checked(why)));
        let assumed = assumed.map(|assumed| Line::at("policies", skipped(assumed)));
        let mut lines: Vec<_> = unknown.into_iter().chain(assumed).collect();
        if !self.subject.exists {
            let user = if self.user.is_empty() { "a person" } else { self.user };
            lines.push(Line::at("user", ok(format!("judged as created by {user} (change it with --as)"))));
        }
        lines
    }

    /// Returns why something was not read, although a cluster was queried.
    fn unread<'s, T>(&self, seen: &'s Seen<T>) -> Option<&'s str> {
        match seen {
            Seen::Unknown(why) if self.cluster.is_queried => Some(why),
            _ => None,
        }
    }

    /// Returns the remark about an object. The object is not called good if it was not read.
    fn if_read<T>(&self, object: &Seen<T>, remark: Remark) -> Remark {
        match (self.unread(object), remark) {
            (Some(why), (Mark::Ok, message)) => {
                skipped(format!("{message}; the rest was not checked: {why}"))
            }
            (_, remark) => remark,
        }
    }

    fn namespace(&self) -> Remark {
        let name = &self.subject.namespace;
        let metadata = match &self.cluster.namespace {
            Seen::Absent => return error("does not exist: create it"),
            Seen::Found(metadata) if metadata.deletion_timestamp.is_some() => {
                return error("is being deleted: nothing new can start in it");
            }
            Seen::Unknown(why) if self.configuration.is_err() => return not_checked(why),
            seen => seen.found(),
        };
        let Ok(Configuration { namespaces, namespace_selector: selector, .. }) = self.configuration else {
            return skipped("exists; the configuration, which is not known, decides whether it is managed");
        };
        if !namespaces.contains(name) {
            let is_excluded = namespaces.include.iter().any(|pattern| pattern.matches(name));
            return error(if is_excluded {
                format!("is excluded by exclude-namespace: name {name} exactly in watch-namespace")
            } else {
                format!("is not managed: add {name} to watch-namespace")
            });
        }
        match (metadata, selector) {
            (None, Some(selector)) => {
                warning(format!("is managed if its labels match watch-namespace-selector: {selector}"))
            }
            (Some(metadata), Some(selector))
                if !selector.matches(metadata.labels.as_ref().unwrap_or(&BTreeMap::new())) =>
            {
                error(format!("has no labels that match watch-namespace-selector: {selector}"))
            }
            _ => ok("is managed"),
        }
    }

    /// Returns where the reference goes; `None` if the configuration is not known.
    fn attach(&self) -> Option<Attach> {
        self.configuration.ok().map(|configuration| configuration.attach)
    }

    fn account(&self) -> Remark {
        let Self { subject: Subject { service_account: name, .. }, pull_secret, .. } = self;
        let lists = match &self.cluster.account {
            Seen::Absent => return error("does not exist, so no Pod of it is created: create it"),
            Seen::Unknown(why) if self.configuration.is_err() => return not_checked(why),
            seen => seen.found().map(|account| account.lists(pull_secret)),
        };
        let by_policy = self.attach() == Some(Attach::Pod);
        let enforces = self.cluster.account.found().is_some_and(|account| account.enforces_mountable);
        if lists == Some(false) && enforces && self.attach().is_none_or(|attach| attach == Attach::Pod) {
            return error(format!(
                "enforces mountable secrets and does not list {pull_secret}, so its Pods are refused: set attach to both"
            ));
        }
        let Ok(Configuration { service_accounts, .. }) = self.configuration else {
            return match lists {
                Some(true) => ok(format!("lists {pull_secret}")),
                _ => skipped("exists; the configuration, which is not known, decides whether it is selected"),
            };
        };
        if !service_accounts.contains(name) {
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
        match (lists, &self.cluster.account) {
            (Some(false), _) if !by_policy => error(format!(
                "is selected, but does not list {pull_secret}: its Events show what the sidecar waits for"
            )),
            (Some(true), _) if !by_policy => ok(format!("is selected, and lists {pull_secret}")),
            (None, Seen::Unknown(why)) if !by_policy => {
                skipped(format!("is selected; whether it lists {pull_secret} was not checked: {why}"))
            }
            _ => ok("is selected"),
        }
    }

    fn secret(&self) -> Remark {
        let Cluster { secret, report, .. } = self.cluster;
        let secret = match (secret, report) {
            (Seen::Found(secret), _) => secret,
            (Seen::Unknown(why), _) => return not_checked(why),
            (Seen::Absent, Seen::Found(report)) => {
                return error(format!("is missing; the sidecar reported: {report}"));
            }
            (Seen::Absent, Seen::Absent) => {
                return error("is missing: `status` and the log of the sidecar show what it waits for");
            }
            (Seen::Absent, Seen::Unknown(why)) => {
                return error(format!("is missing; the Events of the sidecar were not read: {why}"));
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
