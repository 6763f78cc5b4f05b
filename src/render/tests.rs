use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::names::{ClusterName, Generation, Mechanism, RotationId};
use crate::spec::Owner;

const PEM: &str = "-----BEGIN CERTIFICATE-----\nMIIB\nAAA=\n-----END CERTIFICATE-----";

/// A reader of Java properties, written from the documentation of `java.util.Properties.load`, not from our writer.
fn load(file: &[u8]) -> Vec<(String, String)> {
    // ISO 8859-1: a byte is a character.
    let text: Vec<u16> = file.iter().map(|&byte| u16::from(byte)).collect();
    let is_blank = |unit: u16| matches!(unit, 0x20 | 0x09 | 0x0c);
    let is_end = |unit: u16| matches!(unit, 0x0a | 0x0d);
    let mut entries = Vec::new();
    for line in text.split(|&unit| is_end(unit)) {
        let start = line.iter().position(|&unit| !is_blank(unit)).unwrap_or(line.len());
        let line = &line[start..];
        if line.is_empty() || matches!(line[0], 0x23 | 0x21) {
            continue;
        }
        assert_eq!(line.iter().rev().take_while(|&&unit| unit == 0x5c).count() % 2, 0, "a continuation line");
        let (mut key, mut value, mut in_value, mut at) = (Vec::new(), Vec::new(), false, 0);
        while at < line.len() {
            let unit = line[at];
            at += 1;
            let into = if in_value { &mut value } else { &mut key };
            if unit == 0x5c {
                let escaped = line[at];
                at += 1;
                into.push(match escaped {
                    0x75 => {
                        let digits = String::from_utf16(&line[at..at + 4]).unwrap();
                        at += 4;
                        u16::from_str_radix(&digits, 16).unwrap()
                    }
                    0x6e => 0x0a,
                    0x72 => 0x0d,
                    0x74 => 0x09,
                    other => other,
                });
            } else if !in_value && (is_blank(unit) || matches!(unit, 0x3d | 0x3a)) {
                in_value = true;
                let mut separator = matches!(unit, 0x3d | 0x3a);
                while at < line.len() && (is_blank(line[at]) || (!separator && matches!(line[at], 0x3d | 0x3a))) {
                    separator |= !is_blank(line[at]);
                    at += 1;
                }
            } else {
                into.push(unit);
            }
        }
        entries.push((String::from_utf16(&key).unwrap(), String::from_utf16(&value).unwrap()));
    }
    entries
}

/// Reads the two quoted values of a JAAS text as `java.io.StreamTokenizer` does.
fn jaas_values(text: &str) -> (String, String) {
    let mut values = Vec::new();
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        if character != '"' {
            continue;
        }
        let mut value = String::new();
        loop {
            match characters.next().expect("a closing quote") {
                '"' => break,
                '\n' | '\r' => panic!("a line end closes the string"),
                '\\' => value.push(match characters.next().unwrap() {
                    'n' => '\n',
                    'r' => '\r',
                    plain @ ('\\' | '"') => plain,
                    other => panic!("unexpected escape {other:?}"),
                }),
                plain => value.push(plain),
            }
        }
        values.push(value);
    }
    assert_eq!(values.len(), 2, "{text}");
    let password = values.pop().unwrap();
    (values.pop().unwrap(), password)
}

/// A reader of librdkafka configurations: the steps of `kcat -F`.
fn read_librdkafka(file: &[u8]) -> Vec<(String, String)> {
    std::str::from_utf8(file)
        .unwrap()
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| line.replace("\\:", ":").replace("\\=", "="))
        .map(|line| line.split_once('=').map(|(key, value)| (key.to_owned(), value.trim().to_owned())).unwrap())
        .collect()
}

fn user() -> NamespacedName {
    "payments/payments".parse().unwrap()
}

fn credential(username: &str, password: &str) -> LiveCredential {
    LiveCredential {
        generation: Generation(7),
        rotation_id: RotationId::parse("abcdefghijklmnopqrstuvwxyz").unwrap(),
        published_at: jiff::Timestamp::UNIX_EPOCH,
        username: UserName::parse(username).unwrap(),
        password: Secret::from_text(password.to_owned()),
        mechanism: Mechanism::ScramSha512,
        connections: vec![(ClusterName::parse("prod").unwrap(), connection(None))],
    }
}

