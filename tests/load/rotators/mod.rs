//! Who rotates.

mod by_hand;

use std::sync::Arc;
use std::time::Instant;

use super::applications::Application;
use super::clients::Clients;
use super::disturbances::Disturbances;
use crate::stack::StackError;

pub use by_hand::{ByHand, Manner};

/// Somebody who gives users their first credentials and replaces them.
pub trait Rotator {
    /// Makes each application's user, its access and its file.
    ///
    /// # Errors
    /// When Kafka refuses.
    fn provision(&self, applications: &[Arc<Application>]) -> Result<(), StackError>;

    /// Rotates all users again and again, begins nothing after `until`, and returns when nothing is left half done.
    ///
    /// Restarts applications that read their file only then, before it takes their old credential away.
    ///
    /// # Errors
    /// When Kafka refuses, or an application does not come back.
    fn rotate(&self, clients: &Clients<'_>, disturbances: &Disturbances, until: Instant) -> Result<(), StackError>;
}
