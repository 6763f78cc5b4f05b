//! Golden cases: rotations from their beginning to their end, and everything that leads out of one, as people read them.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use kafka_protocol::messages::ApiKey;
use kastellan::credential::{Ask, CredentialDocument, Phase, Record, Slot};
use kastellan::engine::{Executed, Finished};
use kastellan::names::{Generation, Mechanism, NamespacedName, RotationId, UserName};
use kastellan::plan::{Asked, Options};
use kastellan::secret::{Material, Salt};
use kastellan::store::{CredentialWrite, RecordWrite, SecretReader as _, Store as _, StoreReader as _};
use kastellan::view::{PlanView, StatusView, UserStatus, plan_text, status_text};

use super::support::broker::{Change, Fault, FaultKind, InProcessCluster, Settings, credential_of};
use super::support::world::{Planned, SECOND, World, documents, user};

const SHA_512: Mechanism = Mechanism::ScramSha512;
const SHA_256: Mechanism = Mechanism::ScramSha256;
const DAY: Duration = Duration::from_secs(86_400);

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(future)
}

/// A user that rotates like this.
fn rotating(name: &str, rotation: &str) -> String {
    user(name).replace("spec:\n", &format!("spec:\n  rotation: {{{rotation}}}\n"))
}

const FLIP: &str = "strategy: mechanism-flip, every: 90d, overlap: 24h";

fn asking(what: Ask, users: &[&str]) -> Options {
    let users = users.iter().map(|user| user.parse().unwrap()).collect::<BTreeSet<NamespacedName>>();
    Options { asked: Some(Asked { what, users }), max_deletes: 20, ..Options::default() }
}

/// Instants are the only thing that differs from run to run: `2026-11-24 09:00 UTC`, `2026-11-24T09:00:00.123Z`.
fn without_instants(text: &str) -> String {
    let is_date = |bytes: &[u8]| {
        bytes.len() >= 11
            && bytes[..10].iter().enumerate().all(|(at, byte)| match at {
                4 | 7 => *byte == b'-',
                _ => byte.is_ascii_digit(),
            })
    };
    let mut masked = String::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let end = is_date(rest.as_bytes()).then(|| rest.find("UTC").into_iter().chain(rest.find('Z')).min()).flatten();
        match end {
            Some(end) => {
                masked.push_str("[instant]");
                rest = &rest[end..];
                rest = rest.strip_prefix("UTC").or(rest.strip_prefix('Z')).unwrap_or(rest);
            }
            None => {
                masked.push(first);
                rest = &rest[first.len_utf8()..];
            }
        }
    }
    masked
}

fn text(planned: &Planned) -> String {
    without_instants(&plan_text(&planned.view))
}

fn json(view: PlanView) -> String {
    without_instants(&serde_json::to_string_pretty(&PlanView { digest: String::new(), ..view }).unwrap())
}

fn said(executed: &Executed) -> String {
    let ended = executed.users.iter().map(|(user, ended)| format!("{user}: {ended:?}\n")).collect::<String>();
    let under_way = executed.under_way.iter().map(|(user, standing)| format!("{user}: {standing:?}\n"));
    without_instants(&format!("{ended}{}", under_way.collect::<String>()))
}

/// What `status` says, with the documents at hand.
async fn status(world: &World, users: &str) -> String {
    let desired = kastellan::state::resolve(&documents(users), &Default::default(), &Default::default());
    let now = jiff::Timestamp::now();
    let records = world.store.list_records().await.unwrap();
    let users = records.into_iter().map(|(user, record)| {
        let wanted = desired.users.get(&user).map(|user| &*user.wanted);
        UserStatus::new(&record.unwrap().value, wanted, None, "memory", true, now)
    });
    let view = StatusView {
        schema: "kastellan.io/status/v1alpha1",
        users: users.collect(),
        stores_unknown: Default::default(),
    };
    let text = status_text(&view, now);
    let json = serde_json::to_string_pretty(&view.users).unwrap();
    let ages = |text: String| (0..30).fold(text, |text, age| text.replace(&format!(", {age} s old"), ", [age] old"));
    without_instants(&ages(format!("{text}\n{json}\n")))
}

