//! The document of a user as `import` writes it: what Kafka has, in the words of the grammar.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::kind::{API_VERSION, OTHER_OPERATOR, STRIMZI};
use super::tree::Value;
use crate::names::{
    AclRule, ClusterName, NamespacedName, Operation, PatternType, Permission, ResourceType, Segment, StoreName,
    UserName, UserQuotas,
};
use crate::secret::Iterations;

/// Where a user comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Kafka alone.
    Kafka,
    /// Strimzi, whose User Operator wrote this Secret.
    Strimzi {
        /// Name of the Secret, in the user's own namespace.
        secret: Segment,
    },
}

/// A user as it is found, to be written as a document.
#[derive(Debug)]
pub struct WrittenUser<'a> {
    /// What the document is called.
    pub identity: &'a NamespacedName,
    /// Its name in Kafka.
    pub username: &'a UserName,
    /// Where it lives.
    pub cluster: &'a ClusterName,
    /// Its store; `None` where there is only one.
    pub store: Option<&'a StoreName>,
    /// Iterations of its credential.
    pub iterations: Iterations,
    /// Its ACLs.
    pub rules: &'a [AclRule],
    /// Its quotas.
    pub quotas: UserQuotas,
    /// Where it comes from.
    pub origin: &'a Origin,
}

impl WrittenUser<'_> {
    /// The text of the document. Reading it gives back these very rules and quotas, as far as the grammar can say them.
    pub fn text(&self) -> String {
        let mut text =
            format!("# Written by `kastellan import`.\napiVersion: {API_VERSION}\nkind: KafkaUser\nmetadata:\n");
        let NamespacedName { namespace, name } = self.identity;
        let _ = writeln!(text, "  name: {}\n  namespace: {}", scalar(name.as_str()), scalar(namespace.as_str()));
        if let Origin::Strimzi { .. } = self.origin {
            let _ = writeln!(
                text,
                "  annotations:\n    # `plan` warns as long as this says so: remove it when the User Operator ignores the user.\n    {OTHER_OPERATOR}: {STRIMZI}"
            );
        }
        let _ = writeln!(text, "spec:\n  clusters: [{}]", scalar(self.cluster.as_str()));
        if self.username.as_str() != name.as_str() {
            let _ = writeln!(text, "  username: {}", scalar(self.username.as_str()));
        }
        if let Some(store) = self.store {
            let _ = writeln!(text, "  store: {}", scalar(store.as_str()));
        }
        match self.iterations == Iterations::default() {
            true => text.push_str("  authentication: {type: scram}\n"),
            false => {
                let iterations = self.iterations.count();
                let _ = writeln!(text, "  authentication: {{type: scram, iterations: {iterations}}}");
            }
        }
        self.write_access(&mut text);
        if let Origin::Strimzi { secret } = self.origin {
            let _ = write!(
                text,
                "  # The Secret stays as it is. To have Kastellan write it from now on, with the same keys:\n\
                 \x20 # deliver:\n\
                 \x20 #   - kubernetesSecret: {{name: {}, format: strimzi, adopt: true}}\n",
                scalar(secret.as_str())
            );
        }
        text
    }

    fn write_access(&self, text: &mut String) {
        if self.rules.is_empty() {
            text.push_str("  authorization: {acls: []}\n");
        } else {
            text.push_str("  authorization:\n    acls:\n");
        }
        for (Grouped { permission, resource_type, name, pattern_type, host }, operations) in grouped(self.rules) {
            let operations = operations.iter().map(|operation| operation.as_str()).collect::<Vec<_>>().join(", ");
            let _ = write!(text, "      - {{resource: {{type: {resource_type}");
            if resource_type != ResourceType::Cluster {
                let _ = write!(text, ", name: {}", scalar(name));
            }
            if pattern_type == PatternType::Prefix {
                let _ = write!(text, ", patternType: {pattern_type}");
            }
            let _ = write!(text, "}}, operations: [{operations}]");
            if host != "*" {
                let _ = write!(text, ", host: {}", scalar(host));
            }
            if permission == Permission::Deny {
                let _ = write!(text, ", type: {permission}");
            }
            text.push_str("}\n");
        }
        const FIELDS: [&str; 4] =
            ["producerByteRate", "consumerByteRate", "requestPercentage", "controllerMutationRate"];
        let quotas = FIELDS.iter().zip(self.quotas.values()).filter_map(|(field, value)| Some((field, value?)));
        let quotas = quotas.map(|(field, value)| format!("{field}: {value}")).collect::<Vec<_>>();
        let _ = writeln!(text, "  quotas: {{{}}}", quotas.join(", "));
    }
}

/// Whether the grammar has words for all of these rules: Kafka also keeps some that mean nothing.
pub fn can_say(rules: &[AclRule]) -> bool {
    rules.iter().all(|rule| {
        let is_named = match rule.resource_type {
            ResourceType::Cluster => {
                &*rule.resource_name == ResourceType::CLUSTER_NAME && rule.pattern_type == PatternType::Literal
            }
            ResourceType::User => rule.resource_name.contains(':') || &*rule.resource_name == "*",
            ResourceType::Topic
            | ResourceType::Group
            | ResourceType::TransactionalId
            | ResourceType::DelegationToken => true,
        };
        is_named && rule.resource_type.operations().contains(&rule.operation)
    })
}

