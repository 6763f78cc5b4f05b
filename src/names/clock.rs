//! Instants that are handed in.

use std::time::Duration;

/// A reading of CLOCK_BOOTTIME: time since boot, counting suspend, unmoved by changes of the wall clock (R1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BootInstant(pub Duration);

impl BootInstant {
    /// The instant `duration` later.
    pub fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(duration))
    }

    /// Time from `earlier` to this instant; zero if it is not earlier.
    pub fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

/// The two clocks a decision may look at, read once at its edge.
#[derive(Debug, Clone, Copy)]
pub struct Now {
    /// Wall clock, UTC.
    pub wall: jiff::Timestamp,
    /// Clock of this machine's uptime.
    pub boot: BootInstant,
}
