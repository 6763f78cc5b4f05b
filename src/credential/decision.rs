//! What may be done for one user: the transition that leads from its record to what its document asks for.
//!
//! [`decide`] is asked when a plan is made; the engine then drives the transition that was approved, effect by effect,
//! with [`super::next`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;

use super::kinship::{Kinship, holds, kinship};
use super::{
    AdoptedSlot, Authentication, Blocked, Change, ClusterFacts, DeletionPolicy, DeliveryState, Facts, Foreign, Phase,
    Record, Seen, SlotSeen, Version, Waiting, Wanted, WantedAuthentication,
};
use crate::names::{ClusterId, ClusterName, DeliveryName, Generation, Mechanism};

/// What is to be done for a user, and what is not and why.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Decision {
    /// In this order; empty when nothing is to be done.
    pub transitions: Vec<Transition>,
    /// What a person has to decide.
    pub blocked: Vec<Blocked>,
    /// What has to come back first.
    pub waiting: Vec<Waiting>,
}

/// A path through the phases, approved as a whole.
#[derive(Debug, Clone, PartialEq)]
pub enum Transition {
    /// Take note of a principal that somebody else authenticates. Ends in IDLE.
    Claim,
    /// First provisioning, a rotation from nothing. Ends in IDLE.
    Provision(Provision),
    /// Finish a first provisioning that was interrupted. Ends in IDLE.
    Resume(Generation),
    /// Keep a provisioned user as it should be; the phase stays IDLE.
    Maintain(Maintenance),
    /// Take everything away and leave a tombstone. Ends in DELETED.
    Delete,
    /// Destroy the material of a tombstone whose time for undo is over.
    Expire(Generation),
}

/// How a first credential comes to be.
#[derive(Debug, Clone, PartialEq)]
pub struct Provision {
    /// The slot to be filled.
    pub mechanism: Mechanism,
    /// The generation whose password comes back; `None` for a new password.
    pub restores: Option<Generation>,
    /// Unknown credentials that are named in the record from now on.
    pub adopts: Vec<AdoptedSlot>,
    /// Whether an unknown credential is in the slot and is replaced.
    pub replaces: bool,
}

/// What is not as it should be with a provisioned user.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Maintenance {
    /// Clusters whose slot does not hold the active credential (R5).
    pub reassert: BTreeMap<ClusterName, Drift>,
    /// Clusters that have a new id: they were rebuilt.
    pub rebind: BTreeMap<ClusterName, ClusterId>,
    /// Unknown credentials that are named in the record from now on.
    pub adopts: Vec<AdoptedSlot>,
    /// The document is not as it should be, and why.
    pub republish: Option<Arc<str>>,
    /// Deliveries to write, and why.
    pub deliver: BTreeMap<DeliveryName, Arc<str>>,
    /// Deliveries to remove.
    pub recall: BTreeSet<DeliveryName>,
    /// Clusters with ACLs to create or quotas to set.
    pub grant: BTreeSet<ClusterName>,
    /// Clusters with ACLs or quotas to take away.
    pub withdraw: BTreeSet<ClusterName>,
    /// Material that is due to be destroyed.
    pub destroy: BTreeSet<Generation>,
    /// The deletion policy changes to this.
    pub deletion_policy: Option<DeletionPolicy>,
}

impl Maintenance {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// How a slot came to differ from the record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drift {
    /// The slot is empty: the credential was deleted, or Kafka was rebuilt.
    Missing,
    /// The slot holds a credential of somebody else.
    Changed,
}

/// Decides what leads from the record to what is wanted. `wanted` is `None` when no document names the user any more:
/// the transition then is a deletion, which the plan drops unless the pass prunes.
pub fn decide(record: Option<&Record>, wanted: Option<&Wanted>, facts: &Facts, now: Timestamp) -> Decision {
    let mut decision = Decision::default();
    match (record, wanted) {
        (None, None) => {}
        (Some(record), None) => decide_deletion(record, facts, now, &mut decision),
        (record, Some(wanted)) => {
            if let Some(by) = &facts.claimed_by {
                decision.blocked.push(Blocked::Claimed(by.clone()));
            } else if let Some(record) = record.filter(|record| record.scope != wanted.scope) {
                decision.blocked.push(Blocked::OtherScope(record.scope.clone()));
            } else {
                decide_wanted(record, wanted, facts, now, &mut decision);
            }
        }
    }
    decision
}

