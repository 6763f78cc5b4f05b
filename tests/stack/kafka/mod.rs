//! Real Apache Kafka: KRaft clusters of one or three combined nodes with SCRAM, PLAIN, TLS and an authorizer.

mod cluster;
mod libraries;
mod login;
mod node;
mod properties;
pub mod tools;
mod truth;
mod wire;

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use kastellan::names::{AclRule, Operation, PatternType, Permission, ResourceType};
use kastellan::secret::{Secret, draw_password};
use ring::rand::{SecureRandom as _, SystemRandom};

pub use cluster::{Cluster, ClusterBuilder, quiet, shared};
pub use login::{Login, Session};
pub use tools::Tool;
pub use truth::principal;

/// A version of Apache Kafka that the tests run on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KafkaVersion {
    /// The newest.
    V4_3_1,
    /// The last of the 3 series.
    V3_9_2,
}

impl KafkaVersion {
    /// All versions, the newest first.
    pub const ALL: [Self; 2] = [Self::V4_3_1, Self::V3_9_2];

    /// E.g. `4.3.1`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::V4_3_1 => "4.3.1",
            Self::V3_9_2 => "3.9.2",
        }
    }
}

impl std::fmt::Display for KafkaVersion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A listener that every node has for its clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Listener {
    /// Applications: SASL_PLAINTEXT, SCRAM of both mechanisms unless the builder says otherwise.
    Clients,
    /// Applications: SASL_SSL, as [`Listener::Clients`].
    ClientsTls,
    /// Administrators: SASL_PLAINTEXT, SCRAM of both mechanisms and PLAIN.
    Admin,
    /// Administrators: SASL_SSL, as [`Listener::Admin`].
    AdminTls,
    /// SSL with a required client certificate.
    MutualTls,
}

impl Listener {
    /// All listeners.
    pub const ALL: [Self; 5] = [Self::Clients, Self::ClientsTls, Self::Admin, Self::AdminTls, Self::MutualTls];

    const fn name(self) -> &'static str {
        match self {
            Self::Clients => "CLIENTS",
            Self::ClientsTls => "CLIENTS_TLS",
            Self::Admin => "ADMIN",
            Self::AdminTls => "ADMIN_TLS",
            Self::MutualTls => "MUTUAL_TLS",
        }
    }

    /// `security.protocol` of its clients.
    pub const fn security_protocol(self) -> &'static str {
        match self {
            Self::Clients | Self::Admin => "SASL_PLAINTEXT",
            Self::ClientsTls | Self::AdminTls => "SASL_SSL",
            Self::MutualTls => "SSL",
        }
    }
}

/// A user name and its password.
#[derive(Debug)]
pub struct Credentials {
    /// E.g. `kastellan`.
    pub username: String,
    /// Its password.
    pub password: Secret,
}

impl Credentials {
    /// Credentials with a new random password.
    pub fn random(username: &str) -> Self {
        Self { username: username.to_owned(), password: draw_password(&mut System, Default::default()) }
    }

    /// The password as text.
    pub fn password_text(&self) -> &str {
        self.password.expose_text().expect("passwords of the tests are text")
    }
}

/// What Kastellan's own user may do on the cluster resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rights(Vec<Operation>);

impl Rights {
    /// The least with which `apply` works.
    pub fn apply() -> Self {
        Self(vec![Operation::Describe, Operation::Alter, Operation::DescribeConfigs, Operation::AlterConfigs])
    }

    /// The least with which `plan` works.
    pub fn plan() -> Self {
        Self(vec![Operation::Describe, Operation::DescribeConfigs])
    }

    /// None at all.
    pub const fn none() -> Self {
        Self(Vec::new())
    }

    /// These without one of them, for tests that want it named.
    pub fn without(mut self, missing: Operation) -> Self {
        self.0.retain(|operation| *operation != missing);
        self
    }

    /// As ACLs.
    pub fn rules(&self) -> Vec<AclRule> {
        let rule = |operation: &Operation| AclRule {
            permission: Permission::Allow,
            resource_type: ResourceType::Cluster,
            pattern_type: PatternType::Literal,
            resource_name: ResourceType::CLUSTER_NAME.into(),
            operation: *operation,
            host: "*".into(),
        };
        self.0.iter().map(rule).collect()
    }
}

/// The JVM and the jars of one Kafka version.
#[derive(Debug, Clone)]
struct Java {
    version: KafkaVersion,
    launcher: PathBuf,
    libraries: PathBuf,
}

impl Java {
    fn classpath(&self) -> String {
        format!("{}/*", self.libraries.display())
    }
}

/// A name nobody else in this process uses, e.g. `payments-3`, for tests that share a cluster.
pub fn unique_name(prefix: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    format!("{prefix}-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// The operating system's generator.
struct System;

impl kastellan::secret::Randomness for System {
    fn fill(&mut self, buffer: &mut [u8]) {
        SystemRandom::new().fill(buffer).expect("the operating system has random bytes");
    }
}

fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    kastellan::secret::Randomness::fill(&mut System, &mut bytes);
    bytes
}
