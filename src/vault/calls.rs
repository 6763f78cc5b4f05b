//! Calls: repeated where that may help, with a token that is alive.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use reqwest::header::HeaderValue;
use rustify::Endpoint;
use rustify::enums::{RequestMethod, RequestType, ResponseType};
use rustify::errors::ClientError;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use zeroize::Zeroizing;

use super::transport::{Answer, SendError, Transport};
use super::{Action, VaultError};

/// Requests at once: enough to hide a round trip of some milliseconds, few enough for a Vault that serves others too.
pub(super) const CONCURRENCY: usize = 32;

/// With the pauses below some three seconds on average: as long as a Vault that restarts, or another node that takes over.
const ATTEMPTS: u32 = 8;
/// Before the second attempt at most; doubles each time.
const PAUSE: Duration = Duration::from_millis(50);
/// No pause of our own is longer.
const PAUSE_MAX: Duration = Duration::from_secs(3);
/// A server that wants to be left alone for longer is as good as down.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(30);
/// For so long after a call was given up, others are tried once only: a thousand users must not wait a thousand times.
const OUTAGE: Duration = Duration::from_secs(5);

/// A request that vaultrs has no type for, or one whose body would go through unwiped memory there.
pub(super) struct Plain {
    pub method: RequestMethod,
    /// Below `/v1/`, without a slash at its ends.
    pub path: String,
    pub body: Option<Zeroizing<Vec<u8>>>,
}

impl Plain {
    pub fn get(path: impl Into<String>) -> Self {
        Self { method: RequestMethod::GET, path: path.into(), body: None }
    }

    pub fn post(path: impl Into<String>, body: &impl serde::Serialize) -> Self {
        let body = Zeroizing::new(serde_json::to_vec(body).expect("texts and numbers always serialise"));
        Self { method: RequestMethod::POST, path: path.into(), body: Some(body) }
    }
}

impl Endpoint for Plain {
    type Response = ();
    const REQUEST_BODY_TYPE: RequestType = RequestType::JSON;
    const RESPONSE_BODY_TYPE: ResponseType = ResponseType::JSON;

    fn path(&self) -> String {
        self.path.clone()
    }

    fn method(&self) -> RequestMethod {
        self.method.clone()
    }

    fn body(&self) -> Result<Option<Vec<u8>>, ClientError> {
        Ok(self.body.as_ref().map(|body| body.to_vec()))
    }
}

/// An answer, and whether an earlier attempt of the same call may have been executed too.
pub(super) struct Answered {
    pub answer: Answer,
    pub ambiguous: bool,
}

/// Sends requests until they are answered.
pub(super) struct Calls {
    pub transport: Transport,
    permits: Semaphore,
    outage_until: Mutex<Option<Instant>>,
    /// Requests so far, by kind.
    sent: Mutex<BTreeMap<&'static str, u64>>,
}

/// What became of one attempt.
enum Attempt {
    Answered(Answer),
    Again { error: VaultError, executed: Executed, not_before: Option<Duration> },
    GivenUp(VaultError),
}

/// Whether an attempt that failed had an effect.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Executed {
    No,
    Perhaps,
}

impl Calls {
    pub fn new(transport: Transport) -> Self {
        Self { transport, permits: Semaphore::new(CONCURRENCY), outage_until: Mutex::default(), sent: Mutex::default() }
    }

    /// How many requests were sent so far, by kind; each attempt is one.
    pub fn requests(&self) -> BTreeMap<&'static str, u64> {
        self.sent().clone()
    }

    fn sent(&self) -> MutexGuard<'_, BTreeMap<&'static str, u64>> {
        self.sent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends a request until it is answered by a success or a refusal.
    ///
    /// # Errors
    /// Those of an outage, after some attempts; refusals are answers.
    pub async fn call(
        &self,
        endpoint: &impl Endpoint,
        token: Option<&HeaderValue>,
        action: Action,
    ) -> Result<Answered, VaultError> {
        let attempts = if self.is_outage() { 1 } else { ATTEMPTS };
        let mut ambiguous = false;
        let mut attempt = 0;
        loop {
            let outcome = {
                let _permit = self.permits.acquire().await.expect("never closed");
                self.attempt(endpoint, token, action).await
            };
            attempt += 1;
            match outcome {
                Attempt::Answered(answer) => {
                    self.note_outage(None);
                    return Ok(Answered { answer, ambiguous });
                }
                Attempt::GivenUp(error) => return Err(error),
                Attempt::Again { error, .. } if attempt >= attempts => {
                    self.note_outage(Some(Instant::now() + OUTAGE));
                    return Err(error);
                }
                Attempt::Again { executed, not_before, .. } => {
                    ambiguous |= executed == Executed::Perhaps;
                    tokio::time::sleep(pause(attempt).max(not_before.unwrap_or_default())).await;
                }
            }
        }
    }

    async fn attempt(&self, endpoint: &impl Endpoint, token: Option<&HeaderValue>, action: Action) -> Attempt {
        let address = || self.transport.address.clone();
        let again = |why, executed| Attempt::Again {
            error: VaultError::Unreachable { address: address(), why },
            executed,
            not_before: None,
        };
        *self.sent().entry(action.kind()).or_default() += 1;
        let answer = match self.transport.send(endpoint, token).await {
            Ok(answer) => answer,
            Err(SendError::NotSent(why)) => return again(why, Executed::No),
            Err(SendError::Unanswered(why)) => return again(why, Executed::Perhaps),
            Err(SendError::Nonsense(why)) => {
                return Attempt::GivenUp(VaultError::Malformed { action, path: endpoint.path(), why });
            }
        };
        let error = match answer.status {
            503 if says(&answer, "sealed") => VaultError::Sealed { address: address() },
            status @ (412 | 429 | 472 | 473 | 500..=599) => VaultError::Busy { address: address(), status },
            300..=399 => return Attempt::GivenUp(VaultError::Redirected { address: address() }),
            _ => return Attempt::Answered(answer),
        };
        let executed = if matches!(answer.status, 500..=599) { Executed::Perhaps } else { Executed::No };
        Attempt::Again { error, executed, not_before: answer.retry_after.map(|wait| wait.min(RETRY_AFTER_MAX)) }
    }

    fn is_outage(&self) -> bool {
        let until = *self.outage_until.lock().unwrap_or_else(PoisonError::into_inner);
        until.is_some_and(|until| Instant::now() < until)
    }

    fn note_outage(&self, until: Option<Instant>) {
        *self.outage_until.lock().unwrap_or_else(PoisonError::into_inner) = until;
    }
}

/// Full jitter: anything up to a bound that doubles, so that those who failed together do not come back together.
fn pause(attempt: u32) -> Duration {
    let bound = PAUSE.saturating_mul(1 << attempt.min(16).saturating_sub(1)).min(PAUSE_MAX);
    bound.mul_f64(f64::from(u32::from_le_bytes(crate::host::random_bytes())) / f64::from(u32::MAX))
}

/// The texts of an answer that is an error. They say what is wrong with a request and never what was in it, but they are
/// compared only, and never shown.
#[derive(serde::Deserialize)]
struct Errors {
    errors: Vec<String>,
}

/// Whether one of the texts of an error holds `text`.
pub(super) fn says(answer: &Answer, text: &str) -> bool {
    let errors: Result<Errors, _> = serde_json::from_slice(&answer.body);
    errors.is_ok_and(|answer| answer.errors.iter().any(|error| error.contains(text)))
}
