//! The output for people and scripts.
//!
//! Much of its text comes from others: images, names, messages. Therefore all commands write through this module, which
//! escapes characters that a terminal does not show as they are. No text can hide, colour or reorder the text beside
//! it, or look like one of our own lines.

pub(super) mod remark;

use std::borrow::Cow;
use std::fmt;
use std::io::{self, Write};

use acr_credential_core::text::is_invisible;
use anstyle::{AnsiColor, Style};
use comfy_table::{Table, presets};
use jiff::Timestamp;
use serde::Serialize;
use serde_saphyr::ser_options;

use self::remark::Remark;
use super::Exit;
use super::arguments::Output;
use crate::configuration::Finding;
use crate::progress;

/// The severity of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Mark {
    /// Correct.
    Ok,
    /// Works, but needs attention.
    Warning,
    /// Does not work.
    Error,
    /// Not checked, because something before it does not work.
    Skipped,
}

/// The finding about one thing that was checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Line {
    pub(super) mark: Mark,
    /// The place, such as `acr-registry-info[0]`.
    pub(super) place: String,
    /// The finding, and how to fix it if it is wrong.
    pub(super) message: String,
}

impl Line {
    pub(super) fn new(mark: Mark, place: impl fmt::Display, message: impl fmt::Display) -> Self {
        Self { mark, place: place.to_string(), message: message.to_string() }
    }

    pub(super) fn at(place: impl fmt::Display, (mark, message): Remark) -> Self {
        Self::new(mark, place, message)
    }

    pub(super) fn finding(mark: Mark, finding: &Finding) -> Self {
        let Finding { place, problem, fix } = finding;
        Self::new(mark, place, format_args!("{problem}: {fix}"))
    }

    fn coloured(&self) -> String {
        let ((sign, style), plain) = (self.mark.sign(), self.to_string());
        format!("{style}{sign}{style:#}{}", plain.strip_prefix(sign).unwrap_or_default())
    }
}

/// Formats the line without line breaks and colours.
impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.mark.sign().0, one_line(&self.place), one_line(&self.message))
    }
}

impl Mark {
    /// Returns the sign and its colours. `anstream` removes the colours if they would not be visible.
    fn sign(self) -> (char, Style) {
        match self {
            Self::Ok => ('✓', AnsiColor::Green.on_default()),
            Self::Warning => ('!', AnsiColor::Yellow.on_default()),
            Self::Error => ('✗', AnsiColor::Red.on_default()),
            Self::Skipped => ('-', Style::new().dimmed()),
        }
    }
}

/// Prints to standard error why a command could not do its work, with the causes.
pub(super) fn error(error: &dyn std::error::Error) {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    to_stderr(format_args!("error: {text}"));
}

/// Writes text to standard error.
pub(super) fn to_stderr(text: impl fmt::Display) {
    // If standard error is closed, the failure cannot be reported anywhere.
    let _ = writeln!(stderr(), "{}", visible(&text.to_string()));
}

/// Writes a line to standard error, with colours where a terminal shows them.
pub(super) fn line_to_stderr(line: &Line) {
    let _ = writeln!(stderr(), "{}", line.coloured());
}

fn stderr() -> impl Write {
    anstream::AutoStream::auto(progress::stderr())
}

fn stdout() -> impl Write {
    progress::clear();
    anstream::stdout()
}

/// Writes text to standard output.
pub(super) fn to_stdout(text: impl fmt::Display) -> io::Result<()> {
    writeln!(stdout(), "{}", visible(&text.to_string()))
}

/// Clears the terminal that standard output is, even where `NO_COLOR` makes `anstream` remove all escapes.
pub(super) fn clear() -> io::Result<()> {
    bytes_to_stdout(b"\x1b[2J\x1b[H")
}

/// Writes a line to standard output, with colours where a terminal shows them.
pub(super) fn line_to_stdout(indent: &str, line: &Line) -> io::Result<()> {
    writeln!(stdout(), "{indent}{}", line.coloured())
}

/// Writes bytes to standard output as they are: texts that only this program wrote, or that a program reads.
pub(super) fn bytes_to_stdout(bytes: &[u8]) -> io::Result<()> {
    progress::clear();
    let mut stdout = io::stdout().lock();
    stdout.write_all(bytes)?;
    stdout.flush()
}

/// Formats a document as JSON, with a line break at its end.
pub(super) fn json(document: &impl Serialize) -> io::Result<String> {
    escaped_json(document, |c, text| {
        let mut units = [0; 2];
        for unit in c.encode_utf16(&mut units) {
            let _ = fmt::Write::write_fmt(text, format_args!("\\u{unit:04x}"));
        }
    })
}

/// Formats a document as YAML, with a line break at its end.
pub(super) fn yaml(document: &impl Serialize) -> io::Result<String> {
    let yaml = serde_saphyr::to_string_with_options(document, ser_options! { prefer_block_scalars: false });
    let yaml = yaml.map_err(io::Error::other)?;
    if yaml.contains(|c| is_invisible(c) && c != '\n') {
        // JSON is YAML, too, and each of its strings can contain an escape.
        return escaped_json(document, |c, text| {
            let _ = fmt::Write::write_fmt(text, format_args!("\\U{:08x}", u32::from(c)));
        });
    }
    Ok(yaml)
}

