//! Rounds, batches and lanes: how the items of one call become requests.

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;

use futures_util::future::join_all;

use super::super::connection::{CallError, Sent};
use super::super::pool::Broker;
use super::super::wire::Right;
use super::super::{ErrorCode, KafkaError, Outcome, Unsent};
use crate::diagnostic::{Chain, Disposition};
use crate::names::UserName;

/// Items of one ordinary request: large enough that the controller's 25 ms of linger are paid a few times only, small
/// enough that two or three lanes share the work (`kafka.md` §2).
pub(super) const ITEMS: usize = 1_000;
/// Items that no request ever exceeds: beyond 10,000 records in one request the active controller gives up leadership
/// (`kafka.md` §2, four of four times), and an item may be more than one record.
const ITEMS_MAX: usize = 5_000;
const _: () = assert!(ITEMS <= ITEMS_MAX);

/// Cuts indices into batches.
pub(super) fn batches(indices: &[usize], size: usize) -> Vec<Vec<usize>> {
    indices.chunks(size.min(ITEMS_MAX)).map(<[usize]>::to_vec).collect()
}

/// Sorts items into rounds so that no user is twice in one: Kafka refuses a request that names one twice (92, 42), and
/// two requests in flight for one user have no order. Round n holds the nth item of each user.
pub(super) fn rounds<'a>(users: impl Iterator<Item = (usize, &'a UserName)>) -> Vec<Vec<usize>> {
    let mut rounds: Vec<Vec<usize>> = Vec::new();
    let mut seen: HashMap<&UserName, usize> = HashMap::new();
    for (index, user) in users {
        let round = seen.entry(user).or_default();
        if *round == rounds.len() {
            rounds.push(Vec::new());
        }
        rounds[*round].push(index);
        *round += 1;
    }
    rounds
}

/// Works off batches on several brokers at once, one batch at a time on each.
pub(super) async fn over_lanes<T, F: Future<Output = Vec<T>>>(
    lanes: Vec<Arc<Broker>>,
    batches: Vec<Vec<usize>>,
    run: impl Fn(Arc<Broker>, Vec<usize>) -> F,
) -> Vec<T> {
    let count = lanes.len().max(1);
    let run = &run;
    let batches = &batches;
    let work = lanes.into_iter().enumerate().map(|(lane, broker)| async move {
        let mut done = Vec::new();
        for batch in batches.iter().skip(lane).step_by(count) {
            done.extend(run(broker.clone(), batch.clone()).await);
        }
        done
    });
    join_all(work).await.into_iter().flatten().collect()
}

/// The outcome of an item by its code.
pub(super) fn outcome(code: ErrorCode, right: Option<Right>) -> Outcome {
    match (code, right) {
        (ErrorCode::NONE, _) => Outcome::Done,
        (code, _) if code.leaves_outcome_unknown() => Outcome::Unknown { why: code.text() },
        (ErrorCode::CLUSTER_AUTHORIZATION_FAILED, Some(right)) => {
            let error = KafkaError::MissingRight { operation: right.operation, needed_for: right.needed_for };
            Outcome::Refused { code, message: error.to_string(), disposition: Disposition::Stall }
        }
        (code, _) => Outcome::Refused { code, message: code.text(), disposition: code.disposition() },
    }
}

/// The outcome of every item of a request that failed.
pub(super) fn failed(failed: &CallError) -> Outcome {
    let message = Chain(&failed.error).to_string();
    match failed.sent {
        Sent::Nothing => {
            Outcome::NotSent { why: Unsent::Unreachable { message, disposition: failed.error.disposition() } }
        }
        Sent::PermitExpired => Outcome::NotSent { why: Unsent::PermitExpired },
        Sent::Perhaps => Outcome::Unknown { why: message },
    }
}

/// The outcome of an item that an answer should have mentioned.
pub(super) fn unmentioned() -> Outcome {
    Outcome::Unknown { why: "the broker's answer does not mention it".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_round_names_a_user_twice() {
        let users: Vec<UserName> = ["a", "b", "a", "c", "a", "b"].map(|user| UserName::parse(user).unwrap()).into();
        assert_eq!(rounds(users.iter().enumerate()), [vec![0, 1, 3], vec![2, 5], vec![4]]);
    }

    #[test]
    fn no_batch_exceeds_the_cap() {
        let indices: Vec<usize> = (0..12_000).collect();
        assert!(batches(&indices, usize::MAX).iter().all(|batch| batch.len() <= ITEMS_MAX));
        assert_eq!(batches(&indices, ITEMS).len(), 12);
    }
}