fn connection(ca_pem: Option<&str>) -> Connection {
    Connection {
        bootstrap_servers: "kafka-0:9094,kafka-1:9094".into(),
        security_protocol: if ca_pem.is_some() { "SASL_SSL" } else { "SASL_PLAINTEXT" }.into(),
        ca_pem: ca_pem.map(Arc::from),
    }
}

fn rendered(format: FileFormat, credential: &LiveCredential, ca_pem: Option<&str>) -> Result<Rendered, RenderError> {
    render(format, &user(), credential, &connection(ca_pem), Path::new("/etc/payments/client.conf"))
}

fn value<'a>(entries: &'a [(String, String)], key: &str) -> &'a str {
    &entries.iter().find(|(name, _)| name == key).unwrap_or_else(|| panic!("no {key}")).1
}

#[test]
fn jaas_text_of_plain_names_is_that_of_strimzi() {
    let text = jaas_text(&UserName::parse("payments").unwrap(), &Secret::from_text("pa55".into())).unwrap();
    assert_eq!(
        text.expose_text().unwrap(),
        r#"org.apache.kafka.common.security.scram.ScramLoginModule required username="payments" password="pa55";"#
    );
}

#[test]
fn a_connection_without_tls_has_no_truststore() {
    let file = rendered(FileFormat::Properties, &credential("payments", "pa55"), None).unwrap();
    let entries = load(file.main.expose());
    let keys: Vec<_> = entries.iter().map(|(key, _)| key.as_str()).collect();
    assert_eq!(keys, ["bootstrap.servers", "security.protocol", "sasl.mechanism", "sasl.jaas.config"]);
}

#[test]
fn certificates_stand_in_the_properties_and_beside_the_librdkafka_file() {
    let pem =
        format!("Bag Attributes\n-----BEGIN PRIVATE KEY-----\nKEY\n-----END PRIVATE KEY-----\r\n{PEM}\r\n\n{PEM}");
    let credential = credential("payments", "pa55");
    let properties = rendered(FileFormat::Properties, &credential, Some(&pem)).unwrap();
    let entries = load(properties.main.expose());
    assert_eq!(value(&entries, "ssl.truststore.type"), "PEM");
    assert_eq!(value(&entries, "ssl.truststore.certificates"), format!("{PEM}\n{PEM}"));
    assert!(properties.ca_file.is_none());

    let librdkafka = rendered(FileFormat::Librdkafka, &credential, Some(&pem)).unwrap();
    let entries = read_librdkafka(librdkafka.main.expose());
    assert_eq!(value(&entries, "ssl.ca.location"), "/etc/payments/client.conf.ca.pem");
    let ca_file = librdkafka.ca_file.unwrap();
    assert!(ca_file.ends_with(format!("{PEM}\n{PEM}\n").as_bytes()));
    assert_eq!(read_stamp(&ca_file), read_stamp(librdkafka.main.expose()));
}

#[test]
fn a_ca_without_a_certificate_is_refused() {
    for pem in ["", "-----BEGIN CERTIFICATE-----\nMIIB", "-----BEGIN PRIVATE KEY-----\nA\n-----END PRIVATE KEY-----"] {
        assert_eq!(certificates_of(pem), Err(RenderError::NoCertificate), "{pem}");
    }
}

#[test]
fn librdkafka_refuses_what_its_readers_would_change() {
    for (username, reason) in [
        (" payments", Uncarriable::OuterSpace),
        ("payments\u{a0}", Uncarriable::OuterSpace),
        ("a\\:b", Uncarriable::JavaEscape),
        ("a\\=b", Uncarriable::JavaEscape),
    ] {
        let expected = RenderError::Uncarriable { format: FileFormat::Librdkafka, field: "the user name", reason };
        let credential = credential(username, "pa55");
        assert_eq!(rendered(FileFormat::Librdkafka, &credential, None).unwrap_err(), expected);
        assert_eq!(can_carry(FileFormat::Librdkafka, &credential.username, &connection(None)), Err(expected));
        assert!(rendered(FileFormat::Properties, &credential, None).is_ok());
    }
    for password in ["a\nb", "a\0b", "b "] {
        assert!(rendered(FileFormat::Librdkafka, &credential("payments", password), None).is_err());
    }
}

