//! What every store must do, whatever it is made of. Each function takes an empty store with the inputs `imports/`.

use std::sync::Arc;

use kastellan::credential::{CredentialDocument, LiveCredential, Version};
use kastellan::names::{Generation, NamespacedName};
use kastellan::secret::Secret;
use kastellan::store::{
    Created, CredentialWrite, InputValue, MaterialStat, RecordWrite, Store, StoreError, StoreReader, Tally,
};

use super::store::{awkward_users, credential, material, record, user, users};

/// Runs the whole suite, each part on a store of its own.
pub async fn conforms<F: AsyncFn() -> Arc<dyn Store>>(fresh: F) {
    records_change_only_by_compare_and_set(&*fresh().await).await;
    lists_are_complete_and_sorted(&*fresh().await).await;
    results_keep_the_order_of_the_input(&*fresh().await).await;
    one_bad_item_fails_alone(&*fresh().await).await;
    material_is_written_once(&*fresh().await).await;
    racing_creators_have_one_winner(fresh().await).await;
    racing_writers_have_one_winner(fresh().await).await;
    destroyed_material_stays_destroyed(&*fresh().await).await;
    credentials_survive_and_change_only_by_compare_and_set(&*fresh().await).await;
    inputs_keep_their_other_keys(&*fresh().await).await;
    inputs_open_nothing_else(&*fresh().await).await;
    inputs_are_listed_and_opened_as_a_whole(&*fresh().await).await;
    any_name_is_a_name(&*fresh().await).await;
    stats_agree_with_reads_and_open_nothing(&*fresh().await).await;
}

async fn write(store: &dyn Store, user: &NamespacedName, expected: Option<Version>) -> Result<Version, StoreError> {
    let write = RecordWrite { record: record(user), expected };
    store.write_records(vec![write]).await.pop().unwrap()
}

async fn create(store: &dyn Store, user: &NamespacedName, generation: u64, password: &str) -> Created {
    store.create_materials(vec![(user.clone(), material(generation, password))]).await.pop().unwrap().unwrap()
}

async fn password_of(store: &dyn Store, user: &NamespacedName, generation: u64) -> Option<String> {
    let read = store.read_materials(&[(user.clone(), Generation(generation))]).await.pop().unwrap().unwrap()?;
    Some(text(&read.scram.password))
}

async fn stat(store: &dyn Store, user: &NamespacedName, generation: u64) -> MaterialStat {
    store.stat_materials(&[(user.clone(), Generation(generation))]).await.pop().unwrap().unwrap()
}

fn text(secret: &Secret) -> String {
    secret.expose_text().unwrap().to_owned()
}

fn live(document: &CredentialDocument) -> &LiveCredential {
    match document {
        CredentialDocument::Live(live) => live,
        CredentialDocument::Tombstone { .. } => panic!("a tombstone"),
    }
}

async fn records_change_only_by_compare_and_set(store: &dyn Store) {
    let user = user("payments/payments");
    assert_eq!(store.read_records(std::slice::from_ref(&user)).await.pop().unwrap().unwrap(), None);
    let absent = Some(Version("1".into()));
    assert!(
        matches!(write(store, &user, absent).await, Err(StoreError::Conflict { .. })),
        "nothing is there to replace"
    );

    let first = write(store, &user, None).await.unwrap();
    assert!(matches!(write(store, &user, None).await, Err(StoreError::Conflict { .. })), "something is there");
    let second = write(store, &user, Some(first.clone())).await.unwrap();
    assert_ne!(first, second, "an equal record is a new version all the same");
    assert!(matches!(write(store, &user, Some(first)).await, Err(StoreError::Conflict { .. })), "a stale version");

    let read = store.read_records(std::slice::from_ref(&user)).await.pop().unwrap().unwrap().unwrap();
    assert_eq!((read.value, read.version.clone()), (record(&user), second));

    let twice = || RecordWrite { record: record(&user), expected: Some(read.version.clone()) };
    let results = store.write_records(vec![twice(), twice()]).await;
    assert!(results[0].is_ok() && matches!(results[1], Err(StoreError::Conflict { .. })), "one batch, one winner");
}

