//! Deliveries to Kubernetes Secrets.
//!
//! A Secret belongs to Kastellan if its annotations say so for the same user ([`stamp`]), and no controller owns it; any
//! other is left alone unless the delivery says `adopt: true` and the plan told whose it is. What stands in it beside our own fields stays.
//!
//! ```text
//! observe    metadata of a namespace in one list ──> uid and resourceVersion as the record has them? in step
//! deliver    apply, on condition of what the record has ──refused──> read, judge, apply on condition of what was read (R4)
//! withdraw   look, judge ──> delete, or give our fields up where somebody else has data in it
//! ```
//!
//! What was written to one cluster is neither written to nor looked for in another one: a context may come to mean another
//! cluster, where every Secret would look absent, and be made anew. A person accepts such a cluster by its id.

mod error;
mod look;
mod stamp;

pub use error::SecretError;
pub use look::LIST_FROM;

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::StreamExt as _;
use futures_util::stream;

use self::look::{Found, Looked, look_all};
use self::stamp::{Ours, judge};
use super::{Delivery, DeliveryError, DeliveryFact, DeliveryRequest, Shipment, Strangers, Target, Withdrawal};
use crate::credential::DeliveryRecord;
use crate::k8s::{
    Cluster, Condition, K8sError, Kubernetes, Manifest, ObjectVersion, OtherCluster, Refusal, SecretMeta, WholeSecret,
};
use crate::names::{Generation, NamespacedName, RotationId};
use crate::render::{
    Delivered, can_carry_in_secret, read_back_secret, render_secret, secret_inputs_digest, secret_type,
};
use crate::spec::{SecretDelivery, SecretPlace};

/// Deliveries under way at once. How many requests are is `k8s`' to bound.
const AT_ONCE: usize = 32;

/// How often a Secret is read and written again that others change meanwhile.
const ROUNDS_MAX: usize = 4;

/// What the record keeps of a written Secret.
const UID: &str = "uid";
const RESOURCE_VERSION: &str = "resource_version";
/// [`Cluster::id`] of where it was written; left out where that is not known.
const CLUSTER_ID: &str = "cluster_id";

/// Delivers to Kubernetes Secrets.
#[derive(Debug)]
pub struct KubernetesSecretDelivery {
    kubernetes: Arc<Kubernetes>,
}

type Results<T> = Vec<Result<T, DeliveryError>>;

impl KubernetesSecretDelivery {
    pub(super) const KIND: &'static str = "kubernetesSecret";

    /// Delivers to the clusters of `kubernetes`.
    pub fn new(kubernetes: Arc<Kubernetes>) -> Self {
        Self { kubernetes }
    }

    async fn cluster(&self, place: &SecretPlace, what: &'static str) -> Result<Arc<Cluster>, SecretError> {
        self.kubernetes.cluster(place.context.as_deref()).await.map_err(api(what, place))
    }

    /// Refuses a cluster that is not the one that the record names, unless a person accepts it.
    fn check_cluster(
        &self,
        place: &SecretPlace,
        recorded: Option<&DeliveryRecord>,
        id: Option<&str>,
    ) -> Result<(), SecretError> {
        let recorded = recorded.and_then(|recorded| recorded_cluster_id(recorded, place.context.as_deref()));
        match self.kubernetes.other_cluster(recorded, id) {
            None => Ok(()),
            Some(OtherCluster { recorded, found }) => {
                Err(SecretError::OtherCluster { place: place.clone(), recorded, found })
            }
        }
    }

