//! The `vault` store: a KV version 2 mount of Vault or OpenBao.
//!
//! ```text
//!   <mount>/<prefix>/<namespace>/<name>                                 credential: what applications read
//!   <mount>/<prefix>/<inputs…>                                          given passwords
//!   <mount>/<prefix>/_kastellan/records/<namespace>/<name>              record
//!   <mount>/<prefix>/_kastellan/material/<namespace>/<name>/<number>    material, written once, then destroyed
//! ```
//!
//! Every write names the version that it expects. Whoever may read records, and list them, can look: that takes one list
//! for each namespace and one read for each record, side by side, and no other request.

mod documents;
mod keys;
mod layout;
mod settings;

pub use settings::VaultStoreSettings;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};

use futures_util::future::BoxFuture;
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};

use super::counters::{Counters, count};
use super::input::{InputDocument, Inputs, merge_input};
use super::port::{
    Batch, Created, CredentialWrite, ListedRecord, MaterialStat, RecordWrite, SecretReader, Store, StoreReader, Tally,
};
use super::{StoreError, first_of_each, payload, payload_error};
use crate::credential::{CredentialDocument, Record, Version, Versioned};
use crate::names::{Generation, NamespacedName, Segment, StoreName};
use crate::secret::{Material, Secret};
use crate::vault::{KvPath, Read, Stored, Vault, VaultError};
use documents::{decode_record, encode_record, is_tombstone, tombstone};
use keys::{CREDENTIALS, MATERIAL, RECORDS};
use layout::Layout;

/// Items of a batch that are under way at once; the client has a bound of its own for requests.
const AT_ONCE: usize = 64;

/// Three cohorts are under way at once, and a permit lasts 30 seconds: a Vault that writes 100 records in a second will do.
const USERS_AT_ONCE: usize = 500;

/// Two who put keys into one input at once; a third conflict means that somebody writes there all the time.
const INPUT_ATTEMPTS: usize = 3;

/// A store in Vault. What it can do is a matter of its token.
#[derive(Debug)]
pub struct VaultStore {
    name: StoreName,
    vault: Vault,
    mount: String,
    layout: Layout,
    inputs: Inputs,
    counters: Counters,
    /// How many versions the mount keeps; 0: ten. Known where the store is open for writing.
    mount_versions: u64,
    /// Keys whose settings were looked at.
    checked: Mutex<BTreeSet<KvPath>>,
}

impl VaultStore {
    /// Opens the store for looking, or for opening secrets: logs in, and asks for nothing else.
    ///
    /// # Errors
    /// Those of the settings and of the login.
    pub async fn open(settings: &VaultStoreSettings) -> Result<Self, StoreError> {
        let vault = Vault::new(settings.vault.clone())?;
        vault.log_in().await?;
        Ok(Self {
            name: settings.name.clone(),
            vault,
            mount: KvPath::of(&settings.vault.mount).to_string(),
            layout: Layout::new(settings.prefix.clone()),
            inputs: Inputs::parse(&settings.name, &settings.inputs)?,
            counters: Counters::default(),
            mount_versions: 0,
            checked: Mutex::default(),
        })
    }

    /// Opens the store for writing.
    ///
    /// # Errors
    /// [`VaultError::NoMount`], and [`StoreError::Expires`] where the mount deletes what is written after a time:
    /// applications and rotations would lose their credentials by a clock.
    pub async fn open_for_writing(settings: &VaultStoreSettings) -> Result<Self, StoreError> {
        let mut store = Self::open(settings).await?;
        match store.check_mount().await {
            Ok(max_versions) => {
                store.mount_versions = max_versions;
                Ok(store)
            }
            Err(error) => {
                store.vault.log_out().await;
                Err(error)
            }
        }
    }

    /// How many versions the mount keeps.
    async fn check_mount(&self) -> Result<u64, StoreError> {
        let settings = self.vault.mount_settings().await?;
        match settings.delete_version_after {
            None => Ok(settings.max_versions),
            Some(time) => {
                Err(StoreError::Expires { place: format!("{}/config", self.mount), when: format!("after {time}") })
            }
        }
    }