fn decide_wanted(record: Option<&Record>, wanted: &Wanted, facts: &Facts, now: Timestamp, decision: &mut Decision) {
    match record.map(|record| (record, record.phase)) {
        None => decide_provision(None, wanted, facts, now, decision),
        Some((record, Phase::Deleted)) => decide_provision(Some(record), wanted, facts, now, decision),
        Some((record, Phase::Deleting)) => {
            decision.transitions.push(Transition::Delete);
            // What the deletion leaves behind is known: a tombstone, and nothing in Kafka.
            decide_provision_after_deletion(record, wanted, facts, decision);
        }
        Some((record, Phase::Prepared)) => {
            decision.transitions.push(Transition::Resume(record.allotted));
            list_unreachable(&wanted.clusters, facts, decision);
        }
        Some((record, Phase::Idle)) => decide_maintenance(record, wanted, facts, decision),
        Some((
            _,
            phase @ (Phase::Verified
            | Phase::Published
            | Phase::Confirmed
            | Phase::Retiring
            | Phase::Aborting
            | Phase::Revoking),
        )) => decision.blocked.push(Blocked::UnderWay(phase)),
    }
}

/// Notes every cluster that cannot be reached.
fn list_unreachable(clusters: &[ClusterName], facts: &Facts, decision: &mut Decision) {
    for cluster in clusters {
        if let Seen::Unknown(why) = facts.cluster(cluster) {
            decision.waiting.push(Waiting { cluster: Some(cluster.clone()), why });
        }
    }
}

/// Notes every delivery that cannot be written.
fn list_unwritable(facts: &Facts, decision: &mut Decision) {
    for (name, state) in &facts.deliveries {
        match state {
            DeliveryState::InStep | DeliveryState::Pending { .. } | DeliveryState::Surplus => {}
            DeliveryState::Refused { why, hint } => {
                decision.blocked.push(Blocked::Delivery { name: name.clone(), why: why.clone(), hint: hint.clone() })
            }
            DeliveryState::Unknown(why) => {
                let why = format!("delivery `{name}`: {why}").into();
                decision.waiting.push(Waiting { cluster: None, why });
            }
        }
    }
}

/// What exists in Kafka under the name and is not ours; the clusters where that could not be seen are noted.
fn list_foreign<'a>(
    tombstone: Option<&Record>,
    wanted: &'a Wanted,
    facts: &'a Facts,
    decision: &mut Decision,
) -> Vec<(&'a ClusterName, Foreign, Option<&'a SlotSeen>)> {
    let mut found = Vec::new();
    for cluster in &wanted.clusters {
        let seen = match facts.cluster(cluster) {
            Seen::Known(seen) => seen,
            Seen::Unknown(why) => {
                decision.waiting.push(Waiting { cluster: Some(cluster.clone()), why });
                continue;
            }
        };
        match (&seen.slots, &seen.access) {
            (Seen::Known(slots), Seen::Known(access)) => {
                let foreign = slots.iter().filter(|(mechanism, slot)| {
                    tombstone.is_none_or(|record| kinship(record, cluster, **mechanism, slot) != Kinship::Named)
                });
                found.extend(foreign.map(|(&mechanism, slot)| (cluster, Foreign::Credential(mechanism), Some(slot))));
                if access.present {
                    found.push((cluster, Foreign::Access, None));
                }
            }
            (Seen::Unknown(why), _) | (_, Seen::Unknown(why)) => {
                decision.waiting.push(Waiting { cluster: Some(cluster.clone()), why: why.clone() });
            }
        }
    }
    found
}

