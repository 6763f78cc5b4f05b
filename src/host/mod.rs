//! What a process has from the host under it: two clocks, a generator, the network, threads for work that blocks.
//! And the stand-in for all four at once, in which a simulation runs the very same engine.
//!
//! A stand-in holds for one future and for everything that is polled inside of it ([`on`]), by a task-local. It is not a
//! parameter, because a clock is read at the last line before a permit runs out, far below whatever could hand it down, and
//! because a process has one host: a clock that is simulated beside a network that is not would prove nothing. So nothing
//! outside of tests ever sees another host than the real one, and no type carries one.
//!
//! Whoever starts a task of its own inside a stand-in leaves it: use [`run_blocking`], or stay in the future. Intervals and
//! deadlines are tokio's (`tokio::time::Instant`), which a simulation pauses; `std::time::Instant` would run through it.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use ring::rand::{SecureRandom as _, SystemRandom};
use rustix::time::{ClockId, clock_gettime};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use crate::names::{BootInstant, HostPort, Now};
use crate::secret::Randomness;

/// Any stream of bytes.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// How the end of a connection is told to the other side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Close {
    /// In order.
    Orderly,
    /// By a reset, which leaves no local port waiting (TIME_WAIT).
    Reset,
}

/// A host that stands in for the real one.
pub trait Host: Send + Sync {
    /// Both clocks, now.
    fn now(&self) -> Now;

    /// Fills `buffer` with random bytes.
    fn fill(&self, buffer: &mut [u8]);

    /// Opens a connection.
    fn connect<'a>(&'a self, server: &'a HostPort) -> BoxFuture<'a, std::io::Result<Box<dyn Stream>>>;
}

tokio::task_local! {
    static STAND_IN: Arc<dyn Host>;
}

/// Runs `work` on a host that stands in for the real one.
pub async fn on<F: Future>(host: Arc<dyn Host>, work: F) -> F::Output {
    STAND_IN.scope(host, work).await
}

/// The host that stands in for the real one; `None` outside of [`on`].
fn stand_in() -> Option<Arc<dyn Host>> {
    STAND_IN.try_with(Arc::clone).ok()
}

/// Both clocks, now.
pub fn now() -> Now {
    match stand_in() {
        Some(host) => host.now(),
        None => Now { wall: jiff::Timestamp::now(), boot: boot_clock() },
    }
}

/// Now on `CLOCK_BOOTTIME`, which goes on while the machine sleeps: a permit may not outlive a closed lid (R1).
pub fn boot_now() -> BootInstant {
    stand_in().map_or_else(boot_clock, |host| host.now().boot)
}

fn boot_clock() -> BootInstant {
    let time = clock_gettime(ClockId::Boottime);
    let secs = u64::try_from(time.tv_sec).expect("CLOCK_BOOTTIME starts at zero");
    let nanos = u32::try_from(time.tv_nsec).expect("nanoseconds are below one second");
    BootInstant(Duration::new(secs, nanos))
}

/// The operating system's generator.
#[derive(Debug, Clone, Copy)]
pub struct System;

impl Randomness for System {
    fn fill(&mut self, buffer: &mut [u8]) {
        match stand_in() {
            Some(host) => host.fill(buffer),
            None => {
                SystemRandom::new().fill(buffer).expect("the operating system's generator works, or nothing does");
            }
        }
    }
}

/// Random bytes for nonces, and for ids that are not secret.
pub fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    System.fill(&mut bytes);
    bytes
}

/// Opens a connection; what is written to it leaves at once.
pub async fn connect(server: &HostPort, close: Close) -> std::io::Result<Box<dyn Stream>> {
    if let Some(host) = stand_in() {
        return host.connect(server).await;
    }
    let tcp = TcpStream::connect((&*server.host, server.port)).await?;
    tcp.set_nodelay(true)?;
    match close {
        Close::Orderly => {}
        Close::Reset => tcp.set_zero_linger()?,
    }
    Ok(Box::new(tcp))
}

/// Begins work that blocks where it may, at once; the future waits for its end. The work is completed even if nobody waits
/// any more. A simulation has one thread and no time to lose: there the work is done before this returns.
pub fn run_blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> impl Future<Output = T> {
    let begun = match stand_in() {
        Some(_) => Begun::Done(work()),
        None => Begun::Elsewhere(tokio::task::spawn_blocking(work)),
    };
    async move {
        match begun {
            Begun::Done(result) => result,
            Begun::Elsewhere(handle) => match handle.await {
                Ok(result) => result,
                Err(error) => std::panic::resume_unwind(error.into_panic()),
            },
        }
    }
}

/// Applies work that computes to every item, a share of them for each core; results in the order of the items.
pub async fn on_all_cores<T, R>(items: Vec<T>, work: fn(T) -> R) -> Vec<R>
where
    T: Send + 'static,
    R: Send + 'static,
{
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let share = items.len().div_ceil(cores).max(1);
    let mut results = Vec::with_capacity(items.len());
    let mut items = items.into_iter().peekable();
    let mut shares = Vec::new();
    while items.peek().is_some() {
        let part = items.by_ref().take(share).collect::<Vec<_>>();
        shares.push(run_blocking(move || part.into_iter().map(work).collect::<Vec<_>>()));
    }
    for share in shares {
        results.extend(share.await);
    }
    results
}

enum Begun<T> {
    Done(T),
    Elsewhere(tokio::task::JoinHandle<T>),
}
