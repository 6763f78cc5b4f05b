//! The engine: observes, executes an approved plan in waves, and recovers by doing the same again.
//!
//! ```text
//!   connect ──> Links ──> observe ──> Observed ──> plan::plan ──> Plan ──(approval)──> execute
//!                                                                                        │
//!                 cohorts of users; in each, wave after wave:                            │
//!                 ask the machine for every user's next effect ── group by kind ── execute each group in bulk
//! ```
//!
//! It decides nothing: what may be done for a user is `credential::next`'s to say, and no effect runs that the approved
//! transition does not lead to. An effect's outcome is fed back, and the machine is asked again.

mod access;
mod connect;
mod crash;
mod deliveries;
mod documents;
mod execute;
mod given;
mod import;
mod kafka_effects;
mod login;
mod look;
mod moves;
mod observe;
mod run;
mod second_opinion;
mod store_effects;
mod strimzi;
mod take_over;
mod verify;

pub use crate::host::{now, random_bytes};
pub use connect::{ClusterLink, ConnectError, Links, Mode, StoreLink, Surroundings, Traffic, connect};
pub use execute::{Executed, Failed, Finished, Limits, execute};
pub use given::{GivenKind, GivenPasswords, GivenPlace, read_given};
pub use observe::{Whom, list_records, observe};
pub use run::{Event, Events};
pub use second_opinion::{SecondOpinions, second_opinions};
pub use strimzi::read_secret_passwords;
pub use take_over::{Given, Proven, Taken, Unfit, Verdicts, keep, prove_given};
pub use verify::{Verified, verify};
