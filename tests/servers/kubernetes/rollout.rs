//! Workloads that a rotation restarts, on the real controllers of Kubernetes: the old credential goes when nothing runs with
//! it any more, and not before. The test plays the kubelet.

use kastellan::names::Mechanism;
use kastellan::secret::Secret;
use serde_json::{Value, json};

use super::other_cluster::twin;
use super::{Stage, name, version_of};
use crate::operator::Transport;
use crate::stack::kafka::Login;
use crate::stack::kubernetes::Kubernetes;
use crate::stack::{KafkaVersion, wait_until};

const ROLLOUT: &str = ", rotation: {every: 30d, strategy: mechanism-flip, confirm: rollout}";
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(60);

/// A credential as a pod would mount it.
#[derive(Clone, PartialEq, Debug)]
struct Mounted(String, String);

/// One user with a Secret that workloads of its namespace mount.
struct Scene {
    stage: Stage,
    user: String,
}

impl Scene {
    /// A user who is provisioned, and whose delivery restarts something.
    fn new(prefix: &str, version: KafkaVersion, workloads: &[(&str, &str)], rotation: &str) -> Self {
        let stage = Stage::new(version, Transport::Plaintext);
        stage.kubernetes.with_controllers();
        for (kind, name) in workloads {
            stage.kubernetes.workload(&stage.namespace, kind, name, 2);
        }
        let scene = Self { stage, user: name(prefix) };
        scene.restart(workloads, rotation);
        scene.stage.operator.apply(&[]).exits(0);
        for (kind, name) in workloads {
            assert_eq!(scene.marker(kind, name), Value::Null, "whatever starts then reads the first credential anyway");
        }
        scene.stage.operator.assert_in_step();
        scene
    }

    fn restart(&self, workloads: &[(&str, &str)], rotation: &str) {
        let named = |of: &str| {
            workloads.iter().filter(|(kind, _)| *kind == of).map(|(_, name)| *name).collect::<Vec<_>>().join(", ")
        };
        let (deployments, sets) = (named("deployments"), named("statefulsets"));
        let fields = format!("name: app, restart: {{deployments: [{deployments}], statefulSets: [{sets}]}}");
        self.stage.declare(&self.user, rotation, &[&fields]);
    }

    fn kubernetes(&self) -> &'static Kubernetes {
        self.stage.kubernetes
    }

    fn workload(&self, kind: &str, name: &str) -> Value {
        self.kubernetes().find_workload(&self.stage.namespace, kind, name)
    }

    fn key(&self) -> String {
        format!("restart.kastellan.io/tests.{}", self.user)
    }

    /// The marker in the pods' template.
    fn marker(&self, kind: &str, name: &str) -> Value {
        self.workload(kind, name)["spec"]["template"]["metadata"]["annotations"][self.key()].clone()
    }

    /// Generation and rotation id of the Secret, as the marker has them.
    fn expected(&self) -> Value {
        let secret = self.stage.secret("app");
        let annotation = |key: &str| secret["metadata"]["annotations"][key].as_str().unwrap().to_owned();
        format!("{}-{}", annotation("kastellan.io/generation"), annotation("kastellan.io/rotation")).into()
    }

    fn mounted(&self) -> Mounted {
        let mounted = self.kubernetes().mounted(&self.stage.namespace, "app");
        Mounted(mounted["sasl.mechanism"].clone(), mounted["password"].clone())
    }

    #[track_caller]
    fn logs_in(&self, Mounted(mechanism, password): &Mounted) {
        let mechanism = *Mechanism::ALL.iter().find(|known| known.as_str() == mechanism).unwrap();
        let password = Secret::new(password.clone().into_bytes());
        for node in self.stage.cluster.node_ids() {
            let login = self.stage.cluster.log_in(node, mechanism, &self.user, &password).unwrap();
            assert!(matches!(login, Login::Accepted(_)), "{mechanism} is refused");
        }
    }

    fn rotate(&self) -> crate::operator::Outcome {
        self.stage.operator.run(&["rotate", &format!("tests/{}", self.user), "--auto-approve"])
    }

    fn roll_out(&self, kind: &str, name: &str) {
        self.kubernetes().roll_out(&self.stage.namespace, kind, name);
    }

    /// An apply changes nothing, both credentials log in, and `status` says why.
    #[track_caller]
    fn holds(&self, old: &Mounted, says: &str, code: i32) {
        let planned = self.stage.operator.plan(&[]).exits(code);
        assert!(planned.actions_of(&self.user).is_empty(), "{planned}");
        let reports = planned.reports_of(&self.user);
        assert!(reports.iter().any(|(_, text)| text.contains(says)), "{says}: {reports:?}");
        self.stage.operator.apply(&[]).exits(code);
        let status = self.stage.operator.status(&self.user);
        assert_eq!(status["awaits"], "rollout");
        let said = status["says"].as_str().unwrap();
        assert!(said.contains(says), "{says}: {said}");
        self.logs_in(old);
        self.logs_in(&self.mounted());
    }

    /// The old credential is gone, and there is nothing more to do.
    #[track_caller]
    fn is_over(&self) {
        self.stage.operator.apply(&[]).exits(0);
        assert_eq!(self.stage.cluster.mechanisms_of(&self.user).unwrap().len(), 1);
        self.logs_in(&self.mounted());
        self.stage.operator.assert_in_step();
    }
}

