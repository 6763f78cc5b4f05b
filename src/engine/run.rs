//! One user on its way through a pass.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::connect::{ClusterLink, Links};
use crate::credential::{
    Account, Blocked, Context, Effect, KnownPlaces, Outcome, PERMITS_MAX, PermitId, Place, Progress, Record, Seen,
    Step, Subject, Versioned, Watch, next,
};
use crate::diagnostic::{Disposition, Hint};
use crate::names::{ClusterName, Generation, NamespacedName};
use crate::plan::UserPlan;
use crate::secret::Material;

/// How often one effect may fail for a user in a pass before the user is left for the next one. Counted by effect, and
/// not from the last success: an upsert whose permit runs out each time is renewed by a record write that succeeds.
const FAILURES_MAX: u32 = 4;

/// How often a user's permits may be renewed in a pass without anything else. Each of six places may need it for a fence and
/// for a look that lasted; past that, writing a whole wave takes longer than a permit lasts, and would for ever.
const RENEWALS_MAX: u32 = 16;

/// A user with its plan, and how far it has come.
pub(super) struct UserRun {
    pub user: NamespacedName,
    /// Without the record that it was made of, which goes on changing.
    pub plan: UserPlan,
    pub record: Option<Versioned<Record>>,
    pub material: BTreeMap<Generation, Arc<Material>>,
    pub progress: Progress,
    pub watch: Watch,
    pub end: Option<End>,
    /// Whether this pass has written the record, so that nobody else can have gone on from the one the plan was made of.
    pub has_written: bool,
    transition: usize,
    failures: BTreeMap<&'static str, u32>,
    /// Record writes that changed nothing but permits.
    renewals: u32,
    /// The longest fence of the user's clusters.
    fence: Duration,
}

/// How a user's pass ended.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum End {
    Done,
    Waiting { why: String, hint: Option<Hint> },
    Blocked(Blocked),
    Failed(Failure),
}

/// An effect that did not succeed for one user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failure {
    pub effect: &'static str,
    pub why: String,
    pub hint: Option<Hint>,
    pub disposition: Disposition,
}

/// What came of one user's part in a group.
#[derive(Default)]
pub(super) struct Performed {
    pub outcomes: Vec<Outcome>,
    pub record: Option<Versioned<Record>>,
    pub material: Vec<Arc<Material>>,
    pub failure: Option<Failure>,
}

/// One user's effect, waiting to be executed with others of its kind.
pub(super) struct Job<'a> {
    pub index: usize,
    pub run: &'a UserRun,
    pub effect: Effect,
}

impl Failure {
    pub fn new(effect: &'static str, why: impl std::fmt::Display, disposition: Disposition) -> Self {
        Self { effect, why: why.to_string(), hint: None, disposition }
    }

    pub fn hint(mut self, hint: Option<Hint>) -> Self {
        self.hint = hint;
        self
    }
}

impl Performed {
    pub fn failed(failure: Failure) -> Self {
        Self { failure: Some(failure), ..Self::default() }
    }

    pub fn outcome(outcome: Outcome) -> Self {
        Self { outcomes: vec![outcome], ..Self::default() }
    }
}

impl UserRun {
    pub fn new(user: NamespacedName, mut plan: UserPlan, now: crate::names::Now) -> Self {
        let mut watch = Watch::default();
        let record = plan.record.take();
        if let Some(record) = &record {
            watch.see(&record.value, now);
        }
        Self {
            user,
            record,
            plan,
            material: BTreeMap::new(),
            progress: Progress::default(),
            watch,
            end: None,
            has_written: false,
            transition: 0,
            failures: BTreeMap::new(),
            renewals: 0,
            fence: Duration::ZERO,
        }
    }

    /// What is known of the places of this user. Those that this process has emptied are being emptied: brokers that lag still show
    /// what was there.
    pub fn known_places(&self) -> KnownPlaces {
        let Some(record) = &self.record else { return KnownPlaces::default() };
        let is_emptied = |place: &Place| self.progress.emptied.iter().any(|account| account.username == place.username);
        let own = self.progress.own_permits.iter().filter(|(place, _)| !is_emptied(place));
        let own = own.map(|(place, permit)| (place.clone(), *permit)).collect();
        self.watch.known_places(&record.value, &own, self.fence, super::now())
    }

