//! A mistake of Kafka's that whoever deletes credentials has to know: a broker that starts can forget others.
//!
//! It replays the metadata log, and applies many records as one change to what its newest snapshot has. Where that has no
//! credential of a mechanism, and the change meets a deletion first (in the order of a hash table, not of time),
//! `org.apache.kafka.image.ScramDelta.apply` lets go of the mechanism's table and goes on to fill it: every credential of
//! the mechanism that the change brings is lost. The broker refuses those logins until each is written again, and its next
//! snapshot does not have them either.
//!
//! So it takes a deletion, a restart, and a snapshot (there is one in an hour by default) from before the mechanism was used.
//! Should the first test fail, a later Kafka has learnt it, and tests need not ask for frequent snapshots any more (`ClusterBuilder::restarted`).

use kastellan::names::Mechanism;

use crate::stack::{ClusterBuilder, Credentials, KafkaVersion};

/// In a small hash table of Java's, names of one letter stand in the order of the alphabet.
const DELETED: &str = "a";
const KEPT: &str = "b";

/// When brokers write what they know into a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Snapshots {
    /// Each hour: not before the end of the test.
    ByDefault,
    /// Each second, and both credentials are in one before the first is deleted.
    Frequent,
}

/// Restarts a broker after one of two credentials was deleted; whether it still has the other.
fn still_has_the_other(version: KafkaVersion, snapshots: Snapshots) -> bool {
    let cluster = ClusterBuilder::new(version);
    let cluster = match snapshots {
        Snapshots::ByDefault => cluster,
        Snapshots::Frequent => cluster.restarted(),
    };
    let cluster = cluster.start().unwrap();
    for user in [DELETED, KEPT] {
        cluster.set_password(user, Mechanism::ScramSha256, &Credentials::random(user).password).unwrap();
    }
    if snapshots == Snapshots::Frequent {
        cluster.await_snapshots().unwrap();
    }
    cluster.delete_password(DELETED, Mechanism::ScramSha256).unwrap();
    cluster.stop_node(1);
    cluster.start_node(1).unwrap();
    cluster.mechanisms_of(KEPT).unwrap().contains(&Mechanism::ScramSha256)
}

#[test]
fn a_broker_that_starts_forgets_credentials_of_a_mechanism_that_its_snapshot_does_not_know() {
    for version in KafkaVersion::ALL {
        assert!(!still_has_the_other(version, Snapshots::ByDefault), "{version} has learnt it");
    }
}

#[test]
fn a_broker_that_starts_keeps_credentials_of_a_mechanism_that_its_snapshot_knows() {
    for version in KafkaVersion::ALL {
        assert!(still_has_the_other(version, Snapshots::Frequent), "{version}");
    }
}
