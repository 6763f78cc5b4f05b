//! Rotation under load, for a minute or two; `make soak` runs the same for as long as one likes.

use std::time::{Duration, SystemTime};

use crate::load::Run;
use crate::load::applications::{Cast, Kind};
use crate::load::report::Report;
use crate::load::rotators::{ByHand, Manner};
use crate::stack::{ClusterBuilder, KafkaVersion};

/// Another one with every run; a failing run names its own.
fn seed() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs()
}

fn run(brokers: usize, cast: Cast, duration: Duration, manner: Manner) -> Report {
    let cluster = ClusterBuilder::new(KafkaVersion::V4_3_1).nodes(brokers);
    let cluster = cluster.property("min.insync.replicas", if brokers == 1 { "1" } else { "2" }).start().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let run = Run { cluster: &cluster, applications: cast.assemble(folder.path()), duration, seed: seed() };
    run.play(&ByHand::new(&cluster, manner)).unwrap()
}

#[test]
fn nobody_is_locked_out_and_nothing_is_lost_while_all_users_rotate() {
    let cast = Cast { reloading: 4, restarting: 2, pinning: 2, never_reloading: 1 };
    let report = run(3, cast, Duration::from_secs(75), Manner::Careful);
    assert!(report.faults().is_empty(), "\n{report}");
    assert!(report.rotations() >= 200 && report.restarts > 0, "\n{report}");
}

/// The counts of the test above are worth something: clients of each kind and the brokers see an old credential that goes
/// before its application has moved.
#[test]
fn an_old_credential_that_goes_too_early_is_counted_by_every_kind_of_client_and_by_the_brokers() {
    let cast = Cast { reloading: 2, restarting: 1, pinning: 1, never_reloading: 1 };
    let report = run(1, cast, Duration::from_secs(10), Manner::Hasty);
    for kind in Kind::ALL {
        assert!(report.refused_by(kind) > 0, "{kind:?}\n{report}");
    }
    assert!(report.refused_by_brokers > 0, "\n{report}");
}
