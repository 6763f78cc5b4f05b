//! The proof that credentials work: a login with each of them on every broker, and never a failed one.
//!
//! Per cluster: wait until every broker's own view shows the credential, wait for the barrier that says the view is
//! applied, then log in; a broker that still tells another salt is asked again (kafka.md §3, §4).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::Instant;

use super::connect::{ClusterLink, Links};
use super::look::{Unproven, explain, pass_barrier};
use super::run::{Failure, Job, Performed, by_cluster, link_of};
use super::store_effects::load_material;
use crate::credential::{Effect, Outcome, Witnesses};
use crate::diagnostic::{Chain, Disposition};
use crate::kafka::{LoginOutcome, LoginRequest, LoginTarget, RegisteredBrokers};
use crate::names::{BrokerId, ClusterName, UserName};
use crate::secret::ScramCredential;

/// How long brokers have to show and accept a credential. Propagation takes milliseconds, under load two seconds
/// (kafka.md §3); at the deadline the user waits for the next pass, it never proceeds.
const PROOF_DEADLINE: Duration = Duration::from_secs(20);

/// Between looks at brokers that lag.
const LAG_PAUSE: Duration = Duration::from_millis(40);

const LOGIN: &str = "login";

/// Proves the credentials of a group.
pub(super) async fn prove<'a>(links: &'a Links, jobs: Vec<Job<'a>>) -> Vec<Performed> {
    let mut performed = jobs.iter().map(|_| Performed::default()).collect::<Vec<_>>();
    let slots = jobs.iter().map(|job| match &job.effect {
        Effect::Login { slot, .. } => slot,
        _ => unreachable!("grouped by kind"),
    });
    let slots = slots.collect::<Vec<_>>();
    let generations = slots.iter().map(|slot| slot.generation).collect::<Vec<_>>();
    let material = load_material(links, LOGIN, &jobs, &generations).await;
    let grouped = by_cluster(&jobs, |effect| match effect {
        Effect::Login { clusters, .. } => clusters.iter().collect(),
        _ => unreachable!("grouped by kind"),
    });
    for (cluster, positions) in grouped {
        let mut wanted = Vec::new();
        for position in positions {
            match &material[position] {
                Ok(material) => wanted.push((position, &slots[position].username, &material.scram)),
                Err(failure) => performed[position].failure = Some(failure.clone()),
            }
        }
        match link_of(links, LOGIN, cluster) {
            Err(failure) => {
                wanted.iter().for_each(|(position, ..)| performed[*position].failure = Some(failure.clone()))
            }
            Ok(link) => prove_jobs(link, cluster, &jobs, wanted, &mut performed).await,
        }
    }
    performed
}

