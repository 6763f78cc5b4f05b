//! The whole way with a real Kafka and a real Vault, as a person goes it.

use std::process::Child;
use std::time::Duration;

use serde_json::{Value, json};

use super::vault;
use crate::operator::{Kept, MOUNT, Operator, Outcome, Transport, delivered_password};
use crate::stack::kafka::principal;
use crate::stack::vault::Vault;
use crate::stack::{Cluster, KafkaVersion, quiet, unique_name, wait_until};

/// A user with an ACL, a delivery, and a rotation that ends at once.
fn declare(operator: &Operator<'_>, name: &str, iterations: u32) {
    let file = operator.out(&format!("{name}.properties"));
    let spec = format!(
        "{{clusters: [kafka], authentication: {{type: scram, iterations: {iterations}}}, \
         rotation: {{strategy: mechanism-flip, overlap: 0s}}, authorization: {{acls: [\
         {{resource: {{type: topic, name: {name}}}, operations: [Read, Write]}}]}}, deliver: [{{file: {{path: {}}}}}]}}",
        file.display()
    );
    operator.declare(name, &spec);
}

fn on(vault: &'static Vault, cluster: &'static Cluster) -> Operator<'static> {
    Operator::keeping(Kept::Vault(vault), &[("kafka", cluster, Transport::Plaintext)])
}

/// The same for many users: permits last for half of a fence, in which a busy Vault has to take a whole wave of records.
fn on_for_many(vault: &'static Vault, cluster: &'static Cluster) -> Operator<'static> {
    let operator = on(vault, cluster);
    operator.edit("kafka.yaml", "fence: 1s", "fence: 10s");
    operator
}

/// How many versions of everything there are below a prefix.
fn versions(vault: &Vault, prefix: &str, names: &[String]) -> Vec<Value> {
    let kept = names.iter().flat_map(|name| [format!("tests/{name}"), format!("_kastellan/records/tests/{name}")]);
    let path = |key: String| format!("{MOUNT}/metadata/{prefix}/{key}");
    kept.map(|key| vault.ask("GET", &path(key), &Value::Null).unwrap()["data"]["current_version"].clone()).collect()
}

#[test]
fn users_are_provisioned_rotated_removed_and_brought_back_with_their_passwords_in_vault() {
    let (vault, cluster) = (vault(), quiet(KafkaVersion::V4_3_1, 1));
    let mut operator = on(vault, cluster);
    // Nothing of this may matter to whoever has documents.
    for (variable, value) in [("HTTPS_PROXY", "http://127.0.0.1:9"), ("ALL_PROXY", "http://127.0.0.1:9")] {
        operator.set(variable, value);
    }
    for variable in ["VAULT_TOKEN", "VAULT_ADDR", "VAULT_NAMESPACE", "VAULT_CACERT"] {
        operator.set(variable, "nonsense");
    }
    let names: Vec<String> = (0..5).map(|_| unique_name("journey")).collect();
    names.iter().for_each(|name| declare(&operator, name, 4096));
    operator.plan(&["--detailed-exitcode"]).exits(2);
    operator.apply(&[]).exits(0);
    operator.assert_in_step();
    operator.run(&["verify"]).exits(0);

    let (prefix, name) = (operator.prefix(), &names[0]);
    let before = versions(vault, prefix, &names);
    let again = operator.apply(&[]).exits(0).json();
    assert_eq!(again["effects"], json!({}), "{again:#}");
    assert_eq!(versions(vault, prefix, &names), before, "nothing was written");

    let (credential, file) = (operator.credential(name), operator.out(&format!("{name}.properties")));
    assert_eq!(credential["password"], delivered_password(&file).as_str());
    assert_eq!((&credential["username"], &credential["generation"]), (&json!(name), &json!("1")));

    operator.run(&["rotate", name, "--auto-approve"]).exits(0);
    let rotated = operator.credential(name);
    assert_ne!(rotated["password"], credential["password"]);
    assert_eq!((&rotated["generation"], &rotated["password"]), (&json!("2"), &json!(delivered_password(&file))));
    assert_eq!(operator.materials(name).into_keys().collect::<Vec<_>>(), [2], "the old password is destroyed");
    operator.run(&["verify"]).exits(0);
    operator.assert_in_step();

    operator.remove(name);
    operator.apply(&["--prune"]).exits(0);
    assert!(cluster.mechanisms_of(name).unwrap().is_empty() && cluster.acls_of(&principal(name)).unwrap().is_empty());
    declare(&operator, name, 4096);
    operator.apply(&[]).exits(0);
    assert_eq!(operator.credential(name)["password"], rotated["password"], "an undo brings the very same back");
    operator.assert_in_step();
}