/// Changes a record as nothing but a crash or a restored store could.
async fn tamper(world: &World, user: &str, change: impl FnOnce(&mut Record)) {
    let user: NamespacedName = user.parse().unwrap();
    let found = world.store.read_records(&[user]).await.pop().unwrap().unwrap().unwrap();
    let mut record = found.value;
    change(&mut record);
    world
        .store
        .write_records(vec![RecordWrite { record, expected: Some(found.version) }])
        .await
        .pop()
        .unwrap()
        .unwrap();
}

async fn record(world: &World, user: &str) -> Record {
    let user: NamespacedName = user.parse().unwrap();
    world.store.read_records(&[user]).await.pop().unwrap().unwrap().unwrap().value
}

#[test]
fn a_flip_from_its_beginning_to_its_end() {
    run(async {
        let world = World::start().await;
        let documents = rotating("payments", FLIP);
        world.apply(&documents, &Options::default()).await;
        let asked = asking(Ask::Rotate, &["demo/payments"]);
        let planned = world.plan(&documents, &asked).await;
        insta::assert_snapshot!("flip.rotate.text", text(&planned));
        insta::assert_snapshot!("flip.rotate.json", json(planned.view.clone()));
        insta::assert_snapshot!("flip.rotate.result", said(&planned.execute(&asked).await));
        insta::assert_snapshot!("flip.status", status(&world, &documents).await);
        insta::assert_snapshot!("flip.under_way.text", text(&world.plan(&documents, &Options::default()).await));
        let again = world.plan(&documents, &asked).await;
        insta::assert_snapshot!("flip.again.text", text(&again));
        let late = jiff::Timestamp::now() + 2 * DAY;
        let retires = world.plan_at(&documents, &Options::default(), &[], late).await;
        insta::assert_snapshot!("flip.retire.text", text(&retires));
        let later = jiff::Timestamp::now() + 100 * DAY;
        let due = world.plan_at(&documents, &Options::default(), &[], later).await;
        insta::assert_snapshot!("flip.due.text", text(&due));
    });
}

/// The time at which a plan is made decides what it says, and not what it is.
#[test]
fn the_digest_of_a_rotation_does_not_change_with_time() {
    run(async {
        let world = World::start().await;
        let documents = rotating("payments", FLIP);
        world.apply(&documents, &Options::default()).await;
        let asked = asking(Ask::Rotate, &["demo/payments"]);
        let now = world.plan(&documents, &asked).await.view;
        let later = world.plan_at(&documents, &asked, &[], jiff::Timestamp::now() + 5 * DAY).await.view;
        assert_ne!(now.users, later.users, "until when the old one stays valid");
        assert_eq!(now.digest, later.digest);
    });
}

#[test]
fn two_users_take_turns() {
    run(async {
        let world = World::start().await;
        let documents = rotating("payments", "strategy: dual-user");
        let first = world.plan(&documents, &Options::default()).await;
        insta::assert_snapshot!("dual.first.text", text(&first));
        first.execute(&Options::default()).await;
        let asked = asking(Ask::Rotate, &["demo/payments"]);
        let planned = world.plan(&documents, &asked).await;
        insta::assert_snapshot!("dual.rotate.text", text(&planned));
        planned.execute(&asked).await;
        insta::assert_snapshot!("dual.status", status(&world, &documents).await);
        let acknowledges = asking(Ask::Acknowledge(Some(Generation(2))), &["demo/payments"]);
        let planned = world.plan(&documents, &acknowledges).await;
        insta::assert_snapshot!("dual.ack.text", text(&planned));
        assert!(planned.execute(&acknowledges).await.under_way.is_empty());
        let wrong = asking(Ask::Acknowledge(Some(Generation(1))), &["demo/payments"]);
        insta::assert_snapshot!("dual.ack_wrong.text", text(&world.plan(&documents, &wrong).await));
        // Back to one name.
        let single = rotating("payments", FLIP);
        insta::assert_snapshot!("dual.to_single.text", text(&world.plan(&single, &Options::default()).await));
    });
}

