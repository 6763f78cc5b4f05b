//! Secret values, and how passwords and SCRAM keys are made.
//!
//! A value lives in [`Secret`]: it cannot be printed, serialised or compared by accident, and it is wiped when dropped.
//! [`Secret::expose`] is called at the last line that needs the bytes, and only in the rooms that the architecture test
//! allows. This room draws no randomness of its own: it is an argument.

mod list;
mod material;
mod password;
mod scram;

pub use list::{PasswordListError, read_password_list};
pub use material::{Material, ScramCredential};
pub use password::{PasswordLength, Randomness, draw_password, draw_rotation_id, draw_salt};
pub use scram::{Iterations, IterationsError, Salt, SaltError, ScramKeys, derive_keys, pbkdf2};

use zeroize::Zeroizing;

/// Secret bytes: no `Display`, `Serialize`, `PartialEq` or `Deref`, redacted `Debug`, wiped on drop, boxed once.
pub struct Secret(Box<Zeroizing<Vec<u8>>>);

impl Secret {
    /// Takes over bytes; the vector itself is kept, so nothing is copied.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Box::new(Zeroizing::new(bytes)))
    }

    /// Takes over a text.
    pub fn from_text(text: String) -> Self {
        Self::new(text.into_bytes())
    }

    /// The bytes. Call it at the last line that needs them.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// The bytes as text, if they are UTF-8. As careful to be called as [`Secret::expose`].
    pub fn expose_text(&self) -> Option<&str> {
        std::str::from_utf8(&self.0).ok()
    }

    /// Length in bytes, which is not secret.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are no bytes at all.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the bytes are UTF-8 without control characters: fit for a password in a line of a file.
    pub fn is_text_without_controls(&self) -> bool {
        self.expose_text().is_some_and(|text| !text.chars().any(char::is_control))
    }

    /// Compares without telling by its timing where two secrets differ.
    pub fn ct_eq(&self, other: &Self) -> bool {
        use subtle::ConstantTimeEq as _;
        self.0.as_slice().ct_eq(other.0.as_slice()).into()
    }

    /// A second copy, where two owners are unavoidable.
    pub fn duplicate(&self) -> Self {
        Self::new(self.0.to_vec())
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_nothing() {
        let secret = Secret::from_text("hunter2".into());
        assert_eq!(format!("{secret:?}"), "Secret(…)");
        assert!(secret.ct_eq(&secret.duplicate()));
        assert!(!secret.ct_eq(&Secret::from_text("hunter3".into())));
    }
}
