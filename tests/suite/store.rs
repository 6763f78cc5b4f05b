//! Every store keeps the promises of the port; the age store keeps them on bad days too.

mod age_folder;
mod binding;
mod copy;
mod crashes;
mod damage;
mod identities;
mod memory;

use std::path::Path;
use std::sync::Mutex;

use kastellan::store::{Backend, StoreError};

use crate::support::store::Fixture;
use crate::support::store_conformance::conforms;

#[tokio::test]
async fn every_store_conforms() {
    for backend in Backend::ALL.into_iter().filter(|backend| !backend.needs_server()) {
        // Kept until the end: a fixture's folder goes with it.
        let fixtures = Mutex::new(Vec::new());
        conforms(async || {
            let fixture = Fixture::new(backend);
            let store = fixture.open().await;
            fixtures.lock().unwrap().push(fixture);
            store
        })
        .await;
    }
}

/// The error with its sources and its hint, as a person reads them; the folder of the test is left out.
fn told(error: &StoreError, folder: &Path) -> String {
    let chain = kastellan::diagnostic::Chain(error).to_string();
    let hint = error.hint().map(|hint| format!("\n  hint: {hint}")).unwrap_or_default();
    format!("{chain}{hint}").replace(&folder.display().to_string(), "…")
}

/// Copies a folder with everything below it, as `cp -r` does.
fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Every file below a folder.
fn files(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        match entry.file_type().unwrap().is_dir() {
            true => found.extend(files(&entry.path())),
            false => found.push(entry.path()),
        }
    }
    found.sort();
    found
}
