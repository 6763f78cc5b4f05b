//! Logins by a program, as a kubeconfig's `exec` describes it: it prints an `ExecCredential`
//! (client.authentication.k8s.io/v1, KEP-541).

use std::collections::BTreeSet;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kube::config::{ExecConfig, ExecInteractiveMode};
use rustix::process::{Pid, Signal, kill_process_group};
use serde::Deserialize;
use tokio::io::AsyncReadExt as _;
use tokio::process::{Child, Command};
use zeroize::Zeroizing;

use super::ProgramFailure;

/// How long a program may take: those of the clouds ask a server or two.
const PATIENCE: Duration = Duration::from_secs(30);
/// The most that is read of what it prints. Tokens and certificates are some kilobytes.
const BYTES_MAX: u64 = 1 << 20;

/// What a program printed.
pub(super) struct Printed {
    pub proof: Proof,
    /// `None`: until the API refuses it.
    pub expires_at: Option<Timestamp>,
}

/// What a client proves itself by.
pub(super) enum Proof {
    /// A bearer token.
    Token(Zeroizing<String>),
    /// A client certificate.
    Certificate { certificate_pem: String, key_pem: Zeroizing<String> },
}

#[derive(Deserialize)]
struct ExecCredential {
    kind: String,
    status: Option<Status>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    expiration_timestamp: Option<Timestamp>,
    token: Option<Zeroizing<String>>,
    client_certificate_data: Option<String>,
    client_key_data: Option<Zeroizing<String>>,
}

/// Runs the program of a kubeconfig, with our environment but for `hidden`.
///
/// # Guarantees
/// One that does not end is killed with everything that it started. It reads nothing from us, and nobody sees what it prints.
pub(super) async fn run(exec: &ExecConfig, hidden: &BTreeSet<String>) -> Result<Printed, ProgramFailure> {
    if exec.interactive_mode == Some(ExecInteractiveMode::Always) {
        return Err(ProgramFailure::Interactive);
    }
    let mut command = Command::new(exec.command.as_deref().unwrap_or_default());
    command.args(exec.args.iter().flatten());
    for name in hidden {
        command.env_remove(name);
    }
    let stated = exec.env.iter().flatten().filter_map(|entry| Some((entry.get("name")?, entry.get("value")?)));
    command.envs(stated).env("KUBERNETES_EXEC_INFO", exec_info(exec));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).process_group(0);
    let mut running = Running::new(command.spawn().map_err(|error| ProgramFailure::Start(Arc::new(error)))?);
    let ended = tokio::time::timeout(PATIENCE, running.end()).await;
    let printed = ended.map_err(|_| ProgramFailure::Hangs(PATIENCE))??;
    parse(&printed)
}

/// What the program is told: nobody can be asked, and where the cluster is, if the kubeconfig wants that.
fn exec_info(exec: &ExecConfig) -> String {
    let info = serde_json::json!({
        "apiVersion": exec.api_version,
        "kind": "ExecCredential",
        "spec": {"interactive": false, "cluster": exec.cluster},
    });
    info.to_string()
}

fn parse(printed: &[u8]) -> Result<Printed, ProgramFailure> {
    // `kubectl` reads YAML as well.
    let read = serde_json::from_slice::<ExecCredential>(printed).ok();
    let read = read.or_else(|| serde_saphyr::from_slice(printed).ok());
    let status = read.filter(|read| read.kind == "ExecCredential").and_then(|read| read.status);
    let Status { expiration_timestamp, token, client_certificate_data, client_key_data } =
        status.ok_or(ProgramFailure::Nonsense)?;
    let proof = match (token, client_certificate_data, client_key_data) {
        (Some(token), _, _) if !token.is_empty() => Proof::Token(token),
        (_, Some(certificate_pem), Some(key_pem)) => Proof::Certificate { certificate_pem, key_pem },
        _ => return Err(ProgramFailure::Nonsense),
    };
    Ok(Printed { proof, expires_at: expiration_timestamp })
}

/// A program, and the group of everything that it starts, as long as that is to be killed with this value.
struct Running(Child, Option<Pid>);

impl Running {
    fn new(child: Child) -> Self {
        let group = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        Self(child, group)
    }

    /// What it printed, once it has ended well.
    async fn end(&mut self) -> Result<Zeroizing<Vec<u8>>, ProgramFailure> {
        let failed = |error| ProgramFailure::Start(Arc::new(error));
        let mut printed = Zeroizing::new(Vec::new());
        let stdout = self.0.stdout.take().expect("stdout is piped");
        stdout.take(BYTES_MAX).read_to_end(&mut printed).await.map_err(failed)?;
        let status = self.0.wait().await.map_err(failed)?;
        // From now on its number may be somebody else's.
        self.1 = None;
        if status.success() { Ok(printed) } else { Err(ProgramFailure::Failed(status)) }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(group) = self.1 {
            let _gone = kill_process_group(group, Signal::KILL);
        }
    }
}
