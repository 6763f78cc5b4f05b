//! The one token of a process: got by one login at a time, renewed at two thirds of its life, revoked at the end.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use reqwest::header::HeaderValue;
use serde::de::DeserializeOwned;
use serde_json::json;
use tokio::time::Instant;
use zeroize::Zeroizing;

use super::calls::{Answered, Calls, Plain};
use super::{Action, LoginSettings, SecretIdForm, VaultError};
use crate::secret::Secret;

/// A file of a token or secret id is looked at this often.
const FILE_INTERVAL: Duration = Duration::from_secs(1);
/// Tokens and ids are some hundred bytes; batch tokens a few kilobytes.
const FILE_BYTES_MAX: usize = 64 * 1024;
/// A token that was found to be alive is not asked about again for so long, however many requests are refused meanwhile.
const ALIVE_FOR: Duration = Duration::from_secs(5);
/// A token that was got because another one was refused is not doubted for so long: what is refused now, its policies
/// refuse, and among that may be the question whether it is alive.
const YOUNG: Duration = Duration::from_secs(30);
/// Between attempts to renew a token that still lives.
const RENEWAL_PAUSE: Duration = Duration::from_secs(5);

/// A token as a header that prints as `Sensitive`.
pub(super) struct Token {
    pub header: HeaderValue,
    made: Instant,
    origin: Origin,
    /// Whether a login made it because another one was refused.
    after_refusal: AtomicBool,
    state: Mutex<State>,
}

enum Origin {
    /// Somebody else looks after it.
    File,
    /// A login made it: ours to renew and to revoke.
    Login(Lease),
}

/// How a token lives.
#[derive(Clone, Copy)]
struct Lease {
    /// What it was given at first.
    period: Duration,
    /// Whether it can be renewed: batch tokens and those at their last period cannot.
    is_renewable: bool,
    /// Whether it can be revoked: batch tokens cannot.
    is_revocable: bool,
}

/// When something is due.
struct State {
    /// The file is looked at, or the token renewed.
    due: Option<Instant>,
    /// `None`: never.
    expires: Option<Instant>,
    alive_until: Instant,
}

impl Token {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_due(&self) -> bool {
        self.state().due.is_some_and(|due| due <= Instant::now())
    }
}

/// What a refusal means for whoever was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Recourse {
    /// There is another token now.
    TryAgain,
    /// The token lives, and may not do this.
    None,
}

/// The tokens of one process, one at a time.
pub(super) struct Tokens {
    login: LoginSettings,
    current: RwLock<Option<Arc<Token>>>,
    /// Held by the one who logs in or renews; with the secret id that was unwrapped last and the text that wrapped it.
    changing: tokio::sync::Mutex<Option<(Secret, Secret)>>,
}

/// `auth` of an answer.
#[derive(serde::Deserialize)]
struct Authentication {
    client_token: Zeroizing<String>,
    lease_duration: u64,
    renewable: bool,
    #[serde(default)]
    token_type: String,
}

#[derive(serde::Deserialize)]
struct LoggedIn {
    auth: Authentication,
}

#[derive(serde::Deserialize)]
struct Unwrapped {
    data: SecretId,
}

#[derive(serde::Deserialize)]
struct SecretId {
    secret_id: Zeroizing<String>,
}

#[derive(serde::Deserialize)]
struct WrapLookup {
    data: WrapInfo,
}

#[derive(serde::Deserialize)]
struct WrapInfo {
    creation_path: String,
}

const APP_ROLE: &str = "AppRole";

impl Tokens {
    pub fn new(login: LoginSettings) -> Self {
        Self { login, current: RwLock::default(), changing: tokio::sync::Mutex::default() }
    }

    fn held(&self) -> Option<Arc<Token>> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn hold(&self, token: Option<Arc<Token>>) {
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = token;
    }

