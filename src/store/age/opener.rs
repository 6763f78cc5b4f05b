//! Opening secrets, without a lock: files are only ever seen whole.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use zeroize::Zeroizing;

use super::keys::Keys;
use super::parallel;
use super::shelf::{SEALED_BYTES_MAX, Shelf, TOMBSTONE, read_bounded, version_of};
use crate::credential::{CredentialDocument, Versioned};
use crate::names::{Generation, NamespacedName};
use crate::secret::Material;
use crate::store::counters::count;
use crate::store::input::InputDocument;
use crate::store::payload;
use crate::store::{StoreError, payload_error};

/// The shelf, with the keys to what lies on it.
#[derive(Debug)]
pub struct Opener {
    pub(super) shelf: Arc<Shelf>,
    pub(super) keys: Keys,
}

impl Opener {
    pub fn new(shelf: Arc<Shelf>, keys: Keys) -> Self {
        Self { shelf, keys }
    }

    pub fn read_materials(
        &self,
        items: Vec<(NamespacedName, Generation)>,
    ) -> Vec<Result<Option<Material>, StoreError>> {
        count(&self.shelf.counters.secret_reads, items.len());
        let results = parallel::map(items, parallel::cores(), |(user, generation)| {
            self.shelf.inputs.check_user(&user)?;
            let path = self.shelf.layout.material(&user, generation);
            match read_bounded(&path, SEALED_BYTES_MAX)? {
                Some(sealed) if !sealed.starts_with(TOMBSTONE) => {
                    let bytes = self.keys.open(&path, &sealed)?;
                    let material = payload::decode_material(&user, generation, &bytes);
                    material.map(Some).map_err(|error| payload_error(path.display(), error))
                }
                Some(_) | None => Ok(None),
            }
        });
        self.shelf.doubt_absence(results)
    }

    pub fn read_credentials(
        &self,
        users: Vec<NamespacedName>,
    ) -> Vec<Result<Option<Versioned<CredentialDocument>>, StoreError>> {
        count(&self.shelf.counters.secret_reads, users.len());
        let results = parallel::map(users, parallel::cores(), |user| {
            let Some(sealed) = self.shelf.read_credential_file(&user)? else { return Ok(None) };
            let path = self.shelf.layout.credential(&user);
            let bytes = self.keys.open(&path, &sealed)?;
            let value = payload::decode_credential(&bytes).map_err(|error| payload_error(path.display(), error))?;
            Ok(Some(Versioned { value, version: version_of(&sealed) }))
        });
        self.shelf.doubt_absence(results)
    }

    pub fn read_inputs(&self, paths: Vec<String>) -> Vec<Result<Option<Versioned<InputDocument>>, StoreError>> {
        count(&self.shelf.counters.secret_reads, paths.len());
        let results = parallel::map(paths, parallel::cores(), |path| {
            let file = self.input_file(&path)?;
            let Some(Versioned { value, version }) = self.open_input(&file)? else { return Ok(None) };
            let value = InputDocument::decode(&file.display().to_string(), &value)?;
            Ok(Some(Versioned { value, version }))
        });
        self.shelf.doubt_absence(results)
    }

    pub(super) fn input_file(&self, path: &str) -> Result<PathBuf, StoreError> {
        Ok(self.shelf.layout.input(&self.shelf.inputs.resolve(path)?))
    }

    /// The plaintext of an input document.
    pub(super) fn open_input(&self, file: &Path) -> Result<Option<Versioned<Zeroizing<Vec<u8>>>>, StoreError> {
        let Some(sealed) = read_bounded(file, SEALED_BYTES_MAX)? else { return Ok(None) };
        Ok(Some(Versioned { value: self.keys.open(file, &sealed)?, version: version_of(&sealed) }))
    }
}
