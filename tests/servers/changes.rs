//! Changes of documents, and how commands answer: what only a rotation can carry out, what is suspended, scopes, saved
//! plans, exit statuses, JSON.

use std::collections::BTreeSet;
use std::time::Duration;

use kastellan::names::Mechanism;
use serde_json::{Value, json};

use crate::operator::{Operator, Snapshot, Transport, cluster_document, delivered_password, user_document};
use crate::stack::kafka::{Tool, principal};
use crate::stack::{Cluster, Credentials, KafkaVersion, pause, quiet, unique_name};

fn on(version: KafkaVersion) -> (&'static Cluster, Operator<'static>) {
    let cluster = quiet(version, 1);
    (cluster, Operator::with(&[("kafka", cluster, Transport::Plaintext)]))
}

const PLAIN: &str = "{clusters: [kafka], authentication: {type: scram}}";

/// A user with a topic that it may read.
fn reader(name: &str) -> String {
    format!(
        "{{clusters: [kafka], authentication: {{type: scram}}, authorization: {{acls: [\
         {{resource: {{type: topic, name: {name}}}, operations: [Read]}}]}}}}"
    )
}

#[test]
fn a_change_that_only_a_rotation_can_carry_out_is_named_and_nothing_is_done() {
    let (cluster, operator) = on(KafkaVersion::V4_3_1);
    let other = quiet(KafkaVersion::V3_9_2, 1);
    let name = unique_name("live");
    operator.declare(&name, PLAIN);
    operator.apply(&[]).exits(0);

    let mut operator = operator;
    operator.set("KAFKA_PASSWORD_OTHER", other.kastellan.password_text());
    operator.write("kastellan/other.yaml", &cluster_document("other", other, Transport::Plaintext));

    let changes = [
        ("clusters: [kafka], authentication: {type: scram, iterations: 8192}", "iterations change from 4096 to 8192"),
        ("clusters: [kafka], authentication: {type: scram-sha-256}", "the mechanism in use, SCRAM-SHA-512"),
        ("clusters: [kafka], username: else, authentication: {type: scram}", "the user name changes from `live-"),
        ("clusters: [kafka], authentication: {type: external}", "the authentication type changes"),
        ("clusters: [kafka], authentication: {type: scram}, movedFrom: tests/old", "was moved from `tests/old`"),
    ];
    let before = Snapshot::of(&operator.store());
    for (spec, why) in changes {
        operator.declare(&name, &format!("{{{spec}}}"));
        let plan = operator.plan(&["--detailed-exitcode"]).exits(4);
        assert!(plan.reports_of(&name).iter().any(|(kind, text)| kind == "blocked" && text.contains(why)), "{plan}");
        assert!(plan.actions_of(&name).is_empty(), "{plan}");
        operator.apply(&[]).exits(4);
    }
    before.assert_unchanged(&operator.store());
    assert_eq!(cluster.mechanisms_of(&name).unwrap(), [Mechanism::ScramSha512].into());
    assert!(other.mechanisms_of(&name).unwrap().is_empty() && cluster.mechanisms_of("else").unwrap().is_empty());

    // What is blocked does not keep the rest of the same user from being healed.
    operator.declare(&name, "{clusters: [kafka], authentication: {type: scram, iterations: 8192}}");
    cluster.delete_password(&name, Mechanism::ScramSha512).unwrap();
    operator.apply(&[]).exits(4);
    operator.declare(&name, "{clusters: [kafka], authentication: {type: scram}}");
    operator.assert_in_step();
}

