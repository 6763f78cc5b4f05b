//! The corpus of the wire's fuzz target, as it is and cut short, runs as an ordinary test.

#[path = "../fuzz/properties/wire.rs"]
mod properties;

use std::path::Path;

fn corpus() -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus/wire");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut corpus: Vec<_> = files
        .map(|file| (file.file_stem().unwrap().to_string_lossy().into_owned(), std::fs::read(&file).unwrap()))
        .collect();
    corpus.sort();
    corpus
}

#[test]
fn the_corpus_is_answered_whole_and_cut_short() {
    let corpus = corpus();
    assert!(corpus.len() >= 20, "every API has seeds");
    for (name, bytes) in corpus {
        let answer = properties::is_answered(&bytes).expect("a key of an API that the client uses");
        assert_eq!(answer.is_err(), name.starts_with("lie-"), "{name}: {answer:?}");
        for end in 0..bytes.len() {
            assert!(!matches!(properties::is_answered(&bytes[..end]), Some(Ok(()))), "{name} cut at {end}");
        }
    }
}
