//! Plans for one namespace, and takes in the results of the plan.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinError;
use tokio::time::Instant;

use super::{BATCH, Controller, Mode};
use crate::cluster::apply::{Outcome, Written};
use crate::cluster::desired::DesiredSecret;
use crate::cluster::notice::{About, Notice};
use crate::cluster::observed::{Namespace, PullSecret, ServiceAccount};
use crate::cluster::observer::{Counts, Write};
use crate::cluster::plan::{AccountAction, AccountSituation, Cause, Plan, Rules, SecretAction, Situation};
use crate::cluster::queue::Urgency;
use crate::cluster::store::{Found, WriteBackoff};
use crate::configuration::{Attach, Configuration};
use crate::kubernetes::ApiError;

/// An object that is gone, or going, is checked again after this long, unless an event comes earlier.
const AFTER_THE_END: Duration = Duration::from_secs(30);

/// The shortest pause after a refusal because of rights, policies or quotas. It takes a moment until every API server knows their
/// changes.
const ELSEWHERE: Duration = Duration::from_secs(15);

/// A plan, and the results of its actions.
pub(super) struct Done {
    namespace: Arc<str>,
    urgency: Urgency,
    pull_secret: SecretAction,
    /// Whether another writer had deleted the pull secret.
    was_lost: bool,
    when_written: Option<Notice>,
    outcome: Outcome,
    took: Duration,
}

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

    /// Takes in the results of a plan, and of other plans that are done by now.
    pub(super) fn finish_all(&mut self, first: Result<Done, JoinError>) {
        self.finish(first);
        while let Some(done) = self.running.try_join_next() {
            self.finish(done);
        }
    }

    fn finish(&mut self, done: Result<Done, JoinError>) {
        let Done { namespace, urgency, pull_secret, was_lost, when_written, outcome, took } = match done {
            Ok(done) => done,
            // No code aborts these tasks, so this one has panicked, which is a bug.
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        };
        let Outcome { pull_secret: result, service_accounts } = outcome;
        let mut is_over = false;
        if let Some(result) = result {
            let write = match &pull_secret {
                SecretAction::Leave | SecretAction::Update { .. } => Write::Update,
                SecretAction::Create(_) => Write::Create,
                SecretAction::Delete(_) => Write::Delete,
            };
            self.count(write, &namespace, result.as_ref().err(), took);
            match result {
                Ok(Written::There(facts)) => {
                    self.wrote(&namespace, &pull_secret, was_lost, facts);
                    if let Some(notice) = when_written {
                        self.say(&namespace, &notice);
                    }
                }
                Ok(Written::Deleted(uid)) => self.store.deleted_secret(&namespace, &uid),
                Err(failure) => is_over = self.failed(&namespace, &failure),
            }
        }
        for (action, result) in service_accounts {
            self.finish_account(&namespace, action, result, took);
        }
        self.queue.done(&namespace);
        if is_over {
            self.queue.set_alarm(&namespace, Some(Instant::now() + AFTER_THE_END));
        } else {
            self.queue.push(&namespace, urgency);
        }
    }

    fn wrote(&mut self, namespace: &str, action: &SecretAction, was_lost: bool, facts: PullSecret) {
        let now = Instant::now();
        let (content, was_repair) = match action {
            SecretAction::Create(content) => (content, was_lost),
            SecretAction::Update { content, version, cause } => {
                let is_another = version.resource_version != facts.resource_version;
                (content, *cause == Cause::Repaired && is_another)
            }
            SecretAction::Leave | SecretAction::Delete(_) => return,
        };
        // A writer that changes what we write, an admission webhook for example, must not make us write without end.
        let is_as_written = facts.intact && *facts.hash == *content.docker_config.hash;
        self.store.wrote_secret(namespace, facts);
        let Some(entry) = self.store.get_mut(namespace) else { return };
        entry.failure_said = None;
        if was_repair {
            entry.backoff.repaired(now);
        } else if !is_as_written {
            entry.backoff.strike(now);
        }
    }

    /// Takes in a failure. Returns whether there is nothing more to do here.
    fn failed(&mut self, namespace: &str, failure: &ApiError) -> bool {
        let Some(entry) = self.store.get_mut(namespace) else { return true };
        punish(&mut entry.backoff, failure, Instant::now());
        let said = entry.failure_said.take();
        entry.failure_said = Notice::of_failed_write(failure, About::PullSecret);
        let notice = entry.failure_said.clone();
        if let Some(notice) = notice.filter(|notice| !said.is_some_and(|said| said.is_about_the_same(notice)))
        {
            self.say(namespace, &notice);
        }
        matches!(failure, ApiError::Terminating | ApiError::Gone)
    }

    fn finish_account(
        &mut self,
        namespace: &str,
        action: AccountAction,
        result: Result<ServiceAccount, ApiError>,
        took: Duration,
    ) {
        let write = if action.attach { Write::Attach } else { Write::Detach };
        self.count(write, namespace, result.as_ref().err(), took);
        match result {
            Ok(facts) => self.store.wrote_account(namespace, facts),
            Err(failure) => {
                let account = self.store.get_mut(namespace).and_then(|entry| entry.account_mut(&action.name));
                let Some(account) = account else { return };
                punish(&mut account.backoff, &failure, Instant::now());
                if let Some(notice) = Notice::of_failed_write(&failure, About::ServiceAccount(action.name)) {
                    self.say(namespace, &notice);
                }
            }
        }
    }

    fn count(&mut self, write: Write, namespace: &str, failure: Option<&ApiError>, took: Duration) {
        self.observer.wrote(write, failure.map_or(Ok(()), |failure| Err(failure.name())), took);
        match failure {
            None => {
                self.summary.written += 1;
                tracing::debug!("{namespace}: {} in {} ms", write.name(), took.as_millis());
            }
            Some(failure) => {
                self.summary.failed += usize::from(!failure.is_a_race());
                tracing::debug!("{namespace}: failed to {}: {failure}", write.name());
            }
        }
    }

    fn say(&self, namespace: &str, notice: &Notice) {
        let Notice { about, reason, message } = notice;
        if !self.observer.notice(namespace, notice, self.uid(namespace, about)) {
            return;
        }
        let object = match about {
            About::PullSecret => format!("Secret {namespace}/{}", self.settings.pull_secret),
            About::ServiceAccount(name) => format!("ServiceAccount {namespace}/{name}"),
        };
        if reason.severity() == "Warning" {
            tracing::warn!(reason = reason.name(), "{object}: {message}");
        } else {
            tracing::info!(reason = reason.name(), "{object}: {message}");
        }
    }

    fn uid(&self, namespace: &str, about: &About) -> Option<&str> {
        let entry = self.store.get(namespace)?;
        match about {
            About::PullSecret => entry.pull_secret.as_ref().map(|found| &*found.facts.uid),
            About::ServiceAccount(name) => entry.account(name).map(|account| &*account.facts.uid),
        }
    }

    /// Reports that this loop is running, and the counts of objects.
    pub(super) fn round(&mut self) {
        self.observer.round(self.queue.len());
        self.list_accounts_if_due();
        if std::mem::take(&mut self.is_uncounted) {
            self.observer.counted(self.count_all());
        }
    }

    fn count_all(&self) -> Counts {
        let mut counts = Counts::default();
        let Some(active) = self.active() else { return counts };
        let Configuration { attach, service_accounts, .. } = &active.configuration;
        let now = Instant::now();
        for (name, entry) in self.store.names() {
            let is_managed = |namespace: &Namespace| namespace.is_managed(name, &active.configuration);
            counts.on_hold += usize::from(!entry.backoff.hold(now).is_zero());
            counts.on_hold += entry.accounts().iter().filter(|one| !one.backoff.hold(now).is_zero()).count();
            if !entry.namespace.as_ref().is_some_and(is_managed) {
                continue;
            }
            counts.managed += 1;
            counts.foreign += usize::from(entry.pull_secret.as_ref().is_some_and(|found| !found.facts.ours));
            if *attach != Attach::Pod {
                let lacks = |account: &&crate::cluster::store::AccountEntry| {
                    !account.facts.lists(&self.settings.pull_secret)
                        && service_accounts.contains(&account.facts.name)
                };
                counts.pending_accounts += entry.accounts().iter().filter(lacks).count();
            }
        }
        counts
    }

    /// Logs what was done once the queue is empty.
    fn report(&mut self) {
        if !self.queue.is_empty() {
            return;
        }
        let Some((since, before)) = self.busy_since.take() else { return };
        if before.failed == self.summary.failed {
            self.observer.settled();
        }
        if before != self.summary {
            let written = self.summary.written - before.written;
            let failed = self.summary.failed - before.failed;
            let took = since.elapsed().as_millis();
            // Single writes are normal in a cluster.
            if written + failed > 1 {
                tracing::info!("{written} writes and {failed} failures in {took} ms");
            } else {
                tracing::debug!("{written} writes and {failed} failures in {took} ms");
            }
        }
    }
}

fn punish(backoff: &mut WriteBackoff, failure: &ApiError, now: Instant) {
    match failure {
        ApiError::Conflict => backoff.race(now),
        ApiError::Terminating | ApiError::Gone => {}
        ApiError::WrongType | ApiError::Immutable | ApiError::Refused(_) => backoff.block(now),
        // The cause is outside of the object, and no event reports when it is gone.
        ApiError::Forbidden(_) | ApiError::Quota(_) => backoff.strike_for(now, ELSEWHERE),
        ApiError::Busy { retry_after, .. } => backoff.strike_for(now, retry_after.unwrap_or_default()),
        ApiError::Unreachable(_) => backoff.strike(now),
    }
}
