//! How a credential that is seen in Kafka relates to what the record names (R6).

use super::{Phase, Record, Slot, SlotSeen, Slots};
use crate::names::{ClusterName, Mechanism};
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
pub(super) fn kinship(record: &Record, cluster: &ClusterName, mechanism: Mechanism, seen: &SlotSeen) -> Kinship {
    let same_salt = |salt: Option<&Salt>| match (&seen.salt, salt) {
        (Some(seen), Some(named)) => seen == named,
        (None, _) | (_, None) => true,
    };
    let of_ours = record
        .slots()
        .any(|slot| slot.mechanism == mechanism && slot.iterations == seen.iterations && same_salt(Some(&slot.salt)));
    let of_adopted = record.adopted.iter().any(|slot| {
        slot.cluster == *cluster
            && slot.mechanism == mechanism
            && slot.iterations == seen.iterations
            && same_salt(slot.salt.as_ref())
    });
    let in_use = matches!(record.phase, Phase::Idle | Phase::Deleting)
        && [&record.active, &record.previous].into_iter().flatten().any(|slot| slot.mechanism == mechanism);
    if of_ours || of_adopted {
        Kinship::Named
    } else if in_use {
        Kinship::Drifted
    } else {
        Kinship::Foreign
    }
}

/// Whether the slot holds exactly the credential it should.
pub(super) fn holds(slots: &Slots, slot: &Slot) -> bool {
    slots.get(&slot.mechanism).is_some_and(|seen| {
        seen.iterations == slot.iterations && seen.salt.as_ref().is_none_or(|salt| *salt == slot.salt)
    })
}
