//! Judges how the reference gets into the list of a Pod, and what keeps it out.

use super::Case;
use super::policy::{Answer, Installed, Rules};
use crate::commands::cluster::Seen;
use crate::commands::explain::gather::Cluster;
use crate::commands::report::remark::{Remark, error, not_checked, ok, skipped, warning};
use crate::commands::report::{Line, Mark};
use crate::configuration::Attach;
use crate::telemetry::policies::{GUARD, INJECT};

impl Case<'_> {
    /// Returns the findings about the policy that adds the reference.
    pub(super) fn policies(&self) -> Vec<Line> {
        match self.policies {
            // If service accounts carry the reference, this policy is not necessary.
            _ if self.attach() == Some(Attach::ServiceAccount) => Vec::new(),
            Err(why) => vec![of_policy(INJECT, not_checked(why))],
            Ok(installed) => self.inject_lines(installed),
        }
    }

    /// Returns what is wrong with the policy that adds the reference: it is absent, is not asked about the subject, or
    /// adds a different reference.
    fn inject_lines(&self, installed: &Installed) -> Vec<Line> {
        let ours = self.pull_secret;
        // A problem of the policy does not affect a list that already has the reference.
        let is_served = self.subject.lists(ours) || self.is_copied() || self.is_perhaps_copied();
        let bad = if is_served { Mark::Warning } else { Mark::Error };
        let Some(rules) = &installed.inject else {
            let problem = format!("is not installed, so no Pod gets {ours}: install it, see `manifests`");
            return vec![of_policy(INJECT, (bad, problem))];
        };
        let mut problems = match self.answer(rules) {
            Answer::LeftOut(problems) => problems,
            _ => Vec::new(),
        };
        if let Some(other) = rules.other_secret(ours) {
            problems.push(format!("adds {other}, but the sidecar writes {ours}: make them equal"));
        }
        let mut lines: Vec<_> =
            problems.into_iter().map(|problem| of_policy(INJECT, (bad, problem))).collect();
        let differences = installed.differences.iter();
        lines.extend(differences.map(|difference| Line::at("policies", warning(difference))));
        if lines.is_empty() {
            let is = if installed.assumed.is_some() { "is assumed to be installed" } else { "is installed" };
            let what = if self.configuration.is_ok() { "what the configuration selects" } else { "it" };
            lines.push(of_policy(
                INJECT,
                match self.unread_labels(rules) {
                    Some(why) => {
                        skipped(format!("{is}; whether it selects the namespace was not checked: {why}"))
                    }
                    None => ok(format!("{is}, and selects {what}")),
                },
            ));
        }
        lines
    }

    /// Returns what the policies refuse and warn about when the subject and its Pods are created, in their own words.
    pub(super) fn verdicts(&self) -> Vec<Line> {
        let guard = self.guard().filter(|_| !self.subject.exists).map(|(_, answer)| answer);
        let mut lines = remarks(GUARD, guard);
        match self.injection() {
            // The policy may be able to read a service account that could not be read here.
            Some(Answer::Refused(message)) if self.may_be_copied() => {
                let unless = "(unless the service account, which could not be read here, lists it, too)";
                lines.push(of_policy(INJECT, warning(format!("{message} {unless}"))));
            }
            answer => lines.extend(remarks(INJECT, answer)),
        }
        lines
    }

    /// Returns a warning if the policy for workloads would refuse to create the existing subject again, or if that
    /// policy is not in force.
    pub(super) fn later(&self) -> Option<Line> {
        let (rules, answer) = self.guard()?;
        let message = match (answer, self.subject.exists) {
            (Answer::Refused(message), true) => {
                format!("leaves the list as it is, but would refuse to create it again: {message}")
            }
            (Answer::LeftOut(_), false) if !rules.monitors => rules.out_of_force()?,
            _ => return None,
        };
        Some(of_policy(GUARD, warning(message)))
    }

    /// Returns the policy for workloads and its answer; `None` if it is not installed, or never sees such an object.
    fn guard(&self) -> Option<(&Rules, Answer)> {
        let guard = self.policies.as_ref().ok()?.guard.as_ref()?;
        Some((guard, guard.guard(self.subject, self.cluster.namespace.found())?))
    }

    /// Returns why it is not known whether the policy selects the namespace, if it is not known.
    fn unread_labels(&self, rules: &Rules) -> Option<&str> {
        self.unread(&self.cluster.namespace).filter(|_| rules.depends_on_labels())
    }

    /// Returns the policy that adds the reference; `None` if it is not installed or not known.
    fn inject(&self) -> Option<&Rules> {
        self.policies.as_ref().ok()?.inject.as_ref()
    }

    /// Returns the policy's answer about future Pods; `None` if it cannot be known, or if the subject is an existing Pod.
    fn injection(&self) -> Option<Answer> {
        self.inject().filter(|_| !self.is_existing_pod()).map(|rules| self.answer(rules))
    }

    fn answer(&self, rules: &Rules) -> Answer {
        let Cluster { namespace, account, .. } = self.cluster;
        rules.inject(self.subject, namespace.found(), account, self.user)
    }

    /// Returns whether the subject is an existing Pod, whose list never changes.
    fn is_existing_pod(&self) -> bool {
        self.subject.is_pod() && self.subject.exists
    }

    fn may_be_copied(&self) -> bool {
        let reads =
            |rules: &Rules| rules.settings.as_ref().is_ok_and(|settings| settings.read_service_accounts);
        let is_assumed = self.policies.as_ref().is_ok_and(|installed| installed.assumed.is_some());
        let is_unread = matches!(self.cluster.account, Seen::Unknown(_)) && !is_assumed;
        is_unread && !self.subject.pull_secrets.is_empty() && self.inject().is_some_and(reads)
    }

    /// Returns whether the service account, which could not be read, may list the reference.
    fn is_perhaps_copied(&self) -> bool {
        self.subject.pull_secrets.is_empty()
            && self.attach() != Some(Attach::Pod)
            && matches!(self.cluster.account, Seen::Unknown(_))
    }

    /// Returns whether Kubernetes copies the reference from the service account.
    pub(super) fn is_copied(&self) -> bool {
        self.subject.pull_secrets.is_empty()
            && self.cluster.account.found().is_some_and(|account| account.lists(self.pull_secret))
    }

    /// Returns whether the policy adds the reference to such Pods, independently of the configuration.
    pub(super) fn is_added(&self) -> bool {
        self.inject().is_some_and(|rules| {
            rules.other_secret(self.pull_secret).is_none()
                && !matches!(self.answer(rules), Answer::LeftOut(_))
        })
    }

    /// Returns the finding about the list itself; `None` if a policy refuses the list, because the refusal explains everything.
    pub(super) fn list(&self) -> Option<Remark> {
        let (ours, names) = (self.pull_secret, self.names());
        let add = format!("add `- name: {ours}` to it");
        let is_ours = self.inject().is_some_and(|rules| rules.other_secret(ours).is_none());
        let by_account = self.attach() == Some(Attach::ServiceAccount);
        Some(match (self.injection(), self.policies) {
            (Some(Answer::Refused(_)), _) => return None,
            _ if self.subject.lists(ours) => ok(format!("has {ours}")),
            _ if self.is_existing_pod() && !names.is_empty() => error(format!(
                "contains only {names}, and the list of a Pod never changes: {add} where the Pod is defined"
            )),
            _ if self.is_existing_pod() && by_account => error(format!(
                "lacks {ours}, and the list of a Pod never changes: delete the Pod once its service account lists it"
            )),
            _ if self.is_existing_pod() => error(format!(
                "lacks {ours}, and the list of a Pod never changes: delete the Pod so that it is recreated; if the new Pod \
                 lacks it too, check the policy {INJECT}"
            )),
            _ if self.is_copied() => {
                ok(format!("is empty: Kubernetes copies {ours} from the service account"))
            }
            _ if by_account && self.subject.pull_secrets.is_empty() => {
                ok("is empty: Kubernetes copies the list of the service account")
            }
            _ if by_account => {
                let has = if names.is_empty() { "an entry without a name" } else { &names };
                error(format!("has {has}, so Kubernetes copies nothing from the service account: {add}"))
            }
            (None, Err(_)) if names.is_empty() => skipped(format!(
                "is empty: whether the policy adds {ours} when a Pod is created was not checked"
            )),
            (None, Err(_)) => warning(format!(
                "contains only {names}: manualPullSecrets of the policy decides whether that is refused: {add}"
            )),
            (Some(Answer::LeftAlone(_)), _) => {
                let alone = self.alone();
                error(format!("{alone}, and the policy {INJECT} does not change such Pods: {add}"))
            }
            (Some(Answer::Added(_)), _) if is_ours => {
                match self.inject().and_then(|rules| self.unread_labels(rules)) {
                    Some(why) => skipped(format!(
                        "{}: whether the policy adds {ours} when a Pod is created was not checked: {why}",
                        self.alone()
                    )),
                    None if names.is_empty() => ok(format!("the policy adds {ours} when a Pod is created")),
                    None => ok(format!("has {names}, and the policy adds {ours} when a Pod is created")),
                }
            }
            _ if self.is_perhaps_copied() => warning(format!(
                "is empty, and no policy adds {ours}: new Pods get it only if their service account lists it"
            )),
            _ => error(format!("{}, and no policy adds {ours}", self.alone())),
        })
    }

    /// Returns the finding about the Pods that a workload has created. They may be older than its current state.
    pub(super) fn pods(&self) -> Option<Remark> {
        let ours = self.pull_secret;
        let lists = match &self.subject.lists_of_pods {
            Seen::Found(lists) => lists,
            Seen::Absent => return None,
            Seen::Unknown(why) => return Some(not_checked(why)),
        };
        let lack = lists.iter().filter(|list| !list.iter().any(|listed| listed == ours)).count();
        match (lack, lists.len()) {
            (_, 0) => None,
            (0, all) => Some(ok(format!("all {all} have {ours}"))),
            (lack, all) => Some(error(format!(
                "{lack} of {all} lack {ours}, and the list of a Pod never changes: fix what is wrong above, then recreate \
                 them: {}",
                self.subject.recreation()
            ))),
        }
    }

    /// Returns the names in the subject's own list.
    fn names(&self) -> String {
        let names = self.subject.pull_secrets.iter().map(String::as_str).filter(|name| !name.is_empty());
        names.collect::<Vec<_>>().join(", ")
    }

    /// Describes the list that the policy sees. Its entries may come from the service account.
    fn alone(&self) -> String {
        match (self.names().as_str(), &self.cluster.account) {
            ("", Seen::Found(account))
                if self.subject.pull_secrets.is_empty() && !account.pull_secrets.is_empty() =>
            {
                let copied = account.pull_secrets.join(", ");
                format!("is empty, so Kubernetes copies only {copied} from the service account")
            }
            ("", _) => "is empty".to_owned(),
            (names, _) => format!("contains only {names}"),
        }
    }
}

fn remarks(policy: &str, answer: Option<Answer>) -> Vec<Line> {
    let remarks = match answer {
        Some(Answer::Refused(message)) => vec![error(message)],
        Some(Answer::Added(warnings) | Answer::LeftAlone(warnings)) => {
            warnings.into_iter().map(warning).collect()
        }
        Some(Answer::LeftOut(_) | Answer::Accepted) | None => Vec::new(),
    };
    remarks.into_iter().map(|remark| of_policy(policy, remark)).collect()
}

fn of_policy(policy: &str, remark: Remark) -> Line {
    Line::at(format_args!("policy {policy}"), remark)
}
