//! From a request to a verdict. Pure but for the one lookup, which is a parameter.

mod pod;
mod service_account;
mod workload;

use std::borrow::Cow;
use std::collections::BTreeSet;

use acr_credential_core::{Standing, registry_host};

use crate::accounts::ServiceAccounts;
use crate::json::{Malformed, place_in};
use crate::message::short;
use crate::object::PodSpec;
use crate::request::{Payload, Request};
use crate::settings::Settings;
use crate::verdict::{Splice, Verdict};

/// Judges the payload that a policy server hands to `validate`.
pub(crate) fn review<'a>(payload: &'a [u8], accounts: &dyn ServiceAccounts) -> Verdict<'a> {
    let Ok(payload) = std::str::from_utf8(payload) else {
        return malformed("request", "is not UTF-8");
    };
    let Payload { request, settings } = match Payload::parse(payload) {
        Ok(payload) => payload,
        Err(Malformed { path, complaint }) => {
            return malformed(if path.is_empty() { "request" } else { &path }, &complaint);
        }
    };
    let Some(handled) = Handled::of(&request) else {
        return Verdict::Accept;
    };
    let settings = match Settings::parse(settings) {
        Ok(settings) => settings,
        Err(mistakes) => return Verdict::Error { code: 500, message: format!("wrong settings: {mistakes}") },
    };
    if request.namespace.is_empty() {
        return malformed("request.namespace", "is missing");
    }
    if !settings.namespaces.contains(&request.namespace) {
        return Verdict::Accept;
    }
    let outcome = match handled {
        Handled::Pod => pod::review(&request, &settings, accounts),
        Handled::ServiceAccount => service_account::review(&request, &settings),
        Handled::Workload(template) => workload::review(&request, &settings, template),
    };
    outcome.unwrap_or_else(|Malformed { path, complaint }| {
        let colon = if path.is_empty() { "" } else { ": " };
        let kind = short(&request.kind.kind, 21);
        let namespace = short(&request.namespace, 28);
        malformed(&format!("{kind} in {namespace}{colon}{path}"), &complaint)
    })
}

fn malformed(place: &str, complaint: &str) -> Verdict<'static> {
    Verdict::Error { code: 400, message: format!("{place}: {complaint}") }
}

/// The requests that the policy has an opinion on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Handled {
    Pod,
    ServiceAccount,
    Workload(TemplateAt),
}

/// Where a workload keeps its pod template.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TemplateAt {
    /// `spec.template`
    Spec,
    /// `spec.jobTemplate.spec.template`
    JobTemplate,
}

impl Handled {
    /// Group and kind both decide: another group may have a `Deployment` of its own.
    fn of(request: &Request<'_>) -> Option<Self> {
        if !request.sub_resource.is_empty() {
            return None;
        }
        let handled = match (&*request.kind.group, &*request.kind.kind) {
            ("", "Pod") => Self::Pod,
            ("", "ServiceAccount") => Self::ServiceAccount,
            ("apps", "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet")
            | ("", "ReplicationController")
            | ("batch", "Job") => Self::Workload(TemplateAt::Spec),
            ("batch", "CronJob") => Self::Workload(TemplateAt::JobTemplate),
            _ => return None,
        };
        match (&*request.operation, handled) {
            // `imagePullSecrets` of an existing Pod cannot change.
            ("CREATE", _) | ("UPDATE", Self::ServiceAccount | Self::Workload(_)) => Some(handled),
            _ => None,
        }
    }
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
fn standing<'n>(settings: &Settings<'_>, names: &'n [Cow<'_, str>]) -> Standing<'n> {
    let allowed = |name: &str| settings.manual.allowed.iter().any(|pattern| pattern.matches(name));
    Standing::of(names.iter().map(|name| &**name), &settings.pull_secret, allowed)
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
