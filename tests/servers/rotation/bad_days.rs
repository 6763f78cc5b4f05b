//! Bad days in the middle of a rotation: each has one answer, and nobody is locked out meanwhile.

use std::process::{Command, Stdio};
use std::time::Duration;

use kastellan::names::Operation;
use serde_json::json;

use super::crashes::die;
use super::{Subject, Witness, alone, copy, restore, witness};
use crate::operator::{Operator, Outcome, Snapshot, Transport, cluster_document};
use crate::stack::{ClusterBuilder, KafkaVersion, Rights, unique_name, wait_until};

const FLIP: &str = "authentication: {type: scram}, rotation: {strategy: mechanism-flip, overlap: 0s}";
const HELD: &str = "authentication: {type: scram}, rotation: {strategy: mechanism-flip, overlap: 1h}";
const DUAL: &str = "authentication: {type: scram}, rotation: {strategy: dual-user, overlap: 0s}";

/// What has to come back does so within seconds, or the machine is broken.
const PATIENCE: Duration = Duration::from_secs(90);

/// Provisioned, and hours ago.
fn provisioned<'o>(
    witness: &'static Witness,
    operator: &'o Operator<'static>,
    count: usize,
    spec: &str,
) -> Vec<Subject<'o>> {
    let mut subjects: Vec<Subject<'_>> = (0..count).map(|_| Subject::declare(witness, operator, "day", spec)).collect();
    operator.apply(&[]).exits(0);
    subjects.iter_mut().for_each(|subject| subject.advance("at first"));
    subjects
}

/// Lets a rotation of one user die at a point.
fn cut(subject: &Subject<'_>, point: &str) {
    die(subject.operator, &["rotate", &subject.name, "--auto-approve"], point);
}

#[test]
fn a_user_that_is_deleted_in_the_middle_leaves_nothing_and_comes_back_with_what_was_published() {
    let witness = witness(KafkaVersion::V4_3_1);
    let operator = witness.operator();
    let points = [
        "after:material",
        "after:record-prepared",
        "after:upsert",
        "after:record-verified",
        "after:document",
        "after:record-published",
        "after:record-retiring",
        "after:empty",
    ];
    for spec in [FLIP, DUAL] {
        let mut subjects = provisioned(witness, &operator, points.len(), spec);
        for (subject, point) in subjects.iter_mut().zip(points) {
            cut(subject, point);
            subject.note(point);
            operator.remove(&subject.name);
        }
        operator.apply(&["--prune", "--allow-empty", "--max-deletes=1000"]).exits(0);
        for (subject, point) in subjects.iter().zip(points) {
            assert_eq!(subject.record()["phase"], "DELETED", "{point}");
            assert!(!subject.file.exists(), "{point}");
            subject.assert_access(point, &[]);
            subject.ledger.iter().for_each(|known| witness.assert_is_dead(known, point));
            subject.put(spec);
        }
        operator.apply(&[]).exits(0);
        for (subject, point) in subjects.iter_mut().zip(points) {
            let published = subject.newest().copy();
            subject.note(point);
            // From VERIFIED on applications may have read the pending one.
            let is_kept = published.password.ct_eq(&subject.newest().password);
            assert!(is_kept || point == "after:record-verified", "{point}: the password changed");
            let generation = subject.newest().generation;
            assert!(generation > published.generation, "{point}");
            assert_eq!(subject.record()["phase"], "IDLE", "{point}");
            witness.assert_works(subject.newest(), point);
            subject.operator.remove(&subject.name);
        }
        operator.apply(&["--prune", "--allow-empty", "--max-deletes=1000"]).exits(0);
    }
    witness.assert_nobody_else_was_refused();
}