#[test]
fn a_plan_needs_no_more_than_the_right_to_read_records() {
    let (vault, cluster) = (vault(), quiet(KafkaVersion::V4_3_1, 1));
    let operator = on(vault, cluster);
    let name = unique_name("reader");
    declare(&operator, &name, 4096);
    operator.apply(&[]).exits(0);

    // Narrower than what `policy vault --purpose plan` prints: not even its own token may be looked up.
    let records = format!("{}/_kastellan/records", operator.prefix());
    let rights = json!({"path": {
        format!("{MOUNT}/data/{records}/*"): {"capabilities": ["read"]},
        format!("{MOUNT}/metadata/{records}/"): {"capabilities": ["list"]},
        format!("{MOUNT}/metadata/{records}/*"): {"capabilities": ["list"]},
    }});
    let policy = unique_name("records-only");
    vault.put_policy(&policy, &rights.to_string()).unwrap();
    operator.write("token", &vault.token(&[&policy], "10m").unwrap());
    let document = std::fs::read_to_string(operator.documents().join("store.yaml")).unwrap();
    let login = document.lines().find(|line| line.contains("auth:")).unwrap();
    operator.edit("store.yaml", login, "    auth: {tokenFile: ../token}");

    operator.assert_in_step();
    assert_eq!(operator.status(&name)["generation"], 1);
    declare(&operator, &name, 8192);
    let planned = operator.plan(&["--detailed-exitcode"]).exits(2);
    assert!(!planned.actions_of(&name).is_empty() && planned.reports_of(&name).is_empty(), "{planned}");
    let refused = operator.apply(&[]).exits(1);
    assert!(refused.stderr.contains("Vault does not let Kastellan read"), "{refused}");
    assert!(refused.stderr.contains("kastellan policy vault"), "{refused}");
}

/// Starts a command that others meet on its way.
fn begin(operator: &Operator<'_>, command: &[&str]) -> Child {
    operator.command(command).spawn().unwrap()
}

fn end(child: Child) -> Outcome {
    Outcome::new(&["…"], child.wait_with_output().unwrap())
}

const APPLY: [&str; 4] = ["apply", "--auto-approve", "-o", "json"];
const ROTATE_ALL: [&str; 5] = ["rotate", "--all", "--auto-approve", "-o", "json"];

#[test]
fn two_applies_at_once_make_one_password_for_each_user() {
    let (vault, cluster) = (vault(), quiet(KafkaVersion::V4_3_1, 1));
    let operator = on(vault, cluster);
    let names: Vec<String> = (0..20).map(|_| unique_name("twice")).collect();
    names.iter().for_each(|name| declare(&operator, name, 4096));
    let both = [begin(&operator, &APPLY), begin(&operator, &APPLY)].map(end);
    for one in &both {
        // Whoever comes second is told so; nothing worse happens to it.
        assert!(matches!(one.code, Some(0 | 4)), "{one}");
    }
    operator.apply(&[]).exits(0);
    operator.assert_in_step();
    operator.run(&["verify"]).exits(0);
    for name in &names {
        let file = operator.out(&format!("{name}.properties"));
        assert_eq!(operator.credential(name)["password"], delivered_password(&file).as_str(), "{name}");
        assert_eq!(cluster.mechanisms_of(name).unwrap().len(), 1, "{name}");
        assert_eq!(operator.materials(name).len(), 1, "{name}");
    }
}

/// Waits until one of the users has more versions of its record than it had: a command is in the middle of its work.
fn await_progress(vault: &Vault, operator: &Operator<'_>, names: &[String], before: u64) {
    let path = |name: &String| format!("{MOUNT}/metadata/{}/_kastellan/records/tests/{name}", operator.prefix());
    let version = |name| vault.ask("GET", &path(name), &Value::Null).ok()?["data"]["current_version"].as_u64();
    let is_at_work = || names.iter().any(|name| version(name).is_some_and(|version| version > before));
    assert!(wait_until(Duration::from_secs(60), is_at_work), "nothing was written");
}

/// The newest version of anybody's record.
fn newest(vault: &Vault, operator: &Operator<'_>, names: &[String]) -> u64 {
    let versions = versions(vault, operator.prefix(), names);
    versions.iter().filter_map(Value::as_u64).max().unwrap()
}

#[test]
fn a_token_that_is_revoked_in_the_middle_of_an_apply_or_a_rotation_is_replaced() {
    let (vault, cluster) = (vault(), quiet(KafkaVersion::V4_3_1, 1));
    let operator = on_for_many(vault, cluster);
    let names: Vec<String> = (0..200).map(|_| unique_name("revoked")).collect();
    names.iter().for_each(|name| declare(&operator, name, 4096));
    let mut before = 0;
    for command in [&APPLY[..], &ROTATE_ALL] {
        let begun = begin(&operator, command);
        await_progress(vault, &operator, &names, before);
        assert_eq!(vault.revoke_tokens_of(operator.prefix()).unwrap(), 1, "{command:?} was still at work");
        end(begun).exits(0);
        operator.assert_in_step();
        before = newest(vault, &operator, &names);
    }
    operator.run(&["verify"]).exits(0);
}

