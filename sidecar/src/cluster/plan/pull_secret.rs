//! Plans for the pull secret of one namespace.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::{Cause, Plan, Rules, SecretAction, Situation, slot};
use crate::cluster::desired::DesiredSecret;
use crate::cluster::notice::{About, Notice};
use crate::cluster::observed::PullSecret;
use crate::kubernetes::FIELD_MANAGER;
use crate::reason::Reason;

/// When the credentials in a pull secret are this close to their end, even worse content is better than expired content.
const LAST_MOMENT: Duration = Duration::from_mins(2);

/// A step of the wall clock wakes no task, so expiries are checked this often.
const LONGEST_NAP: Duration = Duration::from_mins(5);

/// No credential lives longer: 12 hours are the longest session of a role. A later expiry was not written by the sidecar.
const LONGEST_LIFE: Duration = Duration::from_hours(24);

pub(super) fn when_managed(
    situation: &Situation<'_>,
    rules: &Rules<'_>,
    content: Option<&Arc<DesiredSecret>>,
    plan: &mut Plan,
) -> SecretAction {
    let Some(content) = content else { return SecretAction::Leave };
    if content.pending && situation.settling {
        // The next snapshot triggers the next plan, or else the end of the time for first answers does.
        return SecretAction::Leave;
    }
    match situation.pull_secret {
        None if content.is_empty() => SecretAction::Leave,
        None => {
            if situation.lost {
                plan.when_written = Some(repaired("an unknown manager deleted"));
            }
            SecretAction::Create(Arc::clone(content))
        }
        // Nothing can be written to it, and its deletion will be an event.
        Some(found) if found.terminating => SecretAction::Leave,
        Some(found) if found.ours => {
            let left = left(found, situation.now);
            ours(&Ours { situation, spread: rules.spread, content, found, left }, plan)
        }
        Some(found) => foreign(rules, content, found, plan),
    }
}

pub(super) fn when_deselected(situation: &Situation<'_>, plan: &mut Plan) -> SecretAction {
    let Some(found) = situation.pull_secret.filter(|found| found.ours && !found.terminating) else {
        return SecretAction::Leave;
    };
    if !found.surely_ours {
        plan.notices.push(Notice {
            about: About::PullSecret,
            reason: Reason::ForeignPullSecret,
            message: format!(
                "it has only one mark of {FIELD_MANAGER} (its label, or its name among the managers), and this namespace is not \
                 managed, so it is left alone: delete it if it is not needed"
            ),
        });
        return SecretAction::Leave;
    }
    let left = left(found, situation.now);
    if left.is_zero() {
        return SecretAction::Delete(found.version());
    }
    plan.again_in(left.min(LONGEST_NAP));
    SecretAction::Leave
}

/// Our pull secret, and what it should contain.
struct Ours<'a> {
    situation: &'a Situation<'a>,
    spread: Duration,
    content: &'a Arc<DesiredSecret>,
    found: &'a PullSecret,
    /// The remaining time of its first credential.
    left: Duration,
}