#[test]
fn a_strategy_that_changes_in_the_middle_takes_back_what_nobody_has_and_else_goes_on_first() {
    let witness = witness(KafkaVersion::V3_9_2);
    let operator = witness.operator();
    let points = [
        "after:record-prepared",
        "after:upsert",
        "after:record-verified",
        "after:document",
        "after:record-published",
        "after:record-retiring",
        "after:record-idle",
    ];
    for (from, to) in [(FLIP, DUAL), (DUAL, FLIP)] {
        let mut subjects = provisioned(witness, &operator, points.len(), from);
        for (subject, point) in subjects.iter_mut().zip(points) {
            cut(subject, point);
            subject.note(point);
            subject.put(to);
        }
        // A change of mind that has to go on first begins again with the pass after it.
        for pass in ["once", "twice", "three times"] {
            operator.apply(&["--max-deletes=1000"]).exits(0);
            subjects.iter_mut().for_each(|subject| subject.note(pass));
        }
        operator.assert_in_step();
        for (subject, point) in subjects.iter_mut().zip(points) {
            subject.note(point);
            let allotted = subject.record()["allotted"].as_u64().unwrap();
            let generation = subject.newest().generation;
            subject.assert_at_rest(point, generation, allotted);
            let suffixes: &[&str] = if to == DUAL { &[".a", ".b"] } else { &[""] };
            let names: Vec<String> = suffixes.iter().map(|suffix| format!("{}{suffix}", subject.name)).collect();
            subject.assert_access(point, &names.iter().map(String::as_str).collect::<Vec<_>>());
            operator.remove(&subject.name);
        }
        operator.apply(&["--prune", "--allow-empty", "--max-deletes=1000"]).exits(0);
    }
}

#[test]
fn a_pending_credential_that_kafka_refuses_waits_in_an_empty_slot_and_is_sent_again() {
    let witness = witness(KafkaVersion::V4_3_1);
    let mut operator = witness.operator();
    let subjects = [FLIP, DUAL].map(|spec| {
        let name = unique_name("refused");
        (name, spec)
    });
    for (name, spec) in &subjects {
        operator.declare(name, &format!("{{clusters: [kafka], {spec}, authorization: {{acls: []}}}}"));
    }
    operator.apply(&[]).exits(0);
    let credentials = |operator: &Operator<'_>| {
        subjects.each_ref().map(|(name, _)| super::Published::of_document(&operator.credential(name)))
    };
    let before = credentials(&operator);
    // Another administrator, whom Kafka lets look and change nothing.
    let administrator = witness.cluster.add_administrator(&Rights::apply().without(Operation::Alter)).unwrap();
    let own = cluster_document("kafka", &witness.cluster, Transport::Plaintext);
    operator.write(
        "kastellan/kafka.yaml",
        &own.replace("username: kastellan,", &format!("username: {},", administrator.username)),
    );
    operator.set("KAFKA_PASSWORD_KAFKA", administrator.password_text());
    let names = subjects.each_ref().map(|(name, _)| name.as_str());
    let rotate = ["rotate", names[0], names[1], "--auto-approve"];
    operator.run(&rotate).exits(4).says("missing right: Alter on the cluster");
    operator.apply(&[]).exits(4).says("missing right: Alter on the cluster");
    for (name, known) in names.iter().zip(&before) {
        assert_eq!(operator.record(name)["phase"], "PREPARED");
        witness.assert_works(known, "refused");
    }
    operator.write("kastellan/kafka.yaml", &own);
    operator.set("KAFKA_PASSWORD_KAFKA", witness.cluster.kastellan.password_text());
    operator.apply(&[]).exits(0);
    for (after, known) in credentials(&operator).iter().zip(&before) {
        assert_eq!(after.generation, 2, "the same pending credential");
        witness.assert_works(after, "allowed again");
        witness.assert_is_dead(known, "retired");
    }
    operator.assert_in_step();
}

