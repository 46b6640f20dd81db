//! How the reference gets into the list of a Pod, and what keeps it out.

use super::super::policy::{Policies, Rules};
use super::super::subject::{Kind, Subject};
use super::super::verdict::{Injection, Judgement};
use super::{Account, Line, Mark, Surroundings};
use crate::configuration::Attach;
use crate::operations::policies::{GUARD, INJECT};

/// What can be said of the policies; nothing where no cluster is asked.
pub(super) fn policies(subject: &Subject, around: &Surroundings<'_>) -> Vec<Line> {
    let Some(cluster) = around.cluster else { return Vec::new() };
    match &cluster.policies {
        // Where accounts carry the reference, there may well be none.
        Policies::Unknown(_) if around.configuration.attach == Attach::ServiceAccount => Vec::new(),
        Policies::Unknown(why) => vec![say_of(INJECT, Mark::Skipped, format!("not looked at: {why}"))],
        Policies::Known { inject, guard, differences } => {
            let mut lines = match around.configuration.attach {
                Attach::ServiceAccount => Vec::new(),
                Attach::Pod | Attach::Both => by_inject(inject.as_deref(), subject, differences, around),
            };
            lines.extend(guard.as_ref().and_then(|guard| by_guard(guard, subject, around)));
            lines
        }
    }
}

/// What the policy that adds the reference has against the subject.
fn by_inject(
    inject: Option<&Rules>,
    subject: &Subject,
    differences: &[String],
    around: &Surroundings<'_>,
) -> Vec<Line> {
    let ours = around.pull_secret;
    // What is wrong with the policy does not matter to a list that has the reference already.
    let is_served = subject.lists(ours) || is_copied(subject, around);
    let bad = if is_served { Mark::Warning } else { Mark::Error };
    let Some(rules) = inject else {
        let problem = format!("is not installed, so no Pod gets {ours}: install it, see `manifests`");
        return vec![say_of(INJECT, bad, problem)];
    };
    let mut problems = rules.misses(subject, namespace(around));
    if rules.pull_secret != ours {
        problems.push(format!("adds {}, but the sidecar writes {ours}: make them equal", rules.pull_secret));
    }
    let mut lines: Vec<Line> = problems.into_iter().map(|problem| say_of(INJECT, bad, problem)).collect();
    lines.extend(differences.iter().map(|difference| Line::new(Mark::Warning, "policies", difference)));
    if lines.is_empty() {
        let message = "is installed, and selects what the configuration selects".to_owned();
        lines.push(say_of(INJECT, Mark::Ok, message));
    }
    lines
}

/// What the policy that judges workloads has against the subject.
fn by_guard(guard: &Rules, subject: &Subject, around: &Surroundings<'_>) -> Option<Line> {
    let add = add(&guard.pull_secret);
    let say = |mark, message| Some(say_of(GUARD, mark, message));
    match guard.guard(subject, namespace(around)) {
        Judgement::Refused(manual) => say(
            Mark::Error,
            format!("refuses to create it, for its list has {} alone: {add}", manual.join(", ")),
        ),
        Judgement::Warned(manual) => {
            say(Mark::Warning, format!("warns of it, for its list has {} alone: {add}", manual.join(", ")))
        }
        Judgement::Spared(manual) => say(
            Mark::Warning,
            format!(
                "leaves the list as it is, but would refuse a new workload with {} alone, and more such entries: {add}",
                manual.join(", ")
            ),
        ),
        Judgement::Accepted => match (&subject.kind, guard.out_of_force()) {
            (Kind::Workload { exists: false, .. }, Some(problem)) if !guard.monitors => {
                say(Mark::Warning, problem)
            }
            _ => None,
        },
    }
}

/// Whether Kubernetes copies the reference from the service account.
pub(super) fn is_copied(subject: &Subject, around: &Surroundings<'_>) -> bool {
    let account = around.cluster.map(|cluster| &cluster.account);
    subject.pull_secrets.is_empty()
        && matches!(account, Some(Account::Found { pull_secrets, .. }) if pull_secrets.iter().any(|it| it == around.pull_secret))
}

