//! The sidecar of acr-credential-helper: mints short-lived credentials at Alibaba Cloud Container Registry (ACR), and keeps one
//! pull secret per namespace fresh.
//!
//! It is a program: its modules are private, so that the compiler finds what nobody uses. [`run`] is all of it; fuzzers also see
//! what reads the texts of strangers.
#![expect(unreachable_pub, reason = "in private modules, `pub` is what the module offers to the others")]

mod broker;
mod clock;
mod cloud;
mod cluster;
mod commands;
mod configuration;
mod credential;
mod docker_config;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod hex;
mod kubernetes;
mod reason;
mod telemetry;

use std::process::ExitCode;

use clap::Parser as _;
use commands::Args;

/// Does what the command line says.
#[must_use]
pub fn run() -> ExitCode {
    let Args { logging, command } = Args::parse();
    telemetry::logging::start(&logging, command.log_level());
    keep_memory_private();
    // Fails only where a provider is installed already, and nothing before this line installs one.
    let _ = rustls::crypto::ring::default_provider().install_default();
    commands::run(command).into()
}

/// Keys are in the memory of this process: it leaves no core dump, and other processes of its user cannot read it (prctl(2),
/// `PR_SET_DUMPABLE`). What it reads of itself below `/proc` it may read all the same.
fn keep_memory_private() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)
    {
        tracing::warn!("core dumps could not be switched off: {error}");
    }
}