/// Runs the program by a shell that lets no file grow beyond a kilobyte.
fn on_a_full_disk(operator: &Operator<'_>, arguments: &[&str]) -> Outcome {
    let program = operator.command(arguments);
    let mut shell = Command::new("sh");
    shell
        .args(["-c", "trap '' XFSZ; ulimit -f 1; exec \"$@\"", "sh"])
        .arg(program.get_program())
        .args(program.get_args());
    shell.env_clear().envs(program.get_envs().filter_map(|(key, value)| Some((key, value?))));
    shell.current_dir(operator.work()).stdin(Stdio::null());
    Outcome::new(arguments, shell.output().unwrap())
}

#[test]
fn a_disk_that_is_full_in_the_middle_stops_the_rotation_where_it_is() {
    let witness = witness(KafkaVersion::V3_9_2);
    let operator = witness.operator();
    let points = ["after:record-prepared", "after:upsert", "after:record-verified", "after:record-published"];
    let mut subjects = provisioned(witness, &operator, points.len(), FLIP);
    for (subject, point) in subjects.iter_mut().zip(points) {
        cut(subject, point);
        subject.note(point);
    }
    let phases: Vec<_> = subjects.iter().map(|subject| subject.record()["phase"].clone()).collect();
    on_a_full_disk(&operator, &["apply", "--auto-approve"]).exits(4).says("File too large").says("free some space");
    for ((subject, point), phase) in subjects.iter_mut().zip(points).zip(phases) {
        subject.note(point);
        assert_eq!(subject.record()["phase"], phase, "{point}");
        subject.ledger.iter().for_each(|known| witness.assert_works(known, point));
    }
    operator.apply(&[]).exits(0);
    for (subject, point) in subjects.iter_mut().zip(points) {
        subject.assert_at_rest(point, 2, 2);
    }
    operator.assert_in_step();
}

#[test]
fn two_processes_on_one_store_rotate_once() {
    let witness = witness(KafkaVersion::V4_3_1);
    let operator = witness.operator();
    let mut subjects = provisioned(witness, &operator, 10, HELD);
    let start = || operator.command(&["rotate", "--all", "--auto-approve"]).spawn().unwrap();
    let ended = [start(), start(), start()].map(|child| Outcome::new(&["rotate"], child.wait_with_output().unwrap()));
    assert!(ended.iter().any(|outcome| outcome.code == Some(0)), "{ended:?}");
    for outcome in ended.into_iter().filter(|outcome| outcome.code != Some(0)) {
        match outcome.code {
            // Came while the other was at work, or after it.
            Some(1) => drop(outcome.says("is in use by")),
            _ => drop(outcome.exits(4).says("one rotation at a time: generation 1 was replaced already")),
        }
    }
    for subject in &mut subjects {
        subject.note("rotated");
        assert_eq!((&subject.record()["phase"], subject.newest().generation), (&json!("PUBLISHED"), 2));
        subject.ledger.iter().for_each(|known| witness.assert_works(known, "in the overlap"));
    }
}

#[test]
fn a_copy_of_the_store_that_is_used_in_the_middle_of_a_rotation_is_refused_and_finds_itself_behind() {
    let witness = witness(KafkaVersion::V3_9_2);
    let operator = witness.operator();
    let mut subject = provisioned(witness, &operator, 1, FLIP).remove(0);
    cut(&subject, "after:upsert");
    let twin = operator.work().join("twin");
    copy(&operator.store(), &twin);
    let original = operator.store().display().to_string();
    let at = |directory: &str| operator.edit("store.yaml", "directory: ", &format!("directory: {directory} # "));

    at(&twin.display().to_string());
    let before = Snapshot::of(&twin);
    for command in
        [&["apply", "--auto-approve"][..], &["rotate", &subject.name, "--auto-approve"], &["abort", &subject.name]]
    {
        operator.run(command).exits(3).says("is a copy");
    }
    before.assert_unchanged(&twin);
    at(&original);
    operator.apply(&[]).exits(0);
    subject.assert_at_rest("the original goes on", 2, 2);
    subject.let_permits_end();
    operator.run(&["rotate", &subject.name, "--auto-approve"]).exits(0);
    subject.assert_at_rest("and on", 3, 3);

    // Somebody vouches for the copy all the same: it is older than what was delivered, and touches nothing.
    at(&twin.display().to_string());
    let before = Snapshot::of(&operator.work().join("out"));
    operator.apply(&["--take-over-store"]).exits(4).says("the store was restored from an older snapshot");
    before.assert_unchanged(&operator.work().join("out"));
    witness.assert_works(subject.newest(), "untouched");
}

