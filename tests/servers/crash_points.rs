//! `kill -9` before and after every effect of a first apply, of a deletion, and of its undo: the next apply finishes, with
//! the same password, and nothing is orphaned (rotation.md D5).
//!
//! Only with the feature `crash-points`. The names are those of `credential::Effect::name`.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};

use kastellan::names::Mechanism;
use serde_json::json;

use crate::namespace::Namespace;
use crate::operator::{Operator, Transport, delivered_password};
use crate::setting::{Scene, Setting};
use crate::stack::kafka::principal;
use crate::stack::{Cluster, Credentials, KafkaVersion, quiet, unique_name};

/// What a first apply executes, in order.
const FIRST_APPLY: [&str; 9] =
    ["material", "record-prepared", "look", "grant", "upsert", "login", "document", "deliver", "record-idle"];

/// What a deletion executes.
const DELETION: [&str; 7] = ["record-deleting", "withdraw", "recall", "bury", "look", "empty", "record-deleted"];

/// What its undo executes; the second write of IDLE strikes the old material off.
const UNDO: [&str; 11] = [
    "material",
    "record-prepared",
    "look",
    "grant",
    "upsert",
    "login",
    "document",
    "deliver",
    "record-idle",
    "destroy",
    "record-idle:2",
];

/// Most of a case is waiting for fences and brokers, so several run at once.
const WORKERS: usize = 4;

/// Runs `case` for both sides of each effect.
fn at_every_point(effects: &[&str], case: impl Fn(&Subject<'_>, &str) + Sync) {
    at_every_point_in(Setting::Local, effects, case);
}

fn at_every_point_in(setting: Setting, effects: &[&str], case: impl Fn(&Subject<'_>, &str) + Sync) {
    let points: Vec<String> =
        effects.iter().flat_map(|effect| ["before", "after"].map(|side| format!("{side}:{effect}"))).collect();
    std::thread::scope(|scope| {
        for worker in 0..WORKERS {
            let (points, case) = (&points, &case);
            scope.spawn(move || {
                let cluster = quiet(KafkaVersion::ALL[worker % 2], 1);
                let Scene { operator, namespace } = setting.enter(cluster);
                for point in points.iter().skip(worker).step_by(WORKERS) {
                    case(&Subject::declare(cluster, &operator, namespace.as_ref()), point);
                }
            });
        }
    });
}

/// One user, with everything that an effect could leave behind.
struct Subject<'o> {
    cluster: &'static Cluster,
    operator: &'o Operator<'static>,
    name: String,
    properties: PathBuf,
    native: PathBuf,
    /// Where a Secret is delivered to as well.
    namespace: Option<&'o Namespace>,
}

impl<'o> Subject<'o> {
    fn declare(cluster: &'static Cluster, operator: &'o Operator<'static>, namespace: Option<&'o Namespace>) -> Self {
        let name = unique_name("crash");
        let properties = operator.out(&format!("{name}.properties"));
        let native = operator.out(&format!("{name}.conf"));
        let subject = Self { cluster, operator, name, properties, native, namespace };
        subject.put_document();
        subject
    }

    fn put_document(&self) {
        let Self { operator, name, properties, native, namespace, .. } = self;
        let secret = namespace.map(|namespace| format!(", {}", namespace.delivery(name))).unwrap_or_default();
        let spec = format!(
            "{{clusters: [kafka], authentication: {{type: scram}}, authorization: {{acls: [\
             {{resource: {{type: topic, name: {name}}}, operations: [Read, Write]}}]}}, quotas: {{producerByteRate: 1024}}, \
             deliver: [{{name: java, file: {{path: {}}}}}, {{name: native, file: {{path: {}, format: librdkafka}}}}{secret}]}}",
            properties.display(),
            native.display()
        );
        operator.declare(name, &spec);
        if let Some(namespace) = namespace {
            namespace.allow(operator);
        }
    }

    /// Runs an apply that dies at `point`.
    #[track_caller]
    fn dies(&self, point: &str, arguments: &[&str]) {
        let arguments = [&["apply", "--auto-approve"], arguments].concat();
        let output = self.operator.command(&arguments).env("KASTELLAN_CRASH_AT", point).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.signal(), Some(9), "it never came to {point}: {:?}\n{said}", output.status);
    }

    /// Material by generation.
    fn material(&self) -> BTreeMap<u64, Vec<u8>> {
        self.operator.materials(&self.name)
    }

    /// Everything is as declared, by one password, and works.
    #[track_caller]
    fn assert_in_place(&self, point: &str, generation: u64) {
        let Self { cluster, operator, name, .. } = self;
        let record = operator.record(name);
        assert_eq!((&record["phase"], &record["generation"]), (&json!("IDLE"), &json!(generation)), "{point}");
        assert_eq!(cluster.mechanisms_of(name).unwrap().len(), 1, "{point}");
        assert_eq!(cluster.acls_of(&principal(name)).unwrap().len(), 2, "{point}");
        assert_eq!(cluster.quotas_of(name).unwrap().len(), 1, "{point}");
        assert_logs_in(cluster, &self.properties, &self.native);
        if let Some(namespace) = self.namespace {
            let mounted = namespace.mounted(name).expect("it is delivered");
            assert_eq!(mounted["password"], delivered_password(&self.properties), "{point}");
        }
        let plan = operator.plan(&[]).exits(0);
        assert!(plan.actions_of(name).is_empty() && plan.reports_of(name).is_empty(), "{point}: {plan}");
        self.assert_nothing_temporary(point);
    }

    #[track_caller]
    fn assert_nothing_temporary(&self, point: &str) {
        self.operator.assert_store_is_tidy(point);
        let delivered = fs::read_dir(self.operator.work().join("out")).unwrap();
        let strangers = delivered.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let strangers: Vec<String> =
            strangers.filter(|file| !(file.ends_with(".properties") || file.ends_with(".conf"))).collect();
        assert!(strangers.iter().all(|file| !file.contains(&self.name)), "{point}: {strangers:?}");
    }
}

