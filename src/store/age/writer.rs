//! Writing, with the lock held.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};

use zeroize::Zeroizing;

use super::durable::{self, Placement, Placing};
use super::lock::WriterLock;
use super::opener::Opener;
use super::parallel;
use super::shelf::{RecordFile, Shelf, TOMBSTONE, version_of};
use crate::credential::Version;
use crate::names::{Generation, NamespacedName};
use crate::secret::{Material, Secret};
use crate::store::counters::count;
use crate::store::input::merge_input;
use crate::store::payload::{self, PayloadError};
use crate::store::{Created, CredentialWrite, RecordWrite, StoreError, first_of_each, payload_error};

/// The one writer of a store.
#[derive(Debug)]
pub struct Writer {
    shelf: Arc<Shelf>,
    opener: Arc<Opener>,
    /// Held from the comparison to the replacement, so that two tasks of this process cannot both win. Other processes
    /// are kept out by the lock. Material needs none: it is created in one step.
    records: Mutex<()>,
    credentials: Mutex<()>,
    inputs: Mutex<()>,
    #[expect(dead_code, reason = "held, not used: dropping it lets the next writer in")]
    lock: WriterLock,
}

/// A file that is ready to be put in place, and the version it will have.
type Prepared = Result<(Placement, Version), StoreError>;

impl Writer {
    pub fn new(opener: Arc<Opener>, lock: WriterLock) -> Self {
        let (records, credentials, inputs) = Default::default();
        Self { shelf: opener.shelf.clone(), opener, records, credentials, inputs, lock }
    }

    pub fn write_records(&self, writes: Vec<RecordWrite>) -> Vec<Result<Version, StoreError>> {
        count(&self.shelf.counters.record_writes, writes.len());
        let _writing = hold(&self.records);
        let writes = first_of_each(writes, |write| &write.record.user);
        let prepared = parallel::map(writes, parallel::cores() * 2, |write| {
            let RecordWrite { record, expected } = write?;
            let target = self.shelf.layout.record(&record.user);
            let current = self.shelf.read_record(&record.user)?.map(|current| current.version);
            let version = successor(&target, current.as_ref(), expected.as_ref())?;
            let mut bytes = serde_json::to_vec_pretty(&RecordFile { version, record })
                .map_err(|error| StoreError::damaged(target.display(), error.to_string()))?;
            bytes.push(b'\n');
            Ok((Placement { target, bytes: bytes.into(), placing: Placing::Replace }, Version(version.to_string())))
        });
        self.place(prepared)
    }

    pub fn create_materials(
        &self,
        materials: Vec<(NamespacedName, Arc<Material>)>,
    ) -> Vec<Result<Created, StoreError>> {
        count(&self.shelf.counters.material_writes, materials.len());
        let prepared = parallel::map(materials, parallel::cores(), |(user, material)| {
            self.shelf.inputs.check_user(&user)?;
            let target = self.shelf.layout.material(&user, material.generation);
            let bytes = self.seal(&target, payload::encode_material(&user, &material))?;
            Ok(Placement { target, bytes: bytes.into(), placing: Placing::CreateOnly })
        });
        durable::place(&self.shelf.layout.temporary(), prepared)
    }

    pub fn destroy_materials(&self, items: Vec<(NamespacedName, Generation)>) -> Vec<Result<(), StoreError>> {
        count(&self.shelf.counters.material_writes, items.len());
        let prepared = items.into_iter().map(|(user, generation)| {
            self.shelf.inputs.check_user(&user)?;
            let target = self.shelf.layout.material(&user, generation);
            let mut bytes = TOMBSTONE.to_vec();
            bytes.extend_from_slice(b"}\n");
            Ok(Placement { target, bytes: bytes.into(), placing: Placing::Replace })
        });
        let placed = durable::place(&self.shelf.layout.temporary(), prepared.collect());
        placed.into_iter().map(|placed| placed.map(drop)).collect()
    }

    pub fn write_credentials(&self, writes: Vec<CredentialWrite>) -> Vec<Result<Version, StoreError>> {
        count(&self.shelf.counters.credential_writes, writes.len());
        let _writing = hold(&self.credentials);
        let writes = first_of_each(writes, |write| &write.user);
        let prepared = parallel::map(writes, parallel::cores(), |write| {
            let CredentialWrite { user, document, expected } = write?;
            let target = self.shelf.layout.credential(&user);
            let current = self.shelf.read_credential_file(&user)?.map(|sealed| version_of(&sealed));
            if current != expected {
                return Err(conflict(&target));
            }
            let bytes = self.seal(&target, payload::encode_credential(&document))?;
            let version = version_of(&bytes);
            Ok((Placement { target, bytes: bytes.into(), placing: Placing::Replace }, version))
        });
        self.place(prepared)
    }

    pub fn write_input(&self, path: &str, key: &str, secret: Secret) -> Result<Version, StoreError> {
        count(&self.shelf.counters.input_writes, 1);
        let target = self.opener.input_file(path)?;
        let _writing = hold(&self.inputs);
        let before = self.opener.open_input(&target)?;
        let place = target.display().to_string();
        let merged = merge_input(&place, before.as_ref().map(|before| before.value.as_slice()), key, &secret)?;
        let Some(merged) = merged else {
            return Ok(before.expect("only a document that is there can hold the value already").version);
        };
        let bytes = self.opener.keys.seal(&merged);
        let version = version_of(&bytes);
        let placement = Placement { target, bytes: bytes.into(), placing: Placing::Replace };
        self.place(vec![Ok((placement, version))]).pop().expect("one result for one item")
    }

    fn seal(&self, target: &Path, plaintext: Result<Zeroizing<Vec<u8>>, PayloadError>) -> Result<Vec<u8>, StoreError> {
        let plaintext = plaintext.map_err(|error| payload_error(target.display(), error))?;
        Ok(self.opener.keys.seal(&plaintext))
    }

    /// Puts what was prepared in place; answers with the versions.
    fn place(&self, prepared: Vec<Prepared>) -> Vec<Result<Version, StoreError>> {
        let (placements, versions): (Vec<_>, Vec<_>) = prepared
            .into_iter()
            .map(|prepared| match prepared {
                Ok((placement, version)) => (Ok(placement), Some(version)),
                Err(error) => (Err(error), None),
            })
            .unzip();
        let placed = durable::place(&self.shelf.layout.temporary(), placements);
        let version = |(placed, version): (Result<Created, _>, Option<Version>)| {
            placed.map(|_| version.expect("what failed before stays failed"))
        };
        placed.into_iter().zip(versions).map(version).collect()
    }
}

fn hold(mutex: &Mutex<()>) -> MutexGuard<'_, ()> {
    // It guards files, not data in memory: a panic of another holder leaves nothing half-done behind it.
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// The version number after the current one, if the current one is the expected one.
fn successor(target: &Path, current: Option<&Version>, expected: Option<&Version>) -> Result<u64, StoreError> {
    if current != expected {
        return Err(conflict(target));
    }
    let number = current.map_or(0, |version| version.0.parse::<u64>().expect("read from a number"));
    Ok(number + 1)
}

fn conflict(target: &Path) -> StoreError {
    StoreError::Conflict { place: target.display().to_string() }
}
