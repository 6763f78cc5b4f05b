//! The same with a store in Vault and deliveries to Kubernetes: what is different is the beginning, and how a file comes to its
//! service.

use std::path::Path;

use serde_json::json;

use super::{BILLING_FILE, ORDERS_FILE, Stage};
use crate::failure::Failure;
use crate::narration::Narrator;
use crate::stack::kubernetes::Kubernetes;
use crate::stack::vault::Vault;
use crate::stack::{Listener, write_private};
use crate::workshop::Workshop;

const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/vault-kubernetes/kastellan");
const DOCUMENTS: [&str; 4] = ["store.yaml", "cluster.yaml", "users/orders.yaml", "users/billing.yaml"];
const NAMESPACE: &str = "shop";
/// Each Secret, and the file that stands for where its pod would mount it.
const MOUNTS: [(&str, &str); 2] = [("orders-kafka", ORDERS_FILE), ("billing-kafka", BILLING_FILE)];

/// A Vault and a Kubernetes API.
pub(super) struct Servers {
    vault: Vault,
    kubernetes: Kubernetes,
}

impl Servers {
    /// Starts both, with a login of Kastellan's own at Kubernetes.
    pub(super) fn start(narrator: &Narrator, workshop: &Workshop) -> Result<Self, Failure> {
        narrator.chapter("A real Vault, and a real Kubernetes API");
        narrator.say("Starting Vault and kube-apiserver (the first time, Go builds them, which takes some minutes) …");
        let servers = Self { vault: Vault::start()?, kubernetes: Kubernetes::start()? };
        for namespace in [NAMESPACE, "kastellan"] {
            servers.kubernetes.create("/api/v1/namespaces", &json!({"metadata": {"name": namespace}}));
        }
        let token = servers.kubernetes.service_account("kastellan", "kastellan");
        let kubeconfig = servers.kubernetes.kubeconfig(&[("here", &token)]);
        workshop.set_variable("KUBECONFIG", &kubeconfig.display().to_string());
        servers.vault.mount_kv("kafka")?;
        let is_there = servers.kubernetes.get(&format!("/api/v1/namespaces/{NAMESPACE}")).is_some();
        narrator.check("Both are up, with an empty mount `kafka` and an empty namespace `shop`.", is_there)?;
        Ok(servers)
    }

    /// Shows Secrets as files, as a kubelet does. What did not change is not written.
    pub(super) fn mount(&self, workshop: &Workshop) -> Result<(), Failure> {
        for (secret, file) in MOUNTS {
            let path = workshop.path(file);
            if self.kubernetes.secret(NAMESPACE, secret).is_none() {
                if path.exists() {
                    workshop.remove(file)?;
                }
                continue;
            }
            let mounted = self.kubernetes.mounted(NAMESPACE, secret);
            let text = &mounted["client.properties"];
            if !path.exists() || workshop.read(file)? != *text {
                write_private(path, text)?;
            }
        }
        Ok(())
    }
}

/// Writes the documents of the example, and gives Kastellan the rights that they ask for.
pub(super) fn write_documents(stage: &Stage<'_>, servers: &Servers) -> Result<(), Failure> {
    let Stage { narrator, workshop, .. } = stage;
    narrator.chapter("Two users, as files in Git");
    narrator.say(
        "A service that writes orders, and one that bills them. This is all that a team writes to get a Kafka user whose \
         credential its pods mount.",
    );
    workshop.git(narrator, &["init", "--quiet", "--initial-branch=main"])?;
    for document in DOCUMENTS {
        let path = Path::new(EXAMPLE).join(document);
        let text = std::fs::read_to_string(&path).map_err(Failure::io(format!("read `{}`", path.display())))?;
        workshop.write(&format!("kastellan/{document}"), &adapted(&text, stage, servers))?;
    }
    for document in ["kastellan/users/orders.yaml", "kastellan/users/billing.yaml", "kastellan/store.yaml"] {
        narrator.command(&format!("cat {document}"));
        narrator.output(&workshop.read(document)?);
    }
    workshop.write(".gitignore", "/delivered/\n/secret-id\n")?;
    workshop.create_private_folder("delivered")?;
    let printed = stage.kastellan("validate", 0)?;
    narrator.say("(The warning is right, and meant for every Kafka that lives longer than this one.)");
    workshop.git(narrator, &["add", "."])?;
    workshop.git(narrator, &["commit", "--quiet", "--message", "Add orders and billing"])?;
    narrator.check(
        "The documents are valid, and there is nothing secret in them: passwords do not exist yet.",
        printed.says(&["Valid: 1 store", "2 users"]),
    )?;
    narrator.say(
        "No pods run here: the demo shows `client.properties` of each Secret as the file that a pod would mount, below \
         delivered/.",
    );
    give_rights(stage, servers)
}

/// The text of a document, with our addresses.
fn adapted(text: &str, stage: &Stage<'_>, servers: &Servers) -> String {
    let kafka = stage.kafka.bootstrap(Listener::Clients);
    let without_tls = text.lines().filter(|line| !line.trim_start().starts_with("tls:"));
    let text: String = without_tls.flat_map(|line| [line, "\n"]).collect();
    text.replace("https://vault.example.com:8200", &servers.vault.tls_url())
        .replace("/etc/ssl/vault-ca.pem", &servers.vault.ca_file().display().to_string())
        .replace("kafka.example.com:9093", &format!("{kafka:?}"))
        .replace("kafka.example.com:9094", &format!("{kafka:?}"))
        // For brokers that live for a minute.
        .replace("  admin:\n", "  admin:\n    fence: 2s\n")
}

fn give_rights(stage: &Stage<'_>, servers: &Servers) -> Result<(), Failure> {
    let Stage { narrator, workshop, .. } = stage;
    narrator.chapter("The rights of Kastellan itself");
    narrator.say(
        "It prints what it needs; somebody who may give that reviews it, and gives it. At Vault that is its part of one \
         mount, at Kubernetes the three Secrets that the documents name.",
    );
    let policy = workshop.kastellan(narrator, "policy vault", 0)?;
    servers.vault.put_policy("kastellan", &policy.text)?;
    let role = servers.vault.app_role("kastellan", &["kastellan"], "20m", "4h")?;
    servers.vault.ask("POST", "auth/approle/role/kastellan/role-id", &json!({"role_id": "kastellan"}))?;
    write_private(workshop.path("secret-id"), &role.secret_id)?;
    let roles = workshop.kastellan(narrator, "policy kubernetes --service-account kastellan/kastellan", 0)?;
    servers.kubernetes.apply_yaml(&roles.text);
    narrator.check(
        "No root token and no cluster administrator is used from here on.",
        policy.says(&["kafka/data/prod/"]) && roles.says(&["orders-kafka", "billing-kafka-binding"]),
    )
}