#[test]
fn tokens_that_live_for_seconds_are_enough_for_an_apply_and_a_rotation() {
    let (vault, cluster) = (vault(), quiet(KafkaVersion::V4_3_1, 1));
    let operator = on_for_many(vault, cluster);
    let role = format!("auth/approle/role/{}", operator.prefix());
    vault.ask("POST", &role, &json!({"token_ttl": "1s", "token_max_ttl": "2s"})).unwrap();
    let names: Vec<String> = (0..100).map(|_| unique_name("brief")).collect();
    names.iter().for_each(|name| declare(&operator, name, 4096));
    operator.apply(&[]).exits(0);
    operator.run(&ROTATE_ALL).exits(0);
    operator.assert_in_step();
    operator.run(&["verify"]).exits(0);
}

/// What is done to a Vault while somebody works with it.
type Harm = fn(&Vault);

#[test]
fn what_vault_was_sealed_or_restarted_under_is_finished_by_the_next_apply() {
    let vault: &'static Vault = Box::leak(Box::new(Vault::start().unwrap()));
    vault.mount_kv(MOUNT).unwrap();
    let cluster = quiet(KafkaVersion::V4_3_1, 1);
    let operator = on_for_many(vault, cluster);
    let names: Vec<String> = (0..100).map(|_| unique_name("sealed")).collect();
    names.iter().for_each(|name| declare(&operator, name, 4096));
    let seal = |vault: &Vault| vault.seal().unwrap();
    let stop = |vault: &Vault| vault.stop_process();
    let harms: [(&[&str], Harm); 3] = [(&APPLY, seal), (&ROTATE_ALL, seal), (&ROTATE_ALL, stop)];
    let mut before = 0;
    for (command, harm) in harms {
        let begun = begin(&operator, command);
        await_progress(vault, &operator, &names, before);
        harm(vault);
        let ended = end(begun);
        assert!(matches!(ended.code, Some(0 | 4)), "{ended}");
        if vault.is_stopped() {
            vault.start_process().unwrap();
        }
        vault.unseal().unwrap();
        operator.apply(&[]).exits(0);
        operator.assert_in_step();
        operator.run(&["verify"]).exits(0);
        before = newest(vault, &operator, &names);
    }
}

#[test]
fn a_store_in_a_folder_is_copied_to_vault_and_nobody_notices() {
    let (vault, cluster) = (vault(), quiet(KafkaVersion::V4_3_1, 1));
    let mut operator = Operator::with(&[("kafka", cluster, Transport::Plaintext)]);
    let names: Vec<String> = (0..4).map(|_| unique_name("moved")).collect();
    names.iter().for_each(|name| declare(&operator, name, 4096));
    operator.edit(
        &format!("{}.yaml", names[3]),
        "type: scram,",
        "type: scram, password: {valueFrom: {store: {path: imports/legacy, key: password}}},",
    );
    operator.run_with_input(&["store", "put", "imports/legacy"], "a password that somebody gave").exits(0);
    operator.apply(&[]).exits(0);
    operator.run(&["rotate", &names[0], "--auto-approve"]).exits(0);
    operator.remove(&names[1]);
    operator.apply(&["--prune"]).exits(0);
    operator.assert_in_step();
    let files: Vec<_> =
        [&names[0], &names[2], &names[3]].map(|name| operator.out(&format!("{name}.properties"))).into();
    let passwords: Vec<String> = files.iter().map(|file| delivered_password(file)).collect();

    operator.prepare(vault, "elsewhere/vault.yaml");
    let copy = [
        "store",
        "copy",
        "--from",
        "local",
        "--to",
        "vault",
        "-f",
        "kastellan/store.yaml",
        "-f",
        "elsewhere/vault.yaml",
    ];
    operator.run(&copy).exits(0).says("Copied 4 users from store `local` to `vault`; 0 were there already.");
    operator.run(&copy).exits(0).says("Copied 0 users from store `local` to `vault`; 4 were there already.");
    operator.move_to(vault, "elsewhere/vault.yaml");

    operator.assert_in_step();
    let applied = operator.apply(&[]).exits(0).json();
    assert_eq!(applied["effects"], json!({}), "{applied:#}");
    operator.run(&["verify"]).exits(0);
    assert_eq!(files.iter().map(|file| delivered_password(file)).collect::<Vec<_>>(), passwords);
    assert_eq!(operator.credential(&names[0])["password"], passwords[0].as_str());
    assert_eq!(operator.materials(&names[0]).into_keys().collect::<Vec<_>>(), [2]);

    operator.run(&["rotate", &names[2], "--auto-approve"]).exits(0);
    assert_ne!(delivered_password(&files[1]), passwords[1]);
    declare(&operator, &names[1], 4096);
    operator.apply(&[]).exits(0);
    operator.assert_in_step();
    assert_eq!(operator.record(&names[1])["generation"], 3, "the undo of a deletion before the move");
    operator.run(&["verify"]).exits(0);
}
