//! Everything that needs real servers, started by `tests/stack`.

#[path = "../support/kafka_conformance.rs"]
mod kafka_conformance;
#[path = "../stack/mod.rs"]
mod stack;

mod age_program;
mod delivered_files;
mod kafka_client;
mod kafka_stack;
#[cfg(feature = "librdkafka")]
mod second_opinion;
