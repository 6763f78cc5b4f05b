//! Connections to the brokers of one cluster, opened on demand, logged in, kept and reused.
//!
//! A connection is taken out of the pool for one request at a time: a broker works on one request of a connection at a
//! time anyway, and one that is dropped in the middle of a request is closed, never reused.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, RwLock};
use std::time::Duration;

use kafka_protocol::messages::{ApiVersionsRequest, DescribeClusterRequest};
use kafka_protocol::protocol::{Request, StrBytes};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::connection::{CallError, Connection, Sent, Use};
use super::sasl::{KeyCache, authenticate};
use super::tls::Tls;
use super::wire::{
    AlteredQuotas, AlteredScram, Answer, Answered, ApiVersions, CreatedAcls, DescribedCluster, DescribedConfigs,
    DescribedQuotas, DescribedScram, Kind, ListedAcls, RemovedAcls,
};
use super::{Deadlines, Endpoint, ErrorCode, KafkaError};
use crate::diagnostic::Disposition;
use crate::names::{BootInstant, BrokerId, ClusterId, HostPort, Operation};

/// Most connections to one broker: a few readers, one writer, a barrier; well below any limit of a broker's own.
const CONNECTIONS_PER_BROKER_MAX: usize = 8;
/// A connection unused for so long is closed instead of used: below the ten minutes after which brokers close it, and
/// below what firewalls on the way usually allow.
const IDLE_MAX: Duration = Duration::from_secs(60);
/// A session is not used in the last part of its life, so that a request does not meet its end.
const SESSION_MARGIN: Duration = Duration::from_secs(1);
/// The longest throttling that is believed. Kafka's own quota window is 11 s at most by default.
const THROTTLE_MAX: Duration = Duration::from_secs(30);
/// For so long a broker that failed is asked only when no other is left.
const FAILURE_MEMORY: Duration = Duration::from_secs(5);
/// How often a harmless request is sent at most.
const ATTEMPTS_MAX: usize = 3;
/// Pause before a request is repeated.
const RETRY_PAUSE: Duration = Duration::from_millis(100);
/// Write lanes: a broker forwards one admin write at a time to the controller, and more than three gain nothing
/// (`kafka.md` §2).
const LANES_MAX: usize = 3;

/// What a cluster says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cluster {
    /// The id it got when it was formatted.
    pub id: ClusterId,
    /// Brokers by id, as the administrators' listener advertises them.
    pub brokers: BTreeMap<BrokerId, HostPort>,
    /// What our principal may do to the cluster resource.
    pub authorized_operations: BTreeSet<Operation>,
}

/// Whether a request may be sent again after it was sent and not answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Repeat {
    /// Executing it twice, or late, is as good as once.
    Harmless,
    /// It is sent at most once (R1).
    Never,
}

pub(super) struct Pool {
    dialer: Dialer,
    view: RwLock<View>,
    sent: Mutex<BTreeMap<&'static str, u64>>,
}

/// Opens connections and logs them in.
struct Dialer {
    endpoint: Endpoint,
    tls: Option<Tls>,
    deadlines: Deadlines,
    keys: KeyCache,
}

/// What is known of the cluster.
struct View {
    cluster: Arc<Cluster>,
    brokers: Vec<Arc<Broker>>,
}

/// One broker as the administrators' listener advertises it.
pub(super) struct Broker {
    pub(super) id: BrokerId,
    address: HostPort,
    idle: Mutex<Vec<Session>>,
    slots: Arc<Semaphore>,
    /// Held by the one admin write under way.
    write: tokio::sync::Mutex<()>,
    health: Mutex<Health>,
}

#[derive(Default)]
struct Health {
    throttled_until: Option<Instant>,
    failed_at: Option<Instant>,
}

/// A connection that is logged in.
struct Session {
    connection: Connection,
    ends: Option<Instant>,
    used: Instant,
}

impl Session {
    fn is_usable(&mut self) -> bool {
        let now = Instant::now();
        now < self.used + IDLE_MAX
            && self.ends.is_none_or(|ends| now + SESSION_MARGIN < ends)
            && self.connection.is_idle()
    }
}

impl Broker {
    fn new(id: BrokerId, address: HostPort) -> Self {
        Self {
            id,
            address,
            idle: Mutex::default(),
            slots: Arc::new(Semaphore::new(CONNECTIONS_PER_BROKER_MAX)),
            write: tokio::sync::Mutex::default(),
            health: Mutex::default(),
        }
    }

