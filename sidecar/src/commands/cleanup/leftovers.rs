//! The objects that `cleanup` finds in the cluster, and their description.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::api::ObjectMeta;
use kube::{Api, Client};

use super::super::arguments::ClusterArgs;
use super::super::cluster::{self, FoundSecret, call};
use super::super::report::{self, Line, Mark};
use super::super::setup::CommandError;
use crate::cluster::observed::{self, LONGEST_LIST};
use crate::cluster::saved_state::STATE_SECRET;
use crate::kubernetes::{Collection, FIELD_MANAGER, Metadata};
use crate::telemetry::policies;

/// The first steps, which are done on demand.
pub(super) struct First {
    /// The existing policies, which are deleted.
    pub(super) policies: Vec<&'static str>,
    /// The Deployment to scale to 0.
    pub(super) stop: Option<Stop>,
}

/// A Deployment by its name.
pub(super) struct Stop {
    /// Namespace and name.
    pub(super) place: String,
    /// Whether it exists.
    pub(super) is_there: bool,
}

/// The objects to remove.
pub(super) struct Leftovers {
    pub(super) secrets: Vec<FoundSecret>,
    pub(super) accounts: Vec<ListingAccount>,
    /// The Lease names the replica that writes; it has no other use.
    pub(super) lease: Option<ObjectMeta>,
    /// Objects that may be ours but stay, with the reasons.
    pub(super) left_alone: Vec<Line>,
}

/// A service account that lists the pull secret.
pub(super) struct ListingAccount {
    pub(super) namespace: String,
    pub(super) name: String,
}

impl First {
    /// Looks for the policies if they are to be deleted, and for the Deployment if it is to be stopped.
    pub(super) async fn look(
        client: &Client,
        args: &ClusterArgs,
        policies: bool,
        stop: Option<&str>,
    ) -> Result<Self, CommandError> {
        let read =
            if policies { call("read the policies", policies::read(client)).await? } else { Vec::new() };
        let policies = read.into_iter().filter_map(|(name, spec)| spec.map(|_| name)).collect();
        let stop = match stop {
            None => None,
            Some(name) => {
                let namespace = &args.sidecar_namespace;
                let deployments: Api<Deployment> = Api::namespaced(client.clone(), namespace);
                let found = call(format!("read the Deployment {name}"), deployments.get_opt(name)).await?;
                Some(Stop { place: format!("{namespace}/{name}"), is_there: found.is_some() })
            }
        };
        Ok(Self { policies, stop })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.steps().is_empty()
    }

    /// Returns the steps, in their order.
    pub(super) fn steps(&self) -> Vec<String> {
        let Self { policies, stop } = self;
        let delete = match policies.as_slice() {
            [] => None,
            [policy] => Some(format!("delete the ClusterAdmissionPolicy {policy}")),
            policies => Some(format!("delete the ClusterAdmissionPolicies {}", policies.join(", "))),
        };
        let scale = stop.as_ref().filter(|stop| stop.is_there);
        let scale = scale.map(|Stop { place, .. }| format!("scale the Deployment {place} to 0"));
        delete.into_iter().chain(scale).collect()
    }

    /// Returns a line for each step that would be done.
    pub(super) fn lines(&self) -> Vec<String> {
        let Self { policies, stop } = self;
        let policies =
            policies.iter().map(|policy| format!("would delete the ClusterAdmissionPolicy {policy}"));
        let stop = stop.iter().map(|Stop { place, is_there }| match is_there {
            true => format!("would scale the Deployment {place} to 0"),
            false => format!("there is no Deployment {place} to scale to 0"),
        });
        policies.chain(stop).collect()
    }
}

