//! Where a user stands: what it waits for and until when, in one sentence, from its record, its document, and
//! what was seen of a rollout.

use jiff::Timestamp;

use super::schedule::{Retirement, due_at, minute, retirement};
use super::{Phase, Record, Rollout, Slot, Wanted};
use crate::names::{Generation, UserName};

/// Where a user stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// What it waits for.
    pub awaits: Awaits,
    /// Until when, UTC; `None` where nobody can tell, or nothing is waited for.
    pub until: Option<Timestamp>,
    /// One sentence for people, without its full stop.
    pub says: String,
}

/// What a user waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Awaits {
    /// Nothing.
    Nothing,
    /// The next pass.
    NextPass,
    /// An instant; the pass after it goes on.
    Instant,
    /// A person who says that every consumer has moved.
    Acknowledgement,
    /// Workloads that were restarted and do not all run with the new credential yet.
    Rollout,
    /// The end of every connection that was there before a revocation.
    LastConnection,
}

impl Awaits {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Nothing, Self::NextPass, Self::Instant, Self::Acknowledgement, Self::Rollout, Self::LastConnection];

    /// Stable identifier for JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::NextPass => "nextPass",
            Self::Instant => "instant",
            Self::Acknowledgement => "acknowledgement",
            Self::Rollout => "rollout",
            Self::LastConnection => "lastConnection",
        }
    }
}

/// Tells where a user stands. `wanted` is `None` when no document names it, `rollout` when nobody looked at its workloads.
pub fn standing(record: &Record, wanted: Option<&Wanted>, rollout: Option<&Rollout>, now: Timestamp) -> Standing {
    let pending = record.pending.as_ref().map_or(record.allotted, |slot| slot.generation);
    match record.phase {
        Phase::Idle => at_rest(record, wanted, now),
        Phase::Prepared => prepared(record, pending),
        Phase::Verified => next_pass(format!(
            "generation {pending} works everywhere and is being published, {}; the next `apply` goes on",
            stays(record)
        )),
        Phase::Published | Phase::Confirmed => beside_the_old(record, wanted, rollout, now),
        Phase::Retiring => next_pass(format!(
            "generation {} is published and {} is being taken away; the next `apply` goes on",
            record.generation,
            old(record)
        )),
        Phase::Aborting => {
            next_pass(format!("generation {pending} is being taken back, {}; the next `apply` goes on", stays(record)))
        }
        Phase::Revoking => revoking(record, wanted),
        Phase::Deleting => next_pass("it is being deleted; the next `apply` goes on".to_owned()),
        Phase::Deleted => deleted(record, now),
    }
}

fn next_pass(says: String) -> Standing {
    Standing { awaits: Awaits::NextPass, until: None, says }
}

fn still(says: String) -> Standing {
    Standing { awaits: Awaits::Nothing, until: None, says }
}

fn stays(record: &Record) -> String {
    match &record.active {
        Some(active) => format!("generation {} stays valid", active.generation),
        None => "nothing else is published".to_owned(),
    }
}

/// What a rotation has replaced and not taken away yet; one thing, for the grammar.
fn old(record: &Record) -> String {
    let adopted = match record.adopted.as_slice() {
        [] => None,
        [one] => Some(format!("an adopted {} credential", one.mechanism)),
        several => Some(format!("a set of {} adopted credentials", several.len())),
    };
    match (&record.previous, adopted) {
        (Some(previous), None) => format!("generation {}", previous.generation),
        (Some(previous), Some(adopted)) => format!("generation {} (and {adopted})", previous.generation),
        (None, Some(adopted)) => adopted,
        (None, None) => "what is old".to_owned(),
    }
}

fn at_rest(record: &Record, wanted: Option<&Wanted>, now: Timestamp) -> Standing {
    if record.active.is_none() {
        return still("somebody else authenticates it; access is managed".to_owned());
    }
    let Some(wanted) = wanted else { return still("published and at rest; no document declares it".to_owned()) };
    match (due_at(record, wanted), &wanted.rotation) {
        (Some(due), _) if due <= now => {
            next_pass(format!("published; its rotation is due since {}, and the next `apply` begins it", minute(due)))
        }
        (Some(due), _) => {
            let says = format!("published and at rest; its next rotation is due at {}", minute(due));
            Standing { awaits: Awaits::Instant, until: Some(due), says }
        }
        (None, Some(_)) => still("published and at rest; it rotates when somebody asks for it".to_owned()),
        (None, None) => still("published and at rest; its document states no rotation".to_owned()),
    }
}

fn prepared(record: &Record, pending: Generation) -> Standing {
    if record.is_first() {
        return next_pass(format!(
            "generation {pending} is being put in place, and nothing of it is published yet; the next `apply` goes on"
        ));
    }
    if record.overwrites() {
        return next_pass(format!(
            "generation {pending} takes the very place of the published one, and clients may be locked out until it is \
             published; the next `apply` goes on with that first"
        ));
    }
    next_pass(format!(
        "generation {pending} is being put in place and nobody has seen it yet, {}; the next `apply` goes on, and `kastellan \
         abort` takes it back",
        stays(record)
    ))
}

