//! Passwords, salts and rotation ids, drawn from a source that is handed in.

use super::{Salt, Secret};
use crate::names::{NameError, RotationId};

/// A source of random bytes: the operating system's generator in the product, a seeded one in tests.
pub trait Randomness {
    /// Fills the whole buffer.
    fn fill(&mut self, buffer: &mut [u8]);
}

/// Length of a generated password in characters: 16 to 128, 32 by default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "u16", into = "u16")]
pub struct PasswordLength(u16);

impl PasswordLength {
    /// 16 characters of 62 are 95 bits, below which an offline guess at a stolen key becomes thinkable.
    pub const MIN: u16 = 16;
    /// Longer ones break clients that keep passwords in fixed buffers, and add nothing.
    pub const MAX: u16 = 128;

    /// The number of characters.
    pub const fn characters(self) -> usize {
        self.0 as usize
    }
}

impl Default for PasswordLength {
    fn default() -> Self {
        Self(32)
    }
}

impl TryFrom<u16> for PasswordLength {
    type Error = NameError;
    fn try_from(length: u16) -> Result<Self, NameError> {
        match length {
            Self::MIN..=Self::MAX => Ok(Self(length)),
            0..Self::MIN => Err(NameError::Reserved { kind: "passwordLength (16 to 128)", text: length.to_string() }),
            _ => Err(NameError::Length { kind: "passwordLength", length: length.into(), max: Self::MAX.into() }),
        }
    }
}

impl From<PasswordLength> for u16 {
    fn from(length: PasswordLength) -> Self {
        length.0
    }
}

const LETTERS: &[u8; 52] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const ALPHANUMERIC: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
const BASE32: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// 26 characters of 5 bits: 130 bits, never the same twice.
const ROTATION_ID_CHARACTERS: usize = 26;
/// RFC 7677 recommends no length; Kafka's own tool draws about 26 bytes, and 16 is the least `kafka.md` §1 allows.
const SALT_BYTES: usize = 24;

/// Draws a password of `[A-Za-z0-9]`, the first character a letter, every character equally likely.
pub fn draw_password(randomness: &mut impl Randomness, length: PasswordLength) -> Secret {
    let mut password = Vec::with_capacity(length.characters());
    draw_characters(randomness, LETTERS, 1, &mut password);
    draw_characters(randomness, ALPHANUMERIC, length.characters() - 1, &mut password);
    Secret::new(password)
}

/// Draws a salt of its own for a credential.
pub fn draw_salt(randomness: &mut impl Randomness) -> Salt {
    let mut salt = vec![0; SALT_BYTES];
    randomness.fill(&mut salt);
    Salt::parse(salt).expect("24 bytes are at least 16")
}

/// Draws the id of a new rotation.
pub fn draw_rotation_id(randomness: &mut impl Randomness) -> RotationId {
    let mut id = Vec::with_capacity(ROTATION_ID_CHARACTERS);
    draw_characters(randomness, BASE32, ROTATION_ID_CHARACTERS, &mut id);
    RotationId::parse(String::from_utf8(id).expect("base32 is ASCII")).expect("26 characters without controls")
}

/// Appends `count` characters, without the bias of a plain modulo: bytes past the last whole multiple are drawn again.
fn draw_characters(randomness: &mut impl Randomness, alphabet: &[u8], count: usize, into: &mut Vec<u8>) {
    let limit = 256 - 256 % alphabet.len();
    let mut left = count;
    let mut block = zeroize::Zeroizing::new([0u8; 64]);
    while left > 0 {
        randomness.fill(block.as_mut());
        for &byte in block.iter().filter(|&&byte| usize::from(byte) < limit).take(left) {
            into.push(alphabet[usize::from(byte) % alphabet.len()]);
            left -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A small generator (splitmix64) that is good enough to look at distributions.
    struct Seeded(u64);

    impl Randomness for Seeded {
        fn fill(&mut self, buffer: &mut [u8]) {
            for chunk in buffer.chunks_mut(8) {
                self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
                let mut z = self.0;
                z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
                z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
                chunk.copy_from_slice(&(z ^ (z >> 31)).to_le_bytes()[..chunk.len()]);
            }
        }
    }

    #[test]
    fn passwords_are_alphanumeric_and_start_with_a_letter() {
        let mut randomness = Seeded(1);
        for length in [16, 32, 128] {
            let password = draw_password(&mut randomness, PasswordLength::try_from(length).unwrap());
            let text = password.expose_text().unwrap();
            assert_eq!(text.len(), usize::from(length));
            assert!(text.starts_with(|first: char| first.is_ascii_alphabetic()));
            assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric()));
        }
        assert!(PasswordLength::try_from(15).is_err() && PasswordLength::try_from(129).is_err());
    }

    #[test]
    fn every_character_is_equally_likely() {
        let mut randomness = Seeded(2);
        let mut counts = [0u32; 256];
        let mut drawn = Vec::new();
        draw_characters(&mut randomness, ALPHANUMERIC, 620_000, &mut drawn);
        drawn.iter().for_each(|&byte| counts[usize::from(byte)] += 1);
        for &character in ALPHANUMERIC {
            let count = counts[usize::from(character)];
            // 10,000 expected, standard deviation about 99: six of them on either side.
            assert!((9_400..=10_600).contains(&count), "{} drawn {count} times", char::from(character));
        }
    }

    #[test]
    fn rotation_ids_differ() {
        let mut randomness = Seeded(3);
        assert_ne!(draw_rotation_id(&mut randomness), draw_rotation_id(&mut randomness));
    }
}
