//! SCRAM key derivation: RFC 5802 §3 and RFC 7677, with ring's PBKDF2 and HMAC.

use std::num::NonZeroU32;

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use ring::{digest, hmac, pbkdf2 as ring_pbkdf2};

use super::Secret;
use crate::names::Mechanism;

/// Salt of a SCRAM credential, 16 to 1024 bytes. Not secret: a broker tells it to anyone who starts a login.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Salt(Box<[u8]>);

/// Why bytes are not a salt we accept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SaltError {
    /// Shorter or longer than allowed. Kafka itself accepts even an empty salt (`kafka.md` §1).
    #[error("a salt of {0} bytes; 16 to 1024 are allowed")]
    Length(usize),
    /// Not base64.
    #[error("a salt that is not base64")]
    Encoding,
}

impl Salt {
    /// Takes over the bytes of a salt of ours.
    pub fn parse(bytes: impl Into<Box<[u8]>>) -> Result<Self, SaltError> {
        let bytes = bytes.into();
        match bytes.len() {
            16..=1024 => Ok(Self(bytes)),
            length => Err(SaltError::Length(length)),
        }
    }

    /// Takes over the bytes that a broker told: any length, because somebody else may have chosen it.
    pub fn observed(bytes: impl Into<Box<[u8]>>) -> Self {
        Self(bytes.into())
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Standard padded base64, as on the wire of SCRAM.
    pub fn base64(&self) -> String {
        BASE64.encode(&self.0)
    }
}

impl std::fmt::Debug for Salt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Salt({})", self.base64())
    }
}

impl serde::Serialize for Salt {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.base64())
    }
}

impl<'de> serde::Deserialize<'de> for Salt {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        let bytes = BASE64.decode(text.as_bytes()).map_err(|_| serde::de::Error::custom(SaltError::Encoding))?;
        Ok(Self::observed(bytes))
    }
}

/// PBKDF2 iterations: 4096 (default) to 16384, the range Kafka accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct Iterations(NonZeroU32);

/// Iterations outside of what Kafka accepts.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0} iterations; Kafka accepts 4096 to 16384")]
pub struct IterationsError(pub u32);

impl Iterations {
    /// The count.
    pub const fn count(self) -> u32 {
        self.0.get()
    }
}

impl Default for Iterations {
    fn default() -> Self {
        Self(NonZeroU32::new(4096).expect("4096 is not zero"))
    }
}

impl TryFrom<u32> for Iterations {
    type Error = IterationsError;
    fn try_from(count: u32) -> Result<Self, IterationsError> {
        match NonZeroU32::new(count) {
            Some(nonzero) if (4096..=16384).contains(&count) => Ok(Self(nonzero)),
            _ => Err(IterationsError(count)),
        }
    }
}

impl From<Iterations> for u32 {
    fn from(iterations: Iterations) -> Self {
        iterations.count()
    }
}

/// Keys of RFC 5802 §3; each is as secret as the password it came from.
#[derive(Debug)]
pub struct ScramKeys {
    /// What AlterUserScramCredentials carries (KIP-554).
    pub salted_password: Secret,
    /// What a client proves.
    pub client_key: Secret,
    /// Hash of the client key.
    pub stored_key: Secret,
    /// What a server proves.
    pub server_key: Secret,
}

/// `SaltedPassword` of RFC 5802: PBKDF2-HMAC over the password's plain UTF-8 bytes, as Kafka does (no SASLprep, K7).
pub fn pbkdf2(mechanism: Mechanism, password: &Secret, salt: &Salt, iterations: Iterations) -> Secret {
    let algorithm = match mechanism {
        Mechanism::ScramSha256 => ring_pbkdf2::PBKDF2_HMAC_SHA256,
        Mechanism::ScramSha512 => ring_pbkdf2::PBKDF2_HMAC_SHA512,
    };
    let mut salted = vec![0; mechanism.hash_bytes()];
    ring_pbkdf2::derive(algorithm, iterations.0, salt.bytes(), password.expose(), &mut salted);
    Secret::new(salted)
}

/// All keys of a password.
pub fn derive_keys(mechanism: Mechanism, password: &Secret, salt: &Salt, iterations: Iterations) -> ScramKeys {
    let (hmac_algorithm, digest_algorithm) = match mechanism {
        Mechanism::ScramSha256 => (hmac::HMAC_SHA256, &digest::SHA256),
        Mechanism::ScramSha512 => (hmac::HMAC_SHA512, &digest::SHA512),
    };
    let salted_password = pbkdf2(mechanism, password, salt, iterations);
    let key = hmac::Key::new(hmac_algorithm, salted_password.expose());
    let client_key = Secret::new(hmac::sign(&key, b"Client Key").as_ref().to_vec());
    let server_key = Secret::new(hmac::sign(&key, b"Server Key").as_ref().to_vec());
    let stored_key = Secret::new(digest::digest(digest_algorithm, client_key.expose()).as_ref().to_vec());
    ScramKeys { salted_password, client_key, stored_key, server_key }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_match_the_vectors_of_rfc_7677() {
        let salt = Salt::parse(BASE64.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap()).unwrap();
        let password = Secret::from_text("pencil".into());
        let keys = derive_keys(Mechanism::ScramSha256, &password, &salt, Iterations::default());
        assert_eq!(BASE64.encode(keys.stored_key.expose()), "WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=");
        assert_eq!(BASE64.encode(keys.server_key.expose()), "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=");
    }

    #[test]
    fn salts_and_iterations_outside_the_limits_are_refused() {
        assert_eq!(Salt::parse(vec![0; 15]), Err(SaltError::Length(15)));
        assert_eq!(Iterations::try_from(4095), Err(IterationsError(4095)));
        assert_eq!(Iterations::try_from(16385), Err(IterationsError(16385)));
        assert_eq!(Iterations::try_from(16384).unwrap().count(), 16384);
    }
}