fn decide_provision(
    tombstone: Option<&Record>,
    wanted: &Wanted,
    facts: &Facts,
    now: Timestamp,
    decision: &mut Decision,
) {
    if let Some(from) = &wanted.moved_from {
        decision.blocked.push(Blocked::NeedsRotation(Change::Moved(from.clone())));
        return;
    }
    let tombstone = tombstone.filter(|record| wanted.continues(record));
    let foreign = list_foreign(tombstone, wanted, facts, decision);
    // A stranger blocks also where another cluster cannot be seen; a cluster that cannot be seen holds the start,
    // because a credential that nobody has yet keeps nobody waiting, and a stranger may live there.
    if !foreign.is_empty() && !wanted.adopt {
        let first = &foreign[0];
        decision.blocked.push(Blocked::Unowned { cluster: first.0.clone(), found: first.1 });
        return;
    }
    // A credential that could not be delivered is of no use to anybody; before there is one nothing is lost by waiting.
    list_unwritable(facts, decision);
    if !decision.waiting.is_empty() || !decision.blocked.is_empty() {
        return;
    }
    match &wanted.authentication {
        WantedAuthentication::External => decision.transitions.push(Transition::Claim),
        WantedAuthentication::Scram { mechanisms, given, .. } => {
            if let Some((path, key)) = given
                && !given_is_there(path, key, facts, decision)
            {
                return;
            }
            let restores = tombstone
                .and_then(|record| record.deletion.as_ref())
                .filter(|deletion| now < deletion.undo_until && given.is_none())
                .and_then(|deletion| deletion.kept);
            let adopts = adopted_slots(&foreign);
            let (mechanism, replaces) = free_mechanism(mechanisms, &adopts);
            decision.transitions.push(Transition::Provision(Provision { mechanism, restores, adopts, replaces }));
        }
    }
}

/// The provisioning that follows a deletion under way whose document is back: the plan shows both.
fn decide_provision_after_deletion(record: &Record, wanted: &Wanted, facts: &Facts, decision: &mut Decision) {
    let adopts = Vec::new();
    match &wanted.authentication {
        WantedAuthentication::External => decision.transitions.push(Transition::Claim),
        WantedAuthentication::Scram { mechanisms, given, .. } => {
            if let Some((path, key)) = given
                && !given_is_there(path, key, facts, decision)
            {
                return;
            }
            let kept = record.deletion.as_ref().and_then(|deletion| deletion.kept);
            let restores = kept.filter(|_| wanted.continues(record) && given.is_none());
            let (mechanism, replaces) = free_mechanism(mechanisms, &adopts);
            decision.transitions.push(Transition::Provision(Provision { mechanism, restores, adopts, replaces }));
        }
    }
}

fn given_is_there(path: &str, key: &str, facts: &Facts, decision: &mut Decision) -> bool {
    match &facts.source {
        Seen::Known(Some(_)) => true,
        Seen::Known(None) => {
            decision.blocked.push(Blocked::NoGivenPassword(format!("{path}#{key}")));
            false
        }
        Seen::Unknown(why) => {
            decision.waiting.push(Waiting { cluster: None, why: why.clone() });
            false
        }
    }
}

fn adopted_slots(foreign: &[(&ClusterName, Foreign, Option<&SlotSeen>)]) -> Vec<AdoptedSlot> {
    foreign
        .iter()
        .filter_map(|(cluster, found, seen)| match (found, seen) {
            (Foreign::Credential(mechanism), Some(seen)) => Some(AdoptedSlot {
                cluster: (*cluster).clone(),
                mechanism: *mechanism,
                salt: seen.salt.clone(),
                iterations: seen.iterations,
            }),
            (Foreign::Credential(_) | Foreign::Access, _) => None,
        })
        .collect()
}

/// The slot for our credential: the first that is free on every cluster; else the one that stands later, replacing.
fn free_mechanism(mechanisms: &[Mechanism], taken: &[AdoptedSlot]) -> (Mechanism, bool) {
    let is_free = |mechanism: &&Mechanism| taken.iter().all(|slot| slot.mechanism != **mechanism);
    match mechanisms.iter().find(is_free) {
        Some(&mechanism) => (mechanism, false),
        None => (*mechanisms.last().expect("a document allows at least one mechanism"), true),
    }
}

