//! A user that was made by the commands of `policies/kafka` can do what they say, and nothing more.

use std::process::{Command, Output};
use std::time::Duration;

use kastellan::kafka::{Purpose, needed_rights};
use kastellan::names::Mechanism;
use tempfile::TempDir;

use crate::stack::kafka::principal;
use crate::stack::{Cluster, Credentials, KafkaVersion, Listener, shared, unique_name, wait_until, write_private};

/// A checkout whose documents make Kastellan log in as a user of its own.
struct Checkout {
    folder: TempDir,
    cluster: &'static Cluster,
    own: Credentials,
    /// The user that the documents declare.
    declared: String,
}

impl Checkout {
    fn create(cluster: &'static Cluster) -> Self {
        let own = Credentials::random(&unique_name("kastellan-by-hand"));
        let checkout = Self { folder: tempfile::tempdir().unwrap(), cluster, own, declared: unique_name("declared") };
        let (admin, clients) = (cluster.bootstrap(Listener::Admin), cluster.bootstrap(Listener::Clients));
        let arguments = ["init", "--bootstrap-servers", &admin, "--clients-bootstrap-servers", &clients];
        checkout.run(&[&arguments[..], &["--admin-username", &checkout.own.username]].concat(), 0);
        let user = checkout.folder.path().join("kastellan/users/hello.yaml");
        let text = std::fs::read_to_string(&user).unwrap();
        std::fs::write(user, text.replace("name: hello,", &format!("name: {},", checkout.declared))).unwrap();
        checkout
    }

    /// Both outputs of a command that must end with `status`.
    fn run(&self, arguments: &[&str], status: i32) -> String {
        let Output { status: ended, stdout, stderr } = Command::new(env!("CARGO_BIN_EXE_kastellan"))
            .args(arguments)
            .current_dir(self.folder.path())
            .env("HOME", self.folder.path().join("home"))
            .env("KAFKA_ADMIN_PASSWORD", self.own.password_text())
            .env_remove("XDG_STATE_HOME")
            .output()
            .unwrap();
        let text = String::from_utf8([stdout, stderr].concat()).unwrap();
        assert_eq!(ended.code(), Some(status), "{arguments:?}: {text}");
        text
    }

    /// Runs a piece of shell as an administrator, with Kafka's own scripts at hand and its login in `admin.properties`.
    fn administer(&self, shell: &str) {
        let cluster = self.cluster;
        let admin = cluster.client_properties(Listener::Admin, Mechanism::ScramSha512, &cluster.admin).unwrap();
        std::fs::copy(admin, self.folder.path().join("admin.properties")).unwrap();
        let path = format!("{}:{}", cluster.write_scripts().unwrap().display(), std::env::var("PATH").unwrap());
        let output = Command::new("sh")
            .args(["-ec", shell])
            .current_dir(self.folder.path())
            .env("PATH", path)
            .env("BOOTSTRAP", cluster.bootstrap(Listener::Admin))
            .env("OWN", &self.own.username)
            .output()
            .unwrap();
        // A tool that refuses a password prints it.
        assert!(output.status.success(), "{:?}", output.status);
    }

    /// As the README of the policies says: the password comes from a file.
    fn create_own_user(&self) {
        let text = format!("SCRAM-SHA-512=iterations=4096,password={}\n", self.own.password_text());
        write_private(self.folder.path().join("kastellan.scram"), &text).unwrap();
        self.administer(
            "kafka-configs.sh --bootstrap-server $BOOTSTRAP --command-config admin.properties \
             --alter --entity-type users --entity-name $OWN --add-config-file kastellan.scram",
        );
        let is_there = || !self.cluster.mechanisms_of(&self.own.username).unwrap().is_empty();
        assert!(wait_until(Duration::from_secs(15), is_there));
    }

    /// Runs what `policy kafka` prints.
    fn grant(&self, purpose: &str, rights: Purpose) {
        self.administer(&self.run(&["policy", "kafka", "--purpose", purpose], 0));
        let (own, expected) = (principal(&self.own.username), needed_rights(rights));
        let rules = || self.cluster.acls_of(&own).unwrap();
        assert!(wait_until(Duration::from_secs(15), || rules().len() >= expected.len()));
        assert_eq!(rules(), expected.into_iter().collect(), "exactly these rights");
    }

    fn is_declared_user_there(&self) -> bool {
        let name = &self.declared;
        !self.cluster.mechanisms_of(name).unwrap().is_empty()
            || !self.cluster.acls_of(&principal(name)).unwrap().is_empty()
            || !self.cluster.quotas_of(name).unwrap().is_empty()
    }
}

fn the_printed_rights_are_enough_and_no_more(version: KafkaVersion) {
    let checkout = Checkout::create(shared(version, 1));
    checkout.create_own_user();

    let without_rights = checkout.run(&["plan"], 4);
    assert!(without_rights.contains("missing right: Describe on the cluster"), "{without_rights}");

    checkout.grant("plan", Purpose::Planning);
    let planned = checkout.run(&["plan", "--detailed-exitcode"], 2);
    assert!(planned.contains("4 to add") && !planned.contains("missing"), "{planned}");
    let refused = checkout.run(&["apply", "--auto-approve"], 4);
    assert!(refused.contains("missing right: Alter on the cluster"), "{refused}");
    assert!(!checkout.is_declared_user_there());

    checkout.grant("apply", Purpose::Applying);
    checkout.run(&["apply", "--auto-approve"], 0);
    assert!(checkout.is_declared_user_there());
    checkout.run(&["plan", "--detailed-exitcode"], 0);
    checkout.run(&["verify"], 0);
}

#[test]
fn the_printed_rights_are_enough_and_no_more_on_4_3_1() {
    the_printed_rights_are_enough_and_no_more(KafkaVersion::V4_3_1);
}

#[test]
fn the_printed_rights_are_enough_and_no_more_on_3_9_2() {
    the_printed_rights_are_enough_and_no_more(KafkaVersion::V3_9_2);
}
