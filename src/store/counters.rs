//! What was asked of a store so far.

use std::sync::atomic::{AtomicU64, Ordering};

use super::Tally;

/// What was asked so far.
#[derive(Debug, Default)]
pub struct Counters {
    pub record_reads: AtomicU64,
    pub record_writes: AtomicU64,
    pub stats: AtomicU64,
    pub secret_reads: AtomicU64,
    pub material_writes: AtomicU64,
    pub credential_writes: AtomicU64,
    pub input_writes: AtomicU64,
}

impl Counters {
    pub fn tally(&self) -> Tally {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Tally {
            record_reads: count(&self.record_reads),
            record_writes: count(&self.record_writes),
            stats: count(&self.stats),
            secret_reads: count(&self.secret_reads),
            material_writes: count(&self.material_writes),
            credential_writes: count(&self.credential_writes),
            input_writes: count(&self.input_writes),
        }
    }
}

/// Counts a batch.
pub fn count(counter: &AtomicU64, items: usize) {
    counter.fetch_add(items as u64, Ordering::Relaxed);
}
