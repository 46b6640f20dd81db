//! Readers for the values of keys.

use std::collections::BTreeSet;

use acr_credential_core::{Pattern, Vocabulary, spelling};

use super::findings::Findings;
use super::keys;
use super::tree::Node;
use super::typography;
use super::values::ValueError;

/// Maximum words of one comma-separated list, and of all lists together. Without this limit, comma-separated lists could
/// contain more words than a tree can contain values.
const MOST_WORDS: usize = 500;
const MOST_WORDS_IN_ALL: usize = 50_000;

/// One value of a configuration. A wrong value has been reported already, and must not also be reported as missing.
#[derive(Default)]
pub(super) enum Field<T> {
    /// The value is missing, null, or an empty text.
    #[default]
    Absent,
    /// The value cannot be used.
    Wrong,
    /// The value.
    Given(T),
}

impl<T> Field<T> {
    pub(super) fn given(self) -> Option<T> {
        match self {
            Self::Given(value) => Some(value),
            Self::Absent | Self::Wrong => None,
        }
    }

    pub(super) fn and_then<U>(self, read: impl FnOnce(T) -> Field<U>) -> Field<U> {
        match self {
            Self::Given(value) => read(value),
            Self::Absent => Field::Absent,
            Self::Wrong => Field::Wrong,
        }
    }

    pub(super) fn is_absent(&self) -> bool {
        matches!(self, Self::Absent)
    }
}

impl Findings {
    /// Returns a value or a key with look-alike characters replaced by ASCII, and reports these characters.
    fn plain(&mut self, place: &str, what: &str, text: String) -> String {
        let (plain, found) = typography::plain(&text);
        if found.is_empty() {
            return text;
        }
        for look_alike in found {
            self.character(place, format!("{what}contains {look_alike}"), look_alike);
        }
        plain.into_owned()
    }

    /// Converts the result of a reader to a field, and reports its error.
    pub(super) fn value<T>(&mut self, place: &str, read: Result<T, ValueError>) -> Field<T> {
        match read {
            Ok(value) => Field::Given(value),
            Err(ValueError { problem, fix }) => {
                self.mistake(place, problem, fix);
                Field::Wrong
            }
        }
    }

    /// Reads a single value with the reader `parse`.
    pub(super) fn parsed<T>(
        &mut self,
        place: &str,
        node: Node,
        parse: impl FnOnce(&str) -> Result<T, ValueError>,
    ) -> Field<T> {
        let before = self.characters.len();
        self.text(place, node).and_then(|text| match parse(&text) {
            // The look-alike characters may be the cause, and they are reported already.
            Err(_) if self.characters.len() > before => Field::Wrong,
            read => self.value(place, read),
        })
    }

    /// Reads a text, number or boolean as it is written, without the blanks around it.
    pub(super) fn text(&mut self, place: &str, node: Node) -> Field<String> {
        match node {
            Node::Null => Field::Absent,
            Node::Scalar(text) => match self.plain(place, "", text).trim() {
                "" => Field::Absent,
                text => Field::Given(text.to_owned()),
            },
            other => {
                if !self.swallowed(place, &other) {
                    self.mistake(place, format!("is {}", other.kind()), "write a single value");
                }
                Field::Wrong
            }
        }
    }

    /// Reports keys of another level that are indented below this key. Returns whether there are any.
    fn swallowed(&mut self, place: &str, node: &Node) -> bool {
        let Node::Map(entries) = node else { return false };
        let mut any = false;
        for (key, _) in entries {
            if let Some((problem, fix)) = keys::misplaced(place, key, &[]) {
                self.mistake(below(place, key), problem, fix);
                any = true;
            }
        }
        any
    }

    /// Reads a boolean in any of the spellings of YAML 1.1 and 1.2.
    pub(super) fn boolean(&mut self, place: &str, node: Node) -> Field<bool> {
        self.parsed(place, node, |text| match text.to_ascii_lowercase().as_str() {
            "true" | "yes" | "on" => Ok(true),
            "false" | "no" | "off" => Ok(false),
            _ => Err(ValueError::new("is neither true nor false", "write true or false")),
        })
    }

