//! Strangers at the pages of the sidecar, as any Pod can be.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use acr_e2e_tests::paths;
use anyhow::{Context as _, Result, anyhow, ensure};
use futures::future::join_all;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpSocket;
use tokio::time::{sleep, timeout};

use crate::sidecar::stage::{INSTANCE, Stage};

/// What the kubelet waits for an answer, where the manifests say nothing else. They do not.
const TIME_OUT: Duration = Duration::from_secs(1);

/// How many there are, each with a connection: most send a header that does not end, others ask for metrics, others send nothing.
const STRANGERS: usize = 800;
const WITH_HEADER: usize = 600;
const WITH_REQUEST: usize = 100;

/// What is sent of such a header, unless the connection is closed before.
const HEADER: usize = 400 << 10;

/// How long they do that, and come back when they are sent away.
const ATTACK: Duration = Duration::from_secs(12);

/// When a connection is closed at the latest, with what a busy machine takes for it.
const CLOSED: Duration = Duration::from_secs(15);

/// What all of it may cost.
const GROWTH: u64 = 32 << 20;

/// The address of a stranger. Half of them have that of the probes.
fn address(stranger: usize) -> Ipv4Addr {
    match u8::try_from(stranger / 8) {
        Ok(number) if stranger.is_multiple_of(2) => Ipv4Addr::new(127, 1, 0, number + 1),
        _ => Ipv4Addr::LOCALHOST,
    }
}

/// Connects and holds on to that, until it is over. Who is sent away comes back. Returns how often that was.
async fn bother(page: SocketAddr, stranger: usize, header: &[u8], is_over: &AtomicBool) -> usize {
    let mut sent_away = 0;
    while !is_over.load(Ordering::Relaxed) {
        // Errors are what a stranger deserves.
        let _ = async {
            let socket = TcpSocket::new_v4()?;
            socket.bind((address(stranger), 0).into())?;
            let mut stream = socket.connect(page).await?;
            if stranger < WITH_HEADER {
                stream.write_all(b"GET /livez HTTP/1.1\r\nX: ").await?;
                stream.write_all(header).await?;
            } else if stranger < WITH_HEADER + WITH_REQUEST {
                stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: sidecar\r\n\r\n").await?;
            }
            stream.read_to_end(&mut Vec::new()).await
        }
        .await;
        sent_away += 1;
        sleep(Duration::from_millis(100)).await;
    }
    sent_away
}

/// Asks as the kubelet does, until it is over. Returns the slowest answer.
fn probe(page: SocketAddr, is_over: &AtomicBool) -> Result<Duration> {
    let mut slowest = Duration::ZERO;
    while !is_over.load(Ordering::Relaxed) {
        for path in ["/livez", "/readyz"] {
            let began = Instant::now();
            let answer = ask(page, path).with_context(|| format!("{path}, after {:?}", began.elapsed()))?;
            ensure!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{path} says: {answer}");
            slowest = slowest.max(began.elapsed());
        }
        thread::sleep(Duration::from_millis(100));
    }
    Ok(slowest)
}

fn ask(page: SocketAddr, path: &str) -> Result<String> {
    let mut stream = TcpStream::connect_timeout(&page, TIME_OUT)?;
    stream.set_read_timeout(Some(TIME_OUT))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: sidecar\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// A line of `/proc/PID/status`, in bytes.
fn memory(process: u32, name: &str) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    let kib = line.and_then(|line| line.split_whitespace().next()).context("the kernel does not tell")?;
    Ok(kib.parse::<u64>()? << 10)
}

#[tokio::test]
async fn strangers_at_the_pages_hold_up_no_probe_and_fill_no_memory() -> Result<()> {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, most, most)?;
    let mut stage = Stage::new("strangers-").await?;
    stage.sidecar = stage.sidecar.with_binary(paths::sidecar_static_binary()?);
    let namespace = stage.namespace("a").await?;
    stage.configure(INSTANCE, &[]).await?;
    let sidecar = stage.started(&[]).await?;
    stage.until_filled(&namespace).await?;
    let page: SocketAddr = sidecar.url().trim_start_matches("http://").parse()?;
    let before = memory(sidecar.id()?, "VmRSS")?;

    let is_over = Arc::new(AtomicBool::new(false));
    let header = vec![b'x'; HEADER];
    let strangers = join_all((0..STRANGERS).map(|stranger| bother(page, stranger, &header, &is_over)));
    let others = async {
        let probes = thread::spawn({
            let is_over = Arc::clone(&is_over);
            move || probe(page, &is_over)
        });
        let began = Instant::now();
        // Its work goes on.
        let filled = async { stage.until_filled(&stage.namespace("b").await?).await }.await;
        sleep(ATTACK.saturating_sub(began.elapsed())).await;
        is_over.store(true, Ordering::Relaxed);
        let slowest = tokio::task::spawn_blocking(move || probes.join()).await?;
        filled?;
        slowest.map_err(|_| anyhow!("the probes have panicked"))?.context("a probe has failed")
    };
    let (strangers, slowest) = tokio::join!(timeout(ATTACK + CLOSED, strangers), others);
    let grown = memory(sidecar.id()?, "VmHWM")?.saturating_sub(before);
    assert!(grown < GROWTH, "it has grown by {} KiB", grown >> 10);
    let slowest = slowest?;
    assert!(slowest < TIME_OUT, "a probe took {slowest:?}");
    let sent_away: usize = strangers.context("there are connections that are never closed")?.iter().sum();
    assert!(sent_away > STRANGERS, "{sent_away} of {STRANGERS} were sent away");
    Ok(())
}
