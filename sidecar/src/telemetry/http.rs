//! The pages of a running sidecar: `/livez`, `/readyz` and `/metrics`. Nothing else is served, and nothing can be changed.
//!
//! Every client that reaches the port can send requests, so the resources of clients are limited: connections, bytes and time. A
//! connection serves one request, and no body is read.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::ready;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::{AbortHandle, yield_now};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::health::{Health, ProbePage};
use super::metrics::{self, Metrics};
use crate::clock::Clock;

/// Connections that may wait in the kernel, which allows no more than this by default. It drops further connections, and a probe
/// that is dropped is sent again after a second: too late for its time-out.
const WAITING: u32 = 4096;

/// Bytes of a connection that the kernel keeps until they are read.
const UNREAD: u32 = 16 << 10;

/// The content of the pages.
#[derive(Debug, Clone)]
pub struct Pages {
    /// For `/livez` and `/readyz`.
    pub health: Arc<Health>,
    /// For `/metrics`.
    pub metrics: Arc<Metrics>,
    /// Credentials are judged by the time of the request.
    pub clock: Arc<dyn Clock>,
}

/// The limits for all clients.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Connections at the same time. The last place is reserved for the next connection: the oldest connection is closed for it.
    pub connections: usize,
    /// Connections of one address; if there are more, the oldest one is closed.
    pub per_address: usize,
    /// A connection is not closed to make room before it has this age: a request that comes with it, as those of probes do, is
    /// answered by then. Also, at most `connections` connections are accepted in this time. Further ones wait in the kernel.
    pub least: Duration,
    /// The request must have arrived by then.
    pub header: Duration,
    /// The client must also have read the answer by then.
    pub longest: Duration,
    /// Bytes of a request that are kept.
    pub buffer: usize,
}

/// A connection.
#[derive(Debug)]
struct Open {
    address: IpAddr,
    since: Instant,
    task: AbortHandle,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 64,
            per_address: 8,
            least: Duration::from_millis(10),
            header: Duration::from_secs(5),
            longest: Duration::from_secs(10),
            buffer: 16 << 10,
        }
    }
}

/// Listens on this address. `[::]` means every address of this machine, which has no IPv6 address if IPv6 is disabled.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    match bind(address) {
        Err(error) if address.ip() == Ipv6Addr::UNSPECIFIED && error.kind() != ErrorKind::AddrInUse => {
            bind((Ipv4Addr::UNSPECIFIED, address.port()).into()).map_err(|_| error)
        }
        bound => bound,
    }
}

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // An earlier process may have used this address a moment ago.
    socket.set_reuseaddr(true)?;
    // Connections inherit it.
    socket.set_recv_buffer_size(UNREAD)?;
    socket.bind(address)?;
    socket.listen(WAITING)
}

/// Serves the pages until `stop` ends, and then finishes the answers that have begun.
pub async fn serve(listener: TcpListener, pages: Pages, limits: Limits, stop: impl Future<Output = ()>) {
    let mut server = http1::Builder::new();
    server
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header)
        .max_buf_size(limits.buffer)
        .keep_alive(false);
    let graceful = GracefulShutdown::new();
    let spawn = |stream: TcpStream| {
        let pages = pages.clone();
        let service = service_fn(move |request| ready(Ok::<_, Infallible>(pages.answer(&request))));
        let connection = graceful.watch(server.serve_connection(TokioIo::new(stream), service));
        // A client that disconnects, or is too slow, is not an error here.
        tokio::spawn(timeout(limits.longest, connection)).abort_handle()
    };

    let mut stop = pin!(stop);
    let mut open = VecDeque::new();
    let (mut taken, mut taken_since) = (0, Instant::now());
    let mut is_failing = false;
    loop {
        let next = make_room(&mut open, &limits);
        tokio::select! {
            biased;
            () = &mut stop => break,
            () = sleep_until(next.unwrap_or_else(Instant::now)), if next.is_some() => {}
            accepted = listener.accept(), if open.len() < limits.connections => match accepted {
                Ok((stream, peer)) => {
                    let (address, since) = (peer.ip().to_canonical(), Instant::now());
                    open.push_back(Open { address, since, task: spawn(stream) });
                    is_failing = false;
                    // Other work gets its turn between two connections.
                    yield_now().await;
                    taken += 1;
                    if taken >= limits.connections {
                        sleep_until(taken_since + limits.least).await;
                        (taken, taken_since) = (0, Instant::now());
                    }
                }
                Err(error) => {
                    if !is_failing {
                        tracing::warn!("a connection to the pages could not be accepted, trying again: {error}");
                    }
                    is_failing = true;
                    // There may be too many open files. That is temporary.
                    sleep(limits.least).await;
                }
            },
        }
    }
    drop(listener);
    graceful.shutdown().await;
}

