//! A thin client of the Kubernetes API, for Secrets and for the workloads that mount them.
//!
//! ```text
//! kubeconfig (files, context) or the cluster around us ──> Kubernetes ──> Cluster, one for each context
//!                                                                            │ id            which cluster it is
//!                                                                            │ list, look    metadata alone: no secret is read
//!                                                                            │ read          one whole Secret
//!                                                                            │ apply         under our own field manager, conditionally
//!                                                                            ├ delete        conditionally
//!                                                                            ├ workload, count_pods   how far a rollout is
//!                                                                            └ mark          one annotation, by its own field manager
//! ```
//!
//! `kube` finds the configuration, logs in and carries the bytes; a login program is started here, because `kube` would wait
//! for it for ever, with our whole environment. Bodies are made and read here: its own types print
//! secrets in `Debug`, and it logs bodies that it cannot read. No error of this room holds a body: of what the API says
//! only names are taken, from places that are known to hold names.
//!
//! It knows nothing of users and credentials, and decides nothing.

mod answer;
mod cluster;
mod error;
mod login;
mod object;
mod policy;
mod program;
#[cfg(test)]
mod tests;
mod workload;

pub use cluster::{Cluster, Condition};
pub use error::{K8sError, ProgramFailure, Refusal};
pub use object::{Keeper, Manifest, ObjectVersion, SecretMeta, WholeSecret};
pub use policy::{
    Account, EXPLAINED_IDENTITY, Purpose, Rights, Sight, explained_verbs, explained_workload_verbs, identity_role, role,
};
pub use workload::{Marker, WorkloadObject};

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use kube::config::{Config, InClusterError, KubeConfigOptions, Kubeconfig};
use tokio::sync::Mutex;

use self::login::Logins;

/// Who we are in `managedFields`.
pub const FIELD_MANAGER: &str = "kastellan";

/// Our annotations begin with it; no others are kept from lists.
pub const ANNOTATION_PREFIX: &str = "kastellan.io/";

/// An API server that does not take a connection in this time is down for this pass.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A cluster, or why its configuration cannot be used.
type Opened = Result<Arc<Cluster>, K8sError>;

/// The API of every cluster that documents name, by the context of the kubeconfig. The default is the cluster that this
/// process runs in.
#[derive(Default)]
pub struct Kubernetes {
    kubeconfig: Vec<PathBuf>,
    /// Variables of our own environment that a login program does not get.
    hidden: Arc<BTreeSet<String>>,
    accepted: OnceLock<BTreeSet<String>>,
    /// Opened when they are first asked for.
    clusters: Mutex<BTreeMap<Option<String>, Opened>>,
    requests: Arc<AtomicU64>,
}

impl std::fmt::Debug for Kubernetes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kubernetes").field("kubeconfig", &self.kubeconfig).finish_non_exhaustive()
    }
}

/// A cluster in the place of the one that was used before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OtherCluster {
    /// The id of the one before.
    pub recorded: String,
    /// The id of the one that is there.
    pub found: String,
}

impl Kubernetes {
    /// `kubeconfig` is a list of files that are read together, as `KUBECONFIG` has them; empty: the cluster that this
    /// process runs in. Nothing is read or contacted yet.
    pub fn new(kubeconfig: Vec<PathBuf>) -> Self {
        Self { kubeconfig, ..Self::default() }
    }

    /// The same, where these variables of our environment hold secrets: programs that the kubeconfig starts do not get them.
    pub fn hiding(self, variables: BTreeSet<String>) -> Self {
        Self { hidden: Arc::new(variables), ..self }
    }

    /// Takes note of the clusters that a person wants to be used although something was written to other ones, by
    /// [`Cluster::id`]. What is accepted first counts.
    pub fn accept(&self, ids: BTreeSet<String>) {
        let _second = self.accepted.set(ids);
    }

