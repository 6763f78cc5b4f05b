//! How a credential rotates: a document over the defaults of its clusters.

use std::time::Duration;

use super::{accepted, refused, shown, text};
use kastellan::diagnostic::Findings;
use kastellan::spec::{Confirm, KafkaUserSpec, RotationSpec, SourceText, Strategy};

/// Clusters by the letters of their names, each with these defaults of rotation and both mechanisms.
pub fn platform(defaults: &[&str]) -> String {
    let mut documents = "apiVersion: kastellan.io/v1alpha1\nkind: CredentialStore\nmetadata: {name: local}\n\
                         spec: {age: {directory: store, inputs: [imports]}}\n"
        .to_owned();
    for (name, defaults) in ["a", "b", "c"].into_iter().zip(defaults) {
        documents += &format!(
            "---\napiVersion: kastellan.io/v1alpha1\nkind: KafkaCluster\nmetadata: {{name: {name}}}\nspec:\n  \
             bootstrapServers: localhost:9092\n  admin: {{}}\n  \
             clients: {{mechanisms: [scram-sha-512, scram-sha-256]}}\n  defaults: {{rotation: {{{defaults}}}}}\n"
        );
    }
    documents
}

/// A user `u` with this `spec`.
pub fn user(spec: &str) -> String {
    format!("---\napiVersion: kastellan.io/v1alpha1\nkind: KafkaUser\nmetadata: {{name: u}}\nspec: {{{spec}}}\n")
}

fn sources(defaults: &[&str], spec: &str) -> [SourceText; 1] {
    [text("rotation.yaml", platform(defaults) + &user(spec))]
}

/// The user `u` of all clusters, which must be accepted.
fn read(defaults: &[&str], more: &str) -> (KafkaUserSpec, Findings) {
    let clusters = &["a", "b", "c"][..defaults.len()].join(", ");
    let spec = format!("clusters: [{clusters}], authentication: {{type: scram}}, authorization: {{acls: []}}{more}");
    let (documents, findings) = accepted(&sources(defaults, &spec));
    (documents.users.into_values().next().unwrap(), findings)
}

fn rotation(defaults: &[&str], rotation: &str) -> RotationSpec {
    read(defaults, &format!(", rotation: {{{rotation}}}")).0.rotation.unwrap()
}

const HOUR: Duration = Duration::from_secs(3600);

#[test]
fn nobody_rotates_unless_somebody_says_so() {
    let (user, findings) = read(&[""], "");
    assert_eq!(user.rotation, None);
    assert_eq!(user.principals(), ["u".parse().unwrap()]);
    assert!(findings.0.is_empty());
}

#[test]
fn a_document_is_merged_over_the_defaults_field_by_field() {
    let defaults = "every: 90d, strategy: mechanism-flip, overlap: 24h, confirm: acknowledgement";
    let (by_default, findings) = read(&[defaults], "");
    let expected = RotationSpec {
        every: Some(90 * 24 * HOUR),
        strategy: Strategy::MechanismFlip,
        users: None,
        overlap: Some(24 * HOUR),
        confirm: Confirm::Acknowledgement,
    };
    assert_eq!(by_default.rotation, Some(expected.clone()));
    assert!(findings.0.is_empty(), "{}", shown(&findings));
    assert_eq!(rotation(&[defaults], ""), expected, "an empty mapping leaves all of it to the defaults");
    let other = rotation(&[defaults], "every: 30d, confirm: none");
    assert_eq!(other, RotationSpec { every: Some(30 * 24 * HOUR), confirm: Confirm::None, ..expected });
    let downtime = rotation(&["strategy: mechanism-flip, allowDowntime: true"], "strategy: in-place");
    assert_eq!((downtime.strategy, downtime.every, downtime.overlap), (Strategy::InPlace, None, None));
}

#[test]
fn clusters_that_agree_or_are_silent_settle_a_field_together() {
    let merged = rotation(&["every: 48h", "strategy: mechanism-flip, every: 2d", ""], "overlap: 1h");
    assert_eq!((merged.every, merged.strategy), (Some(48 * HOUR), Strategy::MechanismFlip));
}

#[test]
fn a_field_that_clusters_state_differently_is_for_the_document_to_settle() {
    let fields = [
        ("every", "30d", "31d"),
        ("strategy", "mechanism-flip", "dual-user"),
        ("overlap", "1h", "2h"),
        ("confirm", "none", "acknowledgement"),
        ("allowDowntime", "true", "false"),
        ("clientsReadMechanism", "true", "false"),
    ];
    for (field, one, other) in fields {
        let base = "overlap: 1h, every: 30d, strategy: dual-user, confirm: none";
        let side = |value: &str| match base.find(&format!("{field}: ")) {
            Some(start) => {
                let end = base[start..].find(',').map_or(base.len(), |length| start + length);
                format!("{}{field}: {value}{}", &base[..start], &base[end..])
            }
            None => format!("{base}, {field}: {value}"),
        };
        let (one_side, other_side) = (side(one), side(other));
        let spec = "clusters: [a, b], authentication: {type: scram}, authorization: {acls: []}";
        let findings = refused(&sources(&[&one_side, &other_side], spec));
        assert_eq!(findings.0.len(), 1, "{}", shown(&findings));
        let message = &findings.0[0].message;
        for part in [format!("`rotation.{field}`"), format!("`{one}` for `a`"), format!("`{other}` for `b`")] {
            assert!(message.contains(&part), "{message} lacks {part}");
        }
        assert!(findings.0[0].hint.as_ref().unwrap().to_string().contains(&format!("rotation: {{{field}: …}}")));
        let settled = format!("{spec}, rotation: {{{field}: {one}}}");
        accepted(&sources(&[&one_side, &other_side], &settled));
    }
}

