//! Just enough HTTP to ask Vault something without the client that is tested.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

use crate::stack::StackError;

/// A Vault that does not answer for that long hangs.
const PATIENCE: Duration = Duration::from_secs(30);

/// What Vault answered.
#[derive(Debug)]
pub struct Answer {
    /// HTTP's.
    pub status: u16,
    /// `Null` if it was empty.
    pub body: Value,
}

impl Answer {
    /// The body of an answer that says that all went well.
    pub fn expect_success(self, what: &str) -> Result<Value, StackError> {
        if (200..300).contains(&self.status) {
            return Ok(self.body);
        }
        let answer = format!("{} {}", self.status, self.body["errors"]);
        Err(StackError::Refused { what: what.to_owned(), answer })
    }
}

/// Asks for `/v1/<path>`.
pub fn ask(
    address: SocketAddr,
    token: Option<&str>,
    method: &str,
    path: &str,
    body: Option<&Value>,
) -> Result<Answer, StackError> {
    ask_with(address, token, &[], method, path, body)
}

/// The same with headers of one's own.
pub fn ask_with(
    address: SocketAddr,
    token: Option<&str>,
    headers: &[(&str, &str)],
    method: &str,
    path: &str,
    body: Option<&Value>,
) -> Result<Answer, StackError> {
    let what = || StackError::io(format!("ask Vault for `{path}`"));
    let body = body.map(Value::to_string).unwrap_or_default();
    let mut head = format!(
        "{method} /v1/{path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Length: {}\r\n",
        body.len()
    );
    for (name, value) in token.map(|token| ("X-Vault-Token", token)).into_iter().chain(headers.iter().copied()) {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE).map_err(what())?;
    stream.set_read_timeout(Some(PATIENCE)).map_err(what())?;
    stream.write_all(format!("{head}\r\n{body}").as_bytes()).map_err(what())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).map_err(what())?;
    let malformed = || what()(std::io::ErrorKind::InvalidData.into());
    let text = String::from_utf8_lossy(&answer);
    let (head, body) = text.split_once("\r\n\r\n").ok_or_else(malformed)?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or_else(malformed)?;
    let is_chunked = head.to_ascii_lowercase().contains("transfer-encoding: chunked");
    let body = if is_chunked { unchunk(body).ok_or_else(malformed)? } else { body.to_owned() };
    let body =
        if body.trim().is_empty() { Value::Null } else { serde_json::from_str(&body).map_err(|_| malformed())? };
    Ok(Answer { status, body })
}

fn unchunk(mut rest: &str) -> Option<String> {
    let mut body = String::new();
    loop {
        let (size, tail) = rest.split_once("\r\n")?;
        let size = usize::from_str_radix(size.trim(), 16).ok()?;
        if size == 0 {
            return Some(body);
        }
        body.push_str(tail.get(..size)?);
        rest = tail.get(size..)?.strip_prefix("\r\n")?;
    }
}
