//! Quotas of users (KIP-546).

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use kafka_protocol::messages::alter_client_quotas_request::{EntityData, EntryData, OpData};
use kafka_protocol::messages::describe_client_quotas_request::ComponentData;
use kafka_protocol::messages::{AlterClientQuotasRequest, DescribeClientQuotasRequest};
use kafka_protocol::protocol::StrBytes;

use super::super::pool::{Broker, Repeat};
use super::super::wire::{AlteredQuotas, Answer as _, DescribedQuotas, USER};
use super::super::{ErrorCode, KafkaError, Outcome};
use super::Admin;
use super::batches::{ITEMS, batches, failed, outcome, over_lanes, rounds, unmentioned};
use crate::names::{UserName, UserQuotas};

/// "Any specified name" of DescribeClientQuotas.
const MATCH_SPECIFIED: i8 = 2;

/// What to do with one quota of a user.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub enum QuotaKeyChange {
    /// Nothing.
    #[default]
    Leave,
    /// Take it away; nothing happens where it is not set.
    Remove,
    /// Set it.
    Set(f64),
}

/// What to do with each quota of a user, in the order of [`UserQuotas::KEYS`].
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct QuotaChange(pub [QuotaKeyChange; UserQuotas::KEYS.len()]);

impl QuotaChange {
    /// Takes away every quota that there may be.
    pub const NONE_LEFT: Self = Self([QuotaKeyChange::Remove; UserQuotas::KEYS.len()]);

    /// What leads from one state to the other.
    pub fn between(observed: &UserQuotas, desired: &UserQuotas) -> Self {
        let (observed, desired) = (observed.values(), desired.values());
        Self(std::array::from_fn(|index| match (observed[index], desired[index]) {
            (Some(_), None) => QuotaKeyChange::Remove,
            (observed, Some(value)) if observed != Some(value) => QuotaKeyChange::Set(value),
            (None | Some(_), _) => QuotaKeyChange::Leave,
        }))
    }

    /// Whether nothing is to be done.
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|change| *change == QuotaKeyChange::Leave)
    }
}

impl Admin {
    /// Quotas of every entity that is exactly one named user: not the default user, not a user with a client id.
    pub async fn list_user_quotas(&self) -> Result<BTreeMap<UserName, UserQuotas>, KafkaError> {
        let users = ComponentData::default()
            .with_entity_type(StrBytes::from_static_str(USER))
            .with_match_type(MATCH_SPECIFIED)
            .with_match(None);
        let request = DescribeClientQuotasRequest::default().with_components(vec![users]).with_strict(true);
        Ok(self.pool.read::<DescribedQuotas>(None, &request).await?.users)
    }

    /// Changes quotas and says what became of each change, in the order given. Changes of one user are sent one after
    /// the other.
    pub async fn alter_user_quotas(&self, changes: Vec<(UserName, QuotaChange)>) -> Vec<Outcome> {
        let mut outcomes: Vec<Outcome> = vec![Outcome::Done; changes.len()];
        let wanted = changes.iter().enumerate().filter(|(_, (_, change))| !change.is_empty());
        for round in rounds(wanted.map(|(index, (user, _))| (index, user))) {
            let changes = &changes;
            let run = |broker, batch| self.alter_quota_batch(broker, batch, changes);
            for (index, outcome) in over_lanes(self.pool.lanes(), batches(&round, ITEMS), run).await {
                outcomes[index] = outcome;
            }
        }
        outcomes
    }

    async fn alter_quota_batch(
        &self,
        lane: Arc<Broker>,
        batch: Vec<usize>,
        changes: &[(UserName, QuotaChange)],
    ) -> Vec<(usize, Outcome)> {
        let entries = batch.iter().map(|&index| entry(&changes[index])).collect();
        let request = AlterClientQuotasRequest::default().with_entries(entries);
        match self.pool.call_somewhere::<AlteredQuotas>(&lane, &request, None, Repeat::Harmless).await {
            Err(error) => batch.into_iter().map(|index| (index, failed(&error))).collect(),
            Ok(answered) => {
                let codes: HashMap<String, ErrorCode> = answered.body.users.into_iter().collect();
                let outcome_of = |user: &UserName| match codes.get(user.as_str()) {
                    Some(&code) => outcome(code, AlteredQuotas::RIGHT),
                    None => unmentioned(),
                };
                batch.into_iter().map(|index| (index, outcome_of(&changes[index].0))).collect()
            }
        }
    }
}

fn entry((user, change): &(UserName, QuotaChange)) -> EntryData {
    let entity = EntityData::default()
        .with_entity_type(StrBytes::from_static_str(USER))
        .with_entity_name(Some(StrBytes::from_string(user.as_str().to_owned())));
    let operations = std::iter::zip(UserQuotas::KEYS, change.0).filter_map(|(key, change)| {
        let operation = OpData::default().with_key(StrBytes::from_static_str(key));
        match change {
            QuotaKeyChange::Leave => None,
            QuotaKeyChange::Remove => Some(operation.with_remove(true)),
            QuotaKeyChange::Set(value) => Some(operation.with_value(value)),
        }
    });
    EntryData::default().with_entity(vec![entity]).with_ops(operations.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_says_what_leads_from_one_state_to_the_other() {
        let observed =
            UserQuotas { producer_byte_rate: Some(1.0), consumer_byte_rate: Some(2.0), ..UserQuotas::default() };
        let desired =
            UserQuotas { consumer_byte_rate: Some(3.0), request_percentage: Some(4.0), ..UserQuotas::default() };
        use QuotaKeyChange::{Leave, Remove, Set};
        assert_eq!(QuotaChange::between(&observed, &desired), QuotaChange([Remove, Set(3.0), Set(4.0), Leave]));
        assert!(QuotaChange::between(&desired, &desired).is_empty());
    }
}
