//! YAML, and so JSON, as a small tree that keeps the text of each value: `0123`, `1e3` and `yes` stay what was written.
//!
//! Aliases are refused, nesting and the number of values are bounded, and no message quotes the text.

use std::borrow::Cow;

use granit_parser::{ErrorKind, Event, Options, Parser, ScalarStyle, ScanError};

use super::findings::Findings;

/// Any value. It has no `Debug`: it may hold a key.
pub(super) enum Node {
    /// `null`, `~`, or nothing at all.
    Null,
    /// A text, number or boolean, as written.
    Scalar(String),
    /// A list.
    List(Vec<Node>),
    /// A map, with keys as often as they stand there.
    Map(Vec<(String, Node)>),
}

impl Node {
    /// The kind in words, for messages that must not quote the value.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Null => "empty",
            Self::Scalar(_) => "a single value",
            Self::List(_) => "a list",
            Self::Map(_) => "a map",
        }
    }

    /// Whether it is a text with nothing in it, which `null` is not.
    pub(super) fn is_blank_text(&self) -> bool {
        matches!(self, Self::Scalar(text) if text.trim().is_empty())
    }
}

/// Levels of lists and maps at most, in block and in flow style each. A configuration has four.
const DEEPEST: usize = 16;

/// Values at most: some hundred registries with all of their keys.
const MOST_VALUES: usize = 20_000;

/// Mistakes of syntax that are mended to find the next one, and the longest text in which that is done: each takes one
/// more pass.
const REPAIRS: usize = 16;
const LONGEST_TO_REPAIR: usize = 64 * 1024;

/// Reads a document. `None` when it could not be read, which then has been reported with its place below `place`.
///
/// A document with a flaw may be read all the same, as far as it can be mended: what else is wrong shows in one pass.
pub(super) fn read(text: &str, place: &str, findings: &mut Findings) -> Option<Node> {
    let mut text = Cow::Borrowed(text);
    let mut repairs = if text.len() > LONGEST_TO_REPAIR { 0 } else { REPAIRS };
    loop {
        let error = match Builder::default().build(&text) {
            Ok(node) => return Some(node),
            Err(error) => error,
        };
        let (problem, fix) = error.words(place);
        findings.mistake(error.place(place), problem, fix);
        let mended = error.mended(&text)?;
        if error.flaw == Flaw::Layout || error.flaw == Flaw::Tab {
            // It may have been meant otherwise, so that flaws that follow would not be the user's.
            return Builder::default().build(&mended).ok();
        }
        text = Cow::Owned(mended);
        repairs = repairs.checked_sub(1)?;
    }
}

/// Why a text is no tree, and where.
struct Unreadable {
    /// Such as `[1].domains`.
    path: String,
    /// Line, from 1.
    line: usize,
    /// Byte of the text.
    at: Option<usize>,
    flaw: Flaw,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flaw {
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
    SecondDocument,
    Other,
}

impl Unreadable {
    fn place(&self, outer: &str) -> String {
        match (outer, self.path.trim_start_matches('.')) {
            ("", "") => "configuration".to_owned(),
            ("", path) => path.to_owned(),
            _ => format!("{outer}{}", self.path),
        }
    }

    /// Problem and fix. Lines count within the text, which may be a value of an outer one.
    fn words(&self, outer: &str) -> (String, String) {
        let of = if outer.is_empty() { String::new() } else { format!(" of {outer}") };
        let line = format!("{}{of}", self.line);
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
                format!("line {line} does not fit the lines above it"),
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
            Flaw::SecondDocument => {
                (format!("a second document begins in line {line}"), "keep one configuration in one file")
            }
            Flaw::Other => {
                (format!("line {line} is not valid YAML or JSON"), "compare it with the documentation")
            }
        };
        (problem, fix.to_owned())
    }