    /// Asks the machine what comes next, passing from one approved transition to the next; sets `end` when there is
    /// nothing more.
    pub fn step(&mut self, fence: Duration, undo_for: Duration) -> Next {
        self.fence = fence;
        while self.end.is_none() {
            let Some(transition) = self.plan.transitions.get(self.transition) else {
                self.end = Some(End::Done);
                break;
            };
            let context =
                Context { now: super::now(), watch: &self.watch, fence, undo_for, permit_ids: fresh_permit_ids() };
            let subject = Subject {
                user: &self.user,
                record: self.record.as_ref().map(|record| &record.value),
                wanted: self.plan.wanted.as_deref(),
                facts: &self.plan.facts,
                progress: &self.progress,
            };
            match next(&subject, transition, &context) {
                Step::Act(effect) => return Next::Act(effect),
                Step::Fence(wait) => {
                    // What was seen before a wait is too old to act on (R6).
                    self.progress.looked.clear();
                    return Next::Fence(wait);
                }
                Step::Wait(why) => self.end = Some(End::Waiting { why, hint: None }),
                Step::Blocked(blocked) => self.end = Some(End::Blocked(blocked)),
                Step::Settled => {
                    self.transition += 1;
                    self.progress = Progress::default();
                }
            }
        }
        // Secrets and plans of users that are through need not stay until the last one is.
        self.material.clear();
        Next::Over
    }

    /// Takes note of what was performed. A failure that may pass is tried again, a few times.
    pub fn note(&mut self, performed: Performed) {
        let Performed { outcomes, record, material, failure } = performed;
        for outcome in outcomes {
            self.progress.advance(outcome);
        }
        for material in material {
            self.material.insert(material.generation, material);
        }
        if let Some(record) = record {
            self.note_record(record);
        }
        let Some(failure) = failure else { return };
        let failures = self.failures.entry(failure.effect).or_default();
        *failures += 1;
        match failure.disposition {
            Disposition::Retry if *failures < FAILURES_MAX => {}
            Disposition::Retry | Disposition::Wait => {
                let why = format!("{}: {}", failure.effect, failure.why);
                self.end = Some(End::Waiting { why, hint: failure.hint });
            }
            Disposition::Stall => self.end = Some(End::Failed(failure)),
        }
    }

    /// Whatever is new about permits is this process's own.
    fn note_record(&mut self, record: Versioned<Record>) {
        self.renewals += u32::from(self.record.as_ref().is_some_and(|before| is_renewal(&before.value, &record.value)));
        if self.renewals > RENEWALS_MAX {
            let why = "its permits are over before anything can be sent under them: the store takes longer to write what \
                       belongs together than half of the cluster's `admin.fence`";
            self.end = Some(End::Waiting { why: why.to_owned(), hint: None });
        }
        self.progress.note_permits(self.record.as_ref().map(|record| &record.value), &record.value);
        self.record = Some(record);
        self.has_written = true;
    }

    /// Starts to count the life of permits that are about to be written; before the write, so that none is taken to last
    /// longer than it does.
    pub fn issue_permits(&mut self, record: &Record) {
        let boot = super::now().boot;
        for permit in &record.permits {
            let known = self.record.as_ref().is_some_and(|record| record.value.permits.contains(permit));
            if !known {
                self.watch.issue(permit, boot);
            }
        }
    }
}

/// Whether only permits are new.
fn is_renewal(before: &Record, after: &Record) -> bool {
    before.permits != after.permits && Record { permits: before.permits.clone(), ..after.clone() } == *before
}

/// Ids for the permits of one step.
fn fresh_permit_ids() -> [PermitId; PERMITS_MAX] {
    let bytes = super::random_bytes::<{ PERMITS_MAX * 8 }>();
    let mut ids = bytes.chunks_exact(8).map(|id| PermitId(u64::from_le_bytes(id.try_into().expect("eight bytes"))));
    std::array::from_fn(|_| ids.next().expect("eight bytes for each"))
}

/// What a user needs next.
pub(super) enum Next {
    Act(Effect),
    Fence(Duration),
    Over,
}

/// Something that happened, for whoever watches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// Work on this many users begins.
    Begins {
        /// Users.
        users: usize,
    },
    /// An effect was executed for this many users.
    Executed {
        /// Its name.
        effect: &'static str,
        /// Users.
        users: usize,
    },
    /// Users wait for a fence (R1).
    Fence {
        /// Users.
        users: usize,
        /// How long, at most.
        wait: Duration,
    },
    /// Users are through.
    Ended {
        /// Users.
        users: usize,
    },
}