#[test]
fn a_password_that_is_no_text_is_refused() {
    let mut credential = credential("payments", "pa55");
    credential.password = Secret::new(vec![0xff, 0xfe]);
    for format in FileFormat::ALL {
        assert_eq!(rendered(format, &credential, None).unwrap_err(), RenderError::PasswordNotText);
    }
}

#[test]
fn errors_and_debug_never_show_the_password() {
    let credential = credential("payments", "pa55 ");
    let error = rendered(FileFormat::Librdkafka, &credential, None).unwrap_err();
    assert!(!format!("{error} {error:?}").contains("pa55"));
    let file = rendered(FileFormat::Properties, &credential, None).unwrap();
    assert!(!format!("{file:?}").contains("pa55"));
}

#[test]
fn a_stamp_is_read_only_from_leading_comments() {
    let file = rendered(FileFormat::Properties, &credential("payments", "pa55"), None).unwrap();
    let stamp = read_stamp(file.main.expose()).unwrap();
    assert_eq!((stamp.user, stamp.generation), (user(), Generation(7)));
    let mut shifted = b"bootstrap.servers=x\n".to_vec();
    shifted.extend_from_slice(file.main.expose());
    assert_eq!(read_stamp(&shifted), None);
    assert_eq!(read_stamp(b""), None);
    assert_eq!(
        read_stamp(b"# kastellan.io/user: a/b\n# kastellan.io/generation: 1\n# kastellan.io/rotation: xyz"),
        None
    );
}

#[test]
fn the_longest_stamp_fits() {
    let name = "\u{fffd}".repeat(25);
    let stamp = Stamp {
        user: format!("{name}/{name}").parse().unwrap(),
        generation: Generation(u64::MAX),
        rotation_id: RotationId::parse("r".repeat(64)).unwrap(),
    };
    assert!(stamp.to_string().len() <= STAMP_BYTES_MAX);
    let names_bytes_max = 2 * 230;
    let fixed = stamp.to_string().len() - stamp.user.to_string().len();
    assert!(fixed + names_bytes_max < STAMP_BYTES_MAX);
}

#[test]
fn every_input_changes_the_digest_and_fields_do_not_run_together() {
    let id = |text: &str| RotationId::parse(text).unwrap();
    let (first, second) = (id("a"), id("b"));
    let owner = |group: Option<&str>| Owner { user: "payments".into(), group: group.map(str::to_owned) };
    let tls = connection(Some(PEM));
    let plain = connection(None);
    let shifted = Connection { bootstrap_servers: format!("{}S", plain.bootstrap_servers), ..plain.clone() };
    let shifted_on = Connection { security_protocol: "ASL_PLAINTEXT".into(), ..shifted.clone() };
    let of =
        |generation, rotation: &RotationId, format, connection: &Connection, target: &str, owner: Option<&Owner>| {
            inputs_digest(&user(), (Generation(generation), rotation), format, connection, Path::new(target), owner)
        };
    let digests = [
        of(1, &first, FileFormat::Properties, &plain, "/a", None),
        of(2, &first, FileFormat::Properties, &plain, "/a", None),
        of(1, &second, FileFormat::Properties, &plain, "/a", None),
        of(1, &first, FileFormat::Librdkafka, &plain, "/a", None),
        of(1, &first, FileFormat::Properties, &tls, "/a", None),
        of(1, &first, FileFormat::Properties, &shifted, "/a", None),
        of(1, &first, FileFormat::Properties, &shifted_on, "/a", None),
        of(1, &first, FileFormat::Properties, &plain, "/b", None),
        of(1, &first, FileFormat::Properties, &plain, "/a", Some(&owner(None))),
        of(1, &first, FileFormat::Properties, &plain, "/a", Some(&owner(Some("kafka")))),
    ];
    let distinct: std::collections::BTreeSet<_> = digests.iter().collect();
    assert_eq!(distinct.len(), digests.len());
    assert_eq!(digests[0].as_str().len(), 64);
    assert_eq!(digests[0], of(1, &first, FileFormat::Properties, &plain, "/a", None));
}

