//! One folder on disk, held open: every step below works in this very folder, wherever its path leads meanwhile.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{self as sys, AtFlags, FileType, FlockOperation, Gid, Mode, OFlags, Stat, Uid};
use rustix::io::Errno;
use zeroize::Zeroizing;

use super::owner::Ids;
use crate::deliver::DeliveryError;
use crate::render::{STAMP_BYTES_MAX, Stamp, read_stamp};
use crate::secret::Secret;

/// What is appended to a file's name for the sibling of its atomic write. It is always the same, so that the next write
/// clears away what a crash left, and it follows the name, so that one ignore pattern covers both.
pub(in crate::deliver) const SCRATCH_SUFFIX: &str = ".kastellan-tmp";

/// A delivered file is for its owner alone.
const OWNER_ONLY: Mode = Mode::from_raw_mode(0o600);

/// More than any file of ours: a credential takes a few hundred bytes, and the certificates beside it may take many.
const FILE_BYTES_MAX: u64 = 4 << 20;

/// What a folder is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Looking at the files in it.
    Look,
    /// Changing them: takes the lock that keeps other processes of ours out until it is dropped.
    Change,
}

/// Why a folder could not be opened; several deliveries into it may fail for the same reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FolderProblem {
    /// It does not exist, or is not a folder.
    Absent,
    /// Another process holds its lock.
    Busy,
    /// It cannot be opened.
    Unreadable(Errno),
}

impl FolderProblem {
    /// The error of one delivery into the folder.
    pub fn error(self, folder: &Path) -> DeliveryError {
        let folder = folder.to_owned();
        match self {
            Self::Absent => DeliveryError::NoFolder { folder },
            Self::Busy => DeliveryError::Busy { folder },
            Self::Unreadable(error) => DeliveryError::Read { path: folder, source: error.into() },
        }
    }
}

/// A folder that is held open.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    /// The path without symbolic links, as it was when the folder was opened.
    pub resolved: PathBuf,
    descriptor: Handle,
    /// Whether a name in it was changed.
    changed: AtomicBool,
}

/// What a plain file looks like from outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seen {
    pub size: u64,
    /// Seconds and nanoseconds since 1970, e.g. `1700000000.000000001`.
    pub modified: String,
    pub inode: u64,
    pub ids: Ids,
    /// Whether its mode is 0600.
    pub owner_only: bool,
}

impl Seen {
    fn of(stat: &Stat) -> Self {
        let (seconds, nanoseconds) = (stat.st_mtime, stat.st_mtime_nsec);
        Self {
            size: u64::try_from(stat.st_size).unwrap_or(0),
            modified: format!("{seconds}.{nanoseconds:09}"),
            inode: stat.st_ino,
            ids: Ids { uid: Some(stat.st_uid), gid: Some(stat.st_gid) },
            owner_only: Mode::from_raw_mode(stat.st_mode) == OWNER_ONLY,
        }
    }
}

/// An open folder, whose lock ends with it.
#[derive(Debug)]
struct Handle(OwnedFd);

impl AsFd for Handle {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Drop for Handle {
    /// Closing would not do: a child that another thread starts at this moment holds a copy of the descriptor until its
    /// program runs, and with it the lock.
    fn drop(&mut self) {
        let _ = sys::flock(&self.0, FlockOperation::Unlock);
    }
}

impl Folder {
    /// Opens an existing folder.
    pub fn open(path: &Path, purpose: Purpose) -> Result<Self, FolderProblem> {
        let failed = |error: Errno| match error {
            Errno::NOENT | Errno::NOTDIR => FolderProblem::Absent,
            other => FolderProblem::Unreadable(other),
        };
        let access = match purpose {
            // Needs no right to list the folder.
            Purpose::Look => OFlags::PATH,
            Purpose::Change => OFlags::RDONLY,
        };
        let flags = access | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let descriptor = Handle(sys::open(path, flags, Mode::empty()).map_err(failed)?);
        if purpose == Purpose::Change {
            // A lock of the folder needs no file of its own, and falls with the process.
            sys::flock(&descriptor, FlockOperation::NonBlockingLockExclusive).map_err(|error| match error {
                Errno::WOULDBLOCK => FolderProblem::Busy,
                other => FolderProblem::Unreadable(other),
            })?;
        }
        let resolved =
            path.canonicalize().map_err(|error| failed(Errno::from_io_error(&error).unwrap_or(Errno::IO)))?;
        Ok(Self { path: path.to_owned(), resolved, descriptor, changed: AtomicBool::new(false) })
    }

    /// Looks at a file without opening it; `None` if there is none.
    pub fn look(&self, name: &OsStr) -> Result<Option<Seen>, DeliveryError> {
        let stat = match sys::statat(&self.descriptor, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            Err(Errno::NOENT) => return Ok(None),
            Err(error) => return Err(self.unreadable(name, error.into())),
        };
        let what = match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => return Ok(Some(Seen::of(&stat))),
            FileType::Symlink => "a symbolic link",
            FileType::Directory => "a folder",
            FileType::Fifo
            | FileType::Socket
            | FileType::CharacterDevice
            | FileType::BlockDevice
            | FileType::Unknown => "something special",
        };
        Err(DeliveryError::NotAFile { path: self.path.join(name), what })
    }

