//! JSON by reference: types for serde's derived readers that borrow from the document, and errors that never quote it.

mod tree;

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;
use std::ops::Range;

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

pub(crate) use tree::Tree;

/// Reads a document.
///
/// # Errors
/// Returns what is wrong with the document, and where.
pub fn read<'de, T: Deserialize<'de>>(json: &'de str) -> Result<T, Malformed> {
    serde_json::from_str(json).map_err(|error| {
        if !error.is_data() {
            let (line, column) = (error.line(), error.column());
            return Malformed::new(format!("is not valid JSON (line {line}, column {column})"));
        }
        let lines = json.split_inclusive('\n').take(error.line().saturating_sub(1));
        let at = lines.map(str::len).sum::<usize>() + error.column();
        Malformed { path: path_to(json, at), complaint: complaint(&error.to_string()) }
    })
}

/// Returns the path of the value at a position.
///
/// It is called only for values of the wrong type. All of these are below keys that a reader knows, so no path quotes the
/// document.
fn path_to(json: &str, at: usize) -> String {
    let mut path = String::new();
    let mut value = json;
    while let Some((step, inner)) = step_to(json, value, at) {
        let dot = if path.is_empty() || step.starts_with('[') { "" } else { "." };
        path = format!("{path}{dot}{step}");
        value = inner;
    }
    path
}

/// Returns the entry of a map or a list at a position.
fn step_to<'a>(json: &str, value: &'a str, at: usize) -> Option<(String, &'a str)> {
    let is_at = |entry: &str| place_in(json, entry).is_some_and(|place| place.start <= at && at <= place.end);
    if let Ok(list) = serde_json::from_str::<Vec<&RawValue>>(value) {
        let (index, entry) = list.iter().enumerate().find(|(_, entry)| is_at(entry.get()))?;
        return Some((format!("[{index}]"), entry.get()));
    }
    let Entries(map) = serde_json::from_str(value).ok()?;
    let (Text(key), entry) = map.into_iter().find(|(_, entry)| is_at(entry.get()))?;
    Some((key.into_owned(), entry.get()))
}

/// Rewrites serde's message about a value of the wrong type, without the value.
fn complaint(error: &str) -> String {
    // The message ends with the position in the document. The text after "expected" comes from our code, so a search from the
    // end finds it whatever the document contains.
    let text = error.rsplit_once(" at line ").map_or(error, |(text, _)| text);
    if let Some(key) = text.strip_prefix("missing field ") {
        format!("lacks {key}")
    } else if let Some(key) = text.strip_prefix("duplicate field ") {
        format!("contains {key} twice")
    } else {
        match text.rsplit_once(", expected ") {
            Some((_, "a sequence")) => "must be a list".to_owned(),
            Some((_, expected)) => format!("must be {expected}"),
            None => "has an unexpected value".to_owned(),
        }
    }
}

/// What is wrong with a document, and where in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Malformed {
    /// A path such as `spec.imagePullSecrets[0].name`; empty for the whole document.
    pub path: String,
    /// What is wrong there. It never quotes the document.
    pub complaint: String,
}

impl Malformed {
    /// Creates an error about the whole document.
    #[must_use]
    pub fn new(complaint: impl Into<String>) -> Self {
        Self { path: String::new(), complaint: complaint.into() }
    }

    /// Returns the same error with a path that begins one level higher, at `parent`.
    #[must_use]
    pub fn below(mut self, parent: &str) -> Self {
        let dot = if self.path.is_empty() || self.path.starts_with('[') { "" } else { "." };
        self.path = format!("{parent}{dot}{}", self.path);
        self
    }
}

/// A map, read as `T`. A derived struct without this wrapper would also accept a list.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Map<T>(pub T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Map<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Fields<T> {
            type Value = Map<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(Map)
            }
        }

        deserializer.deserialize_map(Fields(PhantomData))
    }
}

/// The entries of a map as they are written, in the order of the document.
struct Entries<'a>(Vec<(Text<'a>, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Entries<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct All;

        impl<'de> Visitor<'de> for All {
            type Value = Entries<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Entries(entries))
            }
        }

        deserializer.deserialize_map(All)
    }
}

/// A string, borrowed unless it contains escapes. As in Kubernetes, `null` and an absent field are read as the empty string.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Text<'a>(pub Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(transparent)]
        struct Borrowed<'a>(#[serde(borrow)] Cow<'a, str>);

        let text = Option::<Borrowed<'de>>::deserialize(deserializer)?;
        Ok(text.map(|Borrowed(text)| Self(text)).unwrap_or_default())
    }
}