#[test]
fn in_place_says_that_clients_are_locked_out() {
    run(async {
        let world = World::start().await;
        let documents = rotating("payments", "strategy: in-place, allowDowntime: true");
        world.apply(&documents, &Options::default()).await;
        let asked = asking(Ask::Rotate, &["demo/payments"]);
        let planned = world.plan(&documents, &asked).await;
        insta::assert_snapshot!("in_place.rotate.text", text(&planned));
        tamper(&world, "demo/payments", |record| pend(record, SHA_512)).await;
        insta::assert_snapshot!("in_place.status", status(&world, &documents).await);
        insta::assert_snapshot!("in_place.resume.text", text(&world.plan(&documents, &Options::default()).await));
        let aborts = asking(Ask::Abort, &["demo/payments"]);
        insta::assert_snapshot!("in_place.abort.text", text(&world.plan(&documents, &aborts).await));
    });
}

/// The record of a rotation that was cut off in PREPARED.
fn pend(record: &mut Record, mechanism: Mechanism) {
    let active = record.active.clone().unwrap();
    record.phase = Phase::Prepared;
    record.allotted = record.allotted.next();
    let rotation_id = RotationId::parse("r2").unwrap();
    let pending = Slot { generation: record.allotted, rotation_id, mechanism, salt: Salt::observed([2; 16]), ..active };
    record.pending = Some(Box::new(pending));
}

#[test]
fn what_is_taken_back_and_what_only_goes_forward() {
    run(async {
        let world = World::start().await;
        let documents = rotating("payments", FLIP) + &rotating("orders", "strategy: mechanism-flip");
        world.apply(&documents, &Options::default()).await;
        for user in ["demo/payments", "demo/orders"] {
            tamper(&world, user, |record| pend(record, SHA_256)).await;
        }
        insta::assert_snapshot!("prepared.text", text(&world.plan(&documents, &Options::default()).await));
        let aborts = asking(Ask::Abort, &["demo/payments", "demo/orders"]);
        insta::assert_snapshot!("abort.text", text(&world.plan(&documents, &aborts).await));
        tamper(&world, "demo/orders", |record| record.phase = Phase::Verified).await;
        insta::assert_snapshot!("abort_of_verified.text", text(&world.plan(&documents, &aborts).await));
        insta::assert_snapshot!("verified.text", text(&world.plan(&documents, &Options::default()).await));
        let changed = rotating("payments", "strategy: mechanism-flip").replace("type: scram}", "type: scram-sha-512}");
        let changed = changed.replace("mechanism-flip", "in-place, allowDowntime: true");
        insta::assert_snapshot!("prepared_and_changed.text", text(&world.plan(&changed, &Options::default()).await));
    });
}

#[test]
fn a_rotation_that_cannot_begin() {
    run(async {
        let world = World::start().await;
        let documents = user("without-strategy") + &user("never") + &rotating("moves", FLIP);
        world.apply(&(user("without-strategy") + &rotating("moves", FLIP)), &Options::default()).await;
        let users = ["demo/without-strategy", "demo/never"];
        let planned = world.plan(&documents, &asking(Ask::Rotate, &users)).await;
        insta::assert_snapshot!("cannot_rotate.text", text(&planned));
        let planned = world.plan(&documents, &asking(Ask::Acknowledge(None), &users)).await;
        insta::assert_snapshot!("cannot_acknowledge.text", text(&planned));
        let planned = world.plan(&documents, &asking(Ask::Abort, &users)).await;
        insta::assert_snapshot!("cannot_abort.text", text(&planned));
        let planned = world.plan(&documents, &asking(Ask::Revoke { new_name: true }, &users)).await;
        insta::assert_snapshot!("cannot_revoke.text", text(&planned));
        let planned = world.plan(&documents, &asking(Ask::Recover, &users)).await;
        insta::assert_snapshot!("cannot_recover.text", text(&planned));
        let renamed = rotating("moves", FLIP).replace("clusters: [kafka]", "clusters: [kafka]\n  username: moved");
        insta::assert_snapshot!("renamed.text", text(&world.plan(&renamed, &Options::default()).await));
    });
}

