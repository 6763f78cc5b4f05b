//! Simulated time, and the machines that tell it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::BoxFuture;
use kastellan::host::{Host, Stream};
use kastellan::names::{BootInstant, HostPort, Now};
use turmoil::net::TcpStream;

use super::dice::Dice;

/// When every run begins, by a right clock: 2026-03-01, in seconds.
const BEGIN_SECS: u64 = 1_772_323_200;

/// The time of a run. What the hosts live through, in ticks of the network, and what is skipped while everything rests.
#[derive(Debug, Default)]
pub struct WorldClock {
    lived_us: AtomicU64,
    rested_us: AtomicU64,
    skipped_us: AtomicU64,
}

impl WorldClock {
    /// Notes, between two ticks, how far the network is.
    pub fn reach(&self, lived: Duration) {
        self.lived_us.store(micros(lived), Ordering::Relaxed);
    }

    /// Lets a short time pass, in which brokers apply what they know, and nothing else happens.
    pub fn rest(&self, time: Duration) {
        self.rested_us.fetch_add(micros(time), Ordering::Relaxed);
    }

    /// Lets a long time pass in which nothing happens.
    pub fn skip(&self, time: Duration) {
        self.skipped_us.fetch_add(micros(time), Ordering::Relaxed);
    }

    /// Time that was not skipped: what brokers measure their lags with.
    pub fn lived(&self) -> Duration {
        let ticked = || Duration::from_micros(self.lived_us.load(Ordering::Relaxed));
        turmoil::sim_elapsed().unwrap_or_else(ticked) + Duration::from_micros(self.rested_us.load(Ordering::Relaxed))
    }

    /// Time since the run began.
    pub fn now(&self) -> Duration {
        self.lived() + Duration::from_micros(self.skipped_us.load(Ordering::Relaxed))
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).expect("shorter than half a million years")
}

/// The machine of one host. It outlives the processes on it.
pub struct HostMachine {
    clock: Arc<WorldClock>,
    booted: Duration,
    wall_offset_secs: Mutex<i64>,
    dice: Mutex<Dice>,
}

impl HostMachine {
    pub fn new(clock: Arc<WorldClock>, mut dice: Dice) -> Self {
        let booted = dice.millis(1_000, 40_000_000);
        Self { clock, booted, wall_offset_secs: Mutex::default(), dice: Mutex::new(dice) }
    }

    /// Sets the wall clock wrong, or right again.
    pub fn set_wall_offset(&self, seconds: i64) {
        *self.wall_offset_secs.lock().expect("no panic while it is held") = seconds;
    }
}

impl Host for HostMachine {
    fn now(&self) -> Now {
        let now = self.clock.now();
        let offset = *self.wall_offset_secs.lock().expect("no panic while it is held");
        let right = jiff::Timestamp::UNIX_EPOCH + Duration::from_secs(BEGIN_SECS) + now;
        Now { wall: right + jiff::SignedDuration::from_secs(offset), boot: BootInstant(self.booted + now) }
    }

    fn fill(&self, buffer: &mut [u8]) {
        let mut dice = self.dice.lock().expect("no panic while it is held");
        for chunk in buffer.chunks_mut(8) {
            chunk.copy_from_slice(&dice.next().to_le_bytes()[..chunk.len()]);
        }
    }

    fn connect<'a>(&'a self, server: &'a HostPort) -> BoxFuture<'a, std::io::Result<Box<dyn Stream>>> {
        Box::pin(async move {
            let stream = TcpStream::connect((&*server.host, server.port)).await?;
            Ok(Box::new(stream) as Box<dyn Stream>)
        })
    }
}
