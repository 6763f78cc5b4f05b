//! Secrets as they travel: what is asked for, and what is found.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::{Deserialize, Deserializer};
use zeroize::Zeroizing;

use super::{ANNOTATION_PREFIX, FIELD_MANAGER};
use crate::names::Segment;
use crate::secret::Secret;

/// Which object, and which state of it. Neither is secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectVersion {
    /// `metadata.uid`.
    pub uid: String,
    /// `metadata.resourceVersion`.
    pub resource_version: String,
}

/// Who else has a hand in an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Keeper {
    /// It owns it, and mostly controls it, e.g. "SealedSecret `payments`".
    Controller(String),
    /// Another field manager wrote its data last, e.g. `kubectl-create`.
    Manager(String),
}

impl std::fmt::Display for Keeper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Controller(owner) => f.write_str(owner),
            Self::Manager(manager) => write!(f, "field manager `{manager}`"),
        }
    }
}

/// A Secret without its data.
#[derive(Debug, Clone)]
pub struct SecretMeta {
    /// Name.
    pub name: String,
    /// Which state was seen.
    pub version: ObjectVersion,
    /// Our own annotations, by their whole keys.
    pub annotations: BTreeMap<String, String>,
    /// The controller that owns it.
    pub controller: Option<String>,
    /// Other owners: it goes with the last of them.
    pub owners: Vec<String>,
    /// The other field managers that have data in it, the last one to write first.
    pub other_managers: Vec<String>,
}

impl SecretMeta {
    /// Who else has a hand in it, the controller first; `None` if nobody says so.
    pub fn keeper(&self) -> Option<Keeper> {
        let controller = self.controller.clone().map(Keeper::Controller);
        controller.or_else(|| self.other_managers.first().cloned().map(Keeper::Manager))
    }

    /// Everybody else who has a hand in it, as far as it tells: owners, then field managers.
    pub fn keepers(&self) -> Vec<Keeper> {
        let owners = self.controller.iter().chain(&self.owners).cloned().map(Keeper::Controller);
        owners.chain(self.other_managers.iter().cloned().map(Keeper::Manager)).collect()
    }
}

/// A whole Secret.
#[derive(Debug)]
pub struct WholeSecret {
    /// What a list would tell of it.
    pub meta: SecretMeta,
    /// `type`.
    pub kind: String,
    /// Whether its data can never change.
    pub immutable: bool,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Annotations, those of `kubectl apply` left out: they repeat the data.
    pub annotations: BTreeMap<String, String>,
    /// Data.
    pub data: BTreeMap<String, Secret>,
}

/// A Secret as we want it: the fields that are ours, and no others.
#[derive(Debug)]
pub struct Manifest {
    /// Namespace.
    pub namespace: Segment,
    /// Name.
    pub name: Segment,
    /// `type`.
    pub kind: &'static str,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Annotations.
    pub annotations: BTreeMap<String, String>,
    /// Data.
    pub data: BTreeMap<String, Secret>,
}

impl Manifest {
    /// The body of a server-side apply. JSON is YAML.
    pub(super) fn body(&self, uid: Option<&str>, resource_version: &str) -> Vec<u8> {
        let encoded = |value: &Secret| Zeroizing::new(BASE64_STANDARD.encode(value.expose()));
        let data = self.data.iter().map(|(key, value)| (key, encoded(value))).collect::<BTreeMap<_, _>>();
        let texts = [&self.labels, &self.annotations].into_iter().flatten();
        let size = texts.map(|(key, value)| key.len() + 6 * value.len() + 8).sum::<usize>()
            + data.iter().map(|(key, value)| key.len() + value.len() + 8).sum::<usize>();
        /// More than everything that is not a key or a value.
        const FRAME: usize = 2048;
        let mut body = Vec::with_capacity(size + FRAME);
        let document = serde_json::json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {
                "namespace": self.namespace,
                "name": self.name,
                "labels": self.labels,
                "annotations": self.annotations,
                "resourceVersion": resource_version,
            },
            "type": self.kind,
        });
        let mut document = document;
        if let Some(uid) = uid {
            document["metadata"]["uid"] = uid.into();
        }
        let head = serde_json::to_string(&document).expect("texts become JSON");
        // The data is put in by hand, so that no copy of it is left in a tree of values.
        body.extend_from_slice(head.strip_suffix('}').expect("it is an object").as_bytes());
        body.extend_from_slice(b",\"data\":{");
        for (index, (key, value)) in data.iter().enumerate() {
            if index > 0 {
                body.push(b',');
            }
            body.extend_from_slice(serde_json::to_string(key).expect("texts become JSON").as_bytes());
            body.extend_from_slice(b":\"");
            body.extend_from_slice(value.as_bytes());
            body.push(b'"');
        }
        body.extend_from_slice(b"}}");
        body
    }
}

