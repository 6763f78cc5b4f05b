//! ACLs.

use std::sync::Arc;
use std::time::Duration;

use kafka_protocol::messages::create_acls_request::AclCreation;
use kafka_protocol::messages::delete_acls_request::DeleteAclsFilter;
use kafka_protocol::messages::{CreateAclsRequest, DeleteAclsRequest, DescribeAclsRequest};
use kafka_protocol::protocol::StrBytes;
use tokio::time::{Instant, sleep};

use super::super::connection::CallError;
use super::super::pool::{Broker, Repeat};
use super::super::wire::{Answer as _, CreatedAcls, ListedAcls, RemovedAcls};
use super::super::{AclListing, KafkaError, Outcome};
use super::Admin;
use super::batches::{ITEMS, batches, failed, outcome, over_lanes, unmentioned};
use crate::names::{AclRule, Permission, Principal};

/// Filters of one DeleteAcls: the controller looks at every ACL for each of them, 12 to 22 ms at 50,000 ACLs, and does
/// nothing else meanwhile (`kafka.md` §2).
const FILTERS: usize = 10;
/// The longest pause between two DeleteAcls; else as long as the last one took, so that others get half of the
/// controller.
const PAUSE_MAX: Duration = Duration::from_millis(250);
/// "Any" in a filter, for each of the enumerations.
const ANY: i8 = 1;

/// Whose ACLs to list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AclScope {
    /// Everybody's.
    All,
    /// Those that name exactly this principal.
    Principal(Principal),
}

/// What to delete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AclDeletion {
    /// One ACL.
    Exact(Principal, AclRule),
    /// Every ACL that names this principal: cheaper than five exact ones, and blind to what was added since they were
    /// counted. Fails as a whole beyond 10,000.
    WholePrincipal(Principal),
}

impl Admin {
    /// Lists ACLs as one broker has applied them.
    pub async fn list_acls(&self, scope: AclScope) -> Result<AclListing, KafkaError> {
        let principal = match scope {
            AclScope::All => None,
            AclScope::Principal(principal) => Some(text(principal.as_str())),
        };
        let request = DescribeAclsRequest::default()
            .with_resource_type_filter(ANY)
            .with_resource_name_filter(None)
            .with_pattern_type_filter(ANY)
            .with_principal_filter(principal)
            .with_host_filter(None)
            .with_operation(ANY)
            .with_permission_type(ANY);
        Ok(self.pool.read::<ListedAcls>(None, &request).await?.0)
    }

    /// Creates ACLs and says what became of each, in the order given; one that exists is `Done`. Denials are created
    /// before any permission.
    pub async fn create_acls(&self, acls: Vec<(Principal, AclRule)>) -> Vec<Outcome> {
        let mut outcomes: Vec<Outcome> = vec![unmentioned(); acls.len()];
        let (denials, permissions): (Vec<usize>, Vec<usize>) =
            (0..acls.len()).partition(|&index| acls[index].1.permission == Permission::Deny);
        for round in [denials, permissions] {
            let acls = &acls;
            let run = |broker, batch| self.create_batch(broker, batch, acls);
            for (index, outcome) in over_lanes(self.pool.lanes(), batches(&round, ITEMS), run).await {
                outcomes[index] = outcome;
            }
        }
        outcomes
    }

    async fn create_batch(
        &self,
        lane: Arc<Broker>,
        batch: Vec<usize>,
        acls: &[(Principal, AclRule)],
    ) -> Vec<(usize, Outcome)> {
        let creations = batch.iter().map(|&index| creation(&acls[index])).collect();
        let request = CreateAclsRequest::default().with_creations(creations);
        match self.pool.call_somewhere::<CreatedAcls>(&lane, &request, None, Repeat::Harmless).await {
            Err(error) => batch.into_iter().map(|index| (index, failed(&error))).collect(),
            // Positions are all there is to match by: an answer of another length says nothing.
            Ok(answered) if answered.body.0.len() != batch.len() => {
                batch.into_iter().map(|index| (index, unmentioned())).collect()
            }
            Ok(answered) => std::iter::zip(batch, answered.body.0)
                .map(|(index, code)| (index, outcome(code, CreatedAcls::RIGHT)))
                .collect(),
        }
    }

    /// Deletes ACLs, few at a time and one request after the other, in the order given; per deletion what went, which can
    /// be nothing, or why it failed (never `Done` or `AlreadySo`). Not repeated.
    pub async fn delete_acls(&self, deletions: Vec<AclDeletion>) -> Vec<Result<AclListing, Outcome>> {
        let _turn = self.deletions.lock().await;
        let mut results = Vec::with_capacity(deletions.len());
        for (turn, batch) in deletions.chunks(FILTERS).enumerate() {
            let started = Instant::now();
            results.extend(self.delete_batch(batch).await);
            if (turn + 1) * FILTERS < deletions.len() {
                sleep(started.elapsed().min(PAUSE_MAX)).await;
            }
        }
        results
    }

    async fn delete_batch(&self, deletions: &[AclDeletion]) -> Vec<Result<AclListing, Outcome>> {
        let request = DeleteAclsRequest::default().with_filters(deletions.iter().map(filter).collect());
        let brokers = self.pool.brokers();
        // The last broker, so that deletions stay out of the way of the write lanes where there are enough brokers.
        let Some(broker) = brokers.last() else {
            let error = CallError::unsent(KafkaError::NoBootstrap);
            return deletions.iter().map(|_| Err(failed(&error))).collect();
        };
        match self.pool.call_somewhere::<RemovedAcls>(broker, &request, None, Repeat::Never).await {
            Err(error) => deletions.iter().map(|_| Err(failed(&error))).collect(),
            Ok(answered) if answered.body.0.len() != deletions.len() => {
                deletions.iter().map(|_| Err(unmentioned())).collect()
            }
            Ok(answered) => answered
                .body
                .0
                .into_iter()
                .map(|result| result.map_err(|code| outcome(code, RemovedAcls::RIGHT)))
                .collect(),
        }
    }
}

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

fn creation((principal, rule): &(Principal, AclRule)) -> AclCreation {
    AclCreation::default()
        .with_resource_type(rule.resource_type.code())
        .with_resource_name(text(&rule.resource_name))
        .with_resource_pattern_type(rule.pattern_type.code())
        .with_principal(text(principal.as_str()))
        .with_host(text(&rule.host))
        .with_operation(rule.operation.code())
        .with_permission_type(rule.permission.code())
}

fn filter(deletion: &AclDeletion) -> DeleteAclsFilter {
    let filter = DeleteAclsFilter::default();
    match deletion {
        AclDeletion::Exact(principal, rule) => filter
            .with_resource_type_filter(rule.resource_type.code())
            .with_resource_name_filter(Some(text(&rule.resource_name)))
            .with_pattern_type_filter(rule.pattern_type.code())
            .with_principal_filter(Some(text(principal.as_str())))
            .with_host_filter(Some(text(&rule.host)))
            .with_operation(rule.operation.code())
            .with_permission_type(rule.permission.code()),
        AclDeletion::WholePrincipal(principal) => filter
            .with_resource_type_filter(ANY)
            .with_resource_name_filter(None)
            .with_pattern_type_filter(ANY)
            .with_principal_filter(Some(text(principal.as_str())))
            .with_host_filter(None)
            .with_operation(ANY)
            .with_permission_type(ANY),
    }
}
