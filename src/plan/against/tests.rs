//! Comparisons of documents that the real parser read.

use std::path::PathBuf;
use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::spec::{self, SourceText};

const STORE: &str =
    "kind: CredentialStore\nmetadata: {name: local}\nspec: {age: {directory: store, inputs: [imports]}}\n";
const PROD: &str = "kind: KafkaCluster\nmetadata: {name: prod}\nspec: {bootstrapServers: 'a:1', admin: {}, clients: {mechanisms: [scram-sha-512, scram-sha-256], tls: {caFile: ca.pem}}, protectedUsers: [admin, root]}\n";
const DR: &str = "kind: KafkaCluster\nmetadata: {name: dr}\nspec: {bootstrapServers: 'b:1', admin: {}}\n";

/// A user document with this `spec`.
fn user(name: &str, spec: &str) -> String {
    format!("kind: KafkaUser\nmetadata: {{name: {name}}}\nspec: {{{spec}}}\n")
}

fn read(documents: &[&str]) -> Documents {
    let texts = documents.iter().map(|text| format!("apiVersion: kastellan.io/v1alpha1\n{text}"));
    let bytes = texts.collect::<Vec<_>>().join("---\n").into_bytes();
    match spec::read(&[SourceText { file: Arc::new(PathBuf::from("a.yaml")), bytes }]) {
        Ok((documents, _)) => documents,
        Err(findings) => panic!("{findings:?}"),
    }
}

/// The differences between two users that are called `a`, on the platform of this file.
fn between(before: &str, after: &str) -> Vec<Difference> {
    let side = |spec: &str| read(&[STORE, PROD, DR, &user("a", spec)]);
    let compared = compare(&side(before), &side(after)).documents.into_values();
    compared.flat_map(|document| document.differences).collect()
}

/// The differences between two users with these ACLs.
fn rules(before: &str, after: &str) -> Vec<Difference> {
    let spec =
        |acls: &str| format!("clusters: [prod], authentication: {{type: external}}, authorization: {{acls: [{acls}]}}");
    between(&spec(before), &spec(after))
}

fn rule(resource: &str, operation: &str, more: &str) -> String {
    format!("{{resource: {{{resource}}}, operations: [{operation}]{more}}}")
}

#[test]
fn what_opens_more_than_it_seems_is_marked() {
    let widening = |resource: &str, operation: &str| {
        let added = rules("", &rule(resource, operation, ""));
        assert_eq!(added.len(), 1);
        assert!(!added[0].destructive);
        added[0].widens
    };
    assert_eq!(widening("type: topic, name: '*'", "All"), Some(Widening::EveryResource));
    assert_eq!(widening("type: group, name: '*'", "Read"), Some(Widening::EveryResource));
    for operation in ["All", "Alter", "AlterConfigs", "ClusterAction"] {
        assert_eq!(widening("type: cluster", operation), Some(Widening::Administration), "{operation}");
    }
    assert_eq!(widening("type: user, name: 'User:b'", "CreateTokens"), Some(Widening::Impersonation));
    assert_eq!(widening("type: cluster", "IdempotentWrite"), None);
    assert_eq!(widening("type: topic, name: a, patternType: prefix", "All"), None);
}

#[test]
fn what_holds_for_every_user_is_marked() {
    let spec = |acls: &str| {
        format!(
            "clusters: [prod], username: '*', authentication: {{type: external}}, authorization: {{acls: [{acls}]}}"
        )
    };
    let added = between(&spec(""), &spec(&rule("type: topic, name: a", "Read", "")));
    assert_eq!(added[0].widens, Some(Widening::Everyone));
    let denied = between(&spec(""), &spec(&rule("type: topic, name: a", "Read", ", type: deny")));
    assert_eq!((denied[0].widens, denied[0].destructive), (None, true));
}

#[test]
fn a_denial_that_goes_widens_and_a_permission_that_goes_is_destructive() {
    let (allow, deny) =
        (rule("type: topic, name: a", "Read", ""), rule("type: topic, name: a", "Write", ", type: deny"));
    let gone = rules(&format!("{allow}, {deny}"), "");
    let seen = gone.iter().map(|line| (line.widens, line.destructive)).collect::<Vec<_>>();
    assert_eq!(seen, [(None, true), (Some(Widening::DenialGone), false)]);
    let come = rules("", &deny);
    assert_eq!((come[0].widens, come[0].destructive), (None, true), "whoever wrote there is cut off");
}

