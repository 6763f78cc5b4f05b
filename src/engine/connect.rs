//! Opens everything that documents name: stores, clusters, their listeners. What cannot be opened is unknown, and only
//! what depends on it waits.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use futures_util::future::join_all;

use crate::credential::Seen;
use crate::deliver::Deliveries;
use crate::diagnostic::{Chain, Hint};
use crate::k8s::Kubernetes;
use crate::kafka::{
    Admin, Authentication, ClientCertificate, ClientsEndpoint, Deadlines, Endpoint, KafkaError, Logins, TlsSettings,
};
use crate::names::{ClusterName, HostPort, Mechanism, StoreName};
use crate::secret::Secret;
use crate::spec::{
    AdminAuthentication, BootstrapServers, CredentialStoreSpec, Documents, FilePath, KafkaClusterSpec, PasswordSource,
    TlsSpec,
};
use crate::store::{self, MachineState, SecretReader, Store, StoreError, StoreReader, StoreSettings};

/// What connections may be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Looking: no lock, no identity, no secret of a user.
    Look,
    /// Opening secrets, and changing nothing.
    Open,
    /// Changing, and opening secrets.
    Change,
    /// The same, on a store whose other copy is gone.
    TakeOver,
}

/// Looks up an environment variable.
pub type Variables = Box<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// What the program finds around itself, read once by the face that started it.
pub struct Surroundings {
    /// Home of whoever runs the program.
    pub home: Option<PathBuf>,
    /// Folder in which this machine remembers the stores bound to it.
    pub store_markers: PathBuf,
    /// `PATH`, to find the `git` program in.
    pub search_path: std::ffi::OsString,
    /// Looks up an environment variable.
    pub variable: Variables,
}

/// Everything a pass talks to.
pub struct Links {
    /// Clusters; unknown with the reason where there is no connection.
    pub clusters: BTreeMap<ClusterName, Seen<ClusterLink>>,
    /// Stores.
    pub stores: BTreeMap<StoreName, Seen<StoreLink>>,
    /// Deliveries.
    pub deliveries: Arc<Deliveries>,
    /// The clusters that Secrets go to.
    pub kubernetes: Arc<Kubernetes>,
    /// What the program finds around itself.
    pub surroundings: Surroundings,
    /// Remedies for what could not be opened, by what it is.
    pub hints: BTreeMap<String, Hint>,
}

/// An open store.
pub struct StoreLink {
    /// For looking.
    pub reader: Arc<dyn StoreReader>,
    /// For opening secrets; `None` in [`Mode::Look`], unless Kastellan's own password is in a store.
    pub secrets: Option<Arc<dyn SecretReader>>,
    /// For changing; `None` unless the mode is one for changes.
    pub store: Option<Arc<dyn Store>>,
}

/// An open cluster.
pub struct ClusterLink {
    /// Administration.
    pub admin: Admin,
    /// Logins on the clients' listener; `None` with `verifyLogins: false`.
    pub logins: Option<Logins>,
    /// Mechanisms of the clients' listener.
    pub mechanisms: Vec<Mechanism>,
}

/// Why nothing can begin at all.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// A store cannot be opened for changes: without it there is no record, and so no effect.
    #[error("failed to open store `{name}`")]
    Store {
        /// The store.
        name: StoreName,
        /// Why.
        #[source]
        source: StoreError,
    },
    /// A path cannot be resolved.
    #[error("{0}")]
    Path(String),
}

/// What a pass asked of everything it talked to.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Traffic {
    /// Requests to Kafka's administrators' listeners, by API.
    pub kafka_requests: BTreeMap<&'static str, u64>,
    /// Connections to the clients' listeners, to look at a salt or to log in.
    pub kafka_probes: u64,
    /// Requests to Kubernetes APIs.
    pub kubernetes_requests: u64,
    /// Requests to the servers that stores live in, by store and kind; none for one that needs no server.
    pub store_requests: BTreeMap<StoreName, BTreeMap<&'static str, u64>>,
    /// Items asked of each store.
    pub stores: BTreeMap<StoreName, store::Tally>,
}

