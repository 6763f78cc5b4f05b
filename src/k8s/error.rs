//! What can go wrong with the Kubernetes API.

use std::path::PathBuf;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use crate::diagnostic::{Disposition, Hint};

/// Why the Kubernetes API was not asked, or did not do it.
#[derive(Debug, Clone, thiserror::Error)]
pub enum K8sError {
    /// There is neither a kubeconfig nor a cluster around us.
    #[error("there is no kubeconfig, and this is no pod of a cluster")]
    NoConfiguration,
    /// The kubeconfig has no such context.
    #[error("the kubeconfig has no context `{context}`")]
    NoContext {
        /// As the document names it.
        context: String,
    },
    /// The kubeconfig cannot be read.
    #[error("failed to read the kubeconfig `{}`", .path.display())]
    KubeconfigFile {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: Arc<std::io::Error>,
    },
    /// A file that the login is made of cannot be read, e.g. a service account's token.
    #[error("failed to read `{}`, which the login needs", .path.display())]
    LoginFile {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: Arc<std::io::Error>,
    },
    /// The kubeconfig is malformed, or refers to something that is not there.
    #[error("the kubeconfig `{}` is malformed, or what it refers to is missing", .path.display())]
    Kubeconfig {
        /// The file, or the first of several.
        path: PathBuf,
    },
    /// The configuration cannot be used.
    #[error("{what}")]
    Configuration {
        /// What is wrong.
        what: &'static str,
    },
    /// The login that the kubeconfig describes failed.
    #[error("the login that the kubeconfig describes failed")]
    Login,
    /// The program that the kubeconfig logs in by gave no login.
    #[error("the login program `{program}` of the kubeconfig gave no login")]
    LoginProgram {
        /// As the kubeconfig names it.
        program: String,
        /// Why not.
        #[source]
        source: ProgramFailure,
    },
    /// Nobody answered.
    #[error("the Kubernetes API cannot be reached")]
    Unreachable {
        /// Why not.
        #[source]
        source: Arc<dyn std::error::Error + Send + Sync>,
    },
    /// No whole answer in time.
    #[error("the Kubernetes API did not answer within {patience:?}")]
    Silent {
        /// How long we waited.
        patience: Duration,
    },
    /// The answer is not what the API promises.
    #[error("the Kubernetes API answered nonsense (status {status})")]
    Nonsense {
        /// HTTP status.
        status: u16,
    },
    /// The API refused.
    #[error("{0}")]
    Refused(Refusal),
}

/// What became of a login program. What it printed is not repeated: it may be a token.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ProgramFailure {
    /// It could not be started.
    #[error("it cannot be started")]
    Start(#[source] Arc<std::io::Error>),
    /// It failed.
    #[error("{0}")]
    Failed(ExitStatus),
    /// It did not come to an end.
    #[error("it did not end within {0:?}, and was stopped")]
    Hangs(Duration),
    /// What it printed is no credential.
    #[error("it printed no ExecCredential with a token or a certificate")]
    Nonsense,
    /// What it printed is of no use any more.
    #[error("it printed an ExecCredential that has expired")]
    Expired,
    /// It wants to ask a person.
    #[error("it is to ask a person (`interactiveMode: Always`), and nobody is asked here")]
    Interactive,
}

/// Why the API refused, from its status and the names in its answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// 401.
    #[error("the Kubernetes API does not accept our login (status 401)")]
    Unauthenticated,
    /// 403 by RBAC.
    #[error("Kastellan has no right to `{verb}` it")]
    Unauthorized {
        /// The verb, as RBAC names it.
        verb: &'static str,
    },
    /// 404 on the namespace.
    #[error("there is no namespace `{namespace}`")]
    NoNamespace {
        /// The namespace.
        namespace: String,
    },
    /// The namespace is being deleted.
    #[error("the namespace is being deleted")]
    NamespaceEnds,
    /// A ResourceQuota is used up.
    #[error("the quota `{quota}` of the namespace is used up")]
    Quota {
        /// Its name.
        quota: String,
    },
    /// An admission webhook or policy said no.
    #[error("the admission check `{by}` refused it")]
    Admission {
        /// Its name; "?" if the answer does not tell.
        by: String,
    },
    /// 409: it is not what the request was conditional on.
    #[error("it was changed meanwhile (status 409)")]
    Conflict,
    /// 422, with the fields the API complains about.
    #[error("the API finds {} invalid (status 422)", if .fields.is_empty() { "it".to_owned() } else { .fields.join(", ") })]
    Invalid {
        /// Paths of fields, e.g. `type`.
        fields: Vec<String>,
    },
    /// Too many requests, or the server has trouble of its own.
    #[error("the Kubernetes API is busy or in trouble (status {status})")]
    Busy {
        /// HTTP status.
        status: u16,
    },
    /// Anything else.
    #[error("the Kubernetes API refused it (status {status})")]
    Other {
        /// HTTP status.
        status: u16,
    },
}

