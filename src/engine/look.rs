//! The look at slots (R6), and what a login that did not succeed means.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures_util::future::join_all;

use super::connect::ClusterLink;
use crate::credential::{KnownPlaces, Place, Seen, SlotSeen, Slots};
use crate::diagnostic::{Chain, Disposition};
use crate::kafka::{KafkaError, LoginOutcome, LoginStep, LoginTarget, Peek, ScramListing};
use crate::names::{BrokerId, Mechanism, UserName};
use crate::secret::Salt;

/// How often brokers that disagree about a credential are asked again: propagation takes milliseconds, under load up to
/// two seconds (kafka.md §3).
const AGREE_ATTEMPTS: usize = 8;
/// Between those.
const AGREE_PAUSE: std::time::Duration = std::time::Duration::from_millis(250);
/// How long brokers have to apply what they show: idle ones do within half a second (kafka.md §3).
const SETTLE_PATIENCE: std::time::Duration = std::time::Duration::from_secs(5);

/// The slots of users on one cluster, with their salts (R6).
///
/// Every broker is asked which credentials it shows, because asking a broker for the salt of a credential it does not have
/// counts as a failed authentication (kafka.md §4). Brokers that differ are asked again; one that does not show a credential
/// after that has lost it.
///
/// The salts of places that are being emptied are not asked for: a credential that Describe still shows may be gone the moment
/// after. Those of places that are not settled are asked for once every broker has applied what it shows.
pub(super) async fn look_at_slots(
    link: &ClusterLink,
    users: &[UserName],
    known: &KnownPlaces,
) -> BTreeMap<UserName, Seen<Slots>> {
    let mut slots = BTreeMap::new();
    let mut open: Vec<UserName> = users.to_vec();
    for attempt in 0..AGREE_ATTEMPTS {
        if open.is_empty() {
            break;
        }
        if attempt > 0 {
            tokio::time::sleep(AGREE_PAUSE).await;
        }
        let listings = match describe_everywhere(link, &open).await {
            Ok(listings) => listings,
            Err(error) => {
                let why: Arc<str> = Chain(&error).to_string().into();
                slots.extend(open.drain(..).map(|user| (user, Seen::Unknown(why.clone()))));
                break;
            }
        };
        let is_last = attempt + 1 == AGREE_ATTEMPTS;
        let shown = open.iter().map(|user| Shown::to(user, &listings));
        let (due, rest) = shown.partition::<Vec<_>, _>(|shown| is_last || shown.is_agreed());
        let (settled, fresh) = due.into_iter().partition(|shown| shown.is_in(&known.settled));
        slots.extend(peek_salts(link, settled, &known.emptied).await);
        slots.extend(peek_fresh(link, fresh, &known.emptied).await);
        open = rest.into_iter().map(|shown| shown.user).collect();
    }
    slots
}

type Listings = Vec<(BrokerId, ScramListing)>;

async fn describe_everywhere(link: &ClusterLink, users: &[UserName]) -> Result<Listings, KafkaError> {
    let brokers = link.admin.cluster().brokers.keys().copied().collect::<Vec<_>>();
    let looks = brokers.iter().map(|&broker| async move {
        let listing = link.admin.describe_scram(Some(broker), users).await?;
        Ok((broker, listing))
    });
    join_all(looks).await.into_iter().collect()
}

/// Which brokers show which credentials of a user.
struct Shown {
    user: UserName,
    /// By mechanism: each broker that shows one, with its iterations.
    credentials: BTreeMap<Mechanism, Vec<(BrokerId, u32)>>,
    brokers: usize,
}

impl Shown {
    fn to(user: &UserName, listings: &Listings) -> Self {
        let mut credentials: BTreeMap<Mechanism, Vec<(BrokerId, u32)>> = BTreeMap::new();
        for (broker, listing) in listings {
            for &(mechanism, iterations) in listing.get(user).into_iter().flatten() {
                credentials.entry(mechanism).or_default().push((*broker, iterations));
            }
        }
        Self { user: user.clone(), credentials, brokers: listings.len() }
    }

    fn is_in(&self, places: &BTreeSet<Place>) -> bool {
        let place = |mechanism: &Mechanism| Place { username: self.user.clone(), mechanism: *mechanism };
        self.credentials.keys().all(|mechanism| places.contains(&place(mechanism)))
    }

    fn is_agreed(&self) -> bool {
        self.credentials.values().all(|shown| self.is_everywhere(shown) && has_one_form(shown))
    }

    fn is_everywhere(&self, shown: &[(BrokerId, u32)]) -> bool {
        shown.len() == self.brokers
    }
}

fn has_one_form(shown: &[(BrokerId, u32)]) -> bool {
    shown.windows(2).all(|pair| pair[0].1 == pair[1].1)
}

/// The same for users with credentials that somebody may have written a moment ago: another process, or one that is no more.
async fn peek_fresh(
    link: &ClusterLink,
    shown: Vec<Shown>,
    being_emptied: &BTreeSet<Place>,
) -> Vec<(UserName, Seen<Slots>)> {
    if shown.is_empty() || link.logins.is_none() {
        return peek_salts(link, shown, being_emptied).await;
    }
    let brokers = link.admin.cluster().brokers.keys().copied().collect::<Vec<_>>();
    match pass_barrier(link, &brokers, SETTLE_PATIENCE).await {
        Ok(()) => peek_salts(link, shown, being_emptied).await,
        Err(why) => {
            let why: Arc<str> = why.into();
            shown.into_iter().map(|shown| (shown.user, Seen::Unknown(why.clone()))).collect()
        }
    }
}

