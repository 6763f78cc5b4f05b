//! An API server in trouble, played by a function.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use http::{Request, Response};
use kube::client::Body;

use super::login::Logins;
use super::{Cluster, Condition, K8sError, Manifest, ObjectVersion, Refusal};
use crate::names::Segment;
use crate::secret::Secret;

/// One answer: status, `Retry-After`, body; `None` never comes.
type Answer = Option<(u16, Option<&'static str>, &'static str)>;

const FOUND: &str = r#"{"metadata": {"name": "a", "uid": "u", "resourceVersion": "7"}}"#;

/// A cluster that gives these answers one after another, the last one for ever; with the count of its requests.
fn cluster(answers: &'static [Answer]) -> (Cluster, Arc<AtomicU64>) {
    let next = Arc::new(AtomicUsize::new(0));
    let service = tower::service_fn(move |_: Request<Body>| {
        let answer = answers[next.fetch_add(1, Ordering::Relaxed).min(answers.len() - 1)];
        async move {
            let Some((status, retry_after, body)) = answer else { return std::future::pending().await };
            let mut response = Response::builder().status(status);
            if let Some(seconds) = retry_after {
                response = response.header("retry-after", seconds);
            }
            Ok::<_, std::io::Error>(response.body(Body::from(body.as_bytes().to_vec())).unwrap())
        }
    });
    let requests = Arc::new(AtomicU64::new(0));
    (Cluster::new(Logins::of(kube::Client::new(service, "default")), requests.clone()), requests)
}

fn manifest() -> Manifest {
    Manifest {
        namespace: Segment::parse("n").unwrap(),
        name: Segment::parse("a").unwrap(),
        kind: "Opaque",
        labels: BTreeMap::new(),
        annotations: [("kastellan.io/user".to_owned(), "a \"quoted\" name".to_owned())].into(),
        data: [("password".to_owned(), Secret::from_text("pa55".to_owned()))].into(),
    }
}

#[tokio::test(start_paused = true)]
async fn a_busy_server_is_asked_again_when_it_says() {
    let (cluster, requests) = cluster(&[
        Some((429, Some("7"), "")),
        Some((500, None, "")),
        Some((503, None, "<html>")),
        Some((200, None, FOUND)),
    ]);
    let began = tokio::time::Instant::now();
    let meta = cluster.apply(&manifest(), &Condition::Absent).await.unwrap();
    assert_eq!(meta.version, ObjectVersion { uid: "u".into(), resource_version: "7".into() });
    assert_eq!(requests.load(Ordering::Relaxed), 4);
    assert!(began.elapsed() >= Duration::from_secs(7));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_stays_busy_is_left_alone_after_a_few_attempts() {
    let (cluster, requests) = cluster(&[Some((503, Some("86400"), ""))]);
    let began = tokio::time::Instant::now();
    let error = cluster.apply(&manifest(), &Condition::Absent).await.unwrap_err();
    assert!(matches!(error, K8sError::Refused(Refusal::Busy { status: 503 })), "{error}");
    assert_eq!(requests.load(Ordering::Relaxed), 5);
    assert!(began.elapsed() <= Duration::from_secs(60), "it waits as long as a server likes");
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_not_asked_twice_and_silence_has_an_end() {
    let (refusing, requests) = cluster(&[Some((409, None, "{}"))]);
    let error = refusing.apply(&manifest(), &Condition::Absent).await.unwrap_err();
    assert!(matches!(error, K8sError::Refused(Refusal::Conflict)), "{error}");
    assert_eq!(requests.load(Ordering::Relaxed), 1);

    let (silent, _) = cluster(&[None]);
    let name = Segment::parse("a").unwrap();
    let error = silent.look(&name, &name).await.unwrap_err();
    assert!(matches!(error, K8sError::Silent { .. }), "{error}");

    let (babbling, _) = cluster(&[Some((200, None, r#"{"metadata": {"name": "c2VjcmV0"}}"#))]);
    let error = babbling.look(&name, &name).await.unwrap_err();
    assert_eq!(error.to_string(), "the Kubernetes API answered nonsense (status 200)");
}

#[test]
fn the_body_of_an_apply_is_conditional_and_whole() {
    let body: serde_json::Value = serde_json::from_slice(&manifest().body(Some("u"), "7")).unwrap();
    let expected = serde_json::json!({
        "apiVersion": "v1", "kind": "Secret", "type": "Opaque",
        "metadata": {
            "namespace": "n", "name": "a", "uid": "u", "resourceVersion": "7", "labels": {},
            "annotations": {"kastellan.io/user": "a \"quoted\" name"},
        },
        "data": {"password": "cGE1NQ=="},
    });
    assert_eq!(body, expected);
}

#[tokio::test(start_paused = true)]
async fn a_silent_server_is_waited_for_once_whoever_asks() {
    let (cluster, requests) = cluster(&[None]);
    let name = Segment::parse("a").unwrap();
    let began = tokio::time::Instant::now();
    let looks = (0..100).map(|_| cluster.look(&name, &name));
    for error in futures_util::future::join_all(looks).await.into_iter().map(Result::unwrap_err) {
        assert!(matches!(error, K8sError::Silent { .. }), "{error}");
    }
    assert_eq!(requests.load(Ordering::Relaxed), 16);
    let error = cluster.apply(&manifest(), &Condition::Absent).await.unwrap_err();
    assert!(matches!(error, K8sError::Silent { .. }), "{error}");
    assert!(began.elapsed() <= Duration::from_secs(11), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_server_that_falls_silent_is_waited_for_once() {
    const ONCE: Answer = Some((200, None, FOUND));
    let (cluster, _) = cluster(&[ONCE, ONCE, ONCE, ONCE, ONCE, ONCE, ONCE, ONCE, ONCE, ONCE, ONCE, ONCE, ONCE, None]);
    let name = Segment::parse("a").unwrap();
    let began = tokio::time::Instant::now();
    // They begin one after another, so that they would end one after another.
    let looks = (0..100).map(|index| {
        let (cluster, name) = (&cluster, &name);
        async move {
            tokio::time::sleep(Duration::from_millis(10 * index)).await;
            cluster.look(name, name).await
        }
    });
    let looked = futures_util::future::join_all(looks).await;
    assert_eq!(looked.iter().filter(|looked| looked.is_ok()).count(), 13);
    assert!(began.elapsed() <= Duration::from_secs(11), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn silence_about_one_request_is_no_silence_of_the_server() {
    let (cluster, _) = cluster(&[None, Some((200, None, FOUND))]);
    let name = Segment::parse("a").unwrap();
    let (silent, answered) = tokio::join!(cluster.look(&name, &name), cluster.look(&name, &name));
    assert!(matches!(silent, Err(K8sError::Silent { .. })) && answered.is_ok());
    assert!(cluster.look(&name, &name).await.is_ok());
}

#[tokio::test]
async fn a_cluster_is_known_by_its_id_or_not_at_all() {
    let (known, requests) = cluster(&[Some((200, None, FOUND))]);
    assert_eq!((known.id().await.unwrap(), known.id().await.unwrap()), (Some("u"), Some("u")));
    assert_eq!(requests.load(Ordering::Relaxed), 1);
    let (hidden, requests) = cluster(&[Some((403, None, "{}"))]);
    assert_eq!((hidden.id().await.unwrap(), hidden.id().await.unwrap()), (None, None));
    assert_eq!(requests.load(Ordering::Relaxed), 1);
    let (refusing, _) = cluster(&[Some((401, None, "{}"))]);
    assert!(refusing.id().await.is_err());
}
