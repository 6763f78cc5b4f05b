//! Reads the passwords of users that live today from the inputs of a store.
//!
//! ```text
//! vault/imports/payments     a document with a `password`: one user, called as its `username` says, else as the document
//! vault/imports/kafka        any other document: each key is the name of a user, each value its password
//! vault/imports/apps/        a folder: each document in it is one user, as above
//! ```

use super::connect::Links;
use super::store_effects::store_link;
use super::take_over::Unfit;
use crate::credential::Versioned;
use crate::names::{NameError, Segment, StoreName};
use crate::secret::Secret;
use crate::spec::StorePath;
use crate::store::{InputDocument, InputValue, SecretReader, StoreError};
use crate::vault::VaultError;

const USERNAME: &str = "username";
const PASSWORD: &str = "password";

/// A document or a folder among the inputs of a store, e.g. `vault/imports/kafka` or `vault/imports/apps/`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GivenPlace {
    /// The store.
    pub store: StoreName,
    /// The path in it.
    pub path: StorePath,
    /// What lies there.
    pub kind: GivenKind,
}

/// What is read at a [`GivenPlace`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GivenKind {
    /// One document.
    Document,
    /// Every document of a folder; its own folders are left out.
    Folder,
}

impl GivenPlace {
    /// Whether a store with these `inputs` lets it be read.
    pub fn is_within(&self, inputs: &[StorePath]) -> bool {
        inputs.iter().any(|input| match self.kind {
            GivenKind::Document => self.path.is_below(input),
            GivenKind::Folder => self.path == *input || self.path.is_below(input),
        })
    }
}

impl std::str::FromStr for GivenPlace {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (store, path) = text.split_once('/').ok_or("it is not `STORE/PATH`")?;
        let said = |error: NameError| error.to_string();
        let kind = if path.ends_with('/') { GivenKind::Folder } else { GivenKind::Document };
        Ok(Self { store: StoreName::parse(store).map_err(said)?, path: path.parse().map_err(said)?, kind })
    }
}

impl std::fmt::Display for GivenPlace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let end = match self.kind {
            GivenKind::Document => "",
            GivenKind::Folder => "/",
        };
        write!(f, "{}/{}{end}", self.store, self.path)
    }
}

/// What a [`GivenPlace`] holds.
#[derive(Debug, Default)]
pub struct GivenPasswords {
    /// Names of users in Kafka, not checked for anything, and their passwords or why there is none.
    pub users: Vec<(String, Result<Secret, Unfit>)>,
    /// What lies there and was not read, for people.
    pub left_out: Vec<String>,
}

/// Reads the passwords at a place. Writes nothing.
///
/// # Errors
/// There is no such place, or nothing of it can be read.
pub async fn read_given(links: &Links, place: &GivenPlace) -> Result<GivenPasswords, Unfit> {
    let link = store_link(links, &place.store).map_err(Unfit::new)?;
    let closed = || Unfit::new(format!("store `{}` is not open for secrets", place.store));
    let secrets = link.secrets.as_deref().ok_or_else(closed)?;
    match place.kind {
        GivenKind::Document => read_document(secrets, place).await,
        GivenKind::Folder => read_folder(secrets, place).await,
    }
}

async fn read_document(secrets: &dyn SecretReader, place: &GivenPlace) -> Result<GivenPasswords, Unfit> {
    let path = place.path.to_string();
    let read = secrets.read_inputs(&[path]).await.pop().expect("one result for one item");
    let found = read.map_err(|error| unread(place, &error))?.ok_or_else(|| {
        Unfit::new(format!("there is no document at `{place}`")).hint("a folder is named with a `/` at its end")
    })?;
    let Versioned { value: mut document, .. } = found;
    let name = place.path.segments().last().expect("a path has a segment");
    let users = match document.take(PASSWORD) {
        Some(password) => vec![one_user(&place.to_string(), name, &document, password)],
        None => {
            document.into_iter().map(|(name, value)| (name.clone(), fit(&place.to_string(), &name, value))).collect()
        }
    };
    if users.is_empty() {
        return Err(Unfit::new(format!("`{place}` is empty")));
    }
    Ok(GivenPasswords { users, left_out: Vec::new() })
}

async fn read_folder(secrets: &dyn SecretReader, place: &GivenPlace) -> Result<GivenPasswords, Unfit> {
    let listed = secrets.list_inputs(&place.path.to_string()).await.map_err(|error| unread(place, &error))?;
    let mut given = GivenPasswords::default();
    let mut names = Vec::new();
    for key in &listed {
        if key.ends_with('/') {
            given.left_out.push(format!("`{place}{key}` is a folder of its own"));
            continue;
        }
        let wrong = |error| Unfit::new(format!("{key:?} in `{place}` cannot be read: {error}"));
        names.push(Segment::parse(key).map_err(wrong)?);
    }
    let paths = names.iter().map(|name| format!("{}/{name}", place.path)).collect::<Vec<_>>();
    for (name, read) in names.iter().zip(secrets.read_inputs(&paths).await) {
        let document = format!("{place}{name}");
        match read {
            Ok(Some(Versioned { value: mut found, .. })) => given.users.push(match found.take(PASSWORD) {
                Some(password) => one_user(&document, name, &found, password),
                None => {
                    let why = format!("`{document}` has no `{PASSWORD}`");
                    let hint = "a document whose keys are user names is named by itself, without a `/` at its end";
                    (name.to_string(), Err(Unfit::new(why).hint(hint)))
                }
            }),
            // A store may list what was deleted.
            Ok(None) => given.left_out.push(format!("`{document}` was deleted")),
            Err(error) => given.users.push((name.to_string(), Err(Unfit::of_store(&error)))),
        }
    }
    if given.users.is_empty() {
        return Err(Unfit::new(format!("there is no document in `{place}`")));
    }
    Ok(given)
}

/// The user of a document with a password.
fn one_user(
    place: &str,
    name: &Segment,
    document: &InputDocument,
    password: InputValue,
) -> (String, Result<Secret, Unfit>) {
    match document.plain(USERNAME) {
        None => (name.to_string(), fit(place, PASSWORD, password)),
        Some(Some(username)) if !username.is_empty() => (username.to_owned(), fit(place, PASSWORD, password)),
        Some(_) => (name.to_string(), Err(Unfit::new(format!("`{USERNAME}` in `{place}` is not a name")))),
    }
}

fn fit(place: &str, key: &str, value: InputValue) -> Result<Secret, Unfit> {
    let unfit = |why: &str| Unfit::new(format!("{key:?} in `{place}` {why}"));
    match value {
        InputValue::Other => Err(unfit("is not a text")),
        InputValue::Text(password) if password.is_empty() => Err(unfit("is empty")),
        InputValue::Text(password) if !password.is_text_without_controls() => {
            let hint = "if that is a line end, write the password there again without it";
            Err(unfit("has a control character in it").hint(hint))
        }
        InputValue::Text(password) => Ok(password),
    }
}

fn unread(place: &GivenPlace, error: &StoreError) -> Unfit {
    let Unfit { why, hint } = Unfit::of_store(error);
    let hint = match error {
        StoreError::Vault(VaultError::Denied { .. }) => {
            let hint = "give it the policy that `kastellan policy vault` prints, or, where it only reads, the one of `--purpose import`";
            Some(hint.to_owned())
        }
        _ => hint,
    };
    Unfit { why: format!("`{place}`: {why}"), hint }
}
