//! Files that are there wholly or not at all, and stay.
//!
//! A batch goes through three stages: every file is written and synced under a temporary name, then renamed into place,
//! then every folder that changed is synced once. A crash leaves the old file or the new one, and perhaps temporary files
//! that nobody reads.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use ring::rand::SecureRandom as _;
use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;

use super::parallel::{self, DISK_THREADS};
use crate::store::{Created, StoreError};

/// One file to be put in place. The bytes are public or ciphertext.
pub struct Placement {
    /// Where.
    pub target: PathBuf,
    /// The whole content.
    pub bytes: Vec<u8>,
    /// Whether there may be one already.
    pub placing: Placing,
}

/// What happens to a file that is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placing {
    /// It is replaced.
    Replace,
    /// It stays.
    CreateOnly,
}

/// A file that has its name, with the folders whose change is not durable yet.
struct Settled {
    created: Created,
    touched: Vec<PathBuf>,
}

/// Puts a batch of files in place, each with mode 0600, folders with 0700.
///
/// `prepared` may hold items that failed before; they stay failed.
///
/// # Guarantees
/// What is `Ok` is durable. What is `Err` is there wholly or not at all; with [`Placing::Replace`] the old file stands
/// until the new one does.
pub fn place(temporary: &Path, prepared: Vec<Result<Placement, StoreError>>) -> Vec<Result<Created, StoreError>> {
    let written = parallel::map(prepared, DISK_THREADS, |placement| {
        let placement = placement?;
        let sibling = write_temporary(temporary, &placement)?;
        Ok((sibling, placement.target, placement.placing))
    });
    let settled = parallel::map(written, DISK_THREADS, |written| {
        let (sibling, target, placing) = written?;
        settle(&sibling, &target, placing)
            .inspect_err(|_| drop(std::fs::remove_file(&sibling)))
            .map_err(|source| StoreError::io("put in place", &target, source))
    });
    let touched: BTreeSet<PathBuf> =
        settled.iter().flatten().flat_map(|settled: &Settled| settled.touched.iter().cloned()).collect();
    let synced = parallel::map(touched.into_iter().collect(), DISK_THREADS, |folder: PathBuf| {
        let result = sync_folder(&folder);
        (folder, result)
    });
    let failed: BTreeMap<PathBuf, StoreError> =
        synced.into_iter().filter_map(|(folder, result)| Some((folder, result.err()?))).collect();
    let durable = |settled: Settled| match settled.touched.iter().find_map(|folder| failed.get(folder)) {
        Some(error) => Err(error.clone()),
        None => Ok(settled.created),
    };
    settled.into_iter().map(|settled| settled.and_then(durable)).collect()
}

/// Puts one file in place outside of a store, where no folder for temporary files exists.
pub fn place_one(placement: Placement) -> Result<Created, StoreError> {
    let folder = placement.target.parent().unwrap_or(Path::new("/")).to_owned();
    create_directories(&folder)?;
    place(&folder, vec![Ok(placement)]).pop().expect("one result for one item")
}

/// Removes what a writer that was killed left behind, and makes the folder if there is none.
///
/// # Assumptions
/// The caller is the only writer.
pub fn clear_leftovers(temporary: &Path) -> Result<(), StoreError> {
    create_directories(temporary)?;
    let failed = |source| StoreError::io("clear", temporary, source);
    for entry in std::fs::read_dir(temporary).map_err(failed)? {
        std::fs::remove_file(entry.map_err(failed)?.path()).map_err(failed)?;
    }
    Ok(())
}

/// Makes a folder and those above it with mode 0700, durably; does nothing if it is there.
pub fn create_directories(folder: &Path) -> Result<(), StoreError> {
    let failed = |source| StoreError::io("make folder", folder, source);
    let mut touched = Vec::new();
    make_missing(folder, &mut touched).map_err(failed)?;
    if !folder.is_dir() {
        return Err(failed(io::ErrorKind::NotADirectory.into()));
    }
    touched.iter().try_for_each(|folder| sync_folder(folder))
}

/// Makes the missing ones of a folder and those above it, and notes the folders that got a new entry.
fn make_missing(folder: &Path, touched: &mut Vec<PathBuf>) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(folder) {
        Ok(()) => touched.extend(folder.parent().map(Path::to_owned)),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => (),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let above = folder.parent().filter(|above| !above.as_os_str().is_empty()).ok_or(error)?;
            make_missing(above, touched)?;
            make_missing(folder, touched)?;
        }
        Err(error) => return Err(error),
    }
    Ok(())
}

/// Writes and syncs the content under a temporary name.
fn write_temporary(temporary: &Path, placement: &Placement) -> Result<PathBuf, StoreError> {
    let sibling = temporary.join(format!(".{:032x}.tmp", random_number()));
    let write = || {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&sibling)?;
        file.write_all(&placement.bytes)?;
        file.sync_all()
    };
    write()
        .inspect_err(|_| drop(std::fs::remove_file(&sibling)))
        .map_err(|source| StoreError::io("write", &placement.target, source))?;
    Ok(sibling)
}

/// Gives a written file its name. Makes the folder only when it is missing, which is rare.
fn settle(sibling: &Path, target: &Path, placing: Placing) -> io::Result<Settled> {
    let folder = target.parent().ok_or(io::ErrorKind::InvalidInput)?;
    let mut touched = vec![folder.to_owned()];
    let created = match rename(sibling, target, placing) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            make_missing(folder, &mut touched)?;
            rename(sibling, target, placing)?
        }
        result => result?,
    };
    Ok(Settled { created, touched })
}

fn rename(sibling: &Path, target: &Path, placing: Placing) -> io::Result<Created> {
    match placing {
        Placing::Replace => std::fs::rename(sibling, target)?,
        Placing::CreateOnly => match rename_into_free_name(sibling, target) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                std::fs::remove_file(sibling)?;
                return Ok(Created::AlreadyThere);
            }
            result => result?,
        },
    }
    Ok(Created::New)
}

/// Renames unless the target exists, in one step; where the file system cannot do that, a hard link can.
fn rename_into_free_name(sibling: &Path, target: &Path) -> io::Result<()> {
    match renameat_with(CWD, sibling, CWD, target, RenameFlags::NOREPLACE) {
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {
            std::fs::hard_link(sibling, target)?;
            std::fs::remove_file(sibling)
        }
        result => result.map_err(Into::into),
    }
}

/// Makes the entries of a folder durable.
fn sync_folder(folder: &Path) -> Result<(), StoreError> {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    File::open(folder).and_then(|file| file.sync_all()).map_err(|source| StoreError::io("sync", folder, source))
}

/// 128 random bits: two writers never choose the same temporary name.
pub fn random_number() -> u128 {
    let mut bytes = [0; 16];
    ring::rand::SystemRandom::new().fill(&mut bytes).expect("the operating system's generator answers");
    u128::from_le_bytes(bytes)
}
