//! Executes an approved plan: cohorts of users, and in each wave after wave of effects of one kind.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::Semaphore;

use super::connect::Links;
use super::crash::{self, Side};
use super::run::{End, Event, Events, Job, Next, Performed, UserRun};
use super::{access, deliveries, documents, import, kafka_effects, login, moves, store_effects};
use crate::credential::{Effect, Phase, Seen, Standing, standing};
use crate::diagnostic::{Disposition, Hint};
use crate::names::NamespacedName;
use crate::plan::UserPlan;
use crate::state::Desired;

/// Users that go through the waves together: enough to fill Kafka's batches of 2,000, few enough that a permit of 30 s
/// is not over before its turn.
const COHORT: usize = 2_000;

/// Cohorts under way at once: while one computes keys, another waits for Kafka, and a third for the disk.
const COHORTS_AT_ONCE: usize = 3;

/// Cohorts that compute keys at once. One takes all cores already; two would go on in step, and then wait in step.
const DERIVING_AT_ONCE: usize = 1;

/// Pause before an effect that failed for a passing reason is tried again.
const RETRY_PAUSE: Duration = Duration::from_millis(250);

/// What bounds a pass.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// How long a deletion can be undone.
    pub undo_for: Duration,
}

/// What a pass did.
#[derive(Debug, Default)]
pub struct Executed {
    /// Every user of the plan, and how it ended.
    pub users: BTreeMap<NamespacedName, Finished>,
    /// Where those stand that are done and not at rest, e.g. beside an old credential within its overlap.
    pub under_way: BTreeMap<NamespacedName, Standing>,
    /// How often each effect was executed, counted in users.
    pub effects: BTreeMap<&'static str, usize>,
}

/// How one user ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Finished {
    /// Everything that was planned is done.
    Done,
    /// Something has to come back first.
    Waiting {
        /// What.
        why: String,
        /// What brings it back, where that is known.
        hint: Option<Hint>,
    },
    /// A person has to decide.
    Blocked {
        /// What.
        why: String,
        /// The remedy.
        hint: Option<Hint>,
    },
    /// An effect failed and will fail again.
    Failed(Failed),
}

/// An effect that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failed {
    /// Its name.
    pub effect: &'static str,
    /// Why.
    pub why: String,
    /// The remedy.
    pub hint: Option<Hint>,
}

/// Executes the plans of `users` as far as they go. One user's failure fails that user alone.
///
/// # Guarantees
/// Whatever happens, and wherever this future is dropped, the next pass finishes what the records say.
///
/// # Assumptions
/// The plan was made from an observation of the same links, it has no refusals, and it was approved.
pub async fn execute(
    links: &Links,
    desired: &Desired,
    users: BTreeMap<NamespacedName, UserPlan>,
    limits: Limits,
    events: &dyn Events,
) -> Executed {
    events.note(Event::Begins { users: users.len() });
    let now = super::now();
    let stores = links.stores.values().filter_map(Seen::known);
    let size = stores.map(|link| link.reader.users_at_once()).fold(COHORT, usize::min).max(1);
    let mut runs = users.into_iter().map(|(user, plan)| UserRun::new(user, plan, now)).peekable();
    let mut cohorts = Vec::new();
    while runs.peek().is_some() {
        // Each gets room for its own: what is split off a list of all keeps the room of the rest.
        cohorts.push(runs.by_ref().take(size).collect::<Vec<_>>());
    }
    let (turns, deriving) = (Semaphore::new(COHORTS_AT_ONCE), Semaphore::new(DERIVING_AT_ONCE));
    let pass = Pass { links, desired, limits, events, turns: &turns, deriving: &deriving };
    let done = join_all(cohorts.into_iter().map(|cohort| pass.drive(cohort))).await;
    let mut executed = Executed::default();
    for mut cohort in done {
        for (effect, users) in cohort.effects {
            *executed.effects.entry(effect).or_default() += users;
        }
        executed.under_way.append(&mut cohort.under_way);
        executed.users.append(&mut cohort.users);
    }
    executed
}

impl Executed {
    /// What became of a cohort. Of its users no more is kept than that: the plans and records of all would be most of what
    /// a pass holds.
    fn of(runs: Vec<UserRun>, effects: BTreeMap<&'static str, usize>) -> Self {
        let mut executed = Self { effects, ..Self::default() };
        for run in runs {
            if let Some(standing) = under_way(&run) {
                executed.under_way.insert(run.user.clone(), standing);
            }
            executed.users.insert(run.user, finished(run.end.unwrap_or(End::Done)));
        }
        executed
    }
}

/// Where a user stands that is done with this pass, and goes on later.
fn under_way(run: &UserRun) -> Option<Standing> {
    let record = run.record.as_ref().filter(|_| run.end == Some(End::Done))?;
    let is_at_rest = matches!(record.value.phase, Phase::Idle | Phase::Deleted);
    let rollout = run.plan.facts.rollout.as_deref();
    (!is_at_rest).then(|| standing(&record.value, run.plan.wanted.as_deref(), rollout, super::now().wall))
}

fn finished(end: End) -> Finished {
    match end {
        End::Done => Finished::Done,
        End::Waiting { why, hint } => Finished::Waiting { why, hint },
        End::Blocked(blocked) => Finished::Blocked { why: blocked.to_string(), hint: blocked.hint() },
        End::Failed(failure) => {
            Finished::Failed(Failed { effect: failure.effect, why: failure.why, hint: failure.hint })
        }
    }
}

struct Pass<'a> {
    links: &'a Links,
    desired: &'a Desired,
    limits: Limits,
    events: &'a dyn Events,
    turns: &'a Semaphore,
    deriving: &'a Semaphore,
}

type Effects = BTreeMap<&'static str, usize>;

