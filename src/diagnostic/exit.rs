//! How the program ends.

/// Exit status of every command (design.md §8).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum ExitStatus {
    /// Done, or no changes.
    Done = 0,
    /// Failed; also a check that found something.
    Failed = 1,
    /// Changes are pending; only with `--detailed-exitcode`.
    Pending = 2,
    /// Refused: a limit, a policy, a stale plan, a copied store.
    Refused = 3,
    /// Some users failed, are blocked or wait; the rest were applied.
    Partial = 4,
    /// Wrong usage.
    Usage = 64,
}

impl From<ExitStatus> for std::process::ExitCode {
    fn from(status: ExitStatus) -> Self {
        Self::from(status as u8)
    }
}
