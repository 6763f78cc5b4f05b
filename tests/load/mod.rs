//! Applications that produce and consume while their users rotate: none of them may notice.
//!
//! ```text
//! Rotator (the program; a hasty hand) ──> Kafka, and one file for each application, or a Secret that is mounted
//!                                          │ read by habit: at every change, at a restart, never again
//! clients (librdkafka, Java, our own) <────┘
//!    │ logins, refusals, records acknowledged and read
//!    └──> Tally of each application ──> Report <── the brokers' own count of refusals
//! disturbances ──> a broker is restarted, the rotating process is killed
//! ```
//!
//! Everything that is left to chance comes from one seed, which the report names. A wrong credential hurts whoever logs in,
//! so every client connects anew each second or two. Refusals are counted twice, at the clients and at the brokers; a
//! broken connection is none.
//!
//! `tests/servers/under_load.rs` has the short run, `main.rs` beside this file the long one (`make soak`); both take this in at
//! their root, as `load`.

pub mod applications;
pub mod chance;
pub mod clients;
pub mod disturbances;
pub mod journal;
pub mod mount;
pub mod report;
pub mod rotators;
pub mod tally;

use std::sync::Arc;
use std::time::{Duration, Instant};

use applications::Application;
use chance::Chance;
use clients::Clients;
use disturbances::Disturbances;
use report::Report;
use rotators::{Goal, Rotator};

use crate::stack::{Cluster, ClusterBuilder, KafkaVersion, Listener, StackError, pause, wait_until};

/// How long the slowest client may take to its first login: a JVM compiles its source first, on a busy machine.
const START_PATIENCE: Duration = Duration::from_secs(60);
/// How long what was acknowledged may take to be read, once nothing more is written; a consumer group that lost a member
/// with its broker waits for six seconds.
const DRAIN_PATIENCE: Duration = Duration::from_secs(40);
/// How long records that are on their way may take to be acknowledged, once nothing more is sent: a life of a client, and its
/// end. Before, that nothing is missing says nothing.
const SETTLE: Duration = Duration::from_secs(6);
/// How much longer a run may take for the rotations that it shall have: a busy machine does half of them in a minute.
const ROTATIONS_PATIENCE: Duration = Duration::from_secs(240);
/// The listener of the applications.
const LISTENER: Listener = Listener::Clients;

/// The cluster of a run with disturbances: acknowledged records survive the loss of a broker, and so do credentials.
pub fn three_brokers() -> ClusterBuilder {
    ClusterBuilder::new(KafkaVersion::V4_3_1).nodes(3).property("min.insync.replicas", "2").restarted()
}

/// What one run consists of.
pub struct Run<'a> {
    /// Where.
    pub cluster: &'a Cluster,
    /// Who.
    pub applications: Vec<Arc<Application>>,
    /// For how long rotations begin, at least.
    pub duration: Duration,
    /// How many rotations there shall be, at least; a run goes on for them, for some minutes at most.
    pub rotations: u64,
    /// Where chance begins.
    pub seed: u64,
}

impl Run<'_> {
    /// Provisions, starts the clients, rotates and disturbs until time is up, and lets the clients finish.
    ///
    /// # Errors
    /// When a server or a client does not start, or the rotator gives up.
    pub fn play(&self, rotator: &dyn Rotator) -> Result<Report, StackError> {
        let Self { cluster, applications, duration, rotations, seed } = self;
        assert_eq!(cluster.refusals(), [], "before the run");
        for application in applications.iter().filter(|application| application.kind.has_records()) {
            cluster.create_topic(application.topic())?;
        }
        rotator.provision(applications)?;
        let clients = Clients::start(cluster, applications)?;
        clients.await_first_logins(START_PATIENCE)?;
        let not_before = Instant::now() + *duration;
        let goal = Goal { not_before, rotations: *rotations, at_last: not_before + ROTATIONS_PATIENCE };
        let disturbances = Disturbances::default();
        let (rotated, disturbed) = std::thread::scope(|scope| {
            let disturbed =
                scope.spawn(|| disturbances.restart_brokers(cluster, not_before, Chance::of(*seed, "brokers")));
            let rotated = rotator.rotate(&clients, &disturbances, &goal);
            (rotated, disturbed.join().expect("it returns its errors"))
        });
        rotated?;
        disturbed?;
        clients.stop_producing();
        pause(SETTLE);
        wait_until(DRAIN_PATIENCE, || applications.iter().all(|application| application.tally.lost() == 0));
        clients.stop();
        Ok(Report::of(applications, &cluster.refusals(), &disturbances, rotator.overlap(), *seed))
    }
}
