//! What all hosts of a run share.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use futures_util::future::FutureExt as _;
use kastellan::names::{ClusterName, NamespacedName};
use kastellan::plan::Asked;
use kastellan::store::{MemoryStore, RecordWrite, StoreReader as _};

use super::super::support::broker::InProcessCluster;
use super::Bug;
use super::clock::{HostMachine, WorldClock};
use super::dice::Dice;
use super::pass::PassEnd;
use super::scenario::Declared;
use super::watch::Watch;

/// Hosts that Kastellan runs on.
pub const KASTELLANS: usize = 2;

/// How much goes wrong, each in a thousand times.
#[derive(Debug, Clone, Copy, Default)]
pub struct Faults {
    /// Requests to the store of which nothing is heard: a third never arrives, a third works, a third works late.
    pub store_requests_lost: usize,
    /// Reads of records that a follower answers.
    pub stale_reads: usize,
    /// Passes that are killed.
    pub kills: usize,
    /// Passes that are frozen for a while.
    pub freezes: usize,
    /// Faults of requests to Kafka, for each tick.
    pub requests: usize,
    /// Partitions, slow links and crashes of brokers, for each tick.
    pub network: usize,
}

/// One pass that a host is to run.
pub struct Job {
    pub declared: Arc<Declared>,
    pub asked: Option<Asked>,
    pub kill: Option<Kill>,
    /// After how long it stands still, and for how long.
    pub freeze: Option<(Duration, Duration)>,
}

/// When a process is killed.
#[derive(Debug, Clone, Copy)]
pub enum Kill {
    After(Duration),
    /// After so many groups of effects.
    AfterEffects(usize),
}

pub struct World {
    pub clock: Arc<WorldClock>,
    pub bug: Bug,
    pub store: MemoryStore,
    pub clusters: BTreeMap<ClusterName, InProcessCluster>,
    pub machines: Vec<Arc<HostMachine>>,
    dice: Mutex<(Dice, Faults)>,
    watch: Mutex<Watch>,
    agenda: Mutex<Agenda>,
    trace: Mutex<Vec<String>>,
    stragglers: AtomicUsize,
}

#[derive(Default)]
struct Agenda {
    jobs: BTreeMap<usize, VecDeque<Job>>,
    live: BTreeMap<usize, Arc<Declared>>,
    last: Option<PassEnd>,
    logins: usize,
    logging_in: bool,
}

impl World {
    pub fn new(
        clock: Arc<WorldClock>,
        bug: Bug,
        store: MemoryStore,
        clusters: BTreeMap<ClusterName, InProcessCluster>,
        mut dice: Dice,
        watch: Watch,
    ) -> Self {
        let machine = |_| Arc::new(HostMachine::new(clock.clone(), dice.fork()));
        // One more for the applications.
        let machines = (0..=KASTELLANS).map(machine).collect();
        Self {
            clock,
            bug,
            store,
            clusters,
            machines,
            dice: Mutex::new((dice, Faults::default())),
            watch: Mutex::new(watch),
            agenda: Mutex::default(),
            trace: Mutex::default(),
            stragglers: AtomicUsize::new(0),
        }
    }

    pub fn with_dice<T>(&self, throw: impl FnOnce(&mut Dice, &Faults) -> T) -> T {
        let mut dice = self.dice.lock().expect("no panic while it is held");
        let (dice, faults) = &mut *dice;
        throw(dice, faults)
    }

    pub fn set_faults(&self, faults: Faults) {
        self.dice.lock().expect("no panic while it is held").1 = faults;
    }

    pub fn watch(&self) -> MutexGuard<'_, Watch> {
        self.watch.lock().expect("no panic while it is held")
    }

    fn agenda(&self) -> MutexGuard<'_, Agenda> {
        self.agenda.lock().expect("no panic while it is held")
    }

    /// Writes down what happened, for whoever reads why a seed failed.
    pub fn note(&self, what: impl FnOnce() -> String) {
        let line = format!("{:>14.3?} {}", self.clock.now(), what());
        self.trace.lock().expect("no panic while it is held").push(line);
    }

    pub fn trace(&self) -> Vec<String> {
        self.trace.lock().expect("no panic while it is held").clone()
    }

    /// Writes to the store that are on their way.
    pub fn stragglers(&self) -> usize {
        self.stragglers.load(Ordering::Relaxed)
    }

    pub fn begin_write(&self) {
        self.stragglers.fetch_add(1, Ordering::Relaxed);
    }

    pub fn end_write(&self) {
        self.stragglers.fetch_sub(1, Ordering::Relaxed);
    }

    pub fn give(&self, host: usize, job: Job) {
        self.agenda().jobs.entry(host).or_default().push_back(job);
    }

    /// The next job of a host, which is at work from now on.
    pub fn take_job(&self, host: usize) -> Option<Job> {
        let mut agenda = self.agenda();
        let job = agenda.jobs.get_mut(&host)?.pop_front()?;
        agenda.live.insert(host, job.declared.clone());
        Some(job)
    }

    /// A host is through with its job; `None` where it was killed.
    pub fn end_job(&self, host: usize, end: Option<PassEnd>) {
        let mut agenda = self.agenda();
        agenda.live.remove(&host);
        agenda.last = end;
    }

    /// How the last pass ended.
    pub fn last_end(&self) -> Option<PassEnd> {
        self.agenda().last.clone()
    }

    /// Whether nobody is at work, and nobody has anything to do.
    pub fn is_at_rest(&self) -> bool {
        let agenda = self.agenda();
        agenda.live.is_empty() && agenda.jobs.values().all(VecDeque::is_empty) && !agenda.logging_in
    }

    /// The documents that passes work with, now.
    pub fn live_documents(&self) -> Vec<Arc<Declared>> {
        self.agenda().live.values().cloned().collect()
    }

    /// Lets applications log in so many times.
    pub fn allow_logins(&self, logins: usize) {
        self.agenda().logins = logins;
    }

    /// Whether an application may log in now; it is at it from now on.
    pub fn begin_login(&self) -> bool {
        let mut agenda = self.agenda();
        agenda.logging_in = agenda.logins > 0;
        agenda.logins = agenda.logins.saturating_sub(1);
        agenda.logging_in
    }

    pub fn end_login(&self) {
        self.agenda().logging_in = false;
    }

    /// What a store without compare-and-set would make of a write.
    pub fn loosen(&self, store: &MemoryStore, mut writes: Vec<RecordWrite>) -> Vec<RecordWrite> {
        if self.bug == Bug::StoreWithoutCompareAndSet {
            for write in &mut writes {
                let users: [NamespacedName; 1] = [write.record.user.clone()];
                let read = store.read_records(&users).now_or_never().and_then(|mut read| read.pop());
                write.expected = read.and_then(Result::ok).flatten().map(|found| found.version);
            }
        }
        writes
    }
}
