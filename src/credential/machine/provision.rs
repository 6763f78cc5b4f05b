//! The beginning from nothing, also after a deletion.

use super::publish::announce_deliveries;
use super::slots::{add_permit, remaining};
use super::{Context, Subject, write};
use crate::credential::{
    Authentication, Content, Effect, MaterialOrder, Origin, Phase, Place, Provision, Record, Step, Wanted,
    WantedAuthentication,
};
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
    let WantedAuthentication::Scram { mechanisms, given, length, .. } = &wanted.authentication else {
        return Step::Settled;
    };
    let mut record = blank_after(subject, wanted, tombstone);
    let Some((pending, source)) = &subject.progress.material else {
        let origin = match (given, provision.restores) {
            (Some((path, key)), _) => Origin::Given { path: path.clone(), key: key.clone() },
            (None, Some(kept)) => Origin::SameAs(kept),
            (None, None) => Origin::Generated(*length),
        };
        let preferred = Place { username: provision.username.clone(), mechanism: provision.mechanism };
        let mechanism = unfenced(&record, mechanisms, preferred.clone(), context);
        return order_material(subject, wanted, &record, Place { mechanism, ..preferred }, origin);
    };
    record.phase = Phase::Prepared;
    record.allotted = pending.generation;
    record.pending = Some(Box::new(pending.clone()));
    record.pending_source = source.clone().map(Box::new);
    // A number that is skipped is never used: what was made for it goes (R8, R11).
    record.destroy.extend(&subject.progress.unusable);
    record.adopted.clone_from(&provision.adopts);
    announce_deliveries(subject, &mut record);
    add_permit(&mut record, &pending.place(), Content::Generation(pending.generation), context);
    write(record, context)
}

/// The order for the material of the next number that can be used (R8).
pub(super) fn order_material(
    subject: &Subject<'_>,
    wanted: &Wanted,
    record: &Record,
    place: Place,
    origin: Origin,
) -> Step {
    let WantedAuthentication::Scram { iterations, .. } = &wanted.authentication else { return Step::Settled };
    let mut generation = record.allotted.next();
    while subject.progress.unusable.contains(&generation) {
        generation = generation.next();
    }
    let Place { username, mechanism } = place;
    Step::Act(Effect::Material(MaterialOrder { generation, username, mechanism, iterations: *iterations, origin }))
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