impl Links {
    /// What was asked so far.
    pub fn traffic(&self) -> Traffic {
        let mut traffic = Traffic { kubernetes_requests: self.kubernetes.requests(), ..Traffic::default() };
        for link in self.clusters.values().filter_map(Seen::known) {
            for (api, count) in link.admin.requests() {
                *traffic.kafka_requests.entry(api).or_default() += count;
            }
            traffic.kafka_probes += link.logins.as_ref().map_or(0, Logins::probes);
        }
        for (name, link) in &self.stores {
            if let Seen::Known(link) = link {
                traffic.stores.insert(name.clone(), link.reader.tally());
                let requests = link.reader.requests();
                if !requests.is_empty() {
                    traffic.store_requests.insert(name.clone(), requests);
                }
            }
        }
        traffic
    }
}

impl Surroundings {
    fn git(&self) -> Option<crate::git::Git> {
        crate::git::Git::find(&self.search_path, self.home.as_deref().map(std::path::Path::as_os_str))
    }

    /// The kubeconfig files, as `kubectl` finds them: those of `KUBECONFIG`, else the one at home; empty if there is none.
    pub(super) fn kubeconfig(&self) -> Vec<PathBuf> {
        let stated = (self.variable)("KUBECONFIG").filter(|stated| !stated.is_empty());
        match stated {
            Some(stated) => std::env::split_paths(&stated).filter(|path| !path.as_os_str().is_empty()).collect(),
            None => self.home.iter().map(|home| home.join(".kube/config")).filter(|path| path.is_file()).collect(),
        }
    }

    /// The absolute path of a document's path.
    pub fn resolve(&self, path: &FilePath) -> Result<PathBuf, String> {
        let resolved = path
            .resolve(self.home.as_deref())
            .ok_or_else(|| format!("`{path}` begins with `~/`, and there is no home directory"))?;
        let absolute =
            std::path::absolute(&resolved).map_err(|error| format!("`{path}` has no absolute form: {error}"))?;
        // Without `..` where the folder exists already, so that people are shown a path they know.
        let parts = absolute.parent().and_then(|parent| parent.canonicalize().ok()).zip(absolute.file_name());
        Ok(parts.map_or_else(|| absolute.clone(), |(parent, name)| parent.join(name)))
    }
}

/// How long the other copy of a store that is taken over may still have requests on their way, beside the fence itself.
const PERMIT: std::time::Duration = std::time::Duration::from_secs(30);

/// Opens everything.
///
/// # Errors
/// In every mode but [`Mode::Look`] a store that cannot be opened ends the pass before it begins; a cluster never does.
pub async fn connect(documents: &Documents, mode: Mode, surroundings: Surroundings) -> Result<Links, ConnectError> {
    let fence = documents.clusters.values().map(|cluster| cluster.admin.fence).max().unwrap_or_default();
    let mut hints = BTreeMap::new();
    let mut stores = BTreeMap::new();
    // Kastellan's own password is the one secret that looking may need.
    let own_password_in_store = documents.clusters.values().any(|cluster| {
        let password = cluster.admin.authentication.as_ref().and_then(AdminAuthentication::password);
        matches!(password, Some(PasswordSource::Store(_)))
    });
    let store_mode = if mode == Mode::Look && own_password_in_store { Mode::Open } else { mode };
    for (name, spec) in &documents.stores {
        let opened = open_store(name, spec, store_mode, fence + PERMIT, &surroundings).await;
        let seen = match opened {
            Ok(link) => Seen::Known(link),
            Err(ConnectError::Store { source, .. }) if mode == Mode::Look => {
                hints.extend(source.hint().map(|hint| (name.to_string(), hint)));
                Seen::unknown(Chain(&source))
            }
            Err(error) => return Err(error),
        };
        stores.insert(name.clone(), seen);
    }
    let opening = documents.clusters.iter().map(|(name, spec)| {
        let (stores, surroundings) = (&stores, &surroundings);
        async move { (name.clone(), open_cluster(spec, documents, stores, surroundings).await) }
    });
    let mut clusters = BTreeMap::new();
    for (name, opened) in join_all(opening).await {
        let seen = match opened {
            Ok(link) => Seen::Known(link),
            Err(unopened) => {
                hints.extend(unopened.hint.map(|hint| (name.to_string(), hint)));
                Seen::unknown(unopened.why)
            }
        };
        clusters.insert(name, seen);
    }
    let kubernetes = Arc::new(kubernetes(documents, &surroundings));
    let deliveries = Arc::new(Deliveries::new(machine_id(), surroundings.git(), kubernetes.clone()));
    Ok(Links { clusters, stores, deliveries, kubernetes, surroundings, hints })
}

