//! A person at work: a home of their own, a folder of documents, and the real program.
//!
//! ```text
//! Operator::with(clusters) ── init ──> work/kastellan/   documents, the default folder of every command
//!                                      work/.kastellan/store/
//!                                      work/out/         what is delivered
//!                                      .config/kastellan/identity.txt
//! ```
//!
//! A command gets no variable of the test's own environment but `PATH`. When an operator goes, the clusters it worked on
//! must not have refused a single login meanwhile. Its store may also be in a Vault; then it works there under the policy that
//! the program prints.

mod outcome;

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::SystemTime;

use serde_json::{Value, json};
use tempfile::TempDir;

pub use outcome::Outcome;

use crate::stack::vault::Vault;
use crate::stack::{Cluster, Listener, unique_name, write_private};

/// How documents reach a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// Without TLS on both listeners.
    Plaintext,
    /// With TLS on both.
    Tls,
}

impl Transport {
    /// The listener of Kastellan.
    pub const fn admin(self) -> Listener {
        match self {
            Self::Plaintext => Listener::Admin,
            Self::Tls => Listener::AdminTls,
        }
    }

    /// The listener of applications.
    pub const fn clients(self) -> Listener {
        match self {
            Self::Plaintext => Listener::Clients,
            Self::Tls => Listener::ClientsTls,
        }
    }
}

