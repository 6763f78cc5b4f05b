//! What effects do to material, documents and deliveries.

use std::collections::BTreeSet;

use kastellan::credential::{Import, MaterialOrder, Origin, Outcome, Slot};
use kastellan::names::Generation;

use crate::effects::{After, place_of};
use crate::observe::{self, salt_in};
use crate::scenario::{Plant, Scenario};
use crate::world::{Crime, Document, Material, Pass, State, generation_of, salt_of};

impl Scenario {
    pub fn make_material(&self, state: &mut State, mut pass: Pass, order: &MaterialOrder) -> After {
        let generation = order.generation.0;
        let place = u8::try_from(self.place(&order.username, order.mechanism)).expect("few places");
        let password = match &order.origin {
            Origin::Generated(_) => None,
            Origin::Given { .. } => Some(200 + state.given),
            Origin::SameAs(kept) => match state.material(kept.0) {
                Some(material) => Some(material.password),
                None => return After::Ends,
            },
        };
        let known = state.store.materials.iter().find(|(number, _)| *number == generation);
        let outcome = match known {
            None => {
                let noted = state.sent.iter().chain(&state.published).collect::<BTreeSet<_>>();
                let making = noted.into_iter().filter(|used| generation_of(**used) == generation).count();
                let salt = salt_of(generation, u8::try_from(making).expect("few makings"));
                let material = Material { salt, place, password: password.unwrap_or(salt) };
                state.store.materials.push((generation, Some(material)));
                state.store.materials.sort_by_key(|(number, _)| *number);
                Some(salt)
            }
            Some((_, Some(found))) => {
                let fits = found.place == place && password.is_none_or(|password| password == found.password)
                    || self.plant == Plant::ReuseMaterial;
                fits.then_some(found.salt)
            }
            Some((_, None)) => None,
        };
        let outcome = match outcome {
            Some(salt) => {
                let source = match &order.origin {
                    Origin::Given { path, key } => Some(kastellan::credential::GivenSource {
                        path: path.clone(),
                        key: key.clone(),
                        version: observe::given_version(state.given),
                    }),
                    Origin::Generated(_) | Origin::SameAs(_) => None,
                };
                Outcome::Material { slot: observe::slot(self, place, salt), source }
            }
            None => Outcome::MaterialUnusable(Generation(generation)),
        };
        pass.advance(|progress| progress.advance(outcome));
        After::Goes(pass)
    }

    /// R3, or without it.
    pub fn put_document(
        &self,
        state: &mut State,
        mut pass: Pass,
        wanted: Document,
        outcome: impl Fn(kastellan::credential::Version) -> Outcome,
    ) -> After {
        let is_new = match state.store.document {
            None => true,
            Some(found) if found == wanted => false,
            Some(found) if found.generation() < wanted.generation() => true,
            Some(_) if self.plant == Plant::DocumentUnconditionally => true,
            Some(_) => return After::Ends,
        };
        if let Document::Live { salt, .. } = wanted {
            if state.material(generation_of(salt)).is_none() {
                return After::Ends;
            }
            state.note_published(salt);
        }
        if is_new {
            if state.store.document.is_some_and(|found| found.generation() > wanted.generation()) {
                state.commit(Crime::WentBack);
            }
            state.store.document = Some(wanted);
        }
        pass.advance(|progress| progress.advance(outcome(wanted.version())));
        After::Goes(pass)
    }

    /// R4, or without it.
    pub fn deliver(&self, state: &mut State, mut pass: Pass, slot: &Slot) -> After {
        let (place, salt) = (place_of(self, slot), salt_in(slot));
        let is_older = state.file.is_some_and(|(_, found)| generation_of(found) > slot.generation.0);
        if is_older && self.plant != Plant::DeliverUnconditionally {
            return After::Ends;
        }
        if state.material(slot.generation.0).is_none() {
            return After::Ends;
        }
        state.note_published(salt);
        if is_older {
            state.commit(Crime::WentBack);
        }
        if state.file != Some((place, salt)) {
            state.file = Some((place, salt));
            state.consumers.iter_mut().for_each(|consumer| consumer.behind_ticks = 0);
        }
        let outcome = Outcome::Delivered(self.delivery.clone(), observe::delivered(salt));
        pass.advance(|progress| progress.advance(outcome));
        After::Goes(pass)
    }

    pub fn destroy(&self, state: &mut State, pass: &mut Pass, generations: &BTreeSet<Generation>) {
        for generation in generations {
            let materials = &mut state.store.materials;
            materials.retain(|(number, _)| *number != generation.0);
            // What is destroyed can never be written again; a store that forgets is part of one of the mistakes.
            if self.plant != Plant::NumberFromActive {
                materials.push((generation.0, None));
                materials.sort_by_key(|(number, _)| *number);
            }
            pass.advance(|progress| progress.advance(Outcome::Destroyed(*generation)));
        }
    }
}

/// Reads a credential back from the delivered file.
pub fn import_file(scenario: &Scenario, state: &mut State, mut pass: Pass, import: &Import) -> After {
    let generation = import.generation.0;
    let Some((place, salt)) = state.file.filter(|(_, salt)| generation_of(*salt) == generation) else {
        return After::Ends;
    };
    // Keys are derived with the salt that Kafka tells for it.
    let is_held = import.strangers.iter().any(|stranger| {
        let at = scenario.place(&stranger.username, stranger.mechanism);
        at == usize::from(place) && stranger.salt.as_ref().is_some_and(|held| held.bytes()[0] == salt)
    });
    if !is_held {
        return After::Ends;
    }
    let material = Material { salt, place, password: salt };
    let known = state.store.materials.iter().find(|(number, _)| *number == generation);
    let is_usable = known.is_none_or(|(_, found)| found.as_ref() == Some(&material));
    if known.is_none() {
        state.store.materials.push((generation, Some(material)));
        state.store.materials.sort_by_key(|(number, _)| *number);
    }
    let outcome = if is_usable {
        Outcome::Material { slot: observe::slot(scenario, place, salt), source: None }
    } else {
        Outcome::MaterialUnusable(import.generation)
    };
    pass.advance(|progress| progress.advance(outcome));
    After::Goes(pass)
}
