//! The way from a configuration to an image that can be pulled, and where it breaks. Pure.

mod list;

use acr_credential_core::registry_host;
use jiff::Timestamp;
use kube::api::ObjectMeta;

use super::super::cluster::PullSecret;
use super::super::report::{self, Line, Mark};
use super::super::status::is_managed;
use super::policy::Policies;
use super::subject::Subject;
use super::verdict::Account;
use crate::cloud::personal_hosts;
use crate::cluster::fingerprint::instance_name;
use crate::configuration::{Attach, Configuration, Instance, Registry};

/// All that decides.
#[derive(Debug, Clone, Copy)]
pub(super) struct Surroundings<'a> {
    pub(super) configuration: &'a Configuration,
    pub(super) pull_secret: &'a str,
    /// None where no cluster is asked.
    pub(super) cluster: Option<&'a Cluster>,
    pub(super) now: Timestamp,
}

/// What the cluster has.
#[derive(Debug)]
pub(super) struct Cluster {
    pub(super) namespace: Option<ObjectMeta>,
    pub(super) account: Account,
    pub(super) policies: Policies,
    /// The Secret of the pull secret's name in that namespace.
    pub(super) secret: Option<PullSecret>,
    /// The hosts in it, where they were read.
    pub(super) hosts: Option<Vec<String>>,
    /// The lists of the Pods that a workload has made, as far as they have not finished.
    pub(super) lists_of_pods: Vec<Vec<String>>,
}

/// Judges every step; a step that fails does not hide what else is wrong. Where no image needs a login, nothing else matters
/// but that a policy may refuse the list all the same.
pub(super) fn judge(subject: &Subject, around: &Surroundings<'_>) -> Vec<Line> {
    let images: Vec<Line> = subject.images.iter().map(|at| image(at, subject, around)).collect();
    if images.iter().all(|line| line.mark == Mark::Skipped) {
        return [images, list::refusals(subject, around)].concat();
    }
    let mut lines = vec![namespace(subject, around), service_account(subject, around)];
    lines.extend(list::policies(subject, around));
    lines.push(list::list(subject, around));
    lines.push(secret(around));
    lines.extend(images);
    lines.extend(list::pods(subject, around));
    lines
}

/// Whether nothing of this stands in the way.
pub(super) fn passes(lines: &[Line]) -> bool {
    lines.iter().all(|line| line.mark != Mark::Error)
}

fn namespace(subject: &Subject, around: &Surroundings<'_>) -> Line {
    let name = &subject.namespace;
    let Surroundings { configuration, cluster, .. } = around;
    let say = |mark, message: String| Line::new(mark, format_args!("namespace {name}"), message);
    let names = &configuration.namespaces;
    if !names.contains(name) {
        let is_excluded = names.include.iter().any(|pattern| pattern.matches(name));
        return say(
            Mark::Error,
            if is_excluded {
                format!("is taken out by exclude-namespace: name {name} exactly in watch-namespace")
            } else {
                format!("is not managed: add {name} to watch-namespace")
            },
        );
    }
    match (&configuration.namespace_selector, cluster) {
        (Some(selector), None) => {
            say(Mark::Warning, format!("is managed if its labels match watch-namespace-selector: {selector}"))
        }
        (_, Some(Cluster { namespace: None, .. })) => {
            say(Mark::Error, "does not exist: create it".to_owned())
        }
        (_, Some(Cluster { namespace: Some(metadata), .. })) if metadata.deletion_timestamp.is_some() => {
            say(Mark::Error, "is being deleted: nothing new can start in it".to_owned())
        }
        (Some(selector), Some(Cluster { namespace: Some(metadata), .. }))
            if !is_managed(name, metadata, configuration) =>
        {
            say(Mark::Error, format!("has no labels that watch-namespace-selector wants: {selector}"))
        }
        (None, None) | (_, Some(_)) => say(Mark::Ok, "is managed".to_owned()),
    }
}