    /// Runs `one` for every item, several at once; results in the order of the items.
    async fn each<I, T, F: Future<Output = Result<T, StoreError>>>(
        &self,
        counter: &AtomicU64,
        items: impl IntoIterator<Item = I, IntoIter: ExactSizeIterator>,
        one: impl FnMut(I) -> F,
    ) -> Vec<Result<T, StoreError>> {
        let items = items.into_iter();
        count(counter, items.len());
        stream::iter(items.map(one)).buffered(AT_ONCE).collect().await
    }

    fn place(&self, path: &KvPath) -> String {
        format!("{}/{path}", self.mount)
    }

    /// A document, unless Vault is going to delete it by itself.
    fn lasting(&self, path: &KvPath, stored: Stored) -> Result<Stored, StoreError> {
        match stored.expires {
            None => Ok(stored),
            Some(time) => Err(StoreError::Expires { place: self.place(path), when: format!("at {time}") }),
        }
    }

    async fn read_record(&self, user: &NamespacedName) -> Result<Option<Versioned<Record>>, StoreError> {
        self.inputs.check_user(user)?;
        let path = self.layout.record(user);
        match self.vault.read(&path).await? {
            Read::Absent => Ok(None),
            Read::Gone { .. } => Err(StoreError::Deleted { place: self.place(&path) }),
            Read::Found(stored) => {
                let stored = self.lasting(&path, stored)?;
                let value = decode_record(&self.place(&path), user, &stored.json)?;
                Ok(Some(Versioned { value, version: version(stored.version) }))
            }
        }
    }

    async fn write_record(&self, write: RecordWrite) -> Result<Version, StoreError> {
        let RecordWrite { record, expected } = write;
        self.inputs.check_user(&record.user)?;
        let path = self.layout.record(&record.user);
        let cas = self.number(&path, expected.as_ref())?;
        self.prepare(&path, cas, RECORDS).await?;
        let written = self.vault.write(&path, &encode_record(&record), cas).await;
        written.map(version).map_err(|error| self.explain(error))
    }

    async fn stat_material(&self, user: &NamespacedName, generation: Generation) -> Result<MaterialStat, StoreError> {
        self.inputs.check_user(user)?;
        let path = self.layout.material(user, generation);
        match self.vault.look_at(&path).await? {
            Some(keys) if keys.is_destroyed => Ok(MaterialStat::Destroyed),
            Some(keys) if keys.is_deleted => Err(StoreError::Deleted { place: self.place(&path) }),
            Some(keys) if keys.version > 0 => Ok(MaterialStat::Present),
            Some(_) | None => Ok(MaterialStat::Absent),
        }
    }

    async fn read_material(
        &self,
        user: &NamespacedName,
        generation: Generation,
    ) -> Result<Option<Material>, StoreError> {
        self.inputs.check_user(user)?;
        let path = self.layout.material(user, generation);
        match self.vault.read(&path).await? {
            Read::Absent | Read::Gone { is_destroyed: true, .. } => Ok(None),
            Read::Gone { is_destroyed: false, .. } => Err(StoreError::Deleted { place: self.place(&path) }),
            Read::Found(stored) if is_tombstone(&stored.json) => Ok(None),
            Read::Found(stored) => payload::decode_material(user, generation, &stored.json)
                .map(Some)
                .map_err(|error| payload_error(self.place(&path), error)),
        }
    }

    /// Whoever may create a document and not change it is refused where there is one: by the policy, before the
    /// comparison of versions.
    async fn create(&self, path: &KvPath, json: &[u8]) -> Result<Created, StoreError> {
        let created = match self.vault.write(path, json, 0).await {
            Ok(_) => Created::New,
            Err(error @ (VaultError::Conflict { .. } | VaultError::Denied { .. })) => {
                match self.vault.look_at(path).await? {
                    Some(keys) if keys.version > 0 => Created::AlreadyThere,
                    Some(_) | None => return Err(error.into()),
                }
            }
            Err(error) => return Err(error.into()),
        };
        // Also where it was there: whoever made it may have died before this.
        self.vault.set_up(path, MATERIAL).await?;
        Ok(created)
    }

