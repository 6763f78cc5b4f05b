//! What the record keeps of a written file, so that a later run can tell without reading it that nobody touched it.

use std::collections::BTreeMap;

use super::folder::Seen;

const MACHINE: &str = "machine";
const MAIN: &str = "";
const CA_FILE: &str = "ca_";

/// Size, modification time and inode of one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Identity {
    size: String,
    modified: String,
    inode: String,
}

impl Identity {
    pub fn of(seen: &Seen) -> Self {
        Self { size: seen.size.to_string(), modified: seen.modified.clone(), inode: seen.inode.to_string() }
    }

    fn read(map: &BTreeMap<String, String>, prefix: &str) -> Option<Self> {
        let field = |name: &str| map.get(&format!("{prefix}{name}")).cloned();
        Some(Self { size: field("size")?, modified: field("modified")?, inode: field("inode")? })
    }

    fn write(self, map: &mut BTreeMap<String, String>, prefix: &str) {
        for (name, value) in [("size", self.size), ("modified", self.modified), ("inode", self.inode)] {
            map.insert(format!("{prefix}{name}"), value);
        }
    }
}

/// The files of one delivery, and the machine they are on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Written {
    pub machine: String,
    pub main: Identity,
    /// The certificates beside it, if the format needs a file for them.
    pub ca_file: Option<Identity>,
}

impl Written {
    /// Reads the map of a record; `None` for one that this program did not write.
    pub fn read(map: &BTreeMap<String, String>) -> Option<Self> {
        let machine = map.get(MACHINE)?.clone();
        Some(Self { machine, main: Identity::read(map, MAIN)?, ca_file: Identity::read(map, CA_FILE) })
    }

    /// The map for a record.
    pub fn into_map(self) -> BTreeMap<String, String> {
        let mut map = BTreeMap::from([(MACHINE.to_owned(), self.machine)]);
        self.main.write(&mut map, MAIN);
        if let Some(ca_file) = self.ca_file {
            ca_file.write(&mut map, CA_FILE);
        }
        map
    }
}
