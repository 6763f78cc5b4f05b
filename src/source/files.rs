//! Documents in files and folders, and on standard input.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::diagnostic::Disposition;
use crate::spec::{FILE_BYTES_MAX, SourceText};

/// The name of standard input among paths.
pub const STANDARD_INPUT: &str = "-";

/// Extensions of files that are read in folders. A file that is named itself is read whatever it is called.
const EXTENSIONS: [&str; 2] = ["yaml", "yml"];

/// Most files of one run: a folder named by mistake (`/`, a home) must end in an error, not in hours of reading.
pub(super) const FILES_MAX: usize = 200_000;

/// Most folders of one run, for the same reason: a tree without a single document in it ends as well.
const FOLDERS_MAX: usize = 200_000;

/// Most bytes of all files of one run: 100,000 users with five ACLs each are about 80 MB.
pub(super) const TOTAL_BYTES_MAX: usize = 1024 * 1024 * 1024;

/// Why documents could not be read from where they are.
#[derive(Debug, thiserror::Error)]
pub enum FilesError {
    /// A path could not be looked at or opened.
    #[error("failed to read `{}`", path.display())]
    Read {
        /// The path.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// A file is too large to be a document.
    #[error("`{}` is larger than {FILE_BYTES_MAX} bytes", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// What was named holds more than any set of documents.
    #[error("`{}` brings the files to more than {FILES_MAX}, or {TOTAL_BYTES_MAX} bytes in all", path.display())]
    TooMany {
        /// Where reading stopped.
        path: PathBuf,
    },
    /// A path is neither a file nor a folder.
    #[error("`{}` is neither a file nor a folder", path.display())]
    NeitherFileNorFolder {
        /// The path.
        path: PathBuf,
    },
    /// A folder has no documents in it. A half-checked-out folder must not look like one from which all users were removed.
    #[error("no documents found in `{}`", path.display())]
    Empty {
        /// The folder.
        path: PathBuf,
    },
    /// Standard input was named twice.
    #[error("`-` is named twice")]
    StandardInputTwice,
}

impl FilesError {
    /// What to do about it.
    pub fn disposition(&self) -> Disposition {
        match self {
            Self::Read { .. }
            | Self::TooLarge { .. }
            | Self::TooMany { .. }
            | Self::NeitherFileNorFolder { .. }
            | Self::Empty { .. }
            | Self::StandardInputTwice => Disposition::Stall,
        }
    }

    /// The remedy, where there is one that fits everybody.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::TooLarge { .. } => Some("split it; a document set may have many files"),
            Self::TooMany { .. } => Some("name the folder of the documents"),
            Self::Empty { .. } => Some("documents are files that end in .yaml or .yml"),
            Self::Read { .. } | Self::NeitherFileNorFolder { .. } | Self::StandardInputTwice => None,
        }
    }
}

/// Reads files and folders in the order given, the files of a folder in the order of their paths.
///
/// A folder is read with the folders in it, except those whose name begins with a dot (`.git`), and except files whose name
/// does. A link is followed; a folder that links lead to twice is read once, so circles end. A file that is named twice,
/// itself or through its folder, is read once.
///
/// # Errors
/// The first thing that cannot be read: nothing is known about documents that were not seen.
pub fn read(paths: &[PathBuf], standard_input: &mut dyn Read) -> Result<Vec<SourceText>, FilesError> {
    let mut files = Files::default();
    for path in paths {
        if path == Path::new(STANDARD_INPUT) {
            files.read_standard_input(standard_input)?;
            continue;
        }
        let metadata = std::fs::metadata(path).map_err(|source| failed(path, source))?;
        if metadata.is_dir() {
            files.read_folder(path)?;
        } else {
            files.read_file(path)?;
        }
    }
    Ok(files.texts)
}

#[derive(Default)]
struct Files {
    texts: Vec<SourceText>,
    /// Real paths of files that were read.
    known_files: BTreeSet<PathBuf>,
    bytes: usize,
    has_standard_input: bool,
}

impl Files {
    fn read_standard_input(&mut self, input: &mut dyn Read) -> Result<(), FilesError> {
        if std::mem::replace(&mut self.has_standard_input, true) {
            return Err(FilesError::StandardInputTwice);
        }
        self.take(Path::new(STANDARD_INPUT), input)
    }

    fn read_folder(&mut self, folder: &Path) -> Result<(), FilesError> {
        let mut found = BTreeSet::new();
        let mut known_folders = BTreeSet::new();
        let mut open = vec![folder.to_owned()];
        while let Some(folder) = open.pop() {
            let real = std::fs::canonicalize(&folder).map_err(|source| failed(&folder, source))?;
            if !known_folders.insert(real) {
                continue;
            }
            if known_folders.len() > FOLDERS_MAX || found.len() > FILES_MAX {
                return Err(FilesError::TooMany { path: folder });
            }
            for entry in std::fs::read_dir(&folder).map_err(|source| failed(&folder, source))? {
                let path = entry.map_err(|source| failed(&folder, source))?.path();
                if path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b".")) {
                    continue;
                }
                match (std::fs::metadata(&path), is_document(&path)) {
                    (Ok(metadata), _) if metadata.is_dir() => open.push(path),
                    (Ok(_), true) => {
                        found.insert(path);
                    }
                    (Err(source), true) => return Err(failed(&path, source)),
                    // Other files are not ours, and a link that leads nowhere may be one.
                    (Ok(_) | Err(_), false) => {}
                }
            }
        }
        if found.is_empty() {
            return Err(FilesError::Empty { path: folder.to_owned() });
        }
        found.iter().try_for_each(|path| self.read_file(path))
    }

    fn read_file(&mut self, path: &Path) -> Result<(), FilesError> {
        let metadata = std::fs::metadata(path).map_err(|source| failed(path, source))?;
        // Looked at before it is opened: opening a pipe without a writer would wait for ever.
        if !metadata.is_file() && !is_descriptor(path) {
            return Err(FilesError::NeitherFileNorFolder { path: path.to_owned() });
        }
        let real = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        if !self.known_files.insert(real) {
            return Ok(());
        }
        let mut file = std::fs::File::open(path).map_err(|source| failed(path, source))?;
        self.take(path, &mut file)
    }

    fn take(&mut self, path: &Path, input: &mut dyn Read) -> Result<(), FilesError> {
        let mut bytes = Vec::new();
        let limit = FILE_BYTES_MAX as u64 + 1;
        input.take(limit).read_to_end(&mut bytes).map_err(|source| failed(path, source))?;
        if bytes.len() > FILE_BYTES_MAX {
            return Err(FilesError::TooLarge { path: path.to_owned() });
        }
        self.bytes += bytes.len();
        if self.texts.len() >= FILES_MAX || self.bytes > TOTAL_BYTES_MAX {
            return Err(FilesError::TooMany { path: path.to_owned() });
        }
        bytes.shrink_to_fit();
        self.texts.push(SourceText { file: Arc::new(path.to_owned()), bytes });
        Ok(())
    }
}

