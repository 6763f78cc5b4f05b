//! The decoders of Kafka's answers answer every body.
#![no_main]

#[path = "../properties/wire.rs"]
mod wire;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = wire::is_answered(bytes);
});
