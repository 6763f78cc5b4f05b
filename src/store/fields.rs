//! Documents of text fields, the shape of everything secret in a store: canonical JSON, one object of strings.

use std::borrow::Cow;
use std::collections::BTreeMap;

use zeroize::{Zeroize as _, Zeroizing};

use crate::secret::Secret;

/// One document: text fields by name. Texts it owns are wiped when it goes.
#[derive(Default)]
pub struct Fields<'a>(BTreeMap<Text<'a>, Text<'a>>);

/// A text that borrows from the document it was read from wherever JSON's escapes allow.
#[derive(PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl std::borrow::Borrow<str> for Text<'_> {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// Bytes that are not a document of text fields. Says nothing of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it is not a JSON object of strings")]
pub struct NotFields;

impl<'a> Fields<'a> {
    /// Reads a document.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, NotFields> {
        serde_json::from_slice(bytes).map(Self).map_err(|_| NotFields)
    }

    /// Writes the document: sorted by name, no white space.
    pub fn encode(&self) -> Zeroizing<Vec<u8>> {
        // An escape is at most six bytes for one; the buffer must never grow, because growing leaves a copy behind.
        let capacity: usize = self.0.iter().map(|(key, value)| 6 * (key.0.len() + value.0.len()) + 6).sum();
        let mut bytes = Zeroizing::new(Vec::with_capacity(capacity + 2));
        serde_json::to_writer(&mut *bytes, &self.0).expect("strings always serialise, and a Vec takes every byte");
        bytes
    }

    /// Sets a field.
    pub fn set(&mut self, key: impl Into<Cow<'a, str>>, value: impl Into<Cow<'a, str>>) {
        self.0.insert(Text(key.into()), Text(value.into()));
    }

    /// A field's text, if there is such a field.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(|text| &*text.0)
    }

    /// A field's text as a secret of its own.
    pub fn secret(&self, key: &str) -> Option<Secret> {
        self.get(key).map(|text| Secret::from_text(text.to_owned()))
    }
}

impl std::fmt::Debug for Fields<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Fields(…)")
    }
}

impl Drop for Fields<'_> {
    fn drop(&mut self) {
        for Text(text) in self.0.values_mut() {
            if let Cow::Owned(text) = text {
                text.zeroize();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn documents_survive_and_their_buffer_never_grows(fields in proptest::collection::btree_map(".{0,20}", ".{0,60}", 0..6)) {
            let mut document = Fields::default();
            for (key, value) in &fields {
                document.set(key.as_str(), value.as_str());
            }
            let bytes = document.encode();
            let again = Fields::decode(&bytes).unwrap();
            prop_assert!(fields.iter().all(|(key, value)| again.get(key) == Some(value.as_str())));
            prop_assert!(again.encode() == bytes);
        }
    }

    #[test]
    fn only_objects_of_strings_are_documents() {
        for bytes in ["", "[]", "{\"a\":1}", "{\"a\":\"b\"", "{\"a\":\"b\"} x"] {
            assert!(Fields::decode(bytes.as_bytes()).is_err(), "{bytes}");
        }
    }
}