    /// What a file says of itself; `None` if it is not ours. The secret behind the stamp is not looked at.
    pub fn stamp(&self, name: &OsStr) -> Result<Option<Stamp>, DeliveryError> {
        // The disk hands out more than the stamp; the rest is wiped with the buffer.
        let mut head = Zeroizing::new(Vec::with_capacity(STAMP_BYTES_MAX));
        let file = self.open_file(name)?;
        let read = file.take(STAMP_BYTES_MAX as u64).read_to_end(&mut head);
        read.map_err(|error| self.unreadable(name, error))?;
        Ok(read_stamp(&head))
    }

    /// The first bytes of a file, as many as `size` says and a file of ours can have.
    pub fn read(&self, name: &OsStr, size: u64) -> Result<Secret, DeliveryError> {
        let size = size.min(FILE_BYTES_MAX);
        let mut content = Vec::with_capacity(usize::try_from(size).unwrap_or(0) + 1);
        let read = self.open_file(name)?.take(size).read_to_end(&mut content);
        let content = Secret::new(content);
        read.map_err(|error| self.unreadable(name, error))?;
        Ok(content)
    }

    /// Whether a file holds exactly these bytes.
    pub fn holds(&self, name: &OsStr, content: &Secret) -> Result<bool, DeliveryError> {
        let mut found = Vec::with_capacity(content.len() + 1);
        let read = self.open_file(name)?.take(content.len() as u64 + 1).read_to_end(&mut found);
        let found = Secret::new(found);
        read.map_err(|error| self.unreadable(name, error))?;
        Ok(found.ct_eq(content))
    }

    /// Puts a file in place in one step, readable by its owner alone from its first byte on. The folder still has to
    /// be synced.
    pub fn replace(&self, name: &OsStr, content: &Secret, owner: Ids) -> Result<(), DeliveryError> {
        let scratch = scratch_name(name);
        let written = self.write_scratch(&scratch, content, owner).and_then(|()| {
            let renamed = sys::renameat(&self.descriptor, &*scratch, &self.descriptor, name);
            self.changed.store(true, Ordering::Relaxed);
            renamed.map_err(|error| self.unwritable(name, error.into()))
        });
        if written.is_err() {
            // Whatever failed is the better message.
            let _ = sys::unlinkat(&self.descriptor, &*scratch, AtFlags::empty());
        }
        written
    }

    fn write_scratch(&self, scratch: &OsStr, content: &Secret, owner: Ids) -> Result<(), DeliveryError> {
        self.remove(scratch)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let descriptor = sys::openat(&self.descriptor, scratch, flags, OWNER_ONLY);
        let mut file = File::from(descriptor.map_err(|error| self.unwritable(scratch, error.into()))?);
        // Before the content, so that nothing is written that cannot be given to its owner.
        self.settle(&file, scratch, owner)?;
        let written = file.write_all(content.expose()).and_then(|()| file.sync_all());
        written.map_err(|error| self.unwritable(scratch, error))
    }

    /// Gives a file its mode and owner where they differ, without touching its content.
    pub fn restore_access(&self, name: &OsStr, owner: Ids) -> Result<(), DeliveryError> {
        let file = self.open_file(name)?;
        self.settle(&file, name, owner)
    }

    fn settle(&self, file: &File, name: &OsStr, owner: Ids) -> Result<(), DeliveryError> {
        let stat = sys::fstat(file).map_err(|error| self.unreadable(name, error.into()))?;
        let seen = Seen::of(&stat);
        if !owner.are_met_by(seen.ids) {
            let given = sys::fchown(file, owner.uid.map(Uid::from_raw), owner.gid.map(Gid::from_raw));
            given.map_err(|error| DeliveryError::GiveAway { path: self.path.join(name), source: error.into() })?;
        }
        if !seen.owner_only {
            sys::fchmod(file, OWNER_ONLY).map_err(|error| self.unwritable(name, error.into()))?;
        }
        Ok(())
    }

    /// Removes a file; one that is not there is no error.
    pub fn remove(&self, name: &OsStr) -> Result<(), DeliveryError> {
        match sys::unlinkat(&self.descriptor, name, AtFlags::empty()) {
            Ok(()) => {
                self.changed.store(true, Ordering::Relaxed);
                Ok(())
            }
            Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(self.unwritable(name, error.into())),
        }
    }

    /// Makes changed names in the folder durable.
    pub fn sync(&self) -> Result<(), Errno> {
        if self.changed.swap(false, Ordering::Relaxed) { sys::fsync(&self.descriptor) } else { Ok(()) }
    }

    /// Opens a file for reading: no symbolic link, and without waiting for the other end of a pipe.
    fn open_file(&self, name: &OsStr) -> Result<File, DeliveryError> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let descriptor = sys::openat(&self.descriptor, name, flags, Mode::empty());
        descriptor.map(File::from).map_err(|error| self.unreadable(name, error.into()))
    }

    fn unreadable(&self, name: &OsStr, source: io::Error) -> DeliveryError {
        DeliveryError::Read { path: self.path.join(name), source }
    }

    fn unwritable(&self, name: &OsStr, source: io::Error) -> DeliveryError {
        DeliveryError::Write { path: self.path.join(name), source }
    }
}

/// Name of the sibling that a file is first written to.
pub(super) fn scratch_name(name: &OsStr) -> OsString {
    let mut scratch = name.to_owned();
    scratch.push(SCRATCH_SUFFIX);
    scratch
}
