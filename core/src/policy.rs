//! What the policy decides: its settings, and the verdict on a request.
//!
//! There is one function that decides, [`judge`]. The compiled policy calls it for each admission request, and the sidecar's
//! commands call it for the objects that users ask about. The only look-up in the cluster is a parameter.

mod list_verdict;
mod message;
mod object;
mod pod;
mod service_account;
mod settings;
mod splice;
mod verdict;
mod workload;

use std::borrow::Cow;
use std::collections::BTreeSet;

use message::short;
use object::PodOrTemplate;

use crate::json::Malformed;
use crate::registry_host;

pub use service_account::listed_pull_secrets;
pub use settings::{ManualPullSecrets, Mistakes, PodMode, Settings, WorkloadMode};
pub use splice::Splice;
pub use verdict::{Rule, Verdict};

/// The parts of an admission request that the decision depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request<'a> {
    /// The shape of its object.
    pub shape: Shape,
    /// The kind of its object, as messages name it: `Deployment`.
    pub kind: &'a str,
    /// The operation on the object.
    pub operation: Operation,
    /// The namespace of the request. The namespace in the object is not used.
    pub namespace: &'a str,
    /// The user who makes the request: `userInfo.username`, empty if it is unknown.
    pub user: &'a str,
    /// The object as JSON. A mutated object is this text with one insertion.
    pub object: Option<&'a str>,
    /// For an update: the object before the update.
    pub old_object: Option<&'a str>,
}

/// How the policy reads an object.
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

/// The operation that a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// `CREATE`
    Create,
    /// `UPDATE`
    Update,
}

/// The source of service accounts. It is a trait, so that decisions need no cluster.
pub trait ServiceAccounts {
    /// Returns the names in the `imagePullSecrets` of a service account.
    ///
    /// # Errors
    /// Returns why they cannot be determined.
    fn pull_secrets(&self, namespace: &str, name: &str) -> Result<Vec<String>, LookupError>;
}

/// Why a service account could not be read, short enough for a warning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LookupError {
    /// The policy server's own account lacks the right.
    #[error("policy-server lacks the right to get serviceaccounts")]
    Forbidden,
    /// The policy is not granted the kind in `spec.contextAwareResources`.
    #[error("contextAwareResources lacks v1 ServiceAccount")]
    NotGranted,
    /// There is no such service account.
    #[error("its ServiceAccount does not exist")]
    NotFound,
    /// Any other failure: the API server cannot be reached, or the response is unexpected.
    #[error("its ServiceAccount could not be read")]
    Failed,
}

/// Returns whether this user is a person, who reads a refusal and can change the list. Kubernetes itself and service accounts
/// have user names that begin with `system:`; `system:admin` is the administrator of several distributions. A user without a
/// name is a person: kwctl and other tools that generate requests are run by people.
fn is_person(user: &str) -> bool {
    user == "system:admin" || !user.starts_with("system:")
}

/// Decides about a request. It is not for updates of Pods: the `imagePullSecrets` of an existing Pod cannot change.
pub fn judge<'a>(
    request: &Request<'a>,
    settings: &Settings<'_>,
    accounts: &dyn ServiceAccounts,
) -> Verdict<'a> {
    if request.namespace.is_empty() {
        return Verdict::malformed("request.namespace", "is missing");
    }
    if !settings.namespaces.contains(request.namespace) {
        return Verdict::NotSelected;
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

impl<'a> Request<'a> {
    fn object(&self) -> Result<&'a str, Malformed> {
        self.object.ok_or_else(|| Malformed::new("is missing").below("object"))
    }
}

/// Returns whether these Pods get the pull secret, given that their namespace is managed.
fn selects(settings: &Settings<'_>, pods: &PodOrTemplate<'_>) -> Result<bool, Malformed> {
    if !settings.service_accounts.contains(pods.spec.service_account()) {
        return Ok(false);
    }
    if settings.registries.is_empty() {
        return Ok(true);
    }
    let wanted = |image: &Cow<'_, str>| {
        let host = registry_host(image);
        settings.registries.iter().any(|registry| registry.matches(host))
    };
    let images = pods.spec.images().map_err(|malformed| malformed.below(pods.path))?;
    Ok(images.iter().any(wanted))
}

/// Returns the first manual entry that is not among the known entries. Both lists may be long.
fn first_unknown<'m>(manual: &[&'m str], known: &[&str]) -> Option<&'m str> {
    // This is a tree, because a hash table asks the host for random numbers. It is filled with `extend`, because `collect`
    // would add the standard library's sorting, which is 9 KB.
    let mut tree: BTreeSet<&str> = BTreeSet::new();
    tree.extend(known);
    manual.iter().find(|entry| !tree.contains(*entry)).copied()
}
