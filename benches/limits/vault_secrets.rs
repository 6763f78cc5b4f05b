//! First apply of many users whose credentials live in Vault and reach Kubernetes Secrets, against its floor; and the second
//! apply, which has nothing to do.

use kastellan::names::Segment;
use kastellan::vault::{LoginSettings, Vault as VaultClient, VaultSettings};

use super::Outcome;
use super::applies::{is_write, traffic_of, users};
use super::bench::{Bench, effects_of};
use super::documents::{self, Home};
use super::floor::{Floor, Outside};
use super::process;
use super::report::{Report, say};
use super::stack::kubernetes::Kubernetes;
use super::stack::vault::Vault;
use super::stack::{ClusterBuilder, KafkaVersion, Listener, unique_name, write_private};

/// Mount of everything.
const MOUNT: &str = "kafka";

pub fn measure(report: &mut Report) -> Outcome<()> {
    let users = users()?;
    say(&format!("first apply of {users} users into Vault and Kubernetes Secrets, three brokers …"));
    let folder = tempfile::tempdir()?;
    let cluster = ClusterBuilder::new(KafkaVersion::V4_3_1).nodes(3).start()?;
    let (vault, kubernetes) = (Vault::start()?, Kubernetes::start()?);
    vault.mount_kv(MOUNT)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;

    let outside = outside(&vault, &kubernetes, folder.path())?;
    let mut aside = Report::default();
    runtime.block_on(Floor::of(&mut aside, &cluster, 500).first_apply_outside(&outside, "warm"))?;
    let floor = runtime.block_on(Floor::of(report, &cluster, users).first_apply_outside(&outside, "floor"))?;
    report.note(format!("floor, {users} users in Vault and Secrets: sum"), floor, "s");

    let bench = Bench { cluster: &cluster, folder: folder.path().to_owned(), kubeconfig: None };
    let bench = prepare(bench, &vault, &kubernetes, users)?;
    let first = bench.apply()?;
    assert_eq!(first.status, 0, "the first apply failed:\n{}", first.stdout);
    say(&format!("  first apply: {:.2} s", first.seconds));
    report.note(format!("first apply, {users} users in Vault and Secrets"), first.seconds, "s");
    report.note("the same: CPU time of the process", first.cpu_seconds, "s");
    report.bound("first apply into Vault and Secrets / floor", first.seconds / floor, "×", 1.3);
    report.bound("the same: peak memory", first.peak_mib, "MiB", 256.0);
    for (what, count) in traffic_of(&first, "vault")? {
        report.note(format!("the same: {what} per 1,000 users"), count * 1_000.0 / users as f64, "");
    }
    let second = bench.apply()?;
    assert_eq!(second.status, 0, "the second apply failed:\n{}", second.stdout);
    say(&format!("  second apply: {:.2} s", second.seconds));
    report.note("second apply with Vault and Secrets, nothing to do", second.seconds, "s");
    report.note("the same: CPU time of the process", second.cpu_seconds, "s");
    report.note("the same: peak memory", second.peak_mib, "MiB");
    report.bound("the same: effects executed", effects_of(&second)?.values().sum::<usize>() as f64, "", 0.0);
    let traffic = traffic_of(&second, "vault")?;
    let writes = traffic.iter().filter(|(what, _)| is_write(what)).map(|(_, count)| count).sum::<f64>();
    report.bound("the same: writes, counted at the store and at Kafka's client", writes, "", 0.0);
    for (what, count) in traffic {
        report.note(format!("the same: {what} per 1,000 users"), count * 1_000.0 / users as f64, "");
    }
    Ok(())
}

/// Clients of both for the floor, by rights that nothing stands in the way of.
fn outside(vault: &Vault, kubernetes: &Kubernetes, folder: &std::path::Path) -> Outcome<Outside> {
    let capabilities = r#"capabilities = ["create", "update", "read", "list"]"#;
    vault.put_policy("floor", &format!("path \"{MOUNT}/*\" {{ {capabilities} }}"))?;
    let token = write_private(folder.join("floor-token"), &vault.token(&["floor"], "1h")?)?;
    let settings = VaultSettings {
        address: vault.tls_url(),
        namespace: None,
        mount: vec![Segment::parse(MOUNT)?],
        ca_file: Some(vault.ca_file().to_owned()),
        tls_server_name: None,
        login: LoginSettings::TokenFile(token),
    };
    let namespace = kubernetes.namespace();
    let token = kubernetes.service_account(&namespace, "floor");
    kubernetes.apply_yaml(&format!(
        "apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata: {{name: floor, namespace: {namespace}}}\n\
         rules: [{{apiGroups: [\"\"], resources: [secrets], verbs: [get, create, patch]}}]\n---\n\
         apiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\nmetadata: {{name: floor, namespace: {namespace}}}\n\
         roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: Role, name: floor}}\n\
         subjects: [{{kind: ServiceAccount, name: floor, namespace: {namespace}}}]\n"
    ));
    Ok(Outside {
        vault: VaultClient::new(settings)?,
        kubeconfig: kubernetes.kubeconfig(&[("here", &token)]),
        namespace: Segment::parse(&namespace)?,
    })
}

/// The documents, and the rights that Kastellan prints for them.
fn prepare<'a>(mut bench: Bench<'a>, vault: &Vault, kubernetes: &Kubernetes, users: usize) -> Outcome<Bench<'a>> {
    let role = unique_name("bench");
    let namespace = kubernetes.namespace();
    let token = kubernetes.service_account(&namespace, "kastellan");
    bench.kubeconfig = Some(kubernetes.kubeconfig(&[("here", &token)]));
    let (admin, clients) = (bench.cluster.bootstrap(Listener::Admin), bench.cluster.bootstrap(Listener::Clients));
    let folder = bench.folder.join("documents");
    let write = |role_id: &str| {
        let store = format!(
            "  vault:\n    address: {}\n    mount: {MOUNT}\n    pathPrefix: {role}\n    \
             auth: {{appRole: {{roleId: {role_id:?}, secretIdFile: ../secret-id}}}}\n    caFile: {}\n",
            vault.tls_url(),
            vault.ca_file().display()
        );
        let home = Home { store: ("vault", &store), namespace: Some(&namespace) };
        documents::write_at(&folder, "vault", users, [&admin, &clients], "1h", &home)
    };
    write("unknown")?;
    vault.put_policy(&role, &printed(&bench, &["policy", "vault"])?)?;
    let approved = vault.app_role(&role, &[&role], "1h", "4h")?;
    write(&approved.role_id)?;
    write_private(bench.folder.join("secret-id"), &approved.secret_id)?;
    let account = format!("{namespace}/kastellan");
    kubernetes.apply_yaml(&printed(&bench, &["policy", "kubernetes", "--service-account", &account])?);
    Ok(bench)
}

fn printed(bench: &Bench<'_>, arguments: &[&str]) -> Outcome<String> {
    let mut command = bench.kastellan();
    command.args(arguments).arg("-f").arg(bench.folder.join("documents"));
    let ran = process::run(&mut command)?;
    assert_eq!(ran.status, 0, "{arguments:?} failed");
    Ok(ran.stdout)
}
