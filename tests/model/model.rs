//! The model: every action that is possible in a state, and what must be true in all of them.

use std::fmt;

use kastellan::credential::{Ask, Effect, Phase, Record, Slot, Strategy, WantedAuthentication};
use kastellan::names::{ClusterName, Generation, UserName};
use stateright::{Model, Property};

use crate::effects::{After, Fate, place_of};
use crate::observe::salt_in;
use crate::process::Coming;
use crate::scenario::{PERMIT_TICKS, Plant, Scenario, Start};
use crate::world::{
    Cluster, Consumer, Crime, Document, Material, Pass, STRANGERS, State, Store, Thief, aged, generation_of,
};

/// The highest number that is explored.
const NUMBERS_MAX: u64 = 6;

/// One thing that may happen.
#[derive(Clone, PartialEq)]
pub enum Action {
    /// A process reads everything and plans a pass, for what a person asks or on its own.
    Begin { process: u8, ask: Option<Ask>, is_stale: bool },
    /// A process goes on with its pass: this is what it does.
    Step { process: u8, step: Box<(Pass, Coming)>, fate: Fate },
    /// A process dies, or gives its pass up.
    Crash { process: u8 },
    /// A late request takes effect.
    Land { flight: u8 },
    /// The lagging broker of a cluster applies its next change.
    CatchUp { cluster: u8 },
    /// An application reads its credential again and logs in with it.
    Reload { consumer: u8 },
    /// Time passes.
    Tick,
    /// The document of the user goes away, comes back, or changes.
    Edit { wanted: Option<u8> },
    /// Somebody else puts something into a slot; 0 deletes what is there.
    Meddle { cluster: u8, place: u8, salt: u8 },
    /// A cluster is rebuilt, empty.
    Rebuild { cluster: u8 },
    /// A cluster goes away, or comes back.
    Outage { cluster: u8 },
    /// A snapshot of the store is taken.
    Snapshot,
    /// The store is what it was in the snapshot.
    Restore,
    /// The given password changes at its source.
    Give,
    /// All brokers are restarted, as a revocation asks for.
    RestartBrokers,
}

impl fmt::Debug for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Begin { process, ask, is_stale } => {
                write!(f, "{process}: begins")?;
                ask.as_ref().map_or(Ok(()), |ask| write!(f, " {ask:?}"))?;
                if *is_stale { write!(f, " on an old record") } else { Ok(()) }
            }
            Self::Step { process, step, fate } => {
                write!(f, "{process}: ")?;
                match &step.1 {
                    Coming::Act(effect) => write!(f, "{}{}", effect.name(), Detail(effect))?,
                    Coming::Fence => f.write_str("waits for a fence")?,
                    Coming::Done => f.write_str("is done")?,
                    Coming::Waits(why) => write!(f, "waits: {why}")?,
                    Coming::Blocked(blocked) => write!(f, "is blocked: {blocked:?}")?,
                }
                if *fate == Fate::Fine { Ok(()) } else { write!(f, " ({fate:?})") }
            }
            Self::Crash { process } => write!(f, "{process}: dies"),
            Self::Land { flight } => write!(f, "late request {flight} lands"),
            Self::CatchUp { cluster } => write!(f, "broker of cluster {cluster} catches up"),
            Self::Reload { consumer } => write!(f, "consumer {consumer} reloads"),
            Self::Tick => f.write_str("tick"),
            Self::Edit { wanted } => write!(f, "documents: {wanted:?}"),
            Self::Meddle { cluster, place, salt } => write!(f, "somebody puts {salt} into {cluster}/{place}"),
            Self::Rebuild { cluster } => write!(f, "cluster {cluster} is rebuilt"),
            Self::Outage { cluster } => write!(f, "cluster {cluster} goes away, or comes back"),
            Self::Snapshot => f.write_str("a snapshot of the store"),
            Self::Restore => f.write_str("the store is restored"),
            Self::Give => f.write_str("another password is given"),
            Self::RestartBrokers => f.write_str("the brokers are restarted"),
        }
    }
}