    /// Reads the words of a comma-separated list or of a YAML list, each with its place.
    pub(super) fn words(&mut self, place: &str, node: Node) -> Field<Vec<(String, String)>> {
        let mut words = Vec::new();
        match node {
            Node::Null => return Field::Absent,
            Node::Scalar(text) => {
                let text = self.plain(place, "", text);
                let parts = text.split(',').map(str::trim).enumerate().filter(|(_, word)| !word.is_empty());
                let several = text.contains(',');
                for (at, word) in parts.take(MOST_WORDS + 1) {
                    let place =
                        if several { format!("{place} (entry {})", at + 1) } else { place.to_owned() };
                    words.push((place, word.to_owned()));
                }
            }
            Node::List(nodes) => {
                for (at, node) in nodes.into_iter().enumerate().take(MOST_WORDS + 1) {
                    let place = format!("{place}[{at}]");
                    if let Field::Given(word) = self.text(&place, node) {
                        words.push((place, word));
                    }
                }
            }
            map @ Node::Map(_) => {
                if !self.swallowed(place, &map) {
                    self.mistake(place, "is a map", "write a list such as \"a,b\"");
                }
                return Field::Wrong;
            }
        }
        self.words += words.len();
        if words.len() > MOST_WORDS || self.words > MOST_WORDS_IN_ALL {
            let problem = format!(
                "contains more than {MOST_WORDS} entries, or all such lists together more than {MOST_WORDS_IN_ALL}"
            );
            self.mistake(place, problem, "use wildcards, or fewer entries");
            return Field::Wrong;
        }
        Field::Given(words)
    }

    /// Reads names and globs from a comma-separated list or a YAML list. The result is empty if the list is empty.
    pub(super) fn patterns(
        &mut self,
        place: &str,
        node: Node,
        names: Vocabulary,
    ) -> Field<Vec<Pattern<'static>>> {
        self.words(place, node).and_then(|words| {
            let patterns = words.into_iter().map(|(place, word)| {
                self.value(&place, Pattern::parse(word, names).map_err(ValueError::from)).given()
            });
            // All entries are read, so that each wrong entry is reported.
            let patterns: Vec<_> = patterns.collect();
            patterns.into_iter().collect::<Option<_>>().map_or(Field::Wrong, Field::Given)
        })
    }

    /// Reads the known keys of a map, each once. Null is read as an empty map.
    pub(super) fn entries(
        &mut self,
        place: &str,
        node: Node,
        known: &[&'static str],
    ) -> Vec<(&'static str, Node)> {
        let whole = whole(place);
        let kind = node.kind();
        let entries = match node {
            Node::Null => return Vec::new(),
            Node::Map(entries) => entries,
            Node::Scalar(text) if self.plain(whole, "", text.clone()) != text => return Vec::new(),
            Node::Scalar(_) | Node::List(_) => {
                let fix = format!("write a map with keys such as {}", known.first().unwrap_or(&"name"));
                self.mistake(whole, format!("is {kind}"), fix);
                return Vec::new();
            }
        };
        let mut seen = BTreeSet::new();
        let mut kept = Vec::new();
        for (at, (key, value)) in entries.into_iter().enumerate() {
            if self.is_full() {
                break;
            }
            let plain = self.plain(whole, &format!("key {} ", at + 1), key.clone());
            match known.iter().find(|name| **name == plain) {
                None if plain != key => {}
                None => self.unknown_key(place, at, &key, known),
                Some(&name) if seen.insert(name) => kept.push((name, value)),
                Some(&name) => self.mistake(below(place, name), "is set twice", "remove one of the two"),
            }
        }
        kept
    }

    fn unknown_key(&mut self, place: &str, at: usize, key: &str, known: &[&'static str]) {
        if let Some((problem, fix)) = keys::replaced(key) {
            return self.mistake(below(place, key), problem, fix);
        }
        if let Some((problem, fix)) = keys::misplaced(place, key, known) {
            return self.mistake(below(place, key), problem, fix);
        }
        let all = || format!("known here: {}", known.join(", "));
        let meant = spelling::nearest(key, known.iter().copied()).or_else(|| keys::in_other_form(key, known));
        // A word that resembles no known key, and is long or has other characters, may be a misplaced access key.
        let is_word = key.chars().all(|c| c.is_ascii_alphabetic() || matches!(c, '-' | '_' | '.'));
        if is_word && (meant.is_some() || key.len() <= 20) {
            let fix = meant.map_or_else(all, |meant| format!("did you mean {meant}?"));
            self.mistake(below(place, key), "is an unknown key", fix);
        } else {
            self.mistake(whole(place), format!("key {} is unknown", at + 1), all());
        }
    }
}

/// Returns the place of a whole map.
fn whole(place: &str) -> &str {
    if place.is_empty() { "configuration" } else { place }
}

/// Returns the place of a key, from the place of its map.
fn below(place: &str, key: &str) -> String {
    if place.is_empty() { key.to_owned() } else { format!("{place}.{key}") }
}
