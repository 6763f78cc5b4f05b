//! Effects on the store: material and records.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::stream::{self, StreamExt as _};

use super::connect::{Links, StoreLink};
use super::observe::INPUTS_AT_ONCE;
use super::run::{Failure, Job, Performed, UserRun};
use crate::credential::{Effect, GivenSource, LiveCredential, MaterialOrder, Origin, Outcome, Seen, Slot, Versioned};
use crate::diagnostic::{Chain, Disposition};
use crate::host::{System, on_all_cores};
use crate::names::{ClusterName, Generation, NamespacedName, StoreName};
use crate::secret::{Material, ScramCredential, Secret, draw_password, draw_rotation_id, draw_salt};
use crate::state::Desired;
use crate::store::{Created, RecordWrite, Store, StoreError};

/// The failure of an effect at a store.
pub(super) fn store_failure(effect: &'static str, error: &StoreError) -> Failure {
    Failure::new(effect, Chain(error), error.disposition()).hint(error.hint())
}

/// Runs `work` once for each store with the positions of its jobs; what it answers goes back to those positions.
pub(super) async fn per_store<'a, F>(
    links: &'a Links,
    effect: &'static str,
    jobs: &[Job<'a>],
    work: impl Fn(Arc<dyn Store>, Vec<usize>) -> F,
) -> Vec<Performed>
where
    F: Future<Output = Vec<Performed>>,
{
    let mut grouped: BTreeMap<&StoreName, Vec<usize>> = BTreeMap::new();
    for (position, job) in jobs.iter().enumerate() {
        grouped.entry(&job.run.plan.store).or_default().push(position);
    }
    let mut results = (0..jobs.len()).map(|_| Performed::default()).collect::<Vec<_>>();
    for (name, positions) in grouped {
        let performed = match opened(links, effect, name) {
            Ok(store) => work(store, positions.clone()).await,
            Err(failure) => positions.iter().map(|_| Performed::failed(failure.clone())).collect(),
        };
        for (position, performed) in positions.into_iter().zip(performed) {
            results[position] = performed;
        }
    }
    results
}

/// A store that can be written to, or the failure of everything that needs it.
pub(super) fn opened(links: &Links, effect: &'static str, name: &StoreName) -> Result<Arc<dyn Store>, Failure> {
    let closed = || format!("store `{name}`: it is open for reading only");
    let store = store_link(links, name).and_then(|link| link.store.clone().ok_or_else(closed));
    store.map_err(|why| Failure::new(effect, why, Disposition::Wait))
}

/// A store, or why it is not there.
pub(super) fn store_link<'l>(links: &'l Links, name: &StoreName) -> Result<&'l StoreLink, String> {
    match links.stores.get(name) {
        Some(Seen::Known(link)) => Ok(link),
        Some(Seen::Unknown(why)) => Err(format!("store `{name}`: {why}")),
        None => Err(format!("store `{name}`: no document declares it")),
    }
}

const MATERIAL: &str = "material";

/// Draws, derives and writes material, create-only; what a crashed attempt left is used if it fits (R8).
pub(super) async fn make_material<'a>(links: &'a Links, jobs: Vec<Job<'a>>) -> Vec<Performed> {
    let jobs = &jobs;
    per_store(links, MATERIAL, jobs, |store, positions| async move {
        let orders = positions
            .iter()
            .map(|&position| {
                let Effect::Material(order) = &jobs[position].effect else { unreachable!("grouped by kind") };
                (jobs[position].run.user.clone(), order.clone())
            })
            .collect::<Vec<_>>();
        let mut passwords = fetch_passwords(&*store, &orders).await;
        refuse_stolen(&*store, jobs, &positions, &mut passwords).await;
        let made = derive_all(&orders, passwords).await;
        let ready = made
            .iter()
            .zip(&orders)
            .filter_map(|(made, (user, _))| made.as_ref().ok().map(|(material, _)| (user.clone(), material.clone())));
        let mut created = store.create_materials(ready.collect()).await.into_iter();
        let mut performed = Vec::with_capacity(made.len());
        for ((user, order), made) in orders.iter().zip(made) {
            performed.push(match made {
                Err(failure) => Performed::failed(failure),
                Ok((material, source)) => match created.next().expect("one answer for each that was ready") {
                    Ok(Created::New) => made_of(order, material, source),
                    Ok(Created::AlreadyThere) => reuse(&*store, user, order, &material, source).await,
                    Err(error) => Performed::failed(store_failure(MATERIAL, &error)),
                },
            });
        }
        performed
    })
    .await
}

