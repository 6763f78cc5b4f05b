//! What can go wrong at Vault, whose turn it is, and the remedy.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use super::Action;
use crate::diagnostic::{Disposition, Hint};

/// Why Vault could not do what was asked. Names places and status codes; never carries a body, a token or a header.
#[derive(Debug, Clone, thiserror::Error)]
pub enum VaultError {
    /// The settings make no sense.
    #[error("the settings for Vault cannot be used: {why}")]
    Settings {
        /// What is wrong.
        why: &'static str,
    },
    /// A file that the login needs cannot be read.
    #[error("failed to read `{}`", .file.display())]
    File {
        /// The file.
        file: PathBuf,
        /// What the system said.
        #[source]
        source: Arc<io::Error>,
    },
    /// A file holds something else than one line of plain text.
    #[error("`{}` does not hold {what}: one line of plain text", .file.display())]
    NotOneLine {
        /// The file.
        file: PathBuf,
        /// What it should hold, e.g. "a token".
        what: &'static str,
    },
    /// Nobody answers, or the connection broke.
    #[error("failed to reach Vault at `{address}`: {why}")]
    Unreachable {
        /// The address.
        address: String,
        /// The innermost cause, e.g. "Connection refused".
        why: String,
    },
    /// It answers nobody until somebody unseals it.
    #[error("Vault at `{address}` is sealed")]
    Sealed {
        /// The address.
        address: String,
    },
    /// It answered again and again that it cannot at the moment.
    #[error("Vault at `{address}` cannot answer at the moment (status {status})")]
    Busy {
        /// The address.
        address: String,
        /// HTTP's status: 412, 429, 472, 473 or 5xx.
        status: u16,
    },
    /// It sends its clients elsewhere; tokens are not taken there.
    #[error("Vault at `{address}` sends its clients to another address")]
    Redirected {
        /// The address.
        address: String,
    },
    /// A read answers an older version than the one we wrote, also after waiting.
    #[error(
        "`{path}` is answered in version {found}, and version {written} was written: the server that answers lags behind"
    )]
    Lagging {
        /// The key.
        path: String,
        /// What was answered; 0 for nothing.
        found: u64,
        /// What was written.
        written: u64,
    },
    /// The token may not do this.
    #[error("Vault does not let Kastellan {action} `{path}`")]
    Denied {
        /// What was asked.
        action: Action,
        /// The path of the request.
        path: String,
    },
    /// The login was refused.
    #[error("Vault refused the login by {method} (status {status})")]
    LoginRefused {
        /// E.g. "AppRole".
        method: &'static str,
        /// HTTP's status.
        status: u16,
    },
    /// What wraps the secret id is spent, expired or unknown.
    #[error("the token in `{}` wraps nothing any more", .file.display())]
    WrapSpent {
        /// The file.
        file: PathBuf,
    },
    /// What is wrapped was made by another path than a role's secret ids.
    #[error("the token in `{}` does not wrap a secret id of `auth/{mount}`", .file.display())]
    WrapForeign {
        /// The file.
        file: PathBuf,
        /// The auth mount that was expected.
        mount: String,
    },
    /// There is no KV version 2 engine at the mount.
    #[error("there is no KV version 2 engine at `{mount}`")]
    NoMount {
        /// The mount.
        mount: String,
    },
    /// The key has another version than expected.
    #[error("`{path}` was changed by somebody else")]
    Conflict {
        /// The key.
        path: String,
    },
    /// The request was refused for another reason.
    #[error("Vault refused to {action} `{path}` (status {status})")]
    Rejected {
        /// What was asked.
        action: Action,
        /// The path of the request.
        path: String,
        /// HTTP's status.
        status: u16,
    },
    /// An answer is none of Vault's.
    #[error("the answer to {action} `{path}` is not one of Vault's: {why}")]
    Malformed {
        /// What was asked.
        action: Action,
        /// The path of the request.
        path: String,
        /// What is wrong, without any of it.
        why: &'static str,
    },
}

impl VaultError {
    /// Whose turn it is.
    pub fn disposition(&self) -> Disposition {
        match self {
            Self::Conflict { .. } => Disposition::Retry,
            Self::Unreachable { .. } | Self::Sealed { .. } | Self::Busy { .. } | Self::Lagging { .. } => {
                Disposition::Wait
            }
            Self::Settings { .. }
            | Self::File { .. }
            | Self::NotOneLine { .. }
            | Self::Redirected { .. }
            | Self::Denied { .. }
            | Self::LoginRefused { .. }
            | Self::WrapSpent { .. }
            | Self::WrapForeign { .. }
            | Self::NoMount { .. }
            | Self::Rejected { .. }
            | Self::Malformed { .. } => Disposition::Stall,
        }
    }

    /// What a person can do; `None` where repeating is all there is.
    pub fn hint(&self) -> Option<Hint> {
        let hint = match self {
            Self::Conflict { .. } | Self::Busy { .. } | Self::Settings { .. } => return None,
            Self::File { .. } | Self::NotOneLine { .. } => "put it there, readable for the user that runs Kastellan",
            Self::Unreachable { .. } => {
                "check `address`, `caFile` and `tlsServerName` of the CredentialStore; proxy variables are not looked at"
            }
            Self::Sealed { .. } => "unseal it; nothing is lost, and the next run goes on",
            Self::Redirected { .. } => "set `address` to that of the active node",
            Self::Lagging { .. } => "set `address` to that of the active node, or run again",
            Self::Denied { .. } => "give it the policy that `kastellan policy vault` prints",
            Self::LoginRefused { .. } => "check the role, its id and the secret id: it may have expired or be used up",
            Self::WrapSpent { .. } => {
                "deliver a new one; if nobody of yours unwrapped it, treat the secret id as stolen"
            }
            Self::WrapForeign { .. } => {
                "do not use it; deliver one that was made by `vault write -wrap-ttl=… -f auth/approle/role/ROLE/secret-id`"
            }
            Self::NoMount { .. } => {
                "make one with `vault secrets enable -path=MOUNT -version=2 kv`, or correct `mount` of the CredentialStore"
            }
            Self::Rejected { .. } | Self::Malformed { .. } => {
                "check that `address` is that of a Vault or OpenBao, and its log"
            }
        };
        Some(hint.to_owned())
    }
}
