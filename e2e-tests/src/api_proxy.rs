//! A way to the API server on which a test makes things go wrong: calls are refused, delayed, held or lost, watches are cut,
//! and the whole API server is out of reach. Whatever is not asked for goes through unchanged, watches event by event.
//!
//! It listens on loopback without TLS, and speaks TLS with the API server. Tokens are passed on.

mod calls;
mod rule;
mod serve;
#[cfg(test)]
mod tests;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context as _, Result};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub use self::calls::{Call, Calls};
pub use self::rule::{Fault, Rule, Set};
use crate::client::HttpClient;

/// A running proxy. Dropping it closes its port and all connections.
pub struct ApiProxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

struct Shared {
    /// Such as `https://127.0.0.1:6443`.
    upstream: String,
    client: HttpClient,
    rules: Mutex<Vec<Set>>,
    calls: Mutex<Vec<Call>>,
    /// Counts how often watches were cut.
    cuts: watch::Sender<u64>,
    out_of_reach: watch::Sender<bool>,
}

impl ApiProxy {
    /// Starts a proxy in front of an API server, whose certificate authority is this PEM text. It lives as long as the
    /// tokio runtime that it was made in.
    ///
    /// # Errors
    /// When there is no port, or the text holds no certificate.
    pub async fn start(upstream: &str, ca_pem: &str) -> Result<Self> {
        Self::in_front_of(upstream, HttpClient::trusting(ca_pem)?).await
    }

    async fn in_front_of(upstream: &str, client: HttpClient) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.context("failed to open a port")?;
        let address = listener.local_addr().context("failed to read the port")?;
        let shared = Arc::new(Shared {
            upstream: upstream.to_owned(),
            client,
            rules: Mutex::default(),
            calls: Mutex::default(),
            cuts: watch::Sender::default(),
            out_of_reach: watch::Sender::default(),
        });
        let accepting = tokio::spawn(serve::accept(listener, Arc::clone(&shared)));
        Ok(Self { address, shared, accepting })
    }

    /// The server to write into a kubeconfig.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Sets a rule, in front of those that are set already: of all that match a call, the newest decides.
    #[expect(clippy::must_use_candidate, reason = "a rule works whether or not it is looked at")]
    pub fn set(&self, rule: Rule) -> Set {
        let set = Set::new(rule);
        self.shared.rules().insert(0, set.clone());
        set
    }

    /// Breaks every watch that is open, in the middle of its stream.
    pub fn cut_watches(&self) {
        self.shared.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// Breaks all connections and closes each new one at once, until it is told otherwise.
    pub fn be_out_of_reach(&self, out_of_reach: bool) {
        self.shared.out_of_reach.send_replace(out_of_reach);
    }

    /// The calls of this kind so far, the oldest first, whatever became of them.
    #[must_use]
    pub fn calls(&self, kind: &Calls) -> Vec<Call> {
        self.shared.log().iter().filter(|call| kind.include(call)).cloned().collect()
    }
}

impl Drop for ApiProxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Shared {
    /// Writes a call down, and returns its number.
    fn begin(&self, call: Call) -> usize {
        let mut log = self.log();
        log.push(call);
        log.len() - 1
    }

    /// Writes down what a call was answered.
    fn answered(&self, number: usize, status: u16) {
        if let Some(call) = self.log().get_mut(number) {
            call.status = Some(status);
        }
    }

    /// The rule that decides about a call, counted.
    fn rule_for(&self, call: &Call) -> Option<Set> {
        self.rules().iter().find(|set| set.takes(call)).cloned()
    }

    fn rules(&self) -> MutexGuard<'_, Vec<Set>> {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn log(&self) -> MutexGuard<'_, Vec<Call>> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
