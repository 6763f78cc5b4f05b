//! What a real Vault cannot be made to do: the client meets answers that are written down here.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use kastellan::diagnostic::Disposition;
use kastellan::names::Segment;
use kastellan::vault::{KvPath, LoginSettings, Read, Vault, VaultError, VaultSettings};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

/// What becomes of one request.
enum Reply {
    /// Status, more headers, body.
    Answer(u16, &'static str, String),
    /// The connection is closed once the request was read.
    Silence,
}

/// A server that answers as it is told, and the client under test.
struct Stub {
    vault: Vault,
    requests: Arc<Mutex<Vec<String>>>,
    _token: tempfile::NamedTempFile,
}

impl Stub {
    async fn answering(replies: impl IntoIterator<Item = Reply>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let (mut replies, requests) = (VecDeque::from_iter(replies), Arc::new(Mutex::new(Vec::new())));
        let seen = requests.clone();
        tokio::spawn(async move {
            while let Some(reply) = replies.pop_front() {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = Vec::new();
                let mut buffer = [0; 4096];
                while !is_whole(&request) {
                    let read = stream.read(&mut buffer).await.unwrap();
                    assert!(read > 0, "the client hung up");
                    request.extend_from_slice(&buffer[..read]);
                }
                seen.lock().unwrap().push(String::from_utf8(request).unwrap());
                if let Reply::Answer(status, headers, body) = reply {
                    let length = body.len();
                    let answer = format!(
                        "HTTP/1.1 {status} X\r\nConnection: close\r\n{headers}Content-Length: {length}\r\n\r\n{body}"
                    );
                    stream.write_all(answer.as_bytes()).await.unwrap();
                }
            }
        });
        let token = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(token.path(), "a-token\n").unwrap();
        let settings = VaultSettings {
            address,
            namespace: Some("teams/payments".to_owned()),
            mount: vec![Segment::parse("kafka").unwrap()],
            ca_file: None,
            tls_server_name: None,
            login: LoginSettings::TokenFile(token.path().to_owned()),
        };
        Self { vault: Vault::new(settings).unwrap(), requests, _token: token }
    }

    fn count(&self) -> usize {
        self.requests.lock().unwrap().len()
    }

    fn request(&self, index: usize) -> String {
        self.requests.lock().unwrap()[index].clone()
    }
}

/// Whether head and body of a request are there.
fn is_whole(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request).to_lowercase();
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
    body.len() >= length.unwrap_or(0)
}

fn answer(status: u16, body: &str) -> Reply {
    Reply::Answer(status, "", body.to_owned())
}

fn found(version: u64, data: &str) -> Reply {
    let metadata = format!("{{\"version\":{version},\"deletion_time\":\"\",\"destroyed\":false}}");
    Reply::Answer(200, "", format!("{{\"data\":{{\"data\":{data},\"metadata\":{metadata}}}}}"))
}

fn written(version: u64) -> Reply {
    answer(200, &format!("{{\"data\":{{\"version\":{version}}}}}"))
}

const MISMATCH: &str = "{\"errors\":[\"check-and-set parameter did not match the current version\"]}";

fn path(text: &str) -> KvPath {
    KvPath::of(&text.split('/').map(|segment| Segment::parse(segment).unwrap()).collect::<Vec<_>>())
}

#[tokio::test]
async fn a_request_names_the_namespace_and_encodes_every_segment() {
    let stub = Stub::answering([found(1, "{\"a\":\"b\"}")]).await;
    let path = path("prod/two words/100%/a=b&c?d#e/%2F/Mu\u{308}ller");
    assert!(matches!(stub.vault.read(&path).await, Ok(Read::Found(_))));
    let request = stub.request(0);
    let line = "GET /v1/kafka/data/prod/two%20words/100%25/a=b&c%3Fd%23e/%252F/Mu%CC%88ller? HTTP/1.1\r\n";
    let line = if request.contains("ller? ") { line.to_owned() } else { line.replace("? H", " H") };
    assert!(request.starts_with(&line), "{request}");
    for header in ["x-vault-request: true", "x-vault-namespace: teams/payments", "x-vault-token: a-token"] {
        assert!(request.contains(header), "{request}");
    }
}

