//! Reads credentials back from where they are delivered, and keeps them as material (rotation.md D5).

use std::collections::BTreeMap;
use std::sync::Arc;

use super::connect::Links;
use super::run::{Failure, Job, Performed};
use super::store_effects::store_failure;
use crate::credential::{Effect, Import, Outcome, Seen, Slot};
use crate::deliver::{Deliveries, Target};
use crate::diagnostic::{Chain, Disposition};
use crate::host::run_blocking;
use crate::names::{NamespacedName, StoreName};
use crate::render::Delivered;
use crate::secret::{Iterations, Material, ScramCredential};
use crate::store::Created;

const IMPORT: &str = "import";

/// One credential that is wanted back.
struct Wanted {
    user: NamespacedName,
    import: Import,
    target: Result<Target, String>,
}

type ReadBack = Result<(Slot, Arc<Material>), Failure>;

/// Reads deliveries back, finds the credential in Kafka that each is, and writes it as material, create-only.
pub(super) async fn import<'a>(links: &'a Links, jobs: Vec<Job<'a>>) -> Vec<Performed> {
    let wanted = jobs.iter().map(|job| {
        let Effect::Import(import) = &job.effect else { unreachable!("grouped by kind") };
        Wanted { user: job.run.user.clone(), import: import.clone(), target: target_of(links, job, import) }
    });
    let wanted = wanted.collect::<Vec<_>>();
    let deliveries = links.deliveries.clone();
    let read = run_blocking(move || wanted.iter().map(|wanted| read_back(&deliveries, wanted)).collect::<Vec<_>>());
    let read = read.await;
    let mut by_store: BTreeMap<&StoreName, Vec<usize>> = BTreeMap::new();
    for (position, _) in read.iter().enumerate().filter(|(_, read)| read.is_ok()) {
        by_store.entry(&jobs[position].run.plan.store).or_default().push(position);
    }
    let performed = read.iter().map(|read| match read {
        Ok(_) => Performed::failed(Failure::new(IMPORT, "the store is not open for writing", Disposition::Wait)),
        Err(failure) => Performed::failed(failure.clone()),
    });
    let mut performed = performed.collect::<Vec<_>>();
    for (name, positions) in by_store {
        let Some(Seen::Known(link)) = links.stores.get(name) else { continue };
        let Some(store) = &link.store else { continue };
        let made = positions.iter().filter_map(|&position| read[position].as_ref().ok());
        let made = positions.iter().map(|&position| jobs[position].run.user.clone()).zip(made).collect::<Vec<_>>();
        let writes = made.iter().map(|(user, (_, material))| (user.clone(), material.clone())).collect();
        for ((position, (user, (slot, material))), created) in
            positions.iter().zip(&made).zip(store.create_materials(writes).await)
        {
            performed[*position] = match created {
                Ok(Created::New) => kept(slot, material),
                // An earlier attempt may have come as far as this.
                Ok(Created::AlreadyThere) => {
                    match store.read_materials(&[(user.clone(), slot.generation)]).await.pop() {
                        Some(Ok(Some(found))) if found.scram.password.ct_eq(&material.scram.password) => {
                            kept(slot, &Arc::new(found))
                        }
                        Some(Ok(_)) | None => Performed::outcome(Outcome::MaterialUnusable(slot.generation)),
                        Some(Err(error)) => Performed::failed(store_failure(IMPORT, &error)),
                    }
                }
                Err(error) => Performed::failed(store_failure(IMPORT, &error)),
            };
        }
    }
    performed
}

fn kept(slot: &Slot, material: &Arc<Material>) -> Performed {
    let outcome = Outcome::Material { slot: slot.clone(), source: None };
    Performed { outcomes: vec![outcome], material: vec![material.clone()], ..Performed::default() }
}

/// Where the delivery lies.
fn target_of(links: &Links, job: &Job<'_>, import: &Import) -> Result<Target, String> {
    let declared = job.run.plan.deliveries.get(&import.delivery).ok_or("it is not declared any more")?;
    super::deliveries::target_of(links, declared)
}

fn read_back(deliveries: &Deliveries, wanted: &Wanted) -> ReadBack {
    let Wanted { user, import, target } = wanted;
    let refuse =
        |why: String| Failure::new(IMPORT, format!("delivery `{}`: {why}", import.delivery), Disposition::Stall);
    let target = target.as_ref().map_err(|why| refuse(why.clone()))?;
    let delivered = deliveries.of_target(target).read_back(user, target);
    let delivered = delivered.map_err(|error| refuse(Chain(&error).to_string()).hint(error.hint()))?;
    if delivered.stamp.generation != import.generation {
        return Err(refuse(format!("it carries generation {} by now; plan again", delivered.stamp.generation)));
    }
    derive(import, delivered).map_err(refuse)
}

/// The keys of what was delivered, with the salt that Kafka tells for it.
fn derive(import: &Import, delivered: Delivered) -> Result<(Slot, Arc<Material>), String> {
    let Delivered { stamp, username, mechanism, password } = delivered;
    let stranger = import.strangers.iter().find(|slot| slot.username == username && slot.mechanism == mechanism);
    let stranger = stranger.and_then(|slot| Some((slot.salt.clone()?, slot.iterations)));
    let (salt, iterations) = stranger.ok_or_else(|| {
        format!("it is the {mechanism} credential of `{username}`, which no cluster holds: it does not work any more")
    })?;
    let iterations = Iterations::try_from(iterations).map_err(|error| error.to_string())?;
    let slot = Slot {
        username,
        generation: stamp.generation,
        rotation_id: stamp.rotation_id.clone(),
        mechanism,
        salt: salt.clone(),
        iterations: iterations.count(),
    };
    let material = Material {
        generation: stamp.generation,
        rotation_id: stamp.rotation_id,
        created_at: super::now().wall,
        scram: ScramCredential::derive(mechanism, password, salt, iterations),
    };
    Ok((slot, Arc::new(material)))
}
