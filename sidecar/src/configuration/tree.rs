//! YAML, which includes JSON, as a small tree that keeps the text of each value: `0123`, `1e3` and `yes` stay as written.
//!
//! Aliases are refused, nesting and the number of values are limited, and no message quotes the text.

mod flaw;

use std::borrow::Cow;

use granit_parser::{Event, Options, Parser, ScalarStyle, StrInput};

use self::flaw::{Flaw, Unreadable, flaw};
use super::findings::Findings;
use super::typography::{self, InLines, Quoted};

/// Any value. It has no `Debug`, because it may contain a key.
#[derive(Clone)]
pub(super) enum Node {
    /// `null`, `~`, or nothing at all.
    Null,
    /// A text, number or boolean, as written.
    Scalar(String),
    /// A list.
    List(Vec<Node>),
    /// A map, including duplicate keys.
    Map(Vec<(String, Node)>),
}

impl Node {
    /// Returns the kind in words, for messages that must not quote the value.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Null => "empty",
            Self::Scalar(_) => "a single value",
            Self::List(_) => "a list",
            Self::Map(_) => "a map",
        }
    }

    /// Returns the value below these keys, or `None` if one of them is missing.
    pub(super) fn at(&self, path: &[&str]) -> Option<&Self> {
        path.iter().try_fold(self, |node, key| match node {
            Self::Map(entries) => entries.iter().find(|(name, _)| name == key).map(|(_, node)| node),
            _ => None,
        })
    }

    /// Returns whether no key contains characters that only look like ASCII. Returns `false` for a text, which may be a key
    /// without a real colon.
    fn has_plain_keys(&self) -> bool {
        match self {
            Self::Null | Self::List(_) => true,
            Self::Scalar(_) => false,
            Self::Map(entries) => entries.iter().all(|(key, _)| typography::plain(key).1.is_empty()),
        }
    }

    /// Returns whether it is an empty text. `null` is not a text.
    pub(super) fn is_blank_text(&self) -> bool {
        matches!(self, Self::Scalar(text) if text.trim().is_empty())
    }
}

/// Maximum levels of lists and maps, for block style and for flow style each. A configuration has four levels.
const DEEPEST: usize = 16;

/// Maximum number of values: enough for some hundred registries with all of their keys.
const MOST_VALUES: usize = 20_000;

/// A document of a text.
pub(super) struct YamlDocument {
    /// The line in which it begins, counted from 1.
    pub(super) line: usize,
    pub(super) root: Node,
}

/// Reads the only document of a value. Returns `None` when it cannot be read, and reports the mistake with its place below
/// `place`.
pub(super) fn read(text: &str, place: &str, findings: &mut Findings) -> Option<Node> {
    let mut documents = documents(text, place, findings)?.into_iter();
    let first = documents.next()?;
    if let Some(second) = documents.next() {
        findings.mistake(
            place,
            format!("a second document begins in line {} of {place}", second.line),
            "keep one configuration in one file",
        );
    }
    Some(first.root)
}

/// Reads all documents of a text, at least one. `place` is empty for a whole file. Returns `None`, and reports the mistake, at
/// the first mistake in the syntax.
pub(super) fn documents(text: &str, place: &str, findings: &mut Findings) -> Option<Vec<YamlDocument>> {
    let mut text = Cow::Borrowed(text);
    // In a value, everything except comments belongs to the configuration. A file also contains other text, so its
    // characters are checked only when it is not understood.
    if !place.is_empty()
        && let Some(plain) = plain_document(&text, &[Quoted::Kept], place, findings)
    {
        text = Cow::Owned(plain);
    }
    loop {
        let built = Reader::new(&text).documents();
        let ways: &[_] = match &built {
            Ok(documents)
                if !place.is_empty() || documents.iter().all(|document| document.root.has_plain_keys()) =>
            {
                &[]
            }
            Ok(_) => &[Quoted::Kept],
            // In a text that cannot be read, the ends of quotes are not known.
            Err(_) => &[Quoted::Kept, Quoted::Replaced],
        };
        match plain_document(&text, ways, place, findings) {
            Some(plain) => text = Cow::Owned(plain),
            None => return built.map_err(|error| error.report(&text, place, findings)).ok(),
        }
    }
}

