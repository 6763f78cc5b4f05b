//! The model: every action that is possible in a state, and what must be true in all of them.

use kastellan::credential::{Ask, Effect, Phase, WantedAuthentication};
use kastellan::names::Generation;
use stateright::{Model, Property};

use crate::action::Action;
use crate::effects::{After, Fate, place_of};
use crate::observe::salt_in;
use crate::process::Coming;
use crate::scenario::{PERMIT_TICKS, Paused, Plant, Scenario, Start};
use crate::world::{Cluster, Consumer, Crime, Pass, STRANGERS, State, Store, Thief, aged};

/// The highest number that is explored.
const NUMBERS_MAX: u64 = 6;

impl Model for Scenario {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![self.beginning()]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        for (process, pass) in (0..).zip(&state.passes) {
            match pass {
                None => self.push_begins(state, process, actions),
                Some(pass) => self.push_steps(state, process, pass, actions),
            }
        }
        actions.extend((0..).zip(&state.flights).map(|(flight, _)| Action::Land { flight }));
        let lagging = (0..).zip(&state.clusters).filter(|(_, cluster)| !cluster.behind.is_empty());
        actions.extend(lagging.map(|(cluster, _)| Action::CatchUp { cluster }));
        let late = (0..).zip(&state.consumers).filter(|(_, consumer)| self.is_late(state, consumer));
        actions.extend(late.map(|(consumer, _)| Action::Reload { consumer }));
        if self.may_tick(state) {
            actions.push(Action::Tick);
        }
        self.push_events(state, actions);
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        match action {
            Action::Begin { process, ask, is_stale } => {
                let works_on_copy = self.works_on_copy(process);
                if works_on_copy {
                    state.swap_copy();
                }
                let pass = self.begin(&state, ask.as_ref(), is_stale)?;
                if works_on_copy {
                    state.swap_copy();
                }
                self.spend(&mut state, ask.as_ref());
                state.passes[usize::from(process)] = Some(Box::new(pass));
            }
            Action::Step { process, step, fate } => {
                let works_on_copy = self.works_on_copy(process);
                if works_on_copy {
                    state.swap_copy();
                }
                self.step(&mut state, usize::from(process), &step, fate);
                if works_on_copy {
                    state.swap_copy();
                }
            }
            Action::Crash { process } => state.passes[usize::from(process)] = None,
            Action::Land { flight } => {
                let flight = state.flights[usize::from(flight)].clone();
                self.land(&mut state, &flight);
            }
            Action::CatchUp { cluster } => state.clusters[usize::from(cluster)].catch_up(),
            Action::Reload { consumer } => {
                state.consumers[usize::from(consumer)] = self.reader_of(&state);
            }
            Action::Tick => self.tick(&mut state),
            Action::Edit { wanted } => edit(&mut state, wanted),
            Action::Meddle { cluster, place, salt } => self.meddle(&mut state, cluster, place, salt),
            Action::Rebuild { cluster } => {
                state.budget.rebuild -= 1;
                state.rebuild(cluster);
            }
            Action::Outage { cluster } => {
                state.budget.outage -= 1;
                let cluster = &mut state.clusters[usize::from(cluster)];
                cluster.is_down = !cluster.is_down;
            }
            Action::Snapshot => state.snapshot = Some(Box::new(state.store.clone())),
            Action::Restore => self.restore(&mut state)?,
            Action::Give => {
                state.budget.give -= 1;
                state.given += 1;
            }
            Action::RestartBrokers => {
                state.thief = crate::world::Thief { is_connected: false, is_shut_out: true, ..state.thief };
            }
        }
        self.reduce(&mut state, last);
        (state != *last).then_some(state)
    }

    /// A process that dies again and again between its material and its record may skip ever more numbers.
    fn within_boundary(&self, state: &State) -> bool {
        state.store.materials.iter().all(|(number, _)| *number <= NUMBERS_MAX)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut properties = vec![
            Property::always("I1 durable before effect", |_, state: &State| {
                !state.is_guilty(Crime::EffectBeforeRecord)
            }),
            Property::always("I2 the newest published credential works", Scenario::newest_works),
            Property::always("I2 nobody is locked out", Scenario::nobody_is_locked_out),
            Property::always("I3 nothing in use is overwritten", |_, state: &State| !state.is_guilty(Crime::Overwrite)),
            Property::always("I4 late revocation", |_, state: &State| !state.is_guilty(Crime::EarlyRevocation)),
            Property::always("I5 the record takes known steps only", |_, state: &State| {
                !state.is_guilty(Crime::UnknownStep)
            }),
            Property::always("I6 I7 one number, one content", |_, state: &State| !state.is_guilty(Crime::NumberReused)),
            Property::always("I7 what is published never goes back", |_, state: &State| {
                !state.is_guilty(Crime::WentBack)
            }),
            Property::always("I8 no orphan", Scenario::has_no_orphan),
            Property::always("I10 no straggler", |_, state: &State| !state.is_guilty(Crime::Straggler)),
            Property::always("R5 what is revoked stays so", |_, state: &State| !state.is_guilty(Crime::RevokedAgain)),
            Property::always("K5 a thief does not come back", |_, state: &State| !state.is_guilty(Crime::ThiefIsBack)),
            Property::always("R6 strangers are not harmed", |_, state: &State| !state.is_guilty(Crime::StrangerHarmed)),
        ];
        // A mistake has to be found by the harm it does.
        if !self.plant.does_harm() {
            let name = "a fresh process finishes what it finds";
            properties.push(Property::always(name, Scenario::is_finished_by_a_fresh_process));
        }
        if self.budget.rotate == 0 && self.budget.revoke > 0 {
            properties.push(Property::sometimes("a revocation completes", |_: &Self, state: &State| {
                state.record().is_some_and(|record| record.phase == Phase::Idle && record.generation == Generation(2))
            }));
        }
        if self.budget.rotate > 0 {
            properties.push(Property::sometimes("every rotation completes", |scenario: &Self, state: &State| {
                let rotations = scenario.budget.rotate;
                state.record().is_some_and(|record| {
                    record.phase == Phase::Idle && record.generation == Generation(1 + u64::from(rotations))
                })
            }));
        }
        properties.retain(|property| self.checks.is_none_or(|checked| property.name.starts_with(checked)));
        properties
    }
}

