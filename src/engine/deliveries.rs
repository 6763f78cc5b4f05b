//! Deliveries: how they stand, and the effects on them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::connect::Links;
use super::observe::Whom;
use super::run::{Failure, Job, Performed};
use super::store_effects::{live_credential, load_material};
use crate::credential::{
    Confirm, DeliveryRecord, DeliveryState, Effect, Outcome, Phase, Record, Rollout, Seen, Wanted,
};
use crate::deliver::{
    Awaited, Deliveries, DeliveryError, DeliveryFact, DeliveryRequest, FileTarget, Shipment, Strangers, Target,
    Withdrawal, recorded_cluster_id,
};
use crate::diagnostic::{Chain, Disposition};
use crate::host::run_blocking;
use crate::names::{DeliveryName, NamespacedName, UserName};
use crate::spec::{DeliveryTarget, Workload};
use crate::state::{Desired, DesiredDelivery, Observed};

/// Looks at every delivery that is declared or recorded; reads no secret.
pub(super) async fn observe(
    links: &Links,
    desired: &Desired,
    observed: &Observed,
    whom: Whom<'_>,
) -> BTreeMap<NamespacedName, BTreeMap<DeliveryName, DeliveryState>> {
    let mut states: BTreeMap<NamespacedName, BTreeMap<DeliveryName, DeliveryState>> = BTreeMap::new();
    let mut requests = Vec::new();
    let record_of =
        |user: &NamespacedName| observed.records.get(user).and_then(Seen::known).map(|found| &found.record.value);
    for (user, wanted) in desired.users.iter().filter(|(user, _)| whom.includes(user)) {
        let record = record_of(user);
        for (name, delivery) in &wanted.deliveries {
            match request(links, desired, user, name, delivery, published_name(&wanted.wanted, record), record) {
                Ok(request) => requests.push(request),
                Err(why) => {
                    let unknown = DeliveryState::Unknown { why: why.into(), hint: None };
                    states.entry(user.clone()).or_default().insert(name.clone(), unknown);
                }
            }
        }
    }
    let recorded = observed.records.keys().filter(|user| whom.includes(user));
    for (user, record) in recorded.filter_map(|user| Some((user, record_of(user)?))) {
        let declared = desired.users.get(user).map(|user| &user.deliveries);
        for name in record.deliveries.keys().filter(|name| declared.is_none_or(|all| !all.contains_key(*name))) {
            states.entry(user.clone()).or_default().insert(name.clone(), DeliveryState::Surplus);
        }
    }
    let deliveries = links.deliveries.clone();
    let looked = run_blocking(move || {
        let facts = group(&requests, |request| deliveries.of_target(&request.target).kind());
        let mut looked = Vec::with_capacity(requests.len());
        for (kind, positions) in facts {
            let Some(delivery) = deliveries.of_kind(kind) else { continue };
            let asked = positions.iter().map(|&position| requests[position].clone()).collect::<Vec<_>>();
            let answers = delivery.observe(&asked);
            let states = asked.iter().zip(answers).map(|(request, fact)| state_of(fact, kind, &request.target));
            let states = states.collect::<Vec<_>>();
            looked.extend(asked.into_iter().map(|request| (request.user, request.name)).zip(states));
        }
        looked
    });
    for ((user, name), state) in looked.await {
        states.entry(user).or_default().insert(name, state);
    }
    states
}

