//! A reader over the bytes of an answer that trusts no length.

use super::ErrorCode;

/// Bytes that are not what the protocol says they must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(
    /// What is wrong with them.
    pub &'static str,
);

const TOO_SHORT: Malformed = Malformed("an answer that ends too early");

/// Reads the types of the Kafka protocol (its guide, "Protocol Primitive Types") from the front of a slice.
#[derive(Debug)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(TOO_SHORT)?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or(TOO_SHORT)?;
        self.rest = rest;
        Ok(*taken)
    }

    pub(crate) fn i8(&mut self) -> Result<i8, Malformed> {
        self.array().map(i8::from_be_bytes)
    }

    pub(crate) fn i16(&mut self) -> Result<i16, Malformed> {
        self.array().map(i16::from_be_bytes)
    }

    pub(crate) fn i32(&mut self) -> Result<i32, Malformed> {
        self.array().map(i32::from_be_bytes)
    }

    pub(crate) fn i64(&mut self) -> Result<i64, Malformed> {
        self.array().map(i64::from_be_bytes)
    }

    pub(crate) fn f64(&mut self) -> Result<f64, Malformed> {
        self.array().map(f64::from_be_bytes)
    }

    pub(crate) fn flag(&mut self) -> Result<bool, Malformed> {
        Ok(self.i8()? != 0)
    }

    pub(crate) fn code(&mut self) -> Result<ErrorCode, Malformed> {
        self.i16().map(ErrorCode)
    }

    /// UNSIGNED_VARINT: seven bits a byte, at most five bytes.
    fn varint(&mut self) -> Result<u32, Malformed> {
        let mut value = 0u64;
        for shift in [0, 7, 14, 21, 28] {
            let [byte] = self.array()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return u32::try_from(value).map_err(|_| Malformed("a variable-length number of more than 32 bits"));
            }
        }
        Err(Malformed("a variable-length number of more than 32 bits"))
    }

    /// A compact length: `None` for null, else the length itself (it is sent plus one).
    fn compact_length(&mut self) -> Result<Option<usize>, Malformed> {
        Ok(self.varint()?.checked_sub(1).map(|length| length as usize))
    }

    /// COMPACT_NULLABLE_STRING.
    pub(crate) fn nullable_text(&mut self) -> Result<Option<&'a str>, Malformed> {
        self.compact_length()?.map(|length| text(self.take(length)?)).transpose()
    }

    /// COMPACT_STRING.
    pub(crate) fn text(&mut self) -> Result<&'a str, Malformed> {
        self.nullable_text()?.ok_or(Malformed("a missing string"))
    }

    /// COMPACT_BYTES.
    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], Malformed> {
        let length = self.compact_length()?.ok_or(Malformed("missing bytes"))?;
        self.take(length)
    }

    /// COMPACT_ARRAY: calls `element` for each element. Null counts as empty. Every element is at least one byte, so that
    /// the loop ends with the bytes at the latest.
    pub(crate) fn each(
        &mut self,
        mut element: impl FnMut(&mut Self) -> Result<(), Malformed>,
    ) -> Result<(), Malformed> {
        let length = self.compact_length()?.unwrap_or(0);
        self.check_count(length)?;
        (0..length).try_for_each(|_| element(self))
    }

    /// ARRAY of STRING, as in the versions before tagged fields.
    pub(crate) fn old_texts(&mut self) -> Result<Vec<&'a str>, Malformed> {
        let count = usize::try_from(self.i32()?).unwrap_or(0);
        self.check_count(count)?;
        let mut texts = Vec::new();
        for _ in 0..count {
            let length = usize::try_from(self.i16()?).map_err(|_| Malformed("a missing string"))?;
            texts.push(text(self.take(length)?)?);
        }
        Ok(texts)
    }

    fn check_count(&self, count: usize) -> Result<(), Malformed> {
        if count > self.rest.len() { Err(Malformed("an array longer than its answer")) } else { Ok(()) }
    }

    /// Tagged fields (KIP-482), none of which is wanted.
    pub(crate) fn tagged_fields(&mut self) -> Result<(), Malformed> {
        self.tagged_fields_with(|_, _| Ok(()))
    }

    /// Tagged fields; `field` gets each tag with a reader over its bytes.
    pub(crate) fn tagged_fields_with(
        &mut self,
        mut field: impl FnMut(u32, Reader<'a>) -> Result<(), Malformed>,
    ) -> Result<(), Malformed> {
        let count = self.varint()?;
        self.check_count(count as usize)?;
        for _ in 0..count {
            let tag = self.varint()?;
            let length = self.varint()? as usize;
            field(tag, Reader::new(self.take(length)?))?;
        }
        Ok(())
    }

    /// Ignores what is left, where its shape depends on what was said before.
    pub(crate) fn skip_rest(&mut self) {
        self.rest = &[];
    }

    /// Fails when bytes are left: then something before them was misread.
    pub(crate) fn finish(&self) -> Result<(), Malformed> {
        if self.rest.is_empty() { Ok(()) } else { Err(Malformed("an answer that is longer than its contents")) }
    }
}

fn text(bytes: &[u8]) -> Result<&str, Malformed> {
    std::str::from_utf8(bytes).map_err(|_| Malformed("a string that is not UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claimed_lengths_are_checked_against_the_bytes() {
        // Four billion elements, claimed in five bytes.
        let mut reader = Reader::new(&[0xff, 0xff, 0xff, 0xff, 0x0f, 0]);
        assert_eq!(reader.each(|_| Ok(())), Err(Malformed("an array longer than its answer")));
        let mut reader = Reader::new(&[0x7f, 0xff, 0xff, 0xff]);
        assert!(reader.old_texts().is_err());
        let mut reader = Reader::new(&[0xff; 12]);
        assert_eq!(reader.nullable_text(), Err(Malformed("a variable-length number of more than 32 bits")));
        assert_eq!(Reader::new(&[9, b'x']).text(), Err(TOO_SHORT));
        assert_eq!(Reader::new(&[2, 0xff]).text(), Err(Malformed("a string that is not UTF-8")));
        assert_eq!(Reader::new(&[0]).nullable_text(), Ok(None));
        assert_eq!(Reader::new(&[3, b'o', b'k']).text(), Ok("ok"));
    }
}
