//! Checks across all documents: references, and claims that exclude each other.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;

use super::Documents;
use super::cluster::{ClusterDraft, KafkaClusterSpec};
use super::deliver::DeliveryTarget;
use super::kind::Drafts;
use super::nearest;
use super::password::PasswordSource;
use super::report::Report;
use super::rotation::{self, Circumstances, Rotated, RotationSpec, StatedRotation};
use super::secret_delivery::SecretPlace;
use super::source::{At, Place};
use super::store::{CredentialStoreSpec, StoreDraft};
use super::user::{Authentication, KafkaUserSpec, MechanismChoice, UserDraft};
use super::value::StoreValue;
use super::wording::list;
use crate::diagnostic::Finding;
use crate::names::{ClusterName, Mechanism, NamespacedName, Segment, StoreName, UserName};

/// Checks the drafts against each other and puts them together. What is wrong is in the report; a user whose store is not
/// known is left out.
pub(super) fn resolve(report: &mut Report<'_>, drafts: Drafts) -> Documents {
    let Drafts { stores, clusters, users, store_names, cluster_names, user_names, count: _, strimzi: _ } = drafts;
    drop(user_names);
    let store_inputs = inputs_places(&stores);
    let mut resolver = Resolver {
        report,
        stores: stores.into_iter().map(|draft| (draft.name, draft.spec)).collect(),
        clusters: BTreeMap::new(),
        store_names,
        cluster_names,
        store_inputs,
    };
    resolver.clusters(clusters);
    let users = resolver.users(users);
    Documents { stores: resolver.stores, clusters: resolver.clusters, users }
}

fn inputs_places(stores: &[StoreDraft]) -> BTreeMap<StoreName, Vec<At>> {
    stores.iter().map(|draft| (draft.name.clone(), draft.inputs.clone())).collect()
}

struct Resolver<'r, 's> {
    report: &'r mut Report<'s>,
    stores: BTreeMap<StoreName, CredentialStoreSpec>,
    clusters: BTreeMap<ClusterName, KafkaClusterSpec>,
    store_names: BTreeMap<StoreName, At>,
    cluster_names: BTreeMap<ClusterName, At>,
    store_inputs: BTreeMap<StoreName, Vec<At>>,
}

/// What exactly one user may have, with the first that has it.
#[derive(Default)]
struct Claims {
    /// Kafka user names, by cluster.
    names: HashMap<(ClusterName, UserName), At>,
    /// Files that are delivered to.
    files: HashMap<PathBuf, At>,
    /// Secrets that are delivered to. Two contexts may still be one cluster.
    secrets: HashMap<SecretPlace, At>,
    /// Namespaces of users, by store.
    namespaces: BTreeMap<(StoreName, Segment), At>,
}

impl Resolver<'_, '_> {
    fn clusters(&mut self, drafts: Vec<ClusterDraft>) {
        for ClusterDraft { name, spec, password } in drafts {
            let source = spec.admin.authentication.as_ref().and_then(|authentication| authentication.password());
            if let (Some(PasswordSource::Store(value)), Some(at)) = (source, password) {
                let value = value.clone();
                if let Some(store) = self.only_store(at, "take `env` or `file`, or keep one CredentialStore") {
                    self.given(at, &store, &value);
                }
            }
            self.clusters.insert(name, spec);
        }
    }

    fn users(&mut self, drafts: Vec<UserDraft>) -> BTreeMap<NamespacedName, KafkaUserSpec> {
        let mut claims = Claims::default();
        let mut users = Vec::with_capacity(drafts.len());
        for draft in drafts {
            self.cluster_references(&draft);
            let has_mechanism = self.mechanisms(&draft);
            let rotation = if has_mechanism { self.rotation(&draft) } else { None };
            let names = names(&draft, rotation.as_ref());
            self.claims(&mut claims, &draft, &names);
            self.protection(&draft, &names);
            let Some(store) = self.store(&draft) else { continue };
            if let Authentication::Scram(scram) = &draft.authentication
                && let Some(given) = &scram.given
            {
                self.given(draft.at(draft.places.given), &store, given);
            }
            let namespace = draft.identity.namespace.clone();
            claims.namespaces.entry((store.clone(), namespace)).or_insert(draft.at(draft.places.name));
            users.push(draft.finish(store, rotation));
        }
        self.inputs_are_no_namespaces(&claims);
        // Collected at once, because a map that grows in order is left with half-filled nodes.
        users.into_iter().collect()
    }

    fn cluster_references(&mut self, draft: &UserDraft) {
        for (cluster, place) in draft.clusters.iter().zip(&draft.places.clusters) {
            if !self.cluster_names.contains_key(cluster) {
                let mut finding = Finding::error("unknown-reference", format!("there is no KafkaCluster `{cluster}`"));
                finding.hint = nearest::hint(cluster.as_str(), self.cluster_names.keys().map(ClusterName::as_str));
                self.report.at(draft.at(*place), finding);
            }
        }
    }

