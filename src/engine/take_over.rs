//! Takes users over that live today: proves the passwords that were handed in, and keeps them as the first generation.
//!
//! ```text
//! look (Describe, salt) ──> derive ──> one login ──> a login on every broker ──> Proven ──> material, record
//!                                          │ refused
//!                                          └─> not taken, and asked nowhere else
//! ```
//!
//! Nothing in Kafka is written. Nobody can tell a wrong password before its proof is sent, because a broker tells the salt
//! and keeps the key to itself: each wrong one is a failed authentication on one broker, and on one only. A name that Kafka
//! does not know, or not by a mechanism of the clients' listener, costs none.

use std::sync::Arc;

use super::connect::{ClusterLink, Links};
use super::crash::{self, Side};
use super::login::prove_on;
use super::look::{explain, look_at_slots};
use super::observe::look_at_access;
use crate::credential::{AdoptedSlot, DeletionPolicy, KnownPlaces, Seen, Slot, Slots, Takeover};
use crate::diagnostic::{Chain, Hint};
use crate::host::{System, on_all_cores};
use crate::kafka::{LoginOutcome, LoginRequest, LoginStep, LoginTarget, Logins};
use crate::names::{
    AclRule, ClusterId, ClusterName, Generation, NamespacedName, Scope, StoreName, UserName, UserQuotas,
};
use crate::secret::{Iterations, Material, ScramCredential, Secret, draw_rotation_id};
use crate::state::ClusterObserved;
use crate::store::{Created, RecordWrite, Store, StoreError};

/// Users that are proven together: the proof of a group has one deadline of 20 s.
const GROUP: usize = 500;

/// How many numbers are tried for material. One is lost where an import was cut off between material and record, and the
/// credential changed before the next one.
const NUMBERS_MAX: u64 = 8;

/// A user whose password was handed in.
#[derive(Debug)]
pub struct Given {
    /// The identity it is to have.
    pub user: NamespacedName,
    /// Its name in Kafka.
    pub username: UserName,
    /// Its password, as somebody says.
    pub password: Secret,
}

/// A user whose password works on every broker, with what Kafka has of it.
#[derive(Debug)]
pub struct Proven {
    /// The identity it is to have.
    pub user: NamespacedName,
    /// Its name in Kafka.
    pub username: UserName,
    /// The id of the cluster.
    pub id: ClusterId,
    /// Its credential, with salt and iterations as found.
    pub scram: ScramCredential,
    /// A second credential under the same name.
    pub beside: Option<AdoptedSlot>,
    /// Its ACLs, sorted.
    pub rules: Vec<AclRule>,
    /// Its quotas.
    pub quotas: UserQuotas,
}

/// Why a user is not taken over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unfit {
    /// Why.
    pub why: String,
    /// What to do about it.
    pub hint: Option<Hint>,
}

impl Unfit {
    /// A reason without a remedy that fits everybody.
    pub fn new(why: impl Into<String>) -> Self {
        Self { why: why.into(), hint: None }
    }

