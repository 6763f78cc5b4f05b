//! Workloads: their pods' template, their status, and the pods they have.
//!
//! Of a workload and of its pods only what a rollout is told by is kept; their environments may hold secrets.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::Method;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::cluster::{Call, Extent, encoded, get, present};
use super::{Cluster, K8sError};
use crate::names::Segment;
use crate::spec::Workload;

/// Pods in one page of a list.
const PAGE: usize = 500;
/// Pages of one list; no workload has fifty thousand pods.
const PAGES_MAX: usize = 100;

/// An annotation of pods, and who it belongs to in `managedFields`. One manager has one annotation and no other field: what
/// it does not name any more, a server-side apply takes away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Marker {
    /// Key of the annotation.
    pub key: String,
    /// Field manager.
    pub manager: String,
}

/// A workload without what its containers are.
#[derive(Debug, Clone)]
pub struct WorkloadObject {
    /// `metadata.uid`.
    pub uid: String,
    /// Annotations of its pods' template.
    pub template: BTreeMap<String, String>,
    /// Whether its controller has seen the newest state of it.
    pub is_observed: bool,
    /// Replicas asked for.
    pub wanted: u32,
    /// Replicas that there are, those that are ending left out.
    pub total: u32,
    /// Replicas of the newest template.
    pub updated: u32,
    /// Replicas that are ready and available.
    pub available: u32,
    /// Why its controller does not go on: `Paused`, or the reason of a `Progressing` condition that is `False`.
    pub stalled: Option<String>,
    /// Selects its pods; `None` for a workload that has no selector.
    pub selector: Option<String>,
}

impl Cluster {
    /// One workload; `None` if there is none.
    pub async fn workload(&self, workload: &Workload) -> Result<Option<WorkloadObject>, K8sError> {
        let found = self.call::<WireWorkload>(get("get", path(workload), Extent::Whole)).await;
        Ok(present(found)?.map(WireWorkload::object))
    }

    /// Sets one annotation in the pods' template of a workload, as a field of its own manager: whatever restarts or
    /// reverts anything else of it leaves that alone.
    ///
    /// # Guarantees
    /// Nothing happens unless the workload is still the one of `uid`; otherwise the refusal is
    /// [`super::Refusal::Conflict`]. The same value again changes nothing.
    pub async fn mark(&self, workload: &Workload, uid: &str, marker: &Marker, value: &str) -> Result<(), K8sError> {
        let body = serde_json::json!({
            "apiVersion": "apps/v1",
            "kind": workload.kind.as_str(),
            "metadata": {"namespace": workload.namespace, "name": workload.name, "uid": uid},
            "spec": {"template": {"metadata": {"annotations": {(&marker.key): value}}}},
        });
        let body = Bytes::from(serde_json::to_vec(&body).expect("texts become JSON"));
        let call = Call {
            method: Method::PATCH,
            verb: "patch",
            path: format!("{}?fieldManager={}&force=true", path(workload), encoded(&marker.manager)),
            extent: Extent::Metadata,
            body: Some(("application/apply-patch+yaml", body)),
        };
        self.call::<IgnoredAny>(call).await.map(drop)
    }

    /// How many pods a selector finds by one of their annotations. Pods that are ending count, those that have ended do not.
    pub async fn count_pods(
        &self,
        namespace: &Segment,
        selector: &str,
        key: &str,
    ) -> Result<BTreeMap<Option<String>, u32>, K8sError> {
        let mut counted = BTreeMap::new();
        let mut next = String::new();
        for _ in 0..PAGES_MAX {
            let path = format!(
                "/api/v1/namespaces/{}/pods?limit={PAGE}&labelSelector={}&fieldSelector={}&continue={}",
                namespace.encoded(),
                encoded(selector),
                encoded("status.phase!=Succeeded,status.phase!=Failed"),
                encoded(&next)
            );
            let page: WirePods = self.call(get("list", path, Extent::MetadataList)).await?;
            for pod in page.items.into_iter().flatten() {
                let mut annotations = pod.metadata.annotations.unwrap_or_default();
                *counted.entry(annotations.remove(key)).or_default() += 1;
            }
            next = page.metadata.next.unwrap_or_default();
            if next.is_empty() {
                return Ok(counted);
            }
        }
        Err(K8sError::Nonsense { status: 200 })
    }
}

fn path(workload: &Workload) -> String {
    let Workload { namespace, kind, name, .. } = workload;
    format!("/apis/apps/v1/namespaces/{}/{}/{}", namespace.encoded(), kind.plural(), name.encoded())
}

#[derive(Deserialize)]
struct WirePods {
    metadata: WirePage,
    items: Option<Vec<WirePod>>,
}

