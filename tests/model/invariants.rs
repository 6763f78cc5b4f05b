//! What must be true in every state, and what a process makes of a state that is left alone.

use kastellan::credential::{Ask, Owed, Phase, Record, Slot, Strategy};
use kastellan::names::{ClusterName, UserName};

use crate::effects::{After, Fate, place_of};
use crate::observe::{cluster_id, salt_in};
use crate::process::Coming;
use crate::scenario::Scenario;
use crate::world::{Cluster, Document, Material, Pass, STRANGERS, State, generation_of};

impl Scenario {
    pub fn is_restored(&self, state: &State) -> bool {
        state.budget.restore < self.budget.restore
    }

    /// Whether a credential that is published may be expected to work.
    fn is_held_to(&self, state: &State, salt: u8) -> bool {
        let Some(record) = state.record() else { return false };
        let is_revoked =
            record.revocation.iter().flat_map(|revocation| &revocation.slots).any(|slot| salt_in(slot) == salt);
        let is_leaving = matches!(record.phase, Phase::Deleting | Phase::Deleted);
        // After a restore a document may be older than what applications have.
        let is_outdated = self.is_restored(state) && state.file.is_some_and(|(_, file)| file != salt);
        // In place, and where a recovery has no other, what is overwritten does not work until the new one is published.
        let is_active = record.active.as_ref().is_some_and(|active| salt_in(active) == salt);
        let is_in_place = self.wanted[0].rotation.as_ref().is_some_and(|one| one.strategy == Strategy::InPlace);
        let is_newer_delivered = state.file.is_some_and(|(_, file)| file != salt);
        // A restored store does not know what it overwrites there.
        let is_overwritten = is_in_place && self.is_restored(state)
            || record.overwrites() && is_active && (is_in_place || is_newer_delivered);
        let is_published = salt >= STRANGERS || !record.is_first();
        !is_revoked && !is_leaving && !is_outdated && !is_overwritten && is_published
    }

    pub fn newest_works(&self, state: &State) -> bool {
        let document = match state.store.document {
            Some(Document::Live { salt, place }) => Some((place, salt)),
            Some(Document::Tombstone { .. }) | None => None,
        };
        let mut published = document.into_iter().chain(state.file);
        published.all(|(place, salt)| !self.is_held_to(state, salt) || self.works(state, place, salt))
    }

    pub fn nobody_is_locked_out(&self, state: &State) -> bool {
        let rotation = self.wanted[0].rotation.as_ref();
        if rotation.is_none_or(|rotation| rotation.strategy == Strategy::InPlace) {
            return true;
        }
        state.consumers.iter().all(|consumer| {
            let Some((place, salt)) = consumer.held else { return true };
            let clusters = consumer.told & self.told(state);
            !self.is_held_to(state, salt) || self.works_on(state, clusters, place, salt)
        })
    }

    pub fn has_no_orphan(&self, state: &State) -> bool {
        // Access that nobody answers for is an orphan too.
        let is_claimed = |cluster: &ClusterName, name: &UserName| {
            state.record().is_some_and(|record| {
                let is_known = record.clusters.contains_key(cluster) && record.claims_username();
                (is_known || record.owed.contains_key(cluster)) && record.names().contains(name)
            })
        };
        let is_named = state.clusters.iter().zip(&self.clusters).all(|(cluster, at)| {
            let mut names = (0..).zip(&self.names);
            names.all(|(bit, name)| cluster.access & (1 << bit) == 0 || is_claimed(at, name))
        });
        is_named && self.has_no_orphaned_slot(state)
    }

    fn has_no_orphaned_slot(&self, state: &State) -> bool {
        state.clusters.iter().zip(&self.clusters).all(|(cluster, name)| {
            (0..).zip(&cluster.slots).all(|(place, &salt)| {
                let is_named = || {
                    let record = state.record();
                    record.is_some_and(|record| {
                        record.slots_on(name).any(|slot| salt_in(slot) == salt && place_of(self, slot) == place)
                    })
                };
                salt == 0 || salt >= STRANGERS || state.lost.contains(&salt) || is_named()
            })
        })
    }

    /// Wherever nobody is at work, a process that comes and is not disturbed brings everything to rest.
    pub fn is_finished_by_a_fresh_process(&self, state: &State) -> bool {
        let is_quiet = state.passes.iter().all(Option::is_none) && state.flights.is_empty();
        if !is_quiet || state.crimes != 0 {
            return true;
        }
        let mut state = state.clone();
        state.clusters.iter_mut().for_each(|cluster| cluster.is_down = false);
        self.finish(&mut state).is_some_and(|()| self.is_at_rest(&state))
    }

