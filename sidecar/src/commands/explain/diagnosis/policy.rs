//! Predicts what the policies do with a subject, in their own words.
//!
//! The judgement and the settings are those of [`acr_credential_core::policy`], which the compiled policy calls, too.
//! This module adds Kubewarden's part: whether a policy is asked at all.

use acr_credential_core::policy::{
    LookupError, Mistakes, Operation, Request, ServiceAccounts, Settings, Shape, Verdict, judge,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::api::ObjectMeta;
use kube::core::{Expression, Selector, SelectorExt as _};
use serde::Deserialize as _;
use serde_json::{Value, json};

use crate::cluster::observed::ServiceAccount;
use crate::commands::cluster::Seen;
use crate::commands::explain::gather::{Labels, Subject};
use crate::configuration::Configuration;
use crate::telemetry::policies::{self, GUARD, INJECT, NAMESPACE_NAME, Policy};

/// The label that keeps the policies away from a Pod or a namespace if its value is `false`.
const OPT_OUT: &str = "acr-credential-helper.io/inject";

/// The user who creates the Pods of workloads, from the policies' point of view.
const CONTROLLER: &str = "system:serviceaccount:kube-system:replicaset-controller";

/// The policies that judge, or the reason why they cannot be read.
pub(crate) type Policies = Result<Installed, String>;

/// The policies that were read.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Installed {
    pub(super) inject: Option<Rules>,
    pub(super) guard: Option<Rules>,
    /// Their differences from the configuration.
    pub(super) differences: Vec<String>,
    /// Their origin, if it is not a cluster.
    pub(super) assumed: Option<String>,
}

/// The effect of one policy, and its selection.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Rules {
    /// Whether it only logs what it would do.
    pub(super) monitors: bool,
    /// Its status in Kubewarden. Only an `active` policy is asked.
    pub(super) status: Option<String>,
    pub(super) settings: Result<Settings<'static>, Mistakes>,
    /// Its requirements for the labels of a namespace.
    pub(super) namespace_selector: Vec<Expression>,
    /// Its requirements for an object's own labels.
    pub(super) object_selector: Vec<Expression>,
    /// The names of its `matchConditions`.
    pub(super) conditions: Vec<String>,
}

/// The answer of a policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    /// No answer: the policy is not asked, or does not select the object. Each reason includes the fix.
    LeftOut(Vec<String>),
    /// It accepts the object unchanged.
    Accepted,
    /// It adds the reference, with these warnings.
    Added(Vec<String>),
    /// It accepts the object unchanged although the list is manual, with these warnings.
    LeftAlone(Vec<String>),
    /// It refuses the object, with this message.
    Refused(String),
}

impl ServiceAccounts for Seen<ServiceAccount> {
    fn pull_secrets(&self, _namespace: &str, _name: &str) -> Result<Vec<String>, LookupError> {
        match self {
            Self::Unknown(_) => Ok(Vec::new()),
            Self::Absent => Err(LookupError::NotFound),
            Self::Found(account) => Ok(account.pull_secrets.iter().map(|name| (**name).to_owned()).collect()),
        }
    }
}

impl Installed {
    /// Compares the policies that were read with the configuration, if it is known. `assumed` is their origin, if it is not a cluster.
    pub(crate) fn new(
        read: &[(&str, Option<Policy>)],
        configuration: Option<&Configuration>,
        pull_secret: &str,
        assumed: Option<String>,
    ) -> Self {
        let present = || read.iter().filter_map(|(name, policy)| Some((*name, policy.as_ref()?)));
        let rules = |wanted| present().find(|(name, _)| *name == wanted).map(|(_, policy)| policy.into());
        let compare = |(name, policy): (_, &Policy)| {
            let compared = configuration.map(|it| policies::compare(name, &policy.spec, it, pull_secret));
            compared.unwrap_or_default()
        };
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
            // Kubewarden drops `matchLabels` from this selector.
            namespace_selector: expressions(spec.get("namespaceSelector"), false),
            object_selector: expressions(spec.get("objectSelector"), true),
            conditions: conditions.map(str::to_owned).collect(),
        }
    }
}

impl Rules {
    /// Returns the answer of this policy, as the policy for Pods, when the subject's Pods are created. If the subject
    /// is a Pod, `user` creates it; a controller creates the Pods of a workload. `namespace` is `None` if it is not known.
    pub(super) fn inject(
        &self,
        subject: &Subject,
        namespace: Option<&ObjectMeta>,
        account: &Seen<ServiceAccount>,
        user: &str,
    ) -> Answer {
        let misses = self.misses(subject, &subject.labels, namespace);
        let user = if subject.is_pod() { user } else { CONTROLLER };
        let pod = pod_at_admission(subject, account).to_string();
        self.answer(&creation(subject, Shape::Pod, "Pod", user, &pod), account, misses)
    }