/// Closes surplus connections, the oldest first. If the next one is too young for that, returns when to check again.
fn make_room(open: &mut VecDeque<Open>, limits: &Limits) -> Option<Instant> {
    open.retain(|connection| !connection.task.is_finished());
    loop {
        let addresses: Vec<_> = open.iter().map(|connection| connection.address).collect();
        let at = surplus(&addresses, limits)?;
        let Open { since, task, .. } = open.get(at)?;
        let due = *since + limits.least;
        if due > Instant::now() {
            return Some(due);
        }
        task.abort();
        open.remove(at);
    }
}

/// Returns which connection has to be closed. The addresses are in the order of their age. It is the oldest connection of an
/// address that has too many, or else the oldest of all.
fn surplus(open: &[IpAddr], limits: &Limits) -> Option<usize> {
    let count = |address| open.iter().filter(|other| *other == address).count();
    let of_address = open.iter().position(|address| count(address) > limits.per_address);
    of_address.or((open.len() >= limits.connections).then_some(0))
}

impl Pages {
    fn answer<B>(&self, request: &Request<B>) -> Response<String> {
        match (request.method(), request.uri().path()) {
            (&Method::GET | &Method::HEAD, "/livez") => probed(self.health.livez(Instant::now())),
            (&Method::GET | &Method::HEAD, "/readyz") => probed(self.health.readyz(self.clock.now())),
            (&Method::GET | &Method::HEAD, "/metrics") => match self.metrics.render() {
                Ok(page) => answer(StatusCode::OK, metrics::CONTENT_TYPE, page),
                Err(error) => {
                    tracing::error!("metrics could not be written: {error}");
                    answer(StatusCode::INTERNAL_SERVER_ERROR, TEXT, String::new())
                }
            },
            _ => answer(StatusCode::NOT_FOUND, TEXT, String::new()),
        }
    }
}

const TEXT: &str = "text/plain; charset=utf-8";

