//! Users that live today are taken over with the passwords they have, and nobody notices.

use std::fs;

use kastellan::names::{AclRule, Mechanism, Operation, PatternType, Permission, ResourceType};
use kastellan::secret::Secret;
use serde_json::{Value, json};

use crate::operator::{Kept, Operator, Outcome, Snapshot, Transport};
use crate::stack::kafka::{Login, principal};
use crate::stack::kubernetes::{self, Kubernetes};
use crate::stack::{Cluster, ClusterBuilder, KafkaVersion, quiet, unique_name};

/// A name that is one in Kubernetes too.
fn name(prefix: &str) -> String {
    unique_name(prefix).to_lowercase().replace('_', "-")
}

/// A user as somebody made it: a password, an ACL, a quota.
fn make_user(cluster: &Cluster, name: &str, password: &str) {
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

/// A namespace in which Strimzi's User Operator has been at work.
struct Strimzi {
    kubernetes: &'static Kubernetes,
    cluster: &'static Cluster,
    operator: Operator<'static>,
    namespace: String,
}

impl Strimzi {
    fn new() -> Self {
        let (kubernetes, cluster) = (kubernetes::shared(), quiet(KafkaVersion::V4_3_1, 1));
        let mut operator = Operator::with(&[("kafka", cluster, Transport::Plaintext)]);
        let namespace = kubernetes.namespace();
        let token = kubernetes.service_account(&namespace, "kastellan");
        operator.set("KUBECONFIG", &kubernetes.kubeconfig(&[("here", &token)]).display().to_string());
        let read = format!(
            "apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata: {{name: import, namespace: {namespace}}}\n\
             rules: [{{apiGroups: [\"\"], resources: [secrets], verbs: [get]}}]\n---\n\
             apiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\nmetadata: {{name: import, namespace: {namespace}}}\n\
             roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: Role, name: import}}\n\
             subjects: [{{kind: ServiceAccount, name: kastellan, namespace: {namespace}}}]\n"
        );
        kubernetes.apply_yaml(&read);
        Self { kubernetes, cluster, operator, namespace }
    }

    /// A user, and the Secret of it as the User Operator writes it.
    fn make(&self, name: &str, password: &str) {
        make_user(self.cluster, name, password);
        let labels = json!({
            "app.kubernetes.io/instance": name, "app.kubernetes.io/managed-by": "strimzi-user-operator",
            "app.kubernetes.io/name": "strimzi-user-operator", "app.kubernetes.io/part-of": format!("strimzi-{name}"),
            "strimzi.io/cluster": "kafka", "strimzi.io/kind": "KafkaUser",
        });
        let secret = json!({
            "metadata": {"name": name, "labels": labels, "ownerReferences": [{
                "apiVersion": "kafka.strimzi.io/v1", "kind": "KafkaUser", "name": name, "controller": false,
                "blockOwnerDeletion": true, "uid": "7d2f2b0c-0000-4000-8000-000000000001",
            }]},
            "type": "Opaque",
            "stringData": {"password": password, "sasl.jaas.config": jaas(name, password)},
        });
        let path = format!("/api/v1/namespaces/{}/secrets?fieldManager=strimzi-user-operator", self.namespace);
        self.kubernetes.create(&path, &secret);
    }

    fn secret(&self, name: &str) -> Value {
        self.kubernetes.secret(&self.namespace, name).unwrap()
    }

    /// What `kubectl get kafkausers -o yaml` prints. JSON is YAML.
    fn resources(&self, users: &[(&str, &str)]) -> String {
        let item = |(name, kind): &(&str, &str)| {
            json!({
                "apiVersion": "kafka.strimzi.io/v1", "kind": "KafkaUser",
                "metadata": {"name": name, "namespace": self.namespace, "labels": {"strimzi.io/cluster": "kafka"}},
                "spec": {"authentication": {"type": kind}, "authorization": {"type": "simple", "acls": []}},
                "status": {"username": name, "secret": name, "observedGeneration": 1},
            })
        };
        let items = users.iter().map(item).collect::<Vec<_>>();
        json!({"apiVersion": "v1", "kind": "List", "items": items}).to_string()
    }

    fn document(&self, name: &str) -> String {
        format!("users/{}/{name}.yaml", self.namespace)
    }

    /// Adds to the end of a document.
    fn append(&self, name: &str, text: &str) {
        let path = self.operator.documents().join(self.document(name));
        let document = fs::read_to_string(&path).unwrap();
        fs::write(path, document + text).unwrap();
    }
}

/// The text of Strimzi's `KafkaUserModel`.
fn jaas(name: &str, password: &str) -> String {
    format!(
        "org.apache.kafka.common.security.scram.ScramLoginModule required username=\"{name}\" password=\"{password}\";"
    )
}

const PASSWORD: &str = "aS7dK2mQ9xR4tV8bN1cZ6wE3yU5iO0pL";

#[test]
fn users_of_strimzi_are_taken_over_rotate_and_can_go_back() {
    let stage = Strimzi::new();
    let Strimzi { operator, cluster, namespace, .. } = &stage;
    let (one, other, by_certificate) = (name("payments"), name("orders"), name("reports"));
    stage.make(&one, PASSWORD);
    stage.make(&other, &PASSWORD.replace('a', "B"));
    let kinds = [(&*one, "scram-sha-512"), (&*other, "scram-sha-512"), (&*by_certificate, "tls")];
    let resources = stage.resources(&kinds);
    let secrets = [stage.secret(&one), stage.secret(&other)];
    let access = (cluster.acls_of(&principal(&one)).unwrap(), cluster.quotas_of(&one).unwrap());
    let import = ["import", "--from", "strimzi", "--resources", "-", "-o", "json"];

    let before = Snapshot::of(&operator.work());
    let looked = operator.run_with_input(&[&import[..], &["--dry-run"]].concat(), &resources).exits(4);
    assert_eq!(names(&looked, "imported").len(), 2, "{looked}");
    before.assert_unchanged(&operator.work());

    let imported = operator.run_with_input(&import, &resources).exits(4);
    assert_only_looked(&imported);
    assert_eq!(names(&imported, "imported").len(), 2, "{imported}");
    assert_eq!(names(&imported, "refused"), [format!("{namespace}/{by_certificate}")]);
    assert!(!imported.stdout.contains(PASSWORD) && !imported.stderr.contains(PASSWORD));
    assert_eq!([stage.secret(&one), stage.secret(&other)], secrets, "byte for byte, and version for version");
    assert_eq!((cluster.acls_of(&principal(&one)).unwrap(), cluster.quotas_of(&one).unwrap()), access);
    operator.assert_in_step();
    operator.plan(&[]).exits(0).says("STRIMZI_IGNORED_USERS_PATTERN=").says("every two minutes");
    operator.run(&["verify"]).exits(0).says("2 credentials work, 0 failed");

    let before = Snapshot::of(&operator.work());
    let again = operator.run_with_input(&import, &resources).exits(4);
    assert_eq!((names(&again, "imported").len(), names(&again, "before").len()), (0, 2), "{again}");
    before.assert_unchanged(&operator.work());

    takes_the_secret_over(&stage, &one, &secrets[0]);
    rotates(&stage, &one, Mechanism::ScramSha256);
    rotates(&stage, &one, Mechanism::ScramSha512);
    goes_back(&stage, &one);
}

/// The Secret is Kastellan's from then on: the same data, and every label of Strimzi but the one that says whose it is.
fn takes_the_secret_over(stage: &Strimzi, one: &str, before: &Value) {
    let operator = &stage.operator;
    let path = operator.documents().join(stage.document(one));
    let document = fs::read_to_string(&path).unwrap();
    let document = document.replace("  # deliver:", "  deliver:").replace("  #   - kube", "    - kube");
    let rotation = "  rotation: {strategy: mechanism-flip, overlap: 1s, clientsReadMechanism: true}\n";
    fs::write(&path, document + rotation).unwrap();
    let account = format!("{}/kastellan", stage.namespace);
    let policy = operator.run(&["policy", "kubernetes", "--service-account", &account]).exits(0);
    stage.kubernetes.apply_yaml(&policy.stdout);
    operator.plan(&[]).exits(0).says("take over Secret");
    operator.apply(&[]).exits(0);
    let taken = stage.secret(one);
    assert_eq!((&taken["data"], &taken["type"]), (&before["data"], &before["type"]));
    assert_eq!(taken["metadata"]["labels"]["strimzi.io/kind"], "KafkaUser");
    assert_eq!(taken["metadata"]["labels"]["app.kubernetes.io/managed-by"], "kastellan");
    operator.assert_in_step();
}

fn rotates(stage: &Strimzi, one: &str, expected: Mechanism) {
    let before = stage.kubernetes.mounted(&stage.namespace, one);
    let user = format!("{}/{one}", stage.namespace);
    stage.operator.run(&["rotate", &user, "--auto-approve"]).exits(0);
    let after = stage.kubernetes.mounted(&stage.namespace, one);
    assert_ne!(before["password"], after["password"]);
    // The overlap is over before the plan is made.
    crate::stack::pause(std::time::Duration::from_secs(2));
    stage.operator.apply(&[]).exits(0);
    assert_eq!(stage.cluster.mechanisms_of(one).unwrap(), [expected].into(), "the old password is retired");
    stage.operator.assert_in_step();
}

/// Kastellan lets go of the user, and leaves everything as the User Operator wants to find it.
fn goes_back(stage: &Strimzi, one: &str) {
    let operator = &stage.operator;
    stage.append(one, "  deletionPolicy: Retain\n");
    operator.apply(&[]).exits(0);
    let before = stage.secret(one);
    fs::remove_file(operator.documents().join(stage.document(one))).unwrap();
    operator.apply(&["--prune"]).exits(0);
    assert_eq!(stage.secret(one), before);
    let mounted = stage.kubernetes.mounted(&stage.namespace, one);
    let password = &mounted["password"];
    let expected = [("password".to_owned(), password.clone()), ("sasl.jaas.config".to_owned(), jaas(one, password))];
    assert_eq!(mounted, expected.into(), "what the User Operator writes for this password, and nothing else");
    let labels = &before["metadata"]["labels"];
    assert_eq!((&labels["strimzi.io/kind"], &labels["strimzi.io/cluster"]), (&json!("KafkaUser"), &json!("kafka")));
    let secret = Secret::from_text(password.clone());
    let login = stage.cluster.log_in(1, Mechanism::ScramSha512, one, &secret).unwrap();
    assert!(matches!(login, Login::Accepted(_)), "the User Operator finds the password that works");
}

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

/// What people copy from the README, in its order: commands of the program, and of `sed`.
fn commands_of(readme: &str) -> Vec<&str> {
    let blocks = readme.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    blocks.flat_map(str::lines).collect()
}

#[test]
fn the_example_does_what_its_readme_says() {
    let example = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/from-strimzi");
    let read = |file: &str| fs::read_to_string(example.join(file)).unwrap();
    let cluster = ClusterBuilder::new(KafkaVersion::V4_3_1).start().unwrap();
    let mut operator = Operator::with(&[("kafka", &cluster, Transport::Plaintext)]);
    let kubernetes = kubernetes::shared();
    kubernetes.create("/api/v1/namespaces", &json!({"metadata": {"name": "kafka"}}));
    let stage_user = |name: &str| {
        make_user(&cluster, name, PASSWORD);
        let data = json!({"password": PASSWORD, "sasl.jaas.config": jaas(name, PASSWORD)});
        let secret = json!({"metadata": {"name": name}, "stringData": data});
        kubernetes.create("/api/v1/namespaces/kafka/secrets?fieldManager=strimzi-user-operator", &secret);
    };
    stage_user("payments");
    stage_user("orders");
    let token = kubernetes.service_account("kafka", "kastellan");
    kubernetes.apply_yaml(
        "apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata: {name: import, namespace: kafka}\n\
         rules: [{apiGroups: [\"\"], resources: [secrets], verbs: [get]}]\n---\n\
         apiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\nmetadata: {name: import, namespace: kafka}\n\
         roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: import}\n\
         subjects: [{kind: ServiceAccount, name: kastellan, namespace: kafka}]\n",
    );
    operator.set("KUBECONFIG", &kubernetes.kubeconfig(&[("here", &token)]).display().to_string());
    operator.set("KAFKA_ADMIN_PASSWORD", cluster.kastellan.password_text());

    fs::remove_file(operator.documents().join("kafka.yaml")).unwrap();
    operator.write("kastellan/store.yaml", &read("kastellan/store.yaml"));
    operator.write("strimzi/users.yaml", &read("strimzi/users.yaml"));
    let document =
        read("kastellan/cluster.yaml").replace("localhost:9092", &cluster.bootstrap(Transport::Plaintext.admin()));
    let document = document.replace("localhost:9094", &cluster.bootstrap(Transport::Plaintext.clients()));
    let username = format!("username: \"{}\"", cluster.kastellan.username);
    operator.write("kastellan/cluster.yaml", &document.replace("username: \"kastellan\"", &username));

    let readme = read("README.md");
    let commands = commands_of(&readme);
    assert_eq!(commands.len(), 6, "{commands:?}");
    let mut said = String::new();
    for command in commands {
        match command.strip_prefix("kastellan ") {
            Some(arguments) => {
                let outcome = operator.run(&arguments.split_whitespace().collect::<Vec<_>>()).exits(0);
                said.push_str(&outcome.stderr);
            }
            None => {
                let run = std::process::Command::new("sh").args(["-c", command]).current_dir(operator.work()).status();
                assert!(run.unwrap().success(), "{command}");
                assert!(said.contains("STRIMZI_IGNORED_USERS_PATTERN=orders|payments`"), "{said}");
                said.clear();
            }
        }
    }
    assert!(!said.contains("STRIMZI"), "{said}");
    operator.assert_in_step();
    let document = fs::read_to_string(operator.documents().join("users/kafka/payments.yaml")).unwrap();
    assert!(readme.contains("- kubernetesSecret: {name: payments, format: strimzi, adopt: true}"));
    assert!(document.contains("- kubernetesSecret: {name: payments, format: strimzi, adopt: true}"), "{document}");
}
