//! The `memory` store: for unit tests and simulation. Keeps nothing, and fails or lags when told to.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};

use futures_util::future::{BoxFuture, ready};
use zeroize::Zeroizing;

use super::fields::Fields;
use super::input::{InputDocument, Inputs, merge_input};
use super::payload;
use super::port::{
    Batch, Created, CredentialWrite, ListedRecord, MaterialStat, RecordWrite, SecretReader, Store, StoreReader, Tally,
};
use super::{StoreError, payload_error};
use crate::credential::{CredentialDocument, Record, Version, Versioned};
use crate::names::{Generation, NamespacedName, Segment, StoreName};
use crate::secret::{Material, Secret};

/// A store in memory. Clones share their contents.
#[derive(Debug, Clone)]
pub struct MemoryStore {
    name: StoreName,
    inputs: Inputs,
    state: Arc<Mutex<State>>,
}

/// What reads of records answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ReadLag {
    /// The newest version.
    #[default]
    Fresh,
    /// The version before the newest, as a follower that lags would.
    OneBehind,
}

#[derive(Debug, Default)]
struct State {
    records: BTreeMap<NamespacedName, Kept<Record>>,
    /// `None`: destroyed.
    materials: BTreeMap<(NamespacedName, Generation), Option<Zeroizing<Vec<u8>>>>,
    credentials: BTreeMap<NamespacedName, Kept<Zeroizing<Vec<u8>>>>,
    inputs: BTreeMap<Vec<Segment>, Kept<Zeroizing<Vec<u8>>>>,
    tally: Tally,
    lag: ReadLag,
    failing_calls: u64,
    lost_answers: u64,
    failing_users: BTreeSet<NamespacedName>,
}

/// A document with its version and the one before.
#[derive(Debug)]
struct Kept<T> {
    version: u64,
    value: T,
    before: Option<T>,
}

/// What becomes of one call.
#[derive(Clone, Copy)]
enum Fate {
    Works,
    Fails,
    LosesItsAnswer,
}

impl MemoryStore {
    /// An empty store.
    ///
    /// # Errors
    /// One of `inputs` is no prefix.
    pub fn new(name: StoreName, inputs: &[String]) -> Result<Self, StoreError> {
        Ok(Self { inputs: Inputs::parse(&name, inputs)?, name, state: Arc::default() })
    }

    /// Makes the next `calls` fail without any effect.
    pub fn fail_next(&self, calls: u64) {
        self.lock().failing_calls = calls;
    }

    /// Makes the next `calls` do their work and report a failure, as when the answer is lost.
    pub fn lose_next_answers(&self, calls: u64) {
        self.lock().lost_answers = calls;
    }

    /// Makes every item of this user fail, until [`MemoryStore::heal`].
    pub fn fail_user(&self, user: NamespacedName) {
        self.lock().failing_users.insert(user);
    }

    /// What reads of records answer from now on. Writes always compare with the newest version.
    pub fn lag_reads(&self, lag: ReadLag) {
        self.lock().lag = lag;
    }

    /// Ends all failures and lags.
    pub fn heal(&self) {
        let mut state = self.lock();
        state.failing_calls = 0;
        state.lost_answers = 0;
        state.failing_users.clear();
        state.lag = ReadLag::Fresh;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no test panics while it holds the store")
    }

    fn unavailable(&self) -> StoreError {
        StoreError::Unavailable { store: self.name.clone() }
    }

    /// Runs `one` for every item under one lock, as far as the faults that were asked for let it.
    fn each<I, T>(
        &self,
        items: impl IntoIterator<Item = I>,
        user: impl Fn(&I) -> &NamespacedName,
        mut one: impl FnMut(&mut State, I) -> Result<T, StoreError>,
    ) -> Vec<Result<T, StoreError>> {
        let mut state = self.lock();
        let fate = state.next_fate();
        items
            .into_iter()
            .map(|item| {
                self.inputs.check_user(user(&item))?;
                if state.failing_users.contains(user(&item)) {
                    return Err(self.unavailable());
                }
                self.meet(fate, || one(&mut state, item))
            })
            .collect()
    }

    /// Runs `act` as its fate allows.
    fn meet<T>(&self, fate: Fate, act: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
        match fate {
            Fate::Works => act(),
            Fate::Fails => Err(self.unavailable()),
            Fate::LosesItsAnswer => act().and(Err(self.unavailable())),
        }
    }
}

impl State {
    fn next_fate(&mut self) -> Fate {
        if self.failing_calls > 0 {
            self.failing_calls -= 1;
            return Fate::Fails;
        }
        if self.lost_answers > 0 {
            self.lost_answers -= 1;
            return Fate::LosesItsAnswer;
        }
        Fate::Works
    }