fn made_of(order: &MaterialOrder, material: Arc<Material>, source: Option<GivenSource>) -> Performed {
    let outcome = Outcome::Material { slot: slot_of(order, &material), source };
    Performed { outcomes: vec![outcome], material: vec![material], ..Performed::default() }
}

/// What a broker would tell of a material's credential.
fn slot_of(order: &MaterialOrder, material: &Material) -> Slot {
    Slot {
        username: order.username.clone(),
        generation: material.generation,
        rotation_id: material.rotation_id.clone(),
        mechanism: material.scram.mechanism,
        salt: material.scram.salt.clone(),
        iterations: material.scram.iterations.count(),
    }
}

/// A password to be derived, where it is not drawn, with the place it was read at.
type Fetched = Result<Option<(Secret, Option<GivenSource>)>, Failure>;

/// Reads the passwords that come from somewhere: inputs, and material whose deletion is undone.
async fn fetch_passwords(store: &dyn Store, orders: &[(NamespacedName, MaterialOrder)]) -> Vec<Fetched> {
    let kept = orders.iter().filter_map(|(user, order)| match order.origin {
        Origin::SameAs(generation) => Some((user.clone(), generation)),
        Origin::Generated(_) | Origin::Given { .. } => None,
    });
    let kept = kept.collect::<Vec<_>>();
    let mut kept = store.read_materials(&kept).await.into_iter();
    let given = orders.iter().filter_map(|(_, order)| match &order.origin {
        Origin::Given { path, key } => Some(fetch_given(store, path, key)),
        Origin::Generated(_) | Origin::SameAs(_) => None,
    });
    let given = stream::iter(given.collect::<Vec<_>>()).buffered(INPUTS_AT_ONCE).collect::<Vec<_>>().await;
    let mut given = given.into_iter();
    let mut fetched = Vec::with_capacity(orders.len());
    for (_, order) in orders {
        fetched.push(match &order.origin {
            Origin::Generated(_) => Ok(None),
            Origin::SameAs(generation) => match kept.next().expect("one answer for each that was asked") {
                Ok(Some(material)) => Ok(Some((material.scram.password.duplicate(), None))),
                Ok(None) => {
                    let why =
                        format!("the material of generation {generation}, whose password is to come back, is gone");
                    Err(Failure::new(MATERIAL, why, Disposition::Stall))
                }
                Err(error) => Err(store_failure(MATERIAL, &error)),
            },
            Origin::Given { .. } => given.next().expect("one answer for each that was asked"),
        });
    }
    fetched
}