#[derive(Deserialize)]
struct WirePage {
    #[serde(default, rename = "continue")]
    next: Option<String>,
}

#[derive(Deserialize)]
struct WirePod {
    metadata: WireTemplateMeta,
}

#[derive(Deserialize, Default)]
struct WireTemplateMeta {
    annotations: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize)]
struct WireWorkload {
    metadata: WireMeta,
    spec: WireSpec,
    #[serde(default)]
    status: WireStatus,
}

#[derive(Deserialize)]
struct WireMeta {
    uid: String,
    #[serde(default)]
    generation: i64,
}

#[derive(Deserialize)]
struct WireSpec {
    /// The API fills in 1 where nobody says.
    replicas: Option<u32>,
    #[serde(default)]
    paused: bool,
    selector: Option<WireSelector>,
    template: WireTemplate,
}

#[derive(Deserialize)]
struct WireTemplate {
    #[serde(default)]
    metadata: WireTemplateMeta,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireSelector {
    match_labels: Option<BTreeMap<String, String>>,
    match_expressions: Option<Vec<WireExpression>>,
}

#[derive(Deserialize)]
struct WireExpression {
    key: String,
    operator: String,
    values: Option<Vec<String>>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct WireStatus {
    observed_generation: i64,
    replicas: u32,
    updated_replicas: u32,
    ready_replicas: u32,
    available_replicas: u32,
    conditions: Option<Vec<WireCondition>>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct WireCondition {
    #[serde(rename = "type")]
    kind: String,
    status: String,
    reason: String,
}

impl WireWorkload {
    fn object(self) -> WorkloadObject {
        let Self { metadata, spec, status } = self;
        let halted = status.conditions.into_iter().flatten();
        let halted = halted.filter(|condition| condition.kind == "Progressing" && condition.status == "False");
        // A reason is one word by its definition; anything else is somebody's prose.
        let is_word = |text: &str| text.len() <= 64 && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
        let reason = halted.map(|condition| condition.reason).find(|reason| is_word(reason));
        WorkloadObject {
            uid: metadata.uid,
            template: spec.template.metadata.annotations.unwrap_or_default(),
            is_observed: status.observed_generation >= metadata.generation,
            wanted: spec.replicas.unwrap_or(1),
            total: status.replicas,
            updated: status.updated_replicas,
            available: status.available_replicas.min(status.ready_replicas),
            stalled: if spec.paused { Some("Paused".to_owned()) } else { reason },
            selector: spec.selector.and_then(|selector| selector.text()),
        }
    }
}

impl WireSelector {
    /// As lists take it; `None` if it selects nothing in particular, or by an operator that is not known.
    fn text(self) -> Option<String> {
        let labels = self.match_labels.into_iter().flatten().map(|(key, value)| Some(format!("{key}={value}")));
        let expressions = self.match_expressions.into_iter().flatten().map(|expression| {
            let WireExpression { key, operator, values } = expression;
            let values = values.unwrap_or_default().join(",");
            Some(match operator.as_str() {
                "In" => format!("{key} in ({values})"),
                "NotIn" => format!("{key} notin ({values})"),
                "Exists" => key,
                "DoesNotExist" => format!("!{key}"),
                _ => return None,
            })
        });
        let parts = labels.chain(expressions).collect::<Option<Vec<_>>>()?;
        (!parts.is_empty()).then(|| parts.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_workload_is_read_without_what_its_containers_are() {
        let found: WireWorkload = serde_json::from_value(serde_json::json!({
            "metadata": {"uid": "u", "generation": 4},
            "spec": {
                "replicas": 3,
                "selector": {
                    "matchLabels": {"app": "api"},
                    "matchExpressions": [
                        {"key": "tier", "operator": "In", "values": ["a", "b"]}, {"key": "canary", "operator": "DoesNotExist"},
                    ],
                },
                "template": {"metadata": {"annotations": {"k": "v"}}, "spec": {"containers": [{"env": "secret"}]}},
            },
            "status": {
                "observedGeneration": 3, "replicas": 4, "updatedReplicas": 2, "readyReplicas": 3, "availableReplicas": 2,
                "conditions": [{"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}],
            },
        }))
        .unwrap();
        let found = found.object();
        assert_eq!(found.selector.as_deref(), Some("app=api,tier in (a,b),!canary"));
        assert_eq!((found.wanted, found.total, found.updated, found.available), (3, 4, 2, 2));
        assert_eq!((found.is_observed, found.stalled.as_deref()), (false, Some("ProgressDeadlineExceeded")));
    }
}
