//! What the commands do.

mod check;
mod cleanup;
mod cluster;
mod explain;
mod manifests;
mod mint;
mod report;
mod run;
mod setup;
mod status;

use std::process::ExitCode;

use crate::args::Command;

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// All is well: 0.
    Success,
    /// Something is wrong with what was looked at: 1.
    Findings,
    /// The command could not do its work as it was called: 2, as for flags that do not exist.
    Usage,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Success => 0,
            Exit::Findings => 1,
            Exit::Usage => 2,
        })
    }
}

/// Reads a manifest as `explain -f` does.
#[cfg(any(test, fuzzing))]
pub fn fuzz_manifest(text: &[u8]) {
    explain::fuzz(text);
}

/// Runs a command to its end.
#[must_use]
pub fn run(command: Command) -> Exit {
    let outcome = match command {
        Command::Run(args) => run::run(args),
        Command::Mint(args) => mint::run(args),
        Command::Check(args) => check::run(args),
        Command::Status(args) => status::run(args),
        Command::Explain(args) => explain::run(args),
        Command::Cleanup(args) => cleanup::run(args),
        Command::Manifests(args) => manifests::run(args),
    };
    outcome.unwrap_or_else(|error| {
        report::error(&error);
        Exit::Usage
    })
}
