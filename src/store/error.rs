//! What can go wrong at a store, whose turn it is, and the remedy.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::diagnostic::{Disposition, ExitStatus, Hint};
use crate::names::{NamespacedName, StoreName};
use crate::vault::VaultError;

/// Why a store could not do what was asked. Never carries contents, only places.
///
/// Cloneable, because one cause (a directory that cannot be synced) can fail many items of a batch.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// The operating system refused.
    #[error("failed to {action} `{place}`")]
    Io {
        /// Verb, e.g. "read".
        action: &'static str,
        /// File or folder.
        place: String,
        /// What the system said.
        #[source]
        source: Arc<io::Error>,
    },
    /// The folder of a store does not exist.
    #[error("there is no store at `{place}`")]
    Missing {
        /// The folder.
        place: String,
    },
    /// A document is there but cannot be understood. It is never taken for absent.
    #[error("`{place}` is damaged: {why}")]
    Damaged {
        /// The document.
        place: String,
        /// What is wrong, without any of the content where that may be secret.
        why: String,
    },
    /// A document was written by a newer Kastellan.
    #[error("`{place}` has schema {schema}, this program knows schemas up to {known}")]
    NewerSchema {
        /// The document.
        place: String,
        /// Its schema.
        schema: u64,
        /// The newest one known here.
        known: u64,
    },
    /// A document lies under another name than it says, e.g. on a file system that ignores case.
    #[error("`{place}` belongs to `{found}`, not to `{wanted}`")]
    Misfiled {
        /// The document.
        place: String,
        /// Whose document was asked for.
        wanted: String,
        /// Whose it says it is.
        found: String,
    },
    /// Somebody else changed the document since it was read; nothing was written.
    #[error("`{place}` was changed by somebody else")]
    Conflict {
        /// The document.
        place: String,
    },
    /// Another process writes to this store.
    #[error("store `{place}` is in use by {}", holder(*.pid))]
    Locked {
        /// The folder.
        place: String,
        /// Process id the other process wrote down; `None` when it had not come that far.
        pid: Option<u32>,
    },
    /// The store is a copy of one that another machine, or another folder, may still write to (R10).
    #[error("store `{place}` is a copy: {why}")]
    Copied {
        /// The folder.
        place: String,
        /// How it was recognised.
        why: String,
    },
    /// The identity file does not exist.
    #[error("there is no identity file `{}`", .identity.display())]
    IdentityMissing {
        /// The identity file.
        identity: PathBuf,
    },
    /// The identity file holds something else than X25519 identities.
    #[error("`{}` is not an age identity file: line {line} holds no X25519 identity", .identity.display())]
    IdentityMalformed {
        /// The identity file.
        identity: PathBuf,
        /// The first line that is wrong, from 1; past the end when there is no identity at all.
        line: usize,
    },
    /// The identity cannot open what the store holds.
    #[error("identity `{}` cannot open `{place}`", .identity.display())]
    IdentityWrong {
        /// The identity file.
        identity: PathBuf,
        /// What it could not open.
        place: String,
    },
    /// What the store would write could not be read back.
    #[error("identity `{}` is not among the recipients of store `{store}`", .identity.display())]
    IdentityNotRecipient {
        /// The identity file.
        identity: PathBuf,
        /// The store.
        store: StoreName,
    },
    /// `init` never overwrites an identity.
    #[error("identity file `{}` exists already", .identity.display())]
    IdentityExists {
        /// The identity file.
        identity: PathBuf,
    },
    /// A configured recipient is no X25519 recipient of age.
    #[error("`{recipient}` is not an age recipient")]
    Recipient {
        /// The text; recipients are public.
        recipient: String,
    },
    /// A given password may come only from below the store's `inputs`.
    #[error("`{path}` is not below the inputs of store `{store}`")]
    OutsideInputs {
        /// The path as it was given.
        path: String,
        /// The store.
        store: StoreName,
    },
    /// The namespace would lie in a part of the store that has another use.
    #[error("namespace of `{user}` is reserved in store `{store}`")]
    ReservedNamespace {
        /// The user.
        user: NamespacedName,
        /// The store.
        store: StoreName,
    },
    /// A secret that has to be text is not UTF-8.
    #[error("secret for `{place}` is not UTF-8 text")]
    NotText {
        /// Where it was to be kept.
        place: String,
    },
    /// A document at an input path is one of the store's own, which inputs must not open.
    #[error("`{place}` holds a credential of the store's own, not an input")]
    NotAnInput {
        /// The document.
        place: String,
    },
    /// The newest version of a document was deleted, and can come back.
    #[error("the newest version of `{place}` was deleted by somebody else")]
    Deleted {
        /// The document.
        place: String,
    },
    /// The store is set up to delete documents by itself, after a time.
    #[error("`{place}` is set up to be deleted by itself, {when}")]
    Expires {
        /// The document, or the whole mount.
        place: String,
        /// E.g. "after 720h".
        when: String,
    },
    /// Vault refused, or cannot be reached.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// The store does not answer.
    #[error("store `{store}` is unavailable")]
    Unavailable {
        /// The store.
        store: StoreName,
    },
}

fn holder(pid: Option<u32>) -> String {
    pid.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"))
}

