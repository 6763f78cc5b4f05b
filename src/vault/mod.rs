//! A thin client of Vault and OpenBao: KV version 2, and the one token that a process has.
//!
//! ```text
//!   Vault (kv) ── calls ──> tokens      one token; renewed at two thirds of its life, one login at a time
//!                    │
//!                    └────> transport   one HTTP client: no proxy, no redirects, rustls with `ring`, bodies of bounded size
//! ```
//!
//! It knows what Vault's answers mean: a refusal is not an outage, a deleted version is not an absent one, and a
//! compare-and-set that failed is recognised by its text. It repeats what may succeed when repeated, and knows nothing of
//! records and credentials. No answer's body, no token and no header ever comes into an error or a log.

mod action;
mod calls;
mod error;
mod kv;
mod path;
mod policy;
mod tokens;
mod transport;

use std::path::PathBuf;

pub use action::Action;
pub use error::VaultError;
pub use kv::{KeySettings, Keys, MountSettings, Read, Stored, Vault};
pub use path::KvPath;
pub use policy::{Purpose, policy};

use crate::names::Segment;

/// Where a Vault is, and how to log in there.
#[derive(Debug, Clone)]
pub struct VaultSettings {
    /// Its URL, e.g. `https://vault.example.com:8200`.
    pub address: String,
    /// The namespace of everything that is asked (Vault Enterprise, OpenBao).
    pub namespace: Option<String>,
    /// The KV version 2 mount.
    pub mount: Vec<Segment>,
    /// Certificates that the server's is checked against, PEM; the system's where there is none.
    pub ca_file: Option<PathBuf>,
    /// Name that the server's certificate is for, where it is not that of the address.
    pub tls_server_name: Option<String>,
    /// How to log in.
    pub login: LoginSettings,
}

/// How a process comes by its token.
#[derive(Debug, Clone)]
pub enum LoginSettings {
    /// Somebody else keeps a token in a file; it is read again when it changes, and neither renewed nor revoked here.
    TokenFile(PathBuf),
    /// An AppRole.
    AppRole {
        /// Its auth mount, e.g. `approle`.
        mount: Vec<Segment>,
        /// The half that is no secret.
        role_id: String,
        /// File with the other half, or with a token that wraps it; read again when it changes.
        secret_id_file: PathBuf,
        /// What the file holds.
        secret_id: SecretIdForm,
    },
}

/// What the file of a secret id holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecretIdForm {
    /// The secret id.
    Plain,
    /// A response-wrapping token, good for one use.
    Wrapped,
}
