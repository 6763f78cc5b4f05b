//! Credentials as Kubernetes Secrets, on a real API server, under the rights that `kastellan policy kubernetes` prints.

mod bad_days;
mod clients;
#[cfg(feature = "crash-points")]
mod crashes;
mod in_pod;
mod life;
mod logins;
mod meddler;
mod other_cluster;
mod refusals;
mod rollout;
mod silent;
mod strangers;

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::operator::{Operator, Transport};
use crate::stack::kubernetes::{self, Kubernetes};
use crate::stack::{Cluster, KafkaVersion, quiet, unique_name};

/// One person with a namespace and a service account in it.
struct Stage {
    kubernetes: &'static Kubernetes,
    cluster: &'static Cluster,
    operator: Operator<'static>,
    namespace: String,
    kubeconfig: PathBuf,
}

impl Stage {
    fn new(version: KafkaVersion, transport: Transport) -> Self {
        let (kubernetes, cluster) = (kubernetes::shared(), quiet(version, 1));
        let mut operator = Operator::with(&[("kafka", cluster, transport)]);
        let namespace = kubernetes.namespace();
        let token = kubernetes.service_account(&namespace, "kastellan");
        let kubeconfig = kubernetes.kubeconfig(&[("here", &token)]);
        operator.set("KUBECONFIG", &kubeconfig.display().to_string());
        Self { kubernetes, cluster, operator, namespace, kubeconfig }
    }

    /// Declares a user that is delivered to Secrets, each with its fields beside the namespace, and gives Kastellan the
    /// rights for everything that is declared.
    fn declare(&self, name: &str, rest: &str, secrets: &[&str]) {
        let item = |(index, fields): (usize, &&str)| {
            format!("{{name: d{index}, kubernetesSecret: {{namespace: {}, {fields}}}}}", self.namespace)
        };
        let items = secrets.iter().enumerate().map(item).collect::<Vec<_>>().join(", ");
        let spec = format!("{{clusters: [kafka], authentication: {{type: scram}}{rest}, deliver: [{items}]}}");
        self.operator.declare(name, &spec);
        self.allow();
    }

    fn allow(&self) {
        let account = format!("{}/kastellan", self.namespace);
        let printed = self.operator.run(&["policy", "kubernetes", "--service-account", &account]).exits(0);
        self.kubernetes.apply_yaml(&printed.stdout);
    }

    /// Gives Kastellan every right to Secrets of the namespace in a cluster, whatever leads there and whatever is declared.
    fn allow_everything(&self, kubernetes: &Kubernetes) {
        let path = |plural: &str| format!("/apis/rbac.authorization.k8s.io/v1/namespaces/{}/{plural}", self.namespace);
        let rules = json!([{"apiGroups": [""], "resources": ["secrets"], "verbs": ["*"]}]);
        kubernetes.create(&path("roles"), &json!({"metadata": {"name": "all"}, "rules": rules}));
        kubernetes.create(
            &path("rolebindings"),
            &json!({
                "metadata": {"name": "all"},
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "all"},
                "subjects": [{"kind": "ServiceAccount", "name": "kastellan", "namespace": self.namespace}],
            }),
        );
    }

    /// What the kubeconfig logs in with.
    fn token(&self) -> String {
        let text = std::fs::read_to_string(&self.kubeconfig).unwrap();
        let kubeconfig: Value = serde_json::from_str(&text).unwrap();
        kubeconfig["users"][0]["user"]["token"].as_str().unwrap().to_owned()
    }

    fn secret(&self, name: &str) -> Value {
        self.kubernetes.secret(&self.namespace, name).unwrap_or_else(|| panic!("no Secret {name}"))
    }

    fn password(&self, name: &str) -> String {
        self.kubernetes.mounted(&self.namespace, name)["password"].clone()
    }

    fn edit(&self, name: &str, manager: &str, patch: &Value) {
        self.kubernetes.edit_secret(&self.namespace, name, manager, patch);
    }

    /// Makes a Secret that is somebody else's.
    fn stranger(&self, name: &str, more: &Value) {
        let mut secret = json!({
            "metadata": {"name": name}, "data": {"password": "c3RyYW5nZXI=", "theirs": "a2VwdA=="},
        });
        let fields = secret.as_object_mut().unwrap();
        for (key, value) in more.as_object().unwrap() {
            fields.insert(key.clone(), value.clone());
        }
        let secrets = format!("/api/v1/namespaces/{}/secrets?fieldManager=helm", self.namespace);
        self.kubernetes.create(&secrets, &secret);
    }
}

fn version_of(secret: &Value) -> (&str, &str) {
    let text = |field: &str| secret["metadata"][field].as_str().unwrap();
    (text("uid"), text("resourceVersion"))
}

/// A name that is one in Kubernetes too.
fn name(prefix: &str) -> String {
    unique_name(prefix).to_lowercase().replace('_', "-")
}
