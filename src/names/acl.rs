//! The vocabulary of Kafka's ACLs: resource types, patterns, operations, and a rule made of them.
//!
//! Codes and names are those of `org.apache.kafka.common.acl` and `org.apache.kafka.common.resource`; which operation makes
//! sense for which resource type is `kafka.security.authorizer.AclEntry.supportedOperations`.

use std::sync::Arc;

/// Defines a closed set with its wire code and its name in documents.
macro_rules! wire_enum {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $code:literal, $text:literal;)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        pub enum $name { $($(#[$variant_doc])* #[serde(rename = $text)] $variant),+ }

        impl $name {
            /// All values, in the order of their codes.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The code on the wire.
            pub const fn code(self) -> i8 {
                match self { $(Self::$variant => $code),+ }
            }

            /// The value of a code; `None` for one that is newer than this program.
            pub const fn from_code(code: i8) -> Option<Self> {
                match code { $($code => Some(Self::$variant),)+ _ => None }
            }

            /// The name in documents and messages.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

wire_enum!(
    /// What an ACL protects.
    ResourceType {
        /// A topic.
        Topic = 2, "topic";
        /// A consumer group.
        Group = 3, "group";
        /// The cluster itself; its only name is `kafka-cluster`.
        Cluster = 4, "cluster";
        /// A transactional id.
        TransactionalId = 5, "transactionalId";
        /// A delegation token (KIP-48).
        DelegationToken = 6, "delegationToken";
        /// A user, as the owner of delegation tokens (KIP-373); its name is a principal.
        User = 7, "user";
    }
);

wire_enum!(
    /// How the name of an ACL's resource is meant.
    PatternType {
        /// Exactly this name; `*` means every resource of the type.
        Literal = 3, "literal";
        /// Every name that begins so.
        Prefix = 4, "prefix";
    }
);

wire_enum!(
    /// What an ACL allows or denies.
    Operation {
        /// Every operation.
        All = 2, "All";
        /// Read.
        Read = 3, "Read";
        /// Write.
        Write = 4, "Write";
        /// Create.
        Create = 5, "Create";
        /// Delete.
        Delete = 6, "Delete";
        /// Alter.
        Alter = 7, "Alter";
        /// Describe.
        Describe = 8, "Describe";
        /// Inter-broker work.
        ClusterAction = 9, "ClusterAction";
        /// Read configuration.
        DescribeConfigs = 10, "DescribeConfigs";
        /// Change configuration.
        AlterConfigs = 11, "AlterConfigs";
        /// Idempotent producer (brokers before 3.0).
        IdempotentWrite = 12, "IdempotentWrite";
        /// Create delegation tokens for others (KIP-373).
        CreateTokens = 13, "CreateTokens";
        /// Describe delegation tokens of others (KIP-373).
        DescribeTokens = 14, "DescribeTokens";
        /// Take part in external two-phase commits (KIP-939, brokers from 4.0).
        TwoPhaseCommit = 15, "TwoPhaseCommit";
    }
);

wire_enum!(
    /// Whether an ACL allows or denies.
    Permission {
        /// Denies, whatever else allows.
        Deny = 2, "deny";
        /// Allows.
        Allow = 3, "allow";
    }
);

impl ResourceType {
    /// The only name a cluster resource can have.
    pub const CLUSTER_NAME: &'static str = "kafka-cluster";

    /// The operations that mean something for this type, `All` included.
    pub const fn operations(self) -> &'static [Operation] {
        use Operation::*;
        match self {
            Self::Topic => &[All, Read, Write, Create, Delete, Alter, Describe, DescribeConfigs, AlterConfigs],
            Self::Group => &[All, Read, Delete, Describe, DescribeConfigs, AlterConfigs],
            Self::Cluster => {
                &[All, Create, Alter, Describe, ClusterAction, DescribeConfigs, AlterConfigs, IdempotentWrite]
            }
            Self::TransactionalId => &[All, Write, Describe, TwoPhaseCommit],
            Self::DelegationToken => &[All, Describe],
            Self::User => &[All, CreateTokens, DescribeTokens],
        }
    }
}

/// One ACL without its principal: Kafka's `AclBinding` minus the `principal` of its entry.
///
/// Ordered by permission first (deny before allow), so that a sorted list creates denials before permissions.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AclRule {
    /// Allow or deny.
    pub permission: Permission,
    /// What is protected.
    pub resource_type: ResourceType,
    /// How `resource_name` is meant.
    pub pattern_type: PatternType,
    /// Name of the resource, e.g. `payments.`; interned.
    pub resource_name: Arc<str>,
    /// What is allowed or denied.
    pub operation: Operation,
    /// Host the client connects from, `*` for any; interned.
    pub host: Arc<str>,
}

impl std::fmt::Display for AclRule {
    /// E.g. `allow Read on topic payments.*` (prefix), with the host where it is not `*`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} on {}", self.permission, self.operation, Resource(self))?;
        if &*self.host != "*" {
            write!(f, " from {}", self.host)?;
        }
        Ok(())
    }
}

/// The resource of a rule, for people: `topic payments.*`, `group payments`, `every topic`, `cluster`.
pub struct Resource<'a>(pub &'a AclRule);

impl std::fmt::Display for Resource<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let rule = self.0;
        match (rule.resource_type, rule.pattern_type, &*rule.resource_name) {
            (ResourceType::Cluster, _, _) => f.write_str("cluster"),
            (resource_type, PatternType::Literal, "*") => write!(f, "every {resource_type}"),
            (resource_type, PatternType::Literal, name) => write!(f, "{resource_type} {name}"),
            (resource_type, PatternType::Prefix, name) => write!(f, "{resource_type} {name}*"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_those_of_kafka() {
        assert_eq!(ResourceType::from_code(7), Some(ResourceType::User));
        assert_eq!(Operation::TwoPhaseCommit.code(), 15);
        assert_eq!(PatternType::from_code(2), None, "MATCH is a filter, not a pattern");
        for &operation in Operation::ALL {
            assert_eq!(Operation::from_code(operation.code()), Some(operation));
        }
    }
}