impl StoreError {
    /// The operating system refused to `action` a file or folder.
    pub(super) fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io { action, place: path.display().to_string(), source: Arc::new(source) }
    }

    /// A document cannot be understood; `why` holds nothing of a secret.
    pub(super) fn damaged(place: impl std::fmt::Display, why: impl Into<String>) -> Self {
        Self::Damaged { place: place.to_string(), why: why.into() }
    }

    /// Whose turn it is.
    pub fn disposition(&self) -> Disposition {
        match self {
            Self::Conflict { .. } => Disposition::Retry,
            Self::Io { source, .. } => io_disposition(source),
            Self::Vault(error) => error.disposition(),
            Self::Locked { .. } | Self::Unavailable { .. } => Disposition::Wait,
            Self::Missing { .. }
            | Self::Damaged { .. }
            | Self::NewerSchema { .. }
            | Self::Misfiled { .. }
            | Self::Copied { .. }
            | Self::IdentityMissing { .. }
            | Self::IdentityMalformed { .. }
            | Self::IdentityWrong { .. }
            | Self::IdentityNotRecipient { .. }
            | Self::IdentityExists { .. }
            | Self::Recipient { .. }
            | Self::OutsideInputs { .. }
            | Self::ReservedNamespace { .. }
            | Self::NotText { .. }
            | Self::NotAnInput { .. }
            | Self::Deleted { .. }
            | Self::Expires { .. } => Disposition::Stall,
        }
    }

    /// How a command that stops at this error ends: a copied store is a refusal, everything else a failure.
    pub fn exit_status(&self) -> ExitStatus {
        if matches!(self, Self::Copied { .. }) { ExitStatus::Refused } else { ExitStatus::Failed }
    }

    /// What a person can do; `None` where repeating is all there is.
    pub fn hint(&self) -> Option<Hint> {
        match self {
            Self::Io { source, .. } => io_hint(source).map(str::to_owned),
            Self::Missing { .. } => Some("run `kastellan init`, or correct `directory` of the CredentialStore".into()),
            Self::Damaged { place, .. } => Some(format!("bring `{place}` back from Git or a backup; do not delete it")),
            Self::NewerSchema { .. } => Some("use the newer Kastellan that wrote it".into()),
            Self::Misfiled { .. } => {
                Some("put the file back where it belongs; two names that differ only in case need a file system that tells them apart".into())
            }
            Self::Conflict { .. } | Self::Unavailable { .. } => None,
            Self::Locked { .. } => Some("wait for the other process, or end it; the lock falls with it".into()),
            Self::Copied { .. } => {
                Some("make sure that no other copy is written to any more, then use `--take-over-store`".into())
            }
            Self::IdentityMissing { .. } => {
                Some("put the identity that the store was made with there, or set `identityFile`; `kastellan init` makes one for a new store".into())
            }
            Self::IdentityMalformed { .. } => {
                Some("it needs lines that begin with `AGE-SECRET-KEY-1`, as `age-keygen` writes them".into())
            }
            Self::IdentityWrong { .. } => {
                Some("use the identity that the store was made with, or correct `identityFile`".into())
            }
            Self::IdentityNotRecipient { .. } => {
                Some("add the identity's own public key to `recipients`; otherwise nothing written could be read back".into())
            }
            Self::IdentityExists { .. } => Some("use it as it is, or choose another `identityFile`".into()),
            Self::Recipient { .. } => Some("a recipient looks like `age1…`; `age-keygen -y IDENTITY` prints it".into()),
            Self::OutsideInputs { .. } => Some("add its folder to `inputs` of the CredentialStore".into()),
            Self::ReservedNamespace { .. } => Some("choose another namespace".into()),
            Self::NotText { .. } => Some("Kafka passwords are text; check the encoding".into()),
            Self::Deleted { place } => {
                Some(format!("bring it back with `vault kv undelete -versions=N {place}`; do not write another"))
            }
            Self::Expires { place, .. } => Some(format!(
                "set `delete_version_after` to 0s at `{place}`; what was written meanwhile has to be written again"
            )),
            Self::Vault(error) => error.hint(),
            Self::NotAnInput { .. } => Some("remove it, and put the password there with `kastellan store put`".into()),
        }
    }
}

fn io_disposition(source: &io::Error) -> Disposition {
    match source.kind() {
        io::ErrorKind::Interrupted | io::ErrorKind::TimedOut | io::ErrorKind::ResourceBusy => Disposition::Retry,
        io::ErrorKind::PermissionDenied
        | io::ErrorKind::ReadOnlyFilesystem
        | io::ErrorKind::NotADirectory
        | io::ErrorKind::IsADirectory
        | io::ErrorKind::NotFound => Disposition::Stall,
        _ => Disposition::Wait,
    }
}

fn io_hint(source: &io::Error) -> Option<&'static str> {
    match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            Some("free some space; nothing that was stored before is lost")
        }
        io::ErrorKind::PermissionDenied => Some("give the user that runs Kastellan the right to read and write there"),
        io::ErrorKind::ReadOnlyFilesystem => Some("the store has to be on a file system that can be written"),
        io::ErrorKind::NotADirectory => Some("a file stands where a folder should be; move it away"),
        io::ErrorKind::IsADirectory => Some("a folder stands where a file should be; move it away"),
        _ => None,
    }
}