/// Where an operator's store is.
#[derive(Clone, Copy)]
pub enum Kept {
    /// In a folder below the home.
    Age,
    /// In a Vault, in a part of its mount that is this operator's own.
    Vault(&'static Vault),
}

/// The mount of stores in Vault.
pub const MOUNT: &str = "kafka";

/// One person with one store.
pub struct Operator<'c> {
    home: TempDir,
    kept: Kept,
    /// What lies in a Vault lies below this.
    prefix: String,
    variables: BTreeMap<String, String>,
    /// Clusters with the count of refused logins at the beginning.
    watched: Vec<(&'c Cluster, usize)>,
}

impl<'c> Operator<'c> {
    /// A home with a store in a folder, and one document for each cluster under its name.
    pub fn with(clusters: &[(&str, &'c Cluster, Transport)]) -> Self {
        Self::keeping(Kept::Age, clusters)
    }

    /// The same with a store wherever it may be.
    pub fn keeping(kept: Kept, clusters: &[(&str, &'c Cluster, Transport)]) -> Self {
        let mut operator = Self::blank();
        operator.kept = kept;
        match kept {
            Kept::Age => {
                operator.run(&["init"]).exits(0);
                fs::remove_dir_all(operator.documents().join("users")).unwrap();
                fs::remove_file(operator.documents().join("cluster.yaml")).unwrap();
            }
            Kept::Vault(vault) => operator.prepare(vault, "kastellan/store.yaml"),
        }
        for &(name, cluster, transport) in clusters {
            operator.write(&format!("kastellan/{name}.yaml"), &cluster_document(name, cluster, transport));
            operator.set(&password_variable(name), cluster.kastellan.password_text());
            operator.watched.push((cluster, cluster.failed_authentications()));
        }
        operator
    }

    /// A home with nothing in it.
    pub fn blank() -> Self {
        let home = tempfile::Builder::new().prefix("kastellan-home-").tempdir().unwrap();
        fs::create_dir_all(home.path().join("work/out")).unwrap();
        let (kept, prefix) = (Kept::Age, unique_name("operator"));
        Self { home, kept, prefix, variables: BTreeMap::new(), watched: Vec::new() }
    }

    /// Writes a document of a store in Vault and makes what it needs, as `policies/vault/README.md` says: a policy that the
    /// program prints, an AppRole, a file with its secret id.
    pub fn prepare(&self, vault: &Vault, document: &str) {
        let prefix = &self.prefix;
        self.write(document, &vault_document(vault, prefix, "unknown"));
        let policy = self.run(&["policy", "vault", "-f", document]).exits(0).stdout;
        vault.put_policy(prefix, &policy).unwrap();
        let role = vault.app_role(prefix, &[prefix], "20m", "4h").unwrap();
        self.write(document, &vault_document(vault, prefix, &role.role_id));
        write_private(self.work().join("secret-id"), &format!("{}\n", role.secret_id)).unwrap();
    }

    /// Uses the store in Vault of a document, from now on, instead of the one in a folder.
    pub fn move_to(&mut self, vault: &'static Vault, document: &str) {
        fs::rename(self.work().join(document), self.documents().join("store.yaml")).unwrap();
        self.keep(Kept::Vault(vault));
    }

    /// Looks for records and credentials there from now on.
    pub fn keep(&mut self, kept: Kept) {
        self.kept = kept;
    }

    /// What the name of its part of a Vault is, and of its policy and AppRole there.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Expects refused logins, from now on: for wrong passwords on purpose.
    pub fn stop_watching(&mut self) {
        self.watched.clear();
    }

    /// `$HOME`.
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// The folder that commands run in.
    pub fn work(&self) -> PathBuf {
        self.home.path().join("work")
    }

    /// The folder of documents.
    pub fn documents(&self) -> PathBuf {
        self.work().join("kastellan")
    }

    /// The folder of the store.
    pub fn store(&self) -> PathBuf {
        self.work().join(".kastellan/store")
    }

    /// A file that documents may deliver to.
    pub fn out(&self, name: &str) -> PathBuf {
        self.work().join("out").join(name)
    }

    /// Sets a variable for the commands that follow.
    pub fn set(&mut self, variable: &str, value: &str) {
        self.variables.insert(variable.to_owned(), value.to_owned());
    }

    /// Writes a file below the folder that commands run in.
    pub fn write(&self, path: &str, text: &str) {
        let path = self.work().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Replaces text in a document, which has to be there.
    pub fn edit(&self, document: &str, from: &str, to: &str) {
        let path = self.documents().join(document);
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "`{from}` is not in `{document}`:\n{text}");
        fs::write(path, text.replace(from, to)).unwrap();
    }

    /// Writes the document of the user `tests/<name>`; `spec` is a flow mapping.
    pub fn declare(&self, name: &str, spec: &str) {
        self.write(&format!("kastellan/{name}.yaml"), &user_document(name, spec));
    }

    /// Removes the document of a user.
    pub fn remove(&self, name: &str) {
        fs::remove_file(self.documents().join(format!("{name}.yaml"))).unwrap();
    }

    /// The program with arguments, ready to start.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(program());
        command.args(arguments).current_dir(self.work()).env_clear();
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("HOME", self.home());
        command.envs(&self.variables);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Runs the program to its end.
    pub fn run(&self, arguments: &[&str]) -> Outcome {
        Outcome::of(arguments, self.command(arguments))
    }

    /// Runs the program with something on its standard input.
    pub fn run_with_input(&self, arguments: &[&str], input: &str) -> Outcome {
        let mut child = self.command(arguments).stdin(Stdio::piped()).spawn().unwrap();
        // A program that ends before it has read its input breaks the pipe; how it ended says more.
        let _broken_pipe = child.stdin.take().unwrap().write_all(input.as_bytes());
        Outcome::new(arguments, child.wait_with_output().unwrap())
    }

    /// `apply --auto-approve -o json` with more arguments.
    pub fn apply(&self, arguments: &[&str]) -> Outcome {
        self.run(&[&["apply", "--auto-approve", "-o", "json"], arguments].concat())
    }

    /// `plan -o json` with more arguments.
    pub fn plan(&self, arguments: &[&str]) -> Outcome {
        self.run(&[&["plan", "-o", "json"], arguments].concat())
    }

    /// Sees that there is nothing to do, and nothing that waits, is blocked, or is gone.
    #[track_caller]
    pub fn assert_in_step(&self) {
        let plan = self.plan(&["--detailed-exitcode"]).exits(0).json();
        assert_eq!(plan["users"], Value::Array(Vec::new()), "{plan:#}");
        assert_eq!(plan["reports"], Value::Array(Vec::new()), "{plan:#}");
        assert_eq!(plan["declared"], plan["inStep"], "{plan:#}");
    }

    /// `tests/<name>` of `status -o json`.
    #[track_caller]
    pub fn status(&self, name: &str) -> Value {
        let status = self.run(&["status", "-o", "json", &format!("tests/{name}")]).exits(0).json();
        status["users"][0].clone()
    }

    /// The record of `tests/<name>`, as the store holds it.
    pub fn record(&self, name: &str) -> Value {
        match self.kept {
            Kept::Age => self.record_file(name).1["record"].clone(),
            Kept::Vault(vault) => {
                let read = vault.ask("GET", &self.vault_path("data", &record_key(name)), &Value::Null).unwrap();
                serde_json::from_str(read["data"]["data"]["record"].as_str().unwrap()).unwrap()
            }
        }
    }

    /// Changes the record of `tests/<name>` behind Kastellan's back.
    pub fn change_record(&self, name: &str, change: impl FnOnce(&mut Value)) {
        match self.kept {
            Kept::Age => {
                let (path, mut file) = self.record_file(name);
                change(&mut file["record"]);
                fs::write(path, serde_json::to_vec(&file).unwrap()).unwrap();
            }
            Kept::Vault(vault) => {
                let path = self.vault_path("data", &record_key(name));
                let read = vault.ask("GET", &path, &Value::Null).unwrap();
                let (mut data, version) = (read["data"]["data"].clone(), &read["data"]["metadata"]["version"]);
                let mut record = serde_json::from_str(data["record"].as_str().unwrap()).unwrap();
                change(&mut record);
                data["record"] = record.to_string().into();
                vault.ask("POST", &path, &json!({"options": {"cas": version}, "data": data})).unwrap();
            }
        }
    }

    fn record_file(&self, name: &str) -> (PathBuf, Value) {
        let path = self.store().join(format!("{}.json", record_key(name)));
        let text = fs::read(&path).unwrap_or_else(|error| panic!("`{}`: {error}", path.display()));
        (path, serde_json::from_slice(&text).unwrap())
    }

    /// What applications read from the store: opened with the operator's identity, or as Vault answers.
    pub fn credential(&self, name: &str) -> Value {
        match self.kept {
            Kept::Age => {
                let text = fs::read_to_string(self.home().join(".config/kastellan/identity.txt")).unwrap();
                let line = text.lines().find(|line| line.starts_with("AGE-SECRET-KEY-1")).unwrap();
                let identity: age::x25519::Identity = line.parse().unwrap();
                let sealed = fs::read(self.store().join(format!("tests/{name}.age"))).unwrap();
                serde_json::from_slice(&age::decrypt(&identity, &sealed).unwrap()).unwrap()
            }
            Kept::Vault(vault) => {
                let path = self.vault_path("data", &format!("tests/{name}"));
                vault.ask("GET", &path, &Value::Null).unwrap()["data"]["data"].clone()
            }
        }
    }

    /// The material of `tests/<name>` by generation, as it is stored, as far as it is not destroyed.
    pub fn materials(&self, name: &str) -> BTreeMap<u64, Vec<u8>> {
        let folder = format!("_kastellan/material/tests/{name}");
        match self.kept {
            Kept::Age => {
                let Ok(entries) = fs::read_dir(self.store().join(folder)) else { return BTreeMap::new() };
                let number = |path: &Path| path.file_stem()?.to_str()?.parse().ok();
                let paths = entries.map(|entry| entry.unwrap().path());
                let read = paths.map(|path| (number(&path).unwrap(), fs::read(&path).unwrap()));
                read.filter(|(_, bytes)| !bytes.starts_with(b"{\"destroyed\":true")).collect()
            }
            Kept::Vault(vault) => {
                let Ok(listed) = vault.ask("LIST", &self.vault_path("metadata", &folder), &Value::Null) else {
                    return BTreeMap::new();
                };
                let keys = listed["data"]["keys"].as_array().unwrap().iter().map(|key| key.as_str().unwrap());
                let read = |key: &str| {
                    let read = vault.ask("GET", &self.vault_path("data", &format!("{folder}/{key}")), &Value::Null);
                    let text = read.ok()?["data"]["data"].to_string();
                    Some((key.parse().unwrap(), text.into_bytes()))
                };
                keys.filter_map(read).collect()
            }
        }
    }

    /// Sees that nothing is on its way in the store that nobody will ever finish.
    #[track_caller]
    pub fn assert_store_is_tidy(&self, when: &str) {
        let temporary = self.store().join("_kastellan/tmp");
        let left = fs::read_dir(&temporary).map(|entries| entries.count()).unwrap_or_default();
        assert_eq!(left, 0, "{when}: something is left in `{}`", temporary.display());
    }

    fn vault_path(&self, kind: &str, path: &str) -> String {
        format!("{MOUNT}/{kind}/{}/{path}", self.prefix)
    }
}

fn record_key(name: &str) -> String {
    format!("_kastellan/records/tests/{name}")
}

/// A document of the store `vault` in a Vault, by TLS and an AppRole.
fn vault_document(vault: &Vault, prefix: &str, role_id: &str) -> String {
    format!(
        "\
apiVersion: kastellan.io/v1alpha1
kind: CredentialStore
metadata: {{name: vault}}
spec:
  vault:
    address: {}
    mount: {MOUNT}
    pathPrefix: {prefix}
    inputs: [imports/]
    auth: {{appRole: {{roleId: {role_id:?}, secretIdFile: ../secret-id}}}}
    caFile: {}
",
        vault.tls_url(),
        vault.ca_file().display(),
    )
}

impl Drop for Operator<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        for (cluster, before) in &self.watched {
            assert_eq!(cluster.failed_authentications(), *before, "Kafka {} refused logins", cluster.version);
        }
    }
}

/// The program: Cargo tells tests where it is, and puts it beside the folder of the examples.
fn program() -> PathBuf {
    let beside_examples = || std::env::current_exe().unwrap().ancestors().nth(2).unwrap().join("kastellan");
    option_env!("CARGO_BIN_EXE_kastellan").map_or_else(beside_examples, PathBuf::from)
}

/// The variable that a cluster's document takes the admin password from.
pub fn password_variable(cluster: &str) -> String {
    format!("KAFKA_PASSWORD_{}", cluster.to_uppercase())
}

/// A document of a cluster, with what tests like to [`Operator::edit`] spelt out.
pub fn cluster_document(name: &str, cluster: &Cluster, transport: Transport) -> String {
    let tls = match transport {
        Transport::Plaintext => String::new(),
        Transport::Tls => format!("    tls: {{caFile: {}}}\n", cluster.ca_file().display()),
    };
    format!(
        "\
apiVersion: kastellan.io/v1alpha1
kind: KafkaCluster
metadata: {{name: {name}}}
spec:
  bootstrapServers: {}
  admin:
    authentication: {{type: scram-sha-512, username: {}, password: {{valueFrom: {{env: {}}}}}}}
    fence: 1s
{tls}  clients:
    bootstrapServers: {}
    verifyLogins: true
    mechanisms: [scram-sha-512, scram-sha-256]
{tls}  protectedUsers: []
  suspend: false
",
        cluster.bootstrap(transport.admin()),
        cluster.kastellan.username,
        password_variable(name),
        cluster.bootstrap(transport.clients()),
    )
}

/// A document of the user `tests/<name>`.
pub fn user_document(name: &str, spec: &str) -> String {
    format!(
        "apiVersion: kastellan.io/v1alpha1\nkind: KafkaUser\nmetadata: {{name: {name}, namespace: tests}}\nspec: {spec}\n"
    )
}

/// The password that a delivered file in properties format carries.
#[track_caller]
pub fn delivered_password(file: &Path) -> String {
    let text = fs::read_to_string(file).unwrap_or_else(|error| panic!("`{}`: {error}", file.display()));
    let (_, rest) = text.split_once("password=\"").expect("a properties file holds JAAS text");
    rest.split_once('"').expect("a quote ends the password").0.to_owned()
}

/// Every file and folder below a folder, with what changes when somebody writes.
#[derive(Debug, PartialEq, Eq)]
pub struct Snapshot(BTreeMap<PathBuf, (SystemTime, Option<Vec<u8>>)>);

impl Snapshot {
    /// Takes it. The lock of a store is left out: it names the process that had it last, and is this machine's own.
    pub fn of(folder: &Path) -> Self {
        let mut entries = BTreeMap::new();
        collect(folder, &mut entries);
        Self(entries)
    }

    /// Sees that nothing was written since.
    #[track_caller]
    pub fn assert_unchanged(&self, folder: &Path) {
        let now = Self::of(folder);
        let paths = self.0.keys().chain(now.0.keys());
        let changed = paths.filter(|path| self.0.get(*path) != now.0.get(*path)).collect::<Vec<_>>();
        assert!(changed.is_empty(), "written meanwhile: {changed:?}");
    }
}

fn collect(path: &Path, entries: &mut BTreeMap<PathBuf, (SystemTime, Option<Vec<u8>>)>) {
    if path.ends_with("_kastellan/lock") {
        return;
    }
    let metadata = fs::symlink_metadata(path).unwrap();
    let bytes = metadata.is_file().then(|| fs::read(path).unwrap());
    entries.insert(path.to_owned(), (metadata.modified().unwrap(), bytes));
    if metadata.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            collect(&entry.unwrap().path(), entries);
        }
    }
}