/// One cluster's part of a group: each job's position with its user name and credential.
async fn prove_jobs(
    link: &ClusterLink,
    cluster: &ClusterName,
    jobs: &[Job<'_>],
    mut wanted: Vec<(usize, &UserName, &ScramCredential)>,
    performed: &mut [Performed],
) {
    let failure =
        |unproven: Unproven| Failure::new(LOGIN, format!("{cluster}: {}", unproven.why), unproven.disposition);
    let needs_all =
        |position: usize| matches!(jobs[position].effect, Effect::Login { witnesses: Witnesses::Registered, .. });
    if wanted.iter().any(|(position, ..)| needs_all(*position))
        && let Some(unproven) = missing_witness(link).await
    {
        let (held, rest) = wanted.into_iter().partition(|(position, ..)| needs_all(*position));
        wanted = rest;
        for (position, ..) in held {
            performed[position].failure = Some(failure(unproven.clone()));
        }
    }
    let credentials = wanted.iter().map(|(_, user, scram)| (*user, *scram)).collect::<Vec<_>>();
    let (brokers, proofs) = prove_on(link, &credentials).await;
    let relies = wanted.iter().zip(&proofs).any(|((position, ..), proof)| proof.is_ok() && needs_all(*position));
    let passed_over = if relies { passed_over(link, &brokers).await } else { None };
    for ((position, ..), proof) in wanted.iter().zip(proofs) {
        let passed_over = passed_over.clone().filter(|_| needs_all(*position));
        let proof = proof.and_then(|()| passed_over.map_or(Ok(()), Err));
        let Effect::Login { slot, .. } = &jobs[*position].effect else { unreachable!("grouped by kind") };
        match proof {
            Ok(()) => {
                performed[*position].outcomes.push(Outcome::LoggedIn(cluster.clone(), slot.generation));
            }
            Err(unproven) => performed[*position].failure = Some(failure(unproven)),
        }
    }
}

/// A registered broker that does not run, or could not be asked for.
async fn missing_witness(link: &ClusterLink) -> Option<Unproven> {
    match link.admin.registered_brokers(None).await {
        Ok(registered) => absence(&registered?),
        Err(error) => Some(Unproven::new(Chain(&error).to_string(), Disposition::Wait)),
    }
}

fn absence(registered: &RegisteredBrokers) -> Option<Unproven> {
    let names = registered.absent.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let why =
        format!("broker {names} is registered and does not run; one that is gone for good has to be unregistered");
    (!names.is_empty()).then(|| Unproven::new(why, Disposition::Wait))
}

/// A registered broker that is not among those on which a credential was just proven: it left before, or came since, and
/// takes logins before it knows what was written meanwhile. Every broker is asked, because any of them may lag: the one that
/// told who runs has applied, by the barrier, what it told.
async fn passed_over(link: &ClusterLink, proven: &[BrokerId]) -> Option<Unproven> {
    let told = join_all(proven.iter().map(|broker| link.admin.registered_brokers(Some(*broker)))).await;
    told.into_iter().find_map(|told| match told {
        Ok(registered) => {
            let registered = registered?;
            let newcomer = registered.running.iter().find(|broker| !proven.contains(broker));
            let came = |broker| Unproven::new(format!("broker {broker} has just started"), Disposition::Wait);
            absence(&registered).or_else(|| newcomer.map(came))
        }
        Err(error) => Some(Unproven::new(Chain(&error).to_string(), Disposition::Wait)),
    })
}

type Proof = Result<(), Unproven>;

/// Proves credentials on every broker of one cluster: the brokers that run, and one proof for each credential, in their order.
pub(super) async fn prove_on(
    link: &ClusterLink,
    credentials: &[(&UserName, &ScramCredential)],
) -> (Vec<BrokerId>, Vec<Proof>) {
    if credentials.is_empty() {
        return Default::default();
    }
    let deadline = Instant::now() + PROOF_DEADLINE;
    // The list of brokers may be from before one of them left.
    let brokers = match link.admin.refresh().await {
        Ok(cluster) => cluster.brokers.keys().copied().collect::<Vec<_>>(),
        Err(error) => {
            let unproven = Unproven::new(Chain(&error).to_string(), Disposition::Wait);
            return (Vec::new(), all_fail(credentials, unproven));
        }
    };
    let mut proofs = await_shown(link, &brokers, credentials, deadline).await;
    if proofs.iter().all(Result::is_err) {
        return (brokers, proofs);
    }
    if let Err(why) = pass_barrier(link, &brokers, deadline.saturating_duration_since(Instant::now())).await {
        fail_open(&mut proofs, &Unproven::new(why, Disposition::Wait));
    }
    if let Some(logins) = &link.logins {
        log_in_everywhere(logins, &brokers, credentials, deadline, &mut proofs).await;
    }
    (brokers, proofs)
}

fn all_fail(credentials: &[(&UserName, &ScramCredential)], unproven: Unproven) -> Vec<Proof> {
    credentials.iter().map(|_| Err(unproven.clone())).collect()
}

fn fail_open(proofs: &mut [Proof], unproven: &Unproven) {
    proofs.iter_mut().filter(|proof| proof.is_ok()).for_each(|proof| *proof = Err(unproven.clone()));
}

/// Waits until every broker's own view shows each credential's mechanism with its iterations.
async fn await_shown(
    link: &ClusterLink,
    brokers: &[BrokerId],
    credentials: &[(&UserName, &ScramCredential)],
    deadline: Instant,
) -> Vec<Proof> {
    let waits = brokers.iter().map(|&broker| async move {
        let mut open = (0..credentials.len()).collect::<Vec<_>>();
        loop {
            let users = open.iter().map(|&index| credentials[index].0.clone()).collect::<Vec<_>>();
            let why = match link.admin.describe_scram(Some(broker), &users).await {
                Ok(listing) => {
                    open.retain(|&index| {
                        let (user, scram) = credentials[index];
                        let shown = listing.get(user).into_iter().flatten();
                        !shown.into_iter().any(|slot| *slot == (scram.mechanism, scram.iterations.count()))
                    });
                    format!("broker {broker} does not show the credential yet")
                }
                Err(error) => format!("broker {broker}: {}", Chain(&error)),
            };
            if open.is_empty() || Instant::now() >= deadline {
                return (open, why);
            }
            tokio::time::sleep(LAG_PAUSE).await;
        }
    });
    let mut proofs = credentials.iter().map(|_| Ok(())).collect::<Vec<Proof>>();
    for (open, why) in join_all(waits).await {
        for index in open {
            proofs[index] = Err(Unproven::new(why.clone(), Disposition::Wait));
        }
    }
    proofs
}

/// Logs in with every credential that is still good, on every broker of the clients' listener.
async fn log_in_everywhere(
    logins: &crate::kafka::Logins,
    brokers: &[BrokerId],
    credentials: &[(&UserName, &ScramCredential)],
    deadline: Instant,
    proofs: &mut [Proof],
) {
    // The first login at the bootstrap address tells the listener's brokers; until then only that address is known.
    let known = |logins: &crate::kafka::Logins| logins.brokers().into_keys().collect::<BTreeSet<_>>();
    if !brokers.iter().all(|broker| known(logins).contains(broker)) {
        let Some(first) = proofs.iter().position(Result::is_ok) else { return };
        let outcomes = retry_logins(logins, &[(first, LoginTarget::Bootstrap)], credentials, deadline).await;
        if let Some((_, unproven)) = outcomes.into_iter().next() {
            proofs[first] = Err(unproven);
            return Box::pin(log_in_everywhere(logins, brokers, credentials, deadline, proofs)).await;
        }
    }
    let listener = known(logins);
    if let Some(missing) = brokers.iter().find(|broker| !listener.contains(broker)) {
        let why = format!("the clients' listener does not tell of broker {missing}");
        return fail_open(proofs, &Unproven::new(why, Disposition::Wait));
    }
    let good = proofs.iter().enumerate().filter(|(_, proof)| proof.is_ok()).map(|(index, _)| index);
    let wanted = good.flat_map(|index| brokers.iter().map(move |&broker| (index, LoginTarget::Broker(broker))));
    for (index, unproven) in retry_logins(logins, &wanted.collect::<Vec<_>>(), credentials, deadline).await {
        proofs[index] = Err(unproven);
    }
}

/// Logs in, and again where a broker still tells an older salt, until the deadline. Answers what did not succeed.
async fn retry_logins(
    logins: &crate::kafka::Logins,
    wanted: &[(usize, LoginTarget)],
    credentials: &[(&UserName, &ScramCredential)],
    deadline: Instant,
) -> BTreeMap<usize, Unproven> {
    let mut failed = BTreeMap::new();
    let mut open = wanted.to_vec();
    loop {
        let requests = open.iter().map(|&(index, target)| {
            let (user, credential) = credentials[index];
            LoginRequest { target, user, credential }
        });
        let requests = requests.collect::<Vec<_>>();
        let outcomes = logins.login_many(&requests).await;
        let mut lagging = Vec::new();
        let is_over = Instant::now() >= deadline;
        for (&(index, target), outcome) in open.iter().zip(outcomes) {
            match outcome {
                LoginOutcome::LoggedIn(_) => {}
                LoginOutcome::SaltDiffers { .. } | LoginOutcome::Unreachable { .. } if !is_over => {
                    lagging.push((index, target));
                }
                outcome => drop(failed.insert(index, explain(&outcome))),
            }
        }
        if lagging.is_empty() {
            return failed;
        }
        tokio::time::sleep(LAG_PAUSE).await;
        open = lagging;
    }
}
