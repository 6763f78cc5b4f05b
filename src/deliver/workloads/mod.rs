//! Workloads that read a delivered credential at their start only: restarted by a marker in their pods' template, and
//! looked at until nothing runs with the old one.
//!
//! The marker is one annotation for each user, `restart.kastellan.io/<namespace>.<name>`, whose value is the identity of the
//! credential (R9). It has a field manager of its own: of two users who share a workload neither takes away the other's, and
//! an engine that applies manifests owns other fields. A marker that stands there already is not set again.

mod error;

pub use error::WorkloadError;

use std::sync::Arc;

use futures_util::StreamExt as _;
use futures_util::stream;

use crate::credential::WorkloadSeen;
use crate::k8s::{Cluster, K8sError, Kubernetes, Marker, OtherCluster, Refusal};
use crate::names::NamespacedName;
use crate::spec::Workload;

/// Workloads that are restarted or looked at side by side. How many requests are is `k8s`' to bound.
const AT_ONCE: usize = 32;

/// How often a workload is looked at again that is made anew just as it is restarted.
const ROUNDS_MAX: usize = 3;

/// One workload of one user.
pub type OfUser<'a> = (&'a NamespacedName, &'a Workload);

/// One that an old credential waits for.
#[derive(Debug, Clone, Copy)]
pub struct Awaited<'a> {
    /// Whose.
    pub user: &'a NamespacedName,
    /// Which.
    pub workload: &'a Workload,
    /// The cluster that the Secret was written to which it reads, where that is known. In another one a workload of the same
    /// name tells nothing.
    pub cluster_id: Option<&'a str>,
}

/// The workloads of every cluster that documents name.
#[derive(Debug, Clone)]
pub struct Workloads {
    kubernetes: Arc<Kubernetes>,
}

impl Workloads {
    /// Workloads in the clusters of `kubernetes`.
    pub fn new(kubernetes: Arc<Kubernetes>) -> Self {
        Self { kubernetes }
    }

    /// Sets each user's marker in each workload, where it does not stand yet. One that is not there needs none.
    ///
    /// # Guarantees
    /// Idempotent: the same marker again writes nothing, so nothing restarts twice for it.
    ///
    /// # Errors
    /// By workload, in the order given. The others are done.
    pub async fn restart(&self, due: &[(OfUser<'_>, &str)]) -> Vec<Result<(), WorkloadError>> {
        let all = due.iter().map(|&((user, workload), value)| self.restart_one(user, workload, value));
        stream::iter(all).buffered(AT_ONCE).collect().await
    }

    /// Looks at each workload and its pods; `None` for one that is not there.
    ///
    /// # Errors
    /// By workload, in the order given: it could not be seen.
    pub async fn look(&self, asked: &[Awaited<'_>]) -> Vec<Result<Option<WorkloadSeen>, WorkloadError>> {
        let all = asked.iter().map(|&awaited| self.look_at(awaited));
        stream::iter(all).buffered(AT_ONCE).collect().await
    }

    async fn cluster(&self, workload: &Workload, what: &'static str) -> Result<Arc<Cluster>, WorkloadError> {
        self.kubernetes.cluster(workload.context.as_deref()).await.map_err(api(what, workload))
    }

    async fn restart_one(&self, user: &NamespacedName, workload: &Workload, value: &str) -> Result<(), WorkloadError> {
        let cluster = self.cluster(workload, "restart").await?;
        let marker = marker(user);
        for _ in 0..ROUNDS_MAX {
            let found = cluster.workload(workload).await.map_err(api("look at", workload))?;
            let Some(found) = found else { return Ok(()) };
            if found.template.get(&marker.key).is_some_and(|standing| standing == value) {
                return Ok(());
            }
            match cluster.mark(workload, &found.uid, &marker, value).await {
                Ok(()) => return Ok(()),
                Err(K8sError::Refused(Refusal::Conflict)) => {}
                Err(error) => return Err(api("restart", workload)(error)),
            }
        }
        Err(WorkloadError::Unsettled { workload: workload.clone() })
    }

    async fn look_at(&self, awaited: Awaited<'_>) -> Result<Option<WorkloadSeen>, WorkloadError> {
        let Awaited { user, workload, cluster_id } = awaited;
        let cluster = self.cluster(workload, "look at").await?;
        let there = cluster.id().await.map_err(api("look at", workload))?;
        if let Some(OtherCluster { recorded, found }) = self.kubernetes.other_cluster(cluster_id, there) {
            return Err(WorkloadError::OtherCluster { workload: workload.clone(), recorded, found });
        }
        let found = cluster.workload(workload).await.map_err(api("look at", workload))?;
        let Some(mut found) = found else { return Ok(None) };
        let key = marker(user).key;
        // Its pods after its status: what is older than that is found.
        let selector =
            found.selector.as_ref().ok_or_else(|| WorkloadError::NoSelector { workload: workload.clone() })?;
        let pods = cluster.count_pods(&workload.namespace, selector, &key).await;
        Ok(Some(WorkloadSeen {
            marker: found.template.remove(&key),
            is_observed: found.is_observed,
            wanted: found.wanted,
            total: found.total,
            updated: found.updated,
            available: found.available,
            stalled: found.stalled,
            pods: pods.map_err(api("look at the pods of", workload))?,
        }))
    }
}

fn api(what: &'static str, workload: &Workload) -> impl FnOnce(K8sError) -> WorkloadError {
    move |source| WorkloadError::Api { what, workload: workload.clone(), source }
}

/// What markers begin with, as the domain of annotations.
const DOMAIN: &str = "restart.kastellan.io/";
/// What field managers of markers begin with.
const MANAGER: &str = "kastellan-restart-";
/// Longest name of an annotation after its domain.
const NAME_BYTES_MAX: usize = 63;

/// The annotation of a user, and who owns it.
fn marker(user: &NamespacedName) -> Marker {
    let readable = format!("{}.{}", user.namespace, user.name);
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let ends = [readable.bytes().next(), readable.bytes().last()];
    let is_name = readable.len() <= NAME_BYTES_MAX
        && readable.bytes().all(plain)
        && ends.iter().all(|end| end.is_some_and(|byte| byte.is_ascii_alphanumeric()))
        // With a dot in it, two users could be spelled alike.
        && !user.namespace.as_str().contains('.');
    let name = if is_name { readable } else { digest(&user.to_string()) };
    Marker { key: format!("{DOMAIN}{name}"), manager: format!("{MANAGER}{name}") }
}

/// Stands for a name that does not fit: 40 characters.
fn digest(text: &str) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, text.as_bytes());
    digest.as_ref()[..20].iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_user_has_an_annotation_and_a_manager_of_its_own() {
        let marker = |user: &str| super::marker(&user.parse().unwrap());
        assert_eq!(marker("payments/api").key, "restart.kastellan.io/payments.api");
        assert_eq!(marker("payments/api").manager, "kastellan-restart-payments.api");
        let dotted = [marker("a.b/c"), marker("a/b.c")];
        assert_ne!(dotted[0].key, dotted[1].key);
        let long = marker(&format!("payments/{}", "x".repeat(100)));
        assert_eq!(long.key.len(), DOMAIN.len() + 40);
        assert_eq!(marker("payments/odd name").key.len(), DOMAIN.len() + 40);
    }
}
