//! What begins a rotation, and what ends it: on demand, by a change of the document, by an adoption, by an acknowledgement.

use std::time::Duration;

use kastellan::names::Mechanism;
use serde_json::json;

use super::{Published, Subject, witness};
use crate::operator::Snapshot;
use crate::stack::{Credentials, KafkaVersion, pause};

const SHA_256: Mechanism = Mechanism::ScramSha256;
const SHA_512: Mechanism = Mechanism::ScramSha512;

/// A document's `authentication` and `rotation`.
fn flips(rotation: &str) -> String {
    format!("authentication: {{type: scram}}, rotation: {{strategy: mechanism-flip{rotation}}}")
}

#[test]
fn flips_one_after_the_other_go_to_and_fro_behind_their_fences() {
    let witness = witness(KafkaVersion::V4_3_1);
    let operator = witness.operator();
    let mut subject = Subject::declare(witness, &operator, "often", &flips(", overlap: 0s"));
    operator.apply(&[]).exits(0);
    subject.note("at first");
    for generation in 2..5 {
        operator.run(&["rotate", &subject.name, "--auto-approve"]).exits(0);
        subject.assert_at_rest("rotated", generation, generation);
        let expected = if generation % 2 == 0 { SHA_256 } else { SHA_512 };
        assert_eq!(subject.newest().mechanism, expected);
    }
    operator.assert_in_step();
    witness.assert_nobody_else_was_refused();
}

#[test]
fn both_credentials_work_for_the_overlap_and_meanwhile_nothing_else_begins() {
    let witness = witness(KafkaVersion::V3_9_2);
    let operator = witness.operator();
    let mut subject = Subject::declare(witness, &operator, "overlap", &flips(", overlap: 1h"));
    operator.apply(&[]).exits(0);
    subject.advance("at first");
    operator.run(&["rotate", &subject.name, "--auto-approve"]).exits(0);
    subject.note("rotated");
    let before = Snapshot::of(&operator.store());
    operator.apply(&[]).exits(0);
    operator
        .run(&["rotate", &subject.name, "--auto-approve"])
        .exits(4)
        .says("one rotation at a time: generation 1 was replaced already");
    operator.run(&["abort", &subject.name]).exits(4).says("a rotation only goes forward");
    before.assert_unchanged(&operator.store());
    subject.ledger.iter().for_each(|known| witness.assert_works(known, "in the overlap"));
    assert_eq!(subject.record()["phase"], "PUBLISHED");

    // The documents of now decide, not those of the rotation's beginning.
    subject.put(&flips(", overlap: 1s"));
    pause(Duration::from_secs(1));
    operator.apply(&[]).exits(0);
    subject.assert_at_rest("the overlap is over", 2, 2);
    operator.assert_in_step();
}

#[test]
fn an_acknowledgement_names_the_generation_it_means_and_waits_for_the_overlap() {
    let witness = witness(KafkaVersion::V3_9_2);
    let operator = witness.operator();
    let spec = flips(", overlap: 1h, confirm: acknowledgement");
    let mut subject = Subject::declare(witness, &operator, "confirmed", &spec);
    operator.apply(&[]).exits(0);
    subject.advance("at first");
    operator.run(&["ack", &subject.name]).exits(4).says("nothing waits for an acknowledgement");
    operator.run(&["rotate", &subject.name, "--auto-approve"]).exits(0);
    subject.note("rotated");
    operator.run(&["ack", &subject.name, "--generation", "1"]).exits(4).says("the published generation is 2, not 1");
    operator.run(&["ack", &subject.name, "--generation", "2"]).exits(0);
    assert_eq!(subject.record()["phase"], "CONFIRMED");
    subject.ledger.iter().for_each(|known| witness.assert_works(known, "acknowledged in the overlap"));
    subject.put(&flips(", confirm: acknowledgement"));
    operator.apply(&[]).exits(0);
    subject.assert_at_rest("without an overlap", 2, 2);
}

#[test]
fn an_adopted_credential_is_the_first_one_to_be_retired() {
    let witness = witness(KafkaVersion::V4_3_1);
    let operator = witness.operator();
    let mut subject = Subject::declare(witness, &operator, "legacy", &format!("adopt: true, {}", flips("")));
    let legacy = Credentials::random(&subject.name);
    witness.cluster.set_password(&subject.name, SHA_512, &legacy.password).unwrap();
    let legacy = Published { generation: 0, username: legacy.username, mechanism: SHA_512, password: legacy.password };
    operator.apply(&[]).exits(0);
    subject.note("adopted");
    witness.assert_works(&legacy, "adopted");
    witness.assert_works(subject.newest(), "adopted");
    operator.run(&["ack", &subject.name]).exits(0);
    subject.ledger.insert(0, legacy);
    subject.assert_at_rest("acknowledged", 1, 1);
    operator.assert_in_step();
}

#[test]
fn a_given_password_that_changes_at_its_source_is_rotated_to() {
    let witness = witness(KafkaVersion::V3_9_2);
    let operator = witness.operator();
    let spec = "authentication: {type: scram, password: {valueFrom: {store: {path: imports/legacy, key: password}}}}, \
                rotation: {strategy: mechanism-flip, overlap: 0s}";
    let passwords = ["first", "second"].map(Credentials::random);
    let give = |index: usize| {
        operator.run_with_input(&["store", "put", "imports/legacy"], passwords[index].password_text()).exits(0);
    };
    give(0);
    let mut subject = Subject::declare(witness, &operator, "given", spec);
    operator.apply(&[]).exits(0);
    subject.advance("at first");
    for (generation, index) in [(2, 1), (3, 0)] {
        give(index);
        let plan = operator.plan(&["--detailed-exitcode"]).exits(2);
        assert!(plan.stdout.contains("the given password changed at its source"), "{plan}");
        operator.apply(&[]).exits(0);
        subject.note("changed");
        assert!(subject.newest().password.ct_eq(&passwords[index].password));
        assert_eq!((subject.newest().generation, subject.record()["phase"].clone()), (generation, json!("IDLE")));
        witness.assert_works(subject.newest(), "changed");
        subject.let_permits_end();
    }
    operator.assert_in_step();
    // Back to a password of its own.
    subject.put(&flips(", overlap: 0s"));
    operator.apply(&[]).exits(0);
    subject.note("drawn");
    witness.assert_works(subject.newest(), "drawn");
    assert!(passwords.iter().all(|given| !given.password.ct_eq(&subject.newest().password)));
}

