//! An API server that is away, busy, broken or silent in the middle of a rotation, and two Kastellans at once: a rotation is
//! held with both credentials valid, and finished by the next apply.

use std::collections::BTreeMap;
use std::process::Child;
use std::time::Duration;

use kastellan::names::Mechanism;
use kastellan::secret::Secret;
use serde_json::json;

use super::meddler::{Fate, Meddler};
use crate::namespace::{Namespace, secret_name};
use crate::operator::{Kept, Operator, Outcome, Transport};
use crate::stack::kafka::Login;
use crate::stack::kubernetes::{self, Kubernetes};
use crate::stack::{Cluster, KafkaVersion, quiet, unique_name, wait_until};

const APPLY: [&str; 4] = ["apply", "--auto-approve", "-o", "json"];
const ROTATE_ALL: [&str; 5] = ["rotate", "--all", "--auto-approve", "-o", "json"];
/// How long a command may take to come to where it is disturbed.
const PATIENCE: Duration = Duration::from_secs(60);

/// Users with a store in Vault, each delivered to a Secret.
struct Users {
    cluster: &'static Cluster,
    operator: Operator<'static>,
    namespace: Namespace,
    names: Vec<String>,
}

/// The keys of a mounted Secret.
type Mounted = BTreeMap<String, String>;

impl Users {
    fn declare(kubernetes: &'static Kubernetes, names: &[String]) -> Self {
        let cluster = quiet(KafkaVersion::V4_3_1, 1);
        let clusters = [("kafka", cluster, Transport::Plaintext)];
        let mut operator = Operator::keeping(Kept::Vault(crate::vault::vault()), &clusters);
        // Permits last for half of it, in which a busy machine has to take a whole wave of records.
        operator.edit("kafka.yaml", "fence: 1s", "fence: 10s");
        let namespace = Namespace::of(&mut operator, kubernetes);
        for name in names {
            let spec = format!(
                "{{clusters: [kafka], authentication: {{type: scram}}, rotation: {{strategy: mechanism-flip, overlap: 0s}}, \
                 deliver: [{}]}}",
                namespace.delivery(name)
            );
            operator.declare(name, &spec);
        }
        namespace.allow(&operator);
        Self { cluster, operator, namespace, names: names.to_vec() }
    }

    fn many(kubernetes: &'static Kubernetes, prefix: &str, count: usize) -> Self {
        Self::declare(kubernetes, &(0..count).map(|_| unique_name(prefix)).collect::<Vec<_>>())
    }

    fn mounted(&self, name: &str) -> Mounted {
        self.namespace.mounted(name).unwrap_or_else(|| panic!("`{name}` has no Secret"))
    }

    fn all_mounted(&self) -> BTreeMap<&str, Mounted> {
        self.names.iter().map(|name| (name.as_str(), self.mounted(name))).collect()
    }

    /// Whether somebody with these keys gets in.
    fn logs_in(&self, mounted: &Mounted) -> bool {
        let mechanism: Mechanism = mounted["sasl.mechanism"].parse().unwrap();
        let password = Secret::from_text(mounted["password"].clone());
        let login = self.cluster.log_in(1, mechanism, &mounted["username"], &password).unwrap();
        matches!(login, Login::Accepted(_))
    }

    /// Everything is finished: one credential for each user, which is mounted, published in the store, and works.
    #[track_caller]
    fn assert_at_rest(&self) {
        self.operator.assert_in_step();
        for (name, mounted) in self.all_mounted() {
            assert_eq!(self.operator.credential(name)["password"], mounted["password"].as_str(), "{name}");
            assert!(self.logs_in(&mounted), "{name}");
            assert_eq!(self.cluster.mechanisms_of(name).unwrap().len(), 1, "{name}");
            assert_eq!(self.operator.materials(name).len(), 1, "{name}");
        }
    }

    fn begin(&self, command: &[&str]) -> Child {
        self.operator.command(command).spawn().unwrap()
    }
}

fn end(child: Child) -> Outcome {
    Outcome::new(&["…"], child.wait_with_output().unwrap())
}

#[test]
fn two_at_once_make_and_rotate_one_password_for_each_user() {
    let users = Users::many(kubernetes::shared(), "twice", 20);
    for (command, generation) in [(&APPLY[..], "1"), (&ROTATE_ALL, "2")] {
        let both = [users.begin(command), users.begin(command)].map(end);
        for one in &both {
            // Whoever comes second is told so; nothing worse happens to it.
            assert!(matches!(one.code, Some(0 | 4)), "{one}");
        }
        users.operator.apply(&[]).exits(0);
        users.assert_at_rest();
        for name in &users.names {
            let secret = users.namespace.kubernetes.secret(&users.namespace.name, &secret_name(name)).unwrap();
            let annotations = &secret["metadata"]["annotations"];
            assert_eq!(annotations["kastellan.io/rotation"], users.operator.credential(name)["rotation_id"], "{name}");
            assert!(annotations["kastellan.io/generation"].as_str().unwrap() >= generation, "{name}");
        }
    }
    users.operator.run(&["verify"]).exits(0);
}

