//! The second opinion: a login, and one record there and back, through librdkafka.
//!
//! Our own SCRAM code makes the credential and proves it; a mistake it made the same way on both sides would go unseen.
//! librdkafka shares none of it.
//!
//! librdkafka keeps its configuration in memory of its own, which it wipes, and the crate keeps a copy that nobody wipes
//! until the memory is used again. So this is something a person asks for, not a part of a rotation.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::error::{KafkaError as Failure, RDKafkaErrorCode as Code};
use rdkafka::message::{DeliveryResult, Message as _};
use rdkafka::producer::{BaseProducer, BaseRecord, ProducerContext};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::credential::{Connection, LiveCredential};
use crate::render::certificates_of;

/// Key and value of the record that is sent. A key, because compacted topics refuse records without one.
const MARK: &str = "kastellan.io/verify";

/// librdkafka asks for a group even where partitions are assigned by hand; no offset is ever committed to it.
const GROUP: &str = "kastellan.io-verify";

/// How long one wait inside librdkafka lasts before its news are looked at.
const STEP: Duration = Duration::from_millis(200);

/// librdkafka counts a pause in microseconds of 32 bits: with one of 36 minutes or more it does not pause at all.
const BACKOFF_MAX: Duration = Duration::from_secs(1000);

/// The most of librdkafka's own words that a result repeats.
const REASON_CHARACTERS_MAX: usize = 200;

/// What librdkafka says of a published credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Opinion {
    /// It logged in.
    LoggedIn {
        /// Brokers of the cluster, as it learnt from the one it asked.
        brokers: usize,
        /// What became of the record.
        record: RecordTrip,
    },
    /// A broker refused the login.
    Refused,
    /// No broker could be asked in time.
    Unreachable {
        /// The last failure.
        why: String,
    },
    /// It does not take the configuration.
    Unusable {
        /// What it says of it, without the value.
        why: String,
    },
}

/// What became of one record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecordTrip {
    /// No topic was named.
    NotAsked,
    /// The topic does not exist, or the user may not see it.
    NoTopic,
    /// The user may not write to the topic; nothing was sent.
    MayNotWrite,
    /// It was written; the user may not read from the topic.
    MayNotRead,
    /// It was written, and came back as it was.
    Returned,
    /// It was written or read in vain.
    Failed {
        /// The failure.
        why: String,
    },
}

/// Asks librdkafka to log in with a published credential, and, if a topic is named, to write one small record to it and
/// read it back. Takes at most about `patience` for each of the three.
///
/// # Guarantees
/// At most one failed authentication for each bootstrap server. No topic is created and no offset committed. The
/// credential is in no log and in no result.
pub async fn second_opinion(
    credential: Arc<LiveCredential>,
    connection: Connection,
    topic: Option<String>,
    patience: Duration,
) -> Opinion {
    let asked = tokio::task::spawn_blocking(move || ask(&credential, &connection, topic.as_deref(), patience));
    asked.await.unwrap_or_else(|_| Opinion::Unusable { why: "the attempt was cut short".to_owned() })
}

fn ask(credential: &LiveCredential, connection: &Connection, topic: Option<&str>, patience: Duration) -> Opinion {
    let config = match configuration(credential, connection, patience) {
        Ok(config) => config,
        Err(why) => return Opinion::Unusable { why },
    };
    let news = News::default();
    let consumer: BaseConsumer<News> = match config.create_with_context(news.clone()) {
        Ok(consumer) => consumer,
        Err(failure) => return Opinion::Unusable { why: unusable(&failure) },
    };
    let deadline = Instant::now() + patience;
    loop {
        match consumer.fetch_metadata(topic, STEP) {
            Ok(metadata) => {
                let seen = |name: &str| {
                    let mut topics = metadata.topics().iter();
                    topics.any(|topic| topic.name() == name && topic.error().is_none())
                };
                let record = match topic {
                    None => RecordTrip::NotAsked,
                    Some(name) if !seen(name) => RecordTrip::NoTopic,
                    Some(name) => send_and_read(&config, &consumer, name, patience),
                };
                return Opinion::LoggedIn { brokers: metadata.brokers().len(), record };
            }
            Err(failure) => {
                // Delivers what happened meanwhile to `news`.
                drop(consumer.poll(Duration::ZERO));
                if news.refused() {
                    return Opinion::Refused;
                }
                if Instant::now() >= deadline {
                    return Opinion::Unreachable { why: news.reason().unwrap_or_else(|| reason(&failure)) };
                }
            }
        }
    }
}

