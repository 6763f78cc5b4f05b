//! A real Vault: unsealed, with its data in files, so that it can be restarted and sealed.
//!
//! It listens twice, without TLS for the stack and with TLS for whoever wants it. What the stack asks of it, it asks as
//! root, by [`Vault::ask`]; nothing that is tested ever gets that token.

mod program;
mod wire;

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::certificates::Authority;
use super::ports::Ports;
use super::process::{Janitor, Server};
use super::{StackError, wait_until, write_private};

/// It starts in a second; twenty times that is a broken machine.
const START_PATIENCE: Duration = Duration::from_secs(30);
/// It has nothing to finish.
const STOP_PATIENCE: Duration = Duration::from_secs(10);
const LOG_LINES_SHOWN: usize = 25;

/// A running Vault.
pub struct Vault {
    folder: TempDir,
    address: SocketAddr,
    tls_address: SocketAddr,
    /// Where nodes of a cluster would talk to each other, one for each of the above.
    cluster_addresses: [SocketAddr; 2],
    authority: Authority,
    server: Mutex<Option<Server>>,
    keys: OnceLock<Keys>,
    _ports: Ports,
    // Last, so that the folder goes also when the process is killed.
    _janitor: Janitor,
}

/// What unseals it, and what may do everything.
struct Keys {
    unseal: String,
    root: String,
}

/// An AppRole: what a client logs in with.
#[derive(Debug, Clone)]
pub struct AppRole {
    /// Its name.
    pub name: String,
    /// The half that is no secret.
    pub role_id: String,
    /// The half that is one.
    pub secret_id: String,
}

/// The Vault of all tests of this process that do not harm it.
pub fn shared() -> &'static Vault {
    static SHARED: OnceLock<Vault> = OnceLock::new();
    SHARED.get_or_init(|| Vault::start().unwrap_or_else(|error| panic!("{}", error.chain())))
}

/// The program, which is also what people use by hand.
pub fn program() -> Result<PathBuf, StackError> {
    program::vault()
}

impl Vault {
    /// Starts one of its own.
    pub fn start() -> Result<Self, StackError> {
        let folder = tempfile::Builder::new()
            .prefix("kastellan-vault-")
            .tempdir()
            .map_err(StackError::io("make a folder for Vault"))?;
        let janitor = Janitor::of(folder.path())?;
        let mut ports = Ports::claim()?;
        let authority = Authority::create(folder.path(), "vault-ca")?;
        let vault = Self {
            address: ports.next(),
            tls_address: ports.next(),
            cluster_addresses: [ports.next(), ports.next()],
            authority,
            server: Mutex::default(),
            keys: OnceLock::new(),
            _ports: ports,
            _janitor: janitor,
            folder,
        };
        vault.configure()?;
        vault.start_process()?;
        vault.initialise()?;
        vault.unseal()?;
        vault.ask("POST", "sys/auth/approle", &json!({"type": "approle"}))?;
        let audit = json!({"type": "file", "options": {"file_path": vault.audit_log().display().to_string()}});
        vault.ask("POST", "sys/audit/file", &audit)?;
        Ok(vault)
    }

    fn configure(&self) -> Result<(), StackError> {
        let identity = self.authority.server("vault")?;
        let folder = self.folder.path();
        let [cluster, cluster_tls] = self.cluster_addresses.map(|address| address.to_string());
        let data = folder.join("data");
        fs::create_dir(&data).map_err(StackError::io("make a folder for Vault's data"))?;
        let listener = |address: SocketAddr, cluster_address: &str, rest: Value| {
            let mut listener = json!({"address": address.to_string(), "cluster_address": cluster_address});
            listener.as_object_mut().expect("made above").extend(rest.as_object().expect("an object").clone());
            json!({"tcp": listener})
        };
        let config = json!({
            // The one kind of storage on disk that a minimal build has.
            "storage": {"raft": {"path": data.display().to_string(), "node_id": "one"}},
            "cluster_addr": format!("https://{cluster}"),
            "listener": [
                listener(self.address, &cluster, json!({"tls_disable": true})),
                listener(self.tls_address, &cluster_tls, json!({
                    "tls_cert_file": identity.certificate_file.display().to_string(),
                    "tls_key_file": identity.key_file.display().to_string(),
                })),
            ],
            "disable_mlock": true,
            "api_addr": self.url(),
        });
        write_private(folder.join("vault.json"), &config.to_string()).map(drop)
    }