    async fn create_material(&self, user: &NamespacedName, material: &Material) -> Result<Created, StoreError> {
        self.inputs.check_user(user)?;
        let path = self.layout.material(user, material.generation);
        let json = payload::encode_material(user, material).map_err(|error| payload_error(self.place(&path), error))?;
        self.create(&path, &json).await
    }

    async fn destroy_material(&self, user: &NamespacedName, generation: Generation) -> Result<(), StoreError> {
        self.inputs.check_user(user)?;
        let path = self.layout.material(user, generation);
        let version = match self.vault.look_at(&path).await? {
            Some(keys) if keys.is_destroyed => return Ok(()),
            Some(keys) if keys.version > 0 => keys.version,
            Some(_) | None => {
                self.create(&path, &tombstone()).await?;
                1
            }
        };
        Ok(self.vault.destroy(&path, version).await?)
    }

    async fn stat_document(&self, path: &KvPath) -> Result<Option<Version>, StoreError> {
        let keys = self.vault.look_at(path).await?;
        let keys = keys.filter(|keys| keys.version > 0 && !keys.is_deleted && !keys.is_destroyed);
        Ok(keys.map(|keys| version(keys.version)))
    }

    async fn stat_credential(&self, user: &NamespacedName) -> Result<Option<Version>, StoreError> {
        self.inputs.check_user(user)?;
        self.stat_document(&self.layout.credential(user)).await
    }

    async fn read_credential(
        &self,
        user: &NamespacedName,
    ) -> Result<Option<Versioned<CredentialDocument>>, StoreError> {
        self.inputs.check_user(user)?;
        let path = self.layout.credential(user);
        match self.vault.read(&path).await? {
            Read::Absent | Read::Gone { .. } => Ok(None),
            Read::Found(stored) => {
                let stored = self.lasting(&path, stored)?;
                let value = payload::decode_credential(&stored.json)
                    .map_err(|error| payload_error(self.place(&path), error))?;
                Ok(Some(Versioned { value, version: version(stored.version) }))
            }
        }
    }

    async fn write_credential(&self, write: CredentialWrite) -> Result<Version, StoreError> {
        let CredentialWrite { user, document, expected } = write;
        self.inputs.check_user(&user)?;
        let path = self.layout.credential(&user);
        let json = payload::encode_credential(&document).map_err(|error| payload_error(self.place(&path), error))?;
        let written = match self.number(&path, expected.as_ref())? {
            0 => self.create_credential(&path, &json).await,
            cas => {
                self.prepare(&path, cas, CREDENTIALS).await?;
                self.vault.write(&path, &json, cas).await
            }
        };
        written.map(version).map_err(|error| self.explain(error))
    }

    async fn read_input_document(&self, path: &str) -> Result<Option<Versioned<InputDocument>>, StoreError> {
        match self.vault.read(&self.layout.input(&self.inputs.resolve(path)?)).await? {
            Read::Absent | Read::Gone { .. } => Ok(None),
            Read::Found(stored) => {
                let value = InputDocument::decode(path, &stored.json)?;
                Ok(Some(Versioned { value, version: version(stored.version) }))
            }
        }
    }

    /// Writes a document where there is none, and only then sets its key up: what stands there may be somebody else's.
    async fn create_credential(&self, path: &KvPath, json: &[u8]) -> Result<u64, VaultError> {
        let version = match self.vault.write(path, json, 0).await {
            Ok(version) => version,
            Err(error @ VaultError::Conflict { .. }) => match self.vault.read(path).await? {
                // One that was deleted is no document, but counts on.
                Read::Gone { version, .. } => self.vault.write(path, json, version).await?,
                Read::Found(stored) => {
                    // Whoever made it may have died before this.
                    if payload::decode_credential(&stored.json).is_ok() {
                        self.vault.set_up(path, CREDENTIALS).await?;
                    }
                    return Err(error);
                }
                Read::Absent => return Err(error),
            },
            Err(error) => return Err(error),
        };
        self.vault.set_up(path, CREDENTIALS).await?;
        self.note_checked(path);
        Ok(version)
    }

