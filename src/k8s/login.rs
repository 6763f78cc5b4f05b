//! Who is logged in: one session for each cluster, made anew when its login ends or is refused.
//!
//! A token file is read again by `kube` once a minute, which is what projected service account tokens ask for (they are
//! replaced at 80 % of their life).

use std::collections::BTreeSet;
use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use jiff::{SignedDuration, Timestamp};
use kube::client::AuthError;
use kube::config::Config;
use tokio::sync::Mutex;

use super::program::{self, Printed, Proof};
use super::{K8sError, ProgramFailure};

/// A login is made anew so long before it ends, or earlier by a tenth of its life where that is short.
const LEAD_MAX: SignedDuration = SignedDuration::from_secs(60);

/// Connections that share a login.
pub(super) struct Session {
    pub client: kube::Client,
    /// From then on another one is made; `None`: never.
    renewed_at: Option<Timestamp>,
}

/// The logins of one cluster, one at a time.
pub(super) struct Logins {
    config: Config,
    hidden: Arc<BTreeSet<String>>,
    /// Held by the one who logs in.
    current: Mutex<Option<Arc<Session>>>,
}

impl Logins {
    /// Nobody logs in yet.
    pub fn new(config: Config, hidden: Arc<BTreeSet<String>>) -> Self {
        Self { config, hidden, current: Mutex::default() }
    }

    /// The session for the next request.
    pub async fn current(&self) -> Result<Arc<Session>, K8sError> {
        let mut current = self.current.lock().await;
        match &*current {
            Some(session) if session.renewed_at.is_none_or(|at| Timestamp::now() < at) => Ok(session.clone()),
            Some(_) | None => Ok(current.insert(Arc::new(self.log_in().await?)).clone()),
        }
    }

    /// Takes note that the API does not accept a session; answers whether another one is there to be tried.
    pub async fn renew(&self, refused: &Arc<Session>) -> Result<bool, K8sError> {
        // What stands in the kubeconfig itself stays what it is.
        if self.config.auth_info.exec.is_none() && self.config.auth_info.token_file.is_none() {
            return Ok(false);
        }
        let mut current = self.current.lock().await;
        if current.as_ref().is_none_or(|held| Arc::ptr_eq(held, refused)) {
            *current = Some(Arc::new(self.log_in().await?));
        }
        Ok(true)
    }

    async fn log_in(&self) -> Result<Session, K8sError> {
        let mut config = self.config.clone();
        if config.auth_info.auth_provider.is_some() {
            return Err(K8sError::Configuration {
                what: "the kubeconfig logs in by `auth-provider`, which Kubernetes has given up: use `exec`",
            });
        }
        let mut renewed_at = None;
        if let Some(exec) = config.auth_info.exec.take() {
            let program = exec.command.clone().unwrap_or_default();
            let failed = |source| K8sError::LoginProgram { program, source };
            let printed = program::run(&exec, &self.hidden).await;
            let printed = printed.and_then(|printed| Ok((renewal(&printed)?, printed.proof)));
            let (at, proof) = printed.map_err(failed)?;
            renewed_at = at;
            match proof {
                Proof::Token(token) => config.auth_info.token = Some(token.as_str().into()),
                Proof::Certificate { certificate_pem, key_pem } => {
                    config.auth_info.client_certificate_data = Some(BASE64_STANDARD.encode(certificate_pem));
                    config.auth_info.client_key_data = Some(BASE64_STANDARD.encode(&*key_pem).into());
                }
            }
        }
        let client = kube::Client::try_from(config).map_err(|error| match error {
            kube::Error::Auth(AuthError::ReadTokenFile(source, path)) => {
                K8sError::LoginFile { path, source: Arc::new(source) }
            }
            _ => K8sError::Configuration {
                what: "the connection cannot be made as the kubeconfig or the pod's service account describes it (TLS, proxy or login)",
            },
        })?;
        Ok(Session { client, renewed_at })
    }
}

/// When a credential that was just printed has to be replaced.
fn renewal(printed: &Printed) -> Result<Option<Timestamp>, ProgramFailure> {
    let Some(end) = printed.expires_at else { return Ok(None) };
    let life = end.duration_since(Timestamp::now());
    if life <= SignedDuration::ZERO {
        return Err(ProgramFailure::Expired);
    }
    Ok(Some(end - LEAD_MAX.min(life / 10)))
}

#[cfg(test)]
impl Logins {
    /// One session that never ends.
    pub fn of(client: kube::Client) -> Self {
        let config = Config::new(http::Uri::from_static("http://localhost"));
        let session = Session { client, renewed_at: None };
        Self { config, hidden: Arc::default(), current: Mutex::new(Some(Arc::new(session))) }
    }
}
