//! Questions about a revision: which commit it is, which files it holds, and what is in them.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

use super::{Git, GitError, NAMES_BYTES_MAX};

/// The longest header of one object in git's batch answers: an id of 64 digits, a type, a size.
const HEADER_BYTES_MAX: u64 = 128;

/// The id of an object, in hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ObjectId(String);

impl ObjectId {
    fn parse(bytes: &[u8]) -> Option<Self> {
        let is_id = matches!(bytes.len(), 40 | 64) && bytes.iter().all(u8::is_ascii_hexdigit);
        is_id.then(|| Self(String::from_utf8_lossy(bytes).into_owned()))
    }
}

/// A commit that exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit(ObjectId);

/// One entry of a commit's tree that is not a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TreeEntry {
    /// From the root of the work tree.
    pub path: PathBuf,
    /// What it is.
    pub kind: TreeEntryKind,
}

/// What an entry of a tree is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TreeEntryKind {
    /// A file.
    File(Blob),
    /// A symbolic link.
    Link,
    /// A commit of another repository.
    Submodule,
}

/// The content of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blob {
    /// Its object.
    pub object: ObjectId,
    /// Its length.
    pub bytes: u64,
}

/// Where a symbolic link leads within its commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Followed {
    /// To a file.
    File(Blob),
    /// To a folder.
    Folder,
    /// Out of the work tree, nowhere, or in a circle.
    Elsewhere,
}

impl Git {
    /// The commit that `revision` names in the repository of a work tree.
    ///
    /// `None`: there is no such commit there. The name must not begin with `-`, which git would take as an option.
    ///
    /// # Errors
    /// [`GitError`] where git cannot look.
    pub fn commit(&self, work_tree: &Path, revision: &str) -> Result<Option<Commit>, GitError> {
        let commit = format!("{revision}^{{commit}}");
        let arguments = ["--verify", "--quiet", &commit].map(OsStr::new);
        let answer = self.ask(work_tree, "rev-parse", &arguments, &[], HEADER_BYTES_MAX)?;
        match answer.status.code() {
            Some(0) => {
                let id = ObjectId::parse(answer.stdout.trim_ascii_end());
                id.map(|id| Some(Commit(id))).ok_or(GitError::Garbled { command: "rev-parse" })
            }
            Some(1) => Ok(None),
            Some(_) | None => Err(answer.failure("rev-parse")),
        }
    }

    /// Everything a commit holds at and below `path` (from the root of the work tree; empty for all of it), in git's order.
    /// Empty when it holds no such path.
    ///
    /// # Errors
    /// [`GitError`] where git cannot look.
    pub fn entries(&self, work_tree: &Path, commit: &Commit, path: &Path) -> Result<Vec<TreeEntry>, GitError> {
        let mut arguments = ["-r", "-z", "-l", "--full-tree", &commit.0.0, "--"].map(OsStr::new).to_vec();
        arguments.extend((!path.as_os_str().is_empty()).then_some(path.as_os_str()));
        let listing = self.ask(work_tree, "ls-tree", &arguments, &[], NAMES_BYTES_MAX)?.succeeded("ls-tree")?;
        let lines = listing.split(|&byte| byte == 0).filter(|line| !line.is_empty());
        lines.map(|line| read_entry(line).ok_or(GitError::Garbled { command: "ls-tree" })).collect()
    }

    /// Where each of these symbolic links of a commit leads, in their order. No path may hold a line end.
    ///
    /// # Errors
    /// [`GitError`] where git cannot look.
    pub fn follow(&self, work_tree: &Path, commit: &Commit, links: &[&Path]) -> Result<Vec<Followed>, GitError> {
        if links.is_empty() {
            return Ok(Vec::new());
        }
        let mut question = Vec::new();
        for link in links {
            question.extend_from_slice(format!("{}:", commit.0.0).as_bytes());
            question.extend_from_slice(link.as_os_str().as_bytes());
            question.push(b'\n');
        }
        let arguments = ["--batch-check", "--follow-symlinks"].map(OsStr::new);
        let answer = self.ask(work_tree, "cat-file", &arguments, &question, NAMES_BYTES_MAX)?.succeeded("cat-file")?;
        let garbled = GitError::Garbled { command: "cat-file" };
        let mut rest = &answer[..];
        links.iter().map(|_| read_followed(&mut rest)).collect::<Option<_>>().ok_or(garbled)
    }