/// The clients of Kubernetes APIs, whose programs that log in do not see the passwords in our environment.
pub(super) fn kubernetes(documents: &Documents, surroundings: &Surroundings) -> Kubernetes {
    Kubernetes::new(surroundings.kubeconfig()).hiding(secret_variables(documents))
}

/// The variables of our environment that documents take passwords from.
fn secret_variables(documents: &Documents) -> BTreeSet<String> {
    let logins = documents.clusters.values().filter_map(|cluster| cluster.admin.authentication.as_ref());
    let passwords = logins.filter_map(AdminAuthentication::password);
    let variables = passwords.filter_map(|password| match password {
        PasswordSource::Env(name) => Some(name.to_string()),
        PasswordSource::File(_) | PasswordSource::Store(_) => None,
    });
    variables.collect()
}

/// An id that no other machine has; not secret. Without `/etc/machine-id`, the host's name has to do.
fn machine_id() -> String {
    let read = |path| std::fs::read_to_string(path).ok().map(|text| text.trim().to_owned());
    let id = read("/etc/machine-id").filter(|id| !id.is_empty());
    id.or_else(|| read("/proc/sys/kernel/hostname")).unwrap_or_else(|| "unknown".to_owned())
}

async fn open_store(
    name: &StoreName,
    spec: &CredentialStoreSpec,
    mode: Mode,
    fence: std::time::Duration,
    surroundings: &Surroundings,
) -> Result<StoreLink, ConnectError> {
    let settings =
        StoreSettings::of_document(name, spec, |path| surroundings.resolve(path)).map_err(ConnectError::Path)?;
    let machine = MachineState { markers: surroundings.store_markers.clone() };
    let failed = |source| ConnectError::Store { name: name.clone(), source };
    let store = match mode {
        Mode::Look | Mode::Open => None,
        Mode::Change => Some(store::open_for_writing(&settings, &machine).await.map_err(failed)?),
        Mode::TakeOver => {
            let wait = Box::pin(async move {
                let seconds = fence.as_secs();
                tracing::warn!(
                    "the store is a copy: waiting {seconds} s, until no request of the other copy can be on its way"
                );
                tokio::time::sleep(fence).await;
            });
            Some(store::take_over(&settings, &machine, wait).await.map_err(failed)?)
        }
    };
    let secrets: Option<Arc<dyn SecretReader>> = match &store {
        Some(store) => Some(store.clone()),
        None if mode == Mode::Look => None,
        None => Some(store::open_secrets(&settings).await.map_err(failed)?),
    };
    let reader: Arc<dyn StoreReader> = match &secrets {
        Some(secrets) => secrets.clone(),
        None => store::open_for_reading(&settings).await.map_err(failed)?,
    };
    Ok(StoreLink { reader, secrets, store })
}

/// Why a cluster is not open.
struct Unopened {
    why: String,
    hint: Option<Hint>,
}

impl Unopened {
    fn new(why: impl Into<String>) -> Self {
        Self { why: why.into(), hint: None }
    }

    fn kafka(error: &KafkaError) -> Self {
        Self { why: Chain(error).to_string(), hint: error.hint() }
    }
}

async fn open_cluster(
    spec: &KafkaClusterSpec,
    documents: &Documents,
    stores: &BTreeMap<StoreName, Seen<StoreLink>>,
    surroundings: &Surroundings,
) -> Result<ClusterLink, Unopened> {
    let endpoint = admin_endpoint(spec, documents, stores, surroundings).await?;
    let admin = Admin::connect(endpoint, Deadlines::default()).await.map_err(|error| Unopened::kafka(&error))?;
    let logins = if spec.clients.verify_logins {
        let endpoint = ClientsEndpoint {
            bootstrap: host_ports(&spec.clients.bootstrap_servers),
            tls: tls_settings(spec.clients.tls.as_ref(), None, surroundings)?,
            client_id: CLIENT_ID.to_owned(),
        };
        let id = admin.cluster().id.clone();
        let logins = Logins::discover(endpoint, spec.clients.mechanisms.clone(), id, Deadlines::default()).await;
        Some(logins.map_err(|error| {
            let unopened = Unopened::kafka(&error);
            Unopened { why: format!("the clients' listener: {}", unopened.why), hint: unopened.hint }
        })?)
    } else {
        None
    };
    Ok(ClusterLink { admin, logins, mechanisms: spec.clients.mechanisms.clone() })
}

