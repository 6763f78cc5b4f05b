//! Where given passwords may be read: only below a store's `inputs`.

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

/// One key of an input document; `None` when it has no such key. Documents of the store's own, copied to an input path,
/// stay closed: otherwise who may write there could read any of them.
pub fn read_input(place: &str, bytes: &[u8], key: &str) -> Result<Option<Secret>, StoreError> {
    let fields = Fields::decode(bytes).map_err(|error| StoreError::damaged(place, error.to_string()))?;
    if fields.get(OWN_FIELD).is_some() {
        return Err(StoreError::NotAnInput { place: place.to_owned() });
    }
    Ok(fields.secret(key))
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