/// A client that Kastellan did not write logs in with what was delivered.
#[track_caller]
#[cfg(feature = "librdkafka")]
fn assert_logs_in(_cluster: &Cluster, _properties: &Path, native: &Path) {
    use rdkafka::producer::{BaseProducer, Producer as _};
    let producer: BaseProducer = crate::delivered_files::read_configuration(native).create().unwrap();
    producer.client().fetch_metadata(None, std::time::Duration::from_secs(20)).unwrap();
}

#[track_caller]
#[cfg(not(feature = "librdkafka"))]
fn assert_logs_in(cluster: &Cluster, properties: &Path, _native: &Path) {
    use crate::stack::{Listener, kafka::Tool};
    let listed = cluster.run_tool(Tool::Topics, Listener::Clients, properties, &["--list"], "").unwrap();
    assert!(listed.succeeded(), "{listed:?}");
}

fn a_first_apply_is_finished_with_one_password(subject: &Subject<'_>, point: &str) {
    subject.dies(point, &[]);
    let before = subject.material();
    let delivered = subject.properties.exists().then(|| delivered_password(&subject.properties));
    let mounted = subject.namespace.and_then(|namespace| namespace.mounted(&subject.name));
    subject.operator.apply(&[]).exits(0);
    let after = subject.material();
    assert_eq!(after.keys().collect::<Vec<_>>(), [&1], "{point}");
    assert!(before.is_empty() || before == after, "{point}: a second password was made");
    assert!(before.is_empty() == (point == "before:material"), "{point}");
    if let Some(delivered) = delivered {
        assert_eq!(delivered_password(&subject.properties), delivered, "{point}");
    }
    if let Some(mounted) = mounted {
        assert_eq!(mounted["password"], delivered_password(&subject.properties), "{point}");
    }
    subject.assert_in_place(point, 1);
}