/// Something to order passes by.
fn order_of(pass: &Option<Box<Pass>>) -> u64 {
    crate::kept::digest(pass)
}

/// The documents change to another variant, or the user's goes or comes back.
fn edit(state: &mut State, wanted: Option<u8>) {
    if wanted.is_some() && state.wanted.is_some() {
        state.budget.change -= 1;
    } else {
        state.budget.remove -= 1;
    }
    state.wanted = wanted;
}

impl Scenario {
    /// The state in which the scenario begins.
    pub fn beginning(&self) -> State {
        let mut state = State {
            store: Store { record: None, before: None, materials: Vec::new(), document: None },
            clusters: vec![Cluster::default(); self.clusters.len()],
            file: None,
            consumers: Vec::new(),
            passes: vec![None; self.controllers],
            flights: Vec::new(),
            budget: self.budget,
            wanted: Some(0),
            given: u8::from(self.is_given()),
            hurt: Vec::new(),
            crimes: 0,
            sent: Vec::new(),
            published: Vec::new(),
            revoked: Vec::new(),
            snapshot: None,
            lost: Vec::new(),
            copy: None,
            thief: Thief { is_connected: self.budget.revoke > 0, ..Thief::default() },
        };
        match self.start {
            Start::Nothing => {}
            Start::Provisioned => {
                let plain = Self { plant: Plant::Nothing, ..self.clone() };
                plain.finish(&mut state).expect("a first provisioning completes");
                for _ in 0..PERMIT_TICKS {
                    plain.tick(&mut state);
                }
                state.store.before = None;
            }
            Start::Stranger => {
                for cluster in &mut state.clusters {
                    cluster.alter(0, STRANGERS, false);
                }
            }
        }
        let held = if self.start == Start::Stranger { Some((0, STRANGERS)) } else { state.file };
        let reader = Consumer { held, ..self.reader_of(&state) };
        state.consumers.push(reader);
        match self.paused {
            Some(Paused::Rotating(effect)) => self.pause(&mut state, Some(&Ask::Rotate), effect),
            Some(Paused::AssertingAgain) => {
                state.clusters[0].alter(0, 0, false);
                state.hurt(0, 0);
                self.pause(&mut state, None, "upsert");
            }
            None => {}
        }
        if self.plant == Plant::TwoCopies {
            state.copy = Some(Box::new(state.store.clone()));
        }
        state
    }

