//! Whose a name in Kafka is: strangers are left alone, adoption is asked for, and some names are nobody's to declare.

use kastellan::names::{AclRule, Mechanism, Operation, PatternType, Permission, ResourceType};
use serde_json::json;

use crate::operator::{Operator, Snapshot, Transport, delivered_password};
use crate::stack::kafka::{Tool, principal};
use crate::stack::{Cluster, Credentials, KafkaVersion, Listener, quiet, unique_name};

const SHA_256: Mechanism = Mechanism::ScramSha256;
const SHA_512: Mechanism = Mechanism::ScramSha512;

fn on(version: KafkaVersion) -> (&'static Cluster, Operator<'static>) {
    let cluster = quiet(version, 1);
    (cluster, Operator::with(&[("kafka", cluster, Transport::Plaintext)]))
}

fn may_read(topic: &str) -> AclRule {
    AclRule {
        permission: Permission::Allow,
        resource_type: ResourceType::Topic,
        pattern_type: PatternType::Literal,
        resource_name: topic.into(),
        operation: Operation::Read,
        host: "*".into(),
    }
}

/// A credential that Kastellan did not make.
fn stranger(cluster: &Cluster, name: &str, mechanisms: &[Mechanism]) -> Credentials {
    let credentials = Credentials::random(name);
    for &mechanism in mechanisms {
        cluster.set_password(name, mechanism, &credentials.password).unwrap();
    }
    credentials
}

#[track_caller]
fn assert_logs_in(cluster: &Cluster, mechanism: Mechanism, credentials: &Credentials) {
    let file = cluster.client_properties(Listener::Clients, mechanism, credentials).unwrap();
    let listed = cluster.run_tool(Tool::Topics, Listener::Clients, &file, &["--list"], "").unwrap();
    assert!(listed.succeeded(), "{listed:?}");
}

#[test]
fn an_unknown_credential_is_left_alone_until_somebody_says_adopt_and_then_stays_valid() {
    let (cluster, operator) = on(KafkaVersion::V4_3_1);
    let name = unique_name("legacy");
    let credentials = stranger(cluster, &name, &[SHA_512]);
    let file = operator.out("legacy.properties");
    let deliver = format!("deliver: [{{file: {{path: {}}}}}]", file.display());
    operator.declare(&name, &format!("{{clusters: [kafka], authentication: {{type: scram}}, {deliver}}}"));

    let plan = operator.plan(&["--detailed-exitcode"]).exits(4);
    let blocked = "kafka has a SCRAM-SHA-512 credential under this name that Kastellan did not make";
    assert_eq!(plan.reports_of(&name), [("blocked".to_owned(), blocked.to_owned())]);
    assert!(plan.actions_of(&name).is_empty() && plan.stdout.contains("adopt: true"), "{plan}");
    let before = Snapshot::of(&operator.store());
    operator.apply(&[]).exits(4);
    before.assert_unchanged(&operator.store());
    operator.run(&["plan", "--adopt", "tests/nobody"]).exits(1).says("there is no user `tests/nobody`");

    let adopt = format!("tests/{name}");
    let actions = operator.plan(&["--adopt", &adopt]).exits(0).actions_of(&name);
    assert!(actions[0].starts_with("+ credential: generation 1 into SCRAM-SHA-256"), "{actions:?}");
    assert!(actions[1].starts_with("~ credential: the unknown SCRAM-SHA-512 credential is adopted"), "{actions:?}");
    operator.apply(&["--adopt", &adopt]).exits(0);
    assert_eq!(cluster.mechanisms_of(&name).unwrap(), Mechanism::ALL.into());
    assert_logs_in(cluster, SHA_512, &credentials);
    let listed = cluster.run_tool(Tool::Topics, Listener::Clients, &file, &["--list"], "").unwrap();
    assert!(listed.succeeded(), "{listed:?}");
    assert_eq!(operator.status(&name)["adopted"], json!(["SCRAM-SHA-512 on kafka"]));

    // Retiring it is a rotation's business; until then it is said, and nothing is done.
    let waits = operator.plan(&[]).exits(0);
    assert!(waits.actions_of(&name).is_empty(), "{waits}");
    assert!(waits.reports_of(&name)[0].1.contains(" and stays valid until somebody says"), "{waits}");
    operator.remove(&name);
    operator.apply(&["--prune", "--allow-empty"]).exits(0);
    assert!(cluster.mechanisms_of(&name).unwrap().is_empty(), "a user that was adopted goes whole");
}

