//! What is prepared on a cluster behind Kastellan's back, and what is true on it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::messages::alter_client_quotas_request::{EntityData, EntryData, OpData};
use kafka_protocol::messages::alter_user_scram_credentials_request::{
    ScramCredentialDeletion, ScramCredentialUpsertion,
};
use kafka_protocol::messages::create_acls_request::AclCreation;
use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::delete_acls_request::DeleteAclsFilter;
use kafka_protocol::messages::describe_client_quotas_request::ComponentData;
use kafka_protocol::messages::describe_user_scram_credentials_request::UserName as DescribedUser;
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::metadata_response::MetadataResponsePartition;
use kafka_protocol::messages::{
    AlterClientQuotasRequest, AlterUserScramCredentialsRequest, BrokerId, CreateAclsRequest, CreateTopicsRequest,
    DeleteAclsRequest, DescribeAclsRequest, DescribeClientQuotasRequest, DescribeUserScramCredentialsRequest,
    MetadataRequest, TopicName, UnregisterBrokerRequest,
};
use kafka_protocol::protocol::StrBytes;
use kastellan::names::{AclRule, Mechanism, Operation, PatternType, Permission, Principal, ResourceType, UserName};
use kastellan::secret::{Iterations, Salt, Secret, pbkdf2};

use super::node::Node;
use super::wire::{Connection, check};
use super::{Cluster, random_bytes};
use crate::stack::{StackError, pause, wait_until};

/// How long brokers may take to apply what the controller has acknowledged; seen: 2 s, on a machine less busy (`kafka.md` §3).
const APPLY_PATIENCE: Duration = Duration::from_secs(60);
/// A broker shows a credential up to 17 ms before it accepts it (`kafka.md` §3).
const SHOWN_TO_USABLE: Duration = Duration::from_millis(100);
/// `AclOperation.ANY`, `ResourceType.ANY`, `PatternType.ANY` and `AclPermissionType.ANY` are all 1.
const ANY: i8 = 1;
/// `RESOURCE_NOT_FOUND`: the user has no credential.
const NO_CREDENTIAL: i16 = 91;

impl Cluster {
    /// Creates or replaces a user's credential, and waits until every running broker accepts it.
    ///
    /// # Errors
    /// When a broker refuses or does not apply it in time.
    pub fn set_password(&self, user: &str, mechanism: Mechanism, password: &Secret) -> Result<(), StackError> {
        let (salt, iterations) = (Salt::observed(random_bytes::<24>().to_vec()), Iterations::default());
        let salted = pbkdf2(mechanism, password, &salt, iterations);
        let upsertion = ScramCredentialUpsertion::default()
            .with_name(text(user))
            .with_mechanism(mechanism.wire_type())
            .with_iterations(i32::try_from(iterations.count()).expect("at most 16384"))
            .with_salt(Bytes::copy_from_slice(salt.bytes()))
            .with_salted_password(Bytes::copy_from_slice(salted.expose()));
        self.alter_scram(user, &AlterUserScramCredentialsRequest::default().with_upsertions(vec![upsertion]))?;
        self.await_on_every_broker(&format!("show the credential of `{user}`"), |node| {
            Ok(mechanisms_on(node, user)?.contains(&mechanism))
        })
    }

    /// Deletes a user's credential of one mechanism, and waits until every running broker has forgotten it.
    ///
    /// # Errors
    /// When there is none, or a broker does not apply it in time.
    pub fn delete_password(&self, user: &str, mechanism: Mechanism) -> Result<(), StackError> {
        let deletion = ScramCredentialDeletion::default().with_name(text(user)).with_mechanism(mechanism.wire_type());
        self.alter_scram(user, &AlterUserScramCredentialsRequest::default().with_deletions(vec![deletion]))?;
        self.await_on_every_broker(&format!("forget the credential of `{user}`"), |node| {
            Ok(!mechanisms_on(node, user)?.contains(&mechanism))
        })
    }

    /// The mechanisms for which the user has a credential.
    pub fn mechanisms_of(&self, user: &str) -> Result<BTreeSet<Mechanism>, StackError> {
        mechanisms_on(self.any_running()?, user)
    }

    /// Creates ACLs of a principal, and waits until every running broker shows them.
    ///
    /// # Errors
    /// When a broker refuses or does not apply them in time.
    pub fn grant(&self, principal: &Principal, rules: &[AclRule]) -> Result<(), StackError> {
        if rules.is_empty() {
            return Ok(());
        }
        let creations = rules.iter().map(|rule| {
            AclCreation::default()
                .with_resource_type(rule.resource_type.code())
                .with_resource_name(text(&rule.resource_name))
                .with_resource_pattern_type(rule.pattern_type.code())
                .with_principal(text(principal.as_str()))
                .with_host(text(&rule.host))
                .with_operation(rule.operation.code())
                .with_permission_type(rule.permission.code())
        });
        let request = CreateAclsRequest::default().with_creations(creations.collect());
        for result in self.connect()?.call(3, &request)?.results {
            check(|| format!("create ACLs of `{principal}`"), result.error_code, result.error_message.as_ref())?;
        }
        self.await_on_every_broker(&format!("show the ACLs of `{principal}`"), |node| {
            let shown = acls_on(node, principal)?;
            Ok(rules.iter().all(|rule| shown.contains(rule)))
        })
    }

