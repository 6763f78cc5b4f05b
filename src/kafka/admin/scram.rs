//! SCRAM credentials (KIP-554).

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use kafka_protocol::messages::alter_user_scram_credentials_request::{
    ScramCredentialDeletion, ScramCredentialUpsertion,
};
use kafka_protocol::messages::describe_user_scram_credentials_request::UserName as WireUserName;
use kafka_protocol::messages::{AlterUserScramCredentialsRequest, DescribeUserScramCredentialsRequest};
use kafka_protocol::protocol::StrBytes;

use super::super::connection::{CallError, Sent};
use super::super::pool::{Broker, Repeat, refusal};
use super::super::wire::{AlteredScram, Answer as _, DescribedScram, DescribedUser};
use super::super::{ErrorCode, KafkaError, Outcome, Unsent, boot_now};
use super::Admin;
use super::batches::{ITEMS, batches, failed, outcome, over_lanes, rounds, unmentioned};
use crate::names::{BootInstant, BrokerId, Mechanism, UserName};
use crate::secret::{Iterations, Salt, Secret};

/// Names of one Describe: 1.1 ms for a thousand; describing all users at once has killed a broker (`kafka.md` §2).
const DESCRIBE_NAMES: usize = 1_000;
/// Describes in flight: enough to fill the time on the wire.
const DESCRIBES_IN_FLIGHT: usize = 4;
/// The shortest salt that is sent; Kafka itself would take an empty one (`kafka.md` §1).
const SALT_BYTES_MIN: usize = 16;

/// Mechanisms of each user with their iterations; empty for a user without a credential.
pub type ScramListing = BTreeMap<UserName, Vec<(Mechanism, u32)>>;

/// One change of one slot.
#[derive(Debug, Clone)]
pub struct ScramAlteration {
    /// Whose credential.
    pub user: UserName,
    /// What to do.
    pub change: ScramChange,
    /// When its permit runs out (R1); `None` where no permit is needed, as in tests.
    pub not_after: Option<BootInstant>,
}

/// What to do with a slot.
#[derive(Debug, Clone)]
pub enum ScramChange {
    /// Create or replace the credential.
    Upsert {
        /// The slot's mechanism.
        mechanism: Mechanism,
        /// PBKDF2 iterations.
        iterations: Iterations,
        /// Salt, at least 16 bytes.
        salt: Salt,
        /// PBKDF2 of the password; as long as the mechanism's hash.
        salted_password: Arc<Secret>,
    },
    /// Delete the credential.
    Delete {
        /// The slot's mechanism.
        mechanism: Mechanism,
    },
}

/// Lends a shared secret to an encoder without copying it.
struct Lent(Arc<Secret>);

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        self.0.expose()
    }
}

impl Admin {
    /// Which credentials these users have, as one broker, or any, has applied them. Every user that was asked for is in
    /// the answer; nothing is asked for an empty list, because Kafka takes that for "all".
    pub async fn describe_scram(
        &self,
        broker: Option<BrokerId>,
        users: &[UserName],
    ) -> Result<ScramListing, KafkaError> {
        let mut names: Vec<&UserName> = users.iter().collect();
        names.sort();
        names.dedup();
        let answers = stream::iter(names.chunks(DESCRIBE_NAMES).map(|names| self.describe_batch(broker, names)));
        answers
            .buffer_unordered(DESCRIBES_IN_FLIGHT)
            .try_fold(ScramListing::new(), |mut all, batch| async {
                all.extend(batch);
                Ok(all)
            })
            .await
    }

    async fn describe_batch(&self, broker: Option<BrokerId>, users: &[&UserName]) -> Result<ScramListing, KafkaError> {
        let names = users.iter().map(|user| WireUserName::default().with_name(text(user))).collect();
        let request = DescribeUserScramCredentialsRequest::default().with_users(Some(names));
        let answer = self.pool.read::<DescribedScram>(broker, &request).await?;
        let mut answers: HashMap<String, DescribedUser> =
            answer.users.into_iter().map(|user| (user.name.clone(), user)).collect();
        let mut listing = ScramListing::new();
        for &user in users {
            let mechanisms = match answers.remove(user.as_str()) {
                Some(DescribedUser { code: ErrorCode::NONE, mut mechanisms, .. }) => {
                    mechanisms.sort();
                    mechanisms
                }
                Some(DescribedUser { code: ErrorCode::RESOURCE_NOT_FOUND, .. }) => Vec::new(),
                Some(DescribedUser { code, .. }) => return Err(refusal::<DescribedScram>(code)),
                // What could not be observed is unknown, never absent.
                None => return Err(refusal::<DescribedScram>(ErrorCode::UNKNOWN_SERVER_ERROR)),
            };
            listing.insert(user.clone(), mechanisms);
        }
        Ok(listing)
    }