    /// One process alone, without a fault, until there is nothing to do. `None` if that never comes.
    pub fn finish(&self, state: &mut State) -> Option<()> {
        /// More passes, and more moments of waiting, than any story takes.
        const PASSES_MAX: usize = 40;
        for _ in 0..PASSES_MAX {
            let before = state.clone();
            for cluster in &mut state.clusters {
                while !cluster.behind.is_empty() {
                    cluster.catch_up();
                }
            }
            for index in 0..state.consumers.len() {
                if self.is_late(state, &state.consumers[index]) {
                    state.consumers[index] = self.reader_of(state);
                }
            }
            let acknowledged = self.acknowledged(state).map(|generation| Ask::Acknowledge(Some(generation)));
            let restarted = self.waits_for_restart(state).then_some(Ask::Acknowledge(None));
            if restarted.is_some() {
                state.thief.is_connected = false;
            }
            let is_lost = !state.lost.is_empty();
            let asks = [restarted, None, acknowledged, Some(Ask::Recover).filter(|_| is_lost)];
            // What a person does comes after what is done without one; a restart of the brokers is waited for.
            let first = usize::from(asks[0].is_none());
            for ask in &asks[first..] {
                if *state != before {
                    break;
                }
                if let Some(pass) = self.begin(state, ask.as_ref(), false) {
                    match self.finish_pass(state, pass)? {
                        Coming::Blocked(_) if ask.is_none() && !is_lost => return Some(()),
                        _ => {}
                    }
                }
            }
            if *state == before {
                self.tick(state);
            }
            if *state == before {
                return Some(());
            }
        }
        None
    }

    /// One pass without a fault, and how it ends. `None` if it never does.
    fn finish_pass(&self, state: &mut State, pass: Pass) -> Option<Coming> {
        /// More than any pass takes.
        const STEPS_MAX: usize = 80;
        let mut running = Some(pass);
        for _ in 0..STEPS_MAX {
            let Some(pass) = running.take() else { return Some(Coming::Done) };
            let step = self.upcoming(state, &pass);
            match &step.1 {
                Coming::Act(effect) => {
                    // A login waits for brokers that lag.
                    state.clusters.iter_mut().for_each(|cluster| (0..2).for_each(|_| cluster.catch_up()));
                    let After::Goes(after) = self.execute(state, step.0.clone(), effect, Fate::Fine) else {
                        return Some(Coming::Done);
                    };
                    if after == step.0 {
                        return Some(Coming::Done);
                    }
                    running = Some(after);
                }
                Coming::Fence => {
                    self.tick(state);
                    let mut pass = step.0.clone();
                    pass.age(self);
                    running = Some(pass);
                }
                end @ (Coming::Done | Coming::Waits(_) | Coming::Blocked(_)) => return Some(end.clone()),
            }
        }
        None
    }

    /// What a fresh process makes of a state, in a few lines.
    pub fn explain(&self, state: &State) -> String {
        let mut rest = state.clone();
        rest.clusters.iter_mut().for_each(|cluster| cluster.is_down = false);
        let is_over = self.finish(&mut rest).is_some();
        format!("which is\n{}and ends ({is_over}) in\n{}", self.describe(state), self.describe(&rest))
    }

    fn describe(&self, state: &State) -> String {
        let record = state.record().map(|record| {
            let slot = |slot: &Slot| (place_of(self, slot), salt_in(slot));
            let permits = record.permits.iter().map(|permit| {
                let place = self.place(&permit.username, permit.mechanism);
                (permit.id.0, place, permit.content)
            });
            format!(
                "{} generation {} allotted {} active {:?} pending {:?} previous {:?} adopted {} permits {:?} destroy {:?} owed {} \
                 revocation {:?}",
                record.phase,
                record.generation,
                record.allotted,
                record.active.as_ref().map(slot),
                record.pending.as_deref().map(slot),
                record.previous.as_deref().map(slot),
                record.adopted.len(),
                permits.collect::<Vec<_>>(),
                record.destroy,
                record.owed.len(),
                record.revocation.as_ref().map(|revocation| revocation.cuts.values().map(|cut| cut.done_at).collect::<Vec<_>>()),
            )
        });
        let State { clusters, file, consumers, hurt, lost, wanted, .. } = state;
        let slots = clusters.iter().map(|cluster| (cluster.slots, cluster.lagging, cluster.access)).collect::<Vec<_>>();
        let materials = state.store.materials.iter().map(|(number, material)| {
            (*number, material.as_ref().map(|material| (material.place, material.salt, material.password)))
        });
        format!(
            "  {record:?}\n  slots {slots:?}\n  document {:?} file {file:?} consumers {consumers:?}\n  materials {:?} hurt \
             {hurt:?} lost {lost:?} wanted {wanted:?} crimes {}\n",
            state.store.document,
            materials.collect::<Vec<_>>(),
            state.crimes,
        )
    }