struct Detail<'a>(&'a Effect);

impl fmt::Display for Detail<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Effect::Material(order) => write!(f, " of {}", order.generation),
            Effect::Record(record) => write!(f, " with {} permits", record.permits.len()),
            Effect::Upsert { slot, .. } | Effect::Login { slot, .. } | Effect::Deliver { slot, .. } => {
                write!(f, " of {}", slot.generation)
            }
            Effect::Document(slot) => write!(f, " of {}", slot.generation),
            _ => Ok(()),
        }
    }
}

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
                self.step(&mut state, usize::from(process), *step, fate);
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
                let held = state.file;
                state.consumers[usize::from(consumer)] = Consumer { held, behind_ticks: 0 };
            }
            Action::Tick => self.tick(&mut state),
            Action::Edit { wanted } => {
                if wanted.is_some() && state.wanted.is_some() {
                    state.budget.change -= 1;
                } else {
                    state.budget.remove -= 1;
                }
                state.wanted = wanted;
            }
            Action::Meddle { cluster, place, salt } => {
                if salt == 0 || state.clusters[usize::from(cluster)].slots[usize::from(place)] != 0 {
                    state.budget.drift -= 1;
                    state.hurt(cluster, place);
                } else {
                    state.budget.stranger -= 1;
                }
                state.clusters[usize::from(cluster)].alter(place, salt, self.lag);
            }
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
        properties
    }
}

