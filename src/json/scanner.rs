//! A walk through a document, value by value. `serde_json` reads the values; what stands between them, brackets, commas
//! and colons, is read here.
//!
//! Derived readers would do that too, at twice the size: every type brings its own copy of the parser, and a policy
//! server compiles the module at every start.

use std::borrow::Cow;

use serde_json::value::RawValue;

/// The document is not well formed; [`Scanner::position`] tells where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NotJson;

/// A place in a document.
pub(super) struct Scanner<'a> {
    json: &'a str,
    at: usize,
}

impl<'a> Scanner<'a> {
    pub(super) fn new(json: &'a str) -> Self {
        Self { json, at: 0 }
    }

    /// The first byte of the next token, if any is left.
    pub(super) fn token(&mut self) -> Option<u8> {
        let bytes = self.json.as_bytes();
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = bytes.get(self.at) {
            self.at += 1;
        }
        bytes.get(self.at).copied()
    }

    /// Reads this token of one byte, if it is the next.
    pub(super) fn take(&mut self, token: u8) -> bool {
        let is_next = self.token() == Some(token);
        self.at += usize::from(is_next);
        is_next
    }

    /// Reads this token of one byte.
    pub(super) fn expect(&mut self, token: u8) -> Result<(), NotJson> {
        if self.take(token) { Ok(()) } else { Err(NotJson) }
    }

    /// Reads a string, borrowed unless it holds escapes.
    pub(super) fn string(&mut self) -> Result<Cow<'a, str>, NotJson> {
        if self.token() != Some(b'"') {
            return Err(NotJson);
        }
        let start = self.at;
        let literal = self.value()?;
        let text = literal.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
        // Well formed, but an escape may still stand for half a character.
        text.and_then(unescaped).ok_or_else(|| {
            self.at = start;
            NotJson
        })
    }

    /// Reads a key of a map and its colon.
    pub(super) fn key(&mut self) -> Result<Cow<'a, str>, NotJson> {
        let key = self.string()?;
        self.expect(b':')?;
        Ok(key)
    }

    /// Reads any value, as it is written, however deep it is.
    pub(super) fn value(&mut self) -> Result<&'a str, NotJson> {
        self.token();
        let rest = self.json.get(self.at..).unwrap_or_default();
        let mut values = serde_json::Deserializer::from_str(rest).into_iter::<&RawValue>();
        match values.next() {
            Some(Ok(value)) => {
                self.at += values.byte_offset();
                Ok(value.get())
            }
            Some(Err(error)) => {
                self.at = self.place_of(&error);
                Err(NotJson)
            }
            None => Err(NotJson),
        }
    }

    /// Where the next token is, for the two below.
    pub(super) fn place(&mut self) -> usize {
        self.token();
        self.at
    }

    /// What has been read since then, as it is written.
    pub(super) fn since(&self, place: usize) -> &'a str {
        self.json.get(place..self.at).unwrap_or_default()
    }

    /// Reads on from there.
    pub(super) fn go_back(&mut self, place: usize) {
        self.at = place;
    }

    /// Makes sure that nothing is left.
    pub(super) fn end(&mut self) -> Result<(), NotJson> {
        self.token().map_or(Ok(()), |_| Err(NotJson))
    }

    /// Line and column, in bytes, both from 1; at the end of the document the column is that of its last byte.
    pub(super) fn position(&self) -> (usize, usize) {
        let read = self.json.as_bytes().get(..self.at).unwrap_or_default();
        let line = read.split(|&byte| byte == b'\n').count();
        let column = read.rsplit(|&byte| byte == b'\n').next().map_or(0, <[u8]>::len);
        (line, column + usize::from(self.at < self.json.len()))
    }

    /// Where in the document an error is that is told by line and column of the rest.
    fn place_of(&self, error: &serde_json::Error) -> usize {
        if error.is_eof() {
            return self.json.len();
        }
        let rest = self.json.get(self.at..).unwrap_or_default();
        let lines = rest.split_inclusive('\n').take(error.line().saturating_sub(1));
        self.at + lines.map(str::len).sum::<usize>() + error.column().saturating_sub(1)
    }
}