proptest! {
    #[test]
    fn properties_return_what_was_put_in(key in "\\PC{1,20}", text in any::<String>()) {
        let file = format!("{}={}\n", escape_key(&key), escape_value(&text));
        prop_assert!(file.is_ascii());
        prop_assert_eq!(load(file.as_bytes()), vec![(key, text)]);
    }

    #[test]
    fn java_clients_get_the_very_user_name_and_password(
        username in "[ =,:#!\\\\\"'a-cü😀%{}$;/*-]{1,20}",
        password in any::<String>(),
    ) {
        let file = rendered(FileFormat::Properties, &credential(&username, &password), None).unwrap();
        let entries = load(file.main.expose());
        prop_assert_eq!(jaas_values(value(&entries, "sasl.jaas.config")), (username, password));
    }

    #[test]
    fn librdkafka_gets_the_very_user_name_and_password_or_an_error(
        username in "[ =,:#!\\\\\"'a-cü😀%{}$;/*-]{1,12}",
        password in "[ =:\\\\\"a-c]{1,12}",
    ) {
        match rendered(FileFormat::Librdkafka, &credential(&username, &password), None) {
            Ok(file) => {
                let entries = read_librdkafka(file.main.expose());
                prop_assert_eq!(value(&entries, "sasl.username"), username);
                prop_assert_eq!(value(&entries, "sasl.password"), password);
            }
            Err(RenderError::Uncarriable { .. }) => {
                let changed = |text: &str| text.trim() != text || text.contains("\\:") || text.contains("\\=");
                prop_assert!(changed(&username) || changed(&password));
            }
            Err(other) => prop_assert!(false, "{}", other),
        }
    }

    #[test]
    fn what_is_written_is_read_back(
        username in "[ =,:#!\\\\\"'a-cü😀%{}$;/*-]{1,12}",
        password in any::<String>(),
        pem in any::<bool>(),
    ) {
        for format in FileFormat::ALL {
            let Ok(file) = rendered(format, &credential(&username, &password), pem.then_some(PEM)) else { continue };
            let read = read_back(format, &file.main).expect("it is whole");
            prop_assert_eq!(read.stamp.generation, Generation(7));
            prop_assert_eq!((read.username.as_str(), read.mechanism), (&*username, Mechanism::ScramSha512));
            prop_assert_eq!(read.password.expose_text(), Some(&*password));
            for end in 0..file.main.len() {
                let cut = Secret::new(file.main.expose()[..end].to_vec());
                let cut = read_back(format, &cut);
                let whole = |read: &Delivered| read.password.expose_text().is_some_and(|text| password.starts_with(text));
                prop_assert!(cut.as_ref().is_none_or(whole), "never another password");
            }
        }
    }

    #[test]
    fn whatever_stands_in_a_file_is_read_back_without_a_panic(text in "(sasl[.](mechanism|jaas[.]config|username|password)=|[a-z\\\\\"u0-9é😀=; ]|\\n){0,60}", bytes in any::<Vec<u8>>()) {
        let stamp = rendered(FileFormat::Librdkafka, &credential("x", "y"), None).unwrap();
        let head = stamp.main.expose_text().unwrap().lines().take_while(|line| line.starts_with('#'));
        let head = head.map(|line| format!("{line}\n")).collect::<String>();
        for format in FileFormat::ALL {
            let _ = read_back(format, &Secret::from_text(format!("{head}{text}")));
            let _ = read_back(format, &Secret::new([head.as_bytes(), &bytes].concat()));
            let _ = read_back(format, &Secret::from_text(format!("{head}sasl.mechanism=SCRAM-SHA-512\nsasl.jaas.config={text}")));
        }
    }
}
