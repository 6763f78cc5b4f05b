//! Everything that needs real servers, started by `tests/stack`.

#[path = "../support/kafka_conformance.rs"]
mod kafka_conformance;
#[cfg(feature = "librdkafka")]
#[path = "../load/mod.rs"]
mod load;
#[path = "../support/namespace.rs"]
mod namespace;
#[path = "../support/operator.rs"]
mod operator;
#[path = "../stack/mod.rs"]
#[cfg_attr(not(feature = "librdkafka"), expect(dead_code, reason = "the run under load needs all kinds of clients"))]
mod stack;

#[path = "../support/store.rs"]
#[expect(dead_code, reason = "most of it makes stores that need no server")]
mod store;
#[path = "../support/store_conformance.rs"]
mod store_conformance;

mod access;
mod age_program;
mod bad_days;
mod by_hand;
mod canary;
mod changes;
mod clusters;
#[cfg(feature = "crash-points")]
mod crash_points;
mod delivered_files;
mod deliveries;
mod example;
mod import;
mod journey;
mod kafka_client;
mod kafka_forgets;
mod kafka_stack;
mod kubernetes;
mod ownership;
mod policies;
#[cfg(feature = "crash-points")]
mod rotation;
#[cfg(feature = "librdkafka")]
mod second_opinion;
#[cfg(feature = "crash-points")]
mod setting;
#[cfg(feature = "librdkafka")]
mod under_load;
mod vault;
