//! Reports what is known and what was done: to the observer, and in the log.

use tokio::time::Instant;

use super::Controller;
use crate::cluster::notice::{About, Notice};
use crate::cluster::observed::Namespace;
use crate::cluster::observer::Counts;
use crate::cluster::store::AccountEntry;
use crate::configuration::{Attach, Configuration};

impl Controller {
    pub(super) fn say(&self, namespace: &str, notice: &Notice) {
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
                let lacks = |account: &&AccountEntry| {
                    !account.facts.lists(&self.settings.pull_secret)
                        && service_accounts.contains(&account.facts.name)
                };
                counts.pending_accounts += entry.accounts().iter().filter(lacks).count();
            }
        }
        counts
    }

    /// Logs what was done once the queue is empty.
    pub(super) fn report(&mut self) {
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
