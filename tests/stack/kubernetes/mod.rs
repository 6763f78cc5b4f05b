//! A real Kubernetes API: kube-apiserver on etcd, with RBAC and without any controller but those that are asked for.
//!
//! What the stack asks of it, it asks as `system:masters` by [`Kubernetes::ask`]; nothing that is tested ever gets that
//! token. No kubelet runs, so pods are what a test says of them; and nothing is collected. Deployments and StatefulSets roll
//! out once a test has called [`Kubernetes::with_controllers`].

mod program;
mod workloads;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http_body_util::BodyExt as _;
use kube::config::{KubeConfigOptions, Kubeconfig};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::ports::Ports;
use super::process::{Janitor, Server};
use super::{StackError, unique_name, wait_until, write_private};

/// It is ready in three seconds; twenty times that is a broken machine.
const START_PATIENCE: Duration = Duration::from_secs(60);
const LOG_LINES_SHOWN: usize = 25;

/// A running API server.
pub struct Kubernetes {
    folder: TempDir,
    address: SocketAddr,
    runtime: tokio::runtime::Runtime,
    client: kube::Client,
    /// The same without a login of its own.
    stranger: kube::Client,
    /// Command line of the API server.
    command: Vec<String>,
    /// Started when they are first asked for.
    controllers: OnceLock<Result<Server, String>>,
    /// Taken down in this order: the API server first. `None` while it is stopped.
    api_server: Mutex<Option<Server>>,
    _etcd: Server,
    _ports: Ports,
    // Last, so that the folder goes also when the process is killed.
    _janitor: Janitor,
}

/// The API server of all tests of this process that do not harm it. Each has namespaces of its own.
///
/// # Panics
/// When it cannot be started; each test that asks gets the same message.
pub fn shared() -> &'static Kubernetes {
    static SHARED: OnceLock<Result<Kubernetes, String>> = OnceLock::new();
    match SHARED.get_or_init(|| Kubernetes::start().map_err(|error| error.chain())) {
        Ok(kubernetes) => kubernetes,
        Err(message) => panic!("Kubernetes: {message}"),
    }
}

impl Kubernetes {
    /// Starts one of its own.
    pub fn start() -> Result<Self, StackError> {
        let (etcd, api_server) = (program::etcd()?, program::kube_apiserver()?);
        let what = || StackError::io("make a folder for Kubernetes");
        let folder = tempfile::Builder::new().prefix("kastellan-kubernetes-").tempdir().map_err(what())?;
        let janitor = Janitor::of(folder.path())?;
        let mut ports = Ports::claim()?;
        let (etcd_client, etcd_peer, address) = (ports.next(), ports.next(), ports.next());
        let token = secret_text()?;
        let etcd = start_etcd(&etcd, folder.path(), etcd_client, etcd_peer)?;
        let command = api_server_command(&api_server, folder.path(), etcd_client, address, &token)?;
        let mut server = start_api_server(&command, folder.path())?;
        let authority = folder.path().join("certificates/apiserver.crt");
        if !wait_until(START_PATIENCE, || authority.is_file() || !server.is_running()) {
            return Err(not_started(folder.path()));
        }
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.map_err(StackError::io("start a runtime"))?;
        let admin = ("admin", format!("https://{address}"), json!({"token": token}));
        let path = kubeconfig_file(folder.path(), "admin.kubeconfig", &[(admin.0, &admin.1, admin.2)])?;
        let (client, stranger) = runtime.block_on(clients(&path));
        let kubernetes = Self {
            folder,
            address,
            runtime,
            client,
            stranger,
            command,
            controllers: OnceLock::new(),
            api_server: Mutex::new(Some(server)),
            _etcd: etcd,
            _ports: ports,
            _janitor: janitor,
        };
        kubernetes.await_ready()?;
        Ok(kubernetes)
    }

    /// `default` comes after the rest; until then some of RBAC may be missing.
    fn await_ready(&self) -> Result<(), StackError> {
        let is_up = || self.ask("GET", "/readyz", None).0 == 200 && self.get("/api/v1/namespaces/default").is_some();
        if wait_until(START_PATIENCE, is_up) { Ok(()) } else { Err(not_started(self.folder.path())) }
    }

