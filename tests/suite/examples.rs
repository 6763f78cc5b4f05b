//! What people are told to look at and to copy: the quickstart and the policies are current.

use std::path::{Path, PathBuf};
use std::process::Command;

use kastellan::diagnostic::{Findings, Severity};
use kastellan::source;
use kastellan::spec::{self, Documents};

use crate::documents::{cases, shown};

/// A file or folder of the repository.
fn repository(relative: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(relative)
}

fn quickstart() -> (Documents, Findings) {
    let sources = source::files::read(&[repository("examples/quickstart/kastellan")], &mut std::io::empty()).unwrap();
    spec::read(&sources).unwrap_or_else(|findings| panic!("{}", shown(&findings)))
}

/// Standard output of `kastellan` in a folder with a home of its own.
fn printed_by(folder: &Path, arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_kastellan"))
        .args(arguments)
        .current_dir(folder)
        .env("HOME", folder.join("home"))
        .env_remove("XDG_STATE_HOME")
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// The demonstration runs on a copy in which this one address is replaced by those of its brokers.
#[test]
fn the_quickstart_is_valid_and_has_one_address() {
    let (documents, findings) = quickstart();
    let messages = findings.0.iter().map(|finding| (finding.severity, finding.message.as_str())).collect::<Vec<_>>();
    assert!(matches!(messages.as_slice(), [(Severity::Warning, message)] if message.contains("fence")), "{messages:?}");
    assert_eq!((documents.stores.len(), documents.clusters.len(), documents.users.len()), (1, 1, 2));
    for cluster in documents.clusters.values() {
        for servers in [&cluster.admin.bootstrap_servers, &cluster.clients.bootstrap_servers] {
            assert_eq!(servers.to_string(), "localhost:9092");
        }
    }
}

/// Whoever runs `init` has the same store and the same cluster, with the fence of real clusters.
#[test]
fn the_quickstart_is_what_init_writes_but_for_its_users_and_its_fence() {
    let folder = tempfile::tempdir().unwrap();
    printed_by(folder.path(), &["init"]);
    for document in ["store.yaml", "cluster.yaml"] {
        let written = std::fs::read_to_string(folder.path().join("kastellan").join(document)).unwrap();
        let committed = std::fs::read_to_string(repository("examples/quickstart/kastellan").join(document)).unwrap();
        let without_fence = match committed.split_once("    # For the demo only") {
            Some((before, after)) => format!("{before}{}", after.split_once("fence: 2s\n").unwrap().1),
            None => committed,
        };
        assert_eq!(without_fence, written, "{document}");
    }
}

/// With `UPDATE_CASES=1` in the environment it writes them instead.
#[test]
fn the_policies_are_what_kastellan_prints() {
    for purpose in ["plan", "apply"] {
        let arguments = ["policy", "kafka", "--purpose", purpose, "-f", "examples/quickstart/kastellan"];
        let printed = printed_by(&repository("."), &arguments);
        let file = repository(&format!("policies/kafka/{purpose}.sh"));
        if std::env::var_os("UPDATE_CASES").is_some() {
            std::fs::write(&file, &printed).unwrap();
        }
        assert_eq!(std::fs::read_to_string(&file).unwrap(), printed, "{}", file.display());
    }
}

/// The same, for stores in Vault.
#[test]
fn the_vault_policies_are_what_kastellan_prints() {
    for purpose in ["plan", "apply", "import"] {
        let arguments = ["policy", "vault", "--purpose", purpose, "-f", "policies/vault/store.yaml"];
        let printed = printed_by(&repository("."), &arguments);
        let file = repository(&format!("policies/vault/{purpose}.json"));
        if std::env::var_os("UPDATE_CASES").is_some() {
            std::fs::write(&file, &printed).unwrap();
        }
        assert_eq!(std::fs::read_to_string(&file).unwrap(), printed, "{}", file.display());
    }
}

#[test]
fn the_roles_are_what_kastellan_prints() {
    for purpose in ["plan", "apply"] {
        let arguments = ["policy", "kubernetes", "--purpose", purpose, "-f", "policies/kubernetes/documents.yaml"];
        let printed = printed_by(&repository("."), &arguments);
        let file = repository(&format!("policies/kubernetes/{purpose}.yaml"));
        if std::env::var_os("UPDATE_CASES").is_some() {
            std::fs::write(&file, &printed).unwrap();
        }
        assert_eq!(std::fs::read_to_string(&file).unwrap(), printed, "{}", file.display());
    }
}

/// One cluster with a client certificate, one with a user's password over TLS.
#[test]
fn the_policy_follows_how_kastellan_logs_in() {
    let documents = cases("documents/platform.yaml");
    let arguments = ["policy", "kafka", "-f", documents.to_str().unwrap()];
    insta::assert_snapshot!(printed_by(&repository("."), &arguments));
}
