//! The look at slots (R6), and what a login that did not succeed means.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::future::join_all;

use super::connect::ClusterLink;
use crate::credential::{Seen, SlotSeen, Slots};
use crate::diagnostic::{Chain, Disposition};
use crate::kafka::{KafkaError, LoginOutcome, LoginStep, LoginTarget, Peek, ScramListing};
use crate::names::{Mechanism, UserName};

/// How often brokers that disagree about a credential are asked again: propagation takes milliseconds, under load up to
/// two seconds (kafka.md §3).
const AGREE_ATTEMPTS: usize = 8;
/// Between those.
const AGREE_PAUSE: std::time::Duration = std::time::Duration::from_millis(250);

/// The slots of users on one cluster, with their salts (R6).
///
/// Every broker is asked which credentials it shows, and a salt is asked for only where all agree, because asking a
/// broker for the salt of a credential it does not have counts as a failed authentication (kafka.md §4).
pub(super) async fn look_at_slots(link: &ClusterLink, users: &[UserName]) -> BTreeMap<UserName, Seen<Slots>> {
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
        let (agreed, rest) = open
            .into_iter()
            .partition::<Vec<_>, _>(|user| listings.windows(2).all(|pair| pair[0].get(user) == pair[1].get(user)));
        let shown = agreed.into_iter().map(|user| {
            let credentials = listings.first().and_then(|listing| listing.get(&user)).cloned().unwrap_or_default();
            (user, credentials)
        });
        slots.extend(peek_salts(link, shown.collect()).await);
        open = rest;
    }
    slots.extend(open.into_iter().map(|user| (user, Seen::unknown("brokers do not agree on its credentials yet"))));
    slots
}

async fn describe_everywhere(link: &ClusterLink, users: &[UserName]) -> Result<Vec<ScramListing>, KafkaError> {
    let brokers = link.admin.cluster().brokers.keys().copied().collect::<Vec<_>>();
    let looks = brokers.iter().map(|&broker| link.admin.describe_scram(Some(broker), users));
    join_all(looks).await.into_iter().collect()
}

/// Asks for the salt of each credential that is shown, one broker each.
async fn peek_salts(link: &ClusterLink, shown: Vec<(UserName, Vec<(Mechanism, u32)>)>) -> Vec<(UserName, Seen<Slots>)> {
    let Some(logins) = &link.logins else {
        // Without a clients' listener to ask, mechanism and iterations are all there is.
        let without_salt = |(mechanism, iterations)| (mechanism, SlotSeen { iterations, salt: None });
        return shown
            .into_iter()
            .map(|(user, slots)| (user, Seen::Known(slots.into_iter().map(without_salt).collect())))
            .collect();
    };
    let targets = login_targets(logins);
    let wanted = shown.iter().flat_map(|(user, slots)| slots.iter().map(move |(mechanism, _)| (user, *mechanism)));
    let wanted = wanted.filter(|(_, mechanism)| link.mechanisms.contains(mechanism));
    let requests = wanted
        .enumerate()
        .map(|(index, (user, mechanism))| (targets[index % targets.len()], user, mechanism))
        .collect::<Vec<_>>();
    // The answers come in the order of the questions, and so are taken in it.
    let mut peeks = logins.peek_many(&requests).await.into_iter();
    let mut assembled = Vec::with_capacity(shown.len());
    for (user, slots) in &shown {
        let mut seen = Seen::Known(Slots::new());
        for &(mechanism, iterations) in slots {
            let peek =
                link.mechanisms.contains(&mechanism).then(|| peeks.next().expect("one answer for each question"));
            let slot = match peek {
                None => SlotSeen { iterations, salt: None },
                Some(Peek::Credential { salt, iterations }) => SlotSeen { iterations, salt: Some(salt) },
                Some(Peek::Failed(outcome)) => {
                    seen = Seen::unknown(explain(&outcome).why);
                    continue;
                }
            };
            if let Seen::Known(slots) = &mut seen {
                slots.insert(mechanism, slot);
            }
        }
        assembled.push((user.clone(), seen));
    }
    assembled
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
