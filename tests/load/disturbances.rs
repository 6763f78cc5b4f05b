//! What goes wrong during a run, on purpose.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::chance::Chance;
use super::journal::Journal;
use crate::stack::{Cluster, StackError, pause};

/// Between two restarts of brokers in a long run.
const BETWEEN_RESTARTS: Duration = Duration::from_secs(180);
/// How long a broker is away.
const AWAY: Duration = Duration::from_secs(2);
/// Before this much time is left no broker is restarted, so that the clients have it back for their last records.
const QUIET_END: Duration = Duration::from_secs(10);
const STEP: Duration = Duration::from_millis(100);

/// Counts of what was done.
#[derive(Debug, Default)]
pub struct Disturbances {
    kills: AtomicU64,
    restarts: AtomicU64,
    /// What was done, and what the rotating process was doing.
    pub journal: Journal,
}

impl Disturbances {
    /// How often the rotating process was killed.
    pub fn kills(&self) -> u64 {
        self.kills.load(Ordering::Relaxed)
    }

    /// How often a broker was restarted.
    pub fn restarts(&self) -> u64 {
        self.restarts.load(Ordering::Relaxed)
    }

    /// The rotating process was killed.
    pub fn note_kill(&self) {
        self.journal.note("the rotating process is killed");
        self.kills.fetch_add(1, Ordering::Relaxed);
    }

    /// Restarts brokers of a cluster that can spare one: the first about the middle of a short run, others every few
    /// minutes.
    ///
    /// # Errors
    /// When a broker does not come back.
    pub fn restart_brokers(&self, cluster: &Cluster, until: Instant, mut chance: Chance) -> Result<(), StackError> {
        let brokers = cluster.pids().len() as u64;
        if brokers < 3 {
            return Ok(());
        }
        let duration = until.saturating_duration_since(Instant::now()).min(BETWEEN_RESTARTS);
        loop {
            let at = Instant::now() + chance.between(duration * 3 / 10, duration * 6 / 10);
            if at + QUIET_END > until {
                return Ok(());
            }
            while Instant::now() < at {
                pause(STEP);
            }
            let node = i32::try_from(1 + chance.below(brokers)).expect("at most three");
            self.journal.note(format!("broker {node} is stopped"));
            cluster.stop_node(node);
            pause(AWAY);
            self.journal.note(format!("broker {node} is started"));
            cluster.start_node(node)?;
            self.journal.note(format!("broker {node} is there again"));
            self.restarts.fetch_add(1, Ordering::Relaxed);
            let next = Instant::now() + BETWEEN_RESTARTS / 2;
            while Instant::now() < next.min(until) {
                pause(STEP);
            }
        }
    }
}