#[test]
fn an_api_server_that_goes_in_the_middle_of_a_rotation_locks_nobody_out() {
    let kubernetes: &'static Kubernetes = Box::leak(Box::new(Kubernetes::start().unwrap()));
    let users = Users::many(kubernetes, "away", 60);
    users.operator.apply(&[]).exits(0);
    let before = users.all_mounted();

    let begun = users.begin(&ROTATE_ALL);
    let is_under_way = || before.iter().any(|(name, mounted)| users.mounted(name) != *mounted);
    assert!(wait_until(PATIENCE, is_under_way), "nothing was published");
    kubernetes.stop_api_server();
    let ended = end(begun).exits(4);
    assert!(ended.stdout.contains("the Kubernetes API cannot be reached"), "{ended}");
    // Whoever has not got a new Secret goes on with the old one, and what the store says works as well.
    let is_held = |name: &&&str| users.operator.record(name)["phase"] != "IDLE";
    let held: Vec<&str> = before.keys().filter(is_held).copied().collect();
    assert!(!held.is_empty() && held.len() < before.len(), "{held:?}");
    for name in &held {
        let credential = users.operator.credential(name);
        let text = |key: &str| credential[key].as_str().unwrap().to_owned();
        let published = [("username", "username"), ("password", "password"), ("sasl.mechanism", "sasl_mechanism")];
        let published = published.map(|(key, field)| (key.to_owned(), text(field))).into();
        assert!(users.logs_in(&before[name]) && users.logs_in(&published), "{name}");
    }
    // It stays away for another pass, which changes nothing about that.
    users.operator.apply(&[]).exits(4);
    assert!(held.iter().all(|name| users.logs_in(&before[name])));

    kubernetes.start_api_server().unwrap();
    users.operator.apply(&[]).exits(0);
    users.assert_at_rest();
    for (name, mounted) in users.all_mounted() {
        assert_ne!(mounted["password"], before[name]["password"], "{name}");
    }
    users.operator.run(&["verify"]).exits(0);
}

#[test]
fn trouble_that_passes_is_got_over_by_the_command_itself() {
    let mut users = Users::many(kubernetes::shared(), "passing", 6);
    let meddler = Meddler::of(kubernetes::shared());
    let kubeconfig = users.namespace.kubeconfig_by(&meddler.url());
    users.operator.set("KUBECONFIG", &kubeconfig);
    let troubles = [Fate::Refused(429), Fate::Refused(500), Fate::Refused(503), Fate::Refused(409), Fate::AnswerLost];
    let mut seen = BTreeMap::<String, usize>::new();
    // Every other request of each path meets trouble, and each path begins with another one.
    meddler.go_by(move |method, path| {
        let paths = seen.len();
        let count = seen.entry(format!("{method} {path}")).or_insert(2 * paths);
        *count += 1;
        let trouble = troubles[*count / 2 % troubles.len()];
        // Nobody who only looks is told that something changed meanwhile.
        let is_possible = method == "PATCH" || trouble != Fate::Refused(409);
        if *count % 2 == 1 && is_possible { trouble } else { Fate::Answered }
    });
    for command in [&APPLY[..], &ROTATE_ALL] {
        users.operator.run(command).exits(0);
        users.assert_at_rest();
    }
}

#[test]
fn trouble_that_lasts_holds_a_rotation_with_both_credentials_valid_until_it_is_over() {
    let troubles = [
        ("busy", Fate::Refused(429)),
        ("broken", Fate::Refused(500)),
        ("changed", Fate::Refused(409)),
        ("lost", Fate::AnswerLost),
        ("silent", Fate::Silence),
        ("fine", Fate::Answered),
    ];
    let names = troubles.map(|(trouble, _)| unique_name(trouble));
    let mut users = Users::declare(kubernetes::shared(), &names);
    let meddler = Meddler::of(kubernetes::shared());
    let kubeconfig = users.namespace.kubeconfig_by(&meddler.url());
    users.operator.set("KUBECONFIG", &kubeconfig);
    users.operator.apply(&[]).exits(0);
    let before = users.all_mounted();

    let fates = names.each_ref().map(|name| secret_name(name)).into_iter().zip(troubles.map(|(_, fate)| fate));
    let fates: Vec<(String, Fate)> = fates.collect();
    meddler.go_by(move |method, path| {
        let fate = fates.iter().find(|(secret, _)| method == "PATCH" && path.contains(secret.as_str()));
        fate.map_or(Fate::Answered, |(_, fate)| *fate)
    });
    let rotated = users.operator.run(&ROTATE_ALL).exits(4);
    for (name, mounted) in &before {
        let is_held = users.operator.record(name)["phase"] != "IDLE";
        let is_troubled = !name.starts_with("fine") && !name.starts_with("lost");
        assert!(is_held || !is_troubled, "{name}: {rotated}");
        assert!(users.logs_in(&users.mounted(name)), "{name}: what is mounted");
        if is_held {
            assert!(users.logs_in(mounted), "{name}: what was mounted");
            assert_eq!(users.cluster.mechanisms_of(name).unwrap().len(), 2, "{name}");
            assert!(rotated.stdout.contains(name), "{name}: {rotated}");
        }
    }
    let status = users.operator.status(&names[5]);
    assert_eq!((&status["generation"], &status["phase"]), (&json!(2), &json!("IDLE")), "nobody else is held up");

    meddler.go_by(|_, _| Fate::Answered);
    users.operator.apply(&[]).exits(0);
    users.assert_at_rest();
    assert!(users.all_mounted().iter().all(|(name, mounted)| mounted["password"] != before[name]["password"]));
}
