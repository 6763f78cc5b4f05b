//! Requests to one API server.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Limited};
use serde::de::DeserializeOwned;
use tokio::sync::{OnceCell, Semaphore, watch};
use tokio::time::Instant;

use super::answer::refusal;
use super::login::{Logins, Session};
use super::object::{WireList, WirePartial, WireSecret};
use super::{FIELD_MANAGER, K8sError, Manifest, ObjectVersion, Refusal, SecretMeta, WholeSecret};
use crate::host::random_bytes;
use crate::names::Segment;

/// How long a request that looks may take, and how long a server is tried that takes no connection: nothing of an API server
/// waits for others to answer a look.
const LOOK_PATIENCE: Duration = Duration::from_secs(10);
/// How long a request that changes something may take: a webhook at admission may take 30 seconds.
const CHANGE_PATIENCE: Duration = Duration::from_secs(30);
/// How often a request is sent that finds the server busy or gone: with the waits between, some six seconds.
const ATTEMPTS_MAX: u32 = 5;
/// The first wait between two attempts; it doubles.
const FIRST_WAIT: Duration = Duration::from_millis(200);
/// The longest wait that a server may ask for by `Retry-After`.
const WAIT_MAX: Duration = Duration::from_secs(10);
/// Requests at once: enough to hide the round trips, and few enough for the share that an API server gives one client.
const REQUESTS_AT_ONCE: usize = 16;
/// Secrets in one page of a list: what `kubectl` asks for.
const PAGE: usize = 500;
/// Pages of one list; no namespace holds half a million Secrets.
const PAGES_MAX: usize = 1000;
/// The largest answer that is read. A Secret holds 1 MiB, which base64 makes 1.4; a page of metadata is smaller still,
/// unless the annotations of strangers are huge.
const BODY_BYTES_MAX: usize = 64 << 20;

/// The state in which an object has to be for a change to happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// It does not exist.
    Absent,
    /// It is exactly this.
    Is(ObjectVersion),
}

/// The namespace that every cluster has from its beginning to its end; its uid is how the field tells clusters apart.
const IDENTITY: &str = "/api/v1/namespaces/kube-system";

/// The Secrets and workloads of one cluster.
///
/// One that does not answer costs its patience once: what is asked of it afterwards fails at once, with the same error. So
/// does one that does not let us in.
pub struct Cluster {
    logins: Logins,
    gate: Semaphore,
    requests: Arc<AtomicU64>,
    answers: AtomicU64,
    given_up: watch::Sender<Option<K8sError>>,
    id: OnceCell<Option<String>>,
}

/// What of an object is asked for.
#[derive(Clone, Copy)]
pub(super) enum Extent {
    Metadata,
    MetadataList,
    Whole,
}

impl Extent {
    const fn accept(self) -> &'static str {
        match self {
            Self::Metadata => "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1",
            Self::MetadataList => "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1",
            Self::Whole => "application/json",
        }
    }
}

/// One request, which may be sent several times.
pub(super) struct Call {
    pub method: Method,
    /// As RBAC names it.
    pub verb: &'static str,
    pub path: String,
    pub extent: Extent,
    /// Its media type and bytes.
    pub body: Option<(&'static str, Bytes)>,
}

/// The first attempt of a request.
#[derive(Clone, Copy)]
struct Begun {
    at: Instant,
    /// How many requests of this cluster had been answered by then.
    answers: u64,
}

impl Cluster {
    pub(super) fn new(logins: Logins, requests: Arc<AtomicU64>) -> Self {
        Self {
            logins,
            gate: Semaphore::new(REQUESTS_AT_ONCE),
            requests,
            answers: AtomicU64::new(0),
            given_up: watch::Sender::default(),
            id: OnceCell::new(),
        }
    }

    /// What tells this cluster from every other, whatever leads to it: the uid of its namespace `kube-system`. `None` where we
    /// have no right to see it. Asked once.
    pub async fn id(&self) -> Result<Option<&str>, K8sError> {
        let ask = || async {
            match self.call::<WirePartial>(get("get", IDENTITY.to_owned(), Extent::Metadata)).await {
                Ok(namespace) => Ok(Some(namespace.metadata.of_list().version.uid)),
                Err(error) => match error.refusal() {
                    None | Some(Refusal::Unauthenticated | Refusal::Busy { .. }) => Err(error),
                    // RBAC, or whatever else keeps it from us.
                    Some(_) => Ok(None),
                },
            }
        };
        self.id.get_or_try_init(ask).await.map(Option::as_deref)
    }

    /// All Secrets of a namespace without their data, in pages. A namespace that does not exist has none.
    pub async fn list(&self, namespace: &Segment) -> Result<Vec<SecretMeta>, K8sError> {
        let mut found = Vec::new();
        let mut next = String::new();
        for _ in 0..PAGES_MAX {
            let path = format!("{}?limit={PAGE}&continue={}", secrets(namespace), encoded(&next));
            let page: WireList = self.call(get("list", path, Extent::MetadataList)).await?;
            found.extend(page.items.into_iter().flatten().map(|item| item.metadata.of_list()));
            next = page.metadata.next;
            if next.is_empty() {
                return Ok(found);
            }
        }
        Err(K8sError::Nonsense { status: 200 })
    }