#[test]
fn a_user_that_goes_takes_its_access_along_unless_it_is_retained() {
    let spec = |policy: &str, kind: &str| {
        let acl = rule("type: topic, name: a", "Write", ", type: deny");
        let access = format!("authorization: {{acls: [{acl}]}}, quotas: {{producerByteRate: 1}}");
        format!("clusters: [prod], authentication: {{type: {kind}}}, {access}, deletionPolicy: {policy}")
    };
    let gone = |policy: &str, kind: &str| {
        let before = read(&[STORE, PROD, &user("a", &spec(policy, kind))]);
        let compared = compare(&before, &read(&[STORE, PROD])).documents;
        compared.into_values().flat_map(|document| document.differences).collect::<Vec<_>>()
    };
    let deleted = gone("Delete", "scram");
    assert!(deleted[0].destructive);
    assert!(deleted.iter().all(|line| line.widens.is_none()), "nobody is left whom it denied anything");
    assert_eq!(deleted.len(), 3);
    let external = gone("Delete", "external");
    assert!(external.iter().any(|line| line.widens == Some(Widening::DenialGone)), "it can still log in");
    let retained = gone("Retain", "scram");
    assert_eq!(retained.len(), 1);
    assert!(!retained[0].destructive);
}

#[test]
fn changes_of_a_live_credential_need_a_rotation() {
    let base = "clusters: [prod], authentication: {type: scram}";
    let needs = |after: &str| {
        let lines = between(base, after);
        assert_eq!(lines.len(), 1, "{after}: {lines:?}");
        lines[0].needs_rotation
    };
    for after in [
        "clusters: [prod], authentication: {type: scram-sha-256}",
        "clusters: [prod], authentication: {type: external}",
        "clusters: [prod], authentication: {type: scram, iterations: 8192}",
        "clusters: [prod], username: b, authentication: {type: scram}",
        "clusters: [prod], authentication: {type: scram}, movedFrom: x/y",
    ] {
        assert!(needs(after), "{after}");
    }
    for after in [
        "clusters: [prod], authentication: {type: scram, passwordLength: 64}",
        "clusters: [prod], authentication: {type: scram}, suspend: true",
        "clusters: [prod], authentication: {type: scram}, deletionPolicy: Retain",
        "clusters: [prod], authentication: {type: scram}, adopt: true",
    ] {
        assert!(!needs(after), "{after}");
    }
    let wider = between("clusters: [prod], authentication: {type: scram-sha-512}", base);
    assert!(!wider[0].needs_rotation, "the mechanism in use is still allowed");
    let given =
        "clusters: [prod], authentication: {type: scram, password: {valueFrom: {store: {path: imports/a, key: b}}}}";
    assert!(between(base, given)[0].needs_rotation);
    let both = between(base, "clusters: [prod, dr], authentication: {type: scram}");
    assert!(both.iter().any(
        |line| line.needs_rotation && matches!(&line.what, What::Credential(change) if change.field == "clusters")
    ));
}

#[test]
fn a_document_that_moved_changes_nobodys_rights() {
    let acl = rule("type: topic, name: a", "Read", "");
    let spec =
        format!("clusters: [prod], username: pay, authentication: {{type: scram}}, authorization: {{acls: [{acl}]}}");
    let (before, after) = (read(&[STORE, PROD, &user("a", &spec)]), read(&[STORE, PROD, &user("b", &spec)]));
    let lines = compare(&before, &after).documents.into_values().flat_map(|document| document.differences);
    let lines = lines.collect::<Vec<_>>();
    assert!(lines.iter().all(|line| !matches!(line.what, What::RulesAdded(..) | What::RulesRemoved(..))), "{lines:?}");
    let taken = lines.iter().find(|line| matches!(line.what, What::TakenFrom(_))).unwrap();
    assert!(taken.needs_rotation);
}

