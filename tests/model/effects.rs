//! What each effect does to the world, and what is a crime at that moment.

use std::collections::BTreeSet;

use kastellan::credential::{Account, Effect, Outcome, Phase, Record, Seen, Slot, SlotSeen, Slots, Transition};
use kastellan::names::ClusterName;

use crate::durable::import_file;
use crate::kept::Kept;
use crate::observe::{self, Broker, salt_in};
use crate::scenario::{PERMIT_TICKS, PLACES, Plant, Scenario};
use crate::world::{Cluster, Crime, Document, Flight, Pass, STRANGERS, Salt, State, canonical, generation_of};

/// What becomes of the requests of one effect. Numbers count its requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// Everything happens, and is answered.
    Fine,
    /// One request is not answered; it may take effect later, as long as its permit and fence allow.
    Late(u8),
    /// Everything happens, and one request happens again later.
    Twice(u8),
    /// One request never arrives, the others do.
    Lost(u8),
    /// A look is answered by the broker that lags.
    Stale,
}

/// How a pass goes on after an effect.
pub enum After {
    Goes(Pass),
    Ends,
}

/// One change of one slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Alteration {
    pub cluster: usize,
    pub place: u8,
    pub salt: Salt,
}

impl Scenario {
    fn cluster_index(&self, name: &ClusterName) -> usize {
        self.clusters.iter().position(|known| known == name).expect("a cluster of the scenario")
    }

    fn name_bit(&self, account: &Account) -> u8 {
        1 << self.names.iter().position(|name| *name == account.username).expect("a name of the scenario")
    }

    /// How many requests an effect sends that alter slots.
    pub fn requests(&self, effect: &Effect) -> usize {
        self.alterations(effect).len()
    }

    fn alterations(&self, effect: &Effect) -> Vec<Alteration> {
        match effect {
            Effect::Upsert { clusters, slot, .. } => clusters
                .iter()
                .map(|cluster| Alteration {
                    cluster: self.cluster_index(cluster),
                    place: place_of(self, slot),
                    salt: salt_in(slot),
                })
                .collect(),
            Effect::Empty { slots, .. } => slots
                .iter()
                .flat_map(|(account, mechanisms)| {
                    mechanisms.iter().map(|&mechanism| Alteration {
                        cluster: self.cluster_index(&account.cluster),
                        place: u8::try_from(self.place(&account.username, mechanism)).expect("few places"),
                        salt: 0,
                    })
                })
                .collect(),
            Effect::Material(_)
            | Effect::Import(_)
            | Effect::Copy(_)
            | Effect::Move(_)
            | Effect::Record(_)
            | Effect::Look(_)
            | Effect::Grant(_)
            | Effect::Login { .. }
            | Effect::Document(_)
            | Effect::Deliver { .. }
            | Effect::Restart(_)
            | Effect::Recall { .. }
            | Effect::Withdraw(_)
            | Effect::Bury(_)
            | Effect::Destroy(_) => Vec::new(),
        }
    }

