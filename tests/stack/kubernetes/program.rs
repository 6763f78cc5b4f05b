//! kube-apiserver, kube-controller-manager and etcd, built by Go and kept outside the checkout.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::stack::StackError;
use crate::stack::programs::{built_by_go, find, run};

const KUBERNETES: &str = "1.36.3";
const ETCD: &str = "3.7.3";

/// The API server: `$KASTELLAN_TEST_KUBE_APISERVER`, one on `PATH`, else version 1.36.3 built from its Go module.
pub fn kube_apiserver() -> Result<PathBuf, StackError> {
    of_kubernetes("kube-apiserver", "KASTELLAN_TEST_KUBE_APISERVER")
}

/// The controllers: `$KASTELLAN_TEST_KUBE_CONTROLLER_MANAGER`, one on `PATH`, else version 1.36.3 built from its Go module.
/// Most of it is the API server's code too: a minute beside that.
pub fn kube_controller_manager() -> Result<PathBuf, StackError> {
    of_kubernetes("kube-controller-manager", "KASTELLAN_TEST_KUBE_CONTROLLER_MANAGER")
}

/// A program of Kubernetes itself.
fn of_kubernetes(name: &'static str, variable: &str) -> Result<PathBuf, StackError> {
    program(name, variable, KUBERNETES, |go, folder| {
        // Its go.mod replaces its staging modules by folders, which a module that is fetched does not have.
        let fetched = Command::new(go)
            .args(["mod", "download", "-json", &format!("k8s.io/kubernetes@v{KUBERNETES}")])
            .current_dir(folder)
            .output()
            .map_err(StackError::io("run `go`"))?;
        let fetched: serde_json::Value = serde_json::from_slice(&fetched.stdout).unwrap_or_default();
        let file = fetched["GoMod"].as_str().unwrap_or_default();
        let staging = fs::read_to_string(file).map_err(StackError::io(format!("read `{file}`")))?;
        let mut module = "module kastellan.io/stack\n\ngo 1.26.0\n".to_owned();
        let version = KUBERNETES.strip_prefix('1').expect("it begins with 1");
        for line in staging.lines().filter(|line| line.contains("=> ./staging/")) {
            let name = line.trim().trim_start_matches("replace ").split(' ').next().unwrap_or_default();
            let _ = writeln!(module, "replace {name} => {name} v0{version}");
        }
        fs::write(folder.join("go.mod"), module).map_err(StackError::io("write `go.mod`"))?;
        let set = |name: &str, value: &str| format!(" -X k8s.io/component-base/version.{name}={value}");
        // Without these it calls itself v0.0.0, which clients cannot parse.
        let flags = ["gitVersion", "gitMajor", "gitMinor"].map(|name| {
            let parts = KUBERNETES.split('.').collect::<Vec<_>>();
            match name {
                "gitMajor" => set(name, parts[0]),
                "gitMinor" => set(name, parts[1]),
                _ => set(name, &format!("v{KUBERNETES}")),
            }
        });
        build(go, folder, &format!("k8s.io/kubernetes/cmd/{name}"), KUBERNETES, &flags.concat())
    })
}

/// etcd: `$KASTELLAN_TEST_ETCD`, one on `PATH`, else version 3.7.3 built from its Go module.
pub fn etcd() -> Result<PathBuf, StackError> {
    program("etcd", "KASTELLAN_TEST_ETCD", ETCD, |go, folder| {
        let module = "module kastellan.io/stack\n\ngo 1.26.0\n";
        fs::write(folder.join("go.mod"), module).map_err(StackError::io("write `go.mod`"))?;
        build(go, folder, "go.etcd.io/etcd/server/v3", ETCD, "")
    })
}

/// Builds `package` into `folder/built`.
fn build(go: &Path, folder: &Path, package: &str, version: &str, flags: &str) -> Result<(), StackError> {
    run(Command::new(go).args(["get", "-tool", &format!("{package}@v{version}")]).current_dir(folder))?;
    let flags = format!("-s -w{flags}");
    // Nobody waits for it alone: it may take some minutes, in which others want a turn.
    run(Command::new("nice").arg(go).args(["build", "-ldflags", &flags, "-o", "built", package]).current_dir(folder))
}

/// Finds a program, or has it built.
fn program(
    name: &'static str,
    variable: &str,
    version: &str,
    build: impl FnOnce(&Path, &Path) -> Result<(), StackError>,
) -> Result<PathBuf, StackError> {
    if let Some(stated) = std::env::var_os(variable).map(PathBuf::from).or_else(|| find(name)) {
        return Ok(stated);
    }
    let install = "apt-get install -y golang-go (1.26 or newer), which builds it";
    built_by_go(name, version, StackError::MissingProgram { program: name, install }, build)
}
