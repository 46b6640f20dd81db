//! What the policies do with a subject, in their own words.
//!
//! The judgement and the settings are those of [`acr_credential_core::policy`], which the compiled policy calls, too. What is
//! here is Kubewarden's part: whether a policy is asked at all.

use acr_credential_core::policy::{
    LookupError, Mistakes, Operation, Request, ServiceAccounts, Settings, Shape, Verdict, judge,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::api::ObjectMeta;
use kube::core::{Expression, Selector, SelectorExt as _};
use serde::Deserialize as _;
use serde_json::Value;

use super::subject::{Kind, Labels, OPT_OUT, Subject, opts_out};
use crate::configuration::Configuration;
use crate::telemetry::policies::{self, GUARD, INJECT, NAMESPACE_NAME, POLICIES, Policy};

/// Makes the Pods of workloads, as the policies see it.
const CONTROLLER: &str = "system:serviceaccount:kube-system:replicaset-controller";

/// The policies that judge.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Policies {
    /// They cannot be read, and this is why.
    Unknown(String),
    /// What was read.
    Known {
        inject: Option<Box<Rules>>,
        guard: Option<Box<Rules>>,
        /// Where they say something else than the configuration.
        differences: Vec<String>,
        /// Where they come from, if not from a cluster.
        assumed: Option<String>,
    },
}

/// What one policy does, and to whom.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Rules {
    /// Whether it only writes down what it would do.
    pub(super) monitors: bool,
    /// How far Kubewarden is with it; only an `active` one is asked.
    pub(super) status: Option<String>,
    pub(super) settings: Result<Settings<'static>, Mistakes>,
    /// What it wants of a namespace's labels.
    pub(super) namespace_selector: Vec<Expression>,
    /// What it wants of an object's own labels.
    pub(super) object_selector: Vec<Expression>,
    /// The names of its `matchConditions`.
    pub(super) conditions: Vec<String>,
}

/// What a policy answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    /// Nothing: it is not asked, or has not selected this. Each reason with the way out.
    LeftOut(Vec<String>),
    /// It accepts this as it is.
    Accepted,
    /// It adds the reference, with these warnings.
    Added(Vec<String>),
    /// It accepts this as it is although the list is manual, with these warnings.
    LeftAlone(Vec<String>),
    /// It refuses this, with this message.
    Refused(String),
}

/// A service account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Account {
    /// It may not be read, or no cluster is asked.
    Unknown,
    Absent,
    Found {
        pull_secrets: Vec<String>,
        /// Whether its Pods may list only pull secrets that it lists.
        enforces_mountable: bool,
    },
}

impl ServiceAccounts for Account {
    fn pull_secrets(&self, _namespace: &str, _name: &str) -> Result<Vec<String>, LookupError> {
        match self {
            Self::Unknown => Ok(Vec::new()),
            Self::Absent => Err(LookupError::NotFound),
            Self::Found { pull_secrets, .. } => Ok(pull_secrets.clone()),
        }
    }
}