    /// One Secret without its data; `None` if there is none.
    pub async fn look(&self, namespace: &Segment, name: &Segment) -> Result<Option<SecretMeta>, K8sError> {
        let found = self.call::<WirePartial>(get("get", secret(namespace, name), Extent::Metadata)).await;
        Ok(present(found)?.map(|object| object.metadata.of_list()))
    }

    /// One whole Secret; `None` if there is none.
    pub async fn read(&self, namespace: &Segment, name: &Segment) -> Result<Option<WholeSecret>, K8sError> {
        let found = self.call::<WireSecret>(get("get", secret(namespace, name), Extent::Whole)).await;
        Ok(present(found)?.map(WireSecret::whole))
    }

    /// Makes the fields of `manifest` ours, whoever had them, and drops those that were ours and are not in it.
    ///
    /// # Guarantees
    /// Nothing happens unless `condition` holds at that very moment. An answer that got lost looks like
    /// [`Refusal::Conflict`] the next time: read what is there.
    pub async fn apply(&self, manifest: &Manifest, condition: &Condition) -> Result<SecretMeta, K8sError> {
        let (uid, resource_version) = match condition {
            // No object ever has this version: a server-side apply of it is refused for one that exists, and makes one
            // that does not. There is no other way to say so in one request.
            Condition::Absent => (None, "1"),
            Condition::Is(version) => (Some(version.uid.as_str()), version.resource_version.as_str()),
        };
        let path = secret(&manifest.namespace, &manifest.name);
        let call = Call {
            method: Method::PATCH,
            verb: "patch",
            path: format!("{path}?fieldManager={FIELD_MANAGER}&force=true"),
            extent: Extent::Metadata,
            body: Some(("application/apply-patch+yaml", manifest.body(uid, resource_version).into())),
        };
        Ok(self.call::<WirePartial>(call).await?.metadata.of_list())
    }

    /// Deletes a Secret, if it is still `version`. One that is gone is a success.
    pub async fn delete(&self, namespace: &Segment, name: &Segment, version: &ObjectVersion) -> Result<(), K8sError> {
        let options = serde_json::json!({
            "preconditions": {"uid": version.uid, "resourceVersion": version.resource_version},
        });
        let call = Call {
            method: Method::DELETE,
            verb: "delete",
            path: secret(namespace, name),
            extent: Extent::Metadata,
            body: Some(("application/json", serde_json::to_vec(&options).expect("texts become JSON").into())),
        };
        present(self.call::<serde::de::IgnoredAny>(call).await).map(drop)
    }

    /// Sends a request until it is answered or refused. Every request of this room may be sent twice: it looks, or it is
    /// conditional.
    pub(super) async fn call<T: DeserializeOwned>(&self, call: Call) -> Result<T, K8sError> {
        let mut begun = None;
        let mut wait = FIRST_WAIT;
        let mut attempt = 1;
        let mut has_logged_in_again = false;
        loop {
            let session = self.session().await?;
            let (error, asked) = match self.send(&session, &call, &mut begun).await {
                Ok((status, body, asked)) => match settle(status, &call, &body) {
                    Ok(answer) => return Ok(answer),
                    Err(error) => (error, asked),
                },
                Err(error) => (error, None),
            };
            if let Some(known) = self.has_given_up() {
                return Err(known);
            }
            let begun = begun.expect("it was sent, or the cluster given up");
            let is_tried_out = attempt == ATTEMPTS_MAX;
            match &error {
                K8sError::Refused(Refusal::Unauthenticated) => {
                    let is_new = !std::mem::replace(&mut has_logged_in_again, true)
                        && self.logins.renew(&session).await.map_err(|error| self.give_up(error))?;
                    if is_new {
                        continue;
                    }
                    return Err(self.give_up(error));
                }
                K8sError::Refused(Refusal::Busy { .. }) if !is_tried_out => {}
                K8sError::Unreachable { .. } if !is_tried_out && begun.at.elapsed() < LOOK_PATIENCE => {}
                // Somebody else was answered meanwhile: then it is about this request, and not about the server.
                K8sError::Unreachable { .. } | K8sError::Silent { .. }
                    if begun.answers == self.answers.load(Ordering::Relaxed) =>
                {
                    return Err(self.give_up(error));
                }
                K8sError::Unreachable { .. }
                | K8sError::Silent { .. }
                | K8sError::Refused(_)
                | K8sError::NoConfiguration
                | K8sError::NoContext { .. }
                | K8sError::KubeconfigFile { .. }
                | K8sError::LoginFile { .. }
                | K8sError::Kubeconfig { .. }
                | K8sError::Configuration { .. }
                | K8sError::Login
                | K8sError::LoginProgram { .. }
                | K8sError::Nonsense { .. } => return Err(error),
            }
            attempt += 1;
            let [chance] = random_bytes::<1>();
            // Half of it is left to chance, so that many do not come back at once.
            let jittered = wait.mul_f64(0.5 + f64::from(chance) / 512.0);
            tokio::time::sleep(asked.unwrap_or(jittered).min(WAIT_MAX)).await;
            wait *= 2;
        }
    }

