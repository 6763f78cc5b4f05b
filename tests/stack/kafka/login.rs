//! A SCRAM login of the stack's own (RFC 5802), and what a client can do on the connection that it opens: the second opinion
//! on which credentials work, broker by broker.

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{ProduceRequest, SaslAuthenticateRequest, SaslHandshakeRequest, TopicName};
use kafka_protocol::protocol::StrBytes;
use kafka_protocol::records::{Compression, Record, RecordBatchEncoder, RecordEncodeOptions, TimestampType};
use kastellan::names::Mechanism;
use kastellan::secret::{Iterations, Salt, Secret, derive_keys};
use ring::hmac;

use super::wire::{Connection, check};
use super::{Cluster, Listener, random_bytes};
use crate::stack::StackError;

/// SASL_AUTHENTICATION_FAILED: what a broker answers to a name it does not know, and to a wrong proof.
const AUTHENTICATION_FAILED: i16 = 58;
/// Longest that a broker of the tests takes to append a record.
const PRODUCE_MS_MAX: i32 = 10_000;

/// How a login ended.
pub enum Login {
    /// It is in.
    Accepted(Session),
    /// The broker refused name or password, and counted that as a failed authentication.
    Refused,
}

/// A connection that is logged in.
pub struct Session {
    connection: Connection,
}

impl Cluster {
    /// Logs in by SCRAM on one node's plaintext listener for clients.
    ///
    /// # Errors
    /// When the broker does not answer, or not as RFC 5802 asks; a refusal is no error.
    pub fn log_in(
        &self,
        node: i32,
        mechanism: Mechanism,
        username: &str,
        password: &Secret,
    ) -> Result<Login, StackError> {
        let mut connection = Connection::open(self.address(Listener::Clients, node))?;
        let handshake = SaslHandshakeRequest::default().with_mechanism(StrBytes::from_static_str(mechanism.as_str()));
        check(|| "shake hands".into(), connection.call(1, &handshake)?.error_code, None)?;
        let nonce = BASE64.encode(random_bytes::<18>());
        let bare = format!("n={},r={nonce}", username.replace('=', "=3D").replace(',', "=2C"));
        let Some(first) = exchange(&mut connection, &format!("n,,{bare}"))? else { return Ok(Login::Refused) };
        let last = client_final(mechanism, password, &bare, &first)?;
        Ok(match exchange(&mut connection, &last)? {
            Some(_) => Login::Accepted(Session { connection }),
            None => Login::Refused,
        })
    }

    /// Node ids, in order.
    pub fn node_ids(&self) -> Vec<i32> {
        self.nodes.iter().map(|node| node.id).collect()
    }
}

impl Session {
    /// Produces one record to partition 0 of a topic; the broker's error code, 0 for success.
    ///
    /// # Errors
    /// When the connection is cut.
    pub fn produce(&mut self, topic: &str, value: &str) -> Result<i16, StackError> {
        let record = Record {
            transactional: false,
            control: false,
            delete_horizon: false,
            partition_leader_epoch: -1,
            producer_id: -1,
            producer_epoch: -1,
            timestamp_type: TimestampType::Creation,
            offset: 0,
            sequence: -1,
            timestamp: 0,
            key: None,
            value: Some(Bytes::copy_from_slice(value.as_bytes())),
            headers: Default::default(),
        };
        let mut batch = BytesMut::new();
        let options = RecordEncodeOptions { version: 2, compression: Compression::None };
        RecordBatchEncoder::encode(&mut batch, [&record], &options)
            .map_err(|error| StackError::Refused { what: "encode a record".into(), answer: error.to_string() })?;
        let partition = PartitionProduceData::default().with_index(0).with_records(Some(batch.freeze()));
        let topic = TopicProduceData::default()
            .with_name(TopicName(StrBytes::from_string(topic.to_owned())))
            .with_partition_data(vec![partition]);
        let request =
            ProduceRequest::default().with_acks(-1).with_timeout_ms(PRODUCE_MS_MAX).with_topic_data(vec![topic]);
        let answer = self.connection.call(9, &request)?;
        let codes = answer.responses.iter().flat_map(|topic| &topic.partition_responses);
        Ok(codes.map(|partition| partition.error_code).next().unwrap_or(-1))
    }
}

/// Sends one message of a login; the answer's text, or `None` where the broker refused.
fn exchange(connection: &mut Connection, message: &str) -> Result<Option<String>, StackError> {
    let request = SaslAuthenticateRequest::default().with_auth_bytes(Bytes::copy_from_slice(message.as_bytes()));
    let answer = connection.call(2, &request)?;
    if answer.error_code == AUTHENTICATION_FAILED {
        return Ok(None);
    }
    check(|| "log in".into(), answer.error_code, answer.error_message.as_ref())?;
    Ok(Some(String::from_utf8_lossy(&answer.auth_bytes).into_owned()))
}

/// `client-final-message` of RFC 5802 §7.
fn client_final(mechanism: Mechanism, password: &Secret, bare: &str, first: &str) -> Result<String, StackError> {
    let nonsense = || StackError::Refused { what: "log in".into(), answer: "its first message is no SCRAM".into() };
    let attribute = |name: &str| first.split(',').find_map(|part| part.strip_prefix(name)).ok_or_else(nonsense);
    let salt = BASE64.decode(attribute("s=")?).map_err(|_| nonsense())?;
    let count = attribute("i=")?.parse::<u32>().map_err(|_| nonsense())?;
    let iterations = Iterations::try_from(count).map_err(|_| nonsense())?;
    let keys = derive_keys(mechanism, password, &Salt::observed(salt), iterations);
    let without_proof = format!("c=biws,r={}", attribute("r=")?);
    let algorithm = match mechanism {
        Mechanism::ScramSha256 => hmac::HMAC_SHA256,
        Mechanism::ScramSha512 => hmac::HMAC_SHA512,
    };
    let stored = hmac::Key::new(algorithm, keys.stored_key.expose());
    let signature = hmac::sign(&stored, format!("{bare},{first},{without_proof}").as_bytes());
    let proof: Vec<u8> =
        keys.client_key.expose().iter().zip(signature.as_ref()).map(|(key, signed)| key ^ signed).collect();
    Ok(format!("{without_proof},p={}", BASE64.encode(proof)))
}
