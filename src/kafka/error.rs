//! What can go wrong between us and a cluster as a whole; what goes wrong with one item of a write is an `Outcome`.

use std::time::Duration;

use super::{ErrorCode, Malformed};
use crate::diagnostic::{Disposition, Hint};
use crate::names::{BrokerId, ClusterId, HostPort, Operation, UserName};

/// A step with a cluster that failed.
#[derive(Debug, thiserror::Error)]
pub enum KafkaError {
    /// No connection: refused, no route, no such host.
    #[error("failed to connect to broker `{server}`")]
    Unreachable {
        /// The broker.
        server: HostPort,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The deadline of a step passed.
    #[error("broker `{server}` did not answer {step} within {} s", .after.as_secs_f32())]
    Silent {
        /// The broker.
        server: HostPort,
        /// The step, e.g. "the TLS handshake" or "DescribeAcls".
        step: &'static str,
        /// How long it was waited for.
        after: Duration,
    },
    /// The connection ended in the middle of a step.
    #[error("broker `{server}` closed the connection during {step}")]
    Closed {
        /// The broker.
        server: HostPort,
        /// The step.
        step: &'static str,
    },
    /// The connection broke in the middle of a step.
    #[error("the connection to broker `{server}` broke during {step}")]
    Broken {
        /// The broker.
        server: HostPort,
        /// The step.
        step: &'static str,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The settings for TLS cannot be used.
    #[error("the TLS settings cannot be used: {reason}")]
    TlsSettings {
        /// Which part, and why.
        reason: &'static str,
    },
    /// The server's certificate is not signed by a trusted authority, or otherwise not valid.
    #[error("the certificate of broker `{server}` is not trusted: {reason}")]
    ServerCertificate {
        /// The broker.
        server: HostPort,
        /// Why not.
        reason: &'static str,
    },
    /// The server's certificate is for another name.
    #[error("the certificate of broker `{server}` is not for the name `{name}`")]
    ServerName {
        /// The broker.
        server: HostPort,
        /// The name that was expected.
        name: String,
    },
    /// The server refused our certificate, or asked for one that we do not have.
    #[error("broker `{server}` refused the client certificate")]
    ClientCertificate {
        /// The broker.
        server: HostPort,
    },
    /// TLS failed in another way.
    #[error("TLS with broker `{server}` failed")]
    Tls {
        /// The broker.
        server: HostPort,
        /// What went wrong.
        #[source]
        source: std::io::Error,
    },
    /// We spoke TLS and the listener does not.
    #[error("`{server}` does not speak TLS")]
    TlsNotSpoken {
        /// The broker.
        server: HostPort,
    },
    /// We spoke plaintext and the listener speaks TLS.
    #[error("`{server}` speaks TLS, and we did not")]
    TlsExpected {
        /// The broker.
        server: HostPort,
    },
    /// User name or password is wrong, or the user has no credential of this mechanism.
    #[error("broker `{server}` refused the login of `{user}` by {mechanism}")]
    LoginRefused {
        /// The broker.
        server: HostPort,
        /// Who we are.
        user: UserName,
        /// How we tried, e.g. `SCRAM-SHA-512`.
        mechanism: &'static str,
    },
    /// A name that Kafka's SCRAM server cannot read.
    #[error("nobody can log in to Kafka by SCRAM as `{user}`: it reads only ASCII characters in user names")]
    NameNotAscii {
        /// The name.
        user: UserName,
    },
    /// The listener does not have the mechanism.
    #[error("the listener of broker `{server}` does not offer {mechanism}; it offers {offered}")]
    MechanismNotOffered {
        /// The broker.
        server: HostPort,
        /// What we wanted.
        mechanism: &'static str,
        /// What it offers, e.g. `PLAIN, SCRAM-SHA-256`; "nothing" if nothing.
        offered: String,
    },
    /// The server could not prove that it knows the credential, or its SCRAM messages are not in order.
    #[error("broker `{server}` failed its part of the SCRAM login: {reason}")]
    ScramExchange {
        /// The broker.
        server: HostPort,
        /// What it did wrong.
        reason: &'static str,
    },
    /// Bytes that are not what the protocol says.
    #[error("broker `{server}` sent an answer to {step} that cannot be read")]
    Malformed {
        /// The broker.
        server: HostPort,
        /// The request.
        step: &'static str,
        /// What is wrong with it.
        #[source]
        source: Malformed,
    },
    /// An answer larger than we are willing to hold.
    #[error("broker `{server}` announced an answer to {step} of {bytes} bytes; at most {max} are read")]
    TooLarge {
        /// The broker.
        server: HostPort,
        /// The request.
        step: &'static str,
        /// Announced length.
        bytes: u32,
        /// The most that is read.
        max: usize,
    },
    /// The broker is too old or too new for a request.
    #[error("broker `{server}` does not know {api} version {version}")]
    UnsupportedVersion {
        /// The broker.
        server: HostPort,
        /// The request.
        api: &'static str,
        /// The version we speak.
        version: i16,
    },
    /// Our principal lacks a right.
    #[error("missing right: {operation} on the cluster, for {needed_for}")]
    MissingRight {
        /// The operation that must be allowed on the cluster.
        operation: Operation,
        /// What it is needed for.
        needed_for: &'static str,
    },
    /// The broker refused a request as a whole.
    #[error("{api} was refused: {}", .code.text())]
    Refused {
        /// The request.
        api: &'static str,
        /// Kafka's code.
        code: ErrorCode,
    },
    /// A request holds something that the wire cannot carry.
    #[error("{api} cannot be encoded; please report this")]
    NotEncodable {
        /// The request.
        api: &'static str,
    },
    /// The cluster has no broker with this id.
    #[error("the cluster has no broker {broker}")]
    UnknownBroker {
        /// The id.
        broker: BrokerId,
    },
    /// The metadata image of a broker did not move on in time.
    #[error("broker {broker} did not apply a newer metadata image within {} s", .after.as_secs_f32())]
    ImageStandsStill {
        /// The broker.
        broker: BrokerId,
        /// How long it was waited for.
        after: Duration,
    },
    /// The listener for clients belongs to another cluster than the one for administrators.
    #[error("`{server}` belongs to cluster `{found}`, not `{expected}`")]
    OtherCluster {
        /// Where we asked.
        server: HostPort,
        /// The cluster that is administered.
        expected: ClusterId,
        /// The cluster that answered.
        found: ClusterId,
    },
    /// No bootstrap server was given.
    #[error("no bootstrap server was given")]
    NoBootstrap,
}

impl KafkaError {
    /// What to do about it.
    pub fn disposition(&self) -> Disposition {
        match self {
            Self::Unreachable { .. }
            | Self::Silent { .. }
            | Self::Closed { .. }
            | Self::Broken { .. }
            | Self::UnknownBroker { .. }
            | Self::ImageStandsStill { .. } => Disposition::Wait,
            Self::Refused { code, .. } => code.disposition(),
            Self::TlsSettings { .. }
            | Self::ServerCertificate { .. }
            | Self::ServerName { .. }
            | Self::ClientCertificate { .. }
            | Self::Tls { .. }
            | Self::TlsNotSpoken { .. }
            | Self::TlsExpected { .. }
            | Self::LoginRefused { .. }
            | Self::NameNotAscii { .. }
            | Self::MechanismNotOffered { .. }
            | Self::ScramExchange { .. }
            | Self::Malformed { .. }
            | Self::TooLarge { .. }
            | Self::UnsupportedVersion { .. }
            | Self::MissingRight { .. }
            | Self::NotEncodable { .. }
            | Self::OtherCluster { .. }
            | Self::NoBootstrap => Disposition::Stall,
        }
    }

    /// What a person can do about it, if there is something to say.
    pub fn hint(&self) -> Option<Hint> {
        let hint = match self {
            Self::Unreachable { .. } => "check `bootstrapServers`, the advertised listeners and the network".into(),
            Self::Silent { .. } => {
                "check that the port belongs to a Kafka listener and that the broker is healthy".into()
            }
            Self::Closed { step: "ApiVersions" | "SaslHandshake", .. } => {
                "the listener may expect TLS or another security protocol: check `tls` and the port".into()
            }
            Self::TlsExpected { .. } => "add `tls: {caFile: …}`, or use the plaintext listener's port".into(),
            Self::TlsNotSpoken { .. } => "remove `tls`, or use the TLS listener's port".into(),
            Self::ServerCertificate { .. } => {
                "set `tls.caFile` to the authority that signed the brokers' certificates".into()
            }
            Self::ServerName { .. } => {
                "connect by a name that the certificate carries, or have a certificate issued for this one".into()
            }
            Self::ClientCertificate { .. } => {
                "check `tls.certificateFile` and that the brokers trust its authority".into()
            }
            Self::LoginRefused { .. } => "check user name, password and mechanism of `admin.authentication`".into(),
            Self::MechanismNotOffered { .. } => "choose a mechanism that the listener offers, or add it there".into(),
            Self::ScramExchange { .. } => "make sure that this is your broker: it may be an impostor".into(),
            Self::TooLarge { .. } => "check that the port belongs to a Kafka listener".into(),
            Self::UnsupportedVersion { .. } => "use Kafka 3.7 or newer".into(),
            Self::MissingRight { operation, .. } => {
                format!(
                    "allow Kastellan's principal {operation} on the cluster: `kastellan policy kafka` prints the ACLs"
                )
            }
            Self::OtherCluster { .. } => "check that `admin` and `clients` name the same cluster".into(),
            Self::Malformed { .. } | Self::NotEncodable { .. } => "please report this".into(),
            Self::NameNotAscii { .. } => "choose a user name of ASCII characters".into(),
            Self::Closed { .. }
            | Self::Broken { .. }
            | Self::TlsSettings { .. }
            | Self::Tls { .. }
            | Self::Refused { .. }
            | Self::UnknownBroker { .. }
            | Self::ImageStandsStill { .. }
            | Self::NoBootstrap => return None,
        };
        Some(hint)
    }

    /// Whether another broker, or the same one a moment later, may well answer.
    pub(super) const fn is_about_transport(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Silent { .. } | Self::Closed { .. } | Self::Broken { .. })
    }
}
