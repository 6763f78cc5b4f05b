//! Everything that needs real servers, started by `tests/stack`.

#[path = "../stack/mod.rs"]
mod stack;

mod delivered_files;
mod kafka_stack;
