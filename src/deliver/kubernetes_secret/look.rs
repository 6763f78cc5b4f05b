//! Looks at many Secrets in few requests, without their data.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::StreamExt as _;
use futures_util::stream;

use super::AT_ONCE;
use crate::k8s::{Cluster, K8sError, Kubernetes, Refusal, SecretMeta};
use crate::names::Segment;
use crate::spec::SecretPlace;

/// From this many Secrets of one namespace on, one list takes less than a look at each. A list tells of strangers'
/// Secrets too, and takes a right that a look does not.
pub const LIST_FROM: usize = 4;

type ByPlace = BTreeMap<SecretPlace, Found>;

/// What stands at one place.
#[derive(Clone)]
pub(super) struct Looked {
    /// `None` for a Secret that is not there.
    pub meta: Option<SecretMeta>,
    /// Which cluster that is; `None` where we may not know.
    pub cluster_id: Option<String>,
}

pub(super) type Found = Result<Looked, K8sError>;

/// What is found at each place, in the order given.
pub(super) async fn look_all(kubernetes: &Kubernetes, places: &[&SecretPlace]) -> Vec<Found> {
    let mut folders: BTreeMap<(Option<&str>, &Segment), BTreeSet<&SecretPlace>> = BTreeMap::new();
    for &place in places {
        folders.entry((place.context.as_deref(), &place.namespace)).or_default().insert(place);
    }
    let looks = folders.into_iter().map(|((context, namespace), places)| async move {
        match kubernetes.cluster(context).await {
            Ok(cluster) => match cluster.id().await {
                Ok(id) => look_into(&cluster, id, namespace, &places).await,
                Err(error) => same(&places, error),
            },
            Err(error) => same(&places, error),
        }
    });
    let found = stream::iter(looks).buffer_unordered(AT_ONCE).collect::<Vec<_>>().await;
    let found = found.into_iter().flatten().collect::<ByPlace>();
    places.iter().map(|place| found.get(place).cloned().expect("every place was looked at")).collect()
}

async fn look_into(
    cluster: &Cluster,
    id: Option<&str>,
    namespace: &Segment,
    places: &BTreeSet<&SecretPlace>,
) -> ByPlace {
    let looked = |meta| Looked { meta, cluster_id: id.map(str::to_owned) };
    if places.len() >= LIST_FROM {
        match cluster.list(namespace).await {
            Ok(all) => {
                let mut all = all.into_iter().map(|meta| (meta.name.clone(), meta)).collect::<BTreeMap<_, _>>();
                let mut found = |place: &SecretPlace| looked(all.remove(place.name.as_str()));
                return places.iter().map(|&place| (place.clone(), Ok(found(place)))).collect();
            }
            // Whoever may see some Secrets alone has no right to list.
            Err(K8sError::Refused(Refusal::Unauthorized { .. })) => {}
            Err(error) => return same(places, error),
        }
    }
    let looks = places
        .iter()
        .map(|&place| async move { (place.clone(), cluster.look(&place.namespace, &place.name).await.map(looked)) });
    stream::iter(looks).buffer_unordered(AT_ONCE).collect().await
}

fn same(places: &BTreeSet<&SecretPlace>, error: K8sError) -> ByPlace {
    places.iter().map(|&place| (place.clone(), Err(error.clone()))).collect()
}