    fn health<T>(&self, look: impl FnOnce(&mut Health) -> T) -> T {
        look(&mut self.health.lock().expect("no panic while it is held"))
    }

    fn has_failed_lately(&self) -> bool {
        self.health(|health| health.failed_at.is_some_and(|at| at.elapsed() < FAILURE_MEMORY))
    }

    fn take_idle(&self) -> Option<Session> {
        let mut idle = self.idle.lock().expect("no panic while it is held");
        while let Some(mut session) = idle.pop() {
            if session.is_usable() {
                return Some(session);
            }
        }
        None
    }

    fn give_back(&self, mut session: Session) {
        session.used = Instant::now();
        self.idle.lock().expect("no panic while it is held").push(session);
    }
}

impl Dialer {
    /// Asks the bootstrap servers in turn which brokers there are.
    async fn ask_bootstrap(&self) -> Result<(Cluster, Session), KafkaError> {
        let mut last = KafkaError::NoBootstrap;
        for server in &self.endpoint.bootstrap {
            match self.ask_for_cluster(server).await {
                // Another server gives another chance only where the network is at fault: a wrong password is wrong
                // everywhere, and every try counts on the brokers as a failed login.
                Err(error) if error.is_about_transport() => last = error,
                settled => return settled,
            }
        }
        Err(last)
    }

    async fn ask_for_cluster(&self, server: &HostPort) -> Result<(Cluster, Session), KafkaError> {
        let mut session = self.open(server).await?;
        let answer = session.connection.call::<DescribedCluster>(&describe_cluster(), self.deadlines.read).await;
        let answer = answer.map_err(|failed| failed.error)?;
        if !answer.code.is_success() {
            return Err(refusal::<DescribedCluster>(answer.code));
        }
        Ok((cluster_of(server, answer.body)?, session))
    }

    /// Connects and logs in.
    async fn open(&self, server: &HostPort) -> Result<Session, KafkaError> {
        let Deadlines { connect, login, .. } = self.deadlines;
        let client_id = &self.endpoint.client_id;
        let mut connection = Connection::open(server, self.tls.as_ref(), client_id, Use::Session, connect).await?;
        let silent = || KafkaError::Silent { server: server.clone(), step: "the login", after: login };
        let lifetime = timeout(login, async {
            // Awaited before anything else: with TLS 1.3 its answer is the proof that our certificate was accepted.
            let versions =
                connection.call::<ApiVersions>(&api_versions(), login).await.map_err(|failed| failed.error)?;
            check_versions(server, &versions)?;
            authenticate(&mut connection, &self.endpoint.authentication, &self.keys, login).await
        });
        let lifetime = lifetime.await.map_err(|_| silent())??;
        tracing::debug!(broker = %server, "connected and logged in");
        let now = Instant::now();
        Ok(Session { connection, ends: lifetime.map(|lifetime| now + lifetime), used: now })
    }
}

impl View {
    /// The view of a cluster, with the connections of brokers that stayed where they were.
    fn of(cluster: Cluster, known: &[Arc<Broker>]) -> Self {
        let mut brokers = Vec::with_capacity(cluster.brokers.len());
        for (&id, address) in &cluster.brokers {
            let same = known.iter().find(|broker| broker.id == id && broker.address == *address);
            brokers.push(same.cloned().unwrap_or_else(|| Arc::new(Broker::new(id, address.clone()))));
        }
        Self { cluster: Arc::new(cluster), brokers }
    }
}

impl Pool {
    /// Tries the bootstrap servers in turn and learns the brokers.
    pub(super) async fn connect(endpoint: Endpoint, deadlines: Deadlines) -> Result<Self, KafkaError> {
        let tls = endpoint.tls.as_ref().map(Tls::prepare).transpose()?;
        let dialer = Dialer { endpoint, tls, deadlines, keys: KeyCache::default() };
        let (cluster, session) = dialer.ask_bootstrap().await?;
        let view = View::of(cluster, &[]);
        let address = session.connection.server().clone();
        if let Some(broker) = view.brokers.iter().find(|broker| broker.address == address) {
            broker.give_back(session);
        }
        Ok(Self { dialer, view: RwLock::new(view), sent: Mutex::default() })
    }