    /// Where it listens, e.g. `127.0.0.1:10250`.
    pub fn authority(&self) -> String {
        self.address.to_string()
    }

    /// What it logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("kube-apiserver.log")).unwrap_or_default()
    }

    /// Kills the API server. What it stored stays in etcd.
    pub fn stop_api_server(&self) {
        if let Some(server) = self.api_server.lock().unwrap_or_else(PoisonError::into_inner).take() {
            server.kill();
        }
    }

    /// Starts the API server again, with the same keys, and waits until it is ready.
    pub fn start_api_server(&self) -> Result<(), StackError> {
        let server = start_api_server(&self.command, self.folder.path())?;
        *self.api_server.lock().unwrap_or_else(PoisonError::into_inner) = Some(server);
        self.await_ready()
    }

    /// Hands somebody's request on with whatever login it carries; the status (0 without an answer) and the body.
    pub fn hand_on(&self, request: http::Request<Vec<u8>>) -> (u16, Vec<u8>) {
        self.runtime.block_on(async {
            let Ok(response) = self.stranger.send(request.map(kube::client::Body::from)).await else {
                return (0, Vec::new());
            };
            let status = response.status().as_u16();
            let body = response.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
            (status, body.to_vec())
        })
    }

    /// Asks as an administrator; the status (0 without an answer) and the answer, `Null` if it is no JSON.
    pub fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> (u16, Value) {
        let media_type = match method {
            "PATCH" => "application/merge-patch+json",
            _ => "application/json",
        };
        let bytes = body.map(|body| serde_json::to_vec(body).expect("it is JSON")).unwrap_or_default();
        let request = http::Request::builder().method(method).uri(path).header("content-type", media_type);
        let request = request.body(kube::client::Body::from(bytes)).expect("a valid path");
        self.runtime.block_on(async {
            let Ok(response) = self.client.send(request).await else { return (0, Value::Null) };
            let status = response.status().as_u16();
            let body = response.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
            (status, serde_json::from_slice(&body).unwrap_or_default())
        })
    }

    /// One object; `None` if it is not there.
    pub fn get(&self, path: &str) -> Option<Value> {
        let (status, found) = self.ask("GET", path, None);
        (status == 200).then_some(found)
    }

    /// Creates an object, or panics with what the API says.
    pub fn create(&self, path: &str, object: &Value) -> Value {
        let (status, made) = self.ask("POST", path, Some(object));
        assert!((200..300).contains(&status), "POST {path}: {status} {}", made["message"]);
        made
    }

    /// A new namespace of a name that nobody else has.
    pub fn namespace(&self) -> String {
        let name = unique_name("ns").to_lowercase().replace('_', "-");
        self.create("/api/v1/namespaces", &json!({"metadata": {"name": name}}));
        name
    }

    /// A Secret as it is stored; `None` if it is not there.
    pub fn secret(&self, namespace: &str, name: &str) -> Option<Value> {
        self.get(&secret_path(namespace, name))
    }

    /// The data of a Secret, as a pod would mount it.
    ///
    /// # Panics
    /// When there is no such Secret.
    pub fn mounted(&self, namespace: &str, name: &str) -> BTreeMap<String, String> {
        let secret = self.secret(namespace, name).unwrap_or_else(|| panic!("no Secret {namespace}/{name}"));
        let data = secret["data"].as_object().cloned().unwrap_or_default();
        let text = |value: &Value| {
            let bytes = BASE64_STANDARD.decode(value.as_str().expect("a text")).expect("base64");
            String::from_utf8(bytes).expect("UTF-8")
        };
        data.iter().map(|(key, value)| (key.clone(), text(value))).collect()
    }

    /// Changes a Secret behind everybody's back, as `manager`, by a merge patch.
    pub fn edit_secret(&self, namespace: &str, name: &str, manager: &str, patch: &Value) -> Value {
        let path = format!("{}?fieldManager={manager}", secret_path(namespace, name));
        let (status, changed) = self.ask("PATCH", &path, Some(patch));
        assert_eq!(status, 200, "{}", changed["message"]);
        changed
    }

    /// Deletes a Secret behind everybody's back.
    pub fn delete_secret(&self, namespace: &str, name: &str) {
        let (status, answer) = self.ask("DELETE", &secret_path(namespace, name), None);
        assert_eq!(status, 200, "{}", answer["message"]);
    }

    /// A new service account, and a token of it.
    pub fn service_account(&self, namespace: &str, name: &str) -> String {
        let accounts = format!("/api/v1/namespaces/{namespace}/serviceaccounts");
        self.create(&accounts, &json!({"metadata": {"name": name}}));
        let token = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}});
        let made = self.create(&format!("{accounts}/{name}/token"), &token);
        made["status"]["token"].as_str().expect("a token").to_owned()
    }

    /// Creates every object of a text with several YAML documents, as `kubectl apply` would.
    pub fn apply_yaml(&self, text: &str) {
        let objects: Vec<Value> = serde_saphyr::from_multiple(text).expect("YAML");
        for object in objects.iter().filter(|object| !object.is_null()) {
            let api = object["apiVersion"].as_str().expect("an apiVersion");
            let root = if api == "v1" { "/api/v1".to_owned() } else { format!("/apis/{api}") };
            let plural = format!("{}s", object["kind"].as_str().expect("a kind").to_lowercase());
            let path = match object["metadata"]["namespace"].as_str() {
                Some(namespace) => format!("{root}/namespaces/{namespace}/{plural}"),
                None => format!("{root}/{plural}"),
            };
            let (status, answer) = self.ask("POST", &path, Some(object));
            if status == 409 {
                let name = object["metadata"]["name"].as_str().expect("a name");
                let (status, answer) = self.ask("PUT", &format!("{path}/{name}"), Some(object));
                assert_eq!(status, 200, "{}", answer["message"]);
            } else {
                assert_eq!(status, 201, "{}", answer["message"]);
            }
        }
    }

    /// A kubeconfig with one context for each token, the first of them the current one.
    pub fn kubeconfig(&self, contexts: &[(&str, &str)]) -> PathBuf {
        self.kubeconfig_by(&self.url(), contexts)
    }

    /// The same by another address.
    pub fn kubeconfig_by(&self, url: &str, contexts: &[(&str, &str)]) -> PathBuf {
        let contexts = contexts.iter().map(|(name, token)| (*name, url, json!({"token": token})));
        self.kubeconfig_of(&contexts.collect::<Vec<_>>())
    }

    /// A kubeconfig with these contexts, the first of them the current one: each with an address and a `user`.
    pub fn kubeconfig_of(&self, contexts: &[(&str, &str, Value)]) -> PathBuf {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("{}.kubeconfig", COUNT.fetch_add(1, Ordering::Relaxed));
        kubeconfig_file(self.folder.path(), &name, contexts).unwrap_or_else(|error| panic!("{}", error.chain()))
    }

    /// Where a client finds it, e.g. `https://127.0.0.1:10250`.
    pub fn url(&self) -> String {
        format!("https://{}", self.address)
    }

    /// What a pod would find of a service account: a folder with `token`, `ca.crt` and `namespace`.
    pub fn mount_account(&self, folder: &Path, namespace: &str, token: &str) -> Result<(), StackError> {
        let authority = std::fs::read_to_string(self.folder.path().join("certificates/apiserver.crt"));
        let authority = authority.map_err(StackError::io("read the API server's certificate"))?;
        for (name, text) in [("token", token), ("ca.crt", &authority), ("namespace", namespace)] {
            write_private(folder.join(name), text)?;
        }
        Ok(())
    }
}

