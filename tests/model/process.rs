//! A process at work: it begins a pass, asks the machine what comes next, and executes it; it may die anywhere.

use std::collections::HashMap;
use std::hash::BuildHasherDefault;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use kastellan::credential::{
    Ask, Blocked, Context, Effect, PERMITS_MAX, PermitId, Phase, Progress, Record, Step, Subject, Transition, Wanted,
    Watch, decide, next,
};
use kastellan::names::BootInstant;

use crate::kept::{Folded, Kept};
use crate::observe::{facts, without_slots};
use crate::scenario::{FENCE, PERMIT_TICKS, Plant, Scenario};
use crate::world::{Pass, State, canonical, now, wall};

/// What was asked before: the machine is a function, and the same pass meets many states of the rest of the world.
#[derive(Debug, Default)]
pub struct Answers(Mutex<Asked>);

type Asked = HashMap<Question, Arc<(Pass, Coming)>, BuildHasherDefault<Folded>>;

/// A pass, and the ids that its next permits would have.
type Question = (Pass, [PermitId; PERMITS_MAX]);

impl Clone for Answers {
    /// Another scenario may have another mistake in it, and other answers.
    fn clone(&self) -> Self {
        Self::default()
    }
}

const UNDO_FOR: Duration = Duration::from_secs(3600);

/// What a pass does next.
#[derive(Debug, Clone, PartialEq)]
pub enum Coming {
    /// This effect.
    Act(Effect),
    /// It waits for a fence.
    Fence,
    /// It is over: done.
    Done,
    /// It is over: something has to come back first.
    Waits(String),
    /// It is over: a person has to act.
    Blocked(Blocked),
}

impl Scenario {
    /// What a variant of the document asks for, as the machine is told.
    pub fn asked_of(&self, variant: Option<u8>) -> Option<Wanted> {
        let mut wanted = self.wanted[usize::from(variant?)].clone();
        if let Some(rotation) = wanted.rotation.as_mut().filter(|_| self.plant == Plant::RetireEarly) {
            rotation.overlap = Some(Duration::ZERO);
            rotation.confirm = kastellan::credential::Confirm::None;
        }
        Some(wanted)
    }

    /// A pass that was planned just now; `None` when it would do nothing.
    pub fn begin(&self, state: &State, ask: Option<&Ask>, is_stale: bool) -> Option<Pass> {
        let record = if is_stale { state.store.before.clone() } else { state.store.record.clone() };
        let told = record.as_ref().map(|record| self.distorted(record, ask));
        let wanted = self.asked_of(state.wanted);
        let revokes = matches!(ask, Some(Ask::Revoke { .. }));
        let facts = facts(self, state, told.as_deref(), wanted.as_ref(), revokes);
        let decision = decide(told.as_deref(), wanted.as_ref(), &facts, ask, wall());
        if decision.transitions.is_empty() {
            return None;
        }
        let imports = decision.transitions.iter().any(|transition| matches!(transition, Transition::Import(_)));
        let mut pass = Pass {
            record: told,
            is_current: !is_stale,
            wanted: state.wanted,
            facts: Kept::new(if imports { facts } else { without_slots(facts) }),
            transitions: Kept::new(decision.transitions),
            index: 0,
            progress: Kept::new(Progress::default()),
            watched: Vec::new(),
            is_deferred: false,
        };
        pass.watch_record();
        Some(pass)
    }

    /// The record as a process with a mistake takes it.
    fn distorted(&self, record: &Kept<Record>, ask: Option<&Ask>) -> Kept<Record> {
        let mut told = Record::clone(record);
        match self.plant {
            Plant::NumberFromActive if matches!(told.phase, Phase::Idle | Phase::Deleted) => {
                told.allotted = told.active.as_ref().map_or(told.allotted, |slot| slot.generation);
            }
            Plant::AbortFromVerified if told.phase == Phase::Verified && ask == Some(&Ask::Abort) => {
                told.phase = Phase::Prepared;
            }
            Plant::GiveBackAtOnce if told.revocation.is_some() => {
                told.revocation.iter_mut().for_each(|revocation| revocation.restarted_at = Some(wall()));
            }
            _ => return record.clone(),
        }
        Kept::new(told)
    }

