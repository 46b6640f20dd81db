//! The listeners: one for the state's region and one for each further region, on loopback.

mod body;

use std::collections::BTreeMap;
use std::error::Error as _;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use jiff::fmt::rfc2822::DateTimePrinter;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::cloud::{Cloud, Count};
use crate::fault::{Action, Fault};
use crate::message::{Answer, Delivery, Request};
use crate::oidc::TokenRequest;
use crate::record::Record;
use crate::state::{Mistake, State};
use body::Paced;

/// A cloud that listens on loopback. Dropping it stops it.
#[derive(Debug)]
pub struct FakeCloud {
    cloud: Arc<Mutex<Cloud>>,
    region: String,
    addresses: BTreeMap<String, SocketAddr>,
    /// Aborted when dropped, and their connections with them.
    _listeners: JoinSet<()>,
}

impl FakeCloud {
    /// Listens on free ports.
    ///
    /// # Errors
    /// When it cannot listen.
    pub async fn start(state: State) -> io::Result<Self> {
        Self::start_on(state, SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await
    }

    /// Listens at this address, and on a free port of the same interface for each further region.
    ///
    /// # Errors
    /// When it cannot listen.
    pub async fn start_on(state: State, address: SocketAddr) -> io::Result<Self> {
        let region = state.region.clone();
        let more: Vec<String> = state.more_regions.iter().filter(|more| **more != region).cloned().collect();
        let cloud = Arc::new(Mutex::new(Cloud::new(state)));
        let mut listeners = JoinSet::new();
        let mut addresses = BTreeMap::new();
        let places = std::iter::once((region.clone(), address))
            .chain(more.into_iter().map(|region| (region, SocketAddr::new(address.ip(), 0))));
        for (region, address) in places {
            let listener = TcpListener::bind(address).await?;
            addresses.insert(region.clone(), listener.local_addr()?);
            listeners.spawn(accept(listener, Arc::clone(&cloud), region.into()));
        }
        Ok(Self { cloud, region, addresses, _listeners: listeners })
    }

    /// The main listener's base URL, without a slash at the end.
    #[must_use]
    pub fn url(&self) -> String {
        self.region_url(&self.region).unwrap_or_default()
    }

    /// The base URL of that region's listener, if it has one.
    #[must_use]
    pub fn region_url(&self, region: &str) -> Option<String> {
        self.addresses.get(region).map(|address| format!("http://{address}"))
    }

    /// The regions with a listener, and their base URLs.
    #[must_use]
    pub fn urls(&self) -> BTreeMap<String, String> {
        self.addresses.iter().map(|(region, address)| (region.clone(), format!("http://{address}"))).collect()
    }

    /// Reads or changes anything of the cloud's, between two requests.
    pub fn with<T>(&self, look: impl FnOnce(&mut Cloud) -> T) -> T {
        look(&mut lock(&self.cloud))
    }

    /// Changes what is in it by a JSON merge patch. A member that is `null` is removed.
    ///
    /// # Errors
    /// What is wrong with the result; nothing has changed then.
    pub fn patch(&self, patch: &Value) -> Result<(), Mistake> {
        self.with(|cloud| cloud.patch(patch))
    }

    /// Adds a fault behind those that are set.
    pub fn add_fault(&self, fault: Fault) {
        self.with(|cloud| cloud.faults.add(fault));
    }

    /// Takes all faults away.
    pub fn clear_faults(&self) {
        self.with(|cloud| cloud.faults.clear());
    }

    /// What the clock shows.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.with(|cloud| cloud.clock.now())
    }

    /// Sets the clock, which runs on from there.
    pub fn set_clock(&self, to: Timestamp) {
        self.with(|cloud| cloud.clock.set(to));
    }

    /// Moves the clock, back if negative.
    pub fn advance_clock(&self, by: SignedDuration) {
        self.with(|cloud| cloud.clock.advance(by));
    }

    /// How often an action was called, refused calls included.
    #[must_use]
    pub fn calls(&self, action: Action) -> u64 {
        self.count(action).calls
    }

