//! Reading a folder without opening a secret.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::AgeSettings;
use super::layout::{Layout, segment_of};
use super::parallel;
use crate::credential::{RECORD_SCHEMA, Record, Version, Versioned};
use crate::names::{Generation, NamespacedName, StoreName};
use crate::store::counters::{Counters, count};
use crate::store::input::Inputs;
use crate::store::{ListedRecord, MaterialStat, StoreError};

/// A record with hundreds of deliveries stays far below; a larger file is not one of ours.
pub const RECORD_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// Material and credentials are a few kilobytes, inputs a list of passwords.
pub const SEALED_BYTES_MAX: u64 = 1024 * 1024;

/// Threads that read; twice the cores keep them busy when the files are not in memory.
const READERS_PER_CORE: usize = 2;

/// How material's tombstone begins. An age file begins otherwise.
pub const TOMBSTONE: &[u8] = b"{\"destroyed\":true";

/// How age files begin, armored or not.
const AGE_FILES: [&[u8]; 2] = [b"-----BEGIN AGE", b"age-encryption.org/"];

/// A record as it lies in its file.
#[derive(serde::Serialize, serde::Deserialize)]
pub struct RecordFile<R> {
    /// Counts the writes of this record; compare-and-set compares it.
    pub version: u64,
    /// The record.
    pub record: R,
}

/// The one folder, as far as it can be read without an identity.
#[derive(Debug)]
pub struct Shelf {
    pub name: StoreName,
    pub layout: Layout,
    pub inputs: Inputs,
    pub counters: Counters,
    folder: (u64, u64),
}

impl Shelf {
    pub fn open(settings: &AgeSettings) -> Result<Self, StoreError> {
        let layout = Layout::new(&settings.directory);
        let folder = folder_identity(layout.root())?;
        Ok(Self {
            name: settings.name.clone(),
            inputs: Inputs::parse(&settings.name, &settings.inputs)?,
            layout,
            counters: Counters::default(),
            folder,
        })
    }

    pub fn list_records(&self) -> Result<Vec<ListedRecord>, StoreError> {
        let mut found = Vec::new();
        let namespaces = entries(&self.layout.records())?;
        for (namespace, folder) in namespaces.into_iter().filter(|entry| !is_litter(entry)) {
            for (file, path) in entries(&folder)? {
                if let Some(name) = file.strip_suffix(".json") {
                    let user = segment_of(&namespace).zip(segment_of(name));
                    let (namespace, name) =
                        user.ok_or_else(|| StoreError::damaged(path.display(), "its name is not that of a record"))?;
                    found.push((NamespacedName { namespace, name }, path));
                }
            }
        }
        self.check_folder()?;
        count(&self.counters.record_reads, found.len());
        let mut records = parallel::map(found, readers(), |(user, path)| {
            // Listed a moment ago and never removed by us: a file that is gone is not a user without a record.
            let gone = || StoreError::io("read", &path, io::ErrorKind::NotFound.into());
            let record = read_record(&path, &user).and_then(|record| record.ok_or_else(gone));
            (user, record)
        });
        records.sort_by(|(one, _), (other, _)| one.cmp(other));
        Ok(records)
    }

    pub fn read_records(&self, users: Vec<NamespacedName>) -> Vec<Result<Option<Versioned<Record>>, StoreError>> {
        count(&self.counters.record_reads, users.len());
        let results = parallel::map(users, readers(), |user| self.read_record(&user));
        self.doubt_absence(results)
    }

    /// One record; `None` when the user has none.
    pub fn read_record(&self, user: &NamespacedName) -> Result<Option<Versioned<Record>>, StoreError> {
        self.inputs.check_user(user)?;
        read_record(&self.layout.record(user), user)
    }

    pub fn stat_credentials(&self, users: Vec<NamespacedName>) -> Vec<Result<Option<Version>, StoreError>> {
        count(&self.counters.stats, users.len());
        let results = parallel::map(users, readers(), |user| {
            Ok(self.read_credential_file(&user)?.map(|bytes| version_of(&bytes)))
        });
        self.doubt_absence(results)
    }

