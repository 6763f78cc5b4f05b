//! A new store, ready for its first writer.

use std::io;

use super::durable::{Placement, Placing, clear_leftovers, create_directories, place};
use super::keys::{Keys, create_identity, recipient_of};
use super::layout::Layout;
use super::shelf::read_bounded;
use super::{AgeSettings, AgeStore};
use crate::store::input::OWN_FOLDER;
use crate::store::{MachineState, StoreError};

/// What must never be committed: one machine's own business. Everything else in a store may be.
fn ignored() -> [String; 2] {
    [format!("/{OWN_FOLDER}/lock"), format!("/{OWN_FOLDER}/tmp/")]
}

/// Ignore files are small; a larger one is not rewritten.
const IGNORE_BYTES_MAX: u64 = 1024 * 1024;

/// Where the identity of a new store came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IdentityOrigin {
    /// It was made.
    Created,
    /// The file was there and is used as it is.
    Found,
}

/// What `init` made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Initialised {
    /// Public key of the identity, `age1…`.
    pub recipient: String,
    /// Whether the identity is new.
    pub identity: IdentityOrigin,
}

/// Makes an identity if there is none, the folder with its ignore file, and binds the store to this machine. Blocks.
///
/// # Guarantees
/// Nothing that exists is overwritten; run again after a crash, or on a store of this machine, it completes what is missing.
///
/// # Errors
/// Those of [`AgeStore::open_for_writing`].
pub fn init(settings: &AgeSettings, machine: &MachineState) -> Result<Initialised, StoreError> {
    let identity = match create_identity(&settings.identity_file) {
        Ok(()) => IdentityOrigin::Created,
        Err(StoreError::IdentityExists { .. }) => IdentityOrigin::Found,
        Err(error) => return Err(error),
    };
    Keys::load(settings)?;
    create_directories(&settings.directory)?;
    let layout = Layout::new(&settings.directory);
    create_directories(&layout.records())?;
    create_directories(&layout.materials())?;
    drop(AgeStore::open_for_writing(settings, machine)?);
    write_ignore_file(&layout)?;
    Ok(Initialised { recipient: recipient_of(&settings.identity_file)?, identity })
}

/// Adds the missing lines to the store's `.gitignore`.
fn write_ignore_file(layout: &Layout) -> Result<(), StoreError> {
    let target = layout.root().join(".gitignore");
    let present = read_bounded(&target, IGNORE_BYTES_MAX)?.unwrap_or_default();
    let present =
        String::from_utf8(present).map_err(|_| StoreError::io("read", &target, io::ErrorKind::InvalidData.into()))?;
    let missing: Vec<String> = ignored().into_iter().filter(|line| !present.lines().any(|have| have == line)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let separator = if present.is_empty() || present.ends_with('\n') { "" } else { "\n" };
    let bytes = format!("{present}{separator}{}\n", missing.join("\n")).into_bytes();
    let temporary = layout.temporary();
    clear_leftovers(&temporary)?;
    place(&temporary, vec![Ok(Placement { target, bytes: bytes.into(), placing: Placing::Replace })])
        .pop()
        .expect("one result for one item")
        .map(drop)
}
