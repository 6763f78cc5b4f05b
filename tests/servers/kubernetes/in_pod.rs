//! In a pod: no kubeconfig, and a service account's files where kubelet mounts them.
//!
//! The place is fixed, so the program runs with a file system of its own over `/var/run`: in a user's namespace, or as root
//! without one. Whoever may do neither cannot run this test, and is told so.

use std::path::Path;
use std::process::{Command, Stdio};

use super::{Stage, name};
use crate::operator::{Outcome, Transport};
use crate::stack::KafkaVersion;

/// Makes the place and fills it from the folder `$1`, then becomes the program.
const MOUNT: &str = "mount -t tmpfs -o mode=755 tmpfs /var/run
account=/var/run/secrets/kubernetes.io/serviceaccount
mkdir -p \"$account\"
cp \"$1\"/* \"$account\"
shift
exec \"$@\"";

/// How this machine lets us mount.
fn namespaces() -> &'static [&'static str] {
    let ways: [&[&str]; 2] = [&["--map-root-user", "--mount"], &["--mount"]];
    let works = |flags: &&&[&str]| {
        let mut command = Command::new("unshare");
        command.args(**flags).args(["sh", "-c", "mount -t tmpfs tmpfs /var/run"]);
        command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
    };
    ways.iter().find(works).unwrap_or_else(|| {
        panic!(
            "CANNOT RUN: a pod is played in a mount namespace, and this machine lets `{}` make none. Allow user namespaces \
             (`sysctl kernel.unprivileged_userns_clone=1`, or a container with CAP_SYS_ADMIN), or skip this test by its name",
            std::env::var("USER").unwrap_or_default()
        )
    })
}

/// The program in a pod with these variables and, as its account, the files of a folder.
fn in_pod(stage: &Stage, account: &Path, arguments: &[&str]) -> Outcome {
    let inner = stage.operator.command(arguments);
    let mut command = Command::new("unshare");
    command.args(namespaces()).args(["sh", "-euc", MOUNT, "sh"]).arg(account);
    command.arg(inner.get_program()).args(inner.get_args());
    command.current_dir(stage.operator.work()).env_clear();
    command.envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?)))).env_remove("KUBECONFIG");
    let authority = stage.kubernetes.authority();
    let (host, port) = authority.split_once(':').unwrap();
    command.env("KUBERNETES_SERVICE_HOST", host).env("KUBERNETES_SERVICE_PORT", port);
    Outcome::new(arguments, command.output().unwrap())
}

const APPLY: [&str; 6] = ["--log", "trace", "apply", "--auto-approve", "-o", "json"];

#[test]
fn a_pod_logs_in_by_its_service_account() {
    let mut stage = Stage::new(KafkaVersion::V4_3_1, Transport::Plaintext);
    let user = name("pod");
    stage.declare(&user, "", &["name: app"]);
    stage.operator.set("KUBECONFIG", "");
    let outside = stage.operator.apply(&[]).exits(4);
    assert!(outside.stdout.contains("there is no kubeconfig, and this is no pod of a cluster"), "{outside}");

    let account = stage.operator.work().join("account");
    std::fs::create_dir(&account).unwrap();
    let token = stage.kubernetes.service_account(&stage.namespace, "another");
    stage.kubernetes.mount_account(&account, &stage.namespace, &token).unwrap();
    let refused = in_pod(&stage, &account, &APPLY).exits(4);
    assert!(refused.stdout.contains("Kastellan has no right to"), "{refused}");

    // Kubelet puts another token in its place.
    let token = stage.token();
    stage.kubernetes.mount_account(&account, &stage.namespace, &token).unwrap();
    let applied = in_pod(&stage, &account, &APPLY).exits(0);
    assert!(!applied.stderr.contains(&token) && !applied.stdout.contains(&token));
    assert_eq!(stage.kubernetes.mounted(&stage.namespace, "app")["username"], user);
    let planned = in_pod(&stage, &account, &["plan", "-o", "json", "--detailed-exitcode"]).exits(0).json();
    assert_eq!((&planned["declared"], &planned["reports"]), (&planned["inStep"], &serde_json::json!([])));

    for file in ["token", "ca.crt", "namespace"] {
        std::fs::rename(account.join(file), stage.operator.work().join(file)).unwrap();
        let incomplete = in_pod(&stage, &account, &APPLY).exits(4);
        let expected =
            format!("failed to read `/var/run/secrets/kubernetes.io/serviceaccount/{file}`, which the login needs");
        assert!(incomplete.stdout.contains(&expected), "{incomplete}");
        assert!(incomplete.stdout.contains("automountServiceAccountToken"), "{incomplete}");
        std::fs::rename(stage.operator.work().join(file), account.join(file)).unwrap();
    }
    std::fs::write(account.join("ca.crt"), "").unwrap();
    let stranger = in_pod(&stage, &account, &APPLY).exits(4);
    assert!(stranger.stdout.contains("the connection cannot be made"), "{stranger}");
}
