//! The phases of rotation.md D2 and the one table that knows which may follow which.

/// Where a user's machine stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Phase {
    /// Nothing is under way.
    Idle,
    /// Material is written, the pending slot is named, requests may be sent under a permit.
    Prepared,
    /// The pending credential logged in on every broker; from here on only forward (R2).
    Verified,
    /// Document and deliveries carry the new credential.
    Published,
    /// Consumers have moved, as far as `confirm` asks.
    Confirmed,
    /// The previous slot is being emptied.
    Retiring,
    /// The pending slot is being emptied; from PREPARED only.
    Aborting,
    /// A stolen credential is being cut off.
    Revoking,
    /// Everything of the user is being taken away.
    Deleting,
    /// A tombstone (R7).
    Deleted,
}

impl Phase {
    /// All phases.
    pub const ALL: [Self; 10] = [
        Self::Idle,
        Self::Prepared,
        Self::Verified,
        Self::Published,
        Self::Confirmed,
        Self::Retiring,
        Self::Aborting,
        Self::Revoking,
        Self::Deleting,
        Self::Deleted,
    ];

    /// Whether a record in this phase may be followed by one in `next`. Staying is always allowed.
    ///
    /// Phases without an effect of their own may be passed without a record write, so PREPARED may go straight to IDLE, or to
    /// PUBLISHED: a first provisioning, and one in place, is never aborted, so VERIFIED has nothing to forbid. PUBLISHED may
    /// go straight to IDLE where nothing old is left, and IDLE to PUBLISHED where an unknown credential was adopted. DELETING
    /// goes where DELETED does when its document is back.
    pub fn may_become(self, next: Self) -> bool {
        use Phase::*;
        self == next
            || match self {
                Idle => matches!(next, Prepared | Published | Revoking | Deleting),
                Prepared => matches!(next, Verified | Published | Idle | Aborting | Revoking | Deleting),
                Verified => matches!(next, Published | Confirmed | Retiring | Revoking | Deleting),
                Published => matches!(next, Confirmed | Retiring | Idle | Revoking | Deleting),
                Confirmed => matches!(next, Retiring | Idle | Revoking | Deleting),
                Retiring => matches!(next, Idle | Revoking | Deleting),
                Aborting => matches!(next, Idle | Revoking | Deleting),
                Revoking => matches!(next, Idle | Prepared | Deleting),
                Deleting => matches!(next, Deleted | Prepared | Idle),
                Deleted => matches!(next, Prepared | Idle),
            }
    }

    /// The name in records and messages, e.g. `PREPARED`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Idle => "IDLE",
            Self::Prepared => "PREPARED",
            Self::Verified => "VERIFIED",
            Self::Published => "PUBLISHED",
            Self::Confirmed => "CONFIRMED",
            Self::Retiring => "RETIRING",
            Self::Aborting => "ABORTING",
            Self::Revoking => "REVOKING",
            Self::Deleting => "DELETING",
            Self::Deleted => "DELETED",
        }
    }
}

impl std::fmt::Display for Phase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn abort_is_possible_from_prepared_only() {
        let from: Vec<_> = Phase::ALL.into_iter().filter(|phase| phase.may_become(Phase::Aborting)).collect();
        assert_eq!(from, [Phase::Prepared, Phase::Aborting]);
    }

    #[test]
    fn a_deletion_only_goes_forward_and_its_tombstone_can_be_undone() {
        let after: Vec<_> = Phase::ALL.into_iter().filter(|&next| Phase::Deleting.may_become(next)).collect();
        assert_eq!(after, [Phase::Idle, Phase::Prepared, Phase::Deleting, Phase::Deleted]);
        assert!(Phase::Deleted.may_become(Phase::Prepared));
    }
}