#[test]
fn a_store_that_is_restored_from_an_older_snapshot_changes_nothing_until_somebody_recovers() {
    let witness = witness(KafkaVersion::V4_3_1);
    let operator = witness.operator();
    let points = ["at rest", "after:record-published", "after:upsert"];
    let mut subjects = provisioned(witness, &operator, points.len(), FLIP);
    let snapshot = operator.work().join("snapshot");
    copy(&operator.store(), &snapshot);
    for (subject, point) in subjects.iter_mut().zip(points) {
        match point {
            "at rest" => drop(operator.run(&["rotate", &subject.name, "--auto-approve"]).exits(0)),
            point => cut(subject, point),
        }
        subject.note(point);
    }
    restore(&snapshot, &operator.store());

    let plan = operator.plan(&[]).exits(4);
    for (subject, point) in subjects.iter().zip(points) {
        let reports = plan.reports_of(&subject.name);
        let expected = match point {
            "after:upsert" => "credential that the record does not know",
            _ => "the store was restored from an older snapshot",
        };
        assert!(
            reports.iter().any(|(kind, text)| kind == "blocked" && text.contains(expected)),
            "{point}: {reports:?}"
        );
    }
    operator.apply(&["--prune"]).exits(4);
    let rotate = ["rotate", &subjects[0].name, "--auto-approve"];
    operator.run(&rotate).exits(4).says("kastellan recover");
    for (subject, point) in subjects.iter().zip(points) {
        // What was published is what applications have; it goes on working.
        witness.assert_works(&subject.delivered(), point);
    }
    let before: Vec<u64> = subjects.iter().map(|subject| subject.newest().generation).collect();
    for subject in &subjects {
        operator.run(&["recover", &subject.name, "--auto-approve"]).exits(0);
    }
    operator.apply(&[]).exits(0);
    for ((subject, point), before) in subjects.iter_mut().zip(points).zip(before) {
        subject.note(point);
        assert!(subject.newest().generation > before, "{point}");
        let (generation, allotted) = (subject.newest().generation, subject.record()["allotted"].as_u64().unwrap());
        subject.assert_at_rest(point, generation, allotted);
    }
    operator.assert_in_step();
}

#[test]
fn a_broker_that_is_gone_for_good_holds_a_rotation_until_it_is_unregistered() {
    let witness = alone(ClusterBuilder::new(KafkaVersion::V4_3_1).nodes(3));
    let operator = witness.operator();
    let mut subject = provisioned(witness, &operator, 1, FLIP).remove(0);
    cut(&subject, "after:upsert");
    witness.cluster.kill_node(3);
    let held = || operator.apply(&[]).exits(4);
    let is_struck = || held().stdout.contains("broker 3 is registered and does not run");
    assert!(wait_until(PATIENCE, is_struck), "{}", held());
    subject.note("held");
    assert_eq!(subject.record()["phase"], "PREPARED", "published without a proof on every broker");
    operator.run(&["verify"]).exits(0).says("generation 1  logged in on 2 brokers");
    witness.cluster.unregister(3).unwrap();
    assert!(wait_until(PATIENCE, || operator.apply(&[]).code == Some(0)), "{}", operator.apply(&[]));
    subject.note("rotated");
    let verified = operator.run(&["verify", "-o", "json"]).exits(0).json();
    assert_eq!(verified["credentials"][0]["brokers"], 2, "{verified:#}");
    assert_eq!((subject.newest().generation, &subject.record()["phase"]), (2, &json!("IDLE")));
    operator.assert_in_step();
}
