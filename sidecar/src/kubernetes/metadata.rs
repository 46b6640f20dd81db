//! The metadata of an object as the API server shows it, read leniently.
//!
//! Tenants choose the content of labels, annotations and `managedFields`, and Kubernetes stores more than the usual types can
//! hold: dates of the year 10000, and objects that are nested deeper than a parser may recurse. So these parts stay text until
//! one of their fields is needed, and a field that cannot be read counts as absent.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::de::{DeserializeOwned, DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::{RawValue, to_raw_value};

/// The part of an object's metadata that is read.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Metadata<'a> {
    /// Its name.
    #[serde(borrow, default)]
    pub name: Cow<'a, str>,
    /// Its namespace; empty if it has none.
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
pub struct ManagedFieldsEntry<'a> {
    /// The name that the writer uses.
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

/// The part that all objects have in common.
#[derive(Deserialize)]
struct Object<'a> {
    #[serde(borrow)]
    metadata: Metadata<'a>,
}

/// The namespace and name of an object, as far as they can be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Its namespace; empty if it has none.
    pub namespace: Box<str>,
    /// Its name.
    pub name: Box<str>,
}

impl Place {
    /// Returns the place of an object that may not be readable otherwise.
    pub fn parse(object: &str) -> Self {
        let metadata =
            serde_json::from_str::<&RawValue>(object).ok().and_then(|object| member(object, "metadata"));
        let part = |key| metadata.and_then(|all| text(member(all, key)?)).unwrap_or_default().as_ref().into();
        Self { namespace: part("namespace"), name: part("name") }
    }
}

impl<'a> Metadata<'a> {
    /// Reads the metadata of an object.
    pub fn parse(object: &'a str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(object).map(|Object { metadata }| metadata)
    }

    /// Returns whether it is being deleted.
    pub fn is_terminating(&self) -> bool {
        self.deletion_timestamp.is_some()
    }

    /// Returns the finalizers that have to be removed before it is deleted.
    pub fn finalizers(&self) -> Vec<Cow<'a, str>> {
        let mut finalizers = Vec::new();
        if let Some(list) = self.finalizers {
            elements(list, |one| finalizers.extend(text(one)));
        }
        finalizers
    }

    /// Returns the value of one of its labels.
    pub fn label(&self, key: &str) -> Option<Cow<'a, str>> {
        text(member(self.labels?, key)?)
    }

    /// Returns all of its labels; none if they cannot be read.
    pub fn labels(&self) -> BTreeMap<String, String> {
        self.labels.and_then(|labels| serde_json::from_str(labels.get()).ok()).unwrap_or_default()
    }

    /// Returns the value of one of its annotations; `None` if it is longer than `longest` bytes, because our values never are.
    pub fn annotation(&self, key: &str, longest: usize) -> Option<Cow<'a, str>> {
        let value = member(self.annotations?, key)?;
        // With escapes, the text may be up to six times as long as its value.
        (value.get().len() / 6 <= longest).then(|| text(value)).flatten().filter(|text| text.len() <= longest)
    }

    /// Returns its `managedFields`; empty if they cannot be read.
    pub fn managers(&self) -> Vec<ManagedFieldsEntry<'a>> {
        self.managed_fields.and_then(|entries| serde_json::from_str(entries.get()).ok()).unwrap_or_default()
    }
}

impl ManagedFieldsEntry<'_> {
    /// Returns whether its manager wrote the field at this path.
    pub fn owns(&self, path: &[&str]) -> bool {
        self.fields.is_some_and(|fields| {
            let field = path.iter().try_fold(fields, |at, step| member(at, step));
            field.is_some()
        })
    }

    /// Returns when it was written, as the API server shows it: RFC 3339 in UTC, so that the order of texts is the order of
    /// times.
    pub fn time(&self) -> Cow<'_, str> {
        self.time.and_then(text).unwrap_or_default()
    }
}

/// Reads an object without its `managedFields`. The type could not hold all of their possible content.
pub fn decode<T: DeserializeOwned>(object: &str) -> Result<T, serde_json::Error> {
    let mut object: BTreeMap<String, &RawValue> = serde_json::from_str(object)?;
    let metadata = object.get("metadata").map_or("{}", |metadata| metadata.get());
    let mut metadata: BTreeMap<String, &RawValue> = serde_json::from_str(metadata)?;
    metadata.remove("managedFields");
    let metadata = to_raw_value(&metadata)?;
    object.insert("metadata".to_owned(), &metadata);
    serde_json::from_str(&serde_json::to_string(&object)?)
}

/// Returns the string that this value is; `None` for any other value.
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

/// Returns the value of a key in an object; `None` if there is no such key, or if it is not an object. Its depth has no limit.
pub fn member<'a>(object: &'a RawValue, key: &str) -> Option<&'a RawValue> {
    serde_json::Deserializer::from_str(object.get()).deserialize_map(Member(key)).ok().flatten()
}

/// Calls `each` with the elements of a list until one of the calls ends it; never if it is not a list.
pub fn elements<'a>(list: &'a RawValue, each: impl FnMut(&'a RawValue)) {
    // A value that is not a list has no elements, and a list that ends too early has the elements before that.
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

/// Compares a key with this one without copying it.
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