    /// Executes an effect of a pass. `state` is the world without the pass.
    pub fn execute(&self, state: &mut State, mut pass: Pass, effect: &Effect, fate: Fate) -> After {
        match effect {
            Effect::Material(order) => return self.make_material(state, pass, order),
            Effect::Import(import) => return import_file(self, state, pass, import),
            Effect::Record(record) => return self.write_record(state, pass, record),
            Effect::Look(accounts) => self.look(state, &mut pass, accounts, fate),
            Effect::Grant(accounts) | Effect::Withdraw(accounts) => {
                let grants = matches!(effect, Effect::Grant(_));
                // Nobody gives access on a cluster that was rebuilt since the pass began: that is seconds.
                if grants && accounts.iter().any(|account| !self.is_as_seen(state, &pass, &account.cluster)) {
                    return After::Ends;
                }
                for account in accounts {
                    let access = &mut state.clusters[self.cluster_index(&account.cluster)].access;
                    let bit = self.name_bit(account);
                    *access = if grants { *access | bit } else { *access & !bit };
                    self.note_access(state, &pass, account, grants);
                    let outcome = if grants { Outcome::Granted } else { Outcome::Withdrawn };
                    pass.advance(|progress| progress.advance(outcome(account.clone())));
                }
            }
            Effect::Upsert { .. } | Effect::Empty { .. } => return self.alter(state, pass, effect, fate),
            Effect::Login { clusters, slot, .. } => {
                for name in clusters {
                    let cluster = &state.clusters[self.cluster_index(name)];
                    if !cluster.is_down && self.is_proven(cluster, place_of(self, slot), salt_in(slot)) {
                        let outcome = Outcome::LoggedIn(name.clone(), slot.generation);
                        pass.advance(|progress| progress.advance(outcome));
                    }
                }
            }
            Effect::Document(slot) => {
                let document = Document::Live { salt: salt_in(slot), place: place_of(self, slot) };
                return self.put_document(state, pass, document, Outcome::Document);
            }
            Effect::Bury(generation) => {
                let document = Document::Tombstone { generation: generation.0 };
                return self.put_document(state, pass, document, Outcome::Buried);
            }
            Effect::Deliver { slot, .. } => return self.deliver(state, pass, slot),
            Effect::Restart(_) => unreachable!("no document of the model names a workload"),
            Effect::Recall { names } => {
                let newest = pass.record.as_ref().map_or(0, |record| record.newest().0);
                if state.file.is_some_and(|(_, salt)| generation_of(salt) > newest) {
                    return After::Ends;
                }
                state.file = None;
                state.consumers.iter_mut().for_each(|consumer| consumer.held = None);
                let names = names.clone();
                pass.advance(|progress| names.into_iter().for_each(|name| progress.advance(Outcome::Recalled(name))));
            }
            Effect::Destroy(generations) => self.destroy(state, &mut pass, generations),
            Effect::Copy(_) | Effect::Move(_) => unreachable!("there is one store"),
        }
        After::Goes(pass)
    }

    fn is_proven(&self, cluster: &Cluster, place: u8, salt: Salt) -> bool {
        let place = usize::from(place);
        match self.plant {
            Plant::PublishBeforeVerify => true,
            Plant::ProbeOneBroker => cluster.slots[place] == salt,
            _ => cluster.slots[place] == salt && cluster.lagging[place] == salt,
        }
    }

    /// Whether a cluster is the one that the pass saw.
    fn is_as_seen(&self, state: &State, pass: &Pass, name: &ClusterName) -> bool {
        let index = self.cluster_index(name);
        let id = observe::cluster_id(index, &state.clusters[index]);
        pass.facts.clusters.get(name).and_then(Seen::known).is_some_and(|seen| seen.id == id)
    }

    fn write_record(&self, state: &mut State, mut pass: Pass, record: &Record) -> After {
        let permits_more = record.permits.len() > pass.record.as_ref().map_or(0, |record| record.permits.len());
        let maintains = matches!(pass.transitions.get(usize::from(pass.index)), Some(Transition::Maintain(_)));
        if self.plant == Plant::ReassertWithoutRecord && maintains && permits_more {
            pass.note_record(record.clone());
            return After::Goes(pass);
        }
        if self.plant == Plant::RecordAfterEffect && !pass.is_deferred {
            pass.note_record(record.clone());
            pass.is_deferred = true;
            return After::Goes(pass);
        }
        pass.is_deferred = false;
        if !pass.is_current && self.plant != Plant::RecordUnconditionally {
            return After::Ends;
        }
        let record = &self.forgetful(record);
        self.accuse_record(state, record);
        // Whoever is deleted or revoked is cut off, and comes back with what is published then.
        if matches!(record.phase, Phase::Deleting | Phase::Revoking) {
            state.consumers.iter_mut().for_each(|consumer| consumer.held = None);
        }
        // Who holds what was revoked reads its credential again.
        if record.phase == Phase::Idle && state.record().is_some_and(|before| before.phase == Phase::Revoking) {
            let active = record.active.as_ref().map(|slot| (place_of(self, slot), salt_in(slot)));
            for consumer in state.consumers.iter_mut().filter(|consumer| consumer.held != active) {
                consumer.held = None;
            }
        }
        let kept = pass.note_record(record.clone());
        let is_removed = self.plant == Plant::NoTombstone && record.phase == Phase::Deleted;
        if is_removed {
            state.store.document = None;
            state.write(None, self.stale_reads);
            return After::Ends;
        }
        state.write(Some(kept), self.stale_reads);
        After::Goes(pass)
    }

