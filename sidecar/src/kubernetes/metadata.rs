//! The metadata of an object as the API server shows it, read leniently.
//!
//! Tenants choose what stands in labels, annotations and `managedFields`, and Kubernetes keeps more than the usual types can
//! hold: dates of the year 10000, and objects that are nested deeper than a parser may recurse. So these stay text until
//! one field of them is asked for, and what cannot be read is the same as absent.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::de::{DeserializeOwned, DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::{RawValue, to_raw_value};

/// What is read of an object's metadata.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Metadata<'a> {
    /// Its name.
    #[serde(borrow, default)]
    pub name: Cow<'a, str>,
    /// Its namespace; empty where it has none.
    #[serde(borrow, default)]
    pub namespace: Cow<'a, str>,
    /// Changes when it is deleted and created again.
    #[serde(borrow)]
    pub uid: Cow<'a, str>,
    /// Changes with each write.
    #[serde(borrow)]
    pub resource_version: Cow<'a, str>,
    #[serde(borrow)]
    finalizers: Option<&'a RawValue>,
    #[serde(default)]
    deletion_timestamp: Option<IgnoredAny>,
    #[serde(borrow)]
    labels: Option<&'a RawValue>,
    #[serde(borrow)]
    annotations: Option<&'a RawValue>,
    #[serde(borrow)]
    managed_fields: Option<&'a RawValue>,
}

/// One entry of `managedFields`: who wrote which fields, and when.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry<'a> {
    /// The name that the writer gave itself.
    #[serde(borrow, default)]
    pub manager: Cow<'a, str>,
    /// `Apply` or `Update`.
    #[serde(borrow, default)]
    pub operation: Cow<'a, str>,
    #[serde(borrow)]
    time: Option<&'a RawValue>,
    #[serde(borrow, rename = "fieldsV1")]
    fields: Option<&'a RawValue>,
}

/// An object, as far as every object is the same.
#[derive(Deserialize)]
struct Object<'a> {
    #[serde(borrow)]
    metadata: Metadata<'a>,
}

/// Where an object is, as far as that can be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Its namespace; empty where it has none.
    pub namespace: Box<str>,
    /// Its name.
    pub name: Box<str>,
}

impl Place {
    /// Where an object is that may not be readable otherwise.
    pub fn of(object: &str) -> Self {
        let metadata =
            serde_json::from_str::<&RawValue>(object).ok().and_then(|object| member(object, "metadata"));
        let part = |key| metadata.and_then(|all| text(member(all, key)?)).unwrap_or_default().as_ref().into();
        Self { namespace: part("namespace"), name: part("name") }
    }
}

impl<'a> Metadata<'a> {
    /// Reads the metadata of an object.
    pub fn of(object: &'a str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(object).map(|Object { metadata }| metadata)
    }

    /// Whether it is being deleted.
    pub fn is_terminating(&self) -> bool {
        self.deletion_timestamp.is_some()
    }

    /// Who has to let go of it before it can be deleted.
    pub fn finalizers(&self) -> Vec<Cow<'a, str>> {
        let mut finalizers = Vec::new();
        if let Some(list) = self.finalizers {
            elements(list, |one| finalizers.extend(text(one)));
        }
        finalizers
    }

    /// The value of one of its labels.
    pub fn label(&self, key: &str) -> Option<Cow<'a, str>> {
        text(member(self.labels?, key)?)
    }

    /// All of its labels; none where they cannot be read.
    pub fn labels(&self) -> BTreeMap<String, String> {
        self.labels.and_then(|labels| serde_json::from_str(labels.get()).ok()).unwrap_or_default()
    }

    /// The value of one of its annotations; none where it is longer than `longest` bytes, as nothing of ours is.
    pub fn annotation(&self, key: &str, longest: usize) -> Option<Cow<'a, str>> {
        let value = member(self.annotations?, key)?;
        // Escapes may make the text up to six times as long as its value.
        (value.get().len() / 6 <= longest).then(|| text(value)).flatten().filter(|text| text.len() <= longest)
    }

    /// Its `managedFields`; none where they cannot be read.
    pub fn managers(&self) -> Vec<Entry<'a>> {
        self.managed_fields.and_then(|entries| serde_json::from_str(entries.get()).ok()).unwrap_or_default()
    }
}

impl Entry<'_> {
    /// Whether its manager wrote the field at this path.
    pub fn owns(&self, path: &[&str]) -> bool {
        self.fields.is_some_and(|fields| {
            let field = path.iter().try_fold(fields, |at, step| member(at, step));
            field.is_some()
        })
    }

    /// When it was written, as the API server shows it: RFC 3339 in UTC, so that texts are in the order of times.
    pub fn time(&self) -> Cow<'_, str> {
        self.time.and_then(text).unwrap_or_default()
    }
}

/// Reads an object without its `managedFields`, by a type that could not hold all that may stand there.
pub fn decode<T: DeserializeOwned>(object: &str) -> Result<T, serde_json::Error> {
    let mut object: BTreeMap<String, &RawValue> = serde_json::from_str(object)?;
    let metadata = object.get("metadata").map_or("{}", |metadata| metadata.get());
    let mut metadata: BTreeMap<String, &RawValue> = serde_json::from_str(metadata)?;
    metadata.remove("managedFields");
    let metadata = to_raw_value(&metadata)?;
    object.insert("metadata".to_owned(), &metadata);
    serde_json::from_str(&serde_json::to_string(&object)?)
}

/// The string that this is; none of anything else.
pub fn text(value: &RawValue) -> Option<Cow<'_, str>> {
    struct Text;

    impl<'de> Visitor<'de> for Text {
        type Value = Cow<'de, str>;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("a string")
        }

        fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
            Ok(Cow::Borrowed(text))
        }

        fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
            Ok(Cow::Owned(text.to_owned()))
        }
    }

    serde_json::Deserializer::from_str(value.get()).deserialize_str(Text).ok()
}

/// The value of a key in an object; none where there is no such key, and of anything else. Its depth has no limit.
pub fn member<'a>(object: &'a RawValue, key: &str) -> Option<&'a RawValue> {
    serde_json::Deserializer::from_str(object.get()).deserialize_map(Member(key)).ok().flatten()
}

/// Calls `each` with the elements of a list, until one of them ends it; of anything else, never.
pub fn elements<'a>(list: &'a RawValue, each: impl FnMut(&'a RawValue)) {
    // What is no list has no elements, and a list that breaks off has those before.
    let _ = serde_json::Deserializer::from_str(list.get()).deserialize_seq(Elements(each));
}

struct Member<'k>(&'k str);

impl<'de> Visitor<'de> for Member<'_> {
    type Value = Option<&'de RawValue>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some(is_it) = members.next_key_seed(Is(self.0))? {
            if is_it {
                found = Some(members.next_value()?);
            } else {
                members.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }
}

/// Whether a key is this one, without a copy of it.
struct Is<'k>(&'k str);

impl<'de> DeserializeSeed<'de> for Is<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<bool, D::Error> {
        from.deserialize_str(self)
    }
}

impl Visitor<'_> for Is<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: serde::de::Error>(self, key: &str) -> Result<bool, E> {
        Ok(key == self.0)
    }
}

struct Elements<F>(F);

impl<'de, F: FnMut(&'de RawValue)> Visitor<'de> for Elements<F> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut elements: A) -> Result<(), A::Error> {
        while let Some(element) = elements.next_element()? {
            (self.0)(element);
        }
        Ok(())
    }
}
