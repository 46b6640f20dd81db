//! The command line and its commands.

mod arguments;
mod check;
mod cleanup;
mod cluster;
mod completion;
mod explain;
mod man;
mod manifests;
mod mint;
mod report;
mod run;
mod setup;
mod status;

use std::io;
use std::path::Path;
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};

use self::check::CheckArgs;
use self::cleanup::CleanupArgs;
use self::completion::CompletionArgs;
use self::explain::ExplainArgs;
use self::man::ManArgs;
use self::manifests::ManifestsArgs;
use self::mint::MintArgs;
use self::run::RunArgs;
use self::setup::CommandError;
use self::status::StatusArgs;
use crate::progress;
use crate::telemetry::logging::{Level, LoggingArgs};

/// The name of the program, as the examples of the commands use it.
const NAME: &str = "acr-credential-sidecar";

/// Mints short-lived credentials of Alibaba Cloud Container Registry (ACR), so that Kubernetes can pull private images.
#[derive(Debug, Parser)]
#[command(
    name = NAME,
    version,
    subcommand_required = true,
    arg_required_else_help = true
)]
pub struct Args {
    /// How much is logged, and how.
    #[command(flatten)]
    pub logging: LoggingArgs,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Keep the pull secret of every managed namespace fresh.
    Run(RunArgs),
    /// Mint credentials once, and write them as a docker config.
    Mint(MintArgs),
    /// Check a configuration, and with --online all that it needs.
    Check(CheckArgs),
    /// Show the state of the pull secrets of the cluster.
    Status(StatusArgs),
    /// Explain why a Pod or a workload can or cannot pull its images.
    Explain(ExplainArgs),
    /// Remove all pull secrets, and the entries of service accounts that refer to them.
    Cleanup(CleanupArgs),
    /// Print the policies for a configuration.
    Manifests(ManifestsArgs),
    /// Print a script that completes this command line in a shell.
    Completion(CompletionArgs),
    /// Print the manual page, or write a page for each command.
    Man(ManArgs),
}

impl Command {
    /// Returns the default log level of the command.
    pub fn log_level(&self) -> Level {
        match self {
            Self::Run(RunArgs { once: false, dry_run: false, .. }) => Level::Info,
            Self::Run(_) => Level::Warn,
            Self::Mint(_)
            | Self::Check(_)
            | Self::Status(_)
            | Self::Explain(_)
            | Self::Cleanup(_)
            | Self::Manifests(_)
            | Self::Completion(_)
            | Self::Man(_) => Level::Off,
        }
    }
}

/// The outcome of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// No problems: 0.
    Success,
    /// The command found problems: 1.
    Findings,
    /// The command could not run with these arguments: 2, as for flags that do not exist.
    Usage,
    /// The reader of standard output, such as `head`, has read enough: 141, as for programs that the closed pipe ends.
    Unread,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Success => 0,
            Exit::Findings => 1,
            Exit::Usage => 2,
            Exit::Unread => 128 + 13,
        })
    }
}

/// Reads a manifest like `explain -f`.
#[cfg(any(test, fuzzing))]
pub fn fuzz_manifest(text: &[u8]) {
    explain::fuzz(text);
}

/// Returns the name of the file that this program was called by.
pub fn called_as() -> String {
    let path = std::env::args_os().next().unwrap_or_default();
    let name = Path::new(&path).file_name().map(|name| name.to_string_lossy());
    name.map_or_else(|| NAME.to_owned(), |name| name.strip_suffix(".exe").unwrap_or(&name).to_owned())
}

/// Returns the command line as users type it who call the program by this name: the plugin `kubectl-acr` is typed
/// `kubectl acr`.
pub fn command_line(called_as: &str) -> clap::Command {
    let typed = called_as.strip_prefix("kubectl-").map(|plugin| format!("kubectl {plugin}"));
    let typed = typed.unwrap_or_else(|| called_as.to_owned());
    Args::command().display_name(called_as).bin_name(&typed).mut_subcommands(|command| {
        let Some(help) = command.get_after_help() else { return command };
        let name = command.get_name();
        let help = help.to_string().replace(&format!("{NAME} {name}"), &format!("{typed} {name}"));
        command.after_help(help)
    })
}