#[test]
fn a_user_that_is_renamed_has_access_under_both_names_until_the_old_one_is_retired() {
    let witness = witness(KafkaVersion::V4_3_1);
    let operator = witness.operator();
    let mut subject = Subject::declare(witness, &operator, "renamed", &flips(""));
    operator.apply(&[]).exits(0);
    subject.advance("at first");
    let name = subject.name.clone();
    let new = format!("{name}.new");
    witness.cluster.create_topic(&name).unwrap();
    subject.put(&format!("username: {new}, {}", flips("")));
    let actions = operator.plan(&[]).exits(0).actions_of(&name);
    assert!(actions.iter().any(|line| line.contains("the user name changes from")), "{actions:?}");
    operator.apply(&[]).exits(0);
    subject.note("renamed");
    assert_eq!(subject.newest().username, new);
    for known in &subject.ledger {
        witness.assert_works(known, "renamed");
        assert_eq!(witness.connect(known, &name).produce(&name, "under both").unwrap(), 0, "{known}");
    }
    subject.assert_access("renamed", &[&name, &new]);
    operator.run(&["ack", &name]).exits(0);
    subject.assert_at_rest("acknowledged", 2, 2);
    subject.assert_access("acknowledged", &[&new]);
    assert!(witness.cluster.quotas_of(&name).unwrap().is_empty());
    operator.assert_in_step();
}

#[test]
fn strategy_mechanism_and_iterations_change_by_rotations() {
    let witness = witness(KafkaVersion::V3_9_2);
    let operator = witness.operator();
    let mut subject = Subject::declare(witness, &operator, "strategy", &flips(", overlap: 0s"));
    operator.apply(&[]).exits(0);
    let name = subject.name.clone();
    let (a, b) = (format!("{name}.a"), format!("{name}.b"));
    let spec = |kind: &str, rotation: &str| format!("authentication: {{type: {kind}}}, rotation: {{{rotation}}}");
    let dual = "strategy: dual-user, overlap: 0s";
    let in_place = "strategy: in-place, allowDowntime: true";
    let changes: [(String, &[&str]); 5] = [
        (spec("scram", dual), &[&a, &b]),
        (spec("scram-sha-512", dual), &[&a, &b]),
        (spec("scram-sha-256", dual), &[&a, &b]),
        (flips(", overlap: 0s"), &[&name]),
        (spec("scram, iterations: 8192", in_place), &[&name]),
    ];
    let mut generation = 1;
    for (spec, names) in changes {
        subject.advance("before");
        let mechanism = subject.newest().mechanism;
        subject.put(&spec);
        operator.apply(&[]).exits(0);
        // A change that the credential in use satisfies needs none.
        let stays = spec.contains("scram-sha-512") && mechanism == SHA_512;
        generation += u64::from(!stays);
        subject.assert_at_rest(&spec, generation, generation);
        subject.assert_access(&spec, names);
        operator.assert_in_step();
    }
    assert_eq!(subject.record()["active"]["iterations"], 8192);
    witness.assert_nobody_else_was_refused();
}

#[test]
fn what_is_due_by_its_age_rotates_by_apply() {
    let witness = witness(KafkaVersion::V4_3_1);
    let operator = witness.operator();
    let mut subject = Subject::declare(witness, &operator, "due", &flips(", every: 30d, overlap: 0s"));
    operator.apply(&[]).exits(0);
    operator.assert_in_step();
    subject.advance("at first");
    subject.put(&flips(", every: 1s, overlap: 0s"));
    pause(Duration::from_secs(1));
    let actions = operator.plan(&[]).exits(0).actions_of(&subject.name);
    assert!(actions.iter().any(|line| line.contains("due every 1s")), "{actions:?}");
    operator.apply(&[]).exits(0);
    subject.put(&flips(", every: 30d, overlap: 0s"));
    subject.assert_at_rest("due", 2, 2);
    operator.assert_in_step();
}

#[test]
fn a_rotation_that_is_taken_back_burns_its_number_behind_the_fence() {
    let witness = witness(KafkaVersion::V4_3_1);
    let operator = witness.operator();
    let mut subject = Subject::declare(witness, &operator, "aborted", &flips(", overlap: 0s"));
    operator.apply(&[]).exits(0);
    subject.advance("at first");
    let name = subject.name.clone();
    let rotate = ["rotate", &name, "--auto-approve"];
    super::crashes::die(&operator, &rotate, "after:upsert");
    assert_eq!(witness.cluster.mechanisms_of(&subject.name).unwrap(), Mechanism::ALL.into());
    operator.run(&["abort", &subject.name]).exits(0).says("until no earlier request can still be on its way");
    subject.assert_at_rest("aborted", 1, 2);
    operator.run(&["abort", &subject.name]).exits(4).says("no rotation is under way");
    operator.run(&rotate).exits(0);
    subject.assert_at_rest("rotated after it", 3, 3);
}