fn probed(ProbePage { ok, body }: ProbePage) -> Response<String> {
    answer(if ok { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, TEXT, body)
}

fn answer(status: StatusCode, content_type: &'static str, body: String) -> Response<String> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::sync::oneshot;
    use tokio::task::JoinHandle;

    use super::*;
    use crate::clock::SystemClock;

    struct Server {
        address: SocketAddr,
        health: Arc<Health>,
        stop: oneshot::Sender<()>,
        task: JoinHandle<()>,
    }

    impl Server {
        fn start(limits: Limits) -> Self {
            let listener = listen("127.0.0.1:0".parse().unwrap()).unwrap();
            let address = listener.local_addr().unwrap();
            let health = Health::new();
            let metrics = Arc::new(Metrics::new());
            let pages = Pages { health: Arc::clone(&health), metrics, clock: Arc::new(SystemClock) };
            let (stop, stopped) = oneshot::channel::<()>();
            let task = tokio::spawn(serve(listener, pages, limits, async move {
                let _ = stopped.await;
            }));
            Self { address, health, stop, task }
        }

        /// Connects, and sends this text.
        async fn send(&self, text: &str) -> TcpStream {
            let mut stream = TcpStream::connect(self.address).await.unwrap();
            stream.write_all(text.as_bytes()).await.unwrap();
            stream
        }

        async fn ask(&self, line: &str) -> String {
            let mut stream = self.send(&format!("{line} HTTP/1.1\r\nHost: sidecar\r\n\r\n")).await;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            answer
        }
    }

    /// Returns how long a connection that is not answered is kept open.
    async fn kept(mut stream: TcpStream) -> Duration {
        let began = Instant::now();
        // The client reads until the end, or until a reset.
        let _ = stream.read_to_end(&mut Vec::new()).await;
        began.elapsed()
    }

    fn is_about(time: Duration, expected: Duration) -> bool {
        (expected..expected + Duration::from_millis(100)).contains(&time)
    }

    #[tokio::test]
    async fn each_page_is_served_until_told_to_stop() {
        let server = Server::start(Limits::default());
        let synced = server.health.gate("synced", "the first list has not been read yet");

        assert!(server.ask("GET /livez").await.starts_with("HTTP/1.1 200 OK\r\n"));
        let readiness = server.ask("GET /readyz").await;
        assert!(readiness.starts_with("HTTP/1.1 503 Service Unavailable\r\n"), "{readiness}");
        assert!(readiness.contains("✗ synced: the first list has not been read yet"), "{readiness}");
        synced.open();
        assert!(server.ask("GET /readyz").await.starts_with("HTTP/1.1 200 OK\r\n"));
        let metrics = server.ask("GET /metrics").await;
        assert!(metrics.contains("content-type: application/openmetrics-text"), "{metrics}");
        assert!(metrics.contains("acr_credential_sidecar_build_info"), "{metrics}");
        let head = server.ask("HEAD /metrics").await;
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n") && head.ends_with("\r\n\r\n"), "{head}");
        assert!(server.ask("GET /").await.starts_with("HTTP/1.1 404"));
        assert!(server.ask("POST /livez").await.starts_with("HTTP/1.1 404"));

        server.stop.send(()).unwrap();
        server.task.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_header_that_does_not_end_is_awaited_for_five_seconds() {
        let server = Server::start(Limits::default());
        assert!(is_about(kept(server.send("").await).await, Duration::from_secs(5)));
        assert!(is_about(kept(server.send("GET /livez HTT").await).await, Duration::from_secs(5)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_lasts_no_longer_than_ten_seconds() {
        let server = Server::start(Limits { header: Duration::from_hours(1), ..Limits::default() });
        assert!(is_about(kept(server.send("GET /livez HTT").await).await, Duration::from_secs(10)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_header_that_is_too_long_is_refused_at_once() {
        let server = Server::start(Limits::default());
        let mut stream = server.send("GET /livez HTTP/1.1\r\nX: ").await;
        // The connection may be refused before all of it is sent.
        let _ = stream.write_all(&vec![b'x'; 400_000]).await;
        assert!(kept(stream).await < Duration::from_secs(1));
    }

    #[tokio::test(start_paused = true)]
    async fn the_oldest_connection_makes_room_and_not_before_it_could_be_answered() {
        let server = Server::start(Limits { connections: 4, ..Limits::default() });
        let mut held = Vec::new();
        for _ in 0..3 {
            held.push(server.send("GET /livez HTT").await);
        }
        for _ in 0..100 {
            assert!(server.ask("GET /livez").await.contains("200 OK"), "the last place is free");
        }
        held.push(server.send("").await);
        let [first, second, third, fourth] = held.try_into().unwrap();
        let (first, second, third, fourth) =
            tokio::join!(kept(first), kept(second), kept(third), kept(fourth));
        assert!(first <= Duration::from_millis(10), "there is no room for it: {first:?}");
        for later in [second, third, fourth] {
            assert!(later > Duration::from_secs(4), "there is room for it: {later:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_is_not_closed_to_make_room_before_it_could_be_answered() {
        let server = Server::start(Limits { connections: 4, ..Limits::default() });
        let mut held = Vec::new();
        for _ in 0..40 {
            held.push(kept(server.send("").await));
        }
        let kept = futures::future::join_all(held).await;
        // Connections after the first four wait in the kernel for a place.
        let in_time = |(at, kept): (u64, &Duration)| *kept >= Duration::from_millis(at / 4 * 10 + 9);
        assert!((0..).zip(&kept).all(in_time), "{kept:?}");
        let stay = kept.iter().filter(|kept| **kept > Duration::from_secs(4));
        assert_eq!(stay.count(), 3, "{kept:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_keeps_no_more_connections_than_it_may() {
        let server = Server::start(Limits::default());
        let mut held = Vec::new();
        for _ in 0..40 {
            held.push(server.send("").await);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        let is_open = |stream: &TcpStream| {
            let outcome = stream.try_read(&mut [0]);
            matches!(outcome, Err(error) if error.kind() == ErrorKind::WouldBlock)
        };
        let open: Vec<_> = held.iter().map(is_open).collect();
        assert_eq!(open, [[false; 8]; 4].concat().into_iter().chain([true; 8]).collect::<Vec<_>>());
        assert!(server.ask("GET /livez").await.contains("200 OK"));
    }

    #[tokio::test(start_paused = true)]
    async fn the_end_waits_for_no_request() {
        let server = Server::start(Limits::default());
        let idle = server.send("").await;
        assert!(server.ask("GET /livez").await.contains("200 OK"), "the other one is accepted by now");
        let began = Instant::now();
        server.stop.send(()).unwrap();
        server.task.await.unwrap();
        assert!(began.elapsed() < Duration::from_millis(100));
        drop(idle);
    }

    #[test]
    fn the_oldest_of_an_address_with_too_many_goes_before_the_oldest_of_all() {
        let limits = Limits { connections: 5, per_address: 2, ..Limits::default() };
        let check = |addresses: &[u8], expected| {
            let addresses: Vec<_> =
                addresses.iter().map(|last| IpAddr::from(Ipv4Addr::new(10, 0, 0, *last))).collect();
            assert_eq!(surplus(&addresses, &limits), expected, "{addresses:?}");
        };
        check(&[], None);
        check(&[1, 2, 1, 2], None);
        check(&[1, 2, 2, 2], Some(1));
        check(&[1, 2, 3, 4, 5], Some(0));
        check(&[1, 2, 3, 2, 2], Some(1));
    }
}