/// A password that somebody else chose may be the very one that was revoked: it would give the thief the way back.
async fn refuse_stolen(store: &dyn Store, jobs: &[Job<'_>], positions: &[usize], fetched: &mut [Fetched]) {
    let (mut keys, mut owners) = (Vec::new(), Vec::new());
    for (local, &position) in positions.iter().enumerate() {
        let run = jobs[position].run;
        let revocation = run.record.as_ref().and_then(|record| record.value.revocation.as_ref());
        let is_given = matches!(&fetched[local], Ok(Some((_, Some(_)))));
        for slot in revocation.filter(|_| is_given).into_iter().flat_map(|revocation| &revocation.slots) {
            keys.push((run.user.clone(), slot.generation));
            owners.push(local);
        }
    }
    if keys.is_empty() {
        return;
    }
    for (local, revoked) in owners.into_iter().zip(store.read_materials(&keys).await) {
        let Ok(Some((given, Some(source)))) = &fetched[local] else { continue };
        let failure = match revoked {
            Ok(Some(revoked)) if revoked.scram.password.ct_eq(given) => {
                let why = format!("the password at `{}` is the one that was revoked", source.path);
                let hint = "write another with `kastellan store put`, then `kastellan apply`".to_owned();
                Failure::new(MATERIAL, why, Disposition::Stall).hint(Some(hint))
            }
            Ok(_) => continue,
            Err(error) => store_failure(MATERIAL, &error),
        };
        fetched[local] = Err(failure);
    }
}

async fn fetch_given(store: &dyn Store, path: &str, key: &str) -> Fetched {
    match store.read_input(path, key).await {
        Ok(Some((password, _))) if password.is_empty() => {
            Err(Failure::new(MATERIAL, format!("the password at `{path}` is empty"), Disposition::Stall))
        }
        Ok(Some((password, version))) => {
            let source = GivenSource { path: path.to_owned(), key: key.to_owned(), version };
            Ok(Some((password, Some(source))))
        }
        Ok(None) => {
            let why = format!("the store holds no `{key}` at `{path}`");
            Err(Failure::new(MATERIAL, why, Disposition::Stall)
                .hint(Some("write it with `kastellan store put`".to_owned())))
        }
        Err(error) => Err(store_failure(MATERIAL, &error)),
    }
}

type Derived = Result<(Arc<Material>, Option<GivenSource>), Failure>;

/// Derives the keys of all orders on all cores: PBKDF2 is most of a first provisioning.
async fn derive_all(orders: &[(NamespacedName, MaterialOrder)], fetched: Vec<Fetched>) -> Vec<Derived> {
    let orders = orders.iter().map(|(_, order)| order.clone());
    on_all_cores(orders.zip(fetched).collect(), |(order, fetched)| derive(&order, fetched)).await
}

fn derive(order: &MaterialOrder, fetched: Fetched) -> Derived {
    let mut randomness = System;
    let (password, source) = match (fetched?, &order.origin) {
        (Some((password, source)), _) => (password, source),
        (None, Origin::Generated(length)) => (draw_password(&mut randomness, *length), None),
        (None, Origin::Given { .. } | Origin::SameAs(_)) => {
            return Err(Failure::new(MATERIAL, "its password was not read", Disposition::Stall));
        }
    };
    let salt = draw_salt(&mut randomness);
    let material = Material {
        generation: order.generation,
        rotation_id: draw_rotation_id(&mut randomness),
        created_at: super::now().wall,
        scram: ScramCredential::derive(order.mechanism, password, salt, order.iterations),
    };
    Ok((Arc::new(material), source))
}

/// Material that is there already was left by an attempt that never reached PREPARED: it is used if it is what would be
/// made now, else its number is burnt (R8).
async fn reuse(
    store: &dyn Store,
    user: &NamespacedName,
    order: &MaterialOrder,
    wanted: &Material,
    source: Option<GivenSource>,
) -> Performed {
    let found = store.read_materials(&[(user.clone(), order.generation)]).await.pop();
    match found.expect("one answer for one question") {
        Ok(Some(found)) => {
            let same_password = match &order.origin {
                Origin::Generated(length) => found.scram.password.len() == length.characters(),
                Origin::Given { .. } | Origin::SameAs(_) => found.scram.password.ct_eq(&wanted.scram.password),
            };
            let fits =
                same_password && found.scram.mechanism == order.mechanism && found.scram.iterations == order.iterations;
            if fits {
                made_of(order, Arc::new(found), source)
            } else {
                Performed::outcome(Outcome::MaterialUnusable(order.generation))
            }
        }
        Ok(None) => Performed::outcome(Outcome::MaterialUnusable(order.generation)),
        Err(error) => Performed::failed(store_failure(MATERIAL, &error)),
    }
}

/// Writes records by compare-and-set on the version each was read at.
pub(super) async fn write_records<'a>(links: &'a Links, name: &'static str, jobs: Vec<Job<'a>>) -> Vec<Performed> {
    let jobs = &jobs;
    per_store(links, name, jobs, |store, positions| async move {
        let writes = positions.iter().map(|&position| {
            let Effect::Record(record) = &jobs[position].effect else { unreachable!("grouped by kind") };
            let expected = jobs[position].run.record.as_ref().map(|record| record.version.clone());
            RecordWrite { record: (**record).clone(), expected }
        });
        let writes = writes.collect::<Vec<_>>();
        let records = writes.iter().map(|write| write.record.clone()).collect::<Vec<_>>();
        let written = store.write_records(writes).await;
        records
            .into_iter()
            .zip(written)
            .map(|(record, written)| match written {
                Ok(version) => Performed { record: Some(Versioned { value: record, version }), ..Performed::default() },
                Err(error @ StoreError::Conflict { .. }) => Performed::failed(
                    Failure::new(name, Chain(&error), Disposition::Wait)
                        .hint(Some("another Kastellan works on this user; run again".to_owned())),
                ),
                Err(error) => Performed::failed(store_failure(name, &error)),
            })
            .collect()
    })
    .await
}