    /// Compares the cluster that something was written to with the one that is there, by [`Cluster::id`]: another one, unless it
    /// was accepted, or one of both is not known.
    pub fn other_cluster(&self, recorded: Option<&str>, found: Option<&str>) -> Option<OtherCluster> {
        let (recorded, found) = (recorded?, found?);
        let is_accepted = || self.accepted.get().is_some_and(|ids| ids.contains(found));
        (recorded != found && !is_accepted())
            .then(|| OtherCluster { recorded: recorded.to_owned(), found: found.to_owned() })
    }

    /// How many requests were sent so far.
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// The cluster of a context; `None` is the current one, or the one around us.
    ///
    /// # Errors
    /// The configuration cannot be used. Nothing is contacted yet.
    pub async fn cluster(&self, context: Option<&str>) -> Result<Arc<Cluster>, K8sError> {
        let context = context.map(str::to_owned);
        let mut clusters = self.clusters.lock().await;
        if let Some(cluster) = clusters.get(&context) {
            return cluster.clone();
        }
        let opened = self.configuration(context.clone()).await.map(|config| {
            let logins = Logins::new(config, self.hidden.clone());
            Arc::new(Cluster::new(logins, self.requests.clone()))
        });
        clusters.insert(context, opened.clone());
        opened
    }

    async fn configuration(&self, context: Option<String>) -> Result<Config, K8sError> {
        let mut config = match self.kubeconfig.split_first() {
            Some((first, others)) => of_kubeconfig(first, others, context).await?,
            None => match context {
                Some(context) => return Err(K8sError::NoContext { context }),
                None => Config::incluster().map_err(no_pod)?,
            },
        };
        config.connect_timeout = Some(CONNECT_TIMEOUT);
        // Attempts are counted and bounded in one place, which is ours.
        config.default_retry = false;
        Ok(config)
    }
}

async fn of_kubeconfig(first: &PathBuf, others: &[PathBuf], context: Option<String>) -> Result<Config, K8sError> {
    let mut kubeconfig = read(first)?;
    for path in others {
        kubeconfig = kubeconfig.merge(read(path)?).map_err(|_| K8sError::Kubeconfig { path: path.clone() })?;
    }
    if let Some(context) = &context
        && !kubeconfig.contexts.iter().any(|known| known.name == *context)
    {
        return Err(K8sError::NoContext { context: context.clone() });
    }
    let options = KubeConfigOptions { context, cluster: None, user: None };
    let unusable = |_| K8sError::Kubeconfig { path: first.clone() };
    Config::from_custom_kubeconfig(kubeconfig, &options).await.map_err(unusable)
}

/// Why there is no configuration where a pod would have one.
fn no_pod(error: InClusterError) -> K8sError {
    const ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
    let unread = |name: &str, source| {
        let path = PathBuf::from(ACCOUNT).join(name);
        K8sError::LoginFile { path, source: Arc::new(source) }
    };
    match error {
        InClusterError::ReadEnvironmentVariable(_) => K8sError::NoConfiguration,
        InClusterError::ReadDefaultNamespace(source) => unread("namespace", source),
        InClusterError::ReadCertificateBundle(source) => unread("ca.crt", source),
        InClusterError::ParseClusterPort(_) | InClusterError::ParseClusterUrl(_) => K8sError::Configuration {
            what: "KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT, which a pod has, are no address",
        },
        InClusterError::ParseCertificates(_) => {
            K8sError::Configuration { what: "`ca.crt` of the pod's service account holds no certificates" }
        }
    }
}

/// Reads one file. What is wrong with it is not told in the parser's words: they quote a file that holds secrets.
fn read(path: &PathBuf) -> Result<Kubeconfig, K8sError> {
    Kubeconfig::read_from(path).map_err(|error| match error {
        kube::config::KubeconfigError::ReadConfig(source, _) => {
            K8sError::KubeconfigFile { path: path.clone(), source: Arc::new(source) }
        }
        _ => K8sError::Kubeconfig { path: path.clone() },
    })
}
