//! What the keys of a store in Vault are set to, and that it is so before they are written.

use std::collections::BTreeSet;
use std::sync::{MutexGuard, PoisonError};

use super::VaultStore;
use crate::store::StoreError;
use crate::vault::{KeySettings, KvPath};

/// One rotation writes a record some six times: so the last few rotations can be read up.
pub(super) const RECORDS: KeySettings = KeySettings { max_versions: 20 };
/// The newest one is what applications read.
pub(super) const CREDENTIALS: KeySettings = KeySettings { max_versions: 10 };
/// It is written once.
pub(super) const MATERIAL: KeySettings = KeySettings { max_versions: 1 };

/// What Vault keeps where nothing is said.
const VERSIONS_DEFAULT: u64 = 10;
/// With fewer, what was there before the last change is gone.
const VERSIONS_SENSIBLE: u64 = 3;

impl VaultStore {
    /// Prepares a key for a write: sets a new one up, and looks once at the settings of one that is there.
    pub(super) async fn prepare(&self, path: &KvPath, cas: u64, settings: KeySettings) -> Result<(), StoreError> {
        if cas == 0 {
            self.vault.set_up(path, settings).await?;
            self.note_checked(path);
            return Ok(());
        }
        let is_known = self.checked().contains(path);
        let found = if is_known { None } else { self.vault.look_at(path).await? };
        let Some(keys) = found else { return Ok(()) };
        if let Some(time) = keys.delete_version_after {
            return Err(StoreError::Expires { place: self.place(path), when: format!("after {time}") });
        }
        // Vault keeps as many as the larger of both says.
        let kept =
            Some(keys.max_versions.max(self.mount_versions)).filter(|kept| *kept > 0).unwrap_or(VERSIONS_DEFAULT);
        if kept < VERSIONS_SENSIBLE {
            tracing::warn!(
                "Vault keeps {kept} versions of `{}`, too few to read one rotation up: set `max_versions` to {}",
                self.place(path),
                settings.max_versions
            );
        }
        self.note_checked(path);
        Ok(())
    }

    fn checked(&self) -> MutexGuard<'_, BTreeSet<KvPath>> {
        self.checked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn note_checked(&self, path: &KvPath) {
        self.checked().insert(path.clone());
    }
}
