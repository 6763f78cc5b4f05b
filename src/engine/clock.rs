//! The clocks and the generator of the operating system, for the pure rooms to be handed.

use ring::rand::{SecureRandom as _, SystemRandom};

use crate::names::Now;
use crate::secret::Randomness;

/// Both clocks, now.
pub fn now() -> Now {
    Now { wall: jiff::Timestamp::now(), boot: crate::kafka::boot_now() }
}

/// The operating system's generator.
pub(super) struct System(SystemRandom);

impl System {
    pub(super) fn new() -> Self {
        Self(SystemRandom::new())
    }
}

impl Randomness for System {
    fn fill(&mut self, buffer: &mut [u8]) {
        self.0.fill(buffer).expect("the operating system's generator works, or nothing does");
    }
}

/// Random bytes for ids that are not secret.
pub fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    System::new().fill(&mut bytes);
    bytes
}
