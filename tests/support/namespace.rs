//! A namespace of a real Kubernetes API, with Kastellan's own account in it.

use std::collections::BTreeMap;

use crate::operator::Operator;
use crate::stack::kubernetes::Kubernetes;

/// Where an operator delivers Secrets to, under the rights that the program prints for its documents.
pub struct Namespace {
    /// The API that it is in.
    pub kubernetes: &'static Kubernetes,
    /// Its name.
    pub name: String,
    /// What its account logs in with.
    pub token: String,
}

impl Namespace {
    /// A new one, for an operator that has none yet.
    pub fn of(operator: &mut Operator<'_>, kubernetes: &'static Kubernetes) -> Self {
        let name = kubernetes.namespace();
        let token = kubernetes.service_account(&name, "kastellan");
        let kubeconfig = kubernetes.kubeconfig(&[("here", &token)]);
        operator.set("KUBECONFIG", &kubeconfig.display().to_string());
        Self { kubernetes, name, token }
    }

    /// A kubeconfig that reaches the API by another address, as a variable has it.
    pub fn kubeconfig_by(&self, url: &str) -> String {
        self.kubernetes.kubeconfig_by(url, &[("here", &self.token)]).display().to_string()
    }

    /// Gives Kastellan the rights for everything that is declared, as whoever may give them.
    pub fn allow(&self, operator: &Operator<'_>) {
        let account = format!("{}/kastellan", self.name);
        let printed = operator.run(&["policy", "kubernetes", "--service-account", &account]).exits(0);
        self.kubernetes.apply_yaml(&printed.stdout);
    }

    /// A delivery of a document to the Secret of a user.
    pub fn delivery(&self, user: &str) -> String {
        let (name, secret) = (&self.name, secret_name(user));
        format!(
            "{{name: pod, kubernetesSecret: {{namespace: {name}, name: {secret}, format: properties, cluster: kafka}}}}"
        )
    }

    /// What a pod would mount of the Secret of a user; `None` if there is none.
    pub fn mounted(&self, user: &str) -> Option<BTreeMap<String, String>> {
        let secret = secret_name(user);
        self.kubernetes.secret(&self.name, &secret)?;
        Some(self.kubernetes.mounted(&self.name, &secret))
    }
}

/// A name that is one in Kubernetes too.
pub fn secret_name(user: &str) -> String {
    user.to_lowercase().replace(['_', '.'], "-")
}
