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
use serde_json::{Value, json};

use crate::commands::explain::gather::{Account, Labels, Subject};
use crate::configuration::Configuration;
use crate::telemetry::policies::{self, GUARD, INJECT, NAMESPACE_NAME, Policy};

/// The label with which a Pod or a namespace keeps the policies away, when its value is `false`.
const OPT_OUT: &str = "acr-credential-helper.io/inject";

/// Makes the Pods of workloads, as the policies see it.
const CONTROLLER: &str = "system:serviceaccount:kube-system:replicaset-controller";

/// The policies that judge, or why they cannot be read.
pub(crate) type Policies = Result<Installed, String>;

/// The policies that were read.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Installed {
    pub(super) inject: Option<Rules>,
    pub(super) guard: Option<Rules>,
    /// Where they say something else than the configuration.
    pub(super) differences: Vec<String>,
    /// Where they come from, if not from a cluster.
    pub(super) assumed: Option<String>,
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

impl ServiceAccounts for Account {
    fn pull_secrets(&self, _namespace: &str, _name: &str) -> Result<Vec<String>, LookupError> {
        match self {
            Self::Unknown => Ok(Vec::new()),
            Self::Absent => Err(LookupError::NotFound),
            Self::Found(account) => Ok(account.pull_secrets.iter().map(|name| (**name).to_owned()).collect()),
        }
    }
}

impl Installed {
    /// What was read, beside the configuration; `assumed` says where it comes from, if not from a cluster.
    pub(crate) fn new(
        read: &[(&str, Option<Policy>)],
        configuration: &Configuration,
        pull_secret: &str,
        assumed: Option<String>,
    ) -> Self {
        let present = || read.iter().filter_map(|(name, policy)| Some((*name, policy.as_ref()?)));
        let rules = |wanted| present().find(|(name, _)| *name == wanted).map(|(_, policy)| policy.into());
        let compare =
            |(name, policy): (_, &Policy)| policies::compare(name, &policy.spec, configuration, pull_secret);
        Self {
            inject: rules(INJECT),
            guard: rules(GUARD),
            differences: present().flat_map(compare).collect(),
            assumed,
        }
    }
}

impl From<&Policy> for Rules {
    fn from(Policy { spec, status }: &Policy) -> Self {
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
}

impl Rules {
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
        let user = if subject.is_pod() { user } else { CONTROLLER };
        let pod = pod_at_admission(subject, account).to_string();
        self.answer(&creation(subject, Shape::Pod, "Pod", user, &pod), account, misses)
    }

    /// What this policy, as the one for workloads, answers when the subject is created; none of what it never sees.
    pub(super) fn guard(&self, subject: &Subject, namespace: Option<&ObjectMeta>) -> Option<Answer> {
        let Subject { kind, own_labels, labels, .. } = subject;
        let shape = subject.shape.filter(|_| !subject.is_pod())?;
        let has_condition = |name: &str| self.conditions.iter().any(|condition| condition == name);
        let opts_out = |labels: &Labels| labels.get(OPT_OUT).is_some_and(|value| value == "false");
        let opted_out = (has_condition("workload-not-opted-out") && opts_out(own_labels))
            || (has_condition("template-not-opted-out") && opts_out(labels));
        if opted_out {
            return None;
        }
        let misses = self.misses(subject, own_labels, namespace);
        let object = subject.object.to_string();
        let request = creation(subject, shape, kind, "", &object);
        Some(self.answer(&request, &Account::Unknown, misses))
    }

    fn answer(&self, request: &Request<'_>, account: &Account, misses: Vec<String>) -> Answer {
        let settings = match &self.settings {
            Ok(settings) if misses.is_empty() => settings,
            Ok(_) | Err(_) => return Answer::LeftOut(misses),
        };
        match judge(request, settings, account) {
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

    /// Its pull secret, where it is not ours.
    pub(super) fn other_secret(&self, ours: &str) -> Option<&str> {
        self.settings.as_ref().ok().map(|settings| &*settings.pull_secret).filter(|theirs| *theirs != ours)
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

fn creation<'a>(
    Subject { namespace, .. }: &'a Subject,
    shape: Shape,
    kind: &'a str,
    user: &'a str,
    object: &'a str,
) -> Request<'a> {
    let operation = Operation::Create;
    Request { shape, kind, operation, namespace, user, object: Some(object), old_object: None }
}

/// A Pod of the subject when the policies see it: where its list is empty, Kubernetes has copied that of the service account.
fn pod_at_admission(subject: &Subject, account: &Account) -> Value {
    let mut pod = subject.pod.clone();
    if let (Account::Found(account), true, Some(spec)) =
        (account, subject.pull_secrets.is_empty(), pod.get_mut("spec").and_then(Value::as_object_mut))
    {
        let copied = account.pull_secrets.iter().map(|name| json!({ "name": name })).collect();
        spec.insert("imagePullSecrets".to_owned(), copied);
    }
    pod
}

/// The parts of a label selector, all of which must hold.
fn expressions(selector: Option<&Value>, with_match_labels: bool) -> Vec<Expression> {
    let selector = selector.and_then(|selector| LabelSelector::deserialize(selector).ok());
    let Some(mut selector) = selector else { return Vec::new() };
    selector.match_labels = selector.match_labels.filter(|_| with_match_labels);
    Selector::try_from(selector).into_iter().flatten().collect()
}

#[cfg(test)]
mod tests;