#[test]
fn drift_is_healed_under_the_name_a_user_has_whatever_its_document_says_now() {
    let (cluster, operator) = on(KafkaVersion::V4_3_1);
    let (name, renamed, file) = (unique_name("live"), unique_name("renamed"), operator.out("live.properties"));
    let spec = |username: &str| {
        format!(
            "{{clusters: [kafka], username: {username}, authentication: {{type: scram}}, authorization: {{acls: [\
             {{resource: {{type: topic, name: {name}}}, operations: [Read]}}]}}, \
             deliver: [{{file: {{path: {}, cluster: kafka}}}}]}}",
            file.display()
        )
    };
    operator.declare(&name, &spec(&name));
    operator.apply(&[]).exits(0);
    let (delivered, credential) = (std::fs::read(&file).unwrap(), operator.credential(&name));

    // Without a strategy the user cannot move to its new name, so its clients keep what they have.
    operator.declare(&name, &spec(&renamed));
    cluster.revoke_all(&principal(&name)).unwrap();
    cluster.set_password(&name, Mechanism::ScramSha512, &Credentials::random(&name).password).unwrap();
    std::fs::remove_file(&file).unwrap();
    std::fs::remove_file(operator.store().join(format!("tests/{name}.age"))).unwrap();
    operator.apply(&[]).exits(4);
    assert_eq!(std::fs::read(&file).unwrap(), delivered);
    let again = operator.credential(&name);
    for (field, value) in credential.as_object().unwrap().iter().filter(|(field, _)| *field != "published_at") {
        assert_eq!(&again[field], value, "{field}");
    }
    assert_eq!(again.as_object().unwrap().len(), credential.as_object().unwrap().len(), "{again}");
    assert_eq!(cluster.acls_of(&principal(&name)).unwrap().len(), 1);
    assert!(cluster.acls_of(&principal(&renamed)).unwrap().is_empty());
    assert!(cluster.mechanisms_of(&renamed).unwrap().is_empty());
    operator.declare(&name, &spec(&name));
    operator.assert_in_step();
}

#[test]
fn nothing_is_changed_for_who_or_what_is_suspended() {
    let (cluster, operator) = on(KafkaVersion::V4_3_1);
    let (name, newcomer) = (unique_name("suspended"), unique_name("newcomer"));
    operator.declare(&name, &reader(&name));
    operator.apply(&[]).exits(0);
    cluster.revoke_all(&principal(&name)).unwrap();

    operator.declare(&name, &reader(&name).replace("{clusters", "{suspend: true, clusters"));
    let plan = operator.plan(&["--detailed-exitcode"]).exits(0);
    assert_eq!(plan.reports_of(&name), [("suspended".to_owned(), "suspended by its document".to_owned())]);
    operator.apply(&[]).exits(0);
    assert!(cluster.acls_of(&principal(&name)).unwrap().is_empty());

    operator.declare(&name, &reader(&name));
    operator.declare(&newcomer, PLAIN);
    operator.edit("kafka.yaml", "suspend: false", "suspend: true");
    let waits = operator.apply(&[]).exits(4);
    for user in [&name, &newcomer] {
        let waiting = ("waiting".to_owned(), "kafka: the cluster is suspended".to_owned());
        assert_eq!(waits.reports_of(user), [waiting]);
    }
    assert!(cluster.acls_of(&principal(&name)).unwrap().is_empty());
    assert!(cluster.mechanisms_of(&newcomer).unwrap().is_empty());
    operator.edit("kafka.yaml", "suspend: true", "suspend: false");
    operator.apply(&[]).exits(0);
    operator.assert_in_step();
}

