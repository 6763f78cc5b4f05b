//! What binds a store to one folder of one machine, so that two copies are never both written to (R10).
//!
//! `store.json` in the store holds a random id; a marker on the machine, outside the store and never committed, holds the
//! same id and says which folder it is about. A copy has the id but not the marker, or a marker about another folder.

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::durable::{Placement, Placing, place_one, random_number};
use super::keys::Keys;
use super::layout::Layout;
use super::shelf::read_bounded;
use crate::store::{MachineState, StoreError};

/// The schema of store files and markers this program writes.
const BINDING_SCHEMA: u64 = 1;

/// A store file holds an id and a small age file, a marker a path.
const BINDING_BYTES_MAX: u64 = 64 * 1024;

/// Any text does: it is only encrypted to see later whether the identity opens it.
const CHECK_TEXT: &[u8] = b"kastellan";

/// `store.json`.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
struct StoreFile {
    schema: u64,
    id: String,
    /// An age file for the store's recipients, without a secret: a wrong identity is found before it is used.
    check: String,
}

/// A marker on the machine.
#[derive(Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
struct Marker {
    schema: u64,
    id: String,
    #[serde(flatten)]
    folder: Folder,
}

/// What tells one folder from another on this machine.
///
/// The device number is left out of comparisons: it changes between boots. The time of birth is there because the number
/// of a removed folder's inode is soon given to another.
#[derive(Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
struct Folder {
    directory: PathBuf,
    device: u64,
    inode: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    born: Option<String>,
}

/// The binding of one store as seen from one machine.
#[derive(Debug)]
pub struct Binding {
    layout: Layout,
    markers: PathBuf,
}

impl Binding {
    /// Looks at nothing yet.
    pub fn new(layout: Layout, machine: &MachineState) -> Self {
        Self { layout, markers: machine.markers.clone() }
    }

    /// Sees that the store is bound to this folder of this machine; binds one that is new.
    ///
    /// # Assumptions
    /// The caller holds the writer's lock.
    ///
    /// # Errors
    /// [`StoreError::Copied`], or the identity does not open the store.
    pub fn ensure(&self, keys: &Keys) -> Result<(), StoreError> {
        match self.read_store_file()? {
            Some(store) => {
                self.check_identity(&store, keys)?;
                self.check_marker(&store)
            }
            None if self.is_inhabited()? => Err(self.copied("it holds records but no `store.json`")),
            None => self.rebind(keys),
        }
    }

    /// Sees that the identity opens the store, if the store says so.
    pub fn check_keys(&self, keys: &Keys) -> Result<(), StoreError> {
        self.read_store_file()?.map_or(Ok(()), |store| self.check_identity(&store, keys))
    }

    /// Binds the store to this folder under a new id. A marker of the old id on this machine goes, so that a second copy
    /// here is no longer written to.
    pub fn rebind(&self, keys: &Keys) -> Result<(), StoreError> {
        let before = self.read_store_file()?;
        let id = format!("{:032x}", random_number());
        let check = String::from_utf8(keys.seal(CHECK_TEXT)).expect("armor is ASCII");
        let marker = Marker { schema: BINDING_SCHEMA, id: id.clone(), folder: self.folder()? };
        // The marker first: a crash in between leaves a marker that nothing refers to, not a store without one.
        write_json(&self.marker(&id), &marker)?;
        write_json(&self.layout.store_file(), &StoreFile { schema: BINDING_SCHEMA, id, check })?;
        if let Some(before) = before {
            let stale = self.marker(&before.id);
            match std::fs::remove_file(&stale) {
                Err(source) if source.kind() != io::ErrorKind::NotFound => {
                    return Err(StoreError::io("remove", &stale, source));
                }
                Ok(()) | Err(_) => (),
            }
        }
        Ok(())
    }

    fn read_store_file(&self) -> Result<Option<StoreFile>, StoreError> {
        let path = self.layout.store_file();
        let Some(store) = read_json::<StoreFile>(&path)? else { return Ok(None) };
        if store.schema > BINDING_SCHEMA {
            let place = path.display().to_string();
            return Err(StoreError::NewerSchema { place, schema: store.schema, known: BINDING_SCHEMA });
        }
        // The id becomes a file name, and a copied store may come from anywhere.
        if store.id.len() != 32 || !store.id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(StoreError::damaged(path.display(), "its id is not 32 hexadecimal digits"));
        }
        Ok(Some(store))
    }

    fn check_identity(&self, store: &StoreFile, keys: &Keys) -> Result<(), StoreError> {
        keys.open(&self.layout.store_file(), store.check.as_bytes()).map(drop)
    }

    fn check_marker(&self, store: &StoreFile) -> Result<(), StoreError> {
        let Some(marker) = read_json::<Marker>(&self.marker(&store.id))? else {
            return Err(self.copied("this machine has no marker for it"));
        };
        let here = self.folder()?;
        let bound = marker.folder;
        if bound.directory != here.directory {
            return Err(self.copied(&format!("it was bound as `{}`", bound.directory.display())));
        }
        let same_birth = bound.born.is_none() || here.born.is_none() || bound.born == here.born;
        if bound.inode != here.inode || !same_birth {
            return Err(self.copied("its folder was replaced after it was bound"));
        }
        Ok(())
    }

    fn is_inhabited(&self) -> Result<bool, StoreError> {
        let has_entries = |folder: PathBuf| match std::fs::read_dir(&folder) {
            Ok(mut entries) => Ok(entries.next().is_some()),
            Err(source) if source.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(source) => Err(StoreError::io("list", &folder, source)),
        };
        Ok(has_entries(self.layout.records())? || has_entries(self.layout.materials())?)
    }

    fn folder(&self) -> Result<Folder, StoreError> {
        let root = self.layout.root();
        let failed = |source| StoreError::io("look at", root, source);
        let directory = std::fs::canonicalize(root).map_err(failed)?;
        let metadata = std::fs::metadata(root).map_err(failed)?;
        let born = metadata.created().ok().and_then(|born| born.duration_since(std::time::UNIX_EPOCH).ok());
        let born = born.map(|born| format!("{}.{:09}", born.as_secs(), born.subsec_nanos()));
        Ok(Folder { directory, device: metadata.dev(), inode: metadata.ino(), born })
    }

    fn marker(&self, id: &str) -> PathBuf {
        self.markers.join(id)
    }

    fn copied(&self, why: &str) -> StoreError {
        StoreError::Copied { place: self.layout.root().display().to_string(), why: why.to_owned() }
    }
}

fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> Result<Option<T>, StoreError> {
    let Some(bytes) = read_bounded(path, BINDING_BYTES_MAX)? else { return Ok(None) };
    serde_json::from_slice(&bytes).map(Some).map_err(|error| StoreError::damaged(path.display(), error.to_string()))
}

fn write_json(path: &Path, value: &impl serde::Serialize) -> Result<(), StoreError> {
    let mut bytes = serde_json::to_vec_pretty(value).expect("plain data with text keys always serialises");
    bytes.push(b'\n');
    place_one(Placement { target: path.to_owned(), bytes: bytes.into(), placing: Placing::Replace }).map(drop)
}
