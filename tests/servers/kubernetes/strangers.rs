//! Secrets that are somebody else's, or that somebody takes.

use serde_json::json;

use super::{Stage, name, version_of};
use crate::operator::Transport;
use crate::stack::KafkaVersion;

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

    stage.declare(&user, "", &["name: helmed, adopt: true"]);
    stage.operator.apply(&[]).exits(0);
    assert_ne!(stage.password("helmed"), "stranger");
    assert_eq!(stage.kubernetes.mounted(&stage.namespace, "helmed")["theirs"], "kept");
    stage.operator.assert_in_step();

    // Its end takes what is ours, and leaves what is not.
    stage.operator.remove(&user);
    stage.operator.apply(&["--prune", "--allow-empty"]).exits(0);
    let left = stage.kubernetes.mounted(&stage.namespace, "helmed");
    assert_eq!(left, [("theirs".to_owned(), "kept".to_owned())].into());
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
    stage.operator.plan(&[]).exits(0).says("it belongs to field manager `argocd-controller`, and is taken over");
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
