//! Real servers for tests, benches and the demo: gets them by package name, starts them on 127.0.0.1, and leaves nothing.
//!
//! ```text
//! shared(version, nodes) ─┐
//!                         ├─> kafka::Cluster ── process::Server (one per node, dies with us)
//! ClusterBuilder::start ──┘        │     └───── kafka::wire     (what happens behind Kastellan's back, and what is true)
//!                                  └─────────── kafka::tools    (the Java client and its console tools)
//! ```
//!
//! What is downloaded or built is kept below [`programs::cache_folder`], outside the checkout. A server's data lives in a
//! temporary folder of mode 0700. Servers die and their data goes also when the test process panics or is killed. This is
//! an oracle: it uses Kastellan's names and key derivation, and none of its rooms above them. It makes no fixtures.
//!
//! A binary takes it in at its root, as `stack`: `#[path = "…/stack/mod.rs"] mod stack;`. `tests/servers` uses all of it, so
//! that what nobody needs is found; others say `#[expect(dead_code, reason = "…")]` there.

pub mod age;
pub mod certificates;
pub mod kafka;
pub mod kubernetes;
pub mod ports;
pub mod process;
pub mod programs;
pub mod vault;

use std::path::PathBuf;
use std::time::{Duration, Instant};

pub use kafka::{Cluster, ClusterBuilder, Credentials, KafkaVersion, Listener, Rights, quiet, shared, unique_name};

/// What went wrong while a server was fetched, started or asked.
#[derive(Debug, thiserror::Error)]
pub enum StackError {
    /// A program that cannot be built here is missing.
    #[error("`{program}` was not found; install it with `{install}`")]
    MissingProgram {
        /// E.g. `mvn`.
        program: &'static str,
        /// The command that installs it.
        install: &'static str,
    },
    /// A file, folder, socket or process refused.
    #[error("failed to {what}")]
    Io {
        /// What was tried, e.g. "write `/tmp/x/server.properties`".
        what: String,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// A program ended with an error.
    #[error("`{program}` failed; its output:\n{output}")]
    Program {
        /// E.g. `mvn`.
        program: String,
        /// What it printed; for programs that print secrets, where that was put instead.
        output: String,
    },
    /// A server ended, or was not up in time.
    #[error("{server} did not come up within {patience:?}; the end of its log:\n{log}")]
    NotStarted {
        /// E.g. "Kafka node 2".
        server: String,
        /// How long we waited.
        patience: Duration,
        /// The last lines it logged.
        log: String,
    },
    /// Every block of ports is taken.
    #[error("no free block of {count} ports on 127.0.0.1")]
    NoPorts {
        /// How many were asked for.
        count: u16,
    },
    /// A broker refused a request of the stack's own, or answered nonsense.
    #[error("Kafka refused to {what}: {answer}")]
    Refused {
        /// What was asked.
        what: String,
        /// The error code and its text, or what was wrong with the answer.
        answer: String,
    },
}

impl StackError {
    /// Wraps an error of the system: `map_err(StackError::io("read `x`"))`.
    fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }

    /// The error with everything below it, for a panic message.
    fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut source = std::error::Error::source(self);
        while let Some(error) = source {
            text.push_str(&format!(": {error}"));
            source = error.source();
        }
        text
    }
}

/// Asks again and again until `condition` says so, at most for `patience`; whether it did.
pub fn wait_until(patience: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + patience;
    loop {
        if condition() {
            return true;
        }
        if Instant::now() >= deadline {
            return false;
        }
        pause(Duration::from_millis(20));
    }
}

/// Lets time pass: real servers have no clock that we could move.
#[expect(clippy::disallowed_methods, reason = "the stack is synchronous; no runtime's worker is blocked")]
pub fn pause(time: Duration) {
    std::thread::sleep(time);
}

/// Writes a file that only its owner can read, because most of what servers are given is secret.
pub fn write_private(path: PathBuf, text: &str) -> Result<PathBuf, StackError> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(StackError::io(format!("write `{}`", path.display())))?;
    Ok(path)
}
