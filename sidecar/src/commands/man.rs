//! `man`: prints the manual page, or writes a page for each command.

use std::path::PathBuf;

use clap::Args;
use clap_mangen::Man;

use super::setup::CommandError;
use super::{Exit, report};

/// Arguments of `man`.
#[derive(Debug, Args)]
#[command(after_help = MAN_HELP)]
pub struct ManArgs {
    /// Write the page of the program and a page for each command into this directory, which must exist.
    #[arg(long, value_name = "DIR")]
    pub to: Option<PathBuf>,
}

const MAN_HELP: &str = "\
Asks no cluster.

Examples:
  Read the page:
    acr-credential-sidecar man | man -l -

  Install all pages for this user:
    acr-credential-sidecar man --to ~/.local/share/man/man1

Exit codes: 0 written, 2 wrong usage, or the directory cannot be written.";

pub(super) fn run(ManArgs { to }: ManArgs, command_line: clap::Command) -> Result<Exit, CommandError> {
    if let Some(path) = to {
        let written = clap_mangen::generate_to(command_line, &path);
        written.map_err(|source| CommandError::WriteFile { path, source })?;
    } else {
        let mut page = Vec::new();
        Man::new(command_line).render(&mut page)?;
        report::bytes_to_stdout(&page)?;
    }
    Ok(Exit::Success)
}