    /// The store of a user, stated or the only one.
    fn store(&mut self, draft: &UserDraft) -> Option<StoreName> {
        let at = draft.at(draft.places.store);
        let Some(stated) = &draft.stated_store else {
            return self.only_store(at, "name it: `store: …`");
        };
        if self.store_names.contains_key(stated) {
            return Some(stated.clone());
        }
        let mut finding = Finding::error("unknown-reference", format!("there is no CredentialStore `{stated}`"));
        finding.hint = nearest::hint(stated.as_str(), self.store_names.keys().map(StoreName::as_str));
        self.report.at(at, finding);
        None
    }

    fn only_store(&mut self, at: At, remedy: &str) -> Option<StoreName> {
        let mut names = self.store_names.keys();
        match (names.next(), names.next()) {
            (Some(only), None) => Some(only.clone()),
            (None, _) => {
                let finding = Finding::error("unknown-reference", "there is no CredentialStore among the documents");
                self.report.at(at, finding.hint("add one: `kastellan init` writes it"));
                None
            }
            (Some(_), Some(_)) => {
                let message = format!(
                    "more than one CredentialStore could be meant: {}",
                    list(self.store_names.keys().map(StoreName::as_str))
                );
                self.report.at(at, Finding::error("ambiguous-store", message).hint(remedy));
                None
            }
        }
    }

    /// A value may come only from below the inputs of its store: otherwise whoever may open a pull request may read any
    /// secret that Kastellan can.
    fn given(&mut self, at: At, store: &StoreName, value: &StoreValue) {
        let Some(spec) = self.stores.get(store) else { return };
        if spec.inputs.iter().any(|input| value.path.is_below(input)) {
            return;
        }
        let message = format!("`{}` does not lie below the inputs of the store `{store}`", value.path);
        let hint = match spec.inputs.is_empty() {
            true => {
                "the store has none; a person who may read secrets there adds `inputs: [imports/]` to it".to_owned()
            }
            false => format!(
                "its inputs: {}",
                spec.inputs.iter().map(|input| format!("`{input}/`")).collect::<Vec<_>>().join(", ")
            ),
        };
        self.report.at(at, Finding::error("outside-inputs", message).hint(hint));
    }

    fn claims(&mut self, claims: &mut Claims, draft: &UserDraft, names: &[(&UserName, At)]) {
        for cluster in &draft.clusters {
            for (name, here) in names {
                let first = *claims.names.entry((cluster.clone(), (*name).clone())).or_insert(*here);
                // A second claim of the same document is a cluster that is listed twice, and has been reported.
                if first != *here {
                    let message = format!("the Kafka user `{name}` on `{cluster}` is claimed twice");
                    self.second(*here, first, "duplicate-user", message);
                }
            }
        }
        for (delivery, place) in draft.deliver.iter().zip(&draft.places.deliver) {
            let here = draft.at(*place);
            let (first, what) = match &delivery.target {
                DeliveryTarget::File(file) => {
                    let first = *claims.files.entry(file.path.normal()).or_insert(here);
                    (first, format!("file `{}`", file.path))
                }
                DeliveryTarget::KubernetesSecret(secret) => {
                    let first = *claims.secrets.entry(secret.place.clone()).or_insert(here);
                    (first, format!("Secret `{}`", secret.place))
                }
            };
            if first != here {
                self.second(here, first, "duplicate-delivery", format!("two deliveries go to the {what}"));
            }
        }
    }

    fn second(&mut self, here: At, first: At, code: &'static str, message: String) {
        let first = self.report.source(first.source).location(first.place);
        self.report.at(here, Finding::error(code, format!("{message}; first at {first}")));
    }

    fn protection(&mut self, draft: &UserDraft, names: &[(&UserName, At)]) {
        let clusters = draft.clusters.iter().flat_map(|cluster| names.iter().map(move |name| (cluster, name)));
        for (cluster, (name, at)) in clusters {
            let Some(spec) = self.clusters.get(cluster) else { continue };
            let Some(message) = spec.protection_of(cluster, name) else { continue };
            self.report.at(*at, Finding::error("protected-user", message).hint("no document may name it"));
        }
    }

