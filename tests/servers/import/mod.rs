//! Users that live today are taken over with the passwords they have, and nobody notices.

mod stores;
mod strimzi;

use std::fs;

use kastellan::names::{AclRule, Mechanism, Operation, PatternType, Permission, ResourceType};
use kastellan::secret::Secret;
use serde_json::Value;

use crate::operator::{Kept, Operator, Outcome, Transport};
use crate::stack::kafka::principal;
use crate::stack::{Cluster, ClusterBuilder, KafkaVersion, quiet, unique_name};

pub use strimzi::{allow_reading_secrets, make_secret, resources};

/// A user as somebody made it: a password, an ACL, a quota.
pub fn make_user(cluster: &Cluster, name: &str, password: &str) {
    cluster.set_password(name, Mechanism::ScramSha512, &Secret::from_text(password.to_owned())).unwrap();
    let rule = |resource_type, pattern_type, operation| AclRule {
        permission: Permission::Allow,
        resource_type,
        pattern_type,
        resource_name: name.into(),
        operation,
        host: "*".into(),
    };
    let rules = [
        rule(ResourceType::Topic, PatternType::Prefix, Operation::Write),
        rule(ResourceType::Topic, PatternType::Prefix, Operation::Describe),
        rule(ResourceType::Group, PatternType::Literal, Operation::Read),
    ];
    cluster.grant(&principal(name), &rules).unwrap();
    cluster.set_quota(name, "producer_byte_rate", Some(1_048_576.0)).unwrap();
    cluster.set_quota(name, "request_percentage", Some(12.5)).unwrap();
}

/// Sees that nothing was asked of Kafka but to tell.
#[track_caller]
fn assert_only_looked(outcome: &Outcome) {
    let asked = outcome.json()["traffic"]["kafkaRequests"].as_object().unwrap().clone();
    let writes = ["Alter", "Create", "Delete"];
    assert!(!asked.keys().any(|api| writes.iter().any(|verb| api.starts_with(verb))), "{outcome}");
}

fn names(outcome: &Outcome, field: &str) -> Vec<String> {
    let view = outcome.json();
    let name = |one: &Value| one["user"].as_str().or_else(|| one.as_str()).unwrap().to_owned();
    view[field].as_array().unwrap().iter().map(name).collect()
}

const PASSWORD: &str = "aS7dK2mQ9xR4tV8bN1cZ6wE3yU5iO0pL";

#[test]
fn a_password_that_does_not_log_in_is_listed_and_costs_one_refusal_on_one_broker() {
    let cluster = ClusterBuilder::new(KafkaVersion::V4_3_1).nodes(3).start().unwrap();
    let mut operator = Operator::with(&[("kafka", &cluster, Transport::Plaintext)]);
    operator.stop_watching();
    let [good, wrong, unknown, both] = ["good", "wrong", "unknown", "both"].map(unique_name);
    make_user(&cluster, &good, PASSWORD);
    make_user(&cluster, &wrong, PASSWORD);
    make_user(&cluster, &both, PASSWORD);
    cluster.set_password(&both, Mechanism::ScramSha256, &Secret::from_text("something-else".to_owned())).unwrap();
    let list = format!("{good}:{PASSWORD}\n{wrong}:not-{PASSWORD}\n{unknown}:{PASSWORD}\n{both}:{PASSWORD}\n");
    let import = ["import", "--from", "kafka", "--passwords", "-", "-n", "tests", "-o", "json"];
    let before = cluster.failed_authentications();

    let imported = operator.run_with_input(&import, &list).exits(4);
    assert_only_looked(&imported);
    assert_eq!(names(&imported, "imported").len(), 2, "{imported}");
    assert_eq!(names(&imported, "refused").len(), 2, "{imported}");
    let says = |name: &str| {
        let view = imported.json();
        let of = |one: &&Value| one["user"] == format!("tests/{name}");
        view["refused"].as_array().unwrap().iter().find(of).unwrap()["why"].as_str().unwrap().to_owned()
    };
    assert!(says(&wrong).starts_with("the password does not log in"), "{imported}");
    assert!(says(&unknown).starts_with("Kafka has no SCRAM credential"), "{imported}");
    assert!(!imported.stdout.contains(PASSWORD) && !imported.stderr.contains(PASSWORD));
    assert_eq!(cluster.failed_authentications(), before + 1, "one wrong password, one broker");
    assert!(operator.materials(&wrong).is_empty() && operator.materials(&good).len() == 1);
    operator.assert_in_step();
    assert_eq!(operator.credential(&good)["password"], PASSWORD);

    // A file that is there is nobody's to write over.
    let document = operator.documents().join(format!("users/tests/{wrong}.yaml"));
    fs::write(&document, "# mine\n").unwrap();
    let right = list.replace("not-", "");
    let refused = operator.run_with_input(&import, &right).exits(4).says("exists, and is another document");
    assert_eq!((names(&refused, "before").len(), fs::read_to_string(&document).unwrap()), (2, "# mine\n".to_owned()));
    fs::remove_file(&document).unwrap();
    operator.run_with_input(&import, &right.replace(&format!("{unknown}:{PASSWORD}\n"), "")).exits(0);
    operator.assert_in_step();
    assert_eq!(cluster.failed_authentications(), before + 1);

    // Of two credentials one was taken over; the first rotation is what replaces the other.
    let path = operator.documents().join(format!("users/tests/{both}.yaml"));
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text + "  rotation: {strategy: mechanism-flip, overlap: 1s}\n").unwrap();
    operator.run(&["rotate", &format!("tests/{both}"), "--auto-approve"]).exits(0);
    crate::stack::pause(std::time::Duration::from_secs(2));
    operator.apply(&[]).exits(0);
    assert_eq!(cluster.mechanisms_of(&both).unwrap().len(), 1);
    operator.run(&["verify"]).exits(0);
    operator.assert_in_step();
    assert_eq!(cluster.failed_authentications(), before + 1);
}