/// What rules of one line have in common.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Grouped<'a> {
    permission: Permission,
    resource_type: ResourceType,
    name: &'a str,
    pattern_type: PatternType,
    host: &'a str,
}

fn grouped(rules: &[AclRule]) -> BTreeMap<Grouped<'_>, Vec<Operation>> {
    let mut groups: BTreeMap<Grouped<'_>, Vec<Operation>> = BTreeMap::new();
    for rule in rules {
        let group = Grouped {
            permission: rule.permission,
            resource_type: rule.resource_type,
            name: &rule.resource_name,
            pattern_type: rule.pattern_type,
            host: &rule.host,
        };
        groups.entry(group).or_default().push(rule.operation);
    }
    groups
}

/// A text as a YAML scalar within a flow mapping: plain where nothing in it could mean anything else.
fn scalar(text: &str) -> String {
    let is_plain = text.starts_with(|first: char| first.is_ascii_alphanumeric())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
        && matches!(Value::of_plain(text.into()), Value::Text(_))
        // Booleans of YAML 1.1, which other readers of the file may follow.
        && !["y", "n", "yes", "no", "on", "off"].iter().any(|word| text.eq_ignore_ascii_case(word));
    if is_plain { text.to_owned() } else { serde_json::Value::from(text).to_string() }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::sync::Arc;

    use super::super::{SourceText, read};
    use super::*;

    const PLATFORM: &str = "\
apiVersion: kastellan.io/v1alpha1
kind: CredentialStore
metadata: {name: local}
spec: {age: {directory: store, identityFile: identity.txt}}
---
apiVersion: kastellan.io/v1alpha1
kind: KafkaCluster
metadata: {name: prod}
spec:
  bootstrapServers: kafka:9092
  admin: {authentication: {type: plain, username: kastellan, password: {valueFrom: {env: X}}}}
  clients: {bootstrapServers: kafka:9092, mechanisms: [scram-sha-512]}
";

    fn rule(
        permission: Permission,
        resource: (ResourceType, PatternType, &str),
        operation: Operation,
        host: &str,
    ) -> AclRule {
        let (resource_type, pattern_type, resource_name) = resource;
        let (resource_name, host) = (resource_name.into(), host.into());
        AclRule { permission, resource_type, pattern_type, resource_name, operation, host }
    }

    #[test]
    fn reading_gives_back_what_was_written() {
        use Operation::*;
        use PatternType::*;
        use Permission::*;
        let mut rules = vec![
            rule(Allow, (ResourceType::Topic, Prefix, "orders."), Read, "*"),
            rule(Allow, (ResourceType::Topic, Prefix, "orders."), Describe, "*"),
            rule(Deny, (ResourceType::Topic, Literal, "*"), Write, "10.0.0.1"),
            rule(Allow, (ResourceType::Cluster, Literal, ResourceType::CLUSTER_NAME), IdempotentWrite, "*"),
            rule(Allow, (ResourceType::User, Literal, "User:other: \"one\""), DescribeTokens, "*"),
            rule(Allow, (ResourceType::Group, Literal, "true"), Read, "*"),
            rule(Allow, (ResourceType::TransactionalId, Literal, "1.5"), TwoPhaseCommit, "*"),
        ];
        rules.sort();
        let quotas =
            UserQuotas { producer_byte_rate: Some(1_048_576.0), request_percentage: Some(12.5), ..Default::default() };
        let identity = "kafka/no".parse().unwrap();
        let (username, cluster) = (UserName::parse("some {user}, #1").unwrap(), ClusterName::parse("prod").unwrap());
        let origin = Origin::Strimzi { secret: Segment::parse("no").unwrap() };
        let written = WrittenUser {
            identity: &identity,
            username: &username,
            cluster: &cluster,
            store: None,
            iterations: Iterations::try_from(8192).unwrap(),
            rules: &rules,
            quotas,
            origin: &origin,
        };
        let text = written.text();
        insta::assert_snapshot!(text);
        let source = |file: &str, text: &str| SourceText { file: Arc::new(PathBuf::from(file)), bytes: text.into() };
        let (documents, findings) = read(&[source("platform.yaml", PLATFORM), source("user.yaml", &text)]).unwrap();
        let user = &documents.users[&identity];
        assert_eq!(user.authorization.as_deref(), Some(rules.as_slice()));
        assert_eq!((user.quotas, &user.username), (Some(quotas), &username));
        let warning = findings.0.iter().find(|finding| finding.code == "other-operator").expect("Strimzi's too");
        let pattern = r"STRIMZI_IGNORED_USERS_PATTERN=some\ \{user\}\,\ \#1`";
        assert!(warning.hint.as_ref().unwrap().contains(pattern), "{warning:?}");
    }

    #[test]
    fn nothing_is_written_as_nothing() {
        let identity = "default/plain".parse().unwrap();
        let (username, cluster) = (UserName::parse("plain").unwrap(), ClusterName::parse("prod").unwrap());
        let store = StoreName::parse("vault").unwrap();
        let written = WrittenUser {
            identity: &identity,
            username: &username,
            cluster: &cluster,
            store: Some(&store),
            iterations: Iterations::default(),
            rules: &[],
            quotas: UserQuotas::default(),
            origin: &Origin::Kafka,
        };
        insta::assert_snapshot!(written.text());
    }
}
