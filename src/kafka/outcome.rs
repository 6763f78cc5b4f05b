//! What became of one item of a write.

use super::ErrorCode;
use crate::diagnostic::{Disposition, Hint};

/// What became of one item of a write. Not an error: one item's refusal fails that item alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Kafka says it is done; brokers show it a little later.
    Done,
    /// There was nothing to do: the credential to be deleted does not exist (K3).
    AlreadySo,
    /// Kafka refused, and nothing was changed for this item.
    Refused {
        /// Kafka's code.
        code: ErrorCode,
        /// What it means, in our words; names the missing right where that is the reason.
        message: String,
        /// What to do about it.
        disposition: Disposition,
    },
    /// Nothing left this process.
    NotSent {
        /// Why not.
        why: Unsent,
    },
    /// It was sent, wholly or in part, and there is no answer that settles it: it may have been executed, or may be yet.
    Unknown {
        /// What happened instead of an answer.
        why: String,
    },
}

/// Why an item was not sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unsent {
    /// Its permit had run out before its bytes could be written (R1).
    PermitExpired,
    /// No broker could be asked.
    Unreachable {
        /// The last failure, sources included.
        message: String,
        /// What to do about that failure.
        disposition: Disposition,
    },
    /// It could never be right, such as a salted password of the wrong length: our bug, or damaged material.
    Invalid {
        /// What is wrong with it.
        reason: &'static str,
    },
}

impl Outcome {
    /// Whether the item is now as it was asked for.
    pub const fn is_success(&self) -> bool {
        match self {
            Self::Done | Self::AlreadySo => true,
            Self::Refused { .. } | Self::NotSent { .. } | Self::Unknown { .. } => false,
        }
    }

    /// What a person can do about it, if there is something to say.
    pub fn hint(&self) -> Option<Hint> {
        match self {
            Self::Refused { code: ErrorCode::CLUSTER_AUTHORIZATION_FAILED, .. } => {
                Some("allow it to Kastellan's principal: `kastellan policy kafka` prints the ACLs".to_owned())
            }
            Self::Done | Self::AlreadySo | Self::Refused { .. } | Self::NotSent { .. } | Self::Unknown { .. } => None,
        }
    }

    /// What to do about it; `None` when it is a success.
    pub fn disposition(&self) -> Option<Disposition> {
        match self {
            Self::Done | Self::AlreadySo => None,
            Self::Refused { disposition, .. } => Some(*disposition),
            Self::NotSent { why: Unsent::PermitExpired } => Some(Disposition::Retry),
            Self::NotSent { why: Unsent::Unreachable { disposition, .. } } => Some(*disposition),
            Self::NotSent { why: Unsent::Invalid { .. } } => Some(Disposition::Stall),
            Self::Unknown { .. } => Some(Disposition::Retry),
        }
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Done => f.write_str("done"),
            Self::AlreadySo => f.write_str("nothing to do"),
            Self::Refused { message, .. } => f.write_str(message),
            Self::NotSent { why } => write!(f, "not sent: {why}"),
            Self::Unknown { why } => write!(f, "sent, but the outcome is unknown: {why}"),
        }
    }
}

impl std::fmt::Display for Unsent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::PermitExpired => f.write_str("its permit had run out"),
            Self::Unreachable { message, .. } => f.write_str(message),
            Self::Invalid { reason } => f.write_str(reason),
        }
    }
}
