//! Who rotates.

mod by_program;
mod hasty;

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::applications::Application;
use super::clients::Clients;
use super::disturbances::Disturbances;
use crate::stack::StackError;

pub use by_program::ByProgram;
pub use hasty::Hasty;

/// When nothing new is begun any more.
#[derive(Debug, Clone, Copy)]
pub struct Goal {
    /// Not before this,
    pub not_before: Instant,
    /// and not before so many rotations,
    pub rotations: u64,
    /// but at this, whatever was reached.
    pub at_last: Instant,
}

impl Goal {
    /// Whether it is reached.
    pub fn is_reached(&self, applications: &[Arc<Application>]) -> bool {
        let now = Instant::now();
        let rotations = || applications.iter().map(|application| application.tally.rotations()).sum::<u64>();
        now >= self.at_last || now >= self.not_before && rotations() >= self.rotations
    }
}

/// Somebody who gives users their first credentials and replaces them.
pub trait Rotator {
    /// How long an old credential is good for at least, once another one is in the application's file.
    fn overlap(&self) -> Duration;

    /// Makes each application's user, its access and its file.
    ///
    /// # Errors
    /// When Kafka refuses.
    fn provision(&self, applications: &[Arc<Application>]) -> Result<(), StackError>;

    /// Rotates all users again and again until the goal is reached, and returns when nothing is left half done.
    ///
    /// Restarts applications that read their file only then, before it takes their old credential away.
    ///
    /// # Errors
    /// When Kafka refuses, or an application does not come back.
    fn rotate(&self, clients: &Clients<'_>, disturbances: &Disturbances, goal: &Goal) -> Result<(), StackError>;
}