    /// The token for the next request.
    pub async fn current(&self, calls: &Calls) -> Result<Arc<Token>, VaultError> {
        if let Some(token) = self.held().filter(|token| !token.is_due()) {
            return Ok(token);
        }
        let mut changing = self.changing.lock().await;
        match self.held() {
            // Somebody else was faster.
            Some(token) if !token.is_due() => Ok(token),
            Some(token) => self.refresh(calls, token, &mut changing).await,
            None => self.obtain(calls, &mut changing).await,
        }
    }

    /// Finds out what a refused request means (403): the token may be dead, or its policies refuse.
    pub async fn after_refusal(&self, calls: &Calls, used: &Arc<Token>) -> Result<Recourse, VaultError> {
        let mut changing = self.changing.lock().await;
        if self.held().is_none_or(|held| !Arc::ptr_eq(&held, used)) {
            return Ok(Recourse::TryAgain);
        }
        if used.state().alive_until > Instant::now() {
            return Ok(Recourse::None);
        }
        if let LoginSettings::TokenFile(file) = &self.login {
            let token = read_token(file).await?;
            let is_same = token == used.header;
            used.state().alive_until = Instant::now() + FILE_INTERVAL;
            if !is_same {
                self.hold(Some(Arc::new(of_file(token))));
            }
            return Ok(if is_same { Recourse::None } else { Recourse::TryAgain });
        }
        let lookup = calls.call(&Plain::get("auth/token/lookup-self"), Some(&used.header), Action::LookUp).await?;
        let is_second = used.after_refusal.load(Ordering::Relaxed) && used.made.elapsed() < YOUNG;
        if lookup.answer.status == 200 || is_second {
            used.state().alive_until = Instant::now() + ALIVE_FOR;
            return Ok(Recourse::None);
        }
        self.obtain(calls, &mut changing).await?.after_refusal.store(true, Ordering::Relaxed);
        Ok(Recourse::TryAgain)
    }

    /// Revokes the token if it is ours. That it fails, is no failure of the command that ends: the token expires.
    pub async fn revoke(&self, calls: &Calls) {
        let _changing = self.changing.lock().await;
        let Some(token) = self.held() else { return };
        self.hold(None);
        if matches!(token.origin, Origin::Login(lease) if lease.is_revocable) {
            revoke(calls, &token).await;
        }
    }

    async fn refresh(
        &self,
        calls: &Calls,
        token: Arc<Token>,
        unwrapped: &mut Option<(Secret, Secret)>,
    ) -> Result<Arc<Token>, VaultError> {
        let lease = match (&token.origin, &self.login) {
            (Origin::File, LoginSettings::TokenFile(file)) => {
                let found = read_token(file).await;
                token.state().due = Some(Instant::now() + FILE_INTERVAL);
                // A file that is being replaced may be away for a moment; the token may well be alive.
                if let Some(found) = found.ok().filter(|found| *found != token.header) {
                    let found = Arc::new(of_file(found));
                    self.hold(Some(found.clone()));
                    return Ok(found);
                }
                return Ok(token);
            }
            (Origin::File, LoginSettings::AppRole { .. }) => return self.obtain(calls, unwrapped).await,
            (Origin::Login(lease), _) => *lease,
        };
        let is_expired = token.state().expires.is_some_and(|expires| expires <= Instant::now());
        if lease.is_renewable && !is_expired && renew(calls, &token, lease).await {
            return Ok(token);
        }
        match self.obtain(calls, unwrapped).await {
            Ok(found) => {
                if lease.is_revocable && !is_expired {
                    revoke(calls, &token).await;
                }
                Ok(found)
            }
            Err(_) if !is_expired => {
                token.state().due = Some(Instant::now() + RENEWAL_PAUSE);
                Ok(token)
            }
            Err(error) => Err(error),
        }
    }

