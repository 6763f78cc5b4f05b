//! An in-process Kafka cluster that speaks the real wire: what Kastellan needs of one, and faults on demand.
//!
//! ```text
//!   InProcessCluster ── State (a log of changes, committed once)
//!      ├─ broker 1 ── Image (how far it has applied the log; Describe first, logins later)
//!      ├─ broker 2 …            ^
//!      └─ Faults, counters      └── session: SASL, then requests, over TCP on 127.0.0.1 or any byte stream
//! ```
//!
//! It is checked against real brokers by `kafka_conformance`. It stores no topics and knows no other client than ours.
//! Time is tokio's, so that a test with a paused clock can move it.

mod apis;
mod faults;
mod sasl;
mod session;
mod state;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use kafka_protocol::messages::ApiKey;
use kastellan::kafka::{Authentication, ClientsEndpoint, Endpoint, HostPort};
use kastellan::names::{AclRule, BrokerId, Mechanism, Principal, UserName};
use kastellan::secret::{Iterations, Salt, ScramCredential, Secret};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

pub use faults::{Fault, FaultKind};
pub use session::serve;
pub use state::{Change, Clock, State, StoredCredential};
use state::{Image, Log};

/// Which of a broker's listeners a connection came in by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Door {
    /// Administrators: SCRAM of both mechanisms, and PLAIN.
    Admin,
    /// Applications: the mechanisms of the builder.
    Clients,
}

/// How a cluster is made.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How many brokers, from 1 on.
    pub brokers: i32,
    /// The id that it tells.
    pub cluster_id: String,
    /// Mechanisms of the clients' listener.
    pub client_mechanisms: Vec<Mechanism>,
    /// How long after a commit each broker shows it.
    pub apply_lag: BTreeMap<BrokerId, Duration>,
    /// How long after it shows a credential a broker lets it log in.
    pub publish_lag: Duration,
    /// `connections.max.reauth.ms`; 0 for none.
    pub session_lifetime_ms: i64,
    /// Rights of Kastellan's own user.
    pub rights: Vec<AclRule>,
    /// What lags are measured with.
    pub clock: Clock,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            brokers: 1,
            cluster_id: "in-process-cluster-id".into(),
            client_mechanisms: Mechanism::ALL.into(),
            apply_lag: BTreeMap::new(),
            publish_lag: Duration::ZERO,
            session_lifetime_ms: 0,
            rights: kastellan::kafka::needed_rights(kastellan::kafka::Purpose::Applying),
            clock: Clock::default(),
        }
    }
}

/// A running cluster; its listeners close when it is dropped.
pub struct InProcessCluster {
    pub(crate) shared: Arc<Shared>,
    listeners: Vec<JoinHandle<()>>,
}

/// What all sessions of all brokers share.
pub struct Shared {
    settings: Settings,
    addresses: BTreeMap<(BrokerId, Door), HostPort>,
    world: Mutex<World>,
    hang_up: tokio::sync::Notify,
    /// Requests that are to be executed later.
    late: std::sync::atomic::AtomicUsize,
}

struct World {
    log: Log,
    images: BTreeMap<BrokerId, Image>,
    faults: Vec<Fault>,
    requests: BTreeMap<(BrokerId, i16), usize>,
    items: BTreeMap<i16, usize>,
    largest: BTreeMap<i16, usize>,
    failed_authentications: BTreeMap<BrokerId, usize>,
    failed_logins: Vec<String>,
    plain_password: String,
    /// Brokers that have left, each with those that know.
    fenced: BTreeMap<BrokerId, BTreeSet<BrokerId>>,
}

/// Name of Kastellan's own user on every in-process cluster.
pub const KASTELLAN: &str = "kastellan";
/// Its password.
const PASSWORD: &str = "in-process-password";

