//! Logs: text or JSON, on standard error.

use std::io::IsTerminal as _;

use clap::{Args, ValueEnum};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::progress;

/// How much is logged, and how.
#[derive(Debug, Clone, Args)]
pub struct LoggingArgs {
    /// How much is logged to standard error: off, error, warn, info, debug (with each call to the cloud) or trace (with each
    /// step of it) [default: info for run, warn for run --once and --dry-run, off for commands that print everything
    /// themselves].
    #[arg(
        long,
        global = true,
        value_enum,
        value_name = "LEVEL",
        hide_possible_values = true,
        env = "ACR_LOG_LEVEL",
        hide_env_values = true,
        help_heading = "Logging"
    )]
    pub log_level: Option<Level>,
    /// How the log is written: text, or json with one object on each line.
    #[arg(
        long,
        global = true,
        value_enum,
        value_name = "FORMAT",
        hide_possible_values = true,
        default_value_t = Format::Text,
        env = "ACR_LOG_FORMAT",
        hide_env_values = true,
        help_heading = "Logging"
    )]
    pub log_format: Format,
}

/// How much is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Level {
    /// Nothing.
    Off,
    /// Failures.
    Error,
    /// Also problems that will become failures unless you act.
    Warn,
    /// Also changes.
    Info,
    /// Also each call to the cloud.
    Debug,
    /// Also each step of these calls.
    Trace,
}

/// How the log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    Text,
    /// For machines: one JSON object on each line.
    Json,
}

/// Starts logging. The log of all other crates is limited to warnings: no other crate may log what it sends or reads,
/// whatever the level is.
pub fn start(args: &LoggingArgs, default: Level) {
    let LoggingArgs { log_level, log_format } = args;
    let level = match log_level.unwrap_or(default) {
        Level::Off => LevelFilter::OFF,
        Level::Error => LevelFilter::ERROR,
        Level::Warn => LevelFilter::WARN,
        Level::Info => LevelFilter::INFO,
        Level::Debug => LevelFilter::DEBUG,
        Level::Trace => LevelFilter::TRACE,
    };
    let filter = Targets::new()
        .with_default(level.min(LevelFilter::WARN))
        // Its warning about an answer that is not JSON contains the whole answer, which could contain a Secret.
        .with_target("kube_client", level.min(LevelFilter::ERROR))
        .with_target(env!("CARGO_CRATE_NAME"), level);
    let lines = tracing_subscriber::fmt::layer().with_writer(progress::stderr);
    let layer = match log_format {
        Format::Json => lines.json().flatten_event(true).boxed(),
        Format::Text => {
            let colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
            lines.with_ansi(colours).boxed()
        }
    };
    tracing_subscriber::registry().with(layer.with_filter(filter)).init();
}

#[cfg(test)]
pub(crate) mod testing;