fn secret_path(namespace: &str, name: &str) -> String {
    format!("/api/v1/namespaces/{namespace}/secrets/{name}")
}

fn start_etcd(program: &Path, folder: &Path, client: SocketAddr, peer: SocketAddr) -> Result<Server, StackError> {
    let (client, peer) = (format!("http://{client}"), format!("http://{peer}"));
    let command = [
        &program.display().to_string(),
        "--data-dir",
        &folder.join("etcd").display().to_string(),
        "--listen-client-urls",
        &client,
        "--advertise-client-urls",
        &client,
        "--listen-peer-urls",
        &peer,
        "--initial-advertise-peer-urls",
        &peer,
        "--initial-cluster",
        &format!("default={peer}"),
        // What a test wrote may go with the machine.
        "--unsafe-no-fsync",
    ];
    Server::start(&command, &[], &folder.join("etcd.log"))
}

fn not_started(folder: &Path) -> StackError {
    let log = end_of(&folder.join("kube-apiserver.log"));
    StackError::NotStarted { server: "kube-apiserver".to_owned(), patience: START_PATIENCE, log }
}

fn start_api_server(command: &[String], folder: &Path) -> Result<Server, StackError> {
    let command = command.iter().map(String::as_str).collect::<Vec<_>>();
    Server::start(&command, &[], &folder.join("kube-apiserver.log"))
}

