//! What the cluster knows: a log of changes, and how far each broker has applied it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use kastellan::names::{AclRule, Mechanism, Operation, Permission, Principal, ResourceType, UserName};
use ring::{digest, hmac};
use tokio::time::Instant;

/// An idle KRaft controller writes a record of no effect so often (`kafka.md` §3).
const NO_OP_EVERY: Duration = Duration::from_millis(500);

/// The time of a cluster, counted from some instant: tokio's, or that of a simulation.
#[derive(Clone)]
pub struct Clock(pub Arc<dyn Fn() -> Duration + Send + Sync>);

impl Default for Clock {
    fn default() -> Self {
        let start = Instant::now();
        Self(Arc::new(move || start.elapsed()))
    }
}

impl std::fmt::Debug for Clock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Clock")
    }
}

/// What a broker keeps of a SCRAM credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredCredential {
    pub salt: Vec<u8>,
    pub iterations: i32,
    pub stored_key: Vec<u8>,
    pub server_key: Vec<u8>,
}

impl StoredCredential {
    /// Derives the keys as the controller does: from whatever bytes it was given.
    pub fn from_salted(mechanism: Mechanism, salt: &[u8], iterations: i32, salted_password: &[u8]) -> Self {
        let (hmac_algorithm, digest_algorithm) = algorithms(mechanism);
        let key = hmac::Key::new(hmac_algorithm, salted_password);
        let client_key = hmac::sign(&key, b"Client Key");
        Self {
            salt: salt.to_vec(),
            iterations,
            stored_key: digest::digest(digest_algorithm, client_key.as_ref()).as_ref().to_vec(),
            server_key: hmac::sign(&key, b"Server Key").as_ref().to_vec(),
        }
    }
}

pub(super) fn algorithms(mechanism: Mechanism) -> (hmac::Algorithm, &'static digest::Algorithm) {
    match mechanism {
        Mechanism::ScramSha256 => (hmac::HMAC_SHA256, &digest::SHA256),
        Mechanism::ScramSha512 => (hmac::HMAC_SHA512, &digest::SHA512),
    }
}

/// One change.
#[derive(Debug, Clone)]
pub enum Change {
    /// Sets or deletes a credential.
    Credential(UserName, Mechanism, Option<StoredCredential>),
    /// Adds an ACL.
    AddAcl(Principal, AclRule),
    /// Removes an ACL.
    RemoveAcl(Principal, AclRule),
    /// Sets or removes one quota of a user.
    Quota(UserName, String, Option<f64>),
}

/// Everything that exists.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct State {
    pub credentials: BTreeMap<(UserName, Mechanism), StoredCredential>,
    pub acls: BTreeSet<(Principal, AclRule)>,
    pub quotas: BTreeMap<UserName, BTreeMap<String, f64>>,
}

impl State {
    fn apply(&mut self, change: &Change) {
        match change {
            Change::Credential(user, mechanism, Some(credential)) => {
                self.credentials.insert((user.clone(), *mechanism), credential.clone());
            }
            Change::Credential(user, mechanism, None) => {
                self.credentials.remove(&(user.clone(), *mechanism));
            }
            Change::AddAcl(principal, rule) => {
                self.acls.insert((principal.clone(), rule.clone()));
            }
            Change::RemoveAcl(principal, rule) => {
                self.acls.remove(&(principal.clone(), rule.clone()));
            }
            Change::Quota(user, key, Some(value)) => {
                self.quotas.entry(user.clone()).or_default().insert(key.clone(), *value);
            }
            Change::Quota(user, key, None) => {
                if let Some(quotas) = self.quotas.get_mut(user) {
                    quotas.remove(key);
                    if quotas.is_empty() {
                        self.quotas.remove(user);
                    }
                }
            }
        }
    }

    /// What a principal may do to the cluster, with what Kafka's authorizer reads into Alter and AlterConfigs.
    pub fn cluster_operations(&self, principal: &Principal) -> BTreeSet<Operation> {
        let mut allowed = BTreeSet::new();
        let mut denied = BTreeSet::new();
        for (of, rule) in &self.acls {
            if of != principal || rule.resource_type != ResourceType::Cluster {
                continue;
            }
            match rule.permission {
                Permission::Allow => allowed.insert(rule.operation),
                Permission::Deny => denied.insert(rule.operation),
            };
        }
        if allowed.contains(&Operation::Alter) {
            allowed.insert(Operation::Describe);
        }
        if allowed.contains(&Operation::AlterConfigs) {
            allowed.insert(Operation::DescribeConfigs);
        }
        &allowed - &denied
    }
}

