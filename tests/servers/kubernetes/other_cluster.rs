//! A context that comes to mean another cluster: nothing goes there, and nothing is taken for gone, until somebody says so.

use serde_json::{Value, json};

use super::{Stage, name};
use crate::operator::Transport;
use crate::stack::KafkaVersion;
use crate::stack::kubernetes::Kubernetes;

fn id_of(kubernetes: &Kubernetes) -> String {
    let namespace = kubernetes.get("/api/v1/namespaces/kube-system").unwrap();
    namespace["metadata"]["uid"].as_str().unwrap().to_owned()
}

/// Another cluster, in which Kastellan has the same account and rights, and a kubeconfig that leads there.
pub(super) fn twin(stage: &Stage) -> (Kubernetes, String) {
    let twin = Kubernetes::start().unwrap();
    twin.create("/api/v1/namespaces", &json!({"metadata": {"name": stage.namespace}}));
    let token = twin.service_account(&stage.namespace, "kastellan");
    let account = format!("{}/kastellan", stage.namespace);
    let printed = stage.operator.run(&["policy", "kubernetes", "--service-account", &account]).exits(0);
    twin.apply_yaml(&printed.stdout);
    stage.allow_everything(&twin);
    let kubeconfig = twin.kubeconfig(&[("here", &token)]).display().to_string();
    (twin, kubeconfig)
}

#[test]
fn nothing_goes_to_another_cluster_until_somebody_accepts_it() {
    let mut stage = Stage::new(KafkaVersion::V4_3_1, Transport::Plaintext);
    let [user, leaver] = ["stays", "leaves"].map(name);
    let rotation = ", rotation: {every: 30d, strategy: mechanism-flip, overlap: 0s}";
    stage.declare(&user, rotation, &["name: app"]);
    stage.declare(&leaver, "", &["name: old"]);
    stage.allow_everything(stage.kubernetes);
    let applied = stage.operator.apply(&[]).exits(0);
    let first = id_of(stage.kubernetes);
    let recorded = |stage: &Stage| stage.operator.record(&user)["deliveries"]["d0"]["written"]["cluster_id"].clone();
    assert_eq!(recorded(&stage), first.as_str(), "{applied}");
    // At rest: which cluster it is, and a look at each Secret.
    let rest = stage.operator.apply(&[]).exits(0).json();
    assert_eq!(rest["traffic"]["kubernetesRequests"], 3, "{rest:#}");

    let (twin, elsewhere) = twin(&stage);
    let second = id_of(&twin);
    let here = stage.kubeconfig.display().to_string();
    let password = stage.password("app");
    stage.operator.set("KUBECONFIG", &elsewhere);
    let says = format!(
        "Secret `{}/app` was delivered to another Kubernetes cluster (`{first}`) than the one that is there now (`{second}`)",
        stage.namespace
    );
    let rotate = ["rotate", &format!("tests/{user}"), "--auto-approve", "-o", "json"];
    for outcome in [stage.operator.plan(&[]), stage.operator.apply(&[]), stage.operator.run(&rotate)] {
        let outcome = outcome.exits(4);
        assert!(outcome.stdout.contains(&says), "{outcome}");
        assert!(outcome.stdout.contains(&format!("kastellan apply --accept-cluster {second}")), "{outcome}");
    }
    // Neither under another name, nor is what is elsewhere taken for gone.
    stage.declare(&user, rotation, &["name: renamed"]);
    stage.operator.remove(&leaver);
    let (_, printed) = (stage.operator.apply(&["--prune"]).exits(4), stage.operator.apply(&["--prune"]).exits(4));
    assert!(printed.stdout.contains("was delivered to another Kubernetes cluster"), "{printed}");
    assert_eq!(twin.get(&format!("/api/v1/namespaces/{}/secrets", stage.namespace)).unwrap()["items"], json!([]));
    assert_eq!(stage.operator.record(&leaver)["deliveries"]["d0"]["target"], format!("{}/old", stage.namespace));

    // The context leads back: everything goes on.
    stage.operator.set("KUBECONFIG", &here);
    stage.declare(&user, rotation, &["name: app"]);
    stage.operator.apply(&["--prune"]).exits(0);
    stage.operator.assert_in_step();
    assert!(stage.kubernetes.secret(&stage.namespace, "old").is_none());
    assert_eq!(stage.password("app"), password, "no rotation began");

    // The other cluster is the right one from now on.
    stage.operator.set("KUBECONFIG", &elsewhere);
    stage.operator.apply(&["--accept-cluster", &first]).exits(4);
    let planned = stage.operator.plan(&["--accept-cluster", &second]).exits(0);
    assert!(planned.actions_of(&user).join("\n").contains("it is not there"), "{planned}");
    stage.operator.apply(&["--accept-cluster", &second]).exits(0);
    assert_eq!(twin.mounted(&stage.namespace, "app")["password"], password);
    assert_eq!(recorded(&stage), second.as_str());
    stage.operator.assert_in_step();
    stage.operator.set("KUBECONFIG", &here);
    stage.operator.plan(&[]).exits(4).says(&first);
}

#[test]
fn a_cluster_that_is_not_known_is_no_other_one() {
    let stage = Stage::new(KafkaVersion::V3_9_2, Transport::Plaintext);
    let user = name("unknown");
    let rotation = ", rotation: {every: 30d, strategy: mechanism-flip, overlap: 0s}";
    stage.declare(&user, rotation, &["name: app"]);
    stage.operator.apply(&[]).exits(0);
    let written = |stage: &Stage| stage.operator.record(&user)["deliveries"]["d0"]["written"].clone();
    let id = written(&stage)["cluster_id"].clone();
    assert!(id.is_string());

    // What an older version wrote takes the id in with the next write.
    stage.operator.change_record(&user, |record| {
        record["deliveries"]["d0"]["written"].as_object_mut().unwrap().remove("cluster_id");
    });
    stage.operator.assert_in_step();
    let rotate = ["rotate", &format!("tests/{user}"), "--auto-approve"];
    stage.operator.run(&rotate).exits(0);
    assert_eq!(written(&stage)["cluster_id"], id);

    // Without the right to see it, it stays as it is known.
    let binding = format!("kastellan-identity:{}:kastellan", stage.namespace);
    let bindings = "/apis/rbac.authorization.k8s.io/v1/namespaces/kube-system/rolebindings";
    assert_eq!(stage.kubernetes.ask("DELETE", &format!("{bindings}/{binding}"), None).0, 200);
    stage.operator.assert_in_step();
    stage.operator.run(&rotate).exits(0);
    assert_eq!(written(&stage)["cluster_id"], id, "the same object is in the same cluster");
    stage.kubernetes.delete_secret(&stage.namespace, "app");
    stage.operator.apply(&[]).exits(0);
    assert_eq!(written(&stage)["cluster_id"], Value::Null, "made anew, somewhere");
    stage.operator.assert_in_step();
}
