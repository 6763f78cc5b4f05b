//! Names that Kafka gives a meaning to.

use super::{NameError, check, text_name};

/// Longest user name we accept, in bytes. Kafka has no limit of its own below the 32 KiB of a wire string; nothing that
/// people call a user is longer, and a bound keeps hostile documents small.
const USER_NAME_BYTES_MAX: usize = 1024;

text_name!(
    /// Kafka user name, the one a client logs in with and the text after `User:` in its principal, e.g. `payments`,
    /// `CN=Müller, O="Acme"`. Any characters but control characters.
    UserName, "user name", |kind, text| check(kind, text, USER_NAME_BYTES_MAX)
);

impl UserName {
    /// Whether Kafka's SCRAM server can read this name in a login: ASCII only (`ScramMessages.SASLNAME`, the same in 3.9 and
    /// 4.3). It stores credentials under any name, but nobody can ever log in with one under another.
    pub fn can_log_in_by_scram(&self) -> bool {
        self.as_str().is_ascii()
    }
}

text_name!(
    /// The id a Kafka cluster gives itself when it is formatted, e.g. `Sy4ViWLbTy2fXyYHYVZqOw`.
    ClusterId, "cluster id", |kind, text| check(kind, text, 255)
);

text_name!(
    /// Principal as ACLs name it, e.g. `User:payments`. Types other than `User` exist in clusters with custom principal
    /// builders; they are kept as they are and never managed.
    Principal, "principal", |kind, text| {
        if text.is_empty() { Err(NameError::Empty { kind }) } else { Ok(()) }
    }
);

impl Principal {
    /// The principal of a user: `User:<name>`.
    pub fn of_user(user: &UserName) -> Self {
        Self(format!("User:{user}").into())
    }

    /// The user name of a `User:` principal; `None` for other types and for texts that are not a user name.
    pub fn user(&self) -> Option<UserName> {
        UserName::parse(self.as_str().strip_prefix("User:")?).ok()
    }
}

/// Id of a broker in its cluster, e.g. 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct BrokerId(pub i32);

impl std::fmt::Display for BrokerId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// SCRAM mechanism; with the user name it names one slot in Kafka (KIP-84, KIP-554).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub enum Mechanism {
    /// `SCRAM-SHA-256`, wire type 1, hashes of 32 bytes.
    #[serde(rename = "SCRAM-SHA-256")]
    ScramSha256,
    /// `SCRAM-SHA-512`, wire type 2, hashes of 64 bytes.
    #[serde(rename = "SCRAM-SHA-512")]
    ScramSha512,
}

/// A number or text that names no SCRAM mechanism we know.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown SCRAM mechanism `{0}`")]
pub struct UnknownMechanism(pub String);

impl Mechanism {
    /// All mechanisms, in the order of their wire types.
    pub const ALL: [Self; 2] = [Self::ScramSha256, Self::ScramSha512];

    /// The name on the wire and in `sasl.mechanism`, e.g. `SCRAM-SHA-512`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha512 => "SCRAM-SHA-512",
        }
    }

    /// The type byte of KIP-554.
    pub const fn wire_type(self) -> i8 {
        match self {
            Self::ScramSha256 => 1,
            Self::ScramSha512 => 2,
        }
    }

    /// The mechanism of a type byte of KIP-554.
    pub fn from_wire_type(wire_type: i8) -> Result<Self, UnknownMechanism> {
        Self::ALL
            .into_iter()
            .find(|mechanism| mechanism.wire_type() == wire_type)
            .ok_or_else(|| UnknownMechanism(wire_type.to_string()))
    }

    /// Length of the mechanism's hash in bytes.
    pub const fn hash_bytes(self) -> usize {
        match self {
            Self::ScramSha256 => 32,
            Self::ScramSha512 => 64,
        }
    }
}

impl std::fmt::Display for Mechanism {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::str::FromStr for Mechanism {
    type Err = UnknownMechanism;

    /// Reads `scram-sha-512` in any case.
    fn from_str(text: &str) -> Result<Self, UnknownMechanism> {
        Self::ALL
            .into_iter()
            .find(|mechanism| mechanism.as_str().eq_ignore_ascii_case(text))
            .ok_or_else(|| UnknownMechanism(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_names_keep_every_character_but_control_characters() {
        for text in ["payments", "Pay Ments", "a=b,c", "\"quoted\"", "Müller", "CN=x,OU=y", "*"] {
            let user = UserName::parse(text).unwrap();
            assert_eq!(user.as_str(), text);
            assert_eq!(Principal::of_user(&user).user(), Some(user));
        }
        assert!(matches!(UserName::parse("a\nb"), Err(NameError::Character { character: '\n', .. })));
        assert!(matches!(UserName::parse(""), Err(NameError::Empty { .. })));
    }

    #[test]
    fn mechanisms_survive_their_wire_forms() {
        for mechanism in Mechanism::ALL {
            assert_eq!(Mechanism::from_wire_type(mechanism.wire_type()), Ok(mechanism));
            assert_eq!(mechanism.as_str().to_lowercase().parse(), Ok(mechanism));
        }
        assert!(Mechanism::from_wire_type(3).is_err());
    }
}
