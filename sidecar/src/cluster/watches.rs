//! Lists and watches, each in a task of its own that reduces what it reads and passes it on.

use std::fmt::Debug;
use std::time::Duration;

use futures::{Stream, StreamExt as _, stream};
use k8s_openapi::api::core::v1::{Namespace as NamespaceKind, Secret};
use kube::core::PartialObjectMeta;
use kube::runtime::watcher::{self, Event};
use kube::runtime::{WatchStreamExt as _, watcher as watch};
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::store::Kind;
use super::types::{Namespace, PullSecret, ServiceAccount, WatchedServiceAccount};

/// Objects of one page of a list. A page is in memory as a whole, with all that is thrown away of it.
const PAGE: u32 = 250;

/// A watch whose place in the history is gone begins anew after so long: lists are the most expensive calls.
const BEGINS_ANEW: Duration = Duration::from_secs(5);

/// What a watch saw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// A namespace is there.
    Namespace(Box<str>, Namespace),
    /// A namespace is gone.
    NamespaceGone(Box<str>),
    /// In this namespace, a Secret with the name of the pull secret is there.
    PullSecret(Box<str>, PullSecret),
    /// In this namespace, the Secret with this uid is gone.
    PullSecretGone(Box<str>, Box<str>),
    /// In this namespace, a service account is there.
    ServiceAccount(Box<str>, ServiceAccount),
    /// In this namespace, a service account is gone.
    ServiceAccountGone(Box<str>, Box<str>),
    /// A list begins, at the start or because the watch lost its place.
    ListBegins(Kind),
    /// A list is complete.
    ListEnds(Kind),
    /// A list or watch failed, and is tried again.
    Failed(Kind, String),
}

/// The tasks that watch.
pub struct Watches {
    client: Client,
    to: mpsc::Sender<Seen>,
    tasks: JoinSet<()>,
    service_accounts: bool,
}

impl Watches {
    /// Watches namespaces and Secrets of this name, and passes on what it sees.
    #[must_use]
    pub fn start(client: Client, pull_secret: &str, to: mpsc::Sender<Seen>) -> Self {
        let mut watches = Self { client, to, tasks: JoinSet::new(), service_accounts: false };
        let namespaces: Api<PartialObjectMeta<NamespaceKind>> = Api::all(watches.client.clone());
        watches.watch(Kind::Namespace, namespaces, config(), namespace);
        // The name in the field selector is what the rights ask for: no other Secret can be listed.
        let secrets: Api<PartialObjectMeta<Secret>> = Api::all(watches.client.clone());
        let by_name = config().fields(&format!("metadata.name={pull_secret}"));
        watches.watch(Kind::PullSecret, secrets, by_name, secret);
        watches
    }

    /// Watches service accounts from now on.
    pub fn service_accounts(&mut self) {
        if !self.service_accounts {
            self.service_accounts = true;
            let accounts: Api<WatchedServiceAccount> = Api::all(self.client.clone());
            self.watch(Kind::ServiceAccount, accounts, config(), account);
        }
    }

    /// Waits until one of the tasks ends, which none of them should.
    pub async fn ended(&mut self) {
        self.tasks.join_next().await;
    }

    fn watch<K>(
        &mut self,
        kind: Kind,
        api: Api<K>,
        config: watcher::Config,
        reduce: fn(&K, bool) -> Option<Seen>,
    ) where
        K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
    {
        let to = self.to.clone();
        self.tasks.spawn(async move {
            let begin = || watch(api.clone(), config.clone()).default_backoff();
            let mut events = std::pin::pin!(tireless(begin));
            while let Some(event) = events.next().await {
                let seen = match event {
                    Ok(Event::Init) => Some(Seen::ListBegins(kind)),
                    Ok(Event::InitApply(object) | Event::Apply(object)) => reduce(&object, true),
                    Ok(Event::Delete(object)) => reduce(&object, false),
                    Ok(Event::InitDone) => Some(Seen::ListEnds(kind)),
                    Err(error) => Some(Seen::Failed(kind, error.to_string())),
                };
                if let Some(seen) = seen
                    && to.send(seen).await.is_err()
                {
                    return;
                }
            }
        });
    }
}

/// A watch that begins anew when the API server refuses its place in the history as gone. kube's does so only where it is
/// told within the stream, and otherwise asks for the same place for ever.
pub(super) fn tireless<T, S>(begin: impl Fn() -> S) -> impl Stream<Item = Result<T, watcher::Error>>
where
    S: Stream<Item = Result<T, watcher::Error>>,
{
    let first = Box::pin(begin());
    stream::unfold((begin, first, false), |(begin, mut events, is_outdated)| async move {
        if is_outdated {
            sleep(BEGINS_ANEW).await;
            events = Box::pin(begin());
        }
        let event = events.next().await?;
        let is_outdated = event.as_ref().is_err_and(is_outdated_place);
        Some((event, (begin, events, is_outdated)))
    })
}

fn is_outdated_place(error: &watcher::Error) -> bool {
    matches!(error, watcher::Error::WatchStartFailed(kube::Error::Api(status)) if status.code == 410)
}

fn config() -> watcher::Config {
    // A list "at any version" would come from the API server's cache in one piece, whatever the page's size.
    watcher::Config::default().page_size(PAGE)
}

fn namespace(object: &PartialObjectMeta<NamespaceKind>, is_there: bool) -> Option<Seen> {
    let name = object.metadata.name.as_deref()?.into();
    Some(if is_there {
        Seen::Namespace(name, Namespace::of(&object.metadata))
    } else {
        Seen::NamespaceGone(name)
    })
}

fn secret(object: &PartialObjectMeta<Secret>, is_there: bool) -> Option<Seen> {
    let namespace = object.metadata.namespace.as_deref()?.into();
    let facts = PullSecret::of(&object.metadata)?;
    Some(if is_there {
        Seen::PullSecret(namespace, facts)
    } else {
        Seen::PullSecretGone(namespace, facts.uid)
    })
}

fn account(object: &WatchedServiceAccount, is_there: bool) -> Option<Seen> {
    let namespace = object.metadata.namespace.as_deref()?.into();
    let facts = ServiceAccount::of(object)?;
    Some(if is_there {
        Seen::ServiceAccount(namespace, facts)
    } else {
        Seen::ServiceAccountGone(namespace, facts.name)
    })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use kube::core::Status;
    use tokio::time::Instant;

    use super::*;

    fn refused(code: u16) -> watcher::Error {
        let status = Status::failure("too old resource version", "Expired").with_code(code);
        watcher::Error::WatchStartFailed(kube::Error::Api(status.boxed()))
    }

    /// What comes of watches of which each first says its number and is then refused like this.
    async fn numbers(code: u16) -> Vec<Option<usize>> {
        let count = AtomicUsize::new(0);
        let begin = || {
            let number = count.fetch_add(1, Ordering::Relaxed);
            stream::iter([Ok(number), Err(refused(code)), Err(refused(code))])
        };
        tireless(begin).take(4).map(Result::ok).collect().await
    }

    #[tokio::test(start_paused = true)]
    async fn a_watch_whose_place_is_gone_begins_anew_after_a_pause() {
        let start = Instant::now();
        assert_eq!(numbers(410).await, [Some(0), None, Some(1), None]);
        assert_eq!(start.elapsed(), BEGINS_ANEW);
    }

    #[tokio::test(start_paused = true)]
    async fn any_other_failure_is_left_to_the_watch_itself() {
        assert_eq!(numbers(500).await, [Some(0), None, None]);
    }
}
