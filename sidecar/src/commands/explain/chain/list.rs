//! How the reference gets into the list of a Pod, and what keeps it out.

use super::super::policy::{Answer, Policies, Rules};
use super::super::subject::{Kind, Subject};
use super::{Account, Line, Mark, Surroundings};
use crate::configuration::Attach;
use crate::telemetry::policies::{GUARD, INJECT};

/// What can be said of the policies.
pub(super) fn policies(subject: &Subject, around: &Surroundings<'_>) -> Vec<Line> {
    let by_accounts = around.configuration.attach == Attach::ServiceAccount;
    let mut lines = match around.policies {
        // Where accounts carry the reference, there may well be none.
        _ if by_accounts => Vec::new(),
        Policies::Unknown(why) => vec![say_of(INJECT, Mark::Skipped, format!("not looked at: {why}"))],
        Policies::Known { inject, differences, .. } => {
            by_inject(inject.as_deref(), subject, differences, around)
        }
    };
    lines.extend(verdicts(subject, around));
    lines.extend(later(subject, around));
    lines
}

/// Whether the policy that adds the reference is asked about the subject.
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
    let mut problems = match answer(rules, subject, around) {
        Answer::LeftOut(problems) => problems,
        _ => Vec::new(),
    };
    if let Some(other) = other_secret(rules, ours) {
        problems.push(format!("adds {other}, but the sidecar writes {ours}: make them equal"));
    }
    let mut lines: Vec<Line> = problems.into_iter().map(|problem| say_of(INJECT, bad, problem)).collect();
    lines.extend(differences.iter().map(|difference| Line::new(Mark::Warning, "policies", difference)));
    if lines.is_empty() {
        let is_assumed = matches!(around.policies, Policies::Known { assumed: Some(_), .. });
        let is = if is_assumed { "is taken to be installed" } else { "is installed" };
        let message = format!("{is}, and selects what the configuration selects");
        lines.push(say_of(INJECT, Mark::Ok, message));
    }
    lines
}

/// What the policies refuse and warn of when the subject and its Pods are created, in their own words.
pub(super) fn verdicts(subject: &Subject, around: &Surroundings<'_>) -> Vec<Line> {
    let exists = matches!(subject.kind, Kind::Workload { exists: true, .. });
    let guard = guard(subject, around).filter(|_| !exists).map(|(_, answer)| (GUARD, answer));
    let inject = injection(subject, around).map(|answer| (INJECT, answer));
    let lines = guard.into_iter().chain(inject).flat_map(|(policy, answer)| match answer {
        // The policy may read an account that could not be read here.
        Answer::Refused(message) if policy == INJECT && may_be_copied(subject, around) => vec![say_of(
            policy,
            Mark::Warning,
            format!("{message} (unless the service account, which could not be read here, lists it, too)"),
        )],
        Answer::Refused(message) => vec![say_of(policy, Mark::Error, message)],
        Answer::Added(warnings) | Answer::LeftAlone(warnings) => {
            warnings.into_iter().map(|warning| say_of(policy, Mark::Warning, warning)).collect()
        }
        Answer::LeftOut(_) | Answer::Accepted => Vec::new(),
    });
    lines.collect()
}

/// What the policy for workloads would say of another one like it, and whether it is at work at all.
fn later(subject: &Subject, around: &Surroundings<'_>) -> Option<Line> {
    let Kind::Workload { exists, .. } = &subject.kind else { return None };
    let (rules, answer) = guard(subject, around)?;
    let message = match answer {
        Answer::Refused(message) if *exists => {
            format!("leaves the list as it is, but would refuse to create it again: {message}")
        }
        Answer::LeftOut(_) if !exists && !rules.monitors => rules.out_of_force()?,
        _ => return None,
    };
    Some(say_of(GUARD, Mark::Warning, message))
}

/// The policy for workloads and what it answers; none where it is not there, or never sees such an object.
fn guard<'a>(subject: &Subject, around: &Surroundings<'a>) -> Option<(&'a Rules, Answer)> {
    let Policies::Known { guard: Some(guard), .. } = around.policies else { return None };
    Some((guard, guard.guard(subject, namespace(around))?))
}

