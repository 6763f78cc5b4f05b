//! The `age` store: a folder, no server at all.
//!
//! ```text
//!   <directory>/<namespace>/<name>.age                                credential, armored age file
//!   <directory>/<inputs…>.age                                         given passwords
//!   <directory>/_kastellan/records/<namespace>/<name>.json            record, readable
//!   <directory>/_kastellan/material/<namespace>/<name>/<number>.age   material, or its tombstone (plain JSON)
//!   <directory>/_kastellan/store.json                                 what binds the store to one machine (R10)
//!   <directory>/_kastellan/lock, tmp/                                 one writer; files on their way. Never committed
//! ```
//!
//! Readers take no lock: files change only by an atomic replacement, so they see whole ones. A writer holds an exclusive
//! `flock` that falls with its process. Every age file can be opened with the `age` program and the identity.

mod binding;
mod durable;
mod init;
mod keys;
mod layout;
mod lock;
mod opener;
mod parallel;
mod shelf;
mod writer;

use std::path::PathBuf;
use std::sync::Arc;

use futures_util::future::BoxFuture;

use super::StoreError;
use super::input::InputDocument;
use super::port::{
    Batch, Created, CredentialWrite, ListedRecord, MaterialStat, RecordWrite, SecretReader, Store, StoreReader, Tally,
};
use super::registry::{MachineState, blocking};
use crate::credential::{CredentialDocument, Record, Version, Versioned};
use crate::diagnostic::Finding;
use crate::names::{Generation, NamespacedName, StoreName};
use crate::secret::{Material, Secret};
pub use init::{IdentityOrigin, Initialised, init};
use opener::Opener;
use shelf::Shelf;
use writer::Writer;

/// Where an age store is and who can read it.
#[derive(Debug, Clone)]
pub struct AgeSettings {
    /// Name of the `CredentialStore`.
    pub name: StoreName,
    /// The folder.
    pub directory: PathBuf,
    /// The identity file, as `age-keygen` writes it. Read only where secrets are opened.
    pub identity_file: PathBuf,
    /// Recipients, `age1…`; empty: those of the identity.
    pub recipients: Vec<String>,
    /// Where given passwords may be read, e.g. `imports/`.
    pub inputs: Vec<String>,
}

/// An age store open for looking: it has no identity and takes no lock.
#[derive(Debug, Clone)]
pub struct AgeReader(Arc<Shelf>);

impl AgeReader {
    /// Opens the folder. Blocks.
    ///
    /// # Errors
    /// [`StoreError::Missing`]: there is no such folder.
    pub fn open_for_reading(settings: &AgeSettings) -> Result<Self, StoreError> {
        Shelf::open(settings).map(|shelf| Self(Arc::new(shelf)))
    }
}

/// An age store open for its secrets: it has an identity and takes no lock.
#[derive(Debug)]
pub struct AgeOpener {
    shelf: Arc<Shelf>,
    opener: Arc<Opener>,
}

impl AgeOpener {
    /// Opens the folder. Blocks.
    ///
    /// # Errors
    /// [`StoreError::Missing`], and those about the identity.
    pub fn open(settings: &AgeSettings) -> Result<Self, StoreError> {
        let shelf = Arc::new(Shelf::open(settings)?);
        let (keys, _) = keys::Keys::load(settings)?;
        Ok(Self { opener: Arc::new(Opener::new(shelf.clone(), keys)), shelf })
    }
}

/// An age store open for everything. While it lives no other process can open it so.
#[derive(Debug)]
pub struct AgeStore {
    shelf: Arc<Shelf>,
    opener: Arc<Opener>,
    writer: Arc<Writer>,
    warnings: Vec<Finding>,
}

impl AgeStore {
    /// Opens the folder for writing: takes the lock, reads the identity and binds a store that is not bound yet. Blocks.
    ///
    /// # Errors
    /// [`StoreError::Missing`], [`StoreError::Locked`], [`StoreError::Copied`], and those about the identity, which is
    /// tried on the store before anything is written with it.
    pub fn open_for_writing(settings: &AgeSettings, machine: &MachineState) -> Result<Self, StoreError> {
        let opening = Opening::begin(settings, machine)?;
        opening.binding.ensure(&opening.keys)?;
        Ok(opening.finish())
    }

    /// Begins to take over a copied store: locks it and tries the identity, but changes nothing yet. Blocks.
    pub fn take_over(settings: &AgeSettings, machine: &MachineState) -> Result<TakingOver, StoreError> {
        let opening = Opening::begin(settings, machine)?;
        opening.binding.check_keys(&opening.keys)?;
        Ok(TakingOver(opening))
    }

    /// What a person should know although the store works, e.g. that others can read the identity.
    pub fn warnings(&self) -> &[Finding] {
        &self.warnings
    }
}

/// A copied store that is being taken over, locked but still bound to somebody else.
#[must_use = "the store stays a copy until the take-over is completed"]
#[derive(Debug)]
pub struct TakingOver(Opening);

impl TakingOver {
    /// Binds the store to this machine and opens it. Blocks.
    ///
    /// # Assumptions
    /// `T_fence` has passed since [`AgeStore::take_over`], so that no request of the other copy is on its way (R10).
    pub fn complete(self) -> Result<AgeStore, StoreError> {
        self.0.binding.rebind(&self.0.keys)?;
        Ok(self.0.finish())
    }
}

/// The steps that every way to write has in common.
#[derive(Debug)]
struct Opening {
    shelf: Arc<Shelf>,
    keys: keys::Keys,
    lock: lock::WriterLock,
    binding: binding::Binding,
    warnings: Vec<Finding>,
}

