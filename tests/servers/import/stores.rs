//! Passwords that are among the inputs of a store: of the one that keeps the users, or of another that is only read.

use std::collections::BTreeSet;
use std::fs;

use serde_json::{Value, json};

use super::{PASSWORD, assert_only_looked, make_user, names};
use crate::operator::{Kept, MOUNT, Operator, Outcome, Snapshot, Transport};
use crate::stack::vault::Vault;
use crate::stack::{Cluster, ClusterBuilder, KafkaVersion, quiet, unique_name};

/// A store in a Vault that holds passwords as teams keep them, and whoever imports them.
struct Teams<'c> {
    vault: &'static Vault,
    operator: Operator<'c>,
}

impl<'c> Teams<'c> {
    fn new(kept: Kept, cluster: &'c Cluster) -> Self {
        let operator = Operator::keeping(kept, &[("kafka", cluster, Transport::Plaintext)]);
        Self { vault: crate::vault::vault(), operator }
    }

    fn path(&self, kind: &str, path: &str) -> String {
        format!("{MOUNT}/{kind}/{}/{path}", self.operator.prefix())
    }

    /// Writes a document, as anybody does.
    fn put(&self, path: &str, data: &Value) {
        self.vault.ask("POST", &self.path("data", path), &json!({"data": data})).unwrap();
    }

    /// Gives the role the policy that the program prints for a purpose, and no other.
    fn allow(&self, document: &str, purpose: &str) {
        let printed = self.operator.run(&["policy", "vault", "-f", document, "--purpose", purpose]).exits(0);
        self.vault.put_policy(self.operator.prefix(), &printed.stdout).unwrap();
    }

    fn import(&self, arguments: &[&str]) -> Outcome {
        let import = ["import", "--from", "kafka", "-n", "tests", "-o", "json"];
        let outcome = self.operator.run(&[&import, arguments].concat());
        assert!(!outcome.stdout.contains(PASSWORD) && !outcome.stderr.contains(PASSWORD), "{outcome}");
        outcome
    }

    /// The methods of the requests below a path that Vault has answered.
    fn asked(&self, path: &str) -> BTreeSet<String> {
        let log = fs::read_to_string(self.vault.audit_log()).unwrap();
        let entries = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let ours = entries.filter(|entry| {
            let role = entry["auth"]["metadata"]["role_name"] == self.operator.prefix();
            role && entry["request"]["path"].as_str().is_some_and(|asked| asked.contains(path))
        });
        ours.map(|entry| entry["request"]["operation"].as_str().unwrap().to_owned()).collect()
    }
}

/// Why a user was not imported.
fn why(outcome: &Outcome, user: &str) -> String {
    let view = outcome.json();
    let refused = view["refused"].as_array().unwrap().iter().find(|one| one["user"] == format!("tests/{user}"));
    refused.unwrap_or_else(|| panic!("`{user}` is not refused: {outcome}"))["why"].as_str().unwrap().to_owned()
}

#[test]
fn passwords_of_a_teams_vault_are_only_read_there_and_kept_in_another_store() {
    // One of its own, which may refuse a login.
    let cluster = ClusterBuilder::new(KafkaVersion::V4_3_1).start().unwrap();
    let mut teams = Teams::new(Kept::Age, &cluster);
    teams.operator.prepare(teams.vault, "kastellan/teams.yaml");
    teams.allow("kastellan/teams.yaml", "import");
    teams.operator.stop_watching();
    let [many, wrong, named, by_username, broken] = ["many", "wrong", "named", "username", "broken"].map(unique_name);
    for user in [&many, &wrong, &named, &by_username, &broken] {
        make_user(&cluster, user, PASSWORD);
    }
    let (line_end, unknown) = (format!("{PASSWORD}\n"), unique_name("unknown"));
    let others = json!({&many: PASSWORD, &wrong: format!("not-{PASSWORD}"), &broken: line_end, &unknown: PASSWORD});
    teams.put("imports/kafka", &others);
    teams.put(&format!("imports/apps/{named}"), &json!({"password": PASSWORD, "port": 9092, "brokers": ["a", "b"]}));
    teams.put("imports/apps/an-app", &json!({"username": by_username, "password": PASSWORD}));
    teams.put("imports/apps/certificate", &json!({"key": "-----BEGIN"}));
    teams.put("imports/apps/number", &json!({"password": 12345}));
    teams.put("imports/apps/old/gone", &json!({"password": PASSWORD}));
    teams.put("imports/apps/deleted", &json!({"password": PASSWORD}));
    teams.vault.ask("DELETE", &teams.path("data", "imports/apps/deleted"), &Value::Null).unwrap();
    let failed = cluster.failed_authentications();
    let places = [
        "--passwords-from-store",
        "vault/imports/kafka",
        "--passwords-from-store",
        "vault/imports/apps/",
        "--store",
        "local",
    ];

    let before = Snapshot::of(&teams.operator.work());
    let looked = teams.import(&[&places[..], &["--dry-run"]].concat()).exits(4);
    assert_eq!(names(&looked, "imported").len(), 3, "{looked}");
    before.assert_unchanged(&teams.operator.work());
    assert_eq!(cluster.failed_authentications(), failed + 1, "one wrong password, one broker");

    let imported = teams.import(&places).exits(4);
    assert_only_looked(&imported);
    let expected = [&many, &named, &by_username].map(|user| format!("tests/{user}"));
    let taken = names(&imported, "imported").into_iter().collect::<BTreeSet<_>>();
    assert_eq!(taken, expected.into(), "{imported}");
    assert_eq!(names(&imported, "refused").len(), 5, "{imported}");
    assert!(why(&imported, &wrong).starts_with("the password does not log in"));
    assert!(why(&imported, &unknown).starts_with("Kafka has no SCRAM credential"));
    assert!(why(&imported, &broken).ends_with("in `vault/imports/kafka` has a control character in it"));
    assert_eq!(why(&imported, "certificate"), "`vault/imports/apps/certificate` has no `password`");
    assert_eq!(why(&imported, "number"), "\"password\" in `vault/imports/apps/number` is not a text");
    let imported = imported.says("left out: `vault/imports/apps/old/` is a folder of its own");
    imported.says("left out: `vault/imports/apps/deleted` was deleted");
    assert!(teams.operator.materials(&wrong).is_empty());
    for user in [&many, &named, &by_username] {
        assert_eq!(teams.operator.credential(user)["password"], PASSWORD);
    }
    assert_eq!(teams.asked("/imports/"), ["list", "read"].map(str::to_owned).into());
    assert_eq!(teams.asked("/_kastellan/"), ["list"].map(str::to_owned).into(), "there is no record");

    // Who is managed is asked of every store; where nothing is read any more, the store can go.
    assert_eq!(names(&teams.import(&places).exits(4), "before").len(), 3);
    teams.operator.remove("teams");
    teams.operator.assert_in_step();
    teams.operator.run(&["verify"]).exits(0).says("3 credentials work, 0 failed");
}