    /// The same with a remedy.
    pub fn hint(self, hint: impl Into<Hint>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    pub(super) fn of_store(error: &StoreError) -> Self {
        Self { why: Chain(error).to_string(), hint: error.hint() }
    }
}

/// What became of each user, in the order given.
pub type Verdicts<T> = Vec<(NamespacedName, Result<T, Unfit>)>;

/// Proves passwords on every running broker of a cluster. Writes nothing.
///
/// # Errors
/// Nothing can be told of any user.
pub async fn prove_given(links: &Links, cluster: &ClusterName, given: Vec<Given>) -> Result<Verdicts<Proven>, Unfit> {
    let link = match links.clusters.get(cluster) {
        Some(Seen::Known(link)) => link,
        Some(Seen::Unknown(why)) => return Err(Unfit::new(format!("cluster `{cluster}`: {why}"))),
        None => return Err(Unfit::new(format!("no document declares cluster `{cluster}`"))),
    };
    let Some(logins) = &link.logins else {
        let why = format!("cluster `{cluster}` says `verifyLogins: false`: only a login proves that a password works");
        return Err(Unfit::new(why).hint("let Kastellan reach the clients' listener, and take it away for the import"));
    };
    let Seen::Known(seen) = look_at_access(link).await else {
        return Err(Unfit::new(format!("cluster `{cluster}` cannot be looked at")));
    };
    let mut verdicts = Vec::with_capacity(given.len());
    let mut rest = given.into_iter().peekable();
    while rest.peek().is_some() {
        let group = rest.by_ref().take(GROUP).collect::<Vec<_>>();
        verdicts.extend(prove_group(link, logins, cluster, &seen, group).await);
    }
    Ok(verdicts)
}

async fn prove_group(
    link: &ClusterLink,
    logins: &Logins,
    cluster: &ClusterName,
    seen: &ClusterObserved,
    group: Vec<Given>,
) -> Verdicts<Proven> {
    let names = group.iter().map(|given| given.username.clone()).collect::<Vec<_>>();
    let mut slots = look_at_slots(link, &names, &KnownPlaces::default()).await;
    let mut verdicts = Verdicts::new();
    let mut found = Vec::new();
    for given in group {
        let slots = slots.remove(&given.username).unwrap_or(Seen::Known(Slots::new()));
        match find(link, cluster, seen, slots, &given) {
            Ok(credential) => found.push((given, credential)),
            Err(unfit) => verdicts.push((given.user, Err(unfit))),
        }
    }
    let derived = on_all_cores(found, |(given, found)| found.derive(given)).await;
    let first = log_in_once(logins, &derived).await;
    let mut open = Vec::new();
    for (proven, outcome) in derived.into_iter().zip(first) {
        match refusal(&outcome) {
            None => open.push(proven),
            Some(unfit) => verdicts.push((proven.user, Err(unfit))),
        }
    }
    let credentials = open.iter().map(|proven| (&proven.username, &proven.scram)).collect::<Vec<_>>();
    let (_, proofs) = prove_on(link, &credentials).await;
    drop(credentials);
    for (proven, proof) in open.into_iter().zip(proofs) {
        let user = proven.user.clone();
        verdicts.push((user, proof.map(|()| proven).map_err(|unproven| Unfit::new(unproven.why))));
    }
    verdicts
}

/// What Kafka has of a user, before its password is tried.
struct Found {
    id: ClusterId,
    slot: (crate::names::Mechanism, crate::secret::Salt, Iterations),
    beside: Option<AdoptedSlot>,
    rules: Vec<AclRule>,
    quotas: UserQuotas,
}

impl Found {
    fn derive(self, given: Given) -> Proven {
        let Self { id, slot: (mechanism, salt, iterations), beside, rules, quotas } = self;
        let Given { user, username, password } = given;
        let scram = ScramCredential::derive(mechanism, password, salt, iterations);
        Proven { user, username, id, scram, beside, rules, quotas }
    }
}

/// Finds the credential that a password is tried on: the one by the mechanism that clients prefer.
fn find(
    link: &ClusterLink,
    cluster: &ClusterName,
    seen: &ClusterObserved,
    slots: Seen<Slots>,
    given: &Given,
) -> Result<Found, Unfit> {
    let name = &given.username;
    if matches!(&seen.super_users, Seen::Known(users) if users.contains(name)) {
        return Err(Unfit::new(format!("`{name}` is a super user of the brokers")));
    }
    let unseen = |why: &Arc<str>| Unfit::new(why.to_string());
    let slots = match &slots {
        Seen::Known(slots) => slots,
        Seen::Unknown(why) => return Err(unseen(why)),
    };
    let rules = match &seen.acls {
        Seen::Known(acls) => acls.get(name).cloned().unwrap_or_default(),
        Seen::Unknown(why) => return Err(unseen(why)),
    };
    let quotas = match &seen.quotas {
        Seen::Known(quotas) => quotas.get(name).copied().unwrap_or_default(),
        Seen::Unknown(why) => return Err(unseen(why)),
    };
    let mut told = link.mechanisms.iter().filter_map(|mechanism| Some((*mechanism, slots.get(mechanism)?)));
    let Some((mechanism, slot)) = told.next() else {
        let names = slots.keys().map(|mechanism| mechanism.as_str()).collect::<Vec<_>>().join(", ");
        return Err(match slots.is_empty() {
            true => Unfit::new(format!("Kafka has no SCRAM credential under the name `{name}`")),
            false => Unfit::new(format!("it has {names} alone, which the clients' listener does not offer")),
        });
    };
    let Some(salt) = slot.salt.clone().filter(|_| slot.everywhere) else {
        return Err(Unfit::new("brokers do not agree on its credential yet").hint("import again in a moment"));
    };
    let iterations = Iterations::try_from(slot.iterations).map_err(|error| Unfit::new(error.to_string()))?;
    let beside = slots.iter().find(|(other, _)| **other != mechanism).map(|(other, slot)| AdoptedSlot {
        cluster: cluster.clone(),
        username: name.clone(),
        mechanism: *other,
        salt: slot.salt.clone(),
        iterations: slot.iterations,
    });
    Ok(Found { id: seen.id.clone(), slot: (mechanism, salt, iterations), beside, rules, quotas })
}

/// One login for each, spread over the brokers, so that a wrong password is refused once.
async fn log_in_once(logins: &Logins, proven: &[Proven]) -> Vec<LoginOutcome> {
    let mut outcomes = Vec::with_capacity(proven.len());
    let mut rest = proven;
    // The first login at the bootstrap address tells the listener's brokers.
    if logins.brokers().is_empty()
        && let Some((first, others)) = proven.split_first()
    {
        outcomes.push(logins.login(request(first, LoginTarget::Bootstrap)).await);
        rest = others;
    }
    let brokers = logins.brokers().into_keys().map(LoginTarget::Broker).collect::<Vec<_>>();
    let target = |index: usize| match brokers.is_empty() {
        true => LoginTarget::Bootstrap,
        false => brokers[index % brokers.len()],
    };
    let requests = rest.iter().enumerate().map(|(index, proven)| request(proven, target(index)));
    outcomes.extend(logins.login_many(&requests.collect::<Vec<_>>()).await);
    outcomes
}

fn request(proven: &Proven, target: LoginTarget) -> LoginRequest<'_> {
    LoginRequest { target, user: &proven.username, credential: &proven.scram }
}

