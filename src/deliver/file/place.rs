//! One path that a delivery may use, and what may be done to what stands there.

use std::ffi::OsStr;
use std::path::PathBuf;

use super::folder::{Folder, Seen, scratch_name};
use super::owner::Ids;
use super::written::Identity;
use crate::deliver::DeliveryError;
use crate::names::{Generation, NamespacedName};
use crate::secret::Secret;

/// A path in an open folder, for one user's delivery.
pub(super) struct Place<'a> {
    pub folder: &'a Folder,
    pub path: PathBuf,
    pub user: &'a NamespacedName,
    /// The highest generation that may be replaced or removed (R4).
    pub newest: Generation,
}

impl Place<'_> {
    fn name(&self) -> &OsStr {
        self.path.file_name().expect("only paths with a file name become places")
    }

    /// What stands there without a look at whose it is; `None` for nothing.
    pub fn look(&self) -> Result<Option<Seen>, DeliveryError> {
        self.folder.look(self.name())
    }

    /// What stands there, if it may be replaced or removed; `None` for nothing.
    ///
    /// # Errors
    /// Something that is not ours, another user's, or newer.
    pub fn ours(&self) -> Result<Option<Seen>, DeliveryError> {
        let Some(seen) = self.look()? else { return Ok(None) };
        let path = || self.path.clone();
        let stamp = self.folder.stamp(self.name())?.ok_or_else(|| DeliveryError::Foreign { path: path() })?;
        if stamp.user != *self.user {
            return Err(DeliveryError::OfOtherUser { path: path(), user: stamp.user });
        }
        if stamp.generation > self.newest {
            return Err(DeliveryError::Newer {
                target: path().display().to_string(),
                found: stamp.generation,
                ours: self.newest,
            });
        }
        Ok(Some(seen))
    }

    /// Its whole content, as far as its size tells.
    pub fn read(&self, size: u64) -> Result<Secret, DeliveryError> {
        self.folder.read(self.name(), size)
    }

    /// Makes the file hold `content`, for `owner` alone, and tells what it looks like then. A file that holds it already
    /// is not written.
    pub fn put(&self, content: &Secret, owner: Ids) -> Result<Identity, DeliveryError> {
        let before = self.ours()?;
        let same_size = before.as_ref().is_some_and(|seen| seen.size == content.len() as u64);
        if same_size && self.folder.holds(self.name(), content)? {
            self.folder.restore_access(self.name(), owner)?;
        } else {
            let before = before.map_or_else(Ids::default, |seen| seen.ids);
            self.folder.replace(self.name(), content, owner.or(before))?;
        }
        let vanished = || DeliveryError::Write { path: self.path.clone(), source: std::io::ErrorKind::NotFound.into() };
        self.look()?.map(|seen| Identity::of(&seen)).ok_or_else(vanished)
    }

    /// Removes the file, if it is ours.
    pub fn remove(&self) -> Result<(), DeliveryError> {
        match self.ours()? {
            Some(_) => self.folder.remove(self.name()),
            None => Ok(()),
        }
    }

    /// Removes what a write that was cut short left beside it.
    pub fn clear_scratch(&self) -> Result<(), DeliveryError> {
        self.folder.remove(&scratch_name(self.name()))
    }
}
