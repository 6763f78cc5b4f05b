//! Records as documents of texts: Vault reads numbers through floating point, which loses digits beyond 2^53.

use zeroize::Zeroizing;

use crate::credential::{RECORD_SCHEMA, Record};
use crate::names::NamespacedName;
use crate::store::StoreError;
use crate::store::fields::Fields;
use crate::store::payload::OWN_FIELD;

/// The field with the whole record.
const RECORD: &str = "record";
/// The field that a tombstone of material has, until it is destroyed.
const DESTROYED: &str = "destroyed";

/// A record as it is stored: its JSON as one text, and beside it what people look for.
pub fn encode_record(record: &Record) -> Zeroizing<Vec<u8>> {
    let text = serde_json::to_string(record).expect("a record is names, numbers and times, which always serialise");
    let slot = record.pending.as_deref().or(record.active.as_ref());
    let rotation = slot.map_or("", |slot| slot.rotation_id.as_str());
    let mut fields = Fields::default();
    fields.set("schema", record.schema.to_string());
    fields.set("user", record.user.to_string());
    fields.set("phase", record.phase.as_str());
    fields.set("generation", record.generation.to_string());
    fields.set(OWN_FIELD, rotation);
    fields.set(RECORD, text);
    fields.encode()
}

/// Reads what [`encode_record`] wrote, for exactly this user. Records hold no secret, so the parser may quote them.
pub fn decode_record(place: &str, user: &NamespacedName, json: &[u8]) -> Result<Record, StoreError> {
    #[derive(serde::Deserialize)]
    struct Header {
        schema: u64,
    }
    let fields = Fields::decode(json).map_err(|error| StoreError::damaged(place, error.to_string()))?;
    let text = fields.get(RECORD).ok_or_else(|| StoreError::damaged(place, "it holds no record"))?;
    let newer = |schema| StoreError::NewerSchema { place: place.to_owned(), schema, known: RECORD_SCHEMA.into() };
    match serde_json::from_str::<Header>(text) {
        Ok(Header { schema }) if schema > RECORD_SCHEMA.into() => return Err(newer(schema)),
        Ok(_) | Err(_) => {}
    }
    let record: Record = serde_json::from_str(text).map_err(|error| StoreError::damaged(place, error.to_string()))?;
    if record.user != *user {
        let (wanted, found) = (user.to_string(), record.user.to_string());
        return Err(StoreError::Misfiled { place: place.to_owned(), wanted, found });
    }
    Ok(record)
}

/// What is destroyed where there never was material, so that there never will be.
pub fn tombstone() -> Zeroizing<Vec<u8>> {
    let mut fields = Fields::default();
    fields.set(DESTROYED, "true");
    fields.set(OWN_FIELD, "");
    fields.encode()
}

/// Whether a document is a tombstone that was not destroyed yet.
pub fn is_tombstone(json: &[u8]) -> bool {
    Fields::decode(json).is_ok_and(|fields| fields.get(DESTROYED).is_some())
}