    /// Returns the answer of this policy, as the policy for workloads, when the subject is created; `None` if the
    /// policy never sees the subject.
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
        Some(self.answer(&request, &Seen::default(), misses))
    }

    fn answer(&self, request: &Request<'_>, account: &Seen<ServiceAccount>, misses: Vec<String>) -> Answer {
        let settings = match &self.settings {
            Ok(settings) if misses.is_empty() => settings,
            Ok(_) | Err(_) => return Answer::LeftOut(misses),
        };
        match judge(request, settings, account) {
            Verdict::NotSelected => Answer::LeftOut(vec![
                "leaves out objects without an image from its registries: add the host to its registries"
                    .to_owned(),
            ]),
            Verdict::Accept => Answer::Accepted,
            Verdict::LeaveAlone { warnings, .. } => Answer::LeftAlone(warnings),
            Verdict::Mutate { warnings, .. } => Answer::Added(warnings),
            Verdict::Refuse { message, .. } | Verdict::Error { message, .. } => Answer::Refused(message),
        }
    }

    /// Returns the reasons, other than its images, why this policy leaves out an object with these labels.
    fn misses(&self, subject: &Subject, labels: &Labels, namespace: Option<&ObjectMeta>) -> Vec<String> {
        let mut misses: Vec<String> = self.out_of_force().into_iter().collect();
        let (place, account) = (&subject.namespace, &subject.service_account);
        let mut of_namespace = namespace.and_then(|namespace| namespace.labels.clone()).unwrap_or_default();
        // Every namespace has this label.
        of_namespace.insert(NAMESPACE_NAME.to_owned(), place.clone());
        let is_known = |part: &&Expression| namespace.is_some() || is_on_name(part);
        let failing =
            self.namespace_selector.iter().filter(is_known).filter(|part| !part.matches(&of_namespace));
        misses.extend(failing.map(|part| match part {
            Expression::NotIn(key, _) if key == OPT_OUT => {
                format!("leaves out {place}, which has the label {OPT_OUT}=false: remove the label")
            }
            Expression::In(key, _) if key == NAMESPACE_NAME => {
                format!("leaves out {place}: add it to its namespaceSelector")
            }
            Expression::NotIn(key, _) if key == NAMESPACE_NAME => {
                format!("leaves out {place}: remove it from its namespaceSelector")
            }
            part => {
                format!(
                    "leaves out {place}: its namespaceSelector requires {part}: label {place}, or change it"
                )
            }
        }));
        let failing = self.object_selector.iter().filter(|part| !part.matches(labels));
        misses.extend(failing.map(|part| match part {
            Expression::NotIn(key, _) if key == OPT_OUT => {
                format!("leaves out objects with the label {OPT_OUT}=false: remove the label")
            }
            part => format!("leaves out objects that do not match its objectSelector: {part}"),
        }));
        let Ok(Settings { namespaces, service_accounts, .. }) = &self.settings else { return misses };
        if !namespaces.contains(place) {
            let is_excluded = namespaces.include.iter().any(|pattern| pattern.matches(place));
            misses.push(if is_excluded {
                format!("leaves out {place}, which its excludedNamespaces exclude: name {place} exactly in its namespaces")
            } else {
                format!("leaves out {place}: add it to its namespaces")
            });
        }
        if !service_accounts.contains(account) {
            misses.push(format!("leaves out the service account {account}: add it to its serviceAccounts"));
        }
        misses
    }

    /// Returns whether only the labels of a namespace, other than its name, show whether this policy selects the namespace.
    pub(super) fn depends_on_labels(&self) -> bool {
        !self.namespace_selector.iter().all(is_on_name)
    }

    /// Returns the policy's pull secret, if it is not ours.
    pub(super) fn other_secret(&self, ours: &str) -> Option<&str> {
        self.settings.as_ref().ok().map(|settings| &*settings.pull_secret).filter(|theirs| *theirs != ours)
    }

    /// Returns the reason why this policy has no effect at all, if there is one.
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
            Some("pending") => "is not served yet: if this lasts, see the log of its policy server",
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

/// Returns a Pod of the subject as the policies see it: if its list is empty, Kubernetes has already copied the list of
/// the service account.
fn pod_at_admission(subject: &Subject, account: &Seen<ServiceAccount>) -> Value {
    let mut pod = subject.pod.clone();
    if let (Seen::Found(account), true, Some(spec)) =
        (account, subject.pull_secrets.is_empty(), pod.get_mut("spec").and_then(Value::as_object_mut))
    {
        let copied = account.pull_secrets.iter().map(|name| json!({ "name": name })).collect();
        spec.insert("imagePullSecrets".to_owned(), copied);
    }
    pod
}

/// Returns whether this part of a selector is about the name of a namespace, which is always known.
fn is_on_name(part: &Expression) -> bool {
    use Expression as E;
    matches!(part, E::In(key, _) | E::NotIn(key, _) | E::Exists(key) | E::DoesNotExist(key) if key == NAMESPACE_NAME)
}

/// Returns the parts of a label selector, all of which must match.
fn expressions(selector: Option<&Value>, with_match_labels: bool) -> Vec<Expression> {
    let selector = selector.and_then(|selector| LabelSelector::deserialize(selector).ok());
    let Some(mut selector) = selector else { return Vec::new() };
    selector.match_labels = selector.match_labels.filter(|_| with_match_labels);
    Selector::try_from(selector).into_iter().flatten().collect()
}

#[cfg(test)]
mod tests;
