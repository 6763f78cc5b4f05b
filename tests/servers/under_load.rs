//! Rotation under load, for a minute or two; `make soak` runs the same for as long as one likes.

use std::time::{Duration, SystemTime};

use crate::load::applications::{Application, Cast, Kind};
use crate::load::rotators::{ByProgram, Hasty};
use crate::load::{self, Run};
use crate::stack::{ClusterBuilder, KafkaVersion};

/// Another one with every run; a failing run names its own.
fn seed() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs()
}

#[test]
fn nobody_is_locked_out_and_nothing_is_lost_while_all_users_rotate() {
    let (cluster, seed) = (load::three_brokers().start().unwrap(), seed());
    let rotator = ByProgram::new(&cluster, seed);
    let applications = Cast::WHOLE.assemble(&rotator.folder());
    let mounting: Vec<_> = applications.iter().filter(|application| application.is_mounted).cloned().collect();
    let duration = Duration::from_secs(60);
    let report = Run { cluster: &cluster, applications, duration, rotations: 200, seed }.play(&rotator).unwrap();
    assert!(report.faults().is_empty(), "\n{report}");
    assert!(report.rotations() >= 200 && report.kills > 0 && report.restarts > 0, "\n{report}");
    // Both ways of delivery are rotated.
    let rotated = |one: &&std::sync::Arc<Application>| one.tally.rotations() > 1 && one.tally.logins() > 1;
    assert!(mounting.iter().filter(rotated).count() >= 4, "\n{report}");
}

/// The counts of the test above are worth something: clients of each kind and the brokers see an old credential that goes
/// before its application has moved.
#[test]
fn an_old_credential_that_goes_too_early_is_counted_by_every_kind_of_client_and_by_the_brokers() {
    let cluster = ClusterBuilder::new(KafkaVersion::V4_3_1).start().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let applications = Cast::SMALL.assemble(folder.path());
    let run = Run { cluster: &cluster, applications, duration: Duration::from_secs(8), rotations: 0, seed: seed() };
    let report = run.play(&Hasty(&cluster)).unwrap();
    for kind in Kind::ALL {
        assert!(report.refused_by(kind) > 0, "{kind:?}\n{report}");
    }
    assert!(report.refused_by_brokers > 0, "\n{report}");
}