/// What becomes of the Pods to come; none where that cannot be known, and of a Pod that is there.
fn injection(subject: &Subject, around: &Surroundings<'_>) -> Option<Answer> {
    let to_come = !matches!(subject.kind, Kind::Pod);
    inject(around).filter(|_| to_come).map(|rules| answer(rules, subject, around))
}

fn answer(rules: &Rules, subject: &Subject, around: &Surroundings<'_>) -> Answer {
    let account = around.cluster.map_or(&Account::Unknown, |cluster| &cluster.account);
    rules.inject(subject, namespace(around), account, around.user)
}

fn may_be_copied(subject: &Subject, around: &Surroundings<'_>) -> bool {
    let is_unread = around.cluster.is_some_and(|cluster| cluster.account == Account::Unknown);
    let reads = |rules: &Rules| rules.settings.as_ref().is_ok_and(|settings| settings.read_service_accounts);
    is_unread && !subject.pull_secrets.is_empty() && inject(around).is_some_and(reads)
}

/// The pull secret of the policy, where it is another one.
fn other_secret<'a>(rules: &'a Rules, ours: &str) -> Option<&'a str> {
    let settings = rules.settings.as_ref().ok()?;
    Some(&*settings.pull_secret).filter(|theirs| *theirs != ours)
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
        other_secret(rules, around.pull_secret).is_none()
            && !matches!(answer(rules, subject, around), Answer::LeftOut(_))
    })
}

/// The line about the list itself; none where a policy refuses it, which says all there is to say.
pub(super) fn list(subject: &Subject, around: &Surroundings<'_>) -> Option<Line> {
    let ours = around.pull_secret;
    let attach = around.configuration.attach;
    let is_ours = inject(around).is_some_and(|rules| other_secret(rules, ours).is_none());
    Some(match (injection(subject, around), around.policies) {
        (Some(Answer::Refused(_)), _) => return None,
        _ if subject.lists(ours) => say(Mark::Ok, format!("has {ours}")),
        _ if matches!(subject.kind, Kind::Pod) => of_pod(subject, ours, attach),
        _ if is_copied(subject, around) => {
            say(Mark::Ok, format!("is empty: Kubernetes copies {ours} from the service account"))
        }
        _ if attach == Attach::ServiceAccount => by_account(subject, ours),
        (None, Policies::Unknown(_)) => without_policies(subject, ours),
        (Some(Answer::LeftAlone(_)), _) => say(
            Mark::Error,
            format!(
                "{}, and the policy {INJECT} leaves such Pods alone: {}",
                alone(subject, around),
                add(ours)
            ),
        ),
        (Some(Answer::Added(_)), _) if is_ours => {
            let has = match by_hand(subject).as_str() {
                "" => String::new(),
                names => format!("has {names}, and "),
            };
            say(Mark::Ok, format!("{has}the policy adds {ours} when a Pod is created"))
        }
        _ => say(Mark::Error, format!("{}, and no policy adds {ours}", alone(subject, around))),
    })
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
                "{lack} of {all} lack {ours}, and the list of a Pod never changes: fix what is wrong above, then \
                 recreate them: {renew}"
            ),
        ),
    }
}

fn inject<'a>(around: &Surroundings<'a>) -> Option<&'a Rules> {
    match around.policies {
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
fn alone(subject: &Subject, around: &Surroundings<'_>) -> String {
    let account = around.cluster.map(|cluster| &cluster.account);
    match (by_hand(subject).as_str(), account) {
        ("", Some(Account::Found { pull_secrets, .. }))
            if subject.pull_secrets.is_empty() && !pull_secrets.is_empty() =>
        {
            format!(
                "is empty, so Kubernetes copies {} alone from the service account",
                pull_secrets.join(", ")
            )
        }
        ("", _) => "is empty".to_owned(),
        (names, _) => format!("has {names} alone"),
    }
}

fn say(mark: Mark, message: String) -> Line {
    Line::new(mark, "imagePullSecrets", message)
}

fn say_of(policy: &str, mark: Mark, message: String) -> Line {
    Line::new(mark, format_args!("policy {policy}"), message)
}

fn add(ours: &str) -> String {
    format!("add `- name: {ours}` to it")
}