/// Looks at the workloads that an old credential waits for. Nobody else's are looked at, so that nothing is at rest.
pub(super) async fn observe_rollouts(
    links: &Links,
    desired: &Desired,
    observed: &Observed,
    whom: Whom<'_>,
) -> BTreeMap<NamespacedName, Arc<Rollout>> {
    let mut markers = BTreeMap::new();
    let mut asked = Vec::new();
    for (user, wanted) in desired.users.iter().filter(|(user, _)| whom.includes(user)) {
        let record = observed.records.get(user).and_then(Seen::known).map(|found| &found.record.value);
        let awaited = record.and_then(|record| Some((record, awaited_marker(record, &wanted.wanted)?)));
        let Some((record, marker)) = awaited else { continue };
        let mut workloads: BTreeMap<&Workload, Option<&str>> = BTreeMap::new();
        for (name, delivery) in &wanted.deliveries {
            let recorded = record.deliveries.get(name);
            for workload in delivery.target.restarts() {
                let cluster_id = workloads.entry(workload).or_default();
                let context = workload.context.as_deref();
                *cluster_id = cluster_id.or(recorded.and_then(|recorded| recorded_cluster_id(recorded, context)));
            }
        }
        let awaited = |(workload, cluster_id)| Awaited { user, workload, cluster_id };
        asked.extend(workloads.into_iter().map(awaited));
        markers.insert(user, marker);
    }
    let looked = links.deliveries.workloads().look(&asked).await;
    let mut seen: BTreeMap<&NamespacedName, BTreeMap<Workload, _>> = BTreeMap::new();
    for (Awaited { user, workload, .. }, answer) in asked.into_iter().zip(looked) {
        let answer = answer.map_or_else(|error| Seen::unknown(Chain(&error)), Seen::Known);
        seen.entry(user).or_default().insert(workload.clone(), answer);
    }
    let rollouts = seen.into_iter().map(|(user, workloads)| {
        let marker = markers[user].clone();
        (user.clone(), Arc::new(Rollout { marker, workloads }))
    });
    rollouts.collect()
}

/// What the workloads of a user have to carry before its old credential goes; `None` where nothing waits for them.
fn awaited_marker(record: &Record, wanted: &Wanted) -> Option<String> {
    let asks = wanted.rotation.as_ref().is_some_and(|rotation| rotation.confirm == Confirm::Rollout);
    let waits = matches!(record.phase, Phase::Published | Phase::Confirmed) && record.confirmed_at.is_none();
    record.active.as_ref().filter(|_| asks && waits).map(crate::credential::Slot::marker)
}

/// The workloads that deliveries name, each once.
fn workloads_of(deliveries: &BTreeMap<DeliveryName, DesiredDelivery>) -> BTreeSet<&Workload> {
    deliveries.values().flat_map(|delivery| delivery.target.restarts()).collect()
}

const RESTART: &str = "restart";

/// Sets the marker of a credential in every workload of its user. Each workload is tried, whatever becomes of the others.
pub(super) async fn restart<'a>(links: &'a Links, jobs: Vec<Job<'a>>) -> Vec<Performed> {
    let mut performed = jobs.iter().map(|_| Performed::default()).collect::<Vec<_>>();
    let slots = jobs.iter().map(|job| match &job.effect {
        Effect::Restart(slot) => slot,
        _ => unreachable!("grouped by kind"),
    });
    let slots = slots.collect::<Vec<_>>();
    let markers = slots.iter().map(|slot| slot.marker()).collect::<Vec<_>>();
    let mut owners = Vec::new();
    let mut due = Vec::new();
    for (position, job) in jobs.iter().enumerate() {
        for workload in workloads_of(&job.run.plan.deliveries) {
            owners.push(position);
            due.push(((&job.run.user, workload), markers[position].as_str()));
        }
    }
    for (position, result) in owners.into_iter().zip(links.deliveries.workloads().restart(&due).await) {
        if let Err(error) = result {
            let failure = Failure::new(RESTART, Chain(&error), error.disposition()).hint(error.hint());
            performed[position].failure = Some(failure);
        }
    }
    for (performed, slot) in performed.iter_mut().zip(slots) {
        if performed.failure.is_none() {
            performed.outcomes.push(Outcome::Restarted(slot.generation));
        }
    }
    performed
}