    /// What the machine says comes next in a pass, and the pass as it is then.
    pub fn upcoming(&self, state: &State, pass: &Pass) -> Arc<(Pass, Coming)> {
        let asked = (pass.clone(), fresh_ids(state, pass));
        let known = self.answers.0.lock().expect("nobody panics with it").get(&asked).cloned();
        known.unwrap_or_else(|| {
            let (mut pass, permit_ids) = asked.clone();
            let coming = self.ask(&mut pass, permit_ids);
            let answer = Arc::new((pass, coming));
            self.answers.0.lock().expect("nobody panics with it").insert(asked, answer.clone());
            answer
        })
    }

    /// Asks the machine; passes on to the next transition where one is complete.
    fn ask(&self, pass: &mut Pass, permit_ids: [PermitId; PERMITS_MAX]) -> Coming {
        let wanted = self.asked_of(pass.wanted);
        while let Some(transition) = pass.transitions.get(usize::from(pass.index)) {
            let watch = self.watch(pass);
            let context = Context { now: now(), watch: &watch, fence: FENCE, undo_for: UNDO_FOR, permit_ids };
            let subject = Subject {
                user: &self.user,
                record: pass.record.as_deref(),
                wanted: wanted.as_ref(),
                facts: &pass.facts,
                progress: &pass.progress,
            };
            match next(&subject, transition, &context) {
                Step::Act(effect) => return Coming::Act(effect),
                Step::Fence(_) => {
                    pass.advance(|progress| progress.looked.clear());
                    return Coming::Fence;
                }
                Step::Wait(why) => return Coming::Waits(why),
                Step::Blocked(blocked) => return Coming::Blocked(blocked),
                Step::Settled => {
                    pass.index += 1;
                    pass.progress = Kept::new(Progress::default());
                }
            }
        }
        Coming::Done
    }

    fn watch(&self, pass: &Pass) -> Watch {
        let mut watch = Watch::default();
        for permit in pass.record.iter().flat_map(|record| &record.permits) {
            let watched = pass.watched.iter().find(|(id, _)| *id == permit.id.0).map_or(0, |(_, ticks)| *ticks);
            let is_own = pass.progress.own_permits.values().any(|own| *own == permit.id);
            let ticks = if self.plant == Plant::NoFence && !is_own { PERMIT_TICKS } else { watched };
            watch.issue(permit, since(ticks));
        }
        watch
    }
}

fn since(ticks: u8) -> BootInstant {
    BootInstant(now().boot.0 - Duration::from_secs(u64::from(ticks)))
}

/// The lowest ids that nothing uses: which ones they are makes no difference to anybody.
fn fresh_ids(state: &State, own: &Pass) -> [PermitId; PERMITS_MAX] {
    let others = state.passes.iter().flatten().map(|pass| &**pass);
    let records = others.clone().filter_map(|pass| pass.record.as_ref()).chain(&own.record);
    let records = records.chain(&state.store.record).chain(&state.store.before);
    let used = records.flat_map(|record| record.permits.iter().map(|permit| permit.id));
    let owned = others.chain([own]).flat_map(|pass| pass.progress.own_permits.values().copied());
    let used = used.chain(owned).map(|id| id.0).fold(0_u64, |mask, id| mask | 1 << id);
    let mut free = (0..64).filter(|id| used & (1 << id) == 0);
    std::array::from_fn(|_| PermitId(free.next().expect("few permits at a time")))
}

impl Pass {
    pub fn advance(&mut self, change: impl FnOnce(&mut Progress)) {
        let mut progress = Progress::clone(&self.progress);
        change(&mut progress);
        if progress != *self.progress {
            self.progress = Kept::new(progress);
        }
    }

    /// Takes note of a record write of its own.
    pub fn note_record(&mut self, written: Record) -> Kept<Record> {
        let before = self.record.clone();
        self.advance(|progress| progress.note_permits(before.as_deref(), &written));
        let kept = canonical(written);
        self.record = Some(kept.clone());
        self.watch_record();
        kept
    }
}