#[test]
fn a_stranger_beside_a_live_user_stops_what_touches_its_slots_until_somebody_takes_note_of_it() {
    let (cluster, operator) = on(KafkaVersion::V4_3_1);
    let (name, file) = (unique_name("visited"), operator.out("visited.properties"));
    let spec = |adopt: bool| {
        format!(
            "{{clusters: [kafka], authentication: {{type: scram}}, adopt: {adopt}, authorization: {{acls: [\
             {{resource: {{type: topic, name: {name}}}, operations: [Read]}}]}}, deliver: [{{file: {{path: {}}}}}]}}",
            file.display()
        )
    };
    operator.declare(&name, &spec(false));
    operator.apply(&[]).exits(0);
    let visitor = stranger(cluster, &name, &[SHA_256]);
    cluster.set_password(&name, SHA_512, &Credentials::random(&name).password).unwrap();
    cluster.revoke_all(&principal(&name)).unwrap();

    // Access is not the slots' business and is healed; the changed credential is left as it is (R6).
    let plan = operator.plan(&[]).exits(4);
    assert!(
        plan.reports_of(&name)[0].1.contains("holds a SCRAM-SHA-256 credential that the record does not know"),
        "{plan}"
    );
    operator.apply(&[]).exits(4);
    assert_eq!(cluster.acls_of(&principal(&name)).unwrap(), [may_read(&name)].into());
    assert!(operator.plan(&[]).exits(4).actions_of(&name).is_empty());
    operator.remove(&name);
    operator.apply(&["--prune", "--allow-empty"]).exits(4);
    assert_eq!(cluster.mechanisms_of(&name).unwrap(), Mechanism::ALL.into());

    operator.declare(&name, &spec(true));
    operator.apply(&[]).exits(0);
    operator
        .plan(&[])
        .exits(0)
        .says("an adopted SCRAM-SHA-256 credential was replaced by generation 1")
        .says("stays valid until somebody says");
    let listed = cluster.run_tool(Tool::Topics, Listener::Clients, &file, &["--list"], "").unwrap();
    assert!(listed.succeeded(), "{listed:?}");
    assert_logs_in(cluster, SHA_256, &visitor);
    operator.remove(&name);
    operator.apply(&["--prune", "--allow-empty"]).exits(0);
    assert!(cluster.mechanisms_of(&name).unwrap().is_empty());
}

#[test]
fn adopting_a_user_with_both_slots_taken_replaces_the_later_mechanism_and_says_so() {
    let (cluster, operator) = on(KafkaVersion::V3_9_2);
    let name = unique_name("legacy");
    let credentials = stranger(cluster, &name, &Mechanism::ALL);
    operator.declare(&name, "{clusters: [kafka], authentication: {type: scram}, adopt: true}");
    let plan = operator.plan(&[]).exits(0);
    let actions = plan.actions_of(&name);
    assert!(actions[0].starts_with("+ credential: generation 1 into SCRAM-SHA-256"), "{plan}");
    let replaced = "- credential: the unknown SCRAM-SHA-256 credential is replaced, whoever uses it (`adopt`)";
    assert!(actions.iter().any(|line| line == replaced), "{plan}");
    assert_eq!(plan.json()["summary"]["destructive"], 1);
    operator.apply(&[]).exits(0);
    operator.run(&["verify"]).exits(0);
    assert_logs_in(cluster, SHA_512, &credentials);
}

#[test]
fn access_that_exists_is_not_taken_over_unasked_and_becomes_exclusive_by_adoption() {
    let (cluster, operator) = on(KafkaVersion::V4_3_1);
    let name = unique_name("legacy");
    let (kept, lost) = (may_read(&format!("{name}.kept")), may_read(&format!("{name}.lost")));
    cluster.grant(&principal(&name), &[kept.clone(), lost]).unwrap();
    let spec = |adopt: bool| {
        format!(
            "{{clusters: [kafka], authentication: {{type: scram}}, adopt: {adopt}, authorization: {{acls: [\
             {{resource: {{type: topic, name: {name}.kept}}, operations: [Read]}}]}}}}"
        )
    };
    operator.declare(&name, &spec(false));
    let blocked = operator.apply(&[]).exits(4).reports_of(&name);
    assert!(blocked[0].1.contains("has ACLs or quotas under this name"), "{blocked:?}");
    assert!(cluster.mechanisms_of(&name).unwrap().is_empty());

    operator.declare(&name, &spec(true));
    let plan = operator.plan(&[]).exits(0);
    assert!(plan.actions_of(&name).iter().any(|line| line.starts_with("- acl:")), "{plan}");
    operator.apply(&[]).exits(0);
    assert_eq!(cluster.acls_of(&principal(&name)).unwrap(), [kept].into());
    operator.declare(&name, &spec(false));
    operator.assert_in_step();
}

