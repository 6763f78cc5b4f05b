//! Strategies of rotation: how the next credential finds a place beside the one in use (rotation.md D1). Everything else is
//! the same for all of them.

use std::collections::BTreeSet;

use super::{Blocked, Change, Place, Slot, Strategy, Wanted, WantedAuthentication};
use crate::names::Mechanism;

/// The place of the next credential: beside the active one, or, for `in-place`, the very same.
///
/// `taken` are places that hold an unknown credential that was adopted; one of them is chosen, and so replaced, only where
/// nothing else is left.
///
/// # Errors
/// [`Blocked::NoStrategy`] when the documents state none: there is no safe guess. [`Blocked::NoFreeSlot`] when the strategy
/// finds no place.
pub(super) fn next_place(
    wanted: &Wanted,
    active: &Slot,
    taken: &BTreeSet<Place>,
    change: Option<&Change>,
) -> Result<Place, Blocked> {
    let WantedAuthentication::Scram { mechanisms, .. } = &wanted.authentication else {
        return Err(Blocked::NoFreeSlot);
    };
    let Some(rotation) = &wanted.rotation else { return Err(Blocked::NoStrategy(change.cloned())) };
    let at = |username: &crate::names::UserName, mechanism: &Mechanism| Place {
        username: username.clone(),
        mechanism: *mechanism,
    };
    let name = match (rotation.strategy, &rotation.users) {
        (Strategy::DualUser, Some([first, second])) => {
            if active.username == *first {
                second
            } else {
                first
            }
        }
        (Strategy::DualUser, None) | (Strategy::MechanismFlip | Strategy::InPlace, _) => &wanted.username,
    };
    let stays = at(&active.username, &active.mechanism);
    if rotation.strategy == Strategy::InPlace && active.username == *name && mechanisms.contains(&active.mechanism) {
        return Ok(stays);
    }
    let mut beside = mechanisms.iter().map(|mechanism| at(name, mechanism)).filter(|place| *place != stays);
    let free = beside.clone().find(|place| !taken.contains(place));
    // With every other place taken, the mechanism that stands last is replaced, as at a first adoption (R6).
    free.or_else(|| beside.next_back()).ok_or(Blocked::NoFreeSlot)
}