fn configuration(
    credential: &LiveCredential,
    connection: &Connection,
    patience: Duration,
) -> Result<ClientConfig, String> {
    let password = credential.password.expose_text().ok_or("the password is not UTF-8 text")?;
    let patience_ms = patience.as_millis().to_string();
    let beyond_patience_ms = (2 * patience).min(BACKOFF_MAX).as_millis().to_string();
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", &connection.bootstrap_servers)
        .set("security.protocol", &connection.security_protocol)
        .set("sasl.mechanism", credential.mechanism.as_str())
        .set("sasl.username", credential.username.as_str())
        .set("sasl.password", password)
        // One attempt on each server: every further one with a wrong password is one more alarm on the brokers.
        .set("reconnect.backoff.ms", &beyond_patience_ms)
        .set("reconnect.backoff.max.ms", &beyond_patience_ms)
        .set("enable.metrics.push", "false")
        .set("client.id", "kastellan-second-opinion")
        .set("group.id", GROUP)
        .set("enable.auto.commit", "false")
        .set("message.timeout.ms", &patience_ms)
        .set_log_level(RDKafkaLogLevel::Emerg);
    if let Some(pem) = &connection.ca_pem {
        let certificates = certificates_of(pem).map_err(|error| error.to_string())?;
        config.set("ssl.ca.pem", format!("{certificates}\n"));
    }
    Ok(config)
}

fn send_and_read(config: &ClientConfig, consumer: &BaseConsumer<News>, topic: &str, patience: Duration) -> RecordTrip {
    let news = News::default();
    let producer: BaseProducer<News> = match config.create_with_context(news.clone()) {
        Ok(producer) => producer,
        Err(failure) => return RecordTrip::Failed { why: unusable(&failure) },
    };
    if let Err((failure, _)) = producer.send(BaseRecord::to(topic).key(MARK).payload(MARK)) {
        return RecordTrip::Failed { why: reason(&failure) };
    }
    // The message times out by itself; the rest is room for that news to arrive.
    let deadline = Instant::now() + patience + 5 * STEP;
    let written = loop {
        producer.poll(STEP);
        match news.written() {
            Some(written) => break written,
            None if Instant::now() >= deadline => return RecordTrip::Failed { why: "no answer in time".to_owned() },
            None => {}
        }
    };
    match written {
        Ok((partition, offset)) => read_back(consumer, topic, partition, offset, patience),
        Err(Failure::MessageProduction(Code::TopicAuthorizationFailed)) => RecordTrip::MayNotWrite,
        Err(failure) => RecordTrip::Failed { why: reason(&failure) },
    }
}

fn read_back(
    consumer: &BaseConsumer<News>,
    topic: &str,
    partition: i32,
    offset: i64,
    patience: Duration,
) -> RecordTrip {
    let mut place = TopicPartitionList::new();
    let assigned =
        place.add_partition_offset(topic, partition, Offset::Offset(offset)).and_then(|()| consumer.assign(&place));
    if let Err(failure) = assigned {
        return RecordTrip::Failed { why: reason(&failure) };
    }
    let deadline = Instant::now() + patience;
    let mut last = "it did not arrive in time".to_owned();
    while Instant::now() < deadline {
        match consumer.poll(STEP) {
            // Of the very record: its offset was asked for.
            Some(Ok(record)) if record.payload() == Some(MARK.as_bytes()) => return RecordTrip::Returned,
            Some(Ok(_)) => return RecordTrip::Failed { why: "another record stands at its place".to_owned() },
            Some(Err(Failure::MessageConsumption(Code::TopicAuthorizationFailed))) => return RecordTrip::MayNotRead,
            // The group need not be the user's: nothing is done with it.
            Some(Err(Failure::MessageConsumption(Code::GroupAuthorizationFailed))) | None => {}
            Some(Err(failure)) => last = reason(&failure),
        }
    }
    RecordTrip::Failed { why: last }
}

/// Where a written record stands: partition and offset.
type Written = Result<(i32, i64), Failure>;

/// What a client tells outside of its answers. Nothing of it is logged.
#[derive(Clone, Default)]
struct News(Arc<Mutex<Told>>);