    /// Deletes all ACLs of a principal, and waits until every running broker has forgotten them.
    pub fn revoke_all(&self, principal: &Principal) -> Result<(), StackError> {
        let filter = DeleteAclsFilter::default()
            .with_resource_type_filter(ANY)
            .with_resource_name_filter(None)
            .with_pattern_type_filter(ANY)
            .with_host_filter(None)
            .with_principal_filter(Some(text(principal.as_str())))
            .with_operation(ANY)
            .with_permission_type(ANY);
        let request = DeleteAclsRequest::default().with_filters(vec![filter]);
        for result in self.connect()?.call(3, &request)?.filter_results {
            check(|| format!("delete the ACLs of `{principal}`"), result.error_code, result.error_message.as_ref())?;
        }
        self.await_on_every_broker(&format!("forget the ACLs of `{principal}`"), |node| {
            Ok(acls_on(node, principal)?.is_empty())
        })
    }

    /// All ACLs of a principal.
    pub fn acls_of(&self, principal: &Principal) -> Result<BTreeSet<AclRule>, StackError> {
        acls_on(self.any_running()?, principal)
    }

    /// Sets one quota of a user, e.g. `producer_byte_rate`; `None` removes it.
    pub fn set_quota(&self, user: &str, key: &str, value: Option<f64>) -> Result<(), StackError> {
        let entity = EntityData::default().with_entity_type(text("user")).with_entity_name(Some(text(user)));
        let op =
            OpData::default().with_key(text(key)).with_value(value.unwrap_or_default()).with_remove(value.is_none());
        let entry = EntryData::default().with_entity(vec![entity]).with_ops(vec![op]);
        let request = AlterClientQuotasRequest::default().with_entries(vec![entry]);
        for result in self.connect()?.call(1, &request)?.entries {
            check(|| format!("set `{key}` of `{user}`"), result.error_code, result.error_message.as_ref())?;
        }
        self.await_on_every_broker(&format!("show `{key}` of `{user}`"), |node| {
            Ok(quotas_on(node, user)?.get(key).copied() == value)
        })
    }

    /// The quotas of a user by their Kafka names; empty if there are none.
    pub fn quotas_of(&self, user: &str) -> Result<BTreeMap<String, f64>, StackError> {
        quotas_on(self.any_running()?, user)
    }

    /// Creates a topic of one partition on every broker, and waits until it has a leader everywhere.
    pub fn create_topic(&self, name: &str) -> Result<(), StackError> {
        let topic_name = || TopicName(text(name));
        let replicas = i16::try_from(self.nodes.len()).expect("at most three");
        let topic =
            CreatableTopic::default().with_name(topic_name()).with_num_partitions(1).with_replication_factor(replicas);
        let request = CreateTopicsRequest::default().with_topics(vec![topic]).with_timeout_ms(10_000);
        for result in self.connect()?.call(7, &request)?.topics {
            check(|| format!("create topic `{name}`"), result.error_code, result.error_message.as_ref())?;
        }
        self.await_on_every_broker(&format!("lead topic `{name}`"), |node| {
            let partitions = partitions_on(node, name)?;
            Ok(!partitions.is_empty() && partitions.iter().all(|partition| partition.leader_id.0 > 0))
        })
    }

    /// Strikes a broker off that will not come back.
    pub fn unregister(&self, node: i32) -> Result<(), StackError> {
        let request = UnregisterBrokerRequest::default().with_broker_id(BrokerId(node));
        let answer = self.connect()?.call(0, &request)?;
        check(|| format!("unregister broker {node}"), answer.error_code, answer.error_message.as_ref())
    }

    /// The node that leads the first partition of a topic.
    pub fn leader_of(&self, topic: &str) -> Result<i32, StackError> {
        let partitions = partitions_on(self.any_running()?, topic)?;
        let refused = || StackError::Refused { what: format!("tell who leads `{topic}`"), answer: "nobody".into() };
        partitions.first().map(|partition| partition.leader_id.0).ok_or_else(refused)
    }

    /// Waits until every running broker sees `count` brokers.
    pub(super) fn await_brokers(&self, count: usize) -> Result<(), StackError> {
        self.await_on_every_broker(&format!("see {count} brokers"), |node| {
            let request = MetadataRequest::default().with_topics(Some(Vec::new()));
            Ok(connect(node)?.call(12, &request)?.brokers.len() == count)
        })
    }

