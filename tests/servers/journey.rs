//! The whole way of one user, by the real program on real Kafka: declared, applied, verified, drifted, healed, deleted,
//! brought back.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use kastellan::names::{AclRule, Mechanism, Operation, PatternType, Permission, ResourceType};
use serde_json::json;

use crate::operator::{Operator, Snapshot, Transport, delivered_password};
use crate::stack::kafka::{Tool, principal};
use crate::stack::{Cluster, Credentials, KafkaVersion, Listener, quiet, unique_name};

/// A rule that allows something everywhere.
fn allow(resource_type: ResourceType, name: &str, operation: Operation) -> AclRule {
    AclRule {
        permission: Permission::Allow,
        resource_type,
        pattern_type: PatternType::Literal,
        resource_name: name.into(),
        operation,
        host: "*".into(),
    }
}

/// What [`specification`] asks for on the topic and group of its own.
fn declared_rules(name: &str) -> [AclRule; 3] {
    [
        allow(ResourceType::Topic, name, Operation::Read),
        allow(ResourceType::Topic, name, Operation::Write),
        allow(ResourceType::Group, name, Operation::Read),
    ]
}

/// A user that writes to and reads from a topic of its own name, with a quota and a delivered file.
fn specification(name: &str, file: &Path) -> String {
    format!(
        "{{clusters: [kafka], authentication: {{type: scram}}, authorization: {{acls: [\
         {{resource: {{type: topic, name: {name}}}, operations: [Read, Write]}}, \
         {{resource: {{type: group, name: {name}}}, operations: [Read]}}]}}, \
         quotas: {{producerByteRate: 1048576, requestPercentage: 50}}, deliver: [{{file: {{path: {}}}}}]}}",
        file.display()
    )
}

/// Java's own tools log in with the file as it was delivered.
#[track_caller]
fn assert_java_logs_in(cluster: &Cluster, listener: Listener, file: &Path) {
    let listed = cluster.run_tool(Tool::Topics, listener, file, &["--list"], "").unwrap();
    assert!(listed.succeeded(), "{listed:?}");
}

/// One user on its way through [`the_whole_way`].
struct Traveller {
    cluster: &'static Cluster,
    transport: Transport,
    operator: Operator<'static>,
    name: String,
    file: PathBuf,
}

fn the_whole_way(version: KafkaVersion, transport: Transport) {
    let cluster = quiet(version, 1);
    let operator = Operator::with(&[("kafka", cluster, transport)]);
    let name = unique_name("payments");
    cluster.create_topic(&name).unwrap();
    let file = operator.out("payments.properties");
    let traveller = Traveller { cluster, transport, operator, name, file };
    traveller.is_provisioned();
    traveller.is_left_alone();
    traveller.regains_its_access();
    traveller.keeps_its_password();
    traveller.leaves_and_comes_back();
}

impl Traveller {
    fn is_provisioned(&self) {
        let Self { cluster, operator, name, file, .. } = self;
        operator.declare(name, &specification(name, file));
        operator.run(&["validate"]).exits(0).says("Valid: 1 store, 1 cluster, 1 user.");
        let before = Snapshot::of(&operator.store());
        let plan = operator.plan(&["--detailed-exitcode"]).exits(2);
        let actions = plan.actions_of(name);
        assert!(actions[0].starts_with("+ credential: generation 1 into SCRAM-SHA-512; login on 1 broker"), "{plan}");
        assert!(
            actions.iter().skip(1).all(|line| line.starts_with("+ acl:") || line.starts_with("+ quota:")),
            "{plan}"
        );
        before.assert_unchanged(&operator.store());
        assert!(cluster.mechanisms_of(name).unwrap().is_empty() && !file.exists());

        let applied = operator.apply(&[]).exits(0).json();
        assert_eq!((&applied["done"], &applied["ended"]), (&json!(1), &json!([])));
        assert_eq!(cluster.mechanisms_of(name).unwrap(), [Mechanism::ScramSha512].into());
        self.assert_access();
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        let verified = operator.run(&["verify", "-o", "json"]).exits(0).json();
        assert_eq!(verified["credentials"][0]["result"], "login", "{verified:#}");
        let status = operator.status(name);
        assert_eq!((&status["phase"], &status["generation"]), (&json!("IDLE"), &json!(1)));
        self.assert_java_works();
    }

    /// Writes and reads a record with the delivered file.
    fn assert_java_works(&self) {
        let Self { cluster, name, file, .. } = self;
        let listener = self.transport.clients();
        let produced = cluster.produce(listener, file, name, &["hello"]).unwrap();
        assert!(produced.succeeded(), "{produced:?}");
        let consumed = cluster.consume(listener, file, name, name, 1).unwrap();
        assert!(consumed.succeeded() && consumed.stdout == "hello\n", "{consumed:?}");
    }

    fn assert_access(&self) {
        let Self { cluster, name, .. } = self;
        assert_eq!(cluster.acls_of(&principal(name)).unwrap(), declared_rules(name).into());
        let quotas = [("producer_byte_rate".to_owned(), 1_048_576.0), ("request_percentage".to_owned(), 50.0)];
        assert_eq!(cluster.quotas_of(name).unwrap(), quotas.into());
    }

