//! First apply of many users on three real brokers against its floor, and the second apply, which has nothing to do.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::bench::{Bench, effects_of};
use super::floor::Floor;
use super::process::Ran;
use super::report::{Report, say};
use super::stack::{ClusterBuilder, KafkaVersion};
use super::{Outcome, documents, rotations};

/// Users, unless the environment says otherwise.
const USERS: usize = 10_000;

/// How many users are applied.
pub fn users() -> Outcome<usize> {
    match std::env::var("KASTELLAN_BENCH_USERS") {
        Ok(text) => Ok(text.parse()?),
        Err(_) => Ok(USERS),
    }
}

pub fn measure(report: &mut Report) -> Outcome<()> {
    let users = users()?;
    say(&format!("first apply of {users} users with {} ACLs each, three brokers …", documents::ACLS_PER_USER));
    let folder = tempfile::tempdir()?;
    let cluster = ClusterBuilder::new(KafkaVersion::V4_3_1).nodes(3).start()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    // A first pass over everything small warms the brokers, so that the floor does not pay for their compilation alone.
    let mut aside = Report::default();
    runtime.block_on(Floor::of(&mut aside, &cluster, 500).first_apply(&folder.path().join("warm")))?;
    let floor = runtime.block_on(Floor::of(report, &cluster, users).first_apply(folder.path()))?;
    report.note(format!("floor, {users} users: sum"), floor, "s");

    let bench = Bench { cluster: &cluster, folder: folder.path().to_owned(), kubeconfig: None };
    bench.prepare("user", users)?;
    let first = bench.apply()?;
    assert_eq!(first.status, 0, "the first apply failed:\n{}", first.stdout);
    let effects = effects_of(&first)?;
    say(&format!("  first apply: {:.2} s", first.seconds));
    report.note(format!("first apply, {users} users"), first.seconds, "s");
    report.bound("first apply / floor", first.seconds / floor, "×", 1.3);
    report.note("first apply: peak memory", first.peak_mib, "MiB");
    let per_user = |names: &[&str]| {
        let sum =
            effects.iter().filter(|(name, _)| names.contains(&name.as_str())).map(|(_, count)| count).sum::<usize>();
        sum as f64 / users as f64
    };
    report.note("first apply: record writes per user", per_user(&["record-prepared", "record-idle"]), "");
    report.note("first apply: material and credential writes per user", per_user(&["material", "document"]), "");

    for (what, count) in traffic_of(&first, "local")? {
        report.note(format!("first apply: {what} per 1,000 users"), count * 1_000.0 / users as f64, "");
    }

    let before = snapshot(&bench.folder.join("store"))?;
    let second = bench.apply()?;
    assert_eq!(second.status, 0, "the second apply failed:\n{}", second.stdout);
    let changed = snapshot(&bench.folder.join("store"))? != before;
    say(&format!("  second apply: {:.2} s", second.seconds));
    report.note("second apply, nothing to do", second.seconds, "s");
    report.bound("second apply / first apply", second.seconds / first.seconds, "×", 0.1);
    report.note("second apply: peak memory", second.peak_mib, "MiB");
    report.bound("second apply: files of the store that changed (0 or 1: any)", f64::from(u8::from(changed)), "", 0.0);
    report.bound("second apply: effects executed", effects_of(&second)?.values().sum::<usize>() as f64, "", 0.0);
    let traffic = traffic_of(&second, "local")?;
    let writes = traffic.iter().filter(|(what, _)| is_write(what)).map(|(_, count)| count).sum::<f64>();
    report.bound("second apply: writes, counted at the store and at Kafka's client", writes, "", 0.0);
    for (what, count) in traffic {
        report.note(format!("second apply: {what} per 1,000 users"), count * 1_000.0 / users as f64, "");
    }
    let floor = runtime.block_on(Floor::of(report, &cluster, users).rotation(folder.path()))?;
    report.note(format!("rotation floor, {users} users: sum"), floor, "s");
    rotations::measure_all(report, &bench, users, floor)?;
    rotations::measure_one(report, &bench, &runtime)
}

/// Whether a line of traffic is about changing something.
pub fn is_write(what: &str) -> bool {
    what.ends_with("Writes")
        || ["write", "setUp", "destroy"].iter().any(|kind| what == format!("requests to Vault: {kind}"))
        || ["Alter", "Create", "Delete"].iter().any(|verb| what.starts_with(&format!("Kafka {verb}")))
}

/// What was asked of Kafka, a store and Kubernetes, each with its count.
pub fn traffic_of(ran: &Ran, store: &str) -> Outcome<Vec<(String, f64)>> {
    let view: serde_json::Value = serde_json::from_str(&ran.stdout)?;
    let mut lines = Vec::new();
    let mut add = |prefix: &str, counts: &serde_json::Value| {
        for (name, count) in counts.as_object().into_iter().flatten() {
            lines.push((format!("{prefix} {name}"), count.as_f64().unwrap_or(0.0)));
        }
    };
    add("Kafka", &view["traffic"]["kafkaRequests"]);
    add("store", &view["traffic"]["stores"][store]);
    add("requests to Vault:", &view["traffic"]["storeRequests"][store]);
    for (what, key) in [("Kafka logins and looks", "kafkaProbes"), ("requests to Kubernetes", "kubernetesRequests")] {
        lines.push((what.to_owned(), view["traffic"][key].as_f64().unwrap_or(0.0)));
    }
    Ok(lines)
}

/// Every file below a folder with its size and modification time; the lock file is written by opening.
fn snapshot(folder: &Path) -> Outcome<BTreeMap<PathBuf, (u64, std::time::SystemTime)>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            let metadata = entry.metadata()?;
            if metadata.is_dir() {
                folders.push(entry.path());
            } else if entry.file_name() != "lock" {
                files.insert(entry.path(), (metadata.len(), metadata.modified()?));
            }
        }
    }
    Ok(files)
}
