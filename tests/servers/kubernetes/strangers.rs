//! Secrets that are somebody else's, or that somebody takes.

use serde_json::json;

use super::meddler::{Fate, Meddler};
use super::{Stage, name, version_of};
use crate::namespace::Namespace;
use crate::operator::{Operator, Transport};
use crate::stack::{KafkaVersion, kubernetes, quiet};

#[test]
fn what_is_not_ours_is_left_alone_unless_it_is_adopted() {
    let stage = Stage::new(KafkaVersion::V4_3_1, Transport::Plaintext);
    let user = name("foreign");
    stage.stranger("helmed", &json!({}));
    stage.stranger(
        "owned",
        &json!({"metadata": {"name": "owned", "ownerReferences": [{
            "apiVersion": "bitnami.com/v1alpha1", "kind": "SealedSecret", "name": "sealed", "controller": true,
            "uid": "7d2f2b0c-0000-4000-8000-000000000000",
        }]}}),
    );
    let before = [stage.secret("helmed"), stage.secret("owned")];
    stage.declare(&user, "", &["name: helmed", "name: owned"]);
    for outcome in [stage.operator.plan(&[]).exits(4), stage.operator.apply(&[]).exits(4)] {
        assert!(outcome.stdout.contains("exists and is not ours: it belongs to field manager `helm`"), "{outcome}");
        assert!(outcome.stdout.contains("exists and is not ours: it belongs to SealedSecret `sealed`"), "{outcome}");
    }
    assert_eq!(before, [stage.secret("helmed"), stage.secret("owned")]);

    // The first plan that takes it over says so, and whose it is, before there is anything to approve.
    stage.declare(&user, "", &["name: helmed, adopt: true"]);
    let text = format!("take over Secret `{}/helmed`, and write our keys into it", stage.namespace);
    let reason = "`adopt`; it belongs to field manager `helm`";
    let planned = stage.operator.plan(&[]).exits(0);
    let takeovers = planned.actions_of(&user).into_iter().filter(|line| line.contains("delivery:")).collect::<Vec<_>>();
    assert_eq!(takeovers, [format!("~ delivery: {text} ({reason})")], "{planned}");
    stage.operator.run(&["plan", "--save", "plan.json"]).exits(0).says(&format!("{text}: {reason}    [destructive]"));
    // Somebody else's by now: what was approved is not what would be done.
    stage.edit("helmed", "argocd-controller", &json!({"data": {"theirs": "a2VwdA==", "more": "a2VwdA=="}}));
    stage
        .operator
        .run(&["apply", "plan.json"])
        .exits(3)
        .says("field manager `argocd-controller` and field manager `helm`");
    assert_eq!(stage.password("helmed"), "stranger");
    stage.operator.apply(&[]).exits(0);
    assert_ne!(stage.password("helmed"), "stranger");
    assert_eq!(stage.kubernetes.mounted(&stage.namespace, "helmed")["theirs"], "kept");
    stage.operator.assert_in_step();

    // Its end takes what is ours, and leaves what is not.
    stage.operator.remove(&user);
    stage.operator.apply(&["--prune", "--allow-empty"]).exits(0);
    let left = stage.kubernetes.mounted(&stage.namespace, "helmed");
    let kept = ["theirs", "more"].map(|key| (key.to_owned(), "kept".to_owned()));
    assert_eq!(left, kept.into());
}