#[tokio::test]
async fn what_may_pass_is_asked_for_again_and_no_sooner_than_it_is_said() {
    let again = [412, 429, 472, 473, 500, 502].map(|status| answer(status, "{\"errors\":[\"later\"]}"));
    let slow = Reply::Answer(503, "Retry-After: 1\r\n", "{\"errors\":[\"busy\"]}".to_owned());
    let stub = Stub::answering(again.into_iter().chain([slow, found(1, "{}")])).await;
    let begun = Instant::now();
    assert!(matches!(stub.vault.read(&path("a")).await, Ok(Read::Found(_))));
    assert_eq!(stub.count(), 8);
    assert!(begun.elapsed() >= Duration::from_secs(1), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn what_is_refused_is_not_asked_for_again_and_its_body_is_nowhere() {
    let body = "{\"errors\":[\"the password is hunter2\"]}";
    for status in [400, 405, 413] {
        let stub = Stub::answering([answer(status, body), answer(status, body)]).await;
        let refused = stub.vault.read(&path("a")).await.map(drop).unwrap_err();
        assert_eq!(refused.to_string(), format!("Vault refused to read `kafka/data/a` (status {status})"));
        assert!(!format!("{refused:?}").contains("hunter2"));
        assert_eq!((stub.count(), refused.disposition()), (1, Disposition::Stall));
    }
    let stub = Stub::answering([answer(307, "")]).await;
    assert!(matches!(stub.vault.read(&path("a")).await, Err(VaultError::Redirected { .. })));
    let stub = Stub::answering([answer(200, "{\"data\":{\"data\":\"hunter2\"")]).await;
    let malformed = stub.vault.read(&path("a")).await.map(drop).unwrap_err();
    assert!(matches!(malformed, VaultError::Malformed { .. }));
    assert!(!format!("{malformed:?} {malformed}").contains("hunter2"));
}

#[tokio::test]
async fn a_write_whose_answer_was_lost_is_recognised_as_ours() {
    let ours = "{\"rotation_id\":\"ours\",\"text\":\"<a>\"}";
    // Vault sorts and escapes in its own way.
    let as_vault_says = "{\"text\":\"\\u003ca\\u003e\",\"rotation_id\":\"ours\"}";
    let stub = Stub::answering([Reply::Silence, answer(400, MISMATCH), found(5, as_vault_says)]).await;
    assert_eq!(stub.vault.write(&path("a"), ours.as_bytes(), 4).await.unwrap(), 5);
    assert!(stub.request(0).ends_with(&format!("{{\"options\":{{\"cas\":4}},\"data\":{ours}}}")));

    let theirs = "{\"rotation_id\":\"theirs\",\"text\":\"<a>\"}";
    let stub = Stub::answering([Reply::Silence, answer(400, MISMATCH), found(5, theirs)]).await;
    assert!(matches!(stub.vault.write(&path("a"), ours.as_bytes(), 4).await, Err(VaultError::Conflict { .. })));
    let stub = Stub::answering([answer(400, MISMATCH)]).await;
    assert!(matches!(stub.vault.write(&path("a"), ours.as_bytes(), 4).await, Err(VaultError::Conflict { .. })));
    assert_eq!(stub.count(), 1, "nobody else's answer was lost");
}

#[tokio::test]
async fn a_read_is_never_older_than_what_we_wrote() {
    let stub = Stub::answering([written(3), found(2, "{}"), answer(404, "{\"errors\":[]}"), found(3, "{}")]).await;
    stub.vault.write(&path("a"), b"{}", 2).await.unwrap();
    assert!(matches!(stub.vault.read(&path("a")).await, Ok(Read::Found(stored)) if stored.version == 3));
    assert_eq!(stub.count(), 4);
}

#[tokio::test]
async fn the_ways_of_not_being_there_are_told_apart() {
    let gone = |destroyed: bool| {
        let body = format!(
            "{{\"data\":{{\"data\":null,\"metadata\":{{\"version\":7,\"deletion_time\":\"2026-01-01T00:00:00Z\",\"destroyed\":{destroyed}}}}}}}"
        );
        Reply::Answer(404, "", body)
    };
    let no_mount = answer(404, "{\"errors\":[\"no handler for route \\\"kafka/data/a\\\". route entry not found.\"]}");
    let stub = Stub::answering([answer(404, "{\"errors\":[]}"), gone(false), gone(true), no_mount]).await;
    assert!(matches!(stub.vault.read(&path("a")).await, Ok(Read::Absent)));
    assert!(matches!(stub.vault.read(&path("a")).await, Ok(Read::Gone { version: 7, is_destroyed: false })));
    assert!(matches!(stub.vault.read(&path("a")).await, Ok(Read::Gone { version: 7, is_destroyed: true })));
    assert!(matches!(stub.vault.read(&path("a")).await, Err(VaultError::NoMount { mount }) if mount == "kafka"));
}
