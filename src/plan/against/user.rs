//! Users: who comes and goes, and what changes of each beside its access.

use std::collections::{BTreeMap, BTreeSet};

use super::fields::{Field, compare_fields};
use super::{Comparison, Difference, DocumentId, FieldChange, What, Widening};
use crate::credential::WantedAuthentication;
use crate::names::{ClusterName, DeliveryName, Mechanism, NamespacedName, UserName};
use crate::spec::{
    Authentication, DeletionPolicy, DeliverySpec, DeliveryTarget, Documents, FileDelivery, KafkaUserSpec,
    MechanismChoice, RotationSpec, ScramAuthentication, SecretDelivery, format_duration,
};
use crate::state::Desired;

/// One set of documents, and what it resolves to.
pub(super) struct Side<'a> {
    pub documents: &'a Documents,
    pub desired: Desired,
}

pub(super) fn compare_users(before: &Side<'_>, after: &Side<'_>, comparison: &mut Comparison) {
    let gone = gone_users(before, after);
    for (user, spec) in &after.documents.users {
        let id = DocumentId::User(user.clone());
        match before.documents.users.get(user) {
            Some(old) => comparison.note(id, changed(user, old, spec, before, after)),
            None => comparison.note(id, added(spec, &gone)),
        }
    }
    for (user, spec) in &before.documents.users {
        if !after.documents.users.contains_key(user) {
            let policy = spec.deletion_policy;
            let what = What::UserRemoved { deletion_policy: policy, deliveries: spec.deliver.len() };
            let line = Difference::new(what).destructive(policy == DeletionPolicy::Delete);
            comparison.note(DocumentId::User(user.clone()), [line.on(sorted(&spec.clusters))]);
        }
    }
}

/// The documents that are gone, by the Kafka users they declared.
fn gone_users<'a>(
    before: &Side<'a>,
    after: &Side<'_>,
) -> BTreeMap<(&'a ClusterName, &'a UserName), &'a NamespacedName> {
    let gone = before.documents.users.iter().filter(|(user, _)| !after.documents.users.contains_key(*user));
    gone.flat_map(|(user, spec)| spec.claims().map(move |claim| (claim, user))).collect()
}

fn sorted(clusters: &[ClusterName]) -> Vec<ClusterName> {
    clusters.iter().cloned().collect::<BTreeSet<_>>().into_iter().collect()
}

fn added(spec: &KafkaUserSpec, gone: &BTreeMap<(&ClusterName, &UserName), &NamespacedName>) -> Vec<Difference> {
    let what = What::UserAdded {
        authentication: authentication_type(&spec.authentication),
        deletion_policy: spec.deletion_policy,
    };
    let mut differences = vec![Difference::new(what).on(sorted(&spec.clusters))];
    let declared_by = spec.claims().filter_map(|claim| gone.get(&claim).copied());
    for other in declared_by.collect::<BTreeSet<_>>() {
        differences.push(Difference::new(What::TakenFrom(other.clone())).needs_rotation(true));
    }
    let setting = |field, to: String| Difference::new(What::Setting(FieldChange { field, from: None, to: Some(to) }));
    if spec.adopt {
        differences.push(setting("adopt", "true".to_owned()).widens(Some(Widening::Adoption)));
    }
    if spec.suspend {
        differences.push(setting("suspend", "true".to_owned()));
    }
    if let Some(from) = &spec.moved_from {
        differences.push(setting("movedFrom", from.to_string()).needs_rotation(true));
    }
    let rotation = compare_fields(rotation_fields(None).into(), rotation_fields(spec.rotation.as_ref()).into());
    differences.extend(rotation.into_iter().map(|(change, _)| Difference::new(What::Setting(change))));
    differences.extend(deliveries(&[], &spec.deliver));
    differences
}

fn changed(
    user: &NamespacedName,
    old: &KafkaUserSpec,
    new: &KafkaUserSpec,
    before: &Side<'_>,
    after: &Side<'_>,
) -> Vec<Difference> {
    let mut differences = Vec::new();
    let credential = compare_fields(identity_fields(old), identity_fields(new));
    differences.extend(credential.into_iter().map(|(change, _)| credential_change(change, true)));
    authentication(user, old, new, before, after, &mut differences);
    let settings = compare_fields(setting_fields(old), setting_fields(new));
    differences.extend(settings.into_iter().map(|(change, widens)| {
        // A `movedFrom` that goes has served; one that comes asks for a move.
        let moves = change.field == "movedFrom" && change.to.is_some();
        Difference::new(What::Setting(change)).widens(widens).needs_rotation(moves)
    }));
    differences.extend(deliveries(&old.deliver, &new.deliver));
    differences
}

fn credential_change(change: FieldChange, needs_rotation: bool) -> Difference {
    Difference::new(What::Credential(change)).needs_rotation(needs_rotation)
}

