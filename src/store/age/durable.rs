//! Files that are there wholly or not at all, and stay.
//!
//! A batch goes through three stages: every file is written and synced under a temporary name, then renamed into place,
//! then every folder that changed is synced once. Large batches sync the whole file system instead, twice. A crash leaves the old file or the new one, and perhaps temporary files
//! that nobody reads.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use ring::rand::SecureRandom as _;
use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;
use zeroize::Zeroizing;

use super::parallel::{self, DISK_THREADS};
use crate::store::{Created, StoreError};

/// One file to be put in place. The bytes are public or ciphertext, but for those of an identity; they are wiped after use.
pub struct Placement {
    /// Where.
    pub target: PathBuf,
    /// The whole content.
    pub bytes: Zeroizing<Vec<u8>>,
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

/// A file that is written under its temporary name.
struct Written {
    sibling: PathBuf,
    target: PathBuf,
    placing: Placing,
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
    let syncing = Syncing::of_batch(temporary, prepared.len());
    let written = write_all(temporary, prepared, syncing);
    let settled = parallel::map(written, syncing.threads(), |written| settle(&written?));
    let failed = match syncing {
        Syncing::Each => sync_touched(&settled),
        Syncing::Whole => {
            sync_file_system(temporary).err().map(|error| (temporary.to_owned(), error)).into_iter().collect()
        }
    };
    let durable = |settled: Settled| {
        let failure = match syncing {
            Syncing::Each => settled.touched.iter().find_map(|folder| failed.get(folder)),
            Syncing::Whole => failed.values().next(),
        };
        failure.map_or(Ok(settled.created), |error| Err(error.clone()))
    };
    settled.into_iter().map(|settled| settled.and_then(durable)).collect()
}

/// Writes every file under a temporary name, durably.
fn write_all(
    temporary: &Path,
    prepared: Vec<Result<Placement, StoreError>>,
    syncing: Syncing,
) -> Vec<Result<Written, StoreError>> {
    let write = |placement: Result<Placement, StoreError>| write_temporary(temporary, placement?, syncing);
    let mut written = parallel::map(prepared, syncing.threads(), write);
    if syncing == Syncing::Whole
        && let Err(error) = sync_file_system(temporary)
    {
        for item in &mut written {
            if let Ok(Written { sibling, .. }) = std::mem::replace(item, Err(error.clone())) {
                drop(std::fs::remove_file(sibling));
            }
        }
    }
    written
}

/// Syncs every folder that got a new entry once; the ones that failed.
fn sync_touched(settled: &[Result<Settled, StoreError>]) -> BTreeMap<PathBuf, StoreError> {
    let touched = settled.iter().flatten().flat_map(|settled| settled.touched.iter().cloned());
    let touched: BTreeSet<PathBuf> = touched.collect();
    let synced = parallel::map(touched.into_iter().collect(), DISK_THREADS, |folder: PathBuf| {
        let result = sync_folder(&folder);
        (folder, result)
    });
    synced.into_iter().filter_map(|(folder, result)| Some((folder, result.err()?))).collect()
}

/// Puts one file in place outside of a store, where no folder for temporary files exists.
pub fn place_one(placement: Placement) -> Result<Created, StoreError> {
    let folder = match placement.target.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        Some(_) | None => PathBuf::from("."),
    };
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
    let create = || match DirBuilder::new().mode(0o700).create(folder) {
        Ok(()) => Ok(folder.parent().map(Path::to_owned)),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(None),
        Err(error) => Err(error),
    };
    let entered = match create() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let above = folder.parent().filter(|above| !above.as_os_str().is_empty()).ok_or(error)?;
            make_missing(above, touched)?;
            // Once more only: in `/proc` nothing can be made, and says `NotFound` for ever.
            create()?
        }
        created => created?,
    };
    touched.extend(entered);
    Ok(())
}

/// Writes the content under a temporary name.
fn write_temporary(temporary: &Path, placement: Placement, syncing: Syncing) -> Result<Written, StoreError> {
    let Placement { target, bytes, placing } = placement;
    let sibling = temporary.join(format!(".{:032x}.tmp", random_number()));
    let write = || {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&sibling)?;
        file.write_all(&bytes)?;
        if syncing == Syncing::Each { file.sync_all() } else { Ok(()) }
    };
    match write() {
        Ok(()) => Ok(Written { sibling, target, placing }),
        Err(source) => {
            drop(std::fs::remove_file(&sibling));
            Err(StoreError::io("write", &target, source))
        }
    }
}

/// Gives a written file its name. Makes the folder only when it is missing, which is rare.
fn settle(Written { sibling, target, placing }: &Written) -> Result<Settled, StoreError> {
    let settle = || {
        let folder = target.parent().ok_or(io::ErrorKind::InvalidInput)?;
        let mut touched = vec![folder.to_owned()];
        let created = match rename(sibling, target, *placing) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                make_missing(folder, &mut touched)?;
                rename(sibling, target, *placing)?
            }
            result => result?,
        };
        Ok(Settled { created, touched })
    };
    settle().map_err(|source| {
        drop(std::fs::remove_file(sibling));
        StoreError::io("put in place", target, source)
    })
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

/// How a batch is made durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Syncing {
    /// By one `fsync` for each file and folder.
    Each,
    /// By one `syncfs` for all files and one for all folders: for thousands of files a tenth of the time. It also waits
    /// for what others wrote to the same file system, so it is not for small batches.
    Whole,
}

/// From this size on a batch is worth the wait for what others wrote.
const WHOLE_FILES_MIN: usize = 256;

/// File systems whose `syncfs` is known to wait for the data and to commit the journal; that of FUSE, for one, is not.
#[cfg(target_os = "linux")]
const WHOLE_FILE_SYSTEMS: [u32; 4] = [
    0x0000_ef53, // ext4
    0x5846_5342, // XFS
    0x9123_683e, // Btrfs
    0x0102_1994, // tmpfs
];

impl Syncing {
    /// Threads that write. Without a wait for the disk in each there is nothing to gain from many: they only compete for the locks
    /// of the folders.
    fn threads(self) -> usize {
        match self {
            Self::Each => DISK_THREADS,
            Self::Whole => 1,
        }
    }

    #[cfg(target_os = "linux")]
    fn of_batch(temporary: &Path, files: usize) -> Self {
        let kind = || Some(rustix::fs::fstatfs(File::open(temporary).ok()?).ok()?.f_type as u32);
        let is_known = files >= WHOLE_FILES_MIN && kind().is_some_and(|kind| WHOLE_FILE_SYSTEMS.contains(&kind));
        if is_known { Self::Whole } else { Self::Each }
    }

    #[cfg(not(target_os = "linux"))]
    fn of_batch(_temporary: &Path, _files: usize) -> Self {
        Self::Each
    }
}

/// Makes everything on the file system of `folder` durable.
fn sync_file_system(folder: &Path) -> Result<(), StoreError> {
    #[cfg(target_os = "linux")]
    let sync = |file: File| rustix::fs::syncfs(file).map_err(io::Error::from);
    #[cfg(not(target_os = "linux"))]
    let sync = |file: File| file.sync_all();
    File::open(folder).and_then(sync).map_err(|source| StoreError::io("sync", folder, source))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_that_cannot_be_made_are_an_error() {
        let folder = tempfile::tempdir().unwrap();
        create_directories(&folder.path().join("a/b/c")).unwrap();
        assert!(folder.path().join("a/b/c").is_dir());
        // Nothing can be made in `/proc`, and its answer is that there is nothing, not that it is forbidden.
        assert!(create_directories(Path::new("/proc/kastellan/a/b")).is_err());
    }
}
