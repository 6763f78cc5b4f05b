//! Logins that prove credentials on the clients' listener, and the look at a salt that needs no password.
//!
//! A broker counts what goes wrong in a login, and somebody's alarm may hang on that count, so that a probe never causes a
//! failed authentication (`kafka.md` §4): mechanisms come from the configuration and each is shaken
//! hands for once; every probe has a connection of its own; a login goes on to its proof only when the salt and
//! iterations of the broker's first message are the expected ones. The caller's part: a user is looked at only on a broker
//! whose Describe shows the credential, and, where the slot is new, after [`Admin::barrier`](super::Admin::barrier).

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::time::Duration;

use futures_util::future::join_all;
use futures_util::stream::{self, StreamExt as _};
use kafka_protocol::messages::{DescribeClusterRequest, SaslAuthenticateRequest, SaslHandshakeRequest};
use kafka_protocol::protocol::StrBytes;
use tokio::sync::{OnceCell, OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

use super::connection::{Connection, Use};
use super::pool::api_versions;
use super::sasl::{mechanism_list, session_lifetime};
use super::scram::{ClientFirst, ServerFirst};
use super::tls::Tls;
use super::wire::{ApiVersions, DescribedCluster, SaslAuthenticated, SaslShaken};
use super::{ClientsEndpoint, Deadlines, ErrorCode, KafkaError};
use crate::diagnostic::{Chain, Disposition};
use crate::names::{BrokerId, ClusterId, HostPort, Mechanism, UserName};
use crate::secret::{Salt, ScramCredential};

/// Probes in flight to one broker: more bring outliers of a second, when its accept queue overflows (`kafka.md` §5).
const PROBES_PER_BROKER: usize = 32;

/// The clients' listener of one cluster. Cheap to clone.
#[derive(Clone)]
pub struct Logins {
    listener: Arc<Listener>,
}

struct Listener {
    bootstrap: Vec<HostPort>,
    client_id: String,
    tls: Option<Tls>,
    deadlines: Deadlines,
    cluster: ClusterId,
    /// As the listener advertises them; empty before the first login.
    brokers: RwLock<BTreeMap<BrokerId, HostPort>>,
    /// Per configured mechanism whether it has it, once that was tried; if not, what it offers.
    offers: BTreeMap<Mechanism, OnceCell<Result<(), String>>>,
    in_flight: Mutex<BTreeMap<HostPort, Arc<Semaphore>>>,
    probes: AtomicU64,
}

impl std::fmt::Debug for Logins {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Logins").field("bootstrap", &self.listener.bootstrap).finish_non_exhaustive()
    }
}

/// Where to log in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LoginTarget {
    /// Whatever answers at the bootstrap address.
    Bootstrap,
    /// One broker, known by an earlier login.
    Broker(BrokerId),
}

/// One login to be done.
#[derive(Debug, Clone, Copy)]
pub struct LoginRequest<'a> {
    /// Where.
    pub target: LoginTarget,
    /// Who.
    pub user: &'a UserName,
    /// Mechanism, salt, iterations and keys.
    pub credential: &'a ScramCredential,
}

/// What a broker tells anyone about a credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Peek {
    /// The credential has this salt and so many iterations.
    Credential {
        /// As the broker told it.
        salt: Salt,
        /// As the broker told it.
        iterations: u32,
    },
    /// It was not shown.
    Failed(LoginOutcome),
}

/// What became of a login.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LoginOutcome {
    /// The broker accepted the proof and proved itself.
    LoggedIn(LoggedIn),
    /// The broker has another credential; the login was given up before its proof.
    SaltDiffers {
        /// As the broker told it.
        salt: Salt,
        /// As the broker told it.
        iterations: u32,
    },
    /// The broker refused, and has counted a failed authentication.
    Refused {
        /// Kafka's code.
        code: ErrorCode,
        /// At which step.
        step: LoginStep,
    },
    /// The listener does not have the mechanism, as an earlier probe or this one showed.
    MechanismNotOffered {
        /// What it offers, for people.
        offered: String,
    },
    /// Nobody can log in by this name: Kafka's SCRAM server reads only ASCII. It was not asked.
    NameNotAscii,
    /// The server's part of the exchange is wrong: an impostor, or a broken broker.
    Violation {
        /// What is wrong.
        reason: &'static str,
    },
    /// The listener belongs to another cluster.
    OtherCluster {
        /// The cluster that is administered.
        expected: ClusterId,
        /// The cluster that answered.
        found: ClusterId,
    },
    /// The broker could not be asked, or did not answer.
    Unreachable {
        /// The failure, sources included.
        why: String,
        /// What to do about it.
        disposition: Disposition,
    },
}