#[test]
fn a_first_apply_that_dies_anywhere_is_finished_by_the_next_with_one_password() {
    at_every_point(&FIRST_APPLY, a_first_apply_is_finished_with_one_password);
}

#[test]
fn a_first_apply_on_vault_and_kubernetes_that_dies_anywhere_is_finished_by_the_next_with_one_password() {
    at_every_point_in(Setting::Servers, &FIRST_APPLY, a_first_apply_is_finished_with_one_password);
}

#[test]
fn a_deletion_that_dies_anywhere_is_finished_by_the_next_apply_and_can_be_undone() {
    at_every_point(&DELETION, |subject, point| {
        let Subject { cluster, operator, name, properties, .. } = subject;
        operator.apply(&[]).exits(0);
        let (material, password) = (subject.material(), delivered_password(properties));
        operator.remove(name);
        subject.dies(point, &["--prune", "--allow-empty"]);
        // Once it has begun it is finished without being asked for again; before, it takes another decision to prune.
        let again: &[&str] = if point == "before:record-deleting" { &["--prune", "--allow-empty"] } else { &[] };
        operator.apply(again).exits(0);
        assert_eq!(operator.record(name)["phase"], "DELETED", "{point}");
        assert!(cluster.mechanisms_of(name).unwrap().is_empty(), "{point}");
        assert!(cluster.acls_of(&principal(name)).unwrap().is_empty(), "{point}");
        assert!(cluster.quotas_of(name).unwrap().is_empty(), "{point}");
        assert!(!properties.exists() && !subject.native.exists(), "{point}");
        assert_eq!(subject.material(), material, "{point}: kept for the undo");
        let plan = operator.plan(&["--prune"]).exits(0);
        assert!(plan.actions_of(name).is_empty() && plan.reports_of(name).is_empty(), "{point}: {plan}");
        subject.assert_nothing_temporary(point);

        subject.put_document();
        operator.apply(&[]).exits(0);
        assert_eq!(delivered_password(properties), password, "{point}");
        subject.assert_in_place(point, 3);
    });
}

#[test]
fn a_first_apply_that_died_anywhere_can_be_pruned_and_leaves_nothing_in_kafka() {
    at_every_point(&FIRST_APPLY, |subject, point| {
        let Subject { cluster, operator, name, .. } = subject;
        subject.dies(point, &[]);
        operator.remove(name);
        operator.apply(&["--prune", "--allow-empty"]).exits(0);
        assert!(cluster.mechanisms_of(name).unwrap().is_empty(), "{point}");
        assert!(cluster.acls_of(&principal(name)).unwrap().is_empty(), "{point}");
        assert!(cluster.quotas_of(name).unwrap().is_empty(), "{point}");
        assert!(!subject.properties.exists() && !subject.native.exists(), "{point}: a delivery is orphaned");
        let plan = operator.plan(&["--prune"]).exits(0);
        assert!(plan.actions_of(name).is_empty() && plan.reports_of(name).is_empty(), "{point}: {plan}");
        subject.put_document();
        operator.apply(&[]).exits(0);
        let generation = operator.record(name)["generation"].as_u64().unwrap();
        subject.assert_in_place(point, generation);
    });
}

#[test]
fn a_deletion_that_died_anywhere_is_finished_and_undone_by_one_apply_when_the_document_is_back() {
    at_every_point(&DELETION, |subject, point| {
        let Subject { operator, name, properties, .. } = subject;
        operator.apply(&[]).exits(0);
        let password = delivered_password(properties);
        operator.remove(name);
        subject.dies(point, &["--prune", "--allow-empty"]);
        subject.put_document();
        operator.apply(&[]).exits(0);
        assert_eq!(delivered_password(properties), password, "{point}");
        let generation = if point == "before:record-deleting" { 1 } else { 3 };
        subject.assert_in_place(point, generation);
    });
}

