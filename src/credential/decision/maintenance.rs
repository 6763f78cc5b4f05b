//! Maintenance: what a provisioned user should be and is not, in whatever phase its rotation is.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{Decision, Drift, Maintenance, Transition, adopt, adopted, is_scram, list_strangers, list_unwritable};
use crate::credential::kinship::{Kinship, holds, kinship};
use crate::credential::{
    Account, AccountFacts, Blocked, Change, ClusterFacts, DeliveryState, Facts, Foreign, Phase, Record, Seen, Slot,
    Version, Wanted,
};
use crate::names::{ClusterId, ClusterName, UserName};

pub(super) fn decide(record: &Record, wanted: &Wanted, facts: &Facts, decision: &mut Decision) {
    list_unsupported(record, wanted, decision);
    let mut todo = Maintenance::default();
    for cluster in &wanted.clusters {
        match (facts.cluster(cluster), record.clusters.get(cluster)) {
            (Seen::Known(seen), Some(id)) => maintain_cluster(record, wanted, cluster, id, seen, &mut todo, decision),
            (Seen::Known(seen), None) => join_cluster(record, wanted, cluster, seen, &mut todo, decision),
            (Seen::Unknown(why), _) => decision.wait(Some(cluster), why),
        }
    }
    if is_scram(record) {
        maintain_publications(record, wanted, facts, &mut todo, decision);
    }
    // In RETIRING what is to be destroyed is still in Kafka.
    if record.phase != Phase::Retiring {
        todo.destroy.clone_from(&record.destroy);
    }
    todo.deletion_policy =
        Some(wanted.deletion_policy).filter(|wanted_policy| *wanted_policy != record.deletion_policy);
    if !todo.is_empty() {
        decision.transitions.push(Transition::Maintain(todo));
    }
}

/// Changes that are not carried out on a live user at all.
fn list_unsupported(record: &Record, wanted: &Wanted, decision: &mut Decision) {
    if let Some(from) = &wanted.moved_from {
        decision.block(Blocked::Unsupported(Change::Moved(from.clone())));
    }
    if !wanted.is_authenticated_as(record) {
        decision.block(Blocked::Unsupported(Change::AuthenticationType));
    }
}

/// Whether the active credential is the one that is published, so that it may be put right wherever it is not.
fn keeps_active(record: &Record) -> bool {
    match record.phase {
        Phase::Idle | Phase::Published | Phase::Confirmed | Phase::Retiring | Phase::Aborting => true,
        Phase::Prepared => !record.overwrites(),
        Phase::Verified | Phase::Revoking | Phase::Deleting | Phase::Deleted => false,
    }
}

/// Document and deliveries: those of the active credential, where it is the published one.
fn maintain_publications(
    record: &Record,
    wanted: &Wanted,
    facts: &Facts,
    todo: &mut Maintenance,
    decision: &mut Decision,
) {
    if !keeps_active(record) {
        return;
    }
    match &facts.document {
        Seen::Known(version) => {
            let inputs = facts.document_inputs(|name| {
                wanted.clusters.contains(name) && (record.clusters.contains_key(name) || todo.rebind.contains_key(name))
            });
            todo.republish = document_differs(record, version.as_ref(), inputs);
        }
        Seen::Unknown(why) => decision.wait(None, why.clone()),
    }
    // What applications are told names a new cluster only when the credential is there, and proven by this very pass.
    if record.joining().any(|name| !todo.reassert.contains_key(name)) {
        todo.republish = None;
    }
    list_unwritable(facts, decision);
    for (name, state) in &facts.deliveries {
        match state {
            DeliveryState::InStep => {}
            DeliveryState::Pending { why, .. } => drop(todo.deliver.insert(name.clone(), why.clone())),
            DeliveryState::Surplus => drop(todo.recall.insert(name.clone())),
            DeliveryState::Refused { .. } | DeliveryState::Ahead(_) | DeliveryState::Unknown { .. } => {}
        }
    }
}

/// Why the document has to be written again; `None` when it is as it should be.
fn document_differs(record: &Record, found: Option<&Version>, inputs: Option<Arc<str>>) -> Option<Arc<str>> {
    record.active.as_ref()?;
    let is_outdated = inputs.is_some() && inputs != record.document_inputs;
    match found {
        Some(_) if found != record.document.as_ref() => Some("it is not as it was written".into()),
        Some(_) if is_outdated => Some("what it tells of how to connect has changed".into()),
        Some(_) => None,
        None => Some("it is not there".into()),
    }
}

