//! Rotation: of every user at once against its floor, and of one user among a thousand.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Instant;

use kastellan::credential::{Ask, Phase, Seen};
use kastellan::engine::{self, Event, Events, Finished, Limits, Links, Mode, Surroundings, Whom};
use kastellan::names::NamespacedName;
use kastellan::plan::{Asked, Options, plan};
use kastellan::spec::SourceText;
use kastellan::state::{Desired, Selection, resolve};

use super::bench::{Bench, effects_of};
use super::report::{Report, say};
use super::stack::Listener;
use super::{Outcome, documents, process};

/// Users of the cluster among whom one is rotated.
const AMONG: usize = 1_000;

/// Rotations of one user.
const ROTATIONS: usize = 60;

/// Rotates everybody to the other mechanism, then retires the old credentials.
pub fn measure_all(report: &mut Report, bench: &Bench<'_>, users: usize, floor: f64) -> Outcome<()> {
    let mut rotate = bench.kastellan();
    rotate.args(["rotate", "--all", "--auto-approve", "-o", "json", "-f"]).arg(bench.folder.join("documents"));
    let ran = process::run(&mut rotate)?;
    assert_eq!(ran.status, 0, "the rotation failed:\n{}", ran.stdout);
    say(&format!("  rotation: {:.2} s", ran.seconds));
    report.note(format!("rotation of {users} users (flip), published"), ran.seconds, "s");
    report.bound("rotation / floor", ran.seconds / floor, "×", 1.3);
    report.note("rotation: peak memory", ran.peak_mib, "MiB");
    let effects = effects_of(&ran)?;
    let per_user = |effects: &std::collections::BTreeMap<String, usize>| {
        let records = effects.iter().filter(|(name, _)| name.starts_with("record-"));
        records.map(|(_, count)| *count).sum::<usize>() as f64 / users as f64
    };
    let until_published = per_user(&effects);
    report.note("rotation: record writes per user until it is published", until_published, "");

    bench.let_permits_end()?;
    let (admin, clients) = (bench.cluster.bootstrap(Listener::Admin), bench.cluster.bootstrap(Listener::Clients));
    documents::write(&bench.folder.join("documents"), "user", users, [&admin, &clients], "0s")?;
    let retired = bench.apply()?;
    assert_eq!(retired.status, 0, "the retirement failed:\n{}", retired.stdout);
    say(&format!("  retirement: {:.2} s", retired.seconds));
    report.note(format!("retirement of {users} old credentials"), retired.seconds, "s");
    let until_idle = until_published + per_user(&effects_of(&retired)?);
    report.bound("rotation: record writes per user, from IDLE to IDLE", until_idle, "", 5.0);
    Ok(())
}

/// Says when the new credential is published: when the record says so.
#[derive(Default)]
struct Publication(std::sync::Mutex<Option<Instant>>);

impl Events for Publication {
    fn note(&self, event: Event) {
        if let Event::Executed { effect: "record-published", .. } = event {
            self.0.lock().expect("no panic while it is held").get_or_insert_with(Instant::now);
        }
    }
}

/// Rotates one user after another among a thousand, over connections that stay open, as those of a daemon do.
pub fn measure_one(report: &mut Report, bench: &Bench<'_>, runtime: &tokio::runtime::Runtime) -> Outcome<()> {
    let bench = Bench { cluster: bench.cluster, folder: bench.folder.join("one"), kubeconfig: None };
    std::fs::create_dir(&bench.folder)?;
    bench.prepare("one", AMONG)?;
    let first = bench.apply()?;
    assert_eq!(first.status, 0, "the first apply failed:\n{}", first.stdout);
    runtime.block_on(async {
        let desired = desired(&bench)?;
        let links = links(&bench, &desired.1).await?;
        let mut seconds = Vec::with_capacity(ROTATIONS);
        for index in 0..ROTATIONS {
            let user = format!("bench/one-{:06}", index * AMONG / ROTATIONS).parse()?;
            seconds.push(rotate_one(&links, &desired.0, user).await?);
        }
        seconds.sort_by(f64::total_cmp);
        let at = |share: f64| seconds[((seconds.len() - 1) as f64 * share).round() as usize] * 1_000.0;
        report.bound("one user rotated among 1,000: published and usable on every broker, p50", at(0.5), "ms", 600.0);
        report.bound(
            "one user rotated among 1,000: published and usable on every broker, p99",
            at(0.99),
            "ms",
            1_200.0,
        );
        Ok(())
    })
}

async fn rotate_one(links: &Links, desired: &Desired, user: NamespacedName) -> Outcome<f64> {
    let users = BTreeSet::from([user.clone()]);
    let options = Options { asked: Some(Asked { what: Ask::Rotate, users: users.clone() }), ..Options::default() };
    let started = Instant::now();
    let observed = engine::observe(links, desired, Whom::Only(&users)).await;
    let planned = plan(desired, &observed, &options, engine::now().wall);
    let published = Publication::default();
    let limits = Limits { undo_for: options.undo_for };
    let executed = engine::execute(links, desired, planned.users, limits, &published).await;
    assert_eq!(executed.users.get(&user), Some(&Finished::Done), "{executed:?}");
    let published = published.0.into_inner().expect("no panic while it is held");
    let seconds = published.ok_or("nothing was published")?.duration_since(started).as_secs_f64();
    let records = engine::list_records(links).await;
    let Some(Seen::Known(found)) = records.get(&user) else { return Err("the record is gone".into()) };
    assert_eq!(found.record.value.phase, Phase::Published);
    Ok(seconds)
}

fn desired(bench: &Bench<'_>) -> Outcome<(Desired, kastellan::spec::Documents)> {
    let mut sources = Vec::new();
    for entry in std::fs::read_dir(bench.folder.join("documents"))? {
        let path = entry?.path();
        sources.push(SourceText { bytes: std::fs::read(&path)?, file: std::sync::Arc::new(path) });
    }
    let (documents, _) = kastellan::spec::read(&sources)
        .map_err(|findings| findings.0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))?;
    Ok((resolve(&documents, &Selection::default(), &std::collections::BTreeMap::new()), documents))
}

async fn links(bench: &Bench<'_>, documents: &kastellan::spec::Documents) -> Outcome<Links> {
    let password = bench.cluster.kastellan.password_text().to_owned();
    let surroundings = Surroundings {
        home: Some(PathBuf::from(&bench.folder)),
        store_markers: bench.folder.join(".local/state/kastellan/stores"),
        search_path: std::env::var_os("PATH").unwrap_or_default(),
        variable: Box::new(move |name| (name == "KAFKA_ADMIN_PASSWORD").then(|| password.clone())),
    };
    Ok(engine::connect(documents, Mode::Change, surroundings).await?)
}