/// Whether the policy adds the reference to such Pods, whatever the configuration says.
pub(super) fn is_added(subject: &Subject, around: &Surroundings<'_>) -> bool {
    inject(around).is_some_and(|rules| {
        rules.pull_secret == around.pull_secret && rules.misses(subject, namespace(around)).is_empty()
    })
}

/// What the policies refuse, whatever the images are.
pub(super) fn refusals(subject: &Subject, around: &Surroundings<'_>) -> Vec<Line> {
    let Some(Policies::Known { guard, .. }) = around.cluster.map(|cluster| &cluster.policies) else {
        return Vec::new();
    };
    let by_guard = guard.as_ref().and_then(|guard| by_guard(guard, subject, around));
    let by_inject = match injection(subject, around) {
        Some(injection @ Injection::Refused(_)) => Some(by_policy(subject, around, &injection)),
        _ => None,
    };
    let refusals = by_guard.into_iter().chain(by_inject);
    refusals.filter(|line| line.mark == Mark::Error).collect()
}

/// What becomes of the Pods to come; none where that cannot be known, and of a Pod that is there.
fn injection<'a>(subject: &'a Subject, around: &Surroundings<'a>) -> Option<Injection<'a>> {
    if matches!(subject.kind, Kind::Pod) {
        return None;
    }
    let cluster = around.cluster?;
    Some(inject(around)?.inject(subject, cluster.namespace.as_ref(), &cluster.account))
}

/// The line about the list itself.
pub(super) fn list(subject: &Subject, around: &Surroundings<'_>) -> Line {
    let ours = around.pull_secret;
    if matches!(subject.kind, Kind::Pod) {
        return if subject.lists(ours) {
            say(Mark::Ok, format!("has {ours}"))
        } else {
            of_pod(subject, ours, around.configuration.attach)
        };
    }
    match injection(subject, around) {
        // Before all else: a policy for another pull secret takes even ours for written by hand.
        Some(injection @ Injection::Refused(_)) => by_policy(subject, around, &injection),
        _ if subject.lists(ours) => say(Mark::Ok, format!("has {ours}")),
        _ if is_copied(subject, around) => {
            say(Mark::Ok, format!("is empty: Kubernetes copies {ours} from the service account"))
        }
        _ if around.configuration.attach == Attach::ServiceAccount => by_account(subject, ours),
        None if around.cluster.is_some_and(|it| matches!(it.policies, Policies::Known { .. })) => {
            not_added(subject, ours)
        }
        None => without_policies(subject, ours),
        Some(injection) => by_policy(subject, around, &injection),
    }
}

