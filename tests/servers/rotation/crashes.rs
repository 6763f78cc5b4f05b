//! `kill -9` before and after every effect of everything that changes a live credential: nobody is locked out meanwhile, the
//! next apply finishes with the same password, and nothing is orphaned (rotation.md D5). The names are those of
//! `credential::Effect::name`.

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt as _;

use serde_json::json;

use super::story::{Deed, Story};
use super::{Published, Subject, Witness, copy, restore, witness};
use crate::operator::{Operator, Outcome};
use crate::setting::{Scene, Setting};
use crate::stack::KafkaVersion;

/// Points are spread over as many stores: most of a case is waiting for brokers, but the machine has few cores.
const LANES: usize = 3;

/// Runs a command that dies at `point`.
#[track_caller]
pub fn die(operator: &Operator<'_>, command: &[&str], point: &str) {
    let output = operator.command(command).env("KASTELLAN_CRASH_AT", point).output().unwrap();
    let signal = output.status.signal();
    assert_eq!(signal, Some(9), "it never came to {point}: {}", Outcome::new(command, output));
}

/// Somebody at a setting. Refused logins are counted here, where those on purpose are known.
fn enter(setting: Setting, witness: &'static Witness) -> Scene<'static> {
    let mut scene = setting.enter(&witness.cluster);
    scene.operator.stop_watching();
    scene
}

/// Users of one store that have come to where the deed begins.
fn subjects<'o>(
    witness: &'static Witness,
    Scene { operator, namespace }: &'o Scene<'static>,
    story: &Story,
    count: usize,
) -> Vec<Subject<'o>> {
    let declare = |_| Subject::declare_in(namespace.as_ref(), witness, operator, story.name, &story.spec());
    let mut subjects: Vec<Subject<'_>> = (0..count).map(declare).collect();
    operator.apply(&[]).exits(0);
    let names: Vec<String> = subjects.iter().map(|subject| subject.name.clone()).collect();
    subjects.iter_mut().for_each(|subject| subject.advance("provisioned"));
    let all = |more: &[&'static str]| {
        let names = names.iter().map(String::as_str);
        ["rotate"].into_iter().chain(names).chain(["--auto-approve"]).chain(more.iter().copied()).collect::<Vec<_>>()
    };
    match story.deed {
        Deed::Change | Deed::Revoke | Deed::Move => {}
        Deed::Acknowledge => drop(operator.run(&all(&[])).exits(0)),
        // What is in one wave dies in one wave.
        Deed::Abort => die(operator, &all(&[]), "after:upsert"),
        Deed::Recover => {
            let snapshot = operator.work().join("snapshot");
            copy(&operator.store(), &snapshot);
            operator.run(&all(&[])).exits(0);
            subjects.iter_mut().for_each(|subject| subject.note("rotated"));
            restore(&snapshot, &operator.store());
        }
        Deed::GiveBack => drop(operator.run(&all(&["--revoke-now", "--max-deletes=1000"])).exits(4)),
    }
    subjects.iter_mut().for_each(|subject| subject.advance("prepared"));
    subjects
}

/// What holds wherever the process died: the newest published credential logs in, and so does the one before until it is
/// being retired.
#[track_caller]
fn assert_nobody_is_locked_out(story: &Story, subject: &Subject<'_>, point: &str) {
    let record = subject.record();
    let newest = subject.newest();
    let when = format!("{}: {point}, in {}", story.name, record["phase"]);
    let is_published = |published: &Published| record["generation"] == json!(published.generation);
    if story.deed == Deed::Recover {
        // What applications have, whatever the restored store says.
        return subject.witness.assert_works(&subject.delivered(), &when);
    }
    let is_over = record["phase"] == "IDLE" && is_published(newest);
    if is_over || story.is_without_downtime() {
        subject.witness.assert_works(newest, &when);
    }
    if story.is_without_downtime() && record["phase"] != "RETIRING" && !is_over {
        for old in &subject.ledger[..subject.ledger.len() - 1] {
            subject.witness.assert_works(old, &when);
        }
    }
}

/// One store with a user for each point: each is cut off there, and one apply finishes all.
fn cut_off(witness: &'static Witness, setting: Setting, story: &Story, points: &[String]) {
    let scene = enter(setting, witness);
    let operator = &scene.operator;
    let mut subjects = subjects(witness, &scene, story, points.len());
    for (subject, point) in subjects.iter_mut().zip(points) {
        let command = story.begin(subject);
        die(operator, &command.iter().map(String::as_str).collect::<Vec<_>>(), point);
        subject.note(point);
        assert_nobody_is_locked_out(story, subject, point);
    }
    let number = story.generation();
    let made: Vec<_> = subjects.iter().map(|subject| subject.material().remove(&number)).collect();
    // What was asked for by hand and not written down yet has to be asked for again.
    let is_forgotten = |point: &String| *point == format!("before:{}", story.effects[0]);
    for (subject, _) in subjects.iter().zip(points).filter(|(_, point)| is_forgotten(point)) {
        let command = story.begin(subject);
        operator.run(&command.iter().map(String::as_str).collect::<Vec<_>>()).exits(story.ends_with());
    }
    operator.apply(&["--max-deletes=1000"]).exits(story.ends_with());
    for ((subject, point), made) in subjects.iter_mut().zip(points).zip(made) {
        let when = format!("{}: {point}", story.name);
        let is_kept = made.is_none() || subject.material().remove(&number) == made;
        assert!(is_kept, "{when}: a second password was made");
        story.assert_settled(subject, &when);
    }
    if story.ends_with() == 0 {
        operator.assert_in_step();
    }
}