#[test]
fn what_a_plan_cannot_tell_of_a_secret_it_says_and_nothing_is_taken_over_unseen() {
    let kubernetes = kubernetes::shared();
    let mut operator = Operator::with(&[("kafka", quiet(KafkaVersion::V4_3_1, 1), Transport::Plaintext)]);
    let namespace = Namespace::of(&mut operator, kubernetes);
    let meddler = Meddler::of(kubernetes);
    operator.set("KUBECONFIG", &namespace.kubeconfig_by(&meddler.url()));
    let (user, place) = (name("unseen"), namespace.name.clone());
    let deliver = format!("[{{kubernetesSecret: {{namespace: {place}, name: late, adopt: true}}}}]");
    operator.declare(&user, &format!("{{clusters: [kafka], authentication: {{type: scram}}, deliver: {deliver}}}"));

    // Whoever may not look cannot tell whose it is.
    let planned = operator.plan(&[]).exits(4);
    let unknown = "`adopt` takes over only what a plan has seen";
    assert!(
        planned.reports_of(&user).iter().any(|(kind, text)| kind == "waiting" && text.contains(unknown)),
        "{planned}"
    );
    assert_eq!(planned.actions_of(&user), [""; 0]);

    // One that somebody makes between the plan and its execution was in no plan.
    namespace.allow(&operator);
    let secrets = format!("/api/v1/namespaces/{place}/secrets");
    let mut is_there = false;
    meddler.go_by(move |method, _| {
        if method == "PATCH" && !std::mem::replace(&mut is_there, true) {
            let secret = json!({"metadata": {"name": "late"}, "data": {"password": "c3RyYW5nZXI="}});
            kubernetes.create(&format!("{secrets}?fieldManager=helm"), &secret);
        }
        Fate::Answered
    });
    let planned = operator.plan(&[]).exits(0);
    assert!(!planned.stdout.contains("take over"), "{planned}");
    let applied = operator.apply(&[]).exits(4);
    assert!(applied.stdout.contains("the plan did not tell of it: it belongs to field manager `helm`"), "{applied}");
    assert!(applied.stdout.contains("applying that takes it over"), "{applied}");
    assert_eq!(kubernetes.mounted(&place, "late")["password"], "stranger");

    // Where nobody left a name, the plan says that.
    kubernetes.edit_secret(&place, "late", "helm", &json!({"metadata": {"managedFields": [{}]}}));
    let line = format!(
        "~ delivery: take over Secret `{place}/late`, and write our keys into it (`adopt`; nothing in it tells whose it is)"
    );
    let planned = operator.plan(&[]).exits(0);
    assert!(planned.actions_of(&user).contains(&line), "{planned}");
    operator.apply(&[]).exits(0);
    assert_eq!(kubernetes.mounted(&place, "late")["username"], user);
    operator.assert_in_step();
}

#[test]
fn a_secret_that_was_taken_over_is_reported_and_not_taken_back() {
    let stage = Stage::new(KafkaVersion::V3_9_2, Transport::Plaintext);
    let user = name("taken");
    stage.declare(&user, "", &["name: taken"]);
    stage.operator.apply(&[]).exits(0);
    let password = stage.password("taken");
    let none = json!(null);
    stage.edit(
        "taken",
        "argocd-controller",
        &json!({
            "metadata": {"annotations": {"kastellan.io/user": none, "kastellan.io/generation": none}},
            "data": {"password": "dGhlaXJz"},
        }),
    );
    let taken = version_of(&stage.secret("taken")).1.to_owned();
    let applied = stage.operator.apply(&[]).exits(4);
    assert!(applied.stdout.contains("is not ours: it belongs to field manager `argocd-controller`"), "{applied}");
    assert_eq!(version_of(&stage.secret("taken")).1, taken);

    // A person decides; the password is the same.
    stage.declare(&user, "", &["name: taken, adopt: true"]);
    stage.operator.plan(&[]).exits(0).says("`adopt`; it belongs to field manager `argocd-controller`");
    stage.operator.apply(&[]).exits(0);
    assert_eq!(stage.password("taken"), password);
    stage.operator.assert_in_step();
}

#[test]
fn neither_another_users_secret_nor_a_newer_one_is_replaced() {
    let stage = Stage::new(KafkaVersion::V4_3_1, Transport::Plaintext);
    let user = name("newer");
    stage.declare(&user, "", &["name: newer", "name: others"]);
    stage.operator.apply(&[]).exits(0);
    stage.edit("newer", "kastellan", &json!({"metadata": {"annotations": {"kastellan.io/generation": "9"}}}));
    stage.edit("others", "kastellan", &json!({"metadata": {"annotations": {"kastellan.io/user": "tests/somebody"}}}));
    let before = [stage.secret("newer"), stage.secret("others")];
    let applied = stage.operator.apply(&[]);
    assert!(matches!(applied.code, Some(3 | 4)), "{applied}");
    assert!(applied.stdout.contains("generation 9"), "{applied}");
    assert_eq!(before, [stage.secret("newer"), stage.secret("others")]);
}
