//! What people and scripts read.

use std::fmt;
use std::io::{self, Write};

use anstyle::{AnsiColor, Style};
use jiff::Timestamp;
use serde::Serialize;

use crate::configuration::Finding;

/// How good a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Mark {
    /// As it should be.
    Ok,
    /// Works, but somebody should look.
    Warning,
    /// Does not work.
    Error,
    /// Was not looked at, since something before it does not work.
    Skipped,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Line {
    pub(super) mark: Mark,
    /// Where, such as `acr-registry-info[0]`.
    pub(super) place: String,
    /// What is there, and where it is wrong, how to mend it.
    pub(super) message: String,
}

impl Line {
    pub(super) fn new(mark: Mark, place: impl fmt::Display, message: impl fmt::Display) -> Self {
        Self { mark, place: place.to_string(), message: message.to_string() }
    }

    pub(super) fn finding(mark: Mark, finding: &Finding) -> Self {
        let Finding { place, problem, fix } = finding;
        Self::new(mark, place, format_args!("{problem}: {fix}"))
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let style = self.mark.style();
        let sign = self.mark.sign();
        write!(f, "{style}{sign}{style:#} {}: {}", self.place, self.message)
    }
}

impl Mark {
    fn sign(self) -> char {
        match self {
            Self::Ok => '✓',
            Self::Warning => '!',
            Self::Error => '✗',
            Self::Skipped => '-',
        }
    }

    /// Colours of the sign; `anstream` takes them out where nobody would see them.
    fn style(self) -> Style {
        match self {
            Self::Ok => AnsiColor::Green.on_default(),
            Self::Warning => AnsiColor::Yellow.on_default(),
            Self::Error => AnsiColor::Red.on_default(),
            Self::Skipped => Style::new().dimmed(),
        }
    }
}

/// Says on standard error why a command could not do its work, with the causes.
pub(super) fn error(error: &dyn std::error::Error) {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    to_stderr(format_args!("error: {text}"));
}

/// Writes a line to standard error.
pub(super) fn to_stderr(line: impl fmt::Display) {
    // Nobody is left to tell when standard error is closed.
    let _ = writeln!(anstream::stderr(), "{line}");
}

/// Writes a line to standard output, with colours where a terminal shows them.
///
/// # Errors
/// When standard output cannot be written, because a pipe was closed for example.
pub(super) fn to_stdout(line: impl fmt::Display) -> io::Result<()> {
    writeln!(anstream::stdout(), "{line}")
}

/// Where a YAML file is wrong, as `: line 3, column 5`. What the parser says beside that may quote the file, Secrets and all.
pub(super) fn place_in(error: &serde_saphyr::Error) -> String {
    let place = error.location().filter(|location| location.line() > 0);
    place.map_or_else(String::new, |at| format!(": line {}, column {}", at.line(), at.column()))
}

/// `1 error`, `2 errors`.
pub(super) fn counted(count: usize, noun: &str) -> String {
    counted_as(count, noun, &format!("{noun}s"))
}

/// For nouns whose plural takes more than an s.
pub(super) fn counted_as(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

/// The time until then, as people say it: `59 min`, `2 h 5 min`, `40 s`.
pub(super) fn time_left(now: Timestamp, then: Timestamp) -> String {
    let seconds = then.duration_since(now).as_secs().max(0);
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    match (hours, minutes) {
        (0, 0) => format!("{seconds} s"),
        (0, minutes) => format!("{minutes} min"),
        (hours, 0) => format!("{hours} h"),
        (hours, minutes) => format!("{hours} h {minutes} min"),
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;

    #[test]
    fn a_line_says_where_and_what() {
        let line = Line::new(Mark::Error, "acr-registry-info[1].regionId", "is missing: name it");
        let plain = anstream::adapter::strip_str(&line.to_string()).to_string();
        assert_eq!(plain, "✗ acr-registry-info[1].regionId: is missing: name it");
    }

    #[test]
    fn time_is_told_in_the_units_that_matter() {
        let check = |seconds, expected| {
            let now = Timestamp::UNIX_EPOCH;
            assert_eq!(time_left(now, now + SignedDuration::from_secs(seconds)), expected);
        };
        check(3599, "59 min");
        check(7500, "2 h 5 min");
        check(3600, "1 h");
        check(40, "40 s");
        check(-40, "0 s");
    }
}
