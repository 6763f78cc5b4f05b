//! A thin asynchronous client for what Kastellan needs of Kafka: administration over one login, and logins that prove
//! credentials.
//!
//! ```text
//!   Admin ── Pool ── Connection ── frames ── TCP or TLS          one login, per-broker connections, kept and reused
//!   Logins ───────── Connection ── frames ── TCP or TLS          a fresh connection for every probe
//! ```
//!
//! Requests are encoded by `kafka-protocol`; answers are decoded by the checked readers of `wire`, because bytes from
//! outside must not be able to abort or exhaust the process, with the crate as the oracle of their tests. What real brokers
//! do, and the numbers behind the constants here, are in `kafka.md`; "K" and "R" rules are those of `rotation.md`.
//!
//! It does not decide anything: no plan, no permit, no retry of what is not harmless to repeat. It does not read files,
//! the environment or documents.

mod admin;
mod code;
mod connection;
mod endpoint;
mod error;
mod logins;
mod outcome;
mod policy;
mod pool;
mod sasl;
mod scram;
#[cfg(feature = "librdkafka")]
mod second_opinion;
mod tls;
mod wire;

pub use crate::host::boot_now;
pub use crate::names::HostPort;
pub use admin::{
    AclDeletion, AclScope, Admin, Afterlife, QuotaChange, QuotaKeyChange, ScramAlteration, ScramChange, ScramListing,
};
pub use code::ErrorCode;
pub use endpoint::{Authentication, ClientCertificate, ClientsEndpoint, Deadlines, Endpoint, TlsSettings};
pub use error::KafkaError;
pub use logins::{LoggedIn, LoginOutcome, LoginRequest, LoginStep, LoginTarget, Logins, Peek};
pub use outcome::{Outcome, Unsent};
pub use policy::{Purpose, explained_rights, needed_rights};
pub use pool::Cluster;
#[cfg(feature = "librdkafka")]
pub use second_opinion::{Opinion, RecordTrip, second_opinion};
pub use wire::{AclListing, Malformed, RegisteredBrokers, decode_answer};
