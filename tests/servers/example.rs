//! `examples/vault-kubernetes/README.md` is run: every command of it, in order, on real servers.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::operator::{Operator, Transport};
use crate::stack::kubernetes::{self, Kubernetes};
use crate::stack::vault::{self, Vault};
use crate::stack::{Cluster, KafkaVersion, quiet};

const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/vault-kubernetes");

/// A copy of the example, and who is logged in everywhere.
struct Reader {
    vault: Vault,
    kubernetes: &'static Kubernetes,
    cluster: &'static Cluster,
    operator: Operator<'static>,
    folder: PathBuf,
}

impl Reader {
    fn new() -> Self {
        let (vault, kubernetes) = (Vault::start().unwrap(), kubernetes::shared());
        let cluster = quiet(KafkaVersion::V4_3_1, 1);
        let mut operator = Operator::blank();
        let folder = operator.work();
        assert!(Command::new("cp").args(["-r", &format!("{EXAMPLE}/.")]).arg(&folder).status().unwrap().success());
        kubernetes.create("/api/v1/namespaces", &json!({"metadata": {"name": "kastellan"}}));
        let token = kubernetes.service_account("kastellan", "kastellan");
        let root = vault.ask("POST", "auth/token/create", &json!({})).unwrap();
        for (variable, value) in [
            ("VAULT_ADDR", vault.tls_url().as_str()),
            ("VAULT_CACERT", vault.ca_file().to_str().unwrap()),
            ("VAULT_TOKEN", root["auth"]["client_token"].as_str().unwrap()),
            ("KAFKA", &cluster.bootstrap(Transport::Tls.admin())),
            ("KAFKA_CLIENTS", &cluster.bootstrap(Transport::Tls.clients())),
            ("KAFKA_CACERT", cluster.ca_file().to_str().unwrap()),
            ("KAFKA_ADMIN_PASSWORD", cluster.kastellan.password_text()),
            ("KUBECONFIG", kubernetes.kubeconfig(&[("here", &token)]).to_str().unwrap()),
        ] {
            operator.set(variable, value);
        }
        // Its fence is for real clusters: a deletion right after a change would wait for a minute and a half.
        operator.edit("cluster.yaml", "  admin:\n", "  admin:\n    fence: 2s\n");
        Self { vault, kubernetes, cluster, operator, folder }
    }

    /// Runs a block of commands. What `kubectl` would do is done by the test.
    fn run(&self, block: &str) {
        let mut script = String::new();
        for line in block.lines() {
            match line.strip_prefix("kubectl ") {
                Some(arguments) => {
                    self.run_script(&std::mem::take(&mut script));
                    self.kubectl(arguments);
                }
                None => script.extend([line, "\n"]),
            }
        }
        self.run_script(&script);
    }

    fn run_script(&self, script: &str) {
        // The environment of the program, with the programs that a person has beside it.
        let mut command = Command::new("bash");
        let kastellan = self.operator.command(&[]);
        let beside = [Path::new(kastellan.get_program()), &vault::program().unwrap()]
            .map(|path| path.parent().unwrap().to_owned());
        let system = std::env::var_os("PATH").unwrap_or_default();
        let path = std::env::join_paths(beside.into_iter().chain(std::env::split_paths(&system))).unwrap();
        command.env_clear().envs(kastellan.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command.env("PATH", path).args(["-euo", "pipefail", "-c", script]).current_dir(&self.folder);
        let output = command.output().unwrap();
        assert!(
            output.status.success(),
            "{script}\n{}",
            String::from_utf8_lossy(&[output.stdout, output.stderr].concat())
        );
    }

    fn kubectl(&self, arguments: &str) {
        match arguments.split_whitespace().collect::<Vec<_>>()[..] {
            ["create", "namespace", name] => {
                self.kubernetes.create("/api/v1/namespaces", &json!({"metadata": {"name": name}}));
            }
            ["apply", "-f", file] => self.kubernetes.apply_yaml(&fs::read_to_string(self.folder.join(file)).unwrap()),
            ["describe", "secret", name, "--namespace", namespace] => {
                assert!(self.kubernetes.secret(namespace, name).is_some(), "{namespace}/{name}");
            }
            _ => panic!("what should `kubectl {arguments}` do?"),
        }
    }

    /// What Vault and the Secret hold agrees; the generation.
    fn generation_of_orders(&self) -> String {
        let read = self.vault.ask("GET", "kafka/data/prod/shop/orders", &Value::Null).unwrap();
        let credential = &read["data"]["data"];
        let mounted = self.kubernetes.mounted("shop", "orders-kafka");
        assert_eq!(credential["password"], mounted["password"].as_str());
        assert!(mounted["ca.crt"].contains("BEGIN CERTIFICATE"));
        credential["generation"].as_str().unwrap().to_owned()
    }
}

#[test]
fn the_readme_of_vault_and_kubernetes_does_what_it_says() {
    let reader = Reader::new();
    let readme = fs::read_to_string(format!("{EXAMPLE}/README.md")).unwrap();
    let blocks: Vec<&str> =
        readme.split("```sh\n").skip(1).map(|rest| rest.split_once("```").expect("it ends").0).collect();
    assert_eq!(blocks.len(), 8);
    for block in blocks {
        reader.run(block);
        if block.contains("kastellan verify") {
            assert_eq!(reader.generation_of_orders(), "1");
        }
        if block.contains("kastellan ack") {
            assert_eq!(reader.generation_of_orders(), "2");
            assert_eq!(reader.cluster.mechanisms_of("orders").unwrap().len(), 1);
        }
    }
    for user in ["orders", "billing"] {
        assert!(reader.cluster.mechanisms_of(user).unwrap().is_empty(), "{user}");
        assert!(reader.kubernetes.secret("shop", &format!("{user}-kafka")).is_none(), "{user}");
    }
    // What mounts it names it as the document does.
    let text = fs::read_to_string(format!("{EXAMPLE}/orders-deployment.yaml")).unwrap();
    let deployment: Value = serde_saphyr::from_str(&text).unwrap();
    let volume = &deployment["spec"]["template"]["spec"]["volumes"][0];
    assert_eq!(
        (&volume["secret"]["secretName"], &deployment["metadata"]["namespace"]),
        (&json!("orders-kafka"), &json!("shop"))
    );
}