async fn lists_are_complete_and_sorted(store: &dyn Store) {
    assert!(store.list_records().await.unwrap().is_empty());
    let mut users = users(50);
    users.reverse();
    let writes = users.iter().map(|user| RecordWrite { record: record(user), expected: None }).collect();
    let versions: Vec<_> = store.write_records(writes).await.into_iter().map(Result::unwrap).collect();
    let listed = store.list_records().await.unwrap();
    users.reverse();
    assert_eq!(listed.iter().map(|(user, _)| user.clone()).collect::<Vec<_>>(), users);
    for ((user, listed), version) in listed.into_iter().zip(versions.into_iter().rev()) {
        let listed = listed.unwrap();
        assert_eq!((listed.value, listed.version), (record(&user), version));
    }
}

async fn results_keep_the_order_of_the_input(store: &dyn Store) {
    let users = users(40);
    let materials = users.iter().map(|user| (user.clone(), material(1, &user.to_string()))).collect();
    assert!(store.create_materials(materials).await.into_iter().all(|created| created.unwrap() == Created::New));
    let backwards: Vec<_> = users.iter().rev().map(|user| (user.clone(), Generation(1))).collect();
    for ((user, _), read) in backwards.iter().zip(store.read_materials(&backwards).await) {
        assert_eq!(text(&read.unwrap().unwrap().scram.password), user.to_string());
    }
}

async fn one_bad_item_fails_alone(store: &dyn Store) {
    let (good, reserved) = (user("payments/payments"), user("imports/payments"));
    let write = |user: &NamespacedName| RecordWrite { record: record(user), expected: None };
    let results = store.write_records(vec![write(&good), write(&reserved)]).await;
    assert!(results[0].is_ok());
    assert!(matches!(results[1], Err(StoreError::ReservedNamespace { .. })), "{:?}", results[1]);
    let results = store.read_records(&[reserved, good]).await;
    assert!(results[0].is_err() && results[1].as_ref().unwrap().is_some());
}

async fn material_is_written_once(store: &dyn Store) {
    let user = user("payments/payments");
    assert_eq!(stat(store, &user, 1).await, MaterialStat::Absent);
    assert_eq!(password_of(store, &user, 1).await, None);
    assert_eq!(create(store, &user, 1, "first").await, Created::New);
    assert_eq!(create(store, &user, 1, "second").await, Created::AlreadyThere);
    assert_eq!(create(store, &user, 2, "other").await, Created::New);
    assert_eq!(password_of(store, &user, 1).await.as_deref(), Some("first"));

    let wanted = material(1, "first");
    let read = store.read_materials(&[(user.clone(), Generation(1))]).await.pop().unwrap().unwrap().unwrap();
    assert_eq!((read.generation, &read.rotation_id), (wanted.generation, &wanted.rotation_id));
    assert_eq!((read.created_at, read.scram.mechanism), (wanted.created_at, wanted.scram.mechanism));
    assert_eq!((&read.scram.salt, read.scram.iterations), (&wanted.scram.salt, wanted.scram.iterations));
    for (read, wanted) in [
        (&read.scram.keys.salted_password, &wanted.scram.keys.salted_password),
        (&read.scram.keys.client_key, &wanted.scram.keys.client_key),
        (&read.scram.keys.stored_key, &wanted.scram.keys.stored_key),
        (&read.scram.keys.server_key, &wanted.scram.keys.server_key),
    ] {
        assert!(read.ct_eq(wanted));
    }
}

async fn racing_creators_have_one_winner(store: Arc<dyn Store>) {
    let user = user("payments/payments");
    let attempts = (0..16).map(|number| {
        let (store, user) = (store.clone(), user.clone());
        tokio::spawn(async move { create(&*store, &user, 1, &format!("attempt-{number}")).await })
    });
    let mut winners = Vec::new();
    for (number, attempt) in attempts.collect::<Vec<_>>().into_iter().enumerate() {
        if attempt.await.unwrap() == Created::New {
            winners.push(format!("attempt-{number}"));
        }
    }
    assert_eq!(winners, [password_of(&*store, &user, 1).await.unwrap()], "what is kept is what the one winner wrote");
}

async fn racing_writers_have_one_winner(store: Arc<dyn Store>) {
    let user = user("payments/payments");
    let attempts = (0..16).map(|_| {
        let (store, user) = (store.clone(), user.clone());
        tokio::spawn(async move { write(&*store, &user, None).await.is_ok() })
    });
    let mut winners = 0;
    for attempt in attempts.collect::<Vec<_>>() {
        winners += usize::from(attempt.await.unwrap());
    }
    assert_eq!(winners, 1);
}

