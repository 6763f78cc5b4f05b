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

/// The ACLs of Kastellan's principal, all on the cluster resource; none of them lets it read or write a record.
///
/// `Describe`: SCRAM credentials and ACLs. `DescribeConfigs`: quotas and `super.users`. `Alter`: SCRAM credentials and
/// ACLs. `AlterConfigs`: quotas. Logins need none.
pub fn needed_rights(purpose: Purpose) -> Vec<AclRule> {
    let operations: &[Operation] = match purpose {
        Purpose::Planning => &[Operation::Describe, Operation::DescribeConfigs],
        Purpose::Applying => {
            &[Operation::Describe, Operation::DescribeConfigs, Operation::Alter, Operation::AlterConfigs]
        }
    };
    operations.iter().copied().map(on_cluster).collect()
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
