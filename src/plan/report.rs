//! What a pass does not do, and why.

use std::sync::Arc;

use crate::credential::Blocked;
use crate::names::{NamespacedName, StoreName};

/// One line of the report.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// Whom it is about; `None`: the pass as a whole.
    pub user: Option<NamespacedName>,
    /// What is said.
    pub what: Reported,
}

/// Why something is not done.
#[derive(Debug, Clone, PartialEq)]
pub enum Reported {
    /// Something has to come back first.
    Waiting {
        /// What, and why it is not there.
        why: Arc<str>,
        /// What brings it back, where that is known.
        hint: Option<Arc<str>>,
    },
    /// A person has to decide.
    Blocked(Blocked),
    /// Two stores hold a record of the user that is in use: the one the document names, and another.
    TwoRecords {
        /// Both.
        stores: [StoreName; 2],
    },
    /// Something goes on by itself in time, e.g. an old credential within its overlap; nothing is held up.
    UnderWay(Arc<str>),
    /// The document is gone; only a pruning pass deletes the user.
    Undeclared,
    /// The document is gone and its deletion policy was `Retain`.
    Retained,
    /// The document says `suspend: true`.
    Suspended,
}

impl Reported {
    /// Something has to come back first, and there is no general remedy.
    pub(super) const fn waiting(why: Arc<str>) -> Self {
        Self::Waiting { why, hint: None }
    }

    /// Whether the user is not as declared because of it, so that a pass ends with exit status 4.
    pub const fn is_held_up(&self) -> bool {
        match self {
            Self::Waiting { .. } | Self::Blocked(_) | Self::TwoRecords { .. } => true,
            Self::UnderWay(_) | Self::Undeclared | Self::Retained | Self::Suspended => false,
        }
    }

    /// Stable identifier for JSON.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::UnderWay(_) => "underWay",
            Self::Waiting { .. }
            | Self::Blocked(_)
            | Self::TwoRecords { .. }
            | Self::Undeclared
            | Self::Retained
            | Self::Suspended => self.heading(),
        }
    }

    /// The heading it stands under; also its order.
    pub const fn heading(&self) -> &'static str {
        match self {
            Self::Waiting { .. } => "waiting",
            Self::Blocked(_) | Self::TwoRecords { .. } => "blocked",
            Self::UnderWay(_) => "under way",
            Self::Undeclared | Self::Retained => "undeclared",
            Self::Suspended => "suspended",
        }
    }

    /// The remedy, if there is a general one.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Blocked(blocked) => blocked.hint(),
            Self::Undeclared => Some("pass `--prune` to delete it, or put the document back".to_owned()),
            Self::TwoRecords { .. } => {
                Some("take the document of the store that is not to be used any more away".to_owned())
            }
            Self::Waiting { hint, .. } => hint.as_ref().map(ToString::to_string),
            Self::UnderWay(_) | Self::Retained | Self::Suspended => None,
        }
    }
}

impl std::fmt::Display for Reported {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Waiting { why, .. } | Self::UnderWay(why) => f.write_str(why),
            Self::Blocked(blocked) => blocked.fmt(f),
            Self::TwoRecords { stores: [one, other] } => {
                write!(f, "store `{one}` and store `{other}` both hold a record of it that is in use")
            }
            Self::Undeclared => f.write_str("no document declares it any more"),
            Self::Retained => f.write_str(
                "no document declares it any more; its deletion policy is Retain: everything is left as it is",
            ),
            Self::Suspended => f.write_str("suspended by its document"),
        }
    }
}

impl Eq for Report {}

impl PartialOrd for Report {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Report {
    /// By heading, then user, then text: the order in which people read it.
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        let key = |report: &Self| (report.what.heading(), report.user.clone(), report.what.to_string());
        key(self).cmp(&key(other))
    }
}
