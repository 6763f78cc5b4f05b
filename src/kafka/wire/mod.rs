//! Bytes on the wire: frames, requests by the crate's encoders, answers by checked decoders of our own.
//!
//! Every answer has one version, the newest that Kafka 3.9 and 4.x share, so that one decoder each is enough; `Pool`
//! checks by ApiVersions that a broker has it. A decoder never reserves memory by a length that the peer claims, and the
//! crate's own encoders are the oracle of the tests.

mod acls;
mod configs;
mod quotas;
mod reader;
mod scram;
mod session;
#[cfg(test)]
mod tests;

pub use acls::AclListing;
pub use reader::Malformed;
pub use session::RegisteredBrokers;

pub(crate) use acls::{CreatedAcls, ListedAcls, RemovedAcls};
pub(crate) use configs::{ConfigEntry, DescribedConfigs};
pub(crate) use quotas::{AlteredQuotas, DescribedQuotas, USER};
pub(crate) use reader::Reader;
pub(crate) use scram::{AlteredScram, DescribedScram, DescribedUser};
pub(crate) use session::{ApiVersions, DescribedCluster, SaslAuthenticated, SaslShaken};

use std::time::Duration;

use kafka_protocol::messages::RequestHeader;
use kafka_protocol::protocol::{Encodable, HeaderVersion, Request, StrBytes};
use zeroize::Zeroizing;

use super::ErrorCode;
use crate::names::Operation;

/// Largest answer during a login, and of requests that name what they ask for: generous, and far from hurting.
pub(crate) const SMALL_ANSWER_BYTES_MAX: usize = 1024 * 1024;
/// Largest answer about up to a thousand named things with names of up to 1 KiB.
pub(crate) const BATCH_ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Largest answer that lists everything: a million ACLs with names of ordinary length.
pub(crate) const LISTING_BYTES_MAX: usize = 64 * 1024 * 1024;

/// The right on the cluster that a request needs, for the error that names it when it is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Right {
    pub(crate) operation: Operation,
    pub(crate) needed_for: &'static str,
}

/// Whether a request changes something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It reads.
    Read,
    /// It writes.
    Write,
}

/// One API in one version: the request that the crate encodes, and how its answer is decoded.
pub(crate) trait Answer: Sized {
    type Request: Request;
    const VERSION: i16;
    const NAME: &'static str;
    const BYTES_MAX: usize;
    const RIGHT: Option<Right> = None;
    const KIND: Kind = Kind::Read;

    /// Decodes the body, up to and with its last tagged fields.
    fn decode(reader: &mut Reader<'_>) -> Result<Answered<Self>, Malformed>;
}

/// An answer with what many answers have in common.
#[derive(Debug)]
pub(crate) struct Answered<A> {
    /// How long the broker asks to wait before the next request.
    pub(crate) throttle: Duration,
    /// Error of the whole request; success where the API has only errors per item.
    pub(crate) code: ErrorCode,
    pub(crate) body: A,
}

impl<A> Answered<A> {
    fn new(throttle_time_ms: i32, code: ErrorCode, body: A) -> Self {
        let throttle = Duration::from_millis(u64::try_from(throttle_time_ms).unwrap_or(0));
        Self { throttle, code, body }
    }
}

/// A request could not be encoded, for instance because a name is longer than the wire allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NotEncodable;

/// Encodes a whole frame: length, header, body. The buffer has its final size from the beginning, so that no copy of a
/// secret stays behind in memory that was given back; it is wiped when dropped.
pub(crate) fn encode<A: Answer>(
    request: &A::Request,
    correlation_id: i32,
    client_id: &str,
) -> Result<Zeroizing<Vec<u8>>, NotEncodable> {
    let header = RequestHeader::default()
        .with_request_api_key(<A::Request as Request>::KEY)
        .with_request_api_version(A::VERSION)
        .with_correlation_id(correlation_id)
        .with_client_id(Some(StrBytes::from_string(client_id.to_owned())));
    let header_version = <A::Request as HeaderVersion>::header_version(A::VERSION);
    let header_bytes = header.compute_size(header_version).map_err(|_| NotEncodable)?;
    let body_bytes = request.compute_size(A::VERSION).map_err(|_| NotEncodable)?;
    let length = i32::try_from(header_bytes + body_bytes).map_err(|_| NotEncodable)?;
    let mut frame = Zeroizing::new(Vec::with_capacity(4 + header_bytes + body_bytes));
    frame.extend_from_slice(&length.to_be_bytes());
    header.encode(&mut *frame, header_version).map_err(|_| NotEncodable)?;
    request.encode(&mut *frame, A::VERSION).map_err(|_| NotEncodable)?;
    Ok(frame)
}

/// Decodes a frame without its length.
pub(crate) fn decode<A: Answer>(frame: &[u8], correlation_id: i32) -> Result<Answered<A>, Malformed> {
    let mut reader = Reader::new(frame);
    if reader.i32()? != correlation_id {
        return Err(Malformed("an answer to another request"));
    }
    type Response<A> = <<A as Answer>::Request as Request>::Response;
    if <Response<A> as HeaderVersion>::header_version(A::VERSION) >= 1 {
        reader.tagged_fields()?;
    }
    decode_body(reader)
}

fn decode_body<A: Answer>(mut reader: Reader<'_>) -> Result<Answered<A>, Malformed> {
    let answered = A::decode(&mut reader)?;
    reader.finish()?;
    Ok(answered)
}

/// Decodes the body of an answer of the API with this key, in the version that the client speaks, and forgets it: the
/// front door of fuzzing. `None` when the client does not use that API.
pub fn decode_answer(api_key: i16, body: &[u8]) -> Option<Result<(), Malformed>> {
    fn try_as<A: Answer>(api_key: i16, body: &[u8]) -> Option<Result<(), Malformed>> {
        (api_key == <A::Request as Request>::KEY).then(|| decode_body::<A>(Reader::new(body)).map(drop))
    }
    try_as::<ApiVersions>(api_key, body)
        .or_else(|| try_as::<SaslShaken>(api_key, body))
        .or_else(|| try_as::<SaslAuthenticated>(api_key, body))
        .or_else(|| try_as::<DescribedCluster>(api_key, body))
        .or_else(|| try_as::<DescribedConfigs>(api_key, body))
        .or_else(|| try_as::<DescribedScram>(api_key, body))
        .or_else(|| try_as::<AlteredScram>(api_key, body))
        .or_else(|| try_as::<ListedAcls>(api_key, body))
        .or_else(|| try_as::<CreatedAcls>(api_key, body))
        .or_else(|| try_as::<RemovedAcls>(api_key, body))
        .or_else(|| try_as::<DescribedQuotas>(api_key, body))
        .or_else(|| try_as::<AlteredQuotas>(api_key, body))
}