#[test]
fn access_that_begins_or_ends_to_be_managed_is_told() {
    let unmanaged = "clusters: [prod], authentication: {type: external}";
    let managed = format!("{unmanaged}, authorization: {{acls: []}}, quotas: {{producerByteRate: 1}}");
    let begins = between(unmanaged, &managed);
    assert!(begins.iter().all(|line| line.destructive), "what exists and is not declared goes: {begins:?}");
    assert_eq!(begins.len(), 2);
    let ends = between(&managed, unmanaged);
    assert!(ends.iter().all(|line| !line.destructive), "{ends:?}");
    assert_eq!(ends.len(), 2);
}

#[test]
fn what_a_platform_opens_is_marked() {
    let widenings = |before: [&str; 2], after: [&str; 2]| {
        let lines = compare(&read(&before), &read(&after)).documents.into_values();
        lines.flat_map(|document| document.differences).map(|line| line.widens).collect::<Vec<_>>()
    };
    let without_tls = PROD.replace(", tls: {caFile: ca.pem}", "");
    assert_eq!(widenings([STORE, PROD], [STORE, &without_tls]), [Some(Widening::Plaintext)]);
    assert_eq!(widenings([STORE, &without_tls], [STORE, PROD]), [None]);
    let unprotected = PROD.replace("[admin, root]", "[root]");
    assert_eq!(widenings([STORE, PROD], [STORE, &unprotected]), [Some(Widening::Unprotected)]);
    let more_inputs = STORE.replace("[imports]", "[imports, more]");
    assert_eq!(widenings([STORE, PROD], [&more_inputs, PROD]), [Some(Widening::MoreInputs)]);
}

#[test]
fn the_place_of_a_delivery_counts_not_its_spelling() {
    let spec =
        |file: &str| format!("clusters: [prod], authentication: {{type: scram}}, deliver: [{{file: {{{file}}}}}]");
    let changed = |after: &str| between(&spec("path: out/a, owner: root"), &spec(after));
    assert!(changed("path: ./out/../out/a, owner: root").is_empty());
    assert!(changed("path: out/b, owner: root")[0].destructive);
    let owned = changed("path: out/a, owner: mallory");
    assert_eq!((owned[0].widens, owned[0].destructive), (Some(Widening::OtherOwner), false));
    let format = changed("path: out/a, owner: root, format: librdkafka");
    assert_eq!((format[0].widens, format[0].destructive), (None, true), "who reads it does not know the new form");
}

/// Some set of users on the platform of this file, each a document.
fn some_users() -> impl Strategy<Value = Vec<String>> {
    let acl = prop_oneof![
        Just(rule("type: topic, name: a", "Read", "")),
        Just(rule("type: topic, name: '*'", "Write, Read", ", type: deny")),
        Just(rule("type: cluster", "Alter", "")),
    ];
    let access = proptest::option::of(proptest::collection::vec(acl, 0..3));
    let one = (0..4_u8, access, any::<bool>(), 0..3_u8, any::<bool>());
    proptest::collection::btree_map(0..6_u8, one, 0..6).prop_map(|users| {
        let documents = users.into_iter().map(|(number, (quota, acls, retains, clusters, adopts))| {
            let clusters = ["prod", "dr", "dr, prod"][usize::from(clusters)];
            let mut spec = format!("clusters: [{clusters}], authentication: {{type: scram}}, adopt: {adopts}");
            if let Some(acls) = acls {
                spec.push_str(&format!(", authorization: {{acls: [{}]}}", acls.join(", ")));
            }
            if quota > 0 {
                spec.push_str(&format!(", quotas: {{producerByteRate: {quota}}}"));
            }
            if retains {
                spec.push_str(", deletionPolicy: Retain");
            }
            user(&format!("u{number}"), &spec)
        });
        documents.collect()
    })
}

fn platform_and(users: &[String]) -> Vec<String> {
    [STORE, PROD, DR].map(str::to_owned).into_iter().chain(users.iter().cloned()).collect()
}