fn escaped_json(document: &impl Serialize, escape: fn(char, &mut String)) -> io::Result<String> {
    let json = serde_json::to_string_pretty(document)? + "\n";
    // Characters that JSON must escape are escaped already, so the characters that are left are inside strings.
    Ok(escaped(&json, |c| c != '\n', escape).into_owned())
}

/// Writes a document as `output` asks for it: for scripts, or as text with `text`. Returns the outcome of the command.
pub(super) fn finish<D: Serialize>(
    output: Output,
    ok: bool,
    document: &D,
    text: impl FnOnce(&D) -> io::Result<()>,
) -> io::Result<Exit> {
    match output {
        Output::Text => text(document)?,
        Output::Json => bytes_to_stdout(json(document)?.as_bytes())?,
        Output::Yaml => bytes_to_stdout(yaml(document)?.as_bytes())?,
    }
    Ok(if ok { Exit::Success } else { Exit::Findings })
}

/// Creates a table without borders.
pub(super) fn table<const N: usize>(header: [&str; N]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(header);
    table
}

/// Escapes invisible characters, except for the ends of lines.
fn visible(text: &str) -> Cow<'_, str> {
    escaped(text, |c| c != '\n', |c, text| text.extend(c.escape_default()))
}

/// Escapes invisible characters and the ends of lines, so that the text stays on one line.
pub(super) fn one_line(text: &str) -> Cow<'_, str> {
    escaped(text, |_| true, |c, text| text.extend(c.escape_default()))
}

fn escaped(text: &str, matters: fn(char) -> bool, escape: fn(char, &mut String)) -> Cow<'_, str> {
    let is_escaped = |c: char| is_invisible(c) && matters(c);
    if !text.contains(is_escaped) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        if is_escaped(c) { escape(c, &mut shown) } else { shown.push(c) }
    }
    Cow::Owned(shown)
}

/// Returns the place of a YAML error, such as `: line 3, column 5`. The rest of the parser's message may quote the
/// file, including its Secrets.
pub(super) fn place_in(error: &serde_saphyr::Error) -> String {
    let place = error.location().filter(|location| location.line() > 0);
    place.map_or_else(String::new, |at| format!(": line {}, column {}", at.line(), at.column()))
}

/// Formats a count with its noun: `1 error`, `2 errors`.
pub(super) fn counted(count: usize, noun: &str) -> String {
    counted_as(count, noun, &format!("{noun}s"))
}

/// Like `counted`, for nouns whose plural is more than an added s.
pub(super) fn counted_as(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

/// Formats the time that is left, for people: `59 min`, `2 h 5 min`, `40 s`.
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
        assert_eq!(line.to_string(), "✗ acr-registry-info[1].regionId: is missing: name it");
        let coloured = line.coloured();
        assert_eq!(anstream::adapter::strip_str(&coloured).to_string(), line.to_string());
        assert_ne!(coloured, line.to_string());
    }

    #[test]
    fn what_others_wrote_cannot_look_like_something_else() {
        let hostile: Vec<char> = ('\0'..='\u{1f}')
            .chain('\u{7f}'..='\u{9f}')
            .chain('\u{202a}'..='\u{202e}')
            .chain('\u{2066}'..='\u{2069}')
            .collect();
        for c in hostile {
            let line = Line::new(Mark::Error, format_args!("a{c}b"), format_args!("x{c}y"));
            let escape = c.escape_default();
            assert_eq!(line.to_string(), format!("✗ a{escape}b: x{escape}y"));
            assert!(!visible(&format!("a{c}b")).contains(|shown| shown == c && c != '\n'), "{c:?}");
        }
        assert_eq!(one_line("a\n✓ all is well\u{1b}[8m"), "a\\n✓ all is well\\u{1b}[8m");
        assert_eq!(visible("中文 “…” é\nb"), "中文 “…” é\nb");
    }

    #[test]
    fn a_document_for_scripts_shows_nothing_invisible_and_loses_nothing() {
        let check = |text: &str| {
            let document = std::collections::BTreeMap::from([("text", text), ("yes", "true")]);
            let (json, yaml) = (json(&document).unwrap(), yaml(&document).unwrap());
            for written in [&json, &yaml] {
                assert!(!written.contains(|c| is_invisible(c) && c != '\n'), "{written:?}");
                assert!(written.ends_with('\n') && !written.ends_with("\n\n"), "{written:?}");
            }
            let read: std::collections::BTreeMap<String, String> = serde_saphyr::from_str(&yaml).unwrap();
            assert_eq!(read["text"], text, "{yaml}");
            assert_eq!(read["yes"], "true", "{yaml}");
            assert_eq!(serde_json::from_str::<serde_json::Value>(&json).unwrap()["text"], text);
        };
        check("plain: text, 'quoted' \"twice\" # and more");
        check(&"a long line ".repeat(20));
        check("two\nlines");
        check("a\u{1b}[8mb");
        check("a\u{202e}b");
        check("a\u{e0041}b");
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
