//! The one HTTP client: what leaves the process, and what comes back.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{HeaderValue, RETRY_AFTER};
use reqwest::{Client, Url};
use rustify::Endpoint;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::BuilderVerifierExt as _;
use zeroize::Zeroizing;

use super::calls::CONCURRENCY;
use super::{VaultError, VaultSettings};

/// A Vault that is there answers a connection in milliseconds.
const CONNECT_PATIENCE: Duration = Duration::from_secs(5);
/// Vault's own default for a whole request is 90 seconds; a write that takes longer than this is better asked for again.
const PATIENCE: Duration = Duration::from_secs(30);
/// An idle connection of which a load balancer has not told us that it is gone.
const IDLE: Duration = Duration::from_secs(30);
/// Vault's entries are at most a megabyte, its lists some hundred thousand names.
const BODY_BYTES_MAX: usize = 32 * 1024 * 1024;

/// Where requests go.
pub(super) struct Transport {
    http: Client,
    /// With `/v1`, as requests are made.
    base: String,
    /// As people wrote it.
    pub address: String,
    namespace: Option<HeaderValue>,
}

/// What came back.
pub(super) struct Answer {
    pub status: u16,
    pub retry_after: Option<Duration>,
    pub body: Zeroizing<Vec<u8>>,
}

/// Why nothing came back.
pub(super) enum SendError {
    /// There was no connection, so nothing was executed.
    NotSent(String),
    /// It may have been executed.
    Unanswered(String),
    /// The request cannot be made, or the answer is larger than any of Vault's.
    Nonsense(&'static str),
}

impl Transport {
    pub fn new(settings: &VaultSettings) -> Result<Self, VaultError> {
        let refused = |why| VaultError::Settings { why };
        let mut url = Url::parse(&settings.address).map_err(|_| refused("`address` is not a URL"))?;
        let is_plain = matches!(url.scheme(), "http" | "https")
            && url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none();
        if !is_plain {
            return Err(refused("`address` is not of the form `https://host:port`"));
        }
        let mut http = Client::builder()
            // What the environment says of proxies, must not decide where tokens go.
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .connect_timeout(CONNECT_PATIENCE)
            .timeout(PATIENCE)
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(CONCURRENCY)
            .referer(false)
            .tls_backend_preconfigured(tls(settings.ca_file.as_deref())?);
        if let Some(name) = settings.tls_server_name.as_deref().filter(|_| url.scheme() == "https") {
            let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
            let port = url.port_or_known_default().unwrap_or(443);
            http = http.dns_resolver(Elsewhere { host: host.into(), port });
            url.set_host(Some(name)).map_err(|_| refused("`tlsServerName` is not the name of a host"))?;
        }
        let http = http.build().map_err(|_| refused("no HTTP client can be made of them"))?;
        let namespace = settings.namespace.as_deref().map(HeaderValue::from_str).transpose();
        let namespace = namespace.map_err(|_| refused("`namespace` is not plain text"))?;
        let base = format!("{}/v1", url.as_str().trim_end_matches('/'));
        Ok(Self { http, base, address: settings.address.clone(), namespace })
    }

    /// Sends one request, once.
    pub async fn send(&self, endpoint: &impl Endpoint, token: Option<&HeaderValue>) -> Result<Answer, SendError> {
        let nonsense = SendError::Nonsense;
        let request = endpoint.request(&self.base).map_err(|_| nonsense("the request cannot be made"))?;
        let mut request = reqwest::Request::try_from(request).map_err(|_| nonsense("the request cannot be made"))?;
        let headers = request.headers_mut();
        headers.insert("X-Vault-Request", HeaderValue::from_static("true"));
        if let Some(namespace) = &self.namespace {
            headers.insert("X-Vault-Namespace", namespace.clone());
        }
        if let Some(token) = token {
            headers.insert("X-Vault-Token", token.clone());
        }
        let mut response = self.http.execute(request).await.map_err(|error| explain(&error))?;
        let status = response.status().as_u16();
        let seconds = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        let mut body = Zeroizing::new(Vec::with_capacity(response.content_length().unwrap_or(0).min(1 << 20) as usize));
        while let Some(chunk) = response.chunk().await.map_err(|error| explain(&error))? {
            if body.len() + chunk.len() > BODY_BYTES_MAX {
                return Err(nonsense("it is larger than any of Vault's"));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Answer { status, retry_after: seconds.map(Duration::from_secs), body })
    }
}

/// Says what happened by the innermost cause: the outer ones name the URL.
fn explain(error: &reqwest::Error) -> SendError {
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    let why = if error.is_timeout() { "no answer in time".to_owned() } else { cause.to_string() };
    if error.is_connect() { SendError::NotSent(why) } else { SendError::Unanswered(why) }
}

fn tls(ca_file: Option<&Path>) -> Result<ClientConfig, VaultError> {
    let refused = |why| VaultError::Settings { why };
    let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|_| refused("no version of TLS is left"))?;
    let Some(file) = ca_file else {
        let builder = builder.with_platform_verifier();
        let builder = builder.map_err(|_| refused("the system's certificate authorities cannot be read"))?;
        return Ok(builder.with_no_client_auth());
    };
    let read = std::fs::read(file);
    let pem = read.map_err(|source| VaultError::File { file: file.to_owned(), source: Arc::new(source) })?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|_| refused("`caFile` does not hold PEM certificates"))?;
        roots.add(certificate).map_err(|_| refused("a certificate in `caFile` is damaged"))?;
    }
    if roots.is_empty() {
        return Err(refused("there is no certificate in `caFile`"));
    }
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

/// Looks up the host of the address, whatever name the certificate is for.
struct Elsewhere {
    host: Arc<str>,
    port: u16,
}

impl Resolve for Elsewhere {
    fn resolve(&self, _: Name) -> Resolving {
        let (host, port) = (self.host.clone(), self.port);
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((&*host, port)).await?.collect();
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}
