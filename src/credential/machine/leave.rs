//! Clusters that are no longer the user's: they hold nothing up, and what they hold is owed until it is gone (R12).

use std::collections::BTreeSet;

use super::slots::{accounts_on, empty, prune_names, reachable, withdraw_everything, withdraw_surplus};
use super::{Context, Subject, write_changes};
use crate::credential::{Owed, Phase, Place, Record, Slot, Step};
use crate::names::ClusterName;

pub(super) fn leave(record: &Record, clusters: &BTreeSet<ClusterName>, context: &Context<'_>) -> Step {
    let mut left = record.clone();
    for cluster in clusters {
        let Some(id) = left.clusters.remove(cluster) else { continue };
        let (slots, adopted) = (record.slots().cloned().collect(), record.adopted_on(cluster).cloned().collect());
        left.adopted.retain(|slot| slot.cluster != *cluster);
        left.owed.insert(cluster.clone(), Owed { id, slots, adopted });
        if let Some(revocation) = &mut left.revocation {
            revocation.cuts.remove(cluster);
        }
    }
    write_changes(record, left, context)
}

/// Takes away what is owed, cluster by cluster that can be reached.
pub(super) fn pay(
    subject: &Subject<'_>,
    record: &Record,
    clusters: &BTreeSet<ClusterName>,
    context: &Context<'_>,
) -> Step {
    let due = clusters.iter().filter(|name| record.owed.contains_key(*name)).cloned().collect::<BTreeSet<_>>();
    if let Some(step) = withdraw_everything(subject, accounts_on(record, &due)) {
        return step;
    }
    let mut paid = record.clone();
    for cluster in &due {
        let owed = record.owed[cluster].slots.iter().map(Slot::place);
        let adopted = record.owed[cluster].adopted.iter();
        let places = owed.chain(adopted.map(|slot| slot.place())).collect::<BTreeSet<Place>>();
        if let Some(step) = empty(subject, record, &places, &BTreeSet::from([cluster.clone()]), context) {
            return step;
        }
        paid.owed.remove(cluster);
    }
    let (reached, missing) = reachable(subject, record);
    // A name that nobody asks for may have access on a cluster of the user that cannot be seen.
    if paid.phase == Phase::Idle && paid.owed.is_empty() && missing.is_none() {
        if let Some(step) = withdraw_surplus(subject, record, &paid, &reached) {
            return step;
        }
        prune_names(subject, &mut paid);
    }
    write_changes(record, paid, context)
}