async fn destroyed_material_stays_destroyed(store: &dyn Store) {
    let user = user("payments/payments");
    create(store, &user, 1, "gone").await;
    create(store, &user, 2, "kept").await;
    let generations = [(user.clone(), Generation(1)), (user.clone(), Generation(7))];
    for _ in 0..2 {
        assert!(store.destroy_materials(&generations).await.into_iter().all(|result| result.is_ok()), "idempotent");
        for generation in [1, 7] {
            assert_eq!(stat(store, &user, generation).await, MaterialStat::Destroyed);
            assert_eq!(password_of(store, &user, generation).await, None);
            assert_eq!(create(store, &user, generation, "again").await, Created::AlreadyThere);
        }
    }
    assert_eq!(password_of(store, &user, 2).await.as_deref(), Some("kept"));
}

async fn credentials_survive_and_change_only_by_compare_and_set(store: &dyn Store) {
    let user = user("payments/payments");
    let write = async |document: &Arc<CredentialDocument>, expected: Option<Version>| {
        let write = CredentialWrite { user: user.clone(), document: document.clone(), expected };
        store.write_credentials(vec![write]).await.pop().unwrap()
    };
    let read = async || store.read_credentials(std::slice::from_ref(&user)).await.pop().unwrap().unwrap();
    assert!(read().await.is_none());
    let mut version = None;
    for clusters in [&["prod"] as &[&str], &["plain"], &["prod", "dr-2", "plain", "Süd, \"b\""], &["b", "a"]] {
        let document = credential(3, "pass\"wörd\\ \u{1f4a5}", clusters);
        let written = write(&document, version.clone()).await.unwrap();
        assert!(matches!(write(&document, version).await, Err(StoreError::Conflict { .. })), "a stale version");
        let found = read().await.unwrap();
        assert_eq!(found.version, written);
        let (found, wanted) = (live(&found.value), live(&document));
        assert_eq!(found.connections, wanted.connections, "every connection, in order");
        assert_eq!((found.generation, &found.rotation_id), (wanted.generation, &wanted.rotation_id));
        assert_eq!((&found.username, found.published_at), (&wanted.username, wanted.published_at));
        assert!(found.password.ct_eq(&wanted.password) && found.mechanism == wanted.mechanism);
        version = Some(written);
    }
    let deleted_at = "2026-11-24T09:00:00Z".parse().unwrap();
    let tombstone = Arc::new(CredentialDocument::Tombstone { generation: Generation(4), deleted_at });
    write(&tombstone, version).await.unwrap();
    let found = read().await.unwrap().value;
    assert!(
        matches!(found, CredentialDocument::Tombstone { generation: Generation(4), deleted_at: at } if at == deleted_at)
    );
}

async fn inputs_keep_their_other_keys(store: &dyn Store) {
    let read =
        async |path: &str, key: &str| store.read_input(path, key).await.unwrap().map(|(secret, _)| text(&secret));
    let put = async |key: &str, value: &str| {
        store.write_input("imports/a/legacy", key, Secret::from_text(value.into())).await
    };
    assert_eq!(store.stat_input("imports/a/legacy", "password").await.unwrap(), None);
    assert_eq!(read("imports/a/legacy", "password").await, None);
    let first = put("password", "one").await.unwrap();
    let second = put("other", "two").await.unwrap();
    assert_ne!(first, second);
    assert_eq!(read("imports/a/legacy", "password").await.as_deref(), Some("one"));
    assert_eq!(read("imports/a/legacy", "other").await.as_deref(), Some("two"));
    assert_eq!(read("imports/a/legacy", "third").await, None);
    assert_eq!(read("imports/a/other", "password").await, None);
    assert_eq!(put("other", "two").await.unwrap(), second, "an equal value is not written again");
    assert_eq!(store.stat_input("imports/a/legacy", "other").await.unwrap(), Some(second));
    let not_text = store.write_input("imports/x", "password", Secret::new(vec![0xff, 0xfe])).await;
    assert!(matches!(not_text, Err(StoreError::NotText { .. })));
}

async fn inputs_open_nothing_else(store: &dyn Store) {
    let user = user("payments/payments");
    create(store, &user, 1, "secret").await;
    for path in [
        "_kastellan/material/payments/payments/1",
        "payments/payments",
        "imports/../payments/payments",
        "imports",
        "",
        "/",
    ] {
        let refused = |result: Result<(), StoreError>| {
            assert!(matches!(result, Err(StoreError::OutsideInputs { .. })), "{path:?}");
        };
        refused(store.read_input(path, "password").await.map(drop));
        refused(store.stat_input(path, "password").await.map(drop));
        refused(store.write_input(path, "password", Secret::from_text("x".into())).await.map(drop));
    }
    for folder in ["_kastellan/material/payments/payments/", "payments/", "imports/../payments/", "", "/"] {
        let listed = store.list_inputs(folder).await;
        assert!(matches!(listed, Err(StoreError::OutsideInputs { .. })), "{folder:?}");
    }
}