/// A login that succeeded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoggedIn {
    /// Where.
    pub server: HostPort,
    /// After how long the broker asks for a new login (`connections.max.reauth.ms`); `None` where it does not.
    pub session_lifetime: Option<Duration>,
}

/// A step of a login.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoginStep {
    /// The user's name: unknown, or without a credential of this mechanism.
    Name,
    /// The proof that the password is known.
    Proof,
}

/// A probe after the broker's first message.
struct Begun {
    connection: Connection,
    first: ClientFirst,
    server_first: ServerFirst,
    until: Instant,
    _slot: OwnedSemaphorePermit,
}

impl Logins {
    /// Makes sure that something speaks Kafka at a bootstrap address; logs nobody in.
    ///
    /// `cluster` is the id that every login must meet. `mechanisms` are those that the configuration says the listener
    /// has; no other is ever tried.
    pub async fn discover(
        endpoint: ClientsEndpoint,
        mechanisms: Vec<Mechanism>,
        cluster: ClusterId,
        deadlines: Deadlines,
    ) -> Result<Self, KafkaError> {
        let listener = Listener {
            bootstrap: endpoint.bootstrap,
            client_id: endpoint.client_id,
            tls: endpoint.tls.as_ref().map(Tls::prepare).transpose()?,
            offers: mechanisms.into_iter().map(|mechanism| (mechanism, OnceCell::new())).collect(),
            deadlines,
            cluster,
            brokers: RwLock::default(),
            in_flight: Mutex::default(),
            probes: AtomicU64::new(0),
        };
        let mut connection = listener.connect(LoginTarget::Bootstrap).await?;
        let answer = connection.call::<ApiVersions>(&api_versions(), deadlines.read).await;
        answer.map_err(|failed| failed.error)?;
        Ok(Self { listener: Arc::new(listener) })
    }

    /// The brokers as the listener advertises them; empty before the first login at [`LoginTarget::Bootstrap`].
    pub fn brokers(&self) -> BTreeMap<BrokerId, HostPort> {
        self.listener.brokers()
    }

    /// Connections made so far to look at a salt or to log in.
    pub fn probes(&self) -> u64 {
        self.listener.probes.load(Ordering::Relaxed)
    }

    /// Asks a broker for the salt of a credential, and hangs up. A user without such a credential counts as a failed
    /// authentication: ask only where Describe shows one.
    pub async fn peek(&self, target: LoginTarget, user: &UserName, mechanism: Mechanism) -> Peek {
        match self.listener.begin(target, user, mechanism).await {
            Ok(begun) => Peek::Credential { salt: begun.server_first.salt, iterations: begun.server_first.iterations },
            Err(outcome) => Peek::Failed(outcome),
        }
    }

    /// Logs in with a credential whose salt and iterations the broker is expected to have. A login at the bootstrap
    /// address also learns the listener's brokers and checks the cluster's id.
    pub async fn login(&self, request: LoginRequest<'_>) -> LoginOutcome {
        self.listener.login(request).await.unwrap_or_else(|outcome| outcome)
    }

    /// [`Logins::peek`] for many, on all brokers at once, at most 32 in flight on each; in the order given.
    pub async fn peek_many(&self, requests: &[(LoginTarget, &UserName, Mechanism)]) -> Vec<Peek> {
        let peek = |index: usize| {
            let (target, user, mechanism) = requests[index];
            self.peek(target, user, mechanism)
        };
        in_order(requests.iter().map(|&(target, ..)| target), peek).await
    }

