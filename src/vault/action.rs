//! What a request is for: the verb that errors say, and the kind under which it is counted.

/// What Vault is asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// To open a document, or to tell the settings of a mount.
    Read,
    /// To tell of a key without opening it.
    LookAt,
    /// To tell what lies in a folder.
    List,
    /// To write a document.
    Write,
    /// To set a key up.
    SetUp,
    /// To destroy a version.
    Destroy,
    /// To give a token.
    LogIn,
    /// To let a token live longer.
    Renew,
    /// To end a token.
    Revoke,
    /// To tell of a token.
    LookUp,
    /// To open what a token wraps.
    Unwrap,
}

impl Action {
    /// Under what it is counted. Everything about tokens is one kind.
    pub(super) const fn kind(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::LookAt => "look",
            Self::List => "list",
            Self::Write => "write",
            Self::SetUp => "setUp",
            Self::Destroy => "destroy",
            Self::LogIn | Self::Renew | Self::Revoke | Self::LookUp | Self::Unwrap => "token",
        }
    }
}

/// The verb.
impl std::fmt::Display for Action {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Read => "read",
            Self::LookAt => "look at",
            Self::List => "list",
            Self::Write => "write",
            Self::SetUp => "set up",
            Self::Destroy => "destroy a version of",
            Self::LogIn => "log in at",
            Self::Renew => "renew",
            Self::Revoke => "revoke",
            Self::LookUp => "look up",
            Self::Unwrap => "unwrap",
        })
    }
}
