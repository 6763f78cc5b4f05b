//! What people do to users by name, as they do it: looked at first, asked about, saved for later, and out of a bad day.

use std::fs;
use std::path::{Path, PathBuf};

use kastellan::names::Mechanism;
use serde_json::json;

use crate::operator::{Operator, Transport, delivered_password};
use crate::stack::{KafkaVersion, quiet, unique_name};

fn specification(file: &Path) -> String {
    format!(
        "{{clusters: [kafka], authentication: {{type: scram}}, rotation: {{strategy: mechanism-flip}}, \
         deliver: [{{file: {{path: {}, format: properties}}}}]}}",
        file.display()
    )
}

#[test]
fn a_rotation_is_looked_at_asked_about_saved_and_acknowledged() {
    let cluster = quiet(KafkaVersion::V4_3_1, 1);
    let operator = Operator::with(&[("kafka", cluster, Transport::Plaintext)]);
    let (name, file) = (unique_name("by-hand"), operator.out("client.properties"));
    operator.declare(&name, &specification(&file));
    operator.apply(&[]).exits(0);
    let first = delivered_password(&file);

    let before = operator.record(&name);
    operator.run(&["rotate", &name, "--dry-run"]).exits(0).says("rotate 1 (SCRAM-SHA-512) → 2 (SCRAM-SHA-256)");
    operator.run(&["rotate", &name]).exits(1).says("there is nobody to ask");
    let near = name.replace("by-hand", "by-hnd");
    operator.run(&["rotate", &near]).exits(1).says(&format!("did you mean `{name}`?"));
    let save = ["rotate", "--all", "-n", "tests", "--dry-run", "--save", "rotate.json"];
    operator.run(&save).exits(0).says("asked to rotate: 1 user").says("kastellan apply rotate.json");
    assert_eq!(operator.record(&name), before);
    assert_eq!(cluster.mechanisms_of(&name).unwrap(), [Mechanism::ScramSha512].into());

    // It was approved when it was saved, whatever the time is by now.
    let done = operator.run(&["apply", "rotate.json", "-o", "json"]).exits(0);
    assert_eq!((&done.json()["done"], &done.json()["underWay"][0]["awaits"]), (&json!(1), &json!("acknowledgement")));
    assert_ne!(delivered_password(&file), first);
    operator.run(&["apply", "rotate.json"]).exits(3).says("the saved plan is stale");
    let status = operator.status(&name);
    assert_eq!((&status["phase"], &status["awaits"]), (&json!("PUBLISHED"), &json!("acknowledgement")));
    let roles = status["credentials"].as_array().unwrap().iter().map(|one| (&one["role"], &one["generation"]));
    assert_eq!(roles.collect::<Vec<_>>(), [(&json!("active"), &json!(2)), (&json!("previous"), &json!(1))]);

    operator.run(&["rotate", &name, "--auto-approve"]).exits(4).says("one rotation at a time").says("kastellan ack");
    operator.run(&["abort", &name]).exits(4).says("from here on a rotation only goes forward");
    operator.run(&["ack", &name, "--generation", "1"]).exits(4).says("the published generation is 2, not 1");
    operator.run(&["recover", &name]).exits(4).says("nothing was seen that is newer");
    operator.run(&["ack", &name, "--generation", "2"]).exits(0).says("retire generation 1 (SCRAM-SHA-512)");
    assert_eq!(cluster.mechanisms_of(&name).unwrap(), [Mechanism::ScramSha256].into());
    operator.run(&["verify"]).exits(0).says("1 credential works, 0 failed");
    operator.assert_in_step();
}

/// A copy of a store, to be put back later.
pub struct Backup {
    store: PathBuf,
    folder: tempfile::TempDir,
}

impl Backup {
    pub fn take(operator: &Operator<'_>) -> Self {
        let backup = Self { store: operator.store(), folder: tempfile::tempdir().unwrap() };
        copy_content(&backup.store, backup.folder.path());
        backup
    }

    /// Every file is as it was, in the folders that are there; what was made since is gone.
    pub fn put_back(&self) {
        for made_since in files_below(&self.store) {
            if !self.folder.path().join(made_since.strip_prefix(&self.store).unwrap()).exists() {
                fs::remove_file(made_since).unwrap();
            }
        }
        copy_content(self.folder.path(), &self.store);
    }
}

/// Copies every file below a folder.
fn copy_content(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_content(&entry.path(), &target);
        } else {
            fs::write(target, fs::read(entry.path()).unwrap()).unwrap();
        }
    }
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        match entry.file_type().unwrap().is_dir() {
            true => files.extend(files_below(&entry.path())),
            false => files.push(entry.path()),
        }
    }
    files
}

#[test]
fn a_restored_store_is_frozen_and_recovers_with_what_is_delivered() {
    let cluster = quiet(KafkaVersion::V3_9_2, 1);
    let operator = Operator::with(&[("kafka", cluster, Transport::Plaintext)]);
    let (name, file) = (unique_name("restored"), operator.out("client.properties"));
    operator.declare(&name, &specification(&file));
    operator.apply(&[]).exits(0);
    let backup = Backup::take(&operator);
    operator.run(&["rotate", &name, "--auto-approve"]).exits(0);
    let delivered = fs::read(&file).unwrap();

    backup.put_back();
    let record = operator.record(&name);
    let frozen = operator.apply(&[]).exits(4);
    assert!(frozen.reports_of(&name)[0].1.contains("a delivery carries generation 2"), "{frozen}");
    operator.run(&["rotate", &name, "--auto-approve"]).exits(4).says("kastellan recover --help");
    let dry = ["recover", &name, "--from-deliveries", "--dry-run"];
    operator.run(&dry).exits(0).says("keep generation 2, as delivery `file` carries it");
    assert_eq!(operator.record(&name), record);

    operator.run(&["recover", &name, "--from-deliveries", "--auto-approve"]).exits(0);
    assert_eq!(fs::read(&file).unwrap(), delivered, "clients notice nothing");
    let password = delivered_password(&file);
    let document = operator.credential(&name);
    assert_eq!((&document["generation"], document["password"].as_str()), (&json!("2"), Some(&*password)), "{document}");
    operator.run(&["verify"]).exits(0).says("1 credential works, 0 failed");
    operator.run(&["ack", &name]).exits(0);
    operator.apply(&[]).exits(0);
    operator.assert_in_step();
    assert_eq!(cluster.mechanisms_of(&name).unwrap(), [Mechanism::ScramSha256].into());
    operator.run(&["rotate", &name, "--auto-approve"]).exits(0);
    assert_eq!(operator.status(&name)["generation"], 3);
}
