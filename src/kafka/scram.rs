//! The client's side of a SCRAM login: RFC 5802 §3 and §5, RFC 7677, without channel binding.

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use ring::hmac;
use subtle::ConstantTimeEq as _;

use crate::host::random_bytes;
use crate::names::{Mechanism, UserName};
use crate::secret::{Salt, ScramKeys};

/// Bytes of randomness in our nonce; 18 are 24 characters of base64 without padding.
const NONCE_BYTES: usize = 18;

/// What the server did wrong.
pub(super) type Violation = &'static str;

/// The first message, `n,,n=<user>,r=<nonce>`.
pub(super) struct ClientFirst {
    bare: String,
    nonce: String,
}

/// The server's answer to it: `r=<nonce>,s=<salt>,i=<iterations>`.
#[derive(Debug)]
pub(super) struct ServerFirst {
    text: String,
    nonce: String,
    pub(super) salt: Salt,
    pub(super) iterations: u32,
}

/// What comes next.
pub(super) struct ClientFinal {
    /// The message that proves us.
    pub(super) message: String,
    /// What the server must prove in turn.
    server_signature: Vec<u8>,
}

impl ClientFirst {
    /// Begins a login with a nonce of its own.
    pub(super) fn begin(user: &UserName) -> Self {
        Self::with_nonce(user, BASE64.encode(random_bytes::<NONCE_BYTES>()))
    }

    fn with_nonce(user: &UserName, nonce: String) -> Self {
        // `=` first, or the escapes would be escaped (RFC 5802 §5.1).
        let name = user.as_str().replace('=', "=3D").replace(',', "=2C");
        Self { bare: format!("n={name},r={nonce}"), nonce }
    }

    pub(super) fn message(&self) -> String {
        format!("n,,{}", self.bare)
    }

    /// Reads the server's first message.
    pub(super) fn answer(&self, message: &[u8]) -> Result<ServerFirst, Violation> {
        let text = std::str::from_utf8(message).map_err(|_| "its first message is not UTF-8")?;
        let mut fields = text.split(',');
        let mut field = |prefix| fields.next().and_then(|field| field.strip_prefix(prefix));
        let nonce = field("r=").ok_or("its first message has no nonce")?;
        let salt = field("s=").ok_or("its first message has no salt")?;
        let iterations = field("i=").ok_or("its first message has no iteration count")?;
        if nonce.len() <= self.nonce.len() || !nonce.starts_with(&self.nonce) {
            return Err("its nonce does not continue ours");
        }
        let salt = BASE64.decode(salt).map_err(|_| "its salt is not base64")?;
        let iterations = iterations.parse().map_err(|_| "its iteration count is not a number")?;
        Ok(ServerFirst { nonce: nonce.to_owned(), salt: Salt::observed(salt), iterations, text: text.to_owned() })
    }

    /// Makes the final message with keys that belong to the salt and iterations of `server`.
    pub(super) fn prove(&self, server: &ServerFirst, mechanism: Mechanism, keys: &ScramKeys) -> ClientFinal {
        let algorithm = match mechanism {
            Mechanism::ScramSha256 => hmac::HMAC_SHA256,
            Mechanism::ScramSha512 => hmac::HMAC_SHA512,
        };
        let without_proof = format!("c=biws,r={}", server.nonce);
        let signed = format!("{},{},{without_proof}", self.bare, server.text);
        let sign = |key: &[u8]| hmac::sign(&hmac::Key::new(algorithm, key), signed.as_bytes());
        let client_signature = sign(keys.stored_key.expose());
        let proof: Vec<u8> = std::iter::zip(keys.client_key.expose(), client_signature.as_ref())
            .map(|(key, signature)| key ^ signature)
            .collect();
        ClientFinal {
            message: format!("{without_proof},p={}", BASE64.encode(proof)),
            server_signature: sign(keys.server_key.expose()).as_ref().to_vec(),
        }
    }
}

impl ClientFinal {
    /// Checks the server's proof, in constant time.
    pub(super) fn verify(&self, message: &[u8]) -> Result<(), Violation> {
        let text = std::str::from_utf8(message).map_err(|_| "its final message is not UTF-8")?;
        let signature = text.split(',').next().and_then(|field| field.strip_prefix("v="));
        let signature = signature.ok_or("its final message has no signature")?;
        let signature = BASE64.decode(signature).map_err(|_| "its signature is not base64")?;
        if bool::from(signature.as_slice().ct_eq(&self.server_signature)) {
            Ok(())
        } else {
            Err("it does not know the credential it accepted")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::{Iterations, Secret, derive_keys};

    const SERVER_FIRST: &str = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";

    #[test]
    fn speaks_the_example_of_rfc_7677() {
        let user = UserName::parse("user").unwrap();
        let first = ClientFirst::with_nonce(&user, "rOprNGfwEbeRWgbNEkqO".into());
        assert_eq!(first.message(), "n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
        let server = first.answer(SERVER_FIRST.as_bytes()).unwrap();
        let keys = derive_keys(
            Mechanism::ScramSha256,
            &Secret::from_text("pencil".into()),
            &server.salt,
            Iterations::try_from(server.iterations).unwrap(),
        );
        let last = first.prove(&server, Mechanism::ScramSha256, &keys);
        assert_eq!(
            last.message,
            "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
        );
        assert_eq!(last.verify(b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="), Ok(()));
        assert_eq!(
            last.verify(b"v=7rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="),
            Err("it does not know the credential it accepted")
        );
        assert!(last.verify(b"e=other-error").is_err());
    }

    #[test]
    fn escapes_names_and_refuses_servers_out_of_order() {
        let first = ClientFirst::with_nonce(&UserName::parse("a=b,c ü").unwrap(), "abc".into());
        assert_eq!(first.message(), "n,,n=a=3Db=2Cc ü,r=abc");
        for message in [
            "",
            "r=abc,s=QQ==,i=4096",
            "r=xyzzy,s=QQ==,i=4096",
            "r=abcd,s=!,i=1",
            "r=abcd,s=QQ==,i=x",
            "s=QQ==,r=abcd,i=1",
        ] {
            assert!(first.answer(message.as_bytes()).is_err(), "{message}");
        }
        assert_eq!(first.answer(b"r=abcd,s=QQ==,i=7").unwrap().iterations, 7);
    }
}
