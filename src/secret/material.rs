//! The secret of one generation.

use super::{Iterations, Salt, ScramKeys, Secret};
use crate::names::{Generation, Mechanism, RotationId};

/// The secret of one generation of one user: written once, never changed, destroyed after retirement (design.md §5).
#[derive(Debug)]
pub struct Material {
    /// The generation it belongs to.
    pub generation: Generation,
    /// The rotation that made it.
    pub rotation_id: RotationId,
    /// When it was made, UTC.
    pub created_at: jiff::Timestamp,
    /// What a client logs in with, and its derived keys.
    pub scram: ScramCredential,
}

/// A SCRAM password with everything that Kafka and a login need of it, so that PBKDF2 runs once in its life.
#[derive(Debug)]
pub struct ScramCredential {
    /// The mechanism the keys belong to.
    pub mechanism: Mechanism,
    /// The password.
    pub password: Secret,
    /// What Kafka tells anyone who asks.
    pub salt: Salt,
    /// What Kafka tells anyone who asks.
    pub iterations: Iterations,
    /// Keys derived from the three above; as secret as the password.
    pub keys: ScramKeys,
}

impl ScramCredential {
    /// Derives the keys of a password: one PBKDF2, 0.6 ms (SHA-256) or 1.6 ms (SHA-512) at 4096 iterations.
    pub fn derive(mechanism: Mechanism, password: Secret, salt: Salt, iterations: Iterations) -> Self {
        let keys = super::derive_keys(mechanism, &password, &salt, iterations);
        Self { mechanism, password, salt, iterations, keys }
    }
}