/// A Pod that is there, without the reference.
fn of_pod(subject: &Subject, ours: &str, attach: Attach) -> Line {
    let problem = match (by_hand(subject).as_str(), attach) {
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
    if subject.pull_secrets.is_empty() {
        return say(Mark::Ok, "is empty: Kubernetes copies the list of the service account".to_owned());
    }
    let has = match by_hand(subject).as_str() {
        "" => "has an entry without a name".to_owned(),
        names => format!("has {names}"),
    };
    say(Mark::Error, format!("{has}, so Kubernetes copies nothing from the service account: {}", add(ours)))
}

/// Where nobody knows what the policies say.
fn without_policies(subject: &Subject, ours: &str) -> Line {
    match by_hand(subject).as_str() {
        "" => say(Mark::Ok, format!("is empty: the policy adds {ours} when a Pod is created")),
        by_hand => say(
            Mark::Warning,
            format!(
                "has {by_hand} alone: manualPullSecrets of the policy decides whether that is refused: {}",
                add(ours)
            ),
        ),
    }
}

fn not_added(subject: &Subject, ours: &str) -> Line {
    let what = match by_hand(subject).as_str() {
        "" => "is empty".to_owned(),
        by_hand => format!("has {by_hand} alone"),
    };
    say(Mark::Error, format!("{what}, and no policy adds {ours}"))
}

fn by_policy(subject: &Subject, around: &Surroundings<'_>, injection: &Injection<'_>) -> Line {
    let ours = around.pull_secret;
    let is_ours = inject(around).is_some_and(|rules| rules.pull_secret == ours);
    let has = |manual: &[&str]| alone(subject, &manual.join(", "));
    let way_out = way_out(subject, ours);
    match injection {
        Injection::LeftOut | Injection::Listed => not_added(subject, ours),
        Injection::Ignored(manual) => say(
            Mark::Error,
            format!("{}, and the policy {INJECT} leaves such Pods alone: {way_out}", has(manual)),
        ),
        Injection::Refused(manual) => {
            say(Mark::Error, format!("{}, so the policy {INJECT} refuses its Pods: {way_out}", has(manual)))
        }
        // What is left adds the policy's own pull secret.
        _ if !is_ours => not_added(subject, ours),
        Injection::IfCopied(manual) => say(
            Mark::Warning,
            format!(
                "{}; the policy {INJECT} refuses its Pods unless the service account, which could not be read here, lists \
                 that too: {way_out}",
                has(manual)
            ),
        ),
        Injection::Merged(manual) if !subject.pull_secrets.is_empty() => {
            let manual = manual.join(", ");
            say(Mark::Ok, format!("has {manual}, and the policy adds {ours} when a Pod is created"))
        }
        Injection::Added | Injection::Merged(_) => {
            say(Mark::Ok, format!("the policy adds {ours} when a Pod is created"))
        }
        Injection::Warned(manual) => say(
            Mark::Warning,
            format!("{}; the policy adds {ours} and warns when a Pod is created: {way_out}", has(manual)),
        ),
        Injection::NotLookedUp(manual) => say(
            Mark::Warning,
            format!(
                "{}; the policy cannot look the service account up, so it adds {ours} and warns: {way_out}",
                has(manual)
            ),
        ),
    }
}

/// Pods that a workload has made, perhaps before it was as it is now.
pub(super) fn pods(subject: &Subject, around: &Surroundings<'_>) -> Option<Line> {
    let lists = &around.cluster?.lists_of_pods;
    let Kind::Workload { renew, .. } = &subject.kind else { return None };
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

fn inject<'a>(around: &Surroundings<'a>) -> Option<&'a Rules> {
    match &around.cluster?.policies {
        Policies::Known { inject, .. } => inject.as_deref(),
        Policies::Unknown(_) => None,
    }
}

fn namespace<'a>(around: &Surroundings<'a>) -> Option<&'a kube::api::ObjectMeta> {
    around.cluster?.namespace.as_ref()
}

/// The names in the subject's own list.
fn by_hand(subject: &Subject) -> String {
    let names = subject.pull_secrets.iter().map(String::as_str).filter(|name| !name.is_empty());
    names.collect::<Vec<_>>().join(", ")
}

/// What is in the list that the policy sees, which may have come from the service account.
fn alone(subject: &Subject, names: &str) -> String {
    if subject.pull_secrets.is_empty() {
        format!("is empty, so Kubernetes copies {names} alone from the service account")
    } else {
        format!("has {names} alone")
    }
}

fn say(mark: Mark, message: String) -> Line {
    Line::new(mark, "imagePullSecrets", message)
}

fn say_of(policy: &str, mark: Mark, message: String) -> Line {
    Line::new(mark, format_args!("policy {policy}"), message)
}

fn add(ours: &str) -> String {
    format!("add `- name: {ours}` to it, or remove the list")
}

/// How a list gets the reference. One that is empty in the manifest cannot be removed.
fn way_out(subject: &Subject, ours: &str) -> String {
    if subject.pull_secrets.is_empty() {
        format!("write a list with `- name: {ours}`, or set readServiceAccounts in the policy")
    } else {
        add(ours)
    }
}
