//! One writer at a time.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::durable::create_directories;
use super::layout::Layout;
use crate::store::StoreError;

/// The exclusive lock of a writer. The system takes it back when the process ends, however that happens.
#[derive(Debug)]
pub struct WriterLock(File);

/// A process id has at most ten digits; nothing else is ever written to the lock file.
const LOCK_BYTES_MAX: u64 = 16;

impl WriterLock {
    /// Takes the lock of a store, or says who has it. Never waits. The file is never removed: a lock on a removed file
    /// would exclude nobody.
    pub fn acquire(layout: &Layout) -> Result<Self, StoreError> {
        create_directories(&layout.own())?;
        let path = layout.lock();
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(|source| StoreError::io("open", &path, source))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => (),
            Err(Errno::WOULDBLOCK) => {
                return Err(StoreError::Locked { place: layout.root().display().to_string(), pid: holder(&mut file) });
            }
            Err(errno) => return Err(StoreError::io("lock", &path, errno.into())),
        }
        file.set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| write!(file, "{}", std::process::id()))
            .map_err(|source| StoreError::io("write", &path, source))?;
        Ok(Self(file))
    }
}

impl Drop for WriterLock {
    /// Gives the lock back at once. Closing the file alone would wait for a program that this process is just starting,
    /// which shares the open file until it has started.
    fn drop(&mut self) {
        let _ = flock(&self.0, FlockOperation::Unlock);
    }
}

/// The process id that the holder of the lock wrote down.
fn holder(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.take(LOCK_BYTES_MAX).read_to_string(&mut text).ok()?;
    text.parse().ok()
}