    /// [`Logins::login`] for many, on all brokers at once, at most 32 in flight on each; in the order given.
    pub async fn login_many(&self, requests: &[LoginRequest<'_>]) -> Vec<LoginOutcome> {
        in_order(requests.iter().map(|request| request.target), |index| self.login(requests[index])).await
    }
}

/// Runs one probe per target, at most [`PROBES_PER_BROKER`] at a time for each distinct one.
async fn in_order<T, F: Future<Output = T>>(
    targets: impl Iterator<Item = LoginTarget>,
    probe: impl Fn(usize) -> F,
) -> Vec<T> {
    let mut by_target: BTreeMap<LoginTarget, Vec<usize>> = BTreeMap::new();
    for (index, target) in targets.enumerate() {
        by_target.entry(target).or_default().push(index);
    }
    let probe = &probe;
    let work = by_target.into_values().map(|indices| {
        stream::iter(indices)
            .map(|index| async move { (index, probe(index).await) })
            .buffer_unordered(PROBES_PER_BROKER)
            .collect::<Vec<_>>()
    });
    let mut results: Vec<(usize, T)> = join_all(work).await.into_iter().flatten().collect();
    results.sort_by_key(|&(index, _)| index);
    results.into_iter().map(|(_, result)| result).collect()
}

impl Listener {
    fn brokers(&self) -> BTreeMap<BrokerId, HostPort> {
        self.brokers.read().expect("no panic while it is held").clone()
    }

    async fn connect(&self, target: LoginTarget) -> Result<Connection, KafkaError> {
        let servers = match target {
            LoginTarget::Bootstrap => self.bootstrap.clone(),
            LoginTarget::Broker(broker) => {
                let brokers = self.brokers.read().expect("no panic while it is held");
                vec![brokers.get(&broker).ok_or(KafkaError::UnknownBroker { broker })?.clone()]
            }
        };
        let mut last = KafkaError::NoBootstrap;
        for server in &servers {
            let (tls, connect) = (self.tls.as_ref(), self.deadlines.connect);
            match Connection::open(server, tls, &self.client_id, Use::Probe, connect).await {
                Err(error) if error.is_about_transport() => last = error,
                settled => return settled,
            }
        }
        Err(last)
    }

    fn slots(&self, target: LoginTarget) -> Arc<Semaphore> {
        let address = match target {
            LoginTarget::Bootstrap => self.bootstrap.first().cloned(),
            LoginTarget::Broker(broker) => self.brokers().get(&broker).cloned(),
        };
        let mut in_flight = self.in_flight.lock().expect("no panic while it is held");
        let new = || Arc::new(Semaphore::new(PROBES_PER_BROKER));
        address.map_or_else(new, |address| in_flight.entry(address).or_insert_with(new).clone())
    }

    /// Handshake and first message in one write, both answers.
    async fn begin(&self, target: LoginTarget, user: &UserName, mechanism: Mechanism) -> Result<Begun, LoginOutcome> {
        self.check_mechanism(mechanism).await?;
        if !user.can_log_in_by_scram() {
            return Err(LoginOutcome::NameNotAscii);
        }
        let slot = self.slots(target).acquire_owned().await.expect("never closed");
        self.probes.fetch_add(1, Ordering::Relaxed);
        let mut connection = self.connect(target).await.map_err(unreachable)?;
        let until = Instant::now() + self.deadlines.login;
        let first = ClientFirst::begin(user);
        let begun = timeout_at(until, begin_exchange(&mut connection, &first, mechanism)).await;
        let (shaken, answer) = begun.map_err(|_| self.silent(&connection))?.map_err(unreachable)?;
        if !shaken.code.is_success() {
            return Err(unreachable(KafkaError::Refused { api: "SaslHandshake", code: shaken.code }));
        }
        let answer = answer.ok_or(LoginOutcome::Violation { reason: "it did not answer the first message" })?;
        if !answer.code.is_success() {
            return Err(LoginOutcome::Refused { code: answer.code, step: LoginStep::Name });
        }
        let server_first = first.answer(&answer.body.message).map_err(|reason| LoginOutcome::Violation { reason })?;
        Ok(Begun { connection, first, server_first, until, _slot: slot })
    }

    /// Shakes hands once for each mechanism and hangs up, before any probe uses it: a listener that does not have it
    /// counts that as a failed authentication, and a thousand probes must not make a thousand of them.
    async fn check_mechanism(&self, mechanism: Mechanism) -> Result<(), LoginOutcome> {
        let Some(offer) = self.offers.get(&mechanism) else {
            let known: Vec<&str> = self.offers.keys().map(|mechanism| mechanism.as_str()).collect();
            return Err(LoginOutcome::MechanismNotOffered { offered: known.join(", ") });
        };
        let offer = offer.get_or_try_init(|| async {
            let mut connection = self.connect(LoginTarget::Bootstrap).await.map_err(unreachable)?;
            let answer = connection.call::<SaslShaken>(&handshake(mechanism), self.deadlines.login).await;
            let answer = answer.map_err(|failed| unreachable(failed.error))?;
            match answer.code {
                ErrorCode::NONE => Ok(Ok(())),
                ErrorCode::UNSUPPORTED_SASL_MECHANISM => Ok(Err(mechanism_list(&answer.body.mechanisms))),
                code => Err(unreachable(KafkaError::Refused { api: "SaslHandshake", code })),
            }
        });
        let offer = offer.await?.clone();
        offer.map_err(|offered| LoginOutcome::MechanismNotOffered { offered })
    }