#[test]
fn a_stolen_credential_is_cut_off() {
    run(async {
        for (story, lifetime) in [("never", 0), ("soon", 60_000)] {
            let world =
                World::with(Settings { brokers: 3, session_lifetime_ms: lifetime, ..Settings::default() }).await;
            let documents = rotating("payments", FLIP);
            world.apply(&documents, &Options::default()).await;
            let asked = asking(Ask::Revoke { new_name: false }, &["demo/payments"]);
            let planned = world.plan(&documents, &asked).await;
            insta::assert_snapshot!(format!("revoke.{story}.text"), text(&planned));
            let executed = planned.execute(&asked).await;
            let is_held = executed.users.values().all(|ended| matches!(ended, Finished::Waiting { .. }));
            assert!(is_held, "{executed:?}");
            insta::assert_snapshot!(format!("revoke.{story}.status"), status(&world, &documents).await);
            let goes_on = world.plan(&documents, &Options::default()).await;
            insta::assert_snapshot!(format!("revoke.{story}.under_way.text"), text(&goes_on));
            if lifetime == 0 {
                let restarted = asking(Ask::Acknowledge(None), &["demo/payments"]);
                let planned = world.plan(&documents, &restarted).await;
                insta::assert_snapshot!("revoke.ack.text", text(&planned));
                let executed = planned.execute(&restarted).await;
                assert!(executed.users.values().all(|ended| *ended == Finished::Done), "{executed:?}");
                assert_eq!(record(&world, "demo/payments").await.phase, Phase::Idle);
            }
        }
        let world = World::start().await;
        let documents = rotating("payments", "strategy: dual-user");
        world.apply(&documents, &Options::default()).await;
        let asked = asking(Ask::Revoke { new_name: true }, &["demo/payments"]);
        let planned = world.plan(&documents, &asked).await;
        insta::assert_snapshot!("revoke.new_name.text", text(&planned));
        insta::assert_snapshot!("revoke.new_name.result", said(&planned.execute(&asked).await));
    });
}

/// The store as it is now, to be put back later.
struct Snapshot {
    record: Record,
    material: Arc<Material>,
    document: Arc<CredentialDocument>,
}

impl Snapshot {
    async fn take(world: &World, user: &str) -> Self {
        let record = record(world, user).await;
        let user: NamespacedName = user.parse().unwrap();
        let material = world.store.read_materials(&[(user.clone(), record.generation)]).await.pop().unwrap().unwrap();
        let document = world.store.read_credentials(&[user]).await.pop().unwrap().unwrap().unwrap();
        Self { record, material: Arc::new(material.unwrap()), document: Arc::new(document.value) }
    }

    /// Replaces the store of a world.
    async fn restore(self, world: &mut World) {
        world.store = World::empty_store();
        let user = self.record.user.clone();
        let record = RecordWrite { record: self.record, expected: None };
        world.store.write_records(vec![record]).await.pop().unwrap().unwrap();
        world.store.create_materials(vec![(user.clone(), self.material)]).await.pop().unwrap().unwrap();
        let document = CredentialWrite { user, document: self.document, expected: None };
        world.store.write_credentials(vec![document]).await.pop().unwrap().unwrap();
    }
}

#[test]
fn a_store_from_an_older_snapshot() {
    run(async {
        for way in [Ask::Recover, Ask::Import] {
            let mut world = World::start().await;
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("payments.properties");
            let deliver = format!("spec:\n  deliver: [{{file: {{path: {}, format: properties}}}}]\n", path.display());
            let documents = rotating("payments", "strategy: mechanism-flip").replace("spec:\n", &deliver);
            world.apply(&documents, &Options::default()).await;
            let snapshot = Snapshot::take(&world, "demo/payments").await;
            world.apply(&documents, &asking(Ask::Rotate, &["demo/payments"])).await;
            let delivered = std::fs::read(&path).unwrap();
            let kafka = world.cluster.state().credentials;
            snapshot.restore(&mut world).await;
            insta::assert_snapshot!("rollback.text", text(&world.plan(&documents, &Options::default()).await));
            let asked = asking(way.clone(), &["demo/payments"]);
            let planned = world.plan(&documents, &asked).await;
            insta::assert_snapshot!(format!("{way:?}.text").to_lowercase(), text(&planned));
            let executed = planned.execute(&asked).await;
            assert!(executed.users.values().all(|ended| *ended == Finished::Done), "{executed:?}");
            insta::assert_snapshot!(format!("{way:?}.result").to_lowercase(), said(&executed));
            let record = record(&world, "demo/payments").await;
            let expected = if way == Ask::Import { 2 } else { 3 };
            assert_eq!((record.generation, record.phase), (Generation(expected), Phase::Published));
            if way == Ask::Import {
                assert_eq!(std::fs::read(&path).unwrap(), delivered, "clients notice nothing");
                assert_eq!(world.cluster.state().credentials, kafka);
            }
            let after = world.apply(&documents, &Options::default()).await;
            assert!(after.users.values().all(|ended| *ended == Finished::Done), "{after:?}");
            assert!(world.plan(&documents, &Options::default()).await.plan.is_empty());
            assert_eq!(world.cluster.failed_authentications(), 0);
        }
    });
}