    /// Logs in, or reads the file, and holds what that gives.
    async fn obtain(&self, calls: &Calls, unwrapped: &mut Option<(Secret, Secret)>) -> Result<Arc<Token>, VaultError> {
        let token = match &self.login {
            LoginSettings::TokenFile(file) => of_file(read_token(file).await?),
            LoginSettings::AppRole { mount, role_id, secret_id_file, secret_id } => {
                let mount = super::KvPath::of(mount).as_str().to_owned();
                let text = read_line(secret_id_file, "a secret id").await?;
                let secret_id = match secret_id {
                    SecretIdForm::Plain => text,
                    SecretIdForm::Wrapped => unwrap(calls, &mount, secret_id_file, text, unwrapped).await?,
                };
                log_in(calls, &mount, role_id, &secret_id).await?
            }
        };
        let token = Arc::new(token);
        self.hold(Some(token.clone()));
        Ok(token)
    }
}

async fn log_in(calls: &Calls, mount: &str, role_id: &str, secret_id: &Secret) -> Result<Token, VaultError> {
    let secret_id = secret_id.expose_text().unwrap_or_default();
    let body = json_body(&[("role_id", role_id), ("secret_id", secret_id)]);
    let request = Plain { body: Some(body), ..Plain::post(format!("auth/{mount}/login"), &()) };
    let Answered { answer, .. } = calls.call(&request, None, Action::LogIn).await?;
    if answer.status != 200 {
        return Err(VaultError::LoginRefused { method: APP_ROLE, status: answer.status });
    }
    let LoggedIn { auth } = decode(&answer.body, Action::LogIn, &request.path)?;
    of_login(&auth).ok_or(VaultError::Malformed { action: Action::LogIn, path: request.path, why: "it has no token" })
}

/// Renews a token in place; whether it has most of its period before it again. At the end of what a token may live, Vault
/// renews it for less and less.
async fn renew(calls: &Calls, token: &Token, lease: Lease) -> bool {
    let request = Plain::post("auth/token/renew-self", &json!({}));
    let Ok(Answered { answer, .. }) = calls.call(&request, Some(&token.header), Action::Renew).await else {
        return false;
    };
    let Ok(LoggedIn { auth }) = decode::<LoggedIn>(&answer.body, Action::Renew, &request.path) else { return false };
    let left = Duration::from_secs(auth.lease_duration);
    if answer.status != 200 || left < lease.period / 2 {
        return false;
    }
    let now = Instant::now();
    let mut state = token.state();
    state.due = Some(now + left * 2 / 3);
    state.expires = Some(now + left);
    true
}

async fn revoke(calls: &Calls, token: &Token) {
    let request = Plain::post("auth/token/revoke-self", &json!({}));
    if let Err(error) = calls.call(&request, Some(&token.header), Action::Revoke).await {
        tracing::debug!("the token was not revoked, and expires by itself: {error}");
    }
}

/// Opens what wraps a secret id, once for each text of the file: a wrapping token is good for one use.
async fn unwrap(
    calls: &Calls,
    mount: &str,
    file: &Path,
    text: Secret,
    unwrapped: &mut Option<(Secret, Secret)>,
) -> Result<Secret, VaultError> {
    if let Some((wrapping, secret_id)) = unwrapped
        && wrapping.ct_eq(&text)
    {
        return Ok(secret_id.duplicate());
    }
    let spent = || VaultError::WrapSpent { file: file.to_owned() };
    let wrapping = text.expose_text().unwrap_or_default();
    let request = Plain { body: Some(json_body(&[("token", wrapping)])), ..Plain::post("sys/wrapping/lookup", &()) };
    let looked_up = calls.call(&request, None, Action::LookUp).await?.answer;
    if looked_up.status != 200 {
        return Err(spent());
    }
    // Somebody who could put another token there could make us log in as somebody else.
    let WrapLookup { data: WrapInfo { creation_path } } = decode(&looked_up.body, Action::LookUp, &request.path)?;
    let is_expected = creation_path
        .strip_prefix(&format!("auth/{mount}/role/"))
        .and_then(|rest| rest.strip_suffix("/secret-id"))
        .is_some_and(|role| !role.is_empty() && !role.contains('/'));
    if !is_expected {
        return Err(VaultError::WrapForeign { file: file.to_owned(), mount: mount.to_owned() });
    }
    let header = sensitive(wrapping).ok_or_else(spent)?;
    let request = Plain::post("sys/wrapping/unwrap", &json!({}));
    let answer = calls.call(&request, Some(&header), Action::Unwrap).await?.answer;
    if answer.status != 200 {
        return Err(spent());
    }
    let Unwrapped { data } = decode(&answer.body, Action::Unwrap, &request.path)?;
    let secret_id = Secret::new(data.secret_id.as_bytes().to_vec());
    *unwrapped = Some((text, secret_id.duplicate()));
    Ok(secret_id)
}