#[test]
fn the_old_credential_goes_when_every_workload_has_rolled_out() {
    let workloads = [("deployments", "api"), ("statefulsets", "db")];
    let scene = Scene::new("rolls", KafkaVersion::V4_3_1, &workloads, ROLLOUT);
    let (old, namespace) = (scene.mounted(), scene.stage.namespace.clone());
    scene.rotate().exits(0).says(&format!("restarts Deployment `{namespace}/api`, StatefulSet `{namespace}/db`"));
    assert_ne!(scene.mounted(), old);
    for (kind, name) in workloads {
        assert_eq!(scene.marker(kind, name), scene.expected());
        // The one field of a manager of its own, so that an engine that applies the manifest leaves it alone.
        let workload = scene.workload(kind, name);
        let managers = workload["metadata"]["managedFields"].as_array().unwrap();
        let own = managers.iter().find(|fields| fields["manager"] == format!("kastellan-restart-tests.{}", scene.user));
        let key = format!("f:{}", scene.key());
        let field = json!({"f:spec": {"f:template": {"f:metadata": {"f:annotations": {key: {}}}}}});
        assert_eq!(own.unwrap()["fieldsV1"], field);
    }
    let generations = || workloads.map(|(kind, name)| scene.workload(kind, name)["metadata"]["generation"].clone());
    let restarted = generations();
    scene.holds(&old, "2 replicas are", 0);
    assert_eq!(generations(), restarted, "nothing restarts twice");

    // New pods are ready, and an old one still ends: it holds the old credential.
    let pods = || scene.kubernetes().pods(&namespace, "api");
    let ends = |pods: &[Value]| pods.iter().filter(|pod| pod["metadata"]["deletionTimestamp"].is_string()).count();
    let is_ending = wait_until(PATIENCE, || {
        scene.kubernetes().start_pods(&namespace, "api");
        let found = pods();
        let status = scene.workload("deployments", "api")["status"].clone();
        status["updatedReplicas"] == 2
            && status["availableReplicas"] == 2
            && status["replicas"] == 2
            && ends(&found) == 2
    });
    assert!(is_ending, "{:?}", scene.workload("deployments", "api")["status"]);
    scene.holds(&old, "api`: 2 older pods are left", 0);
    scene.roll_out("deployments", "api");
    scene.holds(&old, &format!("(StatefulSet `{namespace}/db`: "), 0);
    scene.roll_out("statefulsets", "db");
    scene.is_over();
    assert_eq!(generations(), restarted);
    let versions = || workloads.map(|(kind, name)| version_of(&scene.workload(kind, name)).1.to_owned());
    let before = versions();
    scene.stage.operator.apply(&[]).exits(0);
    assert_eq!(versions(), before, "a second apply writes nothing");
}