fn decide_maintenance(record: &Record, wanted: &Wanted, facts: &Facts, decision: &mut Decision) {
    list_changes(record, wanted, facts, decision);
    let mut todo = Maintenance::default();
    for (cluster, id) in &record.clusters {
        if !wanted.clusters.contains(cluster) {
            continue;
        }
        match facts.cluster(cluster) {
            Seen::Known(seen) => maintain_cluster(record, wanted, cluster, id, seen, &mut todo, decision),
            Seen::Unknown(why) => decision.waiting.push(Waiting { cluster: Some(cluster.clone()), why }),
        }
    }
    if record.authentication == Authentication::Scram {
        match &facts.document {
            Seen::Known(version) => todo.republish = document_differs(record, version.as_ref(), facts),
            Seen::Unknown(why) => decision.waiting.push(Waiting { cluster: None, why: why.clone() }),
        }
        list_unwritable(facts, decision);
        for (name, state) in &facts.deliveries {
            match state {
                DeliveryState::InStep => {}
                DeliveryState::Pending { why, .. } => drop(todo.deliver.insert(name.clone(), why.clone())),
                DeliveryState::Surplus => drop(todo.recall.insert(name.clone())),
                DeliveryState::Refused { .. } | DeliveryState::Unknown(_) => {}
            }
        }
    }
    todo.destroy.clone_from(&record.destroy);
    todo.deletion_policy =
        Some(wanted.deletion_policy).filter(|wanted_policy| *wanted_policy != record.deletion_policy);
    if !todo.is_empty() {
        decision.transitions.push(Transition::Maintain(todo));
    }
}

/// Why the document has to be written again; `None` when it is as it should be.
fn document_differs(record: &Record, found: Option<&Version>, facts: &Facts) -> Option<Arc<str>> {
    record.active.as_ref()?;
    let is_outdated = facts.document_inputs.is_some() && facts.document_inputs != record.document_inputs;
    match found {
        Some(_) if found != record.document.as_ref() => Some("it is not as it was written".into()),
        Some(_) if is_outdated => Some("what it tells of how to connect has changed".into()),
        Some(_) => None,
        None => Some("it is not there".into()),
    }
}

fn maintain_cluster(
    record: &Record,
    wanted: &Wanted,
    cluster: &ClusterName,
    id: &ClusterId,
    seen: &ClusterFacts,
    todo: &mut Maintenance,
    decision: &mut Decision,
) {
    let rebuilt = seen.id != *id;
    if rebuilt && seen.access.known().is_some_and(|access| access.present) && !wanted.adopt {
        decision.blocked.push(Blocked::Unowned { cluster: cluster.clone(), found: Foreign::Access });
        return;
    }
    if rebuilt {
        todo.rebind.insert(cluster.clone(), seen.id.clone());
    }
    match &seen.access {
        Seen::Known(access) => {
            if access.grants {
                todo.grant.insert(cluster.clone());
            }
            if access.withdrawals {
                todo.withdraw.insert(cluster.clone());
            }
        }
        Seen::Unknown(why) => {
            decision.waiting.push(Waiting { cluster: Some(cluster.clone()), why: why.clone() });
        }
    }
    let (Some(active), true) = (&record.active, record.authentication == Authentication::Scram) else { return };
    let slots = match &seen.slots {
        Seen::Known(slots) => slots,
        Seen::Unknown(why) => {
            decision.waiting.push(Waiting { cluster: Some(cluster.clone()), why: why.clone() });
            return;
        }
    };
    for (&mechanism, slot) in slots {
        let stranger = match kinship(record, cluster, mechanism, slot) {
            Kinship::Named => false,
            Kinship::Drifted => rebuilt,
            Kinship::Foreign => true,
        };
        if stranger && wanted.adopt && mechanism != active.mechanism {
            todo.adopts.push(AdoptedSlot {
                cluster: cluster.clone(),
                mechanism,
                salt: slot.salt.clone(),
                iterations: slot.iterations,
            });
        } else if stranger {
            decision.blocked.push(Blocked::ForeignCredential { cluster: cluster.clone(), mechanism });
            return;
        }
    }
    if !holds(slots, active) {
        let drift = if slots.contains_key(&active.mechanism) { Drift::Changed } else { Drift::Missing };
        todo.reassert.insert(cluster.clone(), drift);
    }
}

