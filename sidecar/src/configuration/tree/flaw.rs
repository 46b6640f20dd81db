//! Why a text cannot be read as YAML, at which place, and how to fix it.

use granit_parser::{ErrorKind, ScanError};

use super::MOST_VALUES;
use crate::configuration::findings::Findings;
use crate::configuration::keys;

/// Why a text cannot be read, and at which place.
pub(super) struct Unreadable {
    /// The path, such as `[1].domains`.
    path: String,
    /// The line, counted from 1.
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

    /// Adds a key to the path if it looks like a key of the configuration. Other keys are not shown, because they may be
    /// misplaced values.
    pub(super) fn below_key(self, key: &str) -> Self {
        let is_name = key.len() <= 24 && key.chars().all(|c| c.is_ascii_alphabetic() || c == '-');
        let path = if is_name { format!(".{key}{}", self.path) } else { String::new() };
        Self { path, ..self }
    }

    /// Reports the flaw. Lines are counted within the text, which is the value at the place `outer`, or a file if `outer` is
    /// empty.
    pub(super) fn report(&self, text: &str, outer: &str, findings: &mut Findings) {
        // A text with too many values has no single place that is wrong.
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
                format!("line {line} contains a character that is not allowed there"),
                "put the value into quotes, and remove control characters",
            ),
            Flaw::Alias => (
                format!("line {line} begins a value with * or &, which YAML takes for a reference"),
                "put the value into quotes",
            ),
            Flaw::TooDeep => (format!("line {line} nests too deeply"), "a configuration has four levels"),
            Flaw::TooMany => (format!("contains more than {MOST_VALUES} values"), "remove some registries"),
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

/// Returns problem and fix for a line that begins with this key and does not fit the lines above it.
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
        "indent all keys of an entry alike, write a space after each colon, and quote a value that contains a colon"
            .to_owned()
    };
    (format!("line {line} does not fit the lines above it"), fix)
}

/// Returns the key at the beginning of a line, after the dash of an entry. The result is empty if there is no key.
fn key_of(line: &str) -> &str {
    let key = line.trim_start().trim_start_matches("- ").trim_start().split_once(':');
    key.map_or("", |(key, _)| key.trim().trim_matches(['"', '\'']))
}

/// Returns a line by its number, counted from 1.
fn line_of(text: &str, number: usize) -> &str {
    text.lines().nth(number.saturating_sub(1)).unwrap_or_default()
}

/// Converts the parser's error to a flaw.
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