    async fn put_input(&self, path: &str, key: &str, secret: &Secret) -> Result<Version, StoreError> {
        let kv_path = self.layout.input(&self.inputs.resolve(path)?);
        let mut attempt = 0;
        loop {
            let (before, cas) = match self.vault.read(&kv_path).await? {
                Read::Absent => (None, 0),
                Read::Gone { version, .. } => (None, version),
                Read::Found(stored) => {
                    let cas = stored.version;
                    (Some(stored.json), cas)
                }
            };
            let Some(json) = merge_input(path, before.as_ref().map(|json| json.as_slice()), key, secret)? else {
                return Ok(version(cas));
            };
            attempt += 1;
            match self.vault.write(&kv_path, &json, cas).await {
                Err(VaultError::Conflict { .. }) if attempt < INPUT_ATTEMPTS => {}
                written => return written.map(version).map_err(|error| self.explain(error)),
            }
        }
    }

    /// The number to compare with; 0: there must be nothing. A version of another store's making is no version here.
    fn number(&self, path: &KvPath, expected: Option<&Version>) -> Result<u64, StoreError> {
        let Some(Version(text)) = expected else { return Ok(0) };
        let number = text.parse().ok().filter(|number| *number > 0);
        number.ok_or_else(|| StoreError::Conflict { place: self.place(path) })
    }

    fn explain(&self, error: VaultError) -> StoreError {
        match error {
            VaultError::Conflict { path } => StoreError::Conflict { place: format!("{}/{path}", self.mount) },
            other => other.into(),
        }
    }

    /// The users that have a record, as far as their keys tell.
    async fn users(&self) -> Result<Vec<NamespacedName>, StoreError> {
        let folder = self.layout.records();
        let segment = |name: &str| {
            let misnamed = |_| StoreError::damaged(self.place(&folder), "a name in it is none of a record");
            Segment::parse(name).map_err(misnamed)
        };
        let listed = self.vault.list(&folder).await?;
        let namespaces = listed.iter().filter_map(|key| key.strip_suffix('/')).map(segment);
        let namespaces = namespaces.collect::<Result<Vec<_>, _>>()?;
        let lists = namespaces.into_iter().map(|namespace| {
            let folder = folder.join(&namespace);
            async move {
                let names = self.vault.list(&folder).await?;
                let names = names.iter().filter(|key| !key.ends_with('/')).map(|name| segment(name));
                let users = names.map(|name| Ok(NamespacedName { namespace: namespace.clone(), name: name? }));
                users.collect::<Result<Vec<_>, StoreError>>()
            }
        });
        let lists: Vec<Vec<_>> = stream::iter(lists).buffered(AT_ONCE).try_collect().await?;
        let mut users: Vec<_> = lists.into_iter().flatten().collect();
        users.sort();
        Ok(users)
    }
}

fn version(number: u64) -> Version {
    Version(number.to_string())
}

impl StoreReader for VaultStore {
    fn name(&self) -> &StoreName {
        &self.name
    }

    fn tally(&self) -> Tally {
        self.counters.tally()
    }

