//! One credential in several clusters: a rotation waits where nobody is harmed, a cluster that comes catches up, one that
//! leaves holds nothing, and what it is owed is paid when it is back.

use std::time::Duration;

use kastellan::names::Mechanism;
use serde_json::json;

use super::{Published, Subject, Witness, alone, witness};
use crate::operator::{Operator, Transport};
use crate::stack::kafka::principal;
use crate::stack::{Cluster, ClusterBuilder, KafkaVersion, wait_until};

const FLIP: &str = "authentication: {type: scram}, rotation: {strategy: mechanism-flip, overlap: 0s}";

/// A broker reads its credentials within a second of its start, or the machine is broken.
const PATIENCE: Duration = Duration::from_secs(30);

/// A second cluster of one node, which can be stopped, beside the witness.
fn beside(witness: &'static Witness) -> (&'static Witness, Operator<'static>) {
    let other = alone(ClusterBuilder::new(KafkaVersion::V3_9_2).restarted());
    let clusters = [("kafka", &witness.cluster, Transport::Plaintext), ("dr", &other.cluster, Transport::Plaintext)];
    let mut operator = Operator::with(&clusters);
    operator.stop_watching();
    (other, operator)
}

/// Starts its only node again, and waits until it knows whom it may let in.
#[track_caller]
fn bring_back(dr: &Witness) {
    dr.cluster.start_node(1).unwrap();
    let kastellan = &dr.cluster.kastellan;
    let own = Published {
        generation: 0,
        username: kastellan.username.clone(),
        mechanism: Mechanism::ScramSha512,
        password: kastellan.password.duplicate(),
    };
    assert!(wait_until(PATIENCE, || !dr.accepts(&own).is_empty()));
}

/// What a cluster has of a user: credentials and ACLs.
fn has(cluster: &Cluster, name: &str) -> (usize, usize) {
    (cluster.mechanisms_of(name).unwrap().len(), cluster.acls_of(&principal(name)).unwrap().len())
}

#[test]
fn a_cluster_that_is_down_holds_a_rotation_where_nobody_is_harmed_and_one_that_left_is_owed() {
    let witness = witness(KafkaVersion::V4_3_1);
    let (dr, operator) = beside(witness);
    let mut subject = Subject::declare(witness, &operator, "both", FLIP);
    subject.put_on("kafka, dr", FLIP);
    operator.apply(&[]).exits(0);
    subject.advance("on both");
    dr.assert_works(subject.newest(), "on both");
    let name = subject.name.clone();

    // Down before it begins: it does not begin. Down in the middle: it stops there.
    dr.cluster.stop_node(1);
    operator.run(&["rotate", &name, "--auto-approve"]).exits(4).says("dr: ");
    assert_eq!(subject.record()["phase"], "IDLE");
    bring_back(dr);
    super::crashes::die(&operator, &["rotate", &name, "--auto-approve"], "after:record-prepared");
    dr.cluster.stop_node(1);
    let waits = operator.apply(&[]).exits(4);
    assert!(
        waits.reports_of(&name).iter().any(|(kind, text)| kind == "waiting" && text.starts_with("dr: ")),
        "{waits}"
    );
    subject.note("held");
    assert_eq!((subject.record()["phase"].clone(), subject.ledger.len()), (json!("PREPARED"), 1));
    witness.assert_works(subject.newest(), "held");
    bring_back(dr);
    operator.apply(&[]).exits(0);
    subject.assert_at_rest("back", 2, 2);
    dr.assert_works(subject.newest(), "back");
    dr.assert_is_dead(&subject.ledger[0], "back");
    operator.assert_in_step();

    // Removed while it is down: it holds nothing up, and what it is owed is paid when it is back.
    subject.let_permits_end();
    dr.cluster.stop_node(1);
    subject.put(FLIP);
    operator.apply(&[]).exits(0).says("what it still holds of the user goes when it is back");
    operator.run(&["rotate", &name, "--auto-approve"]).exits(0);
    subject.assert_at_rest("without it", 3, 3);
    bring_back(dr);
    assert_eq!(has(&dr.cluster, &name), (1, 2));
    dr.assert_works(&subject.ledger[1], "owed");
    let applied = operator.apply(&[]).exits(0);
    assert_eq!(has(&dr.cluster, &name), (0, 0), "{applied}");
    assert_eq!(subject.record().get("owed"), None);
    operator.assert_in_step();

    // It comes again: the same credential, and no new generation.
    subject.put_on("kafka, dr", FLIP);
    operator.apply(&[]).exits(0);
    subject.assert_at_rest("again", 3, 3);
    assert_eq!(has(&dr.cluster, &name), (1, 2));
    dr.assert_works(subject.newest(), "again");
    operator.assert_in_step();
    witness.assert_nobody_else_was_refused();
    dr.assert_nobody_else_was_refused();
}