#[test]
fn a_rollout_that_hangs_holds_the_rotation_until_somebody_speaks() {
    let scene = Scene::new("hangs", KafkaVersion::V3_9_2, &[("deployments", "api")], ROLLOUT);
    let (old, namespace) = (scene.mounted(), scene.stage.namespace.clone());
    let deadline = json!({"spec": {"progressDeadlineSeconds": 2}});
    scene.kubernetes().change_workload(&namespace, "deployments", "api", &deadline);
    scene.rotate().exits(0);
    let hangs = || scene.workload("deployments", "api")["status"].to_string().contains("ProgressDeadlineExceeded");
    assert!(wait_until(PATIENCE, hangs));
    scene.holds(&old, "it does not go on (ProgressDeadlineExceeded)", 4);
    // One rotation at a time, whoever asks.
    scene.rotate().exits(4).says("stays valid until what was restarted runs with the new one");

    // Somebody takes the marker away: it is not set again.
    let template = json!({"spec": {"template": {"metadata": {"annotations": {scene.key(): null}}}}});
    scene.kubernetes().change_workload(&namespace, "deployments", "api", &template);
    scene.roll_out("deployments", "api");
    scene.holds(&old, "does not carry the marker of this rotation", 4);
    assert_eq!(scene.marker("deployments", "api"), Value::Null);
    scene.stage.operator.run(&["ack", &format!("tests/{}", scene.user)]).exits(0);
    scene.is_over();
}

#[test]
fn a_workload_that_is_gone_is_waited_for_and_one_without_replicas_is_not() {
    let workloads = [("deployments", "api"), ("deployments", "idle"), ("statefulsets", "gone")];
    let scene = Scene::new("gone", KafkaVersion::V4_3_1, &workloads, ROLLOUT);
    let (old, namespace) = (scene.mounted(), scene.stage.namespace.clone());
    scene.kubernetes().delete_workload(&namespace, "statefulsets", "gone");
    scene.kubernetes().change_workload(&namespace, "deployments", "idle", &json!({"spec": {"replicas": 0}}));
    scene.rotate().exits(0);
    scene.roll_out("deployments", "api");
    // Its pods end, and one of them takes its time.
    scene.holds(&old, "idle`: it is scaled to zero, and 2 older pods are left", 4);
    scene.roll_out("deployments", "idle");
    scene.holds(&old, &format!("(StatefulSet `{namespace}/gone`: it is not there; take it out of `restart`"), 4);
    scene.restart(&workloads[..2], ROLLOUT);
    scene.is_over();
}

#[test]
fn a_workload_in_another_cluster_ends_no_rotation() {
    let mut scene = Scene::new("elsewhere", KafkaVersion::V4_3_1, &[("deployments", "api")], ROLLOUT);
    let (old, here) = (scene.mounted(), scene.stage.kubeconfig.display().to_string());
    scene.rotate().exits(0);
    // Scaled to zero and without a pod: in the right cluster nobody would hold the old credential any more.
    let (twin, elsewhere) = twin(&scene.stage);
    twin.with_controllers().workload(&scene.stage.namespace, "deployments", "api", 0);
    scene.stage.operator.set("KUBECONFIG", &elsewhere);
    let says = format!("Deployment `{}/api` is not looked for: there is another", scene.stage.namespace);
    scene.stage.operator.apply(&[]).exits(4).says(&says);
    scene.logs_in(&old);
    scene.logs_in(&scene.mounted());
    scene.stage.operator.set("KUBECONFIG", &here);
    scene.roll_out("deployments", "api");
    scene.is_over();
}

