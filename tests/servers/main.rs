//! Everything that needs real servers, started by `tests/stack`.

#[path = "../support/kafka_conformance.rs"]
mod kafka_conformance;
#[path = "../support/operator.rs"]
mod operator;
#[path = "../stack/mod.rs"]
mod stack;

mod access;
mod age_program;
mod bad_days;
mod canary;
mod changes;
mod clusters;
#[cfg(feature = "crash-points")]
mod crash_points;
mod delivered_files;
mod deliveries;
mod journey;
mod kafka_client;
mod kafka_stack;
mod ownership;
mod policies;
#[cfg(feature = "librdkafka")]
mod second_opinion;
