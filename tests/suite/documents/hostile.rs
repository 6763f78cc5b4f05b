//! Texts made to exhaust, confuse or deceive a reader: each ends in a clear finding or is read for what it is.
//!
//! None is timed; one that escaped its bound would take minutes or all memory.

use super::{accepted, refused, shown, text};
use kastellan::diagnostic::Findings;
use kastellan::spec::FILE_BYTES_MAX;

const HEAD: &str = "apiVersion: kastellan.io/v1alpha1\nkind: KafkaUser\n";

const STORE: &str = "apiVersion: kastellan.io/v1alpha1\nkind: CredentialStore\nmetadata: {name: local}\nspec: {age: {directory: store}}\n";

/// The findings about one text that must be refused, and that there are as many as a person reads.
fn findings(bytes: impl Into<Vec<u8>>) -> Findings {
    let findings = refused(&[text("hostile.yaml", bytes)]);
    assert!(findings.0.len() <= 1001, "{}", findings.0.len());
    for finding in &findings.0 {
        assert!(finding.message.len() < 1000, "{}", finding.message.len());
        assert!(finding.snippet.as_ref().is_none_or(|snippet| snippet.text.len() < 1000));
    }
    findings
}

/// The codes of the findings about one text.
fn codes(bytes: impl Into<Vec<u8>>) -> Vec<&'static str> {
    let mut codes: Vec<_> = findings(bytes).0.iter().map(|finding| finding.code).collect();
    codes.dedup();
    codes
}

/// A text as long as the longest file that is read.
fn filled(start: &str, piece: &str, end: &str) -> String {
    let count = (FILE_BYTES_MAX - start.len() - end.len()) / piece.len();
    format!("{start}{}{end}", piece.repeat(count))
}

#[test]
fn aliases_that_explode_end_at_a_bound() {
    let mut doubling = format!("{HEAD}a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..40 {
        let before = level - 1;
        doubling += &format!("a{level}: &a{level} [*a{before}, *a{before}, *a{before}, *a{before}]\n");
    }
    assert_eq!(codes(doubling), ["yaml-limit"]);

    let long = format!("{HEAD}a: &a [{}]\nb: [{}]\n", "x, ".repeat(20_000), "*a, ".repeat(20_000));
    assert_eq!(codes(long), ["yaml-limit"]);

    let text = format!("{HEAD}a: &a \"\\x41{}\"\nb: [{}]\n", "x".repeat(1_000_000), "*a, ".repeat(200_000));
    assert_eq!(codes(text), ["yaml-limit"]);

    let mut deep = format!("{HEAD}a0: &a0 x\n");
    for level in 1..400 {
        deep += &format!("a{level}: &a{level} [[[*a{}]]]\n", level - 1);
    }
    assert_eq!(codes(deep), ["yaml-limit"]);

    let nested = format!("{HEAD}a: {}x{}\n", (0..50).map(|n| format!("&n{n} [")).collect::<String>(), "]".repeat(50));
    assert!(codes(nested).contains(&"unknown-field"));
}

#[test]
fn deep_nesting_ends_at_a_bound() {
    for text in [
        "[".repeat(FILE_BYTES_MAX),
        "{a: ".repeat(500_000),
        "- ".repeat(500_000),
        "? ".repeat(500_000),
        (0..2_000).map(|level| format!("{}a:\n", " ".repeat(level))).collect(),
    ] {
        let codes = codes(text.clone());
        assert!(matches!(codes[..], ["yaml-limit" | "yaml-syntax" | "yaml-key"]), "{codes:?} for {:.20}", text);
    }
}

#[test]
fn files_of_ten_megabytes_are_read_or_refused() {
    assert_eq!(codes(filled("", "#", "")), ["no-documents"]);
    assert_eq!(codes("---\n".repeat(100_000)), ["no-documents"]);
    assert_eq!(codes(filled(HEAD, "x", "")), ["yaml-syntax"]);
    assert_eq!(codes(filled("", "x", "")), ["wrong-type"]);
    assert_eq!(codes(format!("[{}]", "a,".repeat(400_000))), ["yaml-limit"]);
    assert_eq!(codes("&a x\n---\n".repeat(100_000)), ["wrong-type", "more-findings"]);
    assert_eq!(codes("a: [\n---\n".repeat(100_000)), ["yaml-syntax", "more-findings"]);
    let long_name = findings(filled(&format!("{HEAD}metadata: {{name: a}}\nspec: {{clusters: ["), "x", "]}"));
    assert_eq!(long_name.0.iter().filter(|finding| finding.code == "wrong-value").count(), 1);
    let fields: String = (0..100_000).map(|number| format!("field{number}: 1, ")).collect();
    assert!(codes(format!("{HEAD}spec: {{{fields}}}\n")).contains(&"more-findings"));
    let repeated = findings(filled(&format!("{HEAD}metadata: {{name: a}}\nspec: {{"), "'\\': 1, ", "}"));
    assert!(repeated.0.iter().any(|finding| finding.code == "yaml-limit"));
}

#[test]
fn larger_files_are_refused_unread() {
    let findings = findings(vec![b' '; FILE_BYTES_MAX + 1]);
    assert_eq!(
        shown(&findings),
        "error: 10485761 bytes long; at most 10485760 are read from one file\n --> hostile.yaml:1:1\n  = help: split it\n"
    );
}

#[test]
fn a_file_that_is_not_utf8_says_where() {
    let mut bytes = format!("{STORE}# Müller\n").into_bytes();
    let length = bytes.len();
    bytes[length - 6] = 0xff;
    let latin = findings(bytes);
    let location = latin.0[0].location.as_ref().unwrap();
    assert_eq!((latin.0[0].code, location.line, location.column), ("not-utf8", 5, 4));

    let utf16: Vec<u8> = [0xff, 0xfe].into_iter().chain(STORE.encode_utf16().flat_map(u16::to_le_bytes)).collect();
    assert_eq!(findings(utf16).0[0].hint.as_deref(), Some("this looks like UTF-16; save it as UTF-8"));
}

#[test]
fn what_other_editors_write_is_read() {
    for written in [
        format!("\u{feff}{STORE}"),
        STORE.replace('\n', "\r\n"),
        format!("%YAML 1.2\n---\n{STORE}...\n"),
        format!("# a comment\n---\n---\n\n{STORE}---\n# the end\n"),
        STORE.replace("local", "\"lo\\u0063al\""),
        STORE.replace("{name: local}", "\n    # indented by four\n    name: >-\n        local"),
        STORE.replace("directory: store", "directory: !!str 123"),
        STORE.replace("metadata: {name: local}", "metadata: {name: &name local, labels: {name: *name}}"),
        STORE.replace(": ", ":  \t"),
    ] {
        let (documents, findings) = accepted(&[text("other.yaml", written)]);
        assert!(findings.0.is_empty());
        assert_eq!(documents.stores.keys().map(|name| name.as_str()).collect::<Vec<_>>(), ["local"]);
    }
}

#[test]
fn control_characters_do_not_reach_the_terminal() {
    let escape = "\u{1b}]0;owned\u{7}\u{202e}";
    let double = format!("{HEAD}metadata: {{\"na\\e]0;owned\\ame\": a}}\nspec: {{\"{escape}\": 1}}\n");
    for hostile in [double, format!("{HEAD}{escape}: 1\n"), format!("{HEAD}metadata: {{name: a\0b}}\nspec: {escape}\n")]
    {
        let shown = shown(&findings(hostile));
        let steers = |character: char| character.is_control() && character != '\n' || character == '\u{202e}';
        assert!(!shown.contains(steers), "{shown:?}");
    }
}
