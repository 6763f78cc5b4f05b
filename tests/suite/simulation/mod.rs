//! Seeded runs of the real engine: over in-process brokers, on machines with a simulated clock and network.
//!
//! ```text
//!   drive      acts, troubles, the quiet end          watch      what must hold, looked at from outside in every tick
//!   scenario   how a world is made; what people ask   hosts      brokers, Kastellans, applications (turmoil hosts)
//!   pass       one pass: connect … execute            store      the one shared store, behind a bad network
//!   clock      time, and machines that tell it        dice       all chance of a run, from its seed
//! ```
//!
//! A run has a few acts. In each somebody asks for something (a rotation, an abort, a revocation, another strategy, another name,
//! another given password, a deletion, its undo, other clusters, a cluster suspended, other access, nothing) or changes Kafka by
//! hand, and one or two Kastellans run a few passes, while things go wrong; hours or weeks may pass in between, in no time.
//! Some users are there already and are adopted. At the end nothing goes wrong any more, and everything has to come to rest.
//!
//! What goes wrong: processes are killed, after a time or right after an effect, and stand still for seconds; two work at
//! once, on documents of before and after; brokers crash, lag, are cut off; requests to Kafka are late, lost, repeated,
//! throttled, their answers lost, their connections closed; requests to the store are lost, or work unheard, or work late,
//! and reads of records come from a follower that is one version behind; wall clocks are wrong by up to half an hour.
//!
//! What must hold, in every tick of 50 ms, on every broker: the newest published credential logs in, and so does every
//! credential that an application holds which reads new ones within the overlap (I2, I3, I4); nothing is in Kafka that is not
//! in the store (I1); published generations never fall (I7); no password serves twice, but where a deletion is undone or it is given; no
//! broker counts a failed login; a revoked credential never comes back (R5). At the end Kafka holds what records and documents
//! name and nothing else (I8), and there is nothing left to do.
//!
//! What is not simulated: TLS; the age store, whose durability has tests of its own (the store is one in memory here, behind
//! the same port); deliveries to files; other threads (derivations of keys are done in place); clocks that are wrong by more
//! than the hour within which R1 takes them to agree; requests that are later than the fence, which R1 takes not to exist;
//! stores that are restored or copied, which the model has (`tests/model`).
//!
//! Two things are known, and let pass; the seeds that show them are told. A look at a salt may meet a slot that another process
//! empties between the broker's answer to Describe and the look, and a broker counts that as a failed login: Kafka has no other
//! way to look. And a process that stops between its last look at the record and its request, or whose request is late, may give
//! access to a name whose deletion has begun meanwhile: somebody takes that away by hand here.
//!
//! `SIMULATION_SEED=… cargo test --test suite simulation::every_seed -- --nocapture` runs one seed and tells everything that
//! happened in it; `SIMULATION_SEEDS=…` says how many are run, and `SIMULATION_FIRST=…` with which to begin.

mod clock;
mod dice;
mod drive;
mod hosts;
mod pass;
mod scenario;
mod store;
mod watch;
mod world;

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use drive::{Verdict, run};

/// Seeds of an ordinary test run.
const SEEDS: u64 = 2_000;
/// Seeds within which every planted bug is found.
const SEEDS_OF_A_BUG: u64 = 300;

/// What runs one seed again, told by everything that happened in it.
const REPLAY: &str = "cargo test --test suite simulation::every_seed -- --nocapture";

/// A bug that is planted in the world, to see whether it is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bug {
    None,
    /// A write of a record wins whatever it was made from.
    StoreWithoutCompareAndSet,
    /// Applications take longer to read a new credential than the overlap lasts.
    ApplicationsReloadLate,
    /// A late request is executed later than the fence lets it.
    RequestsOutliveTheFence,
}

#[test]
fn every_seed_keeps_the_promises() {
    if let Some(seed) = number("SIMULATION_SEED") {
        let verdict = run(seed, Bug::None);
        report(seed, &verdict);
        assert!(verdict.violation.is_none(), "seed {seed}");
        return;
    }
    let seeds = number("SIMULATION_SEEDS").unwrap_or(SEEDS);
    let first = number("SIMULATION_FIRST").unwrap_or(0);
    let begun = Instant::now();
    let next = AtomicU64::new(first);
    let total = Mutex::new(Total::default());
    let broken = Mutex::new(Vec::new());
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(seed) = Some(next.fetch_add(1, Ordering::Relaxed)).filter(|&seed| seed < first + seeds) {
                    let verdict = run(seed, Bug::None);
                    total.lock().unwrap().add(seed, &verdict);
                    if let Some(violation) = verdict.violation {
                        let how = format!("SIMULATION_SEED={seed} {REPLAY}\n    {violation}\n");
                        say(&how);
                        broken.lock().unwrap().push(how);
                    }
                }
            });
        }
    });
    let total = total.into_inner().unwrap();
    say(&format!("{seeds} seeds in {} s: {}", begun.elapsed().as_secs(), total.tell()));
    let broken = broken.into_inner().unwrap().concat();
    assert!(broken.is_empty(), "seeds that break a promise, and how to see one again:\n{broken}");
}

/// What all seeds of a test run saw.
#[derive(Default)]
struct Total {
    lived: Duration,
    passed: Duration,
    /// What is known, and let pass, with the seeds that show it.
    unlucky_looks: BTreeSet<u64>,
    given_late: BTreeSet<u64>,
}

impl Total {
    fn add(&mut self, seed: u64, verdict: &Verdict) {
        self.lived += verdict.lived;
        self.passed += verdict.passed;
        self.unlucky_looks.extend((verdict.unlucky_looks > 0).then_some(seed));
        self.given_late.extend((verdict.given_late > 0).then_some(seed));
    }

    fn tell(&self) -> String {
        let days = |time: Duration| time.as_secs() / 86_400;
        let Self { lived, passed, unlucky_looks, given_late } = self;
        format!(
            "{} years of rotation, {} hours of it lived through in ticks; a look met a slot that was being emptied in \
             {unlucky_looks:?}, access was given late in {given_late:?}",
            days(*passed) / 365,
            lived.as_secs() / 3_600,
        )
    }
}

#[test]
fn a_seed_replays_to_the_letter() {
    for seed in [7, 42] {
        assert_eq!(run(seed, Bug::None).trace, run(seed, Bug::None).trace);
    }
}

#[test]
fn every_planted_bug_is_found() {
    for bug in [Bug::StoreWithoutCompareAndSet, Bug::ApplicationsReloadLate, Bug::RequestsOutliveTheFence] {
        let found = (0..SEEDS_OF_A_BUG).find_map(|seed| Some((seed, run(seed, bug).violation?)));
        say(&format!("{bug:?}: {found:?}"));
        assert!(found.is_some(), "{bug:?} is not found in {SEEDS_OF_A_BUG} seeds");
    }
}

fn number(variable: &str) -> Option<u64> {
    Some(std::env::var(variable).ok()?.parse().expect("a number"))
}

fn report(seed: u64, verdict: &Verdict) {
    say(&format!("seed {seed}: {}", verdict.shape));
    verdict.trace.iter().for_each(|line| say(line));
    say(&format!("seed {seed}: {:?}", verdict.violation));
}

#[expect(clippy::disallowed_macros, reason = "a test's own output, shown with --nocapture")]
fn say(line: &str) {
    println!("{line}");
}