    fn record(&self, user: &NamespacedName) -> Option<Versioned<Record>> {
        let kept = self.records.get(user)?;
        match self.lag {
            ReadLag::Fresh => Some(Versioned { value: kept.value.clone(), version: version(kept.version) }),
            ReadLag::OneBehind => Some(Versioned { value: kept.before.clone()?, version: version(kept.version - 1) }),
        }
    }
}

/// Writes `value` if the version that is there is the expected one.
fn compare_and_set<K: Ord, T>(
    documents: &mut BTreeMap<K, Kept<T>>,
    key: K,
    value: T,
    expected: Option<&Version>,
    place: impl std::fmt::Display,
) -> Result<Version, StoreError> {
    let current = documents.get(&key).map(|kept| version(kept.version));
    if current.as_ref() != expected {
        return Err(StoreError::Conflict { place: place.to_string() });
    }
    Ok(put(documents, key, value))
}

/// Writes `value` whatever is there.
fn put<K: Ord, T>(documents: &mut BTreeMap<K, Kept<T>>, key: K, value: T) -> Version {
    let before = documents.remove(&key);
    let number = before.as_ref().map_or(1, |kept| kept.version + 1);
    documents.insert(key, Kept { version: number, value, before: before.map(|kept| kept.value) });
    version(number)
}

fn version(number: u64) -> Version {
    Version(number.to_string())
}

impl StoreReader for MemoryStore {
    fn name(&self) -> &StoreName {
        &self.name
    }

    fn tally(&self) -> Tally {
        self.lock().tally
    }

    fn list_records(&self) -> BoxFuture<'_, Result<Vec<ListedRecord>, StoreError>> {
        let mut state = self.lock();
        let fate = state.next_fate();
        let listed = self.meet(fate, || {
            state.tally.record_reads += state.records.len() as u64;
            let mut listed = Vec::new();
            for user in state.records.keys() {
                if state.failing_users.contains(user) {
                    listed.push((user.clone(), Err(self.unavailable())));
                } else if let Some(record) = state.record(user) {
                    listed.push((user.clone(), Ok(record)));
                }
            }
            Ok(listed)
        });
        Box::pin(ready(listed))
    }

    fn read_records<'a>(&'a self, users: &'a [NamespacedName]) -> Batch<'a, Option<Versioned<Record>>> {
        let results = self.each(
            users,
            |user| user,
            |state, user| {
                state.tally.record_reads += 1;
                Ok(state.record(user))
            },
        );
        Box::pin(ready(results))
    }

    fn stat_credentials<'a>(&'a self, users: &'a [NamespacedName]) -> Batch<'a, Option<Version>> {
        let results = self.each(
            users,
            |user| user,
            |state, user| {
                state.tally.stats += 1;
                Ok(state.credentials.get(user).map(|kept| version(kept.version)))
            },
        );
        Box::pin(ready(results))
    }

    fn stat_materials<'a>(&'a self, generations: &'a [(NamespacedName, Generation)]) -> Batch<'a, MaterialStat> {
        let results = self.each(
            generations,
            |(user, _)| user,
            |state, key| {
                state.tally.stats += 1;
                Ok(match state.materials.get(key) {
                    None => MaterialStat::Absent,
                    Some(Some(_)) => MaterialStat::Present,
                    Some(None) => MaterialStat::Destroyed,
                })
            },
        );
        Box::pin(ready(results))
    }

    fn stat_input<'a>(&'a self, path: &'a str, key: &'a str) -> BoxFuture<'a, Result<Option<Version>, StoreError>> {
        let mut state = self.lock();
        let fate = state.next_fate();
        let found = self.inputs.resolve(path).and_then(|segments| {
            self.meet(fate, || {
                state.tally.stats += 1;
                let document = state.inputs.get(&segments);
                let fields = document.map(|kept| Fields::decode(&kept.value).expect("written by write_input"));
                let has_key = fields.is_some_and(|fields| fields.get(key).is_some());
                Ok(document.filter(|_| has_key).map(|kept| version(kept.version)))
            })
        });
        Box::pin(ready(found))
    }
}

impl SecretReader for MemoryStore {
    fn read_materials<'a>(&'a self, generations: &'a [(NamespacedName, Generation)]) -> Batch<'a, Option<Material>> {
        let results = self.each(
            generations,
            |(user, _)| user,
            |state, key| {
                state.tally.secret_reads += 1;
                let (user, generation) = key;
                match state.materials.get(key) {
                    Some(Some(bytes)) => payload::decode_material(user, *generation, bytes)
                        .map(Some)
                        .map_err(|error| payload_error(format_args!("material of {user}"), error)),
                    Some(None) | None => Ok(None),
                }
            },
        );
        Box::pin(ready(results))
    }

