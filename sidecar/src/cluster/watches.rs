//! The watches. Each runs in its own task, which reduces what it reads and passes it on.

use std::sync::Arc;
use std::task::{Context, Poll};

use acr_credential_core::Selection;
use k8s_openapi::api::core::v1::{Namespace as NamespaceKind, Secret, ServiceAccount as ServiceAccountKind};
use kube::Client;
use kube::core::Selector;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::observed::{Namespace, PullSecret, ServiceAccount};
use super::store::Kind;
use crate::kubernetes::{Change, Collection, Metadata, Place, follow};

/// Number of events of one watch that can wait; when the queue is full, the watch waits.
const EVENTS: usize = 256;

/// An event of a watch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WatchEvent {
    /// A namespace exists.
    Namespace(Box<str>, Namespace),
    /// A namespace is gone.
    NamespaceGone(Box<str>),
    /// In this namespace, a Secret with the name of the pull secret exists.
    PullSecret(Box<str>, PullSecret),
    /// In this namespace, the Secret with this uid is gone.
    PullSecretGone(Box<str>, Box<str>),
    /// In this namespace, a service account exists.
    ServiceAccount(Box<str>, ServiceAccount),
    /// In this namespace, a service account is gone, or it is not relevant any more.
    ServiceAccountGone(Box<str>, Box<str>),
    /// A list begins, at the start or because the watch lost its place in the history.
    ListBegins(Kind),
    /// A list is complete.
    ListEnds(Kind),
    /// An object cannot be read and is left out: its namespace and name, and the reason.
    Unreadable(Kind, Place, String),
    /// A list or watch failed, and is retried.
    Failed(Kind),
    /// After a failure, a list or watch works again.
    Works(Kind),
}

/// The watches. They keep what the configuration needs, so they restart when it changes.
pub struct Watches {
    client: Client,
    pull_secret: Arc<str>,
    selector: Option<Selector>,
    /// By [`Kind`].
    running: [Option<Watch>; 3],
    /// Which of them is polled first: they take turns.
    turn: usize,
}

struct Watch {
    events: mpsc::Receiver<WatchEvent>,
    task: AbortHandle,
    began: Instant,
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Watches {
    /// Starts to watch Secrets of this name, and namespaces. No namespace is left out yet.
    pub fn start(client: Client, pull_secret: Arc<str>) -> Self {
        // The rights require the name in the field selector: no other Secret can be listed.
        let secrets = Collection::metadata::<Secret>(None).named(&pull_secret);
        let mut watches = Self { client, pull_secret, selector: None, running: [const { None }; 3], turn: 0 };
        watches.begin(Kind::PullSecret, secrets, reduce_secret);
        watches.list_namespaces();
        watches
    }

    /// Uses this label selector from now on. Returns whether namespaces are listed again because of it.
    pub fn select(&mut self, selector: Option<&Selector>) -> bool {
        let is_new = self.selector.as_ref() != selector;
        if is_new {
            self.selector = selector.cloned();
            self.list_namespaces();
        }
        is_new
    }

    fn list_namespaces(&mut self) {
        let selector = self.selector.clone();
        let namespaces = Collection::metadata::<NamespaceKind>(None);
        self.begin(Kind::Namespace, namespaces, move |object, is_there| {
            let metadata = Metadata::parse(object)?;
            let name = (&*metadata.name).into();
            Ok(if is_there {
                WatchEvent::Namespace(name, Namespace::from_metadata(&metadata, selector.as_ref()))
            } else {
                WatchEvent::NamespaceGone(name)
            })
        });
    }

    /// Lists and watches service accounts from now on. A service account that is not selected matters only if it lists the pull
    /// secret.
    pub fn service_accounts(&mut self, selected: Selection<'static>) {
        let pull_secret = Arc::clone(&self.pull_secret);
        let accounts = Collection::whole::<ServiceAccountKind>(None);
        self.begin(Kind::ServiceAccount, accounts, move |object, is_there| {
            let metadata = Metadata::parse(object)?;
            let facts = ServiceAccount::from_object(object, &metadata, &pull_secret)?;
            let namespace = (&*metadata.namespace).into();
            Ok(if is_there && (selected.contains(&facts.name) || facts.lists(&pull_secret)) {
                WatchEvent::ServiceAccount(namespace, facts)
            } else {
                WatchEvent::ServiceAccountGone(namespace, facts.name)
            })
        });
    }

    /// Stops to watch objects of this kind.
    pub fn stop(&mut self, kind: Kind) {
        if let Some(watch) = self.running.get_mut(kind as usize) {
            *watch = None;
        }
    }

    /// Returns whether objects of this kind are watched.
    pub fn is_watching(&self, kind: Kind) -> bool {
        self.watch(kind).is_some()
    }

    /// Returns when the last list of this kind was requested, if it is watched.
    pub fn began(&self, kind: Kind) -> Option<Instant> {
        self.watch(kind).map(|watch| watch.began)
    }

    /// Returns the next event; `None` if a watch has ended, which none of them should.
    pub async fn next(&mut self) -> Option<WatchEvent> {
        std::future::poll_fn(|context| self.poll(context)).await
    }

    /// Returns an event that is already waiting.
    pub fn try_next(&mut self) -> Option<WatchEvent> {
        self.turn += 1;
        let turn = self.turn;
        let mut watches = self.in_turn(turn);
        watches.find_map(|watch| watch.events.try_recv().ok())
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<WatchEvent>> {
        let turn = self.turn;
        for watch in self.in_turn(turn) {
            if let Poll::Ready(seen) = watch.events.poll_recv(context) {
                return Poll::Ready(seen);
            }
        }
        Poll::Pending
    }

    fn in_turn(&mut self, turn: usize) -> impl Iterator<Item = &mut Watch> {
        let (before, after) = self.running.split_at_mut(turn % 3);
        after.iter_mut().chain(before).flatten()
    }

    fn watch(&self, kind: Kind) -> Option<&Watch> {
        self.running.get(kind as usize)?.as_ref()
    }

    /// Starts a watch, and replaces the earlier one, if any: events of the earlier watch are ignored.
    fn begin(
        &mut self,
        kind: Kind,
        collection: Collection,
        reduce: impl Fn(&str, bool) -> Result<WatchEvent, serde_json::Error> + Send + Sync + 'static,
    ) {
        let (to, events) = mpsc::channel(EVENTS);
        let read = move |object: &str, is_there| {
            reduce(object, is_there)
                .unwrap_or_else(|error| WatchEvent::Unreadable(kind, Place::parse(object), error.to_string()))
        };
        let message = move |change: Change<'_>| {
            Some(match change {
                Change::ListBegins => WatchEvent::ListBegins(kind),
                Change::ListEnds => WatchEvent::ListEnds(kind),
                Change::There(object) => read(object, true),
                Change::Gone(object) => read(object, false),
                Change::Failed => WatchEvent::Failed(kind),
                Change::Works => WatchEvent::Works(kind),
            })
        };
        let task = tokio::spawn(follow(self.client.clone(), collection, kind.name(), to, message));
        if let Some(watch) = self.running.get_mut(kind as usize) {
            *watch = Some(Watch { events, task: task.abort_handle(), began: Instant::now() });
        }
    }
}

fn reduce_secret(object: &str, is_there: bool) -> Result<WatchEvent, serde_json::Error> {
    let metadata = Metadata::parse(object)?;
    let namespace = (&*metadata.namespace).into();
    Ok(if is_there {
        WatchEvent::PullSecret(namespace, PullSecret::from_metadata(&metadata))
    } else {
        WatchEvent::PullSecretGone(namespace, (&*metadata.uid).into())
    })
}
