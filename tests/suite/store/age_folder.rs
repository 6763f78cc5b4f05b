//! What the folder of an age store looks like from outside.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use kastellan::names::Generation;
use kastellan::secret::Secret;
use kastellan::store::age::{AgeReader, AgeStore, IdentityOrigin, init};
use kastellan::store::{Backend, CredentialWrite, MaterialStat, RecordWrite, Store, StoreError, open_for_reading};

use super::files;
use crate::support::store::{Fixture, age_settings, credential, material, record, user, users};

/// One of everything, for one user.
async fn fill(store: &dyn Store) {
    let payments = user("payments/Müller");
    store.create_materials(vec![(payments.clone(), material(1, "c4nary-one"))]).await.pop().unwrap().unwrap();
    store.create_materials(vec![(payments.clone(), material(2, "c4nary-two"))]).await.pop().unwrap().unwrap();
    store.destroy_materials(&[(payments.clone(), Generation(2))]).await.pop().unwrap().unwrap();
    store.write_records(vec![RecordWrite { record: record(&payments), expected: None }]).await.pop().unwrap().unwrap();
    let document = credential(1, "c4nary-one", &["prod"]);
    store
        .write_credentials(vec![CredentialWrite { user: payments, document, expected: None }])
        .await
        .pop()
        .unwrap()
        .unwrap();
    store.write_input("imports/legacy", "password", Secret::from_text("c4nary-three".into())).await.unwrap();
}

#[tokio::test]
async fn files_are_where_they_are_said_to_be_and_only_for_their_owner() {
    let fixture = Fixture::new(Backend::Age);
    fill(&*fixture.open().await).await;
    let directory = &fixture.age().directory;
    let names: Vec<_> = files(directory).into_iter().map(|file| relative(&file, directory)).collect();
    let wanted = [
        ".gitignore",
        "_kastellan/lock",
        "_kastellan/material/payments/M%C3%BCller/1.age",
        "_kastellan/material/payments/M%C3%BCller/2.age",
        "_kastellan/records/payments/M%C3%BCller.json",
        "_kastellan/store.json",
        "imports/legacy.age",
        "payments/M%C3%BCller.age",
    ];
    assert_eq!(names, wanted, "and no temporary file is left");
    for file in files(fixture.folder.path()) {
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&file), 0o600, "{}", file.display());
        let parent = file.parent().unwrap();
        assert!(parent == fixture.folder.path() || mode(parent) == 0o700, "{}", parent.display());
        let bytes = std::fs::read(&file).unwrap();
        assert!(!bytes.windows(6).any(|window| window == b"c4nary"), "{}", file.display());
    }
}

fn relative(file: &Path, directory: &Path) -> String {
    file.strip_prefix(directory).unwrap().display().to_string()
}

#[tokio::test]
async fn records_are_readable() {
    let fixture = Fixture::new(Backend::Age);
    fill(&*fixture.open().await).await;
    let file = fixture.age().directory.join("_kastellan/records/payments/M%C3%BCller.json");
    let text = std::fs::read_to_string(file).unwrap();
    assert!(
        text.starts_with(
            "{\n  \"version\": 1,\n  \"record\": {\n    \"schema\": 1,\n    \"user\": \"payments/Müller\","
        ),
        "{text}"
    );
    assert!(text.ends_with("}\n"));
    let tombstone = fixture.age().directory.join("_kastellan/material/payments/M%C3%BCller/2.age");
    assert_eq!(std::fs::read_to_string(tombstone).unwrap(), "{\"destroyed\":true}\n");
}

#[tokio::test]
async fn looking_needs_no_identity_and_no_lock() {
    let fixture = Fixture::new(Backend::Age);
    let store = fixture.open().await;
    fill(&*store).await;
    std::fs::remove_file(&fixture.age().identity_file).unwrap();
    let before = files(fixture.folder.path());
    let reader = open_for_reading(&fixture.settings).await.unwrap();
    let payments = user("payments/Müller");
    assert_eq!(reader.list_records().await.unwrap().len(), 1);
    assert!(reader.stat_credentials(std::slice::from_ref(&payments)).await[0].as_ref().unwrap().is_some());
    let stats = reader.stat_materials(&[(payments.clone(), Generation(1)), (payments, Generation(2))]).await;
    let stats: Vec<_> = stats.into_iter().map(Result::unwrap).collect();
    assert_eq!(stats, [MaterialStat::Present, MaterialStat::Destroyed]);
    assert!(reader.stat_input("imports/legacy", "password").await.unwrap().is_some());
    assert_eq!(files(fixture.folder.path()), before);
}