/// The positions of items by kind.
fn group<T>(items: &[T], kind: impl Fn(&T) -> &'static str) -> BTreeMap<&'static str, Vec<usize>> {
    let mut grouped: BTreeMap<&'static str, Vec<usize>> = BTreeMap::new();
    for (position, item) in items.iter().enumerate() {
        grouped.entry(kind(item)).or_default().push(position);
    }
    grouped
}

fn state_of(fact: DeliveryFact, kind: &'static str, target: &Target) -> DeliveryState {
    let why: Arc<str> = fact.why().unwrap_or_default().into();
    let whose = fact.whose().map(Arc::from);
    let pending =
        |taken_from| DeliveryState::Pending { why: why.clone(), kind, target: target.text().into(), taken_from };
    match fact {
        DeliveryFact::InStep => DeliveryState::InStep,
        DeliveryFact::Missing | DeliveryFact::Touched | DeliveryFact::Outdated => pending(None),
        DeliveryFact::Adoptable { .. } => {
            pending(Some(whose.unwrap_or_else(|| "nothing in it tells whose it is".into())))
        }
        DeliveryFact::Blocked(DeliveryError::Newer { found, .. }) => DeliveryState::Ahead(found),
        DeliveryFact::Blocked(error) => DeliveryState::Refused { why, hint: error.hint().map(Into::into) },
        DeliveryFact::OtherMachine { .. } => DeliveryState::Unknown { why, hint: None },
        DeliveryFact::Unknown(error) => {
            let why = match target.may_be_a_strangers() {
                true => format!("{why}; `adopt` takes over only what a plan has seen").into(),
                false => why,
            };
            DeliveryState::Unknown { why, hint: error.hint().map(Into::into) }
        }
    }
}

fn request(
    links: &Links,
    desired: &Desired,
    user: &NamespacedName,
    name: &DeliveryName,
    delivery: &DesiredDelivery,
    username: &UserName,
    record: Option<&Record>,
) -> Result<DeliveryRequest, String> {
    let Some(cluster) = desired.clusters.get(&delivery.cluster) else {
        return Err(format!("no document declares cluster `{}`", delivery.cluster));
    };
    let slot = record.filter(|record| record.claims_username()).and_then(Record::newest_published);
    Ok(DeliveryRequest {
        user: user.clone(),
        name: name.clone(),
        username: username.clone(),
        cluster: delivery.cluster.clone(),
        connection: cluster.connection.clone(),
        target: target_of(links, delivery)?,
        published: slot.map(|slot| (slot.generation, slot.rotation_id.clone())),
        recorded: record.and_then(|record| record.deliveries.get(name)).cloned(),
        strangers: Strangers::LeftAlone,
    })
}

/// Where a delivery goes, on this machine.
pub(super) fn target_of(links: &Links, delivery: &DesiredDelivery) -> Result<Target, String> {
    Ok(match &delivery.target {
        DeliveryTarget::File(file) => {
            let path = links.surroundings.resolve(&file.path)?;
            Target::File(FileTarget { path, format: file.format, owner: file.owner.clone() })
        }
        DeliveryTarget::KubernetesSecret(secret) => Target::KubernetesSecret(secret.clone()),
    })
}

/// The name in Kafka that a delivery carries now.
fn published_name<'a>(wanted: &'a Wanted, record: Option<&'a Record>) -> &'a UserName {
    let slot = record.filter(|record| record.claims_username()).and_then(Record::newest_published);
    slot.map_or(&wanted.names()[0], |slot| &slot.username)
}

const DELIVER: &str = "deliver";

/// Writes deliveries (R4).
pub(super) async fn deliver<'a>(links: &'a Links, desired: &'a Desired, jobs: Vec<Job<'a>>) -> Vec<Performed> {
    let mut performed = jobs.iter().map(|_| Performed::default()).collect::<Vec<_>>();
    let slots = jobs.iter().map(|job| match &job.effect {
        Effect::Deliver { slot, .. } => slot,
        _ => unreachable!("grouped by kind"),
    });
    let slots = slots.collect::<Vec<_>>();
    let generations = slots.iter().map(|slot| slot.generation).collect::<Vec<_>>();
    let material = load_material(links, DELIVER, &jobs, &generations).await;
    let mut owners = Vec::new();
    let mut shipments = Vec::new();
    for (position, (job, material)) in jobs.iter().zip(material).enumerate() {
        let Effect::Deliver { names, .. } = &job.effect else { unreachable!("grouped by kind") };
        let slot = slots[position];
        let credential = material.map(|material| Arc::new(live_credential(job.run, desired, slot, &material)));
        let record = job.run.record.as_ref().map(|record| &record.value);
        for name in names {
            let built = credential.clone().and_then(|credential| {
                let delivery = job.run.plan.deliveries.get(name).ok_or("it is not declared any more".to_owned());
                let request = delivery.and_then(|delivery| {
                    request(links, desired, &job.run.user, name, delivery, &slot.username, record)
                });
                let mut request = request.map_err(|why| Failure::new(DELIVER, why, Disposition::Stall))?;
                if let Some(DeliveryState::Pending { taken_from: Some(_), .. }) =
                    job.run.plan.facts.deliveries.get(name)
                {
                    request.strangers = Strangers::TakenOver;
                }
                Ok(Shipment { request, credential })
            });
            match built {
                Ok(shipment) => {
                    owners.push((position, name.clone()));
                    shipments.push(shipment);
                }
                Err(failure) => performed[position].failure = Some(failure),
            }
        }
    }
    let deliveries = links.deliveries.clone();
    for (index, result) in run_blocking(move || ship(&deliveries, &shipments)).await {
        let (position, name) = &owners[index];
        note(&mut performed[*position], DELIVER, name, result.map(|record| Outcome::Delivered(name.clone(), record)));
    }
    performed
}