/// The table of design.md §3.
#[test]
fn when_the_old_credential_goes_follows_the_table() {
    let resolved = |fields: &str| {
        let rotation = rotation(&[""], &format!("strategy: mechanism-flip{fields}"));
        (rotation.overlap, rotation.confirm)
    };
    assert_eq!(resolved(", overlap: 1h"), (Some(HOUR), Confirm::None));
    assert_eq!(resolved(", overlap: 1h, confirm: none"), (Some(HOUR), Confirm::None));
    assert_eq!(resolved(", overlap: 1h, confirm: acknowledgement"), (Some(HOUR), Confirm::Acknowledgement));
    assert_eq!(resolved(", overlap: 0s"), (Some(Duration::ZERO), Confirm::None));
    assert_eq!(resolved(", confirm: acknowledgement"), (None, Confirm::Acknowledgement));
    assert_eq!(resolved(""), (None, Confirm::Acknowledgement));
    let spec = "clusters: [a], authentication: {type: scram}, rotation: {strategy: mechanism-flip, confirm: none}";
    assert_eq!(refused(&sources(&[""], spec)).0[0].code, "nothing-to-wait-for");
    let with_default = rotation(&["overlap: 1h"], "strategy: mechanism-flip, confirm: none");
    assert_eq!((with_default.overlap, with_default.confirm), (Some(HOUR), Confirm::None));
}

#[test]
fn two_users_are_called_after_the_one_unless_the_document_says_how() {
    let names = |more: &str| {
        let (user, _) = read(&["strategy: dual-user"], more);
        let clusters = user.claims().map(|(cluster, name)| format!("{cluster}:{name}")).collect::<Vec<_>>();
        (user.username.to_string(), clusters)
    };
    let own = |name: &str, claims: &[&str]| (name.to_owned(), claims.iter().map(ToString::to_string).collect());
    assert_eq!(names(""), own("u", &["a:u.a", "a:u.b"]));
    assert_eq!(names(", username: Pay ments"), own("Pay ments", &["a:Pay ments.a", "a:Pay ments.b"]));
    assert_eq!(names(", rotation: {users: [blue, u]}"), own("u", &["a:blue", "a:u"]));
    let long = "x".repeat(1023);
    let spec = |more: &str| {
        let dual = format!("rotation: {{strategy: dual-user{more}}}");
        format!("clusters: [a], username: {long}, authentication: {{type: scram}}, authorization: {{acls: []}}, {dual}")
    };
    let findings = refused(&sources(&[""], &spec("")));
    assert!(findings.0[0].message.contains("1025 bytes long"), "{}", shown(&findings));
    accepted(&sources(&[""], &spec(", users: [one, other]")));
}

#[test]
fn a_password_of_somebody_else_is_never_due() {
    let given = "{type: scram, password: {valueFrom: {store: {path: imports/u, key: password}}}}";
    let spec = format!("clusters: [a], authentication: {given}, authorization: {{acls: []}}");
    // Longer than `every`, which is of no meaning here.
    let defaults = ["every: 30d, strategy: mechanism-flip"];
    let (documents, _) = accepted(&sources(&defaults, &format!("{spec}, rotation: {{overlap: 31d}}")));
    let rotation = documents.users.into_values().next().unwrap().rotation.unwrap();
    assert_eq!((rotation.every, rotation.strategy), (None, Strategy::MechanismFlip));
}

#[test]
fn defaults_do_not_reach_a_user_that_somebody_else_authenticates() {
    let spec = "clusters: [a, b], authentication: {type: external}";
    let (documents, _) = accepted(&sources(&["strategy: in-place", "strategy: dual-user, overlap: 1h"], spec));
    assert_eq!(documents.users.into_values().next().unwrap().rotation, None);
}

#[test]
fn what_was_read_survives_a_saved_plan() {
    let (documents, _) = accepted(&super::example());
    let json = serde_json::to_string(&documents).unwrap();
    assert_eq!(serde_json::from_str::<kastellan::spec::Documents>(&json).unwrap(), documents);
    assert!(documents.users.values().filter(|user| user.rotation.is_some()).count() >= 3);
}