    async fn ship(&self, shipment: &Shipment) -> Result<DeliveryRecord, DeliveryError> {
        let Shipment { request, credential } = shipment;
        let secret = secret_target(&request.target);
        let data = render_secret(secret.format, &secret.keys, &request.user, credential, &request.connection);
        let identity = (credential.generation, credential.rotation_id.clone());
        let digest = digest(request, &identity);
        let mut annotations = secret.annotations.clone();
        annotations.extend(stamp::annotations(&request.user, &identity, &digest));
        let mut labels = secret.labels.clone();
        labels.insert(stamp::MANAGED_BY.to_owned(), stamp::MANAGER.to_owned());
        let manifest = Manifest {
            namespace: secret.place.namespace.clone(),
            name: secret.place.name.clone(),
            kind: secret_type(secret.format),
            labels,
            annotations,
            data: data.map_err(DeliveryError::Render)?,
        };
        let cluster = self.cluster(&secret.place, "write").await?;
        let id = cluster.id().await.map_err(api("look at", &secret.place))?;
        self.check_cluster(&secret.place, request.recorded.as_ref(), id)?;
        let version = self.settle(&cluster, request, credential.generation, &manifest).await?;
        // The same object is in the same cluster, whether we may still see which that is or not.
        let before = recorded(request).filter(|recorded| recorded.written.get(UID) == Some(&version.uid));
        let id = id.or_else(|| before?.written.get(CLUSTER_ID).map(String::as_str)).map(str::to_owned);
        let written = [(UID, version.uid), (RESOURCE_VERSION, version.resource_version)];
        let written = written.into_iter().chain(id.map(|id| (CLUSTER_ID, id)));
        Ok(DeliveryRecord {
            kind: Self::KIND.to_owned(),
            target: request.target.text(),
            digest,
            written: written.map(|(key, value)| (key.to_owned(), value)).collect(),
        })
    }

    /// Brings a Secret to what `manifest` says, and tells which version does. The record's word is tried first: where it
    /// still holds, nothing has to be read.
    async fn settle(
        &self,
        cluster: &Cluster,
        request: &DeliveryRequest,
        newest: Generation,
        manifest: &Manifest,
    ) -> Result<ObjectVersion, DeliveryError> {
        let secret = secret_target(&request.target);
        let place = &secret.place;
        let mut condition = recorded_version(request).map_or(Condition::Absent, Condition::Is);
        let mut judged = false;
        for _ in 0..ROUNDS_MAX {
            let refused = match cluster.apply(manifest, &condition).await {
                Ok(meta) => return Ok(meta.version),
                Err(error) => error,
            };
            match refused.refusal() {
                Some(Refusal::Conflict) => {}
                // What is invalid in it is easier told from what stands there.
                Some(Refusal::Invalid { .. }) if !judged => {}
                _ => return Err(api("write", place)(refused).into()),
            }
            let found = cluster.read(&place.namespace, &place.name).await.map_err(api("read", place))?;
            condition = match found {
                None => Condition::Absent,
                Some(found) => {
                    admit(request, newest, &found.meta)?;
                    if holds(&found, manifest) {
                        return Ok(found.meta.version);
                    }
                    changeable(place, manifest, &found)?;
                    Condition::Is(found.meta.version)
                }
            };
            judged = true;
        }
        Err(SecretError::Unsettled { place: place.clone() }.into())
    }

    async fn withdraw_one(&self, withdrawal: &Withdrawal) -> Result<(), DeliveryError> {
        let target = &withdrawal.recorded.target;
        let place = SecretPlace::parse(target).ok_or_else(|| SecretError::Place { target: target.clone() })?;
        let cluster = self.cluster(&place, "remove").await?;
        let id = cluster.id().await.map_err(api("look at", &place))?;
        self.check_cluster(&place, Some(&withdrawal.recorded), id)?;
        for _ in 0..ROUNDS_MAX {
            let found = cluster.look(&place.namespace, &place.name).await.map_err(api("look at", &place))?;
            let Some(meta) = found else { return Ok(()) };
            match judge(&place, &withdrawal.user, withdrawal.newest, &meta)? {
                Ours::Stamped => {}
                Ours::Not(keeper) => return Err(SecretError::Foreign { place, keeper }.into()),
            }
            let gone = if !meta.other_managers.is_empty() {
                self.give_up(&cluster, &place, &meta).await
            } else {
                cluster.delete(&place.namespace, &place.name, &meta.version).await
            };
            match gone {
                Ok(()) => return Ok(()),
                Err(K8sError::Refused(Refusal::Conflict)) => {}
                Err(error) => return Err(api("remove", &place)(error).into()),
            }
        }
        Err(SecretError::Unsettled { place }.into())
    }