/// What a live user keeps until a rotation or a move. `authentication`, `authorization`, `quotas` and `deliver` are
/// compared on their own; the rest is in [`setting_fields`].
fn identity_fields(spec: &KafkaUserSpec) -> Vec<Field> {
    let KafkaUserSpec {
        location: _,
        clusters,
        username,
        store,
        authentication: _,
        authorization: _,
        quotas: _,
        rotation: _,
        deliver: _,
        adopt: _,
        deletion_policy: _,
        suspend: _,
        moved_from: _,
    } = spec;
    let users = spec.rotation.as_ref().and_then(|rotation| rotation.users.as_ref());
    vec![
        Field::many("clusters", clusters),
        Field::one("username", Some(username)),
        Field::one("rotation.users", users.map(|[one, other]| format!("{one}, {other}"))),
        Field::one("store", Some(store)),
    ]
}

fn setting_fields(spec: &KafkaUserSpec) -> Vec<Field> {
    let adopt = spec.adopt.then_some("true");
    let mut fields = vec![
        Field::one("adopt", adopt).widens_coming(Widening::Adoption),
        Field::one("suspend", spec.suspend.then_some("true")),
        Field::one("deletionPolicy", Some(policy_name(spec.deletion_policy))),
        Field::one("movedFrom", spec.moved_from.as_ref()),
    ];
    fields.extend(rotation_fields(spec.rotation.as_ref()));
    fields
}

/// How a credential rotates, its clusters' defaults included. Its users are among [`identity_fields`].
fn rotation_fields(rotation: Option<&RotationSpec>) -> [Field; 4] {
    let fields = rotation.map(|RotationSpec { every, strategy, users: _, overlap, confirm }| {
        (every.map(format_duration), strategy, overlap.map(format_duration), confirm)
    });
    let (every, strategy, overlap, confirm) = match fields {
        Some((every, strategy, overlap, confirm)) => (every, Some(strategy), overlap, Some(confirm)),
        None => (None, None, None, None),
    };
    [
        Field::one("rotation.strategy", strategy),
        Field::one("rotation.every", every),
        Field::one("rotation.overlap", overlap),
        Field::one("rotation.confirm", confirm),
    ]
}

const fn policy_name(policy: DeletionPolicy) -> &'static str {
    match policy {
        DeletionPolicy::Delete => "Delete",
        DeletionPolicy::Retain => "Retain",
    }
}

const fn authentication_type(authentication: &Authentication) -> &'static str {
    match authentication {
        Authentication::External => "external",
        Authentication::Scram(scram) => match scram.mechanism {
            MechanismChoice::Any => "scram",
            MechanismChoice::One(Mechanism::ScramSha256) => "scram-sha-256",
            MechanismChoice::One(Mechanism::ScramSha512) => "scram-sha-512",
        },
    }
}

fn authentication(
    user: &NamespacedName,
    old: &KafkaUserSpec,
    new: &KafkaUserSpec,
    before: &Side<'_>,
    after: &Side<'_>,
    differences: &mut Vec<Difference>,
) {
    let (from, to) = (authentication_type(&old.authentication), authentication_type(&new.authentication));
    let change = |field, from: &str, to: &str| FieldChange { field, from: Some(from.into()), to: Some(to.into()) };
    let (Authentication::Scram(old), Authentication::Scram(new)) = (&old.authentication, &new.authentication) else {
        if from != to {
            differences.push(credential_change(change("authentication.type", from, to), true));
        }
        return;
    };
    // Which mechanism is in use is not known; only one that is not allowed any more can matter.
    let (allowed, still) = (mechanisms(user, &before.desired), mechanisms(user, &after.desired));
    let forbids = allowed.iter().any(|mechanism| !still.contains(mechanism));
    if from != to {
        differences.push(credential_change(change("authentication.type", from, to), forbids));
    } else if forbids {
        let list = |mechanisms: &[Mechanism]| mechanisms.iter().map(|one| one.as_str()).collect::<Vec<_>>().join(", ");
        let change = change("allowed mechanisms", &list(&allowed), &list(&still));
        differences.push(credential_change(change, true));
    }
    let changes = compare_fields(scram_fields(old), scram_fields(new));
    // A length holds from the next password on.
    let later = |change: &FieldChange| change.field == "authentication.passwordLength";
    differences.extend(changes.into_iter().map(|(change, _)| {
        let needs_rotation = !later(&change);
        credential_change(change, needs_rotation)
    }));
}