    /// Lets the first process begin, and stops it before an effect.
    fn pause(&self, state: &mut State, ask: Option<&Ask>, effect: &str) {
        let mut pass = self.begin(state, ask, false).expect("there is something to do");
        self.spend(state, ask);
        loop {
            let (before, Coming::Act(coming)) = &*self.upcoming(state, &pass) else { panic!("no {effect} comes") };
            if coming.name() == effect {
                pass = before.clone();
                break;
            }
            let After::Goes(after) = self.execute(state, before.clone(), coming, Fate::Fine) else {
                panic!("no {effect} comes")
            };
            pass = after;
        }
        state.passes[0] = Some(Box::new(pass));
    }

    pub fn is_given(&self) -> bool {
        matches!(self.wanted[0].authentication, WantedAuthentication::Scram { given: Some(_), .. })
    }

    /// Somebody else puts something into a slot, or deletes what is there.
    fn meddle(&self, state: &mut State, cluster: u8, place: u8, salt: u8) {
        if salt == 0 || state.clusters[usize::from(cluster)].slots[usize::from(place)] != 0 {
            state.budget.drift -= 1;
            state.hurt(cluster, place);
        } else {
            state.budget.stranger -= 1;
        }
        state.clusters[usize::from(cluster)].alter(place, salt, self.lag);
    }

    /// R9: all processes are stopped, and nothing is on its way any more. `None` before that.
    fn restore(&self, state: &mut State) -> Option<()> {
        let is_quiet = state.passes.iter().all(Option::is_none) && state.flights.is_empty();
        if !is_quiet && self.plant != Plant::RestoreAtOnce {
            return None;
        }
        let snapshot = state.snapshot.take()?;
        state.budget.restore -= 1;
        state.write(None, false);
        state.store = *snapshot;
        // What nobody knows of any more is somebody else's, and what was published stays so.
        let named = state.record().map(|record| record.slots().map(salt_in).collect::<Vec<_>>()).unwrap_or_default();
        let held = state.clusters.iter().flat_map(|cluster| cluster.slots).chain(state.sent.clone());
        let mut lost = held.filter(|salt| *salt != 0 && !named.contains(salt)).collect::<Vec<_>>();
        lost.extend(&state.lost);
        lost.sort_unstable();
        lost.dedup();
        state.lost = lost;
        state.sent.retain(|salt| named.contains(salt));
        state.revoked.retain(|(_, salt)| named.contains(salt));
        let delivered = state.file.map(|(_, salt)| salt);
        state.published.retain(|salt| named.contains(salt) || delivered == Some(*salt));
        Some(())
    }

    /// Whether it makes no difference which process is which.
    fn are_alike(&self) -> bool {
        self.plant != Plant::TwoCopies && self.paused.is_none()
    }

    fn works_on_copy(&self, process: u8) -> bool {
        self.plant == Plant::TwoCopies && process == 1
    }

    /// Makes states that cannot be told apart the same one.
    fn reduce(&self, state: &mut State, last: &State) {
        for process in 0..state.passes.len() {
            // Of a pass that is as it was this was asked before.
            let Some(pass) = state.passes[process].as_ref().filter(|_| state.passes[process] != last.passes[process])
            else {
                continue;
            };
            let is_over = match &self.upcoming(state, pass).1 {
                // It will read nothing again, so its write will fail.
                Coming::Act(Effect::Record(_)) => !pass.is_current && self.plant == Plant::Nothing,
                Coming::Act(_) | Coming::Fence => false,
                Coming::Done | Coming::Waits(_) | Coming::Blocked(_) => true,
            };
            if is_over {
                state.passes[process] = None;
            }
        }
        state.rename_permits();
        // Which process is which makes no difference.
        if self.are_alike() && state.passes.len() == 2 && order_of(&state.passes[0]) > order_of(&state.passes[1]) {
            state.passes.swap(0, 1);
        }
    }

