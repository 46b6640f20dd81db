//! Follows a collection: lists it, and then watches it, without end.

use std::borrow::Cow;
use std::io::ErrorKind;
use std::ops::ControlFlow;
use std::time::Duration;

use backon::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};
use kube::core::Status;
use kube::{Client, Error};
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout_at};

use super::collection::Collection;
use super::metadata::{member, text};
use crate::kubernetes::api_error::{ApiError, describe};

/// Pauses after failures: the first pause, and the longest.
const PAUSES: [Duration; 2] = [Duration::from_millis(500), Duration::from_secs(30)];

/// The pause before a list when a watch has lost its place in the history: lists are the most expensive calls.
const BEFORE_LIST: Duration = Duration::from_secs(2);

/// A watch that stays open for this long works.
const WORKS_AFTER: Duration = Duration::from_secs(5);

/// The API server ends a watch before this time. A connection that was lost without a notice is detected by then.
const LONGEST_WATCH: Duration = Duration::from_secs(295);

/// A change of a collection.
#[derive(Debug, Clone, Copy)]
pub enum Change<'a> {
    /// A list begins, at the start or because the watch has lost its place in the history.
    ListBegins,
    /// A list is complete.
    ListEnds,
    /// This object exists.
    There(&'a str),
    /// This object is gone.
    Gone(&'a str),
    /// The list or watch has failed, and is retried.
    Failed,
    /// It works again after a failure.
    Works,
}

/// An event of a watch.
#[derive(Deserialize)]
struct Line<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    #[serde(borrow)]
    object: &'a RawValue,
}

/// Whether a receiver still listens.
type End = ControlFlow<()>;

/// How a watch ended.
enum Watched {
    /// The watch continues at the version.
    Continue,
    /// The API server no longer has this place in the history.
    Outdated(Error),
    Failed(Error),
    /// The receiver is gone.
    Unheard,
}

/// Follows a collection until the receiver of the messages is gone. `message` turns each change into a message, and `name` is the
/// name of the collection in the log.
///
/// The content of objects cannot cause failures. A failure is logged once for each cause, and the pauses between tries grow until
/// the watch works again.
pub async fn follow<M: Send + 'static>(
    client: Client,
    collection: Collection,
    name: &'static str,
    to: mpsc::Sender<M>,
    message: impl Fn(Change<'_>) -> Option<M> + Send + Sync,
) {
    let mut follower =
        Follower { client: &client, of: &collection, name, to, message, pauses: pauses(), failing: None };
    let _ = follower.run().await;
}

struct Follower<'f, M, F> {
    client: &'f Client,
    of: &'f Collection,
    name: &'static str,
    to: mpsc::Sender<M>,
    message: F,
    pauses: ExponentialBackoff,
    /// The cause of the current failure.
    failing: Option<(Option<u16>, &'static str)>,
}