    /// The record without what a mistake forgets.
    fn forgetful(&self, record: &Record) -> Record {
        let mut record = record.clone();
        if self.plant == Plant::ForgetDestruction {
            record.destroy.clear();
        }
        if self.plant == Plant::ForgetOwed {
            record.owed = kastellan::names::SmallMap::new();
        }
        record
    }

    fn look(&self, state: &State, pass: &mut Pass, accounts: &BTreeSet<Account>, fate: Fate) {
        let broker = if fate == Fate::Stale { Broker::Lagging } else { Broker::Leading };
        for account in accounts {
            let cluster = &state.clusters[self.cluster_index(&account.cluster)];
            if cluster.is_down {
                continue;
            }
            let mut slots = observe::look(self, cluster, &account.username, broker);
            if self.plant == Plant::NoLook {
                slots = self.as_expected(pass, account, slots);
            }
            pass.advance(|progress| progress.advance(Outcome::Looked(account.clone(), slots)));
        }
    }

    /// What somebody would see who takes every credential for what the record says.
    fn as_expected(&self, pass: &Pass, account: &Account, seen: Slots) -> Slots {
        let record = pass.record.as_deref();
        let expected = |mechanism| {
            let mut named =
                record.into_iter().flat_map(|record| record.active.iter().chain(record.previous.as_deref()));
            named.find(|slot| slot.username == account.username && slot.mechanism == mechanism)
        };
        let slots = seen.into_iter().filter_map(|(mechanism, slot)| {
            let is_stranger = slot.salt.as_ref().is_some_and(|salt| salt.bytes()[0] >= STRANGERS);
            if !is_stranger {
                return Some((mechanism, slot));
            }
            let named = expected(mechanism)?;
            Some((
                mechanism,
                SlotSeen { iterations: named.iterations, salt: Some(named.salt.clone()), everywhere: true },
            ))
        });
        slots.collect()
    }

    fn alter(&self, state: &mut State, mut pass: Pass, effect: &Effect, fate: Fate) -> After {
        if let Effect::Upsert { slot, .. } = effect {
            let Some(material) = state.material(slot.generation.0).cloned() else { return After::Ends };
            let is_named = state.record().is_some_and(|record| record.slots().any(|named| named == slot));
            if !is_named || material.salt != salt_in(slot) {
                state.commit(Crime::EffectBeforeRecord);
            }
            state.note_sent(material.salt);
        }
        let mut unanswered = BTreeSet::new();
        for (index, alteration) in self.alterations(effect).into_iter().enumerate() {
            let (arrives, flies) = match fate {
                Fate::Late(late) if usize::from(late) == index => (false, true),
                Fate::Lost(lost) if usize::from(lost) == index => (false, false),
                Fate::Twice(twice) if usize::from(twice) == index => (true, true),
                _ if state.clusters[alteration.cluster].is_down => (false, false),
                Fate::Fine | Fate::Late(_) | Fate::Twice(_) | Fate::Lost(_) | Fate::Stale => (true, false),
            };
            if arrives || flies {
                self.send(state, alteration, flies);
            }
            if arrives {
                self.accuse_alteration(state, alteration);
                self.accuse_stranger(state, &pass, alteration);
                self.arrive(state, alteration);
            } else {
                unanswered.insert((alteration.cluster, alteration.place));
            }
        }
        self.note_alterations(&mut pass, effect, &unanswered);
        if pass.is_deferred {
            let record = pass.record.clone();
            pass.is_deferred = false;
            if !pass.is_current {
                return After::Ends;
            }
            if let Some(record) = &record {
                self.accuse_record(state, record);
            }
            state.write(record, self.stale_reads);
        }
        After::Goes(pass)
    }

