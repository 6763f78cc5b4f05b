//! A stolen credential: how soon a connection that is open loses access, and that it never has any again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::json;

use super::{Published, Subject, Witness, alone, witness};
use crate::operator::Operator;
use crate::stack::{ClusterBuilder, KafkaVersion, pause};

const FLIP: &str = "authentication: {type: scram}, rotation: {strategy: mechanism-flip, overlap: 1h}";

/// Access is lost long before; this is a broken machine's time.
const LOSS_PATIENCE: Duration = Duration::from_secs(30);

/// What became of a thief.
struct Haul {
    /// When its last record was taken.
    last_success: Instant,
    /// Records that were taken.
    records: usize,
    /// Attempts in vain, by whatever way.
    failures: usize,
}

/// Somebody who holds a credential and a connection, and does not give up: when the connection is cut, it logs in again.
struct Thief {
    stop: Arc<AtomicBool>,
    work: JoinHandle<Haul>,
}

impl Thief {
    fn begin(witness: &'static Witness, credential: &Published, topic: &str) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let mut session = Some(witness.connect(credential, topic));
        let credential = credential.copy();
        let (is_over, topic) = (stop.clone(), topic.to_owned());
        let work = std::thread::spawn(move || {
            let mut haul = Haul { last_success: Instant::now(), records: 0, failures: 0 };
            while !is_over.load(Ordering::SeqCst) {
                let answer = session.as_mut().map(|open| open.produce(&topic, "loot"));
                let taken = matches!(answer, Some(Ok(0)));
                if let Some(Err(_)) = answer {
                    session = None;
                }
                if taken {
                    (haul.last_success, haul.records) = (Instant::now(), haul.records + 1);
                    continue;
                }
                haul.failures += 1;
                if session.is_none() {
                    session = witness.try_to_connect(&credential);
                    pause(Duration::from_millis(200));
                }
                pause(Duration::from_millis(1));
            }
            haul
        });
        Self { stop, work }
    }

    fn end(self) -> Haul {
        self.stop.store(true, Ordering::SeqCst);
        self.work.join().unwrap()
    }
}

/// A user with a topic, whose credential works.
fn to_be_stolen<'o>(witness: &'static Witness, operator: &'o Operator<'static>) -> Subject<'o> {
    let mut subject = Subject::declare(witness, operator, "stolen", FLIP);
    operator.apply(&[]).exits(0);
    subject.advance("at first");
    witness.cluster.create_topic(&subject.name).unwrap();
    subject
}

/// What a revocation took, for people who read the output of the test.
#[track_caller]
fn tell(what: &str, asked: Instant, done: Instant, haul: &Haul) {
    let (loss, command) = (haul.last_success.saturating_duration_since(asked), done - asked);
    let line = format!(
        "{what}: access lost {} ms after the command began, which took {} ms; {} records, then {} attempts in vain\n",
        loss.as_millis(),
        command.as_millis(),
        haul.records,
        haul.failures
    );
    std::io::Write::write_all(&mut std::io::stderr(), line.as_bytes()).unwrap();
    assert!(loss < LOSS_PATIENCE && haul.records > 0 && haul.failures > 0, "{line}");
}

#[test]
fn without_reauthentication_access_comes_back_after_a_restart_and_a_thief_never_does() {
    let witness = alone(ClusterBuilder::new(KafkaVersion::V4_3_1).restarted());
    let operator = witness.operator();
    let mut subject = to_be_stolen(witness, &operator);
    let name = subject.name.clone();
    let thief = Thief::begin(witness, subject.newest(), &name);
    pause(Duration::from_millis(500));

    let asked = Instant::now();
    operator.run(&["rotate", &name, "--revoke-now", "--auto-approve"]).exits(4).says("restart the brokers");
    let done = Instant::now();
    subject.note("revoked");
    // The fresh credential logs in at once, and has no access: with it the thief's connection would come to life.
    witness.assert_works(subject.newest(), "revoked");
    assert_ne!(witness.connect(subject.newest(), &name).produce(&name, "too early").unwrap(), 0);
    operator.apply(&[]).exits(4).says("restart the brokers");
    subject.assert_access("waits", &[]);

    witness.cluster.stop_node(1);
    witness.cluster.start_node(1).unwrap();
    operator.run(&["ack", &name]).exits(0);
    subject.assert_at_rest("given back", 2, 2);
    subject.assert_access("given back", &[&name]);
    assert_eq!(witness.connect(subject.newest(), &name).produce(&name, "back").unwrap(), 0);
    pause(Duration::from_secs(3));
    tell("without re-authentication", asked, done, &thief.end());
    operator.assert_in_step();
}

