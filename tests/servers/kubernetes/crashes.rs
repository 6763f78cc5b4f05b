//! `kill -9` before and after every effect that has to do with a Secret: the next apply finishes, by the same password.

use std::os::unix::process::ExitStatusExt as _;

use super::{Stage, name};
use crate::operator::Transport;
use crate::stack::KafkaVersion;

#[track_caller]
pub(super) fn dies(stage: &Stage, point: &str, arguments: &[&str]) {
    let output = stage.operator.command(arguments).env("KASTELLAN_CRASH_AT", point).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.signal(), Some(9), "it never came to {point}: {:?}\n{said}", output.status);
}

/// The mounted password is the one of the credential document, and there is nothing more to do.
#[track_caller]
fn assert_in_place(stage: &Stage, user: &str, secret: &str, point: &str) {
    let credential = stage.operator.credential(user);
    assert_eq!(credential["password"], stage.password(secret), "{point}");
    let annotations = &stage.secret(secret)["metadata"]["annotations"];
    assert_eq!(annotations["kastellan.io/rotation"], credential["rotation_id"], "{point}");
    let plan = stage.operator.plan(&[]).exits(0);
    assert!(plan.actions_of(user).is_empty() && plan.reports_of(user).is_empty(), "{point}: {plan}");
}

#[test]
fn a_secret_is_finished_after_a_crash_at_any_point_of_its_life() {
    let stage = Stage::new(KafkaVersion::V4_3_1, Transport::Plaintext);
    let rotation = ", rotation: {every: 30d, strategy: mechanism-flip, overlap: 1s}";
    let apply = ["apply", "--auto-approve"];
    for (index, point) in ["document", "deliver", "record-idle"].into_iter().enumerate() {
        for side in ["before", "after"] {
            let (user, point) = (name("crash"), format!("{side}:{point}"));
            let secret = format!("crash-{index}-{side}");
            stage.declare(&user, rotation, &[&format!("name: {secret}")]);
            dies(&stage, &point, &apply);
            stage.operator.apply(&[]).exits(0);
            assert_in_place(&stage, &user, &secret, &point);
        }
    }
    // A rotation that dies around its publication, and a deletion around its recall.
    for side in ["before", "after"] {
        let (user, secret) = (name("turn"), format!("turn-{side}"));
        stage.declare(&user, rotation, &[&format!("name: {secret}")]);
        stage.operator.apply(&[]).exits(0);
        let before = stage.password(&secret);
        let point = format!("{side}:deliver");
        dies(&stage, &point, &["rotate", &format!("tests/{user}"), "--auto-approve"]);
        stage.operator.apply(&[]).exits(0);
        assert_ne!(stage.password(&secret), before, "{point}");
        // The overlap is over before the plan is made.
        crate::stack::pause(std::time::Duration::from_secs(2));
        stage.operator.apply(&[]).exits(0);
        assert_in_place(&stage, &user, &secret, &point);

        stage.operator.remove(&user);
        dies(&stage, &format!("{side}:recall"), &["apply", "--auto-approve", "--prune"]);
        stage.operator.apply(&["--prune"]).exits(0);
        assert!(stage.kubernetes.secret(&stage.namespace, &secret).is_none(), "{side}:recall");
    }
}
