//! The port: what every store can do.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::future::BoxFuture;

use super::StoreError;
use super::input::{InputDocument, InputValue};
use crate::credential::{CredentialDocument, Record, Version, Versioned};
use crate::names::{Generation, NamespacedName, StoreName};
use crate::secret::{Material, Secret};

/// One result for each item that was asked, in the order of the input; one item's failure fails that item alone.
pub type Batch<'a, T> = BoxFuture<'a, Vec<Result<T, StoreError>>>;

/// One record of a whole list: whose it is, and what could be read of it.
pub type ListedRecord = (NamespacedName, Result<Versioned<Record>, StoreError>);

/// What is known of a generation's material without opening it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MaterialStat {
    /// It was never written.
    Absent,
    /// It is there.
    Present,
    /// It was destroyed, and can never be written again.
    Destroyed,
}

/// Outcome of a create-only write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Created {
    /// This write made it.
    New,
    /// Something is there already, perhaps a tombstone; nothing was changed.
    AlreadyThere,
}

/// A conditional write of one record.
#[derive(Debug, Clone)]
pub struct RecordWrite {
    /// What to write; it carries its own identity.
    pub record: Record,
    /// The version that must be there; `None`: there must be none.
    pub expected: Option<Version>,
}

/// A conditional write of one credential document.
#[derive(Debug, Clone)]
pub struct CredentialWrite {
    /// Whose document.
    pub user: NamespacedName,
    /// What to write.
    pub document: Arc<CredentialDocument>,
    /// The version that must be there; `None`: there must be none.
    pub expected: Option<Version>,
}

/// How many items were asked of a store since it was opened, failures included. Each stat, read or write of one
/// document counts one; each document of a list counts one record read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Tally {
    /// Records read or listed.
    pub record_reads: u64,
    /// Records written.
    pub record_writes: u64,
    /// Documents looked at without opening them.
    pub stats: u64,
    /// Material, credentials and inputs opened.
    pub secret_reads: u64,
    /// Material created or destroyed.
    pub material_writes: u64,
    /// Credential documents written.
    pub credential_writes: u64,
    /// Inputs written.
    pub input_writes: u64,
}

impl Tally {
    /// All writes.
    pub fn writes(&self) -> u64 {
        self.record_writes + self.material_writes + self.credential_writes + self.input_writes
    }
}

/// The part of a store that needs no right to open a secret: enough for `plan` and `status`.
pub trait StoreReader: Send + Sync {
    /// The store's name in documents and messages.
    fn name(&self) -> &StoreName;

    /// What was asked so far.
    fn tally(&self) -> Tally;

    /// How many requests were sent so far to the server that the store lives in, by kind; empty for one that needs no server.
    fn requests(&self) -> BTreeMap<&'static str, u64> {
        BTreeMap::new()
    }

    /// Every record, sorted by identity; a damaged one fails alone.
    ///
    /// # Errors
    /// The store as a whole cannot be listed: then nothing is known of any record.
    fn list_records(&self) -> BoxFuture<'_, Result<Vec<ListedRecord>, StoreError>>;

    /// The records of `users`. `Ok(None)`: the user has none.
    fn read_records<'a>(&'a self, users: &'a [NamespacedName]) -> Batch<'a, Option<Versioned<Record>>>;

    /// The versions of credential documents. `Ok(None)`: there is no document.
    fn stat_credentials<'a>(&'a self, users: &'a [NamespacedName]) -> Batch<'a, Option<Version>>;

    /// Whether every look at a user's records also looks at its credential document. A store in which each document is a
    /// request of its own, by a right of its own, believes its records instead: a document that somebody changed is found
    /// when it is read, by `verify` and by the next publication.
    fn watches_credentials(&self) -> bool {
        true
    }

    /// How many users may be changed together at most: as many as one wave of record writes takes well below the life of a permit
    /// (R1), which would else be over before anything is sent under it.
    fn users_at_once(&self) -> usize {
        usize::MAX
    }

    /// Ends the use of the store, e.g. revokes what it was opened with. A store that is not closed loses nothing.
    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }

    /// What there is of each generation's material.
    fn stat_materials<'a>(&'a self, generations: &'a [(NamespacedName, Generation)]) -> Batch<'a, MaterialStat>;

    /// The version of the document at an input path. `Ok(None)`: there is no document, or, where a store can tell
    /// without opening it, no such key.
    fn stat_input<'a>(&'a self, path: &'a str, key: &'a str) -> BoxFuture<'a, Result<Option<Version>, StoreError>>;
}

