//! The beginning from nothing, also after a deletion.

use super::pending::{material, name_pending};
use super::slots::remaining;
use super::{Context, Subject, write};
use crate::credential::{Authentication, Content, Phase, Place, Provision, Record, Step, Wanted, WantedAuthentication};
use crate::names::Mechanism;

/// A blank record of a user, in IDLE.
fn blank(subject: &Subject<'_>, wanted: &Wanted) -> Record {
    let clusters = wanted
        .clusters
        .iter()
        .filter_map(|name| Some((name.clone(), subject.facts.clusters.get(name)?.known()?.id.clone())));
    let authentication = match wanted.authentication {
        WantedAuthentication::External => Authentication::External,
        WantedAuthentication::Scram { .. } => Authentication::Scram,
    };
    let (scope, username) = (wanted.scope.clone(), wanted.username.clone());
    Record {
        further_names: wanted.names().iter().filter(|name| **name != wanted.username).cloned().collect(),
        clusters: clusters.collect(),
        deletion_policy: wanted.deletion_policy,
        ..Record::blank(subject.user.clone(), scope, username, authentication)
    }
}

/// The blank record that follows a tombstone: numbers never go back (R7, R8), material still owed destruction stays owed.
fn blank_after(subject: &Subject<'_>, wanted: &Wanted, tombstone: Option<&Record>) -> Record {
    let mut record = blank(subject, wanted);
    if let Some(tombstone) = tombstone {
        record.allotted = tombstone.allotted;
        record.generation = tombstone.generation;
        record.document.clone_from(&tombstone.document);
        record.destroy.clone_from(&tombstone.destroy);
        record.owed.clone_from(&tombstone.owed);
        if !tombstone.owed.is_empty() {
            // Any of the names of before may have access where something is owed.
            let names = tombstone.names().into_iter().filter(|name| **name != record.username).cloned();
            record.further_names.extend(names.collect::<Vec<_>>());
        }
        if wanted.continues(tombstone) {
            // The old slots stay named until IDLE, so that what a straggler left is not taken for a stranger (R6).
            record.active.clone_from(&tombstone.active);
            record.previous.clone_from(&tombstone.previous);
            record.permits.clone_from(&tombstone.permits);
            record.deletion.clone_from(&tombstone.deletion);
        } else {
            record.destroy.extend(tombstone.deletion.as_ref().and_then(|deletion| deletion.kept));
        }
    }
    record
}

pub(super) fn claim(subject: &Subject<'_>, tombstone: Option<&Record>, context: &Context<'_>) -> Step {
    let Some(wanted) = subject.wanted else { return Step::Settled };
    let mut record = blank_after(subject, wanted, tombstone);
    record.deletion = None;
    write(record, context)
}

/// Material first, then PREPARED with the permit that the first request needs.
pub(super) fn prepare(
    subject: &Subject<'_>,
    tombstone: Option<&Record>,
    provision: &Provision,
    context: &Context<'_>,
) -> Step {
    let Some(wanted) = subject.wanted else { return Step::Settled };
    let WantedAuthentication::Scram { mechanisms, .. } = &wanted.authentication else { return Step::Settled };
    let mut record = blank_after(subject, wanted, tombstone);
    let place = || {
        let preferred = Place { username: provision.username.clone(), mechanism: provision.mechanism };
        Place { mechanism: unfenced(&record, mechanisms, preferred.clone(), context), ..preferred }
    };
    let made = match material(subject, wanted, &record, place, provision.restores) {
        Ok(made) => made,
        Err(step) => return step,
    };
    record.phase = Phase::Prepared;
    record.adopted.clone_from(&provision.adopts);
    name_pending(subject, &mut record, made, context);
    write(record, context)
}

/// The slot for a credential that comes back: one that need not wait for the fence of its own deletion, if there is one.
fn unfenced(record: &Record, mechanisms: &[Mechanism], preferred: Place, context: &Context<'_>) -> Mechanism {
    let next = Content::Generation(record.allotted.next());
    let waits = |mechanism: Mechanism| {
        let place = Place { mechanism, ..preferred.clone() };
        !remaining(record, &place, next, context).is_zero()
    };
    if !waits(preferred.mechanism) {
        return preferred.mechanism;
    }
    mechanisms.iter().copied().find(|&mechanism| !waits(mechanism)).unwrap_or(preferred.mechanism)
}