/// Ships everything; what a delivery was written to before, under another path, is withdrawn once the new one is there.
fn ship(deliveries: &Deliveries, shipments: &[Shipment]) -> Vec<(usize, Result<DeliveryRecord, DeliveryError>)> {
    let mut shipped = Vec::with_capacity(shipments.len());
    for (kind, positions) in group(shipments, |shipment| deliveries.of_target(&shipment.request.target).kind()) {
        let Some(delivery) = deliveries.of_kind(kind) else { continue };
        let due = positions.iter().map(|&position| shipments[position].clone()).collect::<Vec<_>>();
        for (shipment, (position, written)) in due.iter().zip(positions.into_iter().zip(delivery.deliver(&due))) {
            // A delivery that changed its kind under the same name has left something of the other kind.
            let left = written.as_ref().ok().and_then(|written| {
                let recorded = shipment.request.recorded.clone()?;
                let moved = recorded.kind != kind || recorded.target != written.target;
                Some((deliveries.of_kind(&recorded.kind)?, recorded)).filter(|_| moved)
            });
            let gone = left.map_or(Ok(()), |(delivery, recorded)| {
                let newest = shipment.credential.generation;
                let withdrawal = Withdrawal { user: shipment.request.user.clone(), newest, recorded };
                delivery.withdraw(&[withdrawal]).pop().unwrap_or(Ok(()))
            });
            shipped.push((position, gone.and(written)));
        }
    }
    shipped
}

fn note(performed: &mut Performed, effect: &'static str, name: &DeliveryName, result: Result<Outcome, DeliveryError>) {
    match result {
        Ok(outcome) => performed.outcomes.push(outcome),
        Err(error) => {
            let why = format!("delivery `{name}`: {}", Chain(&error));
            performed.failure = Some(Failure::new(effect, why, error.disposition()).hint(error.hint()));
        }
    }
}

const RECALL: &str = "recall";

/// Removes deliveries that are ours.
pub(super) async fn recall<'a>(links: &'a Links, jobs: Vec<Job<'a>>) -> Vec<Performed> {
    let mut performed = jobs.iter().map(|_| Performed::default()).collect::<Vec<_>>();
    let mut owners = Vec::new();
    let mut withdrawals: Vec<Withdrawal> = Vec::new();
    for (position, job) in jobs.iter().enumerate() {
        let Effect::Recall { names } = &job.effect else { unreachable!("grouped by kind") };
        let Some(record) = job.run.record.as_ref().map(|record| &record.value) else { continue };
        for name in names {
            let Some(recorded) = record.deliveries.get(name) else { continue };
            if !is_known(links, recorded) {
                let why =
                    format!("delivery `{name}`: this program does not know deliveries of kind `{}`", recorded.kind);
                performed[position].failure = Some(Failure::new(RECALL, why, Disposition::Stall));
                continue;
            }
            owners.push((position, name.clone()));
            let recorded = recorded.clone();
            withdrawals.push(Withdrawal { user: job.run.user.clone(), newest: record.newest(), recorded });
        }
    }
    let deliveries = links.deliveries.clone();
    let gone = run_blocking(move || {
        let mut gone = Vec::with_capacity(withdrawals.len());
        for delivery in deliveries.iter() {
            let positions = (0..withdrawals.len()).filter(|&index| withdrawals[index].recorded.kind == delivery.kind());
            let positions = positions.collect::<Vec<_>>();
            let due = positions.iter().map(|&index| withdrawals[index].clone()).collect::<Vec<_>>();
            gone.extend(positions.into_iter().zip(delivery.withdraw(&due)));
        }
        gone
    });
    for (index, result) in gone.await {
        let (position, name) = &owners[index];
        note(&mut performed[*position], RECALL, name, result.map(|()| Outcome::Recalled(name.clone())));
    }
    performed
}

fn is_known(links: &Links, recorded: &DeliveryRecord) -> bool {
    links.deliveries.of_kind(&recorded.kind).is_some()
}
