//! Extracts the objects of a list from its text, one by one, as the text arrives.

/// The text of a list, cut into its items. `serde_json` has no reader that can wait for a network, and tenants can make the text
/// of a page hundreds of megabytes long.
#[derive(Debug, Default)]
pub(super) struct Items {
    /// Number of open brackets.
    depth: usize,
    in_string: bool,
    is_escaped: bool,
    /// Whether the brackets of `items` are open.
    is_within: bool,
    /// The last string in the outermost object. If a bracket follows, it is the key.
    key: Vec<u8>,
    item: Vec<u8>,
    rest: Vec<u8>,
}

/// A buffer that grew beyond this size for one large object is not kept for the next object.
pub(super) const KEPT: usize = 64 * 1024;

impl Items {
    /// Reads more of the text. Returns how much of it was read, and whether an item ends there.
    pub(super) fn read(&mut self, text: &[u8]) -> (usize, bool) {
        for (at, byte) in text.iter().enumerate() {
            if self.take(*byte) {
                return (at + 1, true);
            }
        }
        (text.len(), false)
    }

    /// Returns the item that has ended. The next item takes its place.
    pub(super) fn item(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.item)
    }

    /// Takes back the memory of an item to use it again.
    pub(super) fn reuse(&mut self, mut item: Vec<u8>) {
        if item.capacity() <= KEPT {
            item.clear();
            self.item = item;
        }
    }

    /// Returns the text without its items: an object like the list, but with no items.
    pub(super) fn rest(&self) -> &[u8] {
        &self.rest
    }

    /// Returns whether an item ends with this byte.
    fn take(&mut self, byte: u8) -> bool {
        let was_in_item = self.is_in_item();
        if self.in_string {
            self.string(byte);
        } else {
            match byte {
                b'"' => {
                    self.in_string = true;
                    self.key.clear();
                }
                b'{' | b'[' => {
                    self.depth += 1;
                    self.is_within |= self.depth == 2 && byte == b'[' && self.key == b"items";
                }
                b'}' | b']' => {
                    self.depth = self.depth.saturating_sub(1);
                    self.is_within &= self.depth > 1;
                }
                _ => {}
            }
        }
        if was_in_item || self.is_in_item() {
            self.item.push(byte);
        } else if !(self.is_within && byte != b'[') {
            self.rest.push(byte);
        }
        was_in_item && !self.is_in_item()
    }

    fn string(&mut self, byte: u8) {
        match byte {
            _ if self.is_escaped => self.is_escaped = false,
            b'\\' => self.is_escaped = true,
            b'"' => self.in_string = false,
            _ if self.depth == 1 => self.key.push(byte),
            _ => {}
        }
    }

    fn is_in_item(&self) -> bool {
        self.is_within && self.depth > 2
    }
}

/// Returns the items of a text that comes in pieces of this size, and the text without them.
#[cfg(any(test, fuzzing))]
pub fn cut(text: &[u8], size: usize) -> (Vec<Vec<u8>>, Vec<u8>) {
    let (mut items, mut found) = (Items::default(), Vec::new());
    for mut piece in text.chunks(size) {
        while !piece.is_empty() {
            let (read, ends) = items.read(piece);
            if ends {
                let item = items.item();
                found.push(item.clone());
                items.reuse(item);
            }
            piece = piece.get(read..).unwrap_or_default();
        }
    }
    (found, items.rest().to_vec())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    /// Returns the items and the rest of a text that arrives in pieces of this size.
    fn cut(text: &str, size: usize) -> (Vec<String>, String) {
        let text_of = |bytes| String::from_utf8(bytes).unwrap();
        let (items, rest) = super::cut(text.as_bytes(), size);
        (items.into_iter().map(text_of).collect(), text_of(rest))
    }

    #[test]
    fn a_list_is_cut_into_its_items_and_the_rest() {
        let text = r#"{"kind":"List","metadata":{"items":[{"a":1}],"resourceVersion":"7"},"items":[ {"a":"}\\\"{["},
            {} ,{"items":[{"b":[]}]}],"more":"items","other":[{"c":1}]}"#;
        for size in [1, 7, text.len()] {
            let (items, rest) = cut(text, size);
            assert_eq!(items, [r#"{"a":"}\\\"{["}"#, "{}", r#"{"items":[{"b":[]}]}"#]);
            assert_eq!(
                rest,
                r#"{"kind":"List","metadata":{"items":[{"a":1}],"resourceVersion":"7"},"items":[],"more":"items","other":[{"c":1}]}"#
            );
        }
    }

    #[test]
    fn a_list_without_items_has_none() {
        for text in [r#"{"items":null,"metadata":{}}"#, r#"{"items":[]}"#, r#"{"metadata":{}}"#, ""] {
            assert_eq!(cut(text, 3), (Vec::new(), text.to_owned()));
        }
    }

    #[test]
    fn depth_has_no_limit() {
        let deep = format!(r#"{{"a":{}{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(cut(&format!(r#"{{"items":[{deep}]}}"#), 4096).0, [deep]);
    }

    #[test]
    fn what_was_large_is_not_kept() {
        let mut items = Items::default();
        items.reuse(Vec::with_capacity(KEPT + 1));
        assert_eq!(items.item.capacity(), 0);
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<i32>().prop_map(Value::from),
            "[a-z\\\\\"{}\\[\\],: é]{0,8}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("items|[a-z\\\\\"{\\[]{0,4}", inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn the_items_are_those_that_serde_json_finds(
            items in prop::collection::vec(prop::collection::btree_map("[a-z]{1,3}", value(), 0..3), 0..4),
            metadata in value(),
            size in 1_usize..40,
            is_pretty: bool,
        ) {
            let list = json!({ "a": metadata, "items": items, "metadata": metadata });
            let text = if is_pretty { serde_json::to_string_pretty(&list)? } else { list.to_string() };
            let (found, rest) = cut(&text, size);
            let found: Vec<Value> = found.iter().map(|item| serde_json::from_str(item)).collect::<Result<_, _>>()?;
            prop_assert_eq!(Value::from(found), list["items"].clone());
            let rest: Value = serde_json::from_str(&rest)?;
            prop_assert_eq!(&rest["metadata"], &list["metadata"]);
            prop_assert_eq!(&rest["items"], &json!([]));
        }
    }
}
