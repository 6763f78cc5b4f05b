//! Drift is healed in the order of least harm, whatever the phase; then everything done is noted in one record write.

use std::collections::BTreeSet;

use super::publish::{announce_deliveries, note_deliveries, note_document};
use super::slots::{assert_slot, destroy, grant, withdraw};
use super::{Context, Subject, write, write_changes};
use crate::credential::{Effect, Maintenance, Record, Slot, Step, Witnesses};
use crate::names::{ClusterName, DeliveryName};

pub(super) fn maintain(subject: &Subject<'_>, record: &Record, todo: &Maintenance, context: &Context<'_>) -> Step {
    let noted = note_beforehand(subject, record, todo, context);
    if noted != *record {
        return write(noted, context);
    }
    if let Some(step) = grant_beside_new_clusters(subject, record, todo) {
        return step;
    }
    if let Some(step) = maintain_credential(subject, record, todo, context) {
        return step;
    }
    let step = recall(subject, &todo.recall)
        .or_else(|| withdraw(subject, todo.withdraw.iter().cloned()))
        .or_else(|| destroy(subject, &todo.destroy));
    if let Some(step) = step {
        return step;
    }
    let mut noted = noted;
    note_deliveries(subject, &mut noted);
    note_document(subject, &mut noted);
    noted.deletion_policy = todo.deletion_policy.unwrap_or(noted.deletion_policy);
    noted.destroy.retain(|generation| !subject.progress.destroyed.contains(generation));
    write_changes(record, noted, context)
}

/// What the record has to name before anything is done about it.
fn note_beforehand(subject: &Subject<'_>, record: &Record, todo: &Maintenance, context: &Context<'_>) -> Record {
    let mut noted = record.clone();
    let adopts = todo.adopts.iter().filter(|slot| !record.adopted.contains(slot)).cloned().collect::<Vec<_>>();
    // An unknown credential beside a live one is retired like a previous one.
    if !adopts.is_empty() && record.phase == crate::credential::Phase::Idle {
        noted.phase = crate::credential::Phase::Published;
        noted.overlap_from = Some(context.now.wall);
        noted.confirmed_at = None;
    }
    noted.adopted.extend(adopts);
    noted.clusters.extend(todo.rebind.clone());
    announce_deliveries(subject, &mut noted);
    noted
}

/// Access; on a cluster that is new to the user only after a look that found no stranger.
fn grant_beside_new_clusters(subject: &Subject<'_>, record: &Record, todo: &Maintenance) -> Option<Step> {
    let step = grant(subject, todo.grant.iter().cloned())?;
    let is_new = |account: &&crate::credential::Account| todo.rebind.contains_key(&account.cluster);
    let new = todo.grant.iter().filter(is_new).map(|account| account.cluster.clone()).collect::<BTreeSet<_>>();
    if new.is_empty() || record.active.is_none() {
        return Some(step);
    }
    Some(super::slots::look(subject, record, &new).unwrap_or(step))
}

/// The active credential, and the previous one as long as it is valid: where they are, and where they are published.
fn maintain_credential(
    subject: &Subject<'_>,
    record: &Record,
    todo: &Maintenance,
    context: &Context<'_>,
) -> Option<Step> {
    let active = record.active.as_ref()?;
    let republish = || {
        (todo.republish.is_some() && subject.progress.document.is_none())
            .then(|| Step::Act(Effect::Document(active.clone())))
    };
    let clusters = |drifted: &std::collections::BTreeMap<ClusterName, _>| {
        drifted.keys().cloned().collect::<BTreeSet<ClusterName>>()
    };
    // A document that is ahead of the record stops everything before Kafka is touched (R9). What it tells of a cluster that
    // is new to the user comes after the credential is there.
    let joins = todo.reassert.keys().any(|cluster| record.joining().any(|joining| joining == cluster));
    if !joins && let Some(step) = republish() {
        return Some(step);
    }
    let previous = |slot: &Slot| {
        assert_slot(subject, record, slot, &clusters(&todo.reassert_previous), Witnesses::Running, context)
    };
    assert_slot(subject, record, active, &clusters(&todo.reassert), Witnesses::Running, context)
        .or_else(|| record.previous.as_deref().and_then(previous))
        .or_else(republish)
        .or_else(|| deliver(subject, active, todo))
}

fn deliver(subject: &Subject<'_>, active: &Slot, todo: &Maintenance) -> Option<Step> {
    let names = todo.deliver.keys().filter(|name| !subject.progress.delivered.contains_key(*name)).cloned();
    let names = names.collect::<BTreeSet<_>>();
    (!names.is_empty()).then(|| Step::Act(Effect::Deliver { names, slot: active.clone() }))
}

/// `Recall` for the deliveries that still need it.
pub(super) fn recall(subject: &Subject<'_>, names: &BTreeSet<DeliveryName>) -> Option<Step> {
    let left = names.difference(&subject.progress.recalled).cloned().collect::<BTreeSet<_>>();
    (!left.is_empty()).then_some(Step::Act(Effect::Recall { names: left }))
}
