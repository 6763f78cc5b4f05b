//! What one application went through.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::journal::Journal;

/// A record was acknowledged by Kafka.
const ACKNOWLEDGED: u8 = 1;
/// A record was read.
const READ: u8 = 2;

/// Counts of one application; several threads add to them.
#[derive(Debug, Default)]
pub struct Tally {
    counts: Mutex<Counts>,
    /// What became of its credentials.
    pub journal: Journal,
}

/// The counts at one time.
#[derive(Debug, Clone, Default)]
pub struct Counts {
    /// Credentials that replaced another one and are in force alone.
    pub rotations: u64,
    /// How often its file was read to be used.
    pub loads: u64,
    /// The longest that a client which follows its file still had a credential after that was replaced there.
    pub slowest_move: Duration,
    /// Logins that succeeded.
    pub logins: u64,
    /// Logins that a broker refused.
    pub refusals: u64,
    /// Requests that a broker denied for want of a right, though the login was good.
    pub denials: u64,
    /// What the client said of the first refusal or denial.
    pub first_words: Option<String>,
    /// Why the client gave up.
    pub death: Option<String>,
    /// Records that Kafka acknowledged.
    pub acknowledged: u64,
    /// Records that were read, each counted once.
    pub read: u64,
    /// Records that were acknowledged and not read.
    pub lost: u64,
    /// By sequence number: [`ACKNOWLEDGED`], [`READ`].
    records: Vec<u8>,
}

impl Tally {
    /// The counts now.
    pub fn counts(&self) -> Counts {
        self.with(|counts| counts.clone())
    }

    /// One more rotation is complete.
    pub fn note_rotation(&self) {
        self.journal.note("has another credential");
        self.with(|counts| counts.rotations += 1);
    }

    /// The file was read to be used.
    pub fn note_load(&self) {
        self.journal.note("has read its credential");
        self.with(|counts| counts.loads += 1);
    }

    /// The last client with a credential has ended, so long after that was replaced.
    pub fn note_move(&self, delay: Duration) {
        self.journal.note(format!("has ended a client whose credential was replaced {delay:.1?} ago"));
        self.with(|counts| counts.slowest_move = counts.slowest_move.max(delay));
    }

    /// Logins succeeded.
    pub fn note_logins(&self, count: u64) {
        self.with(|counts| counts.logins += count);
    }

    /// Logins were refused.
    pub fn note_refusals(&self, count: u64) {
        self.with(|counts| counts.refusals += count);
    }

    /// A client's own words about a refusal; the first are kept.
    pub fn note_words(&self, words: &str) {
        self.journal.note(format!("is refused: {words}"));
        self.with(|counts| {
            counts.first_words.get_or_insert_with(|| words.to_owned());
        });
    }

    /// A request was denied.
    pub fn note_denial(&self, words: &str) {
        self.with(|counts| {
            counts.denials += 1;
            counts.first_words.get_or_insert_with(|| words.to_owned());
        });
    }

    /// The client gave up.
    pub fn note_death(&self, why: &str) {
        self.with(|counts| counts.death = Some(why.to_owned()));
    }

    /// Kafka acknowledged a record.
    pub fn note_acknowledged(&self, sequence: u64) {
        self.with(|counts| {
            if counts.mark(sequence, ACKNOWLEDGED) {
                counts.acknowledged += 1;
                counts.lost += u64::from(!counts.is_marked(sequence, READ));
            }
        });
    }

    /// A record was read, perhaps not for the first time.
    pub fn note_read(&self, sequence: u64) {
        self.with(|counts| {
            if counts.mark(sequence, READ) {
                counts.read += 1;
                counts.lost -= u64::from(counts.is_marked(sequence, ACKNOWLEDGED));
            }
        });
    }

    /// Rotations that are complete so far.
    pub fn rotations(&self) -> u64 {
        self.with(|counts| counts.rotations)
    }

    /// How often the file was read to be used.
    pub fn loads(&self) -> u64 {
        self.with(|counts| counts.loads)
    }

    /// Logins that succeeded so far.
    pub fn logins(&self) -> u64 {
        self.with(|counts| counts.logins)
    }

    /// Records that were acknowledged and not read so far.
    pub fn lost(&self) -> u64 {
        self.with(|counts| counts.lost)
    }

    fn with<T>(&self, look: impl FnOnce(&mut Counts) -> T) -> T {
        look(&mut self.counts.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Counts {
    /// Marks a record; whether it was not marked before.
    fn mark(&mut self, sequence: u64, mark: u8) -> bool {
        let index = usize::try_from(sequence).expect("a run has fewer records than memory has bytes");
        if self.records.len() <= index {
            self.records.resize(index + 1, 0);
        }
        let is_new = self.records[index] & mark == 0;
        self.records[index] |= mark;
        is_new
    }

    fn is_marked(&self, sequence: u64, mark: u8) -> bool {
        usize::try_from(sequence).ok().and_then(|index| self.records.get(index)).is_some_and(|marks| marks & mark != 0)
    }
}
