//! Answers about SCRAM credentials (KIP-554).

use kafka_protocol::messages::{AlterUserScramCredentialsRequest, DescribeUserScramCredentialsRequest};

use super::{Answer, Answered, BATCH_ANSWER_BYTES_MAX, ErrorCode, Kind, Malformed, Reader, Right};
use crate::names::{Mechanism, Operation};

/// DescribeUserScramCredentials.
#[derive(Debug)]
pub(crate) struct DescribedScram {
    /// In any order.
    pub(crate) users: Vec<DescribedUser>,
}

/// One user of an answer.
#[derive(Debug)]
pub(crate) struct DescribedUser {
    pub(crate) name: String,
    pub(crate) code: ErrorCode,
    /// With their iterations; mechanisms newer than this program are left out.
    pub(crate) mechanisms: Vec<(Mechanism, u32)>,
}

impl Answer for DescribedScram {
    type Request = DescribeUserScramCredentialsRequest;
    const VERSION: i16 = 0;
    const NAME: &'static str = "DescribeUserScramCredentials";
    const BYTES_MAX: usize = BATCH_ANSWER_BYTES_MAX;
    const RIGHT: Option<Right> =
        Some(Right { operation: Operation::Describe, needed_for: "reading which SCRAM credentials exist" });

    fn decode(reader: &mut Reader<'_>) -> Result<Answered<Self>, Malformed> {
        let throttle = reader.i32()?;
        let code = reader.code()?;
        reader.nullable_text()?;
        let mut users = Vec::new();
        reader.each(|reader| {
            let name = reader.text()?.to_owned();
            let code = reader.code()?;
            reader.nullable_text()?;
            let mut mechanisms = Vec::new();
            reader.each(|reader| {
                let (wire_type, iterations) = (reader.i8()?, reader.i32()?);
                let iterations = u32::try_from(iterations).map_err(|_| Malformed("a negative iteration count"))?;
                if let Ok(mechanism) = Mechanism::from_wire_type(wire_type) {
                    mechanisms.push((mechanism, iterations));
                }
                reader.tagged_fields()
            })?;
            users.push(DescribedUser { name, code, mechanisms });
            reader.tagged_fields()
        })?;
        reader.tagged_fields()?;
        Ok(Answered::new(throttle, code, Self { users }))
    }
}

/// AlterUserScramCredentials.
#[derive(Debug)]
pub(crate) struct AlteredScram {
    /// Per user, in any order.
    pub(crate) users: Vec<(String, ErrorCode)>,
}

impl Answer for AlteredScram {
    type Request = AlterUserScramCredentialsRequest;
    const KIND: Kind = Kind::Write;
    const VERSION: i16 = 0;
    const NAME: &'static str = "AlterUserScramCredentials";
    const BYTES_MAX: usize = BATCH_ANSWER_BYTES_MAX;
    const RIGHT: Option<Right> = Some(Right { operation: Operation::Alter, needed_for: "changing SCRAM credentials" });

    fn decode(reader: &mut Reader<'_>) -> Result<Answered<Self>, Malformed> {
        let throttle = reader.i32()?;
        let mut users = Vec::new();
        reader.each(|reader| {
            let user = reader.text()?.to_owned();
            users.push((user, reader.code()?));
            reader.nullable_text()?;
            reader.tagged_fields()
        })?;
        reader.tagged_fields()?;
        Ok(Answered::new(throttle, ErrorCode::NONE, Self { users }))
    }
}
