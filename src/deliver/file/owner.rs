//! Owners of delivered files: names of this machine's users and groups, or numbers.

use std::io;

use crate::diagnostic::Hint;

/// Why an owner cannot be resolved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OwnerError {
    /// Neither `user` nor `user:group`.
    #[error("it is neither `user` nor `user:group`")]
    Form,
    /// No such user.
    #[error("this machine has no such user")]
    NoUser,
    /// No such group.
    #[error("this machine has no such group")]
    NoGroup,
    /// A number without a group, and no account has that number.
    #[error("no account has this number, so its group is not known")]
    NoPrimaryGroup,
}

impl OwnerError {
    /// What to do about it.
    pub fn hint(self) -> Option<Hint> {
        match self {
            Self::Form => Some("write `owner: \"payments:payments\"`".to_owned()),
            Self::NoUser | Self::NoGroup => {
                Some("create it, or give numbers (`\"1000:1000\"`) if a directory service knows it".to_owned())
            }
            Self::NoPrimaryGroup => Some("give the group too, as in `\"1000:1000\"`".to_owned()),
        }
    }
}

/// Numbers of a user and a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ids {
    pub uid: u32,
    pub gid: u32,
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

    /// Resolves `user` (with the group of its account) or `user:group`; a name is looked up before it is read as a
    /// number, as `chown` does.
    pub fn resolve(&self, owner: &str) -> Result<Ids, OwnerError> {
        let (user, group) = match owner.split_once(':') {
            Some((user, group)) => (user, Some(group)),
            None => (owner, None),
        };
        if user.is_empty() || group.is_some_and(|group| group.is_empty() || group.contains(':')) {
            return Err(OwnerError::Form);
        }
        // name:password:uid:gid:…
        let account = fields(&self.passwd).find(|fields| fields[0] == user);
        let uid = number_of(account.as_ref(), user).ok_or(OwnerError::NoUser)?;
        let gid = match group {
            // name:password:gid:…
            Some(group) => {
                let entry = fields(&self.group).find(|fields| fields[0] == group);
                number_of(entry.as_ref(), group).ok_or(OwnerError::NoGroup)?
            }
            None => {
                let account = account.or_else(|| {
                    fields(&self.passwd).find(|fields| fields.get(2).is_some_and(|text| number(text) == Some(uid)))
                });
                account.and_then(|fields| number(fields.get(3)?)).ok_or(OwnerError::NoPrimaryGroup)?
            }
        };
        Ok(Ids { uid, gid })
    }
}

fn fields(table: &str) -> impl Iterator<Item = Vec<&str>> {
    table.lines().filter(|line| !line.starts_with('#')).map(|line| line.split(':').collect())
}

/// The number in the third field of an entry, or else the text itself as a number.
fn number_of(entry: Option<&Vec<&str>>, text: &str) -> Option<u32> {
    match entry {
        Some(fields) => number(fields.get(2)?),
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
        for (owner, expected) in [
            ("payments:kafka", Ok((1001, 3001))),
            ("payments", Ok((1001, 2001))),
            ("1001", Ok((1001, 2001))),
            ("77", Ok((1077, 2077))),
            ("5:6", Ok((5, 6))),
            ("5", Err(OwnerError::NoPrimaryGroup)),
            ("nobody:kafka", Err(OwnerError::NoUser)),
            ("payments:nobody", Err(OwnerError::NoGroup)),
            ("4294967295:0", Err(OwnerError::NoUser)),
            ("+5:6", Err(OwnerError::NoUser)),
            ("", Err(OwnerError::Form)),
            (":kafka", Err(OwnerError::Form)),
            ("payments:", Err(OwnerError::Form)),
            ("a:b:c", Err(OwnerError::Form)),
        ] {
            let resolved = accounts.resolve(owner).map(|ids| (ids.uid, ids.gid));
            assert_eq!(resolved, expected, "{owner}");
        }
    }
}
