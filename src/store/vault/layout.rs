//! Where a KV mount holds what (formats.md B5).

use crate::names::{Generation, NamespacedName, Segment};
use crate::store::input::OWN_FOLDER;
use crate::vault::KvPath;

/// The paths of one store.
#[derive(Debug, Clone)]
pub struct Layout {
    prefix: Vec<Segment>,
    own: Segment,
    records: Segment,
    material: Segment,
}

impl Layout {
    /// The layout below a prefix, which may be empty.
    pub fn new(prefix: Vec<Segment>) -> Self {
        let segment = |text| Segment::parse(text).expect("a plain word is a segment");
        Self { prefix, own: segment(OWN_FOLDER), records: segment("records"), material: segment("material") }
    }

    /// Folder of all records.
    pub fn records(&self) -> KvPath {
        self.path([&self.own, &self.records])
    }

    /// A user's record.
    pub fn record(&self, user: &NamespacedName) -> KvPath {
        self.path([&self.own, &self.records, &user.namespace, &user.name])
    }

    /// One generation's material.
    pub fn material(&self, user: &NamespacedName, generation: Generation) -> KvPath {
        let generation = Segment::parse(generation.to_string()).expect("a number is a segment");
        self.path([&self.own, &self.material, &user.namespace, &user.name, &generation])
    }

    /// A user's credential document.
    pub fn credential(&self, user: &NamespacedName) -> KvPath {
        self.path([&user.namespace, &user.name])
    }

    /// An input document.
    pub fn input(&self, path: &[Segment]) -> KvPath {
        self.path(path)
    }

    fn path<'a>(&'a self, segments: impl IntoIterator<Item = &'a Segment>) -> KvPath {
        KvPath::of(self.prefix.iter().chain(segments))
    }
}
