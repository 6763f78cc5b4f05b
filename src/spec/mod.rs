//! Documents: what people write, read into types that cannot be wrong, with a place for everything that can.
//!
//! [`read`] takes texts and answers [`Documents`] or findings; nothing is contacted and no file is opened. On the way:
//!
//! ```text
//!   text --yaml--> tree --check--> tree of a known shape --read--> drafts --across--> Documents
//!                        (grammar)                      (by kind)          (references, claims)
//! ```
//!
//! The grammar stands once, in tables beside the types of each kind; the reader and the JSON Schemas both follow it.
//! Findings are collected, not thrown: one run reports what is wrong everywhere. What is kept holds no places but one per
//! document, so that 100,000 users stay small.

mod acl;
mod across;
mod check;
mod cluster;
mod deliver;
mod fields;
mod grammar;
mod kind;
mod nearest;
mod password;
mod reader;
mod report;
mod rotation;
mod schema;
mod secret_delivery;
mod source;
mod store;
mod strimzi;
mod text;
mod tree;
mod user;
mod value;
mod wording;
mod workload;
mod written;
mod yaml;

pub use cluster::{AdminAuthentication, AdminSpec, ClientsSpec, KafkaClusterSpec, TlsSpec, UserDefaults};
pub use deliver::{DeliverySpec, DeliveryTarget, FileDelivery, FileFormat, Owner};
pub use kind::Kind;
pub(crate) use nearest::nearest as nearest_name;
pub use password::PasswordSource;
pub use rotation::{Confirm, RotationSpec, StatedRotation, Strategy};
pub use schema::{schema, schema_file};
pub use secret_delivery::{SecretDelivery, SecretFormat, SecretPlace};
pub use source::{FILE_BYTES_MAX, SourceText};
pub use store::{AgeStoreSpec, CredentialStoreSpec, StoreBackend, VaultAuth, VaultStoreSpec};
pub use strimzi::{StrimziLogin, StrimziUser, read_strimzi};
pub use user::{Authentication, DeletionPolicy, KafkaUserSpec, MechanismChoice, ScramAuthentication};
pub use value::{
    BootstrapServers, Endpoint, FilePath, StorePath, StoreValue, UserPattern, format_duration, parse_duration,
};
pub use workload::{Workload, WorkloadKind};
pub use written::{Origin, WrittenUser, can_say};

use std::collections::BTreeMap;

use crate::diagnostic::{Finding, Findings, Location};
use crate::names::{ClusterName, Interner, NamespacedName, StoreName};

use kind::Drafts;
use reader::Reader;
use report::Report;
use source::Source;

/// One set of documents, in which every reference leads somewhere and no two claims exclude each other.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Documents {
    /// Stores by name.
    pub stores: BTreeMap<StoreName, CredentialStoreSpec>,
    /// Clusters by name.
    pub clusters: BTreeMap<ClusterName, KafkaClusterSpec>,
    /// Users by identity.
    pub users: BTreeMap<NamespacedName, KafkaUserSpec>,
}

/// Reads all documents of all texts.
///
/// The order of texts and of documents in them does not matter. Beside the documents come warnings.
///
/// # Errors
/// All findings, warnings too, if there is an error among them, or no document at all: the author's turn.
pub fn read(inputs: &[SourceText]) -> Result<(Documents, Findings), Findings> {
    let (sources, refused) = decode_all(inputs);
    let mut report = Report::new(&sources);
    refused.into_iter().for_each(|finding| report.anywhere(finding));
    let mut drafts = Drafts::default();
    let mut interner = Interner::default();
    for (index, source) in sources.iter().enumerate() {
        let index = index as u32;
        yaml::documents(&mut report, index, |report, root| {
            let mut reader = Reader { report, interner: &mut interner, source: index, folder: source.folder.clone() };
            kind::read(&mut reader, &mut drafts, &root);
        });
    }
    if drafts.count == 0 && report.errors() == 0 {
        report.anywhere(Finding::error("no-documents", "there are no documents"));
    }
    drop(interner);
    kind::warn_of_other_operators(&mut report, &drafts);
    let documents = across::resolve(&mut report, drafts);
    let findings = report.finish();
    if findings.has_errors() { Err(findings) } else { Ok((documents, findings)) }
}

/// The texts of all files, and why some are none.
fn decode_all(inputs: &[SourceText]) -> (Vec<Source<'_>>, Vec<Finding>) {
    let mut sources = Vec::with_capacity(inputs.len());
    let mut refused = Vec::new();
    for input in inputs {
        match decode(input) {
            Ok(text) => sources.push(Source::new(&input.file, text)),
            Err(finding) => refused.push(*finding),
        }
    }
    (sources, refused)
}

/// The text of a file, without a byte order mark.
fn decode(input: &SourceText) -> Result<&str, Box<Finding>> {
    let place = |line, column| Location { file: input.file.clone(), line, column };
    let bytes = input.bytes.as_slice();
    if bytes.len() > FILE_BYTES_MAX {
        let message = format!("{} bytes long; at most {FILE_BYTES_MAX} are read from one file", bytes.len());
        return Err(Box::new(Finding::error("file-too-large", message).at(place(1, 1)).hint("split it")));
    }
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    std::str::from_utf8(bytes).map_err(|error| {
        let valid = std::str::from_utf8(&bytes[..error.valid_up_to()]).unwrap_or("");
        let line = valid.bytes().filter(|byte| *byte == b'\n').count() + 1;
        let column = valid.rsplit('\n').next().unwrap_or("").chars().count() + 1;
        let finding = Finding::error("not-utf8", "not text in UTF-8").at(place(line, column));
        if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
            Box::new(finding.hint("this looks like UTF-16; save it as UTF-8"))
        } else {
            Box::new(finding)
        }
    })
}