/// A check: decides about a pull secret, or leaves the decision to the next check.
type Check = fn(&Ours<'_>, &mut Plan) -> Option<SecretAction>;

/// The checks, in their order. A pull secret that passes all of them is renewed.
const CHECKS: [Check; 5] =
    [is_intact, has_other_content, is_worse_than_the_new, has_the_same_registries, has_waited_for_its_turn];

fn ours(ours: &Ours<'_>, plan: &mut Plan) -> SecretAction {
    let decided = CHECKS.iter().find_map(|check| check(ours, plan));
    decided.unwrap_or_else(|| ours.update(Cause::Renewed))
}

fn is_intact(ours: &Ours<'_>, plan: &mut Plan) -> Option<SecretAction> {
    let Ours { content, found, .. } = ours;
    if found.intact {
        return None;
    }
    // There is nothing better to write, whatever it contains now.
    if content.is_empty() && !content.awaited.is_empty() {
        return Some(SecretAction::Leave);
    }
    let by = found.other_manager.as_deref().unwrap_or("an unknown manager");
    plan.when_written = Some(repaired(&format!("{by} changed")));
    Some(ours.update(Cause::Repaired))
}

fn has_other_content(ours: &Ours<'_>, _: &mut Plan) -> Option<SecretAction> {
    if *ours.found.hash != *ours.content.docker_config.hash {
        return None;
    }
    // The metadata looks right, but only the API server can check the data: a write of equal data changes nothing.
    Some(if ours.situation.touched { ours.update(Cause::Repaired) } else { SecretAction::Leave })
}

fn is_worse_than_the_new(ours: &Ours<'_>, plan: &mut Plan) -> Option<SecretAction> {
    let Ours { situation, content, found, left, .. } = ours;
    let before_the_end = left.saturating_sub(LAST_MOMENT);
    if before_the_end.is_zero() || !is_better(found, content) {
        return None;
    }
    if situation.is_superseded && !holds_awaited(found, content) {
        // A replica that wrote it would have left its credentials in the state. Credentials minted since then are at least as
        // good as any in the Secret, and a forged Secret is not trusted for longer.
        return Some(ours.update(Cause::Renewed));
    }
    plan.again_in(before_the_end.min(LONGEST_NAP));
    Some(SecretAction::Leave)
}

fn has_the_same_registries(ours: &Ours<'_>, _: &mut Plan) -> Option<SecretAction> {
    let Ours { content, found, .. } = ours;
    let is_same = *found.inputs == *content.inputs && *found.registries == *content.registries;
    (!is_same).then(|| ours.update(Cause::Changed))
}

fn has_waited_for_its_turn(ours: &Ours<'_>, plan: &mut Plan) -> Option<SecretAction> {
    let Ours { situation, spread, left, .. } = ours;
    let wait = slot(situation.name, *spread).min(*left / 2).saturating_sub(situation.waited);
    if wait.is_zero() {
        return None;
    }
    plan.waits_for_turn = true;
    plan.again_in(wait);
    Some(SecretAction::Leave)
}

impl Ours<'_> {
    fn update(&self, cause: Cause) -> SecretAction {
        let Self { content, found, .. } = self;
        SecretAction::Update { content: Arc::clone(content), version: found.version(), cause }
    }
}

fn repaired(what_happened: &str) -> Notice {
    Notice {
        about: About::PullSecret,
        reason: Reason::PullSecretRepaired,
        message: format!(
            "{what_happened} this Secret, and it was written again: it belongs to {FIELD_MANAGER}; use a Secret with another name"
        ),
    }
}

/// Returns whether the existing content is better than the new one. That is so if it contains a registry that has no credential
/// in this process yet, or if, for the same inputs, it lasts longer because a replica with newer credentials wrote it.
fn is_better(found: &PullSecret, content: &DesiredSecret) -> bool {
    holds_awaited(found, content)
        || *found.inputs == *content.inputs && found.expires_at > content.docker_config.expires_at
}

fn holds_awaited(found: &PullSecret, content: &DesiredSecret) -> bool {
    content.awaited.iter().any(|registry| found.holds(registry))
}

fn foreign(
    rules: &Rules<'_>,
    content: &Arc<DesiredSecret>,
    found: &PullSecret,
    plan: &mut Plan,
) -> SecretAction {
    let by = found.other_manager.as_deref().unwrap_or("an unknown manager");
    if !rules.adopt {
        plan.notices.push(Notice {
            about: About::PullSecret,
            reason: Reason::ForeignPullSecret,
            message: format!(
                "{by} created this Secret, so it is left alone and this namespace gets no credentials: delete it, or run \
                 with --adopt to take over every Secret with this name"
            ),
        });
        return SecretAction::Leave;
    }
    if content.is_empty() {
        return SecretAction::Leave;
    }
    plan.when_written = Some(Notice {
        about: About::PullSecret,
        reason: Reason::PullSecretAdopted,
        message: format!("{by} created this Secret, and it was taken over because --adopt is set"),
    });
    SecretAction::Update { content: Arc::clone(content), version: found.version(), cause: Cause::Adopted }
}

/// Returns the remaining time of the first credential in our pull secret; zero if the annotation cannot be trusted.
fn left(found: &PullSecret, now: Timestamp) -> Duration {
    let left = found.expires_at.filter(|_| found.intact).map(|expires_at| expires_at.duration_since(now));
    let left = left.and_then(|left| Duration::try_from(left).ok()).unwrap_or_default();
    if left > LONGEST_LIFE { Duration::ZERO } else { left }
}
