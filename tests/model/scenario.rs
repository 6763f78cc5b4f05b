//! What a scenario fixes: the documents, the clusters, who works on them, and how much may go wrong.

use std::time::Duration;

use kastellan::credential::{Confirm, DeletionPolicy, RotationSpec, Strategy, Wanted, WantedAuthentication};
use kastellan::names::{ClusterName, DeliveryName, Mechanism, NamespacedName, Scope, UserName};
use kastellan::secret::{Iterations, PasswordLength};

use crate::process::Answers;

/// Mechanisms in the order in which documents of the model prefer them.
pub const MECHANISMS: [Mechanism; 2] = [Mechanism::ScramSha512, Mechanism::ScramSha256];

/// Places that one user may take on a cluster: three names with two mechanisms each.
pub const PLACES: usize = 6;

/// One tick is one second of the machine's clocks; a fence of one makes a permit last one.
pub const FENCE: Duration = Duration::from_secs(1);

/// Ticks for which a permit lasts under such a fence.
pub const PERMIT_LASTS: u8 = 1;

/// Ticks after which no request under a permit can be on its way: its life, and the fence.
pub const PERMIT_TICKS: u8 = 2;

/// A rule that is left out, or a mistake that is put in, around the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plant {
    /// Nothing: the machine as it is.
    Nothing,
    /// The old credential goes without waiting for the overlap.
    RetireEarly,
    /// A login is proven on the first broker alone.
    ProbeOneBroker,
    /// No login is proven at all.
    PublishBeforeVerify,
    /// The record is written after the effect that it announces.
    RecordAfterEffect,
    /// The next number is the active one plus one (R8 left out).
    NumberFromActive,
    /// No fence is waited for (R1 left out).
    NoFence,
    /// A rotation is aborted from VERIFIED too (R2 left out).
    AbortFromVerified,
    /// The document is written whatever stands there (R3 left out).
    DocumentUnconditionally,
    /// Deliveries are written whatever stands there (R4 left out).
    DeliverUnconditionally,
    /// A re-assertion is sent without a record write of its own (R5 left out).
    ReassertWithoutRecord,
    /// Nobody looks at the slots before they are altered (R6 left out).
    NoLook,
    /// Nothing is left of a deleted user's record (R7 left out).
    NoTombstone,
    /// Material that a crashed attempt left is used whatever it holds (the other half of R8).
    ReuseMaterial,
    /// A store is restored under processes that work, and requests that are on their way.
    RestoreAtOnce,
    /// The second process works on a copy of the store (R10 left out).
    TwoCopies,
    /// The record is written whatever version stands there (no compare-and-set).
    RecordUnconditionally,
    /// Nobody keeps what is to be destroyed (R11 left out).
    ForgetDestruction,
    /// Nobody keeps what a cluster that is away is owed (R12 left out).
    ForgetOwed,
    /// Access comes back as soon as the revoked credential is gone, with whatever connections there are (K5 forgotten).
    GiveBackAtOnce,
}

impl Plant {
    /// Whether it makes something go wrong that never must; the others are found by what is left in the end.
    pub fn does_harm(self) -> bool {
        !matches!(self, Self::Nothing | Self::NumberFromActive | Self::ReuseMaterial | Self::ForgetDestruction)
    }
}

/// How often each thing may still happen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Budget {
    /// A person asks for a rotation.
    pub rotate: u8,
    /// A person takes one back.
    pub abort: u8,
    /// A person says that the credential was stolen.
    pub revoke: u8,
    /// The user's document goes away, or comes back.
    pub remove: u8,
    /// The documents change to the next variant.
    pub change: u8,
    /// Somebody else deletes or replaces a credential of ours.
    pub drift: u8,
    /// Somebody else makes a credential where there is none.
    pub stranger: u8,
    /// Kafka is rebuilt, empty.
    pub rebuild: u8,
    /// A cluster goes away, or comes back.
    pub outage: u8,
    /// The store is restored from the snapshot that was taken at the beginning of a story, or at any moment of it.
    pub restore: u8,
    /// The given password changes at its source.
    pub give: u8,
}

/// Where a scenario begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// With nothing at all.
    Nothing,
    /// With a credential that is published, and long at rest.
    Provisioned,
    /// With a credential of somebody else, which an application uses.
    Stranger,
}

/// What a process was about to do when it was paused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Paused {
    /// A rotation, before this effect.
    Rotating(&'static str),
    /// Putting a credential back that somebody deleted, with the request in hand.
    AssertingAgain,
}

/// Everything a scenario fixes.
#[derive(Debug, Clone)]
pub struct Scenario {
    pub name: &'static str,
    /// Variants of the document; the first applies at the beginning.
    pub wanted: Vec<Wanted>,
    pub clusters: Vec<ClusterName>,
    /// Whether one broker of each cluster lags behind.
    pub lag: bool,
    /// Processes that may work at the same time.
    pub controllers: usize,
    /// Requests that may be late at the same time.
    pub flights: usize,
    /// Whether a process may read an older version of the record.
    pub stale_reads: bool,
    pub budget: Budget,
    pub start: Start,
    /// Whether a revocation moves the user to another name.
    pub revokes_to_new_name: bool,
    /// At the beginning one process has come so far, and is paused; it goes on whenever it likes, and does not come again.
    pub paused: Option<Paused>,
    pub plant: Plant,
    /// Only the invariants whose names begin so are checked.
    pub checks: Option<&'static str>,
    pub user: NamespacedName,
    pub delivery: DeliveryName,
    /// The names that any variant asks for.
    pub names: Vec<UserName>,
    /// What the machine was asked already.
    pub answers: Answers,
}