const CLIENT_ID: &str = "kastellan";

async fn admin_endpoint(
    spec: &KafkaClusterSpec,
    documents: &Documents,
    stores: &BTreeMap<StoreName, Seen<StoreLink>>,
    surroundings: &Surroundings,
) -> Result<Endpoint, Unopened> {
    let mut certificate = None;
    let authentication = match &spec.admin.authentication {
        None => Authentication::None,
        Some(AdminAuthentication::Scram { mechanism, username, password }) => Authentication::Scram {
            mechanism: *mechanism,
            username: username.clone(),
            password: fetch_password(password, documents, stores, surroundings).await?,
        },
        Some(AdminAuthentication::Plain { username, password }) => Authentication::Plain {
            username: username.clone(),
            password: fetch_password(password, documents, stores, surroundings).await?,
        },
        Some(AdminAuthentication::Tls { certificate_file, key_file }) => {
            let key_pem = Arc::new(Secret::new(read_file(key_file, surroundings)?));
            let certificate_pem = read_file(certificate_file, surroundings)?;
            certificate = Some(ClientCertificate { certificate_pem, key_pem });
            Authentication::None
        }
    };
    Ok(Endpoint {
        bootstrap: host_ports(&spec.admin.bootstrap_servers),
        tls: tls_settings(spec.admin.tls.as_ref(), certificate, surroundings)?,
        authentication,
        client_id: CLIENT_ID.to_owned(),
    })
}

fn host_ports(servers: &BootstrapServers) -> Vec<HostPort> {
    servers.0.iter().map(|server| HostPort { host: server.host.as_str().into(), port: server.port }).collect()
}

fn tls_settings(
    spec: Option<&TlsSpec>,
    client: Option<ClientCertificate>,
    surroundings: &Surroundings,
) -> Result<Option<TlsSettings>, Unopened> {
    let Some(spec) = spec else { return Ok(None) };
    Ok(Some(TlsSettings { ca_pem: read_file(&spec.ca_file, surroundings)?, server_name: None, client }))
}

fn read_file(path: &FilePath, surroundings: &Surroundings) -> Result<Vec<u8>, Unopened> {
    let resolved = surroundings.resolve(path).map_err(Unopened::new)?;
    std::fs::read(&resolved).map_err(|error| Unopened::new(format!("failed to read `{path}`: {error}")))
}

async fn fetch_password(
    source: &PasswordSource,
    documents: &Documents,
    stores: &BTreeMap<StoreName, Seen<StoreLink>>,
    surroundings: &Surroundings,
) -> Result<Arc<Secret>, Unopened> {
    match source {
        PasswordSource::Env(name) => match (surroundings.variable)(name) {
            Some(password) => Ok(Arc::new(Secret::from_text(password))),
            None => Err(Unopened {
                why: format!("the admin password's variable `{name}` is not set"),
                hint: Some(format!("set `{name}` in the environment of this command")),
            }),
        },
        PasswordSource::File(path) => {
            let mut bytes = read_file(path, surroundings)?;
            while bytes.last().is_some_and(|byte| matches!(byte, b'\n' | b'\r')) {
                bytes.pop();
            }
            Ok(Arc::new(Secret::new(bytes)))
        }
        PasswordSource::Store(value) => {
            let names = documents.stores.keys().collect::<BTreeSet<_>>();
            let only = names.first().filter(|_| names.len() == 1);
            let Some(Seen::Known(link)) = only.and_then(|name| stores.get(*name)) else {
                return Err(Unopened::new(
                    "the admin password is in the store, and there is not exactly one store open",
                ));
            };
            let Some(secrets) = &link.secrets else {
                return Err(Unopened::new("the admin password is in the store, which is not open for secrets"));
            };
            match secrets.read_input(&value.path.to_string(), &value.key).await {
                Ok(Some((password, _))) => Ok(Arc::new(password)),
                Ok(None) => Err(Unopened {
                    why: format!("the store holds no `{}` at `{}`", value.key, value.path),
                    hint: Some("write it with `kastellan store put`".to_owned()),
                }),
                Err(error) => Err(Unopened { why: Chain(&error).to_string(), hint: error.hint() }),
            }
        }
    }
}