#[tokio::test]
async fn large_batches_are_as_good_as_small_ones() {
    let fixture = Fixture::new(Backend::Age);
    let store = fixture.open().await;
    let users = users(600);
    let writes = || users.iter().map(|user| RecordWrite { record: record(user), expected: None });
    assert!(store.write_records(writes().collect()).await.into_iter().all(|result| result.is_ok()));
    let again = store.write_records(writes().chain(writes().take(1)).collect()).await;
    assert!(again.iter().all(|result| matches!(result, Err(StoreError::Conflict { .. }))));
    drop(store);
    let listed = fixture.open().await.list_records().await.unwrap();
    assert!(listed.iter().map(|(user, _)| user).eq(&users) && listed.iter().all(|(_, record)| record.is_ok()));
}

#[test]
fn init_makes_what_is_missing_and_overwrites_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let machine = kastellan::store::MachineState { markers: folder.path().join("markers") };
    let settings = age_settings(folder.path().join("deep/er/store"), folder.path().join("config/identity.txt"));
    let first = init(&settings, &machine).unwrap();
    assert_eq!(first.identity, IdentityOrigin::Created);
    let identity = std::fs::read_to_string(&settings.identity_file).unwrap();
    let lines: Vec<_> = identity.lines().collect();
    assert!(lines[0].starts_with("# created: ") && lines[0].ends_with('Z'), "{}", lines[0]);
    assert_eq!(lines[1], format!("# public key: {}", first.recipient));
    assert!(lines[2].starts_with("AGE-SECRET-KEY-1") && lines.len() == 3);

    let ignore = settings.directory.join(".gitignore");
    assert_eq!(std::fs::read_to_string(&ignore).unwrap(), "/_kastellan/lock\n/_kastellan/tmp/\n");
    std::fs::write(&ignore, "*.bak\n/_kastellan/lock").unwrap();
    let second = init(&settings, &machine).unwrap();
    assert_eq!((second.identity, &second.recipient), (IdentityOrigin::Found, &first.recipient));
    assert_eq!(std::fs::read_to_string(&settings.identity_file).unwrap(), identity);
    assert_eq!(std::fs::read_to_string(&ignore).unwrap(), "*.bak\n/_kastellan/lock\n/_kastellan/tmp/\n");
    assert!(AgeStore::open_for_writing(&settings, &machine).is_ok());
}

#[test]
fn a_store_that_is_not_there_is_no_empty_store() {
    let fixture = Fixture::new(Backend::Age);
    std::fs::remove_dir_all(&fixture.age().directory).unwrap();
    assert!(matches!(AgeReader::open_for_reading(fixture.age()), Err(StoreError::Missing { .. })));
    let opened = AgeStore::open_for_writing(fixture.age(), &fixture.machine);
    let error = opened.unwrap_err();
    assert!(matches!(error, StoreError::Missing { .. }));
    assert!(super::told(&error, fixture.folder.path()).contains("kastellan init"));
}

#[tokio::test]
async fn a_store_that_goes_away_while_it_is_open_is_unknown_not_empty() {
    let fixture = Fixture::new(Backend::Age);
    let store = fixture.open().await;
    fill(&*store).await;
    let payments = [user("payments/Müller")];
    let generation = [(user("payments/Müller"), Generation(1))];
    let elsewhere = fixture.folder.path().join("elsewhere");
    std::fs::rename(&fixture.age().directory, &elsewhere).unwrap();
    for replacement in [false, true] {
        // What an unmounted file system leaves behind is an empty folder.
        if replacement {
            std::fs::create_dir(&fixture.age().directory).unwrap();
        }
        assert!(store.list_records().await.is_err());
        assert!(store.read_records(&payments).await[0].is_err());
        assert!(store.stat_credentials(&payments).await[0].is_err());
        assert!(store.read_credentials(&payments).await[0].is_err());
        assert!(store.stat_materials(&generation).await[0].is_err());
        assert!(store.read_materials(&generation).await[0].is_err());
        assert!(store.stat_input("imports/legacy", "password").await.is_err());
        assert!(store.read_input("imports/legacy", "password").await.is_err());
    }
}