    pub fn stat_materials(&self, items: Vec<(NamespacedName, Generation)>) -> Vec<Result<MaterialStat, StoreError>> {
        count(&self.counters.stats, items.len());
        let results = parallel::map(items, readers(), |(user, generation)| {
            self.inputs.check_user(&user)?;
            stat_material(&self.layout.material(&user, generation))
        });
        let results =
            results.into_iter().map(|stat| stat.map(|stat| Some(stat).filter(|&stat| stat != MaterialStat::Absent)));
        let results = self.doubt_absence(results.collect());
        results.into_iter().map(|stat| stat.map(|stat| stat.unwrap_or(MaterialStat::Absent))).collect()
    }

    pub fn stat_input(&self, path: &str) -> Result<Option<Version>, StoreError> {
        count(&self.counters.stats, 1);
        let file = self.layout.input(&self.inputs.resolve(path)?);
        let version = read_bounded(&file, SEALED_BYTES_MAX).map(|bytes| bytes.map(|bytes| version_of(&bytes)));
        self.doubt_absence(vec![version]).pop().expect("one result for one item")
    }

    /// Documents and folders of the inputs. Files that are none of ours are left out.
    pub fn list_inputs(&self, folder: &str) -> Result<Vec<String>, StoreError> {
        let folder = self.layout.input_folder(&self.inputs.resolve_folder(folder)?);
        let mut names = Vec::new();
        for (name, path) in entries(&folder)? {
            let (encoded, end) = match name.strip_suffix(".age") {
                Some(name) => (name, ""),
                None if path.is_dir() => (name.as_str(), "/"),
                None => continue,
            };
            let name = segment_of(encoded)
                .ok_or_else(|| StoreError::damaged(path.display(), "its name is not that of an input"))?;
            names.push(format!("{name}{end}"));
        }
        self.check_folder()?;
        names.sort();
        Ok(names)
    }

    /// The sealed bytes of a credential document.
    pub fn read_credential_file(&self, user: &NamespacedName) -> Result<Option<Vec<u8>>, StoreError> {
        self.inputs.check_user(user)?;
        read_bounded(&self.layout.credential(user), SEALED_BYTES_MAX)
    }

    /// Turns "absent" into an error where the whole store has gone, e.g. was unmounted: what could not be observed is
    /// unknown.
    pub fn doubt_absence<T>(
        &self,
        mut results: Vec<Result<Option<T>, StoreError>>,
    ) -> Vec<Result<Option<T>, StoreError>> {
        if results.iter().any(|result| matches!(result, Ok(None)))
            && let Err(error) = self.check_folder()
        {
            for result in results.iter_mut().filter(|result| matches!(result, Ok(None))) {
                *result = Err(error.clone());
            }
        }
        results
    }

    /// Sees that the folder is still the one that was opened.
    fn check_folder(&self) -> Result<(), StoreError> {
        if folder_identity(self.layout.root())? == self.folder {
            return Ok(());
        }
        Err(StoreError::damaged(self.layout.root().display(), "the folder was replaced while it was in use"))
    }
}

fn readers() -> usize {
    parallel::cores() * READERS_PER_CORE
}

/// Device and inode of a store's folder.
fn folder_identity(root: &Path) -> Result<(u64, u64), StoreError> {
    match std::fs::metadata(root) {
        Ok(metadata) if metadata.is_dir() => Ok((metadata.dev(), metadata.ino())),
        Ok(_) => Err(StoreError::io("open", root, io::ErrorKind::NotADirectory.into())),
        Err(source) if source.kind() == io::ErrorKind::NotFound => {
            Err(StoreError::Missing { place: root.display().to_string() })
        }
        Err(source) => Err(StoreError::io("open", root, source)),
    }
}

/// Names and paths in a folder; nothing when there is no such folder.
fn entries(folder: &Path) -> Result<Vec<(String, PathBuf)>, StoreError> {
    let failed = |source| StoreError::io("list", folder, source);
    let listed = match std::fs::read_dir(folder) {
        Err(source) if source.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        listed => listed.map_err(failed)?,
    };
    let named = |entry: std::fs::DirEntry| (entry.file_name().to_string_lossy().into_owned(), entry.path());
    listed.map(|entry| entry.map(named).map_err(failed)).collect()
}