fn refusal(outcome: &LoginOutcome) -> Option<Unfit> {
    match outcome {
        LoginOutcome::LoggedIn(_) => None,
        LoginOutcome::Refused { step: LoginStep::Proof, .. } => {
            let why = "the password does not log in: the broker refused it, and counted one failed authentication";
            Some(Unfit::new(why).hint("find the right one, and import the user again"))
        }
        LoginOutcome::SaltDiffers { .. } => {
            Some(Unfit::new("somebody changed its credential meanwhile").hint("import it again"))
        }
        LoginOutcome::Refused { step: LoginStep::Name, .. }
        | LoginOutcome::MechanismNotOffered { .. }
        | LoginOutcome::NameNotAscii
        | LoginOutcome::Violation { .. }
        | LoginOutcome::OtherCluster { .. }
        | LoginOutcome::Unreachable { .. } => Some(Unfit::new(explain(outcome).why)),
    }
}

/// A proven user with what its document says of how it is kept.
#[derive(Debug)]
pub struct Taken {
    /// What was proven.
    pub proven: Proven,
    /// The scope of its document.
    pub scope: Scope,
    /// What its document says of its end.
    pub deletion_policy: DeletionPolicy,
}

/// Keeps proven users of one cluster in a store: material that is never written over, then a record where there is none.
///
/// # Guarantees
/// A record is made only when the material it names is there. Cut off anywhere, the same again completes it.
pub async fn keep(links: &Links, store: &StoreName, cluster: &ClusterName, taken: Vec<Taken>) -> Verdicts<()> {
    let opened = match links.stores.get(store) {
        Some(Seen::Known(link)) => link.store.clone(),
        Some(Seen::Unknown(_)) | None => None,
    };
    let Some(opened) = opened else {
        let closed = || Err(Unfit::new(format!("store `{store}` is not open for writing")));
        return taken.into_iter().map(|taken| (taken.proven.user, closed())).collect();
    };
    let mut verdicts = Verdicts::new();
    let mut open = taken.into_iter().map(Attempt::first).collect::<Vec<_>>();
    while !open.is_empty() {
        let group = opened.users_at_once().min(GROUP).min(open.len());
        let group = open.drain(..group).collect();
        crash::point(Side::Before, "take-over-material");
        let (made, again) = make_material(&*opened, group, &mut verdicts).await;
        crash::point(Side::After, "take-over-material");
        write_records(&*opened, cluster, made, &mut verdicts).await;
        crash::point(Side::After, "take-over-record");
        open.extend(again);
    }
    verdicts
}