fn service_account(subject: &Subject, around: &Surroundings<'_>) -> Line {
    let name = &subject.service_account;
    let Surroundings { configuration, pull_secret, cluster, .. } = around;
    let say = |mark, message: String| Line::new(mark, format_args!("service account {name}"), message);
    let lists = |names: &[String]| names.iter().any(|listed| listed == pull_secret);
    let by_policy = configuration.attach == Attach::Pod;
    let account = cluster.map_or(&Account::Unknown, |cluster| &cluster.account);
    match account {
        Account::Absent => {
            return say(Mark::Error, "does not exist, so no Pod of it is created: create it".to_owned());
        }
        Account::Found { pull_secrets, enforces_mountable: true } if by_policy && !lists(pull_secrets) => {
            return say(
                Mark::Error,
                format!(
                    "enforces mountable secrets and does not list {pull_secret}, so its Pods are refused: set attach \
                     to both"
                ),
            );
        }
        Account::Unknown | Account::Found { .. } => {}
    }
    if !configuration.service_accounts.contains(name) {
        return if subject.lists(pull_secret) {
            say(Mark::Ok, "is not selected, but the list below has the pull secret anyway".to_owned())
        } else if list::is_copied(subject, around) {
            say(Mark::Ok, format!("is not selected, but lists {pull_secret} anyway"))
        } else if list::is_added(subject, around) {
            say(
                Mark::Warning,
                format!("is not selected, but the policies select it: add {name} to service-account"),
            )
        } else {
            say(
                Mark::Error,
                format!("is not selected: add {name} to service-account, here and in the policies"),
            )
        };
    }
    match account {
        Account::Found { pull_secrets, .. } if !by_policy && !lists(pull_secrets) => say(
            Mark::Error,
            format!(
                "is selected, but does not list {pull_secret}: the Events of it say what the sidecar waits for"
            ),
        ),
        Account::Found { .. } if !by_policy => say(Mark::Ok, format!("is selected, and lists {pull_secret}")),
        Account::Unknown | Account::Absent | Account::Found { .. } => say(Mark::Ok, "is selected".to_owned()),
    }
}

fn secret(around: &Surroundings<'_>) -> Line {
    let Surroundings { pull_secret, cluster, now, .. } = around;
    let say = |mark, message: String| Line::new(mark, format_args!("Secret {pull_secret}"), message);
    let Some(cluster) = cluster else {
        return say(Mark::Skipped, "not looked at: no cluster was asked".to_owned());
    };
    match &cluster.secret {
        None => say(
            Mark::Error,
            "is missing: `status` and the log of the sidecar say what it waits for".to_owned(),
        ),
        Some(secret) if !secret.ours => say(
            Mark::Error,
            "belongs to somebody else and is left alone: delete it, or run the sidecar with --adopt"
                .to_owned(),
        ),
        Some(PullSecret { expires_at: None, .. }) => {
            say(Mark::Error, "holds no credential: `check --online` says why none can be had".to_owned())
        }
        Some(PullSecret { expires_at: Some(at), .. }) if at <= now => {
            say(Mark::Error, format!("expired at {at}: `status` and the log of the sidecar say why"))
        }
        Some(PullSecret { expires_at: Some(at), registries, .. }) => say(
            Mark::Ok,
            format!("is valid for {}, and holds {}", report::time_left(*now, *at), registries.join(", ")),
        ),
    }
}