#[cfg(feature = "crash-points")]
#[test]
fn an_import_that_was_killed_is_completed_by_the_same_again() {
    use std::io::Write as _;
    use std::os::unix::process::ExitStatusExt as _;
    use std::process::Stdio;

    let cluster = quiet(KafkaVersion::V4_3_1, 1);
    let operator = Operator::with(&[("kafka", cluster, Transport::Plaintext)]);
    let import = ["import", "--from", "kafka", "--passwords", "-", "-n", "tests"];
    let points = ["before:take-over-material", "after:take-over-material", "after:take-over-record"];
    for point in points.into_iter().chain(["before:document", "after:document", "before:record-idle"]) {
        let user = unique_name("killed");
        make_user(cluster, &user, PASSWORD);
        let list = format!("{user}:{PASSWORD}\n");
        let mut child = operator.command(&import);
        let mut child = child.env("KASTELLAN_CRASH_AT", point).stdin(Stdio::piped()).spawn().unwrap();
        let _broken_pipe = child.stdin.take().unwrap().write_all(list.as_bytes());
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.signal(), Some(9), "{point}: {}", String::from_utf8_lossy(&output.stderr));
        operator.run_with_input(&import, &list).exits(0);
        assert_eq!(operator.credential(&user)["password"], PASSWORD, "{point}");
        assert_eq!(operator.materials(&user).len(), 1, "{point}");
        operator.assert_store_is_tidy(point);
        operator.assert_in_step();
    }
}

#[test]
fn a_user_is_taken_over_into_a_vault_and_rotates_there() {
    let cluster = quiet(KafkaVersion::V3_9_2, 1);
    let operator = Operator::keeping(Kept::Vault(crate::vault::vault()), &[("kafka", cluster, Transport::Tls)]);
    let users = [unique_name("vaulted"), unique_name("vaulted")];
    users.iter().for_each(|user| make_user(cluster, user, PASSWORD));
    let list = users.iter().map(|user| format!("{user}:{PASSWORD}\n")).collect::<String>();
    operator.write("passwords.txt", &list);
    let import = ["import", "--from", "kafka", "--passwords", "passwords.txt", "-n", "tests", "-o", "json"];
    operator.run(&[&import[..], &["--dry-run"]].concat()).exits(0);
    assert!(operator.materials(&users[0]).is_empty());
    let imported = operator.run(&import).exits(0);
    assert_only_looked(&imported);
    operator.assert_in_step();
    assert_eq!(operator.credential(&users[0])["password"], PASSWORD);
    assert_eq!(names(&operator.run(&import).exits(0), "before").len(), 2);

    let path = operator.documents().join(format!("users/tests/{}.yaml", users[0]));
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text + "  rotation: {strategy: mechanism-flip, overlap: 1s}\n").unwrap();
    operator.run(&["rotate", &format!("tests/{}", users[0]), "--auto-approve"]).exits(0);
    assert_ne!(operator.credential(&users[0])["password"], PASSWORD);
    crate::stack::pause(std::time::Duration::from_secs(2));
    operator.apply(&[]).exits(0);
    assert_eq!(cluster.mechanisms_of(&users[0]).unwrap(), [Mechanism::ScramSha256].into());
    operator.run(&["verify"]).exits(0);
    operator.assert_in_step();
}
