//! Files of an age store that are damaged, misplaced or from another time.

use std::path::PathBuf;

use kastellan::credential::Versioned;
use kastellan::diagnostic::Disposition;
use kastellan::names::{Generation, NamespacedName};
use kastellan::secret::Secret;
use kastellan::store::{Backend, Created, CredentialWrite, RecordWrite, Store, StoreError};

use super::told;
use crate::support::store::{Fixture, credential, material, record, user};

const PAYMENTS: &str = "_kastellan/records/payments/payments.json";
const MATERIAL: &str = "_kastellan/material/payments/payments/1.age";

struct Damaged {
    fixture: Fixture,
    store: std::sync::Arc<dyn Store>,
}

impl Damaged {
    /// Two users with everything, `payments/payments` and `orders/orders`.
    async fn new() -> Self {
        let fixture = Fixture::new(Backend::Age);
        let store = fixture.open().await;
        for user in [user("payments/payments"), user("orders/orders")] {
            let write = RecordWrite { record: record(&user), expected: None };
            store.write_records(vec![write]).await.pop().unwrap().unwrap();
            let material = material(1, &format!("c4nary-{user}"));
            store.create_materials(vec![(user.clone(), material)]).await.pop().unwrap().unwrap();
            let document = credential(1, &format!("c4nary-{user}"), &["prod"]);
            let write = CredentialWrite { user, document, expected: None };
            store.write_credentials(vec![write]).await.pop().unwrap().unwrap();
        }
        Self { fixture, store }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.fixture.age().directory.join(name)
    }

    /// The error of reading `payments/payments`, which fails alone, read or listed.
    async fn record_error(&self) -> StoreError {
        let users = [user("orders/orders"), user("payments/payments")];
        let mut read = self.store.read_records(&users).await;
        let listed = self.store.list_records().await.unwrap();
        assert!(listed[0].1.is_ok() && listed[1].1.is_err() && listed.len() == 2, "{listed:?}");
        let error = read.pop().unwrap().unwrap_err();
        assert!(read.pop().unwrap().unwrap().is_some());
        error
    }

    async fn read_material(&self, user: &NamespacedName) -> Result<Option<Secret>, StoreError> {
        let read = self.store.read_materials(&[(user.clone(), Generation(1))]).await.pop().unwrap();
        read.map(|material| material.map(|material| material.scram.password.duplicate()))
    }
}

#[tokio::test]
async fn a_damaged_record_is_named_and_neither_guessed_nor_taken_for_absent() {
    let damaged = Damaged::new().await;
    let whole = std::fs::read(damaged.path(PAYMENTS)).unwrap();
    let text = String::from_utf8(whole.clone()).unwrap();
    let contents = [
        Vec::new(),
        whole[..whole.len() / 2].to_vec(),
        b"{}".to_vec(),
        b"<<<<<<< HEAD\n".to_vec(),
        vec![0; 64],
        vec![b'['; 100_000],
        text.replace("\"phase\"", "\"fase\"").into_bytes(),
        text.replace("\"version\": 1", "\"version\": -1").into_bytes(),
        vec![b' '; 5 * 1024 * 1024],
    ];
    for content in contents {
        std::fs::write(damaged.path(PAYMENTS), &content).unwrap();
        let error = damaged.record_error().await;
        assert!(matches!(error, StoreError::Damaged { .. }), "{error:?}");
        assert_eq!(error.disposition(), Disposition::Stall);
        assert!(error.to_string().contains("payments.json"), "{error}");
        let write = RecordWrite { record: record(&user("payments/payments")), expected: None };
        let written = damaged.store.write_records(vec![write]).await.pop().unwrap();
        assert!(matches!(written, Err(StoreError::Damaged { .. })), "{written:?}");
        assert_eq!(std::fs::read(damaged.path(PAYMENTS)).unwrap(), content, "nothing is written over it");
    }
    std::fs::remove_file(damaged.path(PAYMENTS)).unwrap();
    std::fs::create_dir(damaged.path(PAYMENTS)).unwrap();
    assert!(matches!(damaged.record_error().await, StoreError::Io { .. }));
}