impl Leftovers {
    /// Looks for all objects. It reads only metadata, except for the lists of service accounts.
    pub(super) async fn look(client: &Client, args: &ClusterArgs) -> Result<Self, CommandError> {
        let ClusterArgs { sidecar_namespace, pull_secret, .. } = args;
        let (found, mut left_alone) = cluster::pull_secrets(client, pull_secret).await?;
        let ours = found.into_iter().filter(|secret| secret.facts.ours);
        let (mut secrets, others): (Vec<_>, Vec<_>) = ours.partition(|secret| secret.facts.surely_ours);
        left_alone.extend(others.iter().map(one_mark));
        let state = cluster::secret(client, sidecar_namespace, STATE_SECRET).await?;
        secrets.extend(state.filter(|secret| secret.facts.ours));
        let leases: Api<Lease> = Api::namespaced(client.clone(), sidecar_namespace);
        let lease = call("read the Lease", leases.get_metadata_opt(FIELD_MANAGER)).await?;
        let lease = lease.map(|lease| lease.metadata);
        let accounts = Collection::whole::<ServiceAccount>(None);
        let accounts = cluster::list(client, &accounts, "list the service accounts", |object| {
            let metadata = Metadata::parse(object)?;
            let facts = observed::ServiceAccount::from_object(object, &metadata, pull_secret)?;
            let is_listed = facts.lists(pull_secret);
            let account =
                || ListingAccount { namespace: metadata.namespace.into_owned(), name: facts.name.into() };
            Ok(is_listed.then(|| (account(), facts.is_too_long)))
        });
        let (too_long, accounts): (Vec<_>, Vec<_>) =
            accounts.await?.into_iter().partition(|(_, is_too_long)| *is_too_long);
        left_alone.extend(too_long.iter().map(|(ListingAccount { namespace, name }, _)| {
            let place = format_args!("ServiceAccount {namespace}/{name}");
            Line::new(Mark::Warning, place, list_too_long(pull_secret))
        }));
        let accounts = accounts.into_iter().map(|(account, _)| account).collect();
        Ok(Self { secrets, accounts, lease, left_alone })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.secrets.is_empty() && self.accounts.is_empty() && self.lease.is_none()
    }

    /// Returns the number of all objects; the Lease is listed by its name.
    pub(super) fn summary(&self) -> String {
        let secrets = report::counted(self.secrets.len(), "Secret");
        let accounts = report::counted_as(
            self.accounts.len(),
            "entry of a service account",
            "entries of service accounts",
        );
        let lease = self.lease.as_ref().map(|lease| format!(", and the Lease {}", place(lease)));
        format!("{secrets} and {accounts}{}", lease.unwrap_or_default())
    }

    /// Returns a line for each object that would be changed or removed.
    pub(super) fn lines(&self, pull_secret: &str) -> Vec<String> {
        let Self { secrets, accounts, lease, left_alone: _ } = self;
        let accounts = accounts.iter().map(|ListingAccount { namespace, name }| {
            format!("would remove {pull_secret} from the ServiceAccount {namespace}/{name}")
        });
        let secrets = secrets
            .iter()
            .map(|FoundSecret { namespace, name, .. }| format!("would delete the Secret {namespace}/{name}"));
        let lease = lease.iter().map(|lease| format!("would delete the Lease {}", place(lease)));
        accounts.chain(secrets).chain(lease).collect()
    }
}

/// Describes a Secret with only one of our marks. Others can forge either mark. The fence lets the cleanup delete no
/// such Secret.
fn one_mark(secret: &FoundSecret) -> Line {
    let FoundSecret { name, namespace, facts: _ } = secret;
    let why = format!(
        "left alone: it has only one mark of {FIELD_MANAGER} (its label, or its name among the managers); delete it if it is not \
         needed"
    );
    Line::new(Mark::Warning, format_args!("Secret {namespace}/{name}"), why)
}

pub(super) fn list_too_long(pull_secret: &str) -> String {
    format!("left alone: its list has more than {LONGEST_LIST} entries; remove {pull_secret} from it")
}

/// Returns namespace and name.
pub(super) fn place(metadata: &ObjectMeta) -> String {
    let ObjectMeta { namespace, name, .. } = metadata;
    format!("{}/{}", namespace.as_deref().unwrap_or_default(), name.as_deref().unwrap_or_default())
}
