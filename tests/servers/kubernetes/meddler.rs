//! Somebody between Kastellan and the API server: hands requests on, and may answer in its place, late, or not at all.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::stack::kubernetes::Kubernetes;
use crate::stack::pause;

/// Longer than Kastellan waits for an answer.
const SILENCE: Duration = Duration::from_secs(45);

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It is handed on, and so is its answer.
    Answered,
    /// It is not handed on; the answer has this status.
    Refused(u16),
    /// It is handed on and done, and the connection breaks before the answer.
    AnswerLost,
    /// It is handed on and done, and nothing ever comes back.
    Silence,
}

/// Says what becomes of a request, by its method and path.
type Rule = dyn FnMut(&str, &str) -> Fate + Send;

/// Listens on a port of its own, for as long as the process lives.
pub struct Meddler {
    address: SocketAddr,
    rule: Arc<Mutex<Box<Rule>>>,
}

impl Meddler {
    /// Between anybody and an API server; it hands everything on.
    pub fn of(kubernetes: &'static Kubernetes) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let rule: Arc<Mutex<Box<Rule>>> = Arc::new(Mutex::new(Box::new(|_, _| Fate::Answered)));
        let shared = rule.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let rule = shared.clone();
                std::thread::spawn(move || serve(kubernetes, &stream, &rule));
            }
        });
        Self { address, rule }
    }

    /// E.g. `http://127.0.0.1:4711`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Goes by this rule from now on.
    pub fn go_by(&self, rule: impl FnMut(&str, &str) -> Fate + Send + 'static) {
        *self.rule.lock().unwrap_or_else(PoisonError::into_inner) = Box::new(rule);
    }
}

/// One request; a connection carries no more.
fn serve(kubernetes: &Kubernetes, mut stream: &TcpStream, rule: &Mutex<Box<Rule>>) -> Option<()> {
    let request = read_request(stream)?;
    let (method, path) = (request.method().to_string(), request.uri().to_string());
    let fate = rule.lock().unwrap_or_else(PoisonError::into_inner)(&method, &path);
    let (status, body) = match fate {
        Fate::Refused(status) => {
            let reason = if status == 409 { "Conflict" } else { "" };
            let body = serde_json::json!({
                "kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": reason, "code": status,
            });
            (status, body.to_string().into_bytes())
        }
        Fate::Answered => kubernetes.hand_on(request),
        Fate::AnswerLost => {
            kubernetes.hand_on(request);
            return None;
        }
        Fate::Silence => {
            kubernetes.hand_on(request);
            pause(SILENCE);
            return None;
        }
    };
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status} \r\nContent-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body)).ok()
}

fn read_request(stream: &TcpStream) -> Option<http::Request<Vec<u8>>> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut words = line.split(' ');
    let mut request = http::Request::builder().method(words.next()?).uri(words.next()?);
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.parse().ok()?,
            "host" | "connection" => {}
            _ => request = request.header(name, value),
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    request.body(body).ok()
}
