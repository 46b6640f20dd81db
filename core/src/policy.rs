//! What the policy decides: its settings, and the judgement on a request.
//!
//! Everything that judges calls [`judge`]: the compiled policy for each admission request, and the sidecar's commands for what
//! people ask about. The one look-up in the cluster is a parameter.

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
    /// Anything else: the API server is away, the answer is unexpected.
    #[error("its ServiceAccount could not be read")]
    Failed,
}

/// Whether this user is a person, who reads a refusal and can change the list. What Kubernetes itself and service accounts
/// create has a name with `system:`; `system:admin` is the administrator of several distributions. Without a name, it is a
/// person: kwctl and other tools that make up requests are run by people.
fn is_person(user: &str) -> bool {
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

/// Whether these Pods get the pull secret, given that their namespace is managed.
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

/// The first manual entry that is not among the known ones, of which there may be as many.
fn first_unknown<'m>(manual: &[&'m str], known: &[&str]) -> Option<&'m str> {
    // A tree, not a hash table: that one asks the host for random numbers. And entry by entry: `collect` would bring the
    // standard library's sorting, 9 KB.
    let mut tree: BTreeSet<&str> = BTreeSet::new();
    tree.extend(known);
    manual.iter().find(|entry| !tree.contains(*entry)).copied()
}