#[test]
fn a_principal_that_somebody_else_authenticates_gets_access_and_no_credential() {
    let (cluster, operator) = on(KafkaVersion::V4_3_1);
    let topic = unique_name("public");
    let distinguished = format!("CN={topic},OU=a\\, b,O=Acme Müller");
    let acls = format!("authorization: {{acls: [{{resource: {{type: topic, name: {topic}}}, operations: [Read]}}]}}");
    let username = serde_json::to_string(&distinguished).unwrap();
    // It may well log in by a password that somebody else made, changes and deletes.
    stranger(cluster, &distinguished, &[SHA_512]);
    operator.declare(
        "machine",
        &format!(
            "{{clusters: [kafka], username: {username}, authentication: {{type: external}}, {acls}, \
             quotas: {{consumerByteRate: 4096}}}}"
        ),
    );
    operator.declare(
        "everyone",
        &format!("{{clusters: [kafka], username: \"*\", authentication: {{type: external}}, {acls}}}"),
    );
    operator.apply(&[]).exits(0);
    for user in [distinguished.as_str(), "*"] {
        assert_eq!(cluster.acls_of(&principal(user)).unwrap(), [may_read(&topic)].into());
    }
    assert!(cluster.mechanisms_of("*").unwrap().is_empty());
    assert_eq!(cluster.quotas_of(&distinguished).unwrap(), [("consumer_byte_rate".to_owned(), 4096.0)].into());
    operator.assert_in_step();
    cluster.grant(&principal("*"), &[may_read(&format!("{topic}.drift"))]).unwrap();
    operator.apply(&[]).exits(0);
    assert_eq!(cluster.acls_of(&principal("*")).unwrap(), [may_read(&topic)].into());

    operator.remove("machine");
    operator.remove("everyone");
    operator.apply(&["--prune", "--allow-empty"]).exits(0);
    for user in [distinguished.as_str(), "*"] {
        assert!(cluster.acls_of(&principal(user)).unwrap().is_empty());
    }
    assert!(cluster.quotas_of(&distinguished).unwrap().is_empty());
    assert_eq!(cluster.mechanisms_of(&distinguished).unwrap(), [SHA_512].into());
}

#[test]
fn a_given_password_is_provisioned_and_a_later_change_of_it_is_reported() {
    let (cluster, operator) = on(KafkaVersion::V3_9_2);
    let (name, file) = (unique_name("given"), operator.out("given.properties"));
    let given = Credentials::random(&name);
    operator.declare(
        &name,
        &format!(
            "{{clusters: [kafka], authentication: {{type: scram-sha-512, password: {{valueFrom: {{store: \
             {{path: imports/legacy, key: password}}}}}}}}, deliver: [{{file: {{path: {}}}}}]}}",
            file.display()
        ),
    );
    let missing = operator.apply(&[]).exits(4);
    assert_eq!(missing.reports_of(&name)[0].1, "the store holds no password at `imports/legacy#password`");
    operator.run_with_input(&["store", "put", "elsewhere/legacy"], "x").exits(1).says("does not lie below");
    operator.run_with_input(&["store", "put", "imports/legacy"], &format!("{}\n", given.password_text())).exits(0);

    operator.apply(&[]).exits(0);
    assert_eq!(delivered_password(&file), given.password_text());
    assert_logs_in(cluster, SHA_512, &given);
    operator.assert_in_step();

    let other = Credentials::random(&name);
    operator.run_with_input(&["store", "put", "imports/legacy"], other.password_text()).exits(0);
    let plan = operator.plan(&[]).exits(4);
    assert!(plan.actions_of(&name).is_empty(), "{plan}");
    assert!(plan.reports_of(&name)[0].1.starts_with("the given password changed at its source"), "{plan}");
    let before = Snapshot::of(&operator.store());
    operator.apply(&[]).exits(4);
    before.assert_unchanged(&operator.store());
    assert_eq!(delivered_password(&file), given.password_text());
}

#[test]
fn some_names_are_nobodys_to_declare() {
    let (_, operator) = on(KafkaVersion::V4_3_1);
    let named = |name: &str| format!("{{clusters: [kafka], username: {name}, authentication: {{type: scram}}}}");
    operator.edit("kafka.yaml", "protectedUsers: []", "protectedUsers: [\"platform-*\"]");
    operator.declare("x", &named("platform-db"));
    operator.run(&["plan"]).exits(1).says("x.yaml:4:").says("`platform-db` is protected");
    operator.declare("x", &named("kastellan"));
    operator.run(&["apply", "--auto-approve"]).exits(1).says("Kastellan's own user");
    // Apache Kafka does not tell its super users (4.3.1 and 3.9.2 hold the value back): one with a credential is a
    // stranger like every other, which nobody takes over unasked.
    operator.declare("x", &named("admin"));
    operator.run(&["validate"]).exits(0);
    assert!(operator.apply(&[]).exits(4).reports_of("x")[0].1.ends_with("that Kastellan did not make"));
}
