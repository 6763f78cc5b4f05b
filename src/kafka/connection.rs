//! One connection to one broker: frames out, frames in.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead as _, AsyncReadExt as _, AsyncWriteExt as _, ReadBuf};
use tokio::time::{Instant, timeout_at};

use super::tls::{Tls, is_about_our_certificate, is_end};
use super::wire::{self, Answer, Answered};
use super::{KafkaError, boot_now};
use crate::host::{self, Close, Stream};
use crate::names::{BootInstant, HostPort};

/// How a connection is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    /// Many requests.
    Session,
    /// One login; closed by a reset, because thousands a second in the ordinary way would leave every local port waiting
    /// for a minute (TIME_WAIT). Brokers count neither way as a failed login.
    Probe,
}

/// One connection. Dropping it closes it, also in the middle of a request.
pub(super) struct Connection {
    stream: Box<dyn Stream>,
    server: HostPort,
    client_id: String,
    correlation_id: i32,
}

/// A request that failed, and whether it may have been executed.
#[derive(Debug)]
pub(super) struct CallError {
    pub(super) error: KafkaError,
    pub(super) sent: Sent,
}

/// How far a failed request got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sent {
    /// Nothing of it left this process.
    Nothing,
    /// Nothing left this process, because its permit had run out.
    PermitExpired,
    /// Some or all of it left; it may have been executed, or may be yet.
    Perhaps,
}

impl CallError {
    pub(super) const fn unsent(error: KafkaError) -> Self {
        Self { error, sent: Sent::Nothing }
    }

    const fn perhaps(error: KafkaError) -> Self {
        Self { error, sent: Sent::Perhaps }
    }
}

impl Connection {
    /// Connects, with TLS where `tls` is given.
    pub(super) async fn open(
        server: &HostPort,
        tls: Option<&Tls>,
        client_id: &str,
        purpose: Use,
        deadline: Duration,
    ) -> Result<Self, KafkaError> {
        let until = Instant::now() + deadline;
        let silent = |step| KafkaError::Silent { server: server.clone(), step, after: deadline };
        let close = match purpose {
            Use::Session => Close::Orderly,
            Use::Probe => Close::Reset,
        };
        let tcp = timeout_at(until, host::connect(server, close))
            .await
            .map_err(|_| silent("the connection"))?
            .map_err(|source| KafkaError::Unreachable { server: server.clone(), source })?;
        let stream: Box<dyn Stream> = match tls {
            None => tcp,
            Some(tls) => {
                let session = timeout_at(until, tls.handshake(server, tcp)).await;
                Box::new(session.map_err(|_| silent("the TLS handshake"))??)
            }
        };
        Ok(Self { stream, server: server.clone(), client_id: client_id.to_owned(), correlation_id: 0 })
    }

    pub(super) fn server(&self) -> &HostPort {
        &self.server
    }

    /// Sends one request and reads its answer.
    pub(super) async fn call<A: Answer>(
        &mut self,
        request: &A::Request,
        deadline: Duration,
    ) -> Result<Answered<A>, CallError> {
        self.call_before::<A>(request, deadline, None).await
    }

    /// Sends one request, but only before `not_after`, which is looked at right before the bytes are written (R1), and
    /// reads its answer. What is not written when it passes is not written at all.
    pub(super) async fn call_before<A: Answer>(
        &mut self,
        request: &A::Request,
        deadline: Duration,
        not_after: Option<BootInstant>,
    ) -> Result<Answered<A>, CallError> {
        let until = Instant::now() + deadline;
        let correlation_id = self.next_correlation_id();
        let frame = wire::encode::<A>(request, correlation_id, &self.client_id)
            .map_err(|wire::NotEncodable| CallError::unsent(KafkaError::NotEncodable { api: A::NAME }))?;
        let server = self.server.clone();
        let silent = || KafkaError::Silent { server: server.clone(), step: A::NAME, after: deadline };
        let mut write_until = until;
        if let Some(not_after) = not_after {
            let left = not_after.since(boot_now());
            if left.is_zero() {
                return Err(CallError { error: silent(), sent: Sent::PermitExpired });
            }
            write_until = until.min(Instant::now() + left);
        }
        match timeout_at(write_until, self.write(&frame)).await {
            Err(_) => return Err(CallError::perhaps(silent())),
            Ok(Err(error)) => return Err(CallError::perhaps(self.explain(A::NAME, error))),
            Ok(Ok(())) => {}
        }
        drop(frame);
        match timeout_at(until, self.receive::<A>(correlation_id)).await {
            Err(_) => Err(CallError::perhaps(silent())),
            Ok(answered) => answered.map_err(CallError::perhaps),
        }
    }

