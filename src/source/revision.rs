//! Documents as they are in a revision of the Git repository that holds them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::files::{FILES_MAX, STANDARD_INPUT, TOTAL_BYTES_MAX, is_document};
use crate::diagnostic::Disposition;
use crate::git::{Blob, Commit, Followed, Git, GitError, ObjectId, TreeEntry, TreeEntryKind, enclosing_work_tree};
use crate::spec::{FILE_BYTES_MAX, SourceText};

/// Documents of a revision.
#[derive(Debug, Default)]
pub struct Revision {
    /// Their texts, under the names that [`super::files::read`] gives them in the work tree, so that relative paths in
    /// them lead to the same places. Empty when the revision holds none.
    pub texts: Vec<SourceText>,
    /// Those of the paths that the revision does not hold.
    pub absent: Vec<PathBuf>,
}

/// Why the documents of a revision could not be read.
#[derive(Debug, thiserror::Error)]
pub enum RevisionError {
    /// The name of the revision cannot be one.
    #[error("`{revision}` is neither a path nor the name of a Git revision")]
    Name {
        /// The name.
        revision: String,
    },
    /// Standard input has no earlier revision.
    #[error("`-` has no revision `{revision}`")]
    StandardInput {
        /// The revision.
        revision: String,
    },
    /// A path could not be looked at.
    #[error("failed to read `{}`", path.display())]
    Path {
        /// The path.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// A path lies in no work tree.
    #[error("`{revision}` is no path, and `{}` is in no Git work tree", path.display())]
    NoWorkTree {
        /// The revision.
        revision: String,
        /// The path.
        path: PathBuf,
    },
    /// The repository has no such revision.
    #[error("`{revision}` is no path, and the Git repository in `{}` has no such revision", work_tree.display())]
    Unknown {
        /// The revision.
        revision: String,
        /// The repository's work tree.
        work_tree: PathBuf,
    },
    /// Git gave no answer.
    #[error("failed to read `{revision}` from the Git repository in `{}`", work_tree.display())]
    Git {
        /// The revision.
        revision: String,
        /// The repository's work tree.
        work_tree: PathBuf,
        /// Why.
        #[source]
        source: GitError,
    },
    /// A symbolic link that leads to a folder or out of the repository: what it led to then is not known.
    #[error("`{}` is a symbolic link to a folder, or out of the repository, in `{revision}`", path.display())]
    Link {
        /// The revision.
        revision: String,
        /// The link.
        path: PathBuf,
    },
    /// A submodule: its files are in another repository.
    #[error("`{}` is a submodule in `{revision}`", path.display())]
    Submodule {
        /// The revision.
        revision: String,
        /// The submodule.
        path: PathBuf,
    },
    /// A file is too large to be a document.
    #[error("`{}` is larger than {FILE_BYTES_MAX} bytes in `{revision}`", path.display())]
    TooLarge {
        /// The revision.
        revision: String,
        /// The file.
        path: PathBuf,
    },
    /// More than any set of documents.
    #[error("`{}` brings the files to more than {FILES_MAX}, or {TOTAL_BYTES_MAX} bytes in all", path.display())]
    TooMany {
        /// Where reading stopped.
        path: PathBuf,
    },
}

impl RevisionError {
    /// What to do about it.
    pub fn disposition(&self) -> Disposition {
        match self {
            Self::Name { .. }
            | Self::StandardInput { .. }
            | Self::Path { .. }
            | Self::NoWorkTree { .. }
            | Self::Unknown { .. }
            | Self::Link { .. }
            | Self::Submodule { .. }
            | Self::TooLarge { .. }
            | Self::TooMany { .. } => Disposition::Stall,
            Self::Git { source, .. } => source.disposition(),
        }
    }

    /// The remedy, where there is one that fits everybody.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Unknown { .. } => Some(
                "name a branch, tag or commit that is fetched; a shallow clone holds no other, `git fetch origin main` brings one",
            ),
            Self::Link { .. } => Some("name the file or folder it leads to with `-f`"),
            Self::Submodule { .. } => Some("name folders outside of it with `-f`"),
            Self::TooLarge { .. } => Some("split it; a document set may have many files"),
            Self::TooMany { .. } => Some("name the folder of the documents"),
            Self::Name { .. }
            | Self::StandardInput { .. }
            | Self::Path { .. }
            | Self::NoWorkTree { .. }
            | Self::Git { .. } => None,
        }
    }
}

/// Reads what stood at `paths` in a revision of the repositories that hold them: the same files that
/// [`super::files::read`] would find in a checkout of it. Only the local repository is asked.
///
/// # Errors
/// The first thing that cannot be read: nothing is known about documents that were not seen. A path that the revision
/// does not hold is none.
pub fn read(git: &Git, revision: &str, paths: &[PathBuf]) -> Result<Revision, RevisionError> {
    // Git takes what begins with `-` as an option.
    if revision.is_empty() || revision.starts_with('-') {
        return Err(RevisionError::Name { revision: revision.to_owned() });
    }
    let (known, known_objects) = (BTreeSet::new(), BTreeSet::new());
    let mut reading = Reading { git, revision, known, known_objects, bytes: 0, found: Revision::default() };
    paths.iter().try_for_each(|path| reading.read(path))?;
    Ok(reading.found)
}

struct Reading<'a> {
    git: &'a Git,
    revision: &'a str,
    /// Files that are read, from the root of the file system.
    known: BTreeSet<PathBuf>,
    /// Their contents.
    known_objects: BTreeSet<ObjectId>,
    bytes: u64,
    found: Revision,
}

/// One named path, in its repository.
struct Root<'a> {
    /// As it was named.
    named: &'a Path,
    work_tree: &'a Path,
    /// From the root of the work tree; empty for the root.
    path: &'a Path,
    commit: Commit,
}