/// The text that a well-formed literal stands for. `None` when an escape is half of a surrogate pair.
///
/// `serde_json` does this too, but only together with the conversion of numbers, in and out, for messages that nobody
/// would see; the module would be a third larger. The tests have it as the judge.
fn unescaped(literal: &str) -> Option<Cow<'_, str>> {
    if !literal.as_bytes().contains(&b'\\') {
        return Some(Cow::Borrowed(literal));
    }
    let mut text = String::with_capacity(literal.len());
    let mut rest = literal;
    while let Some((plain, escape)) = rest.split_once('\\') {
        text.push_str(plain);
        let mut behind = escape.chars();
        let character = match behind.next()? {
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'u' => {
                let (character, after) = code_point(behind.as_str())?;
                behind = after.chars();
                character
            }
            itself => itself,
        };
        text.push(character);
        rest = behind.as_str();
    }
    text.push_str(rest);
    Some(Cow::Owned(text))
}

/// Reads what follows `\u`: one code unit, or two that make a surrogate pair.
fn code_point(text: &str) -> Option<(char, &str)> {
    let (unit, behind) = code_unit(text)?;
    if let Some(character) = char::from_u32(unit.into()) {
        return Some((character, behind));
    }
    let (low, behind) = code_unit(behind.strip_prefix("\\u")?)?;
    let character = char::decode_utf16([unit, low]).next()?.ok()?;
    Some((character, behind))
}

fn code_unit(text: &str) -> Option<(u16, &str)> {
    let (digits, behind) = text.split_at_checked(4)?;
    Some((u16::from_str_radix(digits, 16).ok()?, behind))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2048, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn strings_are_what_serde_json_says(
            text in r#""([ -~]{0,9}|\\u[dD][89abcdefABCDEF][0-9a-f]{2}|\\u[0-9a-fA-F]{4}|\\["\\/bfnrtux]|\PC){0,6}""#,
        ) {
            let ours = Scanner::new(&text).string().ok().map(Cow::into_owned);
            let theirs = serde_json::from_str::<String>(&text).ok();
            // Ours reads one string; what may follow is the caller's business.
            prop_assert!(ours == theirs || theirs.is_none() && ours.is_some() && !is_one_value(&text), "{text}");
        }
    }

    fn is_one_value(json: &str) -> bool {
        serde_json::from_str::<&RawValue>(json).is_ok()
    }

    #[test]
    fn values_are_read_as_they_are_written() {
        let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
        for value in ["1e999999", "-0", "null", r#""a\n\ud83d""#, r#"{ "a": [1, {}], "a": "\u0061" }"#, &deep]
        {
            let json = format!(" {value} , 2");
            let mut scanner = Scanner::new(&json);
            assert_eq!(scanner.value(), Ok(value));
            assert_eq!(scanner.expect(b','), Ok(()));
            assert_eq!((scanner.value(), scanner.end()), (Ok("2"), Ok(())));
        }
    }

    #[test]
    fn strings_are_borrowed_unless_they_hold_escapes() {
        let read = |json| Scanner::new(json).string();
        assert!(matches!(read(r#" "plain é""#), Ok(Cow::Borrowed("plain é"))));
        assert!(matches!(read(r#""esc\u0061p\\ed""#), Ok(Cow::Owned(text)) if text == "escap\\ed"));
        assert_eq!(read(r#""half \ud83d of it""#), Err(NotJson));
        assert_eq!(read("5"), Err(NotJson));
        assert_eq!(read("\"open"), Err(NotJson));
    }

    #[test]
    fn mistakes_are_found_where_they_are() {
        let position = |json| {
            let mut scanner = Scanner::new(json);
            assert_eq!(scanner.value().and_then(|_| scanner.end()), Err(NotJson), "{json}");
            scanner.position()
        };
        assert_eq!(position(""), (1, 0));
        assert_eq!(position("{\"a\": hunter2}"), (1, 7));
        assert_eq!(position("{\"a\":\n hunter2}"), (2, 2));
        assert_eq!(position("{\"a\": \"open"), (1, 11));
        assert_eq!(position("[1, 2] x"), (1, 8));
        assert_eq!(position("nulll"), (1, 5));
    }
}
