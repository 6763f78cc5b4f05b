//! The least rights that Kastellan's own principal needs, as ACLs.

use crate::names::{AclRule, Operation, PatternType, Permission, ResourceType};

/// What Kastellan is allowed to do on a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Plan and report drift; change nothing.
    Planning,
    /// Apply, rotate, delete.
    Applying,
}

/// What [`Purpose::Planning`] needs, and then what [`Purpose::Applying`] needs on top.
const RIGHTS: [(Operation, Purpose, &str); 4] = [
    (Operation::Describe, Purpose::Planning, "see users and ACLs"),
    (Operation::DescribeConfigs, Purpose::Planning, "see quotas"),
    (Operation::Alter, Purpose::Applying, "change users and ACLs"),
    (Operation::AlterConfigs, Purpose::Applying, "change quotas"),
];

/// The ACLs of Kastellan's principal, all on the cluster resource; none of them lets it read or write a record. Logins
/// need none.
pub fn needed_rights(purpose: Purpose) -> Vec<AclRule> {
    explained_rights(purpose).map(|(operation, _)| on_cluster(operation)).collect()
}

/// The operations of [`needed_rights`], in its order, each with what it is needed for, e.g. "see users and ACLs".
pub fn explained_rights(purpose: Purpose) -> impl Iterator<Item = (Operation, &'static str)> {
    let is_needed = move |needs: Purpose| needs == Purpose::Planning || needs == purpose;
    RIGHTS.into_iter().filter(move |(_, needs, _)| is_needed(*needs)).map(|(operation, _, why)| (operation, why))
}

fn on_cluster(operation: Operation) -> AclRule {
    AclRule {
        permission: Permission::Allow,
        resource_type: ResourceType::Cluster,
        pattern_type: PatternType::Literal,
        resource_name: ResourceType::CLUSTER_NAME.into(),
        operation,
        host: "*".into(),
    }
}
