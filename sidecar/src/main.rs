//! The `acr-credential-sidecar` command.

use std::process::ExitCode;

use acr_credential_sidecar::args::Args;
use acr_credential_sidecar::{commands, logging};
use clap::Parser as _;

fn main() -> ExitCode {
    let Args { logging, command } = Args::parse();
    logging::start(&logging, command.log_level());
    // Fails only where a provider is installed already, and nothing before this line installs one.
    let _ = rustls::crypto::ring::default_provider().install_default();
    commands::run(command).into()
}
