//! Kastellan beside a cluster: its folder, and the commands that are measured.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;

use super::process::{self, Ran};
use super::stack::{Cluster, Listener};
use super::{Outcome, documents};

/// One scope on one cluster.
pub struct Bench<'a> {
    pub cluster: &'a Cluster,
    pub folder: PathBuf,
    /// Where Secrets are delivered to, if they are.
    pub kubeconfig: Option<PathBuf>,
}

impl Bench<'_> {
    pub fn kastellan(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kastellan"));
        command
            .env_clear()
            .env("HOME", &self.folder)
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("KAFKA_ADMIN_PASSWORD", self.cluster.kastellan.password_text())
            .envs(self.kubeconfig.iter().map(|kubeconfig| ("KUBECONFIG", kubeconfig)));
        command
    }

    /// An identity and a store by `init`, and the documents.
    pub fn prepare(&self, prefix: &str, users: usize) -> Outcome<()> {
        let mut init = self.kastellan();
        init.arg("init").arg(self.folder.join("unused"));
        init.arg("--store").arg(self.folder.join("store")).arg("--identity").arg(self.folder.join("identity.txt"));
        let ran = process::run(&mut init)?;
        assert_eq!(ran.status, 0, "init failed");
        let (admin, clients) = (self.cluster.bootstrap(Listener::Admin), self.cluster.bootstrap(Listener::Clients));
        documents::write(&self.folder.join("documents"), prefix, users, [&admin, &clients], "1h")?;
        Ok(())
    }

    /// As if hours had passed since the last change of anybody's slots: what the bench does in minutes is days apart elsewhere.
    pub fn let_permits_end(&self) -> Outcome<()> {
        for entry in std::fs::read_dir(self.folder.join("store/_kastellan/records/bench"))? {
            let path = entry?.path();
            let mut file: serde_json::Value = serde_json::from_slice(&std::fs::read(&path)?)?;
            for permit in file["record"]["permits"].as_array_mut().into_iter().flatten() {
                permit["until"] = "2001-01-01T00:00:00Z".into();
            }
            std::fs::write(&path, serde_json::to_vec(&file)?)?;
        }
        Ok(())
    }

    pub fn apply(&self) -> Outcome<Ran> {
        let mut apply = self.kastellan();
        apply.args(["apply", "--auto-approve", "-o", "json", "-f"]).arg(self.folder.join("documents"));
        process::run(&mut apply)
    }
}

/// Effects that a command executed, by name.
pub fn effects_of(ran: &Ran) -> Outcome<BTreeMap<String, usize>> {
    let view: serde_json::Value = serde_json::from_str(&ran.stdout)?;
    Ok(serde_json::from_value(view["effects"].clone())?)
}
