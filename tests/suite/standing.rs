//! Where users stand: every phase says in one sentence what it waits for, and until when.

use std::collections::BTreeSet;
use std::time::Duration;

use kastellan::credential::{
    AdoptedSlot, Authentication, Awaits, Confirm, Cut, DeletionPolicy, Phase, Record, Revocation, RotationSpec, Slot,
    Strategy, Wanted, WantedAuthentication, standing,
};
use kastellan::names::{ClusterId, ClusterName, Generation, Mechanism, RotationId, Scope, UserName};
use kastellan::secret::{Iterations, PasswordLength, Salt};

const SHA_512: Mechanism = Mechanism::ScramSha512;
const SHA_256: Mechanism = Mechanism::ScramSha256;
const DAY: Duration = Duration::from_secs(86_400);

fn wanted(strategy: Option<Strategy>, overlap: Option<Duration>, confirm: Confirm) -> Wanted {
    let username = UserName::parse("payments").unwrap();
    let twin = |suffix: &str| UserName::parse(format!("payments.{suffix}")).unwrap();
    let rotation = strategy.map(|strategy| RotationSpec {
        every: Some(90 * DAY),
        strategy,
        users: (strategy == Strategy::DualUser).then(|| [twin("a"), twin("b")]),
        overlap,
        confirm,
    });
    Wanted {
        scope: Scope::default(),
        username,
        clusters: vec![ClusterName::parse("prod").unwrap()],
        authentication: WantedAuthentication::Scram {
            mechanisms: vec![SHA_512, SHA_256],
            iterations: Iterations::default(),
            length: PasswordLength::default(),
            given: None,
        },
        rotation,
        restarts: false,
        adopt: false,
        deletion_policy: DeletionPolicy::Delete,
        moved_from: None,
    }
}

/// A record in a phase of a rotation from generation 7 to 8.
fn standing_in(phase: Phase, strategy: Option<Strategy>, now: jiff::Timestamp) -> Record {
    let name = |text: &str| UserName::parse(text).unwrap();
    let user = "demo/payments".parse().unwrap();
    let mut record = Record::blank(user, Scope::default(), name("payments"), Authentication::Scram);
    record.clusters.insert(ClusterName::parse("prod").unwrap(), ClusterId::parse("cluster-id").unwrap());
    let slot = |generation: u64, username: &str, mechanism| Slot {
        username: name(username),
        generation: Generation(generation),
        rotation_id: RotationId::parse(format!("r{generation}")).unwrap(),
        mechanism,
        salt: Salt::observed([generation as u8; 16]),
        iterations: 4096,
    };
    let (old, new) = match strategy {
        Some(Strategy::DualUser) => (slot(7, "payments.a", SHA_512), slot(8, "payments.b", SHA_512)),
        Some(Strategy::InPlace) => (slot(7, "payments", SHA_512), slot(8, "payments", SHA_512)),
        Some(Strategy::MechanismFlip) | None => (slot(7, "payments", SHA_512), slot(8, "payments", SHA_256)),
    };
    record.phase = phase;
    record.allotted = Generation(8);
    record.generation = Generation(7);
    record.published_at = Some(now - DAY);
    match phase {
        Phase::Idle => record.active = Some(old),
        Phase::Prepared | Phase::Verified | Phase::Aborting => {
            record.active = Some(old);
            record.pending = Some(Box::new(new));
        }
        Phase::Published | Phase::Confirmed | Phase::Retiring => {
            record.generation = Generation(8);
            record.active = Some(new);
            record.previous = Some(Box::new(old));
            record.overlap_from = Some(now - DAY);
            record.confirmed_at = (phase == Phase::Confirmed).then_some(now - DAY / 2);
        }
        Phase::Revoking => {
            record.active = Some(new);
            let cut = Cut { done_at: Some(now), ..Cut::default() };
            let cuts = [(ClusterName::parse("prod").unwrap(), cut)].into_iter().collect();
            record.revocation = Some(Box::new(Revocation { at: now, slots: vec![old], cuts, restarted_at: None }));
        }
        Phase::Deleting | Phase::Deleted => {}
    }
    record
}

#[test]
fn every_state_says_in_one_sentence_what_it_waits_for_and_until_when() {
    let now: jiff::Timestamp = "2026-11-24T09:00:00Z".parse().unwrap();
    let confirmations = [
        (Some(2 * DAY), Confirm::None),
        (Some(DAY / 2), Confirm::None),
        (Some(2 * DAY), Confirm::Acknowledgement),
        (None, Confirm::Acknowledgement),
        (Some(2 * DAY), Confirm::Rollout),
        (None, Confirm::Rollout),
    ];
    let mut sentences = String::new();
    let mut awaited = BTreeSet::new();
    for phase in Phase::ALL {
        for strategy in Strategy::ALL.map(Some).into_iter().chain([None]) {
            for (overlap, confirm) in confirmations {
                let wanted = wanted(strategy, overlap, confirm);
                let stands = standing(&standing_in(phase, strategy, now), Some(&wanted), None, now);
                assert!(!stands.says.is_empty() && !stands.says.ends_with('.'), "{}", stands.says);
                assert!(stands.until.is_none_or(|until| until > now), "{}", stands.says);
                assert_eq!(
                    stands.awaits == Awaits::Instant,
                    stands.until.is_some() && !matches!(stands.awaits, Awaits::Acknowledgement | Awaits::Rollout)
                );
                awaited.insert(stands.awaits);
                let until = stands.until.map(|until| until.to_string()).unwrap_or_default();
                let line =
                    format!("{:<10} {:<16} {until:<21} {}\n", phase.as_str(), stands.awaits.as_str(), stands.says);
                if !sentences.contains(&line) {
                    sentences.push_str(&line);
                }
            }
        }
    }
    assert_eq!(awaited, Awaits::ALL.into());
    // What the phases alone do not show.
    let mut more = |what: &str, change: &dyn Fn(&mut Record), phase: Phase| {
        let mut record = standing_in(phase, None, now);
        change(&mut record);
        let stands = standing(&record, Some(&wanted(None, None, Confirm::Acknowledgement)), None, now);
        sentences.push_str(&format!("{:<10} {:<16} {what}: {}\n", phase.as_str(), stands.awaits.as_str(), stands.says));
    };
    more("first", &|record| record.published_at = None, Phase::Prepared);
    more("external", &|record| record.active = None, Phase::Idle);
    let adopted = AdoptedSlot {
        cluster: ClusterName::parse("prod").unwrap(),
        username: UserName::parse("payments").unwrap(),
        mechanism: SHA_256,
        salt: None,
        iterations: 4096,
    };
    more("adopted too", &|record| record.adopted.push(adopted.clone()), Phase::Published);
    let uncut = |record: &mut Record| {
        let revocation = record.revocation.as_mut().unwrap();
        revocation.cuts.insert(ClusterName::parse("prod").unwrap(), Cut::default());
    };
    more("not cut", &uncut, Phase::Revoking);
    let restarted = |record: &mut Record| record.revocation.as_mut().unwrap().restarted_at = Some(now);
    more("restarted", &restarted, Phase::Revoking);
    insta::assert_snapshot!("every_state", sentences);
}
