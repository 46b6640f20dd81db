//! Takes in the results of a plan.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinError;
use tokio::time::Instant;

use super::{Controller, Mode};
use crate::cluster::apply::{Outcome, Written};
use crate::cluster::notice::{About, Notice};
use crate::cluster::observed::{PullSecret, ServiceAccount};
use crate::cluster::observer::Write;
use crate::cluster::plan::{AccountAction, Cause, SecretAction};
use crate::cluster::queue::Urgency;
use crate::cluster::store::WriteBackoff;
use crate::kubernetes::ApiError;

/// An object that is gone, or going, is checked again after this long, unless an event comes earlier.
const AFTER_THE_END: Duration = Duration::from_secs(30);

/// The shortest pause after a refusal because of rights, policies or quotas. It takes a moment until every API server knows their
/// changes.
const ELSEWHERE: Duration = Duration::from_secs(15);

/// A plan, and the results of its actions.
pub(super) struct Done {
    pub(super) namespace: Arc<str>,
    pub(super) urgency: Urgency,
    pub(super) pull_secret: SecretAction,
    /// Whether another writer had deleted the pull secret.
    pub(super) was_lost: bool,
    pub(super) when_written: Option<Notice>,
    pub(super) outcome: Outcome,
    pub(super) took: Duration,
}

impl Controller {
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
        if let Mode::Once(show) = self.mode {
            show(self.summary, self.queue.len());
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
}

fn punish(backoff: &mut WriteBackoff, failure: &ApiError, now: Instant) {
    match failure {
        ApiError::Conflict => backoff.race(now),
        ApiError::Terminating | ApiError::Gone => {}
        ApiError::WrongType | ApiError::Immutable | ApiError::Invalid(_) | ApiError::Refused(_) => {
            backoff.block(now);
        }
        // The cause is outside of the object, and no event reports when it is gone.
        ApiError::Forbidden(_) | ApiError::Quota(_) => backoff.strike_for(now, ELSEWHERE),
        ApiError::Busy { retry_after, .. } => backoff.strike_for(now, retry_after.unwrap_or_default()),
        ApiError::Unreachable(_) => backoff.strike(now),
    }
}
