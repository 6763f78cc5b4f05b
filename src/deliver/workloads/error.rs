//! What can go wrong with one workload.

use crate::diagnostic::{Disposition, Hint};
use crate::k8s::{K8sError, Refusal};
use crate::spec::Workload;

/// Why a workload was not restarted, or could not be seen.
#[derive(Debug, thiserror::Error)]
pub enum WorkloadError {
    /// It was made anew each time it was about to be restarted.
    #[error("{workload} was made anew again and again meanwhile")]
    Unsettled {
        /// Which.
        workload: Workload,
    },
    /// It does not say which pods are its own.
    #[error("{workload} has no selector that its pods can be found by")]
    NoSelector {
        /// Which.
        workload: Workload,
    },
    /// It is looked for in another cluster than the Secret that it reads was written to.
    #[error(
        "{workload} is not looked for: there is another Kubernetes cluster (`{found}`) than the Secret was delivered to (`{recorded}`)"
    )]
    OtherCluster {
        /// Which.
        workload: Workload,
        /// The id of the cluster that the Secret was written to.
        recorded: String,
        /// The id of the one that is there.
        found: String,
    },
    /// The API was not asked, or did not do it.
    #[error("failed to {what} {workload}")]
    Api {
        /// What was tried: "look at", "look at the pods of" or "restart".
        what: &'static str,
        /// Which.
        workload: Workload,
        /// Why not.
        #[source]
        source: K8sError,
    },
}

impl WorkloadError {
    /// Whose turn it is.
    pub fn disposition(&self) -> Disposition {
        match self {
            Self::Unsettled { .. } => Disposition::Retry,
            Self::NoSelector { .. } | Self::OtherCluster { .. } => Disposition::Stall,
            Self::Api { source, .. } => source.disposition(),
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<Hint> {
        match self {
            Self::Unsettled { .. } => Some("look who makes it anew".to_owned()),
            Self::NoSelector { .. } => Some("take it out of `restart`, and restart it by other means".to_owned()),
            Self::OtherCluster { .. } => None,
            Self::Api { source, .. } => match source.refusal() {
                // The general word is about namespaces to deliver to.
                Some(Refusal::NoNamespace { .. }) => Some("take it out of `restart`".to_owned()),
                _ => source.hint(),
            },
        }
    }
}