#[test]
fn an_undo_that_dies_anywhere_is_finished_by_the_next_apply_with_the_same_password() {
    at_every_point(&UNDO, |subject, point| {
        let Subject { operator, name, properties, .. } = subject;
        operator.apply(&[]).exits(0);
        let password = delivered_password(properties);
        operator.remove(name);
        operator.apply(&["--prune", "--allow-empty"]).exits(0);
        subject.put_document();
        subject.dies(point, &[]);
        let before = subject.material().remove(&3);
        operator.apply(&[]).exits(0);
        let after = subject.material().remove(&3);
        assert!(before.is_none() || before == after, "{point}: a second password was made");
        assert_eq!(delivered_password(properties), password, "{point}");
        assert_eq!(operator.record(name).get("destroy"), None, "{point}");
        subject.assert_in_place(point, 3);
    });
}

#[test]
fn a_hand_made_credential_that_appears_before_ours_is_sent_stops_everything_for_that_user() {
    let cluster = quiet(KafkaVersion::V4_3_1, 1);
    let operator = Operator::with(&[("kafka", cluster, Transport::Plaintext)]);
    for mechanism in Mechanism::ALL {
        let subject = Subject::declare(cluster, &operator, None);
        let name = &subject.name;
        subject.dies("after:record-prepared", &[]);
        cluster.set_password(name, mechanism, &Credentials::random(name).password).unwrap();
        let stopped = operator.apply(&[]).exits(4);
        assert!(stopped.stdout.contains("credential that the record does not know"), "{stopped}");
        assert_eq!(cluster.mechanisms_of(name).unwrap(), [mechanism].into());
        assert!(!subject.properties.exists());
        cluster.delete_password(name, mechanism).unwrap();
        operator.apply(&[]).exits(0);
        subject.assert_in_place("after:record-prepared", 1);
    }
}

#[test]
fn a_healing_that_dies_anywhere_is_finished_by_the_next_apply_with_the_same_password() {
    let effects = ["grant", "record-idle", "look", "upsert", "login", "deliver", "withdraw", "record-idle:2"];
    at_every_point(&effects, |subject, point| {
        let Subject { cluster, operator, name, properties, .. } = subject;
        operator.apply(&[]).exits(0);
        let (material, password) = (subject.material(), delivered_password(properties));
        let mechanism = cluster.mechanisms_of(name).unwrap().pop_first().unwrap();
        cluster.set_password(name, mechanism, &Credentials::random(name).password).unwrap();
        cluster.revoke_all(&principal(name)).unwrap();
        cluster.set_quota(name, "consumer_byte_rate", Some(1.0)).unwrap();
        fs::remove_file(properties).unwrap();
        subject.dies(point, &[]);
        operator.apply(&[]).exits(0);
        assert_eq!(subject.material(), material, "{point}");
        assert_eq!(delivered_password(properties), password, "{point}");
        subject.assert_in_place(point, 1);
    });
}

#[test]
fn a_file_written_by_a_process_that_died_is_removed_when_nobody_asks_for_it_any_more() {
    let cluster = quiet(KafkaVersion::V4_3_1, 1);
    let operator = Operator::with(&[("kafka", cluster, Transport::Plaintext)]);
    for point in ["before:deliver", "after:deliver", "after:record-idle"] {
        let subject = Subject::declare(cluster, &operator, None);
        operator.apply(&[]).exits(0);
        let document = format!("{}.yaml", subject.name);
        let added = operator.out(&format!("{}.added.conf", subject.name));
        let item = format!("deliver: [{{name: added, file: {{path: {}}}}}, ", added.display());
        operator.edit(&document, "deliver: [", &item);
        subject.dies(point, &[]);
        operator.edit(&document, &item, "deliver: [");
        operator.apply(&[]).exits(0);
        assert!(!added.exists(), "{point}: a working password is left in a file that nobody looks after");
        subject.assert_in_place(point, 1);
    }
}