    /// The text as it was probably meant. Good for finding more mistakes only.
    fn mended(&self, text: &str) -> Option<String> {
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

/// A list or map that is being read.
enum Open {
    List(Vec<Node>),
    /// With the key whose value comes next, and its line.
    Map {
        entries: Vec<(String, Node)>,
        key: Option<(String, usize)>,
    },
}

/// Puts the parser's events together, without recursion.
#[derive(Default)]
struct Builder {
    open: Vec<Open>,
    root: Option<Node>,
    values: usize,
}

impl Builder {
    fn build(mut self, text: &str) -> Result<Node, Unreadable> {
        let mut options = Options::default();
        options.set_emit_comments(false);
        options.flow_nesting_limit = DEEPEST;
        options.block_nesting_limit = DEEPEST;
        for next in Parser::new_from_str_with_options(text, options) {
            let (event, span) = match next {
                Ok(next) => next,
                Err(error) => {
                    let (line, at) = (error.marker().line(), error.marker().byte_offset());
                    return Err(self.unreadable(line, at, flaw(&error, text)));
                }
            };
            let (line, at) = (span.start.line(), span.start.byte_offset());
            self.take(event, line).map_err(|flaw| self.unreadable(line, at, flaw))?;
        }
        Ok(self.root.unwrap_or(Node::Null))
    }

    fn take(&mut self, event: Event<'_>, line: usize) -> Result<(), Flaw> {
        match event {
            Event::Scalar(text, style, ..) => {
                let is_null =
                    style == ScalarStyle::Plain && matches!(&*text, "" | "~" | "null" | "Null" | "NULL");
                self.put(text, is_null, line)
            }
            Event::SequenceStart(..) => self.begin(Open::List(Vec::new())),
            Event::MappingStart(..) => self.begin(Open::Map { entries: Vec::new(), key: None }),
            Event::SequenceEnd | Event::MappingEnd => match self.open.pop() {
                Some(Open::List(list)) => self.put_node(Node::List(list)),
                Some(Open::Map { entries, .. }) => self.put_node(Node::Map(entries)),
                None => Err(Flaw::Other),
            },
            Event::Alias(_) | Event::UnresolvedAlias(_) => Err(Flaw::Alias),
            Event::DocumentStart(..) if self.root.is_some() => Err(Flaw::SecondDocument),
            _ => Ok(()),
        }
    }

    fn put(&mut self, text: Cow<'_, str>, is_null: bool, line: usize) -> Result<(), Flaw> {
        if let Some(Open::Map { key: key @ None, .. }) = self.open.last_mut() {
            *key = Some((text.into_owned(), line));
            return Ok(());
        }
        self.put_node(if is_null { Node::Null } else { Node::Scalar(text.into_owned()) })
    }

    fn begin(&mut self, open: Open) -> Result<(), Flaw> {
        if let Some(Open::Map { key: None, .. }) = self.open.last() {
            return Err(Flaw::KeyIsNoText);
        }
        self.open.push(open);
        Ok(())
    }

    fn put_node(&mut self, node: Node) -> Result<(), Flaw> {
        self.values += 1;
        if self.values > MOST_VALUES {
            return Err(Flaw::TooMany);
        }
        match self.open.last_mut() {
            None => self.root = Some(node),
            Some(Open::List(list)) => list.push(node),
            Some(Open::Map { entries, key }) => {
                let (key, _) = key.take().ok_or(Flaw::KeyIsNoText)?;
                entries.push((key, node));
            }
        }
        Ok(())
    }

    fn unreadable(&self, line: usize, at: Option<usize>, flaw: Flaw) -> Unreadable {
        let certain = match (flaw, self.open.split_last()) {
            (Flaw::TooMany, _) => &[],
            // A line that does not fit is neither a value of the key above it nor an entry after the one above it.
            (Flaw::Layout | Flaw::Tab, Some((innermost, outer))) if !innermost.has_key_in(line) => outer,
            _ => self.open.as_slice(),
        };
        let path = certain.iter().map_while(Open::step).collect();
        Unreadable { path, line, at, flaw }
    }
}

impl Open {
    /// Its part of a path. Keys are shown when they look like ours: one can be a value out of place.
    fn step(&self) -> Option<String> {
        match self {
            Self::List(list) => Some(format!("[{}]", list.len())),
            Self::Map { key: Some((key, _)), .. } if is_name(key) => Some(format!(".{key}")),
            Self::Map { .. } => None,
        }
    }

    fn has_key_in(&self, line: usize) -> bool {
        matches!(self, Self::Map { key: Some((_, of_key)), .. } if *of_key == line)
    }
}

fn is_name(key: &str) -> bool {
    key.len() <= 24 && key.chars().all(|c| c.is_ascii_alphabetic() || c == '-')
}

fn flaw(error: &ScanError, text: &str) -> Flaw {
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