/// Watches a pass.
pub trait Events: Send + Sync {
    /// Takes note of an event. Must not block.
    fn note(&self, event: Event);
}

/// The clusters of an effect's users, each with the jobs that concern it.
pub(super) fn by_cluster<'a, 'b>(
    jobs: &'b [Job<'a>],
    clusters: impl Fn(&'b Effect) -> Vec<&'b ClusterName>,
) -> BTreeMap<&'b ClusterName, Vec<usize>> {
    let mut grouped: BTreeMap<&ClusterName, Vec<usize>> = BTreeMap::new();
    for (position, job) in jobs.iter().enumerate() {
        for cluster in clusters(&job.effect) {
            grouped.entry(cluster).or_default().push(position);
        }
    }
    grouped
}

/// The accounts of an effect's users, by cluster.
pub(super) fn by_account<'a, 'b>(
    jobs: &'b [Job<'a>],
    accounts: impl Fn(&'b Effect) -> Vec<&'b Account>,
) -> BTreeMap<&'b ClusterName, Vec<(usize, &'b Account)>> {
    let mut grouped: BTreeMap<&ClusterName, Vec<(usize, &Account)>> = BTreeMap::new();
    for (position, job) in jobs.iter().enumerate() {
        for account in accounts(&job.effect) {
            grouped.entry(&account.cluster).or_default().push((position, account));
        }
    }
    grouped
}

/// The link to a cluster, or the failure of everything that needs it.
pub(super) fn link_of<'a>(
    links: &'a Links,
    effect: &'static str,
    cluster: &ClusterName,
) -> Result<&'a ClusterLink, Failure> {
    match links.clusters.get(cluster) {
        Some(Seen::Known(link)) => Ok(link),
        Some(Seen::Unknown(why)) => Err(Failure::new(effect, format!("{cluster}: {why}"), Disposition::Wait)),
        None => Err(Failure::new(effect, format!("{cluster}: no document declares it"), Disposition::Wait)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::credential::{Authentication, Content, Facts, Permit, Phase, Version};
    use crate::names::{BootInstant, Mechanism, Now, Scope, UserName};

    fn run() -> UserRun {
        let username = UserName::parse("payments").unwrap();
        let user: NamespacedName = "payments/payments".parse().unwrap();
        let record = Record::blank(user.clone(), Scope::default(), username.clone(), Authentication::Scram);
        let facts = Facts {
            clusters: BTreeMap::new(),
            document: Seen::Known(None),
            connections: None,
            deliveries: BTreeMap::new(),
            source: Seen::Known(None),
            rollout: None,
            claimed_by: None,
        };
        let plan = UserPlan {
            username,
            store: crate::names::StoreName::parse("memory").unwrap(),
            record: Some(Versioned { version: Version("1".to_owned()), value: record }),
            wanted: None,
            transitions: Vec::new(),
            facts,
            access: BTreeMap::new(),
            deliveries: BTreeMap::new(),
            clusters: Vec::new(),
        };
        UserRun::new(user, plan, Now { wall: jiff::Timestamp::UNIX_EPOCH, boot: BootInstant(Duration::ZERO) })
    }

    /// Writes the record once more, with one permit more.
    fn renew(run: &mut UserRun, id: u64, change: impl FnOnce(&mut Record)) {
        let mut record = run.record.clone().unwrap();
        let place = Place { username: record.value.username.clone(), mechanism: Mechanism::ScramSha512 };
        let now = Now { wall: jiff::Timestamp::UNIX_EPOCH, boot: BootInstant(Duration::ZERO) };
        record.value.permits.push(Permit::new(PermitId(id), &place, Content::None, Duration::from_secs(2), now));
        change(&mut record.value);
        run.note(Performed { record: Some(record), ..Performed::default() });
    }

    #[test]
    fn a_user_whose_permits_always_run_out_is_left_for_another_pass() {
        let mut run = run();
        for id in 0..u64::from(RENEWALS_MAX) {
            renew(&mut run, id, |_| {});
        }
        renew(&mut run, 100, |record| record.phase = Phase::Deleting);
        assert_eq!(run.end, None, "a write that changes more is progress");
        renew(&mut run, 101, |_| {});
        assert!(matches!(&run.end, Some(End::Waiting { why, .. }) if why.contains("admin.fence")), "{:?}", run.end);
    }
}
