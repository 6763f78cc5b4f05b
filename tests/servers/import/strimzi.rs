//! Users that Strimzi's User Operator made, with the Secrets that it wrote.

use std::fs;

use kastellan::names::Mechanism;
use kastellan::secret::Secret;
use serde_json::{Value, json};

use super::{PASSWORD, assert_only_looked, make_user, names};
use crate::operator::{Operator, Snapshot, Transport};
use crate::stack::kafka::{Login, principal};
use crate::stack::kubernetes::{self, Kubernetes};
use crate::stack::{Cluster, ClusterBuilder, KafkaVersion, quiet, unique_name};

/// A name that is one in Kubernetes too.
fn name(prefix: &str) -> String {
    unique_name(prefix).to_lowercase().replace('_', "-")
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
        allow_reading_secrets(kubernetes, &namespace);
        Self { kubernetes, cluster, operator, namespace }
    }

    /// A user, and the Secret of it as the User Operator writes it.
    fn make(&self, name: &str, password: &str) {
        make_user(self.cluster, name, password);
        make_secret(self.kubernetes, &self.namespace, name, password);
    }

    fn secret(&self, name: &str) -> Value {
        self.kubernetes.secret(&self.namespace, name).unwrap()
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

/// A Secret as the User Operator writes it.
pub fn make_secret(kubernetes: &Kubernetes, namespace: &str, name: &str, password: &str) {
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
    let path = format!("/api/v1/namespaces/{namespace}/secrets?fieldManager=strimzi-user-operator");
    kubernetes.create(&path, &secret);
}

/// What `kubectl get kafkausers -o yaml` prints, for names with their types of authentication. JSON is YAML.
pub fn resources(namespace: &str, users: &[(&str, &str)]) -> String {
    let item = |(name, kind): &(&str, &str)| {
        json!({
            "apiVersion": "kafka.strimzi.io/v1", "kind": "KafkaUser",
            "metadata": {"name": name, "namespace": namespace, "labels": {"strimzi.io/cluster": "kafka"}},
            "spec": {"authentication": {"type": kind}, "authorization": {"type": "simple", "acls": []}},
            "status": {"username": name, "secret": name, "observedGeneration": 1},
        })
    };
    let items = users.iter().map(item).collect::<Vec<_>>();
    json!({"apiVersion": "v1", "kind": "List", "items": items}).to_string()
}

/// Lets Kastellan's account of a namespace `get` its Secrets, as an import asks for.
pub fn allow_reading_secrets(kubernetes: &Kubernetes, namespace: &str) {
    let read = format!(
        "apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata: {{name: import, namespace: {namespace}}}\n\
         rules: [{{apiGroups: [\"\"], resources: [secrets], verbs: [get]}}]\n---\n\
         apiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\nmetadata: {{name: import, namespace: {namespace}}}\n\
         roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: Role, name: import}}\n\
         subjects: [{{kind: ServiceAccount, name: kastellan, namespace: {namespace}}}]\n"
    );
    kubernetes.apply_yaml(&read);
}

/// The text of Strimzi's `KafkaUserModel`.
fn jaas(name: &str, password: &str) -> String {
    format!(
        "org.apache.kafka.common.security.scram.ScramLoginModule required username=\"{name}\" password=\"{password}\";"
    )
}

#[test]
fn users_of_strimzi_are_taken_over_rotate_and_can_go_back() {
    let stage = Strimzi::new();
    let Strimzi { operator, cluster, namespace, .. } = &stage;
    let (one, other, by_certificate) = (name("payments"), name("orders"), name("reports"));
    stage.make(&one, PASSWORD);
    stage.make(&other, &PASSWORD.replace('a', "B"));
    let kinds = [(&*one, "scram-sha-512"), (&*other, "scram-sha-512"), (&*by_certificate, "tls")];
    let resources = resources(namespace, &kinds);
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
    let planned = operator.run(&["plan"]).exits(0).says("STRIMZI_IGNORED_USERS_PATTERN=").says("every two minutes");
    assert!(!planned.stdout.contains("STRIMZI"), "a warning is no data");
    let planned = operator.plan(&[]).exits(0).json();
    let warning = planned["warnings"].as_array().unwrap().iter().find(|one| one["code"] == "other-operator").unwrap();
    assert!(warning["message"].as_str().unwrap().contains("every two minutes"), "{warning}");
    assert!(warning["hint"].as_str().unwrap().contains("STRIMZI_IGNORED_USERS_PATTERN="), "{warning}");
    operator.run(&["plan", "-o", "markdown"]).exits(0).says("every two minutes");
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
    let planned = operator.plan(&[]).exits(0);
    let text = format!("take over Secret `{}/{one}`, and write our keys into it", stage.namespace);
    let reason = format!("`adopt`; it belongs to KafkaUser `{one}` and field manager `strimzi-user-operator`");
    let user = &planned.json()["users"][0];
    let mut actions = user["actions"].as_array().unwrap().iter();
    assert!(actions.any(|action| action["text"] == *text && action["reason"] == *reason), "{planned}");
    operator.run(&["plan"]).exits(0).says(&format!("{text}: {reason}    [destructive]"));
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
    allow_reading_secrets(kubernetes, "kafka");
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
