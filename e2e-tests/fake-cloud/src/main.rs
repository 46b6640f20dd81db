//! The fake cloud as a process.

use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use acr_fake_cloud::{FakeCloud, State};
use clap::Parser;
use serde_json::json;
use tokio::io::AsyncReadExt as _;
use tokio::signal::unix::{SignalKind, signal};

/// A fake Alibaba Cloud on loopback: ACR of both editions, STS, ECS metadata, and a registry's challenge and login.
///
/// Prints one line of JSON once it listens, and runs until SIGTERM, SIGINT or, where its standard input is a pipe, the end of that.
#[derive(Parser)]
#[command(after_help = "\
Examples:
  fake-cloud --state e2e-tests/fake-cloud/examples/minimal.yaml
  fake-cloud --state state.yaml --region cn-beijing --listen 127.0.0.1:8080

  {\"url\":\"http://127.0.0.1:8080\",\"regions\":{\"cn-beijing\":\"http://127.0.0.1:40001\",…},\"admin\":\"http://127.0.0.1:8080/_admin/\"}

The line of JSON tells where to point a client:
  acr-credential-sidecar … --acr-endpoint cn-beijing=URL --sts-endpoint URL --metadata-endpoint URL

`curl URL/_admin/` lists what can be changed while it runs.")]
struct Arguments {
    /// What is in the cloud: a YAML file.
    #[arg(long, value_name = "FILE")]
    state: PathBuf,
    /// Where the main listener listens. Port 0 is a free port.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// One more region, with a listener of its own on a free port. Can be given more than once.
    #[arg(long = "region", value_name = "REGION")]
    regions: Vec<String>,
}

#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("--listen: {0} is not a loopback address: this cloud's keys are known to everybody")]
    NotLoopback(SocketAddr),
    #[error("{0}: cannot be read: {1}")]
    Unreadable(String, io::Error),
    #[error("{0}: {1}")]
    WrongState(String, acr_fake_cloud::Mistake),
    #[error("cannot listen on {0}: {1}")]
    Listen(SocketAddr, io::Error),
    #[error("cannot wait for signals: {0}")]
    Signals(io::Error),
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("fake-cloud: {failure}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> Result<(), Failure> {
    let Arguments { state: file, listen, regions } = arguments;
    if !listen.ip().is_loopback() {
        return Err(Failure::NotLoopback(listen));
    }
    let state = read(&file, regions)?;
    let cloud = FakeCloud::start_on(state, listen).await.map_err(|error| Failure::Listen(listen, error))?;
    let url = cloud.url();
    println!("{}", json!({"url": url, "regions": cloud.urls(), "admin": format!("{url}/_admin/")}));
    let mut terminated = signal(SignalKind::terminate()).map_err(Failure::Signals)?;
    let mut interrupted = signal(SignalKind::interrupt()).map_err(Failure::Signals)?;
    tokio::select! {
        _ = terminated.recv() => {}
        _ = interrupted.recv() => {}
        () = end_of_input() => {}
    }
    // The thread that reads the standard input cannot be stopped, and would keep the runtime from ending.
    std::process::exit(0)
}

fn read(file: &Path, regions: Vec<String>) -> Result<State, Failure> {
    let name = file.display().to_string();
    let text = std::fs::read_to_string(file).map_err(|error| Failure::Unreadable(name.clone(), error))?;
    let wrong = |mistake| Failure::WrongState(name.clone(), mistake);
    let state = State::from_yaml(&text).map_err(wrong)?;
    let all: Vec<String> = state.more_regions.iter().cloned().chain(regions).collect();
    state.patched(&json!({"moreRegions": all})).map_err(wrong)
}

/// Returns when whoever started this process is gone, if it gave it a pipe. Any other input says nothing about that:
/// that of a background process, `/dev/null`, ends at once.
async fn end_of_input() {
    let is_pipe = |input: std::fs::Metadata| input.file_type().is_fifo() || input.file_type().is_socket();
    if !std::fs::metadata("/dev/stdin").is_ok_and(is_pipe) {
        return std::future::pending().await;
    }
    let mut input = tokio::io::stdin();
    let mut buffer = [0; 256];
    while input.read(&mut buffer).await.is_ok_and(|read| read > 0) {}
}
