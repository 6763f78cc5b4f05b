//! Applications on librdkafka: a producer and a consumer each, replaced by new ones when the credential changes, and every
//! second or two in any case. librdkafka cannot change the mechanism of an instance that lives.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::error::{KafkaError as Failure, RDKafkaErrorCode as Code};
use rdkafka::message::{DeliveryResult, Message as _};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _, ProducerContext};

use super::{Cue, Held, LIFE_MS, LOOK, Loaded, PACE, Role};
use crate::load::applications::Application;
use crate::load::chance::Chance;
use crate::stack::StackError;

/// How long an instance that is replaced may take for the records that it still has.
const FLUSH: Duration = Duration::from_secs(1);
/// What librdkafka logs of a connection that has logged in.
const LOGGED_IN: [&str; 2] = ["AUTH_REQ -> UP", "REAUTH -> UP"];
/// librdkafka calls a connection that breaks before the broker has answered to the handshake an authentication that
/// failed; the broker refused nobody.
const NO_ANSWER: &str = "mechanism handshake failed: Local:";

/// One thread for each.
pub(super) fn start(roles: &[Arc<Role>], cue: &Arc<Cue>) -> Result<Vec<JoinHandle<()>>, StackError> {
    let start = |role: &Arc<Role>| {
        let (role, cue) = (role.clone(), cue.clone());
        let thread = std::thread::Builder::new().spawn(move || perform(&role, &cue));
        thread.map_err(|source| StackError::Io { what: "start a thread".into(), source })
    };
    roles.iter().map(start).collect()
}

fn perform(role: &Role, cue: &Cue) {
    let mut chance = Chance::of(0, &role.application.name);
    let sequence = AtomicU64::new(0);
    let mut loaded = Loaded::at_start(role);
    let mut instance = Instance::start(loaded.held.clone());
    let mut leaving = Vec::new();
    while cue.is_running() {
        let life = Duration::from_millis(LIFE_MS.0 + chance.below(LIFE_MS.1 - LIFE_MS.0));
        instance.live(Instant::now() + life, cue, &sequence, || loaded.refresh(role));
        // The new one is there before the old one goes, which may take its time.
        let old = std::mem::replace(&mut instance, Instance::start(loaded.held.clone()));
        leaving.retain(|thread: &JoinHandle<()>| !thread.is_finished());
        leaving.push(std::thread::spawn(move || old.finish()));
    }
    instance.finish();
    leaving.into_iter().for_each(|thread| thread.join().expect("it does not panic"));
}

/// A producer and a consumer with one credential.
struct Instance {
    held: Arc<Held>,
    producer: BaseProducer<News>,
    consumer: BaseConsumer<News>,
}

impl Instance {
    fn start(held: Arc<Held>) -> Self {
        let application = &held.application;
        let mut config = configuration(held.text());
        let news = || News(held.clone());
        let producer = config.create_with_context(news()).expect("a delivered file is a configuration");
        config
            .set("group.id", &application.name)
            .set("auto.offset.reset", "earliest")
            .set("auto.commit.interval.ms", "500")
            // Else what is read while the consumer is being closed, and seen by nobody, would count as read.
            .set("enable.auto.offset.store", "false")
            .set("session.timeout.ms", "6000");
        let consumer: BaseConsumer<News> =
            config.create_with_context(news()).expect("a delivered file is a configuration");
        consumer.subscribe(&[application.topic()]).expect("the name of a topic");
        Self { held, producer, consumer }
    }

    /// Produces and consumes until its time is over, or there is a new credential.
    fn live(&self, until: Instant, cue: &Cue, sequence: &AtomicU64, mut is_replaced: impl FnMut() -> bool) {
        let mut next_record = Instant::now();
        let mut next_look = next_record;
        while cue.is_running() && Instant::now() < until {
            let now = Instant::now();
            if now >= next_look {
                next_look = now + LOOK;
                if is_replaced() {
                    return;
                }
            }
            if cue.is_producing() && now >= next_record {
                next_record = now + PACE;
                let number = sequence.fetch_add(1, Ordering::Relaxed);
                let payload = number.to_string();
                let record = BaseRecord::with_opaque_to(self.held.application.topic(), Box::new(number));
                // One that does not fit into the queue is never acknowledged, and so not missed.
                let _queue_is_full = self.producer.send(record.key("").payload(&payload));
            }
            self.producer.poll(Duration::ZERO);
            self.read(Duration::from_millis(20));
        }
    }

    fn read(&self, patience: Duration) {
        match self.consumer.poll(patience) {
            Some(Ok(record)) => {
                let text = record.payload().and_then(|text| std::str::from_utf8(text).ok()).unwrap_or_default();
                self.held.application.tally.note_read(text.parse().expect("a record is a number"));
                // The partition may be somebody else's by now, who then reads the record again.
                let _taken_away = self.consumer.store_offset_from_message(&record);
            }
            Some(Err(failure)) => note_denial(&self.held.application, &failure),
            None => {}
        }
    }

    /// Hands over what it has, and goes.
    fn finish(self) {
        let _rest_is_not_acknowledged = self.producer.flush(FLUSH);
        // Its last words.
        self.producer.poll(Duration::ZERO);
        let Self { held, producer, consumer } = self;
        drop((producer, consumer));
        held.note_end();
    }
}

/// A delivered file as `kcat -F` reads it, and what an application adds.
fn configuration(text: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (key, value) = line.split_once('=').expect("key=value");
        config.set(key, value);
    }
    config
        .set("acks", "all")
        .set("enable.metrics.push", "false")
        .set("reconnect.backoff.max.ms", "1000")
        // The log is where it says that it has logged in.
        .set("debug", "broker")
        .set_log_level(RDKafkaLogLevel::Debug);
    config
}

/// Takes note of a failure if it is a right that is missing; others come and go with the brokers.
fn note_denial(application: &Application, failure: &Failure) {
    let denials = [Code::TopicAuthorizationFailed, Code::GroupAuthorizationFailed, Code::ClusterAuthorizationFailed];
    if let Some(code) = failure.rdkafka_error_code().filter(|code| denials.contains(code)) {
        application.tally.note_denial(&code.to_string());
    }
}

/// What a client tells outside of its answers.
struct News(Arc<Held>);

impl ClientContext for News {
    fn log(&self, _: RDKafkaLogLevel, _: &str, message: &str) {
        if LOGGED_IN.iter().any(|change| message.contains(change)) {
            self.0.application.tally.note_logins(1);
        }
    }

    fn stats_raw(&self, _: &[u8]) {}

    fn error(&self, error: Failure, reason: &str) {
        let is_refusal =
            matches!(error.rdkafka_error_code(), Some(Code::Authentication | Code::SaslAuthenticationFailed));
        if is_refusal && !reason.contains(NO_ANSWER) {
            self.0.note_refusal(reason);
        }
    }
}

impl ConsumerContext for News {}

impl ProducerContext for News {
    type DeliveryOpaque = Box<u64>;

    fn delivery(&self, result: &DeliveryResult<'_>, number: Box<u64>) {
        match result {
            Ok(_) => self.0.application.tally.note_acknowledged(*number),
            Err((failure, _)) => note_denial(&self.0.application, failure),
        }
    }
}