#[test]
fn what_retains_stays_and_an_empty_folder_deletes_nobody() {
    let (cluster, operator) = on(KafkaVersion::V3_9_2);
    let (kept, gone) = (unique_name("kept"), unique_name("gone"));
    operator.declare(&kept, &reader(&kept).replace("{clusters", "{deletionPolicy: Retain, clusters"));
    operator.declare(&gone, PLAIN);
    operator.apply(&[]).exits(0);
    operator.remove(&kept);
    let plan = operator.plan(&["--prune", "--detailed-exitcode"]).exits(0);
    assert!(plan.reports_of(&kept)[0].1.contains("its deletion policy is Retain"), "{plan}");
    operator.apply(&["--prune"]).exits(0);
    assert_eq!(cluster.acls_of(&principal(&kept)).unwrap().len(), 1);

    // One user of the scope stays, so this empties nothing.
    operator.remove(&gone);
    operator.plan(&["--prune", "--detailed-exitcode"]).exits(2);
    operator.declare(&gone, PLAIN);
    operator.declare(&kept, &reader(&kept));
    operator.apply(&[]).exits(0);
    operator.remove(&kept);
    operator.remove(&gone);
    let refused = operator.apply(&["--prune"]).exits(3);
    refused.says("every user of the scope would be deleted (2)").says("--allow-empty");
    assert_eq!(cluster.mechanisms_of(&gone).unwrap().len(), 1);
    operator.apply(&["--prune", "--allow-empty"]).exits(0);
    assert!(cluster.mechanisms_of(&gone).unwrap().is_empty() && cluster.mechanisms_of(&kept).unwrap().is_empty());
}

#[test]
fn a_deletion_cannot_be_undone_for_longer_than_it_was_said() {
    let (cluster, operator) = on(KafkaVersion::V3_9_2);
    let (name, stays, file) = (unique_name("short"), unique_name("stays"), operator.out("short.properties"));
    let deliver = format!("{{deliver: [{{file: {{path: {}}}}}], clusters", file.display());
    operator.declare(&name, &PLAIN.replace("{clusters", &deliver));
    operator.declare(&stays, PLAIN);
    let material = |generation: u32| {
        let path = operator.store().join(format!("_kastellan/material/tests/{name}/{generation}.age"));
        std::fs::read_to_string(path).unwrap()
    };
    operator.apply(&[]).exits(0);
    let password = delivered_password(&file);
    operator.remove(&name);
    operator.apply(&["--prune", "--undo-for", "1s"]).exits(0);
    assert!(material(1).starts_with("-----BEGIN AGE"));
    pause(Duration::from_millis(1100));
    assert_eq!(
        operator.plan(&[]).exits(0).actions_of(&name),
        ["- record: destroy the kept password of generation 1 (its time for undo is over)"]
    );
    operator.apply(&[]).exits(0);
    assert!(material(1).starts_with("{\"destroyed\":true"));
    operator.assert_in_step();

    operator.declare(&name, &PLAIN.replace("{clusters", &deliver));
    operator.apply(&[]).exits(0);
    assert_ne!(delivered_password(&file), password);
    assert_eq!(operator.status(&name)["generation"], 3);
    assert_eq!(cluster.mechanisms_of(&name).unwrap().len(), 1);
}

#[test]
fn two_repositories_with_scopes_of_their_own_share_a_store() {
    let (cluster, operator) = on(KafkaVersion::V4_3_1);
    let (ours, theirs) = (unique_name("ours"), unique_name("theirs"));
    for document in ["store.yaml", "kafka.yaml"] {
        let text = std::fs::read_to_string(operator.documents().join(document)).unwrap();
        operator.write(&format!("second/{document}"), &text);
    }
    let second = |arguments: &[&str]| operator.apply(&[&["-f", "second", "--scope", "second"], arguments].concat());
    operator.declare(&ours, PLAIN);
    operator.write(&format!("second/{theirs}.yaml"), &user_document(&theirs, PLAIN));
    operator.apply(&[]).exits(0);
    second(&[]).exits(0);

    // A prune of one scope does not see the users of the other.
    operator.apply(&["--prune"]).exits(0);
    second(&["--prune"]).exits(0);
    for user in [&ours, &theirs] {
        assert_eq!(cluster.mechanisms_of(user).unwrap().len(), 1);
    }
    operator.write(&format!("second/{ours}.yaml"), &user_document(&ours, PLAIN));
    let blocked = second(&[]).exits(4).reports_of(&ours);
    assert_eq!(blocked[0].1, "its record belongs to scope `default`");
    std::fs::remove_file(operator.work().join(format!("second/{ours}.yaml"))).unwrap();

    // Nor does it take a name from the other under another document's name.
    operator
        .write("second/thief.yaml", &user_document("thief", &PLAIN.replace("{c", &format!("{{username: {ours}, c"))));
    let claimed = second(&[]).exits(4).reports_of("thief");
    assert!(claimed[0].1.contains(&format!("claimed by `tests/{ours}` on cluster kafka")), "{claimed:?}");
}