/// Policies by their names, as far as they are there.
pub(super) type Read = Vec<(&'static str, Option<Policy>)>;

impl Policies {
    /// What was read, beside the configuration; `assumed` says where it comes from, if not from a cluster.
    pub(super) fn known(
        read: &Read,
        configuration: &Configuration,
        pull_secret: &str,
        assumed: Option<String>,
    ) -> Self {
        let present = || read.iter().filter_map(|(name, policy)| Some((*name, policy.as_ref()?)));
        let rules = |wanted: &str| {
            let (_, policy) = present().find(|(name, _)| *name == wanted)?;
            Some(Box::new(Rules::of(policy)))
        };
        let compare =
            |(name, policy): (_, &Policy)| policies::compare(name, &policy.spec, configuration, pull_secret);
        Self::Known {
            inject: rules(INJECT),
            guard: rules(GUARD),
            differences: present().flat_map(compare).collect(),
            assumed,
        }
    }
}

/// The policies among these objects, taken to be in force.
pub(super) fn among(objects: &[Value]) -> Read {
    let named = |wanted: &str| {
        let is_meant = |object: &&Value| {
            object.get("kind").is_some_and(|kind| kind == "ClusterAdmissionPolicy")
                && object.pointer("/metadata/name").is_some_and(|name| name == wanted)
        };
        let spec = objects.iter().find(is_meant)?.get("spec")?.clone();
        Some(Policy { spec, status: Some("active".to_owned()) })
    };
    POLICIES.map(|name| (name, named(name))).into()
}

impl Rules {
    pub(super) fn of(Policy { spec, status }: &Policy) -> Self {
        let conditions = spec.get("matchConditions").and_then(Value::as_array).into_iter().flatten();
        let conditions = conditions.filter_map(|condition| condition.get("name")?.as_str());
        Self {
            monitors: spec.get("mode").and_then(Value::as_str) == Some("monitor"),
            status: status.clone(),
            settings: policies::settings(spec),
            // Kubewarden drops `matchLabels` from this one.
            namespace_selector: expressions(spec.get("namespaceSelector"), false),
            object_selector: expressions(spec.get("objectSelector"), true),
            conditions: conditions.map(str::to_owned).collect(),
        }
    }

    /// What this policy, as the one for Pods, answers when the subject's Pods are created; those of a manifest by this user.
    /// `namespace` is none where it is not known.
    pub(super) fn inject(
        &self,
        subject: &Subject,
        namespace: Option<&ObjectMeta>,
        account: &Account,
        user: &str,
    ) -> Answer {
        let misses = self.misses(subject, &subject.labels, namespace);
        let user = if matches!(subject.kind, Kind::Workload { .. }) { CONTROLLER } else { user };
        let pod = subject.pod_at_admission(account);
        let request = Request { shape: Shape::Pod, kind: "Pod", user, ..request(subject) };
        self.answer(request, &pod, account, misses)
    }

    /// What this policy, as the one for workloads, answers when the subject is created; none of what it never sees.
    pub(super) fn guard(&self, subject: &Subject, namespace: Option<&ObjectMeta>) -> Option<Answer> {
        let Kind::Workload { labels, shape: Some(shape), name, .. } = &subject.kind else { return None };
        let has_condition = |name: &str| self.conditions.iter().any(|condition| condition == name);
        let opted_out = (has_condition("workload-not-opted-out") && opts_out(labels))
            || (has_condition("template-not-opted-out") && opts_out(&subject.labels));
        if opted_out {
            return None;
        }
        let misses = self.misses(subject, labels, namespace);
        let request = Request { shape: *shape, kind: name, ..request(subject) };
        Some(self.answer(request, &subject.object, &Account::Unknown, misses))
    }

    fn answer(&self, request: Request<'_>, object: &Value, account: &Account, misses: Vec<String>) -> Answer {
        let settings = match &self.settings {
            Ok(settings) if misses.is_empty() => settings,
            Ok(_) | Err(_) => return Answer::LeftOut(misses),
        };
        let text = object.to_string();
        match judge(&Request { object: Some(&text), ..request }, settings, account) {
            Verdict::NotSelected => Answer::LeftOut(vec![
                "has registries that no image here is from: add the host to them".to_owned(),
            ]),
            Verdict::Accept => Answer::Accepted,
            Verdict::LeaveAlone { warnings, .. } => Answer::LeftAlone(warnings),
            Verdict::Mutate { warnings, .. } => Answer::Added(warnings),
            Verdict::Refuse { message, .. } | Verdict::Error { message, .. } => Answer::Refused(message),
        }
    }

    /// Why this policy does nothing about an object with these labels, but for its images.
    fn misses(&self, subject: &Subject, labels: &Labels, namespace: Option<&ObjectMeta>) -> Vec<String> {
        let mut misses: Vec<String> = self.out_of_force().into_iter().collect();
        let (place, account) = (&subject.namespace, &subject.service_account);
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
        let failing = self.object_selector.iter().filter(|part| !part.matches(labels));
        misses.extend(failing.map(|part| match part {
            Expression::NotIn(key, _) if key == OPT_OUT => {
                format!("leaves out objects with the label {OPT_OUT}=false: remove the label")
            }
            part => format!("leaves out objects without what its objectSelector wants: {part}"),
        }));
        let Ok(Settings { namespaces, service_accounts, .. }) = &self.settings else { return misses };
        if !namespaces.contains(place) {
            let is_excluded = namespaces.include.iter().any(|pattern| pattern.matches(place));
            misses.push(if is_excluded {
                format!("leaves out {place}, which its excludedNamespaces have: name {place} exactly in its namespaces")
            } else {
                format!("leaves out {place}: add it to its namespaces")
            });
        }
        if !service_accounts.contains(account) {
            misses.push(format!("leaves out the service account {account}: add it to its serviceAccounts"));
        }
        misses
    }

    /// Why this policy has no effect at all.
    pub(super) fn out_of_force(&self) -> Option<String> {
        if let Err(mistakes) = &self.settings {
            return Some(format!(
                "has settings with mistakes, so it is not in force: correct them: {mistakes}"
            ));
        }
        if self.monitors {
            return Some("only monitors and changes no Pod: install it again with mode protect".to_owned());
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

/// The parts that every request about a subject has.
fn request(subject: &Subject) -> Request<'_> {
    Request {
        shape: Shape::Pod,
        kind: "",
        operation: Operation::Create,
        namespace: &subject.namespace,
        user: "",
        object: None,
        old_object: None,
    }
}

/// The parts of a label selector, all of which must hold.
fn expressions(selector: Option<&Value>, with_match_labels: bool) -> Vec<Expression> {
    let selector = selector.and_then(|selector| LabelSelector::deserialize(selector).ok());
    let selector = selector.map(|selector| LabelSelector {
        match_labels: selector.match_labels.filter(|_| with_match_labels),
        ..selector
    });
    let selector = selector.and_then(|selector| Selector::try_from(selector).ok());
    selector.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests;
