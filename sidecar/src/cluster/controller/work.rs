//! Plans for namespaces, and begins to write.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::outcome::Done;
use super::{BATCH, Controller, Mode};
use crate::cluster::desired::DesiredSecret;
use crate::cluster::notice::Notice;
use crate::cluster::plan::{AccountSituation, Plan, Rules, Situation};
use crate::cluster::queue::Urgency;
use crate::cluster::store::Found;

impl Controller {
    /// Plans for namespaces in the queue, and begins to write. Returns whether it stopped before the end of the queue, so that
    /// other work gets its turn.
    pub(super) fn work(&mut self) -> bool {
        if !self.can_work() {
            return false;
        }
        for _ in 0..BATCH {
            let Some((namespace, urgency)) = self.queue.pop() else {
                self.report();
                return false;
            };
            self.is_uncounted = true;
            self.busy_since.get_or_insert_with(|| (Instant::now(), self.summary));
            match self.plan(&namespace) {
                Some(plan) if !plan.is_idle() => self.begin(namespace, urgency, plan),
                Some(_) | None => self.queue.done(&namespace),
            }
        }
        true
    }

    /// Plans for a namespace. Returns `None` if the namespace does not exist.
    fn plan(&mut self, name: &Arc<str>) -> Option<Plan> {
        let active = self.snapshot.active.clone()?;
        let content = self.content(name);
        let now = self.clock.now();
        let entry = self.store.get_mut(name)?;
        let rules = Rules {
            configuration: &active.configuration,
            pull_secret: &self.settings.pull_secret,
            adopt: self.settings.adopt,
            spread: if matches!(self.mode, Mode::Forever) { self.settings.spread } else { Duration::ZERO },
        };
        let is_superseded = content.as_ref().is_some_and(|content| {
            let since = entry.differs_since(&content.docker_config.hash, now.monotonic);
            content.minted.zip(since).is_some_and(|(minted, since)| minted > since)
        });
        let accounts = entry.accounts().iter().map(|account| AccountSituation {
            facts: &account.facts,
            taken_out: account.removals.count(),
            hold: account.backoff.hold(now.monotonic),
        });
        let situation = Situation {
            name,
            namespace: entry.namespace.as_ref()?,
            pull_secret: entry.pull_secret.as_ref().map(|found| &found.facts),
            touched: entry.pull_secret.as_ref().is_some_and(Found::is_touched),
            lost: entry.lost,
            is_superseded,
            service_accounts: accounts.collect(),
            hold: entry.backoff.hold(now.monotonic),
            waited: entry.renewal_seen.map(|seen| now.monotonic - seen).unwrap_or_default(),
            settling: self.settles_at.is_some(),
            now: now.wall,
        };
        let plan = Plan::new(&situation, &rules, content.as_ref());
        if plan.waits_for_turn {
            entry.renewal_seen.get_or_insert(now.monotonic);
        } else if !plan.pull_secret.is_a_write() && entry.backoff.hold(now.monotonic).is_zero() {
            // If a write fails, the namespace has waited for its turn nevertheless.
            entry.renewal_seen = None;
        }
        let is_known = |notice: &Notice| entry.said.iter().any(|said| said.is_about_the_same(notice));
        let news: Vec<_> = plan.notices.iter().filter(|notice| !is_known(notice)).cloned().collect();
        entry.said.clone_from(&plan.notices);
        for notice in &news {
            self.say(name, notice);
        }
        self.queue.set_alarm(name, plan.look_again.map(|delay| now.monotonic + delay));
        Some(plan)
    }

    /// Returns what the namespace's pull secret should contain; `None` if that is not known, or if it should have no pull secret.
    fn content(&mut self, name: &str) -> Option<Arc<DesiredSecret>> {
        if self.snapshot.version == 0 || self.is_managed(name) != Some(true) {
            return None;
        }
        self.contents
            .for_namespace(&self.snapshot, name, self.clock.now())
            .inspect_err(|error| tracing::error!("failed to write a docker config as JSON: {error}"))
            .ok()
    }

    /// Begins to write a plan, or shows it.
    fn begin(&mut self, namespace: Arc<str>, urgency: Urgency, plan: Plan) {
        if let Mode::DryRun(show) = &mut self.mode {
            show(&namespace, &plan);
            self.queue.done(&namespace);
            return;
        }
        let Plan {
            pull_secret,
            service_accounts,
            when_written,
            notices: _,
            waits_for_turn: _,
            look_again: _,
        } = plan;
        let writer = self.writer.clone();
        let was_lost = self.store.get(&namespace).is_some_and(|entry| entry.lost);
        self.running.spawn(async move {
            let began = Instant::now();
            let outcome = writer.apply(&namespace, &pull_secret, service_accounts).await;
            Done { namespace, urgency, pull_secret, was_lost, when_written, outcome, took: began.elapsed() }
        });
    }
}
