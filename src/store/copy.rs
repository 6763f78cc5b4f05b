//! Users, copied from one store into another: each as it is, with its passwords, so that nobody is affected.
//!
//! For each user the order is that of every change: material, then the document, then the record. A copy that stops anywhere
//! is finished by the same command. What is in the other store already, and is not the same, is never overwritten.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Created, CredentialWrite, MaterialStat, RecordWrite, SecretReader, Store, StoreError};
use crate::credential::{CredentialDocument, GivenSource, Record, Version};
use crate::names::{Generation, NamespacedName};
use crate::secret::Material;

/// Users that are copied together: bounds the secrets that are in memory at once.
const COHORT: usize = 500;

/// What became of one user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Copied {
    /// It was copied.
    Now,
    /// The other store held the same already.
    Before,
    /// It went to another store before.
    Elsewhere,
}

/// How much of users is copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// What a record is about. The other store has to be without a record in use.
    AllButRecords,
    /// The record as well.
    Everything,
}

/// Why a user was not copied.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// A store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The other store holds something else of this user.
    #[error("the other store holds {what} of `{user}` that is not the same")]
    Occupied {
        /// E.g. "a record".
        what: &'static str,
        /// Whose.
        user: NamespacedName,
    },
    /// Its record changed while it was copied: something else works with the store.
    #[error("`{user}` was changed while it was copied")]
    Changed {
        /// Whose.
        user: NamespacedName,
    },
}

/// One result for each user of the first store, sorted.
pub type Copies = BTreeMap<NamespacedName, Result<Copied, CopyError>>;

/// Copies every user from one store into another.
///
/// # Errors
/// One of the stores cannot be listed.
pub async fn copy_store(from: &dyn SecretReader, to: &dyn Store) -> Result<Copies, StoreError> {
    let mut copies = Copies::new();
    let mut readable = Vec::new();
    for (user, record) in from.list_records().await? {
        match record {
            Ok(record) if record.value.moving_to.is_some() => drop(copies.insert(user, Ok(Copied::Elsewhere))),
            Ok(record) => readable.push((user, record)),
            Err(error) => drop(copies.insert(user, Err(error.into()))),
        }
    }
    let versions = readable.iter().map(|(user, record)| (user.clone(), record.version.clone()));
    let versions: BTreeMap<_, _> = versions.collect();
    let users: Vec<_> = readable.into_iter().map(|(user, record)| (user, record.value)).collect();
    copies.extend(copy_users(from, to, &users, Extent::Everything).await);
    for (user, record) in from.list_records().await? {
        let is_unchanged = record.is_ok_and(|record| versions.get(&user) == Some(&record.version));
        let is_copied = !matches!(copies.get(&user), Some(Err(_) | Ok(Copied::Elsewhere)));
        if !is_unchanged && is_copied {
            copies.insert(user.clone(), Err(CopyError::Changed { user }));
        }
    }
    Ok(copies)
}

/// Copies users with these records, as far as `extent` says. One that another store wrote before it lost the user gives way.
pub async fn copy_users(
    from: &dyn SecretReader,
    to: &dyn Store,
    users: &[(NamespacedName, Record)],
    extent: Extent,
) -> Copies {
    let mut copies = Copies::new();
    for cohort in users.chunks(COHORT) {
        copies.extend(copy_cohort(from, to, cohort, extent).await);
    }
    copies
}

/// A user on its way.
struct Passage {
    user: NamespacedName,
    record: Record,
    failed: Option<CopyError>,
}

impl Passage {
    /// Takes note of the first failure; what succeeded is handed on.
    fn take<T, E: Into<CopyError>>(&mut self, result: Result<T, E>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(error) => {
                self.failed.get_or_insert(error.into());
                None
            }
        }
    }
}

async fn copy_cohort(
    from: &dyn SecretReader,
    to: &dyn Store,
    cohort: &[(NamespacedName, Record)],
    extent: Extent,
) -> Copies {
    let passage = |(user, record): &(NamespacedName, Record)| Passage {
        user: user.clone(),
        record: Record { moving_to: None, ..record.clone() },
        failed: None,
    };
    let mut passages: Vec<Passage> = cohort.iter().map(passage).collect();
    copy_material(from, to, &mut passages).await;
    copy_sources(from, to, &mut passages).await;
    copy_documents(from, to, &mut passages).await;
    copy_records(to, passages, extent).await
}

/// Every generation that was ever made and still is.
async fn copy_material(from: &dyn SecretReader, to: &dyn Store, passages: &mut [Passage]) {
    let generations = passages.iter().enumerate().flat_map(|(index, passage)| {
        let all = 1..=passage.record.allotted.0;
        all.map(move |generation| (index, (passage.user.clone(), Generation(generation))))
    });
    let (owners, keys): (Vec<usize>, Vec<_>) = generations.unzip();
    let mut present = Vec::new();
    for ((&owner, key), stat) in owners.iter().zip(&keys).zip(from.stat_materials(&keys).await) {
        match passages[owner].take(stat) {
            Some(MaterialStat::Present) => present.push((owner, key.clone())),
            Some(MaterialStat::Absent | MaterialStat::Destroyed) | None => {}
        }
    }
    let (owners, keys): (Vec<usize>, Vec<_>) = present.into_iter().unzip();
    let mut writes = Vec::new();
    for ((&owner, (user, _)), read) in owners.iter().zip(&keys).zip(from.read_materials(&keys).await) {
        if let Some(material) = passages[owner].take(read).flatten() {
            writes.push((owner, (user.clone(), Arc::new(material))));
        }
    }
    let (owners, writes): (Vec<usize>, Vec<_>) = writes.into_iter().unzip();
    let mut there = Vec::new();
    for ((owner, write), created) in owners.into_iter().zip(&writes).zip(to.create_materials(writes.clone()).await) {
        if passages[owner].take(created) == Some(Created::AlreadyThere) {
            there.push((owner, write.clone()));
        }
    }
    let keys: Vec<_> = there.iter().map(|(_, (user, material))| (user.clone(), material.generation)).collect();
    for ((owner, (user, material)), read) in there.into_iter().zip(to.read_materials(&keys).await) {
        let found = passages[owner].take(read).flatten();
        if !found.is_some_and(|found| is_same(&found, &material)) {
            passages[owner].failed.get_or_insert(CopyError::Occupied { what: "a password", user });
        }
    }
}