/// A value as it is written. It distinguishes an explicit `null` from an absent field.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Raw<'a>(pub Option<&'a str>);

impl<'de: 'a, 'a> Deserialize<'de> for Raw<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <&RawValue>::deserialize(deserializer).map(|value| Self(Some(value.get())))
    }
}

impl<'a> Raw<'a> {
    /// Returns the value, unless it is absent or `null`.
    #[must_use]
    pub fn not_null(self) -> Option<&'a str> {
        self.0.filter(|value| *value != "null")
    }
}

/// Returns the range of `part` within `whole`, or `None` when `part` is not a slice of `whole`.
pub(crate) fn place_in(whole: &str, part: &str) -> Option<Range<usize>> {
    let start = (part.as_ptr() as usize).checked_sub(whole.as_ptr() as usize)?;
    let end = start.checked_add(part.len())?;
    (end <= whole.len()).then_some(start..end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    struct Sample<'a> {
        #[serde(borrow)]
        name: Text<'a>,
        entries: Option<Vec<Text<'a>>>,
        flag: Option<bool>,
        inner: Option<Map<Inner<'a>>>,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    struct Inner<'a> {
        #[serde(borrow)]
        kept: Raw<'a>,
    }

    fn sample(json: &str) -> Result<Sample<'_>, Malformed> {
        read::<Map<Sample<'_>>>(json).map(|Map(sample)| sample)
    }

    #[test]
    fn complaints_name_the_path_and_never_quote_the_document() {
        let check = |json: &str, path: &str, text: &str| {
            let Malformed { path: at, complaint } = sample(json).unwrap_err();
            assert_eq!((at.as_str(), complaint.as_str()), (path, text), "{json}");
        };
        check(r#"{"name": {"hunter2": 1}}"#, "name", "must be a string");
        check(
            r#"{"name": "a", "entries": "hunter2, expected hunter2 at line 1"}"#,
            "entries",
            "must be a list",
        );
        check(r#"{"name": "a", "entries": ["a", 5]}"#, "entries[1]", "must be a string");
        check(r#"{"name": "a", "flag": "hunter2"}"#, "flag", "must be a boolean");
        check(r#"{"inner": {}}"#, "inner", "lacks `kept`");
        check(r#"{"inner": [1]}"#, "inner", "must be a map");
        check(r#"{"inner": {"kept": 1, "kept": 2}}"#, "inner", "contains `kept` twice");
        check(r#"{"name": "a", "n\u0061me": "hunter2"}"#, "", "contains `name` twice");
        check(r#"{"name": "hunter2"#, "", "is not valid JSON (line 1, column 17)");
        check(r#"{"name": "hunter2"} hunter2"#, "", "is not valid JSON (line 1, column 21)");
        check("{\"name\":\n hunter2}", "", "is not valid JSON (line 2, column 2)");
        check(r#"{"name": "half \ud83d of it"}"#, "", "is not valid JSON (line 1, column 22)");
        check("null", "", "must be a map");
        check("[\"hunter2\", []]", "", "must be a map");
    }

    #[test]
    fn what_does_not_decide_is_passed_over() {
        let read = sample(r#" {"x": [{"name": 1}], "n\u0061me": null, "x": 2, "entries": null} "#).unwrap();
        assert_eq!(read, Sample { name: Text::default(), entries: None, flag: None, inner: None });
    }

    #[test]
    fn plain_text_is_borrowed_and_escaped_text_is_not() {
        let name = |json| sample(json).unwrap().name.0;
        assert!(matches!(name(r#"{"name": "plain é"}"#), Cow::Borrowed("plain é")));
        assert!(matches!(name(r#"{"name": "esc\u0061p\\ed"}"#), Cow::Owned(text) if text == "escap\\ed"));
    }

    #[test]
    fn raw_values_are_kept_as_they_are_written_however_deep_they_are() {
        let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
        for value in ["1e999999", "-0", "null", r#""a\n\ud83d""#, r#"{ "a": [1, {}], "a": "\u0061" }"#, &deep]
        {
            let json = format!(r#"{{"inner": {{"kept" : {value} }} }}"#);
            assert_eq!(sample(&json).unwrap().inner, Some(Map(Inner { kept: Raw(Some(value)) })));
        }
    }

    #[test]
    fn places_are_found_and_strangers_are_not() {
        let whole = "some text";
        let (_, part) = whole.split_at(5);
        assert_eq!(place_in(whole, part), Some(5..9));
        assert_eq!(place_in(part, whole), None);
    }
}
