//! Deletion: access goes first, because it cuts open connections too (K5); the tombstone is last.

use std::collections::BTreeSet;

use super::maintain::recall;
use super::slots::{
    accounts_on, add_clear_permits, destroy_and_strike, empty, reachable, withdraw, withdraw_everything,
};
use super::{Context, Subject, write, write_changes};
use crate::credential::schedule::after;
use crate::credential::{Authentication, Deletion, Effect, Owed, Phase, Record, Step};
use crate::names::Generation;

pub(super) fn delete(subject: &Subject<'_>, record: &Record, context: &Context<'_>) -> Step {
    match record.phase {
        Phase::Deleted => return destroy_and_strike(subject, record, context),
        Phase::Deleting => {}
        Phase::Idle
        | Phase::Prepared
        | Phase::Verified
        | Phase::Published
        | Phase::Confirmed
        | Phase::Retiring
        | Phase::Aborting
        | Phase::Revoking => return enter(record, context),
    }
    let (clusters, _) = reachable(subject, record);
    let deliveries = record.deliveries.keys().cloned().collect();
    let accounts = accounts_on(record, &clusters);
    let step = match subject.wanted {
        None => withdraw_everything(subject, accounts),
        // Access that the document declares stays.
        Some(_) => withdraw(subject, accounts),
    };
    if let Some(step) = step.or_else(|| recall(subject, &deliveries)) {
        return step;
    }
    if record.authentication == Authentication::Scram {
        if subject.progress.buried.is_none() {
            return Step::Act(Effect::Bury(record.allotted));
        }
        if let Some(step) = empty(subject, record, &record.places(), &clusters, context) {
            return step;
        }
    }
    match subject.wanted {
        None => write(tombstone(subject, record), context),
        // Its document is back. A tombstone names nothing any more, and access that the document declares stays; so the
        // provisioning that follows goes on from here.
        Some(_) => Step::Settled,
    }
}

/// What is left of the record when everything is gone that could be reached.
pub(super) fn tombstone(subject: &Subject<'_>, record: &Record) -> Record {
    let (clusters, _) = reachable(subject, record);
    let mut tombstone = record.clone();
    tombstone.phase = Phase::Deleted;
    tombstone.document = subject.progress.buried.clone().or(tombstone.document);
    tombstone.deliveries.clear();
    tombstone.adopted.clear();
    tombstone.revocation = None;
    // A deletion does not wait for a cluster that cannot be reached; what it holds is owed (R12).
    for (cluster, id) in record.clusters.iter().filter(|(cluster, _)| !clusters.contains(*cluster)) {
        let (slots, adopted) =
            (record.slots_on(cluster).cloned().collect(), record.adopted_on(cluster).cloned().collect());
        let owed = Owed { id: id.clone(), slots, adopted };
        tombstone.owed.insert(cluster.clone(), owed);
        tombstone.clusters.remove(cluster);
    }
    tombstone
}

fn enter(record: &Record, context: &Context<'_>) -> Step {
    let mut deleting = record.clone();
    deleting.phase = Phase::Deleting;
    // The deletion takes a number of its own, so that its tombstone orders after every document before it (R7).
    deleting.allotted = record.allotted.next();
    let kept = kept_for_undo(record);
    let at = context.now.wall;
    deleting.deletion = Some(Box::new(Deletion { at, undo_until: after(at, context.undo_for), kept }));
    // Whatever else there is is nobody's any more; its material need not wait for an undo.
    deleting.destroy.extend(record.slots().map(|slot| slot.generation));
    deleting.destroy.retain(|generation| Some(*generation) != kept);
    add_clear_permits(&mut deleting, &record.places(), context);
    write(deleting, context)
}

/// The generation whose password an undo brings back: the newest that may have been published.
fn kept_for_undo(record: &Record) -> Option<Generation> {
    let slot = match record.phase {
        // From VERIFIED on the document may carry the pending credential.
        Phase::Verified => record.pending.as_deref(),
        _ => record.active.as_ref().filter(|_| !record.is_first()),
    };
    slot.map(|slot| slot.generation)
}

/// The undo period is over: the material goes, the tombstone stays.
pub(super) fn expire(subject: &Subject<'_>, record: &Record, generation: Generation, context: &Context<'_>) -> Step {
    if !subject.progress.destroyed.contains(&generation) {
        return Step::Act(Effect::Destroy(BTreeSet::from([generation])));
    }
    let mut expired = record.clone();
    if let Some(deletion) = &mut expired.deletion {
        deletion.kept = None;
    }
    expired.destroy.remove(&generation);
    write_changes(record, expired, context)
}