/// What applications read: the credential with everything needed to connect.
pub(super) fn live_credential(run: &UserRun, desired: &Desired, slot: &Slot, material: &Material) -> LiveCredential {
    // Where the record says the user is: a cluster that was added to its document may not have the credential yet.
    let record = run.record.as_ref().map(|record| &record.value);
    let is_live = |name: &&ClusterName| record.is_none_or(|record| record.clusters.contains_key(*name));
    let connections = run
        .plan
        .clusters
        .iter()
        .filter(is_live)
        .filter_map(|name| desired.clusters.get(name).map(|cluster| (name.clone(), cluster.connection.clone())));
    LiveCredential {
        generation: material.generation,
        rotation_id: material.rotation_id.clone(),
        published_at: super::now().wall,
        username: slot.username.clone(),
        password: material.scram.password.duplicate(),
        mechanism: material.scram.mechanism,
        connections: connections.collect(),
    }
}

/// The material of one generation for each job: from this pass's memory, else from the store.
pub(super) async fn load_material(
    links: &Links,
    effect: &'static str,
    jobs: &[Job<'_>],
    generations: &[Generation],
) -> Vec<Result<Arc<Material>, Failure>> {
    let mut loaded: Vec<Result<Arc<Material>, Failure>> = Vec::with_capacity(jobs.len());
    let mut missing: BTreeMap<&StoreName, Vec<usize>> = BTreeMap::new();
    for (position, (job, generation)) in jobs.iter().zip(generations).enumerate() {
        loaded.push(match job.run.material.get(generation) {
            Some(material) => Ok(material.clone()),
            None => {
                missing.entry(&job.run.plan.store).or_default().push(position);
                let why = format!("the material of generation {generation} is gone");
                Err(Failure::new(effect, why, Disposition::Stall))
            }
        });
    }
    for (name, positions) in missing {
        let Some(Seen::Known(link)) = links.stores.get(name) else { continue };
        let Some(store) = &link.store else { continue };
        let keys = positions.iter().map(|&position| (jobs[position].run.user.clone(), generations[position]));
        let keys = keys.collect::<Vec<_>>();
        for (position, read) in positions.into_iter().zip(store.read_materials(&keys).await) {
            match read {
                Ok(Some(material)) => loaded[position] = Ok(Arc::new(material)),
                Ok(None) => {}
                Err(error) => loaded[position] = Err(store_failure(effect, &error)),
            }
        }
    }
    loaded
}

const DESTROY: &str = "destroy";

/// Destroys material (R11).
pub(super) async fn destroy<'a>(links: &'a Links, jobs: Vec<Job<'a>>) -> Vec<Performed> {
    let jobs = &jobs;
    per_store(links, DESTROY, jobs, |store, positions| async move {
        let mut keys = Vec::new();
        let mut owners = Vec::new();
        for (local, &position) in positions.iter().enumerate() {
            let Effect::Destroy(generations) = &jobs[position].effect else { unreachable!("grouped by kind") };
            for &generation in generations {
                keys.push((jobs[position].run.user.clone(), generation));
                owners.push(local);
            }
        }
        let mut performed = positions.iter().map(|_| Performed::default()).collect::<Vec<_>>();
        let destroyed = store.destroy_materials(&keys).await;
        for ((local, (_, generation)), destroyed) in owners.into_iter().zip(keys).zip(destroyed) {
            match destroyed {
                Ok(()) => performed[local].outcomes.push(Outcome::Destroyed(generation)),
                Err(error) => performed[local].failure = Some(store_failure(DESTROY, &error)),
            }
        }
        performed
    })
    .await
}
