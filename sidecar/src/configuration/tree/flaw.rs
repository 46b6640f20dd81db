//! Why a text cannot be read as YAML, where, and what to do about it.

use granit_parser::{ErrorKind, ScanError};

use super::MOST_VALUES;
use crate::configuration::findings::Findings;
use crate::configuration::keys;

/// Why a text cannot be read, and where.
pub(super) struct Unreadable {
    /// Such as `[1].domains`.
    path: String,
    /// Line, from 1.
    pub(super) line: usize,
    flaw: Flaw,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flaw {
    TrailingText,
    Tab,
    Layout,
    UnclosedQuote,
    UnclosedBracket,
    MissingComma,
    Character,
    Alias,
    TooDeep,
    TooMany,
    KeyIsNoText,
    Other,
}

impl Unreadable {
    pub(super) fn new(line: usize, flaw: Flaw) -> Self {
        Self { path: String::new(), line, flaw }
    }

    pub(super) fn is_of_layout(&self) -> bool {
        matches!(self.flaw, Flaw::Layout | Flaw::Tab)
    }

    pub(super) fn in_entry(self, at: usize) -> Self {
        let path = format!("[{at}]{}", self.path);
        Self { path, ..self }
    }

    /// Keys are shown when they look like ours: one can be a value out of place.
    pub(super) fn below_key(self, key: &str) -> Self {
        let is_name = key.len() <= 24 && key.chars().all(|c| c.is_ascii_alphabetic() || c == '-');
        let path = if is_name { format!(".{key}{}", self.path) } else { String::new() };
        Self { path, ..self }
    }

    /// Reports it. Lines count within the text, which is the value at the place `outer`, or a file where that is empty.
    pub(super) fn report(&self, text: &str, outer: &str, findings: &mut Findings) {
        // There is no one place where values are too many.
        let path = if self.flaw == Flaw::TooMany { "" } else { &self.path };
        let place = match (outer, path.trim_start_matches('.')) {
            ("", "") => "configuration".to_owned(),
            ("", path) => path.to_owned(),
            _ => format!("{outer}{path}"),
        };
        let line = if outer.is_empty() { self.line.to_string() } else { format!("{} of {outer}", self.line) };
        let (problem, fix) = match self.flaw {
            Flaw::TrailingText => (
                format!("more text follows the closing quote in line {line}"),
                if self.path.ends_with(".domains") {
                    "write one text in one pair of quotes: domains: \"a.com,b.com\""
                } else {
                    "write one text in one pair of quotes; a comment begins with #"
                },
            ),
            Flaw::Layout => {
                let (problem, fix) = layout(key_of(line_of(text, self.line)), &line, outer);
                return findings.mistake(place, problem, fix);
            }
            Flaw::Tab => (format!("a tab indents line {line}"), "use spaces"),
            Flaw::UnclosedQuote => {
                (format!("the quote opened in line {line} is not closed"), "close it on the same line")
            }
            Flaw::UnclosedBracket => {
                (format!("line {line} has a bracket without its counterpart"), "match the brackets")
            }
            Flaw::MissingComma => {
                (format!("a comma or a closing bracket is missing before the end of line {line}"), "add it")
            }
            Flaw::Character => (
                format!("line {line} holds a character that cannot stand there"),
                "put the value into quotes, and remove control characters",
            ),
            Flaw::Alias => (
                format!("line {line} begins a value with * or &, which YAML takes for a reference"),
                "put the value into quotes",
            ),
            Flaw::TooDeep => (format!("line {line} nests too deeply"), "a configuration has four levels"),
            Flaw::TooMany => (format!("holds more than {MOST_VALUES} values"), "remove some registries"),
            Flaw::KeyIsNoText => (
                format!("line {line} has a list or a map as a key"),
                "write a name, and render the file if it is a template",
            ),
            Flaw::Other => {
                (format!("line {line} is not valid YAML or JSON"), "compare it with the documentation")
            }
        };
        findings.mistake(place, problem, fix);
    }
}

/// Problem and fix where a line, which begins with this key, does not fit the lines above it.
fn layout(key: &str, line: &str, outer: &str) -> (String, String) {
    let is_key = keys::CONFIG_MAP.has(key);
    if is_key && !outer.is_empty() {
        return (
            format!("{key} in line {line} belongs one level up"),
            format!("indent it like {outer}, and not as a part of its text"),
        );
    }
    let fix = if is_key {
        format!("indent {key} like the other keys of the configuration")
    } else if outer.is_empty() && keys::REGISTRY.contains(&key) {
        "indent the whole text of acr-registry-info deeper than the key, and all keys of an entry alike"
            .to_owned()
    } else {
        "indent all keys of an entry alike, write a space after each colon, and quote a value that holds a colon"
            .to_owned()
    };
    (format!("line {line} does not fit the lines above it"), fix)
}

/// The key that a line begins with, behind the dash of an entry; empty where there is none.
fn key_of(line: &str) -> &str {
    let key = line.trim_start().trim_start_matches("- ").trim_start().split_once(':');
    key.map_or("", |(key, _)| key.trim().trim_matches(['"', '\'']))
}

/// A line by its number, from 1.
fn line_of(text: &str, number: usize) -> &str {
    text.lines().nth(number.saturating_sub(1)).unwrap_or_default()
}

/// What the parser complains about, in our words.
pub(super) fn flaw(error: &ScanError, text: &str) -> Flaw {
    use ErrorKind as Kind;

    let line = line_of(text, error.marker().line());
    let indentation = line.len() - line.trim_start().len();
    // JSON may be indented by tabs.
    let is_json = text.trim_start().starts_with(['{', '[']);
    if !is_json && line.bytes().take(indentation).any(|byte| byte == b'\t') {
        return Flaw::Tab;
    }
    match error.kind() {
        Kind::InvalidTrailingSingleQuotedScalar | Kind::InvalidTrailingDoubleQuotedScalar => {
            Flaw::TrailingText
        }
        Kind::TabNotAllowed
        | Kind::TabInBlockIndentation
        | Kind::TabInIndentation
        | Kind::TabAtBlockScalarStart
        | Kind::TabInPlainScalar => Flaw::Tab,
        Kind::MappingValueNotAllowed
        | Kind::MappingKeyNotAllowed
        | Kind::ExpectedBlockMappingKey
        | Kind::ExpectedBlockSequenceEntry
        | Kind::BlockSequenceEntryNotAllowed
        | Kind::InvalidBlockScalarIndent
        | Kind::InvalidIndentation
        | Kind::InvalidSimpleKey
        | Kind::SimpleKeyExpected => Flaw::Layout,
        Kind::UnclosedQuotedScalar | Kind::DocumentIndicatorInQuotedScalar => Flaw::UnclosedQuote,
        Kind::UnclosedFlowCollection { .. }
        | Kind::MisplacedFlowCollectionEnd
        | Kind::MismatchedFlowCollectionEnd { .. }
        | Kind::UnexpectedEofFlowMapping
        | Kind::UnexpectedEofFlowSequence
        | Kind::UnexpectedEofImplicitFlowMapping => Flaw::UnclosedBracket,
        Kind::ExpectedFlowMappingSeparator | Kind::ExpectedFlowSequenceSeparator => Flaw::MissingComma,
        Kind::UnexpectedCharacter { .. } => Flaw::Character,
        Kind::UnknownAnchor | Kind::MissingAnchorOrAliasName => Flaw::Alias,
        Kind::RecursionLimitExceeded => Flaw::TooDeep,
        _ => Flaw::Other,
    }
}
