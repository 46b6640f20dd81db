//! The `acr-credential-sidecar` command.

use std::process::ExitCode;

use acr_credential_sidecar::args::Args;
use acr_credential_sidecar::{commands, logging};
use clap::Parser as _;

fn main() -> ExitCode {
    let Args { logging, command } = Args::parse();
    logging::start(&logging, command.log_level());
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
