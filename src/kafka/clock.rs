//! The clock that permits are checked on.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use crate::names::BootInstant;

/// Now on `CLOCK_BOOTTIME`, which goes on while the machine sleeps: a permit may not outlive a closed lid (R1).
pub fn boot_now() -> BootInstant {
    let time = clock_gettime(ClockId::Boottime);
    let secs = u64::try_from(time.tv_sec).expect("CLOCK_BOOTTIME starts at zero");
    let nanos = u32::try_from(time.tv_nsec).expect("nanoseconds are below one second");
    BootInstant(Duration::new(secs, nanos))
}
