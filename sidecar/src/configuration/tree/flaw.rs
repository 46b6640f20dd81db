//! Why a text is no tree, where, and how it was probably meant.

use granit_parser::{ErrorKind, ScanError};

use super::MOST_VALUES;
use crate::configuration::keys;

/// Why a text is no tree, and where.
pub(super) struct Unreadable {
    /// Such as `[1].domains`.
    pub(super) path: String,
    /// Line, from 1.
    pub(super) line: usize,
    /// Byte of the text.
    pub(super) at: Option<usize>,
    pub(super) flaw: Flaw,
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

/// A known key on a line that does not fit the lines above it.
pub(super) enum Misplaced<'a> {
    /// A key of the configuration, in the text of one of them.
    InValue(&'a str),
    /// A key of the configuration, in the file.
    InFile(&'a str),
    /// A key of a registry, outside of the text that it belongs to.
    OfRegistry,
}

impl Unreadable {
    pub(super) fn place(&self, outer: &str) -> String {
        match (outer, self.path.trim_start_matches('.')) {
            ("", "") => "configuration".to_owned(),
            ("", path) => path.to_owned(),
            _ => format!("{outer}{}", self.path),
        }
    }

    pub(super) fn misplaced<'a>(&self, text: &'a str, outer: &str) -> Option<Misplaced<'a>> {
        let line = text.lines().nth(self.line.checked_sub(1)?)?;
        let key = key_of(line).filter(|_| self.flaw == Flaw::Layout)?;
        match (keys::is_one_of(keys::CONFIG_MAP, key), outer.is_empty()) {
            (true, true) => Some(Misplaced::InFile(key)),
            (true, false) => Some(Misplaced::InValue(key)),
            (false, true) if keys::REGISTRY.contains(&key) => Some(Misplaced::OfRegistry),
            (false, _) => None,
        }
    }

    /// Problem and fix. Lines count within the text, which may be a value of an outer one.
    pub(super) fn words(&self, outer: &str, misplaced: Option<&Misplaced<'_>>) -> (String, String) {
        let of = if outer.is_empty() { String::new() } else { format!(" of {outer}") };
        let line = format!("{}{of}", self.line);
        let does_not_fit = format!("line {line} does not fit the lines above it");
        match misplaced {
            Some(Misplaced::InValue(key)) => {
                return (
                    format!("{key} in line {line} belongs one level up"),
                    format!("indent it like {outer}, and not as a part of its text"),
                );
            }
            Some(Misplaced::InFile(key)) => {
                return (does_not_fit, format!("indent {key} like the other keys of the configuration"));
            }
            Some(Misplaced::OfRegistry) => {
                let fix = "indent the whole text of acr-registry-info deeper than the key, and all keys of an entry alike";
                return (does_not_fit, fix.to_owned());
            }
            None => {}
        }
        let (problem, fix) = match self.flaw {
            Flaw::TrailingText if self.path.ends_with(".domains") => (
                format!("more text follows the closing quote in line {line}"),
                "write one text in one pair of quotes: domains: \"a.com,b.com\"",
            ),
            Flaw::TrailingText => (
                format!("more text follows the closing quote in line {line}"),
                "write one text in one pair of quotes; a comment begins with #",
            ),
            Flaw::Tab => (format!("a tab indents line {line}"), "use spaces"),
            Flaw::Layout => (
                does_not_fit,
                "indent all keys of an entry alike, write a space after each colon, and quote a value that \
                 holds a colon",
            ),
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
        (problem, fix.to_owned())
    }

    /// The text without the key that is wrong in it, and all that is below this key.
    pub(super) fn without_line(&self, text: &str) -> Option<String> {
        let mut lines = text.split_inclusive('\n');
        let mut kept: String = lines.by_ref().take(self.line.checked_sub(1)?).collect();
        let indent = indentation(lines.next()?);
        // Lines keep their numbers.
        kept.push('\n');
        let mut is_below = true;
        for line in lines {
            is_below &= indentation(line) > indent || line.trim().is_empty();
            kept.push_str(if is_below { "\n" } else { line });
        }
        Some(kept)
    }

    /// The text with the line indented like the nearest key of the configuration above it.
    pub(super) fn beside_other_keys(&self, text: &str) -> Option<String> {
        let at = self.line.checked_sub(1)?;
        let lines: Vec<_> = text.split_inclusive('\n').collect();
        let (above, rest) = lines.split_at_checked(at)?;
        let (line, below) = rest.split_first()?;
        let is_key = |line: &&&str| key_of(line).is_some_and(|key| keys::is_one_of(keys::CONFIG_MAP, key));
        let indent = indentation(above.iter().rev().find(is_key)?);
        let line = format!("{}{}", " ".repeat(indent), line.trim_start());
        Some([&above.concat(), line.as_str(), &below.concat()].concat())
    }

    /// The text as it was probably meant. Good for finding more mistakes only.
    pub(super) fn mended(&self, text: &str) -> Option<String> {
        let (before, after) = text.split_at_checked(self.at?)?;
        let (above, line) = before.split_at(before.rfind('\n').map_or(0, |end| end + 1));
        let (rest, below) = after.split_once('\n').unwrap_or((after, ""));
        match self.flaw {
            // Without the rest of the line, unless that would cut brackets in two.
            Flaw::TrailingText | Flaw::Alias if !line.contains(['[', '{']) => {
                Some(format!("{before}\n{below}"))
            }
            Flaw::Tab => Some(text.split_inclusive('\n').map(without_tabs).collect()),
            // Beside the line above.
            Flaw::Layout => {
                let indent = " ".repeat(indent_below(above.lines().next_back()?));
                Some(format!("{above}{indent}{}{rest}\n{below}", line.trim_start()))
            }
            _ => None,
        }
    }
}

/// The key that a line begins with, behind the dash of an entry.
fn key_of(line: &str) -> Option<&str> {
    let (key, _) = line.trim_start().trim_start_matches("- ").trim_start().split_once(':')?;
    Some(key.trim().trim_matches(['"', '\'']))
}

fn indentation(line: &str) -> usize {
    line.len() - line.trim_start_matches(' ').len()
}

/// A line that is indented by two spaces where it was by a tab.
fn without_tabs(line: &str) -> String {
    let (indentation, rest) = line.split_at(line.len() - line.trim_start_matches([' ', '\t']).len());
    format!("{}{rest}", indentation.replace('\t', "  "))
}

/// Spaces before a line that follows this one in the same map.
fn indent_below(line: &str) -> usize {
    let within_list = line.trim_start().trim_start_matches("- ");
    let opens_a_level = if line.trim_end().ends_with(':') { 2 } else { 0 };
    line.len() - within_list.len() + opens_a_level
}

/// What the parser complains about, in our words.
pub(super) fn flaw(error: &ScanError, text: &str) -> Flaw {
    use ErrorKind as Kind;

    let line = text.lines().nth(error.marker().line().saturating_sub(1)).unwrap_or_default();
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
