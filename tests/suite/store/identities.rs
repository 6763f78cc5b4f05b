//! Identities that are missing, wrong, malformed or open to others, and recipients.

use std::os::unix::fs::PermissionsExt as _;

use kastellan::names::Generation;
use kastellan::store::age::{AgeSettings, AgeStore, init};
use kastellan::store::{Backend, MachineState, SecretReader as _, Store as _, StoreError};

use super::told;
use crate::support::store::{Fixture, age_settings, material, user};

fn refusal(settings: &AgeSettings, fixture: &Fixture) -> StoreError {
    AgeStore::open_for_writing(settings, &fixture.machine).unwrap_err()
}

/// A second identity: its file and its public key.
fn another(fixture: &Fixture) -> (std::path::PathBuf, String) {
    let folder = fixture.folder.path();
    let settings = age_settings(folder.join("other-store"), folder.join("other-identity.txt"));
    let made = init(&settings, &MachineState { markers: folder.join("other-markers") }).unwrap();
    (settings.identity_file, made.recipient)
}

#[test]
fn a_missing_identity_is_named_with_the_remedy() {
    let fixture = Fixture::new(Backend::Age);
    std::fs::remove_file(&fixture.age().identity_file).unwrap();
    let error = refusal(fixture.age(), &fixture);
    insta::assert_snapshot!(told(&error, fixture.folder.path()), @r"
    there is no identity file `…/identity.txt`
      hint: put the identity that the store was made with there, or set `identityFile`; `kastellan init` makes one for a new store
    ");
}

#[test]
fn a_wrong_identity_is_found_before_anything_is_written() {
    let fixture = Fixture::new(Backend::Age);
    let settings = AgeSettings { identity_file: another(&fixture).0, ..fixture.age().clone() };
    let error = refusal(&settings, &fixture);
    insta::assert_snapshot!(told(&error, fixture.folder.path()), @r"
    identity `…/other-identity.txt` cannot open `…/store/_kastellan/store.json`
      hint: use the identity that the store was made with, or correct `identityFile`
    ");
}

#[test]
fn a_malformed_identity_is_named_by_its_line_and_never_shown() {
    let fixture = Fixture::new(Backend::Age);
    let good = std::fs::read_to_string(&fixture.age().identity_file).unwrap();
    let secret = good.lines().last().unwrap();
    let garbled = good.replace(secret, &format!("{}x", &secret[..secret.len() - 1]));
    for (text, line) in [(garbled.as_str(), 3), ("hunter2\n", 1), ("", 1), ("# only a comment\n", 2), ("age1qqqq\n", 1)]
    {
        std::fs::write(&fixture.age().identity_file, text).unwrap();
        let error = refusal(fixture.age(), &fixture);
        assert!(matches!(error, StoreError::IdentityMalformed { line: found, .. } if found == line), "{error:?}");
        let message = format!("{}{error:?}", told(&error, fixture.folder.path()));
        assert!(!message.contains("hunter2") && !message.contains(&secret[..40]), "{message}");
    }
    std::fs::write(&fixture.age().identity_file, [0xff, 0xfe]).unwrap();
    insta::assert_snapshot!(told(&refusal(fixture.age(), &fixture), fixture.folder.path()), @r"
    `…/identity.txt` is not an age identity file: line 1 holds no X25519 identity
      hint: it needs lines that begin with `AGE-SECRET-KEY-1`, as `age-keygen` writes them
    ");
}

#[test]
fn an_identity_that_others_can_read_is_used_with_a_warning() {
    let fixture = Fixture::new(Backend::Age);
    let warnings = || AgeStore::open_for_writing(fixture.age(), &fixture.machine).unwrap().warnings().to_vec();
    assert_eq!(warnings(), []);
    std::fs::set_permissions(&fixture.age().identity_file, std::fs::Permissions::from_mode(0o644)).unwrap();
    let warnings = warnings();
    assert_eq!((warnings.len(), warnings[0].code), (1, "identity-permissions"));
    assert!(warnings[0].hint.as_ref().unwrap().starts_with("run `chmod 600 "));
}

#[tokio::test]
async fn every_recipient_can_read_what_is_written() {
    let fixture = Fixture::new(Backend::Age);
    let (other_file, other) = another(&fixture);
    let own = std::fs::read_to_string(&fixture.age().identity_file).unwrap();
    let own = own.lines().find_map(|line| line.strip_prefix("# public key: ")).unwrap().to_owned();

    let unreadable = AgeSettings { recipients: vec![other.clone()], ..fixture.age().clone() };
    let error = refusal(&unreadable, &fixture);
    assert!(matches!(error, StoreError::IdentityNotRecipient { .. }), "{error:?}");
    let nonsense = AgeSettings { recipients: vec![own.clone(), "age1nonsense".into()], ..fixture.age().clone() };
    assert!(matches!(refusal(&nonsense, &fixture), StoreError::Recipient { .. }));

    // A store that was made for both.
    let folder = fixture.folder.path();
    let mut settings = age_settings(folder.join("shared"), fixture.age().identity_file.clone());
    settings.recipients = vec![own, other];
    init(&settings, &fixture.machine).unwrap();
    let payments = user("payments/payments");
    let store = AgeStore::open_for_writing(&settings, &fixture.machine).unwrap();
    store.create_materials(vec![(payments.clone(), material(1, "shared"))]).await.pop().unwrap().unwrap();
    drop(store);
    settings.identity_file = other_file;
    let store = AgeStore::open_for_writing(&settings, &fixture.machine).unwrap();
    let read = store.read_materials(&[(payments, Generation(1))]).await.pop().unwrap().unwrap().unwrap();
    assert_eq!(read.scram.password.expose_text(), Some("shared"));
}