impl K8sError {
    /// Whose turn it is.
    pub fn disposition(&self) -> Disposition {
        match self {
            Self::Unreachable { .. } | Self::Silent { .. } | Self::Login | Self::LoginProgram { .. } => {
                Disposition::Wait
            }
            Self::Refused(refusal) => refusal.disposition(),
            Self::NoConfiguration
            | Self::NoContext { .. }
            | Self::KubeconfigFile { .. }
            | Self::LoginFile { .. }
            | Self::Kubeconfig { .. }
            | Self::Configuration { .. }
            | Self::Nonsense { .. } => Disposition::Stall,
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<Hint> {
        match self {
            Self::NoConfiguration => Some("set KUBECONFIG, or run in a pod with a service account".to_owned()),
            Self::NoContext { .. } => Some(
                "list its contexts with `kubectl config get-contexts`; KUBECONFIG says which file is read".to_owned(),
            ),
            Self::LoginProgram { source: ProgramFailure::Interactive, .. } => {
                Some("use a kubeconfig that logs in without anybody: a token file, or a service account".to_owned())
            }
            Self::Login | Self::LoginProgram { .. } => {
                Some("run `kubectl get --raw /version` with the same context to see why".to_owned())
            }
            Self::LoginFile { .. } => Some(
                "give this user the right to read it; in a pod, mount its service account (`automountServiceAccountToken`)"
                    .to_owned(),
            ),
            Self::Refused(refusal) => refusal.hint(),
            Self::KubeconfigFile { .. }
            | Self::Kubeconfig { .. }
            | Self::Configuration { .. }
            | Self::Unreachable { .. }
            | Self::Silent { .. }
            | Self::Nonsense { .. } => None,
        }
    }

    /// The refusal, if it is one.
    pub fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::Refused(refusal) => Some(refusal),
            Self::NoConfiguration
            | Self::NoContext { .. }
            | Self::KubeconfigFile { .. }
            | Self::LoginFile { .. }
            | Self::Kubeconfig { .. }
            | Self::Configuration { .. }
            | Self::Login
            | Self::LoginProgram { .. }
            | Self::Unreachable { .. }
            | Self::Silent { .. }
            | Self::Nonsense { .. } => None,
        }
    }
}

impl Refusal {
    /// Whose turn it is.
    pub fn disposition(&self) -> Disposition {
        match self {
            Self::Conflict => Disposition::Retry,
            Self::Busy { .. } => Disposition::Wait,
            Self::Unauthenticated
            | Self::Unauthorized { .. }
            | Self::NoNamespace { .. }
            | Self::NamespaceEnds
            | Self::Quota { .. }
            | Self::Admission { .. }
            | Self::Invalid { .. }
            | Self::Other { .. } => Disposition::Stall,
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<Hint> {
        match self {
            Self::Unauthorized { .. } => Some(
                "`kastellan policy kubernetes` prints the rights it needs; somebody who may give them applies it"
                    .to_owned(),
            ),
            Self::NoNamespace { namespace } => {
                Some(format!("create it (`kubectl create namespace {namespace}`), or deliver to another one"))
            }
            Self::Quota { .. } => Some("ask for a larger quota, or remove Secrets that nobody needs".to_owned()),
            Self::Admission { .. } => Some("ask whoever runs that check what it wants".to_owned()),
            Self::Unauthenticated
            | Self::NamespaceEnds
            | Self::Conflict
            | Self::Invalid { .. }
            | Self::Busy { .. }
            | Self::Other { .. } => None,
        }
    }
}
