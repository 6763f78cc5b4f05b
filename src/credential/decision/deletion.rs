//! Deletion, and what clusters are owed that are no longer the user's.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::{Decision, Transition};
use crate::credential::kinship::{Kinship, kinship};
use crate::credential::{Account, Blocked, DeletionPolicy, Facts, Foreign, Phase, Record, Seen};
use crate::names::ClusterName;

pub(super) fn decide(record: &Record, facts: &Facts, now: Timestamp, decision: &mut Decision) {
    match record.phase {
        Phase::Deleted => {
            pay(record, facts, decision);
            let over = record.deletion.as_ref().filter(|deletion| now >= deletion.undo_until);
            decision.transitions.extend(over.and_then(|deletion| deletion.kept).map(Transition::Expire));
        }
        Phase::Deleting => decision.transitions.push(Transition::Delete),
        Phase::Idle
        | Phase::Prepared
        | Phase::Verified
        | Phase::Published
        | Phase::Confirmed
        | Phase::Retiring
        | Phase::Aborting
        | Phase::Revoking => {
            if record.deletion_policy == DeletionPolicy::Retain {
                return;
            }
            for cluster in record.clusters.keys() {
                block(record, cluster, facts, decision);
            }
            if decision.blocked.is_empty() {
                decision.transitions.push(Transition::Delete);
            }
        }
    }
}

/// A deletion is blocked by a stranger in a slot, and by a cluster that is not the one the record knows. One that cannot be
/// reached is owed its part (R12).
fn block(record: &Record, cluster: &ClusterName, facts: &Facts, decision: &mut Decision) {
    let seen = match facts.cluster(cluster) {
        Seen::Known(seen) => seen,
        Seen::Unknown(why) => {
            return decision.notes.push(format!("{cluster}: {why}; what it holds of the user goes when it is back"));
        }
    };
    let is_another = record.clusters.get(cluster) != Some(&seen.id);
    for (username, account) in &seen.accounts {
        if is_another && account.access.known().is_none_or(|access| access.present) {
            decision.block(Blocked::Unowned { cluster: cluster.clone(), found: Foreign::Access });
        }
        for (&mechanism, slot) in account.slots.known().into_iter().flatten() {
            let at = Account::new(cluster, username);
            if kinship(record, &at, mechanism, slot) == Kinship::Foreign {
                decision.block(Blocked::ForeignCredential { cluster: cluster.clone(), mechanism });
            }
        }
    }
}

/// What is owed is taken away where the cluster can be reached (R12); the rest is noted and holds nothing up.
pub(super) fn pay(record: &Record, facts: &Facts, decision: &mut Decision) {
    let leaving = decision.transitions.iter().filter_map(|transition| match transition {
        Transition::Leave(clusters) => Some(clusters),
        _ => None,
    });
    let leaving = leaving.flatten().cloned().collect::<Vec<_>>();
    let mut due = BTreeSet::new();
    for cluster in record.owed.keys().chain(&leaving) {
        let id = record.owed.get(cluster).map(|owed| &owed.id).or_else(|| record.clusters.get(cluster));
        match facts.cluster(cluster) {
            Seen::Known(seen) if id == Some(&seen.id) => drop(due.insert(cluster.clone())),
            Seen::Known(_) => decision
                .notes
                .push(format!("{cluster} is another cluster than the one that still holds something of the user")),
            Seen::Unknown(why) => {
                decision.notes.push(format!("{cluster}: {why}; what it still holds of the user goes when it is back"));
            }
        }
    }
    if !due.is_empty() {
        decision.transitions.push(Transition::Pay(due));
    }
}