#[test]
fn what_the_api_refuses_is_told_and_nothing_is_lost() {
    let scene = Scene::new("refused", KafkaVersion::V4_3_1, &[("deployments", "api")], ROLLOUT);
    let (old, namespace) = (scene.mounted(), scene.stage.namespace.clone());
    let role = format!("/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/roles/kastellan-apply");
    let without = |resource: &str, verb: &str| {
        let mut changed = scene.kubernetes().get(&role).unwrap();
        for rule in changed["rules"].as_array_mut().unwrap() {
            if rule["resources"] == json!([resource]) {
                rule["verbs"].as_array_mut().unwrap().retain(|known| known != verb);
            }
        }
        changed["rules"].as_array_mut().unwrap().retain(|rule| rule["verbs"] != json!([]));
        assert_eq!(scene.kubernetes().ask("PUT", &role, Some(&changed)).0, 200);
    };
    without("deployments", "patch");
    let refused = scene.rotate().exits(4);
    let said = format!("{refused}");
    let expected = format!("failed to restart Deployment `{namespace}/api`: Kastellan has no right to `patch` it");
    assert!(said.contains(&expected) && said.contains("kastellan policy kubernetes"), "{said}");
    assert_eq!(scene.stage.operator.status(&scene.user)["phase"], "VERIFIED");
    assert_eq!(scene.marker("deployments", "api"), Value::Null);
    scene.logs_in(&old);
    scene.logs_in(&scene.mounted());

    // With the right to it, it goes on from there.
    scene.stage.allow();
    scene.stage.operator.apply(&[]).exits(0);
    assert_eq!(scene.marker("deployments", "api"), scene.expected());
    scene.roll_out("deployments", "api");
    without("pods", "list");
    let expected =
        format!("failed to look at the pods of Deployment `{namespace}/api`: Kastellan has no right to `list` it");
    scene.holds(&old, &expected, 4);
    scene.stage.allow();
    scene.is_over();
}

#[test]
fn two_users_of_one_workload_have_markers_of_their_own() {
    let scene = Scene::new("shared", KafkaVersion::V4_3_1, &[("deployments", "api")], ROLLOUT);
    let other = name("sharing");
    let rotation = ", rotation: {every: 30d, strategy: mechanism-flip, overlap: 1h}";
    scene.stage.declare(&other, rotation, &["name: other, restart: {deployments: [api]}"]);
    scene.stage.operator.apply(&[]).exits(0);
    scene.rotate().exits(0);
    scene.stage.operator.run(&["rotate", &format!("tests/{other}"), "--auto-approve"]).exits(0);
    let template = scene.workload("deployments", "api")["spec"]["template"].clone();
    assert_eq!(template["metadata"]["annotations"].as_object().unwrap().len(), 2);
    scene.roll_out("deployments", "api");
    scene.stage.operator.apply(&[]).exits(0);
    let valid = |user: &str| scene.stage.cluster.mechanisms_of(user).unwrap().len();
    assert_eq!((valid(&scene.user), valid(&other)), (1, 2), "the other one's overlap is not over");
}

#[cfg(feature = "crash-points")]
#[test]
fn a_restart_is_finished_after_a_crash_and_happens_once() {
    use super::crashes::dies;

    for point in ["before:restart", "after:restart", "before:record-published", "after:record-published"] {
        let scene = Scene::new("crash", KafkaVersion::V4_3_1, &[("deployments", "api")], ROLLOUT);
        let old = scene.mounted();
        let generation = || scene.workload("deployments", "api")["metadata"]["generation"].as_u64().unwrap();
        let before = generation();
        dies(&scene.stage, point, &["rotate", &format!("tests/{}", scene.user), "--auto-approve"]);
        scene.logs_in(&old);
        scene.logs_in(&scene.mounted());
        scene.stage.operator.apply(&[]).exits(0);
        assert_eq!((generation(), scene.marker("deployments", "api")), (before + 1, scene.expected()), "{point}");
        scene.roll_out("deployments", "api");
        scene.is_over();
        assert_eq!(generation(), before + 1, "{point}");
    }
}
