//! Answers about quotas (KIP-546).

use std::collections::BTreeMap;

use kafka_protocol::messages::{AlterClientQuotasRequest, DescribeClientQuotasRequest};

use super::{Answer, Answered, BATCH_ANSWER_BYTES_MAX, ErrorCode, Kind, LISTING_BYTES_MAX, Malformed, Reader, Right};
use crate::names::{Operation, UserName, UserQuotas};

/// Most users with quotas in one answer: ten times the 100,000 users we hold ourselves to, and 150 MB of memory.
const USERS_MAX: usize = 1_000_000;

/// The entity type of users.
pub(crate) const USER: &str = "user";

/// DescribeClientQuotas.
#[derive(Debug)]
pub(crate) struct DescribedQuotas {
    /// Quotas of the entities that are exactly one named user.
    pub(crate) users: BTreeMap<UserName, UserQuotas>,
}

impl Answer for DescribedQuotas {
    type Request = DescribeClientQuotasRequest;
    const VERSION: i16 = 1;
    const NAME: &'static str = "DescribeClientQuotas";
    const BYTES_MAX: usize = LISTING_BYTES_MAX;
    const RIGHT: Option<Right> = Some(Right { operation: Operation::DescribeConfigs, needed_for: "reading quotas" });

    fn decode(reader: &mut Reader<'_>) -> Result<Answered<Self>, Malformed> {
        let throttle = reader.i32()?;
        let code = reader.code()?;
        reader.nullable_text()?;
        let mut users = BTreeMap::new();
        reader.each(|reader| {
            let user = named_user(reader)?;
            let quotas = values(reader)?;
            if let Some(user) = user.and_then(|user| UserName::parse(user).ok()) {
                users.insert(user, quotas);
            }
            if users.len() > USERS_MAX {
                return Err(Malformed("an answer with more than a million users"));
            }
            reader.tagged_fields()
        })?;
        reader.tagged_fields()?;
        Ok(Answered::new(throttle, code, Self { users }))
    }
}

/// Reads an entity; its user, if it is exactly one named user (not the default one, not with a client id).
fn named_user<'a>(reader: &mut Reader<'a>) -> Result<Option<&'a str>, Malformed> {
    let mut components = 0;
    let mut user = None;
    reader.each(|reader| {
        let (entity_type, name) = (reader.text()?, reader.nullable_text()?);
        components += 1;
        user = name.filter(|_| entity_type == USER);
        reader.tagged_fields()
    })?;
    Ok(user.filter(|_| components == 1))
}

/// Reads the quotas of an entity; keys that users do not have are skipped.
fn values(reader: &mut Reader<'_>) -> Result<UserQuotas, Malformed> {
    let mut values = [None; UserQuotas::KEYS.len()];
    reader.each(|reader| {
        let (key, value) = (reader.text()?, reader.f64()?);
        if let Some(index) = UserQuotas::KEYS.iter().position(|&known| known == key) {
            values[index] = Some(value);
        }
        reader.tagged_fields()
    })?;
    Ok(UserQuotas::from_values(values))
}

/// AlterClientQuotas.
#[derive(Debug)]
pub(crate) struct AlteredQuotas {
    /// Per user, in any order; a user named twice appears twice.
    pub(crate) users: Vec<(String, ErrorCode)>,
}

impl Answer for AlteredQuotas {
    type Request = AlterClientQuotasRequest;
    const KIND: Kind = Kind::Write;
    const VERSION: i16 = 1;
    const NAME: &'static str = "AlterClientQuotas";
    const BYTES_MAX: usize = BATCH_ANSWER_BYTES_MAX;
    const RIGHT: Option<Right> = Some(Right { operation: Operation::AlterConfigs, needed_for: "changing quotas" });

    fn decode(reader: &mut Reader<'_>) -> Result<Answered<Self>, Malformed> {
        let throttle = reader.i32()?;
        let mut users = Vec::new();
        reader.each(|reader| {
            let code = reader.code()?;
            reader.nullable_text()?;
            if let Some(user) = named_user(reader)? {
                users.push((user.to_owned(), code));
            }
            reader.tagged_fields()
        })?;
        reader.tagged_fields()?;
        Ok(Answered::new(throttle, ErrorCode::NONE, Self { users }))
    }
}