/// `metadata` of `PartialObjectMetadata` and of a whole Secret.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct WireMeta {
    name: String,
    uid: String,
    resource_version: String,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    annotations: Annotations,
    #[serde(default)]
    owner_references: Vec<OwnerReference>,
    #[serde(default)]
    managed_fields: Vec<ManagedFields>,
}

/// Annotations without the one in which `kubectl apply` keeps the data.
#[derive(Default)]
struct Annotations(BTreeMap<String, String>);

const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

impl<'de> Deserialize<'de> for Annotations {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut all = BTreeMap::<String, String>::deserialize(deserializer)?;
        drop(all.remove(LAST_APPLIED).map(Zeroizing::new));
        Ok(Self(all))
    }
}

#[derive(Deserialize)]
struct OwnerReference {
    kind: String,
    name: String,
    #[serde(default)]
    controller: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ManagedFields {
    #[serde(default)]
    manager: String,
    #[serde(default)]
    time: String,
    #[serde(default)]
    fields_v1: Fields,
}

#[derive(Deserialize, Default)]
struct Fields {
    #[serde(rename = "f:data")]
    data: Option<serde::de::IgnoredAny>,
}

impl WireMeta {
    pub fn of_list(self) -> SecretMeta {
        let mut annotations = self.annotations.0;
        annotations.retain(|key, _| key.starts_with(ANNOTATION_PREFIX));
        let called = |owner: &OwnerReference| format!("{} `{}`", owner.kind, owner.name);
        let controller = self.owner_references.iter().find(|owner| owner.controller).map(called);
        let owners = self.owner_references.iter().filter(|owner| !owner.controller).map(called).collect();
        let mut others = self.managed_fields;
        others.retain(|fields| fields.fields_v1.data.is_some() && fields.manager != FIELD_MANAGER);
        // RFC 3339 in UTC sorts as text.
        others.sort_by(|one, other| other.time.cmp(&one.time));
        let mut other_managers = Vec::new();
        for ManagedFields { manager, .. } in others {
            if !other_managers.contains(&manager) {
                other_managers.push(manager);
            }
        }
        SecretMeta {
            name: self.name,
            version: ObjectVersion { uid: self.uid, resource_version: self.resource_version },
            annotations,
            controller,
            owners,
            other_managers,
        }
    }
}

/// One object of a `PartialObjectMetadata` answer.
#[derive(Deserialize)]
pub(super) struct WirePartial {
    pub metadata: WireMeta,
}

/// A page of a list.
#[derive(Deserialize)]
pub(super) struct WireList {
    pub metadata: WireListMeta,
    /// `null` where there are none.
    pub items: Option<Vec<WirePartial>>,
}

/// Where the next page begins.
#[derive(Deserialize)]
pub(super) struct WireListMeta {
    #[serde(default, rename = "continue")]
    pub next: String,
}

/// A whole Secret.
#[derive(Deserialize)]
pub(super) struct WireSecret {
    metadata: WireMeta,
    #[serde(default, rename = "type")]
    kind: String,
    #[serde(default)]
    immutable: bool,
    #[serde(default)]
    data: BTreeMap<String, Decoded>,
}

struct Decoded(Secret);

impl<'de> Deserialize<'de> for Decoded {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Zeroizing::new(String::deserialize(deserializer)?);
        // The decoder's own words would quote what it read.
        let bytes = BASE64_STANDARD.decode(text.as_bytes()).map_err(|_| serde::de::Error::custom("not base64"))?;
        Ok(Self(Secret::new(bytes)))
    }
}

impl WireSecret {
    pub fn whole(mut self) -> WholeSecret {
        let labels = std::mem::take(&mut self.metadata.labels);
        let annotations = self.metadata.annotations.0.clone();
        WholeSecret {
            meta: self.metadata.of_list(),
            kind: self.kind,
            immutable: self.immutable,
            labels,
            annotations,
            data: self.data.into_iter().map(|(key, value)| (key, value.0)).collect(),
        }
    }
}