    async fn login(&self, request: LoginRequest<'_>) -> Result<LoginOutcome, LoginOutcome> {
        let LoginRequest { target, user, credential } = request;
        let Begun { mut connection, first, server_first, until, _slot } =
            self.begin(target, user, credential.mechanism).await?;
        if server_first.salt != credential.salt || server_first.iterations != credential.iterations.count() {
            let ServerFirst { salt, iterations, .. } = server_first;
            return Err(LoginOutcome::SaltDiffers { salt, iterations });
        }
        let proof = first.prove(&server_first, credential.mechanism, &credential.keys);
        let message = SaslAuthenticateRequest::default().with_auth_bytes(proof.message.clone().into());
        let left = until.saturating_duration_since(Instant::now());
        let answer = connection.call::<SaslAuthenticated>(&message, left).await;
        let answer = answer.map_err(|failed| unreachable(failed.error))?;
        if !answer.code.is_success() {
            return Err(LoginOutcome::Refused { code: answer.code, step: LoginStep::Proof });
        }
        proof.verify(&answer.body.message).map_err(|reason| LoginOutcome::Violation { reason })?;
        match target {
            LoginTarget::Bootstrap => self.learn_brokers(&mut connection).await?,
            LoginTarget::Broker(_) => {}
        }
        let server = connection.server().clone();
        Ok(LoginOutcome::LoggedIn(LoggedIn { server, session_lifetime: session_lifetime(&answer) }))
    }

    async fn learn_brokers(&self, connection: &mut Connection) -> Result<(), LoginOutcome> {
        let request = DescribeClusterRequest::default();
        let answer = connection.call::<DescribedCluster>(&request, self.deadlines.read).await;
        let answer = answer.map_err(|failed| unreachable(failed.error))?;
        match answer.body.id {
            Some(found) if answer.code.is_success() && found == self.cluster => {}
            Some(found) if answer.code.is_success() => {
                return Err(LoginOutcome::OtherCluster { expected: self.cluster.clone(), found });
            }
            Some(_) | None => return Err(LoginOutcome::Refused { code: answer.code, step: LoginStep::Proof }),
        }
        *self.brokers.write().expect("no panic while it is held") = answer.body.brokers;
        Ok(())
    }

    fn silent(&self, connection: &Connection) -> LoginOutcome {
        let server = connection.server().clone();
        unreachable(KafkaError::Silent { server, step: "the login", after: self.deadlines.login })
    }
}

fn handshake(mechanism: Mechanism) -> SaslHandshakeRequest {
    SaslHandshakeRequest::default().with_mechanism(StrBytes::from_static_str(mechanism.as_str()))
}

type Exchange<A> = super::wire::Answered<A>;

/// The second answer is missing where the handshake was refused: the broker closes then.
async fn begin_exchange(
    connection: &mut Connection,
    first: &ClientFirst,
    mechanism: Mechanism,
) -> Result<(Exchange<SaslShaken>, Option<Exchange<SaslAuthenticated>>), KafkaError> {
    let message = SaslAuthenticateRequest::default().with_auth_bytes(first.message().into());
    let (handshake_id, mut frames) = connection.prepare::<SaslShaken>(&handshake(mechanism))?;
    let (message_id, frame) = connection.prepare::<SaslAuthenticated>(&message)?;
    frames.extend_from_slice(&frame);
    connection.send("SaslHandshake", &frames).await?;
    let shaken = connection.receive::<SaslShaken>(handshake_id).await?;
    if !shaken.code.is_success() {
        return Ok((shaken, None));
    }
    Ok((shaken, Some(connection.receive::<SaslAuthenticated>(message_id).await?)))
}

fn unreachable(error: KafkaError) -> LoginOutcome {
    LoginOutcome::Unreachable { why: Chain(&error).to_string(), disposition: error.disposition() }
}