#[test]
fn a_saved_plan_is_carried_out_only_while_it_would_still_do_the_same() {
    let (cluster, operator) = on(KafkaVersion::V4_3_1);
    let name = unique_name("saved");
    operator.declare(&name, &reader(&name));
    operator.run(&["plan", "--save", "plan.json"]).exits(0).says("kastellan apply plan.json");
    // The plan holds the documents; what becomes of the files does not matter.
    operator.remove(&name);
    operator.run(&["apply", "plan.json", "--auto-approve"]).exits(0);
    assert_eq!(cluster.mechanisms_of(&name).unwrap().len(), 1);
    operator.run(&["apply", "plan.json", "--auto-approve"]).exits(3).says("the saved plan is stale");

    operator.declare(&name, &reader(&name));
    cluster.revoke_all(&principal(&name)).unwrap();
    operator.run(&["plan", "--save", "plan.json"]).exits(0);
    cluster.set_password(&name, Mechanism::ScramSha512, &Credentials::random(&name).password).unwrap();
    let before = Snapshot::of(&operator.store());
    operator.run(&["apply", "plan.json"]).exits(3).says("the saved plan is stale");
    before.assert_unchanged(&operator.store());
    assert!(cluster.acls_of(&principal(&name)).unwrap().is_empty());
    operator.run(&["plan", "--save", "plan.json"]).exits(0);
    // It was approved when it was saved: nobody is asked again.
    operator.run(&["apply", "plan.json"]).exits(0);
    operator.assert_in_step();

    // A stranger that appears under the name of a user that the plan would make.
    let newcomer = unique_name("newcomer");
    operator.declare(&newcomer, PLAIN);
    operator.run(&["plan", "--save", "plan.json"]).exits(0);
    cluster.set_password(&newcomer, Mechanism::ScramSha256, &Credentials::random(&newcomer).password).unwrap();
    operator.run(&["apply", "plan.json"]).exits(3).says("the saved plan is stale");
    assert_eq!(cluster.mechanisms_of(&newcomer).unwrap(), [Mechanism::ScramSha256].into());

    operator.write("plan.json", "{}");
    operator.run(&["apply", "plan.json"]).exits(1).says("is not a saved plan");
    operator.run(&["apply", "plan.json", "--prune"]).exits(64);
}

/// Keys of an object, for contracts.
fn keys(value: &Value) -> BTreeSet<&str> {
    value.as_object().unwrap_or_else(|| panic!("no object: {value}")).keys().map(String::as_str).collect()
}

