//! The next credential: the order for its material, and how the record names it before anything is sent.

use super::publish::announce_deliveries;
use super::slots::{add_permit, remaining};
use super::{Context, Subject};
use crate::credential::{
    Content, Effect, GivenSource, MaterialOrder, Origin, Place, Record, Slot, Step, Wanted, WantedAuthentication,
};
use crate::names::Generation;

/// The credential of the next number, once its material is written; else the order for that.
///
/// `kept`: a generation that comes back with its password, where the document gives none.
pub(super) fn material<'a>(
    subject: &'a Subject<'_>,
    wanted: &Wanted,
    record: &Record,
    place: impl FnOnce() -> Place,
    kept: Option<Generation>,
) -> Result<&'a (Slot, Option<GivenSource>), Step> {
    let WantedAuthentication::Scram { iterations, length, given, .. } = &wanted.authentication else {
        return Err(Step::Settled);
    };
    if let Some(made) = &subject.progress.material {
        return Ok(made);
    }
    let origin = match (given, kept) {
        (Some((path, key)), _) => Origin::Given { path: path.clone(), key: key.clone() },
        (None, Some(kept)) => Origin::SameAs(kept),
        (None, None) => Origin::Generated(*length),
    };
    let mut generation = record.allotted.next();
    while subject.progress.unusable.contains(&generation) {
        generation = generation.next();
    }
    let Place { username, mechanism } = place();
    let iterations = *iterations;
    Err(Step::Act(Effect::Material(MaterialOrder { generation, username, mechanism, iterations, origin })))
}

/// Names it as pending, with the permit that its first request needs, where no fence is in the way of that.
pub(super) fn name_pending(
    subject: &Subject<'_>,
    record: &mut Record,
    (pending, source): &(Slot, Option<GivenSource>),
    context: &Context<'_>,
) {
    record.allotted = pending.generation;
    record.pending = Some(Box::new(pending.clone()));
    record.pending_source = source.clone().map(Box::new);
    // A number that is skipped is never used: what was made for it goes (R8, R11).
    record.destroy.extend(&subject.progress.unusable);
    announce_deliveries(subject, record);
    let content = Content::Generation(pending.generation);
    if remaining(record, &pending.place(), content, context).is_zero() {
        add_permit(record, &pending.place(), content, context);
    }
}