/// What nothing interrupts executes what is cut off elsewhere, and no more. A connection of before goes on (K5), where access
/// does.
fn without_interruption(witness: &'static Witness, setting: Setting, story: &Story) {
    let scene = enter(setting, witness);
    let operator = &scene.operator;
    let mut subject = subjects(witness, &scene, story, 1).remove(0);
    witness.cluster.create_topic(&subject.name).unwrap();
    let mut connection = witness.connect(subject.newest(), &subject.name);
    let mut command = story.begin(&subject);
    command.push("--output=json".to_owned());
    let applied = operator.run(&command.iter().map(String::as_str).collect::<Vec<_>>()).exits(story.ends_with());
    assert_eq!(applied.json()["effects"], json!(counts(story)), "{}: {applied}", story.name);
    story.assert_settled(&mut subject, "without interruption");
    let answer = connection.produce(&subject.name, "still here").unwrap();
    let has_access = !matches!(story.deed, Deed::Revoke | Deed::Move);
    assert_eq!(answer == 0, has_access, "{}: error {answer}", story.name);
}

/// How often each effect is executed, as the outcome of a command tells.
fn counts(story: &Story) -> BTreeMap<&'static str, u64> {
    let mut counts = BTreeMap::new();
    for effect in story.effects {
        *counts.entry(effect.split(':').next().unwrap_or_default()).or_default() += 1;
    }
    counts
}

fn at_every_point(version: KafkaVersion, setting: Setting, story: &Story) {
    let witness = witness(version);
    without_interruption(witness, setting, story);
    let sides = ["before", "after"];
    let points: Vec<String> =
        story.effects.iter().flat_map(|effect| sides.map(|side| format!("{side}:{effect}"))).collect();
    std::thread::scope(|scope| {
        for lane in 0..LANES {
            let points: Vec<String> = points.iter().skip(lane).step_by(LANES).cloned().collect();
            scope.spawn(move || cut_off(witness, setting, story, &points));
        }
    });
    witness.assert_nobody_else_was_refused();
}

/// One test for each version.
macro_rules! on_both_versions {
    ($story:ident: $newest:ident, $oldest:ident) => {
        #[test]
        fn $newest() {
            at_every_point(KafkaVersion::V4_3_1, Setting::Local, &Story::$story);
        }

        #[test]
        fn $oldest() {
            at_every_point(KafkaVersion::V3_9_2, Setting::Local, &Story::$story);
        }
    };
}

on_both_versions!(FLIP:
    a_flip_that_dies_anywhere_locks_nobody_out_and_is_finished_on_4_3_1,
    a_flip_that_dies_anywhere_locks_nobody_out_and_is_finished_on_3_9_2);
on_both_versions!(DUAL:
    a_dual_user_that_dies_anywhere_locks_nobody_out_and_is_finished_on_4_3_1,
    a_dual_user_that_dies_anywhere_locks_nobody_out_and_is_finished_on_3_9_2);
on_both_versions!(IN_PLACE:
    a_rotation_in_place_that_dies_anywhere_is_finished_with_one_password_on_4_3_1,
    a_rotation_in_place_that_dies_anywhere_is_finished_with_one_password_on_3_9_2);
on_both_versions!(ACKNOWLEDGE:
    a_retirement_that_dies_anywhere_locks_nobody_out_and_is_finished_on_4_3_1,
    a_retirement_that_dies_anywhere_locks_nobody_out_and_is_finished_on_3_9_2);
on_both_versions!(ABORT:
    an_abort_that_dies_anywhere_locks_nobody_out_and_is_finished_on_4_3_1,
    an_abort_that_dies_anywhere_locks_nobody_out_and_is_finished_on_3_9_2);
on_both_versions!(REVOKE:
    a_revocation_that_dies_anywhere_is_finished_and_its_credential_never_works_again_on_4_3_1,
    a_revocation_that_dies_anywhere_is_finished_and_its_credential_never_works_again_on_3_9_2);
on_both_versions!(GIVE_BACK:
    access_whose_return_dies_anywhere_comes_back_by_the_next_apply_on_4_3_1,
    access_whose_return_dies_anywhere_comes_back_by_the_next_apply_on_3_9_2);
on_both_versions!(RECOVER:
    a_recovery_that_dies_anywhere_locks_nobody_out_and_is_finished_on_4_3_1,
    a_recovery_that_dies_anywhere_locks_nobody_out_and_is_finished_on_3_9_2);
on_both_versions!(MOVE:
    a_revocation_to_another_name_that_dies_anywhere_is_finished_on_4_3_1,
    a_revocation_to_another_name_that_dies_anywhere_is_finished_on_3_9_2);

/// What is different with a store in Vault is the writing of material, records and documents, and the destruction of
/// material; with Secrets it is the publication. Both are the same on every version of Kafka, and in most stories.
#[test]
fn a_flip_on_vault_and_kubernetes_that_dies_anywhere_locks_nobody_out_and_is_finished() {
    at_every_point(KafkaVersion::V4_3_1, Setting::Servers, &Story::FLIP);
}

#[test]
fn a_revocation_on_vault_and_kubernetes_that_dies_anywhere_is_finished_and_its_credential_never_works_again() {
    at_every_point(KafkaVersion::V3_9_2, Setting::Servers, &Story::REVOKE);
}
