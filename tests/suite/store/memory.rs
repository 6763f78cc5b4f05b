//! The faults that the memory store can be told to have.

use kastellan::credential::Version;
use kastellan::store::{
    Backend, MemoryStore, ReadLag, RecordWrite, Store as _, StoreError, StoreReader as _, StoreSettings,
};

use crate::support::store::{Fixture, record, user};

fn store() -> MemoryStore {
    match Fixture::new(Backend::Memory).settings {
        StoreSettings::Memory(store) => store,
        StoreSettings::Age(_) | StoreSettings::Vault(_) => panic!("not in memory"),
    }
}

async fn write(store: &MemoryStore, expected: Option<&Version>) -> Result<Version, StoreError> {
    let write = RecordWrite { record: record(&user("payments/payments")), expected: expected.cloned() };
    store.write_records(vec![write]).await.pop().unwrap()
}

async fn version(store: &MemoryStore) -> Option<Version> {
    let read = store.read_records(&[user("payments/payments")]).await.pop().unwrap().unwrap();
    read.map(|record| record.version)
}

#[tokio::test]
async fn failing_calls_have_no_effect_and_lost_answers_have_one() {
    let store = store();
    store.fail_next(1);
    assert!(matches!(write(&store, None).await, Err(StoreError::Unavailable { .. })));
    assert_eq!(version(&store).await, None);
    store.lose_next_answers(1);
    assert!(matches!(write(&store, None).await, Err(StoreError::Unavailable { .. })));
    assert_eq!(version(&store).await, Some(Version("1".into())));
}

#[tokio::test]
async fn lagging_reads_answer_one_version_late() {
    let store = store();
    let first = write(&store, None).await.unwrap();
    store.lag_reads(ReadLag::OneBehind);
    assert_eq!(version(&store).await, None);
    let second = write(&store, Some(&first)).await.unwrap();
    assert_eq!(version(&store).await, Some(first.clone()));
    assert!(matches!(write(&store, Some(&first)).await, Err(StoreError::Conflict { .. })));
    store.heal();
    assert_eq!(version(&store).await, Some(second));
}

#[tokio::test]
async fn a_failing_user_fails_alone() {
    let store = store();
    store.fail_user(user("payments/payments"));
    let results = store.read_records(&[user("payments/payments"), user("orders/orders")]).await;
    assert!(results[0].is_err() && results[1].is_ok());
}