    fn push_begins(&self, state: &State, process: u8, actions: &mut Vec<Action>) {
        // Of several idle processes that are alike the first begins.
        let is_other_idle = state.passes[..usize::from(process)].iter().any(Option::is_none);
        if is_other_idle && self.are_alike() || self.paused.is_some() && process == 0 {
            return;
        }
        let begin = |ask, is_stale| Action::Begin { process, ask, is_stale };
        actions.push(begin(None, false));
        if self.stale_reads && state.store.before.is_some() {
            actions.push(begin(None, true));
        }
        let budget = &state.budget;
        if budget.rotate > 0 {
            actions.push(begin(Some(Ask::Rotate), false));
        }
        if budget.abort > 0 {
            actions.push(begin(Some(Ask::Abort), false));
        }
        if budget.revoke > 0 {
            actions.push(begin(Some(Ask::Revoke { new_name: self.revokes_to_new_name }), false));
        }
        if self.is_restored(state) {
            actions.extend([begin(Some(Ask::Recover), false), begin(Some(Ask::Import), false)]);
        }
        if let Some(generation) = self.acknowledged(state) {
            actions.push(begin(Some(Ask::Acknowledge(Some(generation))), false));
        }
        if state.thief.is_shut_out && self.waits_for_restart(state) {
            actions.push(begin(Some(Ask::Acknowledge(None)), false));
        }
    }

    /// Whether a revocation has cut everything and waits for somebody to restart the brokers.
    pub fn waits_for_restart(&self, state: &State) -> bool {
        let revocation = state.record().and_then(|record| record.revocation.as_deref());
        revocation.is_some_and(|revocation| {
            let mut cuts = revocation.cuts.values();
            cuts.all(|cut| {
                cut.done_at.is_some() && (revocation.restarted_at < cut.done_at || revocation.restarted_at.is_none())
            })
        })
    }

    /// The generation that every consumer holds, where that is what an old credential waits for.
    pub fn acknowledged(&self, state: &State) -> Option<Generation> {
        let record = state.record().filter(|record| matches!(record.phase, Phase::Published | Phase::Confirmed))?;
        let active = record.active.as_ref().filter(|_| record.confirmed_at.is_none())?;
        let has_moved = |consumer: &Consumer| consumer.held == Some((place_of(self, active), salt_in(active)));
        state.consumers.iter().all(has_moved).then_some(active.generation)
    }

    fn spend(&self, state: &mut State, ask: Option<&Ask>) {
        match ask {
            Some(Ask::Rotate) => state.budget.rotate -= 1,
            Some(Ask::Abort) => state.budget.abort -= 1,
            Some(Ask::Revoke { .. }) => state.budget.revoke -= 1,
            Some(Ask::Acknowledge(_) | Ask::Recover | Ask::Import) | None => {}
        }
    }

    fn push_steps(&self, state: &State, process: u8, pass: &Pass, actions: &mut Vec<Action>) {
        let step = self.upcoming(state, pass);
        let mut fates = vec![Fate::Fine];
        if let Coming::Act(effect) = &step.1 {
            let requests = u8::try_from(self.requests(effect)).expect("few requests");
            let may_fly = state.flights.len() < self.flights;
            for request in 0..requests {
                if may_fly {
                    fates.extend([Fate::Late(request), Fate::Twice(request)]);
                }
                if requests > 1 {
                    fates.push(Fate::Lost(request));
                }
            }
            let differs = |cluster: &Cluster| cluster.slots != cluster.lagging;
            if matches!(effect, Effect::Look(_)) && state.clusters.iter().any(differs) {
                fates.push(Fate::Stale);
            }
        }
        actions.extend(fates.into_iter().map(|fate| Action::Step { process, step: step.clone(), fate }));
        actions.push(Action::Crash { process });
    }