/// Runs a command of this command line and returns its outcome.
pub fn run(command: Command, command_line: clap::Command) -> Exit {
    let outcome = match command {
        Command::Run(args) => run::run(args),
        Command::Mint(args) => mint::run(args),
        Command::Check(args) => check::run(args),
        Command::Status(args) => status::run(args),
        Command::Explain(args) => explain::run(args),
        Command::Cleanup(args) => cleanup::run(args),
        Command::Manifests(args) => manifests::run(args),
        Command::Completion(args) => completion::run(&args, command_line),
        Command::Man(args) => man::run(args, command_line),
    };
    progress::clear();
    outcome.unwrap_or_else(|error| match error {
        CommandError::WriteOutput(error) if error.kind() == io::ErrorKind::BrokenPipe => Exit::Unread,
        error => {
            report::error(&error);
            Exit::Usage
        }
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fmt::Write as _;
    use std::fs;

    use clap::ValueEnum as _;
    use serde_json::Value;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }

    /// Returns the name of each command with its help, as a wide terminal shows it.
    fn helps(called_as: &str) -> Vec<(String, String)> {
        let mut line = command_line(called_as).term_width(100);
        line.build();
        let commands = line.get_subcommands_mut().filter(|command| command.get_name() != "help");
        commands
            .map(|command| (command.get_name().to_owned(), command.render_long_help().to_string()))
            .collect()
    }

    #[test]
    fn usage_and_examples_follow_the_name_that_the_program_was_called_by() {
        for (called_as, typed, other) in
            [("kubectl-acr", "kubectl acr", NAME), ("acr", "acr", NAME), (NAME, NAME, "kubectl acr")]
        {
            for (name, help) in helps(called_as) {
                assert!(help.contains(&format!("Usage: {typed} {name}")), "{help}");
                assert!(!help.contains(&format!("{other} {name}")), "{help}");
                if let Some((_, examples)) = help.split_once("Examples:") {
                    assert!(examples.contains(&format!("{typed} {name} ")), "{help}");
                }
            }
        }
    }

    #[test]
    fn an_example_fits_on_a_line() {
        for command in command_line(NAME).get_subcommands() {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            let is_long = |line: &&str| line.starts_with("    ") && line.chars().count() > 100;
            assert_eq!(help.lines().find(is_long), None);
        }
    }

    #[test]
    fn the_page_about_the_command_line_is_the_help_of_all_commands() {
        let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/cli.md");
        let top = command_line(NAME).term_width(100).render_long_help().to_string();
        let mut text = format!(
            "# Command line\n\n\
             This page is the help of `{NAME}`; `make cli` writes it. If the binary is called `kubectl-acr` and is on the `PATH`, it is\n\
             a plugin of kubectl: `kubectl acr explain pod web`.\n"
        );
        for (name, help) in [("All commands".to_owned(), top)].into_iter().chain(helps(NAME)) {
            write!(text, "\n## {name}\n\n```text\n{}\n```\n", help.trim_end()).unwrap();
        }
        let text = text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n") + "\n";
        if std::env::var_os("UPDATE_DOCS").is_some() {
            fs::write(page, &text).unwrap();
        }
        let written = fs::read_to_string(page).unwrap_or_default();
        assert!(written == text, "docs/cli.md differs from the help of the commands: run `make cli`");
    }

    type Rights = BTreeSet<(String, String, bool)>;

    /// Returns the verbs and resources that a help text names, and whether they are in the sidecar's namespace only.
    fn rights_in(help: &str) -> Rights {
        let rights = help.split_once("Needs the rights").unwrap().1;
        let rights = rights.split_once("\n\n").unwrap().0.split_once('.').unwrap().0;
        let (everywhere, here) = rights.split_once("in the sidecar's namespace").unwrap();
        let mut found = Rights::new();
        for (text, is_here) in [(everywhere, false), (here, true)] {
            let mut verbs = Vec::new();
            for word in text.split([' ', ',', ';']).filter(|word| !word.is_empty()) {
                match word {
                    "get" | "list" | "watch" | "create" | "patch" | "delete" => verbs.push(word),
                    "and" | "to" => {}
                    resource => found
                        .extend(verbs.drain(..).map(|verb| (verb.to_owned(), resource.to_owned(), is_here))),
                }
            }
        }
        found
    }

    /// Returns the verbs and resources of the roles with this name in the rendered chart, and whether they are for one namespace.
    fn rights_of(role: &str) -> Rights {
        let rendered = include_str!("../../e2e-tests/helm/testdata/everything.yaml");
        let documents: Vec<Value> = serde_saphyr::from_multiple(rendered).unwrap();
        let texts = |list: &Value| -> Vec<String> { serde_json::from_value(list.clone()).unwrap() };
        let mut found = Rights::new();
        for document in documents.iter().filter(|document| document["metadata"]["name"] == role) {
            for rule in document["rules"].as_array().into_iter().flatten() {
                for resource in texts(&rule["resources"]) {
                    let verbs = texts(&rule["verbs"]).into_iter();
                    found.extend(verbs.map(|verb| (verb, resource.clone(), document["kind"] == "Role")));
                }
            }
        }
        found
    }

    #[test]
    fn the_help_names_the_rights_that_the_chart_grants_for_the_command() {
        for (help, role) in [
            (run::RUN_HELP, "acr-credential-sidecar"),
            (cleanup::CLEANUP_HELP, "acr-credential-sidecar-cleanup"),
        ] {
            assert_eq!(rights_in(help), rights_of(role), "{role}");
        }
    }

    #[test]
    fn the_manual_has_a_page_for_each_command_under_the_name_of_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let args = ManArgs { to: Some(dir.path().to_owned()) };
        assert_eq!(man::run(args, command_line("kubectl-acr")).unwrap(), Exit::Success);
        for (name, _) in helps(NAME) {
            let page = fs::read_to_string(dir.path().join(format!("kubectl-acr-{name}.1"))).unwrap();
            assert!(page.contains(&format!("kubectl acr {name}")), "{page}");
        }
    }

    #[test]
    fn the_completion_is_for_the_file_and_knows_the_flags_in_each_shell() {
        for shell in clap_complete::Shell::value_variants() {
            let script = completion::script(*shell, command_line("kubectl-acr"));
            let script = String::from_utf8(script).unwrap();
            assert!(script.contains("kubectl-acr") && script.contains("read-secret"), "{shell}");
        }
    }
}