impl Opening {
    fn begin(settings: &AgeSettings, machine: &MachineState) -> Result<Self, StoreError> {
        let shelf = Arc::new(Shelf::open(settings)?);
        let (keys, warnings) = keys::Keys::load(settings)?;
        let lock = lock::WriterLock::acquire(&shelf.layout)?;
        durable::clear_leftovers(&shelf.layout.temporary())?;
        let binding = binding::Binding::new(shelf.layout.clone(), machine);
        Ok(Self { shelf, keys, lock, binding, warnings })
    }

    fn finish(self) -> AgeStore {
        let opener = Arc::new(Opener::new(self.shelf.clone(), self.keys));
        let writer = Arc::new(Writer::new(opener.clone(), self.lock));
        AgeStore { shelf: self.shelf, opener, writer, warnings: self.warnings }
    }
}

/// Forwards everything a reader can do to the shelf behind `$shelf`.
macro_rules! read_from_shelf {
    ($store:ty, $shelf:tt) => {
        impl StoreReader for $store {
            fn name(&self) -> &StoreName {
                &self.$shelf.name
            }

            fn tally(&self) -> Tally {
                self.$shelf.counters.tally()
            }

            fn list_records(&self) -> BoxFuture<'_, Result<Vec<ListedRecord>, StoreError>> {
                let shelf = self.$shelf.clone();
                Box::pin(blocking(move || shelf.list_records()))
            }

            fn read_records<'a>(&'a self, users: &'a [NamespacedName]) -> Batch<'a, Option<Versioned<Record>>> {
                let (shelf, users) = (self.$shelf.clone(), users.to_vec());
                Box::pin(blocking(move || shelf.read_records(users)))
            }

            fn stat_credentials<'a>(&'a self, users: &'a [NamespacedName]) -> Batch<'a, Option<Version>> {
                let (shelf, users) = (self.$shelf.clone(), users.to_vec());
                Box::pin(blocking(move || shelf.stat_credentials(users)))
            }

            fn stat_materials<'a>(
                &'a self,
                generations: &'a [(NamespacedName, Generation)],
            ) -> Batch<'a, MaterialStat> {
                let (shelf, generations) = (self.$shelf.clone(), generations.to_vec());
                Box::pin(blocking(move || shelf.stat_materials(generations)))
            }

            fn stat_input<'a>(
                &'a self,
                path: &'a str,
                _key: &'a str,
            ) -> BoxFuture<'a, Result<Option<Version>, StoreError>> {
                let (shelf, path) = (self.$shelf.clone(), path.to_owned());
                Box::pin(blocking(move || shelf.stat_input(&path)))
            }
        }
    };
}

read_from_shelf!(AgeReader, 0);
read_from_shelf!(AgeOpener, shelf);
read_from_shelf!(AgeStore, shelf);

/// Forwards everything that opens secrets to the opener behind `$opener`.
macro_rules! open_by_opener {
    ($store:ty, $opener:tt) => {
        impl SecretReader for $store {
            fn read_materials<'a>(
                &'a self,
                generations: &'a [(NamespacedName, Generation)],
            ) -> Batch<'a, Option<Material>> {
                let (opener, generations) = (self.$opener.clone(), generations.to_vec());
                Box::pin(blocking(move || opener.read_materials(generations)))
            }

            fn read_credentials<'a>(
                &'a self,
                users: &'a [NamespacedName],
            ) -> Batch<'a, Option<Versioned<CredentialDocument>>> {
                let (opener, users) = (self.$opener.clone(), users.to_vec());
                Box::pin(blocking(move || opener.read_credentials(users)))
            }

            fn list_inputs<'a>(&'a self, folder: &'a str) -> BoxFuture<'a, Result<Vec<String>, StoreError>> {
                let (opener, folder) = (self.$opener.clone(), folder.to_owned());
                Box::pin(blocking(move || opener.shelf.list_inputs(&folder)))
            }

            fn read_inputs<'a>(&'a self, paths: &'a [String]) -> Batch<'a, Option<Versioned<InputDocument>>> {
                let (opener, paths) = (self.$opener.clone(), paths.to_vec());
                Box::pin(blocking(move || opener.read_inputs(paths)))
            }
        }
    };
}

open_by_opener!(AgeOpener, opener);
open_by_opener!(AgeStore, opener);

impl Store for AgeStore {
    fn write_records(&self, writes: Vec<RecordWrite>) -> Batch<'_, Version> {
        let writer = self.writer.clone();
        Box::pin(blocking(move || writer.write_records(writes)))
    }

    fn create_materials(&self, materials: Vec<(NamespacedName, Arc<Material>)>) -> Batch<'_, Created> {
        let writer = self.writer.clone();
        Box::pin(blocking(move || writer.create_materials(materials)))
    }

    fn destroy_materials<'a>(&'a self, generations: &'a [(NamespacedName, Generation)]) -> Batch<'a, ()> {
        let (writer, generations) = (self.writer.clone(), generations.to_vec());
        Box::pin(blocking(move || writer.destroy_materials(generations)))
    }

    fn write_credentials(&self, writes: Vec<CredentialWrite>) -> Batch<'_, Version> {
        let writer = self.writer.clone();
        Box::pin(blocking(move || writer.write_credentials(writes)))
    }

    fn write_input<'a>(
        &'a self,
        path: &'a str,
        key: &'a str,
        secret: Secret,
    ) -> BoxFuture<'a, Result<Version, StoreError>> {
        let (writer, path, key) = (self.writer.clone(), path.to_owned(), key.to_owned());
        Box::pin(blocking(move || writer.write_input(&path, &key, secret)))
    }
}