/// Whoever stole a given password would have the way back with it.
#[test]
fn a_given_password_that_was_stolen_does_not_come_back() {
    run(async {
        let world = World::with(Settings { brokers: 1, session_lifetime_ms: 1, ..Settings::default() }).await;
        let given = "type: scram, password: {valueFrom: {store: {path: imports/payments, key: password}}}}";
        let documents = rotating("payments", "strategy: mechanism-flip, overlap: 24h").replace("type: scram}", given);
        let put = |password: &str| {
            let password = kastellan::secret::Secret::from_text(password.to_owned());
            world.store.write_input("imports/payments", "password", password)
        };
        put("stolen-password").await.unwrap();
        world.apply(&documents, &Options::default()).await;
        let rotates = asking(Ask::Rotate, &["demo/payments"]);
        insta::assert_snapshot!("given.rotate.text", text(&world.plan(&documents, &rotates).await));
        let revokes = asking(Ask::Revoke { new_name: false }, &["demo/payments"]);
        let planned = world.plan(&documents, &revokes).await;
        insta::assert_snapshot!("given.revoke.text", text(&planned));
        insta::assert_snapshot!("given.revoke.result", said(&planned.execute(&revokes).await));
        let payments = UserName::parse("payments").unwrap();
        let valid = || world.cluster.state().credentials.keys().filter(|(user, _)| *user == payments).count();
        let acls = world.cluster.state().acls;
        let has_access = acls.iter().any(|(principal, _)| principal.user().as_ref() == Some(&payments));
        assert!(valid() == 0 && !has_access, "cut off at once");
        // The very same, written again.
        put("stolen-password").await.unwrap();
        let executed = world.apply(&documents, &Options::default()).await;
        assert!(matches!(executed.users.values().next(), Some(Finished::Failed(_))), "{executed:?}");
        put("another-password").await.unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
        let executed = world.apply(&documents, &Options::default()).await;
        assert_eq!(valid(), 1, "{executed:?}");
        assert_eq!(record(&world, "demo/payments").await.generation, Generation(2));
    });
}

#[test]
fn a_pending_credential_that_kafka_will_not_take_is_named_and_can_be_taken_back() {
    run(async {
        let world = World::start().await;
        let documents = rotating("payments", FLIP);
        world.apply(&documents, &Options::default()).await;
        // UNACCEPTABLE_CREDENTIAL, as long as its policy is such.
        let refuses = || Fault::once(ApiKey::AlterUserScramCredentials, FaultKind::Refuse(93));
        let rotate = asking(Ask::Rotate, &["demo/payments"]);
        for options in [&rotate, &Options::default()] {
            world.cluster.inject(refuses());
            let executed = world.apply(&documents, options).await;
            let ended = executed.users.values().next().unwrap();
            let Finished::Failed(failed) = ended else { panic!("{ended:?}") };
            assert!(failed.effect == "upsert" && failed.why.contains("UnacceptableCredential"), "{failed:?}");
            let record = record(&world, "demo/payments").await;
            assert_eq!((record.phase, record.generation), (Phase::Prepared, Generation(1)), "nobody is harmed");
        }
        let aborted = world.apply(&documents, &asking(Ask::Abort, &["demo/payments"])).await;
        assert!(aborted.users.values().all(|ended| *ended == Finished::Done), "{aborted:?}");
        world.apply(&documents, &rotate).await;
        let record = record(&world, "demo/payments").await;
        assert_eq!((record.phase, record.generation), (Phase::Published, Generation(3)), "its number is burnt");
        assert_eq!(world.cluster.failed_authentications(), 0);
    });
}

