//! What holds for the decoders of Kafka's answers, whatever the bytes; checked by the fuzz target, and on its corpus by the
//! suite. An input is an API key in two bytes and the body of an answer.

use kastellan::kafka::{Malformed, decode_answer};

/// The bytes are decoded or refused; nothing is reserved that they do not hold.
pub fn is_answered(bytes: &[u8]) -> Option<Result<(), Malformed>> {
    let (key, body) = bytes.split_first_chunk()?;
    decode_answer(i16::from_be_bytes(*key), body)
}
