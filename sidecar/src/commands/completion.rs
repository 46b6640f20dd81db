//! `completion`: prints a script that completes the command line.

use clap::Args;
use clap_complete::Shell;

use super::setup::CommandError;
use super::{Exit, report};

/// Arguments of `completion`.
#[derive(Debug, Args)]
#[command(after_help = COMPLETION_HELP)]
pub struct CompletionArgs {
    /// The shell.
    #[arg(value_enum)]
    pub shell: Shell,
}

const COMPLETION_HELP: &str = "\
It completes the name of the file that was called, such as acr-credential-sidecar or kubectl-acr. kubectl completes the \
arguments of the plugin only through an executable kubectl_complete-acr, which this program does not install. Asks no cluster.

Examples:
  In bash, until you close it; add the line to ~/.bashrc to keep it:
    source <(acr-credential-sidecar completion bash)

  In zsh; add the line to ~/.zshrc, after compinit, to keep it:
    source <(acr-credential-sidecar completion zsh)

  In fish:
    acr-credential-sidecar completion fish | source

Exit codes: 0 printed, 2 wrong usage.";

pub(super) fn run(args: &CompletionArgs, command_line: clap::Command) -> Result<Exit, CommandError> {
    report::bytes_to_stdout(&script(args.shell, command_line))?;
    Ok(Exit::Success)
}

pub(super) fn script(shell: Shell, mut command_line: clap::Command) -> Vec<u8> {
    let name = command_line.get_display_name().unwrap_or(super::NAME).to_owned();
    let mut script = Vec::new();
    // This panics if a write fails, so it does not write to standard output.
    clap_complete::generate(shell, &mut command_line, name, &mut script);
    script
}
