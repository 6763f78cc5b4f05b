//! Applications on Kafka's client for Java: all in one JVM, which two cores can carry; `Clients.java` is its program.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use super::LIFE_MS;
use crate::load::applications::{Application, Habit};
use crate::stack::{Cluster, StackError};

const SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/load/clients/Clients.java");
/// The mechanism that a client uses which was built with one.
const PINNED: &str = "SCRAM-SHA-512";

/// A running JVM with one client for each application. It ends when its standard input does.
pub(super) struct Jvm {
    process: Child,
    stdin: Option<Mutex<ChildStdin>>,
    reader: Option<JoinHandle<()>>,
}

impl Jvm {
    pub(super) fn start(cluster: &Cluster, applications: Vec<Arc<Application>>) -> Result<Self, StackError> {
        let what = || |source| StackError::Io { what: "start the Java clients".into(), source };
        let log = std::fs::File::create(cluster.folder().join("clients.log")).map_err(what())?;
        let mut process = cluster
            .java_program(Path::new(SOURCE))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .map_err(what())?;
        let stdin = process.stdin.take().map(Mutex::new);
        let stdout = BufReader::new(process.stdout.take().expect("piped above"));
        let told = applications.clone();
        let read = move || stdout.lines().map_while(Result::ok).for_each(|line| note(&told, &line));
        let reader = Some(std::thread::Builder::new().spawn(read).map_err(what())?);
        let jvm = Self { process, stdin, reader };
        for Application { name, habit, file, .. } in applications.iter().map(AsRef::as_ref) {
            let follows = if habit.follows_its_file() { "follows" } else { "keeps" };
            let pinned = if *habit == Habit::PinsMechanism { PINNED } else { "-" };
            let (least, most) = LIFE_MS;
            jvm.tell(&format!("start {name} {follows} {pinned} {least} {most} {}", file.display()))?;
        }
        Ok(jvm)
    }

    pub(super) fn restart(&self, name: &str) -> Result<(), StackError> {
        self.tell(&format!("restart {name}"))
    }

    pub(super) fn stop_producing(&self) {
        // A JVM that has ended produces nothing, and its silence is found otherwise.
        let _ended = self.tell("drain");
    }

    fn tell(&self, line: &str) -> Result<(), StackError> {
        let Some(stdin) = &self.stdin else { return Ok(()) };
        let mut stdin = stdin.lock().unwrap_or_else(PoisonError::into_inner);
        writeln!(stdin, "{line}")
            .and_then(|()| stdin.flush())
            .map_err(|source| StackError::Io { what: "talk to the Java clients".into(), source })
    }
}

impl Drop for Jvm {
    fn drop(&mut self) {
        drop(self.stdin.take());
        if let Some(reader) = self.reader.take() {
            let _panicked = reader.join();
        }
        let _status = self.process.wait();
    }
}

/// Takes in one line of the program; anything else it may print is none of ours.
fn note(applications: &[Arc<Application>], line: &str) {
    let mut words = line.splitn(3, ' ');
    let (Some(news), Some(name), Some(rest)) = (words.next(), words.next(), words.next()) else { return };
    let Some(application) = applications.iter().find(|application| application.name == name) else { return };
    let (tally, number) = (&application.tally, rest.parse::<u64>().ok());
    match (news, number) {
        ("loaded", Some(_)) => tally.note_load(),
        ("moved", Some(delay_ms)) => tally.note_move(Duration::from_millis(delay_ms)),
        ("logins", Some(count)) => tally.note_logins(count),
        ("refusals", Some(count)) => tally.note_refusals(count),
        ("acknowledged", Some(sequence)) => tally.note_acknowledged(sequence),
        ("read", Some(sequence)) => tally.note_read(sequence),
        ("refused", _) => tally.note_words(rest),
        ("denied", _) => tally.note_denial(rest),
        ("died", _) => tally.note_death(rest),
        _ => {}
    }
}
