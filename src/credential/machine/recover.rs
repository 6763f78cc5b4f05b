//! Ways out after the store was restored from an older snapshot (rotation.md D5).

use super::publish::note_document;
use super::slots::log_in;
use super::{Context, Subject, write, write_changes};
use crate::credential::kinship::holds;
use crate::credential::{Blocked, Effect, Import, Phase, Record, Recovery, Slot, Step, Witnesses, note_left};
use crate::names::ClusterName;

/// Takes note of what the store does not know: numbers, and credentials that stand in Kafka.
pub(super) fn recover(record: &Record, recovery: &Recovery, context: &Context<'_>) -> Step {
    let is_noted = record.allotted >= recovery.seen && recovery.adopts.iter().all(|slot| record.adopted.contains(slot));
    if is_noted && record.phase == Phase::Idle {
        return Step::Settled;
    }
    write_changes(record, recovery.noted_in(record), context)
}

/// Keeps what is delivered as the published credential: read back, proven by logins, then documented and written down.
pub(super) fn import(subject: &Subject<'_>, record: &Record, import: &Import, context: &Context<'_>) -> Step {
    if record.active.as_ref().is_some_and(|active| active.generation == import.generation) {
        return Step::Settled;
    }
    let Some((slot, _)) = &subject.progress.material else {
        if subject.progress.unusable.contains(&import.generation) {
            let why = format!("the store holds, or destroyed, another password under number {}", import.generation);
            return Step::Blocked(Blocked::Refused(why));
        }
        return Step::Act(Effect::Import(import.clone()));
    };
    let clusters = record.clusters.keys().filter(|cluster| is_held(subject, cluster, slot)).cloned().collect();
    if let Some(step) = log_in(subject, slot, &clusters, Witnesses::Running) {
        return step;
    }
    if subject.progress.document.is_none() {
        return Step::Act(Effect::Document(slot.clone()));
    }
    write(imported(subject, record, import, slot, context), context)
}

fn is_held(subject: &Subject<'_>, cluster: &ClusterName, slot: &Slot) -> bool {
    let seen = subject.facts.clusters.get(cluster).and_then(|seen| seen.known());
    let slots = seen.and_then(|seen| seen.accounts.get(&slot.username)?.slots.known());
    slots.is_some_and(|slots| holds(slots, slot))
}

/// The restored record with what is delivered as its active credential. What it names besides, and Kafka still holds, is
/// valid beside it until it is retired.
fn imported(subject: &Subject<'_>, record: &Record, import: &Import, slot: &Slot, context: &Context<'_>) -> Record {
    let mut imported = record.clone();
    let known =
        [imported.active.take(), imported.previous.take().map(|slot| *slot), imported.pending.take().map(|slot| *slot)];
    let strangers = import.strangers.iter().filter(|stranger| !imported.adopted.contains(stranger));
    imported.adopted.extend(strangers.cloned().collect::<Vec<_>>());
    imported.adopted.retain(|stranger| stranger.place() != slot.place());
    for old in known.into_iter().flatten() {
        let is_held = old.place() != slot.place() && record.clusters.keys().any(|name| is_held(subject, name, &old));
        if !is_held {
            imported.destroy.insert(old.generation);
        } else if imported.previous.is_none() {
            imported.previous = Some(Box::new(old));
        } else {
            imported.destroy.insert(old.generation);
            note_left(&mut imported, &old);
        }
    }
    imported.active = Some(slot.clone());
    imported.generation = slot.generation;
    imported.allotted = record.allotted.max(slot.generation);
    imported.phase = if record.phase == Phase::Confirmed { Phase::Confirmed } else { Phase::Published };
    imported.pending_source = None;
    imported.published_at = Some(context.now.wall);
    imported.overlap_from = Some(context.now.wall);
    imported.confirmed_at = None;
    note_document(subject, &mut imported);
    imported
}