#[tokio::test]
async fn a_record_of_a_newer_program_is_refused_whatever_else_it_holds() {
    let damaged = Damaged::new().await;
    let text = std::fs::read_to_string(damaged.path(PAYMENTS)).unwrap();
    let newer = text.replace("\"schema\": 1", "\"schema\": 2");
    std::fs::write(damaged.path(PAYMENTS), &newer).unwrap();
    let error = damaged.record_error().await;
    insta::assert_snapshot!(told(&error, &damaged.fixture.age().directory), @r"
    `…/_kastellan/records/payments/payments.json` has schema 2, this program knows schemas up to 1
      hint: use the newer Kastellan that wrote it
    ");
    std::fs::write(damaged.path(PAYMENTS), newer.replace("\"phase\"", "\"stage\"")).unwrap();
    assert!(matches!(damaged.record_error().await, StoreError::NewerSchema { schema: 2, known: 1, .. }));
}

#[tokio::test]
async fn a_record_under_another_name_is_not_that_users() {
    let damaged = Damaged::new().await;
    std::fs::copy(damaged.path("_kastellan/records/orders/orders.json"), damaged.path(PAYMENTS)).unwrap();
    let error = damaged.record_error().await;
    insta::assert_snapshot!(told(&error, &damaged.fixture.age().directory), @r"
    `…/_kastellan/records/payments/payments.json` belongs to `orders/orders`, not to `payments/payments`
      hint: put the file back where it belongs; two names that differ only in case need a file system that tells them apart
    ");

    // A tool that rewrote the name: reported, not overlooked.
    let (from, to) =
        (damaged.path("_kastellan/records/orders/orders.json"), damaged.path("_kastellan/records/orders/or ders.json"));
    std::fs::rename(from, to).unwrap();
    let listed = damaged.store.list_records().await.unwrap();
    assert_eq!(listed[0].0, user("orders/or ders"));
    assert!(matches!(listed[0].1, Err(StoreError::Misfiled { .. })));
}

#[tokio::test]
async fn litter_beside_records_is_ignored_and_a_file_instead_of_a_folder_is_not() {
    let damaged = Damaged::new().await;
    std::fs::write(damaged.path("_kastellan/records/.gitkeep"), "").unwrap();
    std::fs::write(damaged.path("_kastellan/records/orders/README.md"), "").unwrap();
    assert_eq!(damaged.store.list_records().await.unwrap().len(), 2);
    std::fs::remove_dir_all(damaged.path("_kastellan/records/payments")).unwrap();
    std::fs::write(damaged.path("_kastellan/records/payments"), "").unwrap();
    assert!(damaged.store.list_records().await.is_err());
    let results = damaged.store.read_records(&[user("payments/payments"), user("orders/orders")]).await;
    assert!(results[0].is_err() && results[1].as_ref().unwrap().is_some());
}

#[tokio::test]
async fn damaged_age_files_are_named_and_say_nothing_of_their_contents() {
    let damaged = Damaged::new().await;
    let payments = user("payments/payments");
    let whole = std::fs::read(damaged.path(MATERIAL)).unwrap();
    let flipped = |at: usize| {
        let mut bytes = whole.clone();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        bytes
    };
    let contents = [
        Vec::new(),
        whole[..whole.len() / 2].to_vec(),
        whole[..whole.len() - 40].to_vec(),
        flipped(60),
        flipped(whole.len() / 2),
        flipped(whole.len() - 60),
        b"-----BEGIN AGE ENCRYPTED FILE-----\n".to_vec(),
        vec![0; 2000],
    ];
    for content in contents {
        std::fs::write(damaged.path(MATERIAL), &content).unwrap();
        let error = damaged.read_material(&payments).await.unwrap_err();
        assert!(matches!(error, StoreError::Damaged { .. } | StoreError::IdentityWrong { .. }), "{error:?}");
        let message = format!("{} {error:?}", told(&error, damaged.fixture.folder.path()));
        assert!(message.contains("1.age") && !message.contains("c4nary"), "{message}");
        let created =
            damaged.store.create_materials(vec![(payments.clone(), material(1, "other"))]).await.pop().unwrap();
        assert_eq!(created.unwrap(), Created::AlreadyThere);
        assert_eq!(std::fs::read(damaged.path(MATERIAL)).unwrap(), content, "nothing is written over it");
    }
    assert!(damaged.read_material(&user("orders/orders")).await.unwrap().is_some(), "the others are well");

    std::fs::write(damaged.path("payments/payments.age"), &whole[..100]).unwrap();
    let results = damaged.store.read_credentials(&[user("orders/orders"), payments]).await;
    assert!(matches!(results[0], Ok(Some(Versioned { .. }))) && matches!(results[1], Err(StoreError::Damaged { .. })));
}

#[tokio::test]
async fn material_of_another_user_or_generation_is_not_taken() {
    let damaged = Damaged::new().await;
    std::fs::copy(damaged.path("_kastellan/material/orders/orders/1.age"), damaged.path(MATERIAL)).unwrap();
    let error = damaged.read_material(&user("payments/payments")).await.unwrap_err();
    insta::assert_snapshot!(told(&error, &damaged.fixture.age().directory), @r"
    `…/_kastellan/material/payments/payments/1.age` is damaged: it belongs to generation 1 of `orders/orders`
      hint: bring `…/_kastellan/material/payments/payments/1.age` back from Git or a backup; do not delete it
    ");
}

#[tokio::test]
async fn a_credential_copied_to_an_input_path_stays_closed() {
    let damaged = Damaged::new().await;
    std::fs::create_dir(damaged.path("imports")).unwrap();
    for own in [MATERIAL, "payments/payments.age"] {
        std::fs::copy(damaged.path(own), damaged.path("imports/stolen.age")).unwrap();
        let read = damaged.store.read_input("imports/stolen", "password").await;
        assert!(matches!(read, Err(StoreError::NotAnInput { .. })), "{read:?}");
        let written = damaged.store.write_input("imports/stolen", "other", Secret::from_text("x".into())).await;
        assert!(matches!(written, Err(StoreError::NotAnInput { .. })), "{written:?}");
    }
}