impl<M: Send, F: Fn(Change<'_>) -> Option<M> + Send + Sync> Follower<'_, M, F> {
    async fn run(&mut self) -> End {
        loop {
            let mut version = match self.list().await {
                Ok(Some(version)) => version,
                Ok(None) => return End::Break(()),
                Err(error) => {
                    self.fail(&error).await?;
                    continue;
                }
            };
            loop {
                match self.watch(&mut version).await {
                    Watched::Continue => {}
                    Watched::Failed(error) => self.fail(&error).await?,
                    Watched::Outdated(error) => {
                        self.fail(&error).await?;
                        sleep(BEFORE_LIST).await;
                        break;
                    }
                    Watched::Unheard => return End::Break(()),
                }
            }
        }
    }

    /// Lists all objects, and returns the version; `None` if the receiver is gone.
    async fn list(&mut self) -> Result<Option<String>, Error> {
        if self.tell(Change::ListBegins).await.is_break() {
            return Ok(None);
        }
        let mut listing = self.of.list(self.client);
        while let Some(object) = listing.next().await? {
            if self.tell(Change::There(object)).await.is_break() {
                return Ok(None);
            }
        }
        let ended = self.tell(Change::ListEnds).await;
        Ok(ended.is_continue().then(|| listing.version().to_owned()))
    }

    async fn watch(&mut self, version: &mut String) -> Watched {
        let began = Instant::now();
        let mut lines = match self.of.watch(self.client, version).await {
            Ok(lines) => lines,
            Err(error) => return failed(error),
        };
        loop {
            let until = began + if self.failing.is_some() { WORKS_AFTER } else { LONGEST_WATCH };
            let line = match timeout_at(until, lines.next()).await {
                Ok(Ok(Some(line))) => serde_json::from_slice::<Line<'_>>(line),
                Ok(Ok(None)) if began.elapsed() < WORKS_AFTER => {
                    return failed(Error::ReadEvents(ErrorKind::UnexpectedEof.into()));
                }
                Ok(Ok(None)) => return Watched::Continue,
                Ok(Err(error)) => return failed(error),
                Err(_) if self.failing.is_none() => return Watched::Continue,
                Err(_) => {
                    if self.works().await.is_break() {
                        return Watched::Unheard;
                    }
                    continue;
                }
            };
            let (change, object) = match line {
                Ok(Line { kind: "ADDED" | "MODIFIED", object }) => {
                    (Some(Change::There(object.get())), object)
                }
                Ok(Line { kind: "DELETED", object }) => (Some(Change::Gone(object.get())), object),
                Ok(Line { kind: "ERROR", object }) => {
                    let status = serde_json::from_str::<Status>(object.get()).unwrap_or_default();
                    return failed(Error::Api(status.boxed()));
                }
                // A bookmark: an object that has a version and nothing else.
                Ok(Line { kind: _, object }) => (None, object),
                Err(error) => {
                    tracing::error!("unexpected response to the watch of {}: {error}", self.name);
                    continue;
                }
            };
            if self.works().await.is_break() {
                return Watched::Unheard;
            }
            if let Some(change) = change
                && self.tell(change).await.is_break()
            {
                return Watched::Unheard;
            }
            if let Some(seen) = version_of(object) {
                *version = seen;
            }
        }
    }

    /// Reports a failure, and waits until the next try.
    async fn fail(&mut self, error: &Error) -> End {
        let code = if let Error::Api(status) = error { Some(status.code) } else { None };
        let cause = (code, ApiError::from(error).name());
        if self.failing.replace(cause) != Some(cause) {
            tracing::warn!("failed to watch {}, trying again: {}", self.name, describe(error));
        }
        self.tell(Change::Failed).await?;
        sleep(self.pauses.next().unwrap_or(PAUSES[1])).await;
        End::Continue(())
    }

    async fn works(&mut self) -> End {
        if self.failing.take().is_none() {
            return End::Continue(());
        }
        self.pauses = pauses();
        tracing::info!("the watch of {} works again", self.name);
        self.tell(Change::Works).await
    }

    async fn tell(&self, change: Change<'_>) -> End {
        let Some(message) = (self.message)(change) else { return End::Continue(()) };
        if self.to.send(message).await.is_err() { End::Break(()) } else { End::Continue(()) }
    }
}

fn failed(error: Error) -> Watched {
    match &error {
        Error::Api(status) if status.code == 410 => Watched::Outdated(error),
        _ => Watched::Failed(error),
    }
}

fn version_of(object: &RawValue) -> Option<String> {
    let version = member(member(object, "metadata")?, "resourceVersion")?;
    text(version).map(Cow::into_owned)
}

fn pauses() -> ExponentialBackoff {
    let [first, longest] = PAUSES;
    ExponentialBuilder::new()
        .with_min_delay(first)
        .with_max_delay(longest)
        .with_jitter()
        .without_max_times()
        .build()
}

#[cfg(test)]
mod tests;
