//! How a credential that is seen in Kafka relates to what the record names (R6).

use super::{Account, Phase, Record, Slot, SlotSeen, Slots};
use crate::names::{Mechanism, UserName};
use crate::secret::Salt;

/// How a credential seen in Kafka relates to the record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kinship {
    /// A generation the record names, or one it adopted.
    Named,
    /// A stranger in the slot that the record calls active, or previous: drift (R6).
    Drifted,
    /// A stranger.
    Foreign,
}

/// Compares one credential with what the record names (R6). Without a salt, mechanism and iterations have to do.
pub(super) fn kinship(record: &Record, account: &Account, mechanism: Mechanism, seen: &SlotSeen) -> Kinship {
    let is_here = |username: &UserName, of: Mechanism| of == mechanism && *username == account.username;
    let same_salt = |salt: Option<&Salt>| match (&seen.salt, salt) {
        (Some(seen), Some(named)) => seen == named,
        (None, _) | (_, None) => true,
    };
    let of_ours = record.slots_on(&account.cluster).any(|slot| {
        is_here(&slot.username, slot.mechanism) && slot.iterations == seen.iterations && same_salt(Some(&slot.salt))
    });
    let of_adopted = record.adopted_on(&account.cluster).any(|slot| {
        is_here(&slot.username, slot.mechanism) && slot.iterations == seen.iterations && same_salt(slot.salt.as_ref())
    });
    let in_use = slots_in_use(record).any(|slot| is_here(&slot.username, slot.mechanism));
    if of_ours || of_adopted {
        Kinship::Named
    } else if in_use {
        Kinship::Drifted
    } else {
        Kinship::Foreign
    }
}

/// The slots in which a stranger is drift and no stranger: the active one, and the previous one before RETIRING. Of a first
/// provisioning none is, also where an undo still names what was there; one that is revoked never is (R5).
fn slots_in_use(record: &Record) -> impl Iterator<Item = &Slot> {
    let (active, previous) = match record.phase {
        Phase::Idle | Phase::Published | Phase::Confirmed | Phase::Deleting => (true, true),
        Phase::Prepared | Phase::Verified | Phase::Aborting => (!record.is_first(), !record.is_first()),
        // In REVOKING the active slot is the fresh credential's.
        Phase::Retiring | Phase::Revoking => (true, false),
        Phase::Deleted => (false, false),
    };
    let active = record.active.as_ref().filter(|_| active);
    active.into_iter().chain(record.previous.as_deref().filter(|_| previous))
}

/// Whether the slot holds exactly the credential it should, on every broker.
pub(super) fn holds(slots: &Slots, slot: &Slot) -> bool {
    slots.get(&slot.mechanism).is_some_and(|seen| {
        seen.everywhere
            && seen.iterations == slot.iterations
            && seen.salt.as_ref().is_none_or(|salt| *salt == slot.salt)
    })
}
