//! Deliveries over the life of a user: written where documents say, rewritten when what they say changes, removed when it
//! is gone, never over something that is not ours.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::operator::{Operator, Snapshot, Transport, delivered_password};
use crate::stack::{KafkaVersion, quiet, unique_name};

fn specification(deliver: &[(&str, &Path, &str)]) -> String {
    let item = |(name, path, format): &(&str, &Path, &str)| {
        format!("{{name: {name}, file: {{path: {}, format: {format}}}}}", path.display())
    };
    let items = deliver.iter().map(item).collect::<Vec<_>>().join(", ");
    format!("{{clusters: [kafka], authentication: {{type: scram}}, deliver: [{items}]}}")
}

#[test]
fn follow_what_the_document_says_and_leave_no_secret_behind() {
    let cluster = quiet(KafkaVersion::V4_3_1, 1);
    let operator = Operator::with(&[("kafka", cluster, Transport::Tls)]);
    let name = unique_name("moves");
    let (first, second, third) = (operator.out("first"), operator.out("second"), operator.out("third"));
    operator.declare(&name, &specification(&[("app", &first, "properties")]));
    operator.apply(&[]).exits(0);
    let password = delivered_password(&first);

    // One more beside it: the first is not touched.
    let before = Snapshot::of(&first);
    operator.declare(&name, &specification(&[("app", &first, "properties"), ("native", &second, "librdkafka")]));
    operator.apply(&[]).exits(0);
    before.assert_unchanged(&first);
    assert!(fs::read_to_string(&second).unwrap().contains(&password));

    // Another place: the old file would keep a working password that nobody looks after.
    operator.declare(&name, &specification(&[("app", &third, "properties"), ("native", &second, "librdkafka")]));
    operator.apply(&[]).exits(0);
    assert_eq!(delivered_password(&third), password);
    assert!(!first.exists(), "the file at the old place is still there");

    // Another format, and one that is gone.
    operator.declare(&name, &specification(&[("app", &third, "librdkafka")]));
    operator.apply(&[]).exits(0);
    assert!(fs::read_to_string(&third).unwrap().contains("sasl.password"));
    assert!(!second.exists());
    operator.assert_in_step();
    let left: Vec<_> = fs::read_dir(operator.work().join("out")).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(
        left.iter().all(|path| path.starts_with(&third) || path.display().to_string().contains("third")),
        "{left:?}"
    );
}

#[test]
fn tell_applications_where_the_brokers_moved() {
    let cluster = quiet(KafkaVersion::V3_9_2, 1);
    let operator = Operator::with(&[("kafka", cluster, Transport::Plaintext)]);
    let (name, file) = (unique_name("moved"), operator.out("moved.properties"));
    operator.declare(&name, &specification(&[("app", &file, "properties")]));
    operator.apply(&[]).exits(0);
    let before = operator.credential(&name);
    let old = cluster.bootstrap(Transport::Plaintext.clients());
    assert_eq!(before["bootstrap_servers"], old.as_str());

    let new = old.replace("127.0.0.1", "localhost");
    operator.edit("kafka.yaml", &old, &new);
    operator.apply(&[]).exits(0);
    assert!(fs::read_to_string(&file).unwrap().contains(&new));
    let after = operator.credential(&name);
    assert_eq!(after["bootstrap_servers"], new.as_str(), "what applications read from the store is out of date");
    for field in ["password", "generation", "rotation_id"] {
        assert_eq!(after[field], before[field], "{field}");
    }
    operator.assert_in_step();
}

#[test]
fn never_replace_what_is_not_ours_and_say_so() {
    let cluster = quiet(KafkaVersion::V4_3_1, 1);
    let operator = Operator::with(&[("kafka", cluster, Transport::Plaintext)]);
    let names = [unique_name("foreign"), unique_name("folder"), unique_name("tracked")];
    let tracked = operator.work().join("repository/tracked.properties");
    let files = [operator.out("foreign.properties"), operator.out("nowhere/folder.properties"), tracked.clone()];
    fs::write(&files[0], "written by hand\n").unwrap();
    fs::create_dir(operator.work().join("repository")).unwrap();
    let repository = operator.work().join("repository");
    assert!(Command::new("git").args(["init", "-q"]).current_dir(repository).status().unwrap().success());
    for (name, file) in names.iter().zip(&files) {
        operator.declare(name, &specification(&[("app", file, "properties")]));
    }
    let reasons = ["exists and is not ours", "there is no folder", "would be tracked by the Git repository"];
    let planned = operator.plan(&[]).exits(4);
    let applied = operator.apply(&[]).exits(4);
    for (name, reason) in names.iter().zip(reasons) {
        assert!(planned.reports_of(name).iter().any(|(_, text)| text.contains(reason)), "{reason}: {planned}");
        assert!(applied.stdout.contains(reason), "{reason}: {applied}");
    }
    assert_eq!(fs::read_to_string(&files[0]).unwrap(), "written by hand\n");
    assert!(!files[1].exists() && !files[2].exists());

    fs::remove_file(&files[0]).unwrap();
    fs::create_dir(operator.out("nowhere")).unwrap();
    operator.write("repository/.gitignore", "*.properties*\n");
    operator.apply(&[]).exits(0);
    for file in &files {
        delivered_password(file);
    }
    operator.assert_in_step();
}

#[test]
fn are_not_proven_where_the_cluster_does_not_let_us_log_in() {
    let cluster = quiet(KafkaVersion::V3_9_2, 1);
    let operator = Operator::with(&[("kafka", cluster, Transport::Plaintext)]);
    let (name, file) = (unique_name("unproven"), operator.out("unproven.properties"));
    // Nobody answers there; nobody needs to.
    operator.edit("kafka.yaml", &cluster.bootstrap(Transport::Plaintext.clients()), "kafka.invalid:9094");
    operator.edit("kafka.yaml", "verifyLogins: true", "verifyLogins: false");
    operator.declare(&name, &specification(&[("app", &file, "properties")]));
    operator.apply(&[]).exits(0);
    assert!(fs::read_to_string(&file).unwrap().contains("kafka.invalid:9094"));
    assert_eq!(operator.status(&name)["proven"], false);
    let verified = operator.run(&["verify", "-o", "json"]).exits(0).json();
    assert_eq!(verified["credentials"][0]["result"], "unproven", "{verified:#}");
    operator.assert_in_step();
}
