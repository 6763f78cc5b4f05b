//! A plan of 100,000 users and 500,000 ACLs with nothing to do, against an observation in memory.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

use kastellan::credential::{Afterlife, Authentication, Record, Seen, Slot, SlotSeen, Version, Versioned};
use kastellan::names::{ClusterId, Generation, Mechanism, NamespacedName, RotationId, Scope, StoreName, UserName};
use kastellan::plan::{Options, plan};
use kastellan::secret::Salt;
use kastellan::spec::{self, SourceText};
use kastellan::state::{ClusterObserved, Desired, Observed, RecordObserved, Selection, resolve};

use super::Outcome;
use super::documents::{ACLS_PER_USER, user_document};
use super::process::{self, cpu_time, peak_memory_mib};
use super::report::{Report, say};

const USERS: usize = 100_000;

#[derive(serde::Serialize, serde::Deserialize)]
struct Measured {
    read_cpu_s: f64,
    plan_cpu_s: f64,
    peak_mib: f64,
    in_step: usize,
    acls: usize,
}

/// Measures in a process of its own.
pub fn measure(report: &mut Report) -> Outcome<()> {
    say(&format!("plan of {USERS} users, nothing to do …"));
    let ran = process::run(Command::new(std::env::current_exe()?).arg("planning"))?;
    let measured: Measured = serde_json::from_str(&ran.stdout)?;
    assert_eq!((measured.in_step, measured.acls), (USERS, USERS * ACLS_PER_USER), "the plan has something to do");
    report.bound(
        format!("plan of {USERS} users, {} ACLs, nothing to do: CPU", measured.acls),
        measured.plan_cpu_s,
        "s",
        1.0,
    );
    report.bound("the same: peak memory of the process", measured.peak_mib, "MiB", 256.0);
    report.note("the same: reading and checking the documents, CPU", measured.read_cpu_s, "s");
    Ok(())
}

/// Does the work, and prints what it took.
pub fn measure_here() -> Outcome<bool> {
    let started = cpu_time();
    let desired = read_documents()?;
    let read = cpu_time() - started;
    let observed = observe(&desired);
    let started = cpu_time();
    let plan = plan(&desired, &observed, &Options::default(), jiff::Timestamp::now());
    let planned = cpu_time() - started;
    let acls = desired.users.values().filter_map(|user| user.rules.as_ref()).map(|rules| rules.len()).sum();
    let measured = Measured {
        read_cpu_s: read.as_secs_f64(),
        plan_cpu_s: planned.as_secs_f64(),
        peak_mib: peak_memory_mib("self").unwrap_or(f64::MAX),
        in_step: plan.in_step,
        acls,
    };
    say(&serde_json::to_string(&measured)?);
    Ok(true)
}

/// Reads the documents in parts, as if they were files, and resolves them.
fn read_documents() -> Outcome<Desired> {
    let head = "apiVersion: kastellan.io/v1alpha1\nkind: CredentialStore\nmetadata: {name: local}\nspec: {age: {directory: s}}\n---\n\
        apiVersion: kastellan.io/v1alpha1\nkind: KafkaCluster\nmetadata: {name: bench}\nspec:\n  bootstrapServers: localhost:1\n  admin: {fence: 60s}\n  \
        clients: {bootstrapServers: \"localhost:2\", mechanisms: [scram-sha-512, scram-sha-256]}\n";
    let source =
        |name: String, text: String| SourceText { file: Arc::new(PathBuf::from(name)), bytes: text.into_bytes() };
    let mut sources = vec![source("head.yaml".to_owned(), head.to_owned())];
    for part in 0..USERS / 2_000 {
        let documents =
            (0..2_000).map(|index| format!("---\n{}", user_document(&format!("user-{:06}", part * 2_000 + index))));
        sources.push(source(format!("users-{part}.yaml"), documents.collect()));
    }
    let (documents, _) = spec::read(&sources)
        .map_err(|findings| findings.0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))?;
    drop(sources);
    Ok(resolve(&documents, &Selection::default(), &BTreeMap::new()))
}

/// What would be seen if everything were as declared.
fn observe(desired: &Desired) -> Observed {
    let id = ClusterId::parse("bench").expect("a plain word");
    let cluster = desired.clusters.keys().next().expect("there is one cluster");
    let mut observed = Observed::default();
    let mut seen = ClusterObserved {
        id: id.clone(),
        brokers: BTreeMap::new(),
        acls: Seen::Unknown("".into()),
        quotas: Seen::Known(BTreeMap::new()),
        slots: BTreeMap::new(),
        afterlife: Afterlife::Connection,
        super_users: Seen::Known(Default::default()),
    };
    let numbered = || desired.users.iter().enumerate();
    let digest = &desired.clusters[cluster].connection_digest;
    let salt = |index: usize| Salt::observed((index as u128).to_le_bytes());
    let version = |index: usize| Version(format!("{index:064}"));
    let acls = numbered().map(|(_, (_, wanted))| {
        let rules = wanted.rules.as_ref().map(|rules| rules.to_vec()).unwrap_or_default();
        (wanted.wanted.username.clone(), rules)
    });
    let acls = acls.collect();
    seen.slots = numbered()
        .map(|(index, (_, wanted))| {
            let slot = SlotSeen { iterations: 4096, salt: Some(salt(index)), everywhere: true };
            (wanted.wanted.username.clone(), Seen::Known([(Mechanism::ScramSha512, slot)].into()))
        })
        .collect();
    observed.records = numbered()
        .map(|(index, (user, wanted))| {
            let mut record = blank_record(user, wanted.wanted.username.as_str());
            record.clusters.insert(cluster.clone(), id.clone());
            record.document = Some(version(index));
            record.document_inputs = Some(format!("{cluster}={digest}").into());
            if let Some(slot) = &mut record.active {
                slot.salt = salt(index);
            }
            let record = Versioned { value: record, version: Version("2".to_owned()) };
            let store = StoreName::parse("local").expect("a plain word");
            (user.clone(), Seen::Known(Box::new(RecordObserved { store, record, also_in: None })))
        })
        .collect();
    observed.documents =
        numbered().map(|(index, (user, _))| (user.clone(), Seen::Known(Some(version(index))))).collect();
    seen.acls = Seen::Known(acls);
    observed.clusters.insert(cluster.clone(), Seen::Known(seen));
    observed
}

/// The record of a user that is published and at rest.
pub fn blank_record(user: &NamespacedName, username: &str) -> Record {
    let username = UserName::parse(username).expect("a plain word");
    let slot = Slot {
        username: username.clone(),
        generation: Generation(1),
        rotation_id: RotationId::parse("abcdefghijklmnopqrstuvwxyz").expect("plain"),
        mechanism: Mechanism::ScramSha512,
        salt: Salt::observed([7; 24]),
        iterations: 4096,
    };
    Record {
        generation: Generation(1),
        allotted: Generation(1),
        published_at: Some(jiff::Timestamp::UNIX_EPOCH),
        active: Some(slot),
        ..Record::blank(user.clone(), Scope::default(), username, Authentication::Scram)
    }
}