    fn is_left_alone(&self) {
        let Self { operator, .. } = self;
        operator.assert_in_step();
        let before = Snapshot::of(operator.home());
        let applied = operator.apply(&[]).exits(0).json();
        assert_eq!((&applied["done"], &applied["effects"]), (&json!(0), &json!({})));
        let asked = applied["traffic"]["kafkaRequests"].as_object().unwrap();
        let writes = ["Alter", "Create", "Delete"];
        assert!(!asked.keys().any(|api| writes.iter().any(|verb| api.starts_with(verb))), "{applied:#}");
        operator.run(&["verify"]).exits(0);
        operator.run(&["status"]).exits(0);
        before.assert_unchanged(operator.home());
    }

    fn regains_its_access(&self) {
        let Self { cluster, operator, name, .. } = self;
        cluster.revoke_all(&principal(name)).unwrap();
        let surplus = allow(ResourceType::Topic, "somewhere-else", Operation::Read);
        cluster.grant(&principal(name), &[surplus]).unwrap();
        cluster.set_quota(name, "producer_byte_rate", Some(1.0)).unwrap();
        cluster.set_quota(name, "consumer_byte_rate", Some(2.0)).unwrap();
        let plan = operator.plan(&["--detailed-exitcode"]).exits(2);
        let actions = plan.actions_of(name);
        let has = |beginning: &str| actions.iter().any(|line| line.starts_with(beginning));
        assert!(has("+ acl:") && has("- acl:") && has("~ quota:") && !has("~ credential:"), "{plan}");
        assert_eq!(plan.json()["summary"]["deletes"], 2, "an ACL and a quota go; {plan}");
        operator.apply(&[]).exits(0);
        self.assert_access();
        operator.assert_in_step();
    }

    fn keeps_its_password(&self) {
        let Self { cluster, operator, name, file, .. } = self;
        let before = Snapshot::of(file);
        cluster.set_password(name, Mechanism::ScramSha512, &Credentials::random(name).password).unwrap();
        let changed = "~ credential: assert generation 1 in SCRAM-SHA-512 again; no new password (somebody changed it)";
        assert_eq!(operator.plan(&[]).exits(0).actions_of(name), [changed]);
        operator.apply(&[]).exits(0);
        before.assert_unchanged(file);
        assert_java_logs_in(cluster, self.transport.clients(), file);

        cluster.delete_password(name, Mechanism::ScramSha512).unwrap();
        assert!(operator.plan(&[]).exits(0).actions_of(name)[0].ends_with("(it is not there)"));
        operator.apply(&[]).exits(0);
        before.assert_unchanged(file);
        operator.run(&["verify"]).exits(0);

        let delivered = std::fs::read(file).unwrap();
        std::fs::remove_file(file).unwrap();
        assert!(operator.plan(&[]).exits(0).actions_of(name)[0].starts_with("~ delivery: write `file`"));
        operator.apply(&[]).exits(0);
        assert_eq!(std::fs::read(file).unwrap(), delivered);
        operator.assert_in_step();
    }

    fn leaves_and_comes_back(&self) {
        let Self { cluster, operator, name, file, .. } = self;
        let stays = unique_name("stays");
        operator.declare(&stays, "{clusters: [kafka], authentication: {type: scram}}");
        operator.apply(&[]).exits(0);
        let password = delivered_password(file);

        operator.remove(name);
        let listed = operator.plan(&["--detailed-exitcode"]).exits(0).reports_of(name);
        assert_eq!(listed, [("undeclared".to_owned(), "no document declares it any more".to_owned())]);
        operator.apply(&[]).exits(0);
        self.assert_access();

        // The user, three ACLs and two quotas.
        let refused = operator.apply(&["--prune", "--max-deletes", "5"]).exits(3);
        refused.says("6 users, ACLs and quotas would go").says("--max-deletes 6");
        self.assert_access();
        operator.apply(&["--prune", "--max-deletes", "6"]).exits(0);
        assert!(cluster.mechanisms_of(name).unwrap().is_empty() && !file.exists());
        assert!(cluster.acls_of(&principal(name)).unwrap().is_empty());
        assert!(cluster.quotas_of(name).unwrap().is_empty());
        assert_eq!(operator.status(name)["phase"], "DELETED");
        operator.assert_in_step();

        operator.declare(name, &specification(name, file));
        let restored = operator.plan(&[]).exits(0).actions_of(name);
        assert!(restored[0].contains("the password of generation 1 comes back"), "{restored:?}");
        operator.apply(&[]).exits(0);
        assert_eq!(delivered_password(file), password);
        assert_eq!(operator.status(name)["generation"], 3, "the deletion took a number of its own");
        self.assert_access();
        assert_java_logs_in(cluster, self.transport.clients(), file);
        operator.assert_in_step();
    }
}

#[test]
fn goes_the_whole_way_on_4_3_1_in_plaintext() {
    the_whole_way(KafkaVersion::V4_3_1, Transport::Plaintext);
}

#[test]
fn goes_the_whole_way_on_4_3_1_with_tls() {
    the_whole_way(KafkaVersion::V4_3_1, Transport::Tls);
}

#[test]
fn goes_the_whole_way_on_3_9_2_in_plaintext() {
    the_whole_way(KafkaVersion::V3_9_2, Transport::Plaintext);
}

#[test]
fn goes_the_whole_way_on_3_9_2_with_tls() {
    the_whole_way(KafkaVersion::V3_9_2, Transport::Tls);
}