    fn read_credentials<'a>(&'a self, users: &'a [NamespacedName]) -> Batch<'a, Option<Versioned<CredentialDocument>>> {
        let results = self.each(
            users,
            |user| user,
            |state, user| {
                state.tally.secret_reads += 1;
                let Some(kept) = state.credentials.get(user) else { return Ok(None) };
                let value = payload::decode_credential(&kept.value).map_err(|error| payload_error(user, error))?;
                Ok(Some(Versioned { value, version: version(kept.version) }))
            },
        );
        Box::pin(ready(results))
    }

    fn list_inputs<'a>(&'a self, folder: &'a str) -> BoxFuture<'a, Result<Vec<String>, StoreError>> {
        let mut state = self.lock();
        let fate = state.next_fate();
        let found = self.inputs.resolve_folder(folder).and_then(|segments| {
            self.meet(fate, || {
                let below = state.inputs.keys().filter_map(|path| path.strip_prefix(segments.as_slice()));
                let names = below.filter_map(|rest| match rest {
                    [] => None,
                    [name] => Some(name.to_string()),
                    [folder, ..] => Some(format!("{folder}/")),
                });
                Ok(names.collect::<BTreeSet<_>>().into_iter().collect())
            })
        });
        Box::pin(ready(found))
    }

    fn read_inputs<'a>(&'a self, paths: &'a [String]) -> Batch<'a, Option<Versioned<InputDocument>>> {
        let mut state = self.lock();
        let fate = state.next_fate();
        let read = paths.iter().map(|path| {
            let segments = self.inputs.resolve(path)?;
            self.meet(fate, || {
                state.tally.secret_reads += 1;
                let Some(kept) = state.inputs.get(&segments) else { return Ok(None) };
                let value = InputDocument::decode(path, &kept.value)?;
                Ok(Some(Versioned { value, version: version(kept.version) }))
            })
        });
        Box::pin(ready(read.collect()))
    }
}

impl Store for MemoryStore {
    fn write_records(&self, writes: Vec<RecordWrite>) -> Batch<'_, Version> {
        let mut seen = BTreeSet::new();
        let results = self.each(
            writes,
            |write| &write.record.user,
            |state, write| {
                state.tally.record_writes += 1;
                let user = write.record.user.clone();
                if !seen.insert(user.clone()) {
                    return Err(StoreError::Conflict { place: user.to_string() });
                }
                compare_and_set(&mut state.records, user.clone(), write.record, write.expected.as_ref(), user)
            },
        );
        Box::pin(ready(results))
    }

    fn create_materials(&self, materials: Vec<(NamespacedName, Arc<Material>)>) -> Batch<'_, Created> {
        let results = self.each(
            materials,
            |(user, _)| user,
            |state, (user, material)| {
                state.tally.material_writes += 1;
                let bytes = payload::encode_material(&user, &material).map_err(|error| payload_error(&user, error))?;
                let key = (user, material.generation);
                if state.materials.contains_key(&key) {
                    return Ok(Created::AlreadyThere);
                }
                state.materials.insert(key, Some(bytes));
                Ok(Created::New)
            },
        );
        Box::pin(ready(results))
    }

    fn destroy_materials<'a>(&'a self, generations: &'a [(NamespacedName, Generation)]) -> Batch<'a, ()> {
        let results = self.each(
            generations,
            |(user, _)| user,
            |state, key| {
                state.tally.material_writes += 1;
                state.materials.insert(key.clone(), None);
                Ok(())
            },
        );
        Box::pin(ready(results))
    }

    fn write_credentials(&self, writes: Vec<CredentialWrite>) -> Batch<'_, Version> {
        let mut seen = BTreeSet::new();
        let results = self.each(
            writes,
            |write| &write.user,
            |state, CredentialWrite { user, document, expected }| {
                state.tally.credential_writes += 1;
                if !seen.insert(user.clone()) {
                    return Err(StoreError::Conflict { place: user.to_string() });
                }
                let bytes = payload::encode_credential(&document).map_err(|error| payload_error(&user, error))?;
                compare_and_set(&mut state.credentials, user.clone(), bytes, expected.as_ref(), user)
            },
        );
        Box::pin(ready(results))
    }

    fn write_input<'a>(
        &'a self,
        path: &'a str,
        key: &'a str,
        secret: Secret,
    ) -> BoxFuture<'a, Result<Version, StoreError>> {
        let mut state = self.lock();
        let fate = state.next_fate();
        let written = self.inputs.resolve(path).and_then(|segments| {
            self.meet(fate, || {
                state.tally.input_writes += 1;
                let before = state.inputs.get(&segments).map(|kept| (kept.value.clone(), version(kept.version)));
                match merge_input(path, before.as_ref().map(|(bytes, _)| bytes.as_slice()), key, &secret)? {
                    Some(bytes) => Ok(put(&mut state.inputs, segments, bytes)),
                    None => Ok(before.expect("only a document that is there can hold the value already").1),
                }
            })
        });
        Box::pin(ready(written))
    }
}
