//! The server's side of PLAIN and SCRAM.

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use kastellan::names::{Mechanism, UserName};
use ring::{digest, hmac};

use super::state::{StoredCredential, algorithms};

/// Where a login is.
pub(super) enum Login {
    /// Nothing yet.
    Nobody,
    /// A mechanism was agreed upon.
    Shaken(SaslMechanism),
    /// The first message was answered.
    Challenged(Box<Challenge>),
    /// Done.
    Authenticated(UserName),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SaslMechanism {
    Plain,
    Scram(Mechanism),
}

impl SaslMechanism {
    pub(super) fn parse(name: &str) -> Option<Self> {
        if name == "PLAIN" {
            return Some(Self::Plain);
        }
        Mechanism::ALL.into_iter().find(|mechanism| mechanism.as_str() == name).map(Self::Scram)
    }
}

/// A SCRAM login that waits for its proof.
pub(super) struct Challenge {
    pub(super) user: UserName,
    mechanism: Mechanism,
    credential: StoredCredential,
    nonce: String,
    signed: String,
    /// The first message of the server.
    pub(super) message: String,
}

/// User name and nonce of a client's first message. Like Kafka's, it reads only ASCII.
pub(super) fn read_client_first(message: &[u8]) -> Option<(UserName, String, String)> {
    let text = std::str::from_utf8(message).ok().filter(|text| text.is_ascii())?;
    let bare = text.strip_prefix("n,,")?;
    let (name, nonce) = bare.split_once(',')?;
    let name = name.strip_prefix("n=")?.replace("=2C", ",").replace("=3D", "=");
    Some((UserName::parse(name).ok()?, nonce.strip_prefix("r=")?.to_owned(), bare.to_owned()))
}

impl Challenge {
    pub(super) fn new(
        user: UserName,
        mechanism: Mechanism,
        credential: StoredCredential,
        client_nonce: &str,
        client_first: &str,
    ) -> Self {
        let nonce = format!("{client_nonce}server");
        let message = format!("r={nonce},s={},i={}", BASE64.encode(&credential.salt), credential.iterations);
        let signed = format!("{client_first},{message},c=biws,r={nonce}");
        Self { user, mechanism, credential, nonce, signed, message }
    }

    /// Checks the proof; the server's final message, if it is right.
    pub(super) fn verify(&self, message: &[u8]) -> Option<String> {
        let text = std::str::from_utf8(message).ok()?;
        let proof = text.strip_prefix(&format!("c=biws,r={},p=", self.nonce))?;
        let proof = BASE64.decode(proof).ok()?;
        let (hmac_algorithm, digest_algorithm) = algorithms(self.mechanism);
        let sign = |key: &[u8]| hmac::sign(&hmac::Key::new(hmac_algorithm, key), self.signed.as_bytes());
        let signature = sign(&self.credential.stored_key);
        let client_key: Vec<u8> = std::iter::zip(&proof, signature.as_ref()).map(|(a, b)| a ^ b).collect();
        let is_right = proof.len() == signature.as_ref().len()
            && digest::digest(digest_algorithm, &client_key).as_ref() == self.credential.stored_key;
        is_right.then(|| format!("v={}", BASE64.encode(sign(&self.credential.server_key))))
    }
}