#[test]
fn passwords_in_the_store_that_keeps_them_are_taken_over_and_nothing_else_of_it_is_read() {
    let vault = crate::vault::vault();
    let cluster = quiet(KafkaVersion::V4_3_1, 1);
    let teams = Teams::new(Kept::Vault(vault), cluster);
    let [one, other] = ["kept", "kept"].map(unique_name);
    for user in [&one, &other] {
        make_user(cluster, user, PASSWORD);
    }
    teams.put("imports/kafka", &json!({&one: PASSWORD}));
    teams.put(&format!("imports/apps/{other}"), &json!({"password": PASSWORD}));

    let imported = teams.import(&["--passwords-from-store", "vault/imports/kafka"]).exits(0);
    assert_only_looked(&imported);
    let folder = ["--passwords-from-store", "vault/imports/apps/"];
    teams.allow("kastellan/store.yaml", "plan");
    let denied = teams.import(&[&folder[..], &["--dry-run"]].concat()).exits(1);
    denied.says("`vault/imports/apps/`: Vault does not let Kastellan list").says("`--purpose import`");
    teams.allow("kastellan/store.yaml", "apply");
    let looked = teams.import(&[&folder[..], &["--dry-run"]].concat()).exits(0);
    assert_eq!((names(&looked, "imported").len(), teams.operator.materials(&other).len()), (1, 0));
    teams.import(&folder).exits(0);
    teams.operator.assert_in_step();
    for user in [&one, &other] {
        assert_eq!(teams.operator.credential(user)["password"], PASSWORD);
    }

    // Records, material and credentials are no passwords that anybody hands in, wherever they lie.
    let material = format!("vault/_kastellan/material/tests/{one}/1");
    for (place, says) in [
        (material.as_str(), "_kastellan"),
        ("vault/_kastellan/records/tests/", "_kastellan"),
        (&format!("vault/tests/{one}"), "does not lie below the store's `inputs`"),
        ("vault/tests/", "does not lie below the store's `inputs`"),
        ("vault/imports/../tests/", "may not be `..`"),
        ("vault/imports", "does not lie below the store's `inputs`"),
    ] {
        let refused = teams.import(&["--passwords-from-store", place]);
        assert!(matches!(refused.code, Some(1 | 64)), "{refused}");
        refused.says(says);
    }
    teams.put("imports/stolen/one", &teams.operator.credential(&one));
    let refused = teams.import(&["--passwords-from-store", "vault/imports/stolen/one"]).exits(1);
    refused.says("holds a credential of the store's own");
    let refused = teams.import(&["--passwords-from-store", "vault/imports/stolen/"]).exits(4);
    assert!(why(&refused, "one").contains("holds a credential of the store's own"), "{refused}");
    let absent = teams.import(&["--passwords-from-store", "vault/imports/apps"]).exits(1);
    absent.says("there is no document at `vault/imports/apps`").says("a folder is named with a `/` at its end");
    let refused = teams.import(&["--passwords-from-store", "vault/imports/none/"]).exits(1);
    refused.says("there is no document in `vault/imports/none/`");
}