    /// How often an action was called and refused.
    #[must_use]
    pub fn count(&self, action: Action) -> Count {
        self.with(|cloud| cloud.calls(action))
    }

    /// The requests so far, with what was answered.
    #[must_use]
    pub fn requests(&self) -> Vec<Record> {
        self.with(|cloud| cloud.records().cloned().collect())
    }

    /// Signs an OIDC token.
    ///
    /// # Errors
    /// When there is no such provider.
    pub fn mint_oidc_token(&self, wanted: &TokenRequest) -> Result<String, String> {
        self.with(|cloud| cloud.mint_oidc_token(wanted))
    }
}

fn lock(cloud: &Mutex<Cloud>) -> MutexGuard<'_, Cloud> {
    cloud.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn accept(listener: TcpListener, cloud: Arc<Mutex<Cloud>>, region: Arc<str>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                // A connection that is gone before it is accepted is its client's affair.
                if let Ok((stream, _)) = accepted {
                    connections.spawn(serve(stream, Arc::clone(&cloud), Arc::clone(&region)));
                }
            }
            // Ended connections are let go of as they end.
            Some(_) = connections.join_next() => {}
        }
    }
}

/// The request asked for a reset of its connection.
#[derive(Debug, thiserror::Error)]
#[error("the connection is to be reset")]
struct ResetWanted;

async fn serve(stream: TcpStream, cloud: Arc<Mutex<Cloud>>, region: Arc<str>) {
    let service = service_fn(|request: hyper::Request<Incoming>| {
        let cloud = Arc::clone(&cloud);
        let region = Arc::clone(&region);
        async move {
            let request = read(request).await;
            let (mut answer, date) = {
                let mut cloud = lock(&cloud);
                (cloud.respond(&region, &request), cloud.clock.now())
            };
            // What a client compares its own clock with. Left to hyper, it would be this machine's.
            if let Ok(date) = DateTimePrinter::new().timestamp_to_rfc9110_string(&date) {
                answer = answer.with_header("date", date);
            }
            match answer.delivery {
                Delivery::Reset => Err(ResetWanted),
                Delivery::Stall => std::future::pending().await,
                Delivery::Late(delay) => {
                    tokio::time::sleep(delay).await;
                    Ok(written(answer))
                }
                Delivery::Whole | Delivery::Slow(_) | Delivery::Truncated(_) => Ok(written(answer)),
            }
        }
    });
    let mut connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    if let Err(error) = (&mut connection).await
        && error.source().is_some_and(<dyn std::error::Error>::is::<ResetWanted>)
    {
        // With a linger of zero, closing is a reset. Where the client is gone already, it makes no difference.
        let stream = connection.into_parts().io.into_inner();
        let _ = stream.set_zero_linger();
    }
}

async fn read(request: hyper::Request<Incoming>) -> Request {
    let (head, body) = request.into_parts();
    let headers = head.headers.iter().map(|(name, value)| {
        (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
    });
    Request {
        method: head.method.to_string(),
        path: head.uri.path().to_owned(),
        query: head.uri.query().unwrap_or_default().to_owned(),
        headers: headers.collect(),
        // A body that breaks off ends the connection anyway.
        body: body.collect().await.map(|body| body.to_bytes().to_vec()).unwrap_or_default(),
    }
}

fn written(answer: Answer) -> hyper::Response<Paced> {
    let length = answer.body.len();
    let mut response = hyper::Response::new(Paced::new(answer.body, answer.delivery));
    *response.status_mut() =
        hyper::StatusCode::from_u16(answer.status).unwrap_or(hyper::StatusCode::INTERNAL_SERVER_ERROR);
    let headers = answer.headers.into_iter().chain([("content-length".to_owned(), length.to_string())]);
    for (name, value) in headers {
        let name = hyper::header::HeaderName::from_bytes(name.as_bytes());
        if let (Ok(name), Ok(value)) = (name, hyper::header::HeaderValue::from_str(&value)) {
            response.headers_mut().append(name, value);
        }
    }
    response
}