/// An object of texts, in memory that is wiped and does not grow.
fn json_body(fields: &[(&str, &str)]) -> Zeroizing<Vec<u8>> {
    let capacity = fields.iter().map(|(name, value)| 6 * (name.len() + value.len()) + 6).sum::<usize>() + 2;
    let mut body = Zeroizing::new(Vec::with_capacity(capacity));
    let fields: std::collections::BTreeMap<&str, &str> = fields.iter().copied().collect();
    serde_json::to_writer(&mut *body, &fields).expect("texts always serialise, and a Vec takes every byte");
    body
}

fn decode<T: DeserializeOwned>(body: &[u8], action: Action, path: &str) -> Result<T, VaultError> {
    let malformed =
        |_| VaultError::Malformed { action, path: path.to_owned(), why: "it is not what the API describes" };
    serde_json::from_slice(body).map_err(malformed)
}

fn of_login(auth: &Authentication) -> Option<Token> {
    let now = Instant::now();
    let period = Duration::from_secs(auth.lease_duration);
    let is_batch = auth.token_type == "batch";
    let lease = Lease { period, is_renewable: auth.renewable && !is_batch, is_revocable: !is_batch };
    let lives = Some(period).filter(|period| !period.is_zero());
    let state = State {
        due: lives.map(|period| now + period * 2 / 3),
        expires: lives.map(|period| now + period),
        alive_until: now,
    };
    let header = sensitive(&auth.client_token)?;
    Some(Token {
        header,
        made: now,
        origin: Origin::Login(lease),
        after_refusal: AtomicBool::new(false),
        state: Mutex::new(state),
    })
}

fn of_file(header: HeaderValue) -> Token {
    let now = Instant::now();
    let state = State { due: Some(now + FILE_INTERVAL), expires: None, alive_until: now };
    Token { header, made: now, origin: Origin::File, after_refusal: AtomicBool::new(false), state: Mutex::new(state) }
}

fn sensitive(text: &str) -> Option<HeaderValue> {
    let mut header = HeaderValue::from_str(text).ok()?;
    header.set_sensitive(true);
    Some(header)
}

async fn read_token(file: &Path) -> Result<HeaderValue, VaultError> {
    let text = read_line(file, "a token").await?;
    let not_one_line = || VaultError::NotOneLine { file: file.to_owned(), what: "a token" };
    text.expose_text().and_then(sensitive).ok_or_else(not_one_line)
}

/// The one line of a file: a token with a line break in it would end in another header.
async fn read_line(file: &Path, what: &'static str) -> Result<Secret, VaultError> {
    let path: PathBuf = file.to_owned();
    let read = crate::host::run_blocking(move || std::fs::read(path)).await;
    let bytes = read.map_err(|source| VaultError::File { file: file.to_owned(), source: Arc::new(source) })?;
    let bytes = Zeroizing::new(bytes);
    let line = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let is_plain = !line.is_empty() && line.len() <= FILE_BYTES_MAX && line.iter().all(u8::is_ascii_graphic);
    if !is_plain {
        return Err(VaultError::NotOneLine { file: file.to_owned(), what });
    }
    Ok(Secret::new(line.to_vec()))
}