/// Old and new are valid side by side.
fn beside_the_old(record: &Record, wanted: Option<&Wanted>, rollout: Option<&Rollout>, now: Timestamp) -> Standing {
    let since = record.overlap_from.map(|at| format!(" at {}", minute(at))).unwrap_or_default();
    let replaced = format!("{} was replaced by generation {}{since}", old(record), record.generation);
    match retirement(record, wanted, rollout, now) {
        Retirement::Nothing => next_pass(format!(
            "generation {} is published and nothing old is valid any more; the next `apply` closes the rotation",
            record.generation
        )),
        Retirement::Due => next_pass(format!("{replaced} and its time is over; the next `apply` takes it away")),
        waits @ Retirement::At(at) => {
            let moved = if record.confirmed_at.is_some() { ", every consumer has moved," } else { "" };
            Standing { awaits: Awaits::Instant, until: Some(at), says: format!("{replaced}{moved} and {waits}") }
        }
        waits @ Retirement::Acknowledgement(until) => {
            Standing { awaits: Awaits::Acknowledgement, until, says: format!("{replaced} and {waits}") }
        }
        ref waits @ Retirement::Rollout { until, .. } => {
            Standing { awaits: Awaits::Rollout, until, says: format!("{replaced} and {waits}") }
        }
    }
}

fn revoking(record: &Record, wanted: Option<&Wanted>) -> Standing {
    let Some(revocation) = &record.revocation else {
        return next_pass("its credential is being revoked; the next `apply` goes on".to_owned());
    };
    let numbers = revocation.slots.iter().map(|slot| slot.generation).collect::<std::collections::BTreeSet<_>>();
    let numbers = numbers.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let open = revocation.cuts.iter().filter(|(_, cut)| cut.done_at.is_none()).map(|(cluster, _)| cluster.as_str());
    let open = open.collect::<Vec<_>>();
    if !open.is_empty() {
        return next_pass(format!(
            "generation {numbers} is revoked and still to be cut off on {}; the next `apply` goes on",
            open.join(", ")
        ));
    }
    let fresh = match &record.active {
        Some(active) => format!("generation {} is published in its place", active.generation),
        None => "a fresh one is being put in its place".to_owned(),
    };
    let is_revoked = |name: &UserName| revocation.slots.iter().any(|slot| slot.username == *name);
    let keeps_name = wanted.is_none_or(|wanted| wanted.names().iter().any(is_revoked));
    let newest = revocation.cuts.values().filter_map(|cut| cut.done_at).max();
    let is_restarted = revocation.restarted_at.is_some_and(|at| newest.is_some_and(|done| done <= at));
    if record.active.is_none() || !keeps_name || is_restarted || revocation.cuts.values().all(|cut| cut.given_back) {
        return next_pass(format!("generation {numbers} is revoked and cut off, {fresh}; the next `apply` goes on"));
    }
    let moved = record.active.as_ref().filter(|active| !is_revoked(&active.username));
    let access = match moved {
        Some(active) => format!("`{}` has access, and the name that was stolen gets its own back", active.username),
        None => "access comes back".to_owned(),
    };
    let says = format!(
        "generation {numbers} is revoked and cut off, {fresh}; {access} when no connection of before can exist any more: \
         `apply` tells when, or restart the brokers and say so with `kastellan ack`"
    );
    Standing { awaits: Awaits::LastConnection, until: None, says }
}

fn deleted(record: &Record, now: Timestamp) -> Standing {
    match &record.deletion {
        Some(deletion) if deletion.kept.is_some() && now < deletion.undo_until => {
            let until = deletion.undo_until;
            let says =
                format!("deleted; putting the document back before {} brings the same password back", minute(until));
            Standing { awaits: Awaits::Instant, until: Some(until), says }
        }
        Some(deletion) if deletion.kept.is_some() => {
            next_pass("deleted; the time for undo is over, and the next `apply` destroys the kept password".to_owned())
        }
        Some(_) | None => still("deleted".to_owned()),
    }
}

impl Record {
    /// Whether clients may be locked out at this moment: the pending credential takes the very place of the published one.
    pub fn downtime_possible(&self) -> bool {
        self.phase == Phase::Prepared && self.overwrites()
    }

    /// The slots that are of use to somebody or soon will be, with the role of each: `active`, `pending`, `previous`.
    pub fn roles(&self) -> impl Iterator<Item = (&'static str, &Slot)> {
        let active = self.active.as_ref().map(|slot| ("active", slot));
        let pending = self.pending.as_deref().map(|slot| ("pending", slot));
        let previous = self.previous.as_deref().map(|slot| ("previous", slot));
        [active, pending, previous].into_iter().flatten()
    }
}
