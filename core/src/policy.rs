//! What the policy decides: its settings, and the judgement on a request.
//!
//! Everything that judges calls [`judge`]: the compiled policy for each admission request, and the sidecar's commands for what
//! people ask about. The one look-up in the cluster is a parameter.

mod message;
mod object;
mod pod;
mod service_account;
mod settings;
mod verdict;
mod workload;

use std::borrow::Cow;
use std::collections::BTreeSet;

use message::short;
use object::PodSpec;

use crate::json::{Malformed, place_in};
use crate::{ListVerdict, registry_host};

pub use settings::{ManualPullSecrets, Mistakes, PodMode, Settings, WorkloadMode};
pub use verdict::{Reason, Rule, Splice, Verdict};

/// The parts of an admission request that decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request<'a> {
    /// What its object is.
    pub shape: Shape,
    /// Its kind, as messages name it: `Deployment`.
    pub kind: &'a str,
    /// What is to be done.
    pub operation: Operation,
    /// The namespace of the request; that of the object does not matter.
    pub namespace: &'a str,
    /// Who makes the request: `userInfo.username`, empty where it is unknown.
    pub user: &'a str,
    /// The object as JSON. A mutated object is this text with one insertion.
    pub object: Option<&'a str>,
    /// For an update: the object as it was.
    pub old_object: Option<&'a str>,
}

/// What an object is to the policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// A Pod.
    Pod,
    /// A workload with its pod template in `spec.template`.
    Template,
    /// A workload with its pod template in `spec.jobTemplate.spec.template`.
    JobTemplate,
    /// A service account.
    ServiceAccount,
}

/// What is to be done with an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// `CREATE`
    Create,
    /// `UPDATE`
    Update,
}

/// Where service accounts are looked up. A trait, so that decisions need no cluster.
pub trait ServiceAccounts {
    /// The names in the `imagePullSecrets` of a service account.
    ///
    /// # Errors
    /// Why they cannot be told.
    fn pull_secrets(&self, namespace: &str, name: &str) -> Result<Vec<String>, LookupError>;
}

/// Why a service account could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LookupError {
    /// The policy server's own account lacks the right.
    Forbidden,
    /// The policy is not granted the kind in `spec.contextAwareResources`.
    NotGranted,
    /// There is no such service account.
    NotFound,
    /// Anything else: the API server is away, the answer is unexpected.
    Failed,
}

impl LookupError {
    /// What is wrong, short enough for a warning.
    #[must_use]
    pub fn advice(self) -> &'static str {
        match self {
            Self::Forbidden => "policy-server lacks the right to get serviceaccounts",
            Self::NotGranted => "contextAwareResources lacks v1 ServiceAccount",
            Self::NotFound => "its ServiceAccount does not exist",
            Self::Failed => "its ServiceAccount could not be read",
        }
    }
}

/// Whether this user is a person, who reads a refusal and can change the list. What Kubernetes itself and service accounts
/// create has a name with `system:`; `system:admin` is the administrator of several distributions. Without a name, it is a
/// person: kwctl and other tools that make up requests are run by people.
#[must_use]
pub fn is_person(user: &str) -> bool {
    user == "system:admin" || !user.starts_with("system:")
}

/// Judges a request. An existing Pod cannot be judged: its `imagePullSecrets` never change.
pub fn judge<'a>(
    request: &Request<'a>,
    settings: &Settings<'_>,
    accounts: &dyn ServiceAccounts,
) -> Verdict<'a> {
    if request.namespace.is_empty() {
        return Verdict::malformed("request.namespace", "is missing");
    }
    if !settings.namespaces.contains(request.namespace) {
        return Verdict::Accept(Reason::NotSelected);
    }
    let outcome = match request.shape {
        Shape::Pod => pod::judge(request, settings, accounts),
        Shape::ServiceAccount => service_account::judge(request, settings),
        Shape::Template | Shape::JobTemplate => workload::judge(request, settings),
    };
    outcome.unwrap_or_else(|Malformed { path, complaint }| {
        let colon = if path.is_empty() { "" } else { ": " };
        let (kind, namespace) = (short(request.kind, 21), short(request.namespace, 28));
        Verdict::malformed(&format!("{kind} in {namespace}{colon}{path}"), &complaint)
    })
}

/// The object of a request, as text.
fn object_of<'a>(object: Option<&'a str>, path: &str) -> Result<&'a str, Malformed> {
    object.ok_or_else(|| Malformed::new("is missing").below(path))
}

/// Whether Pods of this spec get the pull secret, given that their namespace is managed.
fn selects(settings: &Settings<'_>, spec: &PodSpec<'_>) -> Result<bool, Malformed> {
    if !settings.service_accounts.contains(spec.service_account()) {
        return Ok(false);
    }
    if settings.registries.is_empty() {
        return Ok(true);
    }
    let wanted = |image: &Cow<'_, str>| {
        let host = registry_host(image);
        settings.registries.iter().any(|registry| registry.matches(host))
    };
    Ok(spec.images()?.iter().any(wanted))
}

/// How the list of a Pod or a template stands towards the pull secret.
fn standing<'n>(settings: &Settings<'_>, names: &'n [Cow<'_, str>]) -> ListVerdict<'n> {
    let allowed = |name: &str| settings.manual.allowed.iter().any(|pattern| pattern.matches(name));
    ListVerdict::of(names.iter().map(|name| &**name), &settings.pull_secret, allowed)
}

/// The first manual entry that is not among the known ones, of which there may be as many.
fn first_unknown<'m>(manual: &[&'m str], known: &[&str]) -> Option<&'m str> {
    // A tree, not a hash table: that one asks the host for random numbers. And entry by entry: `collect` would bring the
    // standard library's sorting, 9 KB.
    let mut tree: BTreeSet<&str> = BTreeSet::new();
    tree.extend(known);
    manual.iter().find(|entry| !tree.contains(*entry)).copied()
}

/// The one insertion: the pull secret behind what `imagePullSecrets` holds, or instead of its `null`.
fn append(list: &str, object: &str, pull_secret: &str) -> Option<Splice> {
    let place = place_in(object, list)?;
    if list == "null" {
        return Some(Splice { at: place, text: format!(r#"[{{"name":"{pull_secret}"}}]"#) });
    }
    let inside = list.strip_prefix('[')?.strip_suffix(']')?;
    let comma = if inside.trim().is_empty() { "" } else { "," };
    let end = place.end.checked_sub(1)?;
    Some(Splice { at: end..end, text: format!(r#"{comma}{{"name":"{pull_secret}"}}"#) })
}

/// The one insertion where `imagePullSecrets` is absent: a new first field of its parent.
fn insert_first(parent: &str, object: &str, pull_secret: &str) -> Option<Splice> {
    let start = place_in(object, parent)?.start.checked_add(1)?;
    let inside = parent.strip_prefix('{')?.strip_suffix('}')?;
    let comma = if inside.trim().is_empty() { "" } else { "," };
    Some(Splice {
        at: start..start,
        text: format!(r#""imagePullSecrets":[{{"name":"{pull_secret}"}}]{comma}"#),
    })
}

/// The same, behind another field of the parent.
fn insert_after(sibling: &str, object: &str, pull_secret: &str) -> Option<Splice> {
    let end = place_in(object, sibling)?.end;
    Some(Splice { at: end..end, text: format!(r#","imagePullSecrets":[{{"name":"{pull_secret}"}}]"#) })
}