    /// Requests so far by the name of their API, logins not counted.
    pub(super) fn sent(&self) -> BTreeMap<&'static str, u64> {
        self.sent.lock().expect("no panic while it is held").clone()
    }

    /// Asks again which brokers there are, and what we may do.
    pub(super) async fn refresh(&self) -> Result<(), KafkaError> {
        let cluster = match self.read::<DescribedCluster>(None, &describe_cluster()).await {
            Ok(answer) => cluster_of(&self.dialer.endpoint.bootstrap[0], answer)?,
            Err(error) if error.is_about_transport() => self.dialer.ask_bootstrap().await?.0,
            Err(error) => return Err(error),
        };
        let mut view = self.view.write().expect("no panic while it is held");
        *view = View::of(cluster, &view.brokers);
        Ok(())
    }

    pub(super) fn cluster(&self) -> Arc<Cluster> {
        self.view.read().expect("no panic while it is held").cluster.clone()
    }

    /// All brokers by id, those that failed lately last.
    pub(super) fn brokers(&self) -> Vec<Arc<Broker>> {
        let mut brokers = self.view.read().expect("no panic while it is held").brokers.clone();
        brokers.sort_by_key(|broker| (broker.has_failed_lately(), broker.id));
        brokers
    }

    pub(super) fn broker(&self, id: BrokerId) -> Result<Arc<Broker>, KafkaError> {
        let view = self.view.read().expect("no panic while it is held");
        let known = view.brokers.iter().find(|broker| broker.id == id);
        known.cloned().ok_or(KafkaError::UnknownBroker { broker: id })
    }

    /// The brokers that writes are spread over.
    pub(super) fn lanes(&self) -> Vec<Arc<Broker>> {
        let mut brokers = self.brokers();
        brokers.truncate(LANES_MAX);
        brokers
    }

    async fn check_out(&self, broker: &Broker) -> Result<(Session, OwnedSemaphorePermit), KafkaError> {
        let slot = broker.slots.clone().acquire_owned().await.expect("never closed");
        let session = match broker.take_idle() {
            Some(session) => session,
            None => self.dialer.open(&broker.address).await?,
        };
        Ok((session, slot))
    }

    /// Sends one request to one broker, once.
    pub(super) async fn call<A: Answer>(
        &self,
        broker: &Broker,
        request: &A::Request,
        not_after: Option<BootInstant>,
    ) -> Result<Answered<A>, CallError> {
        let (deadline, _writing) = match A::KIND {
            Kind::Read => (self.dialer.deadlines.read, None),
            Kind::Write => (self.dialer.deadlines.write, Some(broker.write.lock().await)),
        };
        if let Some(until) = broker.health(|health| health.throttled_until) {
            sleep_until(until).await;
        }
        let result = match self.check_out(broker).await {
            Err(error) => Err(CallError::unsent(error)),
            Ok((mut session, _slot)) => {
                *self.sent.lock().expect("no panic while it is held").entry(A::NAME).or_default() += 1;
                let result = session.connection.call_before::<A>(request, deadline, not_after).await;
                if result.is_ok() {
                    broker.give_back(session);
                }
                result
            }
        };
        broker.health(|health| match &result {
            Ok(answered) => {
                health.failed_at = None;
                let pause = answered.throttle.min(THROTTLE_MAX);
                health.throttled_until = (!pause.is_zero()).then(|| Instant::now() + pause);
            }
            Err(failed) if failed.error.is_about_transport() && failed.sent != Sent::PermitExpired => {
                health.failed_at = Some(Instant::now());
            }
            Err(_) => {}
        });
        result
    }

    /// Sends one request to `first`, or to another broker where that one cannot be asked; again, where a repeat is
    /// harmless.
    pub(super) async fn call_somewhere<A: Answer>(
        &self,
        first: &Broker,
        request: &A::Request,
        not_after: Option<BootInstant>,
        repeat: Repeat,
    ) -> Result<Answered<A>, CallError> {
        let mut failed = match self.call::<A>(first, request, not_after).await {
            Ok(answered) => return Ok(answered),
            Err(failed) => failed,
        };
        let others = self.brokers().into_iter().filter(|broker| broker.id != first.id);
        for broker in others.take(ATTEMPTS_MAX - 1) {
            let may_go_on = match failed.sent {
                Sent::Nothing => true,
                Sent::PermitExpired => false,
                Sent::Perhaps => repeat == Repeat::Harmless,
            };
            if !may_go_on || !failed.error.is_about_transport() {
                break;
            }
            let sent_before = failed.sent;
            match self.call::<A>(&broker, request, not_after).await {
                Ok(answered) => return Ok(answered),
                Err(again) => failed = again,
            }
            if sent_before == Sent::Perhaps {
                failed.sent = Sent::Perhaps;
            }
        }
        Err(failed)
    }

    /// Reads from one broker, or from any; repeats what failed on the way.
    pub(super) async fn read<A: Answer>(
        &self,
        target: Option<BrokerId>,
        request: &A::Request,
    ) -> Result<A, KafkaError> {
        let mut last = KafkaError::NoBootstrap;
        for attempt in 0..ATTEMPTS_MAX {
            if attempt > 0 {
                sleep(RETRY_PAUSE).await;
            }
            let broker = match target {
                Some(id) => self.broker(id)?,
                None => self.brokers().into_iter().next().ok_or(KafkaError::NoBootstrap)?,
            };
            last = match self.call::<A>(&broker, request, None).await {
                Ok(answered) if answered.code.is_success() => return Ok(answered.body),
                Ok(answered) => refusal::<A>(answered.code),
                Err(failed) => failed.error,
            };
            let may_pass = match &last {
                // Somebody else may answer; the same broker would only keep us waiting as long again.
                KafkaError::Silent { .. } => target.is_none(),
                KafkaError::Refused { code, .. } => code.disposition() == Disposition::Retry,
                error => error.is_about_transport(),
            };
            if !may_pass {
                break;
            }
        }
        Err(last)
    }
}