    /// The contents of files, in their order.
    ///
    /// # Errors
    /// [`GitError`] also where an object is missing: in a partial clone, or a damaged repository.
    pub fn contents(&self, work_tree: &Path, blobs: &[&Blob]) -> Result<Vec<Vec<u8>>, GitError> {
        if blobs.is_empty() {
            return Ok(Vec::new());
        }
        let question: String = blobs.iter().map(|blob| format!("{}\n", blob.object.0)).collect();
        let bytes_max = blobs.iter().map(|blob| blob.bytes + HEADER_BYTES_MAX).sum();
        let arguments = [OsStr::new("--batch")];
        let answer =
            self.ask(work_tree, "cat-file", &arguments, question.as_bytes(), bytes_max)?.succeeded("cat-file")?;
        let mut rest = &answer[..];
        let mut contents = Vec::with_capacity(blobs.len());
        for blob in blobs {
            let header = take_line(&mut rest).map(String::from_utf8_lossy).unwrap_or_default();
            if header.ends_with(" missing") {
                let complaint = format!("object {} is missing", blob.object.0);
                return Err(GitError::Failed { command: "cat-file", complaint });
            }
            let content = usize::try_from(blob.bytes).ok().and_then(|bytes| take_bytes(&mut rest, bytes));
            match content.filter(|_| header == format!("{} blob {}", blob.object.0, blob.bytes)) {
                Some(content) => contents.push(content.to_vec()),
                None => return Err(GitError::Garbled { command: "cat-file" }),
            }
        }
        Ok(contents)
    }
}

/// Reads `<mode> <type> <object> <size>\t<path>`, as `ls-tree -l` writes it.
fn read_entry(line: &[u8]) -> Option<TreeEntry> {
    let tab = line.iter().position(|&byte| byte == b'\t')?;
    let path = PathBuf::from(OsString::from_vec(line[tab + 1..].to_vec()));
    let mut fields = line[..tab].split(|&byte| byte == b' ').filter(|field| !field.is_empty());
    let (mode, kind, object, size) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
    let kind = match (mode, kind) {
        (b"120000", b"blob") => TreeEntryKind::Link,
        (_, b"blob") => TreeEntryKind::File(read_blob(object, size)?),
        (_, b"commit") => TreeEntryKind::Submodule,
        (_, _) => return None,
    };
    Some(TreeEntry { path, kind })
}

fn read_blob(object: &[u8], size: &[u8]) -> Option<Blob> {
    Some(Blob { object: ObjectId::parse(object)?, bytes: std::str::from_utf8(size).ok()?.parse().ok()? })
}

/// Reads one answer of `cat-file --batch-check --follow-symlinks`.
fn read_followed(rest: &mut &[u8]) -> Option<Followed> {
    let line = take_line(rest)?;
    if line.ends_with(b" missing") {
        return Some(Followed::Elsewhere);
    }
    let mut fields = line.split(|&byte| byte == b' ');
    match (fields.next()?, fields.next()?, fields.next()) {
        // The path that was reached follows, of that many bytes.
        (b"symlink" | b"dangling" | b"loop" | b"notdir", length, None) => {
            take_bytes(rest, std::str::from_utf8(length).ok()?.parse().ok()?)?;
            Some(Followed::Elsewhere)
        }
        (object, b"blob", Some(size)) => Some(Followed::File(read_blob(object, size)?)),
        (_, b"tree", Some(_)) => Some(Followed::Folder),
        (_, _, _) => None,
    }
}

/// Takes a line without its end.
fn take_line<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let end = rest.iter().position(|&byte| byte == b'\n')?;
    let line = &rest[..end];
    *rest = &rest[end + 1..];
    Some(line)
}

/// Takes so many bytes and the line end after them.
fn take_bytes<'a>(rest: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (bytes, after) = rest.split_at_checked(count)?;
    *rest = after.strip_prefix(b"\n")?;
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef01234567";

    #[test]
    fn entries_keep_every_byte_of_their_path() {
        let of = |text: &str| read_entry(text.as_bytes());
        let blob = || Blob { object: ObjectId(ID.into()), bytes: 12 };
        let file = TreeEntry { path: "a b\n\tü.yaml".into(), kind: TreeEntryKind::File(blob()) };
        assert_eq!(of(&format!("100644 blob {ID}      12\ta b\n\tü.yaml")), Some(file));
        let kind = |text: &str| of(text).map(|entry| entry.kind);
        assert_eq!(kind(&format!("120000 blob {ID}       3\tlink")), Some(TreeEntryKind::Link));
        assert_eq!(kind(&format!("160000 commit {ID}       -\tmodule")), Some(TreeEntryKind::Submodule));
        for garbled in ["", "100644 blob", "100644 blob xyz 12\ta", "100644 blob 0123 -\ta"] {
            assert_eq!(kind(garbled), None, "{garbled}");
        }
    }

    #[test]
    fn links_are_told_apart_by_where_they_lead() {
        let text = format!(
            "{ID} blob 12\nsymlink 8\n../x\n/yz\n{ID}:a missing\n{ID} tree 30\ndangling 3\na/b\nloop 1\na\n{ID} blob 0\n"
        );
        let mut rest = text.as_bytes();
        let followed = (0..7).map(|_| read_followed(&mut rest).unwrap()).collect::<Vec<_>>();
        let file = |bytes| Followed::File(Blob { object: ObjectId(ID.into()), bytes });
        let elsewhere = || Followed::Elsewhere;
        assert_eq!(followed, [file(12), elsewhere(), elsewhere(), Followed::Folder, elsewhere(), elsewhere(), file(0)]);
        assert!(rest.is_empty());
        assert_eq!(read_followed(&mut rest), None);
    }
}