/// How a registry of the configuration stands towards a host.
enum Cover<'a> {
    /// It has that host.
    Has(&'a Registry),
    /// Its hosts are asked of the cloud, so it may.
    May(&'a Registry),
    /// It has that host, but is for other namespaces.
    Elsewhere(&'a Registry),
    /// Its hosts are asked of the cloud, and it is for other namespaces.
    MayElsewhere(&'a Registry),
}

fn image(image: &str, subject: &Subject, around: &Surroundings<'_>) -> Line {
    let host = registry_host(image);
    let say = |mark, message: String| Line::new(mark, format_args!("image {image}"), message);
    let hosts = around.cluster.and_then(|cluster| cluster.hosts.as_ref());
    if let Some(hosts) = hosts {
        if hosts.iter().any(|known| known == host) {
            return say(Mark::Ok, "the pull secret has a login for its host".to_owned());
        }
        if around.configuration.registries.iter().any(|registry| has_host(registry, host) == Some(true)) {
            return say(Mark::Error, "the pull secret has no login for its host: see `status`".to_owned());
        }
    }
    match cover(host, subject, around.configuration) {
        Some(Cover::Has(registry)) => match around.cluster.and_then(|cluster| cluster.secret.as_ref()) {
            Some(secret) if secret.ours && !holds(secret, registry) => say(
                Mark::Error,
                format!(
                    "its host belongs to {}, which the pull secret does not hold: see `status`",
                    registry.place
                ),
            ),
            _ => say(Mark::Ok, format!("its host belongs to {}", registry.place)),
        },
        Some(Cover::Elsewhere(registry)) => say(
            Mark::Error,
            format!(
                "its host belongs to {}, which is for other namespaces: add {} to its namespaces",
                registry.place, subject.namespace
            ),
        ),
        Some(Cover::May(registry)) if hosts.is_none() && is_acr(host) => say(
            Mark::Warning,
            format!(
                "its host may belong to {}, whose hosts the cloud names: --read-secret tells",
                registry.place
            ),
        ),
        Some(Cover::MayElsewhere(registry)) if is_acr(host) => say(
            Mark::Error,
            format!(
                "no registry for this namespace has {host}: add its instance to acr-registry-info, or, if it is that of {}, \
                 add {} to its namespaces",
                registry.place, subject.namespace
            ),
        ),
        Some(Cover::May(_)) | None if is_acr(host) => say(
            Mark::Error,
            format!("no registry of the configuration has {host}: add its instance to acr-registry-info"),
        ),
        Some(Cover::May(_) | Cover::MayElsewhere(_)) | None => say(
            Mark::Skipped,
            format!("{host} is not a registry of the configuration: pulled without its credentials"),
        ),
    }
}

fn cover<'a>(host: &str, subject: &Subject, configuration: &'a Configuration) -> Option<Cover<'a>> {
    let is_for = |registry: &&Registry| {
        let patterns = registry.namespaces.as_ref();
        patterns.is_none_or(|all| all.iter().any(|pattern| pattern.matches(&subject.namespace)))
    };
    let (here, elsewhere): (Vec<_>, Vec<_>) = configuration.registries.iter().partition(is_for);
    let first = |registries: &[&'a Registry], answer| {
        registries.iter().copied().find(|registry| has_host(registry, host) == answer)
    };
    first(&here, Some(true))
        .map(Cover::Has)
        .or_else(|| first(&elsewhere, Some(true)).map(Cover::Elsewhere))
        .or_else(|| first(&here, None).map(Cover::May))
        .or_else(|| first(&elsewhere, None).map(Cover::MayElsewhere))
}

/// Whether a registry has this host; none where only the cloud knows.
fn has_host(registry: &Registry, host: &str) -> Option<bool> {
    let Registry { instance, region, domains, .. } = registry;
    match (instance, region) {
        _ if !domains.is_empty() => Some(domains.iter().any(|domain| domain.as_str() == host)),
        (Instance::Personal, Some(region)) => {
            Some(personal_hosts(region).iter().any(|domain| domain.as_str() == host))
        }
        (Instance::Personal, None) | (Instance::Enterprise(_), _) => None,
    }
}

/// Whether the annotations of the pull secret name this registry.
fn holds(secret: &PullSecret, registry: &Registry) -> bool {
    let instance = instance_name(&registry.instance);
    secret.registries.iter().any(|name| match (name.split_once('/'), &registry.region) {
        (Some((of, id)), Some(region)) => of == region.as_str() && id == instance,
        (Some((_, id)), None) => id == instance,
        (None, _) => false,
    })
}

fn is_acr(host: &str) -> bool {
    host.ends_with(".aliyuncs.com")
}

#[cfg(test)]
mod tests;