#[test]
fn a_revocation_does_not_wait_for_a_cluster_that_is_down_and_is_paid_first_when_it_is_back() {
    let witness = witness(KafkaVersion::V3_9_2);
    let (dr, operator) = beside(witness);
    let mut subject = Subject::declare(witness, &operator, "stolen", FLIP);
    subject.put_on("kafka, dr", FLIP);
    operator.apply(&[]).exits(0);
    subject.advance("on both");
    let name = subject.name.clone();
    dr.cluster.stop_node(1);
    operator.run(&["rotate", &name, "--revoke-now", "--auto-approve"]).exits(4);
    subject.note("revoked");
    witness.assert_is_dead(&subject.ledger[0], "revoked");
    witness.assert_works(subject.newest(), "revoked");
    assert_eq!(has(&witness.cluster, &name), (1, 0));

    bring_back(dr);
    dr.assert_works(&subject.ledger[0], "nobody could tell it");
    operator.apply(&[]).exits(4);
    dr.assert_is_dead(&subject.ledger[0], "paid first");
    dr.assert_works(subject.newest(), "paid first");
    assert_eq!(has(&dr.cluster, &name), (1, 0));
    operator.run(&["ack", &name]).exits(0);
    subject.assert_at_rest("given back", 2, 2);
    assert_eq!((has(&witness.cluster, &name), has(&dr.cluster, &name)), ((1, 2), (1, 2)));
    operator.assert_in_step();
}

#[test]
fn a_cluster_that_is_added_in_the_middle_of_a_rotation_catches_up() {
    let witness = witness(KafkaVersion::V4_3_1);
    let other = super::witness(KafkaVersion::V3_9_2);
    let clusters = [("kafka", &witness.cluster, Transport::Plaintext), ("dr", &other.cluster, Transport::Plaintext)];
    let mut operator = Operator::with(&clusters);
    operator.stop_watching();
    let spec = "authentication: {type: scram}, rotation: {strategy: mechanism-flip}";
    let points =
        ["after:record-prepared", "after:upsert", "after:record-verified", "after:document", "after:record-published"];
    let mut subjects: Vec<Subject<'_>> =
        points.iter().map(|_| Subject::declare(witness, &operator, "joined", spec)).collect();
    operator.apply(&[]).exits(0);
    for (subject, point) in subjects.iter_mut().zip(points) {
        subject.advance("on one");
        super::crashes::die(&operator, &["rotate", &subject.name, "--auto-approve"], point);
        subject.put_on("kafka, dr", spec);
    }
    operator.apply(&[]).exits(0);
    let names: Vec<&str> = subjects.iter().map(|subject| subject.name.as_str()).collect();
    let acknowledge = ["ack"].into_iter().chain(names).collect::<Vec<_>>();
    operator.run(&acknowledge).exits(0);
    for (subject, point) in subjects.iter_mut().zip(points) {
        subject.assert_at_rest(point, 2, 2);
        assert_eq!(has(&other.cluster, &subject.name), (1, 2), "{point}");
        other.assert_works(subject.newest(), point);
    }
    operator.assert_in_step();
}