#[derive(Default)]
struct Told {
    refused: bool,
    reason: Option<String>,
    written: Option<Written>,
}

impl News {
    fn with<T>(&self, look: impl FnOnce(&mut Told) -> T) -> T {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn refused(&self) -> bool {
        self.with(|told| told.refused)
    }

    fn reason(&self) -> Option<String> {
        self.with(|told| told.reason.clone())
    }

    fn written(&self) -> Option<Written> {
        self.with(|told| told.written.clone())
    }
}

impl ClientContext for News {
    fn log(&self, _: RDKafkaLogLevel, _: &str, _: &str) {}

    fn stats_raw(&self, _: &[u8]) {}

    fn error(&self, error: Failure, reason: &str) {
        self.with(|told| match error.rdkafka_error_code() {
            // Its reason may quote signatures of the login: left out.
            Some(Code::Authentication | Code::SaslAuthenticationFailed) => told.refused = true,
            // That all are down says less than why the last one was.
            Some(Code::AllBrokersDown) => {}
            Some(_) | None => told.reason = Some(cut(reason)),
        });
    }
}

impl ConsumerContext for News {}

impl ProducerContext for News {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        let written = match result {
            Ok(record) => Ok((record.partition(), record.offset())),
            Err((failure, _)) => Err(failure.clone()),
        };
        self.with(|told| told.written = Some(written));
    }
}

/// The meaning of a failure's code; its own text may be longer, and hold more.
fn reason(failure: &Failure) -> String {
    failure.rdkafka_error_code().map_or_else(|| "an error without a code".to_owned(), |code| cut(&code.to_string()))
}

/// What librdkafka has against a configuration. It may quote a value, so of settings that hold a secret only the name is
/// given.
fn unusable(failure: &Failure) -> String {
    match failure {
        Failure::ClientConfig(_, _, key, _) => format!("`{key}` is not accepted"),
        Failure::ClientCreation(text) => cut(text),
        other => reason(other),
    }
}

fn cut(text: &str) -> String {
    text.chars().filter(|character| !character.is_control()).take(REASON_CHARACTERS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::{Generation, Mechanism, RotationId, UserName};
    use crate::secret::Secret;

    const PASSWORD: &str = "pa55-canary";

    fn credential() -> Arc<LiveCredential> {
        Arc::new(LiveCredential {
            generation: Generation(1),
            rotation_id: RotationId::parse("abcdefghijklmnopqrstuvwxyz").unwrap(),
            published_at: jiff::Timestamp::UNIX_EPOCH,
            username: UserName::parse("payments").unwrap(),
            password: Secret::from_text(PASSWORD.into()),
            mechanism: Mechanism::ScramSha512,
            connections: vec![],
        })
    }

    fn connection(bootstrap_servers: &str, security_protocol: &str, ca_pem: Option<&str>) -> Connection {
        Connection {
            bootstrap_servers: bootstrap_servers.into(),
            security_protocol: security_protocol.into(),
            ca_pem: ca_pem.map(Arc::from),
        }
    }

    #[tokio::test]
    async fn a_broker_that_is_not_there_is_unreachable_within_patience() {
        // A port that was free a moment ago.
        let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let started = Instant::now();
        let connection = connection(&address, "SASL_PLAINTEXT", None);
        let opinion = second_opinion(credential(), connection, None, Duration::from_secs(1)).await;
        let Opinion::Unreachable { why } = &opinion else { panic!("{opinion:?}") };
        assert!(why.contains("refused") && !why.contains(PASSWORD), "{why}");
        assert!(started.elapsed() < Duration::from_secs(10));
    }

    #[tokio::test]
    async fn a_configuration_that_cannot_be_is_unusable() {
        let not_a_certificate = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";
        for connection in [
            connection("127.0.0.1:1", "SASL_CARRIER_PIGEON", None),
            connection("127.0.0.1:1", "SASL_SSL", Some("nothing")),
            connection("127.0.0.1:1", "SASL_SSL", Some(not_a_certificate)),
        ] {
            let opinion = second_opinion(credential(), connection, None, Duration::from_secs(1)).await;
            let Opinion::Unusable { why } = &opinion else { panic!("{opinion:?}") };
            assert!(!why.contains(PASSWORD), "{why}");
        }
    }
}
