//! The store as one host sees it: the shared one in memory, behind a network that is slow, loses requests and answers, and
//! sometimes asks a follower that is one version behind.

use std::sync::Arc;

use futures_util::future::{BoxFuture, FutureExt as _};
use kastellan::credential::{CredentialDocument, Record, Version, Versioned};
use kastellan::names::{Generation, NamespacedName, StoreName};
use kastellan::secret::{Material, Secret};
use kastellan::store::{
    Batch, Created, CredentialWrite, InputDocument, ListedRecord, MaterialStat, MemoryStore, ReadLag, RecordWrite,
    SecretReader, Store, StoreError, StoreReader, Tally,
};

use super::world::World;

/// Most milliseconds that a request, or an answer, is on its way.
const LATENCY_MS_MAX: usize = 25;
/// Most milliseconds that a write is on its way of which the process hears nothing any more.
const STRAGGLE_MS_MAX: usize = 1_500;

/// One host's way to the store.
#[derive(Clone)]
pub struct DistantStore {
    world: Arc<World>,
    inner: MemoryStore,
}

/// What becomes of one request.
enum Way {
    Works,
    /// It never arrives.
    Lost,
    /// It arrives, and its answer does not.
    AnswerLost,
    /// It arrives long after the process was told that it failed.
    Straggles,
}

impl DistantStore {
    pub fn new(world: Arc<World>) -> Self {
        let inner = world.store.clone();
        Self { world, inner }
    }

    fn unavailable(&self) -> StoreError {
        StoreError::Unavailable { store: self.inner.name().clone() }
    }

    async fn travel(&self) -> Way {
        let (time, way) = self.world.with_dice(|dice, faults| {
            let time = dice.millis(0, LATENCY_MS_MAX);
            let way = match dice.below(1_000) {
                roll if roll < faults.store_requests_lost => Way::Lost,
                roll if roll < faults.store_requests_lost * 2 => Way::AnswerLost,
                roll if roll < faults.store_requests_lost * 3 => Way::Straggles,
                _ => Way::Works,
            };
            (time, way)
        });
        tokio::time::sleep(time).await;
        way
    }

    /// Reads something whole.
    async fn read<T>(&self, read: impl FnOnce(&MemoryStore) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let way = self.travel().await;
        let read = match way {
            Way::Works => read(&self.inner),
            Way::Lost | Way::AnswerLost | Way::Straggles => Err(self.unavailable()),
        };
        self.travel_back().await;
        read
    }

    /// Reads item by item.
    async fn read_each<T>(
        &self,
        count: usize,
        read: impl FnOnce(&MemoryStore) -> Vec<Result<T, StoreError>>,
    ) -> Vec<Result<T, StoreError>> {
        let read = self.read(|inner| Ok(read(inner))).await;
        read.unwrap_or_else(|error| (0..count).map(|_| Err(error.clone())).collect())
    }

    async fn travel_back(&self) {
        let time = self.world.with_dice(|dice, _| dice.millis(0, LATENCY_MS_MAX));
        tokio::time::sleep(time).await;
    }

    /// Writes, on a task of its own: a process that is killed does not take back what it has sent.
    async fn write<T: Send + 'static>(
        &self,
        count: usize,
        write: impl FnOnce(&MemoryStore, &World) -> Vec<Result<T, StoreError>> + Send + 'static,
    ) -> Vec<Result<T, StoreError>> {
        let (own, world) = (self.clone(), self.world.clone());
        let (time, straggle) =
            world.with_dice(|dice, _| (dice.millis(0, LATENCY_MS_MAX), dice.millis(0, STRAGGLE_MS_MAX)));
        let way = self.travel().await;
        let failed = |own: &Self| (0..count).map(|_| Err(own.unavailable())).collect::<Vec<_>>();
        let (time, is_heard) = match way {
            Way::Lost => return failed(self),
            Way::Works => (time, true),
            Way::AnswerLost => (time, false),
            Way::Straggles => (straggle, false),
        };
        world.begin_write();
        let task = tokio::spawn(async move {
            tokio::time::sleep(time).await;
            let written = write(&own.inner, &own.world);
            own.world.end_write();
            written
        });
        if !is_heard {
            return failed(self);
        }
        let written = task.await.expect("a write does not panic");
        self.travel_back().await;
        written
    }
}

/// The answer of a store in memory, which is there at once.
fn at_once<T>(future: BoxFuture<'_, T>) -> T {
    future.now_or_never().expect("a store in memory does not wait")
}

/// Reads records, perhaps from a follower.
fn from_follower<T>(world: &World, inner: &MemoryStore, read: impl FnOnce(&MemoryStore) -> T) -> T {
    if world.with_dice(|dice, faults| dice.chance(faults.stale_reads)) {
        inner.lag_reads(ReadLag::OneBehind);
    }
    let read = read(inner);
    inner.lag_reads(ReadLag::Fresh);
    read
}