/// Waits until each broker takes logins by what it shows; or why one of them does not.
pub(super) async fn pass_barrier(
    link: &ClusterLink,
    brokers: &[BrokerId],
    within: std::time::Duration,
) -> Result<(), String> {
    let passed = link.admin.barrier(brokers, within).await;
    passed
        .into_iter()
        .try_for_each(|(broker, passed)| passed.map_err(|error| format!("broker {broker}: {}", Chain(&error))))
}

/// Asks for the salt of each credential that is shown, one broker each: one that shows it.
async fn peek_salts(
    link: &ClusterLink,
    shown: Vec<Shown>,
    being_emptied: &BTreeSet<Place>,
) -> Vec<(UserName, Seen<Slots>)> {
    let Some(logins) = &link.logins else {
        // Without a clients' listener to ask, mechanism and iterations are all there is.
        return shown.into_iter().map(|shown| assemble(shown, |_, _| Ok(None))).collect();
    };
    let targets = login_targets(logins);
    let mut requests = Vec::new();
    for (index, shown) in shown.iter().enumerate() {
        for (mechanism, brokers) in shown.credentials.iter().filter(|(one, _)| link.mechanisms.contains(one)) {
            if being_emptied.contains(&Place { username: shown.user.clone(), mechanism: *mechanism }) {
                continue;
            }
            // Where all agree, the work is spread; else whoever shows it is asked.
            let spread = targets[(index + requests.len()) % targets.len()];
            let shows = targets
                .iter()
                .copied()
                .find(|target| brokers.iter().any(|(id, _)| *target == LoginTarget::Broker(*id)));
            if let Some(target) = if shown.is_everywhere(brokers) { Some(spread) } else { shows } {
                requests.push((target, &shown.user, *mechanism));
            }
        }
    }
    let peeks = logins.peek_many(&requests).await;
    let asked = requests.iter().map(|(_, user, mechanism)| ((*user).clone(), *mechanism));
    let mut peeks = asked.zip(peeks).collect::<BTreeMap<_, _>>();
    let mut peek = |user: &UserName, mechanism: Mechanism| match peeks.remove(&(user.clone(), mechanism)) {
        None => Ok(None),
        Some(Peek::Credential { salt, iterations }) => Ok(Some((salt, iterations))),
        Some(Peek::Failed(outcome)) => Err(explain(&outcome).why),
    };
    shown.into_iter().map(|shown| assemble(shown, &mut peek)).collect()
}

/// The slots of a user, from what brokers show and what `peek` told of each salt.
fn assemble(
    shown: Shown,
    mut peek: impl FnMut(&UserName, Mechanism) -> Result<Option<(Salt, u32)>, String>,
) -> (UserName, Seen<Slots>) {
    let mut slots = Slots::new();
    for (&mechanism, brokers) in &shown.credentials {
        if !has_one_form(brokers) {
            return (shown.user, Seen::unknown("brokers do not agree on its credentials yet"));
        }
        let everywhere = shown.is_everywhere(brokers);
        let slot = match peek(&shown.user, mechanism) {
            Ok(None) => SlotSeen { iterations: brokers[0].1, salt: None, everywhere },
            Ok(Some((salt, iterations))) => SlotSeen { iterations, salt: Some(salt), everywhere },
            Err(why) => return (shown.user, Seen::unknown(why)),
        };
        slots.insert(mechanism, slot);
    }
    (shown.user, Seen::Known(slots))
}

/// The brokers of the clients' listener, as far as they are known.
fn login_targets(logins: &crate::kafka::Logins) -> Vec<LoginTarget> {
    let brokers = logins.brokers();
    if brokers.is_empty() {
        return vec![LoginTarget::Bootstrap];
    }
    brokers.into_keys().map(LoginTarget::Broker).collect()
}

/// Why a credential could not be proven.
#[derive(Debug, Clone)]
pub(super) struct Unproven {
    pub why: String,
    pub disposition: Disposition,
}

impl Unproven {
    pub fn new(why: impl Into<String>, disposition: Disposition) -> Self {
        Self { why: why.into(), disposition }
    }
}

/// What a login that did not succeed means.
pub(super) fn explain(outcome: &LoginOutcome) -> Unproven {
    match outcome {
        LoginOutcome::LoggedIn(_) => Unproven::new("logged in", Disposition::Retry),
        LoginOutcome::SaltDiffers { .. } => {
            Unproven::new("the broker holds another credential than ours", Disposition::Wait)
        }
        LoginOutcome::Refused { code, step: LoginStep::Name } => {
            Unproven::new(format!("the broker does not know the user with this mechanism ({code})"), Disposition::Wait)
        }
        LoginOutcome::Refused { code, step: LoginStep::Proof } => {
            Unproven::new(format!("the broker refused the password ({code})"), Disposition::Stall)
        }
        LoginOutcome::MechanismNotOffered { offered } => Unproven::new(
            format!("the clients' listener does not offer the mechanism; it offers {offered}"),
            Disposition::Stall,
        ),
        LoginOutcome::NameNotAscii => Unproven::new(
            "nobody can log in by this name: Kafka's SCRAM server reads only ASCII names",
            Disposition::Stall,
        ),
        LoginOutcome::Violation { reason } => {
            Unproven::new(format!("the server failed its part of the login: {reason}"), Disposition::Stall)
        }
        LoginOutcome::OtherCluster { expected, found } => Unproven::new(
            format!("the clients' listener belongs to cluster {found}, the admin listener to {expected}"),
            Disposition::Stall,
        ),
        LoginOutcome::Unreachable { why, disposition } => Unproven::new(why, *disposition),
    }
}
