//! Follows a collection: lists it, and watches over it from there, without end.

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

/// Pauses after failures: the first one, and the longest.
const PAUSES: [Duration; 2] = [Duration::from_millis(500), Duration::from_secs(30)];

/// Before a list after a watch that has lost its place: lists are the most expensive calls.
const BEFORE_LIST: Duration = Duration::from_secs(2);

/// A watch that has stood for this long works.
const STANDS: Duration = Duration::from_secs(5);

/// The API server ends a watch by itself before this: a connection that was dropped without a word is noticed by then.
const LONGEST_WATCH: Duration = Duration::from_secs(295);

/// What is to be known about a collection.
#[derive(Debug, Clone, Copy)]
pub enum Change<'a> {
    /// A list begins, at the start or because the watch has lost its place.
    ListBegins,
    /// A list is complete.
    ListEnds,
    /// This object is there.
    There(&'a str),
    /// This object is gone.
    Gone(&'a str),
    /// The list or watch has failed, and is tried again.
    Failed,
    /// After it had failed, it works again.
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

/// Whether anybody still listens.
type End = ControlFlow<()>;

/// What a watch ended with.
enum Watched {
    /// It is to be continued at the version.
    Continue,
    /// Its place in the history is gone.
    Outdated(Error),
    Failed(Error),
    /// Nobody listens any more.
    Unheard,
}

/// Follows a collection until nobody receives what `message` makes of the changes any more. `name` is what the log calls it.
///
/// Failures are not decided by what objects hold, and are reported once for each cause; pauses between tries grow until
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
    /// Why it fails.
    failing: Option<&'static str>,
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

    /// Lists all, and returns the version; none where nobody listens.
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
            let until = began + if self.failing.is_some() { STANDS } else { LONGEST_WATCH };
            let line = match timeout_at(until, lines.next()).await {
                Ok(Ok(Some(line))) => serde_json::from_slice::<Line<'_>>(line),
                Ok(Ok(None)) if began.elapsed() < STANDS => {
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

    /// Reports a failure, and waits for the time of the next try.
    async fn fail(&mut self, error: &Error) -> End {
        let cause = ApiError::from(error).name();
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