    fn alter_scram(&self, user: &str, request: &AlterUserScramCredentialsRequest) -> Result<(), StackError> {
        for result in self.connect()?.call(0, request)?.results {
            let what = || format!("alter the credential of `{user}`");
            check(what, result.error_code, result.error_message.as_ref())?;
        }
        Ok(())
    }

    fn connect(&self) -> Result<Connection, StackError> {
        connect(self.any_running()?)
    }

    fn any_running(&self) -> Result<&Node, StackError> {
        let refused = || StackError::Refused { what: "answer".into(), answer: "no node runs".into() };
        self.nodes.iter().find(|node| node.is_running()).ok_or_else(refused)
    }

    fn await_on_every_broker(
        &self,
        what: &str,
        applied: impl Fn(&Node) -> Result<bool, StackError>,
    ) -> Result<(), StackError> {
        for node in self.nodes.iter().filter(|node| node.is_running()) {
            let mut last = Ok(false);
            let done = wait_until(APPLY_PATIENCE, || {
                last = applied(node);
                matches!(last, Ok(true))
            });
            if !done {
                last?;
                let answer = format!("not applied after {APPLY_PATIENCE:?}");
                return Err(StackError::Refused { what: format!("{what} on node {}", node.id), answer });
            }
        }
        pause(SHOWN_TO_USABLE);
        Ok(())
    }
}

fn connect(node: &Node) -> Result<Connection, StackError> {
    Connection::open(node.addresses.internal)
}

/// The partitions of a topic; empty while the broker does not know it.
fn partitions_on(node: &Node, topic: &str) -> Result<Vec<MetadataResponsePartition>, StackError> {
    let topic = MetadataRequestTopic::default().with_name(Some(TopicName(text(topic))));
    let answer = connect(node)?.call(12, &MetadataRequest::default().with_topics(Some(vec![topic])))?;
    let known = answer.topics.into_iter().filter(|topic| topic.error_code == 0);
    Ok(known.flat_map(|topic| topic.partitions).collect())
}

fn mechanisms_on(node: &Node, user: &str) -> Result<BTreeSet<Mechanism>, StackError> {
    let users = vec![DescribedUser::default().with_name(text(user))];
    let request = DescribeUserScramCredentialsRequest::default().with_users(Some(users));
    let answer = connect(node)?.call(0, &request)?;
    let what = || format!("describe the credentials of `{user}`");
    check(what, answer.error_code, answer.error_message.as_ref())?;
    let mut mechanisms = BTreeSet::new();
    for result in answer.results.into_iter().filter(|result| result.error_code != NO_CREDENTIAL) {
        check(what, result.error_code, result.error_message.as_ref())?;
        mechanisms
            .extend(result.credential_infos.iter().filter_map(|info| Mechanism::from_wire_type(info.mechanism).ok()));
    }
    Ok(mechanisms)
}

fn acls_on(node: &Node, principal: &Principal) -> Result<BTreeSet<AclRule>, StackError> {
    let request = DescribeAclsRequest::default()
        .with_resource_type_filter(ANY)
        .with_resource_name_filter(None)
        .with_pattern_type_filter(ANY)
        .with_host_filter(None)
        .with_principal_filter(Some(text(principal.as_str())))
        .with_operation(ANY)
        .with_permission_type(ANY);
    let answer = connect(node)?.call(3, &request)?;
    check(|| format!("describe the ACLs of `{principal}`"), answer.error_code, answer.error_message.as_ref())?;
    let mut rules = BTreeSet::new();
    for resource in &answer.resources {
        rules.extend(resource.acls.iter().filter_map(|acl| {
            Some(AclRule {
                permission: Permission::from_code(acl.permission_type)?,
                resource_type: ResourceType::from_code(resource.resource_type)?,
                pattern_type: PatternType::from_code(resource.pattern_type)?,
                resource_name: resource.resource_name.as_str().into(),
                operation: Operation::from_code(acl.operation)?,
                host: acl.host.as_str().into(),
            })
        }));
    }
    Ok(rules)
}

fn quotas_on(node: &Node, user: &str) -> Result<BTreeMap<String, f64>, StackError> {
    let component = ComponentData::default().with_entity_type(text("user")).with_match(Some(text(user)));
    let request = DescribeClientQuotasRequest::default().with_components(vec![component]).with_strict(true);
    let answer = connect(node)?.call(1, &request)?;
    check(|| format!("describe the quotas of `{user}`"), answer.error_code, answer.error_message.as_ref())?;
    let entries = answer.entries.unwrap_or_default();
    Ok(entries.into_iter().flat_map(|entry| entry.values).map(|value| (value.key.to_string(), value.value)).collect())
}

fn text(value: &str) -> StrBytes {
    StrBytes::from_string(value.to_owned())
}

/// The principal of a user name.
///
/// # Panics
/// When `name` is not a user name.
pub fn principal(name: &str) -> Principal {
    Principal::of_user(&UserName::parse(name).expect("a user name of the tests"))
}