/// Changes in the order they were committed.
pub(super) struct Log {
    /// What was committed together is applied together, as one image.
    entries: Vec<(Duration, Vec<Change>)>,
    state: State,
    last_no_op: Duration,
    clock: Clock,
    revision: u64,
}

impl Log {
    pub(super) fn new(clock: Clock) -> Self {
        Self { entries: Vec::new(), state: State::default(), last_no_op: clock.0(), clock, revision: 0 }
    }

    /// How many changes there were.
    pub(super) fn revision(&self) -> u64 {
        self.revision
    }

    fn now(&self) -> Duration {
        self.clock.0()
    }

    pub(super) fn state(&self) -> &State {
        &self.state
    }

    pub(super) fn commit(&mut self, change: Change) {
        self.begin();
        self.add(change);
    }

    /// Begins an entry for the changes of one request.
    pub(super) fn begin(&mut self) {
        self.tick();
        self.entries.push((self.now(), Vec::new()));
    }

    /// Adds a change to the last entry.
    pub(super) fn add(&mut self, change: Change) {
        self.state.apply(&change);
        self.revision += 1;
        self.entries.last_mut().expect("begun").1.push(change);
    }

    /// Writes the records of no effect that time has brought.
    fn tick(&mut self) {
        let now = self.now();
        while self.last_no_op + NO_OP_EVERY <= now {
            self.last_no_op += NO_OP_EVERY;
            self.entries.push((self.last_no_op, Vec::new()));
        }
    }
}

/// How far one broker is.
pub(super) struct Image {
    apply_lag: Duration,
    publish_lag: Duration,
    /// What Describe shows.
    state: State,
    /// What logins are checked against.
    logins: BTreeMap<(UserName, Mechanism), StoredCredential>,
    applied: usize,
    published: usize,
    published_at: Duration,
}

impl Image {
    /// A broker that has applied everything so far.
    pub(super) fn new(log: &Log, apply_lag: Duration, publish_lag: Duration) -> Self {
        let (state, applied) = (log.state.clone(), log.entries.len());
        let logins = state.credentials.clone();
        Self { apply_lag, publish_lag, state, logins, applied, published: applied, published_at: log.now() }
    }

    /// Everything so far is applied.
    pub(super) fn settle(&mut self, log: &Log) {
        *self = Self::new(log, self.apply_lag, self.publish_lag);
    }

    /// Applies what is due: an image first, then its parts; the next image only after the parts of the last one.
    pub(super) fn advance(&mut self, log: &mut Log) {
        log.tick();
        let now = log.now();
        loop {
            if self.published < self.applied {
                if now < self.published_at {
                    return;
                }
                for change in &log.entries[self.published].1 {
                    self.publish(change);
                }
                self.published += 1;
            }
            let Some((committed, changes)) = log.entries.get(self.applied) else { return };
            let due = (*committed + self.apply_lag).max(self.published_at);
            if now < due {
                return;
            }
            changes.iter().for_each(|change| self.state.apply(change));
            self.applied += 1;
            let lag = if changes.is_empty() { Duration::ZERO } else { self.publish_lag };
            self.published_at = due + lag;
        }
    }

    /// Loses a credential, as a broker can that starts (`tests/servers/kafka_forgets.rs`); the log still has it.
    pub(super) fn forget(&mut self, user: &UserName, mechanism: Mechanism) {
        let slot = (user.clone(), mechanism);
        self.state.credentials.remove(&slot);
        self.logins.remove(&slot);
    }

    fn publish(&mut self, change: &Change) {
        if let Change::Credential(user, mechanism, credential) = change {
            let slot = (user.clone(), *mechanism);
            match credential {
                Some(credential) => self.logins.insert(slot, credential.clone()),
                None => self.logins.remove(&slot),
            };
        }
    }

    pub(super) fn state(&self) -> &State {
        &self.state
    }

    pub(super) fn login(&self, user: &UserName, mechanism: Mechanism) -> Option<&StoredCredential> {
        self.logins.get(&(user.clone(), mechanism))
    }

    /// The offset of the image, as ApiVersions tells it.
    pub(super) fn epoch(&self) -> i64 {
        i64::try_from(self.applied).expect("a log of a test")
    }
}