/// The error for a request that was refused as a whole.
pub(super) fn refusal<A: Answer>(code: ErrorCode) -> KafkaError {
    match (code, A::RIGHT) {
        (ErrorCode::CLUSTER_AUTHORIZATION_FAILED, Some(right)) => {
            KafkaError::MissingRight { operation: right.operation, needed_for: right.needed_for }
        }
        _ => KafkaError::Refused { api: A::NAME, code },
    }
}

/// The request for versions and the image epoch. An empty software name would be refused (`kafka.md` §1).
pub(super) fn api_versions() -> ApiVersionsRequest {
    ApiVersionsRequest::default()
        .with_client_software_name(StrBytes::from_static_str("kastellan"))
        .with_client_software_version(StrBytes::from_static_str(env!("CARGO_PKG_VERSION")))
}

fn describe_cluster() -> DescribeClusterRequest {
    DescribeClusterRequest::default().with_include_cluster_authorized_operations(true)
}

fn cluster_of(server: &HostPort, answer: DescribedCluster) -> Result<Cluster, KafkaError> {
    let DescribedCluster { id, brokers, operations } = answer;
    let id = id.ok_or_else(|| KafkaError::Malformed {
        server: server.clone(),
        step: DescribedCluster::NAME,
        source: super::Malformed("an empty cluster id"),
    })?;
    Ok(Cluster { id, brokers, authorized_operations: operations })
}

/// Checks that a broker knows every request we may send.
fn check_versions(server: &HostPort, answer: &Answered<ApiVersions>) -> Result<(), KafkaError> {
    fn check<A: Answer>(server: &HostPort, ranges: &BTreeMap<i16, (i16, i16)>) -> Result<(), KafkaError> {
        match ranges.get(&<A::Request as Request>::KEY) {
            Some(&(min, max)) if (min..=max).contains(&A::VERSION) => Ok(()),
            _ => Err(KafkaError::UnsupportedVersion { server: server.clone(), api: A::NAME, version: A::VERSION }),
        }
    }
    if answer.code == ErrorCode::UNSUPPORTED_VERSION {
        let (api, version) = (ApiVersions::NAME, ApiVersions::VERSION);
        return Err(KafkaError::UnsupportedVersion { server: server.clone(), api, version });
    }
    if !answer.code.is_success() {
        return Err(refusal::<ApiVersions>(answer.code));
    }
    let ranges = &answer.body.ranges;
    check::<DescribedCluster>(server, ranges)?;
    check::<DescribedConfigs>(server, ranges)?;
    check::<DescribedScram>(server, ranges)?;
    check::<AlteredScram>(server, ranges)?;
    check::<ListedAcls>(server, ranges)?;
    check::<CreatedAcls>(server, ranges)?;
    check::<RemovedAcls>(server, ranges)?;
    check::<DescribedQuotas>(server, ranges)?;
    check::<AlteredQuotas>(server, ranges)
}
