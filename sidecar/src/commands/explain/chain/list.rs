//! How the reference gets into the list of a Pod, and what keeps it out.

use acr_credential_core::{Standing, registry_host};

use super::super::policy::{Mode, Policies, Rules};
use super::super::subject::{Kind, OPT_OUT, Subject, opts_out};
use super::{Account, Line, Mark, Surroundings};
use crate::configuration::Attach;
use crate::operations::policies::{GUARD, INJECT};

/// What can be said of the policy that adds the reference; nothing where no cluster is asked, or none is needed.
pub(super) fn policy(subject: &Subject, around: &Surroundings<'_>) -> Vec<Line> {
    let Surroundings { configuration, pull_secret, cluster, .. } = around;
    let say = |mark, message: String| Line::new(mark, format_args!("policy {INJECT}"), message);
    let Some(cluster) = cluster.filter(|_| configuration.attach != Attach::ServiceAccount) else {
        return Vec::new();
    };
    let (inject, differences) = match &cluster.policies {
        Policies::Unknown(why) => return vec![say(Mark::Skipped, format!("not looked at: {why}"))],
        Policies::Known { inject, differences, guard: _ } => (inject, differences),
    };
    // What is wrong with the policy does not matter to a list that has the reference already.
    let is_listed = subject.pull_secrets.iter().any(|listed| listed == pull_secret)
        || (configuration.attach == Attach::Both && is_copied(subject, around));
    let bad = if is_listed { Mark::Warning } else { Mark::Error };
    let Some(rules) = inject else {
        return vec![say(
            bad,
            format!("is not installed, so no Pod gets {pull_secret}: install it, see `manifests`"),
        )];
    };
    let mut lines = Vec::new();
    if rules.monitors {
        lines
            .push(say(bad, "only monitors and changes no Pod: install it anew with mode protect".to_owned()));
    }
    let is_from =
        |image: &String| rules.registries.iter().any(|registry| registry.matches(registry_host(image)));
    if !rules.registries.is_empty() && !subject.images.iter().any(is_from) {
        lines.push(say(bad, "has registries that no image here is from: add the host to them".to_owned()));
    }
    if opts_out(cluster.namespace.as_ref().and_then(|metadata| metadata.labels.as_ref())) {
        let namespace = &subject.namespace;
        lines.push(say(
            bad,
            format!("leaves out {namespace}, which has the label {OPT_OUT}=false: remove the label"),
        ));
    }
    if subject.opts_out {
        lines.push(say(bad, format!("leaves out Pods with the label {OPT_OUT}=false: remove the label")));
    }
    lines.extend(differences.iter().map(|difference| Line::new(Mark::Warning, "policies", difference)));
    if lines.is_empty() {
        lines.push(say(Mark::Ok, "is installed, and selects what the configuration selects".to_owned()));
    }
    lines
}

/// Whether Kubernetes copies the reference from the service account.
fn is_copied(subject: &Subject, around: &Surroundings<'_>) -> bool {
    let account = around.cluster.map(|cluster| &cluster.account);
    subject.pull_secrets.is_empty()
        && matches!(account, Some(Account::Found { pull_secrets, .. }) if pull_secrets.iter().any(|it| it == around.pull_secret))
}

pub(super) fn list(subject: &Subject, around: &Surroundings<'_>) -> Line {
    let ours = around.pull_secret;
    if subject.pull_secrets.iter().any(|listed| listed == ours) {
        return say(Mark::Ok, format!("has {ours}"));
    }
    match (&subject.kind, around.configuration.attach) {
        (Kind::Pod, attach) => of_pod(subject, ours, attach),
        (Kind::PodToCome | Kind::Workload { .. }, Attach::ServiceAccount) => by_account(subject, ours),
        (Kind::PodToCome | Kind::Workload { .. }, Attach::Both) if is_copied(subject, around) => {
            say(Mark::Ok, format!("is empty: Kubernetes copies {ours} from the service account"))
        }
        (Kind::PodToCome | Kind::Workload { .. }, Attach::Pod | Attach::Both) => by_policy(subject, around),
    }
}

fn say(mark: Mark, message: String) -> Line {
    Line::new(mark, "imagePullSecrets", message)
}

fn add(ours: &str) -> String {
    format!("add `- name: {ours}` to it, or remove the list")
}

/// A Pod that is there.
fn of_pod(subject: &Subject, ours: &str, attach: Attach) -> Line {
    let problem = match (subject.pull_secrets.join(", ").as_str(), attach) {
        ("", Attach::Pod | Attach::Both) => format!(
            "lacks {ours}, and the list of a Pod never changes: delete the Pod, so that another one is made; if that one \
             lacks it too, look at the policy {INJECT}"
        ),
        ("", Attach::ServiceAccount) => format!(
            "lacks {ours}, and the list of a Pod never changes: delete the Pod once its service account lists it"
        ),
        (by_hand, _) => format!(
            "has {by_hand} alone, and the list of a Pod never changes: where it is written, {}",
            add(ours)
        ),
    };
    say(Mark::Error, problem)
}