async fn inputs_are_listed_and_opened_as_a_whole(store: &dyn Store) {
    assert_eq!(store.list_inputs("imports/").await.unwrap(), [""; 0]);
    for (path, key) in [("imports/b", "two"), ("imports/b", "one"), ("imports/a", "x"), ("imports/b/c d", "y")] {
        store.write_input(path, key, Secret::from_text(format!("{path} {key}"))).await.unwrap();
    }
    assert_eq!(store.list_inputs("imports/").await.unwrap(), ["a", "b", "b/"]);
    assert_eq!(store.list_inputs("imports/b").await.unwrap(), ["c d"]);
    assert_eq!(store.list_inputs("imports/a/").await.unwrap(), [""; 0]);
    let paths = ["imports/b", "imports/none", "payments/payments", "imports/b/c d"].map(str::to_owned);
    let mut read = store.read_inputs(&paths).await;
    let last = read.pop().unwrap().unwrap().unwrap();
    assert_eq!(Some(last.version), store.stat_input("imports/b/c d", "y").await.unwrap());
    assert!(matches!(read.pop().unwrap(), Err(StoreError::OutsideInputs { .. })), "it fails alone");
    assert!(read.pop().unwrap().unwrap().is_none());
    let document = read.pop().unwrap().unwrap().unwrap().value;
    let values = document.into_iter().map(|(key, value)| {
        let InputValue::Text(value) = value else { panic!("{value:?}") };
        (key, text(&value))
    });
    assert!(
        values.eq([("one", "imports/b one"), ("two", "imports/b two")].map(|(key, value)| (key.into(), value.into())))
    );
}

async fn any_name_is_a_name(store: &dyn Store) {
    let users = awkward_users();
    let records = users.iter().map(|user| RecordWrite { record: record(user), expected: None }).collect();
    assert!(store.write_records(records).await.into_iter().all(|result| result.is_ok()));
    let materials = users.iter().map(|user| (user.clone(), material(1, &user.to_string()))).collect();
    assert!(store.create_materials(materials).await.into_iter().all(|created| created.unwrap() == Created::New));
    let credential = |user: &NamespacedName| CredentialWrite {
        user: user.clone(),
        document: credential(1, &user.to_string(), &["prod"]),
        expected: None,
    };
    let written = store.write_credentials(users.iter().map(credential).collect()).await;
    assert!(written.into_iter().all(|result| result.is_ok()));

    let listed = store.list_records().await.unwrap();
    assert_eq!(listed.iter().map(|(user, _)| user.clone()).collect::<Vec<_>>(), users);
    assert!(listed.iter().all(|(user, listed)| listed.as_ref().unwrap().value.user == *user));
    for user in &users {
        assert_eq!(password_of(store, user, 1).await, Some(user.to_string()));
    }
    for (user, read) in users.iter().zip(store.read_credentials(&users).await) {
        assert_eq!(text(&live(&read.unwrap().unwrap().value).password), user.to_string());
    }
}

async fn stats_agree_with_reads_and_open_nothing(store: &dyn Store) {
    let (one, other) = (user("payments/payments"), user("orders/orders"));
    create(store, &one, 1, "secret").await;
    let write = CredentialWrite { user: one.clone(), document: credential(1, "secret", &["prod"]), expected: None };
    let version = store.write_credentials(vec![write]).await.pop().unwrap().unwrap();
    let before = store.tally();
    let reader: &dyn StoreReader = store;
    let stats: Vec<_> =
        reader.stat_credentials(&[other.clone(), one.clone()]).await.into_iter().map(Result::unwrap).collect();
    assert_eq!(stats, [None, Some(version)]);
    let generations = [(other, Generation(1)), (one.clone(), Generation(1)), (one, Generation(2))];
    let stats: Vec<_> = reader.stat_materials(&generations).await.into_iter().map(Result::unwrap).collect();
    assert_eq!(stats, [MaterialStat::Absent, MaterialStat::Present, MaterialStat::Absent]);
    assert_eq!(store.tally(), Tally { stats: before.stats + 5, ..before }, "looked at, not opened, not written");
    assert_eq!(store.tally().writes(), 2);
}
