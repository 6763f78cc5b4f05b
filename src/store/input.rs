//! Where given passwords may be read: only below a store's `inputs`.

use std::collections::BTreeMap;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use zeroize::Zeroizing;

use super::StoreError;
use super::fields::Fields;
use super::payload::OWN_FIELD;
use crate::names::{NamespacedName, Segment, StoreName};
use crate::secret::Secret;

/// Folder of Kastellan's own documents in every store; no namespace and no input may lie there.
pub const OWN_FOLDER: &str = "_kastellan";

/// What a store keeps apart from users' documents.
#[derive(Debug, Clone)]
pub struct Inputs {
    store: StoreName,
    prefixes: Vec<Vec<Segment>>,
}

impl Inputs {
    /// Takes the prefixes of a store's `inputs`, e.g. `imports/`.
    ///
    /// # Errors
    /// A prefix is empty, has a segment that is none, or opens Kastellan's own folder.
    pub fn parse(store: &StoreName, prefixes: &[String]) -> Result<Self, StoreError> {
        let prefixes = prefixes
            .iter()
            .map(|prefix| {
                segments(prefix.trim_end_matches('/'))
                    .filter(|segments| !is_own_folder(&segments[0]))
                    .ok_or_else(|| StoreError::OutsideInputs { path: prefix.clone(), store: store.clone() })
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { store: store.clone(), prefixes })
    }

    /// The segments of an input path, e.g. `imports/legacy`, if it lies below one of the prefixes.
    pub fn resolve(&self, path: &str) -> Result<Vec<Segment>, StoreError> {
        segments(path)
            .filter(|path| {
                self.prefixes.iter().any(|prefix| path.len() > prefix.len() && path.starts_with(prefix.as_slice()))
            })
            .ok_or_else(|| StoreError::OutsideInputs { path: path.to_owned(), store: self.store.clone() })
    }

    /// The segments of a folder that is one of the prefixes or lies below one, e.g. `imports/`.
    pub fn resolve_folder(&self, path: &str) -> Result<Vec<Segment>, StoreError> {
        segments(path.strip_suffix('/').unwrap_or(path))
            .filter(|path| self.prefixes.iter().any(|prefix| path.starts_with(prefix.as_slice())))
            .ok_or_else(|| StoreError::OutsideInputs { path: path.to_owned(), store: self.store.clone() })
    }

    /// Refuses a user whose documents would lie among the inputs or in Kastellan's own folder.
    pub fn check_user(&self, user: &NamespacedName) -> Result<(), StoreError> {
        let reserved = is_own_folder(&user.namespace)
            || self.prefixes.iter().any(|prefix| prefix.first() == Some(&user.namespace));
        if reserved {
            return Err(StoreError::ReservedNamespace { user: user.clone(), store: self.store.clone() });
        }
        Ok(())
    }
}

/// Whatever its case: some file systems do not tell them apart.
fn is_own_folder(segment: &Segment) -> bool {
    segment.as_str().eq_ignore_ascii_case(OWN_FOLDER)
}

/// The segments of a path, at least one; `None` if any of them is not fit to be one.
fn segments(path: &str) -> Option<Vec<Segment>> {
    path.split('/').map(|segment| Segment::parse(segment).ok()).collect()
}

/// An input document with one key set; `None` when it holds just that already.
pub fn merge_input(
    place: &str,
    before: Option<&[u8]>,
    key: &str,
    secret: &Secret,
) -> Result<Option<Zeroizing<Vec<u8>>>, StoreError> {
    let mut fields = match before {
        Some(bytes) => Fields::decode(bytes).map_err(|error| StoreError::damaged(place, error.to_string()))?,
        None => Fields::default(),
    };
    if key == OWN_FIELD || fields.get(OWN_FIELD).is_some() {
        return Err(StoreError::NotAnInput { place: place.to_owned() });
    }
    if fields.secret(key).is_some_and(|present| present.ct_eq(secret)) {
        return Ok(None);
    }
    let text = secret.expose_text().ok_or_else(|| StoreError::NotText { place: place.to_owned() })?;
    fields.set(key, text);
    Ok(Some(fields.encode()))
}

/// An input document, opened.
#[derive(Debug)]
pub struct InputDocument(BTreeMap<String, InputValue>);

impl InputDocument {
    /// Reads a document. Documents of the store's own, copied to an input path, stay closed: otherwise who may write there
    /// could read any of them.
    pub(super) fn decode(place: &str, bytes: &[u8]) -> Result<Self, StoreError> {
        let values: BTreeMap<String, InputValue> =
            serde_json::from_slice(bytes).map_err(|_| StoreError::damaged(place, "it is not a JSON object"))?;
        if values.contains_key(OWN_FIELD) {
            return Err(StoreError::NotAnInput { place: place.to_owned() });
        }
        Ok(Self(values))
    }

    /// Takes the value of a key out of the document; `None` where it has no such key.
    pub fn take(&mut self, key: &str) -> Option<InputValue> {
        self.0.remove(key)
    }