#[test]
fn clusters_come_and_go() {
    run(async {
        let mut world = World::start().await;
        let one = rotating("payments", FLIP) + SECOND;
        let both = one.replace("clusters: [kafka]", "clusters: [kafka, dr]");
        world.apply(&one, &Options::default()).await;
        world.start_second().await;
        let joins = world.plan(&both, &Options::default()).await;
        insta::assert_snapshot!("joins.text", text(&joins));
        joins.execute(&Options::default()).await;
        insta::assert_snapshot!("leaves.text", text(&world.plan(&one, &Options::default()).await));
        // It burns down, and leaves; then it is back.
        let second = world.second.replace(None);
        let leaves = world.plan(&one, &Options::default()).await;
        insta::assert_snapshot!("leaves_unreachable.text", text(&leaves));
        leaves.execute(&Options::default()).await;
        insta::assert_snapshot!("owed.status", status(&world, &one).await);
        insta::assert_snapshot!("owed.text", text(&world.plan(&one, &Options::default()).await));
        world.second = second;
        insta::assert_snapshot!("pays.text", text(&world.plan(&one, &Options::default()).await));
    });
}

/// What it asks for on the cluster again is what was left there while the cluster was away.
#[test]
fn a_cluster_that_was_left_while_it_was_away_can_be_joined_again() {
    run(async {
        let mut world = World::start().await;
        let one = rotating("payments", FLIP) + SECOND;
        let both = one.replace("clusters: [kafka]", "clusters: [kafka, dr]");
        world.start_second().await;
        world.apply(&both, &Options::default()).await;
        let second = world.second.replace(None);
        world.apply(&one, &Options::default()).await;
        world.second = second;
        let is_done = |executed: Executed| executed.users.values().all(|ended| *ended == Finished::Done);
        assert!(is_done(world.apply(&both, &Options::default()).await), "what is left goes");
        assert!(is_done(world.apply(&both, &Options::default()).await), "and comes again");
        let planned = world.plan(&both, &Options::default()).await;
        assert!(planned.plan.is_empty() && !planned.plan.is_held_up(), "{}", text(&planned));
        let joined = record(&world, "demo/payments").await;
        assert!(joined.owed.is_empty() && joined.clusters.len() == 2, "{joined:?}");
    });
}

/// It owes nothing, so the user has access there before applications are told of it.
#[test]
fn a_cluster_that_took_the_name_of_one_that_was_left_is_joined_at_once() {
    run(async {
        let mut world = World::start().await;
        let one = rotating("payments", FLIP) + SECOND;
        let both = one.replace("clusters: [kafka]", "clusters: [kafka, dr]");
        world.start_second().await;
        world.apply(&both, &Options::default()).await;
        world.second = Some(None);
        world.apply(&one, &Options::default()).await;
        let settings = Settings { cluster_id: "third-cluster-id".into(), ..Settings::default() };
        world.second = Some(Some(InProcessCluster::start(settings).await));
        world.apply(&both, &Options::default()).await;
        let planned = world.plan(&both, &Options::default()).await;
        assert!(planned.plan.is_empty(), "{}", text(&planned));
    });
}

#[test]
fn drift_beside_an_old_credential_that_is_still_valid() {
    run(async {
        let world = World::start().await;
        let documents = rotating("payments", "strategy: mechanism-flip, overlap: 24h, confirm: acknowledgement");
        let stranger = UserName::parse("adopted").unwrap();
        world.cluster.change(Change::Credential(stranger, SHA_256, Some(credential_of("theirs"))));
        let documents = documents + &user("adopted").replace("spec:\n", "spec:\n  adopt: true\n");
        world.apply(&documents, &Options::default()).await;
        world.apply(&documents, &asking(Ask::Rotate, &["demo/payments"])).await;
        let payments = UserName::parse("payments").unwrap();
        world.cluster.change(Change::Credential(payments.clone(), SHA_512, None));
        insta::assert_snapshot!("drift_of_previous.text", text(&world.plan(&documents, &Options::default()).await));
        let acknowledges = asking(Ask::Acknowledge(None), &["demo/payments", "demo/adopted"]);
        insta::assert_snapshot!("drift_of_previous.ack.text", text(&world.plan(&documents, &acknowledges).await));
    });
}