/// Makes what it needs, and says how it is started.
fn api_server_command(
    program: &Path,
    folder: &Path,
    etcd: SocketAddr,
    address: SocketAddr,
    token: &str,
) -> Result<Vec<String>, StackError> {
    let at = |name: &str| folder.join(name).display().to_string();
    let key = rcgen::KeyPair::generate().expect("keys can be made");
    write_private(folder.join("sa.key"), &key.serialize_pem())?;
    write_private(folder.join("sa.pub"), &key.public_key_pem())?;
    write_private(folder.join("tokens.csv"), &format!("{token},admin,1,\"system:masters\"\n"))?;
    Ok(vec![
        program.display().to_string(),
        format!("--etcd-servers=http://{etcd}"),
        "--bind-address=127.0.0.1".to_owned(),
        "--advertise-address=127.0.0.1".to_owned(),
        format!("--secure-port={}", address.port()),
        format!("--cert-dir={}", at("certificates")),
        "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
        format!("--service-account-key-file={}", at("sa.pub")),
        format!("--service-account-signing-key-file={}", at("sa.key")),
        format!("--token-auth-file={}", at("tokens.csv")),
        "--authorization-mode=RBAC".to_owned(),
        "--service-cluster-ip-range=10.0.0.0/24".to_owned(),
        "--disable-admission-plugins=ServiceAccount".to_owned(),
    ])
}

/// Random text that nobody guesses.
fn secret_text() -> Result<String, StackError> {
    let output = Command::new("od").args(["-An", "-N16", "-tx1", "/dev/urandom"]).output();
    let output = output.map_err(StackError::io("run `od`"))?;
    Ok(String::from_utf8_lossy(&output.stdout).split_whitespace().collect())
}

fn kubeconfig_file(folder: &Path, name: &str, contexts: &[(&str, &str, Value)]) -> Result<PathBuf, StackError> {
    let clusters = contexts.iter().map(|(name, url, _)| {
        let authority = folder.join("certificates/apiserver.crt");
        json!({"name": name, "cluster": {"server": url, "certificate-authority": authority}})
    });
    let users = contexts.iter().map(|(name, _, user)| json!({"name": name, "user": user}));
    let named = contexts.iter().map(|(name, _, _)| json!({"name": name, "context": {"cluster": name, "user": name}}));
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": clusters.collect::<Vec<_>>(),
        "users": users.collect::<Vec<_>>(),
        "contexts": named.collect::<Vec<_>>(),
        "current-context": contexts.first().map(|(name, _, _)| *name),
    });
    write_private(folder.join(name), &config.to_string())
}

/// One with the login of a kubeconfig, and one without.
async fn clients(kubeconfig: &Path) -> (kube::Client, kube::Client) {
    let config = Kubeconfig::read_from(kubeconfig).expect("just written");
    let config =
        kube::Config::from_custom_kubeconfig(config, &KubeConfigOptions::default()).await.expect("just written");
    let mut stranger = config.clone();
    stranger.auth_info = kube::config::AuthInfo::default();
    let client = |config| kube::Client::try_from(config).expect("a client can be made");
    (client(config), client(stranger))
}

fn end_of(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines = text.lines().collect::<Vec<_>>();
    lines[lines.len().saturating_sub(LOG_LINES_SHOWN)..].join("\n")
}