    /// Encodes a request for a batch that is written at once; its answer is read by [`Connection::receive`] with the
    /// returned correlation id.
    pub(super) fn prepare<A: Answer>(
        &mut self,
        request: &A::Request,
    ) -> Result<(i32, zeroize::Zeroizing<Vec<u8>>), KafkaError> {
        let correlation_id = self.next_correlation_id();
        let frame = wire::encode::<A>(request, correlation_id, &self.client_id)
            .map_err(|wire::NotEncodable| KafkaError::NotEncodable { api: A::NAME })?;
        Ok((correlation_id, frame))
    }

    /// Writes bytes that [`Connection::prepare`] made.
    pub(super) async fn send(&mut self, step: &'static str, frames: &[u8]) -> Result<(), KafkaError> {
        self.write(frames).await.map_err(|error| self.explain(step, error))
    }

    /// Reads one answer.
    pub(super) async fn receive<A: Answer>(&mut self, correlation_id: i32) -> Result<Answered<A>, KafkaError> {
        let frame = self.read_frame(A::NAME, A::BYTES_MAX).await?;
        wire::decode::<A>(&frame, correlation_id).map_err(|source| KafkaError::Malformed {
            server: self.server.clone(),
            step: A::NAME,
            source,
        })
    }

    /// Whether the connection is still open and silent, as it must be between requests.
    pub(super) fn is_idle(&mut self) -> bool {
        let mut byte = [0];
        let mut buffer = ReadBuf::new(&mut byte);
        let mut context = Context::from_waker(std::task::Waker::noop());
        matches!(Pin::new(&mut self.stream).poll_read(&mut context, &mut buffer), Poll::Pending)
    }

    fn next_correlation_id(&mut self) -> i32 {
        self.correlation_id = self.correlation_id.wrapping_add(1);
        self.correlation_id
    }

    async fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.stream.write_all(bytes).await?;
        self.stream.flush().await
    }

    async fn read_frame(&mut self, step: &'static str, max: usize) -> Result<Vec<u8>, KafkaError> {
        let mut head = [0; 4];
        self.stream.read_exact(&mut head).await.map_err(|error| self.explain(step, error))?;
        // A TLS alert record begins with 21, 3: the listener has seen that we do not speak TLS.
        if head[..2] == [21, 3] {
            return Err(KafkaError::TlsExpected { server: self.server.clone() });
        }
        let bytes = u32::from_be_bytes(head);
        let length = bytes as usize;
        if length > max {
            return Err(KafkaError::TooLarge { server: self.server.clone(), step, bytes, max });
        }
        // The buffer grows with what arrives, not with what was announced.
        let mut frame = Vec::new();
        let mut limited = (&mut self.stream).take(u64::from(bytes));
        limited.read_to_end(&mut frame).await.map_err(|error| self.explain(step, error))?;
        if frame.len() < length {
            return Err(KafkaError::Closed { server: self.server.clone(), step });
        }
        Ok(frame)
    }

    fn explain(&self, step: &'static str, error: std::io::Error) -> KafkaError {
        let server = self.server.clone();
        if let Some(rustls::Error::AlertReceived(alert)) =
            error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>())
            && is_about_our_certificate(*alert)
        {
            return KafkaError::ClientCertificate { server };
        }
        if is_end(&error) {
            KafkaError::Closed { server, step }
        } else {
            KafkaError::Broken { server, step, source: error }
        }
    }
}