fn is_same(one: &Material, other: &Material) -> bool {
    one.rotation_id == other.rotation_id && one.scram.password.ct_eq(&other.scram.password)
}

/// Passwords that were given, with the versions by which a change of them is noticed.
async fn copy_sources(from: &dyn SecretReader, to: &dyn Store, passages: &mut [Passage]) {
    for passage in passages {
        let mut record = passage.record.clone();
        let sources = record.source.iter_mut().chain(record.pending_source.iter_mut().map(|source| &mut **source));
        for source in sources {
            let copied = copy_source(from, to, source).await;
            passage.take(copied);
        }
        passage.record = record;
    }
}

async fn copy_source(from: &dyn SecretReader, to: &dyn Store, source: &mut GivenSource) -> Result<(), StoreError> {
    // One that is gone, or was changed since it was taken, keeps the version it was taken at: it is noticed as before.
    let Some((secret, version)) = from.read_input(&source.path, &source.key).await? else { return Ok(()) };
    if version != source.version {
        return Ok(());
    }
    match to.read_input(&source.path, &source.key).await? {
        None => source.version = to.write_input(&source.path, &source.key, secret).await?,
        Some((there, version)) if there.ct_eq(&secret) => source.version = version,
        // Somebody put another password there for it: that is noticed, and followed by a rotation.
        Some(_) => {}
    }
    Ok(())
}

async fn copy_documents(from: &dyn SecretReader, to: &dyn Store, passages: &mut [Passage]) {
    let users: Vec<_> = passages.iter().map(|passage| passage.user.clone()).collect();
    let (read, there) = (from.read_credentials(&users).await, to.read_credentials(&users).await);
    let mut writes = Vec::new();
    for (index, (read, there)) in read.into_iter().zip(there).enumerate() {
        let passage = &mut passages[index];
        let (Some(Some(read)), Some(there)) = (passage.take(read), passage.take(there)) else { continue };
        let is_recorded = passage.record.document.as_ref() == Some(&read.version);
        match there {
            None => {
                let document = Arc::new(read.value);
                writes.push((
                    index,
                    is_recorded,
                    CredentialWrite { user: passage.user.clone(), document, expected: None },
                ));
            }
            Some(there) if says_the_same(&read.value, &there.value) => passage.recorded(is_recorded, there.version),
            Some(_) => {
                let user = passage.user.clone();
                passage.failed.get_or_insert(CopyError::Occupied { what: "a credential", user });
            }
        }
    }
    let documents: Vec<CredentialWrite> = writes.iter().map(|(.., write)| write.clone()).collect();
    for ((index, is_recorded, _), written) in writes.into_iter().zip(to.write_credentials(documents).await) {
        if let Some(version) = passages[index].take(written) {
            passages[index].recorded(is_recorded, version);
        }
    }
}

impl Passage {
    /// The version of the document in the other store, where the record knows of the document as it is.
    fn recorded(&mut self, is_recorded: bool, version: Version) {
        if is_recorded {
            self.record.document = Some(version);
        }
    }
}

fn says_the_same(one: &CredentialDocument, other: &CredentialDocument) -> bool {
    match (one, other) {
        (CredentialDocument::Live(one), CredentialDocument::Live(other)) => {
            one.generation == other.generation && one.rotation_id == other.rotation_id && one.says_the_same(other)
        }
        (CredentialDocument::Tombstone { .. }, CredentialDocument::Tombstone { .. }) => {
            one.generation() == other.generation()
        }
        (CredentialDocument::Live(_), CredentialDocument::Tombstone { .. })
        | (CredentialDocument::Tombstone { .. }, CredentialDocument::Live(_)) => false,
    }
}

async fn copy_records(to: &dyn Store, passages: Vec<Passage>, extent: Extent) -> Copies {
    let mut copies = Copies::new();
    let users: Vec<_> = passages.iter().map(|passage| passage.user.clone()).collect();
    let mut open = Vec::new();
    for (Passage { user, record, failed }, read) in passages.into_iter().zip(to.read_records(&users).await) {
        let found = failed.map_or(read.map_err(CopyError::from), Err);
        let copied = match found {
            Ok(Some(found)) if found.value == record => Ok(Copied::Before),
            Ok(Some(found)) if found.value.moving_to.is_none() => {
                Err(CopyError::Occupied { what: "a record", user: user.clone() })
            }
            Ok(found) => {
                open.push(RecordWrite { record, expected: found.map(|found| found.version) });
                continue;
            }
            Err(error) => Err(error),
        };
        copies.insert(user, copied);
    }
    let users: Vec<_> = open.iter().map(|write| write.record.user.clone()).collect();
    let written = match extent {
        Extent::AllButRecords => users.iter().map(|_| Ok(Copied::Now)).collect::<Vec<_>>(),
        Extent::Everything => {
            let written = to.write_records(open).await.into_iter();
            written.map(|written| written.map(|_| Copied::Now).map_err(CopyError::from)).collect()
        }
    };
    copies.extend(users.into_iter().zip(written));
    copies
}