fn parsed(documents: &[String]) -> Documents {
    read(&documents.iter().map(String::as_str).collect::<Vec<_>>())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn equal_sets_have_no_difference_in_whatever_order(
        (documents, shuffled) in some_users()
            .prop_map(|users| platform_and(&users))
            .prop_flat_map(|documents| (Just(documents.clone()), Just(documents).prop_shuffle()))
    ) {
        prop_assert!(compare(&parsed(&documents), &parsed(&shuffled)).is_empty());
    }

    #[test]
    fn order_of_documents_makes_no_difference(
        (before, (after, shuffled)) in (some_users(), some_users()).prop_flat_map(|(before, after)| {
            let after = platform_and(&after);
            (Just(platform_and(&before)), (Just(after.clone()), Just(after).prop_shuffle()))
        })
    ) {
        let before = parsed(&before);
        prop_assert_eq!(compare(&before, &parsed(&after)), compare(&before, &parsed(&shuffled)));
    }

    #[test]
    fn different_sets_have_a_difference(before in some_users(), after in some_users()) {
        let (before, after) = (parsed(&platform_and(&before)), parsed(&platform_and(&after)));
        // Places differ where documents before them do; nothing else of a document is beside the point here.
        let place_less = |documents: &Documents| {
            let mut users = documents.users.clone();
            let location = before.stores.values().next().map(|store| store.location.clone());
            users.values_mut().zip(location.into_iter().cycle()).for_each(|(user, at)| {
                user.location = at;
                user.clusters.sort();
            });
            users
        };
        prop_assert_eq!(compare(&before, &after).is_empty(), place_less(&before) == place_less(&after));
    }
}

#[test]
fn a_changed_rotation_is_told_by_field_wherever_it_is_stated() {
    let spec = |rotation: &str| {
        format!("clusters: [prod], authentication: {{type: scram}}, authorization: {{acls: []}}{rotation}")
    };
    let flip = spec(", rotation: {strategy: mechanism-flip, every: 30d, overlap: 24h}");
    let seen = |before: &str, after: &str| {
        let lines = between(before, after).into_iter().map(|line| {
            let (kind, change) = match &line.what {
                What::Credential(change) => ("credential", change),
                What::Setting(change) => ("setting", change),
                other => panic!("{other:?}"),
            };
            let value = |value: &Option<String>| value.clone().unwrap_or_default();
            let needs = if line.needs_rotation { " rotates" } else { "" };
            format!("{kind} {} {} -> {}{needs}", change.field, value(&change.from), value(&change.to))
        });
        lines.collect::<Vec<_>>()
    };
    assert_eq!(
        seen(&flip, &spec(", rotation: {strategy: mechanism-flip, every: 720h, overlap: 1d, confirm: none}")),
        [""; 0],
        "the same in other words"
    );
    assert_eq!(
        seen(&flip, &spec(", rotation: {strategy: dual-user, every: 90d}")),
        [
            "credential rotation.users  -> a.a, a.b rotates",
            "setting rotation.strategy mechanism-flip -> dual-user",
            "setting rotation.every 30d -> 90d",
            "setting rotation.overlap 1d -> ",
            "setting rotation.confirm none -> acknowledgement",
        ]
    );
    assert_eq!(seen(&flip, &spec("")).len(), 4, "nobody rotates it any more");

    let rotating = PROD.replace("protectedUsers", "defaults: {rotation: {strategy: mechanism-flip}}, protectedUsers");
    let document = user("a", &spec(""));
    let compared = compare(&read(&[STORE, PROD, &document]), &read(&[STORE, &rotating, &document]));
    let lines = compared.documents.values().map(|document| document.differences.len()).collect::<Vec<_>>();
    assert_eq!(lines, [1, 2], "a default is told at the cluster, and what it means at each user");
}

#[test]
fn two_users_are_compared_by_their_own_names() {
    let acl = rule("type: topic, name: t", "Read", "");
    let spec = |rotation: &str| {
        format!("clusters: [prod], authentication: {{type: scram}}, authorization: {{acls: [{acl}]}}{rotation}")
    };
    let moved = between(&spec(""), &spec(", rotation: {strategy: dual-user, users: [a, z]}"));
    let rules = moved.iter().filter_map(|line| match &line.what {
        What::RulesAdded(name, _) => Some(format!("+{name}")),
        What::RulesRemoved(name, _) => Some(format!("-{name}")),
        _ => None,
    });
    assert_eq!(rules.collect::<Vec<_>>(), ["+z"], "what `a` may do stays");
}
