//! A small Kafka client of the stack's own: one plaintext connection, one request at a time, as the super user.
//!
//! It prepares what tests need (users, ACLs, topics, quotas), does what happens behind Kastellan's back, and tells what is
//! true on a broker. It shares no code with `src/kafka`, so that one can be checked against the other.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use bytes::{Buf as _, Bytes, BytesMut};
use kafka_protocol::messages::{RequestHeader, ResponseHeader};
use kafka_protocol::protocol::{Decodable as _, Encodable as _, HeaderVersion, Request, StrBytes};

use crate::stack::StackError;

/// A broker answers within its own request timeout of 30 s or not at all.
const PATIENCE: Duration = Duration::from_secs(30);
/// No answer to the stack's own requests comes near this; anything larger is not Kafka.
const FRAME_BYTES_MAX: usize = 64 << 20;

/// A connection to one broker's internal listener.
pub struct Connection {
    stream: TcpStream,
    correlation_id: i32,
}

impl Connection {
    /// Connects to `address`.
    pub fn open(address: SocketAddr) -> Result<Self, StackError> {
        let what = || StackError::io(format!("connect to {address}"));
        let stream = TcpStream::connect(address).map_err(what())?;
        stream.set_nodelay(true).map_err(what())?;
        stream.set_read_timeout(Some(PATIENCE)).map_err(what())?;
        Ok(Self { stream, correlation_id: 0 })
    }

    /// Sends a request in `version` and waits for its answer.
    pub fn call<R: Request>(&mut self, version: i16, request: &R) -> Result<R::Response, StackError> {
        self.correlation_id += 1;
        let what = || format!("answer request {} version {version}", R::KEY);
        let header = RequestHeader::default()
            .with_request_api_key(R::KEY)
            .with_request_api_version(version)
            .with_correlation_id(self.correlation_id)
            .with_client_id(Some(StrBytes::from_static_str("kastellan-test-stack")));
        let mut body = BytesMut::new();
        header
            .encode(&mut body, R::header_version(version))
            .and_then(|()| request.encode(&mut body, version))
            .map_err(|error| refused(what(), &error))?;
        let mut answer = self.exchange(&body).map_err(StackError::io(what()))?;
        let header = ResponseHeader::decode(&mut answer, R::Response::header_version(version))
            .map_err(|error| refused(what(), &error))?;
        if header.correlation_id != self.correlation_id {
            return Err(refused(what(), &"it answered another request"));
        }
        let response = R::Response::decode(&mut answer, version).map_err(|error| refused(what(), &error))?;
        if answer.has_remaining() {
            return Err(refused(what(), &"bytes are left over"));
        }
        Ok(response)
    }

    fn exchange(&mut self, body: &[u8]) -> std::io::Result<Bytes> {
        let length = u32::try_from(body.len()).map_err(std::io::Error::other)?;
        self.stream.write_all(&[&length.to_be_bytes(), body].concat())?;
        let mut length = [0; 4];
        self.stream.read_exact(&mut length)?;
        let length = usize::try_from(u32::from_be_bytes(length)).map_err(std::io::Error::other)?;
        if length > FRAME_BYTES_MAX {
            return Err(std::io::ErrorKind::InvalidData.into());
        }
        let mut answer = vec![0; length];
        self.stream.read_exact(&mut answer)?;
        Ok(Bytes::from(answer))
    }
}

/// Makes an error of an error code and Kafka's text; nothing if the code is 0.
pub fn check(what: impl FnOnce() -> String, code: i16, message: Option<&StrBytes>) -> Result<(), StackError> {
    match code {
        0 => Ok(()),
        _ => Err(StackError::Refused {
            what: what(),
            answer: format!("error {code} {}", message.map(StrBytes::as_str).unwrap_or_default()),
        }),
    }
}

fn refused(what: String, answer: &dyn std::fmt::Display) -> StackError {
    StackError::Refused { what, answer: answer.to_string() }
}