    /// Every cluster of a user must offer its mechanism, or one that the others offer too. Answers whether they do.
    fn mechanisms(&mut self, draft: &UserDraft) -> bool {
        let Authentication::Scram(scram) = &draft.authentication else { return true };
        let offers = |cluster: &ClusterName| self.clusters.get(cluster).map(|spec| spec.clients.mechanisms.as_slice());
        let offered_everywhere = |mechanism: &Mechanism| {
            draft.clusters.iter().all(|cluster| offers(cluster).is_none_or(|offered| offered.contains(mechanism)))
        };
        let message = match scram.mechanism {
            MechanismChoice::Any if Mechanism::ALL.iter().any(offered_everywhere) => return true,
            MechanismChoice::Any => "the clusters of this user have no SCRAM mechanism in common".to_owned(),
            MechanismChoice::One(mechanism) if offered_everywhere(&mechanism) => return true,
            MechanismChoice::One(mechanism) => format!("not every cluster of this user offers `{mechanism}`"),
        };
        let offers: Vec<String> = draft
            .clusters
            .iter()
            .filter_map(|cluster| {
                let names: Vec<&str> = offers(cluster)?.iter().map(|mechanism| mechanism.as_str()).collect();
                Some(format!("`{cluster}` offers {}", list(names)))
            })
            .collect();
        let finding = Finding::error("mechanism-not-offered", message);
        let hint = format!("{} (`spec.clients.mechanisms`)", offers.join("; "));
        self.report.at(draft.at(draft.places.authentication), finding.hint(hint));
        false
    }

    /// How a user's credential rotates; `None` if nobody says anything of rotation, or something is wrong.
    fn rotation(&mut self, draft: &UserDraft) -> Option<RotationSpec> {
        let Authentication::Scram(scram) = &draft.authentication else { return None };
        let specs = draft.clusters.iter().map(|name| Some((name, self.clusters.get(name)?)));
        // Where a cluster is not known, or wrong, its defaults are not known either: one mistake is not two.
        let specs = specs.collect::<Option<Vec<_>>>()?;
        let defaults: Vec<_> = specs.iter().map(|(name, spec)| (*name, &spec.defaults.rotation)).collect();
        let stated = draft.rotation.as_ref().map(|rotation| &rotation.stated);
        let nothing = StatedRotation::default();
        let merged = match rotation::merge(stated.unwrap_or(&nothing), &defaults) {
            Ok(merged) if stated.is_none() && merged == nothing => return None,
            Ok(merged) => merged,
            Err(conflicts) => {
                let at = draft.at(draft.rotation_place(rotation::Part::Whole));
                conflicts.into_iter().for_each(|finding| self.report.at(at, finding));
                return None;
            }
        };
        let circumstances = Circumstances {
            fixed: match scram.mechanism {
                MechanismChoice::Any => None,
                MechanismChoice::One(mechanism) => Some(mechanism),
            },
            offers: specs.iter().map(|(name, spec)| (*name, spec.clients.mechanisms.as_slice())).collect(),
            clients_read_mechanism: merged.clients_read_mechanism,
            allow_downtime: merged.allow_downtime == Some(true),
            manages_acls: draft.authorization.is_some(),
            restarts: draft.deliver.iter().any(|delivery| !delivery.target.restarts().is_empty()),
            formats: draft.deliver.iter().map(|delivery| delivery.target.carries()).collect(),
        };
        let rotated = Rotated {
            username: &draft.username,
            draft: draft.rotation.as_deref(),
            defaults: &defaults,
            is_given: scram.given.is_some(),
            circumstances,
        };
        let (resolved, findings) = rotation::resolve(&rotated, &merged);
        for (part, finding) in findings {
            self.report.at(draft.at(draft.rotation_place(part)), finding);
        }
        resolved
    }

    /// A namespace with the name of an input would put credentials where others write.
    fn inputs_are_no_namespaces(&mut self, claims: &Claims) {
        for (name, spec) in &self.stores {
            let places = self.store_inputs.get(name).map_or(&[][..], Vec::as_slice);
            for (input, at) in spec.inputs.iter().zip(places) {
                let Some(first) = input.segments().first() else { continue };
                let Some(user) = claims.namespaces.get(&(name.clone(), first.clone())) else { continue };
                let user = self.report.source(user.source).location(user.place);
                let message = format!("`inputs` names `{first}`, which is a namespace in use at {user}");
                self.report.at(*at, Finding::error("input-is-namespace", message).hint("choose another name"));
            }
        }
    }
}

/// The user names that a document claims, each where it is written: its own, even where it only stands for the two of
/// `dual-user`, because its credential may be that of an earlier strategy.
fn names<'a>(draft: &'a UserDraft, rotation: Option<&'a RotationSpec>) -> Vec<(&'a UserName, At)> {
    let here = draft.at(draft.places.username);
    let stated = draft.rotation.as_ref().filter(|rotation| rotation.users.is_some()).map(|rotation| rotation.names());
    let places = stated.map_or([here; 2], |places| places.map(|place| draft.at(place)));
    let twins = rotation.and_then(|rotation| rotation.users.as_ref()).into_iter().flatten().zip(places);
    std::iter::once((&draft.username, here)).chain(twins.filter(|(name, _)| **name != draft.username)).collect()
}

impl UserDraft {
    /// Where a part of `rotation` stands; the document's name where it says nothing of rotation.
    fn rotation_place(&self, part: rotation::Part) -> Place {
        self.rotation.as_ref().map_or(self.places.name, |rotation| rotation.place(part))
    }

    fn at(&self, place: Place) -> At {
        At { source: self.places.source, place }
    }
}