/// Something to order passes by.
fn order_of(pass: &Option<Box<Pass>>) -> u64 {
    crate::kept::digest(pass)
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
        state.consumers.push(Consumer { held, behind_ticks: 0 });
        if let Some(effect) = self.paused_before {
            self.pause_before(&mut state, effect);
        }
        if self.plant == Plant::TwoCopies {
            state.copy = Some(Box::new(state.store.clone()));
        }
        state
    }

    /// Lets the first process begin a rotation, and stops it before an effect.
    fn pause_before(&self, state: &mut State, effect: &str) {
        let mut pass = self.begin(state, Some(&Ask::Rotate), false).expect("a rotation can begin");
        self.spend(state, Some(&Ask::Rotate));
        loop {
            let Coming::Act(coming) = self.upcoming(state, &mut pass) else { panic!("no {effect} comes") };
            if coming.name() == effect {
                break;
            }
            let After::Goes(after) = self.execute(state, pass, &coming, Fate::Fine) else {
                panic!("no {effect} comes")
            };
            pass = after;
        }
        state.passes[0] = Some(Box::new(pass));
    }

    fn is_given(&self) -> bool {
        matches!(self.wanted[0].authentication, WantedAuthentication::Scram { given: Some(_), .. })
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
        let delivered = state.file.map(|(_, salt)| salt);
        state.published.retain(|salt| named.contains(salt) || delivered == Some(*salt));
        Some(())
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
            let mut ahead = Pass::clone(pass);
            let is_over = match self.upcoming(state, &mut ahead) {
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
        let are_alike = self.plant != Plant::TwoCopies;
        if are_alike && state.passes.len() == 2 && order_of(&state.passes[0]) > order_of(&state.passes[1]) {
            state.passes.swap(0, 1);
        }
    }

    fn push_begins(&self, state: &State, process: u8, actions: &mut Vec<Action>) {
        // Of several idle processes that are alike the first begins.
        let is_other_idle = state.passes[..usize::from(process)].iter().any(Option::is_none);
        if is_other_idle && self.plant != Plant::TwoCopies {
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
            actions.push(begin(Some(Ask::Revoke { new_name: false }), false));
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
    fn waits_for_restart(&self, state: &State) -> bool {
        let revocation = state.record().and_then(|record| record.revocation.as_deref());
        revocation.is_some_and(|revocation| {
            let mut cuts = revocation.cuts.values();
            cuts.all(|cut| {
                cut.done_at.is_some() && (revocation.restarted_at < cut.done_at || revocation.restarted_at.is_none())
            })
        })
    }

    /// The generation that every consumer holds, where that is what an old credential waits for.
    fn acknowledged(&self, state: &State) -> Option<Generation> {
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
        let mut pass = pass.clone();
        let coming = self.upcoming(state, &mut pass);
        let mut fates = vec![Fate::Fine];
        if let Coming::Act(effect) = &coming {
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
        let step = Box::new((pass, coming));
        actions.extend(fates.into_iter().map(|fate| Action::Step { process, step: step.clone(), fate }));
        actions.push(Action::Crash { process });
    }

    fn step(&self, state: &mut State, process: usize, step: (Pass, Coming), fate: Fate) {
        let (pass, coming) = step;
        let after = match coming {
            Coming::Act(effect) => {
                // Whatever is written makes every pass late but the one that writes.
                state.passes[process] = None;
                self.execute(state, pass, &effect, fate)
            }
            Coming::Fence => After::Goes(pass),
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

    fn is_late(&self, state: &State, consumer: &Consumer) -> bool {
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

    fn is_restored(&self, state: &State) -> bool {
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
        let is_overwritten = record.overwrites() && is_active && (is_in_place || is_newer_delivered);
        let is_published = salt >= STRANGERS || !record.is_first();
        !is_revoked && !is_leaving && !is_outdated && !is_overwritten && is_published
    }

    fn newest_works(&self, state: &State) -> bool {
        let document = match state.store.document {
            Some(Document::Live { salt, place }) => Some((place, salt)),
            Some(Document::Tombstone { .. }) | None => None,
        };
        let mut published = document.into_iter().chain(state.file);
        published.all(|(place, salt)| !self.is_held_to(state, salt) || self.works(state, place, salt))
    }

    fn nobody_is_locked_out(&self, state: &State) -> bool {
        let rotation = self.wanted[0].rotation.as_ref();
        if rotation.is_none_or(|rotation| rotation.strategy == Strategy::InPlace) {
            return true;
        }
        let mut held = state.consumers.iter().filter_map(|consumer| consumer.held);
        held.all(|(place, salt)| !self.is_held_to(state, salt) || self.works(state, place, salt))
    }

    fn has_no_orphan(&self, state: &State) -> bool {
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
    fn is_finished_by_a_fresh_process(&self, state: &State) -> bool {
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
                    state.consumers[index] = Consumer { held: state.file, behind_ticks: 0 };
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
            let Some(mut pass) = running.take() else { return Some(Coming::Done) };
            match self.upcoming(state, &mut pass) {
                Coming::Act(effect) => {
                    // A login waits for brokers that lag.
                    state.clusters.iter_mut().for_each(|cluster| (0..2).for_each(|_| cluster.catch_up()));
                    let before = pass.clone();
                    let After::Goes(after) = self.execute(state, pass, &effect, Fate::Fine) else {
                        return Some(Coming::Done);
                    };
                    if after == before {
                        return Some(Coming::Done);
                    }
                    running = Some(after);
                }
                Coming::Fence => {
                    self.tick(state);
                    pass.age(self);
                    running = Some(pass);
                }
                end @ (Coming::Done | Coming::Waits(_) | Coming::Blocked(_)) => return Some(end),
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
                    && record.owed.is_empty()
                    && active.is_some_and(|(_, salt)| generation_of(salt) == record.generation.0)
                    && self.is_as_given(state, record)
            }
            (Phase::Deleted, None) => clusters && published.is_none() && state.file.is_none(),
            _ => false,
        }
    }

    /// A given password is the one that was given last.
    fn is_as_given(&self, state: &State, record: &Record) -> bool {
        let password = state.material(record.generation.0).map(|material| material.password);
        !self.is_given() || password == Some(200 + state.given)
    }
}