    fn requests(&self) -> BTreeMap<&'static str, u64> {
        self.vault.requests()
    }

    fn watches_credentials(&self) -> bool {
        false
    }

    fn users_at_once(&self) -> usize {
        USERS_AT_ONCE
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.vault.log_out())
    }

    fn list_records(&self) -> BoxFuture<'_, Result<Vec<ListedRecord>, StoreError>> {
        Box::pin(async move {
            let users = self.users().await?;
            let read = self.read_records(&users).await;
            // A key that was set up, and never written, is listed too.
            let listed = users.into_iter().zip(read);
            Ok(listed.filter_map(|(user, read)| Some((user, read.transpose()?))).collect())
        })
    }

    fn read_records<'a>(&'a self, users: &'a [NamespacedName]) -> Batch<'a, Option<Versioned<Record>>> {
        Box::pin(self.each(&self.counters.record_reads, users, |user| self.read_record(user)))
    }

    fn stat_credentials<'a>(&'a self, users: &'a [NamespacedName]) -> Batch<'a, Option<Version>> {
        Box::pin(self.each(&self.counters.stats, users, |user| self.stat_credential(user)))
    }

    fn stat_materials<'a>(&'a self, generations: &'a [(NamespacedName, Generation)]) -> Batch<'a, MaterialStat> {
        Box::pin(self.each(&self.counters.stats, generations, |(user, number)| self.stat_material(user, *number)))
    }

    fn stat_input<'a>(&'a self, path: &'a str, _key: &'a str) -> BoxFuture<'a, Result<Option<Version>, StoreError>> {
        Box::pin(async move {
            count(&self.counters.stats, 1);
            self.stat_document(&self.layout.input(&self.inputs.resolve(path)?)).await
        })
    }
}

impl SecretReader for VaultStore {
    fn read_materials<'a>(&'a self, generations: &'a [(NamespacedName, Generation)]) -> Batch<'a, Option<Material>> {
        let counter = &self.counters.secret_reads;
        Box::pin(self.each(counter, generations, |(user, number)| self.read_material(user, *number)))
    }

    fn read_credentials<'a>(&'a self, users: &'a [NamespacedName]) -> Batch<'a, Option<Versioned<CredentialDocument>>> {
        Box::pin(self.each(&self.counters.secret_reads, users, |user| self.read_credential(user)))
    }

    fn list_inputs<'a>(&'a self, folder: &'a str) -> BoxFuture<'a, Result<Vec<String>, StoreError>> {
        Box::pin(async move {
            let mut keys = self.vault.list(&self.layout.input(&self.inputs.resolve_folder(folder)?)).await?;
            keys.sort();
            Ok(keys)
        })
    }

    fn read_inputs<'a>(&'a self, paths: &'a [String]) -> Batch<'a, Option<Versioned<InputDocument>>> {
        Box::pin(self.each(&self.counters.secret_reads, paths, |path| self.read_input_document(path)))
    }
}

impl Store for VaultStore {
    fn write_records(&self, writes: Vec<RecordWrite>) -> Batch<'_, Version> {
        let writes = first_of_each(writes, |write| &write.record.user);
        let one = async |write: Result<RecordWrite, StoreError>| self.write_record(write?).await;
        Box::pin(async move { self.each(&self.counters.record_writes, writes, one).await })
    }

    fn create_materials(&self, materials: Vec<(NamespacedName, Arc<Material>)>) -> Batch<'_, Created> {
        let one =
            async |(user, material): (NamespacedName, Arc<Material>)| self.create_material(&user, &material).await;
        Box::pin(async move { self.each(&self.counters.material_writes, materials, one).await })
    }

    fn destroy_materials<'a>(&'a self, generations: &'a [(NamespacedName, Generation)]) -> Batch<'a, ()> {
        let counter = &self.counters.material_writes;
        Box::pin(self.each(counter, generations, |(user, number)| self.destroy_material(user, *number)))
    }

    fn write_credentials(&self, writes: Vec<CredentialWrite>) -> Batch<'_, Version> {
        let writes = first_of_each(writes, |write| &write.user);
        let one = async |write: Result<CredentialWrite, StoreError>| self.write_credential(write?).await;
        Box::pin(async move { self.each(&self.counters.credential_writes, writes, one).await })
    }

    fn write_input<'a>(
        &'a self,
        path: &'a str,
        key: &'a str,
        secret: Secret,
    ) -> BoxFuture<'a, Result<Version, StoreError>> {
        Box::pin(async move {
            count(&self.counters.input_writes, 1);
            self.put_input(path, key, &secret).await
        })
    }
}
