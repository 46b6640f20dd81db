//! The sidecar of acr-credential-helper. It mints short-lived credentials at Alibaba Cloud Container Registry (ACR), and keeps
//! one pull secret per namespace fresh.
//!
//! This crate is a program: its modules are private, so that the compiler finds unused code. [`run`] is its only function.
//! Fuzzers can also use the functions that read untrusted input.
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
mod progress;
mod reason;
mod telemetry;

use std::process::ExitCode;

use clap::FromArgMatches as _;
use commands::Args;

/// Runs the command on the command line.
#[must_use]
pub fn run() -> ExitCode {
    let command_line = commands::command_line(&commands::called_as());
    let matches = command_line.clone().get_matches();
    let Args { logging, command } = Args::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    telemetry::logging::start(&logging, command.log_level());
    keep_memory_private();
    // This fails only if a provider is installed already, and no code before this line installs one.
    let _ = rustls::crypto::ring::default_provider().install_default();
    commands::run(command, command_line).into()
}

/// Protects the memory of this process, which contains keys: there is no core dump, and other processes of the same user cannot
/// read it (prctl(2), `PR_SET_DUMPABLE`). The process can still read the files about itself below `/proc` that it uses.
fn keep_memory_private() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)
    {
        tracing::warn!("core dumps could not be switched off: {error}");
    }
}
