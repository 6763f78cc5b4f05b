//! `kill -9` before and after every effect of a rotation: nobody is locked out meanwhile, the next apply finishes with the
//! same password, and nothing is orphaned (rotation.md D5). The names are those of `credential::Effect::name`.

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt as _;

use serde_json::json;

use super::{Published, Subject, Witness, witness};
use crate::operator::{Operator, Outcome};
use crate::stack::KafkaVersion;

/// Points are spread over as many stores: most of a case is waiting for brokers, but the machine has few cores.
const LANES: usize = 3;

/// A kind of rotation that is cut off at every point.
struct Story {
    name: &'static str,
    /// `rotation` of the document.
    rotation: &'static str,
    /// What a rotation without interruption executes, in order; the second `look` of a pass is `look:2`.
    effects: &'static [&'static str],
    /// The names in Kafka, after the user's own, that have access.
    suffixes: &'static [&'static str],
}

const FLIP: Story = Story {
    name: "flip",
    rotation: "{strategy: mechanism-flip, overlap: 0s}",
    effects: &[
        "material",
        "record-prepared",
        "look",
        "upsert",
        "login",
        "record-verified",
        "document",
        "deliver",
        "record-published",
        "record-retiring",
        "look:2",
        "empty",
        "destroy",
        "record-idle",
    ],
    suffixes: &[""],
};

const DUAL: Story =
    Story { name: "dual", rotation: "{strategy: dual-user, overlap: 0s}", suffixes: &[".a", ".b"], ..FLIP };

const IN_PLACE: Story = Story {
    name: "place",
    rotation: "{strategy: in-place, allowDowntime: true}",
    effects: &[
        "material",
        "record-prepared",
        "look",
        "upsert",
        "login",
        "document",
        "deliver",
        "record-idle",
        "destroy",
        "record-idle:2",
    ],
    suffixes: &[""],
};

impl Story {
    /// The document's part; other iterations ask for a rotation.
    fn spec(&self, iterations: u32) -> String {
        format!("authentication: {{type: scram, iterations: {iterations}}}, rotation: {}", self.rotation)
    }

    fn points(&self) -> Vec<String> {
        let sides = ["before", "after"];
        self.effects.iter().flat_map(|effect| sides.map(|side| format!("{side}:{effect}"))).collect()
    }

    /// How often each effect is executed, as the outcome of `apply` tells.
    fn counts(&self) -> BTreeMap<String, u64> {
        let mut counts = BTreeMap::new();
        for effect in self.effects {
            *counts.entry(effect.split(':').next().unwrap_or_default().to_owned()).or_default() += 1;
        }
        counts
    }

    /// Whether old and new work side by side.
    fn is_without_downtime(&self) -> bool {
        self.name != IN_PLACE.name
    }
}

/// Runs an apply of one user's document that dies at `point`.
#[track_caller]
fn die(subject: &Subject<'_>, point: &str) {
    let mut arguments = vec!["apply".to_owned(), "--auto-approve".to_owned()];
    arguments.extend(subject.alone());
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let output = subject.operator.command(&arguments).env("KASTELLAN_CRASH_AT", point).output().unwrap();
    let signal = output.status.signal();
    assert_eq!(signal, Some(9), "it never came to {point}: {}", Outcome::new(&arguments, output));
}

/// What holds wherever the process died: the newest published credential logs in, and so does the one before until it is
/// being retired.
#[track_caller]
fn assert_nobody_is_locked_out(story: &Story, subject: &Subject<'_>, point: &str) {
    let record = subject.record();
    let newest = subject.newest();
    let when = format!("{}: {point}, in {}", story.name, record["phase"]);
    let is_published = |published: &Published| record["generation"] == json!(published.generation);
    if story.is_without_downtime() {
        subject.witness.assert_works(newest, &when);
        let is_retiring = record["phase"] == "RETIRING" || record["phase"] == "IDLE" && is_published(newest);
        for old in &subject.ledger[..subject.ledger.len() - 1] {
            if !is_retiring {
                subject.witness.assert_works(old, &when);
            }
        }
    } else if record["phase"] == "IDLE" && is_published(newest) {
        subject.witness.assert_works(newest, &when);
    }
}

