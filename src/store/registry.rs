//! The one place that names every kind of store.

use std::path::PathBuf;
use std::sync::Arc;

use futures_util::future::BoxFuture;

use super::age::{AgeOpener, AgeReader, AgeSettings, AgeStore};
use super::vault::{VaultStore, VaultStoreSettings};
use super::{MemoryStore, SecretReader, Store, StoreError, StoreReader};
use crate::names::StoreName;
use crate::spec::{CredentialStoreSpec, FilePath, StoreBackend};

/// The kinds of store there are. The conformance suite runs for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Backend {
    /// A folder of age files.
    Age,
    /// Nothing but memory.
    Memory,
    /// A KV version 2 mount of Vault or OpenBao.
    Vault,
}

impl Backend {
    /// All kinds.
    pub const ALL: [Self; 3] = [Self::Age, Self::Memory, Self::Vault];

    /// Whether it needs a server, so that its tests are among those with servers.
    pub const fn needs_server(self) -> bool {
        match self {
            Self::Age | Self::Memory => false,
            Self::Vault => true,
        }
    }
}

/// How to open one store.
#[derive(Debug, Clone)]
pub enum StoreSettings {
    /// A folder of age files.
    Age(AgeSettings),
    /// A store in memory that exists already; what is opened shares its contents.
    Memory(MemoryStore),
    /// A KV version 2 mount.
    Vault(VaultStoreSettings),
}

impl StoreSettings {
    /// The settings of a `CredentialStore`; `resolve` makes a path of its document absolute.
    ///
    /// # Errors
    /// Those of `resolve`.
    pub fn of_document<E>(
        name: &StoreName,
        spec: &CredentialStoreSpec,
        resolve: impl Fn(&FilePath) -> Result<PathBuf, E>,
    ) -> Result<Self, E> {
        match &spec.backend {
            StoreBackend::Age(age) => Ok(Self::Age(AgeSettings {
                name: name.clone(),
                directory: resolve(&age.directory)?,
                identity_file: resolve(&age.identity_file)?,
                recipients: age.recipients.clone(),
                inputs: spec.inputs.iter().map(ToString::to_string).collect(),
            })),
            StoreBackend::Vault(vault) => {
                let inputs = spec.inputs.iter().map(ToString::to_string).collect();
                VaultStoreSettings::of_document(name, vault, inputs, resolve).map(Self::Vault)
            }
        }
    }
}

/// What a machine knows of the stores bound to it, outside of the stores themselves (R10).
#[derive(Debug, Clone)]
pub struct MachineState {
    /// Folder of markers, `${XDG_STATE_HOME:-~/.local/state}/kastellan/stores`. Made when it is first needed.
    pub markers: PathBuf,
}

/// Opens a store for looking only; needs no identity and no right to open a secret.
pub async fn open_for_reading(settings: &StoreSettings) -> Result<Arc<dyn StoreReader>, StoreError> {
    match settings {
        StoreSettings::Age(settings) => {
            let settings = settings.clone();
            let reader = blocking(move || AgeReader::open_for_reading(&settings)).await?;
            Ok(Arc::new(reader))
        }
        StoreSettings::Vault(settings) => Ok(Arc::new(VaultStore::open(settings).await?)),
        StoreSettings::Memory(store) => Ok(Arc::new(store.clone())),
    }
}

/// Opens a store for opening secrets, and changing nothing: takes no lock, and a copied store will do.
pub async fn open_secrets(settings: &StoreSettings) -> Result<Arc<dyn SecretReader>, StoreError> {
    match settings {
        StoreSettings::Age(settings) => {
            let settings = settings.clone();
            let opener = blocking(move || AgeOpener::open(&settings)).await?;
            Ok(Arc::new(opener))
        }
        StoreSettings::Vault(settings) => Ok(Arc::new(VaultStore::open(settings).await?)),
        StoreSettings::Memory(store) => Ok(Arc::new(store.clone())),
    }
}

/// Opens a store for opening secrets and writing.
///
/// # Errors
/// [`StoreError::Locked`]: another process writes to it. [`StoreError::Copied`]: see [`take_over`].
pub async fn open_for_writing(settings: &StoreSettings, machine: &MachineState) -> Result<Arc<dyn Store>, StoreError> {
    match settings {
        StoreSettings::Age(settings) => {
            let (settings, machine) = (settings.clone(), machine.clone());
            let store = blocking(move || AgeStore::open_for_writing(&settings, &machine)).await?;
            Ok(Arc::new(store))
        }
        StoreSettings::Vault(settings) => Ok(Arc::new(VaultStore::open_for_writing(settings).await?)),
        StoreSettings::Memory(store) => Ok(Arc::new(store.clone())),
    }
}

/// Opens a copied store for writing, after a person said that the other copy is gone. A store that is no copy is just
/// opened.
///
/// # Assumptions
/// `fence` completes when `T_fence` has passed: until then a request of the other copy may still be executed. The store
/// is locked meanwhile, and stays a copy if the process ends before.
pub async fn take_over(
    settings: &StoreSettings,
    machine: &MachineState,
    fence: BoxFuture<'_, ()>,
) -> Result<Arc<dyn Store>, StoreError> {
    match open_for_writing(settings, machine).await {
        Err(StoreError::Copied { .. }) => (),
        opened => return opened,
    }
    match settings {
        StoreSettings::Age(settings) => {
            let (settings, machine) = (settings.clone(), machine.clone());
            let taking_over = blocking(move || AgeStore::take_over(&settings, &machine)).await?;
            fence.await;
            let store = blocking(move || taking_over.complete()).await?;
            Ok(Arc::new(store))
        }
        StoreSettings::Memory(store) => Ok(Arc::new(store.clone())),
        // It is one store, whoever opens it, and never a copy.
        StoreSettings::Vault(settings) => Ok(Arc::new(VaultStore::open_for_writing(settings).await?)),
    }
}

/// Runs work that blocks where it may. It is completed even if nobody waits for it any more.
pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    crate::host::run_blocking(work).await
}
