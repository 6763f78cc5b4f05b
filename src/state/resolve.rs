//! Resolves documents into what is desired.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Desired, DesiredCluster, DesiredDelivery, DesiredUser};
use crate::credential::{Connection, Wanted, WantedAuthentication};
use crate::names::{ClusterName, Mechanism, NamespacedName, Scope};
use crate::spec::{self, Documents, KafkaClusterSpec, KafkaUserSpec};

/// How a pass was asked for, as far as it changes what is desired.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// The scope the documents belong to.
    pub scope: Scope,
    /// Users that may take over what exists in Kafka, beside those whose documents say so.
    pub adopt: BTreeSet<NamespacedName>,
}

/// Makes [`Desired`] of documents that were checked. `ca_pems` holds the CA of each cluster's clients' listener that names
/// one.
pub fn resolve(documents: &Documents, selection: &Selection, ca_pems: &BTreeMap<ClusterName, Arc<str>>) -> Desired {
    let clusters = documents.clusters.iter().map(|(name, spec)| {
        let ca_pem = ca_pems.get(name).cloned();
        (name.clone(), resolve_cluster(spec, ca_pem))
    });
    let users = documents.users.iter().map(|(user, spec)| {
        let adopts = spec.adopt || selection.adopt.contains(user);
        (user.clone(), resolve_user(spec, documents, &selection.scope, adopts))
    });
    Desired { scope: selection.scope.clone(), clusters: clusters.collect(), users: users.collect() }
}

fn resolve_cluster(spec: &KafkaClusterSpec, ca_pem: Option<Arc<str>>) -> DesiredCluster {
    let security_protocol = if spec.clients.tls.is_some() { "SASL_SSL" } else { "SASL_PLAINTEXT" };
    let connection = Connection {
        bootstrap_servers: spec.clients.bootstrap_servers.to_string(),
        security_protocol: security_protocol.to_owned(),
        ca_pem,
    };
    DesiredCluster {
        suspend: spec.suspend,
        mechanisms: spec.clients.mechanisms.clone(),
        connection_digest: digest_of(&connection),
        connection,
        verify_logins: spec.clients.verify_logins,
        fence: spec.admin.fence,
        admin: spec.admin.authentication.as_ref().and_then(|login| login.username()).cloned(),
    }
}

/// Characters of a connection's digest that are kept: nobody gains by making two that agree, and every record repeats it.
const CONNECTION_DIGEST_CHARACTERS: usize = 16;

fn digest_of(connection: &Connection) -> Arc<str> {
    let text = serde_json::to_vec(connection).expect("a connection is made of texts");
    let digest = ring::digest::digest(&ring::digest::SHA256, &text);
    let hex = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    hex[..CONNECTION_DIGEST_CHARACTERS].into()
}

fn resolve_user(spec: &KafkaUserSpec, documents: &Documents, scope: &Scope, adopt: bool) -> DesiredUser {
    let authentication = match &spec.authentication {
        spec::Authentication::External => WantedAuthentication::External,
        spec::Authentication::Scram(scram) => WantedAuthentication::Scram {
            mechanisms: allowed_mechanisms(spec, scram.mechanism, documents),
            iterations: scram.iterations,
            length: scram.password_length,
            given: scram.given.as_ref().map(|given| (given.path.to_string(), given.key.clone())),
        },
    };
    let deliveries = spec.deliver.iter().map(|delivery| {
        let (cluster, target) = (delivery.cluster.clone(), delivery.target.clone());
        (delivery.name.clone(), DesiredDelivery { cluster, target })
    });
    DesiredUser {
        location: spec.location.clone(),
        store: spec.store.clone(),
        wanted: Arc::new(Wanted {
            scope: scope.clone(),
            username: spec.username.clone(),
            clusters: spec.clusters.clone(),
            authentication,
            rotation: spec.rotation.clone(),
            restarts: spec.deliver.iter().any(|delivery| !delivery.target.restarts().is_empty()),
            adopt,
            deletion_policy: spec.deletion_policy,
            moved_from: spec.moved_from.as_ref().map(|from| from.to_string().into()),
        }),
        suspend: spec.suspend,
        rules: spec.authorization.clone(),
        quotas: spec.quotas,
        deliveries: deliveries.collect(),
    }
}

/// The mechanisms a user may use: those of its document that every one of its clusters offers, in the order of its first
/// cluster. The documents' checks leave at least one.
fn allowed_mechanisms(spec: &KafkaUserSpec, choice: spec::MechanismChoice, documents: &Documents) -> Vec<Mechanism> {
    let offered = |name: &ClusterName| documents.clusters.get(name).map(|cluster| &cluster.clients.mechanisms);
    let first = spec.clusters.first().and_then(offered).cloned().unwrap_or_default();
    let everywhere = first
        .into_iter()
        .filter(|mechanism| spec.clusters.iter().filter_map(offered).all(|mechanisms| mechanisms.contains(mechanism)));
    match choice {
        spec::MechanismChoice::Any => everywhere.collect(),
        spec::MechanismChoice::One(one) => everywhere.filter(|mechanism| *mechanism == one).collect(),
    }
}