impl Pass<'_> {
    /// Drives one cohort to its end. A turn is given back while everybody waits for a fence.
    async fn drive(&self, mut runs: Vec<UserRun>) -> Executed {
        let mut effects = Effects::new();
        let mut over = 0;
        loop {
            let turn = self.turns.acquire().await.expect("never closed");
            let fence = loop {
                let (groups, fenced, ended) = self.ask(&mut runs);
                self.events.note(Event::Ended { users: ended - over });
                over = ended;
                if groups.is_empty() {
                    break fenced;
                }
                self.execute_groups(&mut runs, groups, &mut effects).await;
            };
            drop(turn);
            match fence {
                None => return Executed::of(runs, effects),
                Some((users, wait)) => {
                    self.events.note(Event::Fence { users, wait });
                    tokio::time::sleep(wait).await;
                }
            }
        }
    }

    /// Asks the machine for every user's next effect. Answers with the groups by kind, the users that wait for a fence
    /// with the longest wait among them, and how many users are through.
    #[expect(clippy::type_complexity, reason = "three answers of one question, used once")]
    fn ask(
        &self,
        runs: &mut [UserRun],
    ) -> (BTreeMap<&'static str, Vec<(usize, Effect)>>, Option<(usize, Duration)>, usize) {
        let mut groups: BTreeMap<&'static str, Vec<(usize, Effect)>> = BTreeMap::new();
        let mut fenced: Option<(usize, Duration)> = None;
        let mut over = 0;
        for (index, run) in runs.iter_mut().enumerate() {
            let fence = self.desired.fence(run.plan.clusters.iter());
            match run.step(fence, self.limits.undo_for) {
                Next::Act(effect) => {
                    if let Effect::Record(record) = &effect {
                        run.issue_permits(record);
                    }
                    groups.entry(effect.name()).or_default().push((index, effect));
                }
                Next::Fence(wait) => {
                    let (users, longest) = fenced.unwrap_or_default();
                    fenced = Some((users + 1, longest.max(wait)));
                }
                Next::Over => over += 1,
            }
        }
        (groups, fenced, over)
    }

    async fn execute_groups(
        &self,
        runs: &mut [UserRun],
        groups: BTreeMap<&'static str, Vec<(usize, Effect)>>,
        effects: &mut Effects,
    ) {
        let shared = &*runs;
        let work = groups.into_iter().map(|(name, group)| async move {
            let jobs = group.into_iter().map(|(index, effect)| Job { index, run: &shared[index], effect });
            let jobs = jobs.collect::<Vec<_>>();
            let indices = jobs.iter().map(|job| job.index).collect::<Vec<_>>();
            crash::point(Side::Before, name);
            let performed = self.perform(name, jobs).await;
            crash::point(Side::After, name);
            (name, indices, performed)
        });
        let mut is_passing = false;
        for (name, indices, performed) in join_all(work).await {
            let failed = performed.iter().filter(|performed| performed.failure.is_some()).count();
            tracing::debug!(effect = name, users = indices.len(), failed, "executed");
            self.events.note(Event::Executed { effect: name, users: indices.len() });
            *effects.entry(name).or_default() += indices.len();
            for (index, performed) in indices.into_iter().zip(performed) {
                let failure = performed.failure.as_ref();
                is_passing |= failure.is_some_and(|failure| failure.disposition == Disposition::Retry);
                runs[index].note(performed);
            }
        }
        if is_passing {
            tokio::time::sleep(RETRY_PAUSE).await;
        }
    }

    /// Executes one group; one result for each job, in their order.
    fn perform<'a>(
        &'a self,
        name: &'static str,
        jobs: Vec<Job<'a>>,
    ) -> Pin<Box<dyn Future<Output = Vec<Performed>> + 'a>> {
        let (links, desired) = (self.links, self.desired);
        match jobs.first().map(|job| &job.effect) {
            None => Box::pin(async { Vec::new() }),
            Some(Effect::Material(_)) => Box::pin(async {
                let _turn = self.deriving.acquire().await.expect("never closed");
                store_effects::make_material(links, jobs).await
            }),
            Some(Effect::Import(_)) => Box::pin(async {
                let _turn = self.deriving.acquire().await.expect("never closed");
                import::import(links, jobs).await
            }),
            Some(Effect::Record(_)) => Box::pin(store_effects::write_records(links, name, jobs)),
            Some(Effect::Document(_)) => Box::pin(documents::publish(links, desired, jobs)),
            Some(Effect::Bury(_)) => Box::pin(documents::bury(links, jobs)),
            Some(Effect::Destroy(_)) => Box::pin(store_effects::destroy(links, jobs)),
            Some(Effect::Copy(_)) => Box::pin(moves::copy(links, jobs)),
            Some(Effect::Move(_)) => Box::pin(moves::relocate(links, jobs)),
            Some(Effect::Look(_)) => Box::pin(kafka_effects::look(links, jobs)),
            Some(Effect::Grant(_)) => Box::pin(access::grant(links, jobs)),
            Some(Effect::Withdraw(_)) => Box::pin(access::withdraw(links, jobs)),
            Some(Effect::Upsert { .. }) => Box::pin(kafka_effects::upsert(links, jobs)),
            Some(Effect::Empty { .. }) => Box::pin(kafka_effects::empty(links, jobs)),
            Some(Effect::Login { .. }) => Box::pin(login::prove(links, jobs)),
            Some(Effect::Deliver { .. }) => Box::pin(deliveries::deliver(links, desired, jobs)),
            Some(Effect::Restart(_)) => Box::pin(deliveries::restart(links, jobs)),
            Some(Effect::Recall { .. }) => Box::pin(deliveries::recall(links, jobs)),
        }
    }
}
