//! Reports the status of the registries.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::watch;
use tokio::time::{Instant, interval_at};

use super::AGAIN;
use crate::broker::{HostConflict, RegistryState, Snapshot, Status, conflicts};
use crate::clock::{Clock as _, SystemClock};
use crate::cluster::controller::Ended;
use crate::configuration::Host;
use crate::reason::Reason;
use crate::telemetry::events::{Events, Regarding};
use crate::telemetry::health::Health;
use crate::telemetry::metrics::Metrics;

/// An Event names this many hosts of a pair of registries, so that its note has room for the fix.
const MOST_HOSTS: usize = 3;

/// Reports the status of the registries, and which replica leads.
pub(super) async fn watch(
    mut snapshots: watch::Receiver<Arc<Snapshot>>,
    mut leading: watch::Receiver<bool>,
    about: Regarding,
    health: Arc<Health>,
    metrics: Arc<Metrics>,
    events: Events,
) -> Ended {
    let mut before: Vec<Stand> = Vec::new();
    let mut disputed: Vec<String> = Vec::new();
    let mut ticks = interval_at(Instant::now() + AGAIN, AGAIN);
    let mut again = false;
    loop {
        let leads = *leading.borrow_and_update();
        health.show_leader(leads);
        metrics.leader.set(leads.into());
        let snapshot = Arc::clone(&snapshots.borrow_and_update());
        health.show_registries(Arc::clone(&snapshot));
        metrics.show_registries(&snapshot, SystemClock.now());
        let now: Vec<_> = snapshot.entries.iter().map(Stand::new).collect();
        for stand in now.iter().filter(|stand| again || !before.contains(stand)) {
            let was_bad = before.iter().any(|known| known.place == stand.place && known.is_bad());
            if let Some((reason, note)) = stand.news(was_bad) {
                events.say(reason, about.clone(), note);
            }
        }
        before = now;
        let now = disputes_in(&snapshot);
        for note in now.iter().filter(|note| again || !disputed.contains(note)) {
            events.say(Reason::HostDisputed, about.clone(), note.as_str());
        }
        disputed = now;
        again = false;
        tokio::select! {
            _ = ticks.tick() => again = true,
            changed = snapshots.changed() => if changed.is_err() { return Ended("the renewal of credentials") },
            changed = leading.changed() => if changed.is_err() { return Ended("the election of a leader") },
        }
    }
}

/// Returns the notes about hosts that two registries claim: one note for each pair of registries.
fn disputes_in(snapshot: &Snapshot) -> Vec<String> {
    let mut pairs: BTreeMap<(usize, usize), Vec<&Host>> = BTreeMap::new();
    for HostConflict { host, winner, loser, finding: _ } in &snapshot.conflicts {
        pairs.entry((*winner, *loser)).or_default().push(host);
    }
    let registry = |at: usize| snapshot.entries.get(at).map(|entry| &*entry.registry);
    let notes = pairs.into_iter().filter_map(|((winner, loser), hosts)| {
        let (winner, loser) = (registry(winner)?, registry(loser)?);
        let why = conflicts::why(winner);
        let (winner, loser) = (&winner.registry.place, &loser.registry.place);
        let (belong, them) = if hosts.len() == 1 { ("belongs", "it") } else { ("belong", "them") };
        let mut listed: Vec<_> = hosts.iter().take(MOST_HOSTS).map(ToString::to_string).collect();
        if hosts.len() > MOST_HOSTS {
            listed.push(format!("{} more", hosts.len() - MOST_HOSTS));
        }
        let listed = listed.join(", ");
        let way_out = conflicts::WAY_OUT;
        Some(format!("{loser}: {listed} also {belong} to {winner}, which {why} and gets {them}: {way_out}"))
    });
    notes.collect()
}

/// The status of a registry as it is reported when it changes.
#[derive(PartialEq)]
struct Stand {
    place: String,
    status: Status,
    /// Whether there is a credential, and a host for it, whatever the result of the last call was.
    can_pull: bool,
}

impl Stand {
    fn new(entry: &RegistryState) -> Self {
        let place = entry.registry.registry.place.clone();
        let can_pull = entry.issued.is_some() && !entry.hosts.is_empty();
        Self { place, status: entry.status.clone(), can_pull }
    }

    fn is_bad(&self) -> bool {
        !matches!(self.status, Status::Pending | Status::Valid)
    }

    fn news(&self, was_bad: bool) -> Option<(Reason, String)> {
        let Self { place, status, can_pull } = self;
        match status {
            Status::Valid if was_bad => {
                Some((Reason::CredentialRestored, format!("{place}: there is a credential again")))
            }
            Status::Pending | Status::Valid => None,
            Status::Failing(trouble) => {
                let reason =
                    if *can_pull { Reason::CredentialNotRenewed } else { Reason::CredentialUnavailable };
                Some((reason, format!("{place}: {}", trouble.failure)))
            }
            Status::Expired { since, trouble } => {
                let why =
                    trouble.as_ref().map(|trouble| format!(": {}", trouble.failure)).unwrap_or_default();
                let note = format!("{place}: the credential expired at {since}{why}");
                Some((Reason::CredentialUnavailable, note))
            }
        }
    }
}

#[cfg(test)]
mod tests;
