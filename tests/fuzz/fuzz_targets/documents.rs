//! The reader of documents answers every text.
#![no_main]

#[path = "../properties/documents.rs"]
mod documents;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| documents::is_answered(bytes));
