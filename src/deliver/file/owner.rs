//! Owners of delivered files: names of this machine's users and groups, or numbers.

use std::io;

use crate::diagnostic::Hint;
use crate::spec::Owner;

/// Why an owner cannot be resolved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OwnerError {
    /// No such user.
    #[error("this machine has no such user")]
    NoUser,
    /// No such group.
    #[error("this machine has no such group")]
    NoGroup,
}

impl OwnerError {
    /// What to do about it.
    pub fn hint(self) -> Option<Hint> {
        match self {
            Self::NoUser | Self::NoGroup => {
                Some("create it, or give numbers (`\"1000:1000\"`) if a directory service knows it".to_owned())
            }
        }
    }
}

/// Numbers that a file is to have; `None` leaves the one it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Ids {
    pub uid: Option<u32>,
    pub gid: Option<u32>,
}

impl Ids {
    /// These, and what they leave open from `others`.
    pub fn or(self, others: Self) -> Self {
        Self { uid: self.uid.or(others.uid), gid: self.gid.or(others.gid) }
    }

    /// Whether a file with the numbers `of_file` has nothing to change.
    pub fn are_met_by(self, of_file: Self) -> bool {
        self.or(of_file) == of_file
    }
}

/// The accounts of this machine, read once for a batch. Those of a directory service are not among them.
pub(super) struct Accounts {
    passwd: String,
    group: String,
}

impl Accounts {
    pub fn read() -> Self {
        let read =
            |path: &str| -> io::Result<String> { Ok(String::from_utf8_lossy(&std::fs::read(path)?).into_owned()) };
        // A machine without these files has no names; numbers still work.
        Self::of(read("/etc/passwd").unwrap_or_default(), read("/etc/group").unwrap_or_default())
    }

    pub fn of(passwd: String, group: String) -> Self {
        Self { passwd, group }
    }

    /// Resolves an owner; a name is looked up before it is read as a number, as `chown` does.
    pub fn resolve(&self, owner: &Owner) -> Result<Ids, OwnerError> {
        // name:password:number:… in both files.
        let uid = number_of(&self.passwd, &owner.user).ok_or(OwnerError::NoUser)?;
        let gid = owner.group.as_ref().map(|group| number_of(&self.group, group).ok_or(OwnerError::NoGroup));
        Ok(Ids { uid: Some(uid), gid: gid.transpose()? })
    }
}

/// The number of an entry, or else the text itself as a number.
fn number_of(table: &str, text: &str) -> Option<u32> {
    let mut entries = table.lines().filter(|line| !line.starts_with('#')).map(|line| line.split(':'));
    match entries.find_map(|mut fields| (fields.next() == Some(text)).then_some(fields)) {
        Some(mut fields) => number(fields.nth(1)?),
        None => number(text),
    }
}
/// A number that names an account; `u32::MAX` means "leave as it is" to the system call.
fn number(text: &str) -> Option<u32> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|&number| digits && number != u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_are_resolved_as_chown_does() {
        let accounts = Accounts::of(
            "root:x:0:0:root:/root:/bin/sh\n# comment\npayments:x:1001:2001::/:\n77:x:1077:2077::/:\n".into(),
            "root:x:0:\nkafka:x:3001:payments\n".into(),
        );
        for (user, group, expected) in [
            ("payments", Some("kafka"), Ok((1001, Some(3001)))),
            ("payments", None, Ok((1001, None))),
            ("77", None, Ok((1077, None))),
            ("5", Some("6"), Ok((5, Some(6)))),
            ("nobody", Some("kafka"), Err(OwnerError::NoUser)),
            ("payments", Some("nobody"), Err(OwnerError::NoGroup)),
            ("4294967295", None, Err(OwnerError::NoUser)),
            ("+5", None, Err(OwnerError::NoUser)),
            ("", None, Err(OwnerError::NoUser)),
        ] {
            let owner = Owner { user: user.into(), group: group.map(str::to_owned) };
            let expected = expected.map(|(uid, gid)| Ids { uid: Some(uid), gid });
            assert_eq!(accounts.resolve(&owner), expected, "{owner}");
        }
    }
}