/// Lists the differences that only a rotation or a planned move can carry out.
fn list_changes(record: &Record, wanted: &Wanted, facts: &Facts, decision: &mut Decision) {
    let mut changes = Vec::new();
    if let Some(from) = &wanted.moved_from {
        changes.push(Change::Moved(from.clone()));
    }
    if wanted.username != record.username {
        let (from, to) = (record.username.to_string(), wanted.username.to_string());
        changes.push(Change::Username { from, to });
    } else if !wanted.continues(record) {
        changes.push(Change::AuthenticationType);
    }
    let added = wanted.clusters.iter().filter(|name| !record.clusters.contains_key(*name)).cloned().collect::<Vec<_>>();
    let removed = record.clusters.keys().filter(|name| !wanted.clusters.contains(name)).cloned().collect::<Vec<_>>();
    if !added.is_empty() {
        changes.push(Change::ClustersAdded(added));
    }
    if !removed.is_empty() {
        changes.push(Change::ClustersRemoved(removed));
    }
    if let (WantedAuthentication::Scram { mechanisms, iterations, given, .. }, Some(active)) =
        (&wanted.authentication, &record.active)
    {
        if !mechanisms.contains(&active.mechanism) {
            changes.push(Change::Mechanism(active.mechanism));
        }
        if iterations.count() != active.iterations {
            changes.push(Change::Iterations { from: active.iterations, to: iterations.count() });
        }
        if given_changed(record, given.as_ref(), facts) {
            changes.push(Change::Password);
        }
    }
    changes.extend(record.adopted.iter().map(|slot| Change::AdoptedCredential(slot.mechanism)));
    changes.dedup();
    decision.blocked.extend(changes.into_iter().map(Blocked::NeedsRotation));
}

/// Whether a given password differs from the one in use; a source that cannot be seen has not changed.
fn given_changed(record: &Record, given: Option<&(String, String)>, facts: &Facts) -> bool {
    match (given, &record.source) {
        (None, None) => false,
        (Some((path, key)), Some(source)) => {
            let moved = *path != source.path || *key != source.key;
            let newer = facts.source.known().and_then(Option::as_ref).is_some_and(|version| *version != source.version);
            moved || newer
        }
        (None, Some(_)) | (Some(_), None) => true,
    }
}

fn decide_deletion(record: &Record, facts: &Facts, now: Timestamp, decision: &mut Decision) {
    match record.phase {
        Phase::Deleted => {
            let over = record.deletion.as_ref().filter(|deletion| now >= deletion.undo_until);
            decision.transitions.extend(over.and_then(|deletion| deletion.kept).map(Transition::Expire));
        }
        Phase::Deleting => {
            decision.transitions.push(Transition::Delete);
            list_unreachable(&record.clusters.keys().cloned().collect::<Vec<_>>(), facts, decision);
        }
        Phase::Idle | Phase::Prepared => {
            if record.deletion_policy == DeletionPolicy::Retain {
                return;
            }
            for cluster in record.clusters.keys() {
                block_deletion(record, cluster, facts, decision);
            }
            if decision.blocked.is_empty() {
                decision.transitions.push(Transition::Delete);
            }
        }
        phase @ (Phase::Verified
        | Phase::Published
        | Phase::Confirmed
        | Phase::Retiring
        | Phase::Aborting
        | Phase::Revoking) => decision.blocked.push(Blocked::UnderWay(phase)),
    }
}

/// A deletion is blocked by a stranger in a slot, and by a cluster that is not the one the record knows.
fn block_deletion(record: &Record, cluster: &ClusterName, facts: &Facts, decision: &mut Decision) {
    let seen = match facts.cluster(cluster) {
        Seen::Known(seen) => seen,
        Seen::Unknown(why) => {
            decision.waiting.push(Waiting { cluster: Some(cluster.clone()), why });
            return;
        }
    };
    if record.clusters.get(cluster) != Some(&seen.id) && seen.access.known().is_none_or(|access| access.present) {
        decision.blocked.push(Blocked::Unowned { cluster: cluster.clone(), found: Foreign::Access });
    }
    let slots = seen.slots.known().into_iter().flatten();
    for (&mechanism, slot) in slots {
        if kinship(record, cluster, mechanism, slot) == Kinship::Foreign {
            decision.blocked.push(Blocked::ForeignCredential { cluster: cluster.clone(), mechanism });
        }
    }
}