/// Whether something beside the folders of namespaces is a file that other programs leave everywhere, e.g. `.gitkeep`.
/// Any other file may stand where the folder of a namespace should be.
fn is_litter((name, path): &(String, PathBuf)) -> bool {
    name.starts_with('.') && !path.is_dir()
}

/// A whole file; `None` when there is none.
pub fn read_bounded(path: &Path, bytes_max: u64) -> Result<Option<Vec<u8>>, StoreError> {
    let failed = |source| StoreError::io("read", path, source);
    let file = match File::open(path) {
        Err(source) if source.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file.map_err(failed)?,
    };
    let length = file.metadata().map_err(failed)?.len();
    if length > bytes_max {
        return Err(StoreError::damaged(path.display(), format!("it is larger than {bytes_max} bytes")));
    }
    let mut bytes = Vec::with_capacity(length as usize + 1);
    file.take(bytes_max).read_to_end(&mut bytes).map_err(failed)?;
    Ok(Some(bytes))
}

fn read_record(path: &Path, user: &NamespacedName) -> Result<Option<Versioned<Record>>, StoreError> {
    let Some(bytes) = read_bounded(path, RECORD_BYTES_MAX)? else { return Ok(None) };
    let file: RecordFile<Record> = serde_json::from_slice(&bytes).map_err(|error| explain(path, &bytes, &error))?;
    let RecordFile { version, record } = file;
    if record.schema > RECORD_SCHEMA {
        return Err(newer(path, record.schema.into()));
    }
    if record.user != *user {
        return Err(StoreError::Misfiled {
            place: path.display().to_string(),
            wanted: user.to_string(),
            found: record.user.to_string(),
        });
    }
    Ok(Some(Versioned { value: record, version: Version(version.to_string()) }))
}

/// Why bytes are no record: written by a newer program, or damaged. Records hold no secret, so the parser may quote them.
fn explain(path: &Path, bytes: &[u8], error: &serde_json::Error) -> StoreError {
    #[derive(serde::Deserialize)]
    struct Header {
        schema: u64,
    }
    match serde_json::from_slice::<RecordFile<Header>>(bytes) {
        Ok(file) if file.record.schema > RECORD_SCHEMA.into() => newer(path, file.record.schema),
        Ok(_) | Err(_) => StoreError::damaged(path.display(), error.to_string()),
    }
}

fn newer(path: &Path, schema: u64) -> StoreError {
    StoreError::NewerSchema { place: path.display().to_string(), schema, known: RECORD_SCHEMA.into() }
}

fn stat_material(path: &Path) -> Result<MaterialStat, StoreError> {
    let failed = |source| StoreError::io("look at", path, source);
    let file = match File::open(path) {
        Err(source) if source.kind() == io::ErrorKind::NotFound => return Ok(MaterialStat::Absent),
        file => file.map_err(failed)?,
    };
    let mut beginning = Vec::with_capacity(TOMBSTONE.len() + 1);
    file.take(TOMBSTONE.len() as u64).read_to_end(&mut beginning).map_err(failed)?;
    if beginning == TOMBSTONE {
        return Ok(MaterialStat::Destroyed);
    }
    if AGE_FILES.iter().any(|age| beginning.starts_with(&age[..age.len().min(TOMBSTONE.len())])) {
        return Ok(MaterialStat::Present);
    }
    Err(StoreError::damaged(path.display(), "it is neither an age file nor a tombstone"))
}

/// The version of a sealed document: SHA-256 of its ciphertext, which tells nothing of the secret.
pub fn version_of(sealed: &[u8]) -> Version {
    use std::fmt::Write as _;
    let digest = ring::digest::digest(&ring::digest::SHA256, sealed);
    let mut hex = String::with_capacity(64);
    for byte in digest.as_ref() {
        write!(hex, "{byte:02x}").expect("writing to a String cannot fail");
    }
    Version(hex)
}
