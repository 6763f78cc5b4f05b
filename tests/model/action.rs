//! What may happen, and how a story tells of it.

use std::fmt;
use std::sync::Arc;

use kastellan::credential::{Ask, Effect};

use crate::effects::Fate;
use crate::process::Coming;
use crate::world::Pass;

/// One thing that may happen.
#[derive(Clone, PartialEq)]
pub enum Action {
    /// A process reads everything and plans a pass, for what a person asks or on its own.
    Begin { process: u8, ask: Option<Ask>, is_stale: bool },
    /// A process goes on with its pass: this is what it does.
    Step { process: u8, step: Arc<(Pass, Coming)>, fate: Fate },
    /// A process dies, or gives its pass up.
    Crash { process: u8 },
    /// A late request takes effect.
    Land { flight: u8 },
    /// The lagging broker of a cluster applies its next change.
    CatchUp { cluster: u8 },
    /// An application reads its credential again and logs in with it.
    Reload { consumer: u8 },
    /// Time passes.
    Tick,
    /// The document of the user goes away, comes back, or changes.
    Edit { wanted: Option<u8> },
    /// Somebody else puts something into a slot; 0 deletes what is there.
    Meddle { cluster: u8, place: u8, salt: u8 },
    /// A cluster is rebuilt, empty.
    Rebuild { cluster: u8 },
    /// A cluster goes away, or comes back.
    Outage { cluster: u8 },
    /// A snapshot of the store is taken.
    Snapshot,
    /// The store is what it was in the snapshot.
    Restore,
    /// The given password changes at its source.
    Give,
    /// All brokers are restarted, as a revocation asks for.
    RestartBrokers,
}

impl fmt::Debug for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Begin { process, ask, is_stale } => {
                write!(f, "{process}: begins")?;
                ask.as_ref().map_or(Ok(()), |ask| write!(f, " {ask:?}"))?;
                if *is_stale { write!(f, " on an old record") } else { Ok(()) }
            }
            Self::Step { process, step, fate } => {
                write!(f, "{process}: ")?;
                match &step.1 {
                    Coming::Act(effect) => write!(f, "{}{}", effect.name(), Detail(effect))?,
                    Coming::Fence => f.write_str("waits for a fence")?,
                    Coming::Done => f.write_str("is done")?,
                    Coming::Waits(why) => write!(f, "waits: {why}")?,
                    Coming::Blocked(blocked) => write!(f, "is blocked: {blocked:?}")?,
                }
                if *fate == Fate::Fine { Ok(()) } else { write!(f, " ({fate:?})") }
            }
            Self::Crash { process } => write!(f, "{process}: dies"),
            Self::Land { flight } => write!(f, "late request {flight} lands"),
            Self::CatchUp { cluster } => write!(f, "broker of cluster {cluster} catches up"),
            Self::Reload { consumer } => write!(f, "consumer {consumer} reloads"),
            Self::Tick => f.write_str("tick"),
            Self::Edit { wanted } => write!(f, "documents: {wanted:?}"),
            Self::Meddle { cluster, place, salt } => write!(f, "somebody puts {salt} into {cluster}/{place}"),
            Self::Rebuild { cluster } => write!(f, "cluster {cluster} is rebuilt"),
            Self::Outage { cluster } => write!(f, "cluster {cluster} goes away, or comes back"),
            Self::Snapshot => f.write_str("a snapshot of the store"),
            Self::Restore => f.write_str("the store is restored"),
            Self::Give => f.write_str("another password is given"),
            Self::RestartBrokers => f.write_str("the brokers are restarted"),
        }
    }
}

struct Detail<'a>(&'a Effect);

impl fmt::Display for Detail<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Effect::Material(order) => write!(f, " of {}", order.generation),
            Effect::Record(record) => write!(f, " with {} permits", record.permits.len()),
            Effect::Upsert { slot, .. } | Effect::Login { slot, .. } | Effect::Deliver { slot, .. } => {
                write!(f, " of {}", slot.generation)
            }
            Effect::Document(slot) => write!(f, " of {}", slot.generation),
            _ => Ok(()),
        }
    }
}
