//! Publication: the document, the deliveries, then what is restarted for them; and what the record says of it.

use std::collections::BTreeSet;

use super::{Context, Subject, write};
use crate::credential::{DeliveryRecord, DeliveryState, Effect, Record, Slot, Step};
use crate::names::DeliveryName;

/// What has to be done before the credential of `slot` is published everywhere; `None` when it is.
pub(super) fn publish(subject: &Subject<'_>, record: &Record, slot: &Slot, context: &Context<'_>) -> Option<Step> {
    if subject.progress.document.is_none() {
        return Some(Step::Act(Effect::Document(slot.clone())));
    }
    let names = undelivered(subject, slot);
    if !names.is_empty() {
        let mut announced = record.clone();
        announce_deliveries(subject, &mut announced);
        if announced != *record {
            return Some(write(announced, context));
        }
        return Some(Step::Act(Effect::Deliver { names, slot: slot.clone() }));
    }
    undeliverable(subject, slot).map(Step::Wait).or_else(|| restart(subject, record, slot))
}

/// Restarts what reads its credential at its start only, once every place holds the new one: a pod that starts before that
/// may read the old one. Whatever waits for a first credential has none to forget.
fn restart(subject: &Subject<'_>, record: &Record, slot: &Slot) -> Option<Step> {
    let is_due = subject.wanted.is_some_and(|wanted| wanted.restarts)
        && !record.is_first()
        && !subject.progress.restarted.contains(&slot.generation);
    is_due.then(|| Step::Act(Effect::Restart(slot.clone())))
}

/// A place that cannot be written now, and why: what is published there must not be retired before it is.
pub(super) fn undeliverable(subject: &Subject<'_>, slot: &Slot) -> Option<String> {
    subject.facts.deliveries.iter().find_map(|(name, state)| match state {
        DeliveryState::Refused { why, .. } | DeliveryState::Unknown { why, .. } => {
            Some(format!("delivery `{name}`: {why}"))
        }
        DeliveryState::Ahead(generation) if *generation >= slot.generation => {
            Some(format!("delivery `{name}` carries generation {generation}"))
        }
        DeliveryState::Pending { .. } | DeliveryState::InStep | DeliveryState::Surplus | DeliveryState::Ahead(_) => {
            None
        }
    })
}

/// Every declared delivery that does not hold the new credential yet. One that was in step when the plan was made is so
/// with an older credential.
fn undelivered(subject: &Subject<'_>, slot: &Slot) -> BTreeSet<DeliveryName> {
    let is_due = |state: &DeliveryState| match state {
        DeliveryState::Pending { .. } | DeliveryState::InStep => true,
        // Never over a higher generation (R4); a recovery goes above it.
        DeliveryState::Ahead(generation) => *generation < slot.generation,
        DeliveryState::Surplus | DeliveryState::Refused { .. } | DeliveryState::Unknown { .. } => false,
    };
    let due = subject.facts.deliveries.iter().filter(|(_, state)| is_due(state));
    let due = due.map(|(name, _)| name).filter(|name| !subject.progress.delivered.contains_key(*name));
    due.cloned().collect()
}

/// Names in the record what is about to be delivered for the first time, so that a file with a password in it is found
/// again whatever happens to this process and to the document (I8). What is recorded stays: it may have to be removed.
pub(super) fn announce_deliveries(subject: &Subject<'_>, record: &mut Record) {
    for (name, state) in &subject.facts.deliveries {
        let DeliveryState::Pending { kind, target, .. } = state else { continue };
        let announced = || DeliveryRecord::announced(kind, target);
        record.deliveries.entry(name.clone()).or_insert_with(announced);
    }
}

/// Notes what was delivered and recalled in this pass.
pub(super) fn note_deliveries(subject: &Subject<'_>, record: &mut Record) {
    record.deliveries.extend(subject.progress.delivered.clone());
    record.deliveries.retain(|name, _| !subject.progress.recalled.contains(name));
}

/// Notes the document as it was written in this pass, if it was.
pub(super) fn note_document(subject: &Subject<'_>, record: &mut Record) {
    if let Some(document) = &subject.progress.document {
        record.document = Some(document.clone());
        record.document_inputs = subject.facts.document_inputs(|name| record.clusters.contains_key(name));
    }
}

/// The record with its pending credential as the published one, and what that one replaced beside it.
pub(super) fn published(subject: &Subject<'_>, record: &Record, pending: &Slot, context: &Context<'_>) -> Record {
    let mut published = record.clone();
    let replaced = published.active.replace(pending.clone()).filter(|_| !record.is_first());
    // An unknown credential in the slot of ours is gone: it was replaced.
    published.adopted.retain(|slot| slot.place() != pending.place());
    published.previous = None;
    if record.overwrites() {
        published.destroy.extend(replaced.map(|slot| slot.generation));
    } else {
        published.previous = replaced.map(Box::new);
    }
    if let Some(deletion) = published.deletion.take() {
        published.destroy.extend(deletion.kept);
    }
    published.generation = pending.generation;
    published.pending = None;
    published.source = published.pending_source.take().map(|source| *source);
    published.published_at = Some(context.now.wall);
    published.confirmed_at = None;
    let is_old_left = published.previous.is_some() || !published.adopted.is_empty();
    published.overlap_from = is_old_left.then_some(context.now.wall);
    note_document(subject, &mut published);
    note_deliveries(subject, &mut published);
    published
}