/// A store that may open secrets, and changes nothing: enough for `verify`.
pub trait SecretReader: StoreReader {
    /// Opens material. `Ok(None)`: absent or destroyed; [`StoreReader::stat_materials`] tells which.
    fn read_materials<'a>(&'a self, generations: &'a [(NamespacedName, Generation)]) -> Batch<'a, Option<Material>>;

    /// Opens credential documents. `Ok(None)`: there is no document.
    fn read_credentials<'a>(&'a self, users: &'a [NamespacedName]) -> Batch<'a, Option<Versioned<CredentialDocument>>>;

    /// What lies in a folder of the inputs, e.g. `imports/`, sorted: documents by their names, folders with a slash behind.
    /// Empty where there is no such folder. A document that was deleted may be among them.
    fn list_inputs<'a>(&'a self, folder: &'a str) -> BoxFuture<'a, Result<Vec<String>, StoreError>>;

    /// Opens input documents, e.g. `imports/legacy`. `Ok(None)`: there is no document.
    fn read_inputs<'a>(&'a self, paths: &'a [String]) -> Batch<'a, Option<Versioned<InputDocument>>>;

    /// Opens one key of an input. `Ok(None)`: there is no document, or it has no such key.
    fn read_input<'a>(
        &'a self,
        path: &'a str,
        key: &'a str,
    ) -> BoxFuture<'a, Result<Option<(Secret, Version)>, StoreError>> {
        Box::pin(async move {
            let read = self.read_inputs(&[path.to_owned()]).await.pop().expect("one result for one item")?;
            let Some(Versioned { value: mut document, version }) = read else { return Ok(None) };
            match document.take(key) {
                None => Ok(None),
                Some(InputValue::Text(secret)) => Ok(Some((secret, version))),
                Some(InputValue::Other) => Err(StoreError::NotText { place: format!("{path}#{key}") }),
            }
        })
    }
}

/// A store that may open secrets and write.
///
/// # Guarantees
/// What a method reports as written is durable. What it reports as failed was written either wholly or not at all: read
/// again to know. A future that is dropped may still complete its work.
pub trait Store: SecretReader {
    /// Writes records by compare-and-set; answers with the new versions. Of two writes for one user in one batch the
    /// second is a conflict.
    fn write_records(&self, writes: Vec<RecordWrite>) -> Batch<'_, Version>;

    /// Writes material once: it is never overwritten, and what was destroyed stays destroyed.
    fn create_materials(&self, materials: Vec<(NamespacedName, Arc<Material>)>) -> Batch<'_, Created>;

    /// Destroys material and leaves a tombstone, also where there was none. Idempotent.
    fn destroy_materials<'a>(&'a self, generations: &'a [(NamespacedName, Generation)]) -> Batch<'a, ()>;

    /// Writes credential documents by compare-and-set; answers with the new versions.
    fn write_credentials(&self, writes: Vec<CredentialWrite>) -> Batch<'_, Version>;

    /// Puts one key into the document at an input path and keeps its other keys. An equal value is not written again.
    fn write_input<'a>(
        &'a self,
        path: &'a str,
        key: &'a str,
        secret: Secret,
    ) -> BoxFuture<'a, Result<Version, StoreError>>;
}
