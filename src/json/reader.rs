//! Values of the types that a caller wants, or a sentence about what is wrong and where.

use std::borrow::Cow;

use super::Malformed;
use super::scanner::{NotJson, Scanner};

/// Reads a document from front to back, once.
///
/// Maps and lists are read by a function for each entry; it has to read that entry's value. The path of a complaint is
/// put together on its way out, so that good documents pay nothing for it.
pub(crate) struct Reader<'a>(Scanner<'a>);

/// Whether an entry could be read.
type Outcome = Result<(), Malformed>;

/// What a value is, to tell by its first byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Null,
    Bool,
    Number,
    Text,
    List,
    Map,
}

impl Kind {
    /// The kind in words, for messages that must not quote the value.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool => "a boolean",
            Self::Number => "a number",
            Self::Text => "a string",
            Self::List => "a list",
            Self::Map => "a map",
        }
    }
}

impl<'a> Reader<'a> {
    /// Reads a whole document.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn document<T>(
        json: &'a str,
        read: impl FnOnce(&mut Self) -> Result<T, Malformed>,
    ) -> Result<T, Malformed> {
        let mut reader = Self(Scanner::new(json));
        let value = read(&mut reader)?;
        reader.0.end().map_err(|NotJson| reader.not_json())?;
        Ok(value)
    }

    /// What the next value is.
    pub(crate) fn kind(&mut self) -> Result<Kind, Malformed> {
        match self.0.token() {
            Some(b'n') => Ok(Kind::Null),
            Some(b't' | b'f') => Ok(Kind::Bool),
            Some(b'-' | b'0'..=b'9') => Ok(Kind::Number),
            Some(b'"') => Ok(Kind::Text),
            Some(b'[') => Ok(Kind::List),
            Some(b'{') => Ok(Kind::Map),
            _ => Err(self.not_json()),
        }
    }

    /// Any value, as it is written.
    pub(crate) fn raw(&mut self) -> Result<&'a str, Malformed> {
        self.0.value().map_err(|NotJson| self.not_json())
    }

    /// The same; `null` reads as absent.
    pub(crate) fn raw_or_null(&mut self) -> Result<Option<&'a str>, Malformed> {
        Ok(Some(self.raw()?).filter(|raw| *raw != "null"))
    }

    /// A value that is read, and kept as it is written. What is wrong with it stands beside it: the reader passes it all
    /// the same, unless it is no JSON.
    pub(crate) fn passing<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, Malformed>,
    ) -> Result<(&'a str, Result<T, Malformed>), Malformed> {
        let start = self.0.place();
        match read(self) {
            Ok(value) => Ok((self.0.since(start), Ok(value))),
            Err(malformed) => {
                self.0.go_back(start);
                Ok((self.raw()?, Err(malformed)))
            }
        }
    }

    /// A string, borrowed unless it holds escapes. Like Kubernetes, it reads `null` as the empty string.
    pub(crate) fn text(&mut self) -> Result<Cow<'a, str>, Malformed> {
        match self.kind()? {
            Kind::Text => self.0.string().map_err(|NotJson| self.not_json()),
            Kind::Null => self.raw().map(|_| Cow::Borrowed("")),
            _ => Err(Malformed::must_be(Kind::Text)),
        }
    }

    /// A boolean; `null` reads as `false`.
    pub(crate) fn bool(&mut self) -> Result<bool, Malformed> {
        match self.kind()? {
            Kind::Bool | Kind::Null => self.raw().map(|word| word == "true"),
            _ => Err(Malformed::must_be(Kind::Bool)),
        }
    }

    /// A list, entry by entry; `null` reads as empty.
    pub(crate) fn list(&mut self, entry: &mut dyn FnMut(&mut Self) -> Outcome) -> Outcome {
        match self.kind()? {
            Kind::List => self.expect(b'[')?,
            Kind::Null => return self.raw().map(|_| ()),
            _ => return Err(Malformed::must_be(Kind::List)),
        }
        if self.0.take(b']') {
            return Ok(());
        }
        let mut at = 0_usize;
        loop {
            entry(self).map_err(|malformed| malformed.below(&format!("[{at}]")))?;
            if self.0.take(b']') {
                return Ok(());
            }
            self.expect(b',')?;
            at += 1;
        }
    }

    /// A map, by the keys that decide; others are passed over, and may stand there more than once.
    pub(crate) fn map(
        &mut self,
        known: &[&'static str],
        entry: &mut dyn FnMut(&mut Self, &'static str) -> Outcome,
    ) -> Outcome {
        let mut seen = 0_u32;
        self.entries(&mut |reader, key| {
            let Some((&key, at)) = known.iter().zip(0..u32::BITS).find(|(name, _)| **name == key) else {
                return reader.raw().map(|_| ());
            };
            if seen & (1 << at) != 0 {
                return Err(Malformed::new(format!("holds `{key}` twice")));
            }
            seen |= 1 << at;
            entry(reader, key).map_err(|malformed| malformed.below(key))
        })
    }

    /// A map, by all of its keys. These are the document's, so no complaint names them.
    pub(crate) fn entries(&mut self, entry: &mut dyn FnMut(&mut Self, Cow<'a, str>) -> Outcome) -> Outcome {
        match self.kind()? {
            Kind::Map => self.expect(b'{')?,
            _ => return Err(Malformed::must_be(Kind::Map)),
        }
        if self.0.take(b'}') {
            return Ok(());
        }
        loop {
            let key = self.0.key().map_err(|NotJson| self.not_json())?;
            entry(self, key)?;
            if self.0.take(b'}') {
                return Ok(());
            }
            self.expect(b',')?;
        }
    }

    fn expect(&mut self, token: u8) -> Outcome {
        self.0.expect(token).map_err(|NotJson| self.not_json())
    }

    /// The document is not well formed here.
    #[cold]
    pub(super) fn not_json(&self) -> Malformed {
        let (line, column) = self.0.position();
        Malformed::new(format!("is not valid JSON (line {line}, column {column})"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(json: &str) -> Result<(), Malformed> {
        let mut name = None;
        Reader::document(json, |reader| {
            reader.map(&["name", "entries", "flag"], &mut |reader, key| match key {
                "name" => reader.text().map(|text| name = Some(text)),
                "flag" => reader.bool().map(|_| ()),
                _ => reader.list(&mut |reader| reader.text().map(|_| ())),
            })?;
            name.map(|_| ()).ok_or_else(|| Malformed::lacks("name"))
        })
    }

    #[test]
    fn complaints_name_the_path_and_never_quote_the_document() {
        let check = |json: &str, path: &str, complaint_text: &str| {
            let Malformed { path: at, complaint } = sample(json).unwrap_err();
            assert_eq!((at.as_str(), complaint.as_str()), (path, complaint_text), "{json}");
            assert!(!complaint.contains("hunter2"));
        };
        check(r#"{"name": {"hunter2": 1}}"#, "name", "must be a string");
        check(r#"{"name": "a", "entries": "hunter2, expected hunter2"}"#, "entries", "must be a list");
        check(r#"{"name": "a", "entries": ["a", 5]}"#, "entries[1]", "must be a string");
        check(r#"{"name": "a", "flag": "hunter2"}"#, "flag", "must be a boolean");
        check(r#"{"entries": []}"#, "", "lacks `name`");
        check(r#"{"name": "a", "name": "hunter2"}"#, "", "holds `name` twice");
        check(r#"{"name": "hunter2"#, "name", "is not valid JSON (line 1, column 17)");
        check(r#"{"name": "hunter2"} hunter2"#, "", "is not valid JSON (line 1, column 21)");
        check("{\"name\":\n hunter2}", "name", "is not valid JSON (line 2, column 2)");
        check("null", "", "must be a map");
        check("[\"hunter2\", []]", "", "must be a map");
    }

    #[test]
    fn what_does_not_decide_is_passed_over() {
        assert_eq!(sample(r#" {"x": [{"name": 1}], "n\u0061me": null, "x": 2, "entries": null} "#), Ok(()));
    }

    #[test]
    fn plain_text_is_borrowed_and_escaped_text_is_not() {
        let read = |json| Reader::document(json, Reader::text).unwrap();
        assert!(matches!(read(r#""plain""#), Cow::Borrowed("plain")));
        assert!(matches!(read(r#""esc\u0061ped""#), Cow::Owned(text) if text == "escaped"));
    }
}