    /// A value that is no secret, e.g. a user name. `None`: there is no such key; `Some(None)`: its value is not a text.
    pub fn plain(&self, key: &str) -> Option<Option<&str>> {
        Some(match self.0.get(key)? {
            InputValue::Text(text) => text.expose_text(),
            InputValue::Other => None,
        })
    }
}

impl IntoIterator for InputDocument {
    type Item = (String, InputValue);
    type IntoIter = std::collections::btree_map::IntoIter<String, InputValue>;

    /// Keys with their values, sorted by key.
    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

/// What somebody wrote under one key of an input.
#[derive(Debug)]
pub enum InputValue {
    /// A text.
    Text(Secret),
    /// Something else, e.g. a number, which no password is.
    Other,
}

impl<'de> Deserialize<'de> for InputValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyValue)
    }
}

/// Takes every value JSON has, and keeps texts alone.
struct AnyValue;

impl<'de> Visitor<'de> for AnyValue {
    type Value = InputValue;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a value")
    }

    fn visit_str<E>(self, text: &str) -> Result<InputValue, E> {
        Ok(InputValue::Text(Secret::from_text(text.to_owned())))
    }

    fn visit_bool<E>(self, _: bool) -> Result<InputValue, E> {
        Ok(InputValue::Other)
    }

    fn visit_i64<E>(self, _: i64) -> Result<InputValue, E> {
        Ok(InputValue::Other)
    }

    fn visit_u64<E>(self, _: u64) -> Result<InputValue, E> {
        Ok(InputValue::Other)
    }

    fn visit_f64<E>(self, _: f64) -> Result<InputValue, E> {
        Ok(InputValue::Other)
    }

    fn visit_unit<E>(self) -> Result<InputValue, E> {
        Ok(InputValue::Other)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<InputValue, A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(InputValue::Other)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<InputValue, A::Error> {
        while entries.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(InputValue::Other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inputs() -> Inputs {
        Inputs::parse(&StoreName::parse("local").unwrap(), &["imports/".into(), "given/by/hand".into()]).unwrap()
    }

    #[test]
    fn only_paths_below_a_prefix_are_inputs() {
        let inputs = inputs();
        for path in ["imports/legacy", "imports/a/b", "given/by/hand/x"] {
            assert!(inputs.resolve(path).is_ok(), "{path}");
        }
        let outside = [
            "",
            "imports",
            "imports/",
            "imports//x",
            "imports/../payments/payments",
            "/imports/x",
            "imports/./x",
            "importsx/y",
            "given/by/x",
            "_kastellan/material/a/b/1",
            "payments/payments",
            "imports/a\0b",
            "imports/a\\b",
        ];
        for path in outside {
            assert!(matches!(inputs.resolve(path), Err(StoreError::OutsideInputs { .. })), "{path:?}");
        }
    }

    #[test]
    fn folders_are_prefixes_and_what_lies_below_them() {
        let inputs = inputs();
        for folder in ["imports/", "imports", "imports/a/b/", "given/by/hand/"] {
            assert!(inputs.resolve_folder(folder).is_ok(), "{folder}");
        }
        for folder in ["", "/", "given/by/", "imports//", "imports/../", "_kastellan/records/", "payments/"] {
            let refused = inputs.resolve_folder(folder);
            assert!(matches!(refused, Err(StoreError::OutsideInputs { .. })), "{folder:?}");
        }
    }

    #[test]
    fn documents_of_other_teams_are_read_with_all_they_hold() {
        let json =
            br#"{"password": "a \u00fc", "port": 9092, "on": true, "none": null, "list": ["x"], "map": {"y": 1.5}}"#;
        let mut document = InputDocument::decode("imports/x", json).unwrap();
        let Some(InputValue::Text(password)) = document.take("password") else { panic!("{document:?}") };
        assert_eq!(password.expose_text(), Some("a ü"));
        assert!(document.take("password").is_none());
        let rest = document.into_iter().map(|(key, value)| (key, matches!(value, InputValue::Other)));
        let keys = ["list", "map", "none", "on", "port"].map(|key| (key.to_owned(), true));
        assert!(rest.eq(keys));
        for damaged in ["", "[]", "\"x\"", "{\"a\": \"b\""] {
            let read = InputDocument::decode("imports/x", damaged.as_bytes());
            assert!(matches!(read, Err(StoreError::Damaged { .. })), "{damaged}");
        }
        let own = InputDocument::decode("imports/x", br#"{"rotation_id": 7, "password": "x"}"#);
        assert!(matches!(own, Err(StoreError::NotAnInput { .. })));
    }

    #[test]
    fn users_cannot_live_among_inputs_or_our_own_documents() {
        for user in ["imports/x", "given/x", "_kastellan/records"] {
            assert!(inputs().check_user(&user.parse().unwrap()).is_err(), "{user}");
        }
        assert!(inputs().check_user(&"payments/imports".parse().unwrap()).is_ok());
    }

    #[test]
    fn prefixes_that_open_everything_are_refused() {
        let store = StoreName::parse("local").unwrap();
        for prefix in ["", "/", "_kastellan", "_kastellan/records/", ".."] {
            assert!(Inputs::parse(&store, &[prefix.into()]).is_err(), "{prefix:?}");
        }
    }
}
