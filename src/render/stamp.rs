//! What a delivered file says of itself, in comments before its first line.

use crate::names::{Generation, NamespacedName, RotationId};

/// The most bytes a stamp can take: two names of at most 230 bytes, a rotation id of 64, a number, and fixed text. Who
/// looks for a stamp needs to read no further.
pub const STAMP_BYTES_MAX: usize = 1024;

const NOTICE: &str = "# Managed by Kastellan, do not edit: changes made here are overwritten.\n";
const USER: &str = "# kastellan.io/user: ";
const GENERATION: &str = "# kastellan.io/generation: ";
const ROTATION: &str = "# kastellan.io/rotation: ";

/// Whose file it is, and which credential it carries (R9). Displayed, it is the head of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stamp {
    /// The user's document.
    pub user: NamespacedName,
    /// The credential's number.
    pub generation: Generation,
    /// The rotation that made it.
    pub rotation_id: RotationId,
}

impl std::fmt::Display for Stamp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{NOTICE}{USER}{}\n{GENERATION}{}\n{ROTATION}{}\n", self.user, self.generation, self.rotation_id)
    }
}

/// Reads the stamp of a file from its first bytes; `None` for a file that is not ours.
///
/// Only leading comment lines are looked at: it ends before the first line that could hold a secret.
pub fn read_stamp(head: &[u8]) -> Option<Stamp> {
    let (mut user, mut generation, mut rotation_id) = (None, None, None);
    // Bytes after the last line feed may be half a line.
    for line in head.split_inclusive(|&byte| byte == b'\n').take_while(|line| line.starts_with(b"#")) {
        let Some(line) = std::str::from_utf8(line).ok().and_then(|line| line.strip_suffix('\n')) else { continue };
        if let Some(text) = line.strip_prefix(USER) {
            user = text.parse().ok();
        } else if let Some(text) = line.strip_prefix(GENERATION) {
            generation = text.parse().ok().map(Generation);
        } else if let Some(text) = line.strip_prefix(ROTATION) {
            rotation_id = RotationId::parse(text).ok();
        }
    }
    Some(Stamp { user: user?, generation: generation?, rotation_id: rotation_id? })
}
