//! The `age` program reads what the store writes, and the store reads what `age` writes.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use kastellan::secret::Secret;
use kastellan::store::age::{AgeSettings, AgeStore, init};
use kastellan::store::{MachineState, SecretReader as _, Store as _};

use crate::stack;

/// What a run of `age` prints.
fn output(age: &Path, arguments: &[&str], input: &str) -> String {
    let mut command = Command::new(age);
    let mut child = command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test]
async fn the_age_program_and_the_store_understand_each_other() {
    let age = stack::age::age().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let settings = AgeSettings {
        name: "local".parse().unwrap(),
        directory: folder.path().join("store"),
        identity_file: folder.path().join("identity.txt"),
        recipients: Vec::new(),
        inputs: vec!["imports/".into()],
    };
    let machine = MachineState { markers: folder.path().join("markers") };
    let recipient = init(&settings, &machine).unwrap().recipient;
    let identity = settings.identity_file.display().to_string();
    let store = AgeStore::open_for_writing(&settings, &machine).unwrap();

    let secret = Secret::from_text("quote\" and Müller".into());
    store.write_input("imports/legacy", "password", secret).await.unwrap();
    let file = settings.directory.join("imports/legacy.age").display().to_string();
    assert_eq!(output(&age, &["-d", "-i", &identity, &file], ""), r#"{"password":"quote\" and Müller"}"#);
    let armor = std::fs::read_to_string(&file).unwrap();
    assert!(armor.starts_with("-----BEGIN AGE ENCRYPTED FILE-----\n"));
    assert!(armor.ends_with("\n-----END AGE ENCRYPTED FILE-----\n"));

    // By hand, armored and not.
    for (name, armor) in [("armored", "-a"), ("binary", "-e")] {
        let file = settings.directory.join(format!("imports/{name}.age")).display().to_string();
        output(&age, &["-e", armor, "-r", &recipient, "-o", &file], "{\n  \"password\": \"by hand\"\n}\n");
        let (read, _) = store.read_input(&format!("imports/{name}"), "password").await.unwrap().unwrap();
        assert_eq!(read.expose_text(), Some("by hand"));
    }
}