/// Reports characters that only look like ASCII. If there are any, returns the document with these characters replaced.
fn plain_document(text: &str, ways: &[Quoted], place: &str, findings: &mut Findings) -> Option<String> {
    let (plain, found) = ways.iter().find_map(|&quoted| typography::plain_document(text, quoted))?;
    let (whole, of) = match place {
        "" => ("configuration", String::new()),
        _ => (place, format!(" of {place}")),
    };
    for InLines { look_alike, line, more_lines, .. } in found {
        let more = match more_lines {
            0 => String::new(),
            1 => ", and so does 1 more line".to_owned(),
            lines => format!(", and so do {lines} more lines"),
        };
        findings.character(whole, format!("line {line}{of} contains {look_alike}{more}"), look_alike);
    }
    Some(plain)
}

/// Builds a tree from the parser's events. The parser limits the nesting.
struct Reader<'a> {
    text: &'a str,
    parser: Parser<'a, StrInput<'a>>,
    values: usize,
}

impl<'a> Reader<'a> {
    fn new(text: &'a str) -> Self {
        let mut options = Options::default();
        options.set_emit_comments(false);
        options.flow_nesting_limit = DEEPEST;
        options.block_nesting_limit = DEEPEST;
        Self { text, parser: Parser::new_from_str_with_options(text, options), values: 0 }
    }

    /// Returns all documents that are not empty, or one empty document if there are no others.
    fn documents(mut self) -> Result<Vec<YamlDocument>, Unreadable> {
        let mut documents = Vec::new();
        let mut begin = 1;
        loop {
            match self.next()? {
                (Event::StreamEnd, _) => break,
                (Event::DocumentStart(..), line) => begin = line,
                (Event::StreamStart | Event::DocumentEnd, _) => {}
                (event, line) => match self.node(event, line)? {
                    Node::Null => {}
                    root => documents.push(YamlDocument { line: begin, root }),
                },
            }
        }
        if documents.is_empty() {
            documents.push(YamlDocument { line: 1, root: Node::Null });
        }
        Ok(documents)
    }

    /// Returns the next event and its line.
    fn next(&mut self) -> Result<(Event<'a>, usize), Unreadable> {
        match self.parser.next() {
            Some(Ok((event, span))) => Ok((event, span.start.line())),
            Some(Err(error)) => Err(Unreadable::new(error.marker().line(), flaw(&error, self.text))),
            None => Ok((Event::StreamEnd, 0)),
        }
    }

    /// Reads the value that begins with this event.
    fn node(&mut self, event: Event<'a>, line: usize) -> Result<Node, Unreadable> {
        self.values += 1;
        if self.values > MOST_VALUES {
            return Err(Unreadable::new(line, Flaw::TooMany));
        }
        match event {
            Event::Scalar(text, style, ..) => {
                let is_null =
                    style == ScalarStyle::Plain && matches!(&*text, "" | "~" | "null" | "Null" | "NULL");
                Ok(if is_null { Node::Null } else { Node::Scalar(text.into_owned()) })
            }
            Event::SequenceStart(..) => self.list(),
            Event::MappingStart(..) => self.map(),
            Event::Alias(_) | Event::UnresolvedAlias(_) => Err(Unreadable::new(line, Flaw::Alias)),
            _ => Err(Unreadable::new(line, Flaw::Other)),
        }
    }

    fn list(&mut self) -> Result<Node, Unreadable> {
        let mut list = Vec::new();
        loop {
            let at = list.len();
            // A line with wrong indentation does not belong to the next entry of this list.
            let next =
                self.next().map_err(|error| if error.is_of_layout() { error } else { error.in_entry(at) });
            match next? {
                (Event::SequenceEnd, _) => return Ok(Node::List(list)),
                (event, line) => list.push(self.node(event, line).map_err(|error| error.in_entry(at))?),
            }
        }
    }

    fn map(&mut self) -> Result<Node, Unreadable> {
        let mut entries = Vec::new();
        loop {
            let (key, line_of_key) = match self.next()? {
                (Event::MappingEnd, _) => return Ok(Node::Map(entries)),
                (Event::Scalar(key, ..), line) => (key.into_owned(), line),
                (Event::Alias(_) | Event::UnresolvedAlias(_), line) => {
                    return Err(Unreadable::new(line, Flaw::Alias));
                }
                (_, line) => return Err(Unreadable::new(line, Flaw::KeyIsNoText)),
            };
            // A line with wrong indentation is not the value of the key above it.
            let next = self.next().map_err(|error| {
                if error.is_of_layout() && error.line != line_of_key { error } else { error.below_key(&key) }
            });
            let (event, line) = next?;
            let node = self.node(event, line).map_err(|error| error.below_key(&key))?;
            entries.push((key, node));
        }
    }
}