    fn step(&self, state: &mut State, process: usize, step: &(Pass, Coming), fate: Fate) {
        let (pass, coming) = step;
        let after = match coming {
            Coming::Act(effect) => {
                // Whatever is written makes every pass late but the one that writes.
                state.passes[process] = None;
                self.execute(state, pass.clone(), effect, fate)
            }
            Coming::Fence => After::Goes(pass.clone()),
            Coming::Done | Coming::Waits(_) | Coming::Blocked(_) => After::Ends,
        };
        state.passes[process] = match after {
            After::Goes(pass) => Some(Box::new(pass)),
            After::Ends => None,
        };
    }

    /// Things that nobody of ours does.
    fn push_events(&self, state: &State, actions: &mut Vec<Action>) {
        let indices = (0..).zip(&state.clusters).map(|(index, _)| index);
        if state.budget.rebuild > 0 {
            actions.extend(indices.clone().map(|cluster| Action::Rebuild { cluster }));
        }
        if state.budget.outage > 0 {
            actions.extend(indices.map(|cluster| Action::Outage { cluster }));
        }
        if state.budget.restore > 0 {
            actions.push(if state.snapshot.is_some() { Action::Restore } else { Action::Snapshot });
        }
        if state.budget.give > 0 {
            actions.push(Action::Give);
        }
        if self.waits_for_restart(state) && !state.thief.is_shut_out {
            actions.push(Action::RestartBrokers);
        }
        if state.budget.remove > 0 {
            actions.push(Action::Edit { wanted: if state.wanted.is_some() { None } else { Some(0) } });
        }
        if state.budget.change > 0
            && let Some(variant) = state.wanted
            && usize::from(variant) + 1 < self.wanted.len()
        {
            actions.push(Action::Edit { wanted: Some(variant + 1) });
        }
        for (index, cluster) in (0..).zip(&state.clusters) {
            for (place, &salt) in (0..).zip(&cluster.slots) {
                let meddle = |salt| Action::Meddle { cluster: index, place, salt };
                if salt != 0 && state.budget.drift > 0 {
                    actions.push(meddle(0));
                }
                // A look is as good as its moment: nobody can help what appears between it and the request.
                let budget = if salt == 0 { state.budget.stranger } else { state.budget.drift };
                if budget > 0 && self.is_unlooked(state) {
                    actions.push(meddle(STRANGERS + u8::from(salt == 0)));
                }
            }
        }
    }

    /// Whether nobody has looked at slots and acts on it.
    fn is_unlooked(&self, state: &State) -> bool {
        state.flights.is_empty() && state.passes.iter().flatten().all(|pass| pass.progress.looked.is_empty())
    }

    /// An application that has just read what is delivered.
    pub fn reader_of(&self, state: &State) -> Consumer {
        Consumer { held: state.file, told: self.told(state), behind_ticks: 0 }
    }

    pub fn is_late(&self, state: &State, consumer: &Consumer) -> bool {
        state.file.is_some() && consumer.held != state.file
    }

    /// Applications reload within the overlap: that is what is asked of them. Without one they are waited for.
    fn may_tick(&self, state: &State) -> bool {
        let Some(overlap) = self.overlap() else { return true };
        state.consumers.iter().all(|consumer| !self.is_late(state, consumer) || consumer.behind_ticks + 1 < overlap)
    }

    pub fn tick(&self, state: &mut State) {
        state.store.record = state.store.record.as_ref().map(|record| aged(record, self));
        state.store.before = state.store.before.as_ref().map(|record| aged(record, self));
        state.passes.iter_mut().flatten().for_each(|pass| pass.age(self));
        state.flights.retain_mut(|flight| {
            flight.ticks_left -= 1;
            flight.ticks_left > 0
        });
        let overlap = self.overlap().unwrap_or(0);
        for index in 0..state.consumers.len() {
            let is_late = self.is_late(state, &state.consumers[index]);
            let consumer = &mut state.consumers[index];
            consumer.behind_ticks = if is_late { (consumer.behind_ticks + 1).min(overlap) } else { 0 };
        }
    }
}
