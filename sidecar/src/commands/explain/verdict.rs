//! What each policy will do with a Pod or a workload: its rules once more, for somebody who asks beforehand. Pure.
//!
//! The policy itself is the package at the root: `review.rs` and below.

use acr_credential_core::{Standing, registry_host};
use kube::api::ObjectMeta;
use kube::core::{Expression, SelectorExt as _};

use super::policy::{Mode, Rules};
use super::subject::{Kind, Labels, OPT_OUT, Subject, opts_out};
use crate::operations::policies::NAMESPACE_NAME;

/// A service account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Account {
    /// It may not be read.
    Unknown,
    Absent,
    Found {
        pull_secrets: Vec<String>,
        /// Whether its Pods may list only pull secrets that it lists.
        enforces_mountable: bool,
    },
}

/// What the policy that adds the reference does when a Pod is created. The names are those that count as written by hand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Injection<'a> {
    /// Nothing: it is not asked, or has not selected the Pod.
    LeftOut,
    /// Nothing: the list has the reference.
    Listed,
    /// Adds it: nothing was written by hand.
    Added,
    /// Adds it all the same.
    Merged(Vec<&'a str>),
    /// Adds it, and warns.
    Warned(Vec<&'a str>),
    /// Adds it, and warns that the service account cannot be looked up.
    NotLookedUp(Vec<&'a str>),
    /// Adds it if the service account lists these, too, and refuses the Pod otherwise.
    IfCopied(Vec<&'a str>),
    /// Nothing, on purpose.
    Ignored(Vec<&'a str>),
    /// Refuses the Pod.
    Refused(Vec<&'a str>),
}

/// What the policy that judges workloads does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Judgement<'a> {
    Accepted,
    Warned(Vec<&'a str>),
    Refused(Vec<&'a str>),
    /// What is there already may stay; it would refuse another one like it.
    Spared(Vec<&'a str>),
}

/// The list of a Pod when the policies see it: Kubernetes has copied that of the service account before, where the Pod's own
/// was empty.
pub(super) fn list_at_admission<'a>(subject: &'a Subject, account: &'a Account) -> &'a [String] {
    match account {
        Account::Found { pull_secrets, .. } if subject.pull_secrets.is_empty() => pull_secrets,
        Account::Unknown | Account::Absent | Account::Found { .. } => &subject.pull_secrets,
    }
}

impl Rules {
    /// What this policy, as the one for Pods, does when the subject's Pods are created. `namespace` is none where there is no
    /// such namespace.
    pub(super) fn inject<'a>(
        &self,
        subject: &'a Subject,
        namespace: Option<&ObjectMeta>,
        account: &'a Account,
    ) -> Injection<'a> {
        if !self.misses(subject, namespace).is_empty() {
            return Injection::LeftOut;
        }
        let manual = match self.standing(list_at_admission(subject, account)) {
            Standing::Listed => return Injection::Listed,
            Standing::Free => return Injection::Added,
            Standing::Manual(manual) => manual,
        };
        let is_owned = subject.is_owned || matches!(subject.kind, Kind::Workload { .. });
        match (if is_owned { self.owned_pods } else { self.pods }, account) {
            (Mode::Merge, _) => Injection::Merged(manual),
            (Mode::Warn, _) => Injection::Warned(manual),
            (Mode::Ignore, _) => Injection::Ignored(manual),
            // Only now is the account looked up.
            (Mode::Reject, _) if !self.reads_accounts => Injection::Refused(manual),
            (Mode::Reject, Account::Absent) => Injection::NotLookedUp(manual),
            (Mode::Reject, Account::Unknown) => Injection::IfCopied(manual),
            (Mode::Reject, Account::Found { pull_secrets, .. }) => {
                let written =
                    manual.iter().copied().filter(|name| pull_secrets.iter().all(|own| own != name));
                let written: Vec<_> = written.collect();
                if written.is_empty() { Injection::Added } else { Injection::Refused(written) }
            }
        }
    }

    /// What this policy, as the one for workloads, does with the subject.
    pub(super) fn guard<'a>(&self, subject: &'a Subject, namespace: Option<&ObjectMeta>) -> Judgement<'a> {
        let Kind::Workload { labels, exists, .. } = &subject.kind else { return Judgement::Accepted };
        let opted_out = (self.has_condition("workload-not-opted-out") && opts_out(labels))
            || (self.has_condition("template-not-opted-out") && opts_out(&subject.labels));
        // What a controller made follows from its owner, and the owner has been judged.
        if subject.is_owned || opted_out || !self.misses_of(subject, labels, namespace).is_empty() {
            return Judgement::Accepted;
        }
        let Standing::Manual(manual) = self.standing(&subject.pull_secrets) else {
            return Judgement::Accepted;
        };
        match (self.workloads, exists) {
            (Mode::Reject, true) => Judgement::Spared(manual),
            (Mode::Reject, false) => Judgement::Refused(manual),
            (Mode::Warn, false) => Judgement::Warned(manual),
            (Mode::Warn, true) | (Mode::Merge | Mode::Ignore, _) => Judgement::Accepted,
        }
    }

    /// Why this policy does nothing about the subject's Pods, each reason with the way out. None where it has selected them.
    pub(super) fn misses(&self, subject: &Subject, namespace: Option<&ObjectMeta>) -> Vec<String> {
        self.misses_of(subject, &subject.labels, namespace)
    }

    fn misses_of(&self, subject: &Subject, labels: &Labels, namespace: Option<&ObjectMeta>) -> Vec<String> {
        let mut misses: Vec<String> = self.out_of_force().into_iter().collect();
        let place = &subject.namespace;
        if !self.namespaces.contains(place) {
            let is_excluded = self.namespaces.include.iter().any(|pattern| pattern.matches(place));
            misses.push(if is_excluded {
                format!("leaves out {place}, which its excludedNamespaces have: name {place} exactly in its namespaces")
            } else {
                format!("leaves out {place}: add it to its namespaces")
            });
        }
        if let Some(namespace) = namespace {
            let mut labels = namespace.labels.clone().unwrap_or_default();
            // Every namespace has it.
            labels.insert(NAMESPACE_NAME.to_owned(), place.clone());
            let failing = self.namespace_selector.iter().filter(|part| !part.matches(&labels));
            misses.extend(failing.map(|part| match part {
                Expression::NotIn(key, _) if key == OPT_OUT => {
                    format!("leaves out {place}, which has the label {OPT_OUT}=false: remove the label")
                }
                Expression::In(key, _) if key == NAMESPACE_NAME => {
                    format!("leaves out {place}: add it to its namespaceSelector")
                }
                Expression::NotIn(key, _) if key == NAMESPACE_NAME => {
                    format!("leaves out {place}: take it out of its namespaceSelector")
                }
                part => {
                    format!(
                        "leaves out {place}: its namespaceSelector wants {part}: label {place}, or change it"
                    )
                }
            }));
        }
        let account = &subject.service_account;
        if !self.service_accounts.contains(account) {
            misses.push(format!("leaves out the service account {account}: add it to its serviceAccounts"));
        }
        let is_from =
            |image: &String| self.registries.iter().any(|registry| registry.matches(registry_host(image)));
        if !self.registries.is_empty() && !subject.images.iter().any(is_from) {
            misses.push("has registries that no image here is from: add the host to them".to_owned());
        }
        let failing = self.object_selector.iter().filter(|part| !part.matches(labels));
        misses.extend(failing.map(|part| match part {
            Expression::NotIn(key, _) if key == OPT_OUT => {
                format!("leaves out Pods with the label {OPT_OUT}=false: remove the label")
            }
            part => format!("leaves out Pods without what its objectSelector wants: {part}"),
        }));
        misses
    }

    /// Why this policy has no effect at all.
    pub(super) fn out_of_force(&self) -> Option<String> {
        if self.monitors {
            return Some("only monitors and changes no Pod: install it anew with mode protect".to_owned());
        }
        let what = match self.status.as_deref() {
            Some("active") => return None,
            Some("unscheduled") => "has no policy server: name one in its policyServer",
            Some("scheduled") => "is for a policy server that does not exist: see its policyServer",
            Some("pending") => "is not served yet: the log of its policy server says why, if that lasts",
            Some(other) => return Some(format!("is {other}, not active: `kubectl describe` it")),
            None => "has no status, so it is not active: see whether Kubewarden's controller runs",
        };
        Some(what.to_owned())
    }
}

#[cfg(test)]
mod tests;