    /// What was answered is noted: an account's part is done when all of its requests are.
    fn note_alterations(&self, pass: &mut Pass, effect: &Effect, unanswered: &BTreeSet<(usize, u8)>) {
        let is_answered = |account: &Account| {
            let cluster = self.cluster_index(&account.cluster);
            !unanswered
                .iter()
                .any(|(index, place)| *index == cluster && *self.place_name(usize::from(*place)).0 == account.username)
        };
        match effect {
            Effect::Upsert { clusters, slot, .. } => {
                for cluster in clusters {
                    let account = Account::new(cluster, &slot.username);
                    if is_answered(&account) {
                        pass.advance(|progress| progress.advance(Outcome::Upserted(account, slot.generation)));
                    }
                }
            }
            Effect::Empty { slots, .. } => {
                for account in slots.keys().filter(|account| is_answered(account)) {
                    pass.advance(|progress| progress.advance(Outcome::Emptied(account.clone())));
                }
            }
            _ => {}
        }
    }

    /// A request leaves: what was sent before it for other content must not arrive any more.
    fn send(&self, state: &mut State, alteration: Alteration, flies: bool) {
        let Alteration { cluster, place, salt } = alteration;
        let cluster = u8::try_from(cluster).expect("few clusters");
        for flight in &mut state.flights {
            if flight.cluster == cluster && flight.place == place && flight.salt != salt {
                flight.is_superseded = true;
            }
        }
        if flies {
            state.flights.push(Flight { cluster, place, salt, ticks_left: PERMIT_TICKS, is_superseded: false });
            state.flights.sort();
            state.flights.dedup();
        }
    }

    /// A request takes effect.
    fn arrive(&self, state: &mut State, alteration: Alteration) {
        let Alteration { cluster, place, salt } = alteration;
        state.clusters[cluster].alter(place, salt, self.lag);
        state.hurt.retain(|hurt| *hurt != (u8::try_from(cluster).expect("few clusters"), place));
    }

    /// A late request takes effect.
    pub fn land(&self, state: &mut State, flight: &Flight) {
        if flight.is_superseded {
            state.commit(Crime::Straggler);
        }
        let (cluster, place, salt) = (usize::from(flight.cluster), flight.place, flight.salt);
        let alteration = Alteration { cluster, place, salt };
        self.accuse_alteration(state, alteration);
        self.arrive(state, alteration);
    }

    /// The clusters that the document tells applications of, one bit each.
    pub fn told(&self, state: &State) -> u8 {
        let Some(record) = state.record() else { return u8::MAX };
        // A revocation does not wait for a cluster that is away (R12).
        if record.phase == Phase::Revoking && self.budget.outage > 0 {
            return 0;
        }
        let is_told =
            |name: &ClusterName| record.clusters.contains_key(name) && record.joining().all(|joining| joining != name);
        let bits = (0..).zip(&self.clusters).filter(|(_, name)| is_told(name)).map(|(bit, _)| 1 << bit);
        bits.fold(0, |all: u8, bit: u8| all | bit)
    }

    /// Whether a credential logs in on every broker of every cluster that the document tells of.
    pub fn works(&self, state: &State, place: u8, salt: Salt) -> bool {
        self.works_on(state, self.told(state), place, salt)
    }

    pub fn works_on(&self, state: &State, clusters: u8, place: u8, salt: Salt) -> bool {
        let password = password_of(state, salt);
        let members = (0..).zip(&state.clusters).filter(|(index, _)| clusters & (1 << index) != 0);
        members.into_iter().all(|(index, cluster)| {
            let mut views = [&cluster.slots, &cluster.lagging].into_iter();
            state.hurt.contains(&(index, place))
                || views.all(|slots| password_of(state, slots[usize::from(place)]) == password)
        })
    }
}

/// The password behind a salt: its own, unless an undo brought an older one back.
fn password_of(state: &State, salt: Salt) -> u8 {
    if salt == 0 || salt >= STRANGERS {
        return salt;
    }
    state.material(generation_of(salt)).filter(|material| material.salt == salt).map_or(salt, |found| found.password)
}

pub fn place_of(scenario: &Scenario, slot: &Slot) -> u8 {
    u8::try_from(scenario.place(&slot.username, slot.mechanism)).expect("few places")
}

const _: () = assert!(PLACES <= 8, "places are counted in bytes, names in bits");
const _: fn(Record) -> Kept<Record> = canonical;