#[test]
fn json_is_a_contract_and_exit_statuses_say_what_is_pending() {
    let (_, operator) = on(KafkaVersion::V3_9_2);
    let (name, file) = (unique_name("contract"), operator.out("contract.properties"));
    let deliver = format!("{{deliver: [{{file: {{path: {}}}}}], clusters", file.display());
    operator.declare(&name, &reader(&name).replace("{clusters", &deliver));
    let valid = operator.run(&["validate", "-o", "json"]).exits(0).json();
    assert_eq!((&valid["schema"], &valid["valid"]), (&json!("kastellan.io/validate/v1alpha1"), &json!(true)));

    operator.run(&["plan"]).exits(0).says("Plan: 2 to add, 0 to change, 0 to remove");
    operator.run(&["plan", "--detailed-exitcode"]).exits(2);
    operator.run(&["plan", "-o", "markdown"]).exits(0).says("### Kastellan plan");
    let plan = operator.plan(&[]).exits(0).json();
    assert_eq!(plan["schema"], "kastellan.io/plan/v1alpha1");
    let plan_keys = [
        "schema", "scope", "clusters", "stores", "declared", "inStep", "users", "reports", "warnings", "refusals",
        "summary", "digest",
    ];
    assert_eq!(keys(&plan), plan_keys.into());
    assert_eq!(keys(&plan["users"][0]), ["user", "username", "actions"].into());
    let action = &plan["users"][0]["actions"][0];
    assert_eq!(keys(action), ["change", "subject", "clusters", "text", "destructive"].into());
    let counts = ["add", "change", "remove", "destructive", "deletes", "maxDeletes"];
    assert_eq!(keys(&plan["summary"]), counts.into());

    // Nobody is there to ask.
    operator.run(&["apply"]).exits(1).says("there is nobody to ask");
    let applied = operator.apply(&[]).exits(0).json();
    assert_eq!(applied["schema"], "kastellan.io/apply/v1alpha1");
    assert_eq!(
        keys(&applied),
        ["schema", "done", "ended", "reports", "effects", "seconds", "traffic", "underWay"].into()
    );
    let verified = operator.run(&["verify", "-o", "json"]).exits(0).json();
    assert_eq!(verified["schema"], "kastellan.io/verify/v1alpha1");
    let verified_keys = ["user", "cluster", "generation", "brokers", "result"];
    assert_eq!(keys(&verified["credentials"][0]), verified_keys.into());
    let status = operator.run(&["status", "-o", "json"]).exits(0).json();
    assert_eq!(status["schema"], "kastellan.io/status/v1alpha1");
    let status_keys = [
        "user",
        "username",
        "scope",
        "clusters",
        "store",
        "phase",
        "awaits",
        "says",
        "generation",
        "mechanism",
        "credentials",
        "publishedAt",
        "downtimePossible",
        "proven",
        "adopted",
        "deliveries",
    ];
    assert_eq!(keys(&status["users"][0]), status_keys.into());
    assert_eq!(keys(&status["users"][0]["deliveries"][0]), ["name", "target", "state"].into());
    operator.run(&["plan", "--detailed-exitcode"]).exits(0);
    operator.run(&["status", "nobody"]).exits(1).says("there is no user `nobody`");
    operator.run(&["plan", "--no-such-flag"]).exits(64);
}

/// Names of the Kafka user that something on the way could mistake; `~` becomes a name of the test's own.
const NAMES: [&str; 5] =
    ["CN=payments~, O=\"Acme, Inc.\"", "two  blanks ~", "=3D,=2C~", "a'b;${env:HOME}~#!", "back\\slash~"];

fn names_survive(version: KafkaVersion, transport: Transport) {
    let cluster = quiet(version, 1);
    let operator = Operator::with(&[("kafka", cluster, transport)]);
    let users = NAMES.map(|name| (unique_name("named"), name.replace('~', &unique_name("u"))));
    for (document, username) in &users {
        let file = operator.out(document);
        let username = serde_json::to_string(username).unwrap();
        let deliver = format!("deliver: [{{file: {{path: {}}}}}]", file.display());
        operator.declare(
            document,
            &format!("{{clusters: [kafka], username: {username}, authentication: {{type: scram}}, {deliver}}}"),
        );
    }
    operator.apply(&[]).exits(0);
    for (document, username) in &users {
        assert_eq!(cluster.mechanisms_of(username).unwrap().len(), 1, "{username}");
        let file = operator.out(document);
        let listed = cluster.run_tool(Tool::Topics, transport.clients(), &file, &["--list"], "").unwrap();
        assert!(listed.succeeded(), "{username}: {listed:?}");
    }
    operator.assert_in_step();
}

#[test]
fn names_survive_every_escape_on_4_3_1_with_tls() {
    names_survive(KafkaVersion::V4_3_1, Transport::Tls);
}

#[test]
fn names_survive_every_escape_on_3_9_2_in_plaintext() {
    names_survive(KafkaVersion::V3_9_2, Transport::Plaintext);
}