impl Reading<'_> {
    fn read(&mut self, named: &Path) -> Result<(), RevisionError> {
        let revision = || self.revision.to_owned();
        if named == Path::new(STANDARD_INPUT) {
            return Err(RevisionError::StandardInput { revision: revision() });
        }
        let real =
            std::fs::canonicalize(named).map_err(|source| RevisionError::Path { path: named.to_owned(), source })?;
        let folder = if real.is_dir() { &real } else { real.parent().unwrap_or(&real) };
        let Some(work_tree) = enclosing_work_tree(folder) else {
            return Err(RevisionError::NoWorkTree { revision: revision(), path: named.to_owned() });
        };
        let asked = self.git.commit(work_tree, self.revision);
        let Some(commit) = asked.map_err(|source| self.silent(work_tree, source))? else {
            return Err(RevisionError::Unknown { revision: revision(), work_tree: work_tree.to_owned() });
        };
        let path = real.strip_prefix(work_tree).expect("a work tree holds the path it was found by");
        self.read_root(&Root { named, work_tree, path, commit })
    }

    fn read_root(&mut self, root: &Root<'_>) -> Result<(), RevisionError> {
        let entries = self.git.entries(root.work_tree, &root.commit, root.path);
        let entries = entries.map_err(|source| self.silent(root.work_tree, source))?;
        if entries.is_empty() {
            self.found.absent.push(root.named.to_owned());
        }
        let mut files: Vec<(PathBuf, Blob)> = Vec::new();
        let mut links = Vec::new();
        for TreeEntry { path, kind } in entries {
            let Some(name) = root.name_of(&path) else { continue };
            match kind {
                TreeEntryKind::File(blob) if path == root.path || is_document(&path) => {
                    self.admit(root, &path, &name, &blob)?.then(|| files.push((name, blob)));
                }
                TreeEntryKind::File(_) => {}
                TreeEntryKind::Link => links.push((path, name)),
                TreeEntryKind::Submodule => {
                    return Err(RevisionError::Submodule { revision: self.revision.to_owned(), path: name });
                }
            }
        }
        self.follow(root, links, &mut files)?;
        let blobs = files.iter().map(|(_, blob)| blob).collect::<Vec<_>>();
        let contents = self.git.contents(root.work_tree, &blobs);
        let contents = contents.map_err(|source| self.silent(root.work_tree, source))?;
        let texts =
            files.into_iter().zip(contents).map(|((name, _), bytes)| SourceText { file: Arc::new(name), bytes });
        self.found.texts.extend(texts);
        Ok(())
    }

    /// Takes links to files as the files they lead to.
    fn follow(
        &mut self,
        root: &Root<'_>,
        links: Vec<(PathBuf, PathBuf)>,
        files: &mut Vec<(PathBuf, Blob)>,
    ) -> Result<(), RevisionError> {
        let refused = |path: &Path| RevisionError::Link { revision: self.revision.to_owned(), path: path.to_owned() };
        // A line end in a name would end the question to git early.
        let is_plain = |path: &Path| !path.as_os_str().as_encoded_bytes().contains(&b'\n');
        if let Some((_, name)) = links.iter().find(|(path, _)| !is_plain(path)) {
            return Err(refused(name));
        }
        let paths = links.iter().map(|(path, _)| path.as_path()).collect::<Vec<_>>();
        let followed = self.git.follow(root.work_tree, &root.commit, &paths);
        for ((path, name), to) in links.iter().zip(followed.map_err(|source| self.silent(root.work_tree, source))?) {
            let counts = path == root.path || is_document(path);
            match to {
                // A file that is read already, under its own name: one document, not two.
                Followed::File(blob) if self.known_objects.contains(&blob.object) => {}
                Followed::File(blob) if counts => {
                    self.admit(root, path, name, &blob)?.then(|| files.push((name.clone(), blob)));
                }
                Followed::Elsewhere if counts => return Err(refused(name)),
                // Its documents would be missed.
                Followed::Folder => return Err(refused(name)),
                // Other files are not ours.
                Followed::File(_) | Followed::Elsewhere => {}
            }
        }
        Ok(())
    }

    /// Whether a file is to be read: not yet, and within the limits.
    fn admit(&mut self, root: &Root<'_>, path: &Path, name: &Path, blob: &Blob) -> Result<bool, RevisionError> {
        if !self.known.insert(root.work_tree.join(path)) {
            return Ok(false);
        }
        if blob.bytes > FILE_BYTES_MAX as u64 {
            return Err(RevisionError::TooLarge { revision: self.revision.to_owned(), path: name.to_owned() });
        }
        self.known_objects.insert(blob.object.clone());
        self.bytes += blob.bytes;
        if self.known.len() > FILES_MAX || self.bytes > TOTAL_BYTES_MAX as u64 {
            return Err(RevisionError::TooMany { path: name.to_owned() });
        }
        Ok(true)
    }

    fn silent(&self, work_tree: &Path, source: GitError) -> RevisionError {
        RevisionError::Git { revision: self.revision.to_owned(), work_tree: work_tree.to_owned(), source }
    }
}

impl Root<'_> {
    /// The name of a file as [`super::files::read`] would give it; `None` for one that begins with a dot, or lies in a
    /// folder that does.
    fn name_of(&self, path: &Path) -> Option<PathBuf> {
        let below = path.strip_prefix(self.path).ok()?;
        if below.as_os_str().is_empty() {
            return Some(self.named.to_owned());
        }
        let is_hidden = below.iter().any(|part| part.as_encoded_bytes().starts_with(b"."));
        (!is_hidden).then(|| self.named.join(below))
    }
}
