//! Where a password comes from that is not Kastellan's to make.

use super::fields::Fields;
use super::grammar::{Field, Object, Shape};
use super::reader::Reader;
use super::source::Place;
use super::text::{ANY_TEXT, FILE, STORE_PATH, VARIABLE};
use super::value::{FilePath, StoreValue};

/// Where Kastellan's own password for a cluster is found.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum PasswordSource {
    /// In an environment variable.
    Env(String),
    /// In a file; a line end at its end does not count.
    File(FilePath),
    /// In the store, below its `inputs`.
    Store(StoreValue),
}

static STORE_VALUE: Object = Object::new(
    "One value of a document below the store's `inputs`.",
    &[
        Field::required("path", "The document, e.g. `imports/legacy`.", STORE_PATH),
        Field::required("key", "The key in it, e.g. `password`.", ANY_TEXT),
    ],
);

static ADMIN_SOURCES: Object = Object::new(
    "The place of a secret.",
    &[
        Field::optional("env", "An environment variable.", VARIABLE),
        Field::optional("file", "A file that holds nothing else.", FILE),
        Field::optional("store", STORE_VALUE.about, Shape::Object(&STORE_VALUE)),
    ],
)
.one_of(&["env", "file", "store"]);

static USER_SOURCES: Object =
    Object::new("The place of a secret.", &[Field::required("store", STORE_VALUE.about, Shape::Object(&STORE_VALUE))]);

/// `password` of Kastellan's own login.
pub(super) static ADMIN_PASSWORD: Object = Object::new(
    "Where the password is found.",
    &[Field::required("valueFrom", ADMIN_SOURCES.about, Shape::Reference(&ADMIN_SOURCES))],
);

/// `password` of a user.
pub(super) static USER_PASSWORD: Object = Object::new(
    "A password that somebody else chose, taken from the store at first provisioning.",
    &[Field::required("valueFrom", USER_SOURCES.about, Shape::Reference(&USER_SOURCES))],
);

/// Reads `password` of Kastellan's own login.
pub(super) fn read_source(reader: &Reader<'_, '_>, password: Fields<'_, '_>) -> Option<PasswordSource> {
    let sources = password.fields("valueFrom")?;
    if let Some(variable) = sources.text("env") {
        return Some(PasswordSource::Env(variable.to_owned()));
    }
    if let Some(path) = reader.path(sources, "file") {
        return Some(PasswordSource::File(path));
    }
    read_store_value(password).map(PasswordSource::Store)
}

/// Reads `valueFrom.store` of a `password`.
pub(super) fn read_store_value(password: Fields<'_, '_>) -> Option<StoreValue> {
    let store = password.fields("valueFrom")?.fields("store")?;
    Some(StoreValue { path: store.parsed("path")?, key: store.text("key")?.to_owned() })
}

/// Where the path of `valueFrom.store` of a `password` stands.
pub(super) fn store_path_place(password: Fields<'_, '_>) -> Option<Place> {
    password.fields("valueFrom")?.fields("store")?.place("path")
}
