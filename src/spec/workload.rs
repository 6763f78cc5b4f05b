//! Workloads of Kubernetes that a delivery to a Secret restarts.

use super::fields::Fields;
use super::grammar::{Field, Object, Shape, list_of};
use super::reader::Reader;
use super::secret_delivery::{SecretPlace, is_subdomain};
use super::text::NAME;
use crate::diagnostic::Finding;
use crate::names::Segment;

/// A workload that is restarted, and whose rollout can be waited for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Workload {
    /// Context of the kubeconfig; `None`: the current one, or the cluster that Kastellan runs in.
    pub context: Option<String>,
    /// Its namespace, which is the Secret's: no pod can mount one of another.
    pub namespace: Segment,
    /// What it is.
    pub kind: WorkloadKind,
    /// Its name, e.g. `payments`.
    pub name: Segment,
}

/// Kinds of workloads that roll out by themselves when their pods' template changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum WorkloadKind {
    /// `apps/v1` Deployment.
    Deployment,
    /// `apps/v1` StatefulSet.
    StatefulSet,
}

impl WorkloadKind {
    /// All kinds.
    pub const ALL: [Self; 2] = [Self::Deployment, Self::StatefulSet];

    /// `kind` in Kubernetes.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Deployment => "Deployment",
            Self::StatefulSet => "StatefulSet",
        }
    }

    /// As paths of the API and RBAC name it.
    pub const fn plural(self) -> &'static str {
        match self {
            Self::Deployment => "deployments",
            Self::StatefulSet => "statefulsets",
        }
    }

    /// The list in documents.
    const fn field(self) -> &'static str {
        match self {
            Self::Deployment => "deployments",
            Self::StatefulSet => "statefulSets",
        }
    }
}

impl std::fmt::Display for Workload {
    /// For people, e.g. "Deployment `payments/api`", with the context and a colon before the namespace where there is one.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} `", self.kind.as_str())?;
        if let Some(context) = &self.context {
            write!(f, "{context}:")?;
        }
        write!(f, "{}/{}`", self.namespace, self.name)
    }
}

/// `restart` of a delivery to a Secret.
pub(super) static RESTART: Object = Object::new(
    "What is restarted by a rotation, once the Secret holds the new credential.",
    &[
        Field::optional("deployments", "Names of Deployments in the Secret's namespace.", list_of(&NAME)),
        Field::optional("statefulSets", "Names of StatefulSets in the Secret's namespace.", list_of(&NAME)),
        Field::optional(
            "reloader",
            "`true`: leaves restarts to Reloader, by its `match` annotation on the Secret; Kastellan does not see them.",
            Shape::Switch,
        ),
    ],
);

/// The annotation by which Reloader restarts workloads that search for it.
const RELOADER_MATCH: &str = "reloader.stakater.com/match";

/// Reads `restart`: the workloads, sorted, and the annotation that Reloader wants, if it is to do it.
pub(super) fn read(
    reader: &mut Reader<'_, '_>,
    secret: Fields<'_, '_>,
    place: &SecretPlace,
) -> (Vec<Workload>, Option<(String, String)>) {
    let Some(fields) = secret.fields("restart") else { return (Vec::new(), None) };
    let mut workloads = std::collections::BTreeSet::new();
    for kind in WorkloadKind::ALL {
        for item in fields.items(kind.field()) {
            let Some(name) = item.text().and_then(|text| Segment::interned(text, reader.interner).ok()) else {
                continue;
            };
            if !is_subdomain(name.as_str()) {
                let message = format!("`{name}` cannot be the name of a {}", kind.as_str());
                let hint = "1 to 253 lower-case letters, digits, `-` and `.`, with a letter or digit at both ends";
                reader.find(item.place, Finding::error("wrong-value", message).hint(hint));
            }
            let (context, namespace) = (place.context.clone(), place.namespace.clone());
            workloads.insert(Workload { context, namespace, kind, name });
        }
    }
    let by_reloader = fields.switch("reloader") == Some(true);
    let annotation = by_reloader.then(|| (RELOADER_MATCH.to_owned(), "true".to_owned()));
    (workloads.into_iter().collect(), annotation)
}
