//! Names and identifiers, parsed once at the edge and trusted inside.
//!
//! Every name that comes from outside (a document, a broker, a record) becomes one of these types before anything else
//! sees it. What a name means elsewhere (an escaped path, a JAAS string) is made from it by the room that needs it.

mod acl;
mod address;
mod clock;
mod kafka;
mod quota;
mod resource;
mod small_map;

pub use acl::{AclRule, Operation, PatternType, Permission, Resource, ResourceType};
pub use address::HostPort;
pub use clock::{BootInstant, Now};
pub use kafka::{BrokerId, ClusterId, Mechanism, Principal, UnknownMechanism, UserName};
pub use quota::UserQuotas;
pub use resource::{ClusterName, DeliveryName, Generation, NamespacedName, RotationId, Scope, Segment, StoreName};
pub use small_map::SmallMap;

use std::sync::Arc;

/// Why a text is not a name of the wanted kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// The text has no characters.
    #[error("{kind} is empty")]
    Empty {
        /// What the text should have been, e.g. "user name".
        kind: &'static str,
    },
    /// The text holds a character that may not appear.
    #[error("{kind} may not contain {character:?}")]
    Character {
        /// What the text should have been.
        kind: &'static str,
        /// The first offending character.
        character: char,
    },
    /// The text is longer than allowed.
    #[error("{kind} is {length} bytes long; at most {max} are allowed")]
    Length {
        /// What the text should have been.
        kind: &'static str,
        /// Its length in bytes.
        length: usize,
        /// The most bytes allowed.
        max: usize,
    },
    /// The text is reserved, such as `.` or `..`.
    #[error("{kind} may not be `{text}`")]
    Reserved {
        /// What the text should have been.
        kind: &'static str,
        /// The text itself.
        text: String,
    },
}

/// Checks what all names have in common: not empty, no control characters, not longer than `max` bytes.
fn check(kind: &'static str, text: &str, max: usize) -> Result<(), NameError> {
    if text.is_empty() {
        return Err(NameError::Empty { kind });
    }
    if text.len() > max {
        return Err(NameError::Length { kind, length: text.len(), max });
    }
    match text.chars().find(|character| character.is_control()) {
        Some(character) => Err(NameError::Character { kind, character }),
        None => Ok(()),
    }
}

/// Defines a cheap-to-clone text newtype with `parse`, `as_str`, `Display`, `Debug` and serde.
macro_rules! text_name {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $check:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(std::sync::Arc<str>);

        impl $name {
            /// What this kind of name is called in messages.
            pub const KIND: &'static str = $kind;

            /// Parses a text, or says why it is not such a name.
            pub fn parse(text: impl AsRef<str>) -> Result<Self, $crate::names::NameError> {
                let text = text.as_ref();
                let check: fn(&'static str, &str) -> Result<(), $crate::names::NameError> = $check;
                check(Self::KIND, text)?;
                Ok(Self(text.into()))
            }

            /// Parses a text, sharing memory with equal texts that were interned before.
            pub fn interned(
                text: &str,
                interner: &mut $crate::names::Interner,
            ) -> Result<Self, $crate::names::NameError> {
                let check: fn(&'static str, &str) -> Result<(), $crate::names::NameError> = $check;
                check(Self::KIND, text)?;
                Ok(Self(interner.intern(text)))
            }

            /// The name as it was written.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::names::NameError;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Self::parse(text)
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                Self::parse(text).map_err(serde::de::Error::custom)
            }
        }
    };
}
pub(crate) use text_name;

/// Shares equal texts, so that half a million names of ACLs cost the memory of the distinct ones.
#[derive(Debug, Default)]
pub struct Interner(std::collections::HashSet<Arc<str>>);

impl Interner {
    /// The shared copy of `text`.
    pub fn intern(&mut self, text: &str) -> Arc<str> {
        if let Some(known) = self.0.get(text) {
            return known.clone();
        }
        let shared: Arc<str> = text.into();
        self.0.insert(shared.clone());
        shared
    }
}
