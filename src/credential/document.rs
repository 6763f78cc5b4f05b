//! The credential document: what applications read from the store.

use jiff::Timestamp;

use crate::names::{ClusterName, Generation, Mechanism, RotationId, UserName};
use crate::secret::Secret;

/// Version that a store gives one document, opaque; compare-and-set compares it (a number in Vault, a digest elsewhere).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Version(pub String);

/// A document with the version it was read at.
#[derive(Debug, Clone, PartialEq)]
pub struct Versioned<T> {
    /// What was read.
    pub value: T,
    /// Its version.
    pub version: Version,
}

/// What applications find below `<namespace>/<name>` (fields: formats.md B5).
#[derive(Debug)]
pub enum CredentialDocument {
    /// A working credential.
    Live(Box<LiveCredential>),
    /// The user was deleted (R7).
    Tombstone {
        /// The number the deletion took; higher than that of any credential before it.
        generation: Generation,
        /// When, UTC.
        deleted_at: Timestamp,
    },
}

impl CredentialDocument {
    /// The number by which documents are ordered (R3).
    pub fn generation(&self) -> Generation {
        match self {
            Self::Live(live) => live.generation,
            Self::Tombstone { generation, .. } => *generation,
        }
    }
}

/// The newest working credential with everything a client needs to connect.
#[derive(Debug)]
pub struct LiveCredential {
    /// Number.
    pub generation: Generation,
    /// Rotation that made it.
    pub rotation_id: RotationId,
    /// When it was published, UTC.
    pub published_at: Timestamp,
    /// Kafka user name.
    pub username: UserName,
    /// Password.
    pub password: Secret,
    /// `sasl.mechanism`.
    pub mechanism: Mechanism,
    /// How to reach each cluster, in the order of the document's `clusters`; the first is the default.
    pub connections: Vec<(ClusterName, Connection)>,
}

/// What clients need to know of a cluster besides the credential.
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Connection {
    /// `bootstrap.servers` of the clients' listener.
    pub bootstrap_servers: String,
    /// `SASL_SSL` or `SASL_PLAINTEXT`.
    pub security_protocol: String,
    /// PEM of the CA the listener's certificate chains to; `None` where there is no TLS or the system's CAs are meant.
    pub ca_pem: Option<std::sync::Arc<str>>,
}

impl LiveCredential {
    /// Whether two documents of the same credential tell applications the same.
    pub fn says_the_same(&self, other: &Self) -> bool {
        self.username == other.username
            && self.mechanism == other.mechanism
            && self.connections == other.connections
            && self.password.ct_eq(&other.password)
    }
}