/// A user on its way into the store, with the material that is tried.
struct Attempt {
    user: NamespacedName,
    username: UserName,
    id: ClusterId,
    beside: Option<AdoptedSlot>,
    scope: Scope,
    deletion_policy: DeletionPolicy,
    material: Arc<Material>,
}

impl Attempt {
    fn first(taken: Taken) -> Self {
        let Taken { proven, scope, deletion_policy } = taken;
        let Proven { user, username, id, scram, beside, rules: _, quotas: _ } = proven;
        let material = material(Generation::NONE.next(), scram);
        Self { user, username, id, beside, scope, deletion_policy, material }
    }

    /// The same under the next number.
    fn next(self) -> Self {
        let ScramCredential { mechanism, password, salt, iterations, keys: _ } = &self.material.scram;
        let scram = ScramCredential::derive(*mechanism, password.duplicate(), salt.clone(), *iterations);
        Self { material: material(self.material.generation.next(), scram), ..self }
    }
}

fn material(generation: Generation, scram: ScramCredential) -> Arc<Material> {
    let (rotation_id, created_at) = (draw_rotation_id(&mut System), super::now().wall);
    Arc::new(Material { generation, rotation_id, created_at, scram })
}

/// Writes material; what an interrupted import left is used if it is the same, else the next number is tried (R8).
async fn make_material(
    store: &dyn Store,
    group: Vec<Attempt>,
    verdicts: &mut Verdicts<()>,
) -> (Vec<Attempt>, Vec<Attempt>) {
    let materials = group.iter().map(|attempt| (attempt.user.clone(), attempt.material.clone()));
    let created = store.create_materials(materials.collect()).await;
    let there = group.iter().zip(&created).filter(|(_, created)| matches!(created, Ok(Created::AlreadyThere)));
    let there = there.map(|(attempt, _)| (attempt.user.clone(), attempt.material.generation)).collect::<Vec<_>>();
    let mut found = store.read_materials(&there).await.into_iter();
    let (mut made, mut again) = (Vec::new(), Vec::new());
    for (attempt, created) in group.into_iter().zip(created) {
        match created {
            Ok(Created::New) => made.push(attempt),
            Ok(Created::AlreadyThere) => match found.next() {
                Some(Ok(Some(found))) if is_same(&found, &attempt.material) => {
                    made.push(Attempt { material: Arc::new(found), ..attempt });
                }
                Some(Ok(_)) | None if attempt.material.generation.0 < NUMBERS_MAX => again.push(attempt.next()),
                Some(Ok(_)) | None => {
                    verdicts.push((attempt.user, Err(Unfit::new("the store holds other passwords of it"))));
                }
                Some(Err(error)) => verdicts.push((attempt.user, Err(Unfit::of_store(&error)))),
            },
            Err(error) => verdicts.push((attempt.user, Err(Unfit::of_store(&error)))),
        }
    }
    (made, again)
}

fn is_same(found: &Material, wanted: &Material) -> bool {
    let (found, wanted) = (&found.scram, &wanted.scram);
    let told = |scram: &ScramCredential| (scram.mechanism, scram.salt.clone(), scram.iterations);
    told(found) == told(wanted) && found.password.ct_eq(&wanted.password)
}

async fn write_records(store: &dyn Store, cluster: &ClusterName, made: Vec<Attempt>, verdicts: &mut Verdicts<()>) {
    let now = super::now().wall;
    let users = made.iter().map(|attempt| attempt.user.clone()).collect::<Vec<_>>();
    let writes = made.into_iter().map(|attempt| {
        let Attempt { user, username, id, beside, scope, deletion_policy, material } = attempt;
        let slot = Slot {
            username,
            generation: material.generation,
            rotation_id: material.rotation_id.clone(),
            mechanism: material.scram.mechanism,
            salt: material.scram.salt.clone(),
            iterations: material.scram.iterations.count(),
        };
        let destroy = (1..material.generation.0).map(Generation).collect();
        let takeover = Takeover { user, scope, cluster: cluster.clone(), id, slot, beside, destroy, deletion_policy };
        RecordWrite { record: takeover.record(now), expected: None }
    });
    let written = store.write_records(writes.collect()).await;
    for (user, written) in users.into_iter().zip(written) {
        verdicts.push((user, written.map(drop).map_err(|error| Unfit::of_store(&error))));
    }
}