    /// Without TLS, e.g. `http://127.0.0.1:10240`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// With TLS.
    pub fn tls_url(&self) -> String {
        format!("https://localhost:{}", self.tls_address.port())
    }

    /// What its certificate, for `localhost` and `127.0.0.1`, is signed by.
    pub fn ca_file(&self) -> &Path {
        self.authority.certificate_file()
    }

    /// What it wrote down of every request and answer.
    pub fn audit_log(&self) -> PathBuf {
        self.folder.path().join("audit.log")
    }

    /// What it logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("vault.log")).unwrap_or_default()
    }

    fn process(&self) -> MutexGuard<'_, Option<Server>> {
        self.server.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts the process; it comes up sealed.
    pub fn start_process(&self) -> Result<(), StackError> {
        let program = program::vault()?;
        let folder = self.folder.path();
        let (program, config) = (program.display().to_string(), folder.join("vault.json").display().to_string());
        let command = [program.as_str(), "server", "-config", &config];
        let environment = [("VAULT_LOG_LEVEL", "info"), ("HOME", folder.to_str().expect("made of plain text"))];
        *self.process() = Some(Server::start(&command, &environment, &folder.join("vault.log"))?);
        let answers = || wire::ask(self.address, None, "GET", "sys/seal-status", None).is_ok();
        if wait_until(START_PATIENCE, answers) {
            return Ok(());
        }
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        let log = lines[lines.len().saturating_sub(LOG_LINES_SHOWN)..].join("\n");
        Err(StackError::NotStarted { server: "Vault".to_owned(), patience: START_PATIENCE, log })
    }

    /// Whether the process has ended.
    pub fn is_stopped(&self) -> bool {
        !self.process().as_mut().is_some_and(Server::is_running)
    }

    /// Ends the process in order; [`Vault::start_process`] and [`Vault::unseal`] bring it back with all it knew.
    pub fn stop_process(&self) {
        if let Some(server) = self.process().take() {
            server.terminate(STOP_PATIENCE);
        }
    }

    fn initialise(&self) -> Result<(), StackError> {
        let shares = json!({"secret_shares": 1, "secret_threshold": 1});
        let made =
            wire::ask(self.address, None, "PUT", "sys/init", Some(&shares))?.expect_success("initialise Vault")?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let keys = Keys { unseal: text(&made["keys"][0]), root: text(&made["root_token"]) };
        assert!(self.keys.set(keys).is_ok(), "initialised once");
        Ok(())
    }

    fn keys(&self) -> &Keys {
        self.keys.get().expect("initialised when it was started")
    }

    /// Seals it: it answers nobody until it is unsealed.
    pub fn seal(&self) -> Result<(), StackError> {
        self.ask("PUT", "sys/seal", &Value::Null).map(drop)
    }

    /// Unseals it, and waits until it works.
    pub fn unseal(&self) -> Result<(), StackError> {
        let key = json!({"key": self.keys().unseal});
        wire::ask(self.address, None, "PUT", "sys/unseal", Some(&key))?.expect_success("unseal Vault")?;
        let is_active = || {
            let health = wire::ask(self.address, None, "GET", "sys/health", None);
            health.is_ok_and(|answer| answer.status == 200)
        };
        let refused = || StackError::Refused { what: "unseal Vault".to_owned(), answer: self.log() };
        if wait_until(START_PATIENCE, is_active) { Ok(()) } else { Err(refused()) }
    }

    /// Asks as root, and expects to be answered; `Null` for no body, and for an empty answer.
    pub fn ask(&self, method: &str, path: &str, body: &Value) -> Result<Value, StackError> {
        let answer = self.ask_as(&self.keys().root, method, path, body)?;
        answer.expect_success(&format!("{method} {path}"))
    }

    /// Asks with some token; answers with whatever status and body it is.
    pub fn ask_as(&self, token: &str, method: &str, path: &str, body: &Value) -> Result<wire::Answer, StackError> {
        wire::ask(self.address, Some(token), method, path, Some(body).filter(|body| !body.is_null()))
    }

    /// Mounts an empty KV version 2 engine, and waits until it has made itself ready.
    pub fn mount_kv(&self, mount: &str) -> Result<(), StackError> {
        self.ask("POST", &format!("sys/mounts/{mount}"), &json!({"type": "kv", "options": {"version": "2"}}))?;
        let path = format!("{mount}/config");
        let is_ready = || self.ask("GET", &path, &Value::Null).is_ok();
        let refused = || StackError::Refused { what: format!("mount `{mount}`"), answer: self.log() };
        if wait_until(START_PATIENCE, is_ready) { Ok(()) } else { Err(refused()) }
    }

    /// Writes a policy.
    pub fn put_policy(&self, name: &str, policy: &str) -> Result<(), StackError> {
        self.ask("PUT", &format!("sys/policies/acl/{name}"), &json!({"policy": policy})).map(drop)
    }

    /// A token with these policies, and no others, not even `default`.
    pub fn token(&self, policies: &[&str], ttl: &str) -> Result<String, StackError> {
        let body = json!({"policies": policies, "no_default_policy": true, "ttl": ttl, "renewable": true});
        let made = self.ask("POST", "auth/token/create-orphan", &body)?;
        Ok(made["auth"]["client_token"].as_str().unwrap_or_default().to_owned())
    }

    /// An AppRole whose tokens have these policies, and no others.
    pub fn app_role(&self, name: &str, policies: &[&str], ttl: &str, max_ttl: &str) -> Result<AppRole, StackError> {
        let role = json!({
            "token_policies": policies, "token_no_default_policy": true, "token_ttl": ttl, "token_max_ttl": max_ttl,
        });
        let path = format!("auth/approle/role/{name}");
        self.ask("POST", &path, &role)?;
        let role_id = self.ask("GET", &format!("{path}/role-id"), &Value::Null)?;
        let secret_id = self.ask("POST", &format!("{path}/secret-id"), &json!({}))?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        Ok(AppRole {
            name: name.to_owned(),
            role_id: text(&role_id["data"]["role_id"]),
            secret_id: text(&secret_id["data"]["secret_id"]),
        })
    }

    /// A secret id of a role in a response-wrapping token.
    pub fn wrapped_secret_id(&self, role: &str) -> Result<String, StackError> {
        self.wrapped(&json!({}), &format!("auth/approle/role/{role}/secret-id"))
    }

    /// The answer to a request of `path`, in a response-wrapping token.
    pub fn wrapped(&self, body: &Value, path: &str) -> Result<String, StackError> {
        let headers = [("X-Vault-Wrap-TTL", "300s")];
        let root = Some(self.keys().root.as_str());
        let wrapped = wire::ask_with(self.address, root, &headers, "POST", path, Some(body))?;
        let wrapped = wrapped.expect_success("wrap an answer")?;
        Ok(wrapped["wrap_info"]["token"].as_str().unwrap_or_default().to_owned())
    }

    /// Revokes every token that logins by a role have made; how many there were.
    pub fn revoke_tokens_of(&self, role: &str) -> Result<usize, StackError> {
        let accessors = self.ask("LIST", "auth/token/accessors", &Value::Null)?;
        let mut revoked = 0;
        for accessor in accessors["data"]["keys"].as_array().into_iter().flatten() {
            // Others come and go meanwhile.
            let found = self.ask("POST", "auth/token/lookup-accessor", &json!({"accessor": accessor}));
            if found.is_ok_and(|found| found["data"]["meta"]["role_name"] == role) {
                self.ask("POST", "auth/token/revoke-accessor", &json!({"accessor": accessor}))?;
                revoked += 1;
            }
        }
        Ok(revoked)
    }
}