    /// Changes credentials, each under its permit, and says what became of each: pairs of index and outcome, sorted.
    ///
    /// # Guarantees
    /// An alteration is written to a socket at most once, and only before its `not_after`, which is compared with
    /// `CLOCK_BOOTTIME` right before the bytes are written (R1). Alterations of one user are sent one after the other, in
    /// the order given.
    pub async fn alter_scram(&self, alterations: Vec<ScramAlteration>) -> Vec<(usize, Outcome)> {
        let mut outcomes = Vec::with_capacity(alterations.len());
        let mut valid = Vec::new();
        for (index, alteration) in alterations.iter().enumerate() {
            match alteration.check() {
                Ok(()) => valid.push((index, &alteration.user)),
                Err(reason) => outcomes.push((index, Outcome::NotSent { why: Unsent::Invalid { reason } })),
            }
        }
        for round in rounds(valid.into_iter()) {
            let alterations = &alterations;
            let run = |broker, batch| self.alter_batch(broker, batch, alterations);
            outcomes.extend(over_lanes(self.pool.lanes(), batches(&round, ITEMS), run).await);
        }
        outcomes.sort_by_key(|&(index, _)| index);
        outcomes
    }

    async fn alter_batch(
        &self,
        lane: Arc<Broker>,
        mut batch: Vec<usize>,
        alterations: &[ScramAlteration],
    ) -> Vec<(usize, Outcome)> {
        let mut outcomes = Vec::with_capacity(batch.len());
        loop {
            let now = boot_now();
            batch.retain(|&index| {
                let is_permitted = alterations[index].not_after.is_none_or(|not_after| now < not_after);
                if !is_permitted {
                    outcomes.push((index, Outcome::NotSent { why: Unsent::PermitExpired }));
                }
                is_permitted
            });
            if batch.is_empty() {
                return outcomes;
            }
            let not_after = batch.iter().filter_map(|&index| alterations[index].not_after).min();
            let request = alter_request(batch.iter().map(|&index| &alterations[index]));
            match self.pool.call_somewhere::<AlteredScram>(&lane, &request, not_after, Repeat::Never).await {
                Ok(answered) => {
                    let codes: HashMap<String, ErrorCode> = answered.body.users.into_iter().collect();
                    outcomes.extend(batch.into_iter().map(|index| (index, alterations[index].outcome(&codes))));
                    return outcomes;
                }
                // A permit ran out on the way to the socket: go on without it. Each turn loses at least one.
                Err(CallError { sent: Sent::PermitExpired, .. }) => {}
                Err(error) => {
                    outcomes.extend(batch.into_iter().map(|index| (index, failed(&error))));
                    return outcomes;
                }
            }
        }
    }
}

impl ScramAlteration {
    /// Kafka checks none of this (`kafka.md` §1).
    fn check(&self) -> Result<(), &'static str> {
        match &self.change {
            ScramChange::Upsert { mechanism, salted_password, .. }
                if salted_password.len() != mechanism.hash_bytes() =>
            {
                Err("the salted password does not have the length of the mechanism's hash")
            }
            ScramChange::Upsert { salt, .. } if salt.bytes().len() < SALT_BYTES_MIN => {
                Err("the salt is shorter than 16 bytes")
            }
            ScramChange::Upsert { .. } | ScramChange::Delete { .. } => Ok(()),
        }
    }

    fn outcome(&self, codes: &HashMap<String, ErrorCode>) -> Outcome {
        match (codes.get(self.user.as_str()), &self.change) {
            (None, _) => unmentioned(),
            (Some(&ErrorCode::RESOURCE_NOT_FOUND), ScramChange::Delete { .. }) => Outcome::AlreadySo,
            (Some(&code), _) => outcome(code, AlteredScram::RIGHT),
        }
    }
}

fn text(user: &UserName) -> StrBytes {
    StrBytes::from_string(user.as_str().to_owned())
}

fn alter_request<'a>(alterations: impl Iterator<Item = &'a ScramAlteration>) -> AlterUserScramCredentialsRequest {
    let mut request = AlterUserScramCredentialsRequest::default();
    for alteration in alterations {
        match &alteration.change {
            ScramChange::Upsert { mechanism, iterations, salt, salted_password } => request.upsertions.push(
                ScramCredentialUpsertion::default()
                    .with_name(text(&alteration.user))
                    .with_mechanism(mechanism.wire_type())
                    .with_iterations(i32::try_from(iterations.count()).expect("at most 16384"))
                    .with_salt(Bytes::copy_from_slice(salt.bytes()))
                    .with_salted_password(Bytes::from_owner(Lent(salted_password.clone()))),
            ),
            ScramChange::Delete { mechanism } => request.deletions.push(
                ScramCredentialDeletion::default()
                    .with_name(text(&alteration.user))
                    .with_mechanism(mechanism.wire_type()),
            ),
        }
    }
    request
}
