//! Where a cluster is and how to log in, with every secret already read by the caller.

use std::sync::Arc;
use std::time::Duration;

use crate::names::{HostPort, Mechanism, UserName};
use crate::secret::Secret;

/// A cluster as its administrators reach it.
#[derive(Debug, Clone)]
pub struct Endpoint {
    /// Where to begin, tried in turn; at least one.
    pub bootstrap: Vec<HostPort>,
    /// `None` for a plaintext listener.
    pub tls: Option<TlsSettings>,
    /// How to log in; a client certificate is part of `tls`.
    pub authentication: Authentication,
    /// The name brokers see in their logs and quotas, e.g. `kastellan`.
    pub client_id: String,
}

/// A cluster as its clients reach it.
#[derive(Debug, Clone)]
pub struct ClientsEndpoint {
    /// Where to begin, tried in turn; at least one.
    pub bootstrap: Vec<HostPort>,
    /// `None` for a plaintext listener.
    pub tls: Option<TlsSettings>,
    /// The name brokers see.
    pub client_id: String,
}

/// How to check a server and, where it asks, prove ourselves.
#[derive(Debug, Clone)]
pub struct TlsSettings {
    /// The certificate authorities that are trusted, PEM, at least one; nothing else is trusted.
    pub ca_pem: Vec<u8>,
    /// The name the server's certificate must carry; `None` for the host that is connected to.
    pub server_name: Option<String>,
    /// Our own certificate.
    pub client: Option<ClientCertificate>,
}

/// A client certificate.
#[derive(Debug, Clone)]
pub struct ClientCertificate {
    /// Certificate chain, PEM, the leaf first.
    pub certificate_pem: Vec<u8>,
    /// Private key, PEM (PKCS#8, PKCS#1 or SEC1).
    pub key_pem: Arc<Secret>,
}

/// How to log in.
#[derive(Debug, Clone)]
pub enum Authentication {
    /// Not at all, or by the client certificate.
    None,
    /// SASL PLAIN: the password itself crosses the wire, so only inside TLS.
    Plain {
        /// User name.
        username: UserName,
        /// Password.
        password: Arc<Secret>,
    },
    /// SASL SCRAM.
    Scram {
        /// Which SCRAM.
        mechanism: Mechanism,
        /// User name.
        username: UserName,
        /// Password.
        password: Arc<Secret>,
    },
}

/// How long each kind of step may take before it counts as unanswered.
///
/// A broker can leave a request unanswered for ever (`kafka.md` §1), so that every step has one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadlines {
    /// One TCP connection with its TLS handshake.
    pub connect: Duration,
    /// One whole login. A broker holds a refusal back on purpose, 0.1 s by default and up to seconds by configuration.
    pub login: Duration,
    /// One request that reads.
    pub read: Duration,
    /// One request that writes: losing the active controller takes some 3 s (`kafka.md` §1).
    pub write: Duration,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            login: Duration::from_secs(10),
            read: Duration::from_secs(5),
            write: Duration::from_secs(10),
        }
    }
}
