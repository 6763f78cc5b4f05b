//! Which file holds what, and the way back from a file's name.

use std::path::{Path, PathBuf};

use crate::names::{Generation, NamespacedName, Segment};
use crate::store::input::OWN_FOLDER;

/// The paths of one store.
#[derive(Debug, Clone)]
pub struct Layout {
    root: PathBuf,
}

impl Layout {
    /// The layout below a folder.
    pub fn new(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    /// The folder itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Folder of Kastellan's own documents.
    pub fn own(&self) -> PathBuf {
        self.root.join(OWN_FOLDER)
    }

    /// Folder of all records.
    pub fn records(&self) -> PathBuf {
        self.own().join("records")
    }

    /// Folder of all material.
    pub fn materials(&self) -> PathBuf {
        self.own().join("material")
    }

    /// Files on their way to their place; on the same file system, so that a rename is atomic.
    pub fn temporary(&self) -> PathBuf {
        self.own().join("tmp")
    }

    /// What one writer holds.
    pub fn lock(&self) -> PathBuf {
        self.own().join("lock")
    }

    /// What binds the store.
    pub fn store_file(&self) -> PathBuf {
        self.own().join("store.json")
    }

    /// A user's record.
    pub fn record(&self, user: &NamespacedName) -> PathBuf {
        self.records().join(user.namespace.encoded()).join(user.name.encoded() + ".json")
    }

    /// One generation's material, or its tombstone.
    pub fn material(&self, user: &NamespacedName, generation: Generation) -> PathBuf {
        let folder = self.materials().join(user.namespace.encoded()).join(user.name.encoded());
        folder.join(format!("{generation}.age"))
    }

    /// A user's credential document.
    pub fn credential(&self, user: &NamespacedName) -> PathBuf {
        self.root.join(user.namespace.encoded()).join(user.name.encoded() + ".age")
    }

    /// An input document.
    pub fn input(&self, path: &[Segment]) -> PathBuf {
        let mut file = self.input_folder(path);
        file.as_mut_os_string().push(".age");
        file
    }

    /// A folder of input documents.
    pub fn input_folder(&self, path: &[Segment]) -> PathBuf {
        let mut folder = self.root.clone();
        folder.extend(path.iter().map(Segment::encoded));
        folder
    }
}

/// The segment that a file's name stands for. A name that we would not have written is taken as it is, so that a record
/// that somebody renamed is reported under some name rather than overlooked.
pub fn segment_of(encoded: &str) -> Option<Segment> {
    Segment::decode(encoded).or_else(|| {
        let printable: String = encoded
            .chars()
            .map(|c| if c.is_control() || c == '\\' { char::REPLACEMENT_CHARACTER } else { c })
            .collect();
        Segment::parse(printable).ok()
    })
}