fn scram_fields(scram: &ScramAuthentication) -> Vec<Field> {
    let ScramAuthentication { mechanism: _, iterations, password_length, given } = scram;
    let given_from = given.as_ref().map(|value| format!("{}#{}", value.path, value.key));
    // The length of a given password is nobody's choice.
    let length = given.is_none().then(|| password_length.characters());
    vec![
        Field::one("authentication.iterations", Some(iterations.count())),
        Field::one("authentication.password", given_from),
        Field::one("authentication.passwordLength", length),
    ]
}

fn mechanisms(user: &NamespacedName, desired: &Desired) -> Vec<Mechanism> {
    match desired.users.get(user).map(|user| &user.wanted.authentication) {
        Some(WantedAuthentication::Scram { mechanisms, .. }) => mechanisms.clone(),
        Some(WantedAuthentication::External) | None => Vec::new(),
    }
}

/// Places that come, go or change, in the order of their names.
fn deliveries(old: &[DeliverySpec], new: &[DeliverySpec]) -> Vec<Difference> {
    let by_name =
        |specs: &[DeliverySpec]| specs.iter().map(|spec| (spec.name.clone(), spec.clone())).collect::<BTreeMap<_, _>>();
    let (old, new) = (by_name(old), by_name(new));
    let names = old.keys().chain(new.keys()).collect::<BTreeSet<_>>();
    let compared = names.into_iter().flat_map(|name| match (old.get(name), new.get(name)) {
        (Some(from), Some(to)) => delivery_changes(name, from, to),
        (None, Some(to)) => vec![Difference::new(What::DeliveryAdded(name.clone(), delivery_text(to)))],
        (Some(from), None) => {
            vec![Difference::new(What::DeliveryRemoved(name.clone(), delivery_text(from))).destructive(true)]
        }
        (None, None) => Vec::new(),
    });
    compared.collect()
}

fn delivery_changes(name: &DeliveryName, from: &DeliverySpec, to: &DeliverySpec) -> Vec<Difference> {
    let changes = compare_fields(delivery_fields(from), delivery_fields(to)).into_iter();
    let lines = changes.map(|(change, widens)| {
        // Whoever reads it where it was finds it no more, or in a form they do not know.
        let cuts = matches!(change.field, PATH | FORMAT | SECRET | KEYS);
        Difference::new(What::DeliveryChanged(name.clone(), change)).widens(widens).destructive(cuts)
    });
    lines.collect()
}

const PATH: &str = "path";
const FORMAT: &str = "format";
const SECRET: &str = "secret";
const KEYS: &str = "keys";

fn delivery_fields(delivery: &DeliverySpec) -> Vec<Field> {
    let DeliverySpec { name: _, cluster, target } = delivery;
    let FileDelivery { path, format, owner } = match target {
        DeliveryTarget::File(file) => file,
        DeliveryTarget::KubernetesSecret(secret) => return secret_fields(cluster, secret),
    };
    let owner = owner.as_ref().map_or_else(|| "whoever runs Kastellan".to_owned(), ToString::to_string);
    vec![
        Field::one(PATH, Some(path.normal().display())),
        Field::one(FORMAT, Some(format)),
        Field::one("cluster", Some(cluster)),
        Field::one("owner", Some(owner)).widens_changing(Widening::OtherOwner),
    ]
}

/// A delivery in one line, e.g. `file out/a.properties (properties, addresses of prod)`.
fn delivery_text(delivery: &DeliverySpec) -> String {
    let DeliverySpec { name: _, cluster, target } = delivery;
    match target {
        DeliveryTarget::File(FileDelivery { path, format, owner }) => {
            let owner = owner.as_ref().map(|owner| format!(", owner {owner}")).unwrap_or_default();
            format!("file {} ({format}, addresses of {cluster}{owner})", path.normal().display())
        }
        DeliveryTarget::KubernetesSecret(secret) => {
            format!("Secret {} ({}, addresses of {cluster})", secret.place, secret.format)
        }
    }
}

/// Whoever may read a namespace reads the Secret in it, so another place widens as another owner does.
fn secret_fields(cluster: &ClusterName, secret: &SecretDelivery) -> Vec<Field> {
    let SecretDelivery { place, format, keys, labels, annotations, adopt, restart } = secret;
    let pairs = |map: &BTreeMap<String, String>| {
        let texts = map.iter().map(|(key, value)| format!("{key}: {value}")).collect::<Vec<_>>();
        (!texts.is_empty()).then(|| texts.join(", "))
    };
    vec![
        Field::one(SECRET, Some(place)).widens_changing(Widening::OtherOwner),
        Field::one(FORMAT, Some(format)),
        Field::one("cluster", Some(cluster)),
        Field::one(KEYS, pairs(keys)),
        Field::one("labels", pairs(labels)),
        Field::one("annotations", pairs(annotations)),
        Field::many("restart", restart),
        Field::one("adopt", adopt.then_some("true")).widens_coming(Widening::Adoption),
    ]
}
