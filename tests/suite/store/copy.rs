//! A whole store in another.

use kastellan::credential::GivenSource;
use kastellan::names::Generation;
use kastellan::secret::Secret;
use kastellan::store::{Backend, Copied, CopyError, CredentialWrite, RecordWrite, Store, copy_store};

use crate::support::store::{Fixture, credential, material, record, users};

async fn fill(store: &dyn Store, count: usize) {
    let given = store.write_input("imports/legacy", "password", Secret::from_text("given".into())).await.unwrap();
    for user in users(count) {
        store.create_materials(vec![(user.clone(), material(1, &user.to_string()))]).await.pop().unwrap().unwrap();
        let document = credential(1, &user.to_string(), &["prod"]);
        let write = CredentialWrite { user: user.clone(), document, expected: None };
        let version = store.write_credentials(vec![write]).await.pop().unwrap().unwrap();
        let source = GivenSource { path: "imports/legacy".into(), key: "password".into(), version: given.clone() };
        let mut record = record(&user);
        (record.document, record.source) = (Some(version), Some(source));
        store.write_records(vec![RecordWrite { record, expected: None }]).await.pop().unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_copy_holds_the_same_and_is_finished_by_copying_again() {
    let (from, to) = (Fixture::new(Backend::Age), Fixture::new(Backend::Memory));
    let (from, to) = (from.open().await, to.open().await);
    fill(&*from, 7).await;
    // One user came over before the copy was cut off.
    let first = users(7).remove(0);
    to.create_materials(vec![(first.clone(), material(1, &first.to_string()))]).await.pop().unwrap().unwrap();

    let copies = copy_store(&*from, &*to).await.unwrap();
    assert!(copies.len() == 7 && copies.values().all(|copied| matches!(copied, Ok(Copied::Now))), "{copies:?}");
    for user in users(7) {
        let read = to.read_records(std::slice::from_ref(&user)).await.pop().unwrap().unwrap().unwrap().value;
        let document = to.stat_credentials(std::slice::from_ref(&user)).await.pop().unwrap().unwrap();
        assert_eq!(read.document, document, "the record knows the document by its new version");
        let given = to.stat_input("imports/legacy", "password").await.unwrap();
        assert_eq!(read.source.map(|source| source.version), given);
        let material = to.read_materials(&[(user.clone(), Generation(1))]).await.pop().unwrap().unwrap().unwrap();
        assert_eq!(material.scram.password.expose_text(), Some(user.to_string().as_str()));
    }
    let again = copy_store(&*from, &*to).await.unwrap();
    assert!(again.len() == 7 && again.values().all(|copied| matches!(copied, Ok(Copied::Before))), "{again:?}");
}

#[tokio::test]
async fn what_is_there_and_is_something_else_is_never_overwritten() {
    let (from, to) = (Fixture::new(Backend::Age), Fixture::new(Backend::Memory));
    let (from, to) = (from.open().await, to.open().await);
    fill(&*from, 1).await;
    let user = users(1).remove(0);
    to.create_materials(vec![(user.clone(), material(1, "another"))]).await.pop().unwrap().unwrap();
    let copies = copy_store(&*from, &*to).await.unwrap();
    assert!(matches!(copies[&user], Err(CopyError::Occupied { what: "a password", .. })), "{copies:?}");
    assert!(to.list_records().await.unwrap().is_empty(), "no record without its password");

    let to = Fixture::new(Backend::Memory).open().await;
    let write = RecordWrite { record: record(&user), expected: None };
    to.write_records(vec![write]).await.pop().unwrap().unwrap();
    let copies = copy_store(&*from, &*to).await.unwrap();
    assert!(matches!(copies[&user], Err(CopyError::Occupied { what: "a record", .. })), "{copies:?}");
    assert_eq!(
        copies[&user].as_ref().unwrap_err().to_string(),
        format!("the other store holds a record of `{user}` that is not the same")
    );
}