/// A cluster that is new to the user: it gets access and the active credential, if nobody of the name is there.
fn join_cluster(
    record: &Record,
    wanted: &Wanted,
    cluster: &ClusterName,
    seen: &ClusterFacts,
    todo: &mut Maintenance,
    decision: &mut Decision,
) {
    if record.owed.get(cluster).is_some_and(|owed| owed.id == seen.id) {
        return decision.wait(Some(cluster), "what it still holds of the user from before goes first".into());
    }
    let names = names_of(record, wanted);
    let before = (decision.waiting.len(), decision.blocked.len());
    let strangers = list_strangers(&names, None, cluster, seen, decision);
    if let Some(first) = strangers.first().filter(|_| !wanted.adopt) {
        decision.block(Blocked::Unowned { cluster: cluster.clone(), found: first.found });
    }
    let in_the_way = |active: &Slot| {
        strangers.iter().any(|stranger| {
            stranger.found == Foreign::Credential(active.mechanism) && stranger.account.username == active.username
        })
    };
    if record.active.as_ref().is_some_and(in_the_way) {
        let mechanism = record.active.as_ref().expect("asked for above").mechanism;
        decision.block(Blocked::ForeignCredential { cluster: cluster.clone(), mechanism });
    }
    if before != (decision.waiting.len(), decision.blocked.len()) {
        return;
    }
    todo.adopts.extend(strangers.iter().filter_map(adopted));
    todo.rebind.insert(cluster.clone(), seen.id.clone());
    // A name that only the document knows gets access when its rotation begins, and its record names it.
    let known = record.names();
    for username in wanted.names().iter().filter(|name| known.contains(name)) {
        let Some(access) = seen.accounts.get(username).and_then(|account| account.access.known()) else { continue };
        note_access(&Account::new(cluster, username), access, todo);
    }
    if record.active.is_some() && keeps_active(record) && is_scram(record) {
        todo.reassert.insert(cluster.clone(), Drift::Missing);
    }
}

/// Every name the user has or is to have.
fn names_of<'a>(record: &'a Record, wanted: &'a Wanted) -> BTreeSet<&'a UserName> {
    wanted.names().iter().chain(record.names()).collect()
}

fn note_access(account: &Account, access: &crate::credential::AccessFact, todo: &mut Maintenance) {
    if access.grants {
        todo.grant.insert(account.clone());
    }
    if access.withdrawals {
        todo.withdraw.insert(account.clone());
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
    let is_present = |account: &AccountFacts| account.access.known().is_some_and(|access| access.present);
    if rebuilt && seen.accounts.values().any(is_present) && !wanted.adopt {
        return decision.block(Blocked::Unowned { cluster: cluster.clone(), found: Foreign::Access });
    }
    if rebuilt {
        todo.rebind.insert(cluster.clone(), seen.id.clone());
    }
    maintain_access(record, wanted, cluster, seen, todo, decision);
    if !is_scram(record) {
        return;
    }
    for username in names_of(record, wanted) {
        let Some(account) = seen.accounts.get(username) else { continue };
        if !maintain_slots(record, wanted, &Account::new(cluster, username), account, rebuilt, todo, decision) {
            return;
        }
    }
    let drift = |slot: &Slot| {
        let slots = seen.accounts.get(&slot.username)?.slots.known()?;
        let is_there = slots.contains_key(&slot.mechanism);
        (!holds(slots, slot)).then_some(if is_there { Drift::Changed } else { Drift::Missing })
    };
    if let Some(active) = record.active.as_ref().filter(|_| keeps_active(record)) {
        // An earlier pass may have been cut off before the proof that the credential works on a new cluster.
        let unproven = record.joining().any(|name| name == cluster).then_some(Drift::Missing);
        todo.reassert.extend(drift(active).or(unproven).map(|drift| (cluster.clone(), drift)));
    }
    // The previous credential is still somebody's until RETIRING (R5).
    let is_valid = matches!(record.phase, Phase::Published | Phase::Confirmed);
    if let Some(drift) = record.previous.as_deref().filter(|_| is_valid).and_then(drift) {
        todo.reassert_previous.insert(cluster.clone(), drift);
    }
}

/// Access is put right for every name that is to have it; a name that is on its way out keeps what it has until its
/// credential is gone, and one without a credential loses it now.
fn maintain_access(
    record: &Record,
    wanted: &Wanted,
    cluster: &ClusterName,
    seen: &ClusterFacts,
    todo: &mut Maintenance,
    decision: &mut Decision,
) {
    for username in names_of(record, wanted) {
        let Some(account) = seen.accounts.get(username) else { continue };
        let is_in_use = record.slots().any(|slot| slot.username == *username);
        // A name that only the document knows gets access when its rotation begins, after the look at its slots.
        let is_asked_for = wanted.names().contains(username) || wanted.is_bound_to(username, record);
        let is_settled = record.names().contains(username) && (is_asked_for || !is_in_use);
        let is_cut = record.phase == Phase::Revoking && is_in_use;
        match &account.access {
            Seen::Known(access) if is_settled && !is_cut => {
                note_access(&Account::new(cluster, username), access, todo);
            }
            Seen::Known(_) => {}
            Seen::Unknown(why) => decision.wait(Some(cluster), why.clone()),
        }
    }
}

/// Strangers in the slots of one account; answers whether its slots are known and none is in the way.
fn maintain_slots(
    record: &Record,
    wanted: &Wanted,
    account: &Account,
    seen: &AccountFacts,
    rebuilt: bool,
    todo: &mut Maintenance,
    decision: &mut Decision,
) -> bool {
    let slots = match &seen.slots {
        Seen::Known(slots) => slots,
        Seen::Unknown(why) => {
            decision.wait(Some(&account.cluster), why.clone());
            return false;
        }
    };
    for (&mechanism, slot) in slots {
        let is_stranger = match kinship(record, account, mechanism, slot) {
            Kinship::Named => false,
            Kinship::Drifted => rebuilt,
            Kinship::Foreign => true,
        };
        let is_beside =
            record.places().iter().all(|place| place.mechanism != mechanism || place.username != account.username);
        if is_stranger && wanted.adopt && is_beside && record.phase == Phase::Idle {
            todo.adopts.push(adopt(account, mechanism, slot));
        } else if is_stranger {
            let cluster = account.cluster.clone();
            decision.block(Blocked::ForeignCredential { cluster, mechanism });
            return false;
        }
    }
    true
}
