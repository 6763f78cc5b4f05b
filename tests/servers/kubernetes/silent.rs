//! An API server that takes connections and never answers costs its patience once, and holds nobody else up.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use serde_json::json;

use super::meddler::{Fate, Meddler};
use super::{Stage, name};
use crate::operator::Transport;
use crate::stack::{KafkaVersion, kubernetes};

/// More than are asked for side by side.
const MANY: usize = 40;

#[test]
fn a_cluster_that_is_silent_is_waited_for_once() {
    let mut stage = Stage::new(KafkaVersion::V4_3_1, Transport::Plaintext);
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let silent = listener.local_addr().unwrap();
    let user = name("answered");
    stage.declare(&user, "", &[&format!("name: {user}")]);
    let held = (0..MANY).map(|index| name(&format!("silent-{index}"))).collect::<Vec<_>>();
    for (index, held) in held.iter().enumerate() {
        // Each in a namespace of its own, so that nothing is one request.
        let delivery = format!("{{kubernetesSecret: {{name: app, namespace: n{index}, context: silent}}}}");
        let spec = format!("{{clusters: [kafka], authentication: {{type: scram}}, deliver: [{delivery}]}}");
        stage.operator.declare(held, &spec);
    }
    for scheme in ["https", "http"] {
        let url = format!("{scheme}://{silent}");
        let login = json!({"token": stage.token()});
        let here = stage.kubernetes.url();
        let both = stage.kubernetes.kubeconfig_of(&[("here", &here, login.clone()), ("silent", &url, login)]);
        stage.operator.set("KUBECONFIG", &both.display().to_string());
        let began = Instant::now();
        let applied = stage.operator.apply(&[]).exits(4);
        let took = began.elapsed();
        assert!(took < Duration::from_secs(20), "{scheme}: {took:?}");
        let reports = applied.reports_of(&held[MANY - 1]);
        let why = if scheme == "https" { "cannot be reached" } else { "did not answer within 10s" };
        assert!(reports.iter().any(|(_, text)| text.contains(why)), "{scheme}: {reports:?}");
        assert_eq!(stage.kubernetes.mounted(&stage.namespace, &user)["username"], user);
        assert!(applied.json()["traffic"]["kubernetesRequests"].as_u64().unwrap() < 10, "{applied}");
        stage.kubernetes.delete_secret(&stage.namespace, &user);
    }
}

#[test]
fn a_cluster_that_falls_silent_in_the_middle_is_waited_for_once() {
    let mut stage = Stage::new(KafkaVersion::V3_9_2, Transport::Plaintext);
    let meddler = Meddler::of(kubernetes::shared());
    let login = json!({"token": stage.token()});
    let (here, url) = (stage.kubernetes.url(), meddler.url());
    let both = stage.kubernetes.kubeconfig_of(&[("here", &here, login.clone()), ("falls", &url, login)]);
    stage.operator.set("KUBECONFIG", &both.display().to_string());
    stage.allow_everything(stage.kubernetes);
    let user = name("elsewhere");
    let fallen = (0..MANY).map(|index| name(&format!("falls-{index}"))).collect::<Vec<_>>();
    let all = fallen.iter().map(|name| (name, ", context: falls")).chain([(&user, "")]);
    for (name, context) in all {
        let delivery = format!("{{kubernetesSecret: {{name: {name}, namespace: {}{context}}}}}", stage.namespace);
        let spec = format!("{{clusters: [kafka], authentication: {{type: scram}}, deliver: [{delivery}]}}");
        stage.operator.declare(name, &spec);
    }
    meddler.go_by(|method, _| if method == "PATCH" { Fate::Silence } else { Fate::Answered });
    let began = Instant::now();
    let applied = stage.operator.apply(&[]).exits(4);
    let took = began.elapsed();
    // One change may take 30 seconds; sixteen are sent at once, and the others not at all.
    assert!(took < Duration::from_secs(45), "{took:?}");
    assert_eq!(stage.kubernetes.mounted(&stage.namespace, &user)["username"], user);
    let ended = applied.json()["ended"].as_array().unwrap().clone();
    let is_told = |ended: &serde_json::Value| ended["why"].as_str().unwrap().contains("did not answer within 30s");
    assert!(ended.len() == MANY && ended.iter().all(is_told), "{applied}");

    meddler.go_by(|_, _| Fate::Answered);
    stage.operator.apply(&[]).exits(0);
    stage.operator.assert_in_step();
    assert_eq!(stage.kubernetes.mounted(&stage.namespace, &fallen[0])["username"], fallen[0]);
}