impl StoreReader for DistantStore {
    fn name(&self) -> &StoreName {
        self.inner.name()
    }

    fn tally(&self) -> Tally {
        self.inner.tally()
    }

    fn list_records(&self) -> BoxFuture<'_, Result<Vec<ListedRecord>, StoreError>> {
        Box::pin(self.read(|inner| from_follower(&self.world, inner, |inner| at_once(inner.list_records()))))
    }

    fn read_records<'a>(&'a self, users: &'a [NamespacedName]) -> Batch<'a, Option<Versioned<Record>>> {
        let read = |inner: &MemoryStore| from_follower(&self.world, inner, |inner| at_once(inner.read_records(users)));
        Box::pin(self.read_each(users.len(), read))
    }

    fn stat_credentials<'a>(&'a self, users: &'a [NamespacedName]) -> Batch<'a, Option<Version>> {
        Box::pin(self.read_each(users.len(), |inner| at_once(inner.stat_credentials(users))))
    }

    fn stat_materials<'a>(&'a self, generations: &'a [(NamespacedName, Generation)]) -> Batch<'a, MaterialStat> {
        Box::pin(self.read_each(generations.len(), |inner| at_once(inner.stat_materials(generations))))
    }

    fn stat_input<'a>(&'a self, path: &'a str, key: &'a str) -> BoxFuture<'a, Result<Option<Version>, StoreError>> {
        Box::pin(self.read(|inner| at_once(inner.stat_input(path, key))))
    }
}

impl SecretReader for DistantStore {
    fn read_materials<'a>(&'a self, generations: &'a [(NamespacedName, Generation)]) -> Batch<'a, Option<Material>> {
        Box::pin(self.read_each(generations.len(), |inner| at_once(inner.read_materials(generations))))
    }

    fn read_credentials<'a>(&'a self, users: &'a [NamespacedName]) -> Batch<'a, Option<Versioned<CredentialDocument>>> {
        Box::pin(self.read_each(users.len(), |inner| at_once(inner.read_credentials(users))))
    }

    fn list_inputs<'a>(&'a self, folder: &'a str) -> BoxFuture<'a, Result<Vec<String>, StoreError>> {
        Box::pin(self.read(|inner| at_once(inner.list_inputs(folder))))
    }

    fn read_inputs<'a>(&'a self, paths: &'a [String]) -> Batch<'a, Option<Versioned<InputDocument>>> {
        Box::pin(self.read_each(paths.len(), |inner| at_once(inner.read_inputs(paths))))
    }
}

impl Store for DistantStore {
    fn write_records(&self, writes: Vec<RecordWrite>) -> Batch<'_, Version> {
        Box::pin(self.write(writes.len(), move |inner, world| {
            let writes = world.loosen(inner, writes);
            let records = writes.iter().map(|write| write.record.clone()).collect::<Vec<_>>();
            let written = at_once(inner.write_records(writes));
            for (record, written) in records.iter().zip(&written) {
                if written.is_ok() {
                    world.watch().record(record, world.clock.lived());
                }
                world.note(|| match written {
                    Ok(version) => format!("record of {} is {} {}", record.user, record.phase, version.0),
                    Err(_) => format!("record of {} is not {}: conflict", record.user, record.phase),
                });
            }
            written
        }))
    }

    fn create_materials(&self, materials: Vec<(NamespacedName, Arc<Material>)>) -> Batch<'_, Created> {
        Box::pin(self.write(materials.len(), move |inner, world| {
            let created = at_once(inner.create_materials(materials.clone()));
            for ((user, material), created) in materials.iter().zip(&created) {
                if let Ok(Created::New) = created {
                    world.watch().material(user, material);
                }
            }
            created
        }))
    }

    fn destroy_materials<'a>(&'a self, generations: &'a [(NamespacedName, Generation)]) -> Batch<'a, ()> {
        let generations = generations.to_vec();
        Box::pin(self.write(generations.len(), move |inner, _| at_once(inner.destroy_materials(&generations))))
    }

    fn write_credentials(&self, writes: Vec<CredentialWrite>) -> Batch<'_, Version> {
        Box::pin(self.write(writes.len(), move |inner, world| {
            let documents = writes.iter().map(|write| (write.user.clone(), write.document.clone())).collect::<Vec<_>>();
            let written = at_once(inner.write_credentials(writes));
            for ((user, document), written) in documents.iter().zip(&written) {
                if written.is_ok() {
                    world.note(|| format!("document of {user} is generation {}", document.generation()));
                    world.watch().document(user, document, world.clock.now());
                }
            }
            written
        }))
    }

    fn write_input<'a>(
        &'a self,
        path: &'a str,
        key: &'a str,
        secret: Secret,
    ) -> BoxFuture<'a, Result<Version, StoreError>> {
        Box::pin(async move { at_once(self.inner.write_input(path, key, secret)) })
    }
}