impl Scenario {
    /// One user on one cluster, provisioned, with one process that may crash anywhere, and one rotation.
    pub fn new(name: &'static str, wanted: Vec<Wanted>) -> Self {
        let mut names = Vec::new();
        for variant in &wanted {
            for name in variant.names().iter().chain([&variant.username]) {
                if !names.contains(name) {
                    names.push(name.clone());
                }
            }
        }
        assert!(names.len() * MECHANISMS.len() <= PLACES, "a state has room for {PLACES} places");
        let mut clusters = Vec::new();
        for cluster in wanted.iter().flat_map(|variant| &variant.clusters) {
            if !clusters.contains(cluster) {
                clusters.push(cluster.clone());
            }
        }
        Self {
            name,
            wanted,
            clusters,
            lag: false,
            controllers: 1,
            flights: 0,
            stale_reads: false,
            budget: Budget { rotate: 1, ..Budget::default() },
            start: Start::Provisioned,
            revokes_to_new_name: false,
            paused: None,
            plant: Plant::Nothing,
            checks: None,
            user: "payments/payments".parse().expect("a valid name"),
            delivery: DeliveryName::parse("file").expect("a valid name"),
            names,
            answers: Answers::default(),
        }
    }

    /// The overlap in ticks; `None` where the old credential waits for an acknowledgement alone.
    pub fn overlap(&self) -> Option<u8> {
        let overlap = self.wanted[0].rotation.as_ref()?.overlap?;
        Some(u8::try_from(overlap.as_secs()).expect("a few ticks"))
    }

    /// What bounds it, in a few words.
    pub fn bounds(&self) -> String {
        let Budget { rotate, abort, revoke, remove, change, drift, stranger, rebuild, outage, restore, give } =
            self.budget;
        let counted = [
            (self.controllers, "process", "processes"),
            (self.clusters.len(), "cluster", "clusters"),
            (self.flights, "late request at a time", "late requests at a time"),
            (rotate.into(), "rotation", "rotations"),
            (abort.into(), "abort", "aborts"),
            (revoke.into(), "revocation", "revocations"),
            (remove.into(), "deletion or undo", "deletions or undos"),
            (change.into(), "change of the document", "changes of the document"),
            (drift.into(), "drift", "drifts"),
            (stranger.into(), "stranger", "strangers"),
            (rebuild.into(), "rebuilt cluster", "rebuilt clusters"),
            (outage.into(), "outage or return", "outages or returns"),
            (restore.into(), "restored store", "restored stores"),
            (give.into(), "given password", "given passwords"),
        ];
        let counted = counted.into_iter().filter(|(count, ..)| *count > 0);
        let counted = counted.map(|(count, one, more)| format!("{count} {}", if count == 1 { one } else { more }));
        let lag = self.lag.then(|| "a lagging broker".to_owned());
        let stale = self.stale_reads.then(|| "stale reads".to_owned());
        counted.chain(lag).chain(stale).collect::<Vec<_>>().join(", ")
    }

    pub fn place(&self, username: &UserName, mechanism: Mechanism) -> usize {
        let name = self.names.iter().position(|name| name == username).expect("a name of the scenario");
        let mechanism = MECHANISMS.iter().position(|known| *known == mechanism).expect("one of two");
        name * MECHANISMS.len() + mechanism
    }

    pub fn place_name(&self, place: usize) -> (&UserName, Mechanism) {
        (&self.names[place / MECHANISMS.len()], MECHANISMS[place % MECHANISMS.len()])
    }
}

/// A document that rotates by `strategy`, on so many clusters.
pub fn rotating(strategy: Strategy, clusters: usize, overlap: Option<u64>, confirm: Confirm) -> Wanted {
    let name = |text: &str| UserName::parse(text).expect("a valid name");
    let users = (strategy == Strategy::DualUser).then(|| [name("payments.a"), name("payments.b")]);
    let overlap = overlap.map(Duration::from_secs);
    let mechanisms = match strategy {
        Strategy::MechanismFlip => MECHANISMS.to_vec(),
        Strategy::DualUser | Strategy::InPlace => vec![MECHANISMS[0]],
    };
    Wanted {
        scope: Scope::default(),
        username: name("payments"),
        clusters: ["prod", "dr"].iter().take(clusters).map(|name| ClusterName::parse(name).expect("valid")).collect(),
        authentication: WantedAuthentication::Scram {
            mechanisms,
            iterations: Iterations::default(),
            length: PasswordLength::default(),
            given: None,
        },
        rotation: Some(RotationSpec { every: None, strategy, users, overlap, confirm }),
        restarts: false,
        adopt: false,
        deletion_policy: DeletionPolicy::Delete,
        moved_from: None,
    }
}