    /// Whether everything is as it is described, and nothing is left over.
    fn is_at_rest(&self, state: &State) -> bool {
        let wanted = state.wanted.map(|variant| &self.wanted[usize::from(variant)]);
        let Some(record) = state.record() else {
            return state.clusters.iter().all(|cluster| cluster.slots.iter().all(|salt| *salt == 0))
                || wanted.is_some();
        };
        let is_stranger = |salt: u8| salt >= STRANGERS || state.lost.contains(&salt);
        let is_held_up = state.clusters.iter().any(|cluster| cluster.slots.iter().any(|&salt| is_stranger(salt)));
        if is_held_up && wanted.is_none_or(|wanted| !wanted.adopt) {
            return true;
        }
        let active = record.active.as_ref().map(|slot| (place_of(self, slot), salt_in(slot)));
        let is_asked = |name: &ClusterName| wanted.is_some_and(|wanted| wanted.clusters.contains(name));
        let holds = |cluster: &Cluster, expected: Option<(u8, u8)>| {
            let mut slots = (0..).zip(&cluster.slots);
            slots.all(|(place, &salt)| salt == expected.filter(|(at, _)| *at == place).map_or(0, |(_, salt)| salt))
        };
        let names = wanted.map_or(&[][..], |wanted| wanted.names());
        let bits = (0..).zip(&self.names).filter(|(_, name)| names.contains(name)).map(|(bit, _)| 1 << bit);
        let access = bits.fold(0, |all: u8, bit: u8| all | bit);
        let clusters = state.clusters.iter().zip(&self.clusters).all(|(cluster, name)| {
            let is_asked = is_asked(name) && record.phase == Phase::Idle;
            let slots = holds(cluster, active.filter(|_| is_asked));
            slots && cluster.access == if is_asked { access } else { 0 }
        });
        let published = match state.store.document {
            Some(Document::Live { salt, place }) => Some((place, salt)),
            Some(Document::Tombstone { .. }) | None => None,
        };
        match (record.phase, wanted) {
            (Phase::Idle, Some(_)) => {
                // What a crashed attempt drew and nobody was ever told is no password of anything.
                let is_known =
                    |material: &Material| material.password != material.salt || state.sent.contains(&material.salt);
                // What stands above the highest number is used by the next attempt, or goes (R8).
                let materials = state.store.materials.iter().filter(|(number, _)| *number <= record.allotted.0);
                let materials = materials.filter_map(|(_, material)| material.as_ref());
                let leftovers = materials.filter(|material| is_known(material)).count();
                clusters
                    && published == active
                    && state.file == active
                    && leftovers == 1
                    && record.previous.is_none()
                    && record.destroy.is_empty()
                    && !self.owes(state, record)
                    && active.is_some_and(|(_, salt)| generation_of(salt) == record.generation.0)
                    && self.is_as_given(state, record)
            }
            (Phase::Deleted, None) => clusters && published.is_none() && state.file.is_none(),
            _ => false,
        }
    }

    /// Whether anything is owed that can be paid: a cluster that burnt down never comes back to take it.
    fn owes(&self, state: &State, record: &Record) -> bool {
        let is_there = |name: &ClusterName, owed: &Owed| {
            let mut clusters = (0..).zip(&state.clusters).zip(&self.clusters);
            clusters.any(|((index, cluster), at)| at == name && owed.id == cluster_id(index, cluster))
        };
        record.owed.iter().any(|(name, owed)| is_there(name, owed))
    }

    /// A given password is the one that was given last.
    fn is_as_given(&self, state: &State, record: &Record) -> bool {
        let password = state.material(record.generation.0).map(|material| material.password);
        !self.is_given() || password == Some(200 + state.given)
    }
}
