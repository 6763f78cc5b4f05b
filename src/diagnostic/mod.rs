//! What is wrong, where, whose turn it is, and what to do: findings, dispositions, error chains and exit statuses.
//!
//! Nothing here prints; the faces do.

mod chain;
mod exit;
mod finding;
mod text;

pub use chain::Chain;
pub use exit::ExitStatus;
pub use finding::{Finding, Findings, Location, Severity, Snippet};
pub use text::{FindingText, Harmless};

/// What to do about a failed step at a port (store, Kafka, delivery).
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Disposition {
    /// The same step may succeed when repeated now.
    Retry,
    /// Something outside has to come back first; nothing is wrong with what was asked.
    Wait,
    /// A person has to change something.
    Stall,
}

/// A remedy, imperative, printed on a line of its own.
pub type Hint = String;