    async fn session(&self) -> Result<Arc<Session>, K8sError> {
        if let Some(error) = self.has_given_up() {
            return Err(error);
        }
        self.logins.current().await.map_err(|error| self.give_up(error))
    }

    fn has_given_up(&self) -> Option<K8sError> {
        self.given_up.borrow().clone()
    }

    /// Asks nothing more of this cluster, and waits for nothing more; answers with the error of whoever was first.
    fn give_up(&self, error: K8sError) -> K8sError {
        self.given_up.send_if_modified(|known| {
            let is_first = known.is_none();
            known.get_or_insert_with(|| error.clone());
            is_first
        });
        self.has_given_up().unwrap_or(error)
    }

    async fn send(
        &self,
        session: &Session,
        call: &Call,
        begun: &mut Option<Begun>,
    ) -> Result<(StatusCode, Bytes, Option<Duration>), K8sError> {
        let _turn = self.gate.acquire().await.expect("the gate is never closed");
        // Whoever had the turn before may have found out.
        if let Some(error) = self.has_given_up() {
            return Err(error);
        }
        begun.get_or_insert_with(|| Begun { at: Instant::now(), answers: self.answers.load(Ordering::Relaxed) });
        self.requests.fetch_add(1, Ordering::Relaxed);
        let mut request = Request::builder()
            .method(call.method.clone())
            .uri(&call.path)
            .header(header::ACCEPT, call.extent.accept())
            .header(header::USER_AGENT, concat!("kastellan/", env!("CARGO_PKG_VERSION")));
        if let Some((media_type, _)) = &call.body {
            request = request.header(header::CONTENT_TYPE, *media_type);
        }
        let bytes = call.body.as_ref().map(|(_, bytes)| bytes.clone()).unwrap_or_default();
        let request = request.body(kube::client::Body::from(bytes));
        let request = request.map_err(|_| K8sError::Configuration { what: "the request has no valid path" })?;
        let patience = if call.method == Method::GET { LOOK_PATIENCE } else { CHANGE_PATIENCE };
        let mut given_up = self.given_up.subscribe();
        let answer = tokio::select! {
            answer = tokio::time::timeout(patience, answer(&session.client, request)) => answer,
            Ok(known) = given_up.wait_for(Option::is_some) => {
                return Err(known.clone().expect("it was waited for"));
            }
        };
        let answer = answer.map_err(|_| K8sError::Silent { patience })??;
        self.answers.fetch_add(1, Ordering::Relaxed);
        Ok(answer)
    }
}

async fn answer(
    client: &kube::Client,
    request: Request<kube::client::Body>,
) -> Result<(StatusCode, Bytes, Option<Duration>), K8sError> {
    let response = client.send(request).await.map_err(unsent)?;
    let status = response.status();
    let asked = response.headers().get(header::RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    let body = Limited::new(response.into_body(), BODY_BYTES_MAX).collect().await;
    let body = body.map_err(|source| K8sError::Unreachable { source: source.into() })?.to_bytes();
    Ok((status, body, asked.map(Duration::from_secs)))
}

fn settle<T: DeserializeOwned>(status: StatusCode, call: &Call, body: &[u8]) -> Result<T, K8sError> {
    if status.is_success() {
        serde_json::from_slice(body).map_err(|_| K8sError::Nonsense { status: status.as_u16() })
    } else {
        Err(refusal(status.as_u16(), call.verb, body))
    }
}

/// A failure before there was an answer.
fn unsent(error: kube::Error) -> K8sError {
    match error {
        kube::Error::Auth(_) => K8sError::Login,
        kube::Error::HyperError(source) => K8sError::Unreachable { source: Arc::new(source) },
        kube::Error::Service(source) => K8sError::Unreachable { source: source.into() },
        _ => K8sError::Configuration { what: "the request could not be sent" },
    }
}

pub(super) fn get(verb: &'static str, path: String, extent: Extent) -> Call {
    Call { method: Method::GET, verb, path, extent, body: None }
}

/// `None` for an object that is not there.
pub(super) fn present<T>(found: Result<T, K8sError>) -> Result<Option<T>, K8sError> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(K8sError::Refused(Refusal::Other { status: 404 })) => Ok(None),
        Err(error) => Err(error),
    }
}

fn secrets(namespace: &Segment) -> String {
    format!("/api/v1/namespaces/{}/secrets", namespace.encoded())
}

fn secret(namespace: &Segment, name: &Segment) -> String {
    format!("{}/{}", secrets(namespace), name.encoded())
}

/// A value of a query.
pub(super) fn encoded(text: &str) -> String {
    use std::fmt::Write as _;
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.') {
            encoded.push(char::from(byte));
        } else {
            write!(encoded, "%{byte:02X}").expect("writing to a String cannot fail");
        }
    }
    encoded
}
