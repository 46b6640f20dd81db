//! YAML, and so JSON, as a small tree that keeps the text of each value: `0123`, `1e3` and `yes` stay what was written.
//!
//! Aliases are refused, nesting and the number of values are bounded, and no message quotes the text.

mod flaw;

use std::borrow::Cow;

use granit_parser::{Event, Options, Parser, ScalarStyle, StrInput};

use self::flaw::{Flaw, Unreadable, flaw};
use super::findings::Findings;
use super::typography::{self, InLines, Quoted};

/// Any value. It has no `Debug`: it may hold a key.
#[derive(Clone)]
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

    /// What is below these keys; none where one of them is not there.
    pub(super) fn at(&self, path: &[&str]) -> Option<&Self> {
        path.iter().try_fold(self, |node, key| match node {
            Self::Map(entries) => entries.iter().find(|(name, _)| name == key).map(|(_, node)| node),
            _ => None,
        })
    }

    /// Whether no key is of characters that only look right. A text may be a key without a proper colon.
    fn has_plain_keys(&self) -> bool {
        match self {
            Self::Null | Self::List(_) => true,
            Self::Scalar(_) => false,
            Self::Map(entries) => entries.iter().all(|(key, _)| typography::plain(key).1.is_empty()),
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

/// A document of a text.
pub(super) struct Document {
    /// The line in which it begins, from 1.
    pub(super) line: usize,
    pub(super) root: Node,
}

/// Reads the one document of a value. `None` when it could not be read, which then has been reported with its place below
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

/// Reads all documents of a text, of which there is at least one; `place` is empty for a whole file. `None` at the first
/// mistake of syntax, which then has been reported.
pub(super) fn documents(text: &str, place: &str, findings: &mut Findings) -> Option<Vec<Document>> {
    let mut text = Cow::Borrowed(text);
    // In a value, all but the comments is the configuration's own. A file has more in it, so that it is looked at only
    // when it makes no sense.
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
            // Where quotes end cannot be told in what cannot be read.
            Err(_) => &[Quoted::Kept, Quoted::Replaced],
        };
        match plain_document(&text, ways, place, findings) {
            Some(plain) => text = Cow::Owned(plain),
            None => return built.map_err(|error| error.report(&text, place, findings)).ok(),
        }
    }
}

/// Reports characters that only look like ASCII. Returns the document as it was meant, if there are any.
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
        findings.character(whole, format!("line {line}{of} holds {look_alike}{more}"), look_alike);
    }
    Some(plain)
}

/// Puts the parser's events together. The parser bounds how deep they nest.
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

    /// All documents that are not empty, or else an empty one.
    fn documents(mut self) -> Result<Vec<Document>, Unreadable> {
        let mut documents = Vec::new();
        let mut begin = 1;
        loop {
            match self.next()? {
                (Event::StreamEnd, _) => break,
                (Event::DocumentStart(..), line) => begin = line,
                (Event::StreamStart | Event::DocumentEnd, _) => {}
                (event, line) => match self.node(event, line)? {
                    Node::Null => {}
                    root => documents.push(Document { line: begin, root }),
                },
            }
        }
        if documents.is_empty() {
            documents.push(Document { line: 1, root: Node::Null });
        }
        Ok(documents)
    }

    /// The next event and its line.
    fn next(&mut self) -> Result<(Event<'a>, usize), Unreadable> {
        match self.parser.next() {
            Some(Ok((event, span))) => Ok((event, span.start.line())),
            Some(Err(error)) => Err(Unreadable::new(error.marker().line(), flaw(&error, self.text))),
            None => Ok((Event::StreamEnd, 0)),
        }
    }

    /// The value that begins with this event.
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
            // A line that does not fit is not an entry after the one above it.
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
            // Nor is it the value of the key above it.
            let next = self.next().map_err(|error| {
                if error.is_of_layout() && error.line != line_of_key { error } else { error.below_key(&key) }
            });
            let (event, line) = next?;
            let node = self.node(event, line).map_err(|error| error.below_key(&key))?;
            entries.push((key, node));
        }
    }
}
