//! The login of Kastellan's own principal.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::messages::{SaslAuthenticateRequest, SaslHandshakeRequest};
use kafka_protocol::protocol::StrBytes;
use zeroize::Zeroizing;

use super::connection::Connection;
use super::scram::ClientFirst;
use super::wire::{Answered, SaslAuthenticated, SaslShaken};
use super::{Authentication, ErrorCode, KafkaError};
use crate::host::run_blocking;
use crate::names::{Mechanism, UserName};
use crate::secret::{Iterations, Salt, ScramKeys, Secret, derive_keys};

/// Most mechanisms of a listener that are repeated in an error.
const MECHANISMS_SHOWN_MAX: usize = 8;

/// Keys of our own password, derived once for the salt that the brokers tell.
#[derive(Default)]
pub(super) struct KeyCache(Mutex<Option<Arc<DerivedKeys>>>);

struct DerivedKeys {
    salt: Salt,
    iterations: Iterations,
    keys: ScramKeys,
}

impl KeyCache {
    /// The keys for this salt, derived on the blocking pool if they are not the last ones.
    async fn derive(
        &self,
        mechanism: Mechanism,
        password: &Arc<Secret>,
        salt: Salt,
        iterations: Iterations,
    ) -> Arc<DerivedKeys> {
        let known = self.0.lock().expect("no panic while it is held").clone();
        if let Some(known) = known.filter(|known| known.salt == salt && known.iterations == iterations) {
            return known;
        }
        let password = password.clone();
        let derived = run_blocking(move || {
            let keys = derive_keys(mechanism, &password, &salt, iterations);
            Arc::new(DerivedKeys { salt, iterations, keys })
        });
        let derived = derived.await;
        *self.0.lock().expect("no panic while it is held") = Some(derived.clone());
        derived
    }
}

/// Logs a connection in; how long the session may last, if the broker limits it.
pub(super) async fn authenticate(
    connection: &mut Connection,
    authentication: &Authentication,
    keys: &KeyCache,
    deadline: Duration,
) -> Result<Option<Duration>, KafkaError> {
    match authentication {
        Authentication::None => Ok(None),
        Authentication::Plain { username, password } => {
            shake_hands(connection, "PLAIN", deadline).await?;
            let message = plain_message(username, password);
            let last = exchange(connection, username, "PLAIN", Bytes::from_owner(message), deadline).await?;
            Ok(session_lifetime(&last))
        }
        Authentication::Scram { mechanism, username, password } => {
            if !username.can_log_in_by_scram() {
                return Err(KafkaError::NameNotAscii { user: username.clone() });
            }
            let name = mechanism.as_str();
            shake_hands(connection, name, deadline).await?;
            let server = connection.server().clone();
            let violation = |reason| KafkaError::ScramExchange { server: server.clone(), reason };
            let first = ClientFirst::begin(username);
            let answer = exchange(connection, username, name, first.message().into(), deadline).await?;
            let server_first = first.answer(&answer.body.message).map_err(violation)?;
            // A lower count would help an impostor to guess, a huge one would keep a core busy for hours.
            let iterations = Iterations::try_from(server_first.iterations)
                .map_err(|_| violation("its iteration count is outside of 4096 to 16384"))?;
            let derived = keys.derive(*mechanism, password, server_first.salt.clone(), iterations).await;
            let last = first.prove(&server_first, *mechanism, &derived.keys);
            let answer = exchange(connection, username, name, last.message.clone().into(), deadline).await?;
            last.verify(&answer.body.message).map_err(violation)?;
            Ok(session_lifetime(&answer))
        }
    }
}

/// RFC 4616: an empty authorization identity, the user name, the password.
fn plain_message(username: &UserName, password: &Secret) -> Zeroizing<Vec<u8>> {
    let mut message = Zeroizing::new(Vec::with_capacity(2 + username.as_str().len() + password.len()));
    message.push(0);
    message.extend_from_slice(username.as_str().as_bytes());
    message.push(0);
    message.extend_from_slice(password.expose());
    message
}

async fn shake_hands(
    connection: &mut Connection,
    mechanism: &'static str,
    deadline: Duration,
) -> Result<(), KafkaError> {
    let request = SaslHandshakeRequest::default().with_mechanism(StrBytes::from_static_str(mechanism));
    let answer = connection.call::<SaslShaken>(&request, deadline).await.map_err(|failed| failed.error)?;
    match answer.code {
        ErrorCode::NONE => Ok(()),
        ErrorCode::UNSUPPORTED_SASL_MECHANISM => Err(KafkaError::MechanismNotOffered {
            server: connection.server().clone(),
            mechanism,
            offered: mechanism_list(&answer.body.mechanisms),
        }),
        code => Err(KafkaError::Refused { api: "SaslHandshake", code }),
    }
}

/// The mechanisms a listener offers, for people; names that are not plain text are left out.
pub(super) fn mechanism_list(mechanisms: &[String]) -> String {
    let plain = |name: &&String| {
        name.len() <= 32 && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    let names: Vec<&str> = mechanisms.iter().filter(plain).take(MECHANISMS_SHOWN_MAX).map(String::as_str).collect();
    if names.is_empty() { "nothing".to_owned() } else { names.join(", ") }
}

async fn exchange(
    connection: &mut Connection,
    user: &UserName,
    mechanism: &'static str,
    message: Bytes,
    deadline: Duration,
) -> Result<Answered<SaslAuthenticated>, KafkaError> {
    let request = SaslAuthenticateRequest::default().with_auth_bytes(message);
    let answer = connection.call::<SaslAuthenticated>(&request, deadline).await.map_err(|failed| failed.error)?;
    match answer.code {
        ErrorCode::NONE => Ok(answer),
        ErrorCode::SASL_AUTHENTICATION_FAILED => {
            Err(KafkaError::LoginRefused { server: connection.server().clone(), user: user.clone(), mechanism })
        }
        code => Err(KafkaError::Refused { api: "SaslAuthenticate", code }),
    }
}

pub(super) fn session_lifetime(answer: &Answered<SaslAuthenticated>) -> Option<Duration> {
    let lifetime_ms = u64::try_from(answer.body.session_lifetime_ms).unwrap_or(0);
    (lifetime_ms > 0).then(|| Duration::from_millis(lifetime_ms))
}
