//! Crimes: what must never happen, seen at the moment when it does.

use kastellan::credential::{Account, Confirm, Phase, Record, Slot};

use crate::effects::{Alteration, place_of};
use crate::observe::salt_in;
use crate::scenario::{Plant, Scenario};
use crate::world::{Crime, Pass, STRANGERS, Salt, State, wall};

impl Scenario {
    /// Crimes of a record write.
    pub fn accuse_record(&self, state: &mut State, record: &Record) {
        note_revoked(self, state, record);
        let Some(before) = state.store.record.clone() else { return };
        let is_known = before.phase.may_become(record.phase) && before.allotted <= record.allotted;
        let is_planted = matches!(self.plant, Plant::NumberFromActive | Plant::AbortFromVerified);
        if !is_known && !is_planted {
            state.commit(Crime::UnknownStep);
        }
        if record.phase == Phase::Retiring && before.phase != Phase::Retiring && !self.may_retire(state, &before) {
            state.commit(Crime::EarlyRevocation);
        }
    }

    /// I4, by the documents as they really are.
    fn may_retire(&self, state: &State, record: &Record) -> bool {
        let Some(wanted) = state.wanted.map(|variant| &self.wanted[usize::from(variant)]) else { return true };
        let Some(rotation) = &wanted.rotation else { return record.confirmed_at.is_some() };
        let is_over =
            rotation.overlap.is_none_or(|overlap| record.overlap_from.is_some_and(|from| from + overlap <= wall()));
        let is_confirmed = rotation.confirm == Confirm::None || record.confirmed_at.is_some();
        let works = record.active.as_ref().is_some_and(|slot| self.works(state, place_of(self, slot), salt_in(slot)));
        is_over && is_confirmed && works
    }

    /// Crimes of a change of a slot.
    pub fn accuse_alteration(&self, state: &mut State, alteration: Alteration) {
        let Alteration { cluster, place, salt } = alteration;
        let found = state.clusters[cluster].slots[usize::from(place)];
        let Some(record) = state.store.record.clone() else { return };
        let has_salt = |slot: Option<&Slot>, salt: Salt| slot.is_some_and(|slot| salt_in(slot) == salt);
        let at = u8::try_from(cluster).expect("few clusters");
        if state.revoked.contains(&(at, salt)) {
            state.commit(Crime::RevokedAgain);
        }
        if found == 0 || found == salt {
            return;
        }
        let is_left = !record.clusters.contains_key(&self.clusters[cluster]);
        let goes = is_left || matches!(record.phase, Phase::Deleting | Phase::Deleted | Phase::Revoking);
        let active = has_salt(record.active.as_ref(), found);
        let previous = has_salt(record.previous.as_deref(), found) && record.phase != Phase::Retiring;
        let pending =
            has_salt(record.pending.as_deref(), found) && !matches!(record.phase, Phase::Prepared | Phase::Aborting);
        if (active || previous || pending) && !goes && !record.overwrites() && !record.is_first() {
            state.commit(Crime::Overwrite);
        }
    }

    /// R6: what somebody else put there is left alone, unless it is adopted, or in a slot that is in use by the record under
    /// which it is sent; a copy that lands later cannot look again.
    pub fn accuse_stranger(&self, state: &mut State, pass: &Pass, alteration: Alteration) {
        let Alteration { cluster, place, .. } = alteration;
        let found = state.clusters[cluster].slots[usize::from(place)];
        let Some(record) = &pass.record else { return };
        if found >= STRANGERS {
            let is_adopted = record.adopted.iter().any(|slot| {
                slot.cluster == self.clusters[cluster]
                    && slot.salt.as_ref().is_some_and(|named| named.bytes()[0] == found)
            });
            let is_drift = |slot: &Slot| place_of(self, slot) == place;
            let previous = record.previous.as_deref().filter(|_| record.phase != Phase::Retiring);
            let in_use = record.active.iter().chain(previous);
            if !is_adopted && !in_use.into_iter().any(is_drift) {
                state.commit(Crime::StrangerHarmed);
            }
        }
    }

    /// A thief's open connection has whatever access its name has. A process that planned with a record of before the
    /// revocation gives it access too, which no permit prevents; whoever comes next takes it away again.
    pub fn note_access(&self, state: &mut State, pass: &Pass, account: &Account, grants: bool) {
        let revocation = state.record().and_then(|record| record.revocation.as_deref());
        let is_revoked =
            revocation.is_some_and(|revocation| revocation.slots.iter().any(|slot| slot.username == account.username));
        if !is_revoked {
            return;
        }
        if !grants {
            state.thief.is_cut = true;
        } else if state.thief.is_cut && state.thief.is_connected && pass.is_current {
            state.commit(Crime::ThiefIsBack);
        }
    }
}

/// What a record says was revoked and taken away stays so, whatever later records say.
fn note_revoked(scenario: &Scenario, state: &mut State, record: &Record) {
    let Some(revocation) = &record.revocation else { return };
    for (index, cluster) in (0..).zip(&scenario.clusters) {
        if revocation.cuts.get(cluster).is_some_and(|cut| cut.done_at.is_some()) {
            state.revoked.extend(revocation.slots.iter().map(|slot| (index, salt_in(slot))));
        }
    }
    state.revoked.sort_unstable();
    state.revoked.dedup();
}
