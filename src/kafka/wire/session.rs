//! Answers of a session's beginning: versions, login, brokers.

use std::collections::{BTreeMap, BTreeSet};

use kafka_protocol::messages::{
    ApiVersionsRequest, DescribeClusterRequest, SaslAuthenticateRequest, SaslHandshakeRequest,
};

use super::{Answer, Answered, ErrorCode, Malformed, Reader, SMALL_ANSWER_BYTES_MAX};
use crate::names::{BrokerId, ClusterId, HostPort, Operation};

/// ApiVersions: which requests a broker knows, and how far its metadata image is.
#[derive(Debug)]
pub(crate) struct ApiVersions {
    /// Lowest and highest version by API key.
    pub(crate) ranges: BTreeMap<i16, (i16, i16)>,
    /// `finalized_features_epoch`: the offset of the metadata image that the broker has applied (KIP-584, `kafka.md` §3).
    pub(crate) epoch: Option<i64>,
}

impl Answer for ApiVersions {
    type Request = ApiVersionsRequest;
    const VERSION: i16 = 3;
    const NAME: &'static str = "ApiVersions";
    const BYTES_MAX: usize = SMALL_ANSWER_BYTES_MAX;

    fn decode(reader: &mut Reader<'_>) -> Result<Answered<Self>, Malformed> {
        let code = reader.code()?;
        let mut answer = Self { ranges: BTreeMap::new(), epoch: None };
        if code == ErrorCode::UNSUPPORTED_VERSION {
            reader.skip_rest(); // The body is of version 0 then (KIP-511).
            return Ok(Answered::new(0, code, answer));
        }
        reader.each(|reader| {
            let key = reader.i16()?;
            answer.ranges.insert(key, (reader.i16()?, reader.i16()?));
            reader.tagged_fields()
        })?;
        let throttle = reader.i32()?;
        reader.tagged_fields_with(|tag, mut field| {
            if tag == 1 {
                answer.epoch = Some(field.i64()?).filter(|&epoch| epoch >= 0);
            }
            Ok(())
        })?;
        Ok(Answered::new(throttle, code, answer))
    }
}

/// SaslHandshake.
#[derive(Debug)]
pub(crate) struct SaslShaken {
    /// Mechanisms of the listener.
    pub(crate) mechanisms: Vec<String>,
}

impl Answer for SaslShaken {
    type Request = SaslHandshakeRequest;
    const VERSION: i16 = 1;
    const NAME: &'static str = "SaslHandshake";
    const BYTES_MAX: usize = SMALL_ANSWER_BYTES_MAX;

    fn decode(reader: &mut Reader<'_>) -> Result<Answered<Self>, Malformed> {
        let code = reader.code()?;
        let mechanisms = reader.old_texts()?.into_iter().map(str::to_owned).collect();
        Ok(Answered::new(0, code, Self { mechanisms }))
    }
}

/// SaslAuthenticate.
#[derive(Debug)]
pub(crate) struct SaslAuthenticated {
    /// The server's SASL message.
    pub(crate) message: Vec<u8>,
    /// How long the session may live; 0 for ever.
    pub(crate) session_lifetime_ms: i64,
}

impl Answer for SaslAuthenticated {
    type Request = SaslAuthenticateRequest;
    const VERSION: i16 = 2;
    const NAME: &'static str = "SaslAuthenticate";
    const BYTES_MAX: usize = SMALL_ANSWER_BYTES_MAX;

    fn decode(reader: &mut Reader<'_>) -> Result<Answered<Self>, Malformed> {
        let code = reader.code()?;
        reader.nullable_text()?;
        let message = reader.bytes()?.to_vec();
        let session_lifetime_ms = reader.i64()?;
        reader.tagged_fields()?;
        Ok(Answered::new(0, code, Self { message, session_lifetime_ms }))
    }
}

/// DescribeCluster.
#[derive(Debug)]
pub(crate) struct DescribedCluster {
    /// The cluster's own id; empty when the request failed.
    pub(crate) id: Option<ClusterId>,
    /// Brokers by id, as the listener that was asked advertises them.
    pub(crate) brokers: BTreeMap<BrokerId, HostPort>,
    /// What the principal may do to the cluster; empty when it was not asked.
    pub(crate) operations: BTreeSet<Operation>,
}

impl Answer for DescribedCluster {
    type Request = DescribeClusterRequest;
    const VERSION: i16 = 0;
    const NAME: &'static str = "DescribeCluster";
    const BYTES_MAX: usize = SMALL_ANSWER_BYTES_MAX;

    fn decode(reader: &mut Reader<'_>) -> Result<Answered<Self>, Malformed> {
        let throttle = reader.i32()?;
        let code = reader.code()?;
        reader.nullable_text()?;
        let id = ClusterId::parse(reader.text()?).ok();
        reader.i32()?; // The controller id, which varies from call to call (`kafka.md` §1).
        let mut brokers = BTreeMap::new();
        reader.each(|reader| {
            let id = BrokerId(reader.i32()?);
            let (host, port) = (reader.text()?, reader.i32()?);
            reader.nullable_text()?;
            reader.tagged_fields()?;
            let port = u16::try_from(port).map_err(|_| Malformed("a port outside of 1 to 65535"))?;
            brokers.insert(id, HostPort { host: host.into(), port });
            Ok(())
        })?;
        let bits = reader.i32()?;
        reader.tagged_fields()?;
        Ok(Answered::new(throttle, code, Self { id, brokers, operations: operations_of(bits) }))
    }
}

/// DescribeCluster of a broker that tells also of brokers which are registered and not running (KIP-1073, Kafka 4.0).
#[derive(Debug, Default)]
pub struct RegisteredBrokers {
    /// Brokers that run.
    pub running: BTreeSet<BrokerId>,
    /// Brokers that do not run, or do not run yet.
    pub absent: BTreeSet<BrokerId>,
}

impl Answer for RegisteredBrokers {
    type Request = DescribeClusterRequest;
    const VERSION: i16 = 2;
    const NAME: &'static str = "DescribeCluster";
    const BYTES_MAX: usize = SMALL_ANSWER_BYTES_MAX;

    fn decode(reader: &mut Reader<'_>) -> Result<Answered<Self>, Malformed> {
        let throttle = reader.i32()?;
        let code = reader.code()?;
        reader.nullable_text()?;
        reader.i8()?; // Brokers were asked for, not controllers.
        reader.text()?;
        reader.i32()?;
        let mut brokers = Self::default();
        reader.each(|reader| {
            let id = BrokerId(reader.i32()?);
            reader.text()?;
            reader.i32()?;
            reader.nullable_text()?;
            let is_absent = reader.i8()? != 0;
            if is_absent { &mut brokers.absent } else { &mut brokers.running }.insert(id);
            reader.tagged_fields()
        })?;
        reader.i32()?;
        reader.tagged_fields()?;
        Ok(Answered::new(throttle, code, brokers))
    }
}

/// The operations of a bit field, in which bit n stands for the operation with code n; `i32::MIN` means not asked.
fn operations_of(bits: i32) -> BTreeSet<Operation> {
    if bits == i32::MIN {
        return BTreeSet::new();
    }
    Operation::ALL.iter().copied().filter(|operation| bits & (1 << operation.code()) != 0).collect()
}
