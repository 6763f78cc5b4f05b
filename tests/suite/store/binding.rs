//! A store is written on one machine in one folder: copies are looked at, not changed (R10).

use std::sync::atomic::{AtomicBool, Ordering};

use kastellan::diagnostic::ExitStatus;
use kastellan::store::age::{AgeSettings, AgeStore};
use kastellan::store::{
    Backend, MachineState, RecordWrite, StoreError, StoreSettings, open_for_reading, open_for_writing, take_over,
};

use super::{copy_folder, told};
use crate::support::store::{Fixture, record, user};

/// A store with one record, closed again.
async fn used() -> Fixture {
    let fixture = Fixture::new(Backend::Age);
    let write = RecordWrite { record: record(&user("payments/payments")), expected: None };
    fixture.open().await.write_records(vec![write]).await.pop().unwrap().unwrap();
    fixture
}

fn copy(fixture: &Fixture) -> AgeSettings {
    let settings = AgeSettings { directory: fixture.folder.path().join("copy"), ..fixture.age().clone() };
    copy_folder(&fixture.age().directory, &settings.directory);
    settings
}

/// Why a store is taken for a copy.
fn refusal(settings: &AgeSettings, machine: &MachineState) -> String {
    match AgeStore::open_for_writing(settings, machine) {
        Err(StoreError::Copied { why, .. }) => why,
        other => panic!("not taken for a copy: {other:?}"),
    }
}

#[tokio::test]
async fn a_copy_can_be_looked_at_and_not_changed() {
    let fixture = used().await;
    let copy = copy(&fixture);
    let error = AgeStore::open_for_writing(&copy, &fixture.machine).unwrap_err();
    assert_eq!(error.exit_status(), ExitStatus::Refused);
    insta::assert_snapshot!(told(&error, fixture.folder.path()), @r"
    store `…/copy` is a copy: it was bound as `…/store`
      hint: make sure that no other copy is written to any more, then use `--take-over-store`
    ");
    let reader = open_for_reading(&StoreSettings::Age(copy)).await.unwrap();
    assert_eq!(reader.list_records().await.unwrap().len(), 1);
    assert!(AgeStore::open_for_writing(fixture.age(), &fixture.machine).is_ok(), "the original stays what it was");
}

#[tokio::test]
async fn every_way_to_become_a_copy_is_noticed() {
    let fixture = used().await;
    let elsewhere = MachineState { markers: fixture.folder.path().join("another-machine") };
    assert_eq!(refusal(fixture.age(), &elsewhere), "this machine has no marker for it");

    let moved = AgeSettings { directory: fixture.folder.path().join("moved"), ..fixture.age().clone() };
    std::fs::rename(&fixture.age().directory, &moved.directory).unwrap();
    assert!(refusal(&moved, &fixture.machine).starts_with("it was bound as `"));

    // A backup that is put back where the store was.
    copy_folder(&moved.directory, &fixture.age().directory);
    assert_eq!(refusal(fixture.age(), &fixture.machine), "its folder was replaced after it was bound");

    std::fs::remove_file(moved.directory.join("_kastellan/store.json")).unwrap();
    assert_eq!(refusal(&moved, &fixture.machine), "it holds records but no `store.json`");
}

#[tokio::test]
async fn the_first_writer_binds_a_store_that_has_nothing_in_it() {
    let fixture = used().await;
    let empty = AgeSettings { directory: fixture.folder.path().join("empty"), ..fixture.age().clone() };
    std::fs::create_dir(&empty.directory).unwrap();
    drop(AgeStore::open_for_writing(&empty, &fixture.machine).unwrap());
    let elsewhere = MachineState { markers: fixture.folder.path().join("another-machine") };
    assert_eq!(refusal(&empty, &elsewhere), "this machine has no marker for it");
}

#[tokio::test]
async fn a_store_is_taken_over_only_after_the_fence() {
    let fixture = used().await;
    let copy = copy(&fixture);
    let settings = StoreSettings::Age(copy.clone());

    // The process ends while it waits: nothing is bound.
    let waiting = take_over(&settings, &fixture.machine, Box::pin(std::future::pending()));
    assert!(tokio::time::timeout(std::time::Duration::from_millis(300), waiting).await.is_err());
    assert!(refusal(&copy, &fixture.machine).starts_with("it was bound as `"));

    let waited = AtomicBool::new(false);
    let fence = Box::pin(async { waited.store(true, Ordering::Relaxed) });
    let store = take_over(&settings, &fixture.machine, fence).await.unwrap();
    assert!(waited.load(Ordering::Relaxed));
    assert_eq!(store.list_records().await.unwrap().len(), 1);
    drop(store);
    drop(open_for_writing(&settings, &fixture.machine).await.unwrap());
    assert_eq!(refusal(fixture.age(), &fixture.machine), "this machine has no marker for it", "one writer, not two");
}

#[tokio::test]
async fn a_store_that_is_no_copy_is_opened_without_a_wait() {
    let fixture = used().await;
    let fence = Box::pin(async { panic!("waited for nothing") });
    assert!(take_over(&fixture.settings, &fixture.machine, fence).await.is_ok());
}

#[tokio::test]
async fn a_store_cannot_be_taken_over_with_an_identity_that_does_not_open_it() {
    let fixture = used().await;
    let copy = copy(&fixture);
    let other = Fixture::new(Backend::Age);
    let settings = AgeSettings { identity_file: other.age().identity_file.clone(), ..copy };
    let refused = AgeStore::take_over(&settings, &fixture.machine);
    assert!(matches!(refused, Err(StoreError::IdentityWrong { .. })), "{refused:?}");
}

#[tokio::test]
async fn a_hostile_store_file_chooses_no_path_on_this_machine() {
    let fixture = used().await;
    let file = fixture.age().directory.join("_kastellan/store.json");
    let text = std::fs::read_to_string(&file).unwrap();
    let id = text.split('"').nth(5).unwrap();
    for hostile in ["../../../../tmp/x", "", "/etc/passwd"] {
        std::fs::write(&file, text.replace(id, hostile)).unwrap();
        let refused = AgeStore::open_for_writing(fixture.age(), &fixture.machine);
        assert!(matches!(refused, Err(StoreError::Damaged { .. })), "{refused:?}");
    }
}