    fn fact(&self, request: &DeliveryRequest, found: Found) -> DeliveryFact {
        let secret = secret_target(&request.target);
        if let Err(error) = can_carry_in_secret(&request.connection) {
            return DeliveryFact::Blocked(DeliveryError::Render(error));
        }
        let Looked { meta, cluster_id } = match found {
            Ok(looked) => looked,
            Err(error) => return DeliveryFact::Unknown(api("look at", &secret.place)(error).into()),
        };
        if let Err(error) = self.check_cluster(&secret.place, request.recorded.as_ref(), cluster_id.as_deref()) {
            return DeliveryFact::Blocked(error.into());
        }
        let Some(meta) = meta else { return DeliveryFact::Missing };
        // A first generation is at least 1.
        let newest = request.published.as_ref().map_or(Generation::NONE.next(), |(generation, _)| *generation);
        let untouched = recorded_version(request).is_some_and(|version| version == meta.version);
        if !untouched {
            match judge(&secret.place, &request.user, newest, &meta) {
                Ok(Ours::Stamped) => {}
                Ok(Ours::Not(_)) if secret.adopt => {
                    let keepers = meta.keepers().iter().map(ToString::to_string).collect();
                    return DeliveryFact::Adoptable { keepers };
                }
                Ok(Ours::Not(keeper)) => {
                    return DeliveryFact::Blocked(SecretError::Foreign { place: secret.place.clone(), keeper }.into());
                }
                Err(error) => return DeliveryFact::Blocked(error),
            }
        }
        let in_date = match (recorded(request), &request.published) {
            (Some(recorded), Some(published)) => recorded.digest == digest(request, published),
            // Nobody knows what it was made of: compare.
            (None, _) => true,
            (Some(_), None) => false,
        };
        match (in_date, untouched) {
            (true, true) => DeliveryFact::InStep,
            (true, false) => DeliveryFact::Touched,
            (false, _) => DeliveryFact::Outdated,
        }
    }

    /// Takes our fields out of a Secret in which somebody else has data: an adopted one, or one that others add keys to.
    async fn give_up(&self, cluster: &Cluster, place: &SecretPlace, meta: &SecretMeta) -> Result<(), K8sError> {
        let Some(whole) = cluster.read(&place.namespace, &place.name).await? else { return Ok(()) };
        // A type cannot be given up: without it the API would set another one, and refuse it.
        let kind = if whole.kind == "Opaque" { "Opaque" } else { "servicebinding.io/kafka" };
        let manifest = Manifest {
            namespace: place.namespace.clone(),
            name: place.name.clone(),
            kind,
            labels: BTreeMap::new(),
            annotations: BTreeMap::new(),
            data: BTreeMap::new(),
        };
        cluster.apply(&manifest, &Condition::Is(meta.version.clone())).await.map(drop)
    }

    async fn read_back_one(&self, user: &NamespacedName, target: &Target) -> Result<Delivered, DeliveryError> {
        let secret = secret_target(target);
        let place = &secret.place;
        let cluster = self.cluster(place, "read").await?;
        let found = cluster.read(&place.namespace, &place.name).await.map_err(api("read", place))?;
        let not_whole = || DeliveryError::NotWhole { target: target.text(), format: secret.format.as_str() };
        let found = found.ok_or_else(not_whole)?;
        // Whatever its generation, it is only read.
        match judge(place, user, Generation(u64::MAX), &found.meta)? {
            Ours::Stamped => {}
            Ours::Not(keeper) => return Err(SecretError::Foreign { place: place.clone(), keeper }.into()),
        }
        let stamp = stamp::read(&found.meta.annotations).ok_or_else(not_whole)?;
        read_back_secret(secret.format, &secret.keys, stamp, &found.data).ok_or_else(not_whole)
    }
}

impl Delivery for KubernetesSecretDelivery {
    fn kind(&self) -> &'static str {
        Self::KIND
    }

    fn observe(&self, requests: &[DeliveryRequest]) -> Vec<DeliveryFact> {
        let places = requests.iter().map(|request| &secret_target(&request.target).place).collect::<Vec<_>>();
        let found = block_on(look_all(&self.kubernetes, &places));
        requests.iter().zip(found).map(|(request, found)| self.fact(request, found)).collect()
    }

    fn deliver(&self, shipments: &[Shipment]) -> Results<DeliveryRecord> {
        block_on(stream::iter(shipments.iter().map(|shipment| self.ship(shipment))).buffered(AT_ONCE).collect())
    }

    fn read_back(&self, user: &NamespacedName, target: &Target) -> Result<Delivered, DeliveryError> {
        block_on(self.read_back_one(user, target))
    }

    fn withdraw(&self, withdrawals: &[Withdrawal]) -> Results<()> {
        let all = withdrawals.iter().map(|withdrawal| self.withdraw_one(withdrawal));
        block_on(stream::iter(all).buffered(AT_ONCE).collect())
    }
}

