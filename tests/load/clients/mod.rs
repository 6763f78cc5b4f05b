//! The applications' clients, of all kinds, while they run.

mod java;
mod librdkafka;
mod own;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use super::applications::{Application, Kind};
use crate::stack::{Cluster, StackError, wait_until};

/// How long a restarted application may take to its next login; its connections to a broker that is away time out first.
const RESTART_PATIENCE: Duration = Duration::from_secs(30);
/// Between two looks at a file that somebody follows.
const LOOK: Duration = Duration::from_millis(100);
/// Shortest and longest life of a connection, in milliseconds.
const LIFE_MS: (u64, u64) = (1_500, 3_500);
/// Between two records of one application.
const PACE: Duration = Duration::from_millis(100);

/// What all clients are told at once.
#[derive(Debug)]
struct Cue {
    is_running: AtomicBool,
    is_producing: AtomicBool,
}

impl Cue {
    fn is_running(&self) -> bool {
        self.is_running.load(Ordering::Relaxed)
    }

    fn is_producing(&self) -> bool {
        self.is_producing.load(Ordering::Relaxed)
    }
}

/// One application whose client runs in this process.
struct Role {
    application: Arc<Application>,
    /// How often it was told to restart.
    restarts: AtomicU64,
}

/// All clients; they end with this value.
pub struct Clients<'a> {
    applications: &'a [Arc<Application>],
    cue: Arc<Cue>,
    roles: Vec<Arc<Role>>,
    java: Option<java::Jvm>,
    threads: Vec<std::thread::JoinHandle<()>>,
}

impl<'a> Clients<'a> {
    /// Starts a client for each application; their files are there.
    ///
    /// # Errors
    /// When a JVM or a thread does not start.
    pub fn start(cluster: &Cluster, applications: &'a [Arc<Application>]) -> Result<Self, StackError> {
        let cue = Arc::new(Cue { is_running: AtomicBool::new(true), is_producing: AtomicBool::new(true) });
        let of_kind = |kind: Kind| applications.iter().filter(move |application| application.kind == kind).cloned();
        let role = |application| Arc::new(Role { application, restarts: AtomicU64::new(0) });
        let own: Vec<Arc<Role>> = of_kind(Kind::Own).map(role).collect();
        let native: Vec<Arc<Role>> = of_kind(Kind::Librdkafka).map(role).collect();
        let in_java: Vec<Arc<Application>> = of_kind(Kind::Java).collect();
        let java = if in_java.is_empty() { None } else { Some(java::Jvm::start(cluster, in_java)?) };
        let mut threads = vec![own::start(own.clone(), cue.clone())?];
        threads.extend(librdkafka::start(&native, &cue)?);
        Ok(Self { applications, cue, roles: [own, native].concat(), java, threads })
    }

    /// Waits until every application has logged in.
    ///
    /// # Errors
    /// When one has not within `patience`.
    pub fn await_first_logins(&self, patience: Duration) -> Result<(), StackError> {
        wait_until(patience, || self.applications.iter().all(|application| application.tally.logins() > 0));
        match self.applications.iter().find(|application| application.tally.logins() == 0) {
            None => Ok(()),
            Some(silent) => {
                let counts = silent.tally.counts();
                let said = counts.death.or(counts.first_words).unwrap_or_default();
                Err(refused("log in", format!("`{}` has not within {patience:?}; it said `{said}`", silent.name)))
            }
        }
    }