fn by_account(subject: &Subject, ours: &str) -> Line {
    match subject.pull_secrets.join(", ").as_str() {
        "" => say(Mark::Ok, "is empty: Kubernetes copies the list of the service account".to_owned()),
        by_hand => say(
            Mark::Error,
            format!("has {by_hand}, so Kubernetes copies nothing from the service account: {}", add(ours)),
        ),
    }
}

fn by_policy(subject: &Subject, around: &Surroundings<'_>) -> Line {
    let ours = around.pull_secret;
    let by_hand = subject.pull_secrets.join(", ");
    let policies = around.cluster.map(|cluster| &cluster.policies);
    let (inject, guard) = match policies {
        None | Some(Policies::Unknown(_)) if by_hand.is_empty() => {
            return say(Mark::Ok, format!("is empty: the policy adds {ours} when a Pod is created"));
        }
        None | Some(Policies::Unknown(_)) => {
            return say(
                Mark::Warning,
                format!(
                    "has {by_hand} alone: manualPullSecrets of the policy decides whether that is refused: {}",
                    add(ours)
                ),
            );
        }
        Some(Policies::Known { inject: None, .. }) => {
            let what =
                if by_hand.is_empty() { "is empty".to_owned() } else { format!("has {by_hand} alone") };
            return say(Mark::Error, format!("{what}, and no policy adds {ours}"));
        }
        Some(Policies::Known { inject: Some(inject), guard, .. }) => (inject, guard.as_ref()),
    };
    match inject.standing(&subject.pull_secrets, ours) {
        Standing::Listed | Standing::Free => {
            say(Mark::Ok, format!("the policy adds {ours} when a Pod is created"))
        }
        Standing::Manual(manual) => by_hand_alone(subject, around, inject, guard, &manual),
    }
}

/// A list that was written by hand, in a manifest.
fn by_hand_alone(
    subject: &Subject,
    around: &Surroundings<'_>,
    inject: &Rules,
    guard: Option<&Rules>,
    manual: &[&str],
) -> Line {
    let (ours, by_hand) = (around.pull_secret, manual.join(", "));
    let add = add(ours);
    let mode = match (&subject.kind, guard) {
        (Kind::Workload { .. }, Some(Rules { workloads: Mode::Reject, monitors: false, .. })) => {
            return say(Mark::Error, format!("has {by_hand} alone, so the policy {GUARD} refuses it: {add}"));
        }
        (Kind::Workload { .. }, _) => inject.owned_pods,
        (Kind::Pod | Kind::PodToCome, _) if inject.reads_accounts && lists_all(around, manual) => Mode::Merge,
        (Kind::Pod | Kind::PodToCome, _) => inject.pods,
    };
    match mode {
        Mode::Reject => {
            say(Mark::Error, format!("has {by_hand} alone, so the policy {INJECT} refuses its Pods: {add}"))
        }
        Mode::Ignore => say(
            Mark::Error,
            format!("has {by_hand} alone, and the policy {INJECT} leaves such Pods alone: {add}"),
        ),
        Mode::Merge => {
            say(Mark::Ok, format!("has {by_hand}, and the policy adds {ours} when a Pod is created"))
        }
        Mode::Warn => say(
            Mark::Warning,
            format!("has {by_hand} alone; the policy adds {ours} and warns when a Pod is created: {add}"),
        ),
    }
}

/// Whether the service account lists all of these.
fn lists_all(around: &Surroundings<'_>, names: &[&str]) -> bool {
    match around.cluster.map(|cluster| &cluster.account) {
        Some(Account::Found { pull_secrets, .. }) => {
            names.iter().all(|name| pull_secrets.iter().any(|listed| listed == name))
        }
        _ => false,
    }
}

/// Pods that a workload has made, perhaps before it was as it is now.
pub(super) fn pods(subject: &Subject, around: &Surroundings<'_>) -> Option<Line> {
    let lists = &around.cluster?.lists_of_pods;
    let Kind::Workload { renew } = &subject.kind else { return None };
    let ours = around.pull_secret;
    let lack = lists.iter().filter(|list| !list.iter().any(|listed| listed == ours)).count();
    let say = |mark, message: String| Some(Line::new(mark, "Pods", message));
    match (lack, lists.len()) {
        (_, 0) => None,
        (0, all) => say(Mark::Ok, format!("all {all} have {ours}")),
        (lack, all) => say(
            Mark::Error,
            format!(
                "{lack} of {all} lack {ours}, and the list of a Pod never changes: mend what is wrong above, then have \
                 them made anew: {renew}"
            ),
        ),
    }
}