/// Waits for requests on a thread that may block; connections belong to the runtime that the engine runs on.
fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Handle::current().block_on(work)
}

fn api(what: &'static str, place: &SecretPlace) -> impl FnOnce(K8sError) -> SecretError {
    move |source| SecretError::Api { what, place: place.clone(), source }
}

fn secret_target(target: &Target) -> &SecretDelivery {
    match target {
        Target::KubernetesSecret(secret) => secret,
        Target::File(_) => unreachable!("the registry sends files elsewhere"),
    }
}

fn digest(request: &DeliveryRequest, (generation, rotation_id): &(Generation, RotationId)) -> String {
    let secret = secret_target(&request.target);
    let identity = (*generation, rotation_id);
    secret_inputs_digest(&request.user, identity, secret, &request.connection).as_str().to_owned()
}

/// What the record says of this very place; `None` where nothing was written there yet, as far as it knows.
fn recorded(request: &DeliveryRequest) -> Option<&DeliveryRecord> {
    request.recorded.as_ref().filter(|recorded| recorded.target == request.target.text())
}

/// The cluster that a context meant when a delivery was written there, by [`Cluster::id`]; `None` where that is not known.
pub fn recorded_cluster_id<'r>(recorded: &'r DeliveryRecord, context: Option<&str>) -> Option<&'r str> {
    let id = recorded.written.get(CLUSTER_ID).filter(|_| recorded.kind == KubernetesSecretDelivery::KIND)?;
    SecretPlace::parse(&recorded.target).filter(|place| place.context.as_deref() == context).map(|_| id.as_str())
}

fn recorded_version(request: &DeliveryRequest) -> Option<ObjectVersion> {
    let recorded = recorded(request)?;
    Some(ObjectVersion {
        uid: recorded.written.get(UID)?.clone(),
        resource_version: recorded.written.get(RESOURCE_VERSION)?.clone(),
    })
}

/// Refuses what may not be written over.
fn admit(request: &DeliveryRequest, newest: Generation, meta: &SecretMeta) -> Result<(), DeliveryError> {
    let secret = secret_target(&request.target);
    let place = || secret.place.clone();
    match (judge(&secret.place, &request.user, newest, meta)?, request.strangers) {
        (Ours::Stamped, _) => Ok(()),
        (Ours::Not(keeper), _) if !secret.adopt => Err(SecretError::Foreign { place: place(), keeper }.into()),
        (Ours::Not(_), Strangers::TakenOver) => Ok(()),
        (Ours::Not(keeper), Strangers::LeftAlone) => Err(SecretError::NotPlanned { place: place(), keeper }.into()),
    }
}

/// Refuses what the API never lets change, by its name.
fn changeable(place: &SecretPlace, manifest: &Manifest, found: &WholeSecret) -> Result<(), SecretError> {
    if found.kind != manifest.kind {
        let (place, found, wanted) = (place.clone(), found.kind.clone(), manifest.kind);
        return Err(SecretError::OtherType { place, found, wanted });
    }
    if found.immutable {
        return Err(SecretError::Immutable { place: place.clone() });
    }
    Ok(())
}

/// Whether everything of `manifest` stands in a Secret. The digest among the annotations tells that nothing of an older
/// form of it is left.
fn holds(found: &WholeSecret, manifest: &Manifest) -> bool {
    let texts = |found: &BTreeMap<String, String>, wanted: &BTreeMap<String, String>| {
        wanted.iter().all(|(key, value)| found.get(key) == Some(value))
    };
    let data = manifest.data.iter().all(|(key, value)| found.data.get(key).is_some_and(|found| found.ct_eq(value)));
    data && found.kind == manifest.kind
        && texts(&found.labels, &manifest.labels)
        && texts(&found.annotations, &manifest.annotations)
}