/// One store with a user for each point: all are provisioned, each is cut off in its rotation, one apply finishes all.
fn cut_off(witness: &'static Witness, story: &Story, points: &[String]) {
    let operator = witness.operator();
    let declare = |_: &String| Subject::declare(witness, &operator, story.name, &story.spec(4096));
    let mut subjects: Vec<Subject<'_>> = points.iter().map(declare).collect();
    operator.apply(&[]).exits(0);
    for (subject, point) in subjects.iter_mut().zip(points) {
        subject.note(point);
        subject.let_permits_end();
        subject.put(&story.spec(8192));
        die(subject, point);
        subject.note(point);
        assert_nobody_is_locked_out(story, subject, point);
    }
    let before: Vec<_> = subjects.iter().map(|subject| subject.material().remove("2.age")).collect();
    operator.apply(&[]).exits(0);
    for ((subject, point), before) in subjects.iter_mut().zip(points).zip(before) {
        let when = format!("{}: {point}", story.name);
        assert!(before.is_none() || subject.material().remove("2.age") == before, "{when}: a second password was made");
        assert_eq!(before.is_none(), point == "before:material", "{when}");
        assert_settled(story, subject, &when);
    }
    operator.assert_in_step();
}

#[track_caller]
fn assert_settled(story: &Story, subject: &mut Subject<'_>, when: &str) {
    subject.assert_at_rest(when, 2);
    let names: Vec<String> = story.suffixes.iter().map(|suffix| format!("{}{suffix}", subject.name)).collect();
    subject.assert_access(when, &names.iter().map(String::as_str).collect::<Vec<_>>());
}

/// A rotation that nothing interrupts executes what is cut off elsewhere, and no more. A connection of before goes on (K5).
fn without_interruption(witness: &'static Witness, story: &Story) {
    let operator: Operator<'static> = witness.operator();
    let mut subject = Subject::declare(witness, &operator, story.name, &story.spec(4096));
    operator.apply(&[]).exits(0);
    subject.note("at first");
    subject.let_permits_end();
    witness.cluster.create_topic(&subject.name).unwrap();
    let mut connection = witness.connect(subject.newest(), &subject.name);
    subject.put(&story.spec(8192));
    let applied = operator.apply(&[]).exits(0).json();
    assert_eq!(applied["effects"], json!(story.counts()), "{}", story.name);
    assert_settled(story, &mut subject, "without interruption");
    assert_eq!(connection.produce(&subject.name, "still here").unwrap(), 0);
    operator.assert_in_step();
}

fn at_every_point(version: KafkaVersion, story: &Story) {
    let witness = witness(version);
    without_interruption(witness, story);
    let points = story.points();
    std::thread::scope(|scope| {
        for lane in 0..LANES {
            let points: Vec<String> = points.iter().skip(lane).step_by(LANES).cloned().collect();
            scope.spawn(move || cut_off(witness, story, &points));
        }
    });
    witness.assert_nobody_else_was_refused();
}

#[test]
fn a_flip_that_dies_anywhere_locks_nobody_out_and_is_finished_on_4_3_1() {
    at_every_point(KafkaVersion::V4_3_1, &FLIP);
}

#[test]
fn a_flip_that_dies_anywhere_locks_nobody_out_and_is_finished_on_3_9_2() {
    at_every_point(KafkaVersion::V3_9_2, &FLIP);
}

#[test]
fn a_dual_user_that_dies_anywhere_locks_nobody_out_and_is_finished_on_4_3_1() {
    at_every_point(KafkaVersion::V4_3_1, &DUAL);
}

#[test]
fn a_dual_user_that_dies_anywhere_locks_nobody_out_and_is_finished_on_3_9_2() {
    at_every_point(KafkaVersion::V3_9_2, &DUAL);
}

#[test]
fn a_rotation_in_place_that_dies_anywhere_is_finished_with_one_password_on_4_3_1() {
    at_every_point(KafkaVersion::V4_3_1, &IN_PLACE);
}

#[test]
fn a_rotation_in_place_that_dies_anywhere_is_finished_with_one_password_on_3_9_2() {
    at_every_point(KafkaVersion::V3_9_2, &IN_PLACE);
}
