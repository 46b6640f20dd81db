//! YAML, and so JSON, as a small tree that keeps the text of each value: `0123`, `1e3` and `yes` stay what was written.
//!
//! Aliases are refused, nesting and the number of values are bounded, and no message quotes the text.

mod flaw;

use std::borrow::Cow;

use granit_parser::{Event, Options, Parser, ScalarStyle};

use self::flaw::{Flaw, Unreadable, flaw};
use super::findings::Findings;
use super::typography::{self, Quoted};

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
        let built = Builder::default().build(&text);
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
    for found in found {
        let of = if place.is_empty() { String::new() } else { format!(" of {place}") };
        let more = match found.more_lines {
            0 => String::new(),
            1 => ", and so does 1 more line".to_owned(),
            lines => format!(", and so do {lines} more lines"),
        };
        let problem = format!("line {}{of} holds {}{more}", found.line, found.look_alike);
        findings.character(
            if place.is_empty() { "configuration" } else { place },
            problem,
            found.look_alike.fix(),
        );
    }
    Some(plain)
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
    /// Those that came before the one that is being read, but for empty ones.
    documents: Vec<Document>,
    root: Option<Node>,
    /// The line in which the document begins.
    line: usize,
    values: usize,
}

impl Builder {
    fn build(mut self, text: &str) -> Result<Vec<Document>, Unreadable> {
        let mut options = Options::default();
        options.set_emit_comments(false);
        options.flow_nesting_limit = DEEPEST;
        options.block_nesting_limit = DEEPEST;
        for next in Parser::new_from_str_with_options(text, options) {
            let (event, span) = match next {
                Ok(next) => next,
                Err(error) => {
                    return Err(self.unreadable(error.marker().line(), flaw(&error, text)));
                }
            };
            let line = span.start.line();
            self.take(event, line).map_err(|flaw| self.unreadable(line, flaw))?;
        }
        self.end_document();
        if self.documents.is_empty() {
            self.documents.push(Document { line: 1, root: Node::Null });
        }
        Ok(self.documents)
    }

    fn end_document(&mut self) {
        match self.root.take() {
            None | Some(Node::Null) => {}
            Some(root) => self.documents.push(Document { line: self.line, root }),
        }
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
            Event::DocumentStart(..) => {
                self.end_document();
                self.line = line;
                Ok(())
            }
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

    fn unreadable(&self, line: usize, flaw: Flaw) -> Unreadable {
        let certain = match (flaw, self.open.split_last()) {
            (Flaw::TooMany, _) => &[],
            // A line that does not fit is neither a value of the key above it nor an entry after the one above it.
            (Flaw::Layout | Flaw::Tab, Some((innermost, outer))) if !innermost.has_key_in(line) => outer,
            _ => self.open.as_slice(),
        };
        let path = certain.iter().map_while(Open::step).collect();
        Unreadable { path, line, flaw }
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