fn failed(path: &Path, source: std::io::Error) -> FilesError {
    FilesError::Read { path: path.to_owned(), source }
}

pub(super) fn is_document(path: &Path) -> bool {
    path.extension().and_then(OsStr::to_str).is_some_and(|extension| EXTENSIONS.contains(&extension))
}

/// Whether a path is an open file of this process: `<(…)` of a shell is a pipe with a writer.
fn is_descriptor(path: &Path) -> bool {
    path.starts_with("/dev/fd") || path.starts_with("/proc/self/fd")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder with these files, each holding its own name.
    fn folder(files: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for file in files {
            let path = folder.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, file).unwrap();
        }
        folder
    }

    fn read_paths(paths: &[&Path]) -> Result<Vec<SourceText>, FilesError> {
        let paths: Vec<PathBuf> = paths.iter().map(|path| path.to_path_buf()).collect();
        read(&paths, &mut &b"from standard input"[..])
    }

    fn names(folder: &Path, texts: &[SourceText]) -> Vec<String> {
        let below = |text: &SourceText| text.file.strip_prefix(folder).unwrap_or(&text.file).display().to_string();
        texts.iter().map(below).collect()
    }

    #[test]
    fn folders_are_read_in_the_order_of_their_paths() {
        let folder = folder(&["b.yml", "a/z.yaml", "a.yaml", "README.md", ".git/c.yaml", ".hidden.yaml", "a/b/c.yaml"]);
        let texts = read_paths(&[folder.path()]).unwrap();
        assert_eq!(names(folder.path(), &texts), ["a/b/c.yaml", "a/z.yaml", "a.yaml", "b.yml"]);
        assert_eq!(texts[0].bytes, b"a/b/c.yaml");
    }

    #[test]
    fn files_that_are_named_are_read_once_and_whatever_they_are_called() {
        let folder = folder(&["users.txt", "a/b.yaml"]);
        let (named, inner) = (folder.path().join("users.txt"), folder.path().join("a/b.yaml"));
        let texts = read_paths(&[&named, folder.path(), &inner, Path::new("-")]).unwrap();
        assert_eq!(names(folder.path(), &texts), ["users.txt", "a/b.yaml", "-"]);
        assert_eq!(texts[2].bytes, b"from standard input");
        assert!(matches!(read_paths(&[Path::new("-"), Path::new("-")]), Err(FilesError::StandardInputTwice)));
    }

    #[test]
    fn circles_of_links_end() {
        let folder = folder(&["a/b.yaml"]);
        std::os::unix::fs::symlink(folder.path(), folder.path().join("a/up")).unwrap();
        std::os::unix::fs::symlink("nowhere", folder.path().join("a/dangling")).unwrap();
        assert_eq!(names(folder.path(), &read_paths(&[folder.path()]).unwrap()), ["a/b.yaml"]);
    }

    #[test]
    fn what_cannot_be_read_is_an_error_and_never_nothing() {
        let folder = folder(&["README.md"]);
        let missing = folder.path().join("missing.yaml");
        assert!(matches!(read_paths(&[folder.path()]), Err(FilesError::Empty { .. })));
        assert!(matches!(read_paths(&[&missing]), Err(FilesError::Read { .. })));
        std::os::unix::fs::symlink("nowhere", folder.path().join("dangling.yaml")).unwrap();
        assert!(matches!(read_paths(&[folder.path()]), Err(FilesError::Read { .. })));
        assert!(matches!(read_paths(&[Path::new("/dev/null")]), Err(FilesError::NeitherFileNorFolder { .. })));
    }

    #[test]
    fn a_file_beyond_the_bound_is_refused() {
        let folder = folder(&["exact.yaml", "large.yaml"]);
        let (exact, large) = (folder.path().join("exact.yaml"), folder.path().join("large.yaml"));
        std::fs::write(&exact, vec![b' '; FILE_BYTES_MAX]).unwrap();
        std::fs::File::options().write(true).open(&large).unwrap().set_len(1 << 40).unwrap();
        assert_eq!(read_paths(&[&exact]).unwrap()[0].bytes.len(), FILE_BYTES_MAX);
        assert!(matches!(read_paths(&[&large]), Err(FilesError::TooLarge { .. })));
        let mut endless = std::io::repeat(b'#');
        assert!(matches!(read(&[PathBuf::from("-")], &mut endless), Err(FilesError::TooLarge { .. })));
    }
}
