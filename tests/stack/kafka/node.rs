//! One node of a cluster: its folder, its addresses, its process.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::{Java, Listener};
use crate::stack::ports::Ports;
use crate::stack::process::Server;
use crate::stack::{StackError, wait_until};

/// Two shared cores start three nodes in six seconds; twenty times that is a broken machine.
const START_PATIENCE: Duration = Duration::from_secs(120);
/// A controlled shutdown moves leaders away first; without a majority it can only give up.
const STOP_PATIENCE: Duration = Duration::from_secs(20);
/// A broker that writes a snapshot each second takes a few of them on a busy machine.
const SNAPSHOT_PATIENCE: Duration = Duration::from_secs(60);
/// What a node logs once all its parts run.
const STARTED: &str = "Kafka Server started";
/// What a broker logs for each login or TLS handshake that it refuses (`kafka.md` §4).
const FAILED_AUTHENTICATION: &str = "Failed authentication with";
const LOG_LINES_SHOWN: usize = 25;

/// Where a node listens; the same for its whole life.
#[derive(Debug, Clone)]
pub struct Addresses {
    /// KRaft.
    pub controller: SocketAddr,
    /// Brokers among themselves, and the stack: plaintext, everyone is the super user `User:ANONYMOUS`.
    pub internal: SocketAddr,
    listeners: BTreeMap<Listener, SocketAddr>,
}

impl Addresses {
    /// Takes what one node needs from the cluster's block.
    pub fn take(ports: &mut Ports) -> Self {
        let listeners = Listener::ALL.into_iter().map(|listener| (listener, ports.next())).collect();
        Self { controller: ports.next(), internal: ports.next(), listeners }
    }

    /// Where clients of `listener` connect.
    pub fn of(&self, listener: Listener) -> SocketAddr {
        self.listeners[&listener]
    }
}

/// One node.
pub struct Node {
    /// 1 to 3.
    pub id: i32,
    /// Where it listens.
    pub addresses: Addresses,
    /// Its files, with its data in `data/`.
    pub folder: PathBuf,
    java: Java,
    server: Mutex<Option<Server>>,
}

impl Node {
    /// A node that is not running yet, with `server.properties` and `logging.properties` in `folder`.
    pub fn new(id: i32, addresses: Addresses, folder: PathBuf, java: Java) -> Self {
        Self { id, addresses, folder, java, server: Mutex::new(None) }
    }

    /// Starts the process, if it does not run already; [`Node::await_start`] waits until it is up.
    ///
    /// Returns how often the node had come up before.
    pub fn begin_start(&self) -> Result<usize, StackError> {
        let mut server = self.server.lock().unwrap_or_else(PoisonError::into_inner);
        if server.as_mut().is_some_and(Server::is_running) {
            return Ok(self.starts().saturating_sub(1));
        }
        let before = self.starts();
        let logging = super::properties::logging_flag(self.java.version, &self.folder.join("logging.properties"));
        let properties = self.folder.join("server.properties");
        let launcher = self.java.launcher.display().to_string();
        let classpath = self.java.classpath();
        // The cheap compiler only and the serial collector: for seconds of life, they are faster and smaller.
        let command = [
            &launcher,
            "-Xmx384m",
            "-Xms128m",
            "-XX:+UseSerialGC",
            "-XX:TieredStopAtLevel=1",
            "-XX:-UsePerfData",
            &logging,
            "-cp",
            &classpath,
            "kafka.Kafka",
            &properties.display().to_string(),
        ];
        *server = Some(Server::start(&command, &[], &self.folder.join("output.log"))?);
        Ok(before)
    }

    /// Waits until the node has come up once more than `before`.
    pub fn await_start(&self, before: usize) -> Result<(), StackError> {
        let up = wait_until(START_PATIENCE, || self.starts() > before || !self.is_running());
        if up && self.starts() > before {
            return Ok(());
        }
        let server = format!("Kafka node {}", self.id);
        Err(StackError::NotStarted { server, patience: START_PATIENCE, log: self.end_of_log() })
    }

    /// Whether its process lives.
    pub fn is_running(&self) -> bool {
        self.server.lock().unwrap_or_else(PoisonError::into_inner).as_mut().is_some_and(Server::is_running)
    }

    /// Its process id while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.server.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(Server::pid)
    }

    /// Shuts it down in order.
    pub fn stop(&self) {
        let server = self.server.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(server) = server {
            server.terminate(STOP_PATIENCE);
        }
    }

    /// Kills it.
    pub fn kill(&self) {
        let server = self.server.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(server) = server {
            server.kill();
        }
    }

    /// What it logged of each authentication that it has refused since its folder was made: a local time, and words.
    pub fn failed_authentications(&self) -> Vec<String> {
        lines(&self.log_file(), FAILED_AUTHENTICATION)
    }

    /// What it logs; appended to by every start.
    pub fn log_file(&self) -> PathBuf {
        self.folder.join("server.log")
    }

    /// Waits until what the broker knows now is in a snapshot of the metadata.
    pub fn await_snapshot(&self) -> Result<(), StackError> {
        // Two more: the first may have begun before.
        for _ in 0..2 {
            let before = self.newest_snapshot();
            if !wait_until(SNAPSHOT_PATIENCE, || self.newest_snapshot() > before) {
                let server = format!("snapshots of Kafka node {}", self.id);
                return Err(StackError::NotStarted { server, patience: SNAPSHOT_PATIENCE, log: self.end_of_log() });
            }
        }
        Ok(())
    }

    /// Its name, which begins with the offset that it ends at.
    fn newest_snapshot(&self) -> Option<OsString> {
        let files = std::fs::read_dir(self.folder.join("data/__cluster_metadata-0")).ok()?;
        let names = files.filter_map(|file| Some(file.ok()?.file_name()));
        names.filter(|name| Path::new(name).extension().is_some_and(|extension| extension == "checkpoint")).max()
    }

    fn starts(&self) -> usize {
        lines(&self.log_file(), STARTED).len()
    }

    fn end_of_log(&self) -> String {
        let text = ["output.log", "server.log"]
            .map(|name| std::fs::read_to_string(self.folder.join(name)).unwrap_or_default())
            .concat();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(LOG_LINES_SHOWN)..].join("\n")
    }
}

/// Lines of a file that contain `text`; none while the file does not exist.
fn lines(file: &Path, text: &str) -> Vec<String> {
    let bytes = std::fs::read(file).unwrap_or_default();
    String::from_utf8_lossy(&bytes).lines().filter(|line| line.contains(text)).map(str::to_owned).collect()
}