impl InProcessCluster {
    /// Starts listeners on free ports of 127.0.0.1.
    pub async fn start(settings: Settings) -> Self {
        let ids: Vec<BrokerId> = (1..=settings.brokers).map(BrokerId).collect();
        let mut addresses = BTreeMap::new();
        let mut sockets = Vec::new();
        for &id in &ids {
            for door in [Door::Admin, Door::Clients] {
                let socket = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
                let port = socket.local_addr().expect("it is bound").port();
                addresses.insert((id, door), HostPort { host: "127.0.0.1".into(), port });
                sockets.push((id, door, socket));
            }
        }
        let cluster = Self::without_listeners(settings, addresses);
        let listen = |(id, door, socket): (BrokerId, Door, TcpListener)| {
            let shared = cluster.shared.clone();
            tokio::spawn(async move {
                while let Ok((stream, _)) = socket.accept().await {
                    let _ = stream.set_nodelay(true);
                    tokio::spawn(serve(stream, shared.clone(), id, door));
                }
            })
        };
        let listeners = sockets.into_iter().map(listen).collect();
        Self { shared: cluster.shared.clone(), listeners }
    }

    /// A cluster whose brokers tell these addresses; somebody else listens there and calls [`serve`].
    pub fn without_listeners(settings: Settings, addresses: BTreeMap<(BrokerId, Door), HostPort>) -> Self {
        let ids: Vec<BrokerId> = (1..=settings.brokers).map(BrokerId).collect();
        let mut log = Log::new(settings.clock.clone());
        let user = UserName::parse(KASTELLAN).expect("a name");
        log.commit(Change::Credential(user.clone(), Mechanism::ScramSha512, Some(credential_of(PASSWORD))));
        for rule in &settings.rights {
            log.commit(Change::AddAcl(Principal::of_user(&user), rule.clone()));
        }
        let image = |id: &BrokerId| {
            let lag = settings.apply_lag.get(id).copied().unwrap_or_default();
            (*id, Image::new(&log, lag, settings.publish_lag))
        };
        let world = World {
            images: ids.iter().map(image).collect(),
            log,
            faults: Vec::new(),
            requests: BTreeMap::new(),
            items: BTreeMap::new(),
            largest: BTreeMap::new(),
            failed_authentications: BTreeMap::new(),
            failed_logins: Vec::new(),
            plain_password: PASSWORD.into(),
            fenced: BTreeMap::new(),
        };
        let shared = Arc::new(Shared {
            settings,
            addresses,
            world: Mutex::new(world),
            hang_up: Default::default(),
            late: Default::default(),
        });
        Self { shared, listeners: Vec::new() }
    }

    /// How Kastellan logs in.
    pub fn admin(&self) -> Endpoint {
        let authentication = Authentication::Scram {
            mechanism: Mechanism::ScramSha512,
            username: UserName::parse(KASTELLAN).expect("a name"),
            password: Arc::new(Secret::from_text(PASSWORD.into())),
        };
        Endpoint { bootstrap: self.bootstrap(Door::Admin), tls: None, authentication, client_id: "test".into() }
    }

    /// How Kastellan logs in by PLAIN, which derives no keys.
    pub fn admin_plain(&self) -> Endpoint {
        let username = UserName::parse(KASTELLAN).expect("a name");
        let password = Arc::new(Secret::from_text(PASSWORD.into()));
        Endpoint { authentication: Authentication::Plain { username, password }, ..self.admin() }
    }

    /// Where applications log in.
    pub fn clients(&self) -> ClientsEndpoint {
        ClientsEndpoint { bootstrap: self.bootstrap(Door::Clients), tls: None, client_id: "test".into() }
    }

    fn bootstrap(&self, door: Door) -> Vec<HostPort> {
        let at_door = self.shared.addresses.iter().filter(|((_, at), _)| *at == door);
        at_door.map(|(_, address)| address.clone()).collect()
    }

    /// Logins that its brokers have refused.
    pub fn failed_authentications(&self) -> usize {
        self.shared.world().failed_authentications.values().sum()
    }

    /// Whether a login with this credential would succeed on a broker now.
    pub fn logs_in(&self, broker: BrokerId, user: &UserName, mechanism: Mechanism, with: &StoredCredential) -> bool {
        let mut world = self.shared.world();
        let world = &mut *world;
        let image = world.images.get_mut(&broker).expect("a broker of the cluster");
        image.advance(&mut world.log);
        image.login(user, mechanism) == Some(with)
    }

    /// Every broker has applied everything, however it lags.
    pub fn settle(&self) {
        let mut world = self.shared.world();
        let World { images, log, .. } = &mut *world;
        images.values_mut().for_each(|image| image.settle(log));
    }