#[test]
fn with_reauthentication_access_comes_back_by_itself_and_a_thief_never_does() {
    let seconds = 3;
    let builder = ClusterBuilder::new(KafkaVersion::V4_3_1);
    let witness = alone(builder.property("connections.max.reauth.ms", &(seconds * 1000).to_string()));
    let operator = witness.operator();
    let mut subject = to_be_stolen(witness, &operator);
    let name = subject.name.clone();
    let thief = Thief::begin(witness, subject.newest(), &name);
    pause(Duration::from_millis(500));

    let asked = Instant::now();
    operator.run(&["rotate", &name, "--revoke-now", "--auto-approve"]).exits(4).says("access comes back at");
    let done = Instant::now();
    subject.note("revoked");
    operator.apply(&[]).exits(4);
    subject.assert_access("waits", &[]);
    pause(Duration::from_secs(seconds + 6));
    operator.apply(&[]).exits(0);
    subject.assert_at_rest("given back", 2, 2);
    subject.assert_access("given back", &[&name]);
    assert_eq!(witness.connect(subject.newest(), &name).produce(&name, "back").unwrap(), 0);
    pause(Duration::from_secs(3));
    let haul = thief.end();
    tell("with re-authentication", asked, done, &haul);
    operator.assert_in_step();
}

/// Who made a delegation token logs in with it after the password is gone, however often connections are asked for a new login.
#[test]
fn where_brokers_issue_delegation_tokens_access_comes_back_when_somebody_says_that_none_is_left() {
    let seconds = 1;
    let builder = ClusterBuilder::new(KafkaVersion::V3_9_2).property("delegation.token.secret.key", "of-the-brokers");
    let witness = alone(builder.property("connections.max.reauth.ms", &(seconds * 1000).to_string()));
    let operator = witness.operator();
    let mut subject = to_be_stolen(witness, &operator);
    let name = subject.name.clone();
    operator.run(&["rotate", &name, "--revoke-now", "--auto-approve"]).exits(4).says("delegation tokens");
    pause(Duration::from_secs(seconds + 6));
    operator.apply(&[]).exits(4).says("delegation tokens");
    subject.note("revoked");
    subject.assert_access("waits", &[]);
    operator.run(&["ack", &name]).exits(0);
    subject.assert_at_rest("given back", 2, 2);
    subject.assert_access("given back", &[&name]);
    operator.assert_in_step();
}

#[test]
fn under_another_name_access_comes_back_at_once_and_a_thief_has_none() {
    let witness = witness(KafkaVersion::V4_3_1);
    let operator = witness.operator();
    let mut subject = to_be_stolen(witness, &operator);
    let name = subject.name.clone();
    let command = ["rotate", &name, "--revoke-now", "--new-principal", "--auto-approve"];
    operator.run(&command).exits(4).says("give the document another `username`");
    assert_eq!(subject.record()["phase"], json!("IDLE"));
    let thief = Thief::begin(witness, subject.newest(), &name);
    pause(Duration::from_millis(500));

    let asked = Instant::now();
    subject.put(&format!("username: {name}.new, {FLIP}"));
    operator.run(&command).exits(0);
    let done = Instant::now();
    subject.note("moved");
    assert_eq!(witness.connect(subject.newest(), &name).produce(&name, "under the new name").unwrap(), 0);
    pause(Duration::from_secs(3));
    tell("under another name", asked, done, &thief.end());
    subject.assert_at_rest("moved", 2, 2);
    subject.assert_access("moved", &[&format!("{name}.new")]);
    operator.assert_in_step();
}
