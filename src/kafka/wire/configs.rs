//! Answers about configuration.

use kafka_protocol::messages::DescribeConfigsRequest;

use super::{Answer, Answered, ErrorCode, Malformed, Reader, Right, SMALL_ANSWER_BYTES_MAX};
use crate::names::Operation;

/// DescribeConfigs of one resource.
#[derive(Debug)]
pub(crate) struct DescribedConfigs {
    pub(crate) entries: Vec<ConfigEntry>,
}

/// One configuration key.
#[derive(Debug)]
pub(crate) struct ConfigEntry {
    pub(crate) key: String,
    /// `None` when it is not set, or when the broker holds it back as sensitive.
    pub(crate) value: Option<String>,
    /// Whether somebody set it: told also of what is held back.
    pub(crate) is_set: bool,
}

/// The source of a value that nobody set (`DescribeConfigsResponse.ConfigSource.DEFAULT_CONFIG`).
const DEFAULT_CONFIG: i8 = 5;

impl Answer for DescribedConfigs {
    type Request = DescribeConfigsRequest;
    const VERSION: i16 = 4;
    const NAME: &'static str = "DescribeConfigs";
    const BYTES_MAX: usize = SMALL_ANSWER_BYTES_MAX;
    const RIGHT: Option<Right> =
        Some(Right { operation: Operation::DescribeConfigs, needed_for: "reading the configuration of brokers" });

    fn decode(reader: &mut Reader<'_>) -> Result<Answered<Self>, Malformed> {
        let throttle = reader.i32()?;
        let mut first_code = ErrorCode::NONE;
        let mut entries = Vec::new();
        reader.each(|reader| {
            let code = reader.code()?;
            if first_code.is_success() {
                first_code = code;
            }
            reader.nullable_text()?;
            reader.i8()?;
            reader.text()?;
            reader.each(|reader| {
                entries.push(entry(reader)?);
                Ok(())
            })?;
            reader.tagged_fields()
        })?;
        reader.tagged_fields()?;
        Ok(Answered::new(throttle, first_code, Self { entries }))
    }
}

fn entry(reader: &mut Reader<'_>) -> Result<ConfigEntry, Malformed> {
    let key = reader.text()?.to_owned();
    let value = reader.nullable_text()?.map(str::to_owned);
    reader.flag()?; // Read only.
    let source = reader.i8()?;
    reader.flag()?; // Sensitive.
    reader.each(|reader| {
        reader.text()?;
        reader.nullable_text()?;
        reader.i8()?;
        reader.tagged_fields()
    })?;
    reader.i8()?; // Type.
    reader.nullable_text()?; // Documentation.
    reader.tagged_fields()?;
    Ok(ConfigEntry { key, value, is_set: source != DEFAULT_CONFIG })
}