    /// Restarts an application, and waits until it has read its file and logged in with that.
    ///
    /// # Errors
    /// When it has not within half a minute.
    pub fn restart(&self, application: &Application) -> Result<(), StackError> {
        let loads = application.tally.loads();
        match self.roles.iter().find(|role| role.application.name == application.name) {
            Some(role) => {
                role.restarts.fetch_add(1, Ordering::Relaxed);
            }
            None => self.java.as_ref().map_or(Ok(()), |java| java.restart(&application.name))?,
        }
        let has_loaded = wait_until(RESTART_PATIENCE, || application.tally.loads() > loads);
        // Logins of the time before may still be noted after the load; the one after those is of the new credential.
        let logins = application.tally.logins() + 1;
        if has_loaded && wait_until(RESTART_PATIENCE, || application.tally.logins() > logins) {
            return Ok(());
        }
        Err(refused("restart", format!("`{}` has not within {RESTART_PATIENCE:?}", application.name)))
    }

    /// Every application, in order.
    pub const fn applications(&self) -> &'a [Arc<Application>] {
        self.applications
    }

    /// No more records are sent; they are still read.
    pub fn stop_producing(&self) {
        self.cue.is_producing.store(false, Ordering::Relaxed);
        if let Some(java) = &self.java {
            java.stop_producing();
        }
    }

    /// Ends all clients, and waits for the last of their news.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        self.cue.is_running.store(false, Ordering::Relaxed);
        drop(self.java.take());
        for thread in self.threads.drain(..) {
            let panicked = thread.join().is_err();
            assert!(!panicked || std::thread::panicking(), "a client panicked");
        }
    }
}

impl Drop for Clients<'_> {
    fn drop(&mut self) {
        self.end();
    }
}

/// The bytes that an application took from its file, and made a client of.
struct Held {
    application: Arc<Application>,
    bytes: Vec<u8>,
}

impl Held {
    /// Files are replaced by a rename, so a reader sees the old one or the new one.
    fn read(application: &Arc<Application>) -> Arc<Self> {
        let file = &application.file;
        let bytes = std::fs::read(file).unwrap_or_else(|error| panic!("`{}`: {error}", file.display()));
        Arc::new(Self { application: application.clone(), bytes })
    }

    fn text(&self) -> &str {
        std::str::from_utf8(&self.bytes).expect("delivered files are text")
    }

    /// How long ago the file was replaced, if it was.
    fn replaced_for(&self) -> Option<Duration> {
        if Self::read(&self.application).bytes == self.bytes {
            return None;
        }
        let written = std::fs::metadata(&self.application.file).and_then(|metadata| metadata.modified());
        Some(written.ok().and_then(|written| SystemTime::now().duration_since(written).ok()).unwrap_or_default())
    }

    /// A broker refused it.
    fn note_refusal(&self, words: &str) {
        self.application.tally.note_refusals(1);
        let age = self.replaced_for().map_or("current".to_owned(), |since| format!("replaced for {since:?}"));
        self.application.tally.note_words(&format!("{words} ({age})"));
    }

    /// The last client with it has ended.
    fn note_end(&self) {
        let is_moving = self.application.habit.follows_its_file();
        if let Some(since) = self.replaced_for().filter(|_| is_moving) {
            self.application.tally.note_move(since);
        }
    }
}

/// What an application has in memory, and how often it had been told to restart when it took that.
struct Loaded {
    held: Arc<Held>,
    restarts: u64,
}

impl Loaded {
    /// Reads the file at a start.
    fn at_start(role: &Role) -> Self {
        let restarts = role.restarts.load(Ordering::Relaxed);
        let held = Held::read(&role.application);
        role.application.tally.note_load();
        Self { held, restarts }
    }

    /// Reads the file again if the habit and the moment say so; whether there is something new in memory.
    fn refresh(&mut self, role: &Role) -> bool {
        let restarts = role.restarts.load(Ordering::Relaxed);
        let is_restarted = restarts != self.restarts;
        if !is_restarted && (!role.application.habit.follows_its_file() || self.held.replaced_for().is_none()) {
            return false;
        }
        *self = Self { held: Held::read(&role.application), restarts };
        role.application.tally.note_load();
        true
    }
}

fn refused(what: &str, answer: String) -> StackError {
    StackError::Refused { what: what.to_owned(), answer }
}