    /// One broker is registered and does not run, as far as some others know; it answers all the same.
    pub fn fence(&self, broker: BrokerId, known_to: impl IntoIterator<Item = BrokerId>) {
        self.shared.world().fenced.insert(broker, known_to.into_iter().collect());
    }

    /// Makes one broker lose a credential that the others keep.
    pub fn forget(&self, broker: BrokerId, user: &UserName, mechanism: Mechanism) {
        let mut world = self.shared.world();
        let world = &mut *world;
        let image = world.images.get_mut(&broker).expect("a broker of the cluster");
        image.advance(&mut world.log);
        image.forget(user, mechanism);
    }

    /// Looks at what has been committed, without a copy.
    pub fn look<T>(&self, at: impl FnOnce(&State) -> T) -> T {
        at(self.shared.world().log.state())
    }

    /// What those logins tried that failed since this was asked last.
    pub fn take_failed_logins(&self) -> Vec<String> {
        std::mem::take(&mut self.shared.world().failed_logins)
    }

    /// Requests of one kind so far, on all brokers.
    pub fn requests(&self, api: ApiKey) -> usize {
        let world = self.shared.world();
        world.requests.iter().filter(|((_, key), _)| *key == api as i16).map(|(_, count)| count).sum()
    }

    /// Requests of one kind on one broker.
    pub fn requests_on(&self, broker: BrokerId, api: ApiKey) -> usize {
        self.shared.world().requests.get(&(broker, api as i16)).copied().unwrap_or(0)
    }

    /// Most items that one request of this kind had.
    pub fn largest_request(&self, api: ApiKey) -> usize {
        self.shared.world().largest.get(&(api as i16)).copied().unwrap_or(0)
    }

    /// Items of all requests that write: what a pass with nothing to do must leave alone.
    pub fn items_written(&self) -> usize {
        let writes =
            [ApiKey::AlterUserScramCredentials, ApiKey::CreateAcls, ApiKey::DeleteAcls, ApiKey::AlterClientQuotas];
        let world = self.shared.world();
        writes.iter().map(|&api| world.items.get(&(api as i16)).copied().unwrap_or(0)).sum()
    }

    /// Plans a fault; faults of one kind are used up in the order they were planned.
    pub fn inject(&self, fault: Fault) {
        self.shared.world().faults.push(fault);
    }

    /// Requests that arrived and are to be executed later.
    pub fn late_requests(&self) -> usize {
        self.shared.late.load(std::sync::atomic::Ordering::Relaxed)
    }

    /// How often something changed.
    pub fn revision(&self) -> u64 {
        self.shared.world().log.revision()
    }

    /// Takes back the faults that have not happened yet.
    pub fn clear_faults(&self) {
        self.shared.world().faults.clear();
    }

    /// Closes every connection that waits for a request, as brokers do with idle ones.
    pub fn hang_up(&self) {
        self.shared.hang_up.notify_waiters();
    }

    /// Does something behind Kastellan's back.
    pub fn change(&self, change: Change) {
        self.shared.world().log.commit(change);
    }

    /// What has been committed, whatever the brokers show.
    pub fn state(&self) -> State {
        self.shared.world().log.state().clone()
    }
}

impl Drop for InProcessCluster {
    fn drop(&mut self) {
        self.listeners.iter().for_each(JoinHandle::abort);
    }
}

impl Shared {
    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().expect("no panic while it is held")
    }
}

/// The credential of a text, with a salt of its own.
pub fn credential_of(password: &str) -> StoredCredential {
    // Thousands of clusters of a simulation ask for the same few, and deriving one takes as long as a good part of a run.
    static KNOWN: Mutex<BTreeMap<String, StoredCredential>> = Mutex::new(BTreeMap::new());
    let mut known = KNOWN.lock().expect("no panic while it is held");
    known.entry(password.to_owned()).or_insert_with(|| derive_credential(password)).clone()
}

fn derive_credential(password: &str) -> StoredCredential {
    let salt: Vec<u8> = password.bytes().cycle().take(24).collect();
    let salt = Salt::parse(salt).expect("24 bytes");
    let password = Secret::from_text(password.into());
    let credential = ScramCredential::derive(Mechanism::ScramSha512, password, salt, Iterations::default());
    StoredCredential::from_salted(
        Mechanism::ScramSha512,
        credential.salt.bytes(),
        4096,
        credential.keys.salted_password.expose(),
    )
}
